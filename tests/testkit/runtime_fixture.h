// SimRuntime and ThreadRuntime: a Runtime with all it needs, for tests of
// processes, servers and supervisors.
//
// SimRuntime runs in virtual time on the test's own thread, from one seed;
// ThreadRuntime on real threads, for the few tests that are about threads.
#ifndef MUSTER_TESTS_TESTKIT_RUNTIME_FIXTURE_H_
#define MUSTER_TESTS_TESTKIT_RUNTIME_FIXTURE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/check.h"
#include "node/base/clock.h"
#include "node/base/fence.h"
#include "node/base/random.h"
#include "node/base/scheduler.h"
#include "node/base/thread_scheduler.h"
#include "node/gen_server/gen_server.h"
#include "node/gen_server/runtime_caller.h"
#include "node/gen_server/start.h"
#include "node/process/caller.h"
#include "node/process/runtime.h"
#include "node/types/exit_reason.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "tests/testkit/capture_logger.h"
#include "tests/testkit/sim_world.h"

namespace muster {

// A node called "a" of epoch {1, 7}.
RuntimeOptions TestRuntimeOptions();

struct SimRuntimeOptions {
  uint64_t seed = 1;
  RuntimeOptions runtime = TestRuntimeOptions();
  // False: the fence never closes.
  bool fenced = false;
};

// LIFETIME: its destructor kills what still runs and requires that nothing is
// left. THREADS: the one that made it.
class SimRuntime {
 public:
  explicit SimRuntime(SimRuntimeOptions options = SimRuntimeOptions());
  ~SimRuntime();
  SimRuntime(const SimRuntime&) = delete;
  SimRuntime& operator=(const SimRuntime&) = delete;

  SimWorld& world() { return world_; }
  Scheduler& scheduler() { return scheduler_; }
  Runtime& runtime() { return *runtime_; }
  Fence& fence() { return *fence_; }
  CaptureLogger& log() { return log_; }
  RuntimeCaller& caller() { return caller_; }

  BootTime Now() { return scheduler_.clock().Boot(); }
  // Runs what can run without time moving.
  void RunReady() { world_.RunReady(); }
  void RunFor(absl::Duration span) { world_.RunFor(span); }
  bool RunUntil(absl::FunctionRef<bool()> done,
                absl::Duration within = absl::Hours(24)) {
    return world_.RunUntil(done, within);
  }

  // Runs until the value is there; the test dies if it does not come within a
  // day of virtual time.
  template <typename T>
  T Await(Pending<T> pending) {
    auto value = std::make_shared<std::optional<T>>();
    std::move(pending).Then(
        [value](T arrived) { value->emplace(std::move(arrived)); });
    RunUntil([&] { return value->has_value(); });
    MUSTER_CHECK(value->has_value(), "what the test waits for never came");
    return *std::move(*value);
  }

  // Calls and casts as a client outside the runtime does.
  template <typename Response, typename Request>
  absl::StatusOr<Response> Call(const ServerRef& to, absl::string_view path,
                                Request request,
                                CallOptions options = CallOptions()) {
    return Await(internal::TypedCall<Response>(caller_, to, path,
                                               std::move(request), options));
  }
  template <typename Request>
  absl::Status Cast(const ServerRef& to, absl::string_view path,
                    Request request) {
    return Await(internal::TypedCast(caller_, to, path, std::move(request),
                                     CallOptions()));
  }

  absl::StatusOr<Pid> Start(std::unique_ptr<ProcessBody> server,
                            Payload init = Payload(),
                            StartOptions options = StartOptions());
  absl::StatusOr<Pid> Start(std::unique_ptr<ProcessBody> server,
                            absl::string_view name);
  // exit(shutdown) from the system, then kill; how it ended.
  ExitReason Stop(const Pid& pid,
                  absl::Duration limit = absl::InfiniteDuration());
  bool Alive(const Pid& pid) { return runtime_->Find(pid) != nullptr; }

 private:
  SimWorld world_;
  Scheduler& scheduler_;
  CaptureLogger log_;
  std::unique_ptr<Fence> fence_;
  std::unique_ptr<Runtime> runtime_;
  RuntimeCaller caller_;
};

// LIFETIME: as SimRuntime. THREADS: any thread but its workers may call it.
class ThreadRuntime {
 public:
  explicit ThreadRuntime(int workers,
                         RuntimeOptions options = TestRuntimeOptions());
  ~ThreadRuntime();
  ThreadRuntime(const ThreadRuntime&) = delete;
  ThreadRuntime& operator=(const ThreadRuntime&) = delete;

  Runtime& runtime() { return *runtime_; }
  CaptureLogger& log() { return log_; }
  RuntimeCaller& caller() { return caller_; }

  template <typename Response, typename Request>
  absl::StatusOr<Response> Call(const ServerRef& to, absl::string_view path,
                                Request request,
                                CallOptions options = CallOptions()) {
    return internal::TypedCall<Response>(caller_, to, path, std::move(request),
                                         options)
        .Wait();
  }
  absl::StatusOr<Pid> Start(std::unique_ptr<ProcessBody> server,
                            Payload init = Payload(),
                            StartOptions options = StartOptions()) {
    return muster::Start(*runtime_, std::move(server), std::move(init),
                         std::move(options))
        .Wait();
  }
  // Blocks until `pid` has ended.
  void AwaitExit(const Pid& pid);

 private:
  SystemClock clock_;
  SystemRandom random_;
  CaptureLogger log_;
  Fence fence_;
  ThreadScheduler scheduler_;
  std::unique_ptr<Runtime> runtime_;
  RuntimeCaller caller_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_TESTKIT_RUNTIME_FIXTURE_H_
