#include "cluster/cli/grpc_node_client.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "grpc/support/time.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "muster/admin/v1/admin.grpc.pb.h"
#include "muster/process/v1/process.grpc.pb.h"
#include "node/base/clock.h"
#include "node/base/log.h"
#include "node/base/mutex.h"
#include "node/rpc/grpc_status.h"
#include "node/tls/credentials.h"
#include "node/tls/tls_directory.h"
#include "node/types/status.h"
#include "third_party/grpc/reflection/v1alpha/reflection.grpc.pb.h"

namespace muster {
namespace {

using admin::v1::AdminService;
using google::protobuf::FileDescriptorProto;
using grpc::reflection::v1alpha::ServerReflection;
using grpc::reflection::v1alpha::ServerReflectionRequest;
using grpc::reflection::v1alpha::ServerReflectionResponse;
using process::v1::ProcessService;

// Lists of a large cluster are longer than gRPC's default of 4 MiB.
constexpr int kResponseBytesMax = 16 << 20;
constexpr int kReconnectMsMin = 100;
constexpr int kReconnectMsMax = 1000;
// Longest that one attempt to connect may take on a busy machine.
constexpr int kConnectMsMax = 5000;
// Most files that a description may consist of.
constexpr int kFilesMax = 1000;

// From now on; gRPC reads the clock.
gpr_timespec Within(absl::Duration timeout) {
  const int64_t ms = absl::ToInt64Milliseconds(
      std::max(timeout, absl::ZeroDuration()) + absl::Microseconds(999));
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_millis(ms, GPR_TIMESPAN));
}

std::shared_ptr<grpc::Channel> MakeChannel(
    const NodeAddress& address,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMsMin);
  // The name is misleading: gRPC 1.51 takes it as the time to connect.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMsMax);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMsMax);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetMaxReceiveMessageSize(kResponseBytesMax);
  return grpc::CreateCustomChannel(address.ChannelTarget(), credentials,
                                   arguments);
}

// False at the first failure: waiting out gRPC's backoff helps nobody who
// types a command.
bool Connect(grpc::Channel& channel, absl::Duration timeout) {
  const gpr_timespec deadline = Within(timeout);
  for (;;) {
    const grpc_connectivity_state state = channel.GetState(true);
    if (state == GRPC_CHANNEL_READY) return true;
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE ||
        state == GRPC_CHANNEL_SHUTDOWN ||
        !channel.WaitForStateChange(state, deadline)) {
      return false;
    }
  }
}

// Error of a request that was to change nothing: whatever went wrong, there is
// nothing that may have been executed.
absl::Status OfRead(const grpc::Status& status) {
  absl::Status error = FromGrpcStatus(status);
  if (OutcomeOf(error) == Outcome::kUnspecified ||
      OutcomeOf(error) == Outcome::kUnknown) {
    error = WithOutcome(std::move(error), Outcome::kNotExecuted);
  }
  if (ReasonOf(error) != "NOCONNECTION") return error;
  return Error(absl::StatusCode::kUnavailable, "NODE_UNREACHABLE",
               absl::StrCat("lost the connection to the node: ",
                            status.error_message()))
      .NotExecuted();
}

// What a connection over TLS stands on, until it is closed.
struct TlsParts {
  SystemClock clock;
  NullLogger logger;
  std::unique_ptr<TlsDirectory> directory;
  std::unique_ptr<TlsCredentials> credentials;
};

// Remembers the latest line.
class LatestLine final : public Logger {
 public:
  void Write(LogLevel, absl::string_view text) override {
    MutexLock lock(&mu_);
    text_ = std::string(text);
  }
  std::string text() const {
    MutexLock lock(&mu_);
    return text_;
  }

 private:
  mutable Mutex mu_;
  std::string text_ ABSL_GUARDED_BY(mu_);
};

