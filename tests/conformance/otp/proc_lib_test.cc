// The start handshake (proc_lib_SUITE).
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/gen_server/start.h"
#include "node/process/runtime.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/stage.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class ProcLib : public Stage {
 protected:
  // A server whose Init waits until Go() is called.
  Script Waits() {
    Script script;
    script.init = [this](Context& self) -> InitResult {
      child_ = self.pid();
      absl::AnyInvocable<void(absl::AnyInvocable<void(bool)>)> wait =
          [this](absl::AnyInvocable<void(bool)> go) { go_ = std::move(go); };
      const bool value = co_await self.Async<bool>(std::move(wait));
      if (!value) co_return Ignore();
      co_return Ok();
    };
    return script;
  }
  void Go() {
    go_(true);
    sim_.RunReady();
  }
  // Begins an act that ends only after Go().
  void Begin(const Pid& actor, Act act) {
    Tell(sim_.runtime(), actor, std::move(act));
    sim_.RunReady();
  }
  static StartOptions Within(absl::Duration timeout) {
    StartOptions options;
    options.timeout = timeout;
    return options;
  }

  absl::AnyInvocable<void(bool)> go_;
  Pid child_;
  std::optional<absl::Status> started_;
  std::optional<Monitored> monitored_;
};

TEST_F(ProcLib, PL01_StartReturnsAfterTheGo) {
  OTP_CASE("PL.01", "H1");
  const Pid actor = NewActor(/*trap=*/true);
  Begin(actor, [this](Context& self) -> Next {
    auto server = ScriptServer::Make(Waits());
    auto pid = co_await muster::Start(self, std::move(server), Payload());
    started_ = pid.status();
    co_return NoReply();
  });
  sim_.RunFor(absl::Hours(1));
  EXPECT_FALSE(started_.has_value());
  Go();
  ASSERT_TRUE(started_.has_value());
  EXPECT_TRUE(started_->ok());
  EXPECT_THAT(sim_.runtime().Inspect(child_)->links, IsEmpty());
}

TEST_F(ProcLib, PL02_StartLinkReturnsAfterTheGoAndBothAreLinked) {
  OTP_CASE("PL.02", "H1 L5");
  const Pid actor = NewActor(/*trap=*/true);
  Begin(actor, [this](Context& self) -> Next {
    auto server = ScriptServer::Make(Waits());
    auto pid = co_await StartLink(self, std::move(server), Payload());
    started_ = pid.status();
    co_return NoReply();
  });
  sim_.RunFor(absl::Hours(1));
  EXPECT_FALSE(started_.has_value());
  Go();
  EXPECT_TRUE(started_->ok());
  EXPECT_THAT(sim_.runtime().Inspect(child_)->links, ElementsAre(actor));
  EXPECT_THAT(sim_.runtime().Inspect(actor)->links, ElementsAre(child_));
}

TEST_F(ProcLib, PL03_StartMonitorReturnsAfterTheGoAndTheDownComesLater) {
  OTP_CASE("PL.03", "H1 L5 M2");
  const Pid actor = NewActor(/*trap=*/true);
  Begin(actor, [this](Context& self) -> Next {
    auto server = ScriptServer::Make(Waits());
    auto result = co_await StartMonitor(self, std::move(server), Payload());
    monitored_ = *result;
    co_return NoReply();
  });
  sim_.RunFor(absl::Hours(1));
  EXPECT_FALSE(monitored_.has_value());
  Go();
  ASSERT_TRUE(monitored_.has_value());
  EXPECT_EQ(monitored_->pid, child_);
  EXPECT_THAT(seen_, IsEmpty());
  Kill(child_);
  EXPECT_THAT(seen_, ElementsAre("down killed"));
}

TEST_F(ProcLib, PL04_LinkAndMonitorGiveOneExitAndOneDown) {
  OTP_CASE("PL.04", "H1 L5 M2");
  const Pid actor = NewActor(/*trap=*/true);
  Begin(actor, [this](Context& self) -> Next {
    auto server = ScriptServer::Make(Waits());
    auto result = co_await StartLinkMonitor(self, std::move(server), Payload());
    monitored_ = *result;
    co_return NoReply();
  });
  sim_.RunFor(absl::Hours(1));
  EXPECT_FALSE(monitored_.has_value());
  Go();
  ASSERT_TRUE(monitored_.has_value());
  Kill(child_);
  EXPECT_THAT(seen_, UnorderedElementsAre("down killed", "exit killed"));
}

