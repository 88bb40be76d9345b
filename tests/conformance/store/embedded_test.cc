// EmbeddedStore keeps the contract of Store, and bounds its history.

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cluster/store/embedded_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/conformance/store/real_environment.h"
#include "tests/conformance/store/store_conformance.h"

namespace muster {
namespace {

class EmbeddedEnvironment final : public RealEnvironment {
 public:
  std::unique_ptr<Store> NewStore() override {
    return std::make_unique<EmbeddedStore>(scheduler());
  }
  std::unique_ptr<Store> NewStore(EmbeddedStore::Options options) {
    return std::make_unique<EmbeddedStore>(scheduler(), options);
  }
};

INSTANTIATE_TEST_SUITE_P(Embedded, StoreConformanceTest, ::testing::Values([] {
                           return std::make_unique<EmbeddedEnvironment>();
                         }));

TEST(EmbeddedStoreTest, SaysThatItIsEmbedded) {
  EmbeddedEnvironment environment;
  const std::unique_ptr<Store> store = environment.NewStore();
  EXPECT_TRUE(store->embedded());
  EXPECT_EQ(store->ToString(), "memory");
}

TEST(EmbeddedStoreTest, FirstWriteIsRevisionTwo) {
  EmbeddedEnvironment environment;
  const std::unique_ptr<Store> store = environment.NewStore();
  StoreTester tester(environment, *store);
  EXPECT_EQ(tester.List("")->revision, 1);
  EXPECT_EQ(tester.Put("a", "1"), 2);
}

TEST(EmbeddedStoreTest, HistoryBeyondItsBoundIsCompacted) {
  EmbeddedEnvironment environment;
  const std::unique_ptr<Store> store =
      environment.NewStore({.history_events_max = 10});
  StoreTester tester(environment, *store);
  int64_t last = 0;
  for (int i = 0; i < 20; ++i) last = tester.Put("a", absl::StrCat(i));

  WatchRecord late(environment);
  const auto late_watch = store->Follow("", last - 10, late.Handler());
  const absl::Status end = late.WaitForEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(ReasonOf(end), "COMPACTED");

  WatchRecord record(environment);
  const auto watch = store->Follow("", last - 9, record.Handler());
  EXPECT_THAT(record.WaitForEvents(10), ::testing::SizeIs(10));
}

}  // namespace
}  // namespace muster
