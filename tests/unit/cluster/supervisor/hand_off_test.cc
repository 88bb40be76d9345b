// A child moves from node to node with its state while it is called.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/supervisor/env.h"
#include "examples/counter/counter.muster.server.h"
#include "google/protobuf/wrappers.pb.h"
#include "gtest/gtest.h"
#include "muster/cluster/v1/cluster.pb.h"
#include "muster/store/v1/store.pb.h"
#include "node/gen_server/server_type.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/testkit/sim_cluster.h"

namespace muster {
namespace {

using cluster::v1::MoveChildRequest;
using cluster::v1::MoveChildResponse;
using counter::v1::CounterOptions;
using counter::v1::CounterValue;
using counter::v1::DecrementRequest;
using counter::v1::GetValueRequest;
using counter::v1::IncrementRequest;
using counter::v1::ResetRequest;
using google::protobuf::Int64Value;

constexpr absl::string_view kMove = "/muster.cluster.v1.Agent/MoveChild";
constexpr absl::string_view kIncrement = "/counter.v1.Counter/Increment";
constexpr absl::string_view kDecrement = "/counter.v1.Counter/Decrement";
constexpr absl::string_view kGetValue = "/counter.v1.Counter/GetValue";

// What the servers of a test have done and shall do.
struct Probe {
  int inits = 0;
  int snapshots = 0;
  int restores = 0;
  std::vector<int64_t> infos;
  std::vector<std::string> terminated;
  bool refuse_restore = false;
  // A deferred reply: given by the next Increment.
  std::optional<From> owed;
  absl::Duration init_takes;
};

// Increment adds; Decrement answers only at the next Increment; a call whose
// `by` is 7 takes 300 ms.
class Plain : public counter::v1::CounterServer {
 public:
  explicit Plain(std::shared_ptr<Probe> probe) : probe_(std::move(probe)) {}

  InitResult Init(const CounterOptions& options, Context& self) override {
    ++probe_->inits;
    EXPECT_TRUE(self.fencing_token().ok());
    value_ = options.initial_value();
    self.TrapExit(true);
    if (probe_->init_takes > absl::ZeroDuration()) {
      static_cast<void>(co_await self.Sleep(probe_->init_takes));
    }
    co_return Ok();
  }
  Reply<CounterValue> Increment(const IncrementRequest& request,
                                Context& self) override {
    if (request.by() == 7) {
      static_cast<void>(co_await self.Sleep(absl::Milliseconds(300)));
    }
    value_ += request.by();
    if (probe_->owed.has_value()) {
      probe_->owed->Reply(Value());
      probe_->owed.reset();
    }
    co_return Value();
  }
  Reply<CounterValue> Decrement(const DecrementRequest&,
                                Context& self) override {
    probe_->owed = self.from();
    return NoReply();
  }
  Reply<CounterValue> GetValue(const GetValueRequest&, Context&) override {
    return Value();
  }
  Next Reset(const ResetRequest&, Context&) override {
    value_ = 0;
    return NoReply();
  }
  Next HandleInfo(Info info, Context&) override {
    if (const auto* number = info.As<Int64Value>()) {
      probe_->infos.push_back(number->value());
    }
    return NoReply();
  }
  Next Terminate(const ExitReason& reason, Context& self) override {
    probe_->terminated.push_back(
        absl::StrCat(self.node(), " ", reason.ToString()));
    return NoReply();
  }

 protected:
  CounterValue Value() const {
    CounterValue value;
    value.set_value(value_);
    return value;
  }

  const std::shared_ptr<Probe> probe_;
  int64_t value_ = 0;
};

class Movable final : public Plain {
 public:
  using Plain::Plain;
  absl::StatusOr<Payload> Snapshot(Context&) override {
    ++probe_->snapshots;
    return Payload::Of(Value());
  }
  absl::Status Restore(Payload state, Context&) override {
    if (probe_->refuse_restore) return absl::InternalError("not here");
    const CounterValue* const value = state.As<CounterValue>();
    if (value == nullptr) return absl::InvalidArgumentError("another type");
    ++probe_->restores;
    value_ = value->value();
    return absl::OkStatus();
  }
};

class HandOffTest : public testing::Test {
 protected:
  HandOffTest() : probe_(std::make_shared<Probe>()), cluster_(7, 3, Options()) {
    cluster_.StartAll();
  }

