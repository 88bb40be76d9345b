// GlobalRegistry: cluster-wide names, claimed in the store (guarantees R1, R3).
#ifndef MUSTER_CLUSTER_REGISTRY_GLOBAL_REGISTRY_H_
#define MUSTER_CLUSTER_REGISTRY_GLOBAL_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cluster/membership/membership.h"
#include "cluster/registry/group_commit.h"
#include "cluster/registry/name_table.h"
#include "cluster/store/keys.h"
#include "cluster/store/replica.h"
#include "cluster/store/store.h"
#include "muster/store/v1/store.pb.h"
#include "node/base/mutex.h"
#include "node/base/strand.h"
#include "node/process/runtime.h"
#include "node/registry/name_registry.h"

namespace muster {

// What a claim writes and what else must hold for it.
struct Claim {
  std::string name;
  // Number of the process of this node that gets the name.
  uint64_t process = 0;
  std::string type;
  std::string supervisor;
  std::string child;
  // For example that the supervisor which ordered it is still the one.
  std::vector<Compare> also;
  // Not 0: the name's living owner gives it away as long as its record has
  // this revision; compared instead of the owner's death.
  int64_t consent_revision = 0;
  // Written with the claim, for example an event.
  std::vector<StoreOp> then;
};

struct Claimed {
  Epoch epoch;
  // Unique id of this claim.
  std::string instance;
};

// LIFETIME: the strand is closed before it is destroyed. THREADS: any, except
// Start and MembersChanged on the strand.
class GlobalRegistry final : public NameRegistry {
 public:
  // `on_change` is called on the strand with the name after each change.
  GlobalRegistry(const Membership* membership, Store* store, Strand* strand,
                 Clock* clock, RandomSource* random, Logger* logger,
                 Runtime* runtime,
                 std::function<void(const std::string& name)> on_change);
  ~GlobalRegistry() override;

  // Follows the names from now on; `synced` is called once, after the first
  // list.
  void Start(std::function<void()> synced);

  // -- NameRegistry --------------------------------------------------------
  std::optional<NameEntry> WhereIs(absl::string_view name) const override;
  void Resolve(
      absl::string_view name, Epoch above,
      absl::AnyInvocable<void(absl::StatusOr<NameEntry>)> done) override;
  Epoch Seen(absl::string_view name) const override;
  void Confirm(absl::string_view name, const Pid& owner, Epoch epoch,
               absl::AnyInvocable<void(absl::Status)> done) override;
  void ConfirmMember(const Pid& owner,
                     absl::AnyInvocable<void(absl::Status)> done) override;
  void Register(absl::string_view name, const Pid& pid,
                absl::AnyInvocable<void(absl::StatusOr<Epoch>)> done) override;
  void Unregister(absl::string_view name,
                  absl::AnyInvocable<void(absl::Status)> done) override;
  std::vector<NameEntry> List(absl::string_view prefix) const override;

  // -- For cluster/ --------------------------------------------------------
  // Claims a free name, or renews one that this node owns under the same
  // supervisor. Errors:
  //   ALREADY_EXISTS ALREADY_STARTED  (details pid, node) a living node's
  //   ABORTED FENCED                  this node's epoch is dead, or one of
  //                                   `also` does not hold
  //   UNAVAILABLE, DEADLINE_EXCEEDED (UNKNOWN)
  // An UNKNOWN one has the claim's instance as its detail `instance`.
  void Take(Claim claim,
            absl::AnyInvocable<void(absl::StatusOr<Claimed>)> done);
  // Frees a name that this node owns with this claim. OK too if it is not so
  // (any more).
  void Release(absl::string_view name, absl::string_view instance,
               absl::AnyInvocable<void(absl::Status)> done);
  // Frees a name of a supervisor's whose owner's epoch is dead, since nobody
  // is to start it again; `instance` is that of its record. Compares what a
  // claim of it would, and `also`, and waits, as a claim does, for an owner
  // that may be alive (guarantees R19). OK too if the record is another one by
  // then. ABORTED FENCED: `also` or something else that it compares does not
  // hold, or this node's epoch is dead. Else as Take.
  void ReleaseDead(absl::string_view name, absl::string_view instance,
                   std::vector<Compare> also,
                   absl::AnyInvocable<void(absl::Status)> done);
  // For an owner who had given the name away and does not know, or knows that
  // it failed: writes `mine`, its own record, again, so that no claim by its
  // consent can commit any more; tried until the store answers. Also instead of
  // the record of the claim with instance `failed` (empty: of none), whose node
  // has said that what it claimed the name for has failed; never of a later
  // claim of that node. OK: the new epoch. FAILED_PRECONDITION MOVED: the
  // record is another one, which Record() then has. ABORTED FENCED: this
  // node's epoch has ended.
  void TakeBack(store::v1::NameRecord mine, std::string failed,
                absl::AnyInvocable<void(absl::StatusOr<Epoch>)> done);
  // What the owner of a name has told this node of its record.
  void Learn(const store::v1::NameRecord& record, int64_t revision);
  // What has been answered here is seen here from then on: by WhereIs, Record,
  // List and Resolve.
  //
  // The record as last seen, also of a dead owner.
  std::optional<NameRecordView> Record(absl::string_view name) const;
  // Whether the record's owner is a member with that epoch.
  bool IsOwned(const store::v1::NameRecord& record) const;
  // Ends its watches, so that the store can go; the strand is closed.
  void StopWatching();

