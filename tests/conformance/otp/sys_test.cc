// System requests (otp section 5, 3.6, 3.9): OTP's sys suite, and what its
// gen_server suite says of state, status, hibernation and code changes.
#include "node/gen_server/sys.h"

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/sys/v1/sys.pb.h"
#include "node/gen_server/start.h"
#include "node/process/process.h"
#include "node/supervisor/supervisor.h"
#include "tests/conformance/otp/expect.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/otp_cluster.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using Code = absl::StatusCode;
using sys::v1::Event;

// Its state is one number: the cast adds to it, the call answers it plus its
// argument.
class SysTest : public ::testing::Test {
 protected:
  struct State {
    int64_t value = 0;
    std::vector<std::string> seen;
  };

  Script Counter(std::shared_ptr<State> state) {
    Script script;
    script.call = [state](int64_t value, Context&) -> Reply<Int64> {
      state->seen.push_back(absl::StrCat("call ", value));
      return MakeInt64(state->value + value);
    };
    script.cast = [state](int64_t value, Context&) -> Next {
      state->seen.push_back(absl::StrCat("cast ", value));
      state->value += value;
      return NoReply();
    };
    script.snapshot = [state](Context&) -> absl::StatusOr<Payload> {
      return Payload::Of(MakeInt64(state->value));
    };
    script.restore = [state](Payload payload, Context&) -> absl::Status {
      const Int64* const value = payload.As<Int64>();
      if (value == nullptr) return absl::InvalidArgumentError("no number");
      state->value = value->value();
      if (state->value < 0) return absl::InvalidArgumentError("negative");
      return absl::OkStatus();
    };
    return script;
  }
  Pid Start(Script script, StartOptions options = StartOptions()) {
    return *sim_.Start(ScriptServer::Make(std::move(script)), Payload(),
                       std::move(options));
  }
  Pid StartCounter(const std::string& name = "") {
    StartOptions options;
    options.name = name;
    return Start(Counter(state_), std::move(options));
  }
  absl::Status Do(Pending<absl::Status> pending) {
    return sim_.Await(std::move(pending));
  }
  template <typename T>
  absl::StatusOr<T> Get(PendingCall<T> pending) {
    return sim_.Await(std::move(pending));
  }
  int64_t StateOf(const ServerRef& server) {
    absl::StatusOr<Int64> state = Get(sys::GetState<Int64>(caller_, server));
    EXPECT_TRUE(state.ok()) << state.status();
    return state.ok() ? state->value() : -1;
  }
  sys::v1::GetStatusResponse StatusOf(const ServerRef& server) {
    auto status = Get(sys::GetStatus(caller_, server));
    EXPECT_TRUE(status.ok()) << status.status();
    return status.ok() ? *status : sys::v1::GetStatusResponse();
  }
  absl::Status Call(const ServerRef& server, int64_t value) {
    return sim_.Call<Int64>(server, kScriptCall, MakeInt64(value)).status();
  }
  std::string ListedState(const Pid& pid) {
    for (const ProcessInfo& info : sim_.runtime().List()) {
      if (info.pid == pid) return info.state;
    }
    return "gone";
  }

  std::shared_ptr<State> state_ = std::make_shared<State>();
  SimRuntime sim_;
  RuntimeCaller& caller_ = sim_.caller();
};

// -- sys: log, trace, statistics, hooks
// -----------------------------------------

TEST_F(SysTest, SYS01_TheLogKeepsTheLastEvents) {
  OTP_CASE("SYS.01", "Y7");
  const Pid pid = StartCounter("server");
  const ServerRef server = ServerRef::Local("server");
  ASSERT_EQ(Do(sys::SwitchLog(caller_, server, 3)), absl::OkStatus());
  EXPECT_EQ(Call(server, 1), absl::OkStatus());
  EXPECT_EQ(Do(ScriptCast(caller_, server, 2)), absl::OkStatus());
  sim_.RunReady();
  const auto log = Get(sys::GetLog(caller_, server));
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_TRUE(log->on());
  // Call, reply, cast, no reply: the oldest is forgotten.
  ASSERT_THAT(log->events(), SizeIs(3));
  EXPECT_EQ(log->events(0).kind(), Event::REPLY);
  EXPECT_EQ(log->events(1).kind(), Event::CAST);
  EXPECT_EQ(log->events(2).kind(), Event::NO_REPLY);
  EXPECT_EQ(log->events(2).number(), 4u);
  EXPECT_EQ(log->missed(), 1u);
  EXPECT_THAT(Get(sys::GetLog(caller_, server, 3))->events(), SizeIs(1));
  EXPECT_EQ(Get(sys::GetLog(caller_, server, 3))->missed(), 0u);
  EXPECT_EQ(Do(sys::SwitchLog(caller_, server, 0)), absl::OkStatus());
  EXPECT_EQ(Call(server, 1), absl::OkStatus());
  const auto off = Get(sys::GetLog(caller_, server));
  ASSERT_TRUE(off.ok()) << off.status();
  EXPECT_FALSE(off->on());
  EXPECT_THAT(off->events(), IsEmpty());
  EXPECT_TRUE(sim_.Alive(pid));
}

