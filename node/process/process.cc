#include "node/process/process.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <typeinfo>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/base/check.h"

namespace muster {
namespace {

thread_local Process* current_process = nullptr;

// How long a server waits before it looks again whether its fence is open.
constexpr absl::Duration kThawInterval = absl::Milliseconds(20);
// What the envelope of a message counts for beside its payload.
constexpr size_t kEnvelopeBytes = 256;

class CurrentScope {
 public:
  explicit CurrentScope(Process* process)
      : outer_(std::exchange(current_process, process)) {}
  ~CurrentScope() { current_process = outer_; }

 private:
  Process* const outer_;
};

std::string TypeName(const std::type_info* type) {
  if (type == nullptr) return "an unknown type";
  int status = 0;
  char* const name =
      abi::__cxa_demangle(type->name(), nullptr, nullptr, &status);
  std::string result = name != nullptr ? name : type->name();
  std::free(name);
  return result;
}

// Inside a catch block: what was thrown.
ExitReason ThrownReason() {
  try {
    throw;
  } catch (const std::exception& e) {
    return ExitReason::Exception(
        absl::StrCat(TypeName(&typeid(e)), ": ", e.what()));
  } catch (...) {
    return ExitReason::Exception(absl::StrCat(
        "a value of type ", TypeName(abi::__cxa_current_exception_type())));
  }
}

// Completes a call on behalf of a server: the fence is asked last, at the
// hand-off (guarantees R8, R10).
void Answer(CallSlot& slot, CallResult result, const Runtime& runtime,
            const Epoch& epoch) {
  if (!epoch.empty()) {
    const BootTime now = runtime.clock().Boot();
    if (!runtime.fence().Check(now)) {
      slot.Complete(CallResult(
          Error(absl::StatusCode::kAborted, "FENCED",
                "the server ran the call, but its node could not prove in "
                "time that it still owns the name: read the state, then "
                "decide")
              .Unknown()
              .status()));
      return;
    }
    result.epoch = epoch;
    result.fence_remaining = runtime.fence().Remaining(now);
  }
  slot.Complete(std::move(result));
}

}  // namespace

// -- From --------------------------------------------------------------------

From::From(std::shared_ptr<CallSlot> slot, const Runtime* runtime, Epoch epoch)
    : slot_(std::move(slot)), runtime_(runtime), epoch_(epoch) {}
From::From(const From&) = default;
From& From::operator=(const From&) = default;
From::From(From&&) noexcept = default;
From& From::operator=(From&&) noexcept = default;
From::~From() = default;

void From::ReplyError(absl::Status error) const {
  if (slot_ == nullptr) return;
  if (error.ok()) {
    error = Error(absl::StatusCode::kInternal, "BUG",
                  "the server answered an error that is OK");
  }
  Answer(*slot_, CallResult(WithOutcome(std::move(error), Outcome::kExecuted)),
         *runtime_, epoch_);
}

void From::ReplyWith(Payload response) const {
  if (slot_ == nullptr) return;
  Answer(*slot_, CallResult(std::move(response)), *runtime_, epoch_);
}

bool From::done() const { return slot_ == nullptr || slot_->done(); }

// -- Process -----------------------------------------------------------------

Process::Process(Runtime* runtime, Pid pid, std::unique_ptr<ProcessBody> body,
                 Payload options, SpawnOptions spawn,
                 absl::AnyInvocable<void(absl::Status)> started)
    : runtime_(runtime),
      pid_(std::move(pid)),
      spawn_(std::move(spawn)),
      service_(&body->service_info()),
      started_at_(runtime->clock().Boot()),
      body_(std::move(body)),
      options_(std::move(options)),
      started_(std::move(started)),
      context_(this),
      life_(Life::kSpawned),
      trap_exit_(spawn_.trap_exit),
      global_epoch_(spawn_.global_epoch) {
  static const std::string kNone;
  global_name_.store(spawn_.hold ? &kNone : &spawn_.global_name,
                     std::memory_order_release);
}

Process::~Process() = default;

Process* Process::Current() { return current_process; }

bool Process::ScheduleLocked() {
  if (scheduled_ || life_ == Life::kDead) return false;
  scheduled_ = true;
  self_ = shared_from_this();
  return true;
}

void Process::Start() {
  if (spawn_.timeout != absl::InfiniteDuration()) {
    std::weak_ptr<Process> weak = shared_from_this();
    start_timer_ = runtime_->scheduler().At(
        runtime_->clock().Boot() + spawn_.timeout, [weak] {
          if (auto process = weak.lock()) process->StartExpired();
        });
  }
  bool submit = false;
  {
    MutexLock lock(&mu_);
    life_ = spawn_.hold ? Life::kHeld : Life::kStarting;
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

bool Process::AdoptClaim(Epoch global_epoch) {
  MutexLock lock(&mu_);
  if (life_ != Life::kHeld) return false;
  global_epoch_ = global_epoch;
  global_name_.store(&spawn_.global_name, std::memory_order_release);
  return true;
}

void Process::Release() {
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ != Life::kHeld) return;
    life_ = Life::kStarting;
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

absl::Status Process::SetGlobalName(absl::string_view name, Epoch epoch) {
  MutexLock lock(&mu_);
  if (life_ == Life::kDead) {
    return Error(absl::StatusCode::kNotFound, "NOPROC",
                 absl::StrCat(pid_.ToString(), " has ended"))
        .NotExecuted();
  }
  if (!global_name().empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "HAS_NAME",
                 absl::StrCat(pid_.ToString(), " already has the name '",
                              global_name(), "': a process has at most one"))
        .NotExecuted();
  }
  global_names_.push_back(std::make_unique<const std::string>(name));
  global_epoch_ = epoch;
  global_name_.store(global_names_.back().get(), std::memory_order_release);
  return absl::OkStatus();
}

void Process::ClearGlobalName() {
  MutexLock lock(&mu_);
  global_names_.push_back(std::make_unique<const std::string>());
  global_epoch_ = Epoch();
  global_name_.store(global_names_.back().get(), std::memory_order_release);
}

void Process::StartExpired() {
  bool submit = false;
  Pid parent;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kAlive || life_ == Life::kDead) return;
    start_error_ =
        Error(absl::StatusCode::kDeadlineExceeded, "START_TIMEOUT",
              absl::StrCat("Init of ", spawn_.type, " did not finish within ",
                           absl::FormatDuration(spawn_.timeout)))
            .Unknown();
    // Unlinked first, so that the kill does not hit the starter (otp H8).
    if (links_.erase(spawn_.link_to) > 0) parent = spawn_.link_to;
    doomed_ = ExitReason::Killed();
    submit = ScheduleLocked();
  }
  if (!parent.empty()) {
    if (auto other = runtime_->Find(parent)) other->RemoveLink(pid_);
  }
  if (submit) Submit();
}

