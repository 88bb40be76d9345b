// Links, monitors and aliases: made and undone, which is two operations on
// tables under locks.
#include <cstdint>
#include <functional>
#include <mutex>

#include "absl/container/flat_hash_set.h"
#include "benchmark/benchmark.h"
#include "node/base/check.h"
#include "node/process/context.h"
#include "node/process/signals.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "tests/bench/crew.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

// A process does `work` to another one.
void InProcess(benchmark::State& state,
               const std::function<void(Context&, const Pid&)>& work) {
  ThreadRuntime node(2);
  const Pid other = node.Start(ScriptServer::Make()).value();
  Crew crew(&node, 1, [&](int64_t count, Context& self, Crew& all) {
    for (int64_t i = 0; i < count; ++i) work(self, other);
    all.Done();
    return Next();
  });
  for (auto _ : state) crew.Run(kBatch);
  state.SetItemsProcessed(state.iterations() * kBatch);
}

void BM_LinkUnlink(benchmark::State& state) {
  InProcess(state, [](Context& self, const Pid& other) {
    MUSTER_CHECK(self.Link(other).ok(), "no link");
    self.Unlink(other);
  });
}
BENCHMARK(BM_LinkUnlink)->UseRealTime();

void BM_MonitorDemonitor(benchmark::State& state) {
  InProcess(state, [](Context& self, const Pid& other) {
    self.Demonitor(self.Monitor(other));
  });
}
BENCHMARK(BM_MonitorDemonitor)->UseRealTime();

void BM_AliasUnalias(benchmark::State& state) {
  InProcess(state, [](Context& self, const Pid&) {
    MUSTER_CHECK(self.Unalias(self.Alias()), "no alias");
  });
}
BENCHMARK(BM_AliasUnalias)->UseRealTime();

// Both ends in a set under a mutex each.
void BM_LinkBaseline(benchmark::State& state) {
  struct End {
    std::mutex mu;
    absl::flat_hash_set<uint64_t> others;
    void Change(uint64_t other, bool linked) {
      const std::lock_guard<std::mutex> lock(mu);
      if (linked) {
        others.insert(other);
      } else {
        others.erase(other);
      }
    }
  };
  End a;
  End b;
  for (auto _ : state) {
    for (const bool linked : {true, false}) {
      a.Change(2, linked);
      b.Change(1, linked);
    }
    benchmark::DoNotOptimize(a.others.size());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_LinkBaseline);

}  // namespace
}  // namespace muster
