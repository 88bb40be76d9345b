// The inside of Peers, for its own files: peers.cc (life, sending),
// peer_streams.cc (streams from dial to end), peer_renewal.cc (one stream for
// another), peer_delivery.cc (what arrives), peer_epochs.cc (what arrives for
// or from an epoch that may be over).
#ifndef MUSTER_NODE_PEER_PEERS_IMPL_H_
#define MUSTER_NODE_PEER_PEERS_IMPL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "muster/peer/v1/peer.pb.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"
#include "node/peer/call_window.h"
#include "node/peer/peers.h"
#include "node/peer/seen_epochs.h"
#include "node/peer/transport.h"
#include "node/process/message.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/registry/name_registry.h"
#include "node/types/exit_reason.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"

namespace muster {

// All state of all peers under one lock; nothing is called while it is held.
class Peers::Impl : public std::enable_shared_from_this<Peers::Impl> {
 public:
  Impl(PeerOptions options, Runtime* runtime, Transport* transport,
       const PeerDirectory* directory, NameRegistry* names)
      : options_(std::move(options)),
        runtime_(runtime),
        transport_(transport),
        directory_(directory),
        names_(names),
        seen_(names) {}

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
  void SendSignal(Signal signal) ABSL_LOCKS_EXCLUDED(mu_);
  void Connect(absl::string_view node) ABSL_LOCKS_EXCLUDED(mu_);
  void Reach(absl::string_view node) ABSL_LOCKS_EXCLUDED(mu_) {
    if (options_.connect == PeerOptions::Connect::kOnUse) Connect(node);
  }
  void Renew(absl::string_view node) ABSL_LOCKS_EXCLUDED(mu_);
  void OnReturned(std::function<void(Returned)> returned)
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    returned_ = std::move(returned);
  }
  void CountReroute(bool lost) {
    Count(lost ? counters_.reroutes_lost : counters_.rerouted);
  }
  void CountDropped() { Count(counters_.signals_dropped); }
  Epoch Seen(absl::string_view name) const { return seen_.Greatest(name); }
  void NodeDied(absl::string_view node, Epoch epoch) ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<SuspectNode> Suspects() const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::string> Connected() const ABSL_LOCKS_EXCLUDED(mu_);
  PeerStats stats() const;
  PeerTables Tables() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Frame = peer::v1::Frame;
  struct Conn;
  struct Peer;

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
    void Do(absl::AnyInvocable<void()> work) {
      work_.push_back(std::move(work));
    }

