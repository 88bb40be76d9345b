// supervisor_SUITE: management calls, upgrade, global names.
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
#include "node/gen_server/start.h"
#include "node/supervisor/supervisor.h"
#include "node/supervisor/supervisor_client.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/supervisor_fixture.h"
#include "tests/testkit/fake_name_registry.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class SupervisorOrders : public SupervisorCase {
 protected:
  // A child whose own start brings extra information.
  ChildSpec WithExtra(const std::string& id) {
    ChildSpec spec = Worker(id);
    spec.factory = nullptr;
    spec.start = [this, id](Context& self) {
      StartOptions options;
      options.name = id;
      return self.Async<absl::StatusOr<StartedChild>>(
          [&](absl::AnyInvocable<void(absl::StatusOr<StartedChild>)> done) {
            StartLink(self, Make(id), Payload(), std::move(options))
                .Then(
                    [done = std::move(done)](absl::StatusOr<Pid> pid) mutable {
                      if (!pid.ok()) return done(pid.status());
                      done(StartedChild(*pid, "extra"));
                    });
          });
    };
    return spec;
  }
  std::string Reason(Pending<absl::Status> pending) {
    const absl::Status status = Await(std::move(pending));
    return status.ok() ? "ok" : ReasonOf(status);
  }
  std::string Reason(PendingCall<StartedChild> pending) {
    const absl::StatusOr<StartedChild> child = Await(std::move(pending));
    return child.ok() ? "ok" : ReasonOf(child.status());
  }
};

TEST_F(SupervisorOrders, SUP19_AlreadyStarted) {
  OTP_CASE("SUP.19", "S30");
  ASSERT_TRUE(Start(Spec({Worker("child1")})).ok());
  const absl::Status again =
      Await(Client().StartChild(Worker("child1"))).status();
  EXPECT_TRUE(absl::IsAlreadyExists(again));
  EXPECT_EQ(ReasonOf(again), "ALREADY_STARTED");
  EXPECT_EQ(DetailOf(again, "pid"), Where("child1").ToString());
  EXPECT_EQ(Counts(), "1 specs, 1 active, 0 supervisors, 1 workers");
}

TEST_F(SupervisorOrders, SUP20_AlreadyPresent) {
  OTP_CASE("SUP.20", "");
  ASSERT_TRUE(Start(Spec({Worker("child1")})).ok());
  EXPECT_EQ(Reason(Client().TerminateChild("child1")), "ok");
  EXPECT_EQ(Which(), "-child1");
  const absl::Status again =
      Await(Client().StartChild(Worker("child1"))).status();
  EXPECT_TRUE(absl::IsAlreadyExists(again));
  EXPECT_EQ(ReasonOf(again), "ALREADY_PRESENT");
}

TEST_F(SupervisorOrders, SUP21_RestartChild) {
  OTP_CASE("SUP.21", "S17");
  ASSERT_TRUE(Start(Spec({Worker("child1")})).ok());
  const Pid first = Where("child1");
  EXPECT_EQ(Reason(Client().RestartChild("child1")), "RUNNING");
  EXPECT_EQ(Reason(Client().RestartChild("child2")), "NO_CHILD");
  EXPECT_EQ(Reason(Client().TerminateChild("child1")), "ok");
  EXPECT_TRUE(Where("child1").empty());
  const absl::StatusOr<StartedChild> second =
      Await(Client().RestartChild("child1"));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->pid, Where("child1"));
  EXPECT_NE(second->pid, first);
  EXPECT_TRUE(absl::IsFailedPrecondition(
      Await(Client().RestartChild("child1")).status()));
}

TEST_F(SupervisorOrders, SUP22_DeleteChild) {
  OTP_CASE("SUP.22", "");
  ASSERT_TRUE(Start(Spec({Worker("child1")})).ok());
  EXPECT_EQ(Reason(Client().DeleteChild("child1")), "RUNNING");
  EXPECT_EQ(Reason(Client().TerminateChild("child1")), "ok");
  EXPECT_EQ(Reason(Client().DeleteChild("child1")), "ok");
  EXPECT_EQ(Reason(Client().DeleteChild("child1")), "NO_CHILD");
  EXPECT_EQ(Reason(Client().TerminateChild("child1")), "NO_CHILD");
  EXPECT_EQ(Reason(Client().RestartChild("child1")), "NO_CHILD");
  EXPECT_EQ(Counts(), "0 specs, 0 active, 0 supervisors, 0 workers");
  EXPECT_TRUE(absl::IsNotFound(Await(Client().DeleteChild("child1"))));
}

