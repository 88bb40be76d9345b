// Answer: the last step of every reply.
#ifndef MUSTER_NODE_PROCESS_ANSWER_H_
#define MUSTER_NODE_PROCESS_ANSWER_H_

#include "node/process/message.h"
#include "node/process/runtime.h"
#include "node/types/pid.h"

namespace muster::internal {

// Completes a call on behalf of a server: the fence is asked last, at the
// hand-off (guarantees R8, R10). `epoch` is the answering name's, empty for
// others.
void Answer(CallSlot& slot, CallResult result, const Runtime& runtime,
            const Epoch& epoch);

}  // namespace muster::internal

#endif  // MUSTER_NODE_PROCESS_ANSWER_H_
