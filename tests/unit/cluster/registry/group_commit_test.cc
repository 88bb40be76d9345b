#include "cluster/registry/group_commit.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/store/store.h"
#include "cluster/store/store_state.h"
#include "cluster/store/validate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/testkit/sim_clock.h"

namespace muster {
namespace {

using ::testing::ElementsAre;

// Keeps transactions until the test lets them through.
class HeldStore final : public Store {
 public:
  void Commit(Txn txn, absl::Duration, Done<TxnResult> done) override {
    const absl::Status valid = ValidateTxn(txn);
    EXPECT_TRUE(valid.ok()) << valid;
    held.push_back({std::move(txn), std::move(done)});
  }
  void List(std::string, absl::Duration, Done<RangeResult>) override {}
  std::unique_ptr<Watch> Follow(std::string, int64_t, WatchHandler) override {
    return nullptr;
  }
  void Compact(int64_t, absl::Duration,
               absl::AnyInvocable<void(absl::Status)>) override {}
  bool embedded() const override { return false; }
  std::string ToString() const override { return "held"; }

  // The oldest one is applied and answered, or that at `index`.
  void Answer(size_t index = 0) {
    Held next = Pop(index);
    next.done(state.Apply(std::move(next.txn)));
  }
  // It is said to be lost, and will be applied when the caller does so.
  Txn Delay() {
    Held next = Pop();
    Txn late = next.txn;
    next.done(Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT", "lost")
                  .Unknown());
    return late;
  }
  // It certainly does not come to the store.
  void Refuse() {
    Held next = Pop();
    next.done(Error(absl::StatusCode::kUnavailable, "STORE_UNREACHABLE", "no")
                  .NotExecuted());
  }
  // Applied, and its answer is lost.
  void Lose() {
    Held next = Pop();
    state.Apply(std::move(next.txn));
    next.done(
        Error(absl::StatusCode::kAborted, "NOCONNECTION", "lost").Unknown());
  }
  // Nested transactions of each one held.
  std::vector<size_t> Sizes() const {
    std::vector<size_t> sizes;
    for (const Held& one : held) {
      sizes.push_back(static_cast<size_t>(std::count_if(
          one.txn.then.begin(), one.txn.then.end(),
          [](const StoreOp& op) { return op.kind == StoreOp::Kind::kTxn; })));
    }
    return sizes;
  }

  struct Held {
    Txn txn;
    Done<TxnResult> done;
  };
  std::deque<Held> held;
  StoreState state;

 private:
  Held Pop(size_t index = 0) {
    const auto at = held.begin() + static_cast<std::ptrdiff_t>(index);
    Held next = std::move(*at);
    held.erase(at);
    return next;
  }
};

class GroupCommitTest : public ::testing::Test {
 protected:
  GroupCommitTest() {
    state_epoch_ = store_.state
                       .Apply(Txn{.then = {StoreOp::Put("node", "me"),
                                           StoreOp::Put("barrier", "")}})
                       .revision;
  }

  GroupCommit Make(GroupCommitOptions options = {.in_flight_max = 1}) {
    return GroupCommit(
        &store_, &clock_,
        [this] {
          return Compare::CreateRevision("node", Compare::Op::kEqual,
                                         state_epoch_);
        },
        "barrier", options);
  }
  int64_t Barrier() const {
    return store_.state.List("barrier").items.at(0).mod_revision;
  }
  bool Exists(const std::string& key) const {
    const std::vector<KeyValue> items = store_.state.List(key).items;
    return !items.empty() && items[0].key == key;
  }
  // Ends the node's epoch, as all reaps do.
  void Reap() {
    store_.state.Apply(
        Txn{.then = {StoreOp::Delete("node"), StoreOp::Delete("barrier")}});
  }
  static Txn Create(const std::string& key) {
    return Txn{.compares = {Compare::Absent(key)},
               .then = {StoreOp::Put(key, "1")},
               .otherwise = {StoreOp::Get(key)}};
  }
  // Notes what comes of it under `label`.
  GroupCommit::Done Note(const std::string& label) {
    return [this, label](absl::StatusOr<TxnResult> result) {
      order_.push_back(label);
      results_.emplace(label, std::move(result));
    };
  }
  const absl::StatusOr<TxnResult>& ResultOf(const std::string& label) {
    return results_.at(label);
  }

