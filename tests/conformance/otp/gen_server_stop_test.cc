// Stopping a process from outside (otp 3.8): the stop cases of OTP's gen_server
// and proc_lib suites and of Elixir's GenServer.
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
#include "node/gen_server/runtime_caller.h"
#include "node/gen_server/sys.h"
#include "node/process/process.h"
#include "tests/conformance/otp/expect.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/otp_cluster.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Code = absl::StatusCode;
using Kind = ExitReason::Kind;

class StopTest : public ::testing::Test {
 protected:
  StopTest() : actor_(cluster_.StartActor("a")) {}

  // As a process of node a; how it went.
  absl::Status StopIt(const ServerRef& server,
                      const ExitReason& reason = ExitReason::Normal(),
                      absl::Duration timeout = absl::InfiniteDuration()) {
    absl::Status result = absl::UnknownError("not yet");
    cluster_.Do(actor_, [&](Context& self) -> Next {
      result = co_await Stop(self, server, reason, timeout);
      co_return NoReply();
    });
    return result;
  }
  bool Alive(const Pid& pid) {
    return cluster_.runtime(pid.node).Find(pid) != nullptr;
  }
  // Notes how it ends; traps no exits.
  Script Server() {
    Script script;
    script.terminate = [this](const ExitReason& reason, Context&) -> Next {
      terminated_.push_back(reason.ToString());
      return NoReply();
    };
    return script;
  }
  ::testing::AssertionResult IsNoproc(const absl::Status& status) {
    return IsError(status, Code::kNotFound, "NOPROC", Outcome::kNotExecuted);
  }

  std::vector<std::string> terminated_;
  OtpCluster cluster_{{"a", "b"}};
  const Pid actor_;
};

TEST_F(StopTest, GS10_StopEndsAnAnonymousServerOnce) {
  OTP_CASE("GS.10", "G24 G25 G19");
  const Pid pid = cluster_.StartScript("a", Server());
  EXPECT_EQ(StopIt(pid), absl::OkStatus());
  EXPECT_FALSE(Alive(pid));
  EXPECT_THAT(terminated_, ElementsAre("normal"));
  EXPECT_EQ(cluster_.AwaitEnd(pid), ExitReason::Normal());
  EXPECT_TRUE(IsNoproc(StopIt(pid)));
  EXPECT_THAT(terminated_, ElementsAre("normal"));
}

TEST_F(StopTest, GS11_StopWithAnotherReasonEndsItWithThatReason) {
  OTP_CASE("GS.11", "G24 G25");
  const Pid pid = cluster_.StartScript("a", Server());
  const ExitReason reason = ExitReason::Custom("other_reason");
  EXPECT_EQ(StopIt(pid, reason, absl::InfiniteDuration()), absl::OkStatus());
  EXPECT_EQ(cluster_.AwaitEnd(pid), reason);
  EXPECT_THAT(terminated_, ElementsAre(reason.ToString()));
}

TEST_F(StopTest, GS12_AnInvalidTimeoutLeavesItAlive) {
  OTP_CASE("GS.12", "G25");
  const Pid pid = cluster_.StartScript("a", Server());
  EXPECT_TRUE(IsError(StopIt(pid, ExitReason::Normal(), -absl::Seconds(1)),
                      Code::kInvalidArgument, "BAD_TIMEOUT",
                      Outcome::kNotExecuted));
  cluster_.RunFor(absl::Seconds(10));
  EXPECT_TRUE(Alive(pid));
  EXPECT_THAT(terminated_, IsEmpty());
}

TEST_F(StopTest, GS13_ANameOnTheOwnNodeIsTheLocalName) {
  OTP_CASE("GS.13", "G24 C2");
  const Pid by_pair =
      cluster_.StartScript("a", Server(), Names{.local = "to_stop"});
  EXPECT_EQ(StopIt(ServerRef::Local("to_stop", "a")), absl::OkStatus());
  EXPECT_FALSE(Alive(by_pair));
  EXPECT_TRUE(IsNoproc(StopIt(ServerRef::Local("to_stop", "a"))));
  const Pid by_name =
      cluster_.StartScript("a", Server(), Names{.local = "to_stop"});
  EXPECT_EQ(StopIt(ServerRef::Local("to_stop")), absl::OkStatus());
  EXPECT_FALSE(Alive(by_name));
  EXPECT_TRUE(IsNoproc(StopIt(ServerRef::Local("to_stop"))));
  EXPECT_EQ(terminated_.size(), 2u);
}

TEST_F(StopTest, GS14_AGlobalNameIsStoppedThroughIt) {
  OTP_CASE("GS.14", "G24 G25");
  const Pid pid =
      cluster_.StartScript("a", Server(), Names{.global = "to_stop"});
  EXPECT_EQ(StopIt(ServerRef::Global("to_stop")), absl::OkStatus());
  EXPECT_FALSE(Alive(pid));
  EXPECT_TRUE(IsNoproc(StopIt(ServerRef::Global("to_stop"))));
}

