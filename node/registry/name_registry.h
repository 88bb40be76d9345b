// NameRegistry: cluster-wide names, as a node sees them.
//
// The interface belongs to node/, which does not know how names are agreed on;
// cluster/ brings the implementation.
#ifndef MUSTER_NODE_REGISTRY_NAME_REGISTRY_H_
#define MUSTER_NODE_REGISTRY_NAME_REGISTRY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "node/types/pid.h"

namespace muster {

// One ownership of one name.
struct NameEntry {
  std::string name;
  Pid pid;
  // Greater than that of every earlier owner (guarantees G2).
  Epoch epoch;
  std::string type;
  // Full name of the type's gRPC service; empty if unknown.
  std::string service;
  // Not empty: this supervisor keeps the name alive, so that a dead process
  // means "restarting", not "gone".
  std::string supervisor;
};

// THREADS: any thread. Callbacks come on a worker or a thread of the store's,
// possibly before the call returns.
class NameRegistry {
 public:
  virtual ~NameRegistry() = default;

  // From this node's own copy, without a round trip; may be old, and says how
  // old by its epoch. Never goes back to a smaller epoch (guarantees G5).
  virtual std::optional<NameEntry> WhereIs(absl::string_view name) const = 0;

  // WhereIs, and if that knows nothing, or nothing newer than `above`, asks
  // the store. NOT_FOUND NOPROC: the name is free. UNAVAILABLE: the store
  // cannot be asked now.
  virtual void Resolve(
      absl::string_view name, Epoch above,
      absl::AnyInvocable<void(absl::StatusOr<NameEntry>)> done) = 0;

  // The epoch under which somebody is last known to have, or to have had, the
  // name; empty: none. Any smaller one is over (guarantees G5). A name that has
  // become free has none: what its last owner sent before may still arrive.
  virtual Epoch Seen(absl::string_view name) const {
    const std::optional<NameEntry> entry = WhereIs(name);
    return entry.has_value() ? entry->epoch : Epoch();
  }

  // Asks the store, by a transaction that writes (guarantees R8, E13), whether
  // `owner` had the name under `epoch` at some moment after this call began.
  // ABORTED FENCED: it had not. Others: the store has not said.
  virtual void Confirm(absl::string_view name, const Pid& owner, Epoch epoch,
                       absl::AnyInvocable<void(absl::Status)> done) = 0;
  // In the same way, whether the node that `owner` is a process of was a
  // member, as the same incarnation.
  virtual void ConfirmMember(const Pid& owner,
                             absl::AnyInvocable<void(absl::Status)> done) = 0;

  // Gives a process of this node a name; gone when the process ends.
  // ALREADY_EXISTS ALREADY_STARTED (detail pid: the holder); INVALID_ARGUMENT
  // BAD_NAME; NOT_FOUND NOPROC; UNAVAILABLE; DEADLINE_EXCEEDED (UNKNOWN).
  virtual void Register(
      absl::string_view name, const Pid& pid,
      absl::AnyInvocable<void(absl::StatusOr<Epoch>)> done) = 0;
  // Takes a name from a process of this node. NOT_FOUND if it has it not;
  // UNAVAILABLE: it keeps it; DEADLINE_EXCEEDED, ABORTED (UNKNOWN): it has lost
  // it, and the name is free once the store answers.
  virtual void Unregister(absl::string_view name,
                          absl::AnyInvocable<void(absl::Status)> done) = 0;

  // All names that begin with `prefix`, sorted, from this node's copy.
  virtual std::vector<NameEntry> List(absl::string_view prefix) const = 0;
};

}  // namespace muster

#endif  // MUSTER_NODE_REGISTRY_NAME_REGISTRY_H_
