// Starting, restarting and ending processes, bare and supervised; tasks.
#include <cstdint>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "node/base/check.h"
#include "node/process/context.h"
#include "node/process/runtime.h"
#include "node/supervisor/child_spec.h"
#include "node/supervisor/dynamic_supervisor.h"
#include "node/supervisor/supervisor.h"
#include "node/supervisor/supervisor_client.h"
#include "node/supervisor/supervisor_spec.h"
#include "node/supervisor/task_supervisor.h"
#include "node/types/exit_reason.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "tests/bench/crew.h"
#include "tests/bench/mutex_queue.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

constexpr int64_t kRounds = 100;

ChildSpec TemporaryChild() {
  ChildSpec spec;
  spec.id = "child";
  spec.restart = Restart::kTemporary;
  spec.shutdown = Shutdown::BrutalKill();
  spec.factory = [] { return ScriptServer::Make(); };
  return spec;
}

// -- Bare ---------------------------------------------------------------------

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

// -- Supervised ---------------------------------------------------------------

void BM_SupervisorStartAndTerminate(benchmark::State& state) {
  ThreadRuntime node(2);
  const ServerRef to(node.Start(*Supervisor::Make(SupervisorSpec())).value());
  Crew crew(&node, 1, [&](int64_t count, Context& self, Crew& all) -> Next {
    SupervisorClient supervisor(self, to);
    for (int64_t i = 0; i < count; ++i) {
      const absl::StatusOr<StartedChild> child =
          co_await supervisor.StartChild(TemporaryChild());
      MUSTER_CHECK(child.ok(), "no child");
      const absl::Status ended = co_await supervisor.TerminateChild("child");
      MUSTER_CHECK(ended.ok(), "the child was not ended");
    }
    all.Done();
    co_return Next();
  });
  for (auto _ : state) crew.Run(kRounds);
  state.SetItemsProcessed(state.iterations() * kRounds);
}
BENCHMARK(BM_SupervisorStartAndTerminate)->UseRealTime();

void BM_DynamicStartAndTerminate(benchmark::State& state) {
  ThreadRuntime node(2);
  const ServerRef to(node.Start(std::make_unique<DynamicSupervisor>()).value());
  Crew crew(&node, 1, [&](int64_t count, Context& self, Crew& all) -> Next {
    DynamicSupervisorClient pool(self, to);
    for (int64_t i = 0; i < count; ++i) {
      const absl::StatusOr<StartedChild> child =
          co_await pool.StartChild(TemporaryChild());
      MUSTER_CHECK(child.ok(), "no child");
      const absl::Status ended = co_await pool.TerminateChild(child->pid);
      MUSTER_CHECK(ended.ok(), "the child was not ended");
    }
    all.Done();
    co_return Next();
  });
  for (auto _ : state) crew.Run(kRounds);
  state.SetItemsProcessed(state.iterations() * kRounds);
}
BENCHMARK(BM_DynamicStartAndTerminate)->UseRealTime();

// From the kill of a child to the Init of the next one.
void BM_SupervisorRestart(benchmark::State& state) {
  MutexQueue<Pid> started;
  ThreadRuntime node(2);
  SupervisorSpec spec;
  spec.intensity = 1'000'000;
  spec.period = absl::Seconds(1);
  ChildSpec child;
  child.id = "child";
  child.factory = [&started] {
    Script script;
    script.init = [&started](Context& self) -> InitResult {
      started.Push(self.pid());
      return Ok();
    };
    return ScriptServer::Make(std::move(script));
  };
  spec.children.push_back(std::move(child));
  MUSTER_CHECK(node.Start(*Supervisor::Make(std::move(spec))).ok(),
               "no supervisor");
  Pid pid = started.Pop();
  for (auto _ : state) {
    node.runtime().SendExit(Pid(), pid, ExitReason::Kill());
    pid = started.Pop();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_SupervisorRestart)->UseRealTime();

// -- Tasks --------------------------------------------------------------------

void BM_TaskAsyncAwait(benchmark::State& state) {
  ThreadRuntime node(2);
  const ServerRef to(node.Start(MakeTaskSupervisor()).value());
  Crew crew(&node, 1, [&](int64_t count, Context& self, Crew& all) -> Next {
    TaskSupervisorClient tasks(self, to);
    for (int64_t i = 0; i < count; ++i) {
      const auto work = [i](Context&) -> TaskResult<int64_t> { return i; };
      absl::StatusOr<AsyncTask<int64_t>> task =
          co_await tasks.Async<int64_t>(work);
      MUSTER_CHECK(task.ok(), "no task");
      const absl::StatusOr<int64_t> value =
          co_await task->Await(absl::Seconds(5));
      MUSTER_CHECK(value.ok(), "no result");
    }
    all.Done();
    co_return Next();
  });
  for (auto _ : state) crew.Run(kRounds);
  state.SetItemsProcessed(state.iterations() * kRounds);
}
BENCHMARK(BM_TaskAsyncAwait)->UseRealTime();

// A thread that keeps a promise.
void BM_TaskBaseline(benchmark::State& state) {
  for (auto _ : state) {
    std::promise<int64_t> promise;
    std::future<int64_t> value = promise.get_future();
    std::thread thread([&promise] { promise.set_value(1); });
    benchmark::DoNotOptimize(value.get());
    thread.join();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_TaskBaseline)->UseRealTime();

}  // namespace
}  // namespace muster
