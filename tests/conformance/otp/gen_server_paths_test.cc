// The same GenServer cases over every path (otp 3, 4.1 to 4.3).
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/conformance/otp/expect.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/paths.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

CallOptions Within(absl::Duration timeout) {
  CallOptions options;
  options.timeout = timeout;
  return options;
}

class GenServerPathsTest : public ::testing::TestWithParam<Path> {
 protected:
  GenServerPathsTest() : world_(PathWorld::Make(GetParam())) {}

  bool Applies(Case what) const {
    return ExpectedOf(what, GetParam()).kind != Expected::Kind::kNotApplicable;
  }
  // `status` is what the table says.
  static ::testing::AssertionResult Is(Case what, const absl::Status& status) {
    const Expected expected = ExpectedOf(what, GetParam());
    if (expected.kind == Expected::Kind::kOk) {
      if (status.ok()) return ::testing::AssertionSuccess();
      return ::testing::AssertionFailure() << "wanted OK, got " << status;
    }
    Outcome outcome = expected.outcome;
    if (outcome == Outcome::kUnspecified) {
      outcome = OutcomeOf(status) == Outcome::kNotExecuted
                    ? Outcome::kNotExecuted
                    : Outcome::kUnknown;
    }
    return IsError(status, expected.code, expected.reason, outcome);
  }
  // Stops in every way, by the call's value.
  Script Stops() {
    Script script;
    script.call = [this](int64_t how, Context&) -> Reply<Int64> {
      notes_.Add("call");
      switch (how) {
        case 0:
          return Stop(ExitReason::Normal());
        case 1:
          return Stop(ExitReason::Shutdown());
        case 2:
          return Stop(ExitReason::Shutdown("moved"));
        case 3:
          return Stop(ExitReason::Custom("own"));
        case 4:
          return Stop(ExitReason::Custom("answered"), MakeInt64(44));
        case 5:
          throw std::runtime_error("boom");
        default:
          return NoReply();
      }
    };
    script.terminate = [this](const ExitReason& reason, Context&) -> Next {
      notes_.Add(absl::StrCat("terminate ", reason.ToString()));
      return NoReply();
    };
    return script;
  }

  // Outlives the world, whose servers write into it.
  Notes notes_;
  Gate gate_;
  std::unique_ptr<PathWorld> world_;
};

INSTANTIATE_TEST_SUITE_P(Paths, GenServerPathsTest,
                         ::testing::ValuesIn(AllPaths()),
                         [](const ::testing::TestParamInfo<Path>& info) {
                           return PathName(info.param);
                         });

// -- Start, call, stop
// -----------------------------------------------------------

TEST_P(GenServerPathsTest, GS01_AServerAnswersUntilItEndsThenIsNobody) {
  OTP_CASE("GS.01", "C1 C4 C5 P8");
  EXPECT_TRUE(Is(Case::kNobody, world_->Call(1).status()));
  world_->StartServer(Script());
  for (int64_t value : {1, 2, 3}) {
    absl::StatusOr<Int64> got = world_->Call(value);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->value(), value);
  }
  EXPECT_EQ(world_->End(ExitReason::Shutdown()), ExitReason::Shutdown());
  EXPECT_TRUE(Is(Case::kNobody, world_->Call(1).status()));
}

TEST_P(GenServerPathsTest, GS01_ANewServerOfTheSameNamesIsFound) {
  OTP_CASE("GS.01", "H5 P5 P8");
  world_->StartServer(Script());
  EXPECT_TRUE(world_->Call(1).ok());
  EXPECT_EQ(world_->End(ExitReason::Kill()), ExitReason::Killed());
  Script second;
  second.call = [](int64_t value, Context&) -> Reply<Int64> {
    return MakeInt64(value + 100);
  };
  world_->StartServer(second);
  absl::StatusOr<Int64> got = world_->Call(1);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->value(), 101);
}

