#include "node/peer/codec.h"

#include <string>
#include <utility>
#include <vector>

#include "google/protobuf/duration.pb.h"
#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {
namespace {

using peer::v1::Frame;

constexpr BootTime kHere = BootTime::FromNanoseconds(5'000'000'000);
constexpr BootTime kThere = BootTime::FromNanoseconds(777'000'000'000);

Meta FullMeta() {
  Meta meta;
  meta.deadline = kHere + absl::Milliseconds(1500);
  for (uint64_t i = 1; i <= kChainMax; ++i)
    meta.chain.push_back({"a", {1, 2}, i});
  meta.identity = "spiffe://c/alice";
  meta.traceparent = "00-x";
  meta.tracestate = "k=v";
  meta.metadata = {{"k", "v"}, {"k", "w"}, {"a", ""}};
  meta.target_epoch = {1, 5};
  meta.sender_name = "sender";
  meta.sender_epoch = {1, 6};
  meta.hops = 4;
  return meta;
}

TEST(CodecMetaTest, ComesBackOnTheOtherClock) {
  const Meta meta = FullMeta();
  const absl::StatusOr<Meta> back =
      DecodeMeta(EncodeMeta(meta, kHere).value(), kThere);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->deadline, kThere + absl::Milliseconds(1500));
  EXPECT_EQ(back->chain, meta.chain);
  EXPECT_EQ(back->identity, meta.identity);
  EXPECT_EQ(back->traceparent, meta.traceparent);
  EXPECT_EQ(back->tracestate, meta.tracestate);
  EXPECT_EQ(back->metadata, meta.metadata);
  EXPECT_EQ(back->target_epoch, meta.target_epoch);
  EXPECT_EQ(back->sender_name, meta.sender_name);
  EXPECT_EQ(back->sender_epoch, meta.sender_epoch);
  EXPECT_EQ(back->hops, 4u);
}

TEST(CodecMetaTest, NoDeadlineStaysNone) {
  const core::v1::CallMeta proto = EncodeMeta(Meta(), kHere).value();
  EXPECT_FALSE(proto.has_remaining());
  EXPECT_TRUE(DecodeMeta(proto, kThere)->deadline.is_infinite());
}

TEST(CodecMetaTest, PassedOrAbsurdDeadlinesAreHarmless) {
  Meta meta;
  meta.deadline = kHere - absl::Seconds(1);
  EXPECT_EQ(DecodeMeta(EncodeMeta(meta, kHere).value(), kThere)->deadline,
            kThere);
  core::v1::CallMeta proto;
  proto.mutable_remaining()->set_seconds(-5);
  EXPECT_EQ(DecodeMeta(proto, kThere)->deadline, kThere);
  proto.mutable_remaining()->set_seconds(INT64_MAX);
  proto.mutable_remaining()->set_nanos(INT32_MAX);
  EXPECT_TRUE(DecodeMeta(proto, kThere)->deadline.is_infinite());
}

TEST(CodecMetaTest, RefusesTooMuchInBothDirections) {
  Meta meta = FullMeta();
  core::v1::CallMeta proto = EncodeMeta(meta, kHere).value();
  meta.chain.push_back({"a", {1, 2}, 99});
  EXPECT_EQ(EncodeMeta(meta, kHere).status().code(),
            absl::StatusCode::kInvalidArgument);
  *proto.add_chain() = Pid{"a", {1, 2}, 99}.ToProto();
  EXPECT_EQ(DecodeMeta(proto, kHere).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OutcomeOf(DecodeMeta(proto, kHere).status()),
            Outcome::kNotExecuted);

  meta = Meta();
  meta.metadata = {{"k", std::string(kMetadataBytesMax - 1, 'v')}};
  proto = EncodeMeta(meta, kHere).value();
  EXPECT_TRUE(DecodeMeta(proto, kHere).ok());
  meta.metadata.emplace_back("k", "");
  EXPECT_EQ(EncodeMeta(meta, kHere).status().code(),
            absl::StatusCode::kInvalidArgument);
  proto.add_metadata()->set_key("k");
  EXPECT_EQ(DecodeMeta(proto, kHere).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(CodecMetaTest, TooManyHopsAreALoop) {
  Meta meta;
  meta.hops = kHopsMax + 1;
  const absl::Status status = EncodeMeta(meta, kHere).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(status), "ROUTING_LOOP");
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  core::v1::CallMeta proto;
  proto.set_hops(kHopsMax + 1);
  EXPECT_EQ(ReasonOf(DecodeMeta(proto, kHere).status()), "ROUTING_LOOP");
}

TEST(CodecRequestTest, CallsAndCastsComeBack) {
  Request request(ServerRef("x"), "/p.S/M", Payload::FromBytes("bytes"));
  request.meta = FullMeta();
  request.caller = Pid{"a", {1, 2}, 3};
  const Pid resolved{"b", {1, 4}, 9};
  Frame frame = EncodeCall(request, resolved, 77, kHere).value();
  EXPECT_EQ(frame.call().call_id(), 77u);
  EXPECT_EQ(Pid::FromProto(frame.call().resolved()), resolved);
  absl::StatusOr<Request> back = DecodeCall(frame.mutable_call(), kThere);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->target, request.target);
  EXPECT_EQ(back->method, request.method);
  EXPECT_EQ(back->payload.ToBytes(), "bytes");
  EXPECT_EQ(back->caller, request.caller);
  EXPECT_EQ(back->meta.chain, request.meta.chain);

  frame = EncodeCast(request, Pid(), 5, kHere).value();
  EXPECT_EQ(frame.cast().ack_id(), 5u);
  EXPECT_FALSE(frame.cast().has_resolved());
  back = DecodeCast(frame.mutable_cast(), kThere);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->payload.ToBytes(), "bytes");
}

TEST(CodecRequestTest, RefusesTargetsThatCannotExist) {
  peer::v1::Call call;
  EXPECT_EQ(ReasonOf(DecodeCall(&call, kHere).status()), "BAD_NAME");
  call.mutable_target()->set_global("../x");
  EXPECT_EQ(ReasonOf(DecodeCall(&call, kHere).status()), "BAD_NAME");
  call.mutable_target()->mutable_local()->set_name("");
  EXPECT_EQ(ReasonOf(DecodeCall(&call, kHere).status()), "BAD_NAME");
  call.mutable_target()->mutable_pid()->set_node("a");
  EXPECT_EQ(ReasonOf(DecodeCall(&call, kHere).status()), "BAD_PID");
}

TEST(CodecRequestTest, RefusesWhatIsTooLarge) {
  Request request(ServerRef("x"), "/p.S/M",
                  Payload::FromBytes(std::string(kFrameBytesMax, 'x')));
  const absl::Status status = EncodeCall(request, Pid(), 1, kHere).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(status), "REQUEST_TOO_LARGE");
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
}

