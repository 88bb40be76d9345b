#include "node/process/timers.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "node/process/process.h"
#include "node/process/runtime.h"

namespace muster {
namespace {

// Timers of a dead process that are dropped under one lock.
constexpr size_t kForgetAtOnce = 128;

Error Refused(absl::string_view reason, absl::string_view text) {
  return Error(absl::StatusCode::kInvalidArgument, reason, text).NotExecuted();
}

}  // namespace

TimerRef Timers::Arm(BootTime due, const Pid& sender, ServerRef to, Info info,
                     Form form) {
  Pid owner;
  if (to.kind() == ServerRef::Kind::kPid ||
      to.kind() == ServerRef::Kind::kAlias) {
    owner = to.pid();
    if (!runtime_->IsLocal(owner)) return TimerRef();
  }
  Entry entry;
  entry.due = due;
  entry.owner = owner.number;
  uint64_t ref = 0;
  {
    // Names are spread by nothing better than their hash.
    const uint64_t spread =
        owner.empty() ? absl::HashOf(to.name()) : owner.number;
    Shard& shard = ShardOf(spread);
    MutexLock lock(&shard.mu);
    ref = ++shard.last * kShards + spread % kShards;
    if (entry.owner != 0) {
      uint64_t& first = shard.owners[entry.owner];
      if (first != 0) shard.entries.at(first).previous = ref;
      entry.next = std::exchange(first, ref);
    }
    shard.entries.emplace(ref, entry);
  }
  // Only now: Forget comes after the process cannot be found any more, so it
  // sees the entry or we see that.
  if (!owner.empty() && runtime_->Find(owner) == nullptr) {
    Shard& shard = ShardOf(ref);
    MutexLock lock(&shard.mu);
    shard.Take(ref);
    return TimerRef{ref};
  }
  const TimerId id = runtime_->scheduler().At(
      due, [this, ref, sender, to = std::move(to), info = std::move(info),
            form]() mutable { Fire(ref, sender, to, std::move(info), form); });
  bool armed = false;
  {
    Shard& shard = ShardOf(ref);
    MutexLock lock(&shard.mu);
    const auto at = shard.entries.find(ref);
    if (at != shard.entries.end()) {
      at->second.id = id;
      armed = true;
    }
  }
  if (!armed) runtime_->scheduler().Cancel(id);  // It has ended meanwhile.
  return TimerRef{ref};
}

std::optional<Timers::Entry> Timers::Shard::Take(uint64_t ref) {
  const auto at = entries.find(ref);
  if (at == entries.end()) return std::nullopt;
  const Entry entry = at->second;
  entries.erase(at);
  if (entry.owner != 0) {
    if (entry.next != 0) entries.at(entry.next).previous = entry.previous;
    if (entry.previous != 0) {
      entries.at(entry.previous).next = entry.next;
    } else if (entry.next != 0) {
      owners[entry.owner] = entry.next;
    } else {
      owners.erase(entry.owner);
    }
  }
  return entry;
}

void Timers::Fire(uint64_t ref, const Pid& sender, const ServerRef& to,
                  Info info, Form form) {
  {
    Shard& shard = ShardOf(ref);
    MutexLock lock(&shard.mu);
    if (!shard.Take(ref).has_value()) return;
  }
  if (form == Form::kFired) {
    info = Info(TimerFired(TimerRef{ref}, std::move(info)));
  }
  runtime_->SendTimed(sender, to, std::move(info));
}

std::optional<absl::Duration> Timers::Cancel(TimerRef ref) {
  std::optional<Entry> entry;
  {
    Shard& shard = ShardOf(ref.id);
    MutexLock lock(&shard.mu);
    entry = shard.Take(ref.id);
  }
  if (!entry.has_value()) return std::nullopt;
  // Whatever it says: without its entry the timer delivers nothing.
  runtime_->scheduler().Cancel(entry->id);
  return Left(entry->due);
}

std::optional<absl::Duration> Timers::Read(TimerRef ref) const {
  BootTime due;
  {
    const Shard& shard = ShardOf(ref.id);
    MutexLock lock(&shard.mu);
    const auto at = shard.entries.find(ref.id);
    if (at == shard.entries.end()) return std::nullopt;
    due = at->second.due;
  }
  return Left(due);
}

void Timers::Forget(uint64_t process_number) {
  std::vector<TimerId> ids;
  do {
    ids.clear();
    {
      Shard& shard = ShardOf(process_number);
      MutexLock lock(&shard.mu);
      while (ids.size() < kForgetAtOnce) {
        const auto owner = shard.owners.find(process_number);
        if (owner == shard.owners.end()) break;
        ids.push_back(shard.Take(owner->second)->id);
      }
    }
    for (const TimerId id : ids) runtime_->scheduler().Cancel(id);
  } while (!ids.empty());
}

size_t Timers::size() const {
  size_t size = 0;
  for (const Shard& shard : shards_) {
    MutexLock lock(&shard.mu);
    size += shard.entries.size();
  }
  return size;
}

absl::Duration Timers::Left(BootTime due) const {
  return std::max(due - runtime_->clock().Boot(), absl::ZeroDuration());
}

// -- Runtime's part ----------------------------------------------------------

absl::Status Runtime::CheckTimer(const ServerRef& to) const {
  const bool by_pid = to.kind() == ServerRef::Kind::kPid ||
                      to.kind() == ServerRef::Kind::kAlias;
  if (by_pid && to.pid().empty()) {
    return Refused("BAD_TARGET", "a timer needs somebody to send to");
  }
  absl::string_view node;
  if (by_pid) {
    node = to.pid().node;
  } else if (to.kind() == ServerRef::Kind::kLocal) {
    node = to.node();
  }
  if (!node.empty() && node != options_.node) {
    return Refused("REMOTE_TARGET",
                   absl::StrCat("'", to.ToString(),
                                "' is of another node: a timer sends to a "
                                "process of its own node, or to a name"));
  }
  return absl::OkStatus();
}

TimerRef Runtime::SendAfter(absl::Duration delay, const ServerRef& to,
                            Info info, const Pid& sender) {
  return SendAt(clock().Boot() + std::max(delay, absl::ZeroDuration()), to,
                std::move(info), sender);
}

TimerRef Runtime::SendAt(BootTime due, const ServerRef& to, Info info,
                         const Pid& sender) {
  if (const absl::Status checked = CheckTimer(to); !checked.ok()) {
    logger_->Warning(absl::StrCat("no timer: ", checked.message()));
    return TimerRef();
  }
  return timers_.Arm(due, sender, to, std::move(info), Timers::Form::kPlain);
}

absl::StatusOr<TimerRef> Runtime::StartTimer(absl::Duration delay,
                                             const ServerRef& to, Info info,
                                             const Pid& sender) {
  if (delay < absl::ZeroDuration()) {
    return Refused("BAD_TIME", absl::StrCat(absl::FormatDuration(delay),
                                            " is no time to wait"))
        .status();
  }
  return StartTimerAt(clock().Boot() + delay, to, std::move(info), sender);
}

absl::StatusOr<TimerRef> Runtime::StartTimerAt(BootTime due,
                                               const ServerRef& to, Info info,
                                               const Pid& sender) {
  if (absl::Status checked = CheckTimer(to); !checked.ok()) return checked;
  return timers_.Arm(due, sender, to, std::move(info), Timers::Form::kFired);
}

std::optional<absl::Duration> Runtime::CancelTimer(TimerRef timer) {
  return timers_.Cancel(timer);
}

std::optional<absl::Duration> Runtime::ReadTimer(TimerRef timer) const {
  return timers_.Read(timer);
}

}  // namespace muster
