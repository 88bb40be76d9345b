// The cases of OTP's pg suite on process groups of a cluster.
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/group/group_scope.h"
#include "cluster/group/groups.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/group/v1/group.pb.h"
#include "node/gen_server/runtime_caller.h"
#include "node/gen_server/sys.h"
#include "node/process/context.h"
#include "node/process/runtime.h"
#include "node/types/exit_reason.h"
#include "node/types/info.h"
#include "node/types/pid.h"
#include "node/types/status.h"
#include "tests/conformance/otp/group_fixture.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/testkit/script_server.h"
#include "tests/testkit/sim_world.h"
#include "tests/unit/node/peer/test_net.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

using PgTest = GroupTest;

TEST_F(PgTest, PG01_GroupsAppearWithTheFirstMemberAndVanishWithTheLast) {
  OTP_CASE("PG.01", "PG1 PG2 PG3 PG4");
  Up("a");
  const Puppet p = Spawn("a");
  EXPECT_THAT(Which("a"), IsEmpty());
  EXPECT_EQ(Join(p, "g"), absl::OkStatus());
  EXPECT_THAT(Members("a", "g"), ElementsAre(p.pid));
  EXPECT_THAT(Table("a")->LocalMembers("g"), ElementsAre(p.pid));
  EXPECT_THAT(Which("a"), ElementsAre("g"));
  EXPECT_THAT(Table("a")->LocalGroups(), ElementsAre("g"));
  EXPECT_EQ(Join(p, "g"), absl::OkStatus());
  EXPECT_THAT(Members("a", "g"), ElementsAre(p.pid, p.pid));
  EXPECT_EQ(Leave(p, "g"), absl::OkStatus());
  EXPECT_THAT(Members("a", "g"), ElementsAre(p.pid));
  EXPECT_EQ(Leave(p, "g"), absl::OkStatus());
  EXPECT_THAT(Members("a", "g"), IsEmpty());
  EXPECT_THAT(Which("a"), IsEmpty());
  EXPECT_EQ(ReasonOf(Leave(p, "g")), "NOT_JOINED");
}

TEST_F(PgTest, PG02_UnknownMessagesAreRejectedAndCounted) {
  OTP_CASE("PG.02", "PG9");
  Up("a");
  const Puppet p = Spawn("a");
  ASSERT_TRUE(Join(p, "g").ok());
  runtime("a").SendLocal(nodes_["a"].scope, Info(MakeInt64(1)));
  world_.RunReady();
  EXPECT_EQ(nodes_["a"].body->rejected(), 1u);
  // It lives, and has forgotten nothing.
  EXPECT_NE(runtime("a").Find(nodes_["a"].scope), nullptr);
  EXPECT_THAT(Members("a", "g"), ElementsAre(p.pid));
  // A call that it does not know is refused in words.
  std::optional<CallResult> result;
  Request request(ServerRef(nodes_["a"].scope), "/muster.group.Scope/Nothing",
                  Payload());
  runtime("a").StartCall(std::move(request),
                         [&](CallResult r) { result = std::move(r); });
  world_.RunReady();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(ReasonOf(result->status), "UNKNOWN_METHOD");
}

TEST_F(PgTest, PG03_AProcessThatDiesAroundJoinAndLeaveHarmsNobody) {
  OTP_CASE("PG.03", "PG3");
  Up("a");
  const Puppet via = Spawn("a");
  for (int i = 0; i < 100; ++i) {
    const Puppet p = Spawn("a");
    const Pid pid = p.pid;
    Run(via, [pid](Context& self) {
      Groups groups(self);
      groups.Join("g", {pid}).Then([](absl::Status) {});
    });
    if (i % 2 == 0) {
      Run(via, [pid](Context& self) {
        Groups groups(self);
        groups.Leave("g", {pid}).Then([](absl::Status) {});
      });
    }
    runtime("a").SendExit(Pid(), pid, ExitReason::Kill());
    world_.RunReady();
  }
  EXPECT_THAT(Members("a", "g"), IsEmpty());
  EXPECT_NE(runtime("a").Find(nodes_["a"].scope), nullptr);
  EXPECT_TRUE(Join(via, "g").ok());
}

