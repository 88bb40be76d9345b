#include "node/types/status.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace muster {
namespace {

using ::testing::HasSubstr;

TEST(ErrorTest, CarriesReasonOutcomeAndDetails) {
  const absl::Status status =
      Error(absl::StatusCode::kNotFound, "NOPROC", "nobody is 'x'")
          .NotExecuted()
          .With("name", "x")
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "nobody is 'x'");
  EXPECT_EQ(ReasonOf(status), "NOPROC");
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  EXPECT_EQ(DetailOf(status, "name"), "x");
  EXPECT_EQ(DetailOf(status, "pid"), "");
  EXPECT_EQ(RetryDelayOf(status), absl::ZeroDuration());
}

TEST(ErrorTest, DomainIsMusterAndUrlsAreGoogles) {
  const absl::Status status =
      Error(absl::StatusCode::kUnavailable, "FROZEN", "")
          .RetryAfter(absl::Milliseconds(100));
  core::v1::ErrorInfo info;
  ASSERT_TRUE(info.ParseFromString(std::string(
      *status.GetPayload("type.googleapis.com/google.rpc.ErrorInfo"))));
  EXPECT_EQ(info.domain(), "muster");
  EXPECT_EQ(info.reason(), "FROZEN");
  EXPECT_TRUE(status.GetPayload("type.googleapis.com/google.rpc.RetryInfo")
                  .has_value());
  EXPECT_EQ(RetryDelayOf(status), absl::Milliseconds(100));
}

TEST(ErrorTest, ZeroRetryDelayMeansNone) {
  const absl::Status status =
      Error(absl::StatusCode::kUnavailable, "FROZEN", "")
          .RetryAfter(absl::ZeroDuration());
  EXPECT_FALSE(status.GetPayload("type.googleapis.com/google.rpc.RetryInfo")
                   .has_value());
}

TEST(ErrorTest, TheLastOutcomeCounts) {
  Error error(absl::StatusCode::kAborted, "X", "");
  EXPECT_EQ(OutcomeOf(error.status()), Outcome::kUnspecified);
  EXPECT_EQ(OutcomeOf(error.Unknown()), Outcome::kUnknown);
  EXPECT_EQ(OutcomeOf(error.Executed()), Outcome::kExecuted);
  EXPECT_EQ(OutcomeOf(error.SetOutcome(Outcome::kUnspecified)),
            Outcome::kUnspecified);
}

TEST(ErrorTest, EchoedBytesBecomeUtf8) {
  const absl::Status status =
      Error(absl::StatusCode::kInvalidArgument, "BAD_NAME", "bad \xFF name")
          .With("name", "\xFF");
  EXPECT_EQ(status.message(), "bad \xEF\xBF\xBD name");
  EXPECT_EQ(DetailOf(status, "name"), "\xEF\xBF\xBD");
}

TEST(ErrorTest, ConvertsToStatusOr) {
  const absl::StatusOr<int> result =
      Error(absl::StatusCode::kAborted, "X", "why");
  EXPECT_EQ(ReasonOf(result.status()), "X");
}

TEST(WithOutcomeTest, KeepsTheRest) {
  const absl::Status status = WithOutcome(
      Error(absl::StatusCode::kAborted, "X", "why").With("pid", "p").Unknown(),
      Outcome::kExecuted);
  EXPECT_EQ(OutcomeOf(status), Outcome::kExecuted);
  EXPECT_EQ(ReasonOf(status), "X");
  EXPECT_EQ(DetailOf(status, "pid"), "p");
}

TEST(WithOutcomeTest, MarksStatusesOfOthersAndLeavesOkAlone) {
  EXPECT_EQ(
      OutcomeOf(WithOutcome(absl::NotFoundError("x"), Outcome::kNotExecuted)),
      Outcome::kNotExecuted);
  EXPECT_TRUE(WithOutcome(absl::OkStatus(), Outcome::kUnknown).ok());
}

