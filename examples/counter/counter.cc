#include "examples/counter/counter.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace examples {

using counter::v1::CounterOptions;
using counter::v1::CounterValue;
using counter::v1::DecrementRequest;
using counter::v1::GetValueRequest;
using counter::v1::IncrementRequest;
using counter::v1::ResetRequest;
using muster::Context;
using muster::InitResult;
using muster::Next;
using muster::Reply;

namespace {

absl::Status OutOfRange(int64_t value, absl::string_view what, int64_t by) {
  return absl::OutOfRangeError(
      absl::StrCat(value, " ", what, " ", by,
                   " does not fit in 64 bits; the value has not changed"));
}

}  // namespace

InitResult Counter::Init(const CounterOptions& options, Context&) {
  value_ = options.initial_value();
  return muster::Ok();
}

Reply<CounterValue> Counter::Increment(const IncrementRequest& request,
                                       Context&) {
  const int64_t by = request.has_by() ? request.by() : 1;
  int64_t sum;
  if (__builtin_add_overflow(value_, by, &sum)) {
    return OutOfRange(value_, "plus", by);
  }
  value_ = sum;
  return Value();
}

Reply<CounterValue> Counter::Decrement(const DecrementRequest& request,
                                       Context&) {
  const int64_t by = request.has_by() ? request.by() : 1;
  int64_t difference;
  if (__builtin_sub_overflow(value_, by, &difference)) {
    return OutOfRange(value_, "minus", by);
  }
  value_ = difference;
  return Value();
}

Reply<CounterValue> Counter::GetValue(const GetValueRequest&, Context&) {
  return Value();
}

Next Counter::Reset(const ResetRequest&, Context&) {
  value_ = 0;
  return muster::NoReply();
}

absl::StatusOr<muster::Payload> Counter::Snapshot(Context&) {
  return muster::Payload::Of(Value());
}

absl::Status Counter::Restore(muster::Payload state, Context&) {
  const CounterValue* const value = state.As<CounterValue>();
  if (value == nullptr) {
    return absl::InvalidArgumentError(
        "the state is no counter.v1.CounterValue");
  }
  value_ = value->value();
  return absl::OkStatus();
}

CounterValue Counter::Value() const {
  CounterValue value;
  value.set_value(value_);
  return value;
}

}  // namespace examples
