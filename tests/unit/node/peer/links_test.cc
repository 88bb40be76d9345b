// Links, monitors and node monitoring between nodes (otp 1.1 to 1.5, 13, 16.3).
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/process/signals.h"
#include "node/types/exit_reason.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"
#include "tests/testkit/sim_nodes.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LinksTest : public ::testing::Test {
 protected:
  LinksTest() : a_(nodes_.AddNode("a")), b_(nodes_.AddNode("b")) {}

  void Connect() {
    a_.peers->Connect("b");
    nodes_.Settle();
  }
  void Link(const Pid& a, const Pid& b) {
    nodes_.In(a, [&](Context& self) { EXPECT_TRUE(self.Link(b).ok()); });
  }
  MonitorRef Monitor(const Pid& watcher, const ServerRef& target) {
    MonitorRef ref;
    nodes_.In(watcher, [&](Context& self) { ref = self.Monitor(target); });
    return ref;
  }
  void MonitorNodes(const Pid& pid, bool on) {
    nodes_.In(pid, [&](Context& self) { self.MonitorNodes(on); });
  }
  void Reset() {
    nodes_.network.Reset("a", "b");
    nodes_.Settle();
  }

  SimNodes nodes_;
  SimNode& a_;
  SimNode& b_;
};

// -- Node monitoring ----------------------------------------------------------

