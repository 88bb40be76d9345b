// Each checker sees nothing wrong in a good history and names itself for each
// bad one. The histories are written as their lines of JSON.
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/checkers/checker.h"
#include "tests/checkers/history.h"

namespace muster {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// Lines "kind field=value ..."; times are the line numbers in seconds, unless
// a line says at=. Epochs are numbers.
History Make(absl::string_view text) {
  History history;
  int64_t second = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.empty()) continue;
    std::string json = absl::StrCat("{\"kind\":\"", words[0], "\"");
    int64_t at = ++second;
    for (size_t i = 1; i < words.size(); ++i) {
      const std::vector<std::string> pair =
          absl::StrSplit(words[i], absl::MaxSplits('=', 1));
      if (pair[0] == "at") {
        at = second = std::stoll(pair[1]);
      } else if (pair[0] == "e" || pair[0] == "n") {
        absl::StrAppend(&json, ",\"", pair[0] == "e" ? "epoch" : "node_epoch",
                        "\":\"", Epoch{1, std::stoull(pair[1])}.ToString(),
                        "\"");
      } else if (pair[0] == "value" || pair[0] == "limit" || pair[0] == "seq") {
        absl::StrAppend(&json, ",\"", pair[0], "\":", pair[1]);
      } else {
        absl::StrAppend(&json, ",\"", pair[0], "\":\"", pair[1], "\"");
      }
    }
    absl::StrAppend(&json, ",\"at\":", at * 1'000'000'000, "}");
    const absl::StatusOr<HistoryEvent> event = ParseEvent(json);
    EXPECT_TRUE(event.ok()) << event.status();
    if (event.ok()) history.push_back(*event);
  }
  return history;
}

// Who complains about it: "G1 G3".
std::string Broken(absl::string_view text) {
  std::string broken;
  for (const Verdict& verdict : CheckAll(Make(text))) {
    for (const std::string& violation : verdict.violations) {
      EXPECT_THAT(violation, StartsWith(absl::StrCat(verdict.guarantee, " ")));
    }
    if (verdict.violations.empty()) continue;
    absl::StrAppend(&broken, broken.empty() ? "" : " ", verdict.guarantee);
  }
  return broken;
}
std::string Sole(Verdict (*checker)(const History&, const CheckOptions&),
                 absl::string_view text) {
  const Verdict verdict = checker(Make(text), CheckOptions());
  return verdict.violations.size() == 1 ? verdict.violations[0]
         : verdict.violations.empty()
             ? ""
             : absl::StrCat(verdict.violations.size(), " violations");
}

// Two owners of x, one after the other, with a call each.
constexpr absl::string_view kTakeover = R"(
join node=a n=2
join node=b n=3
claim name=x node=a n=2 e=4 seq=1
invoke session=c call=1 op=call name=x
begin call=1 name=x e=4 node=a
end call=1 name=x e=4 node=a
ok session=c call=1 e=4
died node=a n=2
reap node=a n=2 op=silent
claim name=x node=b n=3 e=6 seq=1
invoke session=c call=2 op=call name=x
begin call=2 name=x e=6 node=b
end call=2 name=x e=6 node=b
ok session=c call=2 e=6
phase op=end
)";

TEST(CheckersTest, ATakeoverAsItShouldBeIsFine) {
  EXPECT_EQ(Broken(kTakeover), "");
}

TEST(CheckersTest, AllFifteenAnswerInOrder) {
  std::vector<std::string> names;
  for (const Verdict& verdict : CheckAll(History())) {
    names.emplace_back(verdict.guarantee);
    EXPECT_EQ(verdict.looked_at, 0u);
  }
  EXPECT_THAT(names,
              ElementsAre("G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G9",
                          "G10", "G11", "G12", "G13", "G14", "G15"));
}

// --- G1 ---

TEST(OneOwnerTest, EffectiveHandlersOfTwoEpochsAtOnceAreSeen) {
  const std::string bad = R"(
claim name=x node=a n=2 e=4
invoke session=c call=1 op=call name=x
begin call=1 name=x e=4 node=a
claim name=x node=b n=3 e=6
invoke session=c call=2 op=call name=x
begin call=2 name=x e=6 node=b
end call=2 name=x e=6 node=b
end call=1 name=x e=4 node=a
ok session=c call=2 e=6
)";
  // The reply of the older one was not accepted: it had no effect.
  EXPECT_EQ(Sole(CheckOneOwner, bad), "");
  EXPECT_THAT(
      Sole(CheckOneOwner, absl::StrCat(bad, "\nok session=c call=1 e=4")),
      HasSubstr("at once"));
  EXPECT_THAT(
      Sole(CheckOneOwner,
           absl::StrReplaceAll(
               bad, {{"end call=1",
                      "admit key=r name=x e=4 call=1 value=1\nend call=1"}})),
      HasSubstr("at once"));
}

