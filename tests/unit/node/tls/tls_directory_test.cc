// A watched directory of certificates: what is good is published at once and
// whole, what is bad changes nothing and alarms (guarantees 9.3, fault F34).
#include "node/tls/tls_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "node/types/status.h"
#include "tests/testkit/capture_logger.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/sim_clock.h"
#include "tests/testkit/test_authority.h"

namespace muster {
namespace {

std::string Text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class TlsDirectoryTest : public ::testing::Test {
 protected:
  TlsDirectoryTest() { dir_.Swap(first_); }

  std::unique_ptr<TlsDirectory> Open() {
    TlsDirectoryOptions options;
    options.private_parent = ::testing::TempDir();
    auto opened = TlsDirectory::Open(dir_.path(), &clock_, &log_, options);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return *std::move(opened);
  }
  TlsMaterial Published(const TlsDirectory& directory) {
    TlsMaterial material;
    material.roots = Text(directory.roots_path());
    material.certificate = Text(directory.certificate_path());
    material.key = Text(directory.key_path());
    return material;
  }

  SimClock clock_;
  CaptureLogger log_;
  const TestAuthority authority_{clock_.Wall()};
  const Identity node_ = TestAuthority::Id(Role::kNode, "a");
  const TlsMaterial first_ = authority_.Make(node_);
  TlsDir dir_{"tls_directory_test"};
};

TEST_F(TlsDirectoryTest, PublishesPrivately) {
  std::string path;
  {
    const auto directory = Open();
    EXPECT_EQ(directory->identity(), node_);
    EXPECT_EQ(Published(*directory), first_);
    path = directory->key_path();
    struct stat stats = {};
    ASSERT_EQ(stat(path.c_str(), &stats), 0);
    EXPECT_EQ(stats.st_mode & 0777, 0600u);
    const std::string above =
        path.substr(0, path.size() - std::string("/current/key.pem").size());
    ASSERT_EQ(stat(above.c_str(), &stats), 0);
    EXPECT_EQ(stats.st_mode & 0777, 0700u);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(TlsDirectoryTest, TakesANewPair) {
  const auto directory = Open();
  EXPECT_FALSE(directory->Look());
  struct stat before = {};
  ASSERT_EQ(stat(directory->key_path().c_str(), &before), 0);
  const TlsMaterial second = authority_.Make(node_);
  dir_.Swap(second);
  EXPECT_TRUE(directory->Look());
  EXPECT_EQ(Published(*directory), second);
  // gRPC compares whole seconds.
  struct stat after = {};
  ASSERT_EQ(stat(directory->key_path().c_str(), &after), 0);
  EXPECT_NE(before.st_mtime, after.st_mtime);
  EXPECT_EQ(directory->counters().loaded, 2u);
  EXPECT_EQ(directory->counters().refused, 0u);
}

TEST_F(TlsDirectoryTest, KeepsTheOldPairWhenTheNewIsBad) {
  const auto directory = Open();
  const TestAuthority stranger(clock_.Wall(), "stranger");
  TlsMaterial half = first_;
  half.key = authority_.Make(node_).key;
  TlsMaterial garbage = first_;
  garbage.certificate = "garbage";
  LeafRequest expired = authority_.Request(node_);
  expired.not_after = clock_.Wall() - absl::Seconds(1);
  TlsMaterial unsigned_one = first_;
  unsigned_one.roots = stranger.authority().certificate;
  const TlsMaterial bad[] = {
      half,
      garbage,
      authority_.Make(expired),
      unsigned_one,
      authority_.Make(TestAuthority::Id(Role::kNode, "b")),
      authority_.Make(TestAuthority::Id(Role::kAdmin, "a")),
      authority_.Make(TestAuthority::Id(Role::kNode, "a", "other"))};
  size_t errors = 0;
  for (const TlsMaterial& material : bad) {
    dir_.Swap(material);
    EXPECT_FALSE(directory->Look());
    EXPECT_FALSE(directory->Look());
    EXPECT_EQ(Published(*directory), first_);
    ++errors;  // Once, not at each look.
    EXPECT_EQ(log_.Count(LogLevel::kError, "the old ones stay"), errors);
    EXPECT_EQ(directory->counters().refused, 2 * errors);
  }
  std::filesystem::remove(dir_.path());
  EXPECT_FALSE(directory->Look());
  EXPECT_EQ(Published(*directory), first_);
  dir_.Swap(authority_.Make(node_));
  EXPECT_TRUE(directory->Look());
}

TEST_F(TlsDirectoryTest, WarnsBeforeTheEnd) {
  const auto directory = Open();
  EXPECT_EQ(log_.Count(LogLevel::kWarning, "put a new one there"), 0u);
  clock_.AdvanceTo(clock_.Boot() + absl::Hours(18));
  directory->Look();
  directory->Look();
  EXPECT_EQ(log_.Count(LogLevel::kWarning, "put a new one there"), 1u);
  clock_.AdvanceTo(clock_.Boot() + absl::Hours(24));
  directory->Look();
  EXPECT_EQ(log_.Count(LogLevel::kError, "put a new one there"), 1u);
}

TEST_F(TlsDirectoryTest, RefusesToBeginWithABadPair) {
  TlsMaterial half = first_;
  half.key = authority_.Make(node_).key;
  dir_.Swap(half);
  EXPECT_EQ(ReasonOf(TlsDirectory::Open(dir_.path(), &clock_, &log_).status()),
            "KEY_MISMATCH");
}

TEST_F(TlsDirectoryTest, LooksEveryFiveSeconds) {
  SimRuntime sim;
  const TestAuthority authority(sim.scheduler().clock().Wall());
  dir_.Swap(authority.Make(node_));
  auto opened =
      TlsDirectory::Open(dir_.path(), &sim.scheduler().clock(), &log_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  int changes = 0;
  {
    TlsWatch watch(opened->get(), &sim.scheduler(), [&] { ++changes; });
    sim.RunFor(absl::Seconds(30));
    EXPECT_EQ(changes, 0);
    dir_.Swap(authority.Make(node_));
    sim.RunFor(absl::Seconds(5));
    EXPECT_EQ(changes, 1);
  }
  dir_.Swap(authority.Make(node_));
  sim.RunFor(absl::Seconds(30));
  EXPECT_EQ(changes, 1);
}

}  // namespace
}  // namespace muster
