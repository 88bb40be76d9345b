#include "cluster/cli/tls_commands.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "node/tls/authority.h"
#include "node/tls/certificate.h"
#include "node/tls/spiffe.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr int kAuthorityDays = 3650;
constexpr int kLeafDays = 90;
// Clocks of other machines may be behind.
constexpr absl::Duration kBackdate = absl::Minutes(5);
constexpr absl::string_view kEtcdRole = "etcd";
constexpr absl::string_view kScheme = "spiffe://";

absl::Status Usage(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "USAGE", what).NotExecuted();
}

absl::Status FileError(const std::string& path, int error) {
  return Error(absl::StatusCode::kFailedPrecondition, "FILE",
               absl::StrCat(LogSafe(path, 256), ": ", strerror(error)))
      .NotExecuted();
}

absl::Status MakeDirectory(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return absl::OkStatus();
  std::filesystem::create_directories(path, error);
  if (error) return FileError(path, error.value());
  if (chmod(path.c_str(), 0700) != 0) return FileError(path, errno);
  return absl::OkStatus();
}

// Replaces the file as a whole.
absl::Status WriteFile(const std::string& path, const std::string& text,
                       mode_t mode) {
  const std::string fresh = path + ".new";
  unlink(fresh.c_str());
  const int fd =
      open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) return FileError(fresh, errno);
  int error = 0;
  size_t done = 0;
  while (error == 0 && done < text.size()) {
    const ssize_t wrote = write(fd, text.data() + done, text.size() - done);
    if (wrote < 0 && errno != EINTR) error = errno;
    if (wrote > 0) done += static_cast<size_t>(wrote);
  }
  if (error == 0 && (fchmod(fd, mode) != 0 || fsync(fd) != 0)) error = errno;
  close(fd);
  if (error == 0 && rename(fresh.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return absl::OkStatus();
  unlink(fresh.c_str());
  return FileError(path, error);
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  // An empty file fails, too, but without an error of the system's.
  if (!file || (!(text << file.rdbuf()) && errno != 0)) {
    return FileError(path, errno != 0 ? errno : EIO);
  }
  if (text.str().size() > kPemBytesMax) return FileError(path, EFBIG);
  return text.str();
}

absl::StatusOr<absl::Duration> Life(int days, int absent) {
  constexpr int kDaysMax = 36500;
  if (days == 0) days = absent;
  if (days < 1 || days > kDaysMax) {
    return Usage(absl::StrCat("--days is from 1 to ", kDaysMax));
  }
  return absl::Hours(24) * days;
}

std::string Day(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

// spiffe://DOMAIN/CLUSTER of the file `authority`.
absl::Status ReadFor(const std::string& dir, Identity* identity) {
  const std::string path = dir + "/authority";
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) {
    std::error_code error;
    if (std::filesystem::exists(path, error) || error) return text.status();
    return Error(absl::StatusCode::kFailedPrecondition, "FILE",
                 absl::StrCat(text.status().message(),
                              "; is --ca made by `muster tls init`?"))
        .NotExecuted();
  }
  absl::string_view rest = absl::StripAsciiWhitespace(*text);
  const size_t slash =
      absl::ConsumePrefix(&rest, kScheme) ? rest.find('/') : rest.npos;
  if (slash == rest.npos) {
    return Error(absl::StatusCode::kFailedPrecondition, "FILE",
                 absl::StrCat(LogSafe(path, 256),
                              " is not spiffe://DOMAIN/CLUSTER"))
        .NotExecuted();
  }
  identity->trust_domain = std::string(rest.substr(0, slash));
  identity->cluster = std::string(rest.substr(slash + 1));
  return absl::OkStatus();
}

}  // namespace

CommandResult TlsInit(const CliEnv& env, const TlsFlags& flags) {
  Identity probe;  // Valid if domain and cluster are.
  probe.trust_domain = flags.trust_domain;
  probe.cluster = flags.cluster;
  probe.name = "x";
  if (absl::Status bad = ValidateIdentity(probe); !bad.ok()) return bad;
  const absl::StatusOr<absl::Duration> life = Life(flags.days, kAuthorityDays);
  if (!life.ok()) return life.status();
  absl::Status status = MakeDirectory(flags.dir);
  if (!status.ok()) return status;
  const std::string key_path = flags.dir + "/ca-key.pem";
  std::error_code ignored;
  if (std::filesystem::exists(key_path, ignored)) {
    return absl::Status(
        Error(absl::StatusCode::kAlreadyExists, "AUTHORITY_EXISTS",
              absl::StrCat(LogSafe(key_path, 256),
                           " exists: a new authority needs another --dir"))
            .NotExecuted());
  }
  const absl::Time now = env.clock->Wall();
  absl::StatusOr<Authority> authority =
      MakeAuthority(absl::StrCat("Muster authority of ", flags.cluster),
                    now - kBackdate, now + *life);
  if (!authority.ok()) return authority.status();
  const std::string whom =
      absl::StrCat(kScheme, flags.trust_domain, "/", flags.cluster);
  for (const auto& [path, text, mode] :
       {std::tuple(key_path, &authority->key, mode_t{0600}),
        std::tuple(flags.dir + "/ca.pem", &authority->certificate,
                   mode_t{0644})}) {
    status = WriteFile(path, *text, mode);
    if (!status.ok()) return status;
  }
  status = WriteFile(flags.dir + "/authority", whom + "\n", 0644);
  if (!status.ok()) return status;
  *env.err << "muster: an authority for " << whom << ", good until "
           << Day(now + *life) << "; whoever has " << key_path
           << " is every node: keep it off the nodes\n";
  return {};
}

