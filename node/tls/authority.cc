#include "node/tls/authority.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/rand.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "node/tls/openssl.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

using internal::BioOf;
using internal::BioPtr;
using internal::KeyPtr;
using internal::OpenSslError;
using internal::X509Ptr;

// X.520's upper bound of a common name.
constexpr size_t kCommonNameMax = 64;
constexpr int kSerialBytes = 16;
constexpr size_t kHostBytesMax = 253;

absl::Status Broken(absl::string_view what) {
  return Error(absl::StatusCode::kInternal, "OPENSSL",
               absl::StrCat("OpenSSL cannot ", what, ": ", OpenSslError()))
      .NotExecuted();
}

absl::StatusOr<std::string> KeyPem(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr,
                               nullptr) != 1) {
    return Broken("write a key");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);  // NOLINT: its type
  return std::string(data, static_cast<size_t>(size));
}

absl::StatusOr<std::string> CertificatePem(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), certificate) != 1) {
    return Broken("write a certificate");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);  // NOLINT: its type
  return std::string(data, static_cast<size_t>(size));
}

bool SetTime(ASN1_TIME* field, absl::Time time) {
  return ASN1_TIME_set(field, absl::ToTimeT(time)) != nullptr;
}

bool SetSerial(X509* certificate) {
  unsigned char bytes[kSerialBytes];
  if (RAND_bytes(bytes, kSerialBytes) != 1) return false;  // NOLINT
  bytes[0] &= 0x7f;                                        // Positive,
  bytes[0] |= 0x40;  // and always as long.
  BIGNUM* const number = BN_bin2bn(bytes, kSerialBytes, nullptr);
  const bool set =
      number != nullptr &&
      BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(number);
  return set;
}

bool SetName(X509_NAME* name, const std::string& common_name) {
  const std::string cut = common_name.substr(0, kCommonNameMax);
  return X509_NAME_add_entry_by_txt(
             name, "CN", MBSTRING_UTF8,
             reinterpret_cast<const unsigned char*>(cut.data()),
             static_cast<int>(cut.size()), -1, 0) == 1;
}

bool AddExtension(X509* certificate, X509* issuer, int nid,
                  const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension =
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

// What X509V3_EXT_conf_nid would read as more than a name has been refused.
bool IsHost(const std::string& host) {
  return !host.empty() && host.size() <= kHostBytesMax &&
         std::all_of(host.begin(), host.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  c == '.' || c == '-' || c == ':' || c == '*';
         });
}

bool IsAddress(const std::string& host) {
  in6_addr parsed;
  return inet_pton(AF_INET, host.c_str(), &parsed) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &parsed) == 1;
}

struct Signer {
  X509Ptr certificate;
  KeyPtr key;
};

absl::StatusOr<Signer> ReadAuthority(const Authority& authority) {
  const auto refuse = [](absl::string_view reason, absl::string_view text) {
    return Error(absl::StatusCode::kFailedPrecondition, reason, text)
        .NotExecuted();
  };
  const BioPtr certificate = BioOf(authority.certificate);
  const BioPtr key = BioOf(authority.key);
  Signer signer;
  signer.certificate.reset(
      PEM_read_bio_X509(certificate.get(), nullptr, nullptr, nullptr));
  signer.key.reset(PEM_read_bio_PrivateKey(
      key.get(), nullptr, [](char*, int, int, void*) { return 0; }, nullptr));
  if (signer.certificate == nullptr || signer.key == nullptr) {
    return refuse("BAD_PEM", absl::StrCat("the authority's files cannot be "
                                          "read: ",
                                          OpenSslError()));
  }
  if (X509_check_private_key(signer.certificate.get(), signer.key.get()) != 1) {
    ERR_clear_error();
    return refuse("KEY_MISMATCH",
                  "the authority's key is not that of its certificate");
  }
  return signer;
}

}  // namespace

