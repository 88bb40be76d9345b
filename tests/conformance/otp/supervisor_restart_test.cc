// supervisor_SUITE: which exits cause a restart, strategies, intensity.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/supervisor/supervisor.h"
#include "node/supervisor/supervisor_client.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/supervisor_fixture.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Strategy kStrategies[] = {Strategy::kOneForOne, Strategy::kOneForAll,
                                    Strategy::kRestForOne};

class SupervisorRestart : public SupervisorCase {
 protected:
  // A supervisor with one child that ends; what is left: "restarted",
  // "kept" or "forgotten".
  std::string AfterEnd(Restart restart, How how) {
    EXPECT_TRUE(Start(Spec({Worker("child1", restart)})).ok());
    const Pid first = Where("child1");
    End("child1", how);
    EXPECT_TRUE(sim_.Alive(sup_));
    const std::string which = Which();
    std::string what = which;
    if (which == "child1" && !Where("child1").empty() &&
        Where("child1") != first) {
      what = "restarted";
    } else if (which == "-child1") {
      what = "kept";
      EXPECT_EQ(Counts(), "1 specs, 0 active, 0 supervisors, 1 workers");
      EXPECT_TRUE(Await(Client().RestartChild("child1")).ok());
    } else if (which.empty()) {
      what = "forgotten";
      EXPECT_EQ(ReasonOf(Await(Client().RestartChild("child1")).status()),
                "NO_CHILD");
      EXPECT_TRUE(Await(Client().StartChild(Worker("child1", restart))).ok());
    }
    StopSup();
    return what;
  }
};

TEST_F(SupervisorRestart, SUP37_PermanentNormal) {
  OTP_CASE("SUP.37", "S12");
  EXPECT_EQ(AfterEnd(kPermanent, kNormal), "restarted");
}
TEST_F(SupervisorRestart, SUP38_TemporaryNormal) {
  OTP_CASE("SUP.38", "S10");
  EXPECT_EQ(AfterEnd(kTemporary, kNormal), "forgotten");
}
TEST_F(SupervisorRestart, SUP39_PermanentShutdown) {
  OTP_CASE("SUP.39", "P7");
  EXPECT_EQ(AfterEnd(kPermanent, kShutdown), "restarted");
  EXPECT_EQ(AfterEnd(kPermanent, kShutdownX), "restarted");
}
TEST_F(SupervisorRestart, SUP40_TransientShutdown) {
  OTP_CASE("SUP.40", "P7");
  EXPECT_EQ(AfterEnd(kTransient, kShutdown), "kept");
  EXPECT_EQ(AfterEnd(kTransient, kShutdownX), "kept");
}
TEST_F(SupervisorRestart, SUP41_TemporaryShutdown) {
  OTP_CASE("SUP.41", "S10");
  EXPECT_EQ(AfterEnd(kTemporary, kShutdown), "forgotten");
  EXPECT_EQ(AfterEnd(kTemporary, kShutdownX), "forgotten");
}
TEST_F(SupervisorRestart, SUP42_PermanentAbnormal) {
  OTP_CASE("SUP.42", "P7");
  EXPECT_EQ(AfterEnd(kPermanent, kAbnormal), "restarted");
}
TEST_F(SupervisorRestart, SUP43_TransientAbnormal) {
  OTP_CASE("SUP.43", "P7");
  EXPECT_EQ(AfterEnd(kTransient, kAbnormal), "restarted");
}
TEST_F(SupervisorRestart, SUP44_TemporaryAbnormal) {
  OTP_CASE("SUP.44", "S10");
  EXPECT_EQ(AfterEnd(kTemporary, kAbnormal), "forgotten");
}

TEST_F(SupervisorRestart, SUP30_RestartsSpreadOut) {
  OTP_CASE("SUP.30", "S18");
  SupervisorSpec spec = Spec({Worker("child1")}, 1);
  spec.period = absl::Seconds(1);
  ASSERT_TRUE(Start(spec).ok());
  for (int i = 0; i < 4; ++i) {
    const Pid before = Where("child1");
    Kill("child1");
    EXPECT_NE(Where("child1"), before);
    EXPECT_FALSE(Where("child1").empty());
    sim_.RunFor(absl::Milliseconds(2100));
  }
  EXPECT_TRUE(sim_.Alive(sup_));
}

TEST_F(SupervisorRestart, SUP31_OneForOne) {
  OTP_CASE("SUP.31", "S12 S18 S19 S20");
  ASSERT_TRUE(Start(Spec({Worker("child1"), Worker("child2")}, 2)).ok());
  const Pid child1 = Where("child1");
  const Pid child2 = Where("child2");
  End("child1", kAbnormal);
  EXPECT_NE(Where("child1"), child1);
  EXPECT_EQ(Where("child2"), child2);
  EXPECT_EQ(Which(), "child2 child1");
  End("child2", kAbnormal);
  EXPECT_TRUE(sim_.Alive(sup_));
  End("child1", kAbnormal);
  EXPECT_FALSE(sim_.Alive(sup_));
  EXPECT_THAT(exits_, ElementsAre("shutdown"));
  EXPECT_TRUE(Where("child2").empty());
}

