// `muster event`, `muster explain` and `muster name history`.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/unit/cluster/cli/fake_node_client.h"

namespace muster {
namespace {

class EventCommandsTest : public testing::Test {
 protected:
  EventCommandsTest() {
    node_.events = admin::v1::ListEventsResponse();
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        R"pb(
          events {
            revision: 19
            record {
              schema: 1
              kind: "node.attested"
              at { seconds: 1699920000 nanos: 250000000 }
              reporter: "a"
              node: "a"
              old_epoch { generation: 1 revision: 4 }
              text: "the OS process of node 'a' is dead"
              evidence { key: "wait_status" value: "killed by signal 9 (KILL)" }
            }
          }
          events {
            revision: 20
            record {
              schema: 1
              kind: "name.moved"
              at { seconds: 1699920001 }
              reporter: "b"
              node: "b"
              name: "x"
              supervisor: "s"
              child: "c"
              from_node: "a"
              to_node: "b"
            }
          }
        )pb",
        &*node_.events));
  }

  CliRun Run(std::vector<std::string> words) {
    return CliRun(&node_, std::move(words));
  }

  FakeNode node_;
};

TEST_F(EventCommandsTest, ListIsATable) {
  const CliRun run = Run({"event", "list"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.err, "");
  EXPECT_EQ(
      run.out,
      "AT                        REVISION  KIND           NODE  ABOUT  WHAT\n"
      "2023-11-14T00:00:00.250Z  19        node.attested  a     a      the OS "
      "process of node 'a' is dead [wait_status: killed by signal 9 (KILL)]\n"
      "2023-11-14T00:00:01Z      20        name.moved     b     x      'x' "
      "moved "
      "from node 'a' to node 'b'\n");
  EXPECT_EQ(node_.events_request.limit(), 100);
}

TEST_F(EventCommandsTest, FlagsNarrow) {
  EXPECT_EQ(Run({"event", "list", "--name", "x", "--node", "a", "--supervisor",
                 "s", "--kind", "node.", "--limit", "7"})
                .code,
            0);
  EXPECT_EQ(node_.events_request.name(), "x");
  EXPECT_EQ(node_.events_request.node(), "a");
  EXPECT_EQ(node_.events_request.supervisor(), "s");
  EXPECT_EQ(node_.events_request.kind(), "node.");
  EXPECT_EQ(node_.events_request.limit(), 7);
}

TEST_F(EventCommandsTest, WhatIsMalformedIsRefusedBeforeItIsSent) {
  EXPECT_EQ(Run({"event", "list", "--node", "A"}).code, 2);
  EXPECT_EQ(Run({"event", "list", "--limit", "0"}).err,
            "muster: --limit is 1 to 10000\n        `muster --help` and "
            "`muster <command> --help` show what there is\n");
  EXPECT_EQ(Run({"event", "tail", "--limit", "10001"}).code, 2);
  for (const char* word : {"x", "1.5", "1 = 2"}) {
    const CliRun run = Run({"event", "list", "--limit", word});
    EXPECT_EQ(run.code, 2);
    EXPECT_EQ(
        run.err.substr(0, run.err.find('\n')),
        "muster: --limit \"" + std::string(word) + "\" is no whole number");
  }
  EXPECT_EQ(Run({"explain", ""}).code, 2);
  EXPECT_EQ(Run({"name", "history", ""}).code, 2);
}

TEST_F(EventCommandsTest, JsonIsTheMessages) {
  node_.events->mutable_events()->DeleteSubrange(0, 1);
  EXPECT_EQ(Run({"event", "list", "-o", "json"}).out, R"([
  {
    "revision": "20",
    "record": {
      "schema": 1,
      "kind": "name.moved",
      "at": "2023-11-14T00:00:01Z",
      "reporter": "b",
      "node": "b",
      "name": "x",
      "supervisor": "s",
      "child": "c",
      "old_epoch": null,
      "new_epoch": null,
      "from_node": "a",
      "to_node": "b",
      "text": "",
      "evidence": {}
    }
  }
]
)");
  node_.events->clear_events();
  const CliRun run = Run({"event", "list", "-o", "json"});
  EXPECT_EQ(run.out, "[]\n");
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(Run({"event", "list"}).err, "no such events\n");
}

TEST_F(EventCommandsTest, TailPrintsALineEachUntilTheNodeEnds) {
  node_.tail_end = Error(absl::StatusCode::kUnavailable, "NODE_UNREACHABLE",
                         "lost the connection to the node")
                       .NotExecuted();
  CliRun run = Run({"event", "tail", "--name", "x"});
  EXPECT_EQ(run.code, 5);
  EXPECT_EQ(run.out,
            "2023-11-14T00:00:00.250Z 19 node.attested a: the OS process of "
            "node 'a' is dead [wait_status: killed by signal 9 (KILL)]\n"
            "2023-11-14T00:00:01Z 20 name.moved x: 'x' moved from node 'a' to "
            "node 'b'\n");
  EXPECT_EQ(node_.events_request.name(), "x");
  run = Run({"event", "tail", "-o", "json"});
  EXPECT_EQ(run.code, 5);
  EXPECT_EQ(run.out.substr(0, 40),
            R"({"revision":"19","record":{"schema":1,"k)");
  EXPECT_EQ(std::count(run.out.begin(), run.out.end(), '\n'), 2);
}

TEST_F(EventCommandsTest, HistoryShowsWhereANameWas) {
  const CliRun run = Run({"name", "history", "x"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(node_.events_request.name(), "x");
  EXPECT_EQ(
      run.out,
      "AT                        KIND           FROM  TO  EPOCH        WHAT\n"
      "2023-11-14T00:00:00.250Z  node.attested  -     -   -            the OS "
      "process of node 'a' is dead [wait_status: killed by signal 9 (KILL)]\n"
      "2023-11-14T00:00:01Z      name.moved     a     b   revision 20  'x' "
      "moved from node 'a' to node 'b'\n");
  node_.events->clear_events();
  EXPECT_EQ(Run({"name", "history", "x"}).err,
            "the journal knows no name \"x\"\n");
}

TEST_F(EventCommandsTest, ExplainIsAPage) {
  node_.explain = admin::v1::ExplainResponse();
  node_.explain->mutable_name()->set_name("x");
  node_.explain->set_state("running");
  node_.explain->add_text("'x' is on node 'b'.");
  node_.explain->add_text("It has no supervisor.");
  *node_.explain->add_events() = node_.events->events(1);
  CliRun run = Run({"explain", "x"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(node_.explain_request.name(), "x");
  EXPECT_EQ(run.out,
            "x: running\n"
            "\n"
            "'x' is on node 'b'.\n"
            "It has no supervisor.\n"
            "\n"
            "Last events, newest first:\n"
            "  2023-11-14T00:00:01Z 20 name.moved x: 'x' moved from node 'a' "
            "to node 'b'\n");
  node_.explain =
      Error(absl::StatusCode::kNotFound, "NO_NAME", "nobody has the name \"y\"")
          .NotExecuted();
  run = Run({"explain", "y"});
  EXPECT_EQ(run.code, 3);
  EXPECT_EQ(run.err, "muster: nobody has the name \"y\"\n");
}

}  // namespace
}  // namespace muster
