// How a GenServer starts (gen_server_SUITE:start and spec_init,
// gen_server_test.exs:start_link).
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/gen_server/start.h"
#include "node/process/runtime.h"
#include "node/registry/names.h"
#include "node/types/server_name.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/stage.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Script WithInit(std::function<InitResult(Context&)> init) {
  Script script;
  script.init = std::move(init);
  return script;
}

Script StopsWhenCalled(ExitReason reason) {
  Script script;
  script.call = [reason](int64_t, Context&) -> Reply<Int64> {
    return Stop(reason, MakeInt64(1));
  };
  return script;
}

class GenServerStart : public Stage {
 protected:
  int64_t Ask(const ServerRef& to, int64_t value) {
    const absl::StatusOr<Int64> reply =
        sim_.Call<Int64>(to, kScriptCall, MakeInt64(value));
    return reply.ok() ? reply->value() : -1;
  }
  std::string WhyNot(const ServerRef& to) {
    return ReasonOf(sim_.Call<Int64>(to, kScriptCall, MakeInt64(0)).status());
  }
};

TEST_F(GenServerStart, GS01_Anonymous) {
  OTP_CASE("GS.01", "H1 C5");
  const Pid pid = *Start(Script());
  EXPECT_EQ(Ask(pid, 7), 7);
  EXPECT_EQ(sim_.Stop(pid).ToString(), "shutdown");
  EXPECT_FALSE(sim_.Alive(pid));
  EXPECT_EQ(WhyNot(pid), "NOPROC");
}

TEST_F(GenServerStart, GS02_InitTimeout) {
  OTP_CASE("GS.02", "H1 H8");
  const Script slow = WithInit([](Context& self) -> InitResult {
    co_await self.Sleep(absl::Seconds(1));
    co_return Ok();
  });
  StartOptions options;
  options.timeout = absl::Milliseconds(100);
  const BootTime before = sim_.Now();
  const absl::Status late =
      sim_.Start(ScriptServer::Make(slow), Payload(), options).status();
  EXPECT_EQ(ReasonOf(late), "START_TIMEOUT");
  EXPECT_EQ(sim_.Now() - before, absl::Milliseconds(100));
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
  options.timeout = absl::Seconds(10);
  EXPECT_TRUE(sim_.Start(ScriptServer::Make(slow), Payload(), options).ok());
}

TEST_F(GenServerStart, GS03_Ignore) {
  OTP_CASE("GS.03", "H4");
  const absl::Status status =
      Start(WithInit([](Context&) -> InitResult { return Ignore(); })).status();
  EXPECT_EQ(ReasonOf(status), "IGNORED");
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
}

TEST_F(GenServerStart, GS04_Error) {
  OTP_CASE("GS.04", "H4");
  const absl::Status status = Start(WithInit([](Context&) -> InitResult {
                                return absl::NotFoundError("foobar");
                              })).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "foobar");
  EXPECT_EQ(sim_.log().Count(LogLevel::kError, "crashed"), 0u);
}

TEST_F(GenServerStart, GS05_LinkedExactlyOneExit) {
  OTP_CASE("GS.05", "L5 G22");
  const Pid actor = NewActor(/*trap=*/true);
  Pid server;
  Do(actor, [&](Context& self) -> Next {
    auto script =
        ScriptServer::Make(StopsWhenCalled(ExitReason::Custom("stopped")));
    absl::StatusOr<Pid> pid =
        co_await StartLink(self, std::move(script), Payload());
    server = *pid;
    co_return NoReply();
  });
  EXPECT_EQ(Ask(server, 0), 1);
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("exit custom(stopped)"));
}

TEST_F(GenServerStart, GS06_MonitoredDownWithTheReference) {
  OTP_CASE("GS.06", "L5 M2");
  const Pid actor = NewActor(/*trap=*/false);
  std::optional<Monitored> started;
  Do(actor, [&](Context& self) -> Next {
    auto script =
        ScriptServer::Make(StopsWhenCalled(ExitReason::Custom("stopped")));
    absl::StatusOr<Monitored> result =
        co_await StartMonitor(self, std::move(script), Payload());
    started = *result;
    co_return NoReply();
  });
  EXPECT_NE(started->monitor.id, 0u);
  EXPECT_EQ(sim_.runtime().Tables().monitors, 1u);
  EXPECT_EQ(Ask(started->pid, 0), 1);
  sim_.RunReady();
  EXPECT_THAT(seen_, ElementsAre("down custom(stopped)"));
  EXPECT_EQ(sim_.runtime().Tables().monitors, 0u);
}

