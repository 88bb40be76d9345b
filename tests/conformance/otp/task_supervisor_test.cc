// Elixir's task/supervisor_test: one piece of work in a process of its own.
#include "node/supervisor/task_supervisor.h"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/supervisor/supervisor.h"
#include "node/supervisor/task_stream.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/conformance/otp/actor.h"
#include "tests/conformance/otp/expect.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/testkit/runtime_fixture.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Code = absl::StatusCode;

class TaskSupervisorCases : public ::testing::Test {
 protected:
  Pid StartTasks(TaskSupervisorSpec spec = TaskSupervisorSpec()) {
    absl::StatusOr<Pid> pid = sim_.Start(MakeTaskSupervisor(spec), "tasks");
    EXPECT_TRUE(pid.ok()) << pid.status();
    return pid.value_or(Pid());
  }
  static ServerRef Tasks() { return ServerRef::Local("tasks"); }
  TaskSupervisorClient Outside() {
    return TaskSupervisorClient(sim_.caller(), Tasks());
  }
  // A process that runs a test's lines; it notes the infos that it gets.
  Pid StartCaller(bool trap = false) {
    auto on_info = [this](Info info, Context&) -> Next {
      if (const Exit* exit = info.As<Exit>()) {
        infos_.push_back("exit " + exit->reason.ToString());
      } else if (const Down* down = info.As<Down>()) {
        infos_.push_back("down " + down->reason.ToString());
      } else if (const auto* done = info.As<TaskDone<int>>()) {
        infos_.push_back(
            done->result.ok()
                ? absl::StrCat("done ", *done->result)
                : absl::StrCat("failed ", done->result.status().message()));
      } else {
        infos_.push_back(info.type());
      }
      return NoReply();
    };
    const Pid pid = *sim_.Start(std::make_unique<Actor>(on_info));
    if (trap) {
      Act act = [](Context& self) -> Next {
        self.TrapExit(true);
        return NoReply();
      };
      Tell(sim_.runtime(), pid, std::move(act));
      sim_.RunReady();
    }
    sim_.runtime().ObserveExit(
        pid, [this](ExitReason reason) { caller_ended_ = std::move(reason); });
    return pid;
  }
  // Lets the caller run `act`, as far as it comes without time moving.
  void Do(const Pid& pid, Act act) {
    Tell(sim_.runtime(), pid, std::move(act));
    sim_.RunReady();
  }
  std::vector<Pid> Children() { return *sim_.Await(Outside().Children()); }

  std::vector<std::string> infos_;
  std::optional<ExitReason> caller_ended_;
  SimRuntime sim_;
};

TaskResult<int> Forever(Context& self) {
  co_await self.Sleep(absl::Hours(10));
  co_return 0;
}

TEST_F(TaskSupervisorCases, ETS01_SeveralAreSupervisedUnderTheirNames) {
  OTP_CASE("ETS.01", "D8");
  SupervisorSpec top;
  top.children = {TaskSupervisorChild("one"), TaskSupervisorChild("two")};
  ASSERT_TRUE(sim_.Start(*Supervisor::Make(top), "top").ok());
  TaskSupervisorClient one(sim_.caller(), ServerRef::Local("one"));
  TaskSupervisorClient two(sim_.caller(), ServerRef::Local("two"));
  ASSERT_TRUE(sim_.Await(one.StartChild(Forever)).ok());
  EXPECT_THAT(*sim_.Await(one.Children()), SizeIs(1));
  EXPECT_THAT(*sim_.Await(two.Children()), IsEmpty());
  TaskSupervisorClient none(sim_.caller(), ServerRef::Local("none"));
  EXPECT_TRUE(IsError(sim_.Await(none.StartChild(Forever)).status(),
                      Code::kNotFound, "NOPROC", Outcome::kNotExecuted));
}

