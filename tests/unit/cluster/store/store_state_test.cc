#include "cluster/store/store_state.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cluster/store/store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

int64_t Put(StoreState& state, std::string key, std::string value = "") {
  return state.Apply({.then = {StoreOp::Put(std::move(key), std::move(value))}})
      .revision;
}

TEST(StoreStateTest, RevisionsBeginAtOne) {
  StoreState state;
  EXPECT_EQ(state.revision(), 1);
  EXPECT_EQ(state.compacted_revision(), 0);
  EXPECT_EQ(Put(state, "a"), 2);
}

TEST(StoreStateTest, DeletePrefixReportsInTheOrderOfKeys) {
  StoreState state;
  for (const char* key : {"p/b", "p/a", "q"}) Put(state, key);
  const TxnResult result =
      state.Apply({.then = {StoreOp::DeletePrefix("p/"), StoreOp::Delete("q"),
                            StoreOp::Delete("p/a")}});
  const absl::StatusOr<StoreState::Slice> slice =
      state.Events("", result.revision, 100);
  ASSERT_TRUE(slice.ok()) << slice.status();
  ASSERT_THAT(slice->events, SizeIs(3));
  EXPECT_EQ(slice->events[0].item.key, "p/a");
  EXPECT_EQ(slice->events[1].item.key, "p/b");
  EXPECT_EQ(slice->events[2].item.key, "q");
}

TEST(StoreStateTest, SlicesAreWholeRevisions) {
  StoreState state;
  for (int i = 0; i < 3; ++i) {
    Txn txn;
    for (int j = 0; j < 4; ++j) {
      txn.then.push_back(StoreOp::Put(absl::StrCat("k", j), ""));
    }
    state.Apply(std::move(txn));
  }
  int64_t next = 1;
  std::vector<size_t> sizes;
  while (next <= state.revision()) {
    const absl::StatusOr<StoreState::Slice> slice = state.Events("k", next, 5);
    ASSERT_TRUE(slice.ok()) << slice.status();
    sizes.push_back(slice->events.size());
    next = slice->next_revision;
  }
  EXPECT_THAT(sizes, ::testing::ElementsAre(8, 4));
}

TEST(StoreStateTest, EventsOfTheFutureAreNoneAndKeepTheirStart) {
  StoreState state;
  Put(state, "a");
  const absl::StatusOr<StoreState::Slice> slice = state.Events("", 10, 5);
  ASSERT_TRUE(slice.ok()) << slice.status();
  EXPECT_THAT(slice->events, IsEmpty());
  EXPECT_EQ(slice->next_revision, 10);
}

TEST(StoreStateTest, CompactForgetsHistoryAndKeepsTheRecords) {
  StoreState state;
  Put(state, "a", "1");
  const int64_t last = Put(state, "a", "2");
  ASSERT_TRUE(state.Compact(last).ok());
  EXPECT_EQ(ReasonOf(state.Events("", last - 1, 5).status()), "COMPACTED");
  EXPECT_TRUE(state.Events("", last, 5).ok());
  EXPECT_THAT(state.List("").items, SizeIs(1));
  EXPECT_EQ(ReasonOf(state.Compact(last)), "COMPACTED");
  EXPECT_EQ(ReasonOf(state.Compact(last + 1)), "FUTURE_REVISION");
}

TEST(StoreStateTest, HistoryIsBoundedByBytesButKeepsTheLatestRevision) {
  StoreState state({.history_bytes_max = 100});
  Put(state, "a", std::string(60, 'x'));
  Put(state, "a", std::string(60, 'x'));
  EXPECT_EQ(state.compacted_revision(), state.revision());
  const int64_t large = Put(state, "a", std::string(1000, 'x'));
  const absl::StatusOr<StoreState::Slice> slice = state.Events("", large, 5);
  ASSERT_TRUE(slice.ok()) << slice.status();
  EXPECT_THAT(slice->events, SizeIs(1));
}

}  // namespace
}  // namespace muster
