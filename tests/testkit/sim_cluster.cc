#include "tests/testkit/sim_cluster.h"

#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cluster/membership/reap.h"
#include "cluster/store/event.h"
#include "node/base/check.h"
#include "node/types/pid.h"

namespace muster {
namespace {

constexpr absl::string_view kCluster = "sim";
// What a sentinel takes to learn of a death, and how long it waits for an
// answer of the store.
constexpr absl::Duration kWaitpid = absl::Milliseconds(2);
constexpr absl::Duration kAttestTry = absl::Milliseconds(400);

absl::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "";
}

}  // namespace

// What a node logs is part of the trace.
class SimCluster::NodeLogger final : public Logger {
 public:
  NodeLogger(SimCluster* cluster, std::string node)
      : cluster_(cluster), node_(std::move(node)) {}

  void Write(LogLevel level, absl::string_view text) override {
    cluster_->log_.push_back(
        absl::StrCat(node_, " ", LevelName(level), " ", text));
    cluster_->world_.Trace(cluster_->log_.back());
    if (cluster_->options_.log_to_stderr) {
      std::fprintf(
          stderr, "%12.6f %s\n",
          static_cast<double>(cluster_->world_.clock().Boot().nanoseconds()) *
              1e-9,
          cluster_->log_.back().c_str());
    }
  }

 private:
  SimCluster* const cluster_;
  const std::string node_;
};

SimCluster::SimCluster(uint64_t seed, int nodes, SimClusterOptions options)
    : options_(std::move(options)),
      keys_(kCluster),
      world_(seed, options_.world),
      network_(&world_.random(), options_.network),
      store_lane_(world_.AddLane("store")),
      keeper_(world_.AddLane("keeper")),
      store_(std::make_unique<SimStoreService>(store_lane_, world_.random(),
                                               options_.store)),
      nodes_(static_cast<size_t>(nodes)) {
  for (Node& node : nodes_) node.sentinel = store_->NewClient(keeper_);
}

SimCluster::~SimCluster() {
  for (int i = 0; i < size(); ++i) KillNode(i);
}

size_t SimCluster::Index(int node) const {
  MUSTER_CHECK(node >= 0 && node < size(), "no such node");
  return static_cast<size_t>(node);
}

std::string SimCluster::NodeName(int node) { return absl::StrCat("n", node); }

std::string SimCluster::Address(int node) {
  return absl::StrCat(NodeName(node), ":1");
}

// -- Nodes -------------------------------------------------------------------

void SimCluster::StartNode(int index) {
  Node& node = nodes_[Index(index)];
  MUSTER_CHECK(node.host == nullptr, "it runs");
  ++node.starts;
  node.started.reset();
  node.joined = false;
  node.paused = false;
  node.alive = std::make_shared<bool>(true);
  node.epoch = Epoch();
  node.lane =
      &world_.AddLane(absl::StrCat(NodeName(index), ".", node.starts),
                      options_.clock_rate ? options_.clock_rate(index) : 1.0);
  node.logger = std::make_unique<NodeLogger>(this, NodeName(index));
  node.transport =
      std::make_unique<SimTransport>(&network_, node.lane, Address(index));
  std::unique_ptr<SimStore> client = store_->NewClient(*node.lane);
  node.client = client.get();
  std::unique_ptr<Store> store = std::move(client);
  if (options_.wrap_store) store = options_.wrap_store(index, std::move(store));
  ClusterNodeOptions options;
  options.cluster = std::string(kCluster);
  options.node = NodeName(index);
  options.address = Address(index);
  options.types = options_.types_of ? options_.types_of(index) : options_.types;
  options.local = options_.local;
  options.on_lost = options_.on_lost;
  options.build = "sim";
  options.profile = options_.profile;
  options.reap_for_test = options_.reap_for_test;
  options.min_generation = node.generation;
  options.on_generation = [this, index](uint64_t generation) {
    nodes_[Index(index)].generation = generation;
  };
  options.known_before = std::exchange(node.known, {});
  std::weak_ptr<bool> alive = node.alive;
  options.on_broken = [this, index, alive](const absl::Status&) {
    // Not from inside its own lane.
    keeper_.Post([this, index, alive] {
      if (!alive.expired()) Broke(index);
    });
  };
  node.host = std::make_unique<ClusterNode>(
      std::move(options), std::move(store), node.lane, &world_.random(),
      node.logger.get(), node.transport.get());
  node.host->Start(
      [this, index, alive](absl::Status status) {
        if (alive.expired()) return;
        Node& node = nodes_[Index(index)];
        node.started = status;
        node.joined = status.ok();
        if (!status.ok()) return;
        const Membership& membership = node.host->membership();
        node.epoch = Epoch{membership.generation(),
                           static_cast<uint64_t>(membership.own_revision())};
        node.caller = std::make_unique<RuntimeCaller>(&node.host->runtime());
      },
      [this, index, alive] {
        // Not from inside its own lane.
        keeper_.Post([this, index, alive] {
          if (!alive.expired()) Reaped(index);
        });
      });
}

