#include "node/base/thread_scheduler.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "node/base/check.h"

namespace muster {

namespace {

// parking_: how many are parked, how many search, and the timekeeper's bit.
constexpr uint64_t kParked = 1;
constexpr uint64_t kSearching = uint64_t{1} << 20;
constexpr uint64_t kTimekeeper = uint64_t{1} << 40;
uint64_t Parked(uint64_t parking) { return parking & (kSearching - 1); }
uint64_t Searching(uint64_t parking) {
  return (parking / kSearching) & (kSearching - 1);
}

// Worker::run: a number that grows, and these.
constexpr uint64_t kRunning = 1;
constexpr uint64_t kStalled = 2;
constexpr uint64_t kNextRun = 4;

// A worker looks at the common queue after this many words of its own.
constexpr int kInjectEvery = 16;
// The common queue is long: workers add to it rather than overtake it.
constexpr size_t kInjectLong = RunQueue::kCapacity;
constexpr size_t kInjectBatchMax = 64;
// Timers that are fired before a task has its turn.
constexpr int kTimersATurn = 16;
constexpr int kSurplusMax = 64;
// When the blocking pool, without a thread, asks for one again.
constexpr absl::Duration kBlockingRetry = absl::Milliseconds(100);

// A word in a queue: a Task*, or a Closure* with this bit.
constexpr uintptr_t kIsClosure = 1;

int WorkerCount(int wanted) {
  if (wanted > 0) return wanted;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

size_t SlotCount(const ThreadSchedulerOptions& options) {
  const int wanted = WorkerCount(options.workers);
  const int most =
      options.workers_max > 0 ? options.workers_max : wanted + kSurplusMax;
  return static_cast<size_t>(std::max(wanted, most));
}

void JoinAll(std::list<std::thread> threads) {
  for (std::thread& thread : threads) thread.join();
}

// The worker that this thread is, of whichever scheduler.
thread_local const void* current_owner = nullptr;
thread_local void* current_worker = nullptr;

}  // namespace

struct ThreadScheduler::Closure {
  absl::AnyInvocable<void()> work;
};

struct ThreadScheduler::Worker {
  explicit Worker(Clock* clock) : parker(clock) {}

  CondVarParker parker;
  RunQueue queue;
  Showcase showcase;
  // kRunning while it is in a task; kStalled is set by the watch thread and
  // taken off by the worker.
  std::atomic<uint64_t> run{0};

  // Owned by whoever starts and joins threads: the constructor, then the watch
  // thread, then Stop().
  std::thread thread;

  // Owned by the worker itself.
  bool searching = false;
  int since_inject = 0;
  size_t victim = 0;

