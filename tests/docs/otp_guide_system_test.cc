// The examples of docs/otp.md about sys, supervisors, tasks, registries,
// groups, nodes and overload. What is between `// [name]` and `// [end]` is
// shown there.
#include <cstdint>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/boot/cluster_node.h"
#include "cluster/group/group_scope.h"
#include "cluster/group/groups.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/base/random.h"
#include "node/base/thread_scheduler.h"
#include "node/gen_server/runtime_caller.h"
#include "node/gen_server/start.h"
#include "node/gen_server/sys.h"
#include "node/process/process.h"
#include "node/process/signals.h"
#include "node/registry/registry.h"
#include "node/supervisor/dynamic_supervisor.h"
#include "node/supervisor/erpc.h"
#include "node/supervisor/partition_supervisor.h"
#include "node/supervisor/remote_tasks.h"
#include "node/supervisor/supervisor.h"
#include "node/supervisor/supervisor_client.h"
#include "node/supervisor/task_stream.h"
#include "node/supervisor/task_supervisor.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/docs/guide.h"
#include "tests/testkit/capture_logger.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/sim_cluster.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// -- sys ---------------------------------------------------------------------

class Shown : public Counter {
 public:
  // [snapshot]
  absl::StatusOr<Payload> Snapshot(Context&) override {
    return Payload::Of(Value(value_));
  }
  absl::Status Restore(Payload state, Context&) override {
    const CounterValue* value = state.As<CounterValue>();
    if (value == nullptr) return absl::InvalidArgumentError("no CounterValue");
    value_ = value->value();
    return absl::OkStatus();
  }
  // [end]
  // [format-status]
  void FormatStatus(ServerStatus& status) override {
    status.state = Payload::Of(Value(0));  // The number is nobody's business.
    status.message = "";
  }
  // [end]
};

class ShownNew final : public Shown {
 public:
  Reply<CounterValue> Increment(const IncrementRequest&, Context&) override {
    return Value(value_ += 1000);
  }
  // [code-change]
  absl::Status CodeChange(absl::string_view old_version, Payload state, Payload,
                          Context& self) override {
    if (old_version != "1") return absl::UnimplementedError("only from 1");
    return Restore(std::move(state), self);
  }
  // [end]
};

TEST_F(GuideTest, SysState) {
  const Pid pid = Serve<Shown>("b", {.global = "counter_b"});
  Run([&](Context& self) -> Next {
    // [get-state]
    auto state = co_await sys::GetState<CounterValue>(self, "counter_b");
    absl::Status set = co_await sys::SetState(self, "counter_b", Value(41));
    auto status = co_await sys::GetStatus(self, "counter_b");
    // [end]
    EXPECT_EQ(Number(state), 0);
    EXPECT_TRUE(set.ok()) << set;
    // What FormatStatus shows, and not what was set.
    EXPECT_EQ(status->formatted_state(), R"({"value":"0"})");
    CounterClient counter(self, pid);
    EXPECT_EQ(Number(co_await counter.Increment(By(1))), 42);
    co_return NoReply();
  });
}

class Timed final : public Counter {
 public:
  static inline BootTime at;
  Reply<CounterValue> Increment(const IncrementRequest&,
                                Context& self) override {
    at = self.Now();
    return Value(++value_);
  }
};

TEST_F(GuideTest, SysSuspend) {
  const Pid pid = Serve<Timed>("a", {.global = "counter_a"});
  Run([&](Context& self) -> Next {
    CounterClient counter(self, pid);
    const BootTime begin = self.Now();
    // [suspend]
    absl::Status held = co_await sys::Suspend(self, "counter_a");
    auto waits = counter.Increment(By(1));  // Stays queued.
    co_await self.Sleep(absl::Seconds(1));
    absl::Status on = co_await sys::Resume(self, "counter_a");
    auto value = co_await waits;
    // [end]
    EXPECT_TRUE(held.ok() && on.ok()) << held << on;
    EXPECT_EQ(Number(value), 1);
    EXPECT_EQ(Timed::at - begin, absl::Seconds(1)) << "not while suspended";
    co_return NoReply();
  });
}

