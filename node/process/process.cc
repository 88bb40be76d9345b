#include "node/process/process.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/base/check.h"
#include "node/base/planted.h"
#include "node/process/answer.h"

namespace muster {
namespace {

// What the envelope of a message counts for beside its payload.
constexpr size_t kEnvelopeBytes = 256;

}  // namespace

void internal::Answer(CallSlot& slot, CallResult result, const Runtime& runtime,
                      const Epoch& epoch) {
  if (!epoch.empty()) {
    const BootTime now = runtime.clock().Boot();
    if (!runtime.FenceOpen(now)) {
      slot.Complete(CallResult(
          Error(absl::StatusCode::kAborted, "FENCED",
                "the server ran the call, but its node could not prove in "
                "time that it still owns the name: read the state, then "
                "decide")
              .Unknown()
              .status()));
      return;
    }
    result.epoch = epoch;
    result.fence_remaining = runtime.fence().Remaining(now);
  }
  if (!slot.Complete(std::move(result))) runtime.CountDroppedReply();
}

// -- From --------------------------------------------------------------------

From::From(std::shared_ptr<CallSlot> slot, const Runtime* runtime, Epoch epoch)
    : slot_(std::move(slot)), runtime_(runtime), epoch_(epoch) {}
From::From(const From&) = default;
From& From::operator=(const From&) = default;
From::From(From&&) noexcept = default;
From& From::operator=(From&&) noexcept = default;
From::~From() = default;

void From::ReplyError(absl::Status error) const {
  if (slot_ == nullptr) return;
  if (error.ok()) {
    error = Error(absl::StatusCode::kInternal, "BUG",
                  "the server answered an error that is OK");
  }
  internal::Answer(
      *slot_, CallResult(WithOutcome(std::move(error), Outcome::kExecuted)),
      *runtime_, epoch_);
}

void From::ReplyWith(Payload response) const {
  if (slot_ == nullptr) return;
  internal::Answer(*slot_, CallResult(std::move(response)), *runtime_, epoch_);
}

bool From::done() const { return slot_ == nullptr || slot_->done(); }

// -- Process -----------------------------------------------------------------

Process::Process(Runtime* runtime, Pid pid, std::unique_ptr<ProcessBody> body,
                 Payload options, SpawnOptions spawn,
                 absl::AnyInvocable<void(absl::Status)> started)
    : runtime_(runtime),
      pid_(std::move(pid)),
      spawn_(std::move(spawn)),
      started_at_(runtime->clock().Boot()),
      room_(spawn_.mailbox, runtime->options().mailbox_messages_max,
            runtime->options().mailbox_bytes_max),
      service_(&body->service_info()),
      local_name_(&spawn_.local_name),
      body_(std::move(body)),
      options_(std::move(options)),
      started_(std::move(started)),
      context_(this),
      life_(Life::kSpawned),
      trap_exit_(spawn_.trap_exit),
      label_(spawn_.label),
      global_epoch_(spawn_.global_epoch) {
  static const std::string kNone;
  global_name_.store(spawn_.hold ? &kNone : &spawn_.global_name,
                     std::memory_order_release);
}

Process::~Process() = default;

bool Process::ScheduleLocked() {
  if (scheduled_ || life_ == Life::kDead) return false;
  scheduled_ = true;
  self_ = shared_from_this();
  return true;
}

void Process::Start() {
  if (spawn_.timeout != absl::InfiniteDuration()) {
    std::weak_ptr<Process> weak = shared_from_this();
    start_timer_ = runtime_->scheduler().At(
        runtime_->clock().Boot() + spawn_.timeout, [weak] {
          if (auto process = weak.lock()) process->StartExpired();
        });
  }
  bool submit = false;
  {
    MutexLock lock(&mu_);
    life_ = spawn_.hold ? Life::kHeld : Life::kStarting;
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

bool Process::AdoptClaim(Epoch global_epoch) {
  MutexLock lock(&mu_);
  if (life_ != Life::kHeld) return false;
  global_epoch_ = global_epoch;
  global_name_.store(&spawn_.global_name, std::memory_order_release);
  return true;
}

void Process::Release() {
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ != Life::kHeld) return;
    life_ = Life::kStarting;
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

void Process::Refuse(absl::Status error) {
  bool submit = false;
  std::optional<LinkIds> link;
  {
    MutexLock lock(&mu_);
    if (life_ != Life::kHeld || doomed_.has_value()) return;
    start_error_ = std::move(error);
    link = LeaveStarterLocked();
    doomed_ = ExitReason::Normal();
    submit = ScheduleLocked();
  }
  if (link.has_value()) runtime_->EndLink(pid_, spawn_.link_to, *link);
  if (submit) Submit();
}

std::optional<LinkIds> Process::LeaveStarterLocked() {
  const auto at = links_.find(spawn_.link_to);
  if (at == links_.end()) return std::nullopt;
  const LinkIds link = at->second;
  links_.erase(at);
  return link;
}

void Process::SignalStartFailed(const Pid& child, const ExitReason& reason) {
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead || links_.erase(child) == 0) return;
    if (trap_exit_ || reason.kind() == ExitReason::Kind::kNormal) return;
    if (!doomed_.has_value()) doomed_ = reason;
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

absl::Status Process::SetGlobalName(absl::string_view name, Epoch epoch) {
  MutexLock lock(&mu_);
  if (life_ == Life::kDead) {
    return Error(absl::StatusCode::kNotFound, "NOPROC",
                 absl::StrCat(pid_.ToString(), " has ended"))
        .NotExecuted();
  }
  if (!global_name().empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "HAS_NAME",
                 absl::StrCat(pid_.ToString(), " already has the name '",
                              global_name(), "': a process has at most one"))
        .NotExecuted();
  }
  global_names_.push_back(std::make_unique<const std::string>(name));
  global_epoch_ = epoch;
  global_name_.store(global_names_.back().get(), std::memory_order_release);
  return absl::OkStatus();
}

void Process::ClearGlobalName() {
  MutexLock lock(&mu_);
  global_names_.push_back(std::make_unique<const std::string>());
  global_epoch_ = Epoch();
  global_name_.store(global_names_.back().get(), std::memory_order_release);
}

void Process::StartExpired() {
  bool submit = false;
  std::optional<LinkIds> link;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kAlive || life_ == Life::kDead) return;
    start_error_ =
        Error(absl::StatusCode::kDeadlineExceeded, "START_TIMEOUT",
              absl::StrCat("Init of ", spawn_.type, " did not finish within ",
                           absl::FormatDuration(spawn_.timeout)))
            .Unknown();
    // Unlinked first, so that the kill does not hit the starter (otp H8).
    link = LeaveStarterLocked();
    doomed_ = ExitReason::Killed();
    submit = ScheduleLocked();
  }
  if (link.has_value()) runtime_->EndLink(pid_, spawn_.link_to, *link);
  if (submit) Submit();
}

