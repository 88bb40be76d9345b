// Process's loop: what runs next, and what a callback's answer does.
#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <typeinfo>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "node/base/check.h"
#include "node/process/answer.h"
#include "node/process/process.h"
#include "node/process/thrown.h"

namespace muster {
namespace {

thread_local Process* current_process = nullptr;

class CurrentScope {
 public:
  explicit CurrentScope(Process* process)
      : outer_(std::exchange(current_process, process)) {}
  ~CurrentScope() { current_process = outer_; }

 private:
  Process* const outer_;
};

std::string TypeName(const std::type_info* type) {
  return type == nullptr ? "an unknown type" : internal::CppTypeName(*type);
}

}  // namespace

ExitReason internal::ThrownReason() {
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

Process* Process::Current() { return current_process; }

std::string Process::Activity() const {
  std::string what = name().empty()
                         ? pid_.ToString()
                         : absl::StrCat(name(), " (", pid_.ToString(), ")");
  if (!spawn_.type.empty()) absl::StrAppend(&what, " of type ", spawn_.type);
  // Relaxed, both: a name for people, which may be a moment old.
  const MethodInfo* const method = method_.load(std::memory_order_relaxed);
  switch (stage_.load(std::memory_order_relaxed)) {
    case Stage::kNone:
      break;
    case Stage::kInit:
      return absl::StrCat(what, " in Init");
    case Stage::kCall:
    case Stage::kCast:
      return absl::StrCat(what, " in ", method == nullptr ? "?" : method->name);
    case Stage::kInfo:
      return absl::StrCat(what, " in HandleInfo");
    case Stage::kContinue:
      return absl::StrCat(what, " in HandleContinue");
    case Stage::kTimeout:
      return absl::StrCat(what, " in HandleTimeout");
    case Stage::kTerminate:
      return absl::StrCat(what, " in Terminate");
  }
  return what;
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
  const Scheduler::Working working(this);
  for (int budget = runtime_->options().reductions; budget > 0; --budget) {
    const Work work = NextWork(FenceOpen());
    if (work == Work::kNone) return;
    if (work == Work::kThaw) {
      AwaitThaw();
      return;
    }
    Dispatch(work);
  }
  {
    MutexLock lock(&mu_);
    running_ = false;
    if (life_ == Life::kDead) return;
    // A copy: once submitted, another worker may end and drop it, while
    // `working` still shows it.
    self_ = self;
  }
  Submit();
}

Process::Work Process::NextWork(bool fence_open) {
  std::vector<Envelope> revoked;  // Destroyed without the lock.
  MutexLock lock(&mu_);
  const auto leave = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    scheduled_ = false;
    running_ = false;
    return Work::kNone;
  };
  if (life_ == Life::kSpawned || life_ == Life::kDead) return leave();
  if (doomed_.has_value()) return Work::kDie;
  if (!fence_open) {
    const Work frozen = FrozenWorkLocked();
    if (frozen == Work::kThaw) leave();
    if (frozen != Work::kNone) return frozen;
  }
  if (waiting_) {
    // Terminate belongs to nobody's call.
    if (std::exchange(cancelled_message_, ~uint64_t{0}) ==
            handled_.load(std::memory_order_relaxed) &&
        stage_ == Stage::kCall) {
      return Work::kCancel;
    }
    if (!woken_) return leave();
    woken_ = false;
    waiting_ = false;
    awaited_call_ = 0;
    return Work::kResume;
  }
  if (life_ == Life::kHeld) return leave();
  if (life_ == Life::kStarting) return Work::kInit;
  if (continue_.has_value()) return Work::kContinue;
  const Work moving = MovingWorkLocked();
  if (moving != Work::kNone) return moving;
  if (HoldsLocked()) return leave();
  // Acquire: whoever revoked it has taken the response.
  while (!mailbox_.empty() && mailbox_.front().revoked != nullptr &&
         mailbox_.front().revoked->load(std::memory_order_acquire)) {
    if (mailbox_.front().reserved) --reserved_queued_;
    mailbox_bytes_ -= mailbox_.front().bytes;
    revoked.push_back(std::move(mailbox_.front()));
    mailbox_.pop_front();
  }
  const auto next = suspended_ ? NextWhileSuspendedLocked() : mailbox_.begin();
  if (next != mailbox_.end()) {
    TakeLocked(next);
    // Any message ends the wait for inactivity (otp G14); a system request
    // starts it again (otp G15).
    timeout_due_ = false;
    timeout_armed_ = false;
    ++idle_generation_;
    if (!current_.is_system()) hibernating_ = false;
    return Work::kMessage;
  }
  if (moving_ == Moving::kAsked) return leave();  // It owes a reply.
  if (suspended_) return leave();                 // otp Y3, Y4
  if (timeout_due_) {
    timeout_due_ = false;
    timeout_armed_ = false;
    return idle_after_ == absl::InfiniteDuration() ? Work::kHibernate
                                                   : Work::kTimeout;
  }
  if (!timeout_armed_ && !hibernating_ &&
      IdleLimit() != absl::InfiniteDuration()) {
    return Work::kArmTimeout;
  }
  return leave();
}

void Process::TakeLocked(std::deque<Envelope>::iterator at) {
  current_ = std::move(*at);
  mailbox_.erase(at);
  BytesLocked(current_) -= current_.bytes;
  if (current_.reserved) --reserved_queued_;
  if (current_.is_system()) --systems_queued_;
  if (current_.kind == Envelope::Kind::kExit) --exits_queued_;
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
      // It had crashed, and was killed while Terminate ran.
      if (report_ != nullptr) LogEnding(*reason);
      Finish(*reason);
      return;
    }
    case Work::kResume: {
      // The fence may close in the middle of it: its sends and its reply are
      // withheld by their own checks.
      result_->Resume();
      Settle();
      return;
    }
    case Work::kCancel:
      HandleCancel();
      return;
    case Work::kInit:
      Invoke(Stage::kInit,
             [this] { return body_->OnInit(options_, context_); });
      return;
    case Work::kContinue: {
      current_ = Envelope();
      current_.kind = Envelope::Kind::kInfo;
      current_.info = *std::move(continue_);
      continue_.reset();
      info_type_ = TypeMark(current_.info.payload());
      Invoke(Stage::kContinue,
             [this] { return body_->OnContinue(current_.info, context_); });
      return;
    }
    case Work::kTimeout:
      idle_timer_ = 0;
      Invoke(Stage::kTimeout, [this] { return body_->OnTimeout(context_); });
      return;
    case Work::kArmTimeout:
      ArmTimeout();
      return;
    case Work::kHibernate:
      Hibernate();
      return;
    case Work::kRefuse:
      RefuseFrozen();
      return;
    case Work::kHold:
      TakeHold();
      return;
    case Work::kRetire: {
      std::optional<ExitReason> reason;
      {
        MutexLock lock(&mu_);
        reason = std::exchange(retire_reason_, std::nullopt);
      }
      BeginTerminate(*std::move(reason));
      return;
    }
    case Work::kHandOff:
      PassOnAndEnd();
      return;
    case Work::kMessage:
      break;
  }

  if (idle_timer_ != 0) {
    runtime_->scheduler().Cancel(std::exchange(idle_timer_, 0));
  }
  if (current_.is_system()) {  // No message (otp G15, Y6).
    HandleSystem();
    return;
  }
  handled_.fetch_add(1, std::memory_order_relaxed);
  absl::string_view service;
  absl::string_view method;
  if (current_.request.has_value()) {
    SplitMethodPath(current_.request->method, &service, &method);
    for (const MethodInfo& info : own_service().methods) {
      // Relaxed: what it points to is constant.
      if (info.name == method) method_.store(&info, std::memory_order_relaxed);
    }
  }
  switch (current_.kind) {
    case Envelope::Kind::kNone:
    case Envelope::Kind::kSystem:
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
        DisownMonitor(current_.down_ref.id);
        if (flushed_downs_.erase(current_.down_ref.id) > 0) {
          FinishCurrent();
          return;
        }
      }
      info_type_ = TypeMark(current_.info.payload());
      Invoke(Stage::kInfo,
             [this] { return body_->OnInfo(current_.info, context_); });
      return;
    case Envelope::Kind::kExit: {
      if (IsOrderToEnd(*current_.exit)) {  // Never reaches HandleInfo.
        BeginTerminate(current_.exit->reason);
        return;
      }
      current_.info = Info(*std::move(current_.exit));
      info_type_ = TypeMark(current_.info.payload());
      Invoke(Stage::kInfo,
             [this] { return body_->OnInfo(current_.info, context_); });
      return;
    }
  }
}

