#include "node/types/proto_time.h"

#include "gtest/gtest.h"

namespace muster {
namespace {

TEST(ProtoTimeTest, DurationsComeBack) {
  for (const absl::Duration d :
       {absl::ZeroDuration(), absl::Nanoseconds(1), absl::Milliseconds(1500),
        absl::Milliseconds(-1500), absl::Hours(24 * 365)}) {
    EXPECT_EQ(FromProtoDuration(ToProtoDuration(d)), d);
  }
}

TEST(ProtoTimeTest, SignsOfSecondsAndNanosecondsAgree) {
  const google::protobuf::Duration d =
      ToProtoDuration(absl::Milliseconds(-1500));
  EXPECT_EQ(d.seconds(), -1);
  EXPECT_EQ(d.nanos(), -500'000'000);
}

TEST(ProtoTimeTest, InfinityBecomesTheLongestThereIs) {
  EXPECT_EQ(ToProtoDuration(absl::InfiniteDuration()).seconds(),
            315'576'000'000);
  EXPECT_EQ(ToProtoDuration(-absl::InfiniteDuration()).seconds(),
            -315'576'000'000);
}

}  // namespace
}  // namespace muster