TEST(OneOwnerTest, AnOlderEpochAfterANewerIsSeen) {
  EXPECT_THAT(Sole(CheckOneOwner, R"(
begin call=2 name=x e=6 node=b
end call=2 name=x e=6 node=b
ok session=c call=2 e=6
begin call=1 name=x e=4 node=a
end call=1 name=x e=4 node=a
ok session=c call=1 e=4
)"),
              HasSubstr("after call 2"));
}

TEST(OneOwnerTest, ALongHandlerIsRememberedBehindShortOnes) {
  EXPECT_THAT(Sole(CheckOneOwner, R"(
begin call=1 name=x e=4 node=a
begin call=2 name=x e=4 node=a
end call=2 name=x e=4 node=a
ok session=c call=2 e=4
begin call=3 name=x e=6 node=b
end call=1 name=x e=4 node=a
end call=3 name=x e=6 node=b
ok session=c call=1 e=4
ok session=c call=3 e=6
)"),
              HasSubstr("call 1"));
}

TEST(OneOwnerTest, AClaimByTheDeadOrFromTheLivingIsSeen) {
  EXPECT_THAT(Sole(CheckOneOwner, R"(
join node=a n=2
reap node=a n=2 op=silent
claim name=x node=a n=2 e=4
)"),
              HasSubstr("dead epoch"));
  EXPECT_THAT(Sole(CheckOneOwner, R"(
join node=a n=2
join node=b n=3
claim name=x node=a n=2 e=4
claim name=x node=b n=3 e=5
)"),
              HasSubstr("which lives"));
  // Given away by its process, and taken back by it.
  EXPECT_EQ(Sole(CheckOneOwner, R"(
join node=a n=2
join node=b n=3
claim name=x node=a n=2 e=4
claim name=x node=b n=3 e=5 op=moved reason=a
claim name=x node=a n=2 e=6
claim name=x node=b n=3 e=7 op=moved reason=a
)"),
            "");
  // But not by another's.
  EXPECT_THAT(Sole(CheckOneOwner, R"(
join node=a n=2
join node=b n=3
claim name=x node=a n=2 e=4
claim name=x node=b n=3 e=5 op=moved reason=c
)"),
              HasSubstr("which lives"));
  // It takes back only what it gave, and nobody else does.
  EXPECT_THAT(Sole(CheckOneOwner, R"(
join node=a n=2
join node=b n=3
join node=c n=4
claim name=x node=a n=2 e=5
claim name=x node=b n=3 e=6 op=moved reason=a
claim name=x node=c n=4 e=7
)"),
              HasSubstr("which lives"));
  // Its owner gave it up first, or claims it anew.
  EXPECT_EQ(Sole(CheckOneOwner, R"(
join node=a n=2
join node=b n=3
claim name=x node=a n=2 e=4
claim name=x node=a n=2 e=5
release name=x
claim name=x node=b n=3 e=6
)"),
            "");
}

TEST(OneOwnerTest, ALostUpdateOrAnOlderTokenAtAResourceIsSeen) {
  EXPECT_THAT(Sole(CheckOneOwner, R"(
admit key=r name=x e=4 value=1 limit=0
admit key=r name=x e=6 value=2 limit=1
admit key=r name=x e=6 value=2 limit=1
)"),
              HasSubstr("lost update"));
  EXPECT_THAT(Sole(CheckOneOwner, R"(
admit key=r name=x e=6 value=1 limit=0
admit key=r name=x e=4 value=2 limit=1
)"),
              HasSubstr("took token"));
}

TEST(OneOwnerTest, AMessageOfAnOlderEpochAfterANewerIsSeen) {
  EXPECT_THAT(Sole(CheckOneOwner, R"(
message session=w name=x node=b n=3 seq=1 e=6
message session=w name=x node=a n=2 seq=1 e=4
)"),
              HasSubstr("took a message"));
  EXPECT_EQ(Sole(CheckOneOwner, R"(
message session=w name=x node=b n=3 seq=1 e=6
message session=v name=x node=a n=2 seq=1 e=4
)"),
            "");
}

// --- G2 ---

