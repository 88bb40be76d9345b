// The transport suite on SimTransport.
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"
#include "node/peer/transport.h"
#include "tests/conformance/transport/transport_conformance.h"
#include "tests/testkit/sim_transport.h"
#include "tests/testkit/sim_world.h"

namespace muster {
namespace {

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

class SimEnvironment final : public TransportEnvironment {
 public:
  SimEnvironment(uint64_t seed, bool shuffle)
      : world_(seed, {.shuffle_lanes = shuffle}), network_(&world_.random()) {}

  std::string StartNode(StreamAcceptor acceptor) override {
    const std::string address = absl::StrCat("node", nodes_.size(), ":1");
    Node& node = nodes_[address];
    node.lane = &world_.AddLane(address);
    node.transport =
        std::make_unique<SimTransport>(&network_, node.lane, address);
    node.transport->Serve(std::move(acceptor));
    return address;
  }
  Transport& TransportOf(const std::string& address) override {
    return *nodes_.at(address).transport;
  }
  void StopNode(const std::string& address) override {
    nodes_.at(address).transport = nullptr;
  }

  std::string StartOther(const std::string& dial) override {
    const std::string address = StartNode([](std::shared_ptr<Stream> stream) {
      auto echo = std::make_shared<Echo>();
      echo->stream = std::move(stream);
      return echo;
    });
    if (!dial.empty()) {
      auto echo = std::make_shared<Echo>();
      echo->stream = TransportOf(address).Dial(dial, echo);
      echo->stream->Write("hello");
    }
    return address;
  }
  void Kill(const std::string& address) override {
    network_.KillNode(address);
    world_.KillLane(*nodes_.at(address).lane);
  }
  void Freeze(const std::string& address) override {
    world_.PauseLane(*nodes_.at(address).lane);
  }

  std::string NobodysAddress() override { return "nobody:1"; }
  Clock& clock() override { return world_.clock(); }

  bool Await(absl::FunctionRef<bool()> done) override {
    return world_.RunUntil(
        [&] {
          MutexLock lock(&mu);
          return done();
        },
        absl::Minutes(5));
  }

 private:
  struct Node {
    Scheduler* lane = nullptr;
    std::unique_ptr<SimTransport> transport;
  };

  SimWorld world_;
  SimNetwork network_;
  std::map<std::string, Node> nodes_;
};

TransportEnvironmentFactory Seed(uint64_t seed, bool shuffle) {
  return [seed, shuffle] {
    return std::make_unique<SimEnvironment>(seed, shuffle);
  };
}

INSTANTIATE_TEST_SUITE_P(Sim, TransportConformanceTest,
                         testing::Values(Seed(1, false), Seed(2, true),
                                         Seed(3, true)));

}  // namespace
}  // namespace muster
