// ClusterSupervisor: keeps one applied tree running over the nodes.
#ifndef MUSTER_CLUSTER_SUPERVISOR_CLUSTER_SUPERVISOR_H_
#define MUSTER_CLUSTER_SUPERVISOR_CLUSTER_SUPERVISOR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "cluster/supervisor/death_toll.h"
#include "cluster/supervisor/env.h"
#include "cluster/supervisor/reconciler.h"
#include "cluster/supervisor/record_writer.h"
#include "muster/cluster/v1/cluster.muster.server.h"
#include "node/supervisor/restart_window.h"

namespace muster {

// A fenced singleton: it runs under the cluster-wide name
// muster/supervisor/<id>, every order carries that name's epoch, and every
// record it writes compares it (guarantees R17). After a failover the new one
// reads the records, asks the nodes what runs, and adopts it.
//
// It never waits for a node: orders go out, answers come back as infos, and
// each changes one child's phase; then Reconcile says what is next. What it
// decides (restarts, with their history; additions; terminations) is stored
// before it is ordered.
//
// Its parts: taking over and messages (cluster_supervisor.cc), Apply
// (apply.cc), children one at a time (change.cc), orders and their answers
// (orders.cc), what ends and dies (failures.cc), records (records.cc).
class ClusterSupervisor final : public cluster::v1::ClusterSupervisorServer {
 public:
  explicit ClusterSupervisor(ClusterEnv env);
  ~ClusterSupervisor() override;

  InitResult Init(const cluster::v1::SupervisorOptions& options,
                  Context& self) override;
  Next HandleContinue(Info message, Context& self) override;
  Reply<cluster::v1::ApplyResponse> Apply(
      const cluster::v1::ApplyRequest& request, Context& self) override;
  Reply<cluster::v1::AddChildResponse> AddChild(
      const cluster::v1::AddChildRequest& request, Context& self) override;
  Reply<cluster::v1::ChangeChildResponse> ChangeChild(
      const cluster::v1::ChangeChildRequest& request, Context& self) override;
  Next ChildExited(const cluster::v1::ChildExitedRequest& request,
                   Context& self) override;
  Reply<cluster::v1::GetChildrenResponse> GetChildren(
      const cluster::v1::GetChildrenRequest& request, Context& self) override;
  Next HandleInfo(Info info, Context& self) override;

 private:
  struct Child {
    store::v1::ChildRecord record;
    // Its spec, serialized: what starts are compared with.
    std::string spec;
    ChildPhase phase = ChildPhase::kIdle;
    // Where it is, and the epoch of that node when it was ordered there.
    std::string node;
    Epoch node_epoch;
    // Where it moves to.
    std::string to_node;
    Pid pid;
    Epoch epoch;
    std::string instance;
    // What the running one was started with.
    std::string started_spec;
    bool taken_down = false;
    // Idle for this supervisor, but an order of an earlier one, which was not
    // answered, may have started `instance` on `node`.
    bool unsure = false;
    // It ran before, here or under an earlier supervisor.
    bool ran = false;
    // Decisions about it that are not stored yet.
    int deciding = 0;
    // Nodes, and as which incarnations, where a start was ordered without an
    // answer, so that it may still take effect, even if the child has run
    // elsewhere since: one that is not wanted any more is stopped there before
    // it is forgotten.
    std::map<std::string, Epoch> unanswered;
    // Failures since it last ran for a whole period.
    int failures = 0;
    BootTime started_at;
    // Orders that could not be carried out since one was.
    int refusals = 0;
    BootTime not_before;
    int move_failures = 0;
    BootTime move_not_before;
    std::string move_to;
    std::string detail;
    bool pending = false;  // It fits nowhere, and that was said.
    // Counts orders; answers to earlier ones are dropped.
    uint64_t order = 0;
    // What its next start is: an event, and what a failure of it does.
    enum class Wish { kNone, kAdd, kRevive };
    Wish wish = Wish::kNone;
    // Answers of AddChild and ChangeChild that wait.
    From added;
    std::vector<From> revived;
    std::vector<From> terminated;
    std::vector<From> moved;
    // For the views of one round.
    std::string owner;
  };
  using ById = absl::flat_hash_map<std::string, Child*>;
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
  struct MoveDone {
    std::string child;
    uint64_t order;
    absl::StatusOr<cluster::v1::MoveChildResponse> result;
  };
  struct Reported {
    std::string node;
    absl::StatusOr<cluster::v1::ReportChildrenResponse> result;
  };
  struct Decided {
    uint64_t decision;
    bool stored;
  };
  // A node's epoch that died.
  using Death = std::pair<std::string, uint64_t>;
  struct DeathKnown {
    Death death;
    bool attested;
  };
  // The name of a child that is gone was freed, or not.
  struct Freed {
    std::string child;
    absl::Status status;
  };
  struct Tick {};

  // -- Taking over (cluster_supervisor.cc) ---------------------------------
  void TakeRecords(const RangeResult& children, const RangeResult& record,
                   Context& self);
  // Adopts what the name records and the nodes say.
  void Adopt(Context& self);
  void AskNodes(Context& self);
  void TakeReport(Reported& reported, Context& self);

  // -- Children ------------------------------------------------------------
  Child* Find(const std::string& id);
  // After children_ has changed.
  void Reindex();
  void SetSpec(Child& child, const store::v1::ChildSpec& spec) const;
  bool HasFailed() const { return !record_.failed().empty(); }
  bool IsUp(const Child& child) const;
  // The node that owns the child's name under this supervisor and lives; empty
  // if there is none.
  std::string OwnerOf(const Child& child) const;
  // An order of an earlier supervisor may have moved it after this one read its
  // record: then it is ordered where it is, whose node says what runs.
  void CheckOwner(Child& child, Context& self);
  bool IsMember(const std::string& node, Epoch epoch) const;
  // Where a child that is not wanted may yet be: OwnerOf, else a node of an
  // unanswered order that lives.
  std::string MayBeAt(const Child& child) const;

