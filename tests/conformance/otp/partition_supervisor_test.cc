// Elixir's partition_supervisor_test: copies of one child among which keys are
// spread.
#include "node/supervisor/partition_supervisor.h"

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/process/runtime.h"
#include "node/process/via.h"
#include "node/supervisor/supervisor.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/conformance/otp/expect.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A registry of processes for the test.
class Keys final : public ViaRegistry {
 public:
  Pid WhereIs(absl::string_view key) const override {
    const auto at = pids_.find(std::string(key));
    return at == pids_.end() ? Pid() : at->second;
  }
  void Register(absl::string_view key, const Pid& pid,
                absl::AnyInvocable<void(absl::Status)> done) override {
    pids_[std::string(key)] = pid;
    done(absl::OkStatus());
  }
  void Unregister(absl::string_view key, const Pid&) override {
    pids_.erase(std::string(key));
  }

 private:
  std::map<std::string, Pid> pids_;
};

class PartitionSupervisorCases : public ::testing::Test {
 protected:
  PartitionSupervisorCases() {
    EXPECT_TRUE(sim_.runtime().AddVia("keys", &keys_));
  }
  ~PartitionSupervisorCases() override { sim_.runtime().RemoveVia("keys"); }

  // Partitions answer a call with their number.
  PartitionSupervisorSpec Spec(std::optional<int> partitions = std::nullopt) {
    PartitionSupervisorSpec spec;
    spec.name = "pools";
    spec.partitions = partitions;
    ChildSpec child;
    child.id = "pool";
    child.factory = [this] {
      ++starts_;
      Script script;
      script.init = [this](Context&) -> InitResult {
        if (fail_ == "ignore") return Ignore();
        if (fail_ == "stop") return Stop(ExitReason::Custom("no"));
        return Ok();
      };
      script.call = [](int64_t value, Context& self) -> Reply<Int64> {
        if (value < 0) return Stop(ExitReason::Custom("asked"));
        return MakeInt64(static_cast<int64_t>(self.pid().number));
      };
      return ScriptServer::Make(std::move(script));
    };
    spec.child = std::move(child);
    return spec;
  }
  absl::StatusOr<Pid> TryStart(PartitionSupervisorSpec spec) {
    StartOptions options;
    options.name = spec.name;
    return sim_.Start(std::make_unique<PartitionSupervisor>(std::move(spec)),
                      Payload(), std::move(options));
  }
  Pid Start(PartitionSupervisorSpec spec) {
    absl::StatusOr<Pid> pid = TryStart(std::move(spec));
    EXPECT_TRUE(pid.ok()) << pid.status();
    return pid.value_or(Pid());
  }
  PartitionSupervisorClient Client(ServerRef to = ServerRef::Local("pools")) {
    return PartitionSupervisorClient(sim_.caller(), std::move(to));
  }
  std::vector<ChildInfo> Which() {
    return *sim_.Await(Client().WhichChildren());
  }
  // Who answers for the key; the empty pid: NOPROC.
  template <typename Key>
  Pid Route(Key key) {
    absl::StatusOr<Int64> number =
        sim_.Await(ScriptCall(sim_.caller(), PartitionRef("pools", key), 0));
    if (!number.ok()) {
      EXPECT_TRUE(IsError(number.status(), absl::StatusCode::kNotFound,
                          "NOPROC", Outcome::kNotExecuted));
      return Pid();
    }
    Pid pid;
    pid.node = sim_.runtime().node();
    pid.epoch = sim_.runtime().epoch();
    pid.number = static_cast<uint64_t>(number->value());
    return pid;
  }
  std::string StartError(const PartitionSupervisorSpec& spec) {
    absl::StatusOr<Pid> pid = TryStart(spec);
    EXPECT_TRUE(IsError(pid.status(), absl::StatusCode::kInvalidArgument,
                        "BAD_SUPERVISOR_SPEC", Outcome::kExecuted));
    EXPECT_EQ(sim_.runtime().HoldVia(spec.name), nullptr);
    return std::string(pid.status().message());
  }

  std::string fail_;
  int starts_ = 0;
  Keys keys_;
  SimRuntime sim_;
};

// -- Starting it --------------------------------------------------------------

