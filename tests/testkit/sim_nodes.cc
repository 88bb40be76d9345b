#include "tests/testkit/sim_nodes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "node/base/check.h"
#include "node/types/info.h"
#include "node/types/payload.h"

namespace muster {
namespace {

struct Held {
  Held() {}
};

Next Sleep(Context& self) {
  co_await self.Sleep(absl::Seconds(1));
  co_return NoReply();
}

}  // namespace

std::optional<PeerAddress> SimDirectory::Find(absl::string_view node) const {
  const auto at = members.find(std::string(node));
  if (at == members.end()) return std::nullopt;
  return PeerAddress{at->first, at->second};
}

// -- SimNode ------------------------------------------------------------------

SimNode::SimNode(SimWorld* w, SimNetwork* net, const SimDirectory* directory,
                 FakeNameRegistry* names, const std::string& n, Epoch epoch,
                 PeerOptions options, std::optional<absl::Duration> guard)
    : world(w),
      network(net),
      name(n),
      lane(&w->AddLane(n)),
      fence(guard.has_value() ? Fence(*guard) : Fence()),
      transport(std::make_unique<SimTransport>(net, lane, n)),
      runtime(
          [&] {
            RuntimeOptions runtime_options;
            runtime_options.node = n;
            runtime_options.epoch = epoch;
            return runtime_options;
          }(),
          lane, &w->random(), &log, &fence) {
  if (guard.has_value()) fence.Extend(runtime.clock().Boot() + absl::Hours(1));
  options.cluster_id = "c";
  peers = std::make_unique<Peers>(std::move(options), &runtime, transport.get(),
                                  directory, names);
  router = std::make_unique<NodeRouter>(&runtime, names, peers.get());
  runtime.set_router(router.get());
}

SimNode::~SimNode() { Die(); }

void SimNode::Die() {
  if (dead()) return;
  network->KillNode(name);
  world->KillLane(*lane);
  router.reset();
  peers.reset();
  transport.reset();
}

// -- SimNodes -----------------------------------------------------------------

SimNodes::SimNodes(uint64_t seed, SimNetworkOptions options)
    : world(seed), network(&world.random(), options) {}

SimNodes::~SimNodes() {
  for (const auto& [name, node] : nodes_) node->Die();
}

SimNode& SimNodes::AddNode(const std::string& name, PeerOptions options) {
  std::unique_ptr<SimNode>& slot = nodes_[name];
  if (slot != nullptr) {
    MUSTER_CHECK(slot->dead(), "the earlier incarnation still runs");
    buried_.push_back(std::move(slot));
  }
  const Epoch epoch{1, next_revision_++};
  directory.members[name] = epoch;
  slot = std::make_unique<SimNode>(&world, &network, &directory, &names, name,
                                   epoch, std::move(options), guard);
  return *slot;
}

Script SimNodes::Worker(bool trap) {
  Script script;
  script.init = [trap](Context& self) -> InitResult {
    self.TrapExit(trap);
    return Ok();
  };
  script.cast = [this](int64_t value, Context& self) -> Next {
    seen_[self.pid()].push_back(absl::StrCat("cast ", value));
    return NoReply();
  };
  script.info = [this](Info info, Context& self) -> Next {
    std::vector<std::string>& seen = seen_[self.pid()];
    if (const Job* job = info.As<Job>()) {
      (*job)(self);
    } else if (const ExitReason* reason = info.As<ExitReason>()) {
      return muster::Stop(*reason);
    } else if (info.As<Held>() != nullptr) {
      return Sleep(self);
    } else if (const Exit* exit = info.As<Exit>()) {
      seen.push_back(absl::StrCat("exit ", exit->reason.ToString()));
      exits_[self.pid()].push_back(*exit);
    } else if (const Down* down = info.As<Down>()) {
      seen.push_back(absl::StrCat("down ", down->reason.ToString()));
      downs_[self.pid()].push_back(*down);
    } else if (const NodeUp* up = info.As<NodeUp>()) {
      seen.push_back(absl::StrCat("nodeup ", up->node));
    } else if (const NodeDown* lost = info.As<NodeDown>()) {
      seen.push_back(
          absl::StrCat("nodedown ", lost->node, " ", lost->reason.ToString()));
    } else if (const Suspect* suspect = info.As<Suspect>()) {
      seen.push_back(suspect->cleared ? "cleared" : "suspect");
    } else if (const Int64* number = info.As<Int64>()) {
      seen.push_back(absl::StrCat("info ", number->value()));
    }
    return NoReply();
  };
  return script;
}

Pid SimNodes::Start(SimNode& node, bool trap, absl::string_view name,
                    Pid link_to) {
  SpawnOptions spawn;
  spawn.local_name = std::string(name);
  spawn.link_to = std::move(link_to);
  spawn.trap_exit = trap;
  const Pid pid = node.runtime.Spawn(ScriptServer::Make(Worker(trap)),
                                     Payload(), std::move(spawn), nullptr);
  node.runtime.ObserveExit(
      pid, [this, pid](ExitReason reason) { ended_.emplace(pid, reason); });
  world.RunReady();
  return pid;
}

Pid SimNodes::StartGlobal(SimNode& node, const std::string& name) {
  const Pid pid = Start(node);
  names.Register(name, pid, [&](absl::StatusOr<Epoch> epoch) {
    MUSTER_CHECK(epoch.ok(), "the name is taken");
    MUSTER_CHECK(node.runtime.SetGlobalName(pid, name, *epoch).ok(),
                 "the process takes its name");
  });
  return pid;
}

void SimNodes::Post(const Pid& pid, Job job) {
  NodeOf(pid).runtime.Send(pid, Info(std::move(job)));
}

void SimNodes::Hold(const Pid& pid) {
  NodeOf(pid).runtime.Send(pid, Info(Held()));
  world.RunReady();
}

void SimNodes::In(const Pid& pid, Job job) {
  Post(pid, std::move(job));
  Settle();
}

void SimNodes::Stop(const Pid& pid, const ExitReason& reason) {
  NodeOf(pid).runtime.Send(pid, Info(ExitReason(reason)));
  Settle();
}

void SimNodes::SendExit(const Pid& to, const ExitReason& reason) {
  NodeOf(to).runtime.SendExit(Pid{to.node, to.epoch, 999'999}, to, reason);
  Settle();
}

std::string SimNodes::State(const Pid& pid) {
  const auto at = ended_.find(pid);
  if (at != ended_.end()) return at->second.ToString();
  return NodeOf(pid).dead() || NodeOf(pid).runtime.epoch() != pid.epoch
             ? "gone"
             : "alive";
}

std::string SimNodes::Residue() {
  std::string residue;
  const auto add = [&residue](const std::string& node, absl::string_view what,
                              size_t size) {
    if (size > 0) absl::StrAppend(&residue, node, " ", what, " ", size, "; ");
  };
  for (const auto& [name, node] : nodes_) {
    if (node->dead()) continue;
    const RuntimeTables tables = node->runtime.Tables();
    add(name, "links", tables.links);
    add(name, "monitors", tables.monitors);
    // One is the fixture's own observer of each process.
    add(name, "watched", tables.watched - tables.processes);
    add(name, "node_watchers", tables.node_watchers);
    const PeerTables peers = node->peers->Tables();
    add(name, "stream links", peers.links);
    add(name, "stream watching", peers.watching);
    add(name, "stream watched", peers.watched);
    add(name, "queue", peers.queue_bytes);
  }
  return residue;
}

}  // namespace muster
