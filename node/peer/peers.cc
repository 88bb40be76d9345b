#include "node/peer/peers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/base/planted.h"
#include "node/peer/codec.h"
#include "node/peer/handshake.h"
#include "node/peer/peers_impl.h"

namespace muster {
namespace {

using peer::v1::Frame;

// After a failed dial everything for that incarnation fails at once for so
// long.
constexpr absl::Duration kFailFast = absl::Milliseconds(100);

// Never reached the other node.
Error LocalValue(const Request& request) {
  return Error(
             absl::StatusCode::kInvalidArgument, "LOCAL_VALUE",
             absl::StrCat("a ", request.payload.type(), " for ", request.method,
                          " is a C++ value, which cannot leave its node: "
                          "call from the node of ",
                          request.target.ToString()))
      .NotExecuted();
}

Error DownError(absl::string_view node, absl::string_view why) {
  return Error(absl::StatusCode::kUnavailable, "NODEDOWN",
               absl::StrCat("node '", node, "' is down: ", why))
      .With("node", node)
      .RetryAfter(kFailFast)
      .NotExecuted();
}

Error Expired(absl::string_view node) {
  return Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
               absl::StrCat("the deadline passed before the request left for "
                            "node '",
                            node, "'"))
      .NotExecuted();
}

Error QueueFull(absl::string_view node, size_t bytes_max) {
  return Error(absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
               absl::StrCat("over ", bytes_max,
                            " bytes wait to be sent to node '", node, "'"))
      .With("node", node)
      .RetryAfter(absl::Milliseconds(100))
      .NotExecuted();
}

// In place of a reply for which there is no room.
Error ReplyDropped(absl::string_view node, size_t bytes) {
  return Error(absl::StatusCode::kResourceExhausted, "REPLY_DROPPED",
               absl::StrCat("the call ran, but its reply of ", bytes,
                            " bytes found no room: node '", node,
                            "' takes its replies too slowly"))
      .With("node", node)
      .Executed();
}

// In place of a reply that was held up past its node's fence.
Error FenceClosed() {
  return Error(absl::StatusCode::kAborted, "FENCED",
               "the server ran the call, but its node could not prove in time "
               "that it still owns the name: read the state, then decide")
      .Unknown();
}

// The pid that a signal means; empty if it means a name.
Pid PidOf(const Signal& signal) {
  if (signal.kind != Signal::Kind::kMonitor) return signal.to;
  return signal.target.kind() == ServerRef::Kind::kLocal ? Pid()
                                                         : signal.target.pid();
}

void Answer(absl::AnyInvocable<void(absl::Status)>& taken,
            const absl::Status& status) {
  if (taken) taken(status);
}

}  // namespace

// -- Life ---------------------------------------------------------------------

void Peers::Impl::Serve() {
  transport_->Serve([weak = weak_from_this()](std::shared_ptr<Stream> stream)
                        -> std::shared_ptr<StreamHandler> {
    if (auto impl = weak.lock()) return impl->Accept(std::move(stream));
    // A stream for nobody: closed at once, its events go nowhere.
    stream->Close(absl::UnavailableError("the node is shutting down"));
    return std::make_shared<Conn>(std::weak_ptr<Impl>(), 0, false);
  });
}

void Peers::Impl::Shutdown() {
  Later later;
  MutexLock lock(&mu_);
  shut_down_ = true;
  const absl::Status status =
      absl::UnavailableError("the node is shutting down");
  const absl::btree_map<uint64_t, ConnPtr> conns = conns_;
  for (const auto& [id, conn] : conns) {
    EndLocked(conn, status, &later);
    CloseLocked(conn, status, &later);  // One that was only let go of.
  }
  for (const auto& [node, peer] : peers_) {
    if (peer->await_timer != 0) {
      runtime_->scheduler().Cancel(std::exchange(peer->await_timer, 0));
    }
    FailQueueLocked(*peer, "this node is shutting down", &later);
  }
}

peer::v1::Hello Peers::Impl::MyHello() const {
  peer::v1::Hello hello;
  hello.set_protocol_min(kPeerProtocolMin);
  hello.set_protocol_max(kPeerProtocolMax);
  hello.set_cluster_id(options_.cluster_id);
  hello.set_generation(options_.generation);
  hello.set_node(runtime_->node());
  *hello.mutable_node_epoch() = runtime_->epoch().ToProto();
  hello.set_build(options_.build);
  return hello;
}

