#include "node/registry/registry.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "node/process/result.h"
#include "node/process/signals.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

// Crashes of owners that a registry survives (otp S18, with Elixir's numbers).
constexpr size_t kCrashesMax = 3;
constexpr absl::Duration kCrashPeriod = absl::Seconds(5);

Error BadRegistry(absl::string_view text) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_REGISTRY", text)
      .NotExecuted();
}

absl::Status CheckOptions(const RegistryOptions& options) {
  if (options.name.empty()) return BadRegistry("a registry needs a name");
  if (options.partitions < 1) {
    return BadRegistry(absl::StrCat("registry '", options.name, "' has ",
                                    options.partitions,
                                    " partitions: it needs at least 1"));
  }
  switch (options.kind) {
    case RegistryKind::kUnique:
    case RegistryKind::kDuplicateByPid:
    case RegistryKind::kDuplicateByKey:
      break;
    default:
      return BadRegistry(
          absl::StrCat("registry '", options.name, "' is of no known kind"));
  }
  for (const std::string& listener : options.listeners) {
    if (listener.empty()) {
      return BadRegistry(absl::StrCat("a listener of registry '", options.name,
                                      "' has an empty name"));
    }
  }
  return absl::OkStatus();
}

Error NotUnique(const RegistryOptions& options) {
  return Error(absl::StatusCode::kFailedPrecondition, "NOT_UNIQUE",
               absl::StrCat("registry '", options.name,
                            "' has duplicate keys: via names and update_value "
                            "need a unique one"))
      .NotExecuted();
}

bool Any(const SharedValue&) { return true; }

}  // namespace

// Does nothing but live: whoever registers is linked to it.
class Registry::Owner final : public ProcessBody {
 public:
  const ServiceInfo& service_info() const override {
    static const ServiceInfo kInfo{"", {}};
    return kInfo;
  }
  HandlerResult OnInit(Payload&, Context&) override {
    return InitResult(Ok()).Erase();
  }
  HandlerResult OnCall(absl::string_view, Payload&, Context&) override {
    return Next().Erase();
  }
  HandlerResult OnCast(absl::string_view, Payload&, Context&) override {
    return Next().Erase();
  }
  // The Exit of a registered process, whose entries are gone already.
  HandlerResult OnInfo(Info&, Context&) override { return Next().Erase(); }
  HandlerResult OnContinue(Info&, Context&) override { return Next().Erase(); }
  HandlerResult OnTimeout(Context&) override { return Next().Erase(); }
  HandlerResult OnTerminate(const ExitReason&, Context&) override {
    return Next().Erase();
  }
};

// Starts the owners, and starts them anew when one crashes.
class Registry::Keeper final : public ProcessBody {
 public:
  explicit Keeper(Registry* registry)
      : registry_(registry),
        owners_(
            static_cast<size_t>(std::max(registry->options().partitions, 0))) {}
  ~Keeper() override {
    if (!pid_.empty()) registry_->End(pid_);
  }

  const ServiceInfo& service_info() const override {
    static const ServiceInfo kInfo{"", {}};
    return kInfo;
  }
  HandlerResult OnInit(Payload&, Context& self) override {
    return Begin(self).Erase();
  }
  HandlerResult OnInfo(Info& info, Context& self) override {
    // That it starts an owner anew follows from a monitor: who ends before its
    // Init has run leaves its parent no Exit.
    if (info.As<Exit>() != nullptr) return Next().Erase();
    const Down* const down = info.As<Down>();
    if (down == nullptr) {
      self.LogWarning(
          absl::StrCat("unexpected message ", info.type(), " was dropped"));
      return Next().Erase();
    }
    const auto at = std::find(owners_.begin(), owners_.end(), down->pid);
    if (at == owners_.end()) return Next().Erase();
    const size_t partition = static_cast<size_t>(at - owners_.begin());
    *at = Pid();
    // Who observes it may be told after who monitors it.
    registry_->OwnerEnded(partition, down->pid);
    return Restart(partition, down->reason, self).Erase();
  }
  HandlerResult OnTerminate(const ExitReason&, Context& self) override {
    return StopOwners(self).Erase();
  }
  HandlerResult OnCall(absl::string_view, Payload&, Context&) override {
    return Next().Erase();
  }
  HandlerResult OnCast(absl::string_view, Payload&, Context&) override {
    return Next().Erase();
  }
  HandlerResult OnContinue(Info&, Context&) override { return Next().Erase(); }
  HandlerResult OnTimeout(Context&) override { return Next().Erase(); }

