// FaultSim: a cluster under one kind of trouble, from one seed.
//
// Workloads (counters that take tokens to a resource, casts, registrations,
// watchers with pings and monitors, a supervision tree that is applied again
// and again, a child that crashes) run while faults of the scenario happen;
// then everything is healed and all that is wanted must run and answer; then
// the checkers of tests/checkers look at the history.
#ifndef MUSTER_TESTS_SIM_FAULT_SIM_H_
#define MUSTER_TESTS_SIM_FAULT_SIM_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tests/checkers/checker.h"
#include "tests/checkers/history.h"

namespace muster {

enum class Scenario {
  kMixed,       // Any of the faults below.
  kCrash,       // Nodes die, their sentinels attest it (fault F1).
  kHostLoss,    // Nodes and sentinels die (F2).
  kPause,       // Shorter and longer than the fence (F3).
  kPartition,   // Pairs, all of one, one way, flapping, resets (F8, F10, F12).
  kStore,       // Unreachable, slow, answers lost or late, gaps, stalls.
  kClocks,      // Reapers' clocks run 10 % or 24 % faster (F23).
  kBury,        // Forced reaps of what is alive (R19).
  kRestore,     // The store goes back; its generation is raised (F17).
  kCrashLoop,   // A child that crashes; its supervisor fails over (F25).
  kLateOrders,  // What a dead supervisor wrote arrives late (R17).
  kBlind,       // A node's watches say nothing for long (R4, R6).
  kFlood,       // More casts than a mailbox takes (F27).
  kOutage,      // The store is away for long, and nothing else (G13).
  // Not part of what must hold: reapers' clocks run 45 % faster, beyond what
  // the fence allows for.
  kClocksControl,
};
inline constexpr int kScenarios = static_cast<int>(Scenario::kOutage) + 1;
absl::string_view ScenarioName(Scenario scenario);
// Nothing for an unknown name.
std::optional<Scenario> ScenarioOf(absl::string_view name);
// That of a seed: one after the other.
Scenario ScenarioOf(uint64_t seed);

struct FaultSimOptions {
  uint64_t seed = 1;
  Scenario scenario = Scenario::kMixed;
  // What nodes log, and each fault, on stderr.
  bool log = false;
  // Where the lines of the trace go; may be null.
  std::vector<std::string>* trace = nullptr;
};

// From the death of a name's owner to the first call that a later owner
// answered; in virtual time.
struct Failover {
  bool attested = false;
  double ms = 0;
};

struct FaultSimResult {
  History history;
  std::vector<Verdict> verdicts;
  // All of them, in the order of the guarantees.
  std::vector<std::string> violations;
  uint64_t trace_hash = 0;
  uint64_t steps = 0;
  // Faults and rare things -> how often.
  std::map<std::string, int> coverage;
  std::vector<Failover> failovers;

  // Violations of this guarantee: "G3".
  bool Breaks(absl::string_view guarantee) const;
};

FaultSimResult RunFaultSim(const FaultSimOptions& options);

// Failovers in a history.
std::vector<Failover> FindFailovers(const History& history);

}  // namespace muster

#endif  // MUSTER_TESTS_SIM_FAULT_SIM_H_
