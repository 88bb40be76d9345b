#include "cluster/supervisor/record_writer.h"

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/store/store.h"
#include "cluster/store/store_state.h"
#include "cluster/store/validate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/testkit/sim_world.h"

namespace muster {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A store whose test answers each transaction: at once, late, or never.
class SlowStore final : public Store {
 public:
  struct Asked {
    Txn txn;
    Done<TxnResult> done;
  };

  void Commit(Txn txn, absl::Duration, Done<TxnResult> done) override {
    asked.push_back(Asked{std::move(txn), std::move(done)});
  }
  void List(std::string, absl::Duration, Done<RangeResult>) override {}
  std::unique_ptr<Watch> Follow(std::string, int64_t, WatchHandler) override {
    return nullptr;
  }
  void Compact(int64_t, absl::Duration,
               absl::AnyInvocable<void(absl::Status)>) override {}
  bool embedded() const override { return false; }
  std::string ToString() const override { return "slow"; }

  Asked Take() {
    Asked first = std::move(asked.front());
    asked.pop_front();
    return first;
  }
  // Carries the oldest one out and answers it.
  void Serve() {
    Asked one = Take();
    one.done(state.Apply(std::move(one.txn)));
  }
  std::vector<std::string> Values() const {
    std::vector<std::string> values;
    for (const KeyValue& item : state.List("").items) {
      values.push_back(absl::StrCat(item.key, "=", item.value));
    }
    return values;
  }

  StoreState state;
  std::deque<Asked> asked;
};

class RecordWriterTest : public testing::Test {
 protected:
  using Trying = RecordWriter::Trying;

  RecordWriterTest()
      : world_(1),
        writer_(std::make_shared<RecordWriter>(&store_, &world_.AddLane("w"))) {
    Txn txn;
    txn.then.push_back(StoreOp::Put("epoch", "1"));
    epoch_ = store_.state.Apply(std::move(txn)).revision;
  }

  void Put(const std::string& key, const std::string& value,
           Trying trying = Trying::kUntilWritten) {
    writer_->Write({Compare::ModRevision("epoch", Compare::Op::kEqual, epoch_)},
                   {StoreOp::Put(key, value)}, trying,
                   [this, value](absl::StatusOr<TxnResult> result) {
                     answers_.push_back(
                         absl::StrCat(value, !result.ok()        ? " unknown"
                                             : result->succeeded ? " stored"
                                                                 : " refused"));
                   });
  }
  static absl::Status Lost() {
    return absl::DeadlineExceededError("no answer");
  }
  static absl::Status Refused() {
    return Error(absl::StatusCode::kUnavailable, "STORE_UNREACHABLE", "away")
        .NotExecuted();
  }

