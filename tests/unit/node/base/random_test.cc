#include "node/base/random.h"

#include <array>
#include <cstring>
#include <deque>
#include <set>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

// Rolls what the test says.
class LoadedDice final : public RandomSource {
 public:
  explicit LoadedDice(std::deque<uint64_t> values)
      : values_(std::move(values)) {}
  void Fill(void* out, size_t size) override {
    ASSERT_EQ(size, sizeof(uint64_t));
    ASSERT_FALSE(values_.empty());
    std::memcpy(out, &values_.front(), size);
    values_.pop_front();
  }
  size_t left() const { return values_.size(); }

 private:
  std::deque<uint64_t> values_;
};

TEST(RandomTest, BelowRefusesTheTailThatWouldFavourSmallResults) {
  // 2^64 - 1 = 10 * 1844674407370955161 + 5.
  constexpr uint64_t kLimit = 18'446'744'073'709'551'610u;
  LoadedDice dice({UINT64_MAX, kLimit, kLimit - 1});
  EXPECT_EQ(dice.Below(10), 9u);
  EXPECT_EQ(dice.left(), 0u);
}

TEST(RandomTest, BelowAtItsBounds) {
  SimRandom random(1);
  EXPECT_EQ(random.Below(0), 0u);
  EXPECT_EQ(random.Below(1), 0u);
  LoadedDice dice({UINT64_MAX, UINT64_MAX - 1});
  EXPECT_EQ(dice.Below(UINT64_MAX), UINT64_MAX - 1);
}

TEST(RandomTest, BelowReachesAllValuesAboutEquallyOften) {
  SimRandom random(7);
  constexpr int kRolls = 60'000;
  std::array<int, 6> count = {};
  for (int i = 0; i < kRolls; ++i) ++count[random.Below(6)];
  for (const int times : count) {
    // Six standard deviations are about 550.
    EXPECT_NEAR(times, kRolls / 6, 550);
  }
}

TEST(RandomTest, JitterStaysBelowItsMaximum) {
  SimRandom random(3);
  for (int i = 0; i < 1'000; ++i) {
    const absl::Duration jitter = random.Jitter(absl::Milliseconds(5));
    EXPECT_GE(jitter, absl::ZeroDuration());
    EXPECT_LT(jitter, absl::Milliseconds(5));
  }
  EXPECT_EQ(random.Jitter(absl::ZeroDuration()), absl::ZeroDuration());
  EXPECT_EQ(random.Jitter(-absl::Seconds(1)), absl::ZeroDuration());
  EXPECT_GE(random.Jitter(absl::InfiniteDuration()), absl::ZeroDuration());
}

TEST(RandomTest, HexHasTwoLowerCaseDigitsAByte) {
  SystemRandom random;
  const std::string hex = random.Hex(16);
  EXPECT_EQ(hex.size(), 32u);
  EXPECT_EQ(hex.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(random.Hex(0), "");
}

TEST(RandomTest, SystemRandomDoesNotRepeat) {
  SystemRandom random;
  std::set<uint64_t> seen;
  for (int i = 0; i < 1'000; ++i) seen.insert(random.Next());
  EXPECT_EQ(seen.size(), 1'000u);
}

TEST(SimRandomTest, SameSeedSameSequence) {
  SimRandom first(42);
  SimRandom second(42);
  SimRandom other(43);
  int same_as_other = 0;
  for (int i = 0; i < 100; ++i) {
    const uint64_t value = first.Next();
    EXPECT_EQ(value, second.Next());
    same_as_other += value == other.Next();
  }
  EXPECT_EQ(same_as_other, 0);
}

TEST(SimRandomTest, IsTheSameOnEveryMachine) {
  // From the reference implementations of splitmix64 and xoshiro256**.
  SimRandom random(0);
  std::array<unsigned char, 8> bytes;
  random.Fill(bytes.data(), bytes.size());
  uint64_t word = 0;
  for (int i = 7; i >= 0; --i) word = word << 8 | bytes[i];
  EXPECT_EQ(word, 0x99ec5f36cb75f2b4u);
}

}  // namespace
}  // namespace muster
