// Freeze and thaw: what a server with a cluster-wide name does while its node
// cannot prove that it owns the name (guarantees G3, G13, R10, R11).
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
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

constexpr Epoch kEpoch{1, 9};

SimRuntimeOptions Fenced() {
  SimRuntimeOptions options;
  options.fenced = true;
  return options;
}

class FreezeTest : public ::testing::Test {
 protected:
  FreezeTest() : sim_(Fenced()) { Open(); }

  void Open() { sim_.fence().Extend(sim_.Now() + absl::Hours(1)); }
  void Close() { sim_.fence().Close(); }

  // Starts it as owner of the cluster-wide name "g".
  Pid StartGlobal(Script script) {
    SpawnOptions spawn;
    spawn.global_name = "g";
    spawn.global_epoch = kEpoch;
    const Pid pid = sim_.runtime().Spawn(ScriptServer::Make(std::move(script)),
                                         Payload(), spawn, [](absl::Status) {});
    sim_.RunReady();
    return pid;
  }
  Script Noting() {
    Script script;
    script.call = [this](int64_t value, Context&) -> Reply<Int64> {
      seen_.push_back("call " + std::to_string(value));
      return MakeInt64(value);
    };
    script.cast = [this](int64_t value, Context&) -> Next {
      seen_.push_back("cast " + std::to_string(value));
      return NoReply();
    };
    script.info = [this](Info, Context&) -> Next {
      seen_.push_back("info");
      return NoReply();
    };
    return script;
  }
  absl::StatusOr<Int64> Call(int64_t value) {
    return sim_.Call<Int64>("g", kScriptCall, MakeInt64(value));
  }

  SimRuntime sim_;
  std::vector<std::string> seen_;
};

TEST_F(FreezeTest, AnOpenFenceIsInvisible) {
  StartGlobal(Noting());
  EXPECT_EQ(Call(3)->value(), 3);
}

TEST_F(FreezeTest, RepliesCarryTheEpochAndWhatIsLeft) {  // guarantees R8
  StartGlobal(Noting());
  std::optional<CallResult> result;
  sim_.caller().StartCall("g", kScriptCall, Payload::Of(MakeInt64(1)),
                          CallOptions(),
                          [&](CallResult r) { result = std::move(r); });
  sim_.RunReady();
  EXPECT_EQ(result->epoch, kEpoch);
  EXPECT_EQ(result->fence_remaining, absl::Hours(1) - absl::Milliseconds(100));
}

TEST_F(FreezeTest, CallsAreRefusedAtOnce) {  // guarantees R11
  StartGlobal(Noting());
  Close();
  const BootTime before = sim_.Now();
  const absl::Status status = Call(1).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(ReasonOf(status), "FROZEN");
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  EXPECT_GT(RetryDelayOf(status), absl::ZeroDuration());
  EXPECT_EQ(sim_.Now(), before);
  EXPECT_THAT(seen_, IsEmpty());
}

TEST_F(FreezeTest, CastsAndInfosWaitForTheThaw) {  // guarantees R11, G13
  const Pid pid = StartGlobal(Noting());
  Close();
  EXPECT_TRUE(sim_.Cast("g", kScriptCast, MakeInt64(1)).ok());
  sim_.runtime().Send(pid, Info(MakeInt64(2)));
  EXPECT_TRUE(sim_.Cast("g", kScriptCast, MakeInt64(3)).ok());
  sim_.RunFor(absl::Minutes(1));
  EXPECT_THAT(seen_, IsEmpty());
  // A call behind them is refused all the same, at once.
  const BootTime before = sim_.Now();
  EXPECT_EQ(ReasonOf(Call(4).status()), "FROZEN");
  EXPECT_EQ(sim_.Now(), before);
  Open();
  sim_.RunFor(absl::Seconds(1));
  EXPECT_THAT(seen_, ElementsAre("cast 1", "info", "cast 3"));
  EXPECT_EQ(Call(5)->value(), 5);
}

