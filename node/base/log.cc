#include "node/base/log.h"

namespace muster {

void NullLogger::Write(LogLevel, absl::string_view) {}

}  // namespace muster
