// Horde's suites of clusters, splits and failover, on applied trees.
//
// Members and child records are in the store, so a split is a side without it:
// that side freezes, the other takes over, and never do two copies act.
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/supervisor/env.h"
#include "cluster/supervisor/reconciler.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/conformance/otp/horde_fixture.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/tree_fixture.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

// -- Members -----------------------------------------------------------------

class HordeMembers : public TreeFixture {
 protected:
  explicit HordeMembers(int nodes = 2) : TreeFixture(nodes) {}

  std::vector<std::string> MembersAt(int node) {
    std::vector<std::string> names;
    for (const Member& member : cluster_.node(node).membership().Members()) {
      names.push_back(member.record.node());
    }
    return names;
  }
};

// Names and trees have the same members: the nodes.
TEST_F(HordeMembers, HRD01_NodesThatStartTogetherAreBothMembers) {
  OTP_CASE("HRD.01 HRD.02 HRD.52", "HO1");
  for (int node = 0; node < 2; ++node) {
    EXPECT_THAT(MembersAt(node), ElementsAre("n0", "n1"));
  }
}

TEST_F(HordeMembers, HRD08_MemberThatLeavesIsRemovedAndCanComeBack) {
  OTP_CASE("HRD.08", "HO1");
  cluster_.LeaveNode(1);
  ASSERT_TRUE(cluster_.RunUntil([&] { return MembersAt(0).size() == 1; }));
  EXPECT_THAT(MembersAt(0), ElementsAre("n0"));
  cluster_.StartNode(1);
  ASSERT_TRUE(cluster_.RunUntil([&] { return cluster_.IsJoined(1); }));
  ASSERT_TRUE(cluster_.RunUntil([&] { return MembersAt(0).size() == 2; }));
  EXPECT_THAT(MembersAt(1), ElementsAre("n0", "n1"));
}

class HordeSingle : public TreeFixture {
 protected:
  HordeSingle() : TreeFixture(1) {}
};

TEST_F(HordeSingle, HRD09_SingleMemberStartsChildren) {
  OTP_CASE("HRD.09", "HO2");
  MustApply(Tree({"a"}));
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), 0);
  EXPECT_TRUE(Value("s_a").ok());
}

class HordeThree : public HordeMembers {
 protected:
  HordeThree() : HordeMembers(3) {}
};

TEST_F(HordeThree, HRD10_AllNodesAreMembersByThemselves) {
  OTP_CASE("HRD.10 HRD.11 HRD.53", "HO1");
  for (int node = 0; node < 3; ++node) {
    EXPECT_THAT(MembersAt(node), ElementsAre("n0", "n1", "n2"));
  }
}

TEST_F(HordeThree, HRD12_NewNodeIsAMemberAndGetsChildren) {
  OTP_CASE("HRD.12", "HO1");
  cluster_.LeaveNode(2);
  ASSERT_TRUE(cluster_.RunUntil([&] { return MembersAt(0).size() == 2; }));
  MustApply(Tree({"a", "b"}));
  cluster_.StartNode(2);
  ASSERT_TRUE(cluster_.RunUntil([&] {
    return cluster_.IsJoined(2) && MembersAt(0).size() == 3 &&
           MembersAt(1).size() == 3;
  }));
  MustApply(Tree({"a", "b", "c"}));
  EXPECT_EQ(cluster_.LivingOwnerOf("s_c"), 2);
}

// Upstream waits until two of three members see each other; here a node waits
// until the store takes it in.
TEST(HordeQuorumTest, HRD43_NodeWaitsForTheStoreAndNotForEver) {
  OTP_CASE("HRD.43", "HO7");
  SimCluster cluster(1, 3);
  cluster.store().DisconnectAll();
  cluster.StartNode(0);
  ASSERT_TRUE(
      cluster.RunUntil([&] { return cluster.StartResult(0).has_value(); }));
  EXPECT_EQ(cluster.StartResult(0)->code(), absl::StatusCode::kUnavailable)
      << *cluster.StartResult(0);
  EXPECT_FALSE(cluster.IsJoined(0));
  cluster.store().ReconnectAll();
  cluster.RestartNode(0);
  cluster.StartNode(1);
  ASSERT_TRUE(cluster.RunUntil(
      [&] { return cluster.IsJoined(0) && cluster.IsJoined(1); }));
  EXPECT_TRUE(cluster.StartResult(0)->ok());
  EXPECT_TRUE(cluster.StartResult(1)->ok());
}

