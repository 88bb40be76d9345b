#include "cluster/store/store_state.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "node/types/status.h"

namespace muster {
namespace {

size_t BytesOf(const WatchEvent& event) {
  return event.item.key.size() + event.item.value.size();
}

absl::Status OutOfRange(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kOutOfRange, reason, message)
      .NotExecuted()
      .status();
}

}  // namespace

bool StoreState::Holds(const Compare& compare) const {
  const auto it = items_.find(compare.key);
  const bool absent = it == items_.end();
  bool equal = false;
  switch (compare.what) {
    case Compare::What::kCreateRevision:
      equal = compare.revision == (absent ? 0 : it->second.create_revision);
      break;
    case Compare::What::kModRevision:
      equal = compare.revision == (absent ? 0 : it->second.mod_revision);
      break;
    case Compare::What::kValue:
      // Neither equal nor different: an absent key has no value (as etcd).
      if (absent) return false;
      equal = compare.value == it->second.value;
      break;
  }
  return equal == (compare.op == Compare::Op::kEqual);
}

void StoreState::Choose(const Txn& txn, std::deque<bool>* path) const {
  const bool succeeds =
      std::all_of(txn.compares.begin(), txn.compares.end(),
                  [this](const Compare& compare) { return Holds(compare); });
  path->push_back(succeeds);
  for (const StoreOp& op : succeeds ? txn.then : txn.otherwise) {
    for (const Txn& nested : op.nested) Choose(nested, path);
  }
}

bool StoreState::Run(Txn txn, int64_t revision, std::deque<bool>* path,
                     TxnResult* result) {
  result->succeeded = path->front();
  path->pop_front();
  bool changed = false;
  const auto erase = [&](auto it) {
    changed = true;
    Record({.kind = WatchEvent::Kind::kDelete,
            .item = {.key = it->first, .mod_revision = revision}});
    return items_.erase(it);
  };
  for (StoreOp& op : result->succeeded ? txn.then : txn.otherwise) {
    switch (op.kind) {
      case StoreOp::Kind::kPut: {
        changed = true;
        KeyValue& item = items_[op.key];
        if (item.create_revision == 0) item.create_revision = revision;
        item.mod_revision = revision;
        item.key = std::move(op.key);
        item.value = std::move(op.value);
        Record({.kind = WatchEvent::Kind::kPut, .item = item});
        break;
      }
      case StoreOp::Kind::kDelete:
        if (const auto it = items_.find(op.key); it != items_.end()) erase(it);
        break;
      case StoreOp::Kind::kDeletePrefix:
        for (auto it = items_.lower_bound(op.key);
             it != items_.end() && absl::StartsWith(it->first, op.key);) {
          it = erase(it);
        }
        break;
      case StoreOp::Kind::kGet: {
        std::vector<KeyValue>& get = result->gets.emplace_back();
        if (const auto it = items_.find(op.key); it != items_.end()) {
          get.push_back(it->second);
        }
        break;
      }
      case StoreOp::Kind::kTxn:
        changed |= Run(std::move(op.nested[0]), revision, path,
                       &result->nested.emplace_back());
        break;
    }
  }
  return changed;
}

TxnResult StoreState::Apply(Txn txn) {
  TxnResult result;
  std::deque<bool> path;
  Choose(txn, &path);
  if (Run(std::move(txn), revision_ + 1, &path, &result)) ++revision_;
  Trim();
  result.SetRevision(revision_);
  return result;
}

RangeResult StoreState::List(absl::string_view prefix) const {
  RangeResult result{.revision = revision_};
  for (auto it = items_.lower_bound(prefix);
       it != items_.end() && absl::StartsWith(it->first, prefix); ++it) {
    result.items.push_back(it->second);
  }
  return result;
}

absl::StatusOr<StoreState::Slice> StoreState::Events(absl::string_view prefix,
                                                     int64_t from_revision,
                                                     size_t events_max) const {
  if (from_revision < compacted_revision_) {
    return OutOfRange("COMPACTED",
                      absl::StrCat("revision ", from_revision,
                                   " is gone, the history begins"
                                   " at ",
                                   compacted_revision_, ": list, then watch"));
  }
  Slice slice;
  slice.next_revision = std::max(from_revision, revision_ + 1);
  auto it = std::lower_bound(history_.begin(), history_.end(), from_revision,
                             [](const WatchEvent& event, int64_t revision) {
                               return event.item.mod_revision < revision;
                             });
  for (int64_t last = 0; it != history_.end(); ++it) {
    if (slice.events.size() >= events_max && it->item.mod_revision != last) {
      slice.next_revision = it->item.mod_revision;
      break;
    }
    last = it->item.mod_revision;
    if (absl::StartsWith(it->item.key, prefix)) slice.events.push_back(*it);
  }
  return slice;
}

absl::Status StoreState::Compact(int64_t revision) {
  if (revision <= compacted_revision_) {
    return OutOfRange("COMPACTED", absl::StrCat("revision ", revision,
                                                " was compacted before"));
  }
  if (revision > revision_) {
    return OutOfRange(
        "FUTURE_REVISION",
        absl::StrCat("revision ", revision, " is not reached, the store is at ",
                     revision_));
  }
  compacted_revision_ = revision;
  while (!history_.empty() && history_.front().item.mod_revision < revision) {
    PopFront();
  }
  return absl::OkStatus();
}

void StoreState::Record(WatchEvent event) {
  history_bytes_ += BytesOf(event);
  history_.push_back(std::move(event));
}

void StoreState::PopFront() {
  history_bytes_ -= BytesOf(history_.front());
  history_.pop_front();
}

void StoreState::Trim() {
  while (history_.size() > options_.history_events_max ||
         history_bytes_ > options_.history_bytes_max) {
    const int64_t oldest = history_.front().item.mod_revision;
    // The latest revision is not split, and stays however large.
    if (oldest == revision_) return;
    while (history_.front().item.mod_revision == oldest) PopFront();
    compacted_revision_ = oldest + 1;
  }
}

}  // namespace muster
