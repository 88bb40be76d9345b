// SeenEpochs: the greatest epoch of each name that a node has heard of.
#ifndef MUSTER_NODE_PEER_SEEN_EPOCHS_H_
#define MUSTER_NODE_PEER_SEEN_EPOCHS_H_

#include <cstddef>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "node/base/mutex.h"
#include "node/registry/name_registry.h"
#include "node/types/pid.h"

namespace muster {

// Owns what peers have said of epochs and the registry has not heard yet; all
// else is the registry's (guarantees R9, G5). THREADS: any.
class SeenEpochs {
 public:
  // Keeps at most `names_max` names ahead of the registry; more are not
  // learned, so that what is refused is refused by the registry's word alone.
  explicit SeenEpochs(const NameRegistry* names, size_t names_max = 100'000)
      : names_(names), names_max_(names_max) {}
  SeenEpochs(const SeenEpochs&) = delete;
  SeenEpochs& operator=(const SeenEpochs&) = delete;

  // Somebody acts for the name under `epoch`. False: a greater one has been
  // seen, so that one is over.
  bool Admit(absl::string_view name, Epoch epoch) ABSL_LOCKS_EXCLUDED(mu_);
  // Empty: none.
  Epoch Greatest(absl::string_view name) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const NameRegistry* const names_;
  const size_t names_max_;

  mutable Mutex mu_;
  absl::flat_hash_map<std::string, Epoch> ahead_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_NODE_PEER_SEEN_EPOCHS_H_
