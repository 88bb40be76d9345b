#include "node/supervisor/task_process.h"

#include "node/process/process.h"
#include "node/process/runtime.h"

namespace muster::internal {
namespace {

constexpr size_t kCallersMax = 16;

// Suspends a coroutine that drives another one of the same process: that one
// has begun the wait, and its wake resumes the outer coroutine.
class Forwarded {
 public:
  Forwarded() {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<>) {}
  void await_resume() {}
};

}  // namespace

std::vector<Pid> CallersFrom(const Context& self) {
  std::vector<Pid> callers = {self.pid()};
  for (const Pid& caller : self.callers()) {
    if (callers.size() == kCallersMax) break;
    callers.push_back(caller);
  }
  return callers;
}

InitResult TaskProcess::Init(Context& self) {
  started_->pid = self.pid();
  if (work_->ended) {
    // From within, so that no end is missed; not through Terminate, which a
    // killed process never sees.
    self.runtime().ObserveExit(self.pid(),
                               [work = work_, end = end_](ExitReason reason) {
                                 work->ended(reason, *end);
                               });
  }
  if (!work_->link_to.empty()) {
    absl::Status linked = self.Link(work_->link_to);
    if (!linked.ok()) return linked;  // Who wanted it has ended.
  }
  return Ok(Continue(Info(Run())));
}

Next TaskProcess::HandleContinue(Info, Context& self) {
  HandlerResult running = work_->run(self);
  while (!running.done()) {
    co_await Forwarded();
    running.Resume();
  }
  Decision decision = running.Take();
  // What a killed process answers is discarded (otp 16.1).
  if (self.process()->doomed()) co_return NoReply();
  *end_ = TaskEnd::kExit;
  co_return Stop(work_->deliver(std::move(decision), self));
}

Next TaskProcess::Terminate(const ExitReason& reason, Context&) {
  if (*end_ == TaskEnd::kSignal &&
      reason.kind() == ExitReason::Kind::kException) {
    *end_ = TaskEnd::kError;
  }
  return NoReply();
}

void StartTask(Runtime& runtime, const Pid& parent,
               std::shared_ptr<TaskWork> work,
               absl::AnyInvocable<void(absl::StatusOr<Pid>)> started) {
  auto told = std::make_shared<TaskProcess::Started>();
  SpawnOptions spawn;
  spawn.type = "task";
  spawn.link_to = parent;
  spawn.callers = work->callers;
  runtime.Spawn(
      std::make_unique<TaskProcess>(std::move(work), told), Payload(),
      std::move(spawn),
      [told, started = std::move(started)](absl::Status status) mutable {
        if (!status.ok()) {
          started(std::move(status));
        } else {
          started(told->pid);  // Init has told it.
        }
      });
}

ChildSpec TaskChildSpec(std::shared_ptr<TaskWork> work, Restart restart,
                        Shutdown shutdown) {
  ChildSpec spec;
  spec.id = "task";
  spec.restart = restart;
  spec.shutdown = shutdown;
  spec.start = [work = std::move(work)](Context& self) {
    auto arrival = std::make_shared<Arrival<absl::StatusOr<StartedChild>>>();
    StartTask(self.runtime(), self.pid(), work,
              [arrival](absl::StatusOr<Pid> pid) {
                if (pid.ok()) {
                  arrival->Set(StartedChild(*std::move(pid)));
                } else {
                  arrival->Set(std::move(pid).status());
                }
              });
    return Pending<absl::StatusOr<StartedChild>>(std::move(arrival));
  };
  return spec;
}

}  // namespace muster::internal
