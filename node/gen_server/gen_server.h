// GenServer: the base of every server a user writes (otp section 3).
//
// Users derive from the class that protoc-gen-muster makes of their service,
// which derives from this one:
//
//   class Counter final : public counter::v1::CounterServer {
//    public:
//     InitResult Init(const CounterOptions& options, Context& self) override;
//     Reply<CounterValue> Increment(const IncrementRequest&, Context&)
//     override; Next Reset(const ResetRequest&, Context&) override;
//   };
#ifndef MUSTER_NODE_GEN_SERVER_GEN_SERVER_H_
#define MUSTER_NODE_GEN_SERVER_GEN_SERVER_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "node/process/context.h"
#include "node/process/process_body.h"
#include "node/process/result.h"
#include "node/process/server_status.h"
#include "node/types/exit_reason.h"
#include "node/types/info.h"
#include "node/types/payload.h"
#include "node/types/service_info.h"
#include "node/types/status.h"

namespace muster {

// LIFETIME: made by its type's factory for each start, destroyed when its
// process has ended. THREADS: callbacks of one object never overlap; the
// object needs no locks. A callback never blocks: it co_awaits.
class GenServer : public ProcessBody {
 public:
  // An info: a timer's message, a Down, an Exit (if it traps exits), or what
  // another process sent. Default: logs a warning and drops it (otp G7).
  virtual Next HandleInfo(Info info, Context& self);
  // Runs right after the callback that said Continue(message). Default: ends
  // the process, since nobody handles what it asked for itself.
  virtual Next HandleContinue(Info message, Context& self);
  // No message came for as long as the last result's Timeout said. Default:
  // goes on.
  virtual Next HandleTimeout(Context& self);
  // Last callback: after Stop, after an exception, on the parent's shutdown if
  // this process traps exits. Not after kill, nor when a node dies (otp G19,
  // G20). What it answers is ignored; if it throws, that becomes the reason.
  virtual Next Terminate(const ExitReason& reason, Context& self);

  // -- State from outside (gen_server/sys.h, otp section 5) -----------------
  // Each runs between two callbacks and must not wait. What it throws fails the
  // request (CALLBACK_FAILED), and the server goes on.

  // A copy of the whole state, as a message (`Payload::Of(state)`) or, for
  // readers on this node only, a C++ value. Must change nothing: it is called
  // to look, before a change of state, and for the report of a crash, when it
  // sees the state as the failed callback left it. Default: UNIMPLEMENTED
  // NO_SNAPSHOT.
  absl::StatusOr<Payload> Snapshot(Context& self) override;
  // Takes over a state that Snapshot made. If it fails, the server is given the
  // state that it had. Default: UNIMPLEMENTED NO_RESTORE.
  absl::Status Restore(Payload state, Context& self) override;
  // Changes what people are shown of the state, in sys::GetStatus and in the
  // report of a crash; a place to leave out secrets. If it throws, a
  // placeholder is shown and never the state itself (otp G26). Default: changes
  // nothing.
  void FormatStatus(ServerStatus& status) override;
  // Called instead of Init on the new object of a change of code: takes the
  // Snapshot of the old one. `old_version` and `extra` are those of
  // sys::ChangeCode. If it fails, the old object goes on (otp G27). Default:
  // UNIMPLEMENTED NO_CODE_CHANGE.
  absl::Status CodeChange(absl::string_view old_version, Payload state,
                          Payload extra, Context& self) override;

 private:
  HandlerResult OnInfo(Info& info, Context& self) final;
  HandlerResult OnContinue(Info& message, Context& self) final;
  HandlerResult OnTimeout(Context& self) final;
  HandlerResult OnTerminate(const ExitReason& reason, Context& self) final;
};

// A GenServer without a gRPC service: it only receives infos.
class InfoServer : public GenServer {
 public:
  virtual InitResult Init(Context& self) = 0;

 private:
  const ServiceInfo& service_info() const final;
  HandlerResult OnInit(Payload& options, Context& self) final;
  HandlerResult OnCall(absl::string_view method, Payload& request,
                       Context& self) final;
  HandlerResult OnCast(absl::string_view method, Payload& request,
                       Context& self) final;
};

namespace internal {

// The answer to bytes that are no `type`, and to a method that generated code
// does not know (which the runtime excludes).
HandlerResult MalformedRequest(absl::string_view type);
HandlerResult UnknownMethod(absl::string_view method);

// For generated code: calls `handler` with the request as a Request.
template <typename Request, typename Handler>
HandlerResult Dispatch(Payload& request, Handler handler) {
  const Request* typed = request.As<Request>();
  if (typed == nullptr) {
    return MalformedRequest(TypeNameOf<Request>());
  }
  return handler(*typed).Erase();
}

}  // namespace internal
}  // namespace muster

#endif  // MUSTER_NODE_GEN_SERVER_GEN_SERVER_H_
