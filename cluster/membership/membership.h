// Membership: this node's place in the cluster, and who else is in it.
//
// The protocol is guarantees R1 to R7, R12 and R19: a permanent record for each
// node, whose create revision is the node's epoch N; heartbeats as committed
// transactions that alone move the fence; reaping as one compare-and-set by
// whoever has seen no heartbeat for R on its own clock, or has a proof of
// death, or leaves a grave. When and whether is decided in ownership.h, how in
// reap.h. Its parts: joining, heartbeats and members (membership.cc), who ends
// the membership of the silent (reaping.cc), the draining flag (draining.cc).
#ifndef MUSTER_CLUSTER_MEMBERSHIP_MEMBERSHIP_H_
#define MUSTER_CLUSTER_MEMBERSHIP_MEMBERSHIP_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cluster/membership/ownership.h"
#include "cluster/membership/profile.h"
#include "cluster/store/keys.h"
#include "cluster/store/replica.h"
#include "cluster/store/store.h"
#include "muster/store/v1/store.pb.h"
#include "node/base/fence.h"
#include "node/base/log.h"
#include "node/base/mutex.h"
#include "node/base/random.h"
#include "node/base/strand.h"
#include "node/peer/peers.h"
#include "node/types/pid.h"

namespace muster {

struct Member {
  store::v1::NodeRecord record;
  Epoch epoch;
};

struct MembershipOptions {
  std::string cluster;
  std::string node;
  // Where peers and clients reach this node.
  std::string address;
  // SPIFFE id of its certificate; empty: it has none.
  std::string identity;
  std::vector<store::v1::HostedType> types;
  std::string build;
  // Used if this node writes the cluster's meta record; otherwise that one's.
  Profile profile;
  // What placement goes by.
  std::map<std::string, std::string> labels;
  // Cluster id that this node's data directory remembers: it joins no cluster
  // of another. Empty: any.
  std::string cluster_id_seen;
  // A planted bug of tests: others are reaped after this silence, unchecked.
  // Zero: as the profile says.
  absl::Duration reap_for_test = absl::ZeroDuration();
  // Greatest generation that this node has ever seen, from its data directory;
  // 0 if it has none. It does not serve under a smaller one (guarantees R7).
  uint64_t min_generation = 0;
  // If the cluster's generation is smaller: raise it above, because the store
  // has been restored from a backup. Else joining is refused.
  bool raise_generation = false;
  // Asked about a record of this node's name that is in the way: a proof that
  // the incarnation that wrote it has no thread any more, for people, such as
  // "holds the lock of /var/lib/muster/a"; absent if that is not known. With a
  // proof it is reaped at once (guarantees R12, R19), else after R of silence.
  std::function<std::optional<std::string>(const store::v1::NodeRecord& record,
                                           Epoch epoch)>
      proof_of_death;
  // Companions() of this node's last incarnation, if it lost its epoch; empty
  // at a first start. If most of them lost theirs, too, this one does not join
  // at the same moment as they do (guarantees R15).
  std::map<std::string, uint64_t> known_before;
};

struct Joined {
  std::string cluster_id;
  Epoch epoch;
  Profile profile;
};

// What membership tells, on its strand.
struct MembershipListener {
  // Somebody joined, left or died.
  std::function<void()> on_change;
  // This incarnation of a node is dead for ever and can act no more: said at
  // once when it left, was attested dead or was silent for R; R after a forced
  // reap.
  std::function<void(const std::string& node, Epoch epoch)> on_death;
  // This node's own epoch is dead: end all global servers, join anew.
  std::function<void()> on_reaped;
  // May be empty. The cluster has this generation, which is greater than
  // min_generation: to be remembered before anything is served under it.
  std::function<void(uint64_t generation)> on_generation;
};

// Owns this node's record and heartbeat, the fence's deadline, and a copy of
// the node records. LIFETIME: the strand is closed before it is destroyed.
// THREADS: Find, Members, Self, IsCurrent from any; the rest on the strand.
class Membership final : public PeerDirectory {
 public:
  Membership(MembershipOptions options, Store* store, Strand* strand,
             Clock* clock, RandomSource* random, Logger* logger,
             MembershipListener listener);
  ~Membership() override;

