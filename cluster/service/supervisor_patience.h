// How long requests wait for a supervisor that is on its way to another node.
#ifndef MUSTER_CLUSTER_SERVICE_SUPERVISOR_PATIENCE_H_
#define MUSTER_CLUSTER_SERVICE_SUPERVISOR_PATIENCE_H_

#include "absl/time/time.h"

namespace muster {

inline constexpr absl::Duration kSupervisorPatience = absl::Seconds(4);
inline constexpr absl::Duration kSupervisorRetry = absl::Milliseconds(50);

}  // namespace muster

#endif  // MUSTER_CLUSTER_SERVICE_SUPERVISOR_PATIENCE_H_
