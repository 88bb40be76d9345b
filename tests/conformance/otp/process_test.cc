// erts/emulator/test/process_SUITE.erl and distribution_SUITE.erl: exit
// signals and links, within a node and across nodes.
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "google/protobuf/wrappers.pb.h"
#include "gtest/gtest.h"
#include "node/process/signals.h"
#include "node/types/exit_reason.h"
#include "node/types/pid.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/testkit/sim_nodes.h"

namespace muster {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

google::protobuf::BytesValue Bytes(size_t size) {
  google::protobuf::BytesValue bytes;
  bytes.set_value(std::string(size, 'b'));
  return bytes;
}

// Senders are on node a, receivers on a (local) or b (remote).
class ProcessTest : public ::testing::TestWithParam<const char*> {
 protected:
  ProcessTest() {
    nodes_.AddNode("a");
    nodes_.AddNode("b");
  }
  bool remote() const { return std::string(GetParam()) == "remote"; }
  SimNode& Here() { return nodes_.node("a"); }
  SimNode& There() { return nodes_.node(remote() ? "b" : "a"); }
  void Link(const Pid& a, const Pid& b) {
    nodes_.In(a, [&](Context& self) { EXPECT_TRUE(self.Link(b).ok()); });
  }
  void SendExit(const Pid& from, const Pid& to,
                const std::vector<ExitReason>& reasons) {
    nodes_.In(from, [&](Context& self) {
      for (const ExitReason& reason : reasons) self.SendExit(to, reason);
    });
  }

