// The rest of syn's registry suite, on the cluster-wide names: errors, names
// that move, conflicts that cannot arise, and what holds after any sequence of
// operations and faults.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/group/groups.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/process/context.h"
#include "node/types/info.h"
#include "node/types/status.h"
#include "tests/conformance/otp/expect.h"
#include "tests/conformance/otp/global_fixture.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

using ::testing::AnyOf;

const Pid kNobody;

class SynNames : public GlobalFixture {
 protected:
  SynNames() : GlobalFixture(3) {}
};

TEST_F(SynNames, SYN04_ErrorsSayWhy) {
  OTP_CASE("SYN.04", "SY1 SY2");
  const Pid pid = Spawn(0);
  ASSERT_TRUE(Register(0, "name", pid).ok());
  ASSERT_TRUE(AllSee("name", pid));
  // Taken.
  const absl::Status taken = Register(1, "name", Spawn(1)).status();
  EXPECT_TRUE(IsError(taken, absl::StatusCode::kAlreadyExists,
                      "ALREADY_STARTED", Outcome::kNotExecuted));
  EXPECT_EQ(DetailOf(taken, "pid"), pid.ToString());
  // Not alive, and not of this node.
  const Pid dead = Spawn(1);
  Kill(1, dead);
  for (const Pid& other : {dead, pid}) {
    EXPECT_TRUE(IsError(Register(1, "other", other).status(),
                        absl::StatusCode::kNotFound, "NOPROC",
                        Outcome::kNotExecuted));
  }
  // No such registry.
  const absl::Status unknown =
      StartNamed(0, ServerName::Via("nothing", "name")).status();
  EXPECT_TRUE(IsError(unknown, absl::StatusCode::kInvalidArgument, "BAD_NAME",
                      Outcome::kNotExecuted));
  // A name that nobody has, and one that has another owner by now.
  EXPECT_TRUE(IsError(Unregister(0, "other"), absl::StatusCode::kNotFound,
                      "NOPROC", Outcome::kNotExecuted));
  ASSERT_TRUE(Unregister(0, "name").ok());
  const Pid next = Spawn(2);
  ASSERT_TRUE(See({0, 1, 2}, "name", kNobody));
  ASSERT_TRUE(Register(2, "name", next).ok());
  ASSERT_TRUE(AllSee("name", next));
  EXPECT_TRUE(IsError(Unregister(0, "name"), absl::StatusCode::kNotFound,
                      "NOPROC", Outcome::kNotExecuted));
  EXPECT_TRUE(AllSee("name", next));
}

// There is no resolver that could choose, crash or answer nonsense: the side
// without the store is refused, and both processes live.
TEST_F(SynNames, SYN10_FirstStandsAndTheRefusedLives) {
  OTP_CASE("SYN.10 SYN.11", "SY4");
  const Pid first = Spawn(0);
  const Pid second = Spawn(2);
  cluster_.store().Disconnect(cluster_.store_client(2), SimCut::kRefused);
  ASSERT_TRUE(Register(0, "name", first).ok());
  EXPECT_EQ(Register(2, "name", second).status().code(),
            absl::StatusCode::kUnavailable);
  cluster_.RunFor(absl::Seconds(1));
  Heal(2);
  EXPECT_TRUE(AllSee("name", first));
  EXPECT_EQ(ReasonOf(Register(2, "name", second).status()), "ALREADY_STARTED");
  cluster_.RunFor(absl::Seconds(5));
  EXPECT_EQ(cluster_.Reaps(2), 0);
  EXPECT_TRUE(AllSee("name", first));
  EXPECT_TRUE(Alive(0, first));
  EXPECT_TRUE(Alive(2, second));
}

