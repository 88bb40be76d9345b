#include "cluster/service/descriptor_cache.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/membership/descriptors.h"
#include "cluster/supervisor/env.h"
#include "muster/cluster/v1/cluster.muster.client.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {

DescriptorCache::DescriptorCache(
    const Membership* membership, Runtime* runtime,
    const std::map<std::string, ServerTypeInfo>& types)
    : membership_(membership), caller_(runtime) {
  MutexLock lock(&mu_);
  for (const auto& [name, type] : types) {
    const std::string bytes = SerializeDescriptors(*type.service);
    auto set = std::make_shared<google::protobuf::FileDescriptorSet>();
    set->ParseFromString(bytes);
    by_digest_[DescriptorDigest(bytes)] = std::move(set);
  }
}

std::vector<std::string> DescriptorCache::Services() const {
  std::set<std::string> services;
  for (const Member& member : membership_->Members()) {
    for (const auto& type : member.record.types()) {
      services.insert(type.service());
    }
  }
  return std::vector<std::string>(services.begin(), services.end());
}

void DescriptorCache::Describe(
    absl::string_view service,
    absl::AnyInvocable<void(absl::StatusOr<DescriptorSet>)> done) {
  for (const Member& member : membership_->Members()) {
    for (const auto& type : member.record.types()) {
      if (type.service() != service) continue;
      DescribeType(type, member.record.node(), std::move(done));
      return;
    }
  }
  done(Error(absl::StatusCode::kNotFound, "UNKNOWN_SERVICE",
             absl::StrCat("no node hosts the service ", LogSafe(service)))
           .NotExecuted());
}

void DescriptorCache::DescribeType(
    const store::v1::HostedType& type, const std::string& node,
    absl::AnyInvocable<void(absl::StatusOr<DescriptorSet>)> done) {
  const std::string& digest = type.descriptor_digest();
  {
    DescriptorSet known;
    {
      MutexLock lock(&mu_);
      const auto at = by_digest_.find(digest);
      if (at != by_digest_.end()) known = at->second;
    }
    if (known != nullptr) {
      done(std::move(known));
      return;
    }
  }
  cluster::v1::GetDescriptorsRequest request;
  request.set_digest(digest);
  cluster::v1::AgentClient agent(caller_, ServerRef::Local(kAgentName, node));
  std::weak_ptr<bool> alive = alive_;
  agent.GetDescriptors(std::move(request))
      .Then([this, alive, digest, done = std::move(done)](
                absl::StatusOr<cluster::v1::GetDescriptorsResponse>
                    response) mutable {
        if (alive.expired()) return;
        if (!response.ok()) {
          done(response.status());
          return;
        }
        auto set = std::make_shared<google::protobuf::FileDescriptorSet>();
        if (DescriptorDigest(response->descriptor_set()) != digest ||
            !set->ParseFromString(response->descriptor_set())) {
          done(Error(absl::StatusCode::kDataLoss, "BAD_DESCRIPTORS",
                     "a node sent descriptors that do not match its record"));
          return;
        }
        {
          MutexLock lock(&mu_);
          by_digest_[digest] = set;
        }
        done(DescriptorSet(std::move(set)));
      });
}

}  // namespace muster
