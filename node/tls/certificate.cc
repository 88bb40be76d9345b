#include "node/tls/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "node/tls/openssl.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

using internal::BioOf;
using internal::BioPtr;
using internal::KeyPtr;
using internal::NamesPtr;
using internal::OpenSslError;
using internal::X509Ptr;
using internal::X509StackPtr;
using internal::X509StoreCtxPtr;
using internal::X509StorePtr;

constexpr int kRsaBitsMin = 2048;
constexpr int kReadAttempts = 3;

Error Refuse(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kFailedPrecondition, reason, message)
      .NotExecuted();
}

// An encrypted key would ask a terminal.
int NoPassword(char*, int, int, void*) { return 0; }

// All certificates of a file, in order.
absl::StatusOr<std::vector<X509Ptr>> ReadCertificates(absl::string_view file,
                                                      const std::string& pem,
                                                      int count_max) {
  const BioPtr bio = BioOf(pem);
  std::vector<X509Ptr> found;
  for (;;) {
    X509Ptr certificate(
        PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr));
    if (certificate == nullptr) {
      // The end looks like an error, too.
      const unsigned long error = ERR_peek_last_error();  // NOLINT
      const bool end = ERR_GET_LIB(error) == ERR_LIB_PEM &&
                       ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
      const std::string why = OpenSslError();
      if (!end) {
        return Refuse("BAD_PEM", absl::StrCat(file, " cannot be read: ", why));
      }
      break;
    }
    found.push_back(std::move(certificate));
    if (found.size() > static_cast<size_t>(count_max)) {
      return Refuse("BAD_PEM", absl::StrCat(file, " has more than ", count_max,
                                            " certificates"));
    }
  }
  if (found.empty()) {
    return Refuse("BAD_PEM", absl::StrCat(file, " has no certificate"));
  }
  return found;
}

absl::Time ToTime(const ASN1_TIME* time) {
  struct tm parts = {};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return absl::InfinitePast();
  return absl::FromTM(parts, absl::UTCTimeZone());
}

// The identity of a leaf: of its URIs, which must be one.
absl::StatusOr<Identity> IdentityOf(X509* leaf) {
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr)));
  const int count = names == nullptr ? 0 : sk_GENERAL_NAME_num(names.get());
  if (count > kNamesMax) {
    return Refuse("BAD_IDENTITY",
                  absl::StrCat("cert.pem has ", count,
                               " alternative names, more than ", kNamesMax));
  }
  std::vector<absl::string_view> uris;
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* const uri = name->d.uniformResourceIdentifier;
    uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                      static_cast<size_t>(ASN1_STRING_length(uri)));
  }
  if (uris.size() != 1) {
    return Refuse("BAD_IDENTITY",
                  absl::StrCat("cert.pem has ", uris.size(),
                               " URIs instead of one SPIFFE id"));
  }
  absl::StatusOr<Identity> identity = ParseIdentity(uris[0]);
  if (!identity.ok()) {
    return Refuse("BAD_IDENTITY", identity.status().message());
  }
  return identity;
}

absl::Status CheckSigned(X509* leaf, const std::vector<X509Ptr>& chain,
                         const std::vector<X509Ptr>& roots, absl::Time now) {
  const X509StorePtr store(X509_STORE_new());
  for (const X509Ptr& root : roots) {
    if (X509_STORE_add_cert(store.get(), root.get()) != 1) {
      return Refuse("BAD_PEM", absl::StrCat("ca.pem: ", OpenSslError()));
    }
  }
  const X509StackPtr rest(sk_X509_new_null());
  for (size_t i = 1; i < chain.size(); ++i) {
    X509_up_ref(chain[i].get());
    sk_X509_push(rest.get(), chain[i].get());
  }
  const X509StoreCtxPtr context(X509_STORE_CTX_new());
  if (X509_STORE_CTX_init(context.get(), store.get(), leaf, rest.get()) != 1) {
    return Refuse("NOT_SIGNED", OpenSslError());
  }
  X509_STORE_CTX_set_time(context.get(), 0, absl::ToTimeT(now));
  if (X509_verify_cert(context.get()) == 1) return absl::OkStatus();
  const int why = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  return Refuse("NOT_SIGNED", absl::StrCat("cert.pem is not signed by ca.pem: ",
                                           X509_verify_cert_error_string(why)));
}

// One file, opened once; `stats` of what was read.
absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     struct stat* stats) {
  const auto failed = [&path](int error) {
    return Refuse("NO_TLS_FILE",
                  absl::StrCat("cannot read ", LogSafe(path, 256), ": ",
                               strerror(error)));
  };
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return failed(errno);
  std::string text;
  int error = 0;
  if (fstat(fd, stats) != 0) {
    error = errno;
  } else if (!S_ISREG(stats->st_mode)) {
    error = S_ISDIR(stats->st_mode) ? EISDIR : EINVAL;
  } else {
    text.resize(kPemBytesMax + 1);
    size_t have = 0;
    while (have < text.size()) {
      const ssize_t got = read(fd, text.data() + have, text.size() - have);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) error = errno;
      if (got <= 0) break;
      have += static_cast<size_t>(got);
    }
    text.resize(have);
    if (error == 0 && have > kPemBytesMax) error = EFBIG;
  }
  close(fd);
  if (error != 0) return failed(error);
  return text;
}

