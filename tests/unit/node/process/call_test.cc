// Calls: replies now, later and from elsewhere; what a caller sees when none
// comes (otp 3.2, 3.3, 4.2, 16.2).
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "google/protobuf/wrappers.pb.h"
#include "gtest/gtest.h"
#include "node/process/message.h"
#include "node/process/runtime.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

using ::testing::ElementsAre;

class CallTest : public ::testing::Test {
 protected:
  // Starts a call whose result lands in *result.
  void Begin(const ServerRef& to, int64_t value,
             std::optional<absl::StatusOr<Int64>>* result,
             CallOptions options = CallOptions()) {
    ScriptCall(sim_.caller(), to, value, options)
        .Then([result](absl::StatusOr<Int64> r) { *result = std::move(r); });
  }
  absl::StatusOr<Int64> Call(const ServerRef& to, int64_t value,
                             CallOptions options = CallOptions()) {
    return sim_.Call<Int64>(to, kScriptCall, MakeInt64(value), options);
  }
  Pid Start(Script script, absl::string_view name = "") {
    return *sim_.Start(ScriptServer::Make(std::move(script)), name);
  }

  SimRuntime sim_;
  std::vector<std::string> seen_;
};

TEST_F(CallTest, AnswersByPidAndByName) {  // otp C1, C2
  const Pid pid = Start(Script(), "echo");
  EXPECT_EQ(Call(pid, 5)->value(), 5);
  EXPECT_EQ(Call(ServerRef::Local("echo"), 6)->value(), 6);
  EXPECT_EQ(Call(ServerRef::Local("echo", "a"), 7)->value(), 7);
}

TEST_F(CallTest, NobodyThereIsNoproc) {  // otp C5, P5
  for (const ServerRef& to : {ServerRef::Local("nobody"), ServerRef("nobody"),
                              ServerRef(Pid{"a", Epoch{1, 7}, 99}),
                              ServerRef(Pid{"a", Epoch{1, 6}, 1})}) {
    const absl::Status status = Call(to, 1).status();
    EXPECT_TRUE(absl::IsNotFound(status)) << status;
    EXPECT_EQ(ReasonOf(status), "NOPROC");
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  }
}

TEST_F(CallTest, AnOldIncarnationsPidReachesNobody) {  // otp P5
  const Pid pid = Start(Script());
  Pid old = pid;
  old.epoch.revision -= 1;
  EXPECT_EQ(ReasonOf(Call(old, 1).status()), "NOPROC");
}

TEST_F(CallTest, TheHandlersStatusIsTheCallersAndExecuted) {  // otp 16.2
  Script script;
  script.call = [](int64_t, Context&) -> Reply<Int64> {
    return absl::NotFoundError("no such cart");
  };
  const Pid pid = Start(script);
  const absl::Status status = Call(pid, 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "no such cart");
  EXPECT_EQ(OutcomeOf(status), Outcome::kExecuted);
  EXPECT_TRUE(sim_.Alive(pid));
}

TEST_F(CallTest, AnErrorThatIsOkIsABug) {
  Script script;
  script.call = [](int64_t, Context&) -> Reply<Int64> {
    return absl::OkStatus();
  };
  const absl::Status status = Call(Start(script), 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ReasonOf(status), "BUG");
}

TEST_F(CallTest, DeferredReplyThroughFrom) {  // otp G8
  From waiting;
  Script script;
  script.call = [&](int64_t, Context& self) -> Reply<Int64> {
    waiting = self.from();
    return NoReply();
  };
  script.cast = [&](int64_t value, Context&) -> Next {
    waiting.Reply(MakeInt64(value));
    return NoReply();
  };
  const Pid pid = Start(script);
  std::optional<absl::StatusOr<Int64>> result;
  Begin(pid, 1, &result);
  sim_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(result.has_value());
  EXPECT_FALSE(waiting.done());
  ScriptCast(sim_.caller(), pid, 42);
  sim_.RunReady();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ((*result)->value(), 42);
  EXPECT_TRUE(waiting.done());
}

TEST_F(CallTest, AnotherProcessMayReply) {  // otp G8
  Script worker;
  worker.info = [](Info info, Context&) -> Next {
    if (const From* from = info.As<From>()) from->Reply(MakeInt64(7));
    return NoReply();
  };
  const Pid worker_pid = Start(worker);
  Script front;
  front.call = [&](int64_t, Context& self) -> Reply<Int64> {
    self.Send(worker_pid, Info(self.from()));
    return NoReply();
  };
  EXPECT_EQ(Call(Start(front), 1)->value(), 7);
}

