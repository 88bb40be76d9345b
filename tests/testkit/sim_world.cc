#include "tests/testkit/sim_world.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/base/check.h"
#include "node/base/timer_queue.h"

namespace muster {

namespace {

// FNV-1a, 64 bits.
constexpr uint64_t kHashStart = 0xcbf29ce484222325;
constexpr uint64_t kHashPrime = 0x100000001b3;

}  // namespace

// The scheduler of one simulated node.
class SimWorld::Lane final : public Scheduler {
 public:
  Lane(SimWorld* world, std::string name, absl::Duration offset, double rate)
      : world_(world),
        name_(std::move(name)),
        clock_(&world->clock_, offset, rate) {}

  void Submit(Task* task) override {
    world_->CheckThread();
    if (!dead_) ready_.push_back({.kind = "submit", .task = task});
  }
  void Post(absl::AnyInvocable<void()> work) override {
    world_->CheckThread();
    if (!dead_) ready_.push_back({.kind = "post", .work = std::move(work)});
  }
  TimerId At(BootTime due, absl::AnyInvocable<void()> work) override {
    world_->CheckThread();
    if (dead_) return 0;
    if (due <= clock_.Boot()) world_->due_since_ = true;
    return timers_.Add(due, std::move(work));
  }
  bool Cancel(TimerId id) override {
    world_->CheckThread();
    return timers_.Take(id) != nullptr;
  }
  void Block(absl::AnyInvocable<void()> work) override {
    world_->CheckThread();
    if (!dead_) ready_.push_back({.kind = "block", .work = std::move(work)});
  }
  Clock& clock() override { return clock_; }

  const std::string& name() const { return name_; }
  bool CanRun() const { return !paused_ && !ready_.empty(); }
  void set_paused(bool paused) { paused_ = paused; }

  // In the world's time.
  BootTime NextDue() const {
    if (paused_ || timers_.NextDue().is_infinite()) {
      return BootTime::Infinite();
    }
    return clock_.ToWorld(timers_.NextDue());
  }

  void MoveExpired() {
    if (paused_) return;
    const BootTime now = clock_.Boot();
    while (absl::AnyInvocable<void()> work = timers_.PopExpired(now)) {
      ready_.push_back({.kind = "timer", .work = std::move(work)});
    }
  }

  size_t ready_size() const { return ready_.size(); }

  // Runs the task at `index` of the ready queue.
  void RunAt(size_t index) {
    const auto at = ready_.begin() + static_cast<std::ptrdiff_t>(index);
    Ready next = std::move(*at);
    ready_.erase(at);
    world_->TraceStep(name_, next.kind);
    // What blocks must not believe that it is on a worker.
    SetOnWorker(next.kind != "block");
    if (next.task != nullptr) {
      next.task->Run();
    } else {
      next.work();
    }
    next.work = nullptr;
    SetOnWorker(false);
  }

  // Nothing more comes in from now on.
  void Die() { dead_ = true; }

  // After Die(). Destroys closures, whose destructors may call any lane.
  void DropAll() {
    const std::deque<Ready> ready = std::exchange(ready_, {});
    const std::vector<absl::AnyInvocable<void()>> timers = timers_.TakeAll();
  }

 private:
  struct Ready {
    absl::string_view kind;
    Task* task = nullptr;
    absl::AnyInvocable<void()> work;
  };

  // The world's time with another reading and speed.
  class LaneClock final : public Clock {
   public:
    LaneClock(const SimClock* world, absl::Duration offset, double rate)
        : world_(world), began_(world->Boot()), offset_(offset), rate_(rate) {}
    BootTime Boot() const override {
      if (rate_ == 1.0) return world_->Boot() + offset_;
      return began_ + offset_ + (world_->Boot() - began_) * rate_;
    }
    absl::Time Wall() const override { return world_->Wall(); }
    // When this clock will read `due`, or a moment later.
    BootTime ToWorld(BootTime due) const {
      if (rate_ == 1.0) return due - offset_;
      return began_ + (due - offset_ - began_) / rate_ + absl::Nanoseconds(2);
    }

   private:
    const SimClock* const world_;
    const BootTime began_;
    const absl::Duration offset_;
    const double rate_;
  };

  SimWorld* const world_;
  const std::string name_;
  LaneClock clock_;

