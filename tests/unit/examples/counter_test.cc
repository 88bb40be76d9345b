#include "examples/counter/counter.h"

#include <cstdint>
#include <limits>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "examples/counter/counter.muster.client.h"
#include "gtest/gtest.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "node/types/status.h"
#include "tests/testkit/runtime_fixture.h"

namespace examples {
namespace {

using counter::v1::CounterClient;
using counter::v1::CounterOptions;
using counter::v1::CounterValue;
using counter::v1::DecrementRequest;
using counter::v1::GetValueRequest;
using counter::v1::IncrementRequest;
using counter::v1::ResetRequest;

class CounterTest : public testing::Test {
 protected:
  CounterClient Start(int64_t initial_value) {
    CounterOptions options;
    options.set_initial_value(initial_value);
    const absl::StatusOr<muster::Pid> pid =
        sim_.Start(std::make_unique<Counter>(), muster::Payload::Of(options));
    EXPECT_TRUE(pid.ok()) << pid.status();
    return CounterClient(sim_.caller(), pid.value());
  }
  absl::StatusOr<CounterValue> Add(const CounterClient& counter, int64_t by) {
    IncrementRequest request;
    request.set_by(by);
    return sim_.Await(counter.Increment(request));
  }
  absl::StatusOr<CounterValue> Subtract(const CounterClient& counter,
                                        int64_t by) {
    DecrementRequest request;
    request.set_by(by);
    return sim_.Await(counter.Decrement(request));
  }
  int64_t Value(const CounterClient& counter) {
    const absl::StatusOr<CounterValue> value =
        sim_.Await(counter.GetValue(GetValueRequest()));
    EXPECT_TRUE(value.ok()) << value.status();
    return value.ok() ? value->value() : -1;
  }

  muster::SimRuntime sim_;
};

TEST_F(CounterTest, CountsByOneUnlessTold) {
  const CounterClient counter = Start(10);
  EXPECT_EQ(Value(counter), 10);
  EXPECT_EQ(sim_.Await(counter.Increment(IncrementRequest()))->value(), 11);
  EXPECT_EQ(sim_.Await(counter.Decrement(DecrementRequest()))->value(), 10);
  EXPECT_EQ(Add(counter, 5)->value(), 15);
  EXPECT_EQ(Subtract(counter, 7)->value(), 8);
  // Present and 0 is not absent.
  EXPECT_EQ(Add(counter, 0)->value(), 8);
  EXPECT_EQ(Value(counter), 8);
}

TEST_F(CounterTest, ResetSetsZero) {
  const CounterClient counter = Start(10);
  EXPECT_TRUE(sim_.Await(counter.Reset(ResetRequest())).ok());
  EXPECT_EQ(Value(counter), 0);
}

TEST_F(CounterTest, WithoutOptionsStartsFromZero) {
  const absl::StatusOr<muster::Pid> pid =
      sim_.Start(std::make_unique<Counter>());
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_EQ(Value(CounterClient(sim_.caller(), *pid)), 0);
}

TEST_F(CounterTest, CountersHaveAStateEach) {
  const CounterClient a = Start(100);
  const CounterClient b = Start(200);
  EXPECT_EQ(Add(a, 1)->value(), 101);
  EXPECT_EQ(Value(b), 200);
}

TEST_F(CounterTest, WhatDoesNotFitIsRefusedAndChangesNothing) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const CounterClient counter = Start(kMax);
  const absl::Status refused = Add(counter, 1).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(muster::OutcomeOf(refused), muster::Outcome::kExecuted);
  EXPECT_EQ(Subtract(counter, kMin).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Value(counter), kMax);
}

TEST_F(CounterTest, OptionsThatAreNoneFailTheStart) {
  const absl::StatusOr<muster::Pid> pid = sim_.Start(
      std::make_unique<Counter>(), muster::Payload::FromBytes("\xff\xff", ""));
  EXPECT_EQ(pid.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace examples