TEST_F(SupervisorOrders, SUP23_NoSuchSupervisor) {
  OTP_CASE("SUP.23", "C7");
  EXPECT_EQ(Reason(Client("foo").StartChild(Worker("a"))), "NOPROC");
  EXPECT_EQ(Reason(Client("foo").TerminateChild("a")), "NOPROC");
  EXPECT_EQ(Reason(Client("foo").RestartChild("a")), "NOPROC");
  EXPECT_EQ(Reason(Client("foo").DeleteChild("a")), "NOPROC");
  EXPECT_EQ(Which("foo"), "NOPROC");
  EXPECT_EQ(Counts("foo"), "NOPROC");
  EXPECT_EQ(ReasonOf(Await(Client("foo").GetChildSpec("a")).status()),
            "NOPROC");
  EXPECT_EQ(Reason(Client("foo").Reconfigure(Spec({}))), "NOPROC");
}

TEST_F(SupervisorOrders, SUP29_ExtraInformation) {
  OTP_CASE("SUP.29", "S7 S12");
  ASSERT_TRUE(Start(Spec({WithExtra("child1")})).ok());
  absl::StatusOr<StartedChild> child =
      Await(Client().StartChild(WithExtra("child2")));
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->info, "extra");
  EXPECT_EQ(child->pid, Where("child2"));
  const Pid first = Where("child1");
  Kill("child1");  // The automatic restart has no use for it.
  EXPECT_NE(Where("child1"), first);
  EXPECT_FALSE(Where("child1").empty());
  EXPECT_EQ(Reason(Client().TerminateChild("child2")), "ok");
  EXPECT_EQ(Reason(Client().TerminateChild("child2")), "ok");
  child = Await(Client().RestartChild("child2"));
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->info, "extra");
  EXPECT_EQ(Reason(Client().TerminateChild("child2")), "ok");
  EXPECT_EQ(Reason(Client().DeleteChild("child2")), "ok");
  EXPECT_EQ(Reason(Client().DeleteChild("child2")), "NO_CHILD");
  EXPECT_EQ(Reason(Client().TerminateChild("child2")), "NO_CHILD");
}

TEST_F(SupervisorOrders, SUP61_StartedOutsideTheSupervisor) {
  OTP_CASE("SUP.61", "H3");
  ASSERT_TRUE(Start(Spec({})).ok());
  const Pid holder = *sim_.Start(ScriptServer::Make(), "child1");
  for (const bool own_start : {false, true}) {
    const ChildSpec spec = own_start ? WithExtra("child1") : Worker("child1");
    const absl::Status taken = Await(Client().StartChild(spec)).status();
    EXPECT_TRUE(absl::IsAlreadyExists(taken));
    EXPECT_EQ(ReasonOf(taken), "ALREADY_STARTED");
    EXPECT_EQ(DetailOf(taken, "pid"), holder.ToString());
    EXPECT_EQ(Counts(), "0 specs, 0 active, 0 supervisors, 0 workers");
  }
  EXPECT_TRUE(sim_.Alive(holder));
}

// -- Upgrade ------------------------------------------------------------------

