// Exit and Down: the infos that the system itself sends (otp 1.3, 1.5).
#ifndef MUSTER_NODE_PROCESS_SIGNALS_H_
#define MUSTER_NODE_PROCESS_SIGNALS_H_

#include <cstdint>
#include <utility>

#include "node/types/exit_reason.h"
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