bool Process::HasRoomLocked(size_t bytes) const {
  if (Planted(PlantedBug::kUnboundedMailbox)) return true;
  return room_.Has(mailbox_.size() - reserved_queued_ - systems_queued_,
                   mailbox_bytes_, bytes);
}

Process::Room Process::MakeRoomLocked(size_t bytes,
                                      std::vector<Envelope>* removed) {
  if (HasRoomLocked(bytes)) return Room::kYes;
  if (spawn_.mailbox.overflow == Overflow::kRefuse) return Room::kRefused;
  if (spawn_.mailbox.overflow == Overflow::kDropOldest &&
      room_.CanEverHave(bytes)) {
    for (auto at = mailbox_.begin(); at != mailbox_.end();) {
      const bool droppable =
          !at->reserved && (at->kind == Envelope::Kind::kCast ||
                            at->kind == Envelope::Kind::kInfo);
      if (!droppable) {
        ++at;
        continue;
      }
      mailbox_bytes_ -= at->bytes;
      removed->push_back(std::move(*at));
      at = mailbox_.erase(at);
      ++dropped_;
      if (HasRoomLocked(bytes)) return Room::kYes;
    }
  }
  return Room::kDropped;
}

void Process::WarnOfDrops(uint64_t dropped) {
  if (dropped != 1) return;
  runtime_->log().Warning(absl::StrCat(
      pid_.ToString(), ": mailbox full, infos and casts are dropped"));
}

