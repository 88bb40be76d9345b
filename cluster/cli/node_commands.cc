// `muster node get`, `remove` and `raise-generation`.
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cluster/cli/commands.h"
#include "cluster/cli/format.h"
#include "cluster/cli/session.h"
#include "cluster/cli/words.h"
#include "muster/admin/v1/admin.pb.h"
#include "node/types/names.h"
#include "node/types/pid.h"
#include "node/types/proto_time.h"
#include "node/types/status.h"

namespace muster {

absl::StatusOr<admin::v1::Node> ClientCommands::FindNode(
    const std::string& node) {
  if (absl::Status valid = ValidateNodeName(node); !valid.ok()) return valid;
  const auto nodes = client_->ListNodes({}, Left());
  if (!nodes.ok()) return nodes.status();
  for (const admin::v1::Node& one : nodes->nodes()) {
    if (one.name() == node) return one;
  }
  return Error(absl::StatusCode::kNotFound, "NO_NODE",
               absl::StrCat("no node is called ", LogSafe(node),
                            ": `muster node list` shows them"))
      .NotExecuted()
      .status();
}

CommandResult ClientCommands::NodeGet(const std::string& node) {
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  const absl::StatusOr<admin::v1::Node> found = FindNode(node);
  if (!found.ok()) return found.status();
  *env_.out << (flags_.json ? ToJson(*found) : NodePage(*found));
  return {};
}

CommandResult ClientCommands::NodeRemove(const std::string& node,
                                         const Consent& consent) {
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  const absl::StatusOr<admin::v1::Node> found = FindNode(node);
  if (!found.ok()) return found.status();
  const std::string plan = absl::StrCat(
      "removing node '", node, "' (", found->state(), ", epoch ",
      Epoch::FromProto(found->epoch()).ToString(),
      "): its membership ends, whether it is alive or not, and its ",
      found->children(),
      found->children() == 1 ? " child starts" : " children start",
      " elsewhere once it certainly cannot act any more");
  if (std::optional<CommandResult> ends =
          AskFirst(env_, flags_, consent, plan)) {
    return *ends;
  }
  admin::v1::RemoveNodeRequest request;
  request.set_node(node);
  request.set_confirm(node);
  const auto response = client_->RemoveNode(request, Left());
  if (!response.ok()) return response.status();
  if (flags_.json) {
    *env_.out << ToJson(*response);
  } else {
    *env_.out << "removed; its " << response->names_size()
              << (response->names_size() == 1 ? " name is" : " names are")
              << " free in "
              << DurationText(FromProtoDuration(response->grave())) << "\n";
  }
  return {};
}

CommandResult ClientCommands::RaiseGeneration(const std::string& confirm) {
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  admin::v1::RaiseGenerationRequest request;
  request.set_confirm(confirm);
  const auto response = client_->RaiseGeneration(request, Left());
  if (!response.ok()) return response.status();
  if (flags_.json) {
    *env_.out << ToJson(*response);
  } else {
    *env_.out << "generation " << response->generation()
              << "; every node joins anew\n";
  }
  return {};
}

}  // namespace muster
