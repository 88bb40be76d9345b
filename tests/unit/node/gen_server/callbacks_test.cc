// What callbacks may answer: continue, inactivity timeout, timers, infos
// (otp 3.2 to 3.5, 6).
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "google/protobuf/wrappers.pb.h"
#include "gtest/gtest.h"
#include "node/process/runtime.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Tick {
  int number = 0;
};

class CallbacksTest : public ::testing::Test {
 protected:
  // Notes what it handles, with the seconds since the test began.
  Script Noting() {
    start_ = sim_.Now();
    Script script;
    script.call = [this](int64_t value, Context&) -> Reply<Int64> {
      Note(absl::StrCat("call ", value));
      return MakeInt64(value);
    };
    script.cast = [this](int64_t value, Context&) -> Next {
      Note(absl::StrCat("cast ", value));
      return NoReply();
    };
    script.info = [this](Info info, Context&) -> Next {
      const Tick* tick = info.As<Tick>();
      Note(absl::StrCat("info ", tick == nullptr ? -1 : tick->number));
      return NoReply();
    };
    script.timeout = [this](Context&) -> Next {
      Note("timeout");
      return NoReply();
    };
    script.on_continue = [this](Info info, Context&) -> Next {
      Note(absl::StrCat("continue ", info.As<Tick>()->number));
      return NoReply();
    };
    script.terminate = [this](const ExitReason& reason, Context&) -> Next {
      Note(absl::StrCat("terminate ", reason.ToString()));
      return NoReply();
    };
    return script;
  }
  void Note(const std::string& what) {
    seen_.push_back(
        absl::StrCat(what, " @", absl::ToInt64Seconds(sim_.Now() - start_)));
  }
  Pid Start(Script script) {
    return *sim_.Start(ScriptServer::Make(std::move(script)));
  }
  void Cast(const Pid& pid, int64_t value) {
    ScriptCast(sim_.caller(), pid, value);
  }

  SimRuntime sim_;
  BootTime start_;
  std::vector<std::string> seen_;
};

// -- Infos --------------------------------------------------------------------

TEST_F(CallbacksTest, InfosAreMessagesOrValues) {  // design D1
  Script script;
  script.info = [&](Info info, Context&) -> Next {
    if (const Int64* message = info.As<Int64>()) {
      Note(absl::StrCat("message ", message->value()));
    } else if (const Tick* tick = info.As<Tick>()) {
      Note(absl::StrCat("value ", tick->number));
    } else {
      Note(info.type());
    }
    return NoReply();
  };
  start_ = sim_.Now();
  const Pid pid = Start(script);
  sim_.runtime().Send(pid, Info(MakeInt64(1)));
  sim_.runtime().Send(pid, Info(Tick{2}));
  sim_.runtime().Send(pid, Info(google::protobuf::StringValue()));
  // As it comes from the wire.
  sim_.runtime().Send(pid,
                      Info(Payload::FromBytes(MakeInt64(3).SerializeAsString(),
                                              "google.protobuf.Int64Value")));
  sim_.RunReady();
  EXPECT_THAT(seen_,
              ElementsAre("message 1 @0", "value 2 @0",
                          "google.protobuf.StringValue @0", "message 3 @0"));
}

TEST_F(CallbacksTest, UnexpectedInfosAreLoggedAndDropped) {  // otp G7
  const Pid pid = Start(Script());
  sim_.runtime().Send(pid, Info(MakeInt64(1)));
  sim_.RunReady();
  EXPECT_TRUE(sim_.Alive(pid));
  EXPECT_EQ(sim_.log().Count(LogLevel::kWarning, "google.protobuf.Int64Value"),
            1u);
}

// -- continue -----------------------------------------------------------------

TEST_F(CallbacksTest, ContinueRunsBeforeQueuedMessages) {  // otp G11
  Script script = Noting();
  script.cast = [this](int64_t value, Context&) -> Next {
    Note(absl::StrCat("cast ", value));
    if (value == 1) return Continue(Info(Tick{7}));
    return NoReply();
  };
  const Pid pid = Start(script);
  Cast(pid, 1);
  Cast(pid, 2);
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("cast 1 @0", "continue 7 @0", "cast 2 @0"));
}

