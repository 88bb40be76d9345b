// What a callback answers: Reply<T> to a call, Next to anything else,
// InitResult to its start (otp 3.2).
//
//   return value;                          // Reply<T>: answer and go on
//   return absl::NotFoundError("...");     // Reply<T>: answer an error
//   return NoReply();                      // answer later through self.from()
//   return ReplyThen(value, Timeout(absl::Seconds(60)));
//   return Stop(ExitReason::Normal());     // end; Stop(reason, value) answers
//
// Each is also a coroutine type: a handler that says co_await is a coroutine
// and answers with co_return; another is a plain function. While a coroutine
// waits, its process handles nothing else and blocks no thread.
#ifndef MUSTER_NODE_PROCESS_RESULT_H_
#define MUSTER_NODE_PROCESS_RESULT_H_

#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "node/types/exit_reason.h"
#include "node/types/info.h"
#include "node/types/payload.h"

namespace muster {

// What happens between this callback and the next message.
class After {
 public:
  enum class Kind { kNothing, kTimeout, kContinue, kHibernate };
  After() = default;

  Kind kind = Kind::kNothing;
  absl::Duration timeout = absl::InfiniteDuration();  // kTimeout
  Info message;                                       // kContinue
};

// HandleTimeout runs if no message arrives for `d` from now. Belongs to this
// one result; any message cancels it (otp G13, G14). A negative `d` ends the
// process with bad_return_value (otp G16).
After Timeout(absl::Duration d);
// HandleContinue(message) runs before any queued message (otp G11).
After Continue(Info message);
// Releases what memory it can until the next message (otp G17).
After Hibernate();

namespace internal {

// A callback's answer with its type erased.
struct Decision {
  enum class Kind { kGoOn, kReply, kError, kStop, kIgnore };
  Decision() = default;

  Kind kind = Kind::kGoOn;
  // kReply, and kStop if `replies`.
  Payload reply;
  bool replies = false;
  // kError. `refused`: the handler did not run.
  absl::Status error;
  bool refused = false;
  // kStop.
  std::optional<ExitReason> stop;
  After after;
};

// Base of the promises of all three coroutine types.
struct PromiseBase {
  std::suspend_never initial_suspend() noexcept { return {}; }
  std::suspend_always final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { thrown = std::current_exception(); }

  Decision decision;
  std::exception_ptr thrown;
};

using Coroutine = std::coroutine_handle<PromiseBase>;

}  // namespace internal

// A callback's answer as the runtime takes it: decided, or a coroutine that
// waits. Owns the coroutine.
class HandlerResult {
 public:
  explicit HandlerResult(internal::Decision decision)
      : decision_(std::move(decision)) {}
  explicit HandlerResult(internal::Coroutine coroutine)
      : coroutine_(coroutine) {}
  HandlerResult(HandlerResult&& other) noexcept
      : decision_(std::move(other.decision_)),
        coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  HandlerResult& operator=(HandlerResult&& other) noexcept {
    if (this != &other) {
      if (coroutine_) coroutine_.destroy();
      decision_ = std::move(other.decision_);
      coroutine_ = std::exchange(other.coroutine_, nullptr);
    }
    return *this;
  }
  ~HandlerResult() {
    if (coroutine_) coroutine_.destroy();
  }

  // False: the coroutine waits and is to be resumed.
  bool done() const { return !coroutine_ || coroutine_.done(); }
  void Resume() { coroutine_.resume(); }
  // The answer of a finished one; rethrows what the coroutine threw.
  internal::Decision Take() {
    if (!coroutine_) return std::move(decision_);
    if (coroutine_.promise().thrown) {
      std::rethrow_exception(coroutine_.promise().thrown);
    }
    return std::move(coroutine_.promise().decision);
  }

 private:
  internal::Decision decision_;
  internal::Coroutine coroutine_ = nullptr;
};

namespace internal {

// What Reply<T>, Next and InitResult share: a decision or a coroutine.
class ResultBase {
 public:
  ResultBase(ResultBase&& other) noexcept
      : decision_(std::move(other.decision_)),
        coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  ResultBase& operator=(ResultBase&&) = delete;
  ~ResultBase() {
    if (coroutine_) coroutine_.destroy();
  }

  // For the runtime.
  HandlerResult Erase() && {
    if (coroutine_) {
      return HandlerResult(std::exchange(coroutine_, nullptr));
    }
    return HandlerResult(std::move(decision_));
  }
  Decision TakeDecision() && { return std::move(decision_); }

 protected:
  explicit ResultBase(Decision decision) : decision_(std::move(decision)) {}
  explicit ResultBase(Coroutine coroutine) : coroutine_(coroutine) {}

