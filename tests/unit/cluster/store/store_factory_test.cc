#include "cluster/store/store_factory.h"

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cluster/store/store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/scheduler.h"
#include "node/types/status.h"
#include "tests/testkit/sim_world.h"

namespace muster {
namespace {

using ::testing::HasSubstr;

TEST(StoreFactoryTest, MakesTheStoreThatIsNamed) {
  SimWorld world(1);
  Scheduler& lane = world.AddLane("node");
  const absl::StatusOr<std::unique_ptr<Store>> memory =
      MakeStore("memory", lane);
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_TRUE((*memory)->embedded());
  EXPECT_EQ((*memory)->ToString(), "memory");
  const absl::StatusOr<std::unique_ptr<Store>> etcd =
      MakeStore("etcd://127.0.0.1:1,[::1]:2", lane);
  ASSERT_TRUE(etcd.ok()) << etcd.status();
  EXPECT_FALSE((*etcd)->embedded());
  EXPECT_EQ((*etcd)->ToString(), "etcd://127.0.0.1:1,[::1]:2");
}

TEST(StoreFactoryTest, RefusesOtherNames) {
  SimWorld world(1);
  Scheduler& lane = world.AddLane("node");
  for (const char* spec :
       {"", "Memory", "memory ", "memory://", "consul://a:1", "etcd",
        "etcd:", "etcd://", "etcd://a", "127.0.0.1:2379"}) {
    const absl::Status made = MakeStore(spec, lane).status();
    EXPECT_EQ(made.code(), absl::StatusCode::kInvalidArgument) << spec;
    EXPECT_EQ(ReasonOf(made), "BAD_STORE") << spec;
    // Says what would be right.
    EXPECT_THAT(std::string(made.message()), HasSubstr("write ")) << spec;
    EXPECT_EQ(ValidateStoreSpec(spec, /*tls=*/false), made) << spec;
    EXPECT_EQ(ValidateStoreSpec(spec, /*tls=*/true), made) << spec;
  }
}

TEST(StoreFactoryTest, RefusesPlaintextOffLoopback) {
  SimWorld world(1);
  Scheduler& lane = world.AddLane("node");
  for (const char* spec :
       {"etcd://10.0.0.9:2379", "etcd://etcd-1.example:2379",
        "etcd://127.0.0.1:1,10.0.0.9:2379", "etcd://[fe80::1]:2379",
        "etcd://0.0.0.0:2379", "etcd://127.0.0.1.example:2379"}) {
    const absl::Status made = MakeStore(spec, lane).status();
    EXPECT_EQ(made.code(), absl::StatusCode::kInvalidArgument) << spec;
    EXPECT_EQ(ReasonOf(made), "NOT_LOOPBACK") << spec;
    EXPECT_THAT(std::string(made.message()), HasSubstr("--store-tls-dir DIR"))
        << spec;
    EXPECT_EQ(ValidateStoreSpec(spec, /*tls=*/false), made) << spec;
    EXPECT_TRUE(ValidateStoreSpec(spec, /*tls=*/true).ok()) << spec;
  }
  for (const char* spec :
       {"etcd://127.8.0.1:1", "etcd://localhost:1", "etcd://[::1]:1"}) {
    EXPECT_TRUE(MakeStore(spec, lane).ok()) << spec;
  }
}

}  // namespace
}  // namespace muster
