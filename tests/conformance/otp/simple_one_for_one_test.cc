// supervisor_SUITE, the parts on simple_one_for_one: a DynamicSupervisor with a
// template.
#include <cstdint>
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
#include "node/supervisor/dynamic_supervisor.h"
#include "node/types/status.h"
#include "tests/conformance/otp/dynamic_children.h"
#include "tests/conformance/otp/expect.h"
#include "tests/conformance/otp/otp_case.h"

namespace muster {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class SimpleOneForOne : public DynamicChildren {
 protected:
  static DynamicSupervisorSpec Template(ChildSpec child,
                                        uint32_t intensity = 3) {
    DynamicSupervisorSpec spec;
    spec.child_template = std::move(child);
    spec.intensity = intensity;
    return spec;
  }
};

TEST_F(SimpleOneForOne, SUP05_AnIgnoringTemporaryChildLeavesNothing) {
  OTP_CASE("SUP.05", "S7 S24");
  StartPool(Template(MoodyChild(Restart::kTemporary)));
  const Pid first = StartFromTemplate();
  mood_ = "ignore";
  EXPECT_TRUE(StartFromTemplate().empty());
  ASSERT_THAT(Which(), SizeIs(1));
  EXPECT_EQ(Which()[0].pid, first);
  EXPECT_EQ(Counts(), "1 1 0 1");
}

TEST_F(SimpleOneForOne, SUP06_AnIgnoringPermanentChildLeavesNothing) {
  OTP_CASE("SUP.06", "S7 S24 S28");
  StartPool(Template(MoodyChild(Restart::kPermanent)));
  StartFromTemplate();
  mood_ = "ignore";
  EXPECT_TRUE(StartFromTemplate().empty());
  EXPECT_EQ(Counts(), "1 1 0 1");
  EXPECT_EQ(sim_.Stop(pool_), ExitReason::Shutdown());
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
}

TEST_F(SimpleOneForOne, SUP10_AStartThatFailsIsItsOwnError) {
  OTP_CASE("SUP.10", "S7");
  StartPool(Template(MoodyChild(Restart::kPermanent)));
  mood_ = "error";
  absl::StatusOr<StartedChild> started =
      sim_.Await(pool().StartChild(ChildArguments()));
  EXPECT_EQ(started.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(started.status().message(), "found nothing");
  EXPECT_EQ(Counts(), "1 0 0 0");
}

TEST_F(SimpleOneForOne, SUP12_TheSpecOfAChildIsThatOfTheTemplate) {
  OTP_CASE("SUP.12", "S2");
  ChildSpec minimal;
  minimal.id = "minimal";
  minimal.factory = [] { return ScriptServer::Make(); };
  StartPool(Template(minimal));
  const Pid pid = StartFromTemplate();
  absl::StatusOr<ChildSpec> spec = sim_.Await(pool().GetChildSpec(pid));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->id, "minimal");
  EXPECT_EQ(spec->restart, Restart::kPermanent);
  EXPECT_EQ(spec->shutdown_or_default(), Shutdown::Within(absl::Seconds(5)));
  EXPECT_EQ(spec->type, ChildType::kWorker);
  EXPECT_FALSE(spec->significant);
  EXPECT_TRUE(IsError(sim_.Await(pool().GetChildSpec(pool_)).status(),
                      absl::StatusCode::kNotFound, "NO_CHILD",
                      Outcome::kExecuted));
}

TEST_F(SimpleOneForOne, SUP15_WhoDoesNotReactIsKilledInTime) {
  OTP_CASE("SUP.15", "S25 S28");
  ChildSpec child =
      Child(Restart::kPermanent, Shutdown::Within(absl::Milliseconds(1000)));
  bool obedient = true;
  child.factory = [&obedient] {
    Script script;
    script.init = [](Context& self) -> InitResult {
      self.TrapExit(true);
      return Ok();
    };
    script.terminate = [obeys = obedient](const ExitReason&,
                                          Context& self) -> Next {
      if (!obeys) co_await self.Sleep(absl::Seconds(200));
      co_return NoReply();
    };
    return ScriptServer::Make(std::move(script));
  };
  StartPool(Template(child));
  std::optional<ExitReason> first;
  std::optional<ExitReason> second;
  Watch(StartFromTemplate(), &first);
  obedient = false;
  Watch(StartFromTemplate(), &second);
  const BootTime before = sim_.Now();
  EXPECT_EQ(sim_.Stop(pool_), ExitReason::Shutdown());
  EXPECT_EQ(sim_.Now() - before, absl::Milliseconds(1000));
  EXPECT_EQ(first, ExitReason::Shutdown());
  EXPECT_EQ(second, ExitReason::Killed());
}

TEST_F(SimpleOneForOne, SUP18_OtherReasonsInTheShutdownDoNotMatter) {
  OTP_CASE("SUP.18", "S27 S28");
  for (const Restart restart :
       {Restart::kPermanent, Restart::kTransient, Restart::kTemporary}) {
    for (const ExitReason& reason :
         {ExitReason::Normal(), ExitReason::Shutdown("x"),
          ExitReason::Custom("x")}) {
      StartPool(Template(ChildThatEndsWith(reason, restart)));
      std::optional<ExitReason> first;
      std::optional<ExitReason> second;
      Watch(StartFromTemplate(), &first);
      Watch(StartFromTemplate(), &second);
      EXPECT_EQ(sim_.Stop(pool_), ExitReason::Shutdown());
      EXPECT_EQ(first, reason);
      EXPECT_EQ(second, reason);
      EXPECT_EQ(sim_.runtime().process_count(), 0u);
    }
  }
}

TEST_F(SimpleOneForOne, SUP24_TwoChildrenOfOneSpec) {
  OTP_CASE("SUP.24", "S5 D1");
  StartPool(Template(Child(Restart::kPermanent)));
  EXPECT_EQ(Counts(), "1 0 0 0");  // It starts nobody by itself.
  const Pid first = StartFromTemplate();
  const Pid second = StartFromTemplate();
  EXPECT_NE(first, second);
  EXPECT_EQ(Counts(), "1 2 0 2");
  const std::vector<ChildInfo> list = Which();
  ASSERT_THAT(list, SizeIs(2));
  EXPECT_EQ(list[0].id, "");
  EXPECT_EQ(list[0].pid, first);
  EXPECT_EQ(list[1].pid, second);
}

TEST_F(SimpleOneForOne, SUP25_ChildrenAreTerminatedByPid) {
  OTP_CASE("SUP.25", "S28");
  StartPool(Template(Child(Restart::kPermanent)));
  const Pid pid = StartFromTemplate();
  const Pid other = StartFromTemplate();
  EXPECT_EQ(Terminate(pid), absl::OkStatus());
  EXPECT_FALSE(sim_.Alive(pid));
  EXPECT_EQ(Terminate(pid), absl::OkStatus());  // Dead: fine.
  EXPECT_EQ(Counts(), "1 1 0 1");
  const Pid stranger = *sim_.Start(ScriptServer::Make(), "stranger");
  EXPECT_TRUE(IsError(Terminate(stranger), absl::StatusCode::kNotFound,
                      "NO_CHILD", Outcome::kExecuted));
  EXPECT_TRUE(sim_.Alive(stranger));
  EXPECT_TRUE(IsError(sim_.Await(pool().TerminateChild("child")),
                      absl::StatusCode::kFailedPrecondition,
                      "SIMPLE_ONE_FOR_ONE", Outcome::kExecuted));
  EXPECT_TRUE(sim_.Alive(other));
}

TEST_F(SimpleOneForOne, SUP26_NoRestartAndNoDeleteById) {
  OTP_CASE("SUP.26", "S28");
  StartPool(Template(Child(Restart::kPermanent)));
  const Pid pid = StartFromTemplate();
  EXPECT_TRUE(IsError(sim_.Await(pool().RestartChild("child")),
                      absl::StatusCode::kFailedPrecondition,
                      "SIMPLE_ONE_FOR_ONE", Outcome::kExecuted));
  EXPECT_TRUE(IsError(sim_.Await(pool().DeleteChild("child")),
                      absl::StatusCode::kFailedPrecondition,
                      "SIMPLE_ONE_FOR_ONE", Outcome::kExecuted));
  EXPECT_TRUE(sim_.Alive(pid));
  // And arguments only for who has a template, a spec only for who has none.
  EXPECT_EQ(ReasonOf(TryStart(Child()).status()), "SIMPLE_ONE_FOR_ONE");
}

TEST_F(SimpleOneForOne, SUP33_OneIsReplacedTheThirdDeathEndsAll) {
  OTP_CASE("SUP.33", "S12 S18 S19 S20");
  StartPool(Template(Child(Restart::kPermanent), /*intensity=*/2));
  const Pid first = StartFromTemplate();
  const Pid second = StartFromTemplate();
  End(first, ExitReason::Custom("x"));
  std::vector<ChildInfo> list = Which();
  ASSERT_THAT(list, SizeIs(2));
  EXPECT_NE(list[0].pid, first);
  EXPECT_EQ(list[1].pid, second);
  Kill(list[0].pid);
  ASSERT_FALSE(ended_.has_value());
  std::optional<ExitReason> other;
  Watch(second, &other);
  Kill(Which()[0].pid);
  EXPECT_EQ(ended_, ExitReason::Shutdown());
  EXPECT_EQ(other, ExitReason::Shutdown());
}

TEST_F(SimpleOneForOne, SUP34_ExtraInfoOfAStartDoesNotHinderARestart) {
  OTP_CASE("SUP.34", "S7");
  // A template has a factory, so what a start tells besides its pid is told by
  // children with a start of their own, which is called again.
  StartPool();
  ChildSpec spec = Child(Restart::kPermanent);
  spec.factory = nullptr;
  spec.start = [this](Context& self) {
    ++starts_;
    auto arrival =
        std::make_shared<internal::Arrival<absl::StatusOr<StartedChild>>>();
    StartLink(self, Child().factory(), Payload())
        .Then([arrival](absl::StatusOr<Pid> pid) {
          arrival->Set(StartedChild(*pid, "extra"));
        });
    return Pending<absl::StatusOr<StartedChild>>(arrival);
  };
  absl::StatusOr<StartedChild> started = TryStart(spec);
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->info, "extra");
  End(started->pid, ExitReason::Custom("x"));
  ASSERT_THAT(Which(), SizeIs(1));
  EXPECT_NE(Which()[0].pid, started->pid);
  EXPECT_TRUE(sim_.Alive(Which()[0].pid));
  EXPECT_EQ(starts_, 2);
}

