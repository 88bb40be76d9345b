// The server loop (otp section 3): what callbacks answer, throw and leave out,
// as OTP's gen_server suite checks it.
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
#include "node/gen_server/start.h"
#include "node/gen_server/sys.h"
#include "node/process/process.h"
#include "node/process/signals.h"
#include "tests/conformance/otp/actor.h"
#include "tests/conformance/otp/expect.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Code = absl::StatusCode;
using Kind = ExitReason::Kind;

class LoopTest : public ::testing::Test {
 protected:
  // Notes its callbacks.
  Script Noting() {
    Script script;
    script.timeout = [this](Context&) -> Next {
      seen_.push_back("timeout");
      return NoReply();
    };
    script.terminate = [this](const ExitReason& reason, Context&) -> Next {
      seen_.push_back(absl::StrCat("terminate ", reason.ToString()));
      return NoReply();
    };
    return script;
  }
  Pid Start(Script script) {
    return Watch(*sim_.Start(ScriptServer::Make(std::move(script))));
  }
  Pid Watch(const Pid& pid) {
    sim_.runtime().ObserveExit(
        pid, [this](ExitReason reason) { ended_ = std::move(reason); });
    return pid;
  }
  absl::Status Call(const Pid& pid, int64_t value) {
    return sim_.Call<Int64>(pid, kScriptCall, MakeInt64(value)).status();
  }
  void Cast(const Pid& pid, int64_t value) {
    ScriptCast(sim_.caller(), pid, value);
    sim_.RunReady();
  }
  void Send(const Pid& pid, int64_t value) {
    sim_.runtime().Send(pid, Info(MakeInt64(value)));
    sim_.RunReady();
  }
  // A process that traps exits and is linked to `pid`; what it hears.
  void LinkTrapping(const Pid& pid) {
    const Pid linked = *sim_.Start(
        std::make_unique<Actor>([this](Info info, Context&) -> Next {
          if (const Exit* exit = info.As<Exit>()) {
            exits_.push_back(exit->reason);
          }
          return NoReply();
        }));
    Tell(sim_.runtime(), linked, [pid](Context& self) {
      self.TrapExit(true);
      EXPECT_EQ(self.Link(pid), absl::OkStatus());
      return Next();
    });
    sim_.RunReady();
  }
  size_t Reports() { return sim_.log().Count(LogLevel::kError, "crashed"); }
  ::testing::AssertionResult IsExit(const absl::Status& status,
                                    const ExitReason& reason) {
    auto result =
        IsError(status, Code::kAborted, "CALLEE_EXITED", Outcome::kUnknown);
    if (!result) return result;
    if (DetailOf(status, "exit_reason") == reason.ToString()) return result;
    return ::testing::AssertionFailure() << DetailOf(status, "exit_reason")
                                         << " instead of " << reason.ToString();
  }

  std::vector<std::string> seen_;
  std::vector<ExitReason> exits_;
  std::optional<ExitReason> ended_;
  SimRuntime sim_;
};

// -- Crashes in a call
// ----------------------------------------------------------

// A callback that "exits" is one that stops without an answer.
TEST_F(LoopTest, GS18_GS19_GS20_NormalEndingsAreToldButNotReported) {
  OTP_CASE("GS.18 GS.19 GS.20", "G23 P7 C5");
  for (const ExitReason& reason :
       {ExitReason::Shutdown("reason"), ExitReason::Shutdown("stop_reason"),
        ExitReason::Shutdown()}) {
    exits_.clear();
    seen_.clear();
    Script script = Noting();
    script.call = [&](int64_t, Context&) -> Reply<Int64> {
      return Stop(reason);
    };
    const Pid pid = Start(std::move(script));
    LinkTrapping(pid);
    EXPECT_TRUE(IsExit(Call(pid, 1), reason));
    sim_.RunReady();
    EXPECT_THAT(exits_, ElementsAre(reason));
    EXPECT_EQ(ended_, reason);
    EXPECT_THAT(seen_,
                ElementsAre(absl::StrCat("terminate ", reason.ToString())));
  }
  EXPECT_EQ(Reports(), 0u);
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, ""), 0u);
}

