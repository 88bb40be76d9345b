// RestartWindow: counts restarts against intensity and period (otp S18).
#ifndef MUSTER_NODE_SUPERVISOR_RESTART_WINDOW_H_
#define MUSTER_NODE_SUPERVISOR_RESTART_WINDOW_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/time/time.h"
#include "node/base/clock.h"

namespace muster {

// A pure decider: values in, values out. `intensity` restarts within `period`
// (boundary inclusive) are tolerated, the next one is not.
class RestartWindow {
 public:
  RestartWindow(uint32_t intensity, absl::Duration period)
      : intensity_(intensity), period_(period) {}

  // Other limits; what has been counted still counts.
  void SetLimits(uint32_t intensity, absl::Duration period) {
    intensity_ = intensity;
    period_ = period;
  }

  // Counts one restart event at `now`; false: too many, give up.
  bool Add(BootTime now) {
    at_.push_back(now);
    while (!at_.empty() && now - at_.front() > period_) at_.pop_front();
    return at_.size() <= intensity_;
  }

  // Ages of the restarts that still count, oldest first, for a record.
  std::vector<absl::Duration> Ages(BootTime now) const {
    std::vector<absl::Duration> ages;
    for (const BootTime t : at_) {
      if (now - t <= period_) ages.push_back(now - t);
    }
    return ages;
  }
  // Takes ages from a record as if it had been written now: may count too
  // many, never too few (guarantees R1).
  void Restore(const std::vector<absl::Duration>& ages, BootTime now) {
    at_.clear();
    for (const absl::Duration age : ages) at_.push_back(now - age);
  }

 private:
  uint32_t intensity_;
  absl::Duration period_;
  std::deque<BootTime> at_;
};

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_RESTART_WINDOW_H_
