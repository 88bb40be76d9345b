#include "node/supervisor/child_spec.h"

#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/gen_server/start.h"
#include "node/process/runtime.h"
#include "node/types/status.h"

namespace muster {
namespace {

using Arrival = internal::Arrival<absl::StatusOr<StartedChild>>;

Error BadSpec(absl::string_view text) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_CHILD_SPEC", text)
      .NotExecuted();
}

Error StartThrew(absl::string_view id, absl::string_view what) {
  return Error(absl::StatusCode::kAborted, "INIT_FAILED",
               absl::StrCat("the start of '", id, "' threw: ", what))
      .Executed();
}

}  // namespace

absl::Status CheckChildSpec(const ChildSpec& spec) {
  if (spec.id.empty()) return BadSpec("a child has no id");
  const auto bad = [&spec](absl::string_view what) {
    return BadSpec(absl::StrCat("child '", spec.id, "' ", what));
  };
  if (!spec.factory && !spec.start) {
    return bad("has no factory, and no start either");
  }
  if (spec.factory && spec.start) {
    return bad("has both factory and start: one of them");
  }
  if (RestartName(spec.restart).empty()) {
    return bad("has an unknown restart: permanent, transient or temporary");
  }
  if (spec.type != ChildType::kWorker && spec.type != ChildType::kSupervisor) {
    return bad("has an unknown type: worker or supervisor");
  }
  const Shutdown shutdown = spec.shutdown_or_default();
  if (!shutdown.brutal_kill() && shutdown.limit() < absl::ZeroDuration()) {
    return bad(absl::StrCat("has a shutdown of ",
                            absl::FormatDuration(shutdown.limit()),
                            ": it must not be negative"));
  }
  if (spec.significant && spec.restart == Restart::kPermanent) {  // otp S4
    return bad(
        "is permanent and significant: a permanent child never ends for "
        "good");
  }
  return absl::OkStatus();
}

absl::StatusOr<StartedChild> ChildStart::await_resume() {
  try {
    absl::StatusOr<StartedChild> child = pending_.await_resume();
    if (child.ok() && !child->pid.empty() && child->pid.node != *node_) {
      return Error(absl::StatusCode::kFailedPrecondition, "NOT_LOCAL",
                   absl::StrCat("the start of '", *id_, "' gave ",
                                child->pid.ToString(),
                                ": a child is a process of its supervisor's "
                                "node"))
          .Executed();
    }
    return child;
  } catch (const std::exception& e) {
    return StartThrew(*id_, e.what());
  } catch (...) {
    return StartThrew(*id_, "no std::exception");
  }
}

ChildStart StartChildProcess(const ChildSpec& spec, Context& self) {
  auto arrival = std::make_shared<Arrival>();
  try {
    if (spec.start) return ChildStart(spec.id, self.node(), spec.start(self));
    StartOptions options;
    options.name = spec.name;
    StartLink(self, spec.factory(), spec.init ? spec.init() : Payload(),
              std::move(options))
        .Then([arrival](absl::StatusOr<Pid> pid) {
          if (pid.ok()) {
            arrival->Set(StartedChild(*std::move(pid)));
          } else {
            arrival->Set(std::move(pid).status());
          }
        });
  } catch (...) {
    arrival->SetThrown(std::current_exception());
  }
  return ChildStart(spec.id, self.node(),
                    Pending<absl::StatusOr<StartedChild>>(std::move(arrival)));
}

Pending<ExitReason> StopChildProcess(const ChildSpec& spec, const Pid& pid,
                                     Context& self) {
  auto arrival = std::make_shared<internal::Arrival<ExitReason>>();
  const Shutdown shutdown = spec.shutdown_or_default();
  self.runtime().Stop(
      self.pid(), pid, shutdown.patience(),
      [arrival](ExitReason reason) { arrival->Set(std::move(reason)); });
  return Pending<ExitReason>(std::move(arrival));
}

absl::string_view RestartName(Restart restart) {
  switch (restart) {
    case Restart::kPermanent:
      return "permanent";
    case Restart::kTransient:
      return "transient";
    case Restart::kTemporary:
      return "temporary";
  }
  return "";
}

}  // namespace muster
