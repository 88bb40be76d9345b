// Cancellation, call cycles and deadlines of nested calls.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/process/runtime.h"
#include "node/types/status.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class CancelTest : public ::testing::Test {
 protected:
  // A call whose PendingCall cancels it when dropped, as users have it.
  PendingCall<Int64> Call(Caller& caller, const ServerRef& to, int64_t value) {
    return internal::TypedCall<Int64>(caller, to, kScriptCall, MakeInt64(value),
                                      CallOptions());
  }
  Pid Start(Script script) {
    return *sim_.Start(ScriptServer::Make(std::move(script)));
  }
  // Notes each call and answers after `d`.
  Script Slow(absl::Duration d) {
    Script script;
    script.call = [this, d](int64_t value, Context& self) -> Reply<Int64> {
      seen_.push_back("begin " + std::to_string(value));
      co_await self.Sleep(d);
      seen_.push_back(std::string(self.cancelled() ? "cancelled " : "end ") +
                      std::to_string(value));
      co_return MakeInt64(value);
    };
    return script;
  }

  SimRuntime sim_;
  std::vector<std::string> seen_;
};

TEST_F(CancelTest, ADroppedCallThatIsQueuedNeverRuns) {  // otp 16.3
  const Pid pid = Start(Slow(absl::Seconds(1)));
  PendingCall<Int64> first = Call(sim_.caller(), pid, 1);
  {
    PendingCall<Int64> second = Call(sim_.caller(), pid, 2);
    sim_.RunReady();
    EXPECT_EQ(sim_.runtime().Tables().calls, 2u);
  }
  EXPECT_EQ(sim_.runtime().Tables().calls, 1u);
  EXPECT_EQ(sim_.Await(std::move(first))->value(), 1);
  sim_.RunFor(absl::Seconds(5));
  EXPECT_THAT(seen_, ElementsAre("begin 1", "end 1"));
}

TEST_F(CancelTest, ARunningHandlerSeesThatItsCallWasDropped) {  // otp 16.3
  const Pid pid = Start(Slow(absl::Seconds(1)));
  {
    PendingCall<Int64> call = Call(sim_.caller(), pid, 1);
    sim_.RunReady();
  }
  sim_.RunFor(absl::Seconds(5));
  EXPECT_THAT(seen_, ElementsAre("begin 1", "cancelled 1"));
}

TEST_F(CancelTest, ADetachedCallGoesOn) {
  const Pid pid = Start(Slow(absl::Seconds(1)));
  Call(sim_.caller(), pid, 1).Detach();
  sim_.RunFor(absl::Seconds(5));
  EXPECT_THAT(seen_, ElementsAre("begin 1", "end 1"));
}

TEST_F(CancelTest, ATimeoutCancelsNothing) {  // otp C10
  const Pid pid = Start(Slow(absl::Seconds(3)));
  CallOptions options;
  options.timeout = absl::Seconds(1);
  const absl::Status status =
      sim_.Call<Int64>(pid, kScriptCall, MakeInt64(1), options).status();
  EXPECT_EQ(ReasonOf(status), "TIMEOUT");
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
  sim_.RunFor(absl::Seconds(5));
  EXPECT_THAT(seen_, ElementsAre("begin 1", "end 1"));
}

TEST_F(CancelTest, OnCancelRunsInTheProcessWhileItsHandlerWaits) {
  Script script;
  script.call = [this](int64_t, Context& self) -> Reply<Int64> {
    absl::AnyInvocable<void(absl::AnyInvocable<void(int)>)> start =
        [&](absl::AnyInvocable<void(int)> done) {
          auto shared =
              std::make_shared<absl::AnyInvocable<void(int)>>(std::move(done));
          self.OnCancel([this, shared] {
            seen_.push_back("told");
            (*shared)(7);
          });
        };
    const int value = co_await self.Async<int>(std::move(start));
    seen_.push_back("got " + std::to_string(value));
    // It has happened: at once.
    self.OnCancel([this] { seen_.push_back("told again"); });
    co_return MakeInt64(value);
  };
  const Pid pid = Start(script);
  {
    PendingCall<Int64> call = Call(sim_.caller(), pid, 1);
    sim_.RunFor(absl::Seconds(1));
    EXPECT_THAT(seen_, IsEmpty());
  }
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("told", "got 7", "told again"));
}

