// swarm's suites of registration, distribution, integration and quorum.
//
// "Track" is a claim in the store. Below quorum, which is without the store, a
// node freezes: it refuses, and what it ran is acted for by nobody until its
// names are free for others.
#include <memory>
#include <set>
#include <string>
#include <utility>
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

const Pid kNobody;

class Swarm : public TreeFixture {
 protected:
  explicit Swarm(int nodes = 2) : TreeFixture(nodes) {}

  // What the node tells of its own process.
  std::optional<ProcessInfo> InfoOf(int node, const Pid& pid) {
    for (ProcessInfo& info : RuntimeOf(node).List()) {
      if (info.pid == pid) return std::move(info);
    }
    return std::nullopt;
  }
};

// By name, by prefix, by claim and by pid, with the type and the supervisor
// that a name has in place of metadata.
TEST_F(Swarm, SWM01_AllLookupsFindWhatWasStarted) {
  OTP_CASE("SWM.01", "SW1");
  MustApply(Tree({"a", "b"}));
  for (const char* name : {"s_a", "s_b"}) {
    const int owner = cluster_.LivingOwnerOf(name);
    const auto record = cluster_.OwnerOf(name)->record;
    for (int node = 0; node < 2; ++node) {
      ASSERT_TRUE(
          cluster_.RunUntil([&] { return WhereIs(node, name) != kNobody; }));
      const NameEntry entry = *NamesOf(node).WhereIs(name);
      EXPECT_EQ(entry.pid.number, record.process());
      EXPECT_EQ(entry.pid.node, SimCluster::NodeName(owner));
      EXPECT_EQ(entry.type, "worker");
      EXPECT_EQ(entry.supervisor, "s");
      const std::vector<NameEntry> listed = NamesOf(node).List(name);
      ASSERT_EQ(listed.size(), 1u);
      EXPECT_EQ(listed[0].pid, entry.pid);
      EXPECT_EQ(NamesOf(node).Record(name)->record.instance(),
                record.instance());
    }
    const std::optional<ProcessInfo> info = InfoOf(owner, WhereIs(owner, name));
    ASSERT_TRUE(info.has_value());
    EXPECT_EQ(info->name, name);
    EXPECT_TRUE(info->global);
  }
  EXPECT_NE(WhereIs(0, "s_a"), WhereIs(0, "s_b"));
}

TEST_F(Swarm, SWM03_ExistingIsFoundAndMissingIsStarted) {
  OTP_CASE("SWM.03", "SW1");
  EXPECT_EQ(WhereIs(0, "s_a"), kNobody);
  EXPECT_THAT(MustApply(Tree({"a"})).started(), ElementsAre("a"));
  const Pid pid = WhereIs(0, "s_a");
  EXPECT_NE(pid, kNobody);
  // Whoever asks again, and wherever, gets the same one.
  for (const int via : {0, 1}) {
    const admin::v1::ApplyResponse again = MustApply(Tree({"a"}), via);
    EXPECT_THAT(again.unchanged(), ElementsAre("a"));
    EXPECT_THAT(again.started(), IsEmpty());
    EXPECT_EQ(WhereIs(via, "s_a"), pid);
  }
  EXPECT_EQ(script_->starts["s_a"], 1);
}

TEST_F(Swarm, SWM04_SplitAndHealLeaveEachNameOneProcess) {
  OTP_CASE("SWM.04 SWM.05", "SW2");
  const std::vector<std::string> ids = Ids(10);
  MustApply(Tree(ids));
  ASSERT_EQ(Owners(ids), (std::set<int>{0, 1}));
  CutOff(1);
  ASSERT_TRUE(
      cluster_.RunUntil([&] { return Owners(ids) == std::set<int>{0}; }));
  ASSERT_TRUE(AwaitCount(0, "running", 10));
  const std::set<Pid> taken = Pids(0, ids);
  Heal(1);
  ASSERT_TRUE(cluster_.RunUntil(
      [&] { return cluster_.Reaps(1) == 1 && cluster_.IsJoined(1); }));
  cluster_.RunFor(absl::Seconds(5));
  EXPECT_EQ(Pids(0, ids), taken);
  EXPECT_EQ(Pids(1, ids), taken);
  EXPECT_EQ(taken.size(), 10u);
  EXPECT_EQ(script_->living, 10);
  EXPECT_EQ(script_->overlaps, 0);
  EXPECT_EQ(NamesOf(0).List("s_").size(), 10u);
  EXPECT_EQ(NamesOf(1).List("s_").size(), 10u);
}

// -- Processes that only have a name -----------------------------------------

class SwarmThree : public Swarm {
 protected:
  SwarmThree() : Swarm(3) {}
};

