// Calls of any method, from what a person types and JSON.
//
// For `muster call` and `muster cast`, which know no .proto files: the node
// describes its servers through gRPC reflection.
#ifndef MUSTER_CLUSTER_CLI_INVOKE_H_
#define MUSTER_CLUSTER_CLI_INVOKE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/cli/node_client.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor_database.h"
#include "google/protobuf/dynamic_message.h"

namespace muster {

// Longest request or JSON text: what nodes take.
inline constexpr size_t kRequestBytesMax = size_t{4} << 20;

// Time left for the whole command, asked before each request.
using TimeLeft = std::function<absl::Duration()>;

// A method with the descriptors it needs. Immovable: the parts refer to each
// other. THREADS: one at a time.
class Method {
 public:
  // Finds what `text` means for the server `target` (a name or a pid):
  // "Increment", "Counter/Increment" or "counter.v1.Counter/Increment". Asks
  // where a name lives for its service; for a pid without a name looks at all
  // services.
  // NOT_FOUND NOPROC and other errors of WhereIs; INVALID_ARGUMENT
  // UNKNOWN_METHOD with what there is; errors of `client`.
  static absl::StatusOr<std::unique_ptr<Method>> Find(NodeClient& client,
                                                      const std::string& target,
                                                      absl::string_view text,
                                                      const TimeLeft& left);

  Method(const Method&) = delete;
  Method& operator=(const Method&) = delete;

  const std::string& name() const { return method_->name(); }
  // "counter.v1.Counter/Increment"
  std::string path() const;
  bool is_cast() const;

  // The request's bytes. INVALID_ARGUMENT BAD_JSON with the field;
  // RESOURCE_EXHAUSTED REQUEST_TOO_LARGE.
  absl::StatusOr<std::string> RequestFromJson(const std::string& json) const;
  // One line of JSON with every field, under its protobuf name. INTERNAL
  // BAD_RESPONSE if the bytes are no such message.
  absl::StatusOr<std::string> ResponseToJson(const std::string& bytes) const;

 private:
  Method() : pool_(&files_) {}

  // Fetches what describes `service` into files_, and finds it; nullptr
  // without error if the node does not know it.
  absl::StatusOr<const google::protobuf::ServiceDescriptor*> Load(
      NodeClient& client, const std::string& service, const TimeLeft& left);
  absl::Status Add(
      const std::vector<google::protobuf::FileDescriptorProto>& files);
  absl::Status FindIn(NodeClient& client,
                      const std::vector<std::string>& services,
                      const std::string& method, const TimeLeft& left);

  google::protobuf::SimpleDescriptorDatabase files_;
  std::vector<std::string> file_names_;
  std::vector<std::string> missing_;
  google::protobuf::DescriptorPool pool_;
  mutable google::protobuf::DynamicMessageFactory messages_;
  const google::protobuf::MethodDescriptor* method_ = nullptr;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_INVOKE_H_
