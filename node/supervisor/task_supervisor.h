// TaskSupervisor: one piece of work in a process of its own, under supervision
// (otp D8).
//
//   Start(runtime, std::make_unique<TaskSupervisor>(), ...);
//
//   TaskSupervisorClient tasks(self, ServerRef::Local("tasks"));
//   auto work = [](Context& self) -> TaskResult<int> { co_return 42; };
//   absl::StatusOr<AsyncTask<int>> task = co_await tasks.Async<int>(work);
//   absl::StatusOr<int> value = co_await task->Await(absl::Seconds(5));
//
// A task's function is plain or a coroutine, runs in a process of its own, and
// answers a value, an error, or Stop(reason). It lives as long as its process;
// what it refers to must, too.
#ifndef MUSTER_NODE_SUPERVISOR_TASK_SUPERVISOR_H_
#define MUSTER_NODE_SUPERVISOR_TASK_SUPERVISOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"
#include "node/gen_server/runtime_caller.h"
#include "node/process/caller.h"
#include "node/process/context.h"
#include "node/process/result.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/supervisor/child_info.h"
#include "node/supervisor/child_spec.h"
#include "node/supervisor/dynamic_supervisor.h"
#include "node/supervisor/task_process.h"
#include "node/types/exit_reason.h"
#include "node/types/info.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"

namespace muster {

// What a task's function answers. Timeouts, Continue and the like mean nothing
// here; NoReply() is no answer, and ends the task with bad_return_value.
template <typename T>
using TaskResult = Reply<T>;

struct TaskSupervisorSpec {
  TaskSupervisorSpec() {}

  // Tasks at one time; none: as many as fit into memory.
  std::optional<size_t> max_children;
  // For tasks that are restarted.
  uint32_t intensity = 3;
  absl::Duration period = absl::Seconds(5);
};

// A supervisor of tasks is a DynamicSupervisor, and answers to its client, too.
std::unique_ptr<DynamicSupervisor> MakeTaskSupervisor(
    TaskSupervisorSpec spec = TaskSupervisorSpec());
// As a child of another supervisor: called `name` there and on this node.
ChildSpec TaskSupervisorChild(absl::string_view name,
                              TaskSupervisorSpec spec = TaskSupervisorSpec());

struct TaskOptions {
  TaskOptions() {}

  // StartChild only: a task whose result somebody waits for runs once.
  Restart restart = Restart::kTemporary;
  // How the supervisor ends it.
  Shutdown shutdown = Shutdown::Within(absl::Seconds(5));
};

// The result of a task as a message; see AsyncTask::Deliver.
template <typename T>
struct TaskDone {
  TaskDone(Pid p, absl::StatusOr<T> r)
      : pid(std::move(p)), result(std::move(r)) {}
  Pid pid;
  absl::StatusOr<T> result;
};

namespace internal {

// ABORTED CALLEE_EXITED: the task `pid` ended without a result.
absl::Status TaskExited(const Pid& pid, const ExitReason& reason, TaskEnd end);
// DEADLINE_EXCEEDED TIMEOUT, outcome UNKNOWN.
absl::Status TaskTimeout(const Pid& pid, absl::Duration timeout);
absl::Status NotTemporary();
// Ends `to`, unless it traps exits.
void CrashOwner(Runtime& runtime, const Pid& from, const Pid& to,
                const ExitReason& reason);
// Into its mailbox, however full that is.
void SendDown(Runtime& runtime, const Pid& to, Down down);

// What a task comes to: its result, or how it ended without one. THREADS: any.
//
//   pending --Set--> there --Take--> taken
//      \----------Withdraw----------^
template <typename T>
class TaskState {
 public:
  // The first wins; later ones, and all after Withdraw, are dropped.
  void Set(absl::StatusOr<T> value) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::AnyInvocable<void()> wake;
    {
      MutexLock lock(&mu_);
      if (settled_) return;
      settled_ = true;
      value_.emplace(std::move(value));
      wake = std::exchange(wake_, nullptr);
    }
    if (wake) wake();
  }
  // As Set, for a task that ended without a result.
  void SetEnded(const ExitReason& reason, TaskEnd end)
      ABSL_LOCKS_EXCLUDED(mu_) {
    Pid pid;
    {
      MutexLock lock(&mu_);
      if (settled_) return;
      reason_ = reason;
      pid = pid_;
    }
    Set(TaskExited(pid, reason, end));
  }
  void set_pid(const Pid& pid) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    pid_ = pid;
  }
  // Calls `wake` when there is something to take; at once if there is.
  void OnReady(absl::AnyInvocable<void()> wake) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(&mu_);
      if (!value_.has_value()) {
        wake_ = std::move(wake);
        return;
      }
    }
    wake();
  }
  // False: `wake` has been called or is about to be.
  bool CancelWait() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return std::exchange(wake_, nullptr) != nullptr;
  }
  std::optional<absl::StatusOr<T>> Take() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return std::exchange(value_, std::nullopt);
  }
  // What slipped in, if anything; from now on nothing comes.
  std::optional<absl::StatusOr<T>> Withdraw() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    settled_ = true;
    return std::exchange(value_, std::nullopt);
  }
  // Why it ended, if without a result.
  std::optional<ExitReason> reason() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return reason_;
  }

 private:
  mutable Mutex mu_;
  bool settled_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::StatusOr<T>> value_ ABSL_GUARDED_BY(mu_);
  std::optional<ExitReason> reason_ ABSL_GUARDED_BY(mu_);
  Pid pid_ ABSL_GUARDED_BY(mu_);
  absl::AnyInvocable<void()> wake_ ABSL_GUARDED_BY(mu_);
};

