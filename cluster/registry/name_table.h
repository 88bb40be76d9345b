// NameTable: what a node knows of all cluster-wide names.
#ifndef MUSTER_CLUSTER_REGISTRY_NAME_TABLE_H_
#define MUSTER_CLUSTER_REGISTRY_NAME_TABLE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "muster/store/v1/store.pb.h"
#include "node/base/mutex.h"
#include "node/registry/name_registry.h"

namespace muster {

// A name and its record's state, for parts of cluster/.
struct NameRecordView {
  store::v1::NameRecord record;
  int64_t mod_revision = 0;
};

// One record as it was learned, with what look-ups answer made beforehand.
struct KnownName {
  NameRecordView view;
  // `service` may be empty because the owner's record was not known yet.
  NameEntry entry;
  // The version of the member list that had the owner in it, so that most
  // look-ups need not search that; 0: none yet.
  mutable std::atomic<uint64_t> owned_at{0};
};

// Never goes back (guarantees G5, R6): of each name the greatest revision is
// kept, also of its absence, and what is not above it is not believed. Of
// absent names that is a revision for each one deleted since the last whole
// list; what is older, that list has settled: a record at or below its revision
// which is not here had been deleted by then. So the table is as large as the
// names that are, not those that ever were.
//
// THREADS: any. Look-ups of two threads meet only if their names fall into the
// same of 64 parts, and then for some instructions.
class NameTable {
 public:
  NameTable() = default;
  NameTable(const NameTable&) = delete;
  NameTable& operator=(const NameTable&) = delete;

  // Null: it is not known. Allocates nothing.
  std::shared_ptr<const KnownName> Find(absl::string_view name) const;
  // All that begin with `prefix`, sorted.
  std::vector<std::shared_ptr<const KnownName>> List(
      absl::string_view prefix) const;

  // False: something newer is known, or this already.
  bool Put(std::shared_ptr<const KnownName> known);
  // The name was absent at `revision`. False: something newer is known, or
  // nothing that this would change.
  bool Remove(absl::string_view name, int64_t revision);
  // A list of all names at `revision` has been told by Put and Remove.
  void Listed(int64_t revision);

  size_t size() const;
  // Absent names of which a revision is kept.
  size_t floors() const;

 private:
  static constexpr size_t kParts = 64;
  struct alignas(64) Part {
    mutable Mutex mu;
    absl::flat_hash_map<std::string, std::shared_ptr<const KnownName>> names
        ABSL_GUARDED_BY(mu);
    // Of names that are not in `names`.
    absl::flat_hash_map<std::string, int64_t> floors ABSL_GUARDED_BY(mu);
    // Of the last whole list.
    int64_t listed ABSL_GUARDED_BY(mu) = 0;
  };

  static size_t PartOf(absl::string_view name);

  std::array<Part, kParts> parts_;
  // All names in order. Locked after a part, or alone.
  mutable Mutex order_mu_;
  absl::btree_set<std::string> order_ ABSL_GUARDED_BY(order_mu_);
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_REGISTRY_NAME_TABLE_H_
