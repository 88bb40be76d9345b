#include "cluster/membership/ownership.h"

#include <algorithm>

#include "node/base/planted.h"

namespace muster {
namespace {

// A span of so many H without a committed heartbeat of its own: what a reaper
// did not see meanwhile proves nothing.
constexpr int kBlindBeats = 3;
// What moved within so many H moves now.
constexpr int kFreshBeats = 2;

// Nodes that died together were last seen up to H and the store's latency
// apart, so one is counted as silent a little before it may be reaped.
absl::Duration Spread(const Profile& profile) {
  return profile.heartbeat * 1.5;
}

}  // namespace

AfterBeat Proves(Beat beat, BootTime sent, BootTime received,
                 const Profile& profile) {
  AfterBeat after;
  if (Planted(PlantedBug::kUncommittedExtends)) {
    after.deadline = sent + profile.fence;
    return after;
  }
  switch (beat) {
    case Beat::kCommitted:
      after.deadline =
          (Planted(PlantedBug::kFenceFromReceipt) ? received : sent) +
          profile.fence;
      break;
    case Beat::kRefused:
      after.dead = true;
      break;
    case Beat::kNoAnswer:
      break;
  }
  return after;
}

absl::Duration SilenceToReap(const Profile& profile) {
  return Planted(PlantedBug::kReapAtHalfFence) ? profile.fence / 2
                                               : profile.reap;
}

// -- Reaper ------------------------------------------------------------------

void Reaper::Observe(absl::string_view node, int64_t node_revision,
                     int64_t heartbeat_revision, BootTime now) {
  if (silence_.Observe(node, node_revision, heartbeat_revision, now)) {
    moved_[std::string(node)] = now;
  }
}

void Reaper::Forget(absl::string_view node) {
  silence_.Forget(node);
  if (const auto at = moved_.find(node); at != moved_.end()) moved_.erase(at);
}

void Reaper::StartAnew(BootTime now) {
  silence_.StartAnew(now);
  moved_.clear();
  braked_since_.reset();
  braked_for_ = 0;
}

void Reaper::Committed(BootTime now) {
  if (committed_.has_value() &&
      now - *committed_ > profile_.heartbeat * kBlindBeats) {
    StartAnew(now);
  }
  committed_ = now;
}

void Reaper::WatchReady(BootTime now) {
  if (watching_) return;
  watching_ = true;
  StartAnew(now);
}

size_t Reaper::Few(size_t nodes) { return std::max<size_t>(1, nodes / 5); }

bool Reaper::Witnessed(size_t nodes, BootTime now) const {
  const auto proves = [&](BootTime at) {
    return at > *braked_since_ && now - at <= profile_.heartbeat * kFreshBeats;
  };
  if (!committed_.has_value() || !proves(*committed_)) return false;
  const auto witnesses =
      std::count_if(moved_.begin(), moved_.end(),
                    [&](const auto& moved) { return proves(moved.second); });
  return static_cast<size_t>(witnesses) >= Few(nodes);
}

std::vector<Silence::Overdue> Reaper::Sweep(size_t nodes, BootTime now) {
  const bool paused = swept_.has_value() &&
                      now - *swept_ > sweep_interval() + profile_.heartbeat;
  swept_ = now;
  if (paused) StartAnew(now);
  const bool blind = committed_.has_value() &&
                     now - *committed_ > profile_.heartbeat * kBlindBeats;
  if (paused || blind || !watching_) return {};

  const absl::Duration reap = SilenceToReap(profile_);
  const absl::Duration spread = Spread(profile_);
  const size_t silent = silence_.Find(reap - spread, now).size();
  if (silent > Few(nodes)) {
    if (silent > braked_for_) {
      braked_since_ = now;
      braked_for_ = silent;
    }
  } else if (silent == 0) {
    braked_since_.reset();
    braked_for_ = 0;
  }
  std::vector<Silence::Overdue> due = silence_.Find(reap, now);
  if (braked() && !due.empty() && !Witnessed(nodes, now)) {
    if (now - *braked_since_ < reap + spread ||
        (reaped_.has_value() && now - *reaped_ < profile_.heartbeat)) {
      return {};
    }
    due.resize(1);
  }
  if (!due.empty()) reaped_ = now;
  return due;
}

bool Reaper::HasTurn(absl::string_view own,
                     const std::vector<std::string>& members,
                     BootTime now) const {
  size_t before = 0;
  for (const std::string& member : members) {
    if (member == own) break;
    const std::optional<absl::Duration> silent = SilentFor(member, now);
    if (!silent.has_value() || *silent < SilenceToReap(profile_)) ++before;
  }
  return before < kReapers;
}

// -- Graves ------------------------------------------------------------------

void Graves::Observe(absl::string_view node, int64_t node_revision,
                     int64_t grave_revision, BootTime now) {
  const auto at = seen_.find(node);
  if (at == seen_.end()) {
    seen_.emplace(std::string(node), Seen{node_revision, grave_revision, now});
  } else if (at->second.grave_revision < grave_revision) {
    at->second = Seen{node_revision, grave_revision, now};
  }
}

void Graves::Forget(absl::string_view node) {
  const auto at = seen_.find(node);
  if (at != seen_.end()) seen_.erase(at);
}

void Graves::ObserveRaise(int64_t revision, bool unknown_before, BootTime now) {
  raise_ = Raise{revision, unknown_before, now};
}

ClaimGate Graves::Gate(absl::string_view node, int64_t node_revision,
                       absl::Duration reap) const {
  ClaimGate gate;
  if (Planted(PlantedBug::kSkipGrave)) return gate;
  if (raise_.has_value() && (node.empty() ? raise_->unknown_before
                                          : node_revision < raise_->revision)) {
    gate.not_before = raise_->since + reap;
  }
  if (node.empty()) return gate;
  const auto at = seen_.find(node);
  if (at == seen_.end()) {
    gate.grave_revision = 0;
    return gate;
  }
  gate.grave_revision = at->second.grave_revision;
  if (node_revision <= at->second.node_revision) {
    gate.not_before = std::max(gate.not_before, at->second.since + reap);
  }
  return gate;
}

std::vector<Graves::Old> Graves::FindOld(absl::Duration reap,
                                         BootTime now) const {
  std::vector<Old> old;
  for (const auto& [node, seen] : seen_) {
    if (now - seen.since >= reap * 2)
      old.push_back({node, seen.grave_revision});
  }
  return old;
}

}  // namespace muster
