// Requests and their responses, alone and in collections (otp 4.4).
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
#include "node/gen_server/send_request.h"
#include "node/process/signals.h"
#include "tests/conformance/otp/expect.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/otp_cluster.h"
#include "tests/testkit/runtime_fixture.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Value = std::optional<absl::StatusOr<Int64>>;
using Ids = RequestIds<std::string>;
using Code = absl::StatusCode;

absl::Duration Ms(int64_t ms) { return absl::Milliseconds(ms); }

struct Due {
  From from;
  int64_t value;
};

// Answers each call with its argument, that many milliseconds later, and
// serves others meanwhile; a negative one never. The cast ends it with the
// reason "asked".
Script Delays() {
  Script script;
  script.call = [](int64_t ms, Context& self) -> Reply<Int64> {
    if (ms >= 0) self.SendAfter(Ms(ms), Info(Due{self.from(), ms}));
    return NoReply();
  };
  script.info = [](Info info, Context&) -> Next {
    if (const Due* due = info.As<Due>()) {
      due->from.Reply(MakeInt64(due->value));
    }
    return NoReply();
  };
  script.cast = [](int64_t, Context&) -> Next {
    return Stop(ExitReason::Custom("asked"));
  };
  return script;
}

RequestId Ask(Context& self, const ServerRef& to, int64_t value,
              RequestOptions options = RequestOptions()) {
  return SendRequest(self, to, kScriptCall, MakeInt64(value),
                     std::move(options));
}

RequestOptions ToMailbox() {
  RequestOptions options;
  options.to_mailbox = true;
  return options;
}

int64_t Number(Value& value) {
  EXPECT_TRUE(value.has_value()) << "no response";
  if (!value.has_value()) return -1;
  EXPECT_TRUE(value->ok()) << value->status();
  return value->ok() ? (**value).value() : -1;
}

absl::Status Failure(const Value& value) {
  if (!value.has_value()) return absl::UnknownError("no response");
  return value->status();
}

int64_t Number(Collected<std::string>& got) {
  EXPECT_EQ(got.kind, CollectedKind::kResponse);
  absl::StatusOr<Int64> value = got.response.As<Int64>();
  EXPECT_TRUE(value.ok()) << value.status();
  return value.ok() ? value->value() : -1;
}

class RequestsTest : public ::testing::Test {
 protected:
  RequestsTest() : actor_(cluster_.StartActor("a")) {}

  // Runs the test's lines inside a process of node a.
  void Do(Act act) { cluster_.Do(actor_, std::move(act)); }

  OtpCluster cluster_{{"a", "b"}};
  Pid actor_;
};

