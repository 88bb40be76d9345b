// DataDir: what a node keeps on disk from one run to the next.
//
// Two things: the greatest epoch it has had, so that it refuses to serve a
// store that was put back to before that (guarantees R7), and a lock that shows
// that the run before is dead, so that nobody waits for its silence (guarantees
// R19). A node without one is as safe; it only waits longer when its sentinel
// died with it.
//
//   DIR          locked (flock) by the node's OS process for its life
//   DIR/node     cluster, node, cluster id and last epoch, as text
#ifndef MUSTER_CLUSTER_BOOT_DATA_DIR_H_
#define MUSTER_CLUSTER_BOOT_DATA_DIR_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/log.h"
#include "node/types/pid.h"

namespace muster {

// The file DIR/node.
struct DataDirRecord {
  std::string cluster;
  std::string node;
  // Empty: never joined.
  std::string cluster_id;
  // The last epoch, which is the greatest.
  Epoch epoch;
  // The running kernel and the directory, as the writer saw them: a copy of
  // the directory on another machine, or beside this one, differs.
  std::string place;

  friend bool operator==(const DataDirRecord&, const DataDirRecord&) = default;
  std::string ToString() const;
  // DATA_LOSS BAD_DATA_DIR: not what ToString() makes.
  static absl::StatusOr<DataDirRecord> Parse(absl::string_view text);
};

// LIFETIME: holds the lock until its destruction, and longer: whatever ends the
// OS process ends it. THREADS: one at a time.
class DataDir {
 public:
  // Makes the directory (not its parents) if it is not there, and takes it,
  // waiting up to `patience` (blocks) for an OS process that is about to die
  // with its sentinel. `logger` outlives it. Errors, all of which people have
  // to cure:
  //   FAILED_PRECONDITION DATA_DIR_IN_USE    another OS process holds it
  //   FAILED_PRECONDITION WRONG_DATA_DIR     it is another node's or cluster's
  //   FAILED_PRECONDITION DATA_DIR_UNUSABLE  no directory, or not allowed
  //   DATA_LOSS BAD_DATA_DIR                 its file is not ours
  static absl::StatusOr<std::unique_ptr<DataDir>> Open(
      const std::string& path, absl::string_view cluster,
      absl::string_view node, Logger* logger,
      absl::Duration patience = absl::Seconds(2));

  ~DataDir();
  DataDir(const DataDir&) = delete;
  DataDir& operator=(const DataDir&) = delete;

  // Empty and zero if it never joined.
  const std::string& cluster_id() const { return record_.cluster_id; }
  uint64_t generation() const { return record_.epoch.generation; }
  // An epoch whose OS process is certainly dead: the one recorded last, in this
  // directory, under this running kernel, by a process that held the lock that
  // this one holds now.
  std::optional<Epoch> dead() const { return dead_; }

  // The cluster has this generation; it is kept before anything is served under
  // it. Errors as in Joined().
  void Seen(uint64_t generation);
  // This run has joined. A full or failing disk is logged and costs speed
  // after the next crash; the node lives on (fault F21).
  void Joined(const std::string& cluster_id, Epoch epoch);

 private:
  DataDir(std::string path, int fd, Logger* logger)
      : path_(std::move(path)), fd_(fd), logger_(logger) {}

  absl::Status Write() const;
  // Writes, or logs that it could not.
  void Keep();

  const std::string path_;
  const int fd_;
  Logger* const logger_;
  DataDirRecord record_;
  std::optional<Epoch> dead_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_BOOT_DATA_DIR_H_
