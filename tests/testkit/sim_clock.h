// SimClock: a Clock that moves only when told.
#ifndef MUSTER_TESTS_TESTKIT_SIM_CLOCK_H_
#define MUSTER_TESTS_TESTKIT_SIM_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "node/base/clock.h"

namespace muster {

// THREADS: any thread may call any method.
class SimClock final : public Clock {
 public:
  // Neither starts at zero, so that nobody takes zero for "never".
  explicit SimClock(
      BootTime boot = BootTime::FromNanoseconds(1'000'000'000'000),
      absl::Time wall = absl::FromUnixSeconds(1'700'000'000))
      : boot_ns_(boot.nanoseconds()),
        wall_minus_boot_ns_(absl::ToUnixNanos(wall) - boot.nanoseconds()) {}

  BootTime Boot() const override {
    return BootTime::FromNanoseconds(boot_ns_.load());
  }
  absl::Time Wall() const override {
    return absl::FromUnixNanos(boot_ns_.load() + wall_minus_boot_ns_.load());
  }

  // Never goes back: an earlier time changes nothing.
  void AdvanceTo(BootTime to) {
    int64_t now = boot_ns_.load();
    while (now < to.nanoseconds() &&
           !boot_ns_.compare_exchange_weak(now, to.nanoseconds())) {
    }
  }
  void Advance(absl::Duration by) { AdvanceTo(Boot() + by); }
  // Somebody sets the wall clock; the boot clock does not notice.
  void JumpWall(absl::Duration by) {
    wall_minus_boot_ns_ += absl::ToInt64Nanoseconds(by);
  }

 private:
  // Sequentially consistent: tests value clarity over speed.
  std::atomic<int64_t> boot_ns_;
  std::atomic<int64_t> wall_minus_boot_ns_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_TESTKIT_SIM_CLOCK_H_
