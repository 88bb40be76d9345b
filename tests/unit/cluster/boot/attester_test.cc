// Guarantees R12: what is attested dead is dead at once, and only that.

#include "cluster/boot/attester.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cluster/store/keys.h"
#include "gtest/gtest.h"
#include "muster/store/v1/store.pb.h"
#include "tests/testkit/sim_store.h"
#include "tests/testkit/sim_world.h"

namespace muster {
namespace {

class AttesterTest : public testing::Test {
 protected:
  AttesterTest()
      : service_(world_.AddLane("store"), world_.random(), {}),
        lane_(world_.AddLane("sentinel")),
        store_(service_.NewClient(lane_)),
        attester_(keys_, "a", store_.get(), &lane_, &world_.random()) {}

  // Node a is there; its epoch.
  Epoch Put(const std::string& value) {
    std::optional<int64_t> revision;
    Txn txn;
    txn.then.push_back(StoreOp::Put(keys_.Node("a"), value));
    txn.then.push_back(StoreOp::Put(keys_.Heartbeat("a"), value));
    store_->Commit(
        std::move(txn), absl::Seconds(1),
        [&](absl::StatusOr<TxnResult> result) { revision = result->revision; });
    world_.RunUntil([&] { return revision.has_value(); }, absl::Seconds(2));
    return Epoch{1, static_cast<uint64_t>(revision.value_or(0))};
  }

  void Attest(Epoch epoch) {
    attester_.Attest(
        epoch, "killed by signal 9 (KILL)",
        [this](Attested attested) { answers_.push_back(attested); });
  }
  bool Answered(absl::Duration within) {
    return world_.RunUntil([&] { return !answers_.empty(); }, within);
  }

  // All under the cluster's root.
  std::vector<KeyValue> Records() {
    std::optional<RangeResult> all;
    auto reader = service_.NewClient(world_.AddLane("reader"));
    reader->List(keys_.Root(), absl::Seconds(1),
                 [&](absl::StatusOr<RangeResult> result) {
                   all = result.value_or(RangeResult());
                 });
    world_.RunUntil([&] { return all.has_value(); }, absl::Seconds(2));
    return all.value_or(RangeResult()).items;
  }
  std::vector<store::v1::EventRecord> Events() {
    std::vector<store::v1::EventRecord> events;
    for (const KeyValue& item : Records()) {
      if (keys_.Parse(item.key)->kind == Keys::Kind::kEvent) {
        events.emplace_back().ParseFromString(item.value);
      }
    }
    return events;
  }

  const Keys keys_{"c"};
  SimWorld world_{1};
  SimStoreService service_;
  Scheduler& lane_;
  std::unique_ptr<SimStore> store_;
  Attester attester_;
  std::vector<Attested> answers_;
};

TEST_F(AttesterTest, EndsTheEpochAtOnceAndSaysWhy) {
  const Epoch epoch = Put("1");
  Attest(epoch);
  EXPECT_EQ(attester_.unanswered(), 1);
  ASSERT_TRUE(Answered(absl::Milliseconds(50)));
  EXPECT_TRUE(answers_[0].reaped);
  EXPECT_EQ(answers_[0].tries, 1);
  EXPECT_EQ(attester_.unanswered(), 0);
  // The event and, for supervisors, the last one of the node.
  const std::vector<KeyValue> left = Records();
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[0].key, keys_.Attested("a"));
  EXPECT_EQ(left[0].value, left[1].value);
  const std::vector<store::v1::EventRecord> events = Events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind(), "node.attested");
  EXPECT_EQ(events[0].node(), "a");
  EXPECT_EQ(events[0].reporter(), "a");
  EXPECT_EQ(Epoch::FromProto(events[0].old_epoch()), epoch);
  EXPECT_EQ(events[0].evidence().at("wait_status"),
            "killed by signal 9 (KILL)");
}

TEST_F(AttesterTest, NeverTouchesALaterEpoch) {
  const Epoch old = Put("1");
  Attest(old);
  ASSERT_TRUE(Answered(absl::Seconds(1)));
  Put("2");
  answers_.clear();
  Attest(old);
  ASSERT_TRUE(Answered(absl::Seconds(1)));
  EXPECT_FALSE(answers_[0].reaped);
  EXPECT_EQ(Records().size(), 4u) << "node, hb, one event, the last one";
  EXPECT_EQ(Events().size(), 1u);
}

TEST_F(AttesterTest, TriesUntilTheStoreAnswers) {
  const Epoch epoch = Put("1");
  service_.Disconnect(*store_, SimCut::kRefused);
  Attest(epoch);
  EXPECT_FALSE(Answered(absl::Minutes(10)));
  EXPECT_EQ(attester_.unanswered(), 1);
  service_.Reconnect(*store_);
  // At most one pause of a second and its jitter.
  ASSERT_TRUE(Answered(absl::Milliseconds(1300)));
  EXPECT_TRUE(answers_[0].reaped);
  EXPECT_GT(answers_[0].tries, 10);
  EXPECT_GE(answers_[0].took, absl::Minutes(10));
}

TEST_F(AttesterTest, SilenceOfTheStoreIsTriedAgain) {
  const Epoch epoch = Put("1");
  service_.Disconnect(*store_, SimCut::kSilent);
  Attest(epoch);
  EXPECT_FALSE(Answered(absl::Seconds(5)));
  service_.Reconnect(*store_);
  ASSERT_TRUE(Answered(absl::Seconds(2)));
  EXPECT_EQ(Records().size(), 2u);
}

TEST_F(AttesterTest, ALostAnswerEndsAsEndedBeforeWithOneEvent) {
  const Epoch epoch = Put("1");
  service_.LoseAnswers(*store_, 1);
  Attest(epoch);
  ASSERT_TRUE(Answered(absl::Seconds(2)));
  EXPECT_FALSE(answers_[0].reaped);
  EXPECT_EQ(answers_[0].tries, 2);
  EXPECT_EQ(Records().size(), 2u);
  EXPECT_EQ(Events().size(), 1u);
}

}  // namespace
}  // namespace muster