TEST_F(LoopTest, GS21_AnAbnormalEndIsReportedOnce) {
  OTP_CASE("GS.21", "G23 G22");
  Script script = Noting();
  script.call = [](int64_t, Context&) -> Reply<Int64> {
    return Stop(ExitReason::Custom("crashed_it"));
  };
  script.snapshot = [](Context&) -> absl::StatusOr<Payload> {
    return Payload::Of(MakeInt64(4711));
  };
  const Pid pid = Start(std::move(script));
  LinkTrapping(pid);
  Pid client;
  std::optional<absl::Status> answer;
  client = *sim_.Start(std::make_unique<Actor>());
  Tell(sim_.runtime(), client, [&](Context& self) -> Next {
    absl::StatusOr<Int64> result = co_await ScriptCall(self, pid, 1);
    answer = result.status();
    co_return NoReply();
  });
  sim_.RunReady();
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(IsExit(*answer, ExitReason::Custom("crashed_it")));
  EXPECT_THAT(exits_, ElementsAre(ExitReason::Custom("crashed_it")));
  ASSERT_EQ(sim_.log().Count(LogLevel::kError, ""), 1u);
  std::string report;
  for (const std::string& line : sim_.log().Lines()) {
    if (absl::StrContains(line, "crashed_it")) report = line;
  }
  EXPECT_THAT(report, HasSubstr(pid.ToString()));
  EXPECT_THAT(report, HasSubstr("last message: call Call "
                                "(google.protobuf.Int64Value) from " +
                                client.ToString()));
  EXPECT_THAT(report, HasSubstr("state: \"4711\""));
}

TEST_F(LoopTest, TheReportNamesWhatWasHandled) {  // otp G23
  Script script;
  script.init = [](Context&) -> InitResult {
    return Ok(Timeout(absl::Seconds(1)));
  };
  script.cast = [](int64_t value, Context&) -> Next {
    if (value == 1) return Continue(Info(MakeInt64(1)));
    throw 1;
  };
  script.info = [](Info info, Context&) -> Next {
    const Info taken = std::move(info);
    throw 1;
  };
  script.on_continue = [](Info, Context&) -> Next { throw 1; };
  script.timeout = [](Context&) -> Next { throw 1; };
  const auto report = [this] {
    sim_.RunFor(absl::Seconds(2));
    const std::vector<std::string> lines = sim_.log().Lines();
    return lines.empty() ? std::string() : lines.back();
  };
  Cast(Start(script), 0);
  EXPECT_THAT(report(), HasSubstr("cast Cast (google.protobuf.Int64Value) from "
                                  "a client outside; state: (none: "));
  Cast(Start(script), 1);
  EXPECT_THAT(report(), HasSubstr("continue (google.protobuf.Int64Value); "));
  Send(Start(script), 0);
  EXPECT_THAT(report(), HasSubstr("info (google.protobuf.Int64Value); "));
  Start(script);
  EXPECT_THAT(report(), HasSubstr("last message: inactivity timeout; "));
  sim_.Await(Stop(sim_.caller(), Start(script), ExitReason::Custom("asked")))
      .IgnoreError();
  EXPECT_THAT(report(), AllOf(HasSubstr("crashed: custom(asked); "),
                              HasSubstr("; last message: none; ")));
}

TEST_F(LoopTest, GS68_TheReportShowsTheLabel) {
  OTP_CASE("GS.68", "G23");
  Script script;
  script.init = [](Context& self) -> InitResult {
    self.SetLabel("order 17");
    return Ok();
  };
  script.cast = [](int64_t, Context&) -> Next { throw 1; };
  Cast(Start(script), 1);
  sim_.RunReady();
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, "label=\"order 17\""), 1u);
}

// -- Bad returns
// ----------------------------------------------------------------

// A server whose answers are made at run time, as a script's or a proxy's.
class Dynamic final : public ProcessBody {
 public:
  using Answer = std::function<internal::Decision()>;
  explicit Dynamic(Answer answer, std::vector<std::string>* seen)
      : answer_(std::move(answer)), seen_(seen) {}