bool Process::HasRoomLocked(size_t bytes) const {
  const RuntimeOptions& limits = runtime_->options();
  return mailbox_.size() < limits.mailbox_messages_max &&
         mailbox_bytes_ + bytes <= limits.mailbox_bytes_max;
}

void Process::PushLocked(Envelope envelope) {
  mailbox_bytes_ += envelope.bytes;
  mailbox_.push_back(std::move(envelope));
}

Error Process::MailboxFull() const {
  return Error(absl::StatusCode::kResourceExhausted, "MAILBOX_FULL",
               absl::StrCat("the mailbox of '",
                            name().empty() ? pid_.ToString() : name(),
                            "' is full"))
      .RetryAfter(absl::Milliseconds(50));
}

Error Process::Exited(const ExitReason& reason) const {
  return Error(absl::StatusCode::kAborted, "CALLEE_EXITED",
               absl::StrCat("'", name().empty() ? pid_.ToString() : name(),
                            "' ended without an answer: ", reason.ToString()))
      .With("exit_reason", reason.ToString())
      .With("pid", pid_.ToString());
}

absl::Status Process::CheckMethod(const Request& request, bool* is_cast,
                                  absl::string_view* method) const {
  absl::string_view service;
  if (!SplitMethodPath(request.method, &service, method)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_METHOD",
                 absl::StrCat("'", request.method.substr(0, 64),
                              "' is no method path: it would look like "
                              "/package.Service/Method"))
        .NotExecuted();
  }
  if (service != service_->service) {
    return Error(absl::StatusCode::kUnimplemented, "WRONG_SERVICE",
                 absl::StrCat(
                     "'", name().empty() ? pid_.ToString() : name(),
                     "' has the service ",
                     service_->service.empty() ? "(none)" : service_->service,
                     ", not ", service.substr(0, 64)))
        .NotExecuted();
  }
  for (const MethodInfo& info : service_->methods) {
    if (info.name == *method) {
      *is_cast = info.cast;
      return absl::OkStatus();
    }
  }
  std::string known;
  for (const MethodInfo& info : service_->methods) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", info.name);
  }
  return Error(absl::StatusCode::kUnimplemented, "UNKNOWN_METHOD",
               absl::StrCat(service_->service, " has no method '",
                            method->substr(0, 64), "'; it has ", known))
      .NotExecuted();
}