TEST_F(SupervisorOrders, SUP52_ChangedFlagsAndSpecs) {
  OTP_CASE("SUP.52", "S34");
  ASSERT_TRUE(Start(Spec({Worker("child1"), Worker("child2")}, 1)).ok());
  const Pid child1 = Where("child1");
  seen_.clear();
  // Flags alone.
  SupervisorSpec next =
      Spec({Worker("child1"), Worker("child2")}, 3, Strategy::kOneForAll);
  EXPECT_EQ(Reason(Client().Reconfigure(next)), "ok");
  EXPECT_THAT(seen_, IsEmpty());
  // Another shutdown for one, another child, one less.
  next.children = {
      Worker("child1", kPermanent, Shutdown::Within(absl::Seconds(1))),
      Worker("child3")};
  EXPECT_EQ(Reason(Client().Reconfigure(next)), "ok");
  EXPECT_THAT(seen_, IsEmpty());
  EXPECT_EQ(Where("child1"), child1);
  EXPECT_EQ(Which(), "child2 -child3 child1");
  EXPECT_EQ(Await(Client().GetChildSpec("child1"))->shutdown,
            Shutdown::Within(absl::Seconds(1)));
  EXPECT_EQ(Await(Client().GetChildSpec(child1))->id, "child1");
  // Faulty ones change nothing.
  SupervisorSpec faulty = next;
  faulty.period = -absl::Seconds(1);
  EXPECT_EQ(Reason(Client().Reconfigure(faulty)), "BAD_SUPERVISOR_SPEC");
  faulty = next;
  faulty.strategy = static_cast<Strategy>(9);
  faulty.children.clear();
  EXPECT_EQ(Reason(Client().Reconfigure(faulty)), "BAD_SUPERVISOR_SPEC");
  faulty = next;
  faulty.children.push_back(Worker(""));
  EXPECT_EQ(Reason(Client().Reconfigure(faulty)), "BAD_CHILD_SPEC");
  faulty = next;
  faulty.children.push_back(Worker("child3"));
  EXPECT_EQ(Reason(Client().Reconfigure(faulty)), "BAD_CHILD_SPEC");
  EXPECT_EQ(Which(), "child2 -child3 child1");
  // The new flags are in force: one_for_all, also for the one no longer listed.
  Kill("child1");
  EXPECT_THAT(seen_, ElementsAre("end child2 shutdown", "start child1",
                                 "start child3", "start child2"));
  seen_.clear();
  Kill("child3");
  Kill("child2");
  EXPECT_TRUE(sim_.Alive(sup_));
  Kill("child1");
  EXPECT_FALSE(sim_.Alive(sup_));
}

TEST_F(SupervisorOrders, SUP52_AnInitRunsAgain) {
  OTP_CASE("SUP.52", "S34 S9");
  std::optional<SupervisorSpec> next = Spec({Worker("child1")});
  absl::Status error;
  ASSERT_TRUE(
      StartLinked(Supervisor::MakeWithInit(
                      [&]() -> absl::StatusOr<std::optional<SupervisorSpec>> {
                        if (!error.ok()) return error;
                        return next;
                      }))
          .ok());
  next->children.push_back(Worker("child2"));
  EXPECT_EQ(Reason(Client().Reload()), "ok");
  EXPECT_EQ(Which(), "-child2 child1");
  next.reset();  // ignore: no change.
  EXPECT_EQ(Reason(Client().Reload()), "ok");
  EXPECT_EQ(Which(), "-child2 child1");
  error = absl::InternalError("no config");
  EXPECT_EQ(Await(Client().Reload()).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Which(), "-child2 child1");
  sim_.Stop(sup_);
  ASSERT_TRUE(Start(Spec({})).ok());
  EXPECT_EQ(Reason(Client().Reload()), "NO_INIT");
}

class SignificantUpgrade : public SupervisorOrders {
 protected:
  ChildSpec Significant(const std::string& id, bool significant = true) {
    ChildSpec spec = Worker(id, kTransient);
    spec.significant = significant;
    return spec;
  }
  static SupervisorSpec With(AutoShutdown auto_shutdown,
                             std::vector<ChildSpec> children) {
    SupervisorSpec spec = Spec(std::move(children));
    spec.auto_shutdown = auto_shutdown;
    return spec;
  }
};

TEST_F(SignificantUpgrade, SUP58_FromAnyToNever) {
  OTP_CASE("SUP.58", "S34 S31 S4");
  ASSERT_TRUE(Start(With(AutoShutdown::kAnySignificant,
                         {Significant("child1"), Significant("child2")}))
                  .ok());
  EXPECT_EQ(Reason(Client().Reconfigure(With(AutoShutdown::kNever, {}))), "ok");
  End("child1", kNormal);
  EXPECT_EQ(Which(), "child2 -child1");
  EXPECT_EQ(Reason(Client().StartChild(Significant("child3"))),
            "BAD_CHILD_SPEC");
  EXPECT_TRUE(sim_.Alive(sup_));
  // And back.
  EXPECT_EQ(
      Reason(Client().Reconfigure(With(AutoShutdown::kAnySignificant, {}))),
      "ok");
  End("child2", kNormal);
  EXPECT_FALSE(sim_.Alive(sup_));
}

