// Supervisor: start, restart and shutdown of children (otp section 7).
#include "node/supervisor/supervisor.h"

#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/process/runtime.h"
#include "node/supervisor/supervisor_client.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = ExitReason::Kind;

class SupervisorTest : public ::testing::Test {
 protected:
  // A trapping child that notes its starts and its Terminate, and stops with
  // the reason it is cast.
  ChildSpec Child(const std::string& id, Restart restart = Restart::kPermanent,
                  Shutdown shutdown = Shutdown::Within(absl::Seconds(5))) {
    ChildSpec spec;
    spec.id = id;
    spec.name = id;
    spec.restart = restart;
    spec.shutdown = shutdown;
    spec.factory = [this, id] {
      Script script;
      script.init = [this, id](Context& self) -> InitResult {
        self.TrapExit(true);
        if (fail_.contains(id)) {
          seen_.push_back("fail " + id);
          return fail_.at(id) == "ignore"
                     ? InitResult(Ignore())
                     : InitResult(Stop(ExitReason::Custom(fail_.at(id))));
        }
        seen_.push_back("start " + id);
        return Ok();
      };
      script.cast = [](int64_t value, Context&) -> Next {
        switch (value) {
          case 0:
            return Stop(ExitReason::Normal());
          case 1:
            return Stop(ExitReason::Shutdown());
          case 2:
            return Stop(ExitReason::Shutdown("x"));
          case 3:
            return Stop(ExitReason::Custom("x"));
          default:
            throw std::runtime_error("x");
        }
      };
      script.terminate = [this, id](const ExitReason& reason,
                                    Context& self) -> Next {
        if (linger_ > absl::ZeroDuration()) co_await self.Sleep(linger_);
        if (reason.kind() == Kind::kShutdown) seen_.push_back("stop " + id);
        co_return NoReply();
      };
      return ScriptServer::Make(std::move(script));
    };
    return spec;
  }
  static SupervisorSpec Spec(std::vector<ChildSpec> children,
                             uint32_t intensity = 1,
                             absl::Duration period = absl::Seconds(5)) {
    SupervisorSpec spec;
    spec.intensity = intensity;
    spec.period = period;
    spec.children = std::move(children);
    return spec;
  }
  absl::StatusOr<Pid> Start(SupervisorSpec spec) {
    absl::StatusOr<std::unique_ptr<Supervisor>> supervisor =
        Supervisor::Make(std::move(spec));
    if (!supervisor.ok()) return supervisor.status();
    absl::StatusOr<Pid> pid = sim_.Start(*std::move(supervisor), "sup");
    if (pid.ok()) {
      sim_.runtime().ObserveExit(
          *pid, [this](ExitReason reason) { ended_ = std::move(reason); });
    }
    return pid;
  }
  // Its starts with these numbers fail; the first is 1.
  ChildSpec Flaky(const std::string& id, std::vector<int> failing) {
    ChildSpec spec = Child(id);
    const auto starts = std::make_shared<int>(0);
    spec.factory = [this, id, failing, starts, make = spec.factory] {
      ++*starts;
      fail_.erase(id);
      for (const int number : failing) {
        if (number == *starts) fail_[id] = "flaky";
      }
      return make();
    };
    return spec;
  }
  // Every start but the first takes a second and fails.
  ChildSpec Slow(const std::string& id) {
    ChildSpec spec;
    spec.id = id;
    spec.name = id;
    spec.factory = [this] {
      Script script;
      script.init = [this](Context& self) -> InitResult {
        if (++slow_starts_ == 1) co_return Ok();
        co_await self.Sleep(absl::Seconds(1));
        co_return Stop(ExitReason::Custom("slow"));
      };
      return ScriptServer::Make(std::move(script));
    };
    return spec;
  }
  // p permanent; a transient and b temporary, both significant; c temporary.
  SupervisorSpec Significant(AutoShutdown auto_shutdown) {
    SupervisorSpec spec = Spec({Child("p"), Child("a", Restart::kTransient),
                                Child("b", Restart::kTemporary),
                                Child("c", Restart::kTemporary)});
    spec.children[1].significant = spec.children[2].significant = true;
    spec.auto_shutdown = auto_shutdown;
    return spec;
  }
  SupervisorClient Client() {
    return SupervisorClient(sim_.caller(), ServerRef::Local("sup"));
  }
  Pid Where(const std::string& id) { return sim_.runtime().WhereIsLocal(id); }
  void EndChild(const std::string& id, int64_t how) {
    ScriptCast(sim_.caller(), ServerRef::Local(id), how);
    sim_.RunReady();
  }
  void Kill(const std::string& id) {
    sim_.runtime().SendExit(Pid(), Where(id), ExitReason::Kill());
    sim_.RunReady();
  }

