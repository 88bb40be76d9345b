#include "node/peer/node_router.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/core/v1/core.pb.h"
#include "node/types/status.h"
#include "tests/testkit/sim_world.h"
#include "tests/unit/node/peer/test_net.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What the store says, to which a node's copy may be old; answers when the
// test lets it.
class StaleRegistry final : public NameRegistry {
 public:
  std::optional<NameEntry> WhereIs(absl::string_view name) const override {
    return copy.WhereIs(name);
  }
  void Resolve(
      absl::string_view name, Epoch above,
      absl::AnyInvocable<void(absl::StatusOr<NameEntry>)> done) override {
    ++resolves;
    last_above = above;
    held.emplace_back(std::string(name), std::move(done));
    if (!hold) Release();
  }
  void Release() {
    auto now = std::exchange(held, {});
    for (auto& [name, done] : now) {
      if (!error.ok()) {
        done(error);
      } else if (auto entry = store.WhereIs(name)) {
        copy.Put(*entry);
        done(*std::move(entry));
      } else {
        done(Error(absl::StatusCode::kNotFound, "NOPROC", "free").status());
      }
    }
  }
  void Confirm(absl::string_view name, const Pid& owner, Epoch epoch,
               absl::AnyInvocable<void(absl::Status)> done) override {
    store.Confirm(name, owner, epoch, std::move(done));
  }
  void ConfirmMember(const Pid& owner,
                     absl::AnyInvocable<void(absl::Status)> done) override {
    store.ConfirmMember(owner, std::move(done));
  }
  void Register(absl::string_view, const Pid&,
                absl::AnyInvocable<void(absl::StatusOr<Epoch>)>) override {}
  void Unregister(absl::string_view,
                  absl::AnyInvocable<void(absl::Status)>) override {}
  std::vector<NameEntry> List(absl::string_view) const override { return {}; }

  FakeNameRegistry copy;
  FakeNameRegistry store;
  absl::Status error;
  bool hold = false;
  size_t resolves = 0;
  Epoch last_above;
  std::vector<std::pair<std::string,
                        absl::AnyInvocable<void(absl::StatusOr<NameEntry>)>>>
      held;
};

class NodeRouterTest : public ::testing::Test {
 protected:
  NodeRouterTest()
      : a_(&world_, &net_, &directory_, "a", {1, 10}),
        b_(&world_, &net_, &directory_, "b", {1, 20}),
        c_(&world_, &net_, &directory_, "c", {1, 30}) {
    router_ =
        std::make_unique<NodeRouter>(&a_.runtime, &names_, a_.peers.get());
    a_.runtime.set_router(router_.get());
  }
  ~NodeRouterTest() override { a_.peers.reset(); }

  static NameEntry Entry(const std::string& name, const Pid& pid, Epoch epoch,
                         const std::string& supervisor = "") {
    NameEntry entry;
    entry.name = name;
    entry.pid = pid;
    entry.epoch = epoch;
    entry.supervisor = supervisor;
    return entry;
  }
  static void ExpectError(const std::optional<CallResult>& result,
                          absl::StatusCode code, const std::string& reason) {
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(result->status.code(), code) << result->status;
    EXPECT_EQ(ReasonOf(result->status), reason) << result->status;
    EXPECT_EQ(OutcomeOf(result->status), Outcome::kNotExecuted);
  }

  SimWorld world_{1};
  TestNet net_;
  TestDirectory directory_;
  StaleRegistry names_;
  TestNode a_;
  TestNode b_;
  TestNode c_;
  std::unique_ptr<NodeRouter> router_;
};

