// The table of outcomes, row by row: the code, reason and outcome with which a
// call to another node ends (guarantees section 7, G7).
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/gen_server/runtime_caller.h"
#include "node/process/runtime.h"
#include "node/types/exit_reason.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"
#include "tests/testkit/script_server.h"
#include "tests/testkit/sim_nodes.h"

namespace muster {
namespace {

// A client of node `a` calls servers of node `b`.
class OutcomesTest : public ::testing::Test {
 protected:
  OutcomesTest() {
    nodes_.guard = absl::Milliseconds(100);
    a_ = &nodes_.AddNode("a");
    b_ = &nodes_.AddNode("b");
    caller_ = std::make_unique<RuntimeCaller>(&a_->runtime);
  }

  // A server of `b` with the cluster-wide name "x".
  Pid StartX(Script script, MailboxOptions mailbox = MailboxOptions()) {
    SpawnOptions spawn;
    spawn.mailbox = mailbox;
    const Pid pid = b_->runtime.Spawn(ScriptServer::Make(std::move(script)),
                                      Payload(), std::move(spawn), nullptr);
    nodes_.world.RunReady();
    nodes_.names.Register("x", pid, [&](absl::StatusOr<Epoch> epoch) {
      ASSERT_TRUE(epoch.ok()) << epoch.status();
      ASSERT_TRUE(b_->runtime.SetGlobalName(pid, "x", *epoch).ok());
    });
    return pid;
  }
  static Script Counting(int* runs) {
    Script script;
    script.call = [runs](int64_t value, Context&) -> Reply<Int64> {
      ++*runs;
      return MakeInt64(value);
    };
    return script;
  }
  // Each call takes a second.
  Script Slow() {
    Script script;
    script.call = [this](int64_t value, Context& self) -> Reply<Int64> {
      ++runs_;
      co_await self.Sleep(absl::Seconds(1));
      co_return MakeInt64(value);
    };
    return script;
  }
  using Result = std::shared_ptr<std::optional<absl::Status>>;
  Result Start(const ServerRef& to, absl::Duration timeout = absl::Seconds(5)) {
    auto result = std::make_shared<std::optional<absl::Status>>();
    CallOptions options;
    options.timeout = timeout;
    ScriptCall(*caller_, to, 1, options)
        .Then([result](absl::StatusOr<Int64> reply) {
          result->emplace(reply.status());
        });
    return result;
  }
  absl::Status Call(const ServerRef& to,
                    absl::Duration timeout = absl::Seconds(5)) {
    Result result = Start(to, timeout);
    nodes_.world.RunUntil([&] { return result->has_value(); },
                          absl::Minutes(1));
    return result->has_value() ? **result : absl::UnknownError("no end");
  }
  static void Expect(const absl::Status& status, absl::StatusCode code,
                     const std::string& reason, Outcome outcome) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(ReasonOf(status), reason) << status;
    EXPECT_EQ(OutcomeOf(status), outcome) << status;
  }