TEST_F(PgTest, PG04_NodeUpOfTheOwnNodeIsNoPeer) {
  OTP_CASE("PG.04", "PG6");
  Up("a");
  const Puppet p = Spawn("a");
  ASSERT_TRUE(Join(p, "g").ok());
  runtime("a").SendLocal(nodes_["a"].scope, Info(NodeUp{"a"}));
  Settle();
  EXPECT_THAT(Members("a", "g"), ElementsAre(p.pid));
  EXPECT_EQ(nodes_["a"].body->rejected(), 0u);
}

TEST_F(PgTest, PG05_OnlyLocalProcessesJoin) {
  OTP_CASE("PG.05", "PG2");
  Up("a");
  Up("b");
  const Puppet a = Spawn("a");
  const Puppet b = Spawn("b");
  EXPECT_EQ(ReasonOf(JoinAll(a, "g", {b.pid})), "NOT_LOCAL");
  EXPECT_EQ(ReasonOf(JoinAll(a, "g", {a.pid, b.pid})), "NOT_LOCAL");
  EXPECT_EQ(ReasonOf(JoinAll(a, "g", {Pid()})), "NOT_LOCAL");
  EXPECT_THAT(Which("a"), IsEmpty());
}

TEST_F(PgTest, PG06_MessagesOfPeersOutsideTheOverlayAreIgnored) {
  OTP_CASE("PG.06", "PG6");
  Up("a");
  Up("b", /*scope=*/false);
  const Puppet b = Spawn("b");
  group::v1::Joined joined;
  *joined.mutable_from() = b.pid.ToProto();
  joined.set_group("g");
  group::v1::Member& member = *joined.add_members();
  *member.mutable_pid() = b.pid.ToProto();
  member.set_count(1);
  group::v1::Left left;
  *left.mutable_from() = b.pid.ToProto();
  *left.add_pids() = b.pid.ToProto();
  left.add_groups("g");
  const Pid scope = nodes_["a"].scope;
  Run(b, [scope, joined, left](Context& self) {
    self.Send(scope, joined);
    self.Send(scope, left);
  });
  Settle();
  EXPECT_THAT(Which("a"), IsEmpty());
  EXPECT_EQ(nodes_["a"].body->rejected(), 2u);
}

TEST_F(PgTest, PG07_NoEmptyGroupIsKeptAfterTheLastRemoteMemberLeft) {
  OTP_CASE("PG.07", "PG2 PG3");
  Up("a");
  Up("b");
  Settle();
  const Puppet one = Spawn("b");
  const Puppet two = Spawn("b");
  ASSERT_TRUE(Join(one, "g").ok());
  ASSERT_TRUE(Join(two, "g").ok());
  Settle();
  EXPECT_THAT(Members("a", "g"), UnorderedElementsAre(one.pid, two.pid));
  // In another order than they joined.
  ASSERT_TRUE(LeaveAll(one, "g", {two.pid, one.pid}).ok());
  Settle();
  EXPECT_THAT(Which("a"), IsEmpty());
}

TEST_F(PgTest, PG08_ManyWhoAskAtOnceDoNotHoldUpAJoin) {
  OTP_CASE("PG.08", "PG9");
  Up("a");
  const Puppet p = Spawn("a");
  constexpr int kGroups = 10'000;
  Run(p, [](Context& self) {
    Groups groups(self);
    for (int i = 0; i < kGroups; ++i) {
      groups.Join(absl::StrCat("g", i)).Then([](absl::Status) {});
    }
  });
  ASSERT_TRUE(world_.RunUntil(
      [&] { return Table("a")->Count(absl::StrCat("g", kGroups - 1)) == 1; },
      absl::Minutes(1)));
  Up("b");
  Settle();
  ASSERT_EQ(Which("b").size(), size_t{kGroups});
  // 2,000 more requests for everything, and then a join.
  group::v1::Discover discover;
  *discover.mutable_from() = nodes_["b"].scope.ToProto();
  for (int i = 0; i < 2'000; ++i) {
    runtime("a").SendLocal(nodes_["a"].scope, Info(discover));
  }
  const uint64_t frames = nodes_["a"].node->peers->stats().frames_written;
  const BootTime asked = world_.clock().Boot();
  EXPECT_TRUE(Join(p, "late").ok());
  EXPECT_LT(world_.clock().Boot() - asked, absl::Seconds(5));
  Settle();
  EXPECT_THAT(Members("b", "late"), ElementsAre(p.pid));
  // One answer in parts, not 2,000 of them.
  EXPECT_LT(nodes_["a"].node->peers->stats().frames_written - frames, 100u);
}