  SimClock clock_;
  HeldStore store_;
  int64_t state_epoch_ = 0;
  std::vector<std::string> order_;
  std::map<std::string, absl::StatusOr<TxnResult>> results_;
};

TEST_F(GroupCommitTest, OneAloneGoesAtOnceAndOthersGoTogether) {
  GroupCommit commits = Make();
  for (int i = 0; i < 250; ++i) {
    const std::string name = absl::StrCat("n", i);
    commits.Commit(name, Create(name), Note(name));
  }
  EXPECT_THAT(store_.Sizes(), ElementsAre(1));
  store_.Answer();
  EXPECT_THAT(store_.Sizes(), ElementsAre(100));
  store_.Answer();
  EXPECT_THAT(store_.Sizes(), ElementsAre(100));
  store_.Answer();
  EXPECT_THAT(store_.Sizes(), ElementsAre(49));
  store_.Answer();
  EXPECT_TRUE(store_.held.empty());
  ASSERT_EQ(results_.size(), 250u);
  for (const auto& [name, result] : results_) {
    ASSERT_TRUE(result.ok()) << name;
    EXPECT_TRUE(result->succeeded) << name;
  }
  EXPECT_EQ(order_.front(), "n0");
  EXPECT_EQ(order_.back(), "n249");
  EXPECT_EQ(ResultOf("n1")->revision, ResultOf("n100")->revision);
  EXPECT_LT(ResultOf("n100")->revision, ResultOf("n101")->revision);
}

TEST_F(GroupCommitTest, SeveralMayBeUnderWay) {
  GroupCommit commits = Make({.in_flight_max = 3});
  for (int i = 0; i < 10; ++i) {
    const std::string name = absl::StrCat("n", i);
    commits.Commit(name, Create(name), Note(name));
  }
  EXPECT_THAT(store_.Sizes(), ElementsAre(1, 1, 1));
  store_.Answer();
  EXPECT_THAT(store_.Sizes(), ElementsAre(1, 1, 7));
}

TEST_F(GroupCommitTest, OneThatFailsLeavesTheOthersAlone) {
  GroupCommit commits = Make();
  store_.state.Apply(Txn{.then = {StoreOp::Put("b", "taken")}});
  commits.Commit("first", Create("first"), Note("first"));
  for (const char* name : {"a", "b", "c"}) {
    commits.Commit(name, Create(name), Note(name));
  }
  store_.Answer();
  store_.Answer();
  EXPECT_TRUE(ResultOf("a")->succeeded);
  EXPECT_FALSE(ResultOf("b")->succeeded);
  ASSERT_EQ(ResultOf("b")->gets.size(), 1u);
  EXPECT_EQ(ResultOf("b")->gets[0][0].value, "taken");
  EXPECT_TRUE(ResultOf("c")->succeeded);
}

TEST_F(GroupCommitTest, ADeadEpochFencesAllAndWritesNothing) {
  GroupCommit commits = Make();
  commits.Commit("first", Create("first"), Note("first"));
  commits.Commit("a", Create("a"), Note("a"));
  commits.Commit("b", Create("b"), Note("b"));
  store_.Answer();
  Reap();
  store_.Answer();
  EXPECT_TRUE(ResultOf("first")->succeeded);
  for (const char* name : {"a", "b"}) {
    const absl::Status status = ResultOf(name).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
    EXPECT_EQ(ReasonOf(status), "FENCED");
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  }
  EXPECT_TRUE(store_.state.List("a").items.empty());
}

TEST_F(GroupCommitTest, ALostAnswerIsTheSameForAll) {
  GroupCommit commits = Make();
  commits.Commit("first", Create("first"), Note("first"));
  commits.Commit("a", Create("a"), Note("a"));
  commits.Commit("b", Create("b"), Note("b"));
  store_.Answer();
  store_.Lose();
  for (const char* name : {"a", "b"}) {
    EXPECT_EQ(OutcomeOf(ResultOf(name).status()), Outcome::kUnknown);
    EXPECT_FALSE(store_.state.List(name).items.empty());
  }
}

TEST_F(GroupCommitTest, TransactionsOfOneNameFollowEachOther) {
  GroupCommit commits = Make({.in_flight_max = 4});
  for (int i = 0; i < 3; ++i) {
    commits.Commit("x", Txn{.then = {StoreOp::Put("x", absl::StrCat(i))}},
                   Note(absl::StrCat("x", i)));
    commits.Commit("y", Txn{.then = {StoreOp::Put("y", absl::StrCat(i))}},
                   Note(absl::StrCat("y", i)));
  }
  EXPECT_THAT(store_.Sizes(), ElementsAre(1, 1));
  while (!store_.held.empty()) store_.Answer();
  EXPECT_THAT(order_, ElementsAre("x0", "y0", "x1", "y1", "x2", "y2"));
  EXPECT_EQ(store_.state.List("x").items[0].value, "2");
}

TEST_F(GroupCommitTest, WhatGoesOnComesBeforeWhatWaits) {
  GroupCommit commits = Make({.in_flight_max = 4});
  commits.Commit("x", Create("x"),
                 [&, note = Note("x0")](absl::StatusOr<TxnResult> r) mutable {
                   note(std::move(r));
                   commits.Commit("x", Create("x2"), Note("x0 again"),
                                  /*again=*/true);
                 });
  commits.Commit("x", Create("x3"), Note("x1"));
  while (!store_.held.empty()) store_.Answer();
  EXPECT_THAT(order_, ElementsAre("x0", "x0 again", "x1"));
}

TEST_F(GroupCommitTest, WhatTheStoreWouldRefuseIsRefusedAlone) {
  GroupCommit commits = Make();
  commits.Commit("first", Create("first"), Note("first"));
  commits.Commit("bad",
                 Txn{.then = {StoreOp::Put("k", "1"), StoreOp::Delete("k")}},
                 Note("bad"));
  commits.Commit("large",
                 Txn{.then = {StoreOp::Put("k", std::string(2 << 20, 'x'))}},
                 Note("large"));
  Txn full;
  for (int i = 0; i < 128; ++i) {
    full.then.push_back(StoreOp::Get(absl::StrCat("k", i)));
  }
  full.then.pop_back();
  commits.Commit("full", full, Note("full"));
  full.then.pop_back();
  commits.Commit("nearly", std::move(full), Note("nearly"));
  commits.Commit("good", Create("good"), Note("good"));
  EXPECT_EQ(ReasonOf(ResultOf("bad").status()), "BAD_TXN");
  EXPECT_EQ(ReasonOf(ResultOf("large").status()), "TXN_TOO_LARGE");
  EXPECT_EQ(ReasonOf(ResultOf("full").status()), "BAD_TXN");
  while (!store_.held.empty()) store_.Answer();
  EXPECT_TRUE(ResultOf("nearly").ok()) << ResultOf("nearly").status();
  EXPECT_TRUE(ResultOf("good")->succeeded);
}

TEST_F(GroupCommitTest, AGroupKeepsToTheLimitsOfTheStore) {
  GroupCommit commits = Make();
  commits.Commit("first", Create("first"), Note("first"));
  // 100 of 40 entries each would be 140, one is kept for the barrier; 1 MiB
  // fits once.
  for (int i = 0; i < 100; ++i) {
    Txn txn;
    for (int j = 0; j < 40; ++j) {
      txn.then.push_back(StoreOp::Get(absl::StrCat("k", j)));
    }
    commits.Commit(absl::StrCat("n", i), std::move(txn), Note("many"));
  }
  for (int i = 0; i < 3; ++i) {
    const std::string name = absl::StrCat("large", i);
    commits.Commit(name,
                   Txn{.then = {StoreOp::Put(name, std::string(1 << 20, 'x'))}},
                   Note(name));
  }
  std::vector<size_t> sizes;
  while (!store_.held.empty()) {
    sizes.push_back(store_.Sizes()[0]);
    store_.Answer();
  }
  EXPECT_THAT(sizes, ElementsAre(1, 87, 14, 1, 1));
}

TEST_F(GroupCommitTest, WhatWaitsTooLongIsNotSent) {
  GroupCommit commits =
      Make({.in_flight_max = 1, .queue_timeout = absl::Seconds(5)});
  commits.Commit("first", Create("first"), Note("first"));
  commits.Commit("late", Create("late"), Note("late"));
  clock_.Advance(absl::Seconds(5));
  commits.Commit("soon", Create("soon"), Note("soon"));
  store_.Answer();
  const absl::Status late = ResultOf("late").status();
  EXPECT_EQ(late.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(late), "STORE_UNREACHABLE");
  EXPECT_EQ(OutcomeOf(late), Outcome::kNotExecuted);
  store_.Answer();
  EXPECT_TRUE(ResultOf("soon")->succeeded);
  EXPECT_TRUE(store_.state.List("late").items.empty());
}

TEST_F(GroupCommitTest, AFullQueueRefusesNewOnesOnly) {
  GroupCommit commits = Make({.in_flight_max = 1, .queue_max = 2});
  for (const char* name : {"a", "b", "c", "d"}) {
    commits.Commit(name, Create(name), Note(name));
  }
  const absl::Status full = ResultOf("d").status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(full), "QUOTA");
  EXPECT_EQ(OutcomeOf(full), Outcome::kNotExecuted);
  commits.Commit("e", Create("e"), Note("e"), /*again=*/true);
  while (!store_.held.empty()) store_.Answer();
  EXPECT_TRUE(ResultOf("e")->succeeded);
}

// -- Lost answers ------------------------------------------------------------

TEST_F(GroupCommitTest, WhatWasLostIsNotCarriedOutAfterTheNextAnswer) {
  GroupCommit commits = Make();
  commits.Commit("a", Create("a"), Note("a"));
  Txn late = store_.Delay();
  EXPECT_EQ(OutcomeOf(ResultOf("a").status()), Outcome::kUnknown);
  commits.Commit("a", Txn{.then = {StoreOp::Get("a")}}, Note("asked"),
                 /*again=*/true);
  store_.Answer();
  EXPECT_TRUE(ResultOf("asked")->gets[0].empty());
  EXPECT_FALSE(store_.state.Apply(std::move(late)).succeeded);
  EXPECT_FALSE(Exists("a"));
}

TEST_F(GroupCommitTest, WhatArrivesBeforeTheNextOneIsSeenByThat) {
  GroupCommit commits = Make();
  commits.Commit("a", Create("a"), Note("a"));
  Txn late = store_.Delay();
  commits.Commit("a", Create("a"), Note("again"), /*again=*/true);
  EXPECT_TRUE(store_.state.Apply(std::move(late)).succeeded);
  store_.Answer();
  EXPECT_FALSE(ResultOf("again")->succeeded);
  EXPECT_EQ(ResultOf("again")->gets[0].size(), 1u);
}

TEST_F(GroupCommitTest, TheBarrierIsWrittenOnceForALossAndNeverWithoutOne) {
  GroupCommit commits = Make();
  commits.Commit("a", Create("a"), Note("a"));
  store_.Answer();
  commits.Commit("b", Create("b"), Note("b"));
  store_.Refuse();
  commits.Commit("b", Create("b"), Note("b again"));
  store_.Answer();
  EXPECT_EQ(Barrier(), state_epoch_);
  commits.Commit("c", Create("c"), Note("c"));
  store_.Lose();
  for (const char* name : {"d", "e"}) {
    commits.Commit(name, Create(name), Note(name));
    store_.Answer();
    EXPECT_TRUE(ResultOf(name)->succeeded);
    EXPECT_EQ(Barrier(), ResultOf("d")->revision);
  }
}

TEST_F(GroupCommitTest, WhatABarrierTurnsAwayIsSentAgain) {
  GroupCommit commits = Make({.in_flight_max = 2});
  commits.Commit("a", Create("a"), Note("a"));
  commits.Commit("b", Create("b"), Note("b"));
  store_.Delay();
  commits.Commit("a", Create("a"), Note("a again"), /*again=*/true);
  commits.Commit("b", Create("b"), Note("b after"));
  // That of a overtakes that of b.
  store_.Answer(1);
  EXPECT_TRUE(ResultOf("a again")->succeeded);
  store_.Answer();
  EXPECT_FALSE(results_.contains("b")) << "not FENCED";
  EXPECT_FALSE(Exists("b"));
  store_.Answer();
  ASSERT_TRUE(ResultOf("b").ok()) << ResultOf("b").status();
  EXPECT_TRUE(ResultOf("b")->succeeded);
  store_.Answer();
  EXPECT_FALSE(ResultOf("b after")->succeeded);
  EXPECT_THAT(order_, ElementsAre("a", "a again", "b", "b after"));
}

TEST_F(GroupCommitTest, ABarrierWhoseAnswerWasLostIsFound) {
  GroupCommit commits = Make();
  commits.Commit("a", Create("a"), Note("a"));
  Txn first = store_.Delay();
  commits.Commit("b", Create("b"), Note("b"));
  store_.Lose();
  const int64_t raised = Barrier();
  EXPECT_GT(raised, state_epoch_);
  commits.Commit("b", Create("b"), Note("b again"), /*again=*/true);
  store_.Answer();
  EXPECT_FALSE(results_.contains("b again"));
  store_.Answer();
  EXPECT_FALSE(ResultOf("b again")->succeeded) << "it is there already";
  EXPECT_EQ(Barrier(), raised) << "what was lost compared an earlier one";
  EXPECT_FALSE(store_.state.Apply(std::move(first)).succeeded);
}

TEST_F(GroupCommitTest, ABarrierThatArrivesLateTurnsNobodyAway) {
  GroupCommit commits = Make();
  commits.Commit("a", Create("a"), Note("a"));
  store_.Delay();
  commits.Commit("b", Create("b"), Note("b"));
  Txn late = store_.Delay();
  commits.Commit("b", Create("b"), Note("b again"), /*again=*/true);
  store_.Answer();
  EXPECT_TRUE(ResultOf("b again")->succeeded);
  const int64_t raised = Barrier();
  EXPECT_FALSE(store_.state.Apply(std::move(late)).succeeded);
  EXPECT_EQ(Barrier(), raised);
  commits.Commit("c", Create("c"), Note("c"));
  store_.Answer();
  EXPECT_TRUE(ResultOf("c")->succeeded);
}

TEST_F(GroupCommitTest, AnEpochThatEndsAfterALossIsFenced) {
  GroupCommit commits = Make();
  commits.Commit("a", Create("a"), Note("a"));
  Txn late = store_.Delay();
  commits.Commit("a", Create("a"), Note("again"), /*again=*/true);
  Reap();
  // Its successor of the same name.
  store_.state.Apply(
      Txn{.then = {StoreOp::Put("node", "me"), StoreOp::Put("barrier", "")}});
  while (!store_.held.empty()) store_.Answer();
  EXPECT_EQ(ReasonOf(ResultOf("again").status()), "FENCED");
  EXPECT_FALSE(store_.state.Apply(std::move(late)).succeeded);
  EXPECT_FALSE(Exists("a"));
}

}  // namespace
}  // namespace muster