// -- Placement ---------------------------------------------------------------

// Random members, of which some have the type; the fewest children win.
TEST(HordePlacementTest, HRD24_ChoosesAMemberThatIsThere) {
  OTP_CASE("HRD.24 HRD.26 HRD.27", "HO2");
  SimRandom dice(7);
  int refused = 0;
  for (int round = 0; round < 500; ++round) {
    std::map<std::string, int> loads;  // Of those that have the type.
    std::vector<MemberView> members;
    const int count = static_cast<int>(dice.Below(5));
    for (int i = 0; i < count; ++i) {
      MemberView member;
      member.node = absl::StrCat("n", dice.Below(1000), "-", i);
      member.load = static_cast<int>(dice.Below(4));
      if (dice.Below(3) != 0) {
        member.types = {"t"};
        loads[member.node] = member.load;
      }
      members.push_back(std::move(member));
    }
    ChildView child;
    child.id = "a";
    child.type = "t";
    const std::vector<Action> actions =
        Reconcile({child}, std::move(members), BootTime());
    ASSERT_THAT(actions, SizeIs(1));
    if (loads.empty()) {
      ++refused;
      EXPECT_EQ(actions[0].kind, Action::Kind::kPending);
      EXPECT_EQ(actions[0].why, "no node has the type 't'");
      continue;
    }
    EXPECT_EQ(actions[0].kind, Action::Kind::kStart);
    ASSERT_TRUE(loads.contains(actions[0].node));
    for (const auto& [node, load] : loads) {
      EXPECT_LE(loads[actions[0].node], load);
    }
  }
  EXPECT_GT(refused, 10);
}

// Every way to split three nodes into one side with the store and one without.
class HordeSides : public TreeFixture,
                   public ::testing::WithParamInterface<int> {
 protected:
  HordeSides() : TreeFixture(3) {}
};

INSTANTIATE_TEST_SUITE_P(Splits, HordeSides, ::testing::Range(0, 8));

TEST_P(HordeSides, HRD25_OnlyTheSideWithTheStorePlaces) {
  OTP_CASE("HRD.25", "HO7");
  std::set<int> with;
  std::set<int> without;
  for (int node = 0; node < 3; ++node) {
    ((GetParam() >> node) & 1 ? with : without).insert(node);
  }
  for (const int node : without) {
    cluster_.store().Disconnect(cluster_.store_client(node), SimCut::kRefused);
    for (const int other : with) CutLink(node, other);
  }
  // Past the silence after which the others are no members.
  cluster_.RunFor(absl::Seconds(8));
  int placed = 0;
  for (const auto& side : {with, without}) {
    if (side.empty()) continue;
    const std::string supervisor = absl::StrCat("on", *side.begin());
    const auto applied = cluster_.Apply(*side.begin(), Tree({"a"}, supervisor));
    EXPECT_EQ(applied.ok(), side == with) << applied.status();
    cluster_.RunFor(absl::Seconds(2));
    const int owner = cluster_.LivingOwnerOf(NameOf("a", supervisor));
    EXPECT_EQ(owner >= 0, side == with);
    if (owner >= 0) {
      ++placed;
      EXPECT_TRUE(with.contains(owner));
    }
  }
  EXPECT_EQ(placed, with.empty() ? 0 : 1);
}

// -- Failover ----------------------------------------------------------------