void Process::PushCall(Request request, std::shared_ptr<CallSlot> slot) {
  bool is_cast = false;
  absl::string_view method;
  if (absl::Status checked = CheckMethod(request, &is_cast, &method);
      !checked.ok()) {
    slot->Complete(CallResult(std::move(checked)));
    return;
  }
  if (is_cast) {
    absl::Status taken = PushCast(std::move(request));
    slot->Complete(CallResult(std::move(taken)));
    return;
  }
  const auto& chain = request.meta.chain;
  if (std::find(chain.begin(), chain.end(), pid_) != chain.end()) {
    std::string path;
    for (const Pid& pid : chain) absl::StrAppend(&path, pid.ToString(), " > ");
    absl::StrAppend(&path, pid_.ToString());
    slot->Complete(CallResult(
        Error(absl::StatusCode::kFailedPrecondition, "CALL_CYCLE",
              "the call would come back to a process that waits for it")
            .With("path", path)
            .NotExecuted()
            .status()));
    return;
  }
  Envelope envelope;
  envelope.kind = Envelope::Kind::kCall;
  envelope.bytes = request.payload.size_bytes() + kEnvelopeBytes;
  envelope.request = std::move(request);
  envelope.slot = slot;
  bool submit = false;
  std::optional<Error> refused;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead) {
      refused = Exited(*ended_);
    } else if (!HasRoomLocked(envelope.bytes)) {
      refused = MailboxFull();
    } else {
      PushLocked(std::move(envelope));
      submit = ScheduleLocked();
    }
  }
  if (refused.has_value()) {
    slot->Fail(*std::move(refused));
  } else if (submit) {
    Submit();
  }
}

absl::Status Process::PushCast(Request request) {
  bool is_cast = false;
  absl::string_view method;
  if (absl::Status checked = CheckMethod(request, &is_cast, &method);
      !checked.ok()) {
    return checked;
  }
  if (!is_cast) {
    return Error(absl::StatusCode::kInvalidArgument, "NOT_A_CAST",
                 absl::StrCat(method, " is a call, not a cast: call it"))
        .NotExecuted();
  }
  Envelope envelope;
  envelope.kind = Envelope::Kind::kCast;
  envelope.bytes = request.payload.size_bytes() + kEnvelopeBytes;
  envelope.request = std::move(request);
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead) return Exited(*ended_).NotExecuted();
    if (!HasRoomLocked(envelope.bytes)) return MailboxFull().NotExecuted();
    PushLocked(std::move(envelope));
    submit = ScheduleLocked();
  }
  if (submit) Submit();
  return absl::OkStatus();
}

void Process::PushInfo(Info info) {
  Envelope envelope;
  envelope.kind = Envelope::Kind::kInfo;
  envelope.bytes = info.size_bytes() + kEnvelopeBytes;
  envelope.info = std::move(info);
  bool submit = false;
  bool first_drop = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead) return;
    if (HasRoomLocked(envelope.bytes)) {
      PushLocked(std::move(envelope));
      submit = ScheduleLocked();
    } else {
      first_drop = ++dropped_infos_ == 1;
    }
  }
  if (first_drop) {
    runtime_->log().Warning(
        absl::StrCat(pid_.ToString(), ": mailbox full, infos are dropped"));
  }
  if (submit) Submit();
}

void Process::PushDown(Down down) {
  // Never refused: the monitor holds its room (guarantees section 8.3).
  Envelope envelope;
  envelope.kind = Envelope::Kind::kInfo;
  envelope.down_ref = down.ref;
  envelope.info = Info(std::move(down));
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead) return;
    PushLocked(std::move(envelope));
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

