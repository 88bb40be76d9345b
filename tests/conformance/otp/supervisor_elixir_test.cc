// Elixir's supervisor_test.exs.
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/supervisor/supervisor.h"
#include "node/supervisor/supervisor_client.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/supervisor_fixture.h"
#include "tests/testkit/fake_name_registry.h"

namespace muster {
namespace {

// Elixir's Stack: holds a number, which Init gets.
class Stack final : public GenServer {
 public:
  using Options = Int64;

  const ServiceInfo& service_info() const override {
    static constexpr MethodInfo kMethods[] = {{"Call", false}, {"Cast", true}};
    static const ServiceInfo kInfo{"test.v1.Script", kMethods};
    return kInfo;
  }

 private:
  HandlerResult OnInit(Payload& options, Context&) override {
    const Int64* const value = options.As<Int64>();
    value_ = value == nullptr ? -1 : value->value();
    return InitResult(Ok()).Erase();
  }
  HandlerResult OnCall(absl::string_view, Payload&, Context&) override {
    return Reply<Int64>(MakeInt64(value_)).Erase();
  }
  HandlerResult OnCast(absl::string_view, Payload&, Context&) override {
    return Next(Stop(ExitReason::Normal())).Erase();
  }

  int64_t value_ = 0;
};

class SupervisorElixir : public SupervisorCase {
 protected:
  // What the server called `name` answers; -2: it did not.
  int64_t Ask(const std::string& name) {
    const absl::StatusOr<Int64> value =
        sim_.Call<Int64>(ServerRef::Local(name), kScriptCall, MakeInt64(0));
    return value.ok() ? value->value() : -2;
  }
};

TEST_F(SupervisorElixir, ESU01_ASupervisorAsAChild) {
  OTP_CASE("ESU.01", "S2");
  ChildSpec spec = Supervisor::AsChild(Spec({}), "inner");
  EXPECT_EQ(spec.id, "inner");
  EXPECT_EQ(spec.name, ServerName::Local("inner"));
  EXPECT_EQ(spec.type, ChildType::kSupervisor);
  EXPECT_EQ(spec.restart, kPermanent);
  EXPECT_EQ(spec.shutdown_or_default(),
            Shutdown::Within(absl::InfiniteDuration()));
  // Overrides.
  spec.id = "other";
  spec.restart = kTemporary;
  spec.shutdown = Shutdown::Within(absl::Seconds(1));
  ASSERT_TRUE(Start(Spec({spec})).ok());
  const absl::StatusOr<ChildSpec> read = Await(Client().GetChildSpec("other"));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->restart, kTemporary);
  EXPECT_EQ(read->shutdown, Shutdown::Within(absl::Seconds(1)));
  EXPECT_EQ(Which(), "other!");
  EXPECT_EQ(Counts("inner"), "0 specs, 0 active, 0 supervisors, 0 workers");
}

TEST_F(SupervisorElixir, ESU02_SpecsAreBuilt) {
  OTP_CASE("ESU.02", "S2 S3");
  ChildSpec spec = ChildSpec::Of<Stack>(MakeInt64(7), "stack");
  EXPECT_EQ(spec.id, "stack");
  EXPECT_EQ(spec.name, ServerName::Local("stack"));
  EXPECT_EQ(spec.restart, kPermanent);
  EXPECT_EQ(spec.type, ChildType::kWorker);
  EXPECT_EQ(spec.shutdown_or_default(), Shutdown::Within(absl::Seconds(5)));
  EXPECT_TRUE(absl::StrContains(spec.module, "Stack")) << spec.module;
  EXPECT_TRUE(CheckChildSpec(spec).ok());
  // Overrides, then wrong ones, told in words.
  spec.id = "other";
  spec.restart = kTransient;
  spec.shutdown = Shutdown::BrutalKill();
  EXPECT_TRUE(CheckChildSpec(spec).ok());
  spec.restart = static_cast<Restart>(9);
  EXPECT_EQ(CheckChildSpec(spec).message(),
            "child 'other' has an unknown restart: permanent, transient or "
            "temporary");
  EXPECT_EQ(CheckChildSpec(ChildSpec()).message(), "a child has no id");
}

TEST_F(SupervisorElixir, ESU03_Flags) {
  OTP_CASE("ESU.03", "S1");
  // OTP's defaults, not Elixir's 3; who wants to be made to name the strategy
  // says Of(), which does not compile without one.
  const SupervisorSpec spec = SupervisorSpec::Of(Strategy::kOneForAll, {});
  EXPECT_EQ(spec.strategy, Strategy::kOneForAll);
  EXPECT_EQ(spec.intensity, 1u);
  EXPECT_EQ(spec.period, absl::Seconds(5));
  EXPECT_EQ(spec.auto_shutdown, AutoShutdown::kNever);
  EXPECT_EQ(SupervisorSpec().strategy, Strategy::kOneForOne);
  static_assert(!std::is_invocable_v<decltype(SupervisorSpec::Of),
                                     std::vector<ChildSpec>>);
}

TEST_F(SupervisorElixir, ESU05_ALocalName) {
  OTP_CASE("ESU.05", "N1");
  ASSERT_TRUE(StartLinked(*Supervisor::Make(Spec({})), "my_sup").ok());
  EXPECT_EQ(Where("my_sup"), sup_);
  EXPECT_EQ(Counts("my_sup"), "0 specs, 0 active, 0 supervisors, 0 workers");
}

TEST_F(SupervisorElixir, ESU06_ANamedChildComesBack) {
  OTP_CASE("ESU.06", "S12 S17 C7");
  ASSERT_TRUE(
      Start(Spec({ChildSpec::Of<Stack>(MakeInt64(7), "dyn_stack")})).ok());
  const Pid first = Where("dyn_stack");
  EXPECT_EQ(Ask("dyn_stack"), 7);
  End("dyn_stack", kNormal);
  EXPECT_NE(Where("dyn_stack"), first);
  EXPECT_EQ(Ask("dyn_stack"), 7);
  EXPECT_EQ(Counts("no_such"), "NOPROC");
}

TEST_F(SupervisorElixir, ESU07_StartChildWithASpec) {
  OTP_CASE("ESU.07", "");
  ASSERT_TRUE(Start(Spec({})).ok());
  const absl::StatusOr<StartedChild> child =
      Await(Client().StartChild(Worker("hello")));
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->pid, Where("hello"));
}

