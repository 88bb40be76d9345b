#include "node/supervisor/supervisor.h"

#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/process/process.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/types/status.h"

namespace muster {
namespace {

// What a report says of a reason, which may hold a whole dump.
std::string Brief(absl::string_view text) {
  constexpr size_t kMax = 1024;
  if (text.size() <= kMax) return std::string(text);
  return absl::StrCat(text.substr(0, kMax), "... (", text.size(), " bytes)");
}

bool IsIgnored(const absl::StatusOr<StartedChild>& started) {
  return ReasonOf(started.status()) == "IGNORED";
}

Error NoChild(absl::string_view what) {
  return Error(absl::StatusCode::kNotFound, "NO_CHILD",
               absl::StrCat(what, " is no child of this supervisor"));
}

Error StillRunning(const Child& child) {
  return Error(absl::StatusCode::kFailedPrecondition, "RUNNING",
               absl::StrCat("child '", child.spec.id, "' runs as ",
                            child.pid.ToString(), ": terminate it first"))
      .With("pid", child.pid.ToString());
}

Error IsRestarting(const Child& child) {
  return Error(absl::StatusCode::kFailedPrecondition, "RESTARTING",
               absl::StrCat("child '", child.spec.id,
                            "' is being restarted: terminate it first"));
}

template <typename T>
HandlerResult Answer(absl::StatusOr<T> result) {
  return Reply<T>(std::move(result)).Erase();
}

HandlerResult Answer(absl::Status status) {
  if (status.ok()) return Reply<bool>(true).Erase();
  return Reply<bool>(std::move(status)).Erase();
}

}  // namespace

// -- Making -------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<Supervisor>> Supervisor::Make(
    SupervisorSpec spec) {
  if (absl::Status checked = CheckSupervisorSpec(spec); !checked.ok()) {
    return checked;
  }
  // Used up by its start, which then keeps no argument longer than it should
  // (otp S10).
  return std::unique_ptr<Supervisor>(
      new Supervisor([spec = std::move(spec)]() mutable {
        return std::optional<SupervisorSpec>(std::move(spec));
      }));
}

std::unique_ptr<Supervisor> Supervisor::MakeWithInit(InitFunction init) {
  std::unique_ptr<Supervisor> made(new Supervisor(std::move(init)));
  made->reloads_ = true;
  return made;
}

ChildSpec Supervisor::AsChild(SupervisorSpec spec, absl::string_view id) {
  ChildSpec child;
  child.id = std::string(id);
  child.name = std::string(id);
  child.type = ChildType::kSupervisor;
  child.module = "muster::Supervisor";
  child.factory = [spec = std::move(spec)]() -> std::unique_ptr<ProcessBody> {
    return std::unique_ptr<Supervisor>(
        new Supervisor([spec] { return std::optional<SupervisorSpec>(spec); }));
  };
  return child;
}

Supervisor::Supervisor(InitFunction init)
    : init_(std::move(init)), window_(flags_.intensity, flags_.period) {}

const ServiceInfo& Supervisor::service_info() const {
  static constexpr MethodInfo kMethods[] = {
      {"StartChild", false},    {"TerminateChild", false},
      {"RestartChild", false},  {"DeleteChild", false},
      {"WhichChildren", false}, {"CountChildren", false},
      {"GetChildSpec", false},  {"Reconfigure", false},
      {"Reload", false}};
  static const ServiceInfo kInfo{"muster.Supervisor", kMethods};
  return kInfo;
}

HandlerResult Supervisor::OnInit(Payload&, Context& self) {
  return Init(self).Erase();
}

InitResult Supervisor::Init(Context& self) {
  self.TrapExit(true);
  absl::StatusOr<std::optional<SupervisorSpec>> made = init_();
  if (!reloads_) init_ = nullptr;
  if (!made.ok()) co_return std::move(made).status();
  if (!made->has_value()) co_return Ignore();
  SupervisorSpec& spec = **made;
  if (absl::Status checked = CheckSupervisorSpec(spec); !checked.ok()) {
    co_return checked;
  }
  for (ChildSpec& child : spec.children) children_.Add(std::move(child));
  spec.children.clear();
  flags_ = std::move(spec);
  window_.SetLimits(flags_.intensity, flags_.period);

  std::vector<Key> keys;
  keys.reserve(children_.size());
  for (const auto& [key, child] : children_.children()) keys.push_back(key);
  for (const Key key : keys) {
    const Child& child = children_.at(key);
    absl::StatusOr<StartedChild> started =
        co_await StartChildProcess(child.spec, self);
    if (started.ok()) {
      SetStarted(key, started->pid);
      continue;
    }
    if (IsIgnored(started)) {
      SetStarted(key, Pid());
      continue;
    }
    for (const Key running : PlanShutdown(children_)) {  // otp S8
      const Child& other = children_.at(running);
      const ExitReason ended =
          co_await StopChildProcess(other.spec, other.pid, self);
      ReportStop(other.spec, ended, self);
    }
    co_return Stop(ExitReason::Shutdown(
        absl::StrCat("failed_to_start_child '", child.spec.id,
                     "': ", Brief(started.status().message()))));
  }
  co_return Ok();
}

