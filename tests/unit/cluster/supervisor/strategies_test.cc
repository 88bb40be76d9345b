// Trees of each strategy on a simulated cluster, with nodes that die and
// supervisors that fail over.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cluster/membership/reap.h"
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

class StrategiesTest : public ClusterSupervisorTest {
 protected:
  void Begin(store::v1::Strategy strategy,
             const std::vector<std::string>& ids = {"a", "b", "c"}) {
    auto tree = Tree(ids);
    tree.set_strategy(strategy);
    MustApply(tree);
    script_->log.clear();
  }
  bool AllRun(int via = 0) {
    for (const char* id : {"a", "b", "c"}) {
      if (!cluster_.AwaitChild(via, "s", id, "running")) return false;
    }
    return true;
  }
  std::vector<Epoch> Epochs() {
    return {EpochOf("s_a"), EpochOf("s_b"), EpochOf("s_c")};
  }
};

// -- Order -------------------------------------------------------------------

TEST_F(StrategiesTest, EachStrategyStartsInOrder) {
  for (const auto strategy : {store::v1::ONE_FOR_ONE, store::v1::ONE_FOR_ALL,
                              store::v1::REST_FOR_ONE}) {
    const std::string id = absl::StrCat("t", static_cast<int>(strategy));
    auto tree = MakeManifest(id, "scripted", {"d", "a", "c"});
    tree.set_strategy(strategy);
    script_->log.clear();
    MustApply(tree);
    EXPECT_THAT(script_->log, ElementsAre(absl::StrCat("start ", id, "_d"),
                                          absl::StrCat("start ", id, "_a"),
                                          absl::StrCat("start ", id, "_c")));
  }
}

// -- A child that crashes ----------------------------------------------------

TEST_F(StrategiesTest, OneForAllStartsAllAnew) {
  Begin(store::v1::ONE_FOR_ALL);
  const Epoch b = EpochOf("s_b");
  Crash("s_b").IgnoreError();
  ASSERT_TRUE(AwaitNewer("s_b", b));
  ASSERT_TRUE(AllRun());
  EXPECT_THAT(script_->log, ElementsAre("stop s_b", "stop s_c", "stop s_a",
                                        "start s_a", "start s_b", "start s_c"));
}

TEST_F(StrategiesTest, RestForOneStartsItAndThoseAfterIt) {
  Begin(store::v1::REST_FOR_ONE);
  const Epoch a = EpochOf("s_a");
  const Epoch b = EpochOf("s_b");
  Crash("s_b").IgnoreError();
  ASSERT_TRUE(AwaitNewer("s_b", b));
  ASSERT_TRUE(AllRun());
  EXPECT_THAT(script_->log,
              ElementsAre("stop s_b", "stop s_c", "start s_b", "start s_c"));
  EXPECT_EQ(EpochOf("s_a"), a);
}

TEST_F(StrategiesTest, AGroupRestartCountsOnce) {
  auto tree = Tree({"a", "b", "c"});
  tree.set_strategy(store::v1::ONE_FOR_ALL);
  tree.set_intensity(1);
  tree.mutable_period()->set_seconds(600);
  MustApply(tree);
  const Epoch b = EpochOf("s_b");
  Crash("s_b").IgnoreError();
  ASSERT_TRUE(AwaitNewer("s_b", b));
  ASSERT_TRUE(AllRun());
  EXPECT_EQ(SupervisorFailure(), "");
  script_->log.clear();
  Crash("s_c").IgnoreError();
  ASSERT_TRUE(cluster_.RunUntil([&] { return SupervisorFailure() != ""; }));
  cluster_.RunFor(absl::Seconds(2));
  // It gives up, and stops the others in reverse order (otp S19).
  EXPECT_THAT(script_->log, ElementsAre("stop s_c", "stop s_b", "stop s_a"));
}

TEST_F(StrategiesTest, AGroupRestartTakesATemporaryChildForGood) {
  auto tree = Tree({"a", "b", "c"});
  tree.set_strategy(store::v1::ONE_FOR_ALL);
  tree.mutable_children(2)->set_restart(store::v1::TEMPORARY);
  MustApply(tree);
  const Epoch b = EpochOf("s_b");
  Crash("s_b").IgnoreError();
  ASSERT_TRUE(AwaitNewer("s_b", b));
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "b", "running"));
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "c", "ended"));
  cluster_.RunFor(absl::Seconds(3));
  EXPECT_EQ(script_->starts["s_c"], 1);
}

TEST_F(StrategiesTest, AGroupRestartStartsWhatWasTerminated) {
  Begin(store::v1::ONE_FOR_ALL);
  ASSERT_TRUE(Change(Order::TERMINATE, "a").ok());
  const Epoch b = EpochOf("s_b");
  Crash("s_b").IgnoreError();
  ASSERT_TRUE(AwaitNewer("s_b", b));
  EXPECT_TRUE(AllRun());
}