TEST(EpochsGrowTest, ASmallerOrAnEqualEpochIsSeen) {
  EXPECT_EQ(Sole(CheckEpochsGrow, R"(
claim name=x node=a n=2 e=4
claim name=y node=a n=2 e=4
claim name=x node=a n=2 e=5
)"),
            "");
  EXPECT_THAT(Sole(CheckEpochsGrow, R"(
claim name=x node=a n=2 e=9
claim name=y node=a n=2 e=4
)"),
              HasSubstr("after 1.9"));
  EXPECT_THAT(Sole(CheckEpochsGrow, R"(
claim name=x node=a n=2 e=4
claim name=x node=a n=2 e=4
)"),
              HasSubstr("claimed twice"));
}

TEST(EpochsGrowTest, ActingUnderAnEpochThatNobodyGrantedIsSeen) {
  EXPECT_THAT(Sole(CheckEpochsGrow, R"(
claim name=x node=a n=2 e=4
begin call=1 name=x e=5 node=a
)"),
              HasSubstr("nobody was granted"));
}

// --- G3 ---

TEST(FenceTest, AnOpenFenceAfterATakeoverIsSeen) {
  EXPECT_EQ(Sole(CheckFence, R"(
claim name=x node=a n=2 e=4
begin call=1 name=x e=4 node=a
pass name=x e=4 node=a op=send
claim name=x node=b n=3 e=6
begin call=2 name=x e=6 node=b
)"),
            "");
  EXPECT_THAT(Sole(CheckFence, R"(
claim name=x node=a n=2 e=4
claim name=x node=b n=3 e=6
begin call=1 name=x e=4 node=a
)"),
              HasSubstr("to begin call 1"));
  EXPECT_THAT(Sole(CheckFence, R"(
claim name=x node=a n=2 e=4
claim name=x node=b n=3 e=6
pass name=x e=4 node=a op=token
)"),
              HasSubstr("passed its fence"));
  EXPECT_THAT(Sole(CheckFence, "begin call=1 name=x node=a"),
              HasSubstr("behind its fence"));
}

// --- G4 ---

TEST(RegistryTest, RegistrationsThatFollowEachOtherAreFine) {
  EXPECT_EQ(Sole(CheckRegistry, R"(
invoke session=c call=1 op=register name=x key=a
ok call=1 session=c key=a
invoke session=d call=2 op=register name=x key=b
error call=2 session=d outcome=NOT_EXECUTED reason=ALREADY_STARTED key=a
invoke session=c call=3 op=unregister name=x key=a
ok call=3 session=c
invoke session=d call=4 op=register name=x key=b
ok call=4 session=d
)"),
            "");
}

TEST(RegistryTest, TwoOwnersAtOnceAreSeen) {
  EXPECT_THAT(Sole(CheckRegistry, R"(
invoke session=c call=1 op=register name=x key=a
ok call=1 session=c
invoke session=d call=2 op=register name=x key=b
ok call=2 session=d
)"),
              HasSubstr("name 'x': no order explains register 2"));
}

TEST(RegistryTest, AnAcknowledgedRegistrationThatIsLostIsSeen) {
  EXPECT_THAT(Sole(CheckRegistry, R"(
invoke session=c call=1 op=register name=x key=a
ok call=1 session=c
invoke session=d call=2 op=resolve name=x
error call=2 session=d outcome=NOT_EXECUTED reason=NOPROC
)"),
              HasSubstr("resolve 2"));
}

TEST(RegistryTest, AnUnknownRegistrationMayHoldOrNot) {
  const std::string start = R"(
invoke session=c call=1 op=register name=x key=a
error call=1 session=c outcome=UNKNOWN reason=TIMEOUT
invoke session=d call=2 op=register name=x key=b
)";
  EXPECT_EQ(Sole(CheckRegistry, absl::StrCat(start, "ok call=2 session=d")),
            "");
  EXPECT_EQ(Sole(CheckRegistry,
                 absl::StrCat(start,
                              "error call=2 session=d outcome=NOT_EXECUTED "
                              "reason=ALREADY_STARTED key=a")),
            "");
  EXPECT_THAT(Sole(CheckRegistry,
                   absl::StrCat(start,
                                "error call=2 session=d outcome=NOT_EXECUTED "
                                "reason=ALREADY_STARTED key=z")),
              HasSubstr("register 2"));
}

