#include "node/base/timer_queue.h"

#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"

namespace muster {
namespace {

using ::testing::ElementsAre;

BootTime T(int64_t ns) { return BootTime::FromNanoseconds(ns); }

class TimerQueueTest : public testing::Test {
 protected:
  TimerId Add(BootTime due, int label) {
    return queue_.Add(due, [this, label] { ran_.push_back(label); });
  }
  // Runs all that has expired and returns their labels.
  std::vector<int> RunExpired(BootTime now) {
    ran_.clear();
    while (absl::AnyInvocable<void()> work = queue_.PopExpired(now)) work();
    return ran_;
  }

  std::vector<int> ran_;
  TimerQueue queue_;
};

TEST_F(TimerQueueTest, EmptyQueueIsNeverDue) {
  EXPECT_TRUE(queue_.NextDue().is_infinite());
  EXPECT_TRUE(queue_.PopExpired(T(INT64_MAX - 1)) == nullptr);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(TimerQueueTest, ExpiresInDueOrder) {
  Add(T(30), 3);
  Add(T(10), 1);
  Add(T(20), 2);
  EXPECT_EQ(queue_.NextDue(), T(10));
  EXPECT_THAT(RunExpired(T(25)), ElementsAre(1, 2));
  EXPECT_EQ(queue_.NextDue(), T(30));
  EXPECT_THAT(RunExpired(T(30)), ElementsAre(3));
}

TEST_F(TimerQueueTest, EqualDueTimesExpireInInsertionOrder) {
  for (int label = 0; label < 5; ++label) Add(T(7), label);
  EXPECT_THAT(RunExpired(T(7)), ElementsAre(0, 1, 2, 3, 4));
}

TEST_F(TimerQueueTest, IsNotDueOneNanosecondEarly) {
  Add(T(100), 1);
  EXPECT_THAT(RunExpired(T(99)), ElementsAre());
  EXPECT_THAT(RunExpired(T(100)), ElementsAre(1));
}

TEST_F(TimerQueueTest, TakenTimerDoesNotExpire) {
  const TimerId first = Add(T(1), 1);
  Add(T(2), 2);
  EXPECT_TRUE(queue_.Take(first) != nullptr);
  EXPECT_TRUE(queue_.Take(first) == nullptr);
  EXPECT_EQ(queue_.NextDue(), T(2));
  EXPECT_THAT(RunExpired(T(5)), ElementsAre(2));
}

TEST_F(TimerQueueTest, UnknownAndExpiredIdsTakeNothing) {
  const TimerId id = Add(T(1), 1);
  EXPECT_NE(id, TimerId{0});
  EXPECT_TRUE(queue_.Take(0) == nullptr);
  EXPECT_TRUE(queue_.Take(id + 1) == nullptr);
  RunExpired(T(1));
  EXPECT_TRUE(queue_.Take(id) == nullptr);
}

TEST_F(TimerQueueTest, InfiniteNeverExpiresButCanBeTaken) {
  const TimerId id = Add(BootTime::Infinite(), 1);
  EXPECT_TRUE(queue_.NextDue().is_infinite());
  EXPECT_THAT(RunExpired(BootTime::Infinite()), ElementsAre());
  EXPECT_TRUE(queue_.Take(id) != nullptr);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(TimerQueueTest, HugeAndNegativeTimesKeepTheirOrder) {
  Add(T(INT64_MAX - 1), 3);
  Add(T(INT64_MIN), 1);
  Add(T(0), 2);
  EXPECT_THAT(RunExpired(T(0)), ElementsAre(1, 2));
  EXPECT_EQ(queue_.NextDue(), T(INT64_MAX - 1));
  EXPECT_THAT(RunExpired(T(INT64_MAX - 1)), ElementsAre(3));
}

TEST_F(TimerQueueTest, IdsAreNotUsedAgain) {
  const TimerId first = Add(T(1), 1);
  queue_.Take(first);
  EXPECT_NE(Add(T(1), 2), first);
}

TEST_F(TimerQueueTest, TakeAllHandsBackEverythingInDueOrder) {
  Add(T(2), 2);
  Add(BootTime::Infinite(), 3);
  Add(T(1), 1);
  for (auto& work : queue_.TakeAll()) work();
  EXPECT_THAT(ran_, ElementsAre(1, 2, 3));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(TimerQueueTest, ManyTimersCancelledInAnyOrder) {
  std::vector<TimerId> ids;
  for (int i = 0; i < 10'000; ++i) ids.push_back(Add(T(i * 7919 % 10'007), i));
  for (size_t i = 0; i < ids.size(); i += 2) {
    EXPECT_TRUE(queue_.Take(ids[i]) != nullptr);
  }
  EXPECT_EQ(queue_.size(), 5'000u);
  EXPECT_EQ(RunExpired(T(10'007)).size(), 5'000u);
}

}  // namespace
}  // namespace muster
