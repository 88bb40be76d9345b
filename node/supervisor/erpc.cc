#include "node/supervisor/erpc.h"

#include <cstdint>
#include <limits>

#include "absl/strings/str_cat.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster::erpc {

absl::Duration TimeoutMax() {
  return absl::Milliseconds(int64_t{std::numeric_limits<uint32_t>::max()});
}

namespace internal {

absl::Status Check(absl::string_view node, absl::string_view task,
                   absl::Duration timeout) {
  if (!ValidateNodeName(node).ok()) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_NODE",
                 absl::StrCat(LogSafe(node), " cannot be a node's name"))
        .NotExecuted();
  }
  if (task.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_TASK",
                 "a task type has a name")
        .NotExecuted();
  }
  if (timeout < absl::ZeroDuration() ||
      (timeout > TimeoutMax() && timeout != absl::InfiniteDuration())) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_TIMEOUT",
                 absl::StrCat("a timeout of ", absl::FormatDuration(timeout),
                              ": it is infinite, or from 0 to 2^32 - 1 ms"))
        .NotExecuted();
  }
  return absl::OkStatus();
}

CallOptions Options(absl::string_view task, absl::Duration timeout) {
  CallOptions options;
  options.timeout = timeout;
  options.metadata.emplace_back(RemoteTasks::kTaskKey, task);
  return options;
}

}  // namespace internal
}  // namespace muster::erpc