TEST_F(CallTest, TheFirstReplyWins) {  // otp G9
  Script script;
  script.call = [](int64_t, Context& self) -> Reply<Int64> {
    From from = self.from();
    from.Reply(MakeInt64(1));
    from.Reply(MakeInt64(2));
    from.ReplyError(absl::InternalError("late"));
    return MakeInt64(3);
  };
  const Pid pid = Start(script);
  EXPECT_EQ(Call(pid, 0)->value(), 1);
  EXPECT_EQ(Call(pid, 0)->value(), 1);
}

TEST_F(CallTest, AReplyAfterTheCallerGaveUpHasNoEffect) {  // otp C9, C10, G10
  From waiting;
  Script script;
  script.call = [&](int64_t, Context& self) -> Reply<Int64> {
    waiting = self.from();
    return NoReply();
  };
  const Pid pid = Start(script);
  CallOptions options;
  options.timeout = absl::Seconds(1);
  const BootTime before = sim_.Now();
  const absl::Status status = Call(pid, 1, options).status();
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(1));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(ReasonOf(status), "TIMEOUT");
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
  EXPECT_TRUE(waiting.done());
  waiting.Reply(MakeInt64(1));
  sim_.RunReady();
  EXPECT_TRUE(sim_.Alive(pid));
}

TEST_F(CallTest, TheDefaultTimeoutIsFiveSeconds) {  // otp C3
  Script script;
  script.call = [](int64_t, Context&) -> Reply<Int64> { return NoReply(); };
  const Pid pid = Start(script);
  const BootTime before = sim_.Now();
  EXPECT_EQ(ReasonOf(Call(pid, 1).status()), "TIMEOUT");
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(5));
}

TEST_F(CallTest, ZeroTimeoutSendsNothing) {
  Script script;
  script.call = [&](int64_t, Context&) -> Reply<Int64> {
    seen_.push_back("call");
    return MakeInt64(0);
  };
  const Pid pid = Start(script);
  CallOptions options;
  options.timeout = absl::ZeroDuration();
  const absl::Status status = Call(pid, 1, options).status();
  EXPECT_EQ(ReasonOf(status), "TIMEOUT");
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  sim_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(seen_.empty());
}

TEST_F(CallTest, ExpiredCallsAreDroppedBeforeTheyRun) {  // otp 16.3
  Script script;
  script.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    seen_.push_back(std::to_string(value));
    if (value == 0) co_await self.Sleep(absl::Seconds(3));
    co_return MakeInt64(value);
  };
  const Pid pid = Start(script);
  std::optional<absl::StatusOr<Int64>> first;
  Begin(pid, 0, &first);
  CallOptions options;
  options.timeout = absl::Seconds(1);
  const absl::Status status = Call(pid, 1, options).status();
  EXPECT_EQ(ReasonOf(status), "TIMEOUT");
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  sim_.RunFor(absl::Seconds(5));
  EXPECT_THAT(seen_, ElementsAre("0"));
  EXPECT_TRUE(first->ok());
}

TEST_F(CallTest, StopWithAReplyRunsTerminateFirst) {  // otp G6
  Script script;
  Pid pid;
  script.call = [](int64_t, Context&) -> Reply<Int64> {
    return Stop(ExitReason::Normal(), MakeInt64(9));
  };
  script.terminate = [&](const ExitReason& reason, Context& self) -> Next {
    seen_.push_back("terminate " + reason.ToString());
    co_await self.Sleep(absl::Seconds(2));
    seen_.push_back("terminated");
    co_return NoReply();
  };
  pid = Start(script);
  std::vector<std::string> order;
  sim_.runtime().ObserveExit(
      pid, [&](const ExitReason&) { order.push_back("down"); });
  ScriptCall(sim_.caller(), pid, 0).Then([&](absl::StatusOr<Int64> r) {
    order.push_back("reply " + std::to_string(r->value()));
  });
  const BootTime before = sim_.Now();
  sim_.RunUntil([&] { return order.size() == 2; });
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(2));
  EXPECT_THAT(seen_, ElementsAre("terminate normal", "terminated"));
  EXPECT_THAT(order, ElementsAre("reply 9", "down"));
  EXPECT_FALSE(sim_.Alive(pid));
}

TEST_F(CallTest, StopWithAReplyAnswersThoughTerminateThrows) {  // otp G6, G21
  Script script;
  script.call = [](int64_t, Context&) -> Reply<Int64> {
    return Stop(ExitReason::Normal(), MakeInt64(9));
  };
  script.terminate = [](const ExitReason&, Context&) -> Next {
    throw std::runtime_error("in terminate");
  };
  const Pid pid = Start(script);
  std::optional<ExitReason> ended;
  sim_.runtime().ObserveExit(pid, [&](ExitReason r) { ended = std::move(r); });
  EXPECT_EQ(Call(pid, 0)->value(), 9);
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->kind(), ExitReason::Kind::kException);
}

