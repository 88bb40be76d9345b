#include "node/base/run_queue.h"

#include <atomic>
#include <cstdint>
#include <deque>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

TEST(RunQueueTest, IsAFifo) {
  RunQueue queue;
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.Pop(), 0u);
  for (uintptr_t word = 1; word <= 3; ++word) EXPECT_TRUE(queue.Push(word));
  EXPECT_FALSE(queue.empty());
  EXPECT_EQ(queue.Pop(), 1u);
  EXPECT_EQ(queue.Pop(), 2u);
  EXPECT_EQ(queue.Pop(), 3u);
  EXPECT_TRUE(queue.empty());
}

TEST(RunQueueTest, RefusesWhatIsMoreThanItsCapacity) {
  RunQueue queue;
  for (uintptr_t word = 1; word <= RunQueue::kCapacity; ++word) {
    ASSERT_TRUE(queue.Push(word));
  }
  EXPECT_FALSE(queue.Push(999));
  EXPECT_EQ(queue.Pop(), 1u);
  EXPECT_TRUE(queue.Push(999));
  EXPECT_FALSE(queue.Push(1000));
}

TEST(RunQueueTest, AThiefTakesTheOldestHalfRoundedUp) {
  RunQueue queue;
  RunQueue thief;
  EXPECT_EQ(queue.StealInto(&thief), 0u);
  for (uintptr_t word = 1; word <= 5; ++word) queue.Push(word);
  EXPECT_EQ(queue.StealInto(&thief), 1u);
  EXPECT_EQ(thief.Pop(), 2u);
  EXPECT_EQ(thief.Pop(), 3u);
  EXPECT_EQ(thief.Pop(), 0u);
  EXPECT_EQ(queue.Pop(), 4u);
  EXPECT_EQ(queue.StealInto(&thief), 5u);
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(thief.empty());
}

TEST(RunQueueTest, BehavesAsItsModelUnderRandomOperations) {
  SimRandom random(5);
  RunQueue queue;
  std::deque<uintptr_t> model;
  uintptr_t next = 0;
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t roll = random.Below(100);
    if (roll < 55) {
      const bool room = model.size() < RunQueue::kCapacity;
      ASSERT_EQ(queue.Push(++next), room);
      if (room) model.push_back(next);
    } else if (roll < 97) {
      const uintptr_t want = model.empty() ? 0 : model.front();
      if (!model.empty()) model.pop_front();
      ASSERT_EQ(queue.Pop(), want);
    } else {
      RunQueue thief;
      size_t take = model.size() - model.size() / 2;
      uintptr_t word = queue.StealInto(&thief);
      for (; take > 0; --take) {
        ASSERT_EQ(word, model.front());
        model.pop_front();
        word = thief.Pop();
      }
      ASSERT_EQ(word, 0u);
    }
    ASSERT_EQ(queue.empty(), model.empty());
  }
}

TEST(RunQueueTest, EachWordIsTakenOnceByOwnerOrThief) {
  constexpr uintptr_t kWords = 20'000;
  constexpr int kThieves = 3;
  RunQueue queue;
  std::vector<std::atomic<int>> taken(kWords + 1);
  std::atomic<uintptr_t> left = kWords;
  const auto take = [&](uintptr_t word) {
    ++taken[word];
    --left;
  };
  std::vector<std::thread> thieves;
  for (int i = 0; i < kThieves; ++i) {
    thieves.emplace_back([&] {
      RunQueue own;
      while (left > 0) {
        const uintptr_t word = queue.StealInto(&own);
        if (word == 0) {
          std::this_thread::yield();
          continue;
        }
        take(word);
        while (const uintptr_t more = own.Pop()) take(more);
      }
    });
  }
  for (uintptr_t word = 1; word <= kWords; ++word) {
    while (!queue.Push(word)) {
      if (const uintptr_t own = queue.Pop()) take(own);
    }
    if (word % 7 == 0) {
      if (const uintptr_t own = queue.Pop()) take(own);
    }
  }
  while (const uintptr_t own = queue.Pop()) take(own);
  for (std::thread& thief : thieves) thief.join();
  for (uintptr_t word = 1; word <= kWords; ++word) ASSERT_EQ(taken[word], 1);
}

}  // namespace
}  // namespace muster
