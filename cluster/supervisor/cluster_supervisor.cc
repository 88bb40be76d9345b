#include "cluster/supervisor/cluster_supervisor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/supervisor/bytes.h"
#include "muster/cluster/v1/cluster.muster.client.h"
#include "node/types/proto_time.h"
#include "node/types/status.h"

namespace muster {
namespace {

using cluster::v1::AgentClient;

constexpr absl::Duration kTick = absl::Milliseconds(500);
constexpr absl::Duration kPeriodDefault = absl::Seconds(5);
constexpr absl::Duration kReadRetry = absl::Milliseconds(200);

}  // namespace

ClusterSupervisor::ClusterSupervisor(ClusterEnv env)
    : env_(env),
      writer_(
          std::make_shared<RecordWriter>(env.store, &env.runtime->scheduler())),
      toll_(env.reap) {}

ClusterSupervisor::~ClusterSupervisor() { writer_->Close(); }

// -- Taking over -------------------------------------------------------------

InitResult ClusterSupervisor::Init(
    const cluster::v1::SupervisorOptions& options, Context&) {
  id_ = options.supervisor();
  return Ok(Continue(Info(LookAgain{})));
}

Next ClusterSupervisor::HandleContinue(Info, Context& self) {
  const Keys& keys = env_.membership->keys();
  for (;;) {
    // It is one claim's for as long as it lives.
    absl::StatusOr<Epoch> token = self.fencing_token();
    if (token.ok()) {
      epoch_ = *token;
      break;
    }
    static_cast<void>(co_await self.Sleep(kReadRetry));
  }
  for (;;) {
    absl::StatusOr<RangeResult> children =
        co_await List(keys.ChildPrefix(id_), self);
    absl::StatusOr<RangeResult> record =
        co_await List(keys.Supervisor(id_), self);
    if (children.ok() && record.ok()) {
      TakeRecords(*children, *record, self);
      break;
    }
    self.LogWarning("cannot read the tree's records yet");
    static_cast<void>(co_await self.Sleep(kReadRetry));
  }
  loaded_ = true;
  if (!children_.empty()) {
    std::vector<StoreOp> event;
    event.push_back(
        MakeEvent("supervisor.adopted", nullptr,
                  absl::StrCat("took over ", children_.size(),
                               children_.size() == 1 ? " child" : " children"),
                  self));
    Persist(std::move(event), self);
  }
  Adopt(self);
  AskNodes(self);
  Act(self);
  self.SendAfter(kTick, Info(Tick{}));
  co_return NoReply();
}

void ClusterSupervisor::TakeRecords(const RangeResult& children,
                                    const RangeResult& record, Context& self) {
  const Keys& keys = env_.membership->keys();
  for (const KeyValue& item : record.items) {
    writer_->Know(item);
    if (item.key == keys.Supervisor(id_) &&
        !record_.ParseFromString(item.value)) {
      self.LogError(absl::StrCat("the record ", item.key,
                                 " cannot be parsed; it is left alone"));
    }
  }
  std::map<std::string, std::unique_ptr<Child>> found;
  // Those that were added come in the order in which that happened.
  std::map<std::pair<int64_t, std::string>, std::string> dynamic;
  for (const KeyValue& item : children.items) {
    writer_->Know(item);
    auto child = std::make_unique<Child>();
    store::v1::ChildRecord& read = child->record;
    if (!read.ParseFromString(item.value) || read.spec().id().empty()) {
      self.LogError(absl::StrCat("the record ", item.key,
                                 " cannot be parsed; it is left alone"));
      continue;
    }
    child->spec = DeterministicBytes(read.spec());
    child->ran = !read.instance().empty();
    if (read.has_ended()) child->phase = ChildPhase::kEnded;
    if (read.dynamic()) {
      dynamic[{item.create_revision, read.spec().id()}] = read.spec().id();
    }
    std::string id = read.spec().id();
    found[std::move(id)] = std::move(child);
  }
  const auto take = [&](const std::string& id) {
    const auto at = found.find(id);
    if (at == found.end()) return;
    children_.push_back(std::move(at->second));
    found.erase(at);
  };
  for (const std::string& id : record_.order()) take(id);
  for (const auto& [when, id] : dynamic) take(id);
  // Those that are being stopped are in no order any more.
  for (auto& [id, child] : found) children_.push_back(std::move(child));
  Reindex();

  const absl::Duration period = FromProtoDuration(record_.period());
  window_ =
      RestartWindow(record_.intensity(),
                    period > absl::ZeroDuration() ? period : kPeriodDefault);
  std::vector<absl::Duration> ages;
  for (const auto& age : record_.restart_ages()) {
    ages.push_back(FromProtoDuration(age));
  }
  window_.Restore(ages, self.Now());
}

void ClusterSupervisor::Adopt(Context& self) {
  const uint64_t generation = env_.membership->generation();
  for (auto& child : children_) {
    if (child->phase != ChildPhase::kIdle) continue;
    const store::v1::ChildRecord& record = child->record;
    const auto view = env_.registry->Record(record.spec().name());
    const bool ours = view.has_value() && view->record.supervisor() == id_ &&
                      view->record.child() == record.spec().id();
    if (!ours) continue;
    child->ran = true;
    child->node = view->record.owner();
    child->node_epoch = Epoch{generation, view->record.owner_revision()};
    child->instance = view->record.instance();
    if (!env_.registry->IsOwned(view->record)) {
      // Its node died while nobody looked, unless it was on its way down.
      const bool ran = record.wanted() && !HasFailed() &&
                       record.taken_down() != child->instance;
      if (ran) {
        child->phase = ChildPhase::kRunning;  // For NodeDied.
      } else {
        child->node.clear();
        child->instance.clear();
      }
      continue;
    }
    if (record.instance() != child->instance &&
        record.taken_down() != child->instance) {
      // Started by an order that was not answered, or with another spec, or
      // on its way to be started again: it is ordered there, in its turn, and
      // its node says what runs already.
      child->unsure = true;
      continue;
    }
    child->phase = ChildPhase::kRunning;
    child->started_at = self.Now();
    child->pid = Pid{child->node, child->node_epoch, view->record.process()};
    child->epoch = Epoch{generation, static_cast<uint64_t>(view->mod_revision)};
    child->taken_down = record.taken_down() == child->instance;
    child->started_spec = child->spec;
    self.LogInfo(absl::StrCat("adopted '", record.spec().name(), "' on node '",
                              child->node, "'"));
  }
}

void ClusterSupervisor::AskNodes(Context& self) {
  Runtime* const runtime = env_.runtime;
  const Pid pid = self.pid();
  for (const Member& member : env_.membership->Members()) {
    const std::string node = member.record.node();
    cluster::v1::ReportChildrenRequest request;
    *request.mutable_order() = MakeOrder();
    AgentClient agent(self, ServerRef::Local(kAgentName, node));
    agent.ReportChildren(std::move(request))
        .Then([runtime, pid, node](
                  absl::StatusOr<cluster::v1::ReportChildrenResponse> result) {
          runtime->SendLocal(pid, Info(Reported{node, std::move(result)}));
        });
  }
}

void ClusterSupervisor::TakeReport(Reported& reported, Context& self) {
  if (!reported.result.ok()) return;  // Its name records speak for it.
  std::set<std::string> seen;
  for (const cluster::v1::ChildReport& report : reported.result->children()) {
    seen.insert(report.child());
    Child* const child = Find(report.child());
    if (child == nullptr || child->phase != ChildPhase::kRunning ||
        child->node != reported.node || child->instance != report.instance()) {
      continue;
    }
    if (report.has_ended()) {
      Exited(*child, ExitReason::FromProto(report.ended()), self);
    }
  }
  for (auto& child : children_) {
    if (child->phase == ChildPhase::kRunning && child->node == reported.node &&
        child->order == 0 && !seen.contains(child->record.spec().id())) {
      // Its record stands, and the node knows nothing of it.
      child->phase = ChildPhase::kIdle;
      child->detail = "lost by its node";
    }
  }
}

// -- Children ----------------------------------------------------------------

ClusterSupervisor::Child* ClusterSupervisor::Find(const std::string& id) {
  const auto at = by_id_.find(id);
  return at == by_id_.end() ? nullptr : at->second;
}

void ClusterSupervisor::Reindex() {
  by_id_.clear();
  for (const auto& child : children_) {
    by_id_[child->record.spec().id()] = child.get();
  }
}

void ClusterSupervisor::SetSpec(Child& child,
                                const store::v1::ChildSpec& spec) const {
  *child.record.mutable_spec() = spec;
  child.spec = DeterministicBytes(spec);
}

bool ClusterSupervisor::IsUp(const Child& child) const {
  return child.phase == ChildPhase::kStarting ||
         child.phase == ChildPhase::kRunning ||
         child.phase == ChildPhase::kStopping ||
         child.phase == ChildPhase::kMoving;
}

std::string ClusterSupervisor::OwnerOf(const Child& child) const {
  const store::v1::ChildSpec& spec = child.record.spec();
  const auto view = env_.registry->Record(spec.name());
  const bool ours = view.has_value() && view->record.supervisor() == id_ &&
                    view->record.child() == spec.id() &&
                    env_.registry->IsOwned(view->record);
  return ours ? view->record.owner() : "";
}

void ClusterSupervisor::CheckOwner(Child& child, Context& self) {
  if (child.phase != ChildPhase::kRunning) return;
  const store::v1::ChildSpec& spec = child.record.spec();
  const auto view = env_.registry->Record(spec.name());
  const bool elsewhere =
      view.has_value() && view->record.supervisor() == id_ &&
      view->record.child() == spec.id() &&
      view->record.instance() != child.instance &&
      view->mod_revision > static_cast<int64_t>(child.epoch.revision) &&
      env_.registry->IsOwned(view->record);
  if (!elsewhere) return;
  self.LogInfo(absl::StrCat("child '", spec.id(), "' runs on node '",
                            view->record.owner(), "' by now"));
  child.node = view->record.owner();
  child.node_epoch =
      Epoch{env_.membership->generation(), view->record.owner_revision()};
  child.instance = view->record.instance();
  if (child.taken_down) return;  // It goes down there.
  child.phase = ChildPhase::kIdle;
}

std::string ClusterSupervisor::MayBeAt(const Child& child) const {
  std::string owner = OwnerOf(child);
  for (const auto& [node, epoch] : child.unanswered) {
    if (!owner.empty()) break;
    if (IsMember(node, epoch)) owner = node;
  }
  return owner;
}

bool ClusterSupervisor::IsMember(const std::string& node, Epoch epoch) const {
  return env_.membership->IsCurrent(node, static_cast<int64_t>(epoch.revision));
}

// -- Messages ----------------------------------------------------------------

Next ClusterSupervisor::ChildExited(
    const cluster::v1::ChildExitedRequest& request, Context& self) {
  const cluster::v1::ChildReport& report = request.report();
  Child* const child = Find(report.child());
  if (!loaded_ || child == nullptr || child->phase != ChildPhase::kRunning) {
    return NoReply();
  }
  if (child->node == request.node() && child->instance == report.instance()) {
    Exited(*child, ExitReason::FromProto(report.ended()), self);
  } else {
    CheckOwner(*child, self);
  }
  Act(self);
  return NoReply();
}

Next ClusterSupervisor::HandleInfo(Info info, Context& self) {
  if (auto* started = info.MutableValue<StartDone>()) {
    Started(*started, self);
  } else if (auto* stopped = info.MutableValue<StopDone>()) {
    Stopped(*stopped, self);
  } else if (auto* moved = info.MutableValue<MoveDone>()) {
    Moved(*moved, self);
  } else if (auto* reported = info.MutableValue<Reported>()) {
    TakeReport(*reported, self);
  } else if (auto* decided = info.MutableValue<Decided>()) {
    TakeDecided(*decided, self);
  } else if (auto* known = info.MutableValue<DeathKnown>()) {
    TakeDeath(*known, self);
  } else if (auto* freed = info.MutableValue<Freed>()) {
    TakeFreed(*freed, self);
  } else if (info.As<Tick>() != nullptr) {
    for (auto& child : children_) CheckOwner(*child, self);
    TellLostEvents(self);
    self.SendAfter(kTick, Info(Tick{}));
  } else if (info.As<LookAgain>() == nullptr) {
    return ClusterSupervisorServer::HandleInfo(std::move(info), self);
  }
  if (info.As<LookAgain>() != nullptr || info.As<DeathKnown>() != nullptr) {
    Act(self);
  } else {
    ActSoon(self);
  }
  return NoReply();
}

Reply<cluster::v1::GetChildrenResponse> ClusterSupervisor::GetChildren(
    const cluster::v1::GetChildrenRequest&, Context&) {
  cluster::v1::GetChildrenResponse response;
  response.set_strategy(record_.strategy());
  response.set_intensity(record_.intensity());
  *response.mutable_period() = record_.period();
  response.set_failed(record_.failed());
  for (const auto& child : children_) {
    cluster::v1::ChildState& state = *response.add_children();
    *state.mutable_spec() = child->record.spec();
    // They may be large, and who wrote them knows them.
    state.mutable_spec()->clear_options();
    const bool restarting = child->phase == ChildPhase::kIdle &&
                            !child->instance.empty() && !child->node.empty();
    const bool runs = child->phase == ChildPhase::kRunning ||
                      child->phase == ChildPhase::kMoving;
    state.set_state(restarting ? "restarting"
                    : runs     ? "running"
                               : std::string(ChildPhaseName(child->phase)));
    state.set_node(child->node);
    if (runs) {
      *state.mutable_pid() = child->pid.ToProto();
      *state.mutable_epoch() = child->epoch.ToProto();
    }
    if (child->phase == ChildPhase::kEnded) {
      state.set_detail(ExitReason::FromProto(child->record.ended()).ToString());
    } else if (child->phase == ChildPhase::kMoving) {
      state.set_detail(absl::StrCat("moving to node '", child->to_node, "'"));
    } else {
      state.set_detail(child->detail);
    }
  }
  return response;
}

}  // namespace muster
