// ProcessBody: the code that a process runs. GenServer is the one that users
// derive from.
#ifndef MUSTER_NODE_PROCESS_PROCESS_BODY_H_
#define MUSTER_NODE_PROCESS_PROCESS_BODY_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "node/process/context.h"
#include "node/process/result.h"
#include "node/process/server_status.h"
#include "node/types/exit_reason.h"
#include "node/types/info.h"
#include "node/types/payload.h"
#include "node/types/service_info.h"

namespace muster {

// One callback at a time (otp G1). Arguments live until the callback's
// coroutine has ended. What a callback throws ends the process with
// exception(what), never the node.
class ProcessBody {
 public:
  virtual ~ProcessBody() = default;
  // A constant, which outlives this object.
  virtual const ServiceInfo& service_info() const = 0;

  virtual HandlerResult OnInit(Payload& options, Context& self) = 0;
  // `method` is one of service_info(), already known to be a call or a cast.
  virtual HandlerResult OnCall(absl::string_view method, Payload& request,
                               Context& self) = 0;
  virtual HandlerResult OnCast(absl::string_view method, Payload& request,
                               Context& self) = 0;
  virtual HandlerResult OnInfo(Info& info, Context& self) = 0;
  virtual HandlerResult OnContinue(Info& message, Context& self) = 0;
  virtual HandlerResult OnTimeout(Context& self) = 0;
  virtual HandlerResult OnTerminate(const ExitReason& reason,
                                    Context& self) = 0;

  // For system requests (otp section 5); gen_server.h says what each is for.
  // They run between callbacks; what they throw fails the request and nothing
  // else. By default a body has no state to show and FormatStatus changes
  // nothing.
  virtual absl::StatusOr<Payload> Snapshot(Context& self);
  virtual absl::Status Restore(Payload state, Context& self);
  virtual void FormatStatus(ServerStatus& status);
  virtual absl::Status CodeChange(absl::string_view old_version, Payload state,
                                  Payload extra, Context& self);
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_PROCESS_BODY_H_
