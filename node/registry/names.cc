#include "node/registry/names.h"

#include <memory>
#include <utility>

#include "node/process/runtime.h"
#include "node/types/status.h"

namespace muster {
namespace {

Error NoCluster() {
  return Error(absl::StatusCode::kFailedPrecondition, "NO_CLUSTER",
               "this node is in no cluster, so it has no cluster-wide names")
      .NotExecuted();
}

}  // namespace

Pending<absl::StatusOr<Epoch>> RegisterName(Context& self,
                                            absl::string_view name) {
  auto arrival = std::make_shared<internal::Arrival<absl::StatusOr<Epoch>>>();
  if (NameRegistry* const names = self.runtime().names()) {
    names->Register(name, self.pid(), [arrival](absl::StatusOr<Epoch> epoch) {
      arrival->Set(std::move(epoch));
    });
  } else {
    arrival->Set(NoCluster().status());
  }
  return Pending<absl::StatusOr<Epoch>>(std::move(arrival));
}

Pending<absl::Status> UnregisterName(Context& self, absl::string_view name) {
  auto arrival = std::make_shared<internal::Arrival<absl::Status>>();
  if (NameRegistry* const names = self.runtime().names()) {
    names->Unregister(name, [arrival](absl::Status status) {
      arrival->Set(std::move(status));
    });
  } else {
    arrival->Set(NoCluster().status());
  }
  return Pending<absl::Status>(std::move(arrival));
}

std::optional<NameEntry> WhereIs(Context& self, absl::string_view name) {
  NameRegistry* const names = self.runtime().names();
  return names == nullptr ? std::nullopt : names->WhereIs(name);
}

}  // namespace muster
