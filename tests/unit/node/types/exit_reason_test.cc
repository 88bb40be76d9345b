#include "node/types/exit_reason.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace muster {
namespace {

using ::testing::HasSubstr;

std::vector<ExitReason> All() {
  core::v1::Epoch payload;
  payload.set_revision(7);
  return {ExitReason::Normal(),
          ExitReason::Shutdown(),
          ExitReason::Shutdown("drain"),
          ExitReason::Kill(),
          ExitReason::Killed(),
          ExitReason::Noproc(),
          ExitReason::Noconnection(),
          ExitReason::Nodedown("b"),
          ExitReason::Timeout(),
          ExitReason::AlreadyStarted(Pid{"a", {1, 2}, 3}),
          ExitReason::BadReturnValue("7"),
          ExitReason::Exception("bad cast", "main.cc:1"),
          ExitReason::Custom("boom"),
          ExitReason::Custom("boom", payload)};
}

TEST(ExitReasonTest, ReadsAsInErlang) {
  std::vector<std::string> texts;
  for (const ExitReason& reason : All()) texts.push_back(reason.ToString());
  EXPECT_THAT(texts,
              ::testing::ElementsAre(
                  "normal", "shutdown", "shutdown(drain)", "kill", "killed",
                  "noproc", "noconnection", "nodedown(b)", "timeout",
                  "already_started(a~0000000000000001.0000000000000002~3)",
                  "bad_return_value(7)", "exception(bad cast)", "custom(boom)",
                  "custom(boom)"));
}

TEST(ExitReasonTest, ComesBackAndDiffersFromTheOthers) {
  const std::vector<ExitReason> all = All();
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t j = 0; j < all.size(); ++j) {
      EXPECT_EQ(ExitReason::FromProto(all[i].ToProto()) == all[j], i == j)
          << i << " " << j;
    }
  }
}

TEST(ExitReasonTest, OnlyNormalAndShutdownAreNormal) {
  for (const ExitReason& reason : All()) {
    EXPECT_EQ(reason.IsNormal(),
              reason.kind() == ExitReason::Kind::kNormal ||
                  reason.kind() == ExitReason::Kind::kShutdown);
  }
}

TEST(ExitReasonTest, LongTextIsCutWithANoteBetweenCharacters) {
  std::string text;
  while (text.size() < 70'000) text += "\xE2\x82\xAC";
  const core::v1::ExitReason proto =
      ExitReason::Exception(text, std::string(100'000, 's')).ToProto();
  EXPECT_LE(proto.text().size(), size_t{64} << 10);
  EXPECT_GT(proto.text().size(), (size_t{64} << 10) - 8);
  EXPECT_THAT(proto.text(), HasSubstr("(cut, 70002 bytes)"));
  EXPECT_LE(proto.stack().size(), size_t{64} << 10);
  // Valid UTF-8, or it would not parse.
  core::v1::ExitReason again;
  EXPECT_TRUE(again.ParseFromString(proto.SerializeAsString()));
}

TEST(ExitReasonTest, TextOf64KibIsWhole) {
  const std::string text(size_t{64} << 10, 'x');
  EXPECT_EQ(ExitReason::Custom(text).ToProto().text(), text);
}

TEST(ExitReasonTest, BigPayloadIsLeftOutWithANote) {
  core::v1::Payload payload;
  payload.set_value(std::string(100'000, 'p'));
  const core::v1::ExitReason proto =
      ExitReason::Custom("boom", payload).ToProto();
  EXPECT_FALSE(proto.has_payload());
  EXPECT_THAT(proto.text(), HasSubstr("left out"));
}

TEST(ExitReasonTest, UnknownKindBecomesCustomWithANote) {
  core::v1::ExitReason proto;
  proto.set_kind(static_cast<core::v1::ExitReason::Kind>(99));
  proto.set_text("new");
  const ExitReason reason = ExitReason::FromProto(proto);
  EXPECT_EQ(reason.kind(), ExitReason::Kind::kCustom);
  EXPECT_EQ(reason.text(), "new [exit reason of unknown kind 99]");
  EXPECT_EQ(ExitReason::FromProto(core::v1::ExitReason()).kind(),
            ExitReason::Kind::kCustom);
}

TEST(ExitReasonTest, WhatComesInIsCutToo) {
  core::v1::ExitReason proto;
  proto.set_kind(core::v1::ExitReason::CUSTOM);
  proto.set_text(std::string(100'000, 't'));
  proto.set_stack(std::string(100'000, 's'));
  const ExitReason reason = ExitReason::FromProto(proto);
  EXPECT_LE(reason.text().size(), size_t{64} << 10);
  EXPECT_THAT(std::string(reason.text()), HasSubstr("(cut, 100000 bytes)"));
  // Nothing is left for the way out.
  EXPECT_EQ(ExitReason::FromProto(reason.ToProto()), reason);
  proto.set_kind(static_cast<core::v1::ExitReason::Kind>(99));
  EXPECT_THAT(std::string(ExitReason::FromProto(proto).text()),
              HasSubstr("[exit reason of unknown kind 99]"));
}

}  // namespace
}  // namespace muster
