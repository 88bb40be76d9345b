#include "node/supervisor/remote_tasks.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "node/process/answer.h"
#include "node/process/process.h"
#include "node/process/runtime.h"
#include "node/supervisor/parallel_shutdown.h"
#include "node/supervisor/task_process.h"
#include "node/supervisor/task_supervisor.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr size_t kTaskNameBytesMax = 128;

bool IsTaskName(absl::string_view name) {
  if (name.empty() || name.size() > kTaskNameBytesMax) return false;
  for (const char c : name) {
    if (c <= ' ' || c > '~') return false;
  }
  return true;
}

}  // namespace

// -- TaskTypes ----------------------------------------------------------------

absl::Status TaskTypes::Add(TaskType type) {
  if (!IsTaskName(type.name)) {
    return Error(
        absl::StatusCode::kInvalidArgument, "BAD_NAME",
        absl::StrCat(LogSafe(type.name), " is no name of a task type: 1 to ",
                     kTaskNameBytesMax,
                     " printable ASCII characters without spaces"));
  }
  const std::string name = type.name;
  MutexLock lock(&mu_);
  if (!types_.try_emplace(name, std::make_shared<TaskType>(std::move(type)))
           .second) {
    return Error(
        absl::StatusCode::kAlreadyExists, "ALREADY_REGISTERED",
        absl::StrCat("this node has a task type '", name, "' already"));
  }
  return absl::OkStatus();
}

bool TaskTypes::Remove(absl::string_view name) {
  MutexLock lock(&mu_);
  return types_.erase(name) > 0;
}

std::shared_ptr<const TaskType> TaskTypes::Find(absl::string_view name) const {
  MutexLock lock(&mu_);
  const auto at = types_.find(name);
  return at == types_.end() ? nullptr : at->second;
}

// -- RemoteTasks --------------------------------------------------------------

// The tasks that run, for the bound and for the end. THREADS: any.
class RemoteTasks::Running : public std::enable_shared_from_this<Running> {
 public:
  // Counts one task until the token is dropped, which its process does at its
  // end; null: there are `max` already.
  std::shared_ptr<const uint64_t> Begin(size_t max) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (pids_.size() >= max) return nullptr;
    const uint64_t id = next_++;
    pids_[id] = Pid();
    return std::shared_ptr<const uint64_t>(
        new uint64_t(id), [self = shared_from_this()](const uint64_t* token) {
          self->End(*token);
          delete token;
        });
  }
  void Started(uint64_t id, const Pid& pid) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto at = pids_.find(id);
    if (at != pids_.end()) at->second = pid;
  }
  std::vector<Pid> Pids() const ABSL_LOCKS_EXCLUDED(mu_) {
    std::vector<Pid> pids;
    MutexLock lock(&mu_);
    for (const auto& [id, pid] : pids_) {
      if (!pid.empty()) pids.push_back(pid);
    }
    return pids;
  }

 private:
  void End(uint64_t id) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    pids_.erase(id);
  }

  mutable Mutex mu_;
  uint64_t next_ ABSL_GUARDED_BY(mu_) = 1;
  // Empty: its start is under way.
  absl::btree_map<uint64_t, Pid> pids_ ABSL_GUARDED_BY(mu_);
};

RemoteTasks::RemoteTasks(std::shared_ptr<const TaskTypes> types,
                         RemoteTasksOptions options)
    : types_(std::move(types)),
      options_(options),
      running_(std::make_shared<Running>()) {}

ChildSpec RemoteTasks::AsChild(std::shared_ptr<const TaskTypes> types,
                               RemoteTasksOptions options) {
  ChildSpec child;
  child.id = std::string(kName);
  child.name = std::string(kName);
  child.type = ChildType::kSupervisor;
  child.factory = [types = std::move(types), options] {
    return std::make_unique<RemoteTasks>(types, options);
  };
  return child;
}

const ServiceInfo& RemoteTasks::service_info() const {
  static constexpr MethodInfo kMethods[] = {{"Run", false}, {"Start", true}};
  static const ServiceInfo kInfo{"muster.RemoteTasks", kMethods};
  return kInfo;
}

HandlerResult RemoteTasks::OnInit(Payload&, Context& self) {
  self.TrapExit(true);
  return InitResult(Ok()).Erase();
}