// -- Children that end --------------------------------------------------------

Next Supervisor::HandleInfo(Info info, Context& self) {
  Key failed = 0;
  if (const Exit* exit = info.As<Exit>()) {
    if (!children_.FindPid(exit->from, &failed)) co_return NoReply();  // S11
    const Child& child = children_.at(failed);
    const ExitEffect effect = EffectOfExit(child.spec.restart, exit->reason);
    if (effect == ExitEffect::kRestart || !exit->reason.IsNormal()) {
      self.LogWarning(absl::StrCat(
          "child '", child.spec.id, "' ended: ", Brief(exit->reason.ToString()),
          effect == ExitEffect::kRestart ? ", restarting" : ""));
    }
    if (effect != ExitEffect::kRestart) {
      const bool ends = EndsSupervisor(flags_.auto_shutdown, children_, failed);
      if (ends) {
        self.LogInfo(absl::StrCat("significant child '", child.spec.id,
                                  "' ended: shutting down"));
      }
      SetStopped(failed);
      if (ends) co_return Stop(ExitReason::Shutdown());
      co_return NoReply();
    }
    children_.SetPid(failed, Pid());
  } else if (const Retry* retry = info.As<Retry>()) {
    if (!children_.FindId(retry->id, &failed) ||
        children_.at(failed).retry != retry->number) {
      co_return NoReply();  // Somebody came before it (otp S22).
    }
  } else {
    self.LogWarning(
        absl::StrCat("unexpected message ", info.type(), " was dropped"));
    co_return NoReply();
  }

  if (!window_.Add(self.Now())) {  // otp S19: Terminate stops the children.
    self.LogError(absl::StrCat("child '", children_.at(failed).spec.id,
                               "': too many restarts, giving up"));
    co_return Stop(ExitReason::Shutdown());
  }
  const RestartPlan plan = PlanRestart(flags_.strategy, children_, failed);
  for (const Key key : plan.stop) {
    const Child& child = children_.at(key);
    const ExitReason ended =
        co_await StopChildProcess(child.spec, child.pid, self);
    ReportStop(child.spec, ended, self);
    // The Exit that it leaves in the mailbox is nobody's by then (otp S16).
    children_.SetPid(key, Pid());
  }
  for (const Key key : plan.forget) children_.Erase(key);
  if (flags_.strategy != Strategy::kOneForOne) {
    // Another one's retrying ends: the event starts it too.
    for (const Key key : plan.start) children_.SetPid(key, Pid());
  }
  for (const Key key : plan.start) {
    const Child& child = children_.at(key);
    absl::StatusOr<StartedChild> started =
        co_await StartChildProcess(child.spec, self);
    if (started.ok()) {
      SetStarted(key, started->pid);
    } else if (IsIgnored(started)) {  // otp S24
      SetStarted(key, Pid());
    } else {
      self.LogError(absl::StrCat("child '", child.spec.id, "' cannot start: ",
                                 Brief(started.status().message())));
      // Through the mailbox, so that an order to shut down gets its turn
      // (otp S21). It is never refused for want of room, nor withheld by a
      // closed fence: there is at most one for each child.
      children_.SetRestarting(key, ++retries_);
      self.process()->PushSystem(Info(Retry(child.spec.id, retries_)));
      break;
    }
  }
  co_return NoReply();
}

Next Supervisor::Terminate(const ExitReason&, Context& self) {
  for (const Key key : PlanShutdown(children_)) {
    const Child& child = children_.at(key);
    const ExitReason ended =
        co_await StopChildProcess(child.spec, child.pid, self);
    ReportStop(child.spec, ended, self);
  }
  co_return NoReply();
}