// The table of otp 1.3.
void Process::SignalExit(const Pid& from, const ExitReason& reason,
                         bool via_link) {
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead) return;
    if (via_link && links_.erase(from) == 0) return;
    const bool kill = !via_link && reason.kind() == ExitReason::Kind::kKill;
    if (kill) {
      doomed_ = ExitReason::Killed();
    } else if (trap_exit_) {
      Envelope envelope;
      envelope.kind = Envelope::Kind::kExit;
      envelope.exit.emplace(from, reason);
      PushLocked(std::move(envelope));
    } else if (reason.kind() == ExitReason::Kind::kNormal && from != pid_) {
      return;
    } else if (!doomed_.has_value()) {
      doomed_ = reason;
    }
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

bool Process::AddLink(const Pid& other) {
  MutexLock lock(&mu_);
  if (life_ == Life::kDead) return false;
  links_.insert(other);
  return true;
}

void Process::RemoveLink(const Pid& other) {
  MutexLock lock(&mu_);
  links_.erase(other);
}

bool Process::AddWatcher(uint64_t ref, const Pid& watcher) {
  MutexLock lock(&mu_);
  if (life_ == Life::kDead) return false;
  watchers_[ref].pid = watcher;
  return true;
}

bool Process::AddObserver(uint64_t ref,
                          absl::AnyInvocable<void(ExitReason)>* done) {
  MutexLock lock(&mu_);
  if (life_ == Life::kDead) return false;
  watchers_[ref].observer = std::move(*done);
  return true;
}

bool Process::RemoveWatcher(uint64_t ref) {
  MutexLock lock(&mu_);
  return watchers_.erase(ref) > 0;
}

void Process::Wake(uint64_t token) {
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead || token != wait_token_) return;
    woken_ = true;
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

uint64_t Process::BeginWait() {
  MutexLock lock(&mu_);
  woken_ = false;
  return ++wait_token_;
}

void Process::set_trap_exit(bool on) {
  MutexLock lock(&mu_);
  trap_exit_ = on;
}

bool Process::RemoveQueuedDown(MonitorRef ref) {
  MutexLock lock(&mu_);
  const auto at =
      std::find_if(mailbox_.begin(), mailbox_.end(),
                   [ref](const Envelope& e) { return e.down_ref == ref; });
  if (at == mailbox_.end()) return false;
  mailbox_bytes_ -= at->bytes;
  mailbox_.erase(at);
  return true;
}

Epoch Process::global_epoch() const {
  MutexLock lock(&mu_);
  return global_epoch_;
}

bool Process::doomed() const {
  MutexLock lock(&mu_);
  return doomed_.has_value();
}

bool Process::FenceOpen() const {
  return global_name().empty() ||
         runtime_->fence().Check(runtime_->clock().Boot());
}

ProcessInfo Process::Describe() const {
  ProcessInfo info;
  info.pid = pid_;
  info.name = name();
  info.global = !global_name().empty();
  info.type = spawn_.type;
  info.handled = handled_.load(std::memory_order_relaxed);
  info.started = started_at_;
  MutexLock lock(&mu_);
  info.mailbox = mailbox_.size();
  if (life_ == Life::kSpawned || life_ == Life::kHeld ||
      life_ == Life::kStarting) {
    info.state = "starting";
  } else if (waiting_) {
    info.state = "waiting";
  } else if (running_ || scheduled_) {
    info.state = "running";
  } else {
    info.state = "idle";
  }
  return info;
}

// -- The loop ----------------------------------------------------------------

void Process::Run() {
  std::shared_ptr<Process> self;
  {
    MutexLock lock(&mu_);
    self = std::move(self_);
    running_ = true;
  }
  CurrentScope scope(this);
  for (int budget = runtime_->options().reductions; budget > 0; --budget) {
    const Work work = NextWork(FenceOpen());
    if (work == Work::kNone) return;
    if (work == Work::kThaw) {
      ThawLater();
      return;
    }
    Dispatch(work);
  }
  {
    MutexLock lock(&mu_);
    running_ = false;
    if (life_ == Life::kDead) return;
    self_ = std::move(self);
  }
  Submit();
}

