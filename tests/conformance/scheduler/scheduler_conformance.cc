#include "tests/conformance/scheduler/scheduler_conformance.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "node/base/clock.h"

namespace muster {
namespace {

// Counts a closure's end, run or not.
class Token {
 public:
  Token(int* ran, int* dropped, Mutex* mu, CondVar* changed)
      : ran_(ran), dropped_(dropped), mu_(mu), changed_(changed) {}
  Token(Token&& other) noexcept
      : ran_(other.ran_),
        dropped_(std::exchange(other.dropped_, nullptr)),
        mu_(other.mu_),
        changed_(other.changed_) {}
  Token& operator=(Token&&) = delete;
  ~Token() {
    if (dropped_ == nullptr) return;
    MutexLock lock(mu_);
    ++*dropped_;
    changed_->SignalAll();
  }
  void operator()() {
    dropped_ = nullptr;
    MutexLock lock(mu_);
    ++*ran_;
    changed_->SignalAll();
  }

 private:
  int* ran_;
  int* dropped_;
  Mutex* mu_;
  CondVar* changed_;
};

class Counting final : public Task {
 public:
  explicit Counting(std::function<void()> run) : run_(std::move(run)) {}
  void Run() override { run_(); }

 private:
  const std::function<void()> run_;
};

TEST_P(SchedulerConformanceTest, RunsEachSubmittedTaskOnce) {
  constexpr int kTasks = 500;
  std::vector<int> runs(kTasks, 0);
  int ran = 0;
  std::deque<Counting> tasks;
  for (int i = 0; i < kTasks; ++i) {
    tasks.emplace_back([this, i, &runs, &ran] {
      Record([&] {
        ++runs[i];
        ++ran;
      });
    });
  }
  for (Counting& task : tasks) scheduler().Submit(&task);
  EXPECT_TRUE(Await([&] { return ran == kTasks; }));
  env_->End();
  EXPECT_EQ(std::count(runs.begin(), runs.end(), 1), kTasks);
}

TEST_P(SchedulerConformanceTest, ATaskMayBeSubmittedAgainWhileItRuns) {
  int runs = 0;
  Counting* self = nullptr;
  Counting task([&] {
    // Submitted before it records: its next run may begin at once.
    int now = 0;
    Record([&] { now = ++runs; });
    if (now < 100) scheduler().Submit(self);
  });
  self = &task;
  scheduler().Submit(self);
  EXPECT_TRUE(Await([&] { return runs == 100; }));
  env_->End();
  EXPECT_EQ(runs, 100);
}

TEST_P(SchedulerConformanceTest, NothingRunsInsideTheCallThatHandsItIn) {
  thread_local bool calling = false;
  int inside = 0;
  int ran = 0;
  const auto work = [&] {
    const bool in_call = calling;
    Record([&] {
      inside += in_call ? 1 : 0;
      ++ran;
    });
  };
  Counting task(work);
  calling = true;
  scheduler().Submit(&task);
  scheduler().Post(work);
  scheduler().At(scheduler().clock().Boot(), work);
  scheduler().Block(work);
  calling = false;
  EXPECT_TRUE(Await([&] { return ran == 4; }));
  env_->End();
  EXPECT_EQ(inside, 0);
}

TEST_P(SchedulerConformanceTest, WorkersAreMarkedAndTheBlockingPoolIsNot) {
  EXPECT_FALSE(Scheduler::OnWorker());
  int ran = 0;
  std::vector<bool> on_worker(4);
  Counting task([&] {
    const bool on = Scheduler::OnWorker();
    Record([&] { on_worker[0] = on, ++ran; });
  });
  const auto note = [&](int at) {
    return [this, at, &on_worker, &ran] {
      const bool on = Scheduler::OnWorker();
      Record([&] { on_worker[at] = on, ++ran; });
    };
  };
  scheduler().Submit(&task);
  scheduler().Post(note(1));
  scheduler().At(scheduler().clock().Boot(), note(2));
  scheduler().Block(note(3));
  EXPECT_TRUE(Await([&] { return ran == 4; }));
  env_->End();
  EXPECT_TRUE(on_worker[0]);
  EXPECT_TRUE(on_worker[1]);
  EXPECT_TRUE(on_worker[2]);
  EXPECT_FALSE(on_worker[3]);
}

TEST_P(SchedulerConformanceTest, TimersAreNeverEarlyAndBeginInTimeOrder) {
  constexpr int kTimers = 100;
  int early = 0;
  std::vector<int> order;
  const BootTime base = scheduler().clock().Boot() + absl::Milliseconds(20);
  for (int i = 0; i < kTimers; ++i) {
    const int at = i * 37 % kTimers;
    const BootTime due = base + absl::Microseconds(100 * at);
    scheduler().At(due, [this, at, due, &early, &order] {
      const bool too_soon = scheduler().clock().Boot() < due;
      Record([&] {
        early += too_soon ? 1 : 0;
        order.push_back(at);
      });
    });
  }
  EXPECT_TRUE(Await([&] { return order.size() == kTimers; }));
  EXPECT_EQ(early, 0);
}

TEST_P(SchedulerConformanceTest, ATimerThatIsDueComesSoonAndOneAtTheEndNever) {
  int ran = 0;
  int never = 0;
  int dropped = 0;
  scheduler().At(BootTime::Infinite(),
                 Token(&never, &dropped, &env_->mu, &env_->changed));
  scheduler().At(BootTime(), [&] { Record([&] { ++ran; }); });
  scheduler().At(scheduler().clock().Boot() - absl::Hours(1),
                 [&] { Record([&] { ++ran; }); });
  EXPECT_TRUE(Await([&] { return ran == 2; }));
  env_->End();
  EXPECT_EQ(never, 0);
  EXPECT_EQ(dropped, 1);
}

TEST_P(SchedulerConformanceTest, ACancelledTimerIsDroppedAndDoesNotRun) {
  int ran = 0;
  int dropped = 0;
  const TimerId far =
      scheduler().At(scheduler().clock().Boot() + absl::Hours(1),
                     Token(&ran, &dropped, &env_->mu, &env_->changed));
  const TimerId never = scheduler().At(
      BootTime::Infinite(), Token(&ran, &dropped, &env_->mu, &env_->changed));
  EXPECT_NE(far, TimerId{0});
  EXPECT_NE(far, never);
  EXPECT_TRUE(scheduler().Cancel(far));
  EXPECT_FALSE(scheduler().Cancel(far));
  EXPECT_TRUE(scheduler().Cancel(never));
  EXPECT_FALSE(scheduler().Cancel(0));
  EXPECT_FALSE(scheduler().Cancel(never + 1000));
  EXPECT_TRUE(Await([&] { return dropped == 2; }));
  EXPECT_EQ(ran, 0);
}

TEST_P(SchedulerConformanceTest, ATimerThatHasRunCannotBeCancelled) {
  int ran = 0;
  const TimerId id =
      scheduler().At(BootTime(), [&] { Record([&] { ++ran; }); });
  EXPECT_TRUE(Await([&] { return ran == 1; }));
  EXPECT_FALSE(scheduler().Cancel(id));
}

TEST_P(SchedulerConformanceTest, WorkMayHandInMoreWork) {
  int ran = 0;
  scheduler().Post([&] {
    scheduler().Post([&] { Record([&] { ++ran; }); });
    scheduler().At(BootTime(), [&] {
      scheduler().Block(
          [&] { scheduler().Post([&] { Record([&] { ++ran; }); }); });
    });
  });
  EXPECT_TRUE(Await([&] { return ran == 2; }));
}

TEST_P(SchedulerConformanceTest, ChainsDoNotStarveTimersNorOthers) {
  int chain = 0;
  bool stop = false;
  bool fired = false;
  bool posted = false;
  // A task and a zero timer that go on for ever. They end when the rest came.
  std::function<void()> endless = [&] {
    bool end = false;
    Record([&] {
      ++chain;
      end = stop;
    });
    if (!end) scheduler().Post([&] { endless(); });
  };
  std::function<void()> zero = [&] {
    bool end = false;
    Record([&] { end = stop; });
    if (!end) {
      scheduler().At(scheduler().clock().Boot(), [&] { zero(); });
    }
  };
  scheduler().Post([&] { endless(); });
  scheduler().At(scheduler().clock().Boot(), [&] { zero(); });
  scheduler().At(scheduler().clock().Boot(),
                 [&] { Record([&] { fired = true; }); });
  scheduler().Post([&] { Record([&] { posted = true; }); });
  EXPECT_TRUE(Await([&] { return fired && posted && chain > 100; }));
  Record([&] { stop = true; });
  env_->End();
}

TEST_P(SchedulerConformanceTest, AfterItsEndEverythingIsDropped) {
  int ran = 0;
  int dropped = 0;
  const auto token = [&] {
    return Token(&ran, &dropped, &env_->mu, &env_->changed);
  };
  scheduler().At(scheduler().clock().Boot() + absl::Hours(1), token());
  scheduler().At(BootTime::Infinite(), token());
  env_->End();
  EXPECT_EQ(dropped, 2);
  Counting task([&] { ++ran; });
  scheduler().Submit(&task);
  scheduler().Post(token());
  scheduler().Block(token());
  EXPECT_EQ(scheduler().At(BootTime(), token()), TimerId{0});
  EXPECT_EQ(dropped, 5);
  EXPECT_EQ(ran, 0);
}

TEST_P(SchedulerConformanceTest, TheBootClockNeverGoesBack) {
  BootTime last = scheduler().clock().Boot();
  int ran = 0;
  bool back = false;
  // Also seen from work that is one after the other.
  std::function<void()> look = [&] {
    const BootTime now = scheduler().clock().Boot();
    int looks = 0;
    Record([&] {
      back |= now < last;
      last = now;
      looks = ++ran;
    });
    if (looks < 200) {
      scheduler().At(now + absl::Microseconds(50), [&] { look(); });
    }
  };
  scheduler().Post([&] { look(); });
  EXPECT_TRUE(Await([&] { return ran == 200; }));
  EXPECT_FALSE(back);
  EXPECT_FALSE(last.is_infinite());
  EXPECT_GT(scheduler().clock().Wall(), absl::FromUnixSeconds(1'600'000'000));
}

}  // namespace
}  // namespace muster
