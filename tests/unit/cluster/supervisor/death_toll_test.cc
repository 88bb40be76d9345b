#include "cluster/supervisor/death_toll.h"

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"

namespace muster {
namespace {

BootTime At(int s) { return BootTime::FromNanoseconds(0) + absl::Seconds(s); }

std::map<std::string, uint64_t> Nodes(int from, int to) {
  std::map<std::string, uint64_t> nodes;
  for (int i = from; i < to; ++i) {
    nodes[absl::StrCat("n", i)] = static_cast<uint64_t>(i + 1);
  }
  return nodes;
}

TEST(DeathTollTest, OneDeathIsNeverMany) {
  DeathToll toll(absl::Seconds(4));
  toll.Note(Nodes(0, 2), At(0));
  toll.Note(Nodes(0, 1), At(1));
  EXPECT_FALSE(toll.IsMass());
}

TEST(DeathTollTest, TwoOfThreeAreManyTwoOfTwentyAreNot) {
  DeathToll small(absl::Seconds(4));
  small.Note(Nodes(0, 3), At(0));
  small.Note(Nodes(0, 2), At(1));
  small.Note(Nodes(0, 1), At(2));
  EXPECT_TRUE(small.IsMass());
  DeathToll large(absl::Seconds(4));
  large.Note(Nodes(0, 20), At(0));
  large.Note(Nodes(0, 18), At(1));
  EXPECT_FALSE(large.IsMass());
  large.Note(Nodes(0, 15), At(2));
  EXPECT_TRUE(large.IsMass());
}

TEST(DeathTollTest, StartsAreSpreadAsFarAsThereAreMany) {
  const absl::Duration reap = absl::Seconds(4);
  DeathToll toll(reap);
  toll.Note(Nodes(0, 5), At(0));
  toll.Note(Nodes(0, 4), At(1));
  EXPECT_EQ(toll.SpreadOf(1000, reap), absl::ZeroDuration());
  toll.Note(Nodes(0, 2), At(2));
  EXPECT_EQ(toll.SpreadOf(0, reap), absl::ZeroDuration());
  EXPECT_EQ(toll.SpreadOf(250, reap), absl::Milliseconds(500));
  EXPECT_EQ(toll.SpreadOf(100'000, reap), absl::Seconds(2));
}

TEST(DeathTollTest, ANewIncarnationMeansADeath) {
  DeathToll toll(absl::Seconds(4));
  toll.Note({{"a", 1}, {"b", 2}}, At(0));
  toll.Note({{"a", 3}, {"b", 4}}, At(1));
  EXPECT_TRUE(toll.IsMass());
}

TEST(DeathTollTest, DeathsAreForgotten) {
  DeathToll toll(absl::Seconds(4));
  toll.Note(Nodes(0, 3), At(0));
  toll.Note(Nodes(0, 1), At(1));
  EXPECT_TRUE(toll.IsMass());
  toll.Note(Nodes(0, 1), At(6));
  EXPECT_FALSE(toll.IsMass());
}

}  // namespace
}  // namespace muster
