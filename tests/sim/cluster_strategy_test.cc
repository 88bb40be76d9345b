// What Reconcile and PlanGroup decide, carried out at once on one node, against
// the model of OTP's supervisor: the same starts and stops in the same order
// (otp S12 to S23).
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "cluster/supervisor/reconciler.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/supervisor/restart_window.h"
#include "tests/sim/supervisor_model.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

constexpr absl::Duration kPeriod = absl::Hours(1);

store::v1::Strategy ToStrategy(ModelTree::Strategy strategy) {
  switch (strategy) {
    case ModelTree::Strategy::kOne:
      return store::v1::ONE_FOR_ONE;
    case ModelTree::Strategy::kAll:
      return store::v1::ONE_FOR_ALL;
    case ModelTree::Strategy::kRest:
      return store::v1::REST_FOR_ONE;
  }
  return store::v1::ONE_FOR_ONE;
}

// A cluster supervisor without a cluster: orders are carried out as they come.
class Tree {
 public:
  explicit Tree(const ModelTree& model)
      : model_(model),
        window_(static_cast<uint32_t>(model.intensity), kPeriod) {
    rules_.strategy = ToStrategy(model.strategy);
    for (const ModelTree::Child& child : model_.children) {
      ChildView view;
      view.id = child.id;
      view.name = child.id;
      view.type = "t";
      view.temporary = child.restart == ModelTree::Restart::kTemporary;
      views_.push_back(view);
      failing_.push_back(0);
    }
    Settle();
  }

  void FailStarts(size_t child, int count) { failing_[child] = count; }

  void End(size_t child, bool abnormal) {
    const ModelTree::Restart restart = model_.children[child].restart;
    views_[child].node = "";  // Its name is freed at once.
    if (restart == ModelTree::Restart::kPermanent ||
        (restart == ModelTree::Restart::kTransient && abnormal)) {
      views_[child].phase = ChildPhase::kIdle;
      Fail(child);
    } else {
      views_[child].phase = ChildPhase::kEnded;
      views_[child].wanted = false;
    }
    Settle();
  }
  void Terminate(size_t child) {
    ChildView& view = views_[child];
    view.wanted = false;
    if (view.phase == ChildPhase::kIdle) view.phase = ChildPhase::kEnded;
    Settle();
  }
  void Restart(size_t child) {
    views_[child].wanted = true;
    views_[child].phase = ChildPhase::kIdle;
    Settle();
  }

  bool alive() const { return !rules_.shutting_down; }
  const std::vector<std::string>& log() const { return log_; }
  std::vector<std::string> Running() const {
    std::vector<std::string> running;
    for (const ChildView& view : views_) {
      if (view.phase == ChildPhase::kRunning) {
        running.push_back(std::string(view.id));
      }
    }
    return running;
  }

 private:
  void Fail(size_t child) {
    if (!window_.Add(BootTime())) {
      rules_.shutting_down = true;
      for (ChildView& view : views_) view.wanted = false;
      return;
    }
    const GroupPlan plan = PlanGroup(rules_.strategy, views_, {child});
    for (const size_t i : plan.take_down) views_[i].taken_down = true;
    for (const size_t i : plan.revive) {
      views_[i].phase = ChildPhase::kIdle;
      views_[i].wanted = true;
    }
  }

  void Settle() {
    for (;;) {
      MemberView member;
      member.node = "n";
      member.types = {"t"};
      const std::vector<Action> actions =
          Reconcile(views_, {member}, BootTime(), rules_);
      if (actions.empty()) return;
      for (const Action& action : actions) {
        ChildView& view = views_[action.child];
        // What an earlier one of this round has changed is looked at anew.
        if (action.kind == Action::Kind::kStop) {
          log_.push_back(absl::StrCat("stop ", view.id));
          const bool ends = !view.wanted || view.temporary;
          view.phase = ends ? ChildPhase::kEnded : ChildPhase::kIdle;
          if (ends) view.wanted = false;
          view.taken_down = false;
          view.node = "";
          continue;
        }
        ASSERT_EQ(action.kind, Action::Kind::kStart) << action.why;
        if (failing_[action.child] > 0) {
          --failing_[action.child];
          log_.push_back(absl::StrCat("fail ", view.id));
          Fail(action.child);
          break;
        }
        log_.push_back(absl::StrCat("start ", view.id));
        view.phase = ChildPhase::kRunning;
        view.started = true;
        view.node = "n";
      }
    }
  }

  const ModelTree model_;
  TreeRules rules_;
  RestartWindow window_;
  std::vector<ChildView> views_;
  std::vector<int> failing_;
  std::vector<std::string> log_;
};

