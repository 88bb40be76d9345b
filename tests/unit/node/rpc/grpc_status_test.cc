#include "node/rpc/grpc_status.h"

#include <string>

#include "gtest/gtest.h"
#include "muster/core/v1/core.pb.h"
#include "node/types/status.h"

namespace muster {
namespace {

struct Row {
  absl::StatusCode code;
  const char* reason;
  Outcome outcome;
};

// style.md's table, and guarantees section 7.
const Row kRows[] = {
    {absl::StatusCode::kInvalidArgument, "BAD_NAME", Outcome::kNotExecuted},
    {absl::StatusCode::kNotFound, "NOPROC", Outcome::kNotExecuted},
    {absl::StatusCode::kUnavailable, "RESTARTING", Outcome::kNotExecuted},
    {absl::StatusCode::kUnavailable, "DRAINING", Outcome::kNotExecuted},
    {absl::StatusCode::kUnavailable, "NODEDOWN", Outcome::kNotExecuted},
    {absl::StatusCode::kAborted, "CALLEE_EXITED", Outcome::kUnknown},
    {absl::StatusCode::kAborted, "NOCONNECTION", Outcome::kUnknown},
    {absl::StatusCode::kAborted, "FENCED", Outcome::kNotExecuted},
    {absl::StatusCode::kAborted, "CONFLICT", Outcome::kNotExecuted},
    {absl::StatusCode::kDeadlineExceeded, "TIMEOUT", Outcome::kUnknown},
    {absl::StatusCode::kCancelled, "CANCELLED", Outcome::kUnknown},
    {absl::StatusCode::kResourceExhausted, "MAILBOX_FULL",
     Outcome::kNotExecuted},
    {absl::StatusCode::kResourceExhausted, "REPLY_TOO_LARGE",
     Outcome::kExecuted},
    {absl::StatusCode::kAlreadyExists, "ALREADY_STARTED",
     Outcome::kNotExecuted},
    {absl::StatusCode::kFailedPrecondition, "NOT_STOPPED",
     Outcome::kNotExecuted},
    {absl::StatusCode::kOutOfRange, "COMPACTED", Outcome::kNotExecuted},
    {absl::StatusCode::kUnimplemented, "", Outcome::kNotExecuted},
    {absl::StatusCode::kUnauthenticated, "", Outcome::kNotExecuted},
    {absl::StatusCode::kPermissionDenied, "", Outcome::kNotExecuted},
    {absl::StatusCode::kDataLoss, "BAD_SNAPSHOT", Outcome::kNotExecuted},
    {absl::StatusCode::kInternal, "BUG", Outcome::kUnknown},
    {absl::StatusCode::kUnknown, "", Outcome::kExecuted},
};

TEST(GrpcStatusTest, EachRowSurvivesTheWire) {
  for (const Row& row : kRows) {
    const absl::Status ours = Error(row.code, row.reason, "why")
                                  .SetOutcome(row.outcome)
                                  .With("name", "counter_a")
                                  .RetryAfter(absl::Milliseconds(20));
    const grpc::Status wire = ToGrpcStatus(ours);
    EXPECT_EQ(static_cast<int>(wire.error_code()), static_cast<int>(row.code));
    EXPECT_EQ(wire.error_message(), "why");
    const absl::Status back = FromGrpcStatus(wire);
    EXPECT_EQ(back.code(), row.code);
    EXPECT_EQ(back.message(), "why");
    EXPECT_EQ(ReasonOf(back), row.reason);
    EXPECT_EQ(OutcomeOf(back), row.outcome) << row.reason;
    EXPECT_EQ(DetailOf(back, "name"), "counter_a");
    EXPECT_EQ(RetryDelayOf(back), absl::Milliseconds(20));
  }
}

TEST(GrpcStatusTest, OkHasNoDetails) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).error_details().empty());
  EXPECT_TRUE(FromGrpcStatus(grpc::Status::OK).ok());
}

TEST(GrpcStatusTest, BareUnavailableIsABrokenConnection) {
  const absl::Status status = FromGrpcStatus(
      grpc::Status(grpc::StatusCode::UNAVAILABLE, "Socket closed"));
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(status), "NOCONNECTION");
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
}

// A node that refuses a caller does so before anything runs, from where gRPC
// carries no details.
TEST(GrpcStatusTest, BareRefusalsAreNotExecuted) {
  for (const grpc::StatusCode code : {grpc::StatusCode::UNAUTHENTICATED,
                                      grpc::StatusCode::PERMISSION_DENIED}) {
    const absl::Status status = FromGrpcStatus(grpc::Status(code, "no"));
    EXPECT_EQ(ReasonOf(status), "DENIED");
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  }
}

TEST(GrpcStatusTest, OtherBareErrorsHaveOutcomeUnknown) {
  for (int code = 1; code <= 16; ++code) {
    if (code == static_cast<int>(grpc::StatusCode::UNAUTHENTICATED) ||
        code == static_cast<int>(grpc::StatusCode::PERMISSION_DENIED)) {
      continue;
    }
    const absl::Status status = FromGrpcStatus(
        grpc::Status(static_cast<grpc::StatusCode>(code), "bare"));
    EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown) << status;
    EXPECT_NE(status.code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(ReasonOf(FromGrpcStatus(grpc::Status(
                grpc::StatusCode::DEADLINE_EXCEEDED, "Deadline Exceeded"))),
            "TIMEOUT");
}

TEST(GrpcStatusTest, DetailsThatContradictTheCodeAreNotBelieved) {
  core::v1::RpcStatus rpc = ToRpcStatus(
      Error(absl::StatusCode::kNotFound, "NOPROC", "x").NotExecuted());
  const absl::Status status = FromGrpcStatus(grpc::Status(
      grpc::StatusCode::INTERNAL, "broken", rpc.SerializeAsString()));
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
  EXPECT_EQ(OutcomeOf(FromGrpcStatus(grpc::Status(grpc::StatusCode::INTERNAL,
                                                  "broken", "\xff\xff"))),
            Outcome::kUnknown);
}

TEST(GrpcStatusTest, LongErrorsAreCutToFitTheTrailers) {
  for (const std::string& text :
       {std::string(100'000, 'x'), std::string(100'000, '\n'),
        // U+00E9, to be cut between characters.
        [] {
          std::string s;
          for (int i = 0; i < 50'000; ++i) s += "\xc3\xa9";
          return s;
        }()}) {
    const grpc::Status wire =
        ToGrpcStatus(Error(absl::StatusCode::kAborted, "CALLEE_EXITED", text)
                         .Unknown()
                         .With("exit_reason", text));
    EXPECT_LE(wire.error_details().size(), kDetailsBytesMax);
    EXPECT_LE(wire.error_message().size(), kGrpcMessageBytesMax);
    EXPECT_FALSE(wire.error_message().empty());
    EXPECT_EQ(ReasonOf(FromGrpcStatus(wire)), "CALLEE_EXITED");
    core::v1::RpcStatus utf8;
    EXPECT_TRUE(utf8.ParseFromString(wire.error_details()));
  }
}

}  // namespace
}  // namespace muster
