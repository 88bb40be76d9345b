// `muster process get`, `stop` and `trace`: system requests to one process.
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cluster/cli/commands.h"
#include "cluster/cli/format.h"
#include "cluster/cli/words.h"
#include "google/protobuf/message.h"
#include "muster/process/v1/process.pb.h"
#include "muster/sys/v1/sys.pb.h"
#include "node/process/sys_requests.h"
#include "node/types/exit_reason.h"
#include "node/types/proto_time.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"

namespace muster {
namespace {

// Between two looks at the log of a process that is traced.
constexpr absl::Duration kTracePoll = absl::Milliseconds(100);
// A log that this program has switched on and left behind, say by Ctrl-C,
// switches itself off after so long.
constexpr absl::Duration kLogExpire = absl::Seconds(10);

ExitReason ParseReason(const std::string& text) {
  if (text.empty() || text == "normal") return ExitReason::Normal();
  if (text == "shutdown") return ExitReason::Shutdown();
  return ExitReason::Custom(text);
}

// Whether a process that is traced by its name may be back in a moment.
bool MayComeBack(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsNotFound(status) ||
         absl::IsAborted(status);
}

}  // namespace

absl::Status ClientCommands::AskProcess(
    const ServerRef& server, const std::string& method,
    const google::protobuf::Message& request,
    google::protobuf::Message* response) {
  process::v1::CallRequest call;
  *call.mutable_server() = server.ToProto();
  call.set_method(absl::StrCat("/", kSysService, "/", method));
  call.set_request(request.SerializeAsString());
  const auto answer = client_->Call(call, Left());
  if (!answer.ok()) return answer.status();
  if (!response->ParseFromString(answer->response())) {
    return Error(absl::StatusCode::kInternal, "BAD_RESPONSE",
                 absl::StrCat("the call succeeded, but its response is no ",
                              response->GetTypeName()))
        .Executed();
  }
  return absl::OkStatus();
}

CommandResult ClientCommands::ProcessGet(const std::string& target) {
  const absl::StatusOr<ServerRef> server = ParseTarget(target);
  if (!server.ok()) return server.status();
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  sys::v1::GetStatusResponse response;
  absl::Status status =
      AskProcess(*server, "GetStatus", sys::v1::GetStatusRequest(), &response);
  if (!status.ok()) return status;
  *env_.out << (flags_.json ? ProcessJson(response) : ProcessPage(response));
  return {};
}

CommandResult ClientCommands::ProcessStop(const std::string& target,
                                          const std::string& reason_text) {
  const absl::StatusOr<ServerRef> server = ParseTarget(target);
  if (!server.ok()) return server.status();
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  const ExitReason wanted = ParseReason(reason_text);
  sys::v1::TerminateRequest request;
  *request.mutable_reason() = wanted.ToProto();
  sys::v1::TerminateResponse response;
  absl::Status status = AskProcess(*server, "Terminate", request, &response);
  if (!status.ok()) return status;
  const ExitReason reason = ExitReason::FromProto(response.reason());
  if (!(reason == wanted)) {
    return absl::Status(
        Error(absl::StatusCode::kAborted, "CALLEE_EXITED",
              absl::StrCat(target, " ended, but with ", reason.ToString(),
                           ", not with ", wanted.ToString()))
            .With("exit_reason", reason.ToString())
            .Executed());
  }
  *env_.out << (flags_.json ? "{}\n" : "stopped\n");
  return {};
}

CommandResult ClientCommands::ProcessTrace(const std::string& target,
                                           const std::string& span_text) {
  const absl::StatusOr<ServerRef> server = ParseTarget(target);
  if (!server.ok()) return server.status();
  const absl::StatusOr<absl::Duration> span = ParseDuration(span_text);
  if (!span.ok()) {
    return absl::Status(
        Error(
            absl::StatusCode::kInvalidArgument, "USAGE",
            absl::StrCat("--for ", absl::string_view(span.status().message())))
            .NotExecuted());
  }
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  const absl::Duration each = flags_.timeout.value_or(kTimeoutDefault);
  const BootTime begin = env_.clock->Boot();
  const BootTime end = begin + *span;
  const auto ask = [&](const std::string& method,
                       const google::protobuf::Message& request,
                       google::protobuf::Message* response) {
    end_ = env_.clock->Boot() + each;
    return AskProcess(*server, method, request, response);
  };

  // Somebody else's log stays as it is; ours goes with us.
  bool ours = false;
  uint64_t after = 0;
  const auto switch_log = [&](uint32_t size) {
    sys::v1::SwitchLogRequest request;
    request.set_size(size);
    *request.mutable_expire() = ToProtoDuration(kLogExpire);
    sys::v1::SwitchLogResponse response;
    return ask("SwitchLog", request, &response);
  };
  const auto read = [&](sys::v1::GetLogResponse* log) {
    sys::v1::GetLogRequest request;
    request.set_after(after);
    return ask("GetLog", request, log);
  };
  sys::v1::GetLogResponse log;
  absl::Status status = read(&log);
  if (!status.ok()) return status;
  for (const sys::v1::Event& event : log.events()) after = event.number();
  while (true) {
    if (status.ok() && !log.on()) {
      // Not yet, or it is another process by now.
      status = switch_log(kSysLogMax);
      if (status.ok()) {
        ours = true;
        after = 0;
      }
    }
    if (!status.ok()) {
      if (server->kind() == ServerRef::Kind::kPid || !MayComeBack(status)) {
        return status;
      }
      Progress(absl::StrCat("waiting: ", absl::string_view(status.message())));
    }
    if (env_.clock->Boot() >= end) break;
    env_.sleep(std::min(kTracePoll, end - env_.clock->Boot()));
    log.Clear();
    status = read(&log);
    if (!status.ok()) continue;
    if (log.missed() > 0) {
      *env_.err << log.missed() << " events were not seen\n" << std::flush;
    }
    for (const sys::v1::Event& event : log.events()) {
      after = event.number();
      *env_.out << (flags_.json ? EventJsonLine(event) : EventLine(event));
    }
    *env_.out << std::flush;
  }
  if (ours && status.ok()) status = switch_log(0);
  return status;
}

}  // namespace muster
