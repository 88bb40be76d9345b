// What commands that ask a node begin with: a connection, and the user's
// consent.
#ifndef MUSTER_CLUSTER_CLI_SESSION_H_
#define MUSTER_CLUSTER_CLI_SESSION_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/cli/cli.h"
#include "cluster/cli/commands.h"
#include "cluster/cli/node_client.h"
#include "node/base/clock.h"

namespace muster {

// A connection and the time that the command has left.
struct Session {
  std::unique_ptr<NodeClient> client;
  BootTime end;

  absl::Duration Left(const CliEnv& env) const;
};

// To the first node that answers, over TLS if the flags say so; starts the
// command's time, which is `default_timeout` unless --timeout is given.
absl::StatusOr<Session> OpenSession(
    const CliEnv& env, const GlobalFlags& flags,
    absl::Duration default_timeout = kTimeoutDefault);

// `plan` says what the command will do. Absent: go on. Else the command ends
// with this: OK for --dry-run, the plan on stdout; FAILED_PRECONDITION
// NEEDS_YES with exit code 10 if the user did not say yes, neither by flag nor
// on the terminal, the plan on stderr. `json`: the plan where output is JSON;
// empty: the object {"plan": plan}.
std::optional<CommandResult> AskFirst(const CliEnv& env,
                                      const GlobalFlags& flags,
                                      const Consent& consent,
                                      const std::string& plan,
                                      const std::string& json = "");

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_SESSION_H_
