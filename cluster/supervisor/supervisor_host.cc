#include "cluster/supervisor/supervisor_host.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/supervisor/cluster_supervisor.h"
#include "cluster/supervisor/placement.h"
#include "google/protobuf/util/time_util.h"
#include "muster/store/v1/store.pb.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr uint32_t kSchema = 1;
constexpr absl::Duration kTxnTimeout = absl::Seconds(1);
// How much later each next node tries (guarantees R15).
constexpr absl::Duration kRankDelay = absl::Milliseconds(100);
constexpr int kRanks = 5;
// When a claim that failed is tried again.
constexpr absl::Duration kClaimRetry = absl::Milliseconds(500);

}  // namespace

SupervisorHost::SupervisorHost(ClusterEnv env, Strand* strand, Clock* clock,
                               RandomSource* random, Logger* logger)
    : env_(env),
      strand_(strand),
      clock_(clock),
      random_(random),
      logger_(logger),
      toll_(env.reap) {}

SupervisorHost::~SupervisorHost() = default;

void SupervisorHost::Start() {
  const std::string prefix = env_.membership->keys().SupervisorPrefix();
  ReplicaHandler handler;
  handler.on_change = [this](const std::string& key, const KeyValue* now,
                             int64_t) {
    absl::StatusOr<Keys::Parsed> parsed = env_.membership->keys().Parse(key);
    if (!parsed.ok()) return;
    {
      MutexLock lock(&mu_);
      if (now != nullptr) {
        ids_.insert(parsed->id);
      } else {
        ids_.erase(parsed->id);
      }
    }
    if (records_->synced()) LookNow();
  };
  handler.on_synced = [this] { LookNow(); };
  handler.on_gap = [] {};
  records_ = std::make_unique<Replica>(env_.store, strand_, clock_, random_,
                                       logger_, prefix, std::move(handler));
  records_->Start();
}

std::vector<std::string> SupervisorHost::Supervisors() const {
  MutexLock lock(&mu_);
  return std::vector<std::string>(ids_.begin(), ids_.end());
}

void SupervisorHost::Ensure(absl::string_view supervisor,
                            absl::AnyInvocable<void(absl::Status)> done) {
  store::v1::SupervisorRecord record;
  record.set_schema(kSchema);
  record.set_supervisor(std::string(supervisor));
  record.set_strategy(store::v1::ONE_FOR_ONE);
  record.set_intensity(3);
  *record.mutable_period() =
      google::protobuf::util::TimeUtil::SecondsToDuration(5);
  const std::string key = env_.membership->keys().Supervisor(supervisor);
  Txn txn;
  txn.compares.push_back(Compare::Absent(key));
  txn.then.push_back(StoreOp::Put(key, record.SerializeAsString()));
  std::weak_ptr<bool> alive = alive_;
  env_.store->Commit(std::move(txn), kTxnTimeout,
                     [alive, done = std::move(done)](
                         absl::StatusOr<TxnResult> result) mutable {
                       if (!alive.expired()) done(result.status());
                     });
}

void SupervisorHost::Look() {
  std::weak_ptr<bool> alive = alive_;
  strand_->Post([this, alive] {
    if (!alive.expired()) LookNow();
  });
}

void SupervisorHost::Retire() { retired_ = true; }

// Each supervisor has an order of the nodes of its own, so that those of a node
// that died do not all go to one other. The first does not wait at all.
absl::Duration SupervisorHost::Patience(const std::string& id) {
  const std::string& own = env_.membership->node();
  const uint64_t weight = RendezvousWeight(id, own);
  int rank = 0;
  for (const Member& member : env_.membership->Members()) {
    // One that drains takes what nobody else takes.
    if (member.record.draining()) {
      if (member.record.node() == own) rank += kRanks;
    } else if (RendezvousWeight(id, member.record.node()) > weight) {
      ++rank;
    }
  }
  absl::Duration patience = std::min(rank, kRanks + 1) * kRankDelay;
  const absl::Duration spread = toll_.SpreadOf(claiming_.size(), env_.reap);
  if (spread > absl::ZeroDuration()) patience += random_->Jitter(spread);
  return patience;
}

