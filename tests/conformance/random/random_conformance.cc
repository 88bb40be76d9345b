#include "tests/conformance/random/random_conformance.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace muster {
namespace {

TEST_P(RandomConformanceTest, FillWritesExactlyWhatItIsAskedFor) {
  for (const size_t size : {0, 1, 7, 8, 9, 31, 256, 257, 5000}) {
    // 0x00 and 0xff around it show a byte too many; a byte that is never
    // written keeps one value over all rounds.
    std::vector<std::set<uint8_t>> values(size);
    for (int round = 0; round < 8; ++round) {
      const uint8_t guard = round % 2 == 0 ? 0x00 : 0xff;
      std::vector<uint8_t> bytes(size + 16, guard);
      random_->Fill(bytes.data() + 8, size);
      for (size_t i = 0; i < 8; ++i) {
        EXPECT_EQ(bytes[i], guard);
        EXPECT_EQ(bytes[size + 8 + i], guard);
      }
      for (size_t i = 0; i < size; ++i) values[i].insert(bytes[i + 8]);
    }
    // Eight equal bytes by chance: one in 2^56 for each place.
    for (size_t i = 0; i < size; ++i) EXPECT_GT(values[i].size(), 1u) << i;
  }
}

TEST_P(RandomConformanceTest, EachBitIsSetAboutHalfOfTheTime) {
  constexpr int kWords = 20'000;
  std::array<int, 64> set{};
  for (int i = 0; i < kWords; ++i) {
    const uint64_t word = random_->Next();
    for (int bit = 0; bit < 64; ++bit) set[bit] += (word >> bit) & 1;
  }
  // Eight standard deviations.
  for (const int count : set) EXPECT_NEAR(count, kWords / 2, 566);
}

TEST_P(RandomConformanceTest, ValuesDoNotRepeat) {
  std::set<uint64_t> seen;
  for (int i = 0; i < 10'000; ++i) seen.insert(random_->Next());
  EXPECT_EQ(seen.size(), 10'000u);
}

TEST_P(RandomConformanceTest, BelowIsUniformBelowItsBound) {
  EXPECT_EQ(random_->Below(0), 0u);
  EXPECT_EQ(random_->Below(1), 0u);
  constexpr int kRolls = 30'000;
  std::array<int, 5> count{};
  for (int i = 0; i < kRolls; ++i) ++count.at(random_->Below(5));
  // Eight standard deviations.
  for (const int times : count) EXPECT_NEAR(times, kRolls / 5, 555);
  for (int i = 0; i < 100; ++i) {
    EXPECT_LT(random_->Below(uint64_t{1} << 63), uint64_t{1} << 63);
  }
}

TEST_P(RandomConformanceTest, JitterAndHexKeepTheirForm) {
  absl::Duration most;
  for (int i = 0; i < 1'000; ++i) {
    const absl::Duration jitter = random_->Jitter(absl::Seconds(1));
    ASSERT_GE(jitter, absl::ZeroDuration());
    ASSERT_LT(jitter, absl::Seconds(1));
    most = std::max(most, jitter);
  }
  EXPECT_GT(most, absl::Milliseconds(900));
  EXPECT_EQ(random_->Jitter(absl::ZeroDuration()), absl::ZeroDuration());
  const std::string hex = random_->Hex(16);
  EXPECT_EQ(hex.size(), 32u);
  EXPECT_EQ(hex.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(hex, random_->Hex(16));
}

TEST_P(RandomConformanceTest, ThreadsDoNotGetTheSameValues) {
  constexpr int kThreads = 4;
  constexpr int kEach = 2'000;
  std::vector<std::vector<uint64_t>> got(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, &mine = got[t]] {
      for (int i = 0; i < kEach; ++i) mine.push_back(random_->Next());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<uint64_t> all;
  for (const auto& values : got) all.insert(values.begin(), values.end());
  EXPECT_EQ(all.size(), size_t{kThreads} * kEach);
}

}  // namespace
}  // namespace muster
