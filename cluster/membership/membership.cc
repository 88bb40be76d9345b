#include "cluster/membership/membership.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/membership/reap.h"
#include "cluster/membership/rejoin.h"
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
// How soon a question about a grave that the store did not answer is asked
// again.
constexpr absl::Duration kGraveRetry = absl::Milliseconds(50);

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
          ? std::max(static_cast<uint64_t>(absl::ToUnixMillis(clock_->Wall())),
                     options_.min_generation + 1)
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
  meta_revision_ = result->gets[0][0].mod_revision;
  if (!store_->embedded() && !options_.cluster_id_seen.empty() &&
      options_.cluster_id_seen != cluster_id_) {
    JoinFailed(
        Error(absl::StatusCode::kFailedPrecondition, "OTHER_CLUSTER",
              absl::StrCat("this node was in a cluster '", options_.cluster,
                           "' with id ", options_.cluster_id_seen, "; in ",
                           store_->ToString(), " it has id ", cluster_id_,
                           ": another store, or one that lost its data. If "
                           "that is meant, give the node a new --data-dir"))
            .NotExecuted());
    return;
  }
  if (generation_ < options_.min_generation) {
    OldGeneration(result->gets[0][0], std::move(meta));
    return;
  }
  const bool greater = generation_ > options_.min_generation;
  if (!store_->embedded() &&
      meta_revision_ != result->gets[0][0].create_revision) {
    MutexLock lock(&mu_);
    graves_.ObserveRaise(meta_revision_, greater && options_.min_generation > 0,
                         clock_->Boot());
  }
  if (greater && listener_.on_generation) listener_.on_generation(generation_);
  if (rejoin_looked_) {
    TryCreate();
  } else {
    LookWhoIsBack();
  }
}

// -- Rejoining together (guarantees R15) -------------------------------------

void Membership::LookWhoIsBack() {
  if (options_.known_before.size() < 2) {
    rejoin_looked_ = true;
    TryCreate();
    return;
  }
  store_->List(keys_.NodePrefix(), kTxnTimeout,
               OnStrand<RangeResult>(&Membership::SawWhoIsBack));
}

void Membership::SawWhoIsBack(absl::StatusOr<RangeResult> result) {
  if (!result.ok()) {
    RetryJoin(kJoinRetry, [this] { ReadMeta(); }, result.status());
    return;
  }
  rejoin_looked_ = true;
  std::map<std::string, uint64_t> now;
  for (const KeyValue& item : result->items) {
    if (const auto parsed = keys_.Parse(item.key); parsed.ok()) {
      now[parsed->id] = static_cast<uint64_t>(item.create_revision);
    }
  }
  const absl::Duration wait =
      RejoinDelay(options_.node, options_.known_before, now);
  if (wait == absl::ZeroDuration()) {
    TryCreate();
    return;
  }
  logger_->Info(absl::StrCat(
      "many nodes have lost their epochs at once: this one joins again in ",
      absl::FormatDuration(absl::Floor(wait, absl::Milliseconds(1)))));
  strand_->At(clock_->Boot() + wait, Alive([this] { TryCreate(); }));
}

std::map<std::string, uint64_t> Membership::Companions() const {
  const BootTime now = clock_->Boot();
  std::map<std::string, uint64_t> companions;
  MutexLock lock(&mu_);
  for (const auto& [node, gone] : gone_) {
    if (now - gone.at <= profile_.reap) companions[node] = gone.revision;
  }
  for (const auto& [node, member] : members_) {
    companions[node] = member.epoch.revision;
  }
  if (own_revision_ != 0) {
    companions[options_.node] = static_cast<uint64_t>(own_revision_);
  }
  return companions;
}

// -- This node's record ------------------------------------------------------

