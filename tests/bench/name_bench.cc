// Finding processes: by local name, by key in a Registry, in process groups.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "benchmark/benchmark.h"
#include "cluster/group/group_scope.h"
#include "cluster/group/groups.h"
#include "node/base/check.h"
#include "node/gen_server/start.h"
#include "node/process/context.h"
#include "node/process/runtime.h"
#include "node/registry/registry.h"
#include "node/types/info.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "tests/bench/crew.h"
#include "tests/bench/mutex_queue.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

constexpr int kNames = 1'000;
constexpr int kGroup = 100;

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (int i = 0; i < kNames; ++i) names.push_back(absl::StrCat("server_", i));
  return names;
}

// A pid of nobody.
Pid PidOf(int number) {
  Pid pid;
  pid.node = "a";
  pid.number = static_cast<uint64_t>(number);
  return pid;
}

// -- One name -----------------------------------------------------------------

void BM_NameLookup(benchmark::State& state) {
  ThreadRuntime node(2);
  const std::vector<std::string> names = Names();
  for (const std::string& name : names) {
    StartOptions options;
    options.name = name;
    MUSTER_CHECK(
        node.Start(ScriptServer::Make(), Payload(), std::move(options)).ok(),
        "no server");
  }
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        node.runtime().WhereIsLocal(names[++i % names.size()]));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_NameLookup);

void BM_RegistryLookup(benchmark::State& state) {
  Registry registry({.name = "names"});
  ThreadRuntime node(2);
  MUSTER_CHECK(node.Start(registry.MakeProcess()).ok(), "no registry");
  const std::vector<std::string> names = Names();
  Crew holder(&node, 1, [&](int64_t, Context& self, Crew& all) {
    for (const std::string& name : names) {
      MUSTER_CHECK(registry.Register(self, name).ok(), "no entry");
    }
    all.Done();
    return Next();
  });
  holder.Run(1);
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(registry.Lookup(names[++i % names.size()]));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_RegistryLookup);

