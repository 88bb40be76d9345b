// The one table between absl::Status and grpc::Status.
//
// For everything that answers or makes a gRPC call. The codes are the same
// numbers; what is added is Muster's detail (reason, outcome, retry delay) as
// google.rpc.Status in grpc-status-details-bin. Pure functions, any thread.
#ifndef MUSTER_NODE_RPC_GRPC_STATUS_H_
#define MUSTER_NODE_RPC_GRPC_STATUS_H_

#include <cstddef>

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace muster {

// Longest grpc-status-details-bin, before base64. With the message it must fit
// into the 8 KiB of trailing metadata that clients take by default; over that
// gRPC shows a bare RESOURCE_EXHAUSTED instead of the error.
inline constexpr size_t kDetailsBytesMax = 4096;
// Longest grpc-message, after percent-encoding; a longer one is cut.
inline constexpr size_t kGrpcMessageBytesMax = 1024;

// For a server's answer. OK becomes OK without details.
grpc::Status ToGrpcStatus(const absl::Status& status);

// For a client whose call was handed to a connection. A status with Muster's
// detail comes back as it was made. One without it was made by gRPC itself, or
// by a server that is not Muster's:
//
//   gRPC says          | becomes
//   UNAVAILABLE        | ABORTED NOCONNECTION, UNKNOWN
//   DEADLINE_EXCEEDED  | the same, TIMEOUT, UNKNOWN
//   any other          | the same code and text, UNKNOWN
//
// The first row keeps the promise that an UNAVAILABLE of Muster's means not
// executed (guarantees section 7).
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace muster

#endif  // MUSTER_NODE_RPC_GRPC_STATUS_H_
