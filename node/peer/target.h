// FindTarget: which process of this node a message is for.
#ifndef MUSTER_NODE_PEER_TARGET_H_
#define MUSTER_NODE_PEER_TARGET_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "node/process/runtime.h"
#include "node/registry/name_registry.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"

namespace muster {

// The process of this node that `target` means; for messages that a peer sent
// here. `target_epoch` and `resolved` are the sender's idea of a cluster-wide
// name's epoch (guarantees R9) and process; empty: it has none.
//   NOT_FOUND NOPROC          no such pid or local name
//   UNAVAILABLE RESTARTING    the name's process is gone and its supervisor
//                             brings it back
//   ABORTED FENCED            the name is served here under another epoch, or
//                             not here; details node, pid and epoch say where
//                             it is, as far as this node knows
// All NOT_EXECUTED. A process whose claim is still under way here, while the
// sender has heard of it already, takes messages (SpawnOptions::hold). Any
// thread; the answer may be stale when it is used.
absl::StatusOr<Pid> FindTarget(const Runtime& runtime,
                               const NameRegistry& names,
                               const ServerRef& target, Epoch target_epoch,
                               const Pid& resolved);

// True: ABORTED FENCED, NOT_EXECUTED, because the target's name is not served
// there under that epoch; not because its sender's epoch is over.
bool IsFencedTarget(const absl::Status& status);

// True: a process of this node that is starting and has no cluster-wide name
// yet; its claim may be on its way back from the store.
bool AwaitsItsName(const Runtime& runtime, const Pid& pid);

// UNAVAILABLE RESTARTING, NOT_EXECUTED, with the delay after which to retry.
Error Restarting(const NameEntry& entry);

// NOT_FOUND NOPROC, NOT_EXECUTED; says whom and what to do.
Error NobodyIs(const ServerRef& target);

}  // namespace muster

#endif  // MUSTER_NODE_PEER_TARGET_H_