void BM_NameBaseline(benchmark::State& state) {
  std::mutex mu;
  absl::flat_hash_map<std::string, Pid> table;
  const std::vector<std::string> names = Names();
  for (int i = 0; i < kNames; ++i) table.emplace(names[i], PidOf(i));
  size_t i = 0;
  for (auto _ : state) {
    const std::lock_guard<std::mutex> lock(mu);
    const Pid found = table.find(names[++i % names.size()])->second;
    benchmark::DoNotOptimize(found);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_NameBaseline);

// -- All that have a key ------------------------------------------------------

struct Tick {};

// A hundred processes get a message each.
void BM_RegistryDispatch(benchmark::State& state) {
  std::atomic<int> left = 0;
  MutexQueue<bool> all_have_it;
  Registry registry({.name = "topics", .kind = RegistryKind::kDuplicateByPid});
  ThreadRuntime node(2);
  MUSTER_CHECK(node.Start(registry.MakeProcess()).ok(), "no registry");
  for (int i = 0; i < kGroup; ++i) {
    Script script;
    script.init = [&](Context& self) -> InitResult {
      MUSTER_CHECK(registry.Register(self, "topic").ok(), "no entry");
      return Ok();
    };
    script.info = [&](Info, Context&) {
      if (--left == 0) all_have_it.Push(true);
      return Next();
    };
    MUSTER_CHECK(node.Start(ScriptServer::Make(std::move(script))).ok(),
                 "no server");
  }
  for (auto _ : state) {
    left = kGroup;
    registry.Dispatch("topic", [&](absl::Span<const RegistryEntry> entries) {
      for (const RegistryEntry& entry : entries) {
        node.runtime().SendLocal(entry.pid, Info(Tick()));
      }
    });
    all_have_it.Pop();
  }
  state.SetItemsProcessed(state.iterations() * kGroup);
}
BENCHMARK(BM_RegistryDispatch)->UseRealTime();

// A list out of a map, and a queue for each; nobody wakes to read them.
void BM_DispatchBaseline(benchmark::State& state) {
  struct Inbox {
    std::mutex mu;
    std::deque<std::unique_ptr<Tick>> messages;
  };
  std::mutex mu;
  absl::flat_hash_map<std::string, std::vector<std::shared_ptr<Inbox>>> table;
  for (int i = 0; i < kGroup; ++i) {
    table["topic"].push_back(std::make_shared<Inbox>());
  }
  for (auto _ : state) {
    std::vector<std::shared_ptr<Inbox>> found;
    {
      const std::lock_guard<std::mutex> lock(mu);
      found = table.find("topic")->second;
    }
    for (const auto& inbox : found) {
      const std::lock_guard<std::mutex> lock(inbox->mu);
      inbox->messages.push_back(std::make_unique<Tick>());
    }
    for (const auto& inbox : found) {
      const std::lock_guard<std::mutex> lock(inbox->mu);
      inbox->messages.pop_front();
    }
  }
  state.SetItemsProcessed(state.iterations() * kGroup);
}
BENCHMARK(BM_DispatchBaseline);

// -- Process groups -----------------------------------------------------------

void StartScope(ThreadRuntime& node) {
  StartOptions options;
  options.name = ScopeName(kDefaultScope);
  auto scope =
      std::make_unique<GroupScope>(GroupScopeOptions(), node.runtime().node(),
                                   &node.runtime().attachments());
  MUSTER_CHECK(node.Start(std::move(scope), Payload(), std::move(options)).ok(),
               "no scope");
}

// A hundred processes that stay in the group.
std::unique_ptr<Crew> Members(ThreadRuntime* node) {
  auto crew = std::make_unique<Crew>(
      node, kGroup, [](int64_t, Context& self, Crew& all) -> Next {
        Groups groups(self);
        const absl::Status joined = co_await groups.Join("group");
        MUSTER_CHECK(joined.ok(), "not joined");
        all.Done();
        co_return Next();
      });
  crew->Run(1);
  return crew;
}

void BM_GroupJoinLeave(benchmark::State& state) {
  ThreadRuntime node(2);
  StartScope(node);
  const std::unique_ptr<Crew> members = Members(&node);
  constexpr int64_t kRounds = 100;
  Crew crew(&node, 1, [](int64_t count, Context& self, Crew& all) -> Next {
    Groups groups(self);
    for (int64_t i = 0; i < count; ++i) {
      const absl::Status joined = co_await groups.Join("group");
      const absl::Status left = co_await groups.Leave("group");
      MUSTER_CHECK(joined.ok() && left.ok(), "not joined and left");
    }
    all.Done();
    co_return Next();
  });
  for (auto _ : state) crew.Run(kRounds);
  state.SetItemsProcessed(state.iterations() * kRounds);
}
BENCHMARK(BM_GroupJoinLeave)->UseRealTime();

void BM_GroupMembers(benchmark::State& state) {
  ThreadRuntime node(2);
  StartScope(node);
  const std::unique_ptr<Crew> members = Members(&node);
  Crew crew(&node, 1, [](int64_t count, Context& self, Crew& all) {
    const Groups groups(self);
    for (int64_t i = 0; i < count; ++i) {
      MUSTER_CHECK(groups.Members("group").size() == kGroup, "no group");
    }
    all.Done();
    return Next();
  });
  for (auto _ : state) crew.Run(kBatch);
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_GroupMembers)->UseRealTime();

// A list in a map: one more and less (0), or copied (1).
void BM_GroupBaseline(benchmark::State& state) {
  std::mutex mu;
  absl::flat_hash_map<std::string, std::vector<Pid>> groups;
  for (int i = 0; i < kGroup; ++i) groups["group"].push_back(PidOf(i));
  for (auto _ : state) {
    if (state.range(0) == 0) {
      {
        const std::lock_guard<std::mutex> lock(mu);
        groups["group"].push_back(PidOf(kGroup));
      }
      const std::lock_guard<std::mutex> lock(mu);
      groups["group"].pop_back();
    } else {
      const std::lock_guard<std::mutex> lock(mu);
      const std::vector<Pid> members = groups["group"];
      benchmark::DoNotOptimize(members.data());
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_GroupBaseline)->Arg(0)->Arg(1);

}  // namespace
}  // namespace muster
