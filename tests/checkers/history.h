// History: the events of one run, in the order of their clock.
#ifndef MUSTER_TESTS_CHECKERS_HISTORY_H_
#define MUSTER_TESTS_CHECKERS_HISTORY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tests/checkers/event.h"

namespace muster {

// Events whose clock says the same keep the order in which they were given:
// within one recorder that is the order in which they happened.
using History = std::vector<HistoryEvent>;

// Merges what several recorders of one host noted. Each line is one event;
// empty ones are skipped, and so is a last one without its end, which a killed
// recorder leaves. INVALID_ARGUMENT names file and line.
absl::StatusOr<History> ReadHistories(const std::vector<std::string>& files);
absl::Status WriteHistory(const History& history, const std::string& file);

// Sorts by time, stably.
void SortHistory(History* history);

}  // namespace muster

#endif  // MUSTER_TESTS_CHECKERS_HISTORY_H_
