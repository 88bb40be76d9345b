// The start handshake (otp section 2).
#include "node/gen_server/start.h"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
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

// Servers whose Init gives each row of otp H4.
Script WithInit(std::function<InitResult(Context&)> init) {
  Script script;
  script.init = std::move(init);
  return script;
}

class StartTest : public ::testing::Test {
 protected:
  absl::StatusOr<Pid> Start(Script script, absl::string_view name = "n") {
    script.terminate = [this](const ExitReason&, Context&) -> Next {
      seen_.push_back("terminate");
      return NoReply();
    };
    return sim_.Start(ScriptServer::Make(std::move(script)), name);
  }
  void ExpectNothingLeft() {
    EXPECT_EQ(sim_.runtime().process_count(), 0u);
    EXPECT_TRUE(sim_.runtime().WhereIsLocal("n").empty());
    EXPECT_THAT(seen_, IsEmpty());  // otp H9
  }

  SimRuntime sim_;
  std::vector<std::string> seen_;
};

TEST_F(StartTest, ReturnsAfterInit) {  // otp H1
  const BootTime before = sim_.Now();
  const absl::StatusOr<Pid> pid =
      Start(WithInit([](Context& self) -> InitResult {
        co_await self.Sleep(absl::Seconds(2));
        co_return Ok();
      }));
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(2));
  EXPECT_EQ(sim_.runtime().WhereIsLocal("n"), *pid);
}

TEST_F(StartTest, MessagesToTheNameWaitForInit) {  // otp H2
  Script script = WithInit([](Context& self) -> InitResult {
    co_await self.Sleep(absl::Seconds(2));
    co_return Ok();
  });
  StartOptions options;
  options.name = "n";
  auto pending = muster::Start(sim_.runtime(), ScriptServer::Make(script),
                               Payload(), options);
  std::optional<absl::StatusOr<Int64>> reply;
  const BootTime before = sim_.Now();
  ScriptCall(sim_.caller(), ServerRef::Local("n"), 3)
      .Then([&](absl::StatusOr<Int64> r) { reply = std::move(r); });
  sim_.RunUntil([&] { return reply.has_value(); });
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(2));
  EXPECT_TRUE(reply->ok());
  EXPECT_TRUE(sim_.Await(std::move(pending)).ok());
}

TEST_F(StartTest, TakenNameIsAlreadyStartedWithItsHolder) {  // otp H3
  const Pid holder = *Start(Script());
  int inits = 0;
  const absl::Status status = Start(WithInit([&](Context&) -> InitResult {
                                ++inits;
                                return Ok();
                              })).status();
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_EQ(ReasonOf(status), "ALREADY_STARTED");
  EXPECT_EQ(DetailOf(status, "pid"), holder.ToString());
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  EXPECT_EQ(inits, 0);
  EXPECT_EQ(sim_.runtime().process_count(), 1u);
}

TEST_F(StartTest, Ignore) {  // otp H4
  const absl::Status status =
      Start(WithInit([](Context&) -> InitResult { return Ignore(); })).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_EQ(ReasonOf(status), "IGNORED");
  ExpectNothingLeft();
}

TEST_F(StartTest, InitsOwnError) {  // otp H4
  const absl::Status status =
      Start(WithInit([](Context&) -> InitResult {
        return absl::InvalidArgumentError("capacity is 0");
      })).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(status.message(), "capacity is 0");
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, ""), 0u);
  ExpectNothingLeft();
}

TEST_F(StartTest, InitStops) {  // otp H4
  const absl::Status status = Start(WithInit([](Context&) -> InitResult {
                                return Stop(ExitReason::Custom("no disk"));
                              })).status();
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_EQ(ReasonOf(status), "INIT_FAILED");
  EXPECT_TRUE(absl::StrContains(DetailOf(status, "exit_reason"), "no disk"));
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, "no disk"), 1u);
  ExpectNothingLeft();
}

TEST_F(StartTest, InitThrows) {  // otp H4
  for (const bool wait : {false, true}) {
    const absl::Status status =
        Start(WithInit([wait](Context& self) -> InitResult {
          if (wait) co_await self.Sleep(absl::Seconds(1));
          throw std::runtime_error("bad luck");
        })).status();
    EXPECT_EQ(ReasonOf(status), "INIT_FAILED") << status;
    EXPECT_TRUE(absl::StrContains(DetailOf(status, "exit_reason"), "bad luck"));
    ExpectNothingLeft();
  }
}

