// The streams of Peers: handshake, heartbeat, loss.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/base/planted.h"
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
// A dial that failed after so long met silence, not a refusal.
constexpr absl::Duration kSilentDial = absl::Seconds(1);

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
  conn->dialed_at = clock().Boot();
  ArmLocked(conn, conn->dialed_at + kHandshakeMax);
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
  message.mutable_hello()->set_renews(conn->renews);
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
      conn->timer = 0;
      CloseLocked(conn, absl::OkStatus(), &later);
      return;
  }
}

void Peers::Impl::HeartbeatLocked(const ConnPtr& conn, Later* later) {
  const BootTime now = clock().Boot();
  const absl::Duration silence_max = options_.heartbeat * kSilentHeartbeats;
  // A timer that comes so late says that this node was paused, not the peer.
  if (now > conn->timer_due + options_.heartbeat) conn->heard_at = now;
  Peer& peer = *conn->peer;
  if (now - conn->heard_at >= silence_max) {
    if (peer.next != conn) peer.silent = true;
    EndLocked(conn,
              absl::DeadlineExceededError(absl::StrCat(
                  "silent for ", absl::FormatDuration(now - conn->heard_at))),
              later);
    return;
  }
  if (peer.conn != conn) {  // It takes over, or another does: it only listens.
    ArmLocked(conn,
              std::min(now + options_.heartbeat, conn->heard_at + silence_max));
    return;
  }
  if (now - conn->written_at >= options_.heartbeat && !conn->writing) {
    Frame frame;
    frame.mutable_heartbeat()->set_ack_seq(conn->received_seq);
    Item item(Frame::kHeartbeat, SerializeFrame(frame));
    peer.queue_bytes += item.bytes.size();
    peer.queue.push_front(std::move(item));
    WriteLocked(peer, later);
  }
  RenewAgedLocked(conn, now, later);
  const BootTime next_beat =
      (conn->writing ? now : conn->written_at) + options_.heartbeat;
  ArmLocked(conn, std::min(std::max(next_beat, now + absl::Milliseconds(1)),
                           conn->heard_at + silence_max));
}

void Peers::Impl::CloseLocked(const ConnPtr& conn, const absl::Status& status,
                              Later* later) {
  if (conn->stage == Stage::kClosed && !std::exchange(conn->retired, false)) {
    return;
  }
  conn->stage = Stage::kClosed;
  conn->held.clear();
  if (conn->timer != 0) {
    runtime_->scheduler().Cancel(std::exchange(conn->timer, 0));
  }
  if (conn->stream == nullptr) return;  // Dialed() closes it.
  later->Do([stream = conn->stream, status] { stream->Close(status); });
}

void Peers::Impl::EndSessionLocked(const SessionPtr& session,
                                   const absl::Status& status, Later* later) {
  if (!std::exchange(session->open, false)) return;
  Peer& peer = *session->peer;
  Count(counters_.streams_lost);
  Happening lost(Happening::Kind::kLost);
  lost.reason = LossReason(peer.node, status);
  UntieLocked(peer, std::move(lost), later);
  for (const auto& [ref, watched] : std::exchange(session->monitors, {})) {
    if (watched.second == 0) continue;
    later->Do([runtime = runtime_, watched = watched] {
      runtime->StopObserving(watched.first, watched.second);
    });
  }
  const ConnPtr next = std::exchange(peer.next, nullptr);
  peer.old = nullptr;
  if (next != nullptr) CloseLocked(next, status, later);
  const absl::btree_map<uint64_t, ConnPtr> conns = conns_;
  for (const auto& [id, conn] : conns) {
    if (conn->session == session) CloseLocked(conn, status, later);
  }
}

