#include "node/supervisor/supervisor.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace muster {
namespace {

Error BadSpec(absl::string_view text) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_CHILD_SPEC", text);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Supervisor>> Supervisor::Make(
    SupervisorSpec spec) {
  if (spec.strategy != Strategy::kOneForOne) {
    return Error(
        absl::StatusCode::kUnimplemented, "STRATEGY",
        absl::StrCat(spec.strategy == Strategy::kOneForAll ? "one_for_all"
                                                           : "rest_for_one",
                     " is not implemented yet: use one_for_one"));
  }
  if (spec.period <= absl::ZeroDuration() ||
      spec.period == absl::InfiniteDuration()) {
    return BadSpec(absl::StrCat("period is ", absl::FormatDuration(spec.period),
                                ": it must be positive and finite"));
  }
  absl::flat_hash_set<std::string> ids;
  for (const ChildSpec& child : spec.children) {
    if (child.id.empty()) return BadSpec("a child has no id");
    if (!ids.insert(child.id).second) {
      return BadSpec(absl::StrCat("two children have the id '", child.id,
                                  "': ids are unique"));
    }
    if (!child.factory) {
      return BadSpec(absl::StrCat("child '", child.id, "' has no factory"));
    }
  }
  return std::unique_ptr<Supervisor>(new Supervisor(std::move(spec)));
}

Supervisor::Supervisor(SupervisorSpec spec)
    : window_(spec.intensity, spec.period) {
  for (ChildSpec& child : spec.children) {
    children_.emplace_back();
    children_.back().spec = std::move(child);
  }
}

Pending<absl::StatusOr<Pid>> Supervisor::StartChild(const ChildSpec& spec,
                                                    Context& self) {
  StartOptions options;
  options.name = spec.name;
  std::unique_ptr<ProcessBody> server;
  Payload init;
  try {
    server = spec.factory();
    init = spec.init();
  } catch (...) {  // A failed start like any other (otp S7).
    auto failed = std::make_shared<internal::Arrival<absl::StatusOr<Pid>>>();
    failed->Set(Error(absl::StatusCode::kAborted, "INIT_FAILED",
                      absl::StrCat("the factory of '", spec.id, "' threw"))
                    .Executed());
    return Pending<absl::StatusOr<Pid>>(std::move(failed));
  }
  return StartLink(self, std::move(server), std::move(init),
                   std::move(options));
}

Pending<ExitReason> Supervisor::StopChild(const Child& child, Context& self) {
  auto arrival = std::make_shared<internal::Arrival<ExitReason>>();
  const Shutdown& shutdown = child.spec.shutdown;
  self.runtime().Stop(
      self.pid(), child.pid,
      shutdown.brutal_kill() ? absl::ZeroDuration() : shutdown.limit(),
      [arrival](ExitReason reason) { arrival->Set(std::move(reason)); });
  return Pending<ExitReason>(std::move(arrival));
}

InitResult Supervisor::Init(Context& self) {
  self.TrapExit(true);
  for (size_t i = 0; i < children_.size(); ++i) {
    Child& child = children_[i];
    absl::StatusOr<Pid> pid = co_await StartChild(child.spec, self);
    if (pid.ok()) {
      child.pid = *std::move(pid);
      continue;
    }
    if (ReasonOf(pid.status()) == "IGNORED") {  // otp S7
      child.kept = child.spec.restart != Restart::kTemporary;
      continue;
    }
    for (size_t j = i; j-- > 0;) {  // otp S8
      if (!children_[j].pid.empty()) co_await StopChild(children_[j], self);
    }
    co_return Stop(ExitReason::Shutdown(
        absl::StrCat("failed_to_start_child '", child.spec.id,
                     "': ", pid.status().message())));
  }
  co_return Ok();
}

Next Supervisor::HandleInfo(Info info, Context& self) {
  size_t index = children_.size();
  if (const Exit* exit = info.As<Exit>()) {
    for (size_t i = 0; i < children_.size(); ++i) {
      if (children_[i].pid == exit->from) index = i;
    }
    if (index == children_.size()) co_return NoReply();  // otp S11
    Child& child = children_[index];
    child.pid = Pid();
    // The table of otp 7.3.
    const bool restart =
        child.spec.restart == Restart::kPermanent ||
        (child.spec.restart == Restart::kTransient && !exit->reason.IsNormal());
    self.LogWarning(absl::StrCat("child '", child.spec.id,
                                 "' ended: ", exit->reason.ToString(),
                                 restart ? ", restarting" : ""));
    if (!restart) {
      child.kept = child.spec.restart != Restart::kTemporary;
      co_return NoReply();
    }
  } else if (const Retry* retry = info.As<Retry>()) {
    index = retry->child;
    if (!children_[index].pid.empty()) co_return NoReply();
  } else {
    self.LogWarning(
        absl::StrCat("unexpected message ", info.type(), " was dropped"));
    co_return NoReply();
  }

  if (!window_.Add(self.Now())) {  // otp S19: Terminate stops the children.
    self.LogError(absl::StrCat("child '", children_[index].spec.id,
                               "': too many restarts, giving up"));
    co_return Stop(ExitReason::Shutdown());
  }
  Child& child = children_[index];
  absl::StatusOr<Pid> pid = co_await StartChild(child.spec, self);
  if (pid.ok()) {
    child.pid = *std::move(pid);
  } else if (ReasonOf(pid.status()) == "IGNORED") {  // otp S24
    child.kept = child.spec.restart != Restart::kTemporary;
  } else {
    // Through the mailbox, so that an order to shut down gets its turn
    // (otp S21).
    self.LogError(absl::StrCat("child '", child.spec.id,
                               "' cannot start: ", pid.status().message()));
    // Not self.Send(), which a closed fence would swallow.
    self.runtime().Send(self.pid(), Info(Retry{index}));
  }
  co_return NoReply();
}

Next Supervisor::Terminate(const ExitReason&, Context& self) {
  for (size_t i = children_.size(); i-- > 0;) {
    Child& child = children_[i];
    if (child.pid.empty()) continue;
    const ExitReason ended = co_await StopChild(child, self);
    if (!ended.IsNormal() && !child.spec.shutdown.brutal_kill()) {  // otp S27
      self.LogError(absl::StrCat("child '", child.spec.id,
                                 "' ended in its shutdown with ",
                                 ended.ToString()));
    }
    child.pid = Pid();
  }
  co_return NoReply();
}

}  // namespace muster
