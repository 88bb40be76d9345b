// Links, monitors and exit signals, within the node and across nodes
// (otp 1.3 to 1.5).
//
// Within the node both ends of a link and both ends of a monitor are changed
// at once. Across nodes each side changes its own and sends a Signal; who owns
// the streams remembers what crosses which of them and, when one is lost, says
// noconnection for all of it.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "node/base/planted.h"
#include "node/process/process.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

// How often the node of a suspect is tried again.
constexpr absl::Duration kReachInterval = absl::Milliseconds(500);

// What MonitorRef::owner is for `pid`: the same for no other process, but by
// chance. Never 0.
uint64_t OwnerTag(const Pid& pid) {
  uint64_t tag = 0xcbf29ce484222325u;
  const auto mix = [&tag](uint64_t value) {
    tag = (tag ^ value) * 0x100000001b3u;
  };
  for (const char c : pid.node) mix(static_cast<unsigned char>(c));
  mix(pid.epoch.generation);
  mix(pid.epoch.revision);
  mix(pid.number);
  return tag == 0 ? 1 : tag;
}

// False: no process can ever be that.
bool CanExist(const ServerRef& target) {
  switch (target.kind()) {
    case ServerRef::Kind::kPid:
    case ServerRef::Kind::kAlias:
      return !target.pid().empty() && ValidateNodeName(target.pid().node).ok();
    case ServerRef::Kind::kLocal:
      return ValidateName(target.name()).ok() &&
             (target.node().empty() || ValidateNodeName(target.node()).ok());
    case ServerRef::Kind::kGlobal:
      return ValidateName(target.name()).ok();
    case ServerRef::Kind::kVia:
      return true;
  }
  return false;
}

// True: `said` is about the link that `stands`.
bool Concerns(const LinkIds& said, const LinkIds& stands) {
  if (said.mine == 0 && said.theirs == 0) return true;  // Within the node.
  return (said.mine != 0 && said.mine == stands.mine) ||
         (said.theirs != 0 && said.theirs == stands.theirs);
}

}  // namespace

// -- Context ------------------------------------------------------------------

absl::Status Context::Link(const Pid& other) {
  if (process_->doomed()) {
    return Error(absl::StatusCode::kUnavailable, "EXITING",
                 "this process has been ended by an exit signal and links to "
                 "nobody any more")
        .NotExecuted();
  }
  if (!process_->FenceOpen()) return internal::FrozenSender();
  return runtime().Link(pid(), other);
}

void Context::Unlink(const Pid& other) { runtime().Unlink(pid(), other); }

MonitorRef Context::Monitor(const ServerRef& target, MonitorOptions options) {
  if (!CanExist(target)) {
    LogWarning(absl::StrCat("there can be no process ",
                            LogSafe(target.ToString()), " to monitor"));
    return MonitorRef();
  }
  if (internal::IsSelf(*process_, target)) {
    const MonitorRef ref = runtime().UnusedRef(pid());
    if (options.alias.has_value()) {
      process_->AddAlias(ref.id, *options.alias);
    }
    return ref;  // Accepted, never fires (otp M6).
  }
  const std::optional<AliasKind> alias = options.alias;
  const MonitorRef ref = runtime().Monitor(pid(), target, std::move(options));
  process_->OwnMonitor(ref.id);
  if (alias.has_value()) {
    process_->AddAlias(ref.id, *alias);
    // It may have fired before there was an alias to end.
    if (!runtime().HasMonitor(ref.id)) process_->EndMonitorAlias(ref.id);
  }
  return ref;
}

bool Context::Demonitor(MonitorRef ref, DemonitorOptions options) {
  if (ref.owner != 0 && ref.owner != OwnerTag(pid())) {
    LogWarning("a monitor of another process cannot be removed");
    return false;
  }
  const bool active = runtime().Demonitor(pid(), ref);
  process_->EndMonitorAlias(ref.id);
  bool flushed = false;
  if (active || options.flush) {
    // Not active: its Down is queued, on its way from another worker, or
    // handled.
    flushed = process_->DisownMonitor(ref.id) && !active;
    if (flushed && !process_->RemoveQueuedDown(ref)) {
      process_->FlushDown(ref.id);
    }
  }
  if (!options.info) return true;
  return options.flush ? !flushed : active;
}