TEST_F(LinksTest, WhoAsksHearsOfNodes) {  // otp ND3
  const Pid once = nodes_.Start(a_);
  const Pid twice = nodes_.Start(a_);
  const Pid never = nodes_.Start(a_);
  MonitorNodes(once, true);
  MonitorNodes(twice, true);
  MonitorNodes(twice, true);
  Connect();
  Reset();
  EXPECT_THAT(nodes_.Seen(once),
              ElementsAre("nodeup b", "nodedown b noconnection"));
  EXPECT_THAT(nodes_.Seen(twice),
              ElementsAre("nodeup b", "nodeup b", "nodedown b noconnection",
                          "nodedown b noconnection"));
  EXPECT_THAT(nodes_.Seen(never), IsEmpty());
  // One off ends both copies.
  MonitorNodes(twice, false);
  Connect();
  EXPECT_THAT(nodes_.Seen(once), SizeIs(3));
  EXPECT_THAT(nodes_.Seen(twice), SizeIs(4));
  // Death ends the subscription.
  nodes_.SendExit(once, ExitReason::Kill());
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_F(LinksTest, NodesListsWhatNodeUpAndNodeDownSay) {  // otp ND3
  const Pid pid = nodes_.Start(a_);
  std::vector<std::string> listed;
  const auto list = [&](Context& self) {
    listed.clear();
    for (const std::string& node : self.Nodes()) listed.push_back(node);
  };
  nodes_.In(pid, list);
  EXPECT_THAT(listed, IsEmpty());
  nodes_.AddNode("c");
  a_.peers->Connect("c");
  Connect();
  nodes_.In(pid, list);
  EXPECT_THAT(listed, ElementsAre("b", "c"));
  Reset();
  nodes_.In(pid, list);
  EXPECT_THAT(listed, ElementsAre("c"));
}

TEST_F(LinksTest, NodeUpComesBeforeAnySignalOfTheNode) {  // otp ND3
  const Pid on_a = nodes_.Start(a_);
  const Pid on_b = nodes_.Start(b_);
  MonitorNodes(on_b, true);
  nodes_.In(on_a, [&](Context& self) { self.Send(on_b, Info(MakeInt64(1))); });
  EXPECT_THAT(nodes_.Seen(on_b), ElementsAre("nodeup a", "info 1"));
}

TEST_F(LinksTest, NodeDownComesAfterExitsAndDowns) {  // otp ND4, L4, ND5
  const Pid on_a = nodes_.Start(a_, /*trap=*/true);
  const Pid on_b = nodes_.Start(b_, /*trap=*/true);
  MonitorNodes(on_a, true);
  MonitorNodes(on_b, true);
  Monitor(on_a, on_b);
  Link(on_a, on_b);
  Monitor(on_b, on_a);
  Reset();
  EXPECT_THAT(nodes_.Seen(on_a),
              ElementsAre("nodeup b", "exit noconnection", "down noconnection",
                          "nodedown b noconnection"));
  EXPECT_THAT(nodes_.Seen(on_b),
              ElementsAre("nodeup a", "exit noconnection", "down noconnection",
                          "nodedown a noconnection"));
  // Both live on, and what they say arrives again after a reconnect (ND6).
  nodes_.In(on_a, [&](Context& self) { self.Send(on_b, Info(MakeInt64(7))); });
  EXPECT_EQ(nodes_.Seen(on_b).back(), "info 7");
  EXPECT_THAT(nodes_.Seen(on_a), SizeIs(5));
  MonitorNodes(on_a, false);
  MonitorNodes(on_b, false);
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_F(LinksTest, NodeDownSaysWhy) {  // otp ND2
  const Pid pid = nodes_.Start(a_);
  MonitorNodes(pid, true);
  Connect();
  nodes_.network.Cut("a", "b");
  nodes_.world.RunFor(absl::Seconds(3));
  EXPECT_THAT(nodes_.Seen(pid), ElementsAre("nodeup b", "nodedown b timeout"));
  nodes_.network.HealAll();
  nodes_.world.RunFor(absl::Seconds(3));
  Connect();
  a_.peers->NodeDied("b", b_.runtime.epoch());
  nodes_.Settle();
  EXPECT_EQ(nodes_.Seen(pid).back(), "nodedown b nodedown(b)");
  // The dead one has only lost a stream.
  const Pid on_b = nodes_.Start(b_);
  MonitorNodes(on_b, true);
  EXPECT_THAT(b_.runtime.Nodes(), IsEmpty());
}

TEST_F(LinksTest, TheOldStreamIsDownBeforeTheNewOneIsUp) {  // otp ND3, ND8
  const Pid pid = nodes_.Start(a_);
  MonitorNodes(pid, true);
  Connect();
  const Pid old = nodes_.Start(b_);
  Monitor(pid, old);
  b_.Die();
  SimNode& next = nodes_.AddNode("b");
  const Pid young = nodes_.Start(next);
  nodes_.In(young, [&](Context& self) { self.Send(pid, Info(MakeInt64(1))); });
  EXPECT_THAT(nodes_.Seen(pid),
              ElementsAre("nodeup b", "down noconnection",
                          "nodedown b noconnection", "nodeup b", "info 1"));
}

// -- Order and identity -------------------------------------------------------

TEST_F(LinksTest, AllSignalsOfOnePairKeepTheirOrder) {  // otp P1, P4
  const Pid on_a = nodes_.Start(a_);
  const Pid on_b = nodes_.Start(b_, /*trap=*/true);
  Monitor(on_b, on_a);
  nodes_.In(on_a, [&](Context& self) {
    EXPECT_TRUE(self.Link(on_b).ok());
    self.Send(on_b, Info(MakeInt64(1)));
    ScriptCast(self, on_b, 2);
    self.SendExit(on_b, ExitReason::Custom("x"));
    self.Send(on_b, Info(MakeInt64(3)));
    self.SendExit(on_b, ExitReason::Normal());
    ScriptCast(self, on_b, 4);
    self.SendExit(self.pid(), ExitReason::Shutdown());
  });
  EXPECT_THAT(
      nodes_.Seen(on_b),
      ElementsAre("info 1", "cast 2", "exit custom(x)", "info 3", "exit normal",
                  "cast 4", "exit shutdown", "down shutdown"));
}

TEST_F(LinksTest, AnExitIsSeenByWhatItsSenderAsksNext) {  // otp P9
  const Pid on_a = nodes_.Start(a_);
  const Pid near = nodes_.Start(a_);
  const Pid far = nodes_.Start(b_);
  bool alive = true;
  nodes_.In(on_a, [&](Context& self) {
    self.SendExit(near, ExitReason::Kill());
    alive = self.runtime().IsAlive(near);
    self.SendExit(far, ExitReason::Kill());
    ScriptCast(self, far, 1);
    self.Monitor(far);
  });
  EXPECT_FALSE(alive);
  EXPECT_THAT(nodes_.Seen(far), IsEmpty());
  EXPECT_EQ(nodes_.State(far), "killed");
  EXPECT_THAT(nodes_.Downs(on_a), SizeIs(1));
}

TEST_F(LinksTest, PidsOfAnEarlierIncarnationAreNoprocAtOnce) {  // otp P5, ND8
  const Pid on_a = nodes_.Start(a_, /*trap=*/true);
  const Pid old = nodes_.Start(b_);
  b_.Die();
  SimNode& next = nodes_.AddNode("b");
  const Pid young = nodes_.Start(next);
  ASSERT_EQ(young.number, old.number);
  nodes_.Post(on_a, [&](Context& self) {
    EXPECT_TRUE(self.Link(old).ok());
    self.Monitor(old);
    self.SendExit(old, ExitReason::Kill());
  });
  nodes_.world.RunReady();  // No message has had time to travel.
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("exit noproc", "down noproc"));
  nodes_.Settle();
  EXPECT_EQ(nodes_.State(young), "alive");
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_F(LinksTest, KillReachesAcrossNodesAsItDoesWithin) {  // otp 1.3, P10
  const Pid sender = nodes_.Start(a_);
  const Pid trapping = nodes_.Start(b_, /*trap=*/true);
  const Pid linked = nodes_.Start(a_, /*trap=*/true);
  const Pid plain = nodes_.Start(a_);
  Link(linked, trapping);
  Link(plain, trapping);
  nodes_.In(sender, [&](Context& self) {
    self.SendExit(trapping, ExitReason::Kill());
  });
  EXPECT_EQ(nodes_.State(trapping), "killed");
  EXPECT_THAT(nodes_.Seen(linked), ElementsAre("exit killed"));
  EXPECT_EQ(nodes_.State(plain), "killed");
  // The plain reason `kill` over a link can be trapped, and is not rewritten.
  const Pid by_itself = nodes_.Start(b_);
  const Pid neighbour = nodes_.Start(a_);
  Link(linked, by_itself);
  Link(neighbour, by_itself);
  nodes_.Stop(by_itself, ExitReason::Kill());
  EXPECT_EQ(nodes_.Seen(linked).back(), "exit kill");
  EXPECT_EQ(nodes_.State(linked), "alive");
  EXPECT_EQ(nodes_.State(neighbour), "kill");
}

// -- Links --------------------------------------------------------------------

TEST_F(LinksTest, ALinkIsOneWhoeverAsksForIt) {  // otp L1
  const Pid on_a = nodes_.Start(a_, /*trap=*/true);
  const Pid on_b = nodes_.Start(b_, /*trap=*/true);
  Connect();
  // Both at once, and again.
  nodes_.Post(on_b, [&](Context& self) { EXPECT_TRUE(self.Link(on_a).ok()); });
  Link(on_a, on_b);
  Link(on_a, on_b);
  EXPECT_EQ(a_.runtime.Tables().links, 1u);
  EXPECT_EQ(b_.runtime.Tables().links, 1u);
  nodes_.Stop(on_b, ExitReason::Custom("x"));
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("exit custom(x)"));
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_F(LinksTest, CrossedLinksBreakOnceOnEachSide) {  // otp L1, L4
  const Pid on_a = nodes_.Start(a_, /*trap=*/true);
  const Pid on_b = nodes_.Start(b_, /*trap=*/true);
  Connect();
  nodes_.Post(on_b, [&](Context& self) { EXPECT_TRUE(self.Link(on_a).ok()); });
  Link(on_a, on_b);
  Reset();
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("exit noconnection"));
  EXPECT_THAT(nodes_.Seen(on_b), ElementsAre("exit noconnection"));
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_F(LinksTest, EitherSideMayUnlink) {  // otp L1, L2
  for (const bool near : {false, true}) {
    const Pid on_a = nodes_.Start(a_, /*trap=*/true);
    const Pid on_b = nodes_.Start(b_, /*trap=*/true);
    Link(on_a, on_b);
    if (near) {
      nodes_.In(on_a, [&](Context& self) { self.Unlink(on_b); });
    } else {
      nodes_.In(on_b, [&](Context& self) { self.Unlink(on_a); });
    }
    EXPECT_EQ(nodes_.Residue(), "");
    nodes_.Stop(on_b, ExitReason::Custom("x"));
    EXPECT_THAT(nodes_.Seen(on_a), IsEmpty());
  }
}

TEST_F(LinksTest, NoExitOfALinkComesAfterUnlink) {  // otp L2
  const Pid on_a = nodes_.Start(a_, /*trap=*/true);
  const Pid on_b = nodes_.Start(b_);
  Link(on_a, on_b);
  // The exit is under way when the link is removed and made anew: what comes
  // is the new link's noproc, not the old one's reason.
  b_.runtime.Send(on_b, Info(ExitReason::Custom("old")));
  nodes_.world.RunReady();
  ASSERT_EQ(nodes_.State(on_b), "custom(old)");
  nodes_.In(on_a, [&](Context& self) {
    self.Unlink(on_b);
    EXPECT_TRUE(self.Link(on_b).ok());
  });
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("exit noproc"));
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_F(LinksTest, LinksThatCannotBeHadAreNoconnection) {  // otp L3, ND7
  const Pid on_a = nodes_.Start(a_, /*trap=*/true);
  const Pid plain = nodes_.Start(a_);
  const Pid nowhere{"nowhere", Epoch{1, 99}, 1};
  Link(on_a, nowhere);
  Link(plain, nowhere);
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("exit noconnection"));
  EXPECT_EQ(nodes_.State(plain), "noconnection");
  // A member that does not answer: after the attempt.
  const Pid on_b = nodes_.Start(b_);
  nodes_.network.Cut("a", "b");
  Link(on_a, on_b);
  EXPECT_THAT(nodes_.Seen(on_a), SizeIs(1));
  nodes_.world.RunFor(absl::Seconds(4));
  EXPECT_THAT(nodes_.Seen(on_a),
              ElementsAre("exit noconnection", "exit noconnection"));
  EXPECT_EQ(nodes_.Residue(), "");
}

// Both sides link and unlink at random, while streams break: in the end they
// agree, and a death is heard once by whoever is linked, and by nobody else.
TEST(LinksSimTest, BothSidesAgreeInTheEnd) {  // otp L1, L2, L4
  int linked = 0;
  int unlinked = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SimNodes nodes(seed);
    SimNode& a = nodes.AddNode("a");
    SimNode& b = nodes.AddNode("b");
    SimRandom& dice = nodes.world.random();
    const Pid on_a = nodes.Start(a, /*trap=*/true);
    const Pid on_b = nodes.Start(b, /*trap=*/true);
    for (int i = 0; i < 30; ++i) {
      const bool from_a = dice.Below(2) == 0;
      const bool link = dice.Below(2) == 0;
      nodes.Post(from_a ? on_a : on_b, [=](Context& self) {
        const Pid& other = from_a ? on_b : on_a;
        if (link) {
          EXPECT_TRUE(self.Link(other).ok());
        } else {
          self.Unlink(other);
        }
      });
      if (seed % 3 == 0 && dice.Below(20) == 0) nodes.network.Reset("a", "b");
      nodes.world.RunFor(dice.Jitter(absl::Milliseconds(2)));
    }
    nodes.Settle();
    const size_t links = a.runtime.Tables().links;
    ASSERT_EQ(links, b.runtime.Tables().links) << "seed " << seed;
    nodes.Seen(on_a).clear();
    nodes.Stop(on_b, ExitReason::Custom("end"));
    if (links == 1) {
      ++linked;
      EXPECT_THAT(nodes.Seen(on_a), ElementsAre("exit custom(end)")) << seed;
    } else {
      ++unlinked;
      EXPECT_THAT(nodes.Seen(on_a), IsEmpty()) << seed;
    }
    EXPECT_EQ(nodes.Residue(), "") << seed;
  }
  EXPECT_GT(linked, 30);
  EXPECT_GT(unlinked, 30);
}

