// Freeze and thaw of servers with a cluster-wide name (guarantees R10, R11).
//
// Nothing tells a server that its fence has passed: it looks before whatever
// would take effect. The thaw is an event: a committed heartbeat extends the
// fence, and who has something to do is run at once.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "node/base/planted.h"
#include "node/process/process.h"
#include "node/process/runtime.h"
#include "node/types/status.h"

namespace muster {
namespace {

// How often the planted bug looks at the fence.
constexpr absl::Duration kFencePoll = absl::Milliseconds(100);

}  // namespace

Error internal::FrozenSender() {
  return Error(absl::StatusCode::kUnavailable, "FROZEN",
               "this server is frozen: its node cannot prove that it still "
               "owns the name, so it sends nothing")
      .NotExecuted();
}

// -- Runtime ------------------------------------------------------------------

bool Runtime::FenceOpen(BootTime now) const {
  if (Planted(PlantedBug::kFenceByTimerOnly)) {
    // Relaxed: a bug has no order to keep.
    return polled_fence_.load(std::memory_order_relaxed);
  }
  return fence_->Check(now);
}

void Runtime::PollFence() {
  polled_fence_.store(fence_->Check(clock().Boot()), std::memory_order_relaxed);
  scheduler_->At(clock().Boot() + kFencePoll, [this] { PollFence(); });
}

void Runtime::AwaitThaw(std::weak_ptr<Process> process) {
  MutexLock lock(&mu_);
  frozen_.push_back(std::move(process));
}

void Runtime::Thaw() {
  std::vector<std::weak_ptr<Process>> frozen;
  std::vector<HeldTimer> timers;
  {
    MutexLock lock(&mu_);
    frozen.swap(frozen_);
    timers.swap(held_timers_);
  }
  for (const std::weak_ptr<Process>& weak : frozen) {
    if (const auto process = weak.lock()) process->Thawed();
  }
  for (HeldTimer& timer : timers) {
    SendTimed(timer.sender, timer.to, std::move(timer.info));
  }
}

void Runtime::SendTimed(const Pid& sender, const ServerRef& to, Info info) {
  const auto target = Find(ResolveHere(to));
  if (target != nullptr) {
    // Nothing that comes meanwhile takes a held timer's room.
    if (to.alias() == 0 && !target->FenceOpen()) {
      target->PushSystem(std::move(info));
    } else {
      Send(to, std::move(info));
    }
    return;
  }
  const auto owner = Find(sender);
  if (owner != nullptr && !owner->FenceOpen()) {
    {
      MutexLock lock(&mu_);
      held_timers_.emplace_back(sender, to, std::move(info));
    }
    // An extension between the two told nobody.
    if (owner->FenceOpen()) Thaw();
    return;
  }
  Meta meta;
  if (owner != nullptr) owner->SignMeta(&meta);
  Send(to, std::move(info), std::move(meta));
}

// -- Process ------------------------------------------------------------------

bool Process::FenceOpen() const {
  return global_name().empty() || runtime_->FenceOpen(runtime_->clock().Boot());
}

void Process::SignMeta(Meta* meta) const {
  MutexLock lock(&mu_);
  if (global_name().empty() || global_epoch_.empty()) return;
  meta->sender_name = global_name();
  meta->sender_epoch = global_epoch_;
}

Error Process::Frozen() const {
  return Error(absl::StatusCode::kUnavailable, "FROZEN",
               absl::StrCat("'", name(),
                            "' is frozen: its node cannot prove that it still "
                            "owns the name"))
      .With("name", name())
      .With("node", pid_.node)
      .RetryAfter(absl::Milliseconds(100))
      .NotExecuted();
}

Process::Work Process::FrozenWorkLocked() {
  if (Planted(PlantedBug::kFreezeEnds)) {
    doomed_ = ExitReason::Killed();
    return Work::kDie;
  }
  if (waiting_) {
    // Its end goes on; everything else that it does would be without effect.
    if (stage_ == Stage::kTerminate) return Work::kNone;
    const bool has_work =
        woken_ ||
        cancelled_message_ == handled_.load(std::memory_order_relaxed);
    return has_work ? Work::kThaw : Work::kNone;
  }
  if (life_ == Life::kHeld) return Work::kNone;
  if (life_ == Life::kStarting) return Work::kThaw;
  // What is queued stays, calls are refused (guarantees R11). A Terminate that
  // was cast has been taken (otp Y8), and stays too.
  const auto call =
      std::find_if(mailbox_.begin(), mailbox_.end(), [](const Envelope& e) {
        return e.kind == Envelope::Kind::kCall ||
               (e.is_system() && e.slot != nullptr);
      });
  if (call != mailbox_.end()) {
    TakeLocked(call);
    return Work::kRefuse;
  }
  if (mailbox_.empty() && !continue_.has_value() && !timeout_due_) {
    return Work::kNone;
  }
  return Work::kThaw;
}

void Process::PutBackFrozen() {
  {
    MutexLock lock(&mu_);
    systems_bytes_ += current_.bytes;
    ++systems_queued_;
    mailbox_.push_front(std::move(current_));
  }
  FinishCurrent();
}

void Process::RefuseFrozen() {
  current_.slot->Complete(CallResult(Frozen().status()));
  FinishCurrent();
}

void Process::AwaitThaw() {
  {
    MutexLock lock(&mu_);
    if (std::exchange(thaw_awaited_, true)) return;
  }
  runtime_->AwaitThaw(weak_from_this());
  // An extension between the look at the fence and this told nobody.
  if (FenceOpen()) Thawed();
}

void Process::Thawed() {
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (!std::exchange(thaw_awaited_, false)) return;
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

}  // namespace muster
