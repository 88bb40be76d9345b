#include "node/peer/target.h"

#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "node/base/planted.h"
#include "node/process/process.h"

namespace muster {
namespace {

Error Fenced(const ServerRef& target, const Runtime& runtime,
             const std::optional<Epoch>& epoch, const Pid& pid) {
  Error error(absl::StatusCode::kAborted, "FENCED",
              absl::StrCat("'", target.ToString(), "' is not served by node '",
                           runtime.node(),
                           "' under that epoch: look the name up again"));
  error.With("name", target.name()).NotExecuted();
  if (epoch.has_value()) error.With("epoch", epoch->ToString());
  if (!pid.empty()) {
    error.With("pid", pid.ToString()).With("node", pid.node);
  }
  return error;
}

absl::StatusOr<Pid> FindGlobal(const Runtime& runtime,
                               const NameRegistry& names,
                               const ServerRef& target, Epoch target_epoch,
                               const Pid& resolved) {
  const Pid here = runtime.WhereIsGlobal(target.name());
  if (const std::shared_ptr<Process> process = runtime.Find(here)) {
    const Epoch epoch = process->global_epoch();
    if (epoch == target_epoch || Planted(PlantedBug::kIgnoreEpochs)) {
      return here;
    }
    return Fenced(target, runtime, epoch, here);
  }
  if (AwaitsItsName(runtime, resolved)) return resolved;
  const std::optional<NameEntry> entry = names.WhereIs(target.name());
  if (!entry.has_value()) return Fenced(target, runtime, std::nullopt, Pid());
  // Older than what the sender knows says nothing.
  const bool stands =
      runtime.IsLocal(entry->pid) && entry->epoch >= target_epoch;
  if (!stands) return Fenced(target, runtime, entry->epoch, entry->pid);
  if (entry->supervisor.empty()) return NobodyIs(target);
  return Restarting(*entry);
}

}  // namespace

absl::StatusOr<Pid> FindTarget(const Runtime& runtime,
                               const NameRegistry& names,
                               const ServerRef& target, Epoch target_epoch,
                               const Pid& resolved) {
  switch (target.kind()) {
    case ServerRef::Kind::kVia:
      break;
    case ServerRef::Kind::kPid:
    case ServerRef::Kind::kAlias:
      if (runtime.Find(target.pid()) == nullptr) return NobodyIs(target);
      return target.pid();
    case ServerRef::Kind::kLocal: {
      if (!target.node().empty() && target.node() != runtime.node()) {
        return NobodyIs(target);
      }
      const Pid pid = runtime.WhereIsLocal(target.name());
      if (pid.empty()) return NobodyIs(target);
      return pid;
    }
    case ServerRef::Kind::kGlobal:
      return FindGlobal(runtime, names, target, target_epoch, resolved);
  }
  return NobodyIs(target);
}

bool IsFencedTarget(const absl::Status& status) {
  return status.code() == absl::StatusCode::kAborted &&
         ReasonOf(status) == "FENCED" &&
         OutcomeOf(status) == Outcome::kNotExecuted &&
         DetailOf(status, "sender").empty();
}

bool AwaitsItsName(const Runtime& runtime, const Pid& pid) {
  const std::shared_ptr<Process> process = runtime.Find(pid);
  return process != nullptr && process->global_name().empty() &&
         process->Describe().state == "starting";
}

Error Restarting(const NameEntry& entry) {
  return Error(absl::StatusCode::kUnavailable, "RESTARTING",
               absl::StrCat("'", entry.name, "' is being restarted by '",
                            entry.supervisor, "'"))
      .With("name", entry.name)
      .RetryAfter(absl::Milliseconds(100))
      .NotExecuted();
}

Error NobodyIs(const ServerRef& target) {
  return Error(absl::StatusCode::kNotFound, "NOPROC",
               absl::StrCat("no process is '", target.ToString(),
                            "': `muster name list` shows the names in use"))
      .With("name", target.ToString())
      .NotExecuted();
}

}  // namespace muster
