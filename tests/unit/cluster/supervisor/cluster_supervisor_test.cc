#include "cluster/supervisor/cluster_supervisor.h"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/supervisor/env.h"
#include "examples/counter/counter.muster.server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/cluster/v1/cluster.pb.h"
#include "muster/store/v1/store.pb.h"
#include "node/gen_server/server_type.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/testkit/sim_cluster.h"
#include "tests/unit/cluster/supervisor/supervisor_fixture.h"

namespace muster {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// -- Applying ----------------------------------------------------------------

TEST_F(ClusterSupervisorTest, SpreadsChildrenOverTheNodes) {
  const auto applied = MustApply(Tree({"a", "b", "c"}));
  EXPECT_THAT(applied.started(), ElementsAre("a", "b", "c"));
  std::set<int> nodes;
  for (const char* name : {"s_a", "s_b", "s_c"}) {
    nodes.insert(cluster_.LivingOwnerOf(name));
  }
  EXPECT_EQ(nodes, (std::set<int>{0, 1, 2}));
}

TEST_F(ClusterSupervisorTest, ApplyingTwiceChangesNothing) {
  MustApply(Tree({"a", "b"}));
  const Epoch before = EpochOf("s_a");
  const int64_t revision =
      static_cast<int64_t>(cluster_.OwnerOf("s_b")->epoch.revision);
  const auto applied = MustApply(Tree({"a", "b"}), 1);
  EXPECT_THAT(applied.unchanged(), ElementsAre("a", "b"));
  EXPECT_EQ(applied.started_size(), 0);
  EXPECT_EQ(applied.restarted_size(), 0);
  cluster_.RunFor(absl::Seconds(3));
  EXPECT_EQ(EpochOf("s_a"), before);
  EXPECT_EQ(static_cast<int64_t>(EpochOf("s_b").revision), revision);
  EXPECT_EQ(script_->starts["s_a"], 1);
}

TEST_F(ClusterSupervisorTest, AChangedSpecRestartsThatChildOnly) {
  auto tree = Tree({"a", "b"});
  MustApply(tree);
  const Epoch a = EpochOf("s_a");
  const Epoch b = EpochOf("s_b");
  SetInitial(tree, 1, 7);
  const auto applied = cluster_.Apply(0, tree);
  ASSERT_TRUE(applied.ok());
  EXPECT_THAT(applied->restarted(), ElementsAre("b"));
  EXPECT_THAT(applied->unchanged(), ElementsAre("a"));
  ASSERT_TRUE(AwaitNewer("s_b", b));
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "b", "running"));
  EXPECT_EQ(EpochOf("s_a"), a);
  EXPECT_EQ(*Value("s_b"), 7);
}

