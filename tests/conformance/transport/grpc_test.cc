// The transport suite on GrpcTransport, over loopback. Nodes that must be
// killed or frozen are processes: this binary again, started with --other.
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/base/check.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/base/thread_scheduler.h"
#include "node/peer/grpc_transport.h"
#include "node/peer/transport.h"
#include "tests/conformance/transport/transport_conformance.h"

namespace muster {
namespace {

// A transport and the server that it is registered with.
class Node {
 public:
  Node(Scheduler* scheduler, StreamAcceptor acceptor)
      : transport_(std::make_unique<GrpcTransport>(scheduler)) {
    transport_->Serve(std::move(acceptor));
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    transport_->Register(&builder);
    server_ = builder.BuildAndStart();
    MUSTER_CHECK(server_ != nullptr, "loopback has a free port");
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~Node() {
    transport_->Shutdown();
    // At once: the streams are over.
    server_->Shutdown(gpr_inf_past(GPR_CLOCK_REALTIME));
    server_ = nullptr;
    transport_ = nullptr;
  }

  const std::string& address() const { return address_; }
  Transport& transport() { return *transport_; }

 private:
  std::unique_ptr<GrpcTransport> transport_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

// Sends back what it gets.
class Echo final : public StreamHandler {
 public:
  void OnMessage(std::string message) override {
    stream->Write(std::move(message));
  }
  void OnWritten() override {}
  void OnClosed(absl::Status) override { stream = nullptr; }

  std::shared_ptr<Stream> stream;
};

StreamAcceptor EchoAcceptor() {
  return [](std::shared_ptr<Stream> stream) {
    auto echo = std::make_shared<Echo>();
    echo->stream = std::move(stream);
    return echo;
  };
}

// What the process started with --other does: prints its address and serves
// until its standard input ends.
int RunOther(const std::string& dial) {
  SystemClock clock;
  ThreadScheduler scheduler(&clock);
  Node node(&scheduler, EchoAcceptor());
  std::printf("%s\n", node.address().c_str());
  std::fflush(stdout);
  if (!dial.empty()) {
    // No echo: the stream is set after events may have come.
    class Silent final : public StreamHandler {
      void OnMessage(std::string) override {}
      void OnWritten() override {}
      void OnClosed(absl::Status) override {}
    };
    node.transport().Dial(dial, std::make_shared<Silent>())->Write("hello");
  }
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 0;
}

// Such a process. Its destructor kills it.
class OtherProcess {
 public:
  explicit OtherProcess(const std::string& dial) {
    int in[2];
    int out[2];
    MUSTER_CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    std::string self = "/proc/self/exe";
    std::string flag = "--other";
    std::string to = dial;
    char* arguments[] = {self.data(), flag.data(), to.data(), nullptr};
    MUSTER_CHECK(posix_spawn(&pid_, self.c_str(), &actions, nullptr, arguments,
                             environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    stdin_ = in[1];
    char byte;
    while (read(out[0], &byte, 1) == 1 && byte != '\n') address_ += byte;
    close(out[0]);
    MUSTER_CHECK(!address_.empty(), "the other process has started");
  }
  ~OtherProcess() {
    Signal(SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(stdin_);
  }

  const std::string& address() const { return address_; }
  void Signal(int signal) { kill(pid_, signal); }

 private:
  pid_t pid_ = 0;
  int stdin_ = -1;
  std::string address_;
};

class GrpcEnvironment final : public TransportEnvironment {
 public:
  std::string StartNode(StreamAcceptor acceptor) override {
    auto node = std::make_unique<Node>(&scheduler_, std::move(acceptor));
    const std::string address = node->address();
    nodes_.emplace(address, std::move(node));
    return address;
  }
  Transport& TransportOf(const std::string& address) override {
    return nodes_.at(address)->transport();
  }
  void StopNode(const std::string& address) override { nodes_.erase(address); }

  std::string StartOther(const std::string& dial) override {
    auto other = std::make_unique<OtherProcess>(dial);
    const std::string address = other->address();
    others_.emplace(address, std::move(other));
    return address;
  }
  void Kill(const std::string& address) override {
    others_.at(address)->Signal(SIGKILL);
  }
  void Freeze(const std::string& address) override {
    others_.at(address)->Signal(SIGSTOP);
  }

  std::string NobodysAddress() override {
    // Its port was free a moment ago.
    return Node(&scheduler_, nullptr).address();
  }
  Clock& clock() override { return clock_; }

  bool Await(absl::FunctionRef<bool()> done) override {
    const BootTime deadline = clock_.Boot() + absl::Seconds(30);
    MutexLock lock(&mu);
    while (!done()) {
      if (!changed.WaitUntil(&mu, clock_, deadline)) return done();
    }
    return true;
  }

 private:
  SystemClock clock_;
  ThreadScheduler scheduler_{&clock_};
  std::map<std::string, std::unique_ptr<Node>> nodes_;
  std::map<std::string, std::unique_ptr<OtherProcess>> others_;
};

INSTANTIATE_TEST_SUITE_P(Grpc, TransportConformanceTest,
                         testing::Values(TransportEnvironmentFactory([] {
                           return std::make_unique<GrpcEnvironment>();
                         })));

}  // namespace
}  // namespace muster

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--other") {
    return muster::RunOther(argv[2]);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
