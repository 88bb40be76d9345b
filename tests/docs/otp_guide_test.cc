// The examples of docs/otp.md about processes, messages and signals. What is
// between `// [name]` and `// [end]` is shown there.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/gen_server/multi_call.h"
#include "node/gen_server/send_request.h"
#include "node/gen_server/start.h"
#include "node/gen_server/sys.h"
#include "node/gen_server/where_is.h"
#include "node/process/process.h"
#include "node/process/signals.h"
#include "node/registry/names.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/docs/guide.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr absl::string_view kIncrement = "/counter.v1.Counter/Increment";
constexpr absl::string_view kReset = "/counter.v1.Counter/Reset";

// -- Starting, calls, results ------------------------------------------------

TEST_F(GuideTest, Start) {
  Run([&](Context& self) -> Next {
    self.TrapExit(true);
    // [start]
    StartOptions options;
    options.name = "till";  // On this node.
    auto free =
        co_await Start(self, std::make_unique<Counter>(), Init(), options);
    auto linked = co_await StartLink(self, std::make_unique<Counter>(), Init());
    auto watched =
        co_await StartMonitor(self, std::make_unique<Counter>(), Init());
    // [end]
    EXPECT_EQ(self.WhereIsLocal("till"), *free);
    EXPECT_THAT(self.runtime().Inspect(*linked)->links,
                ElementsAre(self.pid()));
    EXPECT_THAT(self.runtime().Inspect(watched->pid)->monitored_by,
                ElementsAre(self.pid()));
    auto taken =
        co_await Start(self, std::make_unique<Counter>(), Init(), options);
    EXPECT_EQ(ReasonOf(taken.status()), "ALREADY_STARTED");
    EXPECT_EQ(DetailOf(taken.status(), "pid"), free->ToString());
    co_return NoReply();
  });
}

struct Refund {
  int64_t coins = 0;
};

class TakesRefunds final : public Counter {
 public:
  // [info]
  Next HandleInfo(Info info, Context&) override {
    if (const Refund* refund = info.As<Refund>()) value_ -= refund->coins;
    return NoReply();
  }
  // [end]
};

TEST_F(GuideTest, CallCastInfo) {
  const Pid pid = Serve<TakesRefunds>("a", {.global = "counter_a"});
  Run([&](Context& self) -> Next {
    // [call]
    CounterClient counter(self, "counter_a");
    absl::StatusOr<CounterValue> value = co_await counter.Increment(By(5));
    absl::Status sent = co_await counter.Reset(ResetRequest());  // A cast.
    self.Send("counter_a", Refund{3});                           // An info.
    // [end]
    EXPECT_EQ(Number(value), 5);
    EXPECT_TRUE(sent.ok());
    EXPECT_EQ(Number(co_await counter.GetValue(GetValueRequest())), -3);
    co_return NoReply();
  });
}