TEST_F(GuideTest, SysTrace) {
  const Pid pid = Serve("a", {.global = "counter_a"});
  std::vector<std::string> lines;
  Run([&](Context& self) -> Next {
    // [trace]
    auto sink = [&](absl::string_view line) { lines.emplace_back(line); };
    absl::Status traced = co_await sys::TraceTo(self, "counter_a", sink);
    absl::Status kept = co_await sys::SwitchLog(self, "counter_a", 10);
    absl::Status counted = co_await sys::SwitchStatistics(self, pid, true);
    // [end]
    EXPECT_TRUE(traced.ok() && kept.ok() && counted.ok());
    CounterClient counter(self, pid);
    EXPECT_EQ(Number(co_await counter.Increment(By(1))), 1);
    auto log = co_await sys::GetLog(self, pid);
    EXPECT_EQ(log->events_size(), 2);
    auto statistics = co_await sys::GetStatistics(self, pid);
    EXPECT_EQ(statistics->messages_in(), 1u);
    co_return NoReply();
  });
  EXPECT_THAT(lines,
              ElementsAre(HasSubstr("got call Increment"),
                          HasSubstr("sent reply (counter.v1.CounterValue")));
}

TEST_F(GuideTest, SysChangeCode) {
  const Pid pid = Serve<Shown>("a");
  Run([&](Context& self) -> Next {
    CounterClient counter(self, pid);
    EXPECT_EQ(Number(co_await counter.Increment(By(7))), 7);
    // [change-code]
    auto make = [] { return std::make_unique<ShownNew>(); };
    absl::Status held = co_await sys::Suspend(self, pid);
    absl::Status changed = co_await sys::ChangeCode(self, pid, make, "1");
    absl::Status on = co_await sys::Resume(self, pid);
    // [end]
    EXPECT_TRUE(held.ok() && changed.ok() && on.ok()) << changed;
    EXPECT_EQ(Number(co_await counter.Increment(By(1))), 1007);
    co_return NoReply();
  });
}

// -- Supervisors -------------------------------------------------------------

// A server that a supervisor can start by itself.
class Worker final : public Counter {
 public:
  using Options = CounterOptions;
  Next Reset(const ResetRequest&, Context&) override {
    return Stop(ExitReason::Custom("broken"));
  }
};

TEST_F(GuideTest, Supervisor) {
  Run([&](Context& self) -> Next {
    CounterOptions options;
    // [supervisor]
    ChildSpec orders = ChildSpec::Of<Worker>(options, "orders");
    orders.restart = Restart::kTransient;
    orders.shutdown = Shutdown::Within(absl::Seconds(2));
    SupervisorSpec spec =
        SupervisorSpec::Of(Strategy::kRestForOne,
                           {ChildSpec::Of<Worker>(options, "stock"), orders});
    spec.intensity = 3;  // In spec.period, 5 s.
    auto shop = co_await StartLink(self, *Supervisor::Make(spec), Payload());
    // [end]
    EXPECT_TRUE(shop.ok()) << shop.status();
    const Pid stock = self.WhereIsLocal("stock");
    const Pid order = self.WhereIsLocal("orders");
    CounterClient first(self, ServerRef::Local("stock"));
    EXPECT_TRUE((co_await first.Reset(ResetRequest())).ok());
    co_await self.Sleep(absl::Seconds(1));
    // rest_for_one: the one that ended, and the one started after it.
    EXPECT_NE(self.WhereIsLocal("stock"), stock);
    EXPECT_NE(self.WhereIsLocal("orders"), order);
    EXPECT_FALSE(self.WhereIsLocal("stock").empty());
    EXPECT_FALSE(self.WhereIsLocal("orders").empty());

    CounterClient second(self, ServerRef::Local("orders"));
    const Pid kept = self.WhereIsLocal("stock");
    EXPECT_TRUE((co_await second.Reset(ResetRequest())).ok());
    co_await self.Sleep(absl::Seconds(1));
    EXPECT_EQ(self.WhereIsLocal("stock"), kept);

    const ChildSpec extra = ChildSpec::Of<Worker>(options, "extra");
    // [supervisor-client]
    SupervisorClient sup(self, *shop);
    absl::StatusOr<StartedChild> child = co_await sup.StartChild(extra);
    absl::Status ended = co_await sup.TerminateChild("extra");
    absl::StatusOr<StartedChild> again = co_await sup.RestartChild("extra");
    auto children = co_await sup.WhichChildren();  // Latest first.
    // [end]
    EXPECT_TRUE(child.ok() && ended.ok() && again.ok()) << ended;
    EXPECT_NE(child->pid, again->pid);
    EXPECT_EQ(children->size(), 3u);
    EXPECT_EQ(children->front().id, "extra");
    EXPECT_TRUE((co_await Stop(self, *shop)).ok());
    EXPECT_TRUE(self.WhereIsLocal("stock").empty());
    co_return NoReply();
  });
}

