// Process's answers to system requests (otp section 5).
#include "node/process/sys_requests.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"
#include "node/process/answer.h"
#include "node/process/process.h"
#include "node/process/thrown.h"
#include "node/types/proto_time.h"
#include "node/types/status.h"
#include "node/types/utf8.h"

namespace muster {
namespace {

using sys::v1::Event;

// What one request weighs in the mailbox beside its payload.
constexpr size_t kEnvelopeBytes = 256;
// Longest text of a state in an answer.
constexpr size_t kStateTextBytesMax = size_t{256} << 10;

constexpr absl::string_view kTerminate = "Terminate";
// Names that begin with this are Muster's own.
constexpr absl::string_view kOwnNames = "muster/";
constexpr absl::string_view kMethods[] = {
    "GetState",         "ReplaceState",  "Suspend",    "Resume",
    "GetStatus",        "GetStatistics", "SwitchLog",  "GetLog",
    "SwitchStatistics", "SwitchTrace",   "RemoveHook", "NoDebug",
    "InstallHook",      "ChangeCode",    kTerminate};

absl::string_view MethodOf(const Request& request) {
  absl::string_view service;
  absl::string_view method;
  SplitMethodPath(request.method, &service, &method);
  return method;
}

Error Malformed(absl::string_view type) {
  return Error(absl::StatusCode::kInvalidArgument, "MALFORMED",
               absl::StrCat("the request's bytes are no ", type))
      .NotExecuted();
}

template <typename T>
absl::StatusOr<const T*> Read(Payload& request) {
  const T* const message = request.As<T>();
  if (message == nullptr) return Malformed(T::descriptor()->full_name());
  return message;
}

Error CallbackFailed(absl::string_view what, absl::string_view why) {
  return Error(absl::StatusCode::kInternal, "CALLBACK_FAILED",
               absl::StrCat(what, " failed: ", why))
      .Executed();
}

// Runs a hook of the body; what it throws fails the request, not the process.
template <typename Function>
auto Guarded(absl::string_view what, Function function)
    -> decltype(function()) {
  try {
    return function();
  } catch (...) {
    return CallbackFailed(what, internal::ThrownReason().ToString()).status();
  }
}

// As Guarded, and an error that the hook returned is its failure, too; what it
// cannot do at all stays UNIMPLEMENTED.
absl::Status Failed(absl::string_view what, const absl::Status& status) {
  if (ReasonOf(status) == "CALLBACK_FAILED" || absl::IsUnimplemented(status)) {
    return status;
  }
  return CallbackFailed(
      what, absl::StrCat(absl::StatusCodeToString(status.code()), " ",
                         status.message()));
}

std::string StateText(const Payload& state) {
  if (const google::protobuf::Message* const message = state.message()) {
    google::protobuf::util::JsonPrintOptions print;
    print.always_print_primitive_fields = true;
    print.preserve_proto_field_names = true;
    std::string json;
    if (google::protobuf::util::MessageToJsonString(*message, &json, print)
            .ok()) {
      return json;
    }
    return message->ShortDebugString();  // An Any of an unknown type.
  }
  if (state.is_local()) return absl::StrCat("a C++ value: ", state.type());
  return absl::StrCat(state.size_bytes(), " bytes",
                      state.type().empty() ? "" : " of ", state.type());
}

bool IsEmpty(const Payload& state) {
  return state.message() == nullptr && !state.is_local() &&
         state.type().empty() && state.size_bytes() == 0;
}

// For the wire: its type and bytes.
absl::StatusOr<core::v1::Payload> ToProto(const Payload& state) {
  if (state.is_local()) {
    return Error(absl::StatusCode::kFailedPrecondition, "LOCAL_STATE",
                 absl::StrCat("the state is a C++ value (", state.type(),
                              "), which only its own node can read"))
        .Executed();
  }
  core::v1::Payload proto;
  proto.set_type(state.type());
  proto.set_value(state.ToBytes());
  return proto;
}

template <typename Response>
absl::StatusOr<Payload> StateResponse(absl::StatusOr<Payload> state) {
  if (!state.ok()) return state.status();
  absl::StatusOr<core::v1::Payload> proto = ToProto(*state);
  if (!proto.ok()) return proto.status();
  Response response;
  *response.mutable_state() = *std::move(proto);
  return Payload::Of(std::move(response));
}

}  // namespace

// -- Arrival
// -------------------------------------------------------------------

bool Process::IsSystem(const Request& request) {
  absl::string_view service;
  absl::string_view method;
  return SplitMethodPath(request.method, &service, &method) &&
         service == kSysService;
}

absl::Status Process::PushSysRequest(Request request,
                                     std::shared_ptr<CallSlot> slot) {
  const absl::string_view method = MethodOf(request);
  if (std::find(std::begin(kMethods), std::end(kMethods), method) ==
      std::end(kMethods)) {
    return Error(absl::StatusCode::kUnimplemented, "UNKNOWN_METHOD",
                 absl::StrCat(kSysService, " has no method '",
                              method.substr(0, 64), "'"))
        .NotExecuted();
  }
  const bool terminates = method == kTerminate;
  if (slot == nullptr && !terminates) {
    return Error(absl::StatusCode::kInvalidArgument, "NOT_A_CAST",
                 absl::StrCat(method, " is a call, not a cast: call it"))
        .NotExecuted();
  }
  if (terminates) {
    for (const std::string* name : {&local_name(), &global_name()}) {
      if (!absl::StartsWith(*name, kOwnNames)) continue;
      return Error(absl::StatusCode::kFailedPrecondition, "OWN_PROCESS",
                   absl::StrCat("'", *name,
                                "' is Muster's own process: it ends with its "
                                "node"))
          .NotExecuted();
    }
  }
  Envelope envelope;
  envelope.kind = Envelope::Kind::kSystem;
  envelope.bytes = request.payload.size_bytes() + kEnvelopeBytes;
  envelope.request = std::move(request);
  envelope.slot = std::move(slot);
  bool dead = false;
  bool submit = false;
  {
    MutexLock lock(&mu_);
    dead = gone_;  // Until then Finish answers, as for calls.
    if (!dead) {
      // One is taken whatever its size, if it is alone.
      if (systems_queued_ >= kSysRequestsMax ||
          (systems_queued_ > 0 &&
           systems_bytes_ + envelope.bytes > kSysRequestBytesMax)) {
        return MailboxFull().NotExecuted();
      }
      // From here on it takes effect, whatever its caller does (otp G25).
      if (terminates && envelope.slot != nullptr) {
        envelope.slot->MarkDispatched();
      }
      PushLocked(std::move(envelope));
      submit = ScheduleLocked();
    }
  }
  if (dead) {
    if (envelope.slot != nullptr) FailEnvelope(envelope, *ended_reason());
    return envelope.slot != nullptr ? absl::OkStatus()
                                    : Exited(*ended_reason()).NotExecuted();
  }
  if (submit) Submit();
  return absl::OkStatus();
}

std::optional<ExitReason> Process::ended_reason() const {
  MutexLock lock(&mu_);
  return ended_;
}

void Process::FailEnvelope(Envelope& envelope, const ExitReason& reason) {
  if (envelope.slot == nullptr) return;
  if (!envelope.is_system() || MethodOf(*envelope.request) != kTerminate) {
    envelope.slot->Fail(Exited(reason));
    return;
  }
  // Whatever ended it: whoever asked for the end learns with which reason.
  sys::v1::TerminateResponse response;
  *response.mutable_reason() = reason.ToProto();
  internal::Answer(*envelope.slot, CallResult(Payload::Of(std::move(response))),
                   *runtime_, Epoch());
}

bool Process::IsOrderToEnd(const Exit& exit) const {
  const Pid& parent = spawn_.parent.empty() ? spawn_.link_to : spawn_.parent;
  return exit.from.empty() || exit.from == parent;
}

std::deque<Process::Envelope>::iterator Process::NextWhileSuspendedLocked() {
  if (systems_queued_ == 0 && exits_queued_ == 0) return mailbox_.end();
  return std::find_if(
      mailbox_.begin(), mailbox_.end(), [this](const Envelope& e) {
        return e.is_system() ||
               (e.kind == Envelope::Kind::kExit && IsOrderToEnd(*e.exit));
      });
}

// -- Answers
// -------------------------------------------------------------------

void Process::HandleSystem() {
  if (!FenceOpen()) {
    if (current_.slot == nullptr) {  // An order to end, which has been taken.
      PutBackFrozen();
    } else {
      RefuseFrozen();
    }
    return;
  }
  const std::string method(MethodOf(*current_.request));
  Payload& request = current_.request->payload;
  if (method == kTerminate) {
    const absl::StatusOr<const sys::v1::TerminateRequest*> order =
        Read<sys::v1::TerminateRequest>(request);
    if (!order.ok()) {
      if (current_.slot != nullptr) {
        current_.slot->Complete(CallResult(order.status()));
      }
      FinishCurrent();
      return;
    }
    BeginTerminate((*order)->has_reason()
                       ? ExitReason::FromProto((*order)->reason())
                       : ExitReason::Normal());
    return;
  }
  if (current_.request->meta.deadline <= runtime_->clock().Boot()) {
    current_.slot->Fail(Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                              "the call expired before its turn came"));
  } else if (current_.slot->MarkDispatched()) {
    absl::StatusOr<Payload> answer = AnswerSystem(method, request);
    internal::Answer(*current_.slot,
                     answer.ok() ? CallResult(*std::move(answer))
                                 : CallResult(std::move(answer).status()),
                     *runtime_, global_epoch());
  }
  FinishCurrent();
  // A hibernating process hibernates again by itself (otp G18).
  bool hibernates;
  {
    MutexLock lock(&mu_);
    hibernates = hibernating_;
  }
  if (hibernates) Hibernate();
}

