#include "node/gen_server/multi_call.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {

std::vector<std::string> AllNodes(Context& self) {
  std::vector<std::string> nodes = self.Nodes();
  nodes.insert(std::upper_bound(nodes.begin(), nodes.end(), self.node()),
               self.node());
  return nodes;
}

absl::Status internal::CheckNodes(const std::vector<std::string>& nodes) {
  for (const std::string& node : nodes) {
    if (ValidateNodeName(node).ok()) continue;
    return Error(absl::StatusCode::kInvalidArgument, "BAD_NODE",
                 absl::StrCat(LogSafe(node), " cannot be a node's name"))
        .NotExecuted();
  }
  return absl::OkStatus();
}

}  // namespace muster
