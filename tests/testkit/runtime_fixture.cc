#include "tests/testkit/runtime_fixture.h"

namespace muster {

RuntimeOptions TestRuntimeOptions() {
  RuntimeOptions options;
  options.node = "a";
  options.epoch = Epoch{1, 7};
  return options;
}

SimRuntime::SimRuntime(SimRuntimeOptions options)
    : world_(options.seed),
      scheduler_(world_.AddLane(options.runtime.node)),
      fence_(options.fenced ? std::make_unique<Fence>(absl::Milliseconds(100))
                            : std::make_unique<Fence>()),
      runtime_(std::make_unique<Runtime>(
          options.runtime, &scheduler_, &world_.random(), &log_, fence_.get())),
      caller_(runtime_.get()) {}

SimRuntime::~SimRuntime() {
  runtime_->KillAll();
  world_.RunReady();
  MUSTER_CHECK(runtime_->process_count() == 0, "a process survived its kill");
  // No residue (otp 16.1.9).
  const RuntimeTables tables = runtime_->Tables();
  MUSTER_CHECK(tables.names == 0, "a name outlived its process");
  MUSTER_CHECK(tables.links == 0 && tables.watched == 0,
               "a link or watcher outlived its process");
  MUSTER_CHECK(tables.monitors == 0, "a monitor outlived its process");
  MUSTER_CHECK(tables.sleeps == 0 && tables.aliases == 0,
               "a sleep or alias outlived its process");
  MUSTER_CHECK(tables.calls == 0, "a call has no end");
  world_.KillLane(scheduler_);
}

absl::StatusOr<Pid> SimRuntime::Start(std::unique_ptr<ProcessBody> server,
                                      Payload init, StartOptions options) {
  return Await(muster::Start(*runtime_, std::move(server), std::move(init),
                             std::move(options)));
}

absl::StatusOr<Pid> SimRuntime::Start(std::unique_ptr<ProcessBody> server,
                                      absl::string_view name) {
  StartOptions options;
  options.name = std::string(name);
  return Start(std::move(server), Payload(), std::move(options));
}

ExitReason SimRuntime::Stop(const Pid& pid, absl::Duration limit) {
  auto arrival = std::make_shared<internal::Arrival<ExitReason>>();
  runtime_->Stop(Pid(), pid, limit, [arrival](ExitReason reason) {
    arrival->Set(std::move(reason));
  });
  return Await(Pending<ExitReason>(std::move(arrival)));
}

ThreadRuntime::ThreadRuntime(int workers, RuntimeOptions options)
    : scheduler_(&clock_, {.workers = workers}),
      runtime_(std::make_unique<Runtime>(std::move(options), &scheduler_,
                                         &random_, &log_, &fence_)),
      caller_(runtime_.get()) {}

ThreadRuntime::~ThreadRuntime() {
  runtime_->KillAll();
  for (const ProcessInfo& process : runtime_->List()) AwaitExit(process.pid);
  MUSTER_CHECK(runtime_->process_count() == 0, "a process survived its kill");
  scheduler_.Stop();
}

void ThreadRuntime::AwaitExit(const Pid& pid) {
  internal::BlockUntil([&](absl::AnyInvocable<void()> done) {
    runtime_->ObserveExit(
        pid, [done = std::move(done)](const ExitReason&) mutable { done(); });
  });
}

}  // namespace muster