class GrpcNodeClient final : public NodeClient {
 public:
  // `tls` is kept as long as the channel; null: there is none.
  explicit GrpcNodeClient(std::shared_ptr<grpc::Channel> channel,
                          std::unique_ptr<TlsParts> tls = nullptr)
      : tls_(std::move(tls)),
        admin_(AdminService::NewStub(channel)),
        process_(ProcessService::NewStub(channel)),
        reflection_(ServerReflection::NewStub(channel)) {}

  absl::StatusOr<admin::v1::GetStatusResponse> GetStatus(
      const admin::v1::GetStatusRequest& request,
      absl::Duration timeout) override {
    return Read(*admin_, &AdminService::Stub::GetStatus, request, timeout);
  }
  absl::StatusOr<admin::v1::ListNodesResponse> ListNodes(
      const admin::v1::ListNodesRequest& request,
      absl::Duration timeout) override {
    return Read(*admin_, &AdminService::Stub::ListNodes, request, timeout);
  }
  absl::StatusOr<admin::v1::ListProcessesResponse> ListProcesses(
      const admin::v1::ListProcessesRequest& request,
      absl::Duration timeout) override {
    return Read(*admin_, &AdminService::Stub::ListProcesses, request, timeout);
  }
  absl::StatusOr<admin::v1::ListNamesResponse> ListNames(
      const admin::v1::ListNamesRequest& request,
      absl::Duration timeout) override {
    return Read(*admin_, &AdminService::Stub::ListNames, request, timeout);
  }
  absl::StatusOr<admin::v1::GetTreeResponse> GetTree(
      const admin::v1::GetTreeRequest& request,
      absl::Duration timeout) override {
    return Read(*admin_, &AdminService::Stub::GetTree, request, timeout);
  }
  absl::StatusOr<admin::v1::ApplyResponse> Apply(
      const admin::v1::ApplyRequest& request, absl::Duration timeout) override {
    return Write(*admin_, &AdminService::Stub::Apply, request, timeout);
  }
  absl::StatusOr<admin::v1::RemoveNodeResponse> RemoveNode(
      const admin::v1::RemoveNodeRequest& request,
      absl::Duration timeout) override {
    return Write(*admin_, &AdminService::Stub::RemoveNode, request, timeout);
  }
  absl::StatusOr<admin::v1::RaiseGenerationResponse> RaiseGeneration(
      const admin::v1::RaiseGenerationRequest& request,
      absl::Duration timeout) override {
    return Write(*admin_, &AdminService::Stub::RaiseGeneration, request,
                 timeout);
  }
  absl::StatusOr<process::v1::WhereIsResponse> WhereIs(
      const process::v1::WhereIsRequest& request,
      absl::Duration timeout) override {
    return Read(*process_, &ProcessService::Stub::WhereIs, request, timeout);
  }
  absl::StatusOr<process::v1::CallResponse> Call(
      const process::v1::CallRequest& request,
      absl::Duration timeout) override {
    return Write(*process_, &ProcessService::Stub::Call, request, timeout);
  }
  absl::StatusOr<process::v1::CastResponse> Cast(
      const process::v1::CastRequest& request,
      absl::Duration timeout) override {
    return Write(*process_, &ProcessService::Stub::Cast, request, timeout);
  }

