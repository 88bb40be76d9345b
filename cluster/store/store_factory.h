// Makes the store that a spec names. For cluster/boot and the CLI.
#ifndef MUSTER_CLUSTER_STORE_STORE_FACTORY_H_
#define MUSTER_CLUSTER_STORE_STORE_FACTORY_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cluster/store/store.h"
#include "node/base/scheduler.h"

namespace grpc {
class ChannelCredentials;
}  // namespace grpc

namespace muster {

// OK if `spec` is "memory" or "etcd://h1:p1,h2:p2", and, unless it is reached
// with `tls`, all of the latter are on loopback. INVALID_ARGUMENT BAD_STORE or
// NOT_LOOPBACK otherwise; the message says what would be right, bounded and
// safe to log.
absl::Status ValidateStoreSpec(absl::string_view spec, bool tls);

// The store of that name with default options; connects only when it is used,
// with `credentials` if it is an etcd; null: in plaintext. `scheduler` outlives
// it. Errors as ValidateStoreSpec.
absl::StatusOr<std::unique_ptr<Store>> MakeStore(
    absl::string_view spec, Scheduler& scheduler,
    std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr);

}  // namespace muster

#endif  // MUSTER_CLUSTER_STORE_STORE_FACTORY_H_
