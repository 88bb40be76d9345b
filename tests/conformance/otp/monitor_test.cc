// erts/emulator/test/monitor_SUITE.erl: monitors within a node and across
// nodes. MON.13 is in alias_test.cc.
#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "google/protobuf/wrappers.pb.h"
#include "gtest/gtest.h"
#include "node/process/signals.h"
#include "node/types/exit_reason.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/testkit/sim_nodes.h"

namespace muster {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr DemonitorOptions kInfo = {.info = true};
constexpr DemonitorOptions kFlush = {.flush = true};
constexpr DemonitorOptions kFlushInfo = {.flush = true, .info = true};

// Watchers are on node a, the watched on a (local) or b (remote).
class MonitorTest : public ::testing::TestWithParam<const char*> {
 protected:
  MonitorTest() {
    nodes_.AddNode("a");
    nodes_.AddNode("b");
  }
  SimNode& Here() { return nodes_.node("a"); }
  SimNode& There() {
    return nodes_.node(std::string(GetParam()) == "remote" ? "b" : "a");
  }
  // A process that does not exist any more.
  Pid Dead() {
    const Pid pid = nodes_.Start(There());
    nodes_.SendExit(pid, ExitReason::Kill());
    return pid;
  }
  MonitorRef Monitor(const Pid& watcher, const ServerRef& target,
                     MonitorOptions options = MonitorOptions()) {
    MonitorRef ref;
    nodes_.In(watcher, [&](Context& self) {
      ref = self.Monitor(target, std::move(options));
    });
    return ref;
  }
  bool Demonitor(const Pid& watcher, MonitorRef ref,
                 DemonitorOptions options = DemonitorOptions()) {
    bool result = false;
    nodes_.In(watcher,
              [&](Context& self) { result = self.Demonitor(ref, options); });
    return result;
  }

