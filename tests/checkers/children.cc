// G11, G12, G13: what is to run, what came back, and what never went.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/checkers/checker.h"
#include "tests/checkers/journal_index.h"

namespace muster {
namespace {

void CheckNeedless(const History& history, const JournalIndex& journal,
                   Verdict* verdict) {
  std::map<std::string, const HistoryEvent*> owners;
  std::set<JournalIndex::ProcessKey> started;
  for (const HistoryEvent& event : history) {
    if (event.kind != EventKind::kStart) continue;
    started.insert({event.node, event.node_epoch, event.seq});
  }
  for (const HistoryEvent& event : history) {
    if (event.kind == EventKind::kRelease ||
        event.kind == EventKind::kUnwanted) {
      owners.erase(event.kind == EventKind::kRelease ? event.name : event.key);
    }
    if (event.kind == EventKind::kRestore) owners.clear();
    if (event.kind != EventKind::kClaim || event.session.empty()) continue;
    ++verdict->looked_at;
    const auto at = owners.find(event.name);
    if (at != owners.end() && at->second->seq != 0) {
      const HistoryEvent& old = *at->second;
      const JournalIndex::NodeKey node(old.node, old.node_epoch);
      const auto exit = journal.exits.find({old.node, old.node_epoch, old.seq});
      // Claimed, and its process never started.
      const bool never = !started.empty() &&
                         !started.contains({old.node, old.node_epoch, old.seq});
      // It went there itself, with its state.
      const bool moved = event.op == "moved" && event.reason == old.node;
      const bool over = never || moved ||
                        (exit != journal.exits.end() &&
                         history[exit->second].at_ns <= event.at_ns) ||
                        journal.reaps.contains(node) ||
                        journal.died.contains(node);
      if (!over) {
        verdict->Violate(absl::StrCat("'", event.name, "' on ", old.node,
                                      " was healthy and was started again on ",
                                      event.node));
      }
    }
    owners[event.name] = &event;
  }
}

}  // namespace

Verdict CheckChildren(const History& history, const CheckOptions&) {
  Verdict verdict{"G11", "no acknowledged child lost, none doubled", {}, 0};
  const JournalIndex journal(history);
  struct Child {
    bool wanted = false;
    std::string supervisor;
    std::set<int64_t> values;
    std::vector<const HistoryEvent*> running;
  };
  std::map<std::string, Child> children;
  bool ended = false;
  for (const HistoryEvent& event : history) {
    switch (event.kind) {
      case EventKind::kWanted: {
        Child& child = children[event.key];
        child.wanted = true;
        child.supervisor = event.session;
        if (event.op != "or") child.values.clear();
        child.values.insert(event.value);
        break;
      }
      case EventKind::kUnwanted:
        children[event.key].wanted = false;
        break;
      case EventKind::kGaveUp:
        for (auto& [name, child] : children) {
          if (child.supervisor == event.key) child.wanted = false;
        }
        break;
      case EventKind::kRunning:
        children[event.key].running.push_back(&event);
        break;
      case EventKind::kPhase:
        ended = ended || event.op == "end";
        break;
      default:
        break;
    }
  }
  CheckNeedless(history, journal, &verdict);
  if (!ended) return verdict;
  for (const auto& [name, child] : children) {
    ++verdict.looked_at;
    if (child.running.size() > 1) {
      verdict.Violate(absl::StrCat("'", name, "' runs ", child.running.size(),
                                   " times, on ", child.running[0]->node,
                                   " and on ", child.running[1]->node));
    }
    if (child.wanted && child.running.empty()) {
      verdict.Violate(absl::StrCat("'", name, "' is wanted by '",
                                   child.supervisor, "' and does not run"));
    }
    if (child.wanted && !child.running.empty() &&
        !child.values.contains(child.running[0]->value)) {
      verdict.Violate(absl::StrCat("'", name, "' runs with the options ",
                                   child.running[0]->value, ", wanted are ",
                                   absl::StrJoin(child.values, " or ")));
    }
    if (!child.wanted && !child.running.empty()) {
      verdict.Violate(absl::StrCat("'", name, "' runs on ",
                                   child.running[0]->node,
                                   " and nobody wants it"));
    }
  }
  return verdict;
}

Verdict CheckIntensity(const History& history, const CheckOptions&) {
  Verdict verdict{"G12", "contained crash loops", {}, 0};
  struct Budget {
    int64_t intensity = -1;
    int64_t period_ns = 0;
    // Crash and start.
    std::vector<std::pair<int64_t, int64_t>> restarts;
  };
  std::map<std::string, Budget> budgets;
  for (const HistoryEvent& event : history) {
    if (event.kind == EventKind::kBudget) {
      budgets[event.key].intensity = event.limit;
      budgets[event.key].period_ns = event.value;
    } else if (event.kind == EventKind::kRestart) {
      ++verdict.looked_at;
      budgets[event.key].restarts.emplace_back(event.value, event.at_ns);
    }
  }
  for (const auto& [supervisor, budget] : budgets) {
    if (budget.intensity < 0) continue;
    // It decided between crash and start: all of these within one period are
    // too many for certain.
    const auto many = static_cast<size_t>(budget.intensity) + 1;
    for (size_t last = many - 1; last < budget.restarts.size(); ++last) {
      const size_t first = last + 1 - many;
      int64_t crash = budget.restarts[first].first;
      for (size_t i = first; i <= last; ++i) {
        crash = std::min(crash, budget.restarts[i].first);
      }
      const int64_t span = budget.restarts[last].second - crash;
      if (span <= budget.period_ns) {
        verdict.Violate(absl::StrCat(
            "'", supervisor, "' restarted ", many, " times within ",
            absl::FormatDuration(absl::Nanoseconds(span)), ", allowed are ",
            budget.intensity, " in ",
            absl::FormatDuration(absl::Nanoseconds(budget.period_ns))));
        break;
      }
    }
  }
  return verdict;
}

Verdict CheckFreeze(const History& history, const CheckOptions&) {
  Verdict verdict{"G13", "freeze, do not die", {}, 0};
  bool away = false;
  int64_t thaw_by_ns = 0;
  std::map<std::string, int64_t> states;
  std::set<std::string> serving;   // Answered before the outage.
  std::set<std::string> answered;  // Answered since its end.
  std::map<std::string, std::string> name_of;
  const auto within = [&](const HistoryEvent& event) {
    return away || event.at_ns <= thaw_by_ns;
  };
  for (const HistoryEvent& event : history) {
    if (!away && thaw_by_ns != 0 && event.at_ns > thaw_by_ns) {
      for (const std::string& name : serving) {
        if (!answered.contains(name)) {
          verdict.Violate(absl::StrCat(
              "'", name, "' did not answer in time after the outage"));
        }
      }
      thaw_by_ns = 0;
    }
    switch (event.kind) {
      case EventKind::kOutage:
        if (event.op == "begin") {
          ++verdict.looked_at;
          away = true;
        } else {
          away = false;
          thaw_by_ns = event.at_ns + event.limit;
          answered.clear();
        }
        break;
      case EventKind::kStart:
      case EventKind::kExit:
      case EventKind::kClaim:
      case EventKind::kRelease:
      case EventKind::kReap:
        if (within(event)) {
          verdict.Violate(absl::StrCat(
              KindName(event.kind), " of ",
              event.name.empty() ? event.node : event.name,
              away ? " during the outage" : " right after the outage"));
        }
        break;
      case EventKind::kInvoke:
        name_of[event.call] = event.name;
        break;
      case EventKind::kOk: {
        const auto at = name_of.find(event.call);
        if (at == name_of.end()) break;
        if (!away && thaw_by_ns == 0) {
          serving.insert(at->second);
        } else if (!away) {
          answered.insert(at->second);
        }
        break;
      }
      case EventKind::kState:
        if (event.op == "before") {
          states[event.name] = event.value;
        } else {
          ++verdict.looked_at;
          const auto at = states.find(event.name);
          if (at == states.end() || at->second != event.value) {
            verdict.Violate(absl::StrCat("the state of '", event.name, "' was ",
                                         at == states.end() ? 0 : at->second,
                                         " and is ", event.value));
          }
        }
        break;
      default:
        break;
    }
  }
  return verdict;
}

}  // namespace muster
