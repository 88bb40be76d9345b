#include "tests/testkit/sim_world.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/base/scheduler.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

BootTime In(Scheduler& lane, absl::Duration span) {
  return lane.clock().Boot() + span;
}

// Some busy lanes; returns what the seed made of them.
uint64_t HashOf(uint64_t seed, bool shuffle, std::string* order = nullptr) {
  SimWorld world(seed, {.shuffle_lanes = shuffle});
  std::string ran;
  std::vector<Scheduler*> lanes;
  for (const char* name : {"a", "b", "c"})
    lanes.push_back(&world.AddLane(name));
  for (int i = 0; i < 10; ++i) {
    for (Scheduler* lane : lanes) {
      lane->Post([&ran, &world, lane, i] {
        absl::StrAppend(&ran, i);
        lane->At(
            lane->clock().Boot() + world.random().Jitter(absl::Milliseconds(5)),
            [&ran] { absl::StrAppend(&ran, "t"); });
      });
    }
  }
  world.RunFor(absl::Seconds(1));
  if (order != nullptr) *order = ran;
  return world.trace_hash();
}

TEST(SimWorldTest, SameSeedSameRun) {
  for (const bool shuffle : {false, true}) {
    std::string first;
    std::string second;
    EXPECT_EQ(HashOf(1, shuffle, &first), HashOf(1, shuffle, &second));
    EXPECT_EQ(first, second);
    EXPECT_NE(HashOf(1, shuffle), HashOf(2, shuffle));
  }
}

TEST(SimWorldTest, TraceLinesChangeTheHash) {
  SimWorld first(1);
  SimWorld second(1);
  EXPECT_EQ(first.trace_hash(), second.trace_hash());
  first.Trace("x");
  EXPECT_NE(first.trace_hash(), second.trace_hash());
  second.Trace("x");
  EXPECT_EQ(first.trace_hash(), second.trace_hash());
}

TEST(SimWorldTest, LaneIsFifoUnlessShuffled) {
  SimWorld world(1);
  Scheduler& lane = world.AddLane("a");
  std::vector<int> ran;
  for (int i = 0; i < 4; ++i) lane.Post([&ran, i] { ran.push_back(i); });
  world.RunReady();
  EXPECT_THAT(ran, ElementsAre(0, 1, 2, 3));
}

TEST(SimWorldTest, TimeMovesOnlyWhenNothingCanRun) {
  SimWorld world(1);
  Scheduler& lane = world.AddLane("a");
  const BootTime start = world.clock().Boot();
  std::vector<absl::Duration> at;
  lane.At(In(lane, absl::Seconds(3)),
          [&] { at.push_back(world.clock().Boot() - start); });
  lane.Post([&] { at.push_back(world.clock().Boot() - start); });
  EXPECT_TRUE(world.Step());
  EXPECT_TRUE(world.Step());
  EXPECT_FALSE(world.Step());
  EXPECT_THAT(at, ElementsAre(absl::ZeroDuration(), absl::Seconds(3)));
}

TEST(SimWorldTest, RunForMovesTimeByExactlyThat) {
  SimWorld world(1);
  Scheduler& lane = world.AddLane("a");
  int ran = 0;
  lane.At(In(lane, absl::Seconds(1)), [&] { ++ran; });
  lane.At(In(lane, absl::Seconds(1) + absl::Nanoseconds(1)), [&] { ++ran; });
  const BootTime start = world.clock().Boot();
  world.RunFor(absl::Seconds(1));
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(world.clock().Boot() - start, absl::Seconds(1));
}

TEST(SimWorldTest, RunUntilStopsAtThePredicateOrTheDeadline) {
  SimWorld world(1);
  Scheduler& lane = world.AddLane("a");
  bool done = false;
  lane.At(In(lane, absl::Seconds(5)), [&] { done = true; });
  EXPECT_FALSE(world.RunUntil([&] { return done; }, absl::Seconds(2)));
  EXPECT_TRUE(world.RunUntil([&] { return done; }, absl::Seconds(4)));
  EXPECT_FALSE(world.RunUntil([] { return false; }, BootTime::Infinite()));
}