  std::map<std::string, std::string> fail_;
  absl::Duration linger_;
  int slow_starts_ = 0;
  std::vector<std::string> seen_;
  std::optional<ExitReason> ended_;
  SimRuntime sim_;
};

// -- Configuration ------------------------------------------------------------

TEST_F(SupervisorTest, BadSpecsAreRefusedInWords) {  // otp S1, S3
  const auto error = [](SupervisorSpec spec) {
    const absl::Status status = Supervisor::Make(std::move(spec)).status();
    return absl::StrCat(ReasonOf(status), ": ", status.message());
  };
  SupervisorSpec flags = Spec({});
  flags.strategy = static_cast<Strategy>(7);
  EXPECT_EQ(error(flags),
            "BAD_SUPERVISOR_SPEC: the strategy is unknown: one_for_one, "
            "one_for_all or rest_for_one");
  flags = Spec({});
  flags.auto_shutdown = static_cast<AutoShutdown>(7);
  EXPECT_EQ(error(flags),
            "BAD_SUPERVISOR_SPEC: auto_shutdown is unknown: never, "
            "any_significant or all_significant");
  EXPECT_EQ(error(Spec({}, 1, absl::ZeroDuration())),
            "BAD_SUPERVISOR_SPEC: period is 0: it must be positive and finite");
  EXPECT_EQ(
      error(Spec({}, 1, absl::InfiniteDuration())),
      "BAD_SUPERVISOR_SPEC: period is inf: it must be positive and finite");
  EXPECT_EQ(error(Spec({Child("")})), "BAD_CHILD_SPEC: a child has no id");
  EXPECT_EQ(error(Spec({Child("a"), Child("b"), Child("a")})),
            "BAD_CHILD_SPEC: two children have the id 'a': ids are unique");
  ChildSpec bad = Child("a");
  bad.factory = nullptr;
  EXPECT_EQ(error(Spec({bad})),
            "BAD_CHILD_SPEC: child 'a' has no factory, and no start either");
  EXPECT_TRUE(absl::IsInvalidArgument(Supervisor::Make(Spec({bad})).status()));
  bad = Child("a");
  bad.start = [](Context& self) {
    return self.Async<absl::StatusOr<StartedChild>>([](auto) {});
  };
  EXPECT_EQ(error(Spec({bad})),
            "BAD_CHILD_SPEC: child 'a' has both factory and start: one of "
            "them");
  EXPECT_EQ(error(Spec({Child("a", static_cast<Restart>(7))})),
            "BAD_CHILD_SPEC: child 'a' has an unknown restart: permanent, "
            "transient or temporary");
  EXPECT_EQ(error(Spec({Child("a", Restart::kPermanent,
                              Shutdown::Within(-absl::Seconds(1)))})),
            "BAD_CHILD_SPEC: child 'a' has a shutdown of -1s: it must not be "
            "negative");
  bad = Child("a");
  bad.type = static_cast<ChildType>(7);
  EXPECT_EQ(error(Spec({bad})),
            "BAD_CHILD_SPEC: child 'a' has an unknown type: worker or "
            "supervisor");
  bad = Child("a");
  bad.significant = true;
  EXPECT_EQ(error(Spec({bad})),
            "BAD_CHILD_SPEC: child 'a' is permanent and significant: a "
            "permanent child never ends for good");
  bad.restart = Restart::kTransient;
  EXPECT_EQ(error(Spec({bad})),
            "BAD_CHILD_SPEC: child 'a' is significant, but the supervisor's "
            "auto_shutdown is never");
}

