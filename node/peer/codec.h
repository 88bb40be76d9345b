// Codec: frames of the peer stream to and from what the runtime works with.
//
// Pure functions, any thread. What comes from a peer is judged, never trusted:
// a bad message is an error, no CHECK and no exception.
#ifndef MUSTER_NODE_PEER_CODEC_H_
#define MUSTER_NODE_PEER_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "muster/core/v1/core.pb.h"
#include "muster/peer/v1/peer.pb.h"
#include "node/base/clock.h"
#include "node/process/message.h"
#include "node/process/signals.h"
#include "node/types/info.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"

namespace muster {

// A message of the transport, which is one batch of frames.
inline constexpr size_t kPeerMessageBytesMax = size_t{16} << 20;
// One frame; leaves room for what a batch adds.
inline constexpr size_t kFrameBytesMax = kPeerMessageBytesMax - 1024;
inline constexpr size_t kBatchFramesMax = 1024;
// A batch stops growing here unless its only frame is bigger.
inline constexpr size_t kBatchBytesMax = size_t{1} << 20;
// Processes that may wait in a chain for one call.
inline constexpr size_t kChainMax = 16;
// Keys and values of a message's metadata together.
inline constexpr size_t kMetadataBytesMax = size_t{8} << 10;
// Nodes that may forward one message.
inline constexpr uint32_t kHopsMax = 4;

// -- Meta --------------------------------------------------------------------
// `now` is this node's clock; the deadline travels as what remains of it.
// INVALID_ARGUMENT BAD_META (NOT_EXECUTED): over kChainMax or
// kMetadataBytesMax; UNAVAILABLE ROUTING_LOOP (NOT_EXECUTED): over kHopsMax.
absl::StatusOr<core::v1::CallMeta> EncodeMeta(const Meta& meta, BootTime now);
absl::StatusOr<Meta> DecodeMeta(const core::v1::CallMeta& proto, BootTime now);

// -- Requests ----------------------------------------------------------------
// Errors as EncodeMeta; RESOURCE_EXHAUSTED REQUEST_TOO_LARGE (NOT_EXECUTED):
// the frame would be over kFrameBytesMax.
absl::StatusOr<peer::v1::Frame> EncodeCall(const Request& request,
                                           const Pid& resolved,
                                           uint64_t call_id, BootTime now);
absl::StatusOr<peer::v1::Frame> EncodeCast(const Request& request,
                                           const Pid& resolved, uint64_t ack_id,
                                           BootTime now);
// The info must not be local to this node.
absl::StatusOr<peer::v1::Frame> EncodeInfo(const ServerRef& target,
                                           const Info& info, const Meta& meta,
                                           BootTime now);

// They take the payload out of the frame. Errors as EncodeMeta;
// INVALID_ARGUMENT BAD_NAME for a target that cannot exist.
absl::StatusOr<Request> DecodeCall(peer::v1::Call* call, BootTime now);
absl::StatusOr<Request> DecodeCast(peer::v1::Cast* cast, BootTime now);

// -- Replies -----------------------------------------------------------------
// A reply over kFrameBytesMax becomes RESOURCE_EXHAUSTED REPLY_TOO_LARGE
// (EXECUTED).
peer::v1::Frame EncodeReply(uint64_t call_id, const CallResult& result);
CallResult DecodeReply(peer::v1::Reply* reply);

// -- Signals -----------------------------------------------------------------
// Of all kinds but kDown.
peer::v1::Frame EncodeSignal(const Signal& signal);

// -- Bytes -------------------------------------------------------------------
// A frame as it waits in a queue; deterministic.
std::string SerializeFrame(const peer::v1::Frame& frame);

// Bytes that set a call's or cast's remaining time, or a reply's remaining
// fence, when they are appended to its serialized frame (protobuf merges a
// field that comes twice). So a frame is serialized once, when it is queued,
// and still tells the time left when it is written.
std::string RemainingSuffix(peer::v1::Frame::FrameCase kind,
                            absl::Duration remaining);

// The PeerMessage of one batch.
std::string SerializeBatch(uint64_t first_seq,
                           const std::vector<std::string>& frames);

// INVALID_ARGUMENT: no PeerMessage, nested deeper than 32, over
// kPeerMessageBytesMax or over kBatchFramesMax frames, which are counted
// before anything is allocated for them.
absl::StatusOr<peer::v1::PeerMessage> ParsePeerMessage(absl::string_view bytes);

}  // namespace muster

#endif  // MUSTER_NODE_PEER_CODEC_H_
