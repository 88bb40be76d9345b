#include "node/rpc/rpc_server.h"

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/compression.h"
#include "grpc/support/time.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr size_t kMessageBytesCap = size_t{16} << 20;

// `error`: what the system says; 0: nothing.
Error CannotListen(const NodeAddress& address, int error) {
  if (error == EADDRINUSE) {
    return Error(absl::StatusCode::kFailedPrecondition, "ADDRESS_IN_USE",
                 absl::StrCat("another process listens on ", address.ToString(),
                              ": stop it, or listen on another port (port 0 "
                              "takes a free one)"))
        .NotExecuted();
  }
  return Error(absl::StatusCode::kFailedPrecondition, "CANNOT_LISTEN",
               absl::StrCat(
                   "cannot listen on ", address.ToString(), ": ",
                   error == 0 ? "gRPC could not start" : strerror(error)))
      .NotExecuted();
}

// guarantees 9.8.
void SetLimits(const RpcServerOptions& options, grpc::ServerBuilder* builder) {
  const int bytes_max = static_cast<int>(options.message_bytes_max);
  builder->SetMaxReceiveMessageSize(bytes_max);
  builder->SetMaxSendMessageSize(bytes_max);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                              options.streams_max);
  // Bounds what the limit of streams does not: it counts only for a client that
  // has acknowledged it.
  builder->SetResourceQuota(
      grpc::ResourceQuota("muster").Resize(options.connection_bytes_max));
  // Room for 8 KiB of the client's, which OutsideCall refuses in words, and
  // for the headers that gRPC itself sends.
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 600'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  builder->AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
  // No decompression, so no bomb: gRPC answers UNIMPLEMENTED to a compressed
  // message.
  for (const grpc_compression_algorithm algorithm :
       {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
    builder->SetCompressionAlgorithmSupportStatus(algorithm, false);
  }
  builder->AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(
    RpcServerOptions options, std::vector<grpc::Service*> extra,
    std::function<void(grpc::ServerBuilder*)> extend) {
  if (options.message_bytes_max == 0 ||
      options.message_bytes_max > kMessageBytesCap || options.streams_max < 1 ||
      options.connection_bytes_max < options.message_bytes_max) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_OPTION",
                 "message_bytes_max is from 1 byte to 16 MiB, streams_max at "
                 "least 1, connection_bytes_max at least message_bytes_max")
        .NotExecuted();
  }
  if ((options.credentials == nullptr) != (options.authorizer == nullptr)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_OPTION",
                 "credentials and authorizer go together")
        .NotExecuted();
  }
  // Guarantees 9.1.
  absl::StatusOr<NodeAddress> address =
      options.credentials == nullptr
          ? ParseLoopbackAddress(options.listen)
          : ParseNodeAddress(options.listen, HostNames::kRefused);
  if (!address.ok()) return address.status();
  int error = 0;
  std::unique_ptr<Listener> listener =
      Listener::Open(*address, options.listener, &error);
  if (listener == nullptr) return CannotListen(*address, error);
  address->port = listener->port();
  std::unique_ptr<RpcServer> server(
      new RpcServer(*std::move(address), std::move(listener), options));
  absl::Status status = server->Listen(options, extra, extend);
  if (!status.ok()) return status;
  return server;
}

RpcServer::RpcServer(NodeAddress address, std::unique_ptr<Listener> listener,
                     const RpcServerOptions& options)
    : address_(std::move(address)),
      logger_(options.logger),
      listener_(std::move(listener)),
      generic_(&backend_, options.message_bytes_max),
      process_(&backend_, options.message_bytes_max, options.authorizer),
      reflection_(&backend_, options.message_bytes_max) {}

RpcServer::~RpcServer() { Shutdown(absl::ZeroDuration()); }

absl::Status RpcServer::Listen(
    const RpcServerOptions& options, const std::vector<grpc::Service*>& extra,
    const std::function<void(grpc::ServerBuilder*)>& extend) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  SetLimits(options, &builder);
  if (options.credentials != nullptr) {
    options.credentials->SetAuthMetadataProcessor(options.authorizer);
    // So that old certificates leave (guarantees 9.3); gRPC adds a tenth either
    // way. Streams between nodes are replaced before (Peers).
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, 3'600'000);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, 30'000);
  }
  acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      options.credentials != nullptr ? options.credentials
                                     : grpc::InsecureServerCredentials());
  builder.RegisterCallbackGenericService(&generic_);
  builder.RegisterService(&process_);
  for (grpc::Service* const service : reflection_.services()) {
    builder.RegisterService(service);
  }
  for (grpc::Service* const service : extra) builder.RegisterService(service);
  if (extend != nullptr) {
    builder.SetMaxSendMessageSize(-1);  // The services check their own.
    extend(&builder);
  }
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) return CannotListen(address_, /*error=*/0);
  SetHealth(false);
  listener_->Start(
      [this](int fd) {
        grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters
            connection;
        connection.fd = fd;
        acceptor_->HandleNewConnection(&connection);
      },
      [this](absl::string_view why) {
        if (logger_ == nullptr) return;
        logger_->Error(absl::StrCat("refuses connections on ",
                                    address_.ToString(), ": ", why));
      });
  return absl::OkStatus();
}

void RpcServer::SetBackend(std::shared_ptr<RpcBackend> backend) {
  const bool serving = backend != nullptr;
  if (!serving) SetHealth(false);
  backend_.Set(std::move(backend));
  if (serving) SetHealth(true);
}

void RpcServer::SetHealth(bool serving) {
  if (server_ == nullptr) return;
  grpc::HealthCheckServiceInterface* const health =
      server_->GetHealthCheckService();
  if (health != nullptr) health->SetServingStatus(serving);
}

void RpcServer::Shutdown(absl::Duration grace) {
  {
    MutexLock lock(&mu_);
    if (shut_down_) return;
    shut_down_ = true;
  }
  listener_->Stop();
  if (server_ == nullptr) return;
  SetHealth(false);
  const absl::Duration bounded =
      std::clamp(grace, absl::ZeroDuration(), absl::Hours(24));
  // gRPC takes a deadline on its own clock.
  server_->Shutdown(gpr_time_add(
      gpr_now(GPR_CLOCK_MONOTONIC),
      gpr_time_from_micros(absl::ToInt64Microseconds(bounded), GPR_TIMESPAN)));
  server_->Wait();
}

}  // namespace muster
