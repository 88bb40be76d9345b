#include "cluster/boot/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr char kFile[] = "node";
constexpr char kNewFile[] = "node.new";
constexpr absl::string_view kHeading = "muster data directory 1";
constexpr size_t kFileBytesMax = 64 << 10;
constexpr absl::Duration kLockPoll = absl::Milliseconds(20);

absl::Status Refused(absl::string_view reason, absl::string_view what) {
  return Error(absl::StatusCode::kFailedPrecondition, reason, what)
      .NotExecuted();
}

absl::Status SystemError(absl::string_view what, int error) {
  return Error(absl::StatusCode::kUnavailable, "DISK",
               absl::StrCat(what, ": ", strerror(error)))
      .NotExecuted();
}

// All of a file; nothing if it is not there.
absl::StatusOr<std::optional<std::string>> ReadAt(int directory,
                                                  const char* file) {
  const int fd = openat(directory, file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return std::optional<std::string>();
    return SystemError(file, errno);
  }
  std::string text;
  char bytes[4096];
  ssize_t got = 0;
  while ((got = read(fd, bytes, sizeof bytes)) > 0 &&
         text.size() <= kFileBytesMax) {
    text.append(bytes, static_cast<size_t>(got));
  }
  const int error = errno;
  close(fd);
  if (got < 0) return SystemError(file, error);
  return std::optional<std::string>(std::move(text));
}

// DataDirRecord::place of an open directory, now.
std::string PlaceOf(int directory) {
  struct stat status;
  const auto boot = ReadAt(AT_FDCWD, "/proc/sys/kernel/random/boot_id");
  if (fstat(directory, &status) != 0 || !boot.ok() || !boot->has_value()) {
    return "";
  }
  return absl::StrCat(absl::StripAsciiWhitespace(**boot), "-", status.st_dev,
                      "-", status.st_ino);
}

}  // namespace

std::string DataDirRecord::ToString() const {
  return absl::StrCat(kHeading, "\ncluster ", cluster, "\nnode ", node,
                      "\ncluster-id ", cluster_id, "\nepoch ", epoch.ToString(),
                      "\nplace ", place, "\n");
}

absl::StatusOr<DataDirRecord> DataDirRecord::Parse(absl::string_view text) {
  const absl::Status bad = Error(absl::StatusCode::kDataLoss, "BAD_DATA_DIR",
                                 "it is not what a node writes there")
                               .NotExecuted()
                               .status();
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  if (lines.size() != 7 || lines[0] != kHeading || !lines[6].empty()) {
    return bad;
  }
  DataDirRecord record;
  std::string epoch;
  const std::pair<absl::string_view, std::string*> fields[] = {
      {"cluster ", &record.cluster},
      {"node ", &record.node},
      {"cluster-id ", &record.cluster_id},
      {"epoch ", &epoch},
      {"place ", &record.place}};
  for (size_t i = 0; i < 5; ++i) {
    absl::string_view line = lines[i + 1];
    if (line.substr(0, fields[i].first.size()) != fields[i].first) return bad;
    *fields[i].second = std::string(line.substr(fields[i].first.size()));
  }
  const absl::StatusOr<Epoch> parsed = Epoch::Parse(epoch);
  if (!parsed.ok()) return bad;
  record.epoch = *parsed;
  return record;
}

