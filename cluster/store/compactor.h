// Compactor: the hourly housekeeping of a cluster's store.
#ifndef MUSTER_CLUSTER_STORE_COMPACTOR_H_
#define MUSTER_CLUSTER_STORE_COMPACTOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "muster/store/v1/store.pb.h"
#include "node/base/clock.h"
#include "node/base/log.h"
#include "node/base/random.h"
#include "node/base/strand.h"

namespace muster {

struct CompactorOptions {
  // From one round to the next. What is forgotten is at least as old.
  absl::Duration interval = absl::Hours(1);
  // Events of the journal that are kept: so many of the latest, and none that
  // is older.
  size_t events_max = 10'000;
  absl::Duration events_age_max = absl::Hours(24 * 7);
};

// All nodes of a cluster run one; once an interval one of them does the work.
//
// Who does is decided by a transaction: it replaces the record of the round
// before as that node has read it, and compares the node's own epoch, so of
// many that try one wins and a dead one never does. The winner forgets the
// history below the revision that the *replaced* record holds. That revision
// was committed and is an interval old, whenever the order reaches the store:
// a winner that was paused in between, or whose node is dead by then, asks for
// what a later round has done already, and is refused. So nothing here has to
// be undone or waited for.
//
// LIFETIME: destroyed on its strand or after the strand has closed.
// THREADS: all on the strand.
class Compactor {
 public:
  using Options = CompactorOptions;

  // `own_epoch` is the compare of this node's deciding transactions.
  Compactor(Store* store, Strand* strand, Clock* clock, RandomSource* random,
            Logger* logger, Keys keys, std::string node,
            std::function<Compare()> own_epoch, Options options = {});
  ~Compactor();
  Compactor(const Compactor&) = delete;
  Compactor& operator=(const Compactor&) = delete;

  void Start();

 private:
  void LookAfter(absl::Duration delay);
  void Look();
  void Looked(absl::StatusOr<TxnResult> result);
  // Whether the round of `record`, first seen at `seen_since_`, is over.
  bool IsDue(const store::v1::CompactionRecord& record) const;
  void Claim(int64_t previous, int64_t now);
  void Compact(int64_t revision);
  void DropEvents();
  void Drop(std::vector<std::string> keys);
  template <typename T>
  Store::Done<T> OnStrand(std::function<void(absl::StatusOr<T>)> then);

  Store* const store_;
  Strand* const strand_;
  Clock* const clock_;
  RandomSource* const random_;
  Logger* const logger_;
  const Keys keys_;
  const std::string node_;
  const std::function<Compare()> own_epoch_;
  const Options options_;

  // The record's revision as last read, and since when it has been that one.
  int64_t seen_ = -1;
  BootTime seen_since_;
  TimerId timer_ = 0;
  // Expires with this object; callbacks hold it weakly.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Keys of the events that go: all but the `max` latest, and those older than
// `age_max` at `now`. `events` is sorted by key. What no PutEvent has made is
// left alone.
std::vector<std::string> EventsToDrop(const std::vector<KeyValue>& events,
                                      const Keys& keys, absl::Time now,
                                      const CompactorOptions& options);

}  // namespace muster

#endif  // MUSTER_CLUSTER_STORE_COMPACTOR_H_
