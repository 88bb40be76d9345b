#include "cluster/cli/drain_commands.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/admin/v1/admin.pb.h"
#include "node/types/pid.h"
#include "node/types/status.h"
#include "tests/unit/cluster/cli/fake_node_client.h"

namespace muster {
namespace {

admin::v1::DrainNodeResponse LeftOf(const std::vector<std::string>& movable,
                                    const std::vector<std::string>& others) {
  admin::v1::DrainNodeResponse response;
  for (const std::string& name : movable) {
    admin::v1::DrainItem& item = *response.add_left();
    item.set_name(name);
    item.set_movable(true);
    item.set_detail("running");
  }
  for (const std::string& name : others) {
    admin::v1::DrainItem& item = *response.add_left();
    item.set_name(name);
    item.set_detail("no supervisor: it ends with its node");
  }
  return response;
}

TEST(DrainCommandsTest, ADrainNeedsAgreement) {
  FakeNode node;
  node.drains = {LeftOf({"c0", "c1"}, {})};
  const CliRun run(&node, {"node", "drain", "a"});
  EXPECT_EQ(run.code, 10);
  EXPECT_NE(run.err.find("2 names move away"), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("c1"), std::string::npos);
  EXPECT_EQ(run.out, "");
  // It was only asked what there is.
  ASSERT_EQ(node.drain_requests.size(), 1u);
  EXPECT_TRUE(node.drain_requests[0].dry_run());
}

TEST(DrainCommandsTest, ThePlanCountsInWords) {
  const auto plan = [](admin::v1::DrainNodeResponse left) {
    FakeNode node;
    node.drains = {std::move(left)};
    return CliRun(&node, {"node", "drain", "a", "--dry-run"}).out;
  };
  EXPECT_THAT(plan(LeftOf({"c0"}, {"mine"})),
              testing::HasSubstr(
                  "node a gets nothing new, and 1 name moves away:\n  c0\n"
                  "1 name stays, because nobody can move it:\n  mine"));
  EXPECT_THAT(plan(LeftOf({}, {})),
              testing::HasSubstr("and 0 names move away\n"));
}

TEST(DrainCommandsTest, OnATerminalItAsks) {
  const auto terminal = [](CliEnv* env) { env->err_is_terminal = true; };
  FakeNode node;
  node.drains = {LeftOf({"c0"}, {})};
  EXPECT_EQ(CliRun(&node, {"node", "drain", "a"}, "n\n", terminal).code, 10);
  node.drains = {LeftOf({"c0"}, {}), LeftOf({"c0"}, {}), LeftOf({"c0"}, {}),
                 LeftOf({}, {})};
  const CliRun run(&node, {"node", "drain", "a"}, "y\n", terminal);
  EXPECT_EQ(run.code, 0) << run.err;
  // Each change once.
  const size_t first = run.err.find("moved 0, left 1\n");
  ASSERT_NE(first, std::string::npos) << run.err;
  EXPECT_EQ(run.err.find("moved 0", first + 1), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("moved 1, left 0"), std::string::npos) << run.err;
  EXPECT_EQ(run.out, "moved 1, left 0\n");
}

TEST(DrainCommandsTest, ADryRunOnlySays) {
  FakeNode node;
  node.drains = {LeftOf({"c0"}, {"mine"})};
  const CliRun run(&node, {"node", "drain", "a", "--dry-run", "-o", "json"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out,
            R"({
  "node": "a",
  "left": [
    {
      "name": "c0",
      "detail": "running",
      "movable": true
    },
    {
      "name": "mine",
      "detail": "no supervisor: it ends with its node",
      "movable": false
    }
  ]
}
)");
  ASSERT_EQ(node.drain_requests.size(), 1u);
  EXPECT_TRUE(node.drain_requests[0].dry_run());
}

TEST(DrainCommandsTest, ItWaitsUntilAllHaveMoved) {
  FakeNode node;
  node.drains = {LeftOf({"c0", "c1"}, {}), LeftOf({"c0", "c1"}, {}),
                 Error(absl::StatusCode::kUnavailable, "RESTARTING", "soon")
                     .NotExecuted()
                     .status(),
                 LeftOf({"c1"}, {}), LeftOf({}, {})};
  const CliRun run(&node, {"node", "drain", "a", "--yes", "-o", "json"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out,
            "{\n  \"node\": \"a\",\n  \"moved\": [\n    \"c0\",\n    \"c1\"\n  "
            "],\n  \"left\": []\n}\n");
  EXPECT_FALSE(node.drain_requests.back().dry_run());
  EXPECT_EQ(node.drain_requests.back().node(), "a");
}

TEST(DrainCommandsTest, WhatIsLeftIsPartlyDone) {
  FakeNode node;
  node.drains = {LeftOf({"c0", "c1"}, {"mine"}), LeftOf({"c1"}, {"mine"})};
  const CliRun run(&node, {"node", "drain", "a", "--yes", "--timeout", "1s"});
  EXPECT_EQ(run.code, 9);
  EXPECT_EQ(run.out,
            "moved 1, left 2\n  c1: running\n"
            "  mine: no supervisor: it ends with its node\n");
  EXPECT_NE(run.err.find("muster node undrain a"), std::string::npos);
}

TEST(DrainCommandsTest, WhatNobodyCanMoveIsNotWaitedFor) {
  FakeNode node;
  node.drains = {LeftOf({}, {"mine"})};
  const CliRun run(&node, {"node", "drain", "a", "--yes"});
  EXPECT_EQ(run.code, 9);
  EXPECT_EQ(node.drain_requests.size(), 2u);
  EXPECT_THAT(run.err,
              testing::HasSubstr(
                  "1 name is still on node a, since nobody can move it "
                  "('mine': no supervisor: it ends with its node). It stays "
                  "draining: end it, and what stays ends with it, or `muster "
                  "node undrain a`"));
}

TEST(DrainCommandsTest, OfManyThatStayAFewAreNamed) {
  FakeNode node;
  node.drains = {LeftOf({}, {"k", "l", "m", "n"})};
  const CliRun run(&node, {"node", "drain", "a", "--yes"});
  EXPECT_EQ(run.code, 9);
  EXPECT_THAT(run.err, testing::HasSubstr("'m': "));
  EXPECT_THAT(run.err, testing::Not(testing::HasSubstr("'n': ")));
  EXPECT_THAT(run.err, testing::HasSubstr("; and others)"));
  EXPECT_THAT(run.out, testing::HasSubstr("moved 0, left 4\n  k: "));
}

TEST(DrainCommandsTest, ANodeThatHasLeftMeanwhileIsEmpty) {
  FakeNode node;
  const absl::Status gone =
      Error(absl::StatusCode::kNotFound, "NO_NODE", "no node is called a")
          .NotExecuted();
  node.drains = {LeftOf({"c0"}, {}), LeftOf({"c0"}, {}), gone};
  EXPECT_EQ(CliRun(&node, {"node", "drain", "a", "--yes"}).code, 0);
  node.drains = {gone};
  EXPECT_EQ(CliRun(&node, {"node", "drain", "a", "--yes"}).code, 3);
  EXPECT_EQ(CliRun(&node, {"node", "drain", "A!", "--yes"}).code, 2);
}

// It may drain, whatever later attempts meet.
TEST(DrainCommandsTest, AnOrderWithoutAnAnswerStaysUnknown) {
  FakeNode node;
  node.drains = {LeftOf({"c0"}, {}),
                 Error(absl::StatusCode::kAborted, "NOCONNECTION", "lost")
                     .Unknown()
                     .status(),
                 Error(absl::StatusCode::kUnavailable, "NODE_UNREACHABLE", "no")
                     .NotExecuted()
                     .status()};
  const CliRun run(&node, {"node", "drain", "a", "--yes", "--timeout", "1s"});
  EXPECT_EQ(run.code, 11) << run.err;
}

TEST(DrainCommandsTest, Undrain) {
  FakeNode node;
  node.undrain = admin::v1::UndrainNodeResponse();
  const CliRun run(&node, {"node", "undrain", "a"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, "node a takes children again\n");
  EXPECT_EQ(node.undrain_request.node(), "a");
}

TEST(DrainCommandsTest, AMoveSaysWhereItIsAndWhetherWithItsState) {
  FakeNode node;
  admin::v1::ChangeChildResponse moved;
  Pid pid;
  pid.node = "b";
  pid.epoch = Epoch{1, 7};
  pid.number = 3;
  *moved.mutable_pid() = pid.ToProto();
  moved.set_node("b");
  moved.set_with_state(true);
  node.change_child = moved;
  const CliRun run(&node, {"process", "move", "c0", "--to", "b"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out,
            "c0 runs on node b as b~0000000000000001.0000000000000007~3, with "
            "its state\n");
  EXPECT_EQ(node.change_child_requests.back().name(), "c0");
  EXPECT_EQ(node.change_child_requests.back().to_node(), "b");
  EXPECT_EQ(node.change_child_requests.back().change(),
            cluster::v1::ChangeChildRequest::MOVE);
  EXPECT_EQ(CliRun(&node, {"process", "move", "c0", "-o", "json"}).out,
            "{\n  \"name\": \"c0\",\n  \"node\": \"b\",\n  \"pid\": "
            "\"b~0000000000000001.0000000000000007~3\",\n  \"with_state\": "
            "true\n}\n");
  node.change_child = Error(absl::StatusCode::kAborted, "NOCONNECTION", "lost")
                          .Unknown()
                          .status();
  EXPECT_EQ(CliRun(&node, {"process", "move", "c0"}).code, 11);
}

}  // namespace
}  // namespace muster
