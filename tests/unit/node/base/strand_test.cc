#include "node/base/strand.h"

#include <atomic>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/base/thread_scheduler.h"
#include "tests/testkit/sim_world.h"

namespace muster {
namespace {

using ::testing::ElementsAre;

// In one simulated thread: order and dropping.
class StrandTest : public testing::Test {
 protected:
  BootTime In(absl::Duration span) { return lane_.clock().Boot() + span; }

  SimWorld world_{1, {.shuffle_lanes = true}};
  Scheduler& lane_ = world_.AddLane("node");
  std::vector<int> ran_;
};

TEST_F(StrandTest, RunsInPostOrderAndNotInsidePost) {
  Strand strand(&lane_);
  for (int i = 0; i < 100; ++i) {
    strand.Post([this, i] { ran_.push_back(i); });
  }
  EXPECT_THAT(ran_, ElementsAre());
  world_.RunReady();
  ASSERT_EQ(ran_.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ran_[i], i);
}

TEST_F(StrandTest, PostFromInsideRunsAfterwards) {
  Strand strand(&lane_);
  strand.Post([&] {
    EXPECT_TRUE(strand.RunningHere());
    strand.Post([&] { ran_.push_back(2); });
    ran_.push_back(1);
  });
  world_.RunReady();
  EXPECT_THAT(ran_, ElementsAre(1, 2));
  EXPECT_FALSE(strand.RunningHere());
}

TEST_F(StrandTest, TimersRunWhenDue) {
  Strand strand(&lane_);
  strand.At(In(absl::Seconds(2)), [&] { ran_.push_back(2); });
  strand.At(In(absl::Seconds(1)), [&] { ran_.push_back(1); });
  world_.RunFor(absl::Milliseconds(1'999));
  EXPECT_THAT(ran_, ElementsAre(1));
  world_.RunFor(absl::Milliseconds(1));
  EXPECT_THAT(ran_, ElementsAre(1, 2));
}

TEST_F(StrandTest, CancelFromInsideIsCertainEvenIfTheTimerHasFired) {
  Strand strand(&lane_);
  bool cancelled = false;
  TimerId timer = 0;
  const BootTime due = In(absl::Seconds(1));
  // Both are due at once; whichever runs first cancels the other.
  TimerId other = 0;
  timer = strand.At(due, [&] {
    ran_.push_back(1);
    cancelled = strand.Cancel(other);
  });
  other = strand.At(due, [&] {
    ran_.push_back(2);
    cancelled = strand.Cancel(timer);
  });
  world_.RunFor(absl::Seconds(2));
  EXPECT_EQ(ran_.size(), 1u);
  EXPECT_TRUE(cancelled);
  EXPECT_FALSE(strand.Cancel(timer));
  EXPECT_FALSE(strand.Cancel(other));
  EXPECT_FALSE(strand.Cancel(0));
}

TEST_F(StrandTest, CloseDropsWhatWaits) {
  Strand strand(&lane_);
  const auto held = std::make_shared<int>(0);
  strand.Post([this, held] { ran_.push_back(*held); });
  strand.At(In(absl::Seconds(1)), [this, held] { ran_.push_back(*held); });
  EXPECT_EQ(held.use_count(), 3);
  strand.Close();
  EXPECT_EQ(held.use_count(), 1);
  strand.Post([this, held] { ran_.push_back(*held); });
  EXPECT_EQ(strand.At(In(absl::Seconds(1)), [held] {}), TimerId{0});
  EXPECT_EQ(held.use_count(), 1);
  strand.Close();
  world_.RunFor(absl::Seconds(2));
  EXPECT_THAT(ran_, ElementsAre());
}

TEST_F(StrandTest, CloseFromInsideLetsTheRunningClosureEnd) {
  Strand strand(&lane_);
  strand.Post([&] {
    strand.Close();
    ran_.push_back(1);
  });
  strand.Post([&] { ran_.push_back(2); });
  world_.RunReady();
  EXPECT_THAT(ran_, ElementsAre(1));
}

TEST_F(StrandTest, DestroyedFromInside) {
  auto strand = std::make_unique<Strand>(&lane_);
  strand->Post([&] {
    strand = nullptr;
    ran_.push_back(1);
  });
  strand->Post([&] { ran_.push_back(2); });
  world_.RunReady();
  EXPECT_THAT(ran_, ElementsAre(1));
}

TEST_F(StrandTest, DeathOfTheLaneDropsWhatTheStrandHolds) {
  Strand strand(&lane_);
  const auto held = std::make_shared<int>(0);
  strand.Post([held] {});
  strand.At(In(absl::Seconds(1)), [held] {});
  world_.KillLane(lane_);
  EXPECT_EQ(held.use_count(), 1);
  strand.Post([held] {});
  EXPECT_EQ(held.use_count(), 1);
}

TEST_F(StrandTest, LongFifoLetsOthersRunInBetween) {
  Strand busy(&lane_);
  for (int i = 0; i < 1'000; ++i) busy.Post([&] { ran_.push_back(0); });
  lane_.Post([&] { ran_.push_back(1); });
  world_.RunReady();
  ASSERT_EQ(ran_.size(), 1'001u);
  EXPECT_EQ(ran_.back(), 0);
}

// On real threads: no overlap, and closing under way.
class StrandThreadsTest : public testing::Test {
 protected:
  SystemClock clock_;
  ThreadScheduler scheduler_{&clock_, {.workers = 4}};
};

TEST_F(StrandThreadsTest, ClosuresNeverOverlapAndEachSenderKeepsItsOrder) {
  constexpr int kThreads = 4;
  constexpr int kEach = 2'000;
  std::latch done(kThreads * kEach);
  // Touched only on the strand; a thread sanitizer would see an overlap.
  std::vector<int> last(kThreads, -1);
  int out_of_order = 0;
  std::atomic<int> inside = 0;
  std::atomic<int> overlaps = 0;
  Strand strand(&scheduler_);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        strand.Post([&, t, i] {
          if (++inside != 1) ++overlaps;
          if (last[t] != i - 1) ++out_of_order;
          last[t] = i;
          --inside;
          done.count_down();
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done.wait();
  EXPECT_EQ(overlaps, 0);
  EXPECT_EQ(out_of_order, 0);
}

TEST_F(StrandThreadsTest, CloseWaitsForTheRunningClosure) {
  for (int round = 0; round < 200; ++round) {
    std::latch begun(1);
    std::atomic<bool> ended = false;
    Strand strand(&scheduler_);
    strand.Post([&] {
      begun.count_down();
      std::this_thread::yield();
      ended = true;
    });
    begun.wait();
    strand.Close();
    EXPECT_TRUE(ended);
  }
}

TEST_F(StrandThreadsTest, CloseRacesWithPostsAndTimers) {
  for (int round = 0; round < 100; ++round) {
    std::atomic<bool> closed = false;
    std::atomic<int> late = 0;
    auto strand = std::make_unique<Strand>(&scheduler_);
    const auto work = [&] {
      if (closed) ++late;
    };
    std::thread poster([&] {
      for (int i = 0; i < 50; ++i) {
        strand->Post(work);
        const TimerId timer =
            strand->At(clock_.Boot() + absl::Microseconds(i), work);
        if (i % 2 == 0) strand->Cancel(timer);
      }
    });
    strand->Close();
    closed = true;
    poster.join();
    strand = nullptr;
    EXPECT_EQ(late, 0);
  }
}

}  // namespace
}  // namespace muster
