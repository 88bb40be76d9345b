// ProcessService: muster.process.v1.ProcessService, the generic API.
#ifndef MUSTER_NODE_RPC_PROCESS_SERVICE_H_
#define MUSTER_NODE_RPC_PROCESS_SERVICE_H_

#include <cstddef>
#include <memory>
#include <utility>

#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "muster/process/v1/process.grpc.pb.h"
#include "node/rpc/authorizer.h"
#include "node/rpc/backend.h"

namespace muster {

namespace internal {

// Raw, so that bytes that are no request are ours to answer (INVALID_ARGUMENT
// BAD_REQUEST); gRPC's own answer is UNIMPLEMENTED.
using RawProcessService =
    process::v1::ProcessService::WithRawCallbackMethod_Call<
        process::v1::ProcessService::WithRawCallbackMethod_Cast<
            process::v1::ProcessService::WithRawCallbackMethod_WhereIs<
                process::v1::ProcessService::Service>>>;

}  // namespace internal

// Ends in the same code as the typed path (GenericService), plus pids and the
// names of one node. Errors of its own, all INVALID_ARGUMENT, NOT_EXECUTED:
// BAD_REQUEST, NO_NAME (no server given), BAD_NAME, BAD_PID, BAD_METHOD,
// BAD_METADATA. LIFETIME and THREADS as GenericService.
class ProcessService final : public internal::RawProcessService {
 public:
  // `authorizer` is asked about the method and the server that a request names;
  // null: everything is allowed.
  ProcessService(BackendCell* backend, size_t message_bytes_max,
                 std::shared_ptr<Authorizer> authorizer)
      : backend_(backend),
        message_bytes_max_(message_bytes_max),
        authorizer_(std::move(authorizer)) {}

  using internal::RawProcessService::Call;
  using internal::RawProcessService::Cast;
  using internal::RawProcessService::WhereIs;
  grpc::ServerUnaryReactor* Call(grpc::CallbackServerContext* context,
                                 const grpc::ByteBuffer* request,
                                 grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Cast(grpc::CallbackServerContext* context,
                                 const grpc::ByteBuffer* request,
                                 grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* WhereIs(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* request,
                                    grpc::ByteBuffer* response) override;

 private:
  BackendCell* const backend_;
  const size_t message_bytes_max_;
  const std::shared_ptr<Authorizer> authorizer_;
};

}  // namespace muster

#endif  // MUSTER_NODE_RPC_PROCESS_SERVICE_H_
