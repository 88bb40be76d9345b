#include "node/peer/peers.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/core/v1/core.pb.h"
#include "muster/peer/v1/peer.pb.h"
#include "node/peer/codec.h"
#include "node/types/status.h"
#include "tests/testkit/sim_world.h"
#include "tests/unit/node/peer/test_net.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class PeersTest : public ::testing::Test {
 protected:
  std::unique_ptr<TestNode> Node(const std::string& name, Epoch epoch,
                                 PeerOptions options = PeerOptions()) {
    return std::make_unique<TestNode>(&world_, &net_, &directory_, name, epoch,
                                      std::move(options));
  }
  void SetUp() override {
    a_ = Node("a", {1, 10});
    b_ = Node("b", {1, 20});
  }
  // Until nothing happens without time moving.
  void Settle() { world_.RunReady(); }
  void Connect() {
    const Pid pid = b_->Start();
    auto result = a_->Call(pid, "Echo", "hi");
    Settle();
    ASSERT_TRUE(result->has_value());
    ASSERT_TRUE((*result)->status.ok()) << (*result)->status;
  }
  // A stream to `a` as from node `z`, up to and with the hellos.
  std::shared_ptr<RawPeer> Dial(Epoch epoch, const std::string& node = "z") {
    auto peer = std::make_shared<RawPeer>();
    peer->stream = raw_.Dial("a", peer);
    peer->Say(RawPeer::Hello(node, epoch, "a"));
    Settle();
    return peer;
  }

  static void ExpectError(const std::optional<CallResult>& result,
                          absl::StatusCode code, const std::string& reason,
                          Outcome outcome) {
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(result->status.code(), code) << result->status;
    EXPECT_EQ(ReasonOf(result->status), reason) << result->status;
    EXPECT_EQ(OutcomeOf(result->status), outcome) << result->status;
  }

  SimWorld world_{1};
  TestNet net_;
  TestDirectory directory_;
  TestTransport raw_{&net_, &world_.AddLane("raw"), "raw"};
  std::unique_ptr<TestNode> a_;
  std::unique_ptr<TestNode> b_;
};

TEST_F(PeersTest, CallsGoBothWaysOnOneStream) {
  const Pid on_a = a_->Start();
  const Pid on_b = b_->Start();
  auto there = a_->Call(on_b, "Echo", "to b");
  Settle();
  auto back = b_->Call(on_a, "Echo", "to a");
  Settle();
  ASSERT_TRUE(there->has_value() && back->has_value());
  EXPECT_EQ((*there)->reply.ToBytes(), "to b") << (*there)->status;
  EXPECT_EQ((*back)->reply.ToBytes(), "to a") << (*back)->status;
  EXPECT_EQ(net_.dials_, 1u);
  EXPECT_THAT(a_->peers->Connected(), ElementsAre("b"));
  EXPECT_THAT(b_->peers->Connected(), ElementsAre("a"));
}

TEST_F(PeersTest, LocalNamesOnOtherNodesAreCalledByName) {
  SpawnOptions spawn;
  spawn.local_name = "log";
  b_->Start(std::move(spawn));
  auto result = a_->Call(ServerRef::Local("log", "b"), "Echo", "x");
  auto nobody = a_->Call(ServerRef::Local("nolog", "b"), "Echo", "x");
  Settle();
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ((*result)->reply.ToBytes(), "x") << (*result)->status;
  ExpectError(*nobody, absl::StatusCode::kNotFound, "NOPROC",
              Outcome::kNotExecuted);
}

TEST_F(PeersTest, CastsAndInfosArrive) {
  const Pid on_a = a_->Start();
  const Pid on_b = b_->Start();
  a_->Cast(on_b, "one");
  a_->runtime.Send(on_b, Info(core::v1::Epoch()));
  a_->runtime.Send(on_b, Info(std::string("a C++ value stays")));
  Settle();
  b_->Cast(on_a, "two");
  Settle();
  EXPECT_THAT(b_->seen.casts, ElementsAre("one"));
  EXPECT_THAT(b_->seen.infos, ElementsAre("muster.core.v1.Epoch"));
  EXPECT_THAT(a_->seen.casts, ElementsAre("two"));
  EXPECT_EQ(a_->peers->stats().signals_dropped, 1u);
}