void Process::PushLocked(Envelope envelope) {
  BytesLocked(envelope) += envelope.bytes;
  if (envelope.kind == Envelope::Kind::kExit) envelope.reserved = true;
  if (envelope.reserved) ++reserved_queued_;
  if (envelope.is_system()) ++systems_queued_;
  if (envelope.kind == Envelope::Kind::kExit) ++exits_queued_;
  if (Planted(PlantedBug::kAdaptiveLifo) && mailbox_.size() > 1) {
    mailbox_.push_front(std::move(envelope));
    return;
  }
  mailbox_.push_back(std::move(envelope));
}

Error Process::MailboxFull() const {
  return Error(absl::StatusCode::kResourceExhausted, "MAILBOX_FULL",
               absl::StrCat("the mailbox of '",
                            name().empty() ? pid_.ToString() : name(),
                            "' is full"))
      .RetryAfter(absl::Milliseconds(50));
}

Error Process::Exited(const ExitReason& reason) const {
  return Error(absl::StatusCode::kAborted, "CALLEE_EXITED",
               absl::StrCat("'", name().empty() ? pid_.ToString() : name(),
                            "' ended without an answer: ", reason.ToString()))
      .With("exit_reason", reason.ToString())
      .With("pid", pid_.ToString());
}

absl::Status Process::CheckMethod(const Request& request, bool* is_cast,
                                  absl::string_view* method) const {
  const ServiceInfo& known_service = *service_.load(std::memory_order_acquire);
  absl::string_view service;
  if (!SplitMethodPath(request.method, &service, method)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_METHOD",
                 absl::StrCat("'", request.method.substr(0, 64),
                              "' is no method path: it would look like "
                              "/package.Service/Method"))
        .NotExecuted();
  }
  if (service != known_service.service) {
    return Error(absl::StatusCode::kUnimplemented, "WRONG_SERVICE",
                 absl::StrCat("'", name().empty() ? pid_.ToString() : name(),
                              "' has the service ",
                              known_service.service.empty()
                                  ? "(none)"
                                  : known_service.service,
                              ", not ", service.substr(0, 64)))
        .NotExecuted();
  }
  for (const MethodInfo& info : known_service.methods) {
    if (info.name == *method) {
      *is_cast = info.cast;
      return absl::OkStatus();
    }
  }
  std::string known;
  for (const MethodInfo& info : known_service.methods) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", info.name);
  }
  return Error(absl::StatusCode::kUnimplemented, "UNKNOWN_METHOD",
               absl::StrCat(known_service.service, " has no method '",
                            method->substr(0, 64), "'; it has ", known))
      .NotExecuted();
}

void Process::PushCall(Request request, std::shared_ptr<CallSlot> slot) {
  const bool is_system = IsSystem(request);
  bool is_cast = false;
  absl::string_view method;
  if (!is_system) {
    if (absl::Status checked = CheckMethod(request, &is_cast, &method);
        !checked.ok()) {
      slot->Complete(CallResult(std::move(checked)));
      return;
    }
  }
  if (is_cast) {
    absl::Status taken = PushCast(std::move(request));
    slot->Complete(CallResult(std::move(taken)));
    return;
  }
  // At once, whatever it is doing (guarantees R11).
  const bool frozen = !FenceOpen();
  if (is_system && frozen) {
    slot->Complete(CallResult(Frozen().status()));
    return;
  }
  if (is_system) {
    if (absl::Status taken = PushSysRequest(std::move(request), slot);
        !taken.ok()) {
      slot->Complete(CallResult(std::move(taken)));
    }
    return;
  }
  const bool chained = IsChained(request);
  const uint64_t alias = request.target.alias();
  Envelope envelope;
  envelope.kind = Envelope::Kind::kCall;
  envelope.bytes = request.payload.size_bytes() + kEnvelopeBytes;
  envelope.request = std::move(request);
  envelope.slot = slot;
  bool submit = false;
  bool cycle = false;
  uint64_t ends_monitor = 0;
  std::optional<Error> refused;
  {
    MutexLock lock(&mu_);
    if (gone_) {  // Until then Finish answers, with its names free (otp P8).
      refused = Exited(*ended_);
    } else if (chained && WaitsForLocked(*envelope.request, awaited_call_)) {
      cycle = true;
    } else if (frozen) {
      refused = Frozen();
    } else if (!HasRoomLocked(envelope.bytes)) {
      refused = MailboxFull();
    } else if (!ReceiveLocked(alias, &ends_monitor)) {
      refused = Error(absl::StatusCode::kNotFound, "NOPROC",
                      absl::StrCat("that alias of ", pid_.ToString(),
                                   " has been switched off"));
    } else {
      if (chained) chained_queued_ = true;
      PushLocked(std::move(envelope));
      submit = ScheduleLocked();
    }
  }
  EndMonitor(ends_monitor);
  if (cycle) {
    FailCycle(*envelope.request, *slot);
  } else if (refused.has_value()) {
    slot->Fail(*std::move(refused));
  } else if (submit) {
    Submit();
  }
}