// -- Start and shutdown -------------------------------------------------------

TEST_F(SupervisorTest, StartsInOrderAndStopsInReverse) {  // otp S6, S28, S29
  const Pid pid = *Start(Spec({Child("a"), Child("b"), Child("c")}));
  EXPECT_THAT(seen_, ElementsAre("start a", "start b", "start c"));
  seen_.clear();
  linger_ = absl::Seconds(1);
  const BootTime before = sim_.Now();
  EXPECT_EQ(sim_.Stop(pid).kind(), Kind::kShutdown);
  EXPECT_THAT(seen_, ElementsAre("stop c", "stop b", "stop a"));
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(3));  // One after the other.
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
}

TEST_F(SupervisorTest, AFailingStartStopsTheOthers) {  // otp S8
  fail_["c"] = "no disk";
  const absl::Status status =
      Start(Spec({Child("a"), Child("b"), Child("c"), Child("d")})).status();
  EXPECT_EQ(ReasonOf(status), "INIT_FAILED");
  const std::string reason = DetailOf(status, "exit_reason");
  EXPECT_TRUE(absl::StrContains(reason, "failed_to_start_child 'c'")) << reason;
  EXPECT_TRUE(absl::StrContains(reason, "no disk")) << reason;
  EXPECT_THAT(seen_,
              ElementsAre("start a", "start b", "fail c", "stop b", "stop a"));
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
}

TEST_F(SupervisorTest, ATakenNameFailsTheStart) {  // otp S7, S8
  ASSERT_TRUE(sim_.Start(ScriptServer::Make(), "b").ok());
  EXPECT_FALSE(Start(Spec({Child("a"), Child("b")})).ok());
  EXPECT_THAT(seen_, ElementsAre("start a", "stop a"));
}

TEST_F(SupervisorTest, AFactoryThatThrowsFailsTheStart) {  // otp S7, S8
  ChildSpec bad = Child("b");
  bad.factory = []() -> std::unique_ptr<ProcessBody> {
    throw std::runtime_error("no config");
  };
  EXPECT_FALSE(Start(Spec({Child("a"), bad})).ok());
  bad.factory = []() -> std::unique_ptr<ProcessBody> { return nullptr; };
  EXPECT_FALSE(Start(Spec({Child("a"), bad})).ok());
  EXPECT_THAT(seen_, ElementsAre("start a", "stop a", "start a", "stop a"));
}

TEST_F(SupervisorTest, IgnoredChildrenAreSkipped) {  // otp S7
  fail_["a"] = "ignore";
  ASSERT_TRUE(Start(Spec({Child("a"), Child("b")})).ok());
  EXPECT_THAT(seen_, ElementsAre("fail a", "start b"));
  sim_.RunFor(absl::Minutes(1));
  EXPECT_EQ(seen_.size(), 2u);
}

// -- Which exits cause a restart ----------------------------------------------

