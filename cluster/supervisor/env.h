// ClusterEnv: what the processes that run a cluster's trees are given.
#ifndef MUSTER_CLUSTER_SUPERVISOR_ENV_H_
#define MUSTER_CLUSTER_SUPERVISOR_ENV_H_

#include <functional>
#include <map>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/membership/membership.h"
#include "cluster/registry/global_registry.h"
#include "cluster/store/store.h"
#include "node/gen_server/server_type.h"
#include "node/process/runtime.h"

namespace muster {

// LIFETIME: everything here outlives the processes that use it.
struct ClusterEnv {
  Store* store = nullptr;
  const Membership* membership = nullptr;
  GlobalRegistry* registry = nullptr;
  Runtime* runtime = nullptr;
  // Writes the flag into this node's record; `done` comes once. Null where
  // nobody drains.
  std::function<void(bool draining,
                     absl::AnyInvocable<void(absl::Status)> done)>
      set_draining;
  // This node's server types by name.
  const std::map<std::string, ServerTypeInfo>* types = nullptr;
  // R of the cluster's profile.
  absl::Duration reap = absl::Milliseconds(3750);
};

// Name of every node's agent, a local name.
inline constexpr absl::string_view kAgentName = "muster/agent";
// Cluster-wide names that begin with this are the cluster's own.
inline constexpr absl::string_view kSystemPrefix = "muster/";
// `supervisor` of the name records of cluster supervisors themselves.
inline constexpr absl::string_view kHostSupervisor = "muster";

inline std::string SupervisorName(absl::string_view supervisor) {
  return absl::StrCat("muster/supervisor/", supervisor);
}

// Detail of the errors of Agent.StartChild: absent if Init ran, and failed.
inline constexpr absl::string_view kInitDetail = "init";
inline constexpr absl::string_view kInitNotRun = "not_run";
inline constexpr absl::string_view kInitUnknown = "unknown";

// Something about the members or names has changed: look again.
struct LookAgain {};

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_ENV_H_
