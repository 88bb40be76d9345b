// The cases of timer_bif_SUITE and of Elixir's process_test that are about
// timers, in virtual time; those about threads on real ones.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/thread_scheduler.h"
#include "node/process/context.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/types/info.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Tick {
  int number = 0;
};
struct Text {
  std::string text;
};

// What a process received, in order, and when.
struct Received {
  enum class Kind { kTick, kFired, kCancelled, kRead, kText };
  Kind kind;
  int number = 0;  // Of the tick, also of the one in a TimerFired.
  TimerRef ref;
  std::optional<absl::Duration> left;
  std::string text;
  BootTime at;
};

class OtpTimerTest : public testing::Test {
 protected:
  // A process that records what it receives.
  Pid StartRecorder(absl::string_view name = "") {
    Script script;
    script.info = [this](Info info, Context& self) {
      Received got{.kind = Received::Kind::kTick, .at = self.Now()};
      if (const Tick* tick = info.As<Tick>()) {
        got.number = tick->number;
      } else if (TimerFired* fired = info.MutableValue<TimerFired>()) {
        got.kind = Received::Kind::kFired;
        got.ref = fired->ref;
        const Tick* const inner = fired->info.As<Tick>();
        EXPECT_NE(inner, nullptr);
        if (inner != nullptr) got.number = inner->number;
      } else if (const auto* cancelled = info.As<TimerCancelled>()) {
        got.kind = Received::Kind::kCancelled;
        got.ref = cancelled->ref;
        got.left = cancelled->left;
      } else if (const auto* read = info.As<TimerRead>()) {
        got.kind = Received::Kind::kRead;
        got.ref = read->ref;
        got.left = read->left;
      } else if (const Text* text = info.As<Text>()) {
        got.kind = Received::Kind::kText;
        got.text = text->text;
      } else {
        ADD_FAILURE() << "an unexpected info: " << info.type();
      }
      received_.push_back(std::move(got));
      return Next();
    };
    // A test's own code, inside a callback of the recorder.
    script.call = [this](int64_t value, Context& self) {
      if (inside_) inside_(self);
      return Reply<Int64>(MakeInt64(value));
    };
    StartOptions options;
    options.name = std::string(name);
    return sim_
        .Start(ScriptServer::Make(std::move(script)), Payload(),
               std::move(options))
        .value();
  }
  void Inside(const Pid& pid, std::function<void(Context&)> work) {
    inside_ = std::move(work);
    ASSERT_TRUE(
        sim_.Call<Int64>(ServerRef(pid), kScriptCall, MakeInt64(0)).ok());
    inside_ = nullptr;
  }
  std::vector<int> Numbers() const {
    std::vector<int> numbers;
    for (const Received& got : received_) numbers.push_back(got.number);
    return numbers;
  }
  Runtime& runtime() { return sim_.runtime(); }

  std::vector<Received> received_;
  std::function<void(Context&)> inside_;
  SimRuntime sim_;
};

TEST_F(OtpTimerTest, TMR01_ATimerFiresOnceAndAnEarlyCancelSaysWhatWasLeft) {
  OTP_CASE("TMR.01", "T1 T3 T4");
  const Pid pid = StartRecorder();
  const BootTime begun = sim_.Now();
  const TimerRef ref =
      runtime().StartTimer(absl::Seconds(1), pid, Tick{7}).value();
  sim_.RunFor(absl::Seconds(1) - absl::Nanoseconds(1));
  EXPECT_THAT(received_, IsEmpty());
  EXPECT_EQ(runtime().ReadTimer(ref), absl::Nanoseconds(1));
  sim_.RunFor(absl::Milliseconds(400));
  ASSERT_EQ(received_.size(), 1u);
  EXPECT_EQ(received_[0].kind, Received::Kind::kFired);
  EXPECT_EQ(received_[0].ref, ref);
  EXPECT_EQ(received_[0].number, 7);
  EXPECT_EQ(received_[0].at - begun, absl::Seconds(1));
  EXPECT_EQ(runtime().ReadTimer(ref), std::nullopt);
  EXPECT_EQ(runtime().CancelTimer(ref), std::nullopt);

  const TimerRef early =
      runtime().StartTimer(absl::Seconds(1), pid, Tick{8}).value();
  sim_.RunFor(absl::Milliseconds(600));
  EXPECT_EQ(runtime().CancelTimer(early), absl::Milliseconds(400));
  EXPECT_EQ(runtime().CancelTimer(early), std::nullopt);
  EXPECT_EQ(runtime().ReadTimer(early), std::nullopt);
  sim_.RunFor(absl::Hours(1));
  EXPECT_EQ(received_.size(), 1u);
}

