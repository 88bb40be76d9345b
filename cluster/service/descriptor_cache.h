// DescriptorCache: descriptors of every service that the cluster hosts.
#ifndef MUSTER_CLUSTER_SERVICE_DESCRIPTOR_CACHE_H_
#define MUSTER_CLUSTER_SERVICE_DESCRIPTOR_CACHE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cluster/membership/membership.h"
#include "node/base/mutex.h"
#include "node/gen_server/runtime_caller.h"
#include "node/gen_server/server_type.h"
#include "node/rpc/descriptor_source.h"

namespace muster {

// Own ones from the linked program, others' fetched from a node by digest and
// kept: a digest never changes its content. THREADS: any.
class DescriptorCache final : public DescriptorSource {
 public:
  DescriptorCache(const Membership* membership, Runtime* runtime,
                  const std::map<std::string, ServerTypeInfo>& types);

  std::vector<std::string> Services() const override;
  void Describe(
      absl::string_view service,
      absl::AnyInvocable<void(absl::StatusOr<DescriptorSet>)> done) override;
  // The descriptors that contain the service of a server type.
  void DescribeType(
      const store::v1::HostedType& type, const std::string& node,
      absl::AnyInvocable<void(absl::StatusOr<DescriptorSet>)> done);

 private:
  const Membership* const membership_;
  RuntimeCaller caller_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  mutable Mutex mu_;
  std::map<std::string, DescriptorSet> by_digest_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_SERVICE_DESCRIPTOR_CACHE_H_
