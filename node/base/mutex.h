// Mutex, MutexLock and CondVar: std::mutex with thread-safety annotations.
//
// Ours rather than absl::Mutex because ThreadSanitizer does not see into the
// prebuilt Abseil (docs/decisions.md). Locks are held for a few instructions;
// nothing calls out while holding one.
#ifndef MUSTER_NODE_BASE_MUTEX_H_
#define MUSTER_NODE_BASE_MUTEX_H_

#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "node/base/clock.h"

namespace muster {

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mu_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mu_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mu_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mu) ABSL_EXCLUSIVE_LOCK_FUNCTION(mu) : mu_(mu) {
    mu_->Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mu_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mu_;
};

// Only threads of ours that may block wait on one: idle workers, the blocking
// pool, and callers outside the runtime.
class CondVar {
 public:
  // Waits for a signal; may wake without one.
  void Wait(Mutex* mu) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  // Waits for a signal or for `deadline` on `clock`, which must be a clock of
  // this host; may wake without either. False: the clock has reached
  // `deadline`, and never before it has.
  bool WaitUntil(Mutex* mu, const Clock& clock, BootTime deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void Signal() { cv_.notify_one(); }
  void SignalAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace muster

#endif  // MUSTER_NODE_BASE_MUTEX_H_