TEST_F(FreezeTest, TheThawIsAnEventAndAFreezeCostsNothing) {  // R11
  StartGlobal(Noting());
  Close();
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(sim_.Cast("g", kScriptCast, MakeInt64(i)).ok());
    sim_.RunReady();
  }
  const uint64_t before = sim_.world().steps();
  sim_.RunFor(absl::Hours(1));
  EXPECT_EQ(sim_.world().steps(), before);
  // A heartbeat that came too late to open it.
  sim_.fence().Extend(sim_.Now() - absl::Seconds(1));
  sim_.RunReady();
  EXPECT_THAT(seen_, IsEmpty());
  const BootTime now = sim_.Now();
  Open();
  sim_.RunReady();
  EXPECT_EQ(seen_.size(), 500u);
  EXPECT_EQ(sim_.Now(), now);
}

TEST_F(FreezeTest, ABusyServerRefusesAtOnceToo) {  // guarantees R11, F7
  Script script = Noting();
  script.call = [](int64_t, Context& self) -> Reply<Int64> {
    co_await self.Sleep(absl::Hours(1));
    co_return MakeInt64(1);
  };
  StartGlobal(script);
  CallOptions patient;
  patient.timeout = absl::InfiniteDuration();
  auto busy = ScriptCall(sim_.caller(), "g", 1, patient);
  sim_.RunReady();
  Close();
  const BootTime before = sim_.Now();
  EXPECT_EQ(ReasonOf(Call(2).status()), "FROZEN");
  EXPECT_EQ(sim_.Now(), before);
}

TEST_F(FreezeTest, AHandlerThatWaitsGoesOnAfterTheThaw) {  // R11, G13
  Script script = Noting();
  script.call = [this](int64_t value, Context& self) -> Reply<Int64> {
    co_await self.Sleep(absl::Seconds(1));
    seen_.push_back("woken");
    co_return MakeInt64(value);
  };
  StartGlobal(script);
  CallOptions patient;
  patient.timeout = absl::InfiniteDuration();
  std::optional<absl::StatusOr<Int64>> result;
  ScriptCall(sim_.caller(), "g", 7, patient).Then([&](absl::StatusOr<Int64> r) {
    result = std::move(r);
  });
  sim_.RunReady();
  Close();
  sim_.RunFor(absl::Minutes(1));
  EXPECT_THAT(seen_, IsEmpty());
  EXPECT_FALSE(result.has_value());
  Open();
  sim_.RunReady();
  ASSERT_TRUE(result.has_value());
  EXPECT_TRUE(result->ok()) << result->status();
  EXPECT_THAT(seen_, ElementsAre("woken"));
}

TEST_F(FreezeTest, AHeldTimerLosesItsPlaceToNobody) {  // guarantees R11
  Script script = Noting();
  script.cast = [this](int64_t value, Context& self) -> Next {
    seen_.push_back("cast " + std::to_string(value));
    if (value == 0) self.SendAfter(absl::Seconds(1), Info(MakeInt64(1)));
    return NoReply();
  };
  SpawnOptions spawn;
  spawn.global_name = "g";
  spawn.global_epoch = kEpoch;
  spawn.mailbox.messages_max = 1;
  sim_.runtime().Spawn(ScriptServer::Make(std::move(script)), Payload(), spawn,
                       [](absl::Status) {});
  sim_.RunReady();
  ASSERT_TRUE(sim_.Cast("g", kScriptCast, MakeInt64(0)).ok());
  sim_.RunReady();
  Close();
  ASSERT_TRUE(sim_.Cast("g", kScriptCast, MakeInt64(1)).ok());
  // The mailbox is full: casts are taken up to its limit.
  EXPECT_EQ(ReasonOf(sim_.Cast("g", kScriptCast, MakeInt64(2))),
            "MAILBOX_FULL");
  sim_.RunFor(absl::Seconds(2));
  Open();
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("cast 0", "cast 1", "info"));
}

