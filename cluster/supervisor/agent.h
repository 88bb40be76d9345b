// Agent: starts and stops cluster children on one node.
#ifndef MUSTER_CLUSTER_SUPERVISOR_AGENT_H_
#define MUSTER_CLUSTER_SUPERVISOR_AGENT_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/supervisor/env.h"
#include "muster/cluster/v1/cluster.muster.server.h"

namespace muster {

// Owns the cluster children that run on this node: claims their names, starts
// them, and reports their ends to their supervisors until those have decided.
//
//   (order) --> claiming --ok--> starting --Init ok--> running
//                  \ refused        \ failed              \ ended
//                   v                v                     v
//                (answer error)    ended: the record stands, callers get
//                                  RESTARTING, until the supervisor orders a
//                                  start (renewal) or a stop (release)
class Agent final : public cluster::v1::AgentServer {
 public:
  explicit Agent(ClusterEnv env) : env_(env) {}

  Reply<cluster::v1::StartChildResponse> StartChild(
      const cluster::v1::StartChildRequest& request, Context& self) override;
  Reply<cluster::v1::StopChildResponse> StopChild(
      const cluster::v1::StopChildRequest& request, Context& self) override;
  Reply<cluster::v1::ReportChildrenResponse> ReportChildren(
      const cluster::v1::ReportChildrenRequest& request,
      Context& self) override;
  Reply<cluster::v1::GetDescriptorsResponse> GetDescriptors(
      const cluster::v1::GetDescriptorsRequest& request,
      Context& self) override;
  Reply<cluster::v1::ListProcessesResponse> ListProcesses(
      const cluster::v1::ListProcessesRequest& request, Context& self) override;
  Reply<cluster::v1::MoveChildResponse> MoveChild(
      const cluster::v1::MoveChildRequest& request, Context& self) override;
  Reply<cluster::v1::AcceptChildResponse> AcceptChild(
      const cluster::v1::AcceptChildRequest& request, Context& self) override;
  Next HandleInfo(Info info, Context& self) override;

 private:
  using Key = std::pair<std::string, std::string>;  // Supervisor, child.
  struct Entry {
    store::v1::ChildSpec spec;
    Pid pid;
    Epoch epoch;
    std::string instance;
    bool starting = false;
    std::optional<ExitReason> ended;
    // Answers of orders that wait for this start or stop.
    std::vector<From> starters;
    std::vector<From> stoppers;
    TimerRef report;
  };
  struct ClaimDone {
    Key key;
    Pid pid;
    absl::StatusOr<Claimed> result;
  };
  struct StartDone {
    Key key;
    Pid pid;
    absl::Status status;
  };
  struct ChildEnded {
    Key key;
    Pid pid;
    ExitReason reason;
  };
  struct Released {
    Key key;
    std::string instance;
    absl::Status status;
  };
  struct ReportAgain {
    Key key;
    std::string instance;
  };

  // FENCED if a newer supervisor has given orders (guarantees R17).
  absl::Status CheckOrder(const cluster::v1::Order& order);
  void ClaimAnswered(ClaimDone& done, Context& self);
  void Started(StartDone& done, Context& self);
  void Ended(ChildEnded& done, Context& self);
  void FailStart(const Key& key, Entry& entry, const absl::Status& status,
                 Context& self);
  void Report(const Key& key, Entry& entry, Context& self);
  void BeginRelease(const Key& key, Entry& entry, Context& self);

  const ClusterEnv env_;
  std::map<Key, Entry> children_;
  // Greatest epoch that has given orders, by supervisor.
  std::map<std::string, Epoch> orders_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_AGENT_H_
