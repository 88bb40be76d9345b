#include "node/rpc/grpc_status.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "muster/core/v1/core.pb.h"
#include "node/types/status.h"

namespace muster {
namespace {

// gRPC percent-encodes what is not printable ASCII, and '%'.
size_t EncodedSize(char c) {
  return c >= 0x20 && c <= 0x7e && c != '%' ? 1 : 3;
}

std::string CutMessage(absl::string_view message) {
  constexpr absl::string_view kNote = "... (cut)";
  size_t encoded = 0;
  size_t fits = 0;  // Bytes that leave room for the note.
  for (size_t i = 0; i < message.size(); ++i) {
    encoded += EncodedSize(message[i]);
    if (encoded > kGrpcMessageBytesMax) {
      // Not in the middle of a UTF-8 sequence.
      while (fits > 0 && (message[fits] & 0xc0) == 0x80) --fits;
      return absl::StrCat(message.substr(0, fits), kNote);
    }
    if (encoded + kNote.size() <= kGrpcMessageBytesMax) fits = i + 1;
  }
  return std::string(message);
}

// google.rpc.Code, grpc::StatusCode and absl::StatusCode are the same numbers.
grpc::StatusCode ToGrpcCode(absl::StatusCode code) {
  return static_cast<grpc::StatusCode>(code);
}

// A server of somebody else's may send any number; absl knows 0 to 16.
absl::StatusCode FromGrpcCode(grpc::StatusCode code) {
  const int value = static_cast<int>(code);
  return value >= 0 && value <= 16 ? static_cast<absl::StatusCode>(value)
                                   : absl::StatusCode::kUnknown;
}

Error FromBare(absl::StatusCode code, const std::string& message) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
      return Error(absl::StatusCode::kAborted, "NOCONNECTION",
                   absl::StrCat("the connection broke: ", message));
    case absl::StatusCode::kDeadlineExceeded:
      // gRPC's own words are the name of the code.
      return Error(code, "TIMEOUT", "no answer within the deadline");
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      // A node that lets nobody in says so before anything runs, from a place
      // where gRPC carries no details (node/rpc/authorizer.h).
      return Error(code, "DENIED", message).NotExecuted();
    default:
      return Error(code, "", message);
  }
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  std::string details = ToRpcStatus(status).SerializeAsString();
  // ToRpcStatus keeps to the limit; should it ever not, an error without
  // details beats one that gRPC replaces.
  if (details.size() > kDetailsBytesMax) details.clear();
  return grpc::Status(ToGrpcCode(status.code()), CutMessage(status.message()),
                      details);
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const absl::StatusCode code = FromGrpcCode(status.error_code());
  core::v1::RpcStatus rpc;
  if (!status.error_details().empty() &&
      rpc.ParseFromString(status.error_details()) &&
      rpc.code() == static_cast<int>(code)) {
    absl::Status ours = FromRpcStatus(rpc);
    if (OutcomeOf(ours) != Outcome::kUnspecified) return ours;
  }
  const absl::Status bare = FromBare(code, status.error_message());
  return OutcomeOf(bare) == Outcome::kUnspecified
             ? WithOutcome(bare, Outcome::kUnknown)
             : bare;
}

}  // namespace muster
