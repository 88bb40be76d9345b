// ThrownReason: what a callback threw, as an exit reason.
#ifndef MUSTER_NODE_PROCESS_THROWN_H_
#define MUSTER_NODE_PROCESS_THROWN_H_

#include "node/types/exit_reason.h"

namespace muster::internal {

// Inside a catch block only: exception(what).
ExitReason ThrownReason();

}  // namespace muster::internal

#endif  // MUSTER_NODE_PROCESS_THROWN_H_