Process::Work Process::NextWork(bool fence_open) {
  MutexLock lock(&mu_);
  const auto leave = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    scheduled_ = false;
    running_ = false;
    return Work::kNone;
  };
  if (life_ == Life::kSpawned || life_ == Life::kDead) return leave();
  if (doomed_.has_value()) return Work::kDie;
  if (waiting_) {
    if (!woken_) return leave();
    woken_ = false;
    waiting_ = false;
    return Work::kResume;
  }
  if (life_ == Life::kHeld) return leave();
  if (life_ == Life::kStarting) return Work::kInit;
  if (!fence_open) {
    const Work frozen = FrozenWorkLocked();
    if (frozen == Work::kThaw) leave();
    if (frozen != Work::kNone) return frozen;
  }
  if (continue_.has_value()) return Work::kContinue;
  if (!mailbox_.empty()) {
    current_ = std::move(mailbox_.front());
    mailbox_.pop_front();
    mailbox_bytes_ -= current_.bytes;
    // Any message ends the wait for inactivity (otp G14).
    timeout_due_ = false;
    timeout_armed_ = false;
    ++idle_generation_;
    return Work::kMessage;
  }
  if (timeout_due_) {
    timeout_due_ = false;
    timeout_armed_ = false;
    return Work::kTimeout;
  }
  if (idle_after_ != absl::InfiniteDuration() && !timeout_armed_) {
    return Work::kArmTimeout;
  }
  return leave();
}

Process::Work Process::FrozenWorkLocked() {
  // What is queued stays, calls are refused (guarantees R11).
  const auto call = std::find_if(
      mailbox_.begin(), mailbox_.end(),
      [](const Envelope& e) { return e.kind == Envelope::Kind::kCall; });
  if (call != mailbox_.end()) {
    current_ = std::move(*call);
    mailbox_.erase(call);
    mailbox_bytes_ -= current_.bytes;
    return Work::kRefuse;
  }
  if (mailbox_.empty() && !continue_.has_value() && !timeout_due_) {
    return Work::kNone;
  }
  return Work::kThaw;
}

void Process::RefuseFrozen() {
  current_.slot->Complete(
      CallResult(Error(absl::StatusCode::kUnavailable, "FROZEN",
                       absl::StrCat("'", name(),
                                    "' is frozen: its node cannot prove that "
                                    "it still owns the name"))
                     .RetryAfter(absl::Milliseconds(100))
                     .NotExecuted()
                     .status()));
  FinishCurrent();
}

