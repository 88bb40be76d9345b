// Makes a certificate authority and certificates for small clusters and tests:
// `muster tls init` and `muster tls issue`.
//
// Keys are EC P-256, made by OpenSSL's own generator: a key's dice are no part
// of what a simulation replays. Pure but for that; any thread.
#ifndef MUSTER_NODE_TLS_AUTHORITY_H_
#define MUSTER_NODE_TLS_AUTHORITY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "node/tls/certificate.h"
#include "node/tls/spiffe.h"

namespace muster {

struct Authority {
  std::string certificate;  // PEM
  std::string key;          // PEM
};

// A self-signed authority that may sign leaves only. INTERNAL: OpenSSL fails.
absl::StatusOr<Authority> MakeAuthority(const std::string& common_name,
                                        absl::Time not_before,
                                        absl::Time not_after);

struct LeafRequest {
  // Absent: a certificate without a SPIFFE id, for etcd's own members.
  std::optional<Identity> identity;
  // Further SPIFFE ids or other URIs; only tests want any.
  std::vector<std::string> uris;
  // Host names and numeric addresses, for servers that are looked up by them.
  std::vector<std::string> hosts;
  std::string common_name;
  absl::Time not_before;
  absl::Time not_after;
};

// A new key and a certificate for it, signed by `authority`, with its
// certificate as roots. Good for servers and for clients. INVALID_ARGUMENT
// BAD_IDENTITY, BAD_HOST; FAILED_PRECONDITION BAD_PEM, KEY_MISMATCH: the
// authority cannot be used; INTERNAL: OpenSSL fails.
absl::StatusOr<TlsMaterial> Issue(const Authority& authority,
                                  const LeafRequest& request);

}  // namespace muster

#endif  // MUSTER_NODE_TLS_AUTHORITY_H_