TEST(ReadingTest, StatusesOfOthersSayNothing) {
  absl::Status status = absl::UnavailableError("x");
  EXPECT_EQ(ReasonOf(status), "");
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnspecified);
  status.SetPayload("type.googleapis.com/google.rpc.ErrorInfo",
                    absl::Cord("\xFF\xFF garbage"));
  EXPECT_EQ(ReasonOf(status), "");
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnspecified);
}

TEST(RpcStatusTest, ComesBackWhole) {
  absl::Status status = Error(absl::StatusCode::kAborted, "FENCED", "moved")
                            .With("epoch", "e")
                            .RetryAfter(absl::Seconds(1))
                            .NotExecuted();
  status.SetPayload("example.com/own", absl::Cord("own"));
  EXPECT_EQ(FromRpcStatus(ToRpcStatus(status)), status);
  EXPECT_TRUE(FromRpcStatus(ToRpcStatus(absl::OkStatus())).ok());
}

TEST(RpcStatusTest, OurDetailsComeFirst) {
  absl::Status status(absl::StatusCode::kAborted, "x");
  status.SetPayload("a.example/own", absl::Cord("own"));
  status = WithOutcome(status, Outcome::kExecuted);
  const core::v1::RpcStatus rpc = ToRpcStatus(status);
  ASSERT_EQ(rpc.details_size(), 2);
  EXPECT_EQ(rpc.details(0).type_url(),
            "type.googleapis.com/google.rpc.ErrorInfo");
  EXPECT_EQ(rpc.details(1).type_url(), "a.example/own");
}

TEST(RpcStatusTest, FitsIn4KibAndSaysWhatWasCut) {
  Error error(absl::StatusCode::kAborted, "CALLEE_EXITED",
              std::string(9000, 'm'));
  error.Unknown().RetryAfter(absl::Seconds(3));
  error.With("exit_reason", std::string(9000, 'e'));
  for (int i = 0; i < 100; ++i) {
    error.With(absl::StrCat("key", i), std::string(100, 'v'));
  }
  const std::string big(5000, 'b');
  absl::Status status = error.status();
  status.SetPayload("a.example/small", absl::Cord("small"));
  status.SetPayload("b.example/big", absl::Cord(absl::string_view(big)));

  const core::v1::RpcStatus rpc = ToRpcStatus(status);
  EXPECT_LE(rpc.ByteSizeLong(), 4096u);
  EXPECT_THAT(rpc.message(), HasSubstr("(cut, 9000 bytes)"));
  EXPECT_THAT(rpc.message(), HasSubstr("details left out"));
  const absl::Status back = FromRpcStatus(rpc);
  EXPECT_EQ(ReasonOf(back), "CALLEE_EXITED");
  EXPECT_EQ(OutcomeOf(back), Outcome::kUnknown);
  EXPECT_EQ(RetryDelayOf(back), absl::Seconds(3));
  EXPECT_THAT(DetailOf(back, "exit_reason"), HasSubstr("(cut, 9000 bytes)"));
  EXPECT_EQ(back.GetPayload("a.example/small"), absl::Cord("small"));
  EXPECT_FALSE(back.GetPayload("b.example/big").has_value());
}

TEST(RpcStatusTest, AlwaysFits) {
  for (const size_t size : {100u, 1500u, 1600u, 4000u, 4090u, 4100u, 70000u}) {
    Error error(absl::StatusCode::kAborted, std::string(size, 'r'),
                std::string(size, '\xFF'));
    error.Unknown().With(std::string(size, 'k'), std::string(size, 'v'));
    absl::Status status = error.status();
    status.SetPayload(std::string(size, 'u'), absl::Cord("x"));
    const core::v1::RpcStatus rpc = ToRpcStatus(status);
    EXPECT_LE(rpc.ByteSizeLong(), 4096u) << size;
    EXPECT_EQ(OutcomeOf(FromRpcStatus(rpc)), Outcome::kUnknown) << size;
  }
}

TEST(RpcStatusTest, UnknownCodesBecomeInternal) {
  core::v1::RpcStatus rpc;
  rpc.set_code(99);
  rpc.set_message("odd");
  const absl::Status status = FromRpcStatus(rpc);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("99"));
}

}  // namespace
}  // namespace muster
