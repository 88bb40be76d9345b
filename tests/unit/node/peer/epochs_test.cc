// What an owner says has effect only while its epoch stands: replies at the
// caller, messages at the receiver (guarantees R8, R9, G5, G6, G8).
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/peer/v1/peer.pb.h"
#include "node/peer/call_window.h"
#include "node/peer/codec.h"
#include "node/peer/peers.h"
#include "node/peer/seen_epochs.h"
#include "node/types/pid.h"
#include "node/types/proto_time.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"
#include "tests/testkit/fake_name_registry.h"
#include "tests/testkit/sim_world.h"
#include "tests/unit/node/peer/test_net.h"

namespace muster {
namespace {

using peer::v1::Frame;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr Epoch kEpoch{1, 40};
const Pid kOwner{"z", {1, 5}, 7};

// Node `a` calls, or serves, a peer `z` that the test plays.
class EpochsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    PeerOptions options;
    options.refused_as_dead = [this](Epoch) { ++doubted_; };
    a_ = std::make_unique<TestNode>(&world_, &net_, &directory_, "a",
                                    Epoch{1, 10}, std::move(options));
    directory_.nodes_["z"] = PeerAddress{"z", {1, 5}};
    z_ = std::make_shared<RawPeer>();
    z_->stream = raw_.Dial("a", z_);
    z_->Say(RawPeer::Hello("z", {1, 5}, "a"));
    world_.RunReady();
  }
  static NameEntry Entry(const std::string& name, const Pid& pid, Epoch epoch) {
    NameEntry entry;
    entry.name = name;
    entry.pid = pid;
    entry.epoch = epoch;
    return entry;
  }
  void Say(Frame frame) {
    peer::v1::PeerMessage message;
    message.mutable_batch()->set_first_seq(++seq_);
    *message.mutable_batch()->add_frames() = std::move(frame);
    z_->Say(message);
    world_.RunReady();
  }
  // Answers the latest call that `z` has heard.
  void Answer(Epoch epoch, std::optional<absl::Duration> remaining,
              const std::string& name = "", const Pid& owner = Pid()) {
    Frame frame;
    peer::v1::Reply* const reply = frame.mutable_reply();
    for (const Frame& heard : z_->Frames()) {
      if (heard.has_call()) reply->set_call_id(heard.call().call_id());
    }
    reply->set_response("done");
    *reply->mutable_epoch() = epoch.ToProto();
    if (remaining.has_value()) {
      *reply->mutable_fence_remaining() = ToProtoDuration(*remaining);
    }
    reply->set_name(name);
    if (!owner.empty()) *reply->mutable_owner() = owner.ToProto();
    Say(std::move(frame));
  }
  std::shared_ptr<std::optional<CallResult>> CallX() {
    a_->names.Put(Entry("x", kOwner, kEpoch));
    auto result = a_->Call("x", "Echo", "hi");
    world_.RunReady();
    return result;
  }
  // A call of `z`'s, as it travels.
  Frame CallFrame(uint64_t id, const ServerRef& target, Epoch target_epoch,
                  const std::string& payload = "hi") {
    Request request(target, "/t.T/Echo", Payload::FromBytes(payload));
    request.meta.target_epoch = target_epoch;
    return *EncodeCall(request, Pid(), id, world_.clock().Boot());
  }
  // The answers that `z` has heard.
  std::vector<peer::v1::Reply> Replies() const {
    std::vector<peer::v1::Reply> replies;
    for (const Frame& frame : z_->Frames()) {
      if (frame.has_reply()) replies.push_back(frame.reply());
    }
    return replies;
  }
  static void ExpectUnknown(const std::optional<CallResult>& result) {
    ASSERT_TRUE(result.has_value());
    EXPECT_TRUE(absl::IsAborted(result->status)) << result->status;
    EXPECT_EQ(ReasonOf(result->status), "FENCED");
    EXPECT_EQ(OutcomeOf(result->status), Outcome::kUnknown);
  }

  SimWorld world_{1};
  TestNet net_;
  TestDirectory directory_;
  TestTransport raw_{&net_, &world_.AddLane("raw"), "raw"};
  std::unique_ptr<TestNode> a_;
  std::shared_ptr<RawPeer> z_;
  uint64_t seq_ = 0;
  int doubted_ = 0;
};

