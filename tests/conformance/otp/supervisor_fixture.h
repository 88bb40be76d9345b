// SupervisorCase: what the ported cases of supervisors share: a supervisor
// "sup" in virtual time, and children that note what happens to them.
#ifndef MUSTER_TESTS_CONFORMANCE_OTP_SUPERVISOR_FIXTURE_H_
#define MUSTER_TESTS_CONFORMANCE_OTP_SUPERVISOR_FIXTURE_H_

#include <cstdint>
#include <map>
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
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/supervisor/child_info.h"
#include "node/supervisor/child_spec.h"
#include "node/supervisor/supervisor.h"
#include "node/supervisor/supervisor_client.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {

inline constexpr Restart kPermanent = Restart::kPermanent;
inline constexpr Restart kTransient = Restart::kTransient;
inline constexpr Restart kTemporary = Restart::kTemporary;

class SupervisorCase : public ::testing::Test {
 protected:
  // How a child ends when it is told to: what it is cast.
  enum How : int64_t { kNormal, kShutdown, kShutdownX, kAbnormal };

  // A child of that id and local name, which traps exits, notes its starts and
  // its Terminate in seen_, and lingers in Terminate as long as linger_ says.
  // fail_[id] makes its starts fail: "ignore", or the reason it stops with.
  ChildSpec Worker(const std::string& id, Restart restart = kPermanent,
                   Shutdown shutdown = Shutdown::Within(absl::Seconds(5))) {
    ChildSpec spec;
    spec.id = id;
    spec.name = id;
    spec.restart = restart;
    spec.shutdown = shutdown;
    spec.factory = [this, id] { return Make(id); };
    return spec;
  }
  std::unique_ptr<ProcessBody> Make(const std::string& id) {
    Script script;
    script.init = [this, id](Context& self) -> InitResult {
      self.TrapExit(true);
      const auto fail = fail_.find(id);
      if (fail != fail_.end()) {
        seen_.push_back("fail " + id);
        if (fail->second == "ignore") return Ignore();
        return Stop(ExitReason::Custom(fail->second));
      }
      seen_.push_back("start " + id);
      return Ok();
    };
    script.cast = [](int64_t how, Context&) -> Next {
      if (how == kNormal) return Stop(ExitReason::Normal());
      if (how == kShutdown) return Stop(ExitReason::Shutdown());
      if (how == kShutdownX) return Stop(ExitReason::Shutdown("x"));
      return Stop(ExitReason::Custom("x"));
    };
    script.terminate = [this, id](const ExitReason& reason,
                                  Context& self) -> Next {
      const auto linger = linger_.find(id);
      if (linger != linger_.end()) co_await self.Sleep(linger->second);
      seen_.push_back(absl::StrCat("end ", id, " ", reason.ToString()));
      co_return NoReply();
    };
    return ScriptServer::Make(std::move(script));
  }

  static SupervisorSpec Spec(std::vector<ChildSpec> children,
                             uint32_t intensity = 1,
                             Strategy strategy = Strategy::kOneForOne) {
    SupervisorSpec spec = SupervisorSpec::Of(strategy, std::move(children));
    spec.intensity = intensity;
    return spec;
  }

  absl::StatusOr<Pid> Start(SupervisorSpec spec) {
    absl::StatusOr<std::unique_ptr<Supervisor>> made =
        Supervisor::Make(std::move(spec));
    if (!made.ok()) return made.status();
    return StartLinked(*std::move(made));
  }
  // Started and linked by a parent that traps exits and counts them.
  absl::StatusOr<Pid> StartLinked(std::unique_ptr<ProcessBody> body,
                                  ServerName name = "sup") {
    auto result = std::make_shared<std::optional<absl::StatusOr<Pid>>>();
    auto held = std::make_shared<std::unique_ptr<ProcessBody>>(std::move(body));
    Script script;
    script.init = [](Context& self) -> InitResult {
      self.TrapExit(true);
      return Ok();
    };
    script.cast = [result, held, name](int64_t, Context& self) -> Next {
      StartOptions options;
      options.name = name;
      Payload none;
      absl::StatusOr<Pid> pid = co_await StartLink(
          self, std::move(*held), std::move(none), std::move(options));
      result->emplace(std::move(pid));
      co_return NoReply();
    };
    script.info = [this](Info info, Context&) -> Next {
      if (const Exit* exit = info.As<Exit>()) {
        exits_.push_back(exit->reason.ToString());
      }
      return NoReply();
    };
    parent_ = *sim_.Start(ScriptServer::Make(std::move(script)), "");
    ScriptCast(sim_.caller(), parent_, 0);
    sim_.RunUntil([&] { return result->has_value(); });
    absl::StatusOr<Pid> pid = std::move(**result);
    if (pid.ok()) sup_ = *pid;
    return pid;
  }
  // As its parent stops it; how it ended.
  std::string StopSup() {
    auto ended = std::make_shared<std::optional<std::string>>();
    sim_.runtime().ObserveExit(
        sup_, [ended](ExitReason reason) { *ended = reason.ToString(); });
    sim_.runtime().SendExit(parent_, sup_, ExitReason::Shutdown());
    sim_.RunUntil([&] { return ended->has_value(); });
    return ended->value_or("never");
  }

  SupervisorClient Client(absl::string_view name = "sup") {
    return SupervisorClient(sim_.caller(), ServerRef::Local(name));
  }
  template <typename T>
  T Await(Pending<T> pending) {
    return sim_.Await(std::move(pending));
  }
  // "2 specs, 1 active, 0 supervisors, 2 workers".
  std::string Counts(absl::string_view name = "sup") {
    const absl::StatusOr<ChildCounts> counts =
        Await(Client(name).CountChildren());
    if (!counts.ok()) return ReasonOf(counts.status());
    return absl::StrCat(counts->specs, " specs, ", counts->active, " active, ",
                        counts->supervisors, " supervisors, ", counts->workers,
                        " workers");
  }
  // "b! a -c ?d": b runs as a supervisor, a runs, c does not, d is restarting.
  std::string Which(absl::string_view name = "sup") {
    const absl::StatusOr<std::vector<ChildInfo>> list =
        Await(Client(name).WhichChildren());
    if (!list.ok()) return ReasonOf(list.status());
    std::string text;
    for (const ChildInfo& child : *list) {
      absl::StrAppend(&text, text.empty() ? "" : " ",
                      child.restarting    ? "?"
                      : child.pid.empty() ? "-"
                                          : "",
                      child.id,
                      child.type == ChildType::kSupervisor ? "!" : "");
    }
    return text;
  }

  Pid Where(const std::string& id) { return sim_.runtime().WhereIsLocal(id); }
  void End(const std::string& id, How how) {
    ScriptCast(sim_.caller(), ServerRef::Local(id), how);
    sim_.RunReady();
  }
  void Kill(const std::string& id) {
    sim_.runtime().SendExit(Pid(), Where(id), ExitReason::Kill());
    sim_.RunReady();
  }
  // The reason a process ends with, from now on.
  std::shared_ptr<std::string> Watch(const Pid& pid) {
    auto reason = std::make_shared<std::string>("alive");
    sim_.runtime().ObserveExit(
        pid, [reason](ExitReason r) { *reason = r.ToString(); });
    return reason;
  }

  std::map<std::string, std::string> fail_;
  std::map<std::string, absl::Duration> linger_;
  std::vector<std::string> seen_;
  // Exits that the supervisor's parent got.
  std::vector<std::string> exits_;
  Pid parent_;
  Pid sup_;
  SimRuntime sim_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_OTP_SUPERVISOR_FIXTURE_H_
