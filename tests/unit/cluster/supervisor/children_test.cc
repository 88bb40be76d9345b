// Children one at a time, and where they are placed.
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cluster/supervisor/env.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/store/v1/store.pb.h"
#include "node/types/status.h"
#include "tests/unit/cluster/supervisor/supervisor_fixture.h"

namespace muster {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Order = cluster::v1::ChangeChildRequest;

void ExpectRefused(const absl::Status& status, absl::StatusCode code,
                   absl::string_view reason) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_EQ(ReasonOf(status), reason);
}

class ChildrenTest : public ClusterSupervisorTest {};

// -- Adding ------------------------------------------------------------------

TEST_F(ChildrenTest, AnAddedChildRuns) {
  MustApply(Tree({"a"}));
  const auto added = Add("x");
  ASSERT_TRUE(added.ok()) << added.status();
  EXPECT_EQ(added->node(), SimCluster::NodeName(cluster_.LivingOwnerOf("s_x")));
  EXPECT_TRUE(Value("s_x").ok());
  EXPECT_EQ(cluster_.FindChild(1, "s", "x")->state(), "running");
}

TEST_F(ChildrenTest, AnIdIsAddedOnce) {
  MustApply(Tree({"a"}));
  ASSERT_TRUE(Add("x").ok());
  const absl::Status again = Add("x").status();
  ExpectRefused(again, absl::StatusCode::kAlreadyExists, "ALREADY_STARTED");
  EXPECT_EQ(DetailOf(again, "node"),
            SimCluster::NodeName(cluster_.LivingOwnerOf("s_x")));
  ASSERT_TRUE(Change(Order::TERMINATE, "x").ok());
  ExpectRefused(Add("x").status(), absl::StatusCode::kAlreadyExists,
                "ALREADY_PRESENT");
}

TEST_F(ChildrenTest, WhatCannotBeAdded) {
  MustApply(Tree({"a"}));
  ExpectRefused(Add("x", "nobody").status(), absl::StatusCode::kNotFound,
                "NO_SUPERVISOR");
  ExpectRefused(Add("x", "s", 0, "unheard_of").status(),
                absl::StatusCode::kInvalidArgument, "BAD_MANIFEST");
  ExpectRefused(Add("").status(), absl::StatusCode::kInvalidArgument,
                "BAD_MANIFEST");
  MustApply(MakeManifest("t", "scripted", {"b"}));
  auto taken = MakeManifest("t", "scripted", {"b"});
  admin::v1::StartChildRequest request;
  request.set_supervisor("t");
  request.mutable_child()->set_id("x");
  request.mutable_child()->set_name("s_a");
  request.mutable_child()->set_type("scripted");
  absl::Status refused;
  bool done = false;
  cluster_.node(0).admin()->StartChild(
      request, [&](const absl::StatusOr<admin::v1::StartChildResponse>& got) {
        refused = got.status();
        done = true;
      });
  ASSERT_TRUE(cluster_.RunUntil([&] { return done; }));
  ExpectRefused(refused, absl::StatusCode::kAlreadyExists, "NAME_TAKEN");
}

TEST_F(ChildrenTest, AChildThatDoesNotStartIsNotKept) {
  MustApply(Tree({"a"}));
  script_->failing_inits["s_x"] = 1;
  const absl::Status failed = Add("x").status();
  EXPECT_EQ(failed.code(), absl::StatusCode::kInvalidArgument) << failed;
  EXPECT_EQ(std::string(failed.message()), "not today");
  ASSERT_TRUE(cluster_.RunUntil([&] {
    return cluster_.store()
               .state()
               .List(cluster_.keys().ChildPrefix("s"))
               .items.size() == 1;
  }));
  EXPECT_FALSE(cluster_.FindChild(0, "s", "x").has_value());
  EXPECT_EQ(script_->starts["s_x"], 1);
  EXPECT_FALSE(cluster_.OwnerOf("s_x").has_value());
  EXPECT_TRUE(Add("x").ok());
}

TEST_F(ChildrenTest, AnAddedChildSurvivesApplyAndFailover) {
  MustApply(Tree({"a"}));
  ASSERT_TRUE(Add("z").ok());
  ASSERT_TRUE(Add("x").ok());
  MustApply(Tree({"b"}));
  ASSERT_TRUE(
      cluster_.RunUntil([&] { return !cluster_.OwnerOf("s_a").has_value(); }));
  const int supervisor = SupervisorNode();
  const Epoch old = EpochOf(SupervisorName("s"));
  cluster_.KillNode(supervisor);
  ASSERT_TRUE(AwaitNewer(SupervisorName("s"), old));
  const int via = supervisor == 0 ? 1 : 0;
  for (const char* id : {"b", "z", "x"}) {
    EXPECT_TRUE(cluster_.AwaitChild(via, "s", id, "running")) << id;
  }
  std::vector<std::string> order;
  const auto tree = cluster_.GetTree(via);
  ASSERT_TRUE(tree.ok());
  for (const auto& child : tree->supervisors(0).children()) {
    order.push_back(child.id());
  }
  EXPECT_THAT(order, ElementsAre("b", "z", "x"));
}

