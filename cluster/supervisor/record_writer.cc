#include "cluster/supervisor/record_writer.h"

#include <algorithm>
#include <utility>

namespace muster {
namespace {

constexpr absl::Duration kTxnTimeout = absl::Seconds(1);
// When a transaction is tried again if the store did not answer.
constexpr absl::Duration kWriteRetry = absl::Milliseconds(200);

}  // namespace

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
      item.txn.compares = compares;
      for (size_t i = from; i < to; ++i) {
        item.txn.then.push_back(std::move(ops[i]));
      }
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
  std::vector<StoreOp>& there = back.txn.then;
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
    --queue_.front().tries;
    txn = queue_.front().txn;
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
  {
    MutexLock lock(&mu_);
    if (closed_) return;
    again = !result.ok() && queue_.front().tries > 0;
    if (!again) {
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
  if (again) {
    runtime_->scheduler().At(runtime_->clock().Boot() + kWriteRetry,
                             [self = shared_from_this()] { self->Next(); });
    return;
  }
  if (done) done(std::move(result));
  Next();
}

}  // namespace muster
