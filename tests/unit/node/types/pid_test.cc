#include "node/types/pid.h"

#include <string>

#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr char kText[] = "a-1~0000000000000001.00000000000000ff~42";

TEST(EpochTest, TextHasFixedWidthSoThatStringOrderIsEpochOrder) {
  EXPECT_EQ((Epoch{1, 255}.ToString()), "0000000000000001.00000000000000ff");
  const Epoch epochs[] = {{0, 0}, {0, 1},          {1, 9},         {1, 10},
                          {2, 0}, {2, UINT64_MAX}, {UINT64_MAX, 0}};
  for (size_t i = 1; i < std::size(epochs); ++i) {
    EXPECT_LT(epochs[i - 1], epochs[i]);
    EXPECT_LT(epochs[i - 1].ToString(), epochs[i].ToString());
  }
}

TEST(EpochTest, TextAndProtoComeBack) {
  for (const Epoch epoch :
       {Epoch{}, Epoch{1, 2}, Epoch{UINT64_MAX, UINT64_MAX}}) {
    EXPECT_EQ(Epoch::Parse(epoch.ToString()).value(), epoch);
    EXPECT_EQ(Epoch::FromProto(epoch.ToProto()), epoch);
  }
  EXPECT_TRUE(Epoch{}.empty());
  EXPECT_FALSE((Epoch{1, 0}.empty()));
}

TEST(EpochTest, RefusesAnyOtherText) {
  for (const char* text :
       {"", ".", "1.2", "0000000000000001.00000000000000fF",
        "0000000000000001:00000000000000ff",
        "0000000000000001.00000000000000ff ",
        " 000000000000001.00000000000000ff", "0000000000000001.0000000000000ff",
        "0x00000000000001.00000000000000ff",
        "0000000000000001.00000000000000fg"}) {
    const absl::StatusOr<Epoch> epoch = Epoch::Parse(text);
    EXPECT_EQ(epoch.status().code(), absl::StatusCode::kInvalidArgument)
        << text;
    EXPECT_EQ(OutcomeOf(epoch.status()), Outcome::kNotExecuted);
  }
}

TEST(PidTest, TextComesBack) {
  const Pid pid{"a-1", {1, 255}, 42};
  EXPECT_EQ(pid.ToString(), kText);
  EXPECT_EQ(Pid::Parse(kText).value(), pid);
  EXPECT_EQ(Pid::FromProto(pid.ToProto()), pid);
  const Pid last{std::string(63, 'z'), {UINT64_MAX, UINT64_MAX}, UINT64_MAX};
  EXPECT_EQ(Pid::Parse(last.ToString()).value(), last);
}

TEST(PidTest, RefusesAnyOtherText) {
  const std::string epoch = "0000000000000001.00000000000000ff";
  for (const std::string& text :
       {std::string(), std::string("a"), "~" + epoch + "~1",
        "A~" + epoch + "~1", "a~" + epoch, "a~" + epoch + "~",
        "a~" + epoch + "~0", "a~" + epoch + "~01", "a~" + epoch + "~+1",
        "a~" + epoch + "~-1", "a~" + epoch + "~ 1", "a~" + epoch + "~1 ",
        "a~" + epoch + "~1~1", std::string("a~1.2~1"), "a_b~" + epoch + "~1",
        "a~" + epoch + "~18446744073709551616",
        std::string(64, 'a') + "~" + epoch + "~1"}) {
    EXPECT_EQ(Pid::Parse(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(PidTest, EchoesLittleOfWhatItRefuses) {
  const absl::Status status = Pid::Parse(std::string(100000, '\n')).status();
  EXPECT_LT(status.message().size(), 500u);
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
}

TEST(PidTest, EmptyIsNoProcess) {
  EXPECT_TRUE(Pid{}.empty());
  EXPECT_TRUE((Pid{"a", {1, 1}, 0}.empty()));
}

}  // namespace
}  // namespace muster
