#include "tests/checkers/store_journal.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace muster {

StoreJournal::StoreJournal(absl::string_view cluster, HowReaped how)
    : keys_(cluster), how_(std::move(how)) {}

Epoch StoreJournal::NodeEpoch(absl::string_view node, uint64_t revision) const {
  const auto at = epochs_.find({std::string(node), revision});
  return at == epochs_.end() ? Epoch() : at->second;
}

void StoreJournal::Begin(const RangeResult& all, bool restored, int64_t at_ns,
                         History* history) {
  nodes_.clear();
  for (const KeyValue& item : all.items) {
    if (item.key != keys_.Meta()) continue;
    store::v1::Meta meta;
    if (meta.ParseFromString(item.value)) generation_ = meta.generation();
  }
  if (restored) {
    HistoryEvent event;
    event.at_ns = at_ns;
    event.kind = EventKind::kRestore;
    event.limit = static_cast<int64_t>(generation_);
    history->push_back(std::move(event));
  }
  for (const KeyValue& item : all.items) {
    const absl::StatusOr<Keys::Parsed> key = keys_.Parse(item.key);
    // Names in a restored store are those of before, not claims anew.
    if (!key.ok() || (restored && key->kind == Keys::Kind::kName)) continue;
    Put(item, at_ns, history);
  }
}

void StoreJournal::Record(const std::vector<WatchEvent>& events, int64_t at_ns,
                          History* history) {
  for (size_t first = 0; first < events.size();) {
    size_t end = first;
    while (end < events.size() &&
           events[end].item.mod_revision == events[first].item.mod_revision) {
      ++end;
    }
    RecordOne(events, first, end, at_ns, history);
    first = end;
  }
}

void StoreJournal::RecordOne(const std::vector<WatchEvent>& events,
                             size_t first, size_t end, int64_t at_ns,
                             History* history) {
  // What the transaction says about the nodes that it ends.
  std::map<std::string, std::string> how;
  // Names that a process gives away, and its node.
  std::map<std::string, std::string> givers;
  for (size_t i = first; i < end; ++i) {
    const WatchEvent& event = events[i];
    if (event.kind != WatchEvent::Kind::kPut) continue;
    const absl::StatusOr<Keys::Parsed> key = keys_.Parse(event.item.key);
    if (!key.ok()) continue;
    if (key->kind == Keys::Kind::kGrave) how[key->id] = "forced";
    if (key->kind != Keys::Kind::kEvent) continue;
    store::v1::EventRecord record;
    if (!record.ParseFromString(event.item.value)) continue;
    if (record.kind() == "node.left") how.emplace(record.node(), "left");
    if (record.kind() == "node.attested") {
      how.emplace(record.node(), "attested");
    }
    if (record.kind() == "node.reaped") how.emplace(record.node(), "silent");
    if (record.kind() == "child.moved") {
      givers.emplace(record.name(), record.from_node());
    }
  }
  for (size_t i = first; i < end; ++i) {
    const WatchEvent& event = events[i];
    if (event.kind == WatchEvent::Kind::kPut) {
      Put(event.item, at_ns, history);
      if (history->empty() || history->back().kind != EventKind::kClaim) {
        continue;
      }
      HistoryEvent& claim = history->back();
      const auto giver = givers.find(claim.name);
      if (giver != givers.end() &&
          claim.epoch.revision ==
              static_cast<uint64_t>(event.item.mod_revision)) {
        claim.op = "moved";
        claim.reason = giver->second;
      }
      continue;
    }
    const absl::StatusOr<Keys::Parsed> key = keys_.Parse(event.item.key);
    if (!key.ok()) continue;
    if (key->kind == Keys::Kind::kNode) {
      const auto said = how.find(key->id);
      NodeGone(key->id, said == how.end() ? "" : said->second, at_ns, history);
    } else if (key->kind == Keys::Kind::kName) {
      HistoryEvent release;
      release.at_ns = at_ns;
      release.kind = EventKind::kRelease;
      release.name = key->id;
      history->push_back(std::move(release));
    }
  }
}

void StoreJournal::Put(const KeyValue& item, int64_t at_ns, History* history) {
  const absl::StatusOr<Keys::Parsed> key = keys_.Parse(item.key);
  if (!key.ok()) return;
  HistoryEvent event;
  event.at_ns = at_ns;
  switch (key->kind) {
    case Keys::Kind::kMeta: {
      store::v1::Meta meta;
      if (!meta.ParseFromString(item.value)) return;
      if (generation_ != 0 && meta.generation() > generation_) {
        // Ends all epochs at once (guarantees R7).
        while (!nodes_.empty()) {
          NodeGone(nodes_.begin()->first, "forced", at_ns, history);
        }
      }
      generation_ = meta.generation();
      return;
    }
    case Keys::Kind::kNode: {
      // A later write of the record is the same membership.
      if (item.create_revision != item.mod_revision &&
          nodes_.contains(key->id)) {
        return;
      }
      const Epoch epoch{generation_,
                        static_cast<uint64_t>(item.create_revision)};
      nodes_[key->id] = epoch;
      epochs_[{key->id, epoch.revision}] = epoch;
      event.kind = EventKind::kJoin;
      event.node = key->id;
      event.node_epoch = epoch;
      break;
    }
    case Keys::Kind::kName: {
      store::v1::NameRecord record;
      if (!record.ParseFromString(item.value)) return;
      event.kind = EventKind::kClaim;
      event.name = key->id;
      event.epoch =
          Epoch{generation_, static_cast<uint64_t>(item.mod_revision)};
      event.node = record.owner();
      event.node_epoch = NodeEpoch(record.owner(), record.owner_revision());
      if (event.node_epoch.empty()) {
        event.node_epoch = Epoch{generation_, record.owner_revision()};
      }
      event.seq = record.process();
      event.key = record.instance();
      event.session = record.supervisor();
      break;
    }
    case Keys::Kind::kSupervisor: {
      store::v1::SupervisorRecord record;
      if (!record.ParseFromString(item.value)) return;
      event.kind =
          record.failed().empty() ? EventKind::kBudget : EventKind::kGaveUp;
      event.key = key->id;
      if (event.kind == EventKind::kBudget) {
        event.limit = record.intensity();
        event.value =
            record.period().seconds() * 1'000'000'000 + record.period().nanos();
      }
      break;
    }
    default:
      return;
  }
  history->push_back(std::move(event));
}

void StoreJournal::NodeGone(const std::string& node, absl::string_view how,
                            int64_t at_ns, History* history) {
  const auto at = nodes_.find(node);
  if (at == nodes_.end()) return;
  HistoryEvent event;
  event.at_ns = at_ns;
  event.kind = EventKind::kReap;
  event.node = node;
  event.node_epoch = at->second;
  if (!how.empty()) {
    event.op = std::string(how);
  } else if (how_) {
    event.op = how_(node, at->second);
  } else {
    event.op = "silent";
  }
  nodes_.erase(at);
  history->push_back(std::move(event));
}

}  // namespace muster
