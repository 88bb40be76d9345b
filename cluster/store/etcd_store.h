// EtcdStore: a cluster's store on etcd v3, over etcd's own gRPC API.
//
// Written for what etcd 3.4 does and does not promise (guarantees section 6):
// no leases, no HTTP/2 pings, a deadline for each request, watches as hints.
#ifndef MUSTER_CLUSTER_STORE_ETCD_STORE_H_
#define MUSTER_CLUSTER_STORE_ETCD_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cluster/store/etcd_endpoints.h"
#include "cluster/store/store.h"
#include "grpcpp/security/credentials.h"
#include "node/base/scheduler.h"

namespace muster {

struct EtcdStoreOptions {
  // How to speak to every endpoint; null: plaintext.
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  // Keys that List asks for at a time. Too few: round trips, which is how long
  // a node takes to learn 100,000 names. Too many: pages beyond
  // receive_bytes_max, which are asked for again in smaller ones.
  int64_t page_keys = 5'000;
  // Largest message taken from etcd. Too small: large revisions cannot be
  // watched.
  int receive_bytes_max = 64 << 20;
  // Between attempts to connect to one endpoint.
  absl::Duration backoff_min = absl::Milliseconds(100);
  absl::Duration backoff_max = absl::Seconds(1);
  // Longest attempt to connect.
  absl::Duration connect_timeout = absl::Seconds(1);
};

// Owns the connections of this node to etcd: one channel for each endpoint, of
// which one is in use until an operation on it fails; then the next.
//
// Outcomes, in addition to store.h. gRPC does not say whether a request that
// failed had left. So a transaction that writes, when there is no connection,
// is preceded by a small read: if that fails at all endpoints or by the
// deadline, the error is UNAVAILABLE (NOT_EXECUTED). Once the transaction is
// handed to gRPC, an answer that only etcd can give and that refuses says
// NOT_EXECUTED, all other errors UNKNOWN: also RESOURCE_EXHAUSTED, which gRPC
// makes too. A watch whose connection is silently dead says nothing: list now
// and then (guarantees R6).
//
// LIFETIME, THREADS, ORDER: as Store. `scheduler` outlives it. Callbacks come
// on gRPC's threads, those of refused transactions from `scheduler`. May not be
// destroyed on a thread of gRPC's, nor from a callback of its own; destruction
// cancels what is under way and waits for gRPC to let go of it, milliseconds.
class EtcdStore final : public Store {
 public:
  using Options = EtcdStoreOptions;

  // `endpoints` is not empty. Connects when something is asked.
  EtcdStore(Scheduler& scheduler, std::vector<EtcdEndpoint> endpoints,
            Options options = {});
  ~EtcdStore() override;
  EtcdStore(const EtcdStore&) = delete;
  EtcdStore& operator=(const EtcdStore&) = delete;

  void Commit(Txn txn, absl::Duration timeout, Done<TxnResult> done) override;
  void List(std::string prefix, absl::Duration timeout,
            Done<RangeResult> done) override;
  std::unique_ptr<Watch> Follow(std::string prefix, int64_t from_revision,
                                WatchHandler handler) override;
  void Compact(int64_t revision, absl::Duration timeout,
               absl::AnyInvocable<void(absl::Status)> done) override;
  bool embedded() const override { return false; }
  std::string ToString() const override;

 private:
  struct Core;
  struct PendingCommit;
  struct Listing;
  class WatchStream;
  class EtcdWatch;

  static void ProbeAndCommit(std::shared_ptr<Core> core,
                             std::shared_ptr<PendingCommit> commit);
  static void SendCommit(std::shared_ptr<Core> core, PendingCommit& commit);
  static void ListPage(std::shared_ptr<Core> core,
                       std::shared_ptr<Listing> listing);

  Scheduler& scheduler_;
  const std::vector<EtcdEndpoint> endpoints_;
  const std::shared_ptr<Core> core_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_STORE_ETCD_STORE_H_
