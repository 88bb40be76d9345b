// SupervisorHost: makes sure that every applied tree has its supervisor.
#ifndef MUSTER_CLUSTER_SUPERVISOR_SUPERVISOR_HOST_H_
#define MUSTER_CLUSTER_SUPERVISOR_SUPERVISOR_HOST_H_

#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cluster/store/replica.h"
#include "cluster/supervisor/crash_backoff.h"
#include "cluster/supervisor/death_toll.h"
#include "cluster/supervisor/env.h"
#include "node/base/log.h"
#include "node/base/strand.h"

namespace muster {

// One on every node. Follows the supervisor records; one whose name has no
// living owner is claimed and started here. All nodes try, each after a wait of
// its own (guarantees R15), and the store lets one win. LIFETIME: the strand is
// closed before it is destroyed. THREADS: on the strand; Ensure and LookAgain
// from any.
class SupervisorHost {
 public:
  SupervisorHost(ClusterEnv env, Strand* strand, Clock* clock,
                 RandomSource* random, Logger* logger);
  ~SupervisorHost();

  void Start();
  // Makes a supervisor's record if it has none, so that some node starts it.
  void Ensure(absl::string_view supervisor,
              absl::AnyInvocable<void(absl::Status)> done);
  // Members or names have changed.
  void Look();
  // This node is leaving: starts no supervisor any more.
  void Retire();
  // Ids of the trees, sorted.
  std::vector<std::string> Supervisors() const ABSL_LOCKS_EXCLUDED(mu_);

  // Ends its watches, so that the store can go; the strand is closed.
  void StopWatching();

 private:
  void LookNow();
  void TryClaim(const std::string& id);
  void Crashed(const std::string& id);
  void Ended(const std::string& id);
  // How long it waits before it claims one that has no owner.
  absl::Duration Patience(const std::string& id);

  const ClusterEnv env_;
  Strand* const strand_;
  Clock* const clock_;
  RandomSource* const random_;
  Logger* const logger_;
  std::unique_ptr<Replica> records_;
  std::map<std::string, Pid> running_;  // Here.
  // Of those that have run here.
  struct Runs {
    BootTime began;
    CrashBackoff backoff;
  };
  std::map<std::string, Runs> runs_;
  std::set<std::string> claiming_;
  DeathToll toll_;
  bool retired_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  mutable Mutex mu_;
  std::set<std::string> ids_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_SUPERVISOR_HOST_H_
