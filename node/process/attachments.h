// Attachments: what parts of a node leave for others to find by name.
//
// A table that many processes read without asking its owner, for example. The
// owner puts it here; readers share it.
#ifndef MUSTER_NODE_PROCESS_ATTACHMENTS_H_
#define MUSTER_NODE_PROCESS_ATTACHMENTS_H_

#include <memory>
#include <string>
#include <typeindex>
#include <typeinfo>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "node/base/mutex.h"

namespace muster {

// THREADS: any.
class Attachments {
 public:
  // Replaces what had the name.
  template <typename T>
  void Put(absl::string_view name, std::shared_ptr<T> object)
      ABSL_LOCKS_EXCLUDED(mu_) {
    Entry entry{std::type_index(typeid(T)), std::move(object)};
    MutexLock lock(&mu_);
    entries_.insert_or_assign(std::string(name), std::move(entry));
  }
  // Null: nothing has the name, or it is of another type.
  template <typename T>
  std::shared_ptr<T> Get(absl::string_view name) const
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto at = entries_.find(name);
    if (at == entries_.end() || at->second.type != typeid(T)) return nullptr;
    return std::static_pointer_cast<T>(at->second.object);
  }
  // Takes it away if it is still `object`.
  void Remove(absl::string_view name, const void* object)
      ABSL_LOCKS_EXCLUDED(mu_) {
    std::shared_ptr<void> removed;  // Destroyed after the lock.
    MutexLock lock(&mu_);
    const auto at = entries_.find(name);
    if (at == entries_.end() || at->second.object.get() != object) return;
    removed = std::move(at->second.object);
    entries_.erase(at);
  }

 private:
  struct Entry {
    std::type_index type;
    std::shared_ptr<void> object;
  };

  mutable Mutex mu_;
  absl::flat_hash_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_ATTACHMENTS_H_
