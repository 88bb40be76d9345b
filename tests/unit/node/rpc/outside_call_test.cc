#include "node/rpc/outside_call.h"

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "grpc/support/time.h"
#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

TEST(OutsideCallTest, MetadataIsSorted) {
  const auto read = ReadClientMetadata({{"muster-name", "counter_a"},
                                        {"grpc-timeout", "1S"},
                                        {"muster-other", "x"},
                                        {":authority", "x"},
                                        {"user-agent", "x"},
                                        {"te", "trailers"},
                                        {"content-type", "application/grpc"},
                                        {"blob-bin", "\xff"},
                                        {"traceparent", "00-1-2-01"},
                                        {"tracestate", "a=b"},
                                        {"color", "blue"},
                                        {"color", "red"}});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->name, "counter_a");
  EXPECT_FALSE(read->pid.has_value());
  EXPECT_EQ(read->traceparent, "00-1-2-01");
  EXPECT_EQ(read->tracestate, "a=b");
  EXPECT_THAT(read->metadata,
              ElementsAre(Pair("color", "blue"), Pair("color", "red")));
}

TEST(OutsideCallTest, TheEpochThatAClientHasSeenIsItsFloor) {  // guarantees G5
  const Epoch seen{1, 38};
  auto read = ReadClientMetadata(
      {{"muster-name", "a"},
       {"muster-min-epoch", "0000000000000001.0000000000000026"}});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->min_epoch, seen);
  const Meta meta = (*std::move(read)).ToMeta();
  EXPECT_EQ(meta.min_epoch, seen);
  EXPECT_TRUE(meta.metadata.empty());
  const absl::Status bad =
      ReadClientMetadata({{"muster-min-epoch", "38"}}).status();
  EXPECT_EQ(bad.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(bad), "BAD_EPOCH");
  EXPECT_EQ(OutcomeOf(bad), Outcome::kNotExecuted);
}

TEST(OutsideCallTest, BadMetadataIsRefused) {
  const std::string fits(kMetadataBytesMax - 1, 'x');
  const std::string long_value(kMetadataBytesMax, 'x');
  EXPECT_TRUE(ReadClientMetadata({{"k", fits}}).ok());
  for (const Metadata& metadata :
       {Metadata{{"k", long_value}},
        Metadata{{"muster-name", "a"}, {"muster-name", "b"}},
        Metadata{{"muster-pid", "a"}, {"muster-pid", "a"}},
        Metadata{{"k", "a\nb"}}, Metadata{{"k", "\xc3\xa9"}}}) {
    const absl::Status status = ReadClientMetadata(metadata).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ReasonOf(status), "BAD_METADATA");
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  }
}

TEST(OutsideCallTest, DeadlineHasADefaultAndACap) {
  const auto in = [](int64_t seconds) {
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_seconds(seconds, GPR_TIMESPAN));
  };
  EXPECT_EQ(*TimeLeft(gpr_inf_future(GPR_CLOCK_REALTIME)), kDefaultTimeout);
  EXPECT_EQ(*TimeLeft(gpr_inf_future(GPR_CLOCK_MONOTONIC)), kDefaultTimeout);
  EXPECT_EQ(*TimeLeft(in(10'000)), kTimeoutMax);
  const absl::Duration minute = *TimeLeft(in(60));
  EXPECT_LE(minute, absl::Seconds(60));
  EXPECT_GT(minute, absl::Seconds(1));
  for (const int64_t seconds : {0, -1, -100'000}) {
    const absl::Status status = TimeLeft(in(seconds)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(ReasonOf(status), "TIMEOUT");
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  }
}

TEST(OutsideCallTest, MethodPathsAreNormalized) {
  EXPECT_EQ(*NormalizeMethodPath("/a.B/C"), "/a.B/C");
  EXPECT_EQ(*NormalizeMethodPath("a.B/C"), "/a.B/C");
  for (const std::string& path :
       {std::string(""), std::string("/"), std::string("/a.B"),
        std::string("/a.B/"), std::string("//C"), std::string("/a.B/C/D"),
        std::string("/a.B/C\n"), "/a.B/" + std::string(600, 'm')}) {
    const absl::Status status = NormalizeMethodPath(path).status();
    EXPECT_EQ(ReasonOf(status), "BAD_METHOD") << path;
    EXPECT_LT(status.message().size(), 400u);
  }
}

TEST(OutsideCallTest, WithoutBackendItIsStarting) {
  BackendCell cell;
  OutsideCall call;
  absl::Status answer;
  int answers = 0;
  call.Start(
      &cell, absl::Seconds(1),
      [&](CallResult result) {
        answer = result.status;
        ++answers;
      },
      [](const RpcBackend&, std::shared_ptr<CallSlot>) {
        ADD_FAILURE() << "there is nothing to hand it to";
      });
  EXPECT_EQ(answers, 1);
  EXPECT_EQ(answer.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(answer), "STARTING");
  EXPECT_EQ(OutcomeOf(answer), Outcome::kNotExecuted);
  call.Cancel();
  EXPECT_EQ(answers, 1);
}

}  // namespace
}  // namespace muster