TEST_F(SysTest, TheLogExpiresWhenNobodyReadsIt) {  // otp Y7, 16.1.9
  const Pid pid = StartCounter();
  ASSERT_EQ(Do(sys::SwitchLog(caller_, pid, 10, absl::Seconds(5))),
            absl::OkStatus());
  for (int i = 0; i < 3; ++i) {
    sim_.RunFor(absl::Seconds(4));
    EXPECT_EQ(Call(pid, 0), absl::OkStatus());
    EXPECT_TRUE(Get(sys::GetLog(caller_, pid))->on());
  }
  sim_.RunFor(absl::Seconds(6));
  EXPECT_EQ(Call(pid, 0), absl::OkStatus());
  EXPECT_FALSE(Get(sys::GetLog(caller_, pid))->on());
}

TEST_F(SysTest, SYS02_TheSinkGetsTheCallAndTheReplyAndNothingElse) {
  OTP_CASE("SYS.02", "Y7");
  const Pid pid = StartCounter("server");
  std::vector<std::string> lines;
  ASSERT_EQ(Do(sys::TraceTo(caller_, pid,
                            [&lines](absl::string_view line) {
                              lines.emplace_back(line);
                            })),
            absl::OkStatus());
  EXPECT_EQ(Call(pid, 44), absl::OkStatus());
  EXPECT_EQ(Do(sys::SwitchTrace(caller_, pid, false)), absl::OkStatus());
  EXPECT_EQ(Call(pid, 45), absl::OkStatus());
  EXPECT_THAT(
      lines,
      ElementsAre("trace: server got call Call (google.protobuf.Int64Value, 2 "
                  "bytes) from a client outside",
                  "trace: server sent reply (google.protobuf.Int64Value, 2 "
                  "bytes) to a client outside"));
  EXPECT_EQ(sim_.log().Count(LogLevel::kInfo, "trace:"), 0u);
}

TEST_F(SysTest, SYS03_StatisticsCountOneCallAsOneInAndOneOut) {
  OTP_CASE("SYS.03", "Y6");
  const Pid pid = StartCounter();
  EXPECT_EQ(ReasonOf(Get(sys::GetStatistics(caller_, pid)).status()),
            "NO_STATISTICS");
  ASSERT_EQ(Do(sys::SwitchStatistics(caller_, pid, true)), absl::OkStatus());
  sim_.RunFor(absl::Seconds(3));
  EXPECT_EQ(Call(pid, 1), absl::OkStatus());
  const auto one = Get(sys::GetStatistics(caller_, pid));
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->messages_in(), 1u);
  EXPECT_EQ(one->messages_out(), 1u);
  EXPECT_EQ(one->reductions(), 1u);
  EXPECT_EQ(one->current_time().seconds() - one->start_time().seconds(), 3);
  EXPECT_EQ(Do(sys::SwitchStatistics(caller_, pid, false)), absl::OkStatus());
  EXPECT_TRUE(IsError(Get(sys::GetStatistics(caller_, pid)).status(),
                      Code::kFailedPrecondition, "NO_STATISTICS",
                      Outcome::kNotExecuted));
}

TEST_F(SysTest, StatisticsCountWhatIsAMessage) {  // otp Y6
  Script script;
  From later;
  script.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    if (value == 0) {  // Answered explicitly: no message out.
      self.from().Reply(MakeInt64(7));
      return NoReply();
    }
    if (value == 1) return absl::NotFoundError("an answer, too");
    return ReplyThen(MakeInt64(value), Timeout(absl::Seconds(1)));
  };
  const Pid pid = Start(std::move(script));
  ASSERT_EQ(Do(sys::SwitchStatistics(caller_, pid, true)), absl::OkStatus());
  const auto counted = [&] {
    const auto statistics = Get(sys::GetStatistics(caller_, pid));
    return absl::StrCat(statistics->messages_in(), " in, ",
                        statistics->messages_out(), " out");
  };
  EXPECT_EQ(counted(), "0 in, 0 out");
  EXPECT_EQ(Call(pid, 0), absl::OkStatus());
  EXPECT_EQ(counted(), "1 in, 0 out");
  EXPECT_FALSE(Call(pid, 1).ok());
  EXPECT_EQ(counted(), "2 in, 1 out");
  EXPECT_EQ(Call(pid, 2), absl::OkStatus());
  sim_.RunFor(absl::Seconds(2));  // The inactivity timeout comes in.
  EXPECT_EQ(counted(), "4 in, 2 out");
  EXPECT_EQ(Do(ScriptCast(caller_, pid, 1)), absl::OkStatus());
  sim_.runtime().Send(pid, Info(MakeInt64(1)));
  EXPECT_EQ(counted(), "6 in, 2 out");
  // System requests are none.
  EXPECT_EQ(Do(sys::Suspend(caller_, pid)), absl::OkStatus());
  EXPECT_EQ(Do(sys::Resume(caller_, pid)), absl::OkStatus());
  StatusOf(pid);
  EXPECT_EQ(counted(), "6 in, 2 out");
}