TEST_F(PartitionSupervisorCases, EPS01_ItsNameIsItsId) {
  OTP_CASE("EPS.01", "D7");
  const ChildSpec child = PartitionSupervisor::AsChild(Spec());
  EXPECT_EQ(child.id, "pools");
  EXPECT_EQ(child.name, "pools");
  EXPECT_EQ(child.type, ChildType::kSupervisor);
  SupervisorSpec top;
  top.children = {child};
  ASSERT_TRUE(sim_.Start(*Supervisor::Make(top), "top").ok());
  EXPECT_FALSE(Route(int64_t{1}).empty());
}

TEST_F(PartitionSupervisorCases, EPS02_ItsKeyInARegistryIsItsId) {
  OTP_CASE("EPS.02", "D7");
  PartitionSupervisorSpec spec = Spec();
  spec.via = "keys";
  const ChildSpec child = PartitionSupervisor::AsChild(spec);
  EXPECT_EQ(child.id, "pools");
  SupervisorSpec top;
  top.children = {child};
  ASSERT_TRUE(sim_.Start(*Supervisor::Make(top), "top").ok());
  EXPECT_EQ(keys_.WhereIs("pools"), sim_.runtime().WhereIsLocal("pools"));
}

TEST_F(PartitionSupervisorCases, EPS03_OnePartitionForEachWorker) {
  OTP_CASE("EPS.03", "D7");
  Start(Spec());
  const int workers = sim_.runtime().scheduler().workers();
  EXPECT_THAT(Which(), SizeIs(workers));
  EXPECT_EQ(*sim_.Await(Client().Partitions()), static_cast<size_t>(workers));
}

TEST_F(PartitionSupervisorCases, EPS03_KeysAreSpreadAndAllAreFound) {
  OTP_CASE("EPS.03", "D7");
  Start(Spec(4));
  std::set<Pid> found;
  for (int64_t key = 0; key < 100; ++key) {
    const Pid pid = Route(key);
    EXPECT_EQ(pid, Which()[key % 4].pid);
    found.insert(pid);
  }
  EXPECT_THAT(found, SizeIs(4));
  found.clear();
  for (int i = 0; i < 100; ++i) {
    const std::string key = absl::StrCat("user", i);
    const Pid pid = Route(key);
    EXPECT_EQ(pid, Which()[PartitionOf(key, 4)].pid);
    found.insert(pid);
  }
  EXPECT_THAT(found, SizeIs(4));
}

TEST_F(PartitionSupervisorCases, EPS03_ArgumentsMayDifferByPartition) {
  OTP_CASE("EPS.03", "D7");
  std::vector<std::string> seen;
  struct Noting final : GenServer {
    explicit Noting(std::vector<std::string>* s) : seen(s) {}
    const ServiceInfo& service_info() const override {
      static const ServiceInfo kNone;
      return kNone;
    }
    HandlerResult OnInit(Payload& options, Context&) override {
      seen->push_back(*options.As<std::string>());
      return InitResult(Ok()).Erase();
    }
    HandlerResult OnCall(absl::string_view m, Payload&, Context&) override {
      return internal::UnknownMethod(m);
    }
    HandlerResult OnCast(absl::string_view m, Payload&, Context&) override {
      return internal::UnknownMethod(m);
    }
    std::vector<std::string>* seen;
  };
  PartitionSupervisorSpec spec = Spec(3);
  spec.child->factory = [&seen] { return std::make_unique<Noting>(&seen); };
  spec.child->init = [] { return Payload::Of(std::string("arg")); };
  spec.with_arguments = [](Payload own, size_t partition) {
    return Payload::Of(absl::StrCat(*own.As<std::string>(), partition));
  };
  Start(spec);
  EXPECT_THAT(seen, ElementsAre("arg0", "arg1", "arg2"));
  // Also at a restart.
  sim_.runtime().SendExit(Pid(), Which()[1].pid, ExitReason::Kill());
  sim_.RunReady();
  EXPECT_THAT(seen, ElementsAre("arg0", "arg1", "arg2", "arg1"));
}

TEST_F(PartitionSupervisorCases, EPS04_WorksThroughItsKeyInARegistry) {
  OTP_CASE("EPS.04", "D7");
  PartitionSupervisorSpec spec = Spec(3);
  spec.via = "keys";
  Start(spec);
  auto client = Client(ServerRef::Via("keys", "pools"));
  EXPECT_EQ(*sim_.Await(client.Partitions()), 3u);
  EXPECT_EQ(Route(int64_t{2}), Which()[2].pid);
  // Without such a registry it does not start.
  spec.name = "others";
  spec.via = "none";
  EXPECT_THAT(StartError(spec), HasSubstr("no registry 'none'"));
}

