#include "cluster/membership/rejoin.h"

#include <algorithm>
#include <cstddef>

namespace muster {
namespace {

// FNV-1a, and a last step that spreads names that differ in their last byte
// only over all bits (that of MurmurHash3).
uint64_t Hash(absl::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdULL;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return hash ^ (hash >> 33);
}

}  // namespace

absl::Duration RejoinDelay(absl::string_view node,
                           const std::map<std::string, uint64_t>& before,
                           const std::map<std::string, uint64_t>& now) {
  size_t lost = 0;
  for (const auto& [name, revision] : before) {
    const auto at = now.find(name);
    if (at == now.end() || at->second != revision) ++lost;
  }
  if (lost <= std::max<size_t>(1, before.size() / 5)) {
    return absl::ZeroDuration();
  }
  // 53 bits are what a double has.
  return kRejoinSpread * (static_cast<double>(Hash(node) >> 11) * 0x1p-53);
}

}  // namespace muster
