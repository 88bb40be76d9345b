// Caller: whoever can call and cast; PendingCall: a call under way.
//
// A process calls through its Context, a thread outside through a Node or a
// Client; the generated clients work over either.
#ifndef MUSTER_NODE_PROCESS_CALLER_H_
#define MUSTER_NODE_PROCESS_CALLER_H_

#include <coroutine>
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
#include "node/base/mutex.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"

namespace muster {

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
};

namespace internal {

// INVALID_ARGUMENT BAD_TIMEOUT if it is negative (otp C3).
absl::Status CheckTimeout(absl::Duration timeout);

// Suspends the handler's coroutine until woken; see process.h. Returns a
// function that wakes it, from any thread, once.
absl::AnyInvocable<void()> SuspendCurrentProcess();

// Blocks the calling thread until `done` has been called. False, at once, on a
// thread that must not block.
bool BlockUntil(
    absl::AnyInvocable<void(absl::AnyInvocable<void()> done)> start);

// A value that arrives once and is taken once.
template <typename T>
class Arrival {
 public:
  // The first wins; true if it was this one.
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
    {
      MutexLock lock(&mu_);
      if (set_) return false;
      set_ = true;
      value_ = std::move(value);
      thrown_ = std::move(thrown);
      wake = std::move(wake_);
    }
    if (wake) wake();
    return true;
  }

  Mutex mu_;
  bool set_ ABSL_GUARDED_BY(mu_) = false;
  std::unique_ptr<T> value_ ABSL_GUARDED_BY(mu_);
  std::exception_ptr thrown_ ABSL_GUARDED_BY(mu_);
  absl::AnyInvocable<void()> wake_ ABSL_GUARDED_BY(mu_);
};

}  // namespace internal

// Something that a handler can `co_await` and a thread can Wait() for.
template <typename T>
class Pending {
 public:
  explicit Pending(std::shared_ptr<internal::Arrival<T>> arrival)
      : arrival_(std::move(arrival)) {}
  Pending(Pending&& other) noexcept : arrival_(std::move(other.arrival_)) {}
  Pending& operator=(Pending&& other) noexcept {
    arrival_ = std::move(other.arrival_);
    return *this;
  }
  ~Pending() {}

  // In a handler: T value = co_await pending;
  bool await_ready() const { return arrival_->ready(); }
  void await_suspend(std::coroutine_handle<>) {
    arrival_->OnReady(internal::SuspendCurrentProcess());
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

  // Calls `done` once with the value, on whichever thread brings it.
  void Then(absl::AnyInvocable<void(T)> done) && {
    const auto arrival = std::move(arrival_);
    auto* const raw = arrival.get();
    // Not owned by what it owns itself: whoever brings the value keeps it alive
    // meanwhile, and if nobody ever does, nothing is left of it.
    raw->OnReady(
        [raw, done = std::move(done)]() mutable { done(raw->Take()); });
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

// A call under way. Dropping it abandons the call: it may still run, its reply
// goes nowhere.
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
  caller.StartCall(
      to, path, Payload::Of(std::move(request)), options,
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
