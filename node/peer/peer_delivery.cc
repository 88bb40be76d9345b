// What arrives on the streams of Peers.
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/peer/codec.h"
#include "node/peer/peers_impl.h"
#include "node/peer/target.h"

namespace muster {
namespace {

using peer::v1::Frame;

constexpr TimerId kTimerDone = ~TimerId{0};

}  // namespace

// -- Receiving ----------------------------------------------------------------

void Peers::Impl::HandleBatch(const ConnPtr& conn, peer::v1::Batch batch) {
  std::string wrong;
  Later later;
  {
    MutexLock lock(&mu_);
    if (conn->stage == Stage::kClosed) return;
    if (conn->stage != Stage::kOpen) {
      wrong = "a batch before the hello";
    } else if (batch.first_seq() != conn->received_seq + 1) {
      wrong = absl::StrCat("frame ", batch.first_seq(), " came where ",
                           conn->received_seq + 1, " was due");
    } else {
      conn->received_seq += static_cast<uint64_t>(batch.frames_size());
      conn->heard_at = clock().Boot();
      Count(counters_.frames_received,
            static_cast<uint64_t>(batch.frames_size()));
      Happening arrived(Happening::Kind::kBatch);
      arrived.conn = conn;
      arrived.batch = std::move(batch);
      HappenLocked(*conn->peer, std::move(arrived), &later);
    }
  }
  if (!wrong.empty()) Break(conn, wrong);
}

void Peers::Impl::HappenLocked(Peer& peer, Happening happening, Later* later) {
  peer.inbox.push_back(std::move(happening));
  if (std::exchange(peer.delivering, true)) return;
  // Peers live as long as this does.
  later->Do([self = shared_from_this(), &peer] { self->Drain(peer); });
}

void Peers::Impl::Drain(Peer& peer) {
  while (true) {
    Happening happening(Happening::Kind::kBatch);
    std::vector<Waiting> waiting;
    {
      MutexLock lock(&mu_);
      if (peer.inbox.empty()) {
        peer.delivering = false;
        return;
      }
      happening = std::move(peer.inbox.front());
      peer.inbox.pop_front();
    }
    switch (happening.kind) {
      case Happening::Kind::kOpened:
        runtime_->NodeIsUp(peer.node, happening.epoch);
        continue;
      case Happening::Kind::kUntied:
      case Happening::Kind::kLost:
        DeliverLoss(peer, happening);
        continue;
      case Happening::Kind::kDied:
        runtime_->NodeIsDead(peer.node, happening.epoch);
        continue;
      case Happening::Kind::kBatch:
        break;
    }
    const ConnPtr conn = std::move(happening.conn);
    peer::v1::Batch batch = std::move(happening.batch);
    {
      MutexLock lock(&mu_);
      // What a lost stream brought is lost with it.
      if (conn->stage != Stage::kOpen) continue;
      waiting.reserve(static_cast<size_t>(batch.frames_size()));
      for (const Frame& frame : batch.frames()) {
        waiting.push_back(TakeWaitingLocked(peer, frame));
      }
    }
    std::string wrong;
    for (int i = 0; i < batch.frames_size() && wrong.empty(); ++i) {
      Deliver(conn, *batch.mutable_frames(i),
              std::move(waiting[static_cast<size_t>(i)]), &wrong);
    }
    if (!wrong.empty()) Break(conn, wrong);
  }
}

Peers::Impl::Waiting Peers::Impl::TakeWaitingLocked(Peer& peer,
                                                    const Frame& frame) {
  Waiting waiting;
  if (frame.has_reply()) {
    const auto found = peer.calls.find(frame.reply().call_id());
    if (found != peer.calls.end()) {
      waiting.slot = std::move(found->second);
      peer.calls.erase(found);
    }
  } else if (frame.has_cast_ack()) {
    const auto found = peer.casts.find(frame.cast_ack().ack_id());
    if (found != peer.casts.end()) {
      waiting.taken = std::move(found->second);
      peer.casts.erase(found);
    }
  }
  return waiting;
}

bool Peers::Impl::Deliver(const ConnPtr& conn, Frame& frame, Waiting waiting,
                          std::string* why) {
  switch (frame.frame_case()) {
    case Frame::kCall:
      if (frame.call().call_id() == 0) {
        *why = "a call without an id";
        return false;
      }
      DeliverCall(conn, *frame.mutable_call());
      return true;
    case Frame::kCast:
      DeliverCast(conn, *frame.mutable_cast());
      return true;
    case Frame::kInfo:
      DeliverInfo(*frame.mutable_info());
      return true;
    case Frame::kReply:
      DeliverReply(*frame.mutable_reply(), waiting);
      return true;
    case Frame::kCastAck:
      DeliverAck(frame.cast_ack(), std::move(waiting));
      return true;
    case Frame::kExit:
      DeliverExit(conn, frame.exit());
      return true;
    case Frame::kLink:
      if (DeliverLink(conn, frame.link())) return true;
      *why = "a link without an id, or from another node's process";
      return false;
    case Frame::kUnlink:
      DeliverUnlink(conn, frame.unlink());
      return true;
    case Frame::kDown:
      DeliverDown(conn, frame.down());
      return true;
    case Frame::kMonitor:
      if (frame.monitor().ref() == 0) {
        *why = "a monitor without a ref";
        return false;
      }
      DeliverMonitor(conn, frame.monitor());
      return true;
    case Frame::kDemonitor:
      DeliverDemonitor(conn, frame.demonitor().ref());
      return true;
    case Frame::kCancel:
      DeliverCancel(conn, frame.cancel().call_id());
      return true;
    case Frame::kHeartbeat:
      return true;
    default:
      Count(counters_.frames_ignored);
      return true;
  }
}

void Peers::Impl::DeliverCall(const ConnPtr& conn, peer::v1::Call& call) {
  std::weak_ptr<Impl> weak = weak_from_this();
  std::weak_ptr<Conn> weak_conn = conn;
  const uint64_t call_id = call.call_id();
  const BootTime now = clock().Boot();
  absl::StatusOr<Request> request = DecodeCall(&call, now);
  if (!request.ok()) {
    SendReply(weak_conn, call_id, CallResult(std::move(request).status()));
    return;
  }
  const absl::StatusOr<Pid> pid =
      FindTarget(*runtime_, *names_, request->target,
                 request->meta.target_epoch, Pid::FromProto(call.resolved()));
  if (!pid.ok()) {
    SendReply(weak_conn, call_id, CallResult(pid.status()));
    return;
  }
  struct Deadline {
    std::atomic<TimerId> timer{0};
  };
  auto deadline = std::make_shared<Deadline>();
  auto slot = std::make_shared<CallSlot>(
      [weak, weak_conn, call_id, deadline](CallResult result) {
        const std::shared_ptr<Impl> impl = weak.lock();
        if (impl == nullptr) return;
        const TimerId timer = deadline->timer.exchange(kTimerDone);
        if (timer != 0) impl->runtime_->scheduler().Cancel(timer);
        if (const ConnPtr asked = weak_conn.lock()) {
          MutexLock lock(&impl->mu_);
          asked->served.erase(call_id);
        }
        impl->SendReply(weak_conn, call_id, std::move(result));
      });
  {
    MutexLock lock(&mu_);
    conn->served[call_id] = slot;
  }
  if (!request->meta.deadline.is_infinite()) {
    const TimerId timer = runtime_->scheduler().At(
        request->meta.deadline, [expired = std::weak_ptr<CallSlot>(slot),
                                 target = request->target.ToString()] {
          const auto slot = expired.lock();
          if (slot == nullptr) return;
          slot->Fail(
              Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                    absl::StrCat("no reply from '", target, "' in time")));
        });
    if (deadline->timer.exchange(timer) == kTimerDone) {
      runtime_->scheduler().Cancel(timer);
    }
  }
  runtime_->CallLocal(*pid, *std::move(request), std::move(slot));
}

