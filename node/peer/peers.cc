#include "node/peer/peers.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "muster/peer/v1/peer.pb.h"
#include "node/base/mutex.h"
#include "node/peer/codec.h"
#include "node/peer/handshake.h"
#include "node/peer/target.h"
#include "node/types/exit_reason.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

using peer::v1::Frame;

// How long both hellos may take, and how long a dialer that was refused as a
// duplicate waits for the stream that stays.
constexpr absl::Duration kHandshakeMax = absl::Seconds(3);
constexpr absl::Duration kAwaitMax = absl::Seconds(2);
// After a failed dial everything fails at once for so long.
constexpr absl::Duration kFailFast = absl::Milliseconds(100);
// Silence that ends a stream, in heartbeats: three missed, and half of one for
// the last to arrive.
constexpr double kSilentHeartbeats = 3.5;
constexpr TimerId kTimerDone = ~TimerId{0};

// What is to be done once the lock is released: runs when it is destroyed, so
// it is declared before the MutexLock.
class Later {
 public:
  Later() = default;
  Later(const Later&) = delete;
  Later& operator=(const Later&) = delete;
  ~Later() {
    for (auto& work : work_) work();
  }
  void Do(absl::AnyInvocable<void()> work) { work_.push_back(std::move(work)); }

 private:
  std::vector<absl::AnyInvocable<void()>> work_;
};

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

