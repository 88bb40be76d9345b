// How a process is moved to another node with its state: the node's part.
// The cluster's part, who owns the name when, is cluster/supervisor.
//
// At its old place:
//
//   no --Hold--> asked --(1)--> held --HandOff--> leaving --(3)--> gone
//    ^             |          |  ^ \                ^
//    \---Unhold----+----------/  |  \--Retire--> retiring --(2)--> retired
//                                                                (to leaving)
//   (1) nothing is being handled and no reply is owed: the Snapshot is taken;
//       from here on its epoch acts no more and messages wait
//   (2) Terminate has run; for a server that has no Snapshot
//   (3) all that waited has been sent on
//
// At its new one a process begins as `receiving`: what its old place hands
// over, through an alias made for that, is kept apart and goes first;
// EndHandOff makes it `no`.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "node/process/process.h"
#include "node/types/status.h"

namespace muster {
namespace {

// As the router's: a message that is sent on again and again goes nowhere.
constexpr uint32_t kHopsMax = 4;
// How often a process that is to be held looks whether it owes no reply.
constexpr absl::Duration kQuietPoll = absl::Milliseconds(20);

}  // namespace

// -- Process ------------------------------------------------------------------

void Process::Hold(BootTime quiet_until,
                   absl::AnyInvocable<void(absl::StatusOr<Payload>)> done) {
  // Somebody else may give a reply that it owes, which does not wake it.
  struct Look {
    static void Later(Runtime& runtime, std::weak_ptr<Process> weak) {
      runtime.scheduler().At(runtime.clock().Boot() + kQuietPoll, [weak] {
        const auto process = weak.lock();
        if (process == nullptr) return;
        bool submit = false;
        {
          MutexLock lock(&process->mu_);
          if (process->moving_ != Moving::kAsked) return;
          submit = process->ScheduleLocked();
        }
        if (submit) process->Submit();
        Later(*process->runtime_, weak);
      });
    }
  };
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead || moving_ != Moving::kNo) return;
    moving_ = Moving::kAsked;
    quiet_until_ = quiet_until;
    hold_done_ = std::move(done);
    submit = ScheduleLocked();
  }
  if (submit) Submit();
  Look::Later(*runtime_, weak_from_this());
}

void Process::Unhold(Epoch epoch) {
  absl::AnyInvocable<void(absl::StatusOr<Payload>)> dropped;
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (moving_ != Moving::kAsked && moving_ != Moving::kHeld) return;
    moving_ = Moving::kNo;
    dropped = std::move(hold_done_);
    if (!epoch.empty()) global_epoch_ = epoch;
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

bool Process::Retire(const ExitReason& reason,
                     absl::AnyInvocable<void()> done) {
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead || moving_ != Moving::kHeld) return false;
    moving_ = Moving::kRetiring;
    retire_reason_ = reason;
    retire_done_ = std::move(done);
    submit = ScheduleLocked();
  }
  if (submit) Submit();
  return true;
}

bool Process::HandOff() {
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead ||
        (moving_ != Moving::kHeld && moving_ != Moving::kRetired)) {
      return false;
    }
    moving_ = Moving::kLeaving;
    submit = ScheduleLocked();
  }
  if (submit) Submit();
  return true;
}

