#include "tests/conformance/store/store_conformance.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Only where a test fails.
constexpr absl::Duration kTimeout = absl::Seconds(20);

Txn Write(StoreOp op) { return Txn{.then = {std::move(op)}}; }

}  // namespace

// --- Helpers ---

WatchHandler WatchRecord::Handler() {
  return WatchHandler{.on_events =
                          [state = state_](std::vector<WatchEvent> events) {
                            state->environment.Update([&] {
                              state->events += events.size();
                              state->calls.push_back(std::move(events));
                            });
                          },
                      .on_end =
                          [state = state_](absl::Status status) {
                            state->environment.Update([&] {
                              ++state->ends;
                              state->end = std::move(status);
                            });
                          }};
}

std::vector<WatchEvent> WatchRecord::WaitForEvents(size_t count) {
  state_->environment.WaitUntil(
      [&] { return state_->events >= count || state_->ends > 0; });
  std::vector<WatchEvent> all;
  for (std::vector<WatchEvent>& call : calls()) {
    for (WatchEvent& event : call) all.push_back(std::move(event));
  }
  return all;
}

absl::Status WatchRecord::WaitForEnd() {
  if (!state_->environment.WaitUntil([&] { return state_->ends > 0; })) {
    return absl::UnknownError("the watch goes on");
  }
  absl::Status end;
  state_->environment.Update([&] { end = state_->end; });
  return end;
}

std::vector<std::vector<WatchEvent>> WatchRecord::calls() {
  std::vector<std::vector<WatchEvent>> copy;
  state_->environment.Update([&] { copy = state_->calls; });
  return copy;
}

absl::StatusOr<TxnResult> StoreTester::Commit(Txn txn) {
  Answer<TxnResult> answer(environment_);
  store_.Commit(std::move(txn), kTimeout, answer.Take());
  return answer.Wait();
}

absl::StatusOr<RangeResult> StoreTester::List(std::string prefix) {
  Answer<RangeResult> answer(environment_);
  store_.List(std::move(prefix), kTimeout, answer.Take());
  return answer.Wait();
}

int64_t StoreTester::Put(std::string key, std::string value) {
  const absl::StatusOr<TxnResult> result =
      Commit(Write(StoreOp::Put(std::move(key), std::move(value))));
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->revision : 0;
}

int64_t StoreTester::Delete(std::string key) {
  const absl::StatusOr<TxnResult> result =
      Commit(Write(StoreOp::Delete(std::move(key))));
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->revision : 0;
}

KeyValue StoreTester::Get(std::string key) {
  const absl::StatusOr<TxnResult> result =
      Commit(Txn{.then = {StoreOp::Get(std::move(key))}});
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok() || result->gets.size() != 1) return {};
  EXPECT_LE(result->gets[0].size(), 1u);
  return result->gets[0].empty() ? KeyValue{} : result->gets[0][0];
}

absl::Status StoreTester::Compact(int64_t revision) {
  Answer<bool> answer(environment_);
  store_.Compact(revision, kTimeout,
                 [done = answer.Take()](absl::Status status) mutable {
                   if (status.ok()) {
                     done(true);
                   } else {
                     done(std::move(status));
                   }
                 });
  return answer.Wait().status();
}

StoreConformanceTest::StoreConformanceTest()
    : environment_(GetParam()()),
      prefix_(environment_->KeyPrefix()),
      store_(environment_->NewStore()),
      tester_(*environment_, *store_) {}

std::string StoreConformanceTest::Key(absl::string_view name) const {
  return absl::StrCat(prefix_, name);
}

// --- Revisions ---

TEST_P(StoreConformanceTest, PutCreatesThenModifies) {
  const int64_t first = tester_.Put(Key("a"), "1");
  const KeyValue created = tester_.Get(Key("a"));
  EXPECT_EQ(created.key, Key("a"));
  EXPECT_EQ(created.value, "1");
  EXPECT_EQ(created.create_revision, first);
  EXPECT_EQ(created.mod_revision, first);

  const int64_t second = tester_.Put(Key("a"), "2");
  EXPECT_GT(second, first);
  const KeyValue modified = tester_.Get(Key("a"));
  EXPECT_EQ(modified.value, "2");
  EXPECT_EQ(modified.create_revision, first);
  EXPECT_EQ(modified.mod_revision, second);
}

TEST_P(StoreConformanceTest, AbsentKeyIsAnEmptyGet) {
  EXPECT_EQ(tester_.Get(Key("absent")).key, "");
}

TEST_P(StoreConformanceTest, RecreatedKeyHasANewCreateRevision) {
  const int64_t first = tester_.Put(Key("a"), "1");
  const int64_t deleted = tester_.Delete(Key("a"));
  EXPECT_GT(deleted, first);
  EXPECT_EQ(tester_.Get(Key("a")).key, "");
  const int64_t again = tester_.Put(Key("a"), "1");
  EXPECT_EQ(tester_.Get(Key("a")).create_revision, again);
}

