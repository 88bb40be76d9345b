// OTP's global_SUITE: cluster-wide names.
//
// One arbiter, the store, replaces replicas that negotiate: where upstream lets
// both sides of a partition register a name and merges them, here one side owns
// it, the other is refused, and nobody is killed after the heal.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/boot/cluster_node.h"
#include "cluster/supervisor/env.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/conformance/otp/global_fixture.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/testkit/capture_logger.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const Pid kNobody;

// Longer than it takes until a silent node has been reaped.
constexpr absl::Duration kReaped = absl::Seconds(8);
// Shorter than its fence.
constexpr absl::Duration kBlink = absl::Seconds(1);

class Global : public GlobalFixture {
 protected:
  Global() : GlobalFixture(4) {}
};

TEST_F(Global, GL01_NameIsTheSamePidOnAllNodes) {
  OTP_CASE("GL.01", "GL1 GL2");
  const Pid pid = Spawn(0);
  ASSERT_TRUE(Register(0, "name", pid).ok());
  EXPECT_TRUE(AllSee("name", pid));
  for (int node = 0; node < 4; ++node) {
    const absl::Status taken = Register(node, "name", Spawn(node)).status();
    EXPECT_EQ(ReasonOf(taken), "ALREADY_STARTED") << taken;
    EXPECT_EQ(DetailOf(taken, "pid"), pid.ToString());
    const auto reply = Call(node, ServerRef::Global("name"), node);
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(*reply, node);
  }
}

TEST_F(Global, GL02_DeathOfTheProcessFreesTheNameEverywhere) {
  OTP_CASE("GL.02", "GL4");
  const Pid pid = Spawn(1);
  ASSERT_TRUE(Register(1, "name", pid).ok());
  ASSERT_TRUE(AllSee("name", pid));
  Kill(1, pid);
  EXPECT_TRUE(AllSee("name", kNobody));
  for (int node = 0; node < 4; ++node) {
    EXPECT_EQ(ReasonOf(Call(node, "name", 1).status()), "NOPROC");
  }
}

TEST_F(Global, GL04_UnregisterFreesTheNameAndLeavesTheProcess) {
  OTP_CASE("GL.04", "GL3");
  const Pid pid = Spawn(2);
  ASSERT_TRUE(Register(2, "name", pid).ok());
  ASSERT_TRUE(AllSee("name", pid));
  EXPECT_TRUE(Unregister(2, "name").ok());
  EXPECT_TRUE(AllSee("name", kNobody));
  EXPECT_TRUE(Alive(2, pid));
  EXPECT_EQ(*Call(0, pid, 7), 7) << "it serves on, under its pid";
  EXPECT_EQ(ReasonOf(Unregister(2, "name")), "NOPROC");
}

// A hidden node is a cluster of its own, over the same store.
TEST_F(Global, GL05_ClustersOverOneStoreKeepTheirNamesApart) {
  OTP_CASE("GL.05", "GL6");
  Scheduler& lane = cluster_.world().AddLane("hidden");
  SimTransport transport(&cluster_.network(), &lane, "hidden:1");
  CaptureLogger logger;
  ClusterNodeOptions options;
  options.cluster = "hidden";
  options.node = "n0";
  options.address = "hidden:1";
  options.build = "sim";
  ClusterNode hidden(std::move(options), cluster_.store().NewClient(lane),
                     &lane, &cluster_.world().random(), &logger, &transport);
  std::optional<absl::Status> joined;
  hidden.Start([&](absl::Status status) { joined = std::move(status); },
               [] { ADD_FAILURE() << "reaped"; });
  ASSERT_TRUE(cluster_.RunUntil([&] { return joined.has_value(); }));
  ASSERT_TRUE(joined->ok()) << *joined;
  Pid other;
  Start(hidden.runtime(), ScriptServer::Make(), Payload())
      .Then([&](absl::StatusOr<Pid> pid) { other = *pid; });
  ASSERT_TRUE(cluster_.RunUntil([&] { return !other.empty(); }));

  const Pid pid = Spawn(0);
  ASSERT_TRUE(Register(0, "name", pid).ok());
  std::optional<absl::StatusOr<Epoch>> registered;
  hidden.registry().Register("name", other, [&](absl::StatusOr<Epoch> epoch) {
    registered = std::move(epoch);
  });
  ASSERT_TRUE(cluster_.RunUntil([&] { return registered.has_value(); }));
  EXPECT_TRUE(registered->ok()) << registered->status();
  EXPECT_TRUE(AllSee("name", pid));
  EXPECT_EQ(hidden.registry().WhereIs("name")->pid, other);
  EXPECT_THAT(hidden.registry().List(""), SizeIs(1));
  // Unregistering does not cross.
  EXPECT_TRUE(Unregister(0, "name").ok());
  EXPECT_TRUE(AllSee("name", kNobody));
  cluster_.RunFor(absl::Seconds(2));
  EXPECT_EQ(hidden.registry().WhereIs("name")->pid, other);
  hidden.Close();
  cluster_.world().KillLane(lane);
}