TEST_P(GenServerPathsTest, GS23_DeferredRepliesReachTheirCallersInAnyOrder) {
  OTP_CASE("GS.23 GS.24", "G8 C4");
  std::vector<From> waiting;  // Only the server touches it.
  Script script;
  script.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    waiting.push_back(self.from());
    notes_.Add(absl::StrCat("call ", value));
    return NoReply();
  };
  script.cast = [&](int64_t value, Context&) -> Next {
    waiting[value].Reply(MakeInt64(10 + value));
    // The second reply has no effect (otp G9).
    waiting[value].Reply(MakeInt64(99));
    return NoReply();
  };
  world_->StartServer(script);
  const Answer first = world_->BeginCall(0);
  world_->AwaitNotes(notes_, 1);
  const Answer second = world_->BeginCall(1);
  world_->AwaitNotes(notes_, 2);
  EXPECT_TRUE(world_->Cast(1).ok());
  absl::StatusOr<Int64> got = world_->Value(second);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->value(), 11);
  EXPECT_FALSE(first->ready());
  EXPECT_TRUE(world_->Cast(0).ok());
  got = world_->Value(first);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->value(), 10);
  EXPECT_THAT(notes_.list(), ElementsAre("call 0", "call 1"));
}

TEST_P(GenServerPathsTest, GS23_AnotherProcessMayReply) {
  OTP_CASE("GS.23", "G8");
  Script answering;
  answering.info = [](Info info, Context&) -> Next {
    if (const From* from = info.As<From>()) from->Reply(MakeInt64(7));
    return NoReply();
  };
  Script script;
  Pid other;
  script.call = [&](int64_t, Context& self) -> Reply<Int64> {
    self.Send(other, Info(self.from()));
    return NoReply();
  };
  const Pid server = world_->StartServer(script);
  // The right to answer is a C++ value, so it stays on the server's node.
  other = world_->server_runtime().Spawn(ScriptServer::Make(answering),
                                         Payload(), SpawnOptions(), nullptr);
  EXPECT_EQ(other.node, server.node);
  absl::StatusOr<Int64> got = world_->Call(1);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->value(), 7);
}

// -- Stops and crashes
// ------------------------------------------------------------

TEST_P(GenServerPathsTest, AStopWithoutReplyIsTheCallsFailure) {
  OTP_CASE("", "C5 C6 G19");
  const std::vector<ExitReason> reasons = {
      ExitReason::Normal(), ExitReason::Shutdown(),
      ExitReason::Shutdown("moved"), ExitReason::Custom("own")};
  for (size_t how = 0; how < reasons.size(); ++how) {
    world_->StartServer(Stops());
    const absl::Status status =
        world_->Call(static_cast<int64_t>(how)).status();
    EXPECT_TRUE(Is(Case::kExits, status));
    EXPECT_EQ(DetailOf(status, "exit_reason"), reasons[how].ToString());
    EXPECT_EQ(world_->AwaitEnd(), reasons[how]);
  }
  EXPECT_THAT(
      notes_.list(),
      ElementsAre("call", "terminate normal", "call", "terminate shutdown",
                  "call", absl::StrCat("terminate ", reasons[2].ToString()),
                  "call", absl::StrCat("terminate ", reasons[3].ToString())));
}

TEST_P(GenServerPathsTest, AStopWithReplyAnswersAfterTerminate) {
  OTP_CASE("", "G6 G19");
  world_->StartServer(Stops());
  absl::StatusOr<Int64> got = world_->Call(4);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->value(), 44);
  const ExitReason reason = ExitReason::Custom("answered");
  // Terminate had run when the reply came.
  EXPECT_THAT(
      notes_.list(),
      ElementsAre("call", absl::StrCat("terminate ", reason.ToString())));
  EXPECT_EQ(world_->AwaitEnd(), reason);
  EXPECT_TRUE(Is(Case::kNobody, world_->Call(1).status()));
}

TEST_P(GenServerPathsTest, AnExceptionIsTheServersEndAndTheCallsFailure) {
  OTP_CASE("", "C5 G19");
  world_->StartServer(Stops());
  const absl::Status status = world_->Call(5).status();
  EXPECT_TRUE(Is(Case::kExits, status));
  EXPECT_THAT(DetailOf(status, "exit_reason"), ::testing::HasSubstr("boom"));
  EXPECT_EQ(world_->AwaitEnd().kind(), ExitReason::Kind::kException);
}