TEST_P(StoreConformanceTest, OneRevisionForAllPutsOfATransaction) {
  const absl::StatusOr<TxnResult> result = tester_.Commit(
      Txn{.then = {StoreOp::Put(Key("a"), "1"), StoreOp::Put(Key("b"), "2"),
                   StoreOp::Get(Key("a")), StoreOp::Get(Key("none"))}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->succeeded);
  EXPECT_EQ(tester_.Get(Key("a")).mod_revision, result->revision);
  EXPECT_EQ(tester_.Get(Key("b")).mod_revision, result->revision);
  // Steps see those before them.
  ASSERT_THAT(result->gets, SizeIs(2));
  ASSERT_THAT(result->gets[0], SizeIs(1));
  EXPECT_EQ(result->gets[0][0].value, "1");
  EXPECT_EQ(result->gets[0][0].mod_revision, result->revision);
  EXPECT_THAT(result->gets[1], IsEmpty());
}

TEST_P(StoreConformanceTest, DeleteOfAnAbsentKeyTakesNoRevision) {
  const int64_t before = tester_.Put(Key("a"), "1");
  EXPECT_EQ(tester_.Delete(Key("absent")), before);
  EXPECT_EQ(tester_.Put(Key("a"), "2"), before + 1);
}

TEST_P(StoreConformanceTest, EmptyTransactionSucceedsAndTellsTheRevision) {
  const int64_t before = tester_.Put(Key("a"), "1");
  const absl::StatusOr<TxnResult> result = tester_.Commit(Txn{});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->succeeded);
  EXPECT_EQ(result->revision, before);
}

TEST_P(StoreConformanceTest, DeletePrefixDeletesAllUnderIt) {
  tester_.Put(Key("p/a"), "1");
  tester_.Put(Key("p/b"), "2");
  tester_.Put(Key("q"), "3");
  const absl::StatusOr<TxnResult> result =
      tester_.Commit(Write(StoreOp::DeletePrefix(Key("p/"))));
  ASSERT_TRUE(result.ok()) << result.status();
  const absl::StatusOr<RangeResult> left = tester_.List(prefix_);
  ASSERT_TRUE(left.ok()) << left.status();
  ASSERT_THAT(left->items, SizeIs(1));
  EXPECT_EQ(left->items[0].key, Key("q"));
}

// --- Compares ---

TEST_P(StoreConformanceTest, ComparesOfEachKind) {
  const int64_t created = tester_.Put(Key("a"), "1");
  const int64_t modified = tester_.Put(Key("a"), "2");
  constexpr Compare::Op kEqual = Compare::Op::kEqual;
  constexpr Compare::Op kNotEqual = Compare::Op::kNotEqual;
  const struct {
    Compare compare;
    bool holds;
  } kCases[] = {
      {Compare::CreateRevision(Key("a"), kEqual, created), true},
      {Compare::CreateRevision(Key("a"), kEqual, modified), false},
      {Compare::CreateRevision(Key("a"), kNotEqual, created), false},
      {Compare::CreateRevision(Key("a"), kNotEqual, modified), true},
      {Compare::ModRevision(Key("a"), kEqual, modified), true},
      {Compare::ModRevision(Key("a"), kEqual, created), false},
      {Compare::ModRevision(Key("a"), kNotEqual, modified), false},
      {Compare::ModRevision(Key("a"), kNotEqual, created), true},
      {Compare::Value(Key("a"), kEqual, "2"), true},
      {Compare::Value(Key("a"), kEqual, "1"), false},
      {Compare::Value(Key("a"), kNotEqual, "2"), false},
      {Compare::Value(Key("a"), kNotEqual, "1"), true},
      {Compare::Absent(Key("a")), false},
      {Compare::Absent(Key("absent")), true},
      {Compare::CreateRevision(Key("absent"), kNotEqual, created), true},
      {Compare::ModRevision(Key("absent"), kEqual, 0), true},
      {Compare::ModRevision(Key("absent"), kNotEqual, 0), false},
      // An absent key has no value to compare.
      {Compare::Value(Key("absent"), kEqual, ""), false},
      {Compare::Value(Key("absent"), kNotEqual, "1"), false},
  };
  for (size_t i = 0; i < std::size(kCases); ++i) {
    const absl::StatusOr<TxnResult> result =
        tester_.Commit(Txn{.compares = {kCases[i].compare}});
    ASSERT_TRUE(result.ok()) << i << ": " << result.status();
    EXPECT_EQ(result->succeeded, kCases[i].holds) << i;
  }
}

