#include "cluster/registry/global_registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/store/event.h"
#include "node/base/planted.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

using Op = Compare::Op;

constexpr uint32_t kSchema = 1;
constexpr absl::Duration kTxnTimeout = absl::Seconds(1);
constexpr int kTriesMax = 5;
// How soon a claim is tried again after a grave that was not known here.
constexpr absl::Duration kGraveRetry = absl::Milliseconds(50);
// How often a delete whose answer was lost is asked again.
constexpr int kDeleteTriesMax = 3;
// And a question for what stands.
constexpr int kConfirmTriesMax = 3;
// How soon the store is asked again for what must be done however long that
// takes.
constexpr absl::Duration kFreeRetry = absl::Milliseconds(500);
// How soon a claim looks again whether its node has given the name up.
constexpr absl::Duration kReleaseRetry = absl::Milliseconds(20);

Error NoName(absl::string_view name) {
  return Error(absl::StatusCode::kNotFound, "NOPROC",
               absl::StrCat("no process is registered as ", LogSafe(name),
                            ": `muster name list` shows the names in use"))
      .With("name", LogSafe(name))
      .NotExecuted();
}

// Commits what may be committed twice; again, `tries` times in all, if the
// answer is lost. Not once `alive` has expired.
void CommitAgain(Store* store, std::weak_ptr<bool> alive, Txn txn, int tries,
                 Store::Done<TxnResult> done) {
  Txn same = txn;
  store->Commit(
      std::move(txn), kTxnTimeout,
      [store, alive, same = std::move(same), tries,
       done = std::move(done)](absl::StatusOr<TxnResult> result) mutable {
        if (alive.expired()) return;
        const bool lost =
            !result.ok() && OutcomeOf(result.status()) == Outcome::kUnknown;
        if (lost && tries > 1) {
          CommitAgain(store, std::move(alive), std::move(same), tries - 1,
                      std::move(done));
          return;
        }
        done(std::move(result));
      });
}

}  // namespace

// One claim or renewal under way.
struct GlobalRegistry::Attempt {
  Claim claim;
  std::string instance;
  std::string value;
  // The record that this try replaces; 0: it must be absent.
  int64_t seen = 0;
  // The grave of its owner that this try compares, or nothing.
  std::optional<int64_t> grave;
  int tries = 0;
  // Empty once the claim has been reported as UNKNOWN: nobody wants it then.
  absl::AnyInvocable<void(absl::StatusOr<Claimed>)> done;
};

GlobalRegistry::GlobalRegistry(
    const Membership* membership, Store* store, Strand* strand, Clock* clock,
    RandomSource* random, Logger* logger, Runtime* runtime,
    std::function<void(const std::string& name)> on_change)
    : membership_(membership),
      store_(store),
      strand_(strand),
      clock_(clock),
      random_(random),
      logger_(logger),
      runtime_(runtime),
      on_change_(std::move(on_change)),
      commits_(
          store, clock, [membership] { return membership->OwnEpoch(); },
          membership->keys().Barrier(membership->node())) {}

GlobalRegistry::~GlobalRegistry() = default;

void GlobalRegistry::Start(std::function<void()> synced) {
  synced_ = std::move(synced);
  ReplicaHandler handler;
  handler.on_change = [this](const std::string& key, const KeyValue* now,
                             int64_t revision) { Changed(key, now, revision); };
  handler.on_synced = [this] {
    Reconcile();
    if (auto synced = std::exchange(synced_, nullptr)) synced();
  };
  handler.on_gap = [] {};
  replica_ = std::make_unique<Replica>(
      store_, strand_, clock_, random_, logger_,
      membership_->keys().NamePrefix(), std::move(handler));
  replica_->Start();
}

void GlobalRegistry::Reconcile() {
  const int64_t listed = replica_->listed_revision();
  std::vector<std::string> settled;
  {
    MutexLock lock(&mu_);
    absl::erase_if(untold_, [&](const auto& untold) {
      if (untold.second > listed) return false;
      settled.push_back(untold.first);
      return true;
    });
  }
  for (const std::string& name : settled) {
    // The watch told neither of it nor of its end.
    if (!replica_->items().contains(membership_->keys().Name(name)) &&
        table_.Remove(name, listed)) {
      on_change_(name);
    }
  }
  table_.Listed(listed);
}

void GlobalRegistry::Changed(const std::string& key, const KeyValue* now,
                             int64_t revision) {
  absl::StatusOr<Keys::Parsed> parsed = membership_->keys().Parse(key);
  if (!parsed.ok()) return;
  if (now != nullptr) {
    Note(*now, /*untold=*/false);
  } else {
    table_.Remove(parsed->id, revision);
  }
  on_change_(parsed->id);
}