Peers::Impl::Peer& Peers::Impl::PeerOf(absl::string_view node) {
  std::unique_ptr<Peer>& peer = peers_[std::string(node)];
  if (peer == nullptr) peer = std::make_unique<Peer>(node);
  return *peer;
}

std::vector<SuspectNode> Peers::Impl::Suspects() const {
  std::vector<SuspectNode> suspects;
  {
    MutexLock lock(&mu_);
    for (const auto& [node, peer] : peers_) {
      if (!peer->suspect_since.has_value()) continue;
      suspects.push_back(SuspectNode{.node = node,
                                     .since = *peer->suspect_since,
                                     .why = peer->suspect_why});
    }
  }
  std::erase_if(suspects, [this](const SuspectNode& suspect) {
    return !directory_->Find(suspect.node).has_value();
  });
  return suspects;
}

std::vector<std::string> Peers::Impl::Connected() const {
  std::vector<std::string> nodes;
  MutexLock lock(&mu_);
  for (const auto& [node, peer] : peers_) {
    if (peer->conn != nullptr && peer->conn->stage == Stage::kOpen) {
      nodes.push_back(node);
    }
  }
  return nodes;
}

PeerStats Peers::Impl::stats() const {
  PeerStats stats;
  stats.batches_written = counters_.batches_written.load();
  stats.frames_written = counters_.frames_written.load();
  stats.frames_received = counters_.frames_received.load();
  stats.frames_ignored = counters_.frames_ignored.load();
  stats.signals_dropped = counters_.signals_dropped.load();
  stats.streams_opened = counters_.streams_opened.load();
  stats.streams_lost = counters_.streams_lost.load();
  stats.streams_renewed = counters_.streams_renewed.load();
  stats.replies_confirmed = counters_.replies_confirmed.load();
  stats.frames_fenced = counters_.frames_fenced.load();
  stats.rerouted = counters_.rerouted.load();
  stats.reroutes_lost = counters_.reroutes_lost.load();
  return stats;
}

PeerTables Peers::Impl::Tables() const {
  PeerTables tables;
  MutexLock lock(&mu_);
  for (const auto& [node, peer] : peers_) {
    tables.links += peer->ties.mine.size() + peer->ties.theirs.size();
    tables.watching += peer->ties.watching.size();
    tables.calls += peer->calls.size();
    tables.casts += peer->casts.size();
    tables.queue_bytes += peer->queue_bytes;
    if (peer->conn != nullptr && peer->conn->session != nullptr) {
      tables.watched += peer->conn->session->monitors.size();
    }
  }
  for (const auto& [id, conn] : conns_) {
    if (!conn->dialed && conn->stage == Stage::kHandshake) ++tables.half_open;
  }
  return tables;
}

void Peers::Impl::NodeDied(absl::string_view node, Epoch epoch) {
  Later later;
  MutexLock lock(&mu_);
  Peer& peer = PeerOf(node);
  peer.dead_epoch = std::max(peer.dead_epoch, epoch);
  peer.suspect_since.reset();
  peer.silent = false;
  const ConnPtr conn = peer.conn;
  Happening died(Happening::Kind::kDied);
  died.epoch = epoch;
  HappenLocked(peer, std::move(died), &later);
  if (conn == nullptr || conn->stage != Stage::kOpen || conn->epoch > epoch ||
      Planted(PlantedBug::kIgnoreEpochs)) {
    return;
  }
  if (!conn->writing) {
    // Whoever is refused freezes at once (guarantees R9).
    peer::v1::PeerMessage message;
    peer::v1::Refuse* const refuse = message.mutable_refuse();
    refuse->set_reason(peer::v1::Refuse::DEAD_EPOCH);
    *refuse->mutable_known_epoch() = epoch.ToProto();
    WriteRawLocked(conn, message, &later);
  }
  EndLocked(conn,
            absl::NotFoundError(absl::StrCat("epoch ", conn->epoch.ToString(),
                                             " of the node is dead")),
            &later);
}

// -- Sending ------------------------------------------------------------------

