// Parker: where an idle worker of a scheduler waits.
#ifndef MUSTER_NODE_BASE_PARKER_H_
#define MUSTER_NODE_BASE_PARKER_H_

#include "absl/base/thread_annotations.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"

namespace muster {

// An interface so that a worker can wait in another place than a condition
// variable, for example in the poll that reads the wire.
// THREADS: one thread, its worker, parks; any thread unparks.
class Parker {
 public:
  virtual ~Parker() = default;
  // Waits for an Unpark() since the last Park() or until `until`. May return
  // early for no reason: the worker looks at its queues again.
  virtual void Park(BootTime until) = 0;
  // Ends the current Park(), or the next one at once. Several count as one.
  virtual void Unpark() = 0;
};

// Parks on a condition variable.
class CondVarParker final : public Parker {
 public:
  explicit CondVarParker(const Clock* clock) : clock_(clock) {}

  void Park(BootTime until) override ABSL_LOCKS_EXCLUDED(mu_);
  void Unpark() override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const Clock* const clock_;

  Mutex mu_;
  bool unparked_ ABSL_GUARDED_BY(mu_) = false;
  CondVar wake_;
};

}  // namespace muster

#endif  // MUSTER_NODE_BASE_PARKER_H_