// Moving a name is freeing it and taking it: upstream's re_register.
TEST_F(SynNames, GL03_NameThatMovesIsTheNewProcessEverywhere) {
  OTP_CASE("GL.03 GL.32", "GL3 GL4");
  std::vector<int64_t> infos;
  Script script;
  script.info = [&](Info info, Context&) {
    if (const Int64* value = info.As<Int64>()) infos.push_back(value->value());
    return Next();
  };
  const Pid before = Spawn(0);
  const Pid after = Spawn(2, script);
  const absl::StatusOr<Epoch> first = Register(0, "name", before);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(AllSee("name", before));
  ASSERT_TRUE(Unregister(0, "name").ok());
  ASSERT_TRUE(See({2}, "name", kNobody));
  const absl::StatusOr<Epoch> second = Register(2, "name", after);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_GT(*second, *first);
  EXPECT_TRUE(AllSee("name", after));
  for (int node = 0; node < 3; ++node) {
    RuntimeOf(node).Send(ServerRef::Global("name"), Info(MakeInt64(node)));
    EXPECT_EQ(*Call(node, "name", node), node);
  }
  EXPECT_TRUE(cluster_.RunUntil([&] { return infos.size() == 3; }));
  EXPECT_THAT(infos, ::testing::UnorderedElementsAre(0, 1, 2));
  // The name has nothing to do with the old process any more, and ends once
  // with the new one.
  Kill(0, before);
  cluster_.RunFor(absl::Seconds(2));
  EXPECT_TRUE(AllSee("name", after));
  EXPECT_EQ(cluster_.OwnerOf("name")->epoch, *second);
  const Pid third = Spawn(1);
  Kill(2, after);
  ASSERT_TRUE(AllSee("name", kNobody));
  ASSERT_TRUE(Register(1, "name", third).ok());
  cluster_.RunFor(absl::Seconds(2));
  EXPECT_TRUE(AllSee("name", third)) << "freed once, not again";
}

TEST_F(SynNames, SWM02_RegisterAndJoinInARowAreSeenAtOnce) {
  OTP_CASE("SWM.02", "SW1 PG1");
  for (int i = 0; i < 10; ++i) {
    const std::string name = absl::StrCat("name", i);
    std::optional<absl::Status> joined;
    bool member = false;
    Script script;
    script.info = [&](Info, Context& self) -> Next {
      Groups groups(self);
      const absl::Status status = co_await groups.Join("group");
      member = groups.IsMember("group", self.pid());
      joined = status;
      co_return NoReply();
    };
    const absl::StatusOr<Pid> pid =
        StartNamed(i % 3, ServerName::Global(name), script);
    ASSERT_TRUE(pid.ok()) << pid.status();
    RuntimeOf(i % 3).Send(ServerRef::Global(name), Info(MakeInt64(1)));
    ASSERT_TRUE(cluster_.RunUntil([&] { return joined.has_value(); }));
    EXPECT_TRUE(joined->ok()) << *joined;
    EXPECT_TRUE(member);
    EXPECT_EQ(WhereIs(i % 3, name), *pid);
    Kill(i % 3, *pid);
  }
}

// -- Any sequence ------------------------------------------------------------

class SynAny : public GlobalFixture,
               public ::testing::WithParamInterface<uint64_t> {
 protected:
  static constexpr int kNodes = 4;
  static constexpr int kNames = 6;

  struct Asked {
    int node;
    int incarnation;
    Registration answer;
  };

  SynAny() : GlobalFixture(kNodes, GetParam()), dice_(GetParam()) {}

  std::string SomeName() { return absl::StrCat("name", dice_.Below(kNames)); }
  void Step() {
    const int node = static_cast<int>(dice_.Below(kNodes));
    if (!cluster_.IsJoined(node)) return;
    const std::string name = SomeName();
    switch (dice_.Below(12)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        asked_.push_back(Asked{node, cluster_.Incarnation(node),
                               StartRegister(node, name, Here(node))});
        break;
      case 5:
      case 6:
        NamesOf(node).Unregister(name, [](const absl::Status& status) {
          if (status.ok()) return;
          EXPECT_THAT(ReasonOf(status), AnyOf("NOPROC", "FENCED", "TIMEOUT",
                                              "STORE_UNREACHABLE", ""))
              << status;
        });
        break;
      case 7:
      case 8: {
        const Pid pid = RuntimeOf(node).WhereIsGlobal(name);
        if (pid.empty()) break;
        RuntimeOf(node).SendExit(Pid(), pid, ExitReason::Kill());
        killed_.push_back(pid);
        break;
      }
      case 9:
        if (cut_ < 0) {
          cut_ = node;
          CutOff(node);
        }
        break;
      case 10:
        if (cut_ >= 0) {
          cluster_.network().HealAll();
          if (cluster_.IsUp(cut_)) {
            cluster_.store().Reconnect(cluster_.store_client(cut_));
          }
          cut_ = -1;
        }
        break;
      default:
        if (cut_ < 0 && Joined().size() == kNodes) {
          if (dice_.Below(2) == 0) {
            cluster_.LeaveNode(node);
          } else {
            cluster_.KillNode(node);
          }
          cluster_.StartNode(node);
        }
    }
  }
  // A process of the node that has no name yet.
  Pid Here(int node) {
    return RuntimeOf(node).Spawn(ScriptServer::Make(), Payload(),
                                 SpawnOptions(), [](const absl::Status&) {});
  }

  SimRandom dice_;
  std::vector<Asked> asked_;
  std::vector<Pid> killed_;
  int cut_ = -1;
};