TEST_F(PeersTest, AcknowledgedCastsSayWhetherTheyWereTaken) {
  const Pid on_b = b_->Start();
  auto taken = a_->CastAndWait(on_b, "x");
  auto gone = a_->CastAndWait(Pid{"b", {1, 20}, 999}, "x");
  auto old = a_->CastAndWait(Pid{"b", {1, 19}, 1}, "x");
  EXPECT_FALSE(taken->has_value());
  Settle();
  EXPECT_EQ(*taken, absl::OkStatus());
  EXPECT_EQ(ReasonOf(**gone), "NOPROC");
  EXPECT_EQ(ReasonOf(**old), "NOPROC");
  EXPECT_THAT(b_->seen.casts, ElementsAre("x"));
}

TEST_F(PeersTest, OrderOfOneSenderHoldsAndWritesAreCoalesced) {
  const Pid on_b = b_->Start();
  std::vector<std::string> sent;
  for (int i = 0; i < 10'000; ++i) {
    sent.push_back(std::to_string(i));
    a_->Cast(on_b, sent.back());
    if (i % 997 == 0) world_.Step();
  }
  Settle();
  EXPECT_EQ(b_->seen.casts, sent);
  const PeerStats stats = a_->peers->stats();
  EXPECT_EQ(stats.frames_written, 10'000u);
  EXPECT_LT(stats.batches_written, 100u);
  EXPECT_GE(stats.batches_written, 10'000 / kBatchFramesMax);
}

TEST_F(PeersTest, BatchesEndAtOneMebibyteUnlessOneFrameIsBigger) {
  Connect();
  const Pid on_b = b_->Start();
  const uint64_t before = a_->peers->stats().batches_written;
  a_->Cast(on_b, "first");  // Under way while the rest is queued.
  const std::string half(600'000, 'h');
  a_->Cast(on_b, half);
  a_->Cast(on_b, half);
  a_->Cast(on_b, std::string(3'000'000, 'b'));
  a_->Cast(on_b, "last");
  Settle();
  EXPECT_EQ(b_->seen.casts.size(), 5u);
  EXPECT_EQ(b_->seen.casts.back(), "last");
  EXPECT_EQ(a_->peers->stats().batches_written - before, 5u);
}

TEST_F(PeersTest, AnIdleStreamWritesAtOnceAndWaitsForNothing) {
  Connect();
  const Pid on_b = b_->Start();
  const uint64_t before = a_->peers->stats().batches_written;
  a_->Cast(on_b, "x");
  EXPECT_EQ(a_->peers->stats().batches_written, before + 1);
}

TEST_F(PeersTest, ALostStreamMakesWrittenCallsUnknown) {
  Connect();
  const Pid on_b = b_->Start();
  auto hanging = a_->Call(on_b, "Hang", "x");
  auto cast = a_->CastAndWait(on_b, "x");
  Settle();
  EXPECT_EQ(*cast, absl::OkStatus());
  EXPECT_FALSE(hanging->has_value());
  net_.CutAll();
  Settle();
  ExpectError(*hanging, absl::StatusCode::kAborted, "NOCONNECTION",
              Outcome::kUnknown);
  EXPECT_EQ(DetailOf((*hanging)->status, "node"), "b");
  EXPECT_THAT(a_->peers->Connected(), IsEmpty());
  EXPECT_THAT(b_->peers->Connected(), IsEmpty());
  EXPECT_EQ(a_->peers->stats().streams_lost, 1u);
  EXPECT_EQ(b_->peers->stats().streams_lost, 1u);
}

TEST_F(PeersTest, ALostStreamLeavesQueuedCallsNotExecuted) {
  Connect();
  const Pid on_b = b_->Start();
  net_.stalled_ = true;
  auto written = a_->Call(on_b, "Hang", "x");
  auto queued = a_->Call(on_b, "Hang", "x");
  auto cast = a_->CastAndWait(on_b, "x");
  net_.CutAll();
  Settle();
  ExpectError(*written, absl::StatusCode::kAborted, "NOCONNECTION",
              Outcome::kUnknown);
  ExpectError(*queued, absl::StatusCode::kUnavailable, "NODEDOWN",
              Outcome::kNotExecuted);
  EXPECT_EQ(ReasonOf(**cast), "NODEDOWN");
  EXPECT_EQ(OutcomeOf(**cast), Outcome::kNotExecuted);
}

TEST_F(PeersTest, TheNextUseDialsAgainAndOldRepliesStayAway) {
  Connect();
  const Pid on_b = b_->Start();
  auto lost = a_->Call(on_b, "Hang", "x");
  Settle();
  net_.CutAll();
  Settle();
  auto again = a_->Call(on_b, "Echo", "again");
  Settle();
  ASSERT_TRUE(again->has_value());
  EXPECT_EQ((*again)->reply.ToBytes(), "again") << (*again)->status;
  EXPECT_EQ(net_.dials_, 2u);
  b_->runtime.SendExit(Pid(), on_b, ExitReason::Kill());
  Settle();
  EXPECT_EQ(a_->peers->stats().frames_ignored, 0u);
}

TEST_F(PeersTest, AnUnreachableNodeIsDownAndFailsFastForAWhile) {
  const Pid on_b = b_->Start();
  net_.unreachable_.insert("b");
  auto first = a_->Call(on_b, "Echo", "x");
  auto second = a_->Call(on_b, "Echo", "x");
  Settle();
  for (const auto& result : {first, second}) {
    ExpectError(*result, absl::StatusCode::kUnavailable, "NODEDOWN",
                Outcome::kNotExecuted);
  }
  EXPECT_EQ(net_.dials_, 1u);
  auto soon = a_->Call(on_b, "Echo", "x");
  ExpectError(*soon, absl::StatusCode::kUnavailable, "NODEDOWN",
              Outcome::kNotExecuted);
  EXPECT_EQ(net_.dials_, 1u);
  net_.unreachable_.clear();
  world_.RunFor(absl::Milliseconds(150));
  auto later = a_->Call(on_b, "Echo", "x");
  Settle();
  ASSERT_TRUE(later->has_value());
  EXPECT_TRUE((*later)->status.ok()) << (*later)->status;
  EXPECT_EQ(net_.dials_, 2u);
}

TEST_F(PeersTest, ANodeThatHasJoinedAnewIsDialedAtOnce) {
  const Pid on_b = b_->Start();
  net_.unreachable_.insert("b");
  auto first = a_->Call(on_b, "Echo", "x");
  Settle();
  ExpectError(*first, absl::StatusCode::kUnavailable, "NODEDOWN",
              Outcome::kNotExecuted);
  EXPECT_EQ(net_.dials_, 1u);
  // It is back, and a member, before the time is over for which all fails.
  net_.unreachable_.clear();
  ++directory_.nodes_["b"].epoch.revision;
  auto soon = a_->Call(ServerRef::Local("nobody", "b"), "Echo", "x");
  EXPECT_EQ(net_.dials_, 2u);
  Settle();
}

TEST_F(PeersTest, ANodeThatIsNoMemberIsDownAtOnce) {
  auto result = a_->Call(Pid{"nobody", {1, 1}, 1}, "Echo", "x");
  ExpectError(*result, absl::StatusCode::kUnavailable, "NODEDOWN",
              Outcome::kNotExecuted);
  EXPECT_EQ(net_.dials_, 0u);
}

TEST_F(PeersTest, SilenceEndsTheStreamOnBothSides) {
  Connect();
  const Pid on_b = b_->Start();
  auto hanging = a_->Call(on_b, "Hang", "x");
  world_.RunFor(absl::Seconds(10));  // Heartbeats keep it.
  EXPECT_FALSE(hanging->has_value());
  EXPECT_EQ(a_->peers->stats().streams_lost, 0u);
  net_.muted_ = true;
  world_.RunFor(absl::Milliseconds(1400));
  EXPECT_FALSE(hanging->has_value());
  world_.RunFor(absl::Milliseconds(600));
  ExpectError(*hanging, absl::StatusCode::kAborted, "NOCONNECTION",
              Outcome::kUnknown);
  EXPECT_THAT(b_->peers->Connected(), IsEmpty());
}

TEST_F(PeersTest, APausedNodeDoesNotBlameItsPeers) {
  Connect();
  world_.PauseLane(*a_->lane);
  // Less than what makes b lose patience.
  world_.RunFor(absl::Milliseconds(1300));
  world_.ResumeLane(*a_->lane);
  world_.RunFor(absl::Seconds(2));
  EXPECT_EQ(a_->peers->stats().streams_lost, 0u);
}

TEST_F(PeersTest, DeadlinesShrinkToWhatIsLeftWhenTheFrameLeaves) {
  auto peer = std::make_shared<RawPeer>();
  TestTransport z(&net_, &world_.AddLane("z"), "z");
  z.Serve([peer](std::shared_ptr<Stream> stream) {
    peer->stream = std::move(stream);
    return peer;
  });
  net_.Register(&z);
  directory_.nodes_["z"] = PeerAddress{"z", {1, 30}};
  auto result = a_->Call(Pid{"z", {1, 30}, 1}, "Echo", "x", absl::Seconds(5));
  auto expired =
      a_->Call(Pid{"z", {1, 30}, 1}, "Echo", "y", absl::Milliseconds(900));
  world_.RunFor(absl::Seconds(1));
  ExpectError(*expired, absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
              Outcome::kNotExecuted);
  peer->Say(RawPeer::Hello("z", {1, 30}, ""));
  Settle();
  ASSERT_EQ(peer->Frames().size(), 1u);
  EXPECT_EQ(peer->Frames()[0].call().request(), "x");
  EXPECT_EQ(peer->Frames()[0].call().meta().remaining().seconds(), 4);
  EXPECT_EQ(peer->Frames()[0].call().meta().remaining().nanos(), 0);
}

TEST_F(PeersTest, ExpiredCallsAreDroppedByTheOwner) {
  Connect();
  const Pid on_b = b_->Start();
  auto hang = a_->Call(on_b, "Hang", "x", absl::Milliseconds(700));
  world_.RunFor(absl::Seconds(1));
  ExpectError(*hang, absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
              Outcome::kUnknown);
  EXPECT_EQ(b_->seen.calls, 2u);
}

TEST_F(PeersTest, CrossedDialsLeaveOneStreamAndLoseNothing) {
  const Pid on_a = a_->Start();
  const Pid on_b = b_->Start();
  auto there = a_->Call(on_b, "Echo", "to b");
  auto back = b_->Call(on_a, "Echo", "to a");
  Settle();
  EXPECT_EQ(net_.dials_, 2u);
  ASSERT_TRUE(there->has_value() && back->has_value());
  EXPECT_EQ((*there)->reply.ToBytes(), "to b") << (*there)->status;
  EXPECT_EQ((*back)->reply.ToBytes(), "to a") << (*back)->status;
  EXPECT_EQ(net_.OpenStreams(), 1u);
  EXPECT_EQ(a_->peers->stats().streams_lost, 0u);
  EXPECT_EQ(b_->peers->stats().streams_lost, 0u);
  EXPECT_EQ(a_->peers->stats().streams_opened, 1u);
}

TEST_F(PeersTest, WhoIsRefusedAsADuplicateWaitsNotForEver) {
  auto peer = std::make_shared<RawPeer>();
  TestTransport z(&net_, &world_.AddLane("z"), "z");
  z.Serve([peer](std::shared_ptr<Stream> stream) {
    peer->stream = std::move(stream);
    return peer;
  });
  net_.Register(&z);
  directory_.nodes_["z"] = PeerAddress{"z", {1, 30}};
  auto result = a_->Call(Pid{"z", {1, 30}, 1}, "Echo", "x");
  Settle();
  peer::v1::PeerMessage refuse;
  refuse.mutable_refuse()->set_reason(peer::v1::Refuse::DUPLICATE);
  peer->Say(refuse);
  world_.RunFor(absl::Milliseconds(1900));
  EXPECT_FALSE(result->has_value());
  world_.RunFor(absl::Milliseconds(200));
  ExpectError(*result, absl::StatusCode::kUnavailable, "NODEDOWN",
              Outcome::kNotExecuted);
}

TEST_F(PeersTest, AnotherClusterIsRefused) {
  PeerOptions options;
  options.cluster_id = "other";
  auto c = Node("c", {1, 30}, std::move(options));
  auto result = a_->Call(Pid{"c", {1, 30}, 1}, "Echo", "x");
  Settle();
  ExpectError(*result, absl::StatusCode::kUnavailable, "NODEDOWN",
              Outcome::kNotExecuted);
  EXPECT_THAT(std::string((*result)->status.message()),
              HasSubstr("OTHER_CLUSTER"));
  EXPECT_THAT(a_->peers->Connected(), IsEmpty());
  EXPECT_EQ(net_.OpenStreams(), 0u);
}

TEST_F(PeersTest, ADeadEpochIsRefusedAndToldSo) {
  std::optional<Epoch> told;
  PeerOptions options;
  options.refused_as_dead = [&told](Epoch known) { told = known; };
  auto c = Node("c", {1, 30}, std::move(options));
  a_->peers->NodeDied("c", {1, 30});
  const Pid on_a = a_->Start();
  auto result = c->Call(on_a, "Echo", "x");
  Settle();
  ExpectError(*result, absl::StatusCode::kUnavailable, "NODEDOWN",
              Outcome::kNotExecuted);
  EXPECT_EQ(told, (Epoch{1, 30}));
}

TEST_F(PeersTest, ADeathThatBecomesKnownClosesTheStream) {
  Connect();
  const Pid on_b = b_->Start();
  auto hanging = a_->Call(on_b, "Hang", "x");
  Settle();
  a_->peers->NodeDied("b", {1, 19});
  Settle();
  EXPECT_FALSE(hanging->has_value());
  a_->peers->NodeDied("b", {1, 20});
  Settle();
  ExpectError(*hanging, absl::StatusCode::kAborted, "NOCONNECTION",
              Outcome::kUnknown);
  EXPECT_THAT(b_->peers->Connected(), IsEmpty());
}

TEST_F(PeersTest, ANewIncarnationReplacesTheOld) {
  auto old = Dial({1, 40});
  EXPECT_THAT(a_->peers->Connected(), ElementsAre("z"));
  auto young = Dial({1, 41});
  EXPECT_TRUE(old->closed.has_value());
  EXPECT_FALSE(young->closed.has_value());
  auto late = Dial({1, 40});
  ASSERT_FALSE(late->heard.empty());
  EXPECT_EQ(late->heard.back().refuse().reason(), peer::v1::Refuse::DEAD_EPOCH);
  EXPECT_EQ(Epoch::FromProto(late->heard.back().refuse().known_epoch()),
            (Epoch{1, 41}));
  EXPECT_TRUE(late->closed.has_value());
  EXPECT_FALSE(young->closed.has_value());
}

TEST_F(PeersTest, UnknownFramesAreIgnoredAndCounted) {
  auto peer = Dial({1, 40});
  peer::v1::PeerMessage message;
  message.mutable_batch()->set_first_seq(1);
  message.mutable_batch()->add_frames();  // Of no kind that we know.
  message.mutable_batch()->add_frames()->mutable_credit();
  message.mutable_batch()->add_frames()->mutable_reply()->set_call_id(99);
  peer->Say(message);
  peer->Say(peer::v1::PeerMessage());
  Settle();
  EXPECT_FALSE(peer->closed.has_value());
  EXPECT_EQ(a_->peers->stats().frames_received, 3u);
  EXPECT_EQ(a_->peers->stats().frames_ignored, 4u);
}

TEST_F(PeersTest, WhatBreaksTheProtocolBreaksTheStream) {
  for (int what = 0; what < 6; ++what) {
    auto peer = Dial({1, 40 + static_cast<uint64_t>(what)});
    ASSERT_FALSE(peer->closed.has_value());
    peer::v1::PeerMessage message;
    peer::v1::Batch* const batch = message.mutable_batch();
    switch (what) {
      case 0:  // A gap.
        batch->set_first_seq(2);
        batch->add_frames()->mutable_heartbeat();
        peer->Say(message);
        break;
      case 1:  // A frame again.
        batch->set_first_seq(1);
        batch->add_frames()->mutable_heartbeat();
        peer->Say(message);
        peer->Say(message);
        break;
      case 2:
        peer->stream->Write("\xFF\xFF\xFF");
        break;
      case 3:
        batch->set_first_seq(1);
        batch->add_frames()->mutable_call();
        peer->Say(message);
        break;
      case 4:
        peer->Say(RawPeer::Hello("z", {1, 99}, "a"));
        break;
      case 5:
        batch->set_first_seq(1);
        for (size_t i = 0; i <= kBatchFramesMax; ++i) batch->add_frames();
        peer->Say(message);
        break;
    }
    Settle();
    ASSERT_TRUE(peer->closed.has_value()) << what;
    EXPECT_EQ(peer->closed->code(), absl::StatusCode::kInvalidArgument) << what;
    EXPECT_NE(peer->closed->message(), "") << what;
    EXPECT_THAT(a_->peers->Connected(), IsEmpty());
  }
}

// A node is who its certificate says it is (guarantees 9.18).
TEST_F(PeersTest, AHelloOfAnotherThanTheCertificatesIsRefused) {
  directory_.nodes_["z"] = PeerAddress{"z", {1, 30}};
  net_.proofs_["raw"] = "y";
  const auto liar = Dial({1, 30});
  ASSERT_TRUE(liar->closed.has_value());
  EXPECT_EQ(liar->closed->code(), absl::StatusCode::kPermissionDenied)
      << *liar->closed;
  EXPECT_TRUE(liar->heard.empty());
  net_.proofs_["raw"] = "z";
  const auto honest = Dial({1, 30});
  EXPECT_FALSE(honest->closed.has_value());
  ASSERT_FALSE(honest->heard.empty());
  EXPECT_TRUE(honest->heard[0].has_hello());
}

TEST_F(PeersTest, ABatchBeforeTheHelloBreaksTheStream) {
  auto peer = std::make_shared<RawPeer>();
  peer->stream = raw_.Dial("a", peer);
  peer::v1::PeerMessage message;
  message.mutable_batch()->set_first_seq(1);
  peer->Say(message);
  Settle();
  EXPECT_TRUE(peer->closed.has_value());
}

TEST_F(PeersTest, AStreamWithoutHelloIsClosedInTheEnd) {
  auto peer = std::make_shared<RawPeer>();
  peer->stream = raw_.Dial("a", peer);
  world_.RunFor(absl::Milliseconds(2900));
  EXPECT_FALSE(peer->closed.has_value());
  world_.RunFor(absl::Milliseconds(200));
  EXPECT_TRUE(peer->closed.has_value());
}

TEST_F(PeersTest, TooLongAChainIsRefusedTheStreamLives) {
  auto peer = Dial({1, 40});
  peer::v1::PeerMessage message;
  message.mutable_batch()->set_first_seq(1);
  peer::v1::Call* const call =
      message.mutable_batch()->add_frames()->mutable_call();
  call->set_call_id(1);
  call->set_method("/t.T/Echo");
  call->mutable_target()->set_global("x");
  for (int i = 0; i < 17; ++i) call->mutable_meta()->add_chain();
  peer->Say(message);
  Settle();
  ASSERT_EQ(peer->Frames().size(), 1u);
  const peer::v1::Frame frame = peer->Frames()[0];
  const absl::Status status = FromRpcStatus(frame.reply().status());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  EXPECT_FALSE(peer->closed.has_value());
}

TEST_F(PeersTest, AFullQueueRefusesRequests) {
  PeerOptions options;
  options.queue_bytes_max = 1000;
  auto c = Node("c", {1, 30}, std::move(options));
  const Pid on_b = b_->Start();
  net_.stalled_ = true;
  const std::string big(600, 'x');
  auto first = c->Call(on_b, "Echo", big);
  auto second = c->Call(on_b, "Echo", big);
  ExpectError(*second, absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
              Outcome::kNotExecuted);
  EXPECT_GT(RetryDelayOf((*second)->status), absl::ZeroDuration());
  EXPECT_FALSE(first->has_value());
  c->Cast(on_b, big);
  EXPECT_EQ(c->peers->stats().signals_dropped, 1u);
}

TEST_F(PeersTest, MonitorsOfLocalProcessesAreAnswered) {
  auto peer = Dial({1, 40});
  const Pid on_a = a_->Start();
  peer::v1::PeerMessage message;
  peer::v1::Batch* const batch = message.mutable_batch();
  batch->set_first_seq(1);
  const auto monitor = [batch](uint64_t ref, const Pid& pid) {
    peer::v1::Monitor* const m = batch->add_frames()->mutable_monitor();
    m->set_ref(ref);
    *m->mutable_watcher() = Pid{"z", {1, 40}, 5}.ToProto();
    *m->mutable_target()->mutable_pid() = pid.ToProto();
  };
  monitor(1, on_a);
  monitor(2, on_a);
  monitor(3, Pid{"a", {1, 10}, 999});
  batch->add_frames()->mutable_demonitor()->set_ref(2);
  peer->Say(message);
  Settle();
  ASSERT_EQ(peer->Frames().size(), 1u);
  EXPECT_EQ(peer->Frames()[0].down().ref(), 3u);
  EXPECT_EQ(peer->Frames()[0].down().reason().kind(),
            core::v1::ExitReason::NOPROC);
  a_->runtime.SendExit(Pid(), on_a, ExitReason::Custom("boom"));
  Settle();
  ASSERT_EQ(peer->Frames().size(), 2u);
  const peer::v1::Down down = peer->Frames()[1].down();
  EXPECT_EQ(down.ref(), 1u);
  EXPECT_EQ(Pid::FromProto(down.pid()), on_a);
  EXPECT_EQ(Pid::FromProto(down.watcher()), (Pid{"z", {1, 40}, 5}));
  EXPECT_EQ(down.reason().text(), "boom");
}

TEST_F(PeersTest, ExplicitExitSignalsAreDelivered) {
  auto peer = Dial({1, 40});
  const Pid on_a = a_->Start();
  const Pid linked = a_->Start();
  peer::v1::PeerMessage message;
  message.mutable_batch()->set_first_seq(1);
  for (const Pid& pid : {on_a, linked}) {
    peer::v1::Exit* const exit =
        message.mutable_batch()->add_frames()->mutable_exit();
    *exit->mutable_from() = Pid{"z", {1, 40}, 5}.ToProto();
    *exit->mutable_to() = pid.ToProto();
    *exit->mutable_reason() = ExitReason::Kill().ToProto();
    exit->set_via_link(pid == linked);
  }
  peer->Say(message);
  Settle();
  EXPECT_EQ(a_->runtime.Find(on_a), nullptr);
  EXPECT_NE(a_->runtime.Find(linked), nullptr);
  EXPECT_EQ(a_->peers->stats().frames_ignored, 1u);
}

TEST_F(PeersTest, WhoseLinksAreMalformedLosesTheStream) {
  for (int what = 0; what < 2; ++what) {
    auto peer = Dial({1, 40 + static_cast<uint64_t>(what)});
    const Pid on_a = a_->Start();
    peer::v1::PeerMessage message;
    message.mutable_batch()->set_first_seq(1);
    peer::v1::Link* const link =
        message.mutable_batch()->add_frames()->mutable_link();
    // One without an id, one in the name of another node's process.
    link->set_link_id(what == 0 ? 0 : 7);
    *link->mutable_from() = Pid{what == 0 ? "z" : "b", {1, 40}, 5}.ToProto();
    *link->mutable_to() = on_a.ToProto();
    peer->Say(message);
    Settle();
    ASSERT_TRUE(peer->closed.has_value()) << what;
    EXPECT_EQ(peer->closed->code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(a_->runtime.Tables().links, 0u);
  }
}

TEST_F(PeersTest, NobodyEndsTheMonitorsOfAnotherStream) {
  const Pid watcher = a_->Start();
  const Pid on_b = b_->Start();
  const MonitorRef ref = a_->runtime.Monitor(watcher, on_b);
  Settle();
  auto peer = Dial({1, 40});
  peer::v1::PeerMessage message;
  message.mutable_batch()->set_first_seq(1);
  peer::v1::Down* const down =
      message.mutable_batch()->add_frames()->mutable_down();
  down->set_ref(ref.id);
  *down->mutable_pid() = on_b.ToProto();
  *down->mutable_reason() = ExitReason::Kill().ToProto();
  peer->Say(message);
  Settle();
  EXPECT_EQ(a_->peers->stats().frames_ignored, 1u);
  EXPECT_TRUE(a_->runtime.Demonitor(watcher, ref));
}

TEST_F(PeersTest, StreamsThatSayNothingAreFew) {
  PeerOptions options;
  options.half_open_max = 3;
  auto c = Node("c", {1, 30}, std::move(options));
  std::vector<std::shared_ptr<RawPeer>> silent;
  for (int i = 0; i < 5; ++i) {
    silent.push_back(std::make_shared<RawPeer>());
    silent.back()->stream = raw_.Dial("c", silent.back());
  }
  Settle();
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(silent[i]->closed.has_value(), i >= 3) << i;
  }
  EXPECT_EQ(silent[4]->closed->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(c->peers->Tables().half_open, 3u);
  // One that speaks makes room.
  silent[0]->Say(RawPeer::Hello("z", {1, 40}, "c"));
  Settle();
  silent.push_back(std::make_shared<RawPeer>());
  silent.back()->stream = raw_.Dial("c", silent.back());
  Settle();
  EXPECT_FALSE(silent.back()->closed.has_value());
}

TEST_F(PeersTest, RepliesWithoutRoomBecomeErrorsThatSaySo) {
  PeerOptions options;
  options.queue_bytes_max = 1000;
  auto c = Node("c", {1, 30}, std::move(options));
  const Pid on_c = c->Start();
  auto warm = a_->Call(on_c, "Echo", "hi");
  Settle();
  ASSERT_TRUE(warm->has_value());
  net_.stalled_ = true;  // The first reply is written and does not end.
  auto first = a_->Call(on_c, "Echo", std::string(600, 'x'));
  Settle();
  ASSERT_EQ(net_.stalled_streams_.size(), 2u);
  net_.stalled_streams_.front()->Written();  // That of the request.
  net_.stalled_streams_.erase(net_.stalled_streams_.begin());
  std::vector<std::shared_ptr<std::optional<CallResult>>> more;
  for (int i = 0; i < 5; ++i) {
    more.push_back(a_->Call(on_c, "Echo", std::string(600, 'x')));
  }
  Settle();
  net_.stalled_ = false;
  for (const auto& stream : net_.stalled_streams_) stream->Written();
  Settle();
  ASSERT_TRUE(first->has_value());
  size_t dropped = 0;
  for (const auto& result : more) {
    ASSERT_TRUE(result->has_value());
    if ((*result)->status.ok()) continue;
    ExpectError(*result, absl::StatusCode::kResourceExhausted, "REPLY_DROPPED",
                Outcome::kExecuted);
    ++dropped;
  }
  EXPECT_EQ(dropped, 2u);  // Three of 600 bytes find room below 2,000.
  EXPECT_EQ(c->peers->stats().streams_lost, 0u);
}

TEST_F(PeersTest, APeerThatTakesNothingLosesTheStreamBeforeASignalIsLost) {
  PeerOptions options;
  options.queue_bytes_max = 1000;
  auto c = Node("c", {1, 30}, std::move(options));
  const Pid on_b = b_->Start();
  c->Cast(on_b, "hi");
  Settle();
  net_.stalled_ = true;
  const ExitReason big = ExitReason::Custom(std::string(900, 'x'));
  // The first is under way, four find room, the next is one too many.
  for (int i = 0; i < 5; ++i) c->runtime.SendExit(Pid(), on_b, big);
  Settle();
  EXPECT_EQ(c->peers->stats().streams_lost, 0u);
  const Pid watcher = c->Start();
  c->runtime.Monitor(watcher, on_b);
  c->runtime.SendExit(Pid(), on_b, big);
  Settle();
  EXPECT_EQ(c->peers->stats().streams_lost, 1u);
  EXPECT_THAT(c->seen.infos, SizeIs(1));  // The monitor's Down.
  EXPECT_EQ(c->runtime.Tables().monitors, 0u);
  EXPECT_EQ(c->peers->Tables().queue_bytes, 0u);
}

TEST_F(PeersTest, AServerThatEndsFailsItsRemoteCaller) {
  Connect();
  const Pid on_b = b_->Start();
  auto result = a_->Call(on_b, "Die", "x");
  Settle();
  ExpectError(*result, absl::StatusCode::kAborted, "CALLEE_EXITED",
              Outcome::kUnknown);
}

TEST_F(PeersTest, EndingWithCallsUnderWayCompletesThem) {
  Connect();
  const Pid on_b = b_->Start();
  auto hanging = a_->Call(on_b, "Hang", "x");
  Settle();
  a_->peers.reset();
  EXPECT_TRUE(hanging->has_value());
  Settle();
  EXPECT_THAT(b_->peers->Connected(), IsEmpty());
}

}  // namespace
}  // namespace muster
