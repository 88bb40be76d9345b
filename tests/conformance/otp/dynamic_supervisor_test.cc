// Elixir's dynamic_supervisor_test: children on demand.
#include "node/supervisor/dynamic_supervisor.h"

#include <map>
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
#include "node/process/via.h"
#include "node/supervisor/supervisor.h"
#include "node/types/status.h"
#include "tests/conformance/otp/dynamic_children.h"
#include "tests/conformance/otp/expect.h"
#include "tests/conformance/otp/otp_case.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Kind = ExitReason::Kind;

class DynamicSupervisorCases : public DynamicChildren {
 protected:
  Pid StartTop(std::vector<ChildSpec> children) {
    SupervisorSpec spec;
    spec.children = std::move(children);
    auto top = Supervisor::Make(std::move(spec));
    EXPECT_TRUE(top.ok()) << top.status();
    absl::StatusOr<Pid> pid = sim_.Start(*std::move(top), "top");
    EXPECT_TRUE(pid.ok()) << pid.status();
    return pid.value_or(Pid());
  }
  // Starts three, ends the supervisor; how they ended.
  std::vector<ExitReason> EndsOf(std::vector<ChildSpec> specs) {
    std::vector<std::optional<ExitReason>> ends(specs.size());
    for (size_t i = 0; i < specs.size(); ++i) {
      Watch(Start(std::move(specs[i])), &ends[i]);
    }
    EXPECT_EQ(sim_.Stop(pool_), ExitReason::Shutdown());
    std::vector<ExitReason> reasons;
    for (const auto& end : ends) {
      EXPECT_TRUE(end.has_value());
      reasons.push_back(end.value_or(ExitReason::Noproc()));
    }
    return reasons;
  }
};

// -- Starting it --------------------------------------------------------------

TEST_F(DynamicSupervisorCases, EDS01_CanBeSupervisedDirectly) {
  OTP_CASE("EDS.01", "D1");
  StartTop({DynamicSupervisor::AsChild(DynamicSupervisorSpec(), "pool")});
  EXPECT_EQ(Counts(), "0 0 0 0");
  EXPECT_THAT(Which(), IsEmpty());
}

TEST_F(DynamicSupervisorCases, EDS02_SeveralAreToldApartByTheirNames) {
  OTP_CASE("EDS.02", "D1");
  // A name twice: the second start fails, and with it the whole tree.
  SupervisorSpec twice;
  twice.children = {DynamicSupervisor::AsChild(DynamicSupervisorSpec(), "one"),
                    DynamicSupervisor::AsChild(DynamicSupervisorSpec(), "one")};
  twice.children[1].id = "two";
  auto top = Supervisor::Make(twice);
  ASSERT_TRUE(top.ok()) << top.status();
  absl::StatusOr<Pid> pid = sim_.Start(*std::move(top), "top");
  EXPECT_EQ(pid.status().code(), absl::StatusCode::kAborted) << pid.status();
  EXPECT_THAT(DetailOf(pid.status(), "exit_reason"),
              ::testing::HasSubstr("already the name of"));
  EXPECT_EQ(sim_.runtime().process_count(), 0u);

  StartTop({DynamicSupervisor::AsChild(DynamicSupervisorSpec(), "one"),
            DynamicSupervisor::AsChild(DynamicSupervisorSpec(), "two")});
  DynamicSupervisorClient one(sim_.caller(), ServerRef::Local("one"));
  DynamicSupervisorClient two(sim_.caller(), ServerRef::Local("two"));
  ASSERT_TRUE(sim_.Await(one.StartChild(Child())).ok());
  EXPECT_EQ(sim_.Await(one.CountChildren())->active, 1u);
  EXPECT_EQ(sim_.Await(two.CountChildren())->active, 0u);

  // By a key in a registry of the node.
  class Keys final : public ViaRegistry {
   public:
    Pid WhereIs(absl::string_view key) const override {
      return key == "second" ? pid : Pid();
    }
    void Register(absl::string_view, const Pid&,
                  absl::AnyInvocable<void(absl::Status)>) override {}
    void Unregister(absl::string_view, const Pid&) override {}
    Pid pid;
  };
  Keys keys;
  keys.pid = sim_.runtime().WhereIsLocal("two");
  ASSERT_TRUE(sim_.runtime().AddVia("keys", &keys));
  DynamicSupervisorClient via(sim_.caller(), ServerRef::Via("keys", "second"));
  ASSERT_TRUE(sim_.Await(via.StartChild(Child())).ok());
  EXPECT_EQ(sim_.Await(two.CountChildren())->active, 1u);
  sim_.runtime().RemoveVia("keys");
}

