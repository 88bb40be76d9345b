#include "cluster/store/replica.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/store/store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/scheduler.h"
#include "node/base/strand.h"
#include "tests/testkit/capture_logger.h"
#include "tests/testkit/sim_store.h"
#include "tests/testkit/sim_world.h"

namespace muster {
namespace {

using ::testing::ElementsAre;

// What a store does wrong.
struct Faults {
  // Events of these keys are not told (guarantees E6).
  std::string lose_events_of;
  int watches = 0;
  int lists = 0;
  // Lists answer this, whatever is there (guarantees E4).
  std::optional<RangeResult> stale;
};

class FaultyStore final : public Store {
 public:
  FaultyStore(Faults* faults, std::unique_ptr<SimStore> store)
      : faults_(faults), store_(std::move(store)) {}
  SimStore& client() { return *store_; }

  void Commit(Txn txn, absl::Duration timeout, Done<TxnResult> done) override {
    store_->Commit(std::move(txn), timeout, std::move(done));
  }
  void List(std::string prefix, absl::Duration timeout,
            Done<RangeResult> done) override {
    ++faults_->lists;
    store_->List(std::move(prefix), timeout,
                 [faults = faults_, done = std::move(done)](
                     absl::StatusOr<RangeResult> result) mutable {
                   if (faults->stale.has_value()) result = *faults->stale;
                   done(std::move(result));
                 });
  }
  std::unique_ptr<Watch> Follow(std::string prefix, int64_t from,
                                WatchHandler handler) override {
    ++faults_->watches;
    handler.on_events = [faults = faults_,
                         on_events = std::move(handler.on_events)](
                            std::vector<WatchEvent> events) mutable {
      if (!faults->lose_events_of.empty()) {
        std::erase_if(events, [&](const WatchEvent& event) {
          return absl::StrContains(event.item.key, faults->lose_events_of);
        });
      }
      if (!events.empty()) on_events(std::move(events));
    };
    return store_->Follow(std::move(prefix), from, std::move(handler));
  }
  void Compact(int64_t revision, absl::Duration timeout,
               absl::AnyInvocable<void(absl::Status)> done) override {
    store_->Compact(revision, timeout, std::move(done));
  }
  bool embedded() const override { return false; }
  std::string ToString() const override { return "faulty"; }

 private:
  Faults* const faults_;
  const std::unique_ptr<SimStore> store_;
};

class ReplicaTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  ReplicaTest()
      : world_(GetParam()),
        service_(world_.AddLane("store"), world_.random()),
        lane_(world_.AddLane("node")),
        writer_(service_.NewClient(world_.AddLane("writer"))),
        store_(&faults_, service_.NewClient(lane_)),
        strand_(&lane_) {
    ReplicaHandler handler;
    handler.on_change = [this](const std::string& key, const KeyValue* now,
                               int64_t revision) {
      // Never back in time.
      EXPECT_GT(revision, told_[key]) << key;
      told_[key] = revision;
      changes_.push_back(absl::StrCat(
          key, now != nullptr ? absl::StrCat("=", now->value) : " deleted"));
    };
    handler.on_synced = [this] { ++syncs_; };
    handler.on_gap = [this] { ++gaps_; };
    replica_ = std::make_unique<Replica>(&store_, &strand_, &lane_.clock(),
                                         &world_.random(), &log_, "p/",
                                         std::move(handler));
  }
  ~ReplicaTest() override {
    strand_.Close();
    replica_.reset();
  }