TEST_F(ClusterSupervisorTest, ARemovedChildIsStoppedAndItsNameFree) {
  MustApply(Tree({"a", "b", "c"}));
  const auto applied = cluster_.Apply(0, Tree({"b"}));
  ASSERT_TRUE(applied.ok());
  EXPECT_THAT(applied->stopped(), ElementsAre("a", "c"));
  ASSERT_TRUE(cluster_.RunUntil([&] {
    return !cluster_.OwnerOf("s_a").has_value() &&
           !cluster_.OwnerOf("s_c").has_value();
  }));
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(cluster_.FindChild(1, "s", "a").has_value());
  EXPECT_TRUE(cluster_.FindChild(1, "s", "b").has_value());
  EXPECT_EQ(Value("s_a").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(cluster_.store()
                .state()
                .List(cluster_.keys().ChildPrefix("s"))
                .items.size(),
            1u);
}

// A start that was ordered at a node that pauses may come through when the
// child has run elsewhere since, and is not wanted any more.
TEST_F(ClusterSupervisorTest, AnUnansweredOrderIsFollowedByAStop) {  // G11
  MustApply(Tree({"a"}));
  const int host = cluster_.LivingOwnerOf(SupervisorName("s"));
  const int paused = (host + 1) % 3;
  const int other = (host + 2) % 3;
  cluster_.PauseNode(paused);
  auto tree = Tree({"a", "b"});
  tree.mutable_children(1)->mutable_placement()->set_pin(
      SimCluster::NodeName(paused));
  ASSERT_TRUE(cluster_.Apply(host, tree).ok());
  // Its stream has been lost meanwhile; its epoch lasts longer.
  ASSERT_TRUE(cluster_.RunUntil([&] {
    const auto child = cluster_.FindChild(host, "s", "b");
    return child.has_value() && absl::StrContains(child->detail(), "lost");
  }));
  tree.mutable_children(1)->mutable_placement()->set_pin(
      SimCluster::NodeName(other));
  ASSERT_TRUE(cluster_.Apply(host, tree).ok());
  ASSERT_TRUE(cluster_.AwaitChild(host, "s", "b", "running"));
  ASSERT_EQ(cluster_.LivingOwnerOf("s_b"), other);
  ASSERT_TRUE(cluster_.Apply(host, Tree({"a"})).ok());
  ASSERT_TRUE(
      cluster_.RunUntil([&] { return !cluster_.OwnerOf("s_b").has_value(); }));
  cluster_.ResumeNode(paused);
  cluster_.RunFor(absl::Seconds(2));
  EXPECT_FALSE(cluster_.OwnerOf("s_b").has_value());
  EXPECT_TRUE(cluster_.node(paused).runtime().WhereIsGlobal("s_b").empty());
  EXPECT_FALSE(cluster_.FindChild(host, "s", "b").has_value());
}

TEST_F(ClusterSupervisorTest, ANameOfAnotherSupervisorIsTaken) {
  MustApply(Tree({"a"}));
  auto other = MakeManifest("t", "scripted", {"x"});
  other.mutable_children(0)->set_name("s_a");
  const auto applied = cluster_.Apply(1, other);
  EXPECT_EQ(applied.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(applied.status()), "NAME_TAKEN");
  EXPECT_EQ(DetailOf(applied.status(), "name"), "s_a");
  EXPECT_EQ(std::string(applied.status().message()),
            "the name 's_a' is taken by child 'a' of supervisor 's': names are "
            "cluster-wide; give the child another `name`");
  EXPECT_TRUE(cluster_.store()
                  .state()
                  .List(cluster_.keys().ChildPrefix("t"))
                  .items.empty());
}

TEST_F(ClusterSupervisorTest, ARemovedNameCanBeTakenByAnother) {
  MustApply(Tree({"a"}));
  ASSERT_TRUE(cluster_.Apply(0, Tree({})).ok());
  cluster_.RunFor(absl::Seconds(2));
  auto other = MakeManifest("t", "scripted", {"x"});
  other.mutable_children(0)->set_name("s_a");
  MustApply(other);
  EXPECT_EQ(cluster_.OwnerOf("s_a")->record.supervisor(), "t");
}

// -- Restarting --------------------------------------------------------------

TEST_F(ClusterSupervisorTest, AChildThatThrowsComesBackOnItsNode) {
  MustApply(Tree({"a", "b"}));
  const int node = cluster_.LivingOwnerOf("s_b");
  const Epoch before = EpochOf("s_b");
  const absl::Status crashed = Crash("s_b");
  EXPECT_EQ(crashed.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(OutcomeOf(crashed), Outcome::kUnknown);
  ASSERT_TRUE(AwaitNewer("s_b", before));
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "b", "running"));
  EXPECT_EQ(cluster_.LivingOwnerOf("s_b"), node);
  EXPECT_EQ(script_->starts["s_b"], 2);
  EXPECT_EQ(script_->starts["s_a"], 1);
  EXPECT_TRUE(Value("s_b").ok());
}

TEST_F(ClusterSupervisorTest, ATransientChildComesBackOnlyFromACrash) {
  auto tree = Tree({"a"});
  tree.mutable_children(0)->set_restart(store::v1::TRANSIENT);
  MustApply(tree);
  const Epoch before = EpochOf("s_a");
  Crash("s_a").IgnoreError();
  ASSERT_TRUE(AwaitNewer("s_a", before));
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "a", "running"));
  EndNormally("s_a");
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "a", "ended"));
  cluster_.RunFor(absl::Seconds(3));
  EXPECT_EQ(script_->starts["s_a"], 2);
  EXPECT_FALSE(cluster_.OwnerOf("s_a").has_value());
  EXPECT_EQ(cluster_.FindChild(0, "s", "a")->detail(), "normal");
}

