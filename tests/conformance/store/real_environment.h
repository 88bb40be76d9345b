// RealEnvironment: what backends on real threads share.
#ifndef MUSTER_TESTS_CONFORMANCE_STORE_REAL_ENVIRONMENT_H_
#define MUSTER_TESTS_CONFORMANCE_STORE_REAL_ENVIRONMENT_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"
#include "node/base/thread_scheduler.h"
#include "tests/conformance/store/store_conformance.h"

namespace muster {

// Waits by blocking; half a minute is where a test fails.
class RealEnvironment : public StoreEnvironment {
 public:
  RealEnvironment() : scheduler_(&clock_) {}

  std::string KeyPrefix() override {
    static int environments = 0;
    return absl::StrCat("/conformance/", ++environments, "/");
  }

  void Update(absl::FunctionRef<void()> change) override {
    MutexLock lock(&mu_);
    change();
    changed_.SignalAll();
  }

  bool WaitUntil(absl::FunctionRef<bool()> condition) override {
    MutexLock lock(&mu_);
    const BootTime deadline = clock_.Boot() + absl::Seconds(30);
    while (!condition()) {
      if (!changed_.WaitUntil(&mu_, clock_, deadline)) return condition();
    }
    return true;
  }

 protected:
  Scheduler& scheduler() { return scheduler_; }

 private:
  Mutex mu_;
  CondVar changed_;
  SystemClock clock_;
  ThreadScheduler scheduler_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_STORE_REAL_ENVIRONMENT_H_