TEST_F(SimpleOneForOne, SUP35_ArgumentsOfTemporaryChildrenAreNotKept) {
  OTP_CASE("SUP.35", "S10");
  const auto held = [&](Restart restart) {
    StartPool(Template(Child(restart)));
    auto content = std::make_shared<std::string>(1 << 20, 'x');
    const std::weak_ptr<std::string> weak = content;
    const ChildArguments arguments(
        [content] { return Payload::Of(std::string(*content, 0, 8)); });
    content.reset();
    std::vector<Pid> pids;
    for (int i = 0; i < 3; ++i) pids.push_back(StartFromTemplate(arguments));
    Kill(pids[0]);
    // One reference is this function's own.
    const int64_t count = weak.use_count();
    sim_.Stop(pool_);
    return count;
  };
  EXPECT_EQ(held(Restart::kTemporary), 1);
  EXPECT_GT(held(Restart::kPermanent), 1);
}

TEST_F(SimpleOneForOne, SUP45_CountsAreExact) {
  OTP_CASE("SUP.45", "S28");
  StartPool(Template(Child(Restart::kTemporary)));
  std::vector<Pid> pids;
  for (int i = 0; i < 2000; ++i) pids.push_back(StartFromTemplate());
  EXPECT_EQ(Counts(), "1 2000 0 2000");
  EXPECT_THAT(Which(), SizeIs(2000));
  for (const Pid& pid : pids) {
    sim_.runtime().SendExit(Pid(), pid, ExitReason::Kill());
  }
  sim_.RunReady();
  EXPECT_EQ(Counts(), "1 0 0 0");
  EXPECT_THAT(Which(), IsEmpty());
}