  SimNodes nodes_;
};

INSTANTIATE_TEST_SUITE_P(Where, ProcessTest,
                         ::testing::Values("local", "remote"),
                         [](const auto& info) {
                           return std::string(info.param);
                         });

TEST_P(ProcessTest, PRC01_AnExitOfAnotherWithABigReason) {
  OTP_CASE("PRC.01", "P10 P11");
  const Pid parent = nodes_.Start(Here(), /*trap=*/true);
  const Pid child = nodes_.Start(There());
  Link(parent, child);
  const ExitReason big = ExitReason::Custom("big", Bytes(50'000));
  SendExit(parent, child, {big});
  ASSERT_THAT(nodes_.Exits(parent), SizeIs(1));
  EXPECT_EQ(nodes_.Exits(parent)[0].reason, big);
  EXPECT_EQ(nodes_.Exits(parent)[0].from, child);
  EXPECT_EQ(nodes_.Residue(), "");
}

TEST_P(ProcessTest, PRC02_AnotherNormalExitChangesNothing) {
  OTP_CASE("PRC.02", "P11");
  const Pid sender = nodes_.Start(Here());
  const Pid plain = nodes_.Start(There());
  const Pid trapping = nodes_.Start(There(), /*trap=*/true);
  SendExit(sender, plain, {ExitReason::Normal()});
  SendExit(sender, trapping, {ExitReason::Normal()});
  EXPECT_EQ(nodes_.State(plain), "alive");
  EXPECT_EQ(nodes_.State(trapping), "alive");
  EXPECT_THAT(nodes_.Seen(trapping), ElementsAre("exit normal"));
  EXPECT_EQ(nodes_.Exits(trapping)[0].from, sender);
}

TEST_P(ProcessTest, PRC03_ATrappingProcessExitsItself) {
  OTP_CASE("PRC.03", "P11");
  const Pid pid = nodes_.Start(There(), /*trap=*/true);
  SendExit(pid, pid, {ExitReason::Custom("self")});
  EXPECT_EQ(nodes_.State(pid), "alive");
  EXPECT_THAT(nodes_.Seen(pid), ElementsAre("exit custom(self)"));
  EXPECT_EQ(nodes_.Exits(pid)[0].from, pid);
}

TEST_P(ProcessTest, PRC04_ANormalSuicide) {
  OTP_CASE("PRC.04", "P6");
  const Pid parent = nodes_.Start(Here(), /*trap=*/true);
  const Pid child = nodes_.Start(There());
  Link(parent, child);
  SendExit(child, child, {ExitReason::Normal()});
  EXPECT_EQ(nodes_.State(child), "normal");
  EXPECT_THAT(nodes_.Seen(parent), ElementsAre("exit normal"));
}

TEST_P(ProcessTest, PRC05_NoHandlerCatchesAnExitSignal) {
  OTP_CASE("PRC.05", "P11");
  const Pid parent = nodes_.Start(Here(), /*trap=*/true);
  const Pid child = nodes_.Start(There());
  Link(parent, child);
  bool went_on = false;
  nodes_.In(child, [&](Context& self) {
    try {
      self.SendExit(self.pid(), ExitReason::Custom("die"));
      went_on = true;  // C++ cannot be stopped in the middle of a function.
    } catch (...) {
      FAIL() << "an exit signal is no exception";
    }
    self.Send(parent, Info(MakeInt64(1)));  // But nothing it says leaves it.
  });
  EXPECT_TRUE(went_on);
  EXPECT_EQ(nodes_.State(child), "custom(die)");
  EXPECT_THAT(nodes_.Seen(parent), ElementsAre("exit custom(die)"));
}

TEST_P(ProcessTest, PRC06_TheFirstOfTwoReasonsWins) {
  OTP_CASE("PRC.06", "P1 P10");
  const Pid sender = nodes_.Start(Here(), /*trap=*/true);
  for (const ExitReason& second :
       {ExitReason::Custom("second"), ExitReason::Kill()}) {
    const Pid pid = nodes_.Start(There());
    nodes_.Hold(pid);
    SendExit(sender, pid, {ExitReason::Custom("first"), second});
    EXPECT_EQ(nodes_.State(pid), "custom(first)");
  }
}

TEST_P(ProcessTest, PRC10_LinkingToTheDead) {
  OTP_CASE("PRC.10", "L3 P5 ND8");
  const Pid dead = nodes_.Start(There());
  nodes_.SendExit(dead, ExitReason::Kill());
  const Pid never{There().name, There().runtime.epoch(), 4711};
  const Pid earlier{There().name, Epoch{1, 1}, 1};
  for (const Pid& pid : {dead, never, earlier}) {
    const Pid trapping = nodes_.Start(Here(), /*trap=*/true);
    Link(trapping, pid);
    EXPECT_THAT(nodes_.Seen(trapping), ElementsAre("exit noproc"));
    EXPECT_EQ(nodes_.Exits(trapping)[0].from, pid);
    const Pid plain = nodes_.Start(Here());
    absl::Status status;
    nodes_.In(plain, [&](Context& self) { status = self.Link(pid); });
    if (remote()) {
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_EQ(nodes_.State(plain), "noproc");
    } else {
      EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
      EXPECT_EQ(ReasonOf(status), "NOPROC");
      EXPECT_EQ(nodes_.State(plain), "alive");
    }
    EXPECT_EQ(nodes_.Residue(), "");
  }
}

// -- Only between nodes -------------------------------------------------------

TEST(DistributionTest, PRC11_ASaturatedStreamLosesNoExitAndNoDown) {
  OTP_CASE("PRC.11", "P2 ND9");
  SimNodes nodes;
  SimNode& a = nodes.AddNode("a");
  SimNode& b = nodes.AddNode("b", {.queue_bytes_max = 100'000});
  const Pid linked = nodes.Start(a, /*trap=*/true);
  const Pid watcher = nodes.Start(a);
  const Pid pid = nodes.Start(b);
  nodes.In(linked, [&](Context& self) { EXPECT_TRUE(self.Link(pid).ok()); });
  nodes.In(watcher, [&](Context& self) { self.Monitor(pid); });
  nodes.In(pid, [&](Context& self) {
    for (int i = 0; i < 1000; ++i) self.Send(watcher, Info(Bytes(1000)));
    self.SendExit(self.pid(), ExitReason::Custom("lost?"));
  });
  EXPECT_GT(b.peers->stats().signals_dropped, 0u);
  EXPECT_THAT(nodes.Seen(linked), ElementsAre("exit custom(lost?)"));
  EXPECT_THAT(nodes.Seen(watcher), ElementsAre("down custom(lost?)"));
  EXPECT_EQ(b.peers->stats().streams_lost, 0u);
}

TEST(DistributionTest, PRC12_SmallMessagesWaitForAFewFramesAtMost) {
  OTP_CASE("PRC.12", "ND10");
  SimNodes nodes;
  SimNode& a = nodes.AddNode("a");
  SimNode& b = nodes.AddNode("b");
  const Pid receiver = nodes.Start(b);
  const Pid small = nodes.Start(a);
  nodes.In(small,
           [&](Context& self) { self.Send(receiver, Info(MakeInt64(0))); });
  const ExitReason large =
      ExitReason::Custom(std::string(60'000, 't'), Bytes(60'000));
  for (const std::string what : {"message", "link", "monitor", "exit2"}) {
    nodes.Seen(receiver).clear();
    const Pid sink = nodes.Start(b, /*trap=*/true);
    std::vector<Pid> senders;
    for (int i = 0; i < 20; ++i) {
      senders.push_back(nodes.Start(a));
      nodes.In(senders.back(), [&](Context& self) {
        if (what == "link") {
          EXPECT_TRUE(self.Link(sink).ok());
        }
      });
      if (what == "monitor") {
        nodes.In(sink, [&](Context& self) { self.Monitor(senders.back()); });
      }
    }
    const uint64_t batches = a.peers->stats().batches_written;
    for (const Pid& sender : senders) {
      if (what == "message" || what == "exit2") {
        nodes.Post(sender, [&, what](Context& self) {
          if (what == "message") {
            self.Send(sink, Info(Bytes(1 << 20)));
          } else {
            self.SendExit(sink, large);
          }
        });
      } else {
        a.runtime.Send(sender, Info(ExitReason(large)));
      }
    }
    nodes.world.RunReady();
    nodes.Post(small,
               [&](Context& self) { self.Send(receiver, Info(MakeInt64(1))); });
    // 20 MiB are 20 batches of one round trip each.
    EXPECT_TRUE(nodes.world.RunUntil(
        [&] { return !nodes.Seen(receiver).empty(); }, absl::Milliseconds(100)))
        << what;
    nodes.Settle();
    EXPECT_LE(a.peers->stats().batches_written - batches, 25u) << what;
    EXPECT_GE(a.peers->stats().batches_written - batches, 2u) << what;
    if (what == "link" || what == "exit2") {
      EXPECT_THAT(nodes.Exits(sink), SizeIs(20)) << what;
    } else if (what == "monitor") {
      EXPECT_THAT(nodes.Downs(sink), SizeIs(20)) << what;
    }
  }
}

TEST(DistributionTest, PRC13_NodesThatConnectNeverOrOnce) {
  OTP_CASE("PRC.13", "ND1 ND5");
  using Connect = PeerOptions::Connect;
  for (const Connect connect : {Connect::kNever, Connect::kOnce}) {
    SimNodes nodes;
    SimNode& a = nodes.AddNode("a", {.connect = connect});
    SimNode& b = nodes.AddNode("b");
    const Pid on_a = nodes.Start(a, /*trap=*/true);
    const Pid on_b = nodes.Start(b, /*trap=*/true);
    const auto try_link = [&] {
      nodes.Seen(on_a).clear();
      nodes.In(on_a, [&](Context& self) { EXPECT_TRUE(self.Link(on_b).ok()); });
    };
    try_link();
    if (connect == Connect::kNever) {
      EXPECT_THAT(nodes.Seen(on_a), ElementsAre("exit noconnection"));
      EXPECT_THAT(a.peers->Connected(), IsEmpty());
      // When told to, it does.
      a.peers->Connect("b");
      nodes.Settle();
      try_link();
    }
    EXPECT_THAT(nodes.Seen(on_a), IsEmpty());
    EXPECT_THAT(a.peers->Connected(), ElementsAre("b"));
    // After a loss, neither connects again by itself, not even later.
    nodes.network.Reset("a", "b");
    nodes.Settle();
    EXPECT_THAT(nodes.Seen(on_a), ElementsAre("exit noconnection"));
    nodes.world.RunFor(absl::Seconds(5));
    try_link();
    EXPECT_THAT(nodes.Seen(on_a), ElementsAre("exit noconnection"));
    EXPECT_THAT(a.peers->Connected(), IsEmpty());
    // The other side may.
    nodes.In(on_b, [&](Context& self) { self.Monitor(on_a); });
    EXPECT_THAT(a.peers->Connected(), ElementsAre("b"));
    try_link();
    EXPECT_THAT(nodes.Seen(on_a), IsEmpty());
  }
}

}  // namespace
}  // namespace muster
