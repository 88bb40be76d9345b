// ExitReason: why a process ended. The set of kinds is closed (otp section 16).
#ifndef MUSTER_NODE_TYPES_EXIT_REASON_H_
#define MUSTER_NODE_TYPES_EXIT_REASON_H_

#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "muster/core/v1/core.pb.h"
#include "node/types/pid.h"

namespace muster {

class ExitReason {
 public:
  enum class Kind {
    kNormal,
    kShutdown,
    kKill,
    kKilled,
    kNoproc,
    kNoconnection,
    kNodedown,
    kTimeout,
    kCallingSelf,
    kAlreadyStarted,
    kBadReturnValue,
    kException,
    kCustom,
  };

  static ExitReason Normal() { return ExitReason(Kind::kNormal); }
  static ExitReason Shutdown() { return ExitReason(Kind::kShutdown); }
  // shutdown(why): as normal an ending as Shutdown().
  static ExitReason Shutdown(absl::string_view why);
  static ExitReason Kill() { return ExitReason(Kind::kKill); }
  static ExitReason Killed() { return ExitReason(Kind::kKilled); }
  static ExitReason Noproc() { return ExitReason(Kind::kNoproc); }
  static ExitReason Noconnection() { return ExitReason(Kind::kNoconnection); }
  static ExitReason Nodedown(absl::string_view node);
  static ExitReason Timeout() { return ExitReason(Kind::kTimeout); }
  static ExitReason AlreadyStarted(Pid holder);
  static ExitReason BadReturnValue(absl::string_view value);
  // A callback threw; `stack` is empty where the build does not record it.
  static ExitReason Exception(absl::string_view what,
                              absl::string_view stack = "");
  // The application's own reason.
  static ExitReason Custom(absl::string_view text);
  static ExitReason Custom(absl::string_view text,
                           const google::protobuf::Message& payload);

  Kind kind() const { return kind_; }
  const std::string& text() const { return proto_.text(); }
  // Holder's pid with kAlreadyStarted.
  Pid pid() const { return Pid::FromProto(proto_.pid()); }
  const google::protobuf::Any& payload() const { return proto_.payload(); }

  // normal, shutdown and shutdown(_): endings that are not failures (otp P7).
  bool IsNormal() const {
    return kind_ == Kind::kNormal || kind_ == Kind::kShutdown;
  }

  // As an Erlang engineer would write it: "normal", "shutdown(drain)",
  // "exception(bad cast)". For people; nobody compares it.
  std::string ToString() const;
  // Text over 64 KiB is cut with a note.
  core::v1::ExitReason ToProto() const;
  // An unknown kind becomes custom with a note.
  static ExitReason FromProto(const core::v1::ExitReason& proto);

  friend bool operator==(const ExitReason& a, const ExitReason& b);

 private:
  explicit ExitReason(Kind kind) : kind_(kind) {}

  Kind kind_;
  core::v1::ExitReason proto_;  // All but the kind.
};

}  // namespace muster

#endif  // MUSTER_NODE_TYPES_EXIT_REASON_H_
