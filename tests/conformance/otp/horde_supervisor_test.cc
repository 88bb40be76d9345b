// Horde's supervisor suite, on applied trees.
//
// A child's id is its own and unique in its tree, so "the same spec twice" is
// two ids; the same id is the same child.
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/tree_fixture.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const Pid kNobody;

class HordeSupervisor : public TreeFixture {
 protected:
  HordeSupervisor() : TreeFixture(2) {}

  // Ids of the tree's children as `via` tells them, in start order.
  std::vector<std::string> Children(int via) {
    std::vector<std::string> ids;
    const auto tree = cluster_.GetTree(via);
    EXPECT_TRUE(tree.ok()) << tree.status();
    if (!tree.ok()) return ids;
    for (const auto& supervisor : tree->supervisors()) {
      for (const auto& child : supervisor.children()) ids.push_back(child.id());
    }
    return ids;
  }
};

// -- Starting ----------------------------------------------------------------

TEST_F(HordeSupervisor, HRD30_StartsAProcessAndTellsItsPid) {
  OTP_CASE("HRD.30", "HO2");
  MustApply(Tree({"a"}));
  const auto child = cluster_.FindChild(1, "s", "a");
  ASSERT_TRUE(child.has_value());
  const Pid pid = Pid::FromProto(child->pid());
  EXPECT_EQ(pid, WhereIs(0, "s_a"));
  EXPECT_TRUE(Alive(cluster_.LivingOwnerOf("s_a"), pid));
  EXPECT_TRUE(Value("s_a").ok());
}

TEST_F(HordeSupervisor, HRD31_SameSpecUnderTwoIdsIsTwoProcesses) {
  OTP_CASE("HRD.31", "HO2");
  MustApply(Tree({"a", "b"}));
  EXPECT_NE(WhereIs(0, "s_a"), WhereIs(0, "s_b"));
  EXPECT_EQ(script_->living, 2);
  // The same id is the one that runs; in one manifest it is a mistake.
  EXPECT_THAT(MustApply(Tree({"a", "b"})).unchanged(), ElementsAre("a", "b"));
  EXPECT_EQ(script_->living_max, 2);
  EXPECT_EQ(ReasonOf(cluster_.Apply(0, Tree({"a", "b", "a"})).status()),
            "BAD_MANIFEST");
  EXPECT_EQ(script_->living_max, 2);
}

TEST_F(HordeSupervisor, HRD32_ChildrenStartOnDifferentNodes) {
  OTP_CASE("HRD.32", "HO2");
  const std::vector<std::string> ids = Ids(10);
  MustApply(Tree(ids));
  EXPECT_EQ(Owners(ids), (std::set<int>{0, 1}));
}

TEST_F(HordeSupervisor, HRD29_SpecOverridesWhatTheTypeSays) {
  OTP_CASE("HRD.29", "HO2");
  cluster::v1::Manifest tree = Tree({"plain", "other"});
  cluster::v1::ManifestChild& other = *tree.mutable_children(1);
  other.set_name("elsewhere");
  other.set_restart(store::v1::TEMPORARY);
  other.mutable_shutdown()->set_brutal_kill(true);
  (*other.mutable_options()->mutable_fields())["initial_value"]
      .set_number_value(7);
  MustApply(tree);
  EXPECT_EQ(cluster_.FindChild(0, "s", "plain")->restart(),
            store::v1::PERMANENT);
  EXPECT_EQ(cluster_.FindChild(0, "s", "other")->restart(),
            store::v1::TEMPORARY);
  EXPECT_EQ(*Value("s_plain"), 0);
  EXPECT_EQ(*Value("elsewhere"), 7);
  // Asked to stop, the one may clean up; the other is killed at once.
  ASSERT_TRUE(cluster_.Apply(0, Tree({})).ok());
  ASSERT_TRUE(cluster_.RunUntil([&] { return script_->living == 0; }));
  EXPECT_THAT(script_->stopped, ElementsAre("s_plain"));
}

TEST_F(HordeSupervisor, HRD42_ChildThatIgnoresItsStartHasEnded) {
  OTP_CASE("HRD.42", "HO8 S24");
  script_->ignored = {"s_a"};
  ASSERT_TRUE(cluster_.Apply(0, Tree({"a", "b"})).ok());
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "a", "ended"));
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "b", "running"));
  cluster_.RunFor(absl::Seconds(5));
  EXPECT_EQ(script_->starts["s_a"], 1) << "that was no failure";
  EXPECT_EQ(Failure(), "");
  EXPECT_EQ(WhereIs(0, "s_a"), kNobody);
  EXPECT_EQ(ReasonOf(Value("s_a").status()), "NOPROC");
}

