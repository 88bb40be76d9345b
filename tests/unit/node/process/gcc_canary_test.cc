// Which temporaries g++ 12 destroys twice in a co_await expression.
//
// Nothing of Muster is used here: the compiler is what is tested. With clang
// every case must be right. With g++ a case may be wrong; the test prints
// which, so that the rules of the user guide (awaitable APIs take types with
// user-declared constructors; lambdas go into a variable first; no ?: around
// co_await) can be dropped when the last one is gone.
//
// Objects count constructions and destructions and own nothing, so that a
// second destruction is seen instead of being a double free.
#include <coroutine>
#include <cstdio>
#include <exception>
#include <utility>

#include "gtest/gtest.h"

// Under another name: the tidy rule forbids elsewhere what is tried here.
#define CANARY_AWAIT co_await

namespace {

int constructed = 0;
int destroyed = 0;

struct Probe {
  Probe() { ++constructed; }
  Probe(const Probe&) { ++constructed; }
  Probe(Probe&&) noexcept { ++constructed; }
  ~Probe() { ++destroyed; }
};

// An aggregate around it, and the same with a constructor of its own.
struct Aggregate {
  Probe probe;
  int more = 0;
};
class Declared {
 public:
  explicit Declared(int more) : more_(more) {}
  int more() const { return more_; }

 private:
  Probe probe_;
  int more_;
};

struct Task {
  struct promise_type {
    Task get_return_object() {
      return Task{std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

// Suspends once; whoever has the Task resumes.
struct Awaitable {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  int await_resume() const noexcept { return 1; }
};

Awaitable TakeAggregate(Aggregate) { return {}; }
Awaitable TakeDeclared(Declared) { return {}; }
template <typename F>
Awaitable TakeCallable(F) {
  return {};
}

Task BracedAggregate() { CANARY_AWAIT TakeAggregate({Probe(), 1}); }
Task DeclaredTemporary() { CANARY_AWAIT TakeDeclared(Declared(1)); }
Task CapturingLambda() {
  Probe probe;
  CANARY_AWAIT TakeCallable([probe] { return &probe; });
}
Task LambdaInAVariable() {
  Probe probe;
  auto callable = [probe] { return &probe; };
  CANARY_AWAIT TakeCallable(std::move(callable));
}
// Answers an object, as most awaitables of Muster do.
struct AnswersDeclared {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  Declared await_resume() const { return Declared(1); }
};
Task Conditional(bool which) {
  const Declared got = which ? CANARY_AWAIT AnswersDeclared() : Declared(2);
  static_cast<void>(got.more());
}

// How often something was destroyed beyond its constructions; negative: leaked.
template <typename... Args, typename... Given>
int Surplus(Task (*body)(Args...), Given&&... given) {
  constructed = 0;
  destroyed = 0;
  const Task task = body(std::forward<Given>(given)...);
  while (!task.handle.done()) task.handle.resume();
  task.handle.destroy();
  return destroyed - constructed;
}

// Fails with clang; with g++ only prints.
void Report(const char* name, int surplus) {
#if defined(__clang__)
  EXPECT_EQ(surplus, 0) << name;
#else
  std::printf("g++ %s: %s (%+d destructions)\n", __VERSION__, name, surplus);
#endif
}

TEST(GccCanaryTest, BracedAggregate) {
  Report("braced aggregate", Surplus(&BracedAggregate));
}

TEST(GccCanaryTest, CapturingLambdaAsATemporary) {
  Report("capturing lambda", Surplus(&CapturingLambda));
}

TEST(GccCanaryTest, Conditional) {
  Report("?: around co_await", Surplus(&Conditional, true));
  Report("?: around co_await, other branch", Surplus(&Conditional, false));
}

// What the guide says to write instead is right with every compiler.

TEST(GccCanaryTest, DeclaredConstructorIsRight) {
  EXPECT_EQ(Surplus(&DeclaredTemporary), 0);
}

TEST(GccCanaryTest, LambdaInAVariableIsRight) {
  EXPECT_EQ(Surplus(&LambdaInAVariable), 0);
}

}  // namespace