TEST_F(SupervisorTest, TheTableOfRestarts) {  // otp 7.3, P7, S10, S12
  struct Row {
    Restart restart;
    int64_t how;
    bool restarts;
  };
  const std::vector<Row> rows = {
      {Restart::kPermanent, 0, true},  {Restart::kPermanent, 1, true},
      {Restart::kPermanent, 2, true},  {Restart::kPermanent, 3, true},
      {Restart::kPermanent, 4, true},  {Restart::kTransient, 0, false},
      {Restart::kTransient, 1, false}, {Restart::kTransient, 2, false},
      {Restart::kTransient, 3, true},  {Restart::kTransient, 4, true},
      {Restart::kTemporary, 0, false}, {Restart::kTemporary, 1, false},
      {Restart::kTemporary, 2, false}, {Restart::kTemporary, 3, false},
      {Restart::kTemporary, 4, false}};
  for (const Row& row : rows) {
    const Pid pid = *Start(Spec({Child("a"), Child("x", row.restart)}));
    const Pid a = Where("a");
    const Pid x = Where("x");
    EndChild("x", row.how);
    EXPECT_EQ(Where("a"), a);  // otp S12
    if (row.restarts) {
      EXPECT_FALSE(Where("x").empty());
      EXPECT_NE(Where("x"), x);  // otp S17
    } else {
      EXPECT_TRUE(Where("x").empty());
    }
    EXPECT_TRUE(sim_.Alive(pid));
    sim_.Stop(pid);
  }
}

TEST_F(SupervisorTest, AKilledChildIsRestarted) {  // otp 7.3, P7
  ASSERT_TRUE(Start(Spec({Child("x", Restart::kTransient)})).ok());
  Kill("x");
  EXPECT_THAT(seen_, ElementsAre("start x", "start x"));
}

TEST_F(SupervisorTest, StrangersAreIgnored) {  // otp S11
  const Pid pid = *Start(Spec({Child("a")}));
  sim_.runtime().Send(pid, Info(MakeInt64(1)));
  sim_.runtime().SendExit(Pid{"a", Epoch{1, 7}, 77}, pid,
                          ExitReason::Custom("x"));
  sim_.RunReady();
  EXPECT_TRUE(sim_.Alive(pid));
  EXPECT_EQ(sim_.log().Count(LogLevel::kWarning, "was dropped"), 1u);
}

// -- Intensity ----------------------------------------------------------------

TEST_F(SupervisorTest, GivesUpBeyondIntensity) {  // otp S18, S19, S20
  ASSERT_TRUE(Start(Spec({Child("a"), Child("b"), Child("c")}, 2)).ok());
  seen_.clear();
  Kill("b");
  Kill("a");
  EXPECT_FALSE(ended_.has_value());
  sim_.RunFor(absl::Seconds(5));  // The boundary still counts.
  Kill("b");
  EXPECT_THAT(seen_, ElementsAre("start b", "start a", "stop c", "stop a"));
  ASSERT_TRUE(ended_.has_value());
  EXPECT_EQ(ended_->kind(), Kind::kShutdown);
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
}

TEST_F(SupervisorTest, OldRestartsAreForgotten) {  // otp S18
  ASSERT_TRUE(Start(Spec({Child("a")}, 1)).ok());
  for (int i = 0; i < 10; ++i) {
    Kill("a");
    sim_.RunFor(absl::Seconds(5) + absl::Nanoseconds(1));
  }
  EXPECT_FALSE(ended_.has_value());
}

TEST_F(SupervisorTest, IntensityZero) {  // otp S18
  ASSERT_TRUE(Start(Spec({Child("a"), Child("t", Restart::kTransient),
                          Child("v", Restart::kTemporary)},
                         0))
                  .ok());
  EndChild("t", 0);
  Kill("v");
  EXPECT_FALSE(ended_.has_value());
  Kill("a");
  ASSERT_TRUE(ended_.has_value());
  EXPECT_EQ(ended_->kind(), Kind::kShutdown);
}

// -- A start that fails during a restart --------------------------------------

TEST_F(SupervisorTest, AFailedRestartIsRetriedAndCounted) {  // otp S21
  ASSERT_TRUE(Start(Spec({Child("a"), Child("b")}, 5)).ok());
  seen_.clear();
  fail_["a"] = "still broken";
  Kill("a");
  // The restart and four retries fail; the fifth retry would be the sixth.
  EXPECT_THAT(seen_, ElementsAre("fail a", "fail a", "fail a", "fail a",
                                 "fail a", "stop b"));
  ASSERT_TRUE(ended_.has_value());
  EXPECT_EQ(ended_->kind(), Kind::kShutdown);
}

