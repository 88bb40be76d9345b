// Aliases: reply addresses of a process that can be switched off (otp 1.6).
#ifndef MUSTER_NODE_PROCESS_ALIASES_H_
#define MUSTER_NODE_PROCESS_ALIASES_H_

#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "node/process/signals.h"

namespace muster {

// The aliases of one process. An alias that is tied to a monitor has the
// monitor's id. Pure: no lock, no clock.
class Aliases {
 public:
  // `id` is new. kDemonitor and kReplyDemonitor: that of a monitor.
  void Add(uint64_t id, AliasKind kind) { kinds_[id] = kind; }

  enum class Received : uint8_t {
    kOff,            // Drop the message (otp A1).
    kOn,             // Take it.
    kOnEndsMonitor,  // Take it, and remove the monitor `id`.
  };
  Received Receive(uint64_t id);
  // False: it is not active, or not of this process (otp A3).
  bool Remove(uint64_t id) { return kinds_.erase(id) > 0; }
  // The monitor was removed, or fires.
  void MonitorEnded(uint64_t id);
  bool IsOn(uint64_t id) const { return kinds_.contains(id); }
  size_t size() const { return kinds_.size(); }

 private:
  absl::flat_hash_map<uint64_t, AliasKind> kinds_;
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_ALIASES_H_