// -- Replies (guarantees R8) --------------------------------------------------

TEST_F(EpochsTest, AReplyWithinItsFenceIsTaken) {
  auto result = CallX();
  world_.RunFor(absl::Milliseconds(800));  // As much as F/R of 1 s allows.
  Answer(kEpoch, absl::Seconds(1));
  ASSERT_TRUE(result->has_value());
  EXPECT_TRUE((*result)->status.ok()) << (*result)->status;
  EXPECT_EQ(a_->peers->stats().replies_confirmed, 0u);
}

TEST_F(EpochsTest, ALaterOneIsTakenIfTheStoreConfirmsIt) {
  auto result = CallX();
  world_.RunFor(absl::Milliseconds(801));
  Answer(kEpoch, absl::Seconds(1));
  ASSERT_TRUE(result->has_value());
  EXPECT_TRUE((*result)->status.ok()) << (*result)->status;
  EXPECT_EQ(a_->peers->stats().replies_confirmed, 1u);
}

TEST_F(EpochsTest, ElseItsOutcomeIsUnknown) {
  auto result = CallX();
  world_.RunFor(absl::Milliseconds(801));
  a_->names.Erase("x");
  a_->names.Bury("z");
  Answer(kEpoch, absl::Seconds(1));
  ExpectUnknown(*result);
  EXPECT_EQ(DetailOf((*result)->status, "epoch"), kEpoch.ToString());
}

// A move or a restart, of which this node has not heard: it ran before.
TEST_F(EpochsTest, ALateOneIsTakenFromWhoHasGivenTheNameAway) {
  auto result = CallX();
  world_.RunFor(absl::Milliseconds(801));
  a_->names.Erase("x");
  Answer(kEpoch, absl::Seconds(1));
  ASSERT_TRUE(result->has_value());
  EXPECT_TRUE((*result)->status.ok()) << (*result)->status;
}

TEST_F(EpochsTest, AReplyOfAnEpochKnownToBeOverIsNotTaken) {  // G8
  auto result = CallX();
  a_->names.Put(Entry("x", Pid{"b", {1, 6}, 1}, {1, 60}));
  directory_.nodes_.erase("z");  // Attested dead; the reply was on its way.
  Answer(kEpoch, absl::Seconds(1));
  ExpectUnknown(*result);
  EXPECT_EQ(a_->peers->stats().replies_confirmed, 0u);
}

TEST_F(EpochsTest, OfALivingNodeItStandsThoughTheNameHasMovedSince) {
  auto result = CallX();
  a_->names.Put(Entry("x", Pid{"b", {1, 6}, 1}, {1, 60}));
  Answer(kEpoch, absl::Seconds(1));
  ASSERT_TRUE(result->has_value());
  EXPECT_TRUE((*result)->status.ok()) << (*result)->status;
  EXPECT_EQ(a_->peers->stats().replies_confirmed, 1u);
}

// The list of members says that it lives, and is older than the claim of who
// has followed.
TEST_F(EpochsTest, WhetherItLivesTheStoreSays) {  // guarantees G8, R3
  auto result = CallX();
  a_->names.Put(Entry("x", Pid{"b", {1, 6}, 1}, {1, 60}));
  a_->names.Bury("z");
  Answer(kEpoch, absl::Seconds(1));
  ExpectUnknown(*result);
}

TEST_F(EpochsTest, ANameWhoseFenceNeverClosesNeedsNoCheck) {  // R16
  auto result = CallX();
  world_.RunFor(absl::Seconds(1));
  a_->names.Erase("x");
  Answer(kEpoch, std::nullopt);
  ASSERT_TRUE(result->has_value());
  EXPECT_TRUE((*result)->status.ok()) << (*result)->status;
}

TEST_F(EpochsTest, WhoCallsAProcessLearnsUnderWhichNameItAnswers) {
  a_->names.Put(Entry("x", kOwner, kEpoch));
  auto good = a_->Call(kOwner, "Echo", "hi");
  world_.RunFor(absl::Seconds(1));
  Answer(kEpoch, absl::Seconds(1), "x");
  ASSERT_TRUE(good->has_value());
  EXPECT_TRUE((*good)->status.ok()) << (*good)->status;
  auto bad = a_->Call(kOwner, "Echo", "hi");
  world_.RunFor(absl::Seconds(1));
  a_->names.Bury("z");
  Answer({1, 39}, absl::Seconds(1), "x");
  ExpectUnknown(*bad);
}

