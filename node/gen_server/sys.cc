#include "node/gen_server/sys.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "muster/core/v1/core.pb.h"
#include "node/process/sys_debug.h"
#include "node/types/proto_time.h"

namespace muster {
namespace {

using StatusArrival = internal::Arrival<absl::Status>;

Payload TerminateOrder(const ExitReason& reason) {
  sys::v1::TerminateRequest request;
  *request.mutable_reason() = reason.ToProto();
  return Payload::Of(std::move(request));
}

absl::Status Ended(const ServerRef& server, const ExitReason& wanted,
                   CallResult result) {
  if (!result.status.ok()) return std::move(result.status);
  const auto* const response = result.reply.As<sys::v1::TerminateResponse>();
  if (response == nullptr) {
    return Error(absl::StatusCode::kInternal, "BUG",
                 "the answer to an order to end is none")
        .Executed();
  }
  const ExitReason reason = ExitReason::FromProto(response->reason());
  if (reason == wanted) return absl::OkStatus();
  return Error(
             absl::StatusCode::kAborted, "CALLEE_EXITED",
             absl::StrCat("'", server.ToString(), "' ended with ",
                          reason.ToString(), ", not with ", wanted.ToString()))
      .With("exit_reason", reason.ToString())
      .Unknown();
}

}  // namespace

Pending<absl::Status> Stop(Caller& caller, const ServerRef& server,
                           const ExitReason& reason, absl::Duration timeout) {
  auto arrival = std::make_shared<StatusArrival>();
  if (timeout < absl::ZeroDuration()) {
    arrival->Set(
        Error(absl::StatusCode::kInvalidArgument, "BAD_TIMEOUT",
              absl::StrCat("a timeout of ", absl::FormatDuration(timeout),
                           ": it must not be negative"))
            .NotExecuted());
    return Pending<absl::Status>(std::move(arrival));
  }
  CallOptions options;
  options.timeout = timeout;
  // With no time to wait a call may not even leave; the order still must. The
  // call finds out whether it may be given: not to oneself, for example.
  auto order = std::make_shared<StatusArrival>();
  const bool order_only = timeout == absl::ZeroDuration();
  const auto& told = order_only ? order : arrival;
  caller.StartCall(server, sys::internal::Path("Terminate"),
                   TerminateOrder(reason), options,
                   [told, server, reason](CallResult result) {
                     told->Set(Ended(server, reason, std::move(result)));
                   });
  if (order_only) {
    absl::Status status;
    const bool refused = order->ready();
    if (refused) status = order->Take();
    if (!refused || (ReasonOf(status) == "TIMEOUT" &&
                     OutcomeOf(status) == Outcome::kNotExecuted)) {
      sys::Terminate(caller, server, reason);
      status = Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                     absl::StrCat("'", server.ToString(),
                                  "' has the order to end; nobody waited"))
                   .Unknown();
    }
    arrival->Set(std::move(status));
  }
  return Pending<absl::Status>(std::move(arrival));
}