// Hands a function's answer to `done`; gives the reason the task ends with.
template <typename T, typename Done>
ExitReason DeliverResult(Decision decision, const Done& done) {
  switch (decision.kind) {
    case Decision::Kind::kError:
      done(absl::StatusOr<T>(
          WithOutcome(std::move(decision.error), Outcome::kExecuted)));
      return ExitReason::Normal();
    case Decision::Kind::kReply:
      break;
    case Decision::Kind::kStop:
      if (!decision.replies) return *std::move(decision.stop);
      break;
    case Decision::Kind::kGoOn:
    case Decision::Kind::kIgnore:
      return ExitReason::BadReturnValue("NoReply() of a task");
  }
  // Of Reply<T>, so it is a T.
  done(absl::StatusOr<T>(std::move(*decision.reply.template Take<T>())));
  if (decision.kind == Decision::Kind::kStop) return *std::move(decision.stop);
  return ExitReason::Normal();
}

// Runs a function of any shape.
template <typename Function>
absl::AnyInvocable<HandlerResult(Context&)> EraseTask(Function function) {
  using Answer = std::invoke_result_t<Function&, Context&>;
  if constexpr (std::is_void_v<Answer>) {
    return [function = std::move(function)](Context& self) mutable {
      function(self);
      return HandlerResult(GoOn(After()));
    };
  } else {
    return [function = std::move(function)](Context& self) mutable {
      return function(self).Erase();
    };
  }
}

// Asks the supervisor at `to` for a task.
void LaunchTask(Caller& caller, const ServerRef& to,
                std::shared_ptr<TaskWork> work, const TaskOptions& options,
                absl::AnyInvocable<void(absl::StatusOr<Pid>)> done);

}  // namespace internal

// A task under way. Dropping it gives up the result, not the task. THREADS:
// that of its owner.
template <typename T>
class AsyncTask {
 public:
  AsyncTask(Runtime* runtime, Pid owner, Pid pid, bool linked,
            std::shared_ptr<internal::TaskState<T>> state)
      : runtime_(runtime),
        owner_(std::move(owner)),
        pid_(std::move(pid)),
        linked_(linked),
        state_(std::move(state)) {}
  AsyncTask(AsyncTask&&) noexcept = default;
  AsyncTask& operator=(AsyncTask&&) noexcept = default;
  ~AsyncTask() {}

  const Pid& pid() const { return pid_; }