TEST_F(SupervisorTest, ARetryThatSucceedsEndsTheRetrying) {  // otp S21
  ChildSpec flaky = Child("a");
  int starts = 0;
  flaky.factory = [&] {
    Script script;
    script.init = [&](Context&) -> InitResult {
      ++starts;
      if (starts == 2 || starts == 3) return Stop(ExitReason::Custom("x"));
      return Ok();
    };
    return ScriptServer::Make(script);
  };
  ASSERT_TRUE(Start(Spec({flaky}, 3)).ok());
  Kill("a");
  EXPECT_EQ(starts, 4);
  EXPECT_FALSE(Where("a").empty());
  EXPECT_FALSE(ended_.has_value());
}

TEST_F(SupervisorTest, ShutdownIsServedBetweenRetries) {  // otp S21
  ChildSpec slow = Child("a");
  bool first = true;
  slow.factory = [&] {
    Script script;
    script.init = [&](Context& self) -> InitResult {
      if (first) {
        first = false;
        co_return Ok();
      }
      co_await self.Sleep(absl::Seconds(1));
      co_return Stop(ExitReason::Custom("x"));
    };
    return ScriptServer::Make(script);
  };
  const Pid pid = *Start(Spec({slow}, 1'000'000, absl::Hours(100)));
  Kill("a");
  sim_.RunFor(absl::Seconds(10));
  const BootTime before = sim_.Now();
  EXPECT_EQ(sim_.Stop(pid).kind(), Kind::kShutdown);
  EXPECT_LE(sim_.Now() - before, absl::Seconds(1));
}

TEST_F(SupervisorTest, IgnoreDuringARestartEndsIt) {  // otp S24
  ASSERT_TRUE(Start(Spec({Child("a")})).ok());
  fail_["a"] = "ignore";
  Kill("a");
  sim_.RunFor(absl::Minutes(1));
  EXPECT_THAT(seen_, ElementsAre("start a", "fail a"));
  EXPECT_FALSE(ended_.has_value());
}

// -- Shutdown of a child ------------------------------------------------------

TEST_F(SupervisorTest, ShutdownWithinALimit) {  // otp S25, S27
  const Pid pid = *Start(Spec(
      {Child("a", Restart::kPermanent, Shutdown::Within(absl::Seconds(2)))}));
  linger_ = absl::Hours(1);
  const BootTime before = sim_.Now();
  sim_.Stop(pid);
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(2));
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, "killed"), 1u);
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
}

TEST_F(SupervisorTest, BrutalKillDoesNotAsk) {  // otp S25, G20
  const Pid pid =
      *Start(Spec({Child("a", Restart::kPermanent, Shutdown::BrutalKill())}));
  linger_ = absl::Hours(1);
  const BootTime before = sim_.Now();
  sim_.Stop(pid);
  EXPECT_EQ(sim_.Now(), before);
  EXPECT_THAT(seen_, ElementsAre("start a"));
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, ""), 0u);
}

TEST_F(SupervisorTest, InfinityWaits) {  // otp S25
  const Pid pid = *Start(Spec({Child(
      "a", Restart::kPermanent, Shutdown::Within(absl::InfiniteDuration()))}));
  linger_ = absl::Hours(20);
  const BootTime before = sim_.Now();
  sim_.Stop(pid);
  EXPECT_EQ(sim_.Now() - before, absl::Hours(20));
  EXPECT_THAT(seen_, ElementsAre("start a", "stop a"));
}