TEST_F(StartTest, NoServerIsAnError) {
  EXPECT_EQ(ReasonOf(sim_.Start(nullptr, "n").status()), "NO_SERVER");
  ExpectNothingLeft();
}

TEST_F(StartTest, KilledInInit) {  // otp H4 last row
  std::optional<absl::StatusOr<Pid>> started;
  StartOptions options;
  options.name = "n";
  Script script = WithInit([](Context& self) -> InitResult {
    co_await self.Sleep(absl::Hours(1));
    co_return Ok();
  });
  muster::Start(sim_.runtime(), ScriptServer::Make(script), Payload(), options)
      .Then([&](absl::StatusOr<Pid> r) { started = std::move(r); });
  sim_.RunReady();
  sim_.runtime().SendExit(Pid(), sim_.runtime().WhereIsLocal("n"),
                          ExitReason::Kill());
  sim_.RunReady();
  ASSERT_TRUE(started.has_value());
  EXPECT_EQ(DetailOf(started->status(), "exit_reason"), "killed");
  ExpectNothingLeft();
}

TEST_F(StartTest, Timeout) {  // otp H8
  StartOptions options;
  options.name = "n";
  options.timeout = absl::Seconds(3);
  const BootTime before = sim_.Now();
  const absl::Status status =
      sim_.Start(ScriptServer::Make(WithInit([](Context& self) -> InitResult {
                   co_await self.Sleep(absl::Hours(1));
                   co_return Ok();
                 })),
                 Payload(), options)
          .status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(ReasonOf(status), "START_TIMEOUT");
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(3));
  ExpectNothingLeft();
  // In time: the limit is forgotten.
  const absl::StatusOr<Pid> pid =
      sim_.Start(ScriptServer::Make(), Payload(), options);
  ASSERT_TRUE(pid.ok());
  sim_.RunFor(absl::Seconds(10));
  EXPECT_TRUE(sim_.Alive(*pid));
}

TEST_F(StartTest, ANameIsFreeAtOnceAHundredTimes) {  // otp H5
  for (int i = 0; i < 100; ++i) {
    const absl::Status failed =
        Start(WithInit([i](Context& self) -> InitResult {
          if (i % 2 == 0) co_await self.Sleep(absl::Seconds(1));
          co_return Stop(ExitReason::Normal());
        })).status();
    ASSERT_EQ(ReasonOf(failed), "INIT_FAILED") << i << ": " << failed;
  }
  ASSERT_TRUE(Start(Script()).ok());
}

// A process that starts another, linked, and notes what comes.
class StartLinkTest : public StartTest {
 protected:
  absl::Status StartFrom(bool trap, Script child) {
    std::optional<absl::Status> result;
    Script parent;
    parent.init = [trap](Context& self) -> InitResult {
      self.TrapExit(trap);
      return Ok();
    };
    parent.call = [&, child](int64_t, Context& self) -> Reply<Int64> {
      StartOptions options;
      options.name = "n";
      options.timeout = absl::Seconds(5);
      absl::StatusOr<Pid> pid = co_await StartLink(
          self, ScriptServer::Make(child), Payload(), std::move(options));
      result = pid.status();
      co_return MakeInt64(0);
    };
    parent.info = [this](Info info, Context&) -> Next {
      if (const Exit* exit = info.As<Exit>()) {
        seen_.push_back("exit " + exit->reason.ToString());
      }
      return NoReply();
    };
    parent_ = *sim_.Start(ScriptServer::Make(parent));
    CallOptions patient;
    patient.timeout = absl::Minutes(1);
    const absl::Status called =
        sim_.Call<Int64>(parent_, kScriptCall, MakeInt64(0), patient).status();
    sim_.RunReady();
    // A starter that dies never hears of the start.
    EXPECT_EQ(called.ok(), result.has_value()) << called;
    return result.value_or(called);
  }

  Pid parent_;
};

// What the child does in Init, and how a starter that does not trap then ends;
// empty: it lives on.
struct Failing {
  Script script;
  std::string starter_ends;
};