TEST_F(TaskSupervisorCases, ETS02_TasksAreListedAndCounted) {
  OTP_CASE("ETS.02", "D8");
  StartTasks();
  EXPECT_THAT(Children(), IsEmpty());
  const Pid first = *sim_.Await(Outside().StartChild(Forever));
  const Pid second = *sim_.Await(Outside().StartChild(Forever));
  EXPECT_THAT(Children(), ElementsAre(first, second));
  EXPECT_EQ(sim_.Await(Outside().CountChildren())->active, 2u);
  EXPECT_EQ(sim_.Await(Outside().CountChildren())->workers, 2u);
}

TEST_F(TaskSupervisorCases, ETS02_OneThatIsBeingRestartedIsNotListed) {
  OTP_CASE("ETS.02", "D8 S21");
  TaskSupervisorSpec spec;
  spec.intensity = 100'000;
  StartTasks(spec);
  TaskOptions options;
  options.restart = Restart::kTransient;
  int runs = 0;
  auto work = [&runs](Context& self) -> TaskResult<int> {
    ++runs;
    co_await self.Sleep(absl::Seconds(1));
    if (runs < 3) throw std::runtime_error("oops");
    co_return 1;
  };
  ASSERT_TRUE(sim_.Await(Outside().StartChild(work, options)).ok());
  sim_.RunFor(absl::Milliseconds(2500));
  EXPECT_EQ(runs, 3);  // Restarted after each crash.
  EXPECT_THAT(Children(), SizeIs(1));
  sim_.RunFor(absl::Seconds(1));
  EXPECT_THAT(Children(), IsEmpty());  // Done.
  EXPECT_EQ(runs, 3);
}

TEST_F(TaskSupervisorCases, ETS03_AsyncGivesTheResultAndIsLinked) {
  OTP_CASE("ETS.03", "D8");
  StartTasks();
  const Pid caller = StartCaller(/*trap=*/true);
  std::optional<absl::StatusOr<int>> value;
  std::optional<Pid> task_pid;
  Act act = [&](Context& self) -> Next {
    TaskSupervisorClient tasks(self, Tasks());
    auto work = [](Context& task) -> TaskResult<int> {
      co_await task.Sleep(absl::Seconds(1));
      co_return 42;
    };
    absl::StatusOr<AsyncTask<int>> task = co_await tasks.Async<int>(work);
    if (!task.ok()) co_return Stop(ExitReason::Custom("no task"));
    task_pid = task->pid();
    value = co_await task->Await(absl::Seconds(5));
    co_return NoReply();
  };
  Do(caller, std::move(act));
  ASSERT_TRUE(task_pid.has_value());
  EXPECT_THAT(Children(), ElementsAre(*task_pid));
  sim_.RunFor(absl::Seconds(2));
  ASSERT_TRUE(value.has_value());
  ASSERT_TRUE(value->ok()) << value->status();
  EXPECT_EQ(**value, 42);
  EXPECT_THAT(infos_, ElementsAre("exit normal"));  // By the link.
  EXPECT_THAT(Children(), IsEmpty());
}

TEST_F(TaskSupervisorCases, ETS03_EitherTakesTheOtherDown) {
  OTP_CASE("ETS.03", "D8");
  const Pid tasks_pid = StartTasks();
  // The caller dies: so does the task.
  Act act = [](Context& self) -> Next {
    TaskSupervisorClient tasks(self, Tasks());
    absl::StatusOr<AsyncTask<int>> task = co_await tasks.Async<int>(Forever);
    absl::StatusOr<int> value = co_await task->Await(absl::Hours(1));
    co_return NoReply();
  };
  Pid caller = StartCaller();
  Do(caller, act);
  ASSERT_THAT(Children(), SizeIs(1));
  std::optional<ExitReason> ended;
  sim_.runtime().ObserveExit(Children()[0], [&](ExitReason r) { ended = r; });
  sim_.runtime().SendExit(Pid(), caller, ExitReason::Kill());
  sim_.RunReady();
  EXPECT_EQ(ended, ExitReason::Killed());
  EXPECT_THAT(Children(), IsEmpty());
  // The task dies: so does the caller.
  caller_ended_.reset();
  caller = StartCaller();
  Do(caller, act);
  ASSERT_THAT(Children(), SizeIs(1));
  sim_.runtime().SendExit(Pid(), Children()[0], ExitReason::Custom("x"));
  sim_.RunReady();
  EXPECT_EQ(caller_ended_, ExitReason::Custom("x"));
  EXPECT_TRUE(sim_.Alive(tasks_pid));
}