  SimNodes nodes_;
};

INSTANTIATE_TEST_SUITE_P(Where, MonitorTest,
                         ::testing::Values("local", "remote"),
                         [](const auto& info) {
                           return std::string(info.param);
                         });

TEST_P(MonitorTest, MON01_TheWatchedEndsItsWatcher) {
  OTP_CASE("MON.01", "M7");
  const Pid a = nodes_.Start(Here());
  const Pid b = nodes_.Start(There());
  Monitor(a, b);
  nodes_.In(
      b, [&](Context& self) { self.SendExit(a, ExitReason::Custom("bye")); });
  EXPECT_EQ(nodes_.State(a), "custom(bye)");
  EXPECT_EQ(nodes_.State(b), "alive");
  EXPECT_EQ(nodes_.Residue(), "");
  nodes_.SendExit(b, ExitReason::Kill());
  EXPECT_EQ(nodes_.State(b), "killed");
}

TEST_P(MonitorTest, MON02_NobodyElseRemovesAMonitor) {
  OTP_CASE("MON.02", "M5");
  const Pid a = nodes_.Start(Here());
  const Pid b = nodes_.Start(There());
  const MonitorRef ref = Monitor(a, b);
  EXPECT_FALSE(Demonitor(b, ref));
  EXPECT_FALSE(Demonitor(b, ref, kFlushInfo));
  nodes_.SendExit(b, ExitReason::Custom("x"));
  EXPECT_THAT(nodes_.Seen(a), ElementsAre("down custom(x)"));
  EXPECT_EQ(nodes_.Downs(a)[0].ref, ref);
}

TEST_P(MonitorTest, MON03_WhatCannotExistCannotBeMonitored) {
  OTP_CASE("MON.03", "M1 M3");
  static_assert(!std::is_convertible_v<int, ServerRef>);
  static_assert(!std::is_convertible_v<MonitorRef, ServerRef>);
  const Pid a = nodes_.Start(Here());
  for (const ServerRef& bad :
       {ServerRef(Pid()), ServerRef(""), ServerRef("a b"),
        ServerRef::Local("", There().name), ServerRef::Local("x", "no node")}) {
    EXPECT_EQ(Monitor(a, bad), MonitorRef()) << bad.ToString();
  }
  EXPECT_THAT(nodes_.Seen(a), IsEmpty());
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_P(MonitorTest, MON04_OnlyOnesOwnRefsAreTaken) {
  OTP_CASE("MON.04", "M5");
  static_assert(!std::is_convertible_v<int, MonitorRef>);
  static_assert(!std::is_convertible_v<TimerRef, MonitorRef>);
  const Pid a = nodes_.Start(Here());
  const Pid other = nodes_.Start(There());
  const Pid target = nodes_.Start(There());
  const MonitorRef foreign = Monitor(other, target);
  for (const DemonitorOptions& options :
       {DemonitorOptions(), kInfo, kFlush, kFlushInfo}) {
    EXPECT_FALSE(Demonitor(a, foreign, options));
  }
  // One that nobody knows is no more than unknown.
  EXPECT_TRUE(Demonitor(a, MonitorRef{4711}));
  EXPECT_FALSE(Demonitor(a, MonitorRef{4711}, kInfo));
  EXPECT_TRUE(Demonitor(a, MonitorRef{4711}, kFlushInfo));
  EXPECT_TRUE(Demonitor(other, foreign, kInfo));
}

TEST_P(MonitorTest, MON05_NoSurplusMessages) {
  OTP_CASE("MON.05", "M2 M5 M6");
  const Pid a = nodes_.Start(Here(), false, "me");
  // Oneself: accepted, and never fires.
  const MonitorRef self_ref = Monitor(a, a);
  const MonitorRef by_name = Monitor(a, ServerRef::Local("me"));
  EXPECT_NE(self_ref, MonitorRef());
  EXPECT_NE(self_ref, by_name);
  EXPECT_TRUE(Demonitor(a, self_ref));
  EXPECT_TRUE(Demonitor(a, self_ref));
  // Removed before the death.
  const Pid b = nodes_.Start(There());
  const MonitorRef removed = Monitor(a, b);
  EXPECT_TRUE(Demonitor(a, removed, kInfo));
  EXPECT_TRUE(Demonitor(a, removed));
  EXPECT_FALSE(Demonitor(a, removed, kInfo));
  // Fired, then removed.
  const MonitorRef fired = Monitor(a, b);
  nodes_.SendExit(b, ExitReason::Shutdown());
  EXPECT_THAT(nodes_.Seen(a), ElementsAre("down shutdown"));
  EXPECT_TRUE(Demonitor(a, fired));
  EXPECT_TRUE(Demonitor(a, fired, kFlush));
  EXPECT_TRUE(Demonitor(a, fired, kFlushInfo));
  EXPECT_FALSE(Demonitor(a, fired, kInfo));
  // There was none.
  Monitor(a, Dead());
  EXPECT_THAT(nodes_.Seen(a), ElementsAre("down shutdown", "down noproc"));
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_P(MonitorTest, MON07_FlushRemovesTheDownOfItsRefOnly) {
  OTP_CASE("MON.07", "M1 M5");
  const Pid a = nodes_.Start(Here());
  const Pid b = nodes_.Start(There());
  std::vector<MonitorRef> refs;
  for (int i = 0; i < 4; ++i) refs.push_back(Monitor(a, b));
  std::vector<bool> results;
  nodes_.Hold(a);
  nodes_.Post(a, [&](Context& self) {
    // All four Downs are queued behind this handler.
    results.push_back(self.Demonitor(refs[0]));
    results.push_back(self.Demonitor(refs[1], kFlushInfo));
    results.push_back(self.Demonitor(refs[1], kFlushInfo));
    results.push_back(self.Demonitor(refs[2], kInfo));
  });
  nodes_.SendExit(b, ExitReason::Custom("x"));
  EXPECT_THAT(nodes_.Downs(a), IsEmpty());
  nodes_.AfterHold();
  EXPECT_THAT(results, ElementsAre(true, false, true, false));
  std::vector<MonitorRef> heard;
  for (const Down& down : nodes_.Downs(a)) {
    EXPECT_EQ(down.reason, ExitReason::Custom("x"));
    heard.push_back(down.ref);
  }
  EXPECT_THAT(heard, ElementsAre(refs[0], refs[2], refs[3]));
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_P(MonitorTest, MON08_ARaceOfDeathAndDemonitorHasTwoHonestEnds) {
  OTP_CASE("MON.08", "M5");
  constexpr int kRaces = 10'000;
  int removed = 0;
  const Pid a = nodes_.Start(Here());
  for (int i = 0; i < kRaces; ++i) {
    const Pid b = nodes_.Start(There());
    MonitorRef ref;
    nodes_.Post(a, [&](Context& self) { ref = self.Monitor(b); });
    nodes_.world.RunUntil([&] { return ref != MonitorRef(); },
                          absl::Seconds(1));
    const size_t before = nodes_.Downs(a).size();
    // The death and the removal, one some steps after the other.
    bool active = false;
    const auto die = [&] {
      There().runtime.SendExit(Pid(), b, ExitReason::Kill());
    };
    const auto remove = [&] {
      nodes_.Post(a,
                  [&](Context& self) { active = self.Demonitor(ref, kInfo); });
    };
    const bool death_first = nodes_.world.random().Below(3) > 0;
    death_first ? die() : remove();
    const uint64_t steps = nodes_.world.random().Below(20);
    for (uint64_t step = 0; step < steps; ++step) nodes_.world.Step();
    death_first ? remove() : die();
    nodes_.world.RunFor(absl::Milliseconds(20));
    ASSERT_EQ(nodes_.Downs(a).size() - before, active ? 0u : 1u) << i;
    if (active) ++removed;
  }
  // Both ends were seen.
  EXPECT_GT(removed, kRaces / 100);
  EXPECT_LT(removed, kRaces - kRaces / 100);
  // "noproc" where the monitor came to a process that was dead already.
  EXPECT_THAT(nodes_.Seen(a), Each(AnyOf("down killed", "down noproc")));
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_P(MonitorTest, MON10_ALargeReasonComesIntact) {
  OTP_CASE("MON.10", "M2 M3");
  const Pid a = nodes_.Start(Here(), /*trap=*/true);
  const Pid b = nodes_.Start(There());
  Monitor(a, b);
  nodes_.In(a, [&](Context& self) { EXPECT_TRUE(self.Link(b).ok()); });
  google::protobuf::BytesValue payload;
  payload.set_value(std::string(60'000, 'p'));
  const ExitReason reason =
      ExitReason::Custom(std::string(60'000, 't'), payload);
  nodes_.Stop(b, reason);
  ASSERT_THAT(nodes_.Downs(a), SizeIs(1));
  EXPECT_EQ(nodes_.Downs(a)[0].reason, reason);
  ASSERT_THAT(nodes_.Exits(a), SizeIs(1));
  EXPECT_EQ(nodes_.Exits(a)[0].reason, reason);
}

TEST_P(MonitorTest, MON11_TablesAreCleanedUp) {
  OTP_CASE("MON.11", "M5 M7");
  // By demonitor.
  Pid a = nodes_.Start(Here());
  Pid b = nodes_.Start(There());
  const MonitorRef ref = Monitor(a, b);
  EXPECT_NE(nodes_.Residue(), "");
  EXPECT_TRUE(Demonitor(a, ref, kInfo));
  EXPECT_EQ(nodes_.Residue(), "");
  // By the death of the watched.
  Monitor(a, b);
  nodes_.SendExit(b, ExitReason::Kill());
  EXPECT_EQ(nodes_.Residue(), "");
  // By the death of the watcher.
  b = nodes_.Start(There());
  Monitor(a, b);
  Monitor(a, b);
  nodes_.SendExit(a, ExitReason::Kill());
  EXPECT_EQ(nodes_.Residue(), "");
  EXPECT_EQ(nodes_.State(b), "alive");
  if (&There() == &Here()) return;
  // By the death of the watcher's node, which b's must notice.
  const Pid other = nodes_.Start(There());
  MonitorRef back;
  a = nodes_.Start(Here());
  nodes_.In(other, [&](Context& self) { back = self.Monitor(a); });
  Monitor(a, b);
  Here().Die();
  nodes_.Settle();
  EXPECT_EQ(nodes_.Residue(), "");
  EXPECT_THAT(nodes_.Seen(other), ElementsAre("down noconnection"));
  // By that of the watched one's.
  SimNode& again = nodes_.AddNode("a");
  a = nodes_.Start(again);
  Monitor(a, b);
  There().Die();
  nodes_.Settle();
  EXPECT_EQ(nodes_.Residue(), "");
  EXPECT_THAT(nodes_.Seen(a), ElementsAre("down noconnection"));
}

TEST_P(MonitorTest, MON12_MixedMonitorsLeaveNothing) {
  OTP_CASE("MON.12", "M1 M2 M7");
  SimRandom& dice = nodes_.world.random();
  for (int round = 0; round < 40; ++round) {
    std::vector<Pid> pids;
    for (int i = 0; i < 10; ++i) {
      pids.push_back(nodes_.Start(i % 2 == 0 ? Here() : There(), false,
                                  absl::StrCat("p", i)));
    }
    const auto pick = [&] { return pids[dice.Below(pids.size())]; };
    for (int i = 0; i < 60; ++i) {
      const Pid target = pick();
      const ServerRef by_name = ServerRef::Local(
          absl::StrCat("p", dice.Below(pids.size())), target.node);
      const bool name = dice.Below(2) == 0;
      const bool remove = dice.Below(3) == 0;
      const bool flush = dice.Below(2) == 0;
      nodes_.Post(pick(), [=](Context& self) {
        const MonitorRef ref = self.Monitor(name ? by_name : ServerRef(target));
        if (remove) self.Demonitor(ref, {.flush = flush});
      });
      if (dice.Below(4) == 0) nodes_.world.Step();
    }
    // All end, in any order.
    while (!pids.empty()) {
      const size_t at = dice.Below(pids.size());
      nodes_.NodeOf(pids[at]).runtime.SendExit(Pid(), pids[at],
                                               ExitReason::Kill());
      pids.erase(pids.begin() + static_cast<ptrdiff_t>(at));
      const uint64_t steps = dice.Below(10);
      for (uint64_t step = 0; step < steps; ++step) nodes_.world.Step();
    }
    nodes_.Settle();
    ASSERT_EQ(nodes_.Residue(), "") << round;
    EXPECT_EQ(Here().runtime.process_count(), 0u);
  }
}

TEST_P(MonitorTest, MON14_TagsComeBack) {
  OTP_CASE("MON.14", "M8");
  const Pid a = nodes_.Start(Here());
  std::vector<Pid> pids;
  for (int i = 0; i < 1000; ++i) pids.push_back(nodes_.Start(There()));
  nodes_.In(a, [&](Context& self) {
    for (int i = 0; i < 1000; ++i) {
      if (i % 2 == 0) {
        self.Monitor(pids[i], {.tag = i});
      } else {
        self.Monitor(pids[i], {.tag = absl::StrCat("tag ", i)});
      }
    }
  });
  for (const Pid& pid : pids) {
    There().runtime.SendExit(Pid(), pid, ExitReason::Kill());
  }
  nodes_.Settle();
  std::vector<Down>& downs = nodes_.Downs(a);
  ASSERT_THAT(downs, SizeIs(1000));
  for (const Down& down : downs) {
    const auto i = std::find(pids.begin(), pids.end(), down.pid) - pids.begin();
    if (i % 2 == 0) {
      ASSERT_NE(down.TagAs<int>(), nullptr);
      EXPECT_EQ(*down.TagAs<int>(), i);
      EXPECT_EQ(down.TagAs<std::string>(), nullptr);
    } else {
      ASSERT_NE(down.TagAs<std::string>(), nullptr);
      EXPECT_EQ(*down.TagAs<std::string>(), absl::StrCat("tag ", i));
    }
  }
  const Pid last = nodes_.Start(There());
  Monitor(a, last);
  nodes_.SendExit(last, ExitReason::Kill());
  EXPECT_FALSE(downs.back().tag.has_value());
}

TEST_P(MonitorTest, MON15_NobodyWithOptionsIsNoproc) {
  OTP_CASE("MON.15", "M2 M3 M8");
  const Pid a = nodes_.Start(Here());
  const Pid dead = Dead();
  const ServerRef nobody = ServerRef::Local("nobody", There().name);
  const MonitorRef by_pid = Monitor(a, dead, {.tag = 1});
  const MonitorRef by_name = Monitor(a, nobody, {.tag = 2});
  ASSERT_THAT(nodes_.Downs(a), SizeIs(2));
  EXPECT_THAT(nodes_.Seen(a), ElementsAre("down noproc", "down noproc"));
  EXPECT_EQ(nodes_.Downs(a)[0].ref, by_pid);
  EXPECT_EQ(*nodes_.Downs(a)[0].TagAs<int>(), 1);
  EXPECT_EQ(nodes_.Downs(a)[0].object, ServerRef(dead));
  EXPECT_EQ(nodes_.Downs(a)[1].ref, by_name);
  EXPECT_EQ(*nodes_.Downs(a)[1].TagAs<int>(), 2);
  EXPECT_EQ(nodes_.Downs(a)[1].object, nobody);
  EXPECT_TRUE(nodes_.Downs(a)[1].pid.empty());
  EXPECT_EQ(nodes_.Residue(), "");
}

// -- Only between nodes -------------------------------------------------------

class RemoteMonitorTest : public MonitorTest {};
INSTANTIATE_TEST_SUITE_P(Where, RemoteMonitorTest, ::testing::Values("remote"));

TEST_P(RemoteMonitorTest, MON06_TheNodeGoesDownBeforeOrAfterDemonitor) {
  OTP_CASE("MON.06", "M3 M5 ND5");
  const Pid a = nodes_.Start(Here());
  // After: nothing.
  Pid b = nodes_.Start(There());
  const MonitorRef before = Monitor(a, b);
  EXPECT_TRUE(Demonitor(a, before, kInfo));
  There().Die();
  nodes_.Settle();
  EXPECT_THAT(nodes_.Seen(a), IsEmpty());
  // Before: noconnection.
  b = nodes_.Start(nodes_.AddNode("b"));
  const MonitorRef after = Monitor(a, b);
  There().Die();
  nodes_.Settle();
  EXPECT_THAT(nodes_.Seen(a), ElementsAre("down noconnection"));
  EXPECT_FALSE(Demonitor(a, after, kInfo));
  EXPECT_TRUE(Demonitor(a, after));
  // While nobody has noticed yet: nothing.
  b = nodes_.Start(nodes_.AddNode("b"));
  const MonitorRef unnoticed = Monitor(a, b);
  There().Die();
  nodes_.Post(
      a, [&](Context& self) { EXPECT_TRUE(self.Demonitor(unnoticed, kInfo)); });
  nodes_.Settle();
  EXPECT_THAT(nodes_.Seen(a), SizeIs(1));
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_P(RemoteMonitorTest, MON09_NodesThatGoAndNodesThatAreGone) {
  OTP_CASE("MON.09", "M2 M3 M4 ND5 ND7");
  const Pid a = nodes_.Start(Here());
  const ServerRef name = ServerRef::Local("n", "b");
  const Pid b = nodes_.Start(There(), false, "n");
  Monitor(a, b);
  Monitor(a, name);
  nodes_.Stop(b, ExitReason::Custom("x"));
  EXPECT_THAT(nodes_.Seen(a), ElementsAre("down custom(x)", "down custom(x)"));
  EXPECT_EQ(nodes_.Downs(a)[0].object, ServerRef(b));
  EXPECT_EQ(nodes_.Downs(a)[1].object, name);
  EXPECT_EQ(nodes_.Downs(a)[1].pid, b);
  nodes_.Seen(a).clear();
  // The node goes.
  const Pid next = nodes_.Start(There(), false, "n");
  Monitor(a, next);
  Monitor(a, name);
  There().Die();
  nodes_.Settle();
  EXPECT_THAT(nodes_.Seen(a),
              ElementsAre("down noconnection", "down noconnection"));
  EXPECT_EQ(nodes_.Downs(a).back().object, name);
  nodes_.Seen(a).clear();
  // It is gone: a member that cannot be reached, then no member.
  Monitor(a, next);
  Monitor(a, name);
  nodes_.world.RunFor(absl::Seconds(3));
  EXPECT_THAT(nodes_.Seen(a),
              ElementsAre("down noconnection", "down noconnection"));
  nodes_.directory.members.erase("b");
  Monitor(a, next);
  Monitor(a, name);
  EXPECT_THAT(nodes_.Seen(a), SizeIs(4));
  EXPECT_THAT(nodes_.Seen(a), Each("down noconnection"));
  EXPECT_EQ(nodes_.Residue(), "");
}

}  // namespace
}  // namespace muster
