// G1, G2, G3, G5 and G8: who owned what, and who believed it.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/checkers/checker.h"
#include "tests/checkers/journal_index.h"

namespace muster {
namespace {

std::string Text(Epoch epoch) {
  return absl::StrCat(epoch.generation, ".", epoch.revision);
}

// A handler that ran, with places in the history.
struct Run {
  const HistoryEvent* begin = nullptr;
  size_t began = 0;
  size_t ended = 0;
  bool effective = false;
};

std::vector<Run> EffectiveRuns(const History& history, uint64_t* looked_at) {
  std::vector<Run> runs;
  std::map<std::string, size_t> by_call;
  const auto find = [&](const std::string& call) -> Run* {
    if (call.empty()) return nullptr;
    const auto at = by_call.find(call);
    return at == by_call.end() ? nullptr : &runs[at->second];
  };
  for (size_t place = 0; place < history.size(); ++place) {
    const HistoryEvent& event = history[place];
    switch (event.kind) {
      case EventKind::kBegin:
        // A second run of a call is G6's.
        by_call.emplace(event.call, runs.size());
        runs.push_back({&event, place, place, false});
        break;
      case EventKind::kEnd:
        if (Run* run = find(event.call)) run->ended = place;
        break;
      case EventKind::kOk:
        if (Run* run = find(event.call)) run->effective = true;
        break;
      case EventKind::kAdmit:
      case EventKind::kMessage:
      case EventKind::kDispatch:
        if (Run* run = find(event.call)) {
          run->effective = true;
          // A message comes after the send, which the handler made.
          if (event.kind == EventKind::kAdmit) {
            run->ended = std::max(run->ended, place);
          }
        }
        break;
      default:
        break;
    }
  }
  std::vector<Run> effective;
  for (const Run& run : runs) {
    if (run.effective) effective.push_back(run);
  }
  *looked_at += effective.size();
  return effective;
}

void CheckOverlaps(const History& history, Verdict* verdict) {
  std::map<std::string, std::vector<Run>> by_name;
  for (const Run& run : EffectiveRuns(history, &verdict->looked_at)) {
    by_name[run.begin->name].push_back(run);
  }
  for (const auto& [name, runs] : by_name) {
    // In the order of their begin.
    const Run* latest = nullptr;   // Of the greatest epoch so far.
    const Run* longest = nullptr;  // Of earlier epochs: the last to end.
    for (const Run& run : runs) {
      if (latest == nullptr || run.begin->epoch > latest->begin->epoch) {
        if (latest != nullptr &&
            (longest == nullptr || latest->ended > longest->ended)) {
          longest = latest;
        }
        if (longest != nullptr && longest->ended > run.began) {
          verdict->Violate(absl::StrCat(
              "'", name, "' ran call ", longest->begin->call, " under ",
              Text(longest->begin->epoch), " on ", longest->begin->node,
              " and call ", run.begin->call, " under ", Text(run.begin->epoch),
              " on ", run.begin->node, " at once"));
        }
        latest = &run;
      } else if (run.begin->epoch < latest->begin->epoch) {
        verdict->Violate(absl::StrCat(
            "'", name, "' ran call ", run.begin->call, " under ",
            Text(run.begin->epoch), " on ", run.begin->node, " after call ",
            latest->begin->call, " under ", Text(latest->begin->epoch)));
      } else if (run.ended > latest->ended) {
        latest = &run;
      }
    }
  }
}

void CheckJournalOwners(const History& history, Verdict* verdict) {
  std::map<std::string, Epoch> alive;
  std::set<std::string> known;
  struct Owner {
    const HistoryEvent* claim = nullptr;
    // Not null: the claim before, whose owner gave the name away by this one.
    const HistoryEvent* giver = nullptr;
  };
  std::map<std::string, Owner> owners;
  for (const HistoryEvent& event : history) {
    switch (event.kind) {
      case EventKind::kJoin:
        alive[event.node] = event.node_epoch;
        known.insert(event.node);
        break;
      case EventKind::kReap: {
        const auto at = alive.find(event.node);
        if (at != alive.end() && at->second == event.node_epoch) {
          alive.erase(at);
        }
        break;
      }
      case EventKind::kRelease:
        owners.erase(event.name);
        break;
      case EventKind::kRestore:
        alive.clear();
        known.clear();
        owners.clear();
        break;
      case EventKind::kClaim: {
        ++verdict->looked_at;
        const auto lives = [&](const HistoryEvent& claim) {
          const auto at = alive.find(claim.node);
          return at != alive.end() && at->second == claim.node_epoch;
        };
        if (known.contains(event.node) && !lives(event)) {
          verdict->Violate(
              absl::StrCat("at ", Text(event.epoch), " '", event.name,
                           "' was claimed by the dead epoch ",
                           Text(event.node_epoch), " of ", event.node));
        }
        const auto is_of = [&](const HistoryEvent* claim) {
          return claim != nullptr && claim->node == event.node &&
                 claim->node_epoch == event.node_epoch;
        };
        Owner next{&event, nullptr};
        if (const auto at = owners.find(event.name); at != owners.end()) {
          const Owner& old = at->second;
          if (event.op == "moved" && event.reason == old.claim->node) {
            next.giver = old.claim;
          } else if (!is_of(old.claim) && !is_of(old.giver) &&
                     lives(*old.claim)) {
            verdict->Violate(absl::StrCat(
                "at ", Text(event.epoch), " '", event.name, "' went from ",
                old.claim->node, ", which lives, to ", event.node));
          }
        }
        owners[event.name] = next;
        break;
      }
      default:
        break;
    }
  }
}

// What somebody takes from one name comes in the order of its epochs.
void CheckMessages(const History& history, Verdict* verdict) {
  std::map<std::pair<std::string, std::string>, Epoch> latest;
  for (const HistoryEvent& event : history) {
    if (event.kind != EventKind::kMessage || event.epoch.empty()) continue;
    ++verdict->looked_at;
    Epoch& last = latest[{event.session, event.name}];
    if (event.epoch < last) {
      verdict->Violate(absl::StrCat(event.session, " took a message of '",
                                    event.name, "' under ", Text(event.epoch),
                                    " on ", event.node, " after one under ",
                                    Text(last)));
    }
    last = std::max(last, event.epoch);
  }
}

void CheckResources(const History& history, Verdict* verdict) {
  struct Resource {
    Epoch token;
    int64_t value = 0;
    bool written = false;
  };
  std::map<std::string, Resource> resources;
  for (const HistoryEvent& event : history) {
    if (event.kind != EventKind::kAdmit) continue;
    ++verdict->looked_at;
    Resource& resource = resources[event.key];
    if (event.epoch < resource.token) {
      verdict->Violate(absl::StrCat("resource '", event.key, "' took token ",
                                    Text(event.epoch), " after ",
                                    Text(resource.token)));
    }
    if (resource.written && event.limit != resource.value) {
      verdict->Violate(absl::StrCat(
          "lost update: resource '", event.key, "' held ", resource.value,
          " when '", event.name, "' under ", Text(event.epoch),
          " replaced what it took for ", event.limit));
    }
    resource.token = std::max(resource.token, event.epoch);
    resource.value = event.value;
    resource.written = true;
  }
}

}  // namespace

Verdict CheckOneOwner(const History& history, const CheckOptions&) {
  Verdict verdict{"G1", "one owner", {}, 0};
  CheckOverlaps(history, &verdict);
  CheckJournalOwners(history, &verdict);
  CheckMessages(history, &verdict);
  CheckResources(history, &verdict);
  return verdict;
}

Verdict CheckEpochsGrow(const History& history, const CheckOptions&) {
  Verdict verdict{"G2", "epochs only grow", {}, 0};
  Epoch greatest;
  std::map<std::string, std::set<Epoch>> granted;
  for (const HistoryEvent& event : history) {
    if (event.kind != EventKind::kClaim) continue;
    ++verdict.looked_at;
    if (event.epoch < greatest) {
      verdict.Violate(absl::StrCat("'", event.name, "' was claimed at ",
                                   Text(event.epoch), " after ",
                                   Text(greatest)));
    }
    greatest = std::max(greatest, event.epoch);
    if (!granted[event.name].insert(event.epoch).second) {
      verdict.Violate(absl::StrCat("'", event.name, "' was claimed twice at ",
                                   Text(event.epoch)));
    }
  }
  for (const HistoryEvent& event : history) {
    if (event.kind != EventKind::kBegin && event.kind != EventKind::kPass &&
        event.kind != EventKind::kAdmit) {
      continue;
    }
    const auto at = granted.find(event.name);
    if (at == granted.end() || at->second.contains(event.epoch)) continue;
    verdict.Violate(absl::StrCat("'", event.name, "' acted under ",
                                 Text(event.epoch),
                                 ", which nobody was granted"));
  }
  return verdict;
}

Verdict CheckFence(const History& history, const CheckOptions&) {
  Verdict verdict{"G3", "fence before takeover", {}, 0};
  std::map<std::string, Epoch> granted;
  for (const HistoryEvent& event : history) {
    switch (event.kind) {
      case EventKind::kClaim: {
        Epoch& latest = granted[event.name];
        latest = std::max(latest, event.epoch);
        break;
      }
      case EventKind::kBegin:
      case EventKind::kPass: {
        ++verdict.looked_at;
        const auto at = granted.find(event.name);
        if (event.epoch.empty()) {
          verdict.Violate(absl::StrCat("'", event.name, "' began call ",
                                       event.call, " on ", event.node,
                                       " behind its fence"));
        } else if (at != granted.end() && event.epoch < at->second) {
          verdict.Violate(absl::StrCat(
              "'", event.name, "' passed its fence",
              event.kind == EventKind::kBegin ? " to begin call " : "",
              event.kind == EventKind::kBegin ? event.call : "", " under ",
              Text(event.epoch), " on ", event.node, " when ", Text(at->second),
              " had been granted"));
        }
        break;
      }
      default:
        break;
    }
  }
  return verdict;
}

Verdict CheckNeverBack(const History& history, const CheckOptions&) {
  Verdict verdict{"G5", "never back in time", {}, 0};
  std::map<std::pair<std::string, std::string>, Epoch> seen;
  std::map<std::pair<std::string, std::string>, Epoch> resolved;
  struct Call {
    std::string name;
    Epoch seen;
  };
  std::map<std::string, Call> calls;
  for (const HistoryEvent& event : history) {
    switch (event.kind) {
      case EventKind::kInvoke:
        calls[event.call] = {event.name, seen[{event.session, event.name}]};
        break;
      case EventKind::kOk:
      case EventKind::kError: {
        const auto at = calls.find(event.call);
        if (at == calls.end() || event.epoch.empty()) break;
        ++verdict.looked_at;
        const auto& [name, floor] = at->second;
        if (event.epoch < floor) {
          verdict.Violate(absl::StrCat("call ", event.call, " of '", name,
                                       "' through ", event.session, " reached ",
                                       Text(event.epoch), " after ",
                                       Text(floor), " had been seen"));
        }
        Epoch& greatest = seen[{event.session, name}];
        greatest = std::max(greatest, event.epoch);
        break;
      }
      case EventKind::kSeen: {
        ++verdict.looked_at;
        const std::pair<std::string, std::string> key(event.session,
                                                      event.name);
        Epoch& last = resolved[key];
        if (event.epoch < last) {
          verdict.Violate(absl::StrCat(event.session, " resolved '", event.name,
                                       "' to ", Text(event.epoch), " after ",
                                       Text(last)));
        }
        last = std::max(last, event.epoch);
        Epoch& greatest = seen[key];
        greatest = std::max(greatest, event.epoch);
        break;
      }
      default:
        break;
    }
  }
  return verdict;
}

Verdict CheckAcknowledged(const History& history, const CheckOptions&) {
  Verdict verdict{"G8", "no acknowledgement after loss", {}, 0};
  const JournalIndex journal(history);
  std::map<std::string, const HistoryEvent*> invokes;
  // Last place at which the store said that this epoch is current.
  std::map<std::pair<std::string, Epoch>, std::vector<size_t>> checks;
  std::map<std::string, size_t> begins;
  std::map<std::pair<std::string, std::string>, Epoch> seen;
  for (size_t place = 0; place < history.size(); ++place) {
    const HistoryEvent& event = history[place];
    if (event.kind == EventKind::kInvoke) invokes[event.call] = &event;
    if (event.kind == EventKind::kBegin) begins.emplace(event.call, place);
    if (event.kind == EventKind::kCheck) {
      checks[{event.name, event.epoch}].push_back(place);
    }
    if (event.kind == EventKind::kSeen) {
      Epoch& greatest = seen[{event.session, event.name}];
      greatest = std::max(greatest, event.epoch);
    }
    if (event.kind != EventKind::kOk || event.epoch.empty()) continue;
    const auto invoked = invokes.find(event.call);
    if (invoked == invokes.end()) continue;
    const std::string& name = invoked->second->name;
    const JournalIndex::Claim* const claim = journal.ClaimOf(name, event.epoch);
    if (claim == nullptr) continue;
    ++verdict.looked_at;
    const auto reap =
        journal.reaps.find({claim->event->node, claim->event->node_epoch});
    if (reap == journal.reaps.end()) continue;
    const JournalIndex::Claim* const successor =
        journal.SuccessorOf(name, event.epoch);
    if (successor == nullptr || successor->place > place ||
        successor->place < reap->second.place) {
      continue;
    }
    if (reap->second.silent) {
      const auto began = begins.find(event.call);
      const auto checked = checks.find({name, event.epoch});
      const bool asked =
          checked != checks.end() &&
          std::any_of(checked->second.begin(), checked->second.end(),
                      [&](size_t check) {
                        return check < successor->place &&
                               (began == begins.end() || check > began->second);
                      });
      if (asked) continue;
      verdict.Violate(absl::StrCat(
          "call ", event.call, " of '", name, "' was accepted from ",
          Text(event.epoch), " on ", claim->event->node, ", which was reaped (",
          reap->second.event->op, "), after ", Text(successor->event->epoch),
          " was claimed"));
    } else if (seen[{event.session, name}] > event.epoch) {
      verdict.Violate(absl::StrCat("call ", event.call, " of '", name,
                                   "' was accepted from ", Text(event.epoch),
                                   " by ", event.session, ", which knew ",
                                   Text(seen[{event.session, name}])));
    }
  }
  return verdict;
}

}  // namespace muster
