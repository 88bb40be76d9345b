// G6, G7: what clients were told against what ran.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/checkers/checker.h"

namespace muster {
namespace {

std::string Text(Epoch epoch) {
  return absl::StrCat(epoch.generation, ".", epoch.revision);
}

// The operations that a handler of a server carries out.
bool IsHandled(const HistoryEvent& invoke) {
  return invoke.op == "call" || invoke.op == "add" || invoke.op == "get" ||
         invoke.op == "put";
}

}  // namespace

Verdict CheckAtMostOnce(const History& history, const CheckOptions&) {
  Verdict verdict{"G6", "at most once", {}, 0};
  std::map<std::string, std::vector<const HistoryEvent*>> runs;
  for (const HistoryEvent& event : history) {
    if (event.kind != EventKind::kBegin || event.call.empty()) continue;
    ++verdict.looked_at;
    runs[event.call].push_back(&event);
  }
  for (const auto& [call, list] : runs) {
    if (list.size() == 1) continue;
    std::string where;
    for (const HistoryEvent* run : list) {
      absl::StrAppend(&where, " ", run->node, " under ", Text(run->epoch), ";");
    }
    verdict.Violate(absl::StrCat("call ", call, " of '", list[0]->name,
                                 "' ran ", list.size(), " times:", where));
  }
  return verdict;
}

Verdict CheckOutcomes(const History& history, const CheckOptions& options) {
  Verdict verdict{"G7", "honest outcomes", {}, 0};
  struct Call {
    const HistoryEvent* invoke = nullptr;
    const HistoryEvent* answer = nullptr;
    bool abandoned = false;
  };
  std::map<std::string, Call> calls;
  std::map<std::string, std::vector<std::string>> by_session;
  std::map<std::string, const HistoryEvent*> runs;
  bool ended = false;
  for (const HistoryEvent& event : history) {
    switch (event.kind) {
      case EventKind::kInvoke:
        calls[event.call].invoke = &event;
        by_session[event.session].push_back(event.call);
        break;
      case EventKind::kOk:
      case EventKind::kError: {
        Call& call = calls[event.call];
        if (call.answer != nullptr) {
          verdict.Violate(absl::StrCat("call ", event.call, " ended twice"));
        }
        call.answer = &event;
        break;
      }
      case EventKind::kGone:
        for (const std::string& call : by_session[event.session]) {
          calls[call].abandoned = true;
        }
        break;
      case EventKind::kBegin:
        runs.emplace(event.call, &event);
        break;
      case EventKind::kPhase:
        ended = ended || event.op == "end";
        break;
      default:
        break;
    }
  }
  uint64_t unknown = 0;
  for (const auto& [id, call] : calls) {
    if (call.invoke == nullptr) {
      verdict.Violate(absl::StrCat("call ", id, " ended and was never made"));
      continue;
    }
    const std::string which =
        absl::StrCat("call ", id, " of '", call.invoke->name, "' through ",
                     call.invoke->session);
    if (call.answer == nullptr) {
      if (ended && !call.abandoned) {
        verdict.Violate(absl::StrCat(which, " never ended"));
      }
      continue;
    }
    ++verdict.looked_at;
    const HistoryEvent& answer = *call.answer;
    const bool failed = answer.kind == EventKind::kError;
    if (failed && answer.outcome == "UNKNOWN") ++unknown;
    if (failed && answer.outcome.empty()) {
      verdict.Violate(
          absl::StrCat(which, " failed without an outcome: ", answer.reason));
    }
    // Without an execution log there is nothing to join.
    if (!IsHandled(*call.invoke) || runs.empty()) continue;
    const auto ran = runs.find(id);
    const bool executed = ran != runs.end();
    if (!failed) {
      if (!executed) {
        verdict.Violate(absl::StrCat(which, " is OK and never ran"));
      } else if (ran->second->name != call.invoke->name ||
                 (!answer.epoch.empty() &&
                  ran->second->epoch != answer.epoch)) {
        verdict.Violate(absl::StrCat(
            which, " got the reply of '", ran->second->name, "' under ",
            Text(answer.epoch), "; it ran under ", Text(ran->second->epoch)));
      }
    } else if (answer.outcome == "NOT_EXECUTED" && executed) {
      verdict.Violate(absl::StrCat(which, " ran on ", ran->second->node,
                                   " and was reported NOT_EXECUTED ",
                                   answer.reason));
    } else if (answer.outcome == "EXECUTED" && !executed) {
      verdict.Violate(absl::StrCat(
          which, " never ran and was reported EXECUTED ", answer.reason));
    }
  }
  if (verdict.looked_at > 0 && options.unknown_percent_max <= 100 &&
      unknown * 100 > verdict.looked_at *
                          static_cast<uint64_t>(options.unknown_percent_max)) {
    verdict.Violate(absl::StrCat(unknown, " of ", verdict.looked_at,
                                 " calls ended UNKNOWN, more than ",
                                 options.unknown_percent_max, " %"));
  }
  return verdict;
}

}  // namespace muster
