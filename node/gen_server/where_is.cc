#include "node/gen_server/where_is.h"

#include "node/process/runtime.h"
#include "node/registry/name_registry.h"

namespace muster {

std::optional<ServerRef> WhereIsServer(Context& self, const ServerRef& ref) {
  const Runtime& runtime = self.runtime();
  Pid pid;
  switch (ref.kind()) {
    case ServerRef::Kind::kPid:
    case ServerRef::Kind::kAlias:
      return ref;
    case ServerRef::Kind::kLocal:
      if (!ref.node().empty() && ref.node() != runtime.node()) return ref;
      pid = runtime.WhereIsLocal(ref.name());
      break;
    case ServerRef::Kind::kGlobal:
      pid = runtime.WhereIsGlobal(ref.name());
      if (pid.empty() && runtime.names() != nullptr) {
        if (auto entry = runtime.names()->WhereIs(ref.name())) pid = entry->pid;
      }
      break;
    case ServerRef::Kind::kVia:
      if (const ViaRegistry* registry = runtime.FindVia(ref.registry())) {
        pid = registry->WhereIs(ref.name());
      }
      break;
  }
  if (pid.empty()) return std::nullopt;
  return ServerRef(pid);
}

}  // namespace muster
