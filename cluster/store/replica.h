// Replica: a node's own copy of all records under one prefix.
#ifndef MUSTER_CLUSTER_STORE_REPLICA_H_
#define MUSTER_CLUSTER_STORE_REPLICA_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cluster/store/store.h"
#include "node/base/log.h"
#include "node/base/random.h"
#include "node/base/strand.h"

namespace muster {

// What a replica tells, on its strand.
struct ReplicaHandler {
  // A record was put (`now` is it) or deleted (`now` is null) at `revision`.
  std::function<void(const std::string& key, const KeyValue* now,
                     int64_t revision)>
      on_change;
  // The copy is what the store held at one moment: after the first list and
  // after each later one.
  std::function<void()> on_synced;
  // The watch broke or missed something, so that what is not seen proves
  // nothing: timers of silence start anew (guarantees R5).
  std::function<void()> on_gap;
};

// Lists, then watches; on a break, and every 30 s, lists again and reports the
// difference. A watch is only a hint with a floor (guarantees R6): what is not
// above the revision already seen of a key is dropped. What a list has found
// the watch must tell soon; a watch that does not is replaced.
//
// LIFETIME: destroyed on its strand or after the strand has closed.
// THREADS: all on the strand.
class Replica {
 public:
  Replica(Store* store, Strand* strand, Clock* clock, RandomSource* random,
          Logger* logger, std::string prefix, ReplicaHandler handler);
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  void Start();
  // Lists again now; on_synced follows.
  void Refresh();

  const std::map<std::string, KeyValue>& items() const { return items_; }
  bool synced() const { return synced_; }
  // At this revision the copy was whole: a key that was put by then and is not
  // here has been deleted by then. 0 before the first list.
  int64_t listed_revision() const { return listed_; }

 private:
  void List();
  void Listed(absl::StatusOr<RangeResult> result);
  // Takes over what a list says that is newer than what is known.
  void Adopt(RangeResult list);
  void Watch(int64_t from);
  void Events(const std::vector<WatchEvent>& events);
  void Event(const WatchEvent& event);
  void Ended(const absl::Status& status);
  void ListAfter(absl::Duration delay);
  // The watch has had time to tell what it owes.
  void CheckOwed();

  Store* const store_;
  Strand* const strand_;
  Clock* const clock_;
  RandomSource* const random_;
  Logger* const logger_;
  const std::string prefix_;
  const ReplicaHandler handler_;

  std::map<std::string, KeyValue> items_;
  // Greatest revision seen: of an event, or of a list.
  int64_t floor_ = 0;
  // Of the event that was told last.
  int64_t telling_ = 0;
  int64_t listed_ = 0;
  // Of the list under way: `floor_` when it was asked for, and deletes told
  // since, by revision, which what it says may precede.
  int64_t asked_at_ = 0;
  std::map<std::string, int64_t> deleted_;
  // What lists found and the watch has yet to tell: at least this revision of
  // the key.
  std::map<std::string, int64_t> owed_;
  bool synced_ = false;
  bool listing_ = false;
  bool again_ = false;
  absl::Duration backoff_ = absl::ZeroDuration();
  // Counts watches; what an earlier one still says is dropped.
  uint64_t watch_number_ = 0;
  std::unique_ptr<muster::Watch> watch_;
  TimerId timer_ = 0;
  TimerId owed_timer_ = 0;
  // Expires with this object; callbacks hold it weakly.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_STORE_REPLICA_H_
