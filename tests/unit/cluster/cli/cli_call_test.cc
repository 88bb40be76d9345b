// `muster call` and `muster cast`, and how they find a method.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/unit/cluster/cli/fake_node_client.h"
#include "tests/unit/cluster/cli/invoke_fixture.h"

namespace muster {
namespace {

constexpr char kPid[] = "a~0000000000000001.0000000000000012~7";

class CliCallTest : public testing::Test {
 protected:
  CliCallTest() {
    DescribeCounter(&node_);
    process::v1::CallResponse response;
    response.set_response(std::string("\x08\x05", 2));  // the_value: 5
    node_.call = response;
    node_.cast = process::v1::CastResponse();
  }

  CliRun Run(std::vector<std::string> words, const std::string& input = "") {
    return CliRun(&node_, std::move(words), input);
  }

  void ExpectError(std::vector<std::string> words, int code,
                   const std::string& message) {
    const CliRun run = Run(words);
    EXPECT_EQ(run.code, code);
    EXPECT_EQ(run.out, "");
    EXPECT_EQ(run.err.substr(0, run.err.find('\n')), "muster: " + message);
  }

  FakeNode node_;
};

TEST_F(CliCallTest, PrintsTheReplyAsJson) {
  const CliRun run = Run({"call", "counter_a", "Increment", R"({"by": 2})"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, "{\"the_value\":5}\n");
  EXPECT_EQ(run.err, "");
  EXPECT_EQ(node_.call_request.method(), "/counter.v1.Counter/Increment");
  EXPECT_EQ(node_.call_request.server().global(), "counter_a");
  EXPECT_EQ(node_.call_request.request(), std::string("\x08\x02", 2));
}

TEST_F(CliCallTest, DefaultsArePrinted) {
  node_.call = process::v1::CallResponse();
  EXPECT_EQ(Run({"call", "counter_a", "Get"}).out, "{\"the_value\":0}\n");
  EXPECT_EQ(Run({"-o", "json", "call", "counter_a", "Get"}).out,
            "{\"the_value\":0}\n");
}

TEST_F(CliCallTest, MethodsMayBeQualified) {
  for (const char* method : {"Get", "Counter/Get", "counter.v1.Counter/Get",
                             "/counter.v1.Counter/Get"}) {
    EXPECT_EQ(Run({"call", "counter_a", method}).code, 0) << method;
    EXPECT_EQ(node_.call_request.method(), "/counter.v1.Counter/Get");
  }
}

TEST_F(CliCallTest, APidIsCalledByMethodsOfAllServices) {
  EXPECT_EQ(Run({"call", kPid, "Increment"}).code, 0);
  EXPECT_EQ(node_.call_request.server().pid().number(), 7u);
  EXPECT_EQ(Run({"call", kPid, "Counter/Get"}).code, 0);
  ExpectError({"call", kPid, "Get"}, 2,
              "several services have a method \"Get\"; write one of "
              "counter.v1.Counter/Get, counter.v1.Other/Get");
  ExpectError({"call", kPid, "Gte"}, 2,
              "no service of this node has a method \"Gte\"; did you mean "
              "\"Get\"? there are: Increment, Get, Reset, Get");
}

TEST_F(CliCallTest, APidWithANameHasTheServiceOfTheName) {
  admin::v1::ListProcessesResponse processes;
  cluster::v1::Process* const process = processes.add_processes();
  *process->mutable_pid() = node_.where->pid();
  process->set_name("counter_a");
  process->set_global(true);
  node_.processes = processes;
  const CliRun run = Run({"call", kPid, "Get"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(node_.processes_request.node(), "a");
  EXPECT_EQ(node_.call_request.method(), "/counter.v1.Counter/Get");
  EXPECT_EQ(node_.call_request.server().pid().number(), 7u);
}

TEST_F(CliCallTest, TheRequestMayComeFromStdin) {
  EXPECT_EQ(Run({"call", "counter_a", "Increment", "-"}, "{\"by\": 2}\n").code,
            0);
  EXPECT_EQ(node_.call_request.request(), std::string("\x08\x02", 2));
}

TEST_F(CliCallTest, UnknownMethodsAreUsageErrors) {
  ExpectError({"call", "counter_a", "Incremnt"}, 2,
              "counter.v1.Counter has no method \"Incremnt\"; did you mean "
              "\"Increment\"? there are: Increment, Get, Reset");
  ExpectError({"call", "counter_a", "Other/Get"}, 2,
              "counter_a is a counter.v1.Counter, not a \"Other\"");
  ExpectError({"call", "counter_a", "no.such.Service/Get"}, 2,
              "the node does not describe \"no.such.Service\"");
  ExpectError({"call", "counter_a", "a/b/c"}, 2,
              "\"a/b/c\" is no method; write Increment, Counter/Increment or "
              "counter.v1.Counter/Increment");
  ExpectError({"call", "counter_a", "/"}, 2,
              "\"/\" is no method; write Increment, Counter/Increment or "
              "counter.v1.Counter/Increment");
}

TEST_F(CliCallTest, JsonThatDoesNotFitNamesTheField) {
  ExpectError({"call", "counter_a", "Increment", R"({"byy": 2})"}, 2,
              "unknown field \"byy\"; did you mean \"by\"? "
              "counter.v1.IncrementRequest has: by, nested_request");
  ExpectError(
      {"call", "counter_a", "Increment",
       R"({"nestedRequest": [{}, {"by": 1, "qqqqqq": 2}]})"},
      2,
      "unknown field \"nestedRequest[1].qqqqqq\"; counter.v1.IncrementRequest "
      "has: by, nested_request");
  ExpectError(
      {"call", "counter_a", "Increment", R"({"by": "two"})"}, 2,
      "the JSON does not fit counter.v1.IncrementRequest: (by): invalid "
      "value \"two\" for type TYPE_INT64");
  ExpectError({"call", "counter_a", "Increment", "[]"}, 2,
              "the request is not a JSON object; counter.v1.IncrementRequest "
              "is written as {...}");
  ExpectError({"call", "counter_a", "Increment", R"({"nested_request": [5]})"},
              2,
              "field \"nested_request[0]\" is not a JSON object; "
              "counter.v1.IncrementRequest is written as {...}");
  ExpectError({"call", "counter_a", "Get", R"({"by": 2})"}, 2,
              "unknown field \"by\"; google.protobuf.Empty has no fields");
  const CliRun run = Run({"call", "counter_a", "Increment", "{by: 2}"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.err.rfind("muster: this is not JSON: ", 0), 0u) << run.err;
}

TEST_F(CliCallTest, NestingIsBounded) {
  std::string json = "{}";
  for (int i = 0; i < 40; ++i) {
    json = absl::StrCat("{\"nested_request\":[", json, "]}");
  }
  const CliRun run = Run({"call", "counter_a", "Increment", json});
  EXPECT_EQ(run.code, 2);
  EXPECT_NE(run.err.find("is nested deeper than 32 levels"), std::string::npos)
      << run.err;
}

TEST_F(CliCallTest, OversizedRequestsAreNotSent) {
  const CliRun run = Run({"-o", "json", "call", "counter_a", "Increment", "-"},
                         std::string((4 << 20) + 1, ' '));
  EXPECT_EQ(run.code, 4);
  EXPECT_EQ(run.err,
            "{\"code\":\"RESOURCE_EXHAUSTED\",\"reason\":\"REQUEST_TOO_LARGE\","
            "\"outcome\":\"NOT_EXECUTED\",\"message\":\"the JSON has more than "
            "4194304 bytes, which is the most that is sent\"}\n");
  EXPECT_EQ(node_.call_request.method(), "");
}

TEST_F(CliCallTest, NamesAreCheckedBeforeAnythingIsSent) {
  const std::string right =
      ": a name is 1 to 255 bytes of A-Z a-z 0-9 . _ : @ / - without \"..\"";
  ExpectError({"call", std::string(300, 'n'), "Get"}, 2,
              absl::StrCat("process name \"", std::string(64, 'n'),
                           "...\" (300 bytes) is 300 bytes long", right));
  ExpectError({"call", "a b", "Get"}, 2,
              absl::StrCat("process name \"a b\" has \" \" at byte 1", right));
  ExpectError({"call", "", "Get"}, 2,
              absl::StrCat("process name \"\" is empty", right));
  const CliRun run = Run({"-o", "json", "call", std::string(300, 'n'), "Get"});
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(run.err.rfind("{\"code\":\"INVALID_ARGUMENT\",\"reason\":\"BAD_"
                          "NAME\",\"outcome\":\"NOT_EXECUTED\",",
                          0),
            0u)
      << run.err;
  EXPECT_EQ(Run({"call", "a~b", "Get"}).code, 2);
}

TEST_F(CliCallTest, NamesLikeCommandsAndFlagsCanBeCalled) {
  EXPECT_EQ(Run({"call", "status", "Get"}).code, 0);
  EXPECT_EQ(node_.call_request.server().global(), "status");
  const CliRun run = Run({"call", "--", "-x", "Get"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(node_.call_request.server().global(), "-x");
}

TEST_F(CliCallTest, TheHandlersStatusBecomesTheExitCode) {
  node_.call = absl::StatusOr<process::v1::CallResponse>(
      Error(absl::StatusCode::kNotFound, "NO_SESSION", "no such session")
          .Executed());
  ExpectError({"call", "counter_a", "Get"}, 3, "no such session");
  node_.call = absl::StatusOr<process::v1::CallResponse>(
      Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT", "no reply in 5s")
          .Unknown());
  ExpectError({"call", "counter_a", "Get"}, 11, "no reply in 5s");
  node_.where = absl::StatusOr<process::v1::WhereIsResponse>(
      Error(absl::StatusCode::kNotFound, "NOPROC",
            "no process is registered as \"x\"")
          .NotExecuted());
  ExpectError({"call", "x", "Get"}, 3, "no process is registered as \"x\"");
}

TEST_F(CliCallTest, CastsAreSent) {
  CliRun run = Run({"cast", "counter_a", "Reset"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, "sent\n");
  EXPECT_EQ(node_.cast_request.method(), "/counter.v1.Counter/Reset");
  run = Run({"cast", "counter_a", "Reset", "-o", "json"});
  EXPECT_EQ(run.out, "{}\n");
}

TEST_F(CliCallTest, CallsAndCastsAreToldApart) {
  ExpectError({"call", "counter_a", "Reset"}, 2,
              "counter.v1.Counter/Reset is a cast, which has no reply; use "
              "`muster cast`");
  ExpectError({"cast", "counter_a", "Get"}, 2,
              "counter.v1.Counter/Get is a call; use `muster call`");
}

TEST_F(CliCallTest, AServiceThatWhereIsDoesNotNameIsSearchedFor) {
  node_.where->clear_service();
  EXPECT_EQ(Run({"call", "counter_a", "Increment"}).code, 0);
  EXPECT_EQ(node_.call_request.method(), "/counter.v1.Counter/Increment");
}

}  // namespace
}  // namespace muster
