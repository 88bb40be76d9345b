// StoreState: keys, revisions and history of a store that lives in memory.
//
// The pure half of EmbeddedStore and of the simulated store: values in, values
// out, no threads, no time. Revisions are etcd's: an empty store is at 1, each
// transaction that changes something takes the next one.
#ifndef MUSTER_CLUSTER_STORE_STORE_STATE_H_
#define MUSTER_CLUSTER_STORE_STORE_STATE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cluster/store/store.h"

namespace muster {

struct StoreStateOptions {
  // Most events of history. Too few: watches that fall behind must list
  // again. Too many: memory.
  size_t history_events_max = 100'000;
  // Most bytes of keys and values in the history; at least one revision stays.
  size_t history_bytes_max = 64 << 20;
};

// Owns what the store holds.
// THREADS: one at a time; its owner holds a lock or is one thread.
class StoreState {
 public:
  using Options = StoreStateOptions;

  explicit StoreState(Options options = {}) : options_(options) {}

  // Runs a transaction that ValidateTxn let pass. Gets see the steps before
  // them, and changes are reported in the order of the steps, as in etcd.
  TxnResult Apply(Txn txn);

  RangeResult List(absl::string_view prefix) const;

  // Part of the history of the keys under a prefix.
  struct Slice {
    std::vector<WatchEvent> events;
    // Where the next slice begins.
    int64_t next_revision = 0;
  };
  // Events from `from_revision` on: whole revisions, about `events_max` events
  // at most. OUT_OF_RANGE COMPACTED if some of them are gone.
  absl::StatusOr<Slice> Events(absl::string_view prefix, int64_t from_revision,
                               size_t events_max) const;

  // Forgets the history below `revision`. OUT_OF_RANGE if that was done before
  // or `revision` is not reached yet.
  absl::Status Compact(int64_t revision);

  // Of the latest change.
  int64_t revision() const { return revision_; }
  // The smallest revision from which Events() can begin; 0: any.
  int64_t compacted_revision() const { return compacted_revision_; }

 private:
  // Which branches run, chosen before the first step: of `txn` itself, then of
  // each nested one in the branch before it, depth first.
  void Choose(const Txn& txn, std::deque<bool>* path) const;
  // Runs the branches that `path` begins with, and takes them off it. True if
  // something changed.
  bool Run(Txn txn, int64_t revision, std::deque<bool>* path,
           TxnResult* result);
  bool Holds(const Compare& compare) const;
  void Record(WatchEvent event);
  void PopFront();
  void Trim();

  const Options options_;
  int64_t revision_ = 1;
  int64_t compacted_revision_ = 0;
  std::map<std::string, KeyValue, std::less<>> items_;
  // Sorted by revision, then by step.
  std::deque<WatchEvent> history_;
  size_t history_bytes_ = 0;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_STORE_STORE_STATE_H_