TEST(RegistryTest, ANameIsFreeOnceItsNodeIsReapedOrItsProcessEnded) {
  const std::string a = Pid{"a", Epoch{1, 2}, 7}.ToString();
  const std::string start =
      absl::StrCat("invoke session=c call=1 op=register name=x key=", a,
                   "\nok call=1 session=c\n");
  const std::string again =
      "invoke session=d call=2 op=register name=x key=b\nok call=2 session=d\n";
  EXPECT_EQ(
      Sole(CheckRegistry, absl::StrCat(start, "reap node=a n=2\n", again)), "");
  EXPECT_EQ(Sole(CheckRegistry,
                 absl::StrCat(start, "exit node=a n=2 seq=7\n", again)),
            "");
  EXPECT_THAT(
      Sole(CheckRegistry, absl::StrCat(start, "reap node=a n=9\n", again)),
      HasSubstr("register 2"));
  EXPECT_THAT(
      Sole(CheckRegistry, absl::StrCat(start, again, "reap node=a n=2 at=9\n")),
      HasSubstr("register 2"));
}

TEST(RegistryTest, WhoWasReapedByForceHasItsNamesForAWhile) {
  const std::string a = Pid{"a", Epoch{1, 2}, 7}.ToString();
  const std::string taken = absl::StrCat(
      "invoke session=c call=1 op=register name=x key=", a,
      "\nok call=1 session=c\nreap node=a n=2 op=OP at=5\n"
      "invoke session=c call=2 op=register name=x key=z at=9\n"
      "error call=2 session=c outcome=NOT_EXECUTED reason=ALREADY_STARTED key=",
      a, "\n");
  EXPECT_EQ(Sole(CheckRegistry, absl::StrReplaceAll(taken, {{"OP", "forced"}})),
            "");
  EXPECT_THAT(
      Sole(CheckRegistry, absl::StrReplaceAll(taken, {{"OP", "silent"}})),
      HasSubstr("register 2"));
}

TEST(RegistryTest, ChildrenStartAndStopInTurn) {
  EXPECT_EQ(Sole(CheckRegistry, R"(
invoke session=c call=1 op=start_child name=s/x
ok call=1 session=c
invoke session=c call=2 op=start_child name=s/x
error call=2 session=c outcome=NOT_EXECUTED reason=ALREADY_STARTED
invoke session=c call=3 op=stop_child name=s/x
ok call=3 session=c
)"),
            "");
  EXPECT_THAT(Sole(CheckRegistry, R"(
invoke session=c call=1 op=start_child name=s/x
ok call=1 session=c
invoke session=c call=3 op=stop_child name=s/x
error call=3 session=c outcome=NOT_EXECUTED reason=NOT_FOUND
)"),
              HasSubstr("stop_child 3"));
}

TEST(RegistryTest, CountersCountOnceForEachEpoch) {
  const std::string good = R"(
claim name=x node=a n=2 e=4 seq=7
start name=x node=a n=2 seq=7 value=10
invoke session=c call=1 op=add name=x value=1
begin call=1 name=x e=4 node=a
ok call=1 session=c e=4 value=11
invoke session=c call=2 op=add name=x value=1
begin call=2 name=x e=4 node=a
error call=2 session=c outcome=UNKNOWN reason=TIMEOUT
invoke session=c call=3 op=add name=x value=1
begin call=3 name=x e=4 node=a
ok call=3 session=c e=4 value=13
invoke session=c call=4 op=add name=x value=1
ok call=4 session=c e=6 value=1
)";
  EXPECT_EQ(Sole(CheckRegistry, good), "");
  EXPECT_THAT(Sole(CheckRegistry,
                   absl::StrReplaceAll(good, {{"value=13", "value=14"}})),
              HasSubstr("add 3"));
  // What never began cannot have counted.
  EXPECT_THAT(
      Sole(CheckRegistry,
           absl::StrReplaceAll(good, {{"begin call=2 name=x e=4 node=a", ""}})),
      HasSubstr("add 3"));
}

// --- G5 ---

TEST(NeverBackTest, AnOlderAnswerOrRouteIsSeen) {
  EXPECT_THAT(Sole(CheckNeverBack, R"(
invoke session=c call=1 op=call name=x
ok session=c call=1 e=6
invoke session=c call=2 op=call name=x
ok session=c call=2 e=4
)"),
              HasSubstr("call 2"));
  EXPECT_THAT(Sole(CheckNeverBack, R"(
seen session=a name=x e=6
seen session=a name=x e=4
)"),
              HasSubstr("resolved"));
  // Another session knows less; a call that was under way may return.
  EXPECT_EQ(Sole(CheckNeverBack, R"(
seen session=a name=x e=6
seen session=b name=x e=4
invoke session=c call=1 op=call name=x
invoke session=c call=2 op=call name=x
ok session=c call=2 e=6
ok session=c call=1 e=4
)"),
            "");
}

// --- G6 ---