void GlobalRegistry::Note(const KeyValue& item, bool untold) {
  absl::StatusOr<Keys::Parsed> parsed = membership_->keys().Parse(item.key);
  if (!parsed.ok()) return;
  auto known = std::make_shared<KnownName>();
  NameRecordView& view = known->view;
  view.mod_revision = item.mod_revision;
  if (!view.record.ParseFromString(item.value)) {
    logger_->Error(absl::StrCat("the record ", LogSafe(item.key),
                                " cannot be parsed; it is left alone"));
    return;
  }
  const uint64_t generation = membership_->generation();
  NameEntry& entry = known->entry;
  entry.name = std::move(parsed->id);
  entry.pid.node = view.record.owner();
  entry.pid.epoch = Epoch{generation, view.record.owner_revision()};
  entry.pid.number = view.record.process();
  entry.epoch = Epoch{generation, static_cast<uint64_t>(view.mod_revision)};
  entry.type = view.record.type();
  entry.service = membership_->ServiceOf(entry.pid.node, entry.type);
  entry.supervisor = view.record.supervisor();
  if (untold) {
    MutexLock lock(&mu_);
    untold_[entry.name] = item.mod_revision;
  }
  table_.Put(std::move(known));
}

void GlobalRegistry::NoteRead(absl::string_view name,
                              const std::vector<KeyValue>& read,
                              int64_t revision) {
  if (read.empty()) {
    table_.Remove(name, revision);
  } else {
    Note(read[0], /*untold=*/true);
  }
}

NameEntry GlobalRegistry::ToEntry(const KnownName& known) const {
  NameEntry entry = known.entry;
  if (entry.service.empty() && !entry.type.empty()) {
    entry.service = membership_->ServiceOf(entry.pid.node, entry.type);
  }
  return entry;
}

bool GlobalRegistry::IsOwned(const store::v1::NameRecord& record) const {
  return membership_->IsCurrent(record.owner(),
                                static_cast<int64_t>(record.owner_revision()));
}

bool GlobalRegistry::IsOwned(const KnownName& known) const {
  // Read before the list of members: a change meanwhile has another version.
  const uint64_t version = membership_->version();
  // Relaxed: the number says all; nothing else is read by it.
  if (known.owned_at.load(std::memory_order_relaxed) == version) return true;
  if (!IsOwned(known.view.record)) return false;
  known.owned_at.store(version, std::memory_order_relaxed);
  return true;
}

// -- Looking up --------------------------------------------------------------

std::optional<NameRecordView> GlobalRegistry::Record(
    absl::string_view name) const {
  const auto known = table_.Find(name);
  if (known == nullptr) return std::nullopt;
  return known->view;
}

std::optional<NameEntry> GlobalRegistry::WhereIs(absl::string_view name) const {
  const auto known = table_.Find(name);
  if (known == nullptr) return std::nullopt;
  // Without a supervisor a name ends with its owner; with one it is about to
  // move.
  if (known->entry.supervisor.empty() && !IsOwned(*known)) {
    return std::nullopt;
  }
  return ToEntry(*known);
}

void GlobalRegistry::Resolve(
    absl::string_view name, Epoch above,
    absl::AnyInvocable<void(absl::StatusOr<NameEntry>)> done) {
  if (absl::Status valid = ValidateName(name); !valid.ok()) {
    done(std::move(valid));
    return;
  }
  std::optional<NameEntry> known = WhereIs(name);
  if (known.has_value() && known->epoch > above) {
    done(*std::move(known));
    return;
  }
  const std::string key = membership_->keys().Name(name);
  Txn txn;
  txn.then.push_back(StoreOp::Get(key));
  std::weak_ptr<bool> alive = alive_;
  store_->Commit(
      std::move(txn), kTxnTimeout,
      [this, alive, name = std::string(name), above,
       done = std::move(done)](absl::StatusOr<TxnResult> result) mutable {
        if (alive.expired()) return;
        if (!result.ok()) {
          done(Error(absl::StatusCode::kUnavailable, "STORE_UNREACHABLE",
                     absl::StrCat("'", name,
                                  "' is not known here and the store cannot "
                                  "be asked: ",
                                  result.status().message()))
                   .NotExecuted());
          return;
        }
        if (!result->gets.empty()) {
          NoteRead(name, result->gets[0], result->revision);
        }
        std::optional<NameEntry> entry = WhereIs(name);
        if (entry.has_value() && entry->epoch > above) {
          done(*std::move(entry));
        } else {
          done(NoName(name));
        }
      });
}

Epoch GlobalRegistry::Seen(absl::string_view name) const {
  const std::shared_ptr<const KnownName> known = table_.Find(name);
  if (known == nullptr) return Epoch();
  return Epoch{membership_->generation(),
               static_cast<uint64_t>(known->view.mod_revision)};
}

// -- Confirming --------------------------------------------------------------

void GlobalRegistry::Confirm(absl::string_view name, const Pid& owner,
                             Epoch epoch,
                             absl::AnyInvocable<void(absl::Status)> done) {
  Confirm(ConfirmKey(std::string(name), owner, epoch), std::move(done));
}