TEST_F(SysTest, SYS04_TraceWritesTwoEventsPerCall) {
  OTP_CASE("SYS.04", "Y7");
  const Pid pid = StartCounter("server");
  ASSERT_EQ(Do(sys::SwitchTrace(caller_, pid, true)), absl::OkStatus());
  EXPECT_TRUE(StatusOf(pid).trace());
  EXPECT_EQ(Call(pid, 44), absl::OkStatus());
  EXPECT_EQ(sim_.log().Count(LogLevel::kInfo, "trace: server "), 2u);
  EXPECT_EQ(sim_.log().Count(LogLevel::kInfo, "trace: server got call Call"),
            1u);
  EXPECT_EQ(sim_.log().Count(LogLevel::kInfo, "trace: server sent reply"), 1u);
  ASSERT_EQ(Do(sys::SwitchTrace(caller_, pid, false)), absl::OkStatus());
  EXPECT_EQ(Call(pid, 44), absl::OkStatus());
  EXPECT_EQ(sim_.log().Count(LogLevel::kInfo, "trace:"), 2u);
}

TEST_F(SysTest, SYS05_HooksSeeEveryEventWithTheServersName) {
  OTP_CASE("SYS.05", "Y7");
  const Pid pid = StartCounter("server");
  std::vector<std::string> seen;
  const auto hook = [&seen](const std::string& id) {
    return [&seen, id](const Event& event, absl::string_view server) {
      seen.push_back(
          absl::StrCat(id, " ", server, " ", Event::Kind_Name(event.kind())));
      return true;
    };
  };
  ASSERT_EQ(Do(sys::InstallHook(caller_, pid, "id1", hook("first"))),
            absl::OkStatus());
  EXPECT_EQ(Call(pid, 1), absl::OkStatus());
  EXPECT_THAT(seen, ElementsAre("first server CALL", "first server REPLY"));
  // The same id once, another beside it.
  seen.clear();
  ASSERT_EQ(Do(sys::InstallHook(caller_, pid, "id1", hook("again"))),
            absl::OkStatus());
  ASSERT_EQ(Do(sys::InstallHook(caller_, pid, "id2", hook("second"))),
            absl::OkStatus());
  EXPECT_THAT(StatusOf(pid).hooks(), ElementsAre("id1", "id2"));
  EXPECT_EQ(Call(pid, 1), absl::OkStatus());
  EXPECT_THAT(seen, ElementsAre("first server CALL", "second server CALL",
                                "first server REPLY", "second server REPLY"));
  seen.clear();
  ASSERT_EQ(Do(sys::RemoveHook(caller_, pid, "id1")), absl::OkStatus());
  EXPECT_EQ(Call(pid, 1), absl::OkStatus());
  EXPECT_THAT(seen, ElementsAre("second server CALL", "second server REPLY"));
  seen.clear();
  ASSERT_EQ(Do(sys::InstallHook(caller_, pid, "id1", hook("first"))),
            absl::OkStatus());
  ASSERT_EQ(Do(sys::NoDebug(caller_, pid)), absl::OkStatus());
  EXPECT_THAT(StatusOf(pid).hooks(), IsEmpty());
  EXPECT_EQ(Call(pid, 1), absl::OkStatus());
  EXPECT_THAT(seen, IsEmpty());
}

TEST_F(SysTest, AHookThatIsDoneOrFailsIsRemoved) {  // otp Y7
  const Pid pid = StartCounter();
  int done_calls = 0;
  int failed_calls = 0;
  ASSERT_EQ(Do(sys::InstallHook(caller_, pid, "done",
                                [&](const Event&, absl::string_view) {
                                  return ++done_calls < 2;
                                })),
            absl::OkStatus());
  ASSERT_EQ(Do(sys::InstallHook(caller_, pid, "failing",
                                [&](const Event&, absl::string_view) -> bool {
                                  ++failed_calls;
                                  throw std::runtime_error("no luck");
                                })),
            absl::OkStatus());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Call(pid, 1), absl::OkStatus());
  EXPECT_EQ(done_calls, 2);
  EXPECT_EQ(failed_calls, 1);
  EXPECT_THAT(StatusOf(pid).hooks(), IsEmpty());
  EXPECT_EQ(sim_.log().Count(LogLevel::kWarning, "hook 'failing'"), 1u);
}

// -- State
// ----------------------------------------------------------------------

TEST_F(SysTest, GS59_GetStateIsExactByNameAndPidAndWhileSuspended) {
  OTP_CASE("GS.59", "Y2 Y1 16.1.10");
  const Pid pid = StartCounter("server");
  state_->value = 42;
  EXPECT_EQ(StateOf(pid), 42);
  EXPECT_EQ(StateOf(ServerRef::Local("server")), 42);
  ASSERT_EQ(Do(sys::Suspend(caller_, pid)), absl::OkStatus());
  EXPECT_EQ(StateOf(pid), 42);
  EXPECT_EQ(StateOf(ServerRef::Local("server")), 42);
  // In order with the messages before it (otp Y1).
  ASSERT_EQ(Do(sys::Resume(caller_, pid)), absl::OkStatus());
  ScriptCast(caller_, pid, 8);
  EXPECT_EQ(StateOf(pid), 50);
}

