// DeterministicBytes: a message's bytes, the same for the same content.
#ifndef MUSTER_CLUSTER_SUPERVISOR_BYTES_H_
#define MUSTER_CLUSTER_SUPERVISOR_BYTES_H_

#include <string>

#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/message_lite.h"

namespace muster {

// Maps come in the order of their keys, which SerializeAsString does not
// promise; so specs can be compared by it.
inline std::string DeterministicBytes(
    const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream out(&bytes);
    google::protobuf::io::CodedOutputStream coded(&out);
    coded.SetSerializationDeterministic(true);
    message.SerializePartialToCodedStream(&coded);
  }
  return bytes;
}

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_BYTES_H_