void Process::Dispatch(Work work) {
  switch (work) {
    case Work::kNone:
    case Work::kThaw:
      return;
    case Work::kDie: {
      std::optional<ExitReason> reason;
      {
        MutexLock lock(&mu_);
        reason = doomed_;
      }
      Finish(*reason);
      return;
    }
    case Work::kResume: {
      // Also with a closed fence: the handler goes on, and its sends and its
      // reply are withheld by their own checks.
      result_->Resume();
      Settle();
      return;
    }
    case Work::kInit:
      Invoke(Stage::kInit,
             [this] { return body_->OnInit(options_, context_); });
      return;
    case Work::kContinue: {
      current_ = Envelope();
      current_.kind = Envelope::Kind::kInfo;
      current_.info = *std::move(continue_);
      continue_.reset();
      Invoke(Stage::kContinue,
             [this] { return body_->OnContinue(current_.info, context_); });
      return;
    }
    case Work::kTimeout:
      idle_after_ = absl::InfiniteDuration();
      idle_timer_ = 0;
      Invoke(Stage::kTimeout, [this] { return body_->OnTimeout(context_); });
      return;
    case Work::kArmTimeout:
      ArmTimeout();
      return;
    case Work::kRefuse:
      RefuseFrozen();
      return;
    case Work::kMessage:
      break;
  }

  idle_after_ = absl::InfiniteDuration();
  if (idle_timer_ != 0) {
    runtime_->scheduler().Cancel(std::exchange(idle_timer_, 0));
  }
  handled_.fetch_add(1, std::memory_order_relaxed);
  absl::string_view service;
  absl::string_view method;
  if (current_.request.has_value()) {
    SplitMethodPath(current_.request->method, &service, &method);
  }
  switch (current_.kind) {
    case Envelope::Kind::kNone:
      return;
    case Envelope::Kind::kCall:
      if (!FenceOpen()) {
        RefuseFrozen();
        return;
      }
      if (current_.request->meta.deadline <= runtime_->clock().Boot()) {
        // Expired work is dropped before it runs (otp 16.3).
        current_.slot->Fail(Error(absl::StatusCode::kDeadlineExceeded,
                                  "TIMEOUT",
                                  "the call expired before its turn came"));
        FinishCurrent();
        return;
      }
      if (!current_.slot->MarkDispatched()) {  // The caller has gone.
        FinishCurrent();
        return;
      }
      Invoke(Stage::kCall, [this, method] {
        return body_->OnCall(method, current_.request->payload, context_);
      });
      return;
    case Envelope::Kind::kCast:
      Invoke(Stage::kCast, [this, method] {
        return body_->OnCast(method, current_.request->payload, context_);
      });
      return;
    case Envelope::Kind::kInfo:
      if (current_.down_ref.id != 0) {
        own_monitors_.erase(current_.down_ref.id);
        if (flushed_downs_.erase(current_.down_ref.id) > 0) {
          FinishCurrent();
          return;
        }
      }
      Invoke(Stage::kInfo,
             [this] { return body_->OnInfo(current_.info, context_); });
      return;
    case Envelope::Kind::kExit: {
      const Pid& parent =
          spawn_.parent.empty() ? spawn_.link_to : spawn_.parent;
      if (current_.exit->from == parent || current_.exit->from.empty()) {
        // An order to shut down, from the parent (otp G2) or from the system,
        // which is everybody's, never reaches HandleInfo.
        BeginTerminate(current_.exit->reason);
        return;
      }
      current_.info = Info(*std::move(current_.exit));
      Invoke(Stage::kInfo,
             [this] { return body_->OnInfo(current_.info, context_); });
      return;
    }
  }
}

template <typename Callback>
void Process::Invoke(Stage stage, Callback callback) {
  stage_ = stage;
  try {
    result_.emplace(callback());
  } catch (...) {
    Crash(stage, ThrownReason());
    return;
  }
  Settle();
}

void Process::Settle() {
  {
    MutexLock lock(&mu_);
    // An exit signal came meanwhile: what the handler answers is discarded,
    // and NextWork ends the process.
    if (doomed_.has_value()) return;
    if (!result_->done()) {
      waiting_ = true;
      return;
    }
  }
  internal::Decision decision;
  const Stage stage = stage_;
  try {
    decision = result_->Take();
  } catch (...) {
    result_.reset();
    Crash(stage, ThrownReason());
    return;
  }
  result_.reset();
  Apply(stage, std::move(decision));
}

void Process::Apply(Stage stage, internal::Decision decision) {
  using Kind = internal::Decision::Kind;
  if (stage == Stage::kTerminate) {
    Finish(*ending_);
    return;
  }
  if (stage == Stage::kInit) {
    ApplyInit(std::move(decision));
    return;
  }
  const Epoch epoch = global_epoch();
  switch (decision.kind) {
    case Kind::kReply:
      if (current_.slot == nullptr) break;
      Answer(*current_.slot, CallResult(std::move(decision.reply)), *runtime_,
             epoch);
      break;
    case Kind::kError:
      if (current_.slot == nullptr) {
        context_.LogWarning(
            absl::StrCat("a message was dropped: ", decision.error.message()));
        break;
      }
      if (decision.refused) {
        current_.slot->Complete(CallResult(std::move(decision.error)));
      } else {
        From(current_.slot, runtime_, epoch)
            .ReplyError(std::move(decision.error));
      }
      break;
    case Kind::kGoOn:
    case Kind::kIgnore:
      if (stage == Stage::kCall && !current_.slot->done()) {
        unanswered_.push_back(current_.slot);
        if (unanswered_.size() >= unanswered_sweep_) {
          std::erase_if(unanswered_,
                        [](const auto& slot) { return slot->done(); });
          unanswered_sweep_ = std::max<size_t>(16, 2 * unanswered_.size());
        }
      }
      break;
    case Kind::kStop:
      if (decision.replies) stop_reply_ = std::move(decision.reply);
      BeginTerminate(*std::move(decision.stop));
      return;
  }
  FinishCurrent();
  ApplyAfter(std::move(decision.after));
}

