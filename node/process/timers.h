// Timers: the armed timers of a node's processes (otp 6). Internal to node/;
// users see Context.
#ifndef MUSTER_NODE_PROCESS_TIMERS_H_
#define MUSTER_NODE_PROCESS_TIMERS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"
#include "node/process/signals.h"
#include "node/types/info.h"
#include "node/types/server_ref.h"

namespace muster {

class Runtime;

// Owns what must be known of an armed timer besides the scheduler: when it is
// due and whose it is. A timer ends once: fired, cancelled or forgotten with
// its process, whoever takes its entry out first.
//
// THREADS: any thread may call any method at any time. Locks are held for a
// few entries at a time, however many there are.
class Timers {
 public:
  // Delivers through `runtime`, which outlives it.
  explicit Timers(Runtime* runtime) : runtime_(runtime) {}
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  // How the info arrives: itself, or inside a TimerFired.
  enum class Form { kPlain, kFired };

  // Arms one of `sender`'s, empty for nobody's; nothing is checked but whether
  // the process of a pid lives. One for a dead process is lost at once, and the
  // ref names nothing (otp T5).
  TimerRef Arm(BootTime due, const Pid& sender, ServerRef to, Info info,
               Form form);
  // What was left; nullopt: unknown, fired, cancelled, or its process is dead.
  std::optional<absl::Duration> Cancel(TimerRef ref);
  std::optional<absl::Duration> Read(TimerRef ref) const;
  // A process has ended and cannot be found any more: drops its timers.
  void Forget(uint64_t process_number);
  size_t size() const;

 private:
  struct Entry {
    TimerId id = 0;  // 0 while it is being armed.
    BootTime due;
    uint64_t owner = 0;  // Process number; 0: addressed by name.
    // The owner's other timers; 0 ends the list.
    uint64_t previous = 0;
    uint64_t next = 0;
  };
  // A process and all of its timers are in one shard, which their refs name.
  struct Shard {
    mutable Mutex mu;
    uint64_t last ABSL_GUARDED_BY(mu) = 0;
    absl::flat_hash_map<uint64_t, Entry> entries ABSL_GUARDED_BY(mu);
    // Process number -> the first of its timers.
    absl::flat_hash_map<uint64_t, uint64_t> owners ABSL_GUARDED_BY(mu);

    // Takes an entry out; nullopt if it is not there.
    std::optional<Entry> Take(uint64_t ref) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  };
  static constexpr uint64_t kShards = 16;

  Shard& ShardOf(uint64_t ref) { return shards_[ref % kShards]; }
  const Shard& ShardOf(uint64_t ref) const { return shards_[ref % kShards]; }
  void Fire(uint64_t ref, const Pid& sender, const ServerRef& to, Info info,
            Form form);
  absl::Duration Left(BootTime due) const;

  Runtime* const runtime_;
  std::array<Shard, kShards> shards_;
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_TIMERS_H_