void Process::EndHandOff() {
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (moving_ != Moving::kReceiving) return;
    moving_ = Moving::kNo;
    std::deque<Envelope> later;
    later.swap(mailbox_);
    for (Envelope& envelope : handed_) PushLocked(std::move(envelope));
    handed_.clear();
    for (Envelope& envelope : later) mailbox_.push_back(std::move(envelope));
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

bool Process::AnswersTo(Epoch epoch) const {
  MutexLock lock(&mu_);
  if (epoch == global_epoch_) return true;
  if (oldest_epoch_.empty() || epoch < oldest_epoch_) return false;
  // While it is held it may have been given a newer one of which it has not
  // heard yet; nothing is handled before that is known.
  return epoch < global_epoch_ || moving_ == Moving::kHeld;
}

bool Process::AwaitsQuietLocked() {
  std::erase_if(unanswered_, [](const auto& slot) { return slot->done(); });
  return !unanswered_.empty() && runtime_->clock().Boot() < quiet_until_;
}

Process::Work Process::MovingWorkLocked() {
  switch (moving_) {
    case Moving::kAsked:
      return AwaitsQuietLocked() ? Work::kNone : Work::kHold;
    case Moving::kRetiring:
      return retire_reason_.has_value() ? Work::kRetire : Work::kNone;
    case Moving::kLeaving:
      return Work::kHandOff;
    case Moving::kNo:
    case Moving::kHeld:
    case Moving::kRetired:
    case Moving::kGone:
    case Moving::kReceiving:
      return Work::kNone;
  }
  return Work::kNone;
}

void Process::TakeHold() {
  absl::AnyInvocable<void(absl::StatusOr<Payload>)> done;
  {
    MutexLock lock(&mu_);
    if (moving_ != Moving::kAsked) return;
    moving_ = Moving::kHeld;
    done = std::move(hold_done_);
    hold_done_ = nullptr;
  }
  // Whoever keeps the right to answer these must not do so any more.
  for (const auto& slot : std::exchange(unanswered_, {})) {
    slot->Fail(Exited(ExitReason::Shutdown("moved")));
  }
  done(TakeSnapshot());
}

bool Process::StaysAfterTerminate() {
  absl::AnyInvocable<void()> done;
  {
    MutexLock lock(&mu_);
    if (moving_ != Moving::kRetiring || doomed_.has_value()) return false;
    moving_ = Moving::kRetired;
    done = std::move(retire_done_);
    retire_done_ = nullptr;
  }
  ending_.reset();
  shown_stage_.store(Stage::kNone, std::memory_order_relaxed);
  FinishCurrent();
  if (done) done();
  return true;
}

void Process::PassOnAndEnd() {
  size_t lost = 0;
  while (true) {
    std::deque<Envelope> waiting;
    {
      MutexLock lock(&mu_);
      waiting.swap(mailbox_);
      mailbox_bytes_ = 0;
      reserved_queued_ = 0;
      systems_queued_ = 0;
      systems_bytes_ = 0;
      exits_queued_ = 0;
      chained_queued_ = false;
      if (waiting.empty()) {
        // From now on whoever sends it something sends that on, after what
        // has gone.
        moving_ = Moving::kGone;
        break;
      }
    }
    for (Envelope& envelope : waiting) lost += !PassOn(std::move(envelope));
  }
  if (lost > 0) {
    context_.LogWarning(absl::StrCat(
        lost, " infos that are C++ values did not move with the process"));
  }
  Finish(ExitReason::Shutdown("moved"));
}

bool Process::PassOn(Envelope envelope) {
  const std::optional<ServerRef> to = runtime_->MovedTo(pid_);
  if (!to.has_value()) {
    FailEnvelope(envelope, ExitReason::Shutdown("moved"));
    return true;
  }
  switch (envelope.kind) {
    case Envelope::Kind::kCall:
    case Envelope::Kind::kCast:
    case Envelope::Kind::kSystem:
      runtime_->SendOn(*to, *std::move(envelope.request),
                       std::move(envelope.slot));
      return true;
    case Envelope::Kind::kInfo:
      // What is reserved or can be revoked answers to something that the old
      // process did.
      if (envelope.reserved || envelope.revoked != nullptr) return true;
      if (envelope.info.payload().is_local()) return false;
      runtime_->SendOn(*to, std::move(envelope.info));
      return true;
    case Envelope::Kind::kExit:
    case Envelope::Kind::kNone:
      return true;
  }
  return true;
}

absl::Status Process::TakeOverState() {
  if (spawn_.restore == nullptr) return absl::OkStatus();
  const absl::Status status = RestoreState(std::move(*spawn_.restore));
  *spawn_.restore = Payload();
  if (status.ok()) return status;
  return Error(absl::StatusCode::kAborted, "RESTORE_FAILED",
               absl::StrCat(spawn_.type,
                            " did not take the state that was moved to it: ",
                            status.message()))
      .Executed();
}

// -- Runtime ------------------------------------------------------------------

void Runtime::Hold(const Pid& pid, absl::Duration patience,
                   absl::AnyInvocable<void(absl::StatusOr<Payload>)> done) {
  if (auto process = Find(pid)) {
    process->Hold(clock().Boot() + patience, std::move(done));
  }
}

void Runtime::Unhold(const Pid& pid, Epoch epoch) {
  if (auto process = Find(pid)) process->Unhold(epoch);
}

void Runtime::Retire(const Pid& pid, const ExitReason& reason,
                     absl::AnyInvocable<void()> done) {
  if (auto process = Find(pid)) process->Retire(reason, std::move(done));
}

void Runtime::HandOff(const Pid& pid, const ServerRef& to) {
  auto process = Find(pid);
  if (process == nullptr) return;
  Moved moved;
  moved.to = to;
  moved.name = process->global_name();
  moved.epoch = process->global_epoch();
  {
    MutexLock lock(&mu_);
    if (!moved.name.empty()) moved_names_[moved.name] = pid.number;
    moved_[pid.number] = std::move(moved);
  }
  if (!process->HandOff()) {
    MutexLock lock(&mu_);
    moved_.erase(pid.number);
    return;
  }
  scheduler_->At(clock().Boot() + kForwarding, [this, number = pid.number] {
    MutexLock lock(&mu_);
    const auto at = moved_.find(number);
    if (at == moved_.end()) return;
    const auto name = moved_names_.find(at->second.name);
    if (name != moved_names_.end() && name->second == number) {
      moved_names_.erase(name);
    }
    moved_.erase(at);
  });
}

void Runtime::EndHandOff(const Pid& pid) {
  if (auto process = Find(pid)) process->EndHandOff();
}

Pid Runtime::WhereMoved(absl::string_view name, Epoch epoch) const {
  MutexLock lock(&mu_);
  const auto number = moved_names_.find(name);
  if (number == moved_names_.end()) return Pid();
  const auto at = moved_.find(number->second);
  if (at == moved_.end() || at->second.epoch < epoch) return Pid();
  Pid pid;
  pid.node = options_.node;
  pid.epoch = options_.epoch;
  pid.number = number->second;
  return pid;
}

bool Runtime::HasMoved(const Pid& pid) const {
  return MovedTo(pid).has_value();
}

std::optional<ServerRef> Runtime::MovedTo(const Pid& pid) const {
  if (!IsLocal(pid)) return std::nullopt;
  MutexLock lock(&mu_);
  const auto at = moved_.find(pid.number);
  if (at == moved_.end()) return std::nullopt;
  return at->second.to;
}

void Runtime::SendOn(const ServerRef& to, Request request,
                     std::shared_ptr<CallSlot> slot) {
  request.target = to;
  request.meta.target_epoch = Epoch();
  if (++request.meta.hops > kHopsMax) {
    if (slot == nullptr) return;
    slot->Complete(
        CallResult(Error(absl::StatusCode::kUnavailable, "ROUTING_LOOP",
                         "the server has moved too often to be followed")
                       .RetryAfter(absl::Milliseconds(100))
                       .NotExecuted()
                       .status()));
    return;
  }
  if (slot != nullptr) {
    Call(std::move(request), std::move(slot));
  } else {
    Cast(std::move(request), nullptr);
  }
}

void Runtime::SendOn(const ServerRef& to, Info info) {
  if (!info.payload().is_local()) Send(to, std::move(info));
}

}  // namespace muster
