// `explain` on hand-made records.

#include "cluster/journal/explain.h"

#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/unit/cluster/journal/events.h"

namespace muster {
namespace {

template <typename M>
M Proto(const std::string& text) {
  M message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

// x is on node b, where it moved after the sentinel of a attested a's death.
class ExplainTest : public testing::Test {
 protected:
  ExplainTest() {
    facts_.name = "x";
    facts_.record = Proto<admin::v1::Name>(R"pb(
      name: "x"
      node: "b"
      pid {
        node: "b"
        epoch { generation: 1 revision: 4 }
        number: 7
      }
      epoch { generation: 1 revision: 20 }
      type: "counter"
      supervisor: "s"
    )pb");
    facts_.owner = Proto<store::v1::NodeRecord>("node: 'b'");
    facts_.owner_silence = absl::Milliseconds(120);
    facts_.reap = absl::Milliseconds(3750);
    facts_.supervisor = Proto<admin::v1::Supervisor>(R"pb(
      id: "s"
      node: "c"
      children {
        id: "c1"
        name: "x"
        state: "running"
        node: "b"
        restart: PERMANENT
      }
    )pb");
    facts_.events = {
        MakeEvent(10, "kind: 'name.claimed' name: 'x' to_node: 'a'"),
        MakeEvent(19,
                  "kind: 'node.attested' node: 'a' text: 'the OS process "
                  "of node \\'a\\' is dead' evidence { key: 'wait_status' "
                  "value: 'killed by signal 9 (KILL)' }"),
        MakeEvent(20,
                  "kind: 'name.moved' name: 'x' from_node: 'a' to_node: "
                  "'b'"),
    };
  }

  std::string Text() {
    const auto explained = Explain(facts_);
    EXPECT_TRUE(explained.ok()) << explained.status();
    return absl::StrJoin(explained->text(), "\n");
  }
  std::string State() { return Explain(facts_)->state(); }

  NameFacts facts_;
};

TEST_F(ExplainTest, SaysWhereItIsWhoWantsItThereAndWhyItMoved) {
  EXPECT_EQ(Text(),
            "'x' is on node 'b' as b~0000000000000001.0000000000000004~7, a "
            "counter; its epoch is 0000000000000001.0000000000000014.\n"
            "Node 'b' was heard 120ms ago.\n"
            "It is the permanent child 'c1' of supervisor 's', which runs on "
            "node 'c' and wants it on node 'b'.\n"
            "Its last start: 'x' moved from node 'a' to node 'b' "
            "(2023-11-14T00:00:20Z, revision 20).\n"
            "The reason: the OS process of node 'a' is dead [wait_status: "
            "killed by signal 9 (KILL)] (2023-11-14T00:00:19Z, revision 19).");
  const auto explained = Explain(facts_);
  EXPECT_EQ(explained->state(), "running");
  EXPECT_EQ(explained->child().id(), "c1");
  EXPECT_EQ(explained->owner_silence().nanos(), 120'000'000);
  ASSERT_EQ(explained->events_size(), 3);
  EXPECT_EQ(explained->events(0).revision(), 20u) << "newest first";
}

TEST_F(ExplainTest, ARestartInPlaceIsExplainedByItsExit) {
  facts_.events.push_back(
      MakeEvent(30,
                "kind: 'child.exited' name: 'x' node: 'b' text: 'ended' "
                "evidence { key: 'exit_reason' value: 'killed' }"));
  facts_.events.push_back(
      MakeEvent(31,
                "kind: 'child.restarted' name: 'x' to_node: 'b' text: "
                "'started again'"));
  const std::string text = Text();
  EXPECT_NE(text.find("Its last start: started again (2023-11-14T00:00:31Z"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("The reason: ended [exit_reason: killed]"),
            std::string::npos)
      << text;
}

TEST_F(ExplainTest, OfOneTransactionTheMoveIsTold) {
  facts_.events.push_back(
      MakeEvent(40,
                "kind: 'child.moved' name: 'x' from_node: 'b' to_node: 'a' "
                "text: 'moved with its state'"));
  facts_.events.push_back(
      MakeEvent(40,
                "kind: 'name.moved' name: 'x' from_node: 'b' to_node: "
                "'a'"));
  EXPECT_NE(Text().find("Its last start: moved with its state"),
            std::string::npos);
}

TEST_F(ExplainTest, ASilentOwnerIsSaidBeforeItIsReaped) {
  facts_.owner_silence = absl::Milliseconds(2500);
  EXPECT_NE(Text().find("Node 'b' has been silent for 2.5s; after 3.75s its "
                        "names go to other nodes."),
            std::string::npos);
  EXPECT_EQ(State(), "owner silent");
}

TEST_F(ExplainTest, ADrainingOwnerIsSaid) {
  facts_.owner->set_draining(true);
  EXPECT_NE(Text().find("Node 'b' is draining"), std::string::npos);
}

TEST_F(ExplainTest, BetweenTwoNodesItSaysWhatHappenedAndWhatItWaitsFor) {
  facts_.owner.reset();
  facts_.owner_silence.reset();
  facts_.supervisor->mutable_children(0)->set_state("pending");
  facts_.supervisor->mutable_children(0)->set_detail(
      "no node has the type \"counter\"");
  facts_.events.push_back(
      MakeEvent(50,
                "kind: 'node.reaped' node: 'b' text: 'silent' evidence { "
                "key: 'silence_ms' value: '3755' }"));
  EXPECT_EQ(Text(),
            "'x' is nowhere at the moment: it was "
            "b~0000000000000001.0000000000000004~7 with epoch "
            "0000000000000001.0000000000000014, and that epoch of node 'b' has "
            "ended.\n"
            "It is the permanent child 'c1' of supervisor 's', which runs on "
            "node 'c'.\n"
            "Its last start: 'x' moved from node 'a' to node 'b' "
            "(2023-11-14T00:00:20Z, revision 20).\n"
            "The reason: the OS process of node 'a' is dead [wait_status: "
            "killed by signal 9 (KILL)] (2023-11-14T00:00:19Z, revision 19).\n"
            "Since then: silent [silence_ms: 3755] (2023-11-14T00:00:50Z, "
            "revision 50).\n"
            "It waits: no node has the type \"counter\".");
  EXPECT_EQ(State(), "pending");
}

TEST_F(ExplainTest, ASupervisorThatHasNotSeenTheDeathIsNotBelieved) {
  facts_.owner.reset();
  facts_.owner_silence.reset();
  EXPECT_EQ(State(), "restarting");
  EXPECT_NE(Text().find("It waits for supervisor 's' to start it."),
            std::string::npos);
}

TEST_F(ExplainTest, ASupervisorOnItsWayCannotBeAsked) {
  facts_.owner.reset();
  facts_.owner_silence.reset();
  facts_.supervisor->clear_children();
  facts_.supervisor->clear_node();
  EXPECT_EQ(State(), "restarting");
  EXPECT_NE(Text().find("Its supervisor 's' is itself on its way to another "
                        "node and cannot be asked."),
            std::string::npos);
}

TEST_F(ExplainTest, ASupervisorThatGaveUpSaysWhy) {
  facts_.supervisor->set_failed("4 restarts in 5s");
  EXPECT_NE(Text().find("Its supervisor 's' gave up: 4 restarts in 5s."),
            std::string::npos);
}

TEST_F(ExplainTest, AnEndedChildIsNotWaitedFor) {
  facts_.record.reset();
  facts_.owner.reset();
  facts_.supervisor->mutable_children(0)->set_state("ended");
  facts_.supervisor->mutable_children(0)->set_detail("normal");
  EXPECT_EQ(State(), "ended");
  EXPECT_NE(Text().find("It has ended and is not started again: normal."),
            std::string::npos);
}

TEST_F(ExplainTest, ANameWithoutSupervisorIsFreeWhenItEnds) {
  facts_.supervisor.reset();
  facts_.events.clear();
  EXPECT_EQ(State(), "running");
  EXPECT_NE(Text().find("It has no supervisor: when its process ends, the name "
                        "is free.\nThe journal does not reach back to its last "
                        "start."),
            std::string::npos);
  facts_.owner.reset();
  EXPECT_EQ(State(), "free");
}

TEST_F(ExplainTest, AnUnknownNameIsNotFound) {
  facts_.name = "nobody";
  facts_.record.reset();
  facts_.owner.reset();
  facts_.supervisor.reset();
  EXPECT_EQ(ReasonOf(Explain(facts_).status()), "NO_NAME");
  // What the journal knows is explained.
  facts_.name = "x";
  EXPECT_EQ(State(), "free");
  EXPECT_NE(Text().find("'x' is nowhere: nobody owns the name.\nNo supervisor "
                        "wants it."),
            std::string::npos);
}

TEST_F(ExplainTest, TheAnswerIsAPageNotAJournal) {
  for (int i = 0; i < 100; ++i) {
    facts_.events.push_back(
        MakeEvent(100 + i,
                  "kind: 'name.claimed' name: 'x' from_node: 'b' to_node: "
                  "'b'"));
  }
  const auto explained = Explain(facts_);
  EXPECT_EQ(explained->events_size(), 20);
  EXPECT_EQ(explained->events(0).revision(), 199u);
}

}  // namespace
}  // namespace muster