// -- Nodes that die ----------------------------------------------------------

TEST_F(StrategiesTest, ADeadNodeTakesItsGroupDownOnce) {
  auto tree = Tree({"a", "b", "c"});
  tree.set_strategy(store::v1::ONE_FOR_ALL);
  tree.set_intensity(0);  // A lost host does not count (otp 16.1).
  MustApply(tree);
  const std::vector<Epoch> before = Epochs();
  const int victim = (SupervisorNode() + 1) % 3;
  cluster_.KillNode(victim);
  ASSERT_TRUE(AwaitNewer("s_a", before[0]));
  ASSERT_TRUE(AwaitNewer("s_b", before[1]));
  ASSERT_TRUE(AwaitNewer("s_c", before[2]));
  ASSERT_TRUE(AllRun(SupervisorNode()));
  EXPECT_EQ(SupervisorFailure(), "");
  for (const char* name : {"s_a", "s_b", "s_c"}) {
    EXPECT_EQ(script_->starts[name], 2) << name;
  }
}

TEST_F(StrategiesTest, AnAttestedCrashOfANodeIsOneRestartEvent) {
  auto tree = Tree({"a", "b", "c", "d", "e", "f"});
  tree.set_intensity(1);
  tree.mutable_period()->set_seconds(600);
  MustApply(tree);
  const int via = SupervisorNode();
  for (int round = 0; round < 2; ++round) {
    const int victim = (via + 1) % 3;
    // What its sentinel writes (guarantees R12): the death, and that it saw
    // it.
    const std::string node = SimCluster::NodeName(victim);
    const Epoch epoch = cluster_.node(victim).runtime().epoch();
    cluster_.KillNode(victim);
    Txn txn = AttestedReap(
        cluster_.keys(), node, static_cast<int64_t>(epoch.revision),
        PutEvent(cluster_.keys(), node,
                 EndOfNode("node.attested", node, epoch, "killed", {}),
                 cluster_.world().clock().Wall(),
                 absl::StrCat("0000000", round)));
    bool done = false;
    cluster_.store_client(via).Commit(
        std::move(txn), absl::Seconds(1),
        [&done](const absl::StatusOr<TxnResult>& result) {
          done = result.ok() && result->succeeded;
        });
    ASSERT_TRUE(cluster_.RunUntil([&] { return done; }));
    const BootTime died = cluster_.world().clock().Boot();
    if (round == 0) {
      for (const auto& child : tree.children()) {
        ASSERT_TRUE(cluster_.RunUntil(
            [&] { return cluster_.LivingOwnerOf(child.name()) >= 0; }));
      }
      EXPECT_LT(cluster_.world().clock().Boot() - died, absl::Seconds(1));
      cluster_.StartNode(victim);
      ASSERT_TRUE(cluster_.RunUntil([&] { return cluster_.IsJoined(victim); }));
      // Something runs there again.
      ASSERT_TRUE(Add("g", "s", via).ok());
      ASSERT_EQ(cluster_.LivingOwnerOf("s_g"), victim);
      EXPECT_EQ(SupervisorFailureVia(via), "");
    }
  }
  ASSERT_TRUE(
      cluster_.RunUntil([&] { return SupervisorFailureVia(via) != ""; }));
  EXPECT_EQ(SupervisorFailureVia(via), "more than 1 restarts within 10m");
}

// -- Failover ----------------------------------------------------------------

TEST_F(StrategiesTest, AFailoverOfAHealthyGroupRestartsOnlyWhatDied) {
  Begin(store::v1::REST_FOR_ONE);
  const std::vector<Epoch> before = Epochs();
  const int supervisor = SupervisorNode();
  const Epoch old = EpochOf(SupervisorName("s"));
  int first = 3;
  const char* names[] = {"s_a", "s_b", "s_c"};
  for (int i = 2; i >= 0; --i) {
    if (cluster_.LivingOwnerOf(names[i]) == supervisor) first = i;
  }
  ASSERT_LT(first, 3);
  cluster_.KillNode(supervisor);
  ASSERT_TRUE(AwaitNewer(SupervisorName("s"), old));
  const int via = supervisor == 0 ? 1 : 0;
  for (int i = first; i < 3; ++i) ASSERT_TRUE(AwaitNewer(names[i], before[i]));
  ASSERT_TRUE(AllRun(via));
  cluster_.RunFor(absl::Seconds(5));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(script_->starts[names[i]], i < first ? 1 : 2) << names[i];
  }
}

