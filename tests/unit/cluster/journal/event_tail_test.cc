#include "cluster/journal/event_tail.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/store/event.h"
#include "cluster/store/keys.h"
#include "gtest/gtest.h"
#include "tests/testkit/sim_store.h"
#include "tests/testkit/sim_world.h"

namespace muster {
namespace {

class EventTailTest : public testing::Test {
 protected:
  EventTailTest()
      : service_(world_.AddLane("store"), world_.random(), {}),
        lane_(world_.AddLane("reader")),
        store_(service_.NewClient(lane_)),
        writer_lane_(world_.AddLane("writer")),
        writer_(service_.NewClient(writer_lane_)) {}
  ~EventTailTest() override {
    if (tail_ != nullptr) tail_->Close();
  }

  // Events n.<from> to n.<to>, one transaction each.
  void Write(int from, int to) {
    for (int i = from; i <= to; ++i) {
      store::v1::EventRecord record;
      record.set_kind(absl::StrCat(i % 2 == 0 ? "even." : "odd.", i));
      Txn txn;
      txn.then.push_back(PutEvent(keys_, "w", record,
                                  writer_lane_.clock().Wall(),
                                  world_.random().Hex(8)));
      bool done = false;
      writer_->Commit(std::move(txn), absl::Seconds(1),
                      [&](absl::StatusOr<TxnResult> result) {
                        EXPECT_TRUE(result.ok());
                        done = true;
                      });
      world_.RunUntil([&] { return done; }, absl::Seconds(2));
    }
  }
  void Follow(const admin::v1::ListEventsRequest& request) {
    tail_ = std::make_shared<EventTail>(
        keys_, store_.get(), &lane_, request,
        [this](std::vector<admin::v1::Event> events) {
          EXPECT_FALSE(events.empty());
          for (const admin::v1::Event& event : events) {
            kinds_.push_back(event.record().kind());
          }
        });
    tail_->Start();
  }
  bool Await(size_t count) {
    return world_.RunUntil([&] { return kinds_.size() >= count; },
                           absl::Seconds(60));
  }

  const Keys keys_{"c"};
  SimWorld world_{1};
  SimStoreService service_;
  Scheduler& lane_;
  std::unique_ptr<SimStore> store_;
  Scheduler& writer_lane_;
  std::unique_ptr<SimStore> writer_;
  std::shared_ptr<EventTail> tail_;
  std::vector<std::string> kinds_;
};

TEST_F(EventTailTest, TellsWhatWasAndThenWhatHappens) {
  Write(1, 3);
  Follow({});
  ASSERT_TRUE(Await(3));
  Write(4, 5);
  ASSERT_TRUE(Await(5));
  EXPECT_EQ(kinds_, (std::vector<std::string>{"odd.1", "even.2", "odd.3",
                                              "even.4", "odd.5"}));
}

TEST_F(EventTailTest, TheLimitIsOfWhatWasAndTheFilterOfBoth) {
  Write(1, 8);
  admin::v1::ListEventsRequest request;
  request.set_kind("even.");
  request.set_limit(2);
  Follow(request);
  ASSERT_TRUE(Await(2));
  Write(9, 12);
  ASSERT_TRUE(Await(4));
  EXPECT_EQ(kinds_, (std::vector<std::string>{"even.6", "even.8", "even.10",
                                              "even.12"}));
}

TEST_F(EventTailTest, AGapIsFilledWithoutTellingTwice) {
  Write(1, 2);
  Follow({});
  ASSERT_TRUE(Await(2));
  service_.Disconnect(*store_, SimCut::kRefused);
  Write(3, 4);
  world_.RunFor(absl::Seconds(3));
  EXPECT_EQ(kinds_.size(), 2u);
  service_.Reconnect(*store_);
  ASSERT_TRUE(Await(4));
  Write(5, 5);
  ASSERT_TRUE(Await(5));
  EXPECT_EQ(kinds_, (std::vector<std::string>{"odd.1", "even.2", "odd.3",
                                              "even.4", "odd.5"}));
}

TEST_F(EventTailTest, SaysNothingOnceItIsClosed) {
  Follow({});
  world_.RunFor(absl::Seconds(1));
  tail_->Close();
  tail_->Close();
  Write(1, 2);
  world_.RunFor(absl::Seconds(5));
  EXPECT_TRUE(kinds_.empty());
}

TEST_F(EventTailTest, MayBeClosedBeforeTheFirstAnswer) {
  Write(1, 1);
  Follow({});
  tail_->Close();
  world_.RunFor(absl::Seconds(5));
  EXPECT_TRUE(kinds_.empty());
}

}  // namespace
}  // namespace muster