namespace sys {

namespace internal {

std::string Path(absl::string_view method) {
  return absl::StrCat("/", kSysService, "/", method);
}

Pending<absl::Status> Ask(Caller& caller, const ServerRef& server,
                          absl::string_view method, Payload request,
                          const CallOptions& options) {
  auto arrival = std::make_shared<StatusArrival>();
  caller.StartCall(
      server, Path(method), std::move(request), options,
      [arrival](CallResult result) { arrival->Set(std::move(result.status)); });
  return Pending<absl::Status>(std::move(arrival));
}

absl::Status WrongState(absl::string_view wanted, absl::string_view is) {
  return Error(absl::StatusCode::kFailedPrecondition, "WRONG_STATE",
               absl::StrCat("the state is a ", is.empty() ? "nothing" : is,
                            ", not a ", wanted))
      .Executed();
}

}  // namespace internal

Pending<absl::Status> SetState(Caller& caller, const ServerRef& server,
                               const google::protobuf::Message& state,
                               const CallOptions& options) {
  v1::ReplaceStateRequest request;
  request.mutable_state()->set_type(state.GetDescriptor()->full_name());
  request.mutable_state()->set_value(state.SerializeAsString());
  return internal::Ask(caller, server, "ReplaceState",
                       Payload::Of(std::move(request)), options);
}

Pending<absl::Status> Suspend(Caller& caller, const ServerRef& server,
                              const CallOptions& options) {
  return internal::Ask(caller, server, "Suspend",
                       Payload::Of(v1::SuspendRequest()), options);
}

Pending<absl::Status> Resume(Caller& caller, const ServerRef& server,
                             const CallOptions& options) {
  return internal::Ask(caller, server, "Resume",
                       Payload::Of(v1::ResumeRequest()), options);
}

PendingCall<v1::GetStatusResponse> GetStatus(Caller& caller,
                                             const ServerRef& server,
                                             const CallOptions& options) {
  return muster::internal::TypedCall<v1::GetStatusResponse>(
      caller, server, internal::Path("GetStatus"), v1::GetStatusRequest(),
      options);
}

Pending<absl::Status> SwitchStatistics(Caller& caller, const ServerRef& server,
                                       bool on, const CallOptions& options) {
  v1::SwitchStatisticsRequest request;
  request.set_on(on);
  return internal::Ask(caller, server, "SwitchStatistics",
                       Payload::Of(std::move(request)), options);
}

PendingCall<v1::GetStatisticsResponse> GetStatistics(
    Caller& caller, const ServerRef& server, const CallOptions& options) {
  return muster::internal::TypedCall<v1::GetStatisticsResponse>(
      caller, server, internal::Path("GetStatistics"),
      v1::GetStatisticsRequest(), options);
}

Pending<absl::Status> SwitchLog(Caller& caller, const ServerRef& server,
                                size_t events, absl::Duration expire,
                                const CallOptions& options) {
  v1::SwitchLogRequest request;
  request.set_size(static_cast<uint32_t>(std::min(events, kSysLogMax)));
  if (expire != absl::InfiniteDuration()) {
    *request.mutable_expire() = ToProtoDuration(expire);
  }
  return internal::Ask(caller, server, "SwitchLog",
                       Payload::Of(std::move(request)), options);
}

PendingCall<v1::GetLogResponse> GetLog(Caller& caller, const ServerRef& server,
                                       uint64_t after,
                                       const CallOptions& options) {
  v1::GetLogRequest request;
  request.set_after(after);
  return muster::internal::TypedCall<v1::GetLogResponse>(
      caller, server, internal::Path("GetLog"), std::move(request), options);
}

std::string EventText(const v1::Event& event) {
  return muster::internal::EventText(event);
}

Pending<absl::Status> SwitchTrace(Caller& caller, const ServerRef& server,
                                  bool on, const CallOptions& options) {
  v1::SwitchTraceRequest request;
  request.set_on(on);
  return internal::Ask(caller, server, "SwitchTrace",
                       Payload::Of(std::move(request)), options);
}

Pending<absl::Status> TraceTo(Caller& caller, const ServerRef& server,
                              SysTraceSink sink, const CallOptions& options) {
  muster::internal::TraceHere order;
  order.sink = std::move(sink);
  return internal::Ask(caller, server, "SwitchTrace",
                       Payload::Of(std::move(order)), options);
}

Pending<absl::Status> InstallHook(Caller& caller, const ServerRef& server,
                                  absl::string_view id, SysHook hook,
                                  const CallOptions& options) {
  muster::internal::InstallHookHere order;
  order.id = std::string(id);
  order.hook = std::move(hook);
  return internal::Ask(caller, server, "InstallHook",
                       Payload::Of(std::move(order)), options);
}

Pending<absl::Status> RemoveHook(Caller& caller, const ServerRef& server,
                                 absl::string_view id,
                                 const CallOptions& options) {
  v1::RemoveHookRequest request;
  request.set_id(std::string(id));
  return internal::Ask(caller, server, "RemoveHook",
                       Payload::Of(std::move(request)), options);
}

Pending<absl::Status> NoDebug(Caller& caller, const ServerRef& server,
                              const CallOptions& options) {
  return internal::Ask(caller, server, "NoDebug",
                       Payload::Of(v1::NoDebugRequest()), options);
}

PendingCast Terminate(Caller& caller, const ServerRef& server,
                      const ExitReason& reason) {
  auto arrival = std::make_shared<StatusArrival>();
  CallOptions options;
  options.timeout = absl::InfiniteDuration();
  caller.StartCast(
      server, internal::Path("Terminate"), TerminateOrder(reason), options,
      [arrival](absl::Status status) { arrival->Set(std::move(status)); });
  return PendingCast(std::move(arrival));
}

Pending<absl::Status> ChangeCode(
    Caller& caller, const ServerRef& server,
    std::function<std::unique_ptr<ProcessBody>()> factory,
    absl::string_view old_version, Payload extra, const CallOptions& options) {
  muster::internal::ChangeCodeHere order;
  order.factory = std::move(factory);
  order.old_version = std::string(old_version);
  order.extra = std::move(extra);
  return internal::Ask(caller, server, "ChangeCode",
                       Payload::Of(std::move(order)), options);
}

}  // namespace sys
}  // namespace muster
