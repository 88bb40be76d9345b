// Key, certificate and roots as PEM texts: what they say, and whether they go
// together.
//
// OpenSSL behind it, which gRPC links anyway. Pure but for that; any thread.
#ifndef MUSTER_NODE_TLS_CERTIFICATE_H_
#define MUSTER_NODE_TLS_CERTIFICATE_H_

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/tls/spiffe.h"

namespace muster {

// The three files of a TLS directory.
struct TlsMaterial {
  std::string roots;        // ca.pem: one or more authorities
  std::string certificate;  // cert.pem: the leaf, then intermediates
  std::string key;          // key.pem, unencrypted

  friend bool operator==(const TlsMaterial&, const TlsMaterial&) = default;
};

// Bounds on what is read (guarantees section 10).
inline constexpr size_t kPemBytesMax = size_t{256} << 10;
inline constexpr int kChainMax = 10;
inline constexpr int kRootsMax = 100;
inline constexpr int kNamesMax = 100;

struct CertificateInfo {
  // Absent: the leaf has no SPIFFE URI, and none was needed.
  std::optional<Identity> identity;
  absl::Time not_before;
  absl::Time not_after;
  std::string serial;  // hexadecimal

  // What is left at `now`; negative after the end.
  absl::Duration Left(absl::Time now) const { return not_after - now; }
  // Less than 30 % of its life is left (guarantees 9.3).
  bool RunsOut(absl::Time now) const {
    return Left(now) < 0.3 * (not_after - not_before);
  }
};

// What the leaf must be.
enum class Want {
  kIdentity,  // exactly one URI, and that a SPIFFE id of Muster's
  kAnything,  // for stores, whose authorities know no SPIFFE
};

// The leaf's contents if the material can be used at `now`: everything parses,
// within the bounds; the key is the leaf's; the leaf has what `want` says, is
// valid now and is signed by one of the roots; RSA keys have 2048 bits. The
// common name is ignored. FAILED_PRECONDITION, NOT_EXECUTED, with the reason
//   BAD_PEM, KEY_MISMATCH, CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID,
//   BAD_IDENTITY, WEAK_KEY, NOT_SIGNED
// and a text that names the file and never its contents.
absl::StatusOr<CertificateInfo> CheckMaterial(const TlsMaterial& material,
                                              absl::Time now, Want want);

// Reads ca.pem, cert.pem and key.pem of `dir`, twice until both times are the
// same, so that a directory that is being swapped is not read half.
// FAILED_PRECONDITION, NOT_EXECUTED: NO_TLS_FILE (it says which and why),
// KEY_READABLE (others than owner and group may read the key, or write it),
// UNSTABLE (they keep changing).
absl::StatusOr<TlsMaterial> ReadMaterial(const std::string& dir);

}  // namespace muster

#endif  // MUSTER_NODE_TLS_CERTIFICATE_H_
