// Every command but call and cast: arguments, output, exit codes.

#include "cluster/cli/cli.h"

#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/unit/cluster/cli/fake_node_client.h"
#include "tests/unit/cluster/cli/invoke_fixture.h"

namespace muster {
namespace {

template <typename M>
M Proto(const std::string& text) {
  M message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

admin::v1::GetTreeResponse Tree(const std::string& state_of_b,
                                const std::string& detail = "") {
  auto tree = Proto<admin::v1::GetTreeResponse>(R"pb(
    supervisors {
      id: "s"
      strategy: ONE_FOR_ONE
      intensity: 3
      period { seconds: 5 }
      node: "a"
      children { id: "a" name: "a" type: "counter" state: "running" node: "a" }
      children { id: "b" name: "counter_a" type: "counter" }
    }
  )pb");
  tree.mutable_supervisors(0)->mutable_children(1)->set_state(state_of_b);
  tree.mutable_supervisors(0)->mutable_children(1)->set_detail(detail);
  return tree;
}

constexpr char kManifest[] =
    "supervisor: s\n"
    "children:\n"
    "  - {id: a, type: counter}\n"
    "  - {id: b, name: counter_a, type: counter}\n";

std::string FirstLine(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + "/" + name;
  std::ofstream(path) << text;
  return path;
}

class CliTest : public testing::Test {
 protected:
  CliTest() {
    DescribeCounter(&node_);
    node_.apply =
        Proto<admin::v1::ApplyResponse>(R"pb(started: "a" started: "b")pb");
    node_.trees = {Tree("running")};
    node_.status = admin::v1::GetStatusResponse();
  }

  CliRun Run(std::vector<std::string> words, const std::string& input = "",
             std::function<void(CliEnv*)> change = nullptr) {
    return CliRun(&node_, std::move(words), input, std::move(change));
  }

  void ExpectUsage(std::vector<std::string> words, const std::string& message) {
    const CliRun run = Run(words);
    EXPECT_EQ(run.code, 2);
    EXPECT_EQ(run.out, "");
    EXPECT_EQ(FirstLine(run.err), "muster: " + message);
  }

  FakeNode node_;
};

// --- Usage -------------------------------------------------------------------

TEST_F(CliTest, WrongWordsAreUsageErrorsWithASuggestion) {
  ExpectUsage(
      {},
      "no command; there are dev, apply, status, tree, call, cast, "
      "wait, explain, version, node, process, name, event, supervisor, tls");
  ExpectUsage({"statsu"},
              "unknown command \"statsu\"; did you mean "
              "\"status\"?");
  ExpectUsage({"quux"},
              "unknown command \"quux\"; there are dev, apply, status, tree, "
              "call, cast, wait, explain, version, node, process, name, event, "
              "supervisor, tls");
  ExpectUsage({"process", "lsit"},
              "unknown verb of process: \"lsit\"; did you mean \"list\"?");
  ExpectUsage({"node"},
              "no verb after node; there are start, list, get, remove, "
              "raise-generation, drain, undrain");
  ExpectUsage({"--timeout", "5s", "nmae", "list"},
              "unknown command \"nmae\"; did you mean \"name\"?");
  ExpectUsage({"\xff\xfe"},
              "unknown command \"\\xff\\xfe\"; there are dev, apply, status, "
              "tree, call, cast, wait, explain, version, node, process, name, "
              "event, supervisor, tls");
  ExpectUsage({"process", "list", "--ndoe", "a"},
              "unknown flag \"--ndoe\"; did you mean \"--node\"?");
  ExpectUsage({"status", "--zzzzzzzz"}, "unknown flag \"--zzzzzzzz\"");
}

TEST_F(CliTest, MissingAndSurplusArgumentsAreUsageErrors) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"name", "whereis"},
                                             {"call", "counter_a"},
                                             {"apply"},
                                             {"node", "start"},
                                             {"wait"},
                                             {"status", "surplus"},
                                             {"name", "whereis", "a", "b"},
                                             {"--timeout"},
                                             {"status", "--timeout"},
                                             {"--"},
                                             {"-"}}) {
    const CliRun run = Run(words);
    EXPECT_EQ(run.code, 2) << testing::PrintToString(words);
    EXPECT_EQ(run.out, "");
    EXPECT_EQ(run.err.rfind("muster: ", 0), 0u) << run.err;
  }
}

