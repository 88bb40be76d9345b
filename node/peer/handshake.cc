#include "node/peer/handshake.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "node/types/names.h"
#include "node/types/utf8.h"

namespace muster {
namespace {

using peer::v1::Hello;
using peer::v1::Refuse;

constexpr size_t kRefuseTextBytesMax = 512;

HandshakeDecision Refused(Refuse::Reason reason, absl::string_view text) {
  HandshakeDecision decision;
  decision.reason = reason;
  decision.text = std::string(text);
  return decision;
}

HandshakeDecision DeadEpoch(const Hello& theirs, Epoch known) {
  HandshakeDecision decision = Refused(
      Refuse::DEAD_EPOCH,
      absl::StrCat("epoch ", Epoch::FromProto(theirs.node_epoch()).ToString(),
                   " of node '", theirs.node(), "' is dead"));
  decision.known_epoch = known;
  return decision;
}

// Empty if the hello is well formed.
std::string Malformed(const Hello& hello) {
  if (hello.protocol_min() == 0 ||
      hello.protocol_min() > hello.protocol_max()) {
    return "protocol_min and protocol_max are no range from 1";
  }
  if (hello.cluster_id().empty()) return "cluster_id is empty";
  if (const absl::Status name = ValidateNodeName(hello.node()); !name.ok()) {
    return std::string(name.message());
  }
  if (Epoch::FromProto(hello.node_epoch()).empty()) {
    return "node_epoch is empty";
  }
  return "";
}

// Which of two streams of the same two incarnations stays: true, the new one.
bool NewStreamStays(const HandshakeInput& input) {
  if (input.existing->dialed_by_us == input.dialed_by_us) return true;
  const bool ours_is_smaller = input.mine.node() < input.theirs.node();
  return input.dialed_by_us == ours_is_smaller;
}

}  // namespace

HandshakeDecision DecideHandshake(const HandshakeInput& input) {
  const Hello& mine = input.mine;
  const Hello& theirs = input.theirs;
  if (const std::string why = Malformed(theirs); !why.empty()) {
    return Refused(Refuse::MALFORMED, why);
  }
  const uint32_t protocol =
      std::min(mine.protocol_max(), theirs.protocol_max());
  if (protocol < std::max(mine.protocol_min(), theirs.protocol_min())) {
    return Refused(
        Refuse::VERSION,
        absl::StrCat("this node speaks protocol ", mine.protocol_min(), " to ",
                     mine.protocol_max(), ", node '", theirs.node(), "' ",
                     theirs.protocol_min(), " to ", theirs.protocol_max()));
  }
  if (theirs.cluster_id() != mine.cluster_id()) {
    return Refused(
        Refuse::OTHER_CLUSTER,
        absl::StrCat("this node is of cluster ", LogSafe(mine.cluster_id()),
                     ", node '", theirs.node(), "' of ",
                     LogSafe(theirs.cluster_id())));
  }
  if (input.dialed_by_us && theirs.node() != input.dialed_node) {
    return Refused(Refuse::WRONG_NODE,
                   absl::StrCat("node '", theirs.node(), "' answers for '",
                                input.dialed_node, "'"));
  }
  if (!input.dialed_by_us && theirs.to_node() != mine.node()) {
    return Refused(Refuse::WRONG_NODE,
                   absl::StrCat("this is node '", mine.node(), "', not ",
                                LogSafe(theirs.to_node())));
  }
  if (theirs.generation() != mine.generation()) {
    return Refused(
        Refuse::GENERATION,
        absl::StrCat("this node is of generation ", mine.generation(),
                     ", node '", theirs.node(), "' of ", theirs.generation()));
  }
  const Epoch epoch = Epoch::FromProto(theirs.node_epoch());
  if (theirs.node() == mine.node()) {
    const Epoch own = Epoch::FromProto(mine.node_epoch());
    if (epoch < own) return DeadEpoch(theirs, own);
    return Refused(
        Refuse::WRONG_NODE,
        absl::StrCat("node '", mine.node(), "' does not talk to itself"));
  }
  if (epoch < input.known_epoch) return DeadEpoch(theirs, input.known_epoch);
  if (epoch <= input.dead_epoch) return DeadEpoch(theirs, input.dead_epoch);

  HandshakeDecision decision;
  decision.accept = true;
  decision.protocol = protocol;
  if (!input.existing.has_value()) return decision;
  const Epoch existing = input.existing->epoch;
  if (theirs.renews() && input.existing->open && epoch == existing) {
    const bool ours_first =
        input.existing->renewed_by_us && mine.node() < theirs.node();
    if (!input.dialed_by_us && (input.existing->being_renewed || ours_first)) {
      return Refused(Refuse::DUPLICATE,
                     "another stream is taking over from the open one");
    }
    decision.renews = true;
    return decision;
  }
  if (epoch < existing) return DeadEpoch(theirs, existing);
  // An empty epoch is a dial whose answer is still to come.
  const bool newer = epoch > existing && !existing.empty();
  if (newer || NewStreamStays(input)) {
    decision.ends_existing = true;
    return decision;
  }
  return Refused(
      Refuse::DUPLICATE,
      absl::StrCat("the stream that node '",
                   std::min(mine.node(), theirs.node()), "' opened stays"));
}

peer::v1::Refuse MakeRefuse(const HandshakeDecision& decision) {
  Refuse refuse;
  refuse.set_reason(decision.reason);
  refuse.set_text(
      CutUtf8WithNote(ToValidUtf8(decision.text), kRefuseTextBytesMax));
  if (!decision.known_epoch.empty()) {
    *refuse.mutable_known_epoch() = decision.known_epoch.ToProto();
  }
  return refuse;
}

std::string RefuseName(peer::v1::Refuse::Reason reason) {
  const std::string& name = Refuse::Reason_Name(reason);
  return name.empty() ? absl::StrCat("reason ", static_cast<int>(reason))
                      : name;
}

}  // namespace muster
