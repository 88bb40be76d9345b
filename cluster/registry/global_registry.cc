#include "cluster/registry/global_registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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
// How soon a name is freed again if the store did not answer.
constexpr absl::Duration kFreeRetry = absl::Milliseconds(500);

Error NoName(absl::string_view name) {
  return Error(absl::StatusCode::kNotFound, "NOPROC",
               absl::StrCat("no process is registered as ", LogSafe(name),
                            ": `muster name list` shows the names in use"))
      .With("name", LogSafe(name))
      .NotExecuted();
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
      on_change_(std::move(on_change)) {}

GlobalRegistry::~GlobalRegistry() = default;

void GlobalRegistry::Start(std::function<void()> synced) {
  synced_ = std::move(synced);
  ReplicaHandler handler;
  handler.on_change = [this](const std::string& key, const KeyValue* now,
                             int64_t revision) { Changed(key, now, revision); };
  handler.on_synced = [this] {
    if (auto synced = std::exchange(synced_, nullptr)) synced();
  };
  handler.on_gap = [] {};
  replica_ = std::make_unique<Replica>(
      store_, strand_, clock_, random_, logger_,
      membership_->keys().NamePrefix(), std::move(handler));
  replica_->Start();
}

void GlobalRegistry::Changed(const std::string& key, const KeyValue* now,
                             int64_t revision) {
  absl::StatusOr<Keys::Parsed> parsed = membership_->keys().Parse(key);
  if (!parsed.ok()) return;
  if (now != nullptr) {
    Note(*now);
  } else {
    MutexLock lock(&mu_);
    int64_t& floor = floor_[parsed->id];
    if (revision < floor) return;
    floor = revision;
    names_.erase(parsed->id);
  }
  on_change_(parsed->id);
}

void GlobalRegistry::Note(const KeyValue& item) {
  absl::StatusOr<Keys::Parsed> parsed = membership_->keys().Parse(item.key);
  if (!parsed.ok()) return;
  NameRecordView view;
  view.mod_revision = item.mod_revision;
  if (!view.record.ParseFromString(item.value)) {
    logger_->Error(absl::StrCat("the record ", LogSafe(item.key),
                                " cannot be parsed; it is left alone"));
    return;
  }
  MutexLock lock(&mu_);
  int64_t& floor = floor_[parsed->id];
  if (item.mod_revision < floor) return;
  floor = item.mod_revision;
  names_[parsed->id] = std::move(view);
}

NameEntry GlobalRegistry::ToEntry(const NameRecordView& view) const {
  const uint64_t generation = membership_->generation();
  NameEntry entry;
  entry.name = view.record.name();
  entry.pid.node = view.record.owner();
  entry.pid.epoch = Epoch{generation, view.record.owner_revision()};
  entry.pid.number = view.record.process();
  entry.epoch = Epoch{generation, static_cast<uint64_t>(view.mod_revision)};
  entry.type = view.record.type();
  entry.service = membership_->ServiceOf(entry.pid.node, entry.type);
  entry.supervisor = view.record.supervisor();
  return entry;
}

bool GlobalRegistry::IsOwned(const store::v1::NameRecord& record) const {
  return membership_->IsCurrent(record.owner(),
                                static_cast<int64_t>(record.owner_revision()));
}

// -- Looking up --------------------------------------------------------------

std::optional<NameRecordView> GlobalRegistry::Record(
    absl::string_view name) const {
  MutexLock lock(&mu_);
  const auto at = names_.find(name);
  if (at == names_.end()) return std::nullopt;
  return at->second;
}

std::optional<NameEntry> GlobalRegistry::WhereIs(absl::string_view name) const {
  const std::optional<NameRecordView> view = Record(name);
  if (!view.has_value()) return std::nullopt;
  // Without a supervisor a name ends with its owner; with one it is about to
  // move.
  if (view->record.supervisor().empty() && !IsOwned(view->record)) {
    return std::nullopt;
  }
  return ToEntry(*view);
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
        if (!result->gets.empty() && !result->gets[0].empty()) {
          Note(result->gets[0][0]);
        }
        std::optional<NameEntry> entry = WhereIs(name);
        if (entry.has_value() && entry->epoch > above) {
          done(*std::move(entry));
        } else {
          done(NoName(name));
        }
      });
}

