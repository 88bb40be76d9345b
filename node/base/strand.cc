#include "node/base/strand.h"

#include <deque>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "node/base/mutex.h"

namespace muster {

namespace {

// Closures that one task runs before it goes to the end of the scheduler's
// queue. Small is fair to other strands, large is fast.
constexpr int kBudget = 16;

}  // namespace

// What the strand and its closures on the scheduler share; these may outlive
// the strand.
//
//           Post / Fire            worker takes the task
//   idle ---------------> queued ------------------------> running
//    ^                      ^        budget used up           |
//    |                      +---------------------------------+
//    +--------------------------------------------------------+
//                           nothing left
class Strand::Core : public std::enable_shared_from_this<Core> {
 public:
  explicit Core(Scheduler* scheduler) : scheduler_(scheduler) {}

  void Post(absl::AnyInvocable<void()> work) ABSL_LOCKS_EXCLUDED(mu_);
  TimerId At(BootTime due, absl::AnyInvocable<void()> work)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool Cancel(TimerId id) ABSL_LOCKS_EXCLUDED(mu_);
  void Close() ABSL_LOCKS_EXCLUDED(mu_);
  bool RunningHere() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Rides on the scheduler for the queued task; tells the core if it is
  // dropped instead of run.
  class Turn {
   public:
    explicit Turn(std::shared_ptr<Core> core) : core_(std::move(core)) {}
    Turn(Turn&&) noexcept = default;
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (core_ != nullptr) core_->Drop(nullptr);
    }
    void operator()() { std::exchange(core_, nullptr)->Run(); }

   private:
    std::shared_ptr<Core> core_;
  };

  // The same for an armed timer.
  class Alarm {
   public:
    Alarm(std::shared_ptr<Core> core, TimerId id)
        : core_(std::move(core)), id_(id) {}
    Alarm(Alarm&&) noexcept = default;
    Alarm& operator=(Alarm&&) = delete;
    ~Alarm() {
      if (core_ != nullptr) core_->TakeTimer(id_);
    }
    void operator()() { std::exchange(core_, nullptr)->Fire(id_); }

   private:
    std::shared_ptr<Core> core_;
    TimerId id_;
  };

  struct Timer {
    // The scheduler's id; 0 until it is known.
    TimerId armed = 0;
    absl::AnyInvocable<void()> work;
  };

