// FakeNodeClient: a node that answers what a test tells it to, and CliRun:
// one run of the command line on it, with its output captured.
#ifndef MUSTER_TESTS_UNIT_CLUSTER_CLI_FAKE_NODE_CLIENT_H_
#define MUSTER_TESTS_UNIT_CLUSTER_CLI_FAKE_NODE_CLIENT_H_

#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/cli/cli.h"
#include "cluster/cli/node_client.h"
#include "google/protobuf/descriptor.pb.h"
#include "node/base/clock.h"

namespace muster {

// What the node answers and what it was asked. One for each test.
struct FakeNode {
  absl::StatusOr<admin::v1::GetStatusResponse> status;
  absl::StatusOr<admin::v1::ListNodesResponse> nodes;
  absl::StatusOr<admin::v1::ListProcessesResponse> processes;
  absl::StatusOr<admin::v1::ListNamesResponse> names;
  // Answered in turn; the last one stays.
  std::vector<absl::StatusOr<admin::v1::GetTreeResponse>> trees;
  absl::StatusOr<admin::v1::ApplyResponse> apply;
  absl::StatusOr<admin::v1::RemoveNodeResponse> remove;
  absl::StatusOr<admin::v1::RaiseGenerationResponse> raise;
  absl::StatusOr<process::v1::WhereIsResponse> where;
  absl::StatusOr<process::v1::CallResponse> call;
  // If set, answers instead of `call`.
  std::function<absl::StatusOr<process::v1::CallResponse>(
      const process::v1::CallRequest&)>
      on_call;
  absl::StatusOr<process::v1::CastResponse> cast;
  // Each with all that it imports; all of them define all services.
  std::vector<google::protobuf::FileDescriptorProto> files;
  std::vector<std::string> services;
  absl::StatusOr<admin::v1::ListEventsResponse> events;
  // After all `events`.
  absl::Status tail_end;
  absl::StatusOr<admin::v1::ExplainResponse> explain;

  admin::v1::ApplyRequest apply_request;
  admin::v1::ListProcessesRequest processes_request;
  process::v1::CallRequest call_request;
  process::v1::CastRequest cast_request;
  std::vector<admin::v1::RemoveNodeRequest> remove_requests;
  admin::v1::RaiseGenerationRequest raise_request;
  admin::v1::ListEventsRequest events_request;
  admin::v1::ExplainRequest explain_request;
  absl::Duration timeout;
};

class FakeNodeClient final : public NodeClient {
 public:
  explicit FakeNodeClient(FakeNode* node) : node_(node) {}

