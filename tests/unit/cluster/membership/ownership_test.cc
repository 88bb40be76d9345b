#include "cluster/membership/ownership.h"

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/membership/profile.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/base/fence.h"

namespace muster {
namespace {

BootTime At(int ms) {
  return BootTime::FromNanoseconds(0) + absl::Milliseconds(ms);
}

TEST(ProvesTest, OnlyACommittedBeatMovesTheFenceAndOnlyFromItsSending) {
  const Profile profile;
  const AfterBeat committed =
      Proves(Beat::kCommitted, At(100), At(900), profile);
  EXPECT_EQ(committed.deadline, At(3100));
  EXPECT_FALSE(committed.dead);
  const AfterBeat unknown = Proves(Beat::kNoAnswer, At(100), At(900), profile);
  EXPECT_EQ(unknown.deadline, std::nullopt);
  EXPECT_FALSE(unknown.dead);
  const AfterBeat refused = Proves(Beat::kRefused, At(100), At(900), profile);
  EXPECT_EQ(refused.deadline, std::nullopt);
  EXPECT_TRUE(refused.dead);
}

TEST(ReplyAcceptableTest, ScalesWhatIsLeftByTheRatioOfTheClocks) {
  const double ratio = Profile().rate_ratio();
  EXPECT_DOUBLE_EQ(ratio, 0.8);
  EXPECT_TRUE(
      ReplyAcceptable(absl::Milliseconds(800), absl::Seconds(1), ratio));
  EXPECT_FALSE(
      ReplyAcceptable(absl::Milliseconds(801), absl::Seconds(1), ratio));
  EXPECT_FALSE(
      ReplyAcceptable(absl::ZeroDuration(), absl::ZeroDuration(), ratio));
  EXPECT_TRUE(ReplyAcceptable(absl::Hours(1), absl::InfiniteDuration(), ratio));
}

// A reaper that sweeps when it should, and whose own heartbeats commit.
class ReaperTest : public testing::Test {
 protected:
  // Up to and including `ms`; "a@3750" for each reap. Those in `beating_` have
  // a new heartbeat each H.
  std::string SweepTo(int ms) {
    std::string reaped;
    for (; now_ <= ms; now_ += 100) {
      if (committing_) reaper_.Committed(At(now_));
      if (now_ % 500 == 0) {
        for (const std::string& node : beating_) Observe(node, now_);
      }
      for (const Silence::Overdue& due : reaper_.Sweep(nodes_, At(now_))) {
        absl::StrAppend(&reaped, due.node, "@", now_, " ");
        reaper_.Forget(due.node);
      }
    }
    return reaped;
  }
  void Observe(const std::string& node, int revision) {
    reaper_.Observe(node, 1, revision, At(now_));
  }

