// What Start promises about addresses. On real loopback, because whether a
// port can be shared is the kernel's answer.
#include "node/rpc/rpc_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

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

// A socket to a port of loopback, and whether HTTP/2 is spoken there. Made
// before descriptors run out.
class Visitor {
 public:
  Visitor() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  ~Visitor() { close(fd_); }
  Visitor(const Visitor&) = delete;
  Visitor& operator=(const Visitor&) = delete;
  bool IsGreeted(int port) {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    char byte = 0;
    return connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0 &&
           recv(fd_, &byte, 1, 0) == 1;
  }

 private:
  const int fd_;
};

// gRPC's own listener never takes a connection again after this.
TEST(RpcServerTest, TakesConnectionsAgainAfterAWantOfDescriptors) {
  auto server = RpcServer::Start(Listen("127.0.0.1:0"), {});
  ASSERT_TRUE(server.ok()) << server.status();
  Visitor before;
  Visitor meanwhile;
  Visitor after;
  ASSERT_TRUE(before.IsGreeted((*server)->port()));
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  rlimit none = limit;
  // The lowest number that is free: nothing is.
  const int lowest = dup(0);
  ASSERT_GT(lowest, 0);
  close(lowest);
  none.rlim_cur = static_cast<rlim_t>(lowest);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_FALSE(meanwhile.IsGreeted((*server)->port()));
  EXPECT_EQ((*server)->connections_refused(), 1u);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_TRUE(after.IsGreeted((*server)->port()));
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
