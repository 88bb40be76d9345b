// Calls, casts and references as a calling process sees them (otp 4.1 to 4.3).
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/gen_server/start.h"
#include "node/gen_server/where_is.h"
#include "node/process/process.h"
#include "node/process/signals.h"
#include "node/supervisor/child_spec.h"
#include "tests/conformance/otp/cost.h"
#include "tests/conformance/otp/expect.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/otp_cluster.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Code = absl::StatusCode;

absl::Duration Ms(int64_t ms) { return absl::Milliseconds(ms); }

CallOptions Within(absl::Duration timeout) {
  CallOptions options;
  options.timeout = timeout;
  return options;
}

// Calls with 0 are answered, others hang for ever; the cast ends it.
Script Hangs() {
  Script script;
  script.call = [](int64_t value, Context&) -> Reply<Int64> {
    if (value == 0) return MakeInt64(0);
    return NoReply();
  };
  script.cast = [](int64_t, Context&) -> Next {
    return Stop(ExitReason::Custom("asked"));
  };
  return script;
}

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() : actor_(cluster_.StartActor("a")) {}

  void Do(Act act) { cluster_.Do(actor_, std::move(act)); }
  void Kill(const Pid& pid) {
    cluster_.runtime(pid.node).SendExit(Pid(), pid, ExitReason::Kill());
    cluster_.AwaitEnd(pid);
  }

  OtpCluster cluster_{{"a", "b"}};
  const Pid actor_;
};

// -- Child specs
// ----------------------------------------------------------------

class Minimal : public InfoServer {
 public:
  using Options = Int64;
  InitResult Init(Context&) override { return Ok(); }
};

TEST_F(ClientTest, EGS01_AChildSpecOfATypeHasIdStartAndDefaults) {
  OTP_CASE("EGS.01", "S2");
  ChildSpec spec = ChildSpec::Of<Minimal>(MakeInt64(7), "counter");
  EXPECT_TRUE(CheckChildSpec(spec).ok());
  EXPECT_EQ(spec.id, "counter");
  EXPECT_EQ(spec.name, "counter");
  EXPECT_NE(dynamic_cast<Minimal*>(spec.factory().get()), nullptr);
  Payload init = spec.init();
  ASSERT_NE(init.As<Int64>(), nullptr);
  EXPECT_EQ(init.As<Int64>()->value(), 7);
  EXPECT_EQ(spec.restart, Restart::kPermanent);
  EXPECT_EQ(spec.shutdown_or_default(), Shutdown::Within(absl::Seconds(5)));
  EXPECT_EQ(spec.type, ChildType::kWorker);
  EXPECT_FALSE(spec.significant);

  spec.id = "other";
  spec.restart = Restart::kTemporary;
  spec.shutdown = Shutdown::BrutalKill();
  EXPECT_EQ(spec.id, "other");
  EXPECT_EQ(spec.name, "counter");
  EXPECT_EQ(spec.restart, Restart::kTemporary);
  EXPECT_TRUE(spec.shutdown_or_default().brutal_kill());
}

TEST_F(ClientTest, EGS01_ASupervisorsDefaultShutdownIsInfinite) {
  OTP_CASE("EGS.01", "S2");
  ChildSpec spec = ChildSpec::Of<Minimal>(MakeInt64(7), "tree");
  spec.type = ChildType::kSupervisor;
  EXPECT_EQ(spec.shutdown_or_default(),
            Shutdown::Within(absl::InfiniteDuration()));
}

// -- A linked server, casts
// -----------------------------------------------------

TEST_F(ClientTest, EGS05_ALinkedServerTakesCastsInOrderAndDiesWithItsStarter) {
  OTP_CASE("EGS.05", "C16 L5 G3");
  std::vector<int64_t> seen;
  Script script;
  script.call = [&](int64_t value, Context&) -> Reply<Int64> {
    seen.push_back(value);
    return MakeInt64(value);
  };
  script.cast = [&](int64_t value, Context&) -> Next {
    seen.push_back(value);
    return NoReply();
  };
  const Pid starter = cluster_.StartActor("a");
  Pid server;
  cluster_.Do(starter, [&](Context& self) -> Next {
    auto start = StartLink(self, ScriptServer::Make(script), Payload());
    absl::StatusOr<Pid> pid = co_await start;
    EXPECT_TRUE(pid.ok()) << pid.status();
    server = *pid;
    ScriptCast(self, server, 1);
    ScriptCast(self, server, 2);
    auto call = ScriptCall(self, server, 3);
    absl::StatusOr<Int64> got = co_await call;
    EXPECT_TRUE(got.ok()) << got.status();
    co_return NoReply();
  });
  EXPECT_THAT(seen, ElementsAre(1, 2, 3));
  cluster_.runtime("a").SendExit(Pid(), starter, ExitReason::Custom("boom"));
  cluster_.RunReady();
  EXPECT_EQ(cluster_.runtime("a").Find(server), nullptr);
}

