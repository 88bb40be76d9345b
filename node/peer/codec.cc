#include "node/peer/codec.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/message_lite.h"
#include "google/protobuf/wire_format_lite.h"
#include "node/types/names.h"
#include "node/types/proto_time.h"
#include "node/types/status.h"
#include "node/types/utf8.h"

namespace muster {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using peer::v1::Frame;

constexpr int kNestingMax = 32;

Error BadMeta(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_META", message)
      .NotExecuted();
}

// OK if the amounts are within their limits.
absl::Status CheckMeta(size_t chain, size_t metadata_bytes, uint32_t hops) {
  if (chain > kChainMax) {
    return BadMeta(absl::StrCat("a chain of ", chain,
                                " waiting processes is too long: at most ",
                                kChainMax));
  }
  if (metadata_bytes > kMetadataBytesMax) {
    return BadMeta(absl::StrCat("metadata of ", metadata_bytes,
                                " bytes is too large: at most ",
                                kMetadataBytesMax));
  }
  if (hops > kHopsMax) {
    return Error(absl::StatusCode::kUnavailable, "ROUTING_LOOP",
                 absl::StrCat("the message was forwarded ", hops,
                              " times: at most ", kHopsMax))
        .NotExecuted();
  }
  return absl::OkStatus();
}

// OK if such a target can exist.
absl::Status CheckTarget(const ServerRef& target) {
  switch (target.kind()) {
    case ServerRef::Kind::kPid:
    case ServerRef::Kind::kAlias:
      if (!target.pid().empty()) return absl::OkStatus();
      return Error(absl::StatusCode::kInvalidArgument, "BAD_PID",
                   "the target is the empty pid")
          .NotExecuted();
    case ServerRef::Kind::kLocal:
    case ServerRef::Kind::kGlobal:
      return ValidateName(target.name());
    case ServerRef::Kind::kVia:  // Never on the wire.
      break;
  }
  return absl::OkStatus();
}

absl::Status CheckFrame(const Frame& frame) {
  const size_t bytes = frame.ByteSizeLong();
  if (bytes <= kFrameBytesMax) return absl::OkStatus();
  return Error(absl::StatusCode::kResourceExhausted, "REQUEST_TOO_LARGE",
               absl::StrCat("a message of ", bytes,
                            " bytes cannot go to another node: at most ",
                            kFrameBytesMax))
      .NotExecuted();
}

// What call and cast frames share.
template <typename Body>
absl::Status EncodeRequest(const Request& request, const Pid& resolved,
                           BootTime now, Body* body) {
  absl::StatusOr<core::v1::CallMeta> meta = EncodeMeta(request.meta, now);
  if (!meta.ok()) return std::move(meta).status();
  *body->mutable_target() = request.target.ToProto();
  if (!resolved.empty()) *body->mutable_resolved() = resolved.ToProto();
  body->set_method(request.method);
  body->set_request(request.payload.ToBytes());
  *body->mutable_meta() = *std::move(meta);
  return absl::OkStatus();
}

template <typename Body>
absl::StatusOr<Request> DecodeRequest(Body* body, BootTime now) {
  absl::StatusOr<Meta> meta = DecodeMeta(body->meta(), now);
  if (!meta.ok()) return std::move(meta).status();
  ServerRef target = ServerRef::FromProto(body->target());
  if (absl::Status status = CheckTarget(target); !status.ok()) return status;
  Request request(std::move(target), body->method(),
                  Payload::FromBytes(std::move(*body->mutable_request())));
  request.meta = *std::move(meta);
  return request;
}

std::string SerializeDeterministic(
    const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializePartialToCodedStream(&coded);
  }
  return bytes;
}

void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

