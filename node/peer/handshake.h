// Handshake: who may talk on a stream between two nodes. A pure decider.
#ifndef MUSTER_NODE_PEER_HANDSHAKE_H_
#define MUSTER_NODE_PEER_HANDSHAKE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "muster/peer/v1/peer.pb.h"
#include "node/types/pid.h"

namespace muster {

// Protocol versions that this build speaks.
inline constexpr uint32_t kPeerProtocolMin = 1;
inline constexpr uint32_t kPeerProtocolMax = 1;

// A stream to the same node that is open, or being dialed, already.
struct ExistingStream {
  bool dialed_by_us = false;
  // The peer's; empty while its hello is still to come.
  Epoch epoch;
  bool open = false;
  // Another replaces it already, or has just done so, by us or by them.
  bool being_renewed = false;
  // We are dialing the one that is to replace it.
  bool renewed_by_us = false;
};

struct HandshakeInput {
  peer::v1::Hello mine;
  peer::v1::Hello theirs;
  // True: we opened the stream, and theirs is the answer.
  bool dialed_by_us = false;
  // The node that we meant to reach; only if we opened the stream.
  std::string dialed_node;
  // Greatest epoch of their node that is known to have lived; empty: none.
  Epoch known_epoch;
  // Greatest epoch of their node that is known to be dead; empty: none.
  Epoch dead_epoch;
  std::optional<ExistingStream> existing;
};

struct HandshakeDecision {
  bool accept = false;

  // If accepted: the version to speak, and whether `existing` ends because
  // this stream stays.
  uint32_t protocol = 0;
  bool ends_existing = false;
  // It takes over from `existing`, which loses nothing (Switch).
  bool renews = false;

  // If refused: what to tell them. `known_epoch` with DEAD_EPOCH.
  peer::v1::Refuse::Reason reason = peer::v1::Refuse::REASON_UNSPECIFIED;
  std::string text;
  Epoch known_epoch;
};

// Decides on the receipt of a hello. Checked in this order: form (MALFORMED),
// VERSION, OTHER_CLUSTER, WRONG_NODE, GENERATION, DEAD_EPOCH, DUPLICATE.
//
// Of two streams of one pair:
//   - the one of the greater epoch of their node stays;
//   - opened by the same side, the newer one stays: whoever dials again has
//     lost the older;
//   - else the one stays that the smaller node name opened, on both sides.
// A stream that renews an open one of the same incarnations replaces it, one at
// a time; of two that cross, the one that the smaller node name opened.
HandshakeDecision DecideHandshake(const HandshakeInput& input);

// The refusal to send for a decision that is one.
peer::v1::Refuse MakeRefuse(const HandshakeDecision& decision);

// "OTHER_CLUSTER"; for people.
std::string RefuseName(peer::v1::Refuse::Reason reason);

}  // namespace muster

#endif  // MUSTER_NODE_PEER_HANDSHAKE_H_
