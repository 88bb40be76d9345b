// ClusterSupervisor: children one at a time (otp 7.8).
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cluster/supervisor/cluster_supervisor.h"
#include "cluster/supervisor/limits.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

using cluster::v1::ChangeChildRequest;

absl::Status Precondition(absl::string_view reason, absl::string_view text) {
  return Error(absl::StatusCode::kFailedPrecondition, reason, text)
      .NotExecuted();
}

absl::Status Stopping(absl::string_view child) {
  return Error(absl::StatusCode::kUnavailable, "STOPPING",
               absl::StrCat("child '", child, "' is being stopped"))
      .NotExecuted();
}

}  // namespace

// -- Adding ------------------------------------------------------------------

absl::Status ClusterSupervisor::CheckNew(const store::v1::ChildSpec& spec) {
  const auto bad = [](absl::string_view path, absl::string_view text) {
    return absl::Status(Error(absl::StatusCode::kInvalidArgument,
                              "BAD_MANIFEST", absl::StrCat(path, ": ", text))
                            .With("path", path)
                            .NotExecuted());
  };
  if (spec.id().empty()) return bad("child.id", "is missing");
  if (spec.type().empty()) return bad("child.type", "is missing");
  if (absl::Status valid = ValidateName(spec.name()); !valid.ok()) {
    return bad("child.name", valid.message());
  }
  if (absl::StartsWith(spec.name(), kSystemPrefix)) {
    return bad("child.name",
               "names that begin with muster/ are the cluster's own");
  }
  if (Child* const other = Find(spec.id())) {
    if (!other->record.wanted()) return Stopping(spec.id());
    if (other->phase == ChildPhase::kRunning ||
        other->phase == ChildPhase::kMoving) {
      return Error(absl::StatusCode::kAlreadyExists, "ALREADY_STARTED",
                   absl::StrCat("child '", spec.id(), "' runs on node '",
                                other->node, "'"))
          .With("pid", other->pid.ToString())
          .With("node", other->node)
          .NotExecuted();
    }
    return Error(absl::StatusCode::kAlreadyExists, "ALREADY_PRESENT",
                 absl::StrCat("there is a child '", spec.id(),
                              "', which does not run: restart or delete it"))
        .NotExecuted();
  }
  for (const auto& child : children_) {
    if (child->record.spec().name() != spec.name()) continue;
    return NameTaken(spec.name(),
                     absl::StrCat("child '", child->record.spec().id(),
                                  "' of this supervisor"));
  }
  const auto view = env_.registry->Record(spec.name());
  if (view.has_value() && env_.registry->IsOwned(view->record)) {
    return NameTaken(spec.name(), absl::StrCat("a process on node '",
                                               view->record.owner(), "'"));
  }
  if (children_.size() >= static_cast<size_t>(kChildrenMax)) {
    return Error(absl::StatusCode::kResourceExhausted, "TOO_MANY_CHILDREN",
                 absl::StrCat("a tree has at most ", kChildrenMax, " children"))
        .NotExecuted();
  }
  return absl::OkStatus();
}

Reply<cluster::v1::AddChildResponse> ClusterSupervisor::AddChild(
    const cluster::v1::AddChildRequest& request, Context& self) {
  if (!loaded_) return StillReading();
  if (HasFailed()) return GaveUp(id_, record_.failed());
  if (absl::Status status = CheckNew(request.spec()); !status.ok()) {
    return status;
  }
  auto child = std::make_unique<Child>();
  child->record.set_schema(kRecordSchema);
  child->record.set_supervisor(id_);
  child->record.set_wanted(true);
  child->record.set_dynamic(true);
  SetSpec(*child, request.spec());
  child->wish = Child::Wish::kAdd;
  child->added = self.from();
  child->deciding = 1;
  std::vector<StoreOp> ops;
  ops.push_back(PutChild(*child));
  const std::string id = request.spec().id();
  by_id_[id] = child.get();
  children_.push_back(std::move(child));
  Decide(
      std::move(ops),
      [this, id](Context& context) {
        if (Child* const added = Find(id)) --added->deciding;
        ActSoon(context);
      },
      self);
  return NoReply();
}

// -- Changing ----------------------------------------------------------------

Reply<cluster::v1::ChangeChildResponse> ClusterSupervisor::ChangeChild(
    const ChangeChildRequest& request, Context& self) {
  if (!loaded_) return StillReading();
  Child* const child = Find(request.child());
  if (child == nullptr || !child->record.wanted()) {
    return Error(absl::StatusCode::kNotFound, "NO_CHILD",
                 absl::StrCat("supervisor '", id_, "' has no child ",
                              LogSafe(request.child())))
        .NotExecuted()
        .status();
  }
  absl::Status status;
  switch (request.change()) {
    case ChangeChildRequest::TERMINATE:
      status = TerminateChild(*child, self);
      break;
    case ChangeChildRequest::RESTART:
      status = ReviveChild(*child, self);
      break;
    case ChangeChildRequest::DELETE:
      status = DeleteChild(*child, self);
      break;
    case ChangeChildRequest::MOVE:
      status = MoveChild(*child, request.to_node(), self);
      break;
    default:
      status = Error(absl::StatusCode::kInvalidArgument, "BAD_CHANGE",
                     "change: is missing or unknown")
                   .NotExecuted();
  }
  if (!status.ok()) return status;
  return NoReply();
}

