// Casts, from one sender and from two.
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "node/process/context.h"
#include "node/process/message.h"
#include "node/process/runtime.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "tests/bench/crew.h"
#include "tests/bench/mutex_queue.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

// Counts casts down from the number that Expect was given.
class Countdown {
 public:
  void Expect(int64_t casts) { left_ = casts; }
  void Arrived() {
    if (--left_ == 0) done_.Push(true);
  }
  void Wait() { done_.Pop(); }

 private:
  std::atomic<int64_t> left_{0};
  MutexQueue<bool> done_;
};

std::unique_ptr<ScriptServer> Receiver(Countdown* casts) {
  Script script;
  script.cast = [casts](int64_t, Context&) {
    casts->Arrived();
    return Next();
  };
  return ScriptServer::Make(std::move(script));
}

// From processes.
void BM_Cast(benchmark::State& state) {
  const int senders = static_cast<int>(state.range(0));
  Countdown casts;
  ThreadRuntime node(2, Roomy());
  const ServerRef to(node.Start(Receiver(&casts)).value());
  Crew crew(&node, senders, [&](int64_t count, Context& self, Crew& all) {
    for (int64_t i = 0; i < count; ++i) {
      ScriptCast(self, to, i).Detach();
    }
    all.Done();
    return Next();
  });
  for (auto _ : state) {
    casts.Expect(senders * kBatch);
    crew.Run(kBatch);
    casts.Wait();
  }
  state.SetItemsProcessed(state.iterations() * senders * kBatch);
}
BENCHMARK(BM_Cast)->Arg(1)->Arg(2)->UseRealTime();

// From the thread outside that measures.
void BM_CastFromOutside(benchmark::State& state) {
  Countdown casts;
  ThreadRuntime node(2, Roomy());
  const ServerRef to(node.Start(Receiver(&casts)).value());
  for (auto _ : state) {
    casts.Expect(kBatch);
    for (int64_t i = 0; i < kBatch; ++i) {
      node.runtime()
          .CastAndForget(Request(to, kScriptCast, Payload::Of(MakeInt64(i))))
          .IgnoreError();
    }
    casts.Wait();
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_CastFromOutside)->UseRealTime();

// Threads that push functions to one that runs them.
void BM_CastBaseline(benchmark::State& state) {
  const int64_t senders = state.range(0);
  Countdown casts;
  MutexQueue<std::function<void()>> queue;
  std::thread server([&] {
    while (const std::function<void()> work = queue.Pop()) work();
  });
  MutexQueue<int64_t> orders;
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < senders; ++i) {
    threads.emplace_back([&] {
      while (const int64_t count = orders.Pop()) {
        for (int64_t cast = 0; cast < count; ++cast) {
          queue.Push([&] { casts.Arrived(); });
        }
      }
    });
  }
  for (auto _ : state) {
    casts.Expect(senders * kBatch);
    for (int64_t i = 0; i < senders; ++i) orders.Push(kBatch);
    casts.Wait();
  }
  for (int64_t i = 0; i < senders; ++i) orders.Push(0);
  for (std::thread& thread : threads) thread.join();
  queue.Push(nullptr);
  server.join();
  state.SetItemsProcessed(state.iterations() * senders * kBatch);
}
BENCHMARK(BM_CastBaseline)->Arg(1)->Arg(2)->UseRealTime();

}  // namespace
}  // namespace muster
