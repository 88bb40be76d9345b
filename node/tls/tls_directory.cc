#include "node/tls/tls_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::Duration kWarnInterval = absl::Hours(24);

absl::Status NoPrivate(absl::string_view path, int error) {
  return Error(
             absl::StatusCode::kFailedPrecondition, "NO_PRIVATE_DIRECTORY",
             absl::StrCat("cannot keep a private copy of the certificates in ",
                          LogSafe(path, 256), ": ", strerror(error)))
      .NotExecuted();
}

// gRPC reads key and certificate one after the other and compares their times
// before and after, in whole seconds: `second` is another one each time.
absl::Status WriteFile(const std::string& path, const std::string& text,
                       int64_t second) {
  const int fd =
      open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return NoPrivate(path, errno);
  int error = 0;
  size_t done = 0;
  while (error == 0 && done < text.size()) {
    const ssize_t wrote = write(fd, text.data() + done, text.size() - done);
    if (wrote < 0 && errno != EINTR) error = errno;
    if (wrote > 0) done += static_cast<size_t>(wrote);
  }
  const timespec times[2] = {{.tv_sec = second, .tv_nsec = 0},
                             {.tv_sec = second, .tv_nsec = 0}};
  if (error == 0 && futimens(fd, times) != 0) error = errno;
  close(fd);
  return error == 0 ? absl::OkStatus() : NoPrivate(path, error);
}

