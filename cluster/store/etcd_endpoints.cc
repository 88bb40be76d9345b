#include "cluster/store/etcd_endpoints.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::string_view kScheme = "etcd://";
// Longest DNS name, in bytes (RFC 1035).
constexpr size_t kHostBytesMax = 253;

absl::Status BadStore(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_STORE", message)
      .NotExecuted()
      .status();
}

absl::Status BadEndpoint(absl::string_view endpoint, absl::string_view wrong,
                         absl::string_view right) {
  return BadStore(absl::StrCat("etcd endpoint ", LogSafe(endpoint), " ", wrong,
                               ": ", right));
}

bool IsIpv4(const std::string& host) {
  in_addr address;
  return inet_pton(AF_INET, host.c_str(), &address) == 1;
}

bool IsIpv6(const std::string& host) {
  in6_addr address;
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool IsHostByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
         c == '-' || c == '_';
}

// The host of `endpoint` as it is stored.
absl::Status CheckHost(absl::string_view endpoint, const std::string& host,
                       bool brackets) {
  if (brackets) {
    if (host.find('\0') == std::string::npos && IsIpv6(host)) {
      return absl::OkStatus();
    }
    return BadEndpoint(endpoint, "has no IPv6 address in its brackets",
                       "write [address]:port, for example [::1]:2379");
  }
  if (host.empty()) {
    return BadEndpoint(endpoint, "has no host",
                       "write host:port, for example 127.0.0.1:2379");
  }
  if (absl::StrContains(host, ':')) {
    return BadEndpoint(endpoint, "has more than one ':'",
                       "write host:port, an IPv6 address in brackets, for "
                       "example [::1]:2379");
  }
  if (host.size() > kHostBytesMax ||
      !std::all_of(host.begin(), host.end(), IsHostByte)) {
    return BadEndpoint(endpoint, "has a host that is no name or address",
                       "a host is 1 to 253 bytes of A-Z a-z 0-9 . _ -");
  }
  // Its last label is a number: an address, or a mistake in one.
  const size_t dot = host.rfind('.');
  const size_t last = dot == std::string::npos ? 0 : dot + 1;
  const bool number = last < host.size() && std::all_of(
                                                host.begin() + last, host.end(),
                                                [](unsigned char c) {
                                                  return absl::ascii_isdigit(c);
                                                });
  if (number && !IsIpv4(host)) {
    return BadEndpoint(endpoint, "has a bad IPv4 address",
                       "write four numbers from 0 to 255, for example "
                       "127.0.0.1:2379");
  }
  return absl::OkStatus();
}

absl::StatusOr<EtcdEndpoint> ParseEndpoint(absl::string_view endpoint) {
  if (endpoint.empty()) {
    return BadStore(
        "store has an empty etcd endpoint: write etcd://h1:2379,h2:2379, "
        "without a ',' too many");
  }
  if (absl::StrContains(endpoint, '@')) {
    // Not echoed: what stands before it may be a secret.
    return BadStore(
        "etcd endpoint has an '@': user and password are not taken here, "
        "write host:port");
  }
  if (endpoint.find_first_of("/?#") != absl::string_view::npos) {
    return BadEndpoint(endpoint, "has a path",
                       "write host:port and nothing after the port");
  }
  const bool brackets = absl::StartsWith(endpoint, "[");
  const size_t host_end = brackets ? endpoint.find(']') : endpoint.rfind(':');
  absl::string_view port_text;
  EtcdEndpoint result;
  if (brackets && host_end == absl::string_view::npos) {
    return BadEndpoint(endpoint, "has no ']'",
                       "write [address]:port, for example [::1]:2379");
  }
  if (host_end != absl::string_view::npos) {
    result.host = std::string(
        endpoint.substr(brackets ? 1 : 0, host_end - (brackets ? 1 : 0)));
    port_text = endpoint.substr(host_end + (brackets ? 1 : 0));
  }
  if (!absl::ConsumePrefix(&port_text, ":") || port_text.empty()) {
    return BadEndpoint(endpoint, "has no port",
                       "write host:port; etcd's usual port is 2379");
  }
  absl::Status status = CheckHost(endpoint, result.host, brackets);
  if (!status.ok()) return status;
  uint32_t port = 0;
  const bool digits =
      std::all_of(port_text.begin(), port_text.end(),
                  [](unsigned char c) { return absl::ascii_isdigit(c); });
  if (!digits || port_text.size() > 5 || !absl::SimpleAtoi(port_text, &port) ||
      port < 1 || port > 65535) {
    return BadEndpoint(endpoint, "has a bad port",
                       "a port is a number from 1 to 65535");
  }
  result.port = static_cast<uint16_t>(port);
  return result;
}

}  // namespace

std::string EtcdEndpoint::ToString() const {
  if (absl::StrContains(host, ':')) return absl::StrCat("[", host, "]:", port);
  return absl::StrCat(host, ":", port);
}

bool EtcdEndpoint::IsLoopback() const {
  if (host == "localhost") return true;
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24) == 127;
  }
  in6_addr v6;
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 &&
         IN6_IS_ADDR_LOOPBACK(&v6);
}

std::string EtcdEndpoint::ChannelTarget() const {
  if (IsIpv4(host)) return absl::StrCat("ipv4:", host, ":", port);
  // gRPC's parser takes brackets only escaped.
  if (IsIpv6(host)) return absl::StrCat("ipv6:%5B", host, "%5D:", port);
  return absl::StrCat("dns:///", host, ":", port);
}

absl::StatusOr<std::vector<EtcdEndpoint>> ParseEtcdSpec(
    absl::string_view spec) {
  absl::string_view rest = spec;
  if (!absl::ConsumePrefix(&rest, kScheme)) {
    return BadStore(absl::StrCat("store ", LogSafe(spec),
                                 " does not begin with etcd://: write "
                                 "etcd://h1:2379,h2:2379"));
  }
  if (rest.empty()) {
    return BadStore(
        "store \"etcd://\" names no endpoint: write etcd://h1:2379,h2:2379");
  }
  std::vector<EtcdEndpoint> endpoints;
  for (absl::string_view text : absl::StrSplit(rest, ',')) {
    if (endpoints.size() == kEtcdEndpointsMax) {
      return BadStore(absl::StrCat("store names more than ", kEtcdEndpointsMax,
                                   " etcd endpoints: name the members of one "
                                   "cluster, usually 3 or 5"));
    }
    absl::StatusOr<EtcdEndpoint> endpoint = ParseEndpoint(text);
    if (!endpoint.ok()) return endpoint.status();
    if (std::find(endpoints.begin(), endpoints.end(), *endpoint) !=
        endpoints.end()) {
      return BadEndpoint(text, "is named twice", "name each member once");
    }
    endpoints.push_back(*std::move(endpoint));
  }
  return endpoints;
}

}  // namespace muster
