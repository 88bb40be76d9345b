// Errors for callers: an absl::Status that also says reason and outcome.
//
// The code is chosen by what the caller should do next; the reason is for code
// that can act on it; the outcome says what is known of the call's effects
// (docs/errors.md). Nobody compares message text.
#ifndef MUSTER_NODE_TYPES_STATUS_H_
#define MUSTER_NODE_TYPES_STATUS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "muster/core/v1/core.pb.h"

namespace muster {

// What is known of a failed call's effects. Absent in a Status that Muster
// did not make.
enum class Outcome { kUnspecified, kExecuted, kNotExecuted, kUnknown };

// "EXECUTED", "NOT_EXECUTED", "UNKNOWN" or "".
absl::string_view OutcomeName(Outcome outcome);

// Builds an error:
//   return Error(absl::StatusCode::kNotFound, "NOPROC",
//                "no process is registered as 'x'").NotExecuted();
// Converts to absl::Status and StatusOr.
class Error {
 public:
  Error(absl::StatusCode code, absl::string_view reason,
        absl::string_view message);

  Error& Executed() { return SetOutcome(Outcome::kExecuted); }
  Error& NotExecuted() { return SetOutcome(Outcome::kNotExecuted); }
  Error& Unknown() { return SetOutcome(Outcome::kUnknown); }
  Error& SetOutcome(Outcome outcome);
  // ErrorInfo metadata; keys: name, pid, node, exit_reason, path, epoch.
  Error& With(absl::string_view key, absl::string_view value);
  Error& RetryAfter(absl::Duration delay);

  absl::Status status() const;
  operator absl::Status() const { return status(); }  // NOLINT
  template <typename T>
  operator absl::StatusOr<T>() const {  // NOLINT
    return status();
  }

 private:
  absl::StatusCode code_;
  std::string message_;
  core::v1::ErrorInfo info_;
  absl::Duration retry_after_;
};

// Reading them; each is empty or unspecified when the status does not say.
std::string ReasonOf(const absl::Status& status);
Outcome OutcomeOf(const absl::Status& status);
// Value of one ErrorInfo metadata key.
std::string DetailOf(const absl::Status& status, absl::string_view key);
absl::Duration RetryDelayOf(const absl::Status& status);
// The same status with this outcome.
absl::Status WithOutcome(absl::Status status, Outcome outcome);
// The same status with this ErrorInfo metadata.
absl::Status WithDetail(absl::Status status, absl::string_view key,
                        absl::string_view value);

// google.rpc.Status, as it travels in grpc-status-details-bin and in frames;
// cut to fit 4 KiB, with a note.
core::v1::RpcStatus ToRpcStatus(const absl::Status& status);
absl::Status FromRpcStatus(const core::v1::RpcStatus& rpc);

}  // namespace muster

#endif  // MUSTER_NODE_TYPES_STATUS_H_
