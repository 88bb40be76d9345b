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

// Whoever can read or change what the store holds owns the cluster: it is
// spoken to in plaintext only where no network is in between.
absl::StatusOr<std::vector<EtcdEndpoint>> ParseEtcd(absl::string_view spec,
                                                    bool tls) {
  absl::StatusOr<std::vector<EtcdEndpoint>> endpoints = ParseEtcdSpec(spec);
  if (!endpoints.ok() || tls) return endpoints;
  for (const EtcdEndpoint& endpoint : *endpoints) {
    if (endpoint.IsLoopback()) continue;
    return Error(absl::StatusCode::kInvalidArgument, "NOT_LOOPBACK",
                 absl::StrCat("etcd endpoint ", LogSafe(endpoint.ToString()),
                              " is not on loopback: plaintext is allowed only "
                              "there, as etcd://127.0.0.1:2379; elsewhere give "
                              "--store-tls-dir DIR"))
        .NotExecuted()
        .status();
  }
  return endpoints;
}

}  // namespace

absl::Status ValidateStoreSpec(absl::string_view spec, bool tls) {
  if (spec == kMemory) return absl::OkStatus();
  if (!absl::StartsWith(spec, kEtcd)) return NoSuchStore(spec);
  return ParseEtcd(spec, tls).status();
}

absl::StatusOr<std::unique_ptr<Store>> MakeStore(
    absl::string_view spec, Scheduler& scheduler,
    std::shared_ptr<grpc::ChannelCredentials> credentials) {
  if (spec == kMemory) return std::make_unique<EmbeddedStore>(scheduler);
  if (!absl::StartsWith(spec, kEtcd)) return NoSuchStore(spec);
  absl::StatusOr<std::vector<EtcdEndpoint>> endpoints =
      ParseEtcd(spec, /*tls=*/credentials != nullptr);
  if (!endpoints.ok()) return endpoints.status();
  EtcdStoreOptions options;
  options.credentials = std::move(credentials);
  return std::make_unique<EtcdStore>(scheduler, *std::move(endpoints),
                                     std::move(options));
}

}  // namespace muster
