// Reconcile: what a cluster supervisor does next (design D8).
//
// Pure: what is wanted, what runs and who is there go in, actions come out.
#ifndef MUSTER_CLUSTER_SUPERVISOR_RECONCILER_H_
#define MUSTER_CLUSTER_SUPERVISOR_RECONCILER_H_

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "node/base/clock.h"

namespace muster {

// One child as its supervisor knows it.
//
//   idle --start--> starting --ok--> running --stop--> stopping --> idle
//    ^                  | failed        | exited, its node died
//    +------------------+---------------+
//   ended: it ended and its restart type wants no other start.
enum class ChildPhase { kIdle, kStarting, kRunning, kStopping, kEnded };

// "pending", "starting", "running", "stopping", "ended".
absl::string_view ChildPhaseName(ChildPhase phase);

struct ChildView {
  std::string id;
  std::string type;
  ChildPhase phase = ChildPhase::kIdle;
  // Where it runs, starts or stops; for an idle or ended one, the node that
  // still owns its name and alone can start it again or free it; else empty.
  std::string node;
  // False: its spec was removed, or the supervisor has given up.
  bool wanted = true;
  // Its spec has changed since it started.
  bool outdated = false;
  // Neither started nor stopped before; after failures.
  BootTime not_before;
};

struct MemberView {
  std::string node;
  std::vector<std::string> types;
  // Children that run there, of all supervisors.
  int load = 0;
};

struct Action {
  enum class Kind { kStart, kStop, kPending };
  Kind kind = Kind::kStart;
  size_t child = 0;  // Index into the views.
  std::string node;
  std::string why;  // kPending: why it cannot be placed.

  friend bool operator==(const Action&, const Action&) = default;
};

// Starts come in the order of the children, each on the eligible member with
// the fewest children (ties: the smaller name), counting the starts of this
// very round; stops in reverse order, before the starts. A stop of what does
// not run any more frees its name.
std::vector<Action> Reconcile(const std::vector<ChildView>& children,
                              std::vector<MemberView> members, BootTime now);

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_RECONCILER_H_