void GlobalRegistry::ConfirmMember(
    const Pid& owner, absl::AnyInvocable<void(absl::Status)> done) {
  Pid node = owner;
  node.number = 0;
  Confirm(ConfirmKey("", node, node.epoch), std::move(done));
}

void GlobalRegistry::Confirm(ConfirmKey key,
                             absl::AnyInvocable<void(absl::Status)> done) {
  {
    MutexLock lock(&mu_);
    Confirmation& confirmation = confirming_[key];
    if (!confirmation.asking.empty()) {
      confirmation.next.push_back(std::move(done));
      return;
    }
    confirmation.asking.push_back(std::move(done));
  }
  AskToConfirm(key);
}

void GlobalRegistry::AskToConfirm(const ConfirmKey& key) {
  const auto& [name, owner, epoch] = key;
  if (epoch.generation != membership_->generation() ||
      (!name.empty() && Seen(name) > epoch)) {
    Confirmed(key, Error(absl::StatusCode::kAborted, "FENCED",
                         absl::StrCat(LogSafe(name), " has moved")));
    return;
  }
  const Keys& keys = membership_->keys();
  Txn txn;
  if (!name.empty()) {
    txn.compares.push_back(Compare::ModRevision(
        keys.Name(name), Op::kEqual, static_cast<int64_t>(epoch.revision)));
  }
  txn.compares.push_back(
      Compare::CreateRevision(keys.Node(owner.node), Op::kEqual,
                              static_cast<int64_t>(owner.epoch.revision)));
  // Either way it writes, or a stale member might answer (guarantees E13).
  const StoreOp probe = StoreOp::Put(
      absl::StrCat(keys.Root(), "probe/", EscapeKeyPart(membership_->node())),
      epoch.ToString());
  txn.then.push_back(probe);
  txn.otherwise.push_back(probe);
  CommitAgain(store_, alive_, std::move(txn), kConfirmTriesMax,
              [this, key](absl::StatusOr<TxnResult> result) {
                if (result.ok() && !result->succeeded) {
                  Confirmed(key, Error(absl::StatusCode::kAborted, "FENCED",
                                       "the owner of the name has changed"));
                } else {
                  Confirmed(key, result.status());
                }
              });
}

void GlobalRegistry::Confirmed(const ConfirmKey& key,
                               const absl::Status& status) {
  std::vector<absl::AnyInvocable<void(absl::Status)>> asked;
  bool again = false;
  {
    MutexLock lock(&mu_);
    const auto at = confirming_.find(key);
    asked.swap(at->second.asking);
    at->second.asking.swap(at->second.next);
    again = !at->second.asking.empty();
    if (!again) confirming_.erase(at);
  }
  for (auto& done : asked) done(status);
  if (again) AskToConfirm(key);
}

std::vector<NameEntry> GlobalRegistry::List(absl::string_view prefix) const {
  std::vector<NameEntry> list;
  for (const auto& known : table_.List(prefix)) {
    if (!known->entry.supervisor.empty() || IsOwned(*known)) {
      list.push_back(ToEntry(*known));
    }
  }
  return list;
}

// -- Claiming ----------------------------------------------------------------

void GlobalRegistry::Take(
    Claim claim, absl::AnyInvocable<void(absl::StatusOr<Claimed>)> done) {
  if (absl::Status valid = ValidateName(claim.name); !valid.ok()) {
    done(std::move(valid));
    return;
  }
  auto attempt = std::make_shared<Attempt>();
  attempt->claim = std::move(claim);
  attempt->done = std::move(done);
  attempt->instance = random_->Hex(16);
  store::v1::NameRecord record;
  record.set_schema(kSchema);
  record.set_name(attempt->claim.name);
  record.set_owner(membership_->node());
  record.set_owner_revision(static_cast<uint64_t>(membership_->own_revision()));
  record.set_instance(attempt->instance);
  record.set_process(attempt->claim.process);
  record.set_type(attempt->claim.type);
  record.set_supervisor(attempt->claim.supervisor);
  record.set_child(attempt->claim.child);
  attempt->value = record.SerializeAsString();
  Try(std::move(attempt));
}

StoreOp GlobalRegistry::ClaimEvent(const Claim& claim,
                                   const KnownName* before) const {
  store::v1::EventRecord event;
  event.set_kind("name.claimed");
  event.set_node(membership_->node());
  event.set_name(claim.name);
  event.set_supervisor(claim.supervisor);
  event.set_child(claim.child);
  event.set_to_node(membership_->node());
  if (before != nullptr) {
    const NameEntry& entry = before->entry;
    if (entry.pid.node != membership_->node()) event.set_kind("name.moved");
    event.set_from_node(entry.pid.node);
    event.mutable_old_epoch()->set_generation(entry.epoch.generation);
    event.mutable_old_epoch()->set_revision(entry.epoch.revision);
  }
  return PutEvent(membership_->keys(), membership_->node(), std::move(event),
                  clock_->Wall(), random_->Hex(8));
}

