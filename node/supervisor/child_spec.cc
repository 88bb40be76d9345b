#include "node/supervisor/child_spec.h"

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

}  // namespace

absl::Status CheckChildSpec(const ChildSpec& spec) {
  if (spec.id.empty()) return BadSpec("a child has no id");
  if (!spec.factory && !spec.start) {
    return BadSpec(absl::StrCat("child '", spec.id,
                                "' has no factory, and no start either"));
  }
  if (spec.factory && spec.start) {
    return BadSpec(absl::StrCat("child '", spec.id,
                                "' has both factory and start: one of them"));
  }
  return absl::OkStatus();
}

Pending<absl::StatusOr<StartedChild>> StartChildProcess(const ChildSpec& spec,
                                                        Context& self) {
  auto arrival = std::make_shared<Arrival>();
  try {
    if (spec.start) return spec.start(self);
    StartOptions options;
    options.name = spec.name;
    StartLink(self, spec.factory(), spec.init(), std::move(options))
        .Then([arrival](absl::StatusOr<Pid> pid) {
          if (pid.ok()) {
            arrival->Set(StartedChild(*std::move(pid)));
          } else {
            arrival->Set(std::move(pid).status());
          }
        });
  } catch (...) {
    arrival->Set(Error(absl::StatusCode::kAborted, "INIT_FAILED",
                       absl::StrCat("the factory of '", spec.id, "' threw"))
                     .Executed());
  }
  return Pending<absl::StatusOr<StartedChild>>(std::move(arrival));
}

Pending<ExitReason> StopChildProcess(const ChildSpec& spec, const Pid& pid,
                                     Context& self) {
  auto arrival = std::make_shared<internal::Arrival<ExitReason>>();
  const Shutdown shutdown = spec.shutdown_or_default();
  self.runtime().Stop(
      self.pid(), pid,
      shutdown.brutal_kill() ? absl::ZeroDuration() : shutdown.limit(),
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