TEST_F(DynamicSupervisorCases, EDS03_TheChildSpecTakesOverrides) {
  OTP_CASE("EDS.03", "D1");
  ChildSpec spec = DynamicSupervisor::AsChild(DynamicSupervisorSpec(), "pool");
  EXPECT_EQ(spec.id, "pool");
  EXPECT_EQ(spec.name, "pool");
  EXPECT_EQ(spec.type, ChildType::kSupervisor);
  EXPECT_EQ(spec.restart, Restart::kPermanent);
  EXPECT_EQ(spec.shutdown_or_default(),
            Shutdown::Within(absl::InfiniteDuration()));
  spec.id = "other";
  spec.restart = Restart::kTemporary;
  spec.shutdown = Shutdown::Within(absl::Milliseconds(5));
  StartTop({spec});
  Kill(sim_.runtime().WhereIsLocal("pool"));
  EXPECT_TRUE(sim_.runtime().WhereIsLocal("pool").empty());  // Temporary.
}

TEST_F(DynamicSupervisorCases, EDS04_TheDefaultsAreThoseOfElixir) {
  OTP_CASE("EDS.04", "D1");
  const DynamicSupervisorSpec spec;
  EXPECT_EQ(spec.intensity, 3u);
  EXPECT_EQ(spec.period, absl::Seconds(5));
  EXPECT_FALSE(spec.max_children.has_value());
  EXPECT_TRUE(spec.extra.empty());
  EXPECT_FALSE(spec.child_template.has_value());
  // In force: three restarts are tolerated, the fourth is not.
  StartPool();
  Start(Child(Restart::kPermanent));
  for (int i = 0; i < 3; ++i) End(Which()[0].pid, ExitReason::Custom("x"));
  ASSERT_FALSE(ended_.has_value());
  End(Which()[0].pid, ExitReason::Custom("x"));
  EXPECT_EQ(ended_, ExitReason::Shutdown());
}

TEST_F(DynamicSupervisorCases, EDS05_ANamedOneIsLinkedToItsStarter) {
  OTP_CASE("EDS.05", "D1 S29");
  Pid pool;
  Script script;
  script.call = [&pool](int64_t, Context& self) -> Reply<Int64> {
    StartOptions options;
    options.name = "pool";
    auto body = std::make_unique<DynamicSupervisor>();
    absl::StatusOr<Pid> started = co_await StartLink(
        self, std::move(body), Payload(), std::move(options));
    pool = started.value_or(Pid());
    co_return MakeInt64(started.ok());
  };
  const Pid starter = *sim_.Start(ScriptServer::Make(script), "starter");
  EXPECT_EQ(sim_.Await(ScriptCall(sim_.caller(), starter, 0))->value(), 1);
  EXPECT_EQ(sim_.runtime().WhereIsLocal("pool"), pool);
  std::optional<ExitReason> ended;
  Watch(pool, &ended);
  Kill(starter);
  EXPECT_EQ(ended, ExitReason::Killed());  // By the link, from its parent.
  // And one that is stopped.
  StartPool();
  EXPECT_EQ(sim_.Stop(pool_), ExitReason::Shutdown());
  EXPECT_TRUE(sim_.runtime().WhereIsLocal("pool").empty());
}

