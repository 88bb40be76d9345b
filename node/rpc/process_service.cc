#include "node/rpc/process_service.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "muster/core/v1/core.pb.h"
#include "muster/process/v1/process.pb.h"
#include "node/process/message.h"
#include "node/process/runtime.h"
#include "node/registry/name_registry.h"
#include "node/rpc/authorizer.h"
#include "node/rpc/byte_buffer.h"
#include "node/rpc/grpc_status.h"
#include "node/rpc/outside_call.h"
#include "node/tls/access.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::string_view kWhereIsPath =
    "/muster.process.v1.ProcessService/WhereIs";

Error Refuse(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message)
      .NotExecuted();
}

absl::StatusOr<ServerRef> ReadServer(const core::v1::ServerRef& server) {
  absl::Status status;
  switch (server.ref_case()) {
    case core::v1::ServerRef::kGlobal:
      status = ValidateName(server.global());
      break;
    case core::v1::ServerRef::kLocal:
      if (!server.local().node().empty()) {
        status = ValidateNodeName(server.local().node());
      }
      if (status.ok()) status = ValidateName(server.local().name());
      break;
    case core::v1::ServerRef::kPid:
      status = ValidateNodeName(server.pid().node());
      if (!status.ok() || server.pid().number() == 0) {
        status = Refuse("BAD_PID", "server.pid is not the pid of a process");
      }
      break;
    case core::v1::ServerRef::kAlias:
      status = Refuse("BAD_TARGET",
                      "server.alias is a reply address between processes: set "
                      "server.global, server.local or server.pid");
      break;
    case core::v1::ServerRef::REF_NOT_SET:
      status = Refuse("NO_NAME",
                      "which server? set server.global, server.local or "
                      "server.pid");
      break;
  }
  if (!status.ok()) return status;
  return ServerRef::FromProto(server);
}

// Both kinds have server, method and request.
template <typename Message>
absl::StatusOr<Request> ReadRequest(const grpc::CallbackServerContext& context,
                                    const grpc::ByteBuffer& bytes,
                                    size_t bytes_max, Authorizer* authorizer) {
  if (bytes.Length() > bytes_max) {
    return RequestTooLarge(bytes.Length(), bytes_max);
  }
  Message message;
  if (!ParseBounded(bytes, &message)) {
    return Refuse(
        "BAD_REQUEST",
        absl::StrCat("the request is no ", Message::descriptor()->full_name()));
  }
  absl::StatusOr<ServerRef> server = ReadServer(message.server());
  if (!server.ok()) return server.status();
  absl::StatusOr<std::string> path = NormalizeMethodPath(message.method());
  if (!path.ok()) return path.status();
  if (authorizer != nullptr) {
    absl::Status allowed = authorizer->Check(
        *context.auth_context(), *path,
        message.server().global());  // "" unless it is a cluster-wide name.
    if (!allowed.ok()) return allowed;
  }
  absl::StatusOr<ClientMetadata> metadata =
      ReadClientMetadata(context.client_metadata());
  if (!metadata.ok()) return metadata.status();
  Request request(*std::move(server), *path,
                  Payload::FromBytes(std::move(*message.mutable_request())));
  request.meta = (*std::move(metadata)).ToMeta();
  return request;
}

// One request of this service. Owned by gRPC, as GenericCall: OnDone comes
// after Finish and after the method that made it has returned it.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  using Start = absl::FunctionRef<void(const RpcBackend&, BootTime deadline,
                                       std::shared_ptr<CallSlot>)>;
  // Makes the response's bytes of a result that is OK.
  using Encode = std::string (*)(CallResult result);

  UnaryCall(grpc::CallbackServerContext* context, grpc::ByteBuffer* response,
            size_t message_bytes_max, Encode encode)
      : context_(context),
        response_(response),
        message_bytes_max_(message_bytes_max),
        encode_(encode) {}

  void Fail(const absl::Status& status) {
    if (audit_ != nullptr) audit_(status);
    Finish(ToGrpcStatus(status));
  }

  // Writes the outcome of a call that the table says is to be audited.
  void AuditIfAsked(const grpc::CallbackServerContext& context,
                    std::shared_ptr<Authorizer> authorizer,
                    const Request& request) {
    if (authorizer == nullptr || !IsAudited(AccessOf(request.method))) return;
    audit_ = [authorizer = std::move(authorizer),
              context = context.auth_context(), method = request.method,
              target = request.target.ToString()](const absl::Status& outcome) {
      authorizer->Audit(*context, method, target, outcome);
    };
  }

  void Run(const grpc::CallbackServerContext& context, BackendCell* backend,
           Start start) {
    absl::StatusOr<absl::Duration> timeout = TimeLeft(context.raw_deadline());
    if (!timeout.ok()) return Fail(timeout.status());
    call_.Start(
        backend, *timeout,
        [this](CallResult result) { Answer(std::move(result)); },
        [&](const RpcBackend& b, std::shared_ptr<CallSlot> slot) {
          start(b, b.runtime->clock().Boot() + *timeout, std::move(slot));
        });
  }

  void OnCancel() override { call_.Cancel(); }
  void OnDone() override { delete this; }

 private:
  void Answer(CallResult result) {
    // As for stock stubs: what a client has seen it can ask for (G5).
    if (!result.epoch.empty()) {
      context_->AddTrailingMetadata("muster-epoch", result.epoch.ToString());
    }
    if (!result.status.ok()) return Fail(result.status);
    const std::string bytes = encode_(std::move(result));
    if (bytes.size() > message_bytes_max_) {
      return Fail(ReplyTooLarge(bytes.size(), message_bytes_max_));
    }
    *response_ = ToByteBuffer(bytes);
    if (audit_ != nullptr) audit_(absl::OkStatus());
    Finish(grpc::Status::OK);
  }

  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const response_;
  const size_t message_bytes_max_;
  const Encode encode_;
  // Set before Run.
  std::function<void(const absl::Status&)> audit_;
  // Has its own synchronization.
  OutsideCall call_;
};

