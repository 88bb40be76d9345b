#include "node/process/runtime.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/base/check.h"
#include "node/base/planted.h"
#include "node/process/process.h"

namespace muster {
namespace {

constexpr TimerId kTimerDone = ~TimerId{0};

Error NoProcess(const ServerRef& target) {
  return Error(absl::StatusCode::kNotFound, "NOPROC",
               absl::StrCat("no process is '", target.ToString(),
                            "': `muster name list` shows the names in use"))
      .NotExecuted();
}

Error Unreachable(const ServerRef& target) {
  return Error(absl::StatusCode::kNotFound, "NOPROC",
               absl::StrCat("'", target.ToString(),
                            "' is not on this node, and this node has no way "
                            "to others"))
      .NotExecuted();
}

}  // namespace

Error OlderThanSeen(const ServerRef& target, Epoch seen) {
  return Error(absl::StatusCode::kAborted, "FENCED",
               absl::StrCat("'", target.ToString(),
                            "' is not known here under epoch ", seen.ToString(),
                            " or a later one: look the name up again"))
      .With("name", target.ToString())
      .NotExecuted();
}

Runtime::Runtime(RuntimeOptions options, Scheduler* scheduler,
                 RandomSource* random, Logger* logger, const Fence* fence)
    : options_(std::move(options)),
      scheduler_(scheduler),
      random_(random),
      logger_(logger),
      fence_(fence) {
  fence_->WhenExtended([this] { Thaw(); });
  if (Planted(PlantedBug::kFenceByTimerOnly)) PollFence();
}

void Runtime::ForgetFence() {
  if (knows_fence_.exchange(false)) fence_->WhenExtended(nullptr);
}

Runtime::~Runtime() {
  ForgetFence();
  absl::flat_hash_map<uint64_t, std::shared_ptr<Process>> processes;
  {
    MutexLock lock(&mu_);
    processes.swap(processes_);
  }
  std::vector<std::shared_ptr<CallSlot>> calls;
  for (const auto& [number, process] : processes) {
    for (auto& call : process->Abandon()) calls.push_back(std::move(call));
  }
  // With every process gone: nothing runs because of the answers.
  for (const auto& call : calls) {
    call->Fail(Error(absl::StatusCode::kAborted, "CALLEE_EXITED",
                     "the node ended before it answered"));
  }
}

bool Runtime::AddVia(absl::string_view name, ViaRegistry* registry) {
  // Its owner's, who removes it in time.
  return AddVia(name,
                std::shared_ptr<ViaRegistry>(registry, [](ViaRegistry*) {}));
}

bool Runtime::AddVia(absl::string_view name,
                     std::shared_ptr<ViaRegistry> registry) {
  MutexLock lock(&mu_);
  return vias_.try_emplace(name, std::move(registry)).second;
}

void Runtime::RemoveVia(absl::string_view name) {
  MutexLock lock(&mu_);
  vias_.erase(name);
}

std::shared_ptr<ViaRegistry> Runtime::HoldVia(absl::string_view name) const {
  MutexLock lock(&mu_);
  const auto at = vias_.find(name);
  return at == vias_.end() ? nullptr : at->second;
}

// -- Starting and ending -----------------------------------------------------

Pid Runtime::Spawn(std::unique_ptr<ProcessBody> body, Payload options,
                   SpawnOptions spawn,
                   absl::AnyInvocable<void(absl::Status)> started) {
  if (body == nullptr) {
    if (started) {
      started(Error(absl::StatusCode::kInvalidArgument, "NO_SERVER",
                    absl::StrCat("the factory of ",
                                 spawn.type.empty() ? "a server" : spawn.type,
                                 " made none"))
                  .NotExecuted());
    }
    return Pid();
  }
  Pid pid;
  pid.node = options_.node;
  pid.epoch = options_.epoch;
  std::shared_ptr<Process> process;
  std::shared_ptr<Process> parent;
  Pid monitor_by;
  Pid far_starter;
  std::shared_ptr<MonitorRef> monitor;
  Pid holder;
  if (!spawn.hold) TellServed(spawn.global_name, spawn.global_epoch);
  {
    MutexLock lock(&mu_);
    if (!spawn.local_name.empty()) {
      const auto at = local_names_.find(spawn.local_name);
      if (at != local_names_.end()) holder = at->second;
    }
    if (!spawn.global_name.empty() && !spawn.hold) {
      const auto at = global_names_.find(spawn.global_name);
      if (at != global_names_.end()) holder = at->second;
    }
    if (holder.empty()) {
      pid.number = next_number_++;
      FillAncestorsLocked(&spawn);
      const Pid link_to = spawn.link_to;
      monitor_by = spawn.monitor_by;
      if (link_to.node != options_.node) far_starter = link_to;
      monitor = spawn.monitor;
      process = std::make_shared<Process>(this, pid, std::move(body),
                                          std::move(options), std::move(spawn),
                                          std::move(started));
      processes_[pid.number] = process;
      if (!process->local_name().empty()) {
        local_names_[process->local_name()] = pid;
      }
      if (!process->global_name().empty()) {
        global_names_[process->global_name()] = pid;
      }
      if (!link_to.empty() && IsLocal(link_to)) {
        const auto at = processes_.find(link_to.number);
        if (at != processes_.end()) parent = at->second;
        if (parent == nullptr) holder = link_to;  // Dead: see below.
      }
    }
  }
  if (process == nullptr) {
    const std::string& name =
        spawn.local_name.empty() ? spawn.global_name : spawn.local_name;
    if (started) {
      started(Error(absl::StatusCode::kAlreadyExists, "ALREADY_STARTED",
                    absl::StrCat("'", name, "' is already the name of ",
                                 holder.ToString()))
                  .With("pid", holder.ToString())
                  .NotExecuted());
    }
    return Pid();
  }
  if (parent != nullptr) {
    process->AddLink(parent->pid());
    if (!parent->AddLink(pid)) {
      process->SignalExit(parent->pid(), ExitReason::Noproc(), true);
    }
  } else if (!holder.empty()) {
    process->AddLink(holder);
    process->SignalExit(holder, ExitReason::Noproc(), true);
  }
  // Its end, or that of its node, reaches the child like any link's.
  if (!far_starter.empty()) Link(pid, far_starter).IgnoreError();
  if (!monitor_by.empty()) {
    *monitor = Monitor(monitor_by, pid);
    if (auto watcher = Find(monitor_by)) watcher->OwnMonitor(monitor->id);
  }
  process->Start();
  return pid;
}

void Runtime::Release(const Pid& pid, Epoch global_epoch) {
  auto process = Find(pid);
  if (process == nullptr) return;
  if (!process->AdoptClaim(global_epoch)) return;
  TellServed(process->global_name(), global_epoch);
  {
    // Found by its name before Init runs. If it has just ended, it stays out.
    MutexLock lock(&mu_);
    if (!process->global_name().empty() && processes_.contains(pid.number)) {
      global_names_[process->global_name()] = pid;
    }
  }
  process->Release();
}

void Runtime::ReleaseNamed(const Pid& pid) {
  if (auto process = Find(pid)) process->Release();
}

void Runtime::Refuse(const Pid& pid, absl::Status error) {
  auto process = Find(pid);
  if (process == nullptr) return;
  process->Refuse(std::move(error));
}

void Runtime::FillAncestorsLocked(SpawnOptions* spawn) const {
  constexpr size_t kAncestorsMax = 32;
  const Pid& starter = !spawn->starter.empty()   ? spawn->starter
                       : !spawn->link_to.empty() ? spawn->link_to
                                                 : spawn->parent;
  if (starter.empty() || !spawn->ancestors.empty()) return;
  spawn->ancestors.push_back(starter);
  if (!IsLocal(starter)) return;
  const auto at = processes_.find(starter.number);
  if (at == processes_.end()) return;
  for (const Pid& ancestor : at->second->ancestors()) {
    if (spawn->ancestors.size() < kAncestorsMax) {
      spawn->ancestors.push_back(ancestor);
    }
  }
}

absl::Status Runtime::SetGlobalName(const Pid& pid, absl::string_view name,
                                    Epoch epoch) {
  auto process = Find(pid);
  if (process == nullptr) {
    return Error(absl::StatusCode::kNotFound, "NOPROC",
                 absl::StrCat(pid.ToString(), " has ended"))
        .NotExecuted();
  }
  absl::Status set = process->SetGlobalName(name, epoch);
  if (!set.ok()) return set;
  TellServed(name, epoch);
  MutexLock lock(&mu_);
  if (processes_.contains(pid.number)) global_names_[name] = pid;
  return absl::OkStatus();
}

void Runtime::ClearGlobalName(absl::string_view name) {
  Pid pid;
  {
    MutexLock lock(&mu_);
    const auto at = global_names_.find(name);
    if (at == global_names_.end()) return;
    pid = at->second;
    global_names_.erase(at);
  }
  if (auto process = Find(pid)) process->ClearGlobalName();
}

void Runtime::TellServed(absl::string_view name, Epoch epoch) {
  if (router_ != nullptr && !name.empty()) router_->Serves(name, epoch);
}

uint64_t Runtime::NextRef() {
  MutexLock lock(&mu_);
  return next_ref_++;
}

uint64_t Runtime::ObserveExit(const Pid& pid,
                              absl::AnyInvocable<void(ExitReason)> done) {
  const uint64_t ref = NextRef();
  auto process = Find(pid);
  if (process != nullptr && process->AddObserver(ref, &done)) return ref;
  done(ExitReason::Noproc());
  return 0;
}

void Runtime::StopObserving(const Pid& pid, uint64_t id) {
  if (auto process = Find(pid)) process->RemoveWatcher(id);
}

void Runtime::Stop(const Pid& from, const Pid& pid, absl::Duration limit,
                   absl::AnyInvocable<void(ExitReason)> done) {
  struct Kill {
    std::atomic<TimerId> timer{0};
  };
  auto kill = std::make_shared<Kill>();
  const uint64_t ref = ObserveExit(
      pid, [this, kill, done = std::move(done)](ExitReason reason) mutable {
        const TimerId timer = kill->timer.exchange(kTimerDone);
        if (timer != 0) scheduler_->Cancel(timer);
        done(std::move(reason));
      });
  if (ref == 0) return;
  if (limit <= absl::ZeroDuration()) {
    SendExit(from, pid, ExitReason::Kill());
    return;
  }
  SendExit(from, pid, ExitReason::Shutdown());
  if (limit == absl::InfiniteDuration()) return;
  const TimerId timer = scheduler_->At(
      clock().Boot() + limit,
      [this, from, pid] { SendExit(from, pid, ExitReason::Kill()); });
  if (kill->timer.exchange(timer) == kTimerDone) scheduler_->Cancel(timer);
}

void Runtime::KillAll() {
  ForgetFence();
  std::vector<std::shared_ptr<Process>> processes;
  {
    MutexLock lock(&mu_);
    for (const auto& [number, process] : processes_) {
      processes.push_back(process);
    }
  }
  std::sort(processes.begin(), processes.end(),
            [](const auto& a, const auto& b) {
              return a->pid().number < b->pid().number;
            });
  for (const auto& process : processes) {
    process->SignalExit(Pid(), ExitReason::Kill(), /*via_link=*/false);
  }
}

void Runtime::Forget(const Process& process) {
  {
    MutexLock lock(&mu_);
    const Pid& pid = process.pid();
    processes_.erase(pid.number);
    node_watchers_.erase(pid);
    const auto erase_name = [&pid](auto& names, const std::string& name) {
      const auto at = names.find(name);
      if (at != names.end() && at->second == pid) names.erase(at);
    };
    if (!process.local_name().empty()) {
      erase_name(local_names_, process.local_name());
    }
    if (!process.global_name().empty()) {
      erase_name(global_names_, process.global_name());
    }
  }
  timers_.Forget(process.pid().number);
}

// -- Sending -----------------------------------------------------------------

Pid Runtime::ResolveHere(const ServerRef& target) const {
  switch (target.kind()) {
    case ServerRef::Kind::kPid:
    case ServerRef::Kind::kAlias:  // Its process knows whether it is on.
      return IsLocal(target.pid()) ? target.pid() : Pid();
    case ServerRef::Kind::kLocal:
      if (!target.node().empty() && target.node() != options_.node) {
        return Pid();
      }
      return WhereIsLocal(target.name());
    case ServerRef::Kind::kGlobal:
      return WhereIsGlobal(target.name());
    case ServerRef::Kind::kVia: {
      const auto registry = HoldVia(target.registry());
      return registry == nullptr ? Pid() : registry->WhereIs(target.name());
    }
  }
  return Pid();
}

Pid Runtime::ShortcutTo(const ServerRef& target) const {
  if (target.kind() == ServerRef::Kind::kGlobal && router_ != nullptr &&
      router_->Waits(target.name())) {
    return Pid();
  }
  return ResolveHere(target);
}

bool Runtime::IsElsewhere(const ServerRef& target) const {
  // The null pid and the null name are nobody's, anywhere (otp C2).
  switch (target.kind()) {
    case ServerRef::Kind::kPid:
    case ServerRef::Kind::kAlias:
      return !target.pid().empty() && target.pid().node != options_.node;
    case ServerRef::Kind::kLocal:
      return !target.name().empty() && !target.node().empty() &&
             target.node() != options_.node;
    case ServerRef::Kind::kGlobal:
      return !target.name().empty();
    case ServerRef::Kind::kVia:
      return false;
  }
  return false;
}

ServerRef Runtime::ResolveVia(const ServerRef& target) const {
  if (target.kind() != ServerRef::Kind::kVia) return target;
  const auto registry = HoldVia(target.registry());
  if (registry == nullptr) return target;
  if (const auto address = registry->Address(target.name())) return *address;
  const Pid pid = registry->WhereIs(target.name());
  return pid.empty() || pid.node == options_.node ? target : ServerRef(pid);
}

void Runtime::Call(Request request, std::shared_ptr<CallSlot> slot) {
  request.target = ResolveVia(request.target);
  const Pid here = ShortcutTo(request.target);
  if (!here.empty()) {
    CallLocal(here, std::move(request), std::move(slot));
  } else if (!IsElsewhere(request.target)) {
    slot->Complete(CallResult(NoProcess(request.target).status()));
  } else if (router_ == nullptr) {
    slot->Complete(CallResult(Unreachable(request.target).status()));
  } else {
    router_->RouteCall(std::move(request), std::move(slot));
  }
}

void Runtime::Cast(Request request,
                   absl::AnyInvocable<void(absl::Status)> taken) {
  request.target = ResolveVia(request.target);
  const Pid here = ShortcutTo(request.target);
  if (here.empty() && IsElsewhere(request.target) && router_ != nullptr) {
    router_->RouteCast(std::move(request), std::move(taken));
    return;
  }
  absl::Status status;
  if (!here.empty()) {
    status = CastLocal(here, std::move(request));
  } else if (IsElsewhere(request.target)) {
    status = Unreachable(request.target);
  } else {
    status = NoProcess(request.target);
  }
  if (taken) taken(std::move(status));
}

absl::Status Runtime::CastAndForget(Request request) {
  request.target = ResolveVia(request.target);
  absl::Status taken;
  const Pid here = ShortcutTo(request.target);
  if (!here.empty()) {
    taken = CastLocal(here, std::move(request));
  } else if (IsElsewhere(request.target) && router_ != nullptr) {
    router_->RouteCast(std::move(request), nullptr);
  }
  return absl::IsResourceExhausted(taken) ? taken : absl::OkStatus();
}

void Runtime::Send(const ServerRef& target, Info info, Meta meta) {
  const ServerRef to = ResolveVia(target);
  const Pid here = ShortcutTo(to);
  if (!here.empty()) {
    SendLocal(here, std::move(info), to.alias());
  } else if (IsElsewhere(to) && router_ != nullptr) {
    router_->RouteInfo(to, std::move(info), std::move(meta));
  }
}

std::shared_ptr<CallSlot> Runtime::StartCall(
    Request request, absl::AnyInvocable<void(CallResult)> done,
    const std::shared_ptr<internal::ArrivalBase>& waiter) {
  struct Deadline {
    std::atomic<TimerId> timer{0};
  };
  const BootTime due = request.meta.deadline;
  const std::string target = request.target.ToString();
  const auto expired = [](const std::string& name) {
    return Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                 absl::StrCat("no reply from '", name, "' in time"));
  };
  // Relaxed: a count.
  calls_.fetch_add(1, std::memory_order_relaxed);
  auto deadline = std::make_shared<Deadline>();
  auto slot = std::make_shared<CallSlot>(
      [this, deadline, done = std::move(done)](CallResult result) mutable {
        const TimerId timer = deadline->timer.exchange(kTimerDone);
        if (timer != 0) scheduler_->Cancel(timer);
        calls_.fetch_sub(1, std::memory_order_relaxed);
        done(std::move(result));
      });
  if (waiter != nullptr) {
    waiter->OnAbandon([weak = std::weak_ptr<CallSlot>(slot)] {
      if (auto call = weak.lock()) call->Cancel();
    });
  }
  if (due <= clock().Boot()) {
    Call(std::move(request), slot);
    slot->Fail(expired(target));
    return slot;
  }
  if (!due.is_infinite()) {
    std::weak_ptr<CallSlot> weak = slot;
    const TimerId timer = scheduler_->At(due, [weak, target, expired] {
      if (auto late = weak.lock()) late->Fail(expired(target));
    });
    if (deadline->timer.exchange(timer) == kTimerDone) {
      scheduler_->Cancel(timer);
    }
  }
  Call(std::move(request), slot);
  return slot;
}

