// Exits: signals, links, monitors, exceptions (otp 1.2 to 1.5, 16.1).
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/process/process.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = ExitReason::Kind;

class ExitTest : public ::testing::Test {
 protected:
  // A server that runs whatever function it is sent and notes exits, downs and
  // its Terminate.
  using Job = std::function<void(Context&)>;
  Script Worker(bool trap = false) {
    Script script;
    script.init = [trap](Context& self) -> InitResult {
      self.TrapExit(trap);
      return Ok();
    };
    script.info = [this](Info info, Context& self) -> Next {
      if (const Job* job = info.As<Job>()) (*job)(self);
      if (const Exit* exit = info.As<Exit>()) {
        seen_.push_back(absl::StrCat("exit ", exit->reason.ToString()));
        last_from_ = exit->from;
      }
      if (const Down* down = info.As<Down>()) {
        seen_.push_back(absl::StrCat("down ", down->reason.ToString()));
        last_down_.emplace(*down);
      }
      return NoReply();
    };
    script.terminate = [this](const ExitReason& reason, Context&) -> Next {
      seen_.push_back(absl::StrCat("terminate ", reason.ToString()));
      return NoReply();
    };
    return script;
  }
  Pid Start(Script script, absl::string_view name = "") {
    const Pid pid = *sim_.Start(ScriptServer::Make(std::move(script)), name);
    sim_.runtime().ObserveExit(
        pid, [this, pid](ExitReason reason) { ended_.emplace(pid, reason); });
    return pid;
  }
  // Runs `job` in process `pid`.
  void In(const Pid& pid, Job job) {
    sim_.runtime().Send(pid, Info(std::move(job)));
    sim_.RunReady();
  }
  void SendExit(const Pid& to, const ExitReason& reason,
                const Pid& from = Pid{"a", Epoch{1, 7}, 999}) {
    sim_.runtime().SendExit(from, to, reason);
    sim_.RunReady();
  }
  // "alive", or the reason it ended with.
  std::string State(const Pid& pid) {
    const auto at = ended_.find(pid);
    return at == ended_.end() ? "alive" : at->second.ToString();
  }

  std::vector<std::string> seen_;
  std::optional<Down> last_down_;
  Pid last_from_;
  std::map<Pid, ExitReason> ended_;
  SimRuntime sim_;
};

// -- The table of otp 1.3, one test a row. ------------------------------------

TEST_F(ExitTest, ExplicitKillCannotBeTrapped) {  // otp 1.3 row 1, P10, G20
  for (const bool trap : {false, true}) {
    const Pid pid = Start(Worker(trap));
    SendExit(pid, ExitReason::Kill());
    EXPECT_EQ(State(pid), "killed");
  }
  EXPECT_THAT(seen_, IsEmpty());
}

TEST_F(ExitTest, ExplicitNormalFromAnother) {  // otp 1.3 row 2
  const Pid plain = Start(Worker());
  SendExit(plain, ExitReason::Normal());
  EXPECT_EQ(State(plain), "alive");
  const Pid trapping = Start(Worker(true));
  SendExit(trapping, ExitReason::Normal());
  EXPECT_EQ(State(trapping), "alive");
  EXPECT_THAT(seen_, ElementsAre("exit normal"));
}

TEST_F(ExitTest, ExplicitNormalToItself) {  // otp 1.3 row 3
  const Pid plain = Start(Worker());
  In(plain,
     [](Context& self) { self.SendExit(self.pid(), ExitReason::Normal()); });
  EXPECT_EQ(State(plain), "normal");
  const Pid trapping = Start(Worker(true));
  In(trapping,
     [](Context& self) { self.SendExit(self.pid(), ExitReason::Normal()); });
  EXPECT_EQ(State(trapping), "alive");
  EXPECT_THAT(seen_, ElementsAre("exit normal"));
}

TEST_F(ExitTest, ExplicitOtherReason) {  // otp 1.3 row 4
  const Pid plain = Start(Worker());
  SendExit(plain, ExitReason::Custom("x"));
  EXPECT_EQ(State(plain), ExitReason::Custom("x").ToString());
  EXPECT_THAT(seen_, IsEmpty());  // otp G20, S26
  const Pid trapping = Start(Worker(true));
  SendExit(trapping, ExitReason::Custom("x"));
  EXPECT_EQ(State(trapping), "alive");
  EXPECT_EQ(seen_.size(), 1u);
}

