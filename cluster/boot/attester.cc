#include "cluster/boot/attester.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/membership/reap.h"
#include "cluster/store/event.h"

namespace muster {
namespace {

// One try; the next one may find another member of the store.
constexpr absl::Duration kTryTimeout = absl::Milliseconds(400);
constexpr absl::Duration kPauseMin = absl::Milliseconds(20);
constexpr absl::Duration kPauseMax = absl::Seconds(1);
constexpr absl::Duration kWarmTimeout = absl::Seconds(1);

}  // namespace

struct Attester::Attestation {
  Epoch epoch;
  std::string wait_status;
  // Of the event: the same for all tries.
  std::string unique;
  absl::Time at;
  BootTime began;
  int tries = 0;
  absl::Duration pause = kPauseMin;
  Done done;
};

Attester::Attester(Keys keys, std::string node, Store* store,
                   Scheduler* scheduler, RandomSource* random)
    : keys_(std::move(keys)),
      node_(std::move(node)),
      store_(store),
      scheduler_(scheduler),
      random_(random) {}

void Attester::Attest(Epoch epoch, std::string wait_status, Done done) {
  auto attestation = std::make_shared<Attestation>();
  attestation->epoch = epoch;
  attestation->wait_status = std::move(wait_status);
  attestation->unique = random_->Hex(8);
  attestation->at = scheduler_->clock().Wall();
  attestation->began = scheduler_->clock().Boot();
  attestation->done = std::move(done);
  {
    MutexLock lock(&mu_);
    ++unanswered_;
  }
  Try(std::move(attestation));
}

void Attester::Try(std::shared_ptr<Attestation> attestation) {
  ++attestation->tries;
  store::v1::EventRecord event =
      EndOfNode("node.attested", node_, attestation->epoch,
                absl::StrCat("the OS process of node '", node_, "' is dead (",
                             attestation->wait_status, "), says its sentinel"),
                {{"wait_status", attestation->wait_status}});
  Txn txn = AttestedReap(keys_, node_,
                         static_cast<int64_t>(attestation->epoch.revision),
                         PutEvent(keys_, node_, std::move(event),
                                  attestation->at, attestation->unique));
  std::weak_ptr<bool> alive = alive_;
  store_->Commit(std::move(txn), kTryTimeout,
                 [this, alive, attestation = std::move(attestation)](
                     absl::StatusOr<TxnResult> result) mutable {
                   if (alive.expired()) return;
                   Answered(std::move(attestation), std::move(result));
                 });
}

void Attester::Answered(std::shared_ptr<Attestation> attestation,
                        absl::StatusOr<TxnResult> result) {
  const BootTime now = scheduler_->clock().Boot();
  if (!result.ok()) {
    const absl::Duration pause =
        attestation->pause + random_->Jitter(attestation->pause / 4);
    attestation->pause = std::min(attestation->pause * 2, kPauseMax);
    std::weak_ptr<bool> alive = alive_;
    scheduler_->At(now + pause,
                   [this, alive, attestation = std::move(attestation)] {
                     if (!alive.expired()) Try(attestation);
                   });
    return;
  }
  Attested attested;
  // A try whose answer was lost may have been the one: then the epoch is gone.
  attested.reaped = result->succeeded;
  attested.tries = attestation->tries;
  attested.took = now - attestation->began;
  attestation->done(attested);
  MutexLock lock(&mu_);
  --unanswered_;
}

void Attester::KeepWarm() {
  // One key, below which there are no others.
  store_->List(keys_.Heartbeat(node_), kWarmTimeout,
               [](const absl::StatusOr<RangeResult>&) {});
}

int Attester::unanswered() const {
  MutexLock lock(&mu_);
  return unanswered_;
}

}  // namespace muster
