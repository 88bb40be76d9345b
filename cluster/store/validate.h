// What every store refuses before it looks at a transaction, so that all of
// them refuse the same. For implementations of Store.
#ifndef MUSTER_CLUSTER_STORE_VALIDATE_H_
#define MUSTER_CLUSTER_STORE_VALIDATE_H_

#include <cstddef>

#include "absl/status/status.h"
#include "cluster/store/store.h"

namespace muster {

// Most entries of each list of a transaction: etcd's default --max-txn-ops
// (guarantees E9).
inline constexpr size_t kTxnOpsMax = 128;

// Most bytes of keys and values in a transaction: etcd's default
// --max-request-bytes of 1.5 MiB less room for what it wraps around them
// (guarantees E9).
inline constexpr size_t kTxnBytesMax = 1536 * 1024 - 32 * 1024;

// OK, or why `txn` is refused, outcome NOT_EXECUTED:
//   INVALID_ARGUMENT BAD_TXN          an empty key or prefix, a list of over
//                                     kTxnOpsMax entries, or a key written
//                                     twice in one branch. Deletes may overlap
//                                     with each other, not with puts: what
//                                     etcd calls a duplicate key. A nested
//                                     transaction has what the longest list of
//                                     its outer one leaves of kTxnOpsMax, and
//                                     its writes count as the outer one's. (An
//                                     etcd lets a put of one nested transaction
//                                     meet a delete of a later one. Not here.)
//   RESOURCE_EXHAUSTED TXN_TOO_LARGE  over kTxnBytesMax
absl::Status ValidateTxn(const Txn& txn);

// Bytes of keys and values in `txn`, with room for what the encoding adds.
size_t TxnBytes(const Txn& txn);
// Entries of its longest list, those of nested ones on top.
size_t TxnEntries(const Txn& txn);

}  // namespace muster

#endif  // MUSTER_CLUSTER_STORE_VALIDATE_H_
