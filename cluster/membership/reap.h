// Reaps: the transactions that end the membership of a node (guarantees R4,
// R12, R19).
//
// Pure: each is a value to be committed by whoever decided it. From the
// revision of a reap that succeeded on, epoch N of the node is dead for ever,
// whatever its OS process does. One that does not succeed changed nothing: the
// node has another epoch, is gone, or was not silent.
#ifndef MUSTER_CLUSTER_MEMBERSHIP_REAP_H_
#define MUSTER_CLUSTER_MEMBERSHIP_REAP_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "muster/store/v1/store.pb.h"
#include "node/types/pid.h"

namespace muster {

// What the journal says of the end of a node's epoch; for PutEvent. `kind` is
// node.attested, node.reaped or node.left.
store::v1::EventRecord EndOfNode(absl::string_view kind, absl::string_view node,
                                 Epoch epoch, absl::string_view text,
                                 std::map<std::string, std::string> evidence);

// Compares nothing but the epoch, so it is for a node that ends its own, and
// part of the others. `event` is a step that PutEvent made.
Txn EndEpoch(const Keys& keys, absl::string_view node, int64_t node_revision,
             StoreOp event);

// The kernel vouches that no thread of this epoch runs any more (guarantees
// R12): it needs no silence and no wait. The event is also kept under the
// node's key, as the last one of its kind: whether a death was attested is
// found there, whatever clock the event is from.
Txn AttestedReap(const Keys& keys, absl::string_view node,
                 int64_t node_revision, StoreOp event);

// Whether the event under Keys::Attested(node) is of the death of this epoch.
bool IsAttestationOf(const store::v1::EventRecord& event,
                     absl::string_view node, Epoch epoch);

// Its heartbeat was observed at `heartbeat_revision` (0: it has none) and has
// been silent for R since, on the clock of whoever commits this (guarantees
// R4, R5).
Txn SilentReap(const Keys& keys, absl::string_view node, int64_t node_revision,
               int64_t heartbeat_revision, StoreOp event);

// A reap of what may be alive (guarantees R19): leaves a grave, and who claims
// a name of this epoch or an earlier one of that node first observes it for R.
Txn BuryReap(const Keys& keys, absl::string_view node, int64_t node_revision,
             absl::string_view reason, absl::string_view buried_by,
             StoreOp event);

// Raises the cluster's generation to that of `raised`, and with it ends all
// epochs: every node joins anew (guarantees R7). `meta` is the record as it was
// read. It is a grave for all: see Graves::ObserveRaise.
Txn RaiseGeneration(const Keys& keys, const KeyValue& meta,
                    store::v1::Meta raised, StoreOp event);

}  // namespace muster

#endif  // MUSTER_CLUSTER_MEMBERSHIP_REAP_H_
