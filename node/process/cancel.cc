// Calls that a process has under way: their cancellation, and the cycles that
// they would close (otp 16.3).
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "node/process/process.h"
#include "node/process/runtime.h"
#include "node/types/status.h"

namespace muster {

// -- Context ------------------------------------------------------------------

bool Context::cancelled() const {
  const auto slot = process_->current_slot();
  return slot != nullptr && slot->cancelled();
}

void Context::OnCancel(absl::AnyInvocable<void()> work) {
  if (cancelled()) {
    work();
    return;
  }
  if (process_->current_slot() != nullptr) {
    process_->set_on_cancel(std::move(work));
  }
}

// -- Process: cancellation ----------------------------------------------------

void Process::AddOutgoing(
    const std::shared_ptr<CallSlot>& slot,
    const std::shared_ptr<internal::ArrivalBase>& waiter) {
  if (slot == nullptr || slot->done()) return;
  if (outgoing_.size() >= outgoing_sweep_) {
    std::erase_if(outgoing_, [](const Outgoing& call) {
      const auto alive = call.slot.lock();
      return alive == nullptr || alive->done();
    });
    outgoing_sweep_ = std::max<size_t>(16, 2 * outgoing_.size());
  }
  outgoing_.emplace_back(slot, waiter,
                         handled_.load(std::memory_order_relaxed));
}

void Process::CancelOutgoing(bool all) {
  const uint64_t message = handled_.load(std::memory_order_relaxed);
  std::vector<std::shared_ptr<CallSlot>> calls;
  std::erase_if(outgoing_, [&](const Outgoing& call) {
    if (!all && call.message != message) return false;
    // Nobody waits for it any more: as a request once sent, it goes on.
    const auto waiter = call.waiter.lock();
    if (waiter != nullptr && waiter->detached()) return true;
    if (auto alive = call.slot.lock()) calls.push_back(std::move(alive));
    return true;
  });
  for (const auto& call : calls) call->Cancel();
}

void Process::WatchForCancel() {
  const uint64_t message = handled_.load(std::memory_order_relaxed);
  if (current_.slot == nullptr || watched_ == message) return;
  watched_ = message;
  std::weak_ptr<Process> weak = shared_from_this();
  current_.slot->OnCancel([weak, message] {
    if (auto process = weak.lock()) process->CancelArrived(message);
  });
}

void Process::CancelArrived(uint64_t message) {
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead) return;
    // Of an earlier message: it must not hide that of this one.
    if (message != handled_.load(std::memory_order_relaxed)) return;
    cancelled_message_ = message;
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

void Process::HandleCancel() {
  auto work = std::exchange(on_cancel_, nullptr);
  if (work) {
    try {
      work();
    } catch (...) {
      // The handler goes on; what it answers, nobody hears.
      context_.LogWarning("the function given to OnCancel threw");
    }
  }
  CancelOutgoing(/*all=*/false);
}

// -- Process: cycles ----------------------------------------------------------

void Process::FailCycle(const Request& request, CallSlot& slot) const {
  std::string path;
  for (const Pid& pid : request.meta.chain) {
    absl::StrAppend(&path, pid.ToString(), " > ");
  }
  absl::StrAppend(&path, pid_.ToString());
  slot.Complete(CallResult(
      Error(absl::StatusCode::kFailedPrecondition, "CALL_CYCLE",
            "the call would come back to a process that waits for it")
          .With("path", path)
          .NotExecuted()
          .status()));
}

bool Process::WaitsForLocked(const Request& request, uint64_t call) const {
  if (call == 0) return false;
  const Meta& meta = request.meta;
  for (size_t i = 0; i < meta.chain.size(); ++i) {
    if (meta.chain[i] != pid_) continue;
    // A sender that does not say which call is meant means any.
    if (meta.chain_calls.size() != meta.chain.size()) return true;
    if (meta.chain_calls[i] == call) return true;
  }
  return false;
}

uint64_t Process::BeginWait(uint64_t call) {
  std::vector<Envelope> cycles;
  uint64_t token;
  {
    MutexLock lock(&mu_);
    woken_ = false;
    token = ++wait_token_;
    awaited_call_ = call;
    if (call != 0 && chained_queued_) {
      // What came before this process began to wait; rare, hence the scan.
      chained_queued_ = false;
      for (auto at = mailbox_.begin(); at != mailbox_.end();) {
        const bool chained =
            at->kind == Envelope::Kind::kCall && IsChained(*at->request);
        if (!chained) {
          ++at;
        } else if (WaitsForLocked(*at->request, call)) {
          mailbox_bytes_ -= at->bytes;
          cycles.push_back(std::move(*at));
          at = mailbox_.erase(at);
        } else {
          chained_queued_ = true;
          ++at;
        }
      }
    }
  }
  for (const Envelope& cycle : cycles) FailCycle(*cycle.request, *cycle.slot);
  return token;
}

bool Process::IsChained(const Request& request) const {
  const auto& chain = request.meta.chain;
  return std::find(chain.begin(), chain.end(), pid_) != chain.end();
}

}  // namespace muster