TEST_F(Global, GL12_NameOfOneProcessOutlivesASplit) {
  OTP_CASE("GL.12", "GL7");
  const Pid pid = Spawn(0);
  const absl::StatusOr<Epoch> epoch = Register(0, "name", pid);
  ASSERT_TRUE(epoch.ok());
  ASSERT_TRUE(AllSee("name", pid));
  CutOff(3);
  cluster_.RunFor(kBlink);
  EXPECT_EQ(WhereIs(3, "name"), pid) << "its own copy";
  EXPECT_EQ(WhereIs(1, "name"), pid);
  Heal(3);
  EXPECT_TRUE(AllSee("name", pid));
  EXPECT_EQ(NamesOf(3).WhereIs("name")->epoch, *epoch) << "nothing was merged";
  Kill(0, pid);
  EXPECT_TRUE(AllSee("name", kNobody));
}

TEST_F(Global, GL13_DeathBehindACutIsHeardOfAfterContact) {
  OTP_CASE("GL.13", "GL4");
  const Pid pid = Spawn(3);
  ASSERT_TRUE(Register(3, "name", pid).ok());
  ASSERT_TRUE(AllSee("name", pid));
  CutOff(3);
  Kill(3, pid);
  cluster_.RunFor(kBlink);
  EXPECT_EQ(WhereIs(0, "name"), pid) << "nobody has told them";
  Heal(3);
  EXPECT_TRUE(AllSee("name", kNobody));
  EXPECT_EQ(cluster_.Reaps(3), 0);
  EXPECT_TRUE(Register(0, "name", Spawn(0)).ok());
}

TEST_F(Global, GL14_AfterASplitAllKnowAllNames) {
  OTP_CASE("GL.14", "GL1 GL4 GL5");
  const Pid before = Spawn(3);
  ASSERT_TRUE(Register(3, "before", before).ok());
  CutOff(3);
  const Pid here = Spawn(0);
  const Pid there = Spawn(3);
  ASSERT_TRUE(Register(0, "here", here).ok());
  const Registration late = StartRegister(3, "there", there);
  cluster_.RunFor(kBlink);
  EXPECT_FALSE(late->has_value() && (*late)->ok())
      << "without the store nobody gets a name";
  EXPECT_TRUE(See({0, 1, 2}, "here", here));
  EXPECT_EQ(WhereIs(3, "here"), kNobody);
  Heal(3);
  EXPECT_TRUE(AllSee("here", here));
  EXPECT_TRUE(AllSee("before", before));
  const absl::Status outcome = Await(late).status();
  if (!outcome.ok()) {
    EXPECT_TRUE(Register(3, "there", there).ok()) << outcome;
  }
  EXPECT_TRUE(AllSee("there", there));
  Kill(0, here);
  Kill(3, there);
  EXPECT_TRUE(AllSee("here", kNobody));
  EXPECT_TRUE(AllSee("there", kNobody));
  EXPECT_TRUE(AllSee("before", before));
}

