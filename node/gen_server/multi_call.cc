#include "node/gen_server/multi_call.h"

#include "absl/strings/str_cat.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {

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
