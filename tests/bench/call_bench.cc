// Calls: one to one, many to one, with a monitor, with statistics.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "benchmark/benchmark.h"
#include "node/base/check.h"
#include "node/gen_server/sys.h"
#include "node/process/context.h"
#include "node/process/signals.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "tests/bench/crew.h"
#include "tests/bench/mutex_queue.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

// Calls `to` and waits for each reply.
Next CallOften(int64_t count, Context& self, Crew& crew, ServerRef to) {
  for (int64_t i = 0; i < count; ++i) {
    const absl::StatusOr<Int64> reply = co_await ScriptCall(self, to, i);
    MUSTER_CHECK(reply.ok(), "a call failed");
  }
  crew.Done();
  co_return Next();
}

// -- From process to process --------------------------------------------------

// Callers and servers; with two numbers that are the same, one for each.
void BM_CallProcessToProcess(benchmark::State& state) {
  const int64_t callers = state.range(0);
  const int64_t servers = state.range(1);
  ThreadRuntime node(2);
  std::vector<Pid> pids;
  for (int64_t i = 0; i < servers; ++i) {
    pids.push_back(node.Start(ScriptServer::Make()).value());
  }
  // Each crew of its own target.
  Crew crew(&node, static_cast<int>(callers),
            [&, at = std::make_shared<std::atomic<size_t>>(0)](
                int64_t count, Context& self, Crew& all) {
              const size_t i = at->fetch_add(1) % pids.size();
              return CallOften(count, self, all, ServerRef(pids[i]));
            });
  const int64_t each = callers > 8 ? 10 : kBatch;
  for (auto _ : state) crew.Run(each);
  state.SetItemsProcessed(state.iterations() * callers * each);
}
BENCHMARK(BM_CallProcessToProcess)
    ->Args({1, 1})
    ->Args({8, 8})
    ->Args({1000, 1})
    ->UseRealTime();

// A thread outside the runtime calls and blocks for each reply.
void BM_CallFromOutside(benchmark::State& state) {
  ThreadRuntime node(2);
  const Pid server = node.Start(ScriptServer::Make()).value();
  for (auto _ : state) {
    const auto reply =
        node.Call<Int64>(ServerRef(server), kScriptCall, MakeInt64(1));
    MUSTER_CHECK(reply.ok(), "a call failed");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_CallFromOutside)->UseRealTime();

// Pairs of threads, a queue each way.
void BM_CallBaseline(benchmark::State& state) {
  struct Pair {
    MutexQueue<int64_t> requests;
    MutexQueue<int64_t> replies;
    MutexQueue<int64_t> orders;
    std::thread server;
    std::thread caller;
  };
  MutexQueue<bool> done;
  std::vector<std::unique_ptr<Pair>> pairs;
  for (int64_t i = 0; i < state.range(0); ++i) {
    pairs.push_back(std::make_unique<Pair>());
    Pair* const pair = pairs.back().get();
    pair->server = std::thread([pair] {
      while (const int64_t request = pair->requests.Pop()) {
        pair->replies.Push(request);
      }
    });
    pair->caller = std::thread([pair, &done] {
      while (const int64_t count = pair->orders.Pop()) {
        for (int64_t call = 0; call < count; ++call) {
          pair->requests.Push(1);
          benchmark::DoNotOptimize(pair->replies.Pop());
        }
        done.Push(true);
      }
    });
  }
  for (auto _ : state) {
    for (const auto& pair : pairs) pair->orders.Push(kBatch);
    for (size_t i = 0; i < pairs.size(); ++i) done.Pop();
  }
  for (const auto& pair : pairs) {
    pair->orders.Push(0);
    pair->caller.join();
    pair->requests.Push(0);
    pair->server.join();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0) * kBatch);
}
BENCHMARK(BM_CallBaseline)->Arg(1)->Arg(8)->UseRealTime();

// Many requests at once to one thread, a promise for each.
void BM_CallManyBaseline(benchmark::State& state) {
  MutexQueue<std::function<void()>> queue;
  std::thread server([&] {
    while (const std::function<void()> work = queue.Pop()) work();
  });
  for (auto _ : state) {
    std::vector<std::future<int64_t>> replies;
    for (int64_t i = 0; i < state.range(0); ++i) {
      auto promise = std::make_shared<std::promise<int64_t>>();
      replies.push_back(promise->get_future());
      queue.Push([promise, i] { promise->set_value(i); });
    }
    for (auto& reply : replies) benchmark::DoNotOptimize(reply.get());
  }
  queue.Push(nullptr);
  server.join();
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_CallManyBaseline)->Arg(16)->Arg(1000)->UseRealTime();

// As OTP does it: the caller monitors the server meanwhile.
void BM_CallWithMonitor(benchmark::State& state) {
  ThreadRuntime node(2);
  const ServerRef to(node.Start(ScriptServer::Make()).value());
  Crew crew(&node, 1, [&](int64_t count, Context& self, Crew& all) -> Next {
    DemonitorOptions flush;
    flush.flush = true;
    for (int64_t i = 0; i < count; ++i) {
      const MonitorRef monitor = self.Monitor(to);
      const absl::StatusOr<Int64> reply = co_await ScriptCall(self, to, i);
      MUSTER_CHECK(reply.ok(), "a call failed");
      self.Demonitor(monitor, flush);
    }
    all.Done();
    co_return Next();
  });
  for (auto _ : state) crew.Run(kBatch);
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_CallWithMonitor)->UseRealTime();

// -- sys ----------------------------------------------------------------------

// With statistics off (0) and on (1).
void BM_CallStatistics(benchmark::State& state) {
  ThreadRuntime node(2);
  const ServerRef to(node.Start(ScriptServer::Make()).value());
  const bool on = state.range(0) != 0;
  MUSTER_CHECK(sys::SwitchStatistics(node.caller(), to, on).Wait().ok(),
               "statistics cannot be switched");
  Crew crew(&node, 1, [&](int64_t count, Context& self, Crew& all) {
    return CallOften(count, self, all, to);
  });
  for (auto _ : state) crew.Run(kBatch);
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_CallStatistics)->Arg(0)->Arg(1)->UseRealTime();

// Beside it: BM_CallProcessToProcess, a call of the server's own.
void BM_SysGetState(benchmark::State& state) {
  ThreadRuntime node(2);
  Script script;
  script.snapshot = [](Context&) { return Payload::Of(MakeInt64(1)); };
  const ServerRef to(node.Start(ScriptServer::Make(std::move(script))).value());
  Crew crew(&node, 1, [&](int64_t count, Context& self, Crew& all) -> Next {
    for (int64_t i = 0; i < count; ++i) {
      const absl::StatusOr<Int64> got = co_await sys::GetState<Int64>(self, to);
      MUSTER_CHECK(got.ok(), "no state");
    }
    all.Done();
    co_return Next();
  });
  for (auto _ : state) crew.Run(kBatch);
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_SysGetState)->UseRealTime();

}  // namespace
}  // namespace muster
