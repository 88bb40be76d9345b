#include "cluster/cli/main.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "cluster/boot/run_node.h"
#include "cluster/boot/sentinel.h"
#include "cluster/boot/sentinel_link.h"
#include "cluster/cli/cli.h"
#include "cluster/cli/exit_code.h"
#include "cluster/cli/grpc_node_client.h"
#include "node/base/clock.h"

namespace muster {
namespace {

void ExitOnInterrupt() {
  std::signal(SIGINT, [](int) { _exit(kExitInterrupted); });
}

// Takes the places of closed standard streams, so that no socket gets one and
// receives our output. Reading stdin and writing the others still fails.
void FillStandardStreams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) != -1) continue;
    // The lowest free descriptor, which is `fd`.
    if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) {
      _exit(kExitInternal);
    }
  }
}

}  // namespace

int Main(int argc, char** argv, std::vector<ServerTypeInfo> types) {
  return Main(argc, argv, std::move(types), MainOptions());
}

int Main(int argc, char** argv, std::vector<ServerTypeInfo> types,
         LocalParts local) {
  MainOptions options;
  options.local = std::move(local);
  return Main(argc, argv, std::move(types), options);
}

int Main(int argc, char** argv, std::vector<ServerTypeInfo> types,
         const MainOptions& options) {
  // First of all: it may end this OS process.
  const std::unique_ptr<SentinelLink> sentinel =
      SentinelLink::FromEnvironment();
  // What gRPC would log comes back as a Status, and stderr is read by scripts.
  // Whoever wants it sets GRPC_VERBOSITY.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  FillStandardStreams();
  const SystemClock clock;
  CliEnv env;
  env.in = &std::cin;
  env.out = &std::cout;
  env.err = &std::cerr;
  env.err_is_terminal = isatty(STDERR_FILENO) == 1;
  env.clock = &clock;
  env.sleep = [](absl::Duration d) { absl::SleepFor(d); };
  env.connect = ConnectToNode;
  env.run_node = [&options, &sentinel](
                     const NodeConfig& config,
                     std::vector<ServerTypeInfo> hosted,
                     std::function<void(const std::string&)> on_ready) {
    NodeConfig whole = config;
    whole.local = options.local;
    whole.sentinel = sentinel.get();
    return RunNode(whole, std::move(hosted), std::move(on_ready));
  };
  if (sentinel == nullptr) {
    env.run_sentinel = [argc, argv](const NodeConfig& config) {
      SentinelConfig whole;
      whole.cluster = config.cluster;
      whole.node = config.name;
      whole.store = config.store;
      whole.arguments.assign(argv, argv + argc);
      return RunSentinel(whole);
    };
  }
  env.exit_on_interrupt = ExitOnInterrupt;
  env.grpc_version = GrpcVersion();
  env.dev_manifest = options.dev_manifest;
  return RunCli(argc, argv, std::move(types), env);
}

}  // namespace muster
