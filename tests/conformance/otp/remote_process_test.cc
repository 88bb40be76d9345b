// What a process has to do with others on another node besides links and
// monitors: aliases, cancellation, deadlines, a starter that is far away.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/gen_server/runtime_caller.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/types/exit_reason.h"
#include "node/types/pid.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/testkit/script_server.h"
#include "tests/testkit/sim_world.h"
#include "tests/unit/node/peer/test_net.h"

namespace muster {
namespace {

using ::testing::ElementsAre;

class RemoteProcess : public ::testing::Test {
 protected:
  RemoteProcess()
      : a_(&world_, &net_, &directory_, "a", Epoch{1, 10}),
        b_(&world_, &net_, &directory_, "b", Epoch{1, 20}) {}

  Pid Start(TestNode& node, Script script,
            SpawnOptions spawn = SpawnOptions()) {
    const Pid pid = node.runtime.Spawn(ScriptServer::Make(std::move(script)),
                                       Payload(), std::move(spawn), nullptr);
    world_.RunReady();
    return pid;
  }
  Script Slow(absl::Duration d) {
    Script script;
    script.call = [this, d](int64_t value, Context& self) -> Reply<Int64> {
      seen_.push_back("begin " + std::to_string(value));
      co_await self.Sleep(d);
      seen_.push_back(std::string(self.cancelled() ? "cancelled " : "end ") +
                      std::to_string(value));
      co_return MakeInt64(value);
    };
    return script;
  }
  PendingCall<Int64> Call(Caller& caller, const ServerRef& to, int64_t value,
                          CallOptions options = CallOptions()) {
    return internal::TypedCall<Int64>(caller, to, kScriptCall, MakeInt64(value),
                                      options);
  }

