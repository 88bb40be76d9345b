#include "cluster/store/compactor.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "node/types/status.h"

namespace muster {
namespace {

using google::protobuf::util::TimeUtil;

constexpr uint32_t kSchema = 1;
constexpr absl::Duration kTxnTimeout = absl::Seconds(1);
constexpr absl::Duration kListTimeout = absl::Seconds(5);
constexpr absl::Duration kCompactTimeout = absl::Seconds(30);
// Deletes in one transaction.
constexpr size_t kDropMax = 100;
// Rounds are looked for this many times an interval, so that the death of the
// node that would have been next delays one by little.
constexpr int kLooks = 6;

// When the event with this key was written; nullopt: PutEvent made it not.
std::optional<absl::Time> TimeOf(const Keys& keys, const std::string& key) {
  const absl::StatusOr<Keys::Parsed> parsed = keys.Parse(key);
  if (!parsed.ok() || parsed->kind != Keys::Kind::kEvent) return std::nullopt;
  const absl::string_view millis =
      absl::string_view(parsed->id).substr(0, parsed->id.find('-'));
  uint64_t value = 0;
  if (!absl::SimpleHexAtoi(millis, &value) || value > INT64_MAX) {
    return std::nullopt;
  }
  return absl::FromUnixMillis(static_cast<int64_t>(value));
}

}  // namespace

std::vector<std::string> EventsToDrop(const std::vector<KeyValue>& events,
                                      const Keys& keys, absl::Time now,
                                      const CompactorOptions& options) {
  std::vector<std::string> drop;
  for (size_t i = 0; i < events.size(); ++i) {
    const std::optional<absl::Time> at = TimeOf(keys, events[i].key);
    if (!at.has_value()) continue;
    if (events.size() - i > options.events_max ||
        now - *at > options.events_age_max) {
      drop.push_back(events[i].key);
    }
  }
  return drop;
}

Compactor::Compactor(Store* store, Strand* strand, Clock* clock,
                     RandomSource* random, Logger* logger, Keys keys,
                     std::string node, std::function<Compare()> own_epoch,
                     Options options)
    : store_(store),
      strand_(strand),
      clock_(clock),
      random_(random),
      logger_(logger),
      keys_(std::move(keys)),
      node_(std::move(node)),
      own_epoch_(std::move(own_epoch)),
      options_(options) {}

Compactor::~Compactor() { strand_->Cancel(timer_); }

template <typename T>
Store::Done<T> Compactor::OnStrand(
    std::function<void(absl::StatusOr<T>)> then) {
  std::weak_ptr<bool> alive = alive_;
  return [alive, strand = strand_,
          then = std::move(then)](absl::StatusOr<T> result) mutable {
    if (alive.expired()) return;
    strand->Post(
        [alive, then = std::move(then), result = std::move(result)]() mutable {
          if (!alive.expired()) then(std::move(result));
        });
  };
}

// Not at once: a joining node has better things to ask the store.
void Compactor::Start() { LookAfter(options_.interval / kLooks); }

void Compactor::LookAfter(absl::Duration delay) {
  std::weak_ptr<bool> alive = alive_;
  strand_->Cancel(std::exchange(timer_, 0));
  // Spread, so that the nodes of a cluster do not all claim the same round.
  timer_ = strand_->At(clock_->Boot() + delay + random_->Jitter(delay / 4),
                       [this, alive] {
                         if (!alive.expired()) Look();
                       });
}

void Compactor::Look() {
  LookAfter(options_.interval / kLooks);
  Txn txn;
  txn.then.push_back(StoreOp::Get(keys_.Compaction()));
  store_->Commit(std::move(txn), kTxnTimeout,
                 OnStrand<TxnResult>([this](absl::StatusOr<TxnResult> result) {
                   Looked(std::move(result));
                 }));
}

bool Compactor::IsDue(const store::v1::CompactionRecord& record) const {
  if (clock_->Boot() - seen_since_ >= options_.interval) return true;
  // Or else nodes that never live for an interval would never do it. A wall
  // clock that is wrong makes a round come early, which harms nobody.
  return clock_->Wall() - absl::FromUnixMillis(
                              TimeUtil::TimestampToMilliseconds(record.at())) >=
         options_.interval;
}

void Compactor::Looked(absl::StatusOr<TxnResult> result) {
  if (!result.ok() || result->gets.size() != 1) return;
  store::v1::CompactionRecord record;
  int64_t seen = 0;
  if (!result->gets[0].empty()) {
    seen = result->gets[0][0].mod_revision;
    if (!record.ParseFromString(result->gets[0][0].value)) {
      logger_->Error(
          "the record of compactions cannot be parsed; it is left "
          "alone, and the store's history grows");
      return;
    }
  }
  if (seen != std::exchange(seen_, seen)) seen_since_ = clock_->Boot();
  if (seen != 0 && !IsDue(record)) return;
  Claim(static_cast<int64_t>(record.revision()), result->revision);
}

void Compactor::Claim(int64_t previous, int64_t now) {
  store::v1::CompactionRecord record;
  record.set_schema(kSchema);
  record.set_revision(static_cast<uint64_t>(now));
  record.set_node(node_);
  const Compare own = own_epoch_();
  record.set_node_revision(static_cast<uint64_t>(own.revision));
  *record.mutable_at() =
      TimeUtil::MillisecondsToTimestamp(absl::ToUnixMillis(clock_->Wall()));
  Txn txn;
  txn.compares.push_back(
      Compare::ModRevision(keys_.Compaction(), Compare::Op::kEqual, seen_));
  txn.compares.push_back(own);
  txn.then.push_back(
      StoreOp::Put(keys_.Compaction(), record.SerializeAsString()));
  store_->Commit(
      std::move(txn), kTxnTimeout,
      OnStrand<TxnResult>([this, previous](absl::StatusOr<TxnResult> result) {
        // If the answer is lost the round is: the next one forgets the more.
        if (!result.ok() || !result->succeeded) return;
        if (previous > 0) Compact(previous);
        DropEvents();
      }));
}

void Compactor::Compact(int64_t revision) {
  std::weak_ptr<bool> alive = alive_;
  store_->Compact(
      revision, kCompactTimeout,
      [this, alive, revision, strand = strand_](absl::Status status) {
        if (alive.expired()) return;
        strand->Post([this, alive, revision, status = std::move(status)] {
          if (alive.expired()) return;
          if (status.ok()) {
            logger_->Info(absl::StrCat("the store's history before revision ",
                                       revision, " is forgotten"));
          } else if (status.code() != absl::StatusCode::kOutOfRange) {
            // Others compact etcd too, so one that was done is no error.
            logger_->Error(
                absl::StrCat("the store's history could not be "
                             "compacted, the next round is in ",
                             absl::FormatDuration(options_.interval), ": ",
                             status.message()));
          }
        });
      });
}

void Compactor::DropEvents() {
  store_->List(
      keys_.EventPrefix(), kListTimeout,
      OnStrand<RangeResult>([this](absl::StatusOr<RangeResult> result) {
        if (!result.ok()) return;
        Drop(EventsToDrop(result->items, keys_, clock_->Wall(), options_));
      }));
}

void Compactor::Drop(std::vector<std::string> keys) {
  if (keys.empty()) return;
  const size_t count = std::min(keys.size(), kDropMax);
  Txn txn;
  txn.compares.push_back(own_epoch_());
  for (size_t i = 0; i < count; ++i) {
    txn.then.push_back(StoreOp::Delete(std::move(keys[i])));
  }
  keys.erase(keys.begin(), keys.begin() + static_cast<ptrdiff_t>(count));
  store_->Commit(std::move(txn), kTxnTimeout,
                 OnStrand<TxnResult>([this, keys = std::move(keys)](
                                         absl::StatusOr<TxnResult> result) {
                   // What is left is for the next round.
                   if (result.ok() && result->succeeded) Drop(keys);
                 }));
}

}  // namespace muster
