#include "tests/testkit/sim_cluster.h"

#include "examples/counter/counter.h"
#include "gtest/gtest.h"

namespace muster {
namespace {

constexpr absl::string_view kIncrement = "/counter.v1.Counter/Increment";

SimClusterOptions Options() {
  SimClusterOptions options;
  options.types = {ServerType<examples::Counter>("counter")};
  return options;
}

absl::StatusOr<int64_t> Increment(SimCluster& cluster, int via,
                                  absl::string_view name) {
  const auto value = cluster.Call<counter::v1::CounterValue>(
      via, name, kIncrement, counter::v1::IncrementRequest());
  if (!value.ok()) return value.status();
  return value->value();
}

TEST(SimClusterTest, OneNodeJoinsAppliesATreeAndServesACall) {
  SimCluster cluster(1, 1, Options());
  cluster.StartAll();
  const auto applied = cluster.Apply(0, MakeManifest("app", "counter", {"a"}));
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(applied->started_size(), 1);
  ASSERT_TRUE(cluster.AwaitChild(0, "app", "a", "running"));
  const auto value = Increment(cluster, 0, "app_a");
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(*value, 1);
}

TEST(SimClusterTest, AnyNodeServesANameOfAnother) {
  SimCluster cluster(2, 3, Options());
  cluster.StartAll();
  ASSERT_TRUE(
      cluster.Apply(1, MakeManifest("app", "counter", {"a", "b", "c"})).ok());
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_TRUE(cluster.AwaitChild(2, "app", id, "running"));
  }
  for (int via = 0; via < 3; ++via) {
    for (const char* name : {"app_a", "app_b", "app_c"}) {
      const auto value = Increment(cluster, via, name);
      ASSERT_TRUE(value.ok()) << via << name << value.status();
      EXPECT_EQ(*value, via + 1);
    }
  }
}

TEST(SimClusterTest, AKilledNodesChildrenRunElsewhere) {
  SimCluster cluster(3, 3, Options());
  cluster.StartAll();
  ASSERT_TRUE(
      cluster.Apply(1, MakeManifest("app", "counter", {"a", "b", "c"})).ok());
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_TRUE(cluster.AwaitChild(2, "app", id, "running"));
  }
  const int victim = cluster.LivingOwnerOf("app_a");
  ASSERT_GE(victim, 0);
  const Epoch before = cluster.OwnerOf("app_a")->epoch;
  cluster.KillNode(victim);
  const int via = victim == 0 ? 1 : 0;
  ASSERT_TRUE(cluster.RunUntil([&] {
    const int owner = cluster.LivingOwnerOf("app_a");
    return owner >= 0 && owner != victim;
  }));
  ASSERT_TRUE(cluster.AwaitChild(via, "app", "a", "running"));
  EXPECT_GT(cluster.OwnerOf("app_a")->epoch, before);
  const auto value = Increment(cluster, via, "app_a");
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(*value, 1);
}

TEST(SimClusterTest, ASeedHasOneTrace) {
  const auto run = [](uint64_t seed) {
    SimCluster cluster(seed, 3, Options());
    cluster.StartAll();
    EXPECT_TRUE(
        cluster.Apply(0, MakeManifest("app", "counter", {"a", "b"})).ok());
    cluster.KillNode(1);
    cluster.RunFor(absl::Seconds(10));
    cluster.StartNode(1);
    cluster.RunFor(absl::Seconds(5));
    return cluster.world().trace_hash();
  };
  EXPECT_EQ(run(7), run(7));
  EXPECT_NE(run(7), run(8));
}

}  // namespace
}  // namespace muster
