// Profile and Silence: the arithmetic of ownership (guarantees sections 3, 5).
//
// Pure: values in, values out; no clock, no store.
#ifndef MUSTER_CLUSTER_MEMBERSHIP_PROFILE_H_
#define MUSTER_CLUSTER_MEMBERSHIP_PROFILE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "muster/store/v1/store.pb.h"
#include "node/base/clock.h"

namespace muster {

// The times of one cluster; all its nodes use the same.
struct Profile {
  // How often a node proves that it lives.
  absl::Duration heartbeat = absl::Milliseconds(500);
  // How long a committed heartbeat lets it act for the cluster.
  absl::Duration fence = absl::Seconds(3);
  // Silence after which another node may end its membership.
  absl::Duration reap = absl::Milliseconds(3750);
  // A node stops acting this long before its fence.
  absl::Duration guard = absl::Milliseconds(250);

  // F/R: what two nodes' clocks may differ by in speed (guarantees A2).
  double rate_ratio() const { return absl::FDivDuration(fence, reap); }

  // For a quiet local network: a crash is noticed in half the time.
  static Profile Fast();
  // For long distances and slow builds.
  static Profile Wide();
  // "default", "fast" or "wide"; INVALID_ARGUMENT BAD_PROFILE for another.
  static absl::StatusOr<Profile> Named(absl::string_view name);

  store::v1::Profile ToProto() const;
  static Profile FromProto(const store::v1::Profile& proto);
};

// INVALID_ARGUMENT, spelling out the inequality that does not hold, unless
// H <= F/4, g < F/2 and R >= 1.1 F + g.
absl::Status ValidateProfile(const Profile& profile);

// Times how long nodes have been silent, on the watcher's own clock
// (guarantees R5): a timer starts when this watcher first saw a heartbeat's
// revision, and all start anew after a gap.
class Silence {
 public:
  struct Overdue {
    std::string node;
    int64_t node_revision;
    int64_t heartbeat_revision;
  };

  // Saw `node`, with this epoch revision and this latest heartbeat revision.
  // True: that has moved since it was seen before.
  bool Observe(absl::string_view node, int64_t node_revision,
               int64_t heartbeat_revision, BootTime now);
  void Forget(absl::string_view node);
  // A span in which what was not seen proves nothing has ended.
  void StartAnew(BootTime now);
  // Who has been silent for `reap`, sorted by node.
  std::vector<Overdue> Find(absl::Duration reap, BootTime now) const;
  // How long `node` has been silent; absent for one that is not timed.
  std::optional<absl::Duration> SilentFor(absl::string_view node,
                                          BootTime now) const;

 private:
  struct Seen {
    int64_t node_revision;
    int64_t heartbeat_revision;
    BootTime since;
  };
  std::map<std::string, Seen, std::less<>> seen_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_MEMBERSHIP_PROFILE_H_
