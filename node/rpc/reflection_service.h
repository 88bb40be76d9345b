// ReflectionService: gRPC server reflection over the services that the cluster
// hosts, so that tools need no .proto files (design D1).
//
// Ours, because gRPC's own (libgrpc++_reflection) registers itself with every
// server of the program and knows compiled-in services only.
#ifndef MUSTER_NODE_RPC_REFLECTION_SERVICE_H_
#define MUSTER_NODE_RPC_REFLECTION_SERVICE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "google/protobuf/descriptor.pb.h"
#include "grpcpp/impl/service_type.h"
#include "node/rpc/backend.h"

namespace muster {

// Serves grpc.reflection.v1 and grpc.reflection.v1alpha, whose messages have
// the same bytes. Shows the hosted services of all nodes, and of the node's
// own muster.process.v1.ProcessService and grpc.health.v1.Health; nothing of
// administration or of the peer stream (guarantees 9.10).
//
// A question that cannot be answered gets an error_response (NOT_FOUND,
// INVALID_ARGUMENT, RESOURCE_EXHAUSTED) and the stream goes on. Without a
// backend the stream ends with UNAVAILABLE STARTING.
// LIFETIME and THREADS as GenericService.
class ReflectionService {
 public:
  ReflectionService(BackendCell* backend, size_t message_bytes_max);
  ~ReflectionService();
  ReflectionService(const ReflectionService&) = delete;
  ReflectionService& operator=(const ReflectionService&) = delete;

  // To register; owned by this object.
  std::vector<grpc::Service*> services();

 private:
  class V1;
  class V1Alpha;

  std::unique_ptr<V1> v1_;
  std::unique_ptr<V1Alpha> v1alpha_;
};

}  // namespace muster

#endif  // MUSTER_NODE_RPC_REFLECTION_SERVICE_H_