TEST_F(Global, GL15_SideWithoutTheStoreIsRefusedAndNobodyIsKilled) {
  OTP_CASE("GL.15", "GL7 GL8");
  CutOff(3);
  std::vector<Pid> owners;
  std::vector<Registration> refused;
  for (const char* name : {"name1", "name2"}) {
    const Pid there = Spawn(3);
    refused.push_back(StartRegister(3, name, there));
    owners.push_back(Spawn(0));
    ASSERT_TRUE(Register(0, name, owners.back()).ok());
  }
  cluster_.RunFor(kBlink);
  Heal(3);
  for (const Registration& one : refused) {
    EXPECT_FALSE(Await(one).ok());
  }
  EXPECT_TRUE(AllSee("name1", owners[0]));
  EXPECT_TRUE(AllSee("name2", owners[1]));
  EXPECT_TRUE(Alive(0, owners[0]));
  EXPECT_TRUE(Alive(0, owners[1]));
  EXPECT_EQ(cluster_.Reaps(3), 0) << "and its node was not taken for dead";
  EXPECT_EQ(RuntimeOf(3).List().size(), 6u)
      << "the agent, this node's own parts (three), and both of ours";
}

TEST_F(Global, GL21_NamesSurviveLinksThatComeAndGo) {
  OTP_CASE("GL.21 GL.22 GL.25", "GL18");
  const Pid a = Spawn(0);
  const Pid b = Spawn(1);
  ASSERT_TRUE(Register(0, "a", a).ok());
  ASSERT_TRUE(Register(1, "b", b).ok());
  ASSERT_TRUE(AllSee("a", a));
  ASSERT_TRUE(AllSee("b", b));
  for (int round = 0; round < 20; ++round) {
    CutLink(0, 1);
    if (round % 2 == 0) CutLink(2, 3);
    cluster_.RunFor(absl::Seconds(2));
    // A link is no part of who owns what.
    for (int node = 0; node < 4; ++node) {
      EXPECT_EQ(WhereIs(node, "a"), a);
      EXPECT_EQ(WhereIs(node, "b"), b);
    }
    HealLink(0, 1);
    HealLink(2, 3);
    cluster_.RunFor(absl::Milliseconds(100 * round));
  }
  cluster_.RunFor(absl::Seconds(5));
  EXPECT_EQ(*Call(1, "a", 1), 1);
  EXPECT_EQ(*Call(0, "b", 2), 2);
  EXPECT_EQ(*Call(2, "a", 3), 3);
  for (int node = 0; node < 4; ++node) EXPECT_EQ(cluster_.Reaps(node), 0);
  // The end of one is told once: its name goes, and nothing else.
  Kill(0, a);
  EXPECT_TRUE(AllSee("a", kNobody));
  EXPECT_TRUE(AllSee("b", b));
}

// Upstream's 16 combinations of where the processes run and who connects.
TEST_F(Global, GL26_WhoeverRegistersFirstStandsWhoeverIsCutOff) {
  OTP_CASE("GL.26 GL.29", "GL8 GL11");
  int number = 0;
  for (int owner = 0; owner < 4; ++owner) {
    for (int cut = 0; cut < 4; ++cut) {
      if (owner == cut) continue;
      const std::string name = absl::StrCat("name", number++);
      CutOff(cut);
      const Pid first = Spawn(owner);
      const Pid second = Spawn(cut);
      ASSERT_TRUE(Register(owner, name, first).ok()) << name;
      const Registration refused = StartRegister(cut, name, second);
      cluster_.RunFor(absl::Milliseconds(500));
      Heal(cut);
      EXPECT_EQ(ReasonOf(Await(refused).status()), "ALREADY_STARTED") << name;
      EXPECT_EQ(DetailOf(Await(refused).status(), "pid"), first.ToString());
      EXPECT_TRUE(AllSee(name, first)) << name;
      EXPECT_TRUE(Alive(owner, first));
      EXPECT_TRUE(Alive(cut, second));
    }
  }
}