void Supervisor::SetStarted(Key key, const Pid& pid) {
  const Restart restart = children_.at(key).spec.restart;
  if (pid.empty() && EffectOfStop(restart) == ExitEffect::kForget) {
    children_.Erase(key);
    return;
  }
  children_.SetPid(key, pid);
  // Never started again, so nothing is kept that only a start needs.
  if (restart == Restart::kTemporary) children_.DropArguments(key);
}

void Supervisor::SetStopped(Key key) {
  if (EffectOfStop(children_.at(key).spec.restart) == ExitEffect::kForget) {
    children_.Erase(key);
  } else {
    children_.SetPid(key, Pid());
  }
}

void Supervisor::ReportStop(const ChildSpec& spec, const ExitReason& reason,
                            Context& self) const {
  if (EndedAsOrdered(spec, reason)) return;
  self.LogError(absl::StrCat("child '", spec.id,
                             "' ended in its shutdown with ",
                             Brief(reason.ToString())));
}

// -- Orders -------------------------------------------------------------------

HandlerResult Supervisor::OnCast(absl::string_view method, Payload&, Context&) {
  return internal::UnknownMethod(method);
}

HandlerResult Supervisor::OnCall(absl::string_view method, Payload& request,
                                 Context& self) {
  if (auto* const spec = request.MutableValue<ChildSpec>()) {
    return StartChild(*spec, self).Erase();
  }
  if (const auto* const order = request.MutableValue<ById>()) {
    if (method == "TerminateChild") {
      return TerminateChild(order->id, self).Erase();
    }
    if (method == "RestartChild") return RestartChild(order->id, self).Erase();
    if (method == "DeleteChild") return Answer(DeleteChild(order->id));
    return Answer(GetChildSpec(order->id));
  }
  if (const auto* const pid = request.MutableValue<Pid>()) {
    return Answer(GetChildSpec(*pid));
  }
  if (auto* const spec = request.MutableValue<SupervisorSpec>()) {
    return Answer(Reconfigure(std::move(*spec)));
  }
  if (request.MutableValue<ReloadOrder>() != nullptr) return Answer(Reload());
  if (method == "WhichChildren") {
    return Answer(absl::StatusOr<std::vector<ChildInfo>>(WhichChildren()));
  }
  if (method == "CountChildren") {
    return Answer(absl::StatusOr<ChildCounts>(CountChildren(self)));
  }
  return internal::MalformedRequest(method);
}

// The table of otp 7.8.
Reply<StartedChild> Supervisor::StartChild(ChildSpec& spec, Context& self) {
  absl::Status checked = CheckChildOf(flags_.auto_shutdown, spec);
  if (!checked.ok()) co_return checked;
  Key key = 0;
  if (children_.FindId(spec.id, &key)) {
    const Child& child = children_.at(key);
    if (child.pid.empty()) {
      co_return Error(absl::StatusCode::kAlreadyExists, "ALREADY_PRESENT",
                      absl::StrCat("child '", spec.id,
                                   "' is known and does not run: restart it, "
                                   "or delete it first"))
          .status();
    }
    co_return Error(
        absl::StatusCode::kAlreadyExists, "ALREADY_STARTED",
        absl::StrCat("child '", spec.id, "' runs as ", child.pid.ToString()))
        .With("pid", child.pid.ToString())
        .status();
  }
  absl::StatusOr<StartedChild> started = co_await StartChildProcess(spec, self);
  if (!started.ok() && !IsIgnored(started)) {
    co_return std::move(started).status();  // The spec is not kept.
  }
  if (!started.ok()) started = StartedChild();
  self.runtime().log().Debug(absl::StrCat(
      self.pid().ToString(), ": child '", spec.id, "' ",
      started->pid.empty() ? "ignored its start"
                           : "started as " + started->pid.ToString()));
  SetStarted(children_.Add(std::move(spec)), started->pid);
  co_return *std::move(started);
}

Reply<bool> Supervisor::TerminateChild(const std::string& id, Context& self) {
  Key key = 0;
  if (!children_.FindId(id, &key)) {
    co_return NoChild(absl::StrCat("'", id, "'")).status();
  }
  const Child& child = children_.at(key);
  if (!child.pid.empty()) {
    const ExitReason ended =
        co_await StopChildProcess(child.spec, child.pid, self);
    ReportStop(child.spec, ended, self);
  }
  SetStopped(key);  // A retry finds nobody (otp S22).
  co_return true;
}

