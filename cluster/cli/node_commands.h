// What a command that destroys something says and asks before it acts.
#ifndef MUSTER_CLUSTER_CLI_NODE_COMMANDS_H_
#define MUSTER_CLUSTER_CLI_NODE_COMMANDS_H_

#include <optional>
#include <string>

#include "cluster/cli/cli.h"
#include "cluster/cli/commands.h"

namespace muster {

// Prints `plan` to stderr. Absent: go on. Else the command ends with this: OK
// for --dry-run, FAILED_PRECONDITION NEEDS_YES with exit code 10 if the user
// did not say yes, neither by flag nor on the terminal.
std::optional<CommandResult> AskFirst(const CliEnv& env, const Consent& consent,
                                      const std::string& plan);

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_NODE_COMMANDS_H_
