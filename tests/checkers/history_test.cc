#include "tests/checkers/history.h"

#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/pid.h"
#include "tests/checkers/event.h"

namespace muster {
namespace {

using testing::HasSubstr;

std::string TempFile(const std::string& name) {
  return std::string(std::getenv("TEST_TMPDIR")) + "/" + name;
}

TEST(EventTest, EveryFieldSurvivesTheWayThroughText) {
  HistoryEvent event;
  event.at_ns = -5;
  event.kind = EventKind::kDown;
  event.node = "n0";
  event.node_epoch = Epoch{1, 2};
  event.session = "quote \" backslash \\ newline \n \x01";
  event.name = "x";
  event.epoch = Epoch{3, 4};
  event.call = "18446744073709551615";
  event.op = "o";
  event.reason = "r";
  event.outcome = "UNKNOWN";
  event.key = "k";
  event.value = -7;
  event.limit = 9'000'000'000'000'000'000;
  event.seq = 18'446'744'073'709'551'615u;
  const auto back = ParseEvent(ToJson(event));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, event);
}

TEST(EventTest, EveryKindHasItsName) {
  for (int i = 0; i <= static_cast<int>(EventKind::kPhase); ++i) {
    HistoryEvent event;
    event.kind = static_cast<EventKind>(i);
    const auto back = ParseEvent(ToJson(event));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->kind, event.kind);
  }
  EXPECT_EQ(KindName(EventKind::kGaveUp), "gave_up");
  EXPECT_EQ(KindName(EventKind::kInvoke), "invoke");
  EXPECT_EQ(KindName(EventKind::kAdmit), "admit");
}

TEST(EventTest, WhatOtherWritersMakeIsRead) {
  const auto event = ParseEvent(
      "  { \"kind\" : \"ok\", \"at\": 12, \"session\": \"\\u00e4\\n\","
      " \"value\": true } ");
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->kind, EventKind::kOk);
  EXPECT_EQ(event->at_ns, 12);
  EXPECT_EQ(event->session, "\xc3\xa4\n");
  EXPECT_EQ(event->value, 1);
}

TEST(EventTest, WhatIsNoEventIsRefused) {
  for (const char* line :
       {"", "{", "[]", "{\"at\":1}", "{\"kind\":\"nothing\"}",
        "{\"kind\":\"ok\",\"nmae\":\"x\"}", "{\"kind\":\"ok\",\"at\":\"1\"}",
        "{\"kind\":\"ok\",\"epoch\":\"7\"}", "{\"kind\":\"ok\"} {}",
        "{\"kind\":\"ok\" \"at\":1}", "{\"kind\":\"ok\",\"at\":1.5}",
        "{\"kind\":\"ok\",\"name\":\"\\q\"}", "{\"kind\":\"ok\",\"seq\":-1}"}) {
    EXPECT_EQ(ParseEvent(line).status().code(),
              absl::StatusCode::kInvalidArgument)
        << line;
  }
}

TEST(HistoryTest, FilesAreMergedByTimeAndKeepTheirOwnOrder) {
  std::ofstream(TempFile("a"))
      << "{\"at\":1,\"kind\":\"fault\",\"op\":\"a1\"}\n"
         "{\"at\":3,\"kind\":\"fault\",\"op\":\"a2\"}\n"
         "{\"at\":3,\"kind\":\"fault\",\"op\":\"a3\"}\n";
  std::ofstream(TempFile("b"))
      << "\n{\"at\":2,\"kind\":\"fault\",\"op\":\"b1\"}\n";
  const auto history = ReadHistories({TempFile("a"), TempFile("b")});
  ASSERT_TRUE(history.ok()) << history.status();
  std::string order;
  for (const HistoryEvent& event : *history) order += event.op;
  EXPECT_EQ(order, "a1b1a2a3");
}

TEST(HistoryTest, ALineThatAKilledRecorderDidNotFinishIsLeftOut) {
  std::ofstream(TempFile("torn"))
      << "{\"at\":1,\"kind\":\"fault\"}\n{\"at\":2,\"ki";
  const auto history = ReadHistories({TempFile("torn")});
  ASSERT_TRUE(history.ok()) << history.status();
  EXPECT_EQ(history->size(), 1u);
}

TEST(HistoryTest, ABadLineIsNamed) {
  std::ofstream(TempFile("bad"))
      << "{\"at\":1,\"kind\":\"fault\"}\n{\"at\":2,\"ki\n";
  const auto history = ReadHistories({TempFile("bad")});
  EXPECT_EQ(history.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(history.status().message()), HasSubstr("bad:2: "));
}

TEST(HistoryTest, WhatIsWrittenIsReadBack) {
  History history(2);
  history[0].kind = EventKind::kClaim;
  history[0].epoch = Epoch{1, 5};
  history[1].at_ns = 7;
  ASSERT_TRUE(WriteHistory(history, TempFile("w")).ok());
  const auto back = ReadHistories({TempFile("w")});
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, history);
}

}  // namespace
}  // namespace muster