TEST_F(TaskSupervisorCases, ETS03_AFunctionMayAnswerAnError) {
  OTP_CASE("ETS.03", "D8");
  StartTasks();
  auto work = [](Context&) -> TaskResult<int> {
    return absl::NotFoundError("nothing");
  };
  absl::StatusOr<AsyncTask<int>> task = sim_.Await(Outside().Async<int>(work));
  ASSERT_TRUE(task.ok()) << task.status();
  absl::StatusOr<int> value = sim_.Await(task->Await(absl::Seconds(1)));
  EXPECT_EQ(value.status().message(), "nothing");
  EXPECT_EQ(OutcomeOf(value.status()), Outcome::kExecuted);
}

TEST_F(TaskSupervisorCases, ETS03_AwaitThatIsOverGivesUpTheResult) {
  OTP_CASE("ETS.03", "D8 C9");
  StartTasks();
  auto work = [](Context& self) -> TaskResult<int> {
    co_await self.Sleep(absl::Seconds(10));
    co_return 1;
  };
  absl::StatusOr<AsyncTask<int>> task = sim_.Await(Outside().Async<int>(work));
  ASSERT_TRUE(task.ok());
  // Yield gives nothing up.
  EXPECT_FALSE(sim_.Await(task->Yield(absl::Seconds(1))).has_value());
  EXPECT_TRUE(IsError(sim_.Await(task->Await(absl::Seconds(1))).status(),
                      Code::kDeadlineExceeded, "TIMEOUT", Outcome::kUnknown));
  EXPECT_TRUE(sim_.Alive(task->pid()));  // It goes on.
  sim_.RunFor(absl::Seconds(10));
  EXPECT_FALSE(sim_.Alive(task->pid()));
  EXPECT_FALSE(sim_.Await(task->Yield(absl::Seconds(1))).has_value());

  absl::StatusOr<AsyncTask<int>> other = sim_.Await(Outside().Async<int>(work));
  EXPECT_FALSE(sim_.Await(other->Yield(absl::Seconds(9))).has_value());
  EXPECT_EQ(*sim_.Await(other->Await(absl::Seconds(2))), 1);
}

TEST_F(TaskSupervisorCases, ETS03_EndStopsATaskOrTakesItsResult) {
  OTP_CASE("ETS.03", "D8");
  StartTasks();
  absl::StatusOr<AsyncTask<int>> task =
      sim_.Await(Outside().Async<int>(Forever));
  absl::StatusOr<int> value =
      sim_.Await(task->End(Shutdown::Within(absl::Seconds(1))));
  EXPECT_TRUE(IsError(value.status(), Code::kAborted, "CALLEE_EXITED",
                      Outcome::kUnknown));
  EXPECT_EQ(DetailOf(value.status(), "exit_reason"), "shutdown");
  auto quick = [](Context&) -> TaskResult<int> { return 7; };
  task = sim_.Await(Outside().Async<int>(quick));
  sim_.RunReady();
  EXPECT_EQ(*sim_.Await(task->End(Shutdown::BrutalKill())), 7);
}

TEST_F(TaskSupervisorCases, ETS04_ItsShutdownIsUsed) {
  OTP_CASE("ETS.04", "D8 S25");
  StartTasks();
  TaskOptions options;
  options.shutdown = Shutdown::BrutalKill();
  absl::StatusOr<AsyncTask<int>> task =
      sim_.Await(Outside().Async<int>(Forever, options));
  ASSERT_TRUE(task.ok());
  EXPECT_EQ(sim_.Await(Outside().TerminateChild(task->pid())),
            absl::OkStatus());
  absl::StatusOr<int> value = sim_.Await(task->Await(absl::Seconds(1)));
  EXPECT_EQ(DetailOf(value.status(), "exit_reason"), "killed");
  EXPECT_EQ(DetailOf(value.status(), "class"), "signal");
}

