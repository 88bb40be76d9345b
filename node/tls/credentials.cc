#include "node/tls/credentials.h"

#include <grpc/support/log.h>
#include <stdlib.h>

#include <functional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "grpcpp/security/tls_certificate_verifier.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "node/base/mutex.h"
#include "node/tls/log_budget.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

using grpc::experimental::ExternalCertificateVerifier;
using grpc::experimental::FileWatcherCertificateProvider;
using grpc::experimental::HostNameCertificateVerifier;
using grpc::experimental::TlsChannelCredentialsOptions;
using grpc::experimental::TlsCustomVerificationCheckRequest;
using grpc::experimental::TlsServerCredentialsOptions;

// gRPC's smallest.
constexpr unsigned int kReloadSeconds = 1;

// Where failed handshakes are told (LogFailedHandshakes).
struct HandshakeLog {
  Mutex mu;
  Logger* logger ABSL_GUARDED_BY(mu) = nullptr;
  const Clock* clock ABSL_GUARDED_BY(mu) = nullptr;
  LogBudget budget ABSL_GUARDED_BY(mu);
};

HandshakeLog& TheHandshakeLog() {
  // gRPC's threads may log until the very end.
  static auto* const log = new HandshakeLog;
  return *log;
}

void LogHandshake(absl::string_view message) {
  HandshakeLog& log = TheHandshakeLog();
  MutexLock lock(&log.mu);
  if (log.logger == nullptr) return;
  const int64_t dropped = log.budget.Take(log.clock->Boot());
  if (dropped < 0) return;
  log.logger->Warning(absl::StrCat(
      "TLS: ", message,
      dropped == 0 ? "" : absl::StrCat(" (and ", dropped, " more)")));
}

void OnGrpcLog(gpr_log_func_args* args) {
  const absl::string_view message(args->message);
  if (absl::StrContains(message, "andshake") ||
      absl::StrContains(message, "verif") ||
      absl::StrContains(message, "ertificate")) {
    LogHandshake(LogSafe(message, 256));
  }
}

// Compares a server's SPIFFE id. gRPC has verified the chain before.
class PinVerifier final : public ExternalCertificateVerifier {
 public:
  PinVerifier(Identity mine, std::string node)
      : mine_(std::move(mine)), node_(std::move(node)) {}
  ~PinVerifier() override = default;

  bool Verify(TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)>,
              grpc::Status* sync_status) override {
    const std::vector<grpc::string_ref> uris = request->uri_names();
    absl::Status status;
    if (uris.size() != 1) {
      status = absl::PermissionDeniedError(absl::StrCat(
          "the server's certificate has ", uris.size(), " URIs, not one"));
    } else {
      const absl::StatusOr<Identity> theirs =
          ParseIdentity(absl::string_view(uris[0].data(), uris[0].size()));
      status =
          theirs.ok() ? CheckServer(mine_, *theirs, node_) : theirs.status();
    }
    if (!status.ok()) LogHandshake(status.message());
    *sync_status = status.ok() ? grpc::Status::OK
                               : grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                                              std::string(status.message()));
    return true;
  }
  void Cancel(TlsCustomVerificationCheckRequest*) override {}

 private:
  const Identity mine_;
  const std::string node_;
};

template <typename Options>
void Fill(
    const TlsDirectory& directory,
    const std::shared_ptr<grpc::experimental::CertificateProviderInterface>&
        provider,
    Options* options) {
  options->set_certificate_provider(provider);
  options->watch_root_certs();
  options->watch_identity_key_cert_pairs();
  if (!directory.crl_dir().empty()) {
    options->set_crl_directory(directory.crl_dir());
  }
}

}  // namespace

absl::Status CheckServer(const Identity& mine, const Identity& theirs,
                         absl::string_view node) {
  const bool right =
      theirs.role == Role::kNode && theirs.trust_domain == mine.trust_domain &&
      theirs.cluster == mine.cluster && (node.empty() || theirs.name == node);
  if (right) return absl::OkStatus();
  return Error(absl::StatusCode::kPermissionDenied, "WRONG_SERVER",
               absl::StrCat(
                   "the server is ", LogSafe(theirs.ToString(), 256),
                   "; wanted is ",
                   node.empty() ? "a node" : absl::StrCat("node '", node, "'"),
                   " of cluster '", mine.cluster, "' in ", mine.trust_domain))
      .NotExecuted();
}

TlsCredentials::TlsCredentials(const TlsDirectory* directory)
    : directory_(directory),
      provider_(std::make_shared<FileWatcherCertificateProvider>(
          directory->key_path(), directory->certificate_path(),
          directory->roots_path(), kReloadSeconds)) {}

std::shared_ptr<grpc::ServerCredentials> TlsCredentials::ForServer() const {
  TlsServerCredentialsOptions options(provider_);
  Fill(*directory_, provider_, &options);
  options.set_cert_request_type(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> TlsCredentials::ForNode(
    std::string node) const {
  TlsChannelCredentialsOptions options;
  Fill(*directory_, provider_, &options);
  options.set_verify_server_certs(true);
  options.set_check_call_host(false);
  options.set_certificate_verifier(
      ExternalCertificateVerifier::Create<PinVerifier>(directory_->identity(),
                                                       std::move(node)));
  return grpc::experimental::TlsCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> TlsCredentials::ForHost() const {
  TlsChannelCredentialsOptions options;
  Fill(*directory_, provider_, &options);
  options.set_verify_server_certs(true);
  options.set_certificate_verifier(
      std::make_shared<HostNameCertificateVerifier>());
  return grpc::experimental::TlsCredentials(options);
}

void LogFailedHandshakes(Logger* logger, const Clock* clock) {
  HandshakeLog& log = TheHandshakeLog();
  {
    MutexLock lock(&log.mu);
    log.logger = logger;
    log.clock = clock;
  }
  // Somebody who looks for a fault of gRPC's wants all of it on stderr.
  const char* const verbosity = getenv("GRPC_VERBOSITY");
  if (verbosity != nullptr && absl::string_view(verbosity) != "NONE") return;
  gpr_set_log_function(logger != nullptr ? OnGrpcLog : nullptr);
  gpr_set_log_verbosity(logger != nullptr ? GPR_LOG_SEVERITY_ERROR
                                          : static_cast<gpr_log_severity>(
                                                GPR_LOG_SEVERITY_ERROR + 1));
}

}  // namespace muster
