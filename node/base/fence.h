// Fence: whether this node may still act for the cluster.
//
// One object a node, asked inline before anything takes effect: at dispatch to
// a global server, at its sends and at the hand-off of its replies
// (guarantees R10). Membership moves the deadline; nobody else does.
#ifndef MUSTER_NODE_BASE_FENCE_H_
#define MUSTER_NODE_BASE_FENCE_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "node/base/clock.h"
#include "node/base/planted.h"

namespace muster {

// Whether a holder whose fence ends at `deadline` may act at `now`, on its own
// clock: it stops `guard` earlier (guarantees R10, R11).
inline bool FenceOpen(BootTime deadline, absl::Duration guard, BootTime now) {
  return now < deadline - guard;
}

// What is left of it, at least 0; infinite if it never closes.
inline absl::Duration FenceRemaining(BootTime deadline, absl::Duration guard,
                                     BootTime now) {
  if (deadline.is_infinite()) return absl::InfiniteDuration();
  const absl::Duration left = deadline - guard - now;
  return left > absl::ZeroDuration() ? left : absl::ZeroDuration();
}

// Whether a caller may take a reply for good without asking the store
// (guarantees R8): `elapsed` on its own clock, from before it sent the call to
// the receipt of the reply, that said `remaining`; `ratio` is F/R of the
// cluster's profile, by which the clocks of two nodes may differ in speed. Then
// less than `remaining` has passed for the owner, so its fence is open and it
// has no successor.
inline bool ReplyAcceptable(absl::Duration elapsed, absl::Duration remaining,
                            double ratio) {
  if (Planted(PlantedBug::kAcceptLateReplies)) return true;
  if (remaining == absl::InfiniteDuration()) return true;
  return remaining > absl::ZeroDuration() && elapsed <= remaining * ratio;
}

// THREADS: any thread may call any method at any time.
class Fence {
 public:
  // A fence that is open for ever, for a node with an embedded store (R16).
  Fence() : Fence(absl::ZeroDuration()) { Extend(BootTime::Infinite()); }
  // A closed fence that refuses `guard` before its deadline.
  explicit Fence(absl::Duration guard) : guard_(guard) {}
  Fence(const Fence&) = delete;
  Fence& operator=(const Fence&) = delete;

  // True: before deadline - guard, so no other node can have been granted
  // this node's names.
  bool Check(BootTime now) const { return FenceOpen(deadline(), guard_, now); }

  // What is left of it, at least 0; infinite if it never closes. Goes into
  // replies (guarantees R8).
  absl::Duration Remaining(BootTime now) const {
    return FenceRemaining(deadline(), guard_, now);
  }

  // D := max(D, deadline), after a committed heartbeat (guarantees R2).
  void Extend(BootTime deadline) {
    const int64_t to = deadline.nanoseconds();
    // Relaxed: the value alone is the message; nothing else is published.
    int64_t now = deadline_ns_.load(std::memory_order_relaxed);
    while (now < to && !deadline_ns_.compare_exchange_weak(
                           now, to, std::memory_order_relaxed)) {
    }
  }
  // Closes it at once: this node's epoch is dead.
  void Close() { deadline_ns_.store(0, std::memory_order_relaxed); }

  BootTime deadline() const {
    return BootTime::FromNanoseconds(
        deadline_ns_.load(std::memory_order_relaxed));
  }

 private:
  const absl::Duration guard_;
  std::atomic<int64_t> deadline_ns_{0};
};

}  // namespace muster

#endif  // MUSTER_NODE_BASE_FENCE_H_
