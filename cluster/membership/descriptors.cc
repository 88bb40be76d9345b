#include "cluster/membership/descriptors.h"

#include <openssl/sha.h>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/util/time_util.h"

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
  switch (type.defaults.restart) {
    case Restart::kPermanent:
      hosted.set_restart(store::v1::PERMANENT);
      break;
    case Restart::kTransient:
      hosted.set_restart(store::v1::TRANSIENT);
      break;
    case Restart::kTemporary:
      hosted.set_restart(store::v1::TEMPORARY);
      break;
  }
  const Shutdown& shutdown = type.defaults.shutdown;
  if (shutdown.brutal_kill()) {
    hosted.mutable_shutdown()->set_brutal_kill(true);
  } else if (shutdown.limit() == absl::InfiniteDuration()) {
    hosted.mutable_shutdown()->set_infinity(true);
  } else {
    *hosted.mutable_shutdown()->mutable_timeout() =
        google::protobuf::util::TimeUtil::NanosecondsToDuration(
            absl::ToInt64Nanoseconds(shutdown.limit()));
  }
  return hosted;
}

}  // namespace muster
