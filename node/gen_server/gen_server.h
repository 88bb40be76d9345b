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

#include "absl/strings/string_view.h"
#include "node/process/context.h"
#include "node/process/process_body.h"
#include "node/process/result.h"
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
