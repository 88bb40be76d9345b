// RpcServer: the node's one gRPC listener.
//
// For whoever puts a node together: starts listening before the node is ready,
// and answers UNAVAILABLE STARTING until it is.
#ifndef MUSTER_NODE_RPC_RPC_SERVER_H_
#define MUSTER_NODE_RPC_RPC_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/impl/service_type.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "node/base/log.h"
#include "node/base/mutex.h"
#include "node/rpc/address.h"
#include "node/rpc/authorizer.h"
#include "node/rpc/backend.h"
#include "node/rpc/generic_service.h"
#include "node/rpc/listener.h"
#include "node/rpc/process_service.h"
#include "node/rpc/reflection_service.h"

namespace muster {

struct RpcServerOptions {
  // "host:port", on loopback unless there are credentials; port 0 lets the
  // system choose.
  std::string listen = "127.0.0.1:0";
  // Mutual TLS (TlsCredentials::ForServer), and who is let in; both or neither.
  // Neither: plaintext on loopback, where everybody is an admin.
  std::shared_ptr<grpc::ServerCredentials> credentials;
  std::shared_ptr<Authorizer> authorizer;
  // Largest message in either direction, at most 16 MiB. Too small refuses
  // honest requests, too large lets few clients take the node's memory.
  size_t message_bytes_max = size_t{4} << 20;
  // Calls at a time on one connection; further ones wait in the client.
  int streams_max = 1024;
  // What all connections together may hold in gRPC's buffers. Near it gRPC
  // closes idle connections, then cancels streams. Too small ends honest
  // streams under load; too large lets few clients take the node's memory.
  size_t connection_bytes_max = size_t{256} << 20;
  // File descriptors that clients may not take (ListenerOptions).
  ListenerOptions listener;
  // Told when connections begin to be refused; outlives the server. Null:
  // nobody.
  Logger* logger = nullptr;
};

// Serves every hosted service (GenericService), muster.process.v1, reflection
// and gRPC health. Health says SERVING while there is a backend.
// THREADS: Start, SetBackend and Shutdown by one thread at a time, which may
// block; the rest from any.
class RpcServer {
 public:
  // `extra` are further services; they outlive the server and look after
  // their own readiness. `extend` may add what needs the builder itself, for
  // example the peer transport with its larger messages; the limit above is
  // kept by the services of this server all the same. Sets gRPC's process-wide
  // default for health on.
  //   INVALID_ARGUMENT BAD_ADDRESS, NOT_LOOPBACK, BAD_OPTION
  //   FAILED_PRECONDITION ADDRESS_IN_USE   another process listens there
  //   FAILED_PRECONDITION CANNOT_LISTEN    the system refuses, and says why
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(
      RpcServerOptions options, std::vector<grpc::Service*> extra,
      std::function<void(grpc::ServerBuilder*)> extend = nullptr);
  // Shuts down at once if nobody has.
  ~RpcServer();
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  // The port that was bound.
  int port() const { return address_.port; }
  // As given, with the port that was bound: "127.0.0.1:7001".
  std::string address() const { return address_.ToString(); }

  // From now on the services reach the node; null: not any more, and what the
  // backend points to may be destroyed when this returns. Calls under way are
  // not ended by it.
  void SetBackend(std::shared_ptr<RpcBackend> backend);

  // False: health says NOT_SERVING, so that clients that ask go elsewhere;
  // everything is served as before.
  void SetHealth(bool serving);
  // Calls of clients outside that have no answer yet. Any thread.
  size_t calls_under_way() const { return backend_.calls(); }
  // Connections that were ended at once for want of file descriptors. Any
  // thread.
  uint64_t connections_refused() const { return listener_->refused(); }

  // Takes no new calls, and ends those that are under way after `grace`.
  // Returns when all have ended. The second call does nothing.
  void Shutdown(absl::Duration grace);

 private:
  RpcServer(NodeAddress address, std::unique_ptr<Listener> listener,
            const RpcServerOptions& options);

  absl::Status Listen(const RpcServerOptions& options,
                      const std::vector<grpc::Service*>& extra,
                      const std::function<void(grpc::ServerBuilder*)>& extend);

  // Constant after Start.
  NodeAddress address_;
  Logger* const logger_;
  // Null until gRPC runs.
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  // Uses the acceptor until it is stopped.
  const std::unique_ptr<Listener> listener_;

  // Have their own synchronization; in this order, because gRPC's threads use
  // the services until the server is gone, and they use the cell.
  BackendCell backend_;
  GenericService generic_;
  ProcessService process_;
  ReflectionService reflection_;
  std::unique_ptr<grpc::Server> server_;

  Mutex mu_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace muster

#endif  // MUSTER_NODE_RPC_RPC_SERVER_H_
