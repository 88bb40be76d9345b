// DescriptorSource: the descriptors of the services that a cluster hosts.
#ifndef MUSTER_NODE_RPC_DESCRIPTOR_SOURCE_H_
#define MUSTER_NODE_RPC_DESCRIPTOR_SOURCE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.pb.h"

namespace muster {

using DescriptorSet =
    std::shared_ptr<const google::protobuf::FileDescriptorSet>;

// THREADS: any thread. Callbacks come once, possibly inside the call.
class DescriptorSource {
 public:
  virtual ~DescriptorSource() = default;
  // Full names of the services hosted by any node, sorted, without duplicates.
  virtual std::vector<std::string> Services() const = 0;
  // A service's file with all it imports, dependencies first; fetched from a
  // peer if this node does not host it. NOT_FOUND: nobody hosts it now.
  virtual void Describe(
      absl::string_view service,
      absl::AnyInvocable<void(absl::StatusOr<DescriptorSet>)> done) = 0;
};

}  // namespace muster

#endif  // MUSTER_NODE_RPC_DESCRIPTOR_SOURCE_H_