TEST_F(ExitTest, LinkWithNormal) {  // otp 1.3 row 5
  for (const bool trap : {false, true}) {
    const Pid pid = Start(Worker(trap));
    Script stopping = Script();
    stopping.cast = [](int64_t, Context&) -> Next {
      return Stop(ExitReason::Normal());
    };
    const Pid other = Start(stopping);
    ASSERT_TRUE(sim_.runtime().Link(pid, other).ok());
    ScriptCast(sim_.caller(), other, 0);
    sim_.RunReady();
    EXPECT_EQ(State(other), "normal");
    EXPECT_EQ(State(pid), "alive");
    EXPECT_EQ(seen_.size(), trap ? 1u : 0u);
  }
  EXPECT_THAT(seen_, ElementsAre("exit normal"));
}

TEST_F(ExitTest, LinkWithKill) {  // otp 1.3 row 6, P10
  for (const bool trap : {false, true}) {
    const Pid pid = Start(Worker(trap));
    Script stopping = Script();
    stopping.cast = [](int64_t, Context&) -> Next {
      return Stop(ExitReason::Kill());
    };
    const Pid other = Start(stopping);
    ASSERT_TRUE(sim_.runtime().Link(pid, other).ok());
    ScriptCast(sim_.caller(), other, 0);
    sim_.RunReady();
    EXPECT_EQ(State(other), "kill");
    EXPECT_EQ(State(pid), trap ? "alive" : "kill");
  }
  EXPECT_THAT(seen_, ElementsAre("exit kill"));
}

TEST_F(ExitTest, LinkWithAnyOther) {  // otp 1.3 row 7, P10
  for (const bool trap : {false, true}) {
    const Pid pid = Start(Worker(trap));
    const Pid other = Start(Worker());
    ASSERT_TRUE(sim_.runtime().Link(pid, other).ok());
    SendExit(other, ExitReason::Kill());
    EXPECT_EQ(State(other), "killed");
    EXPECT_EQ(State(pid), trap ? "alive" : "killed");
    if (trap) {
      EXPECT_EQ(last_from_, other);
    }
  }
  EXPECT_THAT(seen_, ElementsAre("exit killed"));
}

TEST_F(ExitTest, LinkRemovedMeanwhile) {  // otp 1.3 row 8, L2
  for (const bool trap : {false, true}) {
    const Pid pid = Start(Worker(trap));
    const Pid other = Start(Worker());
    ASSERT_TRUE(sim_.runtime().Link(pid, other).ok());
    sim_.runtime().Unlink(pid, other);
    SendExit(other, ExitReason::Custom("x"));
    EXPECT_EQ(State(pid), "alive");
  }
  EXPECT_THAT(seen_, IsEmpty());
}

// -- Links --------------------------------------------------------------------

TEST_F(ExitTest, LinkingTwiceOrToItselfChangesNothing) {  // otp L1
  const Pid pid = Start(Worker(true));
  const Pid other = Start(Worker());
  ASSERT_TRUE(sim_.runtime().Link(pid, pid).ok());
  ASSERT_TRUE(sim_.runtime().Link(pid, other).ok());
  ASSERT_TRUE(sim_.runtime().Link(other, pid).ok());
  SendExit(other, ExitReason::Custom("x"));
  EXPECT_EQ(seen_.size(), 1u);
}

TEST_F(ExitTest, LinkingToTheDead) {  // otp L3
  const Pid dead = Start(Worker());
  SendExit(dead, ExitReason::Kill());
  const Pid trapping = Start(Worker(true));
  EXPECT_TRUE(sim_.runtime().Link(trapping, dead).ok());
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("exit noproc"));
  EXPECT_EQ(last_from_, dead);
  const Pid plain = Start(Worker());
  const absl::Status status = sim_.runtime().Link(plain, dead);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_EQ(ReasonOf(status), "NOPROC");
  sim_.RunReady();
  EXPECT_EQ(State(plain), "alive");
  EXPECT_EQ(seen_.size(), 1u);
  EXPECT_EQ(sim_.runtime().Tables().links, 0u);
}

TEST_F(ExitTest, ExitsTravelAlongAChainOfLinks) {  // otp L1
  std::vector<Pid> chain;
  for (int i = 0; i < 50; ++i) {
    chain.push_back(Start(Worker()));
    if (i > 0) {
      ASSERT_TRUE(sim_.runtime().Link(chain[i - 1], chain[i]).ok());
    }
  }
  SendExit(chain[25], ExitReason::Custom("x"));
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
}

