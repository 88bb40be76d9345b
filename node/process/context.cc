#include "node/process/context.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "node/base/check.h"
#include "node/process/process.h"
#include "node/process/runtime.h"
#include "node/types/names.h"

namespace muster {
namespace {

constexpr size_t kChainMax = 16;

// A killed process cannot be stopped in the middle of a handler, but nothing
// of what it says leaves it (otp 16.1).
Error Ending() {
  return Error(absl::StatusCode::kUnavailable, "EXITING",
               "this process has been ended by an exit signal and sends "
               "nothing any more")
      .NotExecuted();
}

Error CallingSelf(const ServerRef& to) {
  return Error(absl::StatusCode::kFailedPrecondition, "CALLING_SELF",
               absl::StrCat("'", to.ToString(),
                            "' called itself, which would wait for ever"))
      .NotExecuted();
}

std::string LogPrefix(const Process& self) {
  const std::string label = self.label();
  const std::string who =
      self.name().empty() ? self.pid().ToString() : self.name();
  return label.empty() ? absl::StrCat(who, ": ")
                       : absl::StrCat(who, " (", LogSafe(label), "): ");
}

// What a message of this process carries on: who waits, how long, for whom.
Request MakeRequest(Process& self, const ServerRef& to, absl::string_view path,
                    Payload payload, const CallOptions& options) {
  Request request(to, path, std::move(payload));
  request.caller = self.pid();
  request.meta.metadata = options.metadata;
  self.SignMeta(&request.meta);
  request.meta.deadline = self.runtime().clock().Boot() + options.timeout;
  if (const Request* current = self.current_request()) {
    // A nested call waits no longer than whoever waits for it
    // (guarantees section 8.1).
    if (self.current_slot() != nullptr) {
      request.meta.deadline =
          std::min(request.meta.deadline, current->meta.deadline);
      request.meta.chain = current->meta.chain;
      request.meta.chain_calls = current->meta.chain_calls;
    }
    request.meta.identity = current->meta.identity;
    request.meta.traceparent = current->meta.traceparent;
    request.meta.tracestate = current->meta.tracestate;
  }
  Meta& meta = request.meta;
  // Known for all of the chain or for none of it.
  meta.chain_calls.resize(meta.chain.size());
  if (meta.chain.size() == kChainMax) {
    meta.chain.erase(meta.chain.begin());
    meta.chain_calls.erase(meta.chain_calls.begin());
  }
  meta.chain.push_back(self.pid());
  meta.chain_calls.push_back(self.NextCall());
  return request;
}

}  // namespace

namespace internal {

bool IsSelf(const Process& self, const ServerRef& to) {
  switch (to.kind()) {
    case ServerRef::Kind::kPid:
    case ServerRef::Kind::kAlias:
      return to.pid() == self.pid();
    case ServerRef::Kind::kLocal:
      return !self.local_name().empty() && to.name() == self.local_name() &&
             (to.node().empty() || to.node() == self.pid().node);
    case ServerRef::Kind::kGlobal:
      return !self.global_name().empty() && to.name() == self.global_name();
    case ServerRef::Kind::kVia: {
      const auto registry = self.runtime().HoldVia(to.registry());
      return registry != nullptr && registry->WhereIs(to.name()) == self.pid();
    }
  }
  return false;
}

absl::AnyInvocable<void()> SuspendCurrentProcess(uint64_t call) {
  Process* const process = Process::Current();
  MUSTER_CHECK(process != nullptr,
               "only a process's own coroutines are resumed by the runtime");
  const uint64_t token = process->BeginWait(call);
  std::weak_ptr<Process> weak = process->shared_from_this();
  return [weak, token] {
    if (auto alive = weak.lock()) alive->Wake(token);
  };
}

bool BlockUntil(
    absl::AnyInvocable<void(absl::AnyInvocable<void()> done)> start) {
  if (Scheduler::OnWorker()) return false;
  struct Latch {
    Mutex mu;
    CondVar cv;
    bool done ABSL_GUARDED_BY(mu) = false;
  };
  auto latch = std::make_shared<Latch>();
  start([latch] {
    MutexLock lock(&latch->mu);
    latch->done = true;
    latch->cv.SignalAll();
  });
  MutexLock lock(&latch->mu);
  while (!latch->done) latch->cv.Wait(&latch->mu);
  return true;
}

}  // namespace internal

const Pid& Context::pid() const { return process_->pid(); }
const std::string& Context::name() const { return process_->name(); }
const std::string& Context::node() const { return process_->pid().node; }
Runtime& Context::runtime() const { return process_->runtime(); }
const std::vector<Pid>& Context::callers() const { return process_->callers(); }

absl::StatusOr<Epoch> Context::fencing_token() const {
  if (process_->global_name().empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "NO_NAME",
                 "only a server with a cluster-wide name has a fencing token");
  }
  if (!process_->FenceOpen()) {
    return Error(absl::StatusCode::kAborted, "FENCED",
                 "this node cannot prove that it still owns the name");
  }
  return process_->global_epoch();
}

BootTime Context::Now() const { return runtime().clock().Boot(); }
absl::Time Context::WallTime() const { return runtime().clock().Wall(); }
RandomSource& Context::random() const { return runtime().random(); }

void Context::LogInfo(absl::string_view text) const {
  runtime().log().Info(absl::StrCat(LogPrefix(*process_), text));
}
void Context::LogWarning(absl::string_view text) const {
  runtime().log().Warning(absl::StrCat(LogPrefix(*process_), text));
}
void Context::LogError(absl::string_view text) const {
  runtime().log().Error(absl::StrCat(LogPrefix(*process_), text));
}