TEST_F(Global, GL30_RefusedSidesNodeMayDieAtTheHeal) {
  OTP_CASE("GL.30 GL.40", "GL10 GL11");
  const Pid owner = Spawn(0);
  CutOff(3);
  ASSERT_TRUE(Register(0, "name", owner).ok());
  const Registration refused = StartRegister(3, "name", Spawn(3));
  cluster_.RunFor(kBlink);
  cluster_.network().HealAll();
  cluster_.store().Reconnect(cluster_.store_client(3));
  cluster_.RunFor(absl::Milliseconds(1));
  cluster_.KillNode(3);
  EXPECT_TRUE(AllSee("name", owner));
  cluster_.RunFor(kReaped);
  EXPECT_TRUE(AllSee("name", owner));
  EXPECT_TRUE(Alive(0, owner));
  // Nor does what that node had sent before it died.
  cluster_.StartNode(3);
  EXPECT_TRUE(AllSee("name", owner));
  EXPECT_FALSE(refused->has_value() && (*refused)->ok());
}

TEST_F(Global, GL31_NoNameLingersForADeadNode) {
  OTP_CASE("GL.31", "GL4 GL10");
  cluster_.LeaveNode(3);
  const Pid pid = Spawn(0);
  ASSERT_TRUE(Register(0, "name", pid).ok());
  // It dies while another joins, which takes over all names.
  cluster_.StartNode(3);
  cluster_.KillNode(0);
  EXPECT_TRUE(cluster_.RunUntil([&] { return cluster_.IsJoined(3); }));
  EXPECT_TRUE(See({1, 2, 3}, "name", kNobody));
  EXPECT_TRUE(Register(3, "name", Spawn(3)).ok());
  cluster_.StartNode(0);
  EXPECT_TRUE(cluster_.RunUntil([&] { return cluster_.IsJoined(0); }));
  EXPECT_TRUE(AllSee("name", WhereIs(3, "name")));
}

TEST_F(Global, GL35_NameRegisteredDuringAJoinIsOnOldAndNewNodes) {
  OTP_CASE("GL.35", "GL5");
  cluster_.LeaveNode(3);
  for (int round = 0; round < 10; ++round) {
    const std::string name = absl::StrCat("name", round);
    const Pid pid = Spawn(round % 3);
    cluster_.StartNode(3);
    cluster_.RunFor(absl::Milliseconds(round));
    const Registration registered = StartRegister(round % 3, name, pid);
    EXPECT_TRUE(Await(registered).ok());
    EXPECT_TRUE(cluster_.RunUntil([&] { return cluster_.IsJoined(3); }));
    EXPECT_TRUE(AllSee(name, pid));
    cluster_.LeaveNode(3);
  }
}

TEST_F(Global, GL38_GarbageHarmsNothing) {
  OTP_CASE("GL.38", "GL18");
  const Pid pid = Spawn(0);
  ASSERT_TRUE(Register(0, "name", pid).ok());
  for (int node = 0; node < 4; ++node) {
    const Pid agent = RuntimeOf(node).WhereIsLocal(kAgentName);
    ASSERT_FALSE(agent.empty());
    RuntimeOf(node).Send(agent, Info(MakeInt64(17)));
    RuntimeOf(node).Send(agent, Info(std::string("garbage")));
    RuntimeOf(0).Send(ServerRef::Local(kAgentName, SimCluster::NodeName(node)),
                      Info(MakeInt64(18)));
    RuntimeOf(node).Send(ServerRef::Via("global", ""), Info(MakeInt64(19)));
    EXPECT_FALSE(Call(node, ServerRef::Local(kAgentName), 1).ok());
    cluster_.RunFor(absl::Seconds(1));
    EXPECT_EQ(RuntimeOf(node).WhereIsLocal(kAgentName), agent);
  }
  EXPECT_TRUE(AllSee("name", pid));
  EXPECT_TRUE(Register(1, "other", Spawn(1)).ok());
}

