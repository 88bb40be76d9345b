#include "cluster/store/compactor.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/store/event.h"
#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/store/v1/store.pb.h"
#include "node/base/scheduler.h"
#include "node/base/strand.h"
#include "tests/testkit/capture_logger.h"
#include "tests/testkit/sim_store.h"
#include "tests/testkit/sim_world.h"

namespace muster {
namespace {

using ::testing::ElementsAre;

class CompactorTest : public ::testing::Test {
 protected:
  static constexpr int kNodes = 5;

  struct Node {
    Scheduler* lane = nullptr;
    std::unique_ptr<SimStore> store;
    std::unique_ptr<Strand> strand;
    int64_t epoch = 0;
    std::unique_ptr<Compactor> compactor;
  };

  CompactorTest()
      : world_(7),
        service_(world_.AddLane("store"), world_.random()),
        writer_(service_.NewClient(world_.AddLane("writer"))),
        keys_("c") {}
  ~CompactorTest() override {
    for (Node& node : nodes_) {
      node.strand->Close();
      node.compactor.reset();
    }
  }

  void StartNodes(CompactorOptions options = {}) {
    for (int i = 0; i < kNodes; ++i) {
      const std::string id = absl::StrCat("n", i);
      Node node;
      node.lane = &world_.AddLane(id);
      node.store = service_.NewClient(*node.lane);
      node.strand = std::make_unique<Strand>(node.lane);
      Write(StoreOp::Delete(keys_.Node(id)));
      node.epoch = Write(StoreOp::Put(keys_.Node(id), "1"));
      node.compactor = std::make_unique<Compactor>(
          node.store.get(), node.strand.get(), &node.lane->clock(),
          &world_.random(), &log_, keys_, id,
          [this, id, epoch = node.epoch] {
            return Compare::CreateRevision(keys_.Node(id), Compare::Op::kEqual,
                                           epoch);
          },
          options);
      node.strand->Post(
          [compactor = node.compactor.get()] { compactor->Start(); });
      nodes_.push_back(std::move(node));
    }
  }
  int64_t Write(StoreOp op) {
    int64_t revision = 0;
    writer_->Commit(Txn{.then = {std::move(op)}}, absl::Seconds(1),
                    [&](absl::StatusOr<TxnResult> result) {
                      ASSERT_TRUE(result.ok());
                      revision = result->revision;
                    });
    world_.RunUntil([&] { return revision != 0; }, absl::Seconds(2));
    return revision;
  }
  // One write a minute.
  void LiveFor(absl::Duration span) {
    for (; span > absl::ZeroDuration(); span -= absl::Minutes(1)) {
      Write(StoreOp::Put("x", "1"));
      world_.RunFor(absl::Minutes(1));
    }
  }
  store::v1::CompactionRecord Record() {
    store::v1::CompactionRecord record;
    const auto items = service_.state().List(keys_.Compaction()).items;
    EXPECT_EQ(items.size(), 1u);
    EXPECT_TRUE(record.ParseFromString(items[0].value));
    return record;
  }
  // Rounds so far.
  size_t Rounds() {
    size_t rounds = 0;
    const auto slice = service_.state().Events(
        keys_.Compaction(), service_.state().compacted_revision(), SIZE_MAX);
    EXPECT_TRUE(slice.ok());
    rounds += slice->events.size();
    return rounds;
  }
  std::string Event(absl::Time at, int unique) {
    StoreOp put = PutEvent(keys_, "n0", store::v1::EventRecord(), at,
                           absl::StrCat(absl::Hex(unique, absl::kZeroPad8)));
    std::string key = put.key;
    Write(std::move(put));
    return key;
  }

