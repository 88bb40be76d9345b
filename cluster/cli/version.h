// The version of Muster, for `muster version` and whoever reports it.
#ifndef MUSTER_CLUSTER_CLI_VERSION_H_
#define MUSTER_CLUSTER_CLI_VERSION_H_

namespace muster {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_VERSION_H_
