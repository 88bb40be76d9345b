// Stop and the functions of sys: stopping, looking at and changing a process
// from outside (otp 3.8, 5). They work on every process, whatever it serves:
// servers, supervisors, registries; by pid, name or key; from a callback (the
// Context is the Caller), from a thread or from another node.
//
//   absl::Status ended = co_await Stop(self, "counter_a");
//   auto state = sys::GetState<CounterState>(caller, "counter_a").Wait();
//   absl::Status s = co_await sys::Suspend(self, pid);
//
// Requests are handled in the order in which they arrive, between two callbacks
// of the process, also while it is suspended; they are no messages of its own
// (otp Y1, Y9). Errors are those of a call, and what each function says;
// default timeout 5 s.
#ifndef MUSTER_NODE_GEN_SERVER_SYS_H_
#define MUSTER_NODE_GEN_SERVER_SYS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "muster/sys/v1/sys.pb.h"
#include "node/process/caller.h"
#include "node/process/process_body.h"
#include "node/process/sys_requests.h"
#include "node/types/exit_reason.h"
#include "node/types/payload.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"

namespace muster {

// Ends `server` with `reason` and waits until it is gone. Terminate always runs
// first, also if the server does not trap exits and while it is suspended
// (otp G24). OK: it ended with exactly that reason. Otherwise (otp G25):
//   ABORTED CALLEE_EXITED          it ended with another (detail exit_reason)
//   NOT_FOUND NOPROC               there is no such process
//   UNAVAILABLE NODEDOWN, ABORTED NOCONNECTION   its node cannot be reached
//   DEADLINE_EXCEEDED TIMEOUT      not within `timeout`; with outcome UNKNOWN
//   it
//                                  has the order and ends later. A zero timeout
//                                  gives the order and does not wait
//   FAILED_PRECONDITION CALLING_SELF   from one of its own callbacks: they
//   return
//                                  Stop(reason) instead
//   INVALID_ARGUMENT BAD_TIMEOUT   negative; nothing was sent
Pending<absl::Status> Stop(Caller& caller, const ServerRef& server,
                           const ExitReason& reason = ExitReason::Normal(),
                           absl::Duration timeout = absl::InfiniteDuration());

namespace sys {

namespace internal {

using Done = absl::AnyInvocable<void(CallResult)>;

// "/muster.sys.v1.Sys/<method>"
std::string Path(absl::string_view method);
// The answer without its content.
Pending<absl::Status> Ask(Caller& caller, const ServerRef& server,
                          absl::string_view method, Payload request,
                          const CallOptions& options);
absl::Status WrongState(absl::string_view wanted, absl::string_view is);

// An answer that holds a state as it is (`Response` absent) or in a message.
template <typename State, typename Response>
absl::StatusOr<State> ReadState(CallResult result) {
  if (!result.status.ok()) return std::move(result.status);
  Payload state;
  if constexpr (muster::internal::kIsMessage<State>) {
    const Response* const response = result.reply.As<Response>();
    if (response == nullptr) {
      return WrongState(muster::internal::TypeNameOf<Response>(),
                        result.reply.type());
    }
    state =
        Payload::FromBytes(response->state().value(), response->state().type());
  } else {
    state = std::move(result.reply);
  }
  std::unique_ptr<State> typed = state.template Take<State>();
  if (typed == nullptr) {
    return WrongState(muster::internal::TypeNameOf<State>(), state.type());
  }
  return std::move(*typed);
}

}  // namespace internal

// -- State (otp Y2)
// ------------------------------------------------------------

// Its state as Snapshot gives it; also of a suspended one. A C++ value can only
// be had on its own node. UNIMPLEMENTED NO_SNAPSHOT, INTERNAL CALLBACK_FAILED
// (Snapshot threw), FAILED_PRECONDITION LOCAL_STATE or WRONG_STATE (it is no
// State).
template <typename State>
PendingCall<State> GetState(Caller& caller, const ServerRef& server,
                            const CallOptions& options = CallOptions()) {
  auto arrival =
      std::make_shared<muster::internal::Arrival<absl::StatusOr<State>>>();
  Payload request;
  if constexpr (muster::internal::kIsMessage<State>) {
    request = Payload::Of(v1::GetStateRequest());
  } else {
    request = Payload::Of(muster::internal::GetStateHere());
  }
  caller.StartCall(
      server, internal::Path("GetState"), std::move(request), options,
      [arrival](CallResult result) {
        arrival->Set(internal::ReadState<State, v1::GetStateResponse>(
            std::move(result)));
      });
  return PendingCall<State>(std::move(arrival));
}

// Gives it the state that `change` makes of its own and answers the new one. If
// `change` or Restore fails, nothing has changed: INTERNAL CALLBACK_FAILED.
// Only on the server's own node, since a function does not travel; SetState
// does.
template <typename State>
PendingCall<State> ReplaceState(
    Caller& caller, const ServerRef& server,
    std::function<absl::StatusOr<State>(State)> change,
    const CallOptions& options = CallOptions()) {
  auto arrival =
      std::make_shared<muster::internal::Arrival<absl::StatusOr<State>>>();
  muster::internal::ReplaceStateHere order;
  order.change =
      [change = std::move(change)](Payload old) -> absl::StatusOr<Payload> {
    std::unique_ptr<State> typed = old.template Take<State>();
    if (typed == nullptr) {
      return internal::WrongState(muster::internal::TypeNameOf<State>(),
                                  old.type());
    }
    absl::StatusOr<State> changed = change(std::move(*typed));
    if (!changed.ok()) return changed.status();
    return Payload::Of(*std::move(changed));
  };
  caller.StartCall(
      server, internal::Path("ReplaceState"), Payload::Of(std::move(order)),
      options, [arrival](CallResult result) {
        if (!result.status.ok()) {
          arrival->Set(std::move(result.status));
          return;
        }
        auto typed = result.reply.template Take<State>();
        if (typed == nullptr) {
          arrival->Set(internal::WrongState(
              muster::internal::TypeNameOf<State>(), result.reply.type()));
          return;
        }
        arrival->Set(std::move(*typed));
      });
  return PendingCall<State>(std::move(arrival));
}

// Gives it `state`, a message, wherever it runs. INTERNAL CALLBACK_FAILED:
// Restore did not take it, and nothing has changed.
Pending<absl::Status> SetState(Caller& caller, const ServerRef& server,
                               const google::protobuf::Message& state,
                               const CallOptions& options = CallOptions());

// -- Suspending (otp Y3, Y4)
// ---------------------------------------------------

// From now on it handles only system requests and its parent's exit; all else
// stays queued in order, and callers time out. Twice is fine, and so is Resume.
Pending<absl::Status> Suspend(Caller& caller, const ServerRef& server,
                              const CallOptions& options = CallOptions());
// Goes on with the queue; a pending inactivity timeout starts again in full, a
// hibernating server hibernates.
Pending<absl::Status> Resume(Caller& caller, const ServerRef& server,
                             const CallOptions& options = CallOptions());

// -- Looking (otp Y5 to Y7)
// ----------------------------------------------------

PendingCall<v1::GetStatusResponse> GetStatus(
    Caller& caller, const ServerRef& server,
    const CallOptions& options = CallOptions());

// On: counts from zero.
Pending<absl::Status> SwitchStatistics(
    Caller& caller, const ServerRef& server, bool on,
    const CallOptions& options = CallOptions());
// FAILED_PRECONDITION NO_STATISTICS: they are off.
PendingCall<v1::GetStatisticsResponse> GetStatistics(
    Caller& caller, const ServerRef& server,
    const CallOptions& options = CallOptions());

// Keeps the last `events` (at most kSysLogMax) until nobody has read them for
// `expire`; 0: off.
Pending<absl::Status> SwitchLog(
    Caller& caller, const ServerRef& server, size_t events = 10,
    absl::Duration expire = absl::InfiniteDuration(),
    const CallOptions& options = CallOptions());
// Those with a number over `after`; none while it is off.
PendingCall<v1::GetLogResponse> GetLog(
    Caller& caller, const ServerRef& server, uint64_t after = 0,
    const CallOptions& options = CallOptions());
// An event as people read it.
std::string EventText(const v1::Event& event);

// Each event becomes a line of its node's log.
Pending<absl::Status> SwitchTrace(Caller& caller, const ServerRef& server,
                                  bool on,
                                  const CallOptions& options = CallOptions());
// Each event goes to `sink`, on the server's worker; only on its own node.
Pending<absl::Status> TraceTo(Caller& caller, const ServerRef& server,
                              SysTraceSink sink,
                              const CallOptions& options = CallOptions());

// Calls `hook` with each event until it answers false or throws; only on the
// server's own node. A second hook of the same id is not installed.
Pending<absl::Status> InstallHook(Caller& caller, const ServerRef& server,
                                  absl::string_view id, SysHook hook,
                                  const CallOptions& options = CallOptions());
Pending<absl::Status> RemoveHook(Caller& caller, const ServerRef& server,
                                 absl::string_view id,
                                 const CallOptions& options = CallOptions());
// Statistics, log, trace and all hooks off.
Pending<absl::Status> NoDebug(Caller& caller, const ServerRef& server,
                              const CallOptions& options = CallOptions());

// -- Ending and changing (otp Y8, G27)
// -----------------------------------------

// Orders it to end and does not wait; Stop does.
PendingCast Terminate(Caller& caller, const ServerRef& server,
                      const ExitReason& reason = ExitReason::Normal());

// Replaces the server object of a suspended process by one that `factory`
// makes, of the same service: its CodeChange gets the old one's Snapshot. On
// failure, or without a CodeChange, the old object stays. Only on the server's
// own node. FAILED_PRECONDITION NOT_SUSPENDED, INVALID_ARGUMENT WRONG_SERVICE,
// UNIMPLEMENTED NO_CODE_CHANGE or NO_SNAPSHOT, INTERNAL CALLBACK_FAILED.
Pending<absl::Status> ChangeCode(
    Caller& caller, const ServerRef& server,
    std::function<std::unique_ptr<ProcessBody>()> factory,
    absl::string_view old_version, Payload extra = Payload(),
    const CallOptions& options = CallOptions());

}  // namespace sys
}  // namespace muster

#endif  // MUSTER_NODE_GEN_SERVER_SYS_H_
