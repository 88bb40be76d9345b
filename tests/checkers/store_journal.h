// StoreJournal: the store's own history as events of a History.
//
// Whoever follows the store, a simulation or a recorder of a real cluster,
// hands it what changed; it knows what the records mean.
#ifndef MUSTER_TESTS_CHECKERS_STORE_JOURNAL_H_
#define MUSTER_TESTS_CHECKERS_STORE_JOURNAL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "muster/store/v1/store.pb.h"
#include "node/types/pid.h"
#include "tests/checkers/history.h"

namespace muster {

// THREADS: one.
class StoreJournal {
 public:
  // Asked how a node's epoch ended when the store does not say: left,
  // attested, silent or forced.
  using HowReaped =
      std::function<std::string(absl::string_view node, Epoch node_epoch)>;

  explicit StoreJournal(absl::string_view cluster, HowReaped how = nullptr);

  // Everything that is in the store now; `restored`: it went back to that.
  void Begin(const RangeResult& all, bool restored, int64_t at_ns,
             History* history);
  // What has changed since: whole revisions, in order.
  void Record(const std::vector<WatchEvent>& events, int64_t at_ns,
              History* history);

  const Keys& keys() const { return keys_; }
  uint64_t generation() const { return generation_; }
  // The epoch of the node with this revision, empty if it was never a member.
  Epoch NodeEpoch(absl::string_view node, uint64_t revision) const;

 private:
  void RecordOne(const std::vector<WatchEvent>& events, size_t first,
                 size_t end, int64_t at_ns, History* history);
  void Put(const KeyValue& item, int64_t at_ns, History* history);
  void NodeGone(const std::string& node, absl::string_view how, int64_t at_ns,
                History* history);

  const Keys keys_;
  const HowReaped how_;
  uint64_t generation_ = 0;
  // The living.
  std::map<std::string, Epoch, std::less<>> nodes_;
  // All that ever were, by revision.
  std::map<std::pair<std::string, uint64_t>, Epoch> epochs_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CHECKERS_STORE_JOURNAL_H_