TEST_P(StoreConformanceTest, OneFailedCompareRunsTheOtherBranch) {
  tester_.Put(Key("a"), "1");
  const absl::StatusOr<TxnResult> result = tester_.Commit(
      Txn{.compares = {Compare::Value(Key("a"), Compare::Op::kEqual, "1"),
                       Compare::Absent(Key("a"))},
          .then = {StoreOp::Put(Key("then"), "")},
          .otherwise = {StoreOp::Put(Key("otherwise"), ""),
                        StoreOp::Get(Key("a"))}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->succeeded);
  EXPECT_EQ(tester_.Get(Key("then")).key, "");
  EXPECT_EQ(tester_.Get(Key("otherwise")).mod_revision, result->revision);
  ASSERT_THAT(result->gets, SizeIs(1));
  ASSERT_THAT(result->gets[0], SizeIs(1));
  EXPECT_EQ(result->gets[0][0].value, "1");
}

TEST_P(StoreConformanceTest, OneOfManyConcurrentWritersWinsEachRound) {
  constexpr int kWriters = 8;
  constexpr int kRounds = 20;
  tester_.Put(Key("counter"), "start");
  for (int round = 0; round < kRounds; ++round) {
    const int64_t seen = tester_.Get(Key("counter")).mod_revision;
    std::vector<Answer<TxnResult>> answers;
    for (int writer = 0; writer < kWriters; ++writer) {
      answers.emplace_back(*environment_);
      store_->Commit(
          Txn{.compares = {Compare::ModRevision(Key("counter"),
                                                Compare::Op::kEqual, seen)},
              .then = {StoreOp::Put(Key("counter"), absl::StrCat(writer))}},
          kTimeout, answers.back().Take());
    }
    int winner = -1;
    for (int writer = 0; writer < kWriters; ++writer) {
      const absl::StatusOr<TxnResult> result = answers[writer].Wait();
      ASSERT_TRUE(result.ok()) << result.status();
      if (!result->succeeded) continue;
      EXPECT_EQ(winner, -1) << "two winners in round " << round;
      winner = writer;
    }
    ASSERT_NE(winner, -1) << "no winner in round " << round;
    EXPECT_EQ(tester_.Get(Key("counter")).value, absl::StrCat(winner));
  }
}

// --- Nested transactions ---

TEST_P(StoreConformanceTest, NestedTransactionsHaveIndependentResults) {
  const int64_t held = tester_.Put(Key("b"), "old");
  Txn txn;
  for (const char* name : {"a", "b", "c"}) {
    Txn one;
    one.compares.push_back(Compare::Absent(Key(name)));
    one.then.push_back(StoreOp::Put(Key(name), "new"));
    one.then.push_back(StoreOp::Get(Key(name)));
    one.otherwise.push_back(StoreOp::Get(Key(name)));
    txn.then.push_back(StoreOp::Nested(std::move(one)));
  }
  const absl::StatusOr<TxnResult> result = tester_.Commit(std::move(txn));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->succeeded);
  EXPECT_THAT(result->gets, IsEmpty());
  ASSERT_THAT(result->nested, SizeIs(3));
  EXPECT_TRUE(result->nested[0].succeeded);
  EXPECT_FALSE(result->nested[1].succeeded);
  EXPECT_TRUE(result->nested[2].succeeded);
  for (const TxnResult& one : result->nested) {
    EXPECT_EQ(one.revision, result->revision);
    ASSERT_THAT(one.gets, SizeIs(1));
    ASSERT_THAT(one.gets[0], SizeIs(1));
  }
  EXPECT_EQ(result->nested[0].gets[0][0].mod_revision, result->revision);
  EXPECT_EQ(result->nested[1].gets[0][0].mod_revision, held);
  EXPECT_EQ(tester_.Get(Key("a")).mod_revision, result->revision);
  EXPECT_EQ(tester_.Get(Key("b")).value, "old");
  EXPECT_EQ(tester_.Get(Key("c")).mod_revision, result->revision);
}

TEST_P(StoreConformanceTest, AFailedOuterCompareRunsNothingNested) {
  Txn txn;
  txn.compares.push_back(
      Compare::ModRevision(Key("x"), Compare::Op::kEqual, 1));
  txn.then.push_back(
      StoreOp::Nested(Txn{.then = {StoreOp::Put(Key("a"), "1")}}));
  txn.otherwise.push_back(
      StoreOp::Nested(Txn{.then = {StoreOp::Put(Key("b"), "1")}}));
  txn.otherwise.push_back(StoreOp::Get(Key("b")));
  const absl::StatusOr<TxnResult> result = tester_.Commit(std::move(txn));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->succeeded);
  ASSERT_THAT(result->nested, SizeIs(1));
  EXPECT_TRUE(result->nested[0].succeeded);
  ASSERT_THAT(result->gets, SizeIs(1));
  EXPECT_THAT(result->gets[0], SizeIs(1)) << "gets see the steps before them";
  EXPECT_EQ(tester_.Get(Key("a")).key, "");
  EXPECT_EQ(tester_.Get(Key("b")).value, "1");
}