// Tags of the fields that SerializeBatch and CountFrames write and read.
constexpr uint32_t kBatchTag =
    WireFormatLite::MakeTag(peer::v1::PeerMessage::kBatchFieldNumber,
                            WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
constexpr uint32_t kFirstSeqTag = WireFormatLite::MakeTag(
    peer::v1::Batch::kFirstSeqFieldNumber, WireFormatLite::WIRETYPE_VARINT);
constexpr uint32_t kFramesTag =
    WireFormatLite::MakeTag(peer::v1::Batch::kFramesFieldNumber,
                            WireFormatLite::WIRETYPE_LENGTH_DELIMITED);

// Adds the length-delimited fields tagged `tag` at this level to `count`, and
// hands their content to `inner`. False: no well-formed protobuf.
template <typename Inner>
bool Scan(absl::string_view bytes, uint32_t tag, Inner inner) {
  CodedInputStream stream(reinterpret_cast<const uint8_t*>(bytes.data()),
                          static_cast<int>(bytes.size()));
  while (const uint32_t found = stream.ReadTag()) {
    if (found != tag) {
      if (!WireFormatLite::SkipField(&stream, found)) return false;
      continue;
    }
    uint32_t size;
    if (!stream.ReadVarint32(&size)) return false;
    const int at = stream.CurrentPosition();
    if (size > bytes.size() - static_cast<size_t>(at)) return false;
    if (!inner(bytes.substr(static_cast<size_t>(at), size))) return false;
    if (!stream.Skip(static_cast<int>(size))) return false;
  }
  return stream.ConsumedEntireMessage();
}

bool CountFrames(absl::string_view bytes, size_t* count) {
  return Scan(bytes, kBatchTag, [count](absl::string_view batch) {
    return Scan(batch, kFramesTag, [count](absl::string_view) {
      ++*count;
      return true;
    });
  });
}

}  // namespace

absl::StatusOr<core::v1::CallMeta> EncodeMeta(const Meta& meta, BootTime now) {
  size_t metadata_bytes = 0;
  for (const auto& [key, value] : meta.metadata) {
    metadata_bytes += key.size() + value.size();
  }
  if (absl::Status status =
          CheckMeta(meta.chain.size(), metadata_bytes, meta.hops);
      !status.ok()) {
    return status;
  }
  core::v1::CallMeta proto;
  if (!meta.deadline.is_infinite()) {
    *proto.mutable_remaining() =
        ToProtoDuration(std::max(meta.deadline - now, absl::ZeroDuration()));
  }
  for (const Pid& pid : meta.chain) *proto.add_chain() = pid.ToProto();
  if (meta.chain_calls.size() == meta.chain.size()) {
    for (const uint64_t call : meta.chain_calls) proto.add_chain_calls(call);
  }
  proto.set_identity(ToValidUtf8(meta.identity));
  proto.set_traceparent(ToValidUtf8(meta.traceparent));
  proto.set_tracestate(ToValidUtf8(meta.tracestate));
  for (const auto& [key, value] : meta.metadata) {
    core::v1::Metadata* const entry = proto.add_metadata();
    entry->set_key(ToValidUtf8(key));
    entry->set_value(ToValidUtf8(value));
  }
  if (!meta.target_epoch.empty()) {
    *proto.mutable_target_epoch() = meta.target_epoch.ToProto();
  }
  if (!meta.sender_epoch.empty()) {
    *proto.mutable_sender_epoch() = meta.sender_epoch.ToProto();
    proto.set_sender_name(meta.sender_name);
  }
  proto.set_hops(meta.hops);
  return proto;
}

absl::StatusOr<Meta> DecodeMeta(const core::v1::CallMeta& proto, BootTime now) {
  size_t metadata_bytes = 0;
  for (const core::v1::Metadata& entry : proto.metadata()) {
    metadata_bytes += entry.key().size() + entry.value().size();
  }
  if (absl::Status status = CheckMeta(static_cast<size_t>(proto.chain_size()),
                                      metadata_bytes, proto.hops());
      !status.ok()) {
    return status;
  }
  Meta meta;
  if (proto.has_remaining()) {
    const absl::Duration remaining =
        std::max(FromProtoDuration(proto.remaining()), absl::ZeroDuration());
    // What does not fit into a boot clock is no limit.
    meta.deadline = remaining > absl::Hours(24 * 365 * 100)
                        ? BootTime::Infinite()
                        : now + remaining;
  }
  for (const core::v1::Pid& pid : proto.chain()) {
    meta.chain.push_back(Pid::FromProto(pid));
  }
  if (proto.chain_calls_size() == proto.chain_size()) {
    meta.chain_calls.assign(proto.chain_calls().begin(),
                            proto.chain_calls().end());
  }
  meta.identity = proto.identity();
  meta.traceparent = proto.traceparent();
  meta.tracestate = proto.tracestate();
  for (const core::v1::Metadata& entry : proto.metadata()) {
    meta.metadata.emplace_back(entry.key(), entry.value());
  }
  meta.target_epoch = Epoch::FromProto(proto.target_epoch());
  meta.sender_epoch = Epoch::FromProto(proto.sender_epoch());
  meta.sender_name = proto.sender_name();
  if (meta.sender_name.empty() != meta.sender_epoch.empty() ||
      (!meta.sender_name.empty() && !ValidateName(meta.sender_name).ok())) {
    return BadMeta("sender_name and sender_epoch are no name and its epoch")
        .status();
  }
  meta.hops = proto.hops();
  return meta;
}

