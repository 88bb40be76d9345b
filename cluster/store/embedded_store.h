// EmbeddedStore: the store of a single node, in memory.
//
// It lives and dies with its OS process, is not replicated, and keeps the
// contract of store.h as strictly as etcd does (guarantees R16).
#ifndef MUSTER_CLUSTER_STORE_EMBEDDED_STORE_H_
#define MUSTER_CLUSTER_STORE_EMBEDDED_STORE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cluster/store/gate.h"
#include "cluster/store/store.h"
#include "cluster/store/store_state.h"
#include "node/base/scheduler.h"

namespace muster {

// Owns the records of a single node.
// LIFETIME, THREADS, ORDER: as Store. `scheduler` outlives it. May not be
// destroyed from a callback of its own.
class EmbeddedStore final : public Store {
 public:
  using Options = StoreStateOptions;

  // Callbacks are posted to `scheduler`.
  explicit EmbeddedStore(Scheduler& scheduler, Options options = {});
  ~EmbeddedStore() override;
  EmbeddedStore(const EmbeddedStore&) = delete;
  EmbeddedStore& operator=(const EmbeddedStore&) = delete;

  // Commits before it returns; `timeout` is never reached. What has been
  // committed stays so although destruction may drop the callback.
  void Commit(Txn txn, absl::Duration timeout, Done<TxnResult> done) override;
  void List(std::string prefix, absl::Duration timeout,
            Done<RangeResult> done) override;
  std::unique_ptr<Watch> Follow(std::string prefix, int64_t from_revision,
                                WatchHandler handler) override;
  void Compact(int64_t revision, absl::Duration timeout,
               absl::AnyInvocable<void(absl::Status)> done) override;
  bool embedded() const override { return true; }
  std::string ToString() const override { return "memory"; }

 private:
  struct Core;
  struct Follower;
  class EmbeddedWatch;

  static void Deliver(std::shared_ptr<Core> core,
                      std::shared_ptr<Follower> follower);
  template <typename T>
  void Answer(Done<T> done, absl::StatusOr<T> result);

  Scheduler& scheduler_;
  // Shared with watches and with posted work, which may run after us.
  const std::shared_ptr<Core> core_;
  const std::shared_ptr<Gate> gate_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_STORE_EMBEDDED_STORE_H_
