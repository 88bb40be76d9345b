#include "node/base/thread_scheduler.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"

namespace muster {
namespace {

// Says when it is destroyed without having run.
class Droppable {
 public:
  Droppable(std::atomic<int>* ran, std::atomic<int>* dropped)
      : ran_(ran), dropped_(dropped) {}
  Droppable(Droppable&& other) noexcept
      : ran_(other.ran_), dropped_(std::exchange(other.dropped_, nullptr)) {}
  Droppable& operator=(Droppable&&) = delete;
  ~Droppable() {
    if (dropped_ != nullptr) ++*dropped_;
  }
  void operator()() {
    ++*ran_;
    dropped_ = nullptr;
  }

 private:
  std::atomic<int>* ran_;
  std::atomic<int>* dropped_;
};

class CountingTask final : public Task {
 public:
  explicit CountingTask(std::latch* done) : done_(done) {}
  void Run() override { done_->count_down(); }

 private:
  std::latch* const done_;
};

// In each test the scheduler is declared last: what its closures use outlives
// it.
class ThreadSchedulerTest : public testing::Test {
 protected:
  SystemClock clock_;
};

TEST_F(ThreadSchedulerTest, RunsSubmittedTasksOnWorkers) {
  std::latch done(100);
  std::vector<CountingTask> tasks(100, CountingTask(&done));
  ThreadScheduler scheduler(&clock_);
  for (CountingTask& task : tasks) scheduler.Submit(&task);
  done.wait();
}

TEST_F(ThreadSchedulerTest, WorkersAreMarkedAndOthersAreNot) {
  std::latch done(2);
  bool on_worker = false;
  bool on_blocking = true;
  ThreadScheduler scheduler(&clock_);
  EXPECT_FALSE(Scheduler::OnWorker());
  scheduler.Post([&] {
    on_worker = Scheduler::OnWorker();
    done.count_down();
  });
  scheduler.Block([&] {
    on_blocking = Scheduler::OnWorker();
    done.count_down();
  });
  done.wait();
  EXPECT_TRUE(on_worker);
  EXPECT_FALSE(on_blocking);
}

TEST_F(ThreadSchedulerTest, WakesASecondWorkerWhileTheFirstIsBusy) {
  std::latch meet(2);
  ThreadScheduler scheduler(&clock_, {.workers = 2});
  // Each waits for the other, so both workers must be running.
  for (int i = 0; i < 2; ++i) {
    scheduler.Post([&] { meet.arrive_and_wait(); });
  }
  meet.wait();
}

TEST_F(ThreadSchedulerTest, WorkPostedByABusyWorkerReachesAnIdleOne) {
  std::latch helped(1);
  std::latch done(1);
  ThreadScheduler scheduler(&clock_, {.workers = 2});
  scheduler.Post([&] {
    scheduler.Post([&] { helped.count_down(); });
    helped.wait();
    done.count_down();
  });
  done.wait();
}

TEST_F(ThreadSchedulerTest, TimersAreNeverEarly) {
  constexpr int kTimers = 200;
  std::latch done(kTimers);
  std::atomic<int> early = 0;
  ThreadScheduler scheduler(&clock_, {.workers = 2});
  for (int i = 0; i < kTimers; ++i) {
    const BootTime due = clock_.Boot() + absl::Microseconds(100 * i);
    scheduler.At(due, [&, due] {
      if (clock_.Boot() < due) ++early;
      done.count_down();
    });
  }
  done.wait();
  EXPECT_EQ(early, 0);
}

TEST_F(ThreadSchedulerTest, AnEarlierTimerShortensTheParkedWait) {
  std::atomic<int> ran = 0;
  std::atomic<int> dropped = 0;
  std::latch done(1);
  ThreadScheduler scheduler(&clock_, {.workers = 1});
  scheduler.At(clock_.Boot() + absl::Hours(1), Droppable(&ran, &dropped));
  scheduler.At(clock_.Boot() + absl::Milliseconds(1),
               [&] { done.count_down(); });
  done.wait();
  EXPECT_EQ(ran, 0);
}

TEST_F(ThreadSchedulerTest, TimerRunsWhileAWorkerIsBusy) {
  std::latch fired(1);
  std::latch done(1);
  ThreadScheduler scheduler(&clock_, {.workers = 2});
  scheduler.Post([&] {
    scheduler.At(clock_.Boot() + absl::Milliseconds(1),
                 [&] { fired.count_down(); });
    fired.wait();
    done.count_down();
  });
  done.wait();
}

TEST_F(ThreadSchedulerTest, PastDueMeansSoon) {
  std::latch done(1);
  ThreadScheduler scheduler(&clock_);
  scheduler.At(BootTime(), [&] { done.count_down(); });
  done.wait();
}

TEST_F(ThreadSchedulerTest, CancelledTimerIsDestroyedAndDoesNotRun) {
  std::atomic<int> ran = 0;
  std::atomic<int> dropped = 0;
  ThreadScheduler scheduler(&clock_);
  const TimerId far =
      scheduler.At(clock_.Boot() + absl::Hours(1), Droppable(&ran, &dropped));
  const TimerId never =
      scheduler.At(BootTime::Infinite(), Droppable(&ran, &dropped));
  EXPECT_TRUE(scheduler.Cancel(far));
  EXPECT_FALSE(scheduler.Cancel(far));
  EXPECT_TRUE(scheduler.Cancel(never));
  EXPECT_FALSE(scheduler.Cancel(0));
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(dropped, 2);
}

TEST_F(ThreadSchedulerTest, StopDropsWhatIsQueuedWithoutRunningIt) {
  std::atomic<int> ran = 0;
  std::atomic<int> dropped = 0;
  std::latch busy(2);
  std::latch go(1);
  ThreadScheduler scheduler(&clock_, {.workers = 1, .blocking_threads_max = 1});
  // Both threads are busy until everything else is queued.
  scheduler.Post([&] {
    busy.count_down();
    go.wait();
  });
  scheduler.Block([&] {
    busy.count_down();
    go.wait();
  });
  busy.wait();
  scheduler.At(clock_.Boot() + absl::Hours(1), Droppable(&ran, &dropped));
  std::thread stopper([&] { scheduler.Stop(); });
  // A worker that ends its closure finds the scheduler stopped or runs these;
  // either way nothing is lost.
  scheduler.Post(Droppable(&ran, &dropped));
  scheduler.Block(Droppable(&ran, &dropped));
  go.count_down();
  stopper.join();
  EXPECT_EQ(ran + dropped, 3);
  EXPECT_GE(dropped, 1);
  // Late callers are dropped at once.
  scheduler.Post(Droppable(&ran, &dropped));
  scheduler.Block(Droppable(&ran, &dropped));
  EXPECT_EQ(scheduler.At(BootTime(), Droppable(&ran, &dropped)), TimerId{0});
  EXPECT_EQ(ran + dropped, 6);
  scheduler.Stop();
}

TEST_F(ThreadSchedulerTest, StopWaitsForWhatIsRunning) {
  std::latch begun(2);
  std::atomic<bool> stopping = false;
  std::atomic<int> ended = 0;
  ThreadScheduler scheduler(&clock_, {.workers = 1});
  const auto work = [&] {
    begun.count_down();
    while (!stopping) std::this_thread::yield();
    ++ended;
  };
  scheduler.Post(work);
  scheduler.Block(work);
  begun.wait();
  stopping = true;
  scheduler.Stop();
  EXPECT_EQ(ended, 2);
}

TEST_F(ThreadSchedulerTest, DestructorOfDroppedClosureMayCallBack) {
  ThreadScheduler scheduler(&clock_, {.workers = 1});
  struct CallsBack {
    explicit CallsBack(Scheduler* scheduler) : scheduler(scheduler) {}
    ~CallsBack() {
      scheduler->Post([] {});
      scheduler->At(BootTime(), [] {});
    }
    Scheduler* scheduler;
  };
  scheduler.At(BootTime::Infinite(),
               [held = std::make_unique<CallsBack>(&scheduler)] {});
  scheduler.Stop();
}

TEST_F(ThreadSchedulerTest, BlockingPoolGrowsToItsBoundAndNoFurther) {
  std::latch three(3);
  std::latch all(9);
  std::atomic<int> now = 0;
  std::atomic<int> most = 0;
  ThreadScheduler scheduler(&clock_, {.workers = 1, .blocking_threads_max = 3});
  for (int i = 0; i < 9; ++i) {
    scheduler.Block([&, i] {
      const int here = ++now;
      int seen = most;
      while (seen < here && !most.compare_exchange_weak(seen, here)) {
      }
      // The first three wait for each other: the pool has grown.
      if (i < 3) three.arrive_and_wait();
      --now;
      all.count_down();
    });
  }
  all.wait();
  EXPECT_EQ(most, 3);
}

TEST_F(ThreadSchedulerTest, IdleBlockingThreadsEndAndNewOnesStart) {
  std::deque<std::latch> done;
  for (int i = 0; i < 50; ++i) done.emplace_back(1);
  ThreadScheduler scheduler(
      &clock_, {.workers = 1, .blocking_idle = absl::Microseconds(1)});
  for (std::latch& each : done) {
    scheduler.Block([&each] { each.count_down(); });
    each.wait();
  }
}

TEST_F(ThreadSchedulerTest, ManyThreadsPostManyClosures) {
  constexpr int kThreads = 4;
  constexpr int kEach = 2'000;
  std::latch done(kThreads * kEach);
  ThreadScheduler scheduler(&clock_, {.workers = 4});
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        switch (i % 3) {
          case 0:
            scheduler.Post([&] { done.count_down(); });
            break;
          case 1:
            scheduler.At(clock_.Boot() + absl::Microseconds(i % 100),
                         [&] { done.count_down(); });
            break;
          case 2:
            scheduler.Cancel(scheduler.At(BootTime::Infinite(), [] {}));
            done.count_down();
            break;
        }
      }
    });
  }
  done.wait();
  for (std::thread& thread : threads) thread.join();
}

