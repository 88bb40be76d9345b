// GlobalFixture: cluster-wide names on a simulated cluster, and sides of it
// that are cut off from the store.
#ifndef MUSTER_TESTS_CONFORMANCE_OTP_GLOBAL_FIXTURE_H_
#define MUSTER_TESTS_CONFORMANCE_OTP_GLOBAL_FIXTURE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/gen_server/start.h"
#include "node/process/runtime.h"
#include "node/registry/name_registry.h"
#include "node/types/exit_reason.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "node/types/server_name.h"
#include "tests/testkit/script_server.h"
#include "tests/testkit/sim_cluster.h"

namespace muster {

class GlobalFixture : public ::testing::Test {
 protected:
  using Registration = std::shared_ptr<std::optional<absl::StatusOr<Epoch>>>;

  // All nodes have joined.
  explicit GlobalFixture(int nodes, uint64_t seed = 1,
                         SimClusterOptions options = SimClusterOptions())
      : cluster_(seed, nodes, std::move(options)) {
    cluster_.StartAll();
  }

  Runtime& RuntimeOf(int node) { return cluster_.node(node).runtime(); }
  GlobalRegistry& NamesOf(int node) { return cluster_.node(node).registry(); }
  std::vector<int> Joined() {
    std::vector<int> nodes;
    for (int i = 0; i < cluster_.size(); ++i) {
      if (cluster_.IsJoined(i)) nodes.push_back(i);
    }
    return nodes;
  }

  // -- Processes -----------------------------------------------------------
  absl::StatusOr<Pid> StartNamed(int node, ServerName name,
                                 Script script = Script()) {
    StartOptions options;
    options.name = std::move(name);
    auto started = std::make_shared<std::optional<absl::StatusOr<Pid>>>();
    Start(RuntimeOf(node), ScriptServer::Make(std::move(script)), Payload(),
          std::move(options))
        .Then([started](absl::StatusOr<Pid> pid) { started->emplace(pid); });
    cluster_.RunUntil([&] { return started->has_value(); });
    if (!started->has_value()) return absl::UnknownError("never started");
    return **started;
  }
  Pid Spawn(int node, Script script = Script()) {
    const absl::StatusOr<Pid> pid =
        StartNamed(node, ServerName(), std::move(script));
    EXPECT_TRUE(pid.ok()) << pid.status();
    return *pid;
  }
  bool Alive(int node, const Pid& pid) {
    return cluster_.IsJoined(node) && RuntimeOf(node).Find(pid) != nullptr;
  }
  void Kill(int node, const Pid& pid) {
    RuntimeOf(node).SendExit(Pid(), pid, ExitReason::Kill());
    EXPECT_TRUE(cluster_.RunUntil([&] { return !Alive(node, pid); }));
  }

  // -- Names ---------------------------------------------------------------
  Registration StartRegister(int node, absl::string_view name, const Pid& pid) {
    auto answer = std::make_shared<std::optional<absl::StatusOr<Epoch>>>();
    NamesOf(node).Register(name, pid, [answer](absl::StatusOr<Epoch> epoch) {
      answer->emplace(std::move(epoch));
    });
    return answer;
  }
  absl::StatusOr<Epoch> Await(const Registration& answer) {
    cluster_.RunUntil([&] { return answer->has_value(); });
    if (!answer->has_value()) return absl::UnknownError("no answer");
    return **answer;
  }
  absl::StatusOr<Epoch> Register(int node, absl::string_view name,
                                 const Pid& pid) {
    return Await(StartRegister(node, name, pid));
  }
  absl::Status Unregister(int node, absl::string_view name) {
    auto answer = std::make_shared<std::optional<absl::Status>>();
    NamesOf(node).Unregister(name, [answer](absl::Status status) {
      answer->emplace(std::move(status));
    });
    cluster_.RunUntil([&] { return answer->has_value(); });
    if (!answer->has_value()) return absl::UnknownError("no answer");
    return **answer;
  }
  Pid WhereIs(int node, absl::string_view name) {
    const std::optional<NameEntry> entry = NamesOf(node).WhereIs(name);
    return entry.has_value() ? entry->pid : Pid();
  }
  // True once each of these nodes says `pid`; the empty pid: nobody.
  bool See(const std::vector<int>& nodes, absl::string_view name,
           const Pid& pid) {
    return cluster_.RunUntil([&] {
      for (const int node : nodes) {
        if (!cluster_.IsJoined(node) || WhereIs(node, name) != pid) {
          return false;
        }
      }
      return true;
    });
  }
  bool AllSee(absl::string_view name, const Pid& pid) {
    std::vector<int> all;
    for (int i = 0; i < cluster_.size(); ++i) {
      if (cluster_.IsUp(i)) all.push_back(i);
    }
    return See(all, name, pid);
  }
  // What a call by name through `node` answers: its own argument.
  absl::StatusOr<int64_t> Call(int node, const ServerRef& to, int64_t value) {
    absl::StatusOr<Int64> reply =
        cluster_.Call<Int64>(node, to, kScriptCall, MakeInt64(value));
    if (!reply.ok()) return reply.status();
    return reply->value();
  }

  // -- Sides ---------------------------------------------------------------
  void CutLink(int a, int b) {
    cluster_.network().Cut(SimCluster::Address(a), SimCluster::Address(b));
  }
  void HealLink(int a, int b) {
    cluster_.network().Heal(SimCluster::Address(a), SimCluster::Address(b));
  }
  // From the store and from all other nodes.
  void CutOff(int node) {
    cluster_.store().Disconnect(cluster_.store_client(node));
    for (int i = 0; i < cluster_.size(); ++i) {
      if (i != node) CutLink(node, i);
    }
  }
  // Runs until every node that is up has joined (again).
  void Heal(int node) {
    cluster_.network().HealAll();
    if (cluster_.IsUp(node)) {
      cluster_.store().Reconnect(cluster_.store_client(node));
    }
    EXPECT_TRUE(cluster_.RunUntil([&] {
      for (int i = 0; i < cluster_.size(); ++i) {
        if (cluster_.IsUp(i) && !cluster_.IsJoined(i)) return false;
      }
      return true;
    }));
  }

  SimCluster cluster_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_OTP_GLOBAL_FIXTURE_H_
