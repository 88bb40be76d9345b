// ViaRegistry: anything that knows processes by key (otp C1's via tuple).
//
// The node's own Registry and the cluster-wide names are two; a user may add
// others with Runtime::AddVia.
#ifndef MUSTER_NODE_PROCESS_VIA_H_
#define MUSTER_NODE_PROCESS_VIA_H_

#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"

namespace muster {

// LIFETIME: removed from the runtime before it is destroyed. THREADS: any
// thread; never called with a lock of the runtime's held.
class ViaRegistry {
 public:
  virtual ~ViaRegistry() = default;
  // The living process that has `key`; the empty pid if none has. Does not
  // wait.
  virtual Pid WhereIs(absl::string_view key) const = 0;
  // Whom a message to `key` goes to: as WhereIs, unless the registry knows more
  // than a pid.
  virtual std::optional<ServerRef> Address(absl::string_view key) const {
    Pid pid = WhereIs(key);
    if (pid.empty()) return std::nullopt;
    return ServerRef(std::move(pid));
  }
  // Gives `key` to a process of this node. `done` comes once, possibly before
  // this returns: OK; ALREADY_EXISTS ALREADY_STARTED (detail pid: the holder);
  // INVALID_ARGUMENT if it takes no such key; FAILED_PRECONDITION if it cannot
  // serve as a via registry.
  virtual void Register(absl::string_view key, const Pid& pid,
                        absl::AnyInvocable<void(absl::Status)> done) = 0;
  // Takes `key` from `pid`; nothing happens if it has it not.
  virtual void Unregister(absl::string_view key, const Pid& pid) = 0;
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_VIA_H_