TEST_F(StopTest, GS15_AViaNameIsStoppedThroughIt) {
  OTP_CASE("GS.15", "G24 G25");
  const Pid pid = cluster_.StartScript("a", Server(), Names{.via = "to_stop"});
  EXPECT_EQ(StopIt(ServerRef::Via("reg", "to_stop")), absl::OkStatus());
  EXPECT_FALSE(Alive(pid));
  EXPECT_TRUE(IsNoproc(StopIt(ServerRef::Via("reg", "to_stop"))));
}

TEST_F(StopTest, GS16_AServerOfAnotherNodeIsStoppedThere) {
  OTP_CASE("GS.16", "G24 G25");
  const Pid pid = cluster_.StartScript("b", Server());
  EXPECT_EQ(StopIt(pid), absl::OkStatus());
  EXPECT_FALSE(Alive(pid));
  EXPECT_THAT(terminated_, ElementsAre("normal"));
  EXPECT_TRUE(IsNoproc(StopIt(pid)));
  const Pid other = cluster_.StartScript("b", Server());
  cluster_.KillNode("b");
  EXPECT_TRUE(IsError(StopIt(other), Code::kUnavailable, "NODEDOWN",
                      Outcome::kNotExecuted));
  EXPECT_TRUE(IsError(StopIt(ServerRef::Local("any", "b")), Code::kUnavailable,
                      "NODEDOWN", Outcome::kNotExecuted));
}

TEST_F(StopTest, GS17_AGlobalNameOfADeadNodeIsNoprocOnceItIsFree) {
  OTP_CASE("GS.17", "G25 C7");
  const Pid pid =
      cluster_.StartScript("b", Server(), Names{.global = "to_stop"});
  EXPECT_EQ(StopIt(ServerRef::Global("to_stop")), absl::OkStatus());
  EXPECT_FALSE(Alive(pid));
  cluster_.StartScript("b", Server(), Names{.global = "to_stop"});
  cluster_.KillNode("b");
  // While the name's record stands it may still be somebody's (otp 16.2).
  EXPECT_TRUE(IsError(StopIt(ServerRef::Global("to_stop")), Code::kUnavailable,
                      "NODEDOWN", Outcome::kNotExecuted));
  cluster_.FreeNames("b");
  EXPECT_TRUE(IsNoproc(StopIt(ServerRef::Global("to_stop"))));
}

TEST_F(StopTest, EGS12_StopByPidAndNameAndFromInside) {
  OTP_CASE("EGS.12", "G24 G25 C8");
  const Pid pid = cluster_.StartScript("a", Server());
  EXPECT_EQ(StopIt(pid, ExitReason::Normal()), absl::OkStatus());
  EXPECT_TRUE(IsNoproc(StopIt(pid, ExitReason::Normal())));
  EXPECT_TRUE(IsNoproc(StopIt(ServerRef(Pid()))));
  EXPECT_TRUE(IsNoproc(StopIt(ServerRef::Local(""))));

  const Names names{.local = "l", .global = "g", .via = "v"};
  std::vector<absl::Status> from_inside;
  Script script = Server();
  script.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    for (const ServerRef& me :
         {ServerRef(self.pid()), ServerRef::Local("l"),
          ServerRef::Local("l", "a"), ServerRef::Global("g"),
          ServerRef::Via("reg", "v")}) {
      for (const absl::Duration timeout :
           {absl::InfiniteDuration(), absl::ZeroDuration()}) {
        absl::Status status =
            co_await Stop(self, me, ExitReason::Normal(), timeout);
        from_inside.push_back(std::move(status));
      }
    }
    co_return MakeInt64(value);
  };
  const Pid inside = cluster_.StartScript("a", std::move(script), names);
  cluster_.Do(actor_, [&](Context& self) -> Next {
    absl::StatusOr<Int64> answer = co_await ScriptCall(self, inside, 1);
    EXPECT_TRUE(answer.ok()) << answer.status();
    co_return NoReply();
  });
  EXPECT_EQ(from_inside.size(), 10u);
  for (const absl::Status& status : from_inside) {
    EXPECT_TRUE(IsError(status, Code::kFailedPrecondition, "CALLING_SELF",
                        Outcome::kNotExecuted));
  }
  EXPECT_TRUE(Alive(inside));
  EXPECT_EQ(StopIt(ServerRef::Local("l")), absl::OkStatus());
}

// -- proc_lib:stop
// --------------------------------------------------------------

