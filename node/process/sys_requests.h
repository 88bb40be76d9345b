// System requests that carry C++ values, and the path of all of them.
//
// Users ask through node/gen_server/sys.h. What is in
// proto/muster/sys/v1/sys.proto works from anywhere; what is here only between
// processes of one node.
#ifndef MUSTER_NODE_PROCESS_SYS_REQUESTS_H_
#define MUSTER_NODE_PROCESS_SYS_REQUESTS_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "muster/sys/v1/sys.pb.h"
#include "node/process/process_body.h"
#include "node/types/payload.h"

namespace muster {

inline constexpr absl::string_view kSysService = "muster.sys.v1.Sys";
// System requests that may wait in one mailbox, beside its other messages.
inline constexpr size_t kSysRequestsMax = 64;
// And their bytes, beside those of the other messages.
inline constexpr size_t kSysRequestBytesMax = size_t{16} << 20;
// Most events that a log keeps.
inline constexpr size_t kSysLogMax = 1000;

// Called with each event of a process and the name (or pid) of the process, on
// its worker; must not block. False: removed. One that throws is removed, too
// (otp Y7).
using SysHook =
    std::function<bool(const sys::v1::Event& event, absl::string_view server)>;
// Called with each event as a line.
using SysTraceSink = std::function<void(absl::string_view line)>;

namespace internal {

// GetState: answers what Snapshot gave, as it is.
struct GetStateHere {};
// ReplaceState: Restore gets what `change` makes of the Snapshot; answers the
// new Snapshot, as it is.
struct ReplaceStateHere {
  std::function<absl::StatusOr<Payload>(Payload)> change;
};
// SwitchTrace: on, to `sink`.
struct TraceHere {
  SysTraceSink sink;
};
// InstallHook: after the others, unless there is one of that id.
struct InstallHookHere {
  std::string id;
  SysHook hook;
};
// ChangeCode: goes on with the server that `factory` makes, once its CodeChange
// has taken the state. Its service must be the old one's.
struct ChangeCodeHere {
  std::function<std::unique_ptr<ProcessBody>()> factory;
  std::string old_version;
  Payload extra;
};

}  // namespace internal
}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_SYS_REQUESTS_H_
