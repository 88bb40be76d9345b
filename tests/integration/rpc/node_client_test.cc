// What the command line is told when a node does not answer, over a real
// connection.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/cli/grpc_node_client.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "muster/admin/v1/admin.grpc.pb.h"
#include "node/rpc/address.h"
#include "node/types/status.h"

namespace muster {
namespace {

// Breaks off each order, as a node does that ends in the middle of it.
class BrokenAdmin final : public admin::v1::AdminService::Service {
 public:
  grpc::Status DrainNode(grpc::ServerContext*,
                         const admin::v1::DrainNodeRequest*,
                         admin::v1::DrainNodeResponse*) override {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "socket closed");
  }
};

TEST(NodeClientTest, ADrainWithoutAnAnswerMayHaveBegunADryRunHasNot) {
  BrokenAdmin admin;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&admin);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  const auto address = ParseLoopbackAddress(absl::StrCat("127.0.0.1:", port));
  ASSERT_TRUE(address.ok()) << address.status();
  const auto client = ConnectToNode({*address}, absl::Seconds(30));
  ASSERT_TRUE(client.ok()) << client.status();
  admin::v1::DrainNodeRequest request;
  request.set_node("a");
  const absl::Status order =
      (*client)->DrainNode(request, absl::Seconds(30)).status();
  EXPECT_EQ(OutcomeOf(order), Outcome::kUnknown) << order;
  request.set_dry_run(true);
  const absl::Status look =
      (*client)->DrainNode(request, absl::Seconds(30)).status();
  EXPECT_EQ(OutcomeOf(look), Outcome::kNotExecuted) << look;
  server->Shutdown();
}

}  // namespace
}  // namespace muster