 private:
  InitResult Begin(Context& self) {
    self.TrapExit(true);
    absl::Status begun = registry_->Begin(&self.runtime(), self.pid());
    if (!begun.ok()) return begun;
    pid_ = self.pid();
    for (size_t i = 0; i < owners_.size(); ++i) StartOwner(i, self);
    return Ok();
  }

  void StartOwner(size_t partition, Context& self) {
    SpawnOptions spawn;
    spawn.type = "registry partition";
    spawn.link_to = self.pid();
    spawn.trap_exit = true;
    const Pid owner =
        self.runtime().Spawn(std::make_unique<Owner>(), Payload(),
                             std::move(spawn), [](const absl::Status&) {});
    owners_[partition] = owner;
    registry_->OwnerStarted(partition, owner);
    self.Monitor(owner);
    self.runtime().ObserveExit(
        owner, [registry = registry_, partition, owner](const ExitReason&) {
          registry->OwnerEnded(partition, owner);
        });
  }

  Next Restart(size_t partition, ExitReason reason, Context& self) {
    self.LogError(absl::StrCat("the owner of partition ", partition,
                               " ended: ", reason.ToString(), ", restarting"));
    crashes_.push_back(self.Now());
    while (crashes_.front() < self.Now() - kCrashPeriod) crashes_.pop_front();
    if (crashes_.size() > kCrashesMax) {
      self.LogError("too many crashes of owners, giving up");
      co_return Stop(ExitReason::Shutdown());
    }
    if (!registry_->restarts_all()) {
      StartOwner(partition, self);
      co_return NoReply();
    }
    for (size_t i = owners_.size(); i-- > 0;) co_await StopOwner(i, self);
    for (size_t i = 0; i < owners_.size(); ++i) StartOwner(i, self);
    co_return NoReply();
  }

  Next StopOwners(Context& self) {
    for (size_t i = owners_.size(); i-- > 0;) co_await StopOwner(i, self);
    co_return NoReply();
  }

  // Comes back when it has ended, at once if it does not run.
  Pending<ExitReason> StopOwner(size_t partition, Context& self) {
    auto arrival = std::make_shared<internal::Arrival<ExitReason>>();
    const Pid owner = std::exchange(owners_[partition], Pid());
    self.runtime().Stop(
        self.pid(), owner, absl::InfiniteDuration(),
        [arrival](ExitReason reason) { arrival->Set(std::move(reason)); });
    return Pending<ExitReason>(std::move(arrival));
  }

  Registry* const registry_;
  Pid pid_;  // Empty: it has not begun.
  std::vector<Pid> owners_;
  std::deque<BootTime> crashes_;
};

Registry::Registry(RegistryOptions options) : options_(std::move(options)) {
  for (int i = 0; i < std::max(options_.partitions, 1); ++i) {
    partitions_.push_back(std::make_unique<Partition>());
  }
}

Registry::~Registry() = default;

absl::StatusOr<Registry*> Registry::Find(const Runtime& runtime,
                                         absl::string_view name) {
  auto* const registry = dynamic_cast<Registry*>(runtime.HoldVia(name).get());
  if (registry == nullptr) {
    return Error(absl::StatusCode::kNotFound, "UNKNOWN_REGISTRY",
                 absl::StrCat("no registry called ", LogSafe(name),
                              " runs on this node"))
        .NotExecuted();
  }
  return registry;
}

std::unique_ptr<ProcessBody> Registry::MakeProcess() {
  return std::make_unique<Keeper>(this);
}

// -- Running -----------------------------------------------------------------

absl::Status Registry::Begin(Runtime* runtime, const Pid& keeper) {
  absl::Status checked = CheckOptions(options_);
  if (!checked.ok()) return checked;
  Pid running;
  {
    MutexLock lock(&state_mu_);
    running = keeper_;
    if (running.empty()) keeper_ = keeper;
  }
  if (running.empty()) {
    runtime_.store(runtime, std::memory_order_release);
    {
      MutexLock lock(&meta_mu_);
      meta_.clear();
      for (const auto& [key, value] : options_.meta) meta_[key] = value;
    }
    if (runtime->AddVia(options_.name, this)) return absl::OkStatus();
    MutexLock lock(&state_mu_);
    keeper_ = Pid();
  }
  return Error(absl::StatusCode::kAlreadyExists, "ALREADY_STARTED",
               absl::StrCat("a registry called '", options_.name,
                            "' runs on this node"))
      .With("pid", running.ToString())
      .NotExecuted();
}

