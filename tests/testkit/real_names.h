// RealNames: a node's part in cluster-wide names on real threads.
#ifndef MUSTER_TESTS_TESTKIT_REAL_NAMES_H_
#define MUSTER_TESTS_TESTKIT_REAL_NAMES_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "cluster/membership/membership.h"
#include "cluster/registry/global_registry.h"
#include "cluster/store/store.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/base/random.h"
#include "node/base/scheduler.h"
#include "node/base/strand.h"
#include "node/process/runtime.h"
#include "tests/testkit/capture_logger.h"

namespace muster {

// A member of the cluster "names" that hosts nothing and has no peers: what it
// claims is for processes that need not exist.
//
// LIFETIME: `scheduler` outlives it. THREADS: one that is no worker of the
// scheduler; registry() from any.
class RealNames {
 public:
  // `store` is its client, kept until the end.
  RealNames(Scheduler* scheduler, std::string node,
            std::shared_ptr<Store> store);
  ~RealNames();
  RealNames(const RealNames&) = delete;
  RealNames& operator=(const RealNames&) = delete;

  // Joins and waits; the test dies if it cannot.
  void Join();
  // Follows the names, and waits until all that are there are known. Returns
  // how long that took.
  absl::Duration Follow();

  GlobalRegistry& registry() { return *registry_; }
  Membership& membership() { return *membership_; }

  // Claims `count` names, `<prefix>0` and so on, with at most `window` under
  // way at once, and waits. All must succeed.
  void TakeMany(const std::string& prefix, size_t count, size_t window);
  // Waits until `condition` holds; false after half a minute. Asked again and
  // again by the scheduler's timers.
  bool WaitUntil(absl::FunctionRef<bool()> condition);

 private:
  Scheduler* const scheduler_;
  const std::string node_;
  CaptureLogger log_;
  SystemRandom random_;
  std::shared_ptr<Store> store_;
  Strand strand_;
  std::unique_ptr<Membership> membership_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<GlobalRegistry> registry_;
  Mutex mu_;
  CondVar changed_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_TESTKIT_REAL_NAMES_H_