TEST_F(ClusterSupervisorTest, ATemporaryChildNeverComesBack) {
  auto tree = Tree({"a"});
  tree.mutable_children(0)->set_restart(store::v1::TEMPORARY);
  MustApply(tree);
  Crash("s_a").IgnoreError();
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "a", "ended"));
  cluster_.RunFor(absl::Seconds(3));
  EXPECT_EQ(script_->starts["s_a"], 1);
  EXPECT_FALSE(cluster_.OwnerOf("s_a").has_value());
}

TEST_F(ClusterSupervisorTest, APermanentChildComesBackFromANormalEnd) {
  MustApply(Tree({"a"}));
  const Epoch before = EpochOf("s_a");
  EndNormally("s_a");
  ASSERT_TRUE(AwaitNewer("s_a", before));
}

TEST_F(ClusterSupervisorTest, BeyondItsIntensityItGivesUpUntilAppliedAgain) {
  auto tree = Tree({"a", "b"});
  tree.set_intensity(2);
  tree.mutable_period()->set_seconds(60);
  MustApply(tree);
  for (int i = 0; i < 3; ++i) {
    const Epoch before = EpochOf("s_a");
    Crash("s_a").IgnoreError();
    if (i < 2) {
      ASSERT_TRUE(AwaitNewer("s_a", before));
      ASSERT_TRUE(cluster_.AwaitChild(0, "s", "a", "running"));
    }
  }
  ASSERT_TRUE(cluster_.RunUntil([&] {
    return cluster_.LivingOwnerOf("s_a") < 0 &&
           cluster_.LivingOwnerOf("s_b") < 0;
  }));
  EXPECT_EQ(SupervisorFailure(), "more than 2 restarts within 1m");
  cluster_.RunFor(absl::Seconds(5));
  EXPECT_EQ(script_->starts["s_a"], 3);
  MustApply(tree);
  EXPECT_EQ(SupervisorFailure(), "");
  EXPECT_TRUE(Value("s_a").ok());
  EXPECT_TRUE(Value("s_b").ok());
}

TEST_F(ClusterSupervisorTest, ItsRestartsAreCountedAcrossItsFailover) {
  auto tree = Tree({"a", "b", "c"});
  tree.set_intensity(1);
  tree.mutable_period()->set_seconds(600);
  MustApply(tree);
  const Epoch before = EpochOf("s_a");
  Crash("s_a").IgnoreError();
  ASSERT_TRUE(AwaitNewer("s_a", before));
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "a", "running"));
  const Epoch supervisor = EpochOf(SupervisorName("s"));
  cluster_.RestartNode(cluster_.LivingOwnerOf(SupervisorName("s")));
  ASSERT_TRUE(AwaitNewer(SupervisorName("s"), supervisor));
  cluster_.RunFor(absl::Seconds(10));
  Crash("s_a").IgnoreError();
  cluster_.RunFor(absl::Seconds(2));
  EXPECT_EQ(SupervisorFailure(), "more than 1 restarts within 10m");
}

TEST_F(ClusterSupervisorTest, AFailingInitIsTriedAgainAndCounted) {
  script_->failing_inits["s_a"] = 2;
  MustApply(Tree({"a"}));
  EXPECT_EQ(script_->starts["s_a"], 3);
}

TEST_F(ClusterSupervisorTest, AnInitThatAlwaysFailsEndsInGivingUp) {
  script_->failing_inits["s_a"] = 1000;
  auto tree = Tree({"a"});
  tree.set_intensity(2);
  ASSERT_TRUE(cluster_.Apply(0, tree).ok());
  cluster_.RunFor(absl::Seconds(10));
  EXPECT_EQ(script_->starts["s_a"], 3);
  EXPECT_THAT(SupervisorFailure(), HasSubstr("more than 2 restarts"));
  EXPECT_LT(cluster_.LivingOwnerOf("s_a"), 0);
}

// -- Nodes that die ----------------------------------------------------------

