#include "cluster/journal/event_select.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/cluster/journal/events.h"

namespace muster {
namespace {

using Numbers = std::vector<uint64_t>;

std::vector<admin::v1::Event> Journal() {
  return {
      MakeEvent(1, "kind: 'node.joined' node: 'a'"),
      MakeEvent(2, "kind: 'node.joined' node: 'b'"),
      MakeEvent(3,
                "kind: 'name.claimed' node: 'a' name: 'x' supervisor: 's' "
                "child: 'c' to_node: 'a'"),
      MakeEvent(4,
                "kind: 'child.started' node: 'b' name: 'y' supervisor: 's' "
                "child: 'd' to_node: 'b'"),
      MakeEvent(5, "kind: 'node.attested' node: 'a'"),
      MakeEvent(6,
                "kind: 'name.moved' node: 'b' name: 'x' supervisor: 's' "
                "child: 'c' from_node: 'a' to_node: 'b'"),
      MakeEvent(7, "kind: 'node.joined' node: 'a'"),
      MakeEvent(8, "kind: 'node.left' node: 'a'"),
      MakeEvent(9, "kind: 'node.reaped' node: 'b'"),
      MakeEvent(10, "kind: 'supervisor.failed' node: 'b' supervisor: 's2'"),
  };
}

Numbers Select(void (*set)(admin::v1::ListEventsRequest*)) {
  admin::v1::ListEventsRequest request;
  set(&request);
  return Revisions(SelectEvents(Journal(), request));
}

TEST(EventSelectTest, AllByDefault) {
  EXPECT_EQ(Select([](auto*) {}), (Numbers{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
}

TEST(EventSelectTest, ANamesEventsAreAlsoThoseOfTheNodeThatHadItThen) {
  EXPECT_EQ(Select([](auto* r) { r->set_name("x"); }), (Numbers{3, 5, 6, 9}));
  EXPECT_EQ(Select([](auto* r) { r->set_name("nobody"); }), Numbers());
}

TEST(EventSelectTest, ACutOffJournalTellsTheOwnerByTheFirstMove) {
  std::vector<admin::v1::Event> journal = Journal();
  journal.erase(journal.begin(), journal.begin() + 4);
  admin::v1::ListEventsRequest request;
  request.set_name("x");
  EXPECT_EQ(Revisions(SelectEvents(journal, request)), (Numbers{5, 6, 9}));
}

TEST(EventSelectTest, AReleasedNameHasNoNode) {
  const std::vector<admin::v1::Event> journal = {
      MakeEvent(1, "kind: 'name.claimed' name: 'x' to_node: 'a'"),
      MakeEvent(2, "kind: 'name.released' name: 'x' from_node: 'a'"),
      MakeEvent(3, "kind: 'node.left' node: 'a'"),
  };
  admin::v1::ListEventsRequest request;
  request.set_name("x");
  EXPECT_EQ(Revisions(SelectEvents(journal, request)), (Numbers{1, 2}));
}

TEST(EventSelectTest, EachFieldNarrows) {
  EXPECT_EQ(Select([](auto* r) { r->set_node("a"); }),
            (Numbers{1, 3, 5, 6, 7, 8}));
  EXPECT_EQ(Select([](auto* r) { r->set_supervisor("s"); }),
            (Numbers{3, 4, 6}));
  EXPECT_EQ(Select([](auto* r) { r->set_kind("name."); }), (Numbers{3, 6}));
  EXPECT_EQ(Select([](auto* r) { r->set_kind("node.left"); }), Numbers{8});
  EXPECT_EQ(Select([](auto* r) { r->set_after_revision(8); }),
            (Numbers{9, 10}));
  EXPECT_EQ(Select([](auto* r) {
              r->set_name("x");
              r->set_after_revision(4);
              r->set_kind("node.");
            }),
            (Numbers{5, 9}));
}

TEST(EventSelectTest, TheLastOnesCount) {
  EXPECT_EQ(Select([](auto* r) { r->set_limit(2); }), (Numbers{9, 10}));
  EXPECT_EQ(Select([](auto* r) {
              r->set_limit(1);
              r->set_name("x");
            }),
            Numbers{9});
}

TEST(EventSelectTest, ARequestHasABound) {
  admin::v1::ListEventsRequest request;
  EXPECT_EQ(LimitOf(request), 100);
  request.set_limit(-1);
  EXPECT_EQ(LimitOf(request), 100);
  request.set_limit(1'000'000);
  EXPECT_EQ(LimitOf(request), 10'000);
}

TEST(EventSelectTest, OrderIsThatOfRevisionsNotOfWallClocks) {
  const auto item = [](const std::string& key, int64_t revision,
                       const std::string& value) {
    KeyValue item;
    item.key = key;
    item.create_revision = revision;
    item.value = value;
    return item;
  };
  store::v1::EventRecord record;
  record.set_kind("node.left");
  const std::string value = record.SerializeAsString();
  const auto events = ToEvents({item("/1", 9, value), item("/2", 3, value),
                                item("/3", 5, "\xff"), item("/5", 7, value),
                                item("/4", 7, value)});
  EXPECT_EQ(Revisions(events), (Numbers{3, 7, 7, 9}));
}

TEST(EventSelectTest, EventsWithoutTextSayWhatTheirFieldsSay) {
  const auto text = [](const std::string& record) {
    return EventText(MakeEvent(1, record).record());
  };
  EXPECT_EQ(text("kind: 'node.left' node: 'a' text: 'left the cluster'"),
            "left the cluster");
  EXPECT_EQ(text("kind: 'name.moved' name: 'x' from_node: 'a' to_node: 'b'"),
            "'x' moved from node 'a' to node 'b'");
  EXPECT_EQ(text("kind: 'name.claimed' name: 'x' to_node: 'b'"),
            "'x' is on node 'b'");
  EXPECT_EQ(text("kind: 'name.claimed' name: 'x' from_node: 'b' to_node: 'b'"),
            "'x' is on node 'b'");
  EXPECT_EQ(text("kind: 'name.released' name: 'x' from_node: 'b'"),
            "'x' is not on node 'b' any more");
  EXPECT_EQ(text("kind: 'node.draining' node: 'a'"), "node 'a' draining");
  EXPECT_EQ(text("kind: 'supervisor.started' supervisor: 's'"),
            "supervisor 's' started");
  EXPECT_EQ(text("kind: 'cluster.generation'"), "the cluster generation");
  EXPECT_EQ(text("kind: 'odd'"), "the cluster");
}

TEST(EventSelectTest, EvidenceIsSorted) {
  EXPECT_EQ(EvidenceText(MakeEvent(1,
                                   "evidence { key: 'b' value: '2' } "
                                   "evidence { key: 'a' value: '1' }")
                             .record()),
            "a: 1, b: 2");
  EXPECT_EQ(EvidenceText(store::v1::EventRecord()), "");
}

}  // namespace
}  // namespace muster