  Reaper reaper_{Profile()};
  size_t nodes_ = 10;
  int now_ = 0;
  bool committing_ = true;
  std::vector<std::string> beating_;
};

TEST_F(ReaperTest, ReapsAfterRFromWhatItLastSaw) {
  Observe("a", 7);
  EXPECT_EQ(SweepTo(1900), "");
  Observe("a", 8);
  EXPECT_EQ(SweepTo(6000), "a@5800 ");
}

TEST_F(ReaperTest, AFifthOfTheNodesIsReapedAtOnce) {
  Observe("a", 7);
  Observe("b", 7);
  EXPECT_EQ(SweepTo(5000), "a@3800 b@3800 ");
  EXPECT_FALSE(reaper_.braked());
}

TEST_F(ReaperTest, OneOfTwoIsReapedAtOnce) {
  nodes_ = 2;
  Observe("a", 7);
  EXPECT_EQ(SweepTo(5000), "a@3800 ");
}

TEST_F(ReaperTest, IfMoreLookSilentItWaitsAnotherRAndReapsOneEachH) {
  for (const char* node : {"a", "b", "c"}) Observe(node, 7);
  EXPECT_EQ(SweepTo(7400), "");
  EXPECT_TRUE(reaper_.braked());
  EXPECT_EQ(SweepTo(9500), "a@7500 b@8000 c@8500 ");
  EXPECT_FALSE(reaper_.braked());
}

TEST_F(ReaperTest, WithWitnessesTheyAreReapedAtOnce) {
  beating_ = {"x", "y"};  // A fifth of ten.
  for (const char* node : {"a", "b", "c"}) Observe(node, 7);
  EXPECT_EQ(SweepTo(3700), "");
  EXPECT_TRUE(reaper_.braked());
  EXPECT_EQ(SweepTo(5000), "a@3800 b@3800 c@3800 ");
  EXPECT_FALSE(reaper_.braked());
}

TEST_F(ReaperTest, OneWitnessIsEnoughInASmallCluster) {
  nodes_ = 5;
  beating_ = {"x"};
  for (const char* node : {"a", "b", "c"}) Observe(node, 7);
  EXPECT_EQ(SweepTo(5000), "a@3800 b@3800 c@3800 ");
}

TEST_F(ReaperTest, TooFewWitnessesProveNothing) {
  beating_ = {"x"};
  for (const char* node : {"a", "b", "c"}) Observe(node, 7);
  EXPECT_EQ(SweepTo(7400), "");
  EXPECT_EQ(SweepTo(9500), "a@7500 b@8000 c@8500 ");
}

TEST_F(ReaperTest, AWitnessCountsOnlyWhileItsHeartbeatMoves) {
  nodes_ = 5;
  beating_ = {"x"};
  Observe("a", 7);
  Observe("b", 7);
  EXPECT_EQ(SweepTo(2900), "");
  beating_.clear();  // It falls silent, too, before the brake goes on.
  EXPECT_EQ(SweepTo(6500), "");
  EXPECT_TRUE(reaper_.braked());
}

TEST_F(ReaperTest, AWitnessThatHasJustBeenSeenFirstProvesNothing) {
  nodes_ = 5;
  Observe("a", 7);
  Observe("b", 7);
  EXPECT_EQ(SweepTo(3400), "");
  Observe("x", 7);  // As a list that comes late tells of it.
  EXPECT_EQ(SweepTo(4000), "");
  Observe("x", 8);
  EXPECT_EQ(SweepTo(4100), "a@4100 b@4100 ");
}

TEST_F(ReaperTest, WitnessesDoNotHelpIfItsOwnHeartbeatsDoNotCommit) {
  nodes_ = 5;
  beating_ = {"x"};
  Observe("a", 7);
  Observe("b", 7);
  EXPECT_EQ(SweepTo(2900), "");
  committing_ = false;
  EXPECT_EQ(SweepTo(4300), "");
}

TEST_F(ReaperTest, ThoseThatWereOnlySeenAtOtherTimesBrakeTogetherToo) {
  Observe("a", 7);
  SweepTo(200);
  Observe("b", 7);
  SweepTo(400);
  Observe("c", 7);
  // "a" alone would be due at 3750.
  EXPECT_EQ(SweepTo(7000), "");
}

TEST_F(ReaperTest, WhoComesBackDuringTheBrakeIsSpared) {
  for (const char* node : {"a", "b", "c"}) Observe(node, 7);
  EXPECT_EQ(SweepTo(5000), "");
  for (const char* node : {"a", "b", "c"}) Observe(node, 8);
  EXPECT_EQ(SweepTo(5100), "");
  EXPECT_FALSE(reaper_.braked());
  EXPECT_EQ(SweepTo(8000), "");
}

TEST_F(ReaperTest, ThreesThatAreNotSilentHaveTheTurn) {
  const std::vector<std::string> members = {"a", "b", "c", "d", "e"};
  const auto turns = [&] {
    std::string turns;
    for (const std::string& own : members) {
      if (reaper_.HasTurn(own, members, At(now_))) turns += own;
    }
    return turns;
  };
  // Of whom nothing is known yet, for example itself, is taken to live.
  EXPECT_EQ(turns(), "abc");
  beating_ = {"b", "d", "e"};
  for (const char* node : {"a", "b", "c", "d", "e"}) Observe(node, 1);
  SweepTo(3600);
  EXPECT_EQ(turns(), "abc");
  now_ = 3800;
  EXPECT_EQ(turns(), "abcde");  // "a" and "c" do not count any more.
}

TEST_F(ReaperTest, ItsOwnPauseStartsAllAnew) {
  Observe("a", 7);
  EXPECT_EQ(SweepTo(1000), "");
  now_ = 9000;
  EXPECT_EQ(SweepTo(12700), "");
  EXPECT_EQ(SweepTo(12800), "a@12800 ");
}

TEST_F(ReaperTest, ASweepThatIsALittleLateIsNoPause) {
  Observe("a", 7);
  EXPECT_EQ(SweepTo(1000), "");
  now_ = 1600;
  EXPECT_EQ(SweepTo(3800), "a@3800 ");
}

TEST_F(ReaperTest, WithoutCommitsOfItsOwnItReapsNobody) {
  Observe("a", 7);
  EXPECT_EQ(SweepTo(1000), "");
  committing_ = false;
  EXPECT_EQ(SweepTo(9000), "");
  committing_ = true;
  EXPECT_EQ(SweepTo(12800), "");
  EXPECT_EQ(SweepTo(12900), "a@12900 ");
}

TEST_F(ReaperTest, ABrokenWatchProvesNothingUntilItIsBack) {
  Observe("a", 7);
  EXPECT_EQ(SweepTo(1000), "");
  reaper_.WatchBroke();
  EXPECT_EQ(SweepTo(6000), "");
  reaper_.WatchReady(At(6000));
  EXPECT_EQ(SweepTo(9700), "");
  EXPECT_EQ(SweepTo(9800), "a@9800 ");
  // A list that follows no break changes nothing.
  Observe("a", 8);
  EXPECT_EQ(SweepTo(11000), "");
  reaper_.WatchReady(At(11000));
  EXPECT_EQ(SweepTo(13700), "a@13700 ");
}

constexpr absl::Duration kReap = absl::Seconds(4);

TEST(GravesTest, AClaimWaitsForRFromTheFirstSightOfTheGrave) {
  Graves graves;
  graves.Observe("a", 10, 50, At(1000));
  graves.Observe("a", 10, 50, At(3000));
  EXPECT_EQ(graves.Gate("a", 10, kReap).not_before, At(5000));
  EXPECT_EQ(graves.Gate("a", 10, kReap).grave_revision, 50);
  // It stands for earlier epochs of that node, not for later ones.
  EXPECT_EQ(graves.Gate("a", 9, kReap).not_before, At(5000));
  EXPECT_EQ(graves.Gate("a", 11, kReap).not_before, BootTime());
  EXPECT_EQ(graves.Gate("a", 11, kReap).grave_revision, 50);
}

TEST(GravesTest, WithoutAGraveTheClaimComparesThatThereIsNone) {
  Graves graves;
  EXPECT_EQ(graves.Gate("a", 10, kReap).not_before, BootTime());
  EXPECT_EQ(graves.Gate("a", 10, kReap).grave_revision, 0);
  EXPECT_EQ(graves.Gate("", 0, kReap).grave_revision, std::nullopt);
}

TEST(GravesTest, ALaterGraveStartsAnewAndAnOlderSightIsIgnored) {
  Graves graves;
  graves.Observe("a", 10, 50, At(0));
  graves.Observe("a", 60, 70, At(1000));
  graves.Observe("a", 10, 50, At(2000));
  EXPECT_EQ(graves.Gate("a", 10, kReap).not_before, At(5000));
  EXPECT_EQ(graves.Gate("a", 60, kReap).grave_revision, 70);
}

TEST(GravesTest, IsOldAfterTwiceR) {
  Graves graves;
  graves.Observe("a", 10, 50, At(0));
  EXPECT_TRUE(graves.FindOld(kReap, At(7999)).empty());
  const std::vector<Graves::Old> old = graves.FindOld(kReap, At(8000));
  ASSERT_EQ(old.size(), 1u);
  EXPECT_EQ(old[0].node, "a");
  EXPECT_EQ(old[0].grave_revision, 50);
  graves.Forget("a");
  EXPECT_TRUE(graves.FindOld(kReap, At(8000)).empty());
}

TEST(GravesTest, ARaisedGenerationIsTheGraveOfAllBefore) {
  Graves graves;
  graves.ObserveRaise(100, /*unknown_before=*/true, At(1000));
  EXPECT_EQ(graves.Gate("a", 99, kReap).not_before, At(5000));
  EXPECT_EQ(graves.Gate("a", 101, kReap).not_before, BootTime());
  EXPECT_EQ(graves.Gate("", 0, kReap).not_before, At(5000));
  graves.ObserveRaise(100, /*unknown_before=*/false, At(1000));
  EXPECT_EQ(graves.Gate("", 0, kReap).not_before, BootTime());
}

}  // namespace
}  // namespace muster
