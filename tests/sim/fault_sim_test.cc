// Three nodes under one kind of trouble a seed, many seeds, and the checker
// of each guarantee over what happened. One seed in twenty runs twice and must
// take the same way.
//
//   bazel run //tests/sim:fault_sim_test -- --seed=17 [--scenario=pause]
//       [--log] [--history=FILE]
//
// runs one seed again. --seeds=100000 runs more of them, --first=2001 others.
#include "tests/sim/fault_sim.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

namespace muster {
namespace {

constexpr uint64_t kSeeds = 2'000;
// Each is a test of its own, so that Bazel can spread them.
constexpr uint64_t kParts = 4;
constexpr uint64_t kTwiceEvery = 20;
// After so many broken seeds a part ends.
constexpr int kBrokenMax = 10;

struct Flags {
  std::optional<uint64_t> seed;
  std::optional<Scenario> scenario;
  uint64_t first = 1;
  uint64_t seeds = kSeeds;  // How many.
  bool log = false;
  std::string history;
};

Flags& TheFlags() {
  static Flags flags;
  return flags;
}

// Of everything that this shard ran.
struct Totals {
  std::map<std::string, int> coverage;
  std::map<bool, std::vector<double>> failovers;
  uint64_t seeds = 0;
  uint64_t steps = 0;
};

FaultSimOptions OptionsOf(uint64_t seed) {
  FaultSimOptions options;
  options.seed = seed;
  options.scenario = TheFlags().scenario.value_or(ScenarioOf(seed));
  options.log = TheFlags().log;
  return options;
}

// Where two runs of a seed part, for whoever has to find out why.
std::string FirstDifference(uint64_t seed) {
  std::vector<std::string> once;
  std::vector<std::string> again;
  FaultSimOptions options = OptionsOf(seed);
  options.trace = &once;
  RunFaultSim(options);
  options.trace = &again;
  RunFaultSim(options);
  for (size_t i = 0; i < std::min(once.size(), again.size()); ++i) {
    if (once[i] != again[i]) {
      return absl::StrCat("line ", i, ":\n", once[i], again[i]);
    }
  }
  return "two more runs were alike";
}

// True: it kept everything, and took the same way twice.
bool RunSeed(uint64_t seed, Totals* totals) {
  const FaultSimOptions options = OptionsOf(seed);
  const std::string replay =
      absl::StrCat("--seed=", seed,
                   " --scenario=", std::string(ScenarioName(options.scenario)));
  const FaultSimResult result = RunFaultSim(options);
  bool kept = result.violations.empty();
  EXPECT_TRUE(kept) << replay << "\n" << absl::StrJoin(result.violations, "\n");
  if (!TheFlags().history.empty()) {
    const absl::Status written =
        WriteHistory(result.history, TheFlags().history);
    EXPECT_TRUE(written.ok()) << written;
  }
  if (seed % kTwiceEvery == 0 && !options.log) {
    const FaultSimResult again = RunFaultSim(options);
    EXPECT_EQ(result.trace_hash, again.trace_hash)
        << replay << ": the same seed took another way; " << result.steps
        << " and " << again.steps << " steps; " << FirstDifference(seed);
    const bool same = result.history == again.history;
    EXPECT_TRUE(same) << replay;
    kept = kept && same && result.trace_hash == again.trace_hash;
  }
  for (const auto& [what, count] : result.coverage) {
    totals->coverage[what] += count;
  }
  for (const Verdict& verdict : result.verdicts) {
    totals->coverage[absl::StrCat("judged ", verdict.guarantee)] +=
        static_cast<int>(verdict.looked_at);
  }
  if (options.scenario == Scenario::kCrash ||
      options.scenario == Scenario::kHostLoss) {
    for (const Failover& failover : result.failovers) {
      totals->failovers[failover.attested].push_back(failover.ms);
    }
  }
  ++totals->seeds;
  totals->steps += result.steps;
  return kept;
}

double Percentile(std::vector<double>& values, size_t percent) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, values.size() * percent / 100)];
}

void Print(Totals& totals) {
  std::printf("%llu seeds, %llu steps\n",
              static_cast<unsigned long long>(totals.seeds),
              static_cast<unsigned long long>(totals.steps));
  for (const auto& [what, count] : totals.coverage) {
    std::printf("%8d %s\n", count, what.c_str());
  }
  for (auto& [attested, ms] : totals.failovers) {
    std::printf("%8zu failovers, %s: p50 %.0f ms, p99 %.0f ms, most %.0f ms\n",
                ms.size(), attested ? "attested" : "silent", Percentile(ms, 50),
                Percentile(ms, 99), Percentile(ms, 100));
  }
}