TEST_P(GenServerPathsTest, GS46_AKilledServerFailsWhoeverWaitsForIt) {
  OTP_CASE("GS.46 GS.47", "C5 G20 P10");
  world_->StartServer(Stops());
  const Answer running = world_->BeginCall(-1);
  world_->AwaitNotes(notes_, 1);
  EXPECT_EQ(world_->End(ExitReason::Kill()), ExitReason::Killed());
  const absl::Status status = world_->Value(running).status();
  EXPECT_TRUE(Is(Case::kExits, status));
  EXPECT_EQ(DetailOf(status, "exit_reason"), "killed");
  EXPECT_THAT(notes_.list(), ElementsAre("call"));
  EXPECT_TRUE(Is(Case::kNobody, world_->Call(1).status()));
}

TEST_P(GenServerPathsTest, GS46_ACallThatWasQueuedWhenTheServerEndedDidNotRun) {
  OTP_CASE("GS.46", "C5");
  Script script;
  script.call = [this](int64_t value, Context&) -> Reply<Int64> {
    notes_.Add(absl::StrCat("call ", value));
    auto opened = gate_.Opened();
    co_await opened;
    co_return MakeInt64(value);
  };
  world_->StartServer(script);
  const Answer running = world_->BeginCall(1);
  world_->AwaitNotes(notes_, 1);
  const Answer queued = world_->BeginCall(2);
  world_->AwaitQueued(1);
  world_->End(ExitReason::Kill());
  EXPECT_TRUE(Is(Case::kExits, world_->Value(running).status()));
  EXPECT_TRUE(Is(Case::kExitsBefore, world_->Value(queued).status()));
  EXPECT_THAT(notes_.list(), ElementsAre("call 1"));
}

// -- Timeouts
// ------------------------------------------------------------------------

TEST_P(GenServerPathsTest, EGS07_ATimedOutCallGoesOnAndItsReplyIsLost) {
  OTP_CASE("EGS.07", "C5 C9 C10 G10");
  Script script;
  script.call = [this](int64_t value, Context&) -> Reply<Int64> {
    if (value == 1) {
      notes_.Add("began");
      auto opened = gate_.Opened();
      co_await opened;
      notes_.Add("ended");
    }
    co_return MakeInt64(value);
  };
  world_->StartServer(script);
  EXPECT_TRUE(world_->Call(0).ok());  // Connected.
  const Answer late = world_->BeginCall(1, Within(absl::Seconds(1)));
  world_->AwaitNotes(notes_, 1);
  EXPECT_TRUE(Is(Case::kTimeout, world_->Value(late).status()));
  gate_.Open();
  world_->AwaitNotes(notes_, 2);
  // The late reply is nobody's, least of all the next call's.
  absl::StatusOr<Int64> got = world_->Call(2);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->value(), 2);
}

TEST_P(GenServerPathsTest, EGS07_ACallThatExpiresInTheQueueIsDropped) {
  OTP_CASE("EGS.07", "C10");
  Script script;
  script.call = [this](int64_t value, Context&) -> Reply<Int64> {
    notes_.Add(absl::StrCat("call ", value));
    if (value == 1) {
      auto opened = gate_.Opened();
      co_await opened;
    }
    co_return MakeInt64(value);
  };
  world_->StartServer(script);
  const Answer first = world_->BeginCall(1, Within(absl::Minutes(1)));
  world_->AwaitNotes(notes_, 1);
  const Answer expires = world_->BeginCall(2, Within(absl::Seconds(1)));
  world_->AwaitQueued(1);
  const absl::Status status = world_->Value(expires).status();
  EXPECT_TRUE(Is(Case::kTimeoutQueued, status));
  gate_.Open();
  EXPECT_TRUE(world_->Value(first).ok());
  EXPECT_TRUE(world_->Call(3).ok());
  if (world_->virtual_time() || OutcomeOf(status) == Outcome::kNotExecuted) {
    EXPECT_THAT(notes_.list(), ElementsAre("call 1", "call 3"));
  } else {
    // Over gRPC the client's clock may be a little before the server's, which
    // then still began: the outcome is UNKNOWN.
    EXPECT_THAT(notes_.list(),
                ::testing::AnyOf(ElementsAre("call 1", "call 3"),
                                 ElementsAre("call 1", "call 2", "call 3")));
  }
}

