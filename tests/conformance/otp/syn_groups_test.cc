// The group cases of syn's suite on process groups of a cluster.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/group/group_scope.h"
#include "cluster/group/groups.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/group/v1/group.pb.h"
#include "node/process/context.h"
#include "node/process/runtime.h"
#include "node/types/exit_reason.h"
#include "node/types/info.h"
#include "node/types/pid.h"
#include "node/types/status.h"
#include "tests/conformance/otp/group_fixture.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/testkit/script_server.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using ::testing::UnorderedElementsAreArray;

class SynGroupsTest : public GroupTest {
 protected:
  // The metadata of a member as `node` sees it; -1: it is none.
  int64_t MetaOf(const std::string& node, const std::string& group,
                 const Pid& pid) {
    for (const GroupMember& member : Table(node)->Described(group)) {
      if (member.pid != pid) continue;
      Int64 meta;
      EXPECT_TRUE(meta.ParseFromString(member.meta.value()));
      return meta.value();
    }
    return -1;
  }
};

TEST_F(SynGroupsTest, SYN15_InAStrictScopeAProcessJoinsForItselfAlone) {
  OTP_CASE("SYN.15", "SY2 SY7");
  Up("a", /*scope=*/false);
  GroupScopeOptions options;
  options.strict = true;
  StartScope("a", std::move(options));
  const Puppet one = Spawn("a");
  const Puppet two = Spawn("a");
  EXPECT_EQ(ReasonOf(JoinAll(one, "g", {two.pid})), "NOT_SELF");
  EXPECT_EQ(ReasonOf(JoinAll(one, "g", {one.pid, two.pid})), "NOT_SELF");
  EXPECT_THAT(Members("a", "g"), IsEmpty());
  EXPECT_TRUE(Join(one, "g").ok());
  EXPECT_EQ(ReasonOf(LeaveAll(two, "g", {one.pid})), "NOT_SELF");
  EXPECT_THAT(Members("a", "g"), ElementsAre(one.pid));
}

TEST_F(SynGroupsTest, SYN16_EachScopeKnowsExactlyItsNodes) {
  OTP_CASE("SYN.16", "SY1 PG1 PG7");
  const auto start = [this](const std::string& node, const std::string& scope) {
    GroupScopeOptions options;
    options.scope = scope;
    StartScope(node, std::move(options));
  };
  Up("a", /*scope=*/false);
  Up("b", /*scope=*/false);
  Up("c", /*scope=*/false);
  start("a", "ab");
  start("b", "ab");
  start("b", "bc");
  start("c", "bc");
  Settle();
  const Puppet a = Spawn("a");
  const Puppet b = Spawn("b");
  const Puppet c = Spawn("c");
  ASSERT_TRUE(Join(a, "g", "ab").ok());
  ASSERT_TRUE(Join(b, "g", "ab").ok());
  ASSERT_TRUE(Join(b, "g", "bc").ok());
  ASSERT_TRUE(Join(c, "g", "bc").ok());
  // A scope that does not run here.
  EXPECT_EQ(ReasonOf(Join(c, "g", "ab")), "NOPROC");
  EXPECT_EQ(Table("c", "ab"), nullptr);
  const auto expect_all = [&] {
    EXPECT_THAT(Table("a", "ab")->Members("g"),
                UnorderedElementsAre(a.pid, b.pid));
    EXPECT_THAT(Table("b", "ab")->Members("g"),
                UnorderedElementsAre(a.pid, b.pid));
    EXPECT_THAT(Table("b", "bc")->Members("g"),
                UnorderedElementsAre(b.pid, c.pid));
    EXPECT_THAT(Table("c", "bc")->Members("g"),
                UnorderedElementsAre(b.pid, c.pid));
  };
  Settle();
  expect_all();
  // Through a disconnect of the middle one ...
  Split("b");
  EXPECT_THAT(Table("a", "ab")->Members("g"), ElementsAre(a.pid));
  EXPECT_THAT(Table("c", "bc")->Members("g"), ElementsAre(c.pid));
  Heal();
  expect_all();
  // ... and a crash of a scope, whose processes have to join again.
  Kill(runtime("b").WhereIsLocal(ScopeName("ab")));
  Settle();
  EXPECT_THAT(Table("a", "ab")->Members("g"), ElementsAre(a.pid));
  start("b", "ab");
  Settle();
  EXPECT_THAT(Table("b", "ab")->Members("g"), ElementsAre(a.pid));
  ASSERT_TRUE(Join(b, "g", "ab").ok());
  Settle();
  expect_all();
}

