// Words that people type: durations, and what they meant to type.
//
// For manifests and the command line. Pure functions, any thread.
#ifndef MUSTER_CLUSTER_CLI_WORDS_H_
#define MUSTER_CLUSTER_CLI_WORDS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace muster {

// Longest duration that a person may write.
inline constexpr absl::Duration kWrittenDurationMax = absl::Hours(24);

// Reads a whole number and a unit of ms, s, m, h: "5s", "500ms". 1 ms to 24 h.
// INVALID_ARGUMENT otherwise; the message begins with the input and says what
// would be right.
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);

// The duration as ParseDuration reads it, in the largest unit that is exact:
// "5s", "90s", "1500ms". Parts below a millisecond are dropped.
std::string DurationText(absl::Duration d);

// The candidate that is few keystrokes from `word`, else one that begins with
// it, or "".
std::string Nearest(absl::string_view word,
                    const std::vector<std::string>& candidates);

// `; did you mean "x"?`, or "" if nothing is near.
std::string DidYouMean(absl::string_view word,
                       const std::vector<std::string>& candidates);

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_WORDS_H_