TEST_F(SysTest, GS59_AStateMayBeACppValueOrAbsent) {
  OTP_CASE("GS.59", "Y2");
  struct Table {
    std::vector<int> rows;
  };
  Script script;
  script.snapshot = [](Context&) -> absl::StatusOr<Payload> {
    Table table;
    table.rows = {1, 2, 3};
    return Payload::Of(std::move(table));
  };
  const Pid pid = Start(std::move(script));
  const absl::StatusOr<Table> table = Get(sys::GetState<Table>(caller_, pid));
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(table->rows, ElementsAre(1, 2, 3));
  EXPECT_TRUE(IsError(Get(sys::GetState<Int64>(caller_, pid)).status(),
                      Code::kFailedPrecondition, "LOCAL_STATE",
                      Outcome::kExecuted));
  const Pid none = Start(Script());
  EXPECT_TRUE(IsError(Get(sys::GetState<Int64>(caller_, none)).status(),
                      Code::kUnimplemented, "NO_SNAPSHOT",
                      Outcome::kNotExecuted));
  Script throws;
  throws.snapshot = [](Context&) -> absl::StatusOr<Payload> {
    throw std::runtime_error("no state today");
  };
  const Pid thrower = Start(std::move(throws));
  EXPECT_TRUE(IsError(Get(sys::GetState<Int64>(caller_, thrower)).status(),
                      Code::kInternal, "CALLBACK_FAILED", Outcome::kExecuted));
  EXPECT_EQ(Call(thrower, 1), absl::OkStatus());
}

TEST_F(SysTest, GS60_ReplaceStateAnswersAndKeepsTheNewState) {
  OTP_CASE("GS.60", "Y2");
  const Pid pid = StartCounter("server");
  const auto add = [](int64_t by) {
    return [by](Int64 old) -> absl::StatusOr<Int64> {
      return MakeInt64(old.value() + by);
    };
  };
  const auto replace = [&](const ServerRef& server,
                           std::function<absl::StatusOr<Int64>(Int64)> change) {
    return Get(sys::ReplaceState<Int64>(caller_, server, std::move(change)));
  };
  EXPECT_EQ(replace(pid, add(5))->value(), 5);
  EXPECT_EQ(replace(ServerRef::Local("server"), add(5))->value(), 10);
  ASSERT_EQ(Do(sys::Suspend(caller_, pid)), absl::OkStatus());
  EXPECT_EQ(replace(pid, add(1))->value(), 11);
  EXPECT_EQ(StateOf(pid), 11);
  // What fails changes nothing: the function throws or refuses, or Restore
  // fails when it has already taken half.
  for (const auto& fails :
       std::vector<std::function<absl::StatusOr<Int64>(Int64)>>{
           [](Int64) -> absl::StatusOr<Int64> {
             throw std::runtime_error("fail");
           },
           [](Int64) -> absl::StatusOr<Int64> {
             return absl::NotFoundError("refused");
           },
           [](Int64) -> absl::StatusOr<Int64> { return MakeInt64(-1); }}) {
    EXPECT_TRUE(IsError(replace(pid, fails).status(), Code::kInternal,
                        "CALLBACK_FAILED", Outcome::kExecuted));
    EXPECT_EQ(StateOf(pid), 11);
    EXPECT_EQ(state_->value, 11);
  }
  ASSERT_EQ(Do(sys::Resume(caller_, pid)), absl::OkStatus());
  const auto answer = sim_.Call<Int64>(pid, kScriptCall, MakeInt64(1));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->value(), 12);
}

TEST_F(SysTest, GS59_GS60_AcrossNodesAStateIsAMessage) {
  OTP_CASE("GS.59 GS.60", "Y1 Y2");
  OtpCluster cluster({"a", "b"});
  const Pid actor = cluster.StartActor("a");
  state_->value = 3;
  const Pid pid =
      cluster.StartScript("b", Counter(state_), Names{.global = "server"});
  cluster.Do(actor, [&](Context& self) -> Next {
    absl::StatusOr<Int64> state = co_await sys::GetState<Int64>(self, pid);
    EXPECT_TRUE(state.ok()) << state.status();
    if (state.ok()) EXPECT_EQ(state->value(), 3);
    const Int64 nine = MakeInt64(9);
    absl::Status set = co_await sys::SetState(self, "server", nine);
    EXPECT_EQ(set, absl::OkStatus());
    EXPECT_EQ(state_->value, 9);
    const Int64 negative = MakeInt64(-9);
    set = co_await sys::SetState(self, "server", negative);
    EXPECT_TRUE(
        IsError(set, Code::kInternal, "CALLBACK_FAILED", Outcome::kExecuted));
    EXPECT_EQ(state_->value, 9);
    const std::function<absl::StatusOr<Int64>(Int64)> change = [](Int64 old) {
      return old;
    };
    state = co_await sys::ReplaceState<Int64>(self, pid, change);
    EXPECT_EQ(state.status().code(), Code::kInvalidArgument)
        << "a function does not travel: " << state.status();
    absl::StatusOr<sys::v1::GetStatusResponse> status =
        co_await sys::GetStatus(self, "server");
    EXPECT_TRUE(status.ok()) << status.status();
    if (status.ok()) EXPECT_EQ(status->formatted_state(), "\"9\"");
    co_return NoReply();
  });
}

