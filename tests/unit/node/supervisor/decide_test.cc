#include "node/supervisor/decide.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace muster {
namespace {

constexpr Restart kPermanent = Restart::kPermanent;
constexpr Restart kTransient = Restart::kTransient;
constexpr Restart kTemporary = Restart::kTemporary;

// "a b! c- d? e*": a runs; b is temporary and runs; c does not run; d is being
// restarted; e is significant and runs; marks add up.
ChildTable Table(const std::string& text) {
  ChildTable table;
  uint64_t number = 0;
  for (absl::string_view word :
       absl::StrSplit(text, ' ', absl::SkipWhitespace())) {
    ++number;
    const std::string id(word.substr(0, 1));
    ChildSpec spec;
    spec.id = id;
    if (absl::StrContains(word, "!")) spec.restart = kTemporary;
    spec.significant = absl::StrContains(word, "*");
    const ChildTable::Key key = table.Add(spec);
    if (absl::StrContains(word, "?")) {
      table.SetRestarting(key, number);
    } else if (!absl::StrContains(word, "-")) {
      table.SetPid(key, Pid{"n", Epoch{1, 1}, number});
    }
  }
  return table;
}

ChildTable::Key KeyOf(const ChildTable& table, absl::string_view id) {
  ChildTable::Key key = 0;
  EXPECT_TRUE(table.FindId(id, &key));
  return key;
}

std::string Ids(const ChildTable& table, const RestartPlan::Keys& keys) {
  std::string ids;
  for (const ChildTable::Key key : keys) ids += table.at(key).spec.id;
  return ids;
}

TEST(DecideTest, WhatAnEndMeans) {  // otp 7.3, P7
  const std::vector<ExitReason> normal = {
      ExitReason::Normal(), ExitReason::Shutdown(), ExitReason::Shutdown("x")};
  const std::vector<ExitReason> abnormal = {
      ExitReason::Kill(),         ExitReason::Killed(),
      ExitReason::Noproc(),       ExitReason::Noconnection(),
      ExitReason::Exception("x"), ExitReason::Custom("x")};
  for (const ExitReason& reason : normal) {
    EXPECT_EQ(EffectOfExit(kPermanent, reason), ExitEffect::kRestart);
    EXPECT_EQ(EffectOfExit(kTransient, reason), ExitEffect::kKeep);
    EXPECT_EQ(EffectOfExit(kTemporary, reason), ExitEffect::kForget);
  }
  for (const ExitReason& reason : abnormal) {
    EXPECT_EQ(EffectOfExit(kPermanent, reason), ExitEffect::kRestart);
    EXPECT_EQ(EffectOfExit(kTransient, reason), ExitEffect::kRestart);
    EXPECT_EQ(EffectOfExit(kTemporary, reason), ExitEffect::kForget);
  }
  EXPECT_EQ(EffectOfStop(kPermanent), ExitEffect::kKeep);
  EXPECT_EQ(EffectOfStop(kTransient), ExitEffect::kKeep);
  EXPECT_EQ(EffectOfStop(kTemporary), ExitEffect::kForget);
}

TEST(DecideTest, WhatARestartTakesAlong) {  // otp S10, S12 to S15, S23
  struct Row {
    Strategy strategy;
    std::string children;
    std::string failed;
    std::string stop;
    std::string forget;
    std::string start;
  };
  const std::vector<Row> rows = {
      {Strategy::kOneForOne, "a b- c d!", "b", "", "", "b"},
      {Strategy::kOneForOne, "a b? c", "b", "", "", "b"},
      {Strategy::kOneForAll, "a b- c", "b", "ca", "", "abc"},
      {Strategy::kOneForAll, "a- b- c-", "b", "", "", "abc"},
      {Strategy::kOneForAll, "a! b- c d!", "b", "dca", "ad", "bc"},
      {Strategy::kOneForAll, "a? b- c", "b", "c", "", "abc"},
      {Strategy::kRestForOne, "a b- c", "b", "c", "", "bc"},
      {Strategy::kRestForOne, "a- b c", "a", "cb", "", "abc"},
      {Strategy::kRestForOne, "a b c-", "c", "", "", "c"},
      {Strategy::kRestForOne, "a! b- c! d- e?", "b", "c", "c", "bde"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.children);
    const ChildTable table = Table(row.children);
    const RestartPlan plan =
        PlanRestart(row.strategy, table, KeyOf(table, row.failed));
    EXPECT_EQ(Ids(table, plan.stop), row.stop);
    EXPECT_EQ(Ids(table, plan.forget), row.forget);
    EXPECT_EQ(Ids(table, plan.start), row.start);
  }
}

TEST(DecideTest, AShutdownStopsInReverse) {  // otp S28
  const ChildTable table = Table("a b- c? d! e");
  EXPECT_EQ(Ids(table, PlanShutdown(table)), "eda");
}

TEST(DecideTest, WhoseEndEndsTheSupervisor) {  // otp S31, S32
  struct Row {
    AutoShutdown rule;
    std::string children;
    bool ends;  // When a ends.
  };
  const std::vector<Row> rows = {
      {AutoShutdown::kNever, "a* b", false},
      {AutoShutdown::kAnySignificant, "a b*", false},
      {AutoShutdown::kAnySignificant, "a* b*", true},
      {AutoShutdown::kAllSignificant, "a b*-", false},
      {AutoShutdown::kAllSignificant, "a* b", true},
      {AutoShutdown::kAllSignificant, "a* b* c", false},
      {AutoShutdown::kAllSignificant, "a* b*- c", true},
      {AutoShutdown::kAllSignificant, "a* b*? c", false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.children);
    const ChildTable table = Table(row.children);
    EXPECT_EQ(EndsSupervisor(row.rule, table, KeyOf(table, "a")), row.ends);
  }
}

TEST(DecideTest, WhichStopsAreReported) {  // otp S27
  ChildSpec polite;
  ChildSpec brutal;
  brutal.shutdown = Shutdown::BrutalKill();
  for (const Restart restart : {kPermanent, kTransient, kTemporary}) {
    polite.restart = brutal.restart = restart;
    const bool lenient = restart != kPermanent;
    EXPECT_TRUE(EndedAsOrdered(polite, ExitReason::Shutdown()));
    EXPECT_EQ(EndedAsOrdered(polite, ExitReason::Normal()), lenient);
    EXPECT_EQ(EndedAsOrdered(polite, ExitReason::Shutdown("x")), lenient);
    EXPECT_FALSE(EndedAsOrdered(polite, ExitReason::Killed()));
    EXPECT_FALSE(EndedAsOrdered(polite, ExitReason::Custom("x")));
    EXPECT_TRUE(EndedAsOrdered(brutal, ExitReason::Killed()));
    EXPECT_EQ(EndedAsOrdered(brutal, ExitReason::Shutdown()), lenient);
    EXPECT_FALSE(EndedAsOrdered(brutal, ExitReason::Custom("x")));
    EXPECT_TRUE(EndedAsOrdered(polite, ExitReason::Noproc()));
  }
}

TEST(ChildTableTest, FindsByIdAndPid) {
  ChildTable table = Table("a b- c");
  const ChildTable::Key b = KeyOf(table, "b");
  const Pid first{"n", Epoch{1, 1}, 50};
  const Pid second{"n", Epoch{1, 1}, 51};
  ChildTable::Key found = 0;
  table.SetPid(b, first);
  ASSERT_TRUE(table.FindPid(first, &found));
  EXPECT_EQ(found, b);
  table.SetPid(b, second);
  EXPECT_FALSE(table.FindPid(first, &found));
  EXPECT_TRUE(table.FindPid(second, &found));
  table.SetRestarting(b, 9);
  EXPECT_FALSE(table.FindPid(second, &found));
  EXPECT_TRUE(table.at(b).restarting);
  table.SetPid(b, first);
  EXPECT_FALSE(table.at(b).restarting);
  EXPECT_EQ(table.at(b).retry, 0u);
  table.Erase(b);
  EXPECT_FALSE(table.FindPid(first, &found));
  EXPECT_FALSE(table.FindId("b", &found));
  EXPECT_EQ(table.size(), 2u);
}

}  // namespace
}  // namespace muster
