#include "cluster/supervisor/crash_backoff.h"

#include <algorithm>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace muster {
namespace {

TEST(CrashBackoffTest, EachCrashDoublesThePauseUpToALimit) {
  CrashBackoff backoff;
  absl::Duration expected = CrashBackoff::kMin;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(backoff.Ended(absl::Milliseconds(1)), expected);
    expected = std::min(expected * 2, CrashBackoff::kMax);
  }
  EXPECT_EQ(expected, absl::Seconds(10));
}

TEST(CrashBackoffTest, AGoodRunBeginsAnew) {
  CrashBackoff backoff;
  for (int i = 0; i < 5; ++i) backoff.Ended(absl::Seconds(29));
  EXPECT_GT(backoff.Ended(absl::Seconds(29)), absl::Seconds(1));
  EXPECT_EQ(backoff.Ended(absl::Seconds(30)), CrashBackoff::kMin);
  EXPECT_EQ(backoff.Ended(absl::Seconds(29)), CrashBackoff::kMin * 2);
}

}  // namespace
}  // namespace muster