TEST_F(SynGroupsTest, SYN17_MembersAreTheSameEverywhere) {
  OTP_CASE("SYN.17", "SY7 PG2 PG3 PG7");
  for (const std::string node : {"a", "b", "c"}) Up(node);
  Settle();
  const Puppet a = Spawn("a");
  const Puppet b = Spawn("b");
  const Puppet stranger = Spawn("c");
  ASSERT_TRUE(Join(a, "g").ok());
  ASSERT_TRUE(JoinWith(b, "g", 7).ok());
  Settle();
  for (const std::string node : {"a", "b", "c"}) {
    EXPECT_THAT(Members(node, "g"), UnorderedElementsAre(a.pid, b.pid)) << node;
    EXPECT_TRUE(Table(node)->IsMember("g", a.pid)) << node;
    EXPECT_TRUE(Table(node)->IsMember("g", b.pid)) << node;
    EXPECT_FALSE(Table(node)->IsMember("g", stranger.pid)) << node;
    EXPECT_EQ(MetaOf(node, "g", b.pid), 7) << node;
  }
  EXPECT_THAT(Table("a")->LocalMembers("g"), ElementsAre(a.pid));
  EXPECT_THAT(Table("c")->LocalMembers("g"), IsEmpty());
  EXPECT_EQ(ReasonOf(Leave(stranger, "g")), "NOT_JOINED");
  // A dead process is no member for longer than a moment.
  const Puppet dead = Spawn("a");
  Kill(dead.pid);
  ASSERT_TRUE(JoinAll(a, "g", {dead.pid}).ok());
  Settle();
  EXPECT_THAT(Members("b", "g"), UnorderedElementsAre(a.pid, b.pid));
  Kill(a.pid);
  Settle();
  for (const std::string node : {"a", "b", "c"}) {
    EXPECT_THAT(Members(node, "g"), ElementsAre(b.pid)) << node;
  }
}

TEST_F(SynGroupsTest, SYN18_AJoinFromOutsideTheScopeIsIgnored) {
  OTP_CASE("SYN.18", "SY6 PG6");
  Up("a");
  Up("b", /*scope=*/false);
  const Puppet b = Spawn("b");
  group::v1::Joined joined;
  *joined.mutable_from() = b.pid.ToProto();
  joined.set_group("g");
  group::v1::Member& member = *joined.add_members();
  *member.mutable_pid() = b.pid.ToProto();
  member.set_count(1);
  const Pid scope = nodes_["a"].scope;
  Run(b, [scope, joined](Context& self) { self.Send(scope, joined); });
  Settle();
  EXPECT_THAT(Which("a"), IsEmpty());
  EXPECT_EQ(nodes_["a"].body->rejected(), 1u);
}

TEST_F(SynGroupsTest, SYN19_MembershipFollowsVisibility) {
  OTP_CASE("SYN.19", "SY6 PG5");
  std::map<std::string, Puppet> puppets;
  for (const std::string node : {"a", "b", "c"}) {
    Up(node);
    puppets[node] = Spawn(node);
    ASSERT_TRUE(Join(puppets[node], "g").ok());
  }
  Settle();
  Isolate("a", "b");
  EXPECT_THAT(Members("a", "g"),
              UnorderedElementsAre(puppets["a"].pid, puppets["c"].pid));
  EXPECT_THAT(Members("b", "g"),
              UnorderedElementsAre(puppets["b"].pid, puppets["c"].pid));
  EXPECT_EQ(Members("c", "g").size(), 3u);
  Heal();
  for (const std::string node : {"a", "b", "c"}) {
    EXPECT_EQ(Members(node, "g").size(), 3u) << node;
  }
}

TEST_F(SynGroupsTest, SYN20_PublishReachesEachMemberOnceAndCountsThem) {
  OTP_CASE("SYN.20", "SY7");
  for (const std::string node : {"a", "b", "c"}) Up(node);
  Settle();
  std::map<std::string, int> heard;
  const auto spawn = [&](const std::string& node, const std::string& key) {
    Puppet puppet;
    Script script;
    script.info = [&heard, key](Info info, Context& self) -> Next {
      if (const Do* what = info.As<Do>()) {
        what->run(self);
      } else if (const Int64* value = info.As<Int64>()) {
        heard[key] += static_cast<int>(value->value());
      }
      return NoReply();
    };
    puppet.pid = runtime(node).Spawn(ScriptServer::Make(std::move(script)),
                                     Payload(), SpawnOptions(), nullptr);
    world_.RunReady();
    return puppet;
  };
  const Puppet a = spawn("a", "a");
  const Puppet twice = spawn("a", "twice");
  const Puppet b = spawn("b", "b");
  spawn("c", "stranger");
  ASSERT_TRUE(Join(a, "g").ok());
  ASSERT_TRUE(Join(twice, "g").ok());
  ASSERT_TRUE(Join(twice, "g").ok());
  ASSERT_TRUE(Join(b, "g").ok());
  Settle();
  std::vector<size_t> sent;
  Run(a, [&sent](Context& self) {
    Groups groups(self);
    sent.push_back(groups.Publish("g", MakeInt64(1)));
    sent.push_back(groups.LocalPublish("g", MakeInt64(10)));
    sent.push_back(groups.Publish("nobody", MakeInt64(100)));
  });
  Settle();
  EXPECT_THAT(sent, ElementsAre(3u, 2u, 0u));
  EXPECT_THAT(heard,
              ElementsAre(Pair("a", 11), Pair("b", 1), Pair("twice", 11)));
}