  void Start() {
    strand_.Post([this] { replica_->Start(); });
    ASSERT_TRUE(world_.RunUntil([&] { return syncs_ > 0; }, absl::Seconds(5)));
    Settle();
  }
  void Settle() { world_.RunFor(absl::Milliseconds(50)); }
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
  int64_t Put(const std::string& key, const std::string& value) {
    return Write(StoreOp::Put(key, value));
  }
  int64_t Delete(const std::string& key) { return Write(StoreOp::Delete(key)); }
  std::map<std::string, std::string> Items() const {
    std::map<std::string, std::string> items;
    for (const auto& [key, item] : replica_->items()) items[key] = item.value;
    return items;
  }
  std::map<std::string, std::string> Truth() const {
    std::map<std::string, std::string> items;
    for (const KeyValue& item : service_.state().List("p/").items) {
      items[item.key] = item.value;
    }
    return items;
  }

  SimWorld world_;
  SimStoreService service_;
  Scheduler& lane_;
  std::unique_ptr<SimStore> writer_;
  Faults faults_;
  FaultyStore store_;
  Strand strand_;
  CaptureLogger log_;
  std::map<std::string, int64_t> told_;
  std::vector<std::string> changes_;
  int syncs_ = 0;
  int gaps_ = 0;
  std::unique_ptr<Replica> replica_;
};

TEST_P(ReplicaTest, TellsWhatIsThereAndWhatComes) {
  Put("p/a", "1");
  Put("q/a", "other");
  Start();
  EXPECT_THAT(changes_, ElementsAre("p/a=1"));
  Put("p/b", "2");
  Delete("p/a");
  Settle();
  EXPECT_THAT(changes_, ElementsAre("p/a=1", "p/b=2", "p/a deleted"));
  EXPECT_EQ(Items(), Truth());
  EXPECT_EQ(gaps_, 0);
}

TEST_P(ReplicaTest, TellsAllKeysOfOneRevision) {
  Start();
  Txn put;
  Txn change;
  for (const char* key : {"p/a", "p/b", "p/c"}) {
    put.then.push_back(StoreOp::Put(key, "1"));
    change.then.push_back(StoreOp::Delete(key));
  }
  writer_->Commit(std::move(put), absl::Seconds(1),
                  [](absl::StatusOr<TxnResult>) {});
  Settle();
  EXPECT_THAT(changes_, ElementsAre("p/a=1", "p/b=1", "p/c=1"));
  writer_->Commit(std::move(change), absl::Seconds(1),
                  [](absl::StatusOr<TxnResult>) {});
  Settle();
  EXPECT_EQ(changes_.size(), 6u);
  EXPECT_EQ(Items(), Truth());
  EXPECT_EQ(faults_.lists, 1);
}

TEST_P(ReplicaTest, ListsAgainEvery30Seconds) {
  Start();
  const int64_t before = replica_->listed_revision();
  Put("p/a", "1");
  world_.RunFor(absl::Seconds(100));
  EXPECT_EQ(faults_.lists, 4);
  EXPECT_EQ(faults_.watches, 1);
  EXPECT_EQ(gaps_, 0);
  EXPECT_GT(replica_->listed_revision(), before);
  EXPECT_THAT(changes_, ElementsAre("p/a=1"));
}

TEST_P(ReplicaTest, AListFindsWhatTheWatchLostAndReplacesIt) {
  Put("p/lost/a", "1");
  Start();
  faults_.lose_events_of = "lost";
  Delete("p/lost/a");
  Put("p/lost/b", "1");
  Put("p/c", "1");
  Settle();
  EXPECT_THAT(changes_, ElementsAre("p/lost/a=1", "p/c=1"));
  EXPECT_NE(Items(), Truth());
  world_.RunFor(absl::Seconds(31));
  EXPECT_EQ(Items(), Truth());
  EXPECT_EQ(log_.Count(LogLevel::kError, "not told of 2 changes"), 0u);
  faults_.lose_events_of.clear();
  world_.RunFor(absl::Seconds(6));
  EXPECT_EQ(log_.Count(LogLevel::kError, "not told of 2 changes"), 1u);
  EXPECT_EQ(faults_.watches, 2);
  EXPECT_EQ(gaps_, 1);
  // The new one is no worse.
  Put("p/lost/b", "2");
  Settle();
  EXPECT_EQ(Items(), Truth());
  world_.RunFor(absl::Minutes(2));
  EXPECT_EQ(faults_.watches, 2);
}

TEST_P(ReplicaTest, ASlowWatchIsNoDeafOne) {
  Start();
  // The list comes while events are held up.
  service_.Disconnect(store_.client());
  Put("p/a", "1");
  Delete("p/a");
  Put("p/b", "1");
  service_.Reconnect(store_.client());
  strand_.Post([this] { replica_->Refresh(); });
  world_.RunFor(absl::Seconds(20));
  EXPECT_EQ(Items(), Truth());
  EXPECT_EQ(faults_.watches, 1);
  EXPECT_EQ(gaps_, 0);
}

TEST_P(ReplicaTest, ListsAfterABreakAndAfterACompaction) {
  Put("p/a", "1");
  Put("p/b", "1");
  Start();
  service_.Disconnect(store_.client(), SimCut::kRefused);
  Settle();
  Delete("p/a");
  Put("p/b", "2");
  const int64_t last = Put("p/c", "1");
  ASSERT_TRUE(service_.Compact(last).ok());
  world_.RunFor(absl::Seconds(3));
  EXPECT_GT(gaps_, 0);
  service_.Reconnect(store_.client());
  world_.RunFor(absl::Seconds(3));
  EXPECT_EQ(Items(), Truth());
  EXPECT_THAT(changes_,
              ElementsAre("p/a=1", "p/b=1", "p/a deleted", "p/b=2", "p/c=1"));
  Put("p/d", "1");
  Settle();
  EXPECT_EQ(Items(), Truth());
}

TEST_P(ReplicaTest, AStaleListBringsNothingBack) {
  Put("p/a", "1");
  Put("p/b", "1");
  Start();
  const RangeResult old = service_.state().List("p/");
  Delete("p/a");
  Put("p/b", "2");
  Settle();
  faults_.stale = old;
  strand_.Post([this] { replica_->Refresh(); });
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Items(), Truth());
  EXPECT_THAT(changes_, ElementsAre("p/a=1", "p/b=1", "p/a deleted", "p/b=2"));
  EXPECT_EQ(faults_.watches, 1);
}