TEST_F(OtpTimerTest, TMR02_DifferentTimesFireInTimeOrder) {
  OTP_CASE("TMR.02", "T1 T6");
  const Pid pid = StartRecorder();
  const BootTime begun = sim_.Now();
  Inside(pid, [&](Context& self) {
    for (const int ms : {500, 0, 20, 3, 499, 1, 100}) {
      self.SendAfter(absl::Milliseconds(ms), Tick{ms});
    }
    // Absolute ones are in the same order; one that has passed comes soon.
    self.SendAt(begun + absl::Milliseconds(50), Tick{50});
    self.SendAt(begun - absl::Seconds(1), Tick{-1000});
  });
  sim_.RunFor(absl::Seconds(1));
  EXPECT_THAT(Numbers(), ElementsAre(-1000, 0, 1, 3, 20, 50, 100, 499, 500));
  for (const Received& got : received_) {
    EXPECT_EQ(got.at - begun, absl::Milliseconds(std::max(got.number, 0)));
  }
}

TEST_F(OtpTimerTest, TMR03_CancelKnowsUnknownPendingAndFired) {
  OTP_CASE("TMR.03", "T3 T4");
  const Pid pid = StartRecorder();
  const Pid other = StartRecorder();
  EXPECT_EQ(runtime().CancelTimer(TimerRef()), std::nullopt);
  EXPECT_EQ(runtime().CancelTimer(TimerRef{12345}), std::nullopt);
  TimerRef pending;
  TimerRef fired;
  Inside(pid, [&](Context& self) {
    pending = self.SendAfter(absl::Minutes(1), Tick{1});
    fired = self.SendAfter(absl::Milliseconds(1), Tick{2});
  });
  sim_.RunFor(absl::Milliseconds(2));
  EXPECT_THAT(Numbers(), ElementsAre(2));
  // Another process than the one that armed it and gets it cancels it.
  Inside(other, [&](Context& self) {
    EXPECT_EQ(self.CancelTimer(fired), std::nullopt);
    EXPECT_EQ(self.CancelTimer(pending),
              absl::Minutes(1) - absl::Milliseconds(2));
    EXPECT_EQ(self.CancelTimer(pending), std::nullopt);
    // Without a report nothing is said, of an unknown one neither.
    const TimerRef silent = self.SendAfter(absl::Minutes(1), pid, Tick{3});
    self.CancelTimerAsync(silent, /*report=*/false);
    self.CancelTimerAsync(fired, /*report=*/false);
    EXPECT_EQ(self.ReadTimer(silent), std::nullopt);
  });
  sim_.RunFor(absl::Hours(1));
  EXPECT_THAT(Numbers(), ElementsAre(2));
  EXPECT_EQ(runtime().timer_count(), 0u);
}

