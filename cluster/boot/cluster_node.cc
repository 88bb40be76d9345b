#include "cluster/boot/cluster_node.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cluster/membership/descriptors.h"
#include "cluster/supervisor/agent.h"
#include "cluster/supervisor/placement.h"
#include "muster/store/v1/store.pb.h"
#include "node/base/check.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

// How long a leaving node waits for its children to end.
constexpr absl::Duration kLeavePatience = absl::Seconds(3);

// A listener with TLS ends connections after an hour, give or take a tenth
// (RpcServer); streams are replaced before, give or take a tenth, too.
constexpr absl::Duration kTlsStreamAge = absl::Minutes(45);
// How long a draining node waits for what its children ask for.
constexpr absl::Duration kSpecsPatience = absl::Seconds(1);
// How often a draining node looks what is left.
constexpr absl::Duration kDrainPoll = absl::Milliseconds(50);
// How long after its last child has moved it still sends on what comes late;
// longer, up to the second, while calls that it has sent on have no answer.
constexpr absl::Duration kQuietMin = absl::Milliseconds(500);
constexpr absl::Duration kQuietMax = absl::Seconds(5);

// The supervisor of this node's own parts.
constexpr absl::string_view kLocalParts = "muster/local";

// True: keeps trees running, so it must end before their children do. This
// node's own parts end after them.
bool IsOfTrees(absl::string_view name) {
  return absl::StartsWith(name, SupervisorName("")) || name == kAgentName;
}