  const ServiceInfo& service_info() const override {
    static constexpr MethodInfo kMethods[] = {
        {"Call", false, "google.protobuf.Int64Value"}, {"Cast", true}};
    static constexpr ServiceInfo kInfo{"test.v1.Script", kMethods};
    return kInfo;
  }
  HandlerResult OnInit(Payload&, Context&) override {
    return HandlerResult(internal::GoOn(After()));
  }
  HandlerResult OnCall(absl::string_view, Payload&, Context&) override {
    return HandlerResult(answer_());
  }
  HandlerResult OnCast(absl::string_view, Payload&, Context&) override {
    return HandlerResult(answer_());
  }
  HandlerResult OnInfo(Info&, Context&) override {
    return HandlerResult(answer_());
  }
  HandlerResult OnContinue(Info&, Context&) override {
    return HandlerResult(answer_());
  }
  HandlerResult OnTimeout(Context&) override {
    return HandlerResult(answer_());
  }
  HandlerResult OnTerminate(const ExitReason& reason, Context&) override {
    seen_->push_back(absl::StrCat("terminate ", reason.ToString()));
    return HandlerResult(internal::GoOn(After()));
  }

 private:
  const Answer answer_;
  std::vector<std::string>* const seen_;
};

TEST_F(LoopTest, GS22_ABadReturnEndsTheServerAndTheCall) {
  OTP_CASE("GS.22", "G19 C5");
  google::protobuf::StringValue text;
  text.set_value("not a number");
  const std::vector<Dynamic::Answer> bad = {
      [&] { return internal::ReplyWith(Payload::Of(text), After()); },
      [&] {
        return internal::StopReplyWith(ExitReason::Normal(), Payload::Of(text));
      },
      [] { return internal::IgnoreStart(); },
      [] {
        internal::Decision decision;
        decision.kind = internal::Decision::Kind::kStop;
        return decision;
      },
  };
  for (const Dynamic::Answer& answer : bad) {
    seen_.clear();
    const Pid pid =
        Watch(*sim_.Start(std::make_unique<Dynamic>(answer, &seen_)));
    const absl::Status status = Call(pid, 1);
    ASSERT_TRUE(ended_.has_value());
    EXPECT_EQ(ended_->kind(), Kind::kBadReturnValue) << ended_->ToString();
    EXPECT_TRUE(IsExit(status, *ended_));
    EXPECT_THAT(seen_,
                ElementsAre(absl::StrCat("terminate ", ended_->ToString())));
    ended_.reset();
  }
  EXPECT_EQ(Reports(), bad.size());
  // The right type is no bad return.
  const Pid good = *sim_.Start(std::make_unique<Dynamic>(
      [] { return internal::ReplyWith(Payload::Of(MakeInt64(1)), After()); },
      &seen_));
  EXPECT_EQ(Call(good, 1), absl::OkStatus());
}

TEST_F(LoopTest, AReplyWhereThereIsNoCallIsABadReturn) {  // otp 3.2
  const std::vector<Dynamic::Answer> bad = {
      [] { return internal::ReplyWith(Payload::Of(MakeInt64(1)), After()); },
      [] { return internal::FailWith(absl::NotFoundError("nobody hears")); },
      [] {
        return internal::StopReplyWith(ExitReason::Normal(),
                                       Payload::Of(MakeInt64(1)));
      },
      [] { return internal::IgnoreStart(); },
  };
  for (const bool cast : {true, false}) {
    for (const Dynamic::Answer& answer : bad) {
      ended_.reset();
      const Pid pid =
          Watch(*sim_.Start(std::make_unique<Dynamic>(answer, &seen_)));
      if (cast) {
        Cast(pid, 1);
      } else {
        Send(pid, 1);
      }
      ASSERT_TRUE(ended_.has_value());
      EXPECT_EQ(ended_->kind(), Kind::kBadReturnValue) << ended_->ToString();
    }
  }
}

// -- Casts and infos
// ------------------------------------------------------------

