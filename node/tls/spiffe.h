// Identity: who somebody is, as the one SPIFFE URI of a certificate says.
//
// Pure. Any thread.
#ifndef MUSTER_NODE_TLS_SPIFFE_H_
#define MUSTER_NODE_TLS_SPIFFE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace muster {

// What somebody may do (guarantees section 9, the role table).
enum class Role { kNode, kClient, kViewer, kOperator, kAdmin };
inline constexpr int kRoles = 5;

// "node", "client", "viewer", "operator", "admin".
absl::string_view RoleName(Role role);
// INVALID_ARGUMENT BAD_ROLE, NOT_EXECUTED; says which there are.
absl::StatusOr<Role> ParseRole(absl::string_view name);

// The longest URI that is read.
inline constexpr size_t kSpiffeBytesMax = 512;

// spiffe://<trust-domain>/<cluster>/<role>/<name>. The cluster is part of it,
// so that two clusters under one authority do not mix.
struct Identity {
  std::string trust_domain;
  std::string cluster;
  Role role = Role::kClient;
  std::string name;

  friend bool operator==(const Identity&, const Identity&) = default;
  // The URI.
  std::string ToString() const;
  // "node 'a'", for messages.
  std::string Short() const;
};

// Strict: exactly the form above, lower-case trust domain ([a-z0-9._-], up to
// 255 bytes), a cluster's and a node's name as they are elsewhere; names of
// other roles are [A-Za-z0-9._-]{1,63}, but neither "." nor "..". Nothing is
// decoded: no %, no query, no fragment, no port. INVALID_ARGUMENT BAD_IDENTITY,
// NOT_EXECUTED; the message is bounded and safe to log.
absl::StatusOr<Identity> ParseIdentity(absl::string_view uri);
// The same for parts, to make one.
absl::Status ValidateIdentity(const Identity& identity);

}  // namespace muster

#endif  // MUSTER_NODE_TLS_SPIFFE_H_
