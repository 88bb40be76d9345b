// GroupTest: nodes with scopes of process groups on a wire in memory, for the
// cases of pg and syn.
#ifndef MUSTER_TESTS_CONFORMANCE_OTP_GROUP_FIXTURE_H_
#define MUSTER_TESTS_CONFORMANCE_OTP_GROUP_FIXTURE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/group/group_scope.h"
#include "cluster/group/groups.h"
#include "gtest/gtest.h"
#include "node/process/context.h"
#include "node/process/runtime.h"
#include "node/types/exit_reason.h"
#include "node/types/info.h"
#include "node/types/pid.h"
#include "tests/testkit/script_server.h"
#include "tests/testkit/sim_world.h"
#include "tests/unit/node/peer/test_net.h"

namespace muster {

// Lets a test run code inside a process.
struct Do {
  explicit Do(std::function<void(Context&)> r) : run(std::move(r)) {}
  std::function<void(Context&)> run;
};

// A process that does what it is told and keeps the events that it gets.
struct Puppet {
  Pid pid;
  std::shared_ptr<std::vector<GroupEvent>> events =
      std::make_shared<std::vector<GroupEvent>>();
};

class GroupTest : public ::testing::Test {
 protected:
  // One node with the default scope, unless `scope` is false.
  struct Node {
    std::string name;
    uint64_t incarnation;
    std::unique_ptr<TestNode> node;
    Pid scope;
    const GroupScope* body = nullptr;
  };

  Node& Up(const std::string& name, bool scope = true) {
    Node& node = nodes_[name];
    node.name = name;
    node.node = std::make_unique<TestNode>(&world_, &net_, &directory_, name,
                                           Epoch{1, ++node.incarnation});
    if (scope) StartScope(name);
    return node;
  }
  void StartScope(const std::string& name,
                  GroupScopeOptions options = GroupScopeOptions()) {
    Node& node = nodes_[name];
    const std::string scope = options.scope;
    options.nodes = [this] {
      std::vector<std::string> names;
      for (const auto& [n, address] : directory_.nodes_) names.push_back(n);
      return names;
    };
    auto body = std::make_unique<GroupScope>(std::move(options), name,
                                             &node.node->runtime.attachments());
    const GroupScope* const raw = body.get();
    SpawnOptions spawn;
    spawn.local_name = ScopeName(scope);
    const Pid pid = node.node->runtime.Spawn(std::move(body), Payload(),
                                             std::move(spawn), nullptr);
    if (scope != kDefaultScope) return;
    node.body = raw;
    node.scope = pid;
  }
  // As SIGKILL of the node.
  void Down(const std::string& name) {
    nodes_[name].node.reset();
    directory_.nodes_.erase(name);
    net_.CutNode(name);
    Settle();
  }
  // Nobody reaches this node any more, and it reaches nobody.
  void Split(const std::string& name) {
    for (const auto& [other, node] : nodes_) {
      if (other != name) net_.Block(name, other);
    }
    Settle();
  }
  // Only these two do not reach each other.
  void Isolate(const std::string& one, const std::string& two) {
    net_.Block(one, two);
    Settle();
  }
  void Heal() {
    net_.blocked_.clear();
    Settle();
  }
  // Long enough for the look for other nodes and all that follows.
  void Settle() { world_.RunFor(absl::Seconds(5)); }