// -- Monitors -----------------------------------------------------------------

TEST_F(ExitTest, EachMonitorFiresOnce) {  // otp M1, M2
  const Pid pid = Start(Worker());
  const Pid other = Start(Worker());
  In(pid, [&](Context& self) {
    for (int i = 0; i < 3; ++i) self.Monitor(other);
  });
  SendExit(other, ExitReason::Shutdown());
  EXPECT_THAT(seen_,
              ElementsAre("down shutdown", "down shutdown", "down shutdown"));
  EXPECT_EQ(last_down_->pid, other);
}

TEST_F(ExitTest, MonitoringTheDeadIsNoproc) {  // otp M3
  const Pid pid = Start(Worker());
  In(pid, [](Context& self) {
    self.Monitor(ServerRef::Local("nobody"));
    self.Monitor(Pid{"a", Epoch{1, 7}, 4711});
    self.Monitor(Pid{"a", Epoch{1, 6}, 1});
  });
  EXPECT_THAT(seen_, ElementsAre("down noproc", "down noproc", "down noproc"));
}

TEST_F(ExitTest, AMonitorByNameStaysWithItsProcess) {  // otp M4
  const Pid first = Start(Worker(), "n");
  const Pid pid = Start(Worker());
  In(pid, [](Context& self) { self.Monitor(ServerRef::Local("n")); });
  SendExit(first, ExitReason::Kill());
  EXPECT_THAT(seen_, ElementsAre("down killed"));
  const Pid second = Start(Worker(), "n");
  SendExit(second, ExitReason::Kill());
  EXPECT_EQ(seen_.size(), 1u);
}

TEST_F(ExitTest, DemonitorActive) {  // otp M5
  const Pid pid = Start(Worker());
  const Pid other = Start(Worker());
  std::vector<bool> active;
  In(pid, [&](Context& self) {
    const MonitorRef ref = self.Monitor(other);
    const DemonitorOptions info = {.info = true};
    active.push_back(self.Demonitor(ref, info));
    active.push_back(self.Demonitor(ref, info));
    active.push_back(self.Demonitor(MonitorRef{12345}, info));
    active.push_back(self.Demonitor(MonitorRef{12345}));
  });
  SendExit(other, ExitReason::Kill());
  EXPECT_THAT(active, ElementsAre(true, false, false, true));
  EXPECT_THAT(seen_, IsEmpty());
}

TEST_F(ExitTest, DemonitorWithADownInTheMailbox) {  // otp M5
  for (const bool flush : {false, true}) {
    seen_.clear();
    const Pid pid = Start(Worker());
    bool active = true;
    In(pid, [&](Context& self) {
      // There is none: its Down is queued behind this handler.
      const MonitorRef ref = self.Monitor(ServerRef::Local("nobody"));
      active = self.Demonitor(ref, {.flush = flush, .info = true});
    });
    EXPECT_FALSE(active);
    EXPECT_EQ(seen_.size(), flush ? 0u : 1u);
  }
}

TEST_F(ExitTest, MonitoringItselfNeverFires) {  // otp M6
  const Pid pid = Start(Worker(), "me");
  In(pid, [](Context& self) {
    self.Monitor(self.pid());
    self.Monitor(ServerRef::Local("me"));
  });
  SendExit(pid, ExitReason::Kill());
  EXPECT_THAT(seen_, IsEmpty());
}

TEST_F(ExitTest, NamesAreFreeBeforeAnybodyHears) {  // otp P8
  const Pid first = Start(Worker(), "n");
  Script watcher = Worker(true);
  std::vector<bool> free;
  watcher.info = [&](Info info, Context& self) -> Next {
    if (const Job* job = info.As<Job>()) (*job)(self);
    if (info.As<Down>() != nullptr || info.As<Exit>() != nullptr) {
      free.push_back(self.runtime().WhereIsLocal("n").empty());
    }
    return NoReply();
  };
  const Pid pid = Start(watcher);
  ASSERT_TRUE(sim_.runtime().Link(pid, first).ok());
  In(pid, [&](Context& self) { self.Monitor(first); });
  sim_.runtime().ObserveExit(first, [&](const ExitReason&) {
    free.push_back(sim_.runtime().WhereIsLocal("n").empty());
  });
  SendExit(first, ExitReason::Kill());
  EXPECT_THAT(free, ElementsAre(true, true, true));
}