TEST_F(StopTest, PL09_NormalDeadAndOtherReason) {
  OTP_CASE("PL.09", "G24 G25");
  for (const ExitReason& reason : {ExitReason::Normal(), ExitReason::Shutdown(),
                                   ExitReason::Custom("other_reason")}) {
    const Pid pid = cluster_.StartScript("a", Server());
    EXPECT_EQ(StopIt(pid, reason), absl::OkStatus());
    EXPECT_EQ(cluster_.AwaitEnd(pid), reason);
    EXPECT_TRUE(IsNoproc(StopIt(pid, reason)));
  }
}

TEST_F(StopTest, PL09_DyingBadlyTellsTheReason) {
  OTP_CASE("PL.09", "G25 G21");
  Script script;
  script.terminate = [](const ExitReason&, Context&) -> Next {
    throw std::runtime_error("died badly");
  };
  const Pid pid = cluster_.StartScript("a", std::move(script));
  const absl::Status status = StopIt(pid);
  EXPECT_TRUE(
      IsError(status, Code::kAborted, "CALLEE_EXITED", Outcome::kUnknown));
  EXPECT_TRUE(absl::StrContains(DetailOf(status, "exit_reason"), "died badly"))
      << status;
  EXPECT_EQ(cluster_.AwaitEnd(pid).kind(), Kind::kException);
}

TEST_F(StopTest, PL09_AWrongReasonIsTold) {
  OTP_CASE("PL.09", "G25");
  // Killed while it terminates.
  Script script;
  script.terminate = [](const ExitReason&, Context& self) -> Next {
    co_await self.Sleep(absl::Seconds(5));
    co_return NoReply();
  };
  const Pid pid = cluster_.StartScript("b", std::move(script));
  std::optional<absl::Status> status;
  Tell(cluster_.runtime("a"), actor_, [&](Context& self) -> Next {
    absl::Status result = co_await Stop(self, pid);
    status = std::move(result);
    co_return NoReply();
  });
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(status.has_value());
  cluster_.runtime("b").SendExit(Pid(), pid, ExitReason::Kill());
  cluster_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(status.has_value());
  EXPECT_TRUE(
      IsError(*status, Code::kAborted, "CALLEE_EXITED", Outcome::kUnknown));
  EXPECT_EQ(DetailOf(*status, "exit_reason"), "killed");
}

TEST_F(StopTest, PL09_EndingByItselfWithThatReasonIsOk) {
  OTP_CASE("PL.09", "G25");
  Script script = Server();
  script.cast = [](int64_t, Context& self) -> Next {
    co_await self.Sleep(absl::Seconds(1));
    co_return Stop(ExitReason::Custom("done"));
  };
  for (const bool same : {true, false}) {
    const Pid pid = cluster_.StartScript("a", script);
    cluster_.Do(actor_, [&](Context& self) -> Next {
      absl::Status cast = co_await ScriptCast(self, pid, 0);
      EXPECT_TRUE(cast.ok());
      co_return NoReply();
    });
    const absl::Status status =
        StopIt(pid, ExitReason::Custom(same ? "done" : "asked"));
    if (same) {
      EXPECT_EQ(status, absl::OkStatus());
    } else {
      EXPECT_TRUE(
          IsError(status, Code::kAborted, "CALLEE_EXITED", Outcome::kUnknown));
      EXPECT_EQ(DetailOf(status, "exit_reason"),
                ExitReason::Custom("done").ToString());
    }
  }
}

TEST_F(StopTest, PL09_HangingTimesOutAndEndsLater) {
  OTP_CASE("PL.09", "G25");
  for (const std::string node : {"a", "b"}) {
    terminated_.clear();
    Script script = Server();
    script.call = [](int64_t value, Context& self) -> Reply<Int64> {
      co_await self.Sleep(absl::Seconds(10));
      co_return MakeInt64(value);
    };
    const Pid pid = cluster_.StartScript(node, std::move(script));
    const Pid other = cluster_.StartActor("a");
    Tell(cluster_.runtime("a"), other, [&](Context& self) -> Next {
      CallOptions options;
      options.timeout = absl::InfiniteDuration();
      absl::StatusOr<Int64> answer = co_await ScriptCall(self, pid, 1, options);
      EXPECT_TRUE(answer.ok()) << answer.status();
      co_return NoReply();
    });
    cluster_.RunFor(absl::Seconds(1));
    EXPECT_TRUE(IsError(StopIt(pid, ExitReason::Normal(), absl::Seconds(1)),
                        Code::kDeadlineExceeded, "TIMEOUT", Outcome::kUnknown));
    EXPECT_TRUE(Alive(pid));
    EXPECT_THAT(terminated_, IsEmpty());
    // The order stands and takes effect in its turn.
    EXPECT_EQ(cluster_.AwaitEnd(pid), ExitReason::Normal());
    EXPECT_THAT(terminated_, ElementsAre("normal"));
  }
}