void Peers::Impl::SendCall(absl::string_view node, const Pid& resolved,
                           const Request& request,
                           std::shared_ptr<CallSlot> slot,
                           std::shared_ptr<CallSlot> outer) {
  const uint64_t id = next_id_.fetch_add(1, std::memory_order_relaxed);
  if (request.payload.is_local()) {
    slot->Complete(CallResult(LocalValue(request).status()));
    return;
  }
  absl::StatusOr<Frame> frame =
      EncodeCall(request, resolved, id, clock().Boot());
  if (!frame.ok()) {
    slot->Complete(CallResult(std::move(frame).status()));
    return;
  }
  frame->mutable_call()->mutable_meta()->clear_remaining();
  Item item(Frame::kCall, SerializeFrame(*frame));
  item.expires = request.meta.deadline;
  item.id = id;
  if (request.target.kind() == ServerRef::Kind::kGlobal) {
    item.name = request.target.name();
  }
  item.owner = resolved;
  item.slot = slot;
  item.outer = std::move(outer);
  Submit(node, std::move(item));
  slot->OnCancel([weak = weak_from_this(), node = std::string(node), id] {
    if (const auto impl = weak.lock()) impl->SendCancel(node, id);
  });
}

void Peers::Impl::SendCancel(const std::string& node, uint64_t call_id) {
  Frame frame;
  frame.mutable_cancel()->set_call_id(call_id);
  Item item(Frame::kCancel, SerializeFrame(frame));
  Later later;
  MutexLock lock(&mu_);
  Peer& peer = PeerOf(node);
  // Not there: it was not written, and never will be, or it was answered.
  if (peer.calls.erase(call_id) == 0) return;
  if (peer.conn == nullptr || peer.conn->stage != Stage::kOpen) return;
  peer.queue_bytes += item.bytes.size();
  peer.queue.push_front(std::move(item));
  WriteLocked(peer, &later);
}

void Peers::Impl::SendCast(absl::string_view node, const Pid& resolved,
                           const Request& request,
                           absl::AnyInvocable<void(absl::Status)> taken) {
  const uint64_t id =
      taken ? next_id_.fetch_add(1, std::memory_order_relaxed) : 0;
  if (request.payload.is_local()) {
    Answer(taken, LocalValue(request));
    return;
  }
  absl::StatusOr<Frame> frame =
      EncodeCast(request, resolved, id, clock().Boot());
  if (!frame.ok()) {
    Answer(taken, frame.status());
    return;
  }
  frame->mutable_cast()->mutable_meta()->clear_remaining();
  Item item(Frame::kCast, SerializeFrame(*frame));
  item.expires = request.meta.deadline;
  item.id = id;
  item.taken = std::move(taken);
  Submit(node, std::move(item));
}

void Peers::Impl::SendInfo(absl::string_view node, const ServerRef& target,
                           const Info& info, const Meta& meta) {
  absl::StatusOr<Frame> frame = absl::InvalidArgumentError("a C++ value");
  if (!info.is_local()) frame = EncodeInfo(target, info, meta, clock().Boot());
  if (!frame.ok()) {
    Count(counters_.signals_dropped);
    runtime_->log().Warning(
        absl::StrCat("info ", info.type(), " to ", target.ToString(),
                     " cannot leave this node: ", frame.status().message()));
    return;
  }
  Submit(node, Item(Frame::kInfo, SerializeFrame(*frame)));
}

void Peers::Impl::Ties::Add(const Signal& signal) {
  if (signal.kind == Signal::Kind::kMonitor) {
    watching.insert(signal.ref);
  } else {
    mine[signal.link.mine] = Link{signal.from, signal.to};
  }
}

void Peers::Impl::SendSignal(Signal signal) {
  const bool tie = signal.kind == Signal::Kind::kLink ||
                   signal.kind == Signal::Kind::kMonitor;
  if (!tie && (signal.kind != Signal::Kind::kExit || signal.via_link)) {
    SubmitTied(signal);
    return;
  }
  const std::string node = signal.node();
  const Pid pid = PidOf(signal);
  if (tie && !pid.empty()) {
    // A newer incarnation lives: the pid's cannot (otp P5, ND8).
    Epoch known;
    if (const auto address = directory_->Find(node)) known = address->epoch;
    {
      MutexLock lock(&mu_);
      const auto found = peers_.find(node);
      if (found != peers_.end()) {
        known = std::max(known, found->second->known_epoch);
      }
    }
    if (known > pid.epoch) {
      GiveBack(signal, ExitReason::Noproc());
      return;
    }
  }
  const Frame frame = EncodeSignal(signal);
  Item item(frame.frame_case(), SerializeFrame(frame));
  if (tie) item.tie = std::move(signal);
  Submit(node, std::move(item));
}