// -- Monitors by name ---------------------------------------------------------

TEST_F(LinksTest, ALocalNameIsResolvedWhenTheRequestArrives) {  // otp M4, M2
  const Pid on_a = nodes_.Start(a_);
  Connect();
  const Pid first = nodes_.Start(b_, false, "n");
  b_.runtime.Send(first, Info(ExitReason::Normal()));
  nodes_.Post(on_a,
              [&](Context& self) { self.Monitor(ServerRef::Local("n", "b")); });
  nodes_.world.RunReady();
  ASSERT_EQ(nodes_.State(first), "normal");
  const Pid second = nodes_.Start(b_, false, "n");
  nodes_.Settle();
  EXPECT_THAT(nodes_.Seen(on_a), IsEmpty());
  nodes_.Stop(second, ExitReason::Shutdown());
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("down shutdown"));
  EXPECT_EQ(nodes_.Downs(on_a)[0].pid, second);
  nodes_.Start(b_, false, "n");
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_F(LinksTest, AClusterWideNameIsResolvedByTheRegistry) {  // otp M3, M4
  const Pid on_a = nodes_.Start(a_);
  const Pid near = nodes_.StartGlobal(a_, "near");
  const Pid far = nodes_.StartGlobal(b_, "far");
  Monitor(on_a, "near");
  Monitor(on_a, "far");
  Monitor(on_a, "free");
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("down noproc"));
  EXPECT_EQ(nodes_.Downs(on_a)[0].object, ServerRef("free"));
  nodes_.Stop(near, ExitReason::Normal());
  nodes_.Stop(far, ExitReason::Custom("x"));
  EXPECT_THAT(nodes_.Seen(on_a),
              ElementsAre("down noproc", "down normal", "down custom(x)"));
  EXPECT_EQ(nodes_.Downs(on_a)[2].object, ServerRef("far"));
  EXPECT_EQ(nodes_.Downs(on_a)[2].pid, far);
  EXPECT_EQ(nodes_.Residue(), "");
}