  absl::StatusOr<std::vector<std::string>> ListServices(
      absl::Duration timeout) override {
    ServerReflectionRequest request;
    request.set_list_services("*");
    const absl::StatusOr<ServerReflectionResponse> response =
        Reflect(request, timeout);
    if (!response.ok()) return response.status();
    std::vector<std::string> services;
    for (const auto& service : response->list_services_response().service()) {
      services.push_back(service.name());
    }
    return services;
  }
  absl::StatusOr<std::vector<FileDescriptorProto>> FilesOfSymbol(
      const std::string& symbol, absl::Duration timeout) override {
    ServerReflectionRequest request;
    request.set_file_containing_symbol(symbol);
    return Files(request, timeout);
  }
  absl::StatusOr<std::vector<FileDescriptorProto>> FilesOfName(
      const std::string& file, absl::Duration timeout) override {
    ServerReflectionRequest request;
    request.set_file_by_filename(file);
    return Files(request, timeout);
  }
  absl::StatusOr<admin::v1::DrainNodeResponse> DrainNode(
      const admin::v1::DrainNodeRequest& request,
      absl::Duration timeout) override {
    if (request.dry_run()) {
      return Read(*admin_, &AdminService::Stub::DrainNode, request, timeout);
    }
    return Write(*admin_, &AdminService::Stub::DrainNode, request, timeout);
  }
  absl::StatusOr<admin::v1::UndrainNodeResponse> UndrainNode(
      const admin::v1::UndrainNodeRequest& request,
      absl::Duration timeout) override {
    return Write(*admin_, &AdminService::Stub::UndrainNode, request, timeout);
  }
  absl::StatusOr<admin::v1::StartChildResponse> StartChild(
      const admin::v1::StartChildRequest& request,
      absl::Duration timeout) override {
    return Write(*admin_, &AdminService::Stub::StartChild, request, timeout);
  }
  absl::StatusOr<admin::v1::ChangeChildResponse> ChangeChild(
      const admin::v1::ChangeChildRequest& request,
      absl::Duration timeout) override {
    return Write(*admin_, &AdminService::Stub::ChangeChild, request, timeout);
  }

  absl::StatusOr<admin::v1::ListEventsResponse> ListEvents(
      const admin::v1::ListEventsRequest& request,
      absl::Duration timeout) override {
    return Read(*admin_, &AdminService::Stub::ListEvents, request, timeout);
  }
  absl::StatusOr<admin::v1::ExplainResponse> Explain(
      const admin::v1::ExplainRequest& request,
      absl::Duration timeout) override {
    return Read(*admin_, &AdminService::Stub::Explain, request, timeout);
  }
  absl::Status TailEvents(
      const admin::v1::ListEventsRequest& request,
      std::function<bool(const admin::v1::Event& event)> on_event) override {
    grpc::ClientContext context;
    const auto stream = admin_->TailEvents(&context, request);
    admin::v1::Event event;
    while (stream->Read(&event)) {
      if (on_event(event)) continue;
      context.TryCancel();
      while (stream->Read(&event)) {
      }
      stream->Finish().ok();  // Cancelled, as we said.
      return absl::OkStatus();
    }
    const grpc::Status status = stream->Finish();
    return status.ok() ? absl::OkStatus() : OfRead(status);
  }

 private:
  template <typename Stub, typename Request, typename Response>
  using Method = grpc::Status (Stub::*)(grpc::ClientContext*, const Request&,
                                        Response*);

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Invoke(Stub& stub,
                                  Method<Stub, Request, Response> method,
                                  const Request& request,
                                  absl::Duration timeout, bool is_read) {
    grpc::ClientContext context;
    context.set_deadline(Within(timeout));
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) return is_read ? OfRead(status) : FromGrpcStatus(status);
    return response;
  }

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Read(Stub& stub,
                                Method<Stub, Request, Response> method,
                                const Request& request,
                                absl::Duration timeout) {
    return Invoke(stub, method, request, timeout, /*is_read=*/true);
  }
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Write(Stub& stub,
                                 Method<Stub, Request, Response> method,
                                 const Request& request,
                                 absl::Duration timeout) {
    return Invoke(stub, method, request, timeout, /*is_read=*/false);
  }

  absl::StatusOr<ServerReflectionResponse> Reflect(
      const ServerReflectionRequest& request, absl::Duration timeout) {
    grpc::ClientContext context;
    context.set_deadline(Within(timeout));
    const auto stream = reflection_->ServerReflectionInfo(&context);
    ServerReflectionResponse response;
    const bool answered = stream->Write(request) && stream->WritesDone() &&
                          stream->Read(&response);
    if (!answered) return OfRead(stream->Finish());
    // Reads to the end, so that Finish() does not wait for what nobody reads.
    ServerReflectionResponse rest;
    while (stream->Read(&rest)) {
    }
    const grpc::Status status = stream->Finish();
    if (!status.ok()) return OfRead(status);
    if (response.has_error_response()) {
      return OfRead(grpc::Status(
          static_cast<grpc::StatusCode>(response.error_response().error_code()),
          response.error_response().error_message()));
    }
    return response;
  }

  absl::StatusOr<std::vector<FileDescriptorProto>> Files(
      const ServerReflectionRequest& request, absl::Duration timeout) {
    const absl::StatusOr<ServerReflectionResponse> response =
        Reflect(request, timeout);
    if (!response.ok()) return response.status();
    const auto& bytes =
        response->file_descriptor_response().file_descriptor_proto();
    std::vector<FileDescriptorProto> files;
    for (const std::string& file : bytes) {
      if (bytes.size() > kFilesMax ||
          !files.emplace_back().ParseFromString(file)) {
        return Error(absl::StatusCode::kInternal, "BAD_DESCRIPTORS",
                     "the node's reflection service answered with what is no "
                     "file descriptor")
            .NotExecuted();
      }
    }
    return files;
  }

  const std::unique_ptr<TlsParts> tls_;  // Goes last.
  const std::unique_ptr<AdminService::Stub> admin_;
  const std::unique_ptr<ProcessService::Stub> process_;
  const std::unique_ptr<ServerReflection::Stub> reflection_;
};

