// DurationOption: reads a span of time from a server's options message.
//
// Used by the example servers' Init. Pure function, any thread.
#ifndef MUSTER_EXAMPLES_DURATION_OPTION_H_
#define MUSTER_EXAMPLES_DURATION_OPTION_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"

namespace examples {

// `value`, or `fallback` if `present` is false. INVALID_ARGUMENT, naming
// `field` and what would be right, unless it is longer than zero and a
// Duration at all (nanos in their range and of the sign of seconds).
absl::StatusOr<absl::Duration> DurationOption(
    absl::string_view field, bool present,
    const google::protobuf::Duration& value, absl::Duration fallback);

}  // namespace examples

#endif  // MUSTER_EXAMPLES_DURATION_OPTION_H_