TEST_F(ClientTest, EGS05_AStoppedLinkedServerEndsAsItWasTold) {
  OTP_CASE("EGS.05", "G19 G22");
  std::vector<std::string> seen;
  const Pid starter = cluster_.StartActor("a", [&](Info info, Context&) {
    if (const Exit* exit = info.As<Exit>()) {
      seen.push_back(exit->reason.ToString());
    }
    return Next();
  });
  cluster_.Do(starter, [&](Context& self) -> Next {
    self.TrapExit(true);
    auto start = StartLink(self, ScriptServer::Make(), Payload());
    absl::StatusOr<Pid> pid = co_await start;
    EXPECT_TRUE(pid.ok()) << pid.status();
    self.SendExit(*pid, ExitReason::Shutdown());
    co_return NoReply();
  });
  cluster_.RunReady();
  EXPECT_THAT(seen, ElementsAre("shutdown"));
}

TEST_F(ClientTest, EGS05_CastsToWhoeverIsMissingAreOk) {
  OTP_CASE("EGS.05", "C2 C15 C17");
  const Pid dead = cluster_.StartScript("b");
  Kill(dead);
  Do([&](Context& self) -> Next {
    for (const ServerRef& to :
         {ServerRef::Local("nobody"), ServerRef::Local("nobody", "a"),
          ServerRef::Local("nobody", "b"),
          ServerRef::Local("x", "unknown-node"), ServerRef::Global("nobody"),
          ServerRef::Global(""), ServerRef::Via("reg", "nobody"),
          ServerRef::Via("no-registry", "x"), ServerRef(dead),
          ServerRef(Pid{"unknown-node", Epoch{1, 1}, 1})}) {
      PendingCast cast = ScriptCast(self, to, 1);
      EXPECT_TRUE(cast.await_ready()) << to.ToString();
      const absl::Status status = co_await cast;
      EXPECT_TRUE(status.ok()) << to.ToString() << ": " << status;
      // A plain message is lost without a word, too.
      self.Send(to, Info(MakeInt64(1)));
    }
    co_return NoReply();
  });
  cluster_.RunFor(absl::Seconds(10));
}

TEST_F(ClientTest, GS35_ACastDoesNotWaitForAConnection) {
  OTP_CASE("GS.35", "C15");
  // The peer takes the connection and never says a word.
  cluster_.net().muted_ = true;
  const Pid there{"b", cluster_.runtime("b").epoch(), 1};
  Do([&](Context& self) -> Next {
    const BootTime before = self.Now();
    for (const ServerRef& to :
         {ServerRef(there), ServerRef::Local("server", "b")}) {
      PendingCast cast = ScriptCast(self, to, 1);
      EXPECT_TRUE(cast.await_ready());
      const absl::Status status = co_await cast;
      EXPECT_TRUE(status.ok()) << status;
    }
    EXPECT_EQ(self.Now(), before);
    co_return NoReply();
  });
}

// -- Calls that fail
// -------------------------------------------------------------

TEST_F(ClientTest, GS46_ARemoteServerThatIsKilledFailsTheCallByPid) {
  OTP_CASE("GS.46", "C5 C11");
  const Pid server = cluster_.StartScript("b", Hangs(), Names{"server"});
  cluster_.runtime("b").scheduler().At(cluster_.Now("b") + Ms(50), [&] {
    cluster_.runtime("b").SendExit(Pid(), server, ExitReason::Kill());
  });
  Do([&](Context& self) -> Next {
    auto call = ScriptCall(self, server, 1);
    absl::StatusOr<Int64> got = co_await call;
    EXPECT_TRUE(IsError(got.status(), Code::kAborted, "CALLEE_EXITED",
                        Outcome::kUnknown));
    EXPECT_EQ(DetailOf(got.status(), "exit_reason"), "killed");
    auto again = ScriptCall(self, server, 1);
    got = co_await again;
    EXPECT_TRUE(IsError(got.status(), Code::kNotFound, "NOPROC",
                        Outcome::kNotExecuted));
    co_return NoReply();
  });
}

