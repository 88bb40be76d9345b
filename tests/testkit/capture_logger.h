// CaptureLogger: a Logger whose lines a test can read.
#ifndef MUSTER_TESTS_TESTKIT_CAPTURE_LOGGER_H_
#define MUSTER_TESTS_TESTKIT_CAPTURE_LOGGER_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "node/base/log.h"
#include "node/base/mutex.h"

namespace muster {

// THREADS: any.
class CaptureLogger final : public Logger {
 public:
  void Write(LogLevel level, absl::string_view text) override
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    lines_.emplace_back(level, std::string(text));
  }

  // How many lines of this level contain `part`.
  size_t Count(LogLevel level, absl::string_view part) const
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    size_t count = 0;
    for (const auto& [at, text] : lines_) {
      if (at == level && absl::StrContains(text, part)) ++count;
    }
    return count;
  }
  std::vector<std::string> Lines() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    std::vector<std::string> lines;
    for (const auto& [at, text] : lines_) lines.push_back(text);
    return lines;
  }

 private:
  mutable Mutex mu_;
  std::vector<std::pair<LogLevel, std::string>> lines_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_TESTS_TESTKIT_CAPTURE_LOGGER_H_
