// What a supervisor does about what happened, decided: pure functions over the
// table of its children. supervisor.cc carries them out.
#ifndef MUSTER_NODE_SUPERVISOR_DECIDE_H_
#define MUSTER_NODE_SUPERVISOR_DECIDE_H_

#include "absl/container/inlined_vector.h"
#include "node/supervisor/child_table.h"
#include "node/supervisor/supervisor_spec.h"
#include "node/types/exit_reason.h"

namespace muster {

// What the end of a child, by itself, means for it (otp 7.3).
enum class ExitEffect {
  kRestart,  // If the intensity allows it.
  kKeep,     // Its spec stays, without a pid.
  kForget,   // Its spec goes.
};
ExitEffect EffectOfExit(Restart restart, const ExitReason& reason);

// What becomes of a child that was stopped by order, or whose start was
// ignored: kKeep or kForget (otp S10, S7).
ExitEffect EffectOfStop(Restart restart);

// Whether the supervisor ends with `shutdown` because `ended`, which is not to
// be restarted, has ended by itself (otp S31, S32). `children` may still hold
// it as running.
bool EndsSupervisor(AutoShutdown auto_shutdown, const ChildTable& children,
                    ChildTable::Key ended);

// One restart event, in the order in which it is carried out (otp 7.4).
struct RestartPlan {
  using Keys = absl::InlinedVector<ChildTable::Key, 4>;
  RestartPlan() {}

  // They run: stopped one after the other.
  Keys stop;
  // Temporary ones that the event takes down: they are gone for good (S10).
  Keys forget;
  // Started one after the other, until one fails: that one is then tried again
  // by an event of its own (S23).
  Keys start;
};
// `failed` does not run; a plan for a failed start is the same (otp S23).
RestartPlan PlanRestart(Strategy strategy, const ChildTable& children,
                        ChildTable::Key failed);

// Who is stopped, in this order, when the supervisor itself ends (otp S28).
RestartPlan::Keys PlanShutdown(const ChildTable& children);

// Whether a child that was told to stop has ended as it should: what is not so
// is reported (otp S27).
bool EndedAsOrdered(const ChildSpec& spec, const ExitReason& reason);

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_DECIDE_H_
