// Cluster-wide names: looking one up among many, claiming many at once.
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "cluster/registry/global_registry.h"
#include "cluster/store/embedded_store.h"
#include "cluster/store/store.h"
#include "cluster/store/store_factory.h"
#include "node/base/check.h"
#include "node/base/clock.h"
#include "node/base/thread_scheduler.h"
#include "tests/bench/mutex_queue.h"
#include "tests/testkit/etcd_server.h"
#include "tests/testkit/real_names.h"

namespace muster {
namespace {

constexpr size_t kNames = 100'000;
constexpr size_t kWindow = 2'000;

// One node with kNames names, for all benchmarks of this file that look up.
class Names {
 public:
  static Names& Get() {
    static auto* const names = new Names;
    return *names;
  }
  GlobalRegistry& registry() { return node_.registry(); }
  const std::vector<std::string>& names() const { return names_; }

 private:
  Names()
      : scheduler_(&clock_),
        node_(&scheduler_, "a", std::make_shared<EmbeddedStore>(scheduler_)) {
    node_.Join();
    node_.Follow();
    node_.TakeMany("name", kNames, kWindow);
    for (size_t i = 0; i < kNames; ++i)
      names_.push_back(absl::StrCat("name", i));
  }

  SystemClock clock_;
  ThreadScheduler scheduler_;
  RealNames node_;
  std::vector<std::string> names_;
};

void BM_GlobalNameLookup(benchmark::State& state) {
  Names& names = Names::Get();
  // Far apart, as calls to many servers are; each thread its own way.
  size_t i = static_cast<size_t>(state.thread_index()) * 4711;
  for (auto _ : state) {
    i = (i + 7919) % kNames;
    benchmark::DoNotOptimize(names.registry().WhereIs(names.names()[i]));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_GlobalNameLookup)->Threads(1)->Threads(2)->UseRealTime();

// 64 claims at once and their answers.
void BM_Register64(benchmark::State& state) {
  SystemClock clock;
  ThreadScheduler scheduler(&clock);
  auto server = EtcdServer::Start();
  MUSTER_CHECK(server.ok(), "no etcd");
  auto store = MakeStore((*server)->spec(), scheduler);
  MUSTER_CHECK(store.ok(), "no store");
  RealNames node(&scheduler, "a", std::shared_ptr<Store>(*std::move(store)));
  node.Join();
  node.Follow();
  size_t round = 0;
  for (auto _ : state) {
    node.TakeMany(absl::StrCat("r", ++round, "/"), 64, 64);
  }
  state.SetItemsProcessed(state.iterations() * 64);
}
BENCHMARK(BM_Register64)->UseRealTime();

// A transaction for each, all at once.
void BM_Register64Baseline(benchmark::State& state) {
  SystemClock clock;
  ThreadScheduler scheduler(&clock);
  auto server = EtcdServer::Start();
  MUSTER_CHECK(server.ok(), "no etcd");
  auto store = MakeStore((*server)->spec(), scheduler);
  MUSTER_CHECK(store.ok(), "no store");
  MutexQueue<bool> answers;
  size_t round = 0;
  for (auto _ : state) {
    ++round;
    for (int i = 0; i < 64; ++i) {
      const std::string key = absl::StrCat("r", round, "/", i);
      Txn txn;
      txn.compares.push_back(Compare::Absent(key));
      txn.then.push_back(StoreOp::Put(key, std::string(100, 'x')));
      (*store)->Commit(
          std::move(txn), absl::Seconds(10),
          [&](absl::StatusOr<TxnResult> result) { answers.Push(result.ok()); });
    }
    for (int i = 0; i < 64; ++i) MUSTER_CHECK(answers.Pop(), "not committed");
  }
  state.SetItemsProcessed(state.iterations() * 64);
}
BENCHMARK(BM_Register64Baseline)->UseRealTime();

}  // namespace
}  // namespace muster