 private:
  Decision decision_;
  Coroutine coroutine_ = nullptr;
};

// Promise of a coroutine whose type is R.
template <typename R>
struct Promise : PromiseBase {
  R get_return_object() {
    return R(Coroutine::from_address(
        std::coroutine_handle<Promise>::from_promise(*this).address()));
  }
  void return_value(R result) { decision = std::move(result).TakeDecision(); }
};

struct NoReplyTag {
  explicit NoReplyTag(After a) : after(std::move(a)) {}
  After after;
};
struct StopTag {
  explicit StopTag(ExitReason r) : reason(std::move(r)) {}
  ExitReason reason;
};
template <typename T>
struct StopReplyTag {
  StopReplyTag(ExitReason r, T v) : reason(std::move(r)), value(std::move(v)) {}
  ExitReason reason;
  T value;
};
template <typename T>
struct ReplyThenTag {
  ReplyThenTag(T v, After a) : value(std::move(v)), after(std::move(a)) {}
  T value;
  After after;
};
struct OkTag {
  explicit OkTag(After a) : after(std::move(a)) {}
  After after;
};
struct IgnoreTag {};

Decision GoOn(After after);
Decision StopWith(ExitReason reason);
Decision ReplyWith(Payload reply, After after);
Decision StopReplyWith(ExitReason reason, Payload reply);
Decision FailWith(absl::Status error);
// As FailWith, for a request that no handler has seen.
Decision RefuseWith(absl::Status error);
Decision IgnoreStart();

}  // namespace internal

// Goes on without an answer. In a call, somebody must answer later through
// the From.
inline internal::NoReplyTag NoReply(After after = After()) {
  return internal::NoReplyTag(std::move(after));
}
// Ends the process: Terminate(reason), then links and monitors fire. A waiting
// caller gets ABORTED CALLEE_EXITED, outcome UNKNOWN.
inline internal::StopTag Stop(ExitReason reason) {
  return internal::StopTag(std::move(reason));
}
// As Stop, but answers the call after Terminate has run (otp G6).
template <typename T>
internal::StopReplyTag<T> Stop(ExitReason reason, T value) {
  return internal::StopReplyTag<T>(std::move(reason), std::move(value));
}
// Answers at once, then does `after`.
template <typename T>
internal::ReplyThenTag<T> ReplyThen(T value, After after) {
  return internal::ReplyThenTag<T>(std::move(value), std::move(after));
}
// Init succeeded.
inline internal::OkTag Ok(After after = After()) {
  return internal::OkTag(std::move(after));
}
// Init does not want this process: its start reports "ignored", the process
// ends with `normal`, and a supervisor keeps the child without a pid (otp H4).
inline internal::IgnoreTag Ignore() { return {}; }

// Answer of a call handler whose response message is T.
template <typename T>
class [[nodiscard]] Reply : public internal::ResultBase {
 public:
  using promise_type = internal::Promise<Reply>;

  Reply(T value)  // NOLINT
      : ResultBase(
            internal::ReplyWith(Payload::Of(std::move(value)), After())) {}
  // An error for the caller, outcome EXECUTED. OK is a bug of the handler and
  // becomes INTERNAL.
  Reply(absl::Status error)  // NOLINT
      : ResultBase(internal::FailWith(std::move(error))) {}
  Reply(absl::StatusOr<T> result)  // NOLINT
      : ResultBase(
            result.ok()
                ? internal::ReplyWith(Payload::Of(*std::move(result)), After())
                : internal::FailWith(std::move(result).status())) {}
  Reply(internal::NoReplyTag tag)  // NOLINT
      : ResultBase(internal::GoOn(std::move(tag.after))) {}
  Reply(internal::StopTag tag)  // NOLINT
      : ResultBase(internal::StopWith(std::move(tag.reason))) {}
  template <typename U>
  Reply(internal::StopReplyTag<U> tag)  // NOLINT
      : ResultBase(internal::StopReplyWith(
            std::move(tag.reason), Payload::Of(T(std::move(tag.value))))) {}
  template <typename U>
  Reply(internal::ReplyThenTag<U> tag)  // NOLINT
      : ResultBase(internal::ReplyWith(Payload::Of(T(std::move(tag.value))),
                                       std::move(tag.after))) {}

 private:
  friend promise_type;
  explicit Reply(internal::Coroutine coroutine) : ResultBase(coroutine) {}
};

// Answer of a cast, info, continue or timeout handler.
class [[nodiscard]] Next : public internal::ResultBase {
 public:
  using promise_type = internal::Promise<Next>;

  // Goes on, as NoReply().
  Next() : ResultBase(internal::GoOn(After())) {}
  Next(internal::NoReplyTag tag)  // NOLINT
      : ResultBase(internal::GoOn(std::move(tag.after))) {}
  Next(After after)  // NOLINT
      : ResultBase(internal::GoOn(std::move(after))) {}
  Next(internal::StopTag tag)  // NOLINT
      : ResultBase(internal::StopWith(std::move(tag.reason))) {}

 private:
  friend promise_type;
  explicit Next(internal::Coroutine coroutine) : ResultBase(coroutine) {}
};

// Answer of Init (otp H4).
class [[nodiscard]] InitResult : public internal::ResultBase {
 public:
  using promise_type = internal::Promise<InitResult>;

  InitResult(internal::OkTag tag)  // NOLINT
      : ResultBase(internal::GoOn(std::move(tag.after))) {}
  InitResult(internal::IgnoreTag)  // NOLINT
      : ResultBase(internal::IgnoreStart()) {}
  // The start fails with this reason, which is also the exit reason.
  InitResult(internal::StopTag tag)  // NOLINT
      : ResultBase(internal::StopWith(std::move(tag.reason))) {}
  // The start fails with this error; the process ends with `normal`.
  InitResult(absl::Status error)  // NOLINT
      : ResultBase(internal::FailWith(std::move(error))) {}

 private:
  friend promise_type;
  explicit InitResult(internal::Coroutine coroutine) : ResultBase(coroutine) {}
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_RESULT_H_