  template <typename T>
  ServerTypeInfo Type(absl::string_view name) {
    return ServerType<T>(name,
                         [probe = probe_]() -> std::unique_ptr<GenServer> {
                           return std::make_unique<T>(probe);
                         });
  }

  SimClusterOptions Options() {
    SimClusterOptions options;
    options.types_of = [this](int node) {
      std::vector<ServerTypeInfo> types = {Type<Movable>("movable"),
                                           Type<Plain>("plain")};
      if (node != 2) types.push_back(Type<Movable>("rare"));
      return types;
    };
    return options;
  }

  // One child "s_a" of the type; returns where it runs.
  int Start(absl::string_view type) {
    EXPECT_TRUE(cluster_.Apply(0, MakeManifest("s", type, {"a"})).ok());
    EXPECT_TRUE(cluster_.AwaitChild(0, "s", "a", "running"));
    return cluster_.LivingOwnerOf("s_a");
  }
  int Other(int node) const { return (node + 1) % 3; }

  MoveChildRequest Order(int to) {
    MoveChildRequest request;
    request.mutable_order()->set_supervisor("s");
    const auto owner = cluster_.OwnerOf(SupervisorName("s"));
    *request.mutable_order()->mutable_epoch() = owner->epoch.ToProto();
    request.set_child("a");
    request.set_to_node(SimCluster::NodeName(to));
    return request;
  }
  void StartMove(int from, int to,
                 std::shared_ptr<std::optional<CallResult>> result) {
    CallOptions options;
    options.timeout = absl::Seconds(20);
    cluster_.StartCall(from,
                       ServerRef::Local(kAgentName, SimCluster::NodeName(from)),
                       kMove, Payload::Of(Order(to)), options,
                       [result](CallResult r) { *result = std::move(r); });
  }
  absl::StatusOr<MoveChildResponse> Move(int from, int to) {
    auto result = std::make_shared<std::optional<CallResult>>();
    StartMove(from, to, result);
    cluster_.RunUntil([&] { return result->has_value(); });
    if (!result->has_value()) return absl::InternalError("never answered");
    if (!(*result)->status.ok()) return (*result)->status;
    return std::move(*(*result)->reply.Take<MoveChildResponse>());
  }

  absl::StatusOr<int64_t> Increment(int via, int64_t by) {
    IncrementRequest request;
    request.set_by(by);
    const auto value =
        cluster_.Call<CounterValue>(via, "s_a", kIncrement, request);
    if (!value.ok()) return value.status();
    return value->value();
  }
  int64_t ValueAt(int via) {
    const auto value =
        cluster_.Call<CounterValue>(via, "s_a", kGetValue, GetValueRequest());
    EXPECT_TRUE(value.ok()) << value.status();
    return value.ok() ? value->value() : -1;
  }

  std::vector<store::v1::EventRecord> Events(absl::string_view kind) {
    std::vector<store::v1::EventRecord> events;
    for (const KeyValue& item :
         cluster_.store().state().List(cluster_.keys().EventPrefix()).items) {
      store::v1::EventRecord event;
      EXPECT_TRUE(event.ParseFromString(item.value));
      if (event.kind() == kind) events.push_back(event);
    }
    return events;
  }

  const std::shared_ptr<Probe> probe_;
  SimCluster cluster_;
};

TEST_F(HandOffTest, AChildMovesWithItsStateUnderANewEpoch) {
  const int from = Start("movable");
  const int to = Other(from);
  ASSERT_TRUE(Increment(0, 5).ok());
  const auto before = cluster_.OwnerOf("s_a");
  const Pid old = cluster_.node(from).runtime().WhereIsGlobal("s_a");
  auto ended = std::make_shared<std::optional<ExitReason>>();
  cluster_.node(from).runtime().ObserveExit(
      old, [ended](ExitReason reason) { *ended = std::move(reason); });

  const auto moved = Move(from, to);
  ASSERT_TRUE(moved.ok()) << moved.status();
  EXPECT_EQ(moved->node(), SimCluster::NodeName(to));
  EXPECT_TRUE(moved->with_state());
  const auto after = cluster_.OwnerOf("s_a");
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), to);
  EXPECT_GT(after->epoch, before->epoch);
  EXPECT_EQ(Epoch::FromProto(moved->epoch()), after->epoch);
  EXPECT_EQ(moved->instance(), after->record.instance());
  EXPECT_NE(after->record.instance(), before->record.instance());
  ASSERT_TRUE(ended->has_value());
  EXPECT_EQ((*ended)->ToString(), "shutdown(moved)");
  EXPECT_TRUE(probe_->terminated.empty());
  for (int via = 0; via < 3; ++via) EXPECT_EQ(ValueAt(via), 5);
  EXPECT_EQ(*Increment(2, 2), 7);

