#include "node/types/utf8.h"

#include <string>

#include "gtest/gtest.h"

namespace muster {
namespace {

constexpr char kBad[] = "\xEF\xBF\xBD";

TEST(ToValidUtf8Test, KeepsWellFormedText) {
  const std::string text = "a\n\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";
  EXPECT_EQ(ToValidUtf8(text), text);
  EXPECT_EQ(ToValidUtf8(""), "");
}

TEST(ToValidUtf8Test, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(ToValidUtf8("a\xFFz"), std::string("a") + kBad + "z");
  EXPECT_EQ(ToValidUtf8("\xC0\x80"), std::string(kBad) + kBad);  // Overlong.
  EXPECT_EQ(ToValidUtf8("\xED\xA0\x80"),
            std::string(kBad) + kBad + kBad);                    // A surrogate.
  EXPECT_EQ(ToValidUtf8("\xE2\x82"), std::string(kBad) + kBad);  // Cut short.
  EXPECT_EQ(ToValidUtf8("\xF4\x90\x80\x80"),
            std::string(kBad) + kBad + kBad + kBad);  // Above U+10FFFF.
}

TEST(CutUtf8Test, NeverEndsInsideACharacter) {
  const std::string text =
      "ab\xE2\x82\xAC"
      "c";
  EXPECT_EQ(CutUtf8(text, 2), "ab");
  EXPECT_EQ(CutUtf8(text, 3), "ab");
  EXPECT_EQ(CutUtf8(text, 4), "ab");
  EXPECT_EQ(CutUtf8(text, 5), "ab\xE2\x82\xAC");
  EXPECT_EQ(CutUtf8(text, 6), text);
  EXPECT_EQ(CutUtf8(text, 0), "");
}

TEST(CutUtf8WithNoteTest, SaysHowLongItWas) {
  EXPECT_EQ(CutUtf8WithNote("short", 64), "short");
  const std::string cut = CutUtf8WithNote(std::string(100, 'x'), 64);
  EXPECT_EQ(cut.size(), 64u);
  EXPECT_NE(cut.find("(cut, 100 bytes)"), std::string::npos);
}

}  // namespace
}  // namespace muster
