// syn's registry suite, on the cluster-wide names and on the node's Registry.
//
// Two owners of one name cannot arise, so cases that merge them become: the
// second registration was refused while the split lasted, the first stands.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/conformance/otp/global_fixture.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

using ::testing::SizeIs;

const Pid kNobody;

class SynRegistry : public GlobalFixture {
 protected:
  SynRegistry() : GlobalFixture(3) {}
};

TEST_F(SynRegistry, SYN01_ViaRegistersAndUnregisters) {
  OTP_CASE("SYN.01", "SY2 C1");
  int infos = 0;
  Script script;
  script.info = [&](Info, Context&) {
    ++infos;
    return Next();
  };
  const ServerRef via = ServerRef::Via("global", "name");
  const absl::StatusOr<Pid> pid =
      StartNamed(0, ServerName::Via("global", "name"), script);
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_EQ(*Call(0, via, 7), 7);
  EXPECT_EQ(WhereIs(0, "name"), *pid);
  RuntimeOf(0).Send(via, Info(MakeInt64(1)));
  EXPECT_TRUE(cluster_.RunUntil([&] { return infos == 1; }));
  RuntimeOf(0).SendExit(Pid(), *pid, ExitReason::Shutdown());
  EXPECT_TRUE(AllSee("name", kNobody));
  EXPECT_EQ(ReasonOf(Call(0, via, 7).status()), "NOPROC");
  RuntimeOf(0).Send(via, Info(MakeInt64(1)));  // Dropped (otp P3).
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_EQ(infos, 1);
}

TEST_F(SynRegistry, SYN08_RaceHasOneConsistentOwner) {
  OTP_CASE("SYN.08", "SY3");
  for (int round = 0; round < 20; ++round) {
    const std::string name = absl::StrCat("race", round);
    std::vector<Pid> pids;
    std::vector<Registration> answers;
    for (int node = 0; node < 3; ++node) pids.push_back(Spawn(node));
    for (int node = 0; node < 3; ++node) {
      answers.push_back(
          StartRegister(node, name, pids[static_cast<size_t>(node)]));
    }
    std::vector<Pid> winners;
    std::vector<absl::Status> losers;
    for (size_t i = 0; i < 3; ++i) {
      const absl::StatusOr<Epoch> answer = Await(answers[i]);
      if (answer.ok()) {
        winners.push_back(pids[i]);
      } else {
        losers.push_back(answer.status());
      }
    }
    ASSERT_THAT(winners, SizeIs(1)) << name;
    for (const absl::Status& lost : losers) {
      EXPECT_EQ(ReasonOf(lost), "ALREADY_STARTED") << lost;
      EXPECT_EQ(DetailOf(lost, "pid"), winners[0].ToString());
    }
    EXPECT_TRUE(AllSee(name, winners[0]));
  }
}

TEST_F(SynRegistry, SYN07_SplitAndRejoinRestoreWhatAllKnow) {
  OTP_CASE("SYN.07", "SY3 SY6");
  std::vector<Pid> pids;
  for (int node = 0; node < 3; ++node) {
    pids.push_back(Spawn(node));
    ASSERT_TRUE(Register(node, absl::StrCat("on", node), pids.back()).ok());
  }
  const auto all_whole = [&] {
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_TRUE(AllSee(absl::StrCat("on", i), pids[i]));
    }
  };
  all_whole();
  // Streams between two nodes are no part of it.
  CutLink(1, 2);
  cluster_.RunFor(absl::Seconds(5));
  all_whole();
  // A node without the store loses its place, and its names with it.
  CutOff(2);
  EXPECT_TRUE(See({0, 1}, "on2", kNobody));
  EXPECT_TRUE(See({0, 1}, "on0", pids[0]));
  EXPECT_TRUE(See({0, 1}, "on1", pids[1]));
  Heal(2);
  EXPECT_TRUE(cluster_.RunUntil([&] { return cluster_.Reaps(2) == 1; }));
  EXPECT_TRUE(cluster_.RunUntil([&] { return cluster_.IsJoined(2); }));
  EXPECT_TRUE(AllSee("on0", pids[0]));
  EXPECT_TRUE(AllSee("on1", pids[1]));
  EXPECT_TRUE(AllSee("on2", kNobody));
  pids[2] = Spawn(2);
  ASSERT_TRUE(Register(2, "on2", pids[2]).ok());
  all_whole();
}