  SimWorld world_;
  SlowStore store_;
  int64_t epoch_ = 0;
  std::vector<std::string> answers_;
  std::shared_ptr<RecordWriter> writer_;
};

TEST_F(RecordWriterTest, WritesInOrder) {
  Put("a", "1");
  Put("a", "2");
  Put("b", "3");
  EXPECT_EQ(store_.asked.size(), 1u);
  for (int i = 0; i < 3; ++i) store_.Serve();
  EXPECT_THAT(answers_, ElementsAre("1 stored", "2 stored", "3 stored"));
  EXPECT_THAT(store_.Values(), ElementsAre("a=2", "b=3", "epoch=1"));
}

// The first try is carried out after all that came later.
TEST_F(RecordWriterTest, ALateTryChangesNothing) {
  Put("a", "1");
  SlowStore::Asked late = store_.Take();
  late.done(Lost());
  world_.RunFor(absl::Seconds(1));
  store_.Serve();
  Put("a", "2");
  store_.Serve();
  EXPECT_FALSE(store_.state.Apply(std::move(late.txn)).succeeded);
  EXPECT_THAT(store_.Values(), ElementsAre("a=2", "epoch=1"));
  EXPECT_THAT(answers_, ElementsAre("1 stored", "2 stored"));
}

TEST_F(RecordWriterTest, ALateDeleteChangesNothing) {
  Put("a", "1");
  store_.Serve();
  writer_->Write({}, {StoreOp::Delete("a")}, Trying::kUntilWritten, nullptr);
  SlowStore::Asked late = store_.Take();
  late.done(Lost());
  world_.RunFor(absl::Seconds(1));
  store_.Serve();
  Put("a", "2");
  store_.Serve();
  EXPECT_FALSE(store_.state.Apply(std::move(late.txn)).succeeded);
  EXPECT_THAT(store_.Values(), ElementsAre("a=2", "epoch=1"));
}

TEST_F(RecordWriterTest, ATryWhoseAnswerWasLostIsFoundAgain) {
  Put("a", "1");
  SlowStore::Asked first = store_.Take();
  store_.state.Apply(std::move(first.txn));
  first.done(Lost());
  world_.RunFor(absl::Seconds(1));
  const int64_t revision = store_.state.revision();
  store_.Serve();
  EXPECT_EQ(store_.state.revision(), revision);  // Not written again.
  EXPECT_THAT(answers_, ElementsAre("1 stored"));
  Put("a", "2");
  store_.Serve();
  EXPECT_THAT(store_.Values(), ElementsAre("a=2", "epoch=1"));
}

TEST_F(RecordWriterTest, WhoeverLostItsEpochWritesNothing) {
  Txn txn;
  txn.then.push_back(StoreOp::Put("epoch", "2"));
  store_.state.Apply(std::move(txn));
  Put("a", "1");
  store_.Serve();
  EXPECT_THAT(store_.asked, IsEmpty());
  EXPECT_THAT(answers_, ElementsAre("1 refused"));
  EXPECT_THAT(store_.Values(), ElementsAre("epoch=2"));
}

TEST_F(RecordWriterTest, ARecordThatIsOtherThanItWasReadIsWrittenAllTheSame) {
  Txn txn;
  txn.then.push_back(StoreOp::Put("a", "0"));
  store_.state.Apply(std::move(txn));
  Put("a", "1");
  store_.Serve();  // Refused: it was not known.
  store_.Serve();
  EXPECT_THAT(answers_, ElementsAre("1 stored"));
}

// However long the store is away, with pauses of at most 2 s.
TEST_F(RecordWriterTest, ARecordIsTriedUntilItIsWritten) {
  Put("a", "1");
  for (int i = 0; i < 100; ++i) {
    store_.Take().done(i % 2 == 0 ? Lost() : Refused());
    EXPECT_THAT(store_.asked, IsEmpty());
    world_.RunFor(i == 0 ? absl::Milliseconds(201) : absl::Milliseconds(2001));
    ASSERT_EQ(store_.asked.size(), 1u) << i;
  }
  EXPECT_THAT(answers_, IsEmpty());
  store_.Serve();
  EXPECT_THAT(answers_, ElementsAre("1 stored"));
}

TEST_F(RecordWriterTest, WhatNoTryCanCureIsGivenUp) {
  Put("a", "1");
  Put("b", "2");
  store_.Take().done(Error(absl::StatusCode::kResourceExhausted,
                           "TXN_TOO_LARGE", "over the limit")
                         .NotExecuted()
                         .status());
  EXPECT_THAT(answers_, ElementsAre("1 unknown"));
  store_.Serve();
  EXPECT_THAT(answers_, ElementsAre("1 unknown", "2 stored"));
}

TEST_F(RecordWriterTest, UntilItIsKnownGivesUpWhatCertainlyWasNotWritten) {
  Put("a", "1", Trying::kUntilKnown);
  store_.Take().done(Refused());
  EXPECT_THAT(answers_, ElementsAre("1 unknown"));
  world_.RunFor(absl::Minutes(1));
  EXPECT_THAT(store_.asked, IsEmpty());
}

// Once a try may have been carried out, a later one that was not says nothing.
TEST_F(RecordWriterTest, UntilItIsKnownFindsATryWhoseAnswerWasLost) {
  Put("a", "1", Trying::kUntilKnown);
  SlowStore::Asked first = store_.Take();
  store_.state.Apply(std::move(first.txn));
  first.done(Lost());
  for (int i = 0; i < 20; ++i) {
    world_.RunFor(absl::Seconds(3));
    store_.Take().done(Refused());
  }
  EXPECT_THAT(answers_, IsEmpty());
  world_.RunFor(absl::Seconds(3));
  store_.Serve();
  EXPECT_THAT(answers_, ElementsAre("1 stored"));
}

TEST_F(RecordWriterTest, EventsMayBeLostAndAreCounted) {
  Put("e", "1", Trying::kMayBeLost);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(writer_->events_lost(), 0u);
    store_.Take().done(Refused());
    world_.RunFor(absl::Seconds(3));
  }
  EXPECT_THAT(store_.asked, IsEmpty());
  EXPECT_THAT(answers_, ElementsAre("1 unknown"));
  EXPECT_EQ(writer_->events_lost(), 1u);
}

