#include "cluster/supervisor/placement.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

using store::v1::Placement;

MemberView Node(const std::string& node, int load = 0,
                const std::string& zone = "") {
  MemberView member;
  member.node = node;
  member.types = {"t"};
  member.load = load;
  if (!zone.empty()) member.labels["zone"] = zone;
  return member;
}

PlacementRequest For(const Placement& placement,
                     absl::string_view name = "a") {
  PlacementRequest request;
  request.name = name;
  request.type = "t";
  request.placement = &placement;
  return request;
}

std::string Choose(const PlacementRequest& request,
                   const std::vector<MemberView>& members) {
  std::vector<const MemberView*> nodes;
  for (const MemberView& member : members) nodes.push_back(&member);
  return nodes[PolicyOf(*request.placement).Choose(request, nodes)]->node;
}

Placement Spread() {
  Placement placement;
  placement.set_policy(Placement::SPREAD);
  placement.set_spread_by("zone");
  return placement;
}

Placement Hash() {
  Placement placement;
  placement.set_policy(Placement::HASH);
  return placement;
}

// -- Who may -----------------------------------------------------------------

TEST(PlacementTest, EachReasonThatRulesANodeOut) {
  Placement placement;
  EXPECT_EQ(Ineligible(For(placement), Node("n")), "");
  MemberView other = Node("n");
  other.types = {"u"};
  EXPECT_EQ(Ineligible(For(placement), other), "without the type 't'");
  MemberView draining = Node("n");
  draining.draining = true;
  EXPECT_EQ(Ineligible(For(placement), draining), "draining");
  (*placement.mutable_require())["zone"] = "a";
  EXPECT_EQ(Ineligible(For(placement), Node("n", 0, "b")),
            "without the label zone=\"a\"");
  EXPECT_EQ(Ineligible(For(placement), Node("n")),
            "without the label zone=\"a\"");
  EXPECT_EQ(Ineligible(For(placement), Node("n", 0, "a")), "");
  placement.set_pin("m");
  EXPECT_EQ(Ineligible(For(placement), Node("n", 0, "a")),
            "the child is pinned to 'm'");
}

TEST(PlacementTest, ItSaysWhyNobodyFits) {
  Placement placement;
  EXPECT_EQ(WhyNowhere(For(placement), {}), "no node has the type 't'");
  MemberView other = Node("n0");
  other.types = {};
  EXPECT_EQ(WhyNowhere(For(placement), {other}), "no node has the type 't'");
  (*placement.mutable_require())["zone"] = "a";
  MemberView draining = Node("n1", 0, "a");
  draining.draining = true;
  EXPECT_EQ(WhyNowhere(For(placement),
                       {Node("n3", 0, "b"), other, draining, Node("n2")}),
            "no node fits: n1 draining; n2, n3 without the label "
            "zone=\"a\"; n0 without the type 't'");
}

TEST(PlacementTest, TheReasonStaysShortInALargeCluster) {
  Placement placement;
  std::vector<MemberView> members;
  for (int i = 100; i < 300; ++i) {
    members.push_back(Node(absl::StrCat("n", i)));
    members.back().draining = true;
  }
  EXPECT_EQ(WhyNowhere(For(placement), members),
            "no node fits: n100, n101, n102 and 197 more draining");
}

TEST(PlacementTest, APinnedChildSaysWhatIsWithItsNode) {
  Placement placement;
  placement.set_pin("m");
  EXPECT_EQ(WhyNowhere(For(placement), {Node("n")}),
            "pinned to node 'm', which is not a member");
  MemberView draining = Node("m");
  draining.draining = true;
  EXPECT_EQ(WhyNowhere(For(placement), {Node("n"), draining}),
            "pinned to node 'm', which is draining");
}

// -- Who is chosen -----------------------------------------------------------

TEST(PlacementTest, FewestTakesTheLightestThenTheSmallerName) {
  const Placement placement;
  EXPECT_EQ(Choose(For(placement), {Node("c", 1), Node("b", 0), Node("a", 2)}),
            "b");
  EXPECT_EQ(Choose(For(placement), {Node("c", 1), Node("b", 1), Node("a", 1)}),
            "a");
}

