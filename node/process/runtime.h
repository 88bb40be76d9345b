// Runtime: the processes of one node incarnation and how they reach each other.
#ifndef MUSTER_NODE_PROCESS_RUNTIME_H_
#define MUSTER_NODE_PROCESS_RUNTIME_H_

#include <any>
#include <atomic>
#include <cstddef>
#include <cstdint>
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
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/fence.h"
#include "node/base/log.h"
#include "node/base/mutex.h"
#include "node/base/random.h"
#include "node/base/scheduler.h"
#include "node/process/attachments.h"
#include "node/process/caller.h"
#include "node/process/mailbox.h"
#include "node/process/message.h"
#include "node/process/process_body.h"
#include "node/process/router.h"
#include "node/process/signals.h"
#include "node/process/timers.h"
#include "node/process/via.h"
#include "node/types/exit_reason.h"
#include "node/types/info.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"

namespace muster {

class NameRegistry;
class Process;

struct RuntimeOptions {
  // Name and epoch of this incarnation of the node.
  std::string node;
  Epoch epoch;
  // Messages that may wait in one mailbox. Too small refuses bursts, too large
  // lets a slow server take the node's memory.
  size_t mailbox_messages_max = 10'000;
  size_t mailbox_bytes_max = size_t{64} << 20;
  // Messages that a process handles before it goes to the end of the run
  // queue. Small is fair, large is fast.
  int reductions = 64;
};

// How one process is started.
struct SpawnOptions {
  // Registered before Init runs; messages to the name wait (otp H2).
  std::string local_name;
  // Cluster-wide name and its epoch; only for whoever owns the claim.
  std::string global_name;
  Epoch global_epoch;
  // What to show people, for example the server type.
  std::string type;
  // Linked from the first instant (otp L5); empty: not.
  Pid link_to;
  // Whose exit signal is an order to shut down (otp G2); empty: link_to.
  Pid parent;
  // Monitored by this process from the first instant (otp L5); empty: not.
  // `monitor` is set before Spawn returns; a failed start leaves no Down.
  Pid monitor_by;
  std::shared_ptr<MonitorRef> monitor;
  // The process that starts it, the first of its ancestors; empty: none.
  Pid starter;
  // Its starter and that one's starters, filled in by Spawn.
  std::vector<Pid> ancestors;
  // What people call it; see Context::SetLabel.
  std::string label;
  // How much may wait for it.
  MailboxOptions mailbox;
  bool trap_exit = false;
  // For whom it works, the nearest first; see Context::callers().
  std::vector<Pid> callers;
  // Init is given up, and the process killed, after this long.
  absl::Duration timeout = absl::InfiniteDuration();
  // Hibernates by itself after being idle for so long (otp G17).
  absl::Duration hibernate_after = absl::InfiniteDuration();
  // True: takes messages, but runs Init only after Release(); a claim of its
  // name is under way.
  bool hold = false;
  // Not 0: it takes the place of a process of another node. What comes through
  // this alias of it goes before everything else, which waits for
  // Runtime::EndHandOff.
  uint64_t hand_off_alias = 0;
  // The other one's Snapshot, given to Restore after Init and before the first
  // message; null: there is none.
  std::shared_ptr<Payload> restore;
};

// A line of `muster process list`.
struct ProcessInfo {
  Pid pid;
  std::string name;
  bool global = false;
  std::string type;
  // "idle", "running", "waiting", "starting", "suspended", "hibernating".
  std::string state;
  size_t mailbox = 0;
  uint64_t handled = 0;
  BootTime started;
  // -- what `muster process list` does not show
  std::string local_name;
  std::string label;
  // What it runs now: "call Increment" of a handler that waits, "call" of one
  // that runs; empty: nothing.
  std::string handler;
  size_t mailbox_bytes = 0;
  // Casts and infos for which its mailbox had no room.
  uint64_t dropped = 0;
  bool trap_exit = false;
  bool hibernated = false;
  Pid parent;                  // Empty: none.
  std::vector<Pid> ancestors;  // Its starter first.
  std::vector<Pid> links;
  std::vector<Pid> monitored_by;
  size_t monitors = 0;  // That it has made.
  size_t aliases = 0;
};

// The client has seen a later epoch of the name than this node knows
// (guarantees G5): ABORTED FENCED, NOT_EXECUTED.
Error OlderThanSeen(const ServerRef& target, Epoch seen);

// How much the tables of a runtime hold; for tests that nothing stays behind
// (otp 16.1.9).
struct RuntimeTables {
  size_t processes = 0;
  size_t names = 0;     // Local and cluster-wide.
  size_t links = 0;     // Ends of links here: two for a link within the node.
  size_t monitors = 0;  // That processes of this node have made.
  size_t watched = 0;   // That processes of this node are the target of.
  size_t node_watchers = 0;
  size_t timers = 0;  // Of SendAfter.
  size_t sleeps = 0;  // Of Context::Sleep.
  size_t aliases = 0;
  size_t calls = 0;  // Begun on this node and without an answer.
};

// Owns every process of this node. LIFETIME: destroyed after its scheduler has
// stopped (or its simulated node has died). THREADS: any thread may call any
// method; callbacks come on a worker or inside the call.
class Runtime {
 public:
  // `router` may be null: only this node's processes can be reached.
  // `fence` guards processes with a cluster-wide name.
  Runtime(RuntimeOptions options, Scheduler* scheduler, RandomSource* random,
          Logger* logger, const Fence* fence);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  // Once, before anything is sent.
  void set_router(Router* router) { router_ = router; }
  // Cluster-wide names, for node/registry/names.h; null on a node without.
  void set_names(NameRegistry* names) { names_ = names; }
  NameRegistry* names() const { return names_; }
  // Lets ServerRef::Via(name, key) find processes. False: the name is taken.
  bool AddVia(absl::string_view name, ViaRegistry* registry)
      ABSL_LOCKS_EXCLUDED(mu_);
  // As above, for one that may go while others still ask it: they hold it.
  bool AddVia(absl::string_view name, std::shared_ptr<ViaRegistry> registry)
      ABSL_LOCKS_EXCLUDED(mu_);
  void RemoveVia(absl::string_view name) ABSL_LOCKS_EXCLUDED(mu_);
  // What parts of this node share by name.
  Attachments& attachments() { return attachments_; }
  // Null: there is none. Lives as long as it is held, if it was added so.
  std::shared_ptr<ViaRegistry> HoldVia(absl::string_view name) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // -- Starting and ending -------------------------------------------------
  // Starts a process. The pid is known at once; `started` learns how Init
  // went: OK, or why not:
  //   ALREADY_EXISTS ALREADY_STARTED (detail pid: the holder) local name taken
  //   FAILED_PRECONDITION IGNORED    Init answered Ignore()
  //   ABORTED INIT_FAILED            Init stopped or threw (detail exit_reason)
  //   Init's own error
  //   DEADLINE_EXCEEDED START_TIMEOUT  outcome UNKNOWN; the process is gone
  //   INVALID_ARGUMENT NO_SERVER     `body` is null
  // On failure `started` comes after the process is completely gone (otp H5).
  Pid Spawn(std::unique_ptr<ProcessBody> body, Payload options,
            SpawnOptions spawn, absl::AnyInvocable<void(absl::Status)> started);
  // Lets a held process run Init, under the epoch of its claim; from now on it
  // is found by its cluster-wide name.
  void Release(const Pid& pid, Epoch global_epoch) ABSL_LOCKS_EXCLUDED(mu_);
  // As above for a process whose name was registered meanwhile, or has none.
  void ReleaseNamed(const Pid& pid) ABSL_LOCKS_EXCLUDED(mu_);
  // Ends a held process without running Init: its start fails with `error`,
  // it exits with `normal` and leaves its starter neither link nor Exit
  // (otp H3).
  void Refuse(const Pid& pid, absl::Status error) ABSL_LOCKS_EXCLUDED(mu_);
  // A running process got a cluster-wide name, or lost it. NOT_FOUND NOPROC,
  // FAILED_PRECONDITION HAS_NAME.
  absl::Status SetGlobalName(const Pid& pid, absl::string_view name,
                             Epoch epoch) ABSL_LOCKS_EXCLUDED(mu_);
  void ClearGlobalName(absl::string_view name) ABSL_LOCKS_EXCLUDED(mu_);