  // Writes this node's record. If its name has one already, waits: a heartbeat
  // that moves means a living node (ALREADY_EXISTS NODE_EXISTS); silence for R
  // means a dead one, which is reaped; a proof of its death spares the wait.
  // UNAVAILABLE: the store did not answer within 10 s. FAILED_PRECONDITION
  // OLD_GENERATION: this node has seen a greater generation; OTHER_CLUSTER: it
  // was in a cluster of another id. `done` comes once; on success heartbeats
  // and reaping run.
  void Join(absl::AnyInvocable<void(absl::StatusOr<Joined>)> done);
  // Deletes this node's record, so that others need not wait; then nothing
  // here acts any more. A Join that is under way is called off, and its `done`
  // does not come.
  void Leave(absl::AnyInvocable<void()> done);

  // Writes the draining flag into this node's record. `done` comes once:
  // ABORTED FENCED, or the store's error; a repetition does no harm. One after
  // the other: what was asked last is what stays, also if an earlier write that
  // got no answer reaches the store late.
  void SetDraining(bool draining, absl::AnyInvocable<void(absl::Status)> done);
  // Whether this node drains; what was asked last, while the store has not
  // answered.
  // Any thread.
  bool draining() const { return draining_.load(std::memory_order_relaxed); }

  // A peer says that this node's epoch is dead: freezes at once, and asks the
  // store, which alone knows (guarantees R9).
  void Doubted();

  const Fence& fence() const { return fence_; }
  // After Join: the compare of all deciding transactions of this node (R3).
  Compare OwnEpoch() const;
  int64_t own_revision() const { return own_revision_; }
  uint64_t generation() const { return generation_; }
  const Keys& keys() const { return keys_; }
  const std::string& node() const { return options_.node; }

  std::optional<PeerAddress> Find(absl::string_view node) const override;
  // Sorted by name.
  std::vector<Member> Members() const;
  // Nodes and the revisions of their epochs: the members, those that went away
  // within the last R, and this one once it has joined. Any thread.
  std::map<std::string, uint64_t> Companions() const;
  // The gRPC service of a type that `node` hosts; empty if it does not.
  std::string ServiceOf(absl::string_view node, absl::string_view type) const;
  // Whether `node` is a member with this epoch revision, or was and may yet
  // act, as far as is known.
  bool IsCurrent(absl::string_view node, int64_t revision) const;
  // Greater after each change of the members; never 0. What IsCurrent said
  // after a reading of it holds as long as it reads the same.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }

  // What a claim of a name of epoch `revision` of `owner`, which is not a
  // member any more, must wait for and compare (guarantees R19). `owner` is
  // empty for a name without a record.
  ClaimGate MayClaimFrom(absl::string_view owner, int64_t revision) const;
  // How long `node` has been silent; absent if this node does not watch.
  std::optional<absl::Duration> SilentFor(absl::string_view node) const;
  const Profile& profile() const { return profile_; }

  // Ends its watches, so that the store can go; the strand is closed.
  void StopWatching();

 private:
  void ReadMeta();
  void EnsureMeta(absl::StatusOr<TxnResult> result);
  // The cluster's generation is smaller than one that this node has seen.
  void OldGeneration(const KeyValue& item, store::v1::Meta meta);
  void LookWhoIsBack();
  void SawWhoIsBack(absl::StatusOr<RangeResult> result);
  void TryCreate();
  void Created(BootTime sent, absl::StatusOr<TxnResult> result);
  // The record that is in the way: watched until it moves or is silent for R.
  void WaitForOther(int64_t node_revision, int64_t heartbeat_revision);
  void ReapOther(Txn reap);
  void JoinFailed(absl::Status status);
  void RetryJoin(absl::Duration delay, std::function<void()> step,
                 const absl::Status& why);
  void Finished();
  void WriteLeft(absl::AnyInvocable<void()> done);

  void Beat();
  void BeatAt(BootTime due);
  void Beaten(BootTime sent, uint64_t sequence,
              absl::StatusOr<TxnResult> result);
  void Reaped();
  void NodeChanged(const std::string& key, const KeyValue* now,
                   int64_t revision);
  // Tells of a death once this epoch can act no more: at once, unless it has
  // a grave in the store as of `revision` or later.
  void Died(const std::string& node, Epoch epoch, int64_t revision);
  void ActsNoMore(const std::string& node, Epoch epoch);
  void GraveChanged(const std::string& key, const KeyValue* now);
  void RemoveOldGraves();
  void UpdateReaper();
  // Nodes that do not watch heartbeats look now and then whether those that
  // should have died all at once.
  void LookAtWatchers();
  void WatchersListed(absl::StatusOr<RangeResult> result);
  void HeartbeatChanged(const std::string& key, const KeyValue* now);
  void Sweep();
  void Reap(const Silence::Overdue& overdue);
  // Writes what the first of drain_requests_ asks for, then the others.
  void WriteDraining();
  void DrainingAnswered(std::string value, absl::StatusOr<TxnResult> result);
  void DrainingWritten(const absl::Status& status);
  void ExtendFence(BootTime deadline);
  StoreOp Journal(store::v1::EventRecord event) const;
  template <typename T>
  Store::Done<T> OnStrand(void (Membership::*then)(absl::StatusOr<T>));
  // Wraps a closure so that it runs only while this object lives.
  std::function<void()> Alive(std::function<void()> work);

