// Runtime: the processes of one node incarnation and how they reach each other.
#ifndef MUSTER_NODE_PROCESS_RUNTIME_H_
#define MUSTER_NODE_PROCESS_RUNTIME_H_

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
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/fence.h"
#include "node/base/log.h"
#include "node/base/mutex.h"
#include "node/base/random.h"
#include "node/base/scheduler.h"
#include "node/process/caller.h"
#include "node/process/message.h"
#include "node/process/process_body.h"
#include "node/process/router.h"
#include "node/process/signals.h"
#include "node/process/via.h"
#include "node/types/exit_reason.h"
#include "node/types/info.h"
#include "node/types/pid.h"

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
  bool trap_exit = false;
  // Init is given up, and the process killed, after this long.
  absl::Duration timeout = absl::InfiniteDuration();
  // Hibernates by itself after being idle for so long (otp G17).
  absl::Duration hibernate_after = absl::InfiniteDuration();
  // True: takes messages, but runs Init only after Release(); a claim of its
  // name is under way.
  bool hold = false;
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
  void RemoveVia(absl::string_view name) ABSL_LOCKS_EXCLUDED(mu_);
  // Null: there is none.
  ViaRegistry* FindVia(absl::string_view name) const ABSL_LOCKS_EXCLUDED(mu_);

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
  // A running process got a cluster-wide name, or lost it. NOT_FOUND NOPROC,
  // FAILED_PRECONDITION HAS_NAME.
  absl::Status SetGlobalName(const Pid& pid, absl::string_view name,
                             Epoch epoch) ABSL_LOCKS_EXCLUDED(mu_);
  void ClearGlobalName(absl::string_view name) ABSL_LOCKS_EXCLUDED(mu_);

  // Sends an exit signal (otp 1.3). `from` may be empty: the system.
  void SendExit(const Pid& from, const Pid& to, const ExitReason& reason,
                bool via_link = false);
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

  // -- Sending -------------------------------------------------------------
  // Local targets are served here, others by the router. Arms no deadline:
  // see StartCall.
  void Call(Request request, std::shared_ptr<CallSlot> slot);
  // `taken` may be null (fire and forget).
  void Cast(Request request, absl::AnyInvocable<void(absl::Status)> taken);
  // A process's own cast (otp C15): OK whatever becomes of it, or
  // RESOURCE_EXHAUSTED if the target's mailbox, here, is full.
  absl::Status CastAndForget(Request request);
  void Send(const ServerRef& to, Info info, Meta meta = Meta());
  // Call with the deadline in request.meta enforced here, on this node's
  // clock; `done` comes exactly once. A deadline that has passed leaves room
  // only for what is known at once (otp C3). Returns the call's claim: whoever
  // completes it gives the call up.
  std::shared_ptr<CallSlot> StartCall(
      Request request, absl::AnyInvocable<void(CallResult)> done);

  // To a process of this node; NOT_FOUND NOPROC if it is gone. For the router
  // and for what arrives from peers.
  void CallLocal(const Pid& pid, Request request,
                 std::shared_ptr<CallSlot> slot);
  absl::Status CastLocal(const Pid& pid, Request request);
  void SendLocal(const Pid& pid, Info info);

  // -- Links and monitors, local ------------------------------------------
  void Link(const Pid& a, const Pid& b);
  void Unlink(const Pid& a, const Pid& b);
  MonitorRef Monitor(const Pid& watcher, const ServerRef& target);
  // True: it was active and no Down comes. False: a Down may be in the mailbox
  // or on its way to it.
  bool Demonitor(const Pid& watcher, MonitorRef ref);

  // -- Other nodes (otp 13); nodes.cc --------------------------------------
  // `on`: one more copy of each NodeUp and NodeDown for `watcher`; off: none.
  void MonitorNodes(const Pid& watcher, bool on) ABSL_LOCKS_EXCLUDED(mu_);
  // Sorted.
  std::vector<std::string> Nodes() const ABSL_LOCKS_EXCLUDED(mu_);
  // For the owner of the streams: a stream to `node` has opened, and nothing
  // has been delivered from it yet; it is lost, everything that came by it has
  // been delivered and everything that the loss ends has been told so. The
  // calls for one node come one after the other, in turns.
  void NodeIsUp(absl::string_view node) ABSL_LOCKS_EXCLUDED(mu_);
  void NodeIsDown(absl::string_view node, const ExitReason& reason)
      ABSL_LOCKS_EXCLUDED(mu_);

  // -- Timers --------------------------------------------------------------
  // Delivers at expiry; a pid's timers end with it (otp T5).
  TimerRef SendAfter(absl::Duration delay, const ServerRef& to, Info info);
  std::optional<absl::Duration> CancelTimer(TimerRef timer);

  // -- Looking -------------------------------------------------------------
  // Null if it has ended or is of another incarnation or node.
  std::shared_ptr<Process> Find(const Pid& pid) const;
  // Empty pid if nobody has the name.
  Pid WhereIsLocal(absl::string_view name) const;
  // The process of this node that serves a cluster-wide name; empty if none.
  Pid WhereIsGlobal(absl::string_view name) const;
  std::vector<ProcessInfo> List() const;
  size_t process_count() const;
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

 private:
  friend class Process;

  struct Timer {
    TimerId id = 0;
    BootTime due;
    Pid owner;  // Empty: addressed by name.
  };

  void SendDown(const Pid& watcher, Down down) ABSL_LOCKS_EXCLUDED(mu_);
  template <typename Event>
  void TellNodeWatchers(const absl::btree_map<Pid, int>& watchers,
                        const Event& event) ABSL_LOCKS_EXCLUDED(mu_);
  // Frees an ending process's names and timers, before its links and monitors
  // fire (otp P8).
  void Forget(const Process& process) ABSL_LOCKS_EXCLUDED(mu_);
  void FireTimer(uint64_t ref, const ServerRef& to, Info info)
      ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t NextRef() ABSL_LOCKS_EXCLUDED(mu_);
  // Empty pid: not served by this node.
  Pid ResolveHere(const ServerRef& target) const ABSL_LOCKS_EXCLUDED(mu_);
  // True: nobody but the router can serve it.
  bool IsElsewhere(const ServerRef& target) const;
  // What a key in a registry stands for, if that is a process of another node;
  // else the target itself.
  ServerRef ResolveVia(const ServerRef& target) const ABSL_LOCKS_EXCLUDED(mu_);

  const RuntimeOptions options_;
  Scheduler* const scheduler_;
  RandomSource* const random_;
  Logger* const logger_;
  const Fence* const fence_;
  Router* router_ = nullptr;
  NameRegistry* names_ = nullptr;

  // Relaxed: read by people only.
  mutable std::atomic<uint64_t> replies_dropped_{0};

  mutable Mutex mu_;
  uint64_t next_number_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t next_ref_ ABSL_GUARDED_BY(mu_) = 1;
  absl::flat_hash_map<uint64_t, std::shared_ptr<Process>> processes_
      ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Pid> local_names_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Pid> global_names_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, ViaRegistry*> vias_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<uint64_t, Timer> timers_ ABSL_GUARDED_BY(mu_);
  // Process number -> its armed timers.
  absl::flat_hash_map<uint64_t, absl::flat_hash_set<uint64_t>> timers_of_
      ABSL_GUARDED_BY(mu_);
  // Nodes with an open stream.
  absl::btree_set<std::string> nodes_ ABSL_GUARDED_BY(mu_);
  // Who hears of them, and how many copies.
  absl::btree_map<Pid, int> node_watchers_ ABSL_GUARDED_BY(mu_);
  // Monitor -> its target; the target holds the watcher.
  absl::flat_hash_map<uint64_t, Pid> monitors_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_RUNTIME_H_
