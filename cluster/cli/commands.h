// What each command does, once its arguments are read.
//
// For cli.cc only. Each function prints its result to env.out and returns what
// went wrong; what it returns is reported by the caller.
#ifndef MUSTER_CLUSTER_CLI_COMMANDS_H_
#define MUSTER_CLUSTER_CLI_COMMANDS_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/cli/cli.h"
#include "cluster/cli/exit_code.h"
#include "cluster/cli/node_client.h"
#include "google/protobuf/message.h"
#include "muster/admin/v1/admin.pb.h"
#include "node/gen_server/server_type.h"
#include "node/rpc/address.h"
#include "node/types/server_ref.h"

namespace muster {

// OK, an error with the exit code that follows from it, or one with an exit
// code of its own.
struct CommandResult {
  CommandResult() = default;
  CommandResult(absl::Status s)  // NOLINT: `return status;`
      : status(std::move(s)), exit_code(ExitCodeOf(status)) {}
  CommandResult(absl::Status s, ExitCode code)
      : status(std::move(s)), exit_code(code) {}

  absl::Status status;
  ExitCode exit_code = kExitOk;
  // Partly done: the nodes that did not answer.
  std::vector<std::string> unreachable;
};

// The global flags.
struct GlobalFlags {
  std::vector<LoopbackAddress> endpoints;
  bool json = false;
  // Absent: each command's default.
  std::optional<absl::Duration> timeout;
};

// A name or pid that a person typed.
absl::StatusOr<ServerRef> ParseTarget(const std::string& target);

inline constexpr absl::Duration kTimeoutDefault = absl::Seconds(5);
inline constexpr absl::Duration kWaitTimeoutDefault = absl::Seconds(30);

// What the user said beforehand to a command that destroys something.
struct Consent {
  bool yes = false;
  bool dry_run = false;
};
// Commands that ask a node.
class ClientCommands {
 public:
  ClientCommands(const CliEnv& env, const GlobalFlags& flags)
      : env_(env), flags_(flags) {}

  CommandResult Status();
  CommandResult Tree();
  CommandResult NodeList();
  // `node` empty: all.
  CommandResult ProcessList(const std::string& node, bool system);
  CommandResult ProcessGet(const std::string& target);
  // Waits until it is gone. `reason`: "normal" (also if empty), "shutdown", or
  // one of the user's own.
  CommandResult ProcessStop(const std::string& target,
                            const std::string& reason);
  // Prints its events for `span` ("10s").
  CommandResult ProcessTrace(const std::string& target,
                             const std::string& span);
  CommandResult NameList(const std::string& prefix, bool system);
  CommandResult WhereIs(const std::string& name);
  // `json` "-": from stdin.
  CommandResult Call(const std::string& target, const std::string& method,
                     const std::string& json);
  CommandResult Cast(const std::string& target, const std::string& method,
                     const std::string& json);
  // Exit code 8 if `name` does not run in time.
  CommandResult Wait(const std::string& name);
  // `file` "-": stdin. Waits until all children run unless `no_wait`.
  CommandResult Apply(const std::string& file, bool no_wait);
  CommandResult NodeGet(const std::string& node);
  // Ends the membership of a node that may be alive.
  CommandResult NodeRemove(const std::string& node, const Consent& consent);
  // After a restore of the store. `confirm`: the cluster's name.
  CommandResult RaiseGeneration(const std::string& confirm);
  CommandResult EventList(const admin::v1::ListEventsRequest& request);
  // Until the node ends or nobody reads.
  CommandResult EventTail(const admin::v1::ListEventsRequest& request);
  CommandResult NameHistory(const admin::v1::ListEventsRequest& request);
  CommandResult Explain(const std::string& name);

 private:
  // Starts the command's time and connects.
  absl::Status Connect(absl::Duration default_timeout);
  absl::Duration Left() const;
  // A system request (proto/muster/sys/v1/sys.proto).
  absl::Status AskProcess(const ServerRef& server, const std::string& method,
                          const google::protobuf::Message& request,
                          google::protobuf::Message* response);
  absl::StatusOr<std::string> ReadInput(const std::string& path,
                                        size_t bytes_max) const;
  CommandResult Send(const std::string& target, const std::string& method,
                     const std::string& json, bool cast);
  // OK if it runs, UNAVAILABLE NOT_RUNNING if not yet, or what else is wrong.
  absl::Status CheckRuns(const std::string& name,
                         process::v1::WhereIsResponse* where);
  absl::Status WaitForTree(const cluster::v1::Manifest& manifest);
  void Progress(const std::string& text);
  absl::StatusOr<admin::v1::Node> FindNode(const std::string& node);

  const CliEnv& env_;
  const GlobalFlags& flags_;
  std::unique_ptr<NodeClient> client_;
  BootTime end_;
  std::string progress_;
};

// Commands that are a node. They return when it has left.
// With `sentinel` NodeStart is the parent of one, if `env` knows how.
CommandResult NodeStart(const CliEnv& env, const NodeConfig& config,
                        bool sentinel, std::vector<ServerTypeInfo> types);
CommandResult Dev(const CliEnv& env, const std::string& listen,
                  std::vector<ServerTypeInfo> types);

CommandResult Version(const CliEnv& env, bool json);

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_COMMANDS_H_