TEST_F(SupervisorTest, AKilledSupervisorTakesItsChildrenAlong) {  // otp S29
  std::string reason;
  ChildSpec spec = Child("a");
  spec.factory = [&] {
    Script script;
    script.init = [](Context& self) -> InitResult {
      self.TrapExit(true);
      return Ok();
    };
    script.terminate = [&](const ExitReason& r, Context&) -> Next {
      reason = r.ToString();
      return NoReply();
    };
    return ScriptServer::Make(script);
  };
  const Pid pid = *Start(Spec({spec}));
  sim_.runtime().SendExit(Pid(), pid, ExitReason::Kill());
  sim_.RunReady();
  EXPECT_EQ(reason, "killed");
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
}

TEST_F(SupervisorTest, AChildThatUnlinkedItselfCannotHangIt) {  // otp S25
  const Pid pid = *Start(Spec({Child("a")}));
  sim_.runtime().Unlink(Where("a"), pid);
  sim_.Stop(pid);
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
}

// -- Groups -------------------------------------------------------------------

TEST_F(SupervisorTest, AGroupRestartStartsWhatHadStopped) {  // otp S10, S15
  SupervisorSpec spec = Spec({Child("a"), Child("b", Restart::kTransient),
                              Child("c"), Child("d", Restart::kTemporary)},
                             5);
  spec.strategy = Strategy::kOneForAll;
  ASSERT_TRUE(Start(std::move(spec)).ok());
  EndChild("b", 0);
  ASSERT_TRUE(sim_.Await(Client().TerminateChild("c")).ok());
  seen_.clear();
  Kill("a");
  EXPECT_THAT(seen_, ElementsAre("stop d", "start a", "start b", "start c"));
  EXPECT_EQ(sim_.Await(Client().CountChildren())->specs, 3u);
}

TEST_F(SupervisorTest, AFailedStartWithinAGroup) {  // otp S23
  for (const Strategy strategy :
       {Strategy::kRestForOne, Strategy::kOneForAll}) {
    SupervisorSpec spec =
        Spec({Child("a"), Child("b"), Flaky("c", {2}), Child("d")}, 2);
    spec.strategy = strategy;
    const Pid pid = *Start(std::move(spec));
    seen_.clear();
    Kill("b");
    if (strategy == Strategy::kRestForOne) {
      // The retry is c's own: b stays.
      EXPECT_THAT(seen_, ElementsAre("stop d", "stop c", "start b", "fail c",
                                     "start c", "start d"));
    } else {
      EXPECT_THAT(
          seen_, ElementsAre("stop d", "stop c", "stop a", "start a", "start b",
                             "fail c", "stop b", "stop a", "start a", "start b",
                             "start c", "start d"));
    }
    EXPECT_TRUE(sim_.Alive(pid));
    sim_.Stop(pid);
  }
}

TEST_F(SupervisorTest, DeadSiblingsAreNoNewFailures) {  // otp S16
  SupervisorSpec spec = Spec({Child("a"), Child("b"), Child("c")}, 1);
  spec.strategy = Strategy::kOneForAll;
  const Pid pid = *Start(std::move(spec));
  seen_.clear();
  // Both Exits are in the mailbox before it looks.
  sim_.runtime().SendExit(Pid(), Where("b"), ExitReason::Kill());
  sim_.runtime().SendExit(Pid(), Where("c"), ExitReason::Kill());
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("stop a", "start a", "start b", "start c"));
  EXPECT_TRUE(sim_.Alive(pid));
}

// -- Orders while a start is retried ------------------------------------------