  Runtime& runtime(const std::string& name) {
    return nodes_[name].node->runtime;
  }
  Puppet Spawn(const std::string& name) {
    Puppet puppet;
    Script script;
    script.info = [events = puppet.events](Info info, Context& self) -> Next {
      if (const Do* what = info.As<Do>()) {
        what->run(self);
      } else if (const GroupEvent* event = info.As<GroupEvent>()) {
        events->push_back(*event);
      }
      return NoReply();
    };
    puppet.pid = runtime(name).Spawn(ScriptServer::Make(std::move(script)),
                                     Payload(), SpawnOptions(), nullptr);
    world_.RunReady();
    return puppet;
  }
  void Run(const Puppet& puppet, std::function<void(Context&)> run) {
    runtime(puppet.pid.node).SendLocal(puppet.pid, Info(Do(std::move(run))));
  }
  // Runs `ask` inside the process and waits for what it gives.
  template <typename T>
  T Ask(const Puppet& puppet, std::function<Pending<T>(Groups&)> ask,
        const std::string& scope = std::string(kDefaultScope)) {
    auto result = std::make_shared<std::optional<T>>();
    Run(puppet, [result, ask, scope](Context& self) {
      Groups groups(self, scope);
      ask(groups).Then(
          [result](T value) { result->emplace(std::move(value)); });
    });
    EXPECT_TRUE(
        world_.RunUntil([&] { return result->has_value(); }, absl::Minutes(1)));
    return **result;
  }
  absl::Status Join(const Puppet& puppet, const std::string& group,
                    const std::string& scope = std::string(kDefaultScope)) {
    return Ask<absl::Status>(
        puppet, [group](Groups& groups) { return groups.Join(group); }, scope);
  }
  absl::Status JoinWith(const Puppet& puppet, const std::string& group,
                        int64_t meta) {
    return Ask<absl::Status>(puppet, [group, meta](Groups& groups) {
      return groups.JoinWith(group, Payload::Of(MakeInt64(meta)));
    });
  }
  absl::Status SetMeta(const Puppet& puppet, const std::string& group,
                       int64_t meta) {
    return Ask<absl::Status>(puppet, [group, meta](Groups& groups) {
      return groups.SetMeta(group, Payload::Of(MakeInt64(meta)));
    });
  }
  absl::StatusOr<GroupMonitor> MonitorAll(const Puppet& puppet) {
    return Ask<absl::StatusOr<GroupMonitor>>(
        puppet, [](Groups& groups) { return groups.MonitorAll(); });
  }
  absl::Status JoinAll(const Puppet& via, const std::string& group,
                       std::vector<Pid> pids) {
    return Ask<absl::Status>(via, [group, pids](Groups& groups) {
      return groups.Join(group, pids);
    });
  }
  absl::Status Leave(const Puppet& puppet, const std::string& group) {
    return Ask<absl::Status>(
        puppet, [group](Groups& groups) { return groups.Leave(group); });
  }
  absl::Status LeaveAll(const Puppet& via, const std::string& group,
                        std::vector<Pid> pids) {
    return Ask<absl::Status>(via, [group, pids](Groups& groups) {
      return groups.Leave(group, pids);
    });
  }
  void Kill(const Pid& pid) {
    runtime(pid.node).SendExit(Pid(), pid, ExitReason::Kill());
    world_.RunReady();
  }
  std::shared_ptr<GroupTable> Table(
      const std::string& name,
      const std::string& scope = std::string(kDefaultScope)) {
    return runtime(name).attachments().Get<GroupTable>(ScopeName(scope));
  }
  std::vector<Pid> Members(const std::string& name, const std::string& group) {
    return Table(name)->Members(group);
  }
  std::vector<std::string> Which(const std::string& name) {
    return Table(name)->Groups();
  }

  SimWorld world_{1};
  TestNet net_;
  TestDirectory directory_;
  std::map<std::string, Node> nodes_;
};

// The events of `puppet` since the last look, as (kind, group, pids).
inline std::vector<std::pair<std::string, std::vector<Pid>>> Take(
    const Puppet& puppet) {
  std::vector<std::pair<std::string, std::vector<Pid>>> taken;
  for (const GroupEvent& event : *puppet.events) {
    const char* const kind = event.kind == GroupEvent::Kind::kJoin    ? "+"
                             : event.kind == GroupEvent::Kind::kLeave ? "-"
                                                                      : "~";
    taken.emplace_back(absl::StrCat(kind, event.group), event.pids);
  }
  puppet.events->clear();
  return taken;
}

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_OTP_GROUP_FIXTURE_H_