absl::StatusOr<Frame> EncodeCall(const Request& request, const Pid& resolved,
                                 uint64_t call_id, BootTime now) {
  Frame frame;
  peer::v1::Call* const call = frame.mutable_call();
  if (absl::Status status = EncodeRequest(request, resolved, now, call);
      !status.ok()) {
    return status;
  }
  call->set_call_id(call_id);
  if (!request.caller.empty()) {
    *call->mutable_caller() = request.caller.ToProto();
  }
  if (absl::Status status = CheckFrame(frame); !status.ok()) return status;
  return frame;
}

absl::StatusOr<Frame> EncodeCast(const Request& request, const Pid& resolved,
                                 uint64_t ack_id, BootTime now) {
  Frame frame;
  peer::v1::Cast* const cast = frame.mutable_cast();
  if (absl::Status status = EncodeRequest(request, resolved, now, cast);
      !status.ok()) {
    return status;
  }
  cast->set_ack_id(ack_id);
  if (absl::Status status = CheckFrame(frame); !status.ok()) return status;
  return frame;
}

absl::StatusOr<Frame> EncodeInfo(const ServerRef& target, const Info& info,
                                 const Meta& meta, BootTime now) {
  absl::StatusOr<core::v1::CallMeta> encoded = EncodeMeta(meta, now);
  if (!encoded.ok()) return std::move(encoded).status();
  Frame frame;
  peer::v1::Info* const body = frame.mutable_info();
  *body->mutable_target() = target.ToProto();
  body->mutable_payload()->set_type(info.payload().type());
  body->mutable_payload()->set_value(info.payload().ToBytes());
  *body->mutable_meta() = *std::move(encoded);
  if (absl::Status status = CheckFrame(frame); !status.ok()) return status;
  return frame;
}

absl::StatusOr<Request> DecodeCall(peer::v1::Call* call, BootTime now) {
  absl::StatusOr<Request> request = DecodeRequest(call, now);
  if (request.ok()) request->caller = Pid::FromProto(call->caller());
  return request;
}

absl::StatusOr<Request> DecodeCast(peer::v1::Cast* cast, BootTime now) {
  return DecodeRequest(cast, now);
}

Frame EncodeReply(uint64_t call_id, const CallResult& result) {
  Frame frame;
  peer::v1::Reply* const reply = frame.mutable_reply();
  reply->set_call_id(call_id);
  if (result.status.ok()) {
    reply->set_response(result.reply.ToBytes());
  } else {
    *reply->mutable_status() = ToRpcStatus(result.status);
  }
  if (!result.epoch.empty()) *reply->mutable_epoch() = result.epoch.ToProto();
  if (!result.owner.empty()) *reply->mutable_owner() = result.owner.ToProto();
  if (result.fence_remaining != absl::InfiniteDuration()) {
    *reply->mutable_fence_remaining() = ToProtoDuration(result.fence_remaining);
  }
  if (frame.ByteSizeLong() > kFrameBytesMax) {
    const size_t bytes = reply->response().size();
    reply->clear_response();
    *reply->mutable_status() = ToRpcStatus(
        Error(absl::StatusCode::kResourceExhausted, "REPLY_TOO_LARGE",
              absl::StrCat("a reply of ", bytes,
                           " bytes cannot go to another node: at most ",
                           kFrameBytesMax))
            .Executed());
  }
  return frame;
}

CallResult DecodeReply(peer::v1::Reply* reply) {
  CallResult result;
  if (reply->has_status()) result.status = FromRpcStatus(reply->status());
  if (result.status.ok()) {
    result.reply = Payload::FromBytes(std::move(*reply->mutable_response()));
  }
  result.epoch = Epoch::FromProto(reply->epoch());
  result.owner = Pid::FromProto(reply->owner());
  if (reply->has_fence_remaining()) {
    result.fence_remaining = FromProtoDuration(reply->fence_remaining());
  }
  return result;
}

