#include "cluster/store/event.h"

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
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
  // The evidence is a map: in the order of its keys, so that a simulation is
  // the same each time.
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream out(&bytes);
    google::protobuf::io::CodedOutputStream coded(&out);
    coded.SetSerializationDeterministic(true);
    event.SerializePartialToCodedStream(&coded);
  }
  return StoreOp::Put(
      keys.Event(absl::StrCat(
          absl::Hex(static_cast<uint64_t>(millis), absl::kZeroPad12), "-",
          unique)),
      std::move(bytes));
}

}  // namespace muster