TEST(PlacementTest, SpreadTakesTheEmptiestZoneWhateverItsNodesCarry) {
  const Placement placement = Spread();
  std::vector<MemberView> members = {Node("a1", 0, "a"), Node("a2", 0, "a"),
                                     Node("b1", 50, "b")};
  members[0].own = 1;
  EXPECT_EQ(Choose(For(placement), members), "b1");
  members[2].own = 1;
  EXPECT_EQ(Choose(For(placement), members), "a1");
  members[0].load = 1;
  EXPECT_EQ(Choose(For(placement), members), "a2");
}

// However zones and nodes are: after any number of children, zones differ by
// at most one, and so do the nodes of each.
TEST(PlacementTest, SpreadIsBalanced) {
  const Placement placement = Spread();
  SimRandom dice(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<MemberView> members;
    const uint64_t zones = 1 + dice.Below(4);
    for (uint64_t zone = 0; zone < zones; ++zone) {
      const uint64_t nodes = 1 + dice.Below(4);
      for (uint64_t i = 0; i < nodes; ++i) {
        members.push_back(Node(absl::StrCat("n", zone, "-", i), 0,
                               absl::StrCat("z", zone)));
      }
    }
    const uint64_t children = dice.Below(40);
    for (uint64_t i = 0; i < children; ++i) {
      const std::string node = Choose(For(placement), members);
      for (MemberView& member : members) {
        if (member.node != node) continue;
        ++member.own;
        ++member.load;
      }
    }
    std::map<std::string, int> per_zone;
    std::map<std::string, std::pair<int, int>> nodes;
    for (const MemberView& member : members) {
      const std::string& zone = member.labels.at("zone");
      per_zone[zone] += member.own;
      auto [at, fresh] = nodes.emplace(zone, std::pair(member.own, member.own));
      at->second.first = std::min(at->second.first, member.own);
      at->second.second = std::max(at->second.second, member.own);
    }
    int least = 1000;
    int most = 0;
    for (const auto& [zone, count] : per_zone) {
      least = std::min(least, count);
      most = std::max(most, count);
      EXPECT_LE(nodes[zone].second - nodes[zone].first, 1);
    }
    EXPECT_LE(most - least, 1);
  }
}

TEST(PlacementTest, HashMovesOnlyWhatItsNodeTakesAlong) {
  const Placement placement = Hash();
  SimRandom dice(2);
  for (int round = 0; round < 50; ++round) {
    std::vector<MemberView> members;
    const uint64_t nodes = 2 + dice.Below(6);
    for (uint64_t i = 0; i < nodes; ++i) {
      members.push_back(Node(absl::StrCat("n", dice.Below(1000), "-", i)));
    }
    std::vector<MemberView> fewer = members;
    const std::string gone = fewer[dice.Below(nodes)].node;
    std::erase_if(fewer, [&](const MemberView& m) { return m.node == gone; });
    for (int child = 0; child < 100; ++child) {
      const std::string name = absl::StrCat("child", child);
      const std::string before = Choose(For(placement, name), members);
      const std::string after = Choose(For(placement, name), fewer);
      if (before != gone) {
        EXPECT_EQ(before, after);
      } else {
        EXPECT_NE(after, gone);
      }
      // In whatever order they come, and whatever they carry.
      std::vector<MemberView> shuffled(members.rbegin(), members.rend());
      for (MemberView& member : shuffled) {
        member.load = static_cast<int>(dice.Below(100));
      }
      EXPECT_EQ(Choose(For(placement, name), shuffled), before);
    }
  }
}

TEST(PlacementTest, HashGivesEachNodeItsShare) {
  const Placement placement = Hash();
  const std::vector<MemberView> members = {Node("a"), Node("b"), Node("c"),
                                           Node("d"), Node("e")};
  std::map<std::string, int> children;
  for (int i = 0; i < 5000; ++i) {
    ++children[Choose(For(placement, absl::StrCat("child", i)), members)];
  }
  for (const auto& [node, count] : children) {
    EXPECT_GT(count, 850) << node;
    EXPECT_LT(count, 1150) << node;
  }
}

// The same on every machine and in every version: nodes agree by it.
TEST(PlacementTest, TheWeightIsFixed) {
  EXPECT_EQ(RendezvousWeight("a", "n1"), RendezvousWeight("a", "n1"));
  EXPECT_NE(RendezvousWeight("a", "n1"), RendezvousWeight("n1", "a"));
  EXPECT_NE(RendezvousWeight("ab", "c"), RendezvousWeight("b", "ca"));
}

}  // namespace
}  // namespace muster
