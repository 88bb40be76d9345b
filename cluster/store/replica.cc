#include "cluster/store/replica.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "node/base/planted.h"
#include "node/types/names.h"

namespace muster {
namespace {

constexpr absl::Duration kListTimeout = absl::Seconds(2);
constexpr absl::Duration kRelist = absl::Seconds(30);
// How far a watch may be behind a list before it counts as deaf.
constexpr absl::Duration kWatchPatience = absl::Seconds(5);
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

Replica::~Replica() {
  strand_->Cancel(timer_);
  strand_->Cancel(owed_timer_);
}

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
  asked_at_ = std::max(floor_, telling_);
  deleted_.clear();
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
  // Planted: what the gap has swallowed stays unknown.
  const bool skip = Planted(PlantedBug::kNoListAfterGap) && synced_;
  // An old answer of a store that lags behind proves nothing (guarantees E4).
  if (result->revision >= asked_at_) {
    const int64_t revision = result->revision;
    if (!skip) Adopt(*std::move(result));
    listed_ = std::max(listed_, revision);
    floor_ = std::max(floor_, revision);
  }
  deleted_.clear();
  if (watch_ == nullptr) Watch(floor_ + 1);
  synced_ = true;
  handler_.on_synced();
  if (std::exchange(again_, false)) {
    List();
  } else {
    ListAfter(kRelist);
  }
}

void Replica::Adopt(RangeResult list) {
  // Both are sorted by key.
  std::vector<std::string> gone;
  std::vector<KeyValue*> newer;
  auto held = items_.begin();
  const auto skip_to = [&](const std::string* key) {
    for (; held != items_.end() && (key == nullptr || held->first < *key);
         ++held) {
      if (held->second.mod_revision <= list.revision) {
        gone.push_back(held->first);
      }
    }
  };
  for (KeyValue& item : list.items) {
    skip_to(&item.key);
    if (held != items_.end() && held->first == item.key) {
      if (held->second.mod_revision < item.mod_revision) newer.push_back(&item);
      ++held;
      continue;
    }
    const auto deleted = deleted_.find(item.key);
    if (deleted == deleted_.end() || deleted->second < item.mod_revision) {
      newer.push_back(&item);
    }
  }
  skip_to(nullptr);
  for (const std::string& key : gone) {
    const auto at = items_.find(key);
    const int64_t was = at->second.mod_revision;
    items_.erase(at);
    if (watch_ != nullptr) owed_[key] = was + 1;
    handler_.on_change(key, nullptr, list.revision);
  }
  for (KeyValue* item : newer) {
    if (watch_ != nullptr) owed_[item->key] = item->mod_revision;
    const KeyValue& now = items_[item->key] = std::move(*item);
    handler_.on_change(now.key, &now, now.mod_revision);
  }
  if (owed_.empty() || owed_timer_ != 0) return;
  std::weak_ptr<bool> alive = alive_;
  owed_timer_ = strand_->At(clock_->Boot() + kWatchPatience, [this, alive] {
    if (!alive.expired()) CheckOwed();
  });
}

void Replica::CheckOwed() {
  owed_timer_ = 0;
  if (owed_.empty() || watch_ == nullptr) return;
  logger_->Error(
      absl::StrCat("the watch of ", prefix_, " has not told of ", owed_.size(),
                   " changes that a list has found, such as ",
                   LogSafe(owed_.begin()->first), ": it is set up anew"));
  Ended(absl::UnavailableError("it has lost events"));
}

void Replica::Watch(int64_t from) {
  const uint64_t number = ++watch_number_;
  owed_.clear();
  std::weak_ptr<bool> alive = alive_;
  WatchHandler handler;
  handler.on_events = [this, alive, number,
                       strand = strand_](std::vector<WatchEvent> events) {
    if (alive.expired()) return;
    strand->Post([this, alive, number, events = std::move(events)] {
      if (alive.expired() || number != watch_number_) return;
      Events(events);
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

void Replica::Events(const std::vector<WatchEvent>& events) {
  // Many keys may have one revision, which is seen only with the last of them.
  for (const WatchEvent& event : events) {
    if (event.item.mod_revision > telling_) {
      floor_ = std::max(floor_, telling_);
      telling_ = event.item.mod_revision;
    }
    Event(event);
  }
  floor_ = std::max(floor_, telling_);
}

void Replica::Event(const WatchEvent& event) {
  const KeyValue& item = event.item;
  if (const auto owed = owed_.find(item.key);
      owed != owed_.end() && owed->second <= item.mod_revision) {
    owed_.erase(owed);
  }
  if (item.mod_revision <= floor_) {
    const auto at = items_.find(item.key);
    if (at == items_.end() || at->second.mod_revision >= item.mod_revision) {
      return;  // Seen already.
    }
  }
  if (event.kind == WatchEvent::Kind::kDelete) {
    if (listing_) deleted_[item.key] = item.mod_revision;
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