void SimCluster::Reaped(int index) {
  Node& node = nodes_[Index(index)];
  ++node.reaps;
  node.known = node.host->membership().Companions();
  EndNode(index);
  StartNode(index);
}

void SimCluster::Broke(int index) {
  CrashNode(index);
  StartNode(index);
}

void SimCluster::EndNode(int index) {
  Node& node = nodes_[Index(index)];
  node.alive.reset();
  node.joined = false;
  node.host->Close();
  node.caller.reset();
  node.transport.reset();
  world_.KillLane(*node.lane);
  node.client = nullptr;
  node.host.reset();
}

void SimCluster::KillNode(int index) {
  Node& node = nodes_[Index(index)];
  if (node.host == nullptr) return;
  node.alive.reset();
  node.joined = false;
  world_.KillLane(*node.lane);
  network_.KillNode(Address(index));
  node.client = nullptr;
  node.caller.reset();
  node.host.reset();
  node.transport.reset();
}

void SimCluster::CrashNode(int index) {
  if (!IsUp(index)) return;
  const Epoch epoch = EpochOf(index);
  KillNode(index);
  // waitpid returns a moment later; one that had not joined told its sentinel
  // no epoch.
  if (epoch.empty()) return;
  keeper_.At(keeper_.clock().Boot() + kWaitpid,
             [this, index, epoch] { Attest(index, epoch); });
}

void SimCluster::Attest(int index, Epoch epoch) {
  store::v1::EventRecord event =
      EndOfNode("node.attested", NodeName(index), epoch, "killed by signal 9",
                {{"wait_status", "killed by signal 9"}});
  Txn txn = AttestedReap(
      keys_, NodeName(index), static_cast<int64_t>(epoch.revision),
      PutEvent(
          keys_, absl::StrCat(NodeName(index), "-sentinel"), std::move(event),
          keeper_.clock().Wall(),
          absl::StrCat(absl::Hex(world_.random().Next(), absl::kZeroPad16))));
  nodes_[Index(index)].sentinel->Commit(
      std::move(txn), kAttestTry,
      [this, index, epoch](absl::StatusOr<TxnResult> result) {
        if (result.ok()) return;
        keeper_.At(keeper_.clock().Boot() + kAttestTry / 2,
                   [this, index, epoch] { Attest(index, epoch); });
      });
}

TxnResult SimCluster::Commit(Txn txn) { return store_->Apply(std::move(txn)); }

void SimCluster::RestartNode(int index) {
  KillNode(index);
  StartNode(index);
}

void SimCluster::LeaveNode(int index) {
  auto left = std::make_shared<bool>(false);
  node(index).Leave([left] { *left = true; });
  RunUntil([&] { return *left; });
  EndNode(index);
}

void SimCluster::StartAll() {
  for (int i = 0; i < size(); ++i) StartNode(i);
  const bool joined = RunUntil([this] {
    for (int i = 0; i < size(); ++i) {
      if (!IsJoined(i)) return false;
    }
    return true;
  });
  MUSTER_CHECK(joined, "a node did not join");
}

void SimCluster::PauseNode(int index) {
  Node& node = nodes_[Index(index)];
  MUSTER_CHECK(node.host != nullptr, "it does not run");
  node.paused = true;
  world_.PauseLane(*node.lane);
}

void SimCluster::ResumeNode(int index) {
  Node& node = nodes_[Index(index)];
  if (!std::exchange(node.paused, false) || node.host == nullptr) return;
  world_.ResumeLane(*node.lane);
}

bool SimCluster::IsJoined(int node) const { return nodes_[Index(node)].joined; }

bool SimCluster::IsPaused(int node) const { return nodes_[Index(node)].paused; }

ClusterNode& SimCluster::node(int node) {
  MUSTER_CHECK(IsUp(node), "it does not run");
  return *nodes_[Index(node)].host;
}

Scheduler& SimCluster::lane(int node) {
  MUSTER_CHECK(IsUp(node), "it does not run");
  return *nodes_[Index(node)].lane;
}

SimStore& SimCluster::store_client(int node) {
  MUSTER_CHECK(IsUp(node), "it does not run");
  return *nodes_[Index(node)].client;
}

SimStore& SimCluster::sentinel_client(int node) {
  return *nodes_[Index(node)].sentinel;
}

// -- Talking to it -----------------------------------------------------------

void SimCluster::StartCall(int via, const ServerRef& to, absl::string_view path,
                           Payload request, const CallOptions& options,
                           absl::AnyInvocable<void(CallResult)> done) {
  Node& node = nodes_[Index(via)];
  MUSTER_CHECK(node.joined, "it has not joined");
  std::weak_ptr<bool> alive = node.alive;
  node.caller->StartCall(
      to, path, std::move(request), options,
      [alive, done = std::move(done)](CallResult result) mutable {
        if (!alive.expired()) done(std::move(result));
      });
}

