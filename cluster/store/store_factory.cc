#include "cluster/store/store_factory.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cluster/store/embedded_store.h"
#include "cluster/store/etcd_endpoints.h"
#include "cluster/store/etcd_store.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::string_view kMemory = "memory";
constexpr absl::string_view kEtcd = "etcd:";

absl::Status NoSuchStore(absl::string_view spec) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_STORE",
               absl::StrCat("store ", LogSafe(spec),
                            " is unknown: write \"memory\" (a single node) or "
                            "\"etcd://h1:2379,h2:2379\""))
      .NotExecuted()
      .status();
}

}  // namespace

absl::Status ValidateStoreSpec(absl::string_view spec) {
  if (spec == kMemory) return absl::OkStatus();
  if (!absl::StartsWith(spec, kEtcd)) return NoSuchStore(spec);
  return ParseEtcdSpec(spec).status();
}

absl::StatusOr<std::unique_ptr<Store>> MakeStore(
    absl::string_view spec, Scheduler& scheduler,
    std::shared_ptr<grpc::ChannelCredentials> credentials) {
  if (spec == kMemory) return std::make_unique<EmbeddedStore>(scheduler);
  if (!absl::StartsWith(spec, kEtcd)) return NoSuchStore(spec);
  absl::StatusOr<std::vector<EtcdEndpoint>> endpoints = ParseEtcdSpec(spec);
  if (!endpoints.ok()) return endpoints.status();
  EtcdStoreOptions options;
  options.credentials = std::move(credentials);
  return std::make_unique<EtcdStore>(scheduler, *std::move(endpoints),
                                     std::move(options));
}

}  // namespace muster