  SimWorld world_;
  SimStoreService service_;
  std::unique_ptr<SimStore> writer_;
  const Keys keys_;
  CaptureLogger log_;
  std::vector<Node> nodes_;
};

TEST_F(CompactorTest, OneRoundAnHourKeepsTheLastHour) {
  StartNodes();
  LiveFor(absl::Minutes(59));
  EXPECT_EQ(service_.state().compacted_revision(), 0);
  EXPECT_EQ(Rounds(), 1u);
  const uint64_t first = Record().revision();
  LiveFor(absl::Minutes(40));
  EXPECT_EQ(service_.state().compacted_revision(), static_cast<int64_t>(first));
  const uint64_t second = Record().revision();
  EXPECT_GE(second, first + 60) << "an hour of writes is kept";
  LiveFor(absl::Hours(10));
  const int64_t now = service_.state().revision();
  const int64_t kept = now - service_.state().compacted_revision();
  EXPECT_GE(kept, 60);
  EXPECT_LE(kept, 3 * 60);
  EXPECT_EQ(log_.Count(LogLevel::kError, ""), 0u);
  const size_t done = log_.Count(LogLevel::kInfo, "is forgotten");
  EXPECT_GE(done, 9u);
  EXPECT_LE(done, 11u) << "one of five nodes does it";
}

TEST_F(CompactorTest, ADeadEpochDoesNothing) {
  StartNodes();
  for (int i = 0; i < kNodes; ++i) {
    Write(StoreOp::Delete(keys_.Node(absl::StrCat("n", i))));
  }
  LiveFor(absl::Hours(5));
  EXPECT_EQ(service_.state().compacted_revision(), 0);
  EXPECT_TRUE(service_.state().List(keys_.Compaction()).items.empty());
}

TEST_F(CompactorTest, OneThatWasPausedBetweenDecidingAndDoingDoesNoHarm) {
  StartNodes();
  LiveFor(absl::Minutes(30));
  // As if its order came hours late.
  const int64_t late = static_cast<int64_t>(Record().revision());
  LiveFor(absl::Hours(4));
  const int64_t before = service_.state().compacted_revision();
  ASSERT_GT(before, late);
  EXPECT_EQ(service_.Compact(late).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(service_.state().compacted_revision(), before);
}

TEST_F(CompactorTest, NodesThatNeverLiveAnHourDoItToo) {
  StartNodes();
  LiveFor(absl::Minutes(30));
  const uint64_t first = Record().revision();
  for (int round = 0; round < 3; ++round) {
    for (Node& node : nodes_) {
      node.strand->Close();
      node.compactor.reset();
    }
    nodes_.clear();
    StartNodes();
    LiveFor(absl::Minutes(30));
  }
  EXPECT_GE(service_.state().compacted_revision(), static_cast<int64_t>(first));
}

TEST_F(CompactorTest, OldEventsGo) {
  const absl::Time start = world_.clock().Wall();
  const std::string old = Event(start - absl::Hours(24 * 8), 1);
  std::vector<std::string> recent;
  for (int i = 0; i < 250; ++i) {
    recent.push_back(Event(start - absl::Minutes(250 - i), 2));
  }
  Write(StoreOp::Put(keys_.Event("not-ours"), "?"));
  StartNodes({.events_max = 101});
  LiveFor(absl::Minutes(30));
  std::vector<std::string> left;
  for (const KeyValue& item :
       service_.state().List(keys_.EventPrefix()).items) {
    left.push_back(item.key);
  }
  // The last one, which no PutEvent made, counts and stays.
  recent.erase(recent.begin(), recent.end() - 100);
  recent.push_back(keys_.Event("not-ours"));
  EXPECT_EQ(left, recent);
}

TEST(EventsToDropTest, ByNumberAndByAge) {
  const Keys keys("c");
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  std::vector<KeyValue> events;
  for (int hours : {200, 100, 50, 1}) {
    events.push_back(
        {.key = PutEvent(keys, "n", {}, now - absl::Hours(hours), "0").key});
  }
  EXPECT_THAT(EventsToDrop(events, keys, now, {}), ElementsAre(events[0].key));
  EXPECT_THAT(EventsToDrop(events, keys, now, {.events_max = 2}),
              ElementsAre(events[0].key, events[1].key));
  EXPECT_THAT(
      EventsToDrop(events, keys, now, {.events_age_max = absl::Hours(60)}),
      ElementsAre(events[0].key, events[1].key));
  EXPECT_THAT(EventsToDrop({}, keys, now, {}), ElementsAre());
}

}  // namespace
}  // namespace muster
