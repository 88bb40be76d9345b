#include "cluster/journal/event_tail.h"

#include <utility>

namespace muster {
namespace {

constexpr absl::Duration kListTimeout = absl::Seconds(5);
// Between a store that does not answer, or a gap, and the next try.
constexpr absl::Duration kRetry = absl::Milliseconds(200);

}  // namespace

EventTail::EventTail(const Keys& keys, Store* store, Scheduler* scheduler,
                     admin::v1::ListEventsRequest request, OnEvents on_events)
    : keys_(keys),
      store_(store),
      scheduler_(scheduler),
      request_(std::move(request)),
      on_events_(std::move(on_events)),
      filter_(request_) {}

void EventTail::Start() { List(); }

void EventTail::Close() {
  std::unique_ptr<Watch> watch;
  {
    MutexLock lock(&mu_);
    closed_ = true;
    watch = std::move(watch_);
  }
  watch.reset();  // Waits for its handler.
  MutexLock lock(&telling_);
  on_events_ = nullptr;
}

void EventTail::List() {
  {
    MutexLock lock(&mu_);
    if (closed_) return;
  }
  std::weak_ptr<EventTail> weak = weak_from_this();
  store_->List(keys_.EventPrefix(), kListTimeout,
               [weak](absl::StatusOr<RangeResult> result) {
                 if (auto self = weak.lock()) self->Listed(std::move(result));
               });
}

void EventTail::Listed(absl::StatusOr<RangeResult> result) {
  if (!result.ok()) {
    Again();
    return;
  }
  const int64_t revision = result->revision;
  Tell(ToEvents(std::move(result->items)));
  std::weak_ptr<EventTail> weak = weak_from_this();
  WatchHandler handler;
  handler.on_events = [weak](std::vector<WatchEvent> changes) {
    auto self = weak.lock();
    if (self == nullptr) return;
    std::vector<KeyValue> items;
    for (WatchEvent& change : changes) {
      // Old ones are deleted, which is nobody's business.
      if (change.kind == WatchEvent::Kind::kPut) {
        items.push_back(std::move(change.item));
      }
    }
    self->Tell(ToEvents(std::move(items)));
  };
  handler.on_end = [weak](absl::Status) {
    if (auto self = weak.lock()) self->Again();
  };
  std::unique_ptr<Watch> old;
  MutexLock lock(&mu_);
  if (closed_) return;
  old = std::exchange(watch_, store_->Follow(keys_.EventPrefix(), revision + 1,
                                             std::move(handler)));
}

void EventTail::Again() {
  // Not here: this may be the handler of a watch that is to go.
  std::weak_ptr<EventTail> weak = weak_from_this();
  scheduler_->At(scheduler_->clock().Boot() + kRetry, [weak] {
    auto self = weak.lock();
    if (self == nullptr) return;
    std::unique_ptr<Watch> old;
    {
      MutexLock lock(&self->mu_);
      old = std::move(self->watch_);
    }
    old.reset();
    self->List();
  });
}

void EventTail::Tell(const std::vector<admin::v1::Event>& all) {
  MutexLock lock(&telling_);
  if (on_events_ == nullptr) return;
  const bool first = !std::exchange(begun_, true);
  if (first) filter_.Begin(all);
  std::vector<admin::v1::Event> wanted;
  uint64_t last = seen_;
  for (const admin::v1::Event& event : all) {
    if (event.revision() <= seen_) continue;  // Told before the gap.
    last = event.revision();
    if (filter_.Wants(event)) wanted.push_back(event);
  }
  seen_ = last;
  const size_t limit = static_cast<size_t>(LimitOf(request_));
  if (first && wanted.size() > limit) {
    wanted.erase(wanted.begin(),
                 wanted.end() - static_cast<std::ptrdiff_t>(limit));
  }
  if (!wanted.empty()) on_events_(std::move(wanted));
}

}  // namespace muster
