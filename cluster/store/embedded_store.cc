#include "cluster/store/embedded_store.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cluster/store/handler_cell.h"
#include "cluster/store/validate.h"
#include "node/base/mutex.h"

namespace muster {

// Events that one delivery hands to a handler before others get their turn.
static constexpr size_t kDeliveryEventsMax = 1000;

// One watch.
struct EmbeddedStore::Follower {
  Follower(std::string prefix, int64_t from_revision, WatchHandler handler)
      : prefix(std::move(prefix)),
        next_revision(std::max<int64_t>(from_revision, 1)),
        cell(std::move(handler)) {}

  const std::string prefix;
  // Guarded by Core::mu.
  int64_t next_revision;
  // Guarded by Core::mu. A delivery is posted or runs; there is one at most,
  // so that the calls of the handler are in order and do not overlap. Stays
  // true once the watch has ended.
  bool delivering = false;
  HandlerCell cell;
};

struct EmbeddedStore::Core {
  Core(Scheduler& scheduler, Options options)
      : scheduler(scheduler), state(options) {}

  // Those that a change gave something to do; the caller posts deliveries.
  std::vector<std::shared_ptr<Follower>> TakeIdleLocked()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    std::vector<std::shared_ptr<Follower>> idle;
    for (const std::shared_ptr<Follower>& follower : followers) {
      if (follower->delivering) continue;
      follower->delivering = true;
      idle.push_back(follower);
    }
    return idle;
  }

  Scheduler& scheduler;
  Mutex mu;
  StoreState state ABSL_GUARDED_BY(mu);
  std::vector<std::shared_ptr<Follower>> followers ABSL_GUARDED_BY(mu);
};

// Ends one watch when it is destroyed.
class EmbeddedStore::EmbeddedWatch final : public Watch {
 public:
  EmbeddedWatch(std::shared_ptr<Core> core, std::shared_ptr<Follower> follower)
      : core_(std::move(core)), follower_(std::move(follower)) {}
  ~EmbeddedWatch() override {
    {
      MutexLock lock(&core_->mu);
      auto& all = core_->followers;
      all.erase(std::remove(all.begin(), all.end(), follower_), all.end());
    }
    follower_->cell.Close();
  }

 private:
  const std::shared_ptr<Core> core_;
  const std::shared_ptr<Follower> follower_;
};

EmbeddedStore::EmbeddedStore(Scheduler& scheduler, Options options)
    : scheduler_(scheduler),
      core_(std::make_shared<Core>(scheduler, options)),
      gate_(std::make_shared<Gate>()) {}

EmbeddedStore::~EmbeddedStore() { gate_->Close(); }

template <typename T>
void EmbeddedStore::Answer(Done<T> done, absl::StatusOr<T> result) {
  scheduler_.Post([gate = gate_, done = std::move(done),
                   result = std::move(result)]() mutable {
    gate->Call([&] { done(std::move(result)); });
  });
}

void EmbeddedStore::Commit(Txn txn, absl::Duration /*timeout*/,
                           Done<TxnResult> done) {
  if (absl::Status status = ValidateTxn(txn); !status.ok()) {
    Answer<TxnResult>(std::move(done), std::move(status));
    return;
  }
  TxnResult result;
  std::vector<std::shared_ptr<Follower>> idle;
  {
    MutexLock lock(&core_->mu);
    const int64_t before = core_->state.revision();
    result = core_->state.Apply(std::move(txn));
    if (result.revision != before) idle = core_->TakeIdleLocked();
  }
  Answer<TxnResult>(std::move(done), std::move(result));
  for (std::shared_ptr<Follower>& follower : idle) {
    scheduler_.Post([core = core_, follower = std::move(follower)]() mutable {
      Deliver(std::move(core), std::move(follower));
    });
  }
}

void EmbeddedStore::List(std::string prefix, absl::Duration /*timeout*/,
                         Done<RangeResult> done) {
  RangeResult result;
  {
    MutexLock lock(&core_->mu);
    result = core_->state.List(prefix);
  }
  Answer<RangeResult>(std::move(done), std::move(result));
}

std::unique_ptr<Watch> EmbeddedStore::Follow(std::string prefix,
                                             int64_t from_revision,
                                             WatchHandler handler) {
  auto follower = std::make_shared<Follower>(std::move(prefix), from_revision,
                                             std::move(handler));
  {
    MutexLock lock(&core_->mu);
    follower->delivering = true;
    core_->followers.push_back(follower);
  }
  scheduler_.Post([core = core_, follower]() mutable {
    Deliver(std::move(core), std::move(follower));
  });
  return std::make_unique<EmbeddedWatch>(core_, std::move(follower));
}

void EmbeddedStore::Compact(int64_t revision, absl::Duration /*timeout*/,
                            absl::AnyInvocable<void(absl::Status)> done) {
  absl::Status status;
  {
    MutexLock lock(&core_->mu);
    status = core_->state.Compact(revision);
  }
  scheduler_.Post([gate = gate_, done = std::move(done),
                   status = std::move(status)]() mutable {
    gate->Call([&] { done(std::move(status)); });
  });
}

void EmbeddedStore::Deliver(std::shared_ptr<Core> core,
                            std::shared_ptr<Follower> follower) {
  absl::StatusOr<StoreState::Slice> slice;
  {
    MutexLock lock(&core->mu);
    slice = core->state.Events(follower->prefix, follower->next_revision,
                               kDeliveryEventsMax);
    if (slice.ok()) follower->next_revision = slice->next_revision;
  }
  if (!slice.ok()) {
    // `delivering` stays true: nothing more is delivered.
    follower->cell.End(slice.status());
    return;
  }
  follower->cell.Events(std::move(slice->events));
  {
    MutexLock lock(&core->mu);
    if (follower->next_revision > core->state.revision()) {
      follower->delivering = false;
      return;
    }
  }
  Scheduler& scheduler = core->scheduler;
  scheduler.Post(
      [core = std::move(core), follower = std::move(follower)]() mutable {
        Deliver(std::move(core), std::move(follower));
      });
}

}  // namespace muster