  SimNodes nodes_;
  SimNode* a_ = nullptr;
  SimNode* b_ = nullptr;
  std::unique_ptr<RuntimeCaller> caller_;
  int runs_ = 0;
};

TEST_F(OutcomesTest, TheHandlersOwnErrorWasExecuted) {
  Script script;
  script.call = [](int64_t, Context&) -> Reply<Int64> {
    return absl::DataLossError("its own");
  };
  StartX(std::move(script));
  Expect(Call("x"), absl::StatusCode::kDataLoss, "", Outcome::kExecuted);
}

TEST_F(OutcomesTest, AFrozenServerDidNotExecute) {
  StartX(Counting(&runs_));
  ASSERT_TRUE(Call("x").ok());
  b_->fence.Close();
  const BootTime before = nodes_.world.clock().Boot();
  Expect(Call("x"), absl::StatusCode::kUnavailable, "FROZEN",
         Outcome::kNotExecuted);
  EXPECT_LE(nodes_.world.clock().Boot() - before,
            absl::Milliseconds(50));  // F7
  EXPECT_EQ(runs_, 1);
}

TEST_F(OutcomesTest, ARestartingServerDidNotExecute) {
  NameEntry entry;
  entry.name = "x";
  entry.pid = Pid{"b", b_->runtime.epoch(), 99};
  entry.epoch = {1, 40};
  entry.supervisor = "tree";
  nodes_.names.Put(entry);
  Expect(Call("x"), absl::StatusCode::kUnavailable, "RESTARTING",
         Outcome::kNotExecuted);
}

TEST_F(OutcomesTest, ANodeThatIsKnownToBeDownDidNotExecute) {
  const Pid pid = StartX(Counting(&runs_));
  b_->Die();
  nodes_.directory.members.erase("b");
  nodes_.Settle();
  Expect(Call(pid), absl::StatusCode::kUnavailable, "NODEDOWN",
         Outcome::kNotExecuted);
}

TEST_F(OutcomesTest, AFullMailboxDidNotExecute) {
  MailboxOptions mailbox;
  mailbox.messages_max = 1;
  StartX(Slow(), mailbox);
  Result runs = Start("x");
  nodes_.Settle();
  Result waits = Start("x");
  nodes_.Settle();
  const absl::Status full = Call("x");
  Expect(full, absl::StatusCode::kResourceExhausted, "MAILBOX_FULL",
         Outcome::kNotExecuted);
  EXPECT_GT(RetryDelayOf(full), absl::ZeroDuration());
  EXPECT_EQ(runs_, 1);
}

TEST_F(OutcomesTest, AnotherEpochDidNotExecute) {
  const Pid pid = StartX(Counting(&runs_));
  b_->runtime.ClearGlobalName("x");
  ASSERT_TRUE(b_->runtime.SetGlobalName(pid, "x", Epoch{1, 99}).ok());
  // The registry of `a` knows of nothing newer: routing asks, and gives up.
  const absl::Status status = Call("x");
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted) << status;
  EXPECT_EQ(runs_, 0);
}

TEST_F(OutcomesTest, WhoWasQueuedWhenTheServerEndedWasNotExecuted) {
  const Pid pid = StartX(Slow());
  Result runs = Start("x");
  nodes_.Settle();
  Result waits = Start("x");
  nodes_.Settle();
  b_->runtime.SendExit(Pid(), pid, ExitReason::Kill());
  nodes_.Settle();
  ASSERT_TRUE(runs->has_value() && waits->has_value());
  Expect(**waits, absl::StatusCode::kAborted, "CALLEE_EXITED",
         Outcome::kNotExecuted);
  // And who was being served: its outcome is not known.
  Expect(**runs, absl::StatusCode::kAborted, "CALLEE_EXITED",
         Outcome::kUnknown);
  EXPECT_EQ(runs_, 1);
}

TEST_F(OutcomesTest, AServerThatThrowsLeavesItUnknown) {
  Script script;
  script.call = [](int64_t, Context&) -> Reply<Int64> {
    throw std::string("a bug");
  };
  StartX(std::move(script));
  Expect(Call("x"), absl::StatusCode::kAborted, "CALLEE_EXITED",
         Outcome::kUnknown);
}

TEST_F(OutcomesTest, WhatExpiresBeforeItLeavesWasNotExecuted) {
  const Pid pid = StartX(Counting(&runs_));
  nodes_.network.Cut("a", "b");  // A dial of two seconds.
  Expect(Call(pid, absl::Seconds(1)), absl::StatusCode::kDeadlineExceeded,
         "TIMEOUT", Outcome::kNotExecuted);
  nodes_.network.HealAll();
  nodes_.world.RunFor(absl::Seconds(5));
  EXPECT_EQ(runs_, 0);
}

TEST_F(OutcomesTest, WithoutAReplyInTimeItIsUnknown) {
  StartX(Slow());
  Expect(Call("x", absl::Milliseconds(500)),
         absl::StatusCode::kDeadlineExceeded, "TIMEOUT", Outcome::kUnknown);
}

TEST_F(OutcomesTest, CancelledItIsUnknown) {
  StartX(Slow());
  auto result = std::make_shared<std::optional<absl::Status>>();
  Request request("x", kScriptCall, Payload::Of(MakeInt64(1)));
  auto slot = a_->runtime.StartCall(std::move(request), [result](CallResult r) {
    result->emplace(std::move(r.status));
  });
  nodes_.Settle();
  slot->Cancel();
  nodes_.Settle();
  ASSERT_TRUE(result->has_value());
  Expect(**result, absl::StatusCode::kCancelled, "CANCELLED",
         Outcome::kUnknown);
}