void Registry::End(const Pid& keeper) {
  {
    MutexLock lock(&state_mu_);
    if (keeper_ != keeper) return;
  }
  runtime()->RemoveVia(options_.name);
  for (const auto& partition : partitions_) {
    {
      MutexLock lock(&partition->mu);
      partition->owner = Pid();
    }
    Clear(*partition);
  }
  // Last: another start would find all of it clean.
  MutexLock lock(&state_mu_);
  keeper_ = Pid();
}

void Registry::OwnerStarted(size_t partition, const Pid& owner) {
  Partition& started = *partitions_[partition];
  MutexLock lock(&started.mu);
  started.owner = owner;
}

void Registry::OwnerEnded(size_t partition, const Pid& owner) {
  Partition& ended = *partitions_[partition];
  {
    MutexLock lock(&ended.mu);
    if (ended.owner != owner) return;
    ended.owner = Pid();
  }
  Clear(ended);
  if (!restarts_all()) return;
  for (const auto& other : partitions_) {
    MutexLock lock(&other->mu);
    other->owner = Pid();
  }
  for (const auto& other : partitions_) Clear(*other);
}

void Registry::Clear(Partition& partition) {
  absl::flat_hash_map<uint64_t, Holder> holders;
  {
    MutexLock lock(&partition.mu);
    holders.swap(partition.holders);
    partition.keys.clear();
  }
  for (const auto& [number, holder] : holders) {
    if (holder.observer != 0) {
      runtime()->StopObserving(holder.pid, holder.observer);
    }
  }
}

std::vector<Pid> Registry::Owners() const {
  std::vector<Pid> owners;
  for (const auto& partition : partitions_) {
    MutexLock lock(&partition->mu);
    if (!partition->owner.empty()) owners.push_back(partition->owner);
  }
  return owners;
}

// -- Writing -----------------------------------------------------------------

Registry::Partition& Registry::HomeOf(const Pid& pid) const {
  return *partitions_[pid.number % partitions_.size()];
}

Registry::Partition& Registry::PartitionOf(absl::string_view key,
                                           const Pid& pid) const {
  if (options_.kind == RegistryKind::kDuplicateByPid) return HomeOf(pid);
  if (partitions_.size() == 1) return *partitions_[0];
  // The upper half: the partition's own table uses the lower.
  return *partitions_[(absl::Hash<absl::string_view>()(key) >> 32) %
                      partitions_.size()];
}

Pid Registry::Insert(absl::string_view key, const Pid& pid,
                     const SharedValue& value) {
  Partition& partition = PartitionOf(key, pid);
  Pid dead;
  for (;;) {
    Pid holder;
    {
      MutexLock lock(&partition.mu);
      RegistryEntries& entries = partition.keys[key];
      if (!unique() || entries.empty() || entries[0].pid == dead) {
        if (unique()) entries.clear();
        entries.emplace_back(pid, value);
      } else {
        holder = entries[0].pid;
      }
    }
    if (holder.empty()) break;
    if (runtime()->Find(holder) != nullptr) return holder;
    dead = holder;  // Its cleanup is under way.
  }
  if (!dead.empty()) Forget(key, dead, 1);
  return Pid();
}

absl::Status Registry::Restarting() const {
  return Error(absl::StatusCode::kUnavailable, "RESTARTING",
               absl::StrCat("registry '", options_.name,
                            "' does not run at the moment"))
      .NotExecuted();
}