StoreOp GlobalRegistry::ReleaseEvent(const NameEntry& entry,
                                     absl::string_view child) const {
  store::v1::EventRecord event;
  event.set_kind("name.released");
  event.set_node(membership_->node());
  event.set_name(entry.name);
  event.set_supervisor(entry.supervisor);
  event.set_child(std::string(child));
  event.set_from_node(entry.pid.node);
  event.mutable_old_epoch()->set_generation(entry.epoch.generation);
  event.mutable_old_epoch()->set_revision(entry.epoch.revision);
  return PutEvent(membership_->keys(), membership_->node(), std::move(event),
                  clock_->Wall(), random_->Hex(8));
}

ClaimGate GlobalRegistry::GateOf(const store::v1::NameRecord* record) const {
  if (record == nullptr) return membership_->MayClaimFrom("", 0);
  if (record->owner() == membership_->node() &&
      record->owner_revision() ==
          static_cast<uint64_t>(membership_->own_revision())) {
    return ClaimGate();
  }
  return membership_->MayClaimFrom(
      record->owner(), static_cast<int64_t>(record->owner_revision()));
}

void GlobalRegistry::CompareDead(const store::v1::NameRecord& record,
                                 const ClaimGate& gate, Txn* txn) const {
  const Keys& keys = membership_->keys();
  txn->compares.push_back(
      Compare::CreateRevision(keys.Node(record.owner()), Op::kNotEqual,
                              static_cast<int64_t>(record.owner_revision())));
  if (gate.grave_revision.has_value()) {
    txn->compares.push_back(Compare::ModRevision(
        keys.Grave(record.owner()), Op::kEqual, *gate.grave_revision));
  }
}

void GlobalRegistry::Try(std::shared_ptr<Attempt> attempt) {
  ++attempt->tries;
  const Keys& keys = membership_->keys();
  const Claim& claim = attempt->claim;
  const std::string key = keys.Name(claim.name);
  const std::shared_ptr<const KnownName> known = table_.Find(claim.name);

  // The group that it goes with compares the own epoch.
  Txn txn;
  ClaimGate gate;
  // With consent its living owner gives it away (guarantees R3).
  if (claim.consent_revision == 0) {
    gate = GateOf(known == nullptr ? nullptr : &known->view.record);
  }
  if (clock_->Boot() < gate.not_before) {
    // Its owner was reaped and may be alive (guarantees R19).
    --attempt->tries;
    std::weak_ptr<bool> alive = alive_;
    strand_->At(gate.not_before, [this, alive, attempt] {
      if (!alive.expired()) Try(attempt);
    });
    return;
  }
  attempt->grave = gate.grave_revision;
  if (claim.consent_revision != 0) {
    attempt->seen = claim.consent_revision;
    txn.compares.push_back(
        Compare::ModRevision(key, Op::kEqual, claim.consent_revision));
  } else if (known != nullptr) {
    const store::v1::NameRecord& record = known->view.record;
    attempt->seen = known->view.mod_revision;
    txn.compares.push_back(
        Compare::ModRevision(key, Op::kEqual, attempt->seen));
    const bool own = record.owner() == membership_->node() &&
                     record.owner_revision() ==
                         static_cast<uint64_t>(membership_->own_revision());
    if (!own) {
      CompareDead(record, gate, &txn);
    } else if (record.supervisor() != claim.supervisor ||
               record.child() != claim.child || claim.supervisor.empty()) {
      if (!membership_->fence().Check(clock_->Boot())) {
        // It may have been reaped, and then the name is free.
        attempt->done(Error(absl::StatusCode::kUnavailable, "FROZEN",
                            "this node cannot prove now that it owns the name")
                          .NotExecuted());
        return;
      }
      if (IsReleasing(claim.name)) {
        --attempt->tries;
        std::weak_ptr<bool> alive = alive_;
        strand_->At(clock_->Boot() + kReleaseRetry, [this, alive, attempt] {
          if (!alive.expired()) Try(attempt);
        });
        return;
      }
      attempt->done(
          Error(absl::StatusCode::kAlreadyExists, "ALREADY_STARTED",
                absl::StrCat("'", claim.name, "' is already the name of ",
                             known->entry.pid.ToString()))
              .With("pid", known->entry.pid.ToString())
              .With("node", record.owner())
              .NotExecuted());
      return;
    }
  } else {
    attempt->seen = 0;
    txn.compares.push_back(Compare::Absent(key));
  }
  for (const Compare& also : claim.also) txn.compares.push_back(also);
  txn.then.push_back(StoreOp::Put(key, attempt->value));
  if (!claim.supervisor.empty()) {
    txn.then.push_back(ClaimEvent(claim, known.get()));
  }
  for (const StoreOp& op : claim.then) txn.then.push_back(op);
  txn.otherwise.push_back(StoreOp::Get(key));
  if (attempt->grave.has_value()) {
    txn.otherwise.push_back(
        StoreOp::Get(keys.Grave(known->view.record.owner())));
  }
  std::weak_ptr<bool> alive = alive_;
  const bool again = attempt->tries > 1;
  commits_.Commit(
      claim.name, std::move(txn),
      [this, alive, attempt](absl::StatusOr<TxnResult> result) {
        if (!alive.expired()) Tried(attempt, std::move(result));
      },
      again);
}

