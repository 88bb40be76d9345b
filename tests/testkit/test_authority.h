// TestAuthority: certificates for tests, good or bad on purpose, in directories
// below the test's own.
#ifndef MUSTER_TESTS_TESTKIT_TEST_AUTHORITY_H_
#define MUSTER_TESTS_TESTKIT_TEST_AUTHORITY_H_

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/tls/authority.h"
#include "node/tls/certificate.h"
#include "node/tls/spiffe.h"

namespace muster {

class TestAuthority {
 public:
  explicit TestAuthority(absl::Time now, const std::string& name = "test")
      : now_(now) {
    absl::StatusOr<Authority> made =
        MakeAuthority(name, now - absl::Hours(24), now + absl::Hours(24 * 365));
    EXPECT_TRUE(made.ok()) << made.status();
    authority_ = *std::move(made);
  }

  static Identity Id(Role role, std::string name,
                     std::string cluster = "demo") {
    Identity identity;
    identity.trust_domain = "example.org";
    identity.cluster = std::move(cluster);
    identity.role = role;
    identity.name = std::move(name);
    return identity;
  }

  // Good for a day, with an hour behind it.
  LeafRequest Request(const Identity& identity) const {
    LeafRequest request;
    request.identity = identity;
    request.common_name = identity.name;
    request.not_before = now_ - absl::Hours(1);
    request.not_after = now_ + absl::Hours(24);
    return request;
  }
  TlsMaterial Make(const LeafRequest& request) const {
    absl::StatusOr<TlsMaterial> made = Issue(authority_, request);
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }
  TlsMaterial Make(const Identity& identity) const {
    return Make(Request(identity));
  }

  const Authority& authority() const { return authority_; }

 private:
  const absl::Time now_;
  Authority authority_;
};

inline void WriteText(const std::string& path, absl::string_view text,
                      mode_t mode = 0600) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  chmod(path.c_str(), mode);
}

// A directory that is a symbolic link, as Kubernetes mounts secrets; Swap puts
// another in its place in one step.
class TlsDir {
 public:
  explicit TlsDir(absl::string_view name)
      : path_(absl::StrCat(::testing::TempDir(), "/tls_", name)) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TlsDir() { std::filesystem::remove_all(path_); }

  std::string path() const { return path_ + "/now"; }

  void Swap(const TlsMaterial& material) {
    const std::string fresh = absl::StrCat("v", ++version_);
    std::filesystem::create_directories(absl::StrCat(path_, "/", fresh));
    WriteText(absl::StrCat(path_, "/", fresh, "/ca.pem"), material.roots);
    WriteText(absl::StrCat(path_, "/", fresh, "/cert.pem"),
              material.certificate);
    WriteText(absl::StrCat(path_, "/", fresh, "/key.pem"), material.key);
    std::filesystem::create_directory_symlink(fresh, path_ + "/fresh");
    std::filesystem::rename(path_ + "/fresh", path());
  }

 private:
  const std::string path_;
  int version_ = 0;
};

}  // namespace muster

#endif  // MUSTER_TESTS_TESTKIT_TEST_AUTHORITY_H_