Reply<StartedChild> Supervisor::RestartChild(const std::string& id,
                                             Context& self) {
  Key key = 0;
  if (!children_.FindId(id, &key)) {
    co_return NoChild(absl::StrCat("'", id, "'")).status();
  }
  const Child& child = children_.at(key);
  if (!child.pid.empty()) co_return StillRunning(child).status();
  if (child.restarting) co_return IsRestarting(child).status();
  absl::StatusOr<StartedChild> started =
      co_await StartChildProcess(child.spec, self);
  if (!started.ok()) {
    if (!IsIgnored(started)) co_return std::move(started).status();
    co_return StartedChild();
  }
  SetStarted(key, started->pid);
  co_return *std::move(started);
}

absl::Status Supervisor::DeleteChild(const std::string& id) {
  Key key = 0;
  if (!children_.FindId(id, &key)) return NoChild(absl::StrCat("'", id, "'"));
  const Child& child = children_.at(key);
  if (!child.pid.empty()) return StillRunning(child);
  if (child.restarting) return IsRestarting(child);
  children_.Erase(key);
  return absl::OkStatus();
}

std::vector<ChildInfo> Supervisor::WhichChildren() const {
  std::vector<ChildInfo> list;
  list.reserve(children_.size());
  const auto& all = children_.children();
  for (auto at = all.rbegin(); at != all.rend(); ++at) {
    const Child& child = at->second;
    ChildInfo info;
    info.id = child.spec.id;
    info.pid = child.pid;
    info.restarting = child.restarting;
    info.type = child.spec.type;
    info.module = child.spec.module;
    list.push_back(std::move(info));
  }
  return list;
}

ChildCounts Supervisor::CountChildren(const Context& self) const {
  ChildCounts counts;
  counts.specs = children_.size();
  for (const auto& [key, child] : children_.children()) {
    if (!child.pid.empty() && self.runtime().Find(child.pid) != nullptr) {
      ++counts.active;
    }
    if (child.spec.type == ChildType::kSupervisor) {
      ++counts.supervisors;
    } else {
      ++counts.workers;
    }
  }
  return counts;
}

absl::StatusOr<ChildSpec> Supervisor::GetChildSpec(
    const std::string& id) const {
  Key key = 0;
  if (!children_.FindId(id, &key)) return NoChild(absl::StrCat("'", id, "'"));
  ChildSpec spec = children_.at(key).spec;
  spec.shutdown = spec.shutdown_or_default();
  return spec;
}

absl::StatusOr<ChildSpec> Supervisor::GetChildSpec(const Pid& pid) const {
  Key key = 0;
  if (!children_.FindPid(pid, &key)) return NoChild(pid.ToString());
  return GetChildSpec(children_.at(key).spec.id);
}

// -- Other flags and specs (otp S34) -----------------------------------------

absl::Status Supervisor::Reconfigure(SupervisorSpec spec) {
  absl::Status checked = CheckSupervisorSpec(spec);
  if (!checked.ok()) return checked;
  // The new ones in their order, then those that are in it no more.
  ChildTable next;
  std::vector<std::pair<Key, Key>> same;
  for (ChildSpec& child : spec.children) {
    Key old = 0;
    const bool known = children_.FindId(child.id, &old);
    const Key key = next.Add(std::move(child));
    if (known) same.emplace_back(old, key);
  }
  for (const auto& [old, child] : children_.children()) {
    Key key = 0;
    if (next.FindId(child.spec.id, &key)) continue;
    same.emplace_back(old, next.Add(child.spec));
  }
  for (const auto& [old, key] : same) next.CopyState(key, children_.at(old));
  for (const auto& [old, key] : same) {
    const Child& child = next.at(key);
    if (child.spec.restart == Restart::kTemporary && !child.pid.empty()) {
      next.DropArguments(key);
    }
  }
  children_ = std::move(next);
  spec.children.clear();
  flags_ = std::move(spec);
  window_.SetLimits(flags_.intensity, flags_.period);
  return absl::OkStatus();
}

absl::Status Supervisor::Reload() {
  if (!reloads_) {
    return Error(absl::StatusCode::kFailedPrecondition, "NO_INIT",
                 "this supervisor was made with a spec, not with an init "
                 "function: reconfigure it");
  }
  absl::StatusOr<std::optional<SupervisorSpec>> made;
  try {
    made = init_();
  } catch (const std::exception& e) {
    return Error(absl::StatusCode::kAborted, "INIT_FAILED",
                 absl::StrCat("init threw: ", e.what()));
  }
  if (!made.ok()) return std::move(made).status();
  if (!made->has_value()) return absl::OkStatus();  // ignore: no change.
  return Reconfigure(**std::move(made));
}

}  // namespace muster
