// Placement: on which node a child of a cluster supervisor runs.
//
// Pure: nodes and what the child's spec asks for go in, a node or the reason
// why there is none comes out. Two steps: Ineligible says which nodes are ruled
// out, and a PlacementPolicy chooses among the others.
#ifndef MUSTER_CLUSTER_SUPERVISOR_PLACEMENT_H_
#define MUSTER_CLUSTER_SUPERVISOR_PLACEMENT_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "muster/store/v1/store.pb.h"

namespace muster {

struct MemberView {
  std::string node;
  std::vector<std::string> types;
  // Children that run there, of all supervisors; and of this one.
  int load = 0;
  int own = 0;
  // Starts and moves that are under way there.
  int in_flight = 0;
  std::map<std::string, std::string> labels;
  bool draining = false;
};

// What a node's own record says of it; it has no load.
MemberView ViewOf(const store::v1::NodeRecord& record);

// What a child asks for.
struct PlacementRequest {
  absl::string_view name;
  absl::string_view type;
  // Not null. LIFETIME: the caller's.
  const store::v1::Placement* placement = nullptr;
};

// Why `member` can never take the child, such as "is draining"; empty: it can.
std::string Ineligible(const PlacementRequest& request,
                       const MemberView& member);

// Why none of `members` can: each reason with the nodes that it rules out, at
// most a few of them by name, so that the text stays short in large clusters.
std::string WhyNowhere(const PlacementRequest& request,
                       const std::vector<MemberView>& members);

// Chooses among nodes that all may take the child.
class PlacementPolicy {
 public:
  virtual ~PlacementPolicy() = default;

  // An index into `nodes`, which is not empty. The same arguments give the same
  // node, in whatever order they come.
  virtual size_t Choose(const PlacementRequest& request,
                        const std::vector<const MemberView*>& nodes) const = 0;
  // True: it is one node for each child, however busy that is.
  virtual bool sticky() const { return false; }
};

// FEWEST if it is unspecified. The result lives for ever.
const PlacementPolicy& PolicyOf(const store::v1::Placement& placement);

// Rendezvous hashing: of several nodes the one with the greatest weight gets
// the key. A node that goes moves only its own keys, one that comes takes only
// what it gets. The same in all builds and on all machines.
uint64_t RendezvousWeight(absl::string_view key, absl::string_view node);

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_PLACEMENT_H_
