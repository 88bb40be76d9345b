// The streams of Peers: handshake, heartbeat, loss.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/peer/codec.h"
#include "node/peer/handshake.h"
#include "node/peer/peers_impl.h"
#include "node/types/names.h"

namespace muster {
namespace {

// How long both hellos may take, and how long a dialer that was refused as a
// duplicate waits for the stream that stays.
constexpr absl::Duration kHandshakeMax = absl::Seconds(3);
constexpr absl::Duration kAwaitMax = absl::Seconds(2);
// Silence that ends a stream, in heartbeats: three missed, and half of one for
// the last to arrive.
constexpr double kSilentHeartbeats = 3.5;

// May have reached it.
Error NoConnection(absl::string_view node, absl::string_view why) {
  return Error(absl::StatusCode::kAborted, "NOCONNECTION",
               absl::StrCat("the stream to node '", node, "' was lost: ", why))
      .With("node", node)
      .Unknown();
}

// What NodeDown says of a stream that ended with `status`: this node's own
// verdicts have codes of their own.
ExitReason LossReason(absl::string_view node, const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return ExitReason::Timeout();
    case absl::StatusCode::kNotFound:
      return ExitReason::Nodedown(node);
    default:
      return ExitReason::Noconnection();
  }
}

}  // namespace

// -- Streams ------------------------------------------------------------------

Peers::Impl::ConnPtr Peers::Impl::MakeConnLocked(bool dialed) {
  const uint64_t id = next_conn_++;
  auto conn = std::make_shared<Conn>(weak_from_this(), id, dialed);
  conns_[id] = conn;
  ArmLocked(conn, clock().Boot() + kHandshakeMax);
  return conn;
}

std::shared_ptr<StreamHandler> Peers::Impl::Accept(
    std::shared_ptr<Stream> stream) {
  Later later;
  MutexLock lock(&mu_);
  const auto half_open =
      std::count_if(conns_.begin(), conns_.end(), [](const auto& c) {
        return !c.second->dialed && c.second->stage == Stage::kHandshake;
      });
  ConnPtr conn = MakeConnLocked(/*dialed=*/false);
  conn->stream = std::move(stream);
  if (shut_down_) {
    CloseLocked(conn, absl::UnavailableError("the node is shutting down"),
                &later);
  } else if (static_cast<size_t>(half_open) >= options_.half_open_max) {
    CloseLocked(
        conn,
        absl::ResourceExhaustedError("too many streams have not said hello"),
        &later);
  }
  return conn;
}

void Peers::Impl::DialLocked(Peer& peer, std::string address, Later* later) {
  const ConnPtr conn = MakeConnLocked(/*dialed=*/true);
  conn->peer = &peer;
  peer.conn = conn;
  later->Do([this, conn, node = peer.node, address = std::move(address)] {
    Dialed(conn, transport_->DialNode(node, address, conn));
  });
}

void Peers::Impl::Dialed(const ConnPtr& conn, std::shared_ptr<Stream> stream) {
  Later later;
  MutexLock lock(&mu_);
  conn->stream = std::move(stream);
  if (conn->stage != Stage::kHandshake) {  // Given up meanwhile.
    later.Do([stream = conn->stream] { stream->Close(absl::OkStatus()); });
    return;
  }
  peer::v1::PeerMessage message;
  *message.mutable_hello() = MyHello();
  message.mutable_hello()->set_to_node(conn->peer->node);
  WriteRawLocked(conn, message, &later);
}

void Peers::Impl::WriteRawLocked(const ConnPtr& conn,
                                 const peer::v1::PeerMessage& message,
                                 Later* later) {
  conn->writing = true;
  conn->written_at = clock().Boot();
  later->Do([stream = conn->stream, bytes = message.SerializeAsString()] {
    stream->Write(bytes);
  });
}

void Peers::Impl::ArmLocked(const ConnPtr& conn, BootTime due) {
  conn->timer_due = due;
  std::weak_ptr<Conn> weak = conn;
  conn->timer = runtime_->scheduler().At(due, [weak] {
    const ConnPtr conn = weak.lock();
    if (conn == nullptr) return;
    if (auto impl = conn->impl.lock()) impl->TimerFired(conn);
  });
}