TEST_F(SynGroupsTest, SYN21_MultiCallSaysWhatEachMemberAnswered) {
  OTP_CASE("SYN.21", "SY7");
  for (const std::string node : {"a", "b"}) Up(node);
  Settle();
  const Puppet caller = Spawn("a");
  const auto spawn = [&](const std::string& node, bool answers) {
    Puppet puppet;
    Script script;
    script.call = [answers](int64_t value, Context&) -> Reply<Int64> {
      if (!answers) return NoReply();
      return MakeInt64(value + 1);
    };
    script.info = [](Info info, Context& self) -> Next {
      if (const Do* what = info.As<Do>()) what->run(self);
      return NoReply();
    };
    puppet.pid = runtime(node).Spawn(ScriptServer::Make(std::move(script)),
                                     Payload(), SpawnOptions(), nullptr);
    world_.RunReady();
    return puppet;
  };
  const Puppet near = spawn("a", true);
  const Puppet far = spawn("b", true);
  const Puppet mute = spawn("b", false);
  ASSERT_TRUE(JoinWith(near, "g", 1).ok());
  ASSERT_TRUE(JoinWith(far, "g", 2).ok());
  ASSERT_TRUE(JoinWith(mute, "g", 3).ok());
  Settle();
  using Answers = std::vector<GroupAnswer<Int64>>;
  const Answers answers = Ask<Answers>(caller, [](Groups& groups) {
    CallOptions options;
    options.timeout = absl::Seconds(2);
    return groups.MultiCall<Int64>("g", kScriptCall, MakeInt64(41), options);
  });
  ASSERT_EQ(answers.size(), 3u);
  for (const GroupAnswer<Int64>& answer : answers) {
    EXPECT_FALSE(answer.member.meta.value().empty());
    if (answer.member.pid == mute.pid) {
      EXPECT_EQ(ReasonOf(answer.response.status()), "TIMEOUT");
    } else {
      ASSERT_TRUE(answer.response.ok()) << answer.response.status();
      EXPECT_EQ(answer.response->value(), 42);
    }
  }
  EXPECT_THAT(Ask<Answers>(caller,
                           [](Groups& groups) {
                             return groups.MultiCall<Int64>(
                                 "nobody", kScriptCall, MakeInt64(1));
                           }),
              IsEmpty());
}

TEST_F(SynGroupsTest, SYN22_GroupNamesAndCountsPerNode) {
  OTP_CASE("SYN.22", "SY7 PG4");
  for (const std::string node : {"a", "b", "c"}) Up(node);
  Settle();
  const Puppet a = Spawn("a");
  const Puppet b = Spawn("b");
  const Puppet c = Spawn("c");
  ASSERT_TRUE(Join(a, "one").ok());
  ASSERT_TRUE(Join(b, "one").ok());
  ASSERT_TRUE(Join(b, "two").ok());
  ASSERT_TRUE(Join(c, "three").ok());
  Settle();
  for (const std::string node : {"a", "b", "c"}) {
    EXPECT_THAT(Which(node), ElementsAre("one", "three", "two")) << node;
    EXPECT_EQ(Table(node)->Count("one"), 2u) << node;
    EXPECT_EQ(Table(node)->Count("one", "a"), 1u) << node;
    EXPECT_EQ(Table(node)->Count("one", "c"), 0u) << node;
  }
  EXPECT_THAT(Table("b")->LocalGroups(), ElementsAre("one", "two"));
  Split("b");
  EXPECT_THAT(Which("b"), ElementsAre("one", "two"));
  EXPECT_EQ(Table("a")->Count("one", "b"), 0u);
  Heal();
  EXPECT_THAT(Which("b"), ElementsAre("one", "three", "two"));
}

