#include "node/supervisor/supervisor_client.h"

#include <memory>

namespace muster {

template <typename Order>
Pending<absl::Status> SupervisorClient::Do(absl::string_view path,
                                           Order order) {
  auto arrival = std::make_shared<internal::Arrival<absl::Status>>();
  caller_->StartCall(
      to_, path, Payload::Of(std::move(order)), options_,
      [arrival](CallResult result) { arrival->Set(std::move(result.status)); });
  return Pending<absl::Status>(std::move(arrival));
}

PendingCall<StartedChild> SupervisorClient::StartChild(ChildSpec spec) {
  return internal::TypedCall<StartedChild>(*caller_, to_,
                                           "/muster.Supervisor/StartChild",
                                           std::move(spec), options_);
}

Pending<absl::Status> SupervisorClient::TerminateChild(absl::string_view id) {
  return Do("/muster.Supervisor/TerminateChild", Supervisor::ById(id));
}

PendingCall<StartedChild> SupervisorClient::RestartChild(absl::string_view id) {
  return internal::TypedCall<StartedChild>(*caller_, to_,
                                           "/muster.Supervisor/RestartChild",
                                           Supervisor::ById(id), options_);
}

Pending<absl::Status> SupervisorClient::DeleteChild(absl::string_view id) {
  return Do("/muster.Supervisor/DeleteChild", Supervisor::ById(id));
}

PendingCall<std::vector<ChildInfo>> SupervisorClient::WhichChildren() {
  return internal::TypedCall<std::vector<ChildInfo>>(
      *caller_, to_, "/muster.Supervisor/WhichChildren", Supervisor::Ask(),
      options_);
}

PendingCall<ChildCounts> SupervisorClient::CountChildren() {
  return internal::TypedCall<ChildCounts>(*caller_, to_,
                                          "/muster.Supervisor/CountChildren",
                                          Supervisor::Ask(), options_);
}

PendingCall<ChildSpec> SupervisorClient::GetChildSpec(absl::string_view id) {
  return internal::TypedCall<ChildSpec>(*caller_, to_,
                                        "/muster.Supervisor/GetChildSpec",
                                        Supervisor::ById(id), options_);
}

PendingCall<ChildSpec> SupervisorClient::GetChildSpec(const Pid& pid) {
  return internal::TypedCall<ChildSpec>(
      *caller_, to_, "/muster.Supervisor/GetChildSpec", pid, options_);
}

Pending<absl::Status> SupervisorClient::Reconfigure(SupervisorSpec spec) {
  return Do("/muster.Supervisor/Reconfigure", std::move(spec));
}

Pending<absl::Status> SupervisorClient::Reload() {
  return Do("/muster.Supervisor/Reload", Supervisor::ReloadOrder());
}

}  // namespace muster
