#include "cluster/boot/restart_policy.h"

#include <string.h>
#include <sys/wait.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace muster {
namespace {

constexpr absl::Duration kDelayMin = absl::Milliseconds(100);
constexpr absl::Duration kDelayMax = absl::Seconds(10);
// A run this long was no crash loop.
constexpr absl::Duration kLivedWell = absl::Seconds(30);

}  // namespace

NodeEnd NodeEnd::FromWaitStatus(int status) {
  NodeEnd end;
  if (WIFSIGNALED(status)) {
    end.signal = WTERMSIG(status);
    end.core_dumped = WCOREDUMP(status);
  } else {
    end.code = WEXITSTATUS(status);
  }
  return end;
}

std::string NodeEnd::ToString() const {
  if (signal == 0) return absl::StrCat("exit code ", code);
  const char* const name = sigabbrev_np(signal);
  return absl::StrCat("killed by signal ", signal,
                      name == nullptr ? "" : absl::StrCat(" (", name, ")"),
                      core_dumped ? ", core dumped" : "");
}

Verdict RestartPolicy::Ended(const NodeEnd& end, absl::Duration lived,
                             bool told_to_stop) {
  Verdict verdict;
  const bool exited = end.signal == 0;
  if (told_to_stop || (exited && (end.code == 0 || !joined_))) {
    verdict.exit_code = end.ExitCode();
    return verdict;
  }
  verdict.restart = true;
  verdict.delay = NextDelay(lived);
  return verdict;
}

Verdict RestartPolicy::DidNotStart() {
  Verdict verdict;
  verdict.restart = true;
  verdict.delay = NextDelay(absl::ZeroDuration());
  return verdict;
}

absl::Duration RestartPolicy::NextDelay(absl::Duration lived) {
  delay_ = lived >= kLivedWell || delay_ == absl::ZeroDuration()
               ? kDelayMin
               : std::min(delay_ * 2, kDelayMax);
  return delay_ + random_->Jitter(delay_ / 4);
}

}  // namespace muster