TEST(AtMostOnceTest, ACallThatRanTwiceIsSeen) {
  EXPECT_EQ(Sole(CheckAtMostOnce, "begin call=1 name=x e=4 node=a"), "");
  EXPECT_THAT(Sole(CheckAtMostOnce, R"(
begin call=1 name=x e=4 node=a
begin call=1 name=x e=6 node=b
)"),
              HasSubstr("ran 2 times"));
}

// --- G7 ---

TEST(OutcomesTest, WhatRanAndWasReportedAsNotIsSeen) {
  const std::string call = R"(
invoke session=c call=1 op=call name=x
begin call=1 name=x e=4 node=a
)";
  for (const char* fine :
       {"ok session=c call=1 e=4", "error session=c call=1 outcome=UNKNOWN",
        "error session=c call=1 outcome=EXECUTED"}) {
    EXPECT_EQ(Sole(CheckOutcomes, absl::StrCat(call, fine)), "") << fine;
  }
  EXPECT_THAT(
      Sole(CheckOutcomes,
           absl::StrCat(call, "error session=c call=1 outcome=NOT_EXECUTED")),
      HasSubstr("was reported NOT_EXECUTED"));
  EXPECT_THAT(Sole(CheckOutcomes, absl::StrCat(call, "error session=c call=1")),
              HasSubstr("without an outcome"));
  EXPECT_THAT(
      Sole(CheckOutcomes, absl::StrCat(call, "ok session=c call=1 e=5")),
      HasSubstr("it ran under 1.4"));
}

TEST(OutcomesTest, WhatNeverRanOrNeverEndedIsSeen) {
  const std::string other = R"(
begin call=9 name=x e=4 node=a
invoke session=c call=1 op=call name=x
)";
  EXPECT_THAT(
      Sole(CheckOutcomes, absl::StrCat(other, "ok session=c call=1 e=4")),
      HasSubstr("OK and never ran"));
  EXPECT_THAT(
      Sole(CheckOutcomes,
           absl::StrCat(other, "error session=c call=1 outcome=EXECUTED")),
      HasSubstr("never ran"));
  EXPECT_EQ(
      Sole(CheckOutcomes,
           absl::StrCat(other, "error session=c call=1 outcome=NOT_EXECUTED")),
      "");
  EXPECT_THAT(Sole(CheckOutcomes, absl::StrCat(other, "phase op=end")),
              HasSubstr("never ended"));
  EXPECT_EQ(
      Sole(CheckOutcomes, absl::StrCat(other, "gone session=c\nphase op=end")),
      "");
  EXPECT_THAT(Sole(CheckOutcomes,
                   absl::StrCat(other,
                                "error session=c call=1 outcome=UNKNOWN"
                                "\nerror session=c call=1 outcome=UNKNOWN")),
              HasSubstr("ended twice"));
}

TEST(OutcomesTest, TooManyUnknownAreSeen) {
  CheckOptions options;
  options.unknown_percent_max = 40;
  const History history = Make(R"(
invoke session=c call=1 op=call name=x
error session=c call=1 outcome=UNKNOWN
invoke session=c call=2 op=call name=x
ok session=c call=2
)");
  EXPECT_EQ(CheckOutcomes(history, options).violations.size(), 1u);
  options.unknown_percent_max = 50;
  EXPECT_THAT(CheckOutcomes(history, options).violations, IsEmpty());
}

// --- G8 ---

constexpr absl::string_view kLateReply = R"(
claim name=x node=a n=2 e=4
invoke session=c call=1 op=call name=x
begin call=1 name=x e=4 node=a
reap node=a n=2 op=silent
claim name=x node=b n=3 e=6
ok session=c call=1 e=4
)";

TEST(AcknowledgedTest, AnOkAfterASilentTakeoverIsSeen) {
  EXPECT_THAT(Sole(CheckAcknowledged, kLateReply), HasSubstr("call 1"));
  EXPECT_THAT(Sole(CheckAcknowledged,
                   absl::StrReplaceAll(kLateReply, {{"silent", "forced"}})),
              HasSubstr("call 1"));
}

TEST(AcknowledgedTest, AnOkBeforeItOrWithACheckInTheStoreIsFine) {
  EXPECT_EQ(Sole(CheckAcknowledged,
                 absl::StrReplaceAll(
                     kLateReply, {{"reap node=a",
                                   "check name=x e=4 node=c\nreap node=a"}})),
            "");
  // The store was asked too early or too late.
  EXPECT_NE(Sole(CheckAcknowledged,
                 absl::StrCat("check name=x e=4 node=c\n", kLateReply)),
            "");
  EXPECT_NE(
      Sole(CheckAcknowledged,
           absl::StrReplaceAll(kLateReply, {{"ok session",
                                             "check name=x e=4 node=c\nok "
                                             "session"}})),
      "");
}