TEST_F(SupervisorTest, OrdersWhileRestarting) {  // otp S21, S22
  ChildSpec slow = Slow("a");
  const Pid pid = *Start(Spec({slow, Child("b")}, 100));
  Kill("a");  // Its start takes a second and fails: orders queue up behind it.
  SupervisorClient sup = Client();
  const auto reason = [](auto pending) {
    auto text = std::make_shared<std::string>();
    std::move(pending).Then([text](auto result) {
      if constexpr (std::is_same_v<decltype(result), absl::Status>) {
        *text = result.ok() ? "ok" : ReasonOf(result);
      } else {
        *text = result.ok() ? "ok" : ReasonOf(result.status());
      }
    });
    return text;
  };
  const auto started = reason(sup.StartChild(slow));
  const auto restarted = reason(sup.RestartChild("a"));
  const auto deleted = reason(sup.DeleteChild("a"));
  bool restarting = false;
  sup.WhichChildren().Then([&](absl::StatusOr<std::vector<ChildInfo>> list) {
    restarting = list->back().restarting && list->back().pid.empty();
  });
  size_t active = 9;
  size_t specs = 9;
  sup.CountChildren().Then([&](absl::StatusOr<ChildCounts> counts) {
    active = counts->active;
    specs = counts->specs;
  });
  const auto terminated = reason(sup.TerminateChild("a"));
  const auto again = reason(sup.DeleteChild("a"));
  sim_.RunFor(absl::Seconds(1));
  EXPECT_EQ(*started, "ALREADY_PRESENT");
  EXPECT_EQ(*restarted, "RESTARTING");
  EXPECT_EQ(*deleted, "RESTARTING");
  EXPECT_TRUE(restarting);
  EXPECT_EQ(active, 1u);
  EXPECT_EQ(specs, 2u);
  EXPECT_EQ(*terminated, "ok");
  EXPECT_EQ(*again, "ok");
  const int starts = slow_starts_;
  sim_.RunFor(absl::Minutes(1));
  EXPECT_EQ(slow_starts_, starts);  // The queued retry was ignored.
  EXPECT_TRUE(sim_.Alive(pid));
}

TEST_F(SupervisorTest, AFullMailboxLosesNoRetry) {  // otp S21
  const Pid pid = *Start(Spec({Slow("a")}, 3));
  Kill("a");
  for (size_t i = 0; i < 2 * RuntimeOptions().mailbox_messages_max; ++i) {
    sim_.runtime().Send(pid, Info(MakeInt64(1)));
  }
  sim_.RunFor(absl::Minutes(1));
  // At init, and three restarts, the last two by retries; one more is too many.
  EXPECT_EQ(slow_starts_, 4);
  ASSERT_TRUE(ended_.has_value());
  EXPECT_EQ(ended_->kind(), Kind::kShutdown);
}

TEST_F(SupervisorTest, ReconfiguringLosesNoRetry) {  // otp S21, S34
  ASSERT_TRUE(Start(Spec({Slow("a"), Child("b")}, 3)).ok());
  Kill("a");
  const auto done = std::make_shared<bool>(false);
  Client()
      .Reconfigure(Spec({Child("c"), Slow("a")}, 3))
      .Then([done](absl::Status status) { *done = status.ok(); });
  sim_.RunFor(absl::Minutes(1));
  EXPECT_TRUE(*done);
  EXPECT_EQ(slow_starts_, 4);
  EXPECT_TRUE(ended_.has_value());
}

TEST_F(SupervisorTest, AStartThatThrowsIsAFailedStart) {  // otp S7
  ASSERT_TRUE(Start(Spec({})).ok());
  ChildSpec spec;
  spec.id = "a";
  spec.start = [](Context&) -> Pending<absl::StatusOr<StartedChild>> {
    throw std::runtime_error("now");
  };
  absl::Status status = sim_.Await(Client().StartChild(spec)).status();
  EXPECT_EQ(ReasonOf(status), "INIT_FAILED");
  EXPECT_EQ(status.message(), "the start of 'a' threw: now");
  spec.start = [](Context& self) {
    return self.Blocking<absl::StatusOr<StartedChild>>(
        []() -> absl::StatusOr<StartedChild> {
          throw std::runtime_error("later");
        });
  };
  status = sim_.Await(Client().StartChild(spec)).status();
  EXPECT_EQ(ReasonOf(status), "INIT_FAILED");
  EXPECT_EQ(status.message(), "the start of 'a' threw: later");
  spec.start = [](Context& self) {
    return self.Blocking<absl::StatusOr<StartedChild>>(
        []() -> absl::StatusOr<StartedChild> {
          return StartedChild(Pid{"elsewhere", Epoch{1, 1}, 5});
        });
  };
  EXPECT_EQ(ReasonOf(sim_.Await(Client().StartChild(spec)).status()),
            "NOT_LOCAL");
  EXPECT_FALSE(ended_.has_value());
}

