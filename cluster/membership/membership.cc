#include "cluster/membership/membership.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/store/event.h"
#include "google/protobuf/util/time_util.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

using Op = Compare::Op;

constexpr uint32_t kSchema = 1;
// One try of a heartbeat (guarantees R2).
constexpr absl::Duration kBeatTimeout = absl::Milliseconds(400);
constexpr absl::Duration kTxnTimeout = absl::Seconds(1);
constexpr absl::Duration kJoinRetry = absl::Milliseconds(200);
constexpr absl::Duration kJoinPatience = absl::Seconds(10);
// How often a waiting node looks whether the record in its way has moved.
constexpr absl::Duration kOtherPoll = absl::Milliseconds(200);
// As many new heartbeats prove that it lives: a dead node's last one or two may
// still have been on their way to the store.
constexpr int kOtherMoves = 3;
// Only the lowest node ids watch heartbeats and reap (guarantees R5).
constexpr size_t kReapers = 3;

}  // namespace

Membership::Membership(MembershipOptions options, Store* store, Strand* strand,
                       Clock* clock, RandomSource* random, Logger* logger,
                       MembershipListener listener)
    : options_(std::move(options)),
      keys_(options_.cluster),
      store_(store),
      strand_(strand),
      clock_(clock),
      random_(random),
      logger_(logger),
      listener_(std::move(listener)),
      profile_(options_.profile),
      fence_(options_.profile.guard) {}

Membership::~Membership() = default;

std::function<void()> Membership::Alive(std::function<void()> work) {
  std::weak_ptr<bool> alive = alive_;
  return [alive, work = std::move(work)] {
    if (!alive.expired()) work();
  };
}

template <typename T>
Store::Done<T> Membership::OnStrand(
    void (Membership::*then)(absl::StatusOr<T>)) {
  std::weak_ptr<bool> alive = alive_;
  return [this, alive, then, strand = strand_](absl::StatusOr<T> result) {
    if (alive.expired()) return;
    strand->Post([this, alive, then, result = std::move(result)]() mutable {
      if (!alive.expired()) (this->*then)(std::move(result));
    });
  };
}

// -- Joining -----------------------------------------------------------------

void Membership::Join(absl::AnyInvocable<void(absl::StatusOr<Joined>)> done) {
  joined_ = std::move(done);
  incarnation_ = random_->Hex(8);
  join_deadline_ = clock_->Boot() + kJoinPatience;
  ReadMeta();
}

void Membership::JoinFailed(absl::Status status) {
  auto joined = std::move(joined_);
  if (joined) joined(std::move(status));
}

void Membership::RetryJoin(absl::Duration delay, std::function<void()> step,
                           const absl::Status& why) {
  const BootTime now = clock_->Boot();
  if (!why.ok() && now >= join_deadline_) {
    JoinFailed(
        Error(absl::StatusCode::kUnavailable, "STORE_UNREACHABLE",
              absl::StrCat("the store ", store_->ToString(),
                           " does not answer: ", why.message(),
                           ". Is etcd running there? `--store` names it"))
            .NotExecuted());
    return;
  }
  strand_->At(now + delay + random_->Jitter(delay / 4), Alive(std::move(step)));
}

void Membership::ReadMeta() {
  store::v1::Meta meta;
  meta.set_schema(kSchema);
  meta.set_cluster_id(random_->Hex(16));
  // An embedded store starts empty each time: its generation must be greater
  // than at any earlier start (guarantees R16).
  meta.set_generation(
      store_->embedded()
          ? static_cast<uint64_t>(absl::ToUnixMillis(clock_->Wall()))
          : 1);
  *meta.mutable_profile() = options_.profile.ToProto();
  meta.set_schema_min(kSchema);
  meta.set_schema_max(kSchema);
  Txn txn;
  txn.compares.push_back(Compare::Absent(keys_.Meta()));
  txn.then.push_back(StoreOp::Put(keys_.Meta(), meta.SerializeAsString()));
  txn.then.push_back(StoreOp::Get(keys_.Meta()));
  txn.otherwise.push_back(StoreOp::Get(keys_.Meta()));
  store_->Commit(std::move(txn), kTxnTimeout,
                 OnStrand<TxnResult>(&Membership::EnsureMeta));
}

