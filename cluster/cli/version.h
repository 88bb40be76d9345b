// The version of Muster, for `muster version` and whoever reports it.
#ifndef MUSTER_CLUSTER_CLI_VERSION_H_
#define MUSTER_CLUSTER_CLI_VERSION_H_

#include "cluster/boot/version.h"  // IWYU pragma: export

#endif  // MUSTER_CLUSTER_CLI_VERSION_H_