TEST_F(StopTest, PL09_TimeoutZeroGivesTheOrder) {
  OTP_CASE("PL.09", "G25");
  for (const std::string node : {"a", "b"}) {
    const Pid pid = cluster_.StartScript(node, Server());
    EXPECT_TRUE(
        IsError(StopIt(pid, ExitReason::Shutdown(), absl::ZeroDuration()),
                Code::kDeadlineExceeded, "TIMEOUT", Outcome::kUnknown));
    EXPECT_EQ(cluster_.AwaitEnd(pid), ExitReason::Shutdown());
  }
  EXPECT_THAT(terminated_, ElementsAre("shutdown", "shutdown"));
  EXPECT_TRUE(IsNoproc(StopIt(ServerRef::Local("nobody"), ExitReason::Normal(),
                              absl::ZeroDuration())));
}

TEST_F(StopTest, PL09_NamesLocalAndRemoteAndADeadNode) {
  OTP_CASE("PL.09", "G24 G25");
  for (const std::string node : {"a", "b"}) {
    const Pid pid = cluster_.StartScript(node, Server(), Names{.local = "n"});
    EXPECT_EQ(StopIt(ServerRef::Local("n", node)), absl::OkStatus());
    EXPECT_FALSE(Alive(pid));
    EXPECT_TRUE(IsNoproc(StopIt(ServerRef::Local("n", node))));
  }
  cluster_.KillNode("b");
  EXPECT_TRUE(IsError(StopIt(ServerRef::Local("n", "b")), Code::kUnavailable,
                      "NODEDOWN", Outcome::kNotExecuted));
}

// -- What else it must do
// -------------------------------------------------------

TEST_F(StopTest, TerminateRunsOnASuspendedServer) {  // otp G24 Y3
  const Pid pid = cluster_.StartScript("a", Server());
  cluster_.Do(actor_, [&](Context& self) -> Next {
    absl::Status suspended = co_await sys::Suspend(self, pid);
    EXPECT_EQ(suspended, absl::OkStatus());
    co_return NoReply();
  });
  EXPECT_EQ(StopIt(pid, ExitReason::Shutdown("enough")), absl::OkStatus());
  EXPECT_THAT(terminated_, ElementsAre("shutdown(enough)"));
}

TEST_F(StopTest, QueuedWorkIsHandledBeforeTheOrder) {  // otp Y1 P4
  std::vector<int64_t> seen;
  Script script = Server();
  script.cast = [&](int64_t value, Context&) -> Next {
    seen.push_back(value);
    return NoReply();
  };
  const Pid pid = cluster_.StartScript("b", std::move(script));
  cluster_.Do(actor_, [&](Context& self) -> Next {
    for (int i = 0; i < 3; ++i) {
      absl::Status cast = co_await ScriptCast(self, pid, i);
      EXPECT_TRUE(cast.ok());
    }
    absl::Status stopped = co_await Stop(self, pid);
    EXPECT_EQ(stopped, absl::OkStatus());
    co_return NoReply();
  });
  EXPECT_THAT(seen, ElementsAre(0, 1, 2));
}

TEST_F(StopTest, ItIsGoneWithItsNameWhenStopReturns) {  // otp G25 P8
  const Pid linked = cluster_.StartActor("a");
  const Pid pid = cluster_.StartScript("a", Server(), Names{.local = "n"});
  ASSERT_EQ(cluster_.runtime("a").Link(linked, pid), absl::OkStatus());
  cluster_.Do(actor_, [&](Context& self) -> Next {
    absl::Status stopped = co_await Stop(self, pid, ExitReason::Custom("bad"));
    EXPECT_EQ(stopped, absl::OkStatus());
    EXPECT_TRUE(self.runtime().WhereIsLocal("n").empty());
    EXPECT_EQ(self.runtime().Find(pid), nullptr);
    co_return NoReply();
  });
  // Its links have heard (otp G22).
  EXPECT_EQ(cluster_.AwaitEnd(linked), ExitReason::Custom("bad"));
}

TEST_F(StopTest, AClientOutsideAndTwoAtOnceMayStop) {  // otp G24 G25
  RuntimeCaller outside(&cluster_.runtime("a"));
  const Pid pid = cluster_.StartScript("b", Server());
  std::vector<absl::Status> results;
  for (int i = 0; i < 2; ++i) {
    Stop(outside, pid).Then([&](absl::Status status) {
      results.push_back(std::move(status));
    });
  }
  cluster_.RunUntil([&] { return results.size() == 2; });
  // The second order was queued when the first took effect.
  EXPECT_THAT(results, ElementsAre(absl::OkStatus(), absl::OkStatus()));
  EXPECT_THAT(terminated_, ElementsAre("normal"));
}

}  // namespace
}  // namespace muster
