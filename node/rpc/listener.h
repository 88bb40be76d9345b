// Listener: takes the node's connections from the system and hands them on.
//
// In place of gRPC's own: 1.51 never accepts again once it has been refused a
// file descriptor (fault F35).
#ifndef MUSTER_NODE_RPC_LISTENER_H_
#define MUSTER_NODE_RPC_LISTENER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/rpc/address.h"

namespace muster {

struct ListenerOptions {
  // File descriptors that stay free, at most a quarter of the limit: a
  // connection that would leave fewer is ended at once, so that the node can
  // still reach the store and its peers. Too small lets clients cut it off, too
  // large refuses honest ones early.
  int descriptors_spare = 32;
  // How long sent bytes may stay unacknowledged before the kernel ends a
  // connection; as the keep-alive's timeout.
  absl::Duration unacknowledged_max = absl::Seconds(5);
};

// LIFETIME: the destructor stops. THREADS: Start and Stop by one at a time;
// counters from any.
class Listener {
 public:
  // Binds and listens: clients can connect, and wait. `error`: what the system
  // says if this is null.
  static std::unique_ptr<Listener> Open(const NodeAddress& address,
                                        ListenerOptions options, int* error);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // The port that was bound.
  uint16_t port() const { return port_; }

  // From now on `on_connection` gets each connection, a non-blocking socket
  // that is its own to close, on one thread; it must not block. `on_refusal` is
  // called on the same thread when connections begin to be refused, with the
  // reason. Once.
  void Start(absl::AnyInvocable<void(int fd)> on_connection,
             absl::AnyInvocable<void(absl::string_view why)> on_refusal);
  // Takes no more; the port is free when this returns. Twice does nothing.
  void Stop();

  // Connections that were ended at once, so far.
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  Listener(int fd, int wake, uint16_t port, ListenerOptions options);

  void Run();
  // All that wait. False: the system gives none now, for want of something.
  bool AcceptAll();
  void Take(int fd);
  void Refuse(absl::string_view why);
  // So many descriptors are in use that the rest is spare.
  bool IsSpare(int fd) const;

  // Constant after construction.
  const ListenerOptions options_;
  const uint16_t port_;

  int fd_;
  // An eventfd that ends the thread.
  const int wake_;
  // Given up for a moment to tell a client that there is none left.
  int reserve_;
  // The thread's, once it runs.
  absl::AnyInvocable<void(int)> on_connection_;
  absl::AnyInvocable<void(absl::string_view)> on_refusal_;
  bool refusing_ = false;
  // Relaxed: a figure for people.
  std::atomic<uint64_t> refused_{0};
  std::thread thread_;
};

}  // namespace muster

#endif  // MUSTER_NODE_RPC_LISTENER_H_
