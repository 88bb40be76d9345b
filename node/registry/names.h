// Cluster-wide names from inside a GenServer: register, unregister, whereis.
#ifndef MUSTER_NODE_REGISTRY_NAMES_H_
#define MUSTER_NODE_REGISTRY_NAMES_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "node/process/caller.h"
#include "node/process/context.h"
#include "node/registry/name_registry.h"
#include "node/types/pid.h"

namespace muster {

// Gives the calling process a cluster-wide name, for which the store is asked;
// it is gone when the process ends. A process has at most one.
//   absl::StatusOr<Epoch> epoch = co_await RegisterName(self, "leader");
// ALREADY_EXISTS ALREADY_STARTED (detail pid: the holder), INVALID_ARGUMENT
// BAD_NAME, FAILED_PRECONDITION HAS_NAME or NO_CLUSTER, UNAVAILABLE,
// DEADLINE_EXCEEDED (outcome UNKNOWN).
Pending<absl::StatusOr<Epoch>> RegisterName(Context& self,
                                            absl::string_view name);

// Takes a name from its process on this node. NOT_FOUND NOPROC if no process
// here registered it; a supervised child keeps its name.
Pending<absl::Status> UnregisterName(Context& self, absl::string_view name);

// Where a name lives, from this node's own copy, without waiting. May be old,
// and says how old by its epoch.
std::optional<NameEntry> WhereIs(Context& self, absl::string_view name);

}  // namespace muster

#endif  // MUSTER_NODE_REGISTRY_NAMES_H_
