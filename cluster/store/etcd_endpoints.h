// How a store on etcd is named: etcd://h1:p1,h2:p2.
#ifndef MUSTER_CLUSTER_STORE_ETCD_ENDPOINTS_H_
#define MUSTER_CLUSTER_STORE_ETCD_ENDPOINTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace muster {

// One member of an etcd cluster.
struct EtcdEndpoint {
  // A host name, an IPv4 address, or an IPv6 address without brackets.
  std::string host;
  uint16_t port = 0;

  friend bool operator==(const EtcdEndpoint&, const EtcdEndpoint&) = default;
  // host:port, an IPv6 address in brackets.
  std::string ToString() const;
  // What gRPC dials: ipv4:, ipv6: or dns:, so that nothing is looked up for an
  // address.
  std::string ChannelTarget() const;
  // localhost, 127.0.0.0/8 or ::1. Other names are looked up, so they are not.
  bool IsLoopback() const;
};

// Endpoints that one spec may name.
inline constexpr int kEtcdEndpointsMax = 32;

// Reads "etcd://h1:p1,h2:p2". INVALID_ARGUMENT BAD_STORE otherwise; the
// message says what is wrong and what would be right, bounded and safe to log.
absl::StatusOr<std::vector<EtcdEndpoint>> ParseEtcdSpec(absl::string_view spec);

}  // namespace muster

#endif  // MUSTER_CLUSTER_STORE_ETCD_ENDPOINTS_H_
