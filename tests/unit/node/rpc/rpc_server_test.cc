// What Start promises about addresses. On real loopback, because whether a
// port can be shared is the kernel's answer.
#include "node/rpc/rpc_server.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {
namespace {

using ::testing::HasSubstr;

RpcServerOptions Listen(const std::string& address) {
  RpcServerOptions options;
  options.listen = address;
  return options;
}

TEST(RpcServerTest, PortZeroTakesAFreePort) {
  auto server = RpcServer::Start(Listen("localhost:0"), {});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_GT((*server)->port(), 0);
  EXPECT_EQ((*server)->address(),
            "127.0.0.1:" + std::to_string((*server)->port()));
}

TEST(RpcServerTest, APortIsNeverShared) {
  auto first = RpcServer::Start(Listen("127.0.0.1:0"), {});
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string address = (*first)->address();
  auto second = RpcServer::Start(Listen(address), {});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(second.status()), "ADDRESS_IN_USE");
  EXPECT_EQ(OutcomeOf(second.status()), Outcome::kNotExecuted);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(address));
  // Free again once its owner is gone.
  first->reset();
  auto third = RpcServer::Start(Listen(address), {});
  EXPECT_TRUE(third.ok()) << third.status();
}

TEST(RpcServerTest, ListensOnlyOnLoopback) {
  for (const char* const address : {"0.0.0.0:0", "[::]:0", "10.0.0.1:7001"}) {
    EXPECT_EQ(ReasonOf(RpcServer::Start(Listen(address), {}).status()),
              "NOT_LOOPBACK")
        << address;
  }
}

TEST(RpcServerTest, BadOptionsAreRefused) {
  RpcServerOptions options;
  options.message_bytes_max = size_t{17} << 20;
  EXPECT_EQ(ReasonOf(RpcServer::Start(options, {}).status()), "BAD_OPTION");
  options.message_bytes_max = 0;
  EXPECT_EQ(ReasonOf(RpcServer::Start(options, {}).status()), "BAD_OPTION");
}

TEST(RpcServerTest, ShutdownTwiceDoesNothingMore) {
  auto server = RpcServer::Start(Listen("127.0.0.1:0"), {});
  ASSERT_TRUE(server.ok());
  (*server)->Shutdown(absl::ZeroDuration());
  (*server)->Shutdown(absl::Hours(1));
  (*server)->SetBackend(nullptr);
}

}  // namespace
}  // namespace muster
