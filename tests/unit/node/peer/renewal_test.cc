// One stream takes over from another, and nothing is lost or disordered
// (guarantees G9, section 9.3).
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/peer/v1/peer.pb.h"
#include "node/peer/peers.h"
#include "node/process/signals.h"
#include "node/types/pid.h"
#include "node/types/status.h"
#include "tests/testkit/sim_nodes.h"
#include "tests/testkit/sim_transport.h"
#include "tests/testkit/sim_world.h"
#include "tests/unit/node/peer/test_net.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class RenewalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    PeerOptions options;
    options.stream_age = age_;
    a_ = std::make_unique<TestNode>(&world_, &net_, &directory_, "a",
                                    Epoch{1, 10}, options);
    b_ = std::make_unique<TestNode>(&world_, &net_, &directory_, "b",
                                    Epoch{1, 20}, options);
    on_a_ = a_->Start();
    on_b_ = b_->Start();
    a_->peers->Connect("b");
    world_.RunReady();
    ASSERT_THAT(a_->peers->Connected(), ElementsAre("b"));
  }
  void ExpectWhole(uint64_t renewals) {
    for (const TestNode* node : {a_.get(), b_.get()}) {
      EXPECT_EQ(node->peers->stats().streams_renewed, renewals);
      EXPECT_EQ(node->peers->stats().streams_lost, 0u);
      EXPECT_EQ(node->peers->stats().streams_opened, 1u);
    }
  }
  std::string Echo(TestNode& from, const Pid& to) {
    auto result = from.Call(to, "Echo", "hi", absl::Seconds(1));
    world_.RunReady();
    if (!result->has_value()) return "nothing";
    return (*result)->status.ok() ? (*result)->reply.ToBytes()
                                  : (*result)->status.ToString();
  }

  absl::Duration age_ = absl::ZeroDuration();
  SimWorld world_{1};
  TestNet net_;
  TestDirectory directory_;
  std::unique_ptr<TestNode> a_;
  std::unique_ptr<TestNode> b_;
  Pid on_a_;
  Pid on_b_;
};

TEST_F(RenewalTest, NobodyNoticesWhoeverBegins) {
  auto hangs = a_->Call(on_b_, "Hang", "");
  world_.RunReady();
  for (TestNode* const node : {a_.get(), b_.get()}) {
    a_->Cast(on_b_, "before");
    node->peers->RenewAll();
    a_->Cast(on_b_, "after");
    world_.RunReady();
  }
  ExpectWhole(2);
  EXPECT_THAT(b_->seen.casts,
              ElementsAre("before", "after", "before", "after"));
  EXPECT_EQ(Echo(*a_, on_b_), "hi");
  EXPECT_EQ(Echo(*b_, on_a_), "hi");
  EXPECT_FALSE(hangs->has_value());
  // The old ones close once nobody can still be reading them.
  world_.RunFor(absl::Seconds(4));
  EXPECT_EQ(net_.OpenStreams(), 1u);
  // An answer to a call that went by a stream that is gone.
  b_->runtime.SendExit(Pid(), on_b_, ExitReason::Kill());
  world_.RunReady();
  ASSERT_TRUE(hangs->has_value());
  EXPECT_EQ(ReasonOf((*hangs)->status), "CALLEE_EXITED");
}

TEST_F(RenewalTest, WhenBothBeginOneIsEnough) {
  a_->peers->Renew("b");
  b_->peers->Renew("a");
  world_.RunReady();
  ExpectWhole(1);
  EXPECT_EQ(Echo(*a_, on_b_), "hi");
  EXPECT_EQ(Echo(*b_, on_a_), "hi");
}

TEST_F(RenewalTest, AFailedAttemptChangesNothing) {
  net_.unreachable_.insert("b");
  a_->peers->Renew("b");
  world_.RunReady();
  ExpectWhole(0);
  EXPECT_EQ(Echo(*a_, on_b_), "hi");
  net_.unreachable_.clear();
  a_->peers->Renew("b");
  world_.RunReady();
  ExpectWhole(1);
}

TEST_F(RenewalTest, WithoutAStreamThereIsNothingToRenew) {
  a_->peers->Renew("nobody");
  net_.CutAll();
  world_.RunReady();
  const size_t dials = net_.dials_;
  a_->peers->Renew("b");
  a_->peers->RenewAll();
  world_.RunReady();
  EXPECT_EQ(net_.dials_, dials);
}

TEST_F(RenewalTest, AfterwardsTheStreamIsWatchedAsEver) {
  a_->peers->Renew("b");
  world_.RunFor(absl::Minutes(1));
  ExpectWhole(1);
  net_.muted_ = true;
  world_.RunFor(absl::Seconds(2));
  EXPECT_THAT(a_->peers->Connected(), IsEmpty());
  EXPECT_THAT(b_->peers->Connected(), IsEmpty());
}

TEST_F(RenewalTest, TheLossOfEitherMeanwhileIsOneLoss) {
  // Its hello arrives, then nothing passes any more.
  net_.stalled_ = true;
  a_->peers->Renew("b");
  world_.RunReady();
  net_.CutAll();
  world_.RunReady();
  EXPECT_THAT(a_->peers->Connected(), IsEmpty());
  EXPECT_THAT(b_->peers->Connected(), IsEmpty());
  EXPECT_EQ(a_->peers->stats().streams_lost, 1u);
  EXPECT_EQ(b_->peers->stats().streams_lost, 1u);
  net_.stalled_ = false;
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Echo(*a_, on_b_), "hi");
}

class AgedRenewalTest : public RenewalTest {
 protected:
  AgedRenewalTest() { age_ = absl::Seconds(100); }
};