HandlerResult RemoteTasks::OnCall(absl::string_view, Payload& request,
                                  Context& self) {
  absl::Status started =
      StartOne(request, self.process()->current_slot(), self);
  if (!started.ok()) {
    return HandlerResult(internal::RefuseWith(std::move(started)));
  }
  return HandlerResult(internal::GoOn(After()));
}

HandlerResult RemoteTasks::OnCast(absl::string_view, Payload& request,
                                  Context& self) {
  absl::Status started = StartOne(request, nullptr, self);
  if (!started.ok()) {  // Nobody else is told (otp E3).
    self.LogWarning(
        absl::StrCat("a task was not started: ", started.message()));
  }
  return HandlerResult(internal::GoOn(After()));
}

absl::Status RemoteTasks::StartOne(Payload& request,
                                   std::shared_ptr<CallSlot> slot,
                                   Context& self) {
  const std::string name = self.metadata(kTaskKey);
  std::shared_ptr<const TaskType> type = types_->Find(name);
  if (type == nullptr) {
    return Error(absl::StatusCode::kUnimplemented, "UNKNOWN_TASK",
                 absl::StrCat("node ", self.node(), " has no task type ",
                              LogSafe(name)))
        .NotExecuted();
  }
  if (!type->accepts(request)) {
    return Error(absl::StatusCode::kInvalidArgument, "MALFORMED",
                 absl::StrCat("the request's bytes are no ", type->request))
        .NotExecuted();
  }
  std::shared_ptr<const uint64_t> token = running_->Begin(options_.tasks_max);
  if (token == nullptr) {
    return Error(
               absl::StatusCode::kResourceExhausted, "MAX_CHILDREN",
               absl::StrCat("node ", self.node(), " runs ", options_.tasks_max,
                            " tasks for others, and may run no more"))
        .RetryAfter(absl::Milliseconds(100))
        .NotExecuted();
  }
  const uint64_t id = *token;
  auto work = std::make_shared<internal::TaskWork>();
  work->run = [type = std::move(type), token = std::move(token),
               payload = std::move(request)](Context& task) mutable {
    return type->run(payload, task);
  };
  work->deliver = [slot](internal::Decision decision, Context& task) {
    using Kind = internal::Decision::Kind;
    if (decision.kind == Kind::kError && slot == nullptr) {
      task.LogWarning(absl::StrCat("the task failed, and nobody waits for it: ",
                                   decision.error.message()));
    }
    switch (decision.kind) {
      case Kind::kReply:
        if (slot != nullptr)
          slot->Complete(CallResult(std::move(decision.reply)));
        return ExitReason::Normal();
      case Kind::kError:
        From(slot, &task.runtime(), Epoch())
            .ReplyError(std::move(decision.error));
        return ExitReason::Normal();
      case Kind::kStop:
        if (decision.replies && slot != nullptr) {
          slot->Complete(CallResult(std::move(decision.reply)));
        }
        return *std::move(decision.stop);
      case Kind::kGoOn:
      case Kind::kIgnore:
        break;
    }
    return ExitReason::BadReturnValue("NoReply() of a task");
  };
  work->ended = [slot](const ExitReason& reason, internal::TaskEnd end) {
    // Dropped if there was an answer.
    if (slot != nullptr) {
      slot->Complete(CallResult(internal::TaskExited(Pid(), reason, end)));
    }
  };
  if (const Pid caller = self.caller(); !caller.empty()) {
    work->callers = {caller};
  }
  internal::StartTask(
      self.runtime(), self.pid(), std::move(work),
      [running = running_, id, slot](const absl::StatusOr<Pid>& pid) {
        if (pid.ok()) {
          running->Started(id, *pid);
        } else if (slot != nullptr) {
          slot->Complete(CallResult(pid.status()));
        }
      });
  return absl::OkStatus();
}

Next RemoteTasks::HandleInfo(Info info, Context& self) {
  // Tasks end as they like: whoever asked has been told.
  if (info.As<Exit>() != nullptr) return NoReply();
  self.LogWarning(
      absl::StrCat("unexpected message ", info.type(), " was dropped"));
  return NoReply();
}

Next RemoteTasks::Terminate(const ExitReason&, Context& self) {
  std::vector<ParallelShutdown::Child> children;
  for (const Pid& pid : running_->Pids()) {
    children.emplace_back(pid, options_.shutdown);
  }
  ParallelShutdown shutdown(self, std::move(children));
  co_await shutdown.Done();
  co_return NoReply();
}

}  // namespace muster
