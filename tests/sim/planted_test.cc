// Each planted bug (node/base/planted.h) is found by the checker of the
// guarantee that it breaks, and without it the same seeds keep everything.
//
// Only in builds with --config=planted; bazel/test.sh --planted runs it.
#include "node/base/planted.h"

#include <cstdint>
#include <cstdio>
#include <ctime>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "node/tls/access.h"
#include "node/tls/spiffe.h"
#include "tests/sim/fault_sim.h"

namespace muster {
namespace {

#ifndef MUSTER_PLANTED_BUGS
#error "built with --config=planted only"
#endif

// How long a bug may stay hidden, in seconds of the processor: what else the
// machine does hides nothing.
constexpr double kLimit = 60;
constexpr uint64_t kSeedsMax = 2'000;

double ProcessorSeconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

struct Bug {
  PlantedBug bug;
  const char* name;
  // Where it shows.
  Scenario scenario;
  // Who must report it.
  const char* checker;
};

// All but G15's kOpenMethod: a simulation has no clients with roles.
constexpr Bug kBugs[] = {
    {PlantedBug::kFenceByTimerOnly, "FenceByTimerOnly", Scenario::kPause, "G3"},
    {PlantedBug::kFenceFromReceipt, "FenceFromReceipt", Scenario::kPause, "G3"},
    {PlantedBug::kUncommittedExtends, "UncommittedExtends", Scenario::kStore,
     "G3"},
    {PlantedBug::kReapAtHalfFence, "ReapAtHalfFence", Scenario::kPause, "G1"},
    // Its victim, and its peers, hear of the reap at once, before anybody takes
    // an effect of it for good (G1): what shows is that its fence was open.
    {PlantedBug::kReapWithoutHeartbeat, "ReapWithoutHeartbeat",
     Scenario::kBlind, "G3"},
    {PlantedBug::kClaimWithoutEpoch, "ClaimWithoutEpoch", Scenario::kPause,
     "G1"},
    {PlantedBug::kRepeatTransactions, "RepeatTransactions", Scenario::kStore,
     "G4"},
    {PlantedBug::kLostMayArrive, "LostMayArrive", Scenario::kStore, "G4"},
    {PlantedBug::kKeepGeneration, "KeepGeneration", Scenario::kRestore, "G2"},
    {PlantedBug::kSkipGrave, "SkipGrave", Scenario::kBury, "G1"},
    {PlantedBug::kForgetRestarts, "ForgetRestarts", Scenario::kCrashLoop,
     "G12"},
    {PlantedBug::kUnboundedMailbox, "UnboundedMailbox", Scenario::kFlood,
     "G14"},
    {PlantedBug::kAcceptLateReplies, "AcceptLateReplies", Scenario::kPause,
     "G8"},
    {PlantedBug::kIgnoreEpochs, "IgnoreEpochs", Scenario::kPartition, "G1"},
    {PlantedBug::kRoutesGoBack, "RoutesGoBack", Scenario::kStore, "G5"},
    {PlantedBug::kNoDedup, "NoDedup", Scenario::kPartition, "G6"},
    {PlantedBug::kLostIsNotExecuted, "LostIsNotExecuted", Scenario::kPartition,
     "G7"},
    {PlantedBug::kAdaptiveLifo, "AdaptiveLifo", Scenario::kMixed, "G9"},
    {PlantedBug::kDownForUnreachable, "DownForUnreachable",
     Scenario::kPartition, "G10"},
    {PlantedBug::kNoListAfterGap, "NoListAfterGap", Scenario::kStore, "G11"},
    {PlantedBug::kOrdersWithoutEpoch, "OrdersWithoutEpoch",
     Scenario::kLateOrders, "G11"},
    {PlantedBug::kFreezeEnds, "FreezeEnds", Scenario::kOutage, "G13"},
};

// Methods without an entry in the table of roles that somebody may call.
std::vector<std::string> OpenToSomebody() {
  std::vector<std::string> open;
  for (const char* path :
       {"/muster.admin.v1.AdminService/Nothing",
        "/muster.sys.v1.Nothing/GetState", "/grpc.channelz.v1.Channelz/Get"}) {
    for (const Role role : {Role::kNode, Role::kClient, Role::kViewer,
                            Role::kOperator, Role::kAdmin}) {
      Identity who;
      who.trust_domain = "example.org";
      who.cluster = "demo";
      who.role = role;
      who.name = "x";
      if (!AccessPolicy().Check(who, path, std::nullopt).ok()) continue;
      open.push_back(absl::StrCat(RoleName(role), " ", path));
    }
  }
  return open;
}

void Plant(const Bug* bug) {
  internal::planted_bugs.store(
      bug == nullptr ? 0 : uint64_t{1} << static_cast<uint32_t>(bug->bug));
}

class PlantedTest : public testing::TestWithParam<Bug> {
 protected:
  ~PlantedTest() override { Plant(nullptr); }
};

TEST_P(PlantedTest, IsCaughtByItsChecker) {
  const Bug& bug = GetParam();
  const double began = ProcessorSeconds();
  std::string others;
  for (uint64_t seed = 1; seed <= kSeedsMax; ++seed) {
    if (ProcessorSeconds() - began > kLimit) break;
    FaultSimOptions options;
    options.seed = seed;
    options.scenario = seed % 4 == 0 ? Scenario::kMixed : bug.scenario;
    Plant(&bug);
    const FaultSimResult with = RunFaultSim(options);
    Plant(nullptr);
    if (!with.Breaks(bug.checker)) {
      if (!with.violations.empty()) {
        absl::StrAppend(&others, "\nseed ", seed, ": ", with.violations[0]);
      }
      continue;
    }
    for (const std::string& violation : with.violations) {
      if (!absl::StartsWith(violation, absl::StrCat(bug.checker, " "))) {
        continue;
      }
      std::printf("%s: seed %llu after %.1f s: %s\n", bug.name,
                  static_cast<unsigned long long>(seed),
                  ProcessorSeconds() - began, violation.c_str());
      break;
    }
    const FaultSimResult without = RunFaultSim(options);
    EXPECT_TRUE(without.violations.empty())
        << "without the bug, seed " << seed << ":\n"
        << absl::StrJoin(without.violations, "\n");
    return;
  }
  ADD_FAILURE() << bug.checker << " never noticed" << others.substr(0, 2000);
}

INSTANTIATE_TEST_SUITE_P(Bugs, PlantedTest, testing::ValuesIn(kBugs),
                         [](const testing::TestParamInfo<Bug>& info) {
                           return std::string(info.param.name);
                         });

// G15's checker, as in tests/unit/node/tls/access_test.cc: what is not in the
// table of roles is nobody's.
TEST(PlantedOpenMethodTest, IsCaughtByTheTableOfRoles) {
  constexpr Bug kBug = {PlantedBug::kOpenMethod, "OpenMethod", Scenario::kMixed,
                        "G15"};
  const std::vector<std::string> keeps = OpenToSomebody();
  Plant(&kBug);
  const std::vector<std::string> breaks = OpenToSomebody();
  Plant(nullptr);
  EXPECT_EQ(keeps, std::vector<std::string>());
  EXPECT_NE(breaks, std::vector<std::string>());
}

}  // namespace
}  // namespace muster
