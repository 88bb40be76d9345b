#include "examples/duration_option.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace examples {

absl::StatusOr<absl::Duration> DurationOption(
    absl::string_view field, bool present,
    const google::protobuf::Duration& value, absl::Duration fallback) {
  if (!present) return fallback;
  constexpr int64_t kSecondsMax = 315'576'000'000;  // duration.proto
  constexpr int32_t kNanosMax = 999'999'999;
  const bool in_range =
      value.seconds() >= -kSecondsMax && value.seconds() <= kSecondsMax &&
      value.nanos() >= -kNanosMax && value.nanos() <= kNanosMax;
  const bool one_sign = !(value.seconds() > 0 && value.nanos() < 0) &&
                        !(value.seconds() < 0 && value.nanos() > 0);
  if (!in_range || !one_sign) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, " is no Duration (seconds ", value.seconds(), ", nanos ",
        value.nanos(), "); both have the same sign and nanos stay below 1e9"));
  }
  const absl::Duration duration =
      absl::Seconds(value.seconds()) + absl::Nanoseconds(value.nanos());
  if (duration <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " is ", absl::FormatDuration(duration),
                     "; it must be longer than zero, or absent for ",
                     absl::FormatDuration(fallback)));
  }
  return duration;
}

}  // namespace examples
