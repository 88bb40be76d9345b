// RegistryFixture: registries on a simulated node, and processes that run a
// test's own functions as callbacks.
#ifndef MUSTER_TESTS_CONFORMANCE_OTP_REGISTRY_FIXTURE_H_
#define MUSTER_TESTS_CONFORMANCE_OTP_REGISTRY_FIXTURE_H_

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "node/process/context.h"
#include "node/process/result.h"
#include "node/registry/registry.h"
#include "node/types/exit_reason.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {

class RegistryFixture : public ::testing::Test {
 protected:
  using Function = std::function<Next(Context&)>;

  // Runs until the test ends. Its process is KeeperOf(it).
  Registry& StartRegistry(RegistryOptions options) {
    registries_.push_back(std::make_unique<Registry>(std::move(options)));
    Registry& registry = *registries_.back();
    const absl::StatusOr<Pid> pid =
        node_.Start(registry.MakeProcess(), registry.options().name);
    EXPECT_TRUE(pid.ok()) << pid.status();
    return registry;
  }
  Registry& StartRegistry(RegistryKind kind, int partitions = 1) {
    RegistryOptions options;
    options.name = "registry";
    options.kind = kind;
    options.partitions = partitions;
    return StartRegistry(std::move(options));
  }
  Pid KeeperOf(const Registry& registry) {
    return node_.runtime().WhereIsLocal(registry.options().name);
  }

  // A process that runs what Do() hands it; infos go to `inbox`, if given.
  Pid Spawn(std::vector<Info>* inbox = nullptr, absl::string_view name = "") {
    Script script;
    script.info = [inbox](Info info, Context& self) -> Next {
      if (const Run* run = info.As<Run>()) return (*run->function)(self);
      if (inbox != nullptr) inbox->push_back(std::move(info));
      return NoReply();
    };
    const absl::StatusOr<Pid> pid =
        node_.Start(ScriptServer::Make(std::move(script)), name);
    EXPECT_TRUE(pid.ok()) << pid.status();
    return *pid;
  }
  // Runs `function` as a callback of `pid` and then what can run without time
  // moving.
  void Do(const Pid& pid, std::function<void(Context&)> function) {
    DoNext(pid, [f = std::move(function)](Context& self) -> Next {
      f(self);
      return NoReply();
    });
  }
  // As Do; the function may be a coroutine, which lives as long as the test.
  void DoNext(const Pid& pid, Function function) {
    Later(pid, std::move(function));
    node_.RunReady();
  }
  void Later(const Pid& pid, Function function) {
    functions_.push_back(std::move(function));
    node_.runtime().Send(pid, Info(Run{&functions_.back()}));
  }

  absl::StatusOr<Pid> Register(Registry& registry, const Pid& pid,
                               absl::string_view key,
                               SharedValue value = SharedValue()) {
    absl::StatusOr<Pid> owner = absl::UnknownError("never ran");
    Do(pid,
       [&](Context& self) { owner = registry.Register(self, key, value); });
    return owner;
  }
  void Unregister(Registry& registry, const Pid& pid, absl::string_view key) {
    Do(pid, [&](Context& self) { registry.Unregister(self, key); });
  }
  void Kill(const Pid& pid) {
    node_.runtime().SendExit(Pid(), pid, ExitReason::Kill());
    node_.RunReady();
    EXPECT_FALSE(node_.Alive(pid));
  }
  // What one who observes `pid` hears when it ends.
  std::shared_ptr<std::string> ReasonOfEnd(const Pid& pid) {
    auto reason = std::make_shared<std::string>();
    node_.runtime().ObserveExit(
        pid, [reason](const ExitReason& r) { *reason = r.ToString(); });
    return reason;
  }

  static std::vector<Pid> PidsOf(const RegistryEntries& entries) {
    std::vector<Pid> pids;
    for (const RegistryEntry& entry : entries) pids.push_back(entry.pid);
    return pids;
  }

 private:
  struct Run {
    const Function* function;
  };

  // Before the runtime: they outlive it.
  std::vector<std::unique_ptr<Registry>> registries_;
  std::deque<Function> functions_;

 protected:
  SimRuntime node_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_OTP_REGISTRY_FIXTURE_H_
