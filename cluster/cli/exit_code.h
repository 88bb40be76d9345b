// Exit codes of the command line, and how it reports an error.
//
// docs/cli.md lists the codes; scripts rely on them. Pure functions, any
// thread.
#ifndef MUSTER_CLUSTER_CLI_EXIT_CODE_H_
#define MUSTER_CLUSTER_CLI_EXIT_CODE_H_

#include <string>

#include "absl/status/status.h"

namespace muster {

enum ExitCode {
  kExitOk = 0,
  kExitInternal = 1,
  kExitUsage = 2,
  kExitNotFound = 3,
  // Exists already, or a precondition or an epoch does not hold.
  kExitConflict = 4,
  kExitUnreachable = 5,
  kExitDeadline = 6,
  kExitDenied = 7,
  // Asked, and the answer is no.
  kExitNo = 8,
  // Partly done.
  kExitPartial = 9,
  // Refused without --yes.
  kExitNeedsYes = 10,
  // The call may have run. Wins over any other.
  kExitUnknown = 11,
  // SIGINT.
  kExitInterrupted = 130,
};

ExitCode ExitCodeOf(const absl::Status& status);

// What goes to stderr, with line ends: `muster: <message>` and, where the
// reason has an obvious cure, a second line; or one line of JSON with code,
// reason, outcome and message. Bytes of the message that are not printable are
// escaped in the first form.
std::string ErrorText(const absl::Status& status);
std::string ErrorJson(const absl::Status& status);

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_EXIT_CODE_H_
