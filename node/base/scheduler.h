// Scheduler: the only way to run something later or elsewhere.
//
// Processes, strands and timers run on the workers of a Scheduler. Nothing on
// a worker blocks; what must block goes to the blocking pool.
#ifndef MUSTER_NODE_BASE_SCHEDULER_H_
#define MUSTER_NODE_BASE_SCHEDULER_H_

#include <cstdint>
#include <functional>

#include "absl/functional/any_invocable.h"
#include "node/base/clock.h"

namespace muster {

// Something a worker can run. Intrusive, so that waking a process allocates
// nothing.
class Task {
 public:
  virtual void Run() = 0;

 protected:
  virtual ~Task() = default;

 private:
  friend class TaskQueue;
  Task* next_ = nullptr;
};

// FIFO of tasks. Not thread-safe; its owner holds a lock or is one thread.
class TaskQueue {
 public:
  bool empty() const { return head_ == nullptr; }
  void Push(Task* task) {
    task->next_ = nullptr;
    if (tail_ == nullptr) {
      head_ = task;
    } else {
      tail_->next_ = task;
    }
    tail_ = task;
  }
  // Null if empty.
  Task* Pop() {
    Task* const task = head_;
    if (task == nullptr) return nullptr;
    head_ = task->next_;
    if (head_ == nullptr) tail_ = nullptr;
    task->next_ = nullptr;
    return task;
  }

 private:
  Task* head_ = nullptr;
  Task* tail_ = nullptr;
};

// Names one armed timer; 0 names none.
using TimerId = uint64_t;

// LIFETIME: outlives everything that runs on it. After Stop() (real) or the
// death of its simulated node, nothing runs any more and everything handed in
// is dropped: closures are destroyed without running, tasks are forgotten.
// THREADS: any thread may call any method at any time.
// ORDER: none between tasks; timers with different due times fire in time
// order, equal ones in any.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  // Runs task->Run() once, soon. The task stays its owner's and must live
  // until Run() has begun; it may be submitted again only from then on.
  virtual void Submit(Task* task) = 0;

  // Runs `work` once, soon, on a worker.
  virtual void Post(absl::AnyInvocable<void()> work) = 0;

  // Runs `work` once on a worker at `due` or soon after, never before. A due
  // time that has passed means soon; BootTime::Infinite() means never.
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

 protected:
  // Marks the calling thread for OnWorker().
  static void SetOnWorker(bool on);
};

}  // namespace muster

#endif  // MUSTER_NODE_BASE_SCHEDULER_H_