TEST_P(GenServerPathsTest, EGS07_NoTimeAndNegativeTimeRunNothing) {
  OTP_CASE("EGS.07", "C3");
  Script script;
  script.call = [this](int64_t value, Context&) -> Reply<Int64> {
    notes_.Add("call");
    return MakeInt64(value);
  };
  world_->StartServer(script);
  EXPECT_TRUE(Is(Case::kNoTime,
                 world_->Call(1, Within(absl::ZeroDuration())).status()));
  EXPECT_TRUE(Is(Case::kNegativeTime,
                 world_->Call(1, Within(-absl::Seconds(1))).status()));
  EXPECT_TRUE(world_->Call(1, Within(absl::InfiniteDuration())).ok());
  EXPECT_THAT(notes_.list(), ElementsAre("call"));
}

TEST_P(GenServerPathsTest, EGS07_TheDefaultTimeoutIsFiveSeconds) {
  OTP_CASE("EGS.07", "C3");
  if (!world_->virtual_time()) GTEST_SKIP() << "needs virtual time";
  world_->StartServer(Stops());
  const Answer answer = world_->BeginCall(-1);
  world_->RunFor(absl::Milliseconds(4999));
  EXPECT_FALSE(answer->ready());
  world_->RunFor(absl::Milliseconds(1));
  ASSERT_TRUE(answer->ready());
  EXPECT_TRUE(Is(Case::kTimeout, world_->Value(answer).status()));
}

// -- Calls that would never end
// ---------------------------------------------------

TEST_P(GenServerPathsTest, EGS06_AServerThatCallsItselfIsToldSo) {
  OTP_CASE("EGS.06 GS.50", "C8");
  absl::Status inner;
  Script script;
  script.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    auto call = ScriptCall(self, world_->ref(), value,
                           Within(absl::InfiniteDuration()));
    absl::StatusOr<Int64> got = co_await call;
    inner = got.status();
    co_return MakeInt64(value);
  };
  world_->StartServer(script);
  ASSERT_TRUE(world_->Call(1).ok());
  EXPECT_TRUE(Is(Case::kCallingSelf, inner));
}

TEST_P(GenServerPathsTest, EGS06_ACallThatComesBackIsACycle) {
  OTP_CASE("EGS.06", "C8 C14");
  absl::Status inner;
  Script back;
  back.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    auto call = ScriptCall(self, world_->ref(), value);
    absl::StatusOr<Int64> got = co_await call;
    inner = got.status();
    co_return MakeInt64(value);
  };
  const Pid helper = world_->StartHelper(back);
  Script script;
  script.call = [helper](int64_t value, Context& self) -> Reply<Int64> {
    auto call = ScriptCall(self, helper, value);
    absl::StatusOr<Int64> got = co_await call;
    co_return got;
  };
  world_->StartServer(script);
  ASSERT_TRUE(world_->Call(1).ok());
  EXPECT_TRUE(Is(Case::kCycle, inner));
}

// -- What the server cannot take
// -----------------------------------------------------

TEST_P(GenServerPathsTest, AFullMailboxRefusesCallsAndCasts) {
  OTP_CASE("", "C15");
  Script script;
  script.call = [this](int64_t value, Context&) -> Reply<Int64> {
    notes_.Add("call");
    auto opened = gate_.Opened();
    co_await opened;
    co_return MakeInt64(value);
  };
  script.cast = [this](int64_t, Context&) -> Next {
    notes_.Add("cast");
    return NoReply();
  };
  script.info = [](Info, Context&) -> Next { return NoReply(); };
  world_->StartServer(script);
  const Answer running = world_->BeginCall(1, Within(absl::Minutes(1)));
  world_->AwaitNotes(notes_, 1);
  world_->FillMailbox();
  const absl::Status status = world_->Call(2).status();
  EXPECT_TRUE(Is(Case::kMailboxFull, status));
  EXPECT_GT(RetryDelayOf(status), absl::ZeroDuration());
  EXPECT_TRUE(Is(Case::kCastFull, world_->Cast(3)));
  gate_.Open();
  EXPECT_TRUE(world_->Value(running).ok());
  // The reply comes before what fills the mailbox has been worked off.
  absl::Status after = world_->Call(4).status();
  while (Is(Case::kMailboxFull, after)) after = world_->Call(4).status();
  EXPECT_TRUE(after.ok()) << after;
  EXPECT_THAT(notes_.list(), ElementsAre("call", "call"));
}

