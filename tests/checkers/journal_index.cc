#include "tests/checkers/journal_index.h"

namespace muster {

JournalIndex::JournalIndex(const History& history) {
  for (size_t place = 0; place < history.size(); ++place) {
    const HistoryEvent& event = history[place];
    switch (event.kind) {
      case EventKind::kClaim:
        claims[event.name].push_back({place, &event});
        break;
      case EventKind::kReap:
        reaps.emplace(
            NodeKey(event.node, event.node_epoch),
            Reap{place, &event, event.op == "silent" || event.op == "forced"});
        break;
      case EventKind::kDied:
        died.emplace(NodeKey(event.node, event.node_epoch), place);
        break;
      case EventKind::kExit:
        exits.emplace(ProcessKey(event.node, event.node_epoch, event.seq),
                      place);
        break;
      default:
        break;
    }
  }
}

const JournalIndex::Claim* JournalIndex::ClaimOf(const std::string& name,
                                                 Epoch epoch) const {
  const auto at = claims.find(name);
  if (at == claims.end()) return nullptr;
  for (const Claim& claim : at->second) {
    if (claim.event->epoch == epoch) return &claim;
  }
  return nullptr;
}

const JournalIndex::Claim* JournalIndex::SuccessorOf(const std::string& name,
                                                     Epoch epoch) const {
  const auto at = claims.find(name);
  if (at == claims.end()) return nullptr;
  for (const Claim& claim : at->second) {
    if (claim.event->epoch > epoch) return &claim;
  }
  return nullptr;
}

}  // namespace muster