void Membership::OldGeneration(const KeyValue& item, store::v1::Meta meta) {
  if (!options_.raise_generation) {
    JoinFailed(
        Error(absl::StatusCode::kFailedPrecondition, "OLD_GENERATION",
              absl::StrCat(
                  "the store ", store_->ToString(), " has generation ",
                  generation_, " of cluster '", options_.cluster,
                  "', but this node has seen ", options_.min_generation,
                  ": the store was restored from a backup. Once no node serves "
                  "from another copy of it, start this one with "
                  "--raise-generation ",
                  options_.cluster))
            .With("generation", absl::StrCat(generation_))
            .With("seen", absl::StrCat(options_.min_generation))
            .NotExecuted());
    return;
  }
  meta.set_generation(options_.min_generation + 1);
  store::v1::EventRecord event;
  event.set_kind("cluster.generation");
  event.mutable_old_epoch()->set_generation(generation_);
  event.mutable_new_epoch()->set_generation(meta.generation());
  event.set_text(absl::StrCat("generation raised to ", meta.generation(),
                              " by node '", options_.node, "' as it started"));
  logger_->Warning(event.text());
  Txn txn =
      RaiseGeneration(keys_, item, std::move(meta), Journal(std::move(event)));
  std::weak_ptr<bool> alive = alive_;
  store_->Commit(
      std::move(txn), kTxnTimeout,
      [this, alive, strand = strand_](absl::StatusOr<TxnResult> result) {
        if (alive.expired()) return;
        strand->Post([this, alive, status = result.status()] {
          if (alive.expired()) return;
          RetryJoin(absl::ZeroDuration(), [this] { ReadMeta(); }, status);
        });
      });
}

void Membership::TryCreate() {
  if (left_) return;
  store::v1::NodeRecord record;
  record.set_schema(kSchema);
  record.set_node(options_.node);
  record.set_incarnation(incarnation_);
  record.set_address(options_.address);
  record.set_identity(options_.identity);
  for (const auto& type : options_.types) *record.add_types() = type;
  record.set_build(options_.build);
  record.mutable_labels()->insert(options_.labels.begin(),
                                  options_.labels.end());
  *record.mutable_joined_at() =
      google::protobuf::util::TimeUtil::MillisecondsToTimestamp(
          absl::ToUnixMillis(clock_->Wall()));
  store::v1::HeartbeatRecord beat;
  beat.set_schema(kSchema);
  // At N, as the record; so who compares it has nothing to read before.
  store::v1::BarrierRecord barrier;
  barrier.set_schema(kSchema);

  const std::string node = keys_.Node(options_.node);
  const std::string heartbeat = keys_.Heartbeat(options_.node);
  record_ = record.SerializeAsString();
  Txn txn;
  txn.compares.push_back(Compare::Absent(node));
  // It may have been raised since it was read (guarantees R7).
  txn.compares.push_back(
      Compare::ModRevision(keys_.Meta(), Op::kEqual, meta_revision_));
  txn.then.push_back(StoreOp::Put(node, record_));
  txn.then.push_back(StoreOp::Put(heartbeat, beat.SerializeAsString()));
  txn.then.push_back(
      StoreOp::Put(keys_.Barrier(options_.node), barrier.SerializeAsString()));
  // The event's own revision is N.
  store::v1::EventRecord event;
  event.set_kind("node.joined");
  event.set_node(options_.node);
  event.mutable_new_epoch()->set_generation(generation_);
  event.set_text(absl::StrCat("joined at ", options_.address));
  (*event.mutable_evidence())["address"] = options_.address;
  (*event.mutable_evidence())["incarnation"] = incarnation_;
  txn.then.push_back(Journal(std::move(event)));
  txn.otherwise.push_back(StoreOp::Get(node));
  txn.otherwise.push_back(StoreOp::Get(heartbeat));
  txn.otherwise.push_back(StoreOp::Get(keys_.Meta()));
  creating_ = true;
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
  creating_ = false;
  if (left_) {
    auto done = std::exchange(leave_, nullptr);
    if (result.ok() && result->succeeded) {
      own_revision_ = result->revision;
      WriteLeft(std::move(done));
    } else {
      done();
    }
    return;
  }
  if (!result.ok()) {
    // Perhaps it was written: the next try finds our own incarnation.
    RetryJoin(kJoinRetry, [this] { TryCreate(); }, result.status());
    return;
  }
  const BootTime now = clock_->Boot();
  if (result->succeeded) {
    own_revision_ = result->revision;
    record_revision_ = result->revision;
    committed_revision_ = result->revision;
    // Writing the record proved life as a heartbeat does (guarantees R2).
    if (!store_->embedded()) {
      ExtendFence(
          *Proves(muster::Beat::kCommitted, sent, now, profile_).deadline);
    }
  } else {
    if (result->gets.size() != 3 || result->gets[2].empty() ||
        result->gets[2][0].mod_revision != meta_revision_) {
      // Then no record there is our own: a raise ends all.
      RetryJoin(absl::ZeroDuration(), [this] { ReadMeta(); }, absl::OkStatus());
      return;
    }
    if (result->gets[0].empty()) {
      RetryJoin(kJoinRetry, [this] { TryCreate(); }, absl::OkStatus());
      return;
    }
    const KeyValue& node = result->gets[0][0];
    store::v1::NodeRecord record;
    const bool parsed = record.ParseFromString(node.value);
    if (parsed && record.incarnation() == incarnation_) {
      // Of a try whose answer was lost. To have read it proves nothing: the
      // fence stays closed until a heartbeat commits (guarantees E4).
      own_revision_ = node.create_revision;
      record_revision_ = node.mod_revision;
      record_ = node.value;
    } else if (std::optional<std::string> proof =
                   parsed && options_.proof_of_death
                       ? options_.proof_of_death(
                             record,
                             Epoch{generation_,
                                   static_cast<uint64_t>(node.create_revision)})
                       : std::nullopt;
               proof.has_value()) {
      logger_->Info(absl::StrCat("the old node '", options_.node,
                                 "' is dead (this one ", *proof,
                                 "); ending its membership"));
      ReapOther(AttestedReap(
          keys_, options_.node, node.create_revision,
          Journal(EndOfNode(
              "node.attested", options_.node,
              Epoch{generation_, static_cast<uint64_t>(node.create_revision)},
              "its successor proved that its OS process had ended",
              {{"proof", *std::move(proof)}}))));
      return;
    } else {
      WaitForOther(node.create_revision, result->gets[1].empty()
                                             ? 0
                                             : result->gets[1][0].mod_revision);
      return;
    }
  }
  if (store_->embedded()) fence_.Extend(BootTime::Infinite());
  last_committed_ = now;
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
  } else if (now - other_since_ >= SilenceToReap(profile_)) {
    logger_->Info(absl::StrCat(
        "the old node '", options_.node, "' was silent for ",
        absl::FormatDuration(profile_.reap), "; ending its membership"));
    ReapOther(SilentReap(
        keys_, options_.node, node_revision, heartbeat_revision,
        Journal(EndOfNode(
            "node.reaped", options_.node,
            Epoch{generation_, static_cast<uint64_t>(node_revision)},
            "silent; reaped by its successor",
            {{"silence_ms",
              absl::StrCat(absl::ToInt64Milliseconds(now - other_since_))},
             {"heartbeat_revision", absl::StrCat(heartbeat_revision)}}))));
    return;
  }
  strand_->At(std::min(now + kOtherPoll, other_since_ + profile_.reap),
              Alive([this] { TryCreate(); }));
}

