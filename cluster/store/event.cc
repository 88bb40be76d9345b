#include "cluster/store/event.h"

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"

namespace muster {

StoreOp PutEvent(const Keys& keys, absl::string_view reporter,
                 store::v1::EventRecord event, absl::Time at,
                 absl::string_view unique) {
  const int64_t millis = absl::ToUnixMillis(at);
  event.set_schema(1);
  event.set_reporter(std::string(reporter));
  *event.mutable_at() =
      google::protobuf::util::TimeUtil::MillisecondsToTimestamp(millis);
  return StoreOp::Put(
      keys.Event(absl::StrCat(
          absl::Hex(static_cast<uint64_t>(millis), absl::kZeroPad12), "-",
          unique)),
      event.SerializeAsString());
}

}  // namespace muster