TEST_F(DynamicSupervisorCases, EDS06_ABadReconfigurationChangesNothing) {
  OTP_CASE("EDS.06", "S34 D1");
  DynamicSupervisorSpec spec;
  spec.max_children = 1;
  StartPool(spec);
  const Pid child = Start(Child());
  DynamicSupervisorSpec bad;
  bad.max_children = 5;
  bad.period = absl::ZeroDuration();
  EXPECT_TRUE(IsError(sim_.Await(pool().Reconfigure(bad)),
                      absl::StatusCode::kInvalidArgument, "BAD_SUPERVISOR_SPEC",
                      Outcome::kExecuted));
  bad.period = absl::InfiniteDuration();
  EXPECT_EQ(ReasonOf(sim_.Await(pool().Reconfigure(bad))),
            "BAD_SUPERVISOR_SPEC");
  EXPECT_EQ(ReasonOf(TryStart(Child()).status()), "MAX_CHILDREN");
  // A good one: new limits, the same children.
  DynamicSupervisorSpec good;
  good.max_children = 2;
  good.intensity = 0;
  EXPECT_EQ(sim_.Await(pool().Reconfigure(good)), absl::OkStatus());
  EXPECT_TRUE(sim_.Alive(child));
  const Pid second = Start(Child(Restart::kPermanent));
  EXPECT_EQ(ReasonOf(TryStart(Child()).status()), "MAX_CHILDREN");
  End(second, ExitReason::Custom("x"));
  EXPECT_EQ(ended_, ExitReason::Shutdown());
}

TEST_F(DynamicSupervisorCases, EDS06_ABadSpecFailsTheStart) {
  OTP_CASE("EDS.06", "D1 S1");
  DynamicSupervisorSpec bad;
  bad.period = -absl::Seconds(1);
  absl::StatusOr<Pid> pid =
      sim_.Start(std::make_unique<DynamicSupervisor>(bad), "pool");
  EXPECT_TRUE(IsError(pid.status(), absl::StatusCode::kInvalidArgument,
                      "BAD_SUPERVISOR_SPEC", Outcome::kExecuted));
}

// -- Starting children --------------------------------------------------------

TEST_F(DynamicSupervisorCases, EDS07_AChildIsStartedByItsSpec) {
  OTP_CASE("EDS.07", "D2");
  StartPool();
  const Pid pid = Start(Child());
  EXPECT_TRUE(sim_.Alive(pid));
  // The same spec again is another child (otp D1).
  const Pid again = Start(Child());
  EXPECT_NE(pid, again);
  const std::vector<ChildInfo> list = Which();
  ASSERT_THAT(list, SizeIs(2));
  EXPECT_EQ(list[0].pid, pid);
  EXPECT_EQ(list[1].pid, again);
  EXPECT_EQ(list[0].id, "");
  EXPECT_EQ(list[0].type, ChildType::kWorker);
}

TEST_F(DynamicSupervisorCases, EDS08_ASpecCanComeFromItsServerType) {
  OTP_CASE("EDS.08", "D2 S2");
  struct Server final : InfoServer {
    using Options = Int64;
    InitResult Init(Context&) override { return Ok(); }
  };
  StartPool();
  const Pid pid = Start(ChildSpec::Of<Server>(MakeInt64(3), "typed"));
  EXPECT_EQ(sim_.runtime().WhereIsLocal("typed"), pid);
  absl::StatusOr<ChildSpec> spec = sim_.Await(pool().GetChildSpec(pid));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->id, "typed");
  EXPECT_EQ(spec->restart, Restart::kPermanent);
  EXPECT_EQ(spec->shutdown_or_default(), Shutdown::Within(absl::Seconds(5)));
  EXPECT_TRUE(IsError(sim_.Await(pool().GetChildSpec(pool_)).status(),
                      absl::StatusCode::kNotFound, "NO_CHILD",
                      Outcome::kExecuted));
}

// A child that notes what it was initialized with.
class Noting final : public GenServer {
 public:
  explicit Noting(std::vector<std::string>* seen) : seen_(seen) {}
  const ServiceInfo& service_info() const override {
    static const ServiceInfo kNone;
    return kNone;
  }
  Next HandleInfo(Info, Context&) override {
    return Stop(ExitReason::Custom("x"));
  }