std::string Day(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsDirectory>> TlsDirectory::Open(
    std::string dir, const Clock* clock, Logger* logger,
    TlsDirectoryOptions options) {
  std::unique_ptr<TlsDirectory> made(
      new TlsDirectory(std::move(dir), clock, logger, options.want));
  TlsMaterial material;
  absl::StatusOr<CertificateInfo> info = made->CheckNow(&material);
  if (!info.ok()) return info.status();
  made->identity_ = info->identity;
  struct stat stats = {};
  const std::string crl = absl::StrCat(made->dir_, "/crl");
  if (stat(crl.c_str(), &stats) == 0 && S_ISDIR(stats.st_mode)) {
    made->crl_dir_ = crl;
  }
  absl::Status status = made->MakePrivate(options.private_parent);
  if (!status.ok()) return status;
  MutexLock lock(&made->mu_);
  status = made->PublishLocked(material);
  if (!status.ok()) return status;
  made->info_ = *std::move(info);
  made->WarnLocked();
  return made;
}

TlsDirectory::~TlsDirectory() {
  if (private_.empty()) return;
  std::error_code ignored;  // Nothing more can be done about it.
  std::filesystem::remove_all(private_, ignored);
}

absl::Status TlsDirectory::MakePrivate(const std::string& parent) {
  std::error_code error;
  const std::string above =
      parent.empty() ? std::filesystem::temp_directory_path(error).string()
                     : parent;
  if (error) return NoPrivate("the temporary directory", error.value());
  std::string path = absl::StrCat(above, "/muster-tls.XXXXXX");
  if (mkdtemp(path.data()) == nullptr) return NoPrivate(path, errno);
  private_ = std::move(path);  // Mode 0700.
  return absl::OkStatus();
}

absl::Status TlsDirectory::PublishLocked(const TlsMaterial& material) {
  const int64_t next = version_ + 1;
  const std::string name = absl::StrCat("v", next);
  const std::string path = absl::StrCat(private_, "/", name);
  if (mkdir(path.c_str(), 0700) != 0) return NoPrivate(path, errno);
  for (const auto& [file, text] : {std::pair("ca.pem", &material.roots),
                                   std::pair("cert.pem", &material.certificate),
                                   std::pair("key.pem", &material.key)}) {
    absl::Status written =
        WriteFile(absl::StrCat(path, "/", file), *text, next);
    if (!written.ok()) return written;
  }
  const std::string fresh = absl::StrCat(private_, "/next");
  const std::string current = absl::StrCat(private_, "/current");
  if (symlink(name.c_str(), fresh.c_str()) != 0 ||
      rename(fresh.c_str(), current.c_str()) != 0) {
    return NoPrivate(fresh, errno);
  }
  // The one before stays for whoever is just reading it.
  std::error_code ignored;
  std::filesystem::remove_all(absl::StrCat(private_, "/v", version_ - 1),
                              ignored);
  version_ = next;
  material_ = material;
  ++counters_.loaded;
  return absl::OkStatus();
}

absl::StatusOr<CertificateInfo> TlsDirectory::CheckNow(
    TlsMaterial* found) const {
  absl::StatusOr<TlsMaterial> material = ReadMaterial(dir_);
  if (!material.ok()) return material.status();
  *found = *std::move(material);
  return CheckMaterial(*found, clock_->Wall(), want_);
}

bool TlsDirectory::Look() {
  TlsMaterial material;
  absl::StatusOr<CertificateInfo> info = CheckNow(&material);
  MutexLock lock(&mu_);
  WarnLocked();
  if (info.ok() && material == material_) {
    complaint_.clear();
    return false;
  }
  absl::Status status = info.status();
  if (status.ok() && info->identity != identity_) {
    status = Error(absl::StatusCode::kFailedPrecondition, "BAD_IDENTITY",
                   absl::StrCat("cert.pem is ", info->identity->ToString(),
                                "; it was ", identity_->ToString()))
                 .NotExecuted();
  }
  if (status.ok()) status = PublishLocked(material);
  if (!status.ok()) {
    ++counters_.refused;
    std::string complaint(status.message());
    if (complaint != complaint_) {
      logger_->Error(
          absl::StrCat("the certificates in ", LogSafe(dir_, 256),
                       " cannot be used, the old ones stay: ", complaint));
      complaint_ = std::move(complaint);
    }
    return false;
  }
  complaint_.clear();
  info_ = *std::move(info);
  warn_next_ = BootTime();
  logger_->Info(absl::StrCat("new certificates from ", LogSafe(dir_, 256),
                             ", good until ", Day(info_.not_after)));
  WarnLocked();
  return true;
}

void TlsDirectory::WarnLocked() {
  const absl::Time now = clock_->Wall();
  const BootTime boot = clock_->Boot();
  if (!info_.RunsOut(now) || boot < warn_next_) return;
  warn_next_ = boot + kWarnInterval;
  const std::string text =
      absl::StrCat("the certificate in ", LogSafe(dir_, 256),
                   now > info_.not_after ? " ended on " : " ends on ",
                   Day(info_.not_after), ": put a new one there");
  if (now > info_.not_after) {
    logger_->Error(text);
  } else {
    logger_->Warning(text);
  }
}

CertificateInfo TlsDirectory::info() const {
  MutexLock lock(&mu_);
  return info_;
}

TlsCounters TlsDirectory::counters() const {
  MutexLock lock(&mu_);
  return counters_;
}

// Shared by the watch and its timer, which may outlive it.
struct TlsWatch::Core {
  TlsDirectory* directory;
  Scheduler* scheduler;
  absl::AnyInvocable<void()> on_change;

  Mutex mu;
  CondVar idle;
  bool stopped ABSL_GUARDED_BY(mu) = false;
  bool looking ABSL_GUARDED_BY(mu) = false;
  TimerId timer ABSL_GUARDED_BY(mu) = 0;
};

TlsWatch::TlsWatch(TlsDirectory* directory, Scheduler* scheduler,
                   absl::AnyInvocable<void()> on_change)
    : core_(std::make_shared<Core>()) {
  core_->directory = directory;
  core_->scheduler = scheduler;
  core_->on_change = std::move(on_change);
  Arm(core_);
}

TlsWatch::~TlsWatch() {
  MutexLock lock(&core_->mu);
  core_->stopped = true;
  core_->scheduler->Cancel(core_->timer);
  while (core_->looking) core_->idle.Wait(&core_->mu);
}

void TlsWatch::Arm(const std::shared_ptr<Core>& core) {
  MutexLock lock(&core->mu);
  if (core->stopped) return;
  core->timer = core->scheduler->At(
      core->scheduler->clock().Boot() + kTlsLookInterval, [core] {
        core->scheduler->Block([core] {
          {
            MutexLock inner(&core->mu);
            if (core->stopped) return;
            core->looking = true;
          }
          if (core->directory->Look()) core->on_change();
          {
            MutexLock inner(&core->mu);
            core->looking = false;
            core->idle.SignalAll();
          }
          Arm(core);
        });
      });
}

}  // namespace muster