void Process::ApplyInit(internal::Decision decision) {
  using Kind = internal::Decision::Kind;
  switch (decision.kind) {
    case Kind::kGoOn:
    case Kind::kReply: {
      if (start_timer_ != 0) {
        runtime_->scheduler().Cancel(std::exchange(start_timer_, 0));
      }
      bool doomed;
      {
        MutexLock lock(&mu_);
        doomed = doomed_.has_value();
        if (!doomed) life_ = Life::kAlive;
      }
      if (doomed) return;  // NextWork says so.
      options_ = Payload();
      stage_ = Stage::kNone;
      ReportStarted(absl::OkStatus());
      ApplyAfter(std::move(decision.after));
      return;
    }
    case Kind::kIgnore: {
      {
        MutexLock lock(&mu_);
        start_error_ = Error(absl::StatusCode::kFailedPrecondition, "IGNORED",
                             absl::StrCat("Init of ", spawn_.type,
                                          " does not want this process"))
                           .Executed();
      }
      Finish(ExitReason::Normal());
      return;
    }
    case Kind::kError: {
      {
        MutexLock lock(&mu_);
        start_error_ =
            WithOutcome(std::move(decision.error), Outcome::kExecuted);
      }
      Finish(ExitReason::Normal());
      return;
    }
    case Kind::kStop:
      // Terminate never runs for a failed Init (otp H9).
      LogEnding(*decision.stop);
      Finish(*decision.stop);
      return;
  }
}

void Process::ApplyAfter(After after) {
  switch (after.kind) {
    case After::Kind::kNothing:
      return;
    case After::Kind::kTimeout:
      if (after.timeout < absl::ZeroDuration()) {  // otp G16
        BeginTerminate(ExitReason::BadReturnValue(absl::StrCat(
            "Timeout(", absl::FormatDuration(after.timeout), ")")));
        return;
      }
      idle_after_ = after.timeout;
      return;
    case After::Kind::kContinue:
      continue_ = std::move(after.message);
      return;
    case After::Kind::kHibernate: {
      unanswered_.shrink_to_fit();
      MutexLock lock(&mu_);
      mailbox_.shrink_to_fit();
      return;
    }
  }
}

void Process::LogEnding(const ExitReason& reason) {
  if (reason.IsNormal()) return;  // otp G23
  runtime_->log().Error(absl::StrCat(pid_.ToString(), name().empty() ? "" : " ",
                                     name(), " crashed: ", reason.ToString()));
}

void Process::Crash(Stage stage, const ExitReason& reason) {
  switch (stage) {
    case Stage::kInit:
    case Stage::kTerminate:
      // Init gets no Terminate (otp H9); what Terminate throws replaces the
      // reason (otp G21).
      LogEnding(reason);
      Finish(reason);
      return;
    default:
      BeginTerminate(reason);
  }
}

void Process::BeginTerminate(ExitReason reason) {
  LogEnding(reason);
  ending_ = std::move(reason);
  Invoke(Stage::kTerminate,
         [this] { return body_->OnTerminate(*ending_, context_); });
}

void Process::FinishCurrent() {
  current_ = Envelope();
  stage_ = Stage::kNone;
}

void Process::ReportStarted(absl::Status status) {
  if (!started_) return;
  auto started = std::move(started_);
  started_ = nullptr;
  started(std::move(status));
}