TEST(SimWorldTest, LanesHaveClocksOfTheirOwn) {
  SimWorld world(1);
  Scheduler& a = world.AddLane("a");
  Scheduler& b = world.AddLane("b");
  EXPECT_NE(a.clock().Boot(), b.clock().Boot());
  const absl::Duration apart = a.clock().Boot() - b.clock().Boot();
  world.RunFor(absl::Hours(2));
  EXPECT_EQ(a.clock().Boot() - b.clock().Boot(), apart);
  EXPECT_EQ(a.clock().Wall(), b.clock().Wall());
}

TEST(SimWorldTest, CancelledTimerDoesNotRun) {
  SimWorld world(1);
  Scheduler& lane = world.AddLane("a");
  int ran = 0;
  const TimerId id = lane.At(In(lane, absl::Seconds(1)), [&] { ++ran; });
  EXPECT_TRUE(lane.Cancel(id));
  EXPECT_FALSE(lane.Cancel(id));
  world.RunFor(absl::Seconds(2));
  EXPECT_EQ(ran, 0);
}

TEST(SimWorldTest, OnWorkerInTasksButNotInBlockingWork) {
  SimWorld world(1);
  Scheduler& lane = world.AddLane("a");
  std::vector<bool> on_worker;
  lane.Post([&] { on_worker.push_back(Scheduler::OnWorker()); });
  lane.Block([&] { on_worker.push_back(Scheduler::OnWorker()); });
  world.RunReady();
  EXPECT_THAT(on_worker, ElementsAre(true, false));
  EXPECT_FALSE(Scheduler::OnWorker());
}

TEST(SimWorldTest, KilledLaneDropsEverything) {
  SimWorld world(1);
  Scheduler& lane = world.AddLane("a");
  const auto held = std::make_shared<int>(0);
  lane.Post([held] { ++*held; });
  lane.Block([held] { ++*held; });
  lane.At(In(lane, absl::Seconds(1)), [held] { ++*held; });
  world.KillLane(lane);
  EXPECT_EQ(held.use_count(), 1);
  lane.Post([held] { ++*held; });
  EXPECT_EQ(lane.At(In(lane, absl::Seconds(1)), [held] { ++*held; }),
            TimerId{0});
  world.KillLane(lane);
  world.RunFor(absl::Seconds(2));
  EXPECT_EQ(*held, 0);
  EXPECT_EQ(held.use_count(), 1);
}

TEST(SimWorldTest, LaneMayBeKilledByItsOwnTask) {
  SimWorld world(1);
  Scheduler& lane = world.AddLane("a");
  std::vector<int> ran;
  lane.Post([&] {
    world.KillLane(lane);
    lane.Post([&] { ran.push_back(2); });
    ran.push_back(1);
  });
  world.RunFor(absl::Seconds(1));
  EXPECT_THAT(ran, ElementsAre(1));
}

TEST(SimWorldTest, PausedLaneKeepsItsWork) {
  SimWorld world(1);
  Scheduler& lane = world.AddLane("a");
  std::vector<int> ran;
  lane.Post([&] { ran.push_back(1); });
  lane.At(In(lane, absl::Seconds(1)), [&] { ran.push_back(2); });
  world.PauseLane(lane);
  world.RunFor(absl::Seconds(5));
  EXPECT_THAT(ran, IsEmpty());
  world.ResumeLane(lane);
  world.RunReady();
  EXPECT_THAT(ran, ElementsAre(1, 2));
}

TEST(SimWorldTest, DestructorOfDroppedClosureMayCallAnyLane) {
  struct CallsBack {
    ~CallsBack() {
      lane->Post([] {});
    }
    Scheduler* lane;
  };
  SimWorld world(1);
  Scheduler& a = world.AddLane("a");
  Scheduler& b = world.AddLane("b");
  a.Post([held = std::make_unique<CallsBack>(&b)] {});
  b.At(BootTime::Infinite(), [held = std::make_unique<CallsBack>(&a)] {});
}

TEST(SimWorldDeathTest, EndlessWakingIsNoticed) {
  SimWorld world(1, {.steps_at_one_time_max = 100});
  Scheduler& lane = world.AddLane("a");
  std::function<void()> again = [&] { lane.Post(again); };
  lane.Post(again);
  EXPECT_DEATH(world.RunFor(absl::Seconds(1)), "wakes itself for ever");
}

}  // namespace
}  // namespace muster