TEST_F(OutcomesTest, AStreamThatIsLostAfterSendingLeavesItUnknown) {
  StartX(Slow());
  Result result = Start("x");
  nodes_.Settle();
  nodes_.network.Reset("a", "b");
  nodes_.Settle();
  ASSERT_TRUE(result->has_value());
  Expect(**result, absl::StatusCode::kAborted, "NOCONNECTION",
         Outcome::kUnknown);
}

TEST_F(OutcomesTest, AReplyOfAnEpochThatMayBeOverIsUnknown) {  // R8
  StartX(Slow());
  Result result = Start("x");
  nodes_.Settle();
  // It answers while its fence is about to pass, which says too little to a
  // caller who has waited for a second; and the store knows no such member.
  b_->fence.Close();
  b_->fence.Extend(b_->runtime.clock().Boot() + absl::Milliseconds(1300));
  nodes_.names.Erase("x");
  nodes_.names.Bury("b");
  nodes_.world.RunFor(absl::Seconds(2));
  EXPECT_EQ(runs_, 1);
  EXPECT_EQ(a_->peers->stats().replies_confirmed, 1u);
  EXPECT_EQ(b_->runtime.List()[0].state, "idle");
  ASSERT_TRUE(result->has_value());
  Expect(**result, absl::StatusCode::kAborted, "FENCED", Outcome::kUnknown);
}

TEST_F(OutcomesTest, AServerThatFreezesInTheMiddleLeavesItUnknown) {  // R10
  Script script;
  script.call = [this](int64_t value, Context&) -> Reply<Int64> {
    b_->fence.Close();
    return MakeInt64(value);
  };
  StartX(std::move(script));
  Expect(Call("x"), absl::StatusCode::kAborted, "FENCED", Outcome::kUnknown);
}

// -- Peers out of reach (guarantees R14, F8, F32) -----------------------------

TEST_F(OutcomesTest, ASilentPeerIsSuspectAndRefusedAtOnce) {
  const Pid pid = StartX(Slow());
  Result under_way = Start(pid);
  nodes_.Settle();
  EXPECT_TRUE(a_->peers->Suspects().empty());
  nodes_.network.Cut("a", "b");
  const BootTime cut = nodes_.world.clock().Boot();
  nodes_.world.RunUntil([&] { return under_way->has_value(); },
                        absl::Minutes(1));
  EXPECT_LE(nodes_.world.clock().Boot() - cut, absl::Seconds(2));
  Expect(**under_way, absl::StatusCode::kAborted, "NOCONNECTION",
         Outcome::kUnknown);
  ASSERT_EQ(a_->peers->Suspects().size(), 1u);
  EXPECT_EQ(a_->peers->Suspects()[0].node, "b");
  // What goes there now would vanish: nobody waits for the dial.
  for (int i = 0; i < 3; ++i) {
    const BootTime before = nodes_.world.clock().Boot();
    Expect(Call(pid), absl::StatusCode::kUnavailable, "NODEDOWN",
           Outcome::kNotExecuted);
    EXPECT_LE(nodes_.world.clock().Boot() - before, absl::Milliseconds(1));
    nodes_.world.RunFor(absl::Seconds(1));
  }
  nodes_.network.HealAll();
  const bool back = nodes_.world.RunUntil(
      [&] {
        Result result = Start(pid);
        nodes_.world.RunFor(absl::Milliseconds(1500));
        return result->has_value() && (*result)->ok();
      },
      absl::Seconds(20));
  EXPECT_TRUE(back);
  EXPECT_TRUE(a_->peers->Suspects().empty());
}

TEST_F(OutcomesTest, WhoIsNoMemberIsNoSuspect) {
  const Pid pid = StartX(Counting(&runs_));
  ASSERT_TRUE(Call(pid).ok());
  nodes_.network.Reset("a", "b");
  nodes_.Settle();
  EXPECT_EQ(a_->peers->Suspects().size(), 1u);
  nodes_.directory.members.erase("b");
  EXPECT_TRUE(a_->peers->Suspects().empty());
}

}  // namespace
}  // namespace muster