void GlobalRegistry::Tried(std::shared_ptr<Attempt> attempt,
                           absl::StatusOr<TxnResult> result) {
  const Claim& claim = attempt->claim;
  if (!result.ok()) {
    // Nor was an earlier one, or that would have been found.
    if (OutcomeOf(result.status()) == Outcome::kNotExecuted) {
      attempt->done(result.status());
    } else if (Planted(PlantedBug::kRepeatTransactions) &&
               attempt->tries < kTriesMax) {
      Try(std::move(attempt));
    } else {
      Settle(std::move(attempt), result.status());
    }
    return;
  }
  if (result->succeeded) {
    Succeed(std::move(attempt), result->revision);
    return;
  }
  const std::vector<KeyValue> read =
      result->gets.empty() ? std::vector<KeyValue>() : result->gets[0];
  NoteRead(claim.name, read, result->revision);
  if (claim.consent_revision != 0) {
    attempt->done(
        Error(absl::StatusCode::kAborted, "FENCED",
              absl::StrCat("the claim of '", claim.name,
                           "' was refused: its owner has taken it back, or "
                           "whoever ordered it has changed meanwhile"))
            .NotExecuted());
    return;
  }
  const std::shared_ptr<const KnownName> known = table_.Find(claim.name);
  const int64_t now_revision = known != nullptr ? known->view.mod_revision : 0;
  if (now_revision != attempt->seen && attempt->tries < kTriesMax) {
    // Our copy was old, or the watch has told of a change while this answer
    // was on its way: decide anew.
    Try(std::move(attempt));
    return;
  }
  const int64_t grave_revision =
      result->gets.size() < 2 || result->gets[1].empty()
          ? 0
          : result->gets[1][0].mod_revision;
  if (attempt->grave.has_value() && *attempt->grave != grave_revision &&
      attempt->tries < kTriesMax) {
    // The watch of graves will tell in a moment.
    std::weak_ptr<bool> alive = alive_;
    strand_->At(clock_->Boot() + kGraveRetry, [this, alive, attempt] {
      if (!alive.expired()) Try(attempt);
    });
    return;
  }
  if (known != nullptr && known->entry.pid.node != membership_->node() &&
      IsOwned(*known)) {
    const NameEntry& holder = known->entry;
    attempt->done(
        Error(absl::StatusCode::kAlreadyExists, "ALREADY_STARTED",
              absl::StrCat("'", claim.name, "' is already the name of ",
                           holder.pid.ToString(), " on node '", holder.pid.node,
                           "'"))
            .With("pid", holder.pid.ToString())
            .With("node", holder.pid.node)
            .NotExecuted());
    return;
  }
  attempt->done(
      Error(absl::StatusCode::kAborted, "FENCED",
            absl::StrCat("the claim of '", claim.name,
                         "' was refused: whoever ordered it, or its owner, "
                         "has changed meanwhile"))
          .NotExecuted());
}

void GlobalRegistry::Settle(std::shared_ptr<Attempt> attempt,
                            absl::Status lost) {
  if (++attempt->tries <= 2 * kTriesMax) {
    AskForClaim(std::move(attempt));
    return;
  }
  // From now on for nobody: if it is there, it is freed.
  if (auto done = std::exchange(attempt->done, nullptr)) {
    done(Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
               absl::StrCat("the store did not say whether '",
                            attempt->claim.name,
                            "' was claimed: ", lost.message()))
             .With("instance", attempt->instance)
             .Unknown());
  }
  std::weak_ptr<bool> alive = alive_;
  strand_->At(clock_->Boot() + kFreeRetry, [this, alive, attempt] {
    if (!alive.expired()) AskForClaim(attempt);
  });
}

void GlobalRegistry::AskForClaim(std::shared_ptr<Attempt> attempt) {
  const std::string key = membership_->keys().Name(attempt->claim.name);
  Txn txn;
  txn.compares.push_back(Compare::Value(key, Op::kEqual, attempt->value));
  // Writes nothing, lest it give the claim another epoch. The group around it
  // is what makes the answer a decision and not a read.
  txn.then.push_back(StoreOp::Get(key));
  txn.otherwise.push_back(StoreOp::Get(key));
  std::weak_ptr<bool> alive = alive_;
  commits_.Commit(
      attempt->claim.name, std::move(txn),
      [this, alive, attempt](absl::StatusOr<TxnResult> result) {
        if (!alive.expired()) Settled(attempt, std::move(result));
      },
      /*again=*/true);
}

