// AccessPolicy: who may use which method, for which names.
//
// One table for everything that a node serves, made from the options in the
// protos (muster/core/v1/access.proto); what is not in it is nobody's
// (guarantees section 9, G15). Pure, immutable, any thread.
#ifndef MUSTER_NODE_TLS_ACCESS_H_
#define MUSTER_NODE_TLS_ACCESS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "muster/core/v1/access.pb.h"
#include "node/tls/spiffe.h"

namespace muster {

// What the names of the servers that a client may reach begin with.
struct ClientGrant {
  std::string client;  // a client's name, or "*" for each
  std::vector<std::string> prefixes;
};

// Reads "billing=counter_,ledger/": names that begin so; "*=" is every client
// and every name. INVALID_ARGUMENT BAD_GRANT, NOT_EXECUTED.
absl::StatusOr<ClientGrant> ParseClientGrant(absl::string_view text);

// What one must be allowed to do for "/package.Service/Method".
//   - a method of a package of ours: its option; ACCESS_UNSPECIFIED without one
//   - gRPC's health and reflection: ACCESS_RESOLVE
//   - everything else is a hosted service: ACCESS_CALL
core::v1::Access AccessOf(absl::string_view path);

// Whether a role may do that; names are looked at elsewhere.
bool RoleMay(Role role, core::v1::Access access);

class AccessPolicy {
 public:
  // Without grants every client reaches every name but Muster's own.
  explicit AccessPolicy(std::vector<ClientGrant> grants = {})
      : grants_(std::move(grants)) {}

  // OK if `who` may call `path`, at the server of that name. Absent: the call
  // has no target, or it is looked at later; "": a target that has no
  // cluster-wide name, such as a pid, for whoever may reach all names.
  // PERMISSION_DENIED DENIED, NOT_EXECUTED: says who, what, and which roles
  // may.
  absl::Status Check(const Identity& who, absl::string_view path,
                     std::optional<absl::string_view> name) const;

 private:
  bool Granted(absl::string_view client, absl::string_view name) const;

  const std::vector<ClientGrant> grants_;
};

// Whether calls of that kind are written to the audit log.
bool IsAudited(core::v1::Access access);

}  // namespace muster

#endif  // MUSTER_NODE_TLS_ACCESS_H_
