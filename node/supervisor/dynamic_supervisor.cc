#include "node/supervisor/dynamic_supervisor.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "node/process/process.h"
#include "node/process/runtime.h"
#include "node/supervisor/decide.h"
#include "node/supervisor/parallel_shutdown.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::string_view kService = "muster.DynamicSupervisor";
constexpr absl::string_view kStart = "/muster.DynamicSupervisor/StartChild";
constexpr absl::string_view kStartTemplate =
    "/muster.DynamicSupervisor/StartFromTemplate";
constexpr absl::string_view kTerminate =
    "/muster.DynamicSupervisor/TerminateChild";
constexpr absl::string_view kById = "/muster.DynamicSupervisor/ById";
constexpr absl::string_view kWhich = "/muster.DynamicSupervisor/WhichChildren";
constexpr absl::string_view kCount = "/muster.DynamicSupervisor/CountChildren";
constexpr absl::string_view kGetSpec = "/muster.DynamicSupervisor/GetChildSpec";
constexpr absl::string_view kReconfigure =
    "/muster.DynamicSupervisor/Reconfigure";

// Questions without a content.
struct Ask {};

Error BadSupervisor(absl::string_view text) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_SUPERVISOR_SPEC", text)
      .NotExecuted();
}

Error BadChild(absl::string_view text) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_CHILD_SPEC", text)
      .NotExecuted();
}

Error NoChild(absl::string_view what) {
  return Error(absl::StatusCode::kNotFound, "NO_CHILD",
               absl::StrCat(what, " is no child of this supervisor"));
}

Error SimpleOneForOne(absl::string_view text) {
  return Error(absl::StatusCode::kFailedPrecondition, "SIMPLE_ONE_FOR_ONE",
               text);
}

// Children have no ids; logs call them by what their spec says.
std::string NameOf(const ChildSpec& spec, const Pid& pid) {
  return spec.id.empty() ? pid.ToString()
                         : absl::StrCat("'", spec.id, "' ", pid.ToString());
}

CallOptions NoLimit() {
  CallOptions options;
  options.timeout = absl::InfiniteDuration();
  return options;
}

template <typename T>
Pending<T> Now(T value) {
  auto arrival = std::make_shared<internal::Arrival<T>>();
  arrival->Set(std::move(value));
  return Pending<T>(std::move(arrival));
}

// A call that answers only whether it went well.
template <typename Request>
Pending<absl::Status> StatusCall(Caller& caller, const ServerRef& to,
                                 absl::string_view path, Request request) {
  auto arrival = std::make_shared<internal::Arrival<absl::Status>>();
  caller.StartCall(
      to, path, Payload::Of(std::move(request)), NoLimit(),
      [arrival](CallResult result) { arrival->Set(std::move(result.status)); });
  return Pending<absl::Status>(std::move(arrival));
}

}  // namespace

absl::Status CheckDynamicChildSpec(const ChildSpec& spec) {
  if (spec.significant) {
    return BadChild(
        "significant is for children of a supervisor with auto_shutdown, which "
        "a dynamic one has not");
  }
  if (!spec.id.empty()) return CheckChildSpec(spec);
  ChildSpec named = spec;
  named.id = "-";
  return CheckChildSpec(named);
}

absl::Status CheckDynamicSupervisorSpec(const DynamicSupervisorSpec& spec) {
  if (spec.period <= absl::ZeroDuration() ||
      spec.period == absl::InfiniteDuration()) {
    return BadSupervisor(absl::StrCat("period is ",
                                      absl::FormatDuration(spec.period),
                                      ": it must be positive and finite"));
  }
  if (!spec.child_template.has_value()) return absl::OkStatus();
  if (!spec.extra.empty()) {
    return BadSupervisor(
        "extra arguments and a template: put them into the template's init");
  }
  if (spec.child_template->start) {
    return BadChild(
        "a template has a factory: its start could take no "
        "arguments");
  }
  return CheckDynamicChildSpec(*spec.child_template);
}

// -- The server ---------------------------------------------------------------

DynamicSupervisor::DynamicSupervisor(DynamicSupervisorSpec spec)
    : spec_(std::move(spec)), window_(spec_.intensity, spec_.period) {}

ChildSpec DynamicSupervisor::AsChild(DynamicSupervisorSpec spec,
                                     absl::string_view name) {
  ChildSpec child;
  child.id = std::string(name);
  child.name = std::string(name);
  child.type = ChildType::kSupervisor;
  child.factory = [spec = std::move(spec)] {
    return std::make_unique<DynamicSupervisor>(spec);
  };
  return child;
}

const ServiceInfo& DynamicSupervisor::service_info() const {
  static constexpr MethodInfo kMethods[] = {
      {"StartChild", false},     {"StartFromTemplate", false},
      {"TerminateChild", false}, {"ById", false},
      {"WhichChildren", false},  {"CountChildren", false},
      {"GetChildSpec", false},   {"Reconfigure", false}};
  static const ServiceInfo kInfo{kService, kMethods};
  return kInfo;
}