TEST_F(OtpTimerTest, TMR04_WhatIsNoTimerIsRefused) {
  OTP_CASE("TMR.04", "T1 T2 T7");
  const Pid pid = StartRecorder();
  const auto reason = [](const absl::StatusOr<TimerRef>& armed) {
    return ReasonOf(armed.status());
  };
  const auto negative =
      runtime().StartTimer(absl::Milliseconds(-4), pid, Tick{1});
  EXPECT_EQ(negative.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(reason(negative), "BAD_TIME");
  EXPECT_EQ(
      reason(runtime().StartTimer(-absl::InfiniteDuration(), pid, Tick{1})),
      "BAD_TIME");
  Pid remote = pid;
  remote.node = "b";
  const auto elsewhere =
      runtime().StartTimer(absl::Seconds(1), remote, Tick{1});
  EXPECT_EQ(elsewhere.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(reason(elsewhere), "REMOTE_TARGET");
  EXPECT_EQ(reason(runtime().StartTimer(absl::Seconds(1),
                                        ServerRef::Local("x", "b"), Tick{1})),
            "REMOTE_TARGET");
  EXPECT_EQ(reason(runtime().StartTimerAt(sim_.Now(), Pid(), Tick{1})),
            "BAD_TARGET");
  // SendAfter has no Status: it says so in the log and names no timer.
  EXPECT_EQ(runtime().SendAfter(absl::Seconds(1), remote, Tick{1}), TimerRef());
  EXPECT_EQ(sim_.log().Count(LogLevel::kWarning, "of another node"), 1u);
  EXPECT_EQ(runtime().timer_count(), 0u);
  // An earlier incarnation of this node: lost, as the process is (T8).
  Pid earlier = pid;
  earlier.epoch.revision -= 1;
  EXPECT_TRUE(runtime().StartTimer(absl::Seconds(1), earlier, Tick{1}).ok());
  EXPECT_EQ(runtime().timer_count(), 0u);
  // Muster: a negative delay of SendAfter is 0, a huge or an infinite one is
  // one that never comes.
  runtime().SendAfter(absl::Milliseconds(-4), pid, Tick{2});
  sim_.RunReady();
  EXPECT_THAT(Numbers(), ElementsAre(2));
  const TimerRef never =
      runtime().StartTimer(absl::InfiniteDuration(), pid, Tick{3}).value();
  sim_.RunFor(absl::Hours(24 * 365));
  EXPECT_THAT(Numbers(), ElementsAre(2));
  EXPECT_EQ(runtime().ReadTimer(never), absl::InfiniteDuration());
  EXPECT_EQ(runtime().CancelTimer(never), absl::InfiniteDuration());
  EXPECT_EQ(runtime().CancelTimer(TimerRef{never.id + 1}), std::nullopt);
}

TEST_F(OtpTimerTest, TMR05_ReadAgreesWithCancelAndAnswersByMessage) {
  OTP_CASE("TMR.05", "T4");
  const Pid pid = StartRecorder();
  const TimerRef ref = runtime().SendAfter(absl::Seconds(3), pid, Tick{1});
  sim_.RunFor(absl::Milliseconds(1250));
  EXPECT_EQ(runtime().ReadTimer(ref), absl::Milliseconds(1750));
  Inside(pid, [&](Context& self) {
    EXPECT_EQ(self.ReadTimer(ref), absl::Milliseconds(1750));
    self.ReadTimerAsync(ref);
    self.CancelTimerAsync(ref);
    self.ReadTimerAsync(ref);
    self.CancelTimerAsync(ref);
  });
  sim_.RunFor(absl::Seconds(10));
  ASSERT_EQ(received_.size(), 4u);
  for (const Received& got : received_) EXPECT_EQ(got.ref, ref);
  EXPECT_EQ(received_[0].kind, Received::Kind::kRead);
  EXPECT_EQ(received_[0].left, absl::Milliseconds(1750));
  EXPECT_EQ(received_[1].kind, Received::Kind::kCancelled);
  EXPECT_EQ(received_[1].left, absl::Milliseconds(1750));
  EXPECT_EQ(received_[2].kind, Received::Kind::kRead);
  EXPECT_EQ(received_[2].left, std::nullopt);
  EXPECT_EQ(received_[3].kind, Received::Kind::kCancelled);
  EXPECT_EQ(received_[3].left, std::nullopt);
}

TEST_F(OtpTimerTest, TMR06_NothingIsLeftOfATimerHoweverItEnds) {
  OTP_CASE("TMR.06", "T5 T8");
  // Says when the last copy of an info is gone.
  auto alive = std::make_shared<int>(0);
  struct Holds {
    std::shared_ptr<int> alive;
  };
  const Pid pid = StartRecorder();
  const Pid dead = StartRecorder();
  sim_.Stop(dead);
  // To the dead, by a timer that came too late.
  runtime().SendAfter(absl::Seconds(1), dead, Holds{alive});
  EXPECT_EQ(runtime().timer_count(), 0u);
  EXPECT_EQ(alive.use_count(), 1);
  // Cancelled.
  runtime().CancelTimer(
      runtime().SendAfter(absl::Seconds(1), pid, Holds{alive}));
  EXPECT_EQ(runtime().timer_count(), 0u);
  EXPECT_EQ(alive.use_count(), 1);
  // Its process dies early.
  runtime().SendAfter(absl::Hours(1), pid, Holds{alive});
  runtime().SendAfter(absl::Hours(2), pid, Holds{alive});
  EXPECT_EQ(runtime().timer_count(), 2u);
  sim_.Stop(pid);
  EXPECT_EQ(runtime().timer_count(), 0u);
  EXPECT_EQ(alive.use_count(), 1);
  // Fired, to a name that nobody has: it outlives every process.
  runtime().SendAfter(absl::Seconds(1), ServerRef::Local("nobody"),
                      Holds{alive});
  EXPECT_EQ(runtime().timer_count(), 1u);
  sim_.RunFor(absl::Seconds(2));
  EXPECT_EQ(runtime().timer_count(), 0u);
  EXPECT_EQ(alive.use_count(), 1);
  EXPECT_THAT(received_, IsEmpty());
}

TEST_F(OtpTimerTest, TMR06_ATimerOfADeadProcessDoesNotReachItsSuccessor) {
  OTP_CASE("TMR.06", "T5 T8");
  StartOptions local;
  local.name = "clock";
  const auto start = [&] {
    Script script;
    script.info = [this](Info info, Context& self) {
      received_.push_back({.kind = Received::Kind::kTick,
                           .number = info.As<Tick>()->number,
                           .at = self.Now()});
      return Next();
    };
    return sim_.Start(ScriptServer::Make(std::move(script)), Payload(), local)
        .value();
  };
  const Pid first = start();
  runtime().SendAfter(absl::Seconds(1), first, Tick{1});
  runtime().SendAfter(absl::Seconds(1), ServerRef::Local("clock"), Tick{2});
  sim_.Stop(first);
  start();
  sim_.RunFor(absl::Seconds(5));
  // Only the one that was addressed to the name.
  EXPECT_THAT(Numbers(), ElementsAre(2));
}

TEST_F(OtpTimerTest, TMR07_TimersWithBigPayloadsAllArriveIntact) {
  OTP_CASE("TMR.07", "T1");
  const Pid pid = StartRecorder();
  const Pid busy = StartRecorder();
  const auto payload = [](int i) {
    return std::string(10'000 + 17 * i, static_cast<char>('a' + i % 26));
  };
  for (int i = 0; i < 200; ++i) {
    runtime().SendAfter(absl::Milliseconds(i * 37 % 50), pid, Text{payload(i)});
    runtime().SendAfter(absl::Milliseconds(i % 50), busy, Tick{i});
  }
  sim_.RunFor(absl::Seconds(1));
  std::vector<std::string> texts;
  int ticks = 0;
  for (Received& got : received_) {
    if (got.kind == Received::Kind::kText) texts.push_back(got.text);
    if (got.kind == Received::Kind::kTick) ++ticks;
  }
  EXPECT_EQ(ticks, 200);
  std::vector<std::string> expected;
  for (int i = 0; i < 200; ++i) expected.push_back(payload(i));
  EXPECT_THAT(texts, ::testing::UnorderedElementsAreArray(expected));
}

TEST_F(OtpTimerTest, TMR08_ANameIsResolvedWhenTheTimerExpires) {
  OTP_CASE("TMR.08", "T2");
  const ServerRef later = ServerRef::Local("later");
  const ServerRef gone = ServerRef::Local("gone");
  StartOptions options;
  options.name = "gone";
  const Pid leaving =
      sim_.Start(ScriptServer::Make(), Payload(), options).value();
  runtime().SendAfter(absl::Seconds(1), later, Tick{1});
  runtime().SendAfter(absl::Seconds(1), gone, Tick{2});
  sim_.Stop(leaving);
  Script script;
  script.info = [this](Info info, Context&) {
    received_.push_back(
        {.kind = Received::Kind::kTick, .number = info.As<Tick>()->number});
    return Next();
  };
  options.name = "later";
  ASSERT_TRUE(
      sim_.Start(ScriptServer::Make(std::move(script)), Payload(), options)
          .ok());
  sim_.RunFor(absl::Seconds(2));
  EXPECT_THAT(Numbers(), ElementsAre(1));
}

TEST_F(OtpTimerTest, TMR09_ManyTimersOfOneInstantEachEndOnce) {
  OTP_CASE("TMR.09", "T3 T6");
  constexpr int kTimers = 20'000;
  RuntimeOptions roomy = TestRuntimeOptions();
  roomy.mailbox_messages_max = kTimers;
  SimRuntime sim(SimRuntimeOptions{.runtime = roomy});
  std::vector<int> fired(kTimers, 0);
  Script script;
  script.info = [&](Info info, Context&) {
    ++fired[info.As<Tick>()->number];
    return Next();
  };
  const Pid owner = sim.Start(ScriptServer::Make(std::move(script))).value();
  std::vector<TimerRef> refs;
  const BootTime due = sim.Now() + absl::Seconds(1);
  for (int i = 0; i < kTimers; ++i) {
    refs.push_back(sim.runtime().SendAt(due, owner, Tick{i}));
  }
  // A third before they are due, another while they are firing.
  std::vector<int> cancelled(kTimers, 0);
  for (int i = 0; i < kTimers; i += 3) {
    cancelled[i] = sim.runtime().CancelTimer(refs[i]).has_value();
    EXPECT_EQ(cancelled[i], 1);
  }
  EXPECT_TRUE(
      sim.RunUntil([&] { return sim.runtime().timer_count() < kTimers / 2; }));
  for (int i = 1; i < kTimers; i += 3) {
    cancelled[i] = sim.runtime().CancelTimer(refs[i]).has_value();
  }
  sim.RunFor(absl::Seconds(1));
  EXPECT_EQ(sim.runtime().timer_count(), 0u);
  int late = 0;
  for (int i = 0; i < kTimers; ++i) {
    ASSERT_EQ(fired[i] + cancelled[i], 1) << i;
    if (i % 3 == 1) late += cancelled[i];
  }
  EXPECT_GT(late, 0);
  EXPECT_LT(late, kTimers / 3);
}

TEST(OtpTimerThreadTest, TMR09_CancelsFromManyThreadsRaceWithExpiry) {
  OTP_CASE("TMR.09", "T3");
  constexpr int kTimers = 4'000;
  RuntimeOptions roomy = TestRuntimeOptions();
  roomy.mailbox_messages_max = kTimers + 1;
  // Declared before the node, whose process uses them to its end.
  std::vector<std::atomic<int>> ended(kTimers);
  std::latch all(kTimers);
  ThreadRuntime node(3, roomy);
  const auto end = [&](int i) {
    ++ended[i];
    all.count_down();
  };
  Script script;
  script.info = [&](Info info, Context&) {
    end(info.As<Tick>()->number);
    return Next();
  };
  const Pid owner = node.Start(ScriptServer::Make(std::move(script))).value();
  std::vector<TimerRef> refs;
  const BootTime due = node.runtime().clock().Boot() + absl::Milliseconds(20);
  for (int i = 0; i < kTimers; ++i) {
    refs.push_back(node.runtime().SendAt(due, owner, Tick{i}));
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      // Two of them try the same timers.
      for (int i = t / 2; i < kTimers; i += 2) {
        if (node.runtime().CancelTimer(refs[i]).has_value()) end(i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  all.wait();
  for (int i = 0; i < kTimers; ++i) ASSERT_EQ(ended[i], 1) << i;
  EXPECT_EQ(node.runtime().timer_count(), 0u);
}

TEST(OtpTimerThreadTest, TMR10_ManyTimersOfADyingProcessAreDropped) {
  OTP_CASE("TMR.10", "T5");
  constexpr int kTimers = 50'000;
  ThreadRuntime node(2);
  const Pid owner = node.Start(ScriptServer::Make()).value();
  const Pid other = node.Start(ScriptServer::Make()).value();
  const BootTime due = node.runtime().clock().Boot() + absl::Hours(1);
  for (int i = 0; i < kTimers; ++i) {
    node.runtime().SendAt(due, owner, Tick{i});
  }
  const TimerRef others = node.runtime().SendAt(due, other, Tick{0});
  EXPECT_EQ(node.runtime().timer_count(), size_t{kTimers} + 1);
  node.runtime().SendExit(Pid(), owner, ExitReason::Kill());
  // The machine goes on meanwhile.
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(
        node.Call<Int64>(ServerRef(other), kScriptCall, MakeInt64(i)).ok());
  }
  node.AwaitExit(owner);
  while (node.runtime().timer_count() > 1) std::this_thread::yield();
  EXPECT_TRUE(node.runtime().CancelTimer(others).has_value());
  EXPECT_EQ(node.runtime().timer_count(), 0u);
}

TEST(OtpTimerThreadTest, TMR11_TimersFireThoughTheirThreadsAreBusyOrGone) {
  OTP_CASE("TMR.11", "T1");
  constexpr int kWorkers = 3;
  constexpr int kEach = 20;
  std::latch begun(kWorkers - 1);
  std::latch release(1);
  std::latch fired(kEach * (kWorkers + 1));
  Script timed;
  timed.info = [&](Info, Context&) {
    fired.count_down();
    return Next();
  };
  ThreadRuntime node(kWorkers);
  const Pid target = node.Start(ScriptServer::Make(std::move(timed))).value();
  const auto arm = [&] {
    for (int i = 0; i < kEach; ++i) {
      node.runtime().SendAfter(absl::Milliseconds(i), target, Tick{i});
    }
  };
  // All workers but one arm timers and are then kept busy.
  for (int i = 0; i < kWorkers - 1; ++i) {
    node.runtime().scheduler().Post([&] {
      arm();
      begun.count_down();
      release.wait();
    });
  }
  begun.wait();
  node.runtime().scheduler().Post(arm);
  // A thread that is gone when they expire.
  std::thread gone(arm);
  gone.join();
  fired.wait();
  release.count_down();
}

TEST_F(OtpTimerTest, TMR12_AChainOfZeroTimersDoesNotHoldUpOthers) {
  OTP_CASE("TMR.12", "T1 T6");
  const Pid pid = StartRecorder();
  const BootTime begun = sim_.Now();
  // Each zero timer sets two more until there have been many.
  Script script;
  int zeros = 0;
  bool done = false;
  script.info = [&](Info, Context& self) {
    ++zeros;
    if (!done && zeros < 30'000) {
      self.SendAfter(absl::ZeroDuration(), Tick{0});
      if (zeros % 2 == 0) self.SendAfter(absl::Nanoseconds(1), Tick{0});
    }
    return Next();
  };
  const Pid chain = sim_.Start(ScriptServer::Make(std::move(script))).value();
  runtime().SendAfter(absl::ZeroDuration(), chain, Tick{0});
  runtime().SendAfter(absl::Milliseconds(500), pid, Tick{500});
  sim_.RunFor(absl::Milliseconds(1500));
  ASSERT_THAT(Numbers(), ElementsAre(500));
  EXPECT_EQ(received_[0].at - begun, absl::Milliseconds(500));
  EXPECT_GE(zeros, 30'000);
  done = true;
}

TEST(OtpTimerThreadTest, TMR12_AnEndlessChainOfZeroTimersLeavesTimeForOthers) {
  OTP_CASE("TMR.12", "T1");
  std::atomic<bool> stop = false;
  std::latch fired(1);
  std::latch ended(1);
  Script chain;
  chain.info = [&](Info, Context& self) {
    if (stop) {
      ended.count_down();
    } else {
      self.SendAfter(absl::ZeroDuration(), Tick{0});
    }
    return Next();
  };
  Script other;
  other.info = [&](Info, Context&) {
    fired.count_down();
    return Next();
  };
  ThreadRuntime node(1);
  const Pid zero = node.Start(ScriptServer::Make(std::move(chain))).value();
  const Pid target = node.Start(ScriptServer::Make(std::move(other))).value();
  node.runtime().SendAfter(absl::ZeroDuration(), zero, Tick{0});
  node.runtime().SendAfter(absl::Milliseconds(5), target, Tick{1});
  fired.wait();
  stop = true;
  ended.wait();
}

TEST_F(OtpTimerTest, EPR02_HugeTimesWork) {
  OTP_CASE("EPR.02", "T7");
  const Pid pid = StartRecorder();
  const BootTime begun = sim_.Now();
  const absl::Duration two31 = absl::Milliseconds(int64_t{1} << 31);
  const absl::Duration two32 = absl::Milliseconds(int64_t{1} << 32);
  const absl::Duration two33 = absl::Milliseconds(int64_t{1} << 33);
  const TimerRef ref = runtime().SendAfter(two33, pid, Tick{33});
  runtime().SendAfter(two31, pid, Tick{31});
  // A sleep of 2^32 ms: the process waits and nothing fails.
  bool woke = false;
  Script sleeper;
  sleeper.cast = [&](int64_t, Context& self) -> Next {
    co_await self.Sleep(two32);
    woke = true;
    co_return Next();
  };
  const Pid sleeping =
      sim_.Start(ScriptServer::Make(std::move(sleeper))).value();
  ASSERT_TRUE(sim_.Cast(ServerRef(sleeping), kScriptCast, MakeInt64(0)).ok());
  sim_.RunFor(two31);
  ASSERT_THAT(Numbers(), ElementsAre(31));
  EXPECT_EQ(received_[0].at - begun, two31);
  EXPECT_EQ(runtime().ReadTimer(ref), two33 - two31);
  EXPECT_FALSE(woke);
  sim_.RunFor(two31);
  EXPECT_TRUE(woke);
  sim_.RunFor(two33);
  ASSERT_THAT(Numbers(), ElementsAre(31, 33));
  EXPECT_EQ(received_[1].at - begun, two33);
}

TEST_F(OtpTimerTest, EPR05_SendAfterSendsOnceTheTimeHasPassed) {
  OTP_CASE("EPR.05", "T1");
  const Pid pid = StartRecorder();
  const BootTime begun = sim_.Now();
  Inside(pid, [](Context& self) {
    self.SendAfter(absl::Milliseconds(10), Tick{1});
  });
  sim_.RunFor(absl::Milliseconds(9));
  EXPECT_THAT(received_, IsEmpty());
  sim_.RunFor(absl::Milliseconds(1));
  ASSERT_THAT(Numbers(), ElementsAre(1));
  EXPECT_EQ(received_[0].at - begun, absl::Milliseconds(10));
}

TEST_F(OtpTimerTest, EPR06_ATimersRefCanBeReadAndCancelled) {
  OTP_CASE("EPR.06", "T3 T4");
  const Pid pid = StartRecorder();
  const TimerRef pending =
      runtime().SendAfter(absl::Seconds(100), pid, Tick{1});
  EXPECT_EQ(runtime().ReadTimer(pending), absl::Seconds(100));
  EXPECT_EQ(runtime().CancelTimer(pending), absl::Seconds(100));
  const TimerRef fired =
      runtime().SendAfter(absl::ZeroDuration(), pid, Tick{2});
  sim_.RunReady();
  EXPECT_THAT(Numbers(), ElementsAre(2));
  EXPECT_EQ(runtime().ReadTimer(fired), std::nullopt);
  EXPECT_EQ(runtime().CancelTimer(fired), std::nullopt);
  // The answer of the asynchronous cancel comes as a message.
  const TimerRef other = runtime().SendAfter(absl::Seconds(50), pid, Tick{3});
  Inside(pid, [&](Context& self) { self.CancelTimerAsync(other); });
  sim_.RunFor(absl::Minutes(5));
  ASSERT_EQ(received_.size(), 2u);
  EXPECT_EQ(received_[1].kind, Received::Kind::kCancelled);
  EXPECT_EQ(received_[1].ref, other);
  EXPECT_EQ(received_[1].left, absl::Seconds(50));
}

TEST(OtpTimerThreadTest, AStalledHandlerIsNamedWithItsMethod) {
  std::latch release(1);
  std::latch begun(1);
  Mutex mu;
  CondVar changed;
  std::string seen;
  SystemClock clock;
  SystemRandom random;
  CaptureLogger log;
  Fence fence;
  ThreadSchedulerOptions options;
  options.workers = 1;
  options.stall_after = absl::Milliseconds(2);
  options.on_stall = [&](const Stall& stall) {
    MutexLock lock(&mu);
    seen = stall.activity;
    changed.SignalAll();
  };
  Script script;
  script.cast = [&](int64_t, Context&) {
    begun.count_down();
    release.wait();
    return Next();
  };
  ThreadScheduler scheduler(&clock, std::move(options));
  {
    Runtime runtime(TestRuntimeOptions(), &scheduler, &random, &log, &fence);
    StartOptions start;
    start.name = "slow";
    const Pid pid = Start(runtime, ScriptServer::Make(std::move(script)),
                          Payload(), std::move(start))
                        .Wait()
                        .value();
    RuntimeCaller caller(&runtime);
    EXPECT_TRUE(ScriptCast(caller, ServerRef(pid), 1).Wait().ok());
    begun.wait();
    {
      MutexLock lock(&mu);
      while (seen.empty()) changed.Wait(&mu);
      EXPECT_THAT(seen, ::testing::StartsWith("slow (a~"));
      EXPECT_THAT(seen, ::testing::EndsWith(" in Cast"));
    }
    release.count_down();
    scheduler.Stop();
  }
}

}  // namespace
}  // namespace muster