  // Sends an exit signal (otp 1.3) to a process of any node. `from` may be
  // empty: the system.
  void SendExit(const Pid& from, const Pid& to, const ExitReason& reason);
  // Calls `done` once with the reason when `pid` has ended and its names are
  // free; at once with noproc if there is no such process here. Returns 0 or
  // an id for StopObserving.
  uint64_t ObserveExit(const Pid& pid,
                       absl::AnyInvocable<void(ExitReason)> done);
  void StopObserving(const Pid& pid, uint64_t id);
  // exit(shutdown), and kill after `limit`; `limit` zero: kill at once.
  // `done` learns the reason it ended with (otp S25).
  void Stop(const Pid& from, const Pid& pid, absl::Duration limit,
            absl::AnyInvocable<void(ExitReason)> done);
  // Kills every process; used when this node ends.
  void KillAll();

  // -- Moving a process to another node; moving.cc -------------------------
  // Lets a process finish what it handles and answer the calls that it still
  // owes a reply, those for up to `patience`; then it acts no more: messages
  // wait in its mailbox. `done` gets its Snapshot, or the error of it (then it
  // is held all the same); it is dropped if the process ends first.
  void Hold(const Pid& pid, absl::Duration patience,
            absl::AnyInvocable<void(absl::StatusOr<Payload>)> done);
  // The move is off: it goes on, under `epoch`, with what has waited.
  void Unhold(const Pid& pid, Epoch epoch);
  // Has a held process run Terminate; then it still holds its messages.
  // `done` is dropped if it ends instead.
  void Retire(const Pid& pid, const ExitReason& reason,
              absl::AnyInvocable<void()> done);
  // A held process has moved: sends `to` what waits, in order, but what is of
  // the old process alone (exits, Downs, responses to its requests); then it
  // ends with shutdown(moved), and for kForwarding what comes later for it, or
  // for its cluster-wide name under its epoch, is sent on as well. Whoever
  // observes its exit hears of it after the last of what waited has gone to the
  // router.
  void HandOff(const Pid& pid, const ServerRef& to) ABSL_LOCKS_EXCLUDED(mu_);
  // The new process has all that its former place had for it.
  void EndHandOff(const Pid& pid);
  // The process of this node that had the name under `epoch` or later, has
  // moved, and whose messages are sent on; empty: there is none.
  Pid WhereMoved(absl::string_view name, Epoch epoch) const
      ABSL_LOCKS_EXCLUDED(mu_);
  bool HasMoved(const Pid& pid) const ABSL_LOCKS_EXCLUDED(mu_);
  // How long what comes late is sent on. Longer than a view of the names may
  // be old.
  static constexpr absl::Duration kForwarding = absl::Seconds(10);

