// G9, G10: what processes hear of one another.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tests/checkers/checker.h"
#include "tests/checkers/journal_index.h"

namespace muster {

Verdict CheckPairOrder(const History& history, const CheckOptions&) {
  Verdict verdict{"G9", "pair order, no silent gap", {}, 0};
  struct Pair {
    // Of one epoch of the receiver.
    std::map<Epoch, uint64_t> last;
    // The receiver saw a break since.
    std::map<Epoch, bool> broken;
    std::string sender;
    std::set<uint64_t> refused;
    // Places at which the sender saw a break.
    std::vector<size_t> sender_breaks;
    std::map<uint64_t, size_t> sent;
  };
  struct Gap {
    const HistoryEvent* after;
    uint64_t missing;
  };
  std::map<std::string, Pair> pairs;
  std::map<std::string, std::vector<Gap>> gaps;
  std::set<std::string> gone;
  for (size_t place = 0; place < history.size(); ++place) {
    const HistoryEvent& event = history[place];
    switch (event.kind) {
      case EventKind::kSend: {
        Pair& pair = pairs[event.key];
        pair.sent.emplace(event.seq, place);
        pair.sender = event.session;
        break;
      }
      case EventKind::kRefused:
        pairs[event.key].refused.insert(event.seq);
        break;
      case EventKind::kGone:
        gone.insert(event.session);
        break;
      case EventKind::kBreak: {
        Pair& pair = pairs[event.key];
        if (event.op == "sender") {
          pair.sender_breaks.push_back(place);
        } else {
          for (auto& [epoch, broken] : pair.broken) broken = true;
        }
        break;
      }
      case EventKind::kDispatch: {
        ++verdict.looked_at;
        Pair& pair = pairs[event.key];
        if (!pair.sent.contains(event.seq)) {
          verdict.Violate(absl::StrCat(event.key, ": ", event.seq,
                                       " was dispatched and never sent"));
        }
        const auto [at, first] = pair.last.emplace(event.epoch, event.seq);
        const bool broken = std::exchange(pair.broken[event.epoch], false);
        if (first) break;
        const uint64_t last = at->second;
        if (event.seq == last) {
          verdict.Violate(absl::StrCat(event.key, ": ", event.seq,
                                       " was dispatched twice"));
        } else if (event.seq < last) {
          verdict.Violate(absl::StrCat(event.key, ": ", event.seq,
                                       " was dispatched after ", last));
        } else {
          for (uint64_t lost = last + 1; lost < event.seq; ++lost) {
            if (!broken) {
              // It may be told of as refused only later.
              gaps[event.key].push_back({&event, lost});
            } else if (!pair.refused.contains(lost)) {
              gaps[event.key].push_back({nullptr, lost});
            }
          }
        }
        at->second = std::max(last, event.seq);
        break;
      }
      default:
        break;
    }
  }
  for (const auto& [key, list] : gaps) {
    const Pair& pair = pairs[key];
    for (const Gap& gap : list) {
      if (pair.refused.contains(gap.missing)) continue;
      if (gap.after != nullptr) {
        verdict.Violate(absl::StrCat(key, ": ", gap.missing, " was lost and ",
                                     gap.after->seq,
                                     " dispatched without a break"));
        continue;
      }
      // The receiver saw it break; the sender must, too.
      const auto sent = pair.sent.find(gap.missing);
      const bool told = gone.contains(pair.sender) || sent == pair.sent.end() ||
                        !pair.sender_breaks.empty();
      if (!told) {
        verdict.Violate(absl::StrCat(key, ": ", gap.missing,
                                     " was lost, and its sender never saw a "
                                     "break"));
      }
    }
  }
  return verdict;
}

Verdict CheckMonitors(const History& history, const CheckOptions& options) {
  Verdict verdict{"G10", "one true DOWN", {}, 0};
  struct Monitor {
    const HistoryEvent* made = nullptr;
    const HistoryEvent* down = nullptr;
  };
  using Process = JournalIndex::ProcessKey;
  const JournalIndex journal(history);
  // Whom a claim was for, and which epoch a process serves.
  std::map<std::pair<std::string, Epoch>, Process> owner_of;
  std::map<std::string, Monitor> monitors;
  // Watcher and process -> the place of the DOWN of a name.
  std::map<std::pair<std::string, Process>, const HistoryEvent*> downs;
  std::map<Process, const HistoryEvent*> named_downs;
  std::set<std::string> gone;
  std::set<std::string> joined;
  std::set<JournalIndex::NodeKey> members;
  std::set<Process> started;
  int64_t end_ns = history.empty() ? 0 : history.back().at_ns;
  bool ended = false;
  for (size_t place = 0; place < history.size(); ++place) {
    const HistoryEvent& event = history[place];
    switch (event.kind) {
      case EventKind::kJoin:
        joined.insert(event.node);
        members.insert({event.node, event.node_epoch});
        break;
      case EventKind::kStart: {
        const Process process(event.node, event.node_epoch, event.seq);
        started.insert(process);
        const auto at = named_downs.find(process);
        if (at != named_downs.end()) {
          verdict.Violate(absl::StrCat(
              "'", event.name, "' started on ", event.node, " after ",
              at->second->session, " got its DOWN ", at->second->reason));
        }
        break;
      }
      case EventKind::kClaim:
        owner_of[{event.name, event.epoch}] =
            Process(event.node, event.node_epoch, event.seq);
        break;
      case EventKind::kMonitor:
        ++verdict.looked_at;
        monitors[event.key].made = &event;
        break;
      case EventKind::kDown: {
        Monitor& monitor = monitors[event.key];
        if (monitor.made == nullptr) {
          verdict.Violate(absl::StrCat("a DOWN for ", event.key,
                                       ", which nobody asked for"));
          break;
        }
        if (monitor.down != nullptr) {
          verdict.Violate(absl::StrCat(event.key, " had two DOWNs"));
        }
        monitor.down = &event;
        if (event.seq == 0) break;
        const Process process(event.node, event.node_epoch, event.seq);
        downs[{event.session, process}] = &event;
        if (event.name.empty()) break;
        named_downs.emplace(process, &event);
        // Its epoch can no longer act: it has ended, or its node has.
        const auto exit = journal.exits.find(process);
        const JournalIndex::NodeKey node(event.node, event.node_epoch);
        const auto died = journal.died.find(node);
        const auto reap = journal.reaps.find(node);
        // An epoch that never was has no process that could act, nor has a
        // claim whose process was not started: it was held until the claim was
        // answered, and killed if that failed.
        const bool never =
            (joined.contains(event.node) && !members.contains(node)) ||
            (!started.empty() && !started.contains(process));
        const bool over = never ||
                          (exit != journal.exits.end() &&
                           history[exit->second].at_ns <= event.at_ns) ||
                          (died != journal.died.end() &&
                           history[died->second].at_ns <= event.at_ns) ||
                          (reap != journal.reaps.end() &&
                           history[reap->second.place].at_ns <= event.at_ns);
        if (!over) {
          verdict.Violate(absl::StrCat(event.session, " got DOWN ",
                                       event.reason, " for '", event.name,
                                       "' on ", event.node,
                                       ", which had neither ended nor lost its "
                                       "node"));
        }
        break;
      }
      case EventKind::kMessage: {
        const Process process(event.node, event.node_epoch, event.seq);
        const auto at = downs.find({event.session, process});
        if (at != downs.end() && !at->second->name.empty()) {
          verdict.Violate(absl::StrCat(event.session, " handled a message of '",
                                       event.name, "' on ", event.node,
                                       " after its DOWN"));
        }
        break;
      }
      case EventKind::kBegin:
      case EventKind::kPass: {
        const auto owner = owner_of.find({event.name, event.epoch});
        if (owner == owner_of.end()) break;
        const auto at = named_downs.find(owner->second);
        if (at != named_downs.end()) {
          verdict.Violate(absl::StrCat(
              "'", event.name, "' acted on ", event.node, " after ",
              at->second->session, " got its DOWN ", at->second->reason));
        }
        break;
      }
      case EventKind::kGone:
        gone.insert(event.session);
        break;
      case EventKind::kPhase:
        if (event.op == "end") {
          ended = true;
          end_ns = event.at_ns;
        }
        break;
      default:
        break;
    }
  }
  if (!ended) return verdict;
  const int64_t settles = absl::ToInt64Nanoseconds(options.monitor_settles);
  const int64_t within = absl::ToInt64Nanoseconds(options.down_within);
  for (const auto& [key, monitor] : monitors) {
    if (monitor.made == nullptr || monitor.down != nullptr ||
        monitor.made->name.empty() || gone.contains(monitor.made->session)) {
      continue;
    }
    const auto claims = journal.claims.find(monitor.made->name);
    if (claims == journal.claims.end()) continue;
    for (const JournalIndex::Claim& claim : claims->second) {
      if (claim.event->at_ns > monitor.made->at_ns + settles &&
          claim.event->at_ns < end_ns - within) {
        verdict.Violate(absl::StrCat(key, " of ", monitor.made->session,
                                     " never had a DOWN although '",
                                     monitor.made->name, "' changed hands"));
        break;
      }
    }
  }
  return verdict;
}

}  // namespace muster