void Context::SendExit(const Pid& to, const ExitReason& reason) {
  // Withheld, as every message (guarantees G3, otp 16.1).
  if (!process_->FenceOpen() || process_->doomed()) return;
  runtime().SendExit(pid(), to, reason);
}

// -- Process ------------------------------------------------------------------

void Process::SignalExit(const Pid& from, const ExitReason& reason,
                         bool via_link, LinkIds link) {
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead) return;
    if (via_link) {
      const auto at = links_.find(from);
      if (at == links_.end() || !Concerns(link, at->second)) return;
      links_.erase(at);
    }
    const bool kill = !via_link && reason.kind() == ExitReason::Kind::kKill;
    if (kill) {
      if (!doomed_.has_value()) doomed_ = ExitReason::Killed();
    } else if (trap_exit_) {
      Envelope envelope;
      envelope.kind = Envelope::Kind::kExit;
      envelope.exit.emplace(from, reason);
      PushLocked(std::move(envelope));
    } else if (reason.kind() == ExitReason::Kind::kNormal && from != pid_) {
      return;
    } else if (!doomed_.has_value()) {
      doomed_ = reason;
    }
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

bool Process::NewLink(const Pid& other, LinkIds link) {
  MutexLock lock(&mu_);
  if (life_ == Life::kDead) return false;
  return links_.try_emplace(other, link).second;
}

bool Process::AddLink(const Pid& other, LinkIds link) {
  MutexLock lock(&mu_);
  if (gone_) return false;
  LinkIds& stands = links_[other];
  if (link.theirs != 0) stands.theirs = link.theirs;
  return true;
}

std::optional<LinkIds> Process::RemoveLink(const Pid& other) {
  MutexLock lock(&mu_);
  const auto at = links_.find(other);
  if (at == links_.end()) return std::nullopt;
  const LinkIds link = at->second;
  links_.erase(at);
  return link;
}

void Process::RemoveLink(const Pid& other, LinkIds known) {
  MutexLock lock(&mu_);
  const auto at = links_.find(other);
  if (at == links_.end()) return;
  LinkIds& stands = at->second;
  if (known.mine == stands.mine) stands.mine = 0;
  if (known.theirs == stands.theirs) stands.theirs = 0;
  if (stands.mine == 0 && stands.theirs == 0) links_.erase(at);
}

bool Process::FailLink(const Pid& other) {
  bool submit = false;
  {
    MutexLock lock(&mu_);
    // Gone: the other end's own exit over it has come already.
    if (links_.erase(other) == 0) return true;
    if (life_ == Life::kDead) return true;
    if (!trap_exit_) return false;
    Envelope envelope;
    envelope.kind = Envelope::Kind::kExit;
    envelope.exit.emplace(other, ExitReason::Noproc());
    PushLocked(std::move(envelope));
    submit = ScheduleLocked();
  }
  if (submit) Submit();
  return true;
}

void Process::CountTies(RuntimeTables* tables) const {
  MutexLock lock(&mu_);
  tables->links += links_.size();
  tables->watched += watchers_.size();
  tables->aliases += aliases_.size();
}

// -- Exits --------------------------------------------------------------------

void Runtime::SendExit(const Pid& from, const Pid& to,
                       const ExitReason& reason) {
  if (to.node != options_.node) {
    if (router_ != nullptr && !to.empty()) {
      router_->RouteSignal(Signal::ExitTo(from, to, reason));
    }
    return;
  }
  if (auto process = Find(to)) {
    process->SignalExit(from, reason, /*via_link=*/false);
  }
}

void Runtime::SendLinkExit(const Pid& from, const Pid& to,
                           const ExitReason& reason, LinkIds link) {
  if (to.node != options_.node) {
    if (router_ != nullptr) {
      router_->RouteSignal(Signal::LinkExit(from, to, reason, link));
    }
    return;
  }
  if (auto process = Find(to)) {
    process->SignalExit(from, reason, /*via_link=*/true);
  }
}

