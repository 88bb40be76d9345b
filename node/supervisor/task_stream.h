// TaskStream: a function over many inputs, a few at one time (otp D8's
// async_stream).
//
//   auto resize = [](const Image& image, Context&) -> TaskResult<Image> {...};
//   TaskStream<Image> stream = AsyncStream<Image>(tasks, images, resize);
//   for (auto item = co_await stream.Next(); item.has_value();
//        item = co_await stream.Next()) { use(item->index, item->result); }
#ifndef MUSTER_NODE_SUPERVISOR_TASK_STREAM_H_
#define MUSTER_NODE_SUPERVISOR_TASK_STREAM_H_

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"
#include "node/gen_server/runtime_caller.h"
#include "node/process/context.h"
#include "node/supervisor/task_supervisor.h"

namespace muster {

enum class OnTimeout {
  kExit,      // The stream ends with DEADLINE_EXCEEDED TIMEOUT.
  kKillTask,  // The task is killed; the item is that error; it goes on.
};

struct StreamOptions {
  StreamOptions() {}

  // Tasks at one time; 0: as many as the node has workers. As many results may
  // wait for the consumer, and as many inputs for a task.
  size_t max_concurrency = 0;
  // Items in the order of their inputs; else in the order of their ends.
  bool ordered = true;
  // For one item, from its start.
  absl::Duration timeout = absl::Seconds(5);
  OnTimeout on_timeout = OnTimeout::kExit;
  // A task's crash ends the consumer too, unless it traps exits. Without, or
  // then, it is the item's error.
  bool link = true;
  // How tasks are ended when the stream stops early.
  Shutdown shutdown = Shutdown::Within(absl::Seconds(5));
};

template <typename Out>
struct StreamItem {
  StreamItem(size_t i, absl::StatusOr<Out> r)
      : index(i), result(std::move(r)) {}
  // Of the input, from 0.
  size_t index;
  // The function's value or error; ABORTED CALLEE_EXITED: its task crashed;
  // DEADLINE_EXCEEDED TIMEOUT; or why there was no task (MAX_CHILDREN).
  absl::StatusOr<Out> result;
};

namespace internal {

// The tasks of one stream. Inputs are made in the consumer's process only;
// ends of tasks come on any thread, and start what waits.
template <typename Out>
class StreamState : public std::enable_shared_from_this<StreamState<Out>> {
 public:
  using Item = StreamItem<Out>;
  using Job = absl::AnyInvocable<TaskResult<Out>(Context&)>;
  using Source = std::function<std::optional<Job>()>;

  StreamState(const TaskSupervisorClient& tasks, Source source,
              StreamOptions options)
      : runtime_(&tasks.runtime()),
        caller_(runtime_),
        owner_(tasks.owner()),
        to_(tasks.to()),
        callers_(tasks.callers()),
        options_(options),
        max_(options.max_concurrency > 0
                 ? options.max_concurrency
                 : static_cast<size_t>(runtime_->scheduler().workers())),
        source_(std::move(source)) {}

  Pending<std::optional<Item>> Next() ABSL_LOCKS_EXCLUDED(mu_) {
    auto arrival = std::make_shared<Arrival<std::optional<Item>>>();
    size_t room;
    {
      MutexLock lock(&mu_);
      room = stopped_ ? 0 : max_ - std::min(max_, jobs_.size());
    }
    std::vector<Job> jobs;
    while (jobs.size() < room && !exhausted_) {
      std::optional<Job> job = source_();
      if (job.has_value()) {
        jobs.push_back(*std::move(job));
      } else {
        exhausted_ = true;
        source_ = nullptr;
      }
    }
    Work work;
    {
      MutexLock lock(&mu_);
      for (Job& job : jobs) {
        jobs_.emplace_back(next_index_++, std::move(job));
      }
      inputs_over_ = exhausted_;
      waiting_ = arrival;
      PumpLocked(work);
    }
    Do(std::move(work));
    return Pending<std::optional<Item>>(std::move(arrival));
  }