template <typename Callback>
void Process::Invoke(Stage stage, Callback callback) {
  stage_ = stage;
  shown_stage_.store(stage, std::memory_order_relaxed);
  // Only what runs a callback ends the wait for inactivity (otp G14): after a
  // message that is dropped before, it begins anew.
  idle_after_ = absl::InfiniteDuration();
  if (debug_ != nullptr) RecordIn(stage);
  try {
    result_.emplace(callback());
  } catch (...) {
    Crash(stage, internal::ThrownReason());
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
      waiting_in_ = CurrentHandler();
    }
  }
  if (!result_->done()) {
    WatchForCancel();
    return;
  }
  internal::Decision decision;
  const Stage stage = stage_;
  try {
    decision = result_->Take();
  } catch (...) {
    result_.reset();
    Crash(stage, internal::ThrownReason());
    return;
  }
  result_.reset();
  Apply(stage, std::move(decision));
}

void Process::Apply(Stage stage, internal::Decision decision) {
  using Kind = internal::Decision::Kind;
  if (stage == Stage::kTerminate) {
    if (StaysAfterTerminate()) return;
    LogEnding(*ending_);
    Finish(*ending_);
    return;
  }
  shown_stage_.store(Stage::kNone, std::memory_order_relaxed);
  if (std::optional<ExitReason> bad = BadReturn(stage, decision)) {
    Crash(stage, *bad);
    return;
  }
  if (debug_ != nullptr) RecordOut(stage, decision);
  if (stage == Stage::kInit) {
    ApplyInit(std::move(decision));
    return;
  }
  const Epoch epoch = global_epoch();
  switch (decision.kind) {
    case Kind::kReply:
      if (current_.slot == nullptr) break;
      internal::Answer(*current_.slot, CallResult(std::move(decision.reply)),
                       *runtime_, epoch);
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

std::optional<ExitReason> Process::BadReturn(
    Stage stage, const internal::Decision& decision) const {
  using Kind = internal::Decision::Kind;
  const auto bad = [](absl::string_view what) {
    return ExitReason::BadReturnValue(what);
  };
  const bool replies = decision.kind == Kind::kReply ||
                       (decision.kind == Kind::kStop && decision.replies);
  if (replies && stage != Stage::kCall) {
    return bad(absl::StrCat("a reply (", decision.reply.type(),
                            ") where there is no call"));
  }
  if (decision.kind == Kind::kIgnore && stage != Stage::kInit) {
    return bad("Ignore() outside Init");
  }
  if (decision.kind == Kind::kError && !decision.refused &&
      stage != Stage::kCall && stage != Stage::kInit) {
    return bad(absl::StrCat("an error where there is no call: ",
                            decision.error.message()));
  }
  if (decision.kind == Kind::kStop && !decision.stop.has_value()) {
    return bad("a stop without a reason");
  }
  if (!replies) return std::nullopt;
  for (const MethodInfo& info :
       service_.load(std::memory_order_acquire)->methods) {
    if (info.response.empty()) continue;
    absl::string_view service;
    absl::string_view method;
    SplitMethodPath(current_.request->method, &service, &method);
    if (info.name != method) continue;
    const std::string type = decision.reply.type();
    if (!type.empty() && type != info.response) {
      return bad(absl::StrCat("a reply of type ", type, " where ", method,
                              " answers ", info.response));
    }
  }
  return std::nullopt;
}

void Process::ApplyInit(internal::Decision decision) {
  using Kind = internal::Decision::Kind;
  switch (decision.kind) {
    case Kind::kGoOn:
    case Kind::kReply: {
      if (start_timer_ != 0) {
        runtime_->scheduler().Cancel(std::exchange(start_timer_, 0));
      }
      if (absl::Status restored = TakeOverState(); !restored.ok()) {
        {
          MutexLock lock(&mu_);
          start_error_ = restored;
        }
        const ExitReason reason = ExitReason::Custom(restored.message());
        LogEnding(reason);
        Finish(reason);
        return;
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
  if (std::optional<ExitReason> refused = TakeBecoming()) {
    LogEnding(*refused);
    Finish(*refused);
    return;
  }
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
    case After::Kind::kHibernate:
      Hibernate();
      return;
  }
}

absl::string_view Process::StageName(Stage stage) {
  switch (stage) {
    case Stage::kNone:
      return "";
    case Stage::kInit:
      return "Init";
    case Stage::kCall:
      return "call";
    case Stage::kCast:
      return "cast";
    case Stage::kInfo:
      return "info";
    case Stage::kContinue:
      return "continue";
    case Stage::kTimeout:
      return "timeout";
    case Stage::kTerminate:
      return "Terminate";
  }
  return "";
}

std::string Process::CurrentHandler() const {
  absl::string_view service;
  absl::string_view method;
  if ((stage_ == Stage::kCall || stage_ == Stage::kCast) &&
      current_.request.has_value() &&
      SplitMethodPath(current_.request->method, &service, &method)) {
    return absl::StrCat(StageName(stage_), " ", method);
  }
  return std::string(StageName(stage_));
}

void Process::Hibernate() {
  unanswered_.shrink_to_fit();
  MutexLock lock(&mu_);
  hibernating_ = true;
  mailbox_.shrink_to_fit();
}

absl::Duration Process::IdleLimit() const {
  return idle_after_ == absl::InfiniteDuration() ? spawn_.hibernate_after
                                                 : idle_after_;
}

void Process::BeginTerminate(ExitReason reason) {
  PrepareReport(reason);
  ending_ = std::move(reason);
  Invoke(Stage::kTerminate,
         [this] { return body_->OnTerminate(*ending_, context_); });
}

void Process::ArmTimeout() {
  uint64_t generation;
  {
    MutexLock lock(&mu_);
    timeout_armed_ = true;
    generation = ++idle_generation_;
    if (IdleLimit() <= absl::ZeroDuration()) {
      timeout_due_ = true;
      return;
    }
  }
  std::weak_ptr<Process> weak = shared_from_this();
  idle_timer_ = runtime_->scheduler().At(
      runtime_->clock().Boot() + IdleLimit(), [weak, generation] {
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

}  // namespace muster
