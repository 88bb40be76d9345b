// TlsCredentials: gRPC credentials that follow a TlsDirectory.
//
// For what opens channels and listeners: the node, the command line, the C++
// client. Mutual TLS always: there is no way to ask for less.
#ifndef MUSTER_NODE_TLS_CREDENTIALS_H_
#define MUSTER_NODE_TLS_CREDENTIALS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "node/tls/spiffe.h"
#include "node/tls/tls_directory.h"

namespace muster {

// OK if `theirs` may be the server that somebody with the identity `mine`
// dials: a node of the same trust domain and cluster, called `node` unless that
// is empty. PERMISSION_DENIED WRONG_SERVER, NOT_EXECUTED.
absl::Status CheckServer(const Identity& mine, const Identity& theirs,
                         absl::string_view node);

// New handshakes use what the directory has published, at most a second later;
// connections that exist are not touched.
// LIFETIME: the directory outlives it and everything made from what it hands
// out. THREADS: any.
class TlsCredentials {
 public:
  explicit TlsCredentials(const TlsDirectory* directory);

  // For a node's listener: whoever connects shows a certificate that the roots
  // have signed (guarantees 9.2).
  std::shared_ptr<grpc::ServerCredentials> ForServer() const;
  // For dialing the node of that name, or any node of the cluster if it is
  // empty. Instead of the host's name, its SPIFFE id is compared (guarantees
  // 9.4). With Want::kIdentity only.
  std::shared_ptr<grpc::ChannelCredentials> ForNode(std::string node) const;
  // For a store: the host's name or address must be one of its certificate's.
  std::shared_ptr<grpc::ChannelCredentials> ForHost() const;

 private:
  const TlsDirectory* const directory_;
  const std::shared_ptr<grpc::experimental::CertificateProviderInterface>
      provider_;
};

// Why handshakes fail, which gRPC tells nobody but its own log, and whom
// ForNode refuses, goes to `logger` as warnings from now on; for one logger of
// an OS process, null to stop. At most a few lines a second. The rest of gRPC's
// log is dropped unless GRPC_VERBOSITY is set in the environment.
void LogFailedHandshakes(Logger* logger, const Clock* clock);

}  // namespace muster

#endif  // MUSTER_NODE_TLS_CREDENTIALS_H_
