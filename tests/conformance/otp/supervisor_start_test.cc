// supervisor_SUITE: starting and stopping supervisors, specs and flags.
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/supervisor/supervisor.h"
#include "node/supervisor/supervisor_client.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/supervisor_fixture.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SupervisorStart : public SupervisorCase {
 protected:
  static std::string Error(const absl::Status& status) {
    return absl::StrCat(ReasonOf(status), ": ", status.message());
  }
  static Shutdown Forever() {
    return Shutdown::Within(absl::InfiniteDuration());
  }
  ChildSpec Inner(const std::string& id, std::vector<ChildSpec> children = {}) {
    return Supervisor::AsChild(Spec(std::move(children)), id);
  }
};

TEST_F(SupervisorStart, SUP01_EndsWithShutdown) {
  OTP_CASE("SUP.01", "S6 S28");
  ASSERT_TRUE(Start(Spec({})).ok());
  EXPECT_EQ(Counts(), "0 specs, 0 active, 0 supervisors, 0 workers");
  EXPECT_EQ(StopSup(), "shutdown");
  sim_.RunReady();
  EXPECT_THAT(exits_, ElementsAre("shutdown"));
}

TEST_F(SupervisorStart, SUP02_AnInitThatIgnores) {
  OTP_CASE("SUP.02", "S9 H6");
  const absl::StatusOr<Pid> pid = StartLinked(Supervisor::MakeWithInit(
      []() -> absl::StatusOr<std::optional<SupervisorSpec>> {
        return std::optional<SupervisorSpec>();
      }));
  EXPECT_EQ(ReasonOf(pid.status()), "IGNORED");
  sim_.RunReady();
  EXPECT_THAT(exits_, IsEmpty());
  EXPECT_TRUE(Where("sup").empty());
}

TEST_F(SupervisorStart, SUP03_AStartChildThatIsIgnored) {
  OTP_CASE("SUP.03", "S7");
  ASSERT_TRUE(Start(Spec({Worker("child1")})).ok());
  fail_["child2"] = "ignore";
  const absl::StatusOr<StartedChild> started =
      Await(Client().StartChild(Worker("child2")));
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_TRUE(started->pid.empty());
  EXPECT_EQ(Which(), "-child2 child1");
  EXPECT_EQ(Counts(), "2 specs, 1 active, 0 supervisors, 2 workers");
}

TEST_F(SupervisorStart, SUP04_AnIgnoredTemporaryIsForgotten) {
  OTP_CASE("SUP.04", "S7");
  fail_["a"] = fail_["b"] = fail_["c"] = "ignore";
  ASSERT_TRUE(Start(Spec({Worker("a", kTemporary), Worker("b", kTransient),
                          Worker("c")}))
                  .ok());
  EXPECT_EQ(Which(), "-c -b");
  const absl::StatusOr<StartedChild> started =
      Await(Client().StartChild(Worker("a", kTemporary)));
  ASSERT_TRUE(started.ok());
  EXPECT_TRUE(started->pid.empty());
  EXPECT_EQ(Which(), "-c -b");
}

TEST_F(SupervisorStart, SUP07_AnInitWithAnError) {
  OTP_CASE("SUP.07", "S3 H6");
  // What init gives is typed; what is left of "garbage" are a bad spec and an
  // error of its own.
  absl::StatusOr<Pid> pid = StartLinked(Supervisor::MakeWithInit(
      []() -> absl::StatusOr<std::optional<SupervisorSpec>> {
        SupervisorSpec bad;
        bad.period = absl::ZeroDuration();
        return std::optional<SupervisorSpec>(bad);
      }));
  EXPECT_EQ(ReasonOf(pid.status()), "BAD_SUPERVISOR_SPEC");
  pid = StartLinked(Supervisor::MakeWithInit(
      []() -> absl::StatusOr<std::optional<SupervisorSpec>> {
        return absl::NotFoundError("no config");
      }));
  EXPECT_TRUE(absl::IsNotFound(pid.status()));
  sim_.RunReady();
  EXPECT_THAT(exits_, IsEmpty());
}

TEST_F(SupervisorStart, SUP08_AnInitThatThrows) {
  OTP_CASE("SUP.08", "H4 H6");
  const absl::StatusOr<Pid> pid = StartLinked(Supervisor::MakeWithInit(
      []() -> absl::StatusOr<std::optional<SupervisorSpec>> {
        throw std::runtime_error("fail");
      }));
  EXPECT_EQ(ReasonOf(pid.status()), "INIT_FAILED");
  EXPECT_TRUE(absl::StrContains(DetailOf(pid.status(), "exit_reason"), "fail"));
  sim_.RunReady();
  EXPECT_THAT(exits_, IsEmpty());
}

