// SimStore: a simulated etcd for the nodes of a simulation.
//
// One SimStoreService is the store that they agree on; each node has a
// SimStore, its client, that reaches it with latency and under the faults the
// test asks for. Everything happens on simulated schedulers, so one seed gives
// one run. tests/conformance/store holds it to the contract of store.h.
#ifndef MUSTER_TESTS_TESTKIT_SIM_STORE_H_
#define MUSTER_TESTS_TESTKIT_SIM_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cluster/store/store.h"
#include "cluster/store/store_state.h"
#include "node/base/random.h"
#include "node/base/scheduler.h"

namespace muster {

class SimStore;

struct SimStoreOptions {
  // One way, for requests, responses and watch events; uniform in
  // [latency_min, latency_max).
  absl::Duration latency_min = absl::Microseconds(200);
  absl::Duration latency_max = absl::Milliseconds(3);
  StoreStateOptions state;
  // Sees each transaction when it is applied; for checkers.
  std::function<void(const Txn& txn, const TxnResult& result)> on_txn;
};

// What a client that is cut off notices.
enum class SimCut {
  // Nothing, as when packets are lost: operations run into their deadlines,
  // watches fall silent and go on after Reconnect().
  kSilent,
  // Everything, as when connections are reset: operations under way end
  // ABORTED, new ones UNAVAILABLE, watches end UNAVAILABLE.
  kRefused,
};

// Owns the one history of a simulated cluster.
// LIFETIME: outlives its clients. `scheduler` and `random` outlive it.
// THREADS: the one of the simulation.
class SimStoreService {
 public:
  using Options = SimStoreOptions;

  // Requests are applied on `scheduler`, that of a node of its own; all
  // latencies are drawn from `random`.
  SimStoreService(Scheduler& scheduler, RandomSource& random,
                  Options options = {});
  ~SimStoreService();
  SimStoreService(const SimStoreService&) = delete;
  SimStoreService& operator=(const SimStoreService&) = delete;

  // A client for a node that runs on `node`.
  std::unique_ptr<SimStore> NewClient(Scheduler& node);

  // --- Faults ---
  // Requests, responses and events of `client` do not arrive from now on.
  void Disconnect(SimStore& client, SimCut cut = SimCut::kSilent);
  void Reconnect(SimStore& client);
  // All clients, also those to come: the store is away.
  void DisconnectAll(SimCut cut = SimCut::kSilent);
  void ReconnectAll();
  // The next `count` transactions of `client` are applied, but their answers
  // are lost: DEADLINE_EXCEEDED, outcome UNKNOWN.
  void LoseAnswers(SimStore& client, int count);

  // Latencies are this many times as long from now on: a slow disk.
  void SetSlowness(double factor) { slowness_ = factor; }
  // Its watches fall silent while its transactions go on (guarantees E6).
  void StallWatches(SimStore& client, bool stalled);
  // Requests of this client take up to so much longer, each its own time: a
  // transaction may arrive when its sender is dead.
  void DelayRequests(SimStore& client, absl::Duration most);
  // As the loss of this client's connection, which comes back at once: what is
  // under way fails, watches end.
  void ResetConnection(SimStore& client);
  // An operator puts back an earlier state, and the store starts anew with it:
  // all connections are lost, and so is everything since.
  void Restore(StoreState state);
  // A transaction of nobody in particular, at once.
  TxnResult Apply(Txn txn);

  // Forgets the history below `revision`; errors as StoreState::Compact.
  absl::Status Compact(int64_t revision);
  // For checkers: what is true now.
  const StoreState& state() const { return *state_; }

 private:
  friend class SimStore;
  struct Client;
  struct Operation;
  struct Follower;
  class SimWatch;

  void Send(std::shared_ptr<Operation> operation);
  void Arrive(std::shared_ptr<Operation> operation);
  void Pump(const std::shared_ptr<Follower>& follower);
  void Arm(const std::shared_ptr<Follower>& follower);
  void PumpAll();
  void Break(Client& client);
  absl::Duration Latency();

  Scheduler& scheduler_;
  RandomSource& random_;
  const Options options_;
  double slowness_ = 1;
  std::unique_ptr<StoreState> state_;
  // In the order of their making.
  std::vector<std::shared_ptr<Client>> clients_;
  // What new clients begin with.
  bool cut_ = false;
  SimCut how_ = SimCut::kSilent;
  // False once destroyed; requests on their way look.
  const std::shared_ptr<bool> alive_;
};

// One node's client. A node that dies takes its scheduler with it, so that
// nothing comes back to it; what it had sent still arrives.
// LIFETIME, THREADS, ORDER: as Store, on the one thread of the simulation; may
// be destroyed from a callback of its own.
class SimStore final : public Store {
 public:
  ~SimStore() override;
  SimStore(const SimStore&) = delete;
  SimStore& operator=(const SimStore&) = delete;

  void Commit(Txn txn, absl::Duration timeout, Done<TxnResult> done) override;
  void List(std::string prefix, absl::Duration timeout,
            Done<RangeResult> done) override;
  std::unique_ptr<Watch> Follow(std::string prefix, int64_t from_revision,
                                WatchHandler handler) override;
  void Compact(int64_t revision, absl::Duration timeout,
               absl::AnyInvocable<void(absl::Status)> done) override;
  bool embedded() const override { return false; }
  std::string ToString() const override { return "sim"; }

 private:
  friend class SimStoreService;
  SimStore(SimStoreService& service,
           std::shared_ptr<SimStoreService::Client> client);

  SimStoreService& service_;
  const std::shared_ptr<SimStoreService::Client> client_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_TESTKIT_SIM_STORE_H_