// Upstream drops an entry that a peer's snapshot lacks; here the peer is the
// store, whose list is the whole truth.
TEST_F(SynRegistry, SYN13_StaleEntriesGoWithTheNextSnapshot) {
  OTP_CASE("SYN.12 SYN.13", "SY6");
  const Pid stale = Spawn(0);
  const Pid kept = Spawn(0);
  ASSERT_TRUE(Register(0, "stale", stale).ok());
  ASSERT_TRUE(Register(0, "kept", kept).ok());
  ASSERT_TRUE(AllSee("stale", stale));
  // Node 2 misses events, and the history that would replay them is gone.
  cluster_.store().Disconnect(cluster_.store_client(2), SimCut::kRefused);
  ASSERT_TRUE(Unregister(0, "stale").ok());
  const absl::StatusOr<Epoch> again = Register(0, "fresh", stale);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(WhereIs(2, "stale"), stale) << "it has not heard";
  ASSERT_TRUE(
      cluster_.store().Compact(static_cast<int64_t>(again->revision)).ok());
  cluster_.store().Reconnect(cluster_.store_client(2));
  EXPECT_TRUE(AllSee("stale", kNobody));
  EXPECT_TRUE(AllSee("fresh", stale));
  EXPECT_TRUE(AllSee("kept", kept));
  EXPECT_EQ(cluster_.Reaps(2), 0);
  // Later updates come after it, in order.
  Kill(0, stale);
  EXPECT_TRUE(AllSee("fresh", kNobody));
}

class SynFour : public GlobalFixture,
                public ::testing::WithParamInterface<uint64_t> {
 protected:
  SynFour() : GlobalFixture(4, GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(Seeds, SynFour, ::testing::Values(1, 2, 3));

TEST_P(SynFour, SYN14_NodesRacingForOneNameAgreeInTheEnd) {
  OTP_CASE("SYN.14", "SY3");
  SimRandom dice(GetParam());
  std::vector<Registration> answers;
  int won = 0;
  for (int step = 0; step < 250; ++step) {
    const int node = static_cast<int>(dice.Below(4));
    switch (dice.Below(3)) {
      case 0:
        answers.push_back(StartRegister(node, "name", Spawn(node)));
        break;
      case 1:
        NamesOf(node).Unregister("name", [](const absl::Status&) {});
        break;
      default: {
        const Pid pid = RuntimeOf(node).WhereIsGlobal("name");
        if (!pid.empty()) {
          RuntimeOf(node).SendExit(Pid(), pid, ExitReason::Kill());
        }
      }
    }
    cluster_.RunFor(absl::Milliseconds(dice.Below(20)));
  }
  for (const Registration& answer : answers) {
    const absl::StatusOr<Epoch> outcome = Await(answer);
    if (outcome.ok()) {
      ++won;
    } else {
      EXPECT_THAT(ReasonOf(outcome.status()),
                  ::testing::AnyOf("ALREADY_STARTED", "NOPROC"))
          << outcome.status();
    }
  }
  EXPECT_GT(won, 10);
  cluster_.RunFor(absl::Seconds(5));
  const Pid owner = WhereIs(0, "name");
  EXPECT_TRUE(AllSee("name", owner));
  const int truth = cluster_.LivingOwnerOf("name");
  EXPECT_EQ(truth >= 0, !owner.empty());
  for (int node = 0; node < 4; ++node) {
    const Pid served = RuntimeOf(node).WhereIsGlobal("name");
    EXPECT_EQ(served, node == truth ? owner : kNobody) << node;
  }
}

}  // namespace
}  // namespace muster