HandlerResult DynamicSupervisor::OnInit(Payload&, Context& self) {
  self.TrapExit(true);
  absl::Status checked = CheckDynamicSupervisorSpec(spec_);
  if (!checked.ok()) return InitResult(std::move(checked)).Erase();
  return InitResult(Ok()).Erase();
}

HandlerResult DynamicSupervisor::OnCast(absl::string_view method, Payload&,
                                        Context&) {
  return internal::UnknownMethod(method);
}

HandlerResult DynamicSupervisor::OnCall(absl::string_view method,
                                        Payload& request, Context& self) {
  if (auto* const spec = request.MutableValue<ChildSpec>()) {
    if (spec_.child_template.has_value()) {
      return Reply<StartedChild>(
                 SimpleOneForOne("this supervisor has a template: give it "
                                 "arguments, not a spec")
                     .status())
          .Erase();
    }
    if (spec->start && !spec_.extra.empty()) {
      return Reply<StartedChild>(
                 BadChild("this supervisor has extra arguments, which a "
                          "child's own start cannot take: give it a factory")
                     .status())
          .Erase();
    }
    Child child;
    child.spec = std::make_shared<const ChildSpec>(std::move(*spec));
    return StartChild(std::move(child), self).Erase();
  }
  if (auto* const arguments = request.MutableValue<ChildArguments>()) {
    if (!spec_.child_template.has_value()) {
      return Reply<StartedChild>(
                 Error(absl::StatusCode::kFailedPrecondition, "NO_TEMPLATE",
                       "this supervisor has no template: give it a spec")
                     .status())
          .Erase();
    }
    Child child;
    child.arguments = std::move(*arguments);
    return StartChild(std::move(child), self).Erase();
  }
  if (const auto* const pid = request.MutableValue<Pid>()) {
    if (method == "TerminateChild") return TerminateChild(*pid, self).Erase();
    const auto at = children_.find(*pid);
    if (at == children_.end()) {
      return Reply<ChildSpec>(NoChild(pid->ToString()).status()).Erase();
    }
    return Reply<ChildSpec>(StartSpecOf(at->second)).Erase();
  }
  if (const auto* const id = request.MutableValue<std::string>()) {
    if (spec_.child_template.has_value()) {
      return Reply<bool>(
                 SimpleOneForOne(absl::StrCat("'", *id,
                                              "': children of a template have "
                                              "no ids, only pids"))
                     .status())
          .Erase();
    }
    return Reply<bool>(NoChild(absl::StrCat("'", *id, "'")).status()).Erase();
  }
  if (auto* const spec = request.MutableValue<DynamicSupervisorSpec>()) {
    absl::Status done = Reconfigure(std::move(*spec), self);
    if (!done.ok()) return Reply<bool>(std::move(done)).Erase();
    return Reply<bool>(true).Erase();
  }
  if (method == "WhichChildren") {
    return Reply<std::vector<ChildInfo>>(WhichChildren()).Erase();
  }
  if (method == "CountChildren") {
    return Reply<ChildCounts>(CountChildren()).Erase();
  }
  return internal::MalformedRequest(method);
}

const ChildSpec& DynamicSupervisor::SpecOf(const Child& child) const {
  return child.spec == nullptr ? *spec_.child_template : *child.spec;
}

ChildSpec DynamicSupervisor::StartSpecOf(const Child& child) const {
  ChildSpec spec = SpecOf(child);
  if (child.spec == nullptr && !child.arguments.empty()) {
    spec.init = [own = spec.init, arguments = child.arguments] {
      return InFront(own ? own() : Payload(), arguments.Make());
    };
  } else if (child.spec != nullptr && !spec_.extra.empty()) {
    spec.init = [own = spec.init, extra = spec_.extra] {
      return InFront(extra.Make(), own ? own() : Payload());
    };
  } else if (!spec.init) {
    spec.init = [] { return Payload(); };
  }
  return spec;
}

void DynamicSupervisor::Insert(const Pid& pid, Child child) {
  if (SpecOf(child).restart == Restart::kTemporary) {
    // It is never started again: what it was started with is not kept
    // (otp S10).
    child.arguments = ChildArguments();
    if (child.spec != nullptr) {
      ChildSpec kept = *child.spec;
      kept.factory = nullptr;
      kept.init = nullptr;
      kept.start = nullptr;
      child.spec = std::make_shared<const ChildSpec>(std::move(kept));
    }
  }
  children_.insert_or_assign(pid, std::move(child));
}