absl::StatusOr<TlsMaterial> ReadOnce(const std::string& dir) {
  TlsMaterial material;
  for (const auto& [name, text] : {std::pair("ca.pem", &material.roots),
                                   std::pair("cert.pem", &material.certificate),
                                   std::pair("key.pem", &material.key)}) {
    struct stat stats = {};
    const std::string path = absl::StrCat(dir, "/", name);
    absl::StatusOr<std::string> read = ReadFile(path, &stats);
    if (!read.ok()) return read.status();
    *text = *std::move(read);
    if (text == &material.key && (stats.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
      return Refuse("KEY_READABLE",
                    absl::StrCat("others may read or change the key ",
                                 LogSafe(path, 256), ": chmod 600 it"));
    }
  }
  return material;
}

}  // namespace

absl::StatusOr<CertificateInfo> CheckMaterial(const TlsMaterial& material,
                                              absl::Time now, Want want) {
  ERR_clear_error();
  for (const std::string* text :
       {&material.roots, &material.certificate, &material.key}) {
    if (text->size() > kPemBytesMax) {
      return Refuse("BAD_PEM", "a file is larger than 256 KiB");
    }
  }
  absl::StatusOr<std::vector<X509Ptr>> roots =
      ReadCertificates("ca.pem", material.roots, kRootsMax);
  if (!roots.ok()) return roots.status();
  absl::StatusOr<std::vector<X509Ptr>> chain =
      ReadCertificates("cert.pem", material.certificate, kChainMax);
  if (!chain.ok()) return chain.status();
  const BioPtr bio = BioOf(material.key);
  const KeyPtr key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr));
  if (key == nullptr) {
    return Refuse("BAD_PEM",
                  absl::StrCat("key.pem cannot be read (an encrypted key is "
                               "not taken): ",
                               OpenSslError()));
  }
  X509* const leaf = chain->front().get();
  if (X509_check_private_key(leaf, key.get()) != 1) {
    ERR_clear_error();
    return Refuse("KEY_MISMATCH", "key.pem is not the key of cert.pem");
  }
  if (EVP_PKEY_base_id(key.get()) == EVP_PKEY_RSA &&
      EVP_PKEY_bits(key.get()) < kRsaBitsMin) {
    return Refuse("WEAK_KEY", absl::StrCat("key.pem is an RSA key of ",
                                           EVP_PKEY_bits(key.get()),
                                           " bits: at least ", kRsaBitsMin));
  }
  CertificateInfo info;
  info.not_before = ToTime(X509_get0_notBefore(leaf));
  info.not_after = ToTime(X509_get0_notAfter(leaf));
  const ASN1_INTEGER* const serial = X509_get0_serialNumber(leaf);
  info.serial = absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial)),
      static_cast<size_t>(ASN1_STRING_length(serial))));
  if (now > info.not_after) {
    return Refuse(
        "CERTIFICATE_EXPIRED",
        absl::StrCat("cert.pem ended on ",
                     absl::FormatTime(absl::RFC3339_sec, info.not_after,
                                      absl::UTCTimeZone())));
  }
  if (now < info.not_before) {
    return Refuse(
        "CERTIFICATE_NOT_YET_VALID",
        absl::StrCat("cert.pem begins on ",
                     absl::FormatTime(absl::RFC3339_sec, info.not_before,
                                      absl::UTCTimeZone())));
  }
  if (want == Want::kIdentity) {
    absl::StatusOr<Identity> identity = IdentityOf(leaf);
    if (!identity.ok()) return identity.status();
    info.identity = *std::move(identity);
  }
  if (absl::Status bad = CheckSigned(leaf, *chain, *roots, now); !bad.ok()) {
    return bad;
  }
  return info;
}

absl::StatusOr<TlsMaterial> ReadMaterial(const std::string& dir) {
  absl::StatusOr<TlsMaterial> last = ReadOnce(dir);
  for (int i = 0; i < kReadAttempts; ++i) {
    absl::StatusOr<TlsMaterial> next = ReadOnce(dir);
    if (!next.ok() && !last.ok()) return next.status();
    if (next.ok() && last.ok() && *next == *last) return next;
    last = std::move(next);
  }
  return Refuse("UNSTABLE", absl::StrCat("the files of ", LogSafe(dir, 256),
                                         " keep changing"));
}

}  // namespace muster
