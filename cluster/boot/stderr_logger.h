// StderrLogger: one line a record, on stderr.
#ifndef MUSTER_CLUSTER_BOOT_STDERR_LOGGER_H_
#define MUSTER_CLUSTER_BOOT_STDERR_LOGGER_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "node/base/log.h"

namespace muster {

// What cannot be written, because the disk is full or nobody reads, is dropped
// (fault F21). THREADS: any.
class StderrLogger final : public Logger {
 public:
  // `who` stands in each line.
  explicit StderrLogger(const std::string& who);
  ~StderrLogger() override;

  void Write(LogLevel level, absl::string_view text) override;

 private:
  struct Sink;
  const std::unique_ptr<Sink> sink_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_BOOT_STDERR_LOGGER_H_
