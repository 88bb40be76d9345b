#include "node/gen_server/start.h"

#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/strings/str_cat.h"
#include "node/base/mutex.h"
#include "node/process/via.h"
#include "node/registry/name_registry.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

using Done = absl::AnyInvocable<void(absl::StatusOr<Pid>)>;

// One start until its result. Three things happen in any order: Spawn returns
// the pid, the registry of the name answers, the process says how Init went.
// The result waits for all three, and after a failure for the name to be free.
// Callbacks keep it alive.
class Starting : public std::enable_shared_from_this<Starting> {
 public:
  Starting(Runtime* runtime, ServerName name, Done done)
      : runtime_(runtime), name_(std::move(name)), done_(std::move(done)) {}

  void Run(std::unique_ptr<ProcessBody> server, Payload init,
           SpawnOptions spawn) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  bool IsClaimed() const {
    return name_.kind() == ServerName::Kind::kGlobal ||
           name_.kind() == ServerName::Kind::kVia;
  }
  // OK, or why the name cannot be registered at all.
  absl::Status Check();
  void Claim(const Pid& pid);
  void Claimed(const Pid& pid, absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);
  void Started(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);
  void FinishIfReady() ABSL_LOCKS_EXCLUDED(mu_);
  // The process is gone: its name may have outlived it.
  void Free(const Pid& pid, absl::Status failed);

  Runtime* const runtime_;
  const ServerName name_;
  std::shared_ptr<ViaRegistry> via_;
  NameRegistry* names_ = nullptr;

  Mutex mu_;
  bool claimed_ ABSL_GUARDED_BY(mu_) = false;  // The registry has answered.
  bool held_ ABSL_GUARDED_BY(mu_) = false;     // ... and gave the name.
  std::optional<Pid> pid_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> started_ ABSL_GUARDED_BY(mu_);
  Done done_ ABSL_GUARDED_BY(mu_);
};

absl::Status Starting::Check() {
  if (absl::Status valid = name_.Validate(); !valid.ok()) return valid;
  if (name_.kind() == ServerName::Kind::kGlobal) {
    names_ = runtime_->names();
    if (names_ == nullptr) {
      return Error(absl::StatusCode::kFailedPrecondition, "NO_CLUSTER",
                   absl::StrCat(name_.ToString(),
                                " cannot be registered: this node is in no "
                                "cluster"))
          .NotExecuted();
    }
  }
  if (name_.kind() == ServerName::Kind::kVia) {
    via_ = runtime_->HoldVia(name_.registry());
    if (via_ == nullptr) {
      return Error(absl::StatusCode::kInvalidArgument, "BAD_NAME",
                   absl::StrCat("this node has no registry called ",
                                LogSafe(name_.registry())))
          .NotExecuted();
    }
  }
  return absl::OkStatus();
}

void Starting::Run(std::unique_ptr<ProcessBody> server, Payload init,
                   SpawnOptions spawn) {
  if (absl::Status checked = Check(); !checked.ok()) {
    Done done;
    {
      MutexLock lock(&mu_);
      done = std::move(done_);
    }
    done(std::move(checked));
    return;
  }
  const bool claims = IsClaimed() && server != nullptr;
  if (name_.kind() == ServerName::Kind::kLocal) {
    spawn.local_name = name_.name();
  }
  spawn.hold = claims;
  Pid pid =
      runtime_->Spawn(std::move(server), std::move(init), std::move(spawn),
                      [self = shared_from_this()](absl::Status status) {
                        self->Started(std::move(status));
                      });
  {
    MutexLock lock(&mu_);
    pid_ = pid;
    claimed_ = !claims;
  }
  if (claims) {
    Claim(pid);
  } else {
    FinishIfReady();
  }
}

void Starting::Claim(const Pid& pid) {
  if (via_ != nullptr) {
    via_->Register(name_.name(), pid,
                   [self = shared_from_this(), pid](absl::Status status) {
                     self->Claimed(pid, std::move(status));
                   });
    return;
  }
  names_->Register(name_.name(), pid,
                   [self = shared_from_this(), pid](absl::StatusOr<Epoch> e) {
                     self->Claimed(pid, std::move(e).status());
                   });
}

void Starting::Claimed(const Pid& pid, absl::Status status) {
  const bool held = status.ok();
  {
    MutexLock lock(&mu_);
    claimed_ = true;
    held_ = held;
  }
  if (held) {
    runtime_->ReleaseNamed(pid);
  } else {
    runtime_->Refuse(pid, std::move(status));
  }
  FinishIfReady();
}

void Starting::Started(absl::Status status) {
  {
    MutexLock lock(&mu_);
    started_ = std::move(status);
  }
  FinishIfReady();
}