// How names are changed (cluster/registry/group_commit.h): what compared an
// earlier barrier is turned away whole, and told of the present one.
TEST_P(StoreConformanceTest, ABarrierTurnsAwayWhatComparedAnEarlierOne) {
  const auto group = [&](const char* name, int64_t barrier, bool raises) {
    Txn txn;
    txn.compares.push_back(
        Compare::ModRevision(Key("barrier"), Compare::Op::kEqual, barrier));
    txn.then.push_back(
        StoreOp::Nested(Txn{.compares = {Compare::Absent(Key(name))},
                            .then = {StoreOp::Put(Key(name), "1")}}));
    if (raises) txn.then.push_back(StoreOp::Put(Key("barrier"), "same"));
    txn.otherwise.push_back(StoreOp::Get(Key("barrier")));
    return tester_.Commit(std::move(txn));
  };
  const int64_t first = tester_.Put(Key("barrier"), "same");
  const auto raised = group("a", first, /*raises=*/true);
  ASSERT_TRUE(raised.ok()) << raised.status();
  EXPECT_TRUE(raised->succeeded);
  EXPECT_EQ(tester_.Get(Key("barrier")).mod_revision, raised->revision);
  for (const bool raises : {false, true}) {
    const auto late = group("b", first, raises);
    ASSERT_TRUE(late.ok()) << late.status();
    EXPECT_FALSE(late->succeeded);
    ASSERT_THAT(late->gets, SizeIs(1));
    ASSERT_THAT(late->gets[0], SizeIs(1));
    EXPECT_EQ(late->gets[0][0].mod_revision, raised->revision);
    EXPECT_EQ(tester_.Get(Key("b")).key, "");
  }
  const auto after = group("b", raised->revision, /*raises=*/false);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_TRUE(after->succeeded);
  EXPECT_EQ(tester_.Get(Key("b")).mod_revision, after->revision);
}

TEST_P(StoreConformanceTest, NestedComparesSeeWhatWasBeforeTheFirstStep) {
  Txn inner;
  inner.compares.push_back(Compare::Absent(Key("a")));
  inner.then.push_back(StoreOp::Put(Key("b"), "absent"));
  inner.otherwise.push_back(StoreOp::Put(Key("b"), "there"));
  Txn txn;
  txn.then.push_back(StoreOp::Put(Key("a"), "1"));
  txn.then.push_back(
      StoreOp::Nested(Txn{.then = {StoreOp::Nested(std::move(inner))}}));
  const absl::StatusOr<TxnResult> result = tester_.Commit(std::move(txn));
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_THAT(result->nested, SizeIs(1));
  ASSERT_THAT(result->nested[0].nested, SizeIs(1));
  EXPECT_TRUE(result->nested[0].nested[0].succeeded);
  EXPECT_EQ(result->nested[0].nested[0].revision, result->revision);
  EXPECT_EQ(tester_.Get(Key("b")).value, "absent");
}

TEST_P(StoreConformanceTest,
       NestedTransactionsThatChangeNothingTakeNoRevision) {
  const int64_t before = tester_.Put(Key("a"), "1");
  Txn txn;
  txn.then.push_back(
      StoreOp::Nested(Txn{.compares = {Compare::Absent(Key("a"))},
                          .then = {StoreOp::Put(Key("a"), "2")}}));
  const absl::StatusOr<TxnResult> result = tester_.Commit(std::move(txn));
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_THAT(result->nested, SizeIs(1));
  EXPECT_FALSE(result->nested[0].succeeded);
  EXPECT_EQ(result->revision, before);
}

TEST_P(StoreConformanceTest, ANestedRevisionIsToldAtOnce) {
  WatchRecord record(*environment_);
  const int64_t before = tester_.Put(Key("z"), "1");
  const auto watch = store_->Follow(prefix_, before + 1, record.Handler());
  Txn txn;
  for (int i = 0; i < 100; ++i) {
    txn.then.push_back(StoreOp::Nested(
        Txn{.then = {StoreOp::Put(Key(absl::StrFormat("%03d", i)), "1")}}));
  }
  const absl::StatusOr<TxnResult> result = tester_.Commit(std::move(txn));
  ASSERT_TRUE(result.ok()) << result.status();
  const std::vector<WatchEvent> events = record.WaitForEvents(100);
  ASSERT_THAT(events, SizeIs(100));
  EXPECT_THAT(record.calls(), SizeIs(1));
  for (const WatchEvent& event : events) {
    EXPECT_EQ(event.item.mod_revision, result->revision);
  }
}