TEST_F(EpochsTest, WhoRelaysAReplyIsNotItsOwner) {  // guarantees G8, R8
  const Pid moved{"y", {1, 6}, 3};
  directory_.nodes_["y"] = PeerAddress{"y", {1, 6}};
  auto good = CallX();
  a_->names.Put(Entry("x", moved, {1, 60}));
  world_.RunFor(absl::Milliseconds(801));
  Answer({1, 60}, absl::Seconds(1), "", moved);
  ASSERT_TRUE(good->has_value());
  EXPECT_TRUE((*good)->status.ok()) << (*good)->status;
  EXPECT_EQ(a_->peers->stats().replies_confirmed, 1u);
  // `z` lives; `y` does not, and it has a successor.
  auto bad = a_->Call(kOwner, "Echo", "hi");
  world_.RunReady();
  directory_.nodes_.erase("y");
  a_->names.Put(Entry("x", Pid{"b", {1, 7}, 1}, {1, 70}));
  Answer({1, 60}, absl::Seconds(1), "x", moved);
  ExpectUnknown(*bad);
}

// A server that has moved from `a` to `y`; a call of `z`'s that waited at `a`
// is sent on, and its reply comes back through `a`.
class RelayTest : public EpochsTest {
 protected:
  void SetUp() override {
    EpochsTest::SetUp();
    const Pid here = a_->StartGlobal("x", kEpoch);
    directory_.nodes_["y"] = PeerAddress{"y", {1, 6}};
    y_->stream = raw_.Dial("a", y_);
    y_->Say(RawPeer::Hello("y", {1, 6}, "a"));
    world_.RunReady();
    a_->runtime.Hold(here, absl::Seconds(1), [](absl::StatusOr<Payload>) {});
    Say(CallFrame(1, ServerRef::Global("x"), kEpoch));
    a_->names.Put(Entry("x", kMoved, {1, 60}));
    a_->runtime.HandOff(here, ServerRef::Alias(kMoved, 99));
    world_.RunReady();
    EXPECT_THAT(Replies(), IsEmpty());
  }
  void AnswerOfY(absl::Duration remaining) {
    peer::v1::PeerMessage message;
    message.mutable_batch()->set_first_seq(1);
    peer::v1::Reply* const reply =
        message.mutable_batch()->add_frames()->mutable_reply();
    for (const Frame& heard : y_->Frames()) {
      if (heard.has_call()) reply->set_call_id(heard.call().call_id());
    }
    EXPECT_NE(reply->call_id(), 0u);
    reply->set_response("done");
    *reply->mutable_epoch() = Epoch{1, 60}.ToProto();
    *reply->mutable_fence_remaining() = ToProtoDuration(remaining);
    y_->Say(message);
    world_.RunReady();
  }

  const Pid kMoved{"y", {1, 6}, 3};
  std::shared_ptr<RawPeer> y_ = std::make_shared<RawPeer>();
};

TEST_F(RelayTest, ARelayedReplyKeepsItsOwnersFence) {  // guarantees G8, R8
  world_.RunFor(absl::Milliseconds(300));
  AnswerOfY(absl::Seconds(1));
  ASSERT_THAT(Replies(), SizeIs(1));
  const peer::v1::Reply reply = Replies()[0];
  EXPECT_FALSE(reply.has_status()) << reply.status().message();
  EXPECT_EQ(Epoch::FromProto(reply.epoch()), (Epoch{1, 60}));
  // What of 1 s may count here, less what it has taken since.
  EXPECT_EQ(FromProtoDuration(reply.fence_remaining()),
            absl::Milliseconds(500));
  EXPECT_EQ(Pid::FromProto(reply.owner()).node, "y");
  EXPECT_EQ(Pid::FromProto(reply.owner()).epoch, (Epoch{1, 6}));
}

TEST_F(RelayTest, OneThatIsLateAlreadyEndsUnknown) {
  world_.RunFor(absl::Milliseconds(801));
  AnswerOfY(absl::Seconds(1));
  EXPECT_EQ(a_->peers->stats().replies_confirmed, 1u);
  ASSERT_THAT(Replies(), SizeIs(1));
  const absl::Status status = FromRpcStatus(Replies()[0].status());
  EXPECT_EQ(ReasonOf(status), "FENCED") << status;
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
}

