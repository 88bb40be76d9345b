#include "node/rpc/authorizer.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "grpc/grpc_security_constants.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr char kPath[] = ":path";
constexpr char kName[] = "muster-name";
constexpr char kPid[] = "muster-pid";
constexpr size_t kTargetBytesMax = 200;

absl::string_view View(grpc::string_ref text) {
  return absl::string_view(text.data(), text.size());
}

}  // namespace

absl::StatusOr<Identity> PeerIdentity(const grpc::AuthContext& context) {
  const std::vector<grpc::string_ref> uris =
      context.FindPropertyValues(GRPC_PEER_URI_PROPERTY_NAME);
  absl::Status why;
  if (uris.size() == 1) {
    absl::StatusOr<Identity> identity = ParseIdentity(View(uris[0]));
    if (identity.ok()) return identity;
    why = identity.status();
  }
  return Error(absl::StatusCode::kUnauthenticated, "BAD_IDENTITY",
               uris.size() == 1
                   ? std::string(why.message())
                   : absl::StrCat("the certificate has ", uris.size(),
                                  " URIs instead of one SPIFFE id"))
      .NotExecuted();
}

absl::Status Authorizer::Decide(const grpc::AuthContext& context,
                                absl::string_view path,
                                std::optional<absl::string_view> name) const {
  absl::StatusOr<Identity> who = PeerIdentity(context);
  if (!who.ok()) return who.status();
  if (who->trust_domain != own_.trust_domain || who->cluster != own_.cluster) {
    return Error(absl::StatusCode::kUnauthenticated, "WRONG_CLUSTER",
                 absl::StrCat(LogSafe(who->ToString(), 256),
                              " is not of cluster '", own_.cluster, "' in ",
                              own_.trust_domain))
        .NotExecuted();
  }
  return policy_.Check(*who, path, name);
}

absl::Status Authorizer::Check(const grpc::AuthContext& context,
                               absl::string_view path,
                               std::optional<absl::string_view> name) {
  absl::Status status = Decide(context, path, name);
  if (status.ok()) return status;
  MutexLock lock(&mu_);
  const int64_t dropped = budget_.Take(clock_->Boot());
  if (dropped >= 0) {
    logger_->Warning(absl::StrCat(
        "refused: ", status.message(),
        dropped == 0 ? "" : absl::StrCat(" (and ", dropped, " more)")));
  }
  return status;
}

void Authorizer::Audit(const grpc::AuthContext& context, absl::string_view path,
                       absl::string_view target, const absl::Status& outcome) {
  const absl::StatusOr<Identity> who = PeerIdentity(context);
  const std::string reason = ReasonOf(outcome);
  logger_->Info(absl::StrCat(
      "audit: ", who.ok() ? who->ToString() : "(unknown)", " ", LogSafe(path),
      " ", LogSafe(target, kTargetBytesMax), ": ",
      outcome.ok()
          ? "OK"
          : absl::StrCat(absl::StatusCodeToString(outcome.code()),
                         reason.empty() ? "" : absl::StrCat(" ", reason))));
}

grpc::Status Authorizer::Process(const InputMetadata& metadata,
                                 grpc::AuthContext* context, OutputMetadata*,
                                 OutputMetadata*) {
  const auto path = metadata.find(kPath);
  std::optional<absl::string_view> name;
  // A pid has no cluster-wide name. Both, or one twice, is refused later.
  if (metadata.find(kPid) != metadata.end()) name = "";
  const auto named = metadata.equal_range(kName);
  for (auto one = named.first; one != named.second && !name.has_value();
       ++one) {
    name = View(one->second);
  }
  const absl::Status status = Check(
      *context,
      path == metadata.end() ? absl::string_view() : View(path->second), name);
  // gRPC carries no details from here; FromGrpcStatus knows that.
  return status.ok()
             ? grpc::Status::OK
             : grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                            std::string(status.message()));
}

}  // namespace muster
