#include "node/base/fence.h"

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"

namespace muster {
namespace {

BootTime At(absl::Duration since_boot) { return BootTime() + since_boot; }

TEST(FenceTest, WithoutGuardIsOpenForEver) {
  const Fence fence;
  EXPECT_TRUE(fence.Check(At(absl::Hours(24 * 365 * 200))));
  EXPECT_EQ(fence.Remaining(At(absl::Hours(1))), absl::InfiniteDuration());
}

TEST(FenceTest, StartsClosed) {
  const Fence fence(absl::Seconds(1));
  EXPECT_FALSE(fence.Check(At(absl::ZeroDuration())));
  EXPECT_EQ(fence.Remaining(At(absl::ZeroDuration())), absl::ZeroDuration());
}

TEST(FenceTest, RefusesGuardBeforeItsDeadline) {
  Fence fence(absl::Seconds(2));
  fence.Extend(At(absl::Seconds(10)));
  EXPECT_TRUE(fence.Check(At(absl::Seconds(8) - absl::Nanoseconds(1))));
  EXPECT_FALSE(fence.Check(At(absl::Seconds(8))));
  EXPECT_EQ(fence.Remaining(At(absl::Seconds(5))), absl::Seconds(3));
  EXPECT_EQ(fence.Remaining(At(absl::Seconds(9))), absl::ZeroDuration());
}

TEST(FenceTest, ExtendNeverShortens) {
  Fence fence(absl::Seconds(1));
  fence.Extend(At(absl::Seconds(10)));
  fence.Extend(At(absl::Seconds(5)));
  EXPECT_EQ(fence.deadline(), At(absl::Seconds(10)));
  fence.Extend(At(absl::Seconds(20)));
  EXPECT_TRUE(fence.Check(At(absl::Seconds(15))));
}

TEST(FenceTest, CloseRefusesAtOnce) {
  Fence fence(absl::Seconds(1));
  fence.Extend(At(absl::Seconds(10)));
  fence.Close();
  EXPECT_FALSE(fence.Check(At(absl::Seconds(2))));
  EXPECT_EQ(fence.Remaining(At(absl::Seconds(2))), absl::ZeroDuration());
}

}  // namespace
}  // namespace muster
