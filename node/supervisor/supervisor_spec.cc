#include "node/supervisor/supervisor_spec.h"

#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "node/types/status.h"

namespace muster {
namespace {

Error BadFlag(absl::string_view text) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_SUPERVISOR_SPEC", text)
      .NotExecuted();
}

Error BadChild(absl::string_view text) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_CHILD_SPEC", text)
      .NotExecuted();
}

}  // namespace

absl::Status CheckChildOf(AutoShutdown auto_shutdown, const ChildSpec& spec) {
  if (absl::Status checked = CheckChildSpec(spec); !checked.ok()) {
    return checked;
  }
  if (spec.significant && auto_shutdown == AutoShutdown::kNever) {
    return BadChild(absl::StrCat("child '", spec.id,
                                 "' is significant, but the supervisor's "
                                 "auto_shutdown is never"));
  }
  return absl::OkStatus();
}

absl::Status CheckSupervisorSpec(const SupervisorSpec& spec) {
  if (spec.strategy != Strategy::kOneForOne &&
      spec.strategy != Strategy::kOneForAll &&
      spec.strategy != Strategy::kRestForOne) {
    return BadFlag(
        "the strategy is unknown: one_for_one, one_for_all or rest_for_one");
  }
  if (spec.auto_shutdown != AutoShutdown::kNever &&
      spec.auto_shutdown != AutoShutdown::kAnySignificant &&
      spec.auto_shutdown != AutoShutdown::kAllSignificant) {
    return BadFlag(
        "auto_shutdown is unknown: never, any_significant or all_significant");
  }
  if (spec.period <= absl::ZeroDuration() ||
      spec.period == absl::InfiniteDuration()) {
    return BadFlag(absl::StrCat("period is ", absl::FormatDuration(spec.period),
                                ": it must be positive and finite"));
  }
  absl::flat_hash_set<absl::string_view> ids;
  for (const ChildSpec& child : spec.children) {
    absl::Status checked = CheckChildOf(spec.auto_shutdown, child);
    if (!checked.ok()) return checked;
    if (!ids.insert(child.id).second) {
      return BadChild(absl::StrCat("two children have the id '", child.id,
                                   "': ids are unique"));
    }
  }
  return absl::OkStatus();
}

}  // namespace muster
