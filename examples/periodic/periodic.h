// PeriodicTask: the guide's server that ticks.
#ifndef MUSTER_EXAMPLES_PERIODIC_PERIODIC_H_
#define MUSTER_EXAMPLES_PERIODIC_PERIODIC_H_

#include <cstdint>

#include "absl/time/time.h"
#include "examples/periodic/periodic.muster.server.h"
#include "examples/periodic/periodic.pb.h"

namespace examples {

// Sends itself a Tick, counts it when it comes, and sends the next.
class PeriodicTask final : public periodic::v1::PeriodicTaskServer {
 public:
  muster::InitResult Init(const periodic::v1::PeriodicTaskOptions& options,
                          muster::Context& self) override;
  muster::Reply<periodic::v1::TickCount> GetCount(
      const periodic::v1::GetCountRequest& request,
      muster::Context& self) override;
  // Logs "Tick number: N", from 0; anything but a tick is logged and dropped.
  muster::Next HandleInfo(muster::Info info, muster::Context& self) override;

 private:
  // A C++ value, so nobody on another node can send one.
  struct Tick {};

  void ScheduleTick(muster::Context& self);

  absl::Duration interval_;
  int64_t count_ = 0;
};

}  // namespace examples

#endif  // MUSTER_EXAMPLES_PERIODIC_PERIODIC_H_