TEST_F(CancelTest, ANestedCallIsCancelledWithTheOuterOne) {  // otp 16.3
  const Pid inner = Start(Slow(absl::Seconds(2)));
  absl::Status nested;
  Script front;
  front.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    absl::StatusOr<Int64> reply = co_await Call(self, inner, value);
    nested = reply.status();
    co_return MakeInt64(0);
  };
  const Pid outer = Start(front);
  {
    PendingCall<Int64> call = Call(sim_.caller(), outer, 1);
    sim_.RunReady();
    EXPECT_THAT(seen_, ElementsAre("begin 1"));
  }
  sim_.RunReady();
  EXPECT_EQ(nested.code(), absl::StatusCode::kCancelled) << nested;
  EXPECT_EQ(ReasonOf(nested), "CANCELLED");
  EXPECT_EQ(OutcomeOf(nested), Outcome::kUnknown);
  sim_.RunFor(absl::Seconds(5));
  EXPECT_THAT(seen_, ElementsAre("begin 1", "cancelled 1"));
}

TEST_F(CancelTest, ACallersDeathCancelsWhatItWaitsForAndHolds) {
  const Pid busy = Start(Slow(absl::Seconds(2)));
  Script front;
  front.call = [&](int64_t, Context& self) -> Reply<Int64> {
    PendingCall<Int64> first = Call(self, busy, 1);
    PendingCall<Int64> second = Call(self, busy, 2);
    absl::StatusOr<Int64> reply = co_await Call(self, busy, 3);
    co_return MakeInt64(0);
  };
  const Pid outer = Start(front);
  ScriptCall(sim_.caller(), outer, 0);
  sim_.RunReady();
  sim_.runtime().SendExit(Pid(), outer, ExitReason::Kill());
  sim_.RunFor(absl::Seconds(10));
  EXPECT_THAT(seen_, ElementsAre("begin 1", "cancelled 1"));
  EXPECT_EQ(sim_.runtime().Tables().calls, 0u);
}

TEST_F(CancelTest, ADetachedCallOutlivesItsCallAndItsProcess) {
  const Pid busy = Start(Slow(absl::Seconds(1)));
  std::vector<int64_t> answers;
  Script front;
  front.call = [&](int64_t, Context& self) -> Reply<Int64> {
    Call(self, busy, 1).Detach();
    Call(self, busy, 2).Then([&](absl::StatusOr<Int64> reply) {
      answers.push_back(reply.ok() ? reply->value() : -1);
    });
    ScriptCall(self, busy, 3);
    absl::StatusOr<Int64> reply = co_await Call(self, busy, 4);
    seen_.push_back(ReasonOf(reply.status()));
    co_await self.Sleep(absl::Hours(1));
    co_return MakeInt64(0);
  };
  const Pid outer = Start(front);
  {
    PendingCall<Int64> call = Call(sim_.caller(), outer, 0);
    sim_.RunReady();
  }
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("begin 1", "CANCELLED"));
  sim_.runtime().SendExit(Pid(), outer, ExitReason::Kill());
  sim_.RunFor(absl::Seconds(10));
  EXPECT_THAT(seen_, ElementsAre("begin 1", "CANCELLED", "end 1", "begin 2",
                                 "end 2", "begin 3", "end 3"));
  EXPECT_THAT(answers, ElementsAre(2));
  EXPECT_EQ(sim_.runtime().Tables().calls, 0u);
}

TEST_F(CancelTest, ACancelOfAnEarlierCallDoesNotHideThatOfThisOne) {
  std::vector<From> later;
  Script script;
  script.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    if (value == 1) {
      later.push_back(self.from());
      co_await self.Sleep(absl::Seconds(1));
      co_return NoReply();
    }
    self.OnCancel([this] { seen_.push_back("told"); });
    co_await self.Sleep(absl::Hours(1));
    co_return MakeInt64(value);
  };
  const Pid pid = Start(script);
  std::optional<PendingCall<Int64>> first(Call(sim_.caller(), pid, 1));
  std::optional<PendingCall<Int64>> second(Call(sim_.caller(), pid, 2));
  sim_.RunFor(absl::Seconds(2));
  second.reset();
  first.reset();
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("told"));
}

