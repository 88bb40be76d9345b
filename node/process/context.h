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
#include "node/types/server_ref.h"

namespace muster {

class Process;
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
  const std::string& node() const;
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
  // Delivers `info` to this process after `delay`, never early. The timer ends
  // with the process. A negative delay is 0.
  TimerRef SendAfter(absl::Duration delay, Info info);
  // As above, to a process of this node; a name is resolved at expiry.
  TimerRef SendAfter(absl::Duration delay, const ServerRef& to, Info info);
  // What was left; nullopt if it has fired (its message may be in the
  // mailbox), was cancelled or is unknown.
  std::optional<absl::Duration> CancelTimer(TimerRef timer);

  // -- Links, monitors, exits (otp 1.3 to 1.5) -----------------------------
  void TrapExit(bool on);
  void Link(const Pid& pid);
  void Unlink(const Pid& pid);
  // One Down info will come. By name: resolved once, now.
  MonitorRef Monitor(const ServerRef& target);
  // With `flush` a Down that is already queued is removed. True: it was active
  // and no Down will come.
  bool Demonitor(MonitorRef ref, bool flush = false);
  // Sends an exit signal; `kill` cannot be trapped.
  void SendExit(const Pid& to, const ExitReason& reason);

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