TEST_F(SimpleOneForOne, SUP46_ChildSupervisorsAreCountedAsSuch) {
  OTP_CASE("SUP.46", "S28");
  ChildSpec child =
      DynamicSupervisor::AsChild(DynamicSupervisorSpec(), "inner");
  child.name = ServerName();
  StartPool(Template(child));
  StartFromTemplate();
  const Pid second = StartFromTemplate();
  EXPECT_EQ(Counts(), "1 2 2 0");
  EXPECT_EQ(Which()[0].type, ChildType::kSupervisor);
  EXPECT_EQ(Terminate(second), absl::OkStatus());
  EXPECT_EQ(Counts(), "1 1 1 0");
}

TEST_F(SimpleOneForOne, SUP53_TheTemplateChangesButStaysOne) {
  OTP_CASE("SUP.53 SUP.54", "S34 S5");
  StartPool(Template(MoodyChild(Restart::kPermanent)));
  const Pid pid = StartFromTemplate();
  EXPECT_EQ(starts_, 1);
  // Other flags and another template; the child goes on, and is restarted by
  // the new one.
  ChildSpec other = Child(Restart::kTransient, Shutdown::BrutalKill());
  other.id = "other";
  EXPECT_EQ(sim_.Await(pool().Reconfigure(Template(other))), absl::OkStatus());
  EXPECT_TRUE(sim_.Alive(pid));
  absl::StatusOr<ChildSpec> spec = sim_.Await(pool().GetChildSpec(pid));
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->id, "other");
  EXPECT_EQ(spec->shutdown, Shutdown::BrutalKill());
  End(pid, ExitReason::Custom("x"));
  EXPECT_EQ(Counts(), "1 1 0 1");
  EXPECT_EQ(starts_, 1);
  // None instead of one, or one more than none, is refused; so is a bad one.
  EXPECT_TRUE(IsError(sim_.Await(pool().Reconfigure(DynamicSupervisorSpec())),
                      absl::StatusCode::kInvalidArgument, "BAD_SUPERVISOR_SPEC",
                      Outcome::kExecuted));
  EXPECT_EQ(ReasonOf(sim_.Await(pool().Reconfigure(Template(ChildSpec())))),
            "BAD_CHILD_SPEC");
  EXPECT_EQ(sim_.Await(pool().GetChildSpec(Which()[0].pid))->id, "other");
  sim_.Stop(pool_);
  StartPool();
  EXPECT_EQ(ReasonOf(sim_.Await(pool().Reconfigure(Template(other)))),
            "BAD_SUPERVISOR_SPEC");
}