TEST_F(GuideTest, AFailedCallIsAValue) {
  Run([&](Context& self) -> Next {
    // [failed-call]
    CallOptions options;
    options.timeout = absl::Seconds(1);  // 5 s unless set.
    CounterClient nobody(self, "nobody");
    auto value = co_await nobody.Increment(By(1), options);
    // ReasonOf(value.status()) is "NOPROC", OutcomeOf(...) kNotExecuted.
    // [end]
    EXPECT_EQ(value.status().code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(ReasonOf(value.status()), "NOPROC");
    EXPECT_EQ(OutcomeOf(value.status()), Outcome::kNotExecuted);
    co_return NoReply();
  });
}

class Deferred final : public Counter {
 public:
  // [deferred]
  Reply<CounterValue> Increment(const IncrementRequest&,
                                Context& self) override {
    waiting_ = self.from();
    return NoReply();
  }
  Next Reset(const ResetRequest&, Context&) override {
    waiting_.Reply(Value(7));
    return NoReply();
  }
  // [end]

 private:
  From waiting_;
};

TEST_F(GuideTest, DeferredReply) {
  const Pid pid = Serve<Deferred>("b");
  Run([&](Context& self) -> Next {
    CounterClient counter(self, pid);
    auto value = counter.Increment(By(1));
    absl::Status cast = co_await counter.Reset(ResetRequest());
    EXPECT_TRUE(cast.ok());
    EXPECT_EQ(Number(co_await value), 7);
    co_return NoReply();
  });
}

class Continues final : public Counter {
 public:
  // [continue]
  InitResult Init(const CounterOptions&, Context&) override {
    return Ok(Continue(std::string("load")));
  }
  Next HandleContinue(Info message, Context&) override {
    if (message.As<std::string>() != nullptr) value_ = 100;
    return NoReply();
  }
  // [end]
};

TEST_F(GuideTest, Continue) {
  Run([&](Context& self) -> Next {
    StartOptions options;
    options.name = "loads";
    auto start = Start(self, std::make_unique<Continues>(), Init(), options);
    // Queued before Init has returned, and handled after the continue.
    CounterClient early(self, ServerRef::Local("loads"));
    EXPECT_EQ(Number(co_await early.Increment(By(1))), 101);
    co_return NoReply();
  });
}

class Idles final : public Counter {
 public:
  // [timeout]
  Reply<CounterValue> Increment(const IncrementRequest& request,
                                Context&) override {
    value_ += request.by();
    return ReplyThen(Value(value_), Timeout(absl::Seconds(60)));
  }
  Next HandleTimeout(Context&) override { return Stop(ExitReason::Normal()); }
  // [end]
};

TEST_F(GuideTest, InactivityTimeout) {
  const Pid pid = Serve<Idles>("a");
  BootTime last;
  Run([&](Context& self) -> Next {
    CounterClient counter(self, pid);
    EXPECT_EQ(Number(co_await counter.Increment(By(1))), 1);
    co_await self.Sleep(absl::Seconds(59));
    EXPECT_EQ(Number(co_await counter.Increment(By(1))), 2);
    last = self.Now();
    co_return NoReply();
  });
  EXPECT_EQ(cluster_.AwaitEnd(pid), ExitReason::Normal());
  EXPECT_EQ(cluster_.Now("a") - last, absl::Seconds(60));
}

class Sleepy final : public Counter {
 public:
  // [hibernate]
  Next Reset(const ResetRequest&, Context&) override {
    value_ = 0;
    return Hibernate();  // Or StartOptions::hibernate_after.
  }
  // [end]
};

TEST_F(GuideTest, Hibernate) {
  const Pid pid = Serve<Sleepy>("a");
  Run([&](Context& self) -> Next {
    CounterClient counter(self, pid);
    EXPECT_TRUE((co_await counter.Reset(ResetRequest())).ok());
    co_await self.Sleep(absl::Seconds(1));
    EXPECT_EQ(self.runtime().Inspect(pid)->state, "hibernating");
    EXPECT_EQ(Number(co_await counter.Increment(By(1))), 1);
    co_return NoReply();
  });
}

class Stops final : public Counter {
 public:
  static inline std::vector<std::string> ends;

  // [stop]
  Reply<CounterValue> Decrement(const DecrementRequest&, Context&) override {
    return Stop(ExitReason::Shutdown("sold out"), Value(0));
  }
  Next Terminate(const ExitReason& reason, Context&) override {
    ends.push_back(reason.ToString());
    return NoReply();
  }
  // [end]
};

TEST_F(GuideTest, StopAndTerminate) {
  Stops::ends.clear();
  const Pid pid = Serve<Stops>("a");
  const Pid second = Serve<Stops>("b", {.global = "counter_b"});
  Run([&](Context& self) -> Next {
    CounterClient counter(self, pid);
    EXPECT_EQ(Number(co_await counter.Decrement(DecrementRequest())), 0);
    EXPECT_THAT(Stops::ends, ElementsAre("shutdown(sold out)"));
    // [stop-from-outside]
    absl::Status ended = co_await muster::Stop(
        self, "counter_b", ExitReason::Normal(), absl::Seconds(5));
    // [end]
    EXPECT_TRUE(ended.ok()) << ended;
    co_return NoReply();
  });
  EXPECT_EQ(cluster_.AwaitEnd(pid), ExitReason::Shutdown("sold out"));
  EXPECT_EQ(cluster_.AwaitEnd(second), ExitReason::Normal());
  EXPECT_THAT(Stops::ends, ElementsAre("shutdown(sold out)", "normal"));
}

TEST_F(GuideTest, BlockingWork) {
  Run([&](Context& self) -> Next {
    // [blocking]
    auto work = [] { return int64_t{6} * 7; };  // Would hold up a worker.
    int64_t answer = co_await self.Blocking<int64_t>(work);
    co_await self.Sleep(absl::Seconds(1));  // Holds up nobody but this process.
    // [end]
    EXPECT_EQ(answer, 42);
    co_return NoReply();
  });
}

// -- Links, monitors, aliases ------------------------------------------------

class Linked final : public Counter {
 public:
  static inline std::vector<std::string> seen;
  static inline Pid other;

  // [link]
  Next Reset(const ResetRequest&, Context& self) override {
    self.TrapExit(true);
    absl::Status linked = self.Link(other);
    return linked.ok() ? Next() : Stop(ExitReason::Noproc());
  }
  Next HandleInfo(Info info, Context&) override {
    if (const Exit* exit = info.As<Exit>()) {
      seen.push_back(exit->reason.ToString());
    }
    return NoReply();
  }
  // [end]
};

TEST_F(GuideTest, Links) {
  Linked::seen.clear();
  Linked::other = Serve("b");
  const Pid trapping = Serve<Linked>("a");
  Run([&](Context& self) -> Next {
    CounterClient counter(self, trapping);
    EXPECT_TRUE((co_await counter.Reset(ResetRequest())).ok());
    co_await self.Sleep(absl::Seconds(1));
    // [exit]
    self.SendExit(Linked::other, ExitReason::Kill());
    // [end]
    co_return NoReply();
  });
  EXPECT_EQ(cluster_.AwaitEnd(Linked::other), ExitReason::Killed());
  cluster_.RunReady();
  EXPECT_THAT(Linked::seen, ElementsAre("killed"));
  EXPECT_TRUE(cluster_.runtime("a").Inspect(trapping).has_value());
}

TEST_F(GuideTest, AnExitThatIsNotTrappedEndsTheLinked) {
  const Pid one = Serve("a");
  const Pid two = Serve("b");
  ASSERT_TRUE(cluster_.runtime("a").Link(one, two).ok());
  cluster_.RunReady();
  cluster_.runtime("b").SendExit(Pid(), two, ExitReason::Custom("bad day"));
  EXPECT_EQ(cluster_.AwaitEnd(one), ExitReason::Custom("bad day"));
}

TEST_F(GuideTest, Monitors) {
  const Pid log = Serve("b", {.local = "log"});
  std::vector<std::string> downs;
  MonitorRef kept;
  const Pid watcher = cluster_.StartActor("a", [&](Info info, Context&) {
    // [down]
    if (const Down* down = info.As<Down>()) {
      downs.push_back(absl::StrCat(down->object.ToString(), " ",
                                   down->reason.ToString(), " ",
                                   *down->TagAs<int>()));
    }
    // [end]
    return Next();
  });
  bool removed = false;
  cluster_.Do(watcher, [&](Context& self) -> Next {
    // [monitor]
    MonitorOptions options;
    options.tag = 7;  // Comes back in the Down.
    MonitorRef ref = self.Monitor(ServerRef::Local("log", "b"), options);
    MonitorRef other = self.Monitor("nobody", options);
    co_await self.Sleep(absl::Seconds(1));
    removed = !self.Demonitor(other, {.flush = true, .info = true});
    // [end]
    kept = ref;
    co_return NoReply();
  });
  EXPECT_TRUE(removed) << "the Down of `nobody` had come and was flushed";
  EXPECT_THAT(downs, IsEmpty());
  cluster_.runtime("b").SendExit(Pid(), log, ExitReason::Shutdown());
  EXPECT_TRUE(cluster_.RunUntil([&] { return !downs.empty(); }));
  EXPECT_THAT(downs, ElementsAre("log on node b shutdown 7"));
}

TEST_F(GuideTest, Aliases) {
  std::vector<int64_t> seen;
  const Pid asker = cluster_.StartActor("a", [&](Info info, Context&) {
    if (const CounterValue* value = info.As<CounterValue>()) {
      seen.push_back(value->value());
    }
    return Next();
  });
  std::optional<ServerRef> address;
  cluster_.Do(asker, [&](Context& self) {
    // [alias]
    ServerRef once = self.Alias(AliasKind::kReply);  // Off after one message.
    ServerRef mine = self.Alias();                   // Until Unalias.
    self.Unalias(mine);
    // [end]
    address = once;
    self.Send(mine, Value(1));
    return Next();
  });
  Run([&](Context& self) {
    self.Send(*address, Value(2));
    self.Send(*address, Value(3));
    return Next();
  });
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_THAT(seen, ElementsAre(2));
}

TEST_F(GuideTest, AMonitorThatIsAnAlias) {
  const Pid pid = Serve("b");
  Run([&](Context& self) -> Next {
    // [alias-monitor]
    MonitorOptions options;
    options.alias = AliasKind::kReplyDemonitor;
    MonitorRef ref = self.Monitor(pid, options);
    ServerRef reply_to = self.AliasOf(ref);  // Its first message demonitors.
    // [end]
    self.Send(reply_to, Value(1));
    co_await self.Sleep(absl::Seconds(1));
    EXPECT_FALSE(self.Demonitor(ref, {.flush = false, .info = true}));
    co_return NoReply();
  });
}

// -- Names -------------------------------------------------------------------

TEST_F(GuideTest, Names) {
  const Pid remote =
      Serve("b", {.local = "log", .global = "counter_b", .via = "user-1"});
  Run([&](Context& self) -> Next {
    // [names]
    CounterClient here(self, ServerRef::Local("log"));
    CounterClient there(self, ServerRef::Local("log", "b"));
    CounterClient anywhere(self, "counter_b");
    CounterClient by_key(self, ServerRef::Via("reg", "user-1"));
    std::optional<ServerRef> who = WhereIsServer(self, "counter_b");
    // [end]
    auto none = co_await here.Increment(By(1));
    EXPECT_EQ(ReasonOf(none.status()), "NOPROC");
    EXPECT_EQ(Number(co_await there.Increment(By(1))), 1);
    EXPECT_EQ(Number(co_await anywhere.Increment(By(1))), 2);
    EXPECT_EQ(Number(co_await by_key.Increment(By(1))), 3);
    EXPECT_EQ(*who, ServerRef(remote));
    co_return NoReply();
  });
}

TEST_F(GuideTest, NamesOfOnesOwn) {
  cluster_.node("a").names.Serve(&cluster_.runtime("a"));
  Run([&](Context& self) -> Next {
    // [register]
    absl::Status local = self.RegisterLocal("logger");
    absl::StatusOr<Epoch> epoch = co_await RegisterName(self, "leader");
    std::optional<NameEntry> leader = WhereIs(self, "leader");
    // [end]
    EXPECT_TRUE(local.ok()) << local;
    EXPECT_TRUE(epoch.ok()) << epoch.status();
    EXPECT_EQ(leader->pid, self.pid());
    EXPECT_EQ(self.WhereIsLocal("logger"), self.pid());
    EXPECT_EQ(*self.fencing_token(), *epoch);
    co_return NoReply();
  });
}

// -- Timers ------------------------------------------------------------------

struct Tick {};

TEST_F(GuideTest, Timers) {
  std::vector<std::string> seen;
  TimerRef current;
  const Pid pid = cluster_.StartActor("a", [&](Info info, Context&) {
    if (info.As<Tick>() != nullptr) seen.push_back("tick");
    if (const TimerFired* fired = info.As<TimerFired>()) {
      seen.push_back(fired->ref == current ? "fired" : "late");
    }
    return Next();
  });
  cluster_.Do(pid, [&](Context& self) -> Next {
    // [timers]
    TimerRef plain = self.SendAfter(absl::Seconds(1), Tick());
    absl::StatusOr<TimerRef> timer =
        self.StartTimer(absl::Seconds(5), Tick());  // Says TimerFired{ref, ..}.
    std::optional<absl::Duration> left = self.ReadTimer(plain);
    std::optional<absl::Duration> was = self.CancelTimer(plain);
    // [end]
    EXPECT_EQ(left, absl::Seconds(1));
    EXPECT_EQ(was, absl::Seconds(1));
    EXPECT_EQ(self.CancelTimer(plain), std::nullopt);
    current = *timer;
    co_return NoReply();
  });
  cluster_.RunFor(absl::Seconds(10));
  EXPECT_THAT(seen, ElementsAre("fired"));
}

// -- Requests, many nodes ----------------------------------------------------

TEST_F(GuideTest, SendRequest) {
  const Pid pid = Serve("b", {.global = "counter_b"});
  Run([&](Context& self) -> Next {
    // [send-request]
    RequestId id = SendRequest(self, "counter_b", kIncrement, By(5));
    // ... other work ...
    std::optional<absl::StatusOr<CounterValue>> value =
        co_await Receive<CounterValue>(self, id, absl::Seconds(1));
    // [end]
    EXPECT_TRUE(value.has_value());
    EXPECT_EQ(Number(*value), 5);
    co_return NoReply();
  });
}

TEST_F(GuideTest, RequestCollections) {
  Serve("a", {.global = "counter_a"});
  Serve("b", {.global = "counter_b"});
  std::vector<std::string> got;
  Run([&](Context& self) -> Next {
    // [collection]
    RequestIds<std::string> ids;
    absl::Status added =
        ids.Add(SendRequest(self, "counter_a", kIncrement, By(1)), "a");
    added.Update(
        ids.Add(SendRequest(self, "counter_b", kIncrement, By(2)), "b"));
    for (;;) {
      auto next = co_await ids.Receive(self, absl::Seconds(1));
      if (next.kind != CollectedKind::kResponse) break;  // None left, or late.
      auto value = next.response.As<CounterValue>();
      got.push_back(absl::StrCat(next.label, " ", value->value()));
    }
    // [end]
    EXPECT_TRUE(added.ok()) << added;
    EXPECT_TRUE(ids.empty());
    co_return NoReply();
  });
  EXPECT_THAT(got, UnorderedElementsAre("a 1", "b 2"));
}

TEST_F(GuideTest, ResponsesToTheMailbox) {
  Serve("b", {.global = "counter_b"});
  RequestId id;
  std::optional<absl::StatusOr<CounterValue>> value;
  const Pid asker = cluster_.StartActor("a", [&](Info info, Context& self) {
    // [check]
    // In HandleInfo; sent with RequestOptions::to_mailbox.
    value = Check<CounterValue>(self, info, id);
    // [end]
    return Next();
  });
  cluster_.Do(asker, [&](Context& self) {
    RequestOptions options;
    options.to_mailbox = true;
    id = SendRequest(self, "counter_b", kIncrement, By(3), options);
    return Next();
  });
  EXPECT_TRUE(cluster_.RunUntil([&] { return value.has_value(); }));
  EXPECT_EQ(Number(*value), 3);
}

TEST_F(GuideTest, ManyNodes) {
  Serve("a", {.local = "stock"});
  const Pid other = Serve("b", {.local = "stock"});
  Run([&](Context& self) -> Next {
    // [multi-call]
    const std::vector<std::string> nodes = {"a", "b", "c"};
    auto all = co_await MultiCall<CounterValue>(
        self, nodes, "stock", kIncrement, By(2), absl::Seconds(1));
    // all->replies: of a and b; all->bad_nodes: c, with its error.
    Abcast(self, nodes, "stock", kReset, ResetRequest());
    // [end]
    EXPECT_TRUE(all.ok()) << all.status();
    EXPECT_EQ(all->replies.size(), 2u);
    EXPECT_EQ(all->bad_nodes.size(), 1u);
    EXPECT_EQ(all->bad_nodes[0].node, "c");
    CounterClient counter(self, other);
    EXPECT_EQ(Number(co_await counter.GetValue(GetValueRequest())), 0);
    co_return NoReply();
  });
}

// -- Deadlines and cancellation ----------------------------------------------

class Slow final : public Counter {
 public:
  static inline std::vector<std::string> seen;

  // [cancelled]
  Reply<CounterValue> Increment(const IncrementRequest&,
                                Context& self) override {
    auto note = [] { seen.push_back("given up"); };
    self.OnCancel(note);
    co_await self.Sleep(absl::Seconds(1));
    seen.push_back(self.cancelled() ? "nobody waits" : "answered");
    co_return Value(1);
  }
  // [end]
};

TEST_F(GuideTest, DroppingACallCancelsIt) {
  Slow::seen.clear();
  const Pid pid = Serve<Slow>("b");
  Run([&](Context& self) -> Next {
    CounterClient slow(self, pid);
    // [cancel]
    {
      auto given_up = slow.Increment(By(1));
      co_await self.Sleep(absl::Milliseconds(100));
    }  // Dropped: cancelled.
    auto kept = slow.Increment(By(1));
    std::move(kept).Detach();  // Runs; nobody gets the reply.
    // [end]
    co_await self.Sleep(absl::Seconds(5));
    co_return NoReply();
  });
  EXPECT_THAT(Slow::seen, ElementsAre("given up", "nobody waits", "answered"));
}

class Nested final : public Counter {
 public:
  static inline Pid next;
  static inline std::vector<std::string> seen;

  // [deadline]
  Reply<CounterValue> Increment(const IncrementRequest& request,
                                Context& self) override {
    CounterClient counter(self, next);
    // Waits no longer than its own caller does, whatever the options say.
    auto value = co_await counter.Increment(request);
    seen.push_back(absl::FormatDuration(self.deadline() - self.Now()));
    co_return value;
  }
  // [end]
};

TEST_F(GuideTest, ANestedCallEndsWithItsCallersDeadline) {
  Nested::seen.clear();
  Nested::next = Serve<Deferred>("b");  // Never answers.
  const Pid pid = Serve<Nested>("b");
  Run([&](Context& self) -> Next {
    CallOptions options;
    options.timeout = absl::Seconds(2);
    CounterClient counter(self, pid);
    const BootTime begin = self.Now();
    auto value = co_await counter.Increment(By(1), options);
    EXPECT_EQ(ReasonOf(value.status()), "TIMEOUT");
    EXPECT_EQ(self.Now() - begin, absl::Seconds(2));
    co_return NoReply();
  });
  cluster_.RunReady();
  EXPECT_THAT(Nested::seen, ElementsAre("0"));
}

TEST_F(GuideTest, ACallThatComesBackIsRefused) {
  Nested::seen.clear();
  const Pid pid = Serve<Nested>("b");
  Nested::next = pid;
  Run([&](Context& self) -> Next {
    CounterClient counter(self, pid);
    auto value = co_await counter.Increment(By(1));
    EXPECT_EQ(ReasonOf(value.status()), "CALLING_SELF");
    EXPECT_EQ(OutcomeOf(value.status()), Outcome::kExecuted);
    co_return NoReply();
  });
}

}  // namespace
}  // namespace muster