TEST_F(TaskSupervisorCases, ETS05_NestedTasksKnowTheirCallers) {
  OTP_CASE("ETS.05", "D8");
  StartTasks();
  const Pid caller = StartCaller();
  std::vector<Pid> outer_callers;
  std::vector<Pid> inner_callers;
  Pid outer;
  auto inner_work = [&](Context& self) -> TaskResult<int> {
    inner_callers = self.callers();
    return 1;
  };
  auto outer_work = [&](Context& self) -> TaskResult<int> {
    outer = self.pid();
    outer_callers = self.callers();
    TaskSupervisorClient tasks(self, Tasks());
    absl::StatusOr<AsyncTask<int>> task = co_await tasks.Async<int>(inner_work);
    absl::StatusOr<int> value = co_await task->Await(absl::Seconds(1));
    co_return value;
  };
  Act act = [&](Context& self) -> Next {
    EXPECT_THAT(self.callers(), IsEmpty());
    TaskSupervisorClient tasks(self, Tasks());
    absl::StatusOr<AsyncTask<int>> task = co_await tasks.Async<int>(outer_work);
    absl::StatusOr<int> value = co_await task->Await(absl::Seconds(1));
    EXPECT_EQ(value.value_or(0), 1);
    co_return NoReply();
  };
  Do(caller, std::move(act));
  EXPECT_THAT(outer_callers, ElementsAre(caller));
  EXPECT_THAT(inner_callers, ElementsAre(outer, caller));
}

TEST_F(TaskSupervisorCases, ETS06_NolinkLeavesTheCallerAlone) {
  OTP_CASE("ETS.06", "D8");
  StartTasks();
  const Pid caller = StartCaller();
  auto crash = [](Context&) -> TaskResult<int> {
    throw std::runtime_error("oops");
  };
  auto good = [](Context&) -> TaskResult<int> { return 3; };
  std::optional<absl::StatusOr<int>> crashed;
  Act act = [&](Context& self) -> Next {
    TaskSupervisorClient tasks(self, Tasks());
    absl::StatusOr<AsyncTask<int>> one = co_await tasks.AsyncNolink<int>(crash);
    crashed = co_await one->Await(absl::Seconds(1));
    // As messages: a crash is a Down, a value the result.
    absl::StatusOr<AsyncTask<int>> two = co_await tasks.AsyncNolink<int>(crash);
    std::move(*two).Deliver();
    absl::StatusOr<AsyncTask<int>> three =
        co_await tasks.AsyncNolink<int>(good);
    std::move(*three).Deliver();
    co_return NoReply();
  };
  Do(caller, std::move(act));
  ASSERT_TRUE(crashed.has_value());
  EXPECT_TRUE(IsError(crashed->status(), Code::kAborted, "CALLEE_EXITED",
                      Outcome::kUnknown));
  EXPECT_EQ(DetailOf(crashed->status(), "exit_reason"),
            "exception(std::runtime_error: oops)");
  EXPECT_TRUE(sim_.Alive(caller));
  EXPECT_THAT(infos_,
              ::testing::UnorderedElementsAre(
                  "down exception(std::runtime_error: oops)", "done 3"));
}

TEST_F(TaskSupervisorCases, ETS07_MaxChildrenIsKept) {
  OTP_CASE("ETS.07", "D8");
  TaskSupervisorSpec spec;
  spec.max_children = 1;
  StartTasks(spec);
  ASSERT_TRUE(sim_.Await(Outside().StartChild(Forever)).ok());
  EXPECT_TRUE(IsError(sim_.Await(Outside().AsyncNolink<int>(Forever)).status(),
                      Code::kResourceExhausted, "MAX_CHILDREN",
                      Outcome::kExecuted));
  // One whose result is wanted runs once.
  TaskOptions options;
  options.restart = Restart::kPermanent;
  EXPECT_TRUE(
      IsError(sim_.Await(Outside().AsyncNolink<int>(Forever, options)).status(),
              Code::kInvalidArgument, "NOT_TEMPORARY", Outcome::kNotExecuted));
}