  absl::StatusOr<admin::v1::GetStatusResponse> GetStatus(
      const admin::v1::GetStatusRequest&, absl::Duration timeout) override {
    node_->timeout = timeout;
    return node_->status;
  }
  absl::StatusOr<admin::v1::ListNodesResponse> ListNodes(
      const admin::v1::ListNodesRequest&, absl::Duration) override {
    return node_->nodes;
  }
  absl::StatusOr<admin::v1::ListProcessesResponse> ListProcesses(
      const admin::v1::ListProcessesRequest& request, absl::Duration) override {
    node_->processes_request = request;
    return node_->processes;
  }
  absl::StatusOr<admin::v1::ListNamesResponse> ListNames(
      const admin::v1::ListNamesRequest&, absl::Duration) override {
    return node_->names;
  }
  absl::StatusOr<admin::v1::GetTreeResponse> GetTree(
      const admin::v1::GetTreeRequest&, absl::Duration) override {
    if (node_->trees.empty()) return admin::v1::GetTreeResponse();
    auto tree = node_->trees.front();
    if (node_->trees.size() > 1) node_->trees.erase(node_->trees.begin());
    return tree;
  }
  absl::StatusOr<admin::v1::ApplyResponse> Apply(
      const admin::v1::ApplyRequest& request, absl::Duration) override {
    node_->apply_request = request;
    return node_->apply;
  }
  absl::StatusOr<admin::v1::RemoveNodeResponse> RemoveNode(
      const admin::v1::RemoveNodeRequest& request, absl::Duration) override {
    node_->remove_requests.push_back(request);
    return node_->remove;
  }
  absl::StatusOr<admin::v1::RaiseGenerationResponse> RaiseGeneration(
      const admin::v1::RaiseGenerationRequest& request,
      absl::Duration) override {
    node_->raise_request = request;
    return node_->raise;
  }
  absl::StatusOr<process::v1::WhereIsResponse> WhereIs(
      const process::v1::WhereIsRequest&, absl::Duration) override {
    return node_->where;
  }
  absl::StatusOr<process::v1::CallResponse> Call(
      const process::v1::CallRequest& request, absl::Duration) override {
    node_->call_request = request;
    return node_->on_call ? node_->on_call(request) : node_->call;
  }
  absl::StatusOr<process::v1::CastResponse> Cast(
      const process::v1::CastRequest& request, absl::Duration) override {
    node_->cast_request = request;
    return node_->cast;
  }
  absl::StatusOr<std::vector<std::string>> ListServices(
      absl::Duration) override {
    return node_->services;
  }
  absl::StatusOr<std::vector<google::protobuf::FileDescriptorProto>>
  FilesOfSymbol(const std::string& symbol, absl::Duration) override {
    for (const std::string& service : node_->services) {
      if (service == symbol) return node_->files;
    }
    return absl::NotFoundError("no such symbol");
  }
  absl::StatusOr<std::vector<google::protobuf::FileDescriptorProto>>
  FilesOfName(const std::string&, absl::Duration) override {
    return node_->files;
  }
  absl::StatusOr<admin::v1::ListEventsResponse> ListEvents(
      const admin::v1::ListEventsRequest& request, absl::Duration) override {
    node_->events_request = request;
    return node_->events;
  }
  absl::StatusOr<admin::v1::ExplainResponse> Explain(
      const admin::v1::ExplainRequest& request, absl::Duration) override {
    node_->explain_request = request;
    return node_->explain;
  }
  absl::Status TailEvents(
      const admin::v1::ListEventsRequest& request,
      std::function<bool(const admin::v1::Event& event)> on_event) override {
    node_->events_request = request;
    for (const admin::v1::Event& event : node_->events->events()) {
      if (!on_event(event)) return absl::OkStatus();
    }
    return node_->tail_end;
  }

 private:
  FakeNode* const node_;
};

// Goes on only while somebody sleeps.
class FakeClock final : public Clock {
 public:
  BootTime Boot() const override { return now_; }
  absl::Time Wall() const override { return absl::UnixEpoch(); }
  void Advance(absl::Duration d) { now_ = now_ + d; }

 private:
  BootTime now_ = BootTime::FromNanoseconds(1);
};

struct CliRun {
  // Words after `muster`.
  explicit CliRun(FakeNode* node, std::vector<std::string> words,
                  const std::string& input = "",
                  std::function<void(CliEnv*)> change = nullptr) {
    std::istringstream in(input);
    std::ostringstream out_stream;
    std::ostringstream err_stream;
    FakeClock clock;
    CliEnv env;
    env.in = &in;
    env.out = &out_stream;
    env.err = &err_stream;
    env.clock = &clock;
    env.sleep = [&](absl::Duration d) { clock.Advance(d); };
    env.connect =
        [&](const std::vector<LoopbackAddress>&,
            absl::Duration) -> absl::StatusOr<std::unique_ptr<NodeClient>> {
      return std::make_unique<FakeNodeClient>(node);
    };
    env.run_node = [](const NodeConfig&, std::vector<ServerTypeInfo>,
                      std::function<void(const std::string&)>) {
      return absl::OkStatus();
    };
    env.grpc_version = "1.51.1";
    if (change) change(&env);
    std::vector<const char*> argv = {"muster"};
    for (const std::string& word : words) argv.push_back(word.c_str());
    code = RunCli(static_cast<int>(argv.size()), argv.data(), {}, env);
    out = out_stream.str();
    err = err_stream.str();
  }

  int code = -1;
  std::string out;
  std::string err;
};

}  // namespace muster

#endif  // MUSTER_TESTS_UNIT_CLUSTER_CLI_FAKE_NODE_CLIENT_H_
