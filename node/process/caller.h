// Caller: whoever can call and cast; PendingCall: a call under way.
//
// A process calls through its Context, a thread outside through a Node or a
// Client; the generated clients work over either.
#ifndef MUSTER_NODE_PROCESS_CALLER_H_
#define MUSTER_NODE_PROCESS_CALLER_H_

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"

namespace muster {

namespace internal {
class ArrivalBase;
}  // namespace internal

struct CallOptions {
  // The call fails with DEADLINE_EXCEEDED after this long. Default 5 s, as in
  // OTP; infinite is allowed between processes. A call made while handling
  // another never waits longer than that one's caller does. Zero is allowed
  // (otp C3): what is known at once is reported (NOPROC, MAILBOX_FULL, ...),
  // else DEADLINE_EXCEEDED, since work without time left is dropped before it
  // runs. Negative: INVALID_ARGUMENT BAD_TIMEOUT, nothing is sent. Casts have
  // none.
  absl::Duration timeout = absl::Seconds(5);
  // ASCII metadata for the handler; at most 8 KiB.
  std::vector<std::pair<std::string, std::string>> metadata;
  // True: dropping the PendingCall lets the call run, and so does the end of
  // the process that made it; its reply goes nowhere.
  bool detached = false;
  // Who waits for the reply; for the generated clients. When it is abandoned,
  // the call is cancelled, unless it is detached.
  std::shared_ptr<internal::ArrivalBase> waiter;
};

// How a call ended.
struct CallResult {
  CallResult() = default;
  explicit CallResult(absl::Status s) : status(std::move(s)) {}
  explicit CallResult(Payload r) : reply(std::move(r)) {}

  absl::Status status;
  Payload reply;  // If status is OK.
  Epoch epoch;    // Of the name that answered; empty for others.
  // What was left of the owner's fence at the hand-off (guarantees R8).
  absl::Duration fence_remaining = absl::InfiniteDuration();
  // Of a reply with a fence that came from another node: until when this one
  // may take it for good, and whose it is. It may be on its way to yet another
  // one, since its server was here when it was called.
  BootTime fence_until = BootTime::Infinite();
  Pid owner;
};

namespace internal {

// INVALID_ARGUMENT BAD_TIMEOUT if it is negative (otp C3).
absl::Status CheckTimeout(absl::Duration timeout);

// Suspends the handler's coroutine until woken; see process.h. Returns a
// function that wakes it, from any thread, once. `call`: it waits for this
// call of its process; 0: for something else.
absl::AnyInvocable<void()> SuspendCurrentProcess(uint64_t call);

// Blocks the calling thread until `done` has been called. False, at once, on a
// thread that must not block.
bool BlockUntil(
    absl::AnyInvocable<void(absl::AnyInvocable<void()> done)> start);

// What a value on its way has whatever its type. THREADS: any.
class ArrivalBase {
 public:
  // Whoever waited has gone. Nothing happens if the value is there.
  void Abandon() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::AnyInvocable<void()> work;
    {
      MutexLock lock(&mu_);
      if (set_ || abandoned_) return;
      abandoned_ = true;
      work = std::move(on_abandon_);
      on_abandon_ = nullptr;
    }
    if (work) work();
  }
  // Runs `work` once when it is abandoned before the value is there, at once
  // if it has been; replaces an earlier one.
  void OnAbandon(absl::AnyInvocable<void()> work) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(&mu_);
      if (!abandoned_) {
        if (!set_) std::swap(on_abandon_, work);
        return;
      }
    }
    work();
  }
  // Nobody holds on to the wait, but what brings the value is to go on.
  // Relaxed: whoever detaches is the process that asks.
  bool detached() const { return detached_.load(std::memory_order_relaxed); }
  void Detach() { detached_.store(true, std::memory_order_relaxed); }
  // The call of the waiting process that brings the value; 0: none.
  // Relaxed: set before the value can be waited for, on the same thread.
  uint64_t call() const { return call_.load(std::memory_order_relaxed); }
  void set_call(uint64_t call) { call_.store(call, std::memory_order_relaxed); }

 protected:
  ~ArrivalBase() = default;

  Mutex mu_;
  bool set_ ABSL_GUARDED_BY(mu_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mu_) = false;
  absl::AnyInvocable<void()> on_abandon_ ABSL_GUARDED_BY(mu_);
  std::atomic<bool> detached_{false};
  std::atomic<uint64_t> call_{0};
};

// A value that arrives once and is taken once.
template <typename T>
class Arrival final : public ArrivalBase {
 public:
  // The first wins; true if it was this one. Nobody wins once it is abandoned.
  bool Set(T value) ABSL_LOCKS_EXCLUDED(mu_) {
    return SetOnce(std::make_unique<T>(std::move(value)), nullptr);
  }
  // Whoever takes the value gets this exception instead.
  bool SetThrown(std::exception_ptr thrown) ABSL_LOCKS_EXCLUDED(mu_) {
    return SetOnce(nullptr, std::move(thrown));
  }
  bool ready() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return set_;
  }
  // Calls `wake` once when the value is there; at once if it is.
  void OnReady(absl::AnyInvocable<void()> wake) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(&mu_);
      if (!set_) {
        wake_ = std::move(wake);
        return;
      }
    }
    wake();
  }
  // Requires ready(); once.
  T Take() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (thrown_) std::rethrow_exception(thrown_);
    return std::move(*value_);
  }

 private:
  bool SetOnce(std::unique_ptr<T> value, std::exception_ptr thrown)
      ABSL_LOCKS_EXCLUDED(mu_) {
    absl::AnyInvocable<void()> wake;
    absl::AnyInvocable<void()> unused;
    {
      MutexLock lock(&mu_);
      if (set_ || abandoned_) return false;
      set_ = true;
      value_ = std::move(value);
      thrown_ = std::move(thrown);
      wake = std::move(wake_);
      unused = std::move(on_abandon_);
      on_abandon_ = nullptr;
    }
    if (wake) wake();
    return true;
  }

  std::unique_ptr<T> value_ ABSL_GUARDED_BY(mu_);
  std::exception_ptr thrown_ ABSL_GUARDED_BY(mu_);
  absl::AnyInvocable<void()> wake_ ABSL_GUARDED_BY(mu_);
};

}  // namespace internal

