// The contracts of node/base/scheduler.h and clock.h as a test suite.
//
// A backend links this library and instantiates SchedulerConformanceTest with
// a factory of its environment.
#ifndef MUSTER_TESTS_CONFORMANCE_SCHEDULER_SCHEDULER_CONFORMANCE_H_
#define MUSTER_TESTS_CONFORMANCE_SCHEDULER_SCHEDULER_CONFORMANCE_H_

#include <functional>
#include <memory>

#include "absl/functional/function_ref.h"
#include "gtest/gtest.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"

namespace muster {

// Where a backend's scheduler lives.
class SchedulerEnvironment {
 public:
  virtual ~SchedulerEnvironment() = default;

  virtual Scheduler& scheduler() = 0;
  // Ends it: nothing runs any more, everything handed in is dropped.
  virtual void End() = 0;

  // Everything that the suite's work records changes under this lock.
  Mutex mu;
  CondVar changed;

  // Waits, or simulates, until `done`, which is asked with `mu` held. False:
  // it took far too long.
  virtual bool Await(absl::FunctionRef<bool()> done) = 0;
};

using SchedulerEnvironmentFactory =
    std::function<std::unique_ptr<SchedulerEnvironment>()>;

class SchedulerConformanceTest
    : public testing::TestWithParam<SchedulerEnvironmentFactory> {
 protected:
  void SetUp() override { env_ = GetParam()(); }

  Scheduler& scheduler() { return env_->scheduler(); }
  // Changes what is recorded.
  void Record(absl::FunctionRef<void()> change) {
    {
      MutexLock lock(&env_->mu);
      change();
    }
    env_->changed.SignalAll();
  }
  bool Await(absl::FunctionRef<bool()> done) { return env_->Await(done); }

  std::unique_ptr<SchedulerEnvironment> env_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_SCHEDULER_SCHEDULER_CONFORMANCE_H_