absl::StatusOr<Payload> Process::AnswerSystem(absl::string_view method,
                                              Payload& request) {
  if (method == "GetState") return AnswerState(request);
  if (method == "ReplaceState") return AnswerReplaceState(request);
  if (method == "GetStatus") return AnswerStatus();
  if (method == "ChangeCode") return AnswerChangeCode(request);
  if (method == "Suspend" || method == "Resume") {
    {
      MutexLock lock(&mu_);
      suspended_ = method == "Suspend";
    }
    if (method == "Suspend") return Payload::Of(sys::v1::SuspendResponse());
    return Payload::Of(sys::v1::ResumeResponse());
  }
  if (debug_ == nullptr) debug_ = std::make_unique<internal::SysDebug>();
  absl::StatusOr<Payload> answer = AnswerDebug(method, request);
  if (debug_->idle()) debug_.reset();
  return answer;
}

absl::StatusOr<Payload> Process::TakeSnapshot() {
  absl::StatusOr<Payload> state =
      Guarded("Snapshot", [this] { return body_->Snapshot(context_); });
  if (!state.ok()) return Failed("Snapshot", state.status());
  return state;
}

absl::Status Process::RestoreState(Payload state) {
  const absl::Status status = Guarded("Restore", [this, &state] {
    return body_->Restore(std::move(state), context_);
  });
  return status.ok() ? status : Failed("Restore", status);
}