Error Unreachable(const std::vector<NodeAddress>& addresses) {
  const auto text = [](std::string* out, const NodeAddress& address) {
    absl::StrAppend(out, address.ToString());
  };
  return Error(absl::StatusCode::kUnavailable, "NODE_UNREACHABLE",
               absl::StrCat("cannot reach a node at ",
                            absl::StrJoin(addresses, " or ", text)))
      .NotExecuted();
}

}  // namespace

absl::StatusOr<std::unique_ptr<NodeClient>> ConnectToNode(
    const std::vector<LoopbackAddress>& addresses, absl::Duration timeout) {
  for (const LoopbackAddress& address : addresses) {
    std::shared_ptr<grpc::Channel> channel =
        MakeChannel(address, grpc::InsecureChannelCredentials());
    if (Connect(*channel, timeout)) {
      return std::make_unique<GrpcNodeClient>(std::move(channel));
    }
  }
  return Unreachable(addresses);
}

absl::StatusOr<std::unique_ptr<NodeClient>> ConnectToNodeOverTls(
    const std::vector<NodeAddress>& addresses, const std::string& tls_dir,
    absl::Duration timeout) {
  auto tls = std::make_unique<TlsParts>();
  absl::StatusOr<std::unique_ptr<TlsDirectory>> directory =
      TlsDirectory::Open(tls_dir, &tls->clock, &tls->logger);
  if (!directory.ok()) return directory.status();
  tls->directory = *std::move(directory);
  tls->credentials = std::make_unique<TlsCredentials>(tls->directory.get());
  LatestLine said;
  LogFailedHandshakes(&said, &tls->clock);
  std::shared_ptr<grpc::Channel> connected;
  for (const NodeAddress& address : addresses) {
    std::shared_ptr<grpc::Channel> channel =
        MakeChannel(address, tls->credentials->ForNode(""));
    if (Connect(*channel, timeout)) {
      connected = std::move(channel);
      break;
    }
  }
  LogFailedHandshakes(nullptr, nullptr);
  if (connected != nullptr) {
    return std::make_unique<GrpcNodeClient>(std::move(connected),
                                            std::move(tls));
  }
  const Error unreachable = Unreachable(addresses);
  const std::string why = said.text();
  if (why.empty()) return unreachable;
  return Error(absl::StatusCode::kUnauthenticated, "TLS_FAILED",
               absl::StrCat(unreachable.status().message(), ": ", why))
      .NotExecuted();
}

std::string GrpcVersion() { return grpc::Version(); }

}  // namespace muster
