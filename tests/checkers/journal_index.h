// JournalIndex: who owned which name and lived when, from the store's journal
// in a history. Times are places in the history.
#ifndef MUSTER_TESTS_CHECKERS_JOURNAL_INDEX_H_
#define MUSTER_TESTS_CHECKERS_JOURNAL_INDEX_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "node/types/pid.h"
#include "tests/checkers/history.h"

namespace muster {

// LIFETIME: `history` outlives it.
struct JournalIndex {
  struct Claim {
    size_t place = 0;
    const HistoryEvent* event = nullptr;
  };
  struct Reap {
    size_t place = 0;
    const HistoryEvent* event = nullptr;
    // The node may have been alive: silent, forced.
    bool silent = false;
  };
  using NodeKey = std::pair<std::string, Epoch>;
  // Node, its epoch, number.
  using ProcessKey = std::tuple<std::string, Epoch, uint64_t>;

  explicit JournalIndex(const History& history);

  // The claim of this epoch of the name; null: none was recorded.
  const Claim* ClaimOf(const std::string& name, Epoch epoch) const;
  // The first claim of the name with a greater epoch; null: none.
  const Claim* SuccessorOf(const std::string& name, Epoch epoch) const;

  // In the order of the journal.
  std::map<std::string, std::vector<Claim>> claims;
  std::map<NodeKey, Reap> reaps;
  std::map<NodeKey, size_t> died;
  std::map<ProcessKey, size_t> exits;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CHECKERS_JOURNAL_INDEX_H_