absl::StatusOr<Pid> Registry::Add(absl::string_view key, const Pid& pid,
                                  SharedValue value) {
  if (!runtime()->IsLocal(pid)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_PID",
                 absl::StrCat(pid.ToString(),
                              " is no process of this node: a registry knows "
                              "its own node's"))
        .NotExecuted();
  }
  Partition& home = HomeOf(pid);
  Pid owner;
  bool first = false;
  {
    MutexLock lock(&home.mu);
    owner = home.owner;
    if (!owner.empty()) {
      Holder& holder = home.holders[pid.number];
      holder.pid = pid;
      first = holder.keys.empty();
      holder.keys.emplace_back(key);
    }
  }
  if (owner.empty()) {
    return Restarting();
  }
  const Pid holder = Insert(key, pid, value);
  if (!holder.empty()) {
    Forget(key, pid, 1);
    return Error(absl::StatusCode::kAlreadyExists, "ALREADY_REGISTERED",
                 absl::StrCat(LogSafe(key), " of registry '", options_.name,
                              "' is already the key of ", holder.ToString()))
        .With("pid", holder.ToString())
        .NotExecuted();
  }
  if (first) {
    // What a failed link means is seen below.
    runtime()->Link(pid, owner).IgnoreError();
    const uint64_t observer = runtime()->ObserveExit(
        pid, [this, pid](const ExitReason&) { ProcessEnded(pid); });
    bool kept = false;
    if (observer != 0) {
      MutexLock lock(&home.mu);
      const auto at = home.holders.find(pid.number);
      kept = at != home.holders.end() && at->second.observer == 0;
      if (kept) at->second.observer = observer;
    }
    if (!kept && observer != 0) runtime()->StopObserving(pid, observer);
  }
  if (runtime()->Find(pid) == nullptr) {  // Its cleanup may have come too soon.
    ProcessEnded(pid);
    return Error(absl::StatusCode::kNotFound, "NOPROC",
                 absl::StrCat(pid.ToString(), " has ended"))
        .NotExecuted();
  }
  bool lost;
  {
    // The owner may have ended meanwhile, which forgot whom it owned, and the
    // entry came after that.
    MutexLock lock(&home.mu);
    lost = home.owner != owner || !home.holders.contains(pid.number);
  }
  if (lost) {
    Erase(key, pid, [](const SharedValue&) { return true; });
    return Restarting();
  }
  Registered event;
  event.registry = options_.name;
  event.key = std::string(key);
  event.pid = pid;
  event.value = std::move(value);
  Tell(event);
  return owner;
}

size_t Registry::Erase(absl::string_view key, const Pid& pid,
                       Predicate predicate) {
  Partition& partition = PartitionOf(key, pid);
  // Asked without the lock: only `pid` itself changes its entries.
  RegistryEntries mine;
  {
    MutexLock lock(&partition.mu);
    const auto at = partition.keys.find(key);
    if (at == partition.keys.end()) return 0;
    for (const RegistryEntry& entry : at->second) {
      if (entry.pid == pid) mine.push_back(entry);
    }
  }
  std::vector<bool> goes;
  for (const RegistryEntry& entry : mine) {
    goes.push_back(predicate(entry.value));
  }
  MutexLock lock(&partition.mu);
  const auto at = partition.keys.find(key);
  if (at == partition.keys.end()) return 0;
  size_t index = 0;
  size_t erased = 0;
  RegistryEntries left;
  for (RegistryEntry& entry : at->second) {
    const bool is_mine = entry.pid == pid && index < goes.size();
    if (is_mine && goes[index++]) {
      ++erased;
    } else {
      left.push_back(std::move(entry));
    }
  }
  if (left.empty()) {
    partition.keys.erase(at);
  } else {
    at->second = std::move(left);
  }
  return erased;
}

void Registry::Forget(absl::string_view key, const Pid& pid, size_t count) {
  Partition& home = HomeOf(pid);
  Pid owner;
  uint64_t observer = 0;
  {
    MutexLock lock(&home.mu);
    const auto at = home.holders.find(pid.number);
    if (at == home.holders.end()) return;
    std::vector<std::string>& keys = at->second.keys;
    for (size_t i = keys.size(); i-- > 0 && count > 0;) {
      if (keys[i] != key) continue;
      keys.erase(keys.begin() + static_cast<ptrdiff_t>(i));
      --count;
    }
    if (!keys.empty()) return;
    owner = home.owner;
    observer = at->second.observer;
    home.holders.erase(at);
  }
  // 0: refused before it was linked.
  if (observer == 0) return;
  runtime()->StopObserving(pid, observer);
  if (!owner.empty()) runtime()->Unlink(pid, owner);
}

void Registry::Remove(absl::string_view key, const Pid& pid,
                      Predicate predicate) {
  const size_t erased = Erase(key, pid, predicate);
  if (erased == 0) return;
  Forget(key, pid, erased);
  Unregistered event;
  event.registry = options_.name;
  event.key = std::string(key);
  event.pid = pid;
  Tell(event);
}