void Membership::ReapOther(Txn txn) {
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
    ReplicaHandler graves;
    graves.on_change = [this](const std::string& key, const KeyValue* now,
                              int64_t) { GraveChanged(key, now); };
    graves.on_synced = [] {};
    graves.on_gap = [] {};
    grave_records_ =
        std::make_unique<Replica>(store_, strand_, clock_, random_, logger_,
                                  keys_.GravePrefix(), std::move(graves));
    grave_records_->Start();
    if (fence_.Check(clock_->Boot())) {
      BeatAt(clock_->Boot() + profile_.heartbeat);
    } else {
      Beat();
    }
    strand_->At(clock_->Boot() + profile_.heartbeat,
                Alive([this] { Sweep(); }));
    strand_->At(clock_->Boot() + profile_.reap,
                Alive([this] { LookAtWatchers(); }));
  }
}

void Membership::Leave(absl::AnyInvocable<void()> done) {
  joined_ = nullptr;
  left_ = true;
  if (creating_) {
    leave_ = std::move(done);
    return;
  }
  if (!active_) {
    done();
    return;
  }
  active_ = false;
  heartbeats_.reset();
  fence_.Close();
  WriteLeft(std::move(done));
}

void Membership::WriteLeft(absl::AnyInvocable<void()> done) {
  Txn txn =
      EndEpoch(keys_, options_.node, own_revision_,
               Journal(EndOfNode(
                   "node.left", options_.node,
                   Epoch{generation_, static_cast<uint64_t>(own_revision_)},
                   "left the cluster", {})));
  store_->Commit(
      std::move(txn), kTxnTimeout,
      [done = std::move(done)](absl::StatusOr<TxnResult>) mutable { done(); });
}

