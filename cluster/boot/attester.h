// Attester: ends the membership of epochs whose OS process is dead.
//
// The fast path of failover (guarantees R12): whoever has seen the kernel's
// wait status commits the reap at once, and nobody waits for silence.
#ifndef MUSTER_CLUSTER_BOOT_ATTESTER_H_
#define MUSTER_CLUSTER_BOOT_ATTESTER_H_

#include <map>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "node/base/mutex.h"
#include "node/base/random.h"
#include "node/base/scheduler.h"
#include "node/types/pid.h"

namespace muster {

// How an attestation went.
struct Attested {
  // True: this reap ended the epoch. False: it had ended before (the node had
  // left, or others were faster).
  bool reaped = false;
  int tries = 0;
  // From the first try to the answer.
  absl::Duration took;
};

// LIFETIME: all that it is given outlives it, and so does it `scheduler`'s last
// closure: stop that one first. THREADS: any; callbacks come on a worker or a
// thread of the store's.
class Attester {
 public:
  using Done = absl::AnyInvocable<void(Attested)>;

  // For the node called `node` of the cluster that `keys` are of.
  Attester(Keys keys, std::string node, Store* store, Scheduler* scheduler,
           RandomSource* random);

  // `epoch`'s OS process is dead: says so to the store, again and again until
  // it has answered. `wait_status` is the evidence.
  void Attest(Epoch epoch, std::string wait_status, Done done);

  // Reads a little, so that there is a connection when it is needed.
  void KeepWarm();

  // Attestations without an answer so far.
  int unanswered() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Attestation;

  void Try(std::shared_ptr<Attestation> attestation);
  void Answered(std::shared_ptr<Attestation> attestation,
                absl::StatusOr<TxnResult> result);

  const Keys keys_;
  const std::string node_;
  Store* const store_;
  Scheduler* const scheduler_;
  RandomSource* const random_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  mutable Mutex mu_;
  int unanswered_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_BOOT_ATTESTER_H_