void Membership::EnsureMeta(absl::StatusOr<TxnResult> result) {
  if (!result.ok()) {
    RetryJoin(kJoinRetry, [this] { ReadMeta(); }, result.status());
    return;
  }
  store::v1::Meta meta;
  if (result->gets.empty() || result->gets[0].empty() ||
      !meta.ParseFromString(result->gets[0][0].value) ||
      meta.cluster_id().empty() || meta.generation() == 0) {
    JoinFailed(Error(
        absl::StatusCode::kDataLoss, "BAD_RECORD",
        absl::StrCat("the record ", keys_.Meta(), " in ", store_->ToString(),
                     " is not what Muster writes there")));
    return;
  }
  if (meta.schema_min() > kSchema) {
    JoinFailed(
        Error(absl::StatusCode::kFailedPrecondition, "SCHEMA",
              absl::StrCat("the cluster's records have schema ",
                           meta.schema_min(), " or newer; this program knows ",
                           kSchema, ": use a newer one")));
    return;
  }
  profile_ = Profile::FromProto(meta.profile());
  if (absl::Status valid = ValidateProfile(profile_); !valid.ok()) {
    JoinFailed(std::move(valid));
    return;
  }
  cluster_id_ = meta.cluster_id();
  generation_ = meta.generation();
  TryCreate();
}

void Membership::TryCreate() {
  store::v1::NodeRecord record;
  record.set_schema(kSchema);
  record.set_node(options_.node);
  record.set_incarnation(incarnation_);
  record.set_address(options_.address);
  for (const auto& type : options_.types) *record.add_types() = type;
  record.set_build(options_.build);
  *record.mutable_joined_at() =
      google::protobuf::util::TimeUtil::MillisecondsToTimestamp(
          absl::ToUnixMillis(clock_->Wall()));
  store::v1::HeartbeatRecord beat;
  beat.set_schema(kSchema);

  const std::string node = keys_.Node(options_.node);
  const std::string heartbeat = keys_.Heartbeat(options_.node);
  record_ = record.SerializeAsString();
  Txn txn;
  txn.compares.push_back(Compare::Absent(node));
  txn.then.push_back(StoreOp::Put(node, record_));
  txn.then.push_back(StoreOp::Put(heartbeat, beat.SerializeAsString()));
  txn.otherwise.push_back(StoreOp::Get(node));
  txn.otherwise.push_back(StoreOp::Get(heartbeat));
  const BootTime sent = clock_->Boot();
  std::weak_ptr<bool> alive = alive_;
  store_->Commit(
      std::move(txn), kTxnTimeout,
      [this, alive, sent, strand = strand_](absl::StatusOr<TxnResult> result) {
        if (alive.expired()) return;
        strand->Post([this, alive, sent, result = std::move(result)]() mutable {
          if (!alive.expired()) Created(sent, std::move(result));
        });
      });
}

void Membership::Created(BootTime sent, absl::StatusOr<TxnResult> result) {
  if (!result.ok()) {
    // Perhaps it was written: the next try finds our own incarnation.
    RetryJoin(kJoinRetry, [this] { TryCreate(); }, result.status());
    return;
  }
  if (result->succeeded) {
    own_revision_ = result->revision;
  } else {
    if (result->gets.size() != 2 || result->gets[0].empty()) {
      RetryJoin(kJoinRetry, [this] { TryCreate(); }, absl::OkStatus());
      return;
    }
    const KeyValue& node = result->gets[0][0];
    store::v1::NodeRecord record;
    if (record.ParseFromString(node.value) &&
        record.incarnation() == incarnation_) {
      own_revision_ = node.create_revision;
      record_ = node.value;
    } else {
      WaitForOther(node.create_revision, result->gets[1].empty()
                                             ? 0
                                             : result->gets[1][0].mod_revision);
      return;
    }
  }
  // Writing the record proved life as a heartbeat does (guarantees R2).
  if (store_->embedded()) {
    fence_.Extend(BootTime::Infinite());
  } else {
    fence_.Extend(sent + profile_.fence);
  }
  last_committed_ = clock_->Boot();
  Finished();
}

