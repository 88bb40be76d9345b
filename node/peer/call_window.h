// CallWindow: which calls of one node's incarnation have come already
// (guarantees G6).
#ifndef MUSTER_NODE_PEER_CALL_WINDOW_H_
#define MUSTER_NODE_PEER_CALL_WINDOW_H_

#include <cstddef>
#include <cstdint>

#include "absl/container/btree_map.h"

namespace muster {

// Ids grow in the order of sending, but for those that several threads send at
// once. Pure: no clock, no lock.
class CallWindow {
 public:
  enum class Verdict : uint8_t {
    kNew,
    kAgain,    // The same call once more: it must not run again.
    kReused,   // The id of another call.
    kExpired,  // Too old to tell: it may have run.
  };

  // Remembers the `ids_max` greatest ids.
  explicit CallWindow(size_t ids_max = 4096) : ids_max_(ids_max) {}

  // `digest` tells one payload from another.
  Verdict Admit(uint64_t id, uint64_t digest);

 private:
  size_t ids_max_;
  uint64_t expired_ = 0;  // All ids up to this one.
  absl::btree_map<uint64_t, uint64_t> seen_;
};

}  // namespace muster

#endif  // MUSTER_NODE_PEER_CALL_WINDOW_H_
