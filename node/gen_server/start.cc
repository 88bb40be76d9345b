#include "node/gen_server/start.h"

#include <atomic>
#include <utility>

namespace muster {
namespace {

using Arrival = internal::Arrival<absl::StatusOr<Pid>>;

Pending<absl::StatusOr<Pid>> Spawn(Runtime& runtime,
                                   std::unique_ptr<ProcessBody> server,
                                   Payload init, SpawnOptions spawn) {
  auto arrival = std::make_shared<Arrival>();
  // Init may have finished before Spawn has told the pid: whoever is second
  // reports.
  struct Shared {
    Mutex mu;
    Pid pid ABSL_GUARDED_BY(mu);
    bool spawned ABSL_GUARDED_BY(mu) = false;
    bool started ABSL_GUARDED_BY(mu) = false;
  };
  auto shared = std::make_shared<Shared>();
  Pid pid = runtime.Spawn(std::move(server), std::move(init), std::move(spawn),
                          [arrival, shared](absl::Status status) {
                            if (!status.ok()) {
                              arrival->Set(std::move(status));
                              return;
                            }
                            Pid ready;
                            {
                              MutexLock lock(&shared->mu);
                              shared->started = true;
                              if (!shared->spawned) return;
                              ready = shared->pid;
                            }
                            arrival->Set(std::move(ready));
                          });
  bool started;
  {
    MutexLock lock(&shared->mu);
    shared->pid = pid;
    shared->spawned = true;
    started = shared->started;
  }
  if (started) arrival->Set(std::move(pid));
  return Pending<absl::StatusOr<Pid>>(std::move(arrival));
}

}  // namespace

Pending<absl::StatusOr<Pid>> Start(Runtime& runtime,
                                   std::unique_ptr<ProcessBody> server,
                                   Payload init, StartOptions options) {
  SpawnOptions spawn;
  spawn.local_name = std::move(options.name);
  spawn.timeout = options.timeout;
  spawn.hibernate_after = options.hibernate_after;
  return Spawn(runtime, std::move(server), std::move(init), std::move(spawn));
}

Pending<absl::StatusOr<Pid>> StartLink(Context& self,
                                       std::unique_ptr<ProcessBody> server,
                                       Payload init, StartOptions options) {
  SpawnOptions spawn;
  spawn.local_name = std::move(options.name);
  spawn.timeout = options.timeout;
  spawn.hibernate_after = options.hibernate_after;
  spawn.link_to = self.pid();
  return Spawn(self.runtime(), std::move(server), std::move(init),
               std::move(spawn));
}

}  // namespace muster
