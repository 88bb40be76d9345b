// supervisor_SUITE, simple_one_for_one with many children.
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/supervisor/dynamic_supervisor.h"
#include "tests/conformance/otp/dynamic_children.h"
#include "tests/conformance/otp/otp_case.h"

namespace muster {
namespace {

class SimpleOneForOneScale : public DynamicChildren {
 protected:
  static DynamicSupervisorSpec Template(ChildSpec child) {
    DynamicSupervisorSpec spec;
    spec.child_template = std::move(child);
    return spec;
  }
};

TEST_F(SimpleOneForOneScale, SUP49_ManyChildrenEndOneByOneInLinearTime) {
  OTP_CASE("SUP.49", "D5");
  // Work is counted in steps of the world, so that the machine does not matter.
  const auto steps = [&](int children) {
    StartPool(Template(Child(Restart::kTemporary)));
    std::vector<Pid> pids;
    for (int i = 0; i < children; ++i) pids.push_back(StartFromTemplate());
    const uint64_t before = sim_.world().steps();
    for (const Pid& pid : pids) EXPECT_EQ(Terminate(pid), absl::OkStatus());
    const uint64_t taken = sim_.world().steps() - before;
    EXPECT_EQ(Counts(), "1 0 0 0");
    sim_.Stop(pool_);
    return taken;
  };
  const uint64_t few = steps(1000);
  const uint64_t many = steps(10'000);
  EXPECT_LE(many, 11 * few);
  EXPECT_GE(few, 1000u);
}

TEST_F(SimpleOneForOneScale, SUP49_AHundredThousandChildrenEndAtOnce) {
  OTP_CASE("SUP.49", "S28");
  StartPool(
      Template(Child(Restart::kTemporary, Shutdown::Within(absl::Seconds(5)))));
  DynamicSupervisorClient client = pool();
  for (int round = 0; round < 10; ++round) {
    // As many as its mailbox holds.
    for (int i = 0; i < 10'000; ++i) {
      client.StartChild(ChildArguments()).Detach();
    }
    sim_.RunReady();
  }
  EXPECT_EQ(Counts(), "1 100000 0 100000");
  EXPECT_EQ(sim_.Stop(pool_), ExitReason::Shutdown());
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
}

}  // namespace
}  // namespace muster