TEST_F(GuideTest, DynamicSupervisor) {
  Run([&](Context& self) -> Next {
    CounterOptions options;
    // [dynamic-supervisor]
    DynamicSupervisorSpec spec;
    spec.max_children = 1;
    auto pool = co_await StartLink(
        self, std::make_unique<DynamicSupervisor>(spec), Payload());
    DynamicSupervisorClient sup(self, *pool);
    auto child = co_await sup.StartChild(ChildSpec::Of<Worker>(options, "one"));
    auto more = co_await sup.StartChild(ChildSpec::Of<Worker>(options, "two"));
    absl::Status ended = co_await sup.TerminateChild(child->pid);
    // [end]
    EXPECT_TRUE(child.ok()) << child.status();
    EXPECT_EQ(ReasonOf(more.status()), "MAX_CHILDREN");
    EXPECT_TRUE(ended.ok()) << ended;
    EXPECT_FALSE(self.runtime().Inspect(child->pid).has_value());
    EXPECT_TRUE((co_await Stop(self, *pool)).ok());
    co_return NoReply();
  });
}

TEST_F(GuideTest, PartitionSupervisor) {
  Run([&](Context& self) -> Next {
    CounterOptions options;
    // [partition-supervisor]
    PartitionSupervisorSpec spec;
    spec.name = "carts";
    spec.child = ChildSpec::Of<Worker>(options, "cart");
    spec.partitions = 4;
    auto sup = co_await StartLink(
        self, std::make_unique<PartitionSupervisor>(spec), Payload());
    CounterClient cart(self, PartitionRef("carts", "user-17"));
    auto value = co_await cart.Increment(By(1));
    // [end]
    EXPECT_EQ(Number(value), 1);
    CounterClient by_number(self, PartitionRef("carts", 6));
    CounterClient same(self, PartitionRef("carts", 2));
    const int64_t before = Number(co_await same.GetValue(GetValueRequest()));
    EXPECT_EQ(Number(co_await by_number.Increment(By(1))), before + 1);
    EXPECT_EQ(Number(co_await same.GetValue(GetValueRequest())), before + 1);
    EXPECT_TRUE((co_await Stop(self, *sup)).ok());
    co_return NoReply();
  });
}

// -- Tasks -------------------------------------------------------------------

TEST_F(GuideTest, Tasks) {
  Run([&](Context& self) -> Next {
    auto started = co_await StartLink(self, MakeTaskSupervisor(), Payload());
    const ServerRef sup = *started;
    // [task]
    TaskSupervisorClient tasks(self, sup);
    auto work = [](Context&) -> TaskResult<int> { return 42; };
    absl::StatusOr<AsyncTask<int>> task = co_await tasks.Async<int>(work);
    absl::StatusOr<int> value = co_await task->Await(absl::Seconds(5));
    // [end]
    EXPECT_EQ(*value, 42);
    // [task-nolink]
    auto bad = [](Context&) -> TaskResult<int> {
      throw std::runtime_error("no such file");
    };
    auto crash = co_await tasks.AsyncNolink<int>(bad);
    absl::StatusOr<int> none = co_await crash->Await(absl::Seconds(5));
    // [end]
    EXPECT_EQ(ReasonOf(none.status()), "CALLEE_EXITED");
    EXPECT_EQ(DetailOf(none.status(), "class"), "error");
    std::vector<int> squares;
    // [task-stream]
    auto square = [](const int& n, Context&) -> TaskResult<int> {
      return n * n;
    };
    TaskStream<int> stream =
        AsyncStream<int>(tasks, std::vector<int>{1, 2, 3}, square);
    for (auto item = co_await stream.Next(); item.has_value();
         item = co_await stream.Next()) {
      squares.push_back(*item->result);
    }
    // [end]
    EXPECT_THAT(squares, ElementsAre(1, 4, 9));
    EXPECT_TRUE((co_await Stop(self, sup)).ok());
    co_return NoReply();
  });
}

