// Gate: lets callbacks out until it is closed, then waits for those outside.
//
// For implementations of Store, whose destruction drops the callbacks of
// operations under way (store.h, LIFETIME).
#ifndef MUSTER_CLUSTER_STORE_GATE_H_
#define MUSTER_CLUSTER_STORE_GATE_H_

#include <utility>

#include "absl/base/thread_annotations.h"
#include "node/base/check.h"
#include "node/base/mutex.h"

namespace muster {

// LIFETIME: shared by an owner, who closes it, and by what was handed out.
// THREADS: any thread may call any method.
class Gate {
 public:
  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // Calls `work` and returns true, or does neither once Close() has begun.
  template <typename Work>
  bool Call(Work&& work) ABSL_LOCKS_EXCLUDED(mu_) {
    if (!Enter()) return false;
    const Gate* const outer = std::exchange(inside_, this);
    std::forward<Work>(work)();
    inside_ = outer;
    Leave();
    return true;
  }

  // Waits for the calls under way; none begins from now on. Not from inside
  // one of them. May be called twice.
  void Close() ABSL_LOCKS_EXCLUDED(mu_) {
    MUSTER_CHECK(inside_ != this, "closed from inside one of its own calls");
    MutexLock lock(&mu_);
    closed_ = true;
    while (calls_ > 0) idle_.Wait(&mu_);
  }

 private:
  bool Enter() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (!closed_) ++calls_;
    return !closed_;
  }
  void Leave() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (--calls_ == 0) idle_.SignalAll();
  }

  // The gate whose call this thread is in, the innermost.
  static inline thread_local const Gate* inside_ = nullptr;

  Mutex mu_;
  CondVar idle_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  int calls_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_STORE_GATE_H_