// -- Suspend, resume
// ------------------------------------------------------------

TEST_F(SysTest, ASuspendedServerKeepsItsQueueInOrder) {  // otp Y3, Y1
  const Pid pid = StartCounter();
  ASSERT_EQ(Do(sys::Suspend(caller_, pid)), absl::OkStatus());
  ASSERT_EQ(Do(sys::Suspend(caller_, pid)), absl::OkStatus());
  EXPECT_EQ(ListedState(pid), "suspended");
  EXPECT_EQ(StatusOf(pid).state(), "suspended");
  ScriptCast(caller_, pid, 1);
  ScriptCast(caller_, pid, 2);
  CallOptions options;
  options.timeout = absl::Seconds(1);
  EXPECT_TRUE(IsError(
      sim_.Call<Int64>(pid, kScriptCall, MakeInt64(3), options).status(),
      Code::kDeadlineExceeded, "TIMEOUT", Outcome::kNotExecuted));
  ScriptCast(caller_, pid, 4);
  EXPECT_THAT(state_->seen, IsEmpty());
  EXPECT_EQ(StatusOf(pid).mailbox(), 4u);
  ASSERT_EQ(Do(sys::Resume(caller_, pid)), absl::OkStatus());
  ASSERT_EQ(Do(sys::Resume(caller_, pid)), absl::OkStatus());
  sim_.RunReady();
  EXPECT_THAT(state_->seen, ElementsAre("cast 1", "cast 2", "cast 4"));
  EXPECT_EQ(ListedState(pid), "idle");
}

TEST_F(SysTest, TheParentsExitEndsASuspendedServer) {  // otp Y3, G3
  Script script = Counter(state_);
  script.init = [](Context& self) -> InitResult {
    self.TrapExit(true);
    return Ok();
  };
  std::string terminated;
  script.terminate = [&](const ExitReason& reason, Context&) -> Next {
    terminated = reason.ToString();
    return NoReply();
  };
  const Pid pid = Start(std::move(script));
  const Pid stranger = StartCounter();
  ASSERT_EQ(Do(sys::Suspend(caller_, pid)), absl::OkStatus());
  ScriptCast(caller_, pid, 1);
  sim_.runtime().SendExit(stranger, pid, ExitReason::Shutdown());
  sim_.RunReady();
  EXPECT_TRUE(sim_.Alive(pid)) << "only the parent's";
  EXPECT_EQ(sim_.Stop(pid), ExitReason::Shutdown());
  EXPECT_EQ(terminated, "shutdown");
  EXPECT_THAT(state_->seen, IsEmpty());
}

TEST_F(SysTest, AnInactivityTimeoutStartsInFullAfterASystemRequest) {
  // otp G15, Y4, Y9
  std::vector<absl::Duration> fired;
  const BootTime start = sim_.Now();
  Script script;
  script.init = [](Context&) -> InitResult {
    return Ok(Timeout(absl::Seconds(10)));
  };
  script.timeout = [&](Context& self) -> Next {
    fired.push_back(self.Now() - start);
    return NoReply();
  };
  const Pid pid = Start(std::move(script));
  sim_.RunFor(absl::Seconds(9));
  StatusOf(pid);
  sim_.RunFor(absl::Seconds(9));
  EXPECT_THAT(fired, IsEmpty());
  ASSERT_EQ(Do(sys::Suspend(caller_, pid)), absl::OkStatus());
  sim_.RunFor(absl::Seconds(100));
  EXPECT_THAT(fired, IsEmpty()) << "not while suspended";
  ASSERT_EQ(Do(sys::Resume(caller_, pid)), absl::OkStatus());
  sim_.RunFor(absl::Seconds(100));
  EXPECT_THAT(fired, ElementsAre(absl::Seconds(9 + 9 + 100 + 10)));
}

TEST_F(SysTest, RequestsHaveRoomInAFullMailbox) {  // otp Y1, 16.3
  SimRuntimeOptions options;
  options.runtime.mailbox_messages_max = 2;
  SimRuntime sim(options);
  const Pid pid = *sim.Start(ScriptServer::Make());
  ASSERT_EQ(sim.Await(sys::Suspend(sim.caller(), pid)), absl::OkStatus());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(sim.Await(ScriptCast(sim.caller(), pid, i)), absl::OkStatus());
  }
  EXPECT_EQ(ReasonOf(sim.Await(ScriptCast(sim.caller(), pid, 2))),
            "MAILBOX_FULL");
  std::vector<absl::Status> results;
  for (size_t i = 0; i < kSysRequestsMax + 1; ++i) {
    sys::Suspend(sim.caller(), pid).Then([&](absl::Status status) {
      results.push_back(std::move(status));
    });
  }
  ASSERT_THAT(results, SizeIs(1)) << "one more than there is room for";
  EXPECT_TRUE(IsError(results[0], Code::kResourceExhausted, "MAILBOX_FULL",
                      Outcome::kNotExecuted));
  sim.RunReady();
  EXPECT_THAT(results, SizeIs(kSysRequestsMax + 1));
  EXPECT_EQ(sim.Await(sys::Resume(sim.caller(), pid)), absl::OkStatus());
}