  const auto events = Events("child.moved");
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].from_node(), SimCluster::NodeName(from));
  EXPECT_EQ(events[0].to_node(), SimCluster::NodeName(to));
  EXPECT_EQ(events[0].name(), "s_a");
  // Nobody took it for a failure.
  cluster_.RunFor(absl::Seconds(5));
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), to);
  EXPECT_EQ(probe_->inits, 2);
}

TEST_F(HandOffTest, NoCallFailsAndNoneIsLostWhileItMovesAgainAndAgain) {
  int at = Start("movable");
  int sent = 0;
  std::vector<int64_t> values;
  std::vector<std::string> failures;
  const auto call = [&](int via) {
    ++sent;
    IncrementRequest request;
    request.set_by(1);
    CallOptions options;
    options.timeout = absl::Seconds(5);
    cluster_.StartCall(
        via, "s_a", kIncrement, Payload::Of(request), options,
        [&](CallResult result) {
          if (!result.status.ok()) {
            failures.push_back(result.status.ToString());
            return;
          }
          values.push_back(result.reply.Take<CounterValue>()->value());
        });
  };
  int moves = 0;
  for (int round = 0; round < 40; ++round) {
    const int to = (at + 1 + round % 2) % 3;
    auto result = std::make_shared<std::optional<CallResult>>();
    StartMove(at, to, result);
    while (!result->has_value()) {
      for (int via = 0; via < 3; ++via) call(via);
      cluster_.RunFor(absl::Milliseconds(1));
    }
    if (ReasonOf((*result)->status) == "CHILD_BUSY") continue;
    ASSERT_TRUE((*result)->status.ok()) << (*result)->status;
    ++moves;
    at = to;
  }
  EXPECT_GT(moves, 10);
  cluster_.RunFor(absl::Seconds(6));
  EXPECT_TRUE(failures.empty()) << failures.size() << ": " << failures[0];
  ASSERT_EQ(values.size(), static_cast<size_t>(sent));
  // Each increment ran once.
  std::sort(values.begin(), values.end());
  for (int i = 0; i < sent; ++i)
    EXPECT_EQ(values[static_cast<size_t>(i)], i + 1);
  EXPECT_GT(sent, 200);
}

TEST_F(HandOffTest, InfosOfASenderArriveOnceThroughAMove) {
  int at = Start("movable");
  int64_t sent = 0;
  for (int round = 0; round < 6; ++round) {
    const int to = Other(at);
    auto result = std::make_shared<std::optional<CallResult>>();
    StartMove(at, to, result);
    while (!result->has_value()) {
      Int64Value number;
      number.set_value(++sent);
      cluster_.node(2).runtime().Send("s_a", Info(Payload::Of(number)));
      cluster_.RunFor(absl::Milliseconds(1));
    }
    at = to;
  }
  cluster_.RunFor(absl::Seconds(1));
  ASSERT_EQ(probe_->infos.size(), static_cast<size_t>(sent));
  std::vector<int64_t> sorted = probe_->infos;
  std::sort(sorted.begin(), sorted.end());
  for (int64_t i = 0; i < sent; ++i) {
    EXPECT_EQ(sorted[static_cast<size_t>(i)], i + 1);
  }
}

