#include "node/process/message.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace muster {

bool CallSlot::MarkDispatched() {
  State expected = State::kQueued;
  return state_.compare_exchange_strong(expected, State::kDispatched,
                                        std::memory_order_acq_rel);
}

bool CallSlot::Complete(CallResult result) {
  if (state_.exchange(State::kDone, std::memory_order_acq_rel) ==
      State::kDone) {
    return false;
  }
  auto done = std::move(done_);
  done(std::move(result));
  return true;
}

bool CallSlot::Fail(Error error) {
  const State was = state_.exchange(State::kDone, std::memory_order_acq_rel);
  if (was == State::kDone) return false;
  if (was == State::kQueued) {
    error.NotExecuted();
  } else {
    error.Unknown();
  }
  auto done = std::move(done_);
  done(CallResult(error.status()));
  return true;
}

absl::Status internal::CheckTimeout(absl::Duration timeout) {
  if (timeout >= absl::ZeroDuration()) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "BAD_TIMEOUT",
               absl::StrCat("a timeout of ", absl::FormatDuration(timeout),
                            " is negative"))
      .NotExecuted();
}

bool SplitMethodPath(absl::string_view path, absl::string_view* service,
                     absl::string_view* method) {
  if (!path.empty() && path.front() == '/') path.remove_prefix(1);
  const size_t slash = path.find('/');
  if (slash == absl::string_view::npos || slash == 0 ||
      slash + 1 == path.size()) {
    return false;
  }
  *service = path.substr(0, slash);
  *method = path.substr(slash + 1);
  return method->find('/') == absl::string_view::npos;
}

}  // namespace muster
