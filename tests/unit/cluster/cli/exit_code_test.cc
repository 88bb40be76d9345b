#include "cluster/cli/exit_code.h"

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {
namespace {

TEST(ExitCodeTest, EachCodeHasItsExitCode) {
  const struct {
    absl::StatusCode code;
    int exit_code;
  } kRows[] = {
      {absl::StatusCode::kOk, 0},
      {absl::StatusCode::kCancelled, 1},
      {absl::StatusCode::kUnknown, 1},
      {absl::StatusCode::kInvalidArgument, 2},
      {absl::StatusCode::kDeadlineExceeded, 6},
      {absl::StatusCode::kNotFound, 3},
      {absl::StatusCode::kAlreadyExists, 4},
      {absl::StatusCode::kPermissionDenied, 7},
      {absl::StatusCode::kResourceExhausted, 4},
      {absl::StatusCode::kFailedPrecondition, 4},
      {absl::StatusCode::kAborted, 4},
      {absl::StatusCode::kOutOfRange, 2},
      {absl::StatusCode::kUnimplemented, 2},
      {absl::StatusCode::kInternal, 1},
      {absl::StatusCode::kUnavailable, 5},
      {absl::StatusCode::kDataLoss, 1},
      {absl::StatusCode::kUnauthenticated, 7},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(ExitCodeOf(absl::Status(row.code, "x")), row.exit_code)
        << absl::StatusCodeToString(row.code);
    if (row.code == absl::StatusCode::kOk) continue;
    EXPECT_EQ(ExitCodeOf(Error(row.code, "R", "x").NotExecuted()),
              row.exit_code);
    EXPECT_EQ(ExitCodeOf(Error(row.code, "R", "x").Executed()), row.exit_code);
    // An unknown outcome wins over any other.
    EXPECT_EQ(ExitCodeOf(Error(row.code, "R", "x").Unknown()), 11);
  }
}

TEST(ExitCodeTest, TheNumbersAreThoseOfTheManual) {
  EXPECT_EQ(kExitNo, 8);
  EXPECT_EQ(kExitPartial, 9);
  EXPECT_EQ(kExitNeedsYes, 10);
  EXPECT_EQ(kExitInterrupted, 130);
}

TEST(ExitCodeTest, ErrorsAreOneLineAndPerhapsACure) {
  EXPECT_EQ(ErrorText(absl::InternalError("it broke")), "muster: it broke\n");
  EXPECT_EQ(ErrorText(absl::InternalError("")), "muster: INTERNAL\n");
  EXPECT_EQ(ErrorText(Error(absl::StatusCode::kUnavailable, "RESTARTING",
                            "x is being restarted")),
            "muster: x is being restarted\n"
            "        `muster wait NAME --for running` waits for it\n");
  EXPECT_EQ(ErrorText(Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                            "no reply in 5s")
                          .Unknown()),
            "muster: no reply in 5s\n"
            "        it may have run all the same: read the state before you "
            "repeat it\n");
  EXPECT_EQ(ErrorText(absl::InternalError("a\x1b[31mb\xff")),
            "muster: a\\x1b[31mb\xEF\xBF\xBD\n");
}

TEST(ExitCodeTest, ErrorsAreJsonWhenAsked) {
  EXPECT_EQ(ErrorJson(Error(absl::StatusCode::kNotFound, "NOPROC", "no \"x\"")
                          .NotExecuted()),
            R"({"code":"NOT_FOUND","reason":"NOPROC","outcome":"NOT_EXECUTED",)"
            R"("message":"no \"x\""})"
            "\n");
  EXPECT_EQ(ErrorJson(absl::InternalError("\xff")),
            "{\"code\":\"INTERNAL\",\"reason\":\"\",\"outcome\":\"\","
            "\"message\":\"\xEF\xBF\xBD\"}\n");
}

}  // namespace
}  // namespace muster