  // The function's value or error; else
  //   ABORTED CALLEE_EXITED       it ended without one (detail exit_reason)
  //   DEADLINE_EXCEEDED TIMEOUT   it goes on, but its result never comes: an
  //                               Await after this one does not end
  // Once.
  Pending<absl::StatusOr<T>> Await(absl::Duration timeout) {
    auto out = std::make_shared<internal::Arrival<absl::StatusOr<T>>>();
    std::weak_ptr<internal::TaskState<T>> weak = state_;
    Yield(timeout).Then([out, weak, pid = pid_,
                         timeout](std::optional<absl::StatusOr<T>> value) {
      // One that slipped in counts (otp C9).
      auto state = weak.lock();
      if (!value.has_value() && state != nullptr) value = state->Withdraw();
      if (!value.has_value()) value = internal::TaskTimeout(pid, timeout);
      out->Set(*std::move(value));
    });
    return Pending<absl::StatusOr<T>>(std::move(out));
  }

  // As Await, but a timeout is nullopt and gives nothing up: ask again.
  Pending<std::optional<absl::StatusOr<T>>> Yield(absl::Duration timeout) {
    using Value = std::optional<absl::StatusOr<T>>;
    struct Wait {
      std::atomic<TimerId> timer{0};
    };
    constexpr TimerId kOver = ~TimerId{0};
    auto out = std::make_shared<internal::Arrival<Value>>();
    auto wait = std::make_shared<Wait>();
    std::weak_ptr<internal::TaskState<T>> weak = state_;
    state_->OnReady([out, wait, weak, runtime = runtime_] {
      const TimerId timer = wait->timer.exchange(kOver);
      if (timer != 0) runtime->scheduler().Cancel(timer);
      // Whoever wakes holds it.
      if (auto state = weak.lock()) out->Set(state->Take());
    });
    if (timeout == absl::InfiniteDuration()) {
      return Pending<Value>(std::move(out));
    }
    const TimerId timer = runtime_->scheduler().At(
        runtime_->clock().Boot() + timeout, [out, weak] {
          auto state = weak.lock();
          if (state == nullptr || state->CancelWait()) out->Set(std::nullopt);
        });
    if (wait->timer.exchange(timer) == kOver) {
      runtime_->scheduler().Cancel(timer);
    }
    return Pending<Value>(std::move(out));
  }

  // Ends the task, unlinked first, and waits for its end. Its result if it has
  // one after all; else ABORTED CALLEE_EXITED.
  Pending<absl::StatusOr<T>> End(Shutdown how) {
    auto out = std::make_shared<internal::Arrival<absl::StatusOr<T>>>();
    if (linked_) runtime_->Unlink(owner_, pid_);
    runtime_->Stop(owner_, pid_, how.patience(),
                   [out, state = state_, pid = pid_](const ExitReason& reason) {
                     std::optional<absl::StatusOr<T>> value = state->Withdraw();
                     if (!value.has_value()) {
                       value = internal::TaskExited(pid, reason,
                                                    internal::TaskEnd::kSignal);
                     }
                     out->Set(*std::move(value));
                   });
    return Pending<absl::StatusOr<T>>(std::move(out));
  }

  // For a server that does not wait: exactly one message comes to the owner's
  // HandleInfo: TaskDone<T> with the function's value or error, or Down with
  // the task's pid (and no ref) if it ended without one. The task counts as
  // awaited. Its owner must be a process.
  void Deliver() && {
    auto* const raw = state_.get();
    raw->OnReady([weak = std::weak_ptr<internal::TaskState<T>>(state_),
                  runtime = runtime_, owner = owner_, pid = pid_] {
      auto state = weak.lock();
      if (state == nullptr) return;
      std::optional<absl::StatusOr<T>> value = state->Take();
      if (auto reason = state->reason()) {
        internal::SendDown(*runtime, owner,
                           Down(MonitorRef(), pid, pid, *reason));
      } else if (value.has_value()) {
        runtime->Send(owner, Info(TaskDone<T>(pid, *std::move(value))));
      }
    });
  }

 private:
  Runtime* runtime_;
  Pid owner_;  // Empty: a thread outside.
  Pid pid_;
  bool linked_;
  std::shared_ptr<internal::TaskState<T>> state_;
};

// For a process, over its Context; or for a thread, over a RuntimeCaller: then
// nobody is linked.
class TaskSupervisorClient {
 public:
  // `self` outlives it, and so does the runtime of `caller`.
  TaskSupervisorClient(Context& self, ServerRef to);
  TaskSupervisorClient(RuntimeCaller& caller, ServerRef to);

