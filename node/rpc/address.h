// LoopbackAddress: where plaintext gRPC may be spoken.
//
// For the server, which refuses to listen anywhere else, and for the client,
// which refuses to connect anywhere else (design D11). Pure, any thread.
#ifndef MUSTER_NODE_RPC_ADDRESS_H_
#define MUSTER_NODE_RPC_ADDRESS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace muster {

struct LoopbackAddress {
  // A numeric address, without brackets.
  std::string host;
  bool v6 = false;
  uint16_t port = 0;

  // "127.0.0.1:7001" or "[::1]:7001".
  std::string ToString() const;
};

// Reads "host:port". `localhost` is 127.0.0.1; nothing is looked up in DNS.
// INVALID_ARGUMENT BAD_ADDRESS: not of that form; INVALID_ARGUMENT
// NOT_LOOPBACK: an address that other machines can reach. Both say what would
// be right; outcome NOT_EXECUTED.
absl::StatusOr<LoopbackAddress> ParseLoopbackAddress(absl::string_view text);

}  // namespace muster

#endif  // MUSTER_NODE_RPC_ADDRESS_H_
