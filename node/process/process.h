// Process: one process: mailbox, links, watchers and the loop that runs its
// body. Internal to node/; users see Context and Pid.
#ifndef MUSTER_NODE_PROCESS_PROCESS_H_
#define MUSTER_NODE_PROCESS_PROCESS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"
#include "node/process/aliases.h"
#include "node/process/context.h"
#include "node/process/crash_report.h"
#include "node/process/mailbox.h"
#include "node/process/message.h"
#include "node/process/process_body.h"
#include "node/process/result.h"
#include "node/process/runtime.h"
#include "node/process/server_status.h"
#include "node/process/signals.h"
#include "node/process/sys_debug.h"
#include "node/types/server_name.h"

namespace muster {

namespace internal {

// True: `to` means `self`.
bool IsSelf(const Process& self, const ServerRef& to);

// Why a server whose fence is closed sends nothing: UNAVAILABLE FROZEN.
Error FrozenSender();

}  // namespace internal

// Owns one process from spawn to death.
//
//   spawned --Start--> held --Release--> starting --Init ok--> alive --> dead
//      |                 \___________________\_____(1)________________^ ^
//      \--Start, unless held--> starting             (2) from alive ----/
//   (1) a failed start or an exit signal; (2) also a stop or a throw
// While spawned nothing runs, so that its starter can link to it in peace.
//
// Arrivals (Push*, SignalExit, Wake ...) come from any thread, change what
// mu_ guards and make sure that the process is scheduled. The loop (Run) is on
// at most one worker at a time and alone touches body, coroutine and current
// message. A coroutine that waits leaves the loop; Wake brings it back.
class Process final : public Task,
                      public std::enable_shared_from_this<Process> {
 public:
  Process(Runtime* runtime, Pid pid, std::unique_ptr<ProcessBody> body,
          Payload options, SpawnOptions spawn,
          absl::AnyInvocable<void(absl::Status)> started);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // -- Arrivals; any thread ------------------------------------------------
  // -- Moving to another node; moving.cc -----------------------------------
  // See Runtime's methods of these names.
  void Hold(BootTime quiet_until,
            absl::AnyInvocable<void(absl::StatusOr<Payload>)> done)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Unhold(Epoch epoch) ABSL_LOCKS_EXCLUDED(mu_);
  bool Retire(const ExitReason& reason, absl::AnyInvocable<void()> done)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool HandOff() ABSL_LOCKS_EXCLUDED(mu_);
  void EndHandOff() ABSL_LOCKS_EXCLUDED(mu_);
  // Whether a message to its cluster-wide name under `epoch` is for it: its
  // own epoch, or one that it had before a move that was called off.
  bool AnswersTo(Epoch epoch) const ABSL_LOCKS_EXCLUDED(mu_);

  // Lets Init run; held processes wait for Release.
  void Start() ABSL_LOCKS_EXCLUDED(mu_);
  // Gives a held process the name it claimed; Release() follows. False: it is
  // not held.
  bool AdoptClaim(Epoch global_epoch) ABSL_LOCKS_EXCLUDED(mu_);
  void Release() ABSL_LOCKS_EXCLUDED(mu_);
  // Ends a held process before Init, unlinked from its starter (otp H3).
  void Refuse(absl::Status error) ABSL_LOCKS_EXCLUDED(mu_);
  // The failed start of a linked child: kills a starter that does not trap
  // (otp H7); one that traps has the error alone (otp H6).
  void SignalStartFailed(const Pid& child, const ExitReason& reason)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Gives it its cluster-wide name, or takes it away (empty).
  // FAILED_PRECONDITION if it has one already, NOT_FOUND if it is dead.
  absl::Status SetGlobalName(absl::string_view name, Epoch epoch)
      ABSL_LOCKS_EXCLUDED(mu_);
  void ClearGlobalName() ABSL_LOCKS_EXCLUDED(mu_);
  // Completes the slot itself if it refuses the call. A call to a method that
  // is a cast is taken as a cast and answered when the mailbox has it.
  void PushCall(Request request, std::shared_ptr<CallSlot> slot)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status PushCast(Request request) ABSL_LOCKS_EXCLUDED(mu_);
  // By the mailbox's rule if it is full. `alias`: came through that one.
  void PushInfo(Info info, uint64_t alias = 0) ABSL_LOCKS_EXCLUDED(mu_);
  // Never refused: what made it necessary holds its room.
  void PushSystem(Info info, MonitorRef down_ref = MonitorRef())
      ABSL_LOCKS_EXCLUDED(mu_);
  // The response to a request of this process: never refused, since the
  // request holds its room. Vanishes from the mailbox if `revoked` is true
  // when its turn comes.
  void PushResponse(Info info, std::shared_ptr<const std::atomic<bool>> revoked)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Drops the queued infos that `unwanted`, which calls nothing, picks.
  size_t DropQueued(absl::FunctionRef<bool(Info&)> unwanted)
      ABSL_LOCKS_EXCLUDED(mu_);
  // The table of otp 1.3. Over a link: ignored unless that link stands.
  void SignalExit(const Pid& from, const ExitReason& reason, bool via_link,
                  LinkIds link = LinkIds()) ABSL_LOCKS_EXCLUDED(mu_);
  // False: it is dead, or `other` is linked already.
  bool NewLink(const Pid& other, LinkIds link) ABSL_LOCKS_EXCLUDED(mu_);
  // The other end has made a link. False: this one is dead and its names are
  // free (otp P8).
  bool AddLink(const Pid& other, LinkIds link = LinkIds())
      ABSL_LOCKS_EXCLUDED(mu_);
  // Nullopt: it is not linked.
  std::optional<LinkIds> RemoveLink(const Pid& other) ABSL_LOCKS_EXCLUDED(mu_);
  // The other end has removed the links that it knew.
  void RemoveLink(const Pid& other, LinkIds known) ABSL_LOCKS_EXCLUDED(mu_);
  // The link just made leads to a dead process of this node (otp L3). False:
  // this process does not trap exits.
  bool FailLink(const Pid& other) ABSL_LOCKS_EXCLUDED(mu_);
  bool AddWatcher(uint64_t ref, const Pid& watcher) ABSL_LOCKS_EXCLUDED(mu_);
  bool AddObserver(uint64_t ref, absl::AnyInvocable<void(ExitReason)>* done)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool RemoveWatcher(uint64_t ref) ABSL_LOCKS_EXCLUDED(mu_);
  void Wake(uint64_t token) ABSL_LOCKS_EXCLUDED(mu_);
  // The fence may be open again.
  void Thawed() ABSL_LOCKS_EXCLUDED(mu_);
  // The runtime goes away: forgets everything without a word. Returns the
  // calls that it leaves unanswered.
  std::vector<std::shared_ptr<CallSlot>> Abandon() ABSL_LOCKS_EXCLUDED(mu_);

  const Pid& pid() const { return pid_; }
  const std::vector<Pid>& callers() const { return spawn_.callers; }
  bool traps_exit() const ABSL_LOCKS_EXCLUDED(mu_);
  const std::vector<Pid>& ancestors() const { return spawn_.ancestors; }
  // As global_name().
  const std::string& local_name() const {
    return *local_name_.load(std::memory_order_acquire);
  }
  // Empty until it owns the claim. The reference lives as long as this.
  const std::string& global_name() const {
    // Acquire: the string was written before the pointer.
    return *global_name_.load(std::memory_order_acquire);
  }
  const std::string& name() const {
    return global_name().empty() ? local_name() : global_name();
  }
  Epoch global_epoch() const ABSL_LOCKS_EXCLUDED(mu_);
  ProcessInfo Describe() const ABSL_LOCKS_EXCLUDED(mu_);
  void CountTies(RuntimeTables* tables) const ABSL_LOCKS_EXCLUDED(mu_);

  // -- For Context; only on the worker that runs this process --------------
  static Process* Current();
  Runtime& runtime() const { return *runtime_; }
  // Begins a wait; the token wakes it.
  // for the call of that number, 0: something else. Refuses the calls that
  // wait here for a process that this one now waits for.
  uint64_t BeginWait(uint64_t call) ABSL_LOCKS_EXCLUDED(mu_);
  // -- cancel.cc
  uint64_t NextCall() { return ++last_call_; }
  // A call of this process that is under way: cancelled when this ends, unless
  // `waiter`, which may be null, has been detached.
  void AddOutgoing(const std::shared_ptr<CallSlot>& slot,
                   const std::shared_ptr<internal::ArrivalBase>& waiter);
  void set_on_cancel(absl::AnyInvocable<void()> work) {
    on_cancel_ = std::move(work);
  }
  // -- identity.cc
  // NOT_FOUND NOPROC, FAILED_PRECONDITION HAS_NAME. Any thread.
  absl::Status SetLocalName(absl::string_view name) ABSL_LOCKS_EXCLUDED(mu_);
  void ClearLocalName();
  void SetLabel(absl::string_view label) ABSL_LOCKS_EXCLUDED(mu_);
  std::string label() const ABSL_LOCKS_EXCLUDED(mu_);
  void AddAlias(uint64_t id, AliasKind kind) ABSL_LOCKS_EXCLUDED(mu_);
  bool RemoveAlias(uint64_t id) ABSL_LOCKS_EXCLUDED(mu_);
  void EndMonitorAlias(uint64_t ref) ABSL_LOCKS_EXCLUDED(mu_);
  void Become(std::unique_ptr<ProcessBody> server, ServerName claimed);
  void set_trap_exit(bool on) ABSL_LOCKS_EXCLUDED(mu_);
  // The message that is being handled; null outside calls and casts.
  const Request* current_request() const {
    return current_.request.has_value() && !current_.is_system()
               ? &*current_.request
               : nullptr;
  }
  // Null outside calls. A system request is none: only Process answers it.
  std::shared_ptr<CallSlot> current_slot() const {
    return current_.is_system() ? nullptr : current_.slot;
  }
  // False for a server with a cluster-wide name whose node may have lost its
  // place (guarantees R10); asked before each dispatch, send and reply.
  bool FenceOpen() const;
  // Says in `meta` which name sends, under which epoch (guarantees R9). Any
  // thread.
  void SignMeta(Meta* meta) const ABSL_LOCKS_EXCLUDED(mu_);
  // True: an exit signal has decided its end, so nothing it still says leaves
  // it (otp 16.1).
  bool doomed() const ABSL_LOCKS_EXCLUDED(mu_);
  bool RemoveQueuedDown(MonitorRef ref) ABSL_LOCKS_EXCLUDED(mu_);
  void OwnMonitor(uint64_t ref) ABSL_LOCKS_EXCLUDED(mu_);
  // False: its Down has been handled, or it never was this process's. Any
  // thread.
  bool DisownMonitor(uint64_t ref) ABSL_LOCKS_EXCLUDED(mu_);
  // Numbers the responses to this process's requests as they arrive; any
  // thread.
  uint64_t NextArrival() {
    // Relaxed: only the numbers' own order matters.
    return arrivals_.fetch_add(1, std::memory_order_relaxed) + 1;
  }
  // The Down of `ref` is on its way and will be dropped.
  void FlushDown(uint64_t ref) { flushed_downs_.insert(ref); }

  // -- Scheduler -----------------------------------------------------------
  void Run() override ABSL_LOCKS_EXCLUDED(mu_);
  // "counter_a in Increment"; any thread, while it runs.
  std::string Activity() const override;

 private:
  enum class Life : uint8_t { kSpawned, kHeld, kStarting, kAlive, kDead };
  enum class Stage : uint8_t {
    kNone,
    kInit,
    kCall,
    kCast,
    kInfo,
    kContinue,
    kTimeout,
    kTerminate,
  };
  enum class Work : uint8_t {
    kNone,    // Nothing to do: left the run queue.
    kDie,     // doomed_ says why.
    kResume,  // The coroutine was woken.
    kCancel,  // The caller of the call that waits has gone.
    kInit,
    kContinue,
    kMessage,  // current_ holds it.
    kTimeout,
    kArmTimeout,  // Nothing to do and a Timeout is due later.
    kHibernate,   // Idle for hibernate_after.
    kRefuse,      // Fence closed: refuse the call that current_ holds.
    kThaw,        // Fence closed: look again in a moment.
    kHold,        // It is to move: take the Snapshot.
    kRetire,      // It moves without its state: run Terminate.
    kHandOff,     // It has moved: pass on what waits, and end.
  };
  // What a move has come to; drawn in moving.cc.
  enum class Moving : uint8_t {
    kNo,
    kAsked,
    kHeld,
    kRetiring,
    kRetired,
    kLeaving,
    kGone,
    kReceiving,
  };

  struct Envelope {
    enum class Kind : uint8_t { kNone, kCall, kCast, kInfo, kExit, kSystem };
    Kind kind = Kind::kNone;
    bool is_system() const { return kind == Kind::kSystem; }
    std::optional<Request> request;
    std::shared_ptr<CallSlot> slot;
    Info info;
    std::optional<Exit> exit;
    MonitorRef down_ref;  // Of an info that is a Down.
    std::shared_ptr<const std::atomic<bool>> revoked;  // Of a response.
    size_t bytes = 0;
    bool reserved = false;  // Takes no room from the others.
  };
  struct Outgoing {
    Outgoing(std::weak_ptr<CallSlot> s, std::weak_ptr<internal::ArrivalBase> w,
             uint64_t m)
        : slot(std::move(s)), waiter(std::move(w)), message(m) {}
    std::weak_ptr<CallSlot> slot;
    std::weak_ptr<internal::ArrivalBase> waiter;
    uint64_t message;  // Value of handled_ when it was made.
  };
  struct Becoming {
    Becoming(std::unique_ptr<ProcessBody> s, ServerName c)
        : server(std::move(s)), claimed(std::move(c)) {}
    std::unique_ptr<ProcessBody> server;
    ServerName claimed;
  };
  struct Watcher {
    Pid pid;
    absl::AnyInvocable<void(ExitReason)> observer;
  };

  // Puts it in the run queue unless it is there; call Submit if true.
  bool ScheduleLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Submit() { runtime_->scheduler().Submit(this); }
  bool HasRoomLocked(size_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes room for a cast or info if the mailbox's rule says so. kDropped:
  // there is none, and the sender is told nothing.
  enum class Room : uint8_t { kYes, kRefused, kDropped };
  // `removed`: what had to go, to be destroyed once the lock is released.
  Room MakeRoomLocked(size_t bytes, std::vector<Envelope>* removed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What `envelope` counts into.
  size_t& BytesLocked(const Envelope& envelope)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return envelope.is_system() ? systems_bytes_ : mailbox_bytes_;
  }
  // Says once that something was dropped.
  void WarnOfDrops(uint64_t dropped);
  // False: drop it (otp A1). `ends_monitor`: to be removed once the lock is
  // released; 0: none.
  bool ReceiveLocked(uint64_t alias, uint64_t* ends_monitor)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndMonitor(uint64_t ref) ABSL_LOCKS_EXCLUDED(mu_);
  // Exchanges the body if that was asked for; why it exits if it may not.
  std::optional<ExitReason> TakeBecoming();
  // -- cancel.cc
  // The calls of this message, or all, end CANCELLED.
  void CancelOutgoing(bool all);
  // The current call waits: its cancellation wakes this process.
  void WatchForCancel();
  void CancelArrived(uint64_t message) ABSL_LOCKS_EXCLUDED(mu_);
  void HandleCancel();
  bool IsChained(const Request& request) const;
  // True: `request` comes from a process that this one waits for in `call`.
  bool WaitsForLocked(const Request& request, uint64_t call) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static absl::string_view StageName(Stage stage);
  // "call Increment".
  std::string CurrentHandler() const;
  void FailCycle(const Request& request, CallSlot& slot) const;
  void PushLocked(Envelope envelope) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  const ServiceInfo& own_service() const {
    return *service_.load(std::memory_order_acquire);
  }
  Error MailboxFull() const;
  Error Exited(const ExitReason& reason) const;
  // OK, or why this server does not serve the request's path; on success sets
  // `method` to the method's name within the path.
  absl::Status CheckMethod(const Request& request, bool* is_cast,
                           absl::string_view* method) const;

  Work NextWork(bool fence_open) ABSL_LOCKS_EXCLUDED(mu_);
  // Takes a message out of the mailbox, which is then current_.
  void TakeLocked(std::deque<Envelope>::iterator at)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What there is to do while the fence is closed: kNone if nothing waits.
  Work FrozenWorkLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RefuseFrozen();
  // UNAVAILABLE FROZEN, NOT_EXECUTED.
  Error Frozen() const;
  // The order to end in current_ waits for the thaw.
  void PutBackFrozen() ABSL_LOCKS_EXCLUDED(mu_);
  void Dispatch(Work work);
  // Runs one callback of `stage`, then settles.
  template <typename Callback>
  void Invoke(Stage stage, Callback callback);
  // Acts on the callback's answer if it has one.
  void Settle();
  void Apply(Stage stage, internal::Decision decision);
  void ApplyInit(internal::Decision decision);
  void ApplyAfter(After after);
  // bad_return_value if `decision` is not one that `stage` may answer
  // (otp 3.2); only answers made at run time can be wrong.
  std::optional<ExitReason> BadReturn(Stage stage,
                                      const internal::Decision& decision) const;
  // The server as it is when it crashes, for LogEnding after Terminate.
  void PrepareReport(const ExitReason& reason);
  // The report of an abnormal ending (otp G23).
  void LogEnding(const ExitReason& reason);
  void Crash(Stage stage, const ExitReason& reason);
  void BeginTerminate(ExitReason reason);
  void Finish(const ExitReason& reason) ABSL_LOCKS_EXCLUDED(mu_);
  void ReportStarted(absl::Status status);
  void FinishCurrent();
  void ArmTimeout() ABSL_LOCKS_EXCLUDED(mu_);
  void TimeoutExpired(uint64_t generation) ABSL_LOCKS_EXCLUDED(mu_);
  // How long it may be idle until something happens.
  absl::Duration IdleLimit() const;
  void Hibernate() ABSL_LOCKS_EXCLUDED(mu_);
  // Runs again once the fence has been extended.
  void AwaitThaw() ABSL_LOCKS_EXCLUDED(mu_);
  void StartExpired() ABSL_LOCKS_EXCLUDED(mu_);
  // Takes back its end of the link to its starter; nullopt: there is none.
  std::optional<LinkIds> LeaveStarterLocked()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- Moving (moving.cc) ---------------------------------------------------
  // False: no call that it has not answered stands in the way.
  bool AwaitsQuietLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // kNone: it is not moving, or only waits.
  Work MovingWorkLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HoldsLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return moving_ != Moving::kNo && moving_ != Moving::kAsked;
  }
  // True: a message that the process's former place hands over.
  bool IsHandedLocked(uint64_t alias) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return alias != 0 && moving_ == Moving::kReceiving &&
           alias == spawn_.hand_off_alias;
  }
  void TakeHold();
  void PassOnAndEnd();
  // False: it cannot leave this node.
  bool PassOn(Envelope envelope);
  // Terminate has run. False: then it ends.
  bool StaysAfterTerminate();
  // Gives the new server what its former place sent; OK if there is nothing.
  absl::Status TakeOverState();