class TakenName : public GenServerStart {
 protected:
  std::vector<absl::Status> StartAgain(const ServerName& name) {
    const Pid actor = NewActor(/*trap=*/true);
    std::vector<absl::Status> answers;
    Do(actor, [&](Context& self) -> Next {
      StartOptions options;
      options.name = name;
      Script init;
      init.init = [this](Context&) -> InitResult {
        seen_.push_back("init");
        return Ok();
      };
      auto first = ScriptServer::Make(init);
      absl::StatusOr<Pid> plain =
          co_await muster::Start(self, std::move(first), Payload(), options);
      answers.push_back(plain.status());
      auto second = ScriptServer::Make(init);
      absl::StatusOr<Pid> linked =
          co_await StartLink(self, std::move(second), Payload(), options);
      answers.push_back(linked.status());
      auto third = ScriptServer::Make(init);
      absl::StatusOr<Monitored> monitored =
          co_await StartMonitor(self, std::move(third), Payload(), options);
      answers.push_back(monitored.status());
      co_return NoReply();
    });
    return answers;
  }
  void ExpectHolder(const std::vector<absl::Status>& answers,
                    const Pid& holder) {
    ASSERT_EQ(answers.size(), 3u);
    for (const absl::Status& answer : answers) {
      EXPECT_EQ(answer.code(), absl::StatusCode::kAlreadyExists) << answer;
      EXPECT_EQ(ReasonOf(answer), "ALREADY_STARTED");
      EXPECT_EQ(DetailOf(answer, "pid"), holder.ToString());
    }
    EXPECT_THAT(seen_, IsEmpty());  // Neither Init, nor Exit, nor Down.
  }
};

TEST_F(TakenName, GS07_Local) {
  OTP_CASE("GS.07", "H3");
  const Pid holder = *Start(Script(), "n");
  ExpectHolder(StartAgain("n"), holder);
  EXPECT_EQ(sim_.runtime().WhereIsLocal("n"), holder);
}

TEST_F(TakenName, GS08_GlobalAndAfterItsEndNobodyAnswers) {
  OTP_CASE("GS.08", "H3 H5 C7");
  const Pid holder = *Start(Script(), ServerName::Global("g"));
  EXPECT_EQ(Ask(ServerRef::Global("g"), 3), 3);
  ExpectHolder(StartAgain(ServerName::Global("g")), holder);
  sim_.Stop(holder);
  EXPECT_EQ(WhyNot(ServerRef::Global("g")), "NOPROC");
  EXPECT_TRUE(Start(Script(), ServerName::Global("g")).ok());
}

TEST_F(TakenName, GS09_NothingIsLeftOfAnyStart) {
  OTP_CASE("GS.09", "H5 H6 H8");
  const Pid actor = NewActor(/*trap=*/true);
  const RuntimeTables before = sim_.runtime().Tables();
  const std::vector<Script> failing = {
      WithInit([](Context&) -> InitResult { return Ignore(); }),
      WithInit(
          [](Context&) -> InitResult { return absl::NotFoundError("foobar"); }),
      WithInit(
          [](Context&) -> InitResult { return Stop(ExitReason::Custom("x")); }),
      WithInit([](Context&) -> InitResult { throw 1; }),
      WithInit([](Context& self) -> InitResult {
        co_await self.Sleep(absl::Hours(1));
        co_return Ok();
      })};
  const std::vector<ServerName> names = {
      ServerName(), "n", ServerName::Global("g"), ServerName::Via("reg", "v")};
  for (int round = 0; round < 20; ++round) {
    for (const ServerName& name : names) {
      for (const Script& script : failing) {
        ASSERT_TRUE(Do(actor, [&](Context& self) -> Next {
          StartOptions options;
          options.name = name;
          options.timeout = absl::Milliseconds(100);
          auto server = ScriptServer::Make(script);
          absl::StatusOr<Monitored> started = co_await StartLinkMonitor(
              self, std::move(server), Payload(), options);
          EXPECT_FALSE(started.ok());
          EXPECT_NE(ReasonOf(started.status()), "ALREADY_STARTED");
          co_return NoReply();
        }));
      }
    }
  }
  EXPECT_THAT(seen_, IsEmpty());
  const RuntimeTables after = sim_.runtime().Tables();
  EXPECT_EQ(after.processes, before.processes);
  EXPECT_EQ(after.names, before.names);
  EXPECT_EQ(after.links, before.links);
  EXPECT_EQ(after.monitors, before.monitors);
  EXPECT_EQ(after.watched, before.watched);
  EXPECT_EQ(after.sleeps, 0u);
  EXPECT_TRUE(via_.WhereIs("v").empty());
  EXPECT_FALSE(names_.WhereIs("g").has_value());
}

