// SimStore keeps the contract of Store, also under its faults, and one seed
// gives one run.

#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/scheduler.h"
#include "node/types/status.h"
#include "tests/conformance/store/store_conformance.h"
#include "tests/testkit/sim_store.h"
#include "tests/testkit/sim_world.h"

namespace muster {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint64_t kSeeds[] = {1, 2, 3, 4, 5, 6, 7, 8};

// One simulated cluster: the store on a lane, and a node on another.
class SimEnvironment final : public StoreEnvironment {
 public:
  explicit SimEnvironment(uint64_t seed)
      : world_(seed, {.shuffle_lanes = true}),
        service_(world_.AddLane("store"), world_.random()),
        node_(world_.AddLane("node")) {
    std::cout << "seed " << seed << "\n";
  }

  std::unique_ptr<Store> NewStore() override {
    return service_.NewClient(node_);
  }
  std::unique_ptr<SimStore> NewClient() { return service_.NewClient(node_); }
  std::string KeyPrefix() override { return "/conformance/"; }
  void Update(absl::FunctionRef<void()> change) override { change(); }
  bool WaitUntil(absl::FunctionRef<bool()> condition) override {
    return world_.RunUntil(condition, absl::Seconds(30));
  }

  SimWorld& world() { return world_; }
  SimStoreService& service() { return service_; }
  Scheduler& node() { return node_; }

 private:
  SimWorld world_;
  SimStoreService service_;
  Scheduler& node_;
};

std::vector<NewStoreEnvironment> SeededEnvironments() {
  std::vector<NewStoreEnvironment> environments;
  for (const uint64_t seed : kSeeds) {
    environments.push_back(
        [seed] { return std::make_unique<SimEnvironment>(seed); });
  }
  return environments;
}

INSTANTIATE_TEST_SUITE_P(Sim, StoreConformanceTest,
                         ::testing::ValuesIn(SeededEnvironments()));

class SimStoreTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  SimStoreTest()
      : environment_(GetParam()),
        store_(environment_.NewClient()),
        tester_(environment_, *store_),
        other_(environment_.NewClient()),
        other_tester_(environment_, *other_) {}

  SimStoreService& service() { return environment_.service(); }
  absl::Status CommitFor(absl::Duration timeout) {
    Answer<TxnResult> answer(environment_);
    store_->Commit(Txn{.then = {StoreOp::Put("k", "v")}}, timeout,
                   answer.Take());
    return answer.Wait().status();
  }
  absl::Status ListFor(absl::Duration timeout) {
    Answer<RangeResult> answer(environment_);
    store_->List("k", timeout, answer.Take());
    return answer.Wait().status();
  }

  SimEnvironment environment_;
  std::unique_ptr<SimStore> store_;
  StoreTester tester_;
  std::unique_ptr<SimStore> other_;
  StoreTester other_tester_;
};

INSTANTIATE_TEST_SUITE_P(Seeds, SimStoreTest, ::testing::ValuesIn(kSeeds));

TEST_P(SimStoreTest, ClientsShareOneStore) {
  WatchRecord record(environment_);
  const auto watch = other_->Follow("k", 1, record.Handler());
  const int64_t revision = tester_.Put("k", "1");
  EXPECT_EQ(other_tester_.Get("k").mod_revision, revision);
  EXPECT_THAT(record.WaitForEvents(1), SizeIs(1));
}

