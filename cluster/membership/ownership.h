// Ownership: who may act, and when another may take over (guarantees sections
// 4 and 5).
//
// Pure: readings of one clock and revisions in, decisions out; nothing here
// reads a clock or asks a store. Membership uses these, and a checker walks
// all states of a small cluster with them
// (tests/unit/cluster/membership/ownership_model_test.cc). What is asked at
// each dispatch, send and reply, and by a caller of each reply, is in
// node/base/fence.h.
#ifndef MUSTER_CLUSTER_MEMBERSHIP_OWNERSHIP_H_
#define MUSTER_CLUSTER_MEMBERSHIP_OWNERSHIP_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/membership/profile.h"
#include "node/base/clock.h"

namespace muster {

// -- The holder ---------------------------------------------------------------

// What became of a heartbeat.
enum class Beat {
  kCommitted,
  kRefused,   // Its compare failed: this epoch is dead.
  kNoAnswer,  // It may have been committed; nobody knows.
};

struct AfterBeat {
  // The fence may be moved here; never back.
  std::optional<BootTime> deadline;
  // End all that runs for the cluster, and join anew.
  bool dead = false;
};

// What a heartbeat proves (guarantees R2): only one that was committed, and
// only from the reading `sent` that was taken before it was sent.
AfterBeat Proves(Beat beat, BootTime sent, BootTime received,
                 const Profile& profile);

// -- The reaper ---------------------------------------------------------------

// Silence, on the reaper's clock, that ends a membership (guarantees R5).
absl::Duration SilenceToReap(const Profile& profile);

// Decides which nodes are reaped now (guarantees R5). A timer for each starts
// when this reaper first saw a heartbeat's revision. All of them start anew
// when what was not seen proves nothing: after a span in which its own
// heartbeats did not commit, while its watch was broken, and when it was paused
// itself.
//
// The brake: if more nodes look silent at once than one and a fifth of all, it
// suspects itself or the store, until there are witnesses: as many others, at
// least one and a fifth of all, whose heartbeats have moved since the brake
// went on, with a commit of its own. Then the store takes heartbeats and its
// watch tells of them, and the silent ones are reaped as a single one would be.
// Without witnesses it waits another R, and then reaps one node per H.
class Reaper {
 public:
  // As many nodes reap; a few, so that not all watch each other.
  static constexpr size_t kReapers = 3;

  explicit Reaper(const Profile& profile) : profile_(profile) {}

  // As Silence.
  void Observe(absl::string_view node, int64_t node_revision,
               int64_t heartbeat_revision, BootTime now);
  void Forget(absl::string_view node);
  void StartAnew(BootTime now);
  // Its own heartbeat was committed.
  void Committed(BootTime now);
  // Its watch of heartbeats broke; was set up again, and the list is read.
  void WatchBroke() { watching_ = false; }
  void WatchReady(BootTime now);

  // How soon after a sweep the next is due.
  absl::Duration sweep_interval() const { return profile_.heartbeat / 5; }
  // Who is to be reaped now, of a cluster of `nodes`. Called each
  // sweep_interval; a call that comes more than H late was held up by a pause.
  std::vector<Silence::Overdue> Sweep(size_t nodes, BootTime now);
  // Whether it is for `own` to reap: fewer than kReapers of those before it in
  // `members`, which are sorted, are not silent for R themselves.
  bool HasTurn(absl::string_view own, const std::vector<std::string>& members,
               BootTime now) const;
  // The brake is on, whether or not there are witnesses.
  bool braked() const { return braked_since_.has_value(); }
  // How long `node` has been silent, if this reaper times it.
  std::optional<absl::Duration> SilentFor(absl::string_view node,
                                          BootTime now) const {
    return silence_.SilentFor(node, now);
  }

 private:
  // Nodes that the brake lets pass, and witnesses that it asks for.
  static size_t Few(size_t nodes);
  bool Witnessed(size_t nodes, BootTime now) const;

  const Profile profile_;
  Silence silence_;
  // When the heartbeat of each node was seen to move last.
  std::map<std::string, BootTime, std::less<>> moved_;
  std::optional<BootTime> committed_;
  bool watching_ = true;
  std::optional<BootTime> swept_;
  // The brake: since when, and for how many silent nodes.
  std::optional<BootTime> braked_since_;
  size_t braked_for_ = 0;
  std::optional<BootTime> reaped_;
};

// -- The claimer --------------------------------------------------------------

// What a claim of a name must wait for and compare, so far as its owner may
// have been reaped alive (guarantees R19).
struct ClaimGate {
  // On this node's clock; not after now: at once.
  BootTime not_before;
  // The grave's revision that this was decided on, 0 for none; the claim
  // compares it. Absent: there is nothing to compare.
  std::optional<int64_t> grave_revision;
};

// The graves that this node has observed, and since when. A grave stands for
// its epoch and all earlier ones of that node.
class Graves {
 public:
  // Saw the grave of epoch `node_revision`, written at `grave_revision`.
  void Observe(absl::string_view node, int64_t node_revision,
               int64_t grave_revision, BootTime now);
  void Forget(absl::string_view node);

  // The cluster's generation was raised at `revision`, which ended all
  // epochs at once: it is the grave of every one below. `unknown_before`: this
  // node knew a smaller generation, so that the store may have been restored
  // and names may have owners of which it has no record.
  void ObserveRaise(int64_t revision, bool unknown_before, BootTime now);

  // For names of epoch `node_revision` of `node`, that is dead; `node` is empty
  // for a name without a record.
  ClaimGate Gate(absl::string_view node, int64_t node_revision,
                 absl::Duration reap) const;

  struct Old {
    std::string node;
    int64_t grave_revision;
  };
  // Those that nobody needs any more: observed for twice R, so that what they
  // stand for has passed its fence whoever looks.
  std::vector<Old> FindOld(absl::Duration reap, BootTime now) const;

 private:
  struct Seen {
    int64_t node_revision;
    int64_t grave_revision;
    BootTime since;
  };
  struct Raise {
    int64_t revision;
    bool unknown_before;
    BootTime since;
  };
  std::map<std::string, Seen, std::less<>> seen_;
  std::optional<Raise> raise_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_MEMBERSHIP_OWNERSHIP_H_
