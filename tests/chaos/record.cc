#include "tests/chaos/record.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace muster {
namespace {

[[noreturn]] void Die(const char* what) {
  std::fprintf(stderr, "record: %s: %s\n", what, std::strerror(errno));
  std::abort();
}

// Of this OS process's time namespace against the host's; read once.
int64_t BootOffset() {
  static const int64_t offset = [] {
    const char* const text = std::getenv("CHAOS_BOOT_OFFSET_NS");
    return text == nullptr ? int64_t{0}
                           : static_cast<int64_t>(std::atoll(text));
  }();
  return offset;
}

}  // namespace

int64_t BootNanoseconds() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec - BootOffset();
}

Record::Record(const std::string& path)
    : file_(
          open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) {
  if (file_ < 0) Die(path.c_str());
}

Record::~Record() { close(file_); }

void Record::Write(HistoryEvent event) {
  if (event.at_ns == 0) event.at_ns = BootNanoseconds();
  const std::string line = ToJson(event) + "\n";
  if (write(file_, line.data(), line.size()) !=
      static_cast<ssize_t>(line.size())) {
    Die("write");
  }
}

}  // namespace muster
