// Descriptors of hosted services, as nodes publish and exchange them.
#ifndef MUSTER_CLUSTER_MEMBERSHIP_DESCRIPTORS_H_
#define MUSTER_CLUSTER_MEMBERSHIP_DESCRIPTORS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"
#include "muster/store/v1/store.pb.h"
#include "node/gen_server/server_type.h"

namespace muster {

// A serialized FileDescriptorSet: the service's file after all it imports.
std::string SerializeDescriptors(
    const google::protobuf::ServiceDescriptor& service);

// SHA-256, hex.
std::string DescriptorDigest(absl::string_view serialized);

// What a node record says of a server type.
store::v1::HostedType Describe(const ServerTypeInfo& type);

}  // namespace muster

#endif  // MUSTER_CLUSTER_MEMBERSHIP_DESCRIPTORS_H_
