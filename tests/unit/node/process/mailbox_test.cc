// Mailbox: arrival order and bounds.
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "google/protobuf/wrappers.pb.h"
#include "gtest/gtest.h"
#include "node/process/process.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/types/status.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

using ::testing::ElementsAre;

// A server that is busy for a second with each call of value 0 and notes what
// it handles.
Script Busy(std::vector<std::string>* seen) {
  Script script;
  script.call = [seen](int64_t value, Context& self) -> Reply<Int64> {
    seen->push_back("call " + std::to_string(value));
    if (value == 0) co_await self.Sleep(absl::Seconds(1));
    co_return MakeInt64(value);
  };
  script.cast = [seen](int64_t value, Context&) -> Next {
    seen->push_back("cast " + std::to_string(value));
    return NoReply();
  };
  script.info = [seen](Info info, Context&) -> Next {
    seen->push_back(info.As<Down>() != nullptr ? "down" : "info");
    return NoReply();
  };
  return script;
}

SimRuntimeOptions SmallMailbox(size_t messages, size_t bytes) {
  SimRuntimeOptions options;
  options.runtime.mailbox_messages_max = messages;
  options.runtime.mailbox_bytes_max = bytes;
  return options;
}

TEST(MailboxTest, HandlesAllKindsInArrivalOrder) {  // otp P1, P4
  SimRuntime sim;
  std::vector<std::string> seen;
  const Pid pid = *sim.Start(ScriptServer::Make(Busy(&seen)));
  ScriptCall(sim.caller(), pid, 0);
  ScriptCast(sim.caller(), pid, 1);
  sim.runtime().Send(pid, Info(MakeInt64(2)));
  ScriptCall(sim.caller(), pid, 3);
  ScriptCast(sim.caller(), pid, 4);
  sim.RunFor(absl::Seconds(2));
  EXPECT_THAT(seen,
              ElementsAre("call 0", "cast 1", "info", "call 3", "cast 4"));
}

TEST(MailboxTest, FullMailboxRefusesCallsAndCastsWithARetryDelay) {  // otp 16.3
  SimRuntime sim(SmallMailbox(2, 1 << 20));
  std::vector<std::string> seen;
  const Pid pid = *sim.Start(ScriptServer::Make(Busy(&seen)));
  ScriptCall(sim.caller(), pid, 0);
  sim.RunReady();
  EXPECT_TRUE(sim.Cast(pid, kScriptCast, MakeInt64(1)).ok());
  EXPECT_TRUE(sim.Cast(pid, kScriptCast, MakeInt64(2)).ok());

  const absl::Status cast = sim.Cast(pid, kScriptCast, MakeInt64(3));
  EXPECT_TRUE(absl::IsResourceExhausted(cast)) << cast;
  EXPECT_EQ(ReasonOf(cast), "MAILBOX_FULL");
  EXPECT_EQ(OutcomeOf(cast), Outcome::kNotExecuted);
  EXPECT_GT(RetryDelayOf(cast), absl::ZeroDuration());

  const absl::Status call =
      sim.Call<Int64>(pid, kScriptCall, MakeInt64(4)).status();
  EXPECT_TRUE(absl::IsResourceExhausted(call)) << call;
  EXPECT_EQ(ReasonOf(call), "MAILBOX_FULL");
  EXPECT_EQ(OutcomeOf(call), Outcome::kNotExecuted);
  EXPECT_GT(RetryDelayOf(call), absl::ZeroDuration());

  sim.runtime().Send(pid, Info(MakeInt64(5)));  // Lost without a word (otp P3).
  sim.RunFor(absl::Seconds(2));
  EXPECT_THAT(seen, ElementsAre("call 0", "cast 1", "cast 2"));
  // There is room again.
  EXPECT_TRUE(sim.Cast(pid, kScriptCast, MakeInt64(6)).ok());
}

TEST(MailboxTest, BytesAreBoundedToo) {  // otp 16.3
  SimRuntime sim(SmallMailbox(1000, 4096));
  std::vector<std::string> seen;
  const Pid pid = *sim.Start(ScriptServer::Make(Busy(&seen)));
  google::protobuf::StringValue large;
  large.set_value(std::string(5000, 'x'));
  const absl::Status status = sim.Cast(pid, kScriptCast, large);
  EXPECT_EQ(ReasonOf(status), "MAILBOX_FULL") << status;
  EXPECT_TRUE(sim.Cast(pid, kScriptCast, MakeInt64(1)).ok());
}

