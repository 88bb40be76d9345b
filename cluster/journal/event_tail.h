// EventTail: the journal, and then each event as it happens.
#ifndef MUSTER_CLUSTER_JOURNAL_EVENT_TAIL_H_
#define MUSTER_CLUSTER_JOURNAL_EVENT_TAIL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cluster/journal/event_select.h"
#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "muster/admin/v1/admin.pb.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"

namespace muster {

// Follows the events of a store for one reader. Lists again after a gap, so
// that the reader misses nothing but what the store had already forgotten.
// LIFETIME: `store` and `scheduler` outlive Close(). THREADS: any.
class EventTail : public std::enable_shared_from_this<EventTail> {
 public:
  // Never empty; calls do not overlap; on a thread of the store's.
  using OnEvents = std::function<void(std::vector<admin::v1::Event>)>;

  EventTail(const Keys& keys, Store* store, Scheduler* scheduler,
            admin::v1::ListEventsRequest request, OnEvents on_events);

  void Start();
  // No call of `on_events` is under way or follows once it returns. Not from
  // `on_events`. Twice does nothing.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void List() ABSL_LOCKS_EXCLUDED(mu_);
  void Listed(absl::StatusOr<RangeResult> result) ABSL_LOCKS_EXCLUDED(mu_);
  void Again() ABSL_LOCKS_EXCLUDED(mu_);
  void Tell(const std::vector<admin::v1::Event>& all)
      ABSL_LOCKS_EXCLUDED(telling_);

  const Keys keys_;
  Store* const store_;
  Scheduler* const scheduler_;
  const admin::v1::ListEventsRequest request_;

  // Held while the reader is told.
  Mutex telling_;
  OnEvents on_events_ ABSL_GUARDED_BY(telling_);
  EventFilter filter_ ABSL_GUARDED_BY(telling_);
  // Of the last event that was looked at.
  uint64_t seen_ ABSL_GUARDED_BY(telling_) = 0;
  bool begun_ ABSL_GUARDED_BY(telling_) = false;

  Mutex mu_;
  std::unique_ptr<Watch> watch_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_JOURNAL_EVENT_TAIL_H_