TEST_F(ChildrenTest, AnAddedTemporaryChildIsForgottenWhenItEnds) {
  MustApply(Tree({"a"}));
  ASSERT_TRUE(Add("x", "s", 0, "scripted", store::v1::TEMPORARY).ok());
  EndNormally("s_x");
  ASSERT_TRUE(cluster_.RunUntil([&] {
    return cluster_.store()
               .state()
               .List(cluster_.keys().ChildPrefix("s"))
               .items.size() == 1;
  }));
  EXPECT_FALSE(cluster_.FindChild(0, "s", "x").has_value());
  EXPECT_FALSE(cluster_.OwnerOf("s_x").has_value());
}

// -- Changing ----------------------------------------------------------------

TEST_F(ChildrenTest, TerminateRestartDelete) {
  MustApply(Tree({"a", "b"}));
  ExpectRefused(Change(Order::RESTART, "a").status(),
                absl::StatusCode::kFailedPrecondition, "RUNNING");
  ExpectRefused(Change(Order::DELETE, "a").status(),
                absl::StatusCode::kFailedPrecondition, "RUNNING");
  ExpectRefused(Change(Order::TERMINATE, "nobody").status(),
                absl::StatusCode::kNotFound, "NO_CHILD");
  ASSERT_TRUE(Change(Order::TERMINATE, "a").ok());
  EXPECT_EQ(script_->stopped, std::vector<std::string>{"s_a"});
  EXPECT_FALSE(cluster_.OwnerOf("s_a").has_value());
  EXPECT_EQ(cluster_.FindChild(0, "s", "a")->state(), "ended");
  EXPECT_EQ(cluster_.FindChild(0, "s", "a")->detail(), "shutdown");
  EXPECT_TRUE(Change(Order::TERMINATE, "a").ok());  // Once more does no harm.
  cluster_.RunFor(absl::Seconds(3));
  EXPECT_EQ(script_->starts["s_a"], 1);
  const auto started = Change(Order::RESTART, "a");
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->node(),
            SimCluster::NodeName(cluster_.LivingOwnerOf("s_a")));
  ASSERT_TRUE(Change(Order::TERMINATE, "a").ok());
  ASSERT_TRUE(Change(Order::DELETE, "a").ok());
  EXPECT_FALSE(cluster_.FindChild(0, "s", "a").has_value());
  ExpectRefused(Change(Order::RESTART, "a").status(),
                absl::StatusCode::kNotFound, "NO_CHILD");
}

TEST_F(ChildrenTest, ATerminatedChildStaysSoAcrossAFailover) {
  MustApply(Tree({"a", "b"}));
  ASSERT_TRUE(Change(Order::TERMINATE, "a").ok());
  const int supervisor = SupervisorNode();
  const Epoch old = EpochOf(SupervisorName("s"));
  cluster_.KillNode(supervisor);
  ASSERT_TRUE(AwaitNewer(SupervisorName("s"), old));
  const int via = supervisor == 0 ? 1 : 0;
  ASSERT_TRUE(cluster_.AwaitChild(via, "s", "b", "running"));
  EXPECT_EQ(cluster_.FindChild(via, "s", "a")->state(), "ended");
  EXPECT_EQ(script_->starts["s_a"], 1);
  EXPECT_TRUE(Change(Order::RESTART, "a", "", via).ok());
}

TEST_F(ChildrenTest, ARestartThatFailsLeavesItEnded) {
  MustApply(Tree({"a"}));
  ASSERT_TRUE(Change(Order::TERMINATE, "a").ok());
  script_->failing_inits["s_a"] = 1;
  EXPECT_EQ(std::string(Change(Order::RESTART, "a").status().message()),
            "not today");
  cluster_.RunFor(absl::Seconds(3));
  EXPECT_EQ(cluster_.FindChild(0, "s", "a")->state(), "ended");
  EXPECT_EQ(script_->starts["s_a"], 2);
  EXPECT_TRUE(Change(Order::RESTART, "a").ok());
}

