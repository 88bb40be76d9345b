#include "cluster/supervisor/cluster_supervisor.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "muster/cluster/v1/cluster.muster.client.h"
#include "node/base/mutex.h"
#include "node/types/status.h"

namespace muster {
namespace {

using cluster::v1::AgentClient;
using google::protobuf::util::TimeUtil;
using Op = Compare::Op;

constexpr uint32_t kSchema = 1;
constexpr absl::Duration kTxnTimeout = absl::Seconds(1);
constexpr absl::Duration kListTimeout = absl::Seconds(2);
// An order waits this long for its answer; then the next look decides.
constexpr absl::Duration kOrderTimeout = absl::Seconds(30);
constexpr absl::Duration kTick = absl::Milliseconds(500);
constexpr absl::Duration kBackoffMin = absl::Milliseconds(100);
constexpr absl::Duration kBackoffMax = absl::Seconds(5);
// After a stop that should have freed a name: how long the copy of the names
// may still show it.
constexpr absl::Duration kReleaseLag = absl::Milliseconds(100);
// How often and when a record is written again if the store did not answer.
constexpr int kWriteTriesMax = 10;
constexpr absl::Duration kWriteRetry = absl::Milliseconds(200);
// Records written by one transaction (guarantees R15).
constexpr size_t kOpsMax = 100;
constexpr int kChildrenMax = 10'000;
constexpr uint32_t kIntensityMax = 1'000'000;

absl::Duration FromProtoDuration(const google::protobuf::Duration& d) {
  return absl::Nanoseconds(TimeUtil::DurationToNanoseconds(d));
}

google::protobuf::Duration ToProtoDuration(absl::Duration d) {
  return TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(d));
}

Error BadTree(absl::string_view path, absl::string_view text) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_MANIFEST",
               absl::StrCat(path, ": ", text))
      .With("path", path)
      .NotExecuted();
}

}  // namespace

// Outlives the supervisor in the callbacks of what is under way. THREADS: any.
class ClusterSupervisor::Writer
    : public std::enable_shared_from_this<ClusterSupervisor::Writer> {
 public:
  Writer(Store* store, Runtime* runtime) : store_(store), runtime_(runtime) {}

  // Commits `txn` after all that came before. It is tried at most `tries`
  // times; since it compares the supervisor's epoch and only puts and deletes,
  // a second time does no harm. `done` may be null.
  void Write(Txn txn, int tries, Store::Done<TxnResult> done)
      ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(&mu_);
      if (closed_) return;
      queue_.push_back(Item{std::move(txn), tries, std::move(done)});
      if (std::exchange(writing_, true)) return;
    }
    Next();
  }

  // The supervisor ends; what has not been sent is dropped.
  void Close() ABSL_LOCKS_EXCLUDED(mu_) {
    std::deque<Item> dropped;
    MutexLock lock(&mu_);
    closed_ = true;
    dropped.swap(queue_);
  }

 private:
  struct Item {
    Txn txn;
    int tries;
    Store::Done<TxnResult> done;
  };

  void Next() ABSL_LOCKS_EXCLUDED(mu_) {
    Txn txn;
    {
      MutexLock lock(&mu_);
      if (closed_ || queue_.empty()) {
        writing_ = false;
        return;
      }
      --queue_.front().tries;
      txn = queue_.front().txn;
    }
    store_->Commit(
        std::move(txn), kTxnTimeout,
        [self = shared_from_this()](absl::StatusOr<TxnResult> result) mutable {
          self->Written(std::move(result));
        });
  }

  void Written(absl::StatusOr<TxnResult> result) ABSL_LOCKS_EXCLUDED(mu_) {
    Store::Done<TxnResult> done;
    bool again = false;
    {
      MutexLock lock(&mu_);
      if (closed_) return;
      again = !result.ok() && queue_.front().tries > 0;
      if (!again) {
        done = std::move(queue_.front().done);
        queue_.pop_front();
      }
    }
    if (again) {
      runtime_->scheduler().At(runtime_->clock().Boot() + kWriteRetry,
                               [self = shared_from_this()] { self->Next(); });
      return;
    }
    if (done) done(std::move(result));
    Next();
  }

  Store* const store_;
  Runtime* const runtime_;

  Mutex mu_;
  std::deque<Item> queue_ ABSL_GUARDED_BY(mu_);  // The front is being written.
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

