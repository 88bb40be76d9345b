#include "cluster/registry/group_commit.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/store/validate.h"
#include "muster/store/v1/store.pb.h"
#include "node/base/planted.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr uint32_t kSchema = 1;
// What one step of a group adds to its nested transaction.
constexpr size_t kStepBytes = 64;
// Steps of the group's own: the barrier.
constexpr size_t kOwnSteps = 1;

absl::Status Fenced() {
  return Error(absl::StatusCode::kAborted, "FENCED",
               "this node's epoch has ended: it owns nothing")
      .NotExecuted()
      .status();
}

}  // namespace

GroupCommit::GroupCommit(Store* store, const Clock* clock,
                         std::function<Compare()> own_epoch,
                         std::string barrier, Options options)
    : store_(store),
      clock_(clock),
      own_epoch_(std::move(own_epoch)),
      barrier_key_(std::move(barrier)),
      options_(options) {}

void GroupCommit::Commit(std::string name, Txn txn, Done done, bool again) {
  Item item;
  item.entries = TxnEntries(txn);
  item.bytes = TxnBytes(txn) + kStepBytes;
  // One that the store would refuse must not take its group with it.
  absl::Status refused = ValidateTxn(txn);
  if (refused.ok() && 1 + kOwnSteps + item.entries > kTxnOpsMax) {
    refused = Error(absl::StatusCode::kInvalidArgument, "BAD_TXN",
                    absl::StrCat("transaction of ", item.entries,
                                 " entries leaves no room for the group's own"))
                  .NotExecuted()
                  .status();
  }
  if (!refused.ok()) {
    done(std::move(refused));
    return;
  }
  item.name = std::move(name);
  item.txn = std::move(txn);
  item.expires = clock_->Boot() + options_.queue_timeout;
  bool full = false;
  {
    MutexLock lock(&mu_);
    full = !again && queue_.size() >= options_.queue_max;
    if (!full) {
      item.done = std::move(done);
      if (again) {
        queue_.push_front(std::move(item));
      } else {
        queue_.push_back(std::move(item));
      }
    }
  }
  if (full) {
    done(Error(absl::StatusCode::kResourceExhausted, "QUOTA",
               absl::StrCat(options_.queue_max,
                            " changes of names wait for the store already"))
             .NotExecuted());
    return;
  }
  Pump();
}

void GroupCommit::Pump() {
  for (;;) {
    Group group;
    Group expired;
    if (!Take(&group, &expired)) return;
    if (!group.empty()) Send(std::move(group));
    for (Item& item : expired) {
      item.done(
          Error(absl::StatusCode::kUnavailable, "STORE_UNREACHABLE",
                absl::StrCat("the store is too slow: nothing was sent "
                             "for '",
                             item.name, "' within ",
                             absl::FormatDuration(options_.queue_timeout)))
              .NotExecuted());
    }
  }
}

bool GroupCommit::Take(Group* group, Group* expired) {
  MutexLock lock(&mu_);
  if (in_flight_ >= options_.in_flight_max) return false;
  const BootTime now = clock_->Boot();
  // Of those before the last that is taken; they keep their places.
  std::vector<Item> passed;
  // The group's own compares and steps, and its longest nested list.
  size_t bytes = 4 * (kStepBytes + barrier_key_.size());
  size_t longest = 0;
  while (!queue_.empty() && group->size() < options_.group_max) {
    Item& next = queue_.front();
    if (next.expires <= now) {
      expired->push_back(std::move(next));
      queue_.pop_front();
      continue;
    }
    if (busy_.contains(next.name)) {
      passed.push_back(std::move(next));
      queue_.pop_front();
      continue;
    }
    const size_t entries =
        group->size() + 1 + kOwnSteps + std::max(longest, next.entries);
    if (!group->empty() &&
        (bytes + next.bytes > kTxnBytesMax || entries > kTxnOpsMax)) {
      break;
    }
    bytes += next.bytes;
    longest = std::max(longest, next.entries);
    busy_.insert(next.name);
    group->push_back(std::move(next));
    queue_.pop_front();
  }
  for (auto at = passed.rbegin(); at != passed.rend(); ++at) {
    queue_.push_front(std::move(*at));
  }
  if (!group->empty()) ++in_flight_;
  return !group->empty() || !expired->empty();
}

void GroupCommit::Send(Group group) {
  const Compare own_epoch = own_epoch_();
  Sent sent;
  {
    MutexLock lock(&mu_);
    sent.barrier = std::max(barrier_, own_epoch.revision);
    sent.raises = lost_at_ >= sent.barrier;
  }
  Txn txn;
  // The barrier goes with the epoch, so it would stand in for it.
  const bool unfenced = Planted(PlantedBug::kClaimWithoutEpoch);
  if (!unfenced) txn.compares.push_back(own_epoch);
  if (!unfenced && !Planted(PlantedBug::kLostMayArrive)) {
    txn.compares.push_back(
        Compare::ModRevision(barrier_key_, Compare::Op::kEqual, sent.barrier));
  }
  // Copied: a barrier may turn it away.
  for (const Item& item : group) {
    txn.then.push_back(StoreOp::Nested(item.txn));
  }
  if (sent.raises) {
    store::v1::BarrierRecord record;
    record.set_schema(kSchema);
    record.set_node_revision(static_cast<uint64_t>(own_epoch.revision));
    txn.then.push_back(StoreOp::Put(barrier_key_, record.SerializeAsString()));
  }
  txn.otherwise.push_back(StoreOp::Get(barrier_key_));
  sent.group = std::move(group);
  std::weak_ptr<bool> alive = alive_;
  store_->Commit(std::move(txn), options_.commit_timeout,
                 [this, alive, sent = std::move(sent)](
                     absl::StatusOr<TxnResult> result) mutable {
                   if (alive.expired()) return;
                   Answer(std::move(sent), std::move(result));
                 });
}

void GroupCommit::Answer(Sent sent, absl::StatusOr<TxnResult> result) {
  Group& group = sent.group;
  if (result.ok() && result->succeeded &&
      result->nested.size() != group.size()) {
    result = Error(absl::StatusCode::kInternal, "BAD_ANSWER",
                   absl::StrCat("the store answered ", result->nested.size(),
                                " of ", group.size(), " transactions"))
                 .Unknown();
  }
  bool turned_away = false;
  {
    MutexLock lock(&mu_);
    if (!result.ok()) {
      if (OutcomeOf(result.status()) != Outcome::kNotExecuted) {
        lost_at_ = std::max(lost_at_, sent.barrier);
      }
    } else if (result->succeeded) {
      if (sent.raises) barrier_ = std::max(barrier_, result->revision);
    } else if (!result->gets.empty() && !result->gets[0].empty()) {
      // An epoch that has ended has no barrier, or that of the next one, and
      // then its own compare fails next time.
      const int64_t now = result->gets[0][0].mod_revision;
      turned_away = now > sent.barrier;
      barrier_ = std::max(barrier_, now);
    }
  }
  if (turned_away) {
    Send(std::move(group));
    return;
  }
  for (size_t i = 0; i < group.size(); ++i) {
    if (!result.ok()) {
      group[i].done(result.status());
    } else if (!result->succeeded) {
      group[i].done(Fenced());
    } else {
      group[i].done(std::move(result->nested[i]));
    }
    // Not before: how it goes on comes before what waits for its name.
    MutexLock lock(&mu_);
    busy_.erase(group[i].name);
  }
  {
    MutexLock lock(&mu_);
    --in_flight_;
  }
  Pump();
}

}  // namespace muster