// -- Messages (guarantees R9) -------------------------------------------------

TEST_F(EpochsTest, AnOlderEpochIsRefusedWithTheLocation) {
  const Pid here = a_->StartGlobal("x", kEpoch);
  Say(CallFrame(1, ServerRef::Global("x"), {1, 30}));
  ASSERT_THAT(Replies(), SizeIs(1));
  const absl::Status status = FromRpcStatus(Replies()[0].status());
  EXPECT_EQ(ReasonOf(status), "FENCED");
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  EXPECT_EQ(DetailOf(status, "node"), "a");
  EXPECT_EQ(DetailOf(status, "pid"), here.ToString());
  EXPECT_EQ(DetailOf(status, "epoch"), kEpoch.ToString());
  EXPECT_EQ(a_->seen.calls, 0u);
  EXPECT_EQ(a_->peers->stats().frames_fenced, 1u);
}

TEST_F(EpochsTest, ANewerEpochMakesTheOwnerAskAndFreeze) {
  a_->StartGlobal("x", kEpoch);
  Say(CallFrame(1, ServerRef::Global("x"), {1, 50}));
  EXPECT_EQ(ReasonOf(FromRpcStatus(Replies()[0].status())), "FENCED");
  EXPECT_EQ(doubted_, 0);  // The store knows of no other owner.
  a_->names.Put(Entry("x", Pid{"b", {1, 6}, 1}, {1, 60}));
  Say(CallFrame(2, ServerRef::Global("x"), {1, 60}));
  EXPECT_EQ(a_->seen.calls, 0u);
  EXPECT_EQ(doubted_, 1);
}

TEST_F(EpochsTest, WhatAnOldOwnerSendsIsRefused) {
  const Pid here = a_->Start();
  const auto from = [&](uint64_t id, Epoch epoch) {
    Frame frame = CallFrame(id, here, Epoch());
    frame.mutable_call()->mutable_meta()->set_sender_name("s");
    *frame.mutable_call()->mutable_meta()->mutable_sender_epoch() =
        epoch.ToProto();
    return frame;
  };
  Say(from(1, {1, 41}));
  EXPECT_EQ(a_->seen.calls, 1u);
  Say(from(2, {1, 40}));
  EXPECT_EQ(a_->seen.calls, 1u);
  const absl::Status status = FromRpcStatus(Replies()[1].status());
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_EQ(ReasonOf(status), "FENCED");
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  EXPECT_EQ(DetailOf(status, "sender"), "s");
  EXPECT_EQ(DetailOf(status, "epoch"), (Epoch{1, 41}).ToString());
  Say(from(3, {1, 42}));
  EXPECT_EQ(a_->seen.calls, 2u);
  EXPECT_EQ(a_->peers->Seen("s"), (Epoch{1, 42}));
}

TEST_F(EpochsTest, ACastForAnotherEpochComesBackWhole) {
  a_->StartGlobal("x", kEpoch);
  Request request(ServerRef::Global("x"), "/t.T/Note",
                  Payload::FromBytes("note"));
  request.meta.target_epoch = Epoch{1, 30};
  Say(*EncodeCast(request, Pid(), 0, world_.clock().Boot()));
  EXPECT_THAT(a_->seen.casts, IsEmpty());
  std::vector<peer::v1::Returned> returned;
  for (const Frame& frame : z_->Frames()) {
    if (frame.has_returned()) returned.push_back(frame.returned());
  }
  ASSERT_THAT(returned, SizeIs(1));
  EXPECT_EQ(returned[0].cast().request(), "note");
  EXPECT_EQ(Epoch::FromProto(returned[0].cast().meta().target_epoch()),
            (Epoch{1, 30}));
  EXPECT_EQ(ReasonOf(FromRpcStatus(returned[0].status())), "FENCED");
  EXPECT_EQ(a_->peers->stats().signals_dropped, 0u);
}

TEST_F(EpochsTest, WhoseEpochDiesIsToldBeforeItsStreamCloses) {
  a_->peers->NodeDied("z", {1, 5});
  world_.RunReady();
  EXPECT_EQ(z_->heard.back().refuse().reason(), peer::v1::Refuse::DEAD_EPOCH);
  EXPECT_EQ(Epoch::FromProto(z_->heard.back().refuse().known_epoch()),
            (Epoch{1, 5}));
  EXPECT_TRUE(z_->closed.has_value());
}