TEST_F(NodeRouterTest, NamesAreCalledWhereTheyAre) {
  names_.copy.Put(Entry("x", b_.StartGlobal("x", {1, 50}), {1, 50}));
  auto result = a_.Call("x", "Echo", "hi");
  a_.Cast("x", "note");
  a_.runtime.Send("x", Info(core::v1::Epoch()));
  world_.RunReady();
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ((*result)->reply.ToBytes(), "hi") << (*result)->status;
  EXPECT_EQ((*result)->epoch, (Epoch{1, 50}));
  EXPECT_THAT(b_.seen.casts, ElementsAre("note"));
  EXPECT_THAT(b_.seen.infos, ElementsAre("muster.core.v1.Epoch"));
  EXPECT_EQ(names_.resolves, 0u);
}

TEST_F(NodeRouterTest, AnUnknownNameIsLookedUpInTheStore) {
  names_.store.Put(Entry("x", b_.StartGlobal("x", {1, 50}), {1, 50}));
  auto result = a_.Call("x", "Echo", "hi");
  world_.RunReady();
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ((*result)->reply.ToBytes(), "hi") << (*result)->status;
  EXPECT_EQ(names_.resolves, 1u);
}

TEST_F(NodeRouterTest, AFreeNameIsNoprocAndSaysWhich) {
  auto result = a_.Call("nobody", "Echo", "hi");
  auto cast = a_.CastAndWait("nobody", "hi");
  world_.RunReady();
  ExpectError(*result, absl::StatusCode::kNotFound, "NOPROC");
  EXPECT_THAT(std::string((*result)->status.message()), HasSubstr("nobody"));
  EXPECT_THAT(std::string((*result)->status.message()), HasSubstr("muster "));
  EXPECT_EQ(ReasonOf(**cast), "NOPROC");
}

TEST_F(NodeRouterTest, BadNamesNeverReachTheStore) {
  auto result = a_.Call("../etc", "Echo", "hi");
  ExpectError(*result, absl::StatusCode::kInvalidArgument, "BAD_NAME");
  EXPECT_EQ(names_.resolves, 0u);
}

