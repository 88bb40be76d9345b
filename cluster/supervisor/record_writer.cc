#include "cluster/supervisor/record_writer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::Duration kTxnTimeout = absl::Seconds(1);
// When a transaction is tried again.
constexpr absl::Duration kPauseMin = absl::Milliseconds(200);
constexpr absl::Duration kPauseMax = absl::Seconds(2);
// How often events are tried that nothing else depends on.
constexpr int kEventTries = 10;

size_t BytesOf(const StoreOp& op) { return op.key.size() + op.value.size(); }

// The same again would meet the same answer.
bool IsHopeless(const absl::Status& error) {
  return absl::IsInvalidArgument(error) || ReasonOf(error) == "TXN_TOO_LARGE";
}

}  // namespace

void RecordWriter::Know(const KeyValue& item) {
  MutexLock lock(&mu_);
  revisions_[item.key] = item.mod_revision;
}

int64_t RecordWriter::RevisionOf(const std::string& key) const {
  const auto at = revisions_.find(key);
  return at == revisions_.end() ? 0 : at->second;
}

void RecordWriter::Write(std::vector<Compare> compares,
                         std::vector<StoreOp> ops, Trying trying,
                         Store::Done<TxnResult> done) {
  if (ops.empty()) return;
  {
    MutexLock lock(&mu_);
    if (closed_) return;
    if (!done && Join(ops, trying)) return;
    if (trying == Trying::kMayBeLost && queue_.size() >= kWaitingMax) {
      events_lost_ += ops.size();
      return;
    }
    Item item;
    item.compares = std::move(compares);
    item.trying = trying;
    for (StoreOp& op : ops) {
      const size_t bytes = BytesOf(op);
      const bool full = item.ops.size() == kRecordsMax ||
                        item.bytes + bytes > kRecordBytesMax;
      if (full && !item.ops.empty()) {
        Item next;
        next.compares = item.compares;
        next.trying = trying;
        next.doubtful = true;
        item.more = true;
        queue_.push_back(std::exchange(item, std::move(next)));
      }
      item.bytes += bytes;
      item.ops.push_back(std::move(op));
    }
    item.done = std::move(done);
    queue_.push_back(std::move(item));
    if (std::exchange(writing_, true)) return;
  }
  Next();
}

bool RecordWriter::Join(std::vector<StoreOp>& ops, Trying trying) {
  // The front may be under way.
  if (queue_.size() < 2) return false;
  Item& back = queue_.back();
  std::vector<StoreOp>& there = back.ops;
  size_t bytes = back.bytes;
  for (const StoreOp& op : ops) bytes += BytesOf(op);
  if (back.done || back.doubtful || there.size() + ops.size() > kRecordsMax ||
      bytes > kRecordBytesMax) {
    return false;
  }
  back.bytes = bytes;
  // Records are not lost with the events that they join.
  if (trying == Trying::kUntilWritten) back.trying = trying;
  for (StoreOp& op : ops) {
    // The same key twice is refused: the later one counts.
    const auto same =
        std::find_if(there.begin(), there.end(),
                     [&op](const StoreOp& o) { return o.key == op.key; });
    if (same != there.end()) {
      *same = std::move(op);
    } else {
      there.push_back(std::move(op));
    }
  }
  return true;
}

void RecordWriter::Close() {
  std::deque<Item> dropped;
  MutexLock lock(&mu_);
  closed_ = true;
  dropped.swap(queue_);
}

void RecordWriter::Next() {
  Txn txn;
  {
    MutexLock lock(&mu_);
    if (closed_ || queue_.empty()) {
      writing_ = false;
      return;
    }
    Item& item = queue_.front();
    ++item.tries;
    txn.compares = item.compares;
    for (const StoreOp& op : item.ops) {
      txn.compares.push_back(Compare::ModRevision(op.key, Compare::Op::kEqual,
                                                  RevisionOf(op.key)));
      txn.otherwise.push_back(StoreOp::Get(op.key));
    }
    txn.then = item.ops;
  }
  store_->Commit(
      std::move(txn), kTxnTimeout,
      [self = shared_from_this()](absl::StatusOr<TxnResult> result) mutable {
        self->Written(std::move(result));
      });
}

bool RecordWriter::TriesAgain(const absl::Status& error) {
  Item& item = queue_.front();
  if (OutcomeOf(error) != Outcome::kNotExecuted) item.doubtful = true;
  if (IsHopeless(error)) return false;
  switch (item.trying) {
    case Trying::kUntilWritten:
      return true;
    case Trying::kUntilKnown:
      return item.doubtful;
    case Trying::kMayBeLost:
      return item.tries < kEventTries;
  }
  return false;
}

Store::Done<TxnResult> RecordWriter::DropFront(bool good) {
  for (;;) {
    Item item = std::move(queue_.front());
    queue_.pop_front();
    if (!good && item.trying == Trying::kMayBeLost) {
      events_lost_ += item.ops.size();
    }
    // The rest of a call that failed is not written either.
    if (good || !item.more) return std::move(item.done);
  }
}

void RecordWriter::Written(absl::StatusOr<TxnResult> result) {
  Store::Done<TxnResult> done;
  std::optional<absl::Duration> pause;
  {
    MutexLock lock(&mu_);
    if (closed_) return;
    if (result.ok()) {
      pause_ = absl::ZeroDuration();
      if (!Learn(queue_.front(), *result)) done = DropFront(result->succeeded);
    } else if (TriesAgain(result.status())) {
      pause_ = pause_ == absl::ZeroDuration() ? kPauseMin
                                              : std::min(pause_ * 2, kPauseMax);
      pause = pause_;
    } else {
      done = DropFront(false);
    }
  }
  if (pause.has_value()) {
    scheduler_->At(scheduler_->clock().Boot() + *pause,
                   [self = shared_from_this()] { self->Next(); });
    return;
  }
  if (done) done(std::move(result));
  Next();
}

uint64_t RecordWriter::events_lost() const {
  MutexLock lock(&mu_);
  return events_lost_;
}

bool RecordWriter::Learn(const Item& item, TxnResult& result) {
  if (result.succeeded) {
    for (const StoreOp& op : item.ops) {
      if (op.kind == StoreOp::Kind::kPut) {
        revisions_[op.key] = result.revision;
      } else {
        revisions_.erase(op.key);
      }
    }
    return false;
  }
  bool news = false;
  bool ours = true;
  for (size_t i = 0; i < item.ops.size() && i < result.gets.size(); ++i) {
    const StoreOp& op = item.ops[i];
    const std::vector<KeyValue>& got = result.gets[i];
    const int64_t revision = got.empty() ? 0 : got[0].mod_revision;
    news = news || revision != RevisionOf(op.key);
    ours = ours && (op.kind == StoreOp::Kind::kPut
                        ? !got.empty() && got[0].value == op.value
                        : got.empty());
    if (revision == 0) {
      revisions_.erase(op.key);
    } else {
      revisions_[op.key] = revision;
    }
  }
  // All is as this transaction makes it, and was not before: an earlier try
  // was carried out, under the same compares.
  if (news && ours) {
    result.succeeded = true;
    return false;
  }
  return news;
}

}  // namespace muster