void Peers::Impl::TimerFired(const ConnPtr& conn) {
  Later later;
  MutexLock lock(&mu_);
  switch (conn->stage) {
    case Stage::kHandshake:
      EndLocked(conn, absl::UnavailableError("the handshake took too long"),
                &later);
      return;
    case Stage::kOpen:
      HeartbeatLocked(conn, &later);
      return;
    case Stage::kClosed:
      return;
  }
}

void Peers::Impl::HeartbeatLocked(const ConnPtr& conn, Later* later) {
  const BootTime now = clock().Boot();
  const absl::Duration silence_max = options_.heartbeat * kSilentHeartbeats;
  // A timer that comes so late says that this node was paused, not the peer.
  if (now > conn->timer_due + options_.heartbeat) conn->heard_at = now;
  if (now - conn->heard_at >= silence_max) {
    EndLocked(conn,
              absl::DeadlineExceededError(absl::StrCat(
                  "silent for ", absl::FormatDuration(now - conn->heard_at))),
              later);
    return;
  }
  if (now - conn->written_at >= options_.heartbeat && !conn->writing) {
    Frame frame;
    frame.mutable_heartbeat()->set_ack_seq(conn->received_seq);
    Item item(Frame::kHeartbeat, SerializeFrame(frame));
    conn->peer->queue_bytes += item.bytes.size();
    conn->peer->queue.push_front(std::move(item));
    WriteLocked(*conn->peer, later);
  }
  const BootTime next_beat =
      (conn->writing ? now : conn->written_at) + options_.heartbeat;
  ArmLocked(conn, std::min(std::max(next_beat, now + absl::Milliseconds(1)),
                           conn->heard_at + silence_max));
}

void Peers::Impl::CloseLocked(const ConnPtr& conn, const absl::Status& status,
                              Later* later) {
  if (conn->stage == Stage::kClosed) return;
  if (conn->stage == Stage::kOpen) {
    Count(counters_.streams_lost);
    Happening lost(Happening::Kind::kLost);
    lost.reason = LossReason(conn->peer->node, status);
    UntieLocked(*conn->peer, std::move(lost), later);
  }
  conn->stage = Stage::kClosed;
  if (conn->timer != 0) {
    runtime_->scheduler().Cancel(std::exchange(conn->timer, 0));
  }
  for (const auto& [ref, watched] : std::exchange(conn->monitors, {})) {
    if (watched.second == 0) continue;
    later->Do([runtime = runtime_, watched = watched] {
      runtime->StopObserving(watched.first, watched.second);
    });
  }
  if (conn->stream == nullptr) return;  // Dialed() closes it.
  later->Do([stream = conn->stream, status] { stream->Close(status); });
}

