// Planted bugs: each takes one rule of ownership away, to show that the checker
// of the guarantee that it breaks sees it.
//
// They exist only in builds with `--config=planted`; elsewhere Planted() is a
// constant and costs nothing.
#ifndef MUSTER_NODE_BASE_PLANTED_H_
#define MUSTER_NODE_BASE_PLANTED_H_

#include <atomic>
#include <cstdint>

namespace muster {

enum class PlantedBug : uint32_t {
  kFenceByTimerOnly,      // R10: no check inline
  kFenceFromReceipt,      // R2: D counts from the answer, not from the sending
  kUncommittedExtends,    // R2: any answer of the store extends D
  kReapAtHalfFence,       // R5
  kReapWithoutHeartbeat,  // R4: does not compare hb
  kClaimWithoutEpoch,     // R3: does not compare the own N
  kRepeatTransactions,    // R3: a lost answer is tried again blindly
  kLostMayArrive,         // R3: what was lost may arrive after it was settled
  kKeepGeneration,        // R7: not raised at a restore
  kSkipGrave,             // R19
  kForgetRestarts,        // R17: restart history in memory only
  kUnboundedMailbox,      // G14
  kAcceptLateReplies,     // R8
  kIgnoreEpochs,          // R9: no check at the receiver
  kRoutesGoBack,          // G5: routes may go back to an older epoch
  kNoDedup,               // G6
  kLostIsNotExecuted,     // G7: a stream lost after sending
  kAdaptiveLifo,          // G9: newest first
  kDownForUnreachable,    // R14
  kNoListAfterGap,        // R6
  kOrdersWithoutEpoch,    // R17: orders without the supervisor's epoch
  kFreezeEnds,            // R11: a freeze ends the server
  kOpenMethod,            // G15: a method without an entry in the table
};

#ifdef MUSTER_PLANTED_BUGS
namespace internal {
inline std::atomic<uint64_t> planted_bugs{0};
}  // namespace internal
inline bool Planted(PlantedBug bug) {
  // Relaxed: set before the threads that read it exist.
  return (internal::planted_bugs.load(std::memory_order_relaxed) >>
          static_cast<uint32_t>(bug)) &
         1;
}
#else
constexpr bool Planted(PlantedBug) { return false; }
#endif

}  // namespace muster

#endif  // MUSTER_NODE_BASE_PLANTED_H_
