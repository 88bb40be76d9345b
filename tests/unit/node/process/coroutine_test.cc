// Coroutine handlers: the process waits, no thread does (design D3).
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/scheduler.h"
#include "node/process/context.h"
#include "node/process/runtime.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

using ::testing::ElementsAre;

// Counts how many of its copies live.
class Counted {
 public:
  explicit Counted(int* alive) : alive_(alive) { ++*alive_; }
  Counted(const Counted& other) : alive_(other.alive_) { ++*alive_; }
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --*alive_; }

 private:
  int* const alive_;
};

class CoroutineTest : public ::testing::Test {
 protected:
  Pid Start(Script script) {
    return *sim_.Start(ScriptServer::Make(std::move(script)));
  }

  int alive_ = 0;
  std::vector<std::string> seen_;
  SimRuntime sim_;
};

TEST_F(CoroutineTest, WhileItWaitsNothingElseIsHandled) {  // otp G1
  Script script;
  script.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    seen_.push_back("in " + std::to_string(value));
    co_await self.Sleep(absl::Seconds(1));
    seen_.push_back("out " + std::to_string(value));
    co_return MakeInt64(value);
  };
  script.info = [&](Info, Context&) -> Next {
    seen_.push_back("info");
    return NoReply();
  };
  const Pid pid = Start(script);
  const BootTime before = sim_.Now();
  ScriptCall(sim_.caller(), pid, 1);
  ScriptCall(sim_.caller(), pid, 2);
  sim_.runtime().Send(pid, Info(MakeInt64(3)));
  EXPECT_TRUE(sim_.RunUntil([&] { return seen_.size() == 5; }));
  EXPECT_THAT(seen_, ElementsAre("in 1", "out 1", "in 2", "out 2", "info"));
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(2));
}

TEST_F(CoroutineTest, AwaitsACallToAnotherServer) {
  Script twice;
  twice.call = [](int64_t value, Context&) -> Reply<Int64> {
    return MakeInt64(2 * value);
  };
  const Pid other = Start(twice);
  Script script;
  script.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    absl::StatusOr<Int64> first = co_await ScriptCall(self, other, value);
    if (!first.ok()) co_return first.status();
    absl::StatusOr<Int64> second =
        co_await ScriptCall(self, other, first->value());
    co_return second;
  };
  EXPECT_EQ(sim_.Call<Int64>(Start(script), kScriptCall, MakeInt64(5))->value(),
            20);
}

TEST_F(CoroutineTest, TheRequestLivesUntilTheCoroutineEnds) {  // design 6
  Script script;
  script.info = [&](Info info, Context& self) -> Next {
    co_await self.Sleep(absl::Seconds(1));
    seen_.push_back(*info.As<std::string>());
    co_return NoReply();
  };
  const Pid pid = Start(script);
  sim_.runtime().Send(pid, Info(std::string(100, 'x')));
  sim_.RunFor(absl::Seconds(2));
  EXPECT_THAT(seen_, ElementsAre(std::string(100, 'x')));
}

TEST_F(CoroutineTest, InitAndTerminateMayWait) {
  Script script;
  script.init = [&](Context& self) -> InitResult {
    co_await self.Sleep(absl::Seconds(1));
    seen_.push_back("init");
    co_return Ok();
  };
  script.cast = [](int64_t, Context& self) -> Next {
    co_await self.Sleep(absl::Seconds(1));
    co_return Stop(ExitReason::Normal());
  };
  script.terminate = [&](const ExitReason&, Context& self) -> Next {
    co_await self.Sleep(absl::Seconds(1));
    seen_.push_back("terminate");
    co_return NoReply();
  };
  const BootTime before = sim_.Now();
  const Pid pid = Start(script);
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(1));
  ScriptCast(sim_.caller(), pid, 0);
  sim_.RunFor(absl::Seconds(3));
  EXPECT_THAT(seen_, ElementsAre("init", "terminate"));
  EXPECT_FALSE(sim_.Alive(pid));
}

TEST_F(CoroutineTest, BlockingWorkRunsBesideTheWorkers) {  // design D3
  Script script;
  script.call = [](int64_t value, Context& self) -> Reply<Int64> {
    absl::AnyInvocable<int64_t()> work = [value]() -> int64_t {
      return Scheduler::OnWorker() ? -1 : value + 1;
    };
    const int64_t result = co_await self.Blocking<int64_t>(std::move(work));
    co_return MakeInt64(result);
  };
  EXPECT_EQ(sim_.Call<Int64>(Start(script), kScriptCall, MakeInt64(5))->value(),
            6);
}

