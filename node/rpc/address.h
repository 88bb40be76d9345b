// NodeAddress: where gRPC is spoken; LoopbackAddress: where it may be spoken in
// plaintext.
//
// For the server, which refuses to listen in plaintext anywhere else, and for
// the client, which refuses to connect so anywhere else (design D11). Pure, any
// thread.
#ifndef MUSTER_NODE_RPC_ADDRESS_H_
#define MUSTER_NODE_RPC_ADDRESS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace muster {

struct NodeAddress {
  // A numeric address, without brackets; or a name, if names were allowed.
  std::string host;
  bool v6 = false;
  bool is_name = false;
  uint16_t port = 0;

  // "127.0.0.1:7001", "[::1]:7001" or "host.example:7001".
  std::string ToString() const;
  // What gRPC dials: ipv4:, ipv6: or dns:, so that nothing is looked up for a
  // numeric address.
  std::string ChannelTarget() const;
  // All addresses of the host, which nobody can dial: 0.0.0.0 or ::.
  bool IsWildcard() const;
};

// One that ParseLoopbackAddress has returned.
using LoopbackAddress = NodeAddress;

// Reads "host:port". `localhost` is 127.0.0.1; nothing is looked up in DNS.
// INVALID_ARGUMENT BAD_ADDRESS: not of that form; INVALID_ARGUMENT
// NOT_LOOPBACK: an address that other machines can reach. Both say what would
// be right; outcome NOT_EXECUTED.
absl::StatusOr<LoopbackAddress> ParseLoopbackAddress(absl::string_view text);

enum class HostNames { kAllowed, kRefused };

// Reads "host:port" of any host, for mutual TLS. `localhost` is 127.0.0.1. A
// name that is not numeric is BAD_ADDRESS with kRefused: one listens on
// addresses. INVALID_ARGUMENT BAD_ADDRESS otherwise; outcome NOT_EXECUTED.
absl::StatusOr<NodeAddress> ParseNodeAddress(absl::string_view text,
                                             HostNames names);

}  // namespace muster

#endif  // MUSTER_NODE_RPC_ADDRESS_H_