  // Guarded by park_mu_, which a nested struct cannot name.
  bool surplus = false;
  bool ended = false;
  // Taken off idle_ by somebody else; its parking_ count is "searching".
  bool woken = false;
};

ThreadScheduler::ThreadScheduler(Clock* clock, ThreadSchedulerOptions options)
    : clock_(clock),
      options_(std::move(options)),
      workers_wanted_(WorkerCount(options_.workers)),
      workers_(SlotCount(options_)),
      watch_parker_(clock) {
  for (int i = 0; i < workers_wanted_; ++i) AddWorker();
  // Only now: workers look at each other.
  for (int i = 0; i < workers_wanted_; ++i) {
    MUSTER_CHECK(StartThread(workers_[i].load(std::memory_order_relaxed)),
                 "the system has no thread for a worker");
  }
  if (options_.stall_after != absl::InfiniteDuration()) {
    watch_ = std::thread([this] { WatchLoop(); });
  }
}

ThreadScheduler::~ThreadScheduler() {
  Stop();
  for (std::atomic<Worker*>& worker : workers_) {
    delete worker.load(std::memory_order_relaxed);
  }
}

ThreadScheduler::Worker* ThreadScheduler::AddWorker() {
  const size_t size = workers_size_.load(std::memory_order_relaxed);
  if (size == workers_.size()) return nullptr;
  auto* const worker = new Worker(clock_);
  workers_[size].store(worker, std::memory_order_relaxed);
  // Sequentially consistent: publishes the worker, and whoever looks at all
  // queues after parking sees it.
  workers_size_.store(size + 1, std::memory_order_seq_cst);
  return worker;
}

bool ThreadScheduler::StartThread(Worker* worker) {
  try {
    worker->thread = std::thread([this, worker] { WorkerLoop(worker); });
  } catch (const std::system_error&) {  // A limit of the system.
    return false;
  }
  return true;
}

void ThreadScheduler::Stop() {
  MUSTER_CHECK(!OnWorker(), "a worker cannot join itself");
  {
    MutexLock lock(&stop_mu_);
    if (stopping_) {
      while (!joined_) joined_changed_.Wait(&stop_mu_);
      return;
    }
    stopping_ = true;
  }
  stopped_.store(true, std::memory_order_seq_cst);
  {
    MutexLock lock(&inject_mu_);
    inject_stopped_ = true;
  }
  {
    MutexLock lock(&timer_mu_);
    timers_stopped_ = true;
  }
  // First the watch thread, which starts workers.
  watch_parker_.Unpark();
  if (watch_.joinable()) watch_.join();
  const size_t workers = workers_size_.load(std::memory_order_acquire);
  for (size_t i = 0; i < workers; ++i) {
    workers_[i].load(std::memory_order_relaxed)->parker.Unpark();
  }
  for (size_t i = 0; i < workers; ++i) {
    std::thread& thread = workers_[i].load(std::memory_order_relaxed)->thread;
    if (thread.joinable()) thread.join();
  }

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
  std::deque<uintptr_t> dropped;
  {
    MutexLock lock(&inject_mu_);
    dropped.swap(inject_);
  }
  for (size_t i = 0; i < workers; ++i) {
    Worker* const worker = workers_[i].load(std::memory_order_relaxed);
    while (const uintptr_t word = worker->queue.Pop()) dropped.push_back(word);
  }
  std::vector<absl::AnyInvocable<void()>> dropped_timers;
  {
    MutexLock lock(&timer_mu_);
    dropped_timers = timers_.TakeAll();
  }
  dropped_blocking.clear();
  // Tasks are forgotten.
  for (const uintptr_t word : dropped) {
    if ((word & kIsClosure) != 0) {
      delete reinterpret_cast<Closure*>(word - kIsClosure);
    }
  }
  dropped_timers.clear();
  {
    MutexLock lock(&stop_mu_);
    joined_ = true;
  }
  joined_changed_.SignalAll();
}

int ThreadScheduler::workers() const {
  MutexLock lock(&park_mu_);
  return workers_wanted_ + surplus_;
}

size_t ThreadScheduler::timers() const {
  MutexLock lock(&timer_mu_);
  return timers_.size();
}

// -- Queues ------------------------------------------------------------------

void ThreadScheduler::Submit(Task* task) {
  Push(reinterpret_cast<uintptr_t>(task));
}

void ThreadScheduler::Post(absl::AnyInvocable<void()> work) {
  auto closure = std::make_unique<Closure>(Closure{std::move(work)});
  if (Push(reinterpret_cast<uintptr_t>(closure.get()) + kIsClosure)) {
    closure.release();  // NOLINT(bugprone-unused-return-value): it is queued.
  }
}

bool ThreadScheduler::Push(uintptr_t word) {
  // Relaxed: the size is a hint here, whichever queue it is.
  if (current_owner == this &&
      inject_size_.load(std::memory_order_relaxed) < kInjectLong &&
      static_cast<Worker*>(current_worker)->queue.Push(word)) {
    WakeForWork();
    return true;
  }
  {
    MutexLock lock(&inject_mu_);
    if (inject_stopped_) return false;
    inject_.push_back(word);
    // Sequentially consistent: before the look at who is parked.
    inject_size_.store(inject_.size(), std::memory_order_seq_cst);
  }
  WakeForWork();
  return true;
}

uintptr_t ThreadScheduler::TakeWord(Worker* self) {
  if (++self->since_inject >= kInjectEvery) {
    if (const uintptr_t word = TakeInjected(self, kInjectEvery)) return word;
  }
  if (const uintptr_t word = self->queue.Pop()) return word;
  if (const uintptr_t word = TakeInjected(self, kInjectBatchMax)) return word;
  StartSearching(self);
  const size_t size = workers_size_.load(std::memory_order_acquire);
  for (size_t i = 0; i < size; ++i) {
    // Another one first each time, so that no queue is always the last.
    Worker* const victim =
        workers_[(self->victim + i) % size].load(std::memory_order_relaxed);
    if (victim == self) continue;
    if (const uintptr_t word = victim->queue.StealInto(&self->queue)) {
      self->victim += i;
      return word;
    }
  }
  ++self->victim;
  return 0;
}

uintptr_t ThreadScheduler::TakeInjected(Worker* self, size_t batch) {
  self->since_inject = 0;
  // Relaxed: a word that is missed here is seen by Rest().
  if (inject_size_.load(std::memory_order_relaxed) == 0) return 0;
  uintptr_t word = 0;
  size_t moved = 0;
  {
    MutexLock lock(&inject_mu_);
    if (inject_.empty()) return 0;
    // The others want their share.
    const size_t share = inject_.size() / static_cast<size_t>(workers_wanted_);
    word = inject_.front();
    inject_.pop_front();
    while (!inject_.empty() && moved + 1 < std::min(batch, share) &&
           self->queue.Push(inject_.front())) {
      inject_.pop_front();
      ++moved;
    }
    inject_size_.store(inject_.size(), std::memory_order_seq_cst);
  }
  // For a moment the moved ones were in neither queue.
  if (moved > 0) WakeForWork();
  return word;
}

bool ThreadScheduler::AnyQueued() const {
  if (inject_size_.load(std::memory_order_seq_cst) > 0) return true;
  const size_t size = workers_size_.load(std::memory_order_seq_cst);
  for (size_t i = 0; i < size; ++i) {
    if (!workers_[i].load(std::memory_order_relaxed)->queue.empty()) {
      return true;
    }
  }
  return false;
}

// -- Workers -----------------------------------------------------------------

void ThreadScheduler::WorkerLoop(Worker* self) {
  SetOnWorker(true);
  SetShowcase(&self->showcase);
  current_owner = this;
  current_worker = self;
  // Relaxed: Stop() unparks everybody after setting it.
  while (!stopped_.load(std::memory_order_relaxed)) {
    if (TimersDue()) FireTimers(self);
    const uintptr_t word = TakeWord(self);
    if (word == 0) {
      if (!Rest(self)) break;
      continue;
    }
    StopSearching(self);
    // Relaxed: who takes itself off later looks here later.
    const uint64_t parking = parking_.load(std::memory_order_relaxed);
    if ((parking & kTimekeeper) == 0 && Parked(parking) > 0) {
      PokeTimekeeper(/*promote=*/true);
    }
    Run(self, word);
  }
}

void ThreadScheduler::Run(Worker* self, uintptr_t word) {
  BeginRun(self);
  if ((word & kIsClosure) == 0) {
    reinterpret_cast<Task*>(word)->Run();
  } else {
    const std::unique_ptr<Closure> closure(
        reinterpret_cast<Closure*>(word - kIsClosure));
    closure->work();
  }
  EndRun(self);
}

void ThreadScheduler::BeginRun(Worker* self) {
  const uint64_t run = self->run.load(std::memory_order_relaxed);
  // Sequentially consistent, as is the watch thread's look after it has said
  // that it sleeps: one of the two sees the other.
  self->run.store(run + kRunning, std::memory_order_seq_cst);
  if (watch_sleeps_.load(std::memory_order_seq_cst)) WakeWatch();
}

void ThreadScheduler::EndRun(Worker* self) {
  // Relaxed: only this thread changes the number.
  const uint64_t run = self->run.load(std::memory_order_relaxed);
  const uint64_t next = run - run % kNextRun + kNextRun;
  // An exchange, since the watch thread may just be adding its bit.
  const uint64_t ended = self->run.exchange(next, std::memory_order_acq_rel);
  if ((ended & kStalled) == 0) return;
  Worker* wake = nullptr;
  {
    MutexLock lock(&park_mu_);
    --stalled_;
    if (surplus_ > stalled_) {
      // One of the added workers may go; it sees it when it next rests.
      const auto parked =
          std::find_if(idle_.begin(), idle_.end(),
                       [](const Worker* worker) { return worker->surplus; });
      if (parked != idle_.end()) {
        wake = *parked;
        UnparkLocked(wake);
        wake->woken = true;
      }
    }
  }
  if (wake != nullptr) wake->parker.Unpark();
}

bool ThreadScheduler::Rest(Worker* self) {
  bool ends = false;
  {
    MutexLock lock(&park_mu_);
    if (self->surplus && surplus_ > std::max(stalled_, 0)) {
      --surplus_;
      self->ended = true;
      ends = true;
    } else {
      ParkLocked(self);
    }
  }
  if (ends) {
    // Somebody may have relied on its search, and on its keeping the time.
    StopSearching(self);
    PokeTimekeeper(/*promote=*/true);
    return false;
  }
  for (;;) {
    if (stopped_.load(std::memory_order_relaxed)) return false;
    // After ParkLocked: see the class comment.
    const bool work = AnyQueued() || TimersDue();
    BootTime until = BootTime::Infinite();
    {
      MutexLock lock(&park_mu_);
      if (self->woken) {
        self->woken = false;
        self->searching = true;
        return true;
      }
      if (work) {
        UnparkLocked(self);
        self->searching = true;
        return true;
      }
      if (timekeeper_ == self) {
        // Who fires timers looks here when it has done so.
        if (!firing_.load(std::memory_order_seq_cst)) {
          until = BootTime::FromNanoseconds(
              next_due_ns_.load(std::memory_order_seq_cst));
        }
        timekeeper_until_ = until;
      }
    }
    self->parker.Park(until);
  }
}

void ThreadScheduler::ParkLocked(Worker* self) {
  uint64_t change = kParked;
  if (self->searching) change -= kSearching;
  self->searching = false;
  if (timekeeper_ == nullptr) {
    timekeeper_ = self;
    timekeeper_until_ = BootTime::Infinite();
    change += kTimekeeper;
    idle_.insert(idle_.begin(), self);
  } else {
    idle_.push_back(self);
  }
  // Sequentially consistent: before the look at the queues.
  parking_.fetch_add(change, std::memory_order_seq_cst);
}

void ThreadScheduler::UnparkLocked(Worker* worker) {
  std::erase(idle_, worker);
  uint64_t change = kSearching - kParked;
  if (timekeeper_ == worker) {
    timekeeper_ = nullptr;
    change -= kTimekeeper;
  }
  parking_.fetch_add(change, std::memory_order_seq_cst);
}

void ThreadScheduler::StartSearching(Worker* self) {
  if (self->searching) return;
  self->searching = true;
  parking_.fetch_add(kSearching, std::memory_order_seq_cst);
}

void ThreadScheduler::StopSearching(Worker* self) {
  if (!self->searching) return;
  self->searching = false;
  const uint64_t before =
      parking_.fetch_sub(kSearching, std::memory_order_seq_cst);
  // Who submitted while this one searched has woken nobody.
  if (Searching(before) == 1 && AnyQueued()) WakeForWork();
}

void ThreadScheduler::WakeForWork() {
  const uint64_t parking = parking_.load(std::memory_order_seq_cst);
  if (Parked(parking) == 0 || Searching(parking) > 0) return;
  Worker* worker = nullptr;
  {
    MutexLock lock(&park_mu_);
    if (idle_.empty()) return;
    if (Searching(parking_.load(std::memory_order_seq_cst)) > 0) return;
    worker = idle_.back();
    UnparkLocked(worker);
    worker->woken = true;
  }
  worker->parker.Unpark();
}

// -- Timers ------------------------------------------------------------------

TimerId ThreadScheduler::At(BootTime due, absl::AnyInvocable<void()> work) {
  TimerId id = 0;
  bool earlier = false;
  {
    MutexLock lock(&timer_mu_);
    if (timers_stopped_) return 0;  // The parameter dies after the lock.
    id = timers_.Add(due, std::move(work));
    earlier = timers_.NextDue().nanoseconds() <
              next_due_ns_.load(std::memory_order_relaxed);
    PublishDueLocked();
  }
  // The timekeeper parks for too long now.
  if (earlier) PokeTimekeeper(/*promote=*/true);
  return id;
}

bool ThreadScheduler::Cancel(TimerId id) {
  absl::AnyInvocable<void()> work;
  {
    MutexLock lock(&timer_mu_);
    work = timers_.Take(id);
    // A timekeeper that parks for a cancelled timer wakes in vain, once.
    PublishDueLocked();
  }
  return work != nullptr;
}

void ThreadScheduler::PublishDueLocked() {
  const int64_t due = timers_.NextDue().nanoseconds();
  // Relaxed: written under this lock only.
  if (next_due_ns_.load(std::memory_order_relaxed) == due) return;
  next_due_ns_.store(due, std::memory_order_seq_cst);
}

bool ThreadScheduler::TimersDue() const {
  const int64_t due = next_due_ns_.load(std::memory_order_seq_cst);
  if (due == INT64_MAX || firing_.load(std::memory_order_seq_cst)) return false;
  return due <= clock_->Boot().nanoseconds();
}

void ThreadScheduler::FireTimers(Worker* self) {
  StopSearching(self);
  uint64_t turn = 0;
  {
    MutexLock lock(&timer_mu_);
    if (firing_worker_ != nullptr) return;
    firing_worker_ = self;
    turn = ++firing_turn_;
    firing_.store(true, std::memory_order_seq_cst);
  }
  for (int i = 0; i < kTimersATurn; ++i) {
    absl::AnyInvocable<void()> work;
    {
      MutexLock lock(&timer_mu_);
      if (firing_turn_ != turn) return;  // It has stalled meanwhile.
      if (!timers_stopped_) work = timers_.PopExpired(clock_->Boot());
      PublishDueLocked();
    }
    if (work == nullptr) break;
    BeginRun(self);
    work();
    work = nullptr;
    EndRun(self);
  }
  {
    MutexLock lock(&timer_mu_);
    if (firing_turn_ != turn) return;
    firing_worker_ = nullptr;
    firing_.store(false, std::memory_order_seq_cst);
  }
  // It parked without end if it looked meanwhile.
  PokeTimekeeper(/*promote=*/false);
}

void ThreadScheduler::PokeTimekeeper(bool promote) {
  const BootTime due =
      BootTime::FromNanoseconds(next_due_ns_.load(std::memory_order_seq_cst));
  if (due.is_infinite()) return;
  Worker* wake = nullptr;
  {
    MutexLock lock(&park_mu_);
    if (timekeeper_ != nullptr) {
      if (timekeeper_until_ > due) wake = timekeeper_;
    } else if (promote && !idle_.empty()) {
      wake = timekeeper_ = idle_.front();
      timekeeper_until_ = BootTime::Infinite();
      parking_.fetch_add(kTimekeeper, std::memory_order_seq_cst);
    }
  }
  if (wake != nullptr) wake->parker.Unpark();
}

// -- Stalls ------------------------------------------------------------------

void ThreadScheduler::WatchLoop() {
  struct Seen {
    uint64_t run = 0;
    BootTime since;
  };
  std::vector<Seen> seen(workers_.size());
  const absl::Duration period = options_.stall_after / 2;
  while (!stopped_.load(std::memory_order_relaxed)) {
    const BootTime now = clock_->Boot();
    bool quiet = true;
    const size_t size = workers_size_.load(std::memory_order_relaxed);
    for (size_t i = 0; i < size; ++i) {
      Worker* const worker = workers_[i].load(std::memory_order_relaxed);
      // Sequentially consistent: see BeginRun.
      uint64_t run = worker->run.load(std::memory_order_seq_cst);
      if (run != seen[i].run) {
        seen[i] = {run, now};
        quiet = false;
      }
      if ((run & kRunning) == 0) continue;
      quiet = false;
      const absl::Duration running = now - seen[i].since;
      if ((run & kStalled) != 0 || running < options_.stall_after) continue;
      // Fails if it has ended just now.
      if (worker->run.compare_exchange_strong(run, run | kStalled,
                                              std::memory_order_acq_rel)) {
        seen[i].run = run | kStalled;
        OnStall(worker, running);
      }
    }
    if (!quiet) {
      watch_sleeps_.store(false, std::memory_order_relaxed);
      watch_parker_.Park(clock_->Boot() + period);
    } else if (!watch_sleeps_.load(std::memory_order_relaxed)) {
      // Says so, and looks once more.
      watch_sleeps_.store(true, std::memory_order_seq_cst);
    } else {
      watch_parker_.Park(BootTime::Infinite());
    }
  }
}

void ThreadScheduler::WakeWatch() {
  // The exchange lets one of several wake it.
  if (watch_sleeps_.exchange(false, std::memory_order_seq_cst)) {
    watch_parker_.Unpark();
  }
}

void ThreadScheduler::OnStall(Worker* worker, absl::Duration running) {
  stalls_.fetch_add(1, std::memory_order_relaxed);
  Worker* added = nullptr;
  bool wanted = false;
  const size_t size = workers_size_.load(std::memory_order_relaxed);
  {
    MutexLock lock(&park_mu_);
    ++stalled_;
    wanted = surplus_ < stalled_;
    for (size_t i = 0; wanted && added == nullptr && i < size; ++i) {
      Worker* const known = workers_[i].load(std::memory_order_relaxed);
      if (known->ended) added = known;
    }
    if (added != nullptr) {
      added->ended = false;
      ++surplus_;
    }
  }
  if (added != nullptr) {
    // It has nothing left to do but to return, or never began.
    if (added->thread.joinable()) added->thread.join();
    added->searching = false;
  } else if (wanted) {
    added = AddWorker();
    if (added != nullptr) {
      {
        MutexLock lock(&park_mu_);
        added->surplus = true;
        ++surplus_;
      }
    }
  }
  if (added != nullptr && !StartThread(added)) {
    // The next stall tries again.
    MutexLock lock(&park_mu_);
    added->ended = true;
    --surplus_;
    added = nullptr;
  }
  bool fired = false;
  {
    MutexLock lock(&timer_mu_);
    if (firing_worker_ == worker) {
      firing_worker_ = nullptr;
      ++firing_turn_;
      firing_.store(false, std::memory_order_seq_cst);
      fired = true;
    }
  }
  if (fired) PokeTimekeeper(/*promote=*/true);
  if (!options_.on_stall) return;
  Stall stall;
  stall.activity = worker->showcase.Activity();
  stall.running = running;
  stall.worker_added = added != nullptr;
  options_.on_stall(stall);
}

// -- The blocking pool -------------------------------------------------------

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
      StartBlockingLocked();
    }
  }
  block_wake_.Signal();
  // These have nothing left to do but to return.
  JoinAll(std::move(ended));
}

void ThreadScheduler::StartBlockingLocked() {
  const auto self = block_threads_.emplace(block_threads_.end());
  try {
    *self = std::thread([this, self] { BlockingLoop(self); });
    return;
  } catch (const std::system_error&) {  // A limit of the system.
    block_threads_.erase(self);
  }
  // Those that run take it from the queue; without any, somebody must look
  // again.
  if (!block_threads_.empty()) return;
  At(clock_->Boot() + kBlockingRetry, [this] {
    MutexLock lock(&block_mu_);
    if (block_stopped_ || block_queue_.empty()) return;
    if (block_threads_.empty()) StartBlockingLocked();
  });
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