  // -- Sending -------------------------------------------------------------
  // Local targets are served here, others by the router. Arms no deadline:
  // see StartCall.
  void Call(Request request, std::shared_ptr<CallSlot> slot);
  // `taken` may be null (fire and forget).
  void Cast(Request request, absl::AnyInvocable<void(absl::Status)> taken);
  // An info that is never refused for lack of room: whoever sends it bounds
  // how many there are, as a supervisor its own retry.
  void SendReserved(const Pid& to, Info info);
  // A process's own cast (otp C15): OK whatever becomes of it, or
  // RESOURCE_EXHAUSTED if the target's mailbox, here, is full.
  absl::Status CastAndForget(Request request);
  void Send(const ServerRef& to, Info info, Meta meta = Meta());
  // Call with the deadline in request.meta enforced here, on this node's
  // clock; `done` comes exactly once. A deadline that has passed leaves room
  // only for what is known at once (otp C3). If `waiter` (may be null) is
  // abandoned, the call is cancelled. Returns the call's claim: whoever
  // completes it gives the call up.
  std::shared_ptr<CallSlot> StartCall(
      Request request, absl::AnyInvocable<void(CallResult)> done,
      const std::shared_ptr<internal::ArrivalBase>& waiter = nullptr);

  // To a process of this node; NOT_FOUND NOPROC if it is gone. For the router
  // and for what arrives from peers.
  void CallLocal(const Pid& pid, Request request,
                 std::shared_ptr<CallSlot> slot);
  absl::Status CastLocal(const Pid& pid, Request request);
  // `alias`: it came through that one; 0: by the pid or a name.
  void SendLocal(const Pid& pid, Info info, uint64_t alias = 0);
  // Drops the infos in a process's mailbox that `unwanted` picks, as OTP's
  // selective receive with `after 0` does; how many.
  size_t DropQueued(const Pid& pid, absl::FunctionRef<bool(Info&)> unwanted);

