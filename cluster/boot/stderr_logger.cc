#include "cluster/boot/stderr_logger.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace muster {

struct StderrLogger::Sink {
  explicit Sink(const std::string& who)
      : logger(who, std::make_shared<spdlog::sinks::stderr_sink_mt>()) {}
  spdlog::logger logger;
};

StderrLogger::StderrLogger(const std::string& who)
    : sink_(std::make_unique<Sink>(who)) {
  sink_->logger.set_pattern("%Y-%m-%dT%H:%M:%S.%e %L [%n] %v");
  sink_->logger.flush_on(spdlog::level::info);
}

StderrLogger::~StderrLogger() = default;

void StderrLogger::Write(LogLevel level, absl::string_view text) {
  static constexpr spdlog::level::level_enum kLevels[] = {
      spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
      spdlog::level::err};
  sink_->logger.log(kLevels[static_cast<int>(level)], "{}",
                    spdlog::string_view_t(text.data(), text.size()));
}

}  // namespace muster