TEST_F(PgTest, PG09_ANodeThatComesLaterGetsTheMembers) {
  OTP_CASE("PG.09", "PG5");
  Up("a");
  const Puppet p = Spawn("a");
  ASSERT_TRUE(Join(p, "g").ok());
  Up("b");
  Settle();
  EXPECT_THAT(Members("b", "g"), ElementsAre(p.pid));
  EXPECT_THAT(Table("b")->LocalMembers("g"), IsEmpty());
  Kill(p.pid);
  Settle();
  EXPECT_THAT(Members("b", "g"), IsEmpty());
  EXPECT_THAT(Which("b"), IsEmpty());
}

TEST_F(PgTest, PG10_AfterASplitBothSidesSeeTheUnionOfTheChanges) {
  OTP_CASE("PG.10", "PG5");
  Up("a");
  Up("b");
  const Puppet a = Spawn("a");
  const Puppet b = Spawn("b");
  ASSERT_TRUE(Join(a, "old").ok());
  ASSERT_TRUE(Join(b, "old").ok());
  ASSERT_TRUE(Join(b, "gone").ok());
  Settle();
  EXPECT_THAT(Members("a", "old"), ElementsAre(a.pid, b.pid));
  Split("b");
  // The other side's members are gone at once.
  EXPECT_THAT(Members("a", "old"), ElementsAre(a.pid));
  EXPECT_THAT(Members("b", "old"), ElementsAre(b.pid));
  EXPECT_THAT(Which("a"), ElementsAre("old"));
  ASSERT_TRUE(Leave(b, "gone").ok());
  ASSERT_TRUE(Join(b, "new").ok());
  ASSERT_TRUE(Leave(a, "old").ok());
  ASSERT_TRUE(Join(a, "mine").ok());
  Heal();
  for (const std::string node : {"a", "b"}) {
    EXPECT_THAT(Which(node), ElementsAre("mine", "new", "old")) << node;
    EXPECT_THAT(Members(node, "old"), ElementsAre(b.pid)) << node;
    EXPECT_THAT(Members(node, "new"), ElementsAre(b.pid)) << node;
    EXPECT_THAT(Members(node, "mine"), ElementsAre(a.pid)) << node;
  }
}

TEST_F(PgTest, PG11_NoStaleMembersAfterFourNodesSplit) {
  OTP_CASE("PG.11", "PG5");
  const std::vector<std::string> names = {"a", "b", "c", "d"};
  std::map<std::string, Puppet> puppets;
  for (const std::string& name : names) {
    Up(name);
    puppets[name] = Spawn(name);
    ASSERT_TRUE(Join(puppets[name], "g").ok());
    ASSERT_TRUE(Join(puppets[name], absl::StrCat("only-", name)).ok());
  }
  Settle();
  for (const std::string& name : names) {
    EXPECT_EQ(Members(name, "g").size(), 4u) << name;
  }
  for (const std::string& name : names) Split(name);
  ASSERT_TRUE(Leave(puppets["a"], "g").ok());
  ASSERT_TRUE(Leave(puppets["b"], "only-b").ok());
  Kill(puppets["c"].pid);
  ASSERT_TRUE(Join(puppets["d"], "fresh").ok());
  Settle();
  for (const std::string& name : names) {
    for (const Pid& pid : Members(name, "g")) EXPECT_EQ(pid.node, name);
  }
  Heal();
  for (const std::string& name : names) {
    EXPECT_THAT(Members(name, "g"),
                UnorderedElementsAre(puppets["b"].pid, puppets["d"].pid))
        << name;
    EXPECT_THAT(Which(name), ElementsAre("fresh", "g", "only-a", "only-d"))
        << name;
  }
}