ModelTree RandomTree(SimRandom& dice) {
  ModelTree tree;
  tree.strategy = static_cast<ModelTree::Strategy>(dice.Below(3));
  tree.intensity = static_cast<int>(dice.Below(6));
  tree.period_ns = absl::ToInt64Nanoseconds(kPeriod);
  const uint64_t count = 1 + dice.Below(5);
  for (uint64_t i = 0; i < count; ++i) {
    ModelTree::Child child;
    child.id = std::string(1, static_cast<char>('a' + i));
    child.restart = static_cast<ModelTree::Restart>(dice.Below(3));
    tree.children.push_back(std::move(child));
  }
  return tree;
}

// What differs, or "".
std::string Compare(uint64_t seed, ModelBug bug) {
  SimRandom dice(seed);
  const ModelTree tree = RandomTree(dice);
  SupervisorModel model(tree, bug);
  if (!model.Start()) return "the model does not start";
  Tree real(tree);
  std::string story =
      absl::StrCat(store::v1::Strategy_Name(ToStrategy(tree.strategy)),
                   ", intensity ", tree.intensity, "\n");
  const auto differ = [&]() -> std::string {
    const std::string its = absl::StrJoin(model.logs().at("r#1"), ", ");
    const std::string mine = absl::StrJoin(real.log(), ", ");
    const bool model_alive = !model.Supervisors().empty();
    if (its == mine && model_alive == real.alive() &&
        (!model_alive || model.Workers("r") == real.Running())) {
      return "";
    }
    return absl::StrCat("seed ", seed, ": after\n", story, "real:  ", mine,
                        "\nmodel: ", its);
  };
  if (std::string what = differ(); !what.empty()) return what;
  for (int step = 0; step < 12 && real.alive(); ++step) {
    const size_t child = dice.Below(tree.children.size());
    const std::string& id = tree.children[child].id;
    const std::vector<std::string> running = real.Running();
    const bool runs =
        std::find(running.begin(), running.end(), id) != running.end();
    const bool temporary =
        tree.children[child].restart == ModelTree::Restart::kTemporary;
    switch (dice.Below(6)) {
      case 0: {
        if (!runs || temporary) continue;
        ModelOrder order;
        order.kind = ModelOrder::Kind::kTerminate;
        order.child.id = id;
        absl::StrAppend(&story, "terminate ", id, "\n");
        model.Do("r", order);
        real.Terminate(child);
        break;
      }
      case 1: {
        if (runs || temporary) continue;
        ModelOrder order;
        order.kind = ModelOrder::Kind::kRestart;
        order.child.id = id;
        absl::StrAppend(&story, "restart ", id, "\n");
        model.Do("r", order);
        real.Restart(child);
        break;
      }
      default: {
        if (!runs) continue;
        const bool abnormal = dice.Below(4) != 0;
        if (abnormal && dice.Below(4) == 0) {
          const size_t other = dice.Below(tree.children.size());
          const int count = static_cast<int>(1 + dice.Below(2));
          absl::StrAppend(&story, "the next ", count, " starts of ",
                          tree.children[other].id, " fail\n");
          model.FailStarts(absl::StrCat("r/", tree.children[other].id), count,
                           false);
          real.FailStarts(other, count);
        }
        absl::StrAppend(&story, id, abnormal ? " crashes\n" : " ends\n");
        model.EndChildren("r",
                          {{id, abnormal ? SupervisorModel::End::kAbnormal
                                         : SupervisorModel::End::kNormal}},
                          {});
        real.End(child, abnormal);
      }
    }
    if (std::string what = differ(); !what.empty()) return what;
    // A failing start that was not reached would meet an order.
    for (size_t i = 0; i < tree.children.size(); ++i) {
      real.FailStarts(i, 0);
      model.FailStarts(absl::StrCat("r/", tree.children[i].id), 0, false);
    }
  }
  return "";
}

TEST(ClusterStrategyTest, ItStartsAndStopsWhatOtpDoesInItsOrder) {
  for (uint64_t seed = 1; seed <= 4000; ++seed) {
    ASSERT_EQ(Compare(seed, ModelBug::kNone), "");
  }
}

// The comparison sees a rule that is not kept.
TEST(ClusterStrategyTest, AWrongRuleIsNoticed) {
  for (const ModelBug bug :
       {ModelBug::kStopsInStartOrder, ModelBug::kIntensityOffByOne,
        ModelBug::kGroupKeepsTemporary, ModelBug::kRetryIsFree}) {
    bool noticed = false;
    for (uint64_t seed = 1; seed <= 500 && !noticed; ++seed) {
      noticed = !Compare(seed, bug).empty();
    }
    EXPECT_TRUE(noticed) << static_cast<int>(bug);
  }
}

}  // namespace
}  // namespace muster