TEST_F(EpochsTest, WhoIsToldSoFreezesAtOnce) {
  peer::v1::PeerMessage message;
  message.mutable_refuse()->set_reason(peer::v1::Refuse::DEAD_EPOCH);
  *message.mutable_refuse()->mutable_known_epoch() = Epoch{1, 10}.ToProto();
  z_->Say(message);
  world_.RunReady();
  EXPECT_EQ(doubted_, 1);
}

// -- At most once (guarantees G6) ---------------------------------------------

TEST_F(EpochsTest, ACallThatComesTwiceRunsOnce) {
  const Pid here = a_->Start();
  Say(CallFrame(1, here, Epoch()));
  Say(CallFrame(1, here, Epoch()));
  EXPECT_EQ(a_->seen.calls, 1u);
  EXPECT_THAT(Replies(), SizeIs(1));
}

TEST_F(EpochsTest, AnIdWithAnotherPayloadIsRefused) {  // guarantees section 10
  const Pid here = a_->Start();
  Say(CallFrame(1, here, Epoch()));
  Say(CallFrame(1, here, Epoch(), "other"));
  EXPECT_EQ(a_->seen.calls, 1u);
  ASSERT_THAT(Replies(), SizeIs(2));
  const absl::Status status = FromRpcStatus(Replies()[1].status());
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(ReasonOf(status), "CALL_ID_REUSED");
}

TEST_F(EpochsTest, AnIdOlderThanTheWindowIsUnknown) {  // guarantees section 7
  const Pid here = a_->Start();
  for (uint64_t id = 10; id < 10 + 4097; ++id) {
    Say(CallFrame(id, here, Epoch()));
  }
  Say(CallFrame(9, here, Epoch()));
  EXPECT_EQ(a_->seen.calls, 4097u);
  const absl::Status status = FromRpcStatus(Replies().back().status());
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_EQ(ReasonOf(status), "CALL_EXPIRED");
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
}

TEST(CallWindowTest, RemembersTheGreatestIds) {
  using Verdict = CallWindow::Verdict;
  CallWindow window(2);
  EXPECT_EQ(window.Admit(5, 1), Verdict::kNew);
  EXPECT_EQ(window.Admit(3, 1), Verdict::kNew);  // Sent by another thread.
  EXPECT_EQ(window.Admit(5, 1), Verdict::kAgain);
  EXPECT_EQ(window.Admit(5, 2), Verdict::kReused);
  EXPECT_EQ(window.Admit(6, 1), Verdict::kNew);
  EXPECT_EQ(window.Admit(3, 1), Verdict::kExpired);
  EXPECT_EQ(window.Admit(4, 1), Verdict::kNew);
  EXPECT_EQ(window.Admit(4, 1), Verdict::kExpired);
  EXPECT_EQ(window.Admit(6, 1), Verdict::kAgain);
}

TEST(SeenEpochsTest, NeverGoBackAndAreBounded) {  // guarantees G5, G14
  FakeNameRegistry names;
  SeenEpochs seen(&names, 1);
  NameEntry entry;
  entry.name = "x";
  entry.epoch = {1, 5};
  names.Put(entry);
  EXPECT_FALSE(seen.Admit("x", {1, 4}));
  EXPECT_TRUE(seen.Admit("x", {1, 5}));
  EXPECT_TRUE(seen.Admit("x", {1, 7}));
  EXPECT_FALSE(seen.Admit("x", {1, 6}));
  EXPECT_EQ(seen.Greatest("x"), (Epoch{1, 7}));
  // No room: it is let through and not learned.
  EXPECT_TRUE(seen.Admit("y", {1, 9}));
  EXPECT_EQ(seen.Greatest("y"), Epoch());
  // The registry has caught up: its place is free.
  entry.epoch = {1, 8};
  names.Put(entry);
  EXPECT_TRUE(seen.Admit("y", {1, 9}));
  EXPECT_EQ(seen.Greatest("y"), (Epoch{1, 9}));
  EXPECT_EQ(seen.Greatest("x"), (Epoch{1, 8}));
}

}  // namespace
}  // namespace muster