TEST_F(PartitionSupervisorCases, EPS05_ANameIsRequired) {
  OTP_CASE("EPS.05", "D7");
  PartitionSupervisorSpec spec = Spec(2);
  spec.name.clear();
  EXPECT_THAT(StartError(spec), HasSubstr("no name"));
}

TEST_F(PartitionSupervisorCases, EPS06_AChildIsRequired) {
  OTP_CASE("EPS.06", "D7");
  PartitionSupervisorSpec spec = Spec(2);
  spec.child.reset();
  EXPECT_THAT(StartError(spec), HasSubstr("no child"));
}

TEST_F(PartitionSupervisorCases, EPS07_ZeroPartitionsAreNone) {
  OTP_CASE("EPS.07", "D7");
  EXPECT_THAT(StartError(Spec(0)), HasSubstr("at least 1"));
  EXPECT_THAT(StartError(Spec(-1)), HasSubstr("at least 1"));
  PartitionSupervisorSpec spec = Spec(2);
  spec.child->significant = true;
  EXPECT_THAT(StartError(spec), HasSubstr("auto_shutdown"));
}

TEST_F(PartitionSupervisorCases, EPS06_APartitionThatCannotStartFailsItAll) {
  OTP_CASE("EPS.06", "D7 S8");
  PartitionSupervisorSpec spec = Spec(3);
  const auto factory = spec.child->factory;
  spec.child->factory = [this, factory] {
    if (starts_ == 2) fail_ = "stop";
    return factory();
  };
  absl::StatusOr<Pid> pid = TryStart(spec);
  EXPECT_TRUE(IsError(pid.status(), absl::StatusCode::kAborted, "INIT_FAILED",
                      Outcome::kExecuted));
  EXPECT_THAT(DetailOf(pid.status(), "exit_reason"),
              HasSubstr("shutdown(failed_to_start_child 2"));
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
  EXPECT_EQ(sim_.runtime().HoldVia("pools"), nullptr);
  // The name is free.
  fail_.clear();
  Start(Spec(3));
  // And taken.
  StartOptions options;
  options.name = "other";
  pid = sim_.Start(std::make_unique<PartitionSupervisor>(Spec(3)), Payload(),
                   options);
  EXPECT_TRUE(IsError(pid.status(), absl::StatusCode::kAlreadyExists,
                      "ALREADY_STARTED", Outcome::kExecuted));
  EXPECT_FALSE(Route(int64_t{1}).empty());
}

// -- Ending it ----------------------------------------------------------------

TEST_F(PartitionSupervisorCases, EPS08_AStoppedOneIsDeadAndItsNameFree) {
  OTP_CASE("EPS.08", "D7 S29");
  PartitionSupervisorSpec spec = Spec(3);
  spec.via = "keys";
  Start(spec);
  const Pid pid = keys_.WhereIs("pools");
  EXPECT_EQ(sim_.Stop(pid), ExitReason::Shutdown());
  EXPECT_FALSE(sim_.Alive(pid));
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
  EXPECT_EQ(sim_.runtime().HoldVia("pools"), nullptr);
  EXPECT_TRUE(Route(int64_t{1}).empty());
  // A kill frees it, too.
  sim_.runtime().SendExit(Pid(), Start(Spec(3)), ExitReason::Kill());
  sim_.RunReady();
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
  EXPECT_EQ(sim_.runtime().HoldVia("pools"), nullptr);
}

// -- Asking it ----------------------------------------------------------------

TEST_F(PartitionSupervisorCases, EPS09_PartitionsOfNobodyIsNoproc) {
  OTP_CASE("EPS.09", "D7");
  EXPECT_TRUE(IsError(sim_.Await(Client().Partitions()).status(),
                      absl::StatusCode::kNotFound, "NOPROC",
                      Outcome::kNotExecuted));
}

TEST_F(PartitionSupervisorCases, EPS10_PartitionsOfAnUnknownKeyIsNoproc) {
  OTP_CASE("EPS.10", "D7");
  EXPECT_TRUE(
      IsError(sim_.Await(Client(ServerRef::Via("keys", "unknown")).Partitions())
                  .status(),
              absl::StatusCode::kNotFound, "NOPROC", Outcome::kNotExecuted));
  EXPECT_TRUE(IsError(
      sim_.Await(Client(ServerRef::Via("unknown", "x")).Partitions()).status(),
      absl::StatusCode::kNotFound, "NOPROC", Outcome::kNotExecuted));
}

