// SentinelLink: what a node and its sentinel say to each other.
//
// The sentinel (sentinel.h) starts the node's OS process with one variable in
// its environment and the writing end of a pipe as descriptor 3. The node says
// on the pipe, each time it has joined:
//
//   joined <epoch> <address>\n
//
// That is all the sentinel needs to attest this epoch's death (guarantees R12),
// and to have the next run listen where this one does.
// Nothing goes the other way but signals.
#ifndef MUSTER_CLUSTER_BOOT_SENTINEL_LINK_H_
#define MUSTER_CLUSTER_BOOT_SENTINEL_LINK_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "node/types/pid.h"

namespace muster {

inline constexpr char kSentinelVariable[] = "MUSTER_SENTINEL";
// The pipe in the node.
inline constexpr int kSentinelFd = 3;

// A node has joined.
struct JoinedNews {
  Epoch epoch;
  // Where it is bound, with the port it got; not what it advertises.
  std::string listen;
  friend bool operator==(const JoinedNews&, const JoinedNews&) = default;
};

// One line of the pipe. INVALID_ARGUMENT: it is none.
std::string ToLine(const JoinedNews& news);
absl::StatusOr<JoinedNews> ParseNews(absl::string_view line);

// Splits what comes out of the pipe into lines, however it is cut.
class NewsReader {
 public:
  // News completed by `bytes`. A line that is none, or longer than 4 KiB, is
  // dropped: it costs the fast path, no more.
  std::vector<JoinedNews> Feed(absl::string_view bytes);

 private:
  std::string line_;
};

// What the sentinel tells the node at its start, as the variable's value.
struct SentinelHello {
  // The sentinel's.
  int pid = 0;
  // Serve here; empty: as the node's own flags say. The sentinel keeps the
  // port that the first run got.
  std::string listen;
  friend bool operator==(const SentinelHello&, const SentinelHello&) = default;
};
std::string ToValue(const SentinelHello& hello);
absl::StatusOr<SentinelHello> ParseHello(absl::string_view value);

// The node's end. THREADS: one at a time.
class SentinelLink {
 public:
  // Null: this OS process has no sentinel. Else binds its life to it: from now
  // on the death of the sentinel kills this process, and if the sentinel has
  // died already, it ends here. To be called by the main thread before there
  // are others; removes the variable from the environment, so that programs
  // the node starts do not take themselves for nodes.
  static std::unique_ptr<SentinelLink> FromEnvironment();

  ~SentinelLink();
  SentinelLink(const SentinelLink&) = delete;
  SentinelLink& operator=(const SentinelLink&) = delete;

  const std::string& listen() const { return listen_; }
  // Does not block for long, and failing is no error: without it the death of
  // this epoch takes the slow path.
  void Joined(const JoinedNews& news);

 private:
  explicit SentinelLink(std::string listen) : listen_(std::move(listen)) {}

  const std::string listen_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_BOOT_SENTINEL_LINK_H_