TEST_F(ChildrenTest, TerminatingEndsTheRetries) {
  auto tree = Tree({"a"});
  tree.set_intensity(50);
  tree.mutable_period()->set_seconds(600);
  script_->failing_inits["s_a"] = 1000;
  ASSERT_TRUE(cluster_.Apply(0, tree).ok());
  ASSERT_TRUE(cluster_.RunUntil([&] { return script_->starts["s_a"] >= 3; }));
  ExpectRefused(Change(Order::RESTART, "a").status(),
                absl::StatusCode::kFailedPrecondition, "RESTARTING");
  ASSERT_TRUE(Change(Order::TERMINATE, "a").ok());
  const int starts = script_->starts["s_a"];
  cluster_.RunFor(absl::Seconds(20));
  EXPECT_EQ(script_->starts["s_a"], starts);
  EXPECT_FALSE(cluster_.OwnerOf("s_a").has_value());
}

TEST_F(ChildrenTest, AfterGivingUpOnlyApplyHelps) {
  auto tree = Tree({"a", "b"});
  tree.set_intensity(0);
  MustApply(tree);
  Crash("s_a").IgnoreError();
  ASSERT_TRUE(cluster_.RunUntil([&] { return SupervisorFailure() != ""; }));
  ExpectRefused(Change(Order::RESTART, "a").status(),
                absl::StatusCode::kFailedPrecondition, "SUPERVISOR_FAILED");
  ExpectRefused(Add("x").status(), absl::StatusCode::kFailedPrecondition,
                "SUPERVISOR_FAILED");
  ASSERT_TRUE(
      cluster_.RunUntil([&] { return !Events("supervisor.failed").empty(); }));
  const auto failed = Events("supervisor.failed");
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].text(), "gave up: more than 0 restarts within 5s");
  EXPECT_EQ(failed[0].evidence().at("intensity"), "0");
  MustApply(tree);
}

// -- Placement ---------------------------------------------------------------

TEST_F(ChildrenTest, ADrainingNodeGetsNothing) {
  SetDraining(1, true);
  cluster_.RunFor(absl::Milliseconds(100));
  MustApply(Tree({"a", "b", "c", "d"}));
  for (const char* name : {"s_a", "s_b", "s_c", "s_d"}) {
    EXPECT_NE(cluster_.LivingOwnerOf(name), 1) << name;
  }
}

TEST_F(ChildrenTest, ADrainSaysWhichChildStaysAndWhy) {
  auto tree = Tree({"a", "b"});
  tree.mutable_children(0)->mutable_placement()->set_pin("n1");
  MustApply(tree);
  const auto drain = [this](bool dry_run) {
    admin::v1::DrainNodeRequest request;
    request.set_node("n1");
    request.set_dry_run(dry_run);
    std::optional<absl::StatusOr<admin::v1::DrainNodeResponse>> answer;
    cluster_.node(0).admin()->DrainNode(
        request, [&answer](absl::StatusOr<admin::v1::DrainNodeResponse> got) {
          answer.emplace(std::move(got));
        });
    cluster_.RunUntil([&] { return answer.has_value(); });
    return answer.has_value() ? *answer : absl::InternalError("no answer");
  };
  const auto stays = [](const admin::v1::DrainNodeResponse& response) {
    for (const admin::v1::DrainItem& item : response.left()) {
      if (item.name() == "s_a" && !item.movable()) return item.detail();
    }
    return std::string();
  };
  constexpr char kWhy[] = "pinned to node 'n1', which is draining";
  const auto plan = drain(/*dry_run=*/true);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(stays(*plan), kWhy);
  absl::StatusOr<admin::v1::DrainNodeResponse> left;
  ASSERT_TRUE(cluster_.RunUntil(
      [&] {
        left = drain(/*dry_run=*/false);
        return left.ok() && left->left_size() == 1;
      },
      absl::Seconds(10)));
  EXPECT_EQ(stays(*left), kWhy);
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), 1);
}

TEST_F(ChildrenTest, APinnedChildIsPendingWhileItsNodeIsAway) {
  auto tree = Tree({"a", "b"});
  tree.mutable_children(0)->mutable_placement()->set_pin("n1");
  MustApply(tree);
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), 1);
  cluster_.KillNode(1);
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "a", "pending"));
  cluster_.RunFor(absl::Seconds(1));  // At first it says how its node ended.
  EXPECT_EQ(cluster_.FindChild(0, "s", "a")->detail(),
            "pinned to node 'n1', which is not a member");
  EXPECT_TRUE(cluster_.AwaitChild(0, "s", "b", "running"));
  cluster_.RunFor(absl::Seconds(3));
  EXPECT_EQ(Events("child.pending").size(), 1u);  // Not once a look.
  cluster_.StartNode(1);
  EXPECT_TRUE(cluster_.AwaitChild(0, "s", "a", "running"));
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), 1);
}

