// Counter: the guide's first GenServer.
#ifndef MUSTER_EXAMPLES_COUNTER_COUNTER_H_
#define MUSTER_EXAMPLES_COUNTER_COUNTER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "examples/counter/counter.muster.server.h"
#include "examples/counter/counter.pb.h"

namespace examples {

// Holds one number.
class Counter final : public counter::v1::CounterServer {
 public:
  muster::InitResult Init(const counter::v1::CounterOptions& options,
                          muster::Context& self) override;
  muster::Reply<counter::v1::CounterValue> Increment(
      const counter::v1::IncrementRequest& request,
      muster::Context& self) override;
  muster::Reply<counter::v1::CounterValue> Decrement(
      const counter::v1::DecrementRequest& request,
      muster::Context& self) override;
  muster::Reply<counter::v1::CounterValue> GetValue(
      const counter::v1::GetValueRequest& request,
      muster::Context& self) override;
  muster::Next Reset(const counter::v1::ResetRequest& request,
                     muster::Context& self) override;
  // A counter keeps its value when it moves to another node.
  absl::StatusOr<muster::Payload> Snapshot(muster::Context& self) override;
  absl::Status Restore(muster::Payload state, muster::Context& self) override;

 private:
  counter::v1::CounterValue Value() const;

  int64_t value_ = 0;
};

}  // namespace examples

#endif  // MUSTER_EXAMPLES_COUNTER_COUNTER_H_