// Runs `steps` times, each time at the end of the queue.
class Circling final : public Task {
 public:
  Circling(Scheduler* scheduler, int steps, std::latch* done)
      : scheduler_(scheduler), left_(steps), done_(done) {}
  void Run() override {
    if (--left_ > 0) {
      scheduler_->Submit(this);
    } else {
      done_->count_down();
    }
  }

 private:
  Scheduler* const scheduler_;
  int left_;
  std::latch* const done_;
};

TEST_F(ThreadSchedulerTest, WorkFromOutsideIsNotStarvedByWorkersOwn) {
  // Tasks that never stop circling keep the worker's own queue busy.
  class Endless final : public Task {
   public:
    Endless(Scheduler* scheduler, std::atomic<bool>* stop, std::latch* ended)
        : scheduler_(scheduler), stop_(stop), ended_(ended) {}
    void Run() override {
      if (*stop_) {
        ended_->count_down();
      } else {
        scheduler_->Submit(this);
      }
    }

   private:
    Scheduler* const scheduler_;
    std::atomic<bool>* const stop_;
    std::latch* const ended_;
  };
  std::atomic<bool> stop = false;
  std::latch ended(4);
  std::latch outside(600);
  std::latch timer(1);
  std::deque<Endless> tasks;
  ThreadScheduler scheduler(&clock_, {.workers = 1});
  for (int i = 0; i < 4; ++i) tasks.emplace_back(&scheduler, &stop, &ended);
  for (Endless& task : tasks) scheduler.Submit(&task);
  for (int i = 0; i < 600; ++i) {
    scheduler.Post([&] { outside.count_down(); });
  }
  scheduler.At(clock_.Boot() + absl::Milliseconds(2),
               [&] { timer.count_down(); });
  outside.wait();
  timer.wait();
  stop = true;
  ended.wait();
}