TEST_F(ChildrenTest, AnAddedChildThatFitsNowhereIsPending) {
  MustApply(Tree({"a"}));
  for (int node = 0; node < 3; ++node) SetDraining(node, true);
  cluster_.RunFor(absl::Milliseconds(200));
  const auto added = Add("x");
  ASSERT_TRUE(added.ok()) << added.status();
  EXPECT_FALSE(added->has_pid());
  EXPECT_EQ(cluster_.FindChild(0, "s", "x")->state(), "pending");
  EXPECT_EQ(cluster_.FindChild(0, "s", "x")->detail(),
            "no node fits: n0, n1, n2 draining");
  EXPECT_THAT(cluster_.FindChild(0, "s", "a")->detail(),
              HasSubstr("cannot move away: no node fits"));
  SetDraining(2, false);
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "x", "running"));
  EXPECT_EQ(cluster_.LivingOwnerOf("s_x"), 2);
}

TEST_F(ChildrenTest, HashMovesOnlyTheChildrenOfTheNodeThatGoes) {
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) ids.push_back(absl::StrCat("c", i));
  auto tree = Tree(ids);
  for (auto& child : *tree.mutable_children()) {
    child.mutable_placement()->set_policy(store::v1::Placement::HASH);
  }
  MustApply(tree);
  const int victim = (SupervisorNode() + 1) % 3;
  std::map<std::string, int> before;
  for (const std::string& id : ids) {
    before[id] = cluster_.LivingOwnerOf(absl::StrCat("s_", id));
  }
  cluster_.KillNode(victim);
  const int via = (victim + 1) % 3;
  for (const std::string& id : ids) {
    ASSERT_TRUE(cluster_.RunUntil([&] {
      const int owner = cluster_.LivingOwnerOf(absl::StrCat("s_", id));
      return owner >= 0 && owner != victim;
    }));
    ASSERT_TRUE(cluster_.AwaitChild(via, "s", id, "running"));
    if (before[id] != victim) {
      EXPECT_EQ(cluster_.LivingOwnerOf(absl::StrCat("s_", id)), before[id]);
      EXPECT_EQ(script_->starts[absl::StrCat("s_", id)], 1);
    }
  }
}

// -- Moving ------------------------------------------------------------------

TEST_F(ChildrenTest, WhereAChildCannotMoveTo) {
  auto tree = Tree({"a"});
  MustApply(tree);
  ExpectRefused(Change(Order::MOVE, "a", "n9").status(),
                absl::StatusCode::kNotFound, "NO_NODE");
  const int owner = cluster_.LivingOwnerOf("s_a");
  SetDraining((owner + 1) % 3, true);
  cluster_.RunFor(absl::Milliseconds(200));
  const absl::Status draining =
      Change(Order::MOVE, "a", SimCluster::NodeName((owner + 1) % 3)).status();
  ExpectRefused(draining, absl::StatusCode::kFailedPrecondition, "INELIGIBLE");
  EXPECT_EQ(std::string(draining.message()),
            absl::StrCat("node 'n", (owner + 1) % 3, "' is draining"));
  // Where it is already, nothing is to be done.
  const auto there = Change(Order::MOVE, "a", SimCluster::NodeName(owner));
  ASSERT_TRUE(there.ok()) << there.status();
  ASSERT_TRUE(Change(Order::TERMINATE, "a").ok());
  ExpectRefused(Change(Order::MOVE, "a").status(),
                absl::StatusCode::kFailedPrecondition, "NOT_RUNNING");
}

// -- Many --------------------------------------------------------------------

TEST_F(ChildrenTest, ATreeOfThousandsAnswersWhileItGrows) {
  MustApply(Tree({"a"}));
  constexpr int kCount = 2000;
  int added = 0;
  int failed = 0;
  for (int i = 0; i < kCount; ++i) {
    admin::v1::StartChildRequest request;
    request.set_supervisor("s");
    request.mutable_child()->set_id(absl::StrCat("x", i));
    request.mutable_child()->set_type("scripted");
    cluster_.node(i % 3).admin()->StartChild(
        request,
        [&](const absl::StatusOr<admin::v1::StartChildResponse>& answer) {
          ++(answer.ok() ? added : failed);
        });
  }
  absl::Duration longest;
  while (added + failed < kCount) {
    const BootTime asked = cluster_.world().clock().Boot();
    ASSERT_TRUE(cluster_.GetTree(1).ok());
    longest = std::max(longest, cluster_.world().clock().Boot() - asked);
    cluster_.RunFor(absl::Milliseconds(100));
  }
  EXPECT_EQ(failed, 0);
  EXPECT_LT(longest, absl::Seconds(1));
  std::map<std::string, int> nodes;
  const auto tree = cluster_.GetTree(0);
  ASSERT_TRUE(tree.ok());
  for (const auto& child : tree->supervisors(0).children()) {
    EXPECT_EQ(child.state(), "running") << child.id();
    ++nodes[child.node()];
  }
  for (const auto& [node, count] : nodes) {
    EXPECT_NEAR(count, kCount / 3, kCount / 10) << node;
  }
}

}  // namespace
}  // namespace muster