TEST_F(TaskSupervisorCases, ETS08_AStartedTaskIsNotLinkedToItsCaller) {
  OTP_CASE("ETS.08", "D8");
  StartTasks();
  const Pid caller = StartCaller();
  absl::StatusOr<Pid> pid = Pid();
  auto work = [](Context& self) -> Next {
    co_await self.Sleep(absl::Seconds(1));
    throw std::runtime_error("oops");
  };
  Act act = [&](Context& self) -> Next {
    TaskSupervisorClient tasks(self, Tasks());
    pid = co_await tasks.StartChild(work);
    co_return NoReply();
  };
  Do(caller, std::move(act));
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_TRUE(sim_.Alive(*pid));
  sim_.RunFor(absl::Seconds(2));
  EXPECT_FALSE(sim_.Alive(*pid));
  EXPECT_TRUE(sim_.Alive(caller));
  EXPECT_THAT(infos_, IsEmpty());
  EXPECT_THAT(Children(), IsEmpty());  // Temporary.
}

TEST_F(TaskSupervisorCases, ETS09_ATaskIsTerminatedByPid) {
  OTP_CASE("ETS.09", "D8 D5");
  StartTasks();
  const Pid pid = *sim_.Await(Outside().StartChild(Forever));
  std::optional<ExitReason> ended;
  sim_.runtime().ObserveExit(pid, [&](ExitReason r) { ended = r; });
  EXPECT_EQ(sim_.Await(Outside().TerminateChild(pid)), absl::OkStatus());
  EXPECT_EQ(ended, ExitReason::Shutdown());
  EXPECT_TRUE(IsError(sim_.Await(Outside().TerminateChild(pid)),
                      Code::kNotFound, "NO_CHILD", Outcome::kExecuted));
}

TEST_F(TaskSupervisorCases, ETS10_ACallerEndsWithItsTasksReason) {
  OTP_CASE("ETS.10", "D8");
  StartTasks();
  const auto caller_ends_with =
      [&](absl::AnyInvocable<TaskResult<int>(Context&)> work) {
        caller_ended_.reset();
        Act act = [&](Context& self) -> Next {
          TaskSupervisorClient tasks(self, Tasks());
          absl::StatusOr<AsyncTask<int>> task =
              co_await tasks.Async<int>(std::move(work));
          absl::StatusOr<int> value = co_await task->Await(absl::Seconds(5));
          co_return NoReply();
        };
        const Pid caller = StartCaller();
        Do(caller, std::move(act));
        return caller_ended_.value_or(ExitReason::Normal()).ToString();
      };
  EXPECT_EQ(caller_ends_with([](Context& self) -> TaskResult<int> {
              co_await self.Sleep(absl::ZeroDuration());
              throw 3;
            }),
            "exception(a value of type int)");
  EXPECT_EQ(caller_ends_with([](Context& self) -> TaskResult<int> {
              co_await self.Sleep(absl::ZeroDuration());
              throw std::runtime_error("oops");
            }),
            "exception(std::runtime_error: oops)");
  EXPECT_EQ(caller_ends_with([](Context& self) -> TaskResult<int> {
              co_await self.Sleep(absl::ZeroDuration());
              co_return Stop(ExitReason::Custom("unknown"));
            }),
            "custom(unknown)");
  // NoReply() is no answer.
  EXPECT_EQ(
      caller_ends_with([](Context&) -> TaskResult<int> { return NoReply(); }),
      "bad_return_value(NoReply() of a task)");
}

// -- Streams ------------------------------------------------------------------

