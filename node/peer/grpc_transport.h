// GrpcTransport: the Transport of a real node, over gRPC streams.
#ifndef MUSTER_NODE_PEER_GRPC_TRANSPORT_H_
#define MUSTER_NODE_PEER_GRPC_TRANSPORT_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "node/base/scheduler.h"
#include "node/peer/transport.h"

namespace grpc {
class ChannelCredentials;
class ServerBuilder;
}  // namespace grpc

namespace muster {

struct GrpcTransportOptions {
  // How to dial the node of that name, or any node if it is empty, and to prove
  // who we are (TlsCredentials::ForNode); null means insecure, for loopback
  // only. The accepting side's credentials are those of the node's server.
  std::function<std::shared_ptr<grpc::ChannelCredentials>(
      const std::string& node)>
      credentials;
  // From Dial to the peer's first sign of life. Too small refuses peers that
  // are busy, too large delays the news that one is gone.
  absl::Duration connect_limit = absl::Seconds(2);
  // How long a Close() waits for what was written before it cuts the stream.
  absl::Duration linger = absl::Seconds(2);
};

// Owns the peer streams of one node, those it dialed and those it accepted.
//
// Each stream is one call of muster.peer.v1.PeerService/Connect whose messages
// stay bytes. A dialed stream has a channel of its own that connects once.
// What the dialer closes with an error reaches the acceptor as UNAVAILABLE
// (gRPC has no place for a client's status); in the other direction the status
// arrives as it was given.
//
// LIFETIME: the scheduler outlives it and stops only after Shutdown(). A server
// that it is registered with ends before it is destroyed: Shutdown(), then end
// the server, then this.
// THREADS: handlers and the acceptor are called on workers of the scheduler.
class GrpcTransport final : public Transport {
 public:
  // Largest message of a Stream.
  static constexpr size_t kMessageBytesMax = size_t{16} << 20;

  explicit GrpcTransport(Scheduler* scheduler,
                         GrpcTransportOptions options = {});
  // Shutdown().
  ~GrpcTransport() override;
  GrpcTransport(const GrpcTransport&) = delete;
  GrpcTransport& operator=(const GrpcTransport&) = delete;

  // Adds the service to the node's server, and the message size that it needs.
  void Register(grpc::ServerBuilder* builder);

  // Refuses new streams, closes all with UNAVAILABLE and returns after the
  // last OnClosed; at most `linger` later than the handlers take. Not on a
  // worker. Twice does nothing more.
  void Shutdown();

  void Serve(StreamAcceptor acceptor) override;
  std::shared_ptr<Stream> Dial(std::string address,
                               std::shared_ptr<StreamHandler> handler) override;
  std::shared_ptr<Stream> DialNode(
      const std::string& node, std::string address,
      std::shared_ptr<StreamHandler> handler) override;

 private:
  class Core;
  class GrpcStream;
  class DialedStream;
  class AcceptedStream;
  class Refusal;
  class Service;

  const std::shared_ptr<Core> core_;
  const std::unique_ptr<Service> service_;
};

}  // namespace muster

#endif  // MUSTER_NODE_PEER_GRPC_TRANSPORT_H_