TEST_P(StoreConformanceTest, KeyWrittenTwiceInNestedTransactionsIsRefused) {
  const StoreOp put =
      StoreOp::Nested(Txn{.then = {StoreOp::Put(Key("a"), "1")}});
  const StoreOp other =
      StoreOp::Nested(Txn{.otherwise = {StoreOp::Put(Key("a"), "2")}});
  const StoreOp erase = StoreOp::Nested(
      Txn{.then = {StoreOp::Nested(Txn{.then = {StoreOp::Delete(Key("a"))}})}});
  const std::vector<std::vector<StoreOp>> kCases = {
      {put, other},
      {put, StoreOp::Put(Key("a"), "2")},
      {StoreOp::Put(Key("a"), "2"), put},
      {put, StoreOp::DeletePrefix(Key(""))},
      {erase, put},
      {put, erase},
      {StoreOp::Nested(Txn{.then = {put, put}})},
  };
  for (size_t i = 0; i < kCases.size(); ++i) {
    const absl::Status status = tester_.Commit(Txn{.then = kCases[i]}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << i;
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted) << i;
  }
  EXPECT_EQ(tester_.Get(Key("a")).key, "");
  // Only one of two branches runs; and deletes may overlap.
  const absl::StatusOr<TxnResult> fine = tester_.Commit(Txn{
      .then = {StoreOp::Nested(Txn{.then = {StoreOp::Put(Key("a"), "1")},
                                   .otherwise = {StoreOp::Put(Key("a"), "2")}}),
               StoreOp::Nested(Txn{.then = {StoreOp::Put(Key("b"), "1")},
                                   .otherwise = {StoreOp::Delete(Key("b"))}}),
               StoreOp::Nested(Txn{.then = {StoreOp::Delete(Key("c"))}}),
               StoreOp::Nested(Txn{.then = {StoreOp::Delete(Key("c"))}})}});
  ASSERT_TRUE(fine.ok()) << fine.status();
  EXPECT_EQ(tester_.Get(Key("a")).value, "1");
}

TEST_P(StoreConformanceTest, NestedStepsCountToTheLimitOf128) {
  const auto group = [&](int transactions, int steps) {
    Txn txn;
    for (int i = 0; i < transactions; ++i) {
      Txn one;
      for (int j = 0; j < steps; ++j) {
        const std::string key = Key(absl::StrCat(i, ".", j));
        one.compares.push_back(Compare::Absent(key));
        one.then.push_back(StoreOp::Put(key, "1"));
        one.otherwise.push_back(StoreOp::Get(key));
      }
      txn.then.push_back(StoreOp::Nested(std::move(one)));
    }
    return txn;
  };
  const absl::StatusOr<TxnResult> most = tester_.Commit(group(100, 28));
  ASSERT_TRUE(most.ok()) << most.status();
  ASSERT_THAT(most->nested, SizeIs(100));
  EXPECT_TRUE(most->nested[99].succeeded);
  for (const Txn& txn : {group(100, 29), group(129, 1)}) {
    const absl::Status status = tester_.Commit(txn).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  }
}

// --- Refusals ---

