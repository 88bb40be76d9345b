#include "node/process/process_body.h"

#include "node/types/status.h"

namespace muster {

absl::StatusOr<Payload> ProcessBody::Snapshot(Context&) {
  return Error(absl::StatusCode::kUnimplemented, "NO_SNAPSHOT",
               "this server shows no state: it would override Snapshot")
      .NotExecuted();
}

absl::Status ProcessBody::Restore(Payload, Context&) {
  return Error(absl::StatusCode::kUnimplemented, "NO_RESTORE",
               "this server takes no state: it would override Restore")
      .NotExecuted();
}

void ProcessBody::FormatStatus(ServerStatus&) {}

absl::Status ProcessBody::CodeChange(absl::string_view, Payload, Payload,
                                     Context&) {
  return Error(absl::StatusCode::kUnimplemented, "NO_CODE_CHANGE",
               "the new server takes no state of an old one: it would override "
               "CodeChange")
      .NotExecuted();
}

}  // namespace muster