TEST_F(ClientTest, GS47_ARemoteServerThatIsKilledFailsTheCallByNameAndNode) {
  OTP_CASE("GS.47", "C5 C11");
  const Pid server = cluster_.StartScript("b", Hangs(), Names{"server"});
  const ServerRef to = ServerRef::Local("server", "b");
  cluster_.runtime("b").scheduler().At(cluster_.Now("b") + Ms(50), [&] {
    cluster_.runtime("b").SendExit(Pid(), server, ExitReason::Kill());
  });
  Do([&](Context& self) -> Next {
    auto call = ScriptCall(self, to, 1);
    absl::StatusOr<Int64> got = co_await call;
    EXPECT_TRUE(IsError(got.status(), Code::kAborted, "CALLEE_EXITED",
                        Outcome::kUnknown));
    EXPECT_EQ(DetailOf(got.status(), "exit_reason"), "killed");
    auto again = ScriptCall(self, to, 1);
    got = co_await again;
    EXPECT_TRUE(IsError(got.status(), Code::kNotFound, "NOPROC",
                        Outcome::kNotExecuted));
    co_return NoReply();
  });
}

TEST_F(ClientTest, GS48_AGlobalNameOfAStoppedNodeIsNoprocOnceItIsFree) {
  OTP_CASE("GS.48", "C7");
  cluster_.StartScript("b", Hangs(), Names{"", "global"});
  cluster_.KillNode("b");
  Do([&](Context& self) -> Next {
    // The name's record stands: its owner may still act (guarantees R5).
    auto call = ScriptCall(self, "global", 0);
    absl::StatusOr<Int64> got = co_await call;
    EXPECT_TRUE(IsError(got.status(), Code::kUnavailable, "NODEDOWN",
                        Outcome::kNotExecuted));
    cluster_.FreeNames("b");
    auto again = ScriptCall(self, "global", 0);
    got = co_await again;
    EXPECT_TRUE(IsError(got.status(), Code::kNotFound, "NOPROC",
                        Outcome::kNotExecuted));
    co_return NoReply();
  });
}

TEST_F(ClientTest, GS49_APidOfAStoppedNodeIsNodedown) {
  OTP_CASE("GS.49", "C5 C11");
  const Pid server = cluster_.StartScript("b", Hangs(), Names{"server"});
  Do([&](Context& self) -> Next {
    auto call = ScriptCall(self, server, 0);
    absl::StatusOr<Int64> got = co_await call;
    EXPECT_TRUE(got.ok()) << got.status();
    co_return NoReply();
  });
  cluster_.KillNode("b");
  Do([&](Context& self) -> Next {
    for (const ServerRef& to :
         {ServerRef(server), ServerRef::Local("server", "b")}) {
      auto call = ScriptCall(self, to, 0);
      absl::StatusOr<Int64> got = co_await call;
      EXPECT_TRUE(IsError(got.status(), Code::kUnavailable, "NODEDOWN",
                          Outcome::kNotExecuted))
          << to.ToString();
      EXPECT_TRUE(absl::StrContains(got.status().message(), "b"));
    }
    co_return NoReply();
  });
}

TEST_F(ClientTest, GS50_AProcessThatCallsItselfIsToldSo) {
  OTP_CASE("GS.50", "C8");
  std::vector<absl::Status> statuses;
  Script script;
  script.call = [&](int64_t, Context& self) -> Reply<Int64> {
    for (const absl::Duration timeout :
         {absl::Duration(absl::Seconds(5)), absl::InfiniteDuration()}) {
      auto call = ScriptCall(self, self.pid(), 1, Within(timeout));
      absl::StatusOr<Int64> got = co_await call;
      statuses.push_back(got.status());
    }
    co_return MakeInt64(0);
  };
  const Pid server = cluster_.StartScript("a", script);
  Do([&](Context& self) -> Next {
    const BootTime before = self.Now();
    auto call = ScriptCall(self, server, 1);
    absl::StatusOr<Int64> got = co_await call;
    EXPECT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(self.Now(), before);
    co_return NoReply();
  });
  ASSERT_EQ(statuses.size(), 2u);
  for (const absl::Status& status : statuses) {
    EXPECT_TRUE(IsError(status, Code::kFailedPrecondition, "CALLING_SELF",
                        Outcome::kNotExecuted));
  }
}

