// RuntimeCaller: calls and casts of a node that come from no process.
#ifndef MUSTER_NODE_GEN_SERVER_RUNTIME_CALLER_H_
#define MUSTER_NODE_GEN_SERVER_RUNTIME_CALLER_H_

#include <utility>

#include "node/process/caller.h"
#include "node/process/message.h"
#include "node/process/runtime.h"

namespace muster {

// For threads and callbacks beside the runtime: the generated clients work
// over it as over a Context. A cast is complete when the mailbox has it.
// LIFETIME: the runtime outlives it. THREADS: any.
class RuntimeCaller final : public Caller {
 public:
  explicit RuntimeCaller(Runtime* runtime) : runtime_(runtime) {}

  void StartCall(const ServerRef& to, absl::string_view path, Payload request,
                 const CallOptions& options,
                 absl::AnyInvocable<void(CallResult)> done) override {
    if (absl::Status status = internal::CheckTimeout(options.timeout);
        !status.ok()) {
      done(CallResult(std::move(status)));
      return;
    }
    runtime_->StartCall(Make(to, path, std::move(request), options),
                        std::move(done));
  }
  void StartCast(const ServerRef& to, absl::string_view path, Payload request,
                 const CallOptions& options,
                 absl::AnyInvocable<void(absl::Status)> done) override {
    runtime_->Cast(Make(to, path, std::move(request), options),
                   std::move(done));
  }

 private:
  Request Make(const ServerRef& to, absl::string_view path, Payload payload,
               const CallOptions& options) {
    Request request(to, path, std::move(payload));
    request.meta.deadline = runtime_->clock().Boot() + options.timeout;
    request.meta.metadata = options.metadata;
    return request;
  }

  Runtime* const runtime_;
};

}  // namespace muster

#endif  // MUSTER_NODE_GEN_SERVER_RUNTIME_CALLER_H_