absl::Status CheckTypes(const std::vector<ServerTypeInfo>& types,
                        std::map<std::string, ServerTypeInfo>* by_name) {
  for (const ServerTypeInfo& type : types) {
    if (type.name.empty() || type.service == nullptr) {
      return Error(absl::StatusCode::kInvalidArgument, "BAD_TYPE",
                   absl::StrCat("the server type ", LogSafe(type.name),
                                " needs a name and a service"));
    }
    if (!by_name->emplace(type.name, type).second) {
      return Error(
          absl::StatusCode::kInvalidArgument, "BAD_TYPE",
          absl::StrCat("two server types are called ", LogSafe(type.name)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

ClusterNode::ClusterNode(ClusterNodeOptions options,
                         std::unique_ptr<Store> store, Scheduler* scheduler,
                         RandomSource* random, Logger* logger,
                         Transport* transport)
    : options_(std::move(options)),
      scheduler_(scheduler),
      random_(random),
      logger_(logger),
      transport_(transport),
      strand_(scheduler),
      store_(std::move(store)) {}

ClusterNode::~ClusterNode() {
  Close();
  if (host_ != nullptr) host_->StopWatching();
  if (registry_ != nullptr) registry_->StopWatching();
  if (membership_ != nullptr) membership_->StopWatching();
  store_.reset();  // Waits for its callbacks, which find everything here.
}

void ClusterNode::Start(absl::AnyInvocable<void(absl::Status)> done,
                        absl::AnyInvocable<void()> on_reaped) {
  absl::Status valid = ValidateNodeName(options_.node);
  if (valid.ok()) valid = ValidateClusterName(options_.cluster);
  if (valid.ok()) valid = ValidateProfile(options_.profile);
  if (valid.ok()) valid = CheckTypes(options_.types, &types_);
  if (valid.ok()) valid = LocalSpec().status();
  if (!valid.ok()) {
    done(std::move(valid));
    return;
  }
  done_ = std::move(done);
  on_reaped_ = std::move(on_reaped);
  MembershipOptions membership;
  membership.cluster = options_.cluster;
  membership.node = options_.node;
  membership.address = options_.address;
  membership.identity = options_.identity;
  for (const auto& [name, type] : types_) {
    membership.types.push_back(Describe(type));
  }
  membership.build = options_.build;
  membership.profile = options_.profile;
  membership.labels = options_.labels;
  membership.cluster_id_seen = options_.cluster_id_seen;
  membership.reap_for_test = options_.reap_for_test;
  membership.min_generation = options_.min_generation;
  membership.raise_generation = options_.raise_generation;
  membership.proof_of_death = options_.proof_of_death;
  membership.known_before = options_.known_before;
  MembershipListener listener;
  listener.on_change = [this] {
    if (host_ != nullptr) host_->Look();
  };
  listener.on_death = [this](const std::string& node, Epoch epoch) {
    if (peers_ != nullptr) peers_->NodeDied(node, epoch);
  };
  listener.on_reaped = [this] {
    agent_lives_.store(false, std::memory_order_relaxed);
    if (runtime_ != nullptr) runtime_->KillAll();
    if (auto reaped = std::exchange(on_reaped_, nullptr)) reaped();
  };
  listener.on_generation = options_.on_generation;
  membership_ = std::make_unique<Membership>(
      std::move(membership), store_.get(), &strand_, &scheduler_->clock(),
      random_, logger_, std::move(listener));
  strand_.Post([this] {
    membership_->Join([this](absl::StatusOr<Joined> joined) {
      HasJoined(std::move(joined));
    });
  });
}

void ClusterNode::HasJoined(absl::StatusOr<Joined> joined) {
  if (!joined.ok()) {
    auto done = std::move(done_);
    done(joined.status());
    return;
  }
  if (options_.on_joined) options_.on_joined(*joined);
  RuntimeOptions runtime;
  runtime.node = options_.node;
  runtime.epoch = joined->epoch;
  runtime_ = std::make_unique<Runtime>(std::move(runtime), scheduler_, random_,
                                       logger_, &membership_->fence());
  registry_ = std::make_unique<GlobalRegistry>(
      membership_.get(), store_.get(), &strand_, &scheduler_->clock(), random_,
      logger_, runtime_.get(), [this](const std::string& name) {
        if (host_ != nullptr && absl::StartsWith(name, kSystemPrefix)) {
          host_->Look();
        }
      });
  PeerOptions peers;
  peers.cluster_id = joined->cluster_id;
  peers.generation = joined->epoch.generation;
  peers.build = options_.build;
  if (!options_.identity.empty()) peers.stream_age = kTlsStreamAge;
  peers.fence_ratio =
      absl::FDivDuration(joined->profile.fence, joined->profile.reap);
  peers.refused_as_dead = [this](Epoch) {
    strand_.Post([this] { membership_->Doubted(); });
  };
  peers_ = std::make_unique<Peers>(std::move(peers), runtime_.get(), transport_,
                                   membership_.get(), registry_.get());
  router_ = std::make_unique<NodeRouter>(runtime_.get(), registry_.get(),
                                         peers_.get());
  router_->OnLost(options_.on_lost);
  runtime_->set_router(router_.get());
  runtime_->set_names(registry_.get());
  global_via_ = std::make_unique<GlobalVia>(registry_.get());
  runtime_->AddVia(kGlobalVia, global_via_.get());
  descriptors_ = std::make_unique<DescriptorCache>(membership_.get(),
                                                   runtime_.get(), types_);
  ClusterEnv env;
  env.store = store_.get();
  env.membership = membership_.get();
  env.registry = registry_.get();
  env.runtime = runtime_.get();
  env.types = &types_;
  env.set_draining = [this](bool draining,
                            absl::AnyInvocable<void(absl::Status)> done) {
    strand_.Post([this, draining, done = std::move(done)]() mutable {
      membership_->SetDraining(draining, std::move(done));
    });
  };
  env.reap = joined->profile.reap;
  host_ = std::make_unique<SupervisorHost>(env, &strand_, &scheduler_->clock(),
                                           random_, logger_);
  AdminParts admin;
  admin.cluster = options_.cluster;
  admin.cluster_id = joined->cluster_id;
  admin.version = options_.build;
  admin.grpc_version = options_.grpc_version;
  admin.profile = joined->profile;
  admin.store = store_.get();
  admin.membership = membership_.get();
  admin.registry = registry_.get();
  admin.host = host_.get();
  admin.descriptors = descriptors_.get();
  admin.runtime = runtime_.get();
  admin.is_suspect = [this](absl::string_view node) {
    const std::vector<SuspectNode> suspects = peers_->Suspects();
    return std::any_of(
        suspects.begin(), suspects.end(),
        [node](const SuspectNode& suspect) { return suspect.node == node; });
  };
  admin_ = std::make_shared<Admin>(std::move(admin));

  StartAgent(env);
  StartLocalParts();
  // Names first: whoever acts on a tree must know who owns what.
  registry_->Start([this] { Ready(); });
}

// It has no supervisor: its children would outlive it and nobody could tell of
// their ends, so another agent on the same node would not do.
void ClusterNode::StartAgent(const ClusterEnv& env) {
  SpawnOptions agent;
  agent.local_name = std::string(kAgentName);
  agent.type = "agent";
  agent_lives_.store(true, std::memory_order_relaxed);
  const Pid pid = runtime_->Spawn(std::make_unique<Agent>(env), Payload(),
                                  std::move(agent), [](absl::Status) {});
  runtime_->ObserveExit(pid, [this](const ExitReason& reason) {
    if (!agent_lives_.exchange(false, std::memory_order_relaxed)) return;
    const absl::Status broken =
        Error(absl::StatusCode::kInternal, "AGENT_ENDED",
              absl::StrCat("the agent of node '", options_.node,
                           "' has ended (", reason.ToString(),
                           "): nothing looks after what runs here any more, so "
                           "the node ends, too"));
    logger_->Error(broken.message());
    MUSTER_CHECK(options_.on_broken != nullptr, "an agent ends with its node");
    options_.on_broken(broken);
  });
}

ChildSpec ClusterNode::GroupScopeChild(const std::string& scope) {
  ChildSpec child;
  child.id = scope;
  child.name = ScopeName(scope);
  child.factory = [this, scope] {
    GroupScopeOptions options;
    options.scope = scope;
    options.nodes = [this] {
      std::vector<std::string> nodes;
      for (const Member& member : membership_->Members()) {
        nodes.push_back(member.record.node());
      }
      return nodes;
    };
    return std::make_unique<GroupScope>(std::move(options), options_.node,
                                        &runtime_->attachments());
  };
  return child;
}

absl::StatusOr<SupervisorSpec> ClusterNode::LocalSpec() {
  SupervisorSpec spec;
  // One part that keeps failing must not take the others with it at once.
  spec.intensity = 10;
  spec.period = absl::Seconds(10);
  for (const std::string& scope : options_.local.group_scopes) {
    spec.children.push_back(GroupScopeChild(scope));
  }
  auto types = std::make_shared<TaskTypes>();
  for (const TaskType& type : options_.local.tasks) {
    if (absl::Status added = types->Add(type); !added.ok()) return added;
  }
  spec.children.push_back(RemoteTasks::AsChild(std::move(types)));
  if (options_.local.application.has_value()) {
    if (absl::Status bad = CheckSupervisorSpec(*options_.local.application);
        !bad.ok()) {
      return bad;
    }
    ChildSpec application =
        Supervisor::AsChild(*options_.local.application, "application");
    application.restart = Restart::kTemporary;
    spec.children.push_back(std::move(application));
  }
  if (absl::Status bad = CheckSupervisorSpec(spec); !bad.ok()) return bad;
  return spec;
}

void ClusterNode::StartLocalParts() {
  absl::StatusOr<SupervisorSpec> spec = LocalSpec();
  MUSTER_CHECK(spec.ok(), "Start() has checked it");
  absl::StatusOr<std::unique_ptr<Supervisor>> supervisor =
      Supervisor::Make(*std::move(spec));
  MUSTER_CHECK(supervisor.ok(), "as above");
  SpawnOptions local;
  local.local_name = std::string(kLocalParts);
  local.type = "supervisor";
  runtime_->Spawn(
      *std::move(supervisor), Payload(), std::move(local),
      [this](const absl::Status& started) {
        if (started.ok()) return;
        logger_->Error(absl::StrCat("this node's own parts do not start: ",
                                    started.message()));
      });
}

void ClusterNode::Ready() {
  host_->Start();
  compactor_ = std::make_unique<Compactor>(
      store_.get(), &strand_, &scheduler_->clock(), random_, logger_,
      membership_->keys(), options_.node,
      [this] { return membership_->OwnEpoch(); });
  compactor_->Start();
  logger_->Info(absl::StrCat("node '", options_.node, "' has joined cluster '",
                             options_.cluster, "', epoch ",
                             runtime_->epoch().ToString()));
  auto done = std::move(done_);
  done(absl::OkStatus());
}

void ClusterNode::RenewStreams() {
  strand_.Post([this] {
    if (peers_ != nullptr) peers_->RenewAll();
  });
}

void ClusterNode::Leave(absl::AnyInvocable<void()> done) {
  strand_.Post([this, done = std::move(done)]() mutable {
    if (membership_ == nullptr) {
      done();
      return;
    }
    if (runtime_ == nullptr) {  // It has a record at most.
      membership_->Leave(std::move(done));
      return;
    }
    agent_lives_.store(false, std::memory_order_relaxed);
    host_->Retire();
    StopChildren([this, done = std::move(done)]() mutable {
      StopLocalParts([this, done = std::move(done)]() mutable {
        strand_.Post([this, done = std::move(done)]() mutable {
          membership_->Leave(std::move(done));
        });
      });
    });
  });
}

struct ClusterNode::Draining {
  BootTime end;
  BootTime quiet_since = BootTime::Infinite();
  // What the children of the cluster ask for, by name; one that came later, or
  // all if the store did not say, are taken to ask for nothing.
  std::map<std::string, store::v1::Placement> placements;
  absl::AnyInvocable<void(std::vector<std::string>)> done;
};

void ClusterNode::Drain(
    absl::Duration limit,
    absl::AnyInvocable<void(std::vector<std::string> left)> done) {
  auto draining = std::make_shared<Draining>();
  draining->end = scheduler_->clock().Boot() + limit;
  draining->done = std::move(done);
  strand_.Post([this, draining] {
    membership_->SetDraining(true, [this](const absl::Status& status) {
      if (status.ok()) return;
      logger_->Warning(absl::StrCat("cannot mark this node as draining: ",
                                    status.message()));
    });
    ReadPlacements(draining);
  });
}

void ClusterNode::ReadPlacements(std::shared_ptr<Draining> draining) {
  store_->List(membership_->keys().ChildPrefix(), kSpecsPatience,
               [this, draining](absl::StatusOr<RangeResult> children) {
                 strand_.Post([this, draining, children = std::move(children)] {
                   if (children.ok()) {
                     for (const KeyValue& item : children->items) {
                       store::v1::ChildRecord record;
                       if (!record.ParseFromString(item.value)) continue;
                       draining->placements[record.spec().name()] =
                           record.spec().placement();
                     }
                   }
                   LookWhetherDrained(draining);
                 });
               });
}

std::vector<std::string> ClusterNode::ChildrenHere(const Draining& draining,
                                                   bool* movable) const {
  std::vector<std::string> here;
  *movable = false;
  std::vector<MemberView> others;
  for (const Member& member : membership_->Members()) {
    if (member.record.node() != options_.node) {
      others.push_back(ViewOf(member.record));
    }
  }
  for (const NameEntry& entry : registry_->List("")) {
    if (!runtime_->IsLocal(entry.pid) || entry.supervisor.empty() ||
        absl::StartsWith(entry.name, kSystemPrefix)) {
      continue;
    }
    here.push_back(entry.name);
    const auto asks = draining.placements.find(entry.name);
    PlacementRequest request;
    request.name = entry.name;
    request.type = entry.type;
    request.placement = asks == draining.placements.end()
                            ? &store::v1::Placement::default_instance()
                            : &asks->second;
    for (const MemberView& other : others) {
      *movable = *movable || Ineligible(request, other).empty();
    }
  }
  return here;
}

void ClusterNode::LookWhetherDrained(std::shared_ptr<Draining> draining) {
  const BootTime now = scheduler_->clock().Boot();
  bool movable = false;
  std::vector<std::string> here = ChildrenHere(*draining, &movable);
  if (!here.empty()) {
    draining->quiet_since = BootTime::Infinite();
    if (!movable || now >= draining->end) {
      draining->done(std::move(here));
      return;
    }
  } else {
    if (draining->quiet_since.is_infinite()) draining->quiet_since = now;
    // Others may not have heard yet where the last ones are, and what they
    // sent here is on its way there and back.
    const bool alone = membership_->Members().size() <= 1;
    const absl::Duration quiet = now - draining->quiet_since;
    if (alone || now >= draining->end || quiet >= kQuietMax ||
        (quiet >= kQuietMin && peers_->Tables().calls == 0)) {
      draining->done({});
      return;
    }
  }
  strand_.At(now + kDrainPoll, [this, draining] {
    if (!membership_->draining()) {
      membership_->SetDraining(true, [](const absl::Status&) {});
    }
    LookWhetherDrained(draining);
  });
}

void ClusterNode::StopChildren(absl::AnyInvocable<void()> done) {
  struct Waiting {
    std::atomic<size_t> left{1};
    absl::AnyInvocable<void()> done;
  };
  auto waiting = std::make_shared<Waiting>();
  waiting->done = std::move(done);
  const auto one_less = [waiting] {
    if (waiting->left.fetch_sub(1) == 1) waiting->done();
  };
  // First what would start them again: the node's death is what makes others
  // do that. The agent stays their parent, whose order lets Terminate run.
  const Pid agent = runtime_->WhereIsLocal(kAgentName);
  std::vector<Pid> children;
  for (const ProcessInfo& process : runtime_->List()) {
    if (IsOfTrees(process.name)) {
      runtime_->SendExit(Pid(), process.pid, ExitReason::Kill());
    } else if (process.global) {
      children.push_back(process.pid);
    }
  }
  for (const Pid& child : children) {
    waiting->left.fetch_add(1);
    runtime_->Stop(agent, child, kLeavePatience,
                   [one_less](ExitReason) { one_less(); });
  }
  one_less();
}

void ClusterNode::StopLocalParts(absl::AnyInvocable<void()> done) {
  const Pid local = runtime_->WhereIsLocal(kLocalParts);
  if (local.empty()) {
    done();
    return;
  }
  runtime_->Stop(
      Pid(), local, kLeavePatience,
      [done = std::move(done)](const ExitReason&) mutable { done(); });
}

void ClusterNode::Close() {
  strand_.Close();
  agent_lives_.store(false, std::memory_order_relaxed);
  if (runtime_ != nullptr) runtime_->KillAll();
}

}  // namespace muster
