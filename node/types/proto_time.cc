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

}  // namespace muster