StoreOp Membership::Journal(store::v1::EventRecord event) const {
  return PutEvent(keys_, options_.node, std::move(event), clock_->Wall(),
                  random_->Hex(8));
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

void Membership::ExtendFence(BootTime deadline) {
  // The fence was made with this node's guard; the cluster's counts.
  fence_.Extend(deadline - (profile_.guard - options_.profile.guard));
}

void Membership::Doubted() {
  if (!active_ || store_->embedded()) return;
  fence_.Close();
  // The answer to a beat that was sent after a doubt is waited for, or doubts
  // that come faster than answers would keep the node frozen.
  if (answering_doubt_) {
    doubted_again_ = true;
    return;
  }
  answering_doubt_ = true;
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
  answering_doubt_ = false;
  const bool doubted_again = std::exchange(doubted_again_, false);
  const BootTime now = clock_->Boot();
  const muster::Beat beat = !result.ok()        ? muster::Beat::kNoAnswer
                            : result->succeeded ? muster::Beat::kCommitted
                                                : muster::Beat::kRefused;
  const AfterBeat after = Proves(beat, sent, now, profile_);
  if (after.dead) {
    Reaped();
    return;
  }
  if (after.deadline.has_value()) ExtendFence(*after.deadline);
  if (beat != muster::Beat::kCommitted) {
    // D stays as it is. Another endpoint may answer (the store turns to it).
    if (now - last_committed_ > profile_.fence / 2) {
      logger_->Warning(absl::StrCat("no heartbeat has been committed for ",
                                    absl::FormatDuration(now - last_committed_),
                                    ": ", result.status().message()));
    }
    BeatAt(now + profile_.heartbeat / 5);
    return;
  }
  if (result->revision < committed_revision_) {
    // Revisions only grow, so this is another store than before (guarantees
    // R7): what this node knows of the cluster is of the future.
    logger_->Error(absl::StrCat(
        "the store went back from revision ", committed_revision_, " to ",
        result->revision,
        ": was it restored from a backup? Then raise the generation: `muster "
        "node raise-generation --confirm ",
        options_.cluster, "`"));
    Reaped();
    return;
  }
  committed_revision_ = result->revision;
  last_committed_ = now;
  {
    MutexLock lock(&mu_);
    if (reaper_.has_value()) reaper_->Committed(now);
  }
  // A later doubt may know of a reap since.
  BeatAt(doubted_again ? now + profile_.heartbeat / 5
                       : std::max(sent + profile_.heartbeat, now));
}

void Membership::Reaped() {
  active_ = false;
  fence_.Close();
  heartbeats_.reset();
  logger_->Error(absl::StrCat(
      "the epoch of node '", options_.node,
      "' has ended: it was taken for dead, removed, or all were ended. It ends "
      "what it ran for the cluster and joins anew"));
  listener_.on_reaped();
}

// -- Others ------------------------------------------------------------------

void Membership::NodeChanged(const std::string& key, const KeyValue* now,
                             int64_t revision) {
  absl::StatusOr<Keys::Parsed> parsed = keys_.Parse(key);
  if (!parsed.ok()) return;
  const std::string& node = parsed->id;
  if (node == options_.node && now == nullptr && revision > own_revision_) {
    // So says the watch; the store alone knows.
    Doubted();
    return;
  }
  std::optional<Member> died;
  if (now == nullptr) {
    MutexLock lock(&mu_);
    const auto at = members_.find(node);
    if (at != members_.end()) {
      died = std::move(at->second);
      members_.erase(at);
      const BootTime boot = clock_->Boot();
      std::erase_if(gone_, [&](const auto& item) {
        return boot - item.second.at > profile_.reap;
      });
      gone_[node] = Gone{died->epoch.revision, boot};
      if (active_) dying_.insert({node, died->epoch.revision});
      version_.fetch_add(1, std::memory_order_release);
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
      if (active_) dying_.insert({node, died->epoch.revision});
    }
    members_[node] = std::move(member);
    version_.fetch_add(1, std::memory_order_release);
  }
  if (now == nullptr) {
    MutexLock lock(&mu_);
    if (reaper_.has_value()) reaper_->Forget(node);
  }
  if (!active_) return;
  if (died.has_value()) Died(node, died->epoch, revision);
  if (nodes_->synced()) {
    UpdateReaper();
    listener_.on_change();
  }
}

void Membership::Died(const std::string& node, Epoch epoch, int64_t revision) {
  if (!active_) return;
  logger_->Info(
      absl::StrCat("node '", node, "' (epoch ", epoch.ToString(), ") is gone"));
  // A grave is written in the transaction that ends the epoch, so a list as of
  // that revision has it, or it has been removed since, which takes twice R.
  std::weak_ptr<bool> alive = alive_;
  store_->List(
      keys_.Grave(node), kTxnTimeout,
      [this, alive, node, epoch, revision,
       strand = strand_](absl::StatusOr<RangeResult> result) {
        if (alive.expired()) return;
        strand->Post([this, alive, node, epoch, revision,
                      result = std::move(result)] {
          if (alive.expired() || !active_) return;
          const BootTime now = clock_->Boot();
          if (!result.ok() || result->revision < revision) {
            strand_->At(now + kGraveRetry, Alive([this, node, epoch, revision] {
                          Died(node, epoch, revision);
                        }));
            return;
          }
          for (const KeyValue& item : result->items) {
            if (item.key == keys_.Grave(node)) GraveChanged(item.key, &item);
          }
          const BootTime last =
              MayClaimFrom(node, static_cast<int64_t>(epoch.revision))
                  .not_before;
          if (last <= now) {
            ActsNoMore(node, epoch);
          } else {
            strand_->At(
                last, Alive([this, node, epoch] { ActsNoMore(node, epoch); }));
          }
        });
      });
}

void Membership::ActsNoMore(const std::string& node, Epoch epoch) {
  {
    MutexLock lock(&mu_);
    dying_.erase({node, epoch.revision});
    version_.fetch_add(1, std::memory_order_release);
  }
  if (!active_) return;
  listener_.on_death(node, epoch);
  listener_.on_change();
}

void Membership::GraveChanged(const std::string& key, const KeyValue* now) {
  absl::StatusOr<Keys::Parsed> parsed = keys_.Parse(key);
  if (!parsed.ok()) return;
  store::v1::GraveRecord grave;
  if (now != nullptr && !grave.ParseFromString(now->value)) {
    logger_->Error(absl::StrCat("the record ", LogSafe(key),
                                " cannot be parsed; it is left alone"));
    return;
  }
  MutexLock lock(&mu_);
  if (now == nullptr) {
    graves_.Forget(parsed->id);
  } else {
    graves_.Observe(parsed->id, static_cast<int64_t>(grave.node_revision()),
                    now->mod_revision, clock_->Boot());
  }
}

void Membership::RemoveOldGraves() {
  std::vector<Graves::Old> old;
  {
    MutexLock lock(&mu_);
    old = graves_.FindOld(profile_.reap, clock_->Boot());
  }
  for (const Graves::Old& grave : old) {
    Txn txn;
    txn.compares.push_back(Compare::ModRevision(
        keys_.Grave(grave.node), Op::kEqual, grave.grave_revision));
    txn.then.push_back(StoreOp::Delete(keys_.Grave(grave.node)));
    store_->Commit(std::move(txn), kTxnTimeout,
                   [](absl::StatusOr<TxnResult>) {});
  }
}

ClaimGate Membership::MayClaimFrom(absl::string_view owner,
                                   int64_t revision) const {
  if (store_->embedded()) return {};
  MutexLock lock(&mu_);
  return graves_.Gate(owner, revision, profile_.reap);
}

std::optional<absl::Duration> Membership::SilentFor(
    absl::string_view node) const {
  MutexLock lock(&mu_);
  if (!reaper_.has_value()) return std::nullopt;
  return reaper_->SilentFor(node, clock_->Boot());
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
  const uint64_t epoch = static_cast<uint64_t>(revision);
  const auto at = members_.find(node);
  return (at != members_.end() && at->second.epoch.revision == epoch) ||
         dying_.contains({std::string(node), epoch});
}

void Membership::StopWatching() {
  nodes_.reset();
  heartbeats_.reset();
  grave_records_.reset();
}

}  // namespace muster