// May have reached it.
Error NoConnection(absl::string_view node, absl::string_view why) {
  return Error(absl::StatusCode::kAborted, "NOCONNECTION",
               absl::StrCat("the stream to node '", node, "' was lost: ", why))
      .With("node", node)
      .Unknown();
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

void Answer(absl::AnyInvocable<void(absl::Status)>& taken,
            const absl::Status& status) {
  if (taken) taken(status);
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

// A frame that waits for its stream.
struct Item {
  Item(Frame::FrameCase k, std::string b) : kind(k), bytes(std::move(b)) {}

  Frame::FrameCase kind;
  std::string bytes;  // Serialized, without the time that remains.
  // Calls and casts: the deadline. Replies: the end of the owner's fence.
  BootTime expires = BootTime::Infinite();
  uint64_t id = 0;  // call_id or ack_id.
  std::shared_ptr<CallSlot> slot;
  std::shared_ptr<CallSlot> outer;
  absl::AnyInvocable<void(absl::Status)> taken;

  bool IsRequest() const {
    return kind == Frame::kCall || kind == Frame::kCast || kind == Frame::kInfo;
  }
};

// Fails an item that never reached the other node.
void FailItem(Item item, const Error& error, Later* later) {
  if (item.slot == nullptr && !item.taken) return;
  later->Do([item = std::move(item), error]() mutable {
    if (item.slot != nullptr) item.slot->Fail(error);
    Answer(item.taken, error.status());
  });
}

}  // namespace

// All state of all peers under one lock; nothing is called while it is held.
class Peers::Impl : public std::enable_shared_from_this<Peers::Impl> {
 public:
  Impl(PeerOptions options, Runtime* runtime, Transport* transport,
       const PeerDirectory* directory, const NameRegistry* names)
      : options_(std::move(options)),
        runtime_(runtime),
        transport_(transport),
        directory_(directory),
        names_(names) {}

  void Serve();
  void Shutdown() ABSL_LOCKS_EXCLUDED(mu_);

  void SendCall(absl::string_view node, const Pid& resolved,
                const Request& request, std::shared_ptr<CallSlot> slot,
                std::shared_ptr<CallSlot> outer) ABSL_LOCKS_EXCLUDED(mu_);
  void SendCast(absl::string_view node, const Pid& resolved,
                const Request& request,
                absl::AnyInvocable<void(absl::Status)> taken)
      ABSL_LOCKS_EXCLUDED(mu_);
  void SendInfo(absl::string_view node, const ServerRef& target,
                const Info& info, const Meta& meta) ABSL_LOCKS_EXCLUDED(mu_);
  void NodeDied(absl::string_view node, Epoch epoch) ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::string> Connected() const ABSL_LOCKS_EXCLUDED(mu_);
  PeerStats stats() const;

 private:
  struct Conn;

  // What the runtime must hear of, in this order.
  struct Happening {
    enum class Kind : uint8_t { kOpened, kBatch, kLost };
    explicit Happening(Kind k) : kind(k) {}

    Kind kind;
    std::shared_ptr<Conn> conn;  // kBatch.
    peer::v1::Batch batch;
    // kLost: why.
    ExitReason reason = ExitReason::Noconnection();
  };

  // One other node, known by its name for as long as this one runs.
  struct Peer {
    explicit Peer(absl::string_view n) : node(n) {}

    const std::string node;
    // Open, or being dialed; null: neither.
    std::shared_ptr<Conn> conn;
    // Their stream is to come: ours was refused as a duplicate.
    TimerId await_timer = 0;
    BootTime failed_at;
    bool failed = false;
    std::string failure;
    Epoch known_epoch;
    Epoch dead_epoch;

    std::deque<Item> queue;
    size_t queue_bytes = 0;
    // Written and not yet answered.
    absl::flat_hash_map<uint64_t, std::shared_ptr<CallSlot>> calls;
    size_t calls_sweep = 1024;
    absl::flat_hash_map<uint64_t, absl::AnyInvocable<void(absl::Status)>> casts;

    // What happened on its streams; one thread at a time delivers it, in
    // order.
    std::deque<Happening> inbox;
    bool delivering = false;

    bool has_stream() const { return conn != nullptr || await_timer != 0; }
  };

  enum class Stage : uint8_t { kHandshake, kOpen, kClosed };

  // One stream, from its dial or acceptance to OnClosed.
  struct Conn final : public StreamHandler,
                      public std::enable_shared_from_this<Conn> {
    Conn(std::weak_ptr<Impl> i, uint64_t n, bool d)
        : impl(std::move(i)), id(n), dialed(d) {}

    void OnMessage(std::string message) override {
      if (auto owner = impl.lock()) {
        owner->HandleMessage(shared_from_this(), message);
      }
    }
    void OnWritten() override {
      if (auto owner = impl.lock()) owner->HandleWritten(shared_from_this());
    }
    void OnClosed(absl::Status status) override {
      if (auto owner = impl.lock()) {
        owner->HandleClosed(shared_from_this(), status);
      }
    }

    // Constant after construction.
    const std::weak_ptr<Impl> impl;
    const uint64_t id;
    const bool dialed;

    // Guarded by Impl::mu_.
    Peer* peer = nullptr;  // Null until an accepted one has said hello.
    std::shared_ptr<Stream> stream;  // Null until Dial has returned.
    Stage stage = Stage::kHandshake;
    Epoch epoch;  // Of the peer's node, from its hello.
    bool writing = false;
    // Close with it when the write under way has ended.
    std::optional<absl::Status> close_after_write;
    uint64_t sent_seq = 0;
    uint64_t received_seq = 0;
    BootTime written_at;
    BootTime heard_at;
    TimerId timer = 0;  // Handshake or heartbeat.
    BootTime timer_due;
    // Monitor ref -> what it watches here and the observer's id, 0 while it
    // is being set up.
    absl::btree_map<uint64_t, std::pair<Pid, uint64_t>> monitors;
  };

  using ConnPtr = std::shared_ptr<Conn>;

  Clock& clock() const { return runtime_->clock(); }
  peer::v1::Hello MyHello() const;
  void Count(std::atomic<uint64_t>& counter, uint64_t by = 1) {
    // Relaxed: read by people only.
    counter.fetch_add(by, std::memory_order_relaxed);
  }

  Peer& PeerOf(absl::string_view node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- Sending -------------------------------------------------------------
  // Queues `item` for `node`, dialing it if need be.
  void Submit(absl::string_view node, Item item) ABSL_LOCKS_EXCLUDED(mu_);
  // Queues an answer on the stream that the question came by, if it is open.
  void SubmitAnswer(const std::weak_ptr<Conn>& conn, Item item)
      ABSL_LOCKS_EXCLUDED(mu_);
  void EnqueueLocked(Peer& peer, Item item, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Refuses `item`: the node cannot be reached.
  void RefuseItem(Item item, const Error& error, Later* later);
  // Starts the next write unless one is under way or nothing waits.
  void WriteLocked(Peer& peer, Later* later) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // False: `item` is not to be written any more.
  bool TakeForWriteLocked(Peer& peer, Item* item, BootTime now, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- Streams -------------------------------------------------------------
  ConnPtr MakeConnLocked(bool dialed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::shared_ptr<StreamHandler> Accept(std::shared_ptr<Stream> stream)
      ABSL_LOCKS_EXCLUDED(mu_);
  void DialLocked(Peer& peer, std::string address, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Dialed(const ConnPtr& conn, std::shared_ptr<Stream> stream)
      ABSL_LOCKS_EXCLUDED(mu_);
  void ArmLocked(const ConnPtr& conn, BootTime due)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TimerFired(const ConnPtr& conn) ABSL_LOCKS_EXCLUDED(mu_);
  void HeartbeatLocked(const ConnPtr& conn, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Writes a message of the handshake.
  void WriteRawLocked(const ConnPtr& conn, const peer::v1::PeerMessage& message,
                      Later* later) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CloseLocked(const ConnPtr& conn, const absl::Status& status,
                   Later* later) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The peer's stream, open or not, is no more; its own end is the caller's
  // business. `kept`: what is queued waits for another.
  void DetachLocked(Peer& peer, absl::string_view why, bool kept, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // No stream could be had: fails what is queued, and for a while all else.
  void UnreachableLocked(Peer& peer, absl::string_view why, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FailQueueLocked(Peer& peer, absl::string_view why, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Ends a stream whatever its stage, and what follows for its peer.
  void EndLocked(const ConnPtr& conn, const absl::Status& status, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The peer does not keep to the protocol.
  void Break(const ConnPtr& conn, absl::string_view why)
      ABSL_LOCKS_EXCLUDED(mu_);

  void HandleMessage(const ConnPtr& conn, absl::string_view bytes)
      ABSL_LOCKS_EXCLUDED(mu_);
  void HandleHello(const ConnPtr& conn, peer::v1::Hello hello)
      ABSL_LOCKS_EXCLUDED(mu_);
  void OpenLocked(const ConnPtr& conn, Peer& peer, Epoch epoch, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void HandleRefuse(const ConnPtr& conn, const peer::v1::Refuse& refuse)
      ABSL_LOCKS_EXCLUDED(mu_);
  void AwaitTheirsLocked(Peer& peer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void HandleBatch(const ConnPtr& conn, peer::v1::Batch batch)
      ABSL_LOCKS_EXCLUDED(mu_);
  void HandleWritten(const ConnPtr& conn) ABSL_LOCKS_EXCLUDED(mu_);
  void HandleClosed(const ConnPtr& conn, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(mu_);

  // -- Receiving -----------------------------------------------------------
  // Whoever waits for the answer in a frame; both may be null.
  struct Waiting {
    std::shared_ptr<CallSlot> slot;
    absl::AnyInvocable<void(absl::Status)> taken;
  };
  // Puts `happening` into the inbox and has it delivered.
  void HappenLocked(Peer& peer, Happening happening, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Delivers what is in the inbox until it is empty.
  void Drain(Peer& peer) ABSL_LOCKS_EXCLUDED(mu_);
  Waiting TakeWaitingLocked(Peer& peer, const Frame& frame)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // False: the frame is malformed; `why` says how.
  bool Deliver(const ConnPtr& conn, Frame& frame, Waiting waiting,
               std::string* why) ABSL_LOCKS_EXCLUDED(mu_);
  void DeliverCall(const ConnPtr& conn, peer::v1::Call& call);
  void DeliverCast(const ConnPtr& conn, peer::v1::Cast& cast);
  void DeliverInfo(peer::v1::Info& info);
  void DeliverReply(peer::v1::Reply& reply, const Waiting& waiting);
  void DeliverAck(const peer::v1::CastAck& ack, Waiting waiting);
  void DeliverExit(const peer::v1::Exit& exit);
  void DeliverMonitor(const ConnPtr& conn, const peer::v1::Monitor& monitor)
      ABSL_LOCKS_EXCLUDED(mu_);
  void DeliverDemonitor(const ConnPtr& conn, uint64_t ref)
      ABSL_LOCKS_EXCLUDED(mu_);
  void SendDown(const std::weak_ptr<Conn>& conn, const Pid& watcher,
                uint64_t ref, const Pid& pid, const ExitReason& reason)
      ABSL_LOCKS_EXCLUDED(mu_);
  void SendReply(const std::weak_ptr<Conn>& conn, uint64_t call_id,
                 CallResult result);

  // Constant after construction.
  const PeerOptions options_;
  Runtime* const runtime_;
  Transport* const transport_;
  const PeerDirectory* const directory_;
  const NameRegistry* const names_;

  // Own synchronization.
  std::atomic<uint64_t> next_id_{1};  // Of calls and acknowledged casts.
  struct Counters {
    std::atomic<uint64_t> batches_written{0};
    std::atomic<uint64_t> frames_written{0};
    std::atomic<uint64_t> frames_received{0};
    std::atomic<uint64_t> frames_ignored{0};
    std::atomic<uint64_t> signals_dropped{0};
    std::atomic<uint64_t> streams_opened{0};
    std::atomic<uint64_t> streams_lost{0};
  };
  Counters counters_;

  mutable Mutex mu_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t next_conn_ ABSL_GUARDED_BY(mu_) = 1;
  // Entries stay, so that Peer pointers do: as many as nodes ever were.
  absl::btree_map<std::string, std::unique_ptr<Peer>> peers_
      ABSL_GUARDED_BY(mu_);
  // All streams that have not seen OnClosed.
  absl::btree_map<uint64_t, ConnPtr> conns_ ABSL_GUARDED_BY(mu_);
};

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
  for (const auto& [id, conn] : conns) EndLocked(conn, status, &later);
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
  return stats;
}

void Peers::Impl::NodeDied(absl::string_view node, Epoch epoch) {
  Later later;
  MutexLock lock(&mu_);
  Peer& peer = PeerOf(node);
  peer.dead_epoch = std::max(peer.dead_epoch, epoch);
  const ConnPtr conn = peer.conn;
  if (conn == nullptr || conn->stage != Stage::kOpen || conn->epoch > epoch) {
    return;
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
  item.slot = std::move(slot);
  item.outer = std::move(outer);
  Submit(node, std::move(item));
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

void Peers::Impl::Submit(absl::string_view node, Item item) {
  Later later;
  {
    MutexLock lock(&mu_);
    Peer* const peer =
        peers_.contains(std::string(node)) ? &PeerOf(node) : nullptr;
    if (peer != nullptr && peer->has_stream()) {
      EnqueueLocked(*peer, std::move(item), &later);
      return;
    }
    if (peer != nullptr && peer->failed &&
        clock().Boot() < peer->failed_at + kFailFast) {
      RefuseItem(std::move(item), DownError(node, peer->failure), &later);
      return;
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
  MutexLock lock(&mu_);
  if (shut_down_) {
    RefuseItem(std::move(item), DownError(node, "this node is shutting down"),
               &later);
    return;
  }
  Peer& peer = PeerOf(node);
  peer.known_epoch = std::max(peer.known_epoch, address->epoch);
  if (!peer.has_stream()) {
    DialLocked(peer, std::move(address->address), &later);
  }
  EnqueueLocked(peer, std::move(item), &later);
}

void Peers::Impl::SubmitAnswer(const std::weak_ptr<Conn>& weak, Item item) {
  Later later;
  MutexLock lock(&mu_);
  const ConnPtr conn = weak.lock();
  // The question's stream is gone, and with it whoever waits.
  if (conn == nullptr || conn->stage != Stage::kOpen) return;
  EnqueueLocked(*conn->peer, std::move(item), &later);
}

void Peers::Impl::RefuseItem(Item item, const Error& error, Later* later) {
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
  peer.queue_bytes += item.bytes.size();
  peer.queue.push_back(std::move(item));
  WriteLocked(peer, later);
}

bool Peers::Impl::TakeForWriteLocked(Peer& peer, Item* item, BootTime now,
                                     Later* later) {
  if (!item->expires.is_infinite()) {
    if (item->expires <= now) {
      // A reply whose fence has ended is not sent (guarantees R8).
      FailItem(std::move(*item), Expired(peer.node), later);
      return false;
    }
    item->bytes += RemainingSuffix(item->kind, item->expires - now);
  }
  if (item->slot != nullptr) {
    if (item->outer != nullptr && !item->outer->MarkDispatched() &&
        item->outer->done()) {
      return false;
    }
    if (!item->slot->MarkDispatched()) return false;
    peer.calls[item->id] = std::move(item->slot);
    if (peer.calls.size() >= peer.calls_sweep) {
      // Callers that gave up wait no more.
      absl::erase_if(peer.calls,
                     [](const auto& call) { return call.second->done(); });
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
  ConnPtr conn = MakeConnLocked(/*dialed=*/false);
  conn->stream = std::move(stream);
  if (shut_down_) {
    CloseLocked(conn, absl::UnavailableError("the node is shutting down"),
                &later);
  }
  return conn;
}

void Peers::Impl::DialLocked(Peer& peer, std::string address, Later* later) {
  const ConnPtr conn = MakeConnLocked(/*dialed=*/true);
  conn->peer = &peer;
  peer.conn = conn;
  later->Do([this, conn, address = std::move(address)] {
    Dialed(conn, transport_->Dial(address, conn));
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
    HappenLocked(*conn->peer, std::move(lost), later);
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

void Peers::Impl::FailQueueLocked(Peer& peer, absl::string_view why,
                                  Later* later) {
  std::deque<Item> queue = std::exchange(peer.queue, {});
  peer.queue_bytes = 0;
  for (Item& item : queue) {
    if (!item.IsRequest()) continue;
    RefuseItem(std::move(item), DownError(peer.node, why), later);
  }
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
  peer.conn = conn;
  peer.failed = false;
  peer.known_epoch = std::max(peer.known_epoch, epoch);
  conn->peer = &peer;
  conn->epoch = epoch;
  conn->stage = Stage::kOpen;
  const BootTime now = clock().Boot();
  conn->heard_at = now;
  conn->written_at = now;
  HappenLocked(peer, Happening(Happening::Kind::kOpened), later);
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
    if (happening.kind == Happening::Kind::kOpened) {
      runtime_->NodeIsUp(peer.node);
      continue;
    }
    if (happening.kind == Happening::Kind::kLost) {
      runtime_->NodeIsDown(peer.node, happening.reason);
      continue;
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
      DeliverExit(frame.exit());
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
        impl->SendReply(weak_conn, call_id, std::move(result));
      });
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

void Peers::Impl::SendReply(const std::weak_ptr<Conn>& conn, uint64_t call_id,
                            CallResult result) {
  Frame frame = EncodeReply(call_id, result);
  frame.mutable_reply()->clear_fence_remaining();
  Item item(Frame::kReply, SerializeFrame(frame));
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
          *pid, Info(Payload::FromBytes(std::move(*payload.mutable_value()),
                                        payload.type())));
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

void Peers::Impl::DeliverExit(const peer::v1::Exit& exit) {
  if (exit.via_link()) {  // Links do not cross nodes yet.
    Count(counters_.frames_ignored);
    return;
  }
  runtime_->SendExit(Pid::FromProto(exit.from()), Pid::FromProto(exit.to()),
                     ExitReason::FromProto(exit.reason()));
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

// -- Peers --------------------------------------------------------------------

Peers::Peers(PeerOptions options, Runtime* runtime, Transport* transport,
             const PeerDirectory* directory, const NameRegistry* names)
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

void Peers::NodeDied(absl::string_view node, Epoch epoch) {
  impl_->NodeDied(node, epoch);
}

std::vector<std::string> Peers::Connected() const { return impl_->Connected(); }

PeerStats Peers::stats() const { return impl_->stats(); }

}  // namespace muster
