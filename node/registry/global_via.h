// GlobalVia: the cluster-wide names as a via registry.
#ifndef MUSTER_NODE_REGISTRY_GLOBAL_VIA_H_
#define MUSTER_NODE_REGISTRY_GLOBAL_VIA_H_

#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "node/process/via.h"
#include "node/registry/name_registry.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"

namespace muster {

// What it is called in Runtime::AddVia.
inline constexpr absl::string_view kGlobalVia = "global";

// ServerRef::Via("global", "x") is ServerRef::Global("x"). Register answers
// when the cluster has agreed, with NameRegistry::Register's errors; Unregister
// does not wait for it. LIFETIME: the names outlive it.
class GlobalVia final : public ViaRegistry {
 public:
  explicit GlobalVia(NameRegistry* names) : names_(names) {}

  // From this node's copy; on whichever node it is.
  Pid WhereIs(absl::string_view key) const override {
    const std::optional<NameEntry> entry = names_->WhereIs(key);
    return entry.has_value() ? entry->pid : Pid();
  }
  // The name, so that it is resolved, checked by its epoch and, if need be,
  // asked for as one.
  std::optional<ServerRef> Address(absl::string_view key) const override {
    return ServerRef::Global(key);
  }
  void Register(absl::string_view key, const Pid& pid,
                absl::AnyInvocable<void(absl::Status)> done) override {
    names_->Register(
        key, pid,
        [done = std::move(done)](absl::StatusOr<Epoch> epoch) mutable {
          done(epoch.status());
        });
  }
  void Unregister(absl::string_view key, const Pid& pid) override {
    if (WhereIs(key) != pid) return;
    names_->Unregister(key, [](const absl::Status&) {});
  }

 private:
  NameRegistry* const names_;
};

}  // namespace muster

#endif  // MUSTER_NODE_REGISTRY_GLOBAL_VIA_H_
