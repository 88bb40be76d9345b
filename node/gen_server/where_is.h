// WhereIsServer: which process a reference stands for now (Elixir's
// GenServer.whereis).
#ifndef MUSTER_NODE_GEN_SERVER_WHERE_IS_H_
#define MUSTER_NODE_GEN_SERVER_WHERE_IS_H_

#include <optional>

#include "node/process/context.h"
#include "node/types/server_ref.h"

namespace muster {

// Does not wait, and may be untrue when it is used. A pid stays a pid, dead or
// alive; a name of this node, a cluster-wide name (from this node's own copy)
// and a registry's key become the pid; a name of another node, which only that
// node knows, stays as it is. Nullopt: nobody has the name.
std::optional<ServerRef> WhereIsServer(Context& self, const ServerRef& ref);

}  // namespace muster

#endif  // MUSTER_NODE_GEN_SERVER_WHERE_IS_H_
