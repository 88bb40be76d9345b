// SimRecorder: the history of a simulated cluster, for the checkers.
//
// What the store commits goes into it by itself, at its place; whoever notes
// something else need not look at the store first.
#ifndef MUSTER_TESTS_SIM_SIM_RECORDER_H_
#define MUSTER_TESTS_SIM_SIM_RECORDER_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/string_view.h"
#include "cluster/store/store.h"
#include "node/types/pid.h"
#include "tests/checkers/history.h"
#include "tests/checkers/store_journal.h"
#include "tests/testkit/sim_cluster.h"

namespace muster {

// THREADS: the one of the simulation. LIFETIME: what records into it may
// outlive the simulation, and is then not heard any more.
class SimRecorder {
 public:
  SimRecorder() : journal_("sim") {}

  // From now on until Close() everything is noted.
  void Attach(SimCluster* cluster) { cluster_ = cluster; }
  void Close() { cluster_ = nullptr; }
  bool open() const { return cluster_ != nullptr; }
  SimCluster& cluster() { return *cluster_; }
  int64_t Now() const;

  // Notes an event of now; the caller fills it in before anything else is
  // noted. After Close() nobody sees it.
  HistoryEvent& Add(EventKind kind);
  void Fault(absl::string_view what);
  // Before the store's history is compacted or replaced.
  void Follow();
  // The store went back to an earlier state.
  void Restored();
  // The store applied it.
  void Applied(const Txn& txn, const TxnResult& result);

  const History& history() const { return history_; }
  StoreJournal& journal() { return journal_; }

  // -- What servers share
  // ------------------------------------------------------ A resource outside
  // that takes effects only with a token that is not smaller than any before.
  struct Resource {
    Epoch token;
    int64_t value = 0;
  };
  std::map<std::string, Resource> resources;
  // Name -> when it crashed, until it has been started again.
  std::map<std::string, int64_t> crashes;
  // Node, its epoch, number -> what a server was started with.
  std::map<std::tuple<std::string, Epoch, uint64_t>, int64_t> options;
  // Key of a pair -> node of its sender, name of its receiver.
  std::map<std::string, std::pair<std::string, std::string>> pairs;

 private:
  SimCluster* cluster_ = nullptr;
  StoreJournal journal_;
  int64_t next_revision_ = 1;
  History history_;
  HistoryEvent unheard_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_SIM_SIM_RECORDER_H_