// While lists and events cross each other, nothing is lost and nothing comes
// back; the handler checks the order.
TEST_P(ReplicaTest, ConvergesUnderChangesListsAndCuts) {
  Start();
  for (int i = 0; i < 400; ++i) {
    const std::string key = absl::StrCat("p/", world_.random().Below(8));
    if (world_.random().Below(3) == 0) {
      writer_->Commit(Txn{.then = {StoreOp::Delete(key)}}, absl::Seconds(1),
                      [](absl::StatusOr<TxnResult>) {});
    } else {
      writer_->Commit(Txn{.then = {StoreOp::Put(key, absl::StrCat(i))}},
                      absl::Seconds(1), [](absl::StatusOr<TxnResult>) {});
    }
    switch (world_.random().Below(12)) {
      case 0:
        strand_.Post([this] { replica_->Refresh(); });
        break;
      case 1:
        service_.Disconnect(store_.client(), world_.random().Below(2) == 0
                                                 ? SimCut::kSilent
                                                 : SimCut::kRefused);
        break;
      case 2:
        service_.Reconnect(store_.client());
        break;
      case 3:
        static_cast<void>(service_.Compact(service_.state().revision()));
        break;
      default:
        break;
    }
    world_.RunFor(world_.random().Jitter(absl::Milliseconds(4)));
  }
  service_.Reconnect(store_.client());
  world_.RunFor(absl::Seconds(10));
  EXPECT_EQ(Items(), Truth());
}

INSTANTIATE_TEST_SUITE_P(Seeds, ReplicaTest, ::testing::Range<uint64_t>(1, 21));

}  // namespace
}  // namespace muster