TEST_F(FreezeTest, NoLinkAndNoMonitorLeavesAFrozenServer) {  // guarantees R10
  const Pid other = *sim_.Start(ScriptServer::Make(Noting()));
  absl::Status linked;
  std::vector<std::string> downs;
  Script script;
  script.cast = [&](int64_t, Context& self) -> Next {
    Close();
    linked = self.Link(other);
    self.Monitor(Pid{"elsewhere", {1, 3}, 4});
    return NoReply();
  };
  script.info = [&](Info info, Context&) -> Next {
    if (const Down* down = info.As<Down>()) {
      downs.push_back(down->reason.ToString());
    }
    return NoReply();
  };
  StartGlobal(script);
  ASSERT_TRUE(sim_.Cast("g", kScriptCast, MakeInt64(0)).ok());
  sim_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(absl::IsUnavailable(linked)) << linked;
  EXPECT_EQ(ReasonOf(linked), "FROZEN");
  Open();
  sim_.RunReady();
  EXPECT_THAT(downs, ElementsAre("noconnection"));
}

TEST_F(FreezeTest, AClaimWhoseFenceHasPassedRunsNoInit) {  // guarantees R10
  SpawnOptions spawn;
  spawn.global_name = "g";
  spawn.hold = true;
  Script script = Noting();
  script.init = [this](Context&) -> InitResult {
    seen_.push_back("init");
    return Ok();
  };
  const Pid pid = sim_.runtime().Spawn(ScriptServer::Make(script), Payload(),
                                       spawn, [](absl::Status) {});
  Close();
  sim_.runtime().Release(pid, kEpoch);
  sim_.RunFor(absl::Seconds(1));
  EXPECT_THAT(seen_, IsEmpty());
  Open();
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("init"));
}

TEST_F(FreezeTest, TimersAndContinueAreHeld) {  // guarantees R11
  Script script = Noting();
  script.cast = [this](int64_t, Context& self) -> Next {
    seen_.push_back("cast");
    self.SendAfter(absl::Seconds(1), Info(MakeInt64(1)));
    Close();
    return Continue(Info(MakeInt64(2)));
  };
  script.on_continue = [this](Info, Context&) -> Next {
    seen_.push_back("continue");
    return NoReply();
  };
  StartGlobal(script);
  ASSERT_TRUE(sim_.Cast("g", kScriptCast, MakeInt64(0)).ok());
  sim_.RunFor(absl::Seconds(5));
  EXPECT_EQ(ReasonOf(Call(1).status()), "FROZEN");
  EXPECT_THAT(seen_, ElementsAre("cast"));
  Open();
  sim_.RunFor(absl::Seconds(1));
  EXPECT_THAT(seen_, ElementsAre("cast", "continue", "info"));
}

TEST_F(FreezeTest, TheInactivityTimeoutSurvivesAFreeze) {
  Script script = Noting();
  script.cast = [](int64_t, Context&) -> Next {
    return Timeout(absl::Seconds(2));
  };
  script.timeout = [this](Context&) -> Next {
    seen_.push_back("timeout");
    return NoReply();
  };
  StartGlobal(script);
  ASSERT_TRUE(sim_.Cast("g", kScriptCast, MakeInt64(0)).ok());
  sim_.RunReady();
  Close();
  sim_.RunFor(absl::Seconds(10));
  EXPECT_THAT(seen_, IsEmpty());
  Open();
  sim_.RunFor(absl::Seconds(1));
  EXPECT_THAT(seen_, ElementsAre("timeout"));
}

TEST_F(FreezeTest, AReplyAfterTheFenceClosedIsWithheld) {  // guarantees R8, R10
  Script script = Noting();
  script.call = [this](int64_t, Context& self) -> Reply<Int64> {
    co_await self.Sleep(absl::Seconds(1));
    Close();
    co_return MakeInt64(1);
  };
  const Pid pid = StartGlobal(script);
  const absl::Status status = Call(1).status();
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_EQ(ReasonOf(status), "FENCED");
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
  EXPECT_TRUE(sim_.Alive(pid));  // guarantees G13
}

