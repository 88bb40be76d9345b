// OtpCluster: a few nodes in virtual time on a wire in memory, with the same
// cluster-wide names and one via registry, for cases that need other nodes.
#ifndef MUSTER_TESTS_CONFORMANCE_OTP_OTP_CLUSTER_H_
#define MUSTER_TESTS_CONFORMANCE_OTP_OTP_CLUSTER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/process/runtime.h"
#include "node/process/via.h"
#include "node/types/exit_reason.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "tests/conformance/otp/actor.h"
#include "tests/testkit/script_server.h"
#include "tests/testkit/sim_world.h"
#include "tests/unit/node/peer/test_net.h"

namespace muster {

// Keys in a map; the same on every node.
class MapVia final : public ViaRegistry {
 public:
  Pid WhereIs(absl::string_view key) const override {
    const auto at = pids_.find(std::string(key));
    return at == pids_.end() ? Pid() : at->second;
  }
  void Register(absl::string_view key, const Pid& pid,
                absl::AnyInvocable<void(absl::Status)> done) override;
  void Unregister(absl::string_view key, const Pid& pid) override;

 private:
  std::map<std::string, Pid> pids_;
};

// By which names a server is to be found, beside its pid.
struct Names {
  std::string local;
  std::string global;
  std::string via;  // A key in "reg".
};

class OtpCluster {
 public:
  explicit OtpCluster(const std::vector<std::string>& nodes);
  ~OtpCluster();
  OtpCluster(const OtpCluster&) = delete;
  OtpCluster& operator=(const OtpCluster&) = delete;

  SimWorld& world() { return world_; }
  TestNet& net() { return net_; }
  TestNode& node(const std::string& name) { return *nodes_.at(name); }
  Runtime& runtime(const std::string& name) { return node(name).runtime; }
  BootTime Now(const std::string& name) { return runtime(name).clock().Boot(); }

  void RunReady() { world_.RunReady(); }
  void RunFor(absl::Duration span) { world_.RunFor(span); }
  bool RunUntil(absl::FunctionRef<bool()> done) {
    return world_.RunUntil(done, absl::Hours(1));
  }

  // Started when this returns. Names go when it ends.
  Pid Start(const std::string& node, std::unique_ptr<ProcessBody> body,
            Names names = Names());
  Pid StartScript(const std::string& node, Script script = Script(),
                  Names names = Names()) {
    return Start(node, ScriptServer::Make(std::move(script)), std::move(names));
  }
  Pid StartActor(const std::string& node, Actor::OnInfo on_info = nullptr) {
    return Start(node, std::make_unique<Actor>(std::move(on_info)));
  }
  // Has an actor run a test's lines, to their end; the test fails if they
  // do not end within an hour of virtual time.
  void Do(const Pid& actor, Act act);
  // Why the process ended; runs until it has.
  ExitReason AwaitEnd(const Pid& pid);

  // The node is gone, as when its host loses power: its streams break and it
  // cannot be reached. Its names stand until FreeNames.
  void KillNode(const std::string& name);
  // What the cluster does when it has found the node dead.
  void FreeNames(const std::string& node);
  // The streams between all nodes break; they can connect again.
  void CutAll() { net_.CutAll(); }

 private:
  struct Ended {
    std::optional<ExitReason> reason;
  };

  void Free(const std::string& global, const std::string& via, const Pid& pid);

  SimWorld world_{1};
  TestNet net_;
  TestDirectory directory_;
  MapVia via_;
  uint64_t next_revision_ = 100;
  std::map<Pid, std::shared_ptr<Ended>> ended_;
  std::map<std::string, Pid> globals_;
  std::map<std::string, std::unique_ptr<TestNode>> nodes_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_OTP_OTP_CLUSTER_H_