TEST_P(StoreConformanceTest, KeyWrittenTwiceIsRefused) {
  const std::vector<std::vector<StoreOp>> kCases = {
      {StoreOp::Put(Key("a"), "1"), StoreOp::Put(Key("a"), "2")},
      {StoreOp::Delete(Key("a")), StoreOp::Put(Key("a"), "2")},
      {StoreOp::Put(Key("a"), "1"), StoreOp::Delete(Key("a"))},
      {StoreOp::DeletePrefix(Key("")), StoreOp::Put(Key("a"), "2")},
  };
  for (size_t i = 0; i < kCases.size(); ++i) {
    absl::Status status = tester_.Commit(Txn{.then = kCases[i]}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << i;
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted) << i;
    // Also in the branch that would not run.
    status = tester_.Commit(Txn{.otherwise = kCases[i]}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << i;
  }
  EXPECT_EQ(tester_.Get(Key("a")).key, "");
}

TEST_P(StoreConformanceTest, EmptyKeyIsRefused) {
  for (StoreOp op : {StoreOp::Put("", "1"), StoreOp::Delete(""),
                     StoreOp::Get(""), StoreOp::DeletePrefix("")}) {
    EXPECT_EQ(tester_.Commit(Write(std::move(op))).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(
      tester_.Commit(Txn{.compares = {Compare::Absent("")}}).status().code(),
      absl::StatusCode::kInvalidArgument);
}

TEST_P(StoreConformanceTest, MoreThan128StepsAreRefused) {
  Txn txn;
  for (int i = 0; i < 128; ++i) {
    txn.then.push_back(StoreOp::Put(Key(absl::StrCat(i)), "1"));
    txn.otherwise.push_back(StoreOp::Put(Key(absl::StrCat(i)), "1"));
    txn.compares.push_back(Compare::Absent(Key(absl::StrCat(i))));
  }
  const absl::StatusOr<TxnResult> most = tester_.Commit(txn);
  ASSERT_TRUE(most.ok()) << most.status();
  EXPECT_TRUE(most->succeeded);
  txn.then.push_back(StoreOp::Put(Key("128"), "1"));
  const absl::Status status = tester_.Commit(txn).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  EXPECT_EQ(tester_.Get(Key("128")).key, "");
}

TEST_P(StoreConformanceTest, TransactionBeyondTheSizeLimitIsRefused) {
  const absl::Status status =
      tester_.Commit(Write(StoreOp::Put(Key("a"), std::string(2 << 20, 'x'))))
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
}

// --- Values ---

TEST_P(StoreConformanceTest, KeysAndValuesAreBytes) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  tester_.Put(Key(bytes), bytes);
  tester_.Put(Key("\xff\xff"), "");
  EXPECT_EQ(tester_.Get(Key(bytes)).value, bytes);
  const KeyValue empty = tester_.Get(Key("\xff\xff"));
  EXPECT_EQ(empty.key, Key("\xff\xff"));
  EXPECT_EQ(empty.value, "");
  const absl::StatusOr<RangeResult> high = tester_.List(Key("\xff"));
  ASSERT_TRUE(high.ok()) << high.status();
  EXPECT_THAT(high->items, SizeIs(1));
}

TEST_P(StoreConformanceTest, ValuesOfOneMebibyte) {
  WatchRecord record(*environment_);
  const int64_t start = tester_.Put(Key("start"), "");
  const auto watch = store_->Follow(Key("large"), start + 1, record.Handler());
  for (int i = 0; i < 4; ++i) {
    tester_.Put(Key(absl::StrCat("large", i)),
                std::string(1 << 20, static_cast<char>('a' + i)));
  }
  EXPECT_EQ(tester_.Get(Key("large2")).value, std::string(1 << 20, 'c'));
  const std::vector<WatchEvent> events = record.WaitForEvents(4);
  ASSERT_THAT(events, SizeIs(4));
  EXPECT_EQ(events[3].item.value, std::string(1 << 20, 'd'));
  const absl::StatusOr<RangeResult> list = tester_.List(Key("large"));
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_THAT(list->items, SizeIs(4));
}

// --- List ---

TEST_P(StoreConformanceTest, ListIsSortedAndEndsWithThePrefix) {
  for (const char* name : {"b/2", "a/3", "b/10", "b", "b0", "b/1"}) {
    tester_.Put(Key(name), name);
  }
  const int64_t revision = tester_.Put(Key("c"), "");
  const absl::StatusOr<RangeResult> result = tester_.List(Key("b/"));
  ASSERT_TRUE(result.ok()) << result.status();
  std::vector<std::string> keys;
  for (const KeyValue& item : result->items) keys.push_back(item.key);
  EXPECT_THAT(keys, ElementsAre(Key("b/1"), Key("b/10"), Key("b/2")));
  EXPECT_EQ(result->items[2].value, "b/2");
  EXPECT_EQ(result->revision, revision);

  const absl::StatusOr<RangeResult> none = tester_.List(Key("none"));
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_THAT(none->items, IsEmpty());
  EXPECT_EQ(none->revision, revision);
}

TEST_P(StoreConformanceTest, ListOfManyKeysIsPagedAndComplete) {
  constexpr int kKeys = 1300;
  int64_t revision = 0;
  for (int first = 0; first < kKeys; first += 100) {
    Txn txn;
    for (int i = first; i < first + 100; ++i) {
      txn.then.push_back(
          StoreOp::Put(Key(absl::StrFormat("k%05d", i)), absl::StrCat(i)));
    }
    const absl::StatusOr<TxnResult> result = tester_.Commit(std::move(txn));
    ASSERT_TRUE(result.ok()) << result.status();
    revision = result->revision;
  }
  const absl::StatusOr<RangeResult> result = tester_.List(Key("k"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->revision, revision);
  ASSERT_THAT(result->items, SizeIs(kKeys));
  for (int i = 0; i < kKeys; ++i) {
    ASSERT_EQ(result->items[i].key, Key(absl::StrFormat("k%05d", i)));
    ASSERT_EQ(result->items[i].value, absl::StrCat(i));
  }
}

TEST_P(StoreConformanceTest, ListOfTheEmptyPrefixIsEverything) {
  tester_.Put(Key("a"), "1");
  const absl::StatusOr<RangeResult> result = tester_.List("");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(std::any_of(
      result->items.begin(), result->items.end(),
      [this](const KeyValue& item) { return item.key == Key("a"); }));
}

// --- Watches ---

TEST_P(StoreConformanceTest, WatchTellsTheFutureInOrder) {
  const int64_t start = tester_.Put(Key("w/a"), "0");
  WatchRecord record(*environment_);
  const auto watch = store_->Follow(Key("w/"), start + 1, record.Handler());
  const int64_t put = tester_.Put(Key("w/a"), "1");
  tester_.Put(Key("other"), "");
  const int64_t created = tester_.Put(Key("w/b"), "2");
  const int64_t deleted = tester_.Delete(Key("w/a"));
  const std::vector<WatchEvent> events = record.WaitForEvents(3);
  ASSERT_THAT(events, SizeIs(3));
  EXPECT_EQ(events[0].kind, WatchEvent::Kind::kPut);
  EXPECT_EQ(events[0].item.key, Key("w/a"));
  EXPECT_EQ(events[0].item.value, "1");
  EXPECT_EQ(events[0].item.create_revision, start);
  EXPECT_EQ(events[0].item.mod_revision, put);
  EXPECT_EQ(events[1].item.key, Key("w/b"));
  EXPECT_EQ(events[1].item.create_revision, created);
  EXPECT_EQ(events[2].kind, WatchEvent::Kind::kDelete);
  EXPECT_EQ(events[2].item.key, Key("w/a"));
  EXPECT_EQ(events[2].item.value, "");
  EXPECT_EQ(events[2].item.mod_revision, deleted);
}

TEST_P(StoreConformanceTest, WatchFromThePastTellsAllSince) {
  const int64_t first = tester_.Put(Key("a"), "1");
  tester_.Put(Key("a"), "2");
  tester_.Delete(Key("a"));
  tester_.Put(Key("a"), "3");
  WatchRecord record(*environment_);
  const auto watch = store_->Follow(prefix_, first, record.Handler());
  const std::vector<WatchEvent> events = record.WaitForEvents(4);
  ASSERT_THAT(events, SizeIs(4));
  EXPECT_EQ(events[0].item.value, "1");
  EXPECT_EQ(events[1].item.value, "2");
  EXPECT_EQ(events[2].kind, WatchEvent::Kind::kDelete);
  EXPECT_EQ(events[3].item.value, "3");
}

TEST_P(StoreConformanceTest, WatchNeverSplitsARevision) {
  constexpr int kTxns = 40;
  constexpr int kPuts = 50;
  const int64_t start = tester_.Put(Key("start"), "");
  WatchRecord live(*environment_);
  const auto live_watch = store_->Follow(Key("w/"), start + 1, live.Handler());
  for (int i = 0; i < kTxns; ++i) {
    Txn txn;
    for (int j = 0; j < kPuts; ++j) {
      txn.then.push_back(
          StoreOp::Put(Key(absl::StrCat("w/", j)), std::string(2000, 'x')));
    }
    ASSERT_TRUE(tester_.Commit(std::move(txn)).ok());
  }
  WatchRecord late(*environment_);
  const auto late_watch = store_->Follow(Key("w/"), start + 1, late.Handler());
  for (WatchRecord* record : {&live, &late}) {
    EXPECT_THAT(record->WaitForEvents(kTxns * kPuts), SizeIs(kTxns * kPuts));
    int64_t floor = 0;
    for (const std::vector<WatchEvent>& call : record->calls()) {
      std::map<int64_t, int> counts;
      int64_t last = floor;
      for (const WatchEvent& event : call) {
        EXPECT_GT(event.item.mod_revision, floor);
        EXPECT_GE(event.item.mod_revision, last);
        last = event.item.mod_revision;
        ++counts[last];
      }
      for (const auto& [revision, count] : counts) EXPECT_EQ(count, kPuts);
      floor = last;
    }
  }
}

TEST_P(StoreConformanceTest, WatchOfTheFutureWaitsForIt) {
  const int64_t start = tester_.Put(Key("a"), "0");
  WatchRecord record(*environment_);
  const auto watch = store_->Follow(prefix_, start + 3, record.Handler());
  for (const char* value : {"1", "2", "3"}) tester_.Put(Key("a"), value);
  const std::vector<WatchEvent> events = record.WaitForEvents(1);
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].item.value, "3");
}

TEST_P(StoreConformanceTest, WatchesAreIndependent) {
  const int64_t start = tester_.Put(Key("start"), "");
  std::vector<WatchRecord> records;
  std::vector<std::unique_ptr<Watch>> watches;
  for (int i = 0; i < 10; ++i) {
    records.emplace_back(*environment_);
    watches.push_back(store_->Follow(Key(absl::StrCat("w", i, "/")), start + 1,
                                     records.back().Handler()));
  }
  watches[3].reset();
  for (int i = 0; i < 10; ++i) tester_.Put(Key(absl::StrCat("w", i, "/a")), "");
  for (int i = 0; i < 10; ++i) {
    if (i == 3) continue;
    EXPECT_THAT(records[i].WaitForEvents(1), SizeIs(1)) << i;
  }
  EXPECT_THAT(records[3].calls(), IsEmpty());
}

TEST_P(StoreConformanceTest, WatchOfCompactedHistoryEnds) {
  const int64_t first = tester_.Put(Key("a"), "1");
  tester_.Put(Key("a"), "2");
  const int64_t last = tester_.Put(Key("a"), "3");
  ASSERT_TRUE(tester_.Compact(last).ok());
  WatchRecord record(*environment_);
  const auto watch = store_->Follow(prefix_, first, record.Handler());
  const absl::Status end = record.WaitForEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kOutOfRange) << end;
  EXPECT_EQ(ReasonOf(end), "COMPACTED");
  // List, then watch.
  const absl::StatusOr<RangeResult> list = tester_.List(prefix_);
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_THAT(list->items, SizeIs(1));
  WatchRecord again(*environment_);
  const auto second =
      store_->Follow(prefix_, list->revision + 1, again.Handler());
  tester_.Put(Key("a"), "4");
  EXPECT_THAT(again.WaitForEvents(1), SizeIs(1));
  EXPECT_THAT(record.calls(), IsEmpty());
}

