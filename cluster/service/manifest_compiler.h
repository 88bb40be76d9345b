// CompileManifest: from what a person wrote to what a supervisor is told.
#ifndef MUSTER_CLUSTER_SERVICE_MANIFEST_COMPILER_H_
#define MUSTER_CLUSTER_SERVICE_MANIFEST_COMPILER_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "muster/cluster/v1/cluster.pb.h"
#include "muster/store/v1/store.pb.h"
#include "node/gen_server/server_type.h"
#include "node/rpc/descriptor_source.h"

namespace muster {

// What is known of a server type that some node hosts.
struct KnownType {
  // Full name of its options message, and descriptors that contain it.
  std::string options;
  DescriptorSet descriptors;
  // What its node record says, for the defaults of its children.
  store::v1::HostedType hosted;
};

// Pure. Checks ids, names, types and options, and serializes the options.
// Errors are INVALID_ARGUMENT BAD_MANIFEST; the message and the detail `path`
// name the field, for example children[2].options.
absl::StatusOr<cluster::v1::ApplyRequest> CompileManifest(
    const cluster::v1::Manifest& manifest,
    const std::map<std::string, KnownType>& types);

// One child of it, as CompileManifest does; `path` is how errors name it.
absl::StatusOr<store::v1::ChildSpec> CompileChild(
    const std::string& path, const cluster::v1::ManifestChild& child,
    const std::map<std::string, KnownType>& types);

}  // namespace muster

#endif  // MUSTER_CLUSTER_SERVICE_MANIFEST_COMPILER_H_