TEST_F(PartitionSupervisorCases, EPS11_WithoutPartitionsNobodyIsFound) {
  OTP_CASE("EPS.11", "D7");
  Start(Spec(4));
  EXPECT_EQ(*sim_.Await(Client().Resize(0)), 4u);
  EXPECT_EQ(*sim_.Await(Client().Partitions()), 0u);
  EXPECT_TRUE(Route(int64_t{3}).empty());
  EXPECT_TRUE(Route("key").empty());
  absl::StatusOr<ChildCounts> counts = sim_.Await(Client().CountChildren());
  EXPECT_EQ(counts->specs, 4u);  // Specs stay.
  EXPECT_EQ(counts->active, 0u);
  EXPECT_EQ(*sim_.Await(Client().Resize(4)), 0u);
  EXPECT_EQ(Route(int64_t{3}), Which()[3].pid);
}

TEST_F(PartitionSupervisorCases, EPS11_ResizingSpreadsKeysAnew) {
  OTP_CASE("EPS.11", "D7");
  Start(Spec(4));
  const std::vector<ChildInfo> before = Which();
  EXPECT_EQ(*sim_.Await(Client().Resize(2)), 4u);
  std::vector<ChildInfo> list = Which();
  EXPECT_EQ(list[0].pid, before[0].pid);
  EXPECT_EQ(list[1].pid, before[1].pid);
  EXPECT_TRUE(list[2].pid.empty());
  EXPECT_TRUE(list[3].pid.empty());
  EXPECT_FALSE(sim_.Alive(before[3].pid));
  EXPECT_EQ(Route(int64_t{3}), before[1].pid);
  sim_.RunFor(absl::Seconds(10));
  EXPECT_TRUE(Which()[3].pid.empty());  // Not restarted by itself.
  EXPECT_EQ(*sim_.Await(Client().Resize(3)), 2u);
  EXPECT_EQ(Route(int64_t{5}), Which()[2].pid);
  // One that cannot start: all is as before.
  fail_ = "stop";
  absl::StatusOr<size_t> grown = sim_.Await(Client().Resize(4));
  EXPECT_TRUE(IsError(grown.status(), absl::StatusCode::kAborted, "INIT_FAILED",
                      Outcome::kExecuted));
  EXPECT_EQ(*sim_.Await(Client().Partitions()), 3u);
}

TEST_F(PartitionSupervisorCases, EPS12_NotMoreThanItWasStartedWith) {
  OTP_CASE("EPS.12", "D7");
  Start(Spec(4));
  for (const int64_t partitions : {int64_t{5}, int64_t{-1}}) {
    EXPECT_TRUE(IsError(sim_.Await(Client().Resize(partitions)).status(),
                        absl::StatusCode::kInvalidArgument, "BAD_PARTITIONS",
                        Outcome::kExecuted));
  }
  EXPECT_EQ(*sim_.Await(Client().Partitions()), 4u);
}

TEST_F(PartitionSupervisorCases, EPS13_AllPartitionsAreListed) {
  OTP_CASE("EPS.13", "D7");
  Start(Spec(3));
  const std::vector<ChildInfo> list = Which();
  ASSERT_THAT(list, SizeIs(3));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(list[i].id, absl::StrCat(i));
    EXPECT_EQ(list[i].pid, Route(int64_t{i}));
    EXPECT_EQ(list[i].type, ChildType::kWorker);
  }
}

TEST_F(PartitionSupervisorCases, EPS14_WorkersAreCounted) {
  OTP_CASE("EPS.14", "D7");
  Start(Spec(3));
  absl::StatusOr<ChildCounts> counts = sim_.Await(Client().CountChildren());
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->specs, 3u);
  EXPECT_EQ(counts->active, 3u);
  EXPECT_EQ(counts->workers, 3u);
  EXPECT_EQ(counts->supervisors, 0u);
}

TEST_F(PartitionSupervisorCases, EPS15_CountsOfNobodyAreNoproc) {
  OTP_CASE("EPS.15", "D7");
  EXPECT_TRUE(IsError(sim_.Await(Client().CountChildren()).status(),
                      absl::StatusCode::kNotFound, "NOPROC",
                      Outcome::kNotExecuted));
}

TEST_F(PartitionSupervisorCases, EPS16_CountsThroughItsKeyInARegistry) {
  OTP_CASE("EPS.16", "D7");
  PartitionSupervisorSpec spec = Spec(2);
  spec.via = "keys";
  spec.child->type = ChildType::kSupervisor;
  Start(spec);
  absl::StatusOr<ChildCounts> counts =
      sim_.Await(Client(ServerRef::Via("keys", "pools")).CountChildren());
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->specs, 2u);
  EXPECT_EQ(counts->supervisors, 2u);
  EXPECT_EQ(counts->workers, 0u);
}