void GlobalRegistry::Settled(std::shared_ptr<Attempt> attempt,
                             absl::StatusOr<TxnResult> result) {
  const std::string& name = attempt->claim.name;
  if (!result.ok()) {
    if (ReasonOf(result.status()) != "FENCED") {
      Settle(std::move(attempt), result.status());
    } else if (attempt->done) {
      attempt->done(
          Error(absl::StatusCode::kAborted, "FENCED",
                absl::StrCat("this node's epoch has ended before the store "
                             "said whether '",
                             name, "' was claimed"))
              .With("instance", attempt->instance)
              .Unknown());
    }
    return;
  }
  const bool read = !result->gets.empty();
  if (read) NoteRead(name, result->gets[0], result->revision);
  if (!result->succeeded || !read || result->gets[0].empty()) {
    // It is not there and never will be from that try.
    if (attempt->done) Try(std::move(attempt));
  } else if (attempt->done) {
    Succeed(std::move(attempt), result->gets[0][0].mod_revision);
  } else {
    Free(name, attempt->instance);
  }
}

void GlobalRegistry::Succeed(std::shared_ptr<Attempt> attempt,
                             int64_t revision) {
  KeyValue item;
  item.key = membership_->keys().Name(attempt->claim.name);
  item.value = attempt->value;
  item.mod_revision = revision;
  Note(item, /*untold=*/true);
  Claimed claimed;
  claimed.epoch =
      Epoch{membership_->generation(), static_cast<uint64_t>(revision)};
  claimed.instance = attempt->instance;
  attempt->done(std::move(claimed));
}

// -- Moving ------------------------------------------------------------------

struct GlobalRegistry::Retaking {
  store::v1::NameRecord mine;
  std::string value;
  // Instance of the claim that failed; empty: of none.
  std::string failed;
  // Not 0: that of the record that is replaced: this one, or the failed one's.
  int64_t replaces = 0;
  absl::AnyInvocable<void(absl::StatusOr<Epoch>)> done;
};

void GlobalRegistry::Learn(const store::v1::NameRecord& record,
                           int64_t revision) {
  KeyValue item;
  item.key = membership_->keys().Name(record.name());
  item.value = record.SerializeAsString();
  item.mod_revision = revision;
  Note(item, /*untold=*/true);
}

void GlobalRegistry::TakeBack(
    store::v1::NameRecord mine, std::string failed,
    absl::AnyInvocable<void(absl::StatusOr<Epoch>)> done) {
  auto retaking = std::make_shared<Retaking>();
  retaking->value = mine.SerializeAsString();
  retaking->mine = std::move(mine);
  retaking->failed = std::move(failed);
  retaking->done = std::move(done);
  Retake(std::move(retaking));
}

void GlobalRegistry::Retake(std::shared_ptr<Retaking> retaking) {
  const std::string key = membership_->keys().Name(retaking->mine.name());
  Txn txn;
  txn.compares.push_back(
      retaking->replaces == 0
          ? Compare::Value(key, Op::kEqual, retaking->value)
          : Compare::ModRevision(key, Op::kEqual, retaking->replaces));
  txn.then.push_back(StoreOp::Put(key, retaking->value));
  txn.otherwise.push_back(StoreOp::Get(key));
  std::weak_ptr<bool> alive = alive_;
  commits_.Commit(
      retaking->mine.name(), std::move(txn),
      [this, alive, retaking](absl::StatusOr<TxnResult> result) {
        if (!alive.expired()) Retook(retaking, std::move(result));
      },
      /*again=*/true);
}

void GlobalRegistry::Retook(std::shared_ptr<Retaking> retaking,
                            absl::StatusOr<TxnResult> result) {
  if (!result.ok() && ReasonOf(result.status()) == "FENCED") {
    retaking->done(result.status());
    return;
  }
  if (!result.ok()) {
    // It may have been written; the value that is ours says so next time.
    retaking->replaces = 0;
    std::weak_ptr<bool> alive = alive_;
    strand_->At(clock_->Boot() + kFreeRetry, [this, alive, retaking] {
      if (!alive.expired()) Retake(retaking);
    });
    return;
  }
  if (result->succeeded) {
    Learn(retaking->mine, result->revision);
    retaking->done(Epoch{membership_->generation(),
                         static_cast<uint64_t>(result->revision)});
    return;
  }
  store::v1::NameRecord now;
  if (!result->gets.empty() && !result->gets[0].empty() &&
      now.ParseFromString(result->gets[0][0].value)) {
    Note(result->gets[0][0], /*untold=*/true);
    if (now.SerializeAsString() == retaking->value ||
        (!retaking->failed.empty() && now.instance() == retaking->failed)) {
      retaking->replaces = result->gets[0][0].mod_revision;
      Retake(std::move(retaking));
      return;
    }
  }
  retaking->done(
      Error(absl::StatusCode::kFailedPrecondition, "MOVED",
            absl::StrCat("'", retaking->mine.name(),
                         "' has been claimed by another process meanwhile"))
          .NotExecuted());
}

