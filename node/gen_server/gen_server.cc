#include "node/gen_server/gen_server.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace muster {

Next GenServer::HandleInfo(Info info, Context& self) {
  self.LogWarning(absl::StrCat("unexpected message ", info.type(),
                               " was dropped: HandleInfo is not overridden"));
  return NoReply();
}

Next GenServer::HandleContinue(Info message, Context&) {
  return Stop(ExitReason::BadReturnValue(absl::StrCat(
      "Continue(", message.type(), ") without an override of HandleContinue")));
}

Next GenServer::HandleTimeout(Context&) { return NoReply(); }

Next GenServer::Terminate(const ExitReason&, Context&) { return NoReply(); }

absl::StatusOr<Payload> GenServer::Snapshot(Context& self) {
  return ProcessBody::Snapshot(self);
}

absl::Status GenServer::Restore(Payload state, Context& self) {
  return ProcessBody::Restore(std::move(state), self);
}

void GenServer::FormatStatus(ServerStatus&) {}

absl::Status GenServer::CodeChange(absl::string_view old_version, Payload state,
                                   Payload extra, Context& self) {
  return ProcessBody::CodeChange(old_version, std::move(state),
                                 std::move(extra), self);
}

HandlerResult GenServer::OnInfo(Info& info, Context& self) {
  return HandleInfo(std::move(info), self).Erase();
}

HandlerResult GenServer::OnContinue(Info& message, Context& self) {
  return HandleContinue(std::move(message), self).Erase();
}

HandlerResult GenServer::OnTimeout(Context& self) {
  return HandleTimeout(self).Erase();
}

HandlerResult GenServer::OnTerminate(const ExitReason& reason, Context& self) {
  return Terminate(reason, self).Erase();
}

const ServiceInfo& InfoServer::service_info() const {
  static const ServiceInfo kNone;
  return kNone;
}

HandlerResult InfoServer::OnInit(Payload&, Context& self) {
  return Init(self).Erase();
}

HandlerResult InfoServer::OnCall(absl::string_view method, Payload&, Context&) {
  return internal::UnknownMethod(method);
}

HandlerResult InfoServer::OnCast(absl::string_view method, Payload&, Context&) {
  return internal::UnknownMethod(method);
}

namespace internal {

HandlerResult MalformedRequest(absl::string_view type) {
  return HandlerResult(
      RefuseWith(Error(absl::StatusCode::kInvalidArgument, "MALFORMED",
                       absl::StrCat("the request's bytes are no ", type))
                     .NotExecuted()));
}

HandlerResult UnknownMethod(absl::string_view method) {
  return HandlerResult(
      RefuseWith(Error(absl::StatusCode::kUnimplemented, "UNKNOWN_METHOD",
                       absl::StrCat("no method '", method, "'"))
                     .NotExecuted()));
}

}  // namespace internal
}  // namespace muster
