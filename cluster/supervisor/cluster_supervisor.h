// ClusterSupervisor: keeps one applied tree running over the nodes.
#ifndef MUSTER_CLUSTER_SUPERVISOR_CLUSTER_SUPERVISOR_H_
#define MUSTER_CLUSTER_SUPERVISOR_CLUSTER_SUPERVISOR_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/supervisor/env.h"
#include "cluster/supervisor/reconciler.h"
#include "muster/cluster/v1/cluster.muster.server.h"
#include "node/supervisor/restart_window.h"

namespace muster {

// A fenced singleton: it runs under the cluster-wide name
// muster/supervisor/<id>, every order carries that name's epoch, and every
// record it writes compares it (guarantees R17). After a failover the new one
// reads the records, asks the nodes what runs, and adopts it.
//
// It never waits for a node: orders go out, answers come back as infos, and
// each changes one child's phase; then Reconcile says what is next.
class ClusterSupervisor final : public cluster::v1::ClusterSupervisorServer {
 public:
  explicit ClusterSupervisor(ClusterEnv env);
  ~ClusterSupervisor() override;

  InitResult Init(const cluster::v1::SupervisorOptions& options,
                  Context& self) override;
  Next HandleContinue(Info message, Context& self) override;
  Reply<cluster::v1::ApplyResponse> Apply(
      const cluster::v1::ApplyRequest& request, Context& self) override;
  Next ChildExited(const cluster::v1::ChildExitedRequest& request,
                   Context& self) override;
  Reply<cluster::v1::GetChildrenResponse> GetChildren(
      const cluster::v1::GetChildrenRequest& request, Context& self) override;
  Next HandleInfo(Info info, Context& self) override;

 private:
  struct Child {
    store::v1::ChildRecord record;
    ChildPhase phase = ChildPhase::kIdle;
    // Where it is, and the epoch of that node when it was ordered there.
    std::string node;
    Epoch node_epoch;
    Pid pid;
    Epoch epoch;
    std::string instance;
    // What the running one was started with.
    std::string started_spec;
    // A start was ordered here without an answer, so that it may still take
    // effect: a child that is not wanted any more is stopped there before it
    // is forgotten. Empty: no such order.
    std::string unanswered_node;
    Epoch unanswered_epoch;
    int failures = 0;
    BootTime not_before;
    std::string detail;
    // Counts orders; answers to earlier ones are dropped.
    uint64_t order = 0;
  };
  struct StartDone {
    std::string child;
    uint64_t order;
    absl::StatusOr<cluster::v1::StartChildResponse> result;
  };
  struct StopDone {
    std::string child;
    uint64_t order;
    absl::Status status;
  };
  struct Reported {
    std::string node;
    absl::StatusOr<cluster::v1::ReportChildrenResponse> result;
  };
  struct Tick {};

  // Writes records one after another, so that an older one never overwrites a
  // newer one.
  class Writer;

  Pending<absl::StatusOr<RangeResult>> List(std::string prefix,
                                            Context& self) const;
  Pending<absl::StatusOr<TxnResult>> Write(Txn txn, Context& self) const;
  Child* Find(const std::string& id);
  // The node that owns the child's name under this supervisor and lives; empty
  // if there is none.
  std::string OwnerOf(const Child& child) const;
  cluster::v1::Order MakeOrder(Context& self) const;
  // Adopts what the name records and the nodes say.
  void Adopt(Context& self);
  void AskNodes(Context& self);
  void TakeReport(Reported& reported, Context& self);
  void CheckNodes(Context& self);
  void Act(Context& self);
  void StartOn(Child& child, const std::string& node, Context& self);
  void StopAt(Child& child, Context& self);
  void Started(StartDone& done, Context& self);
  void Stopped(StopDone& done, Context& self);
  void Exited(Child& child, const ExitReason& reason, Context& self);
  // Where a child that is not wanted may yet be: OwnerOf, else the node of an
  // unanswered order while it lives.
  std::string MayBeAt(const Child& child) const;
  // Counts a restart; false: the supervisor gives up.
  bool CountRestart(Context& self);
  void GiveUp(absl::string_view why, Context& self);
  void Backoff(Child& child, Context& self);
  // Writes records under this supervisor's epoch; tried again for some seconds
  // if the store does not answer.
  void Persist(std::vector<StoreOp> ops, Context& self);
  std::vector<Compare> OwnCompares(Context& self) const;
  StoreOp PutSupervisor(Context& self) const;
  StoreOp PutChild(const Child& child) const;

  const ClusterEnv env_;
  const std::shared_ptr<Writer> writer_;
  std::string id_;
  bool loaded_ = false;
  store::v1::SupervisorRecord record_;
  RestartWindow window_{3, absl::Seconds(5)};
  std::vector<std::unique_ptr<Child>> children_;  // In start order.
  uint64_t next_order_ = 1;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_CLUSTER_SUPERVISOR_H_
