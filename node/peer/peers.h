// Peers: the streams to other nodes and what travels on them.
#ifndef MUSTER_NODE_PEER_PEERS_H_
#define MUSTER_NODE_PEER_PEERS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/clock.h"
#include "node/peer/transport.h"
#include "node/process/message.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/registry/name_registry.h"
#include "node/types/info.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"

namespace muster {

struct PeerAddress {
  std::string address;  // host:port
  Epoch epoch;          // Of the node's current incarnation.
};

// Who is in the cluster; cluster/membership implements it.
// THREADS: any thread.
class PeerDirectory {
 public:
  virtual ~PeerDirectory() = default;
  // Nullopt: no such node is a member now.
  virtual std::optional<PeerAddress> Find(absl::string_view node) const = 0;
};

struct PeerOptions {
  // When this node opens streams by itself (otp ND1). It takes those that
  // others open in any case.
  enum class Connect {
    kOnUse,  // Whenever something is to be sent.
    kOnce,   // As long as there never was one to that node.
    kNever,  // Only for Connect().
  };

  std::string cluster_id;
  uint64_t generation = 1;
  std::string build;
  // Sent when nothing else was for so long; three missed ones (3.5 times this
  // without a word) end the stream.
  absl::Duration heartbeat = absl::Milliseconds(500);
  // Frames that may wait for one peer; more are refused RESOURCE_EXHAUSTED.
  // Replies are kept up to twice as much, then the callers get
  // RESOURCE_EXHAUSTED REPLY_DROPPED (EXECUTED) instead. Signals (exits, links,
  // monitors) are never dropped: a peer for which four times as much waits
  // loses its stream.
  size_t queue_bytes_max = size_t{64} << 20;
  // Accepted streams that have not said hello; more are closed at once.
  size_t half_open_max = 64;
  Connect connect = Connect::kOnUse;
  // F/R of the cluster's profile, by which the clocks of two nodes may differ
  // in speed: how long a reply stays good (guarantees R8).
  double fence_ratio = 0.8;
  // A stream that this node dialed is replaced at this age, give or take a
  // tenth, so that connections made with old certificates leave. Zero: never.
  absl::Duration stream_age = absl::Hours(1);
  // A peer refused this node because its epoch is dead; `known` is the
  // greatest that the peer knows. The node must freeze (guarantees R9). Comes
  // on a thread of the transport's; may be empty.
  std::function<void(Epoch known)> refused_as_dead;
};

// What has happened since the start; for metrics and tests.
struct PeerStats {
  uint64_t batches_written = 0;
  uint64_t frames_written = 0;
  uint64_t frames_received = 0;
  // Of a kind that this build does not serve, or an answer nobody waits for.
  uint64_t frames_ignored = 0;
  // Infos and casts that were lost here without a word: no room, no stream, no
  // such target, or a C++ value that cannot leave its node.
  uint64_t signals_dropped = 0;
  uint64_t streams_opened = 0;
  // Open streams that ended, for whatever reason, but those that others took
  // over from.
  uint64_t streams_lost = 0;
  uint64_t streams_renewed = 0;
  // Replies that came too late to be taken without asking the store.
  uint64_t replies_confirmed = 0;
  // Frames for or from an epoch that is over.
  uint64_t frames_fenced = 0;
  // Casts and infos of this node whose name had moved: sent on to where it is
  // now, and lost because something later had gone there already, or it had
  // moved again.
  uint64_t rerouted = 0;
  uint64_t reroutes_lost = 0;
};

// A node that is a member and cannot be reached: advice, no verdict
// (guarantees R14).
struct SuspectNode {
  std::string node;
  BootTime since;
  std::string why;
};

// A cast or info without an answer that came back: its name, a cluster-wide
// one, is not served where it went under that epoch (guarantees R9).
struct Returned {
  explicit Returned(ServerRef t) : target(std::move(t)) {}
  ServerRef target;
  std::optional<Request> cast;  // Else `info` with `meta`.
  Info info;
  Meta meta;
  // False: the stream by which it came is lost, and with it what was sent to
  // the same place after it (guarantees G9).
  std::function<bool()> stands;
};

// How much is kept for all peers together; for tests that nothing stays.
struct PeerTables {
  size_t links = 0;     // Ids of links that cross streams; at most two a link.
  size_t watching = 0;  // Monitors from here.
  size_t watched = 0;   // Monitors of processes here.
  size_t calls = 0;     // Sent and not answered.
  size_t casts = 0;
  size_t queue_bytes = 0;
  size_t half_open = 0;
};

// Owns the peer streams of this node: one for each unordered pair, opened on
// first use, ended as one event.
//
//   none --(1)--> dialing --(2)--> open --(3)--> none
//     \-------------(4)------------^
//   (1) something is to be sent: Dial, then our Hello
//   (2) their Hello answers ours; or, if they refuse it as a duplicate, (4)
//       within 2 s. Else everything queued fails, and for 100 ms all that
//       follows fails at once, unless the node has joined anew
//   (3) closed, broken, silent, malformed, or their epoch died: written calls
//       fail UNKNOWN, queued ones NOT_EXECUTED, nothing is sent twice
//   (4) they dialed us
//
// An open stream can be replaced without losing anything (Renew): another is
// opened beside it, each side says Switch as its last word on the old one, and
// what comes by the new one waits until the other's has been heard.
//
// A stream carries the links and monitors between the two nodes and ends them
// with it, as noconnection on both sides (otp L4, ND5); the runtime is told,
// then that the node is down.
//
// While a write is under way, what is to be sent is queued; when it ends, all
// that is queued goes into the next one.
//
// LIFETIME: destroyed before transport, and the transport before the runtime.
// THREADS: any thread. ORDER: frames arrive in the order of the calls that
// sent them, as long as the stream lasts.
class Peers {
 public:
  Peers(PeerOptions options, Runtime* runtime, Transport* transport,
        const PeerDirectory* directory, NameRegistry* names);
  ~Peers();
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  // Sends a call to a process of another node; `resolved` is the pid that a
  // name stands for, if known (else empty, and the owner resolves a local
  // name). Fails with UNAVAILABLE NODEDOWN (NOT_EXECUTED) if the node is no
  // member or cannot be reached before the frame left, ABORTED NOCONNECTION
  // (UNKNOWN) if the stream is lost after, DEADLINE_EXCEEDED TIMEOUT
  // (NOT_EXECUTED) if the deadline in its meta passed in the queue,
  // RESOURCE_EXHAUSTED QUEUE_FULL (NOT_EXECUTED) if there is no room.
  // A reply of a cluster-wide name that comes later than its fence allows is
  // taken only if the store confirms its epoch, else it is ABORTED FENCED
  // (UNKNOWN; guarantees R8).
  // `slot` is marked dispatched when the frame is handed to the transport, and
  // `outer`, the claim that `slot` works for (null: none), with it.
  void SendCall(absl::string_view node, const Pid& resolved,
                const Request& request, std::shared_ptr<CallSlot> slot,
                std::shared_ptr<CallSlot> outer = nullptr);
  // `taken` null: fire and forget. Else it comes once: OK, the owner's refusal,
  // or an error as with SendCall.
  void SendCast(absl::string_view node, const Pid& resolved,
                const Request& request,
                absl::AnyInvocable<void(absl::Status)> taken);
  // Never fails; may be lost (otp P3).
  void SendInfo(absl::string_view node, const ServerRef& target,
                const Info& info, const Meta& meta);

