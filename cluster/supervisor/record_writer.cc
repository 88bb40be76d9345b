#include "cluster/supervisor/record_writer.h"

#include <algorithm>
#include <utility>

namespace muster {
namespace {

constexpr absl::Duration kTxnTimeout = absl::Seconds(1);
// When a transaction is tried again if the store did not answer.
constexpr absl::Duration kWriteRetry = absl::Milliseconds(200);

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
                         std::vector<StoreOp> ops, int tries,
                         Store::Done<TxnResult> done) {
  if (ops.empty()) return;
  {
    MutexLock lock(&mu_);
    if (closed_) return;
    if (!done && Join(ops)) return;
    for (size_t from = 0; from < ops.size(); from += kRecordsMax) {
      const size_t to = std::min(from + kRecordsMax, ops.size());
      Item item;
      item.compares = compares;
      for (size_t i = from; i < to; ++i) item.ops.push_back(std::move(ops[i]));
      item.tries = tries;
      item.more = to < ops.size();
      if (!item.more) item.done = std::move(done);
      queue_.push_back(std::move(item));
    }
    if (std::exchange(writing_, true)) return;
  }
  Next();
}

bool RecordWriter::Join(std::vector<StoreOp>& ops) {
  // The front may be under way.
  if (queue_.size() < 2) return false;
  Item& back = queue_.back();
  std::vector<StoreOp>& there = back.ops;
  if (back.done || there.size() + ops.size() > kRecordsMax) return false;
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
    --item.tries;
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

void RecordWriter::Written(absl::StatusOr<TxnResult> result) {
  Store::Done<TxnResult> done;
  bool again = false;
  bool later = false;
  {
    MutexLock lock(&mu_);
    if (closed_) return;
    if (result.ok()) {
      again = Learn(queue_.front(), *result);
    } else {
      later = queue_.front().tries > 0;
    }
    if (!again && !later) {
      const bool good = result.ok() && result->succeeded;
      bool more = queue_.front().more;
      done = std::move(queue_.front().done);
      queue_.pop_front();
      // The rest of a call that failed is not written either.
      while (!good && more) {
        more = queue_.front().more;
        done = std::move(queue_.front().done);
        queue_.pop_front();
      }
    }
  }
  if (later) {
    scheduler_->At(scheduler_->clock().Boot() + kWriteRetry,
                   [self = shared_from_this()] { self->Next(); });
    return;
  }
  if (done) done(std::move(result));
  Next();
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
