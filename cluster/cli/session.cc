#include "cluster/cli/session.h"

#include <algorithm>
#include <istream>
#include <ostream>
#include <utility>

#include "cluster/cli/exit_code.h"
#include "nlohmann/json.hpp"
#include "node/types/status.h"

namespace muster {

absl::Duration Session::Left(const CliEnv& env) const {
  return std::max(end - env.clock->Boot(), absl::ZeroDuration());
}

absl::StatusOr<Session> OpenSession(const CliEnv& env, const GlobalFlags& flags,
                                    absl::Duration default_timeout) {
  const absl::Duration timeout = flags.timeout.value_or(default_timeout);
  Session session;
  session.end = env.clock->Boot() + timeout;
  const absl::Duration patience = std::min(timeout, kTimeoutDefault);
  absl::StatusOr<std::unique_ptr<NodeClient>> client =
      flags.tls_dir.empty()
          ? env.connect(flags.endpoints, patience)
          : env.connect_tls(flags.endpoints, flags.tls_dir, patience);
  if (!client.ok()) return client.status();
  session.client = *std::move(client);
  return session;
}

std::optional<CommandResult> AskFirst(const CliEnv& env,
                                      const GlobalFlags& flags,
                                      const Consent& consent,
                                      const std::string& plan,
                                      const std::string& json) {
  if (consent.dry_run) {
    if (!flags.json) {
      *env.out << plan << "\n";
    } else if (json.empty()) {
      *env.out << nlohmann::ordered_json{{"plan", plan}}.dump(2) << "\n";
    } else {
      *env.out << json;
    }
    return CommandResult();
  }
  if (consent.yes) return std::nullopt;
  *env.err << plan << "\n" << std::flush;
  if (env.err_is_terminal) {
    *env.err << "Go on? [y/N] " << std::flush;
    std::string answer;
    std::getline(*env.in, answer);
    if (answer == "y" || answer == "Y" || answer == "yes") return std::nullopt;
  }
  return CommandResult(Error(absl::StatusCode::kFailedPrecondition, "NEEDS_YES",
                             "nothing was done: this needs --yes")
                           .NotExecuted()
                           .status(),
                       kExitNeedsYes);
}

}  // namespace muster
