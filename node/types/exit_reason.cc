#include "node/types/exit_reason.h"

#include "absl/strings/str_cat.h"
#include "node/types/utf8.h"

namespace muster {
namespace {

using Kind = ExitReason::Kind;
using Proto = core::v1::ExitReason;

// Bound of text, stack and payload of what leaves a node or comes to it.
constexpr size_t kTextBytesMax = size_t{64} << 10;

Proto::Kind ToProtoKind(Kind kind) {
  switch (kind) {
    case Kind::kNormal:
      return Proto::NORMAL;
    case Kind::kShutdown:
      return Proto::SHUTDOWN;
    case Kind::kKill:
      return Proto::KILL;
    case Kind::kKilled:
      return Proto::KILLED;
    case Kind::kNoproc:
      return Proto::NOPROC;
    case Kind::kNoconnection:
      return Proto::NOCONNECTION;
    case Kind::kNodedown:
      return Proto::NODEDOWN;
    case Kind::kTimeout:
      return Proto::TIMEOUT;
    case Kind::kCallingSelf:
      return Proto::CALLING_SELF;
    case Kind::kAlreadyStarted:
      return Proto::ALREADY_STARTED;
    case Kind::kBadReturnValue:
      return Proto::BAD_RETURN_VALUE;
    case Kind::kException:
      return Proto::EXCEPTION;
    case Kind::kCustom:
      return Proto::CUSTOM;
  }
  return Proto::CUSTOM;
}

// False: a kind that this build does not know.
bool FromProtoKind(Proto::Kind proto, Kind* kind) {
  switch (proto) {
    case Proto::NORMAL:
      *kind = Kind::kNormal;
      return true;
    case Proto::SHUTDOWN:
      *kind = Kind::kShutdown;
      return true;
    case Proto::KILL:
      *kind = Kind::kKill;
      return true;
    case Proto::KILLED:
      *kind = Kind::kKilled;
      return true;
    case Proto::NOPROC:
      *kind = Kind::kNoproc;
      return true;
    case Proto::NOCONNECTION:
      *kind = Kind::kNoconnection;
      return true;
    case Proto::NODEDOWN:
      *kind = Kind::kNodedown;
      return true;
    case Proto::TIMEOUT:
      *kind = Kind::kTimeout;
      return true;
    case Proto::CALLING_SELF:
      *kind = Kind::kCallingSelf;
      return true;
    case Proto::ALREADY_STARTED:
      *kind = Kind::kAlreadyStarted;
      return true;
    case Proto::BAD_RETURN_VALUE:
      *kind = Kind::kBadReturnValue;
      return true;
    case Proto::EXCEPTION:
      *kind = Kind::kException;
      return true;
    case Proto::CUSTOM:
      *kind = Kind::kCustom;
      return true;
    default:
      return false;
  }
}

std::string WithArgument(absl::string_view name, absl::string_view argument) {
  if (argument.empty()) return std::string(name);
  return absl::StrCat(name, "(", argument, ")");
}

void Cut(Proto* proto) {
  if (proto->text().size() > kTextBytesMax) {
    proto->set_text(CutUtf8WithNote(proto->text(), kTextBytesMax));
  }
  if (proto->stack().size() > kTextBytesMax) {
    proto->set_stack(CutUtf8WithNote(proto->stack(), kTextBytesMax));
  }
  if (proto->payload().value().size() > kTextBytesMax) {
    const std::string note = absl::StrCat(
        " [payload of ", proto->payload().value().size(), " bytes left out]");
    proto->clear_payload();
    proto->set_text(absl::StrCat(
        CutUtf8WithNote(proto->text(), kTextBytesMax - note.size()), note));
  }
}

}  // namespace

ExitReason ExitReason::Shutdown(absl::string_view why) {
  ExitReason reason(Kind::kShutdown);
  reason.proto_.set_text(ToValidUtf8(why));
  return reason;
}

ExitReason ExitReason::Nodedown(absl::string_view node) {
  ExitReason reason(Kind::kNodedown);
  reason.proto_.set_node(ToValidUtf8(node));
  return reason;
}

ExitReason ExitReason::AlreadyStarted(Pid holder) {
  ExitReason reason(Kind::kAlreadyStarted);
  *reason.proto_.mutable_pid() = holder.ToProto();
  return reason;
}

ExitReason ExitReason::BadReturnValue(absl::string_view value) {
  ExitReason reason(Kind::kBadReturnValue);
  reason.proto_.set_text(ToValidUtf8(value));
  return reason;
}

ExitReason ExitReason::Exception(absl::string_view what,
                                 absl::string_view stack) {
  ExitReason reason(Kind::kException);
  reason.proto_.set_text(ToValidUtf8(what));
  reason.proto_.set_stack(ToValidUtf8(stack));
  return reason;
}

ExitReason ExitReason::Custom(absl::string_view text) {
  ExitReason reason(Kind::kCustom);
  reason.proto_.set_text(ToValidUtf8(text));
  return reason;
}

ExitReason ExitReason::Custom(absl::string_view text,
                              const google::protobuf::Message& payload) {
  ExitReason reason = Custom(text);
  reason.proto_.mutable_payload()->PackFrom(payload);
  return reason;
}

std::string ExitReason::ToString() const {
  switch (kind_) {
    case Kind::kNormal:
      return "normal";
    case Kind::kShutdown:
      return WithArgument("shutdown", text());
    case Kind::kKill:
      return "kill";
    case Kind::kKilled:
      return "killed";
    case Kind::kNoproc:
      return "noproc";
    case Kind::kNoconnection:
      return "noconnection";
    case Kind::kNodedown:
      return WithArgument("nodedown", proto_.node());
    case Kind::kTimeout:
      return "timeout";
    case Kind::kCallingSelf:
      return "calling_self";
    case Kind::kAlreadyStarted:
      return WithArgument("already_started",
                          pid().empty() ? "" : pid().ToString());
    case Kind::kBadReturnValue:
      return WithArgument("bad_return_value", text());
    case Kind::kException:
      return WithArgument("exception", text());
    case Kind::kCustom:
      return WithArgument("custom",
                          text().empty() ? payload().type_url() : text());
  }
  return "custom";
}

core::v1::ExitReason ExitReason::ToProto() const {
  Proto proto = proto_;
  proto.set_kind(ToProtoKind(kind_));
  Cut(&proto);
  return proto;
}

ExitReason ExitReason::FromProto(const core::v1::ExitReason& proto) {
  ExitReason reason(Kind::kCustom);
  reason.proto_ = proto;
  reason.proto_.clear_kind();
  if (!FromProtoKind(proto.kind(), &reason.kind_)) {
    const std::string note = absl::StrCat(proto.text().empty() ? "" : " ",
                                          "[exit reason of unknown kind ",
                                          static_cast<int>(proto.kind()), "]");
    reason.proto_.set_text(absl::StrCat(
        CutUtf8WithNote(proto.text(), kTextBytesMax - note.size()), note));
  }
  Cut(&reason.proto_);
  return reason;
}

bool operator==(const ExitReason& a, const ExitReason& b) {
  return a.kind_ == b.kind_ && a.text() == b.text() &&
         a.proto_.stack() == b.proto_.stack() &&
         a.proto_.node() == b.proto_.node() && a.pid() == b.pid() &&
         a.payload().type_url() == b.payload().type_url() &&
         a.payload().value() == b.payload().value();
}

}  // namespace muster