TEST_F(NodeRouterTest, AStoreThatCannotBeAskedIsUnavailable) {
  names_.error = absl::UnavailableError("the store is away");
  auto result = a_.Call("x", "Echo", "hi");
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ((*result)->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(OutcomeOf((*result)->status), Outcome::kNotExecuted);
}

TEST_F(NodeRouterTest, AMovedNameIsFollowed) {
  // The copy says b, where another epoch runs by now; the store says c.
  names_.copy.Put(Entry("x", b_.StartGlobal("x", {1, 50}), {1, 40}));
  names_.store.Put(Entry("x", c_.StartGlobal("x", {1, 60}), {1, 60}));
  auto result = a_.Call("x", "Echo", "hi");
  auto cast = a_.CastAndWait("x", "note");
  world_.RunReady();
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ((*result)->reply.ToBytes(), "hi") << (*result)->status;
  EXPECT_EQ((*result)->epoch, (Epoch{1, 60}));
  EXPECT_EQ(b_.seen.calls, 0u);
  EXPECT_EQ(c_.seen.calls, 1u);
  EXPECT_EQ(*cast, absl::OkStatus());
  EXPECT_THAT(c_.seen.casts, ElementsAre("note"));
  EXPECT_EQ(names_.last_above, (Epoch{1, 40}));
}

TEST_F(NodeRouterTest, ANameThatTheNodeDoesNotServeIsFollowed) {
  names_.copy.Put(Entry("x", Pid{"b", {1, 20}, 77}, {1, 40}));
  names_.store.Put(Entry("x", c_.StartGlobal("x", {1, 60}), {1, 60}));
  auto result = a_.Call("x", "Echo", "hi");
  world_.RunReady();
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ((*result)->reply.ToBytes(), "hi") << (*result)->status;
}

TEST_F(NodeRouterTest, ANameThatMovesHereIsServedHere) {
  names_.copy.Put(Entry("x", Pid{"b", {1, 20}, 77}, {1, 40}));
  names_.hold = true;
  auto result = a_.Call("x", "Echo", "hi");
  world_.RunReady();
  EXPECT_FALSE(result->has_value());
  names_.store.Put(Entry("x", a_.StartGlobal("x", {1, 60}), {1, 60}));
  names_.Release();
  world_.RunReady();
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ((*result)->reply.ToBytes(), "hi") << (*result)->status;
  EXPECT_EQ(a_.seen.calls, 1u);
}

TEST_F(NodeRouterTest, FourHopsThenItIsALoop) {
  const NameEntry wrong = Entry("x", Pid{"b", {1, 20}, 77}, {1, 40});
  names_.copy.Put(wrong);
  names_.store.Put(wrong);
  auto result = a_.Call("x", "Echo", "hi");
  world_.RunReady();
  ExpectError(*result, absl::StatusCode::kUnavailable, "ROUTING_LOOP");
  EXPECT_EQ(a_.peers->stats().frames_written, 4u);
}

TEST_F(NodeRouterTest, ARestartingNameSaysSo) {
  // There, and here.
  for (TestNode* node : {&b_, &a_}) {
    const Pid pid = node->StartGlobal("x", {1, 50});
    const NameEntry entry = Entry("x", pid, {1, 50}, "shop");
    names_.copy.Put(entry);
    node->names.Put(entry);
    world_.RunReady();
    node->runtime.SendExit(Pid(), pid, ExitReason::Kill());
    world_.RunReady();
    auto result = a_.Call("x", "Echo", "hi");
    auto cast = a_.CastAndWait("x", "hi");
    world_.RunReady();
    ExpectError(*result, absl::StatusCode::kUnavailable, "RESTARTING");
    EXPECT_EQ(RetryDelayOf((*result)->status), absl::Milliseconds(100));
    EXPECT_EQ(ReasonOf(**cast), "RESTARTING");
  }
}

TEST_F(NodeRouterTest, AnOutsideCallToANameThatRestartsIsHeld) {
  const Pid pid = b_.StartGlobal("x", {1, 50});
  const NameEntry before = Entry("x", pid, {1, 50}, "shop");
  names_.copy.Put(before);
  b_.names.Put(before);
  world_.RunReady();
  b_.runtime.SendExit(Pid(), pid, ExitReason::Kill());
  world_.RunReady();
  auto patient = a_.Call("x", "Echo", "hi", absl::Seconds(5));
  auto hasty = a_.Call("x", "Echo", "hi", absl::Milliseconds(300));
  world_.RunFor(absl::Milliseconds(290));
  // It says what it knows before its caller gives up.
  ExpectError(*hasty, absl::StatusCode::kUnavailable, "RESTARTING");
  EXPECT_EQ(OutcomeOf((*hasty)->status), Outcome::kNotExecuted);
  EXPECT_FALSE(patient->has_value());
  const Pid next = b_.StartGlobal("x", {1, 60});
  const NameEntry after = Entry("x", next, {1, 60}, "shop");
  names_.copy.Put(after);
  b_.names.Put(after);
  world_.RunFor(absl::Milliseconds(100));
  ASSERT_TRUE(patient->has_value());
  EXPECT_TRUE((*patient)->status.ok()) << (*patient)->status;
}

TEST_F(NodeRouterTest, ASupervisedNameRestartsAsLongAsItsRecordStands) {
  // Its node is back under a new epoch and does not serve it; the store has
  // nothing newer.
  for (const char* supervisor : {"shop", ""}) {
    names_.copy.Put(Entry("x", Pid{"b", {1, 20}, 77}, {1, 40}, supervisor));
    auto result = a_.Call("x", "Echo", "hi");
    auto cast = a_.CastAndWait("x", "hi");
    world_.RunReady();
    if (*supervisor != 0) {
      ExpectError(*result, absl::StatusCode::kUnavailable, "RESTARTING");
      EXPECT_EQ(ReasonOf(**cast), "RESTARTING");
    } else {
      ExpectError(*result, absl::StatusCode::kNotFound, "NOPROC");
      EXPECT_EQ(ReasonOf(**cast), "NOPROC");
    }
  }
}

TEST_F(NodeRouterTest, ADeadNameWithoutSupervisorIsNoproc) {
  names_.copy.Put(Entry("x", Pid{"a", {1, 10}, 77}, {1, 40}));
  auto here = a_.Call("x", "Echo", "hi");
  ExpectError(*here, absl::StatusCode::kNotFound, "NOPROC");
  const NameEntry there = Entry("y", Pid{"b", {1, 20}, 77}, {1, 40});
  names_.copy.Put(there);
  b_.names.Put(there);
  auto result = a_.Call("y", "Echo", "hi");
  world_.RunReady();
  ExpectError(*result, absl::StatusCode::kNotFound, "NOPROC");
}

TEST_F(NodeRouterTest, AHeldProcessTakesMessagesUnderAnyEpoch) {
  SpawnOptions spawn;
  spawn.global_name = "x";
  spawn.hold = true;
  const Pid pid = b_.Start(std::move(spawn));
  names_.copy.Put(Entry("x", pid, {1, 50}));
  auto result = a_.Call("x", "Echo", "hi");
  world_.RunReady();
  EXPECT_FALSE(result->has_value());
  b_.runtime.Release(pid, {1, 50});
  world_.RunReady();
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ((*result)->reply.ToBytes(), "hi") << (*result)->status;
}

TEST_F(NodeRouterTest, MessagesThatWaitForALookUpKeepTheirOrder) {
  names_.hold = true;
  std::vector<std::string> sent;
  for (int i = 0; i < 10; ++i) {
    sent.push_back(absl::StrCat(i));
    a_.Cast("x", sent.back());
  }
  const NameEntry entry = Entry("x", b_.StartGlobal("x", {1, 50}), {1, 50});
  names_.store.Put(entry);
  names_.copy.Put(entry);  // A watch was faster than the answer.
  for (int i = 10; i < 20; ++i) {
    sent.push_back(absl::StrCat(i));
    a_.Cast("x", sent.back());
  }
  EXPECT_EQ(names_.resolves, 1u);
  names_.Release();
  world_.RunReady();
  EXPECT_EQ(b_.seen.casts, sent);
}

TEST_F(NodeRouterTest, NothingOvertakesWhatWaitsByTheWayHere) {  // G9
  names_.hold = true;
  a_.Cast("x", "one");
  // The name has come here before the store has answered.
  const Pid here = a_.StartGlobal("x", {1, 50});
  names_.store.Put(Entry("x", here, {1, 50}));
  a_.Cast("x", "two");
  a_.runtime.Send("x", Info(core::v1::Epoch()));
  auto result = a_.Call("x", "Echo", "hi");
  world_.RunReady();
  EXPECT_THAT(a_.seen.casts, testing::IsEmpty());
  EXPECT_THAT(a_.seen.infos, testing::IsEmpty());
  EXPECT_FALSE(result->has_value());
  EXPECT_EQ(names_.resolves, 1u);
  names_.Release();
  world_.RunReady();
  EXPECT_THAT(a_.seen.casts, ElementsAre("one", "two"));
  EXPECT_THAT(a_.seen.infos, ElementsAre("muster.core.v1.Epoch"));
  ASSERT_TRUE(result->has_value());
  EXPECT_TRUE((*result)->status.ok()) << (*result)->status;
  // Nobody waits any more: the short way again.
  a_.Cast("x", "three");
  world_.RunReady();
  EXPECT_THAT(a_.seen.casts, ElementsAre("one", "two", "three"));
  EXPECT_EQ(names_.resolves, 1u);
}

TEST_F(NodeRouterTest, AnEpochSeenWhileWaitingIsAskedForInTurn) {  // G5, G9
  names_.hold = true;
  a_.Cast("x", "one");
  names_.store.Put(Entry("x", b_.StartGlobal("x", {1, 50}), {1, 50}));
  // The name has moved since, which a message of its new owner tells.
  const Pid here = a_.Start();
  Meta meta;
  meta.sender_name = "x";
  meta.sender_epoch = Epoch{1, 60};
  c_.peers->SendInfo("a", here, Info(core::v1::Epoch()), meta);
  world_.RunReady();
  ASSERT_EQ(a_.peers->Seen("x"), (Epoch{1, 60}));
  names_.Release();
  world_.RunReady();
  EXPECT_EQ(names_.resolves, 2u);
  EXPECT_EQ(names_.last_above, (Epoch{1, 59}));
  a_.Cast("x", "two");  // Waits behind the first.
  names_.store.Put(Entry("x", c_.StartGlobal("x", {1, 60}), {1, 60}));
  names_.Release();
  world_.RunReady();
  EXPECT_THAT(b_.seen.casts, testing::IsEmpty());
  EXPECT_THAT(c_.seen.casts, ElementsAre("one", "two"));
}

TEST_F(NodeRouterTest, WhoWantsTooMuchDeniesOthersNothing) {  // guarantees G5
  names_.hold = true;
  auto result = std::make_shared<std::optional<CallResult>>();
  Request request(ServerRef::Global("x"), "/t.T/Echo",
                  Payload::FromBytes("hi"));
  request.meta.min_epoch = Epoch{1, 99};  // No such epoch ever was.
  a_.runtime.StartCall(std::move(request), [result](CallResult r) {
    result->emplace(std::move(r));
  });
  a_.Cast("x", "one");
  names_.Release();  // NOT_FOUND: nothing above 98.
  ExpectError(*result, absl::StatusCode::kNotFound, "NOPROC");
  EXPECT_EQ(names_.resolves, 2u);
  EXPECT_EQ(names_.last_above, Epoch());
  names_.store.Put(Entry("x", b_.StartGlobal("x", {1, 50}), {1, 50}));
  names_.Release();
  world_.RunReady();
  EXPECT_THAT(b_.seen.casts, ElementsAre("one"));
}

TEST_F(NodeRouterTest, WhatALookUpLosesIsCounted) {  // guarantees G9
  names_.error = absl::UnavailableError("gone");
  std::vector<std::string> lost;
  router_->OnLost([&lost](const ServerRef& target, const Info&) {
    lost.push_back(target.ToString());
  });
  const uint64_t before = a_.peers->stats().signals_dropped;
  a_.runtime.Send(ServerRef::Global("x"), Info(core::v1::Epoch()));
  world_.RunReady();
  EXPECT_THAT(lost, ElementsAre(ServerRef::Global("x").ToString()));
  EXPECT_EQ(a_.peers->stats().signals_dropped, before + 1);
}

TEST_F(NodeRouterTest, ADeadlineHoldsWhileLookingUp) {
  names_.hold = true;
  auto result = a_.Call("x", "Echo", "hi", absl::Milliseconds(300));
  world_.RunFor(absl::Milliseconds(400));
  ExpectError(*result, absl::StatusCode::kDeadlineExceeded, "TIMEOUT");
  names_.store.Put(Entry("x", b_.StartGlobal("x", {1, 50}), {1, 50}));
  names_.Release();
  world_.RunReady();
  EXPECT_EQ(b_.seen.calls, 0u);
}

TEST_F(NodeRouterTest, ATimeoutAfterTheRequestLeftIsUnknown) {
  names_.copy.Put(Entry("x", b_.StartGlobal("x", {1, 50}), {1, 50}));
  auto result = a_.Call("x", "Hang", "hi", absl::Milliseconds(300));
  world_.RunFor(absl::Milliseconds(400));
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ(ReasonOf((*result)->status), "TIMEOUT");
  EXPECT_EQ(OutcomeOf((*result)->status), Outcome::kUnknown);
}

TEST_F(NodeRouterTest, NothingElseIsSentTwice) {
  names_.copy.Put(Entry("x", b_.StartGlobal("x", {1, 50}), {1, 50}));
  names_.store.Put(Entry("x", c_.StartGlobal("x", {1, 60}), {1, 60}));
  auto result = a_.Call("x", "Die", "hi");
  world_.RunReady();
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ(ReasonOf((*result)->status), "CALLEE_EXITED");
  EXPECT_EQ(c_.seen.calls, 0u);
  EXPECT_EQ(names_.resolves, 0u);
}

TEST_F(NodeRouterTest, PidsOfEarlierIncarnationsOfThisNodeAreGone) {
  auto result = a_.Call(Pid{"a", {1, 9}, 1}, "Echo", "x");
  ExpectError(*result, absl::StatusCode::kNotFound, "NOPROC");
}

TEST_F(NodeRouterTest, WhatAsksForNoAnswerFollowsTheName) {  // R9, G9
  names_.copy.Put(Entry("x", b_.StartGlobal("x", {1, 50}), {1, 40}));
  names_.store.Put(Entry("x", c_.StartGlobal("x", {1, 60}), {1, 60}));
  a_.Cast("x", "one");
  a_.runtime.Send("x", Info(core::v1::Epoch()));
  a_.Cast("x", "two");
  world_.RunReady();
  EXPECT_THAT(b_.seen.casts, testing::IsEmpty());
  EXPECT_THAT(c_.seen.casts, ElementsAre("one", "two"));
  EXPECT_THAT(c_.seen.infos, ElementsAre("muster.core.v1.Epoch"));
  EXPECT_EQ(a_.peers->stats().rerouted, 3u);
  EXPECT_EQ(a_.peers->stats().reroutes_lost, 0u);
}

TEST_F(NodeRouterTest, ItIsNotPutBehindSomethingLater) {  // guarantees G9
  names_.copy.Put(Entry("x", b_.StartGlobal("x", {1, 50}), {1, 40}));
  a_.Cast("x", "one");
  names_.copy.Put(Entry("x", c_.StartGlobal("x", {1, 60}), {1, 60}));
  a_.Cast("x", "two");
  world_.RunReady();
  EXPECT_THAT(c_.seen.casts, ElementsAre("two"));
  EXPECT_EQ(a_.peers->stats().rerouted, 0u);
  EXPECT_EQ(a_.peers->stats().reroutes_lost, 1u);
}

TEST_F(NodeRouterTest, NorBehindWhatWaitedBeforeItOrIsHere) {  // G9
  names_.copy.Put(Entry("x", b_.StartGlobal("x", {1, 50}), {1, 40}));
  a_.Cast("x", "one");
  const Pid here = a_.StartGlobal("x", {1, 60});
  names_.store.Put(Entry("x", here, {1, 60}));
  a_.Cast("x", "two");
  world_.RunReady();
  EXPECT_THAT(a_.seen.casts, ElementsAre("two"));
  EXPECT_EQ(a_.peers->stats().reroutes_lost, 1u);
}

TEST_F(NodeRouterTest, NorBehindWhatThisNodeHasServedMeanwhile) {  // G9
  names_.copy.Put(Entry("x", b_.StartGlobal("x", {1, 50}), {1, 40}));
  a_.Cast("x", "one");
  // The name was here for a while; nothing of that went through the router.
  const Pid here = a_.StartGlobal("x", {1, 60});
  a_.Cast("x", "two");
  world_.PauseLane(*b_.lane);
  world_.RunReady();
  EXPECT_THAT(a_.seen.casts, ElementsAre("two"));
  a_.runtime.SendExit(Pid(), here, ExitReason::Kill());
  world_.RunReady();
  ASSERT_TRUE(a_.runtime.WhereIsGlobal("x").empty());
  names_.store.Put(Entry("x", c_.StartGlobal("x", {1, 70}), {1, 70}));
  world_.ResumeLane(*b_.lane);
  world_.RunReady();
  EXPECT_THAT(c_.seen.casts, testing::IsEmpty());
  EXPECT_EQ(a_.peers->stats().rerouted, 0u);
  EXPECT_EQ(a_.peers->stats().reroutes_lost, 1u);
}

TEST_F(NodeRouterTest, NorSentOnWhenWhatFollowedItIsLost) {  // guarantees G9
  names_.copy.Put(Entry("x", b_.StartGlobal("x", {1, 50}), {1, 40}));
  names_.store.Put(Entry("x", c_.StartGlobal("x", {1, 60}), {1, 60}));
  names_.hold = true;
  a_.Cast("x", "one");
  world_.RunReady();
  ASSERT_EQ(names_.resolves, 1u);
  a_.peers->NodeDied("b", {1, 20});
  world_.RunReady();
  names_.Release();
  world_.RunReady();
  EXPECT_THAT(c_.seen.casts, testing::IsEmpty());
  EXPECT_EQ(a_.peers->stats().rerouted, 0u);
  EXPECT_EQ(a_.peers->stats().reroutes_lost, 1u);
}

TEST_F(NodeRouterTest, ItIsSentOnOnlyOnce) {
  names_.copy.Put(Entry("x", b_.StartGlobal("x", {1, 50}), {1, 40}));
  names_.store.Put(Entry("x", c_.StartGlobal("x", {1, 70}), {1, 60}));
  a_.Cast("x", "one");
  world_.RunReady();
  EXPECT_EQ(a_.peers->stats().rerouted, 1u);
  EXPECT_EQ(a_.peers->stats().reroutes_lost, 1u);
  EXPECT_THAT(c_.seen.casts, testing::IsEmpty());
}

TEST_F(NodeRouterTest, AClientNeverGoesBackBelowWhatItHasSeen) {  // G5
  names_.copy.Put(Entry("x", b_.StartGlobal("x", {1, 40}), {1, 40}));
  names_.store.Put(Entry("x", c_.StartGlobal("x", {1, 60}), {1, 60}));
  const auto call = [&](Epoch seen) {
    auto result = std::make_shared<std::optional<CallResult>>();
    Request request(ServerRef::Global("x"), "/t.T/Echo",
                    Payload::FromBytes("hi"));
    request.meta.min_epoch = seen;
    a_.runtime.StartCall(std::move(request), [result](CallResult r) {
      result->emplace(std::move(r));
    });
    world_.RunReady();
    return result;
  };
  EXPECT_EQ((*call({1, 40}))->epoch, (Epoch{1, 40}));
  EXPECT_EQ((*call({1, 55}))->epoch, (Epoch{1, 60}));
  EXPECT_EQ(b_.seen.calls, 1u);
  ExpectError(*call({1, 61}), absl::StatusCode::kAborted, "FENCED");
  EXPECT_EQ(c_.seen.calls, 1u);
}

TEST_F(NodeRouterTest, NorDoesANode) {  // guarantees G5
  names_.copy.Put(Entry("x", b_.StartGlobal("x", {1, 40}), {1, 40}));
  names_.store.Put(Entry("x", c_.StartGlobal("x", {1, 60}), {1, 60}));
  const Pid here = a_.Start();
  Meta meta;
  meta.sender_name = "x";
  meta.sender_epoch = Epoch{1, 60};
  c_.peers->SendInfo("a", here, Info(core::v1::Epoch()), meta);
  world_.RunReady();
  // The node's copy of the names has not heard of it yet.
  EXPECT_EQ(names_.copy.WhereIs("x")->epoch, (Epoch{1, 40}));
  EXPECT_EQ(a_.peers->Seen("x"), (Epoch{1, 60}));
  auto result = a_.Call("x", "Echo", "hi");
  world_.RunReady();
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ((*result)->epoch, (Epoch{1, 60})) << (*result)->status;
  EXPECT_EQ(b_.seen.calls, 0u);
}

}  // namespace
}  // namespace muster