std::vector<NameEntry> GlobalRegistry::List(absl::string_view prefix) const {
  std::vector<NameRecordView> views;
  {
    MutexLock lock(&mu_);
    for (auto at = names_.lower_bound(prefix);
         at != names_.end() && absl::StartsWith(at->first, prefix); ++at) {
      views.push_back(at->second);
    }
  }
  std::vector<NameEntry> list;
  for (const NameRecordView& view : views) {
    if (IsOwned(view.record) || !view.record.supervisor().empty()) {
      list.push_back(ToEntry(view));
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

void GlobalRegistry::Try(std::shared_ptr<Attempt> attempt) {
  ++attempt->tries;
  const Keys& keys = membership_->keys();
  const Claim& claim = attempt->claim;
  const std::string key = keys.Name(claim.name);
  const std::optional<NameRecordView> view = Record(claim.name);

  Txn txn;
  txn.compares.push_back(membership_->OwnEpoch());
  ClaimGate gate;
  if (!view.has_value()) {
    gate = membership_->MayClaimFrom("", 0);
  } else if (view->record.owner() != membership_->node() ||
             view->record.owner_revision() !=
                 static_cast<uint64_t>(membership_->own_revision())) {
    gate = membership_->MayClaimFrom(
        view->record.owner(),
        static_cast<int64_t>(view->record.owner_revision()));
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
  if (view.has_value()) {
    const store::v1::NameRecord& record = view->record;
    attempt->seen = view->mod_revision;
    txn.compares.push_back(
        Compare::ModRevision(key, Op::kEqual, view->mod_revision));
    const bool own = record.owner() == membership_->node() &&
                     record.owner_revision() ==
                         static_cast<uint64_t>(membership_->own_revision());
    if (!own) {
      // Free only once its owner's epoch is dead (guarantees R1, R3).
      txn.compares.push_back(Compare::CreateRevision(
          keys.Node(record.owner()), Op::kNotEqual,
          static_cast<int64_t>(record.owner_revision())));
      if (gate.grave_revision.has_value()) {
        txn.compares.push_back(Compare::ModRevision(
            keys.Grave(record.owner()), Op::kEqual, *gate.grave_revision));
      }
    } else if (record.supervisor() != claim.supervisor ||
               record.child() != claim.child || claim.supervisor.empty()) {
      attempt->done(
          Error(absl::StatusCode::kAlreadyExists, "ALREADY_STARTED",
                absl::StrCat("'", claim.name, "' is already the name of ",
                             ToEntry(*view).pid.ToString()))
              .With("pid", ToEntry(*view).pid.ToString())
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
  txn.otherwise.push_back(StoreOp::Get(key));
  txn.otherwise.push_back(StoreOp::Get(keys.Node(membership_->node())));
  txn.otherwise.push_back(
      StoreOp::Get(keys.Grave(view.has_value() ? view->record.owner() : "")));
  std::weak_ptr<bool> alive = alive_;
  store_->Commit(std::move(txn), kTxnTimeout,
                 [this, alive, attempt](absl::StatusOr<TxnResult> result) {
                   if (!alive.expired()) Tried(attempt, std::move(result));
                 });
}

void GlobalRegistry::Tried(std::shared_ptr<Attempt> attempt,
                           absl::StatusOr<TxnResult> result) {
  const Claim& claim = attempt->claim;
  if (!result.ok()) {
    if (OutcomeOf(result.status()) == Outcome::kNotExecuted) {
      attempt->done(result.status());
    } else {
      Settle(std::move(attempt), result.status());
    }
    return;
  }
  if (result->succeeded) {
    Succeed(std::move(attempt), result->revision);
    return;
  }
  if (result->gets.size() != 3 || result->gets[1].empty() ||
      result->gets[1][0].create_revision != membership_->own_revision()) {
    attempt->done(Error(absl::StatusCode::kAborted, "FENCED",
                        "this node's epoch has ended: it owns nothing")
                      .NotExecuted());
    return;
  }
  const int64_t now_revision =
      result->gets[0].empty() ? 0 : result->gets[0][0].mod_revision;
  if (now_revision != attempt->seen && attempt->tries < kTriesMax) {
    // Our copy was old: learn, and decide anew.
    if (now_revision != 0) {
      Note(result->gets[0][0]);
    } else {
      MutexLock lock(&mu_);
      int64_t& floor = floor_[claim.name];
      floor = std::max(floor, attempt->seen + 1);
      names_.erase(claim.name);
    }
    Try(std::move(attempt));
    return;
  }
  const std::optional<NameRecordView> view = Record(claim.name);
  const int64_t known = view.has_value() ? view->mod_revision : 0;
  if (known != attempt->seen && attempt->tries < kTriesMax) {
    // The watch has told of a change while this answer was on its way.
    Try(std::move(attempt));
    return;
  }
  const int64_t grave_revision =
      result->gets[2].empty() ? 0 : result->gets[2][0].mod_revision;
  if (attempt->grave.has_value() && *attempt->grave != grave_revision &&
      attempt->tries < kTriesMax) {
    // The watch of graves will tell in a moment.
    std::weak_ptr<bool> alive = alive_;
    strand_->At(clock_->Boot() + kGraveRetry, [this, alive, attempt] {
      if (!alive.expired()) Try(attempt);
    });
    return;
  }
  if (view.has_value() && view->record.owner() != membership_->node() &&
      IsOwned(view->record)) {
    const NameEntry holder = ToEntry(*view);
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
  if (++attempt->tries > 2 * kTriesMax) {
    attempt->done(Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                        absl::StrCat("the store did not say whether '",
                                     attempt->claim.name,
                                     "' was claimed: ", lost.message()))
                      .Unknown());
    return;
  }
  const Keys& keys = membership_->keys();
  const std::string key = keys.Name(attempt->claim.name);
  Txn txn;
  txn.compares.push_back(Compare::Value(key, Op::kEqual, attempt->value));
  txn.compares.push_back(membership_->OwnEpoch());
  // Writing it again makes this a write in both branches (guarantees E13);
  // the claim's epoch is then that of this revision.
  txn.then.push_back(StoreOp::Put(key, attempt->value));
  txn.otherwise.push_back(StoreOp::Put(
      absl::StrCat(keys.Root(), "probe/", EscapeKeyPart(membership_->node())),
      attempt->instance));
  std::weak_ptr<bool> alive = alive_;
  store_->Commit(
      std::move(txn), kTxnTimeout,
      [this, alive, attempt](absl::StatusOr<TxnResult> result) {
        if (alive.expired()) return;
        if (!result.ok()) {
          Settle(attempt, result.status());
        } else if (result->succeeded) {
          Succeed(attempt, result->revision);
        } else {
          Try(attempt);  // It is not there and never will be from that try.
        }
      });
}

void GlobalRegistry::Succeed(std::shared_ptr<Attempt> attempt,
                             int64_t revision) {
  KeyValue item;
  item.key = membership_->keys().Name(attempt->claim.name);
  item.value = attempt->value;
  item.mod_revision = revision;
  Note(item);
  Claimed claimed;
  claimed.epoch =
      Epoch{membership_->generation(), static_cast<uint64_t>(revision)};
  claimed.instance = attempt->instance;
  attempt->done(std::move(claimed));
}

void GlobalRegistry::Release(absl::string_view name, absl::string_view instance,
                             absl::AnyInvocable<void(absl::Status)> done) {
  const std::optional<NameRecordView> view = Record(name);
  if (!view.has_value() || view->record.instance() != instance) {
    done(absl::OkStatus());
    return;
  }
  const std::string key = membership_->keys().Name(name);
  Txn txn;
  txn.compares.push_back(membership_->OwnEpoch());
  txn.compares.push_back(
      Compare::ModRevision(key, Op::kEqual, view->mod_revision));
  txn.then.push_back(StoreOp::Delete(key));
  std::weak_ptr<bool> alive = alive_;
  store_->Commit(
      std::move(txn), kTxnTimeout,
      [this, alive, name = std::string(name), seen = view->mod_revision,
       done = std::move(done)](absl::StatusOr<TxnResult> result) mutable {
        if (alive.expired()) return;
        if (!result.ok()) {
          done(result.status());
          return;
        }
        if (result->succeeded) {
          MutexLock lock(&mu_);
          int64_t& floor = floor_[name];
          floor = std::max(floor, result->revision);
          const auto at = names_.find(name);
          if (at != names_.end() && at->second.mod_revision == seen) {
            names_.erase(at);
          }
        }
        done(absl::OkStatus());
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
  std::weak_ptr<bool> alive = alive_;
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

void GlobalRegistry::Free(const std::string& name,
                          const std::string& instance) {
  std::weak_ptr<bool> alive = alive_;
  Release(name, instance, [this, alive, name, instance](absl::Status status) {
    if (alive.expired() || status.ok()) return;
    strand_->At(clock_->Boot() + kFreeRetry, [this, alive, name, instance] {
      if (!alive.expired()) Free(name, instance);
    });
  });
}

void GlobalRegistry::Unregister(absl::string_view name,
                                absl::AnyInvocable<void(absl::Status)> done) {
  const std::optional<NameRecordView> view = Record(name);
  if (!view.has_value() || view->record.owner() != membership_->node() ||
      !view->record.supervisor().empty()) {
    done(Error(absl::StatusCode::kNotFound, "NOPROC",
               absl::StrCat(LogSafe(name),
                            " is not registered by a process of this node"))
             .NotExecuted());
    return;
  }
  // First it is not served any more (guarantees G1), then it is free.
  runtime_->ClearGlobalName(name);
  std::weak_ptr<bool> alive = alive_;
  Release(
      name, view->record.instance(),
      [this, alive, entry = ToEntry(*view), instance = view->record.instance(),
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
