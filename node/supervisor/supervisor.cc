#include "node/supervisor/supervisor.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "node/process/runtime.h"
#include "node/types/status.h"

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
    if (absl::Status checked = CheckChildSpec(child); !checked.ok()) {
      return checked;
    }
    if (!ids.insert(child.id).second) {
      return BadSpec(absl::StrCat("two children have the id '", child.id,
                                  "': ids are unique"));
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

InitResult Supervisor::Init(Context& self) {
  self.TrapExit(true);
  for (size_t i = 0; i < children_.size(); ++i) {
    Child& child = children_[i];
    absl::StatusOr<StartedChild> started =
        co_await StartChildProcess(child.spec, self);
    if (started.ok()) {
      child.pid = started->pid;
      continue;
    }
    if (ReasonOf(started.status()) == "IGNORED") {  // otp S7
      child.kept = child.spec.restart != Restart::kTemporary;
      continue;
    }
    for (size_t j = i; j-- > 0;) {  // otp S8
      if (!children_[j].pid.empty()) {
        co_await StopChildProcess(children_[j].spec, children_[j].pid, self);
      }
    }
    co_return Stop(ExitReason::Shutdown(
        absl::StrCat("failed_to_start_child '", child.spec.id,
                     "': ", started.status().message())));
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
  absl::StatusOr<StartedChild> started =
      co_await StartChildProcess(child.spec, self);
  if (started.ok()) {
    child.pid = started->pid;
  } else if (ReasonOf(started.status()) == "IGNORED") {  // otp S24
    child.kept = child.spec.restart != Restart::kTemporary;
  } else {
    // Through the mailbox, so that an order to shut down gets its turn
    // (otp S21).
    self.LogError(absl::StrCat("child '", child.spec.id,
                               "' cannot start: ", started.status().message()));
    // Not self.Send(), which a closed fence would swallow and a full mailbox
    // refuse; one child has one at most.
    self.runtime().SendReserved(self.pid(), Info(Retry{index}));
  }
  co_return NoReply();
}

Next Supervisor::Terminate(const ExitReason&, Context& self) {
  for (size_t i = children_.size(); i-- > 0;) {
    Child& child = children_[i];
    if (child.pid.empty()) continue;
    const ExitReason ended =
        co_await StopChildProcess(child.spec, child.pid, self);
    if (!ended.IsNormal() &&
        !child.spec.shutdown_or_default().brutal_kill()) {  // otp S27
      self.LogError(absl::StrCat("child '", child.spec.id,
                                 "' ended in its shutdown with ",
                                 ended.ToString()));
    }
    child.pid = Pid();
  }
  co_return NoReply();
}

}  // namespace muster
