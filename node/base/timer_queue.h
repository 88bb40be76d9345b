// TimerQueue: closures in the order in which they fall due.
//
// For schedulers only. Knows no clock and no thread: its owner asks when the
// next one is due and takes what has expired.
#ifndef MUSTER_NODE_BASE_TIMER_QUEUE_H_
#define MUSTER_NODE_BASE_TIMER_QUEUE_H_

#include <compare>
#include <cstddef>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "node/base/clock.h"
#include "node/base/scheduler.h"

namespace muster {

// Owns the armed timers of one scheduler. Not thread-safe; its owner holds a
// lock or is one thread. Never destroys a closure except in its own
// destructor, so that the owner can do it without its lock.
// ORDER: by due time; equal ones in the order of Add.
class TimerQueue {
 public:
  TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  // Arms a timer; O(log n). One due at BootTime::Infinite() never expires but
  // can be taken. The id is not 0 and never used again.
  TimerId Add(BootTime due, absl::AnyInvocable<void()> work);

  // Disarms `id` and hands its closure back; null if it is not armed.
  // O(log n).
  absl::AnyInvocable<void()> Take(TimerId id);

  // When the first one is due; infinite if none ever is.
  BootTime NextDue() const;

  // Disarms the first timer due at or before `now` and hands its closure back;
  // null if there is none. O(log n).
  absl::AnyInvocable<void()> PopExpired(BootTime now);

  // Disarms all and hands their closures back in due order.
  std::vector<absl::AnyInvocable<void()>> TakeAll();

  bool empty() const { return by_due_.empty(); }
  size_t size() const { return by_due_.size(); }

 private:
  // Ids grow, so they break ties in the order of Add.
  struct Key {
    BootTime due;
    TimerId id;
    friend constexpr auto operator<=>(const Key& a, const Key& b) = default;
  };

  TimerId last_id_ = 0;
  absl::btree_map<Key, absl::AnyInvocable<void()>> by_due_;
  absl::flat_hash_map<TimerId, BootTime> due_by_id_;
};

}  // namespace muster

#endif  // MUSTER_NODE_BASE_TIMER_QUEUE_H_
