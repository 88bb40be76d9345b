// Overload: which calls a server that cannot keep up no longer begins
// (guarantees section 8).
//
// A queue of calls with deadlines collapses when it is served in order: each
// comes to its turn just before its deadline, is begun, and ends too late. So
// one that cannot be finished any more is left out, and those behind it that
// can be are served.
#ifndef MUSTER_NODE_PROCESS_OVERLOAD_H_
#define MUSTER_NODE_PROCESS_OVERLOAD_H_

#include <optional>

#include "absl/time/time.h"
#include "node/base/clock.h"

namespace muster::internal {

// Pure: reads no clock. One thread at a time.
class Overload {
 public:
  // The mailbox is empty, and nothing is handled.
  void Idle() { busy_since_.reset(); }
  // A message that is no call has its turn: what it takes is not a call's time.
  void Other() { last_turn_.reset(); }
  // A call has its turn. True: it may begin. False: it waited in a mailbox that
  // has not been empty for kInterval, and what is left until its deadline is
  // less than calls take here.
  bool Turn(BootTime now, BootTime deadline) {
    if (!busy_since_.has_value()) {
      busy_since_ = now;
      last_turn_.reset();
    }
    if (last_turn_.has_value()) Measure(now - *last_turn_);
    const bool begin =
        deadline > now &&
        (measured_ < kMeasured || now - *busy_since_ < kInterval ||
         deadline - now >= typical_ + typical_ / 4 + kAnswer);
    if (begin) {
      last_turn_ = now;
    } else {
      last_turn_.reset();
    }
    return begin;
  }

 private:
  // Of a queue that is never empty: longer than bursts that pass by themselves.
  static constexpr absl::Duration kInterval = absl::Milliseconds(100);
  // The answer's way.
  static constexpr absl::Duration kAnswer = absl::Milliseconds(10);
  // Calls until their time is known.
  static constexpr int kMeasured = 8;

  // From one call's turn to the next message's, nothing else between.
  void Measure(absl::Duration took) {
    if (measured_ < kMeasured) ++measured_;
    typical_ += (took - typical_) / measured_;
  }

  std::optional<BootTime> busy_since_;
  // When the call that was begun last had its turn.
  std::optional<BootTime> last_turn_;
  // A mean of the last few.
  absl::Duration typical_;
  int measured_ = 0;
};

}  // namespace muster::internal

#endif  // MUSTER_NODE_PROCESS_OVERLOAD_H_
