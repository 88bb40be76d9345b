#include "node/base/timer_queue.h"

#include <utility>

#include "node/base/check.h"

namespace muster {

TimerId TimerQueue::Add(BootTime due, absl::AnyInvocable<void()> work) {
  MUSTER_CHECK(work != nullptr, "a timer runs something");
  const TimerId id = ++last_id_;
  by_due_.emplace(Key{due, id}, std::move(work));
  due_by_id_.emplace(id, due);
  return id;
}

absl::AnyInvocable<void()> TimerQueue::Take(TimerId id) {
  const auto due = due_by_id_.find(id);
  if (due == due_by_id_.end()) return nullptr;
  const auto timer = by_due_.find(Key{due->second, id});
  MUSTER_CHECK(timer != by_due_.end(), "both indexes hold the same timers");
  absl::AnyInvocable<void()> work = std::move(timer->second);
  by_due_.erase(timer);
  due_by_id_.erase(due);
  return work;
}

BootTime TimerQueue::NextDue() const {
  return by_due_.empty() ? BootTime::Infinite() : by_due_.begin()->first.due;
}

absl::AnyInvocable<void()> TimerQueue::PopExpired(BootTime now) {
  const BootTime due = NextDue();
  if (due.is_infinite() || due > now) return nullptr;
  const auto timer = by_due_.begin();
  absl::AnyInvocable<void()> work = std::move(timer->second);
  due_by_id_.erase(timer->first.id);
  by_due_.erase(timer);
  return work;
}

std::vector<absl::AnyInvocable<void()>> TimerQueue::TakeAll() {
  std::vector<absl::AnyInvocable<void()>> all;
  all.reserve(by_due_.size());
  for (auto& [key, work] : by_due_) all.push_back(std::move(work));
  by_due_.clear();
  due_by_id_.clear();
  return all;
}

}  // namespace muster
