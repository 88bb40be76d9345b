// Trees whose store, node or parts fail in the middle of something.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/membership/reap.h"
#include "cluster/store/event.h"
#include "cluster/store/store.h"
#include "cluster/supervisor/env.h"
#include "gtest/gtest.h"
#include "muster/sys/v1/sys.pb.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/unit/cluster/supervisor/supervisor_fixture.h"

namespace muster {
namespace {

class StoreFaultsTest : public ClusterSupervisorTest {
 protected:
  static bool Writes(const Txn& txn, const std::string& key) {
    return std::any_of(txn.then.begin(), txn.then.end(),
                       [&key](const StoreOp& op) {
                         return op.kind == StoreOp::Kind::kPut && op.key == key;
                       });
  }
  std::string ChildKey(const std::string& child) {
    return cluster_.keys().Child("s", child);
  }
  std::optional<store::v1::ChildRecord> Record(const std::string& child) {
    const std::string key = ChildKey(child);
    for (const KeyValue& item : cluster_.store().state().List(key).items) {
      store::v1::ChildRecord record;
      if (item.key == key && record.ParseFromString(item.value)) return record;
    }
    return std::nullopt;
  }
  void Kill(int node, absl::string_view name, bool global) {
    Runtime& runtime = cluster_.node(node).runtime();
    Pid pid;
    // It has its name a moment after its claim.
    ASSERT_TRUE(cluster_.RunUntil([&] {
      pid = global ? runtime.WhereIsGlobal(name) : runtime.WhereIsLocal(name);
      return !pid.empty();
    }));
    runtime.SendExit(Pid(), pid, ExitReason::Kill());
  }
  static cluster::v1::Manifest Pinned(const std::vector<std::string>& ids,
                                      int node) {
    cluster::v1::Manifest tree = Tree(ids);
    tree.set_intensity(10);
    for (auto& child : *tree.mutable_children()) {
      child.mutable_placement()->set_pin(SimCluster::NodeName(node));
    }
    return tree;
  }
};

// -- The agent ----------------------------------------------------------------

TEST_F(StoreFaultsTest, AFactoryThatThrowsIsAStartThatFailed) {
  cluster::v1::Manifest tree = Tree({"a"});
  tree.set_intensity(10);
  script_->failing_factories = 2;
  MustApply(tree);
  EXPECT_EQ(script_->failing_factories, 0);
  EXPECT_EQ(script_->starts["s_a"], 1);
  const auto events = Events("child.exited");
  ASSERT_EQ(events.size(), 2u);
  EXPECT_NE(events[0].text().find("no such model"), std::string::npos)
      << events[0].text();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(cluster_.Incarnation(i), 1);
  // As a renewal, too, whose record stands meanwhile.
  script_->failing_factories = 1;
  const Epoch before = EpochOf("s_a");
  EXPECT_FALSE(Crash("s_a").ok());
  ASSERT_TRUE(AwaitNewer("s_a", before));
  EXPECT_EQ(script_->failing_factories, 0);
  // And for whoever asks for a start.
  script_->failing_factories = 1;
  const absl::Status added = Add("b").status();
  EXPECT_EQ(ReasonOf(added), "INIT_FAILED") << added;
  EXPECT_EQ(OutcomeOf(added), Outcome::kExecuted);
  EXPECT_NE(added.message().find("no such model"), std::string::npos);
  ASSERT_TRUE(cluster_.RunUntil([&] { return !Record("b").has_value(); }));
  EXPECT_TRUE(Add("b").ok());
}

TEST_F(StoreFaultsTest, AnAgentThatEndsTakesItsNodeWithIt) {
  MustApply(Pinned({"a", "b"}, 2));
  const Epoch before = EpochOf("s_a");
  Kill(2, kAgentName, /*global=*/false);
  ASSERT_TRUE(cluster_.RunUntil([&] { return cluster_.Incarnation(2) == 2; },
                                absl::Seconds(1)));
  EXPECT_EQ(cluster_.CountLog("the agent of node 'n2' has ended"), 1u);
  // Attested at once, so they need not wait for R.
  ASSERT_TRUE(AwaitNewer("s_a", before));
  for (const char* child : {"a", "b"}) {
    ASSERT_TRUE(cluster_.AwaitChild(0, "s", child, "running"));
    EXPECT_EQ(script_->starts[absl::StrCat("s_", child)], 2);
  }
  EXPECT_EQ(Events("node.attested").size(), 1u);
}

TEST_F(StoreFaultsTest, NobodyTerminatesMustersOwnProcesses) {
  MustApply(Tree({"a"}));
  const int node = SupervisorNode();
  for (const ServerRef& own :
       {ServerRef::Local(kAgentName, SimCluster::NodeName(1)),
        ServerRef::Local("muster/local", SimCluster::NodeName(1)),
        ServerRef(SupervisorName("s")),
        ServerRef(cluster_.node(node).runtime().WhereIsGlobal(
            SupervisorName("s")))}) {
    const absl::Status refused = cluster_
                                     .Call<sys::v1::TerminateResponse>(
                                         1, own, "/muster.sys.v1.Sys/Terminate",
                                         sys::v1::TerminateRequest())
                                     .status();
    EXPECT_EQ(ReasonOf(refused), "OWN_PROCESS") << refused;
    EXPECT_EQ(OutcomeOf(refused), Outcome::kNotExecuted);
  }
  // But those of users.
  EXPECT_TRUE(cluster_
                  .Call<sys::v1::TerminateResponse>(
                      1, "s_a", "/muster.sys.v1.Sys/Terminate",
                      sys::v1::TerminateRequest())
                  .ok());
}

// -- Records ------------------------------------------------------------------

// Two children have ended while their supervisor's node died. The fence of the
// one that takes over shuts between its two decisions.
TEST_F(StoreFaultsTest, AFenceThatShutsInTheMiddleLosesNoDecision) {
  MustApply(Tree({"a", "b"}));
  const int old = SupervisorNode();
  const int place = (old + 1) % 3;
  const int via = (old + 2) % 3;
  MustApply(Pinned({"a", "b"}, place), via);
  cluster_.KillNode(old);
  EXPECT_FALSE(Crash("s_a", via).ok());
  EXPECT_FALSE(Crash("s_b", via).ok());
  int shut = 0;
  script_->on_commit = [&](int node, const Txn& txn) {
    if (shut == 0 &&
        (Writes(txn, ChildKey("a")) || Writes(txn, ChildKey("b")))) {
      ++shut;
      cluster_.node(node).membership().Doubted();
    }
    return false;
  };
  ASSERT_TRUE(cluster_.RunUntil([&] { return shut == 1; }));
  for (const char* child : {"a", "b"}) {
    EXPECT_TRUE(cluster_.AwaitChild(via, "s", child, "running")) << child;
    EXPECT_TRUE(Value(absl::StrCat("s_", child), via).ok());
  }
  script_->on_commit = nullptr;
}

TEST_F(StoreFaultsTest, AnEndIsRecordedHoweverLongTheStoreIsAway) {
  cluster::v1::Manifest tree = Tree({"a", "b"});
  tree.mutable_children(0)->set_restart(store::v1::TRANSIENT);
  MustApply(tree);
  // Shorter than F, so that nothing freezes.
  cluster_.store().DisconnectAll(SimCut::kRefused);
  EndNormally("s_a");
  cluster_.RunFor(absl::Milliseconds(2400));
  cluster_.store().ReconnectAll();
  ASSERT_TRUE(cluster_.RunUntil([&] {
    const auto record = Record("a");
    return record.has_value() && record->has_ended();
  }));
  // So whoever takes over leaves it as it is.
  cluster_.KillNode(SupervisorNode());
  const int via = cluster_.IsUp(0) ? 0 : 1;
  ASSERT_TRUE(cluster_.AwaitChild(via, "s", "a", "ended"));
  cluster_.RunFor(absl::Seconds(10));
  EXPECT_EQ(script_->starts["s_a"], 1);
}

TEST_F(StoreFaultsTest, AnApplyWhoseAnswerWasLostIsFoundAgain) {
  MustApply(Tree({"a"}));
  int lost = 0;
  script_->on_commit = [&](int, const Txn& txn) {
    return Writes(txn, ChildKey("b")) && ++lost == 1;
  };
  const auto applied = cluster_.Apply(0, Tree({"a", "b"}));
  EXPECT_TRUE(applied.ok()) << applied.status();
  EXPECT_GE(lost, 2);
  EXPECT_TRUE(cluster_.AwaitChild(0, "s", "b", "running"));
  script_->on_commit = nullptr;
}

// -- How a node died ----------------------------------------------------------

// The sentinel's wall clock is a year ahead (guarantees G12).
TEST_F(StoreFaultsTest, AnAttestedDeathCountsWhateverTheSentinelsClockSays) {
  cluster::v1::Manifest tree = Pinned({"a"}, 0);
  tree.set_intensity(0);
  MustApply(tree);
  const int supervisor = SupervisorNode();
  const int place = (supervisor + 1) % 3;
  tree.mutable_children(0)->mutable_placement()->set_pin(
      SimCluster::NodeName(place));
  MustApply(tree);
  const std::string node = SimCluster::NodeName(place);
  const Epoch epoch = cluster_.EpochOf(place);
  cluster_.KillNode(place);
  const TxnResult reaped = cluster_.Commit(AttestedReap(
      cluster_.keys(), node, static_cast<int64_t>(epoch.revision),
      PutEvent(cluster_.keys(), node,
               EndOfNode("node.attested", node, epoch, "killed", {}),
               cluster_.world().clock().Wall() + absl::Hours(8766),
               "0000000000000000")));
  ASSERT_TRUE(reaped.succeeded);
  EXPECT_TRUE(
      cluster_.RunUntil([&] { return SupervisorFailureVia(supervisor) != ""; },
                        absl::Seconds(5)));
}

// -- The supervisor itself ----------------------------------------------------

TEST_F(StoreFaultsTest,
       ASupervisorThatKeepsCrashingComesBackMoreAndMoreSlowly) {
  MustApply(Tree({"a"}));
  const std::string name = SupervisorName("s");
  const auto crash = [&] {
    const Epoch before = EpochOf(name);
    const BootTime at = cluster_.world().clock().Boot();
    Kill(SupervisorNode(), name, /*global=*/true);
    EXPECT_TRUE(AwaitNewer(name, before));
    return cluster_.world().clock().Boot() - at;
  };
  absl::Duration last = crash();
  EXPECT_LT(last, absl::Milliseconds(200));
  for (int i = 1; i <= 7; ++i) {
    const absl::Duration took = crash();
    EXPECT_GT(took,
              std::min(absl::Milliseconds(100) * (1 << i), absl::Seconds(10)))
        << i;
    last = took;
  }
  EXPECT_LT(last, absl::Seconds(11));
  cluster_.RunFor(absl::Seconds(31));
  EXPECT_LT(crash(), absl::Milliseconds(200));
  EXPECT_TRUE(cluster_.AwaitChild(0, "s", "a", "running"));
  EXPECT_EQ(script_->starts["s_a"], 1);
}

}  // namespace
}  // namespace muster
