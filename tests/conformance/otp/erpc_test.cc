// erpc_SUITE: tasks on other nodes. A function there is a task type here,
// called by name with a message.
#include "node/supervisor/erpc.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "google/protobuf/wrappers.pb.h"
#include "gtest/gtest.h"
#include "node/gen_server/send_request.h"
#include "node/process/runtime.h"
#include "node/supervisor/remote_tasks.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/conformance/otp/expect.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/otp_cluster.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Code = absl::StatusCode;
using Result = absl::StatusOr<Int64>;

absl::Duration Ms(int64_t ms) { return absl::Milliseconds(ms); }

class ErpcCases : public ::testing::Test {
 protected:
  ErpcCases() : cluster_({"a", "b", "c"}) {
    Add("echo",
        [](const Int64& request, Context&) -> Reply<Int64> { return request; });
    Add("fail", [](const Int64&, Context&) -> Reply<Int64> {
      return absl::NotFoundError("nothing there");
    });
    Add("stop", [](const Int64&, Context&) -> Reply<Int64> {
      return Stop(ExitReason::Custom("gone"));
    });
    Add("throw", [](const Int64&, Context&) -> Reply<Int64> {
      throw std::runtime_error("oops");
    });
    Add("kill", [](const Int64&, Context& self) -> Reply<Int64> {
      self.SendExit(self.pid(), ExitReason::Kill());
      co_await self.Sleep(absl::Hours(1));
      co_return MakeInt64(0);
    });
    // So many milliseconds.
    Add("sleep", [this](const Int64& request, Context& self) -> Reply<Int64> {
      co_await self.Sleep(Ms(request.value()));
      ++slept_;
      co_return request;
    });
    Add("callers", [](const Int64&, Context& self) -> Reply<Int64> {
      return MakeInt64(self.callers().size() == 1
                           ? static_cast<int64_t>(self.callers()[0].number)
                           : -1);
    });
    for (const std::string node : {"a", "b", "c"}) StartTasks(node);
    actor_ = cluster_.StartActor("a");
  }

  void Add(const std::string& name,
           std::function<Reply<Int64>(const Int64&, Context&)> function) {
    EXPECT_EQ(
        types_->Add(MakeTaskType<Int64, Int64>(name, std::move(function))),
        absl::OkStatus());
  }
  Pid StartTasks(const std::string& node) {
    Names names;
    names.local = std::string(RemoteTasks::kName);
    RemoteTasksOptions options;
    options.tasks_max = 20;
    return cluster_.Start(node, std::make_unique<RemoteTasks>(types_, options),
                          names);
  }
  // From a process of node a.
  Result Call(const std::string& node, const std::string& task,
              int64_t value = 1,
              absl::Duration timeout = absl::InfiniteDuration()) {
    std::optional<Result> result;
    Act act = [&](Context& self) -> Next {
      result = co_await erpc::Call<Int64>(self, node, task, MakeInt64(value),
                                          timeout);
      co_return NoReply();
    };
    cluster_.Do(actor_, std::move(act));
    return result.value_or(absl::UnknownError("no result"));
  }
  using Results = absl::StatusOr<std::vector<Result>>;
  Results Multicall(std::vector<std::string> nodes, const std::string& task,
                    int64_t value,
                    absl::Duration timeout = absl::InfiniteDuration()) {
    std::optional<Results> results;
    Act act = [&](Context& self) -> Next {
      results = co_await erpc::Multicall<Int64>(self, nodes, task,
                                                MakeInt64(value), timeout);
      co_return NoReply();
    };
    cluster_.Do(actor_, std::move(act));
    return *std::move(results);
  }
  size_t Processes(const std::string& node) {
    return cluster_.runtime(node).process_count();
  }

  int slept_ = 0;
  std::shared_ptr<TaskTypes> types_ = std::make_shared<TaskTypes>();
  OtpCluster cluster_;
  Pid actor_;
};

// -- Call ---------------------------------------------------------------------