TEST_F(SupervisorStart, SUP09_ARestartChildThatFails) {
  OTP_CASE("SUP.09", "S7");
  ASSERT_TRUE(Start(Spec({Worker("child1")})).ok());
  EXPECT_TRUE(Await(Client().TerminateChild("child1")).ok());
  fail_["child1"] = "broken";
  const absl::Status failed = Await(Client().RestartChild("child1")).status();
  EXPECT_EQ(ReasonOf(failed), "INIT_FAILED");
  EXPECT_EQ(DetailOf(failed, "exit_reason"),
            ExitReason::Custom("broken").ToString());
  EXPECT_EQ(Which(), "-child1");
}

TEST_F(SupervisorStart, SUP11_DefaultsOfASpec) {
  OTP_CASE("SUP.11", "S2");
  ChildSpec worker;
  worker.id = "w";
  worker.factory = [] { return ScriptServer::Make(); };
  worker.module = "ScriptServer";
  ChildSpec supervisor = worker;
  supervisor.id = "s";
  supervisor.type = ChildType::kSupervisor;
  ASSERT_TRUE(Start(Spec({worker, supervisor})).ok());
  const absl::StatusOr<ChildSpec> w = Await(Client().GetChildSpec("w"));
  ASSERT_TRUE(w.ok());
  EXPECT_EQ(w->id, "w");
  EXPECT_EQ(w->restart, kPermanent);
  EXPECT_FALSE(w->significant);
  EXPECT_EQ(w->type, ChildType::kWorker);
  EXPECT_EQ(w->shutdown, Shutdown::Within(absl::Seconds(5)));
  EXPECT_EQ(w->module, "ScriptServer");
  EXPECT_TRUE(w->factory != nullptr);
  const absl::StatusOr<ChildSpec> s = Await(Client().GetChildSpec("s"));
  ASSERT_TRUE(s.ok());
  EXPECT_EQ(s->shutdown, Forever());
  const std::vector<ChildInfo> list = *Await(Client().WhichChildren());
  const absl::StatusOr<ChildSpec> by_pid =
      Await(Client().GetChildSpec(list.back().pid));
  ASSERT_TRUE(by_pid.ok());
  EXPECT_EQ(by_pid->id, "w");
  EXPECT_EQ(ReasonOf(Await(Client().GetChildSpec("x")).status()), "NO_CHILD");
  EXPECT_EQ(ReasonOf(Await(Client().GetChildSpec(sup_)).status()), "NO_CHILD");
}

TEST_F(SupervisorStart, SUP13_InfinityWaits) {
  OTP_CASE("SUP.13", "S25");
  ASSERT_TRUE(
      Start(Spec({Inner("inner"), Worker("worker", kPermanent, Forever())}))
          .ok());
  const auto inner = Watch(Where("inner"));
  const auto worker = Watch(Where("worker"));
  linger_["worker"] = absl::Hours(3);
  const BootTime before = sim_.Now();
  EXPECT_EQ(StopSup(), "shutdown");
  EXPECT_EQ(sim_.Now() - before, absl::Hours(3));
  EXPECT_EQ(*inner, "shutdown");
  EXPECT_EQ(*worker, "shutdown");
}

TEST_F(SupervisorStart, SUP14_ALimitThenAKill) {
  OTP_CASE("SUP.14", "S25 S27 S28");
  const Shutdown second = Shutdown::Within(absl::Seconds(1));
  ASSERT_TRUE(Start(Spec({Worker("child1", kPermanent, second),
                          Worker("child2", kPermanent, second)}))
                  .ok());
  const auto child1 = Watch(Where("child1"));
  const auto child2 = Watch(Where("child2"));
  linger_["child2"] = absl::Seconds(200);
  const BootTime before = sim_.Now();
  EXPECT_EQ(StopSup(), "shutdown");
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(1));
  EXPECT_EQ(*child1, "shutdown");
  EXPECT_EQ(*child2, "killed");
  EXPECT_EQ(sim_.log().Count(LogLevel::kError,
                             "'child2' ended in its shutdown with killed"),
            1u);
}

TEST_F(SupervisorStart, SUP16_BrutalKillDoesNotAsk) {
  OTP_CASE("SUP.16", "S25 S27 G20");
  ASSERT_TRUE(Start(Spec({Worker("child1"), Worker("child2", kPermanent,
                                                   Shutdown::BrutalKill())}))
                  .ok());
  const auto child1 = Watch(Where("child1"));
  const auto child2 = Watch(Where("child2"));
  seen_.clear();
  EXPECT_EQ(StopSup(), "shutdown");
  EXPECT_EQ(*child1, "shutdown");
  EXPECT_EQ(*child2, "killed");
  EXPECT_THAT(seen_, ElementsAre("end child1 shutdown"));
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, ""), 0u);
}