absl::Status ClusterSupervisor::TerminateChild(Child& child, Context& self) {
  const std::string id = child.record.spec().id();
  if (child.record.has_ended()) {  // Ok, too, if it has stopped.
    if (IsUp(child) || child.deciding > 0) {
      child.terminated.push_back(self.from());
    } else {
      self.from().Reply(cluster::v1::ChangeChildResponse());
    }
    return absl::OkStatus();
  }
  FailStarters(child, Error(absl::StatusCode::kAborted, "TERMINATED",
                            absl::StrCat("child '", id,
                                         "' was terminated before it ran"))
                          .Executed());
  child.wish = Child::Wish::kNone;
  *child.record.mutable_ended() = ExitReason::Shutdown().ToProto();
  child.terminated.push_back(self.from());
  ++child.deciding;
  std::vector<StoreOp> ops;
  ops.push_back(PutChild(child));
  ops.push_back(
      MakeEvent("child.terminated", &child, "terminated by order", self));
  Decide(
      std::move(ops),
      [this, id](Context& context) {
        if (Child* const decided = Find(id)) {
          --decided->deciding;
          Settle(*decided, context);
        }
        Act(context);
      },
      self);
  return absl::OkStatus();
}

absl::Status ClusterSupervisor::ReviveChild(Child& child, Context& self) {
  const std::string id = child.record.spec().id();
  if (HasFailed()) return GaveUp(id_, record_.failed());
  if (!child.record.has_ended()) {
    const bool runs = child.phase == ChildPhase::kRunning ||
                      child.phase == ChildPhase::kMoving;
    return Precondition(
        runs ? "RUNNING" : "RESTARTING",
        absl::StrCat("child '", id, runs ? "' runs" : "' is being started"));
  }
  if (child.phase != ChildPhase::kEnded || child.deciding > 0) {
    return Stopping(id);
  }
  child.record.clear_ended();
  child.record.clear_instance();
  child.phase = ChildPhase::kIdle;
  child.failures = 0;
  child.not_before = BootTime();
  child.wish = Child::Wish::kRevive;
  child.revived.push_back(self.from());
  ++child.deciding;
  std::vector<StoreOp> ops;
  ops.push_back(PutChild(child));
  Decide(
      std::move(ops),
      [this, id](Context& context) {
        if (Child* const decided = Find(id)) --decided->deciding;
        Act(context);
      },
      self);
  return absl::OkStatus();
}

absl::Status ClusterSupervisor::DeleteChild(Child& child, Context& self) {
  const std::string id = child.record.spec().id();
  if (!child.record.has_ended() && !HasFailed()) {
    const bool runs = child.phase == ChildPhase::kRunning ||
                      child.phase == ChildPhase::kMoving;
    return Precondition(
        runs ? "RUNNING" : "RESTARTING",
        absl::StrCat("child '", id, runs ? "' runs" : "' is being started",
                     ": terminate it first"));
  }
  if (IsUp(child) || child.deciding > 0) return Stopping(id);
  child.record.set_wanted(false);
  child.terminated.push_back(self.from());
  ++child.deciding;
  std::vector<StoreOp> ops;
  ops.push_back(PutChild(child));
  if (!child.record.dynamic()) {
    record_.clear_order();
    for (const auto& other : children_) {
      if (other->record.wanted() && !other->record.dynamic()) {
        record_.add_order(other->record.spec().id());
      }
    }
    ops.push_back(PutSupervisor(self));
  }
  Decide(
      std::move(ops),
      [this, id](Context& context) {
        if (Child* const decided = Find(id)) {
          --decided->deciding;
          Settle(*decided, context);
        }
        Act(context);
      },
      self);
  return absl::OkStatus();
}

absl::Status ClusterSupervisor::MoveChild(Child& child, const std::string& to_node,
                                     Context& self) {
  const std::string id = child.record.spec().id();
  if (HasFailed()) return GaveUp(id_, record_.failed());
  if (child.phase == ChildPhase::kMoving &&
      (to_node.empty() || to_node == child.to_node)) {
    child.moved.push_back(self.from());
    return absl::OkStatus();
  }
  if (child.phase != ChildPhase::kRunning || child.taken_down ||
      child.record.has_ended()) {
    return Precondition("NOT_RUNNING",
                        absl::StrCat("child '", id, "' does not run"));
  }
  PlacementRequest request;
  request.name = child.record.spec().name();
  request.type = child.record.spec().type();
  request.placement = &child.record.spec().placement();
  std::vector<MemberView> members = MakeMembers(self);
  std::string to = to_node;
  if (to.empty()) {
    std::erase_if(members, [&](const MemberView& member) {
      return member.node == child.node;
    });
    std::vector<const MemberView*> fit;
    for (const MemberView& member : members) {
      if (Ineligible(request, member).empty()) fit.push_back(&member);
    }
    if (fit.empty()) {
      return Precondition("INELIGIBLE", WhyNowhere(request, members));
    }
    to = fit[PolicyOf(*request.placement).Choose(request, fit)]->node;
  }
  const auto at =
      std::find_if(members.begin(), members.end(),
                   [&](const MemberView& m) { return m.node == to; });
  if (at == members.end()) {
    return Error(absl::StatusCode::kNotFound, "NO_NODE",
                 absl::StrCat("no node is called ", LogSafe(to),
                              ": `muster node list` shows them"))
        .NotExecuted();
  }
  if (to == child.node) {
    cluster::v1::ChangeChildResponse response;
    *response.mutable_pid() = child.pid.ToProto();
    response.set_node(child.node);
    response.set_with_state(true);
    self.from().Reply(response);
    return absl::OkStatus();
  }
  if (const std::string why = Ineligible(request, *at); !why.empty()) {
    return Precondition("INELIGIBLE", absl::StrCat("node '", to, "' is ", why));
  }
  if (!child.moved.empty()) {
    return Precondition("MOVING", absl::StrCat("child '", id,
                                               "' is to move to node '",
                                               child.move_to, "' already"));
  }
  child.move_to = to;
  child.move_not_before = BootTime();
  child.moved.push_back(self.from());
  ActSoon(self);
  return absl::OkStatus();
}

}  // namespace muster