TEST_P(GenServerPathsTest, GS62_WhatNobodyHandlesLeavesTheServerAlone) {
  OTP_CASE("GS.62", "G7");
  const Pid server = world_->StartServer(Script());
  const auto status = [&](absl::string_view path, Payload request) {
    return world_
        ->Finish(world_->Begin(path, std::move(request), CallOptions()))
        .status;
  };
  EXPECT_TRUE(Is(Case::kUnknownMethod,
                 status("/test.v1.Script/Nothing", Payload::Of(MakeInt64(1)))));
  EXPECT_TRUE(Is(Case::kWrongService,
                 status("/test.v1.Other/Call", Payload::Of(MakeInt64(1)))));
  EXPECT_TRUE(Is(Case::kMalformed,
                 status(kScriptCall, Payload::FromBytes("\xff\xff"))));
  EXPECT_NE(world_->server_runtime().Find(server), nullptr);
  EXPECT_TRUE(world_->Call(1).ok());
}

TEST_P(GenServerPathsTest, AHandlersErrorIsTheCallersAndNoCrash) {
  OTP_CASE("", "C12");
  Script script;
  script.call = [](int64_t, Context&) -> Reply<Int64> {
    return absl::NotFoundError("no such cart");
  };
  const Pid server = world_->StartServer(script);
  const absl::Status status = world_->Call(1).status();
  EXPECT_TRUE(Is(Case::kHandlerError, status));
  EXPECT_EQ(status.message(), "no such cart");
  EXPECT_NE(world_->server_runtime().Find(server), nullptr);
}

// -- Casts and infos
// -----------------------------------------------------------------

TEST_P(GenServerPathsTest, GS34_CastsAreHandledInOrderBeforeALaterCall) {
  OTP_CASE("GS.34 EGS.05", "C15 C16 P1");
  Script script;
  script.call = [this](int64_t value, Context&) -> Reply<Int64> {
    notes_.Add(absl::StrCat("call ", value));
    return MakeInt64(value);
  };
  script.cast = [this](int64_t value, Context&) -> Next {
    notes_.Add(absl::StrCat("cast ", value));
    return NoReply();
  };
  world_->StartServer(script);
  std::vector<std::string> sent;
  for (int64_t i = 0; i < 20; ++i) {
    EXPECT_TRUE(world_->Cast(i).ok());
    sent.push_back(absl::StrCat("cast ", i));
  }
  EXPECT_TRUE(world_->Call(20).ok());
  sent.push_back("call 20");
  EXPECT_EQ(notes_.list(), sent);
}

TEST_P(GenServerPathsTest, GS34_ACastMayArmTheTimeoutAndStop) {
  OTP_CASE("GS.34", "G13 G15 G19");
  Script script;
  script.cast = [](int64_t value, Context&) -> Next {
    if (value == 0) return Timeout(absl::Milliseconds(20));
    return Stop(ExitReason::Custom("cast"));
  };
  script.timeout = [this](Context&) -> Next {
    notes_.Add("timeout");
    return NoReply();
  };
  script.terminate = [this](const ExitReason& reason, Context&) -> Next {
    notes_.Add(absl::StrCat("terminate ", reason.ToString()));
    return NoReply();
  };
  world_->StartServer(script);
  EXPECT_TRUE(world_->Cast(0).ok());
  world_->AwaitNotes(notes_, 1);
  EXPECT_TRUE(world_->Cast(1).ok());
  const ExitReason reason = ExitReason::Custom("cast");
  EXPECT_EQ(world_->AwaitEnd(), reason);
  EXPECT_THAT(
      notes_.list(),
      ElementsAre("timeout", absl::StrCat("terminate ", reason.ToString())));
}

TEST_P(GenServerPathsTest, EGS05_ACastToNobodyIsOkBetweenProcesses) {
  OTP_CASE("EGS.05", "C15");
  EXPECT_TRUE(Is(Case::kCastNobody, world_->Cast(1)));
  world_->StartServer(Script());
  world_->End(ExitReason::Shutdown());
  EXPECT_TRUE(Is(Case::kCastNobody, world_->Cast(1)));
}