class TaskStreamCases : public TaskSupervisorCases {
 protected:
  // Sleeps for as many seconds as the input says, and answers it; a negative
  // one crashes.
  static TaskResult<int> Sleepy(const int& seconds, Context& self) {
    if (seconds < 0) throw std::runtime_error("oops");
    co_await self.Sleep(absl::Seconds(seconds));
    co_return seconds;
  }
  // Has a caller take all items; "v", or the reason of an error.
  std::vector<std::string> Run(std::vector<int> inputs, StreamOptions options,
                               bool trap = false, size_t take = 1000) {
    const Pid caller = StartCaller(trap);
    auto items = std::make_shared<std::vector<std::string>>();
    auto over = std::make_shared<bool>(false);
    Act act = [=](Context& self) -> Next {
      TaskSupervisorClient tasks(self, Tasks());
      TaskStream<int> stream =
          AsyncStream<int>(tasks, inputs, &Sleepy, options);
      while (items->size() < take) {
        std::optional<StreamItem<int>> item = co_await stream.Next();
        if (!item.has_value()) break;
        items->push_back(item->result.ok() ? absl::StrCat(*item->result)
                                           : ReasonOf(item->result.status()));
      }
      co_await stream.Stop();
      *over = true;
      co_return NoReply();
    };
    Tell(sim_.runtime(), caller, std::move(act));
    sim_.RunUntil([&] { return *over || !sim_.Alive(caller); });
    return *items;
  }
};

TEST_F(TaskStreamCases, ETS11_ItemsComeInOrder) {
  OTP_CASE("ETS.11", "D8");
  StartTasks();
  StreamOptions options;
  options.max_concurrency = 2;
  EXPECT_THAT(Run({3, 1, 2, 0}, options), ElementsAre("3", "1", "2", "0"));
  EXPECT_THAT(infos_, IsEmpty());
  EXPECT_THAT(Children(), IsEmpty());
  EXPECT_THAT(Run({}, options), IsEmpty());
}

TEST_F(TaskStreamCases, ETS11_OrInTheOrderOfTheirEnds) {
  OTP_CASE("ETS.11", "D8");
  StartTasks();
  StreamOptions options;
  options.max_concurrency = 4;
  options.ordered = false;
  EXPECT_THAT(Run({3, 1, 2, 0}, options), ElementsAre("0", "1", "2", "3"));
}

TEST_F(TaskStreamCases, ETS11_NotMoreTasksThanWanted) {
  OTP_CASE("ETS.11", "D8");
  StartTasks();
  const BootTime before = sim_.Now();
  StreamOptions options;
  options.max_concurrency = 2;
  EXPECT_THAT(Run({1, 1, 1, 1, 1, 1}, options), SizeIs(6));
  EXPECT_EQ(sim_.Now() - before, absl::Seconds(3));
}

TEST_F(TaskStreamCases, ETS11_ASourceIsReadAsItIsNeeded) {
  OTP_CASE("ETS.11", "D8");
  StartTasks();
  const Pid caller = StartCaller();
  int read = 0;
  std::vector<int> items;
  Act act = [&](Context& self) -> Next {
    TaskSupervisorClient tasks(self, Tasks());
    std::function<std::optional<int>()> source =
        [&read]() -> std::optional<int> { return read++; };  // Endless.
    std::function<TaskResult<int>(const int&, Context&)> twice =
        [](const int& value, Context&) -> TaskResult<int> { return 2 * value; };
    StreamOptions options;
    options.max_concurrency = 2;
    TaskStream<int> stream =
        AsyncStream<int, int>(tasks, source, twice, options);
    while (items.size() < 5) {
      std::optional<StreamItem<int>> item = co_await stream.Next();
      items.push_back(*item->result);
      EXPECT_EQ(item->index, items.size() - 1);
    }
    co_await stream.Stop();
    co_return NoReply();
  };
  Do(caller, std::move(act));
  EXPECT_THAT(items, ElementsAre(0, 2, 4, 6, 8));
  EXPECT_LE(read, 15);
  EXPECT_THAT(Children(), IsEmpty());
}

