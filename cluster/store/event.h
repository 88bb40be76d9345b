// PutEvent: one entry of the cluster's journal, as part of a transaction.
#ifndef MUSTER_CLUSTER_STORE_EVENT_H_
#define MUSTER_CLUSTER_STORE_EVENT_H_

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "muster/store/v1/store.pb.h"

namespace muster {

// A step that writes `event`, to stand beside the write that it tells of. Its
// key sorts by `at`, wall time, which is for people alone: the order of events
// is that of their revisions. `unique` keeps apart what is written in the same
// millisecond: random, at least 8 hex digits.
StoreOp PutEvent(const Keys& keys, absl::string_view reporter,
                 store::v1::EventRecord event, absl::Time at,
                 absl::string_view unique);

}  // namespace muster

#endif  // MUSTER_CLUSTER_STORE_EVENT_H_