absl::StatusOr<std::unique_ptr<DataDir>> DataDir::Open(
    const std::string& path, absl::string_view cluster, absl::string_view node,
    Logger* logger, absl::Duration patience) {
  const std::string shown = absl::StrCat("the data directory ", LogSafe(path));
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return Refused("DATA_DIR_UNUSABLE",
                   absl::StrCat(shown, " cannot be made: ", strerror(errno)));
  }
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return Refused("DATA_DIR_UNUSABLE",
                   absl::StrCat(shown, " cannot be used: ", strerror(errno)));
  }
  std::unique_ptr<DataDir> dir(new DataDir(path, fd, logger));
  // On the directory itself: this needs no space and no right to write.
  int locked = flock(fd, LOCK_EX | LOCK_NB);
  for (absl::Duration waited;
       locked != 0 && errno == EWOULDBLOCK && waited < patience;
       waited += kLockPoll) {
    absl::SleepFor(kLockPoll);
    locked = flock(fd, LOCK_EX | LOCK_NB);
  }
  if (locked != 0) {
    if (errno == EWOULDBLOCK) {
      return Refused("DATA_DIR_IN_USE",
                     absl::StrCat(shown,
                                  " is in use by another OS process: "
                                  "end that node, or give this one a "
                                  "directory of its own"));
    }
    return Refused("DATA_DIR_UNUSABLE",
                   absl::StrCat(shown, " cannot be locked: ", strerror(errno)));
  }
  absl::StatusOr<std::optional<std::string>> text = ReadAt(fd, kFile);
  if (!text.ok()) {
    return Refused("DATA_DIR_UNUSABLE",
                   absl::StrCat(shown, " cannot be read: ",
                                absl::string_view(text.status().message())));
  }
  const std::string place = PlaceOf(fd);
  if (text->has_value()) {
    absl::StatusOr<DataDirRecord> record = DataDirRecord::Parse(**text);
    if (!record.ok()) {
      return Error(absl::StatusCode::kDataLoss, "BAD_DATA_DIR",
                   absl::StrCat("the file 'node' in ", shown,
                                " is damaged; if the node may forget what it "
                                "knew, remove it"))
          .NotExecuted();
    }
    if (record->cluster != cluster || record->node != node) {
      return Refused(
          "WRONG_DATA_DIR",
          absl::StrCat(shown, " belongs to node ", LogSafe(record->node),
                       " of cluster ", LogSafe(record->cluster),
                       ", and this is node ", LogSafe(node), " of cluster ",
                       LogSafe(cluster),
                       ": give each node a directory of its own"));
    }
    if (!place.empty() && record->place == place &&
        record->epoch.revision != 0) {
      dir->dead_ = record->epoch;
    }
    dir->record_ = *std::move(record);
  }
  dir->record_.cluster = std::string(cluster);
  dir->record_.node = std::string(node);
  dir->record_.place = place;
  return dir;
}

DataDir::~DataDir() { close(fd_); }

void DataDir::Seen(uint64_t generation) {
  if (generation <= record_.epoch.generation) return;
  // No epoch of it yet; the one before is of a cluster that is no more.
  record_.epoch = Epoch{generation, 0};
  dead_.reset();
  Keep();
}

void DataDir::Joined(const std::string& cluster_id, Epoch epoch) {
  record_.cluster_id = cluster_id;
  record_.epoch = epoch;
  dead_.reset();
  Keep();
}

void DataDir::Keep() {
  const absl::Status written = Write();
  if (written.ok()) return;
  logger_->Error(absl::StrCat(
      "the data directory ", LogSafe(path_), " does not take epoch ",
      record_.epoch.ToString(), " (", absl::string_view(written.message()),
      "); the node goes on, and after a crash others wait for its silence"));
}

absl::Status DataDir::Write() const {
  const std::string text = record_.ToString();
  const int fd =
      openat(fd_, kNewFile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return SystemError(kNewFile, errno);
  const ssize_t wrote = write(fd, text.data(), text.size());
  int error = wrote < 0 ? errno : 0;
  if (error == 0 && static_cast<size_t>(wrote) != text.size()) error = ENOSPC;
  if (error == 0 && fsync(fd) != 0) error = errno;
  close(fd);
  if (error == 0 && renameat(fd_, kNewFile, fd_, kFile) != 0) error = errno;
  if (error == 0 && fsync(fd_) != 0) error = errno;
  if (error == 0) return absl::OkStatus();
  unlinkat(fd_, kNewFile, 0);
  return SystemError(kFile, error);
}

}  // namespace muster