void Membership::WaitForOther(int64_t node_revision,
                              int64_t heartbeat_revision) {
  const BootTime now = clock_->Boot();
  if (other_node_revision_ == 0) {
    logger_->Info(
        absl::StrCat("the node name '", options_.node,
                     "' has a record; waiting whether its node lives (up to ",
                     absl::FormatDuration(profile_.reap), ")"));
  }
  if (other_node_revision_ != node_revision) {
    other_node_revision_ = node_revision;
    other_heartbeat_revision_ = heartbeat_revision;
    other_since_ = now;
    other_moves_ = 0;
  } else if (other_heartbeat_revision_ != heartbeat_revision &&
             ++other_moves_ < kOtherMoves) {
    other_heartbeat_revision_ = heartbeat_revision;
    other_since_ = now;
  } else if (other_heartbeat_revision_ != heartbeat_revision) {
    JoinFailed(Error(absl::StatusCode::kAlreadyExists, "NODE_EXISTS",
                     absl::StrCat("a living node is called '", options_.node,
                                  "' in cluster '", options_.cluster,
                                  "': choose another --name, or end that one"))
                   .With("node", options_.node)
                   .NotExecuted());
    return;
  } else if (now - other_since_ >= profile_.reap) {
    ReapOther(node_revision, heartbeat_revision);
    return;
  }
  strand_->At(now + kOtherPoll, Alive([this] { TryCreate(); }));
}

void Membership::ReapOther(int64_t node_revision, int64_t heartbeat_revision) {
  logger_->Info(absl::StrCat(
      "the old node '", options_.node, "' was silent for ",
      absl::FormatDuration(profile_.reap), "; ending its membership"));
  Txn txn;
  txn.compares.push_back(Compare::CreateRevision(keys_.Node(options_.node),
                                                 Op::kEqual, node_revision));
  txn.compares.push_back(Compare::ModRevision(keys_.Heartbeat(options_.node),
                                              Op::kEqual, heartbeat_revision));
  txn.then.push_back(StoreOp::Delete(keys_.Node(options_.node)));
  txn.then.push_back(StoreOp::Delete(keys_.Heartbeat(options_.node)));
  std::weak_ptr<bool> alive = alive_;
  store_->Commit(
      std::move(txn), kTxnTimeout,
      [this, alive, strand = strand_](absl::StatusOr<TxnResult> result) {
        if (alive.expired()) return;
        strand->Post([this, alive, status = result.status()] {
          if (alive.expired()) return;
          RetryJoin(absl::ZeroDuration(), [this] { TryCreate(); }, status);
        });
      });
}

void Membership::Finished() {
  active_ = true;
  ReplicaHandler nodes;
  nodes.on_change = [this](const std::string& key, const KeyValue* now,
                           int64_t revision) {
    NodeChanged(key, now, revision);
  };
  nodes.on_synced = [this] {
    // `joined_` waits for the first list, so that whoever joins knows its
    // peers.
    if (joined_) {
      auto joined = std::move(joined_);
      Joined result;
      result.cluster_id = cluster_id_;
      result.epoch = Epoch{generation_, static_cast<uint64_t>(own_revision_)};
      result.profile = profile_;
      joined(std::move(result));
    }
    if (active_) {
      UpdateReaper();
      listener_.on_change();
    }
  };
  nodes.on_gap = [] {};
  nodes_ = std::make_unique<Replica>(store_, strand_, clock_, random_, logger_,
                                     keys_.NodePrefix(), std::move(nodes));
  nodes_->Start();
  if (!store_->embedded()) {
    BeatAt(clock_->Boot() + profile_.heartbeat);
    strand_->At(clock_->Boot() + profile_.heartbeat,
                Alive([this] { Sweep(); }));
    strand_->At(clock_->Boot() + profile_.reap,
                Alive([this] { WatchReapers(); }));
  }
}

void Membership::Leave(absl::AnyInvocable<void()> done) {
  if (!active_) {
    done();
    return;
  }
  active_ = false;
  heartbeats_.reset();
  Txn txn;
  txn.compares.push_back(OwnEpoch());
  txn.then.push_back(StoreOp::Delete(keys_.Node(options_.node)));
  txn.then.push_back(StoreOp::Delete(keys_.Heartbeat(options_.node)));
  fence_.Close();
  store_->Commit(
      std::move(txn), kTxnTimeout,
      [done = std::move(done)](absl::StatusOr<TxnResult>) mutable { done(); });
}