  // -- Links and monitors; links.cc ----------------------------------------
  // `a` and `watcher` are processes of this node; the others of any. See
  // Context. NOT_FOUND also if `a` has ended.
  absl::Status Link(const Pid& a, const Pid& b) ABSL_LOCKS_EXCLUDED(links_mu_);
  void Unlink(const Pid& a, const Pid& b) ABSL_LOCKS_EXCLUDED(links_mu_);
  MonitorRef Monitor(const Pid& watcher, const ServerRef& target,
                     MonitorOptions options = MonitorOptions())
      ABSL_LOCKS_EXCLUDED(mu_);
  // True: it was active and no Down comes. False: a Down may be in the mailbox
  // or on its way to it, or it is not `watcher`'s.
  bool Demonitor(const Pid& watcher, MonitorRef ref) ABSL_LOCKS_EXCLUDED(mu_);
  // For the router: what comes from another node, or back from Router::
  // RouteSignal. Exits, links, unlinks and Downs; `link` is as the receiver
  // sees it.
  void Deliver(const Signal& signal) ABSL_LOCKS_EXCLUDED(mu_);
  // A ref that names no monitor yet.
  MonitorRef UnusedRef(const Pid& owner) ABSL_LOCKS_EXCLUDED(mu_);
  // For the router: the name that monitor `ref` is for belongs to `pid`.
  void MonitorAt(uint64_t ref, const Pid& pid) ABSL_LOCKS_EXCLUDED(mu_);

  // -- Other nodes (otp 13); nodes.cc --------------------------------------
  // `on`: one more copy of each NodeUp and NodeDown for `watcher`; off: none.
  void MonitorNodes(const Pid& watcher, bool on) ABSL_LOCKS_EXCLUDED(mu_);
  // Sorted.
  std::vector<std::string> Nodes() const ABSL_LOCKS_EXCLUDED(mu_);
  // For the owner of the streams: a stream to `node`, of incarnation `epoch`,
  // has opened, and nothing has been delivered from it yet; it is lost,
  // everything that came by it has been delivered and everything that the loss
  // ends has been told so. The calls for one node come one after the other, in
  // turns.
  void NodeIsUp(absl::string_view node, Epoch epoch) ABSL_LOCKS_EXCLUDED(mu_);
  void NodeIsDown(absl::string_view node, const ExitReason& reason)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Its incarnations up to `epoch` can no longer act, whatever is said of
  // streams: monitors of cluster-wide names that they had fire.
  void NodeIsDead(absl::string_view node, Epoch epoch) ABSL_LOCKS_EXCLUDED(mu_);

  // -- Timers --------------------------------------------------------------
  // What Context offers, to any process of this node.
  // `sender`: the process whose timer it is, empty for none; while that one or
  // the target is frozen, what is due is held (guarantees R11).
  TimerRef SendAfter(absl::Duration delay, const ServerRef& to, Info info,
                     const Pid& sender = Pid());
  TimerRef SendAt(BootTime due, const ServerRef& to, Info info,
                  const Pid& sender = Pid());
  absl::StatusOr<TimerRef> StartTimer(absl::Duration delay, const ServerRef& to,
                                      Info info, const Pid& sender = Pid());
  absl::StatusOr<TimerRef> StartTimerAt(BootTime due, const ServerRef& to,
                                        Info info, const Pid& sender = Pid());
  std::optional<absl::Duration> CancelTimer(TimerRef timer);
  std::optional<absl::Duration> ReadTimer(TimerRef timer) const;
  // OK, or why a timer to `to` is refused: INVALID_ARGUMENT with BAD_TARGET or
  // REMOTE_TARGET.
  absl::Status CheckTimer(const ServerRef& to) const;
  // Sends what a timer of `sender` was for.
  void SendTimed(const Pid& sender, const ServerRef& to, Info info)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Armed timers.
  size_t timer_count() const { return timers_.size(); }

  // -- Names on this node (otp N1) -----------------------------------------
  // ALREADY_EXISTS ALREADY_STARTED (detail pid: the holder), INVALID_ARGUMENT
  // BAD_NAME or BAD_PID (of another node), FAILED_PRECONDITION HAS_NAME: the
  // process has one, NOT_FOUND NOPROC: it has ended.
  absl::Status RegisterLocal(absl::string_view name, const Pid& pid)
      ABSL_LOCKS_EXCLUDED(mu_);
  // NOT_FOUND NOPROC: nobody has it.
  absl::Status UnregisterLocal(absl::string_view name) ABSL_LOCKS_EXCLUDED(mu_);