TEST_P(GenServerPathsTest, GS36_InfosReachHandleInfoMayArmTheTimeoutAndStop) {
  OTP_CASE("GS.36", "G2 G13 G15 G19");
  if (IsGrpc(GetParam())) {
    GTEST_SKIP() << "a client outside sends no infos: it casts";
  }
  Script script;
  script.info = [this](Info info, Context&) -> Next {
    const Int64* value = info.As<Int64>();
    if (value == nullptr) return NoReply();
    notes_.Add(absl::StrCat("info ", value->value()));
    if (value->value() == 0) return Timeout(absl::Milliseconds(20));
    return Stop(ExitReason::Custom("info"));
  };
  script.timeout = [this](Context&) -> Next {
    notes_.Add("timeout");
    return NoReply();
  };
  script.terminate = [this](const ExitReason& reason, Context&) -> Next {
    notes_.Add(absl::StrCat("terminate ", reason.ToString()));
    return NoReply();
  };
  world_->StartServer(script);
  world_->SendInfo(Info(MakeInt64(0)));
  world_->AwaitNotes(notes_, 2);
  world_->SendInfo(Info(MakeInt64(1)));
  const ExitReason reason = ExitReason::Custom("info");
  EXPECT_EQ(world_->AwaitEnd(), reason);
  EXPECT_THAT(notes_.list(),
              ElementsAre("info 0", "timeout", "info 1",
                          absl::StrCat("terminate ", reason.ToString())));
  // To nobody: lost without a word (otp P3).
  world_->SendInfo(Info(MakeInt64(2)));
  EXPECT_TRUE(Is(Case::kNobody, world_->Call(1).status()));
}

// -- Nodes that go
// ---------------------------------------------------------------------

TEST_P(GenServerPathsTest, GS49_ANodeThatWasGoneBeforeTheCallIsNodedown) {
  OTP_CASE("GS.48 GS.49", "C5 C7 C11 C15");
  if (!Applies(Case::kNodeDown)) {
    GTEST_SKIP() << "caller and server are on one node";
  }
  world_->StartServer(Script());
  world_->LoseNode();
  // Said long before the call's own time is over.
  EXPECT_TRUE(Is(Case::kNodeDown, world_->Call(1).status()));
  EXPECT_TRUE(Is(Case::kCastNodeDown, world_->Cast(1)));
}

TEST_P(GenServerPathsTest, GS48_ANodeThatIsLostDuringTheCallIsNoconnection) {
  OTP_CASE("GS.48 GS.49", "C5 C11");
  if (!Applies(Case::kNodeLost)) {
    GTEST_SKIP() << "caller and server are on one node";
  }
  world_->StartServer(Stops());
  const Answer running = world_->BeginCall(-1, Within(absl::Minutes(1)));
  world_->AwaitNotes(notes_, 1);
  world_->LoseNode();
  EXPECT_TRUE(Is(Case::kNodeLost, world_->Value(running).status()));
}

TEST_P(GenServerPathsTest, GS48_ALostNodesNamesAreNoprocOnceTheyAreFree) {
  OTP_CASE("GS.48", "C7");
  if (!Applies(Case::kNameFreed)) {
    GTEST_SKIP() << "no other node could free the name";
  }
  world_->StartServer(Script());
  world_->LoseNode();
  EXPECT_TRUE(Is(Case::kNodeDown, world_->Call(1).status()));
  world_->FreeNames();
  EXPECT_TRUE(Is(Case::kNameFreed, world_->Call(1).status()));
}

// The table of docs/otp.md, to be copied from here when it changes.
TEST(ExpectationsTest, EveryCaseHasALineInWords) {
  const std::string table = ExpectationsAsMarkdown();
  std::cout << table;
  EXPECT_THAT(table, ::testing::Not(::testing::HasSubstr(",  |")));
  for (const Path path : AllPaths()) {
    for (int what = 0; what <= static_cast<int>(Case::kCastFull); ++what) {
      const Expected expected = ExpectedOf(static_cast<Case>(what), path);
      if (expected.kind != Expected::Kind::kError) continue;
      EXPECT_THAT(table, ::testing::HasSubstr(std::string(expected.reason)));
    }
  }
}

}  // namespace
}  // namespace muster
