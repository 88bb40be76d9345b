#include "cluster/cli/words.h"

#include <string>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace muster {
namespace {

TEST(WordsTest, DurationsNeedANumberAndAUnit) {
  EXPECT_EQ(*ParseDuration("500ms"), absl::Milliseconds(500));
  EXPECT_EQ(*ParseDuration("5s"), absl::Seconds(5));
  EXPECT_EQ(*ParseDuration("2m"), absl::Minutes(2));
  EXPECT_EQ(*ParseDuration("24h"), absl::Hours(24));
  for (const char* wrong : {"",
                            "5",
                            "s",
                            "-1",
                            "-1s",
                            "+1s",
                            "1.5s",
                            "1e99",
                            "1e3s",
                            "abc",
                            "0s",
                            "25h",
                            "5 s",
                            " 5s",
                            "5s ",
                            "5S",
                            "99999999999999999999s",
                            "5sec",
                            "inf",
                            "0x5s"}) {
    EXPECT_EQ(ParseDuration(wrong).status().code(),
              absl::StatusCode::kInvalidArgument)
        << wrong;
  }
}

TEST(WordsTest, DurationTextIsReadBack) {
  for (const char* text : {"1ms", "1500ms", "5s", "90s", "2m", "1h", "24h"}) {
    EXPECT_EQ(DurationText(*ParseDuration(text)), text);
  }
  EXPECT_EQ(DurationText(absl::Seconds(60)), "1m");
  EXPECT_EQ(DurationText(absl::ZeroDuration()), "0s");
}

TEST(WordsTest, TheNearestWordIsSuggested) {
  EXPECT_EQ(Nearest("lsit", {"list", "whereis"}), "list");
  EXPECT_EQ(Nearest("statsu", {"start", "status"}), "status");
  EXPECT_EQ(Nearest("LIST", {"list"}), "list");
  EXPECT_EQ(Nearest("quux", {"list", "whereis"}), "");
  EXPECT_EQ(Nearest("Get", {"Increment", "GetValue"}), "GetValue");
  EXPECT_EQ(Nearest("", {"a"}), "");
  EXPECT_EQ(DidYouMean("lsit", {"list"}), "; did you mean \"list\"?");
  EXPECT_EQ(DidYouMean("quux", {"list"}), "");
}

}  // namespace
}  // namespace muster
