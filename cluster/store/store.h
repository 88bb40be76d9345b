// Store: what a cluster agrees on.
//
// Keys with revisions, compare-and-set transactions and watches: etcd's data
// model, because etcd is the store of a real cluster. The embedded store of a
// single node and the simulated one are held to the same contract by
// tests/conformance/store.
#ifndef MUSTER_CLUSTER_STORE_STORE_H_
#define MUSTER_CLUSTER_STORE_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace muster {

// One key as of some revision.
struct KeyValue {
  std::string key;
  std::string value;
  // Revision that created this life of the key; a deleted and re-created key
  // has a new one.
  int64_t create_revision = 0;
  // Revision of the latest put.
  int64_t mod_revision = 0;
};

// A condition on one key. An absent key has both revisions 0, and fails each
// comparison of its value, kNotEqual too (as in etcd).
struct Compare {
  enum class What { kCreateRevision, kModRevision, kValue };
  enum class Op { kEqual, kNotEqual };

  std::string key;
  What what = What::kModRevision;
  Op op = Op::kEqual;
  int64_t revision = 0;
  std::string value;  // With kValue.

  static Compare CreateRevision(std::string key, Op op, int64_t revision);
  static Compare ModRevision(std::string key, Op op, int64_t revision);
  static Compare Value(std::string key, Op op, std::string value);
  static Compare Absent(std::string key) {
    return CreateRevision(std::move(key), Op::kEqual, 0);
  }
};

struct Txn;

// One step of a transaction.
struct StoreOp {
  enum class Kind { kPut, kDelete, kGet, kDeletePrefix, kTxn };

  Kind kind = Kind::kGet;
  // Empty with kTxn.
  std::string key;
  std::string value;
  // With kTxn the one transaction within this one; a vector only because its
  // type is not complete yet.
  std::vector<Txn> nested;

  static StoreOp Put(std::string key, std::string value);
  static StoreOp Delete(std::string key);
  static StoreOp Get(std::string key);
  static StoreOp DeletePrefix(std::string prefix);
  static StoreOp Nested(Txn txn);
};

// If all of `compares` hold, `then`, else `otherwise`; atomically, at one
// revision. A transaction that decides something contains a write in the
// branch that decides (guarantees R3, E13). Gets see the steps before them;
// deletes of one branch may overlap, a put may not meet another write of its
// key.
//
// A nested transaction chooses its branch by its own compares, whatever others
// in the same one choose; all compares, at every depth, see the store as it was
// before the first step. So nested transactions have independent results and
// one revision. The two branches of one nested transaction may write the same
// key, since one of them runs; all else that may run counts as one branch.
struct Txn {
  std::vector<Compare> compares;
  std::vector<StoreOp> then;
  std::vector<StoreOp> otherwise;
};

struct TxnResult {
  // Which branch ran.
  bool succeeded = false;
  // Revision of the store after the transaction; that of its writes if it
  // changed something, which a delete of an absent key does not.
  int64_t revision = 0;
  // One entry for each kGet of the branch that ran, in order; empty vectors
  // for absent keys.
  std::vector<std::vector<KeyValue>> gets;
  // One entry for each kTxn of the branch that ran, in order; their revision is
  // that of the outer one.
  std::vector<TxnResult> nested;

  // Here and in all nested ones.
  void SetRevision(int64_t now);
};

struct RangeResult {
  // Sorted by key.
  std::vector<KeyValue> items;
  // Revision at which this was true.
  int64_t revision = 0;
};

struct WatchEvent {
  enum class Kind { kPut, kDelete };
  Kind kind = Kind::kPut;
  // For kDelete only `key` and `mod_revision`, the revision of the delete.
  KeyValue item;
};

// LIFETIME: destroying it ends the watch; a handler call under way on another
// thread is waited for, and none follows. May not be destroyed from its own
// handler.
class Watch {
 public:
  virtual ~Watch() = default;
};

// What a watch tells, on a thread of the store's own or a worker: translate
// and enqueue, nothing more. Calls for one watch do not overlap.
struct WatchHandler {
  // Events of one or more revisions, in order, never split within a revision;
  // each mod_revision is above that of all earlier calls.
  absl::AnyInvocable<void(std::vector<WatchEvent>)> on_events;
  // The watch has ended and will say no more: OUT_OF_RANGE COMPACTED (list,
  // then watch again), UNAVAILABLE (the store went away; list and watch again,
  // with backoff). Called at most once, and never because of destruction.
  absl::AnyInvocable<void(absl::Status)> on_end;
};

// LIFETIME: outlives its watches; destruction waits for a callback under way on
// another thread and drops the rest without calling them. May not be destroyed
// from a callback of its own.
// THREADS: any thread may call any method; callbacks come on a thread of the
// store's own or on a worker, never inside the call that asked. They translate
// and enqueue, nothing more.
// ORDER: transactions are linearizable. Nothing is promised between
// operations that overlap.
class Store {
 public:
  virtual ~Store() = default;

  template <typename T>
  using Done = absl::AnyInvocable<void(absl::StatusOr<T>)>;

  // Commits or refuses `txn`. Errors:
  //   UNAVAILABLE        it was certainly not applied (outcome NOT_EXECUTED)
  //   DEADLINE_EXCEEDED  no answer within `timeout`; it may have been applied
  //                      or may still be (outcome UNKNOWN)
  //   ABORTED            the connection broke after sending (outcome UNKNOWN)
  //   RESOURCE_EXHAUSTED the store is full (NOSPACE, outcome UNKNOWN) or the
  //                      txn too large (TXN_TOO_LARGE, NOT_EXECUTED)
  //   INVALID_ARGUMENT   the same key written twice, empty key, over 128
  //                      entries in `compares`, `then` or `otherwise`; those
  //                      of a nested one count on top of its outer one's
  //                      longest list
  // A client that may not use the store gets the store's own code, such as
  // PERMISSION_DENIED (NOT_EXECUTED).
  // An operation is sent to the store at most once; repeating is the caller's
  // decision.
  virtual void Commit(Txn txn, absl::Duration timeout,
                      Done<TxnResult> done) = 0;

  // All keys that begin with `prefix` (all keys if empty), at one revision,
  // paged internally; `timeout` is for one answer of the store, and a long list
  // takes several. Linearizable as far as the store keeps that promise
  // (guarantees E4: treat it as a hint). Errors as Commit, never UNKNOWN.
  virtual void List(std::string prefix, absl::Duration timeout,
                    Done<RangeResult> done) = 0;

  // Follows all changes of keys under `prefix` with revision >= from_revision,
  // which is usually RangeResult::revision + 1. A revision below 1 means 1.
  virtual std::unique_ptr<Watch> Follow(std::string prefix,
                                        int64_t from_revision,
                                        WatchHandler handler) = 0;

  // Forgets the history below `revision`, for all users of the store: watches
  // can no longer begin there. What is stored stays (guarantees E9). Safe to
  // repeat. OUT_OF_RANGE: it was compacted as far already, or has not come to
  // that revision; other errors as List.
  virtual void Compact(int64_t revision, absl::Duration timeout,
                       absl::AnyInvocable<void(absl::Status)> done) = 0;

  // True: the store lives and dies with this node, so that nobody can take
  // its names (guarantees R16).
  virtual bool embedded() const = 0;

  // "memory" or "etcd://h1:p1,h2:p2".
  virtual std::string ToString() const = 0;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_STORE_STORE_H_