TEST_F(CallbacksTest, ContinueAfterInitComesAfterTheAcknowledgement) {  // G11
  Script script = Noting();
  script.init = [](Context&) -> InitResult {
    return Ok(Continue(Info(Tick{1})));
  };
  script.on_continue = [this](Info, Context& self) -> Next {
    co_await self.Sleep(absl::Seconds(5));
    Note("continued");
    co_return NoReply();
  };
  const Pid pid = Start(script);  // Does not wait for it.
  EXPECT_EQ(sim_.Now(), start_);
  Cast(pid, 1);
  sim_.RunFor(absl::Seconds(6));
  EXPECT_THAT(seen_, ElementsAre("continued @5", "cast 1 @5"));
}

TEST_F(CallbacksTest, TheReplyIsOutBeforeContinue) {  // otp G11, 3.2
  Script script = Noting();
  script.call = [](int64_t value, Context&) -> Reply<Int64> {
    return ReplyThen(MakeInt64(value), Continue(Info(Tick{1})));
  };
  script.on_continue = [this](Info, Context& self) -> Next {
    co_await self.Sleep(absl::Seconds(5));
    Note("continued");
    co_return NoReply();
  };
  const Pid pid = Start(script);
  EXPECT_TRUE(sim_.Call<Int64>(pid, kScriptCall, MakeInt64(1)).ok());
  EXPECT_THAT(seen_, IsEmpty());
  sim_.RunFor(absl::Seconds(6));
  EXPECT_THAT(seen_, ElementsAre("continued @5"));
}

TEST_F(CallbacksTest, ContinueChains) {  // otp G12
  Script script = Noting();
  script.init = [](Context&) -> InitResult {
    return Ok(Continue(Info(Tick{3})));
  };
  script.on_continue = [this](Info info, Context&) -> Next {
    const int left = info.As<Tick>()->number;
    Note(absl::StrCat("continue ", left));
    if (left == 0) return Stop(ExitReason::Shutdown());
    return Continue(Info(Tick{left - 1}));
  };
  const Pid pid = Start(script);
  Cast(pid, 1);
  sim_.RunReady();
  EXPECT_THAT(seen_,
              ElementsAre("continue 3 @0", "continue 2 @0", "continue 1 @0",
                          "continue 0 @0", "terminate shutdown @0"));
}

TEST_F(CallbacksTest, ContinueWithoutAHandlerIsABadReturn) {  // otp G7
  Script script;
  script.cast = [](int64_t, Context&) -> Next {
    return Continue(Info(Tick{1}));
  };
  const Pid pid = Start(script);
  std::optional<ExitReason> ended;
  sim_.runtime().ObserveExit(pid, [&](ExitReason r) { ended = std::move(r); });
  Cast(pid, 1);
  sim_.RunReady();
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->kind(), ExitReason::Kind::kBadReturnValue);
}

// -- Inactivity timeout -------------------------------------------------------

Script WithTimeout(Script script, absl::Duration first) {
  script.init = [first](Context&) -> InitResult { return Ok(Timeout(first)); };
  return script;
}

TEST_F(CallbacksTest, TheTimeoutFiresOnceAndDoesNotPersist) {  // otp G13, G15
  Start(WithTimeout(Noting(), absl::Seconds(3)));
  sim_.RunFor(absl::Seconds(60));
  EXPECT_THAT(seen_, ElementsAre("timeout @3"));
}

TEST_F(CallbacksTest, AnyMessageCancelsIt) {  // otp G14
  for (const std::string kind : {"call", "cast", "info"}) {
    seen_.clear();
    const Pid pid = Start(WithTimeout(Noting(), absl::Seconds(3)));
    sim_.RunFor(absl::Seconds(2));
    if (kind == "call") ScriptCall(sim_.caller(), pid, 1);
    if (kind == "cast") Cast(pid, 1);
    if (kind == "info") sim_.runtime().Send(pid, Info(Tick{1}));
    sim_.RunFor(absl::Seconds(60));
    EXPECT_THAT(seen_, ElementsAre(kind + " 1 @2"));
  }
}