void Runtime::CallLocal(const Pid& pid, Request request,
                        std::shared_ptr<CallSlot> slot) {
  auto process = Find(pid);
  if (process == nullptr) {
    if (const auto to = MovedTo(pid)) {
      SendOn(*to, std::move(request), std::move(slot));
      return;
    }
    slot->Complete(CallResult(NoProcess(request.target).status()));
    return;
  }
  if (!request.meta.min_epoch.empty() &&
      process->global_epoch() < request.meta.min_epoch) {
    slot->Complete(CallResult(
        OlderThanSeen(request.target, request.meta.min_epoch).status()));
    return;
  }
  process->PushCall(std::move(request), std::move(slot));
}

absl::Status Runtime::CastLocal(const Pid& pid, Request request) {
  auto process = Find(pid);
  if (process == nullptr) {
    if (const auto to = MovedTo(pid)) {
      SendOn(*to, std::move(request), nullptr);
      return absl::OkStatus();
    }
    return NoProcess(request.target);
  }
  if (!request.meta.min_epoch.empty() &&
      process->global_epoch() < request.meta.min_epoch) {
    return OlderThanSeen(request.target, request.meta.min_epoch);
  }
  return process->PushCast(std::move(request));
}

void Runtime::SendLocal(const Pid& pid, Info info, uint64_t alias) {
  if (auto process = Find(pid)) {
    process->PushInfo(std::move(info), alias);
  } else if (const auto to = MovedTo(pid)) {
    SendOn(*to, std::move(info));
  }
}

