#include "tests/checkers/wgl.h"

#include <cstdint>
#include <cstdio>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

using Verdict = LinearResult::Verdict;
constexpr int64_t kOpen = LinearOp::kOpen;

// A register: put (argument) and get (result).
enum { kPut, kGet };
bool Register(const LinearOp& op, int64_t* state) {
  if (op.what == kPut) {
    *state = op.argument;
    return true;
  }
  return *state == op.result;
}
LinearOp Put(int64_t invoke, int64_t end, int64_t value) {
  return {.invoke = invoke, .end = end, .what = kPut, .argument = value};
}
LinearOp Get(int64_t invoke, int64_t end, int64_t value) {
  return {.invoke = invoke, .end = end, .what = kGet, .result = value};
}
Verdict Check(const std::vector<LinearOp>& ops) {
  return CheckLinearizable(ops, 0, Register).verdict;
}

// A counter that answers its new value.
bool Counter(const LinearOp& op, int64_t* state) {
  *state += op.argument;
  return op.end == kOpen || *state == op.result;
}

TEST(WglTest, NothingIsLinearizable) {
  EXPECT_EQ(Check({}), Verdict::kLinearizable);
}

TEST(WglTest, OneAfterTheOtherIsTakenInThatOrder) {
  EXPECT_EQ(Check({Put(1, 2, 5), Get(3, 4, 5)}), Verdict::kLinearizable);
  EXPECT_EQ(Check({Put(1, 2, 5), Get(3, 4, 0)}), Verdict::kNot);
}

TEST(WglTest, AStaleReadIsFoundWhereItReturned) {
  const LinearResult result = CheckLinearizable(
      {Put(1, 2, 5), Put(3, 4, 6), Get(5, 6, 5), Get(7, 8, 6)}, 0, Register);
  EXPECT_EQ(result.verdict, Verdict::kNot);
  EXPECT_EQ(result.stuck_at, 2u);
}

TEST(WglTest, WhatOverlapsMayBeTakenEitherWay) {
  EXPECT_EQ(Check({Put(1, 9, 5), Get(2, 3, 0), Get(4, 5, 5)}),
            Verdict::kLinearizable);
  // But once seen it stays.
  EXPECT_EQ(Check({Put(1, 9, 5), Get(2, 3, 5), Get(4, 5, 0)}), Verdict::kNot);
}

TEST(WglTest, TheExampleOfHerlihyAndWing) {
  // Three writers at once, two readers that must agree about the order.
  EXPECT_EQ(Check({Put(1, 4, 1), Put(1, 4, 2), Get(5, 6, 1), Get(7, 8, 1)}),
            Verdict::kLinearizable);
  EXPECT_EQ(Check({Put(1, 4, 1), Put(1, 4, 2), Get(5, 6, 1), Get(7, 8, 2)}),
            Verdict::kNot);
}

TEST(WglTest, AnUnknownOperationMayHappenLateOrNever) {
  EXPECT_EQ(Check({Put(1, kOpen, 5), Get(10, 11, 0), Get(20, 21, 5)}),
            Verdict::kLinearizable);
  EXPECT_EQ(Check({Put(1, kOpen, 5), Get(10, 11, 0), Get(20, 21, 0)}),
            Verdict::kLinearizable);
  // But not twice, and not before it was asked for.
  EXPECT_EQ(
      Check({Put(1, kOpen, 5), Get(10, 11, 5), Put(12, 13, 6), Get(14, 15, 5)}),
      Verdict::kNot);
  EXPECT_EQ(Check({Get(1, 2, 5), Put(3, kOpen, 5)}), Verdict::kNot);
}

TEST(WglTest, UnknownOperationsThatAreAlikeAreCounted) {
  const auto add = [](int64_t invoke, int64_t end, int64_t result) {
    return LinearOp{
        .invoke = invoke, .end = end, .argument = 1, .result = result};
  };
  EXPECT_EQ(CheckLinearizable(
                {add(1, kOpen, 0), add(2, kOpen, 0), add(5, 6, 3)}, 0, Counter)
                .verdict,
            Verdict::kLinearizable);
  EXPECT_EQ(CheckLinearizable(
                {add(1, kOpen, 0), add(7, kOpen, 0), add(5, 6, 3)}, 0, Counter)
                .verdict,
            Verdict::kNot);
}

TEST(WglTest, GivesUpAtItsLimit) {
  std::vector<LinearOp> ops;
  for (int i = 0; i < 12; ++i) ops.push_back(Put(1, 100, i + 1));
  ops.push_back(Get(101, 102, 99));
  EXPECT_EQ(CheckLinearizable(ops, 0, Register, 100).verdict, Verdict::kGaveUp);
}

// Real executions of a counter with `clients` at once; one in a hundred
// answers is lost, half of those before their effect.
std::vector<LinearOp> MakeCounterHistory(size_t size, size_t clients) {
  SimRandom dice(7);
  std::vector<LinearOp> ops;
  std::vector<int64_t> free_at(clients, 0);
  int64_t value = 0;
  int64_t now = 0;
  while (ops.size() < size) {
    now += static_cast<int64_t>(1 + dice.Below(10));
    const size_t client = dice.Below(clients);
    if (free_at[client] > now) continue;
    LinearOp op;
    op.invoke = now - static_cast<int64_t>(dice.Below(5));
    op.argument = 1;
    if (dice.Below(100) == 0) {
      if (dice.Below(2) == 0) ++value;
    } else {
      op.result = ++value;
      op.end = now + static_cast<int64_t>(1 + dice.Below(30));
      free_at[client] = op.end + 5;
    }
    ops.push_back(op);
  }
  return ops;
}

TEST(WglTest, AHundredThousandOperationsTakeSeconds) {
  std::vector<LinearOp> ops = MakeCounterHistory(100'000, 10);
  SystemClock clock;
  const BootTime began = clock.Boot();
  EXPECT_EQ(CheckLinearizable(ops, 0, Counter).verdict, Verdict::kLinearizable);
  const absl::Duration took = clock.Boot() - began;
  EXPECT_LT(took, absl::Seconds(20));
  std::printf("%lld ms\n",
              static_cast<long long>(absl::ToInt64Milliseconds(took)));
}

TEST(WglTest, OneWrongAnswerAmongManyIsFound) {
  std::vector<LinearOp> ops = MakeCounterHistory(2'000, 10);
  size_t bad = ops.size() / 2;
  while (ops[bad].end == kOpen) ++bad;
  // Long before it was asked for.
  ops[bad].result -= 1'000;
  const LinearResult result = CheckLinearizable(ops, 0, Counter);
  EXPECT_EQ(result.verdict, Verdict::kNot);
}

}  // namespace
}  // namespace muster