void SimCluster::StartCast(int via, const ServerRef& to, absl::string_view path,
                           Payload request, const CallOptions& options) {
  Node& node = nodes_[Index(via)];
  MUSTER_CHECK(node.joined, "it has not joined");
  node.caller->StartCast(to, path, std::move(request), options,
                         [](absl::Status) {});
}

void SimCluster::StartApply(
    int via, cluster::v1::Manifest manifest,
    absl::AnyInvocable<void(absl::StatusOr<admin::v1::ApplyResponse>)> done) {
  Node& node = nodes_[Index(via)];
  MUSTER_CHECK(node.joined, "it has not joined");
  admin::v1::ApplyRequest request;
  *request.mutable_manifest() = std::move(manifest);
  std::weak_ptr<bool> alive = node.alive;
  node.host->admin()->Apply(
      request, [alive, done = std::move(done)](
                   absl::StatusOr<admin::v1::ApplyResponse> answer) mutable {
        if (!alive.expired()) done(std::move(answer));
      });
}

absl::StatusOr<admin::v1::ApplyResponse> SimCluster::Apply(
    int via, const cluster::v1::Manifest& manifest) {
  auto result = std::make_shared<
      std::optional<absl::StatusOr<admin::v1::ApplyResponse>>>();
  StartApply(via, manifest,
             [result](absl::StatusOr<admin::v1::ApplyResponse> answer) {
               result->emplace(std::move(answer));
             });
  RunUntil([&] { return result->has_value(); });
  if (!result->has_value()) return absl::InternalError("apply never ended");
  return **result;
}

absl::StatusOr<admin::v1::GetTreeResponse> SimCluster::GetTree(int via) {
  auto result = std::make_shared<
      std::optional<absl::StatusOr<admin::v1::GetTreeResponse>>>();
  node(via).admin()->GetTree(
      admin::v1::GetTreeRequest(),
      [result](absl::StatusOr<admin::v1::GetTreeResponse> answer) {
        result->emplace(std::move(answer));
      });
  RunUntil([&] { return result->has_value(); });
  if (!result->has_value()) return absl::InternalError("never answered");
  return **result;
}

std::optional<admin::v1::Child> SimCluster::FindChild(
    int via, absl::string_view supervisor, absl::string_view child) {
  const absl::StatusOr<admin::v1::GetTreeResponse> tree = GetTree(via);
  if (!tree.ok()) return std::nullopt;
  for (const admin::v1::Supervisor& one : tree->supervisors()) {
    if (one.id() != supervisor) continue;
    for (const admin::v1::Child& state : one.children()) {
      if (state.id() == child) return state;
    }
  }
  return std::nullopt;
}

bool SimCluster::AwaitChild(int via, absl::string_view supervisor,
                            absl::string_view child, absl::string_view state,
                            absl::Duration within) {
  const BootTime end = world_.clock().Boot() + within;
  for (;;) {
    const std::optional<admin::v1::Child> found =
        FindChild(via, supervisor, child);
    if (found.has_value() && found->state() == state) return true;
    if (world_.clock().Boot() >= end) return false;
    RunFor(absl::Milliseconds(20));
  }
}

// -- The truth ---------------------------------------------------------------

int64_t SimCluster::CreateRevision(const std::string& key) const {
  for (const KeyValue& item : store_->state().List(key).items) {
    if (item.key == key) return item.create_revision;
  }
  return 0;
}

std::optional<SimCluster::Ownership> SimCluster::OwnerOf(
    absl::string_view name) const {
  const std::string key = keys_.Name(name);
  for (const KeyValue& item : store_->state().List(key).items) {
    if (item.key != key) continue;
    Ownership owner;
    if (!owner.record.ParseFromString(item.value)) return std::nullopt;
    owner.epoch = Epoch{1, static_cast<uint64_t>(item.mod_revision)};
    owner.alive = CreateRevision(keys_.Node(owner.record.owner())) ==
                  static_cast<int64_t>(owner.record.owner_revision());
    return owner;
  }
  return std::nullopt;
}

int SimCluster::LivingOwnerOf(absl::string_view name) const {
  const std::optional<Ownership> owner = OwnerOf(name);
  if (!owner.has_value() || !owner->alive) return -1;
  for (int i = 0; i < size(); ++i) {
    if (NodeName(i) == owner->record.owner()) return i;
  }
  return -1;
}

size_t SimCluster::CountLog(absl::string_view part) const {
  size_t count = 0;
  for (const std::string& line : log_) {
    if (absl::StrContains(line, part)) ++count;
  }
  return count;
}

cluster::v1::Manifest MakeManifest(absl::string_view supervisor,
                                   absl::string_view type,
                                   const std::vector<std::string>& ids) {
  cluster::v1::Manifest manifest;
  manifest.set_supervisor(std::string(supervisor));
  for (const std::string& id : ids) {
    cluster::v1::ManifestChild& child = *manifest.add_children();
    child.set_id(id);
    child.set_name(absl::StrCat(supervisor, "_", id));
    child.set_type(std::string(type));
  }
  return manifest;
}

}  // namespace muster