TEST(MailboxTest, SystemSignalsAreNeverRefused) {  // otp M2, 1.3
  SimRuntime sim(SmallMailbox(1, 1 << 20));
  std::vector<std::string> seen;
  Script script = Busy(&seen);
  Pid other;
  script.cast = [&](int64_t, Context& self) -> Next {
    self.Monitor(other);
    return NoReply();
  };
  const Pid pid = *sim.Start(ScriptServer::Make(script));
  other = *sim.Start(ScriptServer::Make());
  ScriptCast(sim.caller(), pid, 1);
  sim.RunReady();
  ScriptCall(sim.caller(), pid, 0);
  sim.RunReady();
  sim.runtime().Send(pid, Info(MakeInt64(1)));  // Fills it.
  sim.Stop(other);                              // The Down comes all the same.
  sim.RunFor(absl::Seconds(2));
  EXPECT_THAT(seen, ElementsAre("call 0", "info", "down"));

  ScriptCall(sim.caller(), pid, 0);
  sim.RunReady();
  sim.runtime().Send(pid, Info(MakeInt64(1)));
  sim.runtime().SendExit(Pid(), pid, ExitReason::Kill());
  sim.RunReady();
  EXPECT_FALSE(sim.Alive(pid));
}

TEST(MailboxTest, AProcessLearnsAtOnceThatTheTargetIsFull) {  // otp 16.3, C15
  SimRuntime sim(SmallMailbox(1, 1 << 20));
  std::vector<std::string> seen;
  const Pid busy = *sim.Start(ScriptServer::Make(Busy(&seen)));
  std::vector<absl::Status> results;
  Script script;
  script.call = [&](int64_t, Context& self) -> Reply<Int64> {
    for (int i = 0; i < 2; ++i) {
      absl::Status taken = co_await ScriptCast(self, busy, i);
      results.push_back(taken);
    }
    absl::Status taken = co_await ScriptCast(self, "nobody", 1);
    results.push_back(taken);
    co_return MakeInt64(0);
  };
  const Pid pid = *sim.Start(ScriptServer::Make(script));
  ScriptCall(sim.caller(), busy, 0);
  sim.RunReady();
  ASSERT_TRUE(sim.Call<Int64>(pid, kScriptCall, MakeInt64(1)).ok());
  ASSERT_EQ(results.size(), 3u);
  EXPECT_TRUE(results[0].ok());
  EXPECT_EQ(ReasonOf(results[1]), "MAILBOX_FULL");
  EXPECT_TRUE(results[2].ok()) << results[2];  // otp C15
}

TEST(MailboxTest, ALongQueueLetsOthersRun) {  // style: reduction budget
  SimRuntime sim;
  std::vector<std::string> order;
  Script script;
  script.cast = [&](int64_t value, Context& self) -> Next {
    order.push_back(self.name() + std::to_string(value));
    return NoReply();
  };
  const Pid a = *sim.Start(ScriptServer::Make(script), "a");
  const Pid b = *sim.Start(ScriptServer::Make(script), "b");
  for (int i = 0; i < 200; ++i) ScriptCast(sim.caller(), a, i);
  ScriptCast(sim.caller(), b, 0);
  sim.RunReady();
  ASSERT_EQ(order.size(), 201u);
  EXPECT_EQ(order[64], "b0");  // After one budget of a's.
  EXPECT_EQ(order[200], "a199");
}

// Busy for a second, with room for `messages`.
Pid StartBusy(SimRuntime& sim, std::vector<std::string>* seen, size_t messages,
              Overflow overflow) {
  StartOptions options;
  options.mailbox.messages_max = messages;
  options.mailbox.overflow = overflow;
  const Pid pid =
      *sim.Start(ScriptServer::Make(Busy(seen)), Payload(), options);
  ScriptCall(sim.caller(), pid, 0);
  sim.RunReady();
  return pid;
}

TEST(MailboxTest, ResponsesTakeNobodysRoomAndAreNeverDropped) {  // otp 16.3
  SimRuntime sim;
  std::vector<std::string> seen;
  const Pid pid = StartBusy(sim, &seen, 2, Overflow::kDropOldest);
  const auto revoked = std::make_shared<std::atomic<bool>>(false);
  const auto process = sim.runtime().Find(pid);
  process->PushResponse(Info(MakeInt64(1)), revoked);
  process->PushResponse(Info(MakeInt64(2)), nullptr);
  EXPECT_TRUE(sim.Cast(pid, kScriptCast, MakeInt64(1)).ok());
  EXPECT_TRUE(sim.Cast(pid, kScriptCast, MakeInt64(2)).ok());
  EXPECT_EQ(sim.runtime().Inspect(pid)->mailbox, 4u);
  EXPECT_EQ(sim.runtime().Inspect(pid)->dropped, 0u);
  EXPECT_TRUE(sim.Cast(pid, kScriptCast, MakeInt64(3)).ok());
  EXPECT_EQ(sim.runtime().Inspect(pid)->dropped, 1u);
  revoked->store(true);
  sim.RunFor(absl::Seconds(2));
  EXPECT_THAT(seen, ElementsAre("call 0", "info", "cast 2", "cast 3"));
  // The revoked one has given its place back.
  seen.clear();
  ScriptCall(sim.caller(), pid, 0);
  sim.RunReady();
  for (int i = 4; i <= 6; ++i) {
    EXPECT_TRUE(sim.Cast(pid, kScriptCast, MakeInt64(i)).ok());
  }
  EXPECT_EQ(sim.runtime().Inspect(pid)->dropped, 2u);
}

