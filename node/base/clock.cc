#include "node/base/clock.h"

#include <time.h>

#include "absl/time/clock.h"

namespace muster {

BootTime SystemClock::Boot() const {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return BootTime::FromNanoseconds(int64_t{now.tv_sec} * 1'000'000'000 +
                                   now.tv_nsec);
}

absl::Time SystemClock::Wall() const { return absl::Now(); }

}  // namespace muster
