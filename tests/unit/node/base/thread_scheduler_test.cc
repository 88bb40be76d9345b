#include "node/base/thread_scheduler.h"

#include <atomic>
#include <deque>
#include <latch>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

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

}  // namespace
}  // namespace muster
