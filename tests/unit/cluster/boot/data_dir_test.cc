#include "cluster/boot/data_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/testkit/capture_logger.h"

namespace muster {
namespace {

constexpr Epoch kEpoch{3, 77};

class DataDirTest : public testing::Test {
 protected:
  DataDirTest() {
    std::string pattern = testing::TempDir() + "/data_dir.XXXXXX";
    root_ = mkdtemp(pattern.data());
    path_ = root_ + "/a";
  }
  ~DataDirTest() override { std::filesystem::remove_all(root_); }

  std::unique_ptr<DataDir> Open(absl::string_view cluster = "c",
                                absl::string_view node = "a") {
    absl::StatusOr<std::unique_ptr<DataDir>> dir =
        DataDir::Open(path_, cluster, node, &log_);
    EXPECT_TRUE(dir.ok()) << dir.status();
    return dir.ok() ? *std::move(dir) : nullptr;
  }
  absl::Status Fails(absl::string_view cluster = "c",
                     absl::string_view node = "a") {
    return DataDir::Open(path_, cluster, node, &log_, absl::ZeroDuration())
        .status();
  }
  std::string Read() {
    std::ifstream file(path_ + "/node");
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  void Write(const std::string& text) {
    std::ofstream(path_ + "/node") << text;
  }
  // A run that joined and is over.
  void Run() { Open()->Joined("id1", kEpoch); }

  std::string root_;
  std::string path_;
  CaptureLogger log_;
};

TEST_F(DataDirTest, IsEmptyAtFirstAndItsOwnersAlone) {
  const auto dir = Open();
  EXPECT_EQ(dir->cluster_id(), "");
  EXPECT_EQ(dir->generation(), 0u);
  EXPECT_EQ(dir->dead(), std::nullopt);
  struct stat status;
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST_F(DataDirTest, RemembersTheLastEpochWhoseProcessIsDead) {
  Run();
  const auto dir = Open();
  EXPECT_EQ(dir->cluster_id(), "id1");
  EXPECT_EQ(dir->generation(), 3u);
  EXPECT_EQ(dir->dead(), kEpoch);
  // This process's own epoch is not dead.
  dir->Joined("id1", Epoch{3, 90});
  EXPECT_EQ(dir->dead(), std::nullopt);
}

// Guarantees R7.
TEST_F(DataDirTest, KeepsTheGreatestGeneration) {
  Run();
  {
    const auto dir = Open();
    dir->Seen(2);
    dir->Seen(3);
    EXPECT_EQ(dir->generation(), 3u);
    EXPECT_EQ(dir->dead(), kEpoch);
    dir->Seen(5);
    EXPECT_EQ(dir->generation(), 5u);
  }
  const auto dir = Open();
  EXPECT_EQ(dir->generation(), 5u);
  EXPECT_EQ(dir->dead(), std::nullopt) << "no run of it has joined";
}

TEST_F(DataDirTest, TwoProcessesDoNotShareIt) {
  const auto dir = Open();
  EXPECT_EQ(ReasonOf(Fails()), "DATA_DIR_IN_USE");
}

TEST_F(DataDirTest, WaitsForOneThatIsAboutToDie) {
  auto dir = Open();
  std::thread dying([&dir] { dir.reset(); });
  EXPECT_TRUE(DataDir::Open(path_, "c", "a", &log_, absl::Minutes(1)).ok());
  dying.join();
}

TEST_F(DataDirTest, AnotherNodesOrClustersDirectoryIsRefused) {
  Run();
  EXPECT_EQ(ReasonOf(Fails("c", "b")), "WRONG_DATA_DIR");
  EXPECT_EQ(ReasonOf(Fails("d", "a")), "WRONG_DATA_DIR");
  EXPECT_TRUE(absl::StrContains(Fails("d", "a").message(),
                                "belongs to node \"a\" of cluster \"c\""));
  // A refusal keeps nothing locked.
  Open();
}

TEST_F(DataDirTest, ACopyProvesNothingDead) {
  Run();
  const std::string text = Read();
  std::filesystem::copy(path_, root_ + "/b");
  path_ = root_ + "/b";
  const auto dir = Open();
  EXPECT_EQ(dir->generation(), 3u);
  EXPECT_EQ(dir->dead(), std::nullopt);
}

TEST_F(DataDirTest, AnotherKernelProvesNothingDead) {
  Run();
  const std::string text = Read();
  const size_t at = text.find("place ") + 6;
  Write(absl::StrCat(text.substr(0, at), "0", text.substr(at + 1)) == text
            ? absl::StrCat(text.substr(0, at), "1", text.substr(at + 1))
            : absl::StrCat(text.substr(0, at), "0", text.substr(at + 1)));
  EXPECT_EQ(Open()->dead(), std::nullopt);
}

TEST_F(DataDirTest, DamageIsRefusedNotGuessedAt) {
  Run();
  const std::string good = Read();
  for (const std::string& bad :
       {std::string(), good.substr(0, good.size() - 1),
        absl::StrReplaceAll(good, {{"epoch ", "epoch x"}}),
        absl::StrReplaceAll(good, {{"directory 1", "directory 2"}}),
        absl::StrCat(good, "more\n")}) {
    Write(bad);
    EXPECT_EQ(ReasonOf(Fails()), "BAD_DATA_DIR") << bad;
  }
  Write(good);
  Open();
}

TEST_F(DataDirTest, WhatIsNoDirectoryIsRefused) {
  std::ofstream(path_) << "a file";
  EXPECT_EQ(ReasonOf(Fails()), "DATA_DIR_UNUSABLE");
  path_ = root_ + "/no/such/parent";
  EXPECT_EQ(ReasonOf(Fails()), "DATA_DIR_UNUSABLE");
}

// Fault F21. A directory in the file's way stands for a full disk: the one
// cannot be written as little as the other, whoever runs the test.
TEST_F(DataDirTest, ADiskThatTakesNothingEndsNobody) {
  Run();
  const auto dir = Open();
  std::filesystem::create_directory(path_ + "/node.new");
  dir->Joined("id1", Epoch{4, 90});
  EXPECT_EQ(log_.Count(LogLevel::kError, "does not take epoch"), 1u);
  EXPECT_EQ(dir->generation(), 4u) << "it knows it for as long as it lives";
  EXPECT_EQ(DataDirRecord::Parse(Read())->epoch, kEpoch);
}

}  // namespace
}  // namespace muster