TEST(ArrivalTest, NobodyWinsOnceItIsAbandoned) {
  internal::Arrival<int> arrival;
  int abandoned = 0;
  arrival.OnAbandon([&] { ++abandoned; });
  arrival.Abandon();
  EXPECT_FALSE(arrival.Set(1));
  EXPECT_EQ(abandoned, 1);
  EXPECT_FALSE(arrival.ready());
}

TEST_F(CancelTest, AKilledSleeperLeavesNoTimer) {  // otp 16.1.9
  const Pid pid = Start(Slow(absl::Hours(1)));
  ScriptCall(sim_.caller(), pid, 0);
  sim_.RunReady();
  EXPECT_EQ(sim_.runtime().Tables().sleeps, 1u);
  sim_.runtime().SendExit(Pid(), pid, ExitReason::Kill());
  sim_.RunReady();
  EXPECT_EQ(sim_.runtime().Tables().sleeps, 0u);
}

TEST_F(CancelTest, ARuntimeThatGoesAnswersItsCalls) {
  SimWorld world(1);
  Scheduler& lane = world.AddLane("b");
  CaptureLogger log;
  Fence fence;
  RuntimeOptions options = TestRuntimeOptions();
  auto runtime =
      std::make_unique<Runtime>(options, &lane, &world.random(), &log, &fence);
  RuntimeCaller caller(runtime.get());
  Pid pid;
  muster::Start(*runtime, ScriptServer::Make(Slow(absl::Hours(1))), Payload())
      .Then([&](absl::StatusOr<Pid> p) { pid = *p; });
  world.RunReady();
  std::vector<absl::Status> answers;
  for (int i = 0; i < 2; ++i) {
    CallOptions patient;
    patient.timeout = absl::InfiniteDuration();
    ScriptCall(caller, pid, i, patient).Then([&](absl::StatusOr<Int64> reply) {
      answers.push_back(reply.status());
    });
  }
  world.RunReady();
  runtime.reset();
  world.KillLane(lane);
  ASSERT_EQ(answers.size(), 2u);
  for (const absl::Status& answer : answers) {
    EXPECT_EQ(ReasonOf(answer), "CALLEE_EXITED") << answer;
  }
  EXPECT_EQ(OutcomeOf(answers[0]), Outcome::kUnknown);
  EXPECT_EQ(OutcomeOf(answers[1]), Outcome::kNotExecuted);
}

// -- Cycles
// --------------------------------------------------------------------

TEST_F(CancelTest, AProcessThatDoesNotWaitClosesNoCycle) {  // otp 16.3
  Pid front;
  absl::StatusOr<Int64> back;
  Script callee;
  callee.call = [&](int64_t, Context& self) -> Reply<Int64> {
    back = co_await Call(self, front, 5);
    co_return MakeInt64(1);
  };
  const Pid other = Start(callee);
  Script script;
  script.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    if (value == 5) co_return MakeInt64(55);
    Call(self, other, 0).Detach();
    // Waits, but not for that call.
    co_await self.Sleep(absl::Seconds(1));
    co_return MakeInt64(2);
  };
  front = Start(script);
  EXPECT_EQ(sim_.Call<Int64>(front, kScriptCall, MakeInt64(0))->value(), 2);
  sim_.RunReady();
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->value(), 55);
}

TEST_F(CancelTest, ACycleIsFoundWhenTheWaitBeginsLater) {  // otp 16.3
  Pid front;
  absl::Status back;
  Script callee;
  callee.call = [&](int64_t, Context& self) -> Reply<Int64> {
    absl::StatusOr<Int64> reply = co_await Call(self, front, 5);
    back = reply.status();
    co_return MakeInt64(1);
  };
  const Pid other = Start(callee);
  Script script;
  script.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    if (value == 5) co_return MakeInt64(55);
    PendingCall<Int64> call = Call(self, other, 0);
    co_await self.Sleep(absl::Seconds(1));  // The call back arrives now,
    absl::StatusOr<Int64> reply =
        co_await std::move(call);  // and is in the way.
    co_return MakeInt64(reply.ok() ? reply->value() : -1);
  };
  front = Start(script);
  EXPECT_EQ(sim_.Call<Int64>(front, kScriptCall, MakeInt64(0))->value(), 1);
  EXPECT_EQ(ReasonOf(back), "CALL_CYCLE") << back;
  EXPECT_EQ(OutcomeOf(back), Outcome::kNotExecuted);
}

