// ExampleServerTypes: the guide's servers, as types that a node can start.
#ifndef MUSTER_EXAMPLES_SERVER_TYPES_H_
#define MUSTER_EXAMPLES_SERVER_TYPES_H_

#include <vector>

#include "node/node.h"

namespace examples {

// counter, periodic_task, cache, session_store; application.yaml starts them.
std::vector<muster::ServerTypeInfo> ExampleServerTypes();

}  // namespace examples

#endif  // MUSTER_EXAMPLES_SERVER_TYPES_H_
