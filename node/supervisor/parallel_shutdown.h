// ParallelShutdown: ends many children at one time (otp S28, D6).
#ifndef MUSTER_NODE_SUPERVISOR_PARALLEL_SHUTDOWN_H_
#define MUSTER_NODE_SUPERVISOR_PARALLEL_SHUTDOWN_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "node/base/scheduler.h"
#include "node/gen_server/server_type.h"
#include "node/process/caller.h"
#include "node/process/context.h"
#include "node/types/exit_reason.h"
#include "node/types/pid.h"

namespace muster {

// Each child gets its exit signal at once; one timer for each limit kills who
// is left then. LIFETIME: a local of the coroutine that waits for it; if that
// is destroyed, the timers go and nothing is left behind.
//   ParallelShutdown shutdown(self, std::move(children));
//   std::vector<ExitReason> reasons = co_await shutdown.Done();
class ParallelShutdown {
 public:
  struct Child {
    Child(Pid p, Shutdown s) : pid(std::move(p)), shutdown(s) {}
    Pid pid;
    Shutdown shutdown;
  };

  ParallelShutdown(Context& self, std::vector<Child> children);
  ~ParallelShutdown();
  ParallelShutdown(const ParallelShutdown&) = delete;
  ParallelShutdown& operator=(const ParallelShutdown&) = delete;

  // How each of them ended, in their order; noproc: it had ended before. Once.
  Pending<std::vector<ExitReason>> Done();
  // Timers that it armed: as many as there are different finite limits.
  size_t timer_count() const { return timers_.size(); }

 private:
  struct State;

  Runtime& runtime_;
  const std::vector<Child> children_;
  const std::shared_ptr<State> state_;
  std::vector<uint64_t> observed_;
  std::vector<TimerId> timers_;
};

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_PARALLEL_SHUTDOWN_H_