TEST_F(HandOffTest, WhatIsHandledAndWhatIsOwedIsFinishedFirst) {
  const int from = Start("movable");
  std::vector<std::string> answers;
  const auto call = [&](absl::string_view path, Payload request) {
    CallOptions options;
    options.timeout = absl::Seconds(5);
    cluster_.StartCall(
        2, "s_a", path, std::move(request), options,
        [&, path](CallResult result) {
          answers.push_back(absl::StrCat(
              path, " ",
              result.status.ok()
                  ? absl::StrCat(result.reply.Take<CounterValue>()->value())
                  : result.status.ToString()));
        });
  };
  call(kDecrement, Payload::Of(DecrementRequest()));
  IncrementRequest slow;
  slow.set_by(7);
  call(kIncrement, Payload::Of(slow));
  cluster_.RunFor(absl::Milliseconds(50));
  const auto moved = Move(from, Other(from));
  ASSERT_TRUE(moved.ok()) << moved.status();
  EXPECT_EQ(answers,
            (std::vector<std::string>{absl::StrCat(kDecrement, " 7"),
                                      absl::StrCat(kIncrement, " 7")}));
  EXPECT_EQ(ValueAt(0), 7);
}

TEST_F(HandOffTest, AReplyThatIsOwedForTooLongEndsUnknown) {
  const int from = Start("movable");
  absl::Status answer;
  CallOptions options;
  options.timeout = absl::Seconds(10);
  cluster_.StartCall(2, "s_a", kDecrement, Payload::Of(DecrementRequest()),
                     options,
                     [&](CallResult result) { answer = result.status; });
  cluster_.RunFor(absl::Milliseconds(50));
  const auto moved = Move(from, Other(from));
  ASSERT_TRUE(moved.ok()) << moved.status();
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_EQ(ReasonOf(answer), "CALLEE_EXITED") << answer;
  EXPECT_EQ(OutcomeOf(answer), Outcome::kUnknown);
}

TEST_F(HandOffTest, ATypeThatTheTargetLacksStaysWithItsState) {
  const int from = Start("rare");
  ASSERT_NE(from, 2);
  ASSERT_TRUE(Increment(2, 3).ok());
  const Pid pid = cluster_.node(from).runtime().WhereIsGlobal("s_a");
  const auto moved = Move(from, 2);
  EXPECT_EQ(ReasonOf(moved.status()), "UNKNOWN_TYPE") << moved.status();
  EXPECT_EQ(cluster_.node(from).runtime().WhereIsGlobal("s_a"), pid);
  EXPECT_EQ(*Increment(2, 1), 4);
  EXPECT_EQ(probe_->inits, 1);
}

TEST_F(HandOffTest, AStateThatIsNotTakenComesBack) {
  const int from = Start("movable");
  ASSERT_TRUE(Increment(2, 3).ok());
  const Pid pid = cluster_.node(from).runtime().WhereIsGlobal("s_a");
  const auto before = cluster_.OwnerOf("s_a");
  probe_->refuse_restore = true;
  const auto moved = Move(from, Other(from));
  EXPECT_EQ(ReasonOf(moved.status()), "RESTORE_FAILED") << moved.status();
  const auto after = cluster_.OwnerOf("s_a");
  EXPECT_EQ(after->record.instance(), before->record.instance());
  EXPECT_GT(after->epoch, before->epoch);
  EXPECT_EQ(cluster_.node(from).runtime().WhereIsGlobal("s_a"), pid);
  for (int via = 0; via < 3; ++via) EXPECT_EQ(ValueAt(via), 3);
  // And it can be moved later.
  probe_->refuse_restore = false;
  cluster_.RunFor(absl::Seconds(3));
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), from);
  ASSERT_TRUE(Move(from, Other(from)).ok());
  EXPECT_EQ(ValueAt(0), 3);
}

TEST_F(HandOffTest, ATargetThatDiesBeforeItClaimsLeavesItWhereItIs) {
  const int from = Start("movable");
  const int to = Other(from);
  ASSERT_TRUE(Increment(0, 3).ok());
  cluster_.store().Disconnect(cluster_.store_client(to));
  auto result = std::make_shared<std::optional<CallResult>>();
  StartMove(from, to, result);
  cluster_.RunFor(absl::Milliseconds(200));
  cluster_.KillNode(to);
  cluster_.RunUntil([&] { return result->has_value(); });
  ASSERT_TRUE(result->has_value());
  EXPECT_FALSE((*result)->status.ok());
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), from);
  EXPECT_EQ(ValueAt(from), 3);
}