TEST_F(RequestsTest, GS23_AResponseIsTheServersReplyAlsoADelayedOne) {
  OTP_CASE("GS.23", "C19 C20 G8");
  const Pid server = cluster_.StartScript("a", Delays());
  Do([&](Context& self) -> Next {
    const RequestId now = Ask(self, server, 0);
    Value value = co_await Receive<Int64>(self, now, absl::Seconds(5));
    EXPECT_EQ(Number(value), 0);
    const RequestId later = Ask(self, server, 300);
    const BootTime sent = self.Now();
    value = co_await Wait<Int64>(self, later, absl::InfiniteDuration());
    EXPECT_EQ(Number(value), 300);
    EXPECT_EQ(self.Now() - sent, Ms(300));
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS23_SendRequestReturnsAtOnce) {
  OTP_CASE("GS.23", "C19");
  const Pid server = cluster_.StartScript("a", Delays());
  Do([&](Context& self) -> Next {
    const BootTime before = self.Now();
    const RequestId id = Ask(self, server, 50);
    EXPECT_EQ(self.Now(), before);
    // Nothing has come, and asking with no time does not wait.
    Value none = co_await Wait<Int64>(self, id, absl::ZeroDuration());
    EXPECT_FALSE(none.has_value());
    EXPECT_EQ(self.Now(), before);
    Value value = co_await Wait<Int64>(self, id, absl::Seconds(1));
    EXPECT_EQ(Number(value), 50);
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS24_EachIdGetsItsOwnReplyInAnyOrderOfAsking) {
  OTP_CASE("GS.24", "C19 C20");
  const Pid server = cluster_.StartScript("a", Delays());
  Do([&](Context& self) -> Next {
    const RequestId first = Ask(self, server, 20);
    const RequestId second = Ask(self, server, 10);
    Value value = co_await Receive<Int64>(self, first, absl::Seconds(1));
    EXPECT_EQ(Number(value), 20);
    value = co_await Receive<Int64>(self, second, absl::Seconds(1));
    EXPECT_EQ(Number(value), 10);
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS25_CheckTellsTheResponseFromOtherMessages) {
  OTP_CASE("GS.25", "C20");
  const Pid server = cluster_.StartScript("a", Delays());
  RequestId id;
  std::vector<std::string> seen;
  const Pid asker = cluster_.StartActor("a", [&](Info info, Context& self) {
    Value value = Check<Int64>(self, info, id);
    if (!value.has_value()) {
      seen.push_back("no reply: " + info.type());
    } else {
      seen.push_back("reply " + std::to_string(Number(value)));
    }
    // A response is there once.
    if (Check<Int64>(self, info, id).has_value()) seen.push_back("twice");
    return Next();
  });
  cluster_.Do(asker, [&](Context& self) {
    id = Ask(self, server, 10, ToMailbox());
    self.Send(self.pid(), Info(MakeInt64(1)));
    return Next();
  });
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_THAT(seen,
              ElementsAre("no reply: google.protobuf.Int64Value", "reply 10"));
}

TEST_F(RequestsTest, GS25_AFullMailboxTakesTheResponse) {
  OTP_CASE("GS.25", "C19");
  const Pid server = cluster_.StartScript("a", Delays());
  RequestId id;
  int64_t value = 0;
  size_t others = 0;
  const Pid asker = cluster_.StartActor("a", [&](Info info, Context& self) {
    Value response = Check<Int64>(self, info, id);
    if (response.has_value()) {
      value = Number(response);
    } else {
      ++others;
    }
    return Next();
  });
  Tell(cluster_.runtime("a"), asker, [&](Context& self) -> Next {
    id = Ask(self, server, 10, ToMailbox());
    const size_t room = self.runtime().options().mailbox_messages_max;
    for (size_t i = 0; i < room + 10; ++i) {
      self.Send(self.pid(), Info(MakeInt64(1)));
    }
    co_await self.Sleep(absl::Seconds(1));
    co_return NoReply();
  });
  cluster_.RunFor(absl::Seconds(2));
  EXPECT_EQ(value, 10);
  EXPECT_EQ(others, cluster_.runtime("a").options().mailbox_messages_max);
}

TEST_F(RequestsTest, GS26_WhateverIsWrongIsTheResponse) {
  OTP_CASE("GS.26", "C19 C5");
  const Pid dead = cluster_.StartScript("a", Delays());
  cluster_.runtime("a").SendExit(Pid(), dead, ExitReason::Kill());
  cluster_.AwaitEnd(dead);
  Pid stale = dead;
  stale.epoch.revision -= 1;
  Do([&](Context& self) -> Next {
    for (const ServerRef& to :
         {ServerRef(dead), ServerRef(stale), ServerRef::Local("nobody"),
          ServerRef::Local("nobody", "a"), ServerRef::Local("nobody", "b"),
          ServerRef::Global("nobody"), ServerRef::Global(""),
          ServerRef::Via("reg", "nobody"), ServerRef::Via("none", "x")}) {
      const RequestId id = Ask(self, to, 0);
      Value value = co_await Receive<Int64>(self, id, absl::Seconds(5));
      EXPECT_TRUE(IsError(Failure(value), Code::kNotFound, "NOPROC",
                          Outcome::kNotExecuted))
          << to.ToString();
    }
    // Not reachable: said as it is, not as a nodedown.
    for (const ServerRef& to :
         {ServerRef::Local("x", "unknown-node"),
          ServerRef(Pid{"unknown-node", Epoch{1, 1}, 1})}) {
      const RequestId id = Ask(self, to, 0);
      Value value = co_await Receive<Int64>(self, id, absl::Seconds(5));
      EXPECT_TRUE(IsError(Failure(value), Code::kUnavailable, "NOCONNECTION",
                          Outcome::kNotExecuted))
          << to.ToString();
    }
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS26_TheServersExitReasonIsTheResponse) {
  OTP_CASE("GS.26", "C5 C6 C19");
  for (const ExitReason& reason :
       {ExitReason::Normal(), ExitReason::Shutdown("moved"),
        ExitReason::Custom("own"), ExitReason::Kill()}) {
    const Pid server = cluster_.StartScript("b", Delays());
    Do([&](Context& self) -> Next {
      const RequestId id = Ask(self, server, -1);
      co_await self.Sleep(Ms(10));
      cluster_.runtime("b").SendExit(server, server, reason);
      Value value = co_await Receive<Int64>(self, id, absl::Seconds(5));
      EXPECT_TRUE(IsError(Failure(value), Code::kAborted, "CALLEE_EXITED",
                          Outcome::kUnknown));
      const std::string said = DetailOf(Failure(value), "exit_reason");
      EXPECT_EQ(said, reason.kind() == ExitReason::Kind::kKill
                          ? "killed"
                          : reason.ToString());
      co_return NoReply();
    });
  }
}

TEST_F(RequestsTest, GS26_AConnectionLostMeanwhileIsNoconnection) {
  OTP_CASE("GS.26", "C19 P2");
  const Pid server = cluster_.StartScript("b", Delays());
  Do([&](Context& self) -> Next {
    const RequestId id = Ask(self, server, -1);
    co_await self.Sleep(Ms(10));
    cluster_.CutAll();
    Value value = co_await Receive<Int64>(self, id, absl::Seconds(5));
    EXPECT_TRUE(IsError(Failure(value), Code::kAborted, "NOCONNECTION",
                        Outcome::kUnknown));
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS27_EveryKindOfReferenceReachesAnotherNode) {
  OTP_CASE("GS.27", "C1 C19");
  const Pid server =
      cluster_.StartScript("b", Delays(), Names{"local", "global", "key"});
  const std::vector<ServerRef> references = {
      ServerRef(server), ServerRef::Local("local", "b"),
      ServerRef::Global("global"), ServerRef::Via("reg", "key")};
  Do([&](Context& self) -> Next {
    for (const ServerRef& to : references) {
      const RequestId id = Ask(self, to, 7);
      Value value = co_await Receive<Int64>(self, id, absl::Seconds(5));
      EXPECT_EQ(Number(value), 7) << to.ToString();
    }
    ScriptCast(self, server, 0);
    co_return NoReply();
  });
  EXPECT_EQ(cluster_.AwaitEnd(server), ExitReason::Custom("asked"));
  Do([&](Context& self) -> Next {
    for (const ServerRef& to : references) {
      const RequestId id = Ask(self, to, 7);
      Value value = co_await Receive<Int64>(self, id, absl::Seconds(5));
      EXPECT_TRUE(IsError(Failure(value), Code::kNotFound, "NOPROC",
                          Outcome::kNotExecuted))
          << to.ToString();
    }
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS28_ReceiveGivesResponsesInTheOrderOfCompletion) {
  OTP_CASE("GS.28", "C22");
  const Pid server = cluster_.StartScript("a", Delays());
  Do([&](Context& self) -> Next {
    Ids ids;
    EXPECT_TRUE(ids.Add(Ask(self, server, 400), "slow").ok());
    EXPECT_TRUE(ids.Add(Ask(self, server, 1), "fast").ok());
    EXPECT_TRUE(ids.Add(Ask(self, server, 200), "middle").ok());
    EXPECT_EQ(ids.size(), 3u);
    std::vector<std::string> labels;
    std::vector<int64_t> values;
    std::vector<size_t> sizes;
    for (int i = 0; i < 3; ++i) {
      auto got = co_await ids.Receive(self, absl::Seconds(5));
      values.push_back(Number(got));
      labels.push_back(got.label);
      sizes.push_back(ids.size());
    }
    EXPECT_THAT(labels, ElementsAre("fast", "middle", "slow"));
    EXPECT_THAT(values, ElementsAre(1, 200, 400));
    EXPECT_THAT(sizes, ElementsAre(2, 1, 0));
    auto none = co_await ids.Receive(self, absl::InfiniteDuration());
    EXPECT_EQ(none.kind, CollectedKind::kNoRequest);
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS28_ResponsesThatAreThereAlreadyKeepTheirOrder) {
  OTP_CASE("GS.28", "C22");
  const Pid server = cluster_.StartScript("a", Delays());
  Do([&](Context& self) -> Next {
    const RequestId slow = Ask(self, server, 30);
    const RequestId fast = Ask(self, server, 10);
    const RequestId middle = Ask(self, server, 20);
    co_await self.Sleep(absl::Seconds(1));
    Ids ids;
    EXPECT_TRUE(ids.Add(slow, "slow").ok());
    EXPECT_TRUE(ids.Add(fast, "fast").ok());
    EXPECT_TRUE(ids.Add(middle, "middle").ok());
    std::vector<std::string> labels;
    for (int i = 0; i < 3; ++i) {
      auto got = co_await ids.Receive(self, absl::ZeroDuration());
      labels.push_back(got.label);
    }
    EXPECT_THAT(labels, ElementsAre("fast", "middle", "slow"));
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS28_ACollectionListsItsIdsAndTakesEachOnce) {
  OTP_CASE("GS.28", "C22");
  const Pid server = cluster_.StartScript("a", Delays());
  Do([&](Context& self) -> Next {
    Ids ids;
    const RequestId one = Ask(self, server, 1);
    const RequestId two = Ask(self, server, 2);
    EXPECT_TRUE(ids.empty());
    EXPECT_TRUE(ids.Add(one, "one").ok());
    EXPECT_TRUE(ids.Add(two, "two").ok());
    const absl::Status twice = ids.Add(one, "again");
    EXPECT_EQ(twice.code(), Code::kInvalidArgument);
    EXPECT_EQ(ReasonOf(twice), "DUPLICATE_REQUEST");
    EXPECT_EQ(ReasonOf(ids.Add(RequestId(), "none")), "NO_REQUEST");
    EXPECT_EQ(ids.size(), 2u);
    EXPECT_EQ(ids.list()[0].first, one);
    EXPECT_EQ(ids.list()[0].second, "one");
    EXPECT_EQ(ids.list()[1].first, two);
    EXPECT_EQ(ids.list()[1].second, "two");
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS28_KeptIdsStayAndNeverAnswerAgain) {
  OTP_CASE("GS.28", "C23");
  const Pid server = cluster_.StartScript("a", Delays());
  Do([&](Context& self) -> Next {
    Ids ids;
    EXPECT_TRUE(ids.Add(Ask(self, server, 5), "x").ok());
    auto got = co_await ids.Receive(self, absl::Seconds(1), Handled::kKeep);
    EXPECT_EQ(Number(got), 5);
    EXPECT_EQ(got.label, "x");
    EXPECT_EQ(ids.size(), 1u);
    // Only handled ids: it waits, for as long as it was told.
    const BootTime asked = self.Now();
    auto none = co_await ids.Wait(self, Ms(700), Handled::kKeep);
    EXPECT_EQ(none.kind, CollectedKind::kTimeout);
    EXPECT_EQ(self.Now() - asked, Ms(700));
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS29_ReceiveAbandonsAllThatRemainAtItsDeadline) {
  OTP_CASE("GS.29", "C21 C22 C9");
  const Pid server = cluster_.StartScript("a", Delays());
  std::vector<std::string> strays;
  const Pid asker = cluster_.StartActor("a", [&](Info info, Context&) {
    strays.push_back(info.type());
    return Next();
  });
  cluster_.Do(asker, [&](Context& self) -> Next {
    Ids ids;
    EXPECT_TRUE(ids.Add(Ask(self, server, 500, ToMailbox()), "slow").ok());
    EXPECT_TRUE(ids.Add(Ask(self, server, 1, ToMailbox()), "fast").ok());
    EXPECT_TRUE(ids.Add(Ask(self, server, 700, ToMailbox()), "slower").ok());
    const BootTime deadline = self.Now() + Ms(100);
    auto got = co_await ids.Receive(self, deadline);
    EXPECT_EQ(got.label, "fast");
    auto none = co_await ids.Receive(self, deadline);
    EXPECT_EQ(none.kind, CollectedKind::kTimeout);
    EXPECT_EQ(self.Now(), deadline);
    EXPECT_EQ(ids.size(), 2u);
    none = co_await ids.Receive(self, absl::Seconds(1));
    EXPECT_EQ(none.kind, CollectedKind::kTimeout);
    co_return NoReply();
  });
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_THAT(strays, IsEmpty());
}

TEST_F(RequestsTest, GS30_WaitGivesResponsesInTheOrderOfCompletion) {
  OTP_CASE("GS.30", "C22");
  const Pid near = cluster_.StartScript("a", Delays());
  const Pid far = cluster_.StartScript("b", Delays());
  Do([&](Context& self) -> Next {
    Ids ids;
    EXPECT_TRUE(ids.Add(Ask(self, near, 400), "400").ok());
    EXPECT_TRUE(ids.Add(Ask(self, far, 1), "1").ok());
    EXPECT_TRUE(ids.Add(Ask(self, near, 200), "200").ok());
    std::vector<std::string> labels;
    for (int i = 0; i < 3; ++i) {
      auto got = co_await ids.Wait(self, absl::InfiniteDuration());
      EXPECT_EQ(std::to_string(Number(got)), got.label);
      labels.push_back(got.label);
    }
    EXPECT_THAT(labels, ElementsAre("1", "200", "400"));
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS31_AWaitThatTimesOutAbandonsNothing) {
  OTP_CASE("GS.31", "C21 C22");
  const Pid server = cluster_.StartScript("a", Delays());
  Do([&](Context& self) -> Next {
    Ids ids;
    EXPECT_TRUE(ids.Add(Ask(self, server, 400), "400").ok());
    EXPECT_TRUE(ids.Add(Ask(self, server, 200), "200").ok());
    auto got = co_await ids.Wait(self, self.Now() + Ms(100));
    EXPECT_EQ(got.kind, CollectedKind::kTimeout);
    EXPECT_EQ(ids.size(), 2u);
    got = co_await ids.Wait(self, self.Now() + Ms(500));
    EXPECT_EQ(Number(got), 200);
    got = co_await ids.Wait(self, self.Now() + Ms(500));
    EXPECT_EQ(Number(got), 400);
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS32_AServersExitIsOneResponseAmongOthers) {
  OTP_CASE("GS.32", "C5 C22");
  const Pid server = cluster_.StartScript("a", Delays());
  const Pid dying = cluster_.StartScript("b", Delays());
  Do([&](Context& self) -> Next {
    Ids ids;
    EXPECT_TRUE(ids.Add(Ask(self, server, 400), "400").ok());
    EXPECT_TRUE(ids.Add(Ask(self, dying, -1), "dying").ok());
    EXPECT_TRUE(ids.Add(Ask(self, server, 200), "200").ok());
    ScriptCast(self, dying, 0);
    auto got = co_await ids.Wait(self, absl::Seconds(5));
    EXPECT_EQ(got.kind, CollectedKind::kResponse);
    EXPECT_EQ(got.label, "dying");
    EXPECT_TRUE(IsError(got.response.status(), Code::kAborted, "CALLEE_EXITED",
                        Outcome::kUnknown));
    EXPECT_EQ(DetailOf(got.response.status(), "exit_reason"),
              ExitReason::Custom("asked").ToString());
    got = co_await ids.Wait(self, absl::Seconds(5));
    EXPECT_EQ(Number(got), 200);
    got = co_await ids.Wait(self, absl::Seconds(5));
    EXPECT_EQ(Number(got), 400);
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS33_CheckMatchesOnlyMembersOfTheCollection) {
  OTP_CASE("GS.33", "C22 C24");
  const Pid server = cluster_.StartScript("a", Delays());
  Ids ids;
  RequestId outside;
  std::vector<std::string> seen;
  const Pid asker = cluster_.StartActor("a", [&](Info info, Context& self) {
    Collected<std::string> got = ids.Check(self, info);
    switch (got.kind) {
      case CollectedKind::kResponse:
        seen.push_back(got.label + "=" + std::to_string(Number(got)));
        break;
      case CollectedKind::kNoReply: {
        // Another request's response is as it was.
        Value other = Check<Int64>(self, info, outside);
        seen.push_back(other.has_value() ? "outside" : "unrelated");
        break;
      }
      case CollectedKind::kNoRequest:
        seen.push_back("empty");
        break;
      default:
        seen.push_back("?");
    }
    return Next();
  });
  cluster_.Do(asker, [&](Context& self) {
    EXPECT_TRUE(ids.Add(Ask(self, server, 40, ToMailbox()), "b").ok());
    EXPECT_TRUE(ids.Add(Ask(self, server, 10, ToMailbox()), "a").ok());
    outside = Ask(self, server, 20, ToMailbox());
    self.SendAfter(Ms(30), Info(MakeInt64(1)));
    self.SendAfter(Ms(50), Info(MakeInt64(1)));
    return Next();
  });
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_THAT(seen,
              ElementsAre("a=10", "outside", "unrelated", "b=40", "empty"));
}

// -- What no row says, but the rules do
// ----------------------------------------

TEST_F(RequestsTest, GS23_ReceiveAbandonsAtItsTimeoutAndWaitDoesNot) {
  OTP_CASE("GS.23", "C20 C9");
  const Pid server = cluster_.StartScript("a", Delays());
  Do([&](Context& self) -> Next {
    const RequestId waited = Ask(self, server, 100);
    const RequestId received = Ask(self, server, 100);
    Value value = co_await Wait<Int64>(self, waited, Ms(10));
    EXPECT_FALSE(value.has_value());
    value = co_await Receive<Int64>(self, received, Ms(10));
    EXPECT_FALSE(value.has_value());
    co_await self.Sleep(Ms(200));
    value = co_await Wait<Int64>(self, waited, absl::ZeroDuration());
    EXPECT_EQ(Number(value), 100);
    value = co_await Wait<Int64>(self, received, absl::Seconds(1));
    EXPECT_FALSE(value.has_value());
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS23_AResponseThatSlippedInAtTheDeadlineCounts) {
  OTP_CASE("GS.23", "C9 C20");
  const Pid server = cluster_.StartScript("a", Delays());
  Do([&](Context& self) -> Next {
    // Both are due at the same instant; whichever wakes the process, it finds
    // the response.
    const RequestId id = Ask(self, server, 0);
    self.Send(server, Info(MakeInt64(0)));
    Value value = co_await Receive<Int64>(self, id, absl::Nanoseconds(1));
    EXPECT_EQ(Number(value), 0);
    // There before it is asked for: any timeout will do.
    const RequestId early = Ask(self, server, 5);
    co_await self.Sleep(Ms(50));
    value = co_await Receive<Int64>(self, early, absl::ZeroDuration());
    EXPECT_EQ(Number(value), 5);
    const RequestId past = Ask(self, server, 5);
    co_await self.Sleep(Ms(50));
    value = co_await Receive<Int64>(self, past, self.Now() - Ms(10));
    EXPECT_EQ(Number(value), 5);
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS23_ANegativeTimeoutIsRefusedAndAbandonsNothing) {
  OTP_CASE("GS.23", "C21");
  const Pid server = cluster_.StartScript("a", Delays());
  Do([&](Context& self) -> Next {
    const RequestId id = Ask(self, server, 5);
    Value value = co_await Receive<Int64>(self, id, Ms(-1));
    EXPECT_TRUE(IsError(Failure(value), Code::kInvalidArgument, "BAD_TIMEOUT",
                        Outcome::kNotExecuted));
    Ids ids;
    EXPECT_TRUE(ids.Add(id, "x").ok());
    auto got = co_await ids.Receive(self, Ms(-1));
    EXPECT_EQ(got.kind, CollectedKind::kRefused);
    EXPECT_EQ(ReasonOf(got.response.status()), "BAD_TIMEOUT");
    got = co_await ids.Receive(self, absl::Seconds(1));
    EXPECT_EQ(Number(got), 5);
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS23_OnlyTheProcessThatAskedMayHaveTheResponse) {
  OTP_CASE("GS.23", "C24");
  const Pid server = cluster_.StartScript("a", Delays());
  RequestId id;
  Do([&](Context& self) {
    id = Ask(self, server, 5);
    return Next();
  });
  const Pid thief = cluster_.StartActor("a");
  cluster_.Do(thief, [&](Context& self) -> Next {
    Value value = co_await Receive<Int64>(self, id, absl::Seconds(1));
    EXPECT_TRUE(IsError(Failure(value), Code::kFailedPrecondition, "NOT_YOURS",
                        Outcome::kNotExecuted));
    Ids ids;
    EXPECT_TRUE(ids.Add(id, "x").ok());
    auto got = co_await ids.Receive(self, absl::Seconds(1));
    EXPECT_EQ(got.kind, CollectedKind::kRefused);
    EXPECT_EQ(ReasonOf(got.response.status()), "NOT_YOURS");
    value = co_await Wait<Int64>(self, RequestId(), absl::Seconds(1));
    EXPECT_EQ(ReasonOf(Failure(value)), "NOT_YOURS");
    co_return NoReply();
  });
  Do([&](Context& self) -> Next {
    Value value = co_await Receive<Int64>(self, id, absl::Seconds(1));
    EXPECT_EQ(Number(value), 5);
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS29_RequestsOutsideACollectionAreUntouchedByIt) {
  OTP_CASE("GS.29", "C24");
  const Pid server = cluster_.StartScript("a", Delays());
  Do([&](Context& self) -> Next {
    const RequestId outside = Ask(self, server, 100);
    Ids ids;
    EXPECT_TRUE(ids.Add(Ask(self, server, 500), "x").ok());
    auto got = co_await ids.Receive(self, Ms(200));
    EXPECT_EQ(got.kind, CollectedKind::kTimeout);
    Value value = co_await Receive<Int64>(self, outside, absl::ZeroDuration());
    EXPECT_EQ(Number(value), 100);
    co_return NoReply();
  });
}

TEST_F(RequestsTest, GS23_ARequestsOwnTimeoutIsItsResponse) {
  OTP_CASE("GS.23", "C20 C10");
  std::vector<int64_t> ran;
  Script script;
  script.call = [&](int64_t ms, Context& self) -> Reply<Int64> {
    ran.push_back(ms);
    co_await self.Sleep(Ms(ms));
    co_return MakeInt64(ms);
  };
  const Pid server = cluster_.StartScript("a", script);
  Do([&](Context& self) -> Next {
    RequestOptions options;
    options.timeout = Ms(100);
    const RequestId running = Ask(self, server, 300, options);
    const RequestId queued = Ask(self, server, 1, options);
    Value value = co_await Receive<Int64>(self, running, absl::Seconds(5));
    EXPECT_TRUE(IsError(Failure(value), Code::kDeadlineExceeded, "TIMEOUT",
                        Outcome::kUnknown));
    value = co_await Receive<Int64>(self, queued, absl::Seconds(5));
    EXPECT_TRUE(IsError(Failure(value), Code::kDeadlineExceeded, "TIMEOUT",
                        Outcome::kNotExecuted));
    co_return NoReply();
  });
  cluster_.RunFor(absl::Seconds(1));
  // What had begun went on; what had not was dropped.
  EXPECT_THAT(ran, ElementsAre(300));
}

TEST_F(RequestsTest, GS23_ARequestIsNoWait) {
  OTP_CASE("GS.23", "C8 C14");
  // The server calls back while its own request is open: no cycle, since the
  // asker serves.
  int64_t from_asker = 0;
  Pid asker;
  Script callee;
  callee.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    auto call = ScriptCall(self, asker, value + 1);
    absl::StatusOr<Int64> got = co_await call;
    EXPECT_TRUE(got.ok()) << got.status();
    if (got.ok()) from_asker = got->value();
    co_return MakeInt64(value);
  };
  const Pid server = cluster_.StartScript("b", callee);
  RequestId id;
  int64_t answer = 0;
  Script asking;
  asking.cast = [&](int64_t value, Context& self) -> Next {
    id = Ask(self, server, value, ToMailbox());
    return NoReply();
  };
  asking.info = [&](Info info, Context& self) -> Next {
    Value value = Check<Int64>(self, info, id);
    if (value.has_value()) answer = Number(value);
    return NoReply();
  };
  asker = cluster_.StartScript("a", asking);
  cluster_.node("a").runtime.Cast(
      Request(asker, kScriptCast, Payload::Of(MakeInt64(6))), nullptr);
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_EQ(from_asker, 7);
  EXPECT_EQ(answer, 6);
}

TEST_F(RequestsTest, GS23_ADyingAskerLeavesNothingBehind) {
  OTP_CASE("GS.23", "C20 A1");
  const Pid server = cluster_.StartScript("a", Delays());
  const Pid asker = cluster_.StartActor("a");
  Tell(cluster_.runtime("a"), asker, [&](Context& self) -> Next {
    const RequestId id = Ask(self, server, 100);
    co_await Receive<Int64>(self, id, absl::Seconds(5));
    ADD_FAILURE() << "a killed process went on";
    co_return NoReply();
  });
  cluster_.RunFor(Ms(10));
  cluster_.runtime("a").SendExit(Pid(), asker, ExitReason::Kill());
  EXPECT_EQ(cluster_.AwaitEnd(asker), ExitReason::Killed());
  cluster_.RunFor(absl::Seconds(10));
  EXPECT_NE(cluster_.runtime("a").Find(server), nullptr);
}

// -- Real threads
// ----------------------------------------------------------------

TEST(RequestsOnThreadsTest, NoResponseIsLostOrSeenTwice) {
  OTP_CASE("", "C20 C22 C9");
  constexpr int kRounds = 300;
  constexpr int kServers = 4;
  constexpr int kRequests = 16;
  ThreadRuntime node(4);
  std::vector<Pid> servers;
  for (int i = 0; i < kServers; ++i) {
    servers.push_back(*node.Start(ScriptServer::Make()));
  }
  const Pid asker = *node.Start(std::make_unique<Actor>());
  auto done = std::make_shared<internal::Arrival<bool>>();
  int64_t answered = 0;
  int64_t abandoned = 0;
  bool strange = false;
  Tell(node.runtime(), asker, [&](Context& self) -> Next {
    for (int round = 0; round < kRounds; ++round) {
      RequestIds<int> ids;
      for (int i = 0; i < kRequests; ++i) {
        RequestId id =
            SendRequest(self, servers[i % kServers], kScriptCall, MakeInt64(i));
        if (!ids.Add(std::move(id), i).ok()) strange = true;
      }
      // Responses race with deadlines: each comes once, or its request is
      // abandoned.
      while (!ids.empty()) {
        auto got = co_await ids.Wait(self, absl::Microseconds(round % 7));
        if (got.kind == CollectedKind::kTimeout && round % 3 == 0) {
          got = co_await ids.Receive(self, absl::Microseconds(1));
          if (got.kind == CollectedKind::kTimeout) {
            abandoned += static_cast<int64_t>(ids.size());
            break;
          }
        }
        if (got.kind != CollectedKind::kResponse) continue;
        absl::StatusOr<Int64> value = got.response.As<Int64>();
        if (!value.ok() || value->value() != got.label) strange = true;
        ++answered;
      }
    }
    done->Set(true);
    co_return NoReply();
  });
  internal::BlockUntil(
      [&](absl::AnyInvocable<void()> wake) { done->OnReady(std::move(wake)); });
  EXPECT_FALSE(strange);
  EXPECT_EQ(answered + abandoned, kRounds * kRequests);
  EXPECT_GT(answered, 0);
}

}  // namespace
}  // namespace muster
