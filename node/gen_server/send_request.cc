#include "node/gen_server/send_request.h"

#include <algorithm>
#include <atomic>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"
#include "node/process/message.h"
#include "node/process/process.h"
#include "node/process/runtime.h"

namespace muster {
namespace internal {

// Wakes a coroutine once, when so many requests were answered or the time is
// over.
class ResponseWait::Waker {
 public:
  Waker(absl::AnyInvocable<void()> wake, size_t count)
      : wake_(std::move(wake)), left_(count) {}

  // One more was answered; any thread.
  void Answered() {
    // Acquire/release: who counts the last one sees what the others did.
    if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) Fire();
  }
  void Fire() {
    if (!fired_.exchange(true, std::memory_order_acq_rel)) wake_();
  }

  // Owned by the waiting coroutine's worker.
  TimerId timer = 0;

 private:
  absl::AnyInvocable<void()> wake_;
  std::atomic<size_t> left_;
  std::atomic<bool> fired_{false};
};

// One request and its response.
//
//   pending --Arrive--> answered --Take--> over
//      \______________Abandon_____________^
class RequestState : public std::enable_shared_from_this<RequestState> {
 public:
  using OnAnswer = absl::AnyInvocable<void()>;

  RequestState(Process& owner, bool to_mailbox)
      : owner_(owner.pid()),
        process_(owner.shared_from_this()),
        to_mailbox_(to_mailbox) {}

  const Pid& owner() const { return owner_; }
  // 0: not there.
  uint64_t arrived() const { return arrived_.load(std::memory_order_acquire); }

  // The slot gives the request up on the way.
  void SetSlot(const std::shared_ptr<CallSlot>& slot) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    slot_ = slot;
  }

  // Any thread.
  void Arrive(CallResult result) ABSL_LOCKS_EXCLUDED(mu_) {
    auto process = process_.lock();
    if (process == nullptr) return;
    OnAnswer on_answer;
    {
      MutexLock lock(&mu_);
      if (phase_ != Phase::kPending) return;
      phase_ = Phase::kAnswered;
      result_ = std::move(result);
      arrived_.store(process->NextArrival(), std::memory_order_release);
      on_answer = std::move(on_answer_);
      on_answer_ = nullptr;
    }
    if (to_mailbox_) {
      process->PushResponse(
          Info(RequestId(shared_from_this())),
          std::shared_ptr<const std::atomic<bool>>(shared_from_this(), &over_));
    }
    if (on_answer) on_answer();
  }

  std::optional<CallResult> Take() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (phase_ != Phase::kAnswered) return std::nullopt;
    EndLocked();
    return std::move(result_);
  }

  void Abandon() ABSL_LOCKS_EXCLUDED(mu_) {
    std::shared_ptr<CallSlot> slot;
    {
      MutexLock lock(&mu_);
      if (phase_ == Phase::kOver) return;
      EndLocked();
      slot = slot_.lock();
    }
    if (slot != nullptr) {
      slot->Fail(Error(absl::StatusCode::kCancelled, "ABANDONED",
                       "the request was abandoned"));
    }
  }

  // Calls `on_answer` once when the response is there; at once if it is.
  void Watch(OnAnswer on_answer) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(&mu_);
      if (phase_ == Phase::kPending) on_answer_ = std::move(on_answer);
      if (phase_ != Phase::kAnswered) return;
    }
    on_answer();
  }
  void Unwatch() ABSL_LOCKS_EXCLUDED(mu_) {
    OnAnswer dropped;
    MutexLock lock(&mu_);
    dropped = std::move(on_answer_);
    on_answer_ = nullptr;
  }

 private:
  enum class Phase { kPending, kAnswered, kOver };

  void EndLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    phase_ = Phase::kOver;
    arrived_.store(0, std::memory_order_release);
    over_.store(true, std::memory_order_release);
  }

  const Pid owner_;
  const std::weak_ptr<Process> process_;
  const bool to_mailbox_;

  // Release on the owner's worker, acquire there and in its loop.
  std::atomic<uint64_t> arrived_{0};
  std::atomic<bool> over_{false};

  Mutex mu_;
  Phase phase_ ABSL_GUARDED_BY(mu_) = Phase::kPending;
  CallResult result_ ABSL_GUARDED_BY(mu_);
  OnAnswer on_answer_ ABSL_GUARDED_BY(mu_);
  std::weak_ptr<CallSlot> slot_ ABSL_GUARDED_BY(mu_);
};

