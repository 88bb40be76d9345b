#include "tests/testkit/sim_random.h"

#include <algorithm>
#include <bit>

namespace muster {

SimRandom::SimRandom(uint64_t seed) {
  for (uint64_t& word : state_) {
    seed += 0x9e3779b97f4a7c15;
    uint64_t mixed = seed;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    word = mixed ^ (mixed >> 31);
  }
}

void SimRandom::Fill(void* out, size_t size) {
  char* at = static_cast<char*>(out);
  MutexLock lock(&mu_);
  while (size > 0) {
    // Byte by byte from the lowest: the same on every machine.
    uint64_t word = NextLocked();
    const size_t take = std::min(size, sizeof(word));
    for (size_t i = 0; i < take; ++i) {
      *at++ = static_cast<char>(word & 0xff);
      word >>= 8;
    }
    size -= take;
  }
}

uint64_t SimRandom::NextLocked() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

}  // namespace muster