void SupervisorHost::LookNow() {
  if (retired_ || records_ == nullptr || !records_->synced()) return;
  std::map<std::string, uint64_t> nodes;
  for (const Member& member : env_.membership->Members()) {
    nodes[member.record.node()] = member.epoch.revision;
  }
  toll_.Note(nodes, clock_->Boot());
  for (const auto& [id, pid] : running_) {
    env_.runtime->SendLocal(pid, Info(LookAgain{}));
  }
  for (const std::string& id : Supervisors()) {
    if (running_.contains(id) || claiming_.contains(id)) continue;
    const auto view = env_.registry->Record(SupervisorName(id));
    if (view.has_value() && env_.registry->IsOwned(view->record) &&
        view->record.owner() != env_.membership->node()) {
      continue;
    }
    claiming_.insert(id);
    std::weak_ptr<bool> alive = alive_;
    strand_->At(clock_->Boot() + Patience(id), [this, alive, id] {
      if (!alive.expired()) TryClaim(id);
    });
  }
}

void SupervisorHost::TryClaim(const std::string& id) {
  if (retired_) return;
  const std::string name = SupervisorName(id);
  const auto view = env_.registry->Record(name);
  if (view.has_value() && env_.registry->IsOwned(view->record) &&
      view->record.owner() != env_.membership->node()) {
    claiming_.erase(id);
    return;
  }
  cluster::v1::SupervisorOptions options;
  options.set_supervisor(id);
  SpawnOptions spawn;
  spawn.global_name = name;
  spawn.type = "cluster_supervisor";
  spawn.hold = true;
  const Pid pid = env_.runtime->Spawn(std::make_unique<ClusterSupervisor>(env_),
                                      Payload::Of(options), std::move(spawn),
                                      [](absl::Status) {});
  Claim claim;
  claim.name = name;
  claim.process = pid.number;
  claim.type = "cluster_supervisor";
  claim.supervisor = std::string(kHostSupervisor);
  claim.child = id;
  std::weak_ptr<bool> alive = alive_;
  env_.registry->Take(
      std::move(claim), [this, alive, id, pid,
                         strand = strand_](absl::StatusOr<Claimed> claimed) {
        if (alive.expired()) return;
        strand->Post([this, alive, id, pid, claimed = std::move(claimed)] {
          if (alive.expired()) return;
          claiming_.erase(id);
          if (!claimed.ok()) {
            env_.runtime->SendExit(Pid(), pid, ExitReason::Kill());
            if (ReasonOf(claimed.status()) != "ALREADY_STARTED") {
              // Perhaps the store is away: once more, later.
              strand_->At(clock_->Boot() + kClaimRetry, [this, alive] {
                if (!alive.expired()) LookNow();
              });
            }
            return;
          }
          logger_->Info(absl::StrCat("supervisor '", id, "' runs here, epoch ",
                                     claimed->epoch.ToString()));
          running_[id] = pid;
          runs_[id].began = clock_->Boot();
          env_.runtime->Release(pid, claimed->epoch);
          env_.runtime->ObserveExit(
              pid, [this, alive, id, strand = strand_](const ExitReason&) {
                if (alive.expired()) return;
                strand->Post([this, alive, id] {
                  if (!alive.expired()) Crashed(id);
                });
              });
        });
      });
}

// Its name stays this node's meanwhile, so it is started again here.
void SupervisorHost::Crashed(const std::string& id) {
  const BootTime now = clock_->Boot();
  Runs& runs = runs_[id];
  const absl::Duration delay = runs.backoff.Ended(now - runs.began);
  std::weak_ptr<bool> alive = alive_;
  strand_->At(now + delay, [this, alive, id] {
    if (!alive.expired()) Ended(id);
  });
}

void SupervisorHost::Ended(const std::string& id) {
  running_.erase(id);
  LookNow();
}

void SupervisorHost::StopWatching() { records_.reset(); }

}  // namespace muster