  // -- System requests (sys_requests.cc, otp section 5) ---------------------
  // Takes one, or says why not; `slot` is null for an order without an answer.
  absl::Status PushSysRequest(Request request, std::shared_ptr<CallSlot> slot)
      ABSL_LOCKS_EXCLUDED(mu_);
  static bool IsSystem(const Request& request);
  // Absent: it lives.
  std::optional<ExitReason> ended_reason() const ABSL_LOCKS_EXCLUDED(mu_);
  // An order to shut down: from the parent (otp G2) or from the system, which
  // is everybody's.
  bool IsOrderToEnd(const Exit& exit) const;
  // The next item that a suspended process handles; mailbox_.end() if none.
  std::deque<Envelope>::iterator NextWhileSuspendedLocked()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void HandleSystem();
  absl::StatusOr<Payload> AnswerSystem(absl::string_view method,
                                       Payload& request);
  absl::StatusOr<Payload> AnswerState(Payload& request);
  absl::StatusOr<Payload> AnswerReplaceState(Payload& request);
  absl::StatusOr<Payload> AnswerStatus();
  absl::StatusOr<Payload> AnswerChangeCode(Payload& request);
  // What has to do with debug_.
  absl::StatusOr<Payload> AnswerDebug(absl::string_view method,
                                      Payload& request);
  // The body's hooks, with what they throw as an error.
  absl::StatusOr<Payload> TakeSnapshot();
  absl::Status RestoreState(Payload state);
  // `text` is the state for people; a placeholder if FormatStatus throws.
  ServerStatus FormattedStatus(std::optional<ExitReason> reason,
                               std::string* text);
  // "call Increment (counter.v1.Request)"; empty if it handles nothing.
  std::string DescribeCurrent() const;
  // The end of whoever waits for an answer to `envelope`.
  void FailEnvelope(Envelope& envelope, const ExitReason& reason);
  void RecordIn(Stage stage);
  void RecordOut(Stage stage, const internal::Decision& decision);
  void Record(sys::v1::Event event);