TEST_F(SignificantUpgrade, SUP59_FromAllToNever) {
  OTP_CASE("SUP.59", "S34 S31");
  ASSERT_TRUE(Start(With(AutoShutdown::kAllSignificant,
                         {Significant("child1"), Significant("child2")}))
                  .ok());
  EXPECT_EQ(Reason(Client().Reconfigure(With(AutoShutdown::kNever, {}))), "ok");
  End("child1", kNormal);
  End("child2", kNormal);
  EXPECT_EQ(Which(), "-child2 -child1");
  EXPECT_TRUE(sim_.Alive(sup_));
}

TEST_F(SignificantUpgrade, SUP60_ChangedSignificance) {
  OTP_CASE("SUP.60", "S34 S31 S4");
  ASSERT_TRUE(Start(With(AutoShutdown::kAnySignificant,
                         {Significant("child1"), Significant("child2")}))
                  .ok());
  EXPECT_EQ(Reason(Client().Reconfigure(
                With(AutoShutdown::kAnySignificant,
                     {Significant("child1", false), Significant("child2")}))),
            "ok");
  End("child1", kNormal);
  EXPECT_TRUE(sim_.Alive(sup_));
  ChildSpec illegal = Significant("child2");
  illegal.restart = kPermanent;
  EXPECT_EQ(Reason(Client().Reconfigure(
                With(AutoShutdown::kAnySignificant, {illegal}))),
            "BAD_CHILD_SPEC");
  End("child2", kNormal);  // Still transient and significant.
  EXPECT_FALSE(sim_.Alive(sup_));
  EXPECT_THAT(exits_, ElementsAre("shutdown"));
}

// -- Global names -------------------------------------------------------------

class SupervisorGlobal : public SupervisorOrders {
 protected:
  SupervisorGlobal() {
    names_.Serve(&sim_.runtime());
    sim_.runtime().set_names(&names_);
    ChildSpec server = Worker("server");
    server.name = ServerName::Global("gen_server");
    ChildSpec inner = Supervisor::AsChild(Spec({server}), "inner");
    inner.name = ServerName::Global("sup_name");
    top_ = Spec({inner});
  }
  // What has a name ends before the registry does.
  ~SupervisorGlobal() override {
    sim_.runtime().KillAll();
    sim_.RunReady();
  }
  Pid Global(absl::string_view name) {
    const std::optional<NameEntry> entry = names_.WhereIs(name);
    return entry.has_value() ? entry->pid : Pid();
  }

  FakeNameRegistry names_;
  SupervisorSpec top_;
};

TEST_F(SupervisorGlobal, SUP50_AKilledSupervisorComesBack) {
  OTP_CASE("SUP.50", "S17 S29");
  ASSERT_TRUE(Start(top_).ok());
  const Pid sup = Global("sup_name");
  const Pid server = Global("gen_server");
  ASSERT_FALSE(sup.empty());
  ASSERT_FALSE(server.empty());
  sim_.runtime().SendExit(Pid(), sup, ExitReason::Kill());
  ASSERT_TRUE(sim_.RunUntil([&] {
    return !Global("sup_name").empty() && !Global("gen_server").empty() &&
           Global("sup_name") != sup && Global("gen_server") != server;
  }));
  EXPECT_TRUE(sim_.Alive(Global("sup_name")));
  EXPECT_TRUE(sim_.Alive(Global("gen_server")));
  EXPECT_TRUE(sim_.Alive(sup_));
}

TEST_F(SupervisorGlobal, SUP51_OrdersThroughAGlobalName) {
  OTP_CASE("SUP.51", "S17");
  ASSERT_TRUE(Start(top_).ok());
  SupervisorClient client(sim_.caller(), ServerRef::Global("sup_name"));
  const Pid first = Global("gen_server");
  EXPECT_EQ(Reason(client.TerminateChild("server")), "ok");
  EXPECT_TRUE(Global("gen_server").empty());
  const absl::StatusOr<StartedChild> again =
      Await(client.RestartChild("server"));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Global("gen_server"), again->pid);
  EXPECT_NE(again->pid, first);
  EXPECT_EQ(StopSup(), "shutdown");
  EXPECT_TRUE(Global("sup_name").empty());
  EXPECT_TRUE(Global("gen_server").empty());
}

}  // namespace
}  // namespace muster