TEST(AcknowledgedTest, AnAttestedDeathAllowsAReplyUnlessMoreIsKnown) {
  const std::string attested =
      absl::StrReplaceAll(kLateReply, {{"silent", "attested"}});
  EXPECT_EQ(Sole(CheckAcknowledged, attested), "");
  EXPECT_THAT(Sole(CheckAcknowledged,
                   absl::StrReplaceAll(
                       attested, {{"ok session",
                                   "seen session=c name=x e=6\nok session"}})),
              HasSubstr("which knew 1.6"));
}

// --- G9 ---

TEST(PairOrderTest, AGapNeedsABreakThatBothSaw) {
  const std::string sent = R"(
send key=p seq=1 session=s
send key=p seq=2 session=s
send key=p seq=3 session=s
dispatch key=p seq=1 e=4
)";
  EXPECT_EQ(
      Sole(CheckPairOrder, absl::StrCat(sent, "dispatch key=p seq=2 e=4")), "");
  EXPECT_THAT(
      Sole(CheckPairOrder, absl::StrCat(sent, "dispatch key=p seq=3 e=4")),
      HasSubstr("2 was lost and 3 dispatched without a break"));
  EXPECT_EQ(Sole(CheckPairOrder, absl::StrCat(sent,
                                              "dispatch key=p seq=3 e=4\n"
                                              "refused key=p seq=2")),
            "");
  EXPECT_EQ(Sole(CheckPairOrder, absl::StrCat(sent,
                                              "break key=p op=receiver\n"
                                              "dispatch key=p seq=3 e=4\n"
                                              "break key=p op=sender")),
            "");
  EXPECT_THAT(Sole(CheckPairOrder, absl::StrCat(sent,
                                                "break key=p op=receiver\n"
                                                "dispatch key=p seq=3 e=4")),
              HasSubstr("its sender never saw"));
  EXPECT_THAT(Sole(CheckPairOrder, absl::StrCat(sent,
                                                "break key=p op=sender\n"
                                                "dispatch key=p seq=3 e=4")),
              HasSubstr("without a break"));
  // Another epoch of the receiver begins anew.
  EXPECT_EQ(
      Sole(CheckPairOrder, absl::StrCat(sent, "dispatch key=p seq=3 e=6")), "");
}

TEST(PairOrderTest, AWrongOrderOrADuplicateIsSeen) {
  EXPECT_THAT(Sole(CheckPairOrder, R"(
send key=p seq=1 session=s
send key=p seq=2 session=s
dispatch key=p seq=2 e=4
dispatch key=p seq=1 e=4
)"),
              HasSubstr("1 was dispatched after 2"));
  EXPECT_THAT(Sole(CheckPairOrder, R"(
send key=p seq=1 session=s
dispatch key=p seq=1 e=4
break key=p op=receiver
dispatch key=p seq=1 e=4
)"),
              HasSubstr("1 was dispatched twice"));
  EXPECT_THAT(Sole(CheckPairOrder, "dispatch key=p seq=1 e=4"),
              HasSubstr("never sent"));
}

// --- G10 ---

constexpr absl::string_view kDown = R"(
claim name=x node=a n=2 e=4 seq=7
monitor key=m session=w name=x
message session=w name=x node=a n=2 seq=7
begin call=1 name=x e=4 node=a
exit node=a n=2 name=x seq=7
down key=m session=w name=x node=a n=2 seq=7 reason=normal
phase op=end at=100
)";

TEST(MonitorsTest, OneDownAfterTheEndIsFine) {
  EXPECT_EQ(Sole(CheckMonitors, kDown), "");
  EXPECT_EQ(Sole(CheckMonitors,
                 absl::StrReplaceAll(kDown, {{"exit node=a n=2 name=x seq=7",
                                              "reap node=a n=2"}})),
            "");
}

TEST(MonitorsTest, TwoDownsOrOneThatNobodyAskedForAreSeen) {
  EXPECT_THAT(
      Sole(CheckMonitors,
           absl::StrCat(kDown, "down key=m session=w name=x node=a n=2 seq=7")),
      HasSubstr("two DOWNs"));
  EXPECT_THAT(
      Sole(CheckMonitors,
           absl::StrReplaceAll(kDown, {{"monitor key=m", "monitor key=o"}})),
      HasSubstr("nobody asked for"));
}

