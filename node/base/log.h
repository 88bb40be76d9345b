// Logger: where a node writes what people should read.
#ifndef MUSTER_NODE_BASE_LOG_H_
#define MUSTER_NODE_BASE_LOG_H_

#include "absl/strings/string_view.h"

namespace muster {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// THREADS: any thread; never blocks for long and never fails.
class Logger {
 public:
  virtual ~Logger() = default;
  // `text` is one line without a newline at its end.
  virtual void Write(LogLevel level, absl::string_view text) = 0;

  void Debug(absl::string_view text) { Write(LogLevel::kDebug, text); }
  void Info(absl::string_view text) { Write(LogLevel::kInfo, text); }
  void Warning(absl::string_view text) { Write(LogLevel::kWarning, text); }
  void Error(absl::string_view text) { Write(LogLevel::kError, text); }
};

// Drops everything.
class NullLogger final : public Logger {
 public:
  void Write(LogLevel level, absl::string_view text) override;
};

}  // namespace muster

#endif  // MUSTER_NODE_BASE_LOG_H_