// -- An existing process becomes a server
// --------------------------------------

// Registers itself as `have`, then goes on as a server that claims `claim`.
Script Becoming(ServerName have, ServerName claim, StageVia* via) {
  return WithInit([have, claim, via](Context& self) -> InitResult {
    if (have.kind() == ServerName::Kind::kLocal) {
      const absl::Status named = self.RegisterLocal(have.name());
      if (!named.ok()) co_return named;
    }
    if (have.kind() == ServerName::Kind::kGlobal) {
      absl::StatusOr<Epoch> named = co_await RegisterName(self, have.name());
      if (!named.ok()) co_return named.status();
    }
    if (have.kind() == ServerName::Kind::kVia) {
      via->Register(have.name(), self.pid(), [](const absl::Status&) {});
    }
    Script other;
    other.call = [](int64_t value, Context&) -> Reply<Int64> {
      return MakeInt64(value + 100);
    };
    self.Become(ScriptServer::Make(other), claim);
    co_return Ok();
  });
}

TEST_F(GenServerStart, GS51_ARegisteredProcessBecomesAServer) {
  OTP_CASE("GS.51", "H12");
  const std::vector<std::pair<ServerName, ServerRef>> names = {
      {"n", ServerRef::Local("n")},
      {ServerName::Global("g"), ServerRef::Global("g")},
      {ServerName::Via("reg", "v"), ServerRef::Via("reg", "v")}};
  for (const auto& [name, ref] : names) {
    const absl::StatusOr<Pid> pid = Start(Becoming(name, name, &via_));
    ASSERT_TRUE(pid.ok()) << pid.status();
    EXPECT_EQ(Ask(ref, 1), 101) << name.ToString();
    EXPECT_EQ(Ask(*pid, 2), 102);
  }
  // Without a claim any process may.
  EXPECT_EQ(Ask(*Start(Becoming(ServerName(), ServerName(), &via_)), 3), 103);
}

TEST_F(GenServerStart, GS52_AClaimThatDoesNotStandEndsIt) {
  OTP_CASE("GS.52", "H12");
  const std::vector<std::pair<ServerName, std::string>> claims = {
      {"n", "custom(process_not_registered)"},
      {ServerName::Global("g"), "custom(process_not_registered_globally)"},
      {ServerName::Via("reg", "v"), "custom(process_not_registered_via(reg))"}};
  for (const auto& [claim, reason] : claims) {
    const Pid actor = NewActor(/*trap=*/true);
    seen_.clear();
    Do(actor, [&, claim = claim](Context& self) -> Next {
      auto server = ScriptServer::Make(Becoming(ServerName(), claim, &via_));
      auto started = co_await StartLink(self, std::move(server), Payload());
      co_return NoReply();
    });
    EXPECT_THAT(seen_, ElementsAre("exit " + reason));
  }
}

