// UTF-8: text that a protobuf string field or a gRPC status may hold.
//
// Pure functions, any thread.
#ifndef MUSTER_NODE_TYPES_UTF8_H_
#define MUSTER_NODE_TYPES_UTF8_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace muster {

// `bytes` with every byte that is part of no well-formed UTF-8 sequence
// (RFC 3629: no overlong forms, no surrogates) replaced by U+FFFD.
std::string ToValidUtf8(absl::string_view bytes);

// The longest prefix of at most `bytes_max` bytes that does not end inside a
// character; `text` is well-formed.
absl::string_view CutUtf8(absl::string_view text, size_t bytes_max);

// `text` itself if it has at most `bytes_max` bytes, else its beginning and a
// note of how long it was, in `bytes_max` bytes together. `bytes_max` is at
// least 64.
std::string CutUtf8WithNote(absl::string_view text, size_t bytes_max);

}  // namespace muster

#endif  // MUSTER_NODE_TYPES_UTF8_H_
