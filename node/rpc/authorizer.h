// Authorizer: asks the role table about every call that arrives over TLS.
//
// The one place where calls are let in: gRPC asks it before any service,
// registered, generic or of gRPC's own, sees the call (guarantees 9.6).
// Services whose target stands in the request ask again when they have read it.
#ifndef MUSTER_NODE_RPC_AUTHORIZER_H_
#define MUSTER_NODE_RPC_AUTHORIZER_H_

#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "grpcpp/security/auth_context.h"
#include "grpcpp/security/auth_metadata_processor.h"
#include "node/base/clock.h"
#include "node/base/log.h"
#include "node/base/mutex.h"
#include "node/tls/access.h"
#include "node/tls/log_budget.h"
#include "node/tls/spiffe.h"

namespace muster {

// The identity of whoever made a connection: the one URI of its certificate.
// UNAUTHENTICATED BAD_IDENTITY: no TLS, no certificate, or not exactly one
// SPIFFE id; NOT_EXECUTED.
absl::StatusOr<Identity> PeerIdentity(const grpc::AuthContext& context);

// LIFETIME: clock and logger outlive it. THREADS: any.
class Authorizer final : public grpc::AuthMetadataProcessor {
 public:
  // `own` is this node's identity: others must have its trust domain and its
  // cluster.
  Authorizer(Identity own, AccessPolicy policy, const Clock* clock,
             Logger* logger)
      : own_(std::move(own)),
        policy_(std::move(policy)),
        clock_(clock),
        logger_(logger) {}

  // OK if whoever made the connection may call that (AccessPolicy::Check).
  // Besides its errors UNAUTHENTICATED: PeerIdentity's, and WRONG_CLUSTER.
  // What is refused is logged, a few lines a second.
  absl::Status Check(const grpc::AuthContext& context, absl::string_view path,
                     std::optional<absl::string_view> name);

  // Writes one line about a call that changes something: who, what, on what,
  // and how it ended. `target` is made safe and cut.
  void Audit(const grpc::AuthContext& context, absl::string_view path,
             absl::string_view target, const absl::Status& outcome);

  // --- grpc::AuthMetadataProcessor -------------------------------------------
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata,
                       grpc::AuthContext* context, OutputMetadata* consumed,
                       OutputMetadata* response) override;

 private:
  absl::Status Decide(const grpc::AuthContext& context, absl::string_view path,
                      std::optional<absl::string_view> name) const;

  const Identity own_;
  const AccessPolicy policy_;
  const Clock* const clock_;
  Logger* const logger_;

  Mutex mu_;
  LogBudget budget_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_NODE_RPC_AUTHORIZER_H_