  // Ends all tasks; nothing comes any more.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_) {
    Work work;
    {
      MutexLock lock(&mu_);
      StopLocked(work);
      PumpLocked(work);
    }
    Do(std::move(work));
  }
  Pending<Elapsed> Stopped() ABSL_LOCKS_EXCLUDED(mu_) {
    Stop();
    auto arrival = std::make_shared<Arrival<Elapsed>>();
    bool now;
    {
      MutexLock lock(&mu_);
      now = living_.empty();
      if (!now) all_gone_ = arrival;
    }
    if (now) arrival->Set(Elapsed());
    return Pending<Elapsed>(std::move(arrival));
  }

 private:
  struct Running {
    Pid pid;  // Empty: its start is under way.
    TimerId timer = 0;
  };
  // What is to be done without the lock.
  struct Work {
    std::vector<std::pair<size_t, Job>> starts;
    std::vector<std::pair<Pid, Shutdown>> ends;
    std::vector<TimerId> cancels;
    std::shared_ptr<Arrival<std::optional<Item>>> waiting;
    std::optional<Item> item;
    std::shared_ptr<Arrival<Elapsed>> all_gone;
  };

  // Starts what may start, and serves the consumer if it can be.
  void PumpLocked(Work& work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (waiting_ != nullptr && !done_.empty() &&
        (!options_.ordered || final_ || done_.begin()->first == emitted_)) {
      auto first = done_.begin();
      work.item.emplace(std::move(first->second));
      work.waiting = std::exchange(waiting_, nullptr);
      done_.erase(first);
      ++emitted_;
    }
    while (!stopped_ && !jobs_.empty() && running_.size() < max_ &&
           done_.size() < max_) {
      auto [index, job] = std::move(jobs_.front());
      jobs_.pop_front();
      running_.try_emplace(index);
      living_.insert(index);
      work.starts.emplace_back(index, std::move(job));
    }
    if (waiting_ != nullptr && done_.empty() && running_.empty() &&
        jobs_.empty() && (inputs_over_ || stopped_)) {
      work.waiting = std::exchange(waiting_, nullptr);
    }
    if (stopped_ && living_.empty()) {
      work.all_gone = std::exchange(all_gone_, nullptr);
    }
  }

  void StopLocked(Work& work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (stopped_) return;
    stopped_ = true;
    for (auto& [index, running] : running_) {
      if (running.timer != 0) work.cancels.push_back(running.timer);
      // One whose start is under way is ended when it has started.
      if (!running.pid.empty()) {
        work.ends.emplace_back(running.pid, options_.shutdown);
      }
    }
    running_.clear();
    jobs_.clear();
    done_.clear();
  }

  void Do(Work work) ABSL_LOCKS_EXCLUDED(mu_) {
    for (const TimerId timer : work.cancels) {
      runtime_->scheduler().Cancel(timer);
    }
    for (const auto& [pid, how] : work.ends) {
      runtime_->Stop(owner_, pid, how.patience(), [](const ExitReason&) {});
    }
    for (auto& [index, job] : work.starts) Start(index, std::move(job));
    if (work.waiting != nullptr) work.waiting->Set(std::move(work.item));
    if (work.all_gone != nullptr) work.all_gone->Set(Elapsed());
  }

  void Start(size_t index, Job job) ABSL_LOCKS_EXCLUDED(mu_) {
    auto self = this->shared_from_this();
    auto work = std::make_shared<TaskWork>();
    work->run = EraseTask(std::move(job));
    work->deliver = [self, index](Decision decision, Context&) {
      return DeliverResult<Out>(std::move(decision),
                                [&](absl::StatusOr<Out> value) {
                                  self->Finish(index, std::move(value));
                                });
    };
    work->ended = [self, index](const ExitReason& reason, TaskEnd end) {
      self->Ended(index, reason, end);
    };
    work->callers = callers_;
    TaskOptions options;
    options.shutdown = options_.shutdown;
    LaunchTask(caller_, to_, std::move(work), options,
               [self, index](absl::StatusOr<Pid> pid) {
                 self->Started(index, std::move(pid));
               });
  }