TEST_F(SysTest, SupervisorsAnswerToo) {  // otp section 5, Y5
  SupervisorSpec spec;
  absl::StatusOr<std::unique_ptr<Supervisor>> made =
      Supervisor::Make(std::move(spec));
  ASSERT_TRUE(made.ok()) << made.status();
  std::unique_ptr<ProcessBody> body = *std::move(made);
  const Pid pid = *sim_.Start(std::move(body));
  EXPECT_EQ(StatusOf(pid).state(), "running");
  EXPECT_EQ(Do(sys::Suspend(caller_, pid)), absl::OkStatus());
  EXPECT_EQ(Do(Stop(caller_, pid, ExitReason::Shutdown())), absl::OkStatus());
  EXPECT_FALSE(sim_.Alive(pid));
}

TEST_F(SysTest, UnknownAndMalformedRequestsAreRefused) {  // otp Y8, Y9
  const Pid pid = StartCounter();
  const auto ask = [&](const std::string& method, Payload request) {
    return Do(sys::internal::Ask(caller_, pid, method, std::move(request),
                                 CallOptions()));
  };
  EXPECT_TRUE(IsError(ask("Frob", Payload()), Code::kUnimplemented,
                      "UNKNOWN_METHOD", Outcome::kNotExecuted));
  for (const char* method :
       {"GetState", "ReplaceState", "SwitchLog", "GetLog", "SwitchTrace",
        "SwitchStatistics", "RemoveHook", "Terminate"}) {
    EXPECT_TRUE(IsError(ask(method, Payload::FromBytes("\xff\xff")),
                        Code::kInvalidArgument, "MALFORMED",
                        Outcome::kNotExecuted))
        << method;
  }
  EXPECT_TRUE(IsError(ask("InstallHook", Payload()), Code::kInvalidArgument,
                      "NO_HOOK", Outcome::kNotExecuted));
  EXPECT_TRUE(IsError(ask("ChangeCode", Payload()), Code::kUnimplemented,
                      "NOT_HERE", Outcome::kNotExecuted));
  // An order without an answer is Terminate only.
  EXPECT_EQ(ReasonOf(Do(muster::internal::TypedCast(
                caller_, pid, "/muster.sys.v1.Sys/Suspend",
                sys::v1::SuspendRequest(), CallOptions()))),
            "NOT_A_CAST");
  EXPECT_EQ(Call(pid, 1), absl::OkStatus());
  EXPECT_EQ(Do(sys::Terminate(caller_, pid)), absl::OkStatus());
  sim_.RunReady();
  EXPECT_FALSE(sim_.Alive(pid));
}

// -- Hibernation
// ----------------------------------------------------------------

TEST_F(SysTest, GS37_EachCallbackMayHibernateAndAnyMessageWakes) {
  OTP_CASE("GS.37", "G17");
  Script script;
  std::vector<std::string> seen;
  script.init = [](Context&) -> InitResult { return Ok(Hibernate()); };
  script.call = [&](int64_t value, Context&) -> Reply<Int64> {
    seen.push_back("call");
    if (value == 0) return MakeInt64(0);
    return ReplyThen(MakeInt64(value), Hibernate());
  };
  script.cast = [&](int64_t, Context&) -> Next {
    seen.push_back("cast");
    return NoReply(Hibernate());
  };
  script.info = [&](Info, Context&) -> Next {
    seen.push_back("info");
    return NoReply(Hibernate());
  };
  const Pid pid = Start(std::move(script));
  EXPECT_EQ(ListedState(pid), "hibernating") << "after Init";
  EXPECT_EQ(Call(pid, 0), absl::OkStatus());
  EXPECT_EQ(ListedState(pid), "idle") << "woken by a call";
  EXPECT_EQ(Call(pid, 1), absl::OkStatus());
  sim_.RunReady();
  EXPECT_EQ(ListedState(pid), "hibernating");
  ScriptCast(caller_, pid, 1);
  sim_.RunReady();
  EXPECT_EQ(ListedState(pid), "hibernating");
  sim_.runtime().Send(pid, Info(MakeInt64(1)));
  sim_.RunReady();
  EXPECT_EQ(ListedState(pid), "hibernating");
  EXPECT_THAT(seen, ElementsAre("call", "call", "cast", "info"));
}

