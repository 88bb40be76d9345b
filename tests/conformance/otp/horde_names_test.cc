// Horde's registry suite, on the cluster-wide names: unique, claimed in the
// store, one a process, without values.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/conformance/otp/expect.h"
#include "tests/conformance/otp/global_fixture.h"
#include "tests/conformance/otp/otp_case.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const Pid kNobody;

class HordeNames : public GlobalFixture {
 protected:
  HordeNames() : GlobalFixture(2) {}

  std::vector<std::string> List(int node, absl::string_view prefix = "") {
    std::vector<std::string> names;
    for (const NameEntry& entry : NamesOf(node).List(prefix)) {
      names.push_back(entry.name);
    }
    return names;
  }
};

TEST_F(HordeNames, HRD54_NameIsUniqueAlsoForItsOwnProcess) {
  OTP_CASE("HRD.54 HRD.55", "HO9");
  const Pid pid = Spawn(0);
  ASSERT_TRUE(Register(0, "name", pid).ok());
  // Itself, another process of its node, one of another node: the same answer.
  ASSERT_TRUE(AllSee("name", pid));
  for (const auto& [node, who] : std::vector<std::pair<int, Pid>>{
           {0, pid}, {0, Spawn(0)}, {1, Spawn(1)}}) {
    const absl::Status refused = Register(node, "name", who).status();
    EXPECT_TRUE(IsError(refused, absl::StatusCode::kAlreadyExists,
                        "ALREADY_STARTED", Outcome::kNotExecuted));
    EXPECT_EQ(DetailOf(refused, "pid"), pid.ToString());
    EXPECT_EQ(DetailOf(refused, "node"), "n0");
  }
  EXPECT_TRUE(AllSee("name", pid));
}

// Upstream both sides succeed, and at the merge one is killed. Here the side
// without the store is refused, and nobody is killed.
TEST_F(HordeNames, HRD56_ConflictCannotArise) {
  OTP_CASE("HRD.56", "HO9 HO11");
  const Pid loser = Spawn(1);
  const Pid other = Spawn(1);
  ASSERT_TRUE(Register(1, "other", other).ok());
  cluster_.store().Disconnect(cluster_.store_client(1), SimCut::kRefused);
  const absl::Status refused = Register(1, "name", loser).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
  EXPECT_EQ(OutcomeOf(refused), Outcome::kNotExecuted);
  const Pid winner = Spawn(0);
  ASSERT_TRUE(Register(0, "name", winner).ok());
  Heal(1);
  EXPECT_EQ(ReasonOf(Register(1, "name", loser).status()), "ALREADY_STARTED");
  EXPECT_TRUE(AllSee("name", winner));
  EXPECT_TRUE(AllSee("other", other));
  cluster_.RunFor(absl::Seconds(5));
  EXPECT_EQ(cluster_.Reaps(1), 0);
  EXPECT_TRUE(Alive(0, winner));
  EXPECT_TRUE(Alive(1, loser));
  EXPECT_TRUE(Alive(1, other));
}

TEST_F(HordeNames, HRD57_ServersStartUnderViaNames) {
  OTP_CASE("HRD.57 HRD.65 HRD.73", "HO9 C1");
  const ServerName via = ServerName::Via("global", "name");
  const absl::StatusOr<Pid> pid = StartNamed(0, via);
  ASSERT_TRUE(pid.ok()) << pid.status();
  ASSERT_TRUE(AllSee("name", *pid));
  for (int node = 0; node < 2; ++node) {
    EXPECT_EQ(*Call(node, ServerRef::Via("global", "name"), 7), 7);
    EXPECT_EQ(RuntimeOf(node).HoldVia("global")->WhereIs("name"), *pid);
    const absl::Status taken = StartNamed(node, via).status();
    EXPECT_EQ(ReasonOf(taken), "ALREADY_STARTED") << taken;
    EXPECT_EQ(DetailOf(taken, "pid"), pid->ToString());
  }
}

