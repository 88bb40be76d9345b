// Start, StartLink and StartMonitor: starting a GenServer from a thread or
// another process (otp section 2).
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
#include "node/process/signals.h"
#include "node/types/pid.h"
#include "node/types/server_name.h"

namespace muster {

struct StartOptions {
  // Registered before Init runs; messages to it wait (otp H2). A plain string
  // is a name on this node, an empty one none.
  ServerName name;
  // Init is given up, and the process killed, after this long. Registering the
  // name counts in.
  absl::Duration timeout = absl::InfiniteDuration();
  // Hibernates by itself after being idle for so long (otp G17).
  absl::Duration hibernate_after = absl::InfiniteDuration();
  // What people call it, in logs and crash reports; empty: nothing.
  std::string label;
  // How much may wait for it, and what then happens.
  MailboxOptions mailbox;
};

// What StartMonitor gives: the process, and what its Down will carry.
struct Monitored {
  Monitored(Pid p, MonitorRef m) : pid(std::move(p)), monitor(m) {}
  Pid pid;
  MonitorRef monitor;
};

// Starts `server` with the message it is initialized with. The result comes
// when Init has returned: the pid, or why not. Runtime::Spawn lists the errors;
// besides:
//   ALREADY_EXISTS ALREADY_STARTED  the name is taken (detail pid: the holder);
//                                   Init has not run
//   INVALID_ARGUMENT BAD_NAME       nothing was spawned
//   FAILED_PRECONDITION NO_CLUSTER  a cluster-wide name on a node without
//   UNAVAILABLE                     the cluster's store cannot be asked now
// After a failure nothing is left behind: the process is gone and its name is
// free (otp H5). If the store cannot be reached to free a cluster-wide name,
// the result does not wait for it.
//   StatusOr<Pid> pid = Start(runtime, std::make_unique<Counter>(), options)
//                           .Wait();
// The process has no parent: an exit signal of its starter is like any other
// (otp H10).
Pending<absl::StatusOr<Pid>> Start(Runtime& runtime,
                                   std::unique_ptr<ProcessBody> server,
                                   Payload init,
                                   StartOptions options = StartOptions());
Pending<absl::StatusOr<Pid>> Start(Context& self,
                                   std::unique_ptr<ProcessBody> server,
                                   Payload init,
                                   StartOptions options = StartOptions());

// As Start, linked from the first instant to the calling process, which is its
// parent:
//   StatusOr<Pid> pid = co_await StartLink(self, std::move(server), options);
// A failed start leaves a caller that traps exits nothing but the error (otp
// H6). One that does not trap dies with the child if that exits with anything
// but `normal` in Init (otp H7): Stop(reason), a throw, a kill. It lives on
// after Ignore, an error, Stop(normal), a taken name and a timeout.
Pending<absl::StatusOr<Pid>> StartLink(Context& self,
                                       std::unique_ptr<ProcessBody> server,
                                       Payload init,
                                       StartOptions options = StartOptions());

// As Start, monitored by the calling process from the first instant; a failed
// start leaves no Down.
//   StatusOr<Monitored> started = co_await StartMonitor(self, ...);
Pending<absl::StatusOr<Monitored>> StartMonitor(
    Context& self, std::unique_ptr<ProcessBody> server, Payload init,
    StartOptions options = StartOptions());
// Both: at its end one Exit and one Down come.
Pending<absl::StatusOr<Monitored>> StartLinkMonitor(
    Context& self, std::unique_ptr<ProcessBody> server, Payload init,
    StartOptions options = StartOptions());

}  // namespace muster

#endif  // MUSTER_NODE_GEN_SERVER_START_H_
