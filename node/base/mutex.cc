#include "node/base/mutex.h"

#include <algorithm>
#include <chrono>

#include "absl/time/time.h"

namespace muster {

namespace {

// The condition variable waits on CLOCK_MONOTONIC, which stands still while
// the host sleeps. Waiting in slices bounds how late a sleeper notices that
// the boot clock has gone on.
constexpr absl::Duration kSliceMax = absl::Seconds(1);

}  // namespace

bool CondVar::WaitUntil(Mutex* mu, const Clock& clock, BootTime deadline) {
  if (deadline.is_infinite()) {
    Wait(mu);
    return true;
  }
  const absl::Duration left = deadline - clock.Boot();
  if (left <= absl::ZeroDuration()) return false;
  std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
  cv_.wait_for(lock, absl::ToChronoNanoseconds(std::min(left, kSliceMax)));
  lock.release();
  return clock.Boot() < deadline;
}

}  // namespace muster