namespace {

// A request's response says noconnection, whether or not the request had left
// (otp C19); the code and the outcome tell the two apart.
absl::Status NotNodedown(absl::Status status) {
  if (ReasonOf(status) != "NODEDOWN") return status;
  Error error(status.code(), "NOCONNECTION",
              absl::string_view(status.message()));
  for (const absl::string_view key : {"name", "pid", "node"}) {
    const std::string value = DetailOf(status, key);
    if (!value.empty()) error.With(key, value);
  }
  error.SetOutcome(OutcomeOf(status));
  if (RetryDelayOf(status) > absl::ZeroDuration()) {
    error.RetryAfter(RetryDelayOf(status));
  }
  return error;
}

// Why this process sends nothing now; OK if it may.
absl::Status MaySend(const Process& self) {
  if (!self.FenceOpen()) {
    return Error(absl::StatusCode::kUnavailable, "FROZEN",
                 "this server is frozen: its node cannot prove that it still "
                 "owns the name, so it sends nothing")
        .NotExecuted();
  }
  if (self.doomed()) {
    return Error(absl::StatusCode::kUnavailable, "EXITING",
                 "this process has been ended by an exit signal and sends "
                 "nothing any more")
        .NotExecuted();
  }
  return absl::OkStatus();
}

}  // namespace

RequestId StartRequest(Context& self, const ServerRef& to,
                       absl::string_view path, Payload request,
                       RequestOptions options) {
  Process& process = *self.process();
  auto state = std::make_shared<RequestState>(process, options.to_mailbox);
  absl::Status refused = CheckTimeout(options.timeout);
  if (refused.ok()) refused = MaySend(process);
  if (!refused.ok()) {
    state->Arrive(CallResult(std::move(refused)));
    return RequestId(std::move(state));
  }
  Request sent(to, path, std::move(request));
  sent.caller = process.pid();
  sent.meta.metadata = std::move(options.metadata);
  process.SignMeta(&sent.meta);
  sent.meta.deadline = self.Now() + options.timeout;
  if (const Request* current = process.current_request()) {
    sent.meta.identity = current->meta.identity;
    sent.meta.traceparent = current->meta.traceparent;
    sent.meta.tracestate = current->meta.tracestate;
  }
  state->SetSlot(
      self.runtime().StartCall(std::move(sent), [state](CallResult result) {
        result.status = NotNodedown(std::move(result.status));
        state->Arrive(std::move(result));
      }));
  return RequestId(std::move(state));
}

RequestId RequestOf(Info& info) {
  const RequestId* const id = info.As<RequestId>();
  return id == nullptr ? RequestId() : *id;
}

absl::Status CheckOwner(const Context& self, const RequestId& id) {
  if (id.state() != nullptr && id.state()->owner() == self.pid()) {
    return absl::OkStatus();
  }
  return Error(absl::StatusCode::kFailedPrecondition, "NOT_YOURS",
               id.state() == nullptr
                   ? std::string("the id names no request")
                   : absl::StrCat("the request is one of ",
                                  id.state()->owner().ToString(),
                                  ": only its process may ask"))
      .NotExecuted();
}

std::optional<Response> TakeResponse(const RequestId& id) {
  std::optional<CallResult> result = id.state()->Take();
  if (!result.has_value()) return std::nullopt;
  return Response(*std::move(result));
}

uint64_t ArrivedAt(const RequestId& id) { return id.state()->arrived(); }

void AbandonRequest(const RequestId& id) { id.state()->Abandon(); }

ResponseWait::ResponseWait(Context& self, std::vector<RequestId> ids,
                           size_t count, BootTime deadline)
    : self_(self), ids_(std::move(ids)), count_(count), deadline_(deadline) {}

ResponseWait::~ResponseWait() { End(); }

bool ResponseWait::ready() const {
  if (deadline_ <= self_.Now()) return true;
  size_t answered = 0;
  for (const RequestId& id : ids_) answered += ArrivedAt(id) != 0 ? 1 : 0;
  return answered >= count_;
}

void ResponseWait::Suspend() {
  waker_ = std::make_shared<Waker>(SuspendCurrentProcess(/*call=*/0), count_);
  if (!deadline_.is_infinite()) {
    waker_->timer = self_.runtime().scheduler().At(
        deadline_, [waker = waker_] { waker->Fire(); });
  }
  for (const RequestId& id : ids_) {
    id.state()->Watch([waker = waker_] { waker->Answered(); });
  }
}

void ResponseWait::End() {
  if (waker_ == nullptr) return;
  const std::shared_ptr<Waker> waker = std::move(waker_);
  waker_ = nullptr;
  if (waker->timer != 0) self_.runtime().scheduler().Cancel(waker->timer);
  for (const RequestId& id : ids_) id.state()->Unwatch();
}

}  // namespace internal

absl::Status ResponseTimeout::Check() const {
  return absolute_ ? absl::OkStatus() : internal::CheckTimeout(span_);
}

}  // namespace muster
