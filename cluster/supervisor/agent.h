// Agent: starts and stops cluster children on one node.
#ifndef MUSTER_CLUSTER_SUPERVISOR_AGENT_H_
#define MUSTER_CLUSTER_SUPERVISOR_AGENT_H_

#include <cstdint>
#include <map>
#include <memory>
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
//
// A child that moves (agent_moves.cc), at its old place and at its new one:
//
//   running --MoveChild--> held --AcceptChild--> (1) --> gone
//      ^                                   |
//      +-------- taken back ---------------+  (refused, failed, no answer)
//   (AcceptChild) --> claiming with consent --> starting, then Restore -->
//   running, receiving what the old place has --EndHandOff--> running
//   (1) the new place owns the name: what waits is sent there, then the old
//       process ends with shutdown(moved), which is reported to nobody
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
  Next EndHandOff(const cluster::v1::EndHandOffRequest& request,
                  Context& self) override;
  Reply<cluster::v1::SetDrainingResponse> SetDraining(
      const cluster::v1::SetDrainingRequest& request, Context& self) override;
  Next HandleInfo(Info info, Context& self) override;

 private:
  using Key = std::pair<std::string, std::string>;  // Supervisor, child.
  // A hand-off at the old place.
  struct Move {
    cluster::v1::MoveChildRequest request;
    // Of the name, while this node owns it.
    store::v1::NameRecord record;
    uint64_t alias = 0;
    std::optional<core::v1::Payload> snapshot;
    // Terminate has run: it cannot go on here.
    bool retired = false;
    absl::Status failure;
    std::vector<From> movers;
    // Where it is now, once that is decided.
    std::optional<cluster::v1::MoveChildResponse> moved;
  };
  // A hand-off at the new place.
  struct Accept {
    std::string supervisor;
    uint64_t alias = 0;
    std::string from_node;
    std::vector<From> senders;
    bool ended = false;  // All has been sent.
  };
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
    std::unique_ptr<Move> move;      // It is being handed to another node.
    std::unique_ptr<Accept> accept;  // It was handed to this one.
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

  struct HoldDone {
    Key key;
    Pid pid;
    absl::StatusOr<Payload> snapshot;
  };
  struct RetireDone {
    Key key;
    Pid pid;
  };
  struct AcceptDone {
    Key key;
    Pid pid;
    absl::StatusOr<cluster::v1::AcceptChildResponse> result;
  };
  struct TakenBack {
    Key key;
    Pid pid;
    absl::StatusOr<Epoch> result;
  };
  struct AcceptLate {
    Key key;
    Pid pid;
  };

  // FENCED if a newer supervisor has given orders (guarantees R17).
  absl::Status CheckOrder(const cluster::v1::Order& order);
  // Claims the name and starts the entry's spec, under its claim.
  void Begin(const Key& key, Entry& entry, const ServerTypeInfo& type,
             const cluster::v1::Order& order, Claim claim, SpawnOptions spawn,
             Context& self);
  // -- agent_moves.cc
  // True: it was one of a move.
  bool MoveInfo(Info& info, Context& self);
  // The entry whose process `pid` is being moved; null if it is not any more.
  Entry* Moving(const Key& key, const Pid& pid);
  void SendAccept(const Key& key, Entry& entry, Context& self);
  void Held(HoldDone& done, Context& self);
  void Accepted(AcceptDone& done, Context& self);
  void BeginTakeBack(const Key& key, Entry& entry, Context& self);
  void TookBack(TakenBack& done, Context& self);
  void HandOver(Entry& entry, const store::v1::NameRecord& record, Epoch epoch,
                Context& self);
  void CallOff(const Key& key, Entry& entry, Epoch epoch, Context& self);
  // The old process has ended: tells the new place, and who waits.
  void MoveEnded(std::map<Key, Entry>::iterator at, Context& self);
  // Its process has ended in the middle.
  void FailMove(Entry& entry);
  void AnswerAccept(Entry& entry, const absl::Status& status, Context& self);
  // User code could not even make the server.
  void MakeFailed(const Key& key, Entry& entry, const absl::Status& status,
                  Context& self);
  void ClaimAnswered(ClaimDone& done, Context& self);
  void Started(StartDone& done, Context& self);
  void Ended(ChildEnded& done, Context& self);
  void FailStart(const Key& key, Entry& entry, const absl::Status& status,
                 Context& self);
  void Report(const Key& key, Entry& entry, Context& self);
  // Once what is known of the name says that it is still to be reported. First
  // for what failed to start in a hand-off: its old place, which has its state,
  // takes the name back before its supervisor starts it anew.
  void ReportLater(const Key& key, Entry& entry, Context& self);
  void BeginRelease(const Key& key, Entry& entry, Context& self);

  const ClusterEnv env_;
  std::map<Key, Entry> children_;
  // Greatest epoch that has given orders, by supervisor.
  std::map<std::string, Epoch> orders_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_AGENT_H_
