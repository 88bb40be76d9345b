#include "cluster/membership/profile.h"

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/types/status.h"

namespace muster {
namespace {

Profile Make(int heartbeat_ms, int fence_ms, int reap_ms, int guard_ms) {
  Profile profile;
  profile.heartbeat = absl::Milliseconds(heartbeat_ms);
  profile.fence = absl::Milliseconds(fence_ms);
  profile.reap = absl::Milliseconds(reap_ms);
  profile.guard = absl::Milliseconds(guard_ms);
  return profile;
}

std::string Refusal(const Profile& profile) {
  const absl::Status status = ValidateProfile(profile);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), "BAD_PROFILE");
  return std::string(status.message());
}

TEST(ProfileTest, TheThreeProfilesOfTheGuaranteesAreValid) {
  EXPECT_TRUE(ValidateProfile(Profile()).ok());
  EXPECT_TRUE(ValidateProfile(Make(200, 1000, 1400, 250)).ok());
  EXPECT_TRUE(ValidateProfile(Make(2000, 12'000, 15'000, 250)).ok());
}

TEST(ProfileTest, EachHasAName) {
  EXPECT_EQ(Profile::Named("default")->reap, absl::Milliseconds(3750));
  EXPECT_EQ(Profile::Named("fast")->reap, absl::Milliseconds(1400));
  EXPECT_EQ(Profile::Named("wide")->reap, absl::Seconds(15));
  EXPECT_TRUE(ValidateProfile(Profile::Fast()).ok());
  EXPECT_TRUE(ValidateProfile(Profile::Wide()).ok());
  const absl::Status unknown = Profile::Named("Fast").status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(unknown), "BAD_PROFILE");
}

TEST(ProfileTest, ARefusalSpellsOutTheInequality) {
  EXPECT_EQ(Refusal(Make(751, 3000, 3750, 250)),
            "heartbeat H=751ms, fence F=3s, reap R=3.75s, guard g=250ms break "
            "H <= F/4");
  EXPECT_EQ(Refusal(Make(500, 3000, 3750, 1500)),
            "heartbeat H=500ms, fence F=3s, reap R=3.75s, guard g=1.5s break "
            "g < F/2");
  EXPECT_EQ(Refusal(Make(500, 3000, 3549, 250)),
            "heartbeat H=500ms, fence F=3s, reap R=3.549s, guard g=250ms break "
            "R >= 1.1 F + g");
  EXPECT_EQ(Refusal(Make(0, 3000, 3750, 250)),
            "heartbeat H=0, fence F=3s, reap R=3.75s, guard g=250ms break "
            "H > 0");
  EXPECT_EQ(Refusal(Make(500, 3000, 3750, 0)),
            "heartbeat H=500ms, fence F=3s, reap R=3.75s, guard g=0 break "
            "g > 0");
}

TEST(ProfileTest, TheLimitsThemselvesAreAllowed) {
  EXPECT_TRUE(ValidateProfile(Make(750, 3000, 3550, 250)).ok());
}

TEST(ProfileTest, SurvivesItsRecord) {
  const Profile there = Profile::FromProto(Make(1, 2, 3, 4).ToProto());
  EXPECT_EQ(there.heartbeat, absl::Milliseconds(1));
  EXPECT_EQ(there.fence, absl::Milliseconds(2));
  EXPECT_EQ(there.reap, absl::Milliseconds(3));
  EXPECT_EQ(there.guard, absl::Milliseconds(4));
}

constexpr absl::Duration kReap = absl::Seconds(4);
BootTime At(int s) { return BootTime::FromNanoseconds(0) + absl::Seconds(s); }

TEST(SilenceTest, CountsFromTheFirstSightOfARevision) {
  Silence silence;
  silence.Observe("a", 1, 10, At(0));
  silence.Observe("a", 1, 10, At(3));  // Nothing new.
  EXPECT_TRUE(silence.Find(kReap, At(3)).empty());
  const auto overdue = silence.Find(kReap, At(4));
  ASSERT_EQ(overdue.size(), 1u);
  EXPECT_EQ(overdue[0].node, "a");
  EXPECT_EQ(overdue[0].node_revision, 1);
  EXPECT_EQ(overdue[0].heartbeat_revision, 10);
}

TEST(SilenceTest, ABeatStartsItAnew) {
  Silence silence;
  silence.Observe("a", 1, 10, At(0));
  silence.Observe("a", 1, 11, At(3));
  EXPECT_TRUE(silence.Find(kReap, At(6)).empty());
  ASSERT_EQ(silence.Find(kReap, At(7)).size(), 1u);
  EXPECT_EQ(silence.Find(kReap, At(7))[0].heartbeat_revision, 11);
}

TEST(SilenceTest, AnotherIncarnationStartsItAnew) {
  Silence silence;
  silence.Observe("a", 1, 10, At(0));
  silence.Observe("a", 2, 10, At(3));
  EXPECT_TRUE(silence.Find(kReap, At(6)).empty());
}

TEST(SilenceTest, AGapStartsAllAnew) {
  Silence silence;
  silence.Observe("b", 1, 10, At(0));
  silence.Observe("a", 2, 11, At(1));
  silence.StartAnew(At(5));
  EXPECT_TRUE(silence.Find(kReap, At(8)).empty());
  const auto overdue = silence.Find(kReap, At(9));
  ASSERT_EQ(overdue.size(), 2u);
  EXPECT_EQ(overdue[0].node, "a");
  EXPECT_EQ(overdue[1].node, "b");
}

TEST(SilenceTest, ForgetsWhoLeft) {
  Silence silence;
  silence.Observe("a", 1, 10, At(0));
  silence.Forget("a");
  silence.Forget("nobody");
  EXPECT_TRUE(silence.Find(kReap, At(100)).empty());
}

}  // namespace
}  // namespace muster