TEST_F(CallbacksTest, EachResultMayArmItAnew) {  // otp G13
  Script script = Noting();
  script.call = [this](int64_t value, Context&) -> Reply<Int64> {
    Note(absl::StrCat("call ", value));
    return ReplyThen(MakeInt64(value), Timeout(absl::Seconds(10)));
  };
  script.timeout = [this](Context&) -> Next {
    Note("timeout");
    return seen_.size() < 5 ? Next(Timeout(absl::Seconds(1))) : Next();
  };
  const Pid pid = Start(script);
  for (int i = 0; i < 2; ++i) {
    ScriptCall(sim_.caller(), pid, i);
    sim_.RunFor(absl::Seconds(6));
  }
  sim_.RunFor(absl::Seconds(60));
  EXPECT_THAT(seen_, ElementsAre("call 0 @0", "call 1 @6", "timeout @16",
                                 "timeout @17", "timeout @18"));
}

TEST_F(CallbacksTest, ZeroFiresOnlyWithAnEmptyMailbox) {  // otp G14
  Script script = Noting();
  script.cast = [this](int64_t value, Context&) -> Next {
    Note(absl::StrCat("cast ", value));
    return Timeout(absl::ZeroDuration());
  };
  const Pid pid = Start(script);
  Cast(pid, 1);
  Cast(pid, 2);
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("cast 1 @0", "cast 2 @0", "timeout @0"));
}

TEST_F(CallbacksTest, AWaitingHandlerIsNoInactivity) {  // otp G14
  Script script = Noting();
  script.cast = [this](int64_t value, Context& self) -> Next {
    if (value == 2) co_await self.Sleep(absl::Seconds(10));
    Note(absl::StrCat("cast ", value));
    co_return Timeout(absl::Seconds(3));
  };
  const Pid pid = Start(script);
  Cast(pid, 1);
  sim_.RunFor(absl::Seconds(2));
  Cast(pid, 2);
  sim_.RunFor(absl::Seconds(20));
  EXPECT_THAT(seen_, ElementsAre("cast 1 @0", "cast 2 @12", "timeout @15"));
}

TEST_F(CallbacksTest, ANegativeTimeoutIsABadReturn) {  // otp G16
  Script script = Noting();
  script.call = [](int64_t, Context&) -> Reply<Int64> {
    return ReplyThen(MakeInt64(1), Timeout(-absl::Seconds(1)));
  };
  const Pid pid = Start(script);
  EXPECT_TRUE(sim_.Call<Int64>(pid, kScriptCall, MakeInt64(1)).ok());
  sim_.RunReady();
  EXPECT_FALSE(sim_.Alive(pid));
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_TRUE(absl::StrContains(seen_[0], "bad_return_value")) << seen_[0];
}

TEST_F(CallbacksTest, HibernateIsInvisible) {  // otp G17
  Script script = Noting();
  script.cast = [this](int64_t value, Context&) -> Next {
    Note(absl::StrCat("cast ", value));
    return NoReply(Hibernate());
  };
  const Pid pid = Start(script);
  Cast(pid, 1);
  Cast(pid, 2);
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("cast 1 @0", "cast 2 @0"));
}

// -- Timers -------------------------------------------------------------------

// A server that runs what it is sent.
using Job = std::function<void(Context&)>;

class TimerTest : public CallbacksTest {
 protected:
  TimerTest() {
    Script script = Noting();
    auto note = script.info;
    script.info = [note](Info info, Context& self) -> Next {
      if (const Job* job = info.As<Job>()) {
        (*job)(self);
        return NoReply();
      }
      return note(std::move(info), self);
    };
    pid_ = Start(script);
  }
  void In(Job job) {
    sim_.runtime().Send(pid_, Info(std::move(job)));
    sim_.RunReady();
  }
  Pid pid_;
};