absl::StatusOr<Payload> Process::AnswerState(Payload& request) {
  if (request.As<internal::GetStateHere>() != nullptr) return TakeSnapshot();
  const auto read = Read<sys::v1::GetStateRequest>(request);
  if (!read.ok()) return read.status();
  return StateResponse<sys::v1::GetStateResponse>(TakeSnapshot());
}

absl::StatusOr<Payload> Process::AnswerReplaceState(Payload& request) {
  auto* const here = request.MutableValue<internal::ReplaceStateHere>();
  Payload changed;
  absl::Status status;
  if (here != nullptr) {
    absl::StatusOr<Payload> state = TakeSnapshot();
    if (!state.ok()) return state.status();
    state = Guarded("the function that replaces the state",
                    [&] { return here->change(*std::move(state)); });
    if (!state.ok()) {
      return Failed("the function that replaces the state", state.status());
    }
    changed = *std::move(state);
  } else {
    const auto read = Read<sys::v1::ReplaceStateRequest>(request);
    if (!read.ok()) return read.status();
    changed =
        Payload::FromBytes((*read)->state().value(), (*read)->state().type());
  }
  // To go back to if Restore fails half-way (otp Y2).
  absl::StatusOr<Payload> before = TakeSnapshot();
  if (!before.ok()) return before.status();
  status = RestoreState(std::move(changed));
  if (!status.ok()) {
    if (absl::IsUnimplemented(status)) return status;
    const absl::Status back = RestoreState(*std::move(before));
    if (back.ok()) return status;
    return CallbackFailed(
        "Restore",
        absl::StrCat(status.message(),
                     "; nor would it take the old state: ", back.message()));
  }
  if (here != nullptr) return TakeSnapshot();
  return StateResponse<sys::v1::ReplaceStateResponse>(TakeSnapshot());
}