std::vector<Failing> AllFailing() {
  return {
      {WithInit([](Context&) -> InitResult { return Ignore(); }), ""},
      {WithInit([](Context&) -> InitResult {
         return absl::NotFoundError("nothing to do");
       }),
       ""},
      {WithInit(
           [](Context&) -> InitResult { return Stop(ExitReason::Normal()); }),
       ""},
      {WithInit(
           [](Context&) -> InitResult { return Stop(ExitReason::Shutdown()); }),
       "shutdown"},
      {WithInit([](Context&) -> InitResult {
         return Stop(ExitReason::Custom("x"));
       }),
       "custom(x)"},
      {WithInit(
           [](Context&) -> InitResult { throw std::runtime_error("bad"); }),
       "exception(std::runtime_error: bad)"},
      {WithInit([](Context& self) -> InitResult {
         self.SendExit(self.pid(), ExitReason::Kill());
         return Ok();
       }),
       "killed"},
      {WithInit([](Context& self) -> InitResult {  // A timeout.
         co_await self.Sleep(absl::Hours(1));
         co_return Ok();
       }),
       ""},
  };
}

TEST_F(StartLinkTest, AFailedStartLeavesATrappingStarterClean) {  // otp H6
  for (const Failing& failing : AllFailing()) {
    EXPECT_FALSE(StartFrom(true, failing.script).ok());
    EXPECT_TRUE(sim_.Alive(parent_));
    EXPECT_THAT(seen_, IsEmpty());
    EXPECT_TRUE(sim_.runtime().WhereIsLocal("n").empty());
    sim_.Stop(parent_, absl::ZeroDuration());
  }
}

TEST_F(StartLinkTest, AnAbnormalStartEndsAStarterThatDoesNotTrap) {  // otp H7
  for (const Failing& failing : AllFailing()) {
    const absl::Status status = StartFrom(false, failing.script);
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(sim_.Alive(parent_), failing.starter_ends.empty()) << status;
    if (failing.starter_ends.empty()) {
      EXPECT_NE(ReasonOf(status), "CALLEE_EXITED");
    } else {
      EXPECT_EQ(ReasonOf(status), "CALLEE_EXITED");
      EXPECT_EQ(DetailOf(status, "exit_reason"), failing.starter_ends);
    }
    EXPECT_TRUE(sim_.runtime().WhereIsLocal("n").empty());
    sim_.Stop(parent_, absl::ZeroDuration());
  }
}

TEST_F(StartLinkTest, ANameClashLeavesNoLink) {  // otp H3
  const Pid holder = *Start(Script());
  EXPECT_EQ(ReasonOf(StartFrom(true, Script())), "ALREADY_STARTED");
  sim_.Stop(holder, absl::ZeroDuration());
  sim_.RunReady();
  EXPECT_THAT(seen_, IsEmpty());
}

TEST_F(StartLinkTest, TheLinkStands) {  // otp L5
  EXPECT_TRUE(StartFrom(true, Script()).ok());
  const Pid child = sim_.runtime().WhereIsLocal("n");
  sim_.runtime().SendExit(Pid(), child, ExitReason::Kill());
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("exit killed"));

  seen_.clear();
  EXPECT_TRUE(StartFrom(false, Script()).ok());
  sim_.runtime().SendExit(Pid(), parent_, ExitReason::Kill());
  sim_.RunReady();
  EXPECT_TRUE(sim_.runtime().WhereIsLocal("n").empty());
}

TEST_F(StartLinkTest, AParentThatDiesTakesAStartingChildAlong) {  // otp L5
  Script parent;
  parent.call = [](int64_t, Context& self) -> Reply<Int64> {
    StartOptions options;
    options.name = "n";
    Script child = WithInit([](Context& inner) -> InitResult {
      co_await inner.Sleep(absl::Hours(1));
      co_return Ok();
    });
    absl::StatusOr<Pid> pid = co_await StartLink(
        self, ScriptServer::Make(child), Payload(), std::move(options));
    co_return MakeInt64(0);
  };
  const Pid pid = *sim_.Start(ScriptServer::Make(parent));
  ScriptCall(sim_.caller(), pid, 0);
  sim_.RunReady();
  EXPECT_FALSE(sim_.runtime().WhereIsLocal("n").empty());
  sim_.runtime().SendExit(Pid(), pid, ExitReason::Kill());
  sim_.RunReady();
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
}

}  // namespace
}  // namespace muster
