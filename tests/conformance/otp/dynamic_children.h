// DynamicChildren: children whose starts and ends a test decides, under a
// DynamicSupervisor in virtual time.
#ifndef MUSTER_TESTS_CONFORMANCE_OTP_DYNAMIC_CHILDREN_H_
#define MUSTER_TESTS_CONFORMANCE_OTP_DYNAMIC_CHILDREN_H_

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/base/log.h"
#include "node/gen_server/gen_server.h"
#include "node/process/runtime.h"
#include "node/supervisor/child_info.h"
#include "node/supervisor/child_spec.h"
#include "node/supervisor/dynamic_supervisor.h"
#include "node/types/exit_reason.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {

// How a child takes an order to shut down.
enum class Obeys {
  kAtOnce,  // Does not trap exits.
  kTraps,   // Runs Terminate.
  kNever,   // Only a kill ends it.
};

class DynamicChildren : public ::testing::Test {
 protected:
  // A child that ends with the reason it is sent as an info.
  static ChildSpec Child(Restart restart = Restart::kTemporary,
                         Shutdown shutdown = Shutdown::Within(absl::Seconds(5)),
                         Obeys obeys = Obeys::kAtOnce) {
    ChildSpec spec;
    spec.id = "child";
    spec.restart = restart;
    spec.shutdown = shutdown;
    spec.factory = [obeys] {
      return ScriptServer::Make(MakeScript(obeys, std::nullopt));
    };
    return spec;
  }
  // As above; whatever it is told, on an order to shut down it ends with
  // `reason`.
  static ChildSpec ChildThatEndsWith(
      ExitReason reason, Restart restart = Restart::kTemporary,
      Shutdown shutdown = Shutdown::Within(absl::Seconds(5))) {
    ChildSpec spec = Child(restart, shutdown);
    spec.factory = [reason = std::move(reason)] {
      return ScriptServer::Make(MakeScript(Obeys::kTraps, reason));
    };
    return spec;
  }
  // As above; its start does what `start_` says at that time: "" starts,
  // "ignore", "error", "stop", "throw".
  ChildSpec MoodyChild(Restart restart) {
    ChildSpec spec = Child(restart);
    spec.factory = [this] {
      ++starts_;
      Script script = MakeScript(Obeys::kAtOnce, std::nullopt);
      script.init = [mood = mood_](Context&) -> InitResult {
        if (mood == "ignore") return Ignore();
        if (mood == "error") return absl::NotFoundError("found nothing");
        if (mood == "stop") return Stop(ExitReason::Custom("no"));
        if (mood == "throw") throw std::runtime_error("oops");
        return Ok();
      };
      return ScriptServer::Make(std::move(script));
    };
    return spec;
  }

  Pid StartPool(DynamicSupervisorSpec spec = DynamicSupervisorSpec()) {
    StartOptions options;
    options.name = "pool";
    absl::StatusOr<Pid> pid =
        sim_.Start(std::make_unique<DynamicSupervisor>(std::move(spec)),
                   Payload(), std::move(options));
    EXPECT_TRUE(pid.ok()) << pid.status();
    pool_ = pid.ok() ? *pid : Pid();
    Watch(pool_, &ended_);
    return pool_;
  }
  DynamicSupervisorClient pool() {
    return DynamicSupervisorClient(sim_.caller(), ServerRef::Local("pool"));
  }
  absl::StatusOr<StartedChild> TryStart(ChildSpec spec) {
    return sim_.Await(pool().StartChild(std::move(spec)));
  }
  Pid Start(ChildSpec spec) {
    absl::StatusOr<StartedChild> started = TryStart(std::move(spec));
    EXPECT_TRUE(started.ok()) << started.status();
    return started.ok() ? started->pid : Pid();
  }
  Pid StartFromTemplate(ChildArguments arguments = ChildArguments()) {
    absl::StatusOr<StartedChild> started =
        sim_.Await(pool().StartChild(std::move(arguments)));
    EXPECT_TRUE(started.ok()) << started.status();
    return started.ok() ? started->pid : Pid();
  }
  absl::Status Terminate(const Pid& pid) {
    return sim_.Await(pool().TerminateChild(pid));
  }
  std::vector<ChildInfo> Which() {
    absl::StatusOr<std::vector<ChildInfo>> list =
        sim_.Await(pool().WhichChildren());
    EXPECT_TRUE(list.ok()) << list.status();
    return list.value_or(std::vector<ChildInfo>());
  }
  // "specs active supervisors workers".
  std::string Counts() {
    absl::StatusOr<ChildCounts> c = sim_.Await(pool().CountChildren());
    if (!c.ok()) return c.status().ToString();
    return absl::StrCat(c->specs, " ", c->active, " ", c->supervisors, " ",
                        c->workers);
  }
  // Has the child end with `reason`; its supervisor has seen it.
  void End(const Pid& pid, ExitReason reason) {
    sim_.runtime().Send(pid, Info(std::move(reason)));
    sim_.RunReady();
  }
  void Kill(const Pid& pid) {
    sim_.runtime().SendExit(Pid(), pid, ExitReason::Kill());
    sim_.RunReady();
  }
  bool Logged(absl::string_view error) {
    return sim_.log().Count(LogLevel::kError, error) > 0;
  }
  // `ended` gets the reason once the process has ended.
  void Watch(const Pid& pid, std::optional<ExitReason>* ended) {
    sim_.runtime().ObserveExit(
        pid, [ended](ExitReason reason) { *ended = std::move(reason); });
  }

  std::string mood_;
  int starts_ = 0;
  Pid pool_;
  std::optional<ExitReason> ended_;  // The supervisor's.
  SimRuntime sim_;

 private:
  static Script MakeScript(Obeys obeys, std::optional<ExitReason> ends_with) {
    Script script;
    script.init = [obeys](Context& self) -> InitResult {
      self.TrapExit(obeys != Obeys::kAtOnce);
      return Ok();
    };
    script.info = [](Info info, Context&) -> Next {
      if (auto* const reason = info.MutableValue<ExitReason>()) {
        if (reason->kind() == ExitReason::Kind::kException) {
          throw std::runtime_error("oops");
        }
        return Stop(std::move(*reason));
      }
      return NoReply();
    };
    script.terminate = [obeys, ends_with](const ExitReason& reason,
                                          Context& self) -> Next {
      if (reason.kind() != ExitReason::Kind::kShutdown) co_return NoReply();
      if (obeys == Obeys::kNever) co_await self.Sleep(absl::Hours(1));
      if (ends_with.has_value()) {
        self.TrapExit(false);
        self.SendExit(self.pid(), *ends_with);
      }
      co_return NoReply();
    };
    return script;
  }
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_OTP_DYNAMIC_CHILDREN_H_