  // Constant after construction.
  Runtime* const runtime_;
  const Pid pid_;
  const SpawnOptions spawn_;
  const BootTime started_at_;
  const internal::MailboxRoom room_;

  // Own synchronization.
  std::atomic<uint64_t> handled_{0};
  std::atomic<uint64_t> arrivals_{0};

  // Written by the running worker only; others read them to name a stall.
  std::atomic<Stage> stage_{Stage::kNone};
  std::atomic<const MethodInfo*> method_{nullptr};  // Of a call or a cast.
  std::atomic<Stage> shown_stage_{Stage::kNone};    // stage_, for Describe.
  // Acquire/release: another body may bring another constant.
  std::atomic<const ServiceInfo*> service_;
  std::atomic<const std::string*> global_name_;
  std::atomic<const std::string*> local_name_;

  // Owned by the running worker.
  std::unique_ptr<ProcessBody> body_;
  Payload options_;
  absl::AnyInvocable<void(absl::Status)> started_;
  Context context_;
  Envelope current_;
  std::optional<HandlerResult> result_;
  std::optional<ExitReason> ending_;  // Finish with this.
  std::optional<Info> continue_;
  absl::Duration idle_after_ = absl::InfiniteDuration();
  TimerId idle_timer_ = 0;
  std::optional<Payload> stop_reply_;
  std::vector<std::shared_ptr<CallSlot>> unanswered_;
  size_t unanswered_sweep_ = 16;
  absl::btree_set<uint64_t> flushed_downs_;
  TimerId start_timer_ = 0;
  uint64_t last_call_ = 0;
  std::vector<Outgoing> outgoing_;
  size_t outgoing_sweep_ = 16;
  absl::AnyInvocable<void()> on_cancel_;
  uint64_t watched_ = ~uint64_t{0};  // The message whose cancel is watched.
  std::unique_ptr<Becoming> become_;
  // Null: nothing is switched on.
  std::unique_ptr<internal::SysDebug> debug_;
  TypeMark info_type_;  // Of the info that is being handled.
  // The report of a crash until Terminate has run.
  std::unique_ptr<CrashReport> report_;