ClusterSupervisor::ClusterSupervisor(ClusterEnv env)
    : env_(env), writer_(std::make_shared<Writer>(env.store, env.runtime)) {}

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
    absl::StatusOr<RangeResult> children =
        co_await List(keys.ChildPrefix(id_), self);
    absl::StatusOr<RangeResult> record =
        co_await List(keys.Supervisor(id_), self);
    if (!children.ok() || !record.ok()) {
      self.LogWarning("cannot read the tree's records yet");
      static_cast<void>(co_await self.Sleep(absl::Milliseconds(200)));
      continue;
    }
    for (const KeyValue& item : record->items) {
      if (item.key == keys.Supervisor(id_) &&
          !record_.ParseFromString(item.value)) {
        self.LogError(absl::StrCat("the record ", item.key,
                                   " cannot be parsed; it is left alone"));
      }
    }
    std::map<std::string, std::unique_ptr<Child>> found;
    for (const KeyValue& item : children->items) {
      auto child = std::make_unique<Child>();
      if (!child->record.ParseFromString(item.value) ||
          child->record.spec().id().empty()) {
        self.LogError(absl::StrCat("the record ", item.key,
                                   " cannot be parsed; it is left alone"));
        continue;
      }
      if (child->record.has_ended()) child->phase = ChildPhase::kEnded;
      std::string id = child->record.spec().id();
      found[std::move(id)] = std::move(child);
    }
    for (const std::string& id : record_.order()) {
      const auto at = found.find(id);
      if (at == found.end()) continue;
      children_.push_back(std::move(at->second));
      found.erase(at);
    }
    // Those that are being stopped are in no order any more.
    for (auto& [id, child] : found) children_.push_back(std::move(child));
    break;
  }
  const absl::Duration period = FromProtoDuration(record_.period());
  window_ =
      RestartWindow(record_.intensity(),
                    period > absl::ZeroDuration() ? period : absl::Seconds(5));
  std::vector<absl::Duration> ages;
  for (const auto& age : record_.restart_ages()) {
    ages.push_back(FromProtoDuration(age));
  }
  window_.Restore(ages, self.Now());
  loaded_ = true;
  Adopt(self);
  AskNodes(self);
  Act(self);
  self.SendAfter(kTick, Info(Tick{}));
  co_return NoReply();
}

void ClusterSupervisor::Adopt(Context& self) {
  for (auto& child : children_) {
    if (child->phase != ChildPhase::kIdle) continue;
    const auto view = env_.registry->Record(child->record.spec().name());
    if (!view.has_value() || view->record.supervisor() != id_ ||
        view->record.child() != child->record.spec().id() ||
        !env_.registry->IsOwned(view->record)) {
      continue;
    }
    const uint64_t generation = env_.membership->generation();
    child->phase = ChildPhase::kRunning;
    child->node = view->record.owner();
    child->node_epoch = Epoch{generation, view->record.owner_revision()};
    child->pid = Pid{child->node, child->node_epoch, view->record.process()};
    child->epoch = Epoch{generation, static_cast<uint64_t>(view->mod_revision)};
    child->instance = view->record.instance();
    // Apply clears the record's instance when it changes the spec; what runs
    // was then started with another one.
    if (child->record.instance() == child->instance) {
      child->started_spec = child->record.spec().SerializeAsString();
    }
    self.LogInfo(absl::StrCat("adopted '", child->record.spec().name(),
                              "' on node '", child->node, "'"));
  }
}