void Process::Finish(const ExitReason& reason) {
  const Stage stage = stage_;
  std::deque<Envelope> mailbox;
  absl::btree_set<Pid> links;
  absl::btree_map<uint64_t, Watcher> watchers;
  absl::Status start_error;
  Epoch epoch;
  bool killed;
  {
    MutexLock lock(&mu_);
    life_ = Life::kDead;
    waiting_ = false;
    ended_ = reason;
    killed = doomed_.has_value();
    mailbox.swap(mailbox_);
    mailbox_bytes_ = 0;
    links.swap(links_);
    watchers.swap(watchers_);
    start_error = start_error_;
    epoch = global_epoch_;
    ++wait_token_;
  }
  // The coroutine goes before what it refers to; then the server itself.
  result_.reset();
  body_.reset();
  if (start_timer_ != 0) {
    runtime_->scheduler().Cancel(std::exchange(start_timer_, 0));
  }
  if (idle_timer_ != 0) {
    runtime_->scheduler().Cancel(std::exchange(idle_timer_, 0));
  }
  for (const uint64_t ref : std::exchange(own_monitors_, {})) {
    runtime_->Demonitor(pid_, MonitorRef{ref});
  }
  // Names are free before anybody hears of the end (otp P8).
  runtime_->Forget(*this);
  if (started_ && links.erase(spawn_.link_to) > 0) {
    // A failed start leaves the starter no Exit; it gets the error (otp H6).
    if (auto parent = runtime_->Find(spawn_.link_to)) parent->RemoveLink(pid_);
  }
  // The stop's own reply comes after Terminate and before the exit signals
  // (otp G6, 3.2), unless it was killed.
  if (current_.slot != nullptr && stop_reply_.has_value() && !killed) {
    Answer(*current_.slot, CallResult(*std::move(stop_reply_)), *runtime_,
           epoch);
  }
  for (const Pid& other : links) {
    runtime_->SendExit(pid_, other, reason, /*via_link=*/true);
  }
  for (auto& [ref, watcher] : watchers) {
    if (watcher.observer) {
      watcher.observer(reason);
    } else {
      runtime_->SendDown(watcher.pid, Down(MonitorRef{ref}, pid_, reason));
    }
  }
  if (current_.slot != nullptr) current_.slot->Fail(Exited(reason));
  for (const auto& slot : std::exchange(unanswered_, {})) {
    slot->Fail(Exited(reason));
  }
  for (Envelope& envelope : mailbox) {
    if (envelope.slot != nullptr) envelope.slot->Fail(Exited(reason));
  }
  if (started_) {
    if (start_error.ok()) {
      start_error =
          Error(absl::StatusCode::kAborted, "INIT_FAILED",
                absl::StrCat(spawn_.type.empty() ? "the process" : spawn_.type,
                             stage == Stage::kInit ? " ended in Init: "
                                                   : " ended before Init: ",
                             reason.ToString()))
              .With("exit_reason", reason.ToString())
              .Executed();
    }
    ReportStarted(std::move(start_error));
  }
  FinishCurrent();
}

void Process::ArmTimeout() {
  uint64_t generation;
  {
    MutexLock lock(&mu_);
    timeout_armed_ = true;
    generation = ++idle_generation_;
    if (idle_after_ == absl::ZeroDuration()) {
      timeout_due_ = true;
      return;
    }
  }
  std::weak_ptr<Process> weak = shared_from_this();
  idle_timer_ = runtime_->scheduler().At(
      runtime_->clock().Boot() + idle_after_, [weak, generation] {
        if (auto process = weak.lock()) process->TimeoutExpired(generation);
      });
}

void Process::TimeoutExpired(uint64_t generation) {
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead || generation != idle_generation_ ||
        !timeout_armed_) {
      return;
    }
    timeout_armed_ = false;
    timeout_due_ = true;
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

void Process::ThawLater() {
  {
    MutexLock lock(&mu_);
    if (std::exchange(thaw_armed_, true)) return;
  }
  std::weak_ptr<Process> weak = shared_from_this();
  runtime_->scheduler().At(runtime_->clock().Boot() + kThawInterval, [weak] {
    auto process = weak.lock();
    if (process == nullptr) return;
    bool submit = false;
    {
      MutexLock lock(&process->mu_);
      process->thaw_armed_ = false;
      submit = process->ScheduleLocked();
    }
    if (submit) process->Submit();
  });
}

void Process::Abandon() {
  std::shared_ptr<Process> self;
  std::deque<Envelope> mailbox;
  absl::btree_map<uint64_t, Watcher> watchers;
  {
    MutexLock lock(&mu_);
    life_ = Life::kDead;
    ended_ = ExitReason::Killed();
    self = std::move(self_);
    mailbox.swap(mailbox_);
    watchers.swap(watchers_);
    ++wait_token_;
  }
  result_.reset();
  body_.reset();
  current_ = Envelope();
  unanswered_.clear();
  started_ = nullptr;
  continue_.reset();
}

}  // namespace muster
