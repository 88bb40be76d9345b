#include "cluster/cli/main.h"

#include <unistd.h>

#include <csignal>
#include <iostream>
#include <utility>

#include "absl/time/clock.h"
#include "cluster/boot/run_node.h"
#include "cluster/cli/cli.h"
#include "cluster/cli/exit_code.h"
#include "cluster/cli/grpc_node_client.h"
#include "node/base/clock.h"

namespace muster {
namespace {

void ExitOnInterrupt() {
  std::signal(SIGINT, [](int) { _exit(kExitInterrupted); });
}

}  // namespace

int Main(int argc, char** argv, std::vector<ServerTypeInfo> types) {
  return Main(argc, argv, std::move(types), MainOptions());
}

int Main(int argc, char** argv, std::vector<ServerTypeInfo> types,
         const MainOptions& options) {
  const SystemClock clock;
  CliEnv env;
  env.in = &std::cin;
  env.out = &std::cout;
  env.err = &std::cerr;
  env.err_is_terminal = isatty(STDERR_FILENO) == 1;
  env.clock = &clock;
  env.sleep = [](absl::Duration d) { absl::SleepFor(d); };
  env.connect = ConnectToNode;
  env.run_node = RunNode;
  env.exit_on_interrupt = ExitOnInterrupt;
  env.grpc_version = GrpcVersion();
  env.dev_manifest = options.dev_manifest;
  return RunCli(argc, argv, std::move(types), env);
}

}  // namespace muster
