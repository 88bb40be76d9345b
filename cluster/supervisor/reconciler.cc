#include "cluster/supervisor/reconciler.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace muster {
namespace {

constexpr absl::Duration kRestartDelayMin = absl::Milliseconds(100);
constexpr absl::Duration kRestartDelayMax = absl::Seconds(5);

bool IsUp(const ChildView& child) {
  return child.phase == ChildPhase::kStarting ||
         child.phase == ChildPhase::kRunning ||
         child.phase == ChildPhase::kStopping ||
         child.phase == ChildPhase::kMoving;
}

bool MustStop(const ChildView& child) {
  switch (child.phase) {
    case ChildPhase::kRunning:
      return !child.wanted || child.outdated || child.taken_down;
    case ChildPhase::kIdle:
      return !child.wanted && !child.node.empty();
    case ChildPhase::kEnded:
      return !child.node.empty();
    case ChildPhase::kStarting:
    case ChildPhase::kStopping:
    case ChildPhase::kMoving:
      return false;
  }
  return false;
}

// One round.
class Round {
 public:
  Round(const std::vector<ChildView>& children, std::vector<MemberView> members,
        BootTime now, const TreeRules& rules)
      : children_(children),
        members_(std::move(members)),
        now_(now),
        rules_(rules),
        grouped_(rules.strategy == store::v1::ONE_FOR_ALL ||
                 rules.strategy == store::v1::REST_FOR_ONE) {
    for (MemberView& member : members_) by_name_[member.node] = &member;
    for (const ChildView& child : children_) {
      coming_down_ = coming_down_ || (child.taken_down && IsUp(child));
      if (child.phase == ChildPhase::kMoving) ++moving_[child.node];
    }
  }

  std::vector<Action> Run() {
    Stops();
    if (!(grouped_ && coming_down_)) {
      Starts();
      Moves();
    }
    return std::move(actions_);
  }

 private:
  void Add(Action::Kind kind, size_t child, absl::string_view node,
           std::string why = "") {
    Action action;
    action.kind = kind;
    action.child = child;
    action.node = std::string(node);
    action.why = std::move(why);
    actions_.push_back(std::move(action));
  }

  void Stops() {
    bool later_is_up = false;
    for (size_t i = children_.size(); i-- > 0;) {
      const ChildView& child = children_[i];
      const bool in_order =
          (grouped_ || !child.dynamic) &&
          (child.taken_down || (rules_.shutting_down && !child.wanted));
      const bool waits = in_order && later_is_up && IsUp(child);
      if (MustStop(child) && now_ >= child.not_before && !child.deciding &&
          !waits) {
        Add(Action::Kind::kStop, i, child.node);
      }
      later_is_up = later_is_up || (in_order && IsUp(child));
    }
  }

  void Starts() {
    // Who keeps those after it from starting, and is stuck itself; empty if it
    // is only on its way.
    bool waits = false;
    absl::string_view stuck;
    for (size_t i = 0; i < children_.size(); ++i) {
      const ChildView& child = children_[i];
      if (!child.wanted || child.phase == ChildPhase::kEnded) continue;
      if (child.phase == ChildPhase::kRunning && !child.outdated) continue;
      const bool ordered = grouped_ || (!child.started && !child.dynamic);
      if (child.phase != ChildPhase::kIdle) {
        waits = waits || (ordered && child.phase != ChildPhase::kMoving);
        continue;
      }
      if (ordered && waits) {
        if (!stuck.empty() && !child.deciding) {
          Add(Action::Kind::kWait, i, "",
              absl::StrCat("waits for '", stuck, "', which comes before it"));
        }
        continue;
      }
      const bool ready = !child.deciding && now_ >= child.not_before;
      bool unable = !ready;
      if (ready) {
        switch (Start(i)) {
          case Placed::kYes:
            waits = waits || ordered;
            break;
          case Placed::kBusy:
            waits = waits || ordered;
            break;
          case Placed::kNowhere:
            unable = true;
            break;
        }
      }
      if (unable && grouped_) {
        waits = true;
        stuck = child.id;
      }
    }
  }

  enum class Placed { kYes, kBusy, kNowhere };

  static PlacementRequest RequestOf(const ChildView& child) {
    PlacementRequest request;
    request.name = child.name;
    request.type = child.type;
    request.placement = child.placement != nullptr
                            ? child.placement
                            : &store::v1::Placement::default_instance();
    return request;
  }