TEST_F(ExitTest, ObserversHearOnceAndOnlyIfAsked) {
  const Pid pid = Start(Worker());
  int heard = 0;
  sim_.runtime().ObserveExit(pid, [&](const ExitReason&) { ++heard; });
  const uint64_t other =
      sim_.runtime().ObserveExit(pid, [&](const ExitReason&) { heard += 10; });
  sim_.runtime().StopObserving(pid, other);
  SendExit(pid, ExitReason::Kill());
  EXPECT_EQ(heard, 1);
  std::optional<ExitReason> late;
  EXPECT_EQ(sim_.runtime().ObserveExit(
                pid, [&](ExitReason r) { late = std::move(r); }),
            0u);
  EXPECT_EQ(late->kind(), Kind::kNoproc);
}

// -- Trapping and the parent --------------------------------------------------

TEST_F(ExitTest, TheParentsExitIsAnOrder) {  // otp G2, G3, G4, H10
  Script parent = Worker(true);
  const Pid parent_pid = Start(parent);
  Pid child;
  Script child_script = Worker(true);
  for (const ExitReason& reason : {ExitReason::Shutdown(), ExitReason::Normal(),
                                   ExitReason::Custom("why")}) {
    seen_.clear();
    In(parent_pid, [&](Context& self) {
      StartLink(self, ScriptServer::Make(child_script), Payload())
          .Then([&](absl::StatusOr<Pid> pid) { child = *pid; });
    });
    In(parent_pid, [&](Context& self) { self.SendExit(child, reason); });
    EXPECT_THAT(seen_, ElementsAre("terminate " + reason.ToString(),
                                   "exit " + reason.ToString()));
    EXPECT_FALSE(sim_.Alive(child));
  }
  // Without a parent it is an info like any other.
  seen_.clear();
  const Pid orphan = Start(Worker(true));
  SendExit(orphan, ExitReason::Shutdown());
  EXPECT_THAT(seen_, ElementsAre("exit shutdown"));
}

TEST_F(ExitTest, TheSystemsExitIsAnOrderToo) {
  const Pid pid = Start(Worker(true));
  EXPECT_EQ(sim_.Stop(pid).kind(), Kind::kShutdown);
  EXPECT_THAT(seen_, ElementsAre("terminate shutdown"));
}

TEST_F(ExitTest, StopKillsAfterItsLimit) {  // otp S25
  Script script;
  script.init = [](Context& self) -> InitResult {
    self.TrapExit(true);
    return Ok();
  };
  script.terminate = [](const ExitReason&, Context& self) -> Next {
    co_await self.Sleep(absl::Hours(1));
    co_return NoReply();
  };
  const Pid pid = Start(script);
  const BootTime before = sim_.Now();
  EXPECT_EQ(sim_.Stop(pid, absl::Seconds(3)).kind(), Kind::kKilled);
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(3));
  EXPECT_EQ(sim_.Stop(pid).kind(), Kind::kNoproc);
}

// -- Exceptions ---------------------------------------------------------------

TEST_F(ExitTest, AnExceptionEndsOnlyItsProcess) {  // otp P6, G19, G23, 16.1
  const Pid neighbour = Start(Worker());
  Script script = Worker();
  script.call = [](int64_t value, Context& self) -> Reply<Int64> {
    if (value == 0) throw std::runtime_error("no luck");
    if (value == 1) throw 42;
    co_await self.Sleep(absl::Seconds(1));
    throw std::logic_error("after a wait");
  };
  const std::vector<std::string> texts = {"std::runtime_error: no luck", "int",
                                          "std::logic_error: after a wait"};
  for (int i = 0; i < 3; ++i) {
    seen_.clear();
    const Pid pid = Start(script);
    const absl::Status status =
        sim_.Call<Int64>(pid, kScriptCall, MakeInt64(i)).status();
    EXPECT_EQ(ReasonOf(status), "CALLEE_EXITED") << status;
    EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
    EXPECT_TRUE(absl::StrContains(DetailOf(status, "exit_reason"), texts[i]))
        << status;
    EXPECT_EQ(ended_.at(pid).kind(), Kind::kException);
    ASSERT_EQ(seen_.size(), 1u);
    EXPECT_TRUE(absl::StrContains(seen_[0], texts[i])) << seen_[0];
  }
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, "crashed: exception"), 3u);
  EXPECT_EQ(State(neighbour), "alive");
}

