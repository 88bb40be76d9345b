#include "examples/duration_option.h"

#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "gtest/gtest.h"

namespace examples {
namespace {

absl::StatusOr<absl::Duration> Read(int64_t seconds, int32_t nanos) {
  google::protobuf::Duration value;
  value.set_seconds(seconds);
  value.set_nanos(nanos);
  return DurationOption("ttl", true, value, absl::Hours(1));
}

TEST(DurationOptionTest, AbsentIsTheFallback) {
  EXPECT_EQ(
      DurationOption("ttl", false, google::protobuf::Duration(), absl::Hours(1))
          .value(),
      absl::Hours(1));
}

TEST(DurationOptionTest, PresentIsItsValue) {
  EXPECT_EQ(Read(90, 500'000'000).value(), absl::Milliseconds(90'500));
  EXPECT_EQ(Read(0, 1).value(), absl::Nanoseconds(1));
}

TEST(DurationOptionTest, ZeroAndNegativeAreRefused) {
  EXPECT_EQ(Read(0, 0).status(),
            absl::InvalidArgumentError("ttl is 0; it must be longer than zero, "
                                       "or absent for 1h"));
  EXPECT_EQ(Read(-1, -500'000'000).status(),
            absl::InvalidArgumentError("ttl is -1.5s; it must be longer than "
                                       "zero, or absent for 1h"));
}

TEST(DurationOptionTest, WhatIsNoDurationIsRefused) {
  EXPECT_EQ(Read(1, -1).status(),
            absl::InvalidArgumentError(
                "ttl is no Duration (seconds 1, nanos -1); both have the same "
                "sign and nanos stay below 1e9"));
  EXPECT_FALSE(Read(0, 1'000'000'000).ok());
  EXPECT_FALSE(Read(std::numeric_limits<int64_t>::max(), 0).ok());
  EXPECT_FALSE(Read(std::numeric_limits<int64_t>::min(), 0).ok());
  EXPECT_FALSE(Read(1, std::numeric_limits<int32_t>::min()).ok());
}

}  // namespace
}  // namespace examples
