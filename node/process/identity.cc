// What a process is known by: local names, label, aliases, and the body that
// it may exchange (otp N1, A1 to A4, H12).
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/base/check.h"
#include "node/process/process.h"
#include "node/process/runtime.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

const std::string& NoName() {
  static const std::string kNone;
  return kNone;
}

Error NotAlive(const Pid& pid) {
  return Error(absl::StatusCode::kNotFound, "NOPROC",
               absl::StrCat(pid.ToString(),
                            " is no living process of this "
                            "node"))
      .NotExecuted();
}

}  // namespace

// -- Context ------------------------------------------------------------------

absl::Status Context::RegisterLocal(absl::string_view name) {
  return runtime().RegisterLocal(name, pid());
}

absl::Status Context::UnregisterLocal(absl::string_view name) {
  return runtime().UnregisterLocal(name);
}

Pid Context::WhereIsLocal(absl::string_view name) const {
  return runtime().WhereIsLocal(name);
}

void Context::SetLabel(absl::string_view label) { process_->SetLabel(label); }
std::string Context::label() const { return process_->label(); }

ServerRef Context::Alias(AliasKind kind) {
  MUSTER_CHECK(kind == AliasKind::kExplicit || kind == AliasKind::kReply,
               "an alias that ends with a monitor is made by Monitor()");
  const uint64_t id = runtime().UnusedRef(pid()).id;
  process_->AddAlias(id, kind);
  return ServerRef::Alias(pid(), id);
}

ServerRef Context::AliasOf(MonitorRef monitor) const {
  return ServerRef::Alias(pid(), monitor.id);
}

bool Context::Unalias(const ServerRef& alias) {
  return alias.kind() == ServerRef::Kind::kAlias && alias.pid() == pid() &&
         process_->RemoveAlias(alias.alias());
}

void Context::Become(std::unique_ptr<ProcessBody> server, ServerName claimed) {
  process_->Become(std::move(server), std::move(claimed));
}

// -- Process ------------------------------------------------------------------

absl::Status Process::SetLocalName(absl::string_view name) {
  MutexLock lock(&mu_);
  if (life_ == Life::kDead || doomed_.has_value()) return NotAlive(pid_);
  if (!local_name().empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "HAS_NAME",
                 absl::StrCat(pid_.ToString(), " already has the name '",
                              local_name(),
                              "' on this node: a process has at most one"))
        .NotExecuted();
  }
  // Readers may hold on to any name that it ever had.
  for (const auto& kept : local_names_) {
    if (*kept == name) {
      local_name_.store(kept.get(), std::memory_order_release);
      return absl::OkStatus();
    }
  }
  local_names_.push_back(std::make_unique<const std::string>(name));
  local_name_.store(local_names_.back().get(), std::memory_order_release);
  return absl::OkStatus();
}

void Process::ClearLocalName() {
  local_name_.store(&NoName(), std::memory_order_release);
}

void Process::SetLabel(absl::string_view label) {
  MutexLock lock(&mu_);
  label_ = std::string(label);
}

std::string Process::label() const {
  MutexLock lock(&mu_);
  return label_;
}

void Process::AddAlias(uint64_t id, AliasKind kind) {
  MutexLock lock(&mu_);
  aliases_.Add(id, kind);
}

bool Process::RemoveAlias(uint64_t id) {
  MutexLock lock(&mu_);
  return aliases_.Remove(id);
}

void Process::EndMonitorAlias(uint64_t ref) {
  MutexLock lock(&mu_);
  aliases_.MonitorEnded(ref);
}

bool Process::ReceiveLocked(uint64_t alias, uint64_t* ends_monitor) {
  if (alias == 0) return true;
  switch (aliases_.Receive(alias)) {
    case Aliases::Received::kOff:
      return false;
    case Aliases::Received::kOn:
      return true;
    case Aliases::Received::kOnEndsMonitor:
      // Not owned: of the process itself, where nothing fires (otp M6).
      if (own_monitors_.erase(alias) > 0) {
        *ends_monitor = alias;
        // Its Down may be on its way already.
        unwanted_downs_.insert(alias);
      }
      return true;
  }
  return false;
}

