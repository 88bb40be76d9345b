// Aliases: when each kind goes off.
#include "node/process/aliases.h"

#include "gtest/gtest.h"

namespace muster {
namespace {

using Received = Aliases::Received;

TEST(AliasesTest, AnUnknownOneIsOff) {  // otp A1
  Aliases aliases;
  EXPECT_EQ(aliases.Receive(1), Received::kOff);
  EXPECT_FALSE(aliases.Remove(1));
}

TEST(AliasesTest, ExplicitEndsOnlyByRemoval) {  // otp A2
  Aliases aliases;
  aliases.Add(1, AliasKind::kExplicit);
  EXPECT_EQ(aliases.Receive(1), Received::kOn);
  aliases.MonitorEnded(1);
  EXPECT_EQ(aliases.Receive(1), Received::kOn);
  EXPECT_TRUE(aliases.Remove(1));
  EXPECT_EQ(aliases.Receive(1), Received::kOff);
}

TEST(AliasesTest, ReplyEndsWithTheFirstMessage) {  // otp A2
  Aliases aliases;
  aliases.Add(1, AliasKind::kReply);
  EXPECT_EQ(aliases.Receive(1), Received::kOn);
  EXPECT_EQ(aliases.Receive(1), Received::kOff);
}

TEST(AliasesTest, DemonitorEndsWithTheMonitor) {  // otp A2
  Aliases aliases;
  aliases.Add(1, AliasKind::kDemonitor);
  EXPECT_EQ(aliases.Receive(1), Received::kOn);
  EXPECT_EQ(aliases.Receive(1), Received::kOn);
  aliases.MonitorEnded(1);
  EXPECT_EQ(aliases.Receive(1), Received::kOff);
}

TEST(AliasesTest, ReplyDemonitorEndsItsMonitorToo) {  // otp A2
  Aliases aliases;
  aliases.Add(1, AliasKind::kReplyDemonitor);
  aliases.Add(2, AliasKind::kReplyDemonitor);
  EXPECT_EQ(aliases.Receive(1), Received::kOnEndsMonitor);
  EXPECT_EQ(aliases.Receive(1), Received::kOff);
  aliases.MonitorEnded(2);
  EXPECT_EQ(aliases.Receive(2), Received::kOff);
  EXPECT_EQ(aliases.size(), 0u);
}

}  // namespace
}  // namespace muster