TEST_F(PgTest, PG12_ListsAreEqualAfterKillsSplitJoinsAndHeal) {
  OTP_CASE("PG.12", "PG5");
  Up("a");
  Up("b");
  std::vector<Puppet> mine;
  std::vector<Puppet> theirs;
  for (int i = 0; i < 10; ++i) {
    mine.push_back(Spawn("a"));
    theirs.push_back(Spawn("b"));
    ASSERT_TRUE(Join(mine.back(), "g").ok());
    ASSERT_TRUE(Join(theirs.back(), "g").ok());
    ASSERT_TRUE(Join(theirs.back(), "g").ok());
  }
  Settle();
  EXPECT_EQ(Members("a", "g").size(), 30u);
  for (int i = 0; i < 5; ++i) Kill(mine[i].pid);
  Split("b");
  for (int i = 0; i < 5; ++i) Kill(theirs[i].pid);
  // A partial leave: one of the two joins.
  ASSERT_TRUE(Leave(theirs[9], "g").ok());
  const Puppet late = Spawn("a");
  ASSERT_TRUE(Join(late, "g").ok());
  Heal();
  std::vector<Pid> expected = {late.pid, theirs[9].pid};
  for (int i = 5; i < 10; ++i) expected.push_back(mine[i].pid);
  for (int i = 5; i < 9; ++i) {
    expected.push_back(theirs[i].pid);
    expected.push_back(theirs[i].pid);
  }
  EXPECT_THAT(Members("a", "g"),
              ::testing::UnorderedElementsAreArray(expected));
  EXPECT_THAT(Members("b", "g"),
              ::testing::UnorderedElementsAreArray(expected));
}

TEST_F(PgTest, PG13_OnlyRemoteMembersMeanNoLocalOnes) {
  OTP_CASE("PG.13", "PG4");
  Up("a");
  Up("b");
  const Puppet b = Spawn("b");
  ASSERT_TRUE(Join(b, "g").ok());
  Settle();
  EXPECT_THAT(Members("a", "g"), ElementsAre(b.pid));
  EXPECT_THAT(Table("a")->LocalMembers("g"), IsEmpty());
  EXPECT_THAT(Table("a")->LocalGroups(), IsEmpty());
}

TEST_F(PgTest, PG14_JoinsBeforeAndAfterTheConnectionAreCounted) {
  OTP_CASE("PG.14", "PG2 PG5");
  Up("a");
  const Puppet a = Spawn("a");
  ASSERT_TRUE(Join(a, "g").ok());
  ASSERT_TRUE(Join(a, "g").ok());
  Up("b");
  Settle();
  EXPECT_THAT(Members("b", "g"), ElementsAre(a.pid, a.pid));
  ASSERT_TRUE(JoinAll(a, "g", {a.pid, a.pid}).ok());
  Settle();
  EXPECT_THAT(Members("a", "g"), ElementsAre(a.pid, a.pid, a.pid, a.pid));
  EXPECT_THAT(Members("b", "g"), ElementsAre(a.pid, a.pid, a.pid, a.pid));
}

TEST_F(PgTest, PG15_WithoutTheScopeJoinAndLeaveSayNoproc) {
  OTP_CASE("PG.15", "PG2 PG4");
  Up("a", /*scope=*/false);
  const Puppet p = Spawn("a");
  EXPECT_EQ(ReasonOf(Join(p, "g")), "NOPROC");
  EXPECT_EQ(ReasonOf(Leave(p, "g")), "NOPROC");
  // Reading gives nothing, and does not fail.
  bool read = false;
  Run(p, [&read](Context& self) {
    Groups groups(self);
    EXPECT_THAT(groups.Members("g"), IsEmpty());
    EXPECT_THAT(groups.LocalMembers("g"), IsEmpty());
    EXPECT_THAT(groups.Which(), IsEmpty());
    EXPECT_EQ(groups.Count("g"), 0u);
    read = true;
  });
  world_.RunReady();
  EXPECT_TRUE(read);
}

