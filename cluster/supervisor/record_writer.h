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

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cluster/store/store.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"

namespace muster {

// Most steps of one transaction (guarantees R15), and most bytes of its keys
// and values, unless one record alone has more: well below what a store takes.
inline constexpr size_t kRecordsMax = 100;
inline constexpr size_t kRecordBytesMax = size_t{1} << 20;
// What waits to be written has at most so many transactions before events are
// dropped. Records are not: their owner waits for them.
inline constexpr size_t kWaitingMax = 100;

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

  // What becomes of a transaction that the store does not answer, or does not
  // carry out now. It is tried after 200 ms, then twice as long, up to 2 s.
  enum class Trying {
    // Again and again: a record, which must come to be what it is to be as
    // long as its supervisor lives.
    kUntilWritten,
    // Again and again while an earlier try, or an earlier part of the same
    // call, may have been carried out; what certainly was not is given up.
    kUntilKnown,
    // Ten times at most: events alone, which may be lost.
    kMayBeLost,
  };

  // A record as it was read before anything is written.
  void Know(const KeyValue& item) ABSL_LOCKS_EXCLUDED(mu_);

  // Commits `ops` under `compares` after all that came before, in transactions
  // of at most kRecordsMax and kRecordBytesMax. `done`, which may be null, gets
  // the last result or the first that failed: `compares`, the same in every
  // call, do not hold any more; or an error, of what no try can cure or as
  // `trying` says.
  void Write(std::vector<Compare> compares, std::vector<StoreOp> ops,
             Trying trying, Store::Done<TxnResult> done)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Events of kMayBeLost that were not written.
  uint64_t events_lost() const ABSL_LOCKS_EXCLUDED(mu_);

  // The supervisor ends; what has not been sent is dropped.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Item {
    std::vector<Compare> compares;
    std::vector<StoreOp> ops;
    size_t bytes = 0;
    Trying trying = Trying::kUntilWritten;
    int tries = 0;
    // It, or an earlier part of its call, may have been carried out.
    bool doubtful = false;
    // More transactions of the same call follow.
    bool more = false;
    Store::Done<TxnResult> done;
  };

  // True: `ops` have become part of what waits at the back.
  bool Join(std::vector<StoreOp>& ops, Trying trying)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  int64_t RevisionOf(const std::string& key) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Next() ABSL_LOCKS_EXCLUDED(mu_);
  // Learns from an answer what the records are. True: the transaction was
  // refused because they were not what was known, so it may be tried again;
  // `result` is changed if an earlier try turns out to have been carried out.
  bool Learn(const Item& item, TxnResult& result)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the front, which met `error`, is tried again.
  bool TriesAgain(const absl::Status& error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The front is done with, and what follows it of its call unless `good`.
  // Returns what is to be told.
  Store::Done<TxnResult> DropFront(bool good)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Written(absl::StatusOr<TxnResult> result) ABSL_LOCKS_EXCLUDED(mu_);

  Store* const store_;
  Scheduler* const scheduler_;

  mutable Mutex mu_;
  std::deque<Item> queue_ ABSL_GUARDED_BY(mu_);  // The front is being written.
  // Revision of each record; what is not here is not there.
  std::map<std::string, int64_t> revisions_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  // Until the next try of the front.
  absl::Duration pause_ ABSL_GUARDED_BY(mu_);
  uint64_t events_lost_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_RECORD_WRITER_H_