TEST_F(SupervisorRestart, SUP32_OneForAll) {
  OTP_CASE("SUP.32", "S13 S18 S19");
  ASSERT_TRUE(
      Start(Spec({Worker("child1"), Worker("child2")}, 2, Strategy::kOneForAll))
          .ok());
  const Pid child1 = Where("child1");
  const Pid child2 = Where("child2");
  seen_.clear();
  End("child1", kAbnormal);
  EXPECT_NE(Where("child1"), child1);
  EXPECT_NE(Where("child2"), child2);
  EXPECT_FALSE(Where("child2").empty());
  EXPECT_THAT(
      seen_,
      ElementsAre("end child1 " + ExitReason::Custom("x").ToString(),
                  "end child2 shutdown", "start child1", "start child2"));
  End("child2", kAbnormal);
  EXPECT_TRUE(sim_.Alive(sup_));
  End("child1", kAbnormal);
  EXPECT_FALSE(sim_.Alive(sup_));
  EXPECT_THAT(exits_, ElementsAre("shutdown"));
}

TEST_F(SupervisorRestart, SUP47_TemporaryChildrenKeepNoArguments) {
  OTP_CASE("SUP.47", "S10");
  for (const Strategy strategy : kStrategies) {
    for (const Restart restart : {kPermanent, kTransient, kTemporary}) {
      const auto arguments = std::make_shared<std::string>(1 << 10, 'x');
      ChildSpec at_init = Worker("child1", restart);
      at_init.init = [arguments] {
        return Payload::Of(MakeInt64(arguments->size()));
      };
      ChildSpec later = at_init;
      later.id = "child2";
      later.name = "child2";
      later.factory = [this] { return Make("child2"); };
      ASSERT_TRUE(Start(Spec({std::move(at_init)}, 1, strategy)).ok());
      ASSERT_TRUE(Await(Client().StartChild(std::move(later))).ok());
      EXPECT_EQ(Counts(), "2 specs, 2 active, 0 supervisors, 2 workers");
      EXPECT_EQ(arguments.use_count(), restart == kTemporary ? 1 : 3);
      StopSup();
    }
  }
}

TEST_F(SupervisorRestart, SUP48_TemporaryChildrenKeepNoSpec) {
  OTP_CASE("SUP.48", "S10 S15");
  for (const Strategy strategy : kStrategies) {
    for (const Restart restart : {kPermanent, kTransient, kTemporary}) {
      const ChildSpec child = Worker("child", restart);
      ASSERT_TRUE(Start(Spec({}, 10, strategy)).ok());
      const auto start = [&] {
        const absl::StatusOr<StartedChild> started =
            Await(Client().StartChild(child));
        return started.ok() ? "ok" : ReasonOf(started.status());
      };
      EXPECT_EQ(start(), "ok");
      Kill("child");
      EXPECT_EQ(start(), restart == kTemporary ? "ok" : "ALREADY_STARTED");
      End("child", kAbnormal);
      EXPECT_EQ(start(), restart == kTemporary ? "ok" : "ALREADY_STARTED");
      End("child", kNormal);
      EXPECT_EQ(start(), restart == kPermanent   ? "ALREADY_STARTED"
                         : restart == kTransient ? "ALREADY_PRESENT"
                                                 : "ok");
      if (restart == kTransient) {
        EXPECT_TRUE(Await(Client().RestartChild("child")).ok());
      }
      EXPECT_TRUE(Await(Client().TerminateChild("child")).ok());
      EXPECT_EQ(start(), restart == kTemporary ? "ok" : "ALREADY_PRESENT");
      // Taken down by a sibling.
      if (restart != kTemporary) {
        EXPECT_TRUE(Await(Client().RestartChild("child")).ok());
      }
      EXPECT_TRUE(Await(Client().TerminateChild("child")).ok());
      StopSup();
      ASSERT_TRUE(Start(Spec({Worker("first"), child}, 10, strategy)).ok());
      const Pid before = Where("child");
      Kill("first");
      if (strategy == Strategy::kOneForOne) {
        EXPECT_EQ(Where("child"), before);
      } else if (restart == kTemporary) {
        EXPECT_EQ(Which(), "first");
      } else {
        EXPECT_EQ(Which(), "child first");
        EXPECT_NE(Where("child"), before);
      }
      StopSup();
    }
  }
}

}  // namespace
}  // namespace muster