  void Started(size_t index, absl::StatusOr<Pid> pid) ABSL_LOCKS_EXCLUDED(mu_) {
    Work work;
    bool arm = false;
    {
      MutexLock lock(&mu_);
      const auto at = running_.find(index);
      if (!pid.ok()) {
        living_.erase(index);
        if (at != running_.end()) {
          FinishLocked(index, std::move(pid).status(), work);
        }
      } else if (at != running_.end()) {
        at->second.pid = *pid;
        arm = options_.timeout != absl::InfiniteDuration();
      } else if (stopped_) {
        work.ends.emplace_back(*pid, options_.shutdown);
      }
      PumpLocked(work);
    }
    Do(std::move(work));
    if (arm) ArmTimer(index);
  }

  void ArmTimer(size_t index) ABSL_LOCKS_EXCLUDED(mu_) {
    std::weak_ptr<StreamState> weak = this->shared_from_this();
    const TimerId timer = runtime_->scheduler().At(
        runtime_->clock().Boot() + options_.timeout, [weak, index] {
          if (auto self = weak.lock()) self->Expire(index);
        });
    {
      MutexLock lock(&mu_);
      const auto at = running_.find(index);
      if (at != running_.end()) {
        at->second.timer = timer;
        return;
      }
    }
    runtime_->scheduler().Cancel(timer);
  }

  void FinishLocked(size_t index, absl::StatusOr<Out> value, Work& work)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto at = running_.find(index);
    if (at->second.timer != 0) work.cancels.push_back(at->second.timer);
    running_.erase(at);
    done_.emplace(options_.ordered ? index : finished_,
                  Item(index, std::move(value)));
    ++finished_;
  }

  void Finish(size_t index, absl::StatusOr<Out> value)
      ABSL_LOCKS_EXCLUDED(mu_) {
    Work work;
    {
      MutexLock lock(&mu_);
      if (!running_.contains(index)) return;
      FinishLocked(index, std::move(value), work);
      PumpLocked(work);
    }
    Do(std::move(work));
  }

  void Ended(size_t index, const ExitReason& reason, TaskEnd end)
      ABSL_LOCKS_EXCLUDED(mu_) {
    Work work;
    bool crashed = false;
    Pid pid;
    {
      MutexLock lock(&mu_);
      living_.erase(index);
      const auto at = running_.find(index);
      if (at != running_.end()) {
        crashed = true;
        pid = at->second.pid;
        FinishLocked(index, TaskExited(pid, reason, end), work);
      }
      PumpLocked(work);
    }
    // As a link would; an owner that traps exits finds the error in the item.
    if (crashed && options_.link) CrashOwner(*runtime_, pid, owner_, reason);
    Do(std::move(work));
  }

  void Expire(size_t index) ABSL_LOCKS_EXCLUDED(mu_) {
    Work work;
    {
      MutexLock lock(&mu_);
      const auto at = running_.find(index);
      if (at == running_.end()) return;
      const Pid pid = at->second.pid;
      at->second.timer = 0;
      absl::Status timeout = TaskTimeout(pid, options_.timeout);
      if (options_.on_timeout == OnTimeout::kKillTask) {
        work.ends.emplace_back(pid, Shutdown::BrutalKill());
        FinishLocked(index, std::move(timeout), work);
      } else {
        StopLocked(work);
        final_ = true;
        done_.emplace(index, Item(index, std::move(timeout)));
      }
      PumpLocked(work);
    }
    Do(std::move(work));
  }

  Runtime* const runtime_;
  // Starts tasks from any thread.
  RuntimeCaller caller_;
  const Pid owner_;
  const ServerRef to_;
  const std::vector<Pid> callers_;
  const StreamOptions options_;
  const size_t max_;

