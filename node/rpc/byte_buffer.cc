#include "node/rpc/byte_buffer.h"

#include <cstdint>
#include <limits>
#include <vector>

#include "google/protobuf/io/coded_stream.h"
#include "grpcpp/support/slice.h"

namespace muster {

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::string bytes;
  std::vector<grpc::Slice> slices;
  if (!buffer.Valid() || !buffer.Dump(&slices).ok()) return bytes;
  bytes.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

grpc::ByteBuffer ToByteBuffer(absl::string_view bytes) {
  const grpc::Slice slice(bytes.data(), bytes.size());
  return grpc::ByteBuffer(&slice, 1);
}

bool ParseBounded(absl::string_view bytes,
                  google::protobuf::MessageLite* message) {
  if (bytes.size() > std::numeric_limits<int>::max()) return false;
  google::protobuf::io::CodedInputStream input(
      reinterpret_cast<const uint8_t*>(bytes.data()),
      static_cast<int>(bytes.size()));
  input.SetRecursionLimit(kNestingMax);
  return message->ParseFromCodedStream(&input) && input.ConsumedEntireMessage();
}

bool ParseBounded(const grpc::ByteBuffer& buffer,
                  google::protobuf::MessageLite* message) {
  return ParseBounded(BytesOf(buffer), message);
}

}  // namespace muster