TEST_F(ClusterSupervisorTest, ChildrenOfADeadNodeRunElsewhere) {
  MustApply(Tree({"a", "b", "c"}));
  const int supervisor = cluster_.LivingOwnerOf(SupervisorName("s"));
  std::string victim;
  for (const char* id : {"a", "b", "c"}) {
    if (cluster_.LivingOwnerOf(absl::StrCat("s_", id)) != supervisor) {
      victim = id;
    }
  }
  const std::string name = absl::StrCat("s_", victim);
  const int node = cluster_.LivingOwnerOf(name);
  const Epoch before = EpochOf(name);
  cluster_.KillNode(node);
  ASSERT_TRUE(AwaitNewer(name, before));
  EXPECT_NE(cluster_.LivingOwnerOf(name), node);
  EXPECT_TRUE(cluster_.AwaitChild(supervisor, "s", victim, "running"));
}

TEST_F(ClusterSupervisorTest, TheNameOfAChildRemovedWhileItsNodeIsDeadIsFree) {
  auto tree = Tree({"a", "b", "c"});
  MustApply(tree);
  const int supervisor = SupervisorNode();
  int child = 0;
  while (cluster_.LivingOwnerOf(
             absl::StrCat("s_", tree.children(child).id())) == supervisor) {
    ++child;
  }
  const std::string id = tree.children(child).id();
  const std::string name = absl::StrCat("s_", id);
  const int node = cluster_.LivingOwnerOf(name);
  // It can run on that node only.
  tree.mutable_children(child)->mutable_placement()->set_pin(
      SimCluster::NodeName(node));
  ASSERT_TRUE(cluster_.Apply(supervisor, tree).ok());
  ASSERT_TRUE(cluster_.AwaitChild(supervisor, "s", id, "running"));
  cluster_.KillNode(node);
  ASSERT_TRUE(cluster_.AwaitChild(supervisor, "s", id, "pending"));
  // As long as it is wanted, it is on its way back.
  EXPECT_EQ(ReasonOf(Value(name, supervisor).status()), "NODEDOWN");
  EXPECT_TRUE(cluster_.OwnerOf(name).has_value());
  tree.mutable_children()->DeleteSubrange(child, 1);
  const auto applied = cluster_.Apply(supervisor, tree);
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_THAT(applied->stopped(), ElementsAre(id));
  ASSERT_TRUE(cluster_.RunUntil(
      [&] { return !cluster_.OwnerOf(name).has_value(); }, absl::Seconds(5)));
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(cluster_.FindChild(supervisor, "s", id).has_value());
  EXPECT_EQ(ReasonOf(Value(name, supervisor).status()), "NOPROC");
  // Its node comes back, and finds nothing to do.
  cluster_.StartNode(node);
  ASSERT_TRUE(cluster_.RunUntil([&] { return cluster_.IsJoined(node); }));
  cluster_.RunFor(absl::Seconds(2));
  EXPECT_EQ(script_->starts[name], 2);
}

TEST_F(ClusterSupervisorTest, AFailoverAdoptsWhatRuns) {
  MustApply(Tree({"a", "b", "c"}));
  const int supervisor = cluster_.LivingOwnerOf(SupervisorName("s"));
  std::map<std::string, std::pair<Epoch, uint64_t>> before;
  for (const std::string name : {"s_a", "s_b", "s_c"}) {
    if (cluster_.LivingOwnerOf(name) == supervisor) continue;
    const auto owner = cluster_.OwnerOf(name);
    before[name] = {owner->epoch, owner->record.process()};
  }
  ASSERT_EQ(before.size(), 2u);
  const Epoch old = EpochOf(SupervisorName("s"));
  cluster_.KillNode(supervisor);
  ASSERT_TRUE(AwaitNewer(SupervisorName("s"), old));
  const int via = supervisor == 0 ? 1 : 0;
  for (const char* id : {"a", "b", "c"}) {
    EXPECT_TRUE(cluster_.AwaitChild(via, "s", id, "running"));
  }
  cluster_.RunFor(absl::Seconds(5));
  for (const auto& [name, was] : before) {
    EXPECT_EQ(cluster_.OwnerOf(name)->epoch, was.first) << name;
    EXPECT_EQ(cluster_.OwnerOf(name)->record.process(), was.second) << name;
    EXPECT_EQ(script_->starts[name], 1) << name;
  }
}