TEST_F(HordeSupervisor, HRD13_SlowAndCrashingStartsDoNotBlockIt) {
  OTP_CASE("HRD.13", "HO8");
  script_->init_takes["s_a"] = absl::Seconds(2);
  script_->crashes["s_a"] = 2;
  script_->init_takes["s_b"] = absl::Seconds(3);
  ASSERT_TRUE(cluster_.Apply(0, Tree({"a", "b"})).ok());
  // All the while, the children are told at once.
  const BootTime begin = cluster_.world().clock().Boot();
  while (cluster_.world().clock().Boot() - begin < absl::Seconds(5)) {
    const BootTime asked = cluster_.world().clock().Boot();
    EXPECT_THAT(Children(1), ElementsAre("a", "b"));
    EXPECT_LT(cluster_.world().clock().Boot() - asked, absl::Milliseconds(200));
    cluster_.RunFor(absl::Milliseconds(100));
  }
  EXPECT_GE(script_->starts["s_a"], 2);
  EXPECT_TRUE(cluster_.AwaitChild(0, "s", "a", "running"));
  EXPECT_TRUE(cluster_.AwaitChild(0, "s", "b", "running"));
  cluster_.RunFor(absl::Seconds(10));
  EXPECT_EQ(script_->starts["s_a"], 3);
  EXPECT_EQ(script_->starts["s_b"], 1);
}

// -- Looking -----------------------------------------------------------------

TEST_F(HordeSupervisor, HRD33_TreeWithoutChildrenIsEmpty) {
  OTP_CASE("HRD.33", "HO8");
  MustApply(Tree({}));
  for (int via = 0; via < 2; ++via) {
    ASSERT_TRUE(cluster_.RunUntil(
        [&] { return cluster_.LivingOwnerOf("muster/supervisor/s") >= 0; }));
    EXPECT_THAT(Children(via), IsEmpty());
    EXPECT_EQ(cluster_.GetTree(via)->supervisors_size(), 1);
  }
}

TEST_F(HordeSupervisor, HRD34_ChildrenOfAllNodesAreTold) {
  OTP_CASE("HRD.34", "HO8");
  MustApply(Tree({"a", "b"}));
  for (int via = 0; via < 2; ++via) {
    std::set<std::string> nodes;
    EXPECT_THAT(Children(via), ElementsAre("a", "b"));
    for (const char* id : {"a", "b"}) {
      ASSERT_TRUE(cluster_.AwaitChild(via, "s", id, "running"));
      nodes.insert(cluster_.FindChild(via, "s", id)->node());
    }
    EXPECT_EQ(nodes, (std::set<std::string>{"n0", "n1"}));
  }
}

TEST_F(HordeSupervisor, HRD35_ChildrenAreCounted) {
  OTP_CASE("HRD.35", "HO8");
  MustApply(Tree(Ids(10)));
  for (int via = 0; via < 2; ++via) {
    EXPECT_TRUE(AwaitCount(via, "running", 10));
    EXPECT_THAT(Children(via), SizeIs(10));
  }
}

// -- Restarting --------------------------------------------------------------

TEST_F(HordeSupervisor, HRD40_TransientChildThatFailsStays) {
  OTP_CASE("HRD.40", "HO4");
  cluster::v1::Manifest tree = Tree({"a"});
  tree.mutable_children(0)->set_restart(store::v1::TRANSIENT);
  MustApply(tree);
  const int node = cluster_.LivingOwnerOf("s_a");
  const Epoch before = EpochOf("s_a");
  EXPECT_FALSE(Crash("s_a").ok());
  ASSERT_TRUE(AwaitNewer("s_a", before));
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "a", "running"));
  EXPECT_THAT(Children(0), ElementsAre("a"));
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), node) << "restarted where it was";
  EXPECT_EQ(cluster_.store()
                .state()
                .List(cluster_.keys().ChildPrefix("s"))
                .items.size(),
            1u);
  EXPECT_EQ(script_->starts["s_a"], 2);
}

// Upstream's supervisor is itself restarted, empty; a cluster supervisor that
// gives up stops its children and stands there as failed, until it is applied
// again.
TEST_F(HordeSupervisor, HRD16_ChildRestartsOnceAndIsGoneAfterTwoCrashes) {
  OTP_CASE("HRD.16 HRD.17", "HO4 S18 S19");
  cluster::v1::Manifest tree = Tree({"a", "b"});
  tree.set_intensity(1);
  tree.mutable_period()->set_seconds(60);
  MustApply(tree);
  const Epoch before = EpochOf("s_a");
  EXPECT_FALSE(Crash("s_a").ok());
  ASSERT_TRUE(AwaitNewer("s_a", before));
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "a", "running"));
  EXPECT_TRUE(Value("s_a").ok());
  EXPECT_EQ(Failure(), "");

  EXPECT_FALSE(Crash("s_a").ok());
  ASSERT_TRUE(cluster_.RunUntil([&] { return script_->living == 0; }));
  cluster_.RunFor(absl::Seconds(5));
  EXPECT_EQ(script_->living, 0);
  EXPECT_EQ(script_->starts["s_a"], 2);
  EXPECT_EQ(script_->starts["s_b"], 1);
  for (const char* name : {"s_a", "s_b"}) {
    EXPECT_FALSE(cluster_.OwnerOf(name).has_value()) << name;
  }
  EXPECT_EQ(Failure(), "more than 1 restarts within 1m");
  MustApply(tree);
  EXPECT_TRUE(Value("s_a").ok());
  EXPECT_EQ(Failure(), "");
}

}  // namespace
}  // namespace muster
