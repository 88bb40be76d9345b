// Context: what a callback can do: who it is, whom it can talk to, timers,
// links, monitors, and what came with the message it handles.
#ifndef MUSTER_NODE_PROCESS_CONTEXT_H_
#define MUSTER_NODE_PROCESS_CONTEXT_H_

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/clock.h"
#include "node/base/random.h"
#include "node/process/caller.h"
#include "node/process/signals.h"
#include "node/types/exit_reason.h"
#include "node/types/info.h"
#include "node/types/pid.h"
#include "node/types/server_name.h"
#include "node/types/server_ref.h"

namespace muster {

class Process;
class ProcessBody;
class Runtime;
class CallSlot;

// The right to answer one call, from any process of this node, at any time,
// once (otp G8). Copies are the same right; later answers are dropped (G9).
// Answering never fails and never blocks (G10).
class From {
 public:
  From() = default;  // Answers nobody.
  // `runtime` outlives it; `epoch` is the answering name's, empty for others.
  From(std::shared_ptr<CallSlot> slot, const Runtime* runtime, Epoch epoch);
  From(const From&);
  From& operator=(const From&);
  From(From&&) noexcept;
  From& operator=(From&&) noexcept;
  ~From();

  template <typename T>
  void Reply(T response) const {
    ReplyWith(Payload::Of(std::move(response)));
  }
  void ReplyError(absl::Status error) const;
  void ReplyWith(Payload response) const;
  // The caller has its answer or has given up.
  bool done() const;

 private:
  std::shared_ptr<CallSlot> slot_;
  const Runtime* runtime_ = nullptr;
  Epoch epoch_;
};

// What `co_await self.Sleep(d)` gives: nothing that anybody must look at.
class Elapsed {
 public:
  Elapsed() {}
};

// LIFETIME: as its process. THREADS: only in callbacks of its own process,
// including a coroutine after co_await.
class Context final : public Caller {
 public:
  explicit Context(Process* process) : process_(process) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // -- Who this is ---------------------------------------------------------
  const Pid& pid() const;
  // Its registered name: cluster-wide if it has one, else local; may be empty.
  const std::string& name() const;
  // What people call it, in logs and crash reports; empty: nothing.
  void SetLabel(absl::string_view label);
  std::string label() const;
  const std::string& node() const;
  // Of a task: the process that asked for it, then the one that asked for
  // that one, and so on, at most 16; some may have ended. Empty for others.
  const std::vector<Pid>& callers() const;
  // Greater than that of every earlier owner of this name; hand it to outside
  // resources that refuse smaller ones (guarantees G2, R13). ABORTED FENCED if
  // the ownership may have ended, FAILED_PRECONDITION without a global name.
  absl::StatusOr<Epoch> fencing_token() const;

  // -- Time, chance, log ---------------------------------------------------
  BootTime Now() const;
  absl::Time WallTime() const;
  RandomSource& random() const;
  void LogInfo(absl::string_view text) const;
  void LogWarning(absl::string_view text) const;
  void LogError(absl::string_view text) const;

  // -- The message that is being handled -----------------------------------
  // The current call's; outside a call it answers nobody.
  From from() const;
  // When its caller gives up; infinite if never.
  BootTime deadline() const;
  // ASCII metadata of the client; empty if the key is absent.
  std::string metadata(absl::string_view key) const;
  // The calling process; empty for clients outside.
  Pid caller() const;
  // The caller gave the current call up: it dropped its PendingCall, ended, or
  // its gRPC client cancelled. A deadline that passes is no such thing (otp
  // C10). The calls that this handler waits for are cancelled with it.
  bool cancelled() const;
  // Runs `work` once when that happens, in this process, while its handler
  // waits; at once if it has happened. For the current call only, and only the
  // last one given. May be called in calls only.
  void OnCancel(absl::AnyInvocable<void()> work);

  // -- Talking to others ---------------------------------------------------
  // Usually through a generated client: CounterClient(self, "counter_a").
  void StartCall(const ServerRef& to, absl::string_view path, Payload request,
                 const CallOptions& options,
                 absl::AnyInvocable<void(CallResult)> done) override;
  void StartCast(const ServerRef& to, absl::string_view path, Payload request,
                 const CallOptions& options,
                 absl::AnyInvocable<void(absl::Status)> done) override;
  // Delivers `info` to the target's HandleInfo; never fails (otp P3).
  void Send(const ServerRef& to, Info info);

  // -- Timers (otp 6) ------------------------------------------------------
  // Delivers `info` after `delay`, never early, to this process or to another
  // of this node; a name is resolved at expiry (T2). A timer to a pid ends with
  // that process (T5), never with the one that armed it. A negative delay is 0,
  // since delays are often differences of times; an infinite one never fires.
  // A target of another node is refused: a warning is logged, and the ref names
  // nothing.
  TimerRef SendAfter(absl::Duration delay, Info info);
  TimerRef SendAfter(absl::Duration delay, const ServerRef& to, Info info);
  // As above, at a reading of this node's boot clock; soon if it has passed.
  TimerRef SendAt(BootTime due, Info info);
  TimerRef SendAt(BootTime due, const ServerRef& to, Info info);
  // As above, but delivers TimerFired{ref, info}, and says why it refuses:
  // INVALID_ARGUMENT with BAD_TIME (a negative delay), REMOTE_TARGET or
  // BAD_TARGET.
  absl::StatusOr<TimerRef> StartTimer(absl::Duration delay, Info info);
  absl::StatusOr<TimerRef> StartTimer(absl::Duration delay, const ServerRef& to,
                                      Info info);
  absl::StatusOr<TimerRef> StartTimerAt(BootTime due, const ServerRef& to,
                                        Info info);
  // What was left; nullopt if it has fired (its message may be in the
  // mailbox), was cancelled or is unknown. Whoever has the ref may ask (T3).
  std::optional<absl::Duration> CancelTimer(TimerRef timer);
  std::optional<absl::Duration> ReadTimer(TimerRef timer) const;
  // The same, answered by an info TimerCancelled or TimerRead to this process
  // (T4); without `report` nothing is answered.
  void CancelTimerAsync(TimerRef timer, bool report = true);
  void ReadTimerAsync(TimerRef timer);