   private:
    std::vector<absl::AnyInvocable<void()>> work_;
  };

  // A frame that waits for its stream.
  struct Item {
    Item(Frame::FrameCase k, std::string b) : kind(k), bytes(std::move(b)) {}

    Frame::FrameCase kind;
    std::string bytes;  // Serialized, without the time that remains.
    // Calls and casts: the deadline.
    BootTime expires = BootTime::Infinite();
    uint64_t id = 0;  // call_id or ack_id.
    // Replies: of a cluster-wide name whose fence can close.
    bool fenced = false;
    // Replies that are relayed: when the owner's closes. Else this node's does.
    BootTime fence_until = BootTime::Infinite();
    std::string name;  // Calls: the cluster-wide one that is called, if one is.
    Pid owner;         // Calls: who has it.
    // A link or monitor to remember while the stream lasts.
    std::optional<Signal> tie;
    std::shared_ptr<CallSlot> slot;
    std::shared_ptr<CallSlot> outer;
    absl::AnyInvocable<void(absl::Status)> taken;

    bool IsRequest() const {
      return kind == Frame::kCall || kind == Frame::kCast ||
             kind == Frame::kInfo;
    }
  };

  // What crosses a stream and ends with it: links by the ids that either side
  // gave them, and monitors that processes of this node have there. Those that
  // the peer has here are in Conn.
  struct Ties {
    struct Link {
      Pid here;
      Pid there;
    };

    bool empty() const {
      return mine.empty() && theirs.empty() && watching.empty();
    }
    void Add(const Signal& signal);
    // False: none of the two was there.
    bool RemoveLink(LinkIds link) {
      const size_t removed = mine.erase(link.mine) + theirs.erase(link.theirs);
      return removed > 0;
    }

    absl::btree_map<uint64_t, Link> mine;
    absl::btree_map<uint64_t, Link> theirs;
    absl::btree_set<uint64_t> watching;
  };

  // What the runtime must hear of, in this order.
  struct Happening {
    enum class Kind : uint8_t {
      kOpened,
      kBatch,
      kUntied,  // `ties` were waiting for a stream, or for one that was lost.
      kLost,    // An open stream, and with it `ties`.
      kDied,    // The node's incarnations up to `epoch`.
    };
    explicit Happening(Kind k) : kind(k) {}

    Kind kind;
    std::shared_ptr<Conn> conn;  // kBatch.
    peer::v1::Batch batch;
    Ties ties;
    ExitReason reason = ExitReason::Noconnection();  // kLost.
    Epoch epoch;                                     // kOpened, kDied.
  };

  // A call that has been written and not answered.
  struct Sent {
    std::shared_ptr<CallSlot> slot;
    BootTime at;  // Before it was written.
    std::string name;
    Pid owner;
  };

  // From the opening of a stream to its loss, whatever other streams take over
  // from it meanwhile. Guarded by Impl::mu_.
  struct Session {
    Session(Peer* p, Epoch e) : peer(p), epoch(e) {}

    Peer* const peer;
    const Epoch epoch;  // Of the peer's node, from its hello.
    bool open = true;
    // The stream whose frames are delivered now.
    uint64_t receiving = 0;
    // Monitor ref -> what it watches here and the observer's id, 0 while it
    // is being set up.
    absl::btree_map<uint64_t, std::pair<Pid, uint64_t>> monitors;
    // Calls of the peer's that have no answer yet, by their id.
    absl::flat_hash_map<uint64_t, std::weak_ptr<CallSlot>> served;
  };
  using SessionPtr = std::shared_ptr<Session>;
  using WeakSession = std::weak_ptr<Session>;

  // One other node, known by its name for as long as this one runs.
  struct Peer {
    explicit Peer(absl::string_view n) : node(n) {}

    const std::string node;
    // Open, or being dialed; null: neither.
    std::shared_ptr<Conn> conn;
    // Is to take over from `conn`: being dialed by us, or open and waiting for
    // their Switch.
    std::shared_ptr<Conn> next;
    // The one that `conn` has taken over from, until both have said Switch.
    std::shared_ptr<Conn> old;
    // Their stream is to come: ours was refused as a duplicate.
    TimerId await_timer = 0;
    BootTime failed_at;
    bool failed = false;
    std::string failure;
    Epoch failed_epoch;  // That was known of the node then.
    Epoch known_epoch;
    Epoch dead_epoch;
    // Since when it cannot be reached, and why; see Suspects().
    std::optional<BootTime> suspect_since;
    std::string suspect_why;
    // What is sent there vanishes without a word: nobody waits for a dial.
    bool silent = false;
    CallWindow window;  // Of calls from `window_epoch`.
    Epoch window_epoch;

    bool was_open = false;  // Ever.

    std::deque<Item> queue;
    size_t queue_bytes = 0;
    Ties ties;
    // Written and not yet answered.
    absl::flat_hash_map<uint64_t, Sent> calls;
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
    SessionPtr session;    // Null until it is open.
    std::shared_ptr<Stream> stream;  // Null until Dial has returned.
    Stage stage = Stage::kHandshake;
    Epoch epoch;  // Of the peer's node, from its hello.
    // Dialed to take over from the one that is open.
    bool renews = false;
    bool switch_due = false;   // Write it when the write under way has ended.
    bool switch_sent = false;  // It was handed to the stream.
    bool switch_heard = false;
    bool retired = false;  // Closed for us; the stream itself closes later.
    BootTime dialed_at;
    BootTime opened_at;
    std::optional<BootTime> renew_at;
    // Came before the Switch on the stream that this one takes over from.
    std::deque<peer::v1::Batch> held;
    size_t held_bytes = 0;
    bool writing = false;
    // Close with it when the write under way has ended.
    std::optional<absl::Status> close_after_write;
    uint64_t sent_seq = 0;
    uint64_t received_seq = 0;
    BootTime written_at;
    BootTime heard_at;
    TimerId timer = 0;  // Handshake or heartbeat.
    BootTime timer_due;
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
  // Queues `frame`, which is about a link or monitor, if that stands.
  void SubmitTied(const Signal& signal) ABSL_LOCKS_EXCLUDED(mu_);
  // Tells the runtime that a link or monitor cannot be had.
  void GiveBack(const Signal& tie, const ExitReason& reason);
  // Queues an answer for the session that the question came by, if it lasts.
  void SubmitAnswer(const WeakSession& session, Item item)
      ABSL_LOCKS_EXCLUDED(mu_);
  void EnqueueLocked(Peer& peer, Item item, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Refuses `item`: the node cannot be reached.
  void RefuseItem(Item item, const Error& error, Later* later);
  // Fails an item that never reached the other node.
  static void FailItem(Item item, const Error& error, Later* later);
  // False: the peer takes so little that the stream was ended instead.
  bool HasRoomLocked(Peer& peer, Item* item, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static bool NobodyWaitsFor(const Peer& peer, const Item& item);
  bool MayDialLocked(const Peer& peer) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
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
  // The session is lost, and with it every stream of it.
  void EndSessionLocked(const SessionPtr& session, const absl::Status& status,
                        Later* later) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The peer's stream, open or not, is no more; its own end is the caller's
  // business. `kept`: what is queued waits for another.
  void DetachLocked(Peer& peer, absl::string_view why, bool kept, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // All ties are lost; `loss` says with what.
  void UntieLocked(Peer& peer, Happening loss, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SuspectLocked(Peer& peer, absl::string_view why)
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
  // `conn` is open as a stream of `session`.
  void JoinLocked(const ConnPtr& conn, const SessionPtr& session)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void HandleRefuse(const ConnPtr& conn, const peer::v1::Refuse& refuse)
      ABSL_LOCKS_EXCLUDED(mu_);
  void AwaitTheirsLocked(Peer& peer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void HandleBatch(const ConnPtr& conn, peer::v1::Batch batch)
      ABSL_LOCKS_EXCLUDED(mu_);
  void HandleWritten(const ConnPtr& conn) ABSL_LOCKS_EXCLUDED(mu_);
  void HandleClosed(const ConnPtr& conn, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(mu_);

  // -- Renewal -------------------------------------------------------------
  // The hello of a stream that is to take over, from either side.
  void RenewedLocked(const ConnPtr& conn, Peer& peer, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // From now on this side sends by `peer.next`.
  void SwitchLocked(Peer& peer, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WriteSwitchLocked(const ConnPtr& conn, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The other side sends by the next stream. False: there is none.
  bool SwitchHeardLocked(const ConnPtr& conn, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Renews it if it is old enough; `conn` is the peer's.
  void RenewAgedLocked(const ConnPtr& conn, BootTime now, Later* later)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Lets go of the old stream when both have said Switch.
  void RetireLocked(Peer& peer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- Receiving -----------------------------------------------------------
  // Whoever waits for the answer in a frame; both may be null.
  struct Waiting {
    Sent call;
    absl::AnyInvocable<void(absl::Status)> taken;
  };
  // Delivers it, or holds it until the stream before this one is at its end.
  void TakeBatchLocked(const ConnPtr& conn, peer::v1::Batch batch, Later* later,
                       std::string* wrong) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
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
  // A call has been written and its caller has gone.
  void SendCancel(const std::string& node, uint64_t call_id)
      ABSL_LOCKS_EXCLUDED(mu_);
  void DeliverCancel(const ConnPtr& conn, uint64_t call_id)
      ABSL_LOCKS_EXCLUDED(mu_);
  void DeliverCast(const ConnPtr& conn, peer::v1::Cast& cast);
  void DeliverInfo(const ConnPtr& conn, peer::v1::Info& info);
  void DeliverReply(const ConnPtr& conn, peer::v1::Reply& reply,
                    Waiting waiting);
  // The node at its other end is a member under that epoch, as far as is known.
  bool Lives(const Pid& owner) const;
  // OK: the call has not come before (guarantees G6).
  absl::Status AdmitCall(const ConnPtr& conn, const peer::v1::Call& call)
      ABSL_LOCKS_EXCLUDED(mu_);
  // OK: whoever sends under that epoch may still act; else ABORTED FENCED.
  absl::Status CheckSender(const Meta& meta);
  // The process of this node that a message is for; see FindTarget.
  absl::StatusOr<Pid> Find(const ServerRef& target, const Meta& meta,
                           const Pid& resolved);
  // A peer knows a later epoch of a name than this node: asks the store.
  void Revalidate(const std::string& name, Epoch ours);
  // A message without an answer goes back to its sender.
  void Return(const ConnPtr& conn, const absl::Status& why,
              peer::v1::Returned returned);
  void DeliverReturned(const ConnPtr& conn, peer::v1::Returned& returned)
      ABSL_LOCKS_EXCLUDED(mu_);
  void DeliverAck(const peer::v1::CastAck& ack, Waiting waiting);
  void DeliverLoss(const Peer& peer, const Happening& loss);
  void DeliverExit(const ConnPtr& conn, const peer::v1::Exit& exit)
      ABSL_LOCKS_EXCLUDED(mu_);
  // False: malformed.
  bool DeliverLink(const ConnPtr& conn, const peer::v1::Link& link)
      ABSL_LOCKS_EXCLUDED(mu_);
  void DeliverUnlink(const ConnPtr& conn, const peer::v1::Unlink& unlink)
      ABSL_LOCKS_EXCLUDED(mu_);
  void DeliverDown(const ConnPtr& conn, const peer::v1::Down& down)
      ABSL_LOCKS_EXCLUDED(mu_);
  void DeliverMonitor(const ConnPtr& conn, const peer::v1::Monitor& monitor)
      ABSL_LOCKS_EXCLUDED(mu_);
  void DeliverDemonitor(const ConnPtr& conn, uint64_t ref)
      ABSL_LOCKS_EXCLUDED(mu_);
  void SendDown(const WeakSession& session, const Pid& watcher, uint64_t ref,
                const Pid& pid, const ExitReason& reason)
      ABSL_LOCKS_EXCLUDED(mu_);
  // `name`: the one that answers, if the call did not say it.
  void SendReply(const WeakSession& session, uint64_t call_id,
                 const std::string& name, CallResult result);

  // Constant after construction.
  const PeerOptions options_;
  Runtime* const runtime_;
  Transport* const transport_;
  const PeerDirectory* const directory_;
  NameRegistry* const names_;

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
    std::atomic<uint64_t> streams_renewed{0};
    std::atomic<uint64_t> replies_confirmed{0};
    std::atomic<uint64_t> frames_fenced{0};
    std::atomic<uint64_t> rerouted{0};
    std::atomic<uint64_t> reroutes_lost{0};
  };
  Counters counters_;
  SeenEpochs seen_;

  mutable Mutex mu_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t next_conn_ ABSL_GUARDED_BY(mu_) = 1;
  std::function<void(Returned)> returned_ ABSL_GUARDED_BY(mu_);
  // Entries stay, so that Peer pointers do: as many as nodes ever were.
  absl::btree_map<std::string, std::unique_ptr<Peer>> peers_
      ABSL_GUARDED_BY(mu_);
  // All streams that have not seen OnClosed.
  absl::btree_map<uint64_t, ConnPtr> conns_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_NODE_PEER_PEERS_IMPL_H_
