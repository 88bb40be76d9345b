#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/admin/v1/admin.pb.h"
#include "node/types/pid.h"
#include "node/types/status.h"
#include "tests/unit/cluster/cli/fake_node_client.h"

namespace muster {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Order = cluster::v1::ChangeChildRequest;

class SupervisorCommandsTest : public testing::Test {
 protected:
  SupervisorCommandsTest() {
    admin::v1::GetTreeResponse tree;
    admin::v1::Supervisor& shop = *tree.add_supervisors();
    shop.set_id("shop");
    shop.set_strategy(store::v1::REST_FOR_ONE);
    shop.set_intensity(3);
    shop.mutable_period()->set_seconds(5);
    shop.set_node("a");
    admin::v1::Child& stock = *shop.add_children();
    stock.set_id("stock");
    stock.set_name("shop_stock");
    stock.set_type("counter");
    stock.set_state("running");
    stock.set_node("b");
    stock.set_restart(store::v1::PERMANENT);
    admin::v1::Child& cart = *shop.add_children();
    cart.set_id("cart");
    cart.set_name("cart");
    cart.set_type("counter");
    cart.set_state("pending");
    cart.set_restart(store::v1::TRANSIENT);
    cart.set_detail("no node fits: a draining");
    admin::v1::Supervisor& failed = *tree.add_supervisors();
    failed.set_id("x");
    failed.set_strategy(store::v1::ONE_FOR_ALL);
    failed.set_failed("more than 3 restarts within 5s");
    node_.trees = {tree};
    admin::v1::StartChildResponse started;
    *started.mutable_pid() = Pid{"b", Epoch{1, 7}, 9}.ToProto();
    started.set_node("b");
    node_.start_child = started;
    node_.change_child = admin::v1::ChangeChildResponse();
  }