Reply<StartedChild> DynamicSupervisor::StartChild(Child child, Context& self) {
  if (spec_.max_children.has_value() &&
      children_.size() >= *spec_.max_children) {
    co_return Error(absl::StatusCode::kResourceExhausted, "MAX_CHILDREN",
                    absl::StrCat("the supervisor has ", children_.size(),
                                 " children, and may have no more"))
        .status();
  }
  const ChildSpec spec = StartSpecOf(child);
  absl::StatusOr<StartedChild> started = co_await StartChildProcess(spec, self);
  if (!started.ok()) {
    if (ReasonOf(started.status()) == "IGNORED") co_return StartedChild();
    co_return std::move(started).status();
  }
  if (!started->pid.empty()) {
    child.order = next_order_++;
    Insert(started->pid, std::move(child));
  }
  co_return *std::move(started);
}

Reply<bool> DynamicSupervisor::TerminateChild(Pid pid, Context& self) {
  const auto at = children_.find(pid);
  if (at == children_.end()) {
    if (spec_.child_template.has_value() && self.runtime().IsLocal(pid) &&
        self.runtime().Find(pid) == nullptr) {
      co_return true;  // Dead already, whoever it was (otp 7.8).
    }
    co_return NoChild(pid.ToString()).status();
  }
  if (at->second.restarting) {
    --restarting_;
    children_.erase(at);  // Its retry finds nobody.
    co_return true;
  }
  const ChildSpec spec = SpecOf(at->second);
  // The Exit that is left in the mailbox is nobody's by then (otp S11).
  children_.erase(at);
  const ExitReason ended = co_await StopChildProcess(spec, pid, self);
  if (!EndedAsOrdered(spec, ended)) {
    self.LogError(absl::StrCat("child ", NameOf(spec, pid),
                               " was terminated and ended with ",
                               ended.ToString()));
  }
  co_return true;
}

absl::Status DynamicSupervisor::Reconfigure(DynamicSupervisorSpec spec,
                                            Context& self) {
  absl::Status checked = CheckDynamicSupervisorSpec(spec);
  if (!checked.ok()) return checked;
  if (spec.child_template.has_value() != spec_.child_template.has_value()) {
    return BadSupervisor(spec.child_template.has_value()
                             ? "this supervisor was started without a template"
                             : "this supervisor needs its template");
  }
  RestartWindow window(spec.intensity, spec.period);
  window.Restore(window_.Ages(self.Now()), self.Now());
  window_ = std::move(window);
  spec_ = std::move(spec);
  return absl::OkStatus();
}

std::vector<std::pair<Pid, const DynamicSupervisor::Child*>>
DynamicSupervisor::InOrder() const {
  std::vector<std::pair<Pid, const Child*>> list;
  list.reserve(children_.size());
  for (const auto& [pid, child] : children_) list.emplace_back(pid, &child);
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
    return a.second->order < b.second->order;
  });
  return list;
}

std::vector<ChildInfo> DynamicSupervisor::WhichChildren() const {
  std::vector<ChildInfo> list;
  list.reserve(children_.size());
  for (const auto& [pid, child] : InOrder()) {
    ChildInfo& info = list.emplace_back();
    if (!child->restarting) info.pid = pid;
    info.restarting = child->restarting;
    info.type = SpecOf(*child).type;
  }
  return list;
}

ChildCounts DynamicSupervisor::CountChildren() const {
  ChildCounts counts;
  for (const auto& [pid, child] : children_) {
    if (SpecOf(child).type == ChildType::kSupervisor) ++counts.supervisors;
  }
  counts.workers = children_.size() - counts.supervisors;
  counts.active = children_.size() - restarting_;
  counts.specs = spec_.child_template.has_value() ? 1 : children_.size();
  return counts;
}

// -- Restarts -----------------------------------------------------------------

Next DynamicSupervisor::HandleInfo(Info info, Context& self) {
  if (const Retry* const retry = info.As<Retry>()) {
    const auto at = children_.find(retry->pid);
    // Terminated meanwhile: there is nothing to try.
    if (at == children_.end() || !at->second.restarting) return NoReply();
    return RestartChild(retry->pid, self);
  }
  const Exit* const exit = info.As<Exit>();
  if (exit == nullptr) {
    self.LogWarning(
        absl::StrCat("unexpected message ", info.type(), " was dropped"));
    return NoReply();
  }
  const auto at = children_.find(exit->from);
  if (at == children_.end() || at->second.restarting) {
    return NoReply();  // otp S11
  }
  const ChildSpec& spec = SpecOf(at->second);
  const bool restart =
      EffectOfExit(spec.restart, exit->reason) == ExitEffect::kRestart;
  if (restart || !exit->reason.IsNormal()) {
    self.LogWarning(absl::StrCat("child ", NameOf(spec, exit->from),
                                 " ended: ", exit->reason.ToString(),
                                 restart ? ", restarting" : ""));
  }
  if (!restart) {
    children_.erase(at);
    return NoReply();
  }
  at->second.restarting = true;
  ++restarting_;
  return RestartChild(exit->from, self);
}

