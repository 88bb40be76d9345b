// Timers: arm one and cancel it while none or a million others are armed.
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "node/base/clock.h"
#include "node/base/thread_scheduler.h"
#include "node/base/timer_queue.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/types/pid.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

BootTime Spread(BootTime from, int64_t i) {
  return from + absl::Hours(1) + absl::Microseconds(i * 7919 % 1'000'003);
}

void BM_TimerOfProcess(benchmark::State& state) {
  struct Tick {};
  ThreadRuntime node(1);
  const Pid pid = node.Start(ScriptServer::Make()).value();
  const BootTime now = node.runtime().clock().Boot();
  for (int64_t i = 0; i < state.range(0); ++i) {
    node.runtime().SendAt(Spread(now, i), pid, Tick());
  }
  int64_t i = 0;
  for (auto _ : state) {
    const TimerRef timer = node.runtime().SendAt(Spread(now, ++i), pid, Tick());
    benchmark::DoNotOptimize(node.runtime().CancelTimer(timer));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_TimerOfProcess)->Arg(0)->Arg(1'000'000);

void BM_TimerOfScheduler(benchmark::State& state) {
  SystemClock clock;
  ThreadScheduler scheduler(&clock, {.workers = 1});
  const BootTime now = clock.Boot();
  for (int64_t i = 0; i < state.range(0); ++i) {
    scheduler.At(Spread(now, i), [] {});
  }
  int64_t i = 0;
  for (auto _ : state) {
    scheduler.Cancel(scheduler.At(Spread(now, ++i), [] {}));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_TimerOfScheduler)->Arg(0)->Arg(1'000'000);

void BM_TimerQueue(benchmark::State& state) {
  TimerQueue queue;
  for (int64_t i = 0; i < state.range(0); ++i) {
    queue.Add(Spread(BootTime(), i), [] {});
  }
  int64_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        queue.Take(queue.Add(Spread(BootTime(), ++i), [] {})));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_TimerQueue)->Arg(0)->Arg(1'000'000);

// A sorted map under a mutex.
void BM_TimerBaseline(benchmark::State& state) {
  std::mutex mu;
  std::multimap<BootTime, std::function<void()>> timers;
  for (int64_t i = 0; i < state.range(0); ++i) {
    timers.emplace(Spread(BootTime(), i), [] {});
  }
  int64_t i = 0;
  for (auto _ : state) {
    std::multimap<BootTime, std::function<void()>>::iterator at;
    {
      const std::lock_guard<std::mutex> lock(mu);
      at = timers.emplace(Spread(BootTime(), ++i), [] {});
    }
    const std::lock_guard<std::mutex> lock(mu);
    timers.erase(at);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_TimerBaseline)->Arg(0)->Arg(1'000'000);

}  // namespace
}  // namespace muster
