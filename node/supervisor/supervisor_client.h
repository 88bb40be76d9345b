// SupervisorClient: managing a local supervisor while it runs (otp 7.8).
//
//   SupervisorClient sup(self, ServerRef::Local("shop"));
//   absl::StatusOr<StartedChild> child = co_await sup.StartChild(spec);
//   absl::Status ended = co_await sup.TerminateChild("cache");
#ifndef MUSTER_NODE_SUPERVISOR_SUPERVISOR_CLIENT_H_
#define MUSTER_NODE_SUPERVISOR_SUPERVISOR_CLIENT_H_

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/process/caller.h"
#include "node/supervisor/child_info.h"
#include "node/supervisor/child_spec.h"
#include "node/supervisor/supervisor.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"

namespace muster {

// Over a Context or, from a thread, a RuntimeCaller of the supervisor's own
// node: specs hold functions, which cannot travel. The supervisor carries out
// one order at a time. On one that does not exist: NOT_FOUND NOPROC.
class SupervisorClient {
 public:
  // `caller` outlives it. Calls have no time limit, as in OTP, unless `timeout`
  // sets one; an order whose caller has given up may still be carried out.
  SupervisorClient(Caller& caller, ServerRef to,
                   absl::Duration timeout = absl::InfiniteDuration())
      : caller_(&caller), to_(std::move(to)) {
    options_.timeout = timeout;
  }

  // Adds a child at the end and starts it: its pid and info; the empty pid if
  // the start was ignored, and then the spec is kept, unless temporary. Else
  // nothing is kept:
  //   INVALID_ARGUMENT BAD_CHILD_SPEC
  //   ALREADY_EXISTS ALREADY_STARTED   the id runs, or its name is taken
  //                                    (detail pid: the holder)
  //   ALREADY_EXISTS ALREADY_PRESENT   the id is known and does not run
  //   what StartChildProcess says      the start failed
  PendingCall<StartedChild> StartChild(ChildSpec spec);
  // Stops it as its spec says, or ends its retrying; OK also if it did not
  // run. The spec stays, unless temporary. NOT_FOUND NO_CHILD.
  Pending<absl::Status> TerminateChild(absl::string_view id);
  // Starts a known child that does not run; an empty pid: ignored. NOT_FOUND
  // NO_CHILD, FAILED_PRECONDITION RUNNING or RESTARTING, or what its start
  // says, the spec staying.
  PendingCall<StartedChild> RestartChild(absl::string_view id);
  // Forgets a child that does not run. NOT_FOUND NO_CHILD, FAILED_PRECONDITION
  // RUNNING or RESTARTING.
  Pending<absl::Status> DeleteChild(absl::string_view id);

  // Most recently started first.
  PendingCall<std::vector<ChildInfo>> WhichChildren();
  PendingCall<ChildCounts> CountChildren();
  // With every default filled in; a temporary child's is without factory,
  // start and init once it runs. NOT_FOUND NO_CHILD.
  PendingCall<ChildSpec> GetChildSpec(absl::string_view id);
  PendingCall<ChildSpec> GetChildSpec(const Pid& pid);

  // Other flags and specs, as a code change brings them (otp S34): those with
  // known ids keep their processes, new ones are added and not started, those
  // no longer listed stay as they are, after the others. INVALID_ARGUMENT as
  // for Supervisor::Make; then nothing has changed.
  Pending<absl::Status> Reconfigure(SupervisorSpec spec);
  // The same with what the supervisor's init function says now; no spec: no
  // change. Its own error; FAILED_PRECONDITION NO_INIT if it has none, ABORTED
  // INIT_FAILED if it threw.
  Pending<absl::Status> Reload();

 private:
  template <typename Order>
  Pending<absl::Status> Do(absl::string_view path, Order order);

  Caller* caller_;
  ServerRef to_;
  CallOptions options_;
};

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_SUPERVISOR_CLIENT_H_