void Peers::Impl::DetachLocked(Peer& peer, absl::string_view why, bool kept,
                               Later* later) {
  const ConnPtr conn = std::exchange(peer.conn, nullptr);
  if (conn == nullptr) return;
  if (!kept) FailQueueLocked(peer, why, later);
  // In the order in which they were sent.
  std::vector<std::pair<uint64_t, std::shared_ptr<CallSlot>>> calls(
      peer.calls.begin(), peer.calls.end());
  peer.calls.clear();
  std::sort(calls.begin(), calls.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  const Error lost = NoConnection(peer.node, why);
  for (auto& [id, slot] : calls) {
    later->Do([slot = std::move(slot), lost] { slot->Fail(lost); });
  }
  std::vector<uint64_t> casts;
  for (const auto& [id, taken] : peer.casts) casts.push_back(id);
  std::sort(casts.begin(), casts.end());
  for (const uint64_t id : casts) {
    later->Do([taken = std::move(peer.casts[id]), lost]() mutable {
      taken(lost.status());
    });
  }
  peer.casts.clear();
}

void Peers::Impl::UntieLocked(Peer& peer, Happening loss, Later* later) {
  loss.ties = std::exchange(peer.ties, Ties());
  if (loss.kind == Happening::Kind::kUntied && loss.ties.empty()) return;
  HappenLocked(peer, std::move(loss), later);
}

void Peers::Impl::UnreachableLocked(Peer& peer, absl::string_view why,
                                    Later* later) {
  peer.failed = true;
  peer.failed_at = clock().Boot();
  peer.failure = std::string(why);
  FailQueueLocked(peer, why, later);
}

void Peers::Impl::EndLocked(const ConnPtr& conn, const absl::Status& status,
                            Later* later) {
  const bool was_open = conn->stage == Stage::kOpen;
  CloseLocked(conn, status, later);
  Peer* const peer = conn->peer;
  if (peer == nullptr || peer->conn != conn) return;
  const std::string why =
      status.ok() ? "the other side closed it" : std::string(status.message());
  DetachLocked(*peer, why, /*kept=*/!was_open, later);
  if (!was_open) UnreachableLocked(*peer, why, later);
}

void Peers::Impl::Break(const ConnPtr& conn, absl::string_view why) {
  Later later;
  MutexLock lock(&mu_);
  if (conn->stage == Stage::kClosed) return;
  later.Do([logger = &runtime_->log(),
            text = absl::StrCat("stream ", conn->id, " to node '",
                                conn->peer == nullptr ? "" : conn->peer->node,
                                "' broken: ", why)] { logger->Warning(text); });
  EndLocked(conn, absl::InvalidArgumentError(why), &later);
}

void Peers::Impl::HandleMessage(const ConnPtr& conn, absl::string_view bytes) {
  absl::StatusOr<peer::v1::PeerMessage> message = ParsePeerMessage(bytes);
  if (!message.ok()) {
    Break(conn, message.status().message());
    return;
  }
  switch (message->message_case()) {
    case peer::v1::PeerMessage::kHello:
      HandleHello(conn, std::move(*message->mutable_hello()));
      return;
    case peer::v1::PeerMessage::kRefuse:
      HandleRefuse(conn, message->refuse());
      return;
    case peer::v1::PeerMessage::kBatch:
      HandleBatch(conn, std::move(*message->mutable_batch()));
      return;
    case peer::v1::PeerMessage::MESSAGE_NOT_SET:
      Count(counters_.frames_ignored);
      return;
  }
}

void Peers::Impl::HandleHello(const ConnPtr& conn, peer::v1::Hello hello) {
  std::optional<PeerAddress> address;
  if (ValidateNodeName(hello.node()).ok()) {
    address = directory_->Find(hello.node());
  }
  Later later;
  MutexLock lock(&mu_);
  if (conn->stage == Stage::kClosed) return;
  if (conn->stage == Stage::kOpen) {
    EndLocked(conn, absl::InvalidArgumentError("a second hello"), &later);
    return;
  }
  // Whoever accepts a stream learns the name from the certificate, whoever
  // dials has asked for it (guarantees 9.18).
  const std::string proven = conn->dialed ? "" : conn->stream->ProvenNode();
  if (!proven.empty() && proven != hello.node()) {
    const std::string text =
        absl::StrCat("the certificate is of node '", proven, "', the hello of ",
                     LogSafe(hello.node()));
    later.Do([logger = &runtime_->log(), text] {
      logger->Warning(absl::StrCat("refused a stream: ", text));
    });
    EndLocked(conn, absl::PermissionDeniedError(text), &later);
    return;
  }
  HandshakeInput input;
  input.mine = MyHello();
  input.dialed_by_us = conn->dialed;
  if (conn->dialed) input.dialed_node = conn->peer->node;
  if (address.has_value()) input.known_epoch = address->epoch;
  const auto found = peers_.find(hello.node());
  if (found != peers_.end()) {
    const Peer& peer = *found->second;
    input.known_epoch = std::max(input.known_epoch, peer.known_epoch);
    input.dead_epoch = peer.dead_epoch;
    if (peer.conn != nullptr && peer.conn != conn) {
      input.existing.emplace();
      input.existing->dialed_by_us = peer.conn->dialed;
      input.existing->epoch = peer.conn->epoch;
    }
  }
  input.theirs = std::move(hello);
  const HandshakeDecision decision = DecideHandshake(input);
  if (decision.accept) {
    OpenLocked(conn, PeerOf(input.theirs.node()),
               Epoch::FromProto(input.theirs.node_epoch()), &later);
    return;
  }
  later.Do(
      [logger = &runtime_->log(),
       text = absl::StrCat("refused a stream (", RefuseName(decision.reason),
                           "): ", decision.text)] { logger->Warning(text); });
  const absl::Status status = absl::FailedPreconditionError(decision.text);
  if (conn->writing) {  // Our hello has not left; they are no use anyway.
    EndLocked(conn, status, &later);
    return;
  }
  if (conn->peer != nullptr && conn->peer->conn == conn) {
    Peer& peer = *conn->peer;
    DetachLocked(peer, decision.text, /*kept=*/true, &later);
    UnreachableLocked(peer, decision.text, &later);
  }
  peer::v1::PeerMessage answer;
  *answer.mutable_refuse() = MakeRefuse(decision);
  conn->close_after_write = status;
  WriteRawLocked(conn, answer, &later);
}

void Peers::Impl::OpenLocked(const ConnPtr& conn, Peer& peer, Epoch epoch,
                             Later* later) {
  if (peer.conn != nullptr && peer.conn != conn) {
    const ConnPtr old = peer.conn;
    // What waits for a dial goes by this stream instead; what waits for an
    // open one is lost with it.
    DetachLocked(peer, "another stream replaced it",
                 /*kept=*/old->stage != Stage::kOpen, later);
    CloseLocked(old, absl::AbortedError("another stream of this pair stays"),
                later);
  }
  if (peer.await_timer != 0) {
    runtime_->scheduler().Cancel(std::exchange(peer.await_timer, 0));
  }
  Count(counters_.streams_opened);
  peer.was_open = true;
  peer.conn = conn;
  peer.failed = false;
  peer.known_epoch = std::max(peer.known_epoch, epoch);
  conn->peer = &peer;
  conn->epoch = epoch;
  conn->stage = Stage::kOpen;
  const BootTime now = clock().Boot();
  conn->heard_at = now;
  conn->written_at = now;
  Happening opened(Happening::Kind::kOpened);
  opened.epoch = epoch;
  HappenLocked(peer, std::move(opened), later);
  if (conn->timer != 0) runtime_->scheduler().Cancel(conn->timer);
  ArmLocked(conn, now + options_.heartbeat);
  if (!conn->dialed) {
    peer::v1::PeerMessage answer;
    *answer.mutable_hello() = MyHello();
    WriteRawLocked(conn, answer, later);
  }
  WriteLocked(peer, later);
}

void Peers::Impl::HandleRefuse(const ConnPtr& conn,
                               const peer::v1::Refuse& refuse) {
  const std::string why =
      absl::StrCat("it refused the stream (", RefuseName(refuse.reason()),
                   "): ", LogSafe(refuse.text(), 256));
  const Epoch known = Epoch::FromProto(refuse.known_epoch());
  Later later;
  MutexLock lock(&mu_);
  if (conn->stage == Stage::kClosed) return;
  if (refuse.reason() == peer::v1::Refuse::DEAD_EPOCH &&
      known >= runtime_->epoch() && options_.refused_as_dead) {
    later.Do([this, known] { options_.refused_as_dead(known); });
  }
  Peer* const peer = conn->peer;
  if (refuse.reason() == peer::v1::Refuse::DUPLICATE &&
      conn->stage == Stage::kHandshake && peer != nullptr &&
      peer->conn == conn) {
    DetachLocked(*peer, why, /*kept=*/true, &later);
    AwaitTheirsLocked(*peer);
  }
  EndLocked(conn, absl::AbortedError(why), &later);
}

void Peers::Impl::AwaitTheirsLocked(Peer& peer) {
  std::weak_ptr<Impl> weak = weak_from_this();
  peer.await_timer = runtime_->scheduler().At(
      clock().Boot() + kAwaitMax, [weak, node = peer.node] {
        const std::shared_ptr<Impl> impl = weak.lock();
        if (impl == nullptr) return;
        Later later;
        MutexLock lock(&impl->mu_);
        Peer& peer = impl->PeerOf(node);
        if (std::exchange(peer.await_timer, 0) == 0) return;
        impl->UnreachableLocked(
            peer, "it refused a second stream and the first is gone", &later);
      });
}

void Peers::Impl::HandleWritten(const ConnPtr& conn) {
  Later later;
  MutexLock lock(&mu_);
  conn->writing = false;
  if (conn->close_after_write.has_value()) {
    CloseLocked(conn, *conn->close_after_write, &later);
    return;
  }
  if (conn->stage == Stage::kOpen) WriteLocked(*conn->peer, &later);
}

void Peers::Impl::HandleClosed(const ConnPtr& conn,
                               const absl::Status& status) {
  Later later;
  MutexLock lock(&mu_);
  // What the other side calls it is no verdict of this node's.
  EndLocked(conn,
            status.ok() ? status : absl::UnavailableError(status.message()),
            &later);
  conns_.erase(conn->id);
}

}  // namespace muster