Next DynamicSupervisor::RestartChild(Pid pid, Context& self) {
  const ChildSpec spec = StartSpecOf(children_.at(pid));
  if (!window_.Add(self.Now())) {  // otp S19: Terminate ends the children.
    self.LogError(absl::StrCat("child ", NameOf(spec, pid),
                               ": too many restarts, giving up"));
    co_return Stop(ExitReason::Shutdown());
  }
  absl::StatusOr<StartedChild> started = co_await StartChildProcess(spec, self);
  if (!started.ok() && ReasonOf(started.status()) != "IGNORED") {
    self.LogError(absl::StrCat("child ", NameOf(spec, pid),
                               " cannot start: ", started.status().message()));
    // Through the mailbox, so that other orders, and the one to shut down, get
    // their turn (otp S21); never refused, however full it is.
    self.process()->PushResponse(Info(Retry(pid)), nullptr);
    co_return NoReply();
  }
  const auto at = children_.find(pid);
  Child child = std::move(at->second);
  children_.erase(at);
  --restarting_;
  if (!started.ok() || started->pid.empty()) co_return NoReply();  // otp S24
  child.restarting = false;
  Insert(started->pid, std::move(child));
  co_return NoReply();
}

Next DynamicSupervisor::Terminate(const ExitReason&, Context& self) {
  std::vector<ParallelShutdown::Child> running;
  std::vector<const Child*> children;
  for (const auto& [pid, child] : InOrder()) {
    if (child->restarting) continue;
    running.emplace_back(pid, SpecOf(*child).shutdown_or_default());
    children.push_back(child);
  }
  std::vector<Pid> pids;
  for (const auto& child : running) pids.push_back(child.pid);
  ParallelShutdown shutdown(self, std::move(running));
  const std::vector<ExitReason> reasons = co_await shutdown.Done();
  for (size_t i = 0; i < reasons.size(); ++i) {
    const ChildSpec& spec = SpecOf(*children[i]);
    if (!EndedAsOrdered(spec, reasons[i])) {
      self.LogError(absl::StrCat("child ", NameOf(spec, pids[i]),
                                 " ended in its shutdown with ",
                                 reasons[i].ToString()));
    }
  }
  children_.clear();
  restarting_ = 0;
  co_return NoReply();
}

// -- The client ---------------------------------------------------------------

Pending<absl::StatusOr<StartedChild>> DynamicSupervisorClient::StartChild(
    ChildSpec spec) {
  absl::Status checked = CheckDynamicChildSpec(spec);
  if (!checked.ok()) {
    return Now<absl::StatusOr<StartedChild>>(std::move(checked));
  }
  return internal::TypedCall<StartedChild>(*caller_, to_, kStart,
                                           std::move(spec), NoLimit());
}

Pending<absl::StatusOr<StartedChild>> DynamicSupervisorClient::StartChild(
    ChildArguments arguments) {
  return internal::TypedCall<StartedChild>(*caller_, to_, kStartTemplate,
                                           std::move(arguments), NoLimit());
}

Pending<absl::Status> DynamicSupervisorClient::TerminateChild(const Pid& pid) {
  return StatusCall(*caller_, to_, kTerminate, Pid(pid));
}

Pending<absl::Status> DynamicSupervisorClient::TerminateChild(
    absl::string_view id) {
  return StatusCall(*caller_, to_, kById, std::string(id));
}

Pending<absl::Status> DynamicSupervisorClient::RestartChild(
    absl::string_view id) {
  return StatusCall(*caller_, to_, kById, std::string(id));
}

Pending<absl::Status> DynamicSupervisorClient::DeleteChild(
    absl::string_view id) {
  return StatusCall(*caller_, to_, kById, std::string(id));
}

Pending<absl::StatusOr<std::vector<ChildInfo>>>
DynamicSupervisorClient::WhichChildren() {
  return internal::TypedCall<std::vector<ChildInfo>>(*caller_, to_, kWhich,
                                                     Ask(), NoLimit());
}

Pending<absl::StatusOr<ChildCounts>> DynamicSupervisorClient::CountChildren() {
  return internal::TypedCall<ChildCounts>(*caller_, to_, kCount, Ask(),
                                          NoLimit());
}

Pending<absl::StatusOr<ChildSpec>> DynamicSupervisorClient::GetChildSpec(
    const Pid& pid) {
  return internal::TypedCall<ChildSpec>(*caller_, to_, kGetSpec, Pid(pid),
                                        NoLimit());
}

Pending<absl::Status> DynamicSupervisorClient::Reconfigure(
    DynamicSupervisorSpec spec) {
  return StatusCall(*caller_, to_, kReconfigure, std::move(spec));
}

}  // namespace muster
