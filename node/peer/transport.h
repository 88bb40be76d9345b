// Transport: the wire between nodes.
//
// Carries ordered streams of messages (opaque bytes; PeerMessage above) between
// two nodes. Everything the runtime promises about order, identity and loss is
// built above it by peer.h. Implementations: GrpcTransport, and SimTransport in
// the test kit; both are held to tests/conformance/transport.
#ifndef MUSTER_NODE_PEER_TRANSPORT_H_
#define MUSTER_NODE_PEER_TRANSPORT_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"

namespace muster {

// What a stream tells its user. Calls for one stream never overlap and come on
// a worker or a thread of the transport's own, never inside a call to Write or
// Close: translate and enqueue, nothing more.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  // Messages arrive whole, once, in the order written.
  virtual void OnMessage(std::string message) = 0;
  // The latest Write has left: the next may follow. Says nothing about
  // arrival.
  virtual void OnWritten() = 0;
  // Last call, exactly once: OK when the other side closed with OK, otherwise
  // why. UNAVAILABLE: never connected, or the connection broke.
  virtual void OnClosed(absl::Status status) = 0;
};

// One end of a stream. LIFETIME: the transport keeps it and its handler until
// OnClosed has returned; users hold it as long as they like.
// THREADS: any thread may call.
class Stream {
 public:
  virtual ~Stream() = default;
  // Sends one message of at most 16 MiB. One at a time: the next only after
  // OnWritten. After OnClosed it does nothing.
  virtual void Write(std::string message) = 0;
  // Ends the stream for both sides. Messages already written may still
  // arrive. OnClosed follows on this side too. Twice does nothing.
  virtual void Close(absl::Status status) = 0;
  // Which node the other side has proved to be; empty: the transport does not
  // know. Constant from before the first OnMessage of an accepted stream.
  virtual std::string ProvenNode() const { return ""; }
};

// Makes the handler for a stream that a peer opened.
using StreamAcceptor =
    std::function<std::shared_ptr<StreamHandler>(std::shared_ptr<Stream>)>;

// LIFETIME: destroying it closes all its streams and waits until no handler
// call is under way.
class Transport {
 public:
  virtual ~Transport() = default;
  // Streams that peers open go to `acceptor`; call it once, before the first
  // can arrive. The acceptor is called on a thread of the transport's.
  virtual void Serve(StreamAcceptor acceptor) = 0;
  // Opens a stream to the node at `address` (host:port). Returns at once; if
  // it cannot be reached within 2 s, OnClosed says UNAVAILABLE.
  virtual std::shared_ptr<Stream> Dial(
      std::string address, std::shared_ptr<StreamHandler> handler) = 0;
  // As Dial; a transport whose peers prove who they are takes `node` only.
  virtual std::shared_ptr<Stream> DialNode(
      const std::string& /*node*/, std::string address,
      std::shared_ptr<StreamHandler> handler) {
    return Dial(std::move(address), std::move(handler));
  }
};

}  // namespace muster

#endif  // MUSTER_NODE_PEER_TRANSPORT_H_
