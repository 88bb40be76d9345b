#include "cluster/supervisor/reconciler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace muster {
namespace {

bool Hosts(const MemberView& member, absl::string_view type) {
  return std::find(member.types.begin(), member.types.end(), type) !=
         member.types.end();
}

MemberView* Place(const ChildView& child, std::vector<MemberView>& members) {
  MemberView* best = nullptr;
  for (MemberView& member : members) {
    if (!Hosts(member, child.type)) continue;
    if (!child.node.empty() && member.node != child.node) continue;
    if (best == nullptr || member.load < best->load ||
        (member.load == best->load && member.node < best->node)) {
      best = &member;
    }
  }
  return best;
}

bool MustStop(const ChildView& child) {
  switch (child.phase) {
    case ChildPhase::kRunning:
      return !child.wanted || child.outdated;
    case ChildPhase::kIdle:
      return !child.wanted && !child.node.empty();
    case ChildPhase::kEnded:
      return !child.node.empty();
    case ChildPhase::kStarting:
    case ChildPhase::kStopping:
      return false;
  }
  return false;
}

}  // namespace

absl::string_view ChildPhaseName(ChildPhase phase) {
  switch (phase) {
    case ChildPhase::kIdle:
      return "pending";
    case ChildPhase::kStarting:
      return "starting";
    case ChildPhase::kRunning:
      return "running";
    case ChildPhase::kStopping:
      return "stopping";
    case ChildPhase::kEnded:
      return "ended";
  }
  return "";
}

std::vector<Action> Reconcile(const std::vector<ChildView>& children,
                              std::vector<MemberView> members, BootTime now) {
  std::vector<Action> actions;
  for (size_t i = children.size(); i-- > 0;) {
    const ChildView& child = children[i];
    if (!MustStop(child) || now < child.not_before) continue;
    Action stop;
    stop.kind = Action::Kind::kStop;
    stop.child = i;
    stop.node = child.node;
    actions.push_back(std::move(stop));
  }
  for (size_t i = 0; i < children.size(); ++i) {
    const ChildView& child = children[i];
    if (child.phase != ChildPhase::kIdle || !child.wanted) continue;
    if (now < child.not_before) continue;
    Action start;
    start.child = i;
    MemberView* const member = Place(child, members);
    if (member == nullptr) {
      start.kind = Action::Kind::kPending;
      start.why = absl::StrCat("no node has the type '", child.type, "'");
    } else {
      start.kind = Action::Kind::kStart;
      start.node = member->node;
      ++member->load;
    }
    actions.push_back(std::move(start));
  }
  return actions;
}

}  // namespace muster
