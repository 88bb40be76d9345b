// The scheduler suite on ThreadScheduler and SystemClock.
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/base/thread_scheduler.h"
#include "tests/conformance/scheduler/scheduler_conformance.h"

namespace muster {
namespace {

class ThreadEnvironment final : public SchedulerEnvironment {
 public:
  explicit ThreadEnvironment(int workers)
      : scheduler_(&clock_, {.workers = workers}) {}

  Scheduler& scheduler() override { return scheduler_; }
  void End() override { scheduler_.Stop(); }
  bool Await(absl::FunctionRef<bool()> done) override {
    const BootTime deadline = clock_.Boot() + absl::Seconds(30);
    MutexLock lock(&mu);
    while (!done()) {
      if (!changed.WaitUntil(&mu, clock_, deadline)) return done();
    }
    return true;
  }

 private:
  SystemClock clock_;
  ThreadScheduler scheduler_;
};

SchedulerEnvironmentFactory Workers(int workers) {
  return [workers] { return std::make_unique<ThreadEnvironment>(workers); };
}

INSTANTIATE_TEST_SUITE_P(Thread, SchedulerConformanceTest,
                         testing::Values(Workers(1), Workers(2), Workers(5)));

}  // namespace
}  // namespace muster