TEST_F(FreezeTest, DeferredRepliesAreWithheldToo) {  // guarantees R10
  From from;
  Script script;
  script.call = [&](int64_t, Context& self) -> Reply<Int64> {
    from = self.from();
    return NoReply();
  };
  StartGlobal(script);
  std::optional<absl::StatusOr<Int64>> result;
  ScriptCall(sim_.caller(), "g", 1).Then([&](absl::StatusOr<Int64> r) {
    result = std::move(r);
  });
  sim_.RunReady();
  Close();
  from.Reply(MakeInt64(1));
  sim_.RunReady();
  EXPECT_EQ(ReasonOf(result->status()), "FENCED");
}

TEST_F(FreezeTest, SendsAreWithheldAndTheTokenRefused) {  // guarantees G3, R13
  Script other = Noting();
  const Pid target = *sim_.Start(ScriptServer::Make(other));
  absl::Status call, cast, token;
  Epoch epoch;
  Script script;
  script.call = [&](int64_t, Context& self) -> Reply<Int64> {
    epoch = *self.fencing_token();
    Close();
    token = self.fencing_token().status();
    self.Send(target, Info(MakeInt64(1)));
    absl::Status cast_result = co_await ScriptCast(self, target, 1);
    cast = cast_result;
    absl::StatusOr<Int64> call_result = co_await ScriptCall(self, target, 1);
    call = call_result.status();
    co_return MakeInt64(1);
  };
  StartGlobal(script);
  EXPECT_EQ(ReasonOf(Call(1).status()), "FENCED");
  sim_.RunFor(absl::Seconds(1));
  EXPECT_EQ(epoch, kEpoch);
  EXPECT_TRUE(absl::IsAborted(token)) << token;
  EXPECT_EQ(ReasonOf(token), "FENCED");
  EXPECT_EQ(ReasonOf(call), "FROZEN");
  EXPECT_EQ(ReasonOf(cast), "FROZEN");
  EXPECT_THAT(seen_, IsEmpty());
}

TEST_F(FreezeTest, LocalServersDoNotFreeze) {  // guarantees G13
  const Pid pid = *sim_.Start(ScriptServer::Make(Noting()));
  Close();
  EXPECT_EQ(sim_.Call<Int64>(pid, kScriptCall, MakeInt64(2))->value(), 2);
}

TEST_F(FreezeTest, EndedWhileFrozenAllThatIsQueuedIsNotExecuted) {  // R11
  Script script = Noting();
  script.call = [](int64_t, Context& self) -> Reply<Int64> {
    co_await self.Sleep(absl::Hours(1));
    co_return MakeInt64(1);
  };
  const Pid pid = StartGlobal(script);
  CallOptions patient;
  patient.timeout = absl::InfiniteDuration();
  std::vector<absl::Status> results;
  for (int i = 0; i < 2; ++i) {
    ScriptCall(sim_.caller(), "g", i, patient)
        .Then([&](absl::StatusOr<Int64> r) { results.push_back(r.status()); });
  }
  sim_.RunReady();
  Close();
  sim_.runtime().SendExit(Pid(), pid, ExitReason::Kill());
  sim_.RunReady();
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(OutcomeOf(results[0]), Outcome::kUnknown);
  EXPECT_EQ(OutcomeOf(results[1]), Outcome::kNotExecuted);
}

// -- Names and claims ---------------------------------------------------------

