#include "node/supervisor/task_supervisor.h"

#include "absl/strings/str_cat.h"
#include "node/process/process.h"

namespace muster {
namespace {

DynamicSupervisorSpec PoolSpec(const TaskSupervisorSpec& spec) {
  DynamicSupervisorSpec pool;
  pool.max_children = spec.max_children;
  pool.intensity = spec.intensity;
  pool.period = spec.period;
  return pool;
}

}  // namespace

std::unique_ptr<DynamicSupervisor> MakeTaskSupervisor(TaskSupervisorSpec spec) {
  return std::make_unique<DynamicSupervisor>(PoolSpec(spec));
}

ChildSpec TaskSupervisorChild(absl::string_view name, TaskSupervisorSpec spec) {
  return DynamicSupervisor::AsChild(PoolSpec(spec), name);
}

namespace internal {

absl::Status TaskExited(const Pid& pid, const ExitReason& reason, TaskEnd end) {
  absl::string_view how = "signal";
  if (end == TaskEnd::kExit) how = "exit";
  if (end == TaskEnd::kError) how = "error";
  return Error(absl::StatusCode::kAborted, "CALLEE_EXITED",
               absl::StrCat("the task ended without a result: ",
                            reason.ToString()))
      .With("exit_reason", reason.ToString())
      .With("class", how)
      .With("pid", pid.empty() ? "" : pid.ToString())
      .Unknown();
}

absl::Status TaskTimeout(const Pid& pid, absl::Duration timeout) {
  return Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
               absl::StrCat("no result of the task within ",
                            absl::FormatDuration(timeout)))
      .With("pid", pid.ToString())
      .Unknown();
}

absl::Status NotTemporary() {
  return Error(absl::StatusCode::kInvalidArgument, "NOT_TEMPORARY",
               "a task whose result is waited for is never restarted: leave "
               "`restart` temporary")
      .NotExecuted();
}

void CrashOwner(Runtime& runtime, const Pid& from, const Pid& to,
                const ExitReason& reason) {
  auto process = runtime.Find(to);
  if (process == nullptr || process->traps_exit()) return;
  process->SignalExit(from, reason, /*via_link=*/false);
}

void SendDown(Runtime& runtime, const Pid& to, Down down) {
  if (auto process = runtime.Find(to)) {
    process->PushResponse(Info(std::move(down)), nullptr);
  }
}

void LaunchTask(Caller& caller, const ServerRef& to,
                std::shared_ptr<TaskWork> work, const TaskOptions& options,
                absl::AnyInvocable<void(absl::StatusOr<Pid>)> done) {
  DynamicSupervisorClient(caller, to)
      .StartChild(
          TaskChildSpec(std::move(work), options.restart, options.shutdown))
      .Then([done = std::move(done)](
                absl::StatusOr<StartedChild> started) mutable {
        if (started.ok()) {
          done(std::move(started->pid));
        } else {
          done(std::move(started).status());
        }
      });
}

}  // namespace internal

TaskSupervisorClient::TaskSupervisorClient(Context& self, ServerRef to)
    : caller_(&self),
      runtime_(&self.runtime()),
      owner_(self.pid()),
      to_(std::move(to)),
      callers_(internal::CallersFrom(self)),
      pool_(self, to_) {}

TaskSupervisorClient::TaskSupervisorClient(RuntimeCaller& caller, ServerRef to)
    : caller_(&caller),
      runtime_(&caller.runtime()),
      to_(std::move(to)),
      pool_(caller, to_) {}

Pending<absl::StatusOr<Pid>> TaskSupervisorClient::StartErased(
    std::shared_ptr<internal::TaskWork> work, const TaskOptions& options) {
  using Kind = internal::Decision::Kind;
  work->callers = callers_;
  work->deliver = [](internal::Decision decision, Context& self) {
    if (decision.kind == Kind::kStop) return *std::move(decision.stop);
    if (decision.kind == Kind::kError) {
      self.LogWarning(absl::StrCat("the task failed, and nobody waits for it: ",
                                   decision.error.message()));
    }
    return ExitReason::Normal();
  };
  auto out = std::make_shared<internal::Arrival<absl::StatusOr<Pid>>>();
  internal::LaunchTask(
      *caller_, to_, std::move(work), options,
      [out](absl::StatusOr<Pid> pid) { out->Set(std::move(pid)); });
  return Pending<absl::StatusOr<Pid>>(std::move(out));
}

Pending<absl::StatusOr<std::vector<Pid>>> TaskSupervisorClient::Children() {
  using Pids = absl::StatusOr<std::vector<Pid>>;
  auto out = std::make_shared<internal::Arrival<Pids>>();
  pool_.WhichChildren().Then(
      [out](absl::StatusOr<std::vector<ChildInfo>> children) {
        if (!children.ok()) {
          out->Set(std::move(children).status());
          return;
        }
        std::vector<Pid> pids;
        for (ChildInfo& child : *children) {
          if (!child.pid.empty()) pids.push_back(std::move(child.pid));
        }
        out->Set(std::move(pids));
      });
  return Pending<Pids>(std::move(out));
}

}  // namespace muster