void Membership::SetDraining(bool draining,
                             absl::AnyInvocable<void(absl::Status)> done) {
  store::v1::NodeRecord record;
  if (!active_ || !record.ParseFromString(record_)) {
    done(Error(absl::StatusCode::kAborted, "FENCED",
               absl::StrCat("node '", options_.node, "' is no member now"))
             .NotExecuted());
    return;
  }
  const bool was = record.draining();
  draining_.store(draining, std::memory_order_relaxed);
  if (was == draining && !std::exchange(record_doubtful_, false)) {
    done(absl::OkStatus());
    return;
  }
  record.set_draining(draining);
  std::string value = record.SerializeAsString();
  store::v1::EventRecord event;
  event.set_kind(draining ? "node.draining" : "node.undrained");
  event.set_node(options_.node);
  *event.mutable_new_epoch() =
      Epoch{generation_, static_cast<uint64_t>(own_revision_)}.ToProto();
  event.set_text(absl::StrCat(
      "node '", options_.node,
      draining ? "' gets no new children and moves away those it has"
               : "' takes children again"));
  Txn txn;
  txn.compares.push_back(OwnEpoch());
  txn.then.push_back(StoreOp::Put(keys_.Node(options_.node), value));
  txn.then.push_back(PutEvent(keys_, options_.node, std::move(event),
                              clock_->Wall(), random_->Hex(8)));
  std::weak_ptr<bool> alive = alive_;
  store_->Commit(
      std::move(txn), kTxnTimeout,
      [this, alive, was, value = std::move(value), strand = strand_,
       done = std::move(done)](absl::StatusOr<TxnResult> result) mutable {
        if (alive.expired()) return;
        strand->Post([this, alive, was, value = std::move(value),
                      result = std::move(result),
                      done = std::move(done)]() mutable {
          if (alive.expired()) return;
          if (result.ok() && result->succeeded) {
            record_ = std::move(value);
            done(absl::OkStatus());
            return;
          }
          draining_.store(was, std::memory_order_relaxed);
          record_doubtful_ = true;
          done(result.ok() ? Error(absl::StatusCode::kAborted, "FENCED",
                                   "this node's epoch has ended")
                                 .NotExecuted()
                                 .status()
                           : result.status());
        });
      });
}

// -- Heartbeats --------------------------------------------------------------

Compare Membership::OwnEpoch() const {
  return Compare::CreateRevision(keys_.Node(options_.node), Op::kEqual,
                                 own_revision_);
}

void Membership::BeatAt(BootTime due) {
  strand_->Cancel(beat_timer_);
  beat_timer_ = strand_->At(due, Alive([this] { Beat(); }));
}

void Membership::Doubted() {
  if (!active_ || store_->embedded()) return;
  fence_.Close();
  Beat();
}

void Membership::Beat() {
  if (!active_) return;
  const uint64_t sequence = ++sequence_;
  store::v1::HeartbeatRecord beat;
  beat.set_schema(kSchema);
  beat.set_node_revision(static_cast<uint64_t>(own_revision_));
  beat.set_sequence(sequence);
  Txn txn;
  txn.compares.push_back(OwnEpoch());
  txn.then.push_back(
      StoreOp::Put(keys_.Heartbeat(options_.node), beat.SerializeAsString()));
  const BootTime sent = clock_->Boot();  // Before sending (guarantees R2).
  std::weak_ptr<bool> alive = alive_;
  store_->Commit(std::move(txn), kBeatTimeout,
                 [this, alive, sent, sequence,
                  strand = strand_](absl::StatusOr<TxnResult> result) {
                   if (alive.expired()) return;
                   strand->Post([this, alive, sent, sequence,
                                 result = std::move(result)]() mutable {
                     if (alive.expired()) return;
                     Beaten(sent, sequence, std::move(result));
                   });
                 });
}