TEST_F(ThreadSchedulerTest, AFloodOfTasksStaysFair) {
  // Twenty times what a worker's own queue holds; the one that has gone round
  // most is never far ahead.
  constexpr int kTasks = 5'120;
  class Lap final : public Task {
   public:
    Lap(Scheduler* scheduler, std::atomic<int>* least_left, std::latch* done)
        : scheduler_(scheduler), behind_(least_left), done_(done) {}
    void Run() override {
      if (++laps_ == 1) --*behind_;
      // Before everybody has run once nobody has run often.
      if (*behind_ > 0) most_early_ = std::max(most_early_, laps_);
      if (laps_ < 20) {
        scheduler_->Submit(this);
      } else {
        done_->count_down();
      }
    }
    int most_early() const { return most_early_; }

   private:
    Scheduler* const scheduler_;
    std::atomic<int>* const behind_;
    std::latch* const done_;
    int laps_ = 0;
    int most_early_ = 0;
  };
  std::atomic<int> behind = kTasks;
  std::latch go(1);
  std::latch done(kTasks);
  std::deque<Lap> laps;
  ThreadScheduler scheduler(
      &clock_, {.workers = 1, .stall_after = absl::InfiniteDuration()});
  scheduler.Post([&] { go.wait(); });
  for (int i = 0; i < kTasks; ++i)
    laps.emplace_back(&scheduler, &behind, &done);
  for (Lap& lap : laps) scheduler.Submit(&lap);
  go.count_down();
  done.wait();
  int most = 0;
  for (const Lap& lap : laps) most = std::max(most, lap.most_early());
  EXPECT_LE(most, 3);
}

