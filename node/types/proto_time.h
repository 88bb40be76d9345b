// Durations and times as protobuf carries them.
//
// Pure functions, any thread.
#ifndef MUSTER_NODE_TYPES_PROTO_TIME_H_
#define MUSTER_NODE_TYPES_PROTO_TIME_H_

#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace muster {

// Rounded towards zero to nanoseconds; what is beyond protobuf's 10,000 years,
// infinity included, becomes the nearest value it has. Infinity itself is told
// by leaving the field out.
google::protobuf::Duration ToProtoDuration(absl::Duration d);

// Never fails: seconds and nanoseconds are added up, whatever they say.
absl::Duration FromProtoDuration(const google::protobuf::Duration& d);

// To the millisecond; a time beyond the years 1 to 9999 becomes 1970.
google::protobuf::Timestamp ToProtoTimestamp(absl::Time t);

}  // namespace muster

#endif  // MUSTER_NODE_TYPES_PROTO_TIME_H_
