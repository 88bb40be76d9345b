// Strand: closures that run one after another on a Scheduler.
//
// For objects that are used by many threads and want to think as one: they
// post their work to a strand of theirs and need no lock.
#ifndef MUSTER_NODE_BASE_STRAND_H_
#define MUSTER_NODE_BASE_STRAND_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "node/base/clock.h"
#include "node/base/scheduler.h"

namespace muster {

// Owns a FIFO of closures, of which one at a time runs on a worker.
//
// LIFETIME: the scheduler outlives the strand. Destroying it is Close(). When
// the scheduler drops what it was given, the strand drops what it holds.
// THREADS: any thread may call any method at any time, also from inside a
// closure; only the destructor excludes all other calls.
// ORDER: closures run in the order of Post; a timer's closure joins the end of
// the FIFO when it is due.
class Strand {
 public:
  explicit Strand(Scheduler* scheduler);
  ~Strand();
  Strand(const Strand&) = delete;
  Strand& operator=(const Strand&) = delete;

  // Runs `work` once, soon, never inside this call. After Close() it is
  // destroyed at once.
  void Post(absl::AnyInvocable<void()> work);

  // Runs `work` once at `due` or later. 0 after Close().
  TimerId At(BootTime due, absl::AnyInvocable<void()> work);

  // True: the timer had not begun to run and will not. From inside a closure
  // of this strand that is certain: false means it has run or was cancelled.
  bool Cancel(TimerId id);

  // Drops what is waiting. When it returns nothing of this strand is running,
  // except the closure that called it, and nothing will.
  void Close();

  // True inside a closure of this strand.
  bool RunningHere() const;

 private:
  class Core;

  const std::shared_ptr<Core> core_;
};

}  // namespace muster

#endif  // MUSTER_NODE_BASE_STRAND_H_