void Membership::Beaten(BootTime sent, uint64_t sequence,
                        absl::StatusOr<TxnResult> result) {
  if (!active_ || sequence != sequence_) return;
  const BootTime now = clock_->Boot();
  if (result.ok() && !result->succeeded) {
    Reaped();
    return;
  }
  if (!result.ok()) {
    // D stays as it is. Another endpoint may answer (the store turns to it).
    if (now - last_committed_ > profile_.fence / 2) {
      logger_->Warning(absl::StrCat("no heartbeat has been committed for ",
                                    absl::FormatDuration(now - last_committed_),
                                    ": ", result.status().message()));
    }
    BeatAt(now + profile_.heartbeat / 5);
    return;
  }
  // A span without commits: what others did not write meanwhile proves
  // nothing (guarantees R5).
  if (now - last_committed_ > profile_.heartbeat * 3) silence_.StartAnew(now);
  last_committed_ = now;
  fence_.Extend(sent + profile_.fence);
  BeatAt(std::max(sent + profile_.heartbeat, now));
}

void Membership::Reaped() {
  active_ = false;
  fence_.Close();
  heartbeats_.reset();
  logger_->Error(absl::StrCat(
      "node '", options_.node,
      "' was taken for dead and its epoch has ended; it ends what it ran for "
      "the cluster and joins anew"));
  listener_.on_reaped();
}

// -- Others ------------------------------------------------------------------

void Membership::NodeChanged(const std::string& key, const KeyValue* now,
                             int64_t) {
  absl::StatusOr<Keys::Parsed> parsed = keys_.Parse(key);
  if (!parsed.ok()) return;
  const std::string& node = parsed->id;
  std::optional<Member> died;
  if (now == nullptr) {
    MutexLock lock(&mu_);
    const auto at = members_.find(node);
    if (at != members_.end()) {
      died = std::move(at->second);
      members_.erase(at);
    }
  } else {
    Member member;
    if (!member.record.ParseFromString(now->value)) {
      logger_->Error(absl::StrCat("the record ", LogSafe(key),
                                  " cannot be parsed; it is left alone"));
      return;
    }
    member.epoch =
        Epoch{generation_, static_cast<uint64_t>(now->create_revision)};
    MutexLock lock(&mu_);
    const auto at = members_.find(node);
    if (at != members_.end() && at->second.epoch != member.epoch) {
      died = at->second;
    }
    members_[node] = std::move(member);
  }
  if (now == nullptr) silence_.Forget(node);
  if (!active_) return;
  if (died.has_value()) {
    logger_->Info(absl::StrCat("node '", node, "' (epoch ",
                               died->epoch.ToString(), ") is gone"));
    listener_.on_death(node, died->epoch);
  }
  if (nodes_->synced()) {
    UpdateReaper();
    listener_.on_change();
  }
}

void Membership::UpdateReaper() {
  if (store_->embedded() || !active_) return;
  bool reaper = reapers_silent_;
  {
    MutexLock lock(&mu_);
    size_t rank = 0;
    for (const auto& [node, member] : members_) {
      if (rank++ == kReapers) break;
      if (node == options_.node) reaper = true;
    }
  }
  if (!reaper) {
    heartbeats_.reset();
    return;
  }
  if (heartbeats_ != nullptr) return;
  silence_ = Silence();
  ReplicaHandler handler;
  handler.on_change = [this](const std::string& key, const KeyValue* now,
                             int64_t) { HeartbeatChanged(key, now); };
  handler.on_synced = [] {};
  handler.on_gap = [this] { silence_.StartAnew(clock_->Boot()); };
  heartbeats_ =
      std::make_unique<Replica>(store_, strand_, clock_, random_, logger_,
                                keys_.HeartbeatPrefix(), std::move(handler));
  heartbeats_->Start();
}

void Membership::WatchReapers() {
  if (!active_) return;
  store_->List(keys_.HeartbeatPrefix(), kTxnTimeout,
               OnStrand<RangeResult>(&Membership::ReapersListed));
}

