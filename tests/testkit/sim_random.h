// SimRandom: a RandomSource that repeats itself for the same seed.
#ifndef MUSTER_TESTS_TESTKIT_SIM_RANDOM_H_
#define MUSTER_TESTS_TESTKIT_SIM_RANDOM_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "node/base/mutex.h"
#include "node/base/random.h"

namespace muster {

// xoshiro256** seeded by splitmix64 (prng.di.unimi.it): fast, the same on
// every machine and in every compiler's library; not fit for secrets.
class SimRandom final : public RandomSource {
 public:
  explicit SimRandom(uint64_t seed);

  void Fill(void* out, size_t size) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  uint64_t NextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Mutex mu_;
  std::array<uint64_t, 4> state_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_TESTS_TESTKIT_SIM_RANDOM_H_
