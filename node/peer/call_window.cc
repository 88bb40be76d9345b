#include "node/peer/call_window.h"

namespace muster {

CallWindow::Verdict CallWindow::Admit(uint64_t id, uint64_t digest) {
  if (id <= expired_) return Verdict::kExpired;
  const auto [at, fresh] = seen_.try_emplace(id, digest);
  if (!fresh) {
    return at->second == digest ? Verdict::kAgain : Verdict::kReused;
  }
  if (seen_.size() > ids_max_) {
    expired_ = seen_.begin()->first;
    seen_.erase(seen_.begin());
  }
  return Verdict::kNew;
}

}  // namespace muster
