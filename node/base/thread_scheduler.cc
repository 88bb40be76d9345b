#include "node/base/thread_scheduler.h"

#include <algorithm>
#include <utility>

#include "node/base/check.h"

namespace muster {

namespace {

int WorkerCount(int wanted) {
  if (wanted > 0) return wanted;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void JoinAll(std::list<std::thread> threads) {
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

ThreadScheduler::ThreadScheduler(Clock* clock, ThreadSchedulerOptions options)
    : clock_(clock), options_(options) {
  const int count = WorkerCount(options_.workers);
  for (int i = 0; i < count; ++i) {
    workers_.push_back(std::make_unique<Worker>());
    workers_.back()->parker = std::make_unique<CondVarParker>(clock_);
  }
  // Only now: workers unpark each other.
  for (const auto& worker : workers_) {
    worker->thread =
        std::thread([this, self = worker.get()] { WorkerLoop(self); });
  }
}

ThreadScheduler::~ThreadScheduler() { Stop(); }

void ThreadScheduler::Stop() {
  MUSTER_CHECK(!OnWorker(), "a worker cannot join itself");
  {
    MutexLock lock(&mu_);
    if (stopped_) {
      while (!joined_) joined_changed_.Wait(&mu_);
      return;
    }
    stopped_ = true;
  }
  for (const auto& worker : workers_) worker->parker->Unpark();
  for (const auto& worker : workers_) worker->thread.join();

  // Blocking threads move their handles from one list to the other until the
  // last one has ended.
  std::deque<absl::AnyInvocable<void()>> dropped_blocking;
  {
    MutexLock lock(&block_mu_);
    block_stopped_ = true;
    dropped_blocking.swap(block_queue_);
  }
  block_wake_.SignalAll();
  for (;;) {
    std::list<std::thread> ended;
    {
      MutexLock lock(&block_mu_);
      while (block_ended_.empty() && !block_threads_.empty()) {
        block_wake_.Wait(&block_mu_);
      }
      ended.swap(block_ended_);
    }
    if (ended.empty()) break;
    JoinAll(std::move(ended));
  }

  // Destroyed without the locks: a closure's destructor may come back here.
  std::deque<absl::AnyInvocable<void()>> dropped;
  std::vector<absl::AnyInvocable<void()>> dropped_timers;
  {
    MutexLock lock(&mu_);
    tasks_ = TaskQueue();
    tasks_size_ = 0;
    dropped.swap(closures_);
    dropped_timers = timers_.TakeAll();
  }
  dropped_blocking.clear();
  dropped.clear();
  dropped_timers.clear();
  {
    MutexLock lock(&mu_);
    joined_ = true;
  }
  joined_changed_.SignalAll();
}

void ThreadScheduler::Submit(Task* task) {
  Worker* wake;
  {
    MutexLock lock(&mu_);
    if (stopped_) return;
    tasks_.Push(task);
    ++tasks_size_;
    wake = WakeLocked();
  }
  Unpark(wake);
}

void ThreadScheduler::Post(absl::AnyInvocable<void()> work) {
  Worker* wake;
  {
    MutexLock lock(&mu_);
    if (stopped_) return;  // The parameter dies after the lock.
    closures_.push_back(std::move(work));
    wake = WakeLocked();
  }
  Unpark(wake);
}

TimerId ThreadScheduler::At(BootTime due, absl::AnyInvocable<void()> work) {
  TimerId id;
  Worker* wake;
  {
    MutexLock lock(&mu_);
    if (stopped_) return 0;
    const bool earliest = due < timers_.NextDue();
    id = timers_.Add(due, std::move(work));
    wake = WakeLocked();
    // The timekeeper parks for too long now.
    if (wake == nullptr && earliest) wake = timekeeper_;
  }
  Unpark(wake);
  return id;
}

bool ThreadScheduler::Cancel(TimerId id) {
  absl::AnyInvocable<void()> work;
  {
    MutexLock lock(&mu_);
    work = timers_.Take(id);
  }
  return work != nullptr;
}

void ThreadScheduler::Block(absl::AnyInvocable<void()> work) {
  std::list<std::thread> ended;
  {
    MutexLock lock(&block_mu_);
    if (block_stopped_) return;
    block_queue_.push_back(std::move(work));
    ended.swap(block_ended_);
    if (block_queue_.size() > block_idle_ &&
        block_threads_.size() <
            static_cast<size_t>(options_.blocking_threads_max)) {
      const auto self = block_threads_.emplace(block_threads_.end());
      *self = std::thread([this, self] { BlockingLoop(self); });
    }
  }
  block_wake_.Signal();
  // These have nothing left to do but to return.
  JoinAll(std::move(ended));
}

void ThreadScheduler::WorkerLoop(Worker* self) {
  SetOnWorker(true);
  for (;;) {
    Work work;
    BootTime until;
    switch (TakeWork(self, &work, &until)) {
      case Next::kRun:
        if (work.task != nullptr) {
          work.task->Run();
        } else {
          work.closure();
        }
        break;
      case Next::kPark:
        self->parker->Park(until);
        break;
      case Next::kEnd:
        return;
    }
  }
}

ThreadScheduler::Next ThreadScheduler::TakeWork(Worker* self, Work* work,
                                                BootTime* until) {
  Worker* wake;
  {
    MutexLock lock(&mu_);
    if (self->woken) {
      self->woken = false;
      --waking_;
    } else {
      std::erase(idle_, self);
      if (timekeeper_ == self) timekeeper_ = nullptr;
    }
    if (stopped_) return Next::kEnd;
    MoveExpiredLocked();
    if (QueuedLocked() == 0) {
      if (timekeeper_ == nullptr) {
        timekeeper_ = self;
        idle_.insert(idle_.begin(), self);
        *until = timers_.NextDue();
      } else {
        idle_.push_back(self);
        *until = BootTime::Infinite();
      }
      return Next::kPark;
    }
    closure_first_ = !closure_first_;
    if (tasks_.empty() || (closure_first_ && !closures_.empty())) {
      work->closure = std::move(closures_.front());
      closures_.pop_front();
    } else {
      work->task = tasks_.Pop();
      --tasks_size_;
    }
    wake = WakeLocked();
  }
  Unpark(wake);
  return Next::kRun;
}

void ThreadScheduler::MoveExpiredLocked() {
  if (timers_.NextDue().is_infinite()) return;
  const BootTime now = clock_->Boot();
  while (absl::AnyInvocable<void()> work = timers_.PopExpired(now)) {
    closures_.push_back(std::move(work));
  }
}

size_t ThreadScheduler::QueuedLocked() const {
  return tasks_size_ + closures_.size();
}

ThreadScheduler::Worker* ThreadScheduler::WakeLocked() {
  if (idle_.empty()) return nullptr;
  const bool for_work = QueuedLocked() > waking_;
  const bool for_time = timekeeper_ == nullptr && waking_ == 0 &&
                        !timers_.NextDue().is_infinite();
  if (!for_work && !for_time) return nullptr;
  Worker* const worker = idle_.back();
  idle_.pop_back();
  if (timekeeper_ == worker) timekeeper_ = nullptr;
  worker->woken = true;
  ++waking_;
  return worker;
}

void ThreadScheduler::Unpark(Worker* worker) {
  if (worker != nullptr) worker->parker->Unpark();
}

void ThreadScheduler::BlockingLoop(std::list<std::thread>::iterator self) {
  for (;;) {
    absl::AnyInvocable<void()> work;
    {
      MutexLock lock(&block_mu_);
      const BootTime until = clock_->Boot() + options_.blocking_idle;
      ++block_idle_;
      while (block_queue_.empty() && !block_stopped_ &&
             block_wake_.WaitUntil(&block_mu_, *clock_, until)) {
      }
      --block_idle_;
      if (block_queue_.empty()) {
        block_ended_.splice(block_ended_.end(), block_threads_, self);
        break;
      }
      work = std::move(block_queue_.front());
      block_queue_.pop_front();
    }
    work();
  }
  // For Stop(), which waits for this; the lock is not needed to join.
  block_wake_.SignalAll();
}

}  // namespace muster