TEST_F(Global, GL39_NameMovedBehindTwoCutsIsTheSameEverywhere) {
  OTP_CASE("GL.39", "GL3 GL11");
  const Pid first = Spawn(0);
  ASSERT_TRUE(Register(0, "name", first).ok());
  ASSERT_TRUE(AllSee("name", first));
  CutLink(0, 2);
  CutLink(1, 3);
  ASSERT_TRUE(Unregister(0, "name").ok());
  const Pid second = Spawn(1);
  const absl::StatusOr<Epoch> epoch = Register(1, "name", second);
  ASSERT_TRUE(epoch.ok()) << epoch.status();
  cluster_.network().HealAll();
  EXPECT_TRUE(AllSee("name", second));
  for (int node = 0; node < 4; ++node) {
    EXPECT_EQ(NamesOf(node).WhereIs("name")->epoch, *epoch);
  }
  // The end of the one that had it before changes nothing.
  Kill(0, first);
  cluster_.RunFor(absl::Seconds(2));
  EXPECT_TRUE(AllSee("name", second));
}

TEST_F(Global, GL41_NodeThatLeavesTakesItsNamesAndCutsNobodyElse) {
  OTP_CASE("GL.41", "GL17");
  const Pid staying = Spawn(1);
  const Pid leaving = Spawn(3);
  ASSERT_TRUE(Register(1, "stays", staying).ok());
  ASSERT_TRUE(Register(3, "leaves", leaving).ok());
  ASSERT_TRUE(AllSee("leaves", leaving));
  cluster_.LeaveNode(3);
  EXPECT_TRUE(See({0, 1, 2}, "leaves", kNobody));
  EXPECT_TRUE(See({0, 1, 2}, "stays", staying));
  for (const int node : {0, 1, 2}) {
    EXPECT_EQ(*Call(node, "stays", node), node);
    EXPECT_THAT(cluster_.node(node).membership().Members(), SizeIs(3));
  }
  EXPECT_TRUE(Register(0, "leaves", Spawn(0)).ok());
}

TEST_F(Global, GL10_BadInputIsRefusedAndHarmsNothing) {
  const Pid pid = Spawn(0);
  for (const std::string& name :
       {std::string(), std::string("a~b"), std::string(5000, 'x')}) {
    EXPECT_EQ(ReasonOf(Register(0, name, pid).status()), "BAD_NAME");
  }
  // No pid, one of nobody, one of another node.
  EXPECT_EQ(ReasonOf(Register(0, "name", Pid()).status()), "NOPROC");
  Pid nobody = pid;
  nobody.number += 1000;
  EXPECT_EQ(ReasonOf(Register(0, "name", nobody).status()), "NOPROC");
  EXPECT_EQ(ReasonOf(Register(0, "name", Spawn(1)).status()), "NOPROC");
  EXPECT_EQ(ReasonOf(Unregister(0, std::string(5000, 'x'))), "NOPROC");
  EXPECT_EQ(WhereIs(0, ""), kNobody);
  EXPECT_TRUE(Register(0, "name", pid).ok());
}

// -- The names as a via registry ---------------------------------------------

TEST_F(Global, ViaGlobalIsTheNameItself) {
  const absl::StatusOr<Pid> pid =
      StartNamed(2, ServerName::Via("global", "name"));
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_TRUE(AllSee("name", *pid));
  for (int node = 0; node < 4; ++node) {
    EXPECT_EQ(*Call(node, ServerRef::Via("global", "name"), node), node);
  }
  const absl::Status taken =
      StartNamed(0, ServerName::Via("global", "name")).status();
  EXPECT_EQ(ReasonOf(taken), "ALREADY_STARTED") << taken;
  EXPECT_EQ(DetailOf(taken, "pid"), pid->ToString());
  // Only its own process loses it.
  const auto via = RuntimeOf(2).HoldVia("global");
  via->Unregister("name", Spawn(2));
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(AllSee("name", *pid));
  via->Unregister("name", *pid);
  EXPECT_TRUE(AllSee("name", kNobody));
  EXPECT_TRUE(Alive(2, *pid));
  EXPECT_EQ(ReasonOf(Call(0, ServerRef::Via("global", "name"), 1).status()),
            "NOPROC");
}

// -- Many nodes --------------------------------------------------------------