TEST_F(LoopTest, GS34_CastsRunTimeOutAndStop) {
  OTP_CASE("GS.34", "G13 G15 G19");
  Script script = Noting();
  script.cast = [this](int64_t value, Context&) -> Next {
    seen_.push_back(absl::StrCat("cast ", value));
    if (value == 1) return NoReply(Timeout(absl::Milliseconds(1)));
    if (value == 2) return Stop(ExitReason::Custom("asked"));
    return NoReply();
  };
  const Pid pid = Start(std::move(script));
  Cast(pid, 0);
  sim_.RunFor(absl::Seconds(1));
  EXPECT_THAT(seen_, ElementsAre("cast 0"));
  Cast(pid, 1);
  sim_.RunFor(absl::Seconds(1));
  EXPECT_THAT(seen_, ElementsAre("cast 0", "cast 1", "timeout"));
  Cast(pid, 2);
  EXPECT_THAT(seen_, ElementsAre("cast 0", "cast 1", "timeout", "cast 2",
                                 "terminate custom(asked)"));
  EXPECT_EQ(ended_, ExitReason::Custom("asked"));
}

TEST_F(LoopTest, GS36_InfosRunTimeOutAndStop) {
  OTP_CASE("GS.36", "G13 G15 G19");
  Script script = Noting();
  script.info = [this](Info info, Context&) -> Next {
    const int64_t value = info.As<Int64>()->value();
    seen_.push_back(absl::StrCat("info ", value));
    if (value == 1) return NoReply(Timeout(absl::Milliseconds(1)));
    if (value == 2) return Stop(ExitReason::Custom("asked"));
    return NoReply();
  };
  const Pid pid = Start(std::move(script));
  Send(pid, 0);
  sim_.RunFor(absl::Seconds(1));
  EXPECT_THAT(seen_, ElementsAre("info 0"));
  Send(pid, 1);
  sim_.RunFor(absl::Seconds(1));
  EXPECT_THAT(seen_, ElementsAre("info 0", "info 1", "timeout"));
  Send(pid, 2);
  EXPECT_THAT(seen_, ElementsAre("info 0", "info 1", "timeout", "info 2",
                                 "terminate custom(asked)"));
  EXPECT_EQ(ended_, ExitReason::Custom("asked"));
}

TEST_F(LoopTest, AnInactivityTimeoutIsNoMessageOfAClient) {  // otp G5
  Script script = Noting();
  script.info = [this](Info info, Context&) -> Next {
    seen_.push_back(absl::StrCat("info ", info.type()));
    return NoReply();
  };
  const Pid pid = Start(std::move(script));
  sim_.runtime().Send(pid, Info(std::string("timeout")));
  sim_.RunReady();
  ASSERT_THAT(seen_, SizeIs(1));
  EXPECT_THAT(seen_[0], HasSubstr("string"));
}

// -- Missing callbacks
// ----------------------------------------------------------

TEST_F(LoopTest, GS62_ACallThatNobodyHandlesIsRefused) {
  OTP_CASE("GS.62", "G7");
  // A server without a handler does not compile; what reaches one all the same
  // names a method or service that it has not. It is told so and lives.
  const Pid pid = Start(Script());
  EXPECT_TRUE(IsError(
      sim_.Call<Int64>(pid, "/test.v1.Script/None", MakeInt64(1)).status(),
      Code::kUnimplemented, "UNKNOWN_METHOD", Outcome::kNotExecuted));
  EXPECT_TRUE(IsError(
      sim_.Call<Int64>(pid, "/other.v1.Other/Call", MakeInt64(1)).status(),
      Code::kUnimplemented, "WRONG_SERVICE", Outcome::kNotExecuted));
  const Pid infos_only = *sim_.Start(std::make_unique<Actor>());
  EXPECT_TRUE(IsError(Call(infos_only, 1), Code::kUnimplemented,
                      "WRONG_SERVICE", Outcome::kNotExecuted));
  EXPECT_TRUE(sim_.Alive(pid));
  EXPECT_TRUE(sim_.Alive(infos_only));
  EXPECT_EQ(Call(pid, 1), absl::OkStatus());
}

TEST_F(LoopTest, GS63_AContinueThatNobodyHandlesEndsIt) {
  OTP_CASE("GS.63", "G7 G11 G12");
  Script script = Noting();
  script.init = [](Context&) -> InitResult {
    return Ok(Continue(Info(MakeInt64(1))));
  };
  const absl::StatusOr<Pid> pid =
      sim_.Start(ScriptServer::Make(std::move(script)));
  ASSERT_TRUE(pid.ok()) << "acknowledged before it continues";
  Watch(*pid);
  sim_.RunReady();
  EXPECT_FALSE(sim_.Alive(*pid));
  ASSERT_THAT(seen_, SizeIs(1));
  EXPECT_THAT(seen_[0], HasSubstr("bad_return_value"));
  EXPECT_THAT(seen_[0], HasSubstr("HandleContinue"));
  EXPECT_EQ(Reports(), 1u);
}