TEST_F(ClientTest, EGS06_CallingSelfIsSeenThroughEveryKindOfReference) {
  OTP_CASE("EGS.06", "C8");
  std::vector<std::string> reasons;
  Script script;
  script.call = [&](int64_t, Context& self) -> Reply<Int64> {
    for (const ServerRef& to :
         {ServerRef(self.pid()), ServerRef::Local("local"),
          ServerRef::Local("local", "a"), ServerRef::Global("global"),
          ServerRef::Via("reg", "key")}) {
      auto call = ScriptCall(self, to, 1);
      absl::StatusOr<Int64> got = co_await call;
      reasons.push_back(ReasonOf(got.status()));
    }
    co_return MakeInt64(0);
  };
  const Pid server =
      cluster_.StartScript("a", script, Names{"local", "global", "key"});
  Do([&](Context& self) -> Next {
    auto call = ScriptCall(self, server, 1);
    absl::StatusOr<Int64> got = co_await call;
    EXPECT_TRUE(got.ok()) << got.status();
    co_return NoReply();
  });
  EXPECT_THAT(reasons,
              ElementsAre("CALLING_SELF", "CALLING_SELF", "CALLING_SELF",
                          "CALLING_SELF", "CALLING_SELF"));
}

TEST_F(ClientTest, EGS07_NoReplyInTimeIsTimeout) {
  OTP_CASE("EGS.07", "C3 C5 C10");
  const Pid server = cluster_.StartScript("a", Hangs());
  Do([&](Context& self) -> Next {
    const BootTime before = self.Now();
    auto call = ScriptCall(self, server, 1, Within(Ms(1)));
    absl::StatusOr<Int64> got = co_await call;
    EXPECT_EQ(self.Now() - before, Ms(1));
    EXPECT_TRUE(IsError(got.status(), Code::kDeadlineExceeded, "TIMEOUT",
                        Outcome::kUnknown));
    EXPECT_TRUE(absl::StrContains(got.status().message(), server.ToString()));
    co_return NoReply();
  });
}

TEST_F(ClientTest, EGS07_TheNullNameAndAStoppedPidAreNoproc) {
  OTP_CASE("EGS.07", "C2 C5 P5");
  const Pid dead = cluster_.StartScript("a");
  Kill(dead);
  const Pid remote = cluster_.StartScript("b");
  Kill(remote);
  Do([&](Context& self) -> Next {
    for (const ServerRef& to :
         {ServerRef::Local(""), ServerRef::Local("", "a"),
          ServerRef::Local("", "b"), ServerRef::Global(""),
          ServerRef::Via("reg", ""), ServerRef(Pid()), ServerRef(dead),
          ServerRef(remote), ServerRef::Local("nobody"),
          ServerRef::Global("nobody")}) {
      auto call = ScriptCall(self, to, 0);
      absl::StatusOr<Int64> got = co_await call;
      EXPECT_TRUE(IsError(got.status(), Code::kNotFound, "NOPROC",
                          Outcome::kNotExecuted))
          << to.ToString();
      EXPECT_TRUE(absl::StrContains(got.status().message(), to.ToString()))
          << got.status();
    }
    co_return NoReply();
  });
}

TEST_F(ClientTest, EGS07_AnUnknownNodeIsNodedown) {
  OTP_CASE("EGS.07", "C5");
  Do([&](Context& self) -> Next {
    auto call = ScriptCall(self, ServerRef::Local("x", "unknown-node"), 0);
    absl::StatusOr<Int64> got = co_await call;
    EXPECT_TRUE(IsError(got.status(), Code::kUnavailable, "NODEDOWN",
                        Outcome::kNotExecuted));
    EXPECT_TRUE(absl::StrContains(got.status().message(), "unknown-node"));
    co_return NoReply();
  });
}

