// GenericService: every hosted service, on the node's ordinary gRPC port.
#ifndef MUSTER_NODE_RPC_GENERIC_SERVICE_H_
#define MUSTER_NODE_RPC_GENERIC_SERVICE_H_

#include <cstddef>

#include "grpcpp/generic/async_generic_service.h"
#include "node/rpc/backend.h"

namespace muster {

// Takes every unary call whose method no registered service has, reads its one
// message as bytes and sends it to the server that the metadata key
// `muster-name` (a cluster-wide name) or `muster-pid` says. Knows no method:
// the owner decides what exists and what is a cast, which answers Empty once
// its mailbox has taken it (design D1).
//
// An OK carries the trailing metadata `muster-epoch`, if a name answered.
// Errors of its own, all NOT_EXECUTED:
//   INVALID_ARGUMENT NO_NAME       neither key; or both
//   INVALID_ARGUMENT BAD_NAME      muster-name is no name
//   INVALID_ARGUMENT BAD_PID       muster-pid is no pid
//   INVALID_ARGUMENT BAD_METADATA  see ReadClientMetadata
//   INVALID_ARGUMENT BAD_REQUEST   no message, or more than one
//   UNIMPLEMENTED                  no key, and nobody hosts that service
//   DEADLINE_EXCEEDED, UNAVAILABLE STARTING, CANCELLED  see OutsideCall
// and RESOURCE_EXHAUSTED REPLY_TOO_LARGE, EXECUTED. Everything else is the
// router's and the owner's. A request over the size limit is gRPC's to refuse:
// RESOURCE_EXHAUSTED without our detail, nothing has run.
//
// LIFETIME: longer than the gRPC server. THREADS: gRPC's callback threads;
// answers come on whichever thread has them.
class GenericService final : public grpc::CallbackGenericService {
 public:
  GenericService(BackendCell* backend, size_t message_bytes_max)
      : backend_(backend), message_bytes_max_(message_bytes_max) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  BackendCell* const backend_;
  const size_t message_bytes_max_;
};

}  // namespace muster

#endif  // MUSTER_NODE_RPC_GENERIC_SERVICE_H_
