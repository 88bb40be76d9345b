#include "node/supervisor/parallel_shutdown.h"

#include "absl/container/btree_map.h"
#include "absl/time/time.h"
#include "node/base/mutex.h"
#include "node/process/runtime.h"

namespace muster {

struct ParallelShutdown::State {
  using Arrival = internal::Arrival<std::vector<ExitReason>>;

  explicit State(size_t count)
      : left(count + 1), reasons(count, ExitReason::Noproc()) {}

  void Set(size_t index, ExitReason reason) ABSL_LOCKS_EXCLUDED(mu) {
    {
      MutexLock lock(&mu);
      reasons[index] = std::move(reason);
    }
    CountDown();
  }
  void CountDown() ABSL_LOCKS_EXCLUDED(mu) {
    std::vector<ExitReason> all;
    {
      MutexLock lock(&mu);
      if (--left > 0) return;
      all = std::move(reasons);
    }
    arrival->Set(std::move(all));
  }

  const std::shared_ptr<Arrival> arrival = std::make_shared<Arrival>();
  Mutex mu;
  // Children that run, and one until all orders are given.
  size_t left ABSL_GUARDED_BY(mu);
  std::vector<ExitReason> reasons ABSL_GUARDED_BY(mu);
};

ParallelShutdown::ParallelShutdown(Context& self, std::vector<Child> children)
    : runtime_(self.runtime()),
      children_(std::move(children)),
      state_(std::make_shared<State>(children_.size())) {
  observed_.reserve(children_.size());
  for (size_t i = 0; i < children_.size(); ++i) {
    observed_.push_back(runtime_.ObserveExit(
        children_[i].pid, [state = state_, i](ExitReason reason) {
          state->Set(i, std::move(reason));
        }));
  }
  absl::btree_map<absl::Duration, std::vector<Pid>> by_limit;
  for (const Child& child : children_) {
    if (child.shutdown.brutal_kill()) {
      runtime_.SendExit(self.pid(), child.pid, ExitReason::Kill());
      continue;
    }
    runtime_.SendExit(self.pid(), child.pid, ExitReason::Shutdown());
    if (child.shutdown.limit() != absl::InfiniteDuration()) {
      by_limit[child.shutdown.limit()].push_back(child.pid);
    }
  }
  for (auto& [limit, pids] : by_limit) {
    // Who has ended is not hit: a pid never comes back.
    timers_.push_back(runtime_.scheduler().At(
        runtime_.clock().Boot() + limit,
        [runtime = &runtime_, from = self.pid(), pids = std::move(pids)] {
          for (const Pid& pid : pids) {
            runtime->SendExit(from, pid, ExitReason::Kill());
          }
        }));
  }
  state_->CountDown();
}

ParallelShutdown::~ParallelShutdown() {
  for (const TimerId timer : timers_) runtime_.scheduler().Cancel(timer);
  for (size_t i = 0; i < observed_.size(); ++i) {
    if (observed_[i] != 0) {
      runtime_.StopObserving(children_[i].pid, observed_[i]);
    }
  }
}

Pending<std::vector<ExitReason>> ParallelShutdown::Done() {
  return Pending<std::vector<ExitReason>>(state_->arrival);
}

}  // namespace muster
