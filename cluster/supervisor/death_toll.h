// DeathToll: whether so many nodes died at once that what follows must be
// spread (guarantees R15).
#ifndef MUSTER_CLUSTER_SUPERVISOR_DEATH_TOLL_H_
#define MUSTER_CLUSTER_SUPERVISOR_DEATH_TOLL_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "node/base/clock.h"

namespace muster {

// A pure decider: values in, values out. Counts the nodes whose epoch went away
// within the last `window`.
class DeathToll {
 public:
  explicit DeathToll(absl::Duration window) : window_(window) {}

  // Nodes with the revisions of their epochs, as they are at `now`.
  void Note(const std::map<std::string, uint64_t>& nodes, BootTime now) {
    for (const auto& [node, revision] : nodes_) {
      const auto at = nodes.find(node);
      if (at == nodes.end() || at->second != revision) died_.push_back(now);
    }
    nodes_ = nodes;
    while (!died_.empty() && now - died_.front() > window_) died_.pop_front();
  }
  // More than one node, and more than a fifth of them. One death never is: its
  // failover must be quick.
  bool IsMass() const {
    const size_t all = nodes_.size() + died_.size();
    return died_.size() > std::max<size_t>(1, all / 5);
  }
  // Over how long so many starts are spread: as long as they take anyway, and
  // at most half of `reap`; zero unless it is a mass.
  absl::Duration SpreadOf(size_t starts, absl::Duration reap) const {
    if (!IsMass()) return absl::ZeroDuration();
    return std::min(reap / 2, kPerStart * static_cast<double>(starts));
  }

 private:
  // What a start costs the store and the node that orders it, with room for
  // other supervisors.
  static constexpr absl::Duration kPerStart = absl::Milliseconds(2);

  const absl::Duration window_;
  std::map<std::string, uint64_t> nodes_;
  std::deque<BootTime> died_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_DEATH_TOLL_H_
