// ThreadScheduler: the Scheduler of a real node.
#ifndef MUSTER_NODE_BASE_THREAD_SCHEDULER_H_
#define MUSTER_NODE_BASE_THREAD_SCHEDULER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/base/parker.h"
#include "node/base/run_queue.h"
#include "node/base/scheduler.h"
#include "node/base/timer_queue.h"

namespace muster {

// A task or closure that keeps a worker longer than it should.
struct Stall {
  // Its Task::Activity(); empty for a closure.
  std::string activity;
  // It has run for at least this long.
  absl::Duration running;
  // A worker was added for the time being. False: `workers_max` are there.
  bool worker_added = false;
};

struct ThreadSchedulerOptions {
  // Workers; 0 means one for each core. More than cores only helps if tasks
  // block, which they must not.
  int workers = 0;
  // Workers including those added while others are stalled; 0 means `workers`
  // and 64 more. When all of them are stalled nothing runs.
  int workers_max = 0;
  // What keeps a worker longer than this is stalled; noticed after at most
  // half as long again. Too small reports honest work and starts threads for
  // it; too large lets the others of that worker wait. Infinite: never.
  absl::Duration stall_after = absl::Milliseconds(100);
  // Called once for each stall, on a thread that may block for a moment and
  // holds no lock; must not stop the scheduler. May be null.
  std::function<void(const Stall&)> on_stall;
  // Threads of the blocking pool. When all are busy, further work waits in an
  // unbounded queue: too small delays it, too large costs a stack each.
  int blocking_threads_max = 64;
  // A blocking thread without work ends after this long.
  absl::Duration blocking_idle = absl::Seconds(10);
};

// Owns the worker threads, the timers and the blocking pool of a node.
//
// *Queues.* Each worker has a bounded FIFO of its own for what it submits
// itself; a worker without work steals half of another's. What comes from other
// threads, or finds the own queue full, goes into one FIFO that all serve:
// whoever has none of its own, and everybody after each kInjectEvery others.
// While that one is long, workers submit to it too, so that a flood stays fair.
//
// *Parking.* A worker is running, searching or parked; one word counts the
// last two. Who submits looks at the word after pushing and wakes a parked
// worker if nobody searches; who parks looks at the queues after it has
// changed the word. Both are sequentially consistent, so one of them sees the
// other. The last searcher that finds work looks whether there is more.
//
// *Timers.* The first worker to park is the timekeeper, which parks no longer
// than until the next timer is due. Workers look at the time before each task,
// and a timekeeper that finds work hands its duty to another parked worker.
// One worker at a time fires timers, in order, a few at a time.
//
// *Stalls.* A watch thread looks each half `stall_after` whether a worker is
// still in the same task; it sleeps while nothing runs. For each stalled worker
// another is added, which ends when the stall has and there is nothing to do. A
// stalled timer loses the right to fire the others.
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
  void Stop() ABSL_LOCKS_EXCLUDED(stop_mu_, block_mu_);

  void Submit(Task* task) override;
  void Post(absl::AnyInvocable<void()> work) override;
  TimerId At(BootTime due, absl::AnyInvocable<void()> work) override
      ABSL_LOCKS_EXCLUDED(timer_mu_);
  bool Cancel(TimerId id) override ABSL_LOCKS_EXCLUDED(timer_mu_);
  void Block(absl::AnyInvocable<void()> work) override
      ABSL_LOCKS_EXCLUDED(block_mu_);
  Clock& clock() override { return *clock_; }

  // Stalls noticed so far.
  uint64_t stalls() const { return stalls_.load(std::memory_order_relaxed); }
  // Workers there are now, those added for stalls included.
  int workers() const override ABSL_LOCKS_EXCLUDED(park_mu_);
  // Armed timers.
  size_t timers() const ABSL_LOCKS_EXCLUDED(timer_mu_);

 private:
  struct Worker;
  struct Closure;

  // Puts a word (see Run) into a queue and wakes somebody for it. False: the
  // scheduler has stopped, and the word is still the caller's.
  bool Push(uintptr_t word) ABSL_LOCKS_EXCLUDED(inject_mu_, park_mu_);