TEST_F(ClientTest, EGS07_TimeoutsAreZeroOrMoreOrInfinite) {
  OTP_CASE("EGS.07", "C3");
  int calls = 0;
  Script script;
  script.call = [&](int64_t value, Context&) -> Reply<Int64> {
    ++calls;
    return MakeInt64(value);
  };
  const Pid server = cluster_.StartScript("a", script);
  const Pid remote = cluster_.StartScript("b", script);
  Do([&](Context& self) -> Next {
    for (const Pid& to : {server, remote}) {
      for (const absl::Duration negative :
           {absl::Duration(-absl::Nanoseconds(1)), -absl::InfiniteDuration()}) {
        auto call = ScriptCall(self, to, 0, Within(negative));
        absl::StatusOr<Int64> got = co_await call;
        EXPECT_TRUE(IsError(got.status(), Code::kInvalidArgument, "BAD_TIMEOUT",
                            Outcome::kNotExecuted));
      }
      const BootTime before = self.Now();
      auto zero = ScriptCall(self, to, 0, Within(absl::ZeroDuration()));
      absl::StatusOr<Int64> got = co_await zero;
      EXPECT_TRUE(IsError(got.status(), Code::kDeadlineExceeded, "TIMEOUT",
                          Outcome::kNotExecuted));
      EXPECT_EQ(self.Now(), before);
      auto ever = ScriptCall(self, to, 0, Within(absl::InfiniteDuration()));
      got = co_await ever;
      EXPECT_TRUE(got.ok()) << got.status();
    }
    // With no time left, what is known at once is still said.
    auto nobody = ScriptCall(self, ServerRef::Local("nobody"), 0,
                             Within(absl::ZeroDuration()));
    absl::StatusOr<Int64> got = co_await nobody;
    EXPECT_EQ(ReasonOf(got.status()), "NOPROC");
    co_return NoReply();
  });
  // Nothing of what had no time ran.
  EXPECT_EQ(calls, 2);
}

// -- Where a server is
// -----------------------------------------------------------

TEST_F(ClientTest, EGS11_WhereIsServerKnowsEveryKindOfReference) {
  OTP_CASE("EGS.11", "C1 C2");
  const Pid here =
      cluster_.StartScript("a", Script(), Names{"local", "global", "key"});
  const Pid there =
      cluster_.StartScript("b", Script(), Names{"local", "far", "far-key"});
  Do([&](Context& self) {
    const auto where = [&](const ServerRef& ref) {
      return WhereIsServer(self, ref);
    };
    EXPECT_EQ(where(here), ServerRef(here));
    EXPECT_EQ(where(there), ServerRef(there));
    EXPECT_EQ(where(ServerRef::Local("local")), ServerRef(here));
    EXPECT_EQ(where(ServerRef::Local("local", "a")), ServerRef(here));
    // Only the other node knows.
    EXPECT_EQ(where(ServerRef::Local("local", "b")),
              ServerRef::Local("local", "b"));
    EXPECT_EQ(where(ServerRef::Global("global")), ServerRef(here));
    EXPECT_EQ(where(ServerRef::Global("far")), ServerRef(there));
    EXPECT_EQ(where(ServerRef::Via("reg", "key")), ServerRef(here));
    EXPECT_EQ(where(ServerRef::Via("reg", "far-key")), ServerRef(there));
    for (const ServerRef& unknown :
         {ServerRef::Local("nobody"), ServerRef::Local("nobody", "a"),
          ServerRef::Global("nobody"), ServerRef::Global(""),
          ServerRef::Via("reg", "nobody"), ServerRef::Via("none", "key")}) {
      EXPECT_EQ(where(unknown), std::nullopt) << unknown.ToString();
    }
    return Next();
  });
}

// -- Cost (otp C13)
// ---------------------------------------------------------------

TEST_F(ClientTest, GS61_ALongMailboxOfTheCallerCostsACallNothing) {
  OTP_CASE("GS.61", "C13");
  const Pid server = cluster_.StartScript("a");
  ExpectSameCostWithALongMailbox(cluster_, [&](Context& self) -> Next {
    for (int i = 0; i < 10'000; ++i) {
      auto call = ScriptCall(self, server, i);
      absl::StatusOr<Int64> got = co_await call;
      EXPECT_EQ(got->value(), i);
    }
    co_return NoReply();
  });
}

}  // namespace
}  // namespace muster