TEST_F(GuideTest, RemoteTasks) {
  // [task-types]
  auto types = std::make_shared<TaskTypes>();
  auto twice = [](const CounterValue& n, Context&) -> Reply<CounterValue> {
    return Value(2 * n.value());
  };
  absl::Status added =
      types->Add(MakeTaskType<CounterValue, CounterValue>("twice", twice));
  // As a child of a supervisor: RemoteTasks::AsChild(types).
  // [end]
  ASSERT_TRUE(added.ok()) << added;
  cluster_.Start("b", std::make_unique<RemoteTasks>(types),
                 {.local = std::string(RemoteTasks::kName)});
  Run([&](Context& self) -> Next {
    // [erpc]
    auto value = co_await erpc::Call<CounterValue>(self, "b", "twice",
                                                   Value(21), absl::Seconds(5));
    auto none = co_await erpc::Call<CounterValue>(self, "b", "thrice",
                                                  Value(21), absl::Seconds(5));
    // [end]
    EXPECT_EQ(Number(value), 42);
    EXPECT_EQ(ReasonOf(none.status()), "UNKNOWN_TASK");
    co_return NoReply();
  });
}

TEST(GuideNodeTest, ANodesOwnParts) {
  auto twice = [](const CounterValue& n, Context&) -> Reply<CounterValue> {
    return Value(2 * n.value());
  };
  // [local-parts]
  LocalParts local;
  local.tasks = {MakeTaskType<CounterValue, CounterValue>("twice", twice)};
  local.application = SupervisorSpec::Of(
      Strategy::kOneForOne, {ChildSpec::Of<Worker>(CounterOptions(), "stock")});
  // In main: return muster::Main(argc, argv, types, local);
  // [end]
  SimClusterOptions options;
  options.local = std::move(local);
  SimCluster cluster(/*seed=*/1, /*nodes=*/2, std::move(options));
  cluster.StartAll();
  RuntimeCaller caller(&cluster.node(0).runtime());
  std::vector<int64_t> got;
  auto keep = [&got](absl::StatusOr<CounterValue> value) {
    got.push_back(Number(value));
  };
  erpc::Call<CounterValue>(caller, "n1", "twice", Value(21)).Then(keep);
  EXPECT_TRUE(cluster.RunUntil([&] { return got.size() == 1; }));
  CounterClient stock(caller, ServerRef::Local("stock", "n1"));
  stock.Increment(By(5)).Then(keep);
  EXPECT_TRUE(cluster.RunUntil([&] { return got.size() == 2; }));
  EXPECT_THAT(got, ElementsAre(42, 5));
}

// -- Registry and groups -----------------------------------------------------

struct Session {
  std::string user;
};

TEST_F(GuideTest, Registry) {
  // [registry]
  muster::Registry sessions({.name = "sessions", .partitions = 4});
  // Runs as a child of a supervisor:
  ChildSpec spec;
  spec.id = "sessions";
  spec.factory = [&] { return sessions.MakeProcess(); };
  // [end]
  Run([&](Context& self) -> Next {
    auto started = co_await StartLink(self, spec.factory(), Payload());
    EXPECT_TRUE(started.ok()) << started.status();
    // [registry-use]
    absl::StatusOr<Pid> owner =
        sessions.Register(self, "user-1", Session{"Ada"});
    for (const RegistryEntry& entry : sessions.Lookup("user-1")) {
      self.LogInfo(entry.value.As<Session>()->user);
    }
    ServerRef address = ServerRef::Via("sessions", "user-1");
    auto lock = co_await sessions.Acquire(self, "user-1");
    // [end]
    EXPECT_TRUE(owner.ok()) << owner.status();
    EXPECT_THAT(sessions.Lookup("user-1"), SizeIs(1));
    EXPECT_EQ(sessions.WhereIs("user-1"), self.pid());
    EXPECT_EQ(sessions.Size().locks, 1u);
    sessions.Unregister(self, "user-1");
    EXPECT_EQ(sessions.Count(), 0u);
    co_return NoReply();
  });
  EXPECT_EQ(sessions.Size().locks, 0u) << "released at the end of its scope";
  cluster_.runtime("a").KillAll();
  cluster_.RunReady();
}