TEST_F(ThreadSchedulerTest, ManyTasksCircleOnManyWorkers) {
  constexpr int kTasks = 300;
  std::latch done(kTasks);
  std::deque<Circling> tasks;
  ThreadScheduler scheduler(&clock_, {.workers = 4});
  for (int i = 0; i < kTasks; ++i) tasks.emplace_back(&scheduler, 50, &done);
  for (Circling& task : tasks) scheduler.Submit(&task);
  done.wait();
}

TEST_F(ThreadSchedulerTest, AWorkersQueueIsStolenWhileItIsBusy) {
  constexpr int kTasks = 100;
  std::latch others(kTasks);
  std::latch done(1);
  ThreadScheduler scheduler(&clock_, {.workers = 3});
  scheduler.Post([&] {
    // All in this worker's own queue.
    for (int i = 0; i < kTasks; ++i) {
      scheduler.Post([&] { others.count_down(); });
    }
    others.wait();
    done.count_down();
  });
  done.wait();
}

TEST_F(ThreadSchedulerTest, NoWakeUpIsLostBetweenTwoWorkers) {
  // A ball between two workers: each hit is submitted while the other one is
  // about to park.
  constexpr int kHits = 20'000;
  std::latch done(1);
  std::atomic<int> hits = 0;
  ThreadScheduler scheduler(&clock_, {.workers = 2});
  std::function<void()> hit = [&] {
    if (++hits == kHits) {
      done.count_down();
    } else {
      scheduler.Post([&] { hit(); });
    }
  };
  hit();
  done.wait();
  EXPECT_EQ(hits, kHits);
}

