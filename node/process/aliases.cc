#include "node/process/aliases.h"

namespace muster {

Aliases::Received Aliases::Receive(uint64_t id) {
  const auto at = kinds_.find(id);
  if (at == kinds_.end()) return Received::kOff;
  switch (at->second) {
    case AliasKind::kExplicit:
    case AliasKind::kDemonitor:
      return Received::kOn;
    case AliasKind::kReply:
      kinds_.erase(at);
      return Received::kOn;
    case AliasKind::kReplyDemonitor:
      kinds_.erase(at);
      return Received::kOnEndsMonitor;
  }
  return Received::kOff;
}

void Aliases::MonitorEnded(uint64_t id) {
  const auto at = kinds_.find(id);
  if (at == kinds_.end()) return;
  if (at->second == AliasKind::kDemonitor ||
      at->second == AliasKind::kReplyDemonitor) {
    kinds_.erase(at);
  }
}

}  // namespace muster