TEST(MonitorsTest, ADownOfTheLivingIsSeen) {
  EXPECT_THAT(
      Sole(CheckMonitors,
           absl::StrReplaceAll(kDown, {{"exit node=a n=2 name=x seq=7", ""}})),
      HasSubstr("had neither ended"));
  EXPECT_THAT(Sole(CheckMonitors,
                   absl::StrCat(kDown, "begin call=2 name=x e=4 node=a")),
              HasSubstr("acted on a after w got its DOWN"));
  EXPECT_THAT(
      Sole(CheckMonitors,
           absl::StrCat(kDown, "message session=w name=x node=a n=2 seq=7")),
      HasSubstr("after its DOWN"));
}

TEST(MonitorsTest, ADownForAnEpochThatNeverWasIsFine) {
  const std::string down = R"(
monitor key=m session=w name=x
down key=m session=w name=x node=a n=9 seq=7 reason=noproc
)";
  EXPECT_EQ(Sole(CheckMonitors, absl::StrCat("join node=a n=2\n", down)), "");
  EXPECT_THAT(Sole(CheckMonitors, absl::StrCat("join node=a n=9\n", down)),
              HasSubstr("had neither ended"));
}

TEST(MonitorsTest, ADownForAProcessThatNeverStartedIsFine) {
  const std::string down = R"(
start name=x node=a n=2 seq=6
monitor key=m session=w name=x
down key=m session=w name=x node=a n=2 seq=7 reason=noproc
)";
  const std::string killed =
      absl::StrReplaceAll(down, {{"reason=noproc", "reason=killed"}});
  for (const std::string& told : {down, killed}) {
    EXPECT_EQ(Sole(CheckMonitors, told), "");
    EXPECT_THAT(Sole(CheckMonitors,
                     absl::StrCat("start name=x node=a n=2 seq=7\n", told)),
                HasSubstr("had neither ended"));
    EXPECT_THAT(Sole(CheckMonitors,
                     absl::StrCat(told, "start name=x node=a n=2 seq=7\n")),
                HasSubstr("'x' started on a after w got its DOWN"));
  }
}

TEST(MonitorsTest, ADownThatNeverCameIsSeen) {
  const std::string lost = R"(
claim name=x node=a n=2 e=4 seq=7
monitor key=m session=w name=x
reap node=a n=2 op=silent at=15
claim name=x node=b n=3 e=6 seq=1 at=20
phase op=end at=100
)";
  EXPECT_THAT(Sole(CheckMonitors, lost), HasSubstr("never had a DOWN"));
  EXPECT_EQ(Sole(CheckMonitors, absl::StrCat("gone session=w\n", lost)), "");
  // Too near the end to say.
  EXPECT_EQ(
      Sole(CheckMonitors, absl::StrReplaceAll(lost, {{"at=100", "at=30"}})),
      "");
}

// --- G11 ---

TEST(ChildrenTest, WantedAndRunningMustMatch) {
  const std::string wanted = "wanted key=x session=s value=5\n";
  const std::string end = "phase op=end\n";
  EXPECT_EQ(Sole(CheckChildren,
                 absl::StrCat(wanted, "running key=x node=a value=5\n", end)),
            "");
  EXPECT_THAT(Sole(CheckChildren, absl::StrCat(wanted, end)),
              HasSubstr("does not run"));
  EXPECT_THAT(Sole(CheckChildren,
                   absl::StrCat(wanted, "running key=x node=a value=6\n", end)),
              HasSubstr("runs with the options 6"));
  EXPECT_EQ(Sole(CheckChildren,
                 absl::StrCat(wanted, "wanted key=x session=s value=6 op=or\n",
                              "running key=x node=a value=6\n", end)),
            "");
  EXPECT_THAT(
      Sole(CheckChildren, absl::StrCat(wanted, "running key=x node=a value=5\n",
                                       "running key=x node=b value=5\n", end)),
      HasSubstr("runs 2 times"));
  EXPECT_THAT(
      Sole(CheckChildren, absl::StrCat(wanted, "unwanted key=x\n",
                                       "running key=x node=a value=5\n", end)),
      HasSubstr("nobody wants it"));
  EXPECT_EQ(Sole(CheckChildren, absl::StrCat(wanted, "gave_up key=s\n", end)),
            "");
}