TEST_F(HandOffTest, ATargetThatIsSlowAfterItsClaimGetsItAllTheSame) {
  const int from = Start("movable");
  const int to = Other(from);
  ASSERT_TRUE(Increment(0, 3).ok());
  probe_->init_takes = absl::Seconds(6);
  const auto moved = Move(from, to);
  ASSERT_TRUE(moved.ok()) << moved.status();
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), to);
  cluster_.RunFor(absl::Seconds(6));
  EXPECT_EQ(ValueAt(from), 3);
}

TEST_F(HandOffTest, ASourceThatDiesAfterTheClaimLeavesItAtTheTarget) {
  const int from = Start("movable");
  const int to = Other(from);
  ASSERT_TRUE(Increment(to, 3).ok());
  auto result = std::make_shared<std::optional<CallResult>>();
  StartMove(from, to, result);
  ASSERT_TRUE(
      cluster_.RunUntil([&] { return cluster_.LivingOwnerOf("s_a") == to; }));
  cluster_.KillNode(from);
  cluster_.RunFor(absl::Seconds(8));
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), to);
  EXPECT_EQ(ValueAt(to), 3);
  EXPECT_EQ(probe_->inits, 2);
}

TEST_F(HandOffTest, AServerWithoutSnapshotEndsAndBeginsAnewAndNoCallFails) {
  const int from = Start("plain");
  const int to = Other(from);
  ASSERT_TRUE(Increment(0, 3).ok());
  int answered = 0;
  std::vector<std::string> failures;
  int sent = 0;
  auto result = std::make_shared<std::optional<CallResult>>();
  StartMove(from, to, result);
  while (!result->has_value()) {
    for (int via = 0; via < 3; ++via) {
      ++sent;
      CallOptions options;
      options.timeout = absl::Seconds(5);
      cluster_.StartCall(via, "s_a", kGetValue, Payload::Of(GetValueRequest()),
                         options, [&](CallResult r) {
                           ++answered;
                           if (!r.status.ok()) {
                             failures.push_back(r.status.ToString());
                           }
                         });
    }
    cluster_.RunFor(absl::Milliseconds(1));
  }
  ASSERT_TRUE((*result)->status.ok()) << (*result)->status;
  EXPECT_FALSE((*result)->reply.Take<MoveChildResponse>()->with_state());
  cluster_.RunFor(absl::Seconds(6));
  EXPECT_EQ(answered, sent);
  EXPECT_TRUE(failures.empty()) << failures[0];
  EXPECT_EQ(probe_->terminated,
            (std::vector<std::string>{
                absl::StrCat(SimCluster::NodeName(from), " shutdown(moved)")}));
  EXPECT_EQ(ValueAt(0), 0);
}

TEST_F(HandOffTest, AnOrderOfAnOldSupervisorIsRefused) {
  const int from = Start("movable");
  MoveChildRequest order = Order(Other(from));
  order.mutable_order()->mutable_epoch()->set_revision(1);
  const auto moved = cluster_.Call<MoveChildResponse>(
      from, ServerRef::Local(kAgentName, SimCluster::NodeName(from)), kMove,
      order);
  EXPECT_EQ(ReasonOf(moved.status()), "FENCED") << moved.status();
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), from);
}

TEST_F(HandOffTest, WhatCannotMoveSaysWhy) {
  const int from = Start("movable");
  EXPECT_EQ(ReasonOf(Move(from, from).status()), "BAD_TARGET");
  EXPECT_EQ(ReasonOf(Move(Other(from), from).status()), "NO_CHILD");
  cluster_.KillNode(Other(from));
  cluster_.RunFor(absl::Seconds(6));
  EXPECT_EQ(ReasonOf(Move(from, Other(from)).status()), "BAD_TARGET");
  EXPECT_EQ(ValueAt(from), 0);
}

