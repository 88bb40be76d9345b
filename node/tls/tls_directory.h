// TlsDirectory: certificates from a watched directory, checked before use.
//
//   Open: read, check, publish --> Look, now and then: the same; what is bad
//                                  changes nothing and alarms
//
// gRPC reloads files by itself, but takes whatever it finds. So it is given a
// private copy (a directory of mode 0700 below the one for temporary files),
// into which only material goes that has been checked as a whole.
#ifndef MUSTER_NODE_TLS_TLS_DIRECTORY_H_
#define MUSTER_NODE_TLS_TLS_DIRECTORY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "node/base/clock.h"
#include "node/base/log.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"
#include "node/tls/certificate.h"
#include "node/tls/spiffe.h"

namespace muster {

// How often a directory is looked at (guarantees 9.3).
inline constexpr absl::Duration kTlsLookInterval = absl::Seconds(5);

struct TlsDirectoryOptions {
  Want want = Want::kIdentity;
  // Below it the private copy is made; empty: where the system wants temporary
  // files.
  std::string private_parent;
};

struct TlsCounters {
  // Publications, the first one included.
  uint64_t loaded = 0;
  // Looks that found something which could not be used.
  uint64_t refused = 0;
};

// Owns the private copy and removes it in the end.
// LIFETIME: clock and logger outlive it. THREADS: any.
class TlsDirectory {
 public:
  // Errors: ReadMaterial's, CheckMaterial's; FAILED_PRECONDITION
  // NO_PRIVATE_DIRECTORY.
  static absl::StatusOr<std::unique_ptr<TlsDirectory>> Open(
      std::string dir, const Clock* clock, Logger* logger,
      TlsDirectoryOptions options = TlsDirectoryOptions());
  ~TlsDirectory();
  TlsDirectory(const TlsDirectory&) = delete;
  TlsDirectory& operator=(const TlsDirectory&) = delete;

  // Reads the directory again and publishes what is new and good. True: what
  // is in force has changed. What is bad, or names another identity than the
  // first, changes nothing and is logged as an error, once for each content.
  // Warns once a day while less than 30 % of the certificate's life is left.
  // Reads files, so not where nothing may block.
  bool Look() ABSL_LOCKS_EXCLUDED(mu_);

  const std::string& dir() const { return dir_; }
  // Of all certificates in force, one after the other. With kIdentity only.
  const Identity& identity() const { return *identity_; }
  CertificateInfo info() const ABSL_LOCKS_EXCLUDED(mu_);
  TlsCounters counters() const ABSL_LOCKS_EXCLUDED(mu_);

  // Where gRPC reads. The contents of all three change at once.
  std::string roots_path() const { return private_ + "/current/ca.pem"; }
  std::string certificate_path() const {
    return private_ + "/current/cert.pem";
  }
  std::string key_path() const { return private_ + "/current/key.pem"; }
  // Of certificates that are revoked, as OpenSSL's c_rehash names them; empty:
  // there was no directory `crl` at the beginning.
  const std::string& crl_dir() const { return crl_dir_; }

 private:
  TlsDirectory(std::string dir, const Clock* clock, Logger* logger, Want want)
      : dir_(std::move(dir)), clock_(clock), logger_(logger), want_(want) {}

  absl::Status MakePrivate(const std::string& parent);
  absl::Status PublishLocked(const TlsMaterial& material)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The state of this very moment: refused, the same, or news in `*found`.
  absl::StatusOr<CertificateInfo> CheckNow(TlsMaterial* found) const;
  void WarnLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Constant after Open.
  const std::string dir_;
  const Clock* const clock_;
  Logger* const logger_;
  const Want want_;
  std::string private_;
  std::string crl_dir_;
  std::optional<Identity> identity_;

  mutable Mutex mu_;
  TlsMaterial material_ ABSL_GUARDED_BY(mu_);
  CertificateInfo info_ ABSL_GUARDED_BY(mu_);
  TlsCounters counters_ ABSL_GUARDED_BY(mu_);
  // What was complained about last.
  std::string complaint_ ABSL_GUARDED_BY(mu_);
  BootTime warn_next_ ABSL_GUARDED_BY(mu_);
  // Counts publications; names their directories and their files' times.
  int64_t version_ ABSL_GUARDED_BY(mu_) = 0;
};

// Looks at a directory every kTlsLookInterval, on a thread of the scheduler's
// for what blocks. `on_change` follows each change, on that thread.
// LIFETIME: the directory outlives it; the scheduler until it has stopped.
class TlsWatch {
 public:
  TlsWatch(TlsDirectory* directory, Scheduler* scheduler,
           absl::AnyInvocable<void()> on_change);
  // No look begins after this, and none is under way.
  ~TlsWatch();
  TlsWatch(const TlsWatch&) = delete;
  TlsWatch& operator=(const TlsWatch&) = delete;

 private:
  struct Core;
  static void Arm(const std::shared_ptr<Core>& core);

  const std::shared_ptr<Core> core_;
};

}  // namespace muster

#endif  // MUSTER_NODE_TLS_TLS_DIRECTORY_H_