TEST_F(CancelTest, CallingSelfByEveryNameBeforeSending) {  // otp C8
  std::vector<std::string> reasons;
  Script script;
  script.call = [&](int64_t, Context& self) -> Reply<Int64> {
    const ServerRef alias = self.Alias();
    EXPECT_TRUE(self.RegisterLocal("me").ok());
    for (const ServerRef& to : {ServerRef(self.pid()), ServerRef::Local("me"),
                                ServerRef::Local("me", self.node()), alias}) {
      absl::StatusOr<Int64> reply = co_await Call(self, to, 1);
      reasons.push_back(ReasonOf(reply.status()));
    }
    co_return MakeInt64(0);
  };
  EXPECT_TRUE(sim_.Call<Int64>(Start(script), kScriptCall, MakeInt64(0)).ok());
  EXPECT_THAT(reasons, ElementsAre("CALLING_SELF", "CALLING_SELF",
                                   "CALLING_SELF", "CALLING_SELF"));
}

// -- Mailbox rules
// -------------------------------------------------------------

class OverflowTest : public CancelTest {
 protected:
  // Busy for a second, with room for three; what it then handles.
  std::vector<std::string> Flood(Overflow overflow,
                                 std::vector<absl::Status>* casts) {
    std::vector<std::string> handled;
    Script script = Slow(absl::Seconds(1));
    script.cast = [&](int64_t value, Context&) -> Next {
      handled.push_back("cast " + std::to_string(value));
      return NoReply();
    };
    script.info = [&](Info info, Context&) -> Next {
      const Int64* value = info.As<Int64>();
      handled.push_back(
          value == nullptr ? "down" : "info " + std::to_string(value->value()));
      return NoReply();
    };
    StartOptions options;
    options.mailbox.messages_max = 3;
    options.mailbox.overflow = overflow;
    const Pid pid = *sim_.Start(ScriptServer::Make(script), Payload(), options);
    ScriptCall(sim_.caller(), pid, 0);
    sim_.RunReady();
    ScriptCall(sim_.caller(), pid, 1);  // A call in the mailbox stays.
    for (int i = 1; i <= 3; ++i) {
      casts->push_back(sim_.Cast(pid, kScriptCast, MakeInt64(i)));
      sim_.runtime().Send(pid, Info(MakeInt64(i)));
    }
    const absl::Status call =
        sim_.Call<Int64>(pid, kScriptCall, MakeInt64(9)).status();
    EXPECT_EQ(ReasonOf(call), "MAILBOX_FULL");
    EXPECT_GT(RetryDelayOf(call), absl::ZeroDuration());
    sim_.runtime().SendReserved(pid, Info(std::string("system")));
    EXPECT_EQ(sim_.runtime().Inspect(pid)->dropped, Dropped(overflow));
    EXPECT_EQ(sim_.runtime().Inspect(pid)->mailbox, 4u);
    sim_.RunFor(absl::Seconds(10));
    return handled;
  }
  static uint64_t Dropped(Overflow overflow) {
    // Refused casts are not dropped: their senders know.
    return overflow == Overflow::kRefuse ? 2 : 4;
  }
};

TEST_F(OverflowTest, RefuseTellsTheSendersOfCasts) {  // otp 16.3
  std::vector<absl::Status> casts;
  EXPECT_THAT(Flood(Overflow::kRefuse, &casts),
              ElementsAre("cast 1", "info 1", "down"));
  EXPECT_TRUE(casts[0].ok());
  EXPECT_EQ(ReasonOf(casts[1]), "MAILBOX_FULL");
  EXPECT_EQ(ReasonOf(casts[2]), "MAILBOX_FULL");
}

TEST_F(OverflowTest, DropNewestKeepsWhatIsThere) {  // otp 16.3
  std::vector<absl::Status> casts;
  EXPECT_THAT(Flood(Overflow::kDropNewest, &casts),
              ElementsAre("cast 1", "info 1", "down"));
  for (const absl::Status& cast : casts) EXPECT_TRUE(cast.ok()) << cast;
}

TEST_F(OverflowTest, DropOldestMakesRoom) {  // otp 16.3
  std::vector<absl::Status> casts;
  EXPECT_THAT(Flood(Overflow::kDropOldest, &casts),
              ElementsAre("cast 3", "info 3", "down"));
  for (const absl::Status& cast : casts) EXPECT_TRUE(cast.ok()) << cast;
}

}  // namespace
}  // namespace muster