void Peers::Impl::SubmitTied(const Signal& signal) {
  const Frame frame = EncodeSignal(signal);
  Item item(frame.frame_case(), SerializeFrame(frame));
  Later later;
  MutexLock lock(&mu_);
  const auto found = peers_.find(signal.node());
  if (found == peers_.end()) return;
  Peer& peer = *found->second;
  const bool stood = signal.kind == Signal::Kind::kDemonitor
                         ? peer.ties.watching.erase(signal.ref) > 0
                         : peer.ties.RemoveLink(signal.link);
  // Else it is over, and the other side knows or will know.
  if (stood) EnqueueLocked(peer, std::move(item), &later);
}

void Peers::Impl::GiveBack(const Signal& tie, const ExitReason& reason) {
  if (tie.kind == Signal::Kind::kMonitor) {
    // Nobody is known to have ended if the node could not be had.
    const bool lost = reason.kind() == ExitReason::Kind::kNoconnection;
    runtime_->Deliver(Signal::Down(tie.ref, lost ? Pid() : PidOf(tie), reason));
  } else {
    runtime_->Deliver(Signal::LinkExit(tie.to, tie.from, reason, tie.link));
  }
}

bool Peers::Impl::MayDialLocked(const Peer& peer) const {
  switch (options_.connect) {
    case PeerOptions::Connect::kOnUse:
      return true;
    case PeerOptions::Connect::kOnce:
      return !peer.was_open;
    case PeerOptions::Connect::kNever:
      return false;
  }
  return false;
}

void Peers::Impl::Connect(absl::string_view node) {
  if (node == runtime_->node()) return;
  std::optional<PeerAddress> address = directory_->Find(node);
  if (!address.has_value()) return;
  Later later;
  MutexLock lock(&mu_);
  if (shut_down_) return;
  Peer& peer = PeerOf(node);
  peer.known_epoch = std::max(peer.known_epoch, address->epoch);
  if (!peer.has_stream()) {
    DialLocked(peer, std::move(address->address), &later);
  }
}

// True: the peer is silent, so that a dial would be waited for in vain
// (guarantees R14).
bool Peers::Impl::NobodyWaitsFor(const Peer& peer, const Item& item) {
  return peer.silent && item.IsRequest() &&
         (peer.conn == nullptr || peer.conn->stage != Stage::kOpen);
}

void Peers::Impl::Submit(absl::string_view node, Item item) {
  Later later;
  // What a dial has failed with just now, and which incarnation that was for.
  std::optional<std::string> failure;
  Epoch failed_epoch;
  {
    MutexLock lock(&mu_);
    Peer* const peer =
        peers_.contains(std::string(node)) ? &PeerOf(node) : nullptr;
    if (peer != nullptr && peer->has_stream()) {
      if (NobodyWaitsFor(*peer, item)) {
        RefuseItem(std::move(item), DownError(node, peer->suspect_why), &later);
        return;
      }
      EnqueueLocked(*peer, std::move(item), &later);
      return;
    }
    if (peer != nullptr && peer->failed &&
        clock().Boot() < peer->failed_at + kFailFast) {
      failure = peer->failure;
      failed_epoch = peer->failed_epoch;
    }
  }
  if (node == runtime_->node()) {
    RefuseItem(std::move(item),
               DownError(node, "a node has no stream to itself"), &later);
    return;
  }
  std::optional<PeerAddress> address = directory_->Find(node);
  if (!address.has_value()) {
    RefuseItem(std::move(item), DownError(node, "it is no member now"), &later);
    return;
  }
  // One that has joined since is another, which nobody has failed to reach.
  if (failure.has_value() && address->epoch <= failed_epoch) {
    RefuseItem(std::move(item), DownError(node, *failure), &later);
    return;
  }
  MutexLock lock(&mu_);
  if (shut_down_) {
    RefuseItem(std::move(item), DownError(node, "this node is shutting down"),
               &later);
    return;
  }
  Peer& peer = PeerOf(node);
  peer.known_epoch = std::max(peer.known_epoch, address->epoch);
  if (!peer.has_stream()) {
    if (!MayDialLocked(peer)) {
      RefuseItem(std::move(item),
                 DownError(node,
                           "it is not connected, and this node opens no "
                           "stream to it by itself"),
                 &later);
      return;
    }
    DialLocked(peer, std::move(address->address), &later);
  }
  if (NobodyWaitsFor(peer, item)) {
    RefuseItem(std::move(item), DownError(node, peer.suspect_why), &later);
    return;
  }
  EnqueueLocked(peer, std::move(item), &later);
}