void Registry::ProcessEnded(const Pid& pid) {
  Holder holder;
  {
    Partition& home = HomeOf(pid);
    MutexLock lock(&home.mu);
    const auto at = home.holders.find(pid.number);
    if (at == home.holders.end()) return;
    holder = std::move(at->second);
    home.holders.erase(at);
  }
  for (const std::string& key : holder.keys) Erase(key, pid, Any);
}

template <typename Event>
void Registry::Tell(const Event& event) const {
  for (const std::string& listener : options_.listeners) {
    runtime()->Send(ServerRef::Local(listener), Info(event));
  }
}

absl::StatusOr<Pid> Registry::Register(Context& self, absl::string_view key,
                                       SharedValue value) {
  return Add(key, self.pid(), std::move(value));
}

void Registry::Unregister(Context& self, absl::string_view key) {
  Remove(key, self.pid(), Any);
}

void Registry::UnregisterMatch(Context& self, absl::string_view key,
                               Predicate predicate) {
  Remove(key, self.pid(), predicate);
}

absl::StatusOr<RegistryUpdate> Registry::UpdateValue(
    Context& self, absl::string_view key,
    absl::FunctionRef<SharedValue(const SharedValue& before)> change) {
  if (!unique()) return NotUnique(options_);
  const std::vector<SharedValue> mine = Values(key, self.pid());
  if (mine.empty()) {
    return Error(absl::StatusCode::kNotFound, "NOT_REGISTERED",
                 absl::StrCat(LogSafe(key), " of registry '", options_.name,
                              "' is not a key of ", self.pid().ToString()))
        .NotExecuted();
  }
  RegistryUpdate update;
  update.before = mine[0];
  update.now = change(update.before);
  Partition& partition = PartitionOf(key, self.pid());
  MutexLock lock(&partition.mu);
  const auto at = partition.keys.find(key);
  // Not there: the partition's owner has crashed meanwhile.
  if (at != partition.keys.end() && at->second[0].pid == self.pid()) {
    at->second[0].value = update.now;
  }
  return update;
}

// -- Looking -----------------------------------------------------------------

RegistryEntries Registry::Lookup(absl::string_view key) const {
  RegistryEntries entries;
  if (options_.kind != RegistryKind::kDuplicateByPid) {
    const Partition& partition = PartitionOf(key, Pid());
    MutexLock lock(&partition.mu);
    const auto at = partition.keys.find(key);
    if (at != partition.keys.end()) entries = at->second;
    return entries;
  }
  for (const auto& partition : partitions_) {
    MutexLock lock(&partition->mu);
    const auto at = partition->keys.find(key);
    if (at == partition->keys.end()) continue;
    entries.insert(entries.end(), at->second.begin(), at->second.end());
  }
  return entries;
}

RegistryEntries Registry::Match(absl::string_view key,
                                Predicate predicate) const {
  RegistryEntries entries;
  for (RegistryEntry& entry : Lookup(key)) {
    if (predicate(entry.value)) entries.push_back(std::move(entry));
  }
  return entries;
}

size_t Registry::CountMatch(absl::string_view key, Predicate predicate) const {
  return Match(key, predicate).size();
}

