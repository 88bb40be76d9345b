// One checker for each guarantee of docs/guarantees.md, over a history.
//
// Each is named as its guarantee, so that a violation says which promise was
// broken: "G3 fence before takeover: ...". A checker looks only at what was
// recorded: `looked_at` says at how much, and none means that the history says
// nothing about that guarantee.
#ifndef MUSTER_TESTS_CHECKERS_CHECKER_H_
#define MUSTER_TESTS_CHECKERS_CHECKER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tests/checkers/history.h"

namespace muster {

struct CheckOptions {
  // G10: a monitor has found its target by then, and a name that changed hands
  // this long before the end has had its DOWN.
  absl::Duration monitor_settles = absl::Seconds(10);
  absl::Duration down_within = absl::Seconds(15);
  // G7: share of calls that may end UNKNOWN, in percent; above 100: any.
  int unknown_percent_max = 101;
  // G4: as CheckLinearizable.
  uint64_t configurations_max = 5'000'000;
};

struct Verdict {
  // "G1", and what it promises in a few words: "one owner".
  absl::string_view guarantee;
  absl::string_view title;
  // The first ones, each begins with guarantee and title.
  std::vector<std::string> violations;
  // How many events or operations it could judge.
  uint64_t looked_at = 0;

  void Violate(absl::string_view what);
};

// G1. Executions whose reply was accepted, whose effect a resource admitted or
// whose message was dispatched, of different epochs of one name: they do not
// overlap and are ordered by epoch. In the journal: no claim by a dead node
// epoch, none of a name whose owner lives. In resources: no lost update.
Verdict CheckOneOwner(const History& history, const CheckOptions& options);
// G2. Claims in the journal: greater than every earlier one, of any name, and
// nobody acts under an epoch that was not granted.
Verdict CheckEpochsGrow(const History& history, const CheckOptions& options);
// G3. The fence of an epoch is never open once a later one was claimed.
Verdict CheckFence(const History& history, const CheckOptions& options);
// G4. Linearizability of each name's registrations, of each child's start and
// stop and of each server's counter.
Verdict CheckRegistry(const History& history, const CheckOptions& options);
// G5. Nobody resolves a name to, or is answered by, less than it has seen.
Verdict CheckNeverBack(const History& history, const CheckOptions& options);
// G6. Each call id begins at most once.
Verdict CheckAtMostOnce(const History& history, const CheckOptions& options);
// G7. Outcomes against executions; each call ends, once.
Verdict CheckOutcomes(const History& history, const CheckOptions& options);
// G8. No OK is accepted after a successor by the silent path was claimed,
// unless the store was asked in between.
Verdict CheckAcknowledged(const History& history, const CheckOptions& options);
// G9. Dispatched in sending order, without duplicates; gaps only at a break
// that both sides saw.
Verdict CheckPairOrder(const History& history, const CheckOptions& options);
// G10. One DOWN a monitor, after all messages of that process, never while it
// can still act, never "unreachable" for a cluster-wide name.
Verdict CheckMonitors(const History& history, const CheckOptions& options);
// G11. What is wanted runs once at the end, with the options that were
// acknowledged; what is not, does not; nothing healthy was restarted.
Verdict CheckChildren(const History& history, const CheckOptions& options);
// G12. Restarts within each period stay within the intensity.
Verdict CheckIntensity(const History& history, const CheckOptions& options);
// G13. An outage of the store alone: no restart, no takeover, no lost
// registration, equal state, and an answer soon after its end.
Verdict CheckFreeze(const History& history, const CheckOptions& options);
// G14. Nothing measured above its stated limit.
Verdict CheckLimits(const History& history, const CheckOptions& options);
// G15. Served exactly what the table of roles allows.
Verdict CheckAccess(const History& history, const CheckOptions& options);

// All fifteen, in order.
std::vector<Verdict> CheckAll(const History& history,
                              const CheckOptions& options = CheckOptions());

// How the calls of clients ended and which faults happened, for people:
// "call UNKNOWN NOCONNECTION" -> 3.
std::vector<std::pair<std::string, int>> Summarize(const History& history);

}  // namespace muster

#endif  // MUSTER_TESTS_CHECKERS_CHECKER_H_
