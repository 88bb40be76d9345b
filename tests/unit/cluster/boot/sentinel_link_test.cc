#include "cluster/boot/sentinel_link.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {
namespace {

JoinedNews News(uint64_t revision) {
  JoinedNews news;
  news.epoch = Epoch{2, revision};
  news.listen = "127.0.0.1:7001";
  return news;
}

TEST(SentinelLinkTest, NewsSurvivesThePipe) {
  EXPECT_EQ(ToLine(News(18)),
            "joined 0000000000000002.0000000000000012 127.0.0.1:7001\n");
  NewsReader reader;
  EXPECT_EQ(reader.Feed(ToLine(News(18))), std::vector{News(18)});
}

TEST(SentinelLinkTest, NewsMayComeInAnyPieces) {
  const std::string both = absl::StrCat(ToLine(News(1)), ToLine(News(2)));
  for (size_t cut = 0; cut <= both.size(); ++cut) {
    NewsReader reader;
    std::vector<JoinedNews> all = reader.Feed(both.substr(0, cut));
    for (const JoinedNews& news : reader.Feed(both.substr(cut))) {
      all.push_back(news);
    }
    EXPECT_EQ(all, (std::vector{News(1), News(2)})) << cut;
  }
}

TEST(SentinelLinkTest, WhatIsNoNewsIsDropped) {
  NewsReader reader;
  for (const std::string& line :
       {std::string("joined\n"), std::string("\n"), std::string("joined 1 a\n"),
        std::string("left 0000000000000002.0000000000000012 a\n"),
        std::string("joined 0000000000000002.0000000000000012 \n"),
        absl::StrCat(std::string(5000, 'x'), "\n")}) {
    EXPECT_TRUE(reader.Feed(line).empty()) << line.substr(0, 60);
  }
  // What follows is understood.
  EXPECT_EQ(reader.Feed(ToLine(News(3))), std::vector{News(3)});
}

TEST(SentinelLinkTest, HelloRoundTrips) {
  SentinelHello hello;
  hello.pid = 4711;
  EXPECT_EQ(ToValue(hello), "4711 -");
  EXPECT_EQ(ParseHello(ToValue(hello)).value(), hello);
  hello.listen = "[::1]:7001";
  EXPECT_EQ(ToValue(hello), "4711 [::1]:7001");
  EXPECT_EQ(ParseHello(ToValue(hello)).value(), hello);
}

TEST(SentinelLinkTest, BadHelloIsRefused) {
  for (const char* value :
       {"", "-", "0 -", "-1 -", "x -", "1", "1 ", "1 - -"}) {
    EXPECT_EQ(ReasonOf(ParseHello(value).status()), "BAD_SENTINEL") << value;
  }
}

TEST(SentinelLinkTest, WithoutTheVariableThereIsNoSentinel) {
  unsetenv(kSentinelVariable);
  EXPECT_EQ(SentinelLink::FromEnvironment(), nullptr);
  // Somebody else's variable is no sentinel either.
  setenv(kSentinelVariable, "yes", 1);
  EXPECT_EQ(SentinelLink::FromEnvironment(), nullptr);
  EXPECT_EQ(getenv(kSentinelVariable), nullptr);
}

TEST(SentinelLinkDeathTest, WhoseSentinelHasDiedDies) {
  EXPECT_EXIT(
      {
        SentinelHello hello;
        hello.pid = 1 << 22;  // Nobody's: above the greatest process id.
        setenv(kSentinelVariable, ToValue(hello).c_str(), 1);
        SentinelLink::FromEnvironment();
      },
      testing::KilledBySignal(SIGKILL), "");
}

}  // namespace
}  // namespace muster