From Context::from() const {
  return From(process_->current_slot(), &runtime(), process_->global_epoch());
}

BootTime Context::deadline() const {
  const Request* const request = process_->current_request();
  return request == nullptr ? BootTime::Infinite() : request->meta.deadline;
}

std::string Context::metadata(absl::string_view key) const {
  if (const Request* const request = process_->current_request()) {
    for (const auto& [name, value] : request->meta.metadata) {
      if (name == key) return value;
    }
  }
  return "";
}

Pid Context::caller() const {
  const Request* const request = process_->current_request();
  return request == nullptr ? Pid() : request->caller;
}

void Context::StartCall(const ServerRef& to, absl::string_view path,
                        Payload request, const CallOptions& options,
                        absl::AnyInvocable<void(CallResult)> done) {
  if (absl::Status status = internal::CheckTimeout(options.timeout);
      !status.ok()) {
    done(CallResult(std::move(status)));
    return;
  }
  if (!process_->FenceOpen()) {
    done(CallResult(internal::FrozenSender().status()));
    return;
  }
  if (process_->doomed()) {
    done(CallResult(Ending().status()));
    return;
  }
  if (internal::IsSelf(*process_, to)) {
    done(CallResult(CallingSelf(to).status()));
    return;
  }
  Request call = MakeRequest(*process_, to, path, std::move(request), options);
  if (options.waiter != nullptr) {
    options.waiter->set_call(call.meta.chain_calls.back());
  }
  if (options.detached) {
    runtime().StartCall(std::move(call), std::move(done));
    return;
  }
  process_->AddOutgoing(
      runtime().StartCall(std::move(call), std::move(done), options.waiter),
      options.waiter);
}

void Context::StartCast(const ServerRef& to, absl::string_view path,
                        Payload request, const CallOptions& options,
                        absl::AnyInvocable<void(absl::Status)> done) {
  if (!process_->FenceOpen()) {
    done(internal::FrozenSender());
    return;
  }
  if (process_->doomed()) {
    done(Ending());
    return;
  }
  Request cast = MakeRequest(*process_, to, path, std::move(request), options);
  cast.meta.deadline = BootTime::Infinite();
  cast.meta.chain.clear();
  cast.meta.chain_calls.clear();
  done(runtime().CastAndForget(std::move(cast)));
}

void Context::Send(const ServerRef& to, Info info) {
  // Withheld (guarantees G3).
  if (!process_->FenceOpen() || process_->doomed()) return;
  Meta meta;
  process_->SignMeta(&meta);
  runtime().Send(to, std::move(info), std::move(meta));
}

TimerRef Context::SendAfter(absl::Duration delay, Info info) {
  return runtime().SendAfter(delay, pid(), std::move(info));
}

TimerRef Context::SendAfter(absl::Duration delay, const ServerRef& to,
                            Info info) {
  return runtime().SendAfter(delay, to, std::move(info), pid());
}

TimerRef Context::SendAt(BootTime due, Info info) {
  return runtime().SendAt(due, pid(), std::move(info));
}

TimerRef Context::SendAt(BootTime due, const ServerRef& to, Info info) {
  return runtime().SendAt(due, to, std::move(info), pid());
}

absl::StatusOr<TimerRef> Context::StartTimer(absl::Duration delay, Info info) {
  return runtime().StartTimer(delay, pid(), std::move(info));
}

absl::StatusOr<TimerRef> Context::StartTimer(absl::Duration delay,
                                             const ServerRef& to, Info info) {
  return runtime().StartTimer(delay, to, std::move(info), pid());
}

absl::StatusOr<TimerRef> Context::StartTimerAt(BootTime due,
                                               const ServerRef& to, Info info) {
  return runtime().StartTimerAt(due, to, std::move(info), pid());
}

std::optional<absl::Duration> Context::CancelTimer(TimerRef timer) {
  return runtime().CancelTimer(timer);
}

std::optional<absl::Duration> Context::ReadTimer(TimerRef timer) const {
  return runtime().ReadTimer(timer);
}

void Context::CancelTimerAsync(TimerRef timer, bool report) {
  const std::optional<absl::Duration> left = CancelTimer(timer);
  if (report) runtime().SendLocal(pid(), Info(TimerCancelled(timer, left)));
}

void Context::ReadTimerAsync(TimerRef timer) {
  runtime().SendLocal(pid(), Info(TimerRead(timer, ReadTimer(timer))));
}

void Context::TrapExit(bool on) { process_->set_trap_exit(on); }
Pending<Elapsed> Context::Sleep(absl::Duration d) {
  auto arrival = std::make_shared<internal::Arrival<Elapsed>>();
  // Whoever is first, the timer or the end of the wait, counts it out.
  Runtime* const owner = &runtime();
  owner->sleeps_.fetch_add(1, std::memory_order_relaxed);
  const TimerId timer = owner->scheduler().At(Now() + d, [arrival, owner] {
    if (arrival->Set(Elapsed())) {
      owner->sleeps_.fetch_sub(1, std::memory_order_relaxed);
    }
  });
  arrival->OnAbandon([owner, timer] {
    owner->scheduler().Cancel(timer);
    owner->sleeps_.fetch_sub(1, std::memory_order_relaxed);
  });
  return Pending<Elapsed>(std::move(arrival));
}

void Context::RunBlocking(absl::AnyInvocable<void()> work) {
  runtime().scheduler().Block(std::move(work));
}

}  // namespace muster
