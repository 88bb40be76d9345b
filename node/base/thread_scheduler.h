// ThreadScheduler: the Scheduler of a real node.
#ifndef MUSTER_NODE_BASE_THREAD_SCHEDULER_H_
#define MUSTER_NODE_BASE_THREAD_SCHEDULER_H_

#include <cstddef>
#include <deque>
#include <list>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/base/parker.h"
#include "node/base/scheduler.h"
#include "node/base/timer_queue.h"

namespace muster {

struct ThreadSchedulerOptions {
  // Workers; 0 means one for each core. More than cores only helps if tasks
  // block, which they must not.
  int workers = 0;
  // Threads of the blocking pool. When all are busy, further work waits in an
  // unbounded queue: too small delays it, too large costs a stack each.
  int blocking_threads_max = 64;
  // A blocking thread without work ends after this long.
  absl::Duration blocking_idle = absl::Seconds(10);
};

// Owns the worker threads, the timers and the blocking pool of a node.
//
// One run queue, one lock. An idle worker parks; the first to do so is the
// timekeeper, which parks no longer than until the next timer is due. Wake-ups
// take the timekeeper last, and a timekeeper that finds work hands its duty to
// another idle worker, so that a long task does not delay timers while some
// worker has nothing to do.
//
// LIFETIME: Stop() (or the destructor) is called by no thread of this
// scheduler. THREADS: any thread may call any method at any time.
class ThreadScheduler final : public Scheduler {
 public:
  // `clock` is a real clock of this host and outlives the scheduler.
  explicit ThreadScheduler(Clock* clock, ThreadSchedulerOptions options = {});
  ~ThreadScheduler() override;
  ThreadScheduler(const ThreadScheduler&) = delete;
  ThreadScheduler& operator=(const ThreadScheduler&) = delete;

  // Waits for what is running, on the blocking pool too, and drops the rest.
  // Returns when all threads have ended. Twice does nothing more.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_, block_mu_);

  void Submit(Task* task) override ABSL_LOCKS_EXCLUDED(mu_);
  void Post(absl::AnyInvocable<void()> work) override ABSL_LOCKS_EXCLUDED(mu_);
  TimerId At(BootTime due, absl::AnyInvocable<void()> work) override
      ABSL_LOCKS_EXCLUDED(mu_);
  bool Cancel(TimerId id) override ABSL_LOCKS_EXCLUDED(mu_);
  void Block(absl::AnyInvocable<void()> work) override
      ABSL_LOCKS_EXCLUDED(block_mu_);
  Clock& clock() override { return *clock_; }
  int workers() const override { return static_cast<int>(workers_.size()); }

 private:
  struct Worker {
    std::unique_ptr<Parker> parker;
    std::thread thread;
    // Taken off idle_ by WakeLocked() and not yet back at the queue. Guarded
    // by mu_, which a nested struct cannot name.
    bool woken = false;
  };
  // What a worker runs next; at most one of the two is set.
  struct Work {
    Task* task = nullptr;
    absl::AnyInvocable<void()> closure;
  };
  enum class Next { kRun, kPark, kEnd };

  void WorkerLoop(Worker* self) ABSL_LOCKS_EXCLUDED(mu_);
  // Says what `self` does next: run `work`, park until `until`, or end.
  Next TakeWork(Worker* self, Work* work, BootTime* until)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Moves expired timers to the run queue.
  void MoveExpiredLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  size_t QueuedLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Chooses an idle worker to wake, if one is needed for queued work or as
  // timekeeper. The caller unparks it after unlocking.
  Worker* WakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void Unpark(Worker* worker);

  void BlockingLoop(std::list<std::thread>::iterator self)
      ABSL_LOCKS_EXCLUDED(block_mu_);

  // Constant after construction.
  Clock* const clock_;
  const ThreadSchedulerOptions options_;
  std::vector<std::unique_ptr<Worker>> workers_;

  Mutex mu_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  // All threads have been joined.
  bool joined_ ABSL_GUARDED_BY(mu_) = false;
  CondVar joined_changed_;
  // The run queue: two FIFOs that take turns.
  TaskQueue tasks_ ABSL_GUARDED_BY(mu_);
  size_t tasks_size_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<absl::AnyInvocable<void()>> closures_ ABSL_GUARDED_BY(mu_);
  bool closure_first_ ABSL_GUARDED_BY(mu_) = false;
  TimerQueue timers_ ABSL_GUARDED_BY(mu_);
  // Parked workers; the last one is woken first, the timekeeper is in front.
  std::vector<Worker*> idle_ ABSL_GUARDED_BY(mu_);
  Worker* timekeeper_ ABSL_GUARDED_BY(mu_) = nullptr;
  // Workers with `woken`.
  size_t waking_ ABSL_GUARDED_BY(mu_) = 0;

  Mutex block_mu_ ABSL_ACQUIRED_AFTER(mu_);
  bool block_stopped_ ABSL_GUARDED_BY(block_mu_) = false;
  std::deque<absl::AnyInvocable<void()>> block_queue_
      ABSL_GUARDED_BY(block_mu_);
  CondVar block_wake_;
  size_t block_idle_ ABSL_GUARDED_BY(block_mu_) = 0;
  std::list<std::thread> block_threads_ ABSL_GUARDED_BY(block_mu_);
  // Have ended or are about to; joined by whoever comes next.
  std::list<std::thread> block_ended_ ABSL_GUARDED_BY(block_mu_);
};

}  // namespace muster

#endif  // MUSTER_NODE_BASE_THREAD_SCHEDULER_H_
