// 100,000 names on one cluster, over each store that a node can have: claimed
// in groups, looked up from memory, known at once to a node that joins.

#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/store/embedded_store.h"
#include "cluster/store/store.h"
#include "cluster/store/store_factory.h"
#include "gtest/gtest.h"
#include "node/base/check.h"
#include "node/base/clock.h"
#include "node/base/thread_scheduler.h"
#include "tests/testkit/etcd_server.h"
#include "tests/testkit/real_names.h"

// c-ares, which gRPC asks for names that are no addresses, keeps 10 bytes of
// its global state for ever.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libcares.so";
}

namespace muster {
namespace {

constexpr size_t kNames = 100'000;
// Claims under way at once.
constexpr size_t kWindow = 2'000;

#ifdef __OPTIMIZE__
constexpr absl::Duration kJoinMax = absl::Seconds(2);
#else
// Four times the code, and beside other tests; the figures are in the log.
constexpr absl::Duration kJoinMax = absl::Seconds(30);
#endif

class ManyNamesTest : public ::testing::Test {
 protected:
  ManyNamesTest() : scheduler_(&clock_) {}

  void Run(const std::function<std::shared_ptr<Store>()>& new_store) {
    RealNames a(&scheduler_, "a", new_store());
    a.Join();
    a.Follow();
    const BootTime begin = clock_.Boot();
    a.TakeMany("name", kNames, kWindow);
    const absl::Duration claimed = clock_.Boot() - begin;
    EXPECT_EQ(a.registry().List("name").size(), kNames);

    RealNames b(&scheduler_, "b", new_store());
    b.Join();
    const absl::Duration joined = b.Follow();
    EXPECT_LT(joined, kJoinMax);
    size_t known = 0;
    const BootTime lookups = clock_.Boot();
    for (size_t i = 0; i < kNames; ++i) {
      const auto entry = b.registry().WhereIs(absl::StrCat("name", i));
      known += entry.has_value() && entry->pid.node == "a" &&
               entry->pid.number == i + 1;
    }
    const absl::Duration looked_up = clock_.Boot() - lookups;
    EXPECT_EQ(known, kNames);
    EXPECT_EQ(b.registry().List("").size(), kNames);
    EXPECT_EQ(b.registry().List("name9999").size(), 11u);

    // And what comes and goes from then on.
    a.TakeMany("later", 100, 100);
    EXPECT_TRUE(
        b.WaitUntil([&] { return b.registry().List("later").size() == 100; }));
    const auto record = a.registry().Record("name7");
    ASSERT_TRUE(record.has_value());
    a.registry().Release("name7", record->record.instance(),
                         [](absl::Status) {});
    EXPECT_TRUE(b.WaitUntil(
        [&] { return !b.registry().WhereIs("name7").has_value(); }));
    std::cerr << "claimed in " << claimed << " ("
              << static_cast<int>(kNames / absl::ToDoubleSeconds(claimed))
              << "/s), known to a new node in " << joined << ", one look-up in "
              << looked_up / kNames << "\n";
  }

  SystemClock clock_;
  ThreadScheduler scheduler_;
};

TEST_F(ManyNamesTest, OnTheEmbeddedStore) {
  auto store = std::make_shared<EmbeddedStore>(scheduler_);
  Run([&] { return store; });
}

TEST_F(ManyNamesTest, OnEtcd) {
  auto server = EtcdServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  Run([&] {
    auto store = MakeStore((*server)->spec(), scheduler_);
    MUSTER_CHECK(store.ok(), "no store");
    return std::shared_ptr<Store>(*std::move(store));
  });
}

}  // namespace
}  // namespace muster
