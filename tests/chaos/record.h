// Record: a history in a file that outlives its OS process.
#ifndef MUSTER_TESTS_CHAOS_RECORD_H_
#define MUSTER_TESTS_CHAOS_RECORD_H_

#include <cstdint>
#include <string>

#include "tests/checkers/event.h"

namespace muster {

// Now on the host's CLOCK_BOOTTIME, in ns. An OS process with an offset of its
// own (unshare -T) says so in the environment: CHAOS_BOOT_OFFSET_NS.
int64_t BootNanoseconds();

// THREADS: any.
class Record {
 public:
  // Appends to `path`; ends the program if that cannot be opened.
  explicit Record(const std::string& path);
  ~Record();
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;

  // One write(2), so that kill -9 loses all of the line or none of it, and
  // nothing once this has returned. An event without a time happens now.
  void Write(HistoryEvent event);

 private:
  int file_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CHAOS_RECORD_H_
