// What arrives on the streams of Peers.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/base/planted.h"
#include "node/peer/codec.h"
#include "node/peer/peers_impl.h"
#include "node/peer/target.h"
#include "node/process/process.h"

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
    const auto frames = static_cast<uint64_t>(batch.frames_size());
    const uint64_t due = conn->received_seq + 1;
    if (conn->stage != Stage::kOpen) {
      wrong = "a batch before the hello";
    } else if (conn->switch_heard) {
      wrong = "a frame after the switch";
    } else if (batch.first_seq() > due ||
               (batch.first_seq() < due && !Planted(PlantedBug::kNoDedup))) {
      wrong = absl::StrCat("frame ", batch.first_seq(), " came where ", due,
                           " was due");
    } else {
      conn->received_seq =
          std::max(conn->received_seq, batch.first_seq() + frames - 1);
      conn->heard_at = clock().Boot();
      Count(counters_.frames_received, frames);
      const Frame* const last =
          frames == 0 ? nullptr : &batch.frames(batch.frames_size() - 1);
      const bool switches = last != nullptr && last->has_switch_();
      if (switches && last->switch_().last_seq() != conn->received_seq) {
        wrong = "a switch that gives a wrong number for itself";
      } else {
        TakeBatchLocked(conn, std::move(batch), &later, &wrong);
      }
      if (switches && wrong.empty() && !SwitchHeardLocked(conn, &later)) {
        wrong = "a switch to no other stream";
      }
    }
  }
  if (!wrong.empty()) Break(conn, wrong);
}

void Peers::Impl::TakeBatchLocked(const ConnPtr& conn, peer::v1::Batch batch,
                                  Later* later, std::string* wrong) {
  if (conn->session->receiving == conn->id) {
    Happening arrived(Happening::Kind::kBatch);
    arrived.conn = conn;
    arrived.batch = std::move(batch);
    HappenLocked(*conn->peer, std::move(arrived), later);
    return;
  }
  conn->held_bytes += batch.ByteSizeLong();
  if (conn->held_bytes > options_.queue_bytes_max) {
    *wrong = "too much came before the switch to it";
    return;
  }
  conn->held.push_back(std::move(batch));
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
      // What a lost session brought is lost with it.
      if (!conn->session->open) continue;
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
      waiting.call = std::move(found->second);
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
      DeliverInfo(conn, *frame.mutable_info());
      return true;
    case Frame::kReply:
      DeliverReply(conn, *frame.mutable_reply(), std::move(waiting));
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
    case Frame::kReturned:
      DeliverReturned(conn, *frame.mutable_returned());
      return true;
    case Frame::kSwitch:  // HandleBatch has seen to it.
    case Frame::kHeartbeat:
      return true;
    default:
      Count(counters_.frames_ignored);
      return true;
  }
}

void Peers::Impl::DeliverCall(const ConnPtr& conn, peer::v1::Call& call) {
  std::weak_ptr<Impl> weak = weak_from_this();
  WeakSession weak_session = conn->session;
  const uint64_t call_id = call.call_id();
  const auto refuse = [&](absl::Status status) {
    SendReply(weak_session, call_id, "", CallResult(std::move(status)));
  };
  if (absl::Status fresh = AdmitCall(conn, call); !fresh.ok()) {
    // The same once more: the first one is answered, or has been.
    if (absl::IsAlreadyExists(fresh)) {
      Count(counters_.frames_ignored);
      return;
    }
    return refuse(std::move(fresh));
  }
  absl::StatusOr<Request> request = DecodeCall(&call, clock().Boot());
  if (!request.ok()) return refuse(std::move(request).status());
  const absl::StatusOr<Pid> pid =
      Find(request->target, request->meta, Pid::FromProto(call.resolved()));
  if (!pid.ok()) return refuse(pid.status());
  // Who calls a process does not know under which name it answers.
  std::string name;
  if (request->target.kind() != ServerRef::Kind::kGlobal) {
    if (const auto process = runtime_->Find(*pid)) {
      name = process->global_name();
    }
  }
  struct Deadline {
    std::atomic<TimerId> timer{0};
  };
  auto deadline = std::make_shared<Deadline>();
  auto slot = std::make_shared<CallSlot>(
      [weak, weak_session, call_id, name, deadline](CallResult result) {
        const std::shared_ptr<Impl> impl = weak.lock();
        if (impl == nullptr) return;
        const TimerId timer = deadline->timer.exchange(kTimerDone);
        if (timer != 0) impl->runtime_->scheduler().Cancel(timer);
        if (const SessionPtr asked = weak_session.lock()) {
          MutexLock lock(&impl->mu_);
          asked->served.erase(call_id);
        }
        impl->SendReply(weak_session, call_id, name, std::move(result));
      });
  {
    MutexLock lock(&mu_);
    conn->session->served[call_id] = slot;
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
    const auto& served = conn->session->served;
    const auto found = served.find(call_id);
    if (found != served.end()) slot = found->second.lock();
  }
  // Null: it was answered meanwhile.
  if (slot != nullptr) slot->Cancel();
}