  // Where a child that is free to go anywhere goes. `busy` nodes are passed
  // over, unless its policy insists.
  MemberView* Choose(const PlacementRequest& request, Placed* placed) {
    const PlacementPolicy& policy = PolicyOf(*request.placement);
    std::vector<const MemberView*> fit;
    bool any = false;
    for (const MemberView& member : members_) {
      if (!Ineligible(request, member).empty()) continue;
      any = true;
      if (policy.sticky() || member.in_flight < rules_.starts_max) {
        fit.push_back(&member);
      }
    }
    *placed = any ? Placed::kBusy : Placed::kNowhere;
    if (fit.empty()) return nullptr;
    MemberView* const best =
        by_name_[fit[policy.Choose(request, fit)]->node];
    if (best->in_flight >= rules_.starts_max) return nullptr;
    *placed = Placed::kYes;
    return best;
  }

  Placed Start(size_t i) {
    const ChildView& child = children_[i];
    const PlacementRequest request = RequestOf(child);
    Placed placed = Placed::kNowhere;
    MemberView* member = nullptr;
    if (child.node.empty()) {
      member = Choose(request, &placed);
    } else if (const auto at = by_name_.find(child.node);
               at != by_name_.end() && Hosts(*at->second, child.type)) {
      const bool busy = at->second->in_flight >= rules_.starts_max;
      placed = busy ? Placed::kBusy : Placed::kYes;
      if (!busy) member = at->second;
    }
    if (placed == Placed::kNowhere) {
      Add(Action::Kind::kPending, i, "", WhyNowhere(request, members_));
    } else if (placed == Placed::kYes) {
      Add(Action::Kind::kStart, i, member->node);
      Count(*member);
    }
    return placed;
  }

  static bool Hosts(const MemberView& member, absl::string_view type) {
    return std::find(member.types.begin(), member.types.end(), type) !=
           member.types.end();
  }

  static void Count(MemberView& member) {
    ++member.load;
    ++member.own;
    ++member.in_flight;
  }

  void Moves() {
    for (size_t i = 0; i < children_.size(); ++i) {
      const ChildView& child = children_[i];
      if (child.phase != ChildPhase::kRunning || !child.wanted ||
          child.outdated || child.taken_down || child.deciding ||
          now_ < child.move_not_before) {
        continue;
      }
      const auto at = by_name_.find(child.node);
      const bool drains = at != by_name_.end() && at->second->draining;
      if (child.move_to.empty() && !drains) continue;
      if (moving_[child.node] >= rules_.moves_max) continue;
      absl::string_view to = child.move_to;
      if (to.empty()) {
        const PlacementRequest request = RequestOf(child);
        Placed placed;
        MemberView* const member = Choose(request, &placed);
        if (placed == Placed::kNowhere) {
          Add(Action::Kind::kStay, i, child.node,
              WhyNowhere(request, members_));
        }
        if (member == nullptr) continue;
        to = member->node;
        Count(*member);
      }
      ++moving_[child.node];
      Add(Action::Kind::kMove, i, to);
    }
  }

  const std::vector<ChildView>& children_;
  std::vector<MemberView> members_;
  const BootTime now_;
  const TreeRules& rules_;
  const bool grouped_;
  bool coming_down_ = false;
  std::map<absl::string_view, MemberView*> by_name_;
  std::map<absl::string_view, int> moving_;
  std::vector<Action> actions_;
};

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
    case ChildPhase::kMoving:
      return "moving";
  }
  return "";
}

std::vector<Action> Reconcile(const std::vector<ChildView>& children,
                              std::vector<MemberView> members, BootTime now,
                              const TreeRules& rules) {
  return Round(children, std::move(members), now, rules).Run();
}

GroupPlan PlanGroup(store::v1::Strategy strategy,
                        const std::vector<ChildView>& children,
                        const std::vector<size_t>& failed) {
  GroupPlan plan;
  if (failed.empty() || (strategy != store::v1::ONE_FOR_ALL &&
                         strategy != store::v1::REST_FOR_ONE)) {
    return plan;
  }
  const size_t first = strategy == store::v1::ONE_FOR_ALL
                           ? 0
                           : *std::min_element(failed.begin(), failed.end());
  for (size_t i = first; i < children.size(); ++i) {
    const ChildView& child = children[i];
    if (std::find(failed.begin(), failed.end(), i) != failed.end()) continue;
    if (child.phase == ChildPhase::kEnded) {
      if (!child.temporary) plan.revive.push_back(i);
    } else if (IsUp(child) && child.wanted && !child.taken_down) {
      plan.take_down.push_back(i);
    }
  }
  return plan;
}

absl::Duration RestartDelay(int failures, uint32_t intensity,
                            absl::Duration period) {
  if (failures <= 1) return absl::ZeroDuration();
  const absl::Duration most =
      std::min(kRestartDelayMax, period / (2.0 * std::max(1u, intensity)));
  absl::Duration delay = kRestartDelayMin;
  for (int i = 2; i < failures && delay < most; ++i) delay *= 2;
  return std::min(delay, most);
}

}  // namespace muster