void Peers::Impl::DeliverCancel(const ConnPtr& conn, uint64_t call_id) {
  std::shared_ptr<CallSlot> slot;
  {
    MutexLock lock(&mu_);
    const auto found = conn->served.find(call_id);
    if (found != conn->served.end()) slot = found->second.lock();
  }
  // Null: it was answered meanwhile.
  if (slot != nullptr) slot->Cancel();
}

void Peers::Impl::SendReply(const std::weak_ptr<Conn>& conn, uint64_t call_id,
                            CallResult result) {
  Frame frame = EncodeReply(call_id, result);
  frame.mutable_reply()->clear_fence_remaining();
  Item item(Frame::kReply, SerializeFrame(frame));
  item.id = call_id;
  if (result.fence_remaining != absl::InfiniteDuration()) {
    item.expires = clock().Boot() + result.fence_remaining;
  }
  SubmitAnswer(conn, std::move(item));
}

void Peers::Impl::DeliverCast(const ConnPtr& conn, peer::v1::Cast& cast) {
  const uint64_t ack_id = cast.ack_id();
  absl::StatusOr<Request> request = DecodeCast(&cast, clock().Boot());
  absl::Status status = request.status();
  if (status.ok()) {
    const absl::StatusOr<Pid> pid =
        FindTarget(*runtime_, *names_, request->target,
                   request->meta.target_epoch, Pid::FromProto(cast.resolved()));
    status = pid.ok() ? runtime_->CastLocal(*pid, *std::move(request))
                      : pid.status();
  }
  if (ack_id == 0) {
    if (!status.ok()) Count(counters_.signals_dropped);
    return;
  }
  Frame frame;
  frame.mutable_cast_ack()->set_ack_id(ack_id);
  if (!status.ok()) {
    *frame.mutable_cast_ack()->mutable_status() = ToRpcStatus(status);
  }
  SubmitAnswer(conn, Item(Frame::kCastAck, SerializeFrame(frame)));
}

