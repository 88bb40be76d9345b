#include "node/rpc/generic_service.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "node/process/message.h"
#include "node/process/runtime.h"
#include "node/rpc/byte_buffer.h"
#include "node/rpc/grpc_status.h"
#include "node/rpc/outside_call.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

Error Refuse(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message)
      .NotExecuted();
}

// The call says no server: because the client forgot, or because it wants a
// service that is not here.
absl::Status NoServer(const RpcBackend& backend, absl::string_view path) {
  constexpr size_t kServicesShown = 16;
  const std::vector<std::string> services = backend.descriptors->Services();
  absl::string_view service;
  absl::string_view method;
  if (SplitMethodPath(path, &service, &method) &&
      std::find(services.begin(), services.end(), service) != services.end()) {
    return Refuse("NO_NAME",
                  "which server? set the metadata key muster-name to the "
                  "server's name, for example muster-name: counter_a");
  }
  const size_t shown = std::min(services.size(), kServicesShown);
  return Error(absl::StatusCode::kUnimplemented, "",
               absl::StrCat(
                   "nobody serves ", LogSafe(path), "; hosted services: ",
                   services.empty()
                       ? "none"
                       : absl::StrJoin(services.begin(),
                                       services.begin() + shown, ", "),
                   shown < services.size()
                       ? absl::StrCat(" and ", services.size() - shown, " more")
                       : ""))
      .NotExecuted();
}

absl::StatusOr<ServerRef> TargetOf(const ClientMetadata& metadata) {
  if (metadata.name.has_value() && metadata.pid.has_value()) {
    return Refuse("NO_NAME", "give muster-name or muster-pid, not both");
  }
  if (metadata.pid.has_value()) {
    absl::StatusOr<Pid> pid = Pid::Parse(*metadata.pid);
    if (!pid.ok()) {
      return Refuse(
          "BAD_PID",
          absl::StrCat("muster-pid ", LogSafe(*metadata.pid), " is not a pid"));
    }
    return ServerRef(*std::move(pid));
  }
  absl::Status status = ValidateName(*metadata.name);
  if (!status.ok()) return status;
  return ServerRef::Global(*metadata.name);
}

// One call.
//
//   reading --(1)--> reading the end --(2)--> calling --(3)--> finished
//      \------(4)----------(4)--------------------------------^
//   (1) a message came   (2) the client has half-closed
//   (3) the slot is done: exactly once, whatever happens (OutsideCall)
//   (4) refused, or the client is gone
//
// Owned by gRPC: deletes itself in OnDone, which comes after Finish and after
// every callback under way has returned. After (3) nothing of ours refers to
// it, so `this` is not touched after Finish.
class GenericCall final : public grpc::ServerGenericBidiReactor {
 public:
  GenericCall(grpc::GenericCallbackServerContext* context, BackendCell* backend,
              size_t message_bytes_max)
      : context_(context),
        backend_(backend),
        message_bytes_max_(message_bytes_max) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!has_request_) {
      if (!ok) {
        return Fail(Refuse("BAD_REQUEST", "the client sent no message"));
      }
      has_request_ = true;
      if (request_.Length() > message_bytes_max_) {
        return Fail(RequestTooLarge(request_.Length(), message_bytes_max_));
      }
      StartRead(&extra_);
      return;
    }
    if (ok) {
      return Fail(Refuse("BAD_REQUEST", "the client sent a second message"));
    }
    if (context_->IsCancelled()) return Finish(grpc::Status::CANCELLED);
    Dispatch();
  }

  void OnCancel() override { call_.Cancel(); }
  void OnDone() override { delete this; }

 private:
  void Fail(const absl::Status& status) { Finish(ToGrpcStatus(status)); }

  void Dispatch() {
    absl::StatusOr<Request> request = MakeRequest();
    if (!request.ok()) return Fail(request.status());
    absl::StatusOr<absl::Duration> timeout = TimeLeft(context_->raw_deadline());
    if (!timeout.ok()) return Fail(timeout.status());
    call_.Start(
        backend_, *timeout,
        [this](CallResult result) { Answer(std::move(result)); },
        [&](const RpcBackend& backend, std::shared_ptr<CallSlot> slot) {
          request->meta.deadline = backend.runtime->clock().Boot() + *timeout;
          backend.runtime->Call(*std::move(request), std::move(slot));
        });
  }

  absl::StatusOr<Request> MakeRequest() {
    BackendCell::Use use(backend_);
    if (!use) return BackendCell::Starting();
    absl::StatusOr<ClientMetadata> metadata =
        ReadClientMetadata(context_->client_metadata());
    if (!metadata.ok()) return metadata.status();
    if (!metadata->name.has_value() && !metadata->pid.has_value()) {
      return NoServer(*use.get(), context_->method());
    }
    absl::StatusOr<ServerRef> target = TargetOf(*metadata);
    if (!target.ok()) return target.status();
    absl::StatusOr<std::string> path = NormalizeMethodPath(context_->method());
    if (!path.ok()) return path.status();
    Request request(*std::move(target), *path,
                    Payload::FromBytes(BytesOf(request_)));
    request_.Clear();
    request.meta = (*std::move(metadata)).ToMeta();
    return request;
  }

  void Answer(CallResult result) {
    // Also of an error: whoever has seen it asks for no older one (G5).
    if (!result.epoch.empty()) {
      context_->AddTrailingMetadata("muster-epoch", result.epoch.ToString());
    }
    if (!result.status.ok()) return Fail(result.status);
    const std::string bytes = result.reply.ToBytes();
    if (bytes.size() > message_bytes_max_) {
      return Fail(ReplyTooLarge(bytes.size(), message_bytes_max_));
    }
    response_ = ToByteBuffer(bytes);
    StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
  }

  grpc::GenericCallbackServerContext* const context_;
  BackendCell* const backend_;
  const size_t message_bytes_max_;

  // Owned by the callback under way.
  bool has_request_ = false;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer extra_;
  grpc::ByteBuffer response_;

  // Has its own synchronization.
  OutsideCall call_;
};

}  // namespace

grpc::ServerGenericBidiReactor* GenericService::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  return new GenericCall(context, backend_, message_bytes_max_);
}

}  // namespace muster
