// Several requests at one time. Beside them: BM_CallManyBaseline/16.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "node/base/check.h"
#include "node/gen_server/multi_call.h"
#include "node/gen_server/send_request.h"
#include "node/gen_server/start.h"
#include "node/process/context.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "tests/bench/crew.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

constexpr size_t kMany = 16;
constexpr int64_t kRounds = 100;

// One server each, collected as they come.
void BM_SendRequestsAndCollect(benchmark::State& state) {
  ThreadRuntime node(2);
  std::vector<ServerRef> servers;
  for (size_t i = 0; i < kMany; ++i) {
    servers.emplace_back(node.Start(ScriptServer::Make()).value());
  }
  Crew crew(&node, 1, [&](int64_t count, Context& self, Crew& all) -> Next {
    for (int64_t round = 0; round < count; ++round) {
      RequestIds<size_t> ids;
      for (size_t i = 0; i < kMany; ++i) {
        ids.Add(SendRequest(self, servers[i], kScriptCall, MakeInt64(round)), i)
            .IgnoreError();
      }
      while (!ids.empty()) {
        auto got = co_await ids.Receive(self, absl::Seconds(5));
        MUSTER_CHECK(got.kind == CollectedKind::kResponse,
                     "a request was not answered");
      }
    }
    all.Done();
    co_return Next();
  });
  for (auto _ : state) crew.Run(kRounds);
  state.SetItemsProcessed(state.iterations() * kRounds *
                          static_cast<int64_t>(kMany));
}
BENCHMARK(BM_SendRequestsAndCollect)->UseRealTime();

// This node, given as often as there are servers to ask.
void BM_MultiCall(benchmark::State& state) {
  ThreadRuntime node(2);
  StartOptions options;
  options.name = "server";
  MUSTER_CHECK(
      node.Start(ScriptServer::Make(), Payload(), std::move(options)).ok(),
      "no server");
  const std::vector<std::string> nodes(kMany, node.runtime().node());
  Crew crew(&node, 1, [&](int64_t count, Context& self, Crew& all) -> Next {
    for (int64_t round = 0; round < count; ++round) {
      const absl::StatusOr<MultiCallResult<Int64>> got =
          co_await MultiCall<Int64>(self, nodes, "server", kScriptCall,
                                    MakeInt64(round), absl::Seconds(5));
      MUSTER_CHECK(got.ok() && got->bad_nodes.empty(), "a node did not answer");
    }
    all.Done();
    co_return Next();
  });
  for (auto _ : state) crew.Run(kRounds);
  state.SetItemsProcessed(state.iterations() * kRounds *
                          static_cast<int64_t>(kMany));
}
BENCHMARK(BM_MultiCall)->UseRealTime();

}  // namespace
}  // namespace muster
