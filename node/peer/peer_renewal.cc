// One stream of Peers takes over from another, and nobody notices.
//
//   dialer    Hello{renews}  --new-->  acceptor     both streams are open
//   dialer    <--new--  Hello{renews}  acceptor
//   dialer    Switch         --old-->  acceptor     from now on by the new one
//   dialer    <--old--         Switch  acceptor     likewise
// Each side delivers what the old stream brings up to its Switch, then what the
// new one has brought. The acceptor goes on sending by the old one until it has
// heard the dialer's Switch: so if the new stream fails before the dialer has
// its hello, nothing was lost. Afterwards the loss of either is the loss of the
// session.
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/peer/codec.h"
#include "node/peer/peers_impl.h"

namespace muster {
namespace {

using peer::v1::Frame;

// For the other side's half of a stream that is let go of.
constexpr absl::Duration kRetireMax = absl::Seconds(3);
// After an attempt to renew an old stream.
constexpr absl::Duration kRenewRetry = absl::Minutes(1);

}  // namespace

void Peers::Impl::Renew(absl::string_view node) {
  std::optional<PeerAddress> address = directory_->Find(node);
  if (!address.has_value()) return;
  Later later;
  MutexLock lock(&mu_);
  const auto found = peers_.find(node);
  if (shut_down_ || found == peers_.end()) return;
  Peer& peer = *found->second;
  if (peer.conn == nullptr || peer.conn->stage != Stage::kOpen ||
      peer.next != nullptr || peer.old != nullptr) {
    return;
  }
  const ConnPtr conn = MakeConnLocked(/*dialed=*/true);
  conn->renews = true;
  conn->peer = &peer;
  peer.next = conn;
  later.Do([this, conn, to = std::move(address->address)] {
    Dialed(conn, transport_->Dial(to, conn));
  });
}

void Peers::Impl::RenewAgedLocked(const ConnPtr& conn, BootTime now,
                                  Later* later) {
  const absl::Duration age = options_.stream_age;
  if (age <= absl::ZeroDuration() || !conn->dialed ||
      now < conn->opened_at + age * 0.9) {
    return;
  }
  if (!conn->renew_at.has_value()) {
    // Not all streams of a cluster that started at once at the same time.
    conn->renew_at =
        conn->opened_at + age * 0.9 + runtime_->random().Jitter(age * 0.2);
  }
  if (now < *conn->renew_at) return;
  conn->renew_at = now + kRenewRetry;
  later->Do([this, node = conn->peer->node] { Renew(node); });
}

void Peers::Impl::RenewedLocked(const ConnPtr& conn, Peer& peer, Later* later) {
  const SessionPtr session = peer.conn->session;
  if (!conn->dialed && peer.next != nullptr) {
    // Theirs goes first of two that cross.
    const ConnPtr ours = peer.next;
    EndLocked(ours, absl::AbortedError("the other side's goes first"), later);
  }
  JoinLocked(conn, session);
  Count(counters_.streams_renewed);
  if (conn->dialed) {
    SwitchLocked(peer, later);
    return;
  }
  peer.next = conn;
  peer::v1::PeerMessage answer;
  *answer.mutable_hello() = MyHello();
  answer.mutable_hello()->set_renews(true);
  WriteRawLocked(conn, answer, later);
}

void Peers::Impl::SwitchLocked(Peer& peer, Later* later) {
  peer.old = std::exchange(peer.conn, std::exchange(peer.next, nullptr));
  if (peer.old->writing) {
    peer.old->switch_due = true;
  } else {
    WriteSwitchLocked(peer.old, later);
  }
  WriteLocked(peer, later);
}

void Peers::Impl::WriteSwitchLocked(const ConnPtr& conn, Later* later) {
  conn->switch_due = false;
  conn->switch_sent = true;
  if (conn->stage != Stage::kOpen) return;
  conn->writing = true;
  Frame frame;
  frame.mutable_switch_()->set_last_seq(++conn->sent_seq);
  Count(counters_.batches_written);
  Count(counters_.frames_written);
  later->Do([stream = conn->stream,
             bytes = SerializeBatch(conn->sent_seq, {SerializeFrame(frame)})] {
    stream->Write(bytes);
  });
}

bool Peers::Impl::SwitchHeardLocked(const ConnPtr& conn, Later* later) {
  Peer& peer = *conn->peer;
  ConnPtr successor;
  if (peer.old == conn) {
    successor = peer.conn;
  } else if (peer.conn == conn && peer.next != nullptr && !peer.next->dialed) {
    successor = peer.next;
  }
  if (successor == nullptr || conn->switch_heard) return false;
  conn->switch_heard = true;
  conn->session->receiving = successor->id;
  for (peer::v1::Batch& batch : std::exchange(successor->held, {})) {
    Happening arrived(Happening::Kind::kBatch);
    arrived.conn = successor;
    arrived.batch = std::move(batch);
    HappenLocked(peer, std::move(arrived), later);
  }
  successor->held_bytes = 0;
  if (peer.conn == conn) SwitchLocked(peer, later);
  RetireLocked(peer);
  return true;
}

void Peers::Impl::RetireLocked(Peer& peer) {
  const ConnPtr old = peer.old;
  if (old == nullptr || !old->switch_heard || !old->switch_sent ||
      old->writing) {
    return;
  }
  peer.old = nullptr;
  // The other side may still be reading our half.
  old->stage = Stage::kClosed;
  old->retired = true;
  if (old->timer != 0) runtime_->scheduler().Cancel(old->timer);
  ArmLocked(old, clock().Boot() + kRetireMax);
}

}  // namespace muster
