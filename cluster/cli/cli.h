// The command line of a node binary: `muster NOUN VERB [TARGET] [flags]`.
//
// docs/cli.md is its manual. The outside world comes in through CliEnv, so
// that every command, message and exit code is tested without a network.
#ifndef MUSTER_CLUSTER_CLI_CLI_H_
#define MUSTER_CLUSTER_CLI_CLI_H_

#include <functional>
#include <istream>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/boot/run_node.h"
#include "cluster/cli/node_client.h"
#include "node/base/clock.h"
#include "node/gen_server/server_type.h"
#include "node/rpc/address.h"

namespace muster {

// All pointers outlive the call of RunCli.
struct CliEnv {
  std::istream* in = nullptr;
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  // Whether somebody watches `err`: shows progress.
  bool err_is_terminal = false;

  const Clock* clock = nullptr;
  std::function<void(absl::Duration)> sleep;
  // ConnectToNode of grpc_node_client.h.
  std::function<absl::StatusOr<std::unique_ptr<NodeClient>>(
      const std::vector<LoopbackAddress>& addresses, absl::Duration timeout)>
      connect;
  // RunNode of cluster/boot/run_node.h.
  std::function<absl::Status(
      const NodeConfig& config, std::vector<ServerTypeInfo> types,
      std::function<void(const std::string& address)> on_ready)>
      run_node;
  // RunSentinel of cluster/boot/sentinel.h, for this program: runs the node
  // that `arguments` describe and returns its exit code. Empty: this OS process
  // is the node.
  std::function<absl::StatusOr<int>(const NodeConfig& config)> run_sentinel;
  // Called before a command that a SIGINT should end with exit code 130; may
  // be empty. Nodes handle signals themselves.
  std::function<void()> exit_on_interrupt;
  // Version of the linked gRPC.
  std::string grpc_version;
  // YAML of the tree that `muster dev` runs; empty: none.
  std::string dev_manifest;
};

// Runs one command and returns its exit code (exit_code.h). Never throws.
int RunCli(int argc, const char* const* argv, std::vector<ServerTypeInfo> types,
           const CliEnv& env);

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_CLI_H_