TEST(CodecReplyTest, ResultsComeBack) {
  CallResult result(Payload::FromBytes("reply"));
  result.epoch = {1, 7};
  result.fence_remaining = absl::Milliseconds(2500);
  Frame frame = EncodeReply(3, result);
  CallResult back = DecodeReply(frame.mutable_reply());
  EXPECT_TRUE(back.status.ok());
  EXPECT_EQ(back.reply.ToBytes(), "reply");
  EXPECT_EQ(back.epoch, result.epoch);
  EXPECT_EQ(back.fence_remaining, result.fence_remaining);

  const absl::Status error =
      Error(absl::StatusCode::kAborted, "X", "why").Executed();
  frame = EncodeReply(4, CallResult(error));
  back = DecodeReply(frame.mutable_reply());
  EXPECT_EQ(back.status, error);
  EXPECT_EQ(back.fence_remaining, absl::InfiniteDuration());
  EXPECT_TRUE(back.epoch.empty());
}

TEST(CodecReplyTest, TooLargeAReplyIsAnErrorOfAnExecutedCall) {
  Frame frame = EncodeReply(
      3, CallResult(Payload::FromBytes(std::string(kFrameBytesMax, 'x'))));
  const CallResult back = DecodeReply(frame.mutable_reply());
  EXPECT_EQ(back.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(back.status), "REPLY_TOO_LARGE");
  EXPECT_EQ(OutcomeOf(back.status), Outcome::kExecuted);
}