TEST(MailboxTest, WhatIsDroppedFromTheQueueGivesItsRoomBack) {
  SimRuntime sim;
  std::vector<std::string> seen;
  const Pid pid = StartBusy(sim, &seen, 2, Overflow::kRefuse);
  for (int i = 0; i < 3; ++i) {
    sim.runtime().SendReserved(pid, Info(MakeInt64(i)));
  }
  const auto all = [](Info&) { return true; };
  EXPECT_EQ(sim.runtime().DropQueued(pid, all), 3u);
  EXPECT_TRUE(sim.Cast(pid, kScriptCast, MakeInt64(1)).ok());
  EXPECT_TRUE(sim.Cast(pid, kScriptCast, MakeInt64(2)).ok());
  EXPECT_EQ(ReasonOf(sim.Cast(pid, kScriptCast, MakeInt64(3))), "MAILBOX_FULL");
}

TEST(MailboxTest, SystemRequestsHaveABoundOfTheirOwn) {
  SimRuntime sim(SmallMailbox(10, 1 << 20));
  std::vector<std::string> seen;
  const Pid pid = *sim.Start(ScriptServer::Make(Busy(&seen)));
  ScriptCall(sim.caller(), pid, 0);
  sim.RunReady();
  std::vector<std::string> refused;
  CallOptions patient;
  patient.timeout = absl::Minutes(1);
  for (int i = 0; i < 20; ++i) {
    sim.caller().StartCall(
        pid, "/muster.sys.v1.Sys/ReplaceState",
        Payload::FromBytes(std::string(1 << 20, 'x'), "t"), patient,
        [&](CallResult result) { refused.push_back(ReasonOf(result.status)); });
  }
  // 16 MiB in all, and none of the servers's own room.
  EXPECT_THAT(refused,
              ElementsAre("MAILBOX_FULL", "MAILBOX_FULL", "MAILBOX_FULL",
                          "MAILBOX_FULL", "MAILBOX_FULL"));
  EXPECT_EQ(sim.runtime().Inspect(pid)->mailbox_bytes, 0u);
  EXPECT_TRUE(sim.Cast(pid, kScriptCast, MakeInt64(1)).ok());
  sim.RunFor(absl::Seconds(2));
  EXPECT_THAT(seen, ElementsAre("call 0", "cast 1"));
}

// Its destructor asks the process that it waited for.
struct Asks {
  Asks(Runtime* r, const Pid& p, int* n) : runtime(r), pid(p), asked(n) {}
  ~Asks() {
    if (runtime->Inspect(pid).has_value()) ++*asked;
  }
  Asks(const Asks&) = delete;
  Asks& operator=(const Asks&) = delete;
  Runtime* const runtime;
  const Pid pid;
  int* const asked;
};

TEST(MailboxTest, WhatIsDroppedIsDestroyedWithoutTheLock) {
  SimRuntime sim;
  std::vector<std::string> seen;
  int asked = 0;
  const Pid pid = StartBusy(sim, &seen, 1, Overflow::kDropOldest);
  const auto value = [&] {
    return Info(std::make_shared<Asks>(&sim.runtime(), pid, &asked));
  };
  sim.runtime().Send(pid, value());
  EXPECT_TRUE(sim.Cast(pid, kScriptCast, MakeInt64(1)).ok());
  EXPECT_EQ(asked, 1);
  const auto revoked = std::make_shared<std::atomic<bool>>(true);
  sim.runtime().Find(pid)->PushResponse(value(), revoked);
  sim.RunFor(absl::Seconds(2));
  EXPECT_EQ(asked, 2);
  EXPECT_THAT(seen, ElementsAre("call 0", "cast 1"));
}

TEST(MailboxTest, AMessageThatIsDroppedStartsTheInactivityAnew) {  // otp G14
  SimRuntime sim;
  std::vector<BootTime> fired;
  Script script;
  script.cast = [](int64_t, Context&) -> Next {
    return NoReply(Timeout(absl::Seconds(10)));
  };
  script.timeout = [&](Context& self) -> Next {
    fired.push_back(self.Now());
    return NoReply();
  };
  const Pid pid = *sim.Start(ScriptServer::Make(script));
  ASSERT_TRUE(sim.Cast(pid, kScriptCast, MakeInt64(0)).ok());
  sim.RunFor(absl::Seconds(4));
  const BootTime dropped = sim.Now();
  {
    PendingCall<Int64> call = internal::TypedCall<Int64>(
        sim.caller(), pid, kScriptCall, MakeInt64(1), CallOptions());
  }
  sim.RunFor(absl::Minutes(1));
  EXPECT_THAT(fired, ElementsAre(dropped + absl::Seconds(10)));
}

}  // namespace
}  // namespace muster
