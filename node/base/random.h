// RandomSource: the only way to roll dice.
#ifndef MUSTER_NODE_BASE_RANDOM_H_
#define MUSTER_NODE_BASE_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace muster {

// THREADS: any thread may call any method at any time.
class RandomSource {
 public:
  virtual ~RandomSource() = default;

  // Fills `size` bytes at `out`. The real source is fit for secrets.
  virtual void Fill(void* out, size_t size) = 0;

  uint64_t Next();
  // Uniform in [0, bound); 0 if bound is 0.
  uint64_t Below(uint64_t bound);
  // Uniform in [0, max); zero if max is not positive.
  absl::Duration Jitter(absl::Duration max);
  // `bytes` random bytes as lower-case hex.
  std::string Hex(size_t bytes);
};

// The kernel's generator (getrandom).
class SystemRandom final : public RandomSource {
 public:
  void Fill(void* out, size_t size) override;
};

}  // namespace muster

#endif  // MUSTER_NODE_BASE_RANDOM_H_
