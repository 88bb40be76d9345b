#include "node/base/random.h"

#include <sys/random.h>

#include <cerrno>

#include "absl/strings/escaping.h"
#include "node/base/check.h"

namespace muster {

uint64_t RandomSource::Next() {
  uint64_t value;
  Fill(&value, sizeof(value));
  return value;
}

uint64_t RandomSource::Below(uint64_t bound) {
  if (bound == 0) return 0;
  // Refuse the tail that would favour small results.
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  uint64_t value;
  do {
    value = Next();
  } while (value >= limit);
  return value % bound;
}

absl::Duration RandomSource::Jitter(absl::Duration max) {
  const int64_t ns = absl::ToInt64Nanoseconds(max);
  if (ns <= 0) return absl::ZeroDuration();
  return absl::Nanoseconds(
      static_cast<int64_t>(Below(static_cast<uint64_t>(ns))));
}

std::string RandomSource::Hex(size_t bytes) {
  std::string raw(bytes, '\0');
  Fill(raw.data(), raw.size());
  return absl::BytesToHexString(raw);
}

void SystemRandom::Fill(void* out, size_t size) {
  char* at = static_cast<char*>(out);
  while (size > 0) {
    const ssize_t got = getrandom(at, size, 0);
    if (got < 0) {
      MUSTER_CHECK(errno == EINTR, "getrandom cannot fail otherwise");
      continue;
    }
    at += got;
    size -= static_cast<size_t>(got);
  }
}

}  // namespace muster
