// OutsideCall: one call, cast or look-up of a gRPC client, until its answer.
//
// Shared by the generic service and the process service. What comes from
// outside is checked here, and nowhere behind.
#ifndef MUSTER_NODE_RPC_OUTSIDE_CALL_H_
#define MUSTER_NODE_RPC_OUTSIDE_CALL_H_

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "grpc/support/time.h"
#include "grpcpp/support/string_ref.h"
#include "node/base/mutex.h"
#include "node/process/caller.h"
#include "node/process/message.h"
#include "node/rpc/backend.h"
#include "node/types/pid.h"

namespace muster {

// The call's time for a client that names no deadline, and the most that any
// client gets (guarantees section 10).
inline constexpr absl::Duration kDefaultTimeout = absl::Seconds(5);
inline constexpr absl::Duration kTimeoutMax = absl::Minutes(5);
// ASCII metadata that travels to the handler, keys and values together.
inline constexpr size_t kMetadataBytesMax = 8192;
// Longest "/package.Service/Method".
inline constexpr size_t kMethodPathBytesMax = 512;

// What the metadata of a request says.
struct ClientMetadata {
  std::optional<std::string> name;  // muster-name
  std::optional<std::string> pid;   // muster-pid
  // muster-min-epoch: the client has seen this one of the name (guarantees G5).
  Epoch min_epoch;
  std::string traceparent;
  std::string tracestate;
  // The client's own, in order of keys.
  std::vector<std::pair<std::string, std::string>> metadata;

  Meta ToMeta() &&;
};

// Leaves out what is gRPC's or Muster's: keys that start with "grpc-",
// "muster-" or ":", user-agent, te, content-type, and binary values (-bin).
// INVALID_ARGUMENT BAD_EPOCH: muster-min-epoch is none; BAD_METADATA: over
// kMetadataBytesMax, a value that is not printable ASCII, or a key of Muster's
// given twice; NOT_EXECUTED.
absl::StatusOr<ClientMetadata> ReadClientMetadata(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata);

// What is left until `deadline`, as gRPC read it from the wire: kDefaultTimeout
// if there is none, never more than kTimeoutMax. DEADLINE_EXCEEDED TIMEOUT,
// NOT_EXECUTED: it has passed.
absl::StatusOr<absl::Duration> TimeLeft(gpr_timespec deadline);

// "/pkg.Service/Method", with the first slash added if it is missing.
// INVALID_ARGUMENT BAD_METHOD otherwise, NOT_EXECUTED.
absl::StatusOr<std::string> NormalizeMethodPath(absl::string_view path);

// RESOURCE_EXHAUSTED REPLY_TOO_LARGE, EXECUTED.
absl::Status ReplyTooLarge(size_t bytes, size_t bytes_max);
// RESOURCE_EXHAUSTED REQUEST_TOO_LARGE, NOT_EXECUTED.
absl::Status RequestTooLarge(size_t bytes, size_t bytes_max);

// Owns the claim on the answer to one gRPC request, for the reactor that
// serves it. LIFETIME: until its `done` has been called, or for ever if Start
// never was. THREADS: Start once; Cancel from any thread, any number of times,
// also before Start.
class OutsideCall {
 public:
  OutsideCall() = default;
  OutsideCall(const OutsideCall&) = delete;
  OutsideCall& operator=(const OutsideCall&) = delete;

  // Runs `start`, which hands the slot to whoever completes it. `done` comes
  // exactly once, on any thread, possibly inside this call:
  //   UNAVAILABLE STARTING            there is no backend; `start` did not run
  //   DEADLINE_EXCEEDED TIMEOUT       after `timeout`, on the node's clock
  //   CANCELLED                       after Cancel()
  //   ABORTED CALLEE_EXITED, UNKNOWN  everybody dropped the slot
  //   otherwise                       what the slot was completed with
  void Start(
      BackendCell* cell, absl::Duration timeout,
      absl::AnyInvocable<void(CallResult)> done,
      absl::FunctionRef<void(const RpcBackend&, std::shared_ptr<CallSlot>)>
          start) ABSL_LOCKS_EXCLUDED(mu_);
  // The client has gone.
  void Cancel() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  // Weak: a slot that everybody else dropped must complete the call.
  std::weak_ptr<CallSlot> slot_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_NODE_RPC_OUTSIDE_CALL_H_