size_t Runtime::DropQueued(const Pid& pid,
                           absl::FunctionRef<bool(Info&)> unwanted) {
  auto process = Find(pid);
  return process == nullptr ? 0 : process->DropQueued(unwanted);
}

// -- Looking -----------------------------------------------------------------

std::shared_ptr<Process> Runtime::Find(const Pid& pid) const {
  if (!IsLocal(pid)) return nullptr;
  MutexLock lock(&mu_);
  const auto at = processes_.find(pid.number);
  return at == processes_.end() ? nullptr : at->second;
}

Pid Runtime::WhereIsLocal(absl::string_view name) const {
  MutexLock lock(&mu_);
  const auto at = local_names_.find(name);
  return at == local_names_.end() ? Pid() : at->second;
}

Pid Runtime::WhereIsGlobal(absl::string_view name) const {
  MutexLock lock(&mu_);
  const auto at = global_names_.find(name);
  return at == global_names_.end() ? Pid() : at->second;
}

std::vector<ProcessInfo> Runtime::List() const {
  std::vector<std::shared_ptr<Process>> processes;
  {
    MutexLock lock(&mu_);
    for (const auto& [number, process] : processes_) {
      processes.push_back(process);
    }
  }
  std::vector<ProcessInfo> list;
  for (const auto& process : processes) list.push_back(process->Describe());
  std::sort(
      list.begin(), list.end(),
      [](const ProcessInfo& a, const ProcessInfo& b) { return a.pid < b.pid; });
  return list;
}

size_t Runtime::process_count() const {
  MutexLock lock(&mu_);
  return processes_.size();
}

}  // namespace muster