TEST_F(CallTest, StopWithoutAReplyIsCalleeExited) {  // otp C5, C6, 16.2
  Script script;
  script.call = [](int64_t, Context&) -> Reply<Int64> {
    return Stop(ExitReason::Normal());
  };
  const absl::Status status = Call(Start(script), 0).status();
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_EQ(ReasonOf(status), "CALLEE_EXITED");
  EXPECT_EQ(DetailOf(status, "exit_reason"), "normal");
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
}

TEST_F(CallTest, QueuedCallsOfAnEndingServerAreNotExecuted) {  // otp 16.2
  Script script;
  script.call = [](int64_t value, Context& self) -> Reply<Int64> {
    if (value == 0) {
      co_await self.Sleep(absl::Seconds(1));
      co_return Stop(ExitReason::Custom("done"));
    }
    co_return MakeInt64(value);
  };
  const Pid pid = Start(script);
  std::optional<absl::StatusOr<Int64>> first, second;
  Begin(pid, 0, &first);
  Begin(pid, 1, &second);
  sim_.RunFor(absl::Seconds(2));
  EXPECT_EQ(OutcomeOf(first->status()), Outcome::kUnknown);
  EXPECT_EQ(ReasonOf(second->status()), "CALLEE_EXITED");
  EXPECT_EQ(OutcomeOf(second->status()), Outcome::kNotExecuted);
}

TEST_F(CallTest, UnansweredCallsFailWithTheServersReason) {  // otp C5, 3.2
  Script script;
  script.call = [](int64_t, Context&) -> Reply<Int64> { return NoReply(); };
  script.cast = [](int64_t, Context&) -> Next {
    return Stop(ExitReason::Shutdown("enough"));
  };
  const Pid pid = Start(script);
  std::vector<std::optional<absl::StatusOr<Int64>>> results(40);
  for (auto& result : results) Begin(pid, 0, &result);
  sim_.RunReady();
  ScriptCast(sim_.caller(), pid, 0);
  sim_.RunReady();
  for (const auto& result : results) {
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(ReasonOf(result->status()), "CALLEE_EXITED");
    EXPECT_EQ(DetailOf(result->status(), "exit_reason"), "shutdown(enough)");
    EXPECT_EQ(OutcomeOf(result->status()), Outcome::kUnknown);
  }
}

TEST_F(CallTest, CallingSelfIsRefusedByEveryName) {  // otp C8
  std::vector<absl::Status> results;
  Script script;
  script.call = [&](int64_t, Context& self) -> Reply<Int64> {
    const std::vector<ServerRef> refs = {self.pid(), ServerRef::Local("me"),
                                         ServerRef::Local("me", "a")};
    for (const ServerRef& ref : refs) {
      absl::StatusOr<Int64> r = co_await ScriptCall(self, ref, 1);
      results.push_back(r.status());
    }
    co_return MakeInt64(0);
  };
  const Pid pid = Start(script, "me");
  ASSERT_TRUE(Call(pid, 0).ok());
  ASSERT_EQ(results.size(), 3u);
  for (const absl::Status& status : results) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(ReasonOf(status), "CALLING_SELF");
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  }
}

TEST_F(CallTest, ACycleOfCallsIsRefusedWithItsPath) {  // otp C14, 16.2
  Pid a, b;
  absl::Status inner;
  Script first;
  first.call = [&](int64_t, Context& self) -> Reply<Int64> {
    absl::StatusOr<Int64> r = co_await ScriptCall(self, b, 1);
    co_return r;
  };
  Script second;
  second.call = [&](int64_t, Context& self) -> Reply<Int64> {
    absl::StatusOr<Int64> r = co_await ScriptCall(self, a, 1);
    inner = r.status();
    co_return MakeInt64(5);
  };
  a = Start(first);
  b = Start(second);
  EXPECT_EQ(Call(a, 0)->value(), 5);
  EXPECT_EQ(ReasonOf(inner), "CALL_CYCLE");
  EXPECT_EQ(inner.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(OutcomeOf(inner), Outcome::kNotExecuted);
  EXPECT_EQ(DetailOf(inner, "path"),
            a.ToString() + " > " + b.ToString() + " > " + a.ToString());
}

TEST_F(CallTest, ANestedCallInheritsTheDeadline) {  // otp 16.3
  Pid slow;
  Script sleeper;
  sleeper.call = [&](int64_t, Context& self) -> Reply<Int64> {
    seen_.push_back(absl::FormatDuration(self.deadline() - self.Now()));
    return NoReply();
  };
  slow = Start(sleeper);
  absl::Status inner;
  Script front;
  front.call = [&](int64_t, Context& self) -> Reply<Int64> {
    co_await self.Sleep(absl::Seconds(1));
    absl::StatusOr<Int64> r = co_await ScriptCall(self, slow, 1);
    inner = r.status();
    co_return MakeInt64(1);
  };
  CallOptions options;
  options.timeout = absl::Seconds(3);
  const BootTime before = sim_.Now();
  EXPECT_EQ(ReasonOf(Call(Start(front), 0, options).status()), "TIMEOUT");
  sim_.RunReady();
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(3));
  EXPECT_THAT(seen_, ElementsAre("2s"));
  EXPECT_EQ(ReasonOf(inner), "TIMEOUT");
}