  const MembershipOptions options_;
  const Keys keys_;
  Store* const store_;
  Strand* const strand_;
  Clock* const clock_;
  RandomSource* const random_;
  Logger* const logger_;
  const MembershipListener listener_;
  Profile profile_;
  Fence fence_;

  // On the strand.
  absl::AnyInvocable<void(absl::StatusOr<Joined>)> joined_;
  std::string cluster_id_;
  std::string incarnation_;
  BootTime join_deadline_;
  // Of the meta record that generation_ is of.
  int64_t meta_revision_ = 0;
  // Whether others rejoin, too, has been asked.
  bool rejoin_looked_ = false;
  // A transaction that writes this node's record has no answer yet.
  bool creating_ = false;
  bool left_ = false;
  // Waits for that answer.
  absl::AnyInvocable<void()> leave_;
  BootTime other_since_;
  int64_t other_node_revision_ = 0;
  int64_t other_heartbeat_revision_ = 0;
  int other_moves_ = 0;
  bool active_ = false;
  uint64_t sequence_ = 0;
  // The beat of that number was sent after a doubt and has no answer yet;
  // another doubt has come meanwhile.
  bool answering_doubt_ = false;
  bool doubted_again_ = false;
  TimerId beat_timer_ = 0;
  BootTime last_committed_;
  // Greatest revision that a heartbeat of this incarnation had.
  int64_t committed_revision_ = 0;
  std::unique_ptr<Replica> nodes_;
  std::unique_ptr<Replica> heartbeats_;  // Only while this node watches.
  std::unique_ptr<Replica> grave_records_;
  // Heartbeat revisions at the last look of LookAtWatchers.
  std::map<std::string, int64_t> seen_beats_;
  // All that should watch were silent between two looks: this node does.
  bool watchers_silent_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::string record_;  // This node's, as written last.
  int64_t record_revision_ = 0;
  // A write of it got no answer.
  bool record_doubtful_ = false;
  struct DrainRequest {
    bool draining = false;
    int tries = 0;
    absl::AnyInvocable<void(absl::Status)> done;
  };
  // The first is under way.
  std::deque<DrainRequest> drain_requests_;
  // Relaxed: nothing else depends on it.
  std::atomic<bool> draining_{false};
  // Written once, by Join, before others may ask.
  int64_t own_revision_ = 0;
  uint64_t generation_ = 0;

  mutable Mutex mu_;
  std::map<std::string, Member, std::less<>> members_ ABSL_GUARDED_BY(mu_);
  struct Gone {
    uint64_t revision = 0;
    BootTime at;
  };
  // Former members, for Companions.
  std::map<std::string, Gone> gone_ ABSL_GUARDED_BY(mu_);
  // Node and epoch revision of those whose record is gone but that may yet act,
  // as far as is known.
  std::set<std::pair<std::string, uint64_t>> dying_ ABSL_GUARDED_BY(mu_);
  // While this node watches heartbeats.
  std::optional<Reaper> reaper_ ABSL_GUARDED_BY(mu_);
  Graves graves_ ABSL_GUARDED_BY(mu_);
  // Raised with mu_ held, after the change.
  std::atomic<uint64_t> version_{1};
};

template <typename T>
Store::Done<T> Membership::OnStrand(
    void (Membership::*then)(absl::StatusOr<T>)) {
  std::weak_ptr<bool> alive = alive_;
  return [this, alive, then, strand = strand_](absl::StatusOr<T> result) {
    if (alive.expired()) return;
    strand->Post([this, alive, then, result = std::move(result)]() mutable {
      if (!alive.expired()) (this->*then)(std::move(result));
    });
  };
}

}  // namespace muster

#endif  // MUSTER_CLUSTER_MEMBERSHIP_MEMBERSHIP_H_