TEST_F(ErpcCases, ERP01_AValueAndEachWayToFail) {
  OTP_CASE("ERP.01", "E1");
  for (const std::string node : {"b", "a"}) {
    SCOPED_TRACE(node);
    EXPECT_EQ(Call(node, "echo", 7)->value(), 7);
    // The function's own error, as it is.
    absl::Status status = Call(node, "fail").status();
    EXPECT_EQ(status.code(), Code::kNotFound);
    EXPECT_EQ(status.message(), "nothing there");
    EXPECT_EQ(OutcomeOf(status), Outcome::kExecuted);
    const struct {
      std::string task, how, reason;
    } kEnds[] = {{"stop", "exit", "custom(gone)"},
                 {"throw", "error", "exception(std::runtime_error: oops)"},
                 {"kill", "signal", "killed"}};
    for (const auto& end : kEnds) {
      status = Call(node, end.task).status();
      EXPECT_TRUE(
          IsError(status, Code::kAborted, "CALLEE_EXITED", Outcome::kUnknown));
      EXPECT_EQ(DetailOf(status, "class"), end.how);
      EXPECT_EQ(DetailOf(status, "exit_reason"), end.reason);
    }
    EXPECT_TRUE(IsError(Call(node, "none").status(), Code::kUnimplemented,
                        "UNKNOWN_TASK", Outcome::kNotExecuted));
    EXPECT_EQ(Call(node, "callers")->value(),
              static_cast<int64_t>(actor_.number));
  }
  EXPECT_EQ(Processes("b"), 1u);  // No task is left.
}

TEST_F(ErpcCases, ERP01_BadArgumentsAreNotSent) {
  OTP_CASE("ERP.01", "E1");
  EXPECT_TRUE(IsError(Call("not a node", "echo").status(),
                      Code::kInvalidArgument, "BAD_NODE",
                      Outcome::kNotExecuted));
  EXPECT_TRUE(IsError(Call("b", "").status(), Code::kInvalidArgument,
                      "BAD_TASK", Outcome::kNotExecuted));
  EXPECT_TRUE(IsError(Call("b", "echo", 1, -Ms(1)).status(),
                      Code::kInvalidArgument, "BAD_TIMEOUT",
                      Outcome::kNotExecuted));
}

