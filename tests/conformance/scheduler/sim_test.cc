// The scheduler suite on a lane of SimWorld.
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"
#include "tests/conformance/scheduler/scheduler_conformance.h"
#include "tests/testkit/sim_world.h"

namespace muster {
namespace {

class SimEnvironment final : public SchedulerEnvironment {
 public:
  SimEnvironment(uint64_t seed, bool shuffle)
      : world_(seed, {.shuffle_lanes = shuffle}), lane_(world_.AddLane("a")) {}

  Scheduler& scheduler() override { return lane_; }
  void End() override { world_.KillLane(lane_); }
  bool Await(absl::FunctionRef<bool()> done) override {
    return world_.RunUntil(
        [&] {
          MutexLock lock(&mu);
          return done();
        },
        absl::Minutes(5));
  }

 private:
  SimWorld world_;
  Scheduler& lane_;
};

SchedulerEnvironmentFactory Seed(uint64_t seed, bool shuffle) {
  return [seed, shuffle] {
    return std::make_unique<SimEnvironment>(seed, shuffle);
  };
}

INSTANTIATE_TEST_SUITE_P(Sim, SchedulerConformanceTest,
                         testing::Values(Seed(1, false), Seed(2, true),
                                         Seed(3, true)));

}  // namespace
}  // namespace muster