  SimWorld world_{1};
  TestNet net_;
  TestDirectory directory_;
  TestNode a_;
  TestNode b_;
  std::vector<std::string> seen_;
};

TEST_F(RemoteProcess, AliasesWorkFromAnotherNode) {
  OTP_CASE("PRC.07", "A1 A2 A4");
  std::optional<ServerRef> simple;
  std::optional<ServerRef> reply;
  Script script;
  script.init = [&](Context& self) -> InitResult {
    simple = self.Alias();
    reply = self.Alias(AliasKind::kReply);
    return Ok();
  };
  script.info = [&](Info info, Context& self) -> Next {
    const Int64* value = info.As<Int64>();
    seen_.push_back(std::to_string(value->value()));
    if (value->value() == 2) self.Unalias(*simple);
    return NoReply();
  };
  Start(b_, script);
  for (const int value : {1, 2, 3}) {
    a_.runtime.Send(*simple, Info(MakeInt64(value)));
    a_.runtime.Send(*reply, Info(MakeInt64(value * 10)));
    world_.RunFor(absl::Seconds(1));
  }
  EXPECT_THAT(seen_, ElementsAre("1", "10", "2"));
  EXPECT_EQ(b_.runtime.Tables().aliases, 0u);
  RuntimeCaller caller(&a_.runtime);
  std::optional<absl::Status> status;
  Call(caller, *simple, 1).Then([&](absl::StatusOr<Int64> r) {
    status = r.status();
  });
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(ReasonOf(*status), "NOPROC");
  EXPECT_EQ(OutcomeOf(*status), Outcome::kNotExecuted);
}

TEST_F(RemoteProcess, ACallThatIsDroppedIsCancelledThere) {  // otp 16.3
  const Pid there = Start(b_, Slow(absl::Seconds(2)));
  RuntimeCaller caller(&a_.runtime);
  {
    PendingCall<Int64> running = Call(caller, there, 1);
    PendingCall<Int64> queued = Call(caller, there, 2);
    world_.RunFor(absl::Seconds(1));
    EXPECT_THAT(seen_, ElementsAre("begin 1"));
  }
  world_.RunFor(absl::Seconds(10));
  EXPECT_THAT(seen_, ElementsAre("begin 1", "cancelled 1"));
  EXPECT_EQ(a_.runtime.Tables().calls, 0u);
  EXPECT_EQ(a_.peers->Tables().calls, 0u);
}

TEST_F(RemoteProcess, ADroppedCallIsCancelledThroughEveryHop) {  // otp 16.3
  const Pid back = Start(a_, Slow(absl::Seconds(2)));
  absl::Status nested;
  Script front;
  front.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    absl::StatusOr<Int64> r = co_await Call(self, back, value);
    nested = r.status();
    co_return MakeInt64(0);
  };
  const Pid there = Start(b_, front);
  RuntimeCaller caller(&a_.runtime);
  {
    PendingCall<Int64> call = Call(caller, there, 1);
    world_.RunFor(absl::Seconds(1));
    EXPECT_THAT(seen_, ElementsAre("begin 1"));
  }
  world_.RunFor(absl::Milliseconds(500));
  EXPECT_EQ(ReasonOf(nested), "CANCELLED") << nested;
  world_.RunFor(absl::Seconds(10));
  EXPECT_THAT(seen_, ElementsAre("begin 1", "cancelled 1"));
}

TEST_F(RemoteProcess, ADeadlineShrinksOverHereAndThere) {  // otp 16.3
  std::vector<absl::Duration> left;
  Script last;
  last.call = [&](int64_t, Context& self) -> Reply<Int64> {
    left.push_back(self.deadline() - self.Now());
    return MakeInt64(1);
  };
  const Pid back = Start(a_, last);
  Script front;
  front.call = [&](int64_t, Context& self) -> Reply<Int64> {
    left.push_back(self.deadline() - self.Now());
    co_await self.Sleep(absl::Seconds(2));
    CallOptions longer;
    longer.timeout = absl::Hours(1);
    absl::StatusOr<Int64> r = co_await Call(self, back, 1, longer);
    co_return r;
  };
  const Pid there = Start(b_, front);
  RuntimeCaller caller(&a_.runtime);
  CallOptions options;
  options.timeout = absl::Seconds(10);
  PendingCall<Int64> call = Call(caller, there, 1, options);
  world_.RunFor(absl::Seconds(5));
  ASSERT_EQ(left.size(), 2u);
  EXPECT_LE(left[0], absl::Seconds(10));
  EXPECT_GT(left[0], absl::Seconds(9));
  EXPECT_LE(left[1], left[0] - absl::Seconds(2));
  EXPECT_GT(left[1], absl::Seconds(7));
}

TEST_F(RemoteProcess, ACycleOverTwoNodesIsFound) {  // otp 16.3
  Pid front;
  absl::Status back;
  Script callee;
  callee.call = [&](int64_t, Context& self) -> Reply<Int64> {
    absl::StatusOr<Int64> r = co_await Call(self, front, 5);
    back = r.status();
    co_return MakeInt64(1);
  };
  const Pid there = Start(b_, callee);
  bool waits = true;
  Script script;
  script.call = [&](int64_t value, Context& self) -> Reply<Int64> {
    if (value == 5) co_return MakeInt64(55);
    PendingCall<Int64> call = Call(self, there, 0);
    if (!waits) {
      std::move(call).Detach();
      co_return MakeInt64(2);
    }
    absl::StatusOr<Int64> r = co_await std::move(call);
    co_return r;
  };
  front = Start(a_, script);
  RuntimeCaller caller(&a_.runtime);
  PendingCall<Int64> cycle = Call(caller, front, 0);
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(ReasonOf(back), "CALL_CYCLE") << back;
  back = absl::UnknownError("not called");
  waits = false;
  PendingCall<Int64> none = Call(caller, front, 0);
  world_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(back.ok()) << back;
}

// A child on b that a process of a has started, and that is still in Init.
class FarStarter : public RemoteProcess {
 protected:
  FarStarter() {
    parent_ = Start(a_, Script());
    SpawnOptions spawn;
    spawn.link_to = parent_;
    spawn.starter = parent_;
    Script slow;
    slow.init = [](Context& self) -> InitResult {
      co_await self.Sleep(absl::Hours(1));
      co_return Ok();
    };
    child_ = Start(b_, slow, std::move(spawn));
    world_.RunFor(absl::Seconds(1));
    b_.runtime.ObserveExit(child_, [this](const ExitReason& reason) {
      seen_.push_back(reason.ToString());
    });
  }

  Pid parent_;
  Pid child_;
};

TEST_F(FarStarter, PRC09_ItsEndReachesAChildInInit) {
  OTP_CASE("PRC.09", "L5 P6");
  a_.runtime.SendExit(Pid(), parent_, ExitReason::Custom("bye"));
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(seen_, ElementsAre("custom(bye)"));
}

TEST_F(FarStarter, PRC09_ItsNodeGoesDown) {
  OTP_CASE("PRC.09", "L4 L5");
  net_.CutAll();
  world_.RunFor(absl::Seconds(10));
  EXPECT_THAT(seen_, ElementsAre("noconnection"));
}

}  // namespace
}  // namespace muster