TEST_F(GuideTest, Groups) {
  for (const std::string node : {"a", "b"}) {
    GroupScopeOptions options;
    options.nodes = [] { return std::vector<std::string>{"a", "b"}; };
    cluster_.Start(
        node,
        std::make_unique<GroupScope>(std::move(options), node,
                                     &cluster_.runtime(node).attachments()),
        {.local = ScopeName(std::string(kDefaultScope))});
  }
  cluster_.RunFor(absl::Seconds(5));
  std::vector<std::string> heard;
  const Pid other = cluster_.StartActor("b", [&](Info info, Context&) {
    if (const CounterValue* value = info.As<CounterValue>()) {
      heard.push_back(absl::StrCat("message ", value->value()));
    }
    // [group-event]
    if (const GroupEvent* event = info.As<GroupEvent>()) {
      const bool join = event->kind == GroupEvent::Kind::kJoin;
      heard.push_back(absl::StrCat(join ? "join " : "leave ", event->group));
    }
    // [end]
    return Next();
  });
  cluster_.Do(other, [&](Context& self) -> Next {
    muster::Groups groups(self);
    EXPECT_TRUE((co_await groups.Join("room:1")).ok());
    auto watched = co_await groups.Monitor("room:1");
    EXPECT_TRUE(watched.ok()) << watched.status();
    co_return NoReply();
  });
  cluster_.RunFor(absl::Seconds(1));
  Run([&](Context& self) -> Next {
    // [groups]
    muster::Groups groups(self);  // The scope "pg".
    absl::Status joined = co_await groups.Join("room:1");
    std::vector<Pid> members = groups.Members("room:1");  // This node's first.
    size_t told = groups.Publish("room:1", Value(1));
    absl::Status left = co_await groups.Leave("room:1");
    // [end]
    EXPECT_TRUE(joined.ok() && left.ok()) << joined << left;
    EXPECT_THAT(members, ElementsAre(self.pid(), other));
    EXPECT_EQ(told, 2u);
    co_return NoReply();
  });
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_THAT(heard, ::testing::UnorderedElementsAre("join room:1", "message 1",
                                                     "leave room:1"));
}

// -- Nodes -------------------------------------------------------------------

TEST_F(GuideTest, Nodes) {
  std::vector<std::string> seen;
  const Pid pid = Serve("b");
  const Pid watcher = cluster_.StartActor("a", [&](Info info, Context&) {
    // [node-down]
    if (const NodeUp* up = info.As<NodeUp>()) {
      seen.push_back(absl::StrCat(up->node, " up"));
    } else if (const NodeDown* down = info.As<NodeDown>()) {
      seen.push_back(
          absl::StrCat(down->node, " down: ", down->reason.ToString()));
    }
    // [end]
    return Next();
  });
  cluster_.Do(watcher, [&](Context& self) -> Next {
    // [monitor-nodes]
    self.MonitorNodes(true);
    std::vector<std::string> connected = self.Nodes();
    // [end]
    EXPECT_THAT(connected, IsEmpty());
    CounterClient counter(self, pid);  // Opens the stream.
    EXPECT_EQ(Number(co_await counter.Increment(By(1))), 1);
    EXPECT_THAT(self.Nodes(), ElementsAre("b"));
    co_return NoReply();
  });
  cluster_.KillNode("b");
  EXPECT_TRUE(cluster_.RunUntil([&] { return seen.size() == 2; }));
  EXPECT_THAT(seen, ElementsAre("b up", "b down: noconnection"));
}