INSTANTIATE_TEST_SUITE_P(Seeds, SynAny, ::testing::Range<uint64_t>(1, 9));

// Names have no metadata, so there is nothing to update.
TEST_P(SynAny, SYN25_AllAgreeAfterAnySequence) {
  OTP_CASE("SYN.25", "SY2 SY3 SY6");
  for (int step = 0; step < 300; ++step) {
    Step();
    cluster_.RunFor(absl::Milliseconds(dice_.Below(60)));
  }
  cluster_.network().HealAll();
  for (int node = 0; node < kNodes; ++node) {
    if (cluster_.IsUp(node)) {
      cluster_.store().Reconnect(cluster_.store_client(node));
    }
  }
  ASSERT_TRUE(cluster_.RunUntil([&] { return Joined().size() == kNodes; }));
  cluster_.RunFor(absl::Seconds(20));
  // Everybody who lives on got an answer that is documented.
  int won = 0;
  int taken = 0;
  for (const Asked& asked : asked_) {
    if (!asked.answer->has_value()) {
      EXPECT_GT(cluster_.Incarnation(asked.node), asked.incarnation)
          << "no answer from a node that lives";
      continue;
    }
    const absl::StatusOr<Epoch>& answer = **asked.answer;
    if (answer.ok()) {
      ++won;
      continue;
    }
    switch (answer.status().code()) {
      case absl::StatusCode::kAlreadyExists:
        ++taken;
        EXPECT_EQ(ReasonOf(answer.status()), "ALREADY_STARTED");
        EXPECT_NE(DetailOf(answer.status(), "pid"), "");
        break;
      case absl::StatusCode::kAborted:
        EXPECT_EQ(ReasonOf(answer.status()), "FENCED");
        break;
      case absl::StatusCode::kNotFound:
        EXPECT_EQ(ReasonOf(answer.status()), "NOPROC");
        break;
      case absl::StatusCode::kDeadlineExceeded:
        EXPECT_EQ(OutcomeOf(answer.status()), Outcome::kUnknown);
        break;
      default:
        ADD_FAILURE() << answer.status();
    }
  }
  EXPECT_GT(won, 5);
  EXPECT_GT(taken, 5);
  EXPECT_GT(killed_.size(), 1u);
  // Counts and lookups agree, and are the truth.
  size_t owned = 0;
  for (int i = 0; i < kNames; ++i) {
    const std::string name = absl::StrCat("name", i);
    const int owner = cluster_.LivingOwnerOf(name);
    const Pid pid = WhereIs(0, name);
    EXPECT_EQ(pid.empty(), owner < 0) << name;
    for (int node = 0; node < kNodes; ++node) {
      EXPECT_EQ(WhereIs(node, name), pid) << name << " on " << node;
      EXPECT_EQ(RuntimeOf(node).WhereIsGlobal(name),
                node == owner ? pid : kNobody)
          << name << " on " << node;
    }
    if (owner < 0) continue;
    ++owned;
    EXPECT_TRUE(Alive(owner, pid)) << name;
    for (const Pid& dead : killed_) EXPECT_NE(pid, dead);
  }
  for (int node = 0; node < kNodes; ++node) {
    EXPECT_EQ(NamesOf(node).List("name").size(), owned);
  }
}

}  // namespace
}  // namespace muster
