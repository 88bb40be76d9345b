#include "node/tls/spiffe.h"

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::string_view kScheme = "spiffe://";
constexpr Role kAllRoles[] = {Role::kNode, Role::kClient, Role::kViewer,
                              Role::kOperator, Role::kAdmin};
constexpr size_t kTrustDomainBytesMax = 255;
constexpr size_t kShortNameBytesMax = 63;

absl::Status Bad(absl::string_view what, absl::string_view wrong) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_IDENTITY",
               absl::StrCat("identity ", LogSafe(what), " ", wrong,
                            "; would be right: spiffe://DOMAIN/CLUSTER/"
                            "{node,client,viewer,operator,admin}/NAME"))
      .NotExecuted();
}

bool IsLower(char c) {
  return absl::ascii_islower(static_cast<unsigned char>(c)) ||
         absl::ascii_isdigit(static_cast<unsigned char>(c));
}

bool IsMark(char c) { return c == '.' || c == '_' || c == '-'; }

bool IsTrustDomain(absl::string_view text) {
  return !text.empty() && text.size() <= kTrustDomainBytesMax &&
         IsLower(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return IsLower(c) || IsMark(c); });
}

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= kShortNameBytesMax && text != "." &&
         text != ".." && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  IsMark(c);
         });
}

}  // namespace

absl::string_view RoleName(Role role) {
  switch (role) {
    case Role::kNode:
      return "node";
    case Role::kClient:
      return "client";
    case Role::kViewer:
      return "viewer";
    case Role::kOperator:
      return "operator";
    case Role::kAdmin:
      return "admin";
  }
  return "";
}

absl::StatusOr<Role> ParseRole(absl::string_view name) {
  for (const Role role : kAllRoles) {
    if (RoleName(role) == name) return role;
  }
  return Error(absl::StatusCode::kInvalidArgument, "BAD_ROLE",
               absl::StrCat("role ", LogSafe(name),
                            " is unknown; there are node, client, viewer, "
                            "operator, admin"))
      .NotExecuted();
}

std::string Identity::ToString() const {
  return absl::StrCat(kScheme, trust_domain, "/", cluster, "/", RoleName(role),
                      "/", name);
}

std::string Identity::Short() const {
  return absl::StrCat(RoleName(role), " '", name, "'");
}

absl::Status ValidateIdentity(const Identity& identity) {
  const std::string uri = identity.ToString();
  if (!IsTrustDomain(identity.trust_domain)) {
    return Bad(uri, "has a trust domain that is not [a-z0-9._-]");
  }
  if (!ValidateClusterName(identity.cluster).ok()) {
    return Bad(uri, "has a bad cluster name");
  }
  const bool good = identity.role == Role::kNode
                        ? ValidateNodeName(identity.name).ok()
                        : IsName(identity.name);
  if (!good) return Bad(uri, "has a bad name");
  if (uri.size() > kSpiffeBytesMax) return Bad(uri, "is too long");
  return absl::OkStatus();
}

absl::StatusOr<Identity> ParseIdentity(absl::string_view uri) {
  if (uri.size() > kSpiffeBytesMax) return Bad(uri, "is too long");
  if (!absl::StartsWith(uri, kScheme)) return Bad(uri, "is no spiffe:// URI");
  const std::vector<absl::string_view> parts =
      absl::StrSplit(uri.substr(kScheme.size()), '/');
  if (parts.size() != 4) return Bad(uri, "has not four parts");
  const absl::StatusOr<Role> role = ParseRole(parts[2]);
  if (!role.ok()) return Bad(uri, "has an unknown role");
  Identity identity;
  identity.trust_domain = std::string(parts[0]);
  identity.cluster = std::string(parts[1]);
  identity.role = *role;
  identity.name = std::string(parts[3]);
  if (absl::Status bad = ValidateIdentity(identity); !bad.ok()) return bad;
  return identity;
}

}  // namespace muster