TEST_F(SimpleOneForOne, SUP57_SignificantChildrenAreRefused) {
  OTP_CASE("SUP.57", "S4 S5");
  ChildSpec child = Child(Restart::kTransient);
  child.significant = true;
  absl::StatusOr<Pid> pid =
      sim_.Start(std::make_unique<DynamicSupervisor>(Template(child)), "pool");
  EXPECT_TRUE(IsError(pid.status(), absl::StatusCode::kInvalidArgument,
                      "BAD_CHILD_SPEC", Outcome::kExecuted));
  EXPECT_THAT(std::string(pid.status().message()),
              ::testing::HasSubstr("auto_shutdown"));
}

TEST_F(SimpleOneForOne, SUP24_ArgumentsComeAfterThoseOfTheTemplate) {
  OTP_CASE("SUP.24", "D1");
  // Messages of one type are merged, the call's over the template's.
  google::protobuf::StringValue seen;
  struct Noting final : GenServer {
    explicit Noting(google::protobuf::StringValue* s) : seen(s) {}
    const ServiceInfo& service_info() const override {
      static const ServiceInfo kNone;
      return kNone;
    }
    HandlerResult OnInit(Payload& options, Context&) override {
      *seen = *options.As<google::protobuf::StringValue>();
      return InitResult(Ok()).Erase();
    }
    HandlerResult OnCall(absl::string_view m, Payload&, Context&) override {
      return internal::UnknownMethod(m);
    }
    HandlerResult OnCast(absl::string_view m, Payload&, Context&) override {
      return internal::UnknownMethod(m);
    }
    google::protobuf::StringValue* seen;
  };
  ChildSpec child = Child();
  child.factory = [&seen] { return std::make_unique<Noting>(&seen); };
  child.init = [] {
    google::protobuf::StringValue value;
    value.set_value("default");
    return Payload::Of(value);
  };
  StartPool(Template(child));
  StartFromTemplate();
  EXPECT_EQ(seen.value(), "default");
  google::protobuf::StringValue own;
  own.set_value("own");
  StartFromTemplate(ChildArguments::Of(own));
  EXPECT_EQ(seen.value(), "own");
}

}  // namespace
}  // namespace muster