TEST_F(ErpcCases, ERP01_AnUnknownNodeAndOneThatHalts) {
  OTP_CASE("ERP.01", "E1 E2");
  EXPECT_TRUE(IsError(Call("nobody", "echo").status(), Code::kUnavailable,
                      "NODEDOWN", Outcome::kNotExecuted));
  std::optional<Result> result;
  Act act = [&](Context& self) -> Next {
    result = co_await erpc::Call<Int64>(self, "b", "sleep", MakeInt64(60'000));
    co_return NoReply();
  };
  Tell(cluster_.runtime("a"), actor_, std::move(act));
  ASSERT_TRUE(cluster_.RunUntil([&] { return Processes("b") == 2; }));
  cluster_.KillNode("b");
  ASSERT_TRUE(cluster_.RunUntil([&] { return result.has_value(); }));
  EXPECT_EQ(result->status().code(), Code::kAborted) << result->status();
  EXPECT_EQ(ReasonOf(result->status()), "NOCONNECTION");
  EXPECT_EQ(OutcomeOf(result->status()), Outcome::kUnknown);
}

TEST_F(ErpcCases, ERP01_ATimeoutIsKeptAndNothingComesLater) {
  OTP_CASE("ERP.01", "E2");
  const BootTime before = cluster_.Now("a");
  EXPECT_TRUE(IsError(Call("b", "sleep", 2000, Ms(500)).status(),
                      Code::kDeadlineExceeded, "TIMEOUT", Outcome::kUnknown));
  EXPECT_EQ(cluster_.Now("a") - before, Ms(500));
  EXPECT_EQ(Processes("b"), 2u);  // It may still be running, and is.
  cluster_.RunFor(absl::Seconds(5));
  EXPECT_EQ(slept_, 1);
  EXPECT_EQ(Processes("b"), 1u);
}

TEST_F(ErpcCases, ERP01_ANodeRunsNoMoreThanItsBound) {
  OTP_CASE("ERP.01", "E1");
  std::vector<std::string> nodes(21, "b");
  Results results = Multicall(nodes, "sleep", 1000);
  ASSERT_TRUE(results.ok());
  int refused = 0;
  for (const Result& result : *results) {
    if (result.ok()) continue;
    ++refused;
    EXPECT_TRUE(IsError(result.status(), Code::kResourceExhausted,
                        "MAX_CHILDREN", Outcome::kNotExecuted));
  }
  EXPECT_EQ(refused, 1);
  EXPECT_TRUE(Call("b", "echo").ok());
}

TEST_F(ErpcCases, ERP01_TasksEndWithWhoRunsThem) {
  OTP_CASE("ERP.01", "E1");
  std::optional<Result> result;
  Act act = [&](Context& self) -> Next {
    result = co_await erpc::Call<Int64>(self, "b", "sleep", MakeInt64(60'000));
    co_return NoReply();
  };
  Tell(cluster_.runtime("a"), actor_, std::move(act));
  ASSERT_TRUE(cluster_.RunUntil([&] { return Processes("b") == 2; }));
  Runtime& b = cluster_.runtime("b");
  b.SendExit(Pid(), b.WhereIsLocal(RemoteTasks::kName), ExitReason::Shutdown());
  ASSERT_TRUE(cluster_.RunUntil([&] { return result.has_value(); }));
  EXPECT_EQ(ReasonOf(result->status()), "CALLEE_EXITED");
  EXPECT_EQ(DetailOf(result->status(), "exit_reason"), "shutdown");
  EXPECT_EQ(Processes("b"), 0u);
  EXPECT_TRUE(IsError(Call("b", "echo").status(), Code::kNotFound, "NOPROC",
                      Outcome::kNotExecuted));
}

// -- Cast ---------------------------------------------------------------------

TEST_F(ErpcCases, ERP02_ACastNeverReportsWhatBecameOfIt) {
  OTP_CASE("ERP.02", "E3");
  std::vector<absl::Status> statuses;
  Act act = [&](Context& self) -> Next {
    for (const std::string node : {"b", "nobody", "not a node"}) {
      statuses.push_back(erpc::Cast(self, node, "sleep", MakeInt64(1)));
    }
    statuses.push_back(erpc::Cast(self, "b", "throw", MakeInt64(1)));
    statuses.push_back(erpc::Cast(self, "b", "none", MakeInt64(1)));
    return NoReply();
  };
  cluster_.Do(actor_, std::move(act));
  cluster_.RunFor(absl::Seconds(1));
  ASSERT_THAT(statuses, SizeIs(5));
  EXPECT_EQ(statuses[0], absl::OkStatus());
  EXPECT_EQ(statuses[1], absl::OkStatus());
  EXPECT_EQ(ReasonOf(statuses[2]), "BAD_NODE");
  EXPECT_EQ(statuses[3], absl::OkStatus());
  EXPECT_EQ(statuses[4], absl::OkStatus());
  EXPECT_EQ(slept_, 1);
  EXPECT_EQ(Processes("b"), 1u);
}

// -- Requests -----------------------------------------------------------------

TEST_F(ErpcCases, ERP03_TimeoutsOfRequestsAreKept) {
  OTP_CASE("ERP.03", "E4 E2");
  using Value = std::optional<Result>;
  Value waited;
  Value received;
  Value late;
  absl::Duration taken;
  Act act = [&](Context& self) -> Next {
    absl::StatusOr<RequestId> id =
        erpc::SendRequest(self, "b", "sleep", MakeInt64(5000));
    const BootTime before = self.Now();
    waited = co_await Wait<Int64>(self, *id, Ms(300));
    received = co_await Receive<Int64>(self, *id, Ms(200));
    taken = self.Now() - before;
    late = co_await Receive<Int64>(self, *id, absl::Seconds(10));
    co_return NoReply();
  };
  cluster_.Do(actor_, std::move(act));
  EXPECT_FALSE(waited.has_value());
  EXPECT_FALSE(received.has_value());
  EXPECT_EQ(taken, Ms(500));
  EXPECT_FALSE(late.has_value());  // Abandoned by Receive.
  EXPECT_EQ(slept_, 1);
}

TEST_F(ErpcCases, ERP04_RequestsInACollectionComeAsTheyAreAnswered) {
  OTP_CASE("ERP.04", "E4");
  std::vector<std::string> labels;
  CollectedKind last = CollectedKind::kResponse;
  CollectedKind over = CollectedKind::kResponse;
  absl::Status malformed;
  Act act = [&](Context& self) -> Next {
    RequestIds<std::string> ids;
    const std::vector<std::pair<std::string, int64_t>> asked = {
        {"slow", 600}, {"fast", 100}, {"never", 100'000}, {"middle", 300}};
    for (const auto& [label, ms] : asked) {
      absl::StatusOr<RequestId> id =
          erpc::SendRequest(self, "b", "sleep", MakeInt64(ms));
      EXPECT_EQ(ids.Add(*id, label), absl::OkStatus());
    }
    malformed = erpc::SendRequest(self, "", "sleep", MakeInt64(1)).status();
    const BootTime deadline = self.Now() + absl::Seconds(2);
    while (true) {
      auto got = co_await ids.Receive(self, deadline);
      last = got.kind;
      if (got.kind != CollectedKind::kResponse) break;
      EXPECT_TRUE(got.response.status().ok());
      labels.push_back(got.label);
    }
    EXPECT_EQ(self.Now(), deadline);
    RequestIds<std::string> none;
    auto got = co_await none.Receive(self, deadline);
    over = got.kind;
    co_return NoReply();
  };
  cluster_.Do(actor_, std::move(act));
  EXPECT_THAT(labels, ElementsAre("fast", "middle", "slow"));
  EXPECT_EQ(last, CollectedKind::kTimeout);
  EXPECT_EQ(over, CollectedKind::kNoRequest);
  EXPECT_EQ(ReasonOf(malformed), "BAD_NODE");
}

// -- Multicall ----------------------------------------------------------------

TEST_F(ErpcCases, ERP05_ResultsComeInTheOrderOfTheNodes) {
  OTP_CASE("ERP.05", "E3");
  cluster_.KillNode("c");
  Results results = Multicall({"b", "nobody", "a", "b", "c"}, "echo", 3);
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_THAT(*results, SizeIs(5));
  for (const size_t at : {0, 2, 3}) {
    EXPECT_EQ((*results)[at]->value(), 3) << at;
  }
  EXPECT_TRUE(IsError((*results)[1].status(), Code::kUnavailable, "NODEDOWN",
                      Outcome::kNotExecuted));
  EXPECT_EQ((*results)[4].status().code(), Code::kUnavailable)
      << (*results)[4].status();
  EXPECT_THAT(*Multicall({}, "echo", 3), IsEmpty());
}

TEST_F(ErpcCases, ERP05_DuplicatesRunSeparatelyUnderOneDeadline) {
  OTP_CASE("ERP.05", "E3");
  std::vector<std::string> nodes;
  for (int i = 0; i < 7; ++i) {
    nodes.push_back("b");
    nodes.push_back("c");
  }
  const BootTime before = cluster_.Now("a");
  Results results = Multicall(nodes, "sleep", 60'000, Ms(500));
  EXPECT_EQ(cluster_.Now("a") - before, Ms(500));
  ASSERT_THAT(*results, SizeIs(14));
  for (const Result& result : *results) {
    EXPECT_TRUE(IsError(result.status(), Code::kDeadlineExceeded, "TIMEOUT",
                        Outcome::kUnknown));
  }
  EXPECT_EQ(Processes("b"), 1u + 7u);
}

TEST_F(ErpcCases, ERP05_AMalformedListRunsNothing) {
  OTP_CASE("ERP.05", "E3");
  Results results = Multicall({"b", "not a node"}, "sleep", 1);
  EXPECT_TRUE(IsError(results.status(), Code::kInvalidArgument, "BAD_NODE",
                      Outcome::kNotExecuted));
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_EQ(slept_, 0);
}

TEST_F(ErpcCases, ERP06_ABlockedPeerDoesNotHoldTheDeadline) {
  OTP_CASE("ERP.06", "E2 E3");
  ASSERT_TRUE(Call("b", "echo").ok());
  cluster_.net().muted_ = true;  // Nothing gets through.
  const BootTime before = cluster_.Now("a");
  Results results = Multicall({"b", "a"}, "echo", 1, Ms(500));
  EXPECT_EQ(cluster_.Now("a") - before, Ms(500));
  EXPECT_EQ(ReasonOf((*results)[0].status()), "TIMEOUT");
  EXPECT_EQ((*results)[1]->value(), 1);
}

TEST_F(ErpcCases, ERP06_AFullMailboxDoesNotSlowItDown) {
  OTP_CASE("ERP.06", "C13");
  // Work is counted in steps of the world.
  const auto steps = [&](int queued) {
    std::optional<uint64_t> taken;
    Act act = [&](Context& self) -> Next {
      for (int i = 0; i < queued; ++i) {
        self.runtime().Send(self.pid(), Info(i));
      }
      const uint64_t before = cluster_.world().steps();
      const std::vector<std::string> nodes = {"b", "c", "b"};
      Results results =
          co_await erpc::Multicall<Int64>(self, nodes, "echo", MakeInt64(1));
      EXPECT_EQ(results->size(), 3u);
      taken = cluster_.world().steps() - before;
      co_return NoReply();
    };
    cluster_.Do(actor_, std::move(act));
    return taken.value_or(0);
  };
  steps(0);  // Connects.
  const uint64_t few = steps(0);
  const uint64_t many = steps(50'000);
  EXPECT_GT(few, 0u);
  EXPECT_LE(many, 2 * few);
}

TEST_F(ErpcCases, ERP07_TheLongestTimeout) {
  OTP_CASE("ERP.07", "C21");
  EXPECT_EQ(erpc::TimeoutMax(), Ms((int64_t{1} << 32) - 1));
  EXPECT_TRUE(Call("b", "echo", 1, erpc::TimeoutMax()).ok());
  EXPECT_TRUE(IsError(Call("b", "echo", 1, erpc::TimeoutMax() + Ms(1)).status(),
                      Code::kInvalidArgument, "BAD_TIMEOUT",
                      Outcome::kNotExecuted));
  EXPECT_TRUE(Call("b", "echo", 1, absl::InfiniteDuration()).ok());
}

TEST(TaskTypes, ERP01_NamesAreUniqueAndPrintable) {
  OTP_CASE("ERP.01", "E1");
  TaskTypes types;
  const auto type = [](absl::string_view name) {
    return MakeTaskType<Int64, Int64>(
        name,
        [](const Int64& request, Context&) -> Reply<Int64> { return request; });
  };
  EXPECT_EQ(types.Add(type("x")), absl::OkStatus());
  EXPECT_EQ(ReasonOf(types.Add(type("x"))), "ALREADY_REGISTERED");
  for (const std::string& bad : {std::string(), std::string("a b"),
                                 std::string(129, 'x'), std::string("\xff")}) {
    EXPECT_EQ(ReasonOf(types.Add(type(bad))), "BAD_NAME");
  }
  EXPECT_TRUE(types.Remove("x"));
  EXPECT_FALSE(types.Remove("x"));
  EXPECT_EQ(types.Find("x"), nullptr);
}

}  // namespace
}  // namespace muster
