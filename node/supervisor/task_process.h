// TaskProcess: a process that does one piece of work and ends. Internal to
// node/; users see TaskSupervisor and erpc.
#ifndef MUSTER_NODE_SUPERVISOR_TASK_PROCESS_H_
#define MUSTER_NODE_SUPERVISOR_TASK_PROCESS_H_

#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "node/gen_server/gen_server.h"
#include "node/process/caller.h"
#include "node/process/context.h"
#include "node/supervisor/child_spec.h"
#include "node/types/exit_reason.h"
#include "node/types/info.h"
#include "node/types/pid.h"

namespace muster::internal {

// How a task came to its end, as a caller elsewhere is told (otp E1).
enum class TaskEnd {
  kExit,    // It stopped with a reason of its own.
  kError,   // It threw.
  kSignal,  // An exit signal ended it.
};

// What a task does. The process that does it keeps it alive.
struct TaskWork {
  TaskWork() {}

  // Once for each start.
  absl::AnyInvocable<HandlerResult(Context&)> run;
  // What `run` answered, unless the task has been killed; gives the reason
  // that the task ends with. On the task's worker.
  absl::AnyInvocable<ExitReason(Decision, Context&)> deliver;
  // The task has ended, after `deliver` if there was an answer. On any thread;
  // may be null.
  absl::AnyInvocable<void(const ExitReason&, TaskEnd)> ended;
  // Linked to this process too, from its Init on; empty: not.
  Pid link_to;
  std::vector<Pid> callers;
};

// The callers of a task that the process of `self` asks for.
std::vector<Pid> CallersFrom(const Context& self);

class TaskProcess final : public InfoServer {
 public:
  struct Started {
    Pid pid;
  };
  TaskProcess(std::shared_ptr<TaskWork> work, std::shared_ptr<Started> started)
      : work_(std::move(work)), started_(std::move(started)) {}

  InitResult Init(Context& self) override;
  // Runs the work; a coroutine of the work's waits as one of this process.
  Next HandleContinue(Info message, Context& self) override;
  Next Terminate(const ExitReason& reason, Context& self) override;

 private:
  struct Run {};

  const std::shared_ptr<TaskWork> work_;
  const std::shared_ptr<Started> started_;
  // Shared with the observer of its end.
  const std::shared_ptr<TaskEnd> end_ =
      std::make_shared<TaskEnd>(TaskEnd::kSignal);
};

// Starts it linked to `parent`, a process of this node.
void StartTask(Runtime& runtime, const Pid& parent,
               std::shared_ptr<TaskWork> work,
               absl::AnyInvocable<void(absl::StatusOr<Pid>)> started);

// The child of a supervisor that does `work`.
ChildSpec TaskChildSpec(std::shared_ptr<TaskWork> work, Restart restart,
                        Shutdown shutdown);

}  // namespace muster::internal

#endif  // MUSTER_NODE_SUPERVISOR_TASK_PROCESS_H_
