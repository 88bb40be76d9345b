// Reconcile: what a cluster supervisor does next (design D8).
//
// Pure: what is wanted, what runs and who is there go in, actions come out.
// PlanGroup says what else a failure takes down (otp 7.4).
#ifndef MUSTER_CLUSTER_SUPERVISOR_RECONCILER_H_
#define MUSTER_CLUSTER_SUPERVISOR_RECONCILER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/supervisor/placement.h"
#include "muster/store/v1/store.pb.h"
#include "node/base/clock.h"

namespace muster {

// One child as its supervisor knows it.
//
//   idle --start--> starting --ok--> running --stop--> stopping --> idle
//    ^                  | failed       | ^  \ exited, its node died
//    +------------------+--------------+-|---+
//                                 move | | done, or failed: where it was
//                                      moving
//   ended: it ended and its restart type wants no other start, or it was
//   terminated by order.
enum class ChildPhase {
  kIdle,
  kStarting,
  kRunning,
  kStopping,
  kEnded,
  kMoving,
};

// "pending", "starting", "running", "stopping", "ended", "moving".
absl::string_view ChildPhaseName(ChildPhase phase);

// LIFETIME: the text and the placement belong to whoever made the view.
struct ChildView {
  absl::string_view id;
  absl::string_view name;
  absl::string_view type;
  ChildPhase phase = ChildPhase::kIdle;
  // Where it runs, starts, stops or moves from; for an idle or ended one, the
  // node that still owns its name and alone can start it again or free it; else
  // empty.
  absl::string_view node;
  // False: its spec was removed, it was terminated, or the supervisor has given
  // up.
  bool wanted = true;
  // Its spec has changed since it started.
  bool outdated = false;
  // A restart of its group takes it down: it is stopped, and started again if
  // it is wanted.
  bool taken_down = false;
  // A decision about it is not stored yet: neither started nor stopped before.
  bool deciding = false;
  // It ran before: in a one_for_one tree it waits for no other.
  bool started = false;
  // Added by itself: it waits for no other in a one_for_one tree, and is
  // stopped together with others.
  bool dynamic = false;
  bool temporary = false;
  // Neither started nor stopped before; after failures.
  BootTime not_before;
  // As that, for moves.
  BootTime move_not_before;
  // An operator wants it there; empty: nobody does.
  absl::string_view move_to;
  // Null: no wishes.
  const store::v1::Placement* placement = nullptr;
};

// What the whole tree goes by.
struct TreeRules {
  store::v1::Strategy strategy = store::v1::ONE_FOR_ONE;
  // The tree is being stopped as a whole, in reverse order (otp S28).
  bool shutting_down = false;
  // Starts under way on one node, and moves away from one (guarantees R15).
  int starts_max = 8;
  int moves_max = 4;
};

struct Action {
  // kPending: it fits nowhere. kWait: one before it cannot start. kStay: it
  // should move away from its node, and cannot.
  enum class Kind { kStart, kStop, kPending, kWait, kMove, kStay };
  Kind kind = Kind::kStart;
  size_t child = 0;  // Index into the views.
  std::string node;  // kMove: where to.
  std::string why;   // kPending, kWait and kStay.

  friend bool operator==(const Action&, const Action&) = default;
};

// Stops come first, in reverse order; what goes down with its whole group or
// tree, one after the other. A stop of what does not run any more frees its
// name.
//
// Starts come in the order of the children, where each one's placement says
// (placement.h), counting the starts of this very round. In a one_for_all or
// rest_for_one tree a child starts only when nothing is to be taken down any
// more and all before it run; in a one_for_one tree that holds for the first
// starts alone, and a child that cannot start holds up nobody.
//
// Moves come last: what runs on a draining node, in the order of the children.
std::vector<Action> Reconcile(const std::vector<ChildView>& children,
                              std::vector<MemberView> members, BootTime now,
                              const TreeRules& rules = TreeRules());

// One restart event.
struct GroupPlan {
  GroupPlan() {}

  // Indexes, ascending. They are up: to be stopped.
  std::vector<size_t> take_down;
  // They had ended, and are started again with the group (otp S15).
  std::vector<size_t> revive;
};
// `failed` are down and are started again anyway: one child that ended or did
// not start, or all that a node took with it, which is one event.
GroupPlan PlanGroup(store::v1::Strategy strategy,
                        const std::vector<ChildView>& children,
                        const std::vector<size_t>& failed);

// How long a child waits that has failed `failures` times since it was last
// well: not at all after the first, then twice as long each time. The delays of
// `intensity` restarts together are at most half of the period, so that a loop
// still ends the tree (otp 16.3). A quarter of it is left to chance.
absl::Duration RestartDelay(int failures, uint32_t intensity,
                            absl::Duration period);

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_RECONCILER_H_