 private:
  HandlerResult OnInit(Payload& options, Context&) override {
    std::string text;
    if (const Int64* number = options.As<Int64>()) {
      text = absl::StrCat("message ", number->value());
    } else if (const auto* list = options.As<ArgumentList>()) {
      for (size_t i = 0; i < list->size(); ++i) {
        const std::string* word = list->Get<std::string>(i);
        absl::StrAppend(&text, i == 0 ? "" : " ", word ? *word : "?");
      }
    }
    seen_->push_back(text);
    return InitResult(Ok()).Erase();
  }
  HandlerResult OnCall(absl::string_view method, Payload&, Context&) override {
    return internal::UnknownMethod(method);
  }
  HandlerResult OnCast(absl::string_view method, Payload&, Context&) override {
    return internal::UnknownMethod(method);
  }
  std::vector<std::string>* const seen_;
};

TEST_F(DynamicSupervisorCases, EDS09_ExtraArgumentsComeFirstAlsoAtARestart) {
  OTP_CASE("EDS.09", "D1");
  DynamicSupervisorSpec spec;
  spec.extra = ChildArguments::Of(std::string("extra"));
  StartPool(spec);
  std::vector<std::string> seen;
  ChildSpec child;
  child.factory = [&seen] { return std::make_unique<Noting>(&seen); };
  child.init = [] { return Payload::Of(std::string("own")); };
  End(Start(child), ExitReason::Custom("x"));
  EXPECT_THAT(seen, ElementsAre("extra own", "extra own"));
  // A start of one's own takes no arguments.
  ChildSpec own;
  own.start = [](Context&) {
    return Pending<absl::StatusOr<StartedChild>>(
        std::make_shared<internal::Arrival<absl::StatusOr<StartedChild>>>());
  };
  EXPECT_EQ(ReasonOf(TryStart(own).status()), "BAD_CHILD_SPEC");
}

TEST_F(DynamicSupervisorCases, EDS10_WhatAStartGivesIsPassedOn) {
  OTP_CASE("EDS.10", "D2 S7");
  StartPool();
  const auto start_gives = [](absl::StatusOr<StartedChild> result) {
    ChildSpec spec;
    spec.start = [result](Context&) {
      auto arrival =
          std::make_shared<internal::Arrival<absl::StatusOr<StartedChild>>>();
      arrival->Set(result);
      return Pending<absl::StatusOr<StartedChild>>(arrival);
    };
    return spec;
  };
  const Pid some = *sim_.Start(ScriptServer::Make(), "some");
  absl::StatusOr<StartedChild> started =
      TryStart(start_gives(StartedChild(some, "and more")));
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->pid, some);
  EXPECT_EQ(started->info, "and more");
  EXPECT_EQ(Counts(), "1 1 0 1");

  // Ignored: no child.
  mood_ = "ignore";
  started = TryStart(MoodyChild(Restart::kPermanent));
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_TRUE(started->pid.empty());
  EXPECT_EQ(Counts(), "1 1 0 1");

  // Errors, as they are.
  mood_ = "error";
  EXPECT_EQ(TryStart(MoodyChild(Restart::kPermanent)).status().message(),
            "found nothing");
  mood_ = "stop";
  started = TryStart(MoodyChild(Restart::kPermanent));
  EXPECT_TRUE(IsError(started.status(), absl::StatusCode::kAborted,
                      "INIT_FAILED", Outcome::kExecuted));
  EXPECT_EQ(DetailOf(started.status(), "exit_reason"),
            ExitReason::Custom("no").ToString());
  EXPECT_EQ(Counts(), "1 1 0 1");
}