TEST_F(CoroutineTest, WhatBlockingWorkThrowsEndsTheProcess) {  // otp P6
  Script script;
  script.call = [](int64_t, Context& self) -> Reply<Int64> {
    absl::AnyInvocable<int64_t()> work = []() -> int64_t {
      throw std::runtime_error("disk on fire");
    };
    const int64_t result = co_await self.Blocking<int64_t>(std::move(work));
    co_return MakeInt64(result);
  };
  const absl::Status status =
      sim_.Call<Int64>(Start(script), kScriptCall, MakeInt64(5)).status();
  EXPECT_TRUE(absl::StrContains(DetailOf(status, "exit_reason"), "on fire"))
      << status;
}

TEST_F(CoroutineTest, AsyncTakesAValueFromACallback) {
  absl::AnyInvocable<void(int64_t)> give;
  Script script;
  script.call = [&](int64_t, Context& self) -> Reply<Int64> {
    absl::AnyInvocable<void(absl::AnyInvocable<void(int64_t)>)> start =
        [&give](absl::AnyInvocable<void(int64_t)> done) {
          give = std::move(done);
        };
    const int64_t result = co_await self.Async<int64_t>(std::move(start));
    co_return MakeInt64(result);
  };
  std::optional<int64_t> result;
  ScriptCall(sim_.caller(), Start(script), 0)
      .Then([&](absl::StatusOr<Int64> r) { result = r->value(); });
  sim_.RunReady();
  EXPECT_FALSE(result.has_value());
  give(11);
  sim_.RunReady();
  EXPECT_EQ(result, 11);
}

TEST_F(CoroutineTest, KilledWhileWaitingDestroysTheCoroutine) {  // otp 16.1.2
  Script script;
  script.call = [this](int64_t, Context& self) -> Reply<Int64> {
    const Counted local(&alive_);
    co_await self.Sleep(absl::Seconds(10));
    ADD_FAILURE() << "went on after its kill";
    co_return MakeInt64(0);
  };
  script.terminate = [](const ExitReason&, Context&) -> Next {
    ADD_FAILURE() << "Terminate after a kill";
    return NoReply();
  };
  const Pid pid = Start(script);
  std::optional<absl::StatusOr<Int64>> result;
  ScriptCall(sim_.caller(), pid, 0).Then([&](absl::StatusOr<Int64> r) {
    result = std::move(r);
  });
  sim_.RunReady();
  EXPECT_EQ(alive_, 1);
  EXPECT_EQ(sim_.runtime().List()[0].state, "waiting");
  sim_.runtime().SendExit(Pid(), pid, ExitReason::Kill());
  sim_.RunReady();
  EXPECT_EQ(alive_, 0);
  EXPECT_FALSE(sim_.Alive(pid));
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(ReasonOf(result->status()), "CALLEE_EXITED");
  EXPECT_EQ(OutcomeOf(result->status()), Outcome::kUnknown);
  sim_.RunFor(absl::Seconds(20));  // The old wake finds nobody.
}

TEST_F(CoroutineTest, AValueThatIsThereDoesNotSuspend) {
  Script script;
  script.call = [](int64_t, Context& self) -> Reply<Int64> {
    for (int i = 0; i < 1000; ++i) {
      absl::AnyInvocable<void(absl::AnyInvocable<void(int)>)> start =
          [](absl::AnyInvocable<void(int)> done) { done(1); };
      static_cast<void>(co_await self.Async<int>(std::move(start)));
    }
    co_return MakeInt64(1);
  };
  EXPECT_TRUE(sim_.Call<Int64>(Start(script), kScriptCall, MakeInt64(0)).ok());
}

TEST_F(CoroutineTest, WaitOnAWorkerAnswersInsteadOfBlocking) {  // style
  const Pid other = Start(Script());
  Script script;
  script.call = [&](int64_t, Context& self) -> Reply<Int64> {
    PendingCall<Int64> pending = ScriptCall(self, other, 1);
    return pending.Wait().status();
  };
  const absl::Status status =
      sim_.Call<Int64>(Start(script), kScriptCall, MakeInt64(0)).status();
  EXPECT_EQ(ReasonOf(status), "WOULD_BLOCK") << status;
}

TEST_F(CoroutineTest,
       ADetachedCallRunsThoughItsCallerDropsIt) {  // otp C10, C20
  Script callee;
  callee.call = [&](int64_t, Context&) -> Reply<Int64> {
    seen_.push_back("ran");
    return MakeInt64(1);
  };
  const Pid other = Start(callee);
  Script script;
  script.call = [&](int64_t, Context& self) -> Reply<Int64> {
    ScriptCall(self, other, 1);
    return MakeInt64(2);
  };
  EXPECT_EQ(sim_.Call<Int64>(Start(script), kScriptCall, MakeInt64(0))->value(),
            2);
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("ran"));
}

}  // namespace
}  // namespace muster
