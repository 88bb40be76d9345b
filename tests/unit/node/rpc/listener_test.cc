// What a Listener does when file descriptors run out, with real sockets.
#include "node/rpc/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/mutex.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Lowers this process's limit of descriptors for a while.
class Descriptors {
 public:
  Descriptors() { getrlimit(RLIMIT_NOFILE, &before_); }
  ~Descriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  // So many more than the greatest in use.
  void Leave(int free) {
    rlimit limit = before_;
    limit.rlim_cur = static_cast<rlim_t>(Lowest() + free);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  }
  void Restore() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  // The number that the next one gets; all below are in use.
  static int Lowest() {
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
  }
  rlimit before_;
};

// A client's socket; made before descriptors run out.
class Client {
 public:
  Client() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  bool Connect(uint16_t port) {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
  }
  // Waits for the other side to send or end. True: it sent something.
  bool Hears() {
    char byte = 0;
    return recv(fd_, &byte, 1, 0) == 1;
  }

 private:
  const int fd_;
};

class ListenerTest : public testing::Test {
 protected:
  void Listen(ListenerOptions options) {
    NodeAddress address;
    address.host = "127.0.0.1";
    int error = 0;
    listener_ = Listener::Open(address, std::move(options), &error);
    ASSERT_NE(listener_, nullptr) << error;
    listener_->Start(
        [this](int fd) {
          // Says hello, and keeps it.
          EXPECT_EQ(send(fd, "h", 1, MSG_NOSIGNAL), 1);
          MutexLock lock(&mu_);
          taken_.push_back(fd);
        },
        [this](absl::string_view why) {
          MutexLock lock(&mu_);
          refusals_.emplace_back(why);
        });
  }
  void TearDown() override {
    listener_.reset();
    MutexLock lock(&mu_);
    for (const int fd : taken_) close(fd);
  }
  std::vector<std::string> refusals() {
    MutexLock lock(&mu_);
    return refusals_;
  }

  Descriptors descriptors_;
  std::unique_ptr<Listener> listener_;
  Mutex mu_;
  std::vector<int> taken_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> refusals_ ABSL_GUARDED_BY(mu_);
};

TEST_F(ListenerTest, HandsConnectionsOn) {
  Listen(ListenerOptions());
  Client one;
  Client other;
  ASSERT_TRUE(one.Connect(listener_->port()));
  ASSERT_TRUE(other.Connect(listener_->port()));
  EXPECT_TRUE(one.Hears());
  EXPECT_TRUE(other.Hears());
  EXPECT_EQ(listener_->refused(), 0u);
}

TEST_F(ListenerTest, AConnectionThatWaitsForTheStartIsTaken) {
  NodeAddress address;
  address.host = "127.0.0.1";
  int error = 0;
  listener_ = Listener::Open(address, ListenerOptions(), &error);
  ASSERT_NE(listener_, nullptr);
  Client client;
  ASSERT_TRUE(client.Connect(listener_->port()));
  listener_->Start(
      [](int fd) {
        EXPECT_EQ(send(fd, "h", 1, MSG_NOSIGNAL), 1);
        close(fd);
      },
      [](absl::string_view) {});
  EXPECT_TRUE(client.Hears());
}

TEST_F(ListenerTest, WithoutAnyDescriptorItRefusesAtOnceAndTakesAgainAfter) {
  ListenerOptions options;
  options.descriptors_spare = 0;
  Listen(options);
  Client first;
  Client second;
  Client third;
  descriptors_.Leave(0);
  ASSERT_TRUE(first.Connect(listener_->port()));
  EXPECT_FALSE(first.Hears());
  ASSERT_TRUE(second.Connect(listener_->port()));
  EXPECT_FALSE(second.Hears());
  // Matchers come after: a sanitizer needs descriptors for its checks.
  descriptors_.Restore();
  EXPECT_EQ(listener_->refused(), 2u);
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("open files")));
  ASSERT_TRUE(third.Connect(listener_->port()));
  EXPECT_TRUE(third.Hears());
}

TEST_F(ListenerTest, KeepsSomeDescriptorsForTheNode) {
  ListenerOptions options;
  options.descriptors_spare = 2;
  Listen(options);
  Client first;
  Client second;
  Client third;
  // One may go, two stay.
  descriptors_.Leave(3);
  ASSERT_TRUE(first.Connect(listener_->port()));
  EXPECT_TRUE(first.Hears());
  ASSERT_TRUE(second.Connect(listener_->port()));
  EXPECT_FALSE(second.Hears());
  // Matchers come after: a sanitizer needs descriptors for its checks.
  descriptors_.Restore();
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("for the node itself")));
  ASSERT_TRUE(third.Connect(listener_->port()));
  EXPECT_TRUE(third.Hears());
}

TEST_F(ListenerTest, ThePortIsFreeOnceItHasStopped) {
  Listen(ListenerOptions());
  NodeAddress address;
  address.host = "127.0.0.1";
  address.port = listener_->port();
  int error = 0;
  EXPECT_EQ(Listener::Open(address, ListenerOptions(), &error), nullptr);
  EXPECT_EQ(error, EADDRINUSE);
  listener_->Stop();
  EXPECT_NE(Listener::Open(address, ListenerOptions(), &error), nullptr);
}

}  // namespace
}  // namespace muster
