// Names: what processes, nodes and clusters may be called.
//
// For whoever takes a name from a user, a peer, a file or the store: validate
// at the edge, then trust it. Pure functions, any thread.
#ifndef MUSTER_NODE_TYPES_NAMES_H_
#define MUSTER_NODE_TYPES_NAMES_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace muster {

// Longest name of a process, supervisor or child, in bytes.
inline constexpr size_t kNameBytesMax = 255;
// Longest name of a node or cluster, in bytes.
inline constexpr size_t kNodeNameBytesMax = 63;

// OK if `name` can name a process, supervisor or child: bytes
// [A-Za-z0-9._:@/-]{1,255} without ".." in them (guarantees section 10).
// INVALID_ARGUMENT BAD_NAME otherwise, outcome NOT_EXECUTED; the message says
// what would be right and is bounded and safe to log.
absl::Status ValidateName(absl::string_view name);

// OK if `node` can name a node: [a-z0-9-]{1,63} (design D13). Errors as
// ValidateName.
absl::Status ValidateNodeName(absl::string_view node);

// OK if `cluster` can name a cluster: as a node's name.
absl::Status ValidateClusterName(absl::string_view cluster);

// `input` for a message or a log: in double quotes, whatever is not printable
// ASCII as \xNN, quotes and backslashes escaped, cut after `bytes_max` bytes
// of input with a note of how long it was.
std::string LogSafe(absl::string_view input, size_t bytes_max = 64);

}  // namespace muster

#endif  // MUSTER_NODE_TYPES_NAMES_H_