absl::Status Process::PushCast(Request request) {
  if (IsSystem(request)) return PushSysRequest(std::move(request), nullptr);
  bool is_cast = false;
  absl::string_view method;
  if (absl::Status checked = CheckMethod(request, &is_cast, &method);
      !checked.ok()) {
    return checked;
  }
  if (!is_cast) {
    return Error(absl::StatusCode::kInvalidArgument, "NOT_A_CAST",
                 absl::StrCat(method, " is a call, not a cast: call it"))
        .NotExecuted();
  }
  const uint64_t alias = request.target.alias();
  Envelope envelope;
  envelope.kind = Envelope::Kind::kCast;
  envelope.bytes = request.payload.size_bytes() + kEnvelopeBytes;
  envelope.request = std::move(request);
  bool submit = false;
  uint64_t ends_monitor = 0;
  uint64_t dropped = 0;
  std::vector<Envelope> removed;  // Destroyed without the lock.
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead) return Exited(*ended_).NotExecuted();
    if (alias != 0 && !aliases_.IsOn(alias)) return absl::OkStatus();
    const Room room = MakeRoomLocked(envelope.bytes, &removed);
    if (room == Room::kRefused) return MailboxFull().NotExecuted();
    if (room == Room::kDropped) {
      dropped = ++dropped_;
    } else if (ReceiveLocked(alias, &ends_monitor)) {
      PushLocked(std::move(envelope));
      submit = ScheduleLocked();
    }
  }
  WarnOfDrops(dropped);
  EndMonitor(ends_monitor);
  if (submit) Submit();
  return absl::OkStatus();
}

void Process::PushInfo(Info info, uint64_t alias) {
  Envelope envelope;
  envelope.kind = Envelope::Kind::kInfo;
  envelope.bytes = info.size_bytes() + kEnvelopeBytes;
  envelope.info = std::move(info);
  bool submit = false;
  uint64_t ends_monitor = 0;
  uint64_t dropped = 0;
  std::vector<Envelope> removed;  // Destroyed without the lock.
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead) return;
    if (alias != 0 && !aliases_.IsOn(alias)) return;
    if (MakeRoomLocked(envelope.bytes, &removed) != Room::kYes) {
      dropped = ++dropped_;
    } else if (ReceiveLocked(alias, &ends_monitor)) {
      PushLocked(std::move(envelope));
      submit = ScheduleLocked();
    }
  }
  WarnOfDrops(dropped);
  EndMonitor(ends_monitor);
  if (submit) Submit();
}

void Process::PushSystem(Info info, MonitorRef down_ref) {
  // As guarantees section 8.3 has it for monitors.
  Envelope envelope;
  envelope.kind = Envelope::Kind::kInfo;
  envelope.down_ref = down_ref;
  envelope.info = std::move(info);
  envelope.reserved = true;
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead) return;
    if (down_ref.id != 0) {
      aliases_.MonitorEnded(down_ref.id);
      if (unwanted_downs_.erase(down_ref.id) > 0) return;
    }
    PushLocked(std::move(envelope));
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

void Process::PushResponse(Info info,
                           std::shared_ptr<const std::atomic<bool>> revoked) {
  Envelope envelope;
  envelope.kind = Envelope::Kind::kInfo;
  envelope.info = std::move(info);
  envelope.revoked = std::move(revoked);
  envelope.reserved = true;
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead) return;
    PushLocked(std::move(envelope));
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

