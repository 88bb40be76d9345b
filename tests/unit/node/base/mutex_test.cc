#include "node/base/mutex.h"

#include <latch>
#include <thread>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/base/parker.h"

namespace muster {
namespace {

TEST(CondVarTest, WaitUntilSaysExpiredOnlyAtTheDeadline) {
  SystemClock clock;
  Mutex mu;
  CondVar never;
  const BootTime deadline = clock.Boot() + absl::Milliseconds(2);
  MutexLock lock(&mu);
  while (never.WaitUntil(&mu, clock, deadline)) {
  }
  EXPECT_GE(clock.Boot(), deadline);
}

TEST(CondVarTest, WaitUntilAPastDeadlineDoesNotWait) {
  SystemClock clock;
  Mutex mu;
  CondVar never;
  MutexLock lock(&mu);
  EXPECT_FALSE(never.WaitUntil(&mu, clock, BootTime()));
}

TEST(CondVarTest, SignalEndsATimedWait) {
  SystemClock clock;
  Mutex mu;
  CondVar changed;
  bool set = false;
  std::thread setter([&] {
    MutexLock lock(&mu);
    set = true;
    changed.Signal();
  });
  {
    MutexLock lock(&mu);
    while (!set && changed.WaitUntil(&mu, clock, BootTime::Infinite())) {
    }
    EXPECT_TRUE(set);
  }
  setter.join();
}

TEST(CondVarParkerTest, UnparkBeforeParkIsNotLost) {
  SystemClock clock;
  CondVarParker parker(&clock);
  parker.Unpark();
  parker.Unpark();
  parker.Park(BootTime::Infinite());
  // Both were used up.
  parker.Park(clock.Boot() + absl::Microseconds(100));
}

TEST(CondVarParkerTest, UnparkFromAnotherThreadEndsPark) {
  SystemClock clock;
  CondVarParker parker(&clock);
  std::thread other([&] { parker.Unpark(); });
  parker.Park(BootTime::Infinite());
  other.join();
}

}  // namespace
}  // namespace muster