// -- Restarts -----------------------------------------------------------------

TEST_F(PartitionSupervisorCases, EPS03_ADeadPartitionComesBackUnderItsKeys) {
  OTP_CASE("EPS.03", "D7 S12 S18 S19");
  const Pid pid = Start(Spec(2));
  std::optional<ExitReason> ended;
  sim_.runtime().ObserveExit(pid, [&](ExitReason r) { ended = r; });
  const Pid first = Route(int64_t{0});
  const Pid second = Route(int64_t{1});
  for (int i = 0; i < 3; ++i) {
    sim_.runtime().SendExit(Pid(), Route(int64_t{1}), ExitReason::Kill());
    sim_.RunReady();
  }
  EXPECT_EQ(Route(int64_t{0}), first);
  EXPECT_NE(Route(int64_t{1}), second);
  ASSERT_FALSE(ended.has_value());
  sim_.runtime().SendExit(Pid(), Route(int64_t{0}), ExitReason::Kill());
  sim_.RunReady();
  EXPECT_EQ(ended, ExitReason::Shutdown());
  EXPECT_EQ(sim_.runtime().process_count(), 0u);
}

TEST_F(PartitionSupervisorCases, EPS03_AFailingRestartIsTriedAgain) {
  OTP_CASE("EPS.03", "D7 S21 S24");
  PartitionSupervisorSpec spec = Spec(2);
  spec.intensity = 100'000;
  Start(spec);
  fail_ = "stop";
  sim_.runtime().SendExit(Pid(), Route(int64_t{1}), ExitReason::Kill());
  ASSERT_TRUE(sim_.RunUntil([&] { return starts_ >= 5; }));
  EXPECT_TRUE(Which()[1].restarting);
  EXPECT_TRUE(Route(int64_t{1}).empty());
  EXPECT_FALSE(Route(int64_t{0}).empty());
  fail_.clear();
  sim_.RunReady();
  EXPECT_FALSE(Which()[1].restarting);
  EXPECT_EQ(Route(int64_t{1}), Which()[1].pid);
  // Taken away while it is retried: no attempt any more.
  fail_ = "stop";
  sim_.runtime().SendExit(Pid(), Route(int64_t{1}), ExitReason::Kill());
  const int starts = starts_;
  ASSERT_TRUE(sim_.RunUntil([&] { return starts_ >= starts + 3; }));
  EXPECT_EQ(*sim_.Await(Client().Resize(1)), 2u);
  const int left = starts_;
  sim_.RunFor(absl::Seconds(10));
  EXPECT_EQ(starts_, left);
  EXPECT_EQ(Route(int64_t{1}), Route(int64_t{0}));
}

// -- Routing ------------------------------------------------------------------

// Values that must never change: state is kept by them.
TEST(PartitionOf, EPS03_KeysHaveFixedPartitions) {
  OTP_CASE("EPS.03", "D7");
  EXPECT_EQ(PartitionOf(int64_t{0}, 7), 0u);
  EXPECT_EQ(PartitionOf(int64_t{9}, 7), 2u);
  EXPECT_EQ(PartitionOf(int64_t{-9}, 7), 2u);
  EXPECT_EQ(PartitionOf(std::numeric_limits<int64_t>::min(), 7),
            (uint64_t{1} << 63) % 7);
  EXPECT_EQ(PartitionOf("9", 7), 2u);
  EXPECT_EQ(PartitionOf("-9", 7), 2u);
  // FNV-1a, 64 bits: of nothing, its offset basis.
  EXPECT_EQ(PartitionOf("", 1'000'003), 0xcbf29ce484222325 % 1'000'003);
  EXPECT_EQ(PartitionOf("a", 1'000'003), 0xaf63dc4c8601ec8c % 1'000'003);
  EXPECT_EQ(PartitionOf("foobar", 1'000'003), 0x85944171f73967e8 % 1'000'003);
  EXPECT_EQ(PartitionOf("-", 1'000'003), 0xaf63a04c86018698 % 1'000'003);
  // No integer that fits: text.
  EXPECT_NE(PartitionOf("99999999999999999999", 1'000'003),
            PartitionOf("9", 1'000'003));
}

}  // namespace
}  // namespace muster