TEST_F(TimerTest, SendAfterIsNeverEarly) {  // otp T1
  for (const int64_t ms : {0, 1, 999, 1000, 1001}) {
    seen_.clear();
    In([ms](Context& self) {
      self.SendAfter(absl::Milliseconds(ms), Info(Tick{1}));
    });
    if (ms > 0) {
      EXPECT_THAT(seen_, IsEmpty());
      sim_.RunFor(absl::Milliseconds(ms) - absl::Nanoseconds(1));
      EXPECT_THAT(seen_, IsEmpty());
      sim_.RunFor(absl::Nanoseconds(1));
    }
    EXPECT_EQ(seen_.size(), 1u) << ms;
  }
}

TEST_F(TimerTest, NegativeIsNowAndHugeWorks) {  // otp T1, T7
  In([](Context& self) {
    self.SendAfter(-absl::Seconds(5), Info(Tick{1}));
    self.SendAfter(absl::Hours(24 * 365 * 200), Info(Tick{2}));
    self.SendAfter(absl::InfiniteDuration(), Info(Tick{3}));
  });
  EXPECT_THAT(seen_, ElementsAre("info 1 @0"));
  sim_.RunFor(absl::Hours(24 * 365));
  EXPECT_EQ(seen_.size(), 1u);
}

TEST_F(TimerTest, TimersFireInTimeOrder) {  // otp T6
  In([](Context& self) {
    self.SendAfter(absl::Seconds(3), Info(Tick{3}));
    self.SendAfter(absl::Seconds(1), Info(Tick{1}));
    self.SendAfter(absl::Seconds(2), Info(Tick{2}));
  });
  sim_.RunFor(absl::Seconds(5));
  EXPECT_THAT(seen_, ElementsAre("info 1 @1", "info 2 @2", "info 3 @3"));
}

TEST_F(TimerTest, CancelTellsWhatWasLeft) {  // otp T3
  TimerRef timer;
  std::vector<std::optional<absl::Duration>> left;
  In([&](Context& self) {
    timer = self.SendAfter(absl::Seconds(5), Info(Tick{1}));
  });
  sim_.RunFor(absl::Seconds(2));
  In([&](Context& self) {
    left.push_back(self.CancelTimer(timer));
    left.push_back(self.CancelTimer(timer));
    left.push_back(self.CancelTimer(TimerRef{9999}));
  });
  sim_.RunFor(absl::Seconds(10));
  EXPECT_THAT(left, ElementsAre(absl::Seconds(3), std::nullopt, std::nullopt));
  EXPECT_THAT(seen_, IsEmpty());
  In([&](Context& self) {
    timer = self.SendAfter(absl::Seconds(1), Info(Tick{2}));
  });
  sim_.RunFor(absl::Seconds(2));
  EXPECT_EQ(sim_.runtime().CancelTimer(timer), std::nullopt);
}

TEST_F(TimerTest, ATimerDiesWithItsProcess) {  // otp T5, T8
  TimerRef timer;
  In([&](Context& self) {
    timer = self.SendAfter(absl::Seconds(5), Info(Tick{1}));
  });
  sim_.Stop(pid_);
  EXPECT_EQ(sim_.runtime().CancelTimer(timer), std::nullopt);
  sim_.RunFor(absl::Seconds(10));
  // And one for the dead is lost.
  sim_.runtime().SendAfter(absl::Seconds(1), pid_, Info(Tick{1}));
  sim_.RunFor(absl::Seconds(10));
  EXPECT_THAT(seen_, IsEmpty());
}

TEST_F(TimerTest, ANameIsResolvedAtExpiry) {  // otp T2, T5
  In([](Context& self) {
    self.SendAfter(absl::Seconds(1), ServerRef::Local("later"), Info(Tick{1}));
    self.SendAfter(absl::Seconds(3), ServerRef::Local("later"), Info(Tick{2}));
  });
  sim_.Stop(pid_);  // Timers are not tied to their creator.
  sim_.RunFor(absl::Seconds(2));
  ASSERT_TRUE(sim_.Start(ScriptServer::Make(Noting()), "later").ok());
  sim_.RunFor(absl::Seconds(2));
  EXPECT_THAT(seen_, ElementsAre("info 2 @1"));  // Noting() began anew at 2 s.
}

}  // namespace
}  // namespace muster