  mutable Mutex mu_;
  Life life_ ABSL_GUARDED_BY(mu_);
  bool scheduled_ ABSL_GUARDED_BY(mu_) = false;
  bool running_ ABSL_GUARDED_BY(mu_) = false;
  bool waiting_ ABSL_GUARDED_BY(mu_) = false;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  bool thaw_awaited_ ABSL_GUARDED_BY(mu_) = false;
  bool timeout_due_ ABSL_GUARDED_BY(mu_) = false;
  bool timeout_armed_ ABSL_GUARDED_BY(mu_) = false;
  bool trap_exit_ ABSL_GUARDED_BY(mu_);
  bool suspended_ ABSL_GUARDED_BY(mu_) = false;
  bool hibernating_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t wait_token_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t idle_generation_ ABSL_GUARDED_BY(mu_) = 0;
  // Infos and casts for which there was no room.
  uint64_t dropped_ ABSL_GUARDED_BY(mu_) = 0;
  size_t reserved_queued_ ABSL_GUARDED_BY(mu_) = 0;
  // The call that the handler waits for; 0: none.
  uint64_t awaited_call_ ABSL_GUARDED_BY(mu_) = 0;
  // A call whose chain holds this process may be in the mailbox.
  bool chained_queued_ ABSL_GUARDED_BY(mu_) = false;
  // The message whose caller has gone; ~0: none.
  uint64_t cancelled_message_ ABSL_GUARDED_BY(mu_) = ~uint64_t{0};
  std::string label_ ABSL_GUARDED_BY(mu_);
  std::string waiting_in_ ABSL_GUARDED_BY(mu_);  // The callback that waits.
  Aliases aliases_ ABSL_GUARDED_BY(mu_);
  absl::btree_set<uint64_t> unwanted_downs_ ABSL_GUARDED_BY(mu_);
  // Every local name it ever had; local_name_ points to one, or elsewhere.
  std::vector<std::unique_ptr<const std::string>> local_names_
      ABSL_GUARDED_BY(mu_);
  Epoch global_epoch_ ABSL_GUARDED_BY(mu_);
  // The first under its present name.
  Epoch oldest_epoch_ ABSL_GUARDED_BY(mu_);
  Moving moving_ ABSL_GUARDED_BY(mu_) = Moving::kNo;
  BootTime quiet_until_ ABSL_GUARDED_BY(mu_);
  absl::AnyInvocable<void(absl::StatusOr<Payload>)> hold_done_
      ABSL_GUARDED_BY(mu_);
  std::optional<ExitReason> retire_reason_ ABSL_GUARDED_BY(mu_);
  absl::AnyInvocable<void()> retire_done_ ABSL_GUARDED_BY(mu_);
  // Sent on by its former place: comes before what is in the mailbox.
  std::deque<Envelope> handed_ ABSL_GUARDED_BY(mu_);
  // Every cluster-wide name it ever had; global_name_ points to one.
  std::vector<std::unique_ptr<const std::string>> global_names_
      ABSL_GUARDED_BY(mu_);
  std::optional<ExitReason> doomed_ ABSL_GUARDED_BY(mu_);
  // Dead and its names free: takes neither links nor watchers any more.
  bool gone_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<ExitReason> ended_ ABSL_GUARDED_BY(mu_);
  absl::Status start_error_ ABSL_GUARDED_BY(mu_);
  std::deque<Envelope> mailbox_ ABSL_GUARDED_BY(mu_);
  size_t mailbox_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // But system requests.
  absl::btree_map<Pid, LinkIds> links_ ABSL_GUARDED_BY(mu_);
  absl::btree_set<uint64_t> own_monitors_ ABSL_GUARDED_BY(mu_);
  // System requests and exits in the mailbox: what a suspended process looks
  // for.
  size_t systems_queued_ ABSL_GUARDED_BY(mu_) = 0;
  size_t systems_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // Of the requests.
  size_t exits_queued_ ABSL_GUARDED_BY(mu_) = 0;
  absl::btree_map<uint64_t, Watcher> watchers_ ABSL_GUARDED_BY(mu_);
  // Keeps this alive while it is in the run queue.
  std::shared_ptr<Process> self_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_PROCESS_H_
