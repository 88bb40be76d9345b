// Actor: a process that does what a test tells it, one thing at a time, so
// that a test's lines run inside a process.
#ifndef MUSTER_TESTS_CONFORMANCE_OTP_ACTOR_H_
#define MUSTER_TESTS_CONFORMANCE_OTP_ACTOR_H_

#include <deque>
#include <functional>
#include <string>
#include <utility>

#include "node/gen_server/gen_server.h"
#include "node/process/context.h"
#include "node/process/result.h"
#include "node/process/runtime.h"
#include "node/types/info.h"
#include "node/types/pid.h"

namespace muster {

// Plain or a coroutine; may refer to the test's locals.
using Act = std::function<Next(Context&)>;

class Actor final : public InfoServer {
 public:
  using OnInfo = std::function<Next(Info, Context&)>;

  // `on_info` gets what is no Act; null drops it.
  explicit Actor(OnInfo on_info = nullptr) : on_info_(std::move(on_info)) {}

  InitResult Init(Context&) override { return Ok(); }
  Next HandleInfo(Info info, Context& self) override {
    if (Act* const act = info.MutableValue<Act>()) {
      // A coroutine refers to its function, so that stays.
      acts_.push_back(std::move(*act));
      return acts_.back()(self);
    }
    if (on_info_) return on_info_(std::move(info), self);
    return NoReply();
  }

 private:
  const OnInfo on_info_;
  std::deque<Act> acts_;
};

// Has the actor `pid` run `act` when its turn comes.
inline void Tell(Runtime& runtime, const Pid& pid, Act act) {
  runtime.Send(pid, Info(std::move(act)));
}

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_OTP_ACTOR_H_
