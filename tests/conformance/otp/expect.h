// IsError: asserts all that a caller can act on in an error.
#ifndef MUSTER_TESTS_CONFORMANCE_OTP_EXPECT_H_
#define MUSTER_TESTS_CONFORMANCE_OTP_EXPECT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {

// EXPECT_TRUE(IsError(status, absl::StatusCode::kNotFound, "NOPROC",
//                     Outcome::kNotExecuted));
inline ::testing::AssertionResult IsError(const absl::Status& status,
                                          absl::StatusCode code,
                                          absl::string_view reason,
                                          Outcome outcome) {
  if (status.code() == code && ReasonOf(status) == reason &&
      OutcomeOf(status) == outcome) {
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure()
         << "wanted " << absl::StatusCodeToString(code) << " "
         << std::string(reason) << " " << std::string(OutcomeName(outcome))
         << ", got " << ReasonOf(status) << " "
         << std::string(OutcomeName(OutcomeOf(status))) << ": " << status;
}

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_OTP_EXPECT_H_
