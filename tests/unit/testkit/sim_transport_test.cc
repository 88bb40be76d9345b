#include "tests/testkit/sim_transport.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/scheduler.h"
#include "node/peer/transport.h"
#include "tests/testkit/sim_world.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Recorder final : public StreamHandler {
 public:
  void OnMessage(std::string message) override { messages.push_back(message); }
  void OnWritten() override { ++written; }
  void OnClosed(absl::Status status) override { closed = std::move(status); }

  std::vector<std::string> messages;
  int written = 0;
  absl::optional<absl::Status> closed;
};

// Nodes a and b and a stream from one to the other.
class SimTransportTest : public testing::Test {
 protected:
  explicit SimTransportTest(uint64_t seed = 1)
      : world_(seed, {.shuffle_lanes = true}) {
    b_.Serve([this](std::shared_ptr<Stream> stream) {
      accepted_ = std::move(stream);
      return at_b_;
    });
  }

  void Connect() {
    dialed_ = a_.Dial("b:1", at_a_);
    ASSERT_TRUE(world_.RunUntil([this] { return accepted_ != nullptr; },
                                absl::Seconds(1)));
    world_.RunFor(absl::Milliseconds(10));
  }

  SimWorld world_;
  Scheduler& lane_a_ = world_.AddLane("a");
  Scheduler& lane_b_ = world_.AddLane("b");
  SimNetwork network_{&world_.random()};
  SimTransport a_{&network_, &lane_a_, "a:1"};
  SimTransport b_{&network_, &lane_b_, "b:1"};
  std::shared_ptr<Recorder> at_a_ = std::make_shared<Recorder>();
  std::shared_ptr<Recorder> at_b_ = std::make_shared<Recorder>();
  std::shared_ptr<Stream> dialed_;
  std::shared_ptr<Stream> accepted_;
};

TEST_F(SimTransportTest, CutHoldsMessagesUntilItHeals) {
  Connect();
  network_.Cut("a:1", "b:1");
  for (int i = 0; i < 5; ++i) {
    dialed_->Write(absl::StrCat(i));
    world_.RunFor(absl::Milliseconds(1));
  }
  world_.RunFor(absl::Hours(1));
  EXPECT_THAT(at_b_->messages, IsEmpty());
  EXPECT_FALSE(at_a_->closed.has_value());
  network_.Heal("b:1", "a:1");
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(at_b_->messages, ElementsAre("0", "1", "2", "3", "4"));
}

TEST_F(SimTransportTest, DialAcrossACutRunsIntoItsLimit) {
  network_.Cut("a:1", "b:1");
  a_.Dial("b:1", at_a_);
  world_.RunFor(absl::Milliseconds(1'999));
  EXPECT_FALSE(at_a_->closed.has_value());
  world_.RunFor(absl::Milliseconds(1));
  ASSERT_TRUE(at_a_->closed.has_value());
  EXPECT_EQ(at_a_->closed->code(), absl::StatusCode::kUnavailable);
}

TEST_F(SimTransportTest, FullWindowHoldsOnWrittenBack) {
  Connect();
  network_.Cut("a:1", "b:1");
  dialed_->Write(std::string(100'000, 'x'));
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(at_a_->written, 0);
  network_.HealAll();
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(at_a_->written, 1);
}

TEST_F(SimTransportTest, ResetBreaksBothEnds) {
  Connect();
  network_.Reset("a:1", "b:1");
  world_.RunReady();
  ASSERT_TRUE(at_a_->closed.has_value());
  ASSERT_TRUE(at_b_->closed.has_value());
  EXPECT_EQ(at_a_->closed->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(at_b_->closed->code(), absl::StatusCode::kUnavailable);
}

TEST_F(SimTransportTest, KilledNodeHearsNothingAndItsAddressIsFree) {
  Connect();
  accepted_->Write("maybe");
  network_.KillNode("b:1");
  world_.KillLane(lane_b_);
  world_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(at_a_->closed.has_value());
  EXPECT_EQ(at_a_->closed->code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(at_b_->closed.has_value());
  // Nobody keeps the dead node's handler but the test.
  accepted_ = nullptr;
  b_.Serve(nullptr);
  EXPECT_EQ(at_b_.use_count(), 1);

  SimTransport again(&network_, &world_.AddLane("b"), "b:1");
  const auto later = std::make_shared<Recorder>();
  again.Serve([&](std::shared_ptr<Stream>) { return later; });
  a_.Dial("b:1", std::make_shared<Recorder>())->Write("welcome back");
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(later->messages, ElementsAre("welcome back"));
}

TEST_F(SimTransportTest, DeathBehindACutIsNoticedAfterwards) {
  Connect();
  network_.Cut("a:1", "b:1");
  network_.KillNode("b:1");
  world_.RunFor(absl::Hours(1));
  EXPECT_FALSE(at_a_->closed.has_value());
  network_.HealAll();
  world_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(at_a_->closed.has_value());
}

uint64_t HashOf(uint64_t seed) {
  SimWorld world(seed, {.shuffle_lanes = true});
  SimNetwork network(&world.random());
  SimTransport a(&network, &world.AddLane("a"), "a:1");
  SimTransport b(&network, &world.AddLane("b"), "b:1");
  b.Serve([](std::shared_ptr<Stream>) { return std::make_shared<Recorder>(); });
  for (int i = 0; i < 10; ++i) {
    a.Dial("b:1", std::make_shared<Recorder>())->Write("x");
  }
  world.RunFor(absl::Seconds(1));
  network.KillNode("b:1");
  world.RunFor(absl::Seconds(1));
  return world.trace_hash();
}

TEST(SimTransportSeedTest, SameSeedSameRun) {
  EXPECT_EQ(HashOf(1), HashOf(1));
  EXPECT_NE(HashOf(1), HashOf(2));
}

}  // namespace
}  // namespace muster