void Starting::FinishIfReady() {
  Done done;
  Pid pid;
  absl::Status status;
  bool held = false;
  {
    MutexLock lock(&mu_);
    if (!done_ || !claimed_ || !pid_.has_value() || !started_.has_value()) {
      return;
    }
    pid = *pid_;
    status = *started_;
    held = held_;
    if (status.ok() || !held) {
      done = std::move(done_);
      done_ = nullptr;
    }
  }
  if (!done) {
    Free(pid, std::move(status));
  } else if (status.ok()) {
    done(std::move(pid));
  } else {
    done(std::move(status));
  }
}

void Starting::Free(const Pid& pid, absl::Status failed) {
  Done done;
  {
    MutexLock lock(&mu_);
    done = std::move(done_);
    done_ = nullptr;
  }
  if (!done) return;
  if (via_ != nullptr) {
    via_->Unregister(name_.name(), pid);
    done(std::move(failed));
    return;
  }
  // Only as long as it is this process's: the registry frees it too.
  const std::optional<NameEntry> entry = names_->WhereIs(name_.name());
  if (!entry.has_value() || entry->pid != pid) {
    done(std::move(failed));
    return;
  }
  names_->Unregister(name_.name(),
                     [done = std::move(done), failed = std::move(failed)](
                         const absl::Status&) mutable { done(failed); });
}

void StartWith(Runtime& runtime, std::unique_ptr<ProcessBody> server,
               Payload init, StartOptions options, SpawnOptions spawn,
               Done done) {
  spawn.timeout = options.timeout;
  spawn.hibernate_after = options.hibernate_after;
  spawn.label = std::move(options.label);
  spawn.mailbox = options.mailbox;
  std::make_shared<Starting>(&runtime, std::move(options.name), std::move(done))
      ->Run(std::move(server), std::move(init), std::move(spawn));
}

Pending<absl::StatusOr<Pid>> PendingStart(Runtime& runtime,
                                          std::unique_ptr<ProcessBody> server,
                                          Payload init, StartOptions options,
                                          SpawnOptions spawn) {
  auto arrival = std::make_shared<internal::Arrival<absl::StatusOr<Pid>>>();
  StartWith(runtime, std::move(server), std::move(init), std::move(options),
            std::move(spawn), [arrival](absl::StatusOr<Pid> pid) {
              arrival->Set(std::move(pid));
            });
  return Pending<absl::StatusOr<Pid>>(std::move(arrival));
}

Pending<absl::StatusOr<Monitored>> PendingMonitored(
    Context& self, std::unique_ptr<ProcessBody> server, Payload init,
    StartOptions options, SpawnOptions spawn) {
  auto arrival =
      std::make_shared<internal::Arrival<absl::StatusOr<Monitored>>>();
  auto monitor = std::make_shared<MonitorRef>();
  spawn.monitor_by = self.pid();
  spawn.monitor = monitor;
  StartWith(self.runtime(), std::move(server), std::move(init),
            std::move(options), std::move(spawn),
            [arrival, monitor](absl::StatusOr<Pid> pid) {
              if (pid.ok()) {
                arrival->Set(Monitored(*std::move(pid), *monitor));
              } else {
                arrival->Set(std::move(pid).status());
              }
            });
  return Pending<absl::StatusOr<Monitored>>(std::move(arrival));
}

}  // namespace

Pending<absl::StatusOr<Pid>> Start(Runtime& runtime,
                                   std::unique_ptr<ProcessBody> server,
                                   Payload init, StartOptions options) {
  return PendingStart(runtime, std::move(server), std::move(init),
                      std::move(options), SpawnOptions());
}

Pending<absl::StatusOr<Pid>> Start(Context& self,
                                   std::unique_ptr<ProcessBody> server,
                                   Payload init, StartOptions options) {
  SpawnOptions spawn;
  spawn.starter = self.pid();
  return PendingStart(self.runtime(), std::move(server), std::move(init),
                      std::move(options), std::move(spawn));
}

Pending<absl::StatusOr<Pid>> StartLink(Context& self,
                                       std::unique_ptr<ProcessBody> server,
                                       Payload init, StartOptions options) {
  SpawnOptions spawn;
  spawn.starter = self.pid();
  spawn.link_to = self.pid();
  return PendingStart(self.runtime(), std::move(server), std::move(init),
                      std::move(options), std::move(spawn));
}

Pending<absl::StatusOr<Monitored>> StartMonitor(
    Context& self, std::unique_ptr<ProcessBody> server, Payload init,
    StartOptions options) {
  SpawnOptions spawn;
  spawn.starter = self.pid();
  return PendingMonitored(self, std::move(server), std::move(init),
                          std::move(options), std::move(spawn));
}

Pending<absl::StatusOr<Monitored>> StartLinkMonitor(
    Context& self, std::unique_ptr<ProcessBody> server, Payload init,
    StartOptions options) {
  SpawnOptions spawn;
  spawn.starter = self.pid();
  spawn.link_to = self.pid();
  return PendingMonitored(self, std::move(server), std::move(init),
                          std::move(options), std::move(spawn));
}

}  // namespace muster
