// SimCluster: a whole cluster in one thread, from one seed.
//
// Each node is a ClusterNode on a lane of its own, with a client of one
// simulated store and streams over one simulated network. Tests start, kill
// and cut them, and look at their parts.
#ifndef MUSTER_TESTS_TESTKIT_SIM_CLUSTER_H_
#define MUSTER_TESTS_TESTKIT_SIM_CLUSTER_H_

#include <cstddef>
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
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/boot/cluster_node.h"
#include "cluster/membership/profile.h"
#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "muster/admin/v1/admin.pb.h"
#include "muster/cluster/v1/cluster.pb.h"
#include "muster/store/v1/store.pb.h"
#include "node/base/log.h"
#include "node/base/scheduler.h"
#include "node/gen_server/runtime_caller.h"
#include "node/gen_server/server_type.h"
#include "node/process/caller.h"
#include "node/types/payload.h"
#include "node/types/server_ref.h"
#include "tests/testkit/sim_store.h"
#include "tests/testkit/sim_transport.h"
#include "tests/testkit/sim_world.h"

namespace muster {

struct SimClusterOptions {
  SimWorldOptions world;
  SimStoreOptions store;
  SimNetworkOptions network;
  Profile profile;
  // What every node hosts; types_of, if set, decides for each.
  std::vector<ServerTypeInfo> types;
  std::function<std::vector<ServerTypeInfo>(int node)> types_of;
  // What every node runs for itself.
  LocalParts local;
  // Puts something between a node and its store: a counter, a planted bug.
  std::function<std::unique_ptr<Store>(int node, std::unique_ptr<Store> store)>
      wrap_store;
  // Planted bug: nodes reap after this silence, whatever the profile says.
  absl::Duration reap_for_test = absl::ZeroDuration();
  // How much faster than the world's the clock of a node runs; absent: all
  // alike (guarantees A2).
  std::function<double(int node)> clock_rate;
  // What a router loses and counts; see NodeRouter::OnLost.
  NodeRouter::Lost on_lost;
  // Every line that a node logs also goes to stderr.
  bool log_to_stderr = false;
};

// LIFETIME: its destructor kills all nodes. THREADS: the one that made it.
class SimCluster {
 public:
  // Nodes are 0 to nodes - 1, called "n0", "n1" ...; none is started.
  SimCluster(uint64_t seed, int nodes,
             SimClusterOptions options = SimClusterOptions());
  ~SimCluster();
  SimCluster(const SimCluster&) = delete;
  SimCluster& operator=(const SimCluster&) = delete;

  int size() const { return static_cast<int>(nodes_.size()); }
  static std::string NodeName(int node);
  static std::string Address(int node);
  SimWorld& world() { return world_; }
  SimStoreService& store() { return *store_; }
  SimNetwork& network() { return network_; }
  const Keys& keys() const { return keys_; }

  // -- Nodes ---------------------------------------------------------------
  // Begins to join. A node that is reaped later comes back by itself, as
  // run_node does.
  void StartNode(int node);
  // As SIGKILL: nothing of it runs any more, its peers and the store notice
  // what they notice of such a death.
  void KillNode(int node);
  // As the death of a node whose sentinel lives: attests it to the store at
  // once, and again until the store answers (guarantees R12).
  void CrashNode(int node);
  void RestartNode(int node);
  // As SIGTERM: leaves, and is gone when this returns.
  void LeaveNode(int node);
  // Starts all and runs until all have joined.
  void StartAll();
  // As SIGSTOP and SIGCONT.
  void PauseNode(int node);
  void ResumeNode(int node);

  // It runs, joined or not.
  bool IsUp(int node) const { return nodes_[Index(node)].host != nullptr; }
  bool IsJoined(int node) const;
  bool IsPaused(int node) const;
  // How its latest start ended; nullopt while it is under way.
  const std::optional<absl::Status>& StartResult(int node) const {
    return nodes_[Index(node)].started;
  }
  // Counts its starts, those after a reap or an end by itself included.
  int Incarnation(int node) const { return nodes_[Index(node)].starts; }
  int Reaps(int node) const { return nodes_[Index(node)].reaps; }
  // Requires IsUp, and IsJoined for all parts but its membership.
  ClusterNode& node(int node);
  Scheduler& lane(int node);
  // Its client of the store, for faults.
  SimStore& store_client(int node);
  // That of its sentinel, which lives as long as its host: always.
  SimStore& sentinel_client(int node);
  // Of the incarnation that runs or ran last; empty before it joined.
  Epoch EpochOf(int node) const { return nodes_[Index(node)].epoch; }
  // An operator's transaction, straight into the store.
  TxnResult Commit(Txn txn);

