// `muster node drain`, `muster node undrain` and `muster process move`.
//
// For cli.cc only; see commands.h.
#ifndef MUSTER_CLUSTER_CLI_DRAIN_COMMANDS_H_
#define MUSTER_CLUSTER_CLI_DRAIN_COMMANDS_H_

#include <string>

#include "absl/time/time.h"
#include "cluster/cli/commands.h"

namespace muster {

inline constexpr absl::Duration kDrainTimeoutDefault = absl::Seconds(60);

// Marks the node and waits until its children have moved. Exit code 9 with
// what is left if some cannot move or have not in time; asked again, it goes
// on. 10: it changes something and nobody has agreed.
CommandResult NodeDrain(const CliEnv& env, const GlobalFlags& flags,
                        const std::string& node, const Consent& consent);
CommandResult NodeUndrain(const CliEnv& env, const GlobalFlags& flags,
                          const std::string& node);
// `node` empty: wherever placement says.
CommandResult ProcessMove(const CliEnv& env, const GlobalFlags& flags,
                          const std::string& name, const std::string& node);

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_DRAIN_COMMANDS_H_