TEST_P(SimStoreTest, SilentCutIsDeadlineExceededAndUnknown) {
  service().Disconnect(*store_);
  const absl::Status commit = CommitFor(absl::Seconds(1));
  EXPECT_EQ(commit.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(OutcomeOf(commit), Outcome::kUnknown);
  const absl::Status list = ListFor(absl::Seconds(1));
  EXPECT_EQ(list.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(OutcomeOf(list), Outcome::kNotExecuted);
  EXPECT_EQ(other_tester_.Get("k").key, "");
  service().Reconnect(*store_);
  EXPECT_TRUE(CommitFor(absl::Seconds(1)).ok());
}

TEST_P(SimStoreTest, RefusingCutIsUnavailableAndNotExecuted) {
  service().Disconnect(*store_, SimCut::kRefused);
  const absl::Status commit = CommitFor(absl::Seconds(1));
  EXPECT_EQ(commit.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(OutcomeOf(commit), Outcome::kNotExecuted);
  WatchRecord record(environment_);
  const auto watch = store_->Follow("k", 1, record.Handler());
  EXPECT_EQ(record.WaitForEnd().code(), absl::StatusCode::kUnavailable);
}

TEST_P(SimStoreTest, ResetUnderWayIsAbortedAndUnknown) {
  WatchRecord record(environment_);
  const auto watch = store_->Follow("k", 1, record.Handler());
  Answer<TxnResult> answer(environment_);
  store_->Commit(Txn{.then = {StoreOp::Put("k", "v")}}, absl::Seconds(1),
                 answer.Take());
  service().Disconnect(*store_, SimCut::kRefused);
  service().Reconnect(*store_);
  const absl::Status status = answer.Wait().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
  EXPECT_EQ(record.WaitForEnd().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(CommitFor(absl::Seconds(1)).ok());
}

TEST_P(SimStoreTest, LostAnswerWasAppliedNevertheless) {
  service().LoseAnswers(*store_, 1);
  const absl::Status status = CommitFor(absl::Seconds(1));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
  EXPECT_EQ(other_tester_.Get("k").value, "v");
  EXPECT_TRUE(CommitFor(absl::Seconds(1)).ok());
}

TEST_P(SimStoreTest, SilentWatchGoesOnAfterReconnect) {
  WatchRecord record(environment_);
  const auto watch = store_->Follow("k", 1, record.Handler());
  other_tester_.Put("k", "1");
  EXPECT_THAT(record.WaitForEvents(1), SizeIs(1));
  service().Disconnect(*store_);
  other_tester_.Put("k", "2");
  other_tester_.Put("k", "3");
  environment_.world().RunFor(absl::Seconds(10));
  EXPECT_THAT(record.calls(), SizeIs(1));
  service().Reconnect(*store_);
  const std::vector<WatchEvent> events = record.WaitForEvents(3);
  ASSERT_THAT(events, SizeIs(3));
  EXPECT_EQ(events[1].item.value, "2");
  EXPECT_EQ(events[2].item.value, "3");
}

TEST_P(SimStoreTest, NothingComesBackToADeadNode) {
  Scheduler& node = environment_.world().AddLane("victim");
  const std::unique_ptr<SimStore> client = service().NewClient(node);
  WatchRecord record(environment_);
  const auto watch = client->Follow("k", 1, record.Handler());
  Answer<TxnResult> answer(environment_);
  client->Commit(Txn{.then = {StoreOp::Put("k", "v")}}, absl::Seconds(1),
                 answer.Take());
  environment_.world().KillLane(node);
  environment_.world().RunFor(absl::Seconds(10));
  // What it had sent arrived.
  EXPECT_EQ(tester_.Get("k").value, "v");
  EXPECT_EQ(answer.calls(), 0);
  EXPECT_THAT(record.calls(), IsEmpty());
}

TEST_P(SimStoreTest, AnOutageMeetsAllClients) {
  service().DisconnectAll();
  EXPECT_EQ(CommitFor(absl::Seconds(1)).code(),
            absl::StatusCode::kDeadlineExceeded);
  const std::unique_ptr<SimStore> late = environment_.NewClient();
  Answer<RangeResult> answer(environment_);
  late->List("", absl::Seconds(1), answer.Take());
  EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kDeadlineExceeded);
  service().ReconnectAll();
  EXPECT_TRUE(CommitFor(absl::Seconds(1)).ok());
}

uint64_t HashOfARun(uint64_t seed) {
  SimEnvironment environment(seed);
  const std::unique_ptr<SimStore> store = environment.NewClient();
  WatchRecord record(environment);
  const auto watch = store->Follow("k", 1, record.Handler());
  StoreTester tester(environment, *store);
  for (int i = 0; i < 20; ++i) {
    environment.world().Trace(
        absl::StrCat(tester.Put(absl::StrCat("k", i % 3), absl::StrCat(i))));
  }
  environment.service().LoseAnswers(*store, 1);
  Answer<TxnResult> answer(environment);
  store->Commit(Txn{.then = {StoreOp::Put("k", "v")}}, absl::Seconds(1),
                answer.Take());
  environment.world().Trace(answer.Wait().status().message());
  return environment.world().trace_hash();
}

TEST_P(SimStoreTest, OneSeedIsOneRun) {
  EXPECT_EQ(HashOfARun(GetParam()), HashOfARun(GetParam()));
  EXPECT_NE(HashOfARun(GetParam()), HashOfARun(GetParam() + 1000));
}

}  // namespace
}  // namespace muster