// -- Suspects (otp 16.3) ------------------------------------------------------

TEST_F(LinksTest, ALostStreamMakesTheOwnerOfANameASuspectOnly) {
  const Pid on_a = nodes_.Start(a_);
  const Pid far = nodes_.StartGlobal(b_, "far");
  const MonitorRef ref = Monitor(on_a, "far");
  Reset();
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("suspect"));
  // Reached again without anybody's doing, and monitored again.
  nodes_.world.RunFor(absl::Seconds(2));
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("suspect", "cleared"));
  nodes_.Stop(far, ExitReason::Custom("x"));
  EXPECT_THAT(nodes_.Seen(on_a),
              ElementsAre("suspect", "cleared", "down custom(x)"));
  EXPECT_EQ(nodes_.Downs(on_a)[0].ref, ref);
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_F(LinksTest, TheDeathOfTheOwnersNodeMakesItDown) {  // guarantees G10
  const Pid on_a = nodes_.Start(a_);
  nodes_.StartGlobal(b_, "far");
  Monitor(on_a, "far");
  b_.Die();
  nodes_.world.RunFor(absl::Seconds(30));
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("suspect"));
  a_.peers->NodeDied("b", Epoch{1, 1});  // An earlier one.
  nodes_.Settle();
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("suspect"));
  a_.peers->NodeDied("b", b_.runtime.epoch());
  nodes_.Settle();
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("suspect", "down noconnection"));
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_F(LinksTest, ADeathThatIsKnownFirstNeedsNoSuspicion) {
  const Pid on_a = nodes_.Start(a_);
  nodes_.StartGlobal(b_, "far");
  Monitor(on_a, "far");
  a_.peers->NodeDied("b", b_.runtime.epoch());
  nodes_.Settle();
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("down noconnection"));
}