TEST_F(AgedRenewalTest, WhoDialedRenewsAtAnAge) {
  world_.RunFor(absl::Seconds(89));
  ExpectWhole(0);
  world_.RunFor(absl::Seconds(22));
  ExpectWhole(1);
  EXPECT_EQ(Echo(*b_, on_a_), "hi");
  world_.RunFor(absl::Seconds(111));
  ExpectWhole(2);
}

// -- Against the protocol -----------------------------------------------------

class RawRenewalTest : public RenewalTest {
 protected:
  void SetUp() override {
    RenewalTest::SetUp();
    old_ = Dial(/*renews=*/false);
  }
  std::shared_ptr<RawPeer> Dial(bool renews) {
    auto peer = std::make_shared<RawPeer>();
    peer->stream = raw_.Dial("a", peer);
    peer::v1::PeerMessage hello = RawPeer::Hello("z", {1, 5}, "a");
    hello.mutable_hello()->set_renews(renews);
    peer->Say(hello);
    world_.RunReady();
    return peer;
  }
  void Cast(RawPeer& peer, uint64_t seq, const std::string& bytes) {
    peer::v1::PeerMessage message;
    message.mutable_batch()->set_first_seq(seq);
    peer::v1::Cast* const cast =
        message.mutable_batch()->add_frames()->mutable_cast();
    *cast->mutable_target() = ServerRef(on_a_).ToProto();
    cast->set_method("/t.T/Note");
    cast->set_request(bytes);
    peer.Say(message);
    world_.RunReady();
  }
  void Switch(RawPeer& peer, uint64_t seq, uint64_t last_seq) {
    peer::v1::PeerMessage message;
    message.mutable_batch()->set_first_seq(seq);
    message.mutable_batch()->add_frames()->mutable_switch_()->set_last_seq(
        last_seq);
    peer.Say(message);
    world_.RunReady();
  }

  TestTransport raw_{&net_, &world_.AddLane("raw"), "raw"};
  std::shared_ptr<RawPeer> old_;
};

TEST_F(RawRenewalTest, TheNewStreamWaitsForTheEndOfTheOld) {
  auto next = Dial(/*renews=*/true);
  EXPECT_TRUE(next->heard.front().hello().renews());
  Cast(*next, 1, "third");
  Cast(*old_, 1, "first");
  EXPECT_THAT(a_->seen.casts, ElementsAre("first"));
  Cast(*old_, 2, "second");
  Switch(*old_, 3, 3);
  EXPECT_THAT(a_->seen.casts, ElementsAre("first", "second", "third"));
  // The last word on the old one, with its own number.
  ASSERT_FALSE(old_->Frames().empty());
  EXPECT_EQ(old_->Frames().back().switch_().last_seq(), old_->Frames().size());
  EXPECT_FALSE(old_->closed.has_value());
  world_.RunFor(absl::Seconds(1));
  Cast(*next, 2, "fourth");
  EXPECT_EQ(a_->seen.casts.back(), "fourth");
}

TEST_F(RawRenewalTest, NothingFollowsASwitch) {
  auto next = Dial(/*renews=*/true);
  Switch(*old_, 1, 1);
  Cast(*old_, 2, "late");
  // The old one was let go of; the new one is not touched by that.
  EXPECT_THAT(a_->seen.casts, IsEmpty());
  EXPECT_FALSE(next->closed.has_value());
}

TEST_F(RawRenewalTest, ASwitchWithAWrongNumberBreaksIt) {
  Dial(/*renews=*/true);
  Switch(*old_, 1, 7);
  EXPECT_TRUE(old_->closed.has_value());
  EXPECT_THAT(a_->peers->Connected(), ElementsAre("b"));
}

TEST_F(RawRenewalTest, ASwitchToNoOtherStreamBreaksIt) {
  Switch(*old_, 1, 1);
  EXPECT_TRUE(old_->closed.has_value());
  EXPECT_THAT(a_->peers->Connected(), ElementsAre("b"));
}

// -- Many seeds ---------------------------------------------------------------

TEST(RenewalSimTest, OrderAndTiesHoldWhateverTheTiming) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    SimNodes nodes(seed);
    SimNode& a = nodes.AddNode("a");
    SimNode& b = nodes.AddNode("b");
    const Pid here = nodes.Start(a, /*trap=*/true);
    const Pid there = nodes.Start(b);
    nodes.In(here, [there](Context& self) {
      EXPECT_TRUE(self.Link(there).ok());
      self.Monitor(there);
    });
    nodes.Settle();
    std::vector<std::string> sent;
    for (int i = 0; i < 100; ++i) {
      nodes.Post(here, [there, i](Context& self) {
        self.Send(there, Info(MakeInt64(i)));
      });
      sent.push_back(absl::StrCat("info ", i));
      switch (nodes.world.random().Below(8)) {
        case 0:
          a.peers->RenewAll();
          break;
        case 1:
          b.peers->RenewAll();
          break;
        default:
          break;
      }
      nodes.world.RunFor(nodes.world.random().Jitter(absl::Milliseconds(3)));
    }
    nodes.world.RunFor(absl::Seconds(5));
    EXPECT_EQ(nodes.Seen(there), sent);
    EXPECT_GT(a.peers->stats().streams_renewed, 1u);
    EXPECT_EQ(a.peers->stats().streams_lost, 0u);
    EXPECT_EQ(b.peers->stats().streams_lost, 0u);
    EXPECT_THAT(nodes.Seen(here), IsEmpty());
    nodes.Stop(there, ExitReason::Shutdown());
    nodes.Settle();
    EXPECT_THAT(nodes.Seen(here), testing::UnorderedElementsAre(
                                      "exit shutdown", "down shutdown"));
  }
}

}  // namespace
}  // namespace muster
