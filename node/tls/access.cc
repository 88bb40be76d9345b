#include "node/tls/access.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/descriptor.h"
#include "node/base/planted.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

using core::v1::Access;

// Packages that hosted services cannot have.
constexpr absl::string_view kReserved[] = {"muster.", "grpc."};
// gRPC's own, which carry no options of ours.
constexpr absl::string_view kOfGrpc[] = {
    "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection"};

// Names of Muster's own processes.
constexpr absl::string_view kOwnNames = "muster/";

constexpr Role kAllRoles[] = {Role::kNode, Role::kClient, Role::kViewer,
                              Role::kOperator, Role::kAdmin};

std::string WhoMay(Access access) {
  std::vector<absl::string_view> roles;
  for (const Role role : kAllRoles) {
    if (RoleMay(role, access)) roles.push_back(RoleName(role));
  }
  return roles.empty() ? "nobody" : absl::StrJoin(roles, ", ");
}

}  // namespace

absl::StatusOr<ClientGrant> ParseClientGrant(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('=', 1));
  Identity client;
  client.trust_domain = "x";
  client.cluster = "x";
  client.role = Role::kClient;
  client.name = std::string(parts.first);
  ClientGrant grant;
  grant.client = std::string(parts.first);
  bool good = absl::StrContains(text, '=') &&
              (grant.client == "*" || ValidateIdentity(client).ok());
  for (const absl::string_view prefix : absl::StrSplit(parts.second, ',')) {
    good = good && (prefix.empty() || ValidateName(prefix).ok());
    grant.prefixes.emplace_back(prefix);
  }
  if (good) return grant;
  return Error(absl::StatusCode::kInvalidArgument, "BAD_GRANT",
               absl::StrCat("grant ", LogSafe(text),
                            " is not CLIENT=PREFIX,PREFIX...; for example "
                            "billing=counter_,ledger/ or '*='"))
      .NotExecuted();
}

core::v1::Access AccessOf(absl::string_view path) {
  absl::string_view rest = path;
  if (absl::StartsWith(rest, "/")) rest.remove_prefix(1);
  const bool reserved = std::any_of(std::begin(kReserved), std::end(kReserved),
                                    [rest](absl::string_view package) {
                                      return absl::StartsWith(rest, package);
                                    });
  if (!reserved) return core::v1::ACCESS_CALL;
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(rest, absl::MaxSplits('/', 1));
  if (std::find(std::begin(kOfGrpc), std::end(kOfGrpc), parts.first) !=
      std::end(kOfGrpc)) {
    return core::v1::ACCESS_RESOLVE;
  }
  const google::protobuf::MethodDescriptor* const method =
      google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(
          absl::StrCat(parts.first, ".", parts.second));
  if (method == nullptr) return core::v1::ACCESS_UNSPECIFIED;
  return method->options().GetExtension(core::v1::access);
}

bool RoleMay(Role role, core::v1::Access access) {
  switch (access) {
    case core::v1::ACCESS_PEER:
      return role == Role::kNode;
    case core::v1::ACCESS_CALL:
      return role != Role::kViewer;
    case core::v1::ACCESS_RESOLVE:
      return true;
    case core::v1::ACCESS_VIEW:
      return role != Role::kClient;
    case core::v1::ACCESS_COUNTS:
    case core::v1::ACCESS_OPERATE:
      return role == Role::kOperator || role == Role::kAdmin;
    case core::v1::ACCESS_INSPECT:
    case core::v1::ACCESS_REPAIR:
      return role == Role::kAdmin;
    default:
      // Without an entry, inside only, or of a later version.
      return access == core::v1::ACCESS_UNSPECIFIED &&
             Planted(PlantedBug::kOpenMethod);
  }
}

absl::Status AccessPolicy::Check(const Identity& who, absl::string_view path,
                                 std::optional<absl::string_view> name) const {
  const Access access = AccessOf(path);
  const auto denied = [&](absl::string_view why) {
    return Error(absl::StatusCode::kPermissionDenied, "DENIED",
                 absl::StrCat(who.Short(), " of cluster '", who.cluster,
                              "' may not call ", LogSafe(path), why))
        .NotExecuted();
  };
  if (!RoleMay(who.role, access)) {
    return denied(absl::StrCat("; who may: ", WhoMay(access)));
  }
  if (who.role == Role::kClient && name.has_value() &&
      !Granted(who.name, *name)) {
    return denied(name->empty()
                      ? " of a server without a cluster-wide name: it may "
                        "reach some names only"
                      : absl::StrCat(" of ", LogSafe(*name),
                                     ": no prefix granted to it fits"));
  }
  return absl::OkStatus();
}

bool AccessPolicy::Granted(absl::string_view client,
                           absl::string_view name) const {
  if (absl::StartsWith(name, kOwnNames)) return false;
  if (grants_.empty()) return true;
  for (const ClientGrant& grant : grants_) {
    if (grant.client != "*" && grant.client != client) continue;
    for (const std::string& prefix : grant.prefixes) {
      if (absl::StartsWith(name, prefix)) return true;
    }
  }
  return false;
}

bool IsAudited(core::v1::Access access) {
  return access == core::v1::ACCESS_OPERATE ||
         access == core::v1::ACCESS_INSPECT ||
         access == core::v1::ACCESS_REPAIR;
}

}  // namespace muster
