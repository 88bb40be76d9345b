// ServerStatus: what people are shown of a server (otp G26).
#ifndef MUSTER_NODE_PROCESS_SERVER_STATUS_H_
#define MUSTER_NODE_PROCESS_SERVER_STATUS_H_

#include <optional>
#include <string>
#include <vector>

#include "muster/sys/v1/sys.pb.h"
#include "node/types/exit_reason.h"
#include "node/types/payload.h"

namespace muster {

// In the answer to sys::GetStatus and in the report of a crash. A server's
// FormatStatus may change all of it, for example to leave out secrets.
struct ServerStatus {
  // What Snapshot gave; empty if it gave nothing. Shown as JSON if it is a
  // message.
  Payload state;
  // What it handled when it crashed: "call Increment (counter.v1.Request)".
  // Empty: nothing.
  std::string message;
  // Why it ends; absent while it runs.
  std::optional<ExitReason> reason;
  // The log of its events, if it is on.
  std::vector<sys::v1::Event> log;
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_SERVER_STATUS_H_
