// Horde's nested suite, on a node's supervisors: a rest_for_one of a
// DynamicSupervisor and of a later sibling that adds its child.
#include <memory>
#include <utility>

#include "gtest/gtest.h"
#include "node/gen_server/gen_server.h"
#include "node/supervisor/child_spec.h"
#include "node/supervisor/dynamic_supervisor.h"
#include "node/supervisor/supervisor.h"
#include "node/types/server_ref.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/supervisor_fixture.h"

namespace muster {
namespace {

class HordeNested : public SupervisorCase {
 protected:
  HordeNested() {
    ChildSpec pool;
    pool.id = "pool";
    pool.name = "pool";
    pool.type = ChildType::kSupervisor;
    pool.factory = [] {
      DynamicSupervisorSpec spec;
      spec.intensity = 1;
      return std::make_unique<DynamicSupervisor>(std::move(spec));
    };
    ChildSpec adder;
    adder.id = "adder";
    adder.name = "adder";
    adder.factory = [this] {
      Script script;
      script.init = [this](Context& self) -> InitResult {
        ++adders_;
        DynamicSupervisorClient client(self, ServerRef::Local("pool"));
        const absl::StatusOr<StartedChild> started =
            co_await client.StartChild(Worker("child"));
        if (!started.ok()) co_return started.status();
        co_return Ok();
      };
      return ScriptServer::Make(std::move(script));
    };
    const absl::StatusOr<Pid> started = Start(
        Spec({std::move(pool), std::move(adder)}, 3, Strategy::kRestForOne));
    EXPECT_TRUE(started.ok()) << started.status();
    EXPECT_FALSE(Where("child").empty());
    EXPECT_EQ(adders_, 1);
  }

  // Children of the pool that run.
  size_t Active() {
    DynamicSupervisorClient pool(sim_.caller(), ServerRef::Local("pool"));
    const absl::StatusOr<ChildCounts> counts = Await(pool.CountChildren());
    EXPECT_TRUE(counts.ok()) << counts.status();
    return counts.ok() ? counts->active : 0;
  }

  int adders_ = 0;
};

TEST_F(HordeNested, HRD18_ChildIsAddedAgainWhenItsSupervisorCrashes) {
  OTP_CASE("HRD.18", "S14");
  const Pid pool = Where("pool");
  const Pid child = Where("child");
  Kill("pool");
  EXPECT_TRUE(sim_.RunUntil([&] {
    return adders_ == 2 && !Where("child").empty() && Where("child") != child;
  }));
  EXPECT_NE(Where("pool"), pool);
  EXPECT_FALSE(sim_.Alive(child));
  EXPECT_EQ(Which(), "adder pool!");
  EXPECT_EQ(Active(), 1u);
}

TEST_F(HordeNested, HRD19_ChildIsAddedAgainAfterItCrashesTwice) {
  OTP_CASE("HRD.19", "S14 S18");
  const Pid pool = Where("pool");
  const Pid first = Where("child");
  Kill("child");
  ASSERT_TRUE(sim_.RunUntil(
      [&] { return !Where("child").empty() && Where("child") != first; }));
  EXPECT_EQ(Where("pool"), pool) << "one crash is tolerated";
  EXPECT_EQ(adders_, 1);
  const Pid second = Where("child");
  Kill("child");
  EXPECT_TRUE(sim_.RunUntil([&] {
    return adders_ == 2 && !Where("child").empty() && Where("child") != second;
  }));
  EXPECT_NE(Where("pool"), pool);
  EXPECT_EQ(Active(), 1u);
}

}  // namespace
}  // namespace muster
