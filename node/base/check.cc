#include "node/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace muster::internal {

void CheckFailed(const char* file, int line, const char* expression,
                 absl::string_view why) {
  std::fprintf(stderr, "%s:%d: check failed: %s%s%.*s\n", file, line,
               expression, why.empty() ? "" : ": ",
               static_cast<int>(why.size()), why.data());
  std::fflush(stderr);
  std::abort();
}

}  // namespace muster::internal