void Peers::Impl::DeliverInfo(peer::v1::Info& info) {
  const absl::StatusOr<Meta> meta = DecodeMeta(info.meta(), clock().Boot());
  if (meta.ok()) {
    const absl::StatusOr<Pid> pid =
        FindTarget(*runtime_, *names_, ServerRef::FromProto(info.target()),
                   meta->target_epoch, Pid());
    if (pid.ok()) {
      core::v1::Payload& payload = *info.mutable_payload();
      runtime_->SendLocal(
          *pid,
          Info(Payload::FromBytes(std::move(*payload.mutable_value()),
                                  payload.type())),
          ServerRef::FromProto(info.target()).alias());
      return;
    }
  }
  Count(counters_.signals_dropped);
}

void Peers::Impl::DeliverReply(peer::v1::Reply& reply, const Waiting& waiting) {
  if (waiting.slot == nullptr) {
    Count(counters_.frames_ignored);
    return;
  }
  waiting.slot->Complete(DecodeReply(&reply));
}

void Peers::Impl::DeliverAck(const peer::v1::CastAck& ack, Waiting waiting) {
  if (!waiting.taken) {
    Count(counters_.frames_ignored);
    return;
  }
  waiting.taken(ack.has_status() ? FromRpcStatus(ack.status())
                                 : absl::OkStatus());
}

// Links and Downs first, then the node (otp ND4).
void Peers::Impl::DeliverLoss(const Peer& peer, const Happening& loss) {
  const ExitReason lost = ExitReason::Noconnection();
  for (const auto& [id, link] : loss.ties.mine) {
    runtime_->Deliver(
        Signal::LinkExit(link.there, link.here, lost, LinkIds(id, 0)));
  }
  for (const auto& [id, link] : loss.ties.theirs) {
    runtime_->Deliver(
        Signal::LinkExit(link.there, link.here, lost, LinkIds(0, id)));
  }
  for (const uint64_t ref : loss.ties.watching) {
    runtime_->Deliver(Signal::Down(ref, Pid(), lost));
  }
  if (loss.kind == Happening::Kind::kLost) {
    runtime_->NodeIsDown(peer.node, loss.reason);
  }
}

void Peers::Impl::DeliverExit(const ConnPtr& conn, const peer::v1::Exit& exit) {
  Pid from = Pid::FromProto(exit.from());
  Pid to = Pid::FromProto(exit.to());
  ExitReason reason = ExitReason::FromProto(exit.reason());
  if (!exit.via_link()) {
    runtime_->Deliver(
        Signal::ExitTo(std::move(from), std::move(to), std::move(reason)));
    return;
  }
  const LinkIds link = LinkIds(exit.link_id(), exit.your_link_id()).Swapped();
  {
    MutexLock lock(&mu_);
    // A link that was removed or lost meanwhile.
    if (conn->stage != Stage::kOpen || !conn->peer->ties.RemoveLink(link)) {
      Count(counters_.frames_ignored);
      return;
    }
  }
  runtime_->Deliver(Signal::LinkExit(std::move(from), std::move(to),
                                     std::move(reason), link));
}

