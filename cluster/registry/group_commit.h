// GroupCommit: many small transactions of one node in few large ones.
#ifndef MUSTER_CLUSTER_REGISTRY_GROUP_COMMIT_H_
#define MUSTER_CLUSTER_REGISTRY_GROUP_COMMIT_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/store/store.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"

namespace muster {

struct GroupCommitOptions {
  // Most nested transactions in one. The rest of etcd's limit of 128 entries is
  // left to each of them.
  size_t group_max = 100;
  // Groups that may wait for their answers at the same time. One: what comes
  // meanwhile waits for the whole round trip. Many: small groups.
  size_t in_flight_max = 2;
  // Transactions that may wait to be sent. Too few: refusals in a burst.
  size_t queue_max = 200'000;
  // How long one of them may wait.
  absl::Duration queue_timeout = absl::Seconds(30);
  // For the answer to a group.
  absl::Duration commit_timeout = absl::Seconds(1);
};

// Transactions that are asked for while others are under way go together, up to
// 100 nested in one that compares the node's own epoch once (guarantees R3);
// each has compares and a result of its own. One that comes alone goes at once.
//
// The group is a writing transaction for the store, whichever branches run, so
// that what it answers is decided and not read (guarantees E13).
//
// LOST ANSWERS: a group whose answer was lost may reach the store at any time
// later. Each compares the mod revision of the node's barrier, a record that
// nobody else writes, and the next one that is sent after a loss writes it
// anew. So what is answered after a loss is final: nothing that was lost before
// will be carried out after it. A group that a barrier turned away was not
// carried out, and is sent again with the present one.
//
// ORDER: transactions of one name are sent in the order of Commit(), each after
// the answer to the one before it.
// LIFETIME: outlives the store, or callbacks find it gone and end nothing.
// THREADS: any. Callbacks come from the store, or from inside Commit() if the
// transaction is refused before it is sent.
class GroupCommit {
 public:
  using Options = GroupCommitOptions;
  using Done = absl::AnyInvocable<void(absl::StatusOr<TxnResult>)>;

  // `own_epoch` compares the create revision of the node's record; all groups
  // do. `barrier` is the key of the node's barrier, which was written in the
  // same transaction as that record, and goes with it.
  GroupCommit(Store* store, const Clock* clock,
              std::function<Compare()> own_epoch, std::string barrier,
              Options options = {});
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  // `txn` writes what no transaction of another name writes. Errors:
  //   ABORTED FENCED       the node's own epoch is dead (NOT_EXECUTED)
  //   UNAVAILABLE STORE_UNREACHABLE, RESOURCE_EXHAUSTED QUOTA
  //                        it was not sent in time, or too many wait
  //                        (NOT_EXECUTED)
  //   as Store::Commit; an unknown outcome is the same for all of a group.
  // `again`: goes on with an operation that has begun: it comes before those
  // that wait, and is not refused because they are many.
  void Commit(std::string name, Txn txn, Done done, bool again = false);

 private:
  struct Item {
    std::string name;
    Txn txn;
    Done done;
    BootTime expires;
    size_t bytes = 0;
    size_t entries = 0;
  };
  using Group = std::vector<Item>;
  // A group on its way.
  struct Sent {
    Group group;
    // Mod revision of the barrier that it compares.
    int64_t barrier = 0;
    // It writes the barrier.
    bool raises = false;
  };

  // Sends groups as long as there is something that may go.
  void Pump();
  // Those that go together next, and those that have waited too long; false:
  // neither.
  bool Take(Group* group, Group* expired) ABSL_LOCKS_EXCLUDED(mu_);
  void Send(Group group);
  void Answer(Sent sent, absl::StatusOr<TxnResult> result);

  Store* const store_;
  const Clock* const clock_;
  const std::function<Compare()> own_epoch_;
  const std::string barrier_key_;
  const Options options_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  Mutex mu_;
  std::deque<Item> queue_ ABSL_GUARDED_BY(mu_);
  // Names of the groups in flight.
  absl::flat_hash_set<std::string> busy_ ABSL_GUARDED_BY(mu_);
  size_t in_flight_ ABSL_GUARDED_BY(mu_) = 0;
  // Greatest mod revision of the barrier that was heard of; 0: that of the
  // node's record, with which it was written.
  int64_t barrier_ ABSL_GUARDED_BY(mu_) = 0;
  // Greatest one that a group compared whose answer was lost.
  int64_t lost_at_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_REGISTRY_GROUP_COMMIT_H_
