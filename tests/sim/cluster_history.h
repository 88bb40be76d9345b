// ClusterHistory: what happened in a simulated cluster, and whether it keeps
// what docs/guarantees.md promises.
//
// The workload records; each guarantee has one checker here, which reports it
// by its name: "G1 ...".
#ifndef MUSTER_TESTS_SIM_CLUSTER_HISTORY_H_
#define MUSTER_TESTS_SIM_CLUSTER_HISTORY_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cluster/store/keys.h"
#include "cluster/store/store_state.h"
#include "muster/store/v1/store.pb.h"
#include "node/base/clock.h"
#include "node/process/caller.h"
#include "node/types/pid.h"

namespace muster {

// One handler that ran. Times are the world's.
struct Execution {
  std::string name;
  Epoch epoch;
  int64_t call = 0;
  BootTime began;
  BootTime ended = BootTime::Infinite();
};

// One call of a client.
struct ClientCall {
  int64_t id = 0;
  std::string name;
  // Node and incarnation it went through: a client session.
  std::string session;
  // Greatest epoch of the name that the session had seen when it was sent.
  Epoch seen;
  bool finished = false;
  // The session's node died or ended first.
  bool abandoned = false;
  absl::Status status;
  Epoch epoch;
  int64_t reply = 0;
};

// "OK", or "<code> <reason> <outcome>": the same in every run, which
// Status::ToString() is not.
std::string DescribeStatus(const absl::Status& status);

// THREADS: the one of the simulation.
class ClusterHistory {
 public:
  explicit ClusterHistory(const Keys& keys) : keys_(keys) {}

  // -- Recording -----------------------------------------------------------
  // Reads what the store has committed since; checks each claim.
  void Follow(const StoreState& store);
  // A handler of a global server begins, its fence having been asked; Follow()
  // first. Returns a number for Ended.
  size_t Began(absl::string_view name, Epoch epoch, int64_t call, BootTime now);
  void Ended(size_t execution, BootTime now);
  // A server says that its fence is open now; Follow() first.
  void Passed(absl::string_view name, Epoch epoch);
  // A client sends; returns a number for Finished.
  size_t Sent(int64_t id, absl::string_view name, absl::string_view session);
  void Finished(size_t call, const absl::Status& status, Epoch epoch,
                int64_t reply);
  void Abandon(absl::string_view session);
  // A session's node resolves a name to this epoch.
  void Resolved(absl::string_view session, absl::string_view name, Epoch epoch);
  void Violate(std::string what);

  // -- Checking ------------------------------------------------------------
  // At the end: G1, G6 and G7 over all that was recorded.
  void Check();
  const std::vector<std::string>& violations() const { return violations_; }
  const std::vector<ClientCall>& calls() const { return calls_; }
  const std::vector<Execution>& executions() const { return executions_; }
  // How many calls ended so, by DescribeStatus.
  std::map<std::string, int> Outcomes() const;

 private:
  struct Owner {
    store::v1::NameRecord record;
    int64_t revision = 0;
  };

  bool IsAlive(const store::v1::NameRecord& record) const;
  void Claimed(const std::string& name, const store::v1::NameRecord& record,
               int64_t revision);
  void CheckCurrent(absl::string_view what, absl::string_view name,
                    Epoch epoch);

  const Keys keys_;
  int64_t next_revision_ = 1;
  std::map<std::string, int64_t, std::less<>> nodes_;  // Create revisions.
  std::map<std::string, Owner, std::less<>> names_;
  std::map<std::string, int64_t, std::less<>> greatest_;
  std::vector<Execution> executions_;
  std::vector<ClientCall> calls_;
  // By session and name.
  std::map<std::pair<std::string, std::string>, Epoch> seen_;
  std::map<std::pair<std::string, std::string>, Epoch> resolved_;
  std::vector<std::string> violations_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_SIM_CLUSTER_HISTORY_H_
