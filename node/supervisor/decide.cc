#include "node/supervisor/decide.h"

namespace muster {

ExitEffect EffectOfExit(Restart restart, const ExitReason& reason) {
  switch (restart) {
    case Restart::kPermanent:
      return ExitEffect::kRestart;
    case Restart::kTransient:
      return reason.IsNormal() ? ExitEffect::kKeep : ExitEffect::kRestart;
    case Restart::kTemporary:
      return ExitEffect::kForget;
  }
  return ExitEffect::kForget;
}

ExitEffect EffectOfStop(Restart restart) {
  return restart == Restart::kTemporary ? ExitEffect::kForget
                                        : ExitEffect::kKeep;
}

bool EndsSupervisor(AutoShutdown auto_shutdown, const ChildTable& children,
                    ChildTable::Key ended) {
  if (!children.at(ended).spec.significant) return false;
  switch (auto_shutdown) {
    case AutoShutdown::kNever:
      return false;
    case AutoShutdown::kAnySignificant:
      return true;
    case AutoShutdown::kAllSignificant:
      break;
  }
  for (const auto& [key, child] : children.children()) {
    if (key == ended || !child.spec.significant) continue;
    if (!child.pid.empty() || child.restarting) return false;
  }
  return true;
}

RestartPlan PlanRestart(Strategy strategy, const ChildTable& children,
                        ChildTable::Key failed) {
  RestartPlan plan;
  if (strategy == Strategy::kOneForOne) {
    plan.start.push_back(failed);
    return plan;
  }
  const auto& all = children.children();
  const auto first =
      strategy == Strategy::kOneForAll ? all.begin() : all.find(failed);
  for (auto at = all.end(); at != first;) {
    --at;
    if (!at->second.pid.empty()) plan.stop.push_back(at->first);
  }
  for (auto at = first; at != all.end(); ++at) {
    if (at->second.spec.restart == Restart::kTemporary) {
      plan.forget.push_back(at->first);
    } else {
      plan.start.push_back(at->first);
    }
  }
  return plan;
}

RestartPlan::Keys PlanShutdown(const ChildTable& children) {
  RestartPlan::Keys stop;
  const auto& all = children.children();
  for (auto at = all.rbegin(); at != all.rend(); ++at) {
    if (!at->second.pid.empty()) stop.push_back(at->first);
  }
  return stop;
}

bool EndedAsOrdered(const ChildSpec& spec, const ExitReason& reason) {
  using Kind = ExitReason::Kind;
  // It had ended before, by itself, and said so itself.
  if (reason.kind() == Kind::kNoproc) return true;
  if (spec.restart != Restart::kPermanent && reason.IsNormal()) return true;
  if (spec.shutdown_or_default().brutal_kill()) {
    return reason.kind() == Kind::kKilled;
  }
  return reason == ExitReason::Shutdown();
}

}  // namespace muster