void Peers::Impl::SendReply(const WeakSession& session, uint64_t call_id,
                            const std::string& name, CallResult result) {
  Frame frame = EncodeReply(call_id, result);
  frame.mutable_reply()->clear_fence_remaining();
  const bool fenced = result.fence_remaining != absl::InfiniteDuration();
  if (fenced && !result.epoch.empty()) frame.mutable_reply()->set_name(name);
  Item item(Frame::kReply, SerializeFrame(frame));
  item.id = call_id;
  item.fenced = fenced;
  item.fence_until = result.fence_until;
  SubmitAnswer(session, std::move(item));
}

void Peers::Impl::DeliverCast(const ConnPtr& conn, peer::v1::Cast& cast) {
  const uint64_t ack_id = cast.ack_id();
  const Pid resolved = Pid::FromProto(cast.resolved());
  absl::StatusOr<Request> request = DecodeCast(&cast, clock().Boot());
  absl::Status status = request.status();
  if (status.ok()) {
    const absl::StatusOr<Pid> pid =
        Find(request->target, request->meta, resolved);
    status = pid.ok() ? runtime_->CastLocal(*pid, *std::move(request))
                      : pid.status();
    if (ack_id == 0 && IsFencedTarget(pid.status())) {
      // Encoded anew: decoding took its payload.
      absl::StatusOr<Frame> frame =
          EncodeCast(*request, resolved, 0, clock().Boot());
      if (frame.ok()) {
        peer::v1::Returned returned;
        *returned.mutable_cast() = std::move(*frame->mutable_cast());
        Return(conn, status, std::move(returned));
        return;
      }
    }
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
  SubmitAnswer(conn->session, Item(Frame::kCastAck, SerializeFrame(frame)));
}

void Peers::Impl::DeliverInfo(const ConnPtr& conn, peer::v1::Info& info) {
  const absl::StatusOr<Meta> meta = DecodeMeta(info.meta(), clock().Boot());
  if (meta.ok()) {
    const ServerRef target = ServerRef::FromProto(info.target());
    const absl::StatusOr<Pid> pid = Find(target, *meta, Pid());
    if (pid.ok()) {
      core::v1::Payload& payload = *info.mutable_payload();
      runtime_->SendLocal(
          *pid,
          Info(Payload::FromBytes(std::move(*payload.mutable_value()),
                                  payload.type())),
          target.alias());
      return;
    }
    if (IsFencedTarget(pid.status())) {
      peer::v1::Returned returned;
      *returned.mutable_info() = std::move(info);
      Return(conn, pid.status(), std::move(returned));
      return;
    }
  }
  Count(counters_.signals_dropped);
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
    if (!conn->session->open || !conn->peer->ties.RemoveLink(link)) {
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
    if (!conn->session->open) return true;
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
    if (!conn->session->open || !conn->peer->ties.RemoveLink(link)) {
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
    if (!conn->session->open ||
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
    if (!conn->session->open ||
        !conn->session->monitors.try_emplace(ref, pid, 0).second) {
      return;
    }
  }
  std::weak_ptr<Impl> weak = weak_from_this();
  WeakSession session = conn->session;
  const uint64_t id = runtime_->ObserveExit(
      pid, [weak, session, watcher, ref, pid](ExitReason reason) {
        if (const auto impl = weak.lock()) {
          impl->SendDown(session, watcher, ref, pid, reason);
        }
      });
  if (id == 0) return;
  Later later;
  MutexLock lock(&mu_);
  auto& monitors = conn->session->monitors;
  const auto found = monitors.find(ref);
  if (found != monitors.end()) {
    found->second.second = id;
  } else {
    later.Do([this, pid, id] { runtime_->StopObserving(pid, id); });
  }
}

void Peers::Impl::DeliverDemonitor(const ConnPtr& conn, uint64_t ref) {
  Later later;
  MutexLock lock(&mu_);
  auto& monitors = conn->session->monitors;
  const auto found = monitors.find(ref);
  if (found == monitors.end()) return;
  const auto [pid, id] = found->second;
  monitors.erase(found);
  if (id == 0) return;  // DeliverMonitor sees that it is gone.
  later.Do([this, pid = pid, id = id] { runtime_->StopObserving(pid, id); });
}

void Peers::Impl::SendDown(const WeakSession& weak, const Pid& watcher,
                           uint64_t ref, const Pid& pid,
                           const ExitReason& reason) {
  {
    MutexLock lock(&mu_);
    const SessionPtr session = weak.lock();
    if (session == nullptr || session->monitors.erase(ref) == 0) return;
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
