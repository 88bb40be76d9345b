#include "node/supervisor/restart_window.h"

#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"

namespace muster {
namespace {

using ::testing::ElementsAre;

BootTime At(absl::Duration d) {
  return BootTime::FromNanoseconds(1'000'000) + d;
}

TEST(RestartWindowTest, ToleratesIntensityRestarts) {  // otp S18
  RestartWindow window(2, absl::Seconds(5));
  EXPECT_TRUE(window.Add(At(absl::Seconds(0))));
  EXPECT_TRUE(window.Add(At(absl::Seconds(1))));
  EXPECT_FALSE(window.Add(At(absl::Seconds(2))));
}

TEST(RestartWindowTest, TheBoundaryIsInclusive) {  // otp S18, 16.3
  RestartWindow at(1, absl::Seconds(5));
  EXPECT_TRUE(at.Add(At(absl::ZeroDuration())));
  EXPECT_FALSE(at.Add(At(absl::Seconds(5))));
  RestartWindow after(1, absl::Seconds(5));
  EXPECT_TRUE(after.Add(At(absl::ZeroDuration())));
  EXPECT_TRUE(after.Add(At(absl::Seconds(5) + absl::Nanoseconds(1))));
}

TEST(RestartWindowTest, IntensityZeroToleratesNone) {  // otp S18
  RestartWindow window(0, absl::Seconds(5));
  EXPECT_FALSE(window.Add(At(absl::ZeroDuration())));
}

TEST(RestartWindowTest, ARecordCountsAtLeastAsMany) {  // guarantees R1
  RestartWindow window(3, absl::Seconds(10));
  window.Add(At(absl::Seconds(0)));
  window.Add(At(absl::Seconds(4)));
  const std::vector<absl::Duration> ages = window.Ages(At(absl::Seconds(6)));
  EXPECT_THAT(ages, ElementsAre(absl::Seconds(6), absl::Seconds(2)));
  RestartWindow other(2, absl::Seconds(10));
  other.Restore(ages, At(absl::Seconds(100)));
  EXPECT_FALSE(other.Add(At(absl::Seconds(101))));
  EXPECT_THAT(window.Ages(At(absl::Seconds(11))),
              ElementsAre(absl::Seconds(7)));
}

}  // namespace
}  // namespace muster