TEST_F(FreezeTest, AHeldProcessWaitsForItsClaim) {  // otp H2
  SpawnOptions spawn;
  spawn.global_name = "g";
  spawn.local_name = "here";
  spawn.hold = true;
  Script script = Noting();
  script.init = [this](Context& self) -> InitResult {
    seen_.push_back("init " + self.name() + " " +
                    self.fencing_token()->ToString());
    return Ok();
  };
  std::optional<absl::Status> started;
  const Pid pid = sim_.runtime().Spawn(
      ScriptServer::Make(script), Payload(), spawn,
      [&](absl::Status status) { started = std::move(status); });
  EXPECT_TRUE(
      sim_.Cast(ServerRef::Local("here"), kScriptCast, MakeInt64(1)).ok());
  sim_.RunFor(absl::Seconds(1));
  EXPECT_THAT(seen_, IsEmpty());
  EXPECT_FALSE(started.has_value());
  EXPECT_TRUE(sim_.runtime().WhereIsGlobal("g").empty());
  sim_.runtime().Release(pid, kEpoch);
  sim_.RunReady();
  EXPECT_TRUE(started.has_value() && started->ok());
  EXPECT_EQ(sim_.runtime().WhereIsGlobal("g"), pid);
  EXPECT_THAT(seen_, ElementsAre("init g " + kEpoch.ToString(), "cast 1"));
}

TEST_F(FreezeTest, AHeldProcessCanBeKilled) {
  SpawnOptions spawn;
  spawn.global_name = "g";
  spawn.hold = true;
  std::optional<absl::Status> started;
  const Pid pid = sim_.runtime().Spawn(
      ScriptServer::Make(Noting()), Payload(), spawn,
      [&](absl::Status status) { started = std::move(status); });
  sim_.runtime().SendExit(Pid(), pid, ExitReason::Kill());
  sim_.RunReady();
  ASSERT_TRUE(started.has_value());
  EXPECT_EQ(ReasonOf(*started), "INIT_FAILED");
  sim_.runtime().Release(pid, kEpoch);
  EXPECT_TRUE(sim_.runtime().WhereIsGlobal("g").empty());
}

TEST_F(FreezeTest, ARunningProcessTakesAndLosesAName) {  // otp N1
  const Pid pid = *sim_.Start(ScriptServer::Make(Noting()));
  ASSERT_TRUE(sim_.runtime().SetGlobalName(pid, "g", kEpoch).ok());
  EXPECT_EQ(Call(1)->value(), 1);
  EXPECT_EQ(ReasonOf(sim_.runtime().SetGlobalName(pid, "h", kEpoch)),
            "HAS_NAME");
  sim_.runtime().ClearGlobalName("g");
  EXPECT_EQ(ReasonOf(Call(1).status()), "NOPROC");
  ASSERT_TRUE(sim_.runtime().SetGlobalName(pid, "g", Epoch{1, 10}).ok());
  EXPECT_EQ(Call(2)->value(), 2);
  sim_.Stop(pid);
  EXPECT_TRUE(sim_.runtime().WhereIsGlobal("g").empty());
  EXPECT_EQ(ReasonOf(sim_.runtime().SetGlobalName(pid, "g", kEpoch)), "NOPROC");
}

TEST_F(FreezeTest, ATerminateThatWasCastWaitsForTheThaw) {  // otp Y8
  const Pid pid = StartGlobal(Noting());
  std::vector<std::string> ended;
  sim_.runtime().ObserveExit(
      pid, [&](const ExitReason& r) { ended.push_back(r.ToString()); });
  Close();
  ASSERT_TRUE(sim_.Cast("g", kScriptCast, MakeInt64(1)).ok());
  Request order(pid, "/muster.sys.v1.Sys/Terminate",
                Payload::FromBytes("", "muster.sys.v1.TerminateRequest"));
  absl::Status taken = absl::UnknownError("not answered");
  sim_.runtime().Cast(std::move(order), [&](absl::Status s) { taken = s; });
  EXPECT_TRUE(taken.ok()) << taken;
  sim_.RunFor(absl::Minutes(1));
  EXPECT_EQ(ReasonOf(Call(2).status()), "FROZEN");
  EXPECT_THAT(ended, IsEmpty());
  Open();
  sim_.RunFor(absl::Seconds(1));
  EXPECT_THAT(seen_, ElementsAre("cast 1"));
  EXPECT_THAT(ended, ElementsAre("normal"));
}

}  // namespace
}  // namespace muster