  // -- Running -------------------------------------------------------------
  bool RunUntil(absl::FunctionRef<bool()> done,
                absl::Duration within = absl::Minutes(2)) {
    return world_.RunUntil(done, within);
  }
  void RunFor(absl::Duration span) { world_.RunFor(span); }

  // -- Talking to it -------------------------------------------------------
  // As a client of node `via`; `done` comes unless that node dies first.
  void StartCall(int via, const ServerRef& to, absl::string_view path,
                 Payload request, const CallOptions& options,
                 absl::AnyInvocable<void(CallResult)> done);
  // A cast by a client of node `via`, whose fate nobody waits for.
  void StartCast(int via, const ServerRef& to, absl::string_view path,
                 Payload request, const CallOptions& options);
  // Runs until the answer is there.
  template <typename Response, typename Request>
  absl::StatusOr<Response> Call(int via, const ServerRef& to,
                                absl::string_view path, Request request,
                                CallOptions options = CallOptions()) {
    auto result = std::make_shared<std::optional<CallResult>>();
    StartCall(via, to, path, Payload::Of(std::move(request)), options,
              [result](CallResult r) { result->emplace(std::move(r)); });
    RunUntil([&] { return result->has_value(); });
    if (!result->has_value()) {
      return absl::InternalError("the call never ended");
    }
    if (!(*result)->status.ok()) return (*result)->status;
    auto response = (*result)->reply.Take<Response>();
    if (response == nullptr) return absl::InternalError("another message");
    return std::move(*response);
  }
  void StartApply(
      int via, cluster::v1::Manifest manifest,
      absl::AnyInvocable<void(absl::StatusOr<admin::v1::ApplyResponse>)> done);
  absl::StatusOr<admin::v1::ApplyResponse> Apply(
      int via, const cluster::v1::Manifest& manifest);
  // The tree as node `via` tells it.
  absl::StatusOr<admin::v1::GetTreeResponse> GetTree(int via);
  // One child of it; nullopt if there is none such.
  std::optional<admin::v1::Child> FindChild(int via,
                                            absl::string_view supervisor,
                                            absl::string_view child);
  // Runs until the child's state is `state`.
  bool AwaitChild(int via, absl::string_view supervisor,
                  absl::string_view child, absl::string_view state,
                  absl::Duration within = absl::Minutes(1));

  // -- The truth -----------------------------------------------------------
  // The record of a name as the store has it now.
  struct Ownership {
    store::v1::NameRecord record;
    Epoch epoch;
    // Its owner's epoch is a member's.
    bool alive = false;
  };
  std::optional<Ownership> OwnerOf(absl::string_view name) const;
  // The node that owns it and lives; -1: none.
  int LivingOwnerOf(absl::string_view name) const;

  // -- Logs ----------------------------------------------------------------
  // Lines of all nodes: "<node> <level> <text>".
  const std::vector<std::string>& log() const { return log_; }
  size_t CountLog(absl::string_view part) const;

 private:
  class NodeLogger;
  struct Node {
    int starts = 0;
    int reaps = 0;
    // What its data directory remembers.
    uint64_t generation = 0;
    // Whom it knew when it lost its epoch.
    std::map<std::string, uint64_t> known;
    bool paused = false;
    bool joined = false;
    Epoch epoch;
    std::unique_ptr<SimStore> sentinel;
    std::optional<absl::Status> started;
    Scheduler* lane = nullptr;
    SimStore* client = nullptr;
    // True while this incarnation lives; its callbacks look.
    std::shared_ptr<bool> alive;
    std::unique_ptr<NodeLogger> logger;
    std::unique_ptr<SimTransport> transport;
    std::unique_ptr<ClusterNode> host;
    std::unique_ptr<RuntimeCaller> caller;
  };

  size_t Index(int node) const;
  void Reaped(int node);
  // As its sentinel does when its OS process has ended by itself.
  void Broke(int node);
  void Attest(int node, Epoch epoch);
  // Ends an incarnation that closes itself: its streams close, its store
  // client goes.
  void EndNode(int node);
  int64_t CreateRevision(const std::string& key) const;

  const SimClusterOptions options_;
  const Keys keys_;
  SimWorld world_;
  SimNetwork network_;
  Scheduler& store_lane_;
  // Runs what is nobody's: restarts of nodes that were reaped.
  Scheduler& keeper_;
  std::unique_ptr<SimStoreService> store_;
  std::vector<Node> nodes_;
  std::vector<std::string> log_;
};

// A manifest with children of one type, called `<supervisor>_<id>`.
cluster::v1::Manifest MakeManifest(absl::string_view supervisor,
                                   absl::string_view type,
                                   const std::vector<std::string>& ids);

}  // namespace muster

#endif  // MUSTER_TESTS_TESTKIT_SIM_CLUSTER_H_
