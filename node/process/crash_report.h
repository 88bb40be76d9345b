// CrashReport: what the log says of a process that ended abnormally (otp G23).
#ifndef MUSTER_NODE_PROCESS_CRASH_REPORT_H_
#define MUSTER_NODE_PROCESS_CRASH_REPORT_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "node/types/exit_reason.h"
#include "node/types/pid.h"

namespace muster {

struct CrashReport {
  CrashReport(Pid p, ExitReason r) : pid(std::move(p)), reason(std::move(r)) {}

  Pid pid;
  ExitReason reason;
  std::string name;
  std::string label;
  std::string type;
  // What it ran: "call Increment".
  std::string handler;
  Pid parent;
  // Its starter first, then that one's, and so on.
  std::vector<Pid> ancestors;
  std::vector<Pid> links;
  size_t mailbox = 0;
  bool trap_exit = false;
  // The last message, the state and what else there is to say, in words.
  std::string details;

  // One line: "<pid> <name> crashed: <reason>; key=value ...", with the keys
  // label, type, handler, parent, ancestors, links, mailbox and trap_exit,
  // those that say nothing left out, then the details. Text from users is
  // quoted.
  std::string ToString() const;
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_CRASH_REPORT_H_