TEST_F(LoopTest, GS64_AnInfoThatNobodyHandlesIsLoggedAndDropped) {
  OTP_CASE("GS.64", "G7");
  const Pid pid = Start(Script());
  Send(pid, 1);
  EXPECT_TRUE(sim_.Alive(pid));
  EXPECT_EQ(sim_.log().Count(LogLevel::kWarning,
                             "unexpected message google.protobuf.Int64Value"),
            1u);
  EXPECT_EQ(Reports(), 0u);
  EXPECT_EQ(Call(pid, 1), absl::OkStatus());
}

TEST_F(LoopTest, GS66_WithoutTerminateItEndsWithTheReason) {
  OTP_CASE("GS.66", "G7 G25");
  const Pid pid = Start(Script());
  EXPECT_EQ(
      sim_.Await(Stop(sim_.caller(), pid, ExitReason::Custom("other_reason"))),
      absl::OkStatus());
  EXPECT_EQ(ended_, ExitReason::Custom("other_reason"));
}

TEST_F(LoopTest, GS67_AnExceptionInHandleInfoIsACrash) {
  OTP_CASE("GS.67", "G7 G19");
  Script script = Noting();
  script.info = [](Info, Context&) -> Next {
    std::function<Next()> missing;
    return missing();
  };
  const Pid pid = Start(std::move(script));
  Send(pid, 1);
  EXPECT_FALSE(sim_.Alive(pid));
  ASSERT_TRUE(ended_.has_value());
  EXPECT_EQ(ended_->kind(), Kind::kException);
  EXPECT_THAT(ended_->ToString(), HasSubstr("bad_function_call"));
  EXPECT_THAT(seen_,
              ElementsAre(absl::StrCat("terminate ", ended_->ToString())));
  EXPECT_EQ(Reports(), 1u);
  EXPECT_EQ(sim_.log().Count(LogLevel::kWarning, ""), 0u);
}

// -- Replies, continue, terminate
// -------------------------------------------------

TEST_F(LoopTest, LaterRepliesAreDroppedAndCounted) {  // otp G9, G10
  From kept;
  Script script;
  script.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    kept = self.from();
    if (value == 0) self.from().Reply(MakeInt64(100));
    return MakeInt64(value);
  };
  const Pid pid = Start(std::move(script));
  EXPECT_EQ(sim_.Call<Int64>(pid, kScriptCall, MakeInt64(0))->value(), 100);
  EXPECT_EQ(sim_.runtime().replies_dropped(), 1u);
  kept.Reply(MakeInt64(3));
  EXPECT_EQ(sim_.runtime().replies_dropped(), 2u);
  EXPECT_EQ(sim_.Call<Int64>(pid, kScriptCall, MakeInt64(1))->value(), 1);
  EXPECT_EQ(sim_.runtime().replies_dropped(), 2u);
  EXPECT_EQ(
      sim_.Await(sys::GetStatus(sim_.caller(), pid))->node_replies_dropped(),
      2u);
}

TEST_F(LoopTest, AChainOfContinuesEndsInStop) {  // otp G12, G19
  Script script = Noting();
  script.cast = [](int64_t value, Context&) -> Next {
    return Continue(Info(MakeInt64(value)));
  };
  script.on_continue = [this](Info info, Context&) -> Next {
    const int64_t value = info.As<Int64>()->value();
    seen_.push_back(absl::StrCat("continue ", value));
    if (value > 0) return Continue(Info(MakeInt64(value - 1)));
    return Stop(ExitReason::Normal());
  };
  const Pid pid = Start(std::move(script));
  ScriptCast(sim_.caller(), pid, 2);
  ScriptCast(sim_.caller(), pid, 9);  // Never handled.
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("continue 2", "continue 1", "continue 0",
                                 "terminate normal"));
}