void Peers::Impl::DetachLocked(Peer& peer, absl::string_view why, bool kept,
                               Later* later) {
  const ConnPtr conn = std::exchange(peer.conn, nullptr);
  if (conn == nullptr) return;
  if (!kept) FailQueueLocked(peer, why, later);
  // In the order in which they were sent.
  std::vector<std::pair<uint64_t, std::shared_ptr<CallSlot>>> calls;
  for (auto& [id, sent] : peer.calls) {
    calls.emplace_back(id, std::move(sent.slot));
  }
  peer.calls.clear();
  std::sort(calls.begin(), calls.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  const Error lost = NoConnection(peer.node, why);
  for (auto& [id, slot] : calls) {
    if (Planted(PlantedBug::kLostIsNotExecuted)) {
      later->Do([slot = std::move(slot), lost = Error(lost).NotExecuted()] {
        slot->Complete(CallResult(lost.status()));
      });
      continue;
    }
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
  peer.failed_epoch = peer.known_epoch;
  SuspectLocked(peer, why);
  FailQueueLocked(peer, why, later);
}

void Peers::Impl::EndLocked(const ConnPtr& conn, const absl::Status& status,
                            Later* later) {
  Peer* const peer = conn->peer;
  if (peer != nullptr && peer->next == conn) {
    // It has taken over nothing yet.
    peer->next = nullptr;
    CloseLocked(conn, status, later);
    return;
  }
  const std::string why =
      status.ok() ? "the other side closed it" : std::string(status.message());
  if (conn->session != nullptr && conn->session->open &&
      (peer->conn == conn || peer->old == conn)) {
    SuspectLocked(*peer, why);
    EndSessionLocked(conn->session, status, later);
    DetachLocked(*peer, why, /*kept=*/false, later);
    return;
  }
  CloseLocked(conn, status, later);
  if (peer == nullptr || peer->conn != conn) return;
  if (clock().Boot() - conn->dialed_at >= kSilentDial) peer->silent = true;
  DetachLocked(*peer, why, /*kept=*/true, later);
  UnreachableLocked(*peer, why, later);
}

void Peers::Impl::SuspectLocked(Peer& peer, absl::string_view why) {
  peer.suspect_why = std::string(why);
  if (!peer.suspect_since.has_value()) peer.suspect_since = clock().Boot();
}

void Peers::Impl::Break(const ConnPtr& conn, absl::string_view why) {
  Later later;
  MutexLock lock(&mu_);
  // What a stream brought that has been let go of counts as its session's.
  ConnPtr end = conn;
  if (conn->session != nullptr) {
    if (!conn->session->open) return;
    end = conn->session->peer->conn;
  } else if (conn->stage == Stage::kClosed) {
    return;
  }
  later.Do([logger = &runtime_->log(),
            text = absl::StrCat("stream ", conn->id, " to node '",
                                conn->peer == nullptr ? "" : conn->peer->node,
                                "' broken: ", why)] { logger->Warning(text); });
  EndLocked(end, absl::InvalidArgumentError(why), &later);
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
  const bool takes_over =
      conn->dialed && conn->renews && conn->peer->next == conn;
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
      input.existing->open = peer.conn->stage == Stage::kOpen;
      input.existing->renewed_by_us = peer.next != nullptr && peer.next->dialed;
      input.existing->being_renewed =
          peer.old != nullptr || (peer.next != nullptr && !peer.next->dialed);
    }
  }
  if (Planted(PlantedBug::kIgnoreEpochs)) {
    input.known_epoch = Epoch();
    input.dead_epoch = Epoch();
  }
  input.theirs = std::move(hello);
  const HandshakeDecision decision = DecideHandshake(input);
  if (decision.accept && decision.renews) {
    RenewedLocked(conn, PeerOf(input.theirs.node()), &later);
    return;
  }
  if (decision.accept) {
    // Whoever answers so has lost the stream that this was to take over from.
    if (takes_over) conn->peer->next = nullptr;
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
  if (takes_over) conn->peer->next = nullptr;
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

void Peers::Impl::JoinLocked(const ConnPtr& conn, const SessionPtr& session) {
  conn->session = session;
  conn->peer = session->peer;
  conn->epoch = session->epoch;
  conn->stage = Stage::kOpen;
  const BootTime now = clock().Boot();
  conn->opened_at = now;
  conn->heard_at = now;
  conn->written_at = now;
  if (conn->timer != 0) runtime_->scheduler().Cancel(conn->timer);
  ArmLocked(conn, now + options_.heartbeat);
}

void Peers::Impl::OpenLocked(const ConnPtr& conn, Peer& peer, Epoch epoch,
                             Later* later) {
  if (peer.conn != nullptr && peer.conn != conn) {
    const ConnPtr old = peer.conn;
    const absl::Status replaced =
        absl::AbortedError("another stream of this pair stays");
    // What waits for a dial goes by this stream instead; what waits for an
    // open one is lost with it.
    DetachLocked(peer, "another stream replaced it",
                 /*kept=*/old->stage != Stage::kOpen, later);
    if (old->session != nullptr) {
      EndSessionLocked(old->session, replaced, later);
    }
    CloseLocked(old, replaced, later);
  }
  if (peer.await_timer != 0) {
    runtime_->scheduler().Cancel(std::exchange(peer.await_timer, 0));
  }
  Count(counters_.streams_opened);
  peer.was_open = true;
  peer.conn = conn;
  peer.failed = false;
  peer.silent = false;
  peer.suspect_since.reset();
  peer.known_epoch = std::max(peer.known_epoch, epoch);
  if (peer.window_epoch != epoch) {
    peer.window = CallWindow();
    peer.window_epoch = epoch;
  }
  auto session = std::make_shared<Session>(&peer, epoch);
  session->receiving = conn->id;
  JoinLocked(conn, session);
  Happening opened(Happening::Kind::kOpened);
  opened.epoch = epoch;
  HappenLocked(peer, std::move(opened), later);
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
  if (conn->switch_due) {
    WriteSwitchLocked(conn, &later);
  } else if (conn->switch_sent) {
    RetireLocked(*conn->peer);
  } else if (conn->stage == Stage::kOpen && conn->peer->conn == conn) {
    WriteLocked(*conn->peer, &later);
  }
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