// -- Automatic shutdown -------------------------------------------------------

TEST_F(SupervisorTest, AnySignificantEnd) {  // otp S31, S32
  ASSERT_TRUE(Start(Significant(AutoShutdown::kAnySignificant)).ok());
  EndChild("c", 3);  // Not significant.
  EndChild("a", 3);  // Abnormal and transient: a restart.
  ASSERT_TRUE(sim_.Await(Client().TerminateChild("b")).ok());
  EXPECT_FALSE(ended_.has_value());
  seen_.clear();
  EndChild("a", 0);
  ASSERT_TRUE(ended_.has_value());
  EXPECT_EQ(*ended_, ExitReason::Shutdown());
  EXPECT_THAT(seen_, ElementsAre("stop p"));
}

TEST_F(SupervisorTest, AllSignificantEnd) {  // otp S31, S32
  ASSERT_TRUE(Start(Significant(AutoShutdown::kAllSignificant)).ok());
  EndChild("a", 0);
  EXPECT_FALSE(ended_.has_value());
  EndChild("b", 3);  // Temporary: any end counts.
  ASSERT_TRUE(ended_.has_value());
  EXPECT_EQ(*ended_, ExitReason::Shutdown());
}

TEST_F(SupervisorTest, AutomaticShutdownCascades) {  // otp S33
  SupervisorSpec inner = Significant(AutoShutdown::kAnySignificant);
  ChildSpec child = Supervisor::AsChild(std::move(inner), "inner");
  child.restart = Restart::kTransient;
  child.significant = true;
  SupervisorSpec outer = Spec({Child("x"), child});
  outer.auto_shutdown = AutoShutdown::kAllSignificant;
  ASSERT_TRUE(Start(std::move(outer)).ok());
  EndChild("a", 0);
  ASSERT_TRUE(ended_.has_value());
  EXPECT_EQ(*ended_, ExitReason::Shutdown());
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
}

TEST_F(SupervisorTest, ThousandsOfChildrenComeBack) {
  ASSERT_TRUE(Start(Spec({}, 1'000'000)).ok());
  for (int i = 0; i < 3000; ++i) {
    ASSERT_TRUE(
        sim_.Await(Client().StartChild(Child(absl::StrCat("c", i)))).ok());
  }
  for (int i = 0; i < 3000; ++i) Kill(absl::StrCat("c", i));
  const absl::StatusOr<ChildCounts> counts =
      sim_.Await(Client().CountChildren());
  EXPECT_EQ(counts->active, 3000u);
  EXPECT_EQ(seen_.size(), 6000u);
}

// -- Trees --------------------------------------------------------------------

TEST_F(SupervisorTest, AnInnerSupervisorThatGivesUpIsRestarted) {  // otp S19
  ChildSpec inner;
  inner.id = "inner";
  inner.shutdown = Shutdown::Within(absl::InfiniteDuration());
  inner.factory = [this]() -> std::unique_ptr<ProcessBody> {
    return *Supervisor::Make(Spec({Child("a"), Child("b")}, 0));
  };
  const Pid pid = *Start(Spec({inner, Child("c")}));
  seen_.clear();
  Kill("a");
  EXPECT_THAT(seen_, ElementsAre("stop b", "start a", "start b"));
  EXPECT_TRUE(sim_.Alive(pid));
  seen_.clear();
  sim_.Stop(pid);
  EXPECT_THAT(seen_, ElementsAre("stop c", "stop b", "stop a"));
}

}  // namespace
}  // namespace muster