TEST_F(GenServerStart, GS55_AnotherProcessHoldsTheClaimedName) {
  OTP_CASE("GS.55", "H12");
  const std::vector<std::pair<ServerName, std::string>> claims = {
      {"n", "custom(process_not_registered)"},
      {ServerName::Global("g"), "custom(process_not_registered_globally)"},
      {ServerName::Via("reg", "v"), "custom(process_not_registered_via(reg))"}};
  for (const auto& [claim, reason] : claims) {
    ASSERT_TRUE(Start(Script(), claim).ok());
    const Pid actor = NewActor(/*trap=*/true);
    seen_.clear();
    Do(actor, [&, claim = claim](Context& self) -> Next {
      auto server = ScriptServer::Make(Becoming(ServerName(), claim, &via_));
      auto started = co_await StartLink(self, std::move(server), Payload());
      co_return NoReply();
    });
    EXPECT_THAT(seen_, ElementsAre("exit " + reason));
  }
}

class NamedParent : public GenServerStart {
 protected:
  // Terminate of a trapping child runs at the order of a parent named `name`.
  void ExpectTerminate(const ServerName& name) {
    std::optional<Pid> child;
    Script parent;
    parent.call = [&](int64_t, Context& self) -> Reply<Int64> {
      Script script;
      script.init = [](Context& inner) -> InitResult {
        inner.TrapExit(true);
        return Ok();
      };
      script.terminate = [&](const ExitReason& reason, Context&) -> Next {
        seen_.push_back("terminate " + reason.ToString());
        return NoReply();
      };
      auto server = ScriptServer::Make(script);
      absl::StatusOr<Pid> pid =
          co_await StartLink(self, std::move(server), Payload());
      child = *pid;
      self.SendExit(*pid, ExitReason::Shutdown());
      co_return MakeInt64(0);
    };
    const Pid pid = *Start(parent, name);
    EXPECT_EQ(Ask(pid, 0), 0);
    sim_.RunReady();
    EXPECT_FALSE(sim_.Alive(*child));
    EXPECT_THAT(seen_, ElementsAre("terminate shutdown"));
  }
};

TEST_F(NamedParent, GS53_LocalName) {
  OTP_CASE("GS.53", "H10 G2 G19");
  ExpectTerminate("n");
}

TEST_F(NamedParent, GS54_GlobalName) {
  OTP_CASE("GS.54", "H10 G2 G19");
  ExpectTerminate(ServerName::Global("g"));
}

// -- Elixir
// --------------------------------------------------------------------

TEST_F(GenServerStart, EGS02_ABadNameIsNamedAndNothingIsSpawned) {
  OTP_CASE("EGS.02", "H11");
  const std::vector<std::pair<ServerName, std::string>> bad = {
      {ServerName::Local("my name"), "my name"},
      {ServerName::Local(""), "\"\""},
      {ServerName::Global(""), "\"\""},
      {ServerName::Global("a..b"), "a..b"},
      {ServerName::Via("unknown", "key"), "unknown"},
      {ServerName::Via("reg", ""), "reg"}};
  for (const auto& [name, text] : bad) {
    const absl::Status status = Start(Script(), name).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(ReasonOf(status), "BAD_NAME");
    EXPECT_TRUE(absl::StrContains(status.message(), text)) << status;
    EXPECT_EQ(sim_.runtime().process_count(), 0u);
  }
}

TEST_F(GenServerStart, EGS03_Via) {
  OTP_CASE("EGS.03", "H2 C1");
  ASSERT_TRUE(Start(Script(), ServerName::Via("reg", "v")).ok());
  EXPECT_EQ(Ask(ServerRef::Via("reg", "v"), 5), 5);
}

TEST_F(GenServerStart, EGS04_Global) {
  OTP_CASE("EGS.04", "H2 C1");
  ASSERT_TRUE(Start(Script(), ServerName::Global("g")).ok());
  EXPECT_EQ(Ask(ServerRef::Global("g"), 6), 6);
}

TEST_F(GenServerStart, EGS08_TheEmptyNameIsNone) {
  OTP_CASE("EGS.08", "H11");
  const Pid first = *Start(Script(), "");
  const Pid second = *Start(Script(), ServerName());
  EXPECT_NE(first, second);
  EXPECT_EQ(sim_.runtime().Tables().names, 0u);
  EXPECT_EQ(sim_.runtime().Inspect(first)->name, "");
}

}  // namespace
}  // namespace muster
