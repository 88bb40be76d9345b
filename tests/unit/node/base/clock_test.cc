#include "node/base/clock.h"

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace muster {
namespace {

BootTime T(int64_t ns) { return BootTime::FromNanoseconds(ns); }

TEST(BootTimeTest, AddsAndSubtracts) {
  EXPECT_EQ(T(5) + absl::Nanoseconds(3), T(8));
  EXPECT_EQ(T(5) - absl::Nanoseconds(3), T(2));
  EXPECT_EQ(T(5) - absl::Nanoseconds(8), T(-3));
  EXPECT_EQ(T(9) - T(4), absl::Nanoseconds(5));
  EXPECT_EQ(T(4) - T(9), -absl::Nanoseconds(5));
}

TEST(BootTimeTest, SumsSaturateAtInfinite) {
  EXPECT_TRUE((T(1) + absl::InfiniteDuration()).is_infinite());
  EXPECT_TRUE((T(1) + absl::Hours(24 * 365 * 1'000)).is_infinite());
  EXPECT_TRUE((T(INT64_MAX - 1) + absl::Nanoseconds(1)).is_infinite());
  EXPECT_TRUE((T(INT64_MAX - 1) + absl::Nanoseconds(2)).is_infinite());
  EXPECT_FALSE((T(INT64_MAX - 2) + absl::Nanoseconds(1)).is_infinite());
}

TEST(BootTimeTest, InfiniteStaysInfinite) {
  EXPECT_TRUE((BootTime::Infinite() + absl::Seconds(1)).is_infinite());
  EXPECT_TRUE((BootTime::Infinite() - absl::Seconds(1)).is_infinite());
  EXPECT_TRUE((BootTime::Infinite() + -absl::InfiniteDuration()).is_infinite());
}

TEST(BootTimeTest, DifferencesWithInfinite) {
  EXPECT_EQ(BootTime::Infinite() - T(7), absl::InfiniteDuration());
  EXPECT_EQ(BootTime::Infinite() - BootTime::Infinite(), absl::ZeroDuration());
}

TEST(BootTimeTest, Orders) {
  EXPECT_LT(T(1), T(2));
  EXPECT_LT(T(INT64_MAX - 1), BootTime::Infinite());
  EXPECT_EQ(BootTime(), T(0));
}

TEST(SystemClockTest, BootClockNeverGoesBack) {
  SystemClock clock;
  BootTime last = clock.Boot();
  EXPECT_GT(last, BootTime());
  for (int i = 0; i < 10'000; ++i) {
    const BootTime now = clock.Boot();
    EXPECT_GE(now, last);
    last = now;
  }
}

}  // namespace
}  // namespace muster
