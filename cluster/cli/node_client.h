// NodeClient: what the command line asks a node.
//
// LIFETIME: belongs to one command. THREADS: one at a time. ORDER: one request
// after another; each blocks for at most `timeout` and then answers
// DEADLINE_EXCEEDED TIMEOUT. Errors are Muster's (node/types/status.h). Those
// of reads never say outcome UNKNOWN: nothing was to be executed.
#ifndef MUSTER_CLUSTER_CLI_NODE_CLIENT_H_
#define MUSTER_CLUSTER_CLI_NODE_CLIENT_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/descriptor.pb.h"
#include "muster/admin/v1/admin.pb.h"
#include "muster/process/v1/process.pb.h"

namespace muster {

class NodeClient {
 public:
  virtual ~NodeClient() = default;

  // AdminService.
  virtual absl::StatusOr<admin::v1::GetStatusResponse> GetStatus(
      const admin::v1::GetStatusRequest& request, absl::Duration timeout) = 0;
  virtual absl::StatusOr<admin::v1::ListNodesResponse> ListNodes(
      const admin::v1::ListNodesRequest& request, absl::Duration timeout) = 0;
  virtual absl::StatusOr<admin::v1::ListProcessesResponse> ListProcesses(
      const admin::v1::ListProcessesRequest& request,
      absl::Duration timeout) = 0;
  virtual absl::StatusOr<admin::v1::ListNamesResponse> ListNames(
      const admin::v1::ListNamesRequest& request, absl::Duration timeout) = 0;
  virtual absl::StatusOr<admin::v1::GetTreeResponse> GetTree(
      const admin::v1::GetTreeRequest& request, absl::Duration timeout) = 0;
  virtual absl::StatusOr<admin::v1::ApplyResponse> Apply(
      const admin::v1::ApplyRequest& request, absl::Duration timeout) = 0;

  virtual absl::StatusOr<admin::v1::RemoveNodeResponse> RemoveNode(
      const admin::v1::RemoveNodeRequest& request, absl::Duration timeout) = 0;
  virtual absl::StatusOr<admin::v1::RaiseGenerationResponse> RaiseGeneration(
      const admin::v1::RaiseGenerationRequest& request,
      absl::Duration timeout) = 0;

  // ProcessService.
  virtual absl::StatusOr<process::v1::WhereIsResponse> WhereIs(
      const process::v1::WhereIsRequest& request, absl::Duration timeout) = 0;
  virtual absl::StatusOr<process::v1::CallResponse> Call(
      const process::v1::CallRequest& request, absl::Duration timeout) = 0;
  virtual absl::StatusOr<process::v1::CastResponse> Cast(
      const process::v1::CastRequest& request, absl::Duration timeout) = 0;

  // Reflection. Full names of the services that the node describes.
  virtual absl::StatusOr<std::vector<std::string>> ListServices(
      absl::Duration timeout) = 0;
  // The file that defines `symbol`, or that is called so, perhaps with others
  // that it imports. NOT_FOUND if there is none.
  virtual absl::StatusOr<std::vector<google::protobuf::FileDescriptorProto>>
  FilesOfSymbol(const std::string& symbol, absl::Duration timeout) = 0;
  virtual absl::StatusOr<std::vector<google::protobuf::FileDescriptorProto>>
  FilesOfName(const std::string& file, absl::Duration timeout) = 0;

  // AdminService, the journal.
  virtual absl::StatusOr<admin::v1::ListEventsResponse> ListEvents(
      const admin::v1::ListEventsRequest& request, absl::Duration timeout) = 0;
  virtual absl::StatusOr<admin::v1::ExplainResponse> Explain(
      const admin::v1::ExplainRequest& request, absl::Duration timeout) = 0;
  // Calls `on_event` with each, until it says false (OK) or the stream ends
  // (why). Without a deadline.
  virtual absl::Status TailEvents(
      const admin::v1::ListEventsRequest& request,
      std::function<bool(const admin::v1::Event& event)> on_event) = 0;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_NODE_CLIENT_H_
