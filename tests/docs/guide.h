// GuideTest: what the examples of docs/otp.md run in: nodes a and b in virtual
// time, and a counter of which an example replaces what it is about.
#ifndef MUSTER_TESTS_DOCS_GUIDE_H_
#define MUSTER_TESTS_DOCS_GUIDE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "examples/counter/counter.muster.client.h"
#include "examples/counter/counter.muster.server.h"
#include "gtest/gtest.h"
#include "node/process/context.h"
#include "node/process/result.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "tests/conformance/otp/otp_cluster.h"

namespace muster {

using counter::v1::CounterClient;
using counter::v1::CounterOptions;
using counter::v1::CounterServer;
using counter::v1::CounterValue;
using counter::v1::DecrementRequest;
using counter::v1::GetValueRequest;
using counter::v1::IncrementRequest;
using counter::v1::ResetRequest;

inline IncrementRequest By(int64_t by) {
  IncrementRequest request;
  request.set_by(by);
  return request;
}
inline CounterValue Value(int64_t number) {
  CounterValue value;
  value.set_value(number);
  return value;
}
// The value of a call that must have succeeded.
inline int64_t Number(const absl::StatusOr<CounterValue>& value) {
  EXPECT_TRUE(value.ok()) << value.status();
  return value.ok() ? value->value() : -1;
}
// What a counter is initialized with.
inline Payload Init() { return Payload::Of(CounterOptions()); }

class Counter : public CounterServer {
 public:
  InitResult Init(const CounterOptions& options, Context&) override {
    value_ = options.initial_value();
    return Ok();
  }
  Reply<CounterValue> Increment(const IncrementRequest& request,
                                Context&) override {
    value_ += request.has_by() ? request.by() : 1;
    return Value(value_);
  }
  Reply<CounterValue> Decrement(const DecrementRequest& request,
                                Context&) override {
    value_ -= request.has_by() ? request.by() : 1;
    return Value(value_);
  }
  Reply<CounterValue> GetValue(const GetValueRequest&, Context&) override {
    return Value(value_);
  }
  Next Reset(const ResetRequest&, Context&) override {
    value_ = 0;
    return NoReply();
  }

 protected:
  int64_t value_ = 0;
};

class GuideTest : public ::testing::Test {
 protected:
  GuideTest() : cluster_({"a", "b"}), actor_(cluster_.StartActor("a")) {}

  // Runs an example inside a process of node a, to its end.
  void Run(Act act) { cluster_.Do(actor_, std::move(act)); }
  // A server whose number is 0.
  template <typename T = Counter>
  Pid Serve(const std::string& node, Names names = Names()) {
    return cluster_.Start(node, std::make_unique<T>(), std::move(names));
  }

  OtpCluster cluster_;
  const Pid actor_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_DOCS_GUIDE_H_
