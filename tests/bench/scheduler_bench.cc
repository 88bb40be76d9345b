// Submitting work, and having it stolen.
#include <cstdint>
#include <functional>
#include <latch>
#include <thread>
#include <vector>

#include "benchmark/benchmark.h"
#include "node/base/clock.h"
#include "node/base/thread_scheduler.h"
#include "tests/bench/crew.h"
#include "tests/bench/mutex_queue.h"

namespace muster {
namespace {

// One worker makes the work, all of them do it.
void BM_SubmitAndSteal(benchmark::State& state) {
  SystemClock clock;
  ThreadScheduler scheduler(&clock,
                            {.workers = static_cast<int>(state.range(0))});
  for (auto _ : state) {
    std::latch done(kBatch);
    scheduler.Post([&] {
      for (int i = 0; i < kBatch; ++i) {
        scheduler.Post([&] { done.count_down(); });
      }
    });
    done.wait();
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_SubmitAndSteal)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();

void BM_SubmitBaseline(benchmark::State& state) {
  MutexQueue<std::function<void()>> queue;
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < state.range(0); ++i) {
    threads.emplace_back([&] {
      while (std::function<void()> work = queue.Pop()) work();
    });
  }
  for (auto _ : state) {
    std::latch done(kBatch);
    queue.Push([&] {
      for (int i = 0; i < kBatch; ++i) queue.Push([&] { done.count_down(); });
    });
    done.wait();
  }
  for (size_t i = 0; i < threads.size(); ++i) queue.Push(nullptr);
  for (std::thread& thread : threads) thread.join();
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_SubmitBaseline)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();

// One piece of work submits the next, as processes that call each other do.
void BM_SubmitInTurn(benchmark::State& state) {
  SystemClock clock;
  MutexQueue<bool> done;
  int64_t left = 0;
  std::function<void()> turn;
  ThreadScheduler scheduler(&clock,
                            {.workers = static_cast<int>(state.range(0))});
  turn = [&] {
    if (--left == 0) {
      done.Push(true);
    } else {
      scheduler.Post([&] { turn(); });
    }
  };
  for (auto _ : state) {
    left = kBatch;
    scheduler.Post([&] { turn(); });
    done.Pop();
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_SubmitInTurn)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();

void BM_SubmitInTurnBaseline(benchmark::State& state) {
  MutexQueue<std::function<void()>> queue;
  MutexQueue<bool> done;
  int64_t left = 0;
  std::function<void()> turn = [&] {
    if (--left == 0) {
      done.Push(true);
    } else {
      queue.Push([&] { turn(); });
    }
  };
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < state.range(0); ++i) {
    threads.emplace_back([&] {
      while (const std::function<void()> work = queue.Pop()) work();
    });
  }
  for (auto _ : state) {
    left = kBatch;
    queue.Push([&] { turn(); });
    done.Pop();
  }
  for (size_t i = 0; i < threads.size(); ++i) queue.Push(nullptr);
  for (std::thread& thread : threads) thread.join();
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_SubmitInTurnBaseline)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();

}  // namespace
}  // namespace muster
