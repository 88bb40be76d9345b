// What a node's own operations cost, each beside a baseline without Muster.
//
//   bazel run -c opt //tests/bench:bench
//
// Items are operations, so items_per_second compares a pair.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "node/base/clock.h"
#include "node/base/thread_scheduler.h"
#include "node/base/timer_queue.h"
#include "node/process/context.h"
#include "node/process/runtime.h"
#include "tests/bench/mutex_queue.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

constexpr int kBatch = 1'000;

RuntimeOptions Roomy() {
  RuntimeOptions options = TestRuntimeOptions();
  options.mailbox_messages_max = 1'000'000;
  return options;
}

// -- A call, one caller and one server ----------------------------------------

// A process calls another one and waits for each reply.
void BM_CallProcessToProcess(benchmark::State& state) {
  std::unique_ptr<std::latch> done;
  ThreadRuntime node(2);
  const Pid server = node.Start(ScriptServer::Make()).value();
  Script script;
  script.cast = [&](int64_t calls, Context& self) -> Next {
    const ServerRef to(server);
    for (int64_t i = 0; i < calls; ++i) {
      const absl::StatusOr<Int64> reply = co_await ScriptCall(self, to, i);
      if (!reply.ok()) std::abort();
    }
    done->count_down();
    co_return Next();
  };
  const Pid caller = node.Start(ScriptServer::Make(std::move(script))).value();
  for (auto _ : state) {
    done = std::make_unique<std::latch>(1);
    ScriptCast(node.caller(), ServerRef(caller), kBatch).Wait().IgnoreError();
    done->wait();
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_CallProcessToProcess)->UseRealTime();

// A thread outside the runtime calls and blocks for each reply.
void BM_CallFromOutside(benchmark::State& state) {
  ThreadRuntime node(2);
  const Pid server = node.Start(ScriptServer::Make()).value();
  for (auto _ : state) {
    const auto reply =
        node.Call<Int64>(ServerRef(server), kScriptCall, MakeInt64(1));
    if (!reply.ok()) std::abort();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_CallFromOutside)->UseRealTime();

// Two threads, a queue each way.
void BM_CallBaseline(benchmark::State& state) {
  MutexQueue<int64_t> requests;
  MutexQueue<int64_t> replies;
  std::thread server([&] {
    while (const int64_t request = requests.Pop()) replies.Push(request);
  });
  for (auto _ : state) {
    requests.Push(1);
    benchmark::DoNotOptimize(replies.Pop());
  }
  requests.Push(0);
  server.join();
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_CallBaseline)->UseRealTime();

// -- Casts
// ---------------------------------------------------------------------

void BM_Cast(benchmark::State& state) {
  std::unique_ptr<std::latch> done;
  ThreadRuntime node(2, Roomy());
  Script script;
  script.cast = [&](int64_t, Context&) {
    done->count_down();
    return Next();
  };
  const Pid server = node.Start(ScriptServer::Make(std::move(script))).value();
  for (auto _ : state) {
    done = std::make_unique<std::latch>(kBatch);
    for (int i = 0; i < kBatch; ++i) {
      node.runtime()
          .CastAndForget(Request(ServerRef(server), kScriptCast,
                                 Payload::Of(MakeInt64(i))))
          .IgnoreError();
    }
    done->wait();
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_Cast)->UseRealTime();

void BM_CastBaseline(benchmark::State& state) {
  MutexQueue<std::function<void()>> queue;
  std::atomic<bool> stop = false;
  std::thread server([&] {
    while (!stop) queue.Pop()();
  });
  for (auto _ : state) {
    std::latch done(kBatch);
    for (int i = 0; i < kBatch; ++i) queue.Push([&] { done.count_down(); });
    done.wait();
  }
  queue.Push([&] { stop = true; });
  server.join();
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_CastBaseline)->UseRealTime();

// -- Starting and ending
// ---------------------------------------------------------

void BM_SpawnAndKill(benchmark::State& state) {
  ThreadRuntime node(2);
  for (auto _ : state) {
    const Pid pid = node.Start(ScriptServer::Make()).value();
    node.runtime().SendExit(Pid(), pid, ExitReason::Kill());
    node.AwaitExit(pid);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_SpawnAndKill)->UseRealTime();

// A thread instead of a process.
void BM_SpawnBaseline(benchmark::State& state) {
  for (auto _ : state) {
    std::thread thread([] {});
    thread.join();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_SpawnBaseline)->UseRealTime();

// -- Timers: arm one and cancel it while others are armed
// --------------------------

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

// -- Submitting work and having it stolen
// -------------------------------------------

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

// -- Finding a name
// --------------------------------------------------------------------

constexpr int kNames = 1'000;

void BM_NameLookup(benchmark::State& state) {
  ThreadRuntime node(2);
  std::vector<std::string> names;
  for (int i = 0; i < kNames; ++i) {
    names.push_back(absl::StrCat("server_", i));
    StartOptions options;
    options.name = names.back();
    if (!node.Start(ScriptServer::Make(), Payload(), std::move(options)).ok()) {
      std::abort();
    }
  }
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        node.runtime().WhereIsLocal(names[++i % names.size()]));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_NameLookup);

void BM_NameBaseline(benchmark::State& state) {
  std::mutex mu;
  std::unordered_map<std::string, Pid> table;
  std::vector<std::string> names;
  for (int i = 0; i < kNames; ++i) {
    names.push_back(absl::StrCat("server_", i));
    Pid pid;
    pid.node = "a";
    pid.number = static_cast<uint64_t>(i);
    table.emplace(names.back(), pid);
  }
  size_t i = 0;
  for (auto _ : state) {
    const std::lock_guard<std::mutex> lock(mu);
    const Pid found = table.find(names[++i % names.size()])->second;
    benchmark::DoNotOptimize(found);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_NameBaseline);

}  // namespace
}  // namespace muster