TEST_P(StoreConformanceTest, CompactionKeepsWhatIsStored) {
  tester_.Put(Key("a"), "1");
  tester_.Put(Key("b"), "1");
  const int64_t last = tester_.Put(Key("a"), "2");
  ASSERT_TRUE(tester_.Compact(last).ok());
  EXPECT_EQ(tester_.Get(Key("a")).value, "2");
  EXPECT_EQ(tester_.Get(Key("b")).value, "1");
  // From there on the history is whole.
  WatchRecord record(*environment_);
  const auto watch = store_->Follow(prefix_, last, record.Handler());
  EXPECT_THAT(record.WaitForEvents(1), SizeIs(1));
}

TEST_P(StoreConformanceTest, CompactionIsRefusedTwiceAndInTheFuture) {
  const int64_t last = tester_.Put(Key("a"), "1");
  ASSERT_TRUE(tester_.Compact(last).ok());
  for (const int64_t revision : {last, last - 1, last + 1'000'000}) {
    const absl::Status status = tester_.Compact(revision);
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << status;
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  }
}

// --- Destruction ---

TEST_P(StoreConformanceTest, NothingIsCalledAfterDestruction) {
  WatchRecord record(*environment_);
  auto watch = store_->Follow(prefix_, 1, record.Handler());
  std::vector<Answer<TxnResult>> commits;
  std::vector<Answer<RangeResult>> lists;
  for (int i = 0; i < 50; ++i) {
    commits.emplace_back(*environment_);
    store_->Commit(Write(StoreOp::Put(Key(absl::StrCat(i)), "")), kTimeout,
                   commits.back().Take());
    lists.emplace_back(*environment_);
    store_->List(prefix_, kTimeout, lists.back().Take());
  }
  watch.reset();
  const size_t events = record.calls().size();
  store_.reset();
  int calls = 0;
  for (auto& answer : commits) calls += answer.calls();
  for (auto& answer : lists) calls += answer.calls();
  // Something else has its turn.
  store_ = environment_->NewStore();
  StoreTester tester(*environment_, *store_);
  tester.Put(Key("after"), "");
  int calls_later = 0;
  for (auto& answer : commits) calls_later += answer.calls();
  for (auto& answer : lists) calls_later += answer.calls();
  EXPECT_EQ(calls, calls_later);
  EXPECT_EQ(record.calls().size(), events);
}

TEST_P(StoreConformanceTest, CallbackIsNotCalledInsideTheCall) {
  bool called_inside = false;
  bool called = false;
  StoreEnvironment& environment = *environment_;
  for (Txn txn :
       {Write(StoreOp::Put(Key("a"), "1")), Write(StoreOp::Get(""))}) {
    called = false;
    // Of this thread: set only in a callback that runs inside the call.
    thread_local bool asking = false;
    asking = true;
    store_->Commit(std::move(txn), kTimeout,
                   [&](const absl::StatusOr<TxnResult>&) {
                     const bool inline_call = asking;
                     environment.Update([&] {
                       called = true;
                       if (inline_call) called_inside = true;
                     });
                   });
    asking = false;
    EXPECT_TRUE(environment.WaitUntil([&] { return called; }));
  }
  EXPECT_FALSE(called_inside);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreConformanceTest);

}  // namespace muster