TEST_F(HordeFailover, HRD21_NameIsAliveOnTheOtherAfterItsNodeStops) {
  OTP_CASE("HRD.21", "HO4");
  MustApply(Tree({"a"}));
  const int owner = cluster_.LivingOwnerOf("s_a");
  const Epoch before = EpochOf("s_a");
  cluster_.LeaveNode(owner);
  ASSERT_TRUE(AwaitNewer("s_a", before));
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), 1 - owner);
  ASSERT_TRUE(cluster_.AwaitChild(1 - owner, "s", "a", "running"));
  EXPECT_TRUE(Value("s_a", 1 - owner).ok());
}

TEST_F(HordeFailover, HRD37_StoppingNodeShutsItsChildrenDownBeforeTheyMove) {
  OTP_CASE("HRD.37", "HO5");
  const std::vector<std::string> ids = Ids(200);
  MustApply(Tree(ids));
  std::set<std::string> there;
  for (const std::string& id : ids) {
    if (cluster_.LivingOwnerOf(NameOf(id)) == 1) there.insert(NameOf(id));
  }
  ASSERT_THAT(there, SizeIs(100));
  cluster_.LeaveNode(1);
  EXPECT_EQ(
      std::set<std::string>(script_->stopped.begin(), script_->stopped.end()),
      there);
  ExpectWhole(ids);
  EXPECT_EQ(script_->living_max, 200);
}

class HordeFailoverThree : public HordeFailover {
 protected:
  HordeFailoverThree() : HordeFailover(3) {}
};

TEST_F(HordeFailoverThree, HRD36_DeadNodesChildrenAreTakenOver) {
  OTP_CASE("HRD.36 HRD.45", "HO4 HO6");
  const std::vector<std::string> ids = Ids(200);
  MustApply(Tree(ids));
  std::map<std::string, int> before;
  for (const std::string& id : ids) {
    before[id] = cluster_.LivingOwnerOf(NameOf(id));
  }
  cluster_.KillNode(1);
  ExpectWhole(ids);
  ASSERT_TRUE(AwaitCount(0, "running", 200));
  EXPECT_EQ(script_->living_max, 200) << "never more";
  for (const std::string& id : ids) {
    EXPECT_EQ(script_->starts[NameOf(id)], before[id] == 1 ? 2 : 1) << id;
  }
}

TEST_F(HordeFailoverThree, HRD44_MemberThatJoinsMovesNothing) {
  OTP_CASE("HRD.44", "HO6");
  cluster_.LeaveNode(2);
  const std::vector<std::string> ids = Ids(20);
  MustApply(Tree(ids));
  const std::set<Pid> before = Pids(0, ids);
  cluster_.StartNode(2);
  ASSERT_TRUE(cluster_.RunUntil([&] { return cluster_.IsJoined(2); }));
  cluster_.RunFor(absl::Seconds(20));
  EXPECT_EQ(Pids(0, ids), before);
  EXPECT_EQ(Pids(2, ids), before);
  EXPECT_EQ(Owners(ids), (std::set<int>{0, 1}));
}

TEST_F(HordeFailover, HRD14_SplitLeavesOneThatActs) {
  OTP_CASE("HRD.14", "HO7 HO11");
  MustApply(Tree({"a"}));
  const int cut = cluster_.LivingOwnerOf("s_a");
  const Epoch before = EpochOf("s_a");
  CutOff(cut);
  ASSERT_TRUE(AwaitNewer("s_a", before));
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), 1 - cut);
  cluster_.RunFor(absl::Seconds(5));
  const Epoch taken = EpochOf("s_a");
  Heal(cut);
  ASSERT_TRUE(cluster_.RunUntil([&] { return cluster_.Reaps(cut) == 1; }));
  ASSERT_TRUE(cluster_.RunUntil([&] { return cluster_.IsJoined(cut); }));
  cluster_.RunFor(absl::Seconds(5));
  EXPECT_EQ(EpochOf("s_a"), taken) << "the heal changes nothing";
  ExpectWhole({"a"});
}

}  // namespace
}  // namespace muster
