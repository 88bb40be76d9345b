// MUSTER_CHECK: the node's own invariants.
//
// A failed check ends the OS process; the cluster supervisor decides what
// happens next. Never check what a peer, a client or user code handed in:
// answer with a Status or end the process (docs/contributing.md, "three
// floors"). Checks stay on in release builds.
#ifndef MUSTER_NODE_BASE_CHECK_H_
#define MUSTER_NODE_BASE_CHECK_H_

#include "absl/strings/string_view.h"

namespace muster::internal {

// Prints "<file>:<line>: <expression>: <why>" on stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line,
                              const char* expression, absl::string_view why);

}  // namespace muster::internal

// MUSTER_CHECK(condition) or MUSTER_CHECK(condition, "why it must hold").
#define MUSTER_CHECK(condition, ...)                                        \
  do {                                                                      \
    if (!(condition)) [[unlikely]] {                                        \
      ::muster::internal::CheckFailed(__FILE__, __LINE__, #condition,       \
                                      ::absl::string_view("" __VA_ARGS__)); \
    }                                                                       \
  } while (false)

#endif  // MUSTER_NODE_BASE_CHECK_H_