TEST_F(SwarmThree, SWM06_ProcessesWithOnlyANameStayWhenANodeJoins) {
  OTP_CASE("SWM.06", "SW1");
  cluster_.LeaveNode(2);
  std::vector<Pid> pids;
  for (int i = 0; i < 6; ++i) {
    pids.push_back(Spawn(i % 2));
    ASSERT_TRUE(Register(i % 2, absl::StrCat("name", i), pids.back()).ok());
  }
  cluster_.StartNode(2);
  ASSERT_TRUE(cluster_.RunUntil([&] { return cluster_.IsJoined(2); }));
  cluster_.RunFor(absl::Seconds(10));
  for (int i = 0; i < 6; ++i) {
    EXPECT_TRUE(AllSee(absl::StrCat("name", i), pids[static_cast<size_t>(i)]));
    EXPECT_TRUE(Alive(i % 2, pids[static_cast<size_t>(i)]));
  }
}

TEST_F(SwarmThree, SWM07_NameEndsWithItsProcessAndWithItsNode) {
  OTP_CASE("SWM.07", "SW1");
  const Pid ends = Spawn(1);
  const Pid stays = Spawn(1);
  ASSERT_TRUE(Register(1, "ends", ends).ok());
  ASSERT_TRUE(Register(1, "stays", stays).ok());
  ASSERT_TRUE(AllSee("ends", ends));
  Kill(1, ends);
  EXPECT_TRUE(AllSee("ends", kNobody));
  EXPECT_TRUE(AllSee("stays", stays));
  cluster_.KillNode(1);
  EXPECT_TRUE(See({0, 2}, "stays", kNobody));
}

// -- Quorum ------------------------------------------------------------------

TEST_F(SwarmThree, SWM08_RegistrationWithoutTheStoreIsAnError) {
  OTP_CASE("SWM.08", "SW3");
  cluster_.store().DisconnectAll(SimCut::kRefused);
  for (int node = 0; node < 3; ++node) {
    const absl::Status refused = Register(node, "name", Spawn(node)).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
    EXPECT_EQ(OutcomeOf(refused), Outcome::kNotExecuted);
    const absl::Status start =
        StartNamed(node, ServerName::Global("started")).status();
    EXPECT_EQ(start.code(), absl::StatusCode::kUnavailable) << start;
  }
  EXPECT_EQ(cluster_.Apply(0, Tree({"a"})).status().code(),
            absl::StatusCode::kUnavailable);
  cluster_.store().ReconnectAll();
  cluster_.RunFor(absl::Seconds(5));
  for (const char* name : {"name", "started", "s_a"}) {
    EXPECT_FALSE(cluster_.OwnerOf(name).has_value()) << name;
    EXPECT_TRUE(AllSee(name, kNobody)) << name;
  }
  EXPECT_EQ(script_->starts["s_a"], 0);
}

TEST_F(SwarmThree, SWM09_WithTheStoreItStartsAtOnceAndUnregisters) {
  OTP_CASE("SWM.09 SWM.12", "SW3");
  const absl::StatusOr<Pid> pid = StartNamed(1, ServerName::Global("name"));
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_EQ(WhereIs(1, "name"), *pid);
  EXPECT_TRUE(AllSee("name", *pid));
  EXPECT_TRUE(Unregister(1, "name").ok());
  EXPECT_TRUE(AllSee("name", kNobody));
  EXPECT_TRUE(Alive(1, *pid));
}

TEST_F(SwarmThree, SWM10_NodeThatLosesTheStoreFreezesThenItsNamesAreGone) {
  OTP_CASE("SWM.10 SWM.11", "SW3");
  std::vector<Pid> pids;
  const auto name = [](int i) { return absl::StrCat("name", i); };
  for (int i = 0; i < 5; ++i) {
    const absl::StatusOr<Pid> pid = StartNamed(2, ServerName::Global(name(i)));
    ASSERT_TRUE(pid.ok()) << pid.status();
    pids.push_back(*pid);
    ASSERT_EQ(*Call(2, name(i), i), i);
  }
  CutOff(2);
  // Behind its fence, before anybody may take over: nothing is dispatched.
  cluster_.RunFor(absl::Milliseconds(3300));
  ASSERT_EQ(cluster_.Reaps(2), 0);
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(Call(2, name(i), i).ok()) << name(i);
  }
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(See({0, 1}, name(i), kNobody));
  Heal(2);
  ASSERT_TRUE(cluster_.RunUntil(
      [&] { return cluster_.Reaps(2) == 1 && cluster_.IsJoined(2); }));
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(AllSee(name(i), kNobody));
    EXPECT_FALSE(Alive(2, pids[static_cast<size_t>(i)]));
    EXPECT_EQ(ReasonOf(Call(0, name(i), i).status()), "NOPROC");
  }
}

// Upstream's ring gives no node for a key until it has the size of a quorum.
TEST_F(SwarmThree, SWM31_NameHasNoNodeUntilTheStoreIsThere) {
  OTP_CASE("SWM.31", "SW3");
  cluster_.store().DisconnectAll(SimCut::kRefused);
  EXPECT_EQ(cluster_.Apply(0, Tree({"a"})).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), -1);
  cluster_.store().ReconnectAll();
  ASSERT_TRUE(cluster_.RunUntil([&] { return Joined().size() == 3; }));
  cluster_.RunFor(absl::Seconds(2));
  MustApply(Tree({"a"}));
  EXPECT_GE(cluster_.LivingOwnerOf("s_a"), 0);
}

}  // namespace
}  // namespace muster
