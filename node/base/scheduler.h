// Scheduler: the only way to run something later or elsewhere.
//
// Processes, strands and timers run on the workers of a Scheduler. Nothing on
// a worker blocks; what must block goes to the blocking pool.
#ifndef MUSTER_NODE_BASE_SCHEDULER_H_
#define MUSTER_NODE_BASE_SCHEDULER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"

namespace muster {

// Something a worker can run. Its owner keeps it, so that waking a process
// allocates nothing.
class Task {
 public:
  virtual void Run() = 0;
  // What it does now, for people: "counter_a in Increment". Asked by another
  // thread, and only while a Scheduler::Working of this task lives.
  virtual std::string Activity() const { return ""; }

 protected:
  virtual ~Task() = default;
};

// Names one armed timer; 0 names none.
using TimerId = uint64_t;

// LIFETIME: outlives everything that runs on it. After Stop() (real) or the
// death of its simulated node, nothing runs any more and everything handed in
// is dropped: closures are destroyed without running, tasks are forgotten.
// THREADS: any thread may call any method at any time.
// ORDER: none between tasks; timers with different due times begin in time
// order, equal ones in any. Nothing that is ready waits for ever: tasks,
// closures and timers take turns.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  // Runs task->Run() once, soon. The task stays its owner's and must live
  // until Run() has begun; it may be submitted again only from then on.
  virtual void Submit(Task* task) = 0;

  // Runs `work` once, soon, on a worker.
  virtual void Post(absl::AnyInvocable<void()> work) = 0;

  // Runs `work` once on a worker at `due` or soon after, never before. A due
  // time that has passed means soon; BootTime::Infinite() means never. Timers
  // wait for each other: longer work is posted from there.
  virtual TimerId At(BootTime due, absl::AnyInvocable<void()> work) = 0;

  // True: the timer was armed and will not run. False: unknown, cancelled, or
  // it has begun to run or is about to.
  virtual bool Cancel(TimerId id) = 0;

  // Runs `work`, which may block for long, on a thread of the blocking pool.
  virtual void Block(absl::AnyInvocable<void()> work) = 0;

  virtual Clock& clock() = 0;

  // How many tasks can run at one time: what a pool of processes that shall
  // use the whole node is sized by.
  virtual int workers() const { return 1; }

  // True on a thread that must not block: a worker of any scheduler.
  static bool OnWorker();

  // While one lives on a worker's stack, `task` can be asked for its Activity.
  // A task that wants its name in the report of a stall has one in Run().
  class Working {
   public:
    explicit Working(const Task* task);
    ~Working();
    Working(const Working&) = delete;
    Working& operator=(const Working&) = delete;

   private:
    const Task* outer_ = nullptr;
  };

 protected:
  // Where a worker shows what it runs.
  class Showcase {
   public:
    // Empty: nothing that has a name.
    std::string Activity() const ABSL_LOCKS_EXCLUDED(mu_);

   private:
    friend class Working;
    // Returns what was shown before.
    const Task* Show(const Task* task) ABSL_LOCKS_EXCLUDED(mu_);

    mutable Mutex mu_;
    const Task* task_ ABSL_GUARDED_BY(mu_) = nullptr;
  };
  // Of the calling thread; null: nobody looks.
  static void SetShowcase(Showcase* showcase);

  // Marks the calling thread for OnWorker().
  static void SetOnWorker(bool on);
};

}  // namespace muster

#endif  // MUSTER_NODE_BASE_SCHEDULER_H_
