// SimNodes: a few nodes on one simulated network, each with a runtime, peers
// and a router, and processes that do what a test tells them and note what
// they hear. For tests of what processes of different nodes are to each other;
// whole clusters are SimCluster's.
#ifndef MUSTER_TESTS_TESTKIT_SIM_NODES_H_
#define MUSTER_TESTS_TESTKIT_SIM_NODES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/fence.h"
#include "node/base/scheduler.h"
#include "node/peer/node_router.h"
#include "node/peer/peers.h"
#include "node/process/context.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/types/exit_reason.h"
#include "node/types/pid.h"
#include "tests/testkit/capture_logger.h"
#include "tests/testkit/fake_name_registry.h"
#include "tests/testkit/script_server.h"
#include "tests/testkit/sim_transport.h"
#include "tests/testkit/sim_world.h"

namespace muster {

// Who is a member, for all nodes; a node's address is its name.
class SimDirectory final : public PeerDirectory {
 public:
  std::optional<PeerAddress> Find(absl::string_view node) const override;
  std::map<std::string, Epoch> members;
};

// One incarnation of one node. LIFETIME: within its SimNodes.
class SimNode {
 public:
  SimNode(SimWorld* world, SimNetwork* network, const SimDirectory* directory,
          FakeNameRegistry* names, const std::string& name, Epoch epoch,
          PeerOptions options, std::optional<absl::Duration> guard);
  ~SimNode();

  // Loses everything at once, as with SIGKILL; its peers notice.
  void Die();
  bool dead() const { return peers == nullptr; }

  SimWorld* const world;
  SimNetwork* const network;
  const std::string name;
  Scheduler* const lane;
  CaptureLogger log;
  Fence fence;
  std::unique_ptr<SimTransport> transport;
  Runtime runtime;
  std::unique_ptr<Peers> peers;
  std::unique_ptr<NodeRouter> router;
};

// LIFETIME: destroys its nodes. THREADS: the one that made it.
class SimNodes {
 public:
  using Job = std::function<void(Context&)>;

  explicit SimNodes(uint64_t seed = 1, SimNetworkOptions network = {});
  ~SimNodes();
  SimNodes(const SimNodes&) = delete;
  SimNodes& operator=(const SimNodes&) = delete;

  // The node of that name, with a greater epoch each time; an earlier
  // incarnation must be dead.
  SimNode& AddNode(const std::string& name,
                   PeerOptions options = PeerOptions());
  SimNode& node(const std::string& name) { return *nodes_.at(name); }
  SimNode& NodeOf(const Pid& pid) { return node(pid.node); }

  // A process that notes what it hears, in Seen():
  //   "exit R", "down R", "nodeup N", "nodedown N R", "suspect", "cleared",
  //   "cast N", "info N" (an Int64); and its end in State().
  Pid Start(SimNode& node, bool trap = false, absl::string_view name = "",
            Pid link_to = Pid());
  // As Start, with a cluster-wide name.
  Pid StartGlobal(SimNode& node, const std::string& name);
  // Runs `job` in the process, and what follows.
  void In(const Pid& pid, Job job);
  // Only queues it.
  void Post(const Pid& pid, Job job);
  // The process handles nothing for a second: what comes, queues up.
  void Hold(const Pid& pid);
  // Until nobody is held any more, and what follows.
  void AfterHold() { world.RunFor(absl::Seconds(2)); }
  // Ends the process with `reason`, which it has not trapped.
  void Stop(const Pid& pid, const ExitReason& reason);
  void SendExit(const Pid& to, const ExitReason& reason);

  // Until what is under way has arrived.
  void Settle() { world.RunFor(absl::Milliseconds(200)); }

  std::vector<std::string>& Seen(const Pid& pid) { return seen_[pid]; }
  std::vector<Down>& Downs(const Pid& pid) { return downs_[pid]; }
  std::vector<Exit>& Exits(const Pid& pid) { return exits_[pid]; }
  // "alive", or the reason it ended with; "gone" with its node.
  std::string State(const Pid& pid);
  // "" if no node keeps links, monitors or subscriptions; else who and what.
  std::string Residue();

  // Nodes that are added have a fence that opens for an hour and can be closed;
  // nullopt: one that is open for ever.
  std::optional<absl::Duration> guard;

  SimWorld world;
  SimNetwork network;
  SimDirectory directory;
  FakeNameRegistry names;

 private:
  Script Worker(bool trap);

  std::map<std::string, std::unique_ptr<SimNode>> nodes_;
  std::vector<std::unique_ptr<SimNode>> buried_;
  uint64_t next_revision_ = 10;
  std::map<Pid, std::vector<std::string>> seen_;
  std::map<Pid, std::vector<Down>> downs_;
  std::map<Pid, std::vector<Exit>> exits_;
  std::map<Pid, ExitReason> ended_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_TESTKIT_SIM_NODES_H_
