// SimWorld: many nodes in one thread, from one seed.
//
// Gives each simulated node a lane: a Scheduler whose tasks run only when the
// test steps the world. The seed decides which lane runs next; time moves only
// when nothing can run.
#ifndef MUSTER_TESTS_TESTKIT_SIM_WORLD_H_
#define MUSTER_TESTS_TESTKIT_SIM_WORLD_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/clock.h"
#include "node/base/scheduler.h"
#include "tests/testkit/sim_clock.h"
#include "tests/testkit/sim_random.h"

namespace muster {

struct SimWorldOptions {
  // False: a lane runs its tasks in the order in which they became ready.
  // True: in any order, which Scheduler allows.
  bool shuffle_lanes = false;
  // The clocks of the lanes start at different readings, as those of different
  // hosts do, at most this far apart.
  absl::Duration boot_spread = absl::Hours(1);
  // More steps than this without time moving end the test: something wakes
  // itself for ever.
  size_t steps_at_one_time_max = 1'000'000;
  // Sees every line that goes into the trace hash; for debugging.
  std::function<void(absl::string_view line)> on_trace;
};

// Owns the lanes, the time and the dice of one simulation.
//
// LIFETIME: outlives everything that runs in it. Destroying it kills all
// lanes. THREADS: all calls, those to lanes included, come from the thread
// that made it.
class SimWorld {
 public:
  explicit SimWorld(uint64_t seed, SimWorldOptions options = {});
  ~SimWorld();
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;

  uint64_t seed() const { return seed_; }
  // The world's time. Each lane has a clock of its own with another reading,
  // and another speed if it was given one.
  SimClock& clock() { return clock_; }
  // Feeds everything that is left to chance in this world.
  SimRandom& random() { return random_; }

  // A scheduler for one incarnation of a node. Valid as long as the world.
  // Block() runs its work as an ordinary task, outside OnWorker(). `rate`: how
  // much faster than the world's its clock runs (guarantees A2).
  Scheduler& AddLane(std::string name, double rate = 1.0);

  // The node's process dies: all that waits on the lane is dropped, and so is
  // what comes later. A task of the lane that is running goes on to its end.
  // A node that starts again gets a new lane. Twice does nothing.
  void KillLane(Scheduler& lane);

  // A paused lane keeps its work and its clock goes on, as when the OS stops a
  // process or a host is overloaded.
  void PauseLane(Scheduler& lane);
  void ResumeLane(Scheduler& lane);

  // Runs one ready task of a lane chosen by the seed; if none is ready, moves
  // time to the next timer first. False: nothing is left to run.
  bool Step();

  // Steps until `done()` or until the world's time would pass `deadline`.
  // Returns the last answer of `done`, which is asked before each step. If
  // nothing is left to run, time moves to a finite `deadline` all the same.
  bool RunUntil(absl::FunctionRef<bool()> done, BootTime deadline);
  bool RunUntil(absl::FunctionRef<bool()> done, absl::Duration within);
  // Runs all that happens within `span`; time has then moved by exactly that.
  void RunFor(absl::Duration span);
  // Runs what can run without time moving.
  void RunReady();

  // Adds a line to the trace: what happened and must be the same in every run
  // of the seed.
  void Trace(absl::string_view line);
  // Hash of all steps (lane, kind, time) and lines so far.
  uint64_t trace_hash() const { return trace_hash_; }
  uint64_t steps() const { return steps_; }

 private:
  class Lane;

  Lane* Find(Scheduler& lane) const;
  // Moves expired timers of all lanes to their ready queues.
  void MoveExpired();
  // When the next timer of a lane that can run is due.
  BootTime NextDue() const;
  // Runs one ready task; false if there is none.
  bool RunOne();
  void AdvanceTo(BootTime to);
  void Hash(absl::string_view bytes);
  void Hash(uint64_t number);
  // Adds a step of a lane to the trace.
  void TraceStep(absl::string_view lane, absl::string_view kind);
  void CheckThread() const;

  // Constant after construction.
  const uint64_t seed_;
  const SimWorldOptions options_;
  const std::thread::id thread_;

  // Owned by the thread of the simulation.
  SimClock clock_;
  SimRandom random_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  // Those that are not dead, in the order of their making.
  std::vector<Lane*> living_;
  std::vector<Lane*> can_run_;  // Scratch of RunOne.
  bool stepping_ = false;
  uint64_t steps_ = 0;
  size_t steps_at_one_time_ = 0;
  // What was due by then has been moved to the ready queues.
  BootTime moved_at_;
  // Something may be due at that time all the same.
  bool due_since_ = true;
  uint64_t trace_hash_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_TESTKIT_SIM_WORLD_H_
