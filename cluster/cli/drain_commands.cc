#include "cluster/cli/drain_commands.h"

#include <algorithm>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cluster/cli/session.h"
#include "muster/admin/v1/admin.pb.h"
#include "nlohmann/json.hpp"
#include "node/types/names.h"
#include "node/types/pid.h"
#include "node/types/status.h"

namespace muster {
namespace {

using admin::v1::DrainItem;
using admin::v1::DrainNodeRequest;
using admin::v1::DrainNodeResponse;

constexpr absl::Duration kPollInterval = absl::Milliseconds(100);
constexpr absl::Duration kRequestTimeout = absl::Seconds(5);
// Of those that cannot move, in an error.
constexpr int kNamesShown = 3;
// What is left of the command's time may be too short for an answer.
constexpr absl::Duration kRequestTimeoutMin = absl::Seconds(1);

absl::Duration Left(const CliEnv& env, const Session& session) {
  return std::min(session.Left(env), kRequestTimeout);
}

size_t CountMovable(const DrainNodeResponse& response) {
  return static_cast<size_t>(
      std::count_if(response.left().begin(), response.left().end(),
                    [](const DrainItem& item) { return item.movable(); }));
}

std::string ItemLine(const DrainItem& item) {
  return absl::StrCat("  ", item.name(), item.detail().empty() ? "" : ": ",
                      item.detail(), "\n");
}

// Such as "'mine': pinned to node 'a', which is draining", of a few of those
// that stay.
std::string WhoStays(const DrainNodeResponse& response) {
  std::string text;
  int shown = 0;
  for (const DrainItem& item : response.left()) {
    if (item.movable()) continue;
    if (++shown > kNamesShown) {
      absl::StrAppend(&text, "; and others");
      break;
    }
    absl::StrAppend(&text, shown == 1 ? "" : "; ", "'", item.name(),
                    "': ", item.detail());
  }
  return text;
}

std::string Names(size_t count) {
  return absl::StrCat(count, count == 1 ? " name" : " names");
}

// What the drain would do; nothing on stdout.
std::string Plan(const std::string& node, const DrainNodeResponse& response) {
  const size_t movable = CountMovable(response);
  const size_t others = static_cast<size_t>(response.left_size()) - movable;
  std::string text = absl::StrCat(
      "node ", node, " gets nothing new, and ", Names(movable),
      movable == 1 ? " moves away" : " move away", movable == 0 ? "\n" : ":\n");
  for (const DrainItem& item : response.left()) {
    if (item.movable()) absl::StrAppend(&text, "  ", item.name(), "\n");
  }
  if (others > 0) {
    absl::StrAppend(&text, Names(others),
                    others == 1 ? " stays, because nobody can move it:\n"
                                : " stay, because nobody can move them:\n");
    for (const DrainItem& item : response.left()) {
      if (!item.movable()) absl::StrAppend(&text, ItemLine(item));
    }
  }
  text.pop_back();  // The last end of line.
  return text;
}

nlohmann::ordered_json ItemsJson(const DrainNodeResponse& response) {
  nlohmann::ordered_json items = nlohmann::ordered_json::array();
  for (const DrainItem& item : response.left()) {
    items.push_back({{"name", item.name()},
                     {"detail", item.detail()},
                     {"movable", item.movable()}});
  }
  return items;
}

}  // namespace

CommandResult NodeDrain(const CliEnv& env, const GlobalFlags& flags,
                        const std::string& node, const Consent& consent) {
  absl::Status valid = ValidateNodeName(node);
  if (!valid.ok()) return valid;
  absl::StatusOr<Session> session =
      OpenSession(env, flags, kDrainTimeoutDefault);
  if (!session.ok()) return session.status();
  DrainNodeRequest request;
  request.set_node(node);
  request.set_dry_run(true);
  absl::StatusOr<DrainNodeResponse> left =
      session->client->DrainNode(request, Left(env, *session));
  if (!left.ok()) return left.status();
  const nlohmann::ordered_json plan = {{"node", node},
                                       {"left", ItemsJson(*left)}};
  if (std::optional<CommandResult> ends = AskFirst(
          env, flags, consent, Plan(node, *left), plan.dump(2) + "\n")) {
    return *ends;
  }

  // By name, since others may come while it begins to drain.
  std::map<std::string, bool> seen;
  for (const DrainItem& item : left->left()) seen[item.name()] = true;
  request.set_dry_run(false);
  bool asked = false;  // It drains.
  absl::Status failure;
  std::string told;  // The progress that was shown last.
  while (true) {
    absl::StatusOr<DrainNodeResponse> answer = session->client->DrainNode(
        request, std::max(Left(env, *session), kRequestTimeoutMin));
    if (answer.ok()) {
      asked = true;
      left = *std::move(answer);
      for (const DrainItem& item : left->left()) seen[item.name()] = true;
      const size_t movable = CountMovable(*left);
      std::string progress = absl::StrCat(
          "moved ", seen.size() - left->left_size(), ", left ", movable, "\n");
      if (env.err_is_terminal && progress != told) {
        *env.err << progress << std::flush;
        told = std::move(progress);
      }
      if (movable == 0) break;
    } else if (asked && absl::IsNotFound(answer.status())) {
      left = DrainNodeResponse();  // It has left the cluster meanwhile.
      break;
    } else if (absl::IsUnavailable(answer.status()) ||
               absl::IsDeadlineExceeded(answer.status()) ||
               absl::IsAborted(answer.status())) {
      // Once it may have been asked to drain, no later failure says that it
      // was not.
      if (failure.ok() || OutcomeOf(failure) == Outcome::kNotExecuted) {
        failure = answer.status();
      }
    } else {
      return answer.status();
    }
    if (env.clock->Boot() >= session->end) break;
    env.sleep(kPollInterval);
  }
  if (!asked) return failure;

  std::vector<std::string> moved;
  for (const auto& [name, unused] : seen) {
    const bool stays = std::any_of(
        left->left().begin(), left->left().end(),
        [&name = name](const DrainItem& item) { return item.name() == name; });
    if (!stays) moved.push_back(name);
  }
  if (flags.json) {
    nlohmann::ordered_json json = {
        {"node", node}, {"moved", moved}, {"left", ItemsJson(*left)}};
    *env.out << json.dump(2) << "\n";
  } else {
    *env.out << "moved " << moved.size() << ", left " << left->left_size()
             << "\n";
    for (const DrainItem& item : left->left()) *env.out << ItemLine(item);
  }
  if (left->left_size() == 0) return {};
  std::string text = absl::StrCat(Names(static_cast<size_t>(left->left_size())),
                                  left->left_size() == 1 ? " is" : " are",
                                  " still on node ", node);
  if (CountMovable(*left) == 0) {
    absl::StrAppend(&text, ", since nobody can move ",
                    left->left_size() == 1 ? "it" : "them", " (",
                    WhoStays(*left),
                    "). It stays draining: end it, and what stays ends with "
                    "it, or `muster node undrain ",
                    node, "`");
  } else {
    absl::StrAppend(&text,
                    "; it stays draining: ask again to go on, or "
                    "`muster node undrain ",
                    node, "`");
  }
  return CommandResult(
      Error(absl::StatusCode::kFailedPrecondition, "PARTIAL", text).status(),
      kExitPartial);
}

CommandResult NodeUndrain(const CliEnv& env, const GlobalFlags& flags,
                          const std::string& node) {
  absl::Status valid = ValidateNodeName(node);
  if (!valid.ok()) return valid;
  absl::StatusOr<Session> session = OpenSession(env, flags);
  if (!session.ok()) return session.status();
  admin::v1::UndrainNodeRequest request;
  request.set_node(node);
  const auto response =
      session->client->UndrainNode(request, Left(env, *session));
  if (!response.ok()) return response.status();
  *env.out << (flags.json
                   ? "{}\n"
                   : absl::StrCat("node ", node, " takes children again\n"));
  return {};
}

CommandResult ProcessMove(const CliEnv& env, const GlobalFlags& flags,
                          const std::string& name, const std::string& node) {
  absl::Status valid = ValidateName(name);
  if (valid.ok() && !node.empty()) valid = ValidateNodeName(node);
  if (!valid.ok()) return valid;
  absl::StatusOr<Session> session = OpenSession(env, flags, absl::Seconds(15));
  if (!session.ok()) return session.status();
  admin::v1::ChangeChildRequest request;
  request.set_name(name);
  request.set_change(cluster::v1::ChangeChildRequest::MOVE);
  request.set_to_node(node);
  const auto response =
      session->client->ChangeChild(request, session->Left(env));
  if (!response.ok()) return response.status();
  const std::string pid = Pid::FromProto(response->pid()).ToString();
  if (flags.json) {
    nlohmann::ordered_json json = {{"name", name},
                                   {"node", response->node()},
                                   {"pid", pid},
                                   {"with_state", response->with_state()}};
    *env.out << json.dump(2) << "\n";
  } else {
    *env.out << name << " runs on node " << response->node() << " as " << pid
             << (response->with_state() ? ", with its state\n"
                                        : ", started anew\n");
  }
  return {};
}

}  // namespace muster
