// Exit, Down and what timers say: the infos that the system itself sends (otp
// 1.3, 1.5, 6).
#ifndef MUSTER_NODE_PROCESS_SIGNALS_H_
#define MUSTER_NODE_PROCESS_SIGNALS_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "node/types/exit_reason.h"
#include "node/types/info.h"
#include "node/types/pid.h"

namespace muster {

// Names one monitor; 0 names none.
struct MonitorRef {
  uint64_t id = 0;
  friend bool operator==(MonitorRef, MonitorRef) = default;
};

// Names one timer; 0 names none.
struct TimerRef {
  uint64_t id = 0;
  friend bool operator==(TimerRef, TimerRef) = default;
};

// What a timer of StartTimer delivers: the info with the timer's ref, so that a
// late one can be told from the current one.
struct TimerFired {
  TimerFired(TimerRef r, Info i) : ref(r), info(std::move(i)) {}
  TimerRef ref;
  Info info;
};

// The answers of CancelTimerAsync and ReadTimerAsync (otp T4). `left` is
// nullopt if the timer has fired, was cancelled or is unknown.
struct TimerCancelled {
  TimerCancelled(TimerRef r, std::optional<absl::Duration> l)
      : ref(r), left(l) {}
  TimerRef ref;
  std::optional<absl::Duration> left;
};
struct TimerRead {
  TimerRead(TimerRef r, std::optional<absl::Duration> l) : ref(r), left(l) {}
  TimerRef ref;
  std::optional<absl::Duration> left;
};

// A linked process ended, or somebody sent an exit signal, to a process that
// traps exits.
struct Exit {
  Exit(Pid f, ExitReason r) : from(std::move(f)), reason(std::move(r)) {}
  Pid from;
  ExitReason reason;
};

// A monitored process ended; exactly one for each monitor.
struct Down {
  Down(MonitorRef m, Pid p, ExitReason r)
      : ref(m), pid(std::move(p)), reason(std::move(r)) {}
  MonitorRef ref;
  Pid pid;  // Empty: there was none (reason noproc).
  ExitReason reason;
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_SIGNALS_H_
