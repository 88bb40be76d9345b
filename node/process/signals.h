// Exit, Down, NodeUp and NodeDown: the infos that the system itself sends
// (otp 1.3, 1.5, 13).
#ifndef MUSTER_NODE_PROCESS_SIGNALS_H_
#define MUSTER_NODE_PROCESS_SIGNALS_H_

#include <cstdint>
#include <string>
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

// A stream to another node has opened; for whoever asked with
// Context::MonitorNodes (otp ND3). Comes once the node is in Context::Nodes()
// and before any signal from it.
struct NodeUp {
  explicit NodeUp(std::string n) : node(std::move(n)) {}
  std::string node;
};

// It was lost: noconnection, timeout (it was silent), or nodedown (its
// incarnation is known to be dead). Comes once the node is not in
// Context::Nodes() any more, after the Exits and Downs that the loss brought
// (otp ND4) and before the NodeUp of the next stream.
struct NodeDown {
  NodeDown(std::string n, ExitReason r)
      : node(std::move(n)), reason(std::move(r)) {}
  std::string node;
  ExitReason reason;
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_SIGNALS_H_
