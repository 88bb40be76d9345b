// `muster supervisor ...`: trees of the cluster, and their children one at a
// time.
#ifndef MUSTER_CLUSTER_CLI_SUPERVISOR_COMMANDS_H_
#define MUSTER_CLUSTER_CLI_SUPERVISOR_COMMANDS_H_

#include <string>

#include "cluster/cli/cli.h"
#include "cluster/cli/commands.h"

namespace muster {

// What the command line says about one child.
struct SupervisorFlags {
  std::string supervisor;
  std::string child;
  // start-child: a file with the child, or what it says in flags.
  std::string file;
  std::string name;
  std::string type;
  // JSON; "-" reads stdin.
  std::string options;
  std::string restart;
  // terminate-child and delete-child.
  Consent consent;
};

CommandResult SupervisorList(const CliEnv& env, const GlobalFlags& flags);
// `supervisor` empty: all.
CommandResult SupervisorTree(const CliEnv& env, const GlobalFlags& flags,
                             const std::string& supervisor);
CommandResult SupervisorGet(const CliEnv& env, const GlobalFlags& flags,
                            const std::string& supervisor);
CommandResult SupervisorStartChild(const CliEnv& env, const GlobalFlags& flags,
                                   const SupervisorFlags& child);
CommandResult SupervisorTerminateChild(const CliEnv& env,
                                       const GlobalFlags& flags,
                                       const SupervisorFlags& child);
CommandResult SupervisorRestartChild(const CliEnv& env,
                                     const GlobalFlags& flags,
                                     const SupervisorFlags& child);
CommandResult SupervisorDeleteChild(const CliEnv& env, const GlobalFlags& flags,
                                    const SupervisorFlags& child);

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_SUPERVISOR_COMMANDS_H_
