#include "node/types/names.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {
namespace {

using ::testing::HasSubstr;

TEST(NamesTest, AcceptsNames) {
  for (const char* name :
       {"a", "counter_a", "user:7@eu/west-1.x", "-", ".", "a.b", "/", "A9"}) {
    EXPECT_TRUE(ValidateName(name).ok()) << name;
  }
  EXPECT_TRUE(ValidateName(std::string(255, 'a')).ok());
}

TEST(NamesTest, RefusesBadNames) {
  const std::string kCases[] = {
      "",      std::string(256, 'a'),
      "..",    "a/../b",
      "a..b",  std::string("a\0b", 3),
      "a\n",   "\x7f",
      "a b",   "n\xc3\xa4me",
      "\xff",  "a~b",
      "a%2Fb", "a\\b",
      "a*",
  };
  for (const std::string& name : kCases) {
    const absl::Status status = ValidateName(name);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(ReasonOf(status), "BAD_NAME") << name;
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted) << name;
  }
}

TEST(NamesTest, MessageSaysWhatIsWrongAndWhatWouldBeRight) {
  const absl::Status status = ValidateName("a b");
  EXPECT_THAT(std::string(status.message()), HasSubstr("\" \" at byte 1"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("A-Z a-z 0-9"));
}

TEST(NamesTest, MessageIsBoundedAndPrintable) {
  const absl::Status status = ValidateName(std::string(100000, '\x1b'));
  EXPECT_LT(status.message().size(), 500u);
  for (const char c : status.message()) {
    EXPECT_TRUE(c >= ' ' && c <= '~') << static_cast<int>(c);
  }
}

TEST(NamesTest, AcceptsNodeNames) {
  for (const char* name : {"a", "node-1", "0", "-"}) {
    EXPECT_TRUE(ValidateNodeName(name).ok()) << name;
    EXPECT_TRUE(ValidateClusterName(name).ok()) << name;
  }
  EXPECT_TRUE(ValidateNodeName(std::string(63, 'a')).ok());
}

TEST(NamesTest, RefusesBadNodeNames) {
  const std::string kCases[] = {"",
                                "A",
                                "a.b",
                                "a/b",
                                "a_b",
                                "a~b",
                                " a",
                                "a\n",
                                std::string(1, '\0'),
                                std::string(64, 'a')};
  for (const std::string& name : kCases) {
    EXPECT_EQ(ReasonOf(ValidateNodeName(name)), "BAD_NAME") << name;
    EXPECT_EQ(ReasonOf(ValidateClusterName(name)), "BAD_NAME") << name;
  }
}

TEST(NamesTest, LogSafeEscapesAndCuts) {
  EXPECT_EQ(LogSafe("abc"), "\"abc\"");
  EXPECT_EQ(LogSafe("a\"\\\n\xff"), "\"a\\\"\\\\\\n\\xff\"");
  EXPECT_EQ(LogSafe("abcdef", 3), "\"abc...\" (6 bytes)");
}

}  // namespace
}  // namespace muster
