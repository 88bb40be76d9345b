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

ChildView Child(std::string id, ChildPhase phase = ChildPhase::kIdle,
                std::string node = "") {
  ChildView child;
  child.id = std::move(id);
  child.type = "t";
  child.phase = phase;
  child.node = std::move(node);
  return child;
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
  EXPECT_THAT(Reconcile({Child("a"), Child("b"), Child("c"), Child("d")},
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
}

}  // namespace
}  // namespace muster