 private:
  struct Attempt;

  // Those who ask whether one claim stands.
  struct Confirmation {
    std::vector<absl::AnyInvocable<void(absl::Status)>> asking;
    // Came while the store was being asked, whose answer may be older.
    std::vector<absl::AnyInvocable<void(absl::Status)>> next;
  };
  // Name, owner and epoch; of a member no name, and no process.
  using ConfirmKey = std::tuple<std::string, Pid, Epoch>;

  void Confirm(ConfirmKey key, absl::AnyInvocable<void(absl::Status)> done)
      ABSL_LOCKS_EXCLUDED(mu_);
  void AskToConfirm(const ConfirmKey& key) ABSL_LOCKS_EXCLUDED(mu_);
  void Confirmed(const ConfirmKey& key, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Changed(const std::string& key, const KeyValue* now, int64_t revision);
  void Try(std::shared_ptr<Attempt> attempt);
  void Tried(std::shared_ptr<Attempt> attempt,
             absl::StatusOr<TxnResult> result);
  // A lost answer: asks the store by a writing transaction whether the claim
  // is there, until it answers; then it is there or never will be from that
  // try (GroupCommit, "lost answers").
  void Settle(std::shared_ptr<Attempt> attempt, absl::Status lost);
  void AskForClaim(std::shared_ptr<Attempt> attempt);
  void Settled(std::shared_ptr<Attempt> attempt,
               absl::StatusOr<TxnResult> result);
  void Succeed(std::shared_ptr<Attempt> attempt, int64_t revision);
  // For the journal; the epoch after it is the revision of the event.
  StoreOp ClaimEvent(const Claim& claim, const KnownName* before) const;
  StoreOp ReleaseEvent(const NameEntry& entry, absl::string_view child) const;
  // A claim of what `record` says, or of nothing: what it waits for.
  ClaimGate GateOf(const store::v1::NameRecord* record) const;
  // Free only once its owner's epoch is dead (guarantees R1, R3, R19).
  void CompareDead(const store::v1::NameRecord& record, const ClaimGate& gate,
                   Txn* txn) const;
  void BeginRelease(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);
  void EndRelease(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);
  bool IsReleasing(absl::string_view name) const ABSL_LOCKS_EXCLUDED(mu_);
  // Deletes the record as it is known. Asked again when the answer is lost: as
  // long as the record is that one it has not been deleted.
  void Delete(std::shared_ptr<const KnownName> known, int tries,
              absl::AnyInvocable<void(absl::Status)> done);
  struct Retaking;
  void Retake(std::shared_ptr<Retaking> retaking);
  void Retook(std::shared_ptr<Retaking> retaking,
              absl::StatusOr<TxnResult> result);
  // A registration under way has ended: the unregistrations that came
  // meanwhile go on.
  void Registered(const std::string& name);
  // Releases the name of a process that has ended, however long it takes.
  void Free(const std::string& name, const std::string& instance);
  // Adopts a record. `untold`: it was read or written outside of the watch.
  void Note(const KeyValue& item, bool untold);
  // After each list: what was adopted outside of the watch and had gone before
  // the watch could tell, goes here too.
  void Reconcile();
  // The same of a read at `revision` of one name: a record, or none.
  void NoteRead(absl::string_view name, const std::vector<KeyValue>& read,
                int64_t revision);
  bool IsOwned(const KnownName& known) const;
  NameEntry ToEntry(const KnownName& known) const;

  const Membership* const membership_;
  Store* const store_;
  Strand* const strand_;
  Clock* const clock_;
  RandomSource* const random_;
  Logger* const logger_;
  Runtime* const runtime_;
  const std::function<void(const std::string& name)> on_change_;
  std::unique_ptr<Replica> replica_;  // On the strand.
  std::function<void()> synced_;      // On the strand.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  NameTable table_;
  GroupCommit commits_;

  mutable Mutex mu_;
  // Names adopted outside of the watch since the last whole list, with their
  // revisions.
  absl::flat_hash_map<std::string, int64_t> untold_ ABSL_GUARDED_BY(mu_);
  // Registrations under way, and what waits for them: the record may be there
  // already, and the answer be lost.
  struct Registering {
    int count = 0;
    std::vector<absl::AnyInvocable<void(absl::Status)>> unregister;
  };
  absl::flat_hash_map<std::string, Registering> registering_
      ABSL_GUARDED_BY(mu_);
  // How many are at freeing a name that this node has. Until they are through,
  // what is known of it here says nothing: the store may have freed it already,
  // and given it to another (guarantees G4).
  absl::flat_hash_map<std::string, int> releasing_ ABSL_GUARDED_BY(mu_);
  // One transaction at a time for each claim.
  std::map<ConfirmKey, Confirmation> confirming_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_REGISTRY_GLOBAL_REGISTRY_H_