TEST_F(SupervisorStart, SUP17_ChildrenThatEndDuringTheShutdown) {
  OTP_CASE("SUP.17", "S16 S28");
  std::vector<ChildSpec> children;
  std::vector<std::pair<std::string, How>> ends;
  for (const Restart restart : {kPermanent, kTransient, kTemporary}) {
    for (const How how : {kNormal, kShutdown, kShutdownX, kAbnormal}) {
      const std::string id = absl::StrCat("c", children.size());
      children.push_back(Worker(id, restart));
      ends.emplace_back(id, how);
    }
  }
  children.push_back(Worker("last"));
  linger_["last"] = absl::Seconds(2);
  ASSERT_TRUE(Start(Spec(children, 100)).ok());
  std::vector<std::shared_ptr<std::string>> reasons;
  for (const auto& [id, how] : ends) reasons.push_back(Watch(Where(id)));
  seen_.clear();
  sim_.runtime().SendExit(parent_, sup_, ExitReason::Shutdown());
  sim_.RunFor(absl::Seconds(1));  // It waits for the last one.
  for (const auto& [id, how] : ends) End(id, how);
  const auto sup = Watch(sup_);
  sim_.RunFor(absl::Seconds(2));
  EXPECT_EQ(*sup, "shutdown");
  for (size_t i = 0; i < ends.size(); ++i) {
    const std::vector<std::string> own = {"normal", "shutdown", "shutdown(x)",
                                          ExitReason::Custom("x").ToString()};
    EXPECT_EQ(*reasons[i], own[ends[i].second]) << ends[i].first;
  }
  for (const std::string& line : seen_) {
    EXPECT_FALSE(absl::StartsWith(line, "start")) << line;
  }
}

TEST_F(SupervisorStart, SUP27_BadChildSpecs) {
  OTP_CASE("SUP.27", "S2 S3");
  ASSERT_TRUE(Start(Spec({})).ok());
  ChildSpec no_id = Worker("");
  ChildSpec no_start = Worker("child");
  no_start.factory = nullptr;
  ChildSpec bad_restart = Worker("child", static_cast<Restart>(9));
  ChildSpec bad_shutdown =
      Worker("child", kPermanent, Shutdown::Within(-absl::Milliseconds(1)));
  ChildSpec bad_type = Worker("child");
  bad_type.type = static_cast<ChildType>(9);
  const std::vector<std::pair<ChildSpec, std::string>> rows = {
      {no_id, "BAD_CHILD_SPEC: a child has no id"},
      {no_start,
       "BAD_CHILD_SPEC: child 'child' has no factory, and no start either"},
      {bad_restart,
       "BAD_CHILD_SPEC: child 'child' has an unknown restart: permanent, "
       "transient or temporary"},
      {bad_shutdown,
       "BAD_CHILD_SPEC: child 'child' has a shutdown of -1ms: it must not be "
       "negative"},
      {bad_type,
       "BAD_CHILD_SPEC: child 'child' has an unknown type: worker or "
       "supervisor"}};
  for (const auto& [spec, text] : rows) {
    EXPECT_EQ(Error(CheckChildSpec(spec)), text);
    EXPECT_EQ(Error(Await(Client().StartChild(spec)).status()), text);
    EXPECT_EQ(Error(Supervisor::Make(Spec({spec})).status()), text);
  }
  EXPECT_EQ(Error(Supervisor::Make(Spec({Worker("a"), Worker("a")})).status()),
            "BAD_CHILD_SPEC: two children have the id 'a': ids are unique");
  EXPECT_EQ(Counts(), "0 specs, 0 active, 0 supervisors, 0 workers");
  // All that is legal is taken.
  for (const Restart restart : {kPermanent, kTransient, kTemporary}) {
    for (const Shutdown shutdown :
         {Shutdown::BrutalKill(), Shutdown::Within(absl::ZeroDuration()),
          Shutdown::Within(absl::Milliseconds(10)), Forever()}) {
      for (const ChildType type :
           {ChildType::kWorker, ChildType::kSupervisor}) {
        ChildSpec spec = Worker("ok", restart, shutdown);
        spec.type = type;
        EXPECT_TRUE(CheckChildSpec(spec).ok());
      }
    }
  }
}