TEST_F(CallTest, MetadataAndCallerReachTheHandler) {
  Pid inner;
  Script callee;
  callee.call = [&](int64_t, Context& self) -> Reply<Int64> {
    seen_.push_back(self.metadata("tenant"));
    seen_.push_back(self.metadata("absent"));
    seen_.push_back(self.caller().empty() ? "outside"
                                          : self.caller().ToString());
    return MakeInt64(0);
  };
  inner = Start(callee);
  CallOptions options;
  options.metadata.emplace_back("tenant", "blue");
  ASSERT_TRUE(Call(inner, 0, options).ok());
  Script front;
  front.call = [&](int64_t, Context& self) -> Reply<Int64> {
    absl::StatusOr<Int64> r = co_await ScriptCall(self, inner, 1);
    co_return r;
  };
  const Pid outer = Start(front);
  ASSERT_TRUE(Call(outer, 0).ok());
  EXPECT_THAT(seen_,
              ElementsAre("blue", "", "outside", "", "", outer.ToString()));
}

// One row of the table of refusals per test (otp 16.2, design D1).

TEST_F(CallTest, WrongServiceIsUnimplemented) {
  const absl::Status status =
      sim_.Call<Int64>(Start(Script()), "/other.v1.Thing/Call", MakeInt64(1))
          .status();
  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  EXPECT_EQ(ReasonOf(status), "WRONG_SERVICE");
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
}

TEST_F(CallTest, UnknownMethodIsUnimplementedAndNamesTheKnown) {
  const absl::Status status =
      sim_.Call<Int64>(Start(Script()), "/test.v1.Script/Jump", MakeInt64(1))
          .status();
  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  EXPECT_EQ(ReasonOf(status), "UNKNOWN_METHOD");
  EXPECT_TRUE(absl::StrContains(status.message(), "Call, Cast")) << status;
}

TEST_F(CallTest, APathThatIsNoneIsInvalid) {
  const Pid pid = Start(Script());
  for (const char* path : {"", "/", "Call", "/test.v1.Script/", "//Call",
                           "/test.v1.Script/Call/more"}) {
    const absl::Status status =
        sim_.Call<Int64>(pid, path, MakeInt64(1)).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << path << ": " << status;
    EXPECT_EQ(ReasonOf(status), "BAD_METHOD");
  }
}

TEST_F(CallTest, CastingACallIsRefused) {
  const absl::Status status =
      sim_.Cast(Start(Script()), kScriptCall, MakeInt64(1));
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(ReasonOf(status), "NOT_A_CAST");
}

TEST_F(CallTest, CallingACastAnswersWhenTheMailboxHasIt) {  // design D1
  Script script;
  script.cast = [&](int64_t value, Context&) -> Next {
    seen_.push_back(std::to_string(value));
    return NoReply();
  };
  const Pid pid = Start(script);
  EXPECT_TRUE(sim_.Call<Int64>(pid, kScriptCast, MakeInt64(4)).ok());
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("4"));
}

TEST_F(CallTest, ARequestThatIsNoRequestIsMalformed) {
  const Pid pid = Start(Script());
  Request request(pid, kScriptCall, Payload::FromBytes("\xff\xff\xff"));
  std::optional<CallResult> result;
  sim_.runtime().StartCall(std::move(request),
                           [&](CallResult r) { result = std::move(r); });
  sim_.RunReady();
  ASSERT_TRUE(result.has_value());
  EXPECT_TRUE(absl::IsInvalidArgument(result->status)) << result->status;
  EXPECT_EQ(ReasonOf(result->status), "MALFORMED");
  EXPECT_EQ(OutcomeOf(result->status), Outcome::kNotExecuted);

  google::protobuf::StringValue wrong;
  wrong.set_value("no number");
  EXPECT_EQ(ReasonOf(sim_.Call<Int64>(pid, kScriptCall, wrong).status()),
            "MALFORMED");
  EXPECT_TRUE(sim_.Alive(pid));

  // A cast has nobody to tell: it is logged and dropped.
  EXPECT_TRUE(sim_.Cast(pid, kScriptCast, wrong).ok());
  sim_.RunReady();
  EXPECT_TRUE(sim_.Alive(pid));
  EXPECT_EQ(sim_.log().Count(LogLevel::kWarning, "dropped"), 1u);
}

}  // namespace
}  // namespace muster