TEST_F(PgTest, PG16_AScopeStartsAndStopsOnANodeWithoutConnections) {
  OTP_CASE("PG.16", "PG1");
  Up("a");
  Settle();
  runtime("a").SendExit(Pid(), nodes_["a"].scope, ExitReason::Shutdown());
  world_.RunReady();
  EXPECT_EQ(runtime("a").Find(nodes_["a"].scope), nullptr);
  EXPECT_EQ(Table("a"), nullptr);
  StartScope("a");
  world_.RunReady();
  EXPECT_NE(Table("a"), nullptr);
}

TEST_F(PgTest, PG17_AFullSyncReplacesWhatWasKnownOfThePeer) {
  OTP_CASE("PG.17", "PG5");
  Up("a");
  Up("b");
  const Puppet one = Spawn("b");
  const Puppet two = Spawn("b");
  ASSERT_TRUE(Join(one, "x").ok());
  ASSERT_TRUE(Join(two, "y").ok());
  Settle();
  ASSERT_THAT(Which("a"), ElementsAre("x", "y"));
  group::v1::Sync sync;
  *sync.mutable_from() = nodes_["b"].scope.ToProto();
  sync.set_round(1'000);
  const auto add = [&sync](const std::string& name, const Pid& pid,
                           uint32_t count) {
    group::v1::Group& group = *sync.add_groups();
    group.set_name(name);
    group::v1::Member& member = *group.add_members();
    *member.mutable_pid() = pid.ToProto();
    member.set_count(count);
  };
  add("y", two.pid, 2);
  add("z", one.pid, 1);
  sync.set_last(true);
  runtime("a").SendLocal(nodes_["a"].scope, Info(sync));
  world_.RunReady();
  EXPECT_THAT(Which("a"), ElementsAre("y", "z"));
  EXPECT_THAT(Members("a", "y"), ElementsAre(two.pid, two.pid));
  EXPECT_THAT(Members("a", "z"), ElementsAre(one.pid));
}

TEST_F(PgTest, PG18_AScopeMonitorReportsEachOperationOnce) {
  OTP_CASE("PG.18", "PG8");
  Up("a");
  Up("b");
  Settle();
  const Puppet watcher = Spawn("a");
  const Puppet a = Spawn("a");
  const Puppet b = Spawn("b");
  ASSERT_TRUE(Join(a, "old").ok());
  const auto monitor = Ask<absl::StatusOr<GroupMonitor>>(
      watcher, [](Groups& groups) { return groups.MonitorAll(); });
  ASSERT_TRUE(monitor.ok());
  EXPECT_THAT(monitor->groups, ElementsAre(Pair("old", ElementsAre(a.pid))));
  ASSERT_TRUE(JoinAll(a, "g", {a.pid, a.pid}).ok());
  ASSERT_TRUE(Join(b, "g").ok());
  Settle();
  EXPECT_THAT(Take(watcher), ElementsAre(Pair("+g", ElementsAre(a.pid, a.pid)),
                                         Pair("+g", ElementsAre(b.pid))));
  ASSERT_TRUE(Leave(a, "g").ok());
  Settle();
  EXPECT_THAT(Take(watcher), ElementsAre(Pair("-g", ElementsAre(a.pid))));
  // The stop of a node is a leave of its members.
  Down("b");
  EXPECT_THAT(Take(watcher), ElementsAre(Pair("-g", ElementsAre(b.pid))));
  // After demonitor nothing comes, and what waited is gone.
  const GroupMonitorRef ref = monitor->ref;
  auto ended = std::make_shared<std::optional<bool>>();
  Run(watcher, [ref, ended](Context& self) {
    Groups groups(self);
    groups.Join("flushed").Then([](absl::Status) {});
    groups.Demonitor(ref).Then([ended](bool ok) { *ended = ok; });
  });
  Settle();
  EXPECT_EQ(*ended, true);
  EXPECT_THAT(Take(watcher), IsEmpty());
  ASSERT_TRUE(Join(a, "h").ok());
  Settle();
  EXPECT_THAT(Take(watcher), IsEmpty());
  // Unknown: false.
  EXPECT_FALSE(Ask<bool>(
      watcher, [ref](Groups& groups) { return groups.Demonitor(ref); }));
  EXPECT_FALSE(Ask<bool>(watcher, [](Groups& groups) {
    return groups.Demonitor(GroupMonitorRef{4711});
  }));
}

TEST_F(PgTest, PG19_AGroupMonitorReportsItsGroupAlone) {
  OTP_CASE("PG.19", "PG8");
  Up("a");
  Up("b");
  Settle();
  const Puppet watcher = Spawn("a");
  const Puppet a = Spawn("a");
  const Puppet b = Spawn("b");
  const auto monitor = Ask<absl::StatusOr<GroupMonitor>>(
      watcher, [](Groups& groups) { return groups.Monitor("g"); });
  ASSERT_TRUE(monitor.ok());
  EXPECT_THAT(monitor->groups, ElementsAre(Pair("g", IsEmpty())));
  ASSERT_TRUE(Join(a, "other").ok());
  ASSERT_TRUE(Join(b, "other").ok());
  ASSERT_TRUE(Join(b, "g").ok());
  ASSERT_TRUE(Join(a, "g").ok());
  Settle();
  EXPECT_THAT(Take(watcher),
              UnorderedElementsAre(Pair("+g", ElementsAre(b.pid)),
                                   Pair("+g", ElementsAre(a.pid))));
  ASSERT_TRUE(Leave(b, "g").ok());
  Kill(a.pid);
  Settle();
  EXPECT_THAT(Take(watcher),
              UnorderedElementsAre(Pair("-g", ElementsAre(b.pid)),
                                   Pair("-g", ElementsAre(a.pid))));
  const GroupMonitorRef ref = monitor->ref;
  EXPECT_TRUE(Ask<bool>(
      watcher, [ref](Groups& groups) { return groups.Demonitor(ref); }));
  ASSERT_TRUE(Join(b, "g").ok());
  Settle();
  EXPECT_THAT(Take(watcher), IsEmpty());
}

TEST_F(PgTest, PG20_AProcessThatMonitorsAndJoinsMayDie) {
  OTP_CASE("PG.20", "PG8");
  Up("a");
  const Puppet both = Spawn("a");
  const Puppet other = Spawn("a");
  ASSERT_TRUE(Ask<absl::StatusOr<GroupMonitor>>(both, [](Groups& groups) {
                return groups.Monitor("g");
              }).ok());
  ASSERT_TRUE(Join(both, "g").ok());
  world_.RunReady();
  EXPECT_THAT(Take(both), ElementsAre(Pair("+g", ElementsAre(both.pid))));
  Kill(both.pid);
  EXPECT_NE(runtime("a").Find(nodes_["a"].scope), nullptr);
  EXPECT_THAT(Members("a", "g"), IsEmpty());
  EXPECT_TRUE(Join(other, "g").ok());
  EXPECT_THAT(Members("a", "g"), ElementsAre(other.pid));
}

TEST_F(PgTest, PG21_SeveralMonitorsOfOneProcessEachReport) {
  OTP_CASE("PG.21", "PG8");
  Up("a");
  const Puppet watcher = Spawn("a");
  const Puppet p = Spawn("a");
  for (const std::string group : {"one", "two"}) {
    ASSERT_TRUE(
        Ask<absl::StatusOr<GroupMonitor>>(watcher, [group](Groups& groups) {
          return groups.Monitor(group);
        }).ok());
  }
  ASSERT_TRUE(Ask<absl::StatusOr<GroupMonitor>>(watcher, [](Groups& groups) {
                return groups.MonitorAll();
              }).ok());
  ASSERT_TRUE(Join(p, "one").ok());
  ASSERT_TRUE(Join(p, "two").ok());
  ASSERT_TRUE(Join(p, "three").ok());
  world_.RunReady();
  EXPECT_THAT(Take(watcher), ElementsAre(Pair("+one", ElementsAre(p.pid)),
                                         Pair("+one", ElementsAre(p.pid)),
                                         Pair("+two", ElementsAre(p.pid)),
                                         Pair("+two", ElementsAre(p.pid)),
                                         Pair("+three", ElementsAre(p.pid))));
  Kill(watcher.pid);
  ASSERT_TRUE(Leave(p, "one").ok());
  // Its subscriptions are gone with it.
  EXPECT_EQ(nodes_["a"].body->subscriptions(), 0u);
}

// otp SY7: metadata, publish with a count.
TEST_F(PgTest, MetadataIsSeenEverywhereAndChangesWithoutAnotherJoin) {
  Up("a");
  Up("b");
  Settle();
  const Puppet watcher = Spawn("b");
  const Puppet a = Spawn("a");
  ASSERT_TRUE(Ask<absl::StatusOr<GroupMonitor>>(watcher, [](Groups& groups) {
                return groups.MonitorAll();
              }).ok());
  const auto join_with = [&](int64_t value) {
    return Ask<absl::Status>(a, [value](Groups& groups) {
      return groups.JoinWith("g", Payload::Of(MakeInt64(value)));
    });
  };
  ASSERT_TRUE(join_with(1).ok());
  ASSERT_TRUE(join_with(2).ok());
  Settle();
  const std::vector<GroupMember> members = Table("b")->Described("g");
  ASSERT_EQ(members.size(), 1u);
  EXPECT_EQ(members[0].pid, a.pid);
  Int64 meta;
  ASSERT_TRUE(meta.ParseFromString(members[0].meta.value()));
  EXPECT_EQ(meta.value(), 2);
  EXPECT_EQ(members[0].meta.type(), "google.protobuf.Int64Value");
  EXPECT_THAT(Members("b", "g"), ElementsAre(a.pid));
  EXPECT_THAT(Take(watcher), ElementsAre(Pair("+g", ElementsAre(a.pid)),
                                         Pair("~g", ElementsAre(a.pid))));
}

TEST_F(PgTest, ARestartedScopeGetsRemoteMembersAgainAndHasLostItsOwn) {
  Up("a");
  Up("b");
  const Puppet a = Spawn("a");
  const Puppet b = Spawn("b");
  ASSERT_TRUE(Join(a, "g").ok());
  ASSERT_TRUE(Join(b, "g").ok());
  Settle();
  Kill(nodes_["a"].scope);
  Settle();
  // The others have dropped its members.
  EXPECT_THAT(Members("b", "g"), ElementsAre(b.pid));
  StartScope("a");
  Settle();
  EXPECT_THAT(Members("a", "g"), ElementsAre(b.pid));  // otp PG7
  ASSERT_TRUE(Join(a, "g").ok());
  Settle();
  EXPECT_THAT(Members("b", "g"), ElementsAre(b.pid, a.pid));
}

// otp PG5: what is lost while the stream lasts is noticed and repaired.
TEST_F(PgTest, ALostChangeIsRepaired) {
  Up("a");
  Up("b");
  Settle();
  const Puppet one = Spawn("a");
  const Puppet two = Spawn("a");
  ASSERT_TRUE(Join(one, "g").ok());
  Settle();
  ASSERT_THAT(Members("b", "g"), ElementsAre(one.pid));
  // A full mailbox of b's scope would drop it just so.
  const auto lose = [&](auto message, const std::function<void()>& change) {
    RuntimeCaller caller(&runtime("b"));
    const ServerRef scope(nodes_["b"].scope);
    sys::Suspend(caller, scope).Then([](absl::Status) {});
    world_.RunReady();
    change();
    world_.RunFor(absl::Milliseconds(100));
    const size_t lost = runtime("b").DropQueued(
        nodes_["b"].scope,
        [](Info& info) { return info.As<decltype(message)>() != nullptr; });
    sys::Resume(caller, scope).Then([](absl::Status) {});
    world_.RunReady();
    return lost;
  };
  // The last change: only Told can show that it is missing.
  EXPECT_EQ(
      lose(group::v1::Joined(), [&] { EXPECT_TRUE(Join(two, "g").ok()); }), 1u);
  EXPECT_THAT(Members("b", "g"), ElementsAre(one.pid));
  Settle();
  EXPECT_THAT(Members("b", "g"), ElementsAre(one.pid, two.pid));
  // One that another follows.
  EXPECT_EQ(lose(group::v1::Left(), [&] { EXPECT_TRUE(Leave(one, "g").ok()); }),
            1u);
  ASSERT_TRUE(Join(one, "h").ok());
  Settle();
  EXPECT_THAT(Members("b", "g"), ElementsAre(two.pid));
  EXPECT_THAT(Members("b", "h"), ElementsAre(one.pid));
}

TEST_F(PgTest, ALostPartOfASyncIsAskedForAgain) {
  GroupScopeOptions options;
  options.sync_bytes = 100;  // A part for each group or so.
  Up("a", /*scope=*/false);
  StartScope("a", options);
  const Puppet p = Spawn("a");
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(Join(p, absl::StrCat("a group with a long name ", i)).ok());
  }
  Up("b", /*scope=*/false);
  StartScope("b");
  for (const bool last : {false, true}) {
    RuntimeCaller caller(&runtime("b"));
    const ServerRef scope(nodes_["b"].scope);
    sys::Suspend(caller, scope).Then([](absl::Status) {});
    world_.RunReady();
    group::v1::Discover discover;
    *discover.mutable_from() = nodes_["b"].scope.ToProto();
    runtime("a").SendLocal(nodes_["a"].scope, Info(discover));
    world_.RunFor(absl::Milliseconds(100));
    bool dropped = false;
    runtime("b").DropQueued(nodes_["b"].scope, [&](Info& info) {
      const auto* const sync = info.As<group::v1::Sync>();
      if (sync == nullptr || dropped) return false;
      dropped = last ? sync->last() : sync->part() == 1;
      return dropped;
    });
    EXPECT_TRUE(dropped);
    sys::Resume(caller, scope).Then([](absl::Status) {});
    Settle();
    EXPECT_EQ(Which("b"), Which("a"));
    EXPECT_EQ(Which("b").size(), 10u);
  }
}