TEST_F(DynamicSupervisorCases, EDS11_AStartThatThrowsIsAFailedStart) {
  OTP_CASE("EDS.11", "D2 H4");
  StartPool();
  mood_ = "throw";
  absl::StatusOr<StartedChild> started =
      TryStart(MoodyChild(Restart::kPermanent));
  EXPECT_TRUE(IsError(started.status(), absl::StatusCode::kAborted,
                      "INIT_FAILED", Outcome::kExecuted));
  EXPECT_EQ(DetailOf(started.status(), "exit_reason"),
            "exception(std::runtime_error: oops)");
  // In the factory, before there is a process.
  ChildSpec spec;
  spec.factory = []() -> std::unique_ptr<ProcessBody> {
    throw std::runtime_error("oops");
  };
  EXPECT_TRUE(IsError(TryStart(spec).status(), absl::StatusCode::kAborted,
                      "INIT_FAILED", Outcome::kExecuted));
  EXPECT_EQ(Counts(), "0 0 0 0");
  EXPECT_FALSE(ended_.has_value());
}

TEST_F(DynamicSupervisorCases, EDS12_MaxChildrenIsKept) {
  OTP_CASE("EDS.12", "D2");
  DynamicSupervisorSpec spec;
  spec.max_children = 0;
  StartPool(spec);
  EXPECT_TRUE(IsError(TryStart(Child()).status(),
                      absl::StatusCode::kResourceExhausted, "MAX_CHILDREN",
                      Outcome::kExecuted));
}

TEST_F(DynamicSupervisorCases, EDS07_BadSpecsAreFoundByTheCaller) {
  OTP_CASE("EDS.07", "D2");
  // Nobody is asked: there is no supervisor.
  EXPECT_TRUE(IsError(TryStart(ChildSpec()).status(),
                      absl::StatusCode::kInvalidArgument, "BAD_CHILD_SPEC",
                      Outcome::kNotExecuted));
  ChildSpec significant = Child();
  significant.significant = true;
  EXPECT_EQ(ReasonOf(TryStart(significant).status()), "BAD_CHILD_SPEC");
  EXPECT_TRUE(IsError(TryStart(Child()).status(), absl::StatusCode::kNotFound,
                      "NOPROC", Outcome::kNotExecuted));
}

// -- Restarting them ----------------------------------------------------------

TEST_F(DynamicSupervisorCases, EDS13_ATemporaryChildIsNeverRestarted) {
  OTP_CASE("EDS.13", "D4 S10");
  StartPool();
  for (const ExitReason& reason :
       {ExitReason::Normal(), ExitReason::Shutdown(), ExitReason::Shutdown("x"),
        ExitReason::Custom("x"), ExitReason::Exception("x")}) {
    const Pid pid = Start(Child(Restart::kTemporary));
    End(pid, reason);
    EXPECT_FALSE(sim_.Alive(pid));
    EXPECT_EQ(Counts(), "0 0 0 0") << reason.ToString();
  }
  const Pid pid = Start(Child(Restart::kTemporary));
  Kill(pid);
  EXPECT_EQ(Counts(), "0 0 0 0");
}

TEST_F(DynamicSupervisorCases, EDS13_ATransientChildIsRestartedIfItFails) {
  OTP_CASE("EDS.13", "D4");
  StartPool();
  for (const ExitReason& reason : {ExitReason::Normal(), ExitReason::Shutdown(),
                                   ExitReason::Shutdown("x")}) {
    End(Start(Child(Restart::kTransient)), reason);
    EXPECT_EQ(Counts(), "0 0 0 0") << reason.ToString();
  }
  const Pid pid = Start(Child(Restart::kTransient));
  End(pid, ExitReason::Custom("x"));
  ASSERT_THAT(Which(), SizeIs(1));
  EXPECT_NE(Which()[0].pid, pid);
  EXPECT_TRUE(sim_.Alive(Which()[0].pid));
}