absl::StatusOr<Authority> MakeAuthority(const std::string& common_name,
                                        absl::Time not_before,
                                        absl::Time not_after) {
  ERR_clear_error();
  const KeyPtr key(EVP_EC_gen("P-256"));
  const X509Ptr certificate(X509_new());
  X509* const c = certificate.get();
  if (key == nullptr || c == nullptr) return Broken("make a key");
  if (X509_set_version(c, X509_VERSION_3) != 1 || !SetSerial(c) ||
      !SetTime(X509_getm_notBefore(c), not_before) ||
      !SetTime(X509_getm_notAfter(c), not_after) ||
      !SetName(X509_get_subject_name(c), common_name) ||
      X509_set_issuer_name(c, X509_get_subject_name(c)) != 1 ||
      X509_set_pubkey(c, key.get()) != 1 ||
      !AddExtension(c, c, NID_basic_constraints,
                    "critical,CA:TRUE,pathlen:0") ||
      !AddExtension(c, c, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !AddExtension(c, c, NID_subject_key_identifier, "hash") ||
      X509_sign(c, key.get(), EVP_sha256()) == 0) {
    return Broken("make an authority");
  }
  absl::StatusOr<std::string> certificate_pem = CertificatePem(c);
  if (!certificate_pem.ok()) return certificate_pem.status();
  absl::StatusOr<std::string> key_pem = KeyPem(key.get());
  if (!key_pem.ok()) return key_pem.status();
  Authority authority;
  authority.certificate = *std::move(certificate_pem);
  authority.key = *std::move(key_pem);
  return authority;
}

absl::StatusOr<TlsMaterial> Issue(const Authority& authority,
                                  const LeafRequest& request) {
  ERR_clear_error();
  std::vector<std::string> names;
  if (request.identity.has_value()) {
    if (absl::Status bad = ValidateIdentity(*request.identity); !bad.ok()) {
      return bad;
    }
    names.push_back(absl::StrCat("URI:", request.identity->ToString()));
  }
  for (const std::string& uri : request.uris) {
    names.push_back(absl::StrCat("URI:", uri));
  }
  for (const std::string& host : request.hosts) {
    if (!IsHost(host)) {
      return Error(absl::StatusCode::kInvalidArgument, "BAD_HOST",
                   absl::StrCat(LogSafe(host),
                                " is neither a host name nor an address"))
          .NotExecuted();
    }
    names.push_back(absl::StrCat(IsAddress(host) ? "IP:" : "DNS:", host));
  }
  absl::StatusOr<Signer> signer = ReadAuthority(authority);
  if (!signer.ok()) return signer.status();
  X509* const issuer = signer->certificate.get();
  const KeyPtr key(EVP_EC_gen("P-256"));
  const X509Ptr certificate(X509_new());
  X509* const c = certificate.get();
  if (key == nullptr || c == nullptr) return Broken("make a key");
  if (X509_set_version(c, X509_VERSION_3) != 1 || !SetSerial(c) ||
      !SetTime(X509_getm_notBefore(c), request.not_before) ||
      !SetTime(X509_getm_notAfter(c), request.not_after) ||
      !SetName(X509_get_subject_name(c), request.common_name) ||
      X509_set_issuer_name(c, X509_get_subject_name(issuer)) != 1 ||
      X509_set_pubkey(c, key.get()) != 1 ||
      !AddExtension(c, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
      !AddExtension(c, issuer, NID_key_usage, "critical,digitalSignature") ||
      !AddExtension(c, issuer, NID_ext_key_usage, "serverAuth,clientAuth") ||
      !AddExtension(c, issuer, NID_subject_key_identifier, "hash") ||
      !AddExtension(c, issuer, NID_authority_key_identifier, "keyid:always") ||
      (!names.empty() && !AddExtension(c, issuer, NID_subject_alt_name,
                                       absl::StrJoin(names, ","))) ||
      X509_sign(c, signer->key.get(), EVP_sha256()) == 0) {
    return Broken("make a certificate");
  }
  absl::StatusOr<std::string> certificate_pem = CertificatePem(c);
  if (!certificate_pem.ok()) return certificate_pem.status();
  absl::StatusOr<std::string> key_pem = KeyPem(key.get());
  if (!key_pem.ok()) return key_pem.status();
  TlsMaterial material;
  material.roots = authority.certificate;
  material.certificate = *std::move(certificate_pem);
  material.key = *std::move(key_pem);
  return material;
}

}  // namespace muster