void Membership::ReapersListed(absl::StatusOr<RangeResult> result) {
  if (!active_) return;
  std::map<std::string, int64_t> beats;
  if (result.ok()) {
    for (const KeyValue& item : result->items) {
      if (const auto parsed = keys_.Parse(item.key); parsed.ok()) {
        beats[parsed->id] = item.mod_revision;
      }
    }
  }
  // Sorted, so the first ones are those that reap.
  bool silent = !beats.empty();
  size_t rank = 0;
  for (const auto& [node, revision] : beats) {
    if (rank++ == kReapers) break;
    const auto before = seen_beats_.find(node);
    silent = silent && node != options_.node && before != seen_beats_.end() &&
             before->second == revision;
  }
  seen_beats_ = std::move(beats);
  if (std::exchange(reapers_silent_, silent) != silent) UpdateReaper();
  strand_->At(clock_->Boot() + profile_.reap,
              Alive([this] { WatchReapers(); }));
}

void Membership::HeartbeatChanged(const std::string& key, const KeyValue* now) {
  absl::StatusOr<Keys::Parsed> parsed = keys_.Parse(key);
  if (!parsed.ok() || parsed->id == options_.node) return;
  if (now == nullptr) {
    silence_.Forget(parsed->id);
    return;
  }
  // The epoch comes with the beat, so that both are of one moment.
  store::v1::HeartbeatRecord beat;
  if (!beat.ParseFromString(now->value)) return;
  silence_.Observe(parsed->id, static_cast<int64_t>(beat.node_revision()),
                   now->mod_revision, clock_->Boot());
}

void Membership::Sweep() {
  if (!active_) return;
  const BootTime now = clock_->Boot();
  if (heartbeats_ != nullptr && fence_.Check(now)) {
    const absl::Duration reap = options_.reap_for_test > absl::ZeroDuration()
                                    ? options_.reap_for_test
                                    : profile_.reap;
    for (const Silence::Overdue& overdue : silence_.Find(reap, now)) {
      Reap(overdue);
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
  silence_.Forget(overdue.node);  // Not again before the next observation.
  logger_->Warning(absl::StrCat("node '", overdue.node, "' was silent for ",
                                absl::FormatDuration(profile_.reap),
                                "; ending its membership"));
  Txn txn;  // guarantees R4
  txn.compares.push_back(Compare::CreateRevision(keys_.Node(overdue.node),
                                                 Op::kEqual, node_revision));
  txn.compares.push_back(Compare::ModRevision(
      keys_.Heartbeat(overdue.node), Op::kEqual, overdue.heartbeat_revision));
  txn.then.push_back(StoreOp::Delete(keys_.Node(overdue.node)));
  txn.then.push_back(StoreOp::Delete(keys_.Heartbeat(overdue.node)));
  std::weak_ptr<bool> alive = alive_;
  store_->Commit(std::move(txn), kTxnTimeout,
                 [this, alive, overdue,
                  strand = strand_](absl::StatusOr<TxnResult> result) {
                   if (alive.expired() || (result.ok() && result->succeeded)) {
                     return;
                   }
                   // Time it again from here; a compare that failed means a
                   // heartbeat that the watch will bring.
                   strand->Post([this, alive, overdue] {
                     if (alive.expired()) return;
                     silence_.Observe(overdue.node, overdue.node_revision,
                                      overdue.heartbeat_revision,
                                      clock_->Boot());
                   });
                 });
}

std::optional<PeerAddress> Membership::Find(absl::string_view node) const {
  MutexLock lock(&mu_);
  const auto at = members_.find(node);
  if (at == members_.end()) return std::nullopt;
  return PeerAddress{at->second.record.address(), at->second.epoch};
}

std::vector<Member> Membership::Members() const {
  MutexLock lock(&mu_);
  std::vector<Member> members;
  for (const auto& [node, member] : members_) members.push_back(member);
  return members;
}

std::string Membership::ServiceOf(absl::string_view node,
                                  absl::string_view type) const {
  MutexLock lock(&mu_);
  const auto at = members_.find(node);
  if (at == members_.end()) return "";
  for (const auto& hosted : at->second.record.types()) {
    if (hosted.type() == type) return hosted.service();
  }
  return "";
}

bool Membership::IsCurrent(absl::string_view node, int64_t revision) const {
  MutexLock lock(&mu_);
  const auto at = members_.find(node);
  return at != members_.end() &&
         at->second.epoch.revision == static_cast<uint64_t>(revision);
}

void Membership::StopWatching() {
  nodes_.reset();
  heartbeats_.reset();
}

}  // namespace muster