void Process::EndMonitor(uint64_t ref) {
  if (ref == 0) return;
  // Else its Down is on its way from another thread, for PushSystem to drop.
  if (!runtime_->Demonitor(pid_, MonitorRef{ref})) return;
  MutexLock lock(&mu_);
  unwanted_downs_.erase(ref);
}

void Process::Become(std::unique_ptr<ProcessBody> server, ServerName claimed) {
  MUSTER_CHECK(server != nullptr, "a process becomes a server, not nothing");
  become_ = std::make_unique<Becoming>(std::move(server), std::move(claimed));
}

std::optional<ExitReason> Process::TakeBecoming() {
  const auto become = std::move(become_);
  if (become == nullptr) return std::nullopt;
  const ServerName& claimed = become->claimed;
  switch (claimed.kind()) {
    case ServerName::Kind::kNone:
      break;
    case ServerName::Kind::kLocal:
      if (local_name() != claimed.name()) {
        return ExitReason::Custom("process_not_registered");
      }
      break;
    case ServerName::Kind::kGlobal:
      if (global_name() != claimed.name()) {
        return ExitReason::Custom("process_not_registered_globally");
      }
      break;
    case ServerName::Kind::kVia: {
      const auto via = runtime_->HoldVia(claimed.registry());
      if (via == nullptr || via->WhereIs(claimed.name()) != pid_) {
        return ExitReason::Custom(absl::StrCat("process_not_registered_via(",
                                               claimed.registry(), ")"));
      }
      break;
    }
  }
  body_ = std::move(become->server);
  service_.store(&body_->service_info(), std::memory_order_release);
  return std::nullopt;
}

// -- Runtime ------------------------------------------------------------------

absl::Status Runtime::RegisterLocal(absl::string_view name, const Pid& pid) {
  if (absl::Status valid = ValidateName(name); !valid.ok()) return valid;
  if (pid.node != options_.node) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_PID",
                 absl::StrCat(pid.ToString(),
                              " is of another node: a local name is for a "
                              "process of this one"))
        .NotExecuted();
  }
  auto process = Find(pid);
  if (process == nullptr) return NotAlive(pid);
  if (absl::Status set = process->SetLocalName(name); !set.ok()) return set;
  Pid holder;
  bool alive;
  {
    MutexLock lock(&mu_);
    alive = processes_.contains(pid.number);
    if (alive) holder = local_names_.try_emplace(name, pid).first->second;
  }
  if (holder == pid) return absl::OkStatus();
  process->ClearLocalName();
  if (!alive) return NotAlive(pid);
  return Error(absl::StatusCode::kAlreadyExists, "ALREADY_STARTED",
               absl::StrCat("'", name, "' is already the name of ",
                            holder.ToString()))
      .With("pid", holder.ToString())
      .NotExecuted();
}

absl::Status Runtime::UnregisterLocal(absl::string_view name) {
  std::shared_ptr<Process> process;
  {
    MutexLock lock(&mu_);
    const auto at = local_names_.find(name);
    if (at != local_names_.end()) {
      const auto found = processes_.find(at->second.number);
      if (found != processes_.end()) process = found->second;
      local_names_.erase(at);
    }
  }
  if (process == nullptr) {
    return Error(absl::StatusCode::kNotFound, "NOPROC",
                 absl::StrCat("no process of this node is registered as ",
                              LogSafe(name)))
        .NotExecuted();
  }
  process->ClearLocalName();
  return absl::OkStatus();
}

std::optional<ProcessInfo> Runtime::Inspect(const Pid& pid) const {
  auto process = Find(pid);
  if (process == nullptr || process->doomed()) return std::nullopt;
  return process->Describe();
}

void Runtime::SendReserved(const Pid& to, Info info) {
  if (auto process = Find(to)) process->PushSystem(std::move(info));
}

}  // namespace muster