  // Errors of all three: NOT_FOUND NOPROC (no such supervisor),
  // RESOURCE_EXHAUSTED MAX_CHILDREN, INVALID_ARGUMENT NOT_TEMPORARY.

  // A task that nobody waits for, linked to the supervisor only. The function
  // answers TaskResult<T> (logged if it is an error), Next, or nothing.
  template <typename Function>
  Pending<absl::StatusOr<Pid>> StartChild(Function function,
                                          TaskOptions options = TaskOptions()) {
    auto work = std::make_shared<internal::TaskWork>();
    work->run = internal::EraseTask(std::move(function));
    return StartErased(std::move(work), options);
  }

  // A task whose result the caller wants; linked to it: if one crashes, so
  // does the other, unless it traps exits. A caller that traps exits gets the
  // task's Exit, too.
  template <typename T>
  Pending<absl::StatusOr<AsyncTask<T>>> Async(
      absl::AnyInvocable<TaskResult<T>(Context&)> function,
      TaskOptions options = TaskOptions()) {
    return Launch<T>(std::move(function), options, /*link=*/true);
  }
  // As Async, not linked: a crash is an error of Await, or a Down.
  template <typename T>
  Pending<absl::StatusOr<AsyncTask<T>>> AsyncNolink(
      absl::AnyInvocable<TaskResult<T>(Context&)> function,
      TaskOptions options = TaskOptions()) {
    return Launch<T>(std::move(function), options, /*link=*/false);
  }

  // NOT_FOUND NO_CHILD.
  Pending<absl::Status> TerminateChild(const Pid& pid) {
    return pool_.TerminateChild(pid);
  }
  // The tasks that run, those being restarted left out; oldest first.
  Pending<absl::StatusOr<std::vector<Pid>>> Children();
  Pending<absl::StatusOr<ChildCounts>> CountChildren() {
    return pool_.CountChildren();
  }

  // For TaskStream.
  Runtime& runtime() const { return *runtime_; }
  const Pid& owner() const { return owner_; }
  const ServerRef& to() const { return to_; }
  const std::vector<Pid>& callers() const { return callers_; }

 private:
  Pending<absl::StatusOr<Pid>> StartErased(
      std::shared_ptr<internal::TaskWork> work, const TaskOptions& options);

  template <typename T>
  Pending<absl::StatusOr<AsyncTask<T>>> Launch(
      absl::AnyInvocable<TaskResult<T>(Context&)> function,
      const TaskOptions& options, bool link) {
    using Started = absl::StatusOr<AsyncTask<T>>;
    auto out = std::make_shared<internal::Arrival<Started>>();
    if (options.restart != Restart::kTemporary) {
      out->Set(internal::NotTemporary());
      return Pending<Started>(std::move(out));
    }
    const bool linked = link && !owner_.empty();
    auto state = std::make_shared<internal::TaskState<T>>();
    auto work = std::make_shared<internal::TaskWork>();
    work->run = internal::EraseTask(std::move(function));
    work->deliver = [state](internal::Decision decision, Context&) {
      return internal::DeliverResult<T>(
          std::move(decision),
          [&state](absl::StatusOr<T> value) { state->Set(std::move(value)); });
    };
    work->ended = [state](const ExitReason& reason, internal::TaskEnd end) {
      state->SetEnded(reason, end);
    };
    if (linked) work->link_to = owner_;
    work->callers = callers_;
    internal::LaunchTask(
        *caller_, to_, std::move(work), options,
        [out, state, linked, runtime = runtime_,
         owner = owner_](absl::StatusOr<Pid> pid) {
          if (!pid.ok()) {
            out->Set(std::move(pid).status());
            return;
          }
          state->set_pid(*pid);
          out->Set(AsyncTask<T>(runtime, owner, *pid, linked, state));
        });
    return Pending<Started>(std::move(out));
  }

  Caller* caller_;
  Runtime* runtime_;
  Pid owner_;
  ServerRef to_;
  std::vector<Pid> callers_;
  DynamicSupervisorClient pool_;
};

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_TASK_SUPERVISOR_H_
