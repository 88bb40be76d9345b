// ScriptServer: a GenServer whose callbacks are a test's own functions.
#ifndef MUSTER_TESTS_TESTKIT_SCRIPT_SERVER_H_
#define MUSTER_TESTS_TESTKIT_SCRIPT_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/wrappers.pb.h"
#include "node/gen_server/gen_server.h"
#include "node/process/context.h"
#include "node/process/result.h"
#include "node/types/service_info.h"

namespace muster {

using Int64 = google::protobuf::Int64Value;

inline Int64 MakeInt64(int64_t value) {
  Int64 message;
  message.set_value(value);
  return message;
}

inline constexpr absl::string_view kScriptCall = "/test.v1.Script/Call";
inline constexpr absl::string_view kScriptCast = "/test.v1.Script/Cast";

// Null functions: Init succeeds, a call answers its own argument, the rest
// does what GenServer does.
struct Script {
  std::function<InitResult(Context&)> init;
  std::function<Reply<Int64>(int64_t, Context&)> call;
  std::function<Next(int64_t, Context&)> cast;
  std::function<Next(Info, Context&)> info;
  std::function<Next(Info, Context&)> on_continue;
  std::function<Next(Context&)> timeout;
  std::function<Next(const ExitReason&, Context&)> terminate;
  std::function<absl::StatusOr<Payload>(Context&)> snapshot;
  std::function<absl::Status(Payload, Context&)> restore;
  std::function<void(ServerStatus&)> format_status;
  std::function<absl::Status(absl::string_view, Payload, Payload, Context&)>
      code_change;
};

// Service test.v1.Script with the call `Call` and the cast `Cast`, both from
// Int64Value; the call answers an Int64Value.
class ScriptServer final : public GenServer {
 public:
  explicit ScriptServer(Script script) : script_(std::move(script)) {}

  static std::unique_ptr<ScriptServer> Make(Script script = Script()) {
    return std::make_unique<ScriptServer>(std::move(script));
  }

  const ServiceInfo& service_info() const override {
    static constexpr MethodInfo kMethods[] = {{"Call", false}, {"Cast", true}};
    static const ServiceInfo kInfo{"test.v1.Script", kMethods};
    return kInfo;
  }

  Next HandleInfo(Info info, Context& self) override {
    if (!script_.info) return GenServer::HandleInfo(std::move(info), self);
    return script_.info(std::move(info), self);
  }
  Next HandleContinue(Info message, Context& self) override {
    if (!script_.on_continue) {
      return GenServer::HandleContinue(std::move(message), self);
    }
    return script_.on_continue(std::move(message), self);
  }
  Next HandleTimeout(Context& self) override {
    if (!script_.timeout) return GenServer::HandleTimeout(self);
    return script_.timeout(self);
  }
  Next Terminate(const ExitReason& reason, Context& self) override {
    if (!script_.terminate) return GenServer::Terminate(reason, self);
    return script_.terminate(reason, self);
  }
  absl::StatusOr<Payload> Snapshot(Context& self) override {
    return script_.snapshot ? script_.snapshot(self)
                            : GenServer::Snapshot(self);
  }
  absl::Status Restore(Payload state, Context& self) override {
    return script_.restore ? script_.restore(std::move(state), self)
                           : GenServer::Restore(std::move(state), self);
  }
  void FormatStatus(ServerStatus& status) override {
    if (script_.format_status) script_.format_status(status);
  }
  absl::Status CodeChange(absl::string_view old_version, Payload state,
                          Payload extra, Context& self) override {
    if (!script_.code_change) {
      return GenServer::CodeChange(old_version, std::move(state),
                                   std::move(extra), self);
    }
    return script_.code_change(old_version, std::move(state), std::move(extra),
                               self);
  }

 private:
  HandlerResult OnInit(Payload&, Context& self) override {
    if (!script_.init) return InitResult(Ok()).Erase();
    return script_.init(self).Erase();
  }
  HandlerResult OnCall(absl::string_view, Payload& request,
                       Context& self) override {
    return internal::Dispatch<Int64>(request, [&](const Int64& r) {
      if (!script_.call) return Reply<Int64>(r);
      return script_.call(r.value(), self);
    });
  }
  HandlerResult OnCast(absl::string_view, Payload& request,
                       Context& self) override {
    return internal::Dispatch<Int64>(request, [&](const Int64& r) {
      if (!script_.cast) return Next();
      return script_.cast(r.value(), self);
    });
  }

  const Script script_;
};

// Calls a ScriptServer from a callback or from outside. Dropping the result
// lets the call run: many tests want only its effect.
inline PendingCall<Int64> ScriptCall(Caller& caller, const ServerRef& to,
                                     int64_t value,
                                     CallOptions options = CallOptions()) {
  options.detached = true;
  return internal::TypedCall<Int64>(caller, to, kScriptCall, MakeInt64(value),
                                    options);
}
inline PendingCast ScriptCast(Caller& caller, const ServerRef& to,
                              int64_t value) {
  return internal::TypedCast(caller, to, kScriptCast, MakeInt64(value),
                             CallOptions());
}

}  // namespace muster

#endif  // MUSTER_TESTS_TESTKIT_SCRIPT_SERVER_H_