void Peers::Impl::SubmitAnswer(const WeakSession& weak, Item item) {
  Later later;
  MutexLock lock(&mu_);
  const SessionPtr session = weak.lock();
  // The question's session is over, and with it whoever waits.
  if (session == nullptr || !session->open) return;
  EnqueueLocked(*session->peer, std::move(item), &later);
}

void Peers::Impl::RefuseItem(Item item, const Error& error, Later* later) {
  if (item.tie.has_value()) {
    later->Do([this, tie = *std::move(item.tie)] {
      GiveBack(tie, ExitReason::Noconnection());
    });
    return;
  }
  if (item.slot == nullptr && !item.taken) Count(counters_.signals_dropped);
  FailItem(std::move(item), error, later);
}

void Peers::Impl::EnqueueLocked(Peer& peer, Item item, Later* later) {
  // Answers and signals have their room from whatever made them necessary.
  if (item.IsRequest() && !peer.queue.empty() &&
      peer.queue_bytes + item.bytes.size() > options_.queue_bytes_max) {
    RefuseItem(std::move(item), QueueFull(peer.node, options_.queue_bytes_max),
               later);
    return;
  }
  if (!HasRoomLocked(peer, &item, later)) return;
  if (item.tie.has_value()) {
    peer.ties.Add(*item.tie);
    item.tie.reset();
  }
  peer.queue_bytes += item.bytes.size();
  peer.queue.push_back(std::move(item));
  WriteLocked(peer, later);
}

bool Peers::Impl::HasRoomLocked(Peer& peer, Item* item, Later* later) {
  const size_t bytes_max = options_.queue_bytes_max;
  if (item->kind == Frame::kReply && !peer.queue.empty() &&
      peer.queue_bytes + item->bytes.size() > 2 * bytes_max) {
    *item = Item(
        Frame::kReply,
        SerializeFrame(EncodeReply(
            item->id,
            CallResult(ReplyDropped(peer.node, item->bytes.size()).status()))));
  }
  if (peer.queue.empty() ||
      peer.queue_bytes + item->bytes.size() <= 4 * bytes_max) {
    return true;
  }
  const absl::Status slow = absl::ResourceExhaustedError(
      absl::StrCat("over ", 4 * bytes_max, " bytes wait to be sent"));
  if (item->tie.has_value()) {
    peer.ties.Add(*item->tie);
    item->tie.reset();
  }
  if (const ConnPtr conn = peer.conn) {
    EndLocked(conn, slow, later);
  } else {
    UnreachableLocked(peer, slow.message(), later);
  }
  return false;
}

bool Peers::Impl::TakeForWriteLocked(Peer& peer, Item* item, BootTime now,
                                     Later* later) {
  if (!item->expires.is_infinite()) {
    if (item->expires <= now) {
      FailItem(std::move(*item), Expired(peer.node), later);
      return false;
    }
    item->bytes += RemainingSuffix(item->kind, item->expires - now);
  }
  if (item->fenced) {
    // What is left now, not when the server answered: it may have waited here,
    // or this node may have been paused (guarantees R8, R10).
    // A relayed one hangs on its owner's fence alone.
    const absl::Duration left = item->fence_until.is_infinite()
                                    ? runtime_->fence().Remaining(now)
                                    : item->fence_until - now;
    if (left > absl::ZeroDuration()) {
      item->bytes += RemainingSuffix(item->kind, left);
    } else {
      item->bytes = SerializeFrame(
          EncodeReply(item->id, CallResult(FenceClosed().status())));
    }
  }
  if (item->slot != nullptr) {
    if (item->outer != nullptr && !item->outer->MarkDispatched() &&
        item->outer->done()) {
      return false;
    }
    if (!item->slot->MarkDispatched()) return false;
    Sent& sent = peer.calls[item->id];
    sent.slot = std::move(item->slot);
    sent.at = now;
    sent.name = std::move(item->name);
    sent.owner = std::move(item->owner);
    if (peer.calls.size() >= peer.calls_sweep) {
      // Callers that gave up wait no more.
      absl::erase_if(peer.calls,
                     [](const auto& call) { return call.second.slot->done(); });
      peer.calls_sweep = std::max<size_t>(1024, 2 * peer.calls.size());
    }
  }
  if (item->taken) peer.casts[item->id] = std::move(item->taken);
  return true;
}

