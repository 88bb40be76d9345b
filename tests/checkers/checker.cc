#include "tests/checkers/checker.h"

#include <map>

#include "absl/strings/str_cat.h"

namespace muster {
namespace {

constexpr size_t kViolationsMax = 20;

}  // namespace

void Verdict::Violate(absl::string_view what) {
  if (violations.size() < kViolationsMax) {
    violations.push_back(absl::StrCat(guarantee, " ", title, ": ", what));
  }
}

std::vector<Verdict> CheckAll(const History& history,
                              const CheckOptions& options) {
  using Checker = Verdict (*)(const History&, const CheckOptions&);
  constexpr Checker kCheckers[] = {
      CheckOneOwner,  CheckEpochsGrow, CheckFence,    CheckRegistry,
      CheckNeverBack, CheckAtMostOnce, CheckOutcomes, CheckAcknowledged,
      CheckPairOrder, CheckMonitors,   CheckChildren, CheckIntensity,
      CheckFreeze,    CheckLimits,     CheckAccess,
  };
  std::vector<Verdict> verdicts;
  for (const Checker checker : kCheckers) {
    verdicts.push_back(checker(history, options));
  }
  return verdicts;
}

std::vector<std::pair<std::string, int>> Summarize(const History& history) {
  std::map<std::string, int> counts;
  for (const HistoryEvent& event : history) {
    switch (event.kind) {
      case EventKind::kOk:
        ++counts["answer OK"];
        break;
      case EventKind::kError:
        ++counts[absl::StrCat("answer ", event.outcome, " ", event.reason)];
        break;
      case EventKind::kFault:
        ++counts[absl::StrCat("fault ", event.op)];
        break;
      case EventKind::kReap:
        ++counts[absl::StrCat("reap ", event.op)];
        break;
      case EventKind::kClaim:
      case EventKind::kDown:
      case EventKind::kBreak:
      case EventKind::kRefused:
      case EventKind::kRestart:
        ++counts[std::string(KindName(event.kind))];
        break;
      default:
        break;
    }
  }
  return {counts.begin(), counts.end()};
}

}  // namespace muster
