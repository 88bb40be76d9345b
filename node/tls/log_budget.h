// LogBudget: how often a message that strangers can cause is written.
#ifndef MUSTER_NODE_TLS_LOG_BUDGET_H_
#define MUSTER_NODE_TLS_LOG_BUDGET_H_

#include <cstdint>
#include <utility>

#include "absl/time/time.h"
#include "node/base/clock.h"

namespace muster {

// Ten lines at once, then five a second. One thread at a time.
class LogBudget {
 public:
  // -1: leave it out. Otherwise write it; so many were left out before it.
  int64_t Take(BootTime now) {
    if (now >= at_) {
      const double earned = absl::ToDoubleSeconds(now - at_) * kPerSecond;
      tokens_ = tokens_ + earned < kBurst ? tokens_ + earned : kBurst;
      at_ = now;
    }
    if (tokens_ < 1) {
      ++dropped_;
      return -1;
    }
    tokens_ -= 1;
    return std::exchange(dropped_, 0);
  }

 private:
  static constexpr double kBurst = 10;
  static constexpr double kPerSecond = 5;

  BootTime at_;  // When tokens_ was right.
  double tokens_ = kBurst;
  int64_t dropped_ = 0;
};

}  // namespace muster

#endif  // MUSTER_NODE_TLS_LOG_BUDGET_H_