  // -- Looking -------------------------------------------------------------
  // Nullopt: it has ended, or an exit signal has decided its end.
  std::optional<ProcessInfo> Inspect(const Pid& pid) const;
  // Null if it has ended or is of another incarnation or node.
  std::shared_ptr<Process> Find(const Pid& pid) const;
  // Empty pid if nobody has the name.
  Pid WhereIsLocal(absl::string_view name) const;
  // The process of this node that serves a cluster-wide name; empty if none.
  Pid WhereIsGlobal(absl::string_view name) const;
  std::vector<ProcessInfo> List() const;
  size_t process_count() const;
  bool HasMonitor(uint64_t ref) const ABSL_LOCKS_EXCLUDED(mu_);
  // False also if an exit signal has decided its end (otp P9).
  bool IsAlive(const Pid& pid) const;
  RuntimeTables Tables() const ABSL_LOCKS_EXCLUDED(mu_);
  // Replies that had no effect: the call was answered already, or its caller
  // had given up (otp G9).
  uint64_t replies_dropped() const {
    return replies_dropped_.load(std::memory_order_relaxed);
  }
  void CountDroppedReply() const {
    replies_dropped_.fetch_add(1, std::memory_order_relaxed);
  }

  const std::string& node() const { return options_.node; }
  const Epoch& epoch() const { return options_.epoch; }
  bool IsLocal(const Pid& pid) const {
    return pid.node == options_.node && pid.epoch == options_.epoch;
  }
  const RuntimeOptions& options() const { return options_; }
  Scheduler& scheduler() const { return *scheduler_; }
  Clock& clock() const { return scheduler_->clock(); }
  RandomSource& random() const { return *random_; }
  Logger& log() const { return *logger_; }
  const Fence& fence() const { return *fence_; }

  // -- Freeze and thaw (guarantees R10, R11); freeze.cc --------------------
  // Whether servers with a cluster-wide name may act at `now`.
  bool FenceOpen(BootTime now) const;
  // A frozen process has something to do: Process::Thawed follows when the
  // fence has been extended. The caller then looks at the fence once more.
  void AwaitThaw(std::weak_ptr<Process> process) ABSL_LOCKS_EXCLUDED(mu_);
  // The fence may be open again: has all who wait look.
  void Thaw() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class Process;
  friend class Context;

  // A monitor as its watcher's node knows it.
  struct MonitorEntry {
    Pid watcher;
    MonitorRef ref;
    ServerRef object = Pid();
    std::any tag;
    // Where it was placed; a cluster-wide name until it has been found.
    ServerRef at = Pid();
    // Its node cannot be reached, which has been said; see Suspect.
    bool suspect = false;
  };

  // What a frozen process's timer was to send.
  struct HeldTimer {
    HeldTimer(Pid s, ServerRef t, Info i)
        : sender(std::move(s)), to(std::move(t)), info(std::move(i)) {}
    Pid sender;
    ServerRef to;
    Info info;
  };
  // Where the messages of a process that has moved go.
  struct Moved {
    ServerRef to = Pid();
    std::string name;
    Epoch epoch;  // Its last one.
  };
  // Nullopt: it has not moved, or long ago.
  std::optional<ServerRef> MovedTo(const Pid& pid) const
      ABSL_LOCKS_EXCLUDED(mu_);
  void SendOn(const ServerRef& to, Request request,
              std::shared_ptr<CallSlot> slot);
  void SendOn(const ServerRef& to, Info info);