TEST_F(TaskStreamCases, ETS11_ACrashEndsTheConsumer) {
  OTP_CASE("ETS.11", "D8");
  StartTasks();
  StreamOptions options;
  options.max_concurrency = 4;
  EXPECT_THAT(Run({100, 100, -1}, options), IsEmpty());
  EXPECT_EQ(caller_ended_, ExitReason::Exception("std::runtime_error: oops"));
  sim_.RunReady();
  EXPECT_THAT(Children(), IsEmpty());  // Its tasks went with it.
}

TEST_F(TaskStreamCases, ETS11_OneThatTrapsExitsGetsItAsAnItem) {
  OTP_CASE("ETS.11", "D8");
  StartTasks();
  StreamOptions options;
  options.max_concurrency = 4;
  EXPECT_THAT(Run({1, -1, 2}, options, /*trap=*/true),
              ElementsAre("1", "CALLEE_EXITED", "2"));
  EXPECT_THAT(infos_, IsEmpty());
  // So does one that is not linked.
  options.link = false;
  EXPECT_THAT(Run({1, -1, 2}, options), ElementsAre("1", "CALLEE_EXITED", "2"));
  EXPECT_FALSE(caller_ended_.has_value());
}

TEST_F(TaskStreamCases, ETS11_ATimeoutEndsTheStream) {
  OTP_CASE("ETS.11", "D8");
  StartTasks();
  StreamOptions options;
  options.max_concurrency = 4;
  options.timeout = absl::Seconds(3);
  EXPECT_THAT(Run({1, 100, 100, 2}, options), ElementsAre("1", "TIMEOUT"));
  EXPECT_THAT(Children(), IsEmpty());
  EXPECT_THAT(infos_, IsEmpty());
}

TEST_F(TaskStreamCases, ETS11_OrOnlyKillsItsTask) {
  OTP_CASE("ETS.11", "D8");
  StartTasks();
  StreamOptions options;
  options.max_concurrency = 4;
  options.timeout = absl::Seconds(3);
  options.on_timeout = OnTimeout::kKillTask;
  EXPECT_THAT(Run({1, 100, 100, 2}, options),
              ElementsAre("1", "TIMEOUT", "TIMEOUT", "2"));
  EXPECT_FALSE(caller_ended_.has_value());
  EXPECT_THAT(Children(), IsEmpty());
}

TEST_F(TaskStreamCases, ETS11_StoppedEarlyItLeavesNothing) {
  OTP_CASE("ETS.11", "D8");
  StartTasks();
  StreamOptions options;
  options.max_concurrency = 4;
  EXPECT_THAT(Run({0, 100, 100, 100, 100}, options, /*trap=*/true, /*take=*/1),
              ElementsAre("0"));
  EXPECT_THAT(Children(), IsEmpty());
  EXPECT_THAT(infos_, IsEmpty());
}

TEST_F(TaskStreamCases, ETS11_ItsConsumersDeathEndsItsTasks) {
  OTP_CASE("ETS.11", "D8");
  StartTasks();
  const Pid caller = StartCaller();
  Act act = [](Context& self) -> Next {
    TaskSupervisorClient tasks(self, Tasks());
    const std::vector<int> inputs = {100, 100, 100};
    TaskStream<int> stream = AsyncStream<int>(tasks, inputs, &Sleepy);
    std::optional<StreamItem<int>> item = co_await stream.Next();
    co_return NoReply();
  };
  Do(caller, std::move(act));
  EXPECT_FALSE(Children().empty());
  sim_.runtime().SendExit(Pid(), caller, ExitReason::Kill());
  sim_.RunReady();
  EXPECT_THAT(Children(), IsEmpty());
}

TEST_F(TaskStreamCases, ETS11_MaxChildrenIsTheItemsError) {
  OTP_CASE("ETS.11", "D8");
  TaskSupervisorSpec spec;
  spec.max_children = 1;
  StartTasks(spec);
  StreamOptions options;
  options.max_concurrency = 2;
  EXPECT_THAT(Run({1, 1}, options), ElementsAre("1", "MAX_CHILDREN"));
}

}  // namespace
}  // namespace muster
