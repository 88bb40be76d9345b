// RejoinDelay: when a node that lost its epoch joins again (guarantees R15).
#ifndef MUSTER_CLUSTER_MEMBERSHIP_REJOIN_H_
#define MUSTER_CLUSTER_MEMBERSHIP_REJOIN_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace muster {

// Over which a mass of nodes is spread.
inline constexpr absl::Duration kRejoinSpread = absl::Seconds(2);

// A pure decider. `before`: the nodes that `node` knew when its epoch ended,
// itself included, with the revisions of their epochs; `now`: those that are
// members. If more than one, and more than a fifth, of the epochs of then have
// ended, all that lost theirs come back at about the same time, each with a
// look at the whole cluster: then a span below kRejoinSpread, which follows
// from the node's name alone. Else none: a single node is to be back soon.
absl::Duration RejoinDelay(absl::string_view node,
                           const std::map<std::string, uint64_t>& before,
                           const std::map<std::string, uint64_t>& now);

}  // namespace muster

#endif  // MUSTER_CLUSTER_MEMBERSHIP_REJOIN_H_