TEST_F(DynamicSupervisorCases, EDS14_APermanentChildIsRestartedWhateverItDid) {
  OTP_CASE("EDS.14", "D4");
  DynamicSupervisorSpec spec;
  spec.intensity = 100'000;
  StartPool(spec);
  size_t count = 0;
  for (const ExitReason& reason :
       {ExitReason::Normal(), ExitReason::Shutdown(), ExitReason::Shutdown("x"),
        ExitReason::Custom("x"), ExitReason::Exception("x")}) {
    const Pid pid = Start(Child(Restart::kPermanent));
    ++count;
    End(pid, reason);
    const std::vector<ChildInfo> list = Which();
    ASSERT_THAT(list, SizeIs(count));
    // In the place of the old one.
    EXPECT_NE(list.back().pid, pid);
    EXPECT_TRUE(sim_.Alive(list.back().pid)) << reason.ToString();
    EXPECT_EQ(Counts(), absl::StrCat(count, " ", count, " 0 ", count));
  }
}

TEST_F(DynamicSupervisorCases, EDS15_AChildInAFailingRestartCounts) {
  OTP_CASE("EDS.15", "D3 D4 D5 S21");
  DynamicSupervisorSpec spec;
  spec.max_children = 1;
  spec.intensity = 100'000;
  StartPool(spec);
  const Pid pid = Start(MoodyChild(Restart::kPermanent));
  // Its restart fails from now on; between two attempts there is a turn for
  // others, and this is a snapshot of one.
  mood_ = "stop";
  sim_.runtime().Send(pid, Info(ExitReason::Custom("x")));
  ASSERT_TRUE(sim_.RunUntil([&] { return starts_ >= 3; }));
  EXPECT_EQ(ReasonOf(TryStart(Child()).status()), "MAX_CHILDREN");
  EXPECT_EQ(Counts(), "1 0 0 1");
  std::vector<ChildInfo> list = Which();
  ASSERT_THAT(list, SizeIs(1));
  EXPECT_TRUE(list[0].restarting);
  EXPECT_TRUE(list[0].pid.empty());
  // The pid that it had is its name now.
  EXPECT_TRUE(sim_.Await(pool().GetChildSpec(pid)).ok());
  EXPECT_EQ(Terminate(pid), absl::OkStatus());
  const int starts = starts_;
  EXPECT_EQ(Counts(), "0 0 0 0");
  sim_.RunFor(absl::Seconds(10));
  EXPECT_EQ(starts_, starts);  // No attempt any more.
  EXPECT_EQ(ReasonOf(Terminate(pid)), "NO_CHILD");
  EXPECT_FALSE(ended_.has_value());
}

TEST_F(DynamicSupervisorCases, EDS15_AFailingRestartEndsByTheIntensity) {
  OTP_CASE("EDS.15", "D4 S18 S19 S21");
  DynamicSupervisorSpec spec;
  spec.intensity = 3;
  StartPool(spec);
  const Pid pid = Start(MoodyChild(Restart::kPermanent));
  std::optional<ExitReason> other;
  Watch(Start(Child()), &other);
  mood_ = "stop";
  End(pid, ExitReason::Custom("x"));
  EXPECT_EQ(starts_, 1 + 3);  // Each attempt counted.
  EXPECT_EQ(ended_, ExitReason::Shutdown());
  EXPECT_EQ(other, ExitReason::Shutdown());
}

TEST_F(DynamicSupervisorCases, EDS15_AnIgnoredRestartDropsTheChild) {
  OTP_CASE("EDS.15", "S24");
  StartPool();
  const Pid pid = Start(MoodyChild(Restart::kPermanent));
  mood_ = "ignore";
  End(pid, ExitReason::Custom("x"));
  EXPECT_EQ(Counts(), "0 0 0 0");
  EXPECT_FALSE(ended_.has_value());
}

TEST_F(DynamicSupervisorCases, EDS16_ARestartedChildCounts) {
  OTP_CASE("EDS.16", "D3");
  DynamicSupervisorSpec spec;
  spec.max_children = 1;
  StartPool(spec);
  const Pid pid = Start(Child(Restart::kPermanent));
  End(pid, ExitReason::Custom("x"));
  ASSERT_THAT(Which(), SizeIs(1));
  EXPECT_NE(Which()[0].pid, pid);
  EXPECT_EQ(ReasonOf(TryStart(Child()).status()), "MAX_CHILDREN");
  // The old pid names nobody now.
  EXPECT_EQ(ReasonOf(Terminate(pid)), "NO_CHILD");
}

