#include "cluster/store/replica.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace muster {
namespace {

constexpr absl::Duration kListTimeout = absl::Seconds(2);
constexpr absl::Duration kRelist = absl::Seconds(30);
constexpr absl::Duration kBackoffMin = absl::Milliseconds(100);
constexpr absl::Duration kBackoffMax = absl::Seconds(1);

}  // namespace

Replica::Replica(Store* store, Strand* strand, Clock* clock,
                 RandomSource* random, Logger* logger, std::string prefix,
                 ReplicaHandler handler)
    : store_(store),
      strand_(strand),
      clock_(clock),
      random_(random),
      logger_(logger),
      prefix_(std::move(prefix)),
      handler_(std::move(handler)) {}

Replica::~Replica() { strand_->Cancel(timer_); }

void Replica::Start() { List(); }

void Replica::Refresh() {
  if (listing_) {
    again_ = true;
    return;
  }
  List();
}

void Replica::List() {
  strand_->Cancel(std::exchange(timer_, 0));
  listing_ = true;
  std::weak_ptr<bool> alive = alive_;
  store_->List(
      prefix_, kListTimeout,
      [this, alive,
       strand = strand_](absl::StatusOr<RangeResult> result) mutable {
        if (alive.expired()) return;
        strand->Post([this, alive, result = std::move(result)]() mutable {
          if (!alive.expired()) Listed(std::move(result));
        });
      });
}

void Replica::ListAfter(absl::Duration delay) {
  std::weak_ptr<bool> alive = alive_;
  strand_->Cancel(std::exchange(timer_, 0));
  timer_ = strand_->At(clock_->Boot() + delay, [this, alive] {
    if (!alive.expired() && !listing_) List();
  });
}

void Replica::Listed(absl::StatusOr<RangeResult> result) {
  listing_ = false;
  if (!result.ok()) {
    handler_.on_gap();
    backoff_ = std::clamp(backoff_ * 2, kBackoffMin, kBackoffMax);
    ListAfter(backoff_ + random_->Jitter(backoff_));
    return;
  }
  backoff_ = absl::ZeroDuration();
  // An old answer of a store that lags behind proves nothing (guarantees E4).
  if (result->revision >= floor_) {
    std::map<std::string, KeyValue> listed;
    for (KeyValue& item : result->items) listed[item.key] = std::move(item);
    std::vector<std::string> gone;
    for (const auto& [key, item] : items_) {
      if (!listed.contains(key) && item.mod_revision <= result->revision) {
        gone.push_back(key);
      }
    }
    for (const std::string& key : gone) {
      items_.erase(key);
      handler_.on_change(key, nullptr, result->revision);
    }
    for (auto& [key, item] : listed) {
      const auto at = items_.find(key);
      if (at != items_.end() && at->second.mod_revision >= item.mod_revision) {
        continue;
      }
      items_[key] = item;
      handler_.on_change(key, &item, item.mod_revision);
    }
    floor_ = std::max(floor_, result->revision);
  }
  if (watch_ == nullptr) Watch(floor_ + 1);
  synced_ = true;
  handler_.on_synced();
  if (std::exchange(again_, false)) {
    List();
  } else {
    ListAfter(kRelist);
  }
}

void Replica::Watch(int64_t from) {
  const uint64_t number = ++watch_number_;
  std::weak_ptr<bool> alive = alive_;
  WatchHandler handler;
  handler.on_events = [this, alive, number,
                       strand = strand_](std::vector<WatchEvent> events) {
    if (alive.expired()) return;
    strand->Post([this, alive, number, events = std::move(events)] {
      if (alive.expired() || number != watch_number_) return;
      for (const WatchEvent& event : events) Event(event);
    });
  };
  handler.on_end = [this, alive, number, strand = strand_](absl::Status end) {
    if (alive.expired()) return;
    strand->Post([this, alive, number, end = std::move(end)] {
      if (!alive.expired() && number == watch_number_) Ended(end);
    });
  };
  watch_ = store_->Follow(prefix_, from, std::move(handler));
}

void Replica::Event(const WatchEvent& event) {
  const KeyValue& item = event.item;
  if (item.mod_revision <= floor_) {
    const auto at = items_.find(item.key);
    if (at == items_.end() || at->second.mod_revision >= item.mod_revision) {
      return;  // Seen already.
    }
  }
  floor_ = std::max(floor_, item.mod_revision);
  if (event.kind == WatchEvent::Kind::kDelete) {
    if (items_.erase(item.key) == 0) return;
    handler_.on_change(item.key, nullptr, item.mod_revision);
    return;
  }
  items_[item.key] = item;
  handler_.on_change(item.key, &item, item.mod_revision);
}

void Replica::Ended(const absl::Status& status) {
  logger_->Debug(
      absl::StrCat("watch of ", prefix_, " ended: ", status.message()));
  watch_.reset();
  ++watch_number_;
  handler_.on_gap();
  Refresh();
}

}  // namespace muster