  // -- Links, monitors, exits (otp 1.3 to 1.5) -----------------------------
  void TrapExit(bool on);
  // One link for each pair, whoever asks for it and how often; none to itself
  // (otp L1). When the other ends, or its node cannot be reached any more
  // (noconnection), this process gets its exit signal, and the other way
  // round. If `pid` has ended (otp L3): of another node, or if this process
  // traps exits, an exit signal noproc comes; else the answer is NOT_FOUND
  // NOPROC and nothing comes. INVALID_ARGUMENT BAD_PID: the empty pid.
  // UNAVAILABLE EXITING: this process is being ended.
  absl::Status Link(const Pid& pid);
  // From now on no exit signal of that link comes; an Exit that is in the
  // mailbox stays there (otp L2).
  void Unlink(const Pid& pid);
  // One Down info will come, unless the target is this process itself (otp
  // M6). A name is resolved once: now, or if it is another node's when the
  // request arrives there (otp M4). Every call makes a monitor of its own. A
  // target that cannot exist (the empty pid, an invalid name) gives
  // MonitorRef(), and no Down comes.
  // A cluster-wide name is watched until its owner's epoch can no longer act;
  // while its node cannot be reached, Suspect infos say so.
  MonitorRef Monitor(const ServerRef& target,
                     MonitorOptions options = MonitorOptions());
  // No Down comes for `ref` any more, except that one that is already queued
  // stays, unless `flush` removes it. True, also for a monitor that has fired
  // or that nobody knows; with `info` (otp M5):
  //   info         false: it was not active; its Down may be in the mailbox
  //   info, flush  false: a Down had to be removed
  // A ref that another process made is refused: false, and nothing happens.
  bool Demonitor(MonitorRef ref, DemonitorOptions options = DemonitorOptions());
  // Sends an exit signal; `kill` cannot be trapped.
  void SendExit(const Pid& to, const ExitReason& reason);

  // -- Local names (otp N1) ------------------------------------------------
  // Gives this process a name on this node, gone when it ends.
  // ALREADY_EXISTS ALREADY_STARTED (detail pid: the holder), INVALID_ARGUMENT
  // BAD_NAME, FAILED_PRECONDITION HAS_NAME: it has one already.
  absl::Status RegisterLocal(absl::string_view name);
  // Takes a name from whichever process of this node has it. NOT_FOUND NOPROC.
  absl::Status UnregisterLocal(absl::string_view name);
  // Empty pid: nobody has it.
  Pid WhereIsLocal(absl::string_view name) const;

  // -- Aliases (otp 1.6) ---------------------------------------------------
  // A new address of this process that it can switch off; what comes through
  // it afterwards is dropped. kExplicit or kReply; the other kinds come with a
  // monitor (MonitorOptions::alias).
  ServerRef Alias(AliasKind kind = AliasKind::kExplicit);
  // That of a monitor made with MonitorOptions::alias.
  ServerRef AliasOf(MonitorRef monitor) const;
  // True: it was on, and this process's. A monitor stays (otp A3).
  bool Unalias(const ServerRef& alias);

  // -- Being somebody else (otp H12) ---------------------------------------
  // Once the current callback has returned, this process goes on as `server`:
  // its object and service are replaced, and neither Init nor the old one's
  // Terminate runs. Pid, mailbox, links, monitors, timers and names stay. If
  // `claimed` is not this process's by then, it exits with
  // process_not_registered, process_not_registered_globally or
  // process_not_registered_via(registry).
  void Become(std::unique_ptr<ProcessBody> server,
              ServerName claimed = ServerName());

  // -- Other nodes (otp 13) ------------------------------------------------
  // NodeUp and NodeDown infos come from now on; twice gives two copies, and
  // one off ends all of them.
  void MonitorNodes(bool on);
  // Nodes with an open stream to this one, sorted.
  std::vector<std::string> Nodes() const;

  // -- Waiting (only in coroutines) ----------------------------------------
  // co_await self.Sleep(d): the process waits, no thread does.
  Pending<Elapsed> Sleep(absl::Duration d);
  // co_await self.Blocking<T>(f): runs f on the blocking pool. What f throws
  // comes out of the co_await.
  template <typename T>
  Pending<T> Blocking(absl::AnyInvocable<T()> work) {
    auto arrival = std::make_shared<internal::Arrival<T>>();
    RunBlocking([arrival, work = std::move(work)]() mutable {
      try {
        arrival->Set(work());
      } catch (...) {
        arrival->SetThrown(std::current_exception());
      }
    });
    return Pending<T>(std::move(arrival));
  }
  // co_await self.Async<T>(start): hands `start` a function that takes the
  // value later, from any thread, once; for callback interfaces.
  template <typename T>
  Pending<T> Async(
      absl::AnyInvocable<void(absl::AnyInvocable<void(T)>)> start) {
    auto arrival = std::make_shared<internal::Arrival<T>>();
    start([arrival](T value) { arrival->Set(std::move(value)); });
    return Pending<T>(std::move(arrival));
  }

  // For the parts of the runtime.
  Process* process() const { return process_; }
  Runtime& runtime() const;

 private:
  void RunBlocking(absl::AnyInvocable<void()> work);

  Process* const process_;
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_CONTEXT_H_