TEST_F(RecordWriterTest, ARecordIsNotLostWithTheEventsThatItJoins) {
  Put("x", "0");  // Under way.
  for (const char* key : {"e1", "e2"}) {
    writer_->Write({}, {StoreOp::Put(key, "v")}, Trying::kMayBeLost, nullptr);
  }
  writer_->Write({}, {StoreOp::Put("a", "1")}, Trying::kUntilWritten, nullptr);
  store_.Serve();
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(store_.asked.size(), 1u);
    store_.Take().done(Refused());
    world_.RunFor(absl::Seconds(3));
  }
  store_.Serve();
  EXPECT_THAT(store_.Values(),
              ElementsAre("a=1", "e1=v", "e2=v", "epoch=1", "x=0"));
  EXPECT_EQ(writer_->events_lost(), 0u);
}

// The store is away for good and events keep coming.
TEST_F(RecordWriterTest, EventsThatWaitAreBounded) {
  for (size_t i = 0; i < 3 * kWaitingMax * kRecordsMax; ++i) {
    writer_->Write({}, {StoreOp::Put(absl::StrCat("e", i), "v")},
                   Trying::kMayBeLost, nullptr);
  }
  EXPECT_GT(writer_->events_lost(), kWaitingMax * kRecordsMax);
}

TEST_F(RecordWriterTest, NoTransactionIsLargerThanAStoreTakes) {
  std::vector<StoreOp> ops;
  for (int i = 0; i < 90; ++i) {
    ops.push_back(StoreOp::Put(absl::StrCat("k", i), std::string(60'000, 'v')));
  }
  bool stored = false;
  writer_->Write({}, std::move(ops), Trying::kUntilWritten,
                 [&](absl::StatusOr<TxnResult> result) {
                   stored = result.ok() && result->succeeded;
                 });
  while (!store_.asked.empty()) {
    EXPECT_LE(TxnBytes(store_.asked.front().txn), kTxnBytesMax);
    store_.Serve();
  }
  EXPECT_TRUE(stored);
  EXPECT_EQ(store_.Values().size(), 91u);
}

TEST_F(RecordWriterTest, WhatNobodyWaitsForIsPutTogether) {
  for (int i = 0; i < 250; ++i) {
    writer_->Write({}, {StoreOp::Put(absl::StrCat("k", i % 150), "v")},
                   Trying::kUntilWritten, nullptr);
  }
  int transactions = 0;
  while (!store_.asked.empty()) {
    EXPECT_LE(store_.asked.front().txn.then.size(), kRecordsMax);
    store_.Serve();
    ++transactions;
  }
  EXPECT_EQ(store_.Values().size(), 151u);
  EXPECT_LE(transactions, 5);
}

TEST_F(RecordWriterTest, WhatIsRefusedHalfWayEndsThere) {
  std::vector<StoreOp> ops;
  for (int i = 0; i < 250; ++i) {
    ops.push_back(StoreOp::Put(absl::StrCat("k", i), "v"));
  }
  int refused = 0;
  writer_->Write({Compare::ModRevision("epoch", Compare::Op::kEqual, epoch_)},
                 std::move(ops), Trying::kUntilWritten,
                 [&](absl::StatusOr<TxnResult> result) {
                   refused += result.ok() && !result->succeeded;
                 });
  store_.Serve();
  Txn txn;
  txn.then.push_back(StoreOp::Put("epoch", "2"));
  store_.state.Apply(std::move(txn));
  store_.Serve();
  EXPECT_THAT(store_.asked, IsEmpty());
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(store_.Values().size(), 101u);
}

TEST_F(RecordWriterTest, AfterTheEndNothingIsWritten) {
  Put("a", "1");
  Put("b", "2");
  writer_->Close();
  store_.Serve();  // It was under way.
  EXPECT_THAT(store_.asked, IsEmpty());
  EXPECT_THAT(answers_, IsEmpty());
}

}  // namespace
}  // namespace muster