CommandResult TlsIssue(const CliEnv& env, const TlsFlags& flags) {
  const absl::StatusOr<absl::Duration> life = Life(flags.days, kLeafDays);
  if (!life.ok()) return life.status();
  LeafRequest request;
  request.common_name = flags.name;
  request.hosts = flags.hosts;
  if (flags.role == kEtcdRole) {
    if (flags.hosts.empty()) {
      return Usage("--role etcd needs --san, one for each host or address");
    }
  } else {
    const absl::StatusOr<Role> role = ParseRole(flags.role);
    if (!role.ok()) return role.status();
    Identity identity;
    absl::Status read = ReadFor(flags.dir, &identity);
    if (!read.ok()) return read;
    if (!flags.cluster.empty()) identity.cluster = flags.cluster;
    identity.role = *role;
    identity.name = flags.name;
    if (absl::Status bad = ValidateIdentity(identity); !bad.ok()) return bad;
    request.identity = std::move(identity);
  }
  Authority authority;
  for (const auto& [file, text] : {std::pair("/ca.pem", &authority.certificate),
                                   std::pair("/ca-key.pem", &authority.key)}) {
    absl::StatusOr<std::string> read = ReadFile(flags.dir + file);
    if (!read.ok()) return read.status();
    *text = *std::move(read);
  }
  const absl::Time now = env.clock->Wall();
  request.not_before = now - kBackdate;
  request.not_after = now + *life;
  absl::StatusOr<TlsMaterial> material = Issue(authority, request);
  if (!material.ok()) return material.status();
  absl::StatusOr<CertificateInfo> info = CheckMaterial(
      *material, now,
      request.identity.has_value() ? Want::kIdentity : Want::kAnything);
  if (!info.ok()) return info.status();
  absl::Status status = MakeDirectory(flags.out);
  for (const auto& [file, text, mode] :
       {std::tuple("/ca.pem", &material->roots, mode_t{0644}),
        std::tuple("/key.pem", &material->key, mode_t{0600}),
        std::tuple("/cert.pem", &material->certificate, mode_t{0644})}) {
    if (status.ok()) status = WriteFile(flags.out + file, *text, mode);
  }
  if (!status.ok()) return status;
  *env.err << "muster: "
           << (request.identity.has_value() ? request.identity->ToString()
                                            : absl::StrJoin(flags.hosts, ", "))
           << " in " << flags.out << ", good until " << Day(info->not_after)
           << "\n";
  return {};
}

CommandResult TlsCheck(const CliEnv& env, const TlsFlags& flags, bool json) {
  absl::StatusOr<TlsMaterial> material = ReadMaterial(flags.dir);
  const absl::Time now = env.clock->Wall();
  absl::StatusOr<CertificateInfo> info =
      material.ok() ? CheckMaterial(*material, now,
                                    flags.any_certificate ? Want::kAnything
                                                          : Want::kIdentity)
                    : material.status();
  if (!info.ok()) return CommandResult(info.status(), kExitNo);
  const double days = absl::ToDoubleHours(info->Left(now)) / 24;
  const std::string identity =
      info->identity.has_value() ? info->identity->ToString() : "";
  const std::string role = info->identity.has_value()
                               ? std::string(RoleName(info->identity->role))
                               : "";
  if (json) {
    nlohmann::ordered_json out;
    out["identity"] = identity;
    out["role"] = role;
    out["not_before"] = Day(info->not_before);
    out["not_after"] = Day(info->not_after);
    out["days_left"] = static_cast<int64_t>(days);
    out["runs_out"] = info->RunsOut(now);
    out["serial"] = info->serial;
    *env.out << out.dump(2) << "\n";
    return {};
  }
  *env.out << "identity   " << (identity.empty() ? "-" : identity)
           << "\nrole       " << (role.empty() ? "-" : role) << "\nuntil      "
           << Day(info->not_after) << " (" << static_cast<int64_t>(days)
           << " days" << (info->RunsOut(now) ? ", time for a new one" : "")
           << ")\nserial     " << info->serial
           << "\nkey, certificate and roots go together\n";
  return {};
}

}  // namespace muster
