// SeenNames: the greatest epoch of each name that a client has met.
#ifndef MUSTER_CLIENT_SEEN_NAMES_H_
#define MUSTER_CLIENT_SEEN_NAMES_H_

#include <algorithm>
#include <cstddef>
#include <list>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "node/base/mutex.h"
#include "node/types/pid.h"

namespace muster {

// What a client sends with each request for a name, so that no node, however
// far behind, takes it back in time (guarantees G5). Remembers `names_max` of
// them; more push out the one that was not used for longest, for which the
// promise then begins anew. THREADS: any.
class SeenNames {
 public:
  explicit SeenNames(size_t names_max = 10'000) : names_max_(names_max) {}
  SeenNames(const SeenNames&) = delete;
  SeenNames& operator=(const SeenNames&) = delete;

  // Somebody has answered for `name` under `epoch`; empty: under none.
  void See(absl::string_view name, Epoch epoch) ABSL_LOCKS_EXCLUDED(mu_) {
    if (epoch.empty()) return;
    MutexLock lock(&mu_);
    const auto at = by_name_.find(name);
    if (at != by_name_.end()) {
      Epoch& greatest = at->second->epoch;
      greatest = std::max(greatest, epoch);
      entries_.splice(entries_.begin(), entries_, at->second);
      return;
    }
    if (entries_.size() >= names_max_) {
      by_name_.erase(entries_.back().name);
      entries_.pop_back();
    }
    entries_.push_front(Entry{std::string(name), epoch});
    by_name_.emplace(entries_.front().name, entries_.begin());
  }

  // Empty: none is remembered.
  Epoch Greatest(absl::string_view name) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto at = by_name_.find(name);
    if (at == by_name_.end()) return Epoch();
    entries_.splice(entries_.begin(), entries_, at->second);
    return at->second->epoch;
  }

 private:
  struct Entry {
    std::string name;
    Epoch epoch;
  };

  const size_t names_max_;

  Mutex mu_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mu_);  // Used last comes first.
  absl::flat_hash_map<absl::string_view, std::list<Entry>::iterator> by_name_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_CLIENT_SEEN_NAMES_H_
