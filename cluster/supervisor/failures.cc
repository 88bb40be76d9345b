// ClusterSupervisor: children that end, and nodes that die.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/membership/reap.h"
#include "cluster/supervisor/cluster_supervisor.h"
#include "node/supervisor/decide.h"
#include "node/types/proto_time.h"
#include "node/types/status.h"

namespace muster {
namespace {

// How long the store may take to say how a node died. Without an answer the
// death does not count.
constexpr absl::Duration kLookUpTimeout = absl::Milliseconds(300);

Restart ToRestart(store::v1::Restart restart) {
  switch (restart) {
    case store::v1::TRANSIENT:
      return Restart::kTransient;
    case store::v1::TEMPORARY:
      return Restart::kTemporary;
    default:
      return Restart::kPermanent;
  }
}

bool IsTemporary(const store::v1::ChildRecord& record) {
  return record.spec().restart() == store::v1::TEMPORARY;
}

}  // namespace

// The table of otp 7.3, over nodes.
void ClusterSupervisor::Exited(Child& child, const ExitReason& reason,
                               Context& self) {
  const std::string id = child.record.spec().id();
  child.pid = Pid();
  child.move_to.clear();
  for (const From& from : std::exchange(child.moved, {})) {
    from.ReplyError(
        Error(absl::StatusCode::kAborted, "CALLEE_EXITED",
              absl::StrCat("child '", id, "' ended: ", reason.ToString()))
            .Executed());
  }
  if (child.taken_down) {  // As it was to (otp S16).
    WentDown(child, self);
    return;
  }
  if (child.record.has_ended() || !child.record.wanted() || HasFailed()) {
    child.phase =
        child.record.has_ended() ? ChildPhase::kEnded : ChildPhase::kIdle;
    return;  // Act frees its name.
  }
  child.detail = reason.ToString();
  const bool restart = EffectOfExit(ToRestart(child.record.spec().restart()),
                                    reason) == ExitEffect::kRestart;
  const std::string text =
      absl::StrCat("ended on node '", child.node, "': ", reason.ToString(),
                   restart ? "" : "; it is not restarted");
  self.LogWarning(absl::StrCat("child '", id, "' ", text));
  std::vector<StoreOp> events;
  events.push_back(MakeEvent("child.exited", &child, text, self,
                             {{"exit_reason", reason.ToString()}}));
  if (restart) {
    child.phase = ChildPhase::kIdle;
    Fail({id}, true, std::move(events), self);
  } else {
    End(child, reason, std::move(events), self);
  }
}

void ClusterSupervisor::End(Child& child, const ExitReason& reason,
                            std::vector<StoreOp> events, Context& self) {
  child.phase = ChildPhase::kEnded;  // Act frees its name.
  child.record.clear_taken_down();
  *child.record.mutable_ended() = reason.ToProto();
  events.push_back(PutChild(child));
  Persist(std::move(events), self);
  Settle(child, self);
}

void ClusterSupervisor::WentDown(Child& child, Context& self) {
  child.taken_down = false;
  child.phase =
      child.record.has_ended() ? ChildPhase::kEnded : ChildPhase::kIdle;
  // Not restarted, also not when a sibling took it down (otp S10).
  if (IsTemporary(child.record) && child.record.wanted() &&
      !child.record.has_ended()) {
    End(child, ExitReason::Shutdown(), {}, self);
  }
}

// -- Nodes -------------------------------------------------------------------

void ClusterSupervisor::CheckNodes(Context& self) {
  std::map<std::string, uint64_t> nodes;
  for (const Member& member : env_.membership->Members()) {
    nodes[member.record.node()] = member.epoch.revision;
  }
  toll_.Note(nodes, self.Now());
  const auto is_current = [&](const Child& child) {
    const auto at = nodes.find(child.node);
    return at != nodes.end() && at->second == child.node_epoch.revision;
  };
  for (size_t i = 0; i < children_.size(); ++i) {
    if (IsUp(*children_[i]) && !is_current(*children_[i])) {
      NodeDied(*children_[i], self);
    }
  }
}

// Its node's epoch is dead: an abnormal exit (otp 16.1, decision 8).
void ClusterSupervisor::NodeDied(Child& child, Context& self) {
  const std::string id = child.record.spec().id();
  const Death death{child.node, child.node_epoch.revision};
  const ChildPhase was = child.phase;
  self.LogWarning(
      absl::StrCat("node '", child.node, "' of child '", id, "' is gone"));
  const absl::Status lost = Error(absl::StatusCode::kAborted, "NOCONNECTION",
                                  absl::StrCat("node '", child.node, "' died"))
                                .Unknown();
  child.move_to.clear();
  for (const From& from : std::exchange(child.moved, {})) from.ReplyError(lost);
  if (was == ChildPhase::kMoving) {
    if (const std::string owner = OwnerOf(child);
        !owner.empty() && owner != child.node) {
      StartOn(child, owner, self);  // It had arrived; its node says so.
      return;
    }
  }
  const std::string text = absl::StrCat("node '", child.node, "' died");
  std::vector<StoreOp> events;
  events.push_back(MakeEvent("child.exited", &child, text, self,
                             {{"exit_reason", "noconnection"}}));
  child.order = 0;
  child.detail = text;
  child.pid = Pid();
  child.node.clear();
  child.instance.clear();
  child.phase = ChildPhase::kIdle;
  if (child.taken_down) {
    WentDown(child, self);
  } else if (child.record.has_ended()) {
    child.phase = ChildPhase::kEnded;
    Settle(child, self);
  } else if (!child.record.wanted() || HasFailed() ||
             was == ChildPhase::kStarting || was == ChildPhase::kStopping) {
    return;
  } else if (IsTemporary(child.record)) {
    End(child, ExitReason::Noconnection(), std::move(events), self);
  } else {
    Persist(std::move(events), self);
    ++child.deciding;
    std::vector<std::string>& with = deaths_[death];
    with.push_back(id);
    if (with.size() == 1) LookUp(death, self);
  }
}

void ClusterSupervisor::LookUp(const Death& death, Context& self) {
  Runtime* const runtime = env_.runtime;
  const std::string key = env_.membership->keys().Attested(death.first);
  const Epoch epoch{env_.membership->generation(), death.second};
  // Nodes whose names begin with this one come along.
  env_.store->List(key, kLookUpTimeout,
                   [runtime, death, key, epoch, pid = self.pid()](
                       const absl::StatusOr<RangeResult>& result) {
                     bool attested = false;
                     if (result.ok()) {
                       for (const KeyValue& item : result->items) {
                         store::v1::EventRecord event;
                         attested |= item.key == key &&
                                     event.ParseFromString(item.value) &&
                                     IsAttestationOf(event, death.first, epoch);
                       }
                     }
                     runtime->SendLocal(pid, Info(DeathKnown{death, attested}));
                   });
}

void ClusterSupervisor::TakeDeath(const DeathKnown& known, Context& self) {
  const auto at = deaths_.find(known.death);
  if (at == deaths_.end()) return;
  const std::vector<std::string> ids = std::move(at->second);
  deaths_.erase(at);
  for (const std::string& id : ids) {
    if (Child* const child = Find(id)) --child->deciding;
  }
  // A lost host, a partition or a drain ends nobody's supervisor; a child that
  // takes its node down does (otp 16.1, decision 8).
  Fail(ids, known.attested, {}, self);
}

// -- Restart events ----------------------------------------------------------

void ClusterSupervisor::Fail(const std::vector<std::string>& failed,
                             bool counts, std::vector<StoreOp> ops,
                             Context& self) {
  const BootTime now = self.Now();
  std::vector<size_t> indexes;
  const std::set<std::string> ids(failed.begin(), failed.end());
  for (size_t i = 0; i < children_.size(); ++i) {
    const Child& child = *children_[i];
    if (ids.contains(child.record.spec().id()) &&
        child.phase == ChildPhase::kIdle && child.record.wanted() &&
        !child.record.has_ended()) {
      indexes.push_back(i);
    }
  }
  if (indexes.empty() || HasFailed()) {
    Persist(std::move(ops), self);
    return;
  }
  const absl::Duration period = FromProtoDuration(record_.period());
  // What an earlier supervisor may have started goes down with its group.
  std::vector<size_t> unsure;
  for (size_t i = 0; i < children_.size(); ++i) {
    Child& child = *children_[i];
    if (!child.unsure || child.phase != ChildPhase::kIdle ||
        OwnerOf(child) != child.node ||
        ids.contains(child.record.spec().id())) {
      continue;
    }
    child.phase = ChildPhase::kRunning;
    unsure.push_back(i);
  }
  const GroupPlan plan = PlanGroup(record_.strategy(), MakeViews(), indexes);
  for (const size_t i : unsure) {
    if (std::find(plan.take_down.begin(), plan.take_down.end(), i) ==
        plan.take_down.end()) {
      children_[i]->phase = ChildPhase::kIdle;
    }
  }
  const bool tolerated = !counts || window_.Add(now);
  if (!tolerated) {
    GiveUp(std::move(ops), self);
    return;
  }
  const absl::Duration spread = toll_.SpreadOf(indexes.size(), env_.reap);
  std::vector<std::string> touched;
  const auto touch = [&](Child& child) {
    ++child.deciding;
    touched.push_back(child.record.spec().id());
    ops.push_back(PutChild(child));
  };
  for (const size_t i : indexes) {
    Child& child = *children_[i];
    if (counts) {
      if (child.ran && now - child.started_at > period) child.failures = 0;
      ++child.failures;
      absl::Duration delay =
          RestartDelay(child.failures, record_.intensity(), period);
      delay -= self.random().Jitter(delay / 4);
      child.not_before = now + delay;
    } else if (spread > absl::ZeroDuration()) {
      child.not_before = now + self.random().Jitter(spread);
    }
    if (child.not_before > now) {
      self.SendAfter(child.not_before - now, Info(LookAgain{}));
    }
    // Whoever takes over finds a start that is wanted, and which one it
    // follows: a later one that died is a failure of its own.
    const std::string gone =
        child.instance.empty() ? child.record.instance() : child.instance;
    if (!gone.empty()) child.record.set_taken_down(gone);
    child.record.clear_instance();
    touch(child);
  }
  for (const size_t i : plan.take_down) {
    Child& child = *children_[i];
    child.taken_down = true;
    child.record.set_taken_down(child.instance);
    touch(child);
  }
  for (const size_t i : plan.revive) {
    Child& child = *children_[i];
    child.record.clear_ended();
    child.record.clear_instance();
    child.phase = ChildPhase::kIdle;
    touch(child);
  }
  if (counts) ops.insert(ops.begin(), PutSupervisor(self));
  Decide(
      std::move(ops),
      [this, touched = std::move(touched)](Context& context) {
        for (const std::string& id : touched) {
          if (Child* const child = Find(id)) {
            --child->deciding;
            Settle(*child, context);
          }
        }
        Act(context);
      },
      self);
}

void ClusterSupervisor::GiveUp(std::vector<StoreOp> ops, Context& self) {
  const std::string why =
      absl::StrCat("more than ", record_.intensity(), " restarts within ",
                   absl::FormatDuration(FromProtoDuration(record_.period())));
  self.LogError(absl::StrCat("gives up: ", why,
                             "; its children are stopped until it is applied "
                             "again"));
  record_.set_failed(why);
  const absl::Status failed =
      Error(absl::StatusCode::kFailedPrecondition, "SUPERVISOR_FAILED",
            absl::StrCat("supervisor '", id_, "' has given up: ", why))
          .Executed();
  for (auto& child : children_) {
    FailStarters(*child, failed);
    child->taken_down = false;
  }
  ops.push_back(PutSupervisor(self));
  ops.push_back(MakeEvent(
      "supervisor.failed", nullptr, absl::StrCat("gave up: ", why), self,
      {{"restarts", absl::StrCat(window_.Ages(self.Now()).size())},
       {"intensity", absl::StrCat(record_.intensity())},
       {"period", absl::FormatDuration(FromProtoDuration(record_.period()))}}));
  Decide(std::move(ops), [this](Context& context) { Act(context); }, self);
}

}  // namespace muster