void Peers::Impl::WriteLocked(Peer& peer, Later* later) {
  const ConnPtr& conn = peer.conn;
  if (conn == nullptr || conn->stage != Stage::kOpen || conn->writing ||
      peer.queue.empty()) {
    return;
  }
  const BootTime now = clock().Boot();
  std::vector<std::string> frames;
  size_t bytes = 0;
  while (!peer.queue.empty() && frames.size() < kBatchFramesMax) {
    if (!frames.empty() &&
        bytes + peer.queue.front().bytes.size() > kBatchBytesMax) {
      break;
    }
    Item item = std::move(peer.queue.front());
    peer.queue.pop_front();
    peer.queue_bytes -= item.bytes.size();
    if (!TakeForWriteLocked(peer, &item, now, later)) continue;
    bytes += item.bytes.size();
    frames.push_back(std::move(item.bytes));
  }
  if (frames.empty()) return;
  const uint64_t first_seq = conn->sent_seq + 1;
  conn->sent_seq += frames.size();
  conn->written_at = now;
  conn->writing = true;
  Count(counters_.batches_written);
  Count(counters_.frames_written, frames.size());
  later->Do([stream = conn->stream, first_seq, frames = std::move(frames)] {
    stream->Write(SerializeBatch(first_seq, frames));
  });
}

void Peers::Impl::FailItem(Item item, const Error& error, Later* later) {
  if (item.slot == nullptr && !item.taken) return;
  later->Do([item = std::move(item), error]() mutable {
    if (item.slot != nullptr) item.slot->Fail(error);
    Answer(item.taken, error.status());
  });
}

void Peers::Impl::FailQueueLocked(Peer& peer, absl::string_view why,
                                  Later* later) {
  std::deque<Item> queue = std::exchange(peer.queue, {});
  peer.queue_bytes = 0;
  for (Item& item : queue) {
    if (!item.IsRequest()) continue;
    RefuseItem(std::move(item), DownError(peer.node, why), later);
  }
  UntieLocked(peer, Happening(Happening::Kind::kUntied), later);
}

// -- Peers --------------------------------------------------------------------

Peers::Peers(PeerOptions options, Runtime* runtime, Transport* transport,
             const PeerDirectory* directory, NameRegistry* names)
    : impl_(std::make_shared<Impl>(std::move(options), runtime, transport,
                                   directory, names)) {
  impl_->Serve();
}

Peers::~Peers() { impl_->Shutdown(); }

void Peers::SendCall(absl::string_view node, const Pid& resolved,
                     const Request& request, std::shared_ptr<CallSlot> slot,
                     std::shared_ptr<CallSlot> outer) {
  impl_->SendCall(node, resolved, request, std::move(slot), std::move(outer));
}

void Peers::SendCast(absl::string_view node, const Pid& resolved,
                     const Request& request,
                     absl::AnyInvocable<void(absl::Status)> taken) {
  impl_->SendCast(node, resolved, request, std::move(taken));
}

void Peers::SendInfo(absl::string_view node, const ServerRef& target,
                     const Info& info, const Meta& meta) {
  impl_->SendInfo(node, target, info, meta);
}

void Peers::SendSignal(Signal signal) { impl_->SendSignal(std::move(signal)); }

void Peers::Connect(absl::string_view node) { impl_->Connect(node); }

void Peers::Reach(absl::string_view node) { impl_->Reach(node); }

void Peers::Renew(absl::string_view node) { impl_->Renew(node); }

void Peers::RenewAll() {
  for (const std::string& node : impl_->Connected()) impl_->Renew(node);
}

void Peers::OnReturned(std::function<void(Returned)> returned) {
  impl_->OnReturned(std::move(returned));
}

void Peers::CountReroute(bool lost) { impl_->CountReroute(lost); }

void Peers::CountDropped() { impl_->CountDropped(); }

Epoch Peers::Seen(absl::string_view name) const { return impl_->Seen(name); }

std::vector<SuspectNode> Peers::Suspects() const { return impl_->Suspects(); }

void Peers::NodeDied(absl::string_view node, Epoch epoch) {
  impl_->NodeDied(node, epoch);
}

std::vector<std::string> Peers::Connected() const { return impl_->Connected(); }

PeerStats Peers::stats() const { return impl_->stats(); }

PeerTables Peers::Tables() const { return impl_->Tables(); }

}  // namespace muster
