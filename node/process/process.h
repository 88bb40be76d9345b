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
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"
#include "node/process/context.h"
#include "node/process/message.h"
#include "node/process/process_body.h"
#include "node/process/result.h"
#include "node/process/runtime.h"
#include "node/process/server_status.h"
#include "node/process/signals.h"
#include "node/process/sys_debug.h"

namespace muster {

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
  // Lets Init run; held processes wait for Release.
  void Start() ABSL_LOCKS_EXCLUDED(mu_);
  // Gives a held process the name it claimed; Release() follows. False: it is
  // not held.
  bool AdoptClaim(Epoch global_epoch) ABSL_LOCKS_EXCLUDED(mu_);
  void Release() ABSL_LOCKS_EXCLUDED(mu_);
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
  // Dropped and counted if the mailbox is full.
  void PushInfo(Info info) ABSL_LOCKS_EXCLUDED(mu_);
  // Never refused: what made it necessary holds its room.
  void PushSystem(Info info, MonitorRef down_ref = MonitorRef())
      ABSL_LOCKS_EXCLUDED(mu_);
  // The response to a request of this process: never refused, since the
  // request holds its room. Vanishes from the mailbox if `revoked` is true
  // when its turn comes.
  void PushResponse(Info info, std::shared_ptr<const std::atomic<bool>> revoked)
      ABSL_LOCKS_EXCLUDED(mu_);
  void SignalExit(const Pid& from, const ExitReason& reason, bool via_link)
      ABSL_LOCKS_EXCLUDED(mu_);
  // False: it is dead.
  bool AddLink(const Pid& other) ABSL_LOCKS_EXCLUDED(mu_);
  void RemoveLink(const Pid& other) ABSL_LOCKS_EXCLUDED(mu_);
  bool AddWatcher(uint64_t ref, const Pid& watcher) ABSL_LOCKS_EXCLUDED(mu_);
  bool AddObserver(uint64_t ref, absl::AnyInvocable<void(ExitReason)>* done)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool RemoveWatcher(uint64_t ref) ABSL_LOCKS_EXCLUDED(mu_);
  void Wake(uint64_t token) ABSL_LOCKS_EXCLUDED(mu_);
  // The runtime goes away: forgets everything without a word.
  void Abandon() ABSL_LOCKS_EXCLUDED(mu_);

  const Pid& pid() const { return pid_; }
  const std::string& local_name() const { return spawn_.local_name; }
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

  // -- For Context; only on the worker that runs this process --------------
  static Process* Current();
  Runtime& runtime() const { return *runtime_; }
  // Begins a wait; the token wakes it.
  uint64_t BeginWait() ABSL_LOCKS_EXCLUDED(mu_);
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
  // True: an exit signal has decided its end, so nothing it still says leaves
  // it (otp 16.1).
  bool doomed() const ABSL_LOCKS_EXCLUDED(mu_);
  bool RemoveQueuedDown(MonitorRef ref) ABSL_LOCKS_EXCLUDED(mu_);
  void OwnMonitor(uint64_t ref) { own_monitors_.insert(ref); }
  // False: its Down has been handled, or it never was this process's.
  bool DisownMonitor(uint64_t ref) { return own_monitors_.erase(ref) > 0; }
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
    kInit,
    kContinue,
    kMessage,  // current_ holds it.
    kTimeout,
    kArmTimeout,  // Nothing to do and a Timeout is due later.
    kHibernate,   // Idle for hibernate_after.
    kRefuse,      // Fence closed: refuse the call that current_ holds.
    kThaw,        // Fence closed: look again in a moment.
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
  };
  struct Watcher {
    Pid pid;
    absl::AnyInvocable<void(ExitReason)> observer;
  };

  // Puts it in the run queue unless it is there; call Submit if true.
  bool ScheduleLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Submit() { runtime_->scheduler().Submit(this); }
  bool HasRoomLocked(size_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PushLocked(Envelope envelope) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
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
  void ThawLater();
  void StartExpired() ABSL_LOCKS_EXCLUDED(mu_);

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

  // Own synchronization.
  std::atomic<uint64_t> handled_{0};
  // Acquire/release: a change of code may replace it by another constant.
  std::atomic<const ServiceInfo*> service_;
  std::atomic<uint64_t> arrivals_{0};
  std::atomic<const std::string*> global_name_;

  // Owned by the running worker.
  std::unique_ptr<ProcessBody> body_;
  Payload options_;
  absl::AnyInvocable<void(absl::Status)> started_;
  Context context_;
  Envelope current_;
  Stage stage_ = Stage::kNone;
  std::optional<HandlerResult> result_;
  std::optional<ExitReason> ending_;  // Finish with this.
  std::optional<Info> continue_;
  absl::Duration idle_after_ = absl::InfiniteDuration();
  TimerId idle_timer_ = 0;
  std::optional<Payload> stop_reply_;
  std::vector<std::shared_ptr<CallSlot>> unanswered_;
  size_t unanswered_sweep_ = 16;
  absl::btree_set<uint64_t> own_monitors_;
  absl::btree_set<uint64_t> flushed_downs_;
  TimerId start_timer_ = 0;
  // Null: nothing is switched on.
  std::unique_ptr<internal::SysDebug> debug_;
  TypeMark info_type_;  // Of the info that is being handled.
  // The report of a crash until Terminate has run: what it was doing, in words.
  std::string report_;

  mutable Mutex mu_;
  Life life_ ABSL_GUARDED_BY(mu_);
  bool scheduled_ ABSL_GUARDED_BY(mu_) = false;
  bool running_ ABSL_GUARDED_BY(mu_) = false;
  bool waiting_ ABSL_GUARDED_BY(mu_) = false;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  bool thaw_armed_ ABSL_GUARDED_BY(mu_) = false;
  bool timeout_due_ ABSL_GUARDED_BY(mu_) = false;
  bool timeout_armed_ ABSL_GUARDED_BY(mu_) = false;
  bool trap_exit_ ABSL_GUARDED_BY(mu_);
  bool suspended_ ABSL_GUARDED_BY(mu_) = false;
  bool hibernating_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t wait_token_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t idle_generation_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t dropped_infos_ ABSL_GUARDED_BY(mu_) = 0;
  Epoch global_epoch_ ABSL_GUARDED_BY(mu_);
  // Every cluster-wide name it ever had; global_name_ points to one.
  std::vector<std::unique_ptr<const std::string>> global_names_
      ABSL_GUARDED_BY(mu_);
  std::optional<ExitReason> doomed_ ABSL_GUARDED_BY(mu_);
  std::optional<ExitReason> ended_ ABSL_GUARDED_BY(mu_);
  absl::Status start_error_ ABSL_GUARDED_BY(mu_);
  std::deque<Envelope> mailbox_ ABSL_GUARDED_BY(mu_);
  size_t mailbox_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  // System requests and exits in the mailbox: what a suspended process looks
  // for.
  size_t systems_queued_ ABSL_GUARDED_BY(mu_) = 0;
  size_t exits_queued_ ABSL_GUARDED_BY(mu_) = 0;
  absl::btree_set<Pid> links_ ABSL_GUARDED_BY(mu_);
  absl::btree_map<uint64_t, Watcher> watchers_ ABSL_GUARDED_BY(mu_);
  // Keeps this alive while it is in the run queue.
  std::shared_ptr<Process> self_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_PROCESS_H_