  // The consumer's.
  Source source_;
  bool exhausted_ = false;

  Mutex mu_;
  std::deque<std::pair<size_t, Job>> jobs_ ABSL_GUARDED_BY(mu_);
  absl::btree_map<size_t, Running> running_ ABSL_GUARDED_BY(mu_);
  // By index, or by the order of their ends.
  absl::btree_map<size_t, Item> done_ ABSL_GUARDED_BY(mu_);
  // The consumer that waits; null: none.
  std::shared_ptr<Arrival<std::optional<Item>>> waiting_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<Arrival<Elapsed>> all_gone_ ABSL_GUARDED_BY(mu_);
  size_t next_index_ ABSL_GUARDED_BY(mu_) = 0;
  size_t emitted_ ABSL_GUARDED_BY(mu_) = 0;
  size_t finished_ ABSL_GUARDED_BY(mu_) = 0;
  // Tasks that were asked for and have not ended.
  absl::btree_set<size_t> living_ ABSL_GUARDED_BY(mu_);
  bool inputs_over_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  // Its last item is in done_.
  bool final_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace internal

// Runs nothing until the first Next(). Dropping it ends the tasks that run,
// without waiting; so does the end of its process. What becomes of its tasks
// leaves no message in its process's mailbox. LIFETIME: as its process.
template <typename Out>
class [[nodiscard]] TaskStream {
 public:
  explicit TaskStream(std::shared_ptr<internal::StreamState<Out>> state)
      : state_(std::move(state)) {}
  TaskStream(TaskStream&&) noexcept = default;
  TaskStream& operator=(TaskStream&&) = delete;
  ~TaskStream() {
    if (state_ != nullptr) state_->Stop();
  }

  // Nullopt: there are no more. One at a time.
  Pending<std::optional<StreamItem<Out>>> Next() { return state_->Next(); }
  // As dropping it, and waits until its tasks have ended.
  Pending<Elapsed> Stop() { return state_->Stopped(); }

 private:
  std::shared_ptr<internal::StreamState<Out>> state_;
};

// `source` gives one input after the other, nullopt at the end; it may be
// endless. It is called in Next(), a little ahead. `function` may be called by
// several tasks at one time: it has no state that changes.
template <typename Out, typename In>
TaskStream<Out> AsyncStream(
    const TaskSupervisorClient& tasks,
    std::function<std::optional<In>()> source,
    std::function<TaskResult<Out>(const In&, Context&)> function,
    StreamOptions options = StreamOptions()) {
  using State = internal::StreamState<Out>;
  auto shared = std::make_shared<
      const std::function<TaskResult<Out>(const In&, Context&)>>(
      std::move(function));
  auto jobs = [shared, source = std::move(
                           source)]() -> std::optional<typename State::Job> {
    std::optional<In> input = source();
    if (!input.has_value()) return std::nullopt;
    return
        typename State::Job([shared, input = *std::move(input)](Context& self) {
          return (*shared)(input, self);
        });
  };
  return TaskStream<Out>(
      std::make_shared<State>(tasks, std::move(jobs), options));
}

template <typename Out, typename In, typename Function>
TaskStream<Out> AsyncStream(const TaskSupervisorClient& tasks,
                            std::vector<In> inputs, Function function,
                            StreamOptions options = StreamOptions()) {
  auto left =
      std::make_shared<std::deque<In>>(std::make_move_iterator(inputs.begin()),
                                       std::make_move_iterator(inputs.end()));
  std::function<std::optional<In>()> source = [left]() -> std::optional<In> {
    if (left->empty()) return std::nullopt;
    std::optional<In> first(std::move(left->front()));
    left->pop_front();
    return first;
  };
  std::function<TaskResult<Out>(const In&, Context&)> each(std::move(function));
  return AsyncStream<Out, In>(tasks, std::move(source), std::move(each),
                              options);
}

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_TASK_STREAM_H_
