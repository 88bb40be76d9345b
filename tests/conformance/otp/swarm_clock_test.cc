// swarm's clock suite, on the order of epochs: two always compare, so nothing
// is ever concurrent and nothing is merged.
#include <algorithm>
#include <vector>

#include "gtest/gtest.h"
#include "node/types/pid.h"
#include "tests/conformance/otp/otp_case.h"

namespace muster {
namespace {

TEST(SwarmClockTest, SWM33_CopiesCompareEqual) {
  OTP_CASE("SWM.33 SWM.34", "SW4");
  const Epoch epoch{1, 7};
  const Epoch copy = epoch;
  EXPECT_EQ(copy, epoch);
  EXPECT_FALSE(copy < epoch);
  EXPECT_FALSE(copy > epoch);
  // Also the copy that has been through text and through a frame.
  EXPECT_EQ(*Epoch::Parse(epoch.ToString()), epoch);
  EXPECT_EQ(Epoch::FromProto(epoch.ToProto()), epoch);
}

TEST(SwarmClockTest, SWM35_LaterRevisionIsGreater) {
  OTP_CASE("SWM.35 SWM.36", "SW4");
  const Epoch before{1, 7};
  const Epoch after{1, 8};
  EXPECT_GT(after, before);
  EXPECT_LT(before, after);
  EXPECT_GT(*Epoch::Parse(after.ToString()), before);
  EXPECT_GT(Epoch::FromProto(after.ToProto()), before);
  // Text is in the same order.
  EXPECT_GT(after.ToString(), before.ToString());
  EXPECT_GT((Epoch{1, 10}).ToString(), (Epoch{1, 9}).ToString());
}

TEST(SwarmClockTest, SWM37_TwoEpochsAlwaysCompare) {
  OTP_CASE("SWM.37", "SW4");
  std::vector<Epoch> epochs;
  for (uint64_t generation = 1; generation <= 3; ++generation) {
    for (uint64_t revision : {1, 2, 9, 10, 255, 256}) {
      epochs.push_back(Epoch{generation, revision});
    }
  }
  for (size_t i = 0; i < epochs.size(); ++i) {
    for (size_t j = 0; j < epochs.size(); ++j) {
      // Exactly one of three, whichever generation or revision is the greater.
      EXPECT_EQ(int{epochs[i] < epochs[j]} + int{epochs[i] == epochs[j]} +
                    int{epochs[i] > epochs[j]},
                1);
      EXPECT_EQ(epochs[i] < epochs[j], i < j);
    }
  }
}

TEST(SwarmClockTest, SWM38_OfTwoTheGreaterStands) {
  OTP_CASE("SWM.38 SWM.39 SWM.40", "SW4");
  const Epoch older{1, 900};
  const Epoch newer{2, 3};  // A store that was made anew counts from 1.
  EXPECT_EQ(std::max(older, newer), newer);
  EXPECT_EQ(std::max(newer, older), newer);
  EXPECT_EQ(std::max(newer, newer), newer);
}

}  // namespace
}  // namespace muster
