// Linearizability of one object: the search of Wing and Gong with Lowe's
// just-in-time order and memo.
//
// Walks the invocations and returns in their order. At a return the operation
// must have taken effect; which others took effect before it is tried out.
// A configuration (place in the history, state of the object, operations that
// have taken effect but not returned) is never tried twice.
#ifndef MUSTER_TESTS_CHECKERS_WGL_H_
#define MUSTER_TESTS_CHECKERS_WGL_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace muster {

// One operation on the object.
struct LinearOp {
  // When its effect may be unknown it has no end: it may have taken effect at
  // any time after `invoke`, or never.
  static constexpr int64_t kOpen = std::numeric_limits<int64_t>::max();

  // In any unit that is the same for all; a return at t precedes an invocation
  // at t.
  int64_t invoke = 0;
  int64_t end = kOpen;
  // What the model wants to know. Open operations with equal `what`, `argument`
  // and `result` are interchangeable.
  int what = 0;
  int64_t argument = 0;
  int64_t result = 0;
};

// Whether `op` may take effect in `state`, and the state after it. An open
// operation has no result to compare.
using LinearModel = std::function<bool(const LinearOp& op, int64_t* state)>;

struct LinearResult {
  enum class Verdict { kLinearizable, kNot, kGaveUp };
  Verdict verdict = Verdict::kLinearizable;
  // With kNot: index of the operation whose return no order explains.
  size_t stuck_at = 0;
  uint64_t configurations = 0;
};

// `configurations_max`: gives up after so many.
LinearResult CheckLinearizable(const std::vector<LinearOp>& ops, int64_t state,
                               const LinearModel& model,
                               uint64_t configurations_max = 20'000'000);

}  // namespace muster

#endif  // MUSTER_TESTS_CHECKERS_WGL_H_