  // False: the system gives no thread.
  bool StartThread(Worker* worker);
  void WorkerLoop(Worker* self);
  // The next word for `self` to run; 0: there is none, and it searches.
  uintptr_t TakeWord(Worker* self) ABSL_LOCKS_EXCLUDED(inject_mu_);
  // Takes a word from the common queue and moves up to `batch` - 1 more to
  // `self`'s own. 0: it is empty.
  uintptr_t TakeInjected(Worker* self, size_t batch)
      ABSL_LOCKS_EXCLUDED(inject_mu_, park_mu_);
  void Run(Worker* self, uintptr_t word);
  // Around everything that a worker runs.
  void BeginRun(Worker* self);
  void EndRun(Worker* self) ABSL_LOCKS_EXCLUDED(park_mu_);
  // Parks until there may be something to do. False: the worker ends.
  bool Rest(Worker* self) ABSL_LOCKS_EXCLUDED(park_mu_);

  bool AnyQueued() const;
  void StartSearching(Worker* self);
  void StopSearching(Worker* self) ABSL_LOCKS_EXCLUDED(park_mu_);
  // Something was queued.
  void WakeForWork() ABSL_LOCKS_EXCLUDED(park_mu_);
  void ParkLocked(Worker* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(park_mu_);
  // Parked -> searching.
  void UnparkLocked(Worker* worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(park_mu_);

  // A timer is due and nobody fires it.
  bool TimersDue() const;
  void FireTimers(Worker* self) ABSL_LOCKS_EXCLUDED(timer_mu_, park_mu_);
  void PublishDueLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(timer_mu_);
  // Makes sure that the timekeeper parks no longer than until the next timer
  // is due. With `promote` a parked worker becomes timekeeper if there is none.
  void PokeTimekeeper(bool promote) ABSL_LOCKS_EXCLUDED(park_mu_);

  void WatchLoop();
  void OnStall(Worker* worker, absl::Duration running)
      ABSL_LOCKS_EXCLUDED(timer_mu_, park_mu_);
  // Wakes the watch thread if it sleeps.
  void WakeWatch();
  // Null: `workers_max` are there.
  Worker* AddWorker();

  void StartBlockingLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(block_mu_);
  void BlockingLoop(std::list<std::thread>::iterator self)
      ABSL_LOCKS_EXCLUDED(block_mu_);

  // Constant after construction.
  Clock* const clock_;
  const ThreadSchedulerOptions options_;
  const int workers_wanted_;

  // Own synchronization. Workers are only added, by the constructor and then
  // by the watch thread, and one that has ended is used again.
  std::vector<std::atomic<Worker*>> workers_;
  std::atomic<size_t> workers_size_{0};
  std::atomic<bool> stopped_{false};
  // Counts of parked and of searching workers, and whether one is timekeeper;
  // the constants are in the .cc file.
  std::atomic<uint64_t> parking_{0};
  std::atomic<size_t> inject_size_{0};
  std::atomic<int64_t> next_due_ns_{INT64_MAX};
  std::atomic<bool> firing_{false};
  std::atomic<bool> watch_sleeps_{false};
  std::atomic<uint64_t> stalls_{0};

  // Each lock is a leaf: nobody holds two.
  mutable Mutex inject_mu_;
  bool inject_stopped_ ABSL_GUARDED_BY(inject_mu_) = false;
  std::deque<uintptr_t> inject_ ABSL_GUARDED_BY(inject_mu_);

  mutable Mutex park_mu_;
  // Parked workers; the last one is woken first, the timekeeper is in front.
  std::vector<Worker*> idle_ ABSL_GUARDED_BY(park_mu_);
  Worker* timekeeper_ ABSL_GUARDED_BY(park_mu_) = nullptr;
  // Until when it parks.
  BootTime timekeeper_until_ ABSL_GUARDED_BY(park_mu_);
  // Workers that are stalled; -1 for a moment if a stall ends while it is
  // being noticed.
  int stalled_ ABSL_GUARDED_BY(park_mu_) = 0;
  // Workers that were added.
  int surplus_ ABSL_GUARDED_BY(park_mu_) = 0;

  mutable Mutex timer_mu_;
  bool timers_stopped_ ABSL_GUARDED_BY(timer_mu_) = false;
  TimerQueue timers_ ABSL_GUARDED_BY(timer_mu_);
  // Who fires, and its turn; a turn that is over was taken away.
  Worker* firing_worker_ ABSL_GUARDED_BY(timer_mu_) = nullptr;
  uint64_t firing_turn_ ABSL_GUARDED_BY(timer_mu_) = 0;

  // The watch thread's own.
  CondVarParker watch_parker_;
  std::thread watch_;

  Mutex stop_mu_;
  bool stopping_ ABSL_GUARDED_BY(stop_mu_) = false;
  // All threads have been joined.
  bool joined_ ABSL_GUARDED_BY(stop_mu_) = false;
  CondVar joined_changed_;

  Mutex block_mu_;
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
