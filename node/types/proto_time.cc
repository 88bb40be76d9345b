#include "node/types/proto_time.h"

#include <algorithm>
#include <cstdint>

namespace muster {

google::protobuf::Duration ToProtoDuration(absl::Duration d) {
  // Bound from google/protobuf/duration.proto.
  constexpr int64_t kSecondsMax = 315'576'000'000;
  d = std::clamp(d, absl::Seconds(-kSecondsMax), absl::Seconds(kSecondsMax));
  google::protobuf::Duration proto;
  proto.set_seconds(absl::IDivDuration(d, absl::Seconds(1), &d));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(d)));
  return proto;
}

absl::Duration FromProtoDuration(const google::protobuf::Duration& d) {
  return absl::Seconds(d.seconds()) + absl::Nanoseconds(d.nanos());
}

google::protobuf::Timestamp ToProtoTimestamp(absl::Time t) {
  // The bounds of google/protobuf/timestamp.proto.
  constexpr int64_t kSecondsMin = -62'135'596'800;
  constexpr int64_t kSecondsMax = 253'402'300'799;
  int64_t milliseconds = absl::ToUnixMillis(t);
  if (milliseconds < kSecondsMin * 1000 || milliseconds > kSecondsMax * 1000) {
    milliseconds = 0;
  }
  google::protobuf::Timestamp proto;
  int64_t seconds = milliseconds / 1000;
  if (milliseconds % 1000 < 0) --seconds;
  proto.set_seconds(seconds);
  proto.set_nanos(
      static_cast<int32_t>((milliseconds - seconds * 1000) * 1'000'000));
  return proto;
}

}  // namespace muster
