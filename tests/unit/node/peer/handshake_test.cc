#include "node/peer/handshake.h"

#include <string>

#include "gtest/gtest.h"

namespace muster {
namespace {

using peer::v1::Hello;
using peer::v1::Refuse;

Hello MakeHello(const std::string& node, Epoch epoch,
                const std::string& to_node = "") {
  Hello hello;
  hello.set_protocol_min(1);
  hello.set_protocol_max(1);
  hello.set_cluster_id("c");
  hello.set_generation(1);
  hello.set_node(node);
  *hello.mutable_node_epoch() = epoch.ToProto();
  hello.set_to_node(to_node);
  return hello;
}

// Node "a" hears from "b", who dialed.
HandshakeInput Accepting() {
  HandshakeInput input;
  input.mine = MakeHello("a", {1, 10});
  input.theirs = MakeHello("b", {1, 20}, "a");
  return input;
}

// Node "a" has dialed "b" and hears its answer.
HandshakeInput Dialing() {
  HandshakeInput input;
  input.mine = MakeHello("a", {1, 10}, "b");
  input.theirs = MakeHello("b", {1, 20});
  input.dialed_by_us = true;
  input.dialed_node = "b";
  return input;
}

void ExpectRefused(const HandshakeInput& input, Refuse::Reason reason) {
  const HandshakeDecision decision = DecideHandshake(input);
  EXPECT_FALSE(decision.accept);
  EXPECT_EQ(decision.reason, reason) << decision.text;
  EXPECT_NE(decision.text, "");
}

TEST(HandshakeTest, AcceptsAPeerOfTheSameCluster) {
  for (const HandshakeInput& input : {Accepting(), Dialing()}) {
    const HandshakeDecision decision = DecideHandshake(input);
    EXPECT_TRUE(decision.accept) << decision.text;
    EXPECT_EQ(decision.protocol, 1u);
    EXPECT_FALSE(decision.ends_existing);
  }
}

TEST(HandshakeTest, SpeaksTheGreatestCommonVersion) {
  // Ranges of mine and theirs, and what comes of them; 0: refused.
  const struct {
    uint32_t my_min, my_max, their_min, their_max, want;
  } kCases[] = {
      {1, 1, 1, 1, 1}, {1, 3, 2, 5, 3}, {2, 5, 1, 3, 3}, {1, 5, 2, 3, 3},
      {2, 3, 1, 5, 3}, {1, 2, 3, 4, 0}, {3, 4, 1, 2, 0}, {1, 2, 2, 3, 2},
  };
  for (const auto& c : kCases) {
    HandshakeInput input = Accepting();
    input.mine.set_protocol_min(c.my_min);
    input.mine.set_protocol_max(c.my_max);
    input.theirs.set_protocol_min(c.their_min);
    input.theirs.set_protocol_max(c.their_max);
    const HandshakeDecision decision = DecideHandshake(input);
    EXPECT_EQ(decision.protocol, c.want);
    EXPECT_EQ(decision.accept, c.want != 0);
    if (c.want == 0) {
      EXPECT_EQ(decision.reason, Refuse::VERSION);
    }
  }
}

TEST(HandshakeTest, RefusesMalformedHellos) {
  for (int what = 0; what < 8; ++what) {
    HandshakeInput input = Accepting();
    Hello& theirs = input.theirs;
    switch (what) {
      case 0:
        theirs = Hello();
        break;
      case 1:
        theirs.set_protocol_min(0);
        break;
      case 2:
        theirs.set_protocol_min(2);
        break;
      case 3:
        theirs.clear_cluster_id();
        break;
      case 4:
        theirs.clear_node();
        break;
      case 5:
        theirs.set_node("No Name\n");
        break;
      case 6:
        theirs.set_node(std::string(100'000, 'x'));
        break;
      case 7:
        theirs.clear_node_epoch();
        break;
    }
    ExpectRefused(input, Refuse::MALFORMED);
    EXPECT_LT(MakeRefuse(DecideHandshake(input)).text().size(), 600u);
  }
}

TEST(HandshakeTest, RefusesAnotherCluster) {
  HandshakeInput input = Accepting();
  input.theirs.set_cluster_id("other");
  ExpectRefused(input, Refuse::OTHER_CLUSTER);
  input = Dialing();
  input.theirs.set_cluster_id("other");
  ExpectRefused(input, Refuse::OTHER_CLUSTER);
}

TEST(HandshakeTest, RefusesAnotherGenerationEitherWay) {
  for (const uint64_t generation : {0, 2}) {
    HandshakeInput input = Accepting();
    input.theirs.set_generation(generation);
    ExpectRefused(input, Refuse::GENERATION);
  }
}

TEST(HandshakeTest, RefusesWhoMeantAnotherNode) {
  for (const char* to : {"", "c", "b"}) {
    HandshakeInput input = Accepting();
    input.theirs.set_to_node(to);
    ExpectRefused(input, Refuse::WRONG_NODE);
  }
}

TEST(HandshakeTest, RefusesAnotherNodeThanTheDialedOne) {
  HandshakeInput input = Dialing();
  input.theirs.set_node("c");
  ExpectRefused(input, Refuse::WRONG_NODE);
}

TEST(HandshakeTest, ANodeDoesNotTalkToItself) {
  HandshakeInput input = Accepting();
  input.theirs.set_node("a");
  *input.theirs.mutable_node_epoch() = Epoch{1, 10}.ToProto();
  ExpectRefused(input, Refuse::WRONG_NODE);
  *input.theirs.mutable_node_epoch() = Epoch{1, 11}.ToProto();
  ExpectRefused(input, Refuse::WRONG_NODE);
}

TEST(HandshakeTest, AnOldIncarnationOfThisNodeIsToldThatItIsDead) {
  HandshakeInput input = Accepting();
  input.theirs.set_node("a");
  *input.theirs.mutable_node_epoch() = Epoch{1, 9}.ToProto();
  ExpectRefused(input, Refuse::DEAD_EPOCH);
  EXPECT_EQ(DecideHandshake(input).known_epoch, (Epoch{1, 10}));
}

TEST(HandshakeTest, RefusesAnEpochBelowTheKnownOne) {
  for (HandshakeInput input : {Accepting(), Dialing()}) {
    input.known_epoch = {1, 19};
    EXPECT_TRUE(DecideHandshake(input).accept);
    input.known_epoch = {1, 20};
    EXPECT_TRUE(DecideHandshake(input).accept);
    input.known_epoch = {1, 21};
    ExpectRefused(input, Refuse::DEAD_EPOCH);
    EXPECT_EQ(DecideHandshake(input).known_epoch, (Epoch{1, 21}));
    input.known_epoch = {2, 1};
    ExpectRefused(input, Refuse::DEAD_EPOCH);
  }
}

TEST(HandshakeTest, RefusesAnEpochThatIsKnownToBeDead) {
  HandshakeInput input = Accepting();
  input.dead_epoch = {1, 19};
  EXPECT_TRUE(DecideHandshake(input).accept);
  input.dead_epoch = {1, 20};
  ExpectRefused(input, Refuse::DEAD_EPOCH);
  EXPECT_EQ(DecideHandshake(input).known_epoch, (Epoch{1, 20}));
}

// Every combination of who is smaller, who opened which stream, and how the
// epochs compare.
TEST(HandshakeTest, OfTwoStreamsTheRightOneStays) {
  for (const bool ours_is_smaller : {true, false}) {
    for (const bool new_by_us : {true, false}) {
      for (const bool old_by_us : {true, false}) {
        for (const uint64_t old_revision : {0, 19, 20, 21}) {
          const std::string me = ours_is_smaller ? "a" : "c";
          HandshakeInput input;
          input.mine = MakeHello(me, {1, 10}, new_by_us ? "b" : "");
          input.theirs = MakeHello("b", {1, 20}, new_by_us ? "" : me);
          input.dialed_by_us = new_by_us;
          if (new_by_us) input.dialed_node = "b";
          input.existing.emplace();
          input.existing->dialed_by_us = old_by_us;
          // No epoch: their hello on it is still to come.
          if (old_revision != 0) input.existing->epoch = {1, old_revision};
          const HandshakeDecision decision = DecideHandshake(input);

          const bool smaller_opened_new = new_by_us == ours_is_smaller;
          bool stays;
          Refuse::Reason reason = Refuse::REASON_UNSPECIFIED;
          if (old_revision == 21) {
            stays = false;
            reason = Refuse::DEAD_EPOCH;
          } else if (old_revision == 19) {
            stays = true;
          } else {
            stays = new_by_us == old_by_us || smaller_opened_new;
            if (!stays) reason = Refuse::DUPLICATE;
          }
          EXPECT_EQ(decision.accept, stays);
          EXPECT_EQ(decision.ends_existing, stays);
          EXPECT_EQ(decision.reason, reason);
        }
      }
    }
  }
}

// What one side keeps, the other keeps too.
TEST(HandshakeTest, BothSidesOfACrossedDialAgree) {
  for (const auto& [small, big] :
       {std::pair<std::string, std::string>("a", "b"), {"a", "aa"}}) {
    // At the smaller one: its own dial exists, the bigger one's hello comes.
    HandshakeInput at_small;
    at_small.mine = MakeHello(small, {1, 1});
    at_small.theirs = MakeHello(big, {1, 2}, small);
    at_small.existing = ExistingStream{true, {}};
    ExpectRefused(at_small, Refuse::DUPLICATE);
    // At the bigger one: its own dial exists, the smaller one's hello comes.
    HandshakeInput at_big;
    at_big.mine = MakeHello(big, {1, 2});
    at_big.theirs = MakeHello(small, {1, 1}, big);
    at_big.existing = ExistingStream{true, {}};
    EXPECT_TRUE(DecideHandshake(at_big).accept);
    EXPECT_TRUE(DecideHandshake(at_big).ends_existing);
  }
}

TEST(HandshakeTest, EarlierChecksWin) {
  HandshakeInput input = Accepting();
  input.known_epoch = {9, 9};
  input.existing = ExistingStream{true, {1, 20}};
  ExpectRefused(input, Refuse::DEAD_EPOCH);
  input.theirs.set_generation(7);
  ExpectRefused(input, Refuse::GENERATION);
  input.theirs.set_to_node("x");
  ExpectRefused(input, Refuse::WRONG_NODE);
  input.theirs.set_cluster_id("x");
  ExpectRefused(input, Refuse::OTHER_CLUSTER);
  input.theirs.set_protocol_min(9);
  input.theirs.set_protocol_max(9);
  ExpectRefused(input, Refuse::VERSION);
  input.theirs.set_protocol_max(8);
  ExpectRefused(input, Refuse::MALFORMED);
}

TEST(MakeRefuseTest, CarriesReasonTextAndEpoch) {
  HandshakeInput input = Accepting();
  input.dead_epoch = {1, 20};
  const Refuse refuse = MakeRefuse(DecideHandshake(input));
  EXPECT_EQ(refuse.reason(), Refuse::DEAD_EPOCH);
  EXPECT_NE(refuse.text(), "");
  EXPECT_EQ(Epoch::FromProto(refuse.known_epoch()), (Epoch{1, 20}));
  EXPECT_EQ(RefuseName(refuse.reason()), "DEAD_EPOCH");
  EXPECT_EQ(RefuseName(static_cast<Refuse::Reason>(99)), "reason 99");
}

}  // namespace
}  // namespace muster
