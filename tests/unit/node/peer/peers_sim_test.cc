// Peers on the simulated wire, with delays and faults from a seed: what is
// promised of order and outcomes holds, and every call gets its one answer.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/peer/peers.h"
#include "node/types/pid.h"
#include "node/types/status.h"
#include "tests/testkit/sim_transport.h"
#include "tests/testkit/sim_world.h"
#include "tests/unit/node/peer/test_net.h"

namespace muster {
namespace {

struct Outcomes {
  size_t calls = 0;
  size_t ok = 0;
  size_t not_executed = 0;
  size_t unknown = 0;
  size_t executed_by_owner = 0;
  uint64_t trace = 0;
};

// Two nodes call and cast at each other, both ways, while `faults` decides
// what happens to the wire.
Outcomes RunSeed(uint64_t seed, bool faults) {
  SimWorld world(seed);
  SimNetwork network(&world.random());
  TestDirectory directory;
  const auto make = [&](const std::string& name, Epoch epoch) {
    return std::make_unique<TestNode>(
        &world, &directory, name, epoch, PeerOptions(), [&](Scheduler* lane) {
          return std::make_unique<SimTransport>(&network, lane, name);
        });
  };
  auto a = make("a", {1, 10});
  auto b = make("b", {1, 20});
  const Pid on_a = a->Start();
  const Pid on_b = b->Start();
  std::vector<std::shared_ptr<std::optional<CallResult>>> results;
  for (int i = 0; i < 400; ++i) {
    results.push_back(a->Call(on_b, "Echo", absl::StrCat(i), absl::Seconds(3)));
    results.push_back(b->Call(on_a, "Echo", absl::StrCat(i), absl::Seconds(3)));
    a->Cast(on_b, absl::StrCat(i));
    b->Cast(on_a, absl::StrCat(i));
    world.RunFor(world.random().Jitter(absl::Milliseconds(20)));
    if (!faults) continue;
    switch (world.random().Below(60)) {
      case 0:
        network.Reset("a", "b");
        break;
      case 1:
        network.Cut("a", "b");
        break;
      case 2:
      case 3:
        network.HealAll();
        break;
      default:
        break;
    }
  }
  network.HealAll();
  world.RunFor(absl::Seconds(10));

  Outcomes outcomes;
  for (const auto& result : results) {
    ++outcomes.calls;
    EXPECT_TRUE(result->has_value()) << "seed " << seed;
    if (!result->has_value()) continue;
    const absl::Status& status = (*result)->status;
    const Outcome outcome = OutcomeOf(status);
    outcomes.ok += status.ok();
    outcomes.not_executed += outcome == Outcome::kNotExecuted;
    outcomes.unknown += outcome == Outcome::kUnknown;
    EXPECT_TRUE(status.ok() || outcome == Outcome::kNotExecuted ||
                outcome == Outcome::kUnknown)
        << status;
    EXPECT_TRUE(status.code() != absl::StatusCode::kUnavailable ||
                outcome == Outcome::kNotExecuted)
        << status;
  }
  outcomes.executed_by_owner = a->seen.calls + b->seen.calls;
  for (const TestNode* node : {a.get(), b.get()}) {
    int last = -1;
    for (const std::string& cast : node->seen.casts) {
      int number = -1;
      EXPECT_TRUE(absl::SimpleAtoi(cast, &number));
      EXPECT_GT(number, last) << "seed " << seed;
      last = number;
    }
  }
  // Once the wire is whole again, one stream is enough and works.
  auto again = a->Call(on_b, "Echo", "again", absl::Seconds(3));
  world.RunFor(absl::Seconds(1));
  EXPECT_TRUE(again->has_value() && (*again)->status.ok()) << "seed " << seed;
  EXPECT_EQ(a->peers->Connected(), std::vector<std::string>{"b"});
  EXPECT_EQ(b->peers->Connected(), std::vector<std::string>{"a"});
  outcomes.trace = world.trace_hash();
  return outcomes;
}

TEST(PeersSimTest, WithoutFaultsEverythingArrives) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const Outcomes outcomes = RunSeed(seed, /*faults=*/false);
    EXPECT_EQ(outcomes.ok, outcomes.calls) << "seed " << seed;
    EXPECT_EQ(outcomes.executed_by_owner, outcomes.calls);
  }
}

TEST(PeersSimTest, UnderFaultsOutcomesAreHonestAndOrderHolds) {
  size_t unknown = 0;
  size_t not_executed = 0;
  for (uint64_t seed = 1; seed <= 15; ++seed) {
    const Outcomes outcomes = RunSeed(seed, /*faults=*/true);
    EXPECT_EQ(outcomes.ok + outcomes.not_executed + outcomes.unknown,
              outcomes.calls);
    // Never run twice, and what is said not to have run has not.
    EXPECT_GE(outcomes.executed_by_owner, outcomes.ok) << "seed " << seed;
    EXPECT_LE(outcomes.executed_by_owner, outcomes.ok + outcomes.unknown)
        << "seed " << seed;
    unknown += outcomes.unknown;
    not_executed += outcomes.not_executed;
  }
  // The faults were felt.
  EXPECT_GT(unknown, 0u);
  EXPECT_GT(not_executed, 0u);
}

TEST(PeersSimTest, ASeedIsOneRun) {
  EXPECT_EQ(RunSeed(7, true).trace, RunSeed(7, true).trace);
}

}  // namespace
}  // namespace muster