TEST_F(CliTest, TimeoutsAreDurations) {
  for (const char* wrong : {"abc", "-1", "1e99", "5", "0s", "-5s", ""}) {
    EXPECT_EQ(Run({"status", std::string("--timeout=") + wrong}).code, 2)
        << wrong;
  }
  ExpectUsage({"status", "--timeout", "abc"},
              "--timeout \"abc\" is no duration; write a whole number and ms, "
              "s, m or h, for example 5s");
  ExpectUsage({"status", "--timeout", "5"},
              "--timeout \"5\" has no unit; write a whole number and ms, s, m "
              "or h, for example 5s");
  EXPECT_EQ(Run({"status", "--timeout", "500ms"}).code, 0);
  EXPECT_EQ(node_.timeout, absl::Milliseconds(500));
  EXPECT_EQ(Run({"--timeout", "10s", "status"}).code, 0);
  EXPECT_EQ(node_.timeout, absl::Seconds(10));
  EXPECT_EQ(Run({"status"}).code, 0);
  EXPECT_EQ(node_.timeout, absl::Seconds(5));
}

TEST_F(CliTest, OutputsAreTableAndJson) {
  ExpectUsage({"status", "-o", "yaml"},
              "-o \"yaml\" is not known; write -o table or -o json");
}

TEST_F(CliTest, UsageErrorsAreJsonToo) {
  const CliRun run = Run({"statsu", "-o", "json"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(
      run.err,
      "{\"code\":\"INVALID_ARGUMENT\",\"reason\":\"USAGE\",\"outcome\":"
      "\"NOT_EXECUTED\",\"message\":\"unknown command \\\"statsu\\\"; did "
      "you mean \\\"status\\\"?\"}\n");
}

TEST_F(CliTest, EveryHelpHasAnExample) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"dev"},
                                             {"apply"},
                                             {"status"},
                                             {"tree"},
                                             {"call"},
                                             {"cast"},
                                             {"wait"},
                                             {"version"},
                                             {"explain"},
                                             {"node", "start"},
                                             {"node", "list"},
                                             {"node", "drain"},
                                             {"node", "remove"},
                                             {"node", "raise-generation"},
                                             {"process", "list"},
                                             {"process", "stop"},
                                             {"process", "trace"},
                                             {"process", "move"},
                                             {"event", "tail"},
                                             {"supervisor", "get"},
                                             {"supervisor", "start-child"},
                                             {"tls", "init"},
                                             {"tls", "issue"},
                                             {"tls", "check"},
                                             {"name", "list"},
                                             {"name", "whereis"}}) {
    std::vector<std::string> help = words;
    help.push_back("--help");
    const CliRun run = Run(help);
    EXPECT_EQ(run.code, 0);
    EXPECT_EQ(run.err, "");
    std::string command = "muster";
    for (const std::string& word : words) command += " " + word;
    EXPECT_NE(run.out.find("Usage: " + command), std::string::npos) << run.out;
    EXPECT_NE(run.out.find("Example:\n  " + command), std::string::npos)
        << run.out;
    // What values are, not how CLI11 keeps them.
    EXPECT_EQ(run.out.find(" TEXT"), std::string::npos) << run.out;
    EXPECT_EQ(run.out.find(" INT"), std::string::npos) << run.out;
  }
  const CliRun help = Run({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_EQ(help.out.find(" TEXT"), std::string::npos) << help.out;
  EXPECT_NE(Run({"node", "--help"}).out.find("Example:\n  muster node list\n"),
            std::string::npos);
}

TEST_F(CliTest, EndpointsAreOnLoopback) {
  CliRun run = Run({"status", "--endpoint", "10.0.0.1:7700"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(FirstLine(run.err),
            "muster: address \"10.0.0.1:7700\" is not on loopback, such as "
            "127.0.0.1:7001 or [::1]:7001: plaintext is allowed only there; "
            "elsewhere give --tls-dir DIR");
  run = Run({"status", "--endpoint", "nonsense"});
  EXPECT_EQ(run.code, 2);
}

TEST_F(CliTest, SeveralEndpointsAreTriedInOrder) {
  std::vector<std::string> tried;
  Run({"status", "--endpoint", "127.0.0.1:1,127.0.0.1:2"}, "",
      [&](CliEnv* env) {
        env->connect =
            [&](const std::vector<LoopbackAddress>& addresses,
                absl::Duration) -> absl::StatusOr<std::unique_ptr<NodeClient>> {
          for (const auto& one : addresses) tried.push_back(one.ToString());
          return absl::UnavailableError("x");
        };
      });
  EXPECT_EQ(tried, (std::vector<std::string>{"127.0.0.1:1", "127.0.0.1:2"}));
}

// --- Exit codes of the client ------------------------------------------------

void NobodyThere(CliEnv* env) {
  env->connect =
      [](const std::vector<LoopbackAddress>&,
         absl::Duration) -> absl::StatusOr<std::unique_ptr<NodeClient>> {
    return absl::StatusOr<std::unique_ptr<NodeClient>>(
        Error(absl::StatusCode::kUnavailable, "NODE_UNREACHABLE",
              "cannot reach a node at 127.0.0.1:7700")
            .NotExecuted());
  };
}

TEST_F(CliTest, NobodyThereIsFive) {
  const CliRun run = Run({"status"}, "", NobodyThere);
  EXPECT_EQ(run.code, 5);
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(run.err,
            "muster: cannot reach a node at 127.0.0.1:7700\n"
            "        is it running? start one with `muster dev`, or give "
            "--endpoint\n");
}

TEST_F(CliTest, StatusesOfTheNodeBecomeExitCodes) {
  const struct {
    absl::Status status;
    int code;
  } kRows[] = {
      {Error(absl::StatusCode::kInternal, "BUG", "x").NotExecuted(), 1},
      {Error(absl::StatusCode::kNotFound, "NOPROC", "x").NotExecuted(), 3},
      {Error(absl::StatusCode::kAborted, "FENCED", "x").NotExecuted(), 4},
      {Error(absl::StatusCode::kUnavailable, "STARTING", "x").NotExecuted(), 5},
      {Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT", "x").NotExecuted(),
       6},
      {Error(absl::StatusCode::kPermissionDenied, "DENIED", "x").NotExecuted(),
       7},
      {Error(absl::StatusCode::kAborted, "NOCONNECTION", "x").Unknown(), 11},
  };
  for (const auto& row : kRows) {
    node_.where = row.status;
    EXPECT_EQ(Run({"name", "whereis", "x"}).code, row.code) << row.status;
    EXPECT_EQ(Run({"name", "whereis", "x"}).out, "");
  }
}

TEST_F(CliTest, AClosedStdoutIsAnError) {
  const CliRun run = Run({"version"}, "", [](CliEnv* env) {
    env->out->setstate(std::ios::badbit);
  });
  EXPECT_EQ(run.code, 1);
  EXPECT_EQ(run.err, "muster: stdout cannot be written to\n");
}

// --- Lists -------------------------------------------------------------------

TEST_F(CliTest, EmptyListsAreEmptyArraysAndZero) {
  node_.nodes = admin::v1::ListNodesResponse();
  node_.names = admin::v1::ListNamesResponse();
  node_.processes = admin::v1::ListProcessesResponse();
  node_.trees.clear();
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{
           {"node", "list"}, {"name", "list"}, {"process", "list"}, {"tree"}}) {
    std::vector<std::string> json = words;
    json.insert(json.end(), {"-o", "json"});
    const CliRun run = Run(json);
    EXPECT_EQ(run.code, 0);
    EXPECT_EQ(run.out, "[]\n");
    EXPECT_EQ(run.err, "");
    EXPECT_EQ(Run(words).code, 0);
  }
}

TEST_F(CliTest, AListWithoutSomeNodesIsPartlyDone) {
  node_.processes = Proto<admin::v1::ListProcessesResponse>(R"pb(
    processes {
      name: "p"
      state: "idle"
      pid {
        node: "a"
        epoch { generation: 1 revision: 18 }
        number: 7
      }
    }
    unreachable: "b"
    unreachable: "c"
  )pb");
  CliRun run = Run({"process", "list", "--node", "a", "--system"});
  EXPECT_EQ(run.code, 9);
  EXPECT_EQ(FirstLine(run.out),
            "NAME  TYPE  NODE  STATE  MAILBOX  HANDLED  AGE  PID");
  EXPECT_EQ(run.err, "muster: these nodes did not answer: b, c\n");
  EXPECT_EQ(node_.processes_request.node(), "a");
  EXPECT_TRUE(node_.processes_request.system());
  run = Run({"process", "list", "-o", "json"});
  EXPECT_EQ(run.code, 9);
  EXPECT_EQ(run.out[0], '[');
  EXPECT_EQ(run.err,
            "{\"code\":\"UNAVAILABLE\",\"reason\":\"PARTIAL\",\"outcome\":"
            "\"NOT_EXECUTED\",\"message\":\"these nodes did not answer: b, c\","
            "\"unreachable\":[\"b\",\"c\"]}\n");
  EXPECT_EQ(Run({"process", "list", "--node", "A"}).code, 2);
}

TEST_F(CliTest, WhereIsPrintsPlaceAndEpoch) {
  EXPECT_EQ(Run({"name", "whereis", "counter_a", "-o", "json"}).out,
            "{\n"
            "  \"name\": \"counter_a\",\n"
            "  \"node\": \"a\",\n"
            "  \"pid\": \"a~0000000000000001.0000000000000012~7\",\n"
            "  \"epoch\": \"0000000000000001.0000000000000015\"\n"
            "}\n");
  EXPECT_EQ(Run({"name", "whereis", std::string(300, 'n')}).code, 2);
}

TEST_F(CliTest, VersionNamesWhatIsLinked) {
  EXPECT_EQ(Run({"version"}).out.rfind("muster 0.1.0\nprotobuf 3.", 0), 0u);
  const CliRun run = Run({"version", "-o", "json"});
  EXPECT_EQ(run.out.rfind("{\n  \"muster\": \"0.1.0\",\n  \"protobuf\": \"", 0),
            0u);
  EXPECT_NE(run.out.find("\"grpc\": \"1.51.1\"\n}\n"), std::string::npos);
}

// --- wait --------------------------------------------------------------------

TEST_F(CliTest, WaitEndsWhenItRuns) {
  node_.trees = {Tree("starting"), Tree("starting"), Tree("running")};
  const CliRun run = Run({"wait", "counter_a", "--for", "running"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(FirstLine(run.out),
            "NAME       NODE  TYPE     EPOCH                              PID");
  EXPECT_EQ(run.err, "");
}

TEST_F(CliTest, WaitSaysNoWithEight) {
  node_.trees = {Tree("pending", "no node has the type \"counter\"")};
  const CliRun run = Run({"wait", "counter_a", "--timeout", "2s"});
  EXPECT_EQ(run.code, 8);
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(FirstLine(run.err),
            "muster: counter_a does not run: b is pending (no node has the "
            "type \"counter\")");
}

TEST_F(CliTest, WaitIsPatientWithAnUnknownNameButNotWithABadOne) {
  node_.where = absl::StatusOr<process::v1::WhereIsResponse>(
      Error(absl::StatusCode::kNotFound, "NOPROC",
            "no process is registered as \"x\"")
          .NotExecuted());
  const CliRun run = Run({"wait", "x", "--timeout", "1s"});
  EXPECT_EQ(run.code, 8);
  EXPECT_EQ(FirstLine(run.err),
            "muster: x does not run: no process is registered as \"x\"");
  EXPECT_EQ(Run({"wait", "a b"}).code, 2);
  ExpectUsage({"wait", "x", "--for", "godot"},
              "--for \"godot\" is not known; write --for running");
}

TEST_F(CliTest, WaitWithoutANodeIsFive) {
  EXPECT_EQ(Run({"wait", "x", "--timeout", "1s"}, "", NobodyThere).code, 5);
}

// --- apply -------------------------------------------------------------------

TEST_F(CliTest, ApplyPrintsWhatHappensAndWaits) {
  node_.trees = {Tree("starting"), Tree("running")};
  CliRun run = Run({"apply", "-f", "-"}, kManifest,
                   [](CliEnv* env) { env->err_is_terminal = true; });
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out,
            "CHILD  NAME       TYPE     ACTION\n"
            "a      a          counter  started\n"
            "b      counter_a  counter  started\n");
  EXPECT_EQ(run.err,
            "s: 1 of 2 children run; b is starting\n"
            "s: all 2 children run\n");
  EXPECT_EQ(node_.apply_request.manifest().children(1).name(), "counter_a");
  run = Run({"apply", "-f", WriteFile("tree.yaml", kManifest), "-o", "json"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(
      run.out,
      "{\n  \"started\": [\n    \"a\",\n    \"b\"\n  ],\n"
      "  \"restarted\": [],\n  \"stopped\": [],\n  \"unchanged\": []\n}\n");
}

TEST_F(CliTest, ApplyThatDoesNotRunInTimeIsSixAndSaysWhat) {
  node_.trees = {Tree("pending", "no node has the type \"counter\"")};
  const CliRun run = Run({"apply", "-f", "-"}, kManifest);
  EXPECT_EQ(run.code, 6);
  EXPECT_EQ(FirstLine(run.err),
            "muster: the tree is stored, but not all of it runs: b is pending "
            "(no node has the type \"counter\")");
  EXPECT_EQ(Run({"apply", "-f", "-", "--no-wait"}, kManifest).code, 0);
}

TEST_F(CliTest, ApplyToASupervisorThatGaveUpIsFour) {
  node_.trees = {Proto<admin::v1::GetTreeResponse>(
      R"pb(supervisors { id: "s" failed: "4 restarts in 5s" })pb")};
  const CliRun run = Run({"apply", "-f", "-"}, kManifest);
  EXPECT_EQ(run.code, 4);
  EXPECT_EQ(FirstLine(run.err), "muster: s gave up: 4 restarts in 5s");
}

TEST_F(CliTest, ABadManifestIsTwoAndNothingIsSent) {
  const std::string path = WriteFile("bad.yaml", "supervisor: [\n");
  CliRun run = Run({"apply", "-f", path});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(FirstLine(run.err),
            "muster: " + path +
                ":2:1: malformed YAML: end of sequence flow not found");
  run = Run({"apply", "-f", "-"}, "");
  EXPECT_EQ(FirstLine(run.err), "muster: stdin:1:1: the file is empty");
  run = Run({"apply", "-f", testing::TempDir()});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(FirstLine(run.err),
            "muster: " + testing::TempDir() + ": is a directory");
  run = Run({"apply", "-f", "/no/such/file"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(FirstLine(run.err),
            "muster: /no/such/file: cannot be read: is it there?");
  EXPECT_FALSE(node_.apply_request.has_manifest());
}

TEST_F(CliTest, WhatTheNodeRefusesIsReported) {
  node_.apply = absl::StatusOr<admin::v1::ApplyResponse>(
      Error(absl::StatusCode::kInvalidArgument, "BAD_MANIFEST",
            "children[0].type: no node has the type \"countre\"")
          .With("path", "children[0].type")
          .NotExecuted());
  const CliRun run = Run({"apply", "-f", "-", "-o", "json"}, kManifest);
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(run.err,
            "{\"code\":\"INVALID_ARGUMENT\",\"reason\":\"BAD_MANIFEST\","
            "\"outcome\":\"NOT_EXECUTED\",\"message\":\"stdin:3:19: "
            "children[0].type: no "
            "node has the type \\\"countre\\\"\"}\n");
}

// --- Nodes -------------------------------------------------------------------

TEST_F(CliTest, NodeStartRunsTheNodeItIsTold) {
  NodeConfig got;
  const CliRun run =
      Run({"node", "start", "--name", "a", "--cluster", "demo", "--listen",
           "127.0.0.1:7001", "--store", "etcd://127.0.0.1:2379"},
          "", [&](CliEnv* env) {
            env->run_node = [&](const NodeConfig& config,
                                std::vector<ServerTypeInfo>, auto on_ready) {
              got = config;
              on_ready("127.0.0.1:7001");
              return absl::OkStatus();
            };
          });
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(run.err,
            "muster: node a of cluster demo serves on 127.0.0.1:7001, store "
            "etcd://127.0.0.1:2379\n");
  EXPECT_EQ(got.name, "a");
  EXPECT_EQ(got.cluster, "demo");
  EXPECT_EQ(got.listen, "127.0.0.1:7001");
  EXPECT_EQ(got.store, "etcd://127.0.0.1:2379");
  EXPECT_FALSE(got.manifest.has_value());
}

TEST_F(CliTest, NodeStartRefusesWhatIsWrong) {
  CliRun run =
      Run({"node", "start", "--name", "a", "--listen", "0.0.0.0:7001"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.err,
            "muster: address \"0.0.0.0:7001\" is not on loopback, such as "
            "127.0.0.1:7001 or [::1]:7001: plaintext is allowed only there; "
            "elsewhere give --tls-dir DIR\n");
  run = Run({"node", "start", "--name", "A"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.err,
            "muster: node name \"A\" has \"A\" at byte 0: a node's name is 1 "
            "to 63 bytes of a-z 0-9 -\n");
  EXPECT_EQ(Run({"node", "start", "--name", "a", "--cluster", ""}).code, 2);
}

TEST_F(CliTest, NodeStartIsTheParentOfItsNodeUnlessToldNotTo) {
  std::vector<NodeConfig> watched;
  int nodes = 0;
  const auto both = [&](CliEnv* env) {
    env->run_sentinel = [&](const NodeConfig& config) -> absl::StatusOr<int> {
      watched.push_back(config);
      return 137;
    };
    env->run_node = [&](const NodeConfig&, std::vector<ServerTypeInfo>, auto) {
      ++nodes;
      return absl::OkStatus();
    };
  };
  CliRun run = Run({"node", "start", "--name", "a", "--label", "zone=a",
                    "--label", "disk=ssd", "--data-dir", "/d"},
                   "", both);
  EXPECT_EQ(run.code, 137);
  EXPECT_EQ(run.err, "") << "the node has said what there is to say";
  ASSERT_EQ(watched.size(), 1u);
  EXPECT_EQ(watched[0].name, "a");
  EXPECT_EQ(watched[0].labels, (std::map<std::string, std::string>{
                                   {"disk", "ssd"}, {"zone", "a"}}));
  EXPECT_EQ(watched[0].data_dir, "/d");
  EXPECT_EQ(nodes, 0);

  run = Run({"node", "start", "--name", "a", "--no-sentinel"}, "", both);
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(watched.size(), 1u);
  EXPECT_EQ(nodes, 1);

  // What is wrong with the flags is found before anything runs.
  run = Run({"node", "start", "--name", "a", "--label", "zone"}, "", both);
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.err,
            "muster: --label \"zone\": write key=value, such as zone=a\n");
  run = Run({"node", "start", "--name", "A"}, "", both);
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(watched.size(), 1u);

  // Without a sentinel of its own, `dev` is its node.
  EXPECT_EQ(Run({"dev"}, "", both).code, 0);
  EXPECT_EQ(watched.size(), 1u);
  EXPECT_EQ(nodes, 2);
}

TEST_F(CliTest, ErrorsOfANodeAreReportedWithTheirExitCodes) {
  const struct {
    absl::Status status;
    int code;
    std::string err;
  } kRows[] = {
      {Error(absl::StatusCode::kFailedPrecondition, "ADDRESS_IN_USE",
             "127.0.0.1:7001 is in use")
           .NotExecuted(),
       4, "muster: 127.0.0.1:7001 is in use\n"},
      {Error(absl::StatusCode::kAlreadyExists, "NODE_EXISTS",
             "a node named a is alive")
           .NotExecuted(),
       4, "muster: a node named a is alive\n"},
      {Error(absl::StatusCode::kUnavailable, "STORE_UNREACHABLE",
             "no etcd answers at 127.0.0.1:1")
           .NotExecuted(),
       5, "muster: no etcd answers at 127.0.0.1:1\n"},
      {Error(absl::StatusCode::kInvalidArgument, "BAD_STORE",
             "store \"redis://x\" is not known")
           .NotExecuted(),
       2, "muster: store \"redis://x\" is not known\n"},
  };
  for (const auto& row : kRows) {
    const CliRun run =
        Run({"node", "start", "--name", "a"}, "", [&](CliEnv* env) {
          env->run_node = [&](const NodeConfig&, std::vector<ServerTypeInfo>,
                              auto) { return row.status; };
        });
    EXPECT_EQ(run.code, row.code);
    EXPECT_EQ(run.out, "");
    EXPECT_EQ(run.err, row.err);
  }
}

CliRun RunDev(FakeNode* node, std::vector<std::string> words,
              const std::string& manifest, NodeConfig* got) {
  return CliRun(node, std::move(words), "", [&](CliEnv* env) {
    env->dev_manifest = manifest;
    env->run_node = [got](const NodeConfig& config, std::vector<ServerTypeInfo>,
                          auto on_ready) {
      *got = config;
      on_ready(config.listen);
      return absl::OkStatus();
    };
  });
}

TEST_F(CliTest, DevRunsTheTreeAndSaysWhatToTry) {
  NodeConfig got;
  const CliRun run = RunDev(&node_, {"dev"}, kManifest, &got);
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(got.name, "dev");
  EXPECT_EQ(got.listen, "127.0.0.1:7700");
  EXPECT_EQ(got.store, "memory");
  EXPECT_EQ(got.manifest->supervisor(), "s");
  EXPECT_EQ(run.out,
            "Node dev serves on 127.0.0.1:7700, with an in-memory store. "
            "Ctrl-C ends it.\n"
            "\n"
            "Running under the supervisor s: a (counter), counter_a (counter)\n"
            "\n"
            "Try in another terminal:\n"
            "  muster tree\n"
            "  muster call counter_a Increment '{\"by\": 2}'\n"
            "  muster name list\n");
}

TEST_F(CliTest, DevWithoutATreeStartsAnEmptyNode) {
  NodeConfig got;
  const CliRun run =
      RunDev(&node_, {"dev", "--listen", "127.0.0.1:7701"}, "", &got);
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_FALSE(got.manifest.has_value());
  EXPECT_EQ(run.out,
            "Node dev serves on 127.0.0.1:7701, with an in-memory store. "
            "Ctrl-C ends it.\n"
            "\n"
            "Nothing runs on it yet.\n"
            "\n"
            "Try in another terminal:\n"
            "  muster --endpoint 127.0.0.1:7701 status\n"
            "  muster --endpoint 127.0.0.1:7701 node list\n"
            "  muster --endpoint 127.0.0.1:7701 apply -f tree.yaml\n");
  EXPECT_EQ(RunDev(&node_, {"dev", "--listen", "0.0.0.0:1"}, "", &got).code, 2);
}

TEST_F(CliTest, SignalsAreTakenByClientCommandsOnly) {
  int taken = 0;
  const auto count = [&](CliEnv* env) {
    env->exit_on_interrupt = [&] { ++taken; };
  };
  Run({"status"}, "", count);
  EXPECT_EQ(taken, 1);
  Run({"dev"}, "", count);
  Run({"node", "start", "--name", "a"}, "", count);
  EXPECT_EQ(taken, 1);
}

}  // namespace
}  // namespace muster