TEST_F(SynGroupsTest, SYN23_MetadataIsUpdatedEverywhereWithOneEvent) {
  OTP_CASE("SYN.23", "SY2 SY3 SY5 SY7");
  Up("a");
  Up("b");
  Settle();
  const Puppet watcher = Spawn("b");
  const Puppet a = Spawn("a");
  ASSERT_TRUE(MonitorAll(watcher).ok());
  EXPECT_EQ(ReasonOf(SetMeta(a, "g", 1)), "NOT_JOINED");
  ASSERT_TRUE(JoinWith(a, "g", 1).ok());
  ASSERT_TRUE(SetMeta(a, "g", 2).ok());
  Settle();
  EXPECT_EQ(MetaOf("b", "g", a.pid), 2);
  EXPECT_THAT(Take(watcher), ElementsAre(Pair("+g", ElementsAre(a.pid)),
                                         Pair("~g", ElementsAre(a.pid))));
  // The same value is no event, and a repeated join with metadata no join.
  ASSERT_TRUE(SetMeta(a, "g", 2).ok());
  ASSERT_TRUE(JoinWith(a, "g", 2).ok());
  Settle();
  EXPECT_THAT(Take(watcher), IsEmpty());
  EXPECT_THAT(Members("b", "g"), ElementsAre(a.pid));
  ASSERT_TRUE(Leave(a, "g").ok());
  EXPECT_EQ(ReasonOf(SetMeta(a, "g", 3)), "NOT_JOINED");
}

TEST_F(SynGroupsTest, SYN24_FourNodesThatRaceAgreeInTheEnd) {
  OTP_CASE("SYN.24", "SY6 PG5");
  const std::vector<std::string> names = {"a", "b", "c", "d"};
  std::map<std::string, Puppet> puppets;
  for (const std::string& name : names) {
    Up(name);
    puppets[name] = Spawn(name);
  }
  Settle();
  for (int i = 0; i < 250; ++i) {
    for (const std::string& name : names) {
      const bool join = world_.random().Next() % 2 == 0;
      Run(puppets[name], [join](Context& self) {
        Groups groups(self);
        if (join) {
          groups.Join("g").Then([](absl::Status) {});
        } else {
          groups.Leave("g").Then([](absl::Status) {});
        }
      });
    }
    if (i % 10 == 0) world_.RunReady();
  }
  Settle();
  for (const std::string& name : names) {
    std::vector<Pid> expected;
    for (const std::string& node : names) {
      for (const Pid& pid : Table(node)->LocalMembers("g")) {
        expected.push_back(pid);
      }
    }
    EXPECT_THAT(Members(name, "g"), UnorderedElementsAreArray(expected))
        << name;
  }
}

// What the groups must be, said again in a few lines.
struct Model {
  std::map<std::string, std::map<Pid, int>> groups;
};

class SynPropertyTest : public SynGroupsTest,
                        public ::testing::WithParamInterface<uint64_t> {};

TEST_P(SynPropertyTest, SYN26_ListsFollowAModelThroughSplitsAndDeaths) {
  OTP_CASE("SYN.26", "SY7 PG2 PG3 PG5");
  SimRandom dice(GetParam());
  const std::vector<std::string> names = {"a", "b", "c"};
  for (const std::string& name : names) Up(name);
  Settle();
  std::vector<Puppet> alive;
  Model model;
  for (int step = 0; step < 150; ++step) {
    const std::string group = absl::StrCat("g", dice.Next() % 3);
    const uint64_t choice = dice.Next() % 20;
    if (alive.empty() || choice == 0) {
      alive.push_back(Spawn(names[dice.Next() % names.size()]));
      continue;
    }
    const size_t index = dice.Next() % alive.size();
    const Puppet puppet = alive[index];
    auto& members = model.groups[group];
    if (choice < 8) {
      EXPECT_TRUE(Join(puppet, group).ok());
      ++members[puppet.pid];
    } else if (choice < 10) {
      EXPECT_TRUE(JoinWith(puppet, group, step).ok());
      if (members[puppet.pid] == 0) members[puppet.pid] = 1;
    } else if (choice < 15) {
      const absl::Status left = Leave(puppet, group);
      if (members[puppet.pid] > 0) {
        EXPECT_TRUE(left.ok());
        --members[puppet.pid];
      } else {
        EXPECT_EQ(ReasonOf(left), "NOT_JOINED");
      }
    } else if (choice < 17) {
      Kill(puppet.pid);
      for (auto& [name, those] : model.groups) those.erase(puppet.pid);
      alive.erase(alive.begin() + static_cast<ptrdiff_t>(index));
    } else if (choice < 18) {
      Split(names[dice.Next() % names.size()]);
    } else {
      Heal();
    }
  }
  Heal();
  Settle();
  for (const std::string& node : names) {
    for (const auto& [group, members] : model.groups) {
      std::vector<Pid> expected;
      size_t processes = 0;
      for (const auto& [pid, joins] : members) {
        expected.insert(expected.end(), static_cast<size_t>(joins), pid);
        if (joins > 0) ++processes;
      }
      EXPECT_THAT(Members(node, group), UnorderedElementsAreArray(expected))
          << node << " " << group << " seed " << GetParam();
      EXPECT_EQ(Table(node)->Count(group), processes);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SynPropertyTest,
                         ::testing::Range<uint64_t>(1, 41));

}  // namespace
}  // namespace muster
