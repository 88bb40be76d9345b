// OTP_CASE: marks a test as the port of a case from OTP's or Elixir's suites.
#ifndef MUSTER_TESTS_CONFORMANCE_OTP_OTP_CASE_H_
#define MUSTER_TESTS_CONFORMANCE_OTP_OTP_CASE_H_

#include "gtest/gtest.h"

// First statement of a ported test: the rows it ports and the rules they
// check, separated by spaces. The suite's report (report.py) reads both from
// the test's XML; coverage_test.py reads the calls in the sources.
//   OTP_CASE("GS.10", "G24 G25");
// The first string is empty in a test of rules that no case of a suite has.
#define OTP_CASE(rows, rules)                            \
  do {                                                   \
    ::testing::Test::RecordProperty("otp_rows", rows);   \
    ::testing::Test::RecordProperty("otp_rules", rules); \
  } while (false)

#endif  // MUSTER_TESTS_CONFORMANCE_OTP_OTP_CASE_H_