TEST_F(PgTest, APeerCannotClaimMoreThanItMay) {
  Up("a");
  Up("b");
  Settle();
  const Puppet b = Spawn("b");
  group::v1::Joined joined;
  *joined.mutable_from() = nodes_["b"].scope.ToProto();
  joined.set_group("g");
  for (int i = 0; i < 3; ++i) {
    group::v1::Member& member = *joined.add_members();
    *member.mutable_pid() = b.pid.ToProto();
    member.set_count(100'000);
  }
  runtime("a").SendLocal(nodes_["a"].scope, Info(joined));
  world_.RunReady();
  EXPECT_LE(Members("a", "g").size(), 100'000u);
  EXPECT_EQ(nodes_["a"].body->rejected(), 2u);
  Settle();  // Its next word shows that this was never told.
  EXPECT_THAT(Members("a", "g"), IsEmpty());
}

TEST_F(PgTest, ALargeMembershipArrivesInParts) {
  Up("a");
  const Puppet p = Spawn("a");
  Run(p, [](Context& self) {
    Groups groups(self);
    for (int i = 0; i < 3'000; ++i) {
      groups
          .Join(
              absl::StrCat("group-with-a-long-name-", std::string(200, 'x'), i))
          .Then([](absl::Status) {});
    }
  });
  Settle();
  Up("b");
  Settle();
  EXPECT_EQ(Which("b"), Which("a"));
  EXPECT_EQ(Which("b").size(), 3'000u);
}

}  // namespace
}  // namespace muster