  // See Router::RouteSignal; not for cluster-wide names.
  void SendSignal(Signal signal);
  // Opens a stream unless there is one, whatever PeerOptions::connect says.
  // Tells nobody how it went: see Connected().
  void Connect(absl::string_view node);
  // The same, as far as PeerOptions::connect lets it.
  void Reach(absl::string_view node);

  // Replaces the open stream to `node`, if there is one, by a new one, without
  // anybody's noticing; for example because certificates have changed.
  void Renew(absl::string_view node);
  void RenewAll();
  // What becomes of casts and infos that come back; once, before the first is
  // sent. Comes on a worker or a thread of the transport's.
  void OnReturned(std::function<void(Returned)> returned);
  // One of those was sent on (guarantees R9), or lost.
  void CountReroute(bool lost);
  // A cast or info without an answer was dropped before it got here.
  void CountDropped();
  // The greatest epoch of a cluster-wide name that this node has heard of, by
  // whatever way; empty: none.
  Epoch Seen(absl::string_view name) const;

  // A node's incarnation is dead: its streams close at once.
  void NodeDied(absl::string_view node, Epoch epoch);
  // Members that cannot be reached now, sorted.
  std::vector<SuspectNode> Suspects() const;
  // Nodes with an open stream, sorted.
  std::vector<std::string> Connected() const;
  PeerStats stats() const;
  PeerTables Tables() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace muster

#endif  // MUSTER_NODE_PEER_PEERS_H_
