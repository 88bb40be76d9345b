// Membership: who watches heartbeats, and ends the membership of the silent
// (guarantees R4, R5).
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/membership/membership.h"
#include "cluster/membership/reap.h"

namespace muster {
namespace {

constexpr absl::Duration kTxnTimeout = absl::Seconds(1);
// Only the lowest node names watch heartbeats (guarantees R5): those that reap,
// and as many to take their turn at once if these fall silent together.
constexpr size_t kWatchers = 2 * Reaper::kReapers;

}  // namespace

void Membership::UpdateReaper() {
  if (store_->embedded() || !active_) return;
  bool watches = watchers_silent_;
  {
    MutexLock lock(&mu_);
    size_t rank = 0;
    for (const auto& [node, member] : members_) {
      if (rank++ == kWatchers) break;
      if (node == options_.node) watches = true;
    }
  }
  if (!watches) {
    heartbeats_.reset();
    MutexLock lock(&mu_);
    reaper_.reset();
    return;
  }
  if (heartbeats_ != nullptr) return;
  {
    Profile profile = profile_;
    if (options_.reap_for_test > absl::ZeroDuration()) {
      profile.reap = options_.reap_for_test;
    }
    MutexLock lock(&mu_);
    reaper_.emplace(profile);
    reaper_->Committed(last_committed_);
  }
  ReplicaHandler handler;
  handler.on_change = [this](const std::string& key, const KeyValue* now,
                             int64_t) { HeartbeatChanged(key, now); };
  handler.on_synced = [this] {
    MutexLock lock(&mu_);
    reaper_->WatchReady(clock_->Boot());
  };
  handler.on_gap = [this] {
    MutexLock lock(&mu_);
    reaper_->WatchBroke();
  };
  heartbeats_ =
      std::make_unique<Replica>(store_, strand_, clock_, random_, logger_,
                                keys_.HeartbeatPrefix(), std::move(handler));
  heartbeats_->Start();
}

void Membership::LookAtWatchers() {
  if (!active_) return;
  store_->List(keys_.HeartbeatPrefix(), kTxnTimeout,
               OnStrand<RangeResult>(&Membership::WatchersListed));
}

void Membership::WatchersListed(absl::StatusOr<RangeResult> result) {
  if (!active_) return;
  std::map<std::string, int64_t> beats;
  if (result.ok()) {
    for (const KeyValue& item : result->items) {
      if (const auto parsed = keys_.Parse(item.key); parsed.ok()) {
        beats[parsed->id] = item.mod_revision;
      }
    }
  }
  // Sorted, so the first ones are those that watch.
  bool silent = !beats.empty();
  size_t rank = 0;
  for (const auto& [node, revision] : beats) {
    if (rank++ == kWatchers) break;
    const auto before = seen_beats_.find(node);
    silent = silent && node != options_.node && before != seen_beats_.end() &&
             before->second == revision;
  }
  seen_beats_ = std::move(beats);
  if (std::exchange(watchers_silent_, silent) != silent) UpdateReaper();
  strand_->At(clock_->Boot() + profile_.reap,
              Alive([this] { LookAtWatchers(); }));
}

void Membership::HeartbeatChanged(const std::string& key, const KeyValue* now) {
  absl::StatusOr<Keys::Parsed> parsed = keys_.Parse(key);
  if (!parsed.ok() || parsed->id == options_.node) return;
  store::v1::HeartbeatRecord beat;
  if (now != nullptr && !beat.ParseFromString(now->value)) return;
  MutexLock lock(&mu_);
  if (!reaper_.has_value()) return;
  if (now == nullptr) {
    reaper_->Forget(parsed->id);
  } else {
    // The epoch comes with the beat, so that both are of one moment.
    reaper_->Observe(parsed->id, static_cast<int64_t>(beat.node_revision()),
                     now->mod_revision, clock_->Boot());
  }
}

void Membership::Sweep() {
  if (!active_) return;
  const BootTime now = clock_->Boot();
  if (heartbeats_ != nullptr) {
    std::vector<Silence::Overdue> due;
    {
      MutexLock lock(&mu_);
      const bool was_braked = reaper_->braked();
      std::vector<std::string> members;
      for (const auto& [node, member] : members_) members.push_back(node);
      due = reaper_->Sweep(members.size(), now);
      if (!reaper_->HasTurn(options_.node, members, now)) due.clear();
      if (reaper_->braked() && !was_braked) {
        logger_->Warning(
            "many nodes look silent at once: perhaps it is this one, or the "
            "store. If the heartbeats of others do not go on meanwhile, none "
            "is reaped before another R, then one at a time");
      }
    }
    if (fence_.Check(now)) {
      for (const Silence::Overdue& overdue : due) Reap(overdue);
      RemoveOldGraves();
    }
  }
  strand_->At(now + profile_.heartbeat / 5, Alive([this] { Sweep(); }));
}

void Membership::Reap(const Silence::Overdue& overdue) {
  int64_t node_revision = overdue.node_revision;
  if (node_revision == 0) {  // It wrote its record and never a heartbeat.
    const auto at = nodes_->items().find(keys_.Node(overdue.node));
    if (at == nodes_->items().end()) return;
    node_revision = at->second.create_revision;
  }
  std::optional<absl::Duration> silent;
  {
    MutexLock lock(&mu_);
    silent = reaper_->SilentFor(overdue.node, clock_->Boot());
    reaper_->Forget(overdue.node);  // Not again before the next observation.
  }
  logger_->Warning(absl::StrCat("node '", overdue.node, "' was silent for ",
                                absl::FormatDuration(profile_.reap),
                                "; ending its membership"));
  Txn txn = SilentReap(
      keys_, overdue.node, node_revision, overdue.heartbeat_revision,
      Journal(EndOfNode(
          "node.reaped", overdue.node,
          Epoch{generation_, static_cast<uint64_t>(node_revision)},
          absl::StrCat("silent; reaped by '", options_.node, "'"),
          {{"silence_ms", absl::StrCat(absl::ToInt64Milliseconds(
                              silent.value_or(profile_.reap)))},
           {"heartbeat_revision", absl::StrCat(overdue.heartbeat_revision)}})));
  std::weak_ptr<bool> alive = alive_;
  store_->Commit(std::move(txn), kTxnTimeout,
                 [this, alive, overdue, node_revision,
                  strand = strand_](absl::StatusOr<TxnResult> result) {
                   if (alive.expired()) return;
                   const bool reaped = result.ok() && result->succeeded;
                   // Time it again from here unless it is gone; a compare that
                   // failed means a heartbeat that the watch will bring, or
                   // that another reaper was first.
                   strand->Post([this, alive, overdue, node_revision, reaped,
                                 answered = result.ok()] {
                     if (alive.expired() || !active_) return;
                     // A watch that does not tell of that may be deaf: lists
                     // tell at once, and find it out.
                     if (answered) nodes_->Refresh();
                     if (reaped) return;
                     if (answered && heartbeats_ != nullptr) {
                       heartbeats_->Refresh();
                     }
                     MutexLock lock(&mu_);
                     const auto at = members_.find(overdue.node);
                     if (!reaper_.has_value() || at == members_.end() ||
                         static_cast<int64_t>(at->second.epoch.revision) !=
                             node_revision) {
                       return;
                     }
                     reaper_->Observe(overdue.node, overdue.node_revision,
                                      overdue.heartbeat_revision,
                                      clock_->Boot());
                   });
                 });
}

}  // namespace muster
