// RecordWriter: writes the records of one cluster supervisor, in order.
#ifndef MUSTER_CLUSTER_SUPERVISOR_RECORD_WRITER_H_
#define MUSTER_CLUSTER_SUPERVISOR_RECORD_WRITER_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "cluster/store/store.h"
#include "node/base/mutex.h"
#include "node/process/runtime.h"

namespace muster {

// Most steps of one transaction (guarantees R15).
inline constexpr size_t kRecordsMax = 100;

// One transaction after another, so that an older record never overwrites a
// newer one. What nobody waits for is put together into few of them. Outlives
// the supervisor in the callbacks of what is under way. THREADS: any.
class RecordWriter : public std::enable_shared_from_this<RecordWriter> {
 public:
  RecordWriter(Store* store, Runtime* runtime)
      : store_(store), runtime_(runtime) {}

  // Commits `ops` under `compares` after all that came before, in transactions
  // of at most kRecordsMax. Each is tried at most `tries` times; since it
  // compares the supervisor's epoch and only puts and deletes, a second time
  // does no harm. `done`, which may be null, gets the last result or the first
  // that failed. `compares` are the same in every call.
  void Write(std::vector<Compare> compares, std::vector<StoreOp> ops, int tries,
             Store::Done<TxnResult> done) ABSL_LOCKS_EXCLUDED(mu_);

  // The supervisor ends; what has not been sent is dropped.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Item {
    Txn txn;
    int tries = 1;
    // More transactions of the same call follow.
    bool more = false;
    Store::Done<TxnResult> done;
  };

  // True: `ops` have become part of what waits at the back.
  bool Join(std::vector<StoreOp>& ops) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Next() ABSL_LOCKS_EXCLUDED(mu_);
  void Written(absl::StatusOr<TxnResult> result) ABSL_LOCKS_EXCLUDED(mu_);

  Store* const store_;
  Runtime* const runtime_;

  Mutex mu_;
  std::deque<Item> queue_ ABSL_GUARDED_BY(mu_);  // The front is being written.
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_RECORD_WRITER_H_
