// G14, G15: limits, and who may come in.
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/checkers/checker.h"

namespace muster {

Verdict CheckLimits(const History& history, const CheckOptions&) {
  Verdict verdict{"G14", "everything is bounded", {}, 0};
  for (const HistoryEvent& event : history) {
    if (event.kind != EventKind::kMeasure) continue;
    ++verdict.looked_at;
    if (event.value > event.limit) {
      verdict.Violate(absl::StrCat(event.key, " was ", event.value,
                                   ", its limit is ", event.limit));
    }
  }
  return verdict;
}

Verdict CheckAccess(const History& history, const CheckOptions&) {
  Verdict verdict{"G15", "closed by default", {}, 0};
  for (const HistoryEvent& event : history) {
    if (event.kind != EventKind::kAccess) continue;
    ++verdict.looked_at;
    if (event.value != event.limit) {
      verdict.Violate(absl::StrCat(
          event.op, " was ", event.value != 0 ? "served to " : "refused to ",
          event.session.empty() ? "nobody in particular" : event.session));
    }
  }
  return verdict;
}

}  // namespace muster
