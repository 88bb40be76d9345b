#include "cluster/supervisor/reconciler.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"

namespace muster {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

BootTime At(int s) { return BootTime::FromNanoseconds(0) + absl::Seconds(s); }

// The arguments are literals.
ChildView Child(absl::string_view id, ChildPhase phase = ChildPhase::kIdle,
                absl::string_view node = "") {
  ChildView child;
  child.id = id;
  child.name = id;
  child.type = "t";
  child.phase = phase;
  child.node = node;
  return child;
}
ChildView Up(absl::string_view id, absl::string_view node = "n1") {
  ChildView child = Child(id, ChildPhase::kRunning, node);
  child.started = true;
  return child;
}
// It ran before.
ChildView Down(absl::string_view id) {
  ChildView child = Child(id);
  child.started = true;
  return child;
}
TreeRules Rules(store::v1::Strategy strategy) {
  TreeRules rules;
  rules.strategy = strategy;
  return rules;
}

MemberView Node(std::string node, int load = 0,
                std::vector<std::string> types = {"t"}) {
  MemberView member;
  member.node = std::move(node);
  member.types = std::move(types);
  member.load = load;
  return member;
}

Action Start(size_t child, std::string node) {
  return Action{Action::Kind::kStart, child, std::move(node), ""};
}
Action Stop(size_t child, std::string node) {
  return Action{Action::Kind::kStop, child, std::move(node), ""};
}

TEST(ReconcilerTest, PlacesOnTheNodeWithTheFewestChildren) {
  EXPECT_THAT(Reconcile({Child("a")}, {Node("n1", 2), Node("n2", 1)}, At(0)),
              ElementsAre(Start(0, "n2")));
}

TEST(ReconcilerTest, ATieGoesToTheSmallerName) {
  EXPECT_THAT(
      Reconcile({Child("a")}, {Node("n2"), Node("n1"), Node("n3")}, At(0)),
      ElementsAre(Start(0, "n1")));
}

TEST(ReconcilerTest, CountsTheStartsOfThisRound) {
  EXPECT_THAT(Reconcile({Down("a"), Down("b"), Down("c"), Down("d")},
                        {Node("n1", 1), Node("n2")}, At(0)),
              ElementsAre(Start(0, "n2"), Start(1, "n1"), Start(2, "n2"),
                          Start(3, "n1")));
}

TEST(ReconcilerTest, OnlyNodesWithTheTypeAreEligible) {
  EXPECT_THAT(
      Reconcile({Child("a")}, {Node("n1", 0, {"other"}), Node("n2", 9)}, At(0)),
      ElementsAre(Start(0, "n2")));
}

TEST(ReconcilerTest, AChildThatFitsNowhereIsPendingAndSaysWhy) {
  const auto actions =
      Reconcile({Child("a")}, {Node("n1", 0, {"other"})}, At(0));
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_EQ(actions[0].kind, Action::Kind::kPending);
  EXPECT_EQ(actions[0].why, "no node has the type 't'");
  EXPECT_EQ(Reconcile({Child("a")}, {}, At(0)).size(), 1u);
}

TEST(ReconcilerTest, ANameThatALivingNodeOwnsIsStartedThere) {
  EXPECT_THAT(Reconcile({Child("a", ChildPhase::kIdle, "n2")},
                        {Node("n1"), Node("n2", 9)}, At(0)),
              ElementsAre(Start(0, "n2")));
}

TEST(ReconcilerTest, WaitsOutTheBackoff) {
  ChildView child = Child("a");
  child.not_before = At(5);
  EXPECT_THAT(Reconcile({child}, {Node("n1")}, At(4)), IsEmpty());
  EXPECT_THAT(Reconcile({child}, {Node("n1")}, At(5)),
              ElementsAre(Start(0, "n1")));
}

TEST(ReconcilerTest, AFailedStopWaitsToo) {
  ChildView child = Child("a", ChildPhase::kRunning, "n1");
  child.wanted = false;
  child.not_before = At(5);
  EXPECT_THAT(Reconcile({child}, {Node("n1")}, At(4)), IsEmpty());
  EXPECT_THAT(Reconcile({child}, {Node("n1")}, At(5)),
              ElementsAre(Stop(0, "n1")));
}

TEST(ReconcilerTest, WhatRunsAsWantedIsLeftAlone) {
  EXPECT_THAT(Reconcile({Child("a", ChildPhase::kRunning, "n1"),
                         Child("b", ChildPhase::kStarting, "n1"),
                         Child("c", ChildPhase::kStopping, "n1"),
                         Child("d", ChildPhase::kEnded)},
                        {Node("n1"), Node("n2")}, At(0)),
              IsEmpty());
}

TEST(ReconcilerTest, AnOutdatedChildIsStoppedAndThenStarted) {
  ChildView child = Child("a", ChildPhase::kRunning, "n1");
  child.outdated = true;
  EXPECT_THAT(Reconcile({child}, {Node("n1")}, At(0)),
              ElementsAre(Stop(0, "n1")));
  EXPECT_THAT(Reconcile({Child("a")}, {Node("n1")}, At(0)),
              ElementsAre(Start(0, "n1")));
}

TEST(ReconcilerTest, StopsComeFirstAndInReverseOrder) {
  std::vector<ChildView> children = {Child("a", ChildPhase::kRunning, "n1"),
                                     Child("b"),
                                     Child("c", ChildPhase::kRunning, "n2")};
  children[0].wanted = false;
  children[2].wanted = false;
  EXPECT_THAT(Reconcile(children, {Node("n1")}, At(0)),
              ElementsAre(Stop(2, "n2"), Stop(0, "n1"), Start(1, "n1")));
}

TEST(ReconcilerTest, AnUnwantedChildThatDoesNotRunHasItsNameFreed) {
  ChildView owned = Child("a", ChildPhase::kIdle, "n1");
  owned.wanted = false;
  ChildView gone = Child("b");
  gone.wanted = false;
  EXPECT_THAT(Reconcile({owned, gone}, {Node("n1")}, At(0)),
              ElementsAre(Stop(0, "n1")));
}

TEST(ReconcilerTest, AnEndedChildHasItsNameFreed) {
  EXPECT_THAT(
      Reconcile({Child("a", ChildPhase::kEnded, "n1")}, {Node("n1")}, At(0)),
      ElementsAre(Stop(0, "n1")));
}

TEST(ReconcilerTest, PhasesHaveNames) {
  EXPECT_EQ(ChildPhaseName(ChildPhase::kIdle), "pending");
  EXPECT_EQ(ChildPhaseName(ChildPhase::kStarting), "starting");
  EXPECT_EQ(ChildPhaseName(ChildPhase::kRunning), "running");
  EXPECT_EQ(ChildPhaseName(ChildPhase::kStopping), "stopping");
  EXPECT_EQ(ChildPhaseName(ChildPhase::kEnded), "ended");
  EXPECT_EQ(ChildPhaseName(ChildPhase::kMoving), "moving");
}

// -- Order -------------------------------------------------------------------

TEST(ReconcilerTest, FirstStartsComeOneAfterTheOther) {
  EXPECT_THAT(Reconcile({Child("a"), Child("b")}, {Node("n1")}, At(0)),
              ElementsAre(Start(0, "n1")));
  EXPECT_THAT(Reconcile({Child("a", ChildPhase::kStarting, "n1"), Child("b")},
                        {Node("n1")}, At(0)),
              IsEmpty());
  EXPECT_THAT(Reconcile({Up("a"), Child("b")}, {Node("n1")}, At(0)),
              ElementsAre(Start(1, "n1")));
}

TEST(ReconcilerTest, AChildThatCannotStartHoldsUpNobodyInOneForOne) {
  ChildView failing = Child("a");
  failing.not_before = At(9);
  EXPECT_THAT(Reconcile({failing, Child("b")}, {Node("n1")}, At(0)),
              ElementsAre(Start(1, "n1")));
  ChildView misfit = Child("a");
  misfit.type = "other";
  const auto actions =
      Reconcile({misfit, Child("b")}, {Node("n1")}, At(0));
  ASSERT_EQ(actions.size(), 2u);
  EXPECT_EQ(actions[0].kind, Action::Kind::kPending);
  EXPECT_EQ(actions[1], Start(1, "n1"));
}

TEST(ReconcilerTest, WhatWasAddedWaitsForNobody) {
  std::vector<ChildView> children = {Child("a"), Child("b"), Child("c")};
  for (ChildView& child : children) child.dynamic = true;
  EXPECT_EQ(Reconcile(children, {Node("n1")}, At(0)).size(), 3u);
}

TEST(ReconcilerTest, AGroupStartsInOrderAlsoAgain) {
  for (const auto strategy :
       {store::v1::ONE_FOR_ALL, store::v1::REST_FOR_ONE}) {
    EXPECT_THAT(Reconcile({Down("a"), Down("b")}, {Node("n1")}, At(0),
                          Rules(strategy)),
                ElementsAre(Start(0, "n1")));
  }
  EXPECT_THAT(Reconcile({Down("a"), Down("b")}, {Node("n1"), Node("n2")},
                        At(0)),
              ElementsAre(Start(0, "n1"), Start(1, "n2")));
}

TEST(ReconcilerTest, InAGroupThoseAfterAChildThatIsStuckWaitAndSaySo) {
  ChildView stuck = Down("a");
  stuck.type = "other";
  const auto actions = Reconcile({stuck, Down("b")}, {Node("n1")}, At(0),
                                 Rules(store::v1::REST_FOR_ONE));
  ASSERT_EQ(actions.size(), 2u);
  EXPECT_EQ(actions[0].kind, Action::Kind::kPending);
  EXPECT_EQ(actions[1].kind, Action::Kind::kWait);
  EXPECT_EQ(actions[1].why, "waits for 'a', which comes before it");
}

TEST(ReconcilerTest, AGroupGoesDownInReverseOrderBeforeItStarts) {
  std::vector<ChildView> children = {Up("a"), Down("b"), Up("c"), Up("d")};
  for (const size_t i : {0, 2, 3}) children[i].taken_down = true;
  const TreeRules rules = Rules(store::v1::ONE_FOR_ALL);
  EXPECT_THAT(Reconcile(children, {Node("n1")}, At(0), rules),
              ElementsAre(Stop(3, "n1")));
  children[3].phase = ChildPhase::kStopping;
  EXPECT_THAT(Reconcile(children, {Node("n1")}, At(0), rules), IsEmpty());
  children[3] = Down("d");
  EXPECT_THAT(Reconcile(children, {Node("n1")}, At(0), rules),
              ElementsAre(Stop(2, "n1")));
  children[2] = Down("c");
  children[0] = Down("a");
  EXPECT_THAT(Reconcile(children, {Node("n1")}, At(0), rules),
              ElementsAre(Start(0, "n1")));
}

TEST(ReconcilerTest, ATreeShutsDownInReverseOrderWhatWasAddedAtOnce) {
  std::vector<ChildView> children = {Up("a"), Up("b"), Up("x"), Up("y")};
  children[2].dynamic = true;
  children[3].dynamic = true;
  for (ChildView& child : children) child.wanted = false;
  TreeRules rules;
  rules.shutting_down = true;
  EXPECT_THAT(Reconcile(children, {Node("n1")}, At(0), rules),
              ElementsAre(Stop(3, "n1"), Stop(2, "n1"), Stop(1, "n1")));
}

TEST(ReconcilerTest, WhatIsNotDecidedYetIsLeftAlone) {
  ChildView starting = Down("a");
  starting.deciding = true;
  ChildView stopping = Up("b");
  stopping.deciding = true;
  stopping.wanted = false;
  EXPECT_THAT(Reconcile({starting, stopping}, {Node("n1")}, At(0)), IsEmpty());
}

// -- Groups ------------------------------------------------------------------

TEST(ReconcilerTest, OneForOneTakesNobodyDown) {
  const GroupPlan plan =
      PlanGroup(store::v1::ONE_FOR_ONE, {Up("a"), Down("b"), Up("c")}, {1});
  EXPECT_THAT(plan.take_down, IsEmpty());
  EXPECT_THAT(plan.revive, IsEmpty());
}

TEST(ReconcilerTest, OneForAllTakesAllDown) {
  ChildView ended = Child("d", ChildPhase::kEnded);
  ChildView temporary = Child("e", ChildPhase::kEnded);
  temporary.temporary = true;
  const GroupPlan plan =
      PlanGroup(store::v1::ONE_FOR_ALL,
                {Up("a"), Down("b"), Up("c"), ended, temporary}, {1});
  EXPECT_THAT(plan.take_down, ElementsAre(0, 2));
  EXPECT_THAT(plan.revive, ElementsAre(3));
}

TEST(ReconcilerTest, RestForOneTakesThoseAfterTheFirstThatFailed) {
  const GroupPlan plan =
      PlanGroup(store::v1::REST_FOR_ONE,
                {Up("a"), Down("b"), Up("c"), Down("d"), Up("e")}, {3, 1});
  EXPECT_THAT(plan.take_down, ElementsAre(2, 4));
}

// -- Delays ------------------------------------------------------------------

TEST(ReconcilerTest, TheFirstRestartIsAtOnceThenDelaysGrow) {
  const absl::Duration period = absl::Minutes(10);
  EXPECT_EQ(RestartDelay(0, 10, period), absl::ZeroDuration());
  EXPECT_EQ(RestartDelay(1, 10, period), absl::ZeroDuration());
  EXPECT_EQ(RestartDelay(2, 10, period), absl::Milliseconds(100));
  EXPECT_EQ(RestartDelay(3, 10, period), absl::Milliseconds(200));
  EXPECT_EQ(RestartDelay(50, 10, period), absl::Seconds(5));
}

TEST(ReconcilerTest, TheDelaysOfAnIntensityAreAtMostHalfOfThePeriod) {
  for (const int seconds : {1, 5, 60}) {
    for (uint32_t intensity = 0; intensity < 50; ++intensity) {
      const absl::Duration period = absl::Seconds(seconds);
      absl::Duration sum;
      for (uint32_t i = 1; i <= intensity; ++i) {
        sum += RestartDelay(static_cast<int>(i), intensity, period);
      }
      EXPECT_LE(sum, period / 2);
    }
  }
}

// -- Limits and moves --------------------------------------------------------

TEST(ReconcilerTest, StartsAreLimitedForEachNode) {
  std::vector<ChildView> children;
  for (const char* id : {"a", "b", "c", "d", "e"}) {
    children.push_back(Down(id));
  }
  TreeRules rules;
  rules.starts_max = 2;
  MemberView busy = Node("n1");
  busy.in_flight = 1;
  EXPECT_THAT(Reconcile(children, {busy, Node("n2")}, At(0), rules),
              ElementsAre(Start(0, "n1"), Start(1, "n2"), Start(2, "n2")));
}

TEST(ReconcilerTest, ChildrenMoveAwayFromADrainingNodeAFewAtATime) {
  MemberView draining = Node("n1");
  draining.draining = true;
  TreeRules rules;
  rules.moves_max = 2;
  const auto actions = Reconcile(
      {Up("a"), Up("b"), Up("c"), Up("d", "n2")},
      {draining, Node("n2", 1), Node("n3")}, At(0), rules);
  ASSERT_EQ(actions.size(), 2u);
  EXPECT_EQ(actions[0], (Action{Action::Kind::kMove, 0, "n3", ""}));
  EXPECT_EQ(actions[1], (Action{Action::Kind::kMove, 1, "n2", ""}));
}

TEST(ReconcilerTest, AChildThatCannotMoveAwayStaysAndSaysWhy) {
  MemberView draining = Node("n1");
  draining.draining = true;
  const auto actions = Reconcile({Up("a")}, {draining}, At(0));
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_EQ(actions[0].kind, Action::Kind::kStay);
  EXPECT_EQ(actions[0].why, "no node fits: n1 draining");
}

TEST(ReconcilerTest, AMoveThatFailedWaits) {
  MemberView draining = Node("n1");
  draining.draining = true;
  ChildView child = Up("a");
  child.move_not_before = At(3);
  EXPECT_THAT(Reconcile({child}, {draining, Node("n2")}, At(2)), IsEmpty());
  EXPECT_EQ(Reconcile({child}, {draining, Node("n2")}, At(3)).size(), 1u);
}

TEST(ReconcilerTest, AnOperatorSaysWhereTo) {
  ChildView child = Up("a");
  child.move_to = "n3";
  EXPECT_THAT(Reconcile({child}, {Node("n1"), Node("n2"), Node("n3", 9)},
                        At(0)),
              ElementsAre(Action{Action::Kind::kMove, 0, "n3", ""}));
}

}  // namespace
}  // namespace muster
