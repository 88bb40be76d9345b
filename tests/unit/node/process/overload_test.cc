#include "node/process/overload.h"

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"

namespace muster::internal {
namespace {

constexpr absl::Duration kMs = absl::Milliseconds(1);

class OverloadTest : public testing::Test {
 protected:
  // A call's turn with so much time left, and what handling it takes.
  bool Turn(absl::Duration left, absl::Duration takes = 10 * kMs) {
    const bool begin = overload_.Turn(now_, now_ + left);
    if (begin) now_ = now_ + takes;
    return begin;
  }
  // Has handled so many calls of 10 ms without a pause.
  void Busy(int calls) {
    for (int i = 0; i < calls; ++i) EXPECT_TRUE(Turn(absl::Seconds(5)));
  }

  Overload overload_;
  BootTime now_ = BootTime() + absl::Seconds(100);
};

TEST_F(OverloadTest, ACallThatHasExpiredIsNotBegun) {
  EXPECT_FALSE(Turn(absl::ZeroDuration()));
  EXPECT_FALSE(Turn(-kMs));
}

TEST_F(OverloadTest, AServerThatIsNotBusyTriesEachCall) {
  EXPECT_TRUE(Turn(kMs));
  Busy(5);
  EXPECT_TRUE(Turn(kMs));  // Not for long enough.
}

TEST_F(OverloadTest, WhatCannotBeFinishedIsNotBegun) {
  Busy(20);
  // 10 ms, a quarter more, and the answer's way.
  EXPECT_FALSE(Turn(22 * kMs));
  EXPECT_TRUE(Turn(23 * kMs));
}

TEST_F(OverloadTest, LongDeadlinesAreNeverTouched) {
  Busy(1000);
  EXPECT_TRUE(Turn(absl::Seconds(5)));
  EXPECT_TRUE(Turn(absl::InfiniteDuration()));
}

TEST_F(OverloadTest, AnEmptyMailboxEndsIt) {
  Busy(20);
  EXPECT_FALSE(Turn(5 * kMs));
  overload_.Idle();
  EXPECT_TRUE(Turn(5 * kMs));
}

TEST_F(OverloadTest, WhatIsLeftOutIsNoMeasure) {
  Busy(20);
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(Turn(5 * kMs));
  EXPECT_FALSE(Turn(22 * kMs));
}

TEST_F(OverloadTest, OtherMessagesAreNoMeasure) {
  Busy(20);
  for (int i = 0; i < 20; ++i) {
    overload_.Other();
    now_ = now_ + absl::Seconds(1);
    EXPECT_TRUE(Turn(absl::Seconds(5)));
    overload_.Other();
  }
  EXPECT_TRUE(Turn(23 * kMs));
}

TEST_F(OverloadTest, FollowsAServerThatBecomesFaster) {
  Busy(20);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(Turn(absl::Seconds(5), kMs));
  EXPECT_TRUE(Turn(13 * kMs));
  EXPECT_FALSE(Turn(11 * kMs));
}

// Ten times what the server can do, with deadlines of 200 ms: in order, it
// would finish almost none in time.
TEST_F(OverloadTest, AStormLeavesTheServerItsGoodput) {
  int good = 0;
  int sent = 0;
  const BootTime began = now_;
  // Call n is sent n ms after the beginning, and served in order.
  for (; sent < 10'000; ++sent) {
    const BootTime deadline = began + sent * kMs + 200 * kMs;
    if (began + sent * kMs > now_) {
      overload_.Idle();
      now_ = began + sent * kMs;
    }
    if (!overload_.Turn(now_, deadline)) continue;
    now_ = now_ + 10 * kMs;
    if (now_ <= deadline) ++good;
  }
  EXPECT_GE(good, 900);  // Of the 1,000 that it can do in these 10 s.
}

}  // namespace
}  // namespace muster::internal
