// Start and StartLink: starting a GenServer from a thread or another process
// (otp section 2).
#ifndef MUSTER_NODE_GEN_SERVER_START_H_
#define MUSTER_NODE_GEN_SERVER_START_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "node/gen_server/gen_server.h"
#include "node/process/caller.h"
#include "node/process/context.h"
#include "node/process/runtime.h"

namespace muster {

struct StartOptions {
  // Name on this node; empty: none.
  std::string name;
  // Init is given up, and the process killed, after this long.
  absl::Duration timeout = absl::InfiniteDuration();
  // Hibernates by itself after being idle for so long (otp G17).
  absl::Duration hibernate_after = absl::InfiniteDuration();
};

// Starts `server` with the message it is initialized with. The result comes
// when Init has returned: the pid, or why not (Runtime::Spawn lists the
// errors); after a failure nothing is left behind (otp H5).
//   StatusOr<Pid> pid = Start(runtime, std::make_unique<Counter>(), options)
//                           .Wait();
Pending<absl::StatusOr<Pid>> Start(Runtime& runtime,
                                   std::unique_ptr<ProcessBody> server,
                                   Payload init,
                                   StartOptions options = StartOptions());

// As Start, linked to the calling process from the first instant:
//   StatusOr<Pid> pid = co_await StartLink(self, std::move(server), options);
// Traps or not, a failed start neither kills the caller nor leaves it an Exit.
Pending<absl::StatusOr<Pid>> StartLink(Context& self,
                                       std::unique_ptr<ProcessBody> server,
                                       Payload init,
                                       StartOptions options = StartOptions());

}  // namespace muster

#endif  // MUSTER_NODE_GEN_SERVER_START_H_