void Runtime::EndLink(const Pid& from, const Pid& to, LinkIds link) {
  if (to.node != options_.node) {
    if (router_ != nullptr) {
      router_->RouteSignal(Signal::Unlink(from, to, link));
    }
    return;
  }
  if (auto process = Find(to)) process->RemoveLink(from);
}

bool Runtime::IsAlive(const Pid& pid) const {
  const auto process = Find(pid);
  return process != nullptr && !process->doomed();
}

void Runtime::Deliver(const Signal& signal) {
  switch (signal.kind) {
    case Signal::Kind::kExit:
      if (auto process = Find(signal.to)) {
        process->SignalExit(signal.from, signal.reason, signal.via_link,
                            signal.link);
      }
      return;
    case Signal::Kind::kLink: {
      auto process = Find(signal.to);
      if (process != nullptr && process->AddLink(signal.from, signal.link)) {
        return;
      }
      if (router_ == nullptr) return;
      router_->RouteSignal(Signal::LinkExit(signal.to, signal.from,
                                            ExitReason::Noproc(), signal.link));
      return;
    }
    case Signal::Kind::kUnlink:
      if (auto process = Find(signal.to)) {
        process->RemoveLink(signal.from, signal.link);
      }
      return;
    case Signal::Kind::kDown:
      SendDown(signal.ref, signal.from, signal.reason);
      return;
    case Signal::Kind::kMonitor:
    case Signal::Kind::kDemonitor:
      return;  // The router's own: it uses ObserveExit.
  }
}

// -- Links --------------------------------------------------------------------

absl::Status Runtime::Link(const Pid& a, const Pid& b) {
  if (b.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_PID",
                 "nobody can be linked to the empty pid")
        .NotExecuted();
  }
  if (a == b) return absl::OkStatus();
  const auto dead = [](const Pid& pid) {
    return Error(absl::StatusCode::kNotFound, "NOPROC",
                 absl::StrCat(pid.ToString(), " has ended"))
        .With("pid", pid.ToString())
        .NotExecuted();
  };
  auto first = Find(a);
  if (first == nullptr) return dead(a);
  if (b.node != options_.node) {
    const LinkIds link(NextRef(), 0);
    if (!first->NewLink(b, link)) return absl::OkStatus();
    if (router_ != nullptr) {
      router_->RouteSignal(Signal::Link(a, b, link));
      // It ended meanwhile, and its exit found no link to go by.
      if (Find(a) == nullptr) SendLinkExit(a, b, ExitReason::Noproc(), link);
    } else {
      first->SignalExit(b, ExitReason::Noconnection(), /*via_link=*/true, link);
    }
    return absl::OkStatus();
  }
  {
    MutexLock lock(&links_mu_);
    if (!first->NewLink(b, LinkIds())) return absl::OkStatus();
    auto second = Find(b);
    if (second != nullptr && second->AddLink(a)) return absl::OkStatus();
  }
  if (first->FailLink(b)) return absl::OkStatus();
  return dead(b);
}

void Runtime::Unlink(const Pid& a, const Pid& b) {
  auto first = Find(a);
  if (first == nullptr) return;
  if (b.node != options_.node) {
    const std::optional<LinkIds> link = first->RemoveLink(b);
    if (link.has_value() && router_ != nullptr) {
      router_->RouteSignal(Signal::Unlink(a, b, *link));
    }
    return;
  }
  MutexLock lock(&links_mu_);
  first->RemoveLink(b);
  if (auto second = Find(b)) second->RemoveLink(a);
}

// -- Monitors -----------------------------------------------------------------

MonitorRef Runtime::UnusedRef(const Pid& owner) {
  return MonitorRef{NextRef(), OwnerTag(owner)};
}