TEST_F(HandOffTest, AMonitorOfTheNameHearsThatItMoved) {
  const int from = Start("movable");
  const int to = Other(from);
  Runtime& runtime = cluster_.node(to).runtime();
  auto ended = std::make_shared<std::optional<ExitReason>>();
  const Pid old = cluster_.node(from).runtime().WhereIsGlobal("s_a");
  // What another node's watcher hears comes the same way.
  cluster_.node(from).runtime().ObserveExit(
      old, [ended](ExitReason reason) { *ended = std::move(reason); });
  ASSERT_TRUE(Move(from, to).ok());
  ASSERT_TRUE(ended->has_value());
  EXPECT_TRUE((*ended)->IsNormal());
  // A message to the old pid goes after it for a while.
  Int64Value number;
  number.set_value(42);
  runtime.Send(ServerRef(old), Info(Payload::Of(number)));
  cluster_.RunFor(absl::Milliseconds(200));
  EXPECT_EQ(probe_->infos, std::vector<int64_t>{42});
  cluster_.RunFor(Runtime::kForwarding);
  runtime.Send(ServerRef(old), Info(Payload::Of(number)));
  cluster_.RunFor(absl::Milliseconds(200));
  EXPECT_EQ(probe_->infos.size(), 1u);
}

// Guarantees G1: what its supervisor has started anew at the new place is not
// what failed there.
TEST_F(HandOffTest, WhatWasStartedAnewAtTheNewPlaceKeepsItsName) {
  int from = Start("movable");
  // Its supervisor lives on another node than it: that one is cut off.
  if (cluster_.LivingOwnerOf(SupervisorName("s")) == from) {
    ASSERT_TRUE(Move(from, Other(from)).ok());
    from = Other(from);
    cluster_.RunFor(absl::Seconds(1));
  }
  const int to = Other(from);
  probe_->refuse_restore = true;
  auto result = std::make_shared<std::optional<CallResult>>();
  StartMove(from, to, result);
  ASSERT_TRUE(
      cluster_.RunUntil([&] { return cluster_.LivingOwnerOf("s_a") == to; }));
  const std::string failed = cluster_.OwnerOf("s_a")->record.instance();
  cluster_.store().Disconnect(cluster_.store_client(from));
  ASSERT_TRUE(cluster_.RunUntil(
      [&] {
        const auto owner = cluster_.OwnerOf("s_a");
        return owner->record.instance() != failed;
      },
      absl::Seconds(2)));
  const auto anew = cluster_.OwnerOf("s_a");
  ASSERT_EQ(cluster_.LivingOwnerOf("s_a"), to);
  EXPECT_FALSE(result->has_value());
  cluster_.store().Reconnect(cluster_.store_client(from));
  cluster_.RunUntil([&] { return result->has_value(); });
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ(ReasonOf((*result)->status), "RESTORE_FAILED") << (*result)->status;
  cluster_.RunFor(absl::Seconds(2));
  EXPECT_EQ(cluster_.OwnerOf("s_a")->record.instance(),
            anew->record.instance());
  EXPECT_EQ(cluster_.OwnerOf("s_a")->epoch, anew->epoch);
  EXPECT_TRUE(cluster_.node(from).runtime().WhereIsGlobal("s_a").empty());
  EXPECT_EQ(cluster_.node(to).runtime().WhereIsGlobal("s_a").number,
            anew->record.process());
  for (int via = 0; via < 3; ++via) EXPECT_EQ(ValueAt(via), 0);
}

TEST_F(HandOffTest, WhatDiesAsItIsTakenIsToldOfNoMore) {
  const int from = Start("movable");
  const int to = Other(from);
  const Pid pid = cluster_.node(from).runtime().WhereIsGlobal("s_a");
  probe_->init_takes = absl::Milliseconds(300);
  auto result = std::make_shared<std::optional<CallResult>>();
  StartMove(from, to, result);
  ASSERT_TRUE(
      cluster_.RunUntil([&] { return cluster_.LivingOwnerOf("s_a") == to; }));
  cluster_.node(from).runtime().SendExit(Pid(), pid, ExitReason::Kill());
  cluster_.RunUntil([&] { return result->has_value(); });
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ(ReasonOf((*result)->status), "CALLEE_EXITED") << (*result)->status;
  cluster_.RunFor(absl::Seconds(5));
  EXPECT_EQ(cluster_.LivingOwnerOf("s_a"), to);
  EXPECT_EQ(ValueAt(2), 0);
  cluster::v1::ReportChildrenRequest ask;
  *ask.mutable_order() = Order(to).order();
  const auto told = cluster_.Call<cluster::v1::ReportChildrenResponse>(
      from, ServerRef::Local(kAgentName, SimCluster::NodeName(from)),
      "/muster.cluster.v1.Agent/ReportChildren", ask);
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(told->children_size(), 0) << told->DebugString();
}

}  // namespace
}  // namespace muster