class FaultSimTest : public testing::TestWithParam<uint64_t> {};

TEST_P(FaultSimTest, KeepsEveryGuaranteeUnderEveryFault) {
  Totals totals;
  if (TheFlags().seed.has_value()) {
    if (GetParam() == 0) {
      RunSeed(*TheFlags().seed, &totals);
      Print(totals);
    }
    return;
  }
  int broken = 0;
  // Neighbours, because a seed's remainder says what kind of trouble it is.
  const uint64_t seeds = TheFlags().seeds;
  const uint64_t end = seeds * (GetParam() + 1) / kParts;
  for (uint64_t n = seeds * GetParam() / kParts; n < end; ++n) {
    if (!RunSeed(TheFlags().first + n, &totals)) ++broken;
    if (broken >= kBrokenMax) break;
  }
  Print(totals);
  // What must happen sometimes, does.
  if (totals.seeds < 200 || testing::Test::HasFailure()) return;
  for (const char* what : {"fault crash",
                           "fault host_loss",
                           "fault pause_short",
                           "fault pause_long",
                           "fault cut",
                           "fault cut_one_way",
                           "fault isolate",
                           "fault flapping",
                           "fault reset",
                           "fault store_lost_long",
                           "fault store_lost_by_all",
                           "fault answers_lost",
                           "fault requests_late",
                           "fault watch_gap",
                           "fault watches_stalled",
                           "fault store_slow",
                           "fault bury",
                           "fault restore",
                           "fault supervisor_killed",
                           "fault flood",
                           "fault orders_late",
                           "fault old_messages",
                           "fault outage",
                           "fault caller_paused_owner_lost",
                           "reap silent",
                           "reap attested",
                           "reap forced",
                           "adopted",
                           "rejoined after a reap",
                           "registrations",
                           "applies acknowledged",
                           "down",
                           "restart"}) {
    EXPECT_GT(totals.coverage[what], 0) << what << " never happened";
  }
  for (int guarantee = 1; guarantee <= 14; ++guarantee) {
    const std::string judged = absl::StrCat("judged G", guarantee);
    EXPECT_GT(totals.coverage[judged], 0) << judged;
  }
}

INSTANTIATE_TEST_SUITE_P(Parts, FaultSimTest,
                         testing::Range(uint64_t{0}, kParts));

// Fault F23: beyond the ratio that the fence allows for, two may act at once,
// and the checkers say so.
TEST(FaultSimControlTest, ClocksThatDifferTooMuchAreCaught) {
  if (TheFlags().seed.has_value()) return;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    FaultSimOptions options;
    options.seed = seed;
    options.scenario = Scenario::kClocksControl;
    const FaultSimResult result = RunFaultSim(options);
    if (result.Breaks("G1") || result.Breaks("G3")) {
      std::printf("seed %d: %s\n", static_cast<int>(seed),
                  result.violations[0].c_str());
      return;
    }
  }
  FAIL() << "nobody noticed";
}

}  // namespace

bool ParseFlags(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    uint64_t number = 0;
    if (argument == "--log") {
      TheFlags().log = true;
    } else if (absl::StartsWith(argument, "--seed=") &&
               absl::SimpleAtoi(argument.substr(7), &number)) {
      TheFlags().seed = number;
    } else if (absl::StartsWith(argument, "--first=") &&
               absl::SimpleAtoi(argument.substr(8), &number)) {
      TheFlags().first = number;
    } else if (absl::StartsWith(argument, "--seeds=") &&
               absl::SimpleAtoi(argument.substr(8), &number)) {
      TheFlags().seeds = number;
    } else if (absl::StartsWith(argument, "--scenario=") &&
               ScenarioOf(argument.substr(11)).has_value()) {
      TheFlags().scenario = ScenarioOf(argument.substr(11));
    } else if (absl::StartsWith(argument, "--history=")) {
      TheFlags().history = std::string(argument.substr(10));
    } else if (!absl::StartsWith(argument, "--gtest")) {
      std::fprintf(stderr,
                   "usage: fault_sim_test [--seed=N | --first=N --seeds=N] "
                   "[--scenario=NAME] [--log] [--history=FILE]\n");
      return false;
    }
  }
  return true;
}

}  // namespace muster

int main(int argc, char** argv) {
  if (!muster::ParseFlags(argc, argv)) return 2;
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