class GlobalMany : public GlobalFixture,
                   public ::testing::WithParamInterface<int> {
 protected:
  GlobalMany() : GlobalFixture(GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(Nodes, GlobalMany, ::testing::Values(7, 10));

// Upstream's nodes meet in a ring or in a line; here they race for the name,
// in that order, all at once, and while every second link is down.
TEST_P(GlobalMany, GL17_OneOfAllGetsTheName) {
  OTP_CASE("GL.17 GL.18 GL.19 GL.20", "GL11");
  const int nodes = GetParam();
  for (int round = 0; round < 6; ++round) {
    const std::string name = absl::StrCat("name", round);
    if (round % 2 == 1) {  // A line.
      for (int i = 0; i < nodes; ++i) {
        for (int j = i + 2; j < nodes; ++j) CutLink(i, j);
      }
    }
    std::vector<Pid> pids;
    std::vector<Registration> answers;
    for (int i = 0; i < nodes; ++i) {
      const int node = (i + round) % nodes;
      pids.push_back(Spawn(node));
      answers.push_back(StartRegister(node, name, pids.back()));
    }
    int winner = -1;
    for (int i = 0; i < nodes; ++i) {
      if (!Await(answers[static_cast<size_t>(i)]).ok()) continue;
      EXPECT_EQ(winner, -1) << "two winners";
      winner = i;
    }
    ASSERT_NE(winner, -1);
    const Pid& won = pids[static_cast<size_t>(winner)];
    EXPECT_TRUE(AllSee(name, won));
    for (int i = 0; i < nodes; ++i) {
      EXPECT_TRUE(Alive((i + round) % nodes, pids[static_cast<size_t>(i)]))
          << "no loser is killed";
      if (i == winner) continue;
      const absl::Status lost = Await(answers[static_cast<size_t>(i)]).status();
      EXPECT_EQ(ReasonOf(lost), "ALREADY_STARTED") << lost;
      EXPECT_EQ(DetailOf(lost, "pid"), won.ToString());
    }
    cluster_.network().HealAll();
  }
}

TEST(GlobalStartTest, GL34_NodeThatJoinsKnowsAllNames) {
  OTP_CASE("GL.34", "GL5 GL18");
  SimCluster cluster(1, 5);
  for (int node = 0; node < 5; ++node) {
    cluster.StartNode(node);
    ASSERT_TRUE(cluster.RunUntil([&] { return cluster.IsJoined(node); }));
    // At once: its start waits for the names.
    EXPECT_THAT(cluster.node(node).registry().List("name"),
                SizeIs(static_cast<size_t>(node)));
    std::optional<absl::StatusOr<Pid>> pid;
    StartOptions options;
    options.name = ServerName::Global(absl::StrCat("name", node));
    Start(cluster.node(node).runtime(), ScriptServer::Make(), Payload(),
          options)
        .Then([&](absl::StatusOr<Pid> started) { pid = std::move(started); });
    ASSERT_TRUE(cluster.RunUntil([&] { return pid.has_value(); }));
    ASSERT_TRUE(pid->ok()) << pid->status();
  }
}

class GlobalFive : public GlobalFixture {
 protected:
  GlobalFive() : GlobalFixture(5) {}
};

TEST_F(GlobalFive, GL37_MassDeathFreesAllNames) {
  OTP_CASE("GL.37", "GL4 GL18");
  std::vector<std::pair<int, Pid>> all;
  std::vector<Registration> answers;
  for (int i = 0; i < 200; ++i) {
    const int node = i % 5;
    all.emplace_back(node, Spawn(node));
    answers.push_back(
        StartRegister(node, absl::StrCat("name", i), all.back().second));
  }
  for (const Registration& answer : answers) ASSERT_TRUE(Await(answer).ok());
  const auto all_list = [&](size_t count) {
    return cluster_.RunUntil([&] {
      for (int node = 0; node < 5; ++node) {
        if (NamesOf(node).List("name").size() != count) return false;
      }
      return true;
    });
  };
  EXPECT_TRUE(all_list(200));
  for (const auto& [node, pid] : all) {
    RuntimeOf(node).SendExit(Pid(), pid, ExitReason::Kill());
  }
  EXPECT_TRUE(all_list(0));
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(cluster_.OwnerOf(absl::StrCat("name", i)), std::nullopt);
  }
}

// Cuts, deaths and late starts while names are registered and given up; then
// all nodes agree on every name, and with the store.
class GlobalStress : public ::testing::TestWithParam<uint64_t> {};

INSTANTIATE_TEST_SUITE_P(Seeds, GlobalStress,
                         ::testing::Values(1, 2, 3, 4, 5, 6));

TEST_P(GlobalStress, GL16_AllAgreeAfterTheStorm) {
  OTP_CASE("GL.16", "GL5 GL11 GL18");
  constexpr int kNodes = 5;
  constexpr int kNames = 8;
  SimCluster cluster(GetParam(), kNodes);
  SimRandom dice(GetParam() * 7919);
  cluster.StartAll();
  int registered = 0;
  const auto some_node = [&] { return static_cast<int>(dice.Below(kNodes)); };
  // Longer where the dice kept most nodes down, so that few could register.
  for (int step = 0; step < 300 || (registered <= 10 && step < 1'000); ++step) {
    const int node = some_node();
    const int other = some_node();
    switch (dice.Below(10)) {
      case 0:
        if (cluster.IsUp(node)) cluster.KillNode(node);
        break;
      case 1:
        if (cluster.IsUp(node)) {
          cluster.store().Disconnect(cluster.store_client(node));
        }
        break;
      case 2:
        if (cluster.IsUp(node)) {
          cluster.store().Reconnect(cluster.store_client(node));
        }
        break;
      case 3:
        if (node != other) {
          cluster.network().Cut(SimCluster::Address(node),
                                SimCluster::Address(other));
        }
        break;
      case 4:
        cluster.network().HealAll();
        break;
      case 5:
        if (!cluster.IsUp(node)) cluster.StartNode(node);
        break;
      case 6:
        if (cluster.IsJoined(node)) {
          const std::string name = absl::StrCat("name", dice.Below(kNames));
          if (const auto entry = cluster.node(node).registry().WhereIs(name)) {
            cluster.node(node).runtime().SendExit(Pid(), entry->pid,
                                                  ExitReason::Kill());
          }
        }
        break;
      default:
        if (cluster.IsJoined(node)) {
          StartOptions options;
          options.name =
              ServerName::Global(absl::StrCat("name", dice.Below(kNames)));
          Start(cluster.node(node).runtime(), ScriptServer::Make(), Payload(),
                options)
              .Then([&](absl::StatusOr<Pid> pid) { registered += pid.ok(); });
        }
    }
    cluster.RunFor(absl::Milliseconds(dice.Below(600)));
  }
  EXPECT_GT(registered, 10) << "the storm let nothing happen";
  // The calm. A node whose start failed without the store is started again, as
  // its service manager would.
  cluster.network().HealAll();
  for (int node = 0; node < kNodes; ++node) {
    if (!cluster.IsUp(node)) cluster.StartNode(node);
    cluster.store().Reconnect(cluster.store_client(node));
  }
  cluster.RunFor(absl::Seconds(15));
  for (int node = 0; node < kNodes; ++node) {
    const auto& result = cluster.StartResult(node);
    if (result.has_value() && !result->ok()) cluster.RestartNode(node);
  }
  const auto agreed = [&] {
    for (int node = 0; node < kNodes; ++node) {
      if (!cluster.IsJoined(node)) return false;
    }
    for (int i = 0; i < kNames; ++i) {
      const std::string name = absl::StrCat("name", i);
      const int owner = cluster.LivingOwnerOf(name);
      for (int node = 0; node < kNodes; ++node) {
        const auto entry = cluster.node(node).registry().WhereIs(name);
        if (entry.has_value() != (owner >= 0)) return false;
        if (owner < 0) continue;
        if (entry->epoch != cluster.OwnerOf(name)->epoch) return false;
        // And its process lives.
        if (cluster.node(owner).runtime().WhereIsGlobal(name) != entry->pid) {
          return false;
        }
      }
    }
    return true;
  };
  EXPECT_TRUE(cluster.RunUntil(agreed, absl::Minutes(1)));
}

}  // namespace
}  // namespace muster
