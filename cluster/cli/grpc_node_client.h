// GrpcNodeClient: a node at the other end of a gRPC connection.
#ifndef MUSTER_CLUSTER_CLI_GRPC_NODE_CLIENT_H_
#define MUSTER_CLUSTER_CLI_GRPC_NODE_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/cli/node_client.h"
#include "node/rpc/address.h"

namespace muster {

// Connects to the first of `addresses` that answers within `timeout` (each).
// UNAVAILABLE NODE_UNREACHABLE, NOT_EXECUTED, if none does. Plaintext, which
// LoopbackAddress allows; no proxy, no name lookup.
absl::StatusOr<std::unique_ptr<NodeClient>> ConnectToNode(
    const std::vector<LoopbackAddress>& addresses, absl::Duration timeout);

// Version of the linked gRPC.
std::string GrpcVersion();

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_GRPC_NODE_CLIENT_H_