TEST_F(GuideTest, SuspectThenDown) {
  std::vector<std::string> seen;
  Serve("b", {.global = "counter_b"});
  const Pid watcher = cluster_.StartActor("a", [&](Info info, Context&) {
    // [suspect]
    if (const Suspect* suspect = info.As<Suspect>()) {
      seen.push_back(suspect->cleared ? "reached again" : "cannot be reached");
    } else if (const Down* down = info.As<Down>()) {
      seen.push_back(down->reason.ToString());
    }
    // [end]
    return Next();
  });
  cluster_.Do(watcher, [&](Context& self) -> Next {
    self.Monitor("counter_b");
    co_await self.Sleep(absl::Seconds(1));
    co_return NoReply();
  });
  cluster_.CutAll();
  EXPECT_TRUE(cluster_.RunUntil([&] { return seen.size() == 2; }));
  EXPECT_THAT(seen, ElementsAre("cannot be reached", "reached again"));
}

// -- Overload ----------------------------------------------------------------

TEST_F(GuideTest, MailboxBounds) {
  Run([&](Context& self) -> Next {
    // [mailbox]
    StartOptions options;
    options.name = "busy";
    options.mailbox.messages_max = 2;
    options.mailbox.overflow = Overflow::kRefuse;  // The default.
    auto pid =
        co_await Start(self, std::make_unique<Counter>(), Init(), options);
    // [end]
    EXPECT_TRUE((co_await sys::Suspend(self, *pid)).ok());
    CounterClient busy(self, ServerRef::Local("busy"));
    std::vector<PendingCast> casts;
    for (int i = 0; i < 2; ++i) casts.push_back(busy.Reset(ResetRequest()));
    absl::Status refused = co_await busy.Reset(ResetRequest());
    EXPECT_EQ(ReasonOf(refused), "MAILBOX_FULL");
    auto value = co_await busy.Increment(By(1));
    EXPECT_EQ(value.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(ReasonOf(value.status()), "MAILBOX_FULL");
    EXPECT_EQ(OutcomeOf(value.status()), Outcome::kNotExecuted);
    co_return NoReply();
  });
}

TEST(GuideThreadTest, AStalledHandlerIsReported) {
  std::latch release(1);
  std::latch reported(1);
  std::vector<std::string> seen;
  SystemClock clock;
  SystemRandom random;
  CaptureLogger logger;
  Fence fence;
  // [stall]
  ThreadSchedulerOptions options;
  options.workers = 1;
  options.stall_after = absl::Milliseconds(2);  // A node: 100 ms.
  options.on_stall = [&](const Stall& stall) {  // A node: a line of its log.
    seen.push_back(stall.activity);             // "slow (a~...) in Reset"
    reported.count_down();
  };
  // [end]
  class Blocks final : public Counter {
   public:
    explicit Blocks(std::latch* release) : release_(release) {}
    Next Reset(const ResetRequest&, Context&) override {
      release_->wait();
      return NoReply();
    }

   private:
    std::latch* const release_;
  };
  ThreadScheduler scheduler(&clock, std::move(options));
  Runtime runtime(TestRuntimeOptions(), &scheduler, &random, &logger, &fence);
  StartOptions start;
  start.name = "slow";
  absl::StatusOr<Pid> slow =
      Start(runtime, std::make_unique<Blocks>(&release), Init(), start).Wait();
  absl::StatusOr<Pid> other =
      Start(runtime, std::make_unique<Counter>(), Init()).Wait();
  RuntimeCaller caller(&runtime);
  CounterClient stalls(caller, *slow);
  CounterClient goes_on(caller, *other);
  EXPECT_TRUE(stalls.Reset(ResetRequest()).Wait().ok());
  reported.wait();
  // The only worker is held up, so another has been added.
  EXPECT_EQ(Number(goes_on.Increment(By(1)).Wait()), 1);
  release.count_down();
  scheduler.Stop();
  ASSERT_THAT(seen, SizeIs(1));
  EXPECT_THAT(seen[0], HasSubstr("slow (a~"));
  EXPECT_THAT(seen[0], HasSubstr(" in Reset"));
}

}  // namespace
}  // namespace muster
