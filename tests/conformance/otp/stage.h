// Stage: one node in virtual time with cluster-wide names and a via registry,
// for cases about starting, names, aliases and what a process says of itself.
#ifndef MUSTER_TESTS_CONFORMANCE_OTP_STAGE_H_
#define MUSTER_TESTS_CONFORMANCE_OTP_STAGE_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "node/base/check.h"
#include "node/gen_server/start.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/process/via.h"
#include "node/types/server_name.h"
#include "node/types/status.h"
#include "tests/conformance/otp/actor.h"
#include "tests/testkit/fake_name_registry.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {

// Keys in a map.
class StageVia final : public ViaRegistry {
 public:
  Pid WhereIs(absl::string_view key) const override {
    const auto at = pids_.find(std::string(key));
    return at == pids_.end() ? Pid() : at->second;
  }
  void Register(absl::string_view key, const Pid& pid,
                absl::AnyInvocable<void(absl::Status)> done) override {
    const auto [at, added] = pids_.emplace(std::string(key), pid);
    if (added) return done(absl::OkStatus());
    done(Error(absl::StatusCode::kAlreadyExists, "ALREADY_STARTED", "taken")
             .With("pid", at->second.ToString())
             .NotExecuted());
  }
  void Unregister(absl::string_view key, const Pid& pid) override {
    const auto at = pids_.find(std::string(key));
    if (at != pids_.end() && at->second == pid) pids_.erase(at);
  }

 private:
  std::map<std::string, Pid> pids_;
};

class Stage : public ::testing::Test {
 protected:
  Stage() {
    names_.Serve(&sim_.runtime());
    sim_.runtime().set_names(&names_);
    MUSTER_CHECK(sim_.runtime().AddVia("reg", &via_), "the name is taken");
  }
  ~Stage() override { sim_.runtime().RemoveVia("reg"); }

  // A process that runs a test's lines and notes what else comes.
  Pid NewActor(bool trap) {
    const Pid pid = *sim_.Start(
        std::make_unique<Actor>([this](Info info, Context&) -> Next {
          if (const Exit* exit = info.As<Exit>()) {
            seen_.push_back("exit " + exit->reason.ToString());
          } else if (const Down* down = info.As<Down>()) {
            seen_.push_back("down " + down->reason.ToString());
          } else if (const Int64* value = info.As<Int64>()) {
            seen_.push_back(std::to_string(value->value()));
          }
          return NoReply();
        }));
    if (trap) {
      Do(pid, [](Context& self) -> Next {
        self.TrapExit(true);
        return NoReply();
      });
    }
    return pid;
  }
  // True: the act came to its end; false: its process did not live to see it.
  bool Do(const Pid& actor, Act act) {
    auto done = std::make_shared<bool>(false);
    Tell(sim_.runtime(), actor, std::move(act));
    Tell(sim_.runtime(), actor, [done](Context&) {
      *done = true;
      return Next();
    });
    sim_.RunUntil([&] { return *done || !sim_.Alive(actor); });
    sim_.RunReady();
    return *done;
  }
  absl::StatusOr<Pid> Start(Script script, ServerName name = ServerName()) {
    StartOptions options;
    options.name = std::move(name);
    return sim_.Start(ScriptServer::Make(std::move(script)), Payload(),
                      std::move(options));
  }
  void Kill(const Pid& pid) {
    sim_.runtime().SendExit(Pid(), pid, ExitReason::Kill());
    sim_.RunReady();
  }
  std::string HowItEnds(const Pid& pid) {
    auto reason = std::make_shared<std::string>();
    sim_.runtime().ObserveExit(
        pid, [reason](const ExitReason& r) { *reason = r.ToString(); });
    sim_.RunReady();
    return *reason;
  }

  FakeNameRegistry names_;
  StageVia via_;
  SimRuntime sim_;
  std::vector<std::string> seen_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_OTP_STAGE_H_