TEST_F(LinksTest, TheOwnersNextIncarnationProvesItsDeath) {  // otp P5
  const Pid on_a = nodes_.Start(a_);
  nodes_.StartGlobal(b_, "far");
  Monitor(on_a, "far");
  b_.Die();
  nodes_.AddNode("b");
  nodes_.world.RunFor(absl::Seconds(2));
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("suspect", "down noproc"));
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_F(LinksTest, ASuspectCanBeDemonitored) {  // otp M5
  const Pid on_a = nodes_.Start(a_);
  nodes_.StartGlobal(b_, "far");
  const MonitorRef ref = Monitor(on_a, "far");
  b_.Die();
  nodes_.Settle();
  bool active = false;
  nodes_.In(on_a, [&](Context& self) {
    active = self.Demonitor(ref, {.info = true});
  });
  EXPECT_TRUE(active);
  a_.peers->NodeDied("b", b_.runtime.epoch());
  nodes_.Settle();
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("suspect"));
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_F(LinksTest, AMonitorByPidOfANamedServerIsNoSuspect) {  // otp 16.3
  const Pid on_a = nodes_.Start(a_);
  const Pid far = nodes_.StartGlobal(b_, "far");
  Monitor(on_a, far);
  Reset();
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("down noconnection"));
}

TEST_F(LinksTest, AnOwnerThatDiesOfALostLinkIsDown) {  // otp M2, M3, G10
  SimNode& c = nodes_.AddNode("c");
  const Pid on_a = nodes_.Start(a_);
  const Pid on_b = nodes_.Start(b_);
  const Pid on_c = nodes_.Start(c);
  const Pid far = nodes_.StartGlobal(b_, "far");
  Monitor(on_a, "far");
  Monitor(on_b, "far");
  Link(far, on_c);
  nodes_.network.Reset("b", "c");
  nodes_.Settle();
  EXPECT_EQ(nodes_.State(far), "noconnection");
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("down noconnection"));
  EXPECT_THAT(nodes_.Seen(on_b), ElementsAre("down noconnection"));
  EXPECT_EQ(nodes_.Downs(on_a)[0].pid, far);
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_F(LinksTest, ASuspicionThatComesAfterTheStreamIsBackIsCleared) {
  const Pid on_a = nodes_.Start(a_);
  const Pid far = nodes_.StartGlobal(b_, "far");
  const MonitorRef ref = Monitor(on_a, "far");
  // As a monitor that was refused just before the stream was there.
  a_.runtime.Deliver(Signal::Down(ref.id, Pid(), ExitReason::Noconnection()));
  nodes_.Settle();
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("suspect"));
  nodes_.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(nodes_.Seen(on_a), ElementsAre("suspect", "cleared"));
  nodes_.Stop(far, ExitReason::Custom("x"));
  EXPECT_THAT(nodes_.Seen(on_a),
              ElementsAre("suspect", "cleared", "down custom(x)"));
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_F(LinksTest, AFarStartersLinkGoesWithAStartThatTookTooLong) {  // otp H8
  const Pid on_a = nodes_.Start(a_);
  SpawnOptions spawn;
  spawn.link_to = on_a;
  spawn.timeout = absl::Seconds(1);
  Script slow;
  slow.init = [](Context& self) -> InitResult {
    co_await self.Sleep(absl::Hours(1));
    co_return Ok();
  };
  absl::Status started;
  b_.runtime.Spawn(ScriptServer::Make(slow), Payload(), std::move(spawn),
                   [&](absl::Status status) { started = std::move(status); });
  nodes_.Settle();
  EXPECT_EQ(a_.runtime.Tables().links, 1u);
  nodes_.world.RunFor(absl::Seconds(2));
  EXPECT_EQ(ReasonOf(started), "START_TIMEOUT");
  EXPECT_EQ(nodes_.State(on_a), "alive");
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_F(LinksTest, AFarStartersLinkGoesWithAStartThatIsRefused) {  // otp H3
  const Pid on_a = nodes_.Start(a_);
  SpawnOptions spawn;
  spawn.link_to = on_a;
  spawn.hold = true;
  const Pid held = b_.runtime.Spawn(ScriptServer::Make(), Payload(),
                                    std::move(spawn), nullptr);
  nodes_.Settle();
  EXPECT_EQ(a_.runtime.Tables().links, 1u);
  b_.runtime.Refuse(held, absl::UnavailableError("no claim"));
  nodes_.Settle();
  EXPECT_EQ(nodes_.State(on_a), "alive");
  EXPECT_EQ(nodes_.Residue(), "");
}

}  // namespace
}  // namespace muster