void ClusterSupervisor::AskNodes(Context& self) {
  Runtime* const runtime = env_.runtime;
  const Pid pid = self.pid();
  for (const Member& member : env_.membership->Members()) {
    const std::string node = member.record.node();
    cluster::v1::ReportChildrenRequest request;
    *request.mutable_order() = MakeOrder(self);
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

// -- Applying ----------------------------------------------------------------

Reply<cluster::v1::ApplyResponse> ClusterSupervisor::Apply(
    const cluster::v1::ApplyRequest& request, Context& self) {
  if (!loaded_) {
    co_return Error(absl::StatusCode::kUnavailable, "RESTARTING",
                    "the supervisor is still reading its records")
        .NotExecuted()
        .status();
  }
  // Everything is checked before anything is stored.
  if (request.strategy() != store::v1::ONE_FOR_ONE &&
      request.strategy() != store::v1::STRATEGY_UNSPECIFIED) {
    co_return BadTree("strategy", "cluster supervisors have one_for_one so far")
        .status();
  }
  const absl::Duration period = FromProtoDuration(request.period());
  if (period <= absl::ZeroDuration()) {
    co_return BadTree("period", "must be positive, for example 5s").status();
  }
  if (request.intensity() > kIntensityMax) {
    co_return BadTree("intensity", absl::StrCat("at most ", kIntensityMax))
        .status();
  }
  if (request.children_size() > kChildrenMax) {
    co_return Error(
        absl::StatusCode::kResourceExhausted, "TOO_MANY_CHILDREN",
        absl::StrCat("a tree has at most ", kChildrenMax, " children"))
        .NotExecuted()
        .status();
  }
  std::map<std::string, std::string> ids;    // Child id -> its path.
  std::map<std::string, std::string> names;  // Name -> child id.
  for (int i = 0; i < request.children_size(); ++i) {
    const store::v1::ChildSpec& spec = request.children(i);
    const std::string path = absl::StrCat("children[", i, "]");
    if (!ids.emplace(spec.id(), path).second) {
      co_return BadTree(absl::StrCat(path, ".id"),
                        absl::StrCat("'", spec.id(), "' is also the id of ",
                                     ids[spec.id()], ": ids are unique"))
          .status();
    }
    if (!names.emplace(spec.name(), spec.id()).second) {
      co_return BadTree(
          absl::StrCat(path, ".name"),
          absl::StrCat("'", spec.name(), "' is also the name of child '",
                       names[spec.name()], "': names are unique"))
          .status();
    }
  }
  const Keys& keys = env_.membership->keys();
  absl::StatusOr<RangeResult> all = co_await List(keys.ChildPrefix(), self);
  if (!all.ok()) co_return all.status();
  const auto taken = [](const std::string& name, const std::string& by) {
    return Error(absl::StatusCode::kAlreadyExists, "NAME_TAKEN",
                 absl::StrCat("the name '", name, "' is taken by ", by,
                              ": names are cluster-wide; give the child "
                              "another `name`"))
        .With("name", name)
        .NotExecuted()
        .status();
  };
  for (const KeyValue& item : all->items) {
    store::v1::ChildRecord other;
    if (!other.ParseFromString(item.value) || other.supervisor() == id_ ||
        !other.wanted() || !names.contains(other.spec().name())) {
      continue;
    }
    co_return taken(other.spec().name(),
                    absl::StrCat("child '", other.spec().id(),
                                 "' of supervisor '", other.supervisor(), "'"));
  }
  for (const auto& [name, child] : names) {
    const auto view = env_.registry->Record(name);
    if (view.has_value() && env_.registry->IsOwned(view->record) &&
        view->record.supervisor() != id_) {
      co_return taken(
          name, absl::StrCat("a process on node '", view->record.owner(), "'"));
    }
  }

  // What changes.
  cluster::v1::ApplyResponse response;
  std::vector<std::unique_ptr<Child>> next;
  std::vector<StoreOp> ops;
  std::vector<size_t> revised;  // Indexes into next whose record is replaced.
  for (const store::v1::ChildSpec& spec : request.children()) {
    Child* const old = Find(spec.id());
    auto child = std::make_unique<Child>();
    child->record.set_schema(kSchema);
    child->record.set_supervisor(id_);
    *child->record.mutable_spec() = spec;
    child->record.set_wanted(true);
    const bool same =
        old != nullptr && old->record.wanted() &&
        old->record.spec().SerializeAsString() == spec.SerializeAsString();
    if (same) child->record.set_instance(old->record.instance());
    if (same && old->phase != ChildPhase::kEnded && record_.failed().empty()) {
      response.add_unchanged(spec.id());
    } else if (same && old->phase == ChildPhase::kEnded) {
      response.add_unchanged(spec.id());  // It ended as its type allows.
      *child->record.mutable_ended() = old->record.ended();
    } else if (old != nullptr && old->record.wanted() &&
               old->phase == ChildPhase::kRunning) {
      response.add_restarted(spec.id());
    } else {
      response.add_started(spec.id());
    }
    if (!same) ops.push_back(PutChild(*child));
    next.push_back(std::move(child));
  }
  std::vector<std::string> removed;
  for (const auto& child : children_) {
    const std::string& id = child->record.spec().id();
    if (ids.contains(id)) continue;
    if (child->record.wanted()) response.add_stopped(id);
    Child gone;
    gone.record = child->record;
    gone.record.set_wanted(false);
    ops.push_back(PutChild(gone));
    removed.push_back(id);
  }
  store::v1::SupervisorRecord record = record_;
  record.set_schema(kSchema);
  record.set_supervisor(id_);
  record.set_strategy(store::v1::ONE_FOR_ONE);
  record.set_intensity(request.intensity());
  *record.mutable_period() = request.period();
  record.clear_order();
  for (const auto& child : next) record.add_order(child->record.spec().id());
  record.clear_failed();
  record.clear_restart_ages();
  const bool flags_changed =
      record.SerializeAsString() != record_.SerializeAsString();
  // The order comes last: it is what makes new children part of the tree.
  if (!ops.empty() || flags_changed) {
    ops.push_back(
        StoreOp::Put(keys.Supervisor(id_), record.SerializeAsString()));
  }
  for (size_t from = 0; from < ops.size(); from += kOpsMax) {
    Txn txn;
    txn.compares = OwnCompares(self);
    for (size_t i = from; i < std::min(from + kOpsMax, ops.size()); ++i) {
      txn.then.push_back(ops[i]);
    }
    absl::StatusOr<TxnResult> result = co_await Write(std::move(txn), self);
    if (!result.ok()) co_return result.status();
    if (!result->succeeded) {
      co_return Error(absl::StatusCode::kAborted, "FENCED",
                      "another node has taken over this supervisor: apply "
                      "again")
          .NotExecuted()
          .status();
    }
  }

  // Stored: now it is so.
  const bool had_failed = !record_.failed().empty();
  record_ = std::move(record);
  window_ = RestartWindow(request.intensity(), period);
  for (auto& child : next) {
    Child* const old = Find(child->record.spec().id());
    if (old == nullptr) continue;
    Child merged = std::move(*old);
    const bool changed = merged.record.spec().SerializeAsString() !=
                         child->record.spec().SerializeAsString();
    merged.record = child->record;
    if (changed || had_failed || !old->record.wanted()) {
      merged.failures = 0;
      merged.not_before = BootTime();
    }
    if (merged.phase == ChildPhase::kEnded && !merged.record.has_ended()) {
      merged.phase = ChildPhase::kIdle;
    }
    *child = std::move(merged);
  }
  for (const std::string& id : removed) {
    for (auto& child : children_) {
      if (child != nullptr && child->record.spec().id() == id) {
        child->record.set_wanted(false);
        next.push_back(std::move(child));
      }
    }
    std::erase(children_, nullptr);
  }
  children_ = std::move(next);
  Act(self);
  co_return response;
}

// -- Acting ------------------------------------------------------------------

ClusterSupervisor::Child* ClusterSupervisor::Find(const std::string& id) {
  for (auto& child : children_) {
    if (child != nullptr && child->record.spec().id() == id) {
      return child.get();
    }
  }
  return nullptr;
}

std::string ClusterSupervisor::OwnerOf(const Child& child) const {
  const store::v1::ChildSpec& spec = child.record.spec();
  const auto view = env_.registry->Record(spec.name());
  const bool ours = view.has_value() && view->record.supervisor() == id_ &&
                    view->record.child() == spec.id() &&
                    env_.registry->IsOwned(view->record);
  return ours ? view->record.owner() : "";
}

cluster::v1::Order ClusterSupervisor::MakeOrder(Context& self) const {
  cluster::v1::Order order;
  order.set_supervisor(id_);
  // Without the token the order would not be sent either.
  absl::StatusOr<Epoch> token = self.fencing_token();
  if (token.ok()) *order.mutable_epoch() = token->ToProto();
  return order;
}

void ClusterSupervisor::CheckNodes(Context& self) {
  for (auto& child : children_) {
    if (child->phase != ChildPhase::kStarting &&
        child->phase != ChildPhase::kRunning &&
        child->phase != ChildPhase::kStopping) {
      continue;
    }
    if (env_.membership->IsCurrent(
            child->node, static_cast<int64_t>(child->node_epoch.revision))) {
      continue;
    }
    // Its node's epoch is dead: an abnormal exit (otp 16.1, decision 8), and
    // no restart event, since a lost host is none.
    self.LogWarning(absl::StrCat("node '", child->node, "' of child '",
                                 child->record.spec().id(), "' is gone"));
    child->order = 0;
    child->detail = absl::StrCat("node '", child->node, "' died");
    child->node.clear();
    child->phase =
        child->record.has_ended() ? ChildPhase::kEnded : ChildPhase::kIdle;
    if (child->phase == ChildPhase::kIdle &&
        child->record.spec().restart() == store::v1::TEMPORARY &&
        child->record.wanted()) {
      child->phase = ChildPhase::kEnded;
      *child->record.mutable_ended() = ExitReason::Noconnection().ToProto();
      Persist({PutChild(*child)}, self);
    }
  }
}

std::string ClusterSupervisor::MayBeAt(const Child& child) const {
  std::string owner = OwnerOf(child);
  if (owner.empty() &&
      env_.membership->IsCurrent(
          child.unanswered_node,
          static_cast<int64_t>(child.unanswered_epoch.revision))) {
    owner = child.unanswered_node;
  }
  return owner;
}

void ClusterSupervisor::Act(Context& self) {
  if (!loaded_) return;
  CheckNodes(self);
  const Keys& keys = env_.membership->keys();
  // Forget what is neither wanted nor anywhere.
  std::vector<StoreOp> forget;
  for (auto& child : children_) {
    if (!child->record.wanted() &&
        (child->phase == ChildPhase::kIdle ||
         child->phase == ChildPhase::kEnded) &&
        MayBeAt(*child).empty()) {
      forget.push_back(
          StoreOp::Delete(keys.Child(id_, child->record.spec().id())));
      child.reset();
    }
  }
  std::erase(children_, nullptr);
  if (!forget.empty()) Persist(std::move(forget), self);

  std::map<std::string, int> loads;
  for (const NameEntry& entry : env_.registry->List("")) {
    if (!entry.supervisor.empty() && entry.supervisor != kHostSupervisor) {
      ++loads[entry.pid.node];
    }
  }
  std::vector<MemberView> members;
  for (const Member& member : env_.membership->Members()) {
    MemberView view;
    view.node = member.record.node();
    for (const auto& type : member.record.types()) {
      view.types.push_back(type.type());
    }
    view.load = loads[view.node];
    members.push_back(std::move(view));
  }
  std::vector<ChildView> views;
  for (const auto& child : children_) {
    const store::v1::ChildSpec& spec = child->record.spec();
    ChildView view;
    view.id = spec.id();
    view.type = spec.type();
    view.phase = child->phase;
    view.node = child->node;
    view.wanted = child->record.wanted() && record_.failed().empty();
    view.outdated = child->phase == ChildPhase::kRunning &&
                    child->started_spec != spec.SerializeAsString();
    view.not_before = child->not_before;
    if (child->phase == ChildPhase::kIdle ||
        child->phase == ChildPhase::kEnded) {
      // Only its owner can start it again, or free its name, while it lives.
      view.node = view.wanted ? OwnerOf(*child) : MayBeAt(*child);
    }
    views.push_back(std::move(view));
  }
  // Starts that are on their way are not in any name record yet.
  for (const auto& child : children_) {
    if (child->phase != ChildPhase::kStarting) continue;
    if (env_.registry->Record(child->record.spec().name()).has_value()) {
      continue;
    }
    for (MemberView& member : members) {
      if (member.node == child->node) ++member.load;
    }
  }
  for (const Action& action :
       Reconcile(views, std::move(members), self.Now())) {
    Child& child = *children_[action.child];
    switch (action.kind) {
      case Action::Kind::kStart:
        StartOn(child, action.node, self);
        break;
      case Action::Kind::kStop:
        child.node = action.node;
        StopAt(child, self);
        break;
      case Action::Kind::kPending:
        child.detail = action.why;
        break;
    }
  }
}

void ClusterSupervisor::StartOn(Child& child, const std::string& node,
                                Context& self) {
  const auto member = env_.membership->Find(node);
  if (!member.has_value()) return;
  child.phase = ChildPhase::kStarting;
  child.node = node;
  child.node_epoch = member->epoch;
  child.order = next_order_++;
  child.started_spec = child.record.spec().SerializeAsString();
  cluster::v1::StartChildRequest request;
  *request.mutable_order() = MakeOrder(self);
  *request.mutable_spec() = child.record.spec();
  CallOptions options;
  options.timeout = kOrderTimeout;
  Runtime* const runtime = env_.runtime;
  AgentClient agent(self, ServerRef::Local(kAgentName, node));
  agent.StartChild(std::move(request), options)
      .Then([runtime, pid = self.pid(), id = child.record.spec().id(),
             order = child.order](
                absl::StatusOr<cluster::v1::StartChildResponse> result) {
        runtime->SendLocal(pid, Info(StartDone{id, order, std::move(result)}));
      });
}

void ClusterSupervisor::StopAt(Child& child, Context& self) {
  if (child.phase != ChildPhase::kRunning) {  // Only its name is to be freed.
    const auto member = env_.membership->Find(child.node);
    if (!member.has_value()) return;
    child.node_epoch = member->epoch;
    child.not_before = self.Now() + kReleaseLag;
  }
  child.phase = ChildPhase::kStopping;
  child.order = next_order_++;
  cluster::v1::StopChildRequest request;
  *request.mutable_order() = MakeOrder(self);
  request.set_child(child.record.spec().id());
  *request.mutable_shutdown() = child.record.spec().shutdown();
  CallOptions options;
  options.timeout =
      child.record.spec().shutdown().infinity()
          ? absl::InfiniteDuration()
          : kOrderTimeout +
                FromProtoDuration(child.record.spec().shutdown().timeout());
  Runtime* const runtime = env_.runtime;
  AgentClient agent(self, ServerRef::Local(kAgentName, child.node));
  agent.StopChild(std::move(request), options)
      .Then([runtime, pid = self.pid(), id = child.record.spec().id(),
             order = child.order](
                absl::StatusOr<cluster::v1::StopChildResponse> result) {
        runtime->SendLocal(pid, Info(StopDone{id, order, result.status()}));
      });
}

void ClusterSupervisor::Started(StartDone& done, Context& self) {
  Child* const child = Find(done.child);
  if (child == nullptr || child->order != done.order ||
      child->phase != ChildPhase::kStarting) {
    return;
  }
  if (done.result.ok()) {
    child->phase = ChildPhase::kRunning;
    child->pid = Pid::FromProto(done.result->pid());
    child->epoch = Epoch::FromProto(done.result->epoch());
    child->instance = done.result->instance();
    child->detail.clear();
    child->unanswered_node.clear();
    child->failures = 0;
    child->started_spec = done.result->spec().SerializeAsString();
    // The record's instance is one of the record's own spec.
    if (child->started_spec == child->record.spec().SerializeAsString()) {
      child->record.set_instance(child->instance);
    } else {
      child->record.clear_instance();
    }
    Persist({PutChild(*child)}, self);
    return;
  }
  const absl::Status& status = done.result.status();
  const std::string reason = ReasonOf(status);
  if (OutcomeOf(status) == Outcome::kUnknown) {
    child->unanswered_node = child->node;
    child->unanswered_epoch = child->node_epoch;
  }
  child->phase = ChildPhase::kIdle;
  child->detail = std::string(status.message());
  if (reason == "IGNORED") {  // otp S7, S24
    child->phase = ChildPhase::kEnded;
    *child->record.mutable_ended() = ExitReason::Normal().ToProto();
    Persist({PutChild(*child)}, self);
    return;
  }
  self.LogWarning(absl::StrCat("child '", done.child, "' did not start on '",
                               child->node, "': ", status.message()));
  Backoff(*child, self);
  // A start that failed by itself counts as a restart (otp S21); one that
  // could not be tried does not.
  const Outcome outcome = OutcomeOf(status);
  if (outcome == Outcome::kExecuted && reason != "FENCED") CountRestart(self);
}

void ClusterSupervisor::Stopped(StopDone& done, Context& self) {
  Child* const child = Find(done.child);
  if (child == nullptr || child->order != done.order ||
      child->phase != ChildPhase::kStopping) {
    return;
  }
  if (done.status.ok()) {
    child->phase =
        child->record.has_ended() ? ChildPhase::kEnded : ChildPhase::kIdle;
    if (child->unanswered_node == child->node) child->unanswered_node.clear();
    child->node.clear();
    child->pid = Pid();
    child->instance.clear();
    child->order = 0;
    return;
  }
  // Again a little later, unless its node dies first.
  self.LogWarning(absl::StrCat("child '", done.child,
                               "' did not stop: ", done.status.message()));
  child->phase =
      child->record.has_ended() ? ChildPhase::kEnded : ChildPhase::kRunning;
  Backoff(*child, self);
}

void ClusterSupervisor::Backoff(Child& child, Context& self) {
  absl::Duration delay = kBackoffMin;
  for (int i = 0; i < child.failures && delay < kBackoffMax; ++i) delay *= 2;
  delay = std::min(delay, kBackoffMax);
  ++child.failures;
  child.not_before = self.Now() + delay + self.random().Jitter(delay / 4);
  self.SendAfter(child.not_before - self.Now(), Info(LookAgain{}));
}

bool ClusterSupervisor::CountRestart(Context& self) {
  const bool tolerated = window_.Add(self.Now());
  if (tolerated) {
    Persist({PutSupervisor(self)}, self);
  } else {
    GiveUp(
        absl::StrCat("more than ", record_.intensity(), " restarts within ",
                     absl::FormatDuration(FromProtoDuration(record_.period()))),
        self);
  }
  return tolerated;
}

void ClusterSupervisor::GiveUp(absl::string_view why, Context& self) {
  self.LogError(absl::StrCat("gives up: ", why,
                             "; its children are stopped until it is applied "
                             "again"));
  record_.set_failed(std::string(why));
  Persist({PutSupervisor(self)}, self);
}

// The table of otp 7.3, over nodes.
void ClusterSupervisor::Exited(Child& child, const ExitReason& reason,
                               Context& self) {
  const store::v1::ChildSpec& spec = child.record.spec();
  child.detail = reason.ToString();
  child.pid = Pid();
  const bool restart =
      spec.restart() == store::v1::PERMANENT ||
      spec.restart() == store::v1::RESTART_UNSPECIFIED ||
      (spec.restart() == store::v1::TRANSIENT && !reason.IsNormal());
  self.LogWarning(absl::StrCat("child '", spec.id(), "' on '", child.node,
                               "' ended: ", reason.ToString(),
                               restart ? ", restarting" : ""));
  if (restart && child.record.wanted()) {
    child.phase = ChildPhase::kIdle;
    CountRestart(self);
    return;
  }
  child.phase = ChildPhase::kEnded;  // Act frees its name.
  *child.record.mutable_ended() = reason.ToProto();
  Persist({PutChild(child)}, self);
}

Next ClusterSupervisor::ChildExited(
    const cluster::v1::ChildExitedRequest& request, Context& self) {
  const cluster::v1::ChildReport& report = request.report();
  Child* const child = Find(report.child());
  if (loaded_ && child != nullptr && child->phase == ChildPhase::kRunning &&
      child->node == request.node() && child->instance == report.instance()) {
    Exited(*child, ExitReason::FromProto(report.ended()), self);
    Act(self);
  }
  return NoReply();
}

Next ClusterSupervisor::HandleInfo(Info info, Context& self) {
  if (auto* started = info.MutableValue<StartDone>()) {
    Started(*started, self);
  } else if (auto* stopped = info.MutableValue<StopDone>()) {
    Stopped(*stopped, self);
  } else if (auto* reported = info.MutableValue<Reported>()) {
    TakeReport(*reported, self);
  } else if (info.As<Tick>() != nullptr) {
    self.SendAfter(kTick, Info(Tick{}));
  } else if (info.As<LookAgain>() == nullptr) {
    return ClusterSupervisorServer::HandleInfo(std::move(info), self);
  }
  Act(self);
  return NoReply();
}

// -- Store -------------------------------------------------------------------

Pending<absl::StatusOr<RangeResult>> ClusterSupervisor::List(
    std::string prefix, Context& self) const {
  return self.Async<absl::StatusOr<RangeResult>>([&](auto done) {
    env_.store->List(std::move(prefix), kListTimeout, std::move(done));
  });
}

Pending<absl::StatusOr<TxnResult>> ClusterSupervisor::Write(
    Txn txn, Context& self) const {
  return self.Async<absl::StatusOr<TxnResult>>(
      [&](auto done) { writer_->Write(std::move(txn), 1, std::move(done)); });
}

// -- Records -----------------------------------------------------------------

std::vector<Compare> ClusterSupervisor::OwnCompares(Context& self) const {
  std::vector<Compare> compares;
  compares.push_back(env_.membership->OwnEpoch());
  absl::StatusOr<Epoch> token = self.fencing_token();
  compares.push_back(Compare::ModRevision(
      env_.membership->keys().Name(SupervisorName(id_)), Op::kEqual,
      token.ok() ? static_cast<int64_t>(token->revision) : -1));
  return compares;
}

StoreOp ClusterSupervisor::PutSupervisor(Context& self) const {
  store::v1::SupervisorRecord record = record_;
  record.clear_restart_ages();
  for (const absl::Duration age : window_.Ages(self.Now())) {
    *record.add_restart_ages() = ToProtoDuration(age);
  }
  return StoreOp::Put(env_.membership->keys().Supervisor(id_),
                      record.SerializeAsString());
}

StoreOp ClusterSupervisor::PutChild(const Child& child) const {
  return StoreOp::Put(
      env_.membership->keys().Child(id_, child.record.spec().id()),
      child.record.SerializeAsString());
}

void ClusterSupervisor::Persist(std::vector<StoreOp> ops, Context& self) {
  for (size_t from = 0; from < ops.size(); from += kOpsMax) {
    Txn txn;
    txn.compares = OwnCompares(self);
    for (size_t i = from; i < std::min(from + kOpsMax, ops.size()); ++i) {
      txn.then.push_back(std::move(ops[i]));
    }
    writer_->Write(std::move(txn), kWriteTriesMax, nullptr);
  }
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
    const bool restarting = child->phase == ChildPhase::kIdle &&
                            !child->instance.empty() && !child->node.empty();
    state.set_state(restarting ? "restarting"
                               : std::string(ChildPhaseName(child->phase)));
    state.set_node(child->node);
    if (child->phase == ChildPhase::kRunning) {
      *state.mutable_pid() = child->pid.ToProto();
      *state.mutable_epoch() = child->epoch.ToProto();
    }
    if (child->phase == ChildPhase::kEnded) {
      state.set_detail(ExitReason::FromProto(child->record.ended()).ToString());
    } else {
      state.set_detail(child->detail);
    }
  }
  return response;
}

}  // namespace muster