TEST_F(ClusterSupervisorTest, AFailoverStillRestartsWhatChangedBefore) {
  auto tree = Tree({"a", "b", "c"});
  MustApply(tree);
  const int supervisor = cluster_.LivingOwnerOf(SupervisorName("s"));
  int child = 0;
  while (cluster_.LivingOwnerOf(
             absl::StrCat("s_", tree.children(child).id())) == supervisor) {
    ++child;
  }
  const std::string name = absl::StrCat("s_", tree.children(child).id());
  const int owner = cluster_.LivingOwnerOf(name);
  const Epoch before = EpochOf(name);
  // The order cannot reach the child's node; then the supervisor dies.
  cluster_.network().Cut(SimCluster::Address(supervisor),
                         SimCluster::Address(owner));
  SetInitial(tree, child, 9);
  ASSERT_TRUE(cluster_.Apply(supervisor, tree).ok());
  cluster_.KillNode(supervisor);
  cluster_.network().HealAll();
  ASSERT_TRUE(AwaitNewer(name, before));
  const int via = supervisor == 0 ? 1 : 0;
  ASSERT_TRUE(
      cluster_.AwaitChild(via, "s", tree.children(child).id(), "running"));
  EXPECT_EQ(*Value(name, via), 9);
}

TEST_F(ClusterSupervisorTest, AnOldSupervisorsOrderIsRefused) {
  MustApply(Tree({"a"}));
  const int owner = cluster_.LivingOwnerOf("s_a");
  cluster::v1::StopChildRequest request;
  request.mutable_order()->set_supervisor("s");
  *request.mutable_order()->mutable_epoch() = Epoch{1, 1}.ToProto();
  request.set_child("a");
  const auto stopped = cluster_.Call<cluster::v1::StopChildResponse>(
      0, ServerRef::Local(kAgentName, SimCluster::NodeName(owner)),
      "/muster.cluster.v1.Agent/StopChild", request);
  EXPECT_EQ(stopped.status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(stopped.status()), "FENCED");
  EXPECT_EQ(DetailOf(stopped.status(), "epoch"),
            EpochOf(SupervisorName("s")).ToString());
  EXPECT_TRUE(Value("s_a").ok());
}

TEST(ClusterSupervisorPlacementTest, WhatFitsNowhereIsPendingAndSaysWhy) {
  auto script = std::make_shared<Script>();
  SimClusterOptions options;
  options.types_of = [script](int node) -> std::vector<ServerTypeInfo> {
    if (node != 2) return {};
    return {
        ServerType<Scripted>("rare", [script]() -> std::unique_ptr<GenServer> {
          return std::make_unique<Scripted>(script);
        })};
  };
  SimCluster cluster(1, 3, std::move(options));
  cluster.StartAll();
  ASSERT_TRUE(cluster.Apply(0, MakeManifest("s", "rare", {"a"})).ok());
  ASSERT_TRUE(cluster.AwaitChild(0, "s", "a", "running"));
  EXPECT_EQ(cluster.LivingOwnerOf("s_a"), 2);
  cluster.KillNode(2);
  ASSERT_TRUE(cluster.AwaitChild(0, "s", "a", "pending"));
  cluster.RunFor(absl::Seconds(1));
  EXPECT_EQ(cluster.FindChild(0, "s", "a")->detail(),
            "no node has the type 'rare'");
  cluster.StartNode(2);
  EXPECT_TRUE(cluster.AwaitChild(0, "s", "a", "running"));
}

TEST_F(ClusterSupervisorTest, LeavingHandsItsChildrenOverAtOnce) {
  MustApply(Tree({"a", "b", "c"}));
  const int supervisor = cluster_.LivingOwnerOf(SupervisorName("s"));
  const int leaver = (supervisor + 1) % 3;
  cluster_.LeaveNode(leaver);
  const BootTime left = cluster_.world().clock().Boot();
  for (const char* id : {"a", "b", "c"}) {
    EXPECT_TRUE(cluster_.AwaitChild(supervisor, "s", id, "running"));
  }
  EXPECT_LT(cluster_.world().clock().Boot() - left, absl::Seconds(2));
}

}  // namespace
}  // namespace muster
