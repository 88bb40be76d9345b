#include "client/sent.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace muster {
namespace {

// A connection's address has no authority, empty or not.
constexpr absl::string_view kV4 = "ipv4:///";
// A connection's address is numeric.
constexpr absl::string_view kName = "dns:";

}  // namespace

std::string DialTarget(const NodeAddress& address) {
  if (address.is_name || address.v6) return address.ChannelTarget();
  return absl::StrCat(kV4, address.ToString());
}

bool NeverSent(const grpc::ClientContext& context, absl::string_view target) {
  return (absl::StartsWith(target, kV4) || absl::StartsWith(target, kName)) &&
         context.peer() == target;
}

}  // namespace muster