// The supervisor dies at every moment of a restart of its group: whoever takes
// over ends it, and nothing runs twice or is forgotten.
TEST_F(StrategiesTest, AFailoverInTheMiddleOfAGroupRestartEndsIt) {
  for (int ms = 0; ms <= 60; ms += 4) {
    auto script = std::make_shared<Script>();
    SimClusterOptions options;
    options.types = {ServerType<Scripted>(
        "scripted", [script]() -> std::unique_ptr<GenServer> {
          return std::make_unique<Scripted>(script);
        })};
    SimCluster cluster(static_cast<uint64_t>(ms) + 1, 4, std::move(options));
    cluster.StartAll();
    auto tree = MakeManifest("s", "scripted", {"a", "b", "c"});
    tree.set_strategy(store::v1::ONE_FOR_ALL);
    ASSERT_TRUE(cluster.Apply(0, tree).ok());
    for (const char* id : {"a", "b", "c"}) {
      ASSERT_TRUE(cluster.AwaitChild(0, "s", id, "running"));
    }
    const int supervisor = cluster.LivingOwnerOf(SupervisorName("s"));
    int via = 0;
    while (via == supervisor) ++via;
    cluster.StartCall(via, std::string("s_b"), "/counter.v1.Counter/Decrement",
                      Payload::Of(counter::v1::DecrementRequest()),
                      CallOptions(), [](CallResult) {});
    cluster.RunFor(absl::Milliseconds(ms));
    cluster.KillNode(supervisor);
    ASSERT_TRUE(cluster.RunUntil([&] {
      const int now = cluster.LivingOwnerOf(SupervisorName("s"));
      return now >= 0 && now != supervisor;
    }));
    for (const char* id : {"a", "b", "c"}) {
      ASSERT_TRUE(cluster.AwaitChild(via, "s", id, "running"))
          << id << " after " << ms << " ms";
    }
    cluster.RunFor(absl::Seconds(8));
    EXPECT_EQ(cluster.GetTree(via)->supervisors(0).failed(), "");
    // None of the old group is left beside the new one.
    const int64_t b =
        static_cast<int64_t>(cluster.OwnerOf("s_b")->epoch.revision);
    EXPECT_GT(cluster.OwnerOf("s_c")->epoch.revision, uint64_t(b))
        << "after " << ms << " ms";
    EXPECT_LT(cluster.OwnerOf("s_a")->epoch.revision, uint64_t(b))
        << "after " << ms << " ms";
  }
}

// -- Delays ------------------------------------------------------------------

TEST_F(StrategiesTest, ACrashLoopSlowsDownAndStaysInItsBudget) {
  auto tree = Tree({"a", "b"});
  tree.set_intensity(5);
  tree.mutable_period()->set_seconds(10);
  MustApply(tree);
  std::vector<BootTime> starts;
  for (int i = 0; i < 5; ++i) {
    const Epoch before = EpochOf("s_a");
    const BootTime crashed = cluster_.world().clock().Boot();
    Crash("s_a").IgnoreError();
    ASSERT_TRUE(AwaitNewer("s_a", before));
    ASSERT_TRUE(cluster_.AwaitChild(0, "s", "a", "running"));
    const absl::Duration took = cluster_.world().clock().Boot() - crashed;
    if (i == 0) EXPECT_LT(took, absl::Milliseconds(100));
    if (i == 3) EXPECT_GT(took, absl::Milliseconds(300));
  }
  EXPECT_EQ(SupervisorFailure(), "");
  Crash("s_a").IgnoreError();
  ASSERT_TRUE(cluster_.RunUntil([&] { return SupervisorFailure() != ""; }));
  EXPECT_EQ(script_->starts["s_a"], 6);
  EXPECT_EQ(script_->starts["s_b"], 1);
}

// -- Events ------------------------------------------------------------------

TEST_F(StrategiesTest, TheJournalTellsWhatHappened) {
  Begin(store::v1::ONE_FOR_ONE, {"a"});
  Crash("s_a").IgnoreError();
  ASSERT_TRUE(
      cluster_.RunUntil([&] { return !Events("child.restarted").empty(); }));
  ASSERT_TRUE(Change(Order::TERMINATE, "a").ok());
  std::vector<std::string> kinds;
  for (const store::v1::EventRecord& event : Events()) {
    if (event.supervisor() == "s") kinds.push_back(event.kind());
  }
  EXPECT_THAT(kinds,
              ElementsAre("supervisor.started", "name.claimed", "child.started",
                          "child.exited", "name.claimed", "child.restarted",
                          "child.terminated", "name.released"));
  const store::v1::EventRecord exited = Events("child.exited")[0];
  EXPECT_EQ(exited.child(), "a");
  EXPECT_EQ(exited.name(), "s_a");
  EXPECT_THAT(exited.text(), HasSubstr("asked to"));
}

}  // namespace
}  // namespace muster
