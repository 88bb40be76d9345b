#include "cluster/cli/exit_code.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "node/types/status.h"
#include "node/types/utf8.h"

namespace muster {
namespace {

struct Cure {
  absl::string_view reason;
  absl::string_view text;
};

// Only for reasons whose messages do not name the cure themselves.
constexpr Cure kCures[] = {
    {"FROZEN",
     "the node cannot reach its store: look at the store, then retry"},
    {"MAILBOX_FULL", "the server is behind: retry in a moment"},
    {"NODE_UNREACHABLE",
     "is it running? start one with `muster dev`, or give --endpoint"},
    {"RESTARTING", "`muster wait NAME --for running` waits for it"},
    {"STARTING", "the node is still joining: retry in a moment"},
    {"USAGE",
     "`muster --help` and `muster <command> --help` show what there is"},
};

absl::string_view CureOf(const absl::Status& status) {
  if (OutcomeOf(status) == Outcome::kUnknown) {
    return "it may have run all the same: read the state before you repeat it";
  }
  // A message that names a command has its cure in it.
  if (absl::StrContains(status.message(), "`muster ")) return "";
  const std::string reason = ReasonOf(status);
  for (const Cure& cure : kCures) {
    if (cure.reason == reason) return cure.text;
  }
  return "";
}

// Line ends stay: some messages have several lines.
std::string Printable(absl::string_view text) {
  std::string printable;
  for (const char c : ToValidUtf8(text)) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c)) && c != '\n') {
      absl::StrAppend(
          &printable, "\\x",
          absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      printable.push_back(c);
    }
  }
  return printable;
}

}  // namespace

ExitCode ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  if (OutcomeOf(status) == Outcome::kUnknown) return kExitUnknown;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return kExitUsage;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
      return kExitConflict;
    case absl::StatusCode::kUnavailable:
      return kExitUnreachable;
    case absl::StatusCode::kDeadlineExceeded:
      return kExitDeadline;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return kExitDenied;
    default:
      return kExitInternal;
  }
}

std::string ErrorText(const absl::Status& status) {
  const absl::string_view cure = CureOf(status);
  return absl::StrCat(
      "muster: ",
      status.message().empty() ? absl::StatusCodeToString(status.code())
                               : Printable(status.message()),
      "\n", cure.empty() ? "" : absl::StrCat("        ", cure, "\n"));
}

std::string ErrorJson(const absl::Status& status) {
  nlohmann::ordered_json error;
  error["code"] = absl::StatusCodeToString(status.code());
  error["reason"] = ReasonOf(status);
  error["outcome"] = std::string(OutcomeName(OutcomeOf(status)));
  error["message"] = ToValidUtf8(status.message());
  return error.dump() + "\n";
}

}  // namespace muster