std::vector<std::string> Registry::Keys(const Pid& pid) const {
  std::vector<std::string> keys;
  {
    const Partition& home = HomeOf(pid);
    MutexLock lock(&home.mu);
    const auto at = home.holders.find(pid.number);
    if (at != home.holders.end() && at->second.pid == pid) {
      keys = at->second.keys;
    }
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

std::vector<SharedValue> Registry::Values(absl::string_view key,
                                          const Pid& pid) const {
  std::vector<SharedValue> values;
  const Partition& partition = PartitionOf(key, pid);
  MutexLock lock(&partition.mu);
  const auto at = partition.keys.find(key);
  if (at == partition.keys.end()) return values;
  for (const RegistryEntry& entry : at->second) {
    if (entry.pid == pid) values.push_back(entry.value);
  }
  return values;
}

size_t Registry::Count() const { return Size().entries; }

std::vector<RegistryRow> Registry::Select(RowPredicate predicate) const {
  std::vector<RegistryRow> all;
  for (const auto& partition : partitions_) {
    MutexLock lock(&partition->mu);
    for (const auto& [key, entries] : partition->keys) {
      for (const RegistryEntry& entry : entries) {
        all.emplace_back(key, entry.pid, entry.value);
      }
    }
  }
  std::sort(all.begin(), all.end(),
            [](const RegistryRow& a, const RegistryRow& b) {
              return std::tie(a.key, a.pid) < std::tie(b.key, b.pid);
            });
  std::vector<RegistryRow> rows;
  for (RegistryRow& row : all) {
    if (predicate(row)) rows.push_back(std::move(row));
  }
  return rows;
}

size_t Registry::CountSelect(RowPredicate predicate) const {
  return Select(predicate).size();
}

RegistrySize Registry::Size() const {
  RegistrySize size;
  for (const auto& partition : partitions_) {
    MutexLock lock(&partition->mu);
    for (const auto& [key, entries] : partition->keys) {
      size.entries += entries.size();
    }
    size.processes += partition->holders.size();
  }
  MutexLock lock(&lock_mu_);
  size.locks = locks_.size();
  return size;
}

// -- Dispatch ----------------------------------------------------------------

namespace {

// Runs one function in Init and ends.
class DispatchTask final : public ProcessBody {
 public:
  using Send = std::function<void(absl::Span<const RegistryEntry> entries)>;
  DispatchTask(Send send, RegistryEntries entries)
      : send_(std::move(send)), entries_(std::move(entries)) {}

  const ServiceInfo& service_info() const override {
    static const ServiceInfo kInfo{"", {}};
    return kInfo;
  }
  HandlerResult OnInit(Payload&, Context&) override {
    send_(entries_);
    return InitResult(Stop(ExitReason::Normal())).Erase();
  }
  HandlerResult OnCall(absl::string_view, Payload&, Context&) override {
    return Next().Erase();
  }
  HandlerResult OnCast(absl::string_view, Payload&, Context&) override {
    return Next().Erase();
  }
  HandlerResult OnInfo(Info&, Context&) override { return Next().Erase(); }
  HandlerResult OnContinue(Info&, Context&) override { return Next().Erase(); }
  HandlerResult OnTimeout(Context&) override { return Next().Erase(); }
  HandlerResult OnTerminate(const ExitReason&, Context&) override {
    return Next().Erase();
  }

 private:
  const Send send_;
  const RegistryEntries entries_;
};

// Counts tasks down.
class DispatchWait {
 public:
  DispatchWait(std::shared_ptr<internal::Arrival<absl::Status>> arrival,
               size_t tasks)
      : arrival_(std::move(arrival)), left_(tasks) {}

  void Ended(const ExitReason& reason) ABSL_LOCKS_EXCLUDED(mu_) {
    std::string thrown;
    {
      MutexLock lock(&mu_);
      if (!reason.IsNormal()) thrown_ = reason.ToString();
      if (--left_ > 0) return;
      thrown = thrown_;
    }
    if (thrown.empty()) {
      arrival_->Set(absl::OkStatus());
    } else {
      arrival_->Set(Error(absl::StatusCode::kAborted, "CALLEE_EXITED",
                          absl::StrCat("a dispatch ended with ", thrown))
                        .With("exit_reason", thrown)
                        .Unknown());
    }
  }

 private:
  const std::shared_ptr<internal::Arrival<absl::Status>> arrival_;
  Mutex mu_;
  size_t left_ ABSL_GUARDED_BY(mu_);
  std::string thrown_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

void Registry::Dispatch(
    absl::string_view key,
    absl::FunctionRef<void(absl::Span<const RegistryEntry> entries)> send)
    const {
  if (options_.kind != RegistryKind::kDuplicateByPid) {
    const RegistryEntries entries = Lookup(key);
    if (!entries.empty()) send(entries);
    return;
  }
  for (const auto& partition : partitions_) {
    RegistryEntries entries;
    {
      MutexLock lock(&partition->mu);
      const auto at = partition->keys.find(key);
      if (at != partition->keys.end()) entries = at->second;
    }
    if (!entries.empty()) send(entries);
  }
}

Pending<absl::Status> Registry::DispatchInParallel(
    Context& self, absl::string_view key,
    std::function<void(absl::Span<const RegistryEntry> entries)> send) const {
  auto arrival = std::make_shared<internal::Arrival<absl::Status>>();
  if (options_.kind != RegistryKind::kDuplicateByPid ||
      partitions_.size() == 1) {
    Dispatch(key, send);
    arrival->Set(absl::OkStatus());
    return Pending<absl::Status>(std::move(arrival));
  }
  std::vector<RegistryEntries> parts;
  Dispatch(key, [&parts](absl::Span<const RegistryEntry> entries) {
    parts.emplace_back(entries.begin(), entries.end());
  });
  if (parts.empty()) arrival->Set(absl::OkStatus());
  auto wait = std::make_shared<DispatchWait>(arrival, parts.size());
  for (RegistryEntries& entries : parts) {
    SpawnOptions spawn;
    spawn.type = "dispatch";
    // Held until it is observed: it may end at once.
    spawn.hold = true;
    const Pid task = self.runtime().Spawn(
        std::make_unique<DispatchTask>(send, std::move(entries)), Payload(),
        std::move(spawn), [](const absl::Status&) {});
    self.runtime().ObserveExit(
        task, [wait](const ExitReason& reason) { wait->Ended(reason); });
    self.runtime().Release(task, Epoch());
  }
  return Pending<absl::Status>(std::move(arrival));
}

// -- Locks -------------------------------------------------------------------

Registry::Lock::Lock(Registry* registry, std::string key)
    : registry_(registry), key_(std::move(key)) {}

Registry::Lock::Lock(Lock&& other) noexcept
    : registry_(std::exchange(other.registry_, nullptr)),
      key_(std::move(other.key_)) {}

Registry::Lock& Registry::Lock::operator=(Lock&& other) noexcept {
  if (this == &other) return *this;
  if (registry_ != nullptr) registry_->Unlock(key_);
  registry_ = std::exchange(other.registry_, nullptr);
  key_ = std::move(other.key_);
  return *this;
}

Registry::Lock::~Lock() {
  if (registry_ != nullptr) registry_->Unlock(key_);
}

Pending<Registry::Lock> Registry::Acquire(Context& self,
                                          absl::string_view key) {
  auto arrival = std::make_shared<internal::Arrival<Lock>>();
  bool free = false;
  {
    MutexLock lock(&lock_mu_);
    const auto [at, inserted] = locks_.try_emplace(key);
    free = inserted;
    if (!free) at->second.emplace_back(self.pid(), arrival);
  }
  if (free) arrival->Set(Lock(this, std::string(key)));
  return Pending<Lock>(std::move(arrival));
}

void Registry::Unlock(const std::string& key) {
  for (;;) {
    std::optional<Waiter> next;
    {
      MutexLock lock(&lock_mu_);
      const auto at = locks_.find(key);
      if (at->second.empty()) {
        locks_.erase(at);
        return;
      }
      next = std::move(at->second.front());
      at->second.pop_front();
    }
    // Who is about to end may still get it: the lock then falls out of what it
    // waited for, and comes back here.
    if (runtime()->Find(next->pid) == nullptr) continue;
    next->arrival->Set(Lock(this, key));
    return;
  }
}

// -- Metadata ----------------------------------------------------------------

SharedValue Registry::Meta(absl::string_view key) const {
  MutexLock lock(&meta_mu_);
  const auto at = meta_.find(key);
  return at == meta_.end() ? SharedValue() : at->second;
}

void Registry::PutMeta(absl::string_view key, SharedValue value) {
  MutexLock lock(&meta_mu_);
  meta_[key] = std::move(value);
}

void Registry::DeleteMeta(absl::string_view key) {
  MutexLock lock(&meta_mu_);
  meta_.erase(key);
}

// -- ViaRegistry -------------------------------------------------------------

Pid Registry::WhereIs(absl::string_view key) const {
  if (!unique()) return Pid();
  Pid pid;
  {
    const Partition& partition = PartitionOf(key, Pid());
    MutexLock lock(&partition.mu);
    const auto at = partition.keys.find(key);
    if (at != partition.keys.end()) pid = at->second[0].pid;
  }
  if (!pid.empty() && runtime()->Find(pid) == nullptr) return Pid();
  return pid;
}

void Registry::Register(absl::string_view key, const Pid& pid,
                        absl::AnyInvocable<void(absl::Status)> done) {
  if (!unique()) {
    done(NotUnique(options_));
    return;
  }
  const absl::StatusOr<Pid> added = Add(key, pid, SharedValue());
  if (ReasonOf(added.status()) == "ALREADY_REGISTERED") {
    done(Error(absl::StatusCode::kAlreadyExists, "ALREADY_STARTED",
               added.status().message())
             .With("pid", DetailOf(added.status(), "pid"))
             .NotExecuted());
    return;
  }
  done(added.status());
}

void Registry::Unregister(absl::string_view key, const Pid& pid) {
  Remove(key, pid, Any);
}

}  // namespace muster