  // Ends monitor `ref` with its Down. Not there: demonitored meanwhile.
  void SendDown(uint64_t ref, const Pid& ended, const ExitReason& reason)
      ABSL_LOCKS_EXCLUDED(mu_);
  // True: `reason` ends no monitor of a cluster-wide name while its owner may
  // still act (guarantees G10).
  bool OnlySuspectLocked(const MonitorEntry& entry,
                         const ExitReason& reason) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of that node, oldest first.
  std::vector<MonitorEntry> SuspectsLocked(absl::string_view node) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The node is back as `epoch`: says so of the suspects that can still be
  // there and monitors them again; the others are gone (noproc).
  void ClearSuspects(absl::string_view node, Epoch epoch)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Tries to reach the node now and then as long as it has suspects.
  void ReachLater(const std::string& node) ABSL_LOCKS_EXCLUDED(mu_);
  // Has the process or node at `at` forget the monitor.
  void Withdraw(const Pid& watcher, uint64_t ref, const ServerRef& at);
  // `from` has taken back its end of a link; the other end goes without a word.
  void EndLink(const Pid& from, const Pid& to, LinkIds link);
  // `from` has ended.
  void SendLinkExit(const Pid& from, const Pid& to, const ExitReason& reason,
                    LinkIds link);
  // The fence may go before this object does, once every process is killed.
  void ForgetFence();
  // A planted bug's (R10): looks at the fence now and then.
  void PollFence();
  template <typename Event>
  void TellNodeWatchers(const absl::btree_map<Pid, int>& watchers,
                        const Event& event) ABSL_LOCKS_EXCLUDED(mu_);
  // Frees an ending process's names and timers, before its links and monitors
  // fire (otp P8).
  void Forget(const Process& process) ABSL_LOCKS_EXCLUDED(mu_);
  void FillAncestorsLocked(SpawnOptions* spawn) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t NextRef() ABSL_LOCKS_EXCLUDED(mu_);
  // Empty pid: not served by this node.
  Pid ResolveHere(const ServerRef& target) const ABSL_LOCKS_EXCLUDED(mu_);
  // The same for a message, which must not overtake what waits in the router.
  Pid ShortcutTo(const ServerRef& target) const ABSL_LOCKS_EXCLUDED(mu_);
  // Before a cluster-wide name is found here; empty: there is none.
  void TellServed(absl::string_view name, Epoch epoch);
  // True: nobody but the router can serve it.
  bool IsElsewhere(const ServerRef& target) const;
  // What a key in a registry stands for: another reference, or a process of
  // another node; else the target itself.
  ServerRef ResolveVia(const ServerRef& target) const ABSL_LOCKS_EXCLUDED(mu_);

  const RuntimeOptions options_;
  Scheduler* const scheduler_;
  RandomSource* const random_;
  Logger* const logger_;
  const Fence* const fence_;
  Attachments attachments_;
  Router* router_ = nullptr;
  NameRegistry* names_ = nullptr;

  // Own synchronization.
  Timers timers_{this};
  std::atomic<size_t> calls_{0};
  std::atomic<size_t> sleeps_{0};
  // Relaxed: read by people only.
  mutable std::atomic<uint64_t> replies_dropped_{0};
  std::atomic<bool> knows_fence_{true};
  std::atomic<bool> polled_fence_{true};

  mutable Mutex mu_;
  uint64_t next_number_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t next_ref_ ABSL_GUARDED_BY(mu_) = 1;
  absl::flat_hash_map<uint64_t, std::shared_ptr<Process>> processes_
      ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Pid> local_names_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Pid> global_names_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, std::shared_ptr<ViaRegistry>> vias_
      ABSL_GUARDED_BY(mu_);
  // By number of the process that was here.
  absl::flat_hash_map<uint64_t, Moved> moved_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, uint64_t> moved_names_ ABSL_GUARDED_BY(mu_);
  // Nodes with an open stream, and as which incarnation.
  absl::btree_map<std::string, Epoch> nodes_ ABSL_GUARDED_BY(mu_);
  // Who hears of them, and how many copies.
  absl::btree_map<Pid, int> node_watchers_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<uint64_t, MonitorEntry> monitors_ ABSL_GUARDED_BY(mu_);
  // The greatest dead epoch of each node.
  absl::flat_hash_map<std::string, Epoch> dead_nodes_ ABSL_GUARDED_BY(mu_);
  // What waits for the thaw.
  std::vector<std::weak_ptr<Process>> frozen_ ABSL_GUARDED_BY(mu_);
  std::vector<HeldTimer> held_timers_ ABSL_GUARDED_BY(mu_);
  // Nodes with a timer of ReachLater.
  absl::flat_hash_set<std::string> reaching_ ABSL_GUARDED_BY(mu_);

  // Held while both ends of a link within the node change.
  Mutex links_mu_;
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_RUNTIME_H_
