// `muster node get`, `remove`, `raise-generation` and `start --profile`.

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/admin/v1/admin.pb.h"
#include "nlohmann/json.hpp"
#include "node/types/status.h"
#include "tests/unit/cluster/cli/fake_node_client.h"

namespace muster {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Json = nlohmann::ordered_json;

constexpr char kPlan[] =
    "removing node 'b' (silent, epoch 0000000000000001.0000000000000012): its "
    "membership ends, whether it is alive or not, and its 2 children start "
    "elsewhere once it certainly cannot act any more\n";

class NodeCommandsTest : public testing::Test {
 protected:
  NodeCommandsTest() {
    admin::v1::ListNodesResponse nodes;
    nodes.add_nodes()->set_name("a");
    admin::v1::Node& b = *nodes.add_nodes();
    b.set_name("b");
    b.set_state("silent");
    b.set_address("127.0.0.1:7002");
    b.mutable_epoch()->set_generation(1);
    b.mutable_epoch()->set_revision(18);
    b.set_children(2);
    b.add_types("counter");
    (*b.mutable_labels())["zone"] = "a1";
    (*b.mutable_labels())["rack"] = "7";
    b.set_version("0.1.0");
    node_.nodes = nodes;
    admin::v1::RemoveNodeResponse removed;
    *removed.mutable_epoch() = b.epoch();
    removed.add_names("counter_a");
    removed.add_names("counter_b");
    removed.mutable_grave()->set_seconds(3);
    removed.mutable_grave()->set_nanos(750'000'000);
    node_.remove = removed;
    admin::v1::RaiseGenerationResponse raised;
    raised.set_generation(2);
    node_.raise = raised;
  }

  CliRun Run(std::vector<std::string> words, const std::string& input = "",
             std::function<void(CliEnv*)> change = nullptr) {
    return CliRun(&node_, std::move(words), input, std::move(change));
  }
  static void Terminal(CliEnv* env) { env->err_is_terminal = true; }

  FakeNode node_;
};

TEST_F(NodeCommandsTest, GetShowsOneNode) {
  const CliRun run = Run({"node", "get", "b"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.out,
            "name      b\n"
            "state     silent\n"
            "address   127.0.0.1:7002\n"
            "epoch     0000000000000001.0000000000000012\n"
            "joined    -\n"
            "children  2\n"
            "types     counter\n"
            "labels    rack=7,zone=a1\n"
            "version   0.1.0\n");
  const CliRun json = Run({"node", "get", "b", "-o", "json"});
  EXPECT_EQ(Json::parse(json.out)["state"], "silent");
  EXPECT_EQ(Json::parse(json.out)["labels"]["zone"], "a1");
}

TEST_F(NodeCommandsTest, GetOfNobodyIsNotFound) {
  const CliRun run = Run({"node", "get", "c"});
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.err, HasSubstr("no node is called \"c\""));
  EXPECT_EQ(Run({"node", "get", "C!"}).code, 2);
}

TEST_F(NodeCommandsTest, RemoveSaysWhatItWouldDoAndNeedsYes) {
  const CliRun run = Run({"node", "remove", "b"});
  EXPECT_EQ(run.code, 10);
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(run.err, std::string(kPlan) +
                         "muster: nothing was done: this needs --yes\n");
  EXPECT_THAT(node_.remove_requests, IsEmpty());
}

TEST_F(NodeCommandsTest, RemoveWithYesConfirmsTheName) {
  const CliRun run = Run({"node", "remove", "b", "--yes"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.err, "");
  EXPECT_EQ(run.out, "removed; its 2 names are free in 3750ms\n");
  ASSERT_THAT(node_.remove_requests, SizeIs(1));
  EXPECT_EQ(node_.remove_requests[0].node(), "b");
  EXPECT_EQ(node_.remove_requests[0].confirm(), "b");
  const CliRun json = Run({"node", "remove", "b", "--yes", "-o", "json"});
  EXPECT_EQ(Json::parse(json.out)["names"].size(), 2u);
}

TEST_F(NodeCommandsTest, ADryRunDoesNothing) {
  const CliRun run = Run({"node", "remove", "b", "--dry-run", "--yes"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.out, kPlan);
  EXPECT_THAT(node_.remove_requests, IsEmpty());
}

TEST_F(NodeCommandsTest, OnATerminalItAsks) {
  EXPECT_EQ(Run({"node", "remove", "b"}, "n\n", Terminal).code, 10);
  EXPECT_EQ(Run({"node", "remove", "b"}, "", Terminal).code, 10);
  EXPECT_THAT(node_.remove_requests, IsEmpty());
  EXPECT_EQ(Run({"node", "remove", "b"}, "y\n", Terminal).code, 0);
  EXPECT_THAT(node_.remove_requests, SizeIs(1));
}

TEST_F(NodeCommandsTest, RemoveOfNobodyIsNotFoundBeforeAnyQuestion) {
  const CliRun run = Run({"node", "remove", "c", "--yes"});
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(node_.remove_requests, IsEmpty());
}

TEST_F(NodeCommandsTest, AnUnknownOutcomeExits11) {
  node_.remove = Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                       "the store did not answer")
                     .Unknown();
  EXPECT_EQ(Run({"node", "remove", "b", "--yes"}).code, 11);
}

TEST_F(NodeCommandsTest, RaisingTheGenerationPassesOnWhatWasTyped) {
  const CliRun run = Run({"node", "raise-generation", "--confirm", "demo"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.out, "generation 2; every node joins anew\n");
  EXPECT_EQ(node_.raise_request.confirm(), "demo");
  EXPECT_EQ(Run({"node", "raise-generation"}).code, 2);
}

TEST_F(NodeCommandsTest, StartTakesAProfileByName) {
  Profile profile;
  const auto keep = [&](CliEnv* env) {
    env->run_node = [&](const NodeConfig& config, std::vector<ServerTypeInfo>,
                        std::function<void(const std::string&)>) {
      profile = config.profile;
      return absl::OkStatus();
    };
  };
  const std::vector<std::string> start = {"node", "start", "--name", "a"};
  EXPECT_EQ(Run(start, "", keep).code, 0);
  EXPECT_EQ(profile.fence, absl::Seconds(3));
  std::vector<std::string> fast = start;
  fast.insert(fast.end(), {"--profile", "fast"});
  EXPECT_EQ(Run(fast, "", keep).code, 0);
  EXPECT_EQ(profile.reap, absl::Milliseconds(1400));
  std::vector<std::string> wide = start;
  wide.insert(wide.end(), {"--profile", "wide"});
  EXPECT_EQ(Run(wide, "", keep).code, 0);
  EXPECT_EQ(profile.heartbeat, absl::Seconds(2));
  std::vector<std::string> slow = start;
  slow.insert(slow.end(), {"--profile", "slow"});
  const CliRun refused = Run(slow, "", keep);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("there are default, fast and wide"));
}

}  // namespace
}  // namespace muster
