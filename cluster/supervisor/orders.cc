// ClusterSupervisor: the orders it gives, and what becomes of them.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/supervisor/bytes.h"
#include "cluster/supervisor/cluster_supervisor.h"
#include "muster/cluster/v1/cluster.muster.client.h"
#include "node/types/proto_time.h"
#include "node/types/status.h"

namespace muster {
namespace {

using cluster::v1::AgentClient;

// An order waits this long for its answer; then the next look decides.
constexpr absl::Duration kOrderTimeout = absl::Seconds(30);
constexpr absl::Duration kBackoffMin = absl::Milliseconds(100);
constexpr absl::Duration kBackoffMax = absl::Seconds(5);
// After a stop that should have freed a name: how long the copy of the names
// may still show it.
constexpr absl::Duration kReleaseLag = absl::Milliseconds(100);
// A look at a large tree takes some milliseconds: not more often than this, so
// that it answers its callers in between.
constexpr size_t kLargeTree = 500;
constexpr absl::Duration kLargeTreeRest = absl::Milliseconds(5);
// How old the numbers of other supervisors' children may be.
constexpr absl::Duration kOtherLoadsAge = absl::Milliseconds(100);

absl::Duration DelayAfter(int failures) {
  absl::Duration delay = kBackoffMin;
  for (int i = 1; i < failures && delay < kBackoffMax; ++i) delay *= 2;
  return std::min(delay, kBackoffMax);
}

}  // namespace

cluster::v1::Order ClusterSupervisor::MakeOrder() const {
  cluster::v1::Order order;
  order.set_supervisor(id_);
  *order.mutable_epoch() = epoch_.ToProto();
  return order;
}

// -- One look ----------------------------------------------------------------

void ClusterSupervisor::ActSoon(Context& self) {
  if (std::exchange(act_soon_, true)) return;
  self.SendAfter(
      children_.size() > kLargeTree ? kLargeTreeRest : absl::ZeroDuration(),
      Info(LookAgain{}));
}

void ClusterSupervisor::Act(Context& self) {
  act_soon_ = false;
  if (!loaded_) return;
  CheckNodes(self);
  FreeDeadNames(self);
  ForgetGone(self);
  TreeRules rules;
  rules.strategy = record_.strategy();
  rules.shutting_down = HasFailed();
  const std::vector<ChildView> views = MakeViews();
  for (const Action& action :
       Reconcile(views, MakeMembers(self), self.Now(), rules)) {
    Carry(action, self);
  }
}

// What is neither wanted nor anywhere.
void ClusterSupervisor::ForgetGone(Context& self) {
  std::vector<StoreOp> ops;
  for (auto& child : children_) {
    if (child->record.wanted() || IsUp(*child) || child->deciding > 0 ||
        !MayBeAt(*child).empty() || DeadNameOf(*child).has_value()) {
      continue;
    }
    const std::string& id = child->record.spec().id();
    ops.push_back(StoreOp::Delete(env_.membership->keys().Child(id_, id)));
    if (child->ran && !child->record.has_ended()) {
      ops.push_back(MakeEvent("child.terminated", child.get(),
                              "stopped: it is not part of its tree any more",
                              self));
    }
    child.reset();
  }
  if (ops.empty()) return;
  std::erase(children_, nullptr);
  Reindex();
  Persist(std::move(ops), self);
}

std::optional<NameRecordView> ClusterSupervisor::DeadNameOf(
    const Child& child) const {
  const store::v1::ChildSpec& spec = child.record.spec();
  std::optional<NameRecordView> view = env_.registry->Record(spec.name());
  if (view.has_value() && view->record.supervisor() == id_ &&
      view->record.child() == spec.id() &&
      !env_.registry->IsOwned(view->record)) {
    return view;
  }
  return std::nullopt;
}

void ClusterSupervisor::FreeDeadNames(Context& self) {
  Runtime* const runtime = env_.runtime;
  for (auto& child : children_) {
    const bool gone =
        !child->record.wanted() || child->record.has_ended() || HasFailed();
    if (!gone || IsUp(*child) || child->deciding > 0 ||
        self.Now() < child->not_before || !MayBeAt(*child).empty()) {
      continue;
    }
    const std::optional<NameRecordView> view = DeadNameOf(*child);
    if (!view.has_value()) continue;
    ++child->deciding;
    env_.registry->ReleaseDead(
        view->record.name(), view->record.instance(), OwnCompares(),
        [runtime, pid = self.pid(),
         id = child->record.spec().id()](absl::Status status) {
          runtime->SendLocal(pid, Info(Freed{id, std::move(status)}));
        });
  }
}

void ClusterSupervisor::TakeFreed(const Freed& freed, Context& self) {
  Child* const child = Find(freed.child);
  if (child == nullptr) return;
  --child->deciding;
  if (freed.status.ok()) {
    Settle(*child, self);
  } else {
    Backoff(*child, self);
  }
}

std::vector<ChildView> ClusterSupervisor::MakeViews() {
  std::vector<ChildView> views;
  views.reserve(children_.size());
  for (auto& child : children_) {
    const store::v1::ChildSpec& spec = child->record.spec();
    ChildView view;
    view.id = spec.id();
    view.name = spec.name();
    view.type = spec.type();
    view.phase = child->phase;
    view.node = child->node;
    const bool wanted = child->record.wanted() && !HasFailed();
    view.wanted = wanted && !child->record.has_ended();
    view.outdated = child->phase == ChildPhase::kRunning &&
                    child->started_spec != child->spec;
    view.taken_down = child->taken_down;
    view.deciding = child->deciding > 0;
    view.started = child->ran;
    view.dynamic = child->record.dynamic();
    view.temporary = spec.restart() == store::v1::TEMPORARY;
    view.not_before = child->not_before;
    view.move_not_before = child->move_not_before;
    view.move_to = child->move_to;
    if (spec.has_placement()) view.placement = &spec.placement();
    if (!IsUp(*child)) {
      // Only its owner can start it again, or free its name, while it lives.
      child->owner = wanted ? OwnerOf(*child) : MayBeAt(*child);
      view.node = child->owner;
    }
    views.push_back(view);
  }
  return views;
}

std::vector<MemberView> ClusterSupervisor::MakeMembers(Context& self) {
  const BootTime now = self.Now();
  if (!other_loads_at_.has_value() || now - *other_loads_at_ > kOtherLoadsAge) {
    other_loads_at_ = now;
    other_loads_.clear();
    for (const NameEntry& entry : env_.registry->List("")) {
      if (!entry.supervisor.empty() && entry.supervisor != kHostSupervisor &&
          entry.supervisor != id_) {
        ++other_loads_[entry.pid.node];
      }
    }
  }
  std::vector<MemberView> members;
  std::map<absl::string_view, size_t> index;
  for (const Member& member : env_.membership->Members()) {
    MemberView view = ViewOf(member.record);
    const auto others = other_loads_.find(view.node);
    if (others != other_loads_.end()) view.load = others->second;
    members.push_back(std::move(view));
  }
  for (size_t i = 0; i < members.size(); ++i) index[members[i].node] = i;
  const auto count = [&](absl::string_view node, bool in_flight) {
    const auto at = index.find(node);
    if (at == index.end()) return;
    MemberView& member = members[at->second];
    ++member.load;
    ++member.own;
    if (in_flight) ++member.in_flight;
  };
  for (const auto& child : children_) {
    if (!IsUp(*child)) {
      count(child->owner, false);
      continue;
    }
    count(child->node, child->phase == ChildPhase::kStarting);
    if (child->phase == ChildPhase::kMoving) count(child->to_node, true);
  }
  return members;
}

void ClusterSupervisor::Carry(const Action& action, Context& self) {
  Child& child = *children_[action.child];
  switch (action.kind) {
    case Action::Kind::kStart:
      StartOn(child, action.node, self);
      break;
    case Action::Kind::kStop:
      child.node = action.node;
      StopAt(child, self);
      break;
    case Action::Kind::kPending: {
      child.detail = action.why;
      if (!std::exchange(child.pending, true)) {
        std::vector<StoreOp> event;
        event.push_back(MakeEvent("child.pending", &child, action.why, self));
        Persist(std::move(event), self);
      }
      // Stored, and started as soon as a node is there.
      child.wish = Child::Wish::kNone;
      AnswerStarters(child);
      break;
    }
    case Action::Kind::kWait:
      child.detail = action.why;
      break;
    case Action::Kind::kMove:
      MoveTo(child, action.node, self);
      break;
    case Action::Kind::kStay:
      child.detail = absl::StrCat("cannot move away: ", action.why);
      break;
  }
}

// -- Starting ----------------------------------------------------------------

void ClusterSupervisor::StartOn(Child& child, const std::string& node,
                                Context& self) {
  const auto member = env_.membership->Find(node);
  if (!member.has_value()) return;
  child.phase = ChildPhase::kStarting;
  child.node = node;
  child.node_epoch = member->epoch;
  child.order = next_order_++;
  child.pending = false;
  child.unsure = false;
  cluster::v1::StartChildRequest request;
  *request.mutable_order() = MakeOrder();
  *request.mutable_spec() = child.record.spec();
  CallOptions options;
  options.timeout = kOrderTimeout;
  Runtime* const runtime = env_.runtime;
  AgentClient agent(self, ServerRef::Local(kAgentName, node));
  agent.StartChild(std::move(request), options)
      .Then([runtime, pid = self.pid(), id = child.record.spec().id(),
             order = child.order](
                absl::StatusOr<cluster::v1::StartChildResponse> result) {
        runtime->SendLocal(pid, Info(StartDone{id, order, std::move(result)}));
      });
}

void ClusterSupervisor::Started(StartDone& done, Context& self) {
  Child* const child = Find(done.child);
  if (child == nullptr || child->order != done.order ||
      child->phase != ChildPhase::kStarting) {
    return;
  }
  if (!done.result.ok()) {
    StartFailed(*child, done.result.status(), self);
    return;
  }
  const Epoch before = child->epoch;
  child->phase = ChildPhase::kRunning;
  child->pid = Pid::FromProto(done.result->pid());
  child->epoch = Epoch::FromProto(done.result->epoch());
  child->instance = done.result->instance();
  child->started_at = self.Now();
  // Why it did not move stays to be seen.
  if (child->move_failures == 0) child->detail.clear();
  // It came after what that node was sent before.
  child->unanswered.erase(child->node);
  child->refusals = 0;
  child->wish = Child::Wish::kNone;
  child->started_spec = DeterministicBytes(done.result->spec());
  // The record's instance is one of the record's own spec.
  if (child->started_spec == child->spec) {
    child->record.set_instance(child->instance);
  } else {
    child->record.clear_instance();
  }
  child->record.clear_taken_down();
  if (child->taken_down) child->record.set_taken_down(child->instance);
  const bool again = std::exchange(child->ran, true);
  std::vector<StoreOp> ops;
  ops.push_back(PutChild(*child));
  if (child->epoch != before) {
    ops.push_back(MakeEvent(again ? "child.restarted" : "child.started", child,
                            absl::StrCat(again ? "runs again" : "runs",
                                         " on node '", child->node, "'"),
                            self,
                            {{"failures", absl::StrCat(child->failures)}}));
  }
  Persist(std::move(ops), self);
  AnswerStarters(*child);
}

void ClusterSupervisor::StartFailed(Child& child, const absl::Status& status,
                                    Context& self) {
  const std::string id = child.record.spec().id();
  const std::string reason = ReasonOf(status);
  const Outcome outcome = OutcomeOf(status);
  const std::string init = DetailOf(status, kInitDetail);
  if (outcome == Outcome::kUnknown || init == kInitUnknown) {
    std::erase_if(child.unanswered, [this](const auto& order) {
      return !IsMember(order.first, order.second);
    });
    child.unanswered[child.node] = child.node_epoch;
  }
  child.phase = ChildPhase::kIdle;
  child.detail = std::string(status.message());
  if (child.record.has_ended() || !child.record.wanted() || child.taken_down) {
    WentDown(child, self);
    Settle(child, self);
    return;
  }
  if (reason == "IGNORED") {  // otp S7, S24
    child.wish = Child::Wish::kNone;
    AnswerStarters(child);
    End(child, ExitReason::Normal(), {}, self);
    return;
  }
  const std::string text = absl::StrCat("did not start on node '", child.node,
                                        "': ", status.message());
  self.LogWarning(absl::StrCat("child '", id, "' ", text));
  // A start that failed by itself counts as a restart (otp S21); one that
  // could not be tried does not.
  const bool failed =
      outcome == Outcome::kExecuted && init.empty() && reason != "FENCED";
  if (child.wish == Child::Wish::kAdd &&
      (failed || reason == "ALREADY_STARTED")) {
    // Its spec is not kept (otp 7.8).
    FailStarters(child, status);
    child.record.set_wanted(false);
    child.record.mutable_ended();  // No event: it never was.
    child.phase = ChildPhase::kEnded;
    return;
  }
  if (child.wish == Child::Wish::kRevive && failed) {
    FailStarters(child, status);
    child.wish = Child::Wish::kNone;
    End(child, ExitReason::Custom(status.message()), {}, self);
    return;
  }
  if (!failed) {
    Backoff(child, self);
    return;
  }
  std::vector<StoreOp> events;
  events.push_back(MakeEvent("child.exited", &child, text, self,
                             {{"exit_reason", std::string(status.message())}}));
  Fail({id}, true, std::move(events), self);
}

void ClusterSupervisor::AnswerStarters(Child& child) {
  const bool runs = child.phase == ChildPhase::kRunning;
  cluster::v1::AddChildResponse added;
  cluster::v1::ChangeChildResponse revived;
  if (runs) {
    *added.mutable_pid() = child.pid.ToProto();
    added.set_node(child.node);
    *revived.mutable_pid() = child.pid.ToProto();
    revived.set_node(child.node);
  }
  std::exchange(child.added, From()).Reply(added);
  for (const From& from : std::exchange(child.revived, {})) {
    from.Reply(revived);
  }
}

void ClusterSupervisor::FailStarters(Child& child, const absl::Status& status) {
  std::exchange(child.added, From()).ReplyError(status);
  for (const From& from : std::exchange(child.revived, {})) {
    from.ReplyError(status);
  }
}

void ClusterSupervisor::Backoff(Child& child, Context& self) {
  const absl::Duration delay = DelayAfter(++child.refusals);
  child.not_before = self.Now() + delay + self.random().Jitter(delay / 4);
  self.SendAfter(child.not_before - self.Now(), Info(LookAgain{}));
}

// -- Stopping ----------------------------------------------------------------

void ClusterSupervisor::StopAt(Child& child, Context& self) {
  if (child.phase != ChildPhase::kRunning) {  // Only its name is to be freed.
    const auto member = env_.membership->Find(child.node);
    if (!member.has_value()) return;
    child.node_epoch = member->epoch;
    child.not_before = self.Now() + kReleaseLag;
  }
  child.phase = ChildPhase::kStopping;
  child.unsure = false;
  child.order = next_order_++;
  cluster::v1::StopChildRequest request;
  *request.mutable_order() = MakeOrder();
  request.set_child(child.record.spec().id());
  *request.mutable_shutdown() = child.record.spec().shutdown();
  CallOptions options;
  options.timeout =
      child.record.spec().shutdown().infinity()
          ? absl::InfiniteDuration()
          : kOrderTimeout +
                FromProtoDuration(child.record.spec().shutdown().timeout());
  Runtime* const runtime = env_.runtime;
  AgentClient agent(self, ServerRef::Local(kAgentName, child.node));
  agent.StopChild(std::move(request), options)
      .Then([runtime, pid = self.pid(), id = child.record.spec().id(),
             order = child.order](
                absl::StatusOr<cluster::v1::StopChildResponse> result) {
        runtime->SendLocal(pid, Info(StopDone{id, order, result.status()}));
      });
}

void ClusterSupervisor::Stopped(StopDone& done, Context& self) {
  Child* const child = Find(done.child);
  if (child == nullptr || child->order != done.order ||
      child->phase != ChildPhase::kStopping) {
    return;
  }
  if (done.status.ok()) {
    child->phase =
        child->record.has_ended() ? ChildPhase::kEnded : ChildPhase::kIdle;
    child->unanswered.erase(child->node);
    child->node.clear();
    child->pid = Pid();
    child->instance.clear();
    child->order = 0;
    child->refusals = 0;
    if (child->taken_down) WentDown(*child, self);
    Settle(*child, self);
    return;
  }
  // Again a little later, unless its node dies first.
  self.LogWarning(absl::StrCat("child '", done.child,
                               "' did not stop: ", done.status.message()));
  child->detail = absl::StrCat("did not stop: ", done.status.message());
  child->phase = child->record.has_ended() ? ChildPhase::kEnded
                 : child->pid.empty()      ? ChildPhase::kIdle
                                           : ChildPhase::kRunning;
  Backoff(*child, self);
}

void ClusterSupervisor::Settle(Child& child, Context&) {
  if (IsUp(child) || child.deciding > 0) return;
  if (child.record.has_ended()) {
    child.phase = ChildPhase::kEnded;
    // Nothing is kept of one that is in no manifest and never restarted.
    if (child.record.dynamic() &&
        child.record.spec().restart() == store::v1::TEMPORARY) {
      child.record.set_wanted(false);
    }
  } else if (child.record.wanted()) {
    return;
  }
  if (!OwnerOf(child).empty() && child.order != 0) return;
  for (const From& from : std::exchange(child.terminated, {})) {
    from.Reply(cluster::v1::ChangeChildResponse());
  }
}

// -- Moving ------------------------------------------------------------------

void ClusterSupervisor::MoveTo(Child& child, const std::string& node,
                               Context& self) {
  child.phase = ChildPhase::kMoving;
  child.to_node = node;
  child.order = next_order_++;
  cluster::v1::MoveChildRequest request;
  *request.mutable_order() = MakeOrder();
  request.set_child(child.record.spec().id());
  request.set_to_node(node);
  *request.mutable_spec() = child.record.spec();
  CallOptions options;
  options.timeout = kOrderTimeout;
  Runtime* const runtime = env_.runtime;
  AgentClient agent(self, ServerRef::Local(kAgentName, child.node));
  agent.MoveChild(std::move(request), options)
      .Then([runtime, pid = self.pid(), id = child.record.spec().id(),
             order = child.order](
                absl::StatusOr<cluster::v1::MoveChildResponse> result) {
        runtime->SendLocal(pid, Info(MoveDone{id, order, std::move(result)}));
      });
}

void ClusterSupervisor::Moved(MoveDone& done, Context& self) {
  Child* const child = Find(done.child);
  if (child == nullptr || child->order != done.order ||
      child->phase != ChildPhase::kMoving) {
    return;
  }
  child->move_to.clear();
  const std::vector<From> waiters = std::exchange(child->moved, {});
  if (done.result.ok()) {
    const cluster::v1::MoveChildResponse& at = *done.result;
    child->phase = ChildPhase::kRunning;
    child->pid = Pid::FromProto(at.pid());
    child->node = child->pid.node;
    child->node_epoch = child->pid.epoch;
    child->epoch = Epoch::FromProto(at.epoch());
    child->instance = at.instance();
    child->move_failures = 0;
    child->detail.clear();
    if (child->started_spec == child->spec) {
      child->record.set_instance(child->instance);
    } else {
      child->record.clear_instance();
    }
    child->record.clear_taken_down();
    if (child->taken_down) child->record.set_taken_down(child->instance);
    // The claim by which it moved has told the journal.
    Persist({PutChild(*child)}, self);
    cluster::v1::ChangeChildResponse response;
    *response.mutable_pid() = child->pid.ToProto();
    response.set_node(child->node);
    response.set_with_state(at.with_state());
    for (const From& waiter : waiters) waiter.Reply(response);
    return;
  }
  const absl::Status& status = done.result.status();
  self.LogWarning(absl::StrCat("child '", done.child, "' did not move to '",
                               child->to_node, "': ", status.message()));
  child->phase = ChildPhase::kRunning;
  child->detail = absl::StrCat("did not move to node '", child->to_node,
                               "': ", status.message());
  const absl::Duration delay = DelayAfter(++child->move_failures);
  child->move_not_before = self.Now() + delay + self.random().Jitter(delay / 4);
  self.SendAfter(child->move_not_before - self.Now(), Info(LookAgain{}));
  for (const From& waiter : waiters) waiter.ReplyError(status);
  if (OutcomeOf(status) == Outcome::kNotExecuted) return;  // As it was.
  // Its name says where it is now, and that node how it is.
  const std::string owner = OwnerOf(*child);
  if (owner.empty()) {
    child->phase = ChildPhase::kIdle;
  } else {
    StartOn(*child, owner, self);
  }
}

}  // namespace muster