TEST_F(SysTest, GS38_SystemRequestsLeaveItHibernating) {
  OTP_CASE("GS.38", "G18 Y4");
  Script script = Counter(state_);
  script.init = [](Context&) -> InitResult { return Ok(Hibernate()); };
  const Pid pid = Start(std::move(script));
  EXPECT_EQ(StatusOf(pid).state(), "hibernating");
  EXPECT_EQ(ListedState(pid), "hibernating");
  ASSERT_EQ(Do(sys::Suspend(caller_, pid)), absl::OkStatus());
  EXPECT_EQ(ListedState(pid), "suspended");
  ASSERT_EQ(Do(sys::Resume(caller_, pid)), absl::OkStatus());
  EXPECT_EQ(ListedState(pid), "hibernating");
  EXPECT_EQ(StateOf(pid), 0);
  EXPECT_EQ(ListedState(pid), "hibernating");
  EXPECT_EQ(Call(pid, 1), absl::OkStatus());
  EXPECT_EQ(ListedState(pid), "idle");
}

TEST_F(SysTest, HibernateAfterBeingIdle) {  // otp G17, G15
  StartOptions options;
  options.hibernate_after = absl::Seconds(10);
  Script script = Counter(state_);
  const Pid pid = Start(std::move(script), options);
  sim_.RunFor(absl::Seconds(9));
  EXPECT_EQ(ListedState(pid), "idle");
  StatusOf(pid);  // Restarts the wait.
  sim_.RunFor(absl::Seconds(9));
  EXPECT_EQ(ListedState(pid), "idle");
  sim_.RunFor(absl::Seconds(2));
  EXPECT_EQ(ListedState(pid), "hibernating");
  EXPECT_EQ(Call(pid, 1), absl::OkStatus());
  EXPECT_EQ(ListedState(pid), "idle");
  sim_.RunFor(absl::Seconds(11));
  EXPECT_EQ(ListedState(pid), "hibernating");
}

TEST_F(SysTest, PL08_AHibernatingServerWakesWithItsState) {
  OTP_CASE("PL.08", "G17");
  state_->value = 41;
  Script script = Counter(state_);
  script.cast = [state = state_](int64_t value, Context&) -> Next {
    state->value += value;
    return NoReply(Hibernate());
  };
  const Pid pid = Start(std::move(script));
  ScriptCast(caller_, pid, 1);
  sim_.RunFor(absl::Hours(1));
  EXPECT_EQ(ListedState(pid), "hibernating");
  const auto answer = sim_.Call<Int64>(pid, kScriptCall, MakeInt64(0));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->value(), 42);
}

// -- format_status
// --------------------------------------------------------------

class FormatTest : public SysTest {
 protected:
  // Its state is the secret 4711, which FormatStatus hides; a call of 0 is a
  // crash.
  Script Secretive() {
    state_->value = 4711;
    Script script = Counter(state_);
    script.call = [](int64_t value, Context&) -> Reply<Int64> {
      if (value == 0) throw std::runtime_error("crash");
      return MakeInt64(value);
    };
    script.format_status = [this](ServerStatus& status) {
      reasons_.push_back(status.reason.has_value() ? status.reason->ToString()
                                                   : "none");
      messages_.push_back(status.message);
      status.state = Payload::Of(MakeInt64(1111));
      for (Event& event : status.log) event.set_method("hidden");
    };
    return script;
  }
  // All error lines.
  std::string Report() {
    std::string report;
    for (const std::string& line : sim_.log().Lines()) {
      if (absl::StrContains(line, "crashed")) absl::StrAppend(&report, line);
    }
    return report;
  }

  std::vector<std::string> reasons_;
  std::vector<std::string> messages_;
};

TEST_F(FormatTest, GS56_TheReportShowsTheFormattedState) {
  OTP_CASE("GS.56", "G26 G23");
  const Pid pid = Start(Secretive());
  ASSERT_EQ(Do(sys::SwitchLog(caller_, pid, 5)), absl::OkStatus());
  const auto status = StatusOf(pid);
  EXPECT_EQ(status.formatted_state(), "\"1111\"");
  EXPECT_EQ(status.state_type(), "google.protobuf.Int64Value");
  EXPECT_THAT(messages_, ElementsAre(""));
  EXPECT_FALSE(Call(pid, 0).ok());
  EXPECT_THAT(Report(), HasSubstr("1111"));
  EXPECT_THAT(Report(), Not(HasSubstr("4711")));
  EXPECT_THAT(Report(), HasSubstr("got call hidden"));
  EXPECT_THAT(reasons_,
              ElementsAre("none", "exception(std::runtime_error: crash)"));
  EXPECT_THAT(messages_,
              ElementsAre("", "call Call (google.protobuf.Int64Value)"));
}

TEST_F(FormatTest, GS57_AFailingFormatStatusLeavesAPlaceholder) {
  OTP_CASE("GS.57", "G26");
  Script script = Secretive();
  script.format_status = [](ServerStatus&) {
    throw std::runtime_error("cannot format");
  };
  const Pid pid = Start(std::move(script));
  const auto status = StatusOf(pid);
  EXPECT_THAT(status.formatted_state(), HasSubstr("FormatStatus failed"));
  EXPECT_THAT(status.formatted_state(), Not(HasSubstr("4711")));
  EXPECT_EQ(Call(pid, 1), absl::OkStatus()) << "nothing else fails";
  EXPECT_FALSE(Call(pid, 0).ok());
  EXPECT_THAT(Report(), HasSubstr("FormatStatus failed"));
  EXPECT_THAT(Report(), HasSubstr("exception(std::runtime_error: crash)"));
  EXPECT_THAT(Report(), HasSubstr("last message: call Call"));
  EXPECT_THAT(Report(), Not(HasSubstr("4711")));
}

