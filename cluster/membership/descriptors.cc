#include "cluster/membership/descriptors.h"

#include <openssl/sha.h>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "google/protobuf/descriptor.pb.h"

namespace muster {
namespace {

void AddFile(const google::protobuf::FileDescriptor& file,
             absl::flat_hash_set<std::string>& seen,
             google::protobuf::FileDescriptorSet& set) {
  if (!seen.insert(file.name()).second) return;
  for (int i = 0; i < file.dependency_count(); ++i) {
    AddFile(*file.dependency(i), seen, set);
  }
  file.CopyTo(set.add_file());
}

}  // namespace

std::string SerializeDescriptors(
    const google::protobuf::ServiceDescriptor& service) {
  google::protobuf::FileDescriptorSet set;
  absl::flat_hash_set<std::string> seen;
  AddFile(*service.file(), seen, set);
  return set.SerializeAsString();
}

std::string DescriptorDigest(absl::string_view serialized) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(serialized.data()),
         serialized.size(), digest);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), sizeof(digest)));
}

store::v1::HostedType Describe(const ServerTypeInfo& type) {
  store::v1::HostedType hosted;
  hosted.set_type(type.name);
  hosted.set_service(type.service->full_name());
  hosted.set_descriptor_digest(
      DescriptorDigest(SerializeDescriptors(*type.service)));
  hosted.set_options(type.options->full_name());
  return hosted;
}

}  // namespace muster