  // One place in the FIFO: a closure, or a timer that has fired and can still
  // be cancelled.
  struct Entry {
    absl::AnyInvocable<void()> work;
    TimerId timer = 0;
  };

  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  void Fire(TimerId id) ABSL_LOCKS_EXCLUDED(mu_);
  // Closes without waiting. Appends the timers to cancel to `armed` unless
  // that is null.
  void Drop(std::vector<TimerId>* armed) ABSL_LOCKS_EXCLUDED(mu_);
  // Forgets the timer; hands back what it would have run.
  Timer TakeTimer(TimerId id) ABSL_LOCKS_EXCLUDED(mu_);
  // Next closure to run; null if there is none, and then the core is idle.
  absl::AnyInvocable<void()> NextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // True: the caller must hand a Turn to the scheduler after unlocking.
  bool EnqueueLocked(Entry entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void HandTurn() ABSL_LOCKS_EXCLUDED(mu_) {
    scheduler_->Post(Turn(shared_from_this()));
  }

  Scheduler* const scheduler_;

  mutable Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  // Queued or running.
  bool busy_ ABSL_GUARDED_BY(mu_) = false;
  // The worker inside a closure; none if not running.
  std::thread::id runner_ ABSL_GUARDED_BY(mu_);
  CondVar runner_changed_;
  std::deque<Entry> queue_ ABSL_GUARDED_BY(mu_);
  // Ordered, so that dropping them is the same in every run of a simulation.
  absl::btree_map<TimerId, Timer> timers_ ABSL_GUARDED_BY(mu_);
  TimerId last_timer_ ABSL_GUARDED_BY(mu_) = 0;
};

void Strand::Core::Post(absl::AnyInvocable<void()> work) {
  bool turn;
  {
    MutexLock lock(&mu_);
    if (closed_) return;  // The parameter dies after the lock.
    turn = EnqueueLocked({.work = std::move(work)});
  }
  if (turn) HandTurn();
}

TimerId Strand::Core::At(BootTime due, absl::AnyInvocable<void()> work) {
  TimerId id;
  {
    MutexLock lock(&mu_);
    if (closed_) return 0;
    id = ++last_timer_;
    timers_.emplace(id, Timer{.work = std::move(work)});
  }
  const TimerId armed = scheduler_->At(due, Alarm(shared_from_this(), id));
  {
    MutexLock lock(&mu_);
    const auto timer = timers_.find(id);
    if (timer != timers_.end()) {
      timer->second.armed = armed;
      return id;
    }
  }
  // It has run, or was cancelled or dropped before its id was known.
  scheduler_->Cancel(armed);
  return id;
}

bool Strand::Core::Cancel(TimerId id) {
  const Timer timer = TakeTimer(id);
  if (timer.work == nullptr) return false;
  // Whether it has fired no longer matters: nothing is left to run.
  if (timer.armed != 0) scheduler_->Cancel(timer.armed);
  return true;
}

void Strand::Core::Close() {
  std::vector<TimerId> armed;
  Drop(&armed);
  for (const TimerId id : armed) scheduler_->Cancel(id);
  MutexLock lock(&mu_);
  while (runner_ != std::thread::id() &&
         runner_ != std::this_thread::get_id()) {
    runner_changed_.Wait(&mu_);
  }
}

bool Strand::Core::RunningHere() const {
  MutexLock lock(&mu_);
  return runner_ == std::this_thread::get_id();
}

void Strand::Core::Run() {
  bool turn = false;
  for (int left = kBudget;; --left) {
    absl::AnyInvocable<void()> work;
    {
      MutexLock lock(&mu_);
      turn = left == 0 && !queue_.empty();
      if (!turn) work = NextLocked();
      if (work == nullptr) {
        runner_ = std::thread::id();
        break;
      }
      runner_ = std::this_thread::get_id();
    }
    work();
    // `work` dies here, before runner_ changes: Close() waits for that too.
  }
  runner_changed_.SignalAll();
  if (turn) HandTurn();
}

void Strand::Core::Fire(TimerId id) {
  bool turn;
  {
    MutexLock lock(&mu_);
    if (closed_ || !timers_.contains(id)) return;
    turn = EnqueueLocked({.timer = id});
  }
  if (turn) HandTurn();
}

void Strand::Core::Drop(std::vector<TimerId>* armed) {
  std::deque<Entry> queue;
  absl::btree_map<TimerId, Timer> timers;
  {
    MutexLock lock(&mu_);
    closed_ = true;
    queue.swap(queue_);
    timers.swap(timers_);
  }
  if (armed == nullptr) return;
  for (const auto& [id, timer] : timers) {
    if (timer.armed != 0) armed->push_back(timer.armed);
  }
}

Strand::Core::Timer Strand::Core::TakeTimer(TimerId id) {
  MutexLock lock(&mu_);
  const auto found = timers_.find(id);
  if (found == timers_.end()) return {};
  Timer timer = std::move(found->second);
  timers_.erase(found);
  return timer;
}

absl::AnyInvocable<void()> Strand::Core::NextLocked() {
  while (!queue_.empty()) {
    Entry entry = std::move(queue_.front());
    queue_.pop_front();
    if (entry.timer == 0) return std::move(entry.work);
    const auto timer = timers_.find(entry.timer);
    if (timer == timers_.end()) continue;  // Cancelled.
    absl::AnyInvocable<void()> work = std::move(timer->second.work);
    timers_.erase(timer);
    return work;
  }
  busy_ = false;
  return nullptr;
}

bool Strand::Core::EnqueueLocked(Entry entry) {
  queue_.push_back(std::move(entry));
  if (busy_) return false;
  busy_ = true;
  return true;
}

Strand::Strand(Scheduler* scheduler)
    : core_(std::make_shared<Core>(scheduler)) {}

Strand::~Strand() { core_->Close(); }

void Strand::Post(absl::AnyInvocable<void()> work) {
  core_->Post(std::move(work));
}

TimerId Strand::At(BootTime due, absl::AnyInvocable<void()> work) {
  return core_->At(due, std::move(work));
}

bool Strand::Cancel(TimerId id) { return core_->Cancel(id); }

void Strand::Close() { core_->Close(); }

bool Strand::RunningHere() const { return core_->RunningHere(); }

}  // namespace muster