TEST_F(HordeNames, HRD60_ListsNothingThenAllOnBothNodes) {
  OTP_CASE("HRD.60 HRD.61 HRD.64", "HO9");
  for (int node = 0; node < 2; ++node) EXPECT_THAT(List(node), IsEmpty());
  std::vector<Pid> pids;
  for (const char* name : {"b", "a", "c"}) {
    const int node = static_cast<int>(pids.size()) % 2;
    pids.push_back(Spawn(node));
    ASSERT_TRUE(Register(node, name, pids.back()).ok());
    ASSERT_TRUE(AllSee(name, pids.back()));
  }
  for (int node = 0; node < 2; ++node) {
    EXPECT_THAT(List(node), ElementsAre("a", "b", "c"));
    EXPECT_THAT(List(node, "b"), ElementsAre("b"));
    EXPECT_EQ(NamesOf(node).List("")[0].pid, pids[1]);
    EXPECT_EQ(NamesOf(node).List("")[1].pid, pids[0]);
    EXPECT_EQ(NamesOf(node).List("")[2].pid, pids[2]);
  }
}

TEST_F(HordeNames, HRD66_UnregisteringOnOneFreesItOnBoth) {
  OTP_CASE("HRD.66", "HO9");
  const Pid pid = Spawn(0);
  const Pid kept = Spawn(0);
  ASSERT_TRUE(Register(0, "name", pid).ok());
  ASSERT_TRUE(Register(0, "kept", kept).ok());
  ASSERT_TRUE(AllSee("name", pid));
  EXPECT_TRUE(Unregister(0, "name").ok());
  EXPECT_TRUE(AllSee("name", kNobody));
  EXPECT_TRUE(AllSee("kept", kept));
  EXPECT_TRUE(Alive(0, pid));
}

TEST_F(HordeNames, HRD72_LookupFindsTheProcess) {
  OTP_CASE("HRD.72", "HO9");
  const Pid pid = Spawn(1);
  const absl::StatusOr<Epoch> epoch = Register(1, "name", pid);
  ASSERT_TRUE(epoch.ok()) << epoch.status();
  ASSERT_TRUE(AllSee("name", pid));
  for (int node = 0; node < 2; ++node) {
    const std::optional<NameEntry> entry = NamesOf(node).WhereIs("name");
    ASSERT_TRUE(entry.has_value());
    EXPECT_EQ(entry->pid, pid);
    EXPECT_EQ(entry->epoch, *epoch);
    EXPECT_FALSE(NamesOf(node).WhereIs("other").has_value());
  }
}

TEST_F(HordeNames, HRD74_MessageToNobodyIsAnErrorToSomebodyArrives) {
  OTP_CASE("HRD.74 HRD.75", "HO9 P3");
  // To nobody: an info is dropped (otp P3), a call says so.
  const ServerRef via = ServerRef::Via("global", "name");
  EXPECT_TRUE(IsError(Call(0, via, 1).status(), absl::StatusCode::kNotFound,
                      "NOPROC", Outcome::kNotExecuted));
  RuntimeOf(0).Send(via, Info(MakeInt64(1)));
  cluster_.RunFor(absl::Seconds(1));
  std::vector<int64_t> infos;
  Script script;
  script.info = [&](Info info, Context&) {
    if (const Int64* value = info.As<Int64>()) infos.push_back(value->value());
    return Next();
  };
  ASSERT_TRUE(StartNamed(1, ServerName::Via("global", "name"), script).ok());
  ASSERT_TRUE(cluster_.RunUntil([&] { return WhereIs(0, "name") != kNobody; }));
  for (int node = 0; node < 2; ++node) {
    RuntimeOf(node).Send(via, Info(MakeInt64(10 + node)));
  }
  EXPECT_TRUE(cluster_.RunUntil([&] { return infos.size() == 2; }));
  EXPECT_THAT(infos, ::testing::UnorderedElementsAre(10, 11));
}

TEST_F(HordeNames, HRD80_NamesOfWhatEndsAreCleanedUp) {
  OTP_CASE("HRD.80 HRD.81", "HO9 HO10");
  const Pid ends = Spawn(1);
  const Pid stays = Spawn(1);
  const Pid elsewhere = Spawn(0);
  ASSERT_TRUE(Register(1, "ends", ends).ok());
  ASSERT_TRUE(Register(1, "stays", stays).ok());
  ASSERT_TRUE(Register(0, "elsewhere", elsewhere).ok());
  ASSERT_TRUE(AllSee("ends", ends));
  RuntimeOf(1).SendExit(Pid(), ends, ExitReason::Shutdown());
  EXPECT_TRUE(AllSee("ends", kNobody));
  EXPECT_TRUE(AllSee("stays", stays));
  cluster_.LeaveNode(1);
  EXPECT_TRUE(See({0}, "stays", kNobody));
  EXPECT_THAT(List(0), ElementsAre("elsewhere"));
}

}  // namespace
}  // namespace muster