TEST(ChildrenTest, ANeedlessRestartIsSeen) {
  const std::string two = R"(
claim name=x node=a n=2 e=4 seq=7 session=s
claim name=x node=b n=3 e=6 seq=8 session=s
)";
  EXPECT_THAT(Sole(CheckChildren, two), HasSubstr("was healthy"));
  EXPECT_EQ(Sole(CheckChildren, absl::StrCat("died node=a n=2\n", two)), "");
  // It moved, from where it was.
  EXPECT_EQ(
      Sole(CheckChildren,
           absl::StrReplaceAll(two, {{"seq=8", "seq=8 op=moved reason=a"}})),
      "");
  EXPECT_THAT(
      Sole(CheckChildren,
           absl::StrReplaceAll(two, {{"seq=8", "seq=8 op=moved reason=c"}})),
      HasSubstr("was healthy"));
  EXPECT_EQ(Sole(CheckChildren, absl::StrCat("exit node=a n=2 seq=7\n", two)),
            "");
  EXPECT_EQ(Sole(CheckChildren, absl::StrReplaceAll(two, {{" session=s", ""}})),
            "");
  // The first was claimed and its process never started.
  EXPECT_EQ(
      Sole(CheckChildren, absl::StrCat("start name=x node=b n=3 seq=8\n", two)),
      "");
  EXPECT_THAT(
      Sole(CheckChildren, absl::StrCat("start name=x node=a n=2 seq=7\n", two)),
      HasSubstr("was healthy"));
}

// --- G12 ---

TEST(IntensityTest, MoreRestartsThanAllowedWithinOnePeriodAreSeen) {
  const std::string budget = "budget key=s limit=2 value=10000000000\n";
  const auto restart = [](int crash, int start) {
    return absl::StrCat("restart key=s name=x value=", crash,
                        "000000000 at=", start, "\n");
  };
  EXPECT_EQ(Sole(CheckIntensity,
                 absl::StrCat(budget, restart(10, 11), restart(12, 13))),
            "");
  EXPECT_THAT(
      Sole(CheckIntensity, absl::StrCat(budget, restart(10, 11),
                                        restart(12, 13), restart(14, 20))),
      HasSubstr("restarted 3 times within 10s"));
  EXPECT_EQ(
      Sole(CheckIntensity, absl::StrCat(budget, restart(10, 11),
                                        restart(12, 13), restart(14, 21))),
      "");
}

// --- G13 ---

constexpr absl::string_view kOutage = R"(
claim name=x node=a n=2 e=4
invoke session=c call=1 op=call name=x
ok session=c call=1 e=4
state name=x op=before value=77
outage op=begin
outage op=end limit=2000000000
invoke session=c call=2 op=call name=x
ok session=c call=2 e=4
state name=x op=after value=77 at=30
)";

TEST(FreezeTest, AThawWithStateIsFine) {
  EXPECT_EQ(Sole(CheckFreeze, kOutage), "");
}

TEST(FreezeTest, WhatChangesInAnOutageIsSeen) {
  EXPECT_THAT(Sole(CheckFreeze,
                   absl::StrReplaceAll(
                       kOutage, {{"op=after value=77", "op=after value=0"}})),
              HasSubstr("the state of 'x' was 77 and is 0"));
  EXPECT_THAT(
      Sole(CheckFreeze, absl::StrReplaceAll(
                            kOutage, {{"outage op=end",
                                       "exit name=x node=a\noutage op=end"}})),
      HasSubstr("exit of x during the outage"));
  EXPECT_THAT(
      Sole(CheckFreeze,
           absl::StrReplaceAll(
               kOutage, {{"invoke session=c call=2",
                          "reap node=a n=2 at=6\ninvoke session=c call=2"}})),
      HasSubstr("reap of a right after the outage"));
  EXPECT_THAT(
      Sole(CheckFreeze,
           absl::StrReplaceAll(kOutage, {{"ok session=c call=2 e=4",
                                          "ok session=c call=2 e=4 at=29"}})),
      HasSubstr("did not answer in time"));
}

// --- G14, G15 ---

TEST(LimitsTest, AMeasureAboveItsLimitIsSeen) {
  EXPECT_EQ(Sole(CheckLimits, "measure key=mailbox value=10 limit=10"), "");
  EXPECT_THAT(Sole(CheckLimits, "measure key=mailbox value=11 limit=10"),
              HasSubstr("mailbox was 11, its limit is 10"));
}

TEST(AccessTest, ADoorThatStandsOpenOrStuckIsSeen) {
  EXPECT_EQ(Sole(CheckAccess, R"(
access session=viewer op=ListNodes value=1 limit=1
access session=client op=DrainNode value=0 limit=0
)"),
            "");
  EXPECT_THAT(
      Sole(CheckAccess, "access session=client op=DrainNode value=1 limit=0"),
      HasSubstr("served to client"));
  EXPECT_THAT(
      Sole(CheckAccess, "access session=admin op=DrainNode value=0 limit=1"),
      HasSubstr("refused to admin"));
}

}  // namespace
}  // namespace muster