TEST_F(ExitTest, APlainHandlerMayThrowToo) {  // otp P6
  Script script = Worker();
  script.cast = [](int64_t, Context&) -> Next { throw std::string("text"); };
  const Pid pid = Start(script);
  ScriptCast(sim_.caller(), pid, 0);
  sim_.RunReady();
  EXPECT_EQ(ended_.at(pid).kind(), Kind::kException);
  EXPECT_EQ(seen_.size(), 1u);
}

TEST_F(ExitTest, WhatTerminateThrowsReplacesTheReason) {  // otp G21, G22
  Script script;
  script.cast = [](int64_t, Context&) -> Next {
    return Stop(ExitReason::Shutdown());
  };
  script.terminate = [](const ExitReason&, Context&) -> Next {
    throw std::runtime_error("worse");
  };
  const Pid pid = Start(script);
  const Pid linked = Start(Worker(true));
  ASSERT_TRUE(sim_.runtime().Link(linked, pid).ok());
  ScriptCast(sim_.caller(), pid, 0);
  sim_.RunReady();
  EXPECT_TRUE(absl::StrContains(State(pid), "worse")) << State(pid);
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_TRUE(absl::StrContains(seen_[0], "worse")) << seen_[0];
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, "worse"), 1u);
}

TEST_F(ExitTest, AbnormalStopsAreReportedNormalOnesAreNot) {  // otp G23, P7
  Script script;
  script.cast = [](int64_t value, Context&) -> Next {
    if (value == 0) return Stop(ExitReason::Shutdown("fine"));
    return Stop(ExitReason::Custom("not fine"));
  };
  ScriptCast(sim_.caller(), Start(script), 0);
  ScriptCast(sim_.caller(), Start(script), 1);
  sim_.RunReady();
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, "crashed"), 1u);
}

TEST_F(ExitTest, AKilledHandlersWordsAreDiscarded) {  // otp 16.1.2
  const Pid other = Start(Worker(true));
  Script script = Worker();
  absl::Status cast;
  script.call = [&](int64_t, Context& self) -> Reply<Int64> {
    self.SendExit(self.pid(), ExitReason::Kill());
    self.Send(other, Info(Job([](Context&) { FAIL() << "was sent"; })));
    self.StartCast(other, kScriptCast, Payload::Of(MakeInt64(1)), CallOptions(),
                   [&](absl::Status s) { cast = std::move(s); });
    return MakeInt64(1);
  };
  const Pid pid = Start(script);
  const absl::Status status =
      sim_.Call<Int64>(pid, kScriptCall, MakeInt64(0)).status();
  EXPECT_EQ(ReasonOf(status), "CALLEE_EXITED");
  EXPECT_EQ(ReasonOf(cast), "EXITING");
  EXPECT_EQ(State(pid), "killed");
  EXPECT_THAT(seen_, IsEmpty());
}

TEST_F(ExitTest, CallsThatComeWhileItGoesAreAnsweredWithItsNameFree) {  // P8
  Pid pid;
  std::vector<std::string> answers;
  const auto note = [&](CallResult result) {
    answers.push_back(
        ReasonOf(result.status) +
        (sim_.runtime().WhereIsLocal("n").empty() ? " free" : " taken"));
  };
  Script script;
  // Destroyed with the server.
  const std::function<void(int*)> last = [&](int*) {
    sim_.caller().StartCall(pid, kScriptCall, Payload::Of(MakeInt64(1)),
                            CallOptions(), note);
    sim_.caller().StartCall(pid, "/muster.sys.v1.Sys/GetState", Payload(),
                            CallOptions(), note);
  };
  script.cast = [guard = std::shared_ptr<int>(nullptr, last)](
                    int64_t, Context&) -> Next { return NoReply(); };
  pid = *sim_.Start(ScriptServer::Make(std::move(script)), "n");
  SendExit(pid, ExitReason::Kill());
  EXPECT_THAT(answers, ElementsAre("CALLEE_EXITED free", "CALLEE_EXITED free"));
}

TEST_F(ExitTest, ALinkThatTheOtherEndHasBrokenFailsNoSecondTime) {  // otp L3
  const Pid pid = Start(Worker(true));
  const Pid other = Start(Worker());
  EXPECT_TRUE(sim_.runtime().Find(pid)->FailLink(other));
  sim_.RunReady();
  EXPECT_THAT(seen_, IsEmpty());
}

}  // namespace
}  // namespace muster