TEST_F(FormatTest, GS58_AValueThrownIsAFailureToo) {
  OTP_CASE("GS.58", "G26");
  Script script = Secretive();
  script.format_status = [](ServerStatus& status) {
    status.state = Payload::Of(MakeInt64(2222));
    throw 42;
  };
  const Pid pid = Start(std::move(script));
  const auto status = StatusOf(pid);
  EXPECT_THAT(status.formatted_state(), HasSubstr("FormatStatus failed"));
  EXPECT_THAT(status.formatted_state(), Not(HasSubstr("4711")));
  EXPECT_THAT(status.formatted_state(), Not(HasSubstr("2222")));
  EXPECT_EQ(status.state_type(), "");
  EXPECT_FALSE(Call(pid, 0).ok());
  EXPECT_THAT(Report(), Not(HasSubstr("4711")));
}

// -- Change of code
// --------------------------------------------------------------

// Version 2 of the counter: counts in tenths.
Script InTenths(std::shared_ptr<int64_t> tenths, std::string* seen) {
  Script script;
  script.call = [tenths](int64_t, Context&) -> Reply<Int64> {
    return MakeInt64(*tenths);
  };
  script.code_change = [tenths, seen](absl::string_view version, Payload state,
                                      Payload extra, Context&) -> absl::Status {
    const Int64* const old = state.As<Int64>();
    const Int64* const factor = extra.As<Int64>();
    if (old == nullptr || factor == nullptr) {
      return absl::InvalidArgumentError("another state");
    }
    *seen = absl::StrCat(version, " ", old->value());
    *tenths = old->value() * factor->value();
    return absl::OkStatus();
  };
  return script;
}

TEST_F(SysTest, ChangeCodeConvertsTheState) {  // otp G27, Y8
  const Pid pid = StartCounter();
  state_->value = 5;
  auto tenths = std::make_shared<int64_t>(0);
  std::string seen;
  const auto factory = [&] {
    return ScriptServer::Make(InTenths(tenths, &seen));
  };
  EXPECT_TRUE(IsError(Do(sys::ChangeCode(caller_, pid, factory, "1",
                                         Payload::Of(MakeInt64(10)))),
                      Code::kFailedPrecondition, "NOT_SUSPENDED",
                      Outcome::kNotExecuted));
  ASSERT_EQ(Do(sys::Suspend(caller_, pid)), absl::OkStatus());
  ScriptCast(caller_, pid, 2);
  EXPECT_EQ(Do(sys::ChangeCode(caller_, pid, factory, "1",
                               Payload::Of(MakeInt64(10)))),
            absl::OkStatus());
  EXPECT_EQ(seen, "1 5");
  ASSERT_EQ(Do(sys::Resume(caller_, pid)), absl::OkStatus());
  EXPECT_EQ(sim_.Call<Int64>(pid, kScriptCall, MakeInt64(0))->value(), 50);
  EXPECT_THAT(state_->seen, IsEmpty()) << "the queue is the new one's";
}

TEST_F(SysTest, GS65_WithoutACodeChangeTheOldServerGoesOn) {
  OTP_CASE("GS.65", "G27");
  const Pid pid = StartCounter();
  state_->value = 5;
  ASSERT_EQ(Do(sys::Suspend(caller_, pid)), absl::OkStatus());
  const auto change = [&](Script script) {
    return Do(sys::ChangeCode(
        caller_, pid, [&] { return ScriptServer::Make(script); }, "1"));
  };
  EXPECT_TRUE(IsError(change(Script()), Code::kUnimplemented, "NO_CODE_CHANGE",
                      Outcome::kNotExecuted));
  Script fails;
  fails.code_change = [](absl::string_view, Payload, Payload,
                         Context&) -> absl::Status {
    return absl::InvalidArgumentError("no");
  };
  EXPECT_TRUE(IsError(change(fails), Code::kInternal, "CALLBACK_FAILED",
                      Outcome::kExecuted));
  fails.code_change = [](absl::string_view, Payload, Payload,
                         Context&) -> absl::Status {
    throw std::runtime_error("no");
  };
  EXPECT_TRUE(IsError(change(fails), Code::kInternal, "CALLBACK_FAILED",
                      Outcome::kExecuted));
  EXPECT_TRUE(IsError(Do(sys::ChangeCode(
                          caller_, pid, [] { return nullptr; }, "1")),
                      Code::kInvalidArgument, "WRONG_SERVICE",
                      Outcome::kNotExecuted));
  ASSERT_EQ(Do(sys::Resume(caller_, pid)), absl::OkStatus());
  EXPECT_EQ(sim_.Call<Int64>(pid, kScriptCall, MakeInt64(1))->value(), 6);
}

}  // namespace
}  // namespace muster