bool Peers::Impl::DeliverLink(const ConnPtr& conn, const peer::v1::Link& link) {
  Pid from = Pid::FromProto(link.from());
  Pid to = Pid::FromProto(link.to());
  if (link.link_id() == 0 || from.empty() || from.node != conn->peer->node) {
    return false;
  }
  {
    MutexLock lock(&mu_);
    if (conn->stage != Stage::kOpen) return true;
    conn->peer->ties.theirs[link.link_id()] = Ties::Link{to, from};
  }
  runtime_->Deliver(
      Signal::Link(std::move(from), std::move(to), LinkIds(0, link.link_id())));
  return true;
}

void Peers::Impl::DeliverUnlink(const ConnPtr& conn,
                                const peer::v1::Unlink& unlink) {
  const LinkIds link =
      LinkIds(unlink.link_id(), unlink.your_link_id()).Swapped();
  {
    MutexLock lock(&mu_);
    if (conn->stage != Stage::kOpen || !conn->peer->ties.RemoveLink(link)) {
      return;
    }
  }
  runtime_->Deliver(Signal::Unlink(Pid::FromProto(unlink.from()),
                                   Pid::FromProto(unlink.to()), link));
}

void Peers::Impl::DeliverDown(const ConnPtr& conn, const peer::v1::Down& down) {
  {
    MutexLock lock(&mu_);
    // Demonitored, or lost with an earlier stream.
    if (conn->stage != Stage::kOpen ||
        conn->peer->ties.watching.erase(down.ref()) == 0) {
      Count(counters_.frames_ignored);
      return;
    }
  }
  runtime_->Deliver(Signal::Down(down.ref(), Pid::FromProto(down.pid()),
                                 ExitReason::FromProto(down.reason())));
}

void Peers::Impl::DeliverMonitor(const ConnPtr& conn,
                                 const peer::v1::Monitor& monitor) {
  const uint64_t ref = monitor.ref();
  const Pid watcher = Pid::FromProto(monitor.watcher());
  const ServerRef target = ServerRef::FromProto(monitor.target());
  const Pid pid = target.kind() == ServerRef::Kind::kPid ? target.pid()
                  : target.kind() == ServerRef::Kind::kLocal
                      ? runtime_->WhereIsLocal(target.name())
                      : runtime_->WhereIsGlobal(target.name());
  {
    MutexLock lock(&mu_);
    if (conn->stage != Stage::kOpen ||
        !conn->monitors.try_emplace(ref, pid, 0).second) {
      return;
    }
  }
  std::weak_ptr<Impl> weak = weak_from_this();
  std::weak_ptr<Conn> weak_conn = conn;
  const uint64_t id = runtime_->ObserveExit(
      pid, [weak, weak_conn, watcher, ref, pid](ExitReason reason) {
        if (const auto impl = weak.lock()) {
          impl->SendDown(weak_conn, watcher, ref, pid, reason);
        }
      });
  if (id == 0) return;
  Later later;
  MutexLock lock(&mu_);
  const auto found = conn->monitors.find(ref);
  if (found != conn->monitors.end()) {
    found->second.second = id;
  } else {
    later.Do([this, pid, id] { runtime_->StopObserving(pid, id); });
  }
}

void Peers::Impl::DeliverDemonitor(const ConnPtr& conn, uint64_t ref) {
  Later later;
  MutexLock lock(&mu_);
  const auto found = conn->monitors.find(ref);
  if (found == conn->monitors.end()) return;
  const auto [pid, id] = found->second;
  conn->monitors.erase(found);
  if (id == 0) return;  // DeliverMonitor sees that it is gone.
  later.Do([this, pid = pid, id = id] { runtime_->StopObserving(pid, id); });
}

void Peers::Impl::SendDown(const std::weak_ptr<Conn>& weak, const Pid& watcher,
                           uint64_t ref, const Pid& pid,
                           const ExitReason& reason) {
  {
    MutexLock lock(&mu_);
    const ConnPtr conn = weak.lock();
    if (conn == nullptr || conn->monitors.erase(ref) == 0) return;
  }
  Frame frame;
  peer::v1::Down* const down = frame.mutable_down();
  down->set_ref(ref);
  *down->mutable_watcher() = watcher.ToProto();
  if (!pid.empty()) *down->mutable_pid() = pid.ToProto();
  *down->mutable_reason() = reason.ToProto();
  SubmitAnswer(weak, Item(Frame::kDown, SerializeFrame(frame)));
}

}  // namespace muster