TEST_F(ProcLib, PL05_ALinkedTimeoutNeitherKillsNorLeavesAnExit) {
  OTP_CASE("PL.05", "H8 H6");
  for (const bool trap : {false, true}) {
    const Pid actor = NewActor(trap);
    started_.reset();
    EXPECT_TRUE(Do(actor, [this](Context& self) -> Next {
      auto server = ScriptServer::Make(Waits());
      auto pid = co_await StartLink(self, std::move(server), Payload(),
                                    Within(absl::Milliseconds(100)));
      started_ = pid.status();
      co_return NoReply();
    }));
    EXPECT_EQ(ReasonOf(*started_), "START_TIMEOUT");
    EXPECT_FALSE(sim_.Alive(child_));
    EXPECT_TRUE(sim_.Alive(actor));
    EXPECT_THAT(seen_, IsEmpty());
  }
}

TEST_F(ProcLib, PL06_ATimeoutLeavesNeitherDownNorExit) {
  // OTP delivers the Down here; a failed start of ours consumes it (otp H6).
  OTP_CASE("PL.06", "H8 H6");
  const Pid actor = NewActor(/*trap=*/true);
  EXPECT_TRUE(Do(actor, [this](Context& self) -> Next {
    auto server = ScriptServer::Make(Waits());
    auto result = co_await StartLinkMonitor(self, std::move(server), Payload(),
                                            Within(absl::Milliseconds(100)));
    started_ = result.status();
    co_return NoReply();
  }));
  EXPECT_EQ(ReasonOf(*started_), "START_TIMEOUT");
  EXPECT_FALSE(sim_.Alive(child_));
  EXPECT_THAT(seen_, IsEmpty());
  EXPECT_EQ(sim_.runtime().Tables().monitors, 0u);
}

TEST_F(ProcLib, PL07_ACrashInInitFailsBothStartsAtOnceAlike) {
  OTP_CASE("PL.07", "H4 H7");
  const Pid actor = NewActor(/*trap=*/true);
  Script crashes;
  crashes.init = [](Context&) -> InitResult {
    throw std::runtime_error("bad init");
  };
  const BootTime before = sim_.Now();
  absl::Status plain;
  absl::Status linked;
  EXPECT_TRUE(Do(actor, [&](Context& self) -> Next {
    auto first = ScriptServer::Make(crashes);
    auto a = co_await muster::Start(self, std::move(first), Payload());
    plain = a.status();
    auto second = ScriptServer::Make(crashes);
    auto b = co_await StartLink(self, std::move(second), Payload());
    linked = b.status();
    co_return NoReply();
  }));
  EXPECT_EQ(sim_.Now(), before);
  EXPECT_EQ(ReasonOf(plain), "INIT_FAILED");
  EXPECT_EQ(DetailOf(plain, "exit_reason"),
            "exception(std::runtime_error: bad init)");
  EXPECT_EQ(linked, plain);
  EXPECT_THAT(seen_, IsEmpty());
}

TEST_F(ProcLib, PL10_ACrashIsReportedWithItsAncestorsAndLinks) {
  OTP_CASE("PL.10", "G23");
  const Pid top = NewActor(/*trap=*/true);
  Pid middle;
  Pid bottom;
  Do(top, [&](Context& self) -> Next {
    auto actor = std::make_unique<Actor>();
    auto pid = co_await StartLink(self, std::move(actor), Payload());
    middle = *pid;
    co_return NoReply();
  });
  Do(middle, [&](Context& self) -> Next {
    self.TrapExit(true);
    Script script;
    script.cast = [](int64_t, Context&) -> Next {
      throw std::runtime_error("it broke");
    };
    StartOptions options;
    options.name = "worker";
    options.label = "order 17";
    auto server = ScriptServer::Make(script);
    auto pid = co_await StartLink(self, std::move(server), Payload(), options);
    bottom = *pid;
    co_return NoReply();
  });
  EXPECT_THAT(sim_.runtime().Inspect(bottom)->ancestors,
              ElementsAre(middle, top));
  EXPECT_EQ(sim_.runtime().Inspect(bottom)->parent, middle);
  ScriptCast(sim_.caller(), bottom, 1);
  sim_.RunReady();
  const std::string report =
      bottom.ToString() +
      " worker crashed: exception(std::runtime_error: it broke); "
      "label=\"order 17\" handler=\"cast Cast\" parent=" +
      middle.ToString() + " ancestors=[" + middle.ToString() + " " +
      top.ToString() + "] links=[" + middle.ToString() + "]";
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, report), 1u)
      << testing::PrintToString(sim_.log().Lines());
  // An ending that is no failure is not reported.
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, "crashed"), 1u);
  sim_.Stop(middle);
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, "crashed"), 1u);
}

}  // namespace
}  // namespace muster
