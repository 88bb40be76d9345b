// Limits of a tree, and refusals that several of its parts make.
#ifndef MUSTER_CLUSTER_SUPERVISOR_LIMITS_H_
#define MUSTER_CLUSTER_SUPERVISOR_LIMITS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "node/types/status.h"

namespace muster {

inline constexpr uint32_t kRecordSchema = 1;
inline constexpr int kChildrenMax = 10'000;
inline constexpr uint32_t kIntensityMax = 1'000'000;

inline absl::Status StillReading() {
  return Error(absl::StatusCode::kUnavailable, "RESTARTING",
               "the supervisor is still reading its records")
      .NotExecuted();
}

inline absl::Status GaveUp(absl::string_view supervisor,
                           absl::string_view why) {
  return Error(absl::StatusCode::kFailedPrecondition, "SUPERVISOR_FAILED",
               absl::StrCat("supervisor '", supervisor, "' has given up: ", why,
                            "; apply it again"))
      .NotExecuted();
}

inline absl::Status NameTaken(absl::string_view name, absl::string_view by) {
  return Error(absl::StatusCode::kAlreadyExists, "NAME_TAKEN",
               absl::StrCat("the name '", name, "' is taken by ", by,
                            ": names are cluster-wide; give the child "
                            "another `name`"))
      .With("name", name)
      .NotExecuted();
}

}  // namespace muster

#endif  // MUSTER_CLUSTER_SUPERVISOR_LIMITS_H_