MonitorRef Runtime::Monitor(const Pid& watcher, const ServerRef& wanted,
                            MonitorOptions options) {
  const ServerRef target = ResolveVia(wanted);
  const Pid here = ResolveHere(target);
  MonitorEntry entry;
  entry.watcher = watcher;
  entry.ref = UnusedRef(watcher);
  entry.object =
      target.kind() == ServerRef::Kind::kLocal && target.node().empty()
          ? ServerRef::Local(target.name(), options_.node)
          : wanted;
  entry.tag = std::move(options.tag);
  entry.at = here.empty() ? entry.object : ServerRef(here);
  if (entry.at.kind() == ServerRef::Kind::kAlias) entry.at = target.pid();
  const ServerRef at = entry.at;
  const MonitorRef ref = entry.ref;
  {
    MutexLock lock(&mu_);
    monitors_.emplace(ref.id, std::move(entry));
  }
  if (here.empty() && IsElsewhere(target)) {
    // A frozen server reaches nobody (guarantees R10).
    const auto from = Find(watcher);
    if (from != nullptr && !from->FenceOpen()) {
      SendDown(ref.id, Pid(), ExitReason::Noconnection());
    } else if (router_ != nullptr) {
      router_->RouteSignal(Signal::Monitor(watcher, ref.id, at));
    } else {
      SendDown(ref.id, Pid(),
               target.kind() == ServerRef::Kind::kGlobal
                   ? ExitReason::Noproc()
                   : ExitReason::Noconnection());
    }
    return ref;
  }
  auto process = Find(here);
  if (process == nullptr || !process->AddWatcher(ref.id, watcher)) {
    SendDown(ref.id, here, ExitReason::Noproc());
  }
  return ref;
}

void Runtime::MonitorAt(uint64_t ref, const Pid& pid) {
  Pid watcher;
  {
    MutexLock lock(&mu_);
    const auto found = monitors_.find(ref);
    if (found == monitors_.end()) return;
    found->second.at = pid;
    watcher = found->second.watcher;
  }
  if (pid.node == options_.node) {
    auto process = Find(pid);
    if (process == nullptr || !process->AddWatcher(ref, watcher)) {
      SendDown(ref, pid, ExitReason::Noproc());
      return;
    }
  } else {
    router_->RouteSignal(Signal::Monitor(watcher, ref, pid));
  }
  // Removed meanwhile, by somebody who found nothing there yet.
  if (!HasMonitor(ref)) Withdraw(watcher, ref, pid);
}

bool Runtime::HasMonitor(uint64_t ref) const {
  MutexLock lock(&mu_);
  return monitors_.contains(ref);
}

void Runtime::Withdraw(const Pid& watcher, uint64_t ref, const ServerRef& at) {
  const bool pid = at.kind() == ServerRef::Kind::kPid;
  if (pid && at.pid().node == options_.node) {
    if (auto process = Find(at.pid())) process->RemoveWatcher(ref);
  } else if (pid || at.kind() == ServerRef::Kind::kLocal) {
    if (router_ != nullptr) {
      router_->RouteSignal(Signal::Demonitor(watcher, ref, at));
    }
  }
}

bool Runtime::Demonitor(const Pid& watcher, MonitorRef ref) {
  MonitorEntry removed;  // Its tag is destroyed without the lock.
  {
    MutexLock lock(&mu_);
    const auto found = monitors_.find(ref.id);
    if (found == monitors_.end() || found->second.watcher != watcher) {
      return false;
    }
    removed = std::move(found->second);
    monitors_.erase(found);
  }
  // SendDown found nothing, and never will: no Down comes.
  Withdraw(watcher, ref.id, removed.at);
  return true;
}

void Runtime::SendDown(uint64_t ref, const Pid& ended,
                       const ExitReason& reason) {
  MonitorEntry entry;
  bool suspect = false;
  {
    MutexLock lock(&mu_);
    const auto found = monitors_.find(ref);
    if (found == monitors_.end()) return;  // Demonitored meanwhile.
    // Who is named has ended, whatever the reason: no stream was lost.
    suspect = ended.empty() && OnlySuspectLocked(found->second, reason);
    if (suspect) {
      if (std::exchange(found->second.suspect, true)) return;
      entry = found->second;
    } else {
      entry = std::move(found->second);
      monitors_.erase(found);
    }
  }
  const Pid pid = !ended.empty() || entry.at.kind() != ServerRef::Kind::kPid
                      ? ended
                      : entry.at.pid();
  auto process = Find(entry.watcher);
  if (suspect) {
    if (process != nullptr) {
      process->PushSystem(
          Info(Suspect(entry.ref, entry.object, pid, /*c=*/false)));
    }
    ReachLater(pid.node);
  } else if (process != nullptr) {
    process->PushSystem(Info(Down(entry.ref, std::move(entry.object), pid,
                                  reason, std::move(entry.tag))),
                        entry.ref);
  }
}

