// ClusterNode: one incarnation of one node, put together from its parts.
//
// Concrete classes meet here. The same object runs under a real scheduler,
// store and transport, and under simulated ones.
#ifndef MUSTER_CLUSTER_BOOT_CLUSTER_NODE_H_
#define MUSTER_CLUSTER_BOOT_CLUSTER_NODE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cluster/group/group_scope.h"
#include "cluster/membership/membership.h"
#include "cluster/registry/global_registry.h"
#include "cluster/service/admin.h"
#include "cluster/service/descriptor_cache.h"
#include "cluster/store/compactor.h"
#include "cluster/store/store.h"
#include "cluster/supervisor/supervisor_host.h"
#include "node/base/log.h"
#include "node/base/random.h"
#include "node/base/scheduler.h"
#include "node/base/strand.h"
#include "node/gen_server/server_type.h"
#include "node/peer/node_router.h"
#include "node/peer/peers.h"
#include "node/peer/transport.h"
#include "node/process/runtime.h"
#include "node/registry/global_via.h"
#include "node/supervisor/remote_tasks.h"
#include "node/supervisor/supervisor.h"

namespace muster {

// What a node runs beside the servers of the cluster's trees. Everything is
// made anew for each incarnation of the node.
struct LocalParts {
  // What other nodes may run here (erpc.h).
  std::vector<TaskType> tasks;
  // A tree of this node's own, started once it has joined (otp section 10). If
  // it gives up, that is logged, and the node goes on without it.
  std::optional<SupervisorSpec> application;
  // Scopes of process groups that this node takes part in. Each keeps a peer
  // stream to every other node of the cluster.
  std::vector<std::string> group_scopes = {std::string(kDefaultScope)};
};

struct ClusterNodeOptions {
  std::string cluster;
  std::string node;
  // Where others reach it: host:port.
  std::string address;
  // SPIFFE id of its certificate, for its record; empty: it has none.
  std::string identity;
  std::vector<ServerTypeInfo> types;
  std::string build;
  // Of the linked library, for `muster status`.
  std::string grpc_version;
  Profile profile;
  LocalParts local;
  // See NodeRouter::OnLost; may be empty.
  NodeRouter::Lost on_lost;
  // As in MembershipOptions.
  std::map<std::string, std::string> labels;
  std::string cluster_id_seen;
  // Called once, on a worker, as soon as this incarnation has an epoch and
  // before anything is served. May be empty.
  std::function<void(const Joined& joined)> on_joined;
  // MembershipOptions::reap_for_test.
  absl::Duration reap_for_test = absl::ZeroDuration();
  // As in MembershipOptions and MembershipListener.
  uint64_t min_generation = 0;
  bool raise_generation = false;
  std::function<std::optional<std::string>(const store::v1::NodeRecord& record,
                                           Epoch epoch)>
      proof_of_death;
  std::function<void(uint64_t generation)> on_generation;
  // As in MembershipOptions.
  std::map<std::string, uint64_t> known_before;
  // Called at most once, on a worker: a part without which this node is of no
  // use has ended, so that its OS process is to end and be started again; it
  // does not leave, others take what it had. Empty: the OS process ends here.
  std::function<void(absl::Status)> on_broken;
};

// LIFETIME: scheduler, random source, logger and transport outlive it; it owns
// the store. Before destruction: Leave (if it is to leave cleanly), Close,
// then stop the scheduler. THREADS: Start, Leave, Close by one thread; the
// accessors from any once Start has succeeded.
class ClusterNode {
 public:
  ClusterNode(ClusterNodeOptions options, std::unique_ptr<Store> store,
              Scheduler* scheduler, RandomSource* random, Logger* logger,
              Transport* transport);
  ~ClusterNode();
  ClusterNode(const ClusterNode&) = delete;
  ClusterNode& operator=(const ClusterNode&) = delete;

  // Joins the cluster and starts serving it; `done` comes once, on a worker.
  // Errors: Membership::Join's, and INVALID_ARGUMENT for bad options.
  // `on_reaped` is called at most once, on a worker, when this incarnation has
  // been taken for dead: Close it and start another.
  void Start(absl::AnyInvocable<void(absl::Status)> done,
             absl::AnyInvocable<void()> on_reaped);

  // Marks this node as draining and waits until the children of trees that run
  // here have moved to others and what came late for them has been sent on, or
  // `limit` has passed, or no other node can take what is left. `done` comes
  // once, on the strand, with the names that stay.
  void Drain(absl::Duration limit,
             absl::AnyInvocable<void(std::vector<std::string> left)> done);

  // Stops the children that run here, in no order, then ends the membership.
  // `done` comes once, on a worker or a thread of the store's. While it joins,
  // that is called off, and Start's `done` does not come.
  void Leave(absl::AnyInvocable<void()> done);

  // Ends everything but the store's last callbacks; nothing runs on the strand
  // any more. Not from a worker of a real scheduler.
  void Close();

  // Replaces every stream to other nodes by one that is made anew, and so with
  // the certificates of now; nobody notices. Before Start has succeeded it does
  // nothing. Any thread, until Close.
  void RenewStreams();

  Runtime& runtime() { return *runtime_; }
  GlobalRegistry& registry() { return *registry_; }
  DescriptorCache& descriptors() { return *descriptors_; }
  Membership& membership() { return *membership_; }
  std::shared_ptr<Admin> admin() { return admin_; }

 private:
  void HasJoined(absl::StatusOr<Joined> joined);
  void StartAgent(const ClusterEnv& env);
  void Ready();
  // Under one supervisor of this node's own.
  absl::StatusOr<SupervisorSpec> LocalSpec();
  void StartLocalParts();
  ChildSpec GroupScopeChild(const std::string& scope);
  struct Draining;
  // Asks the store what children ask for, then looks.
  void ReadPlacements(std::shared_ptr<Draining> draining);
  void LookWhetherDrained(std::shared_ptr<Draining> draining);
  // Names of children that run here, and whether another node can take one.
  std::vector<std::string> ChildrenHere(const Draining& draining,
                                        bool* movable) const;
  void StopChildren(absl::AnyInvocable<void()> done);
  void StopLocalParts(absl::AnyInvocable<void()> done);

  const ClusterNodeOptions options_;
  Scheduler* const scheduler_;
  RandomSource* const random_;
  Logger* const logger_;
  Transport* const transport_;
  std::map<std::string, ServerTypeInfo> types_;
  absl::AnyInvocable<void(absl::Status)> done_;
  absl::AnyInvocable<void()> on_reaped_;
  // Whether it is meant to be alive. Relaxed: it is told before it is ended.
  std::atomic<bool> agent_lives_{false};

  // Destroyed in reverse: users before what they use; the strand is closed
  // first, the store goes when nobody watches it any more.
  Strand strand_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Membership> membership_;
  std::unique_ptr<GlobalRegistry> registry_;
  std::unique_ptr<Compactor> compactor_;
  std::unique_ptr<GlobalVia> global_via_;
  std::unique_ptr<Peers> peers_;
  std::unique_ptr<NodeRouter> router_;
  std::unique_ptr<DescriptorCache> descriptors_;
  std::unique_ptr<SupervisorHost> host_;
  std::shared_ptr<Admin> admin_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_BOOT_CLUSTER_NODE_H_