TEST_F(ThreadSchedulerTest, TimersBeginInTimeOrder) {
  constexpr int kTimers = 2'000;
  std::latch done(kTimers);
  std::latch armed(1);
  Mutex mu;
  std::vector<int> order;
  ThreadScheduler scheduler(
      &clock_, {.workers = 4, .stall_after = absl::InfiniteDuration()});
  const BootTime now = clock_.Boot();
  // The first one holds the others back until all are armed.
  scheduler.At(now, [&] { armed.wait(); });
  for (int i = 0; i < kTimers; ++i) {
    const int label = i * 7919 % kTimers;
    scheduler.At(now + absl::Microseconds(1 + label), [&, label] {
      {
        MutexLock lock(&mu);
        order.push_back(label);
      }
      done.count_down();
    });
  }
  armed.count_down();
  done.wait();
  MutexLock lock(&mu);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

// What on_stall said.
class Stalls {
 public:
  std::function<void(const Stall&)> callback() {
    return [this](const Stall& stall) {
      {
        MutexLock lock(&mu_);
        seen_.push_back(stall);
      }
      changed_.SignalAll();
    };
  }
  // Waits for the first `count` of them.
  std::vector<Stall> Await(size_t count) {
    MutexLock lock(&mu_);
    while (seen_.size() < count) changed_.Wait(&mu_);
    return seen_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::vector<Stall> seen_ ABSL_GUARDED_BY(mu_);
};

ThreadSchedulerOptions StallOptions(Stalls* stalls, int workers, int most) {
  ThreadSchedulerOptions options;
  options.workers = workers;
  options.workers_max = most;
  options.stall_after = absl::Milliseconds(2);
  options.on_stall = stalls->callback();
  return options;
}

// Blocks a worker until `release`, under a name.
class BlockingTask final : public Task {
 public:
  BlockingTask(std::string name, std::latch* release)
      : name_(std::move(name)), release_(release) {}
  void Run() override {
    const Scheduler::Working working(this);
    release_->wait();
  }
  std::string Activity() const override { return name_; }

 private:
  const std::string name_;
  std::latch* const release_;
};

TEST_F(ThreadSchedulerTest, AStalledTaskIsNamedOnceAndOthersGoOn) {
  Stalls stalls;
  std::latch release(1);
  std::latch other(1);
  BlockingTask blocking("the slow one", &release);
  {
    ThreadScheduler scheduler(&clock_, StallOptions(&stalls, 1, 0));
    scheduler.Submit(&blocking);
    // Queued behind it: runs on a worker that is added.
    scheduler.Post([&] { other.count_down(); });
    other.wait();
    const std::vector<Stall> seen = stalls.Await(1);
    EXPECT_EQ(seen[0].activity, "the slow one");
    EXPECT_GE(seen[0].running, absl::Milliseconds(2));
    EXPECT_TRUE(seen[0].worker_added);
    EXPECT_EQ(scheduler.workers(), 2);
    release.count_down();
    // The stall has ended, and the worker that was added goes.
    while (scheduler.workers() > 1) std::this_thread::yield();
    EXPECT_EQ(scheduler.stalls(), 1u);
  }
  EXPECT_EQ(stalls.Await(1).size(), 1u);
}

TEST_F(ThreadSchedulerTest, AStalledClosureHasNoName) {
  Stalls stalls;
  std::latch release(1);
  ThreadScheduler scheduler(&clock_, StallOptions(&stalls, 2, 0));
  scheduler.Post([&] { release.wait(); });
  EXPECT_EQ(stalls.Await(1)[0].activity, "");
  release.count_down();
}

TEST_F(ThreadSchedulerTest, NoMoreWorkersThanTheirBoundAreAdded) {
  Stalls stalls;
  std::latch release(1);
  std::latch both(2);
  std::latch later(1);
  ThreadScheduler scheduler(&clock_, StallOptions(&stalls, 1, 2));
  for (int i = 0; i < 2; ++i) {
    scheduler.Post([&] {
      both.count_down();
      release.wait();
    });
  }
  both.wait();
  const std::vector<Stall> seen = stalls.Await(2);
  EXPECT_TRUE(seen[0].worker_added);
  EXPECT_FALSE(seen[1].worker_added);
  EXPECT_EQ(scheduler.workers(), 2);
  scheduler.Post([&] { later.count_down(); });
  EXPECT_FALSE(later.try_wait());
  release.count_down();
  later.wait();
}

TEST_F(ThreadSchedulerTest, ManyStallsOneAfterTheOtherEndWithoutSurplus) {
  Stalls stalls;
  ThreadScheduler scheduler(&clock_, StallOptions(&stalls, 1, 3));
  for (int i = 1; i <= 20; ++i) {
    std::latch release(1);
    std::latch begun(1);
    std::latch ended(1);
    scheduler.Post([&] {
      begun.count_down();
      release.wait();
      ended.count_down();
    });
    begun.wait();
    EXPECT_TRUE(stalls.Await(i).back().worker_added) << i;
    release.count_down();
    ended.wait();
    while (scheduler.workers() > 1) std::this_thread::yield();
  }
}

TEST_F(ThreadSchedulerTest, AStalledTimerDoesNotHoldUpTheOthers) {
  Stalls stalls;
  std::latch release(1);
  std::latch fired(3);
  ThreadScheduler scheduler(&clock_, StallOptions(&stalls, 1, 0));
  const BootTime now = clock_.Boot();
  scheduler.At(now, [&] { release.wait(); });
  for (int i = 1; i <= 3; ++i) {
    scheduler.At(now + absl::Milliseconds(i), [&] { fired.count_down(); });
  }
  fired.wait();
  EXPECT_EQ(scheduler.stalls(), 1u);
  release.count_down();
}

TEST_F(ThreadSchedulerTest, StopWaitsForAStalledTask) {
  Stalls stalls;
  std::latch release(1);
  std::atomic<bool> ended = false;
  ThreadScheduler scheduler(&clock_, StallOptions(&stalls, 1, 0));
  scheduler.Post([&] {
    release.wait();
    ended = true;
  });
  stalls.Await(1);
  std::thread stopper([&] { scheduler.Stop(); });
  release.count_down();
  stopper.join();
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace muster
