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

// The same over mutual TLS, with the identity of `tls_dir`, to nodes of its
// cluster (TlsCredentials::ForNode). Besides: UNAUTHENTICATED TLS_FAILED if a
// handshake failed, with what gRPC says about it; FAILED_PRECONDITION if the
// directory cannot be used (node/tls/certificate.h). For one connection of an
// OS process at a time: it takes over gRPC's log.
absl::StatusOr<std::unique_ptr<NodeClient>> ConnectToNodeOverTls(
    const std::vector<NodeAddress>& addresses, const std::string& tls_dir,
    absl::Duration timeout);

// Version of the linked gRPC.
std::string GrpcVersion();

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_GRPC_NODE_CLIENT_H_
