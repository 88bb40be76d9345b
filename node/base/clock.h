// Clock: the only way to learn what time it is.
//
// Everything that measures or waits uses the boot clock (BootTime), which goes
// on while the host sleeps and is never set. Wall time (absl::Time) is for
// people and for records they read.
#ifndef MUSTER_NODE_BASE_CLOCK_H_
#define MUSTER_NODE_BASE_CLOCK_H_

#include <compare>
#include <cstdint>

#include "absl/time/time.h"

namespace muster {

// A reading of one host's boot clock. Readings of two hosts cannot be
// compared, and the type does not convert to absl::Time.
class BootTime {
 public:
  constexpr BootTime() = default;
  static constexpr BootTime FromNanoseconds(int64_t ns) { return BootTime(ns); }
  // Later than every reading.
  static constexpr BootTime Infinite() { return BootTime(INT64_MAX); }

  constexpr int64_t nanoseconds() const { return ns_; }
  constexpr bool is_infinite() const { return ns_ == INT64_MAX; }

  friend constexpr auto operator<=>(BootTime a, BootTime b) = default;
  // Saturates at Infinite().
  friend BootTime operator+(BootTime t, absl::Duration d) {
    if (t.is_infinite() || d == absl::InfiniteDuration()) return Infinite();
    const int64_t span = absl::ToInt64Nanoseconds(d);
    if (span > 0 && t.ns_ > INT64_MAX - span) return Infinite();
    return BootTime(t.ns_ + span);
  }
  friend BootTime operator-(BootTime t, absl::Duration d) { return t + -d; }
  // Infinite minus a reading is an infinite duration.
  friend absl::Duration operator-(BootTime a, BootTime b) {
    if (a.is_infinite() && !b.is_infinite()) return absl::InfiniteDuration();
    return absl::Nanoseconds(a.ns_ - b.ns_);
  }

 private:
  explicit constexpr BootTime(int64_t ns) : ns_(ns) {}
  int64_t ns_ = 0;
};

// THREADS: any thread may call any method at any time.
class Clock {
 public:
  virtual ~Clock() = default;
  // Never goes back.
  virtual BootTime Boot() const = 0;
  // May jump either way.
  virtual absl::Time Wall() const = 0;
};

// CLOCK_BOOTTIME and the system's wall clock.
class SystemClock final : public Clock {
 public:
  BootTime Boot() const override;
  absl::Time Wall() const override;
};

}  // namespace muster

#endif  // MUSTER_NODE_BASE_CLOCK_H_