Frame EncodeSignal(const Signal& signal) {
  Frame frame;
  const auto set_ends = [&signal](auto* body) {
    *body->mutable_from() = signal.from.ToProto();
    *body->mutable_to() = signal.to.ToProto();
    body->set_link_id(signal.link.mine);
  };
  const auto set_monitor = [&signal](auto* body) {
    body->set_ref(signal.ref);
    *body->mutable_watcher() = signal.from.ToProto();
    *body->mutable_target() = signal.target.ToProto();
  };
  switch (signal.kind) {
    case Signal::Kind::kExit: {
      peer::v1::Exit* const exit = frame.mutable_exit();
      set_ends(exit);
      exit->set_your_link_id(signal.link.theirs);
      if (signal.from.empty()) exit->clear_from();
      *exit->mutable_reason() = signal.reason.ToProto();
      exit->set_via_link(signal.via_link);
      break;
    }
    case Signal::Kind::kLink:
      set_ends(frame.mutable_link());
      break;
    case Signal::Kind::kUnlink:
      set_ends(frame.mutable_unlink());
      frame.mutable_unlink()->set_your_link_id(signal.link.theirs);
      break;
    case Signal::Kind::kMonitor:
      set_monitor(frame.mutable_monitor());
      break;
    case Signal::Kind::kDemonitor:
      set_monitor(frame.mutable_demonitor());
      break;
    case Signal::Kind::kDown:
      break;
  }
  return frame;
}

std::string SerializeFrame(const Frame& frame) {
  return SerializeDeterministic(frame);
}

std::string RemainingSuffix(Frame::FrameCase kind, absl::Duration remaining) {
  Frame frame;
  switch (kind) {
    case Frame::kCall:
      *frame.mutable_call()->mutable_meta()->mutable_remaining() =
          ToProtoDuration(remaining);
      break;
    case Frame::kCast:
      *frame.mutable_cast()->mutable_meta()->mutable_remaining() =
          ToProtoDuration(remaining);
      break;
    case Frame::kReply:
      *frame.mutable_reply()->mutable_fence_remaining() =
          ToProtoDuration(remaining);
      break;
    default:
      break;
  }
  return SerializeDeterministic(frame);
}

std::string SerializeBatch(uint64_t first_seq,
                           const std::vector<std::string>& frames) {
  // A tag and a varint of at most 10 bytes each.
  constexpr size_t kFieldBytesMax = 11;
  size_t frames_bytes = 0;
  for (const std::string& frame : frames) {
    frames_bytes +=
        1 + CodedOutputStream::VarintSize64(frame.size()) + frame.size();
  }
  const size_t batch_bytes =
      1 + CodedOutputStream::VarintSize64(first_seq) + frames_bytes;
  std::string bytes;
  bytes.reserve(kFieldBytesMax + batch_bytes);
  AppendVarint(kBatchTag, &bytes);
  AppendVarint(batch_bytes, &bytes);
  AppendVarint(kFirstSeqTag, &bytes);
  AppendVarint(first_seq, &bytes);
  for (const std::string& frame : frames) {
    AppendVarint(kFramesTag, &bytes);
    AppendVarint(frame.size(), &bytes);
    bytes.append(frame);
  }
  return bytes;
}

absl::StatusOr<peer::v1::PeerMessage> ParsePeerMessage(
    absl::string_view bytes) {
  if (bytes.size() > kPeerMessageBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a message of ", bytes.size(), " bytes is too large"));
  }
  size_t frames = 0;
  if (!CountFrames(bytes, &frames)) {
    return absl::InvalidArgumentError("the bytes are no PeerMessage");
  }
  if (frames > kBatchFramesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a batch of ", frames, " frames is too large"));
  }
  CodedInputStream stream(reinterpret_cast<const uint8_t*>(bytes.data()),
                          static_cast<int>(bytes.size()));
  stream.SetRecursionLimit(kNestingMax);
  peer::v1::PeerMessage message;
  if (!message.ParseFromCodedStream(&stream) ||
      !stream.ConsumedEntireMessage()) {
    return absl::InvalidArgumentError("the bytes are no PeerMessage");
  }
  return message;
}

}  // namespace muster