TEST_F(LoopTest, AContinueMayAskForATimeoutOrHibernate) {  // otp G12
  Script script = Noting();
  script.cast = [](int64_t value, Context&) -> Next {
    return Continue(Info(MakeInt64(value)));
  };
  script.on_continue = [](Info info, Context&) -> Next {
    if (info.As<Int64>()->value() == 0) return Timeout(absl::Seconds(1));
    return Hibernate();
  };
  const Pid pid = Start(std::move(script));
  Cast(pid, 0);
  sim_.RunFor(absl::Seconds(2));
  EXPECT_THAT(seen_, ElementsAre("timeout"));
  Cast(pid, 1);
  EXPECT_EQ(sim_.Await(sys::GetStatus(sim_.caller(), pid))->state(),
            "hibernating");
}

TEST_F(LoopTest, ATerminateThatThrowsIsReportedWithItsOwnReason) {  // otp G21
  Script script;
  script.cast = [](int64_t, Context&) -> Next {
    return Stop(ExitReason::Custom("first"));
  };
  script.terminate = [](const ExitReason&, Context&) -> Next {
    throw std::runtime_error("second");
  };
  const Pid pid = Start(std::move(script));
  LinkTrapping(pid);
  Cast(pid, 1);
  ASSERT_TRUE(ended_.has_value());
  EXPECT_EQ(ended_->ToString(), "exception(std::runtime_error: second)");
  EXPECT_THAT(exits_, ElementsAre(*ended_));
  EXPECT_EQ(Reports(), 1u);
  EXPECT_EQ(sim_.log().Count(LogLevel::kError,
                             "crashed: exception(std::runtime_error: second)"),
            1u);
}

TEST_F(LoopTest, TheStateIsSeenAsTheFailedCallbackLeftIt) {  // otp 16.1.1
  int64_t state = 1;
  int64_t at_terminate = 0;
  Script script;
  script.cast = [&](int64_t value, Context&) -> Next {
    state = value;
    throw std::runtime_error("half-way");
  };
  script.snapshot = [&](Context&) -> absl::StatusOr<Payload> {
    return Payload::Of(MakeInt64(state));
  };
  script.terminate = [&](const ExitReason&, Context&) -> Next {
    at_terminate = std::exchange(state, 99);
    return NoReply();
  };
  const Pid pid = Start(std::move(script));
  Cast(pid, 42);
  EXPECT_EQ(at_terminate, 42);
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, "state: \"42\""), 1u);
}

TEST_F(LoopTest, TheParentsNormalExitEndsATrappingServer) {  // otp G4, G3
  const Pid parent = *sim_.Start(std::make_unique<Actor>());
  std::vector<Pid> children;
  Tell(sim_.runtime(), parent, [&](Context& self) -> Next {
    for (const bool traps : {true, false}) {
      Script script = Noting();
      script.init = [traps](Context& child) -> InitResult {
        child.TrapExit(traps);
        return Ok();
      };
      absl::StatusOr<Pid> pid = co_await StartLink(
          self, ScriptServer::Make(std::move(script)), Payload());
      children.push_back(*pid);
    }
    co_return Stop(ExitReason::Normal());
  });
  sim_.RunReady();
  ASSERT_THAT(children, SizeIs(2));
  EXPECT_FALSE(sim_.Alive(children[0]));
  EXPECT_TRUE(sim_.Alive(children[1])) << "a normal exit through a link";
  EXPECT_THAT(seen_, ElementsAre("terminate normal"));
}

TEST_F(LoopTest, WithoutTrappingTheParentsExitIsDeathWithoutTerminate) {
  // otp G3, G20
  const Pid parent = *sim_.Start(std::make_unique<Actor>());
  Pid child;
  Tell(sim_.runtime(), parent, [&](Context& self) -> Next {
    absl::StatusOr<Pid> pid =
        co_await StartLink(self, ScriptServer::Make(Noting()), Payload());
    child = *pid;
    co_return Stop(ExitReason::Shutdown());
  });
  sim_.RunReady();
  EXPECT_FALSE(sim_.Alive(child));
  EXPECT_THAT(seen_, IsEmpty());
}

}  // namespace
}  // namespace muster