TEST_F(SupervisorStart, SUP28_BadFlags) {
  OTP_CASE("SUP.28", "S1 S3 S4");
  const auto error = [](SupervisorSpec spec) {
    return Error(Supervisor::Make(std::move(spec)).status());
  };
  SupervisorSpec spec;
  spec.strategy = static_cast<Strategy>(9);
  EXPECT_EQ(error(spec),
            "BAD_SUPERVISOR_SPEC: the strategy is unknown: one_for_one, "
            "one_for_all or rest_for_one");
  spec = SupervisorSpec();
  spec.period = absl::ZeroDuration();
  EXPECT_EQ(error(spec),
            "BAD_SUPERVISOR_SPEC: period is 0: it must be positive and finite");
  spec.period = absl::InfiniteDuration();
  EXPECT_EQ(
      error(spec),
      "BAD_SUPERVISOR_SPEC: period is inf: it must be positive and finite");
  spec = SupervisorSpec();
  spec.auto_shutdown = static_cast<AutoShutdown>(9);
  EXPECT_EQ(error(spec),
            "BAD_SUPERVISOR_SPEC: auto_shutdown is unknown: never, "
            "any_significant or all_significant");
  // A bad intensity (negative, infinite, no number) is no uint32_t.
  spec = SupervisorSpec();
  spec.intensity = 0;
  EXPECT_TRUE(Supervisor::Make(spec).ok());
  // significant needs auto_shutdown, and a child that can end for good.
  ChildSpec child = Worker("a", kTransient);
  child.significant = true;
  spec = Spec({child});
  EXPECT_EQ(ReasonOf(Supervisor::Make(spec).status()), "BAD_CHILD_SPEC");
  spec.auto_shutdown = AutoShutdown::kAnySignificant;
  EXPECT_TRUE(Supervisor::Make(spec).ok());
  spec.children[0].restart = kPermanent;
  EXPECT_EQ(ReasonOf(Supervisor::Make(spec).status()), "BAD_CHILD_SPEC");
  // Also for a child that comes later.
  ASSERT_TRUE(Start(Spec({})).ok());
  EXPECT_EQ(ReasonOf(Await(Client().StartChild(child)).status()),
            "BAD_CHILD_SPEC");
}

TEST_F(SupervisorStart, SUP36_ProgressIsForDebugging) {
  OTP_CASE("SUP.36", "");
  ASSERT_TRUE(Start(Spec({Worker("a")})).ok());
  ASSERT_TRUE(Await(Client().StartChild(Worker("b"))).ok());
  EXPECT_EQ(sim_.log().Count(LogLevel::kDebug, "child 'b' started as"), 1u);
  EXPECT_EQ(sim_.log().Count(LogLevel::kInfo, "'b'"), 0u);
  EXPECT_EQ(sim_.log().Count(LogLevel::kWarning, ""), 0u);
}

TEST_F(SupervisorStart, SUP55_OrderOfChildren) {
  OTP_CASE("SUP.55", "S6 S14 S28");
  ASSERT_TRUE(Start(Spec({Worker("D"), Worker("B"), Worker("E"), Worker("A"),
                          Worker("C")},
                         1, Strategy::kRestForOne))
                  .ok());
  EXPECT_THAT(seen_, ElementsAre("start D", "start B", "start E", "start A",
                                 "start C"));
  EXPECT_EQ(Which(), "C A E B D");
  seen_.clear();
  Kill("E");
  EXPECT_THAT(seen_, ElementsAre("end C shutdown", "end A shutdown", "start E",
                                 "start A", "start C"));
  EXPECT_EQ(Which(), "C A E B D");
  seen_.clear();
  EXPECT_EQ(StopSup(), "shutdown");
  EXPECT_THAT(seen_,
              ElementsAre("end C shutdown", "end A shutdown", "end E shutdown",
                          "end B shutdown", "end D shutdown"));
}

TEST_F(SupervisorStart, SUP56_ReportsAreShort) {
  OTP_CASE("SUP.56", "");
  // A child's arguments are never printed, and a long reason is cut.
  const std::string endless(1 << 20, 'x');
  ASSERT_TRUE(Start(Spec({Worker("a"), Worker("b")})).ok());
  sim_.runtime().SendExit(Where("a"), sup_, ExitReason::Custom(endless));
  sim_.RunReady();
  for (const std::string& line : sim_.log().Lines()) {
    EXPECT_LT(line.size(), 4096u);
  }
  EXPECT_EQ(sim_.log().Count(LogLevel::kWarning, "child 'a' ended"), 1u);
}

}  // namespace
}  // namespace muster
