// Whether a call that gRPC ended has left this process; for Client.
#ifndef MUSTER_CLIENT_SENT_H_
#define MUSTER_CLIENT_SENT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "grpcpp/client_context.h"
#include "node/rpc/address.h"

namespace muster {

// What gRPC dials for `address`, written so that it differs from how gRPC
// writes the address of a connection.
std::string DialTarget(const NodeAddress& address);

// True: the call, which has ended, was never handed to a connection, so that
// nobody has executed it. gRPC names as the peer of a call its connection, from
// before anything of it is sent, and for a call that has none its channel's
// target. `target` is that of DialTarget; false if the two could be mistaken
// for each other.
bool NeverSent(const grpc::ClientContext& context, absl::string_view target);

}  // namespace muster

#endif  // MUSTER_CLIENT_SENT_H_
