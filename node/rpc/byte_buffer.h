// Between gRPC's ByteBuffer and our strings and messages. Pure, any thread.
#ifndef MUSTER_NODE_RPC_BYTE_BUFFER_H_
#define MUSTER_NODE_RPC_BYTE_BUFFER_H_

#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/message_lite.h"
#include "grpcpp/support/byte_buffer.h"

namespace muster {

// Deepest nesting of a message that we parse for somebody outside.
inline constexpr int kNestingMax = 32;

std::string BytesOf(const grpc::ByteBuffer& buffer);
grpc::ByteBuffer ToByteBuffer(absl::string_view bytes);

// Parses untrusted bytes. False: they are no such message, or nest deeper than
// kNestingMax.
bool ParseBounded(absl::string_view bytes,
                  google::protobuf::MessageLite* message);
bool ParseBounded(const grpc::ByteBuffer& buffer,
                  google::protobuf::MessageLite* message);

}  // namespace muster

#endif  // MUSTER_NODE_RPC_BYTE_BUFFER_H_