  bool dead_ = false;
  bool paused_ = false;
  std::deque<Ready> ready_;
  TimerQueue timers_;
};

SimWorld::SimWorld(uint64_t seed, SimWorldOptions options)
    : seed_(seed),
      options_(std::move(options)),
      thread_(std::this_thread::get_id()),
      random_(seed),
      trace_hash_(kHashStart) {
  Hash(absl::StrCat(seed));
}

SimWorld::~SimWorld() {
  MUSTER_CHECK(!stepping_, "a task cannot end its world");
  for (const auto& lane : lanes_) lane->Die();
  for (const auto& lane : lanes_) lane->DropAll();
}

Scheduler& SimWorld::AddLane(std::string name, double rate) {
  CheckThread();
  lanes_.push_back(std::make_unique<Lane>(
      this, std::move(name), random_.Jitter(options_.boot_spread), rate));
  living_.push_back(lanes_.back().get());
  return *lanes_.back();
}

void SimWorld::KillLane(Scheduler& lane) {
  CheckThread();
  Lane* const found = Find(lane);
  Trace(absl::StrCat(found->name(), " killed"));
  found->Die();
  living_.erase(std::remove(living_.begin(), living_.end(), found),
                living_.end());
  found->DropAll();
}

void SimWorld::PauseLane(Scheduler& lane) { Find(lane)->set_paused(true); }

void SimWorld::ResumeLane(Scheduler& lane) {
  Find(lane)->set_paused(false);
  due_since_ = true;
}

bool SimWorld::Step() {
  CheckThread();
  MoveExpired();
  if (RunOne()) return true;
  const BootTime due = NextDue();
  if (due.is_infinite()) return false;
  AdvanceTo(due);
  MoveExpired();
  return RunOne();
}

bool SimWorld::RunUntil(absl::FunctionRef<bool()> done, BootTime deadline) {
  for (;;) {
    if (done()) return true;
    MoveExpired();
    if (RunOne()) continue;
    const BootTime due = NextDue();
    if (due > deadline || due.is_infinite()) break;
    AdvanceTo(due);
  }
  if (!deadline.is_infinite()) AdvanceTo(deadline);
  return done();
}

bool SimWorld::RunUntil(absl::FunctionRef<bool()> done, absl::Duration within) {
  return RunUntil(done, clock_.Boot() + within);
}

void SimWorld::RunFor(absl::Duration span) {
  RunUntil([] { return false; }, span);
}

void SimWorld::RunReady() {
  MoveExpired();
  while (RunOne()) MoveExpired();
}

void SimWorld::TraceStep(absl::string_view lane, absl::string_view kind) {
  if (options_.on_trace) return Trace(absl::StrCat(lane, " ", kind));
  Hash(static_cast<uint64_t>(clock_.Boot().nanoseconds()));
  Hash(lane);
  Hash(kind);
}

void SimWorld::Trace(absl::string_view line) {
  const std::string stamped =
      absl::StrCat(clock_.Boot().nanoseconds(), " ", line, "\n");
  Hash(stamped);
  if (options_.on_trace) options_.on_trace(stamped);
}

SimWorld::Lane* SimWorld::Find(Scheduler& lane) const {
  for (const auto& known : lanes_) {
    if (known.get() == &lane) return known.get();
  }
  MUSTER_CHECK(false, "a lane of another world");
  return nullptr;
}

void SimWorld::MoveExpired() {
  const BootTime now = clock_.Boot();
  if (now == moved_at_ && !due_since_) return;
  moved_at_ = now;
  due_since_ = false;
  for (Lane* const lane : living_) lane->MoveExpired();
}

BootTime SimWorld::NextDue() const {
  BootTime due = BootTime::Infinite();
  for (const Lane* const lane : living_) due = std::min(due, lane->NextDue());
  return due;
}

bool SimWorld::RunOne() {
  MUSTER_CHECK(!stepping_, "a task cannot step its world");
  std::vector<Lane*>& can_run = can_run_;
  can_run.clear();
  for (Lane* const lane : living_) {
    if (lane->CanRun()) can_run.push_back(lane);
  }
  if (can_run.empty()) return false;
  ++steps_;
  MUSTER_CHECK(++steps_at_one_time_ <= options_.steps_at_one_time_max,
               "something wakes itself for ever");
  Lane* const lane = can_run[random_.Below(can_run.size())];
  const size_t index =
      options_.shuffle_lanes ? random_.Below(lane->ready_size()) : 0;
  stepping_ = true;
  lane->RunAt(index);
  stepping_ = false;
  return true;
}

void SimWorld::AdvanceTo(BootTime to) {
  if (to <= clock_.Boot()) return;
  clock_.AdvanceTo(to);
  steps_at_one_time_ = 0;
}

void SimWorld::Hash(absl::string_view bytes) {
  for (const char byte : bytes) {
    trace_hash_ = (trace_hash_ ^ static_cast<uint8_t>(byte)) * kHashPrime;
  }
}

void SimWorld::Hash(uint64_t number) {
  trace_hash_ = (trace_hash_ ^ number) * kHashPrime;
  trace_hash_ ^= trace_hash_ >> 29;
}

void SimWorld::CheckThread() const {
  MUSTER_CHECK(std::this_thread::get_id() == thread_,
               "a simulation has one thread");
}

}  // namespace muster