std::string EncodeCall(CallResult result) {
  process::v1::CallResponse response;
  response.set_response(result.reply.ToBytes());
  if (!result.epoch.empty()) {
    *response.mutable_epoch() = result.epoch.ToProto();
  }
  return response.SerializeAsString();
}

std::string EncodeCast(CallResult) {
  return process::v1::CastResponse().SerializeAsString();
}

// The slot's reply is the response already.
std::string EncodeReply(CallResult result) { return result.reply.ToBytes(); }

// The greatest epoch that is smaller than `epoch`, which is not empty.
Epoch Before(Epoch epoch) {
  if (epoch.revision > 0) return Epoch{epoch.generation, epoch.revision - 1};
  return Epoch{epoch.generation - 1, std::numeric_limits<uint64_t>::max()};
}

process::v1::WhereIsResponse ToResponse(const NameEntry& entry) {
  process::v1::WhereIsResponse response;
  response.set_name(entry.name);
  response.set_node(entry.pid.node);
  *response.mutable_pid() = entry.pid.ToProto();
  *response.mutable_epoch() = entry.epoch.ToProto();
  response.set_type(entry.type);
  response.set_service(entry.service);
  return response;
}

// `entry` is of `seen` or later.
CallResult Found(const NameRegistry& names, const std::string& name, Epoch seen,
                 absl::StatusOr<NameEntry> entry) {
  if (entry.ok()) {
    CallResult result(Payload::Of(ToResponse(*entry)));
    result.epoch = entry->epoch;
    return result;
  }
  // One that is known here is older than what the client has seen.
  if (absl::IsNotFound(entry.status()) && names.WhereIs(name).has_value()) {
    return CallResult(
        Error(absl::StatusCode::kAborted, "FENCED",
              absl::StrCat("'", name, "' is not known here under epoch ",
                           seen.ToString(), " or a later one: ask again"))
            .With("name", name)
            .NotExecuted()
            .status());
  }
  return CallResult(std::move(entry).status());
}

}  // namespace

grpc::ServerUnaryReactor* ProcessService::Call(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  auto* const call =
      new UnaryCall(context, response, message_bytes_max_, EncodeCall);
  absl::StatusOr<Request> r = ReadRequest<process::v1::CallRequest>(
      *context, *request, message_bytes_max_, authorizer_.get());
  if (!r.ok()) {
    call->Fail(r.status());
    return call;
  }
  call->AuditIfAsked(*context, authorizer_, *r);
  call->Run(*context, backend_,
            [&](const RpcBackend& backend, BootTime deadline,
                std::shared_ptr<CallSlot> slot) {
              r->meta.deadline = deadline;
              backend.runtime->Call(*std::move(r), std::move(slot));
            });
  return call;
}

grpc::ServerUnaryReactor* ProcessService::Cast(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  auto* const call =
      new UnaryCall(context, response, message_bytes_max_, EncodeCast);
  absl::StatusOr<Request> r = ReadRequest<process::v1::CastRequest>(
      *context, *request, message_bytes_max_, authorizer_.get());
  if (!r.ok()) {
    call->Fail(r.status());
    return call;
  }
  call->AuditIfAsked(*context, authorizer_, *r);
  call->Run(*context, backend_,
            [&](const RpcBackend& backend, BootTime deadline,
                std::shared_ptr<CallSlot> slot) {
              r->meta.deadline = deadline;
              // From here on nobody can say that it will not run.
              if (!slot->MarkDispatched()) return;
              backend.runtime->Cast(*std::move(r), [slot](absl::Status taken) {
                slot->Complete(taken.ok() ? CallResult(Payload())
                                          : CallResult(std::move(taken)));
              });
            });
  return call;
}

grpc::ServerUnaryReactor* ProcessService::WhereIs(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  auto* const call =
      new UnaryCall(context, response, message_bytes_max_, EncodeReply);
  process::v1::WhereIsRequest r;
  absl::Status status =
      ParseBounded(*request, &r)
          ? ValidateName(r.name())
          : Refuse("BAD_REQUEST",
                   absl::StrCat("the request is no ", r.GetTypeName()));
  if (status.ok() && authorizer_ != nullptr) {
    status =
        authorizer_->Check(*context->auth_context(), kWhereIsPath, r.name());
  }
  absl::StatusOr<ClientMetadata> metadata =
      ReadClientMetadata(context->client_metadata());
  if (status.ok()) status = metadata.status();
  if (!status.ok()) {
    call->Fail(status);
    return call;
  }
  call->Run(
      *context, backend_,
      [&](const RpcBackend& backend, BootTime, std::shared_ptr<CallSlot> slot) {
        const Epoch seen = metadata->min_epoch;
        backend.names->Resolve(
            r.name(), seen.empty() ? Epoch() : Before(seen),
            [slot, seen, name = r.name(),
             names = backend.names](absl::StatusOr<NameEntry> entry) {
              slot->Complete(Found(*names, name, seen, std::move(entry)));
            });
      });
  return call;
}

}  // namespace muster