  FakeNode node_;
};

TEST_F(SupervisorCommandsTest, ListShowsWhatRuns) {
  const CliRun run(&node_, {"supervisor", "list"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out,
            "SUPERVISOR  STATE    NODE  STRATEGY      RUNNING  DETAIL\n"
            "shop        running  a     rest_for_one  1/2      -\n"
            "x           failed   -     one_for_all   0/0      more than 3 "
            "restarts within 5s\n");
}

TEST_F(SupervisorCommandsTest, AnEmptyListIsAnEmptyList) {
  node_.trees = {admin::v1::GetTreeResponse()};
  const CliRun run(&node_, {"supervisor", "list", "-o", "json"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.out, "[]\n");
  const CliRun table(&node_, {"supervisor", "list"});
  EXPECT_EQ(table.code, 0);
  EXPECT_THAT(table.out, IsEmpty());
}

TEST_F(SupervisorCommandsTest, GetShowsOneWithItsChildren) {
  const CliRun run(&node_, {"supervisor", "get", "shop"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("strategy    rest_for_one\n"));
  EXPECT_THAT(run.out, HasSubstr("children    1/2 running\n"));
  EXPECT_THAT(run.out, HasSubstr("no node fits: a draining\n"));
  const CliRun json(&node_, {"supervisor", "get", "shop", "-o", "json"});
  EXPECT_THAT(json.out, HasSubstr("\"id\": \"shop\""));
}

TEST_F(SupervisorCommandsTest, TreeCanBeOfOne) {
  const CliRun run(&node_, {"supervisor", "tree", "x"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, testing::Not(HasSubstr("shop")));
  const CliRun all(&node_, {"supervisor", "tree"});
  EXPECT_THAT(all.out, HasSubstr("shop"));
}

TEST_F(SupervisorCommandsTest, AnUnknownOneIsNotFoundAndHasANeighbour) {
  for (const std::string verb : {"get", "tree"}) {
    const CliRun run(&node_, {"supervisor", verb, "shap"});
    EXPECT_EQ(run.code, 3);
    EXPECT_THAT(run.err, HasSubstr("did you mean \"shop\"?"));
  }
  const CliRun child(&node_,
                     {"supervisor", "terminate-child", "shop", "stick"});
  EXPECT_EQ(child.code, 3);
  EXPECT_THAT(child.err, HasSubstr("did you mean \"stock\"?"));
}

TEST_F(SupervisorCommandsTest, StartChildSaysWhatTheFlagsSay) {
  const CliRun run(
      &node_, {"supervisor", "start-child", "shop", "c", "--type", "counter",
               "--name", "shop_c", "--options", "{\"initial_value\": 5}",
               "--restart", "transient"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("started on node b, pid "));
  const admin::v1::StartChildRequest& request = node_.start_child_request;
  EXPECT_EQ(request.supervisor(), "shop");
  EXPECT_EQ(request.child().id(), "c");
  EXPECT_EQ(request.child().name(), "shop_c");
  EXPECT_EQ(request.child().restart(), store::v1::TRANSIENT);
  EXPECT_EQ(
      request.child().options().fields().at("initial_value").number_value(), 5);
}

TEST_F(SupervisorCommandsTest, StartChildReadsAChildFromAFile) {
  const CliRun run(&node_, {"supervisor", "start-child", "shop", "-f", "-"},
                   "id: c\ntype: counter\nplacement:\n  policy: spread\n"
                   "  spread_by: zone\n");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(node_.start_child_request.child().placement().spread_by(), "zone");
  const CliRun bad(&node_, {"supervisor", "start-child", "shop", "-f", "-"},
                   "id: c\ntype: counter\nplacement: {policy: spred}\n");
  EXPECT_EQ(bad.code, 2);
  EXPECT_THAT(bad.err, HasSubstr("stdin:3:21: child.placement.policy: "
                                 "\"spred\" is not one of fewest, spread, "
                                 "hash; did you mean \"spread\"?"));
}

TEST_F(SupervisorCommandsTest, StartChildRefusesWhatItDoesNotUnderstand) {
  EXPECT_EQ(CliRun(&node_, {"supervisor", "start-child", "shop"}).code, 2);
  EXPECT_EQ(CliRun(&node_, {"supervisor", "start-child", "shop", "c"}).code, 2);
  EXPECT_EQ(CliRun(&node_, {"supervisor", "start-child", "shop", "c", "--type",
                            "t", "--restart", "PERMANENT"})
                .code,
            2);
  EXPECT_EQ(CliRun(&node_, {"supervisor", "start-child", "shop", "c", "--type",
                            "t", "--options", "[1"})
                .code,
            2);
  EXPECT_EQ(
      CliRun(&node_, {"supervisor", "start-child", "shop", "c", "-f", "x.yaml"})
          .code,
      2);
}

TEST_F(SupervisorCommandsTest, AnErrorKeepsItsExitCode) {
  node_.start_child =
      Error(absl::StatusCode::kAlreadyExists, "ALREADY_STARTED", "it runs")
          .NotExecuted()
          .status();
  EXPECT_EQ(
      CliRun(&node_, {"supervisor", "start-child", "shop", "c", "--type", "t"})
          .code,
      4);
  node_.change_child =
      Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT", "no answer")
          .Unknown()
          .status();
  EXPECT_EQ(
      CliRun(&node_, {"supervisor", "restart-child", "shop", "stock"}).code,
      11);
}

TEST_F(SupervisorCommandsTest, TakingAwayNeedsAYes) {
  for (const std::string verb : {"terminate-child", "delete-child"}) {
    const CliRun run(&node_, {"supervisor", verb, "shop", "stock"});
    EXPECT_EQ(run.code, 10);
    EXPECT_THAT(run.out, IsEmpty());
    EXPECT_THAT(run.err, HasSubstr("1 child of supervisor shop: stock (counter "
                                   "'shop_stock', running on node 'b')"));
    EXPECT_THAT(node_.change_child_requests, IsEmpty());
    const CliRun dry(&node_,
                     {"supervisor", verb, "shop", "stock", "--dry-run"});
    EXPECT_EQ(dry.code, 0);
    EXPECT_THAT(dry.out, HasSubstr("stock"));
    EXPECT_THAT(node_.change_child_requests, IsEmpty());
    const CliRun json(&node_, {"supervisor", verb, "shop", "stock", "--dry-run",
                               "-o", "json"});
    EXPECT_THAT(json.out, HasSubstr("\"plan\": "));
    const CliRun yes(&node_, {"supervisor", verb, "shop", "stock", "--yes"});
    EXPECT_EQ(yes.code, 0) << yes.err;
    ASSERT_THAT(node_.change_child_requests, SizeIs(1));
    EXPECT_EQ(node_.change_child_requests[0].change(),
              verb == "delete-child" ? Order::DELETE : Order::TERMINATE);
    EXPECT_EQ(node_.change_child_requests[0].child(), "stock");
    node_.change_child_requests.clear();
  }
}

TEST_F(SupervisorCommandsTest, OnATerminalItAsks) {
  const auto on_terminal = [](CliEnv* env) { env->err_is_terminal = true; };
  const CliRun no(&node_, {"supervisor", "terminate-child", "shop", "stock"},
                  "n\n", on_terminal);
  EXPECT_EQ(no.code, 10);
  EXPECT_THAT(node_.change_child_requests, IsEmpty());
  const CliRun yes(&node_, {"supervisor", "terminate-child", "shop", "stock"},
                   "y\n", on_terminal);
  EXPECT_EQ(yes.code, 0) << yes.err;
  EXPECT_THAT(node_.change_child_requests, SizeIs(1));
}

}  // namespace
}  // namespace muster