void GlobalRegistry::Release(absl::string_view name, absl::string_view instance,
                             absl::AnyInvocable<void(absl::Status)> done) {
  std::shared_ptr<const KnownName> known = table_.Find(name);
  if (known == nullptr || known->view.record.instance() != instance) {
    done(absl::OkStatus());
    return;
  }
  BeginRelease(known->entry.name);
  std::weak_ptr<bool> alive = alive_;
  Delete(known, /*tries=*/1,
         [this, alive, name = known->entry.name,
          done = std::move(done)](absl::Status status) mutable {
           // After what `done` does about a failure.
           done(std::move(status));
           if (!alive.expired()) EndRelease(name);
         });
}

void GlobalRegistry::BeginRelease(const std::string& name) {
  MutexLock lock(&mu_);
  ++releasing_[name];
}

void GlobalRegistry::EndRelease(const std::string& name) {
  MutexLock lock(&mu_);
  const auto at = releasing_.find(name);
  if (--at->second == 0) releasing_.erase(at);
}

bool GlobalRegistry::IsReleasing(absl::string_view name) const {
  MutexLock lock(&mu_);
  return releasing_.contains(name);
}

void GlobalRegistry::Delete(std::shared_ptr<const KnownName> known, int tries,
                            absl::AnyInvocable<void(absl::Status)> done) {
  const std::string& name = known->entry.name;
  const std::string key = membership_->keys().Name(name);
  Txn txn;
  txn.compares.push_back(
      Compare::ModRevision(key, Op::kEqual, known->view.mod_revision));
  txn.then.push_back(StoreOp::Delete(key));
  if (!known->entry.supervisor.empty()) {
    txn.then.push_back(ReleaseEvent(known->entry, known->view.record.child()));
  }
  txn.otherwise.push_back(StoreOp::Get(key));
  std::weak_ptr<bool> alive = alive_;
  commits_.Commit(
      name, std::move(txn),
      [this, alive, known, tries,
       done = std::move(done)](absl::StatusOr<TxnResult> result) mutable {
        if (alive.expired()) return;
        const std::string& name = known->entry.name;
        if (!result.ok()) {
          const bool fenced = ReasonOf(result.status()) == "FENCED";
          const bool lost = OutcomeOf(result.status()) == Outcome::kUnknown;
          if (lost && tries < kDeleteTriesMax) {
            Delete(std::move(known), tries + 1, std::move(done));
          } else {
            // A dead epoch owns nothing that it could free.
            done(fenced ? absl::OkStatus() : result.status());
          }
          return;
        }
        if (result->succeeded) {
          table_.Remove(name, result->revision);
        } else if (!result->gets.empty()) {
          NoteRead(name, result->gets[0], result->revision);
        }
        done(absl::OkStatus());
      },
      /*again=*/tries > 1);
}

void GlobalRegistry::ReleaseDead(absl::string_view name,
                                 absl::string_view instance,
                                 std::vector<Compare> also,
                                 absl::AnyInvocable<void(absl::Status)> done) {
  const std::shared_ptr<const KnownName> known = table_.Find(name);
  if (known == nullptr || known->view.record.instance() != instance ||
      IsOwned(*known)) {
    done(absl::OkStatus());
    return;
  }
  const store::v1::NameRecord& record = known->view.record;
  const ClaimGate gate = GateOf(&record);
  std::weak_ptr<bool> alive = alive_;
  if (clock_->Boot() < gate.not_before) {
    strand_->At(gate.not_before,
                [this, alive, name = std::string(name),
                 instance = std::string(instance), also = std::move(also),
                 done = std::move(done)]() mutable {
                  if (alive.expired()) return;
                  ReleaseDead(name, instance, std::move(also), std::move(done));
                });
    return;
  }
  const std::string key = membership_->keys().Name(name);
  Txn txn;
  txn.compares.push_back(
      Compare::ModRevision(key, Op::kEqual, known->view.mod_revision));
  CompareDead(record, gate, &txn);
  for (Compare& compare : also) txn.compares.push_back(std::move(compare));
  txn.then.push_back(StoreOp::Delete(key));
  txn.then.push_back(ReleaseEvent(known->entry, record.child()));
  txn.otherwise.push_back(StoreOp::Get(key));
  commits_.Commit(
      std::string(name), std::move(txn),
      [this, alive, known,
       done = std::move(done)](absl::StatusOr<TxnResult> result) mutable {
        if (alive.expired()) return;
        const std::string& name = known->entry.name;
        if (!result.ok()) {
          done(result.status());
        } else if (result->succeeded) {
          table_.Remove(name, result->revision);
          done(absl::OkStatus());
        } else {
          if (!result->gets.empty()) {
            NoteRead(name, result->gets[0], result->revision);
          }
          done(Error(absl::StatusCode::kAborted, "FENCED",
                     absl::StrCat("'", name,
                                  "' was not freed: its record, its "
                                  "owner or whoever wants it gone has changed "
                                  "meanwhile"))
                   .NotExecuted());
        }
      });
}