TEST(CodecBytesTest, RemainingIsSetByAppending) {
  Request request(ServerRef("x"), "/p.S/M", Payload::FromBytes("bytes"));
  request.meta.chain = {Pid{"a", {1, 2}, 3}};
  request.meta.hops = 2;
  const std::string call =
      SerializeFrame(EncodeCall(request, Pid(), 7, kHere).value());
  for (const absl::Duration remaining :
       {absl::ZeroDuration(), absl::Nanoseconds(1), absl::Seconds(2),
        absl::Milliseconds(1500)}) {
    Frame frame;
    ASSERT_TRUE(
        frame.ParseFromString(call + RemainingSuffix(Frame::kCall, remaining)));
    EXPECT_EQ(frame.call().call_id(), 7u);
    absl::StatusOr<Request> back = DecodeCall(frame.mutable_call(), kThere);
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back->meta.deadline, kThere + remaining);
    EXPECT_EQ(back->meta.hops, 2u);
    EXPECT_EQ(back->meta.chain, request.meta.chain);
    EXPECT_EQ(back->payload.ToBytes(), "bytes");
  }
  const std::string reply =
      SerializeFrame(EncodeReply(7, CallResult(Payload::FromBytes("r"))));
  Frame frame;
  ASSERT_TRUE(frame.ParseFromString(
      reply + RemainingSuffix(Frame::kReply, absl::Seconds(3))));
  EXPECT_EQ(frame.reply().response(), "r");
  EXPECT_EQ(frame.reply().fence_remaining().seconds(), 3);
}

TEST(CodecBytesTest, BatchesComeBack) {
  for (const size_t count : {size_t{1}, size_t{3}, kBatchFramesMax}) {
    std::vector<std::string> frames;
    for (size_t i = 0; i < count; ++i) {
      frames.push_back(SerializeFrame(EncodeReply(
          i + 1, CallResult(Payload::FromBytes(std::string(i % 300, 'x'))))));
    }
    const absl::StatusOr<peer::v1::PeerMessage> message =
        ParsePeerMessage(SerializeBatch(1'000'000, frames));
    ASSERT_TRUE(message.ok()) << message.status();
    EXPECT_EQ(message->batch().first_seq(), 1'000'000u);
    ASSERT_EQ(static_cast<size_t>(message->batch().frames_size()), count);
    EXPECT_EQ(message->batch().frames(0).reply().call_id(), 1u);
  }
}

TEST(CodecBytesTest, RefusesGarbage) {
  for (const std::string& bytes :
       {std::string("\xFF\xFF\xFF"), std::string("\x1A\x7F"),
        std::string("\x1A\x02\x12\x05"), std::string("\x0B"),
        std::string(100, '\x07'), std::string("\x1A\xFF\xFF\xFF\xFF\x0F")}) {
    EXPECT_EQ(ParsePeerMessage(bytes).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  // Truncated anywhere, a batch is either refused or another valid message.
  const std::string whole = SerializeBatch(
      1, {SerializeFrame(EncodeReply(1, CallResult(Payload::FromBytes("x"))))});
  for (size_t size = 1; size < whole.size(); ++size) {
    EXPECT_FALSE(ParsePeerMessage(whole.substr(0, size)).ok()) << size;
  }
  EXPECT_TRUE(ParsePeerMessage(whole).ok());
}

TEST(CodecBytesTest, RefusesTooManyFramesBeforeParsingThem) {
  const std::vector<std::string> frames(kBatchFramesMax + 1, std::string());
  EXPECT_EQ(ParsePeerMessage(SerializeBatch(1, frames)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(CodecBytesTest, ToleratesUnknownFields) {
  // Field 99 of PeerMessage, and of a frame.
  EXPECT_TRUE(ParsePeerMessage(std::string("\x9A\x06\x01x")).ok());
  const absl::StatusOr<peer::v1::PeerMessage> message =
      ParsePeerMessage(SerializeBatch(1, {std::string("\x9A\x06\x01x")}));
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->batch().frames(0).frame_case(), Frame::FRAME_NOT_SET);
}

}  // namespace
}  // namespace muster