  // -- Orders and their answers (orders.cc) --------------------------------
  cluster::v1::Order MakeOrder() const;
  // Acts soon, once for all that has come in until then.
  void ActSoon(Context& self);
  void Act(Context& self);
  void ForgetGone(Context& self);
  // The record of its name, if its owner's epoch is dead, so that nobody but
  // this supervisor does anything about it.
  std::optional<NameRecordView> DeadNameOf(const Child& child) const;
  // Frees the names of children that are not to run again and whose node died
  // before it could.
  void FreeDeadNames(Context& self);
  void TakeFreed(const Freed& freed, Context& self);
  std::vector<ChildView> MakeViews();
  std::vector<MemberView> MakeMembers(Context& self);
  void Carry(const Action& action, Context& self);
  void StartOn(Child& child, const std::string& node, Context& self);
  void StopAt(Child& child, Context& self);
  void MoveTo(Child& child, const std::string& node, Context& self);
  void Started(StartDone& done, Context& self);
  void StartFailed(Child& child, const absl::Status& status, Context& self);
  void Stopped(StopDone& done, Context& self);
  void Moved(MoveDone& done, Context& self);
  // A child has run, or cannot: answers who waits for it.
  void AnswerStarters(Child& child);
  void FailStarters(Child& child, const absl::Status& status);
  // One that is down for good: ended, forgotten, and answered.
  void Settle(Child& child, Context& self);
  // The order could not be carried out: again a little later.
  void Backoff(Child& child, Context& self);

  // -- What ends and dies (failures.cc) ------------------------------------
  void Exited(Child& child, const ExitReason& reason, Context& self);
  void CheckNodes(Context& self);
  void NodeDied(Child& child, Context& self);
  // It ended, and its restart type wants no other start.
  void End(Child& child, const ExitReason& reason, std::vector<StoreOp> events,
           Context& self);
  // One that a restart of its group was to take down is down.
  void WentDown(Child& child, Context& self);
  // Asks the store whether the death was attested (otp 16.1, decision 8).
  void LookUp(const Death& death, Context& self);
  void TakeDeath(const DeathKnown& known, Context& self);
  // One restart event (otp S18): counts it, takes down what goes with it, and
  // stores all that before anything is ordered. Gives up if it is one too many.
  void Fail(const std::vector<std::string>& failed, bool counts,
            std::vector<StoreOp> events, Context& self);
  void GiveUp(std::vector<StoreOp> ops, Context& self);

  // -- One child at a time (change.cc) -------------------------------------
  absl::Status CheckNew(const store::v1::ChildSpec& spec);
  absl::Status TerminateChild(Child& child, Context& self);
  absl::Status ReviveChild(Child& child, Context& self);
  absl::Status DeleteChild(Child& child, Context& self);
  absl::Status MoveChild(Child& child, const std::string& to, Context& self);

  // -- Records (records.cc) ------------------------------------------------
  Pending<absl::StatusOr<RangeResult>> List(std::string prefix,
                                            Context& self) const;
  Pending<absl::StatusOr<TxnResult>> Write(std::vector<StoreOp> ops,
                                           Context& self) const;
  // Writes records and events under this supervisor's epoch, however long the
  // store takes; events alone may be lost, which is counted.
  void Persist(std::vector<StoreOp> ops, Context& self);
  // As Persist, with `then` once it is written, unless another has taken over.
  void Decide(std::vector<StoreOp> ops, std::function<void(Context&)> then,
              Context& self);
  void TellLostEvents(Context& self);
  void TakeDecided(const Decided& decided, Context& self);
  // Never by the fence: the store's compare is the guard, and what is asked of
  // it while the fence is shut is carried out if the node turns out to live.
  std::vector<Compare> OwnCompares() const;
  // The restarts that count (guarantees R1, R17).
  void AddAges(store::v1::SupervisorRecord& record, Context& self) const;
  StoreOp PutSupervisor(Context& self) const;
  StoreOp PutChild(const Child& child) const;
  StoreOp MakeEvent(absl::string_view kind, const Child* child,
                    absl::string_view text, Context& self,
                    std::map<std::string, std::string> evidence = {}) const;

  const ClusterEnv env_;
  const std::shared_ptr<RecordWriter> writer_;
  std::string id_;
  // Of its name; empty before it was read for the first time.
  Epoch epoch_;
  bool loaded_ = false;
  store::v1::SupervisorRecord record_;
  RestartWindow window_{3, absl::Seconds(5)};
  // In start order: as the manifest says, then those that were added.
  std::vector<std::unique_ptr<Child>> children_;
  ById by_id_;
  uint64_t next_order_ = 1;
  uint64_t next_decision_ = 1;
  // What is to be done once they are stored.
  std::map<uint64_t, std::function<void(Context&)>> decisions_;
  // Children that a dead node had, until it is known how it died.
  std::map<Death, std::vector<std::string>> deaths_;
  DeathToll toll_;
  bool act_soon_ = false;
  // Lost events that were told.
  uint64_t events_lost_told_ = 0;
  // Children of other supervisors by node, and when that was looked up.
  std::map<std::string, int> other_loads_;
  std::optional<BootTime> other_loads_at_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_CLUSTER_SUPERVISOR_H_
