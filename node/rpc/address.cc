#include "node/rpc/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::string_view kRight =
    "would be right: 127.0.0.1:7001 or [::1]:7001";

absl::Status BadAddress(absl::string_view text, absl::string_view wrong) {
  return Error(
             absl::StatusCode::kInvalidArgument, "BAD_ADDRESS",
             absl::StrCat("address ", LogSafe(text), " ", wrong, "; ", kRight))
      .NotExecuted();
}

absl::Status NotLoopback(absl::string_view text) {
  return Error(absl::StatusCode::kInvalidArgument, "NOT_LOOPBACK",
               absl::StrCat("address ", LogSafe(text),
                            " is not on loopback, such as 127.0.0.1:7001 or "
                            "[::1]:7001: plaintext is allowed only there; "
                            "elsewhere give --tls-dir DIR"))
      .NotExecuted();
}

// Digits only, at most 65535.
bool ParsePort(absl::string_view text, uint16_t* port) {
  if (text.empty() || text.size() > 5) return false;
  uint32_t value = 0;
  for (const char c : text) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  if (value > 65535) return false;
  *port = static_cast<uint16_t>(value);
  return true;
}

// Splits at the colon before the port; false without one.
bool SplitHostPort(absl::string_view text, absl::string_view* host,
                   absl::string_view* port, bool* brackets) {
  *brackets = absl::StartsWith(text, "[");
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return false;
  *host = text.substr(0, colon);
  *port = text.substr(colon + 1);
  if (*brackets) {
    if (!absl::EndsWith(*host, "]")) return false;
    *host = host->substr(1, host->size() - 2);
    return true;
  }
  // More colons without brackets: an IPv6 address whose end nobody knows.
  return host->find(':') == absl::string_view::npos;
}

// RFC 1123, as far as it matters here.
bool IsHostName(absl::string_view host) {
  constexpr size_t kHostBytesMax = 253;
  if (host.empty() || host.size() > kHostBytesMax) return false;
  bool letter = false;
  for (const char c : host) {
    const auto u = static_cast<unsigned char>(c);
    if (!absl::ascii_isalnum(u) && c != '.' && c != '-') return false;
    letter = letter || absl::ascii_isalpha(u);
  }
  // Otherwise it is a number somebody mistyped.
  return letter && absl::ascii_isalnum(static_cast<unsigned char>(host[0]));
}

}  // namespace

std::string NodeAddress::ToString() const {
  return v6 ? absl::StrCat("[", host, "]:", port)
            : absl::StrCat(host, ":", port);
}

std::string NodeAddress::ChannelTarget() const {
  const absl::string_view scheme = is_name ? "dns:" : v6 ? "ipv6:" : "ipv4:";
  return absl::StrCat(scheme, ToString());
}

bool NodeAddress::IsWildcard() const {
  in_addr v4;
  in6_addr parsed;
  return (inet_pton(AF_INET, host.c_str(), &v4) == 1 &&
          v4.s_addr == INADDR_ANY) ||
         (inet_pton(AF_INET6, host.c_str(), &parsed) == 1 &&
          IN6_IS_ADDR_UNSPECIFIED(&parsed));
}

absl::StatusOr<NodeAddress> ParseNodeAddress(absl::string_view text,
                                             HostNames names) {
  absl::string_view host;
  absl::string_view port;
  bool brackets = false;
  if (!SplitHostPort(text, &host, &port, &brackets)) {
    return BadAddress(text, "is not host:port");
  }
  NodeAddress address;
  if (!ParsePort(port, &address.port)) {
    return BadAddress(text, "has no port from 0 to 65535");
  }
  address.host = host == "localhost" ? "127.0.0.1" : std::string(host);
  // What inet_pton would not see.
  if (address.host.find('\0') != std::string::npos) {
    return BadAddress(text, "has a NUL byte");
  }
  in_addr v4;
  in6_addr v6;
  if (!brackets && inet_pton(AF_INET, address.host.c_str(), &v4) == 1) {
    return address;
  }
  if (brackets && inet_pton(AF_INET6, address.host.c_str(), &v6) == 1) {
    address.v6 = true;
    return address;
  }
  if (!brackets && names == HostNames::kAllowed && IsHostName(host)) {
    address.is_name = true;
    return address;
  }
  return BadAddress(text, names == HostNames::kAllowed
                              ? "has a host that is neither a name nor numeric"
                              : "has a host that is neither localhost nor "
                                "numeric");
}

absl::StatusOr<LoopbackAddress> ParseLoopbackAddress(absl::string_view text) {
  absl::StatusOr<NodeAddress> address =
      ParseNodeAddress(text, HostNames::kRefused);
  if (!address.ok()) {
    absl::string_view host;
    absl::string_view port;
    bool brackets = false;
    const bool anywhere = SplitHostPort(text, &host, &port, &brackets) &&
                          (host.empty() || host == "*") && !brackets;
    uint16_t number = 0;
    if (anywhere && ParsePort(port, &number)) return NotLoopback(text);
    return address.status();
  }
  in_addr v4;
  in6_addr v6;
  const bool loopback =
      address->v6 ? inet_pton(AF_INET6, address->host.c_str(), &v6) == 1 &&
                        IN6_IS_ADDR_LOOPBACK(&v6)
                  : inet_pton(AF_INET, address->host.c_str(), &v4) == 1 &&
                        (ntohl(v4.s_addr) >> 24) == 127;
  if (!loopback) return NotLoopback(text);
  return address;
}

}  // namespace muster
