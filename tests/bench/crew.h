// Crew: processes that do the measured work themselves.
#ifndef MUSTER_TESTS_BENCH_CREW_H_
#define MUSTER_TESTS_BENCH_CREW_H_

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "node/gen_server/gen_server.h"
#include "node/process/context.h"
#include "node/process/runtime.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "tests/bench/mutex_queue.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {

// Operations that a process does before the measuring thread is told.
inline constexpr int64_t kBatch = 1'000;

// A mailbox takes all that a benchmark sends.
inline RuntimeOptions Roomy() {
  RuntimeOptions options = TestRuntimeOptions();
  options.mailbox_messages_max = 1'000'000;
  return options;
}

// LIFETIME: the node outlives it. THREADS: one runs it.
class Crew {
 public:
  // Does something `count` times, then calls Done(). Usually a coroutine.
  using Work = std::function<Next(int64_t count, Context& self, Crew& crew)>;

  Crew(ThreadRuntime* node, int size, const Work& work) : node_(node) {
    for (int i = 0; i < size; ++i) {
      Script script;
      script.cast = [this, work](int64_t count, Context& self) {
        return work(count, self, *this);
      };
      pids_.push_back(
          node->Start(ScriptServer::Make(std::move(script))).value());
    }
  }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // Each member works `count` times; returns when all have.
  void Run(int64_t count) {
    for (const Pid& pid : pids_) {
      ScriptCast(node_->caller(), ServerRef(pid), count).Wait().IgnoreError();
    }
    for (size_t i = 0; i < pids_.size(); ++i) done_.Pop();
  }
  void Done() { done_.Push(true); }

 private:
  ThreadRuntime* const node_;
  std::vector<Pid> pids_;
  MutexQueue<bool> done_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_BENCH_CREW_H_