// -- Suspects -----------------------------------------------------------------

bool Runtime::OnlySuspectLocked(const MonitorEntry& entry,
                                const ExitReason& reason) const {
  if (reason.kind() != ExitReason::Kind::kNoconnection ||
      entry.object.kind() != ServerRef::Kind::kGlobal ||
      entry.at.kind() != ServerRef::Kind::kPid ||
      Planted(PlantedBug::kDownForUnreachable)) {
    return false;
  }
  const auto dead = dead_nodes_.find(entry.at.pid().node);
  return dead == dead_nodes_.end() || dead->second < entry.at.pid().epoch;
}

std::vector<Runtime::MonitorEntry> Runtime::SuspectsLocked(
    absl::string_view node) const {
  std::vector<MonitorEntry> suspects;
  for (const auto& [ref, entry] : monitors_) {
    if (entry.suspect && entry.at.pid().node == node) suspects.push_back(entry);
  }
  std::sort(suspects.begin(), suspects.end(),
            [](const MonitorEntry& a, const MonitorEntry& b) {
              return a.ref.id < b.ref.id;
            });
  return suspects;
}

void Runtime::ClearSuspects(absl::string_view node, Epoch epoch) {
  std::vector<MonitorEntry> suspects;
  {
    MutexLock lock(&mu_);
    suspects = SuspectsLocked(node);
    for (const MonitorEntry& entry : suspects) {
      monitors_[entry.ref.id].suspect = false;
    }
  }
  for (const MonitorEntry& entry : suspects) {
    const Pid& pid = entry.at.pid();
    if (pid.epoch < epoch) {
      SendDown(entry.ref.id, pid, ExitReason::Noproc());
      continue;
    }
    if (auto process = Find(entry.watcher)) {
      process->PushSystem(
          Info(Suspect(entry.ref, entry.object, pid, /*c=*/true)));
    }
    MonitorAt(entry.ref.id, pid);
  }
}

void Runtime::NodeIsDead(absl::string_view node, Epoch epoch) {
  std::vector<MonitorEntry> suspects;
  {
    MutexLock lock(&mu_);
    Epoch& dead = dead_nodes_[node];
    dead = std::max(dead, epoch);
    suspects = SuspectsLocked(node);
  }
  for (const MonitorEntry& entry : suspects) {
    if (entry.at.pid().epoch <= epoch) {
      SendDown(entry.ref.id, entry.at.pid(), ExitReason::Noconnection());
    }
  }
}

void Runtime::ReachLater(const std::string& node) {
  {
    MutexLock lock(&mu_);
    if (!reaching_.insert(node).second) return;
  }
  scheduler_->At(clock().Boot() + kReachInterval, [this, node] {
    bool wanted;
    std::optional<Epoch> up;
    {
      MutexLock lock(&mu_);
      reaching_.erase(node);
      wanted = !SuspectsLocked(node).empty();
      const auto at = nodes_.find(node);
      if (at != nodes_.end()) up = at->second;
    }
    if (!wanted) return;
    if (up.has_value()) {
      // It came back while the suspicion was still on its way.
      ClearSuspects(node, *up);
    } else {
      router_->Reach(node);
    }
    ReachLater(node);
  });
}

// -- Looking ------------------------------------------------------------------

RuntimeTables Runtime::Tables() const {
  RuntimeTables tables;
  std::vector<std::shared_ptr<Process>> processes;
  {
    MutexLock lock(&mu_);
    tables.processes = processes_.size();
    tables.names = local_names_.size() + global_names_.size();
    tables.monitors = monitors_.size();
    tables.node_watchers = node_watchers_.size();
    tables.timers = timers_.size();
    for (const auto& [number, process] : processes_) {
      processes.push_back(process);
    }
  }
  // Relaxed: a count.
  tables.calls = calls_.load(std::memory_order_relaxed);
  tables.sleeps = sleeps_.load(std::memory_order_relaxed);
  for (const auto& process : processes) process->CountTies(&tables);
  return tables;
}

}  // namespace muster