// -- Names of processes without a supervisor ---------------------------------

void GlobalRegistry::Register(
    absl::string_view name, const Pid& pid,
    absl::AnyInvocable<void(absl::StatusOr<Epoch>)> done) {
  if (runtime_->Find(pid) == nullptr) {
    done(Error(
             absl::StatusCode::kNotFound, "NOPROC",
             absl::StrCat(pid.ToString(), " is no living process of this node"))
             .NotExecuted());
    return;
  }
  Claim claim;
  claim.name = std::string(name);
  claim.process = pid.number;
  {
    MutexLock lock(&mu_);
    ++registering_[claim.name].count;
  }
  std::weak_ptr<bool> alive = alive_;
  done = [this, alive, name = std::string(name),
          done = std::move(done)](absl::StatusOr<Epoch> result) mutable {
    done(std::move(result));
    if (!alive.expired()) Registered(name);
  };
  Take(std::move(claim),
       [this, alive, pid, name = std::string(name),
        done = std::move(done)](absl::StatusOr<Claimed> claimed) mutable {
         if (!claimed.ok()) {
           done(claimed.status());
           return;
         }
         const absl::Status named =
             runtime_->SetGlobalName(pid, name, claimed->epoch);
         if (!named.ok()) {  // It has ended meanwhile, or has a name.
           Free(name, claimed->instance);
           done(named);
           return;
         }
         runtime_->ObserveExit(
             pid, [this, alive, name,
                   instance = claimed->instance](const ExitReason&) {
               if (!alive.expired()) Free(name, instance);
             });
         done(claimed->epoch);
       });
}

void GlobalRegistry::Registered(const std::string& name) {
  Registering ended;
  {
    MutexLock lock(&mu_);
    const auto at = registering_.find(name);
    if (--at->second.count > 0) return;
    ended = std::move(at->second);
    registering_.erase(at);
  }
  for (auto& done : ended.unregister) Unregister(name, std::move(done));
}

void GlobalRegistry::Free(const std::string& name,
                          const std::string& instance) {
  std::weak_ptr<bool> alive = alive_;
  BeginRelease(name);
  Release(name, instance, [this, alive, name, instance](absl::Status status) {
    if (alive.expired()) return;
    if (status.ok()) {
      EndRelease(name);
      return;
    }
    strand_->At(clock_->Boot() + kFreeRetry, [this, alive, name, instance] {
      if (alive.expired()) return;
      Free(name, instance);
      EndRelease(name);
    });
  });
}

void GlobalRegistry::Unregister(absl::string_view name,
                                absl::AnyInvocable<void(absl::Status)> done) {
  const std::shared_ptr<const KnownName> known = table_.Find(name);
  const bool own = known != nullptr &&
                   known->entry.pid.node == membership_->node() &&
                   known->entry.supervisor.empty();
  if (!own || runtime_->WhereIsGlobal(name) != known->entry.pid) {
    // Not before: a claim that is settled finds its record, or is made again.
    // Whoever is served has been registered, and waits for no other's claim.
    MutexLock lock(&mu_);
    const auto at = registering_.find(name);
    if (at != registering_.end()) {
      at->second.unregister.push_back(std::move(done));
      return;
    }
  }
  if (!own) {
    done(Error(absl::StatusCode::kNotFound, "NOPROC",
               absl::StrCat(LogSafe(name),
                            " is not registered by a process of this node"))
             .NotExecuted());
    return;
  }
  // First it is not served any more (guarantees G1), then it is free.
  runtime_->ClearGlobalName(name);
  std::weak_ptr<bool> alive = alive_;
  Release(name, known->view.record.instance(),
          [this, alive, entry = ToEntry(*known),
           instance = known->view.record.instance(),
           done = std::move(done)](absl::Status status) mutable {
            if (alive.expired()) return;
            // A record whose name nobody serves must not stay: the name is its
            // process's again, or it is freed however long that takes.
            if (!status.ok() &&
                (OutcomeOf(status) != Outcome::kNotExecuted ||
                 !runtime_->SetGlobalName(entry.pid, entry.name, entry.epoch)
                      .ok())) {
              Free(entry.name, instance);
            }
            done(std::move(status));
          });
}

void GlobalRegistry::StopWatching() { replica_.reset(); }

}  // namespace muster
