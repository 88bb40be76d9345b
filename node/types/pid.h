// Epoch and Pid: identities that never come back.
#ifndef MUSTER_NODE_TYPES_PID_H_
#define MUSTER_NODE_TYPES_PID_H_

#include <compare>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "muster/core/v1/core.pb.h"

namespace muster {

// A position in the order of ownership: compares by generation, then revision
// (guarantees R7). Text: both as 16 hex digits joined by a dot, so that string
// order is epoch order.
struct Epoch {
  uint64_t generation = 0;
  uint64_t revision = 0;

  friend auto operator<=>(const Epoch&, const Epoch&) = default;
  bool empty() const { return generation == 0 && revision == 0; }

  std::string ToString() const;
  // INVALID_ARGUMENT unless `text` is what ToString() prints.
  static absl::StatusOr<Epoch> Parse(absl::string_view text);
  core::v1::Epoch ToProto() const;
  static Epoch FromProto(const core::v1::Epoch& proto);

  template <typename H>
  friend H AbslHashValue(H h, const Epoch& e) {
    return H::combine(std::move(h), e.generation, e.revision);
  }
};

// One process of one incarnation of one node; matches no later one (otp P5).
// Text: <node>~<generation>.<revision>~<number>.
struct Pid {
  std::string node;
  Epoch epoch;  // Of the node.
  uint64_t number = 0;

  friend auto operator<=>(const Pid&, const Pid&) = default;
  bool empty() const { return number == 0; }

  std::string ToString() const;
  // INVALID_ARGUMENT unless `text` is what ToString() prints.
  static absl::StatusOr<Pid> Parse(absl::string_view text);
  core::v1::Pid ToProto() const;
  static Pid FromProto(const core::v1::Pid& proto);

  template <typename H>
  friend H AbslHashValue(H h, const Pid& p) {
    return H::combine(std::move(h), p.node, p.epoch, p.number);
  }
};

}  // namespace muster

#endif  // MUSTER_NODE_TYPES_PID_H_
