// RecordWriter: writes the records of one cluster supervisor, in order.
#ifndef MUSTER_CLUSTER_SUPERVISOR_RECORD_WRITER_H_
#define MUSTER_CLUSTER_SUPERVISOR_RECORD_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cluster/store/store.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"

namespace muster {

// Most steps of one transaction (guarantees R15).
inline constexpr size_t kRecordsMax = 100;

// One transaction after another, so that an older record never overwrites a
// newer one. Each compares the revisions of the keys that it writes: one whose
// answer was lost, and which is carried out late, then changes nothing, and
// trying it again does no harm (guarantees R3). What nobody waits for is put
// together into few of them. Outlives the supervisor in the callbacks of what
// is under way. THREADS: any.
class RecordWriter : public std::enable_shared_from_this<RecordWriter> {
 public:
  RecordWriter(Store* store, Scheduler* scheduler)
      : store_(store), scheduler_(scheduler) {}

  // A record as it was read before anything is written.
  void Know(const KeyValue& item) ABSL_LOCKS_EXCLUDED(mu_);

  // Commits `ops` under `compares` after all that came before, in transactions
  // of at most kRecordsMax. Each is tried at most `tries` times if the store
  // does not answer. `done`, which may be null, gets the last result or the
  // first that failed: `compares`, the same in every call, do not hold any
  // more.
  void Write(std::vector<Compare> compares, std::vector<StoreOp> ops, int tries,
             Store::Done<TxnResult> done) ABSL_LOCKS_EXCLUDED(mu_);

  // The supervisor ends; what has not been sent is dropped.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Item {
    std::vector<Compare> compares;
    std::vector<StoreOp> ops;
    int tries = 1;
    // More transactions of the same call follow.
    bool more = false;
    Store::Done<TxnResult> done;
  };

  // True: `ops` have become part of what waits at the back.
  bool Join(std::vector<StoreOp>& ops) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  int64_t RevisionOf(const std::string& key) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Next() ABSL_LOCKS_EXCLUDED(mu_);
  // Learns from an answer what the records are. True: the transaction was
  // refused because they were not what was known, so it may be tried again;
  // `result` is changed if an earlier try turns out to have been carried out.
  bool Learn(const Item& item, TxnResult& result)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Written(absl::StatusOr<TxnResult> result) ABSL_LOCKS_EXCLUDED(mu_);

  Store* const store_;
  Scheduler* const scheduler_;

  Mutex mu_;
  std::deque<Item> queue_ ABSL_GUARDED_BY(mu_);  // The front is being written.
  // Revision of each record; what is not here is not there.
  std::map<std::string, int64_t> revisions_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_RECORD_WRITER_H_