absl::StatusOr<Payload> Process::AnswerChangeCode(Payload& request) {
  auto* const order = request.MutableValue<internal::ChangeCodeHere>();
  if (order == nullptr) {
    return Error(absl::StatusCode::kUnimplemented, "NOT_HERE",
                 "a change of code carries a C++ function: it can only be "
                 "asked for on the server's own node")
        .NotExecuted();
  }
  {
    MutexLock lock(&mu_);
    if (!suspended_) {  // otp Y8
      return Error(absl::StatusCode::kFailedPrecondition, "NOT_SUSPENDED",
                   "code changes only while the server is suspended: suspend "
                   "it first")
          .NotExecuted();
    }
  }
  std::unique_ptr<ProcessBody> next;
  absl::Status status = Guarded("the factory", [&] {
    next = order->factory();
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  const ServiceInfo& old_service = *service_.load(std::memory_order_acquire);
  if (next == nullptr || next->service_info().service != old_service.service) {
    return Error(
               absl::StatusCode::kInvalidArgument, "WRONG_SERVICE",
               absl::StrCat("the factory made ",
                            next == nullptr ? "no server"
                                            : "a server of another service",
                            ": it must serve ",
                            old_service.service.empty() ? "no service"
                                                        : old_service.service))
        .NotExecuted();
  }
  absl::StatusOr<Payload> state = TakeSnapshot();
  if (!state.ok()) return state.status();
  status = Guarded("CodeChange", [&] {
    return next->CodeChange(order->old_version, *std::move(state),
                            std::move(order->extra), context_);
  });
  if (!status.ok()) return Failed("CodeChange", status);
  service_.store(&next->service_info(), std::memory_order_release);
  body_ = std::move(next);
  return Payload();
}

absl::StatusOr<Payload> Process::AnswerDebug(absl::string_view method,
                                             Payload& request) {
  internal::SysDebug& debug = *debug_;
  const BootTime now = runtime_->clock().Boot();
  const absl::Time wall = runtime_->clock().Wall();
  if (method == "SwitchStatistics") {
    const auto read = Read<sys::v1::SwitchStatisticsRequest>(request);
    if (!read.ok()) return read.status();
    debug.SwitchStatistics((*read)->on(), wall);
    return Payload::Of(sys::v1::SwitchStatisticsResponse());
  }
  if (method == "GetStatistics") {
    auto statistics = debug.statistics(wall);
    if (!statistics.ok()) return statistics.status();
    return Payload::Of(*std::move(statistics));
  }
  if (method == "SwitchLog") {
    const auto read = Read<sys::v1::SwitchLogRequest>(request);
    if (!read.ok()) return read.status();
    debug.SwitchLog((*read)->size(),
                    (*read)->has_expire() ? FromProtoDuration((*read)->expire())
                                          : absl::InfiniteDuration(),
                    now);
    return Payload::Of(sys::v1::SwitchLogResponse());
  }
  if (method == "GetLog") {
    const auto read = Read<sys::v1::GetLogRequest>(request);
    if (!read.ok()) return read.status();
    return Payload::Of(debug.ReadLog((*read)->after(), now));
  }
  if (method == "SwitchTrace") {
    if (auto* const here = request.MutableValue<internal::TraceHere>()) {
      debug.SwitchTrace(true, std::move(here->sink));
      return Payload::Of(sys::v1::SwitchTraceResponse());
    }
    const auto read = Read<sys::v1::SwitchTraceRequest>(request);
    if (!read.ok()) return read.status();
    debug.SwitchTrace((*read)->on(), nullptr);
    return Payload::Of(sys::v1::SwitchTraceResponse());
  }
  if (method == "InstallHook") {
    auto* const here = request.MutableValue<internal::InstallHookHere>();
    if (here == nullptr || !here->hook) {
      return Error(absl::StatusCode::kInvalidArgument, "NO_HOOK",
                   "a hook is a C++ function: it can only be installed on the "
                   "server's own node")
          .NotExecuted();
    }
    debug.InstallHook(std::move(here->id), std::move(here->hook));
    return Payload();
  }
  if (method == "RemoveHook") {
    const auto read = Read<sys::v1::RemoveHookRequest>(request);
    if (!read.ok()) return read.status();
    debug.RemoveHook((*read)->id());
    return Payload::Of(sys::v1::RemoveHookResponse());
  }
  debug = internal::SysDebug();
  return Payload::Of(sys::v1::NoDebugResponse());
}

// -- For people
// ----------------------------------------------------------------

absl::StatusOr<Payload> Process::AnswerStatus() {
  sys::v1::GetStatusResponse response;
  *response.mutable_pid() = pid_.ToProto();
  response.set_name(name());
  response.set_type(spawn_.type);
  response.set_service(
      std::string(service_.load(std::memory_order_acquire)->service));
  const Pid& parent = spawn_.parent.empty() ? spawn_.link_to : spawn_.parent;
  if (!parent.empty()) *response.mutable_parent() = parent.ToProto();
  response.set_handled(handled_.load(std::memory_order_relaxed));
  *response.mutable_age() =
      ToProtoDuration(runtime_->clock().Boot() - started_at_);
  {
    MutexLock lock(&mu_);
    response.set_mailbox(mailbox_.size() - systems_queued_);
    response.set_state(suspended_     ? "suspended"
                       : hibernating_ ? "hibernating"
                                      : "running");
  }
  if (debug_ != nullptr) debug_->Describe(&response);
  std::string text;
  const ServerStatus status = FormattedStatus(std::nullopt, &text);
  response.set_formatted_state(
      CutUtf8WithNote(ToValidUtf8(text), kStateTextBytesMax));
  response.set_state_type(ToValidUtf8(status.state.type()));
  for (const Event& event : status.log) *response.add_log() = event;
  response.set_node_replies_dropped(runtime_->replies_dropped());
  return Payload::Of(std::move(response));
}

ServerStatus Process::FormattedStatus(std::optional<ExitReason> reason,
                                      std::string* text) {
  ServerStatus status;
  std::string none;
  absl::StatusOr<Payload> state = TakeSnapshot();
  if (state.ok()) {
    status.state = *std::move(state);
  } else {
    none = absl::StrCat("(none: ", absl::string_view(state.status().message()),
                        ")");
  }
  status.message = DescribeCurrent();
  status.reason = reason;
  if (debug_ != nullptr) status.log = debug_->log();
  const std::string message = status.message;
  try {
    body_->FormatStatus(status);
    *text =
        IsEmpty(status.state) && !none.empty() ? none : StateText(status.state);
  } catch (...) {  // otp G26: never the raw state.
    status.state = Payload();
    status.message = message;
    *text = absl::StrCat("(not shown: FormatStatus failed: ",
                         internal::ThrownReason().ToString(), ")");
  }
  return status;
}

std::string Process::DescribeCurrent() const {
  const auto typed = [](absl::string_view what, const std::string& type) {
    return type.empty() ? std::string(what)
                        : absl::StrCat(what, " (", type, ")");
  };
  if (stage_ == Stage::kTimeout) return "inactivity timeout";
  switch (current_.kind) {
    case Envelope::Kind::kCall:
      return typed(absl::StrCat("call ", MethodOf(*current_.request)),
                   current_.request->payload.type());
    case Envelope::Kind::kCast:
      return typed(absl::StrCat("cast ", MethodOf(*current_.request)),
                   current_.request->payload.type());
    case Envelope::Kind::kInfo:
    case Envelope::Kind::kExit:
      if (current_.exit.has_value() && IsOrderToEnd(*current_.exit)) {
        return "the parent's exit";
      }
      return typed(stage_ == Stage::kContinue ? "continue" : "info",
                   info_type_.Name());
    case Envelope::Kind::kNone:
    case Envelope::Kind::kSystem:
      break;
  }
  return "";
}

// -- Events
// --------------------------------------------------------------------

void Process::RecordIn(Stage stage) {
  Event event;
  const Request* const request = current_request();
  switch (stage) {
    case Stage::kCall:
    case Stage::kCast:
      event.set_kind(stage == Stage::kCall ? Event::CALL : Event::CAST);
      event.set_method(std::string(MethodOf(*request)));
      event.set_type(ToValidUtf8(request->payload.type()));
      event.set_bytes(request->payload.size_bytes());
      if (!request->caller.empty()) {
        *event.mutable_caller() = request->caller.ToProto();
      }
      break;
    case Stage::kInfo:
    case Stage::kContinue:
      event.set_kind(stage == Stage::kInfo ? Event::INFO : Event::CONTINUE);
      event.set_type(ToValidUtf8(current_.info.type()));
      event.set_bytes(current_.info.size_bytes());
      break;
    case Stage::kTimeout:
      event.set_kind(Event::TIMEOUT);
      break;
    case Stage::kNone:
    case Stage::kInit:
    case Stage::kTerminate:
      return;
  }
  Record(std::move(event));
}

void Process::RecordOut(Stage stage, const internal::Decision& decision) {
  using Kind = internal::Decision::Kind;
  if (stage == Stage::kInit) return;
  Event event;
  const Request* const request = current_request();
  switch (decision.kind) {
    case Kind::kReply:
    case Kind::kError:
      if (stage != Stage::kCall) return;
      event.set_kind(Event::REPLY);
      break;
    case Kind::kGoOn:
    case Kind::kIgnore:
      event.set_kind(Event::NO_REPLY);
      break;
    case Kind::kStop:
      if (!decision.replies) return;
      event.set_kind(Event::REPLY);
      break;
  }
  if (event.kind() == Event::REPLY) {
    event.set_method(std::string(MethodOf(*request)));
    if (!request->caller.empty()) {
      *event.mutable_caller() = request->caller.ToProto();
    }
    if (decision.kind == Kind::kError) {
      event.set_error(ToValidUtf8(
          absl::StrCat(absl::StatusCodeToString(decision.error.code()), " ",
                       ReasonOf(decision.error))));
    } else {
      event.set_type(ToValidUtf8(decision.reply.type()));
      event.set_bytes(decision.reply.size_bytes());
    }
  }
  Record(std::move(event));
}

void Process::Record(Event event) {
  *event.mutable_time() = ToProtoTimestamp(runtime_->clock().Wall());
  debug_->Record(std::move(event), name().empty() ? pid_.ToString() : name(),
                 runtime_->clock().Boot(), runtime_->log());
  if (debug_->idle()) debug_.reset();
}

}  // namespace muster