TEST_F(SupervisorElixir, ESU08_StartChildWithAClassAndOptions) {
  OTP_CASE("ESU.08", "");
  ASSERT_TRUE(Start(Spec({})).ok());
  const absl::StatusOr<StartedChild> child =
      Await(Client().StartChild(ChildSpec::Of<Stack>(MakeInt64(9), "stack")));
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->pid, Where("stack"));
  EXPECT_EQ(Ask("stack"), 9);
}

TEST_F(SupervisorElixir, ESU09_StartChildWithABadSpec) {
  OTP_CASE("ESU.09", "S3");
  ASSERT_TRUE(Start(Spec({})).ok());
  const auto error = [&](ChildSpec spec) {
    const absl::Status status =
        Await(Client().StartChild(std::move(spec))).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    return absl::StrCat(ReasonOf(status), ": ", status.message());
  };
  EXPECT_EQ(error(ChildSpec()), "BAD_CHILD_SPEC: a child has no id");
  ChildSpec no_start = Worker("a");
  no_start.factory = nullptr;
  EXPECT_EQ(error(no_start),
            "BAD_CHILD_SPEC: child 'a' has no factory, and no start either");
  EXPECT_EQ(error(Worker("a", kPermanent, Shutdown::Within(-absl::Hours(1)))),
            "BAD_CHILD_SPEC: child 'a' has a shutdown of -1h: it must not be "
            "negative");
}

TEST_F(SupervisorElixir, ESU10_ChildLifeCycle) {
  OTP_CASE("ESU.10", "S17");
  ASSERT_TRUE(Start(Spec({})).ok());
  SupervisorClient sup = Client();
  const absl::StatusOr<StartedChild> first =
      Await(sup.StartChild(ChildSpec::Of<Stack>(MakeInt64(5), "stack")));
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(Ask("stack"), 5);
  EXPECT_EQ(Which(), "stack");
  EXPECT_EQ(Counts(), "1 specs, 1 active, 0 supervisors, 1 workers");
  EXPECT_EQ(ReasonOf(Await(sup.DeleteChild("stack"))), "RUNNING");
  EXPECT_TRUE(Await(sup.TerminateChild("stack")).ok());
  EXPECT_EQ(Which(), "-stack");
  EXPECT_EQ(Counts(), "1 specs, 0 active, 0 supervisors, 1 workers");
  const absl::StatusOr<StartedChild> second = Await(sup.RestartChild("stack"));
  ASSERT_TRUE(second.ok());
  EXPECT_NE(second->pid, first->pid);
  EXPECT_EQ(Ask("stack"), 5);
  EXPECT_TRUE(Await(sup.TerminateChild("stack")).ok());
  EXPECT_TRUE(Await(sup.DeleteChild("stack")).ok());
  EXPECT_EQ(Counts(), "0 specs, 0 active, 0 supervisors, 0 workers");
}

class SupervisorElixirGlobal : public SupervisorElixir {
 protected:
  SupervisorElixirGlobal() {
    names_.Serve(&sim_.runtime());
    sim_.runtime().set_names(&names_);
  }
  // What has a name ends before the registry does.
  ~SupervisorElixirGlobal() override {
    sim_.runtime().KillAll();
    sim_.RunReady();
  }
  FakeNameRegistry names_;
};

TEST_F(SupervisorElixirGlobal, ESU04_AGlobalName) {
  OTP_CASE("ESU.04", "H2");
  ASSERT_TRUE(
      StartLinked(*Supervisor::Make(Spec({})), ServerName::Global("my_sup"))
          .ok());
  EXPECT_EQ(names_.WhereIs("my_sup")->pid, sup_);
  SupervisorClient sup(sim_.caller(), ServerRef::Global("my_sup"));
  const absl::StatusOr<ChildCounts> counts = Await(sup.CountChildren());
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->specs, 0u);
  sim_.Stop(sup_);
  EXPECT_FALSE(names_.WhereIs("my_sup").has_value());
}

}  // namespace
}  // namespace muster