size_t Process::DropQueued(absl::FunctionRef<bool(Info&)> unwanted) {
  std::vector<Envelope> dropped;  // Destroyed without the lock.
  {
    MutexLock lock(&mu_);
    std::deque<Envelope> kept;
    for (Envelope& envelope : mailbox_) {
      if (envelope.kind == Envelope::Kind::kInfo && unwanted(envelope.info)) {
        mailbox_bytes_ -= envelope.bytes;
        if (envelope.reserved) --reserved_queued_;
        dropped.push_back(std::move(envelope));
      } else {
        kept.push_back(std::move(envelope));
      }
    }
    mailbox_.swap(kept);
  }
  return dropped.size();
}

bool Process::AddWatcher(uint64_t ref, const Pid& watcher) {
  MutexLock lock(&mu_);
  if (gone_) return false;
  watchers_[ref].pid = watcher;
  return true;
}

bool Process::AddObserver(uint64_t ref,
                          absl::AnyInvocable<void(ExitReason)>* done) {
  MutexLock lock(&mu_);
  if (gone_) return false;
  watchers_[ref].observer = std::move(*done);
  return true;
}

bool Process::RemoveWatcher(uint64_t ref) {
  MutexLock lock(&mu_);
  return watchers_.erase(ref) > 0;
}

void Process::OwnMonitor(uint64_t ref) {
  MutexLock lock(&mu_);
  own_monitors_.insert(ref);
}

bool Process::DisownMonitor(uint64_t ref) {
  MutexLock lock(&mu_);
  return own_monitors_.erase(ref) > 0;
}

void Process::Wake(uint64_t token) {
  bool submit = false;
  {
    MutexLock lock(&mu_);
    if (life_ == Life::kDead || token != wait_token_) return;
    woken_ = true;
    submit = ScheduleLocked();
  }
  if (submit) Submit();
}

void Process::set_trap_exit(bool on) {
  MutexLock lock(&mu_);
  trap_exit_ = on;
}

bool Process::traps_exit() const {
  MutexLock lock(&mu_);
  return trap_exit_;
}

bool Process::RemoveQueuedDown(MonitorRef ref) {
  Envelope removed;  // Destroyed without the lock.
  MutexLock lock(&mu_);
  const auto at =
      std::find_if(mailbox_.begin(), mailbox_.end(),
                   [ref](const Envelope& e) { return e.down_ref == ref; });
  if (at == mailbox_.end()) return false;
  mailbox_bytes_ -= at->bytes;
  if (at->reserved) --reserved_queued_;
  removed = std::move(*at);
  mailbox_.erase(at);
  return true;
}

Epoch Process::global_epoch() const {
  MutexLock lock(&mu_);
  return global_epoch_;
}

bool Process::doomed() const {
  MutexLock lock(&mu_);
  return doomed_.has_value();
}

ProcessInfo Process::Describe() const {
  ProcessInfo info;
  info.pid = pid_;
  info.name = name();
  info.global = !global_name().empty();
  info.type = spawn_.type;
  info.handled = handled_.load(std::memory_order_relaxed);
  info.started = started_at_;
  info.local_name = local_name();
  info.parent = spawn_.parent.empty() ? spawn_.link_to : spawn_.parent;
  info.ancestors = spawn_.ancestors;
  MutexLock lock(&mu_);
  info.mailbox = mailbox_.size() - systems_queued_;
  info.mailbox_bytes = mailbox_bytes_;
  info.dropped = dropped_;
  info.label = label_;
  info.trap_exit = trap_exit_;
  info.aliases = aliases_.size();
  for (const auto& [pid, link] : links_) info.links.push_back(pid);
  info.monitors = own_monitors_.size();
  for (const auto& [ref, watcher] : watchers_) {
    if (!watcher.pid.empty()) info.monitored_by.push_back(watcher.pid);
  }
  info.handler = waiting_ ? waiting_in_
                          : std::string(StageName(
                                shown_stage_.load(std::memory_order_relaxed)));
  info.hibernated = hibernating_;
  if (life_ == Life::kSpawned || life_ == Life::kHeld ||
      life_ == Life::kStarting) {
    info.state = "starting";
  } else if (waiting_) {
    info.state = "waiting";
  } else if (running_ || scheduled_) {
    info.state = "running";
  } else if (suspended_) {
    info.state = "suspended";
  } else if (hibernating_) {
    info.state = "hibernating";
  } else {
    info.state = "idle";
  }
  return info;
}

}  // namespace muster
