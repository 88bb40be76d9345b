#include "node/peer/seen_epochs.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace muster {

Epoch SeenEpochs::Greatest(absl::string_view name) const {
  const Epoch registered = names_->Seen(name);
  MutexLock lock(&mu_);
  const auto at = ahead_.find(name);
  return at == ahead_.end() ? registered : std::max(registered, at->second);
}

bool SeenEpochs::Admit(absl::string_view name, Epoch epoch) {
  const Epoch registered = names_->Seen(name);
  if (epoch < registered) return false;
  std::vector<std::string> known;
  {
    MutexLock lock(&mu_);
    const auto at = ahead_.find(name);
    if (at != ahead_.end() && at->second > registered) {
      if (epoch < at->second) return false;
      at->second = epoch;
      return true;
    }
    if (at != ahead_.end()) ahead_.erase(at);
    if (epoch == registered) return true;
    if (ahead_.size() < names_max_) {
      ahead_[std::string(name)] = epoch;
      return true;
    }
    known.reserve(ahead_.size());
    for (const auto& [other, seen] : ahead_) known.push_back(other);
  }
  // The registry has caught up with most of them.
  std::erase_if(known, [this](const std::string& other) {
    const Epoch caught_up = names_->Seen(other);
    MutexLock lock(&mu_);
    const auto at = ahead_.find(other);
    return at == ahead_.end() || at->second > caught_up;
  });
  MutexLock lock(&mu_);
  for (const std::string& other : known) ahead_.erase(other);
  // Meanwhile another thread may have seen a greater one.
  if (ahead_.size() < names_max_) {
    Epoch& greatest = ahead_[std::string(name)];
    greatest = std::max(greatest, epoch);
  }
  return true;
}

}  // namespace muster