// -- Ending them --------------------------------------------------------------

TEST_F(DynamicSupervisorCases, EDS17_ShutdownZeroAndOneAreValid) {
  OTP_CASE("EDS.17", "S2");
  StartPool();
  for (const absl::Duration limit :
       {absl::ZeroDuration(), absl::Milliseconds(1)}) {
    const Pid pid = Start(Child(Restart::kTemporary, Shutdown::Within(limit)));
    absl::StatusOr<ChildSpec> spec = sim_.Await(pool().GetChildSpec(pid));
    ASSERT_TRUE(spec.ok());
    EXPECT_EQ(spec->shutdown, Shutdown::Within(limit));
    EXPECT_EQ(Terminate(pid), absl::OkStatus());
    EXPECT_FALSE(sim_.Alive(pid));
  }
}

TEST_F(DynamicSupervisorCases, EDS18_BrutalKillKillsThemAll) {
  OTP_CASE("EDS.18", "D6 S25");
  StartPool();
  const ChildSpec spec =
      Child(Restart::kTemporary, Shutdown::BrutalKill(), Obeys::kTraps);
  EXPECT_THAT(EndsOf({spec, spec, spec}),
              ElementsAre(ExitReason::Killed(), ExitReason::Killed(),
                          ExitReason::Killed()));
  EXPECT_FALSE(Logged("in its shutdown"));
}

TEST_F(DynamicSupervisorCases, EDS19_InfinityWaitsForThemAll) {
  OTP_CASE("EDS.19", "D6 S25 S26");
  StartPool();
  const Shutdown infinity = Shutdown::Within(absl::InfiniteDuration());
  EXPECT_THAT(EndsOf({Child(Restart::kTemporary, infinity, Obeys::kTraps),
                      Child(Restart::kTemporary, infinity, Obeys::kAtOnce),
                      Child(Restart::kTemporary, infinity, Obeys::kTraps)}),
              ElementsAre(ExitReason::Shutdown(), ExitReason::Shutdown(),
                          ExitReason::Shutdown()));
}

TEST_F(DynamicSupervisorCases, EDS20_ShutdownWithAnotherReasonIsAccepted) {
  OTP_CASE("EDS.20", "D6 S27");
  StartPool();
  const ChildSpec spec =
      ChildThatEndsWith(ExitReason::Shutdown("oops"), Restart::kTemporary,
                        Shutdown::Within(absl::InfiniteDuration()));
  EXPECT_THAT(
      EndsOf({spec, spec, spec}),
      ElementsAre(ExitReason::Shutdown("oops"), ExitReason::Shutdown("oops"),
                  ExitReason::Shutdown("oops")));
  EXPECT_FALSE(Logged("in its shutdown"));
}

TEST_F(DynamicSupervisorCases, EDS21_ALimitThatIsEnoughKillsNobody) {
  OTP_CASE("EDS.21", "D6 S25");
  StartPool();
  const Shutdown second = Shutdown::Within(absl::Milliseconds(1000));
  EXPECT_THAT(EndsOf({Child(Restart::kTemporary, second),
                      Child(Restart::kTemporary, second, Obeys::kTraps),
                      Child(Restart::kTemporary, second)}),
              ElementsAre(ExitReason::Shutdown(), ExitReason::Shutdown(),
                          ExitReason::Shutdown()));
}

TEST_F(DynamicSupervisorCases, EDS22_OnlyWhoIsLateIsKilled) {
  OTP_CASE("EDS.22", "D6 S28");
  StartPool();
  const Shutdown soon = Shutdown::Within(absl::Milliseconds(1));
  const BootTime before = sim_.Now();
  EXPECT_THAT(EndsOf({Child(Restart::kTemporary, soon, Obeys::kNever),
                      Child(Restart::kTemporary, soon),
                      Child(Restart::kTemporary, soon)}),
              ElementsAre(ExitReason::Killed(), ExitReason::Shutdown(),
                          ExitReason::Shutdown()));
  EXPECT_EQ(sim_.Now() - before, absl::Milliseconds(1));
  EXPECT_TRUE(Logged("ended in its shutdown with killed"));
}

