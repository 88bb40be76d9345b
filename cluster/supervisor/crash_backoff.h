// CrashBackoff: how long one that keeps crashing waits before its next start.
#ifndef MUSTER_CLUSTER_SUPERVISOR_CRASH_BACKOFF_H_
#define MUSTER_CLUSTER_SUPERVISOR_CRASH_BACKOFF_H_

#include <algorithm>

#include "absl/time/time.h"

namespace muster {

// A pure decider. 100 ms after the first crash, twice as long after each
// further one, up to 10 s; from 100 ms again once a run has lived for 30 s.
class CrashBackoff {
 public:
  static constexpr absl::Duration kMin = absl::Milliseconds(100);
  static constexpr absl::Duration kMax = absl::Seconds(10);
  static constexpr absl::Duration kLivedWell = absl::Seconds(30);

  // A run has ended after `lived`: how long until the next.
  absl::Duration Ended(absl::Duration lived) {
    delay_ = lived >= kLivedWell || delay_ == absl::ZeroDuration()
                 ? kMin
                 : std::min(delay_ * 2, kMax);
    return delay_;
  }

 private:
  absl::Duration delay_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_CRASH_BACKOFF_H_