// Something that a handler can `co_await` and a thread can Wait() for. Dropping
// it before the value is there abandons what would bring it: a call is
// cancelled, a sleep ends.
template <typename T>
class Pending {
 public:
  explicit Pending(std::shared_ptr<internal::Arrival<T>> arrival)
      : arrival_(std::move(arrival)) {}
  Pending(Pending&& other) noexcept : arrival_(std::move(other.arrival_)) {}
  Pending& operator=(Pending&& other) noexcept {
    std::swap(arrival_, other.arrival_);
    return *this;
  }
  ~Pending() {
    if (arrival_ != nullptr) arrival_->Abandon();
  }

  // In a handler: T value = co_await pending;
  bool await_ready() const { return arrival_->ready(); }
  void await_suspend(std::coroutine_handle<>) {
    arrival_->OnReady(internal::SuspendCurrentProcess(arrival_->call()));
  }
  T await_resume() { return arrival_->Take(); }

  // On a thread outside the runtime: blocks until the value is there. Must not
  // be called in a handler, which says co_await instead.
  T Wait() {
    const bool blocked =
        internal::BlockUntil([this](absl::AnyInvocable<void()> done) {
          arrival_->OnReady(std::move(done));
        });
    if (!blocked && !arrival_->ready()) return Misused();
    return arrival_->Take();
  }

  // Calls `done` once with the value, on whichever thread brings it. A call
  // goes on as after Detach().
  void Then(absl::AnyInvocable<void(T)> done) && {
    const auto arrival = std::move(arrival_);
    arrival->Detach();
    auto* const raw = arrival.get();
    // Not owned by what it owns itself: whoever brings the value keeps it alive
    // meanwhile, and if nobody ever does, nothing is left of it.
    raw->OnReady(
        [raw, done = std::move(done)]() mutable { done(raw->Take()); });
  }

  // Lets it go on without anybody who waits, even past the end of the process
  // that began it.
  void Detach() && {
    arrival_->Detach();
    arrival_.reset();
  }

 private:
  static T Misused() {
    return T(Error(absl::StatusCode::kFailedPrecondition, "WOULD_BLOCK",
                   "Wait() would block a worker of the runtime: co_await it "
                   "instead")
                 .NotExecuted()
                 .status());
  }

  std::shared_ptr<internal::Arrival<T>> arrival_;
};

// A call under way. Dropping it cancels the call: if it has not run yet, it
// never does; if it runs, its handler can learn of it (Context::cancelled).
// `std::move(call).Detach()` lets it run without a reply.
//   absl::StatusOr<CounterValue> v = co_await counter.Increment(request);
//   absl::StatusOr<CounterValue> v = counter.Increment(request).Wait();
template <typename T>
using PendingCall = Pending<absl::StatusOr<T>>;
// A cast under way. From a process it is complete at once (OK, or
// RESOURCE_EXHAUSTED if there is no room here, otp C15); from outside, when
// the server's mailbox has taken it. May be dropped.
using PendingCast = Pending<absl::Status>;

// THREADS: a Context only in its own process's callbacks; others from any.
class Caller {
 public:
  virtual ~Caller() = default;

  // Calls the method at `path` ("/counter.v1.Counter/Increment"). `done` comes
  // exactly once, possibly before this returns. Never sent twice (otp C11).
  virtual void StartCall(const ServerRef& to, absl::string_view path,
                         Payload request, const CallOptions& options,
                         absl::AnyInvocable<void(CallResult)> done) = 0;
  virtual void StartCast(const ServerRef& to, absl::string_view path,
                         Payload request, const CallOptions& options,
                         absl::AnyInvocable<void(absl::Status)> done) = 0;
};

namespace internal {

// For generated clients.
template <typename Response, typename Request>
PendingCall<Response> TypedCall(Caller& caller, const ServerRef& to,
                                absl::string_view path, Request request,
                                const CallOptions& options) {
  auto arrival = std::make_shared<Arrival<absl::StatusOr<Response>>>();
  CallOptions waited = options;
  waited.waiter = arrival;
  caller.StartCall(
      to, path, Payload::Of(std::move(request)), waited,
      [arrival](CallResult result) {
        if (!result.status.ok()) {
          arrival->Set(std::move(result.status));
          return;
        }
        auto response = result.reply.template Take<Response>();
        if (response == nullptr) {
          arrival->Set(Error(absl::StatusCode::kInternal, "BUG",
                             "the reply is no " + TypeNameOf<Response>())
                           .Executed()
                           .status());
          return;
        }
        arrival->Set(std::move(*response));
      });
  return PendingCall<Response>(std::move(arrival));
}

template <typename Request>
PendingCast TypedCast(Caller& caller, const ServerRef& to,
                      absl::string_view path, Request request,
                      const CallOptions& options) {
  auto arrival = std::make_shared<Arrival<absl::Status>>();
  caller.StartCast(
      to, path, Payload::Of(std::move(request)), options,
      [arrival](absl::Status status) { arrival->Set(std::move(status)); });
  return PendingCast(std::move(arrival));
}

}  // namespace internal
}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_CALLER_H_