TEST_F(DynamicSupervisorCases, EDS22_TheLimitsOfAllRunAtOneTime) {
  OTP_CASE("EDS.22", "S28");
  StartPool();
  std::vector<ChildSpec> specs;
  for (int i = 0; i < 10; ++i) {
    specs.push_back(Child(Restart::kTemporary,
                          Shutdown::Within(absl::Seconds(1 + i % 2)),
                          Obeys::kNever));
  }
  const BootTime before = sim_.Now();
  for (const ExitReason& reason : EndsOf(std::move(specs))) {
    EXPECT_EQ(reason, ExitReason::Killed());
  }
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(2));
}

TEST_F(DynamicSupervisorCases, EDS23_NoRestartWhileItEnds) {
  OTP_CASE("EDS.23", "D6 S27 S28");
  StartPool();
  const ChildSpec spec =
      ChildThatEndsWith(ExitReason::Normal(), Restart::kPermanent,
                        Shutdown::Within(absl::InfiniteDuration()));
  EXPECT_THAT(EndsOf({spec, spec, spec}),
              ElementsAre(ExitReason::Normal(), ExitReason::Normal(),
                          ExitReason::Normal()));
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
  // Fine for other children, reported for permanent ones.
  EXPECT_TRUE(Logged("ended in its shutdown with normal"));
}

TEST_F(DynamicSupervisorCases, EDS24_MixedChildrenEndEachInItsWay) {
  OTP_CASE("EDS.24", "D6");
  StartPool();
  const Shutdown infinity = Shutdown::Within(absl::InfiniteDuration());
  EXPECT_THAT(EndsOf({Child(Restart::kTemporary, infinity, Obeys::kTraps),
                      Child(Restart::kTemporary, Shutdown::BrutalKill()),
                      Child(Restart::kTemporary, infinity),
                      Child(Restart::kTemporary, Shutdown::BrutalKill())}),
              ElementsAre(ExitReason::Shutdown(), ExitReason::Killed(),
                          ExitReason::Shutdown(), ExitReason::Killed()));
}

TEST_F(DynamicSupervisorCases, EDS25_ATerminatedChildIsGone) {
  OTP_CASE("EDS.25", "D5");
  StartPool();
  const Pid pid =
      Start(Child(Restart::kPermanent, Shutdown::BrutalKill(), Obeys::kTraps));
  std::optional<ExitReason> ended;
  Watch(pid, &ended);
  EXPECT_EQ(Terminate(pid), absl::OkStatus());
  EXPECT_EQ(ended, ExitReason::Killed());
  EXPECT_TRUE(IsError(Terminate(pid), absl::StatusCode::kNotFound, "NO_CHILD",
                      Outcome::kExecuted));
  EXPECT_EQ(Counts(), "0 0 0 0");
  sim_.RunFor(absl::Seconds(10));
  EXPECT_EQ(Counts(), "0 0 0 0");  // Permanent, but terminated on purpose.
  // A stranger is no child either; nor does an id name one.
  EXPECT_EQ(ReasonOf(Terminate(pool_)), "NO_CHILD");
  EXPECT_EQ(ReasonOf(sim_.Await(pool().TerminateChild("child"))), "NO_CHILD");
}

TEST_F(DynamicSupervisorCases, EDS25_AKilledSupervisorTakesItsChildrenAlong) {
  OTP_CASE("EDS.25", "S29");
  StartPool();
  std::optional<ExitReason> plain;
  std::optional<ExitReason> trapping;
  Watch(Start(Child()), &plain);
  Watch(
      Start(Child(Restart::kPermanent, Shutdown::BrutalKill(), Obeys::kTraps)),
      &trapping);
  Kill(pool_);
  EXPECT_EQ(plain, ExitReason::Killed());
  EXPECT_EQ(trapping, ExitReason::Killed());
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
}

}  // namespace
}  // namespace muster
