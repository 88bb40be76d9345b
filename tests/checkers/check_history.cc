// check_history FILE...: which guarantees the histories of one run keep.
//
// The files are what several recorders of one host noted (event.h). Prints one
// line a guarantee and what broke it; exits 1 if something did, 2 if a file
// cannot be read.
#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "tests/checkers/checker.h"
#include "tests/checkers/history.h"

namespace muster {
namespace {

int Main(int argc, char** argv) {
  std::vector<std::string> files;
  CheckOptions options;
  for (int i = 1; i < argc; ++i) {
    const absl::string_view argument = argv[i];
    if (absl::StartsWith(argument, "--unknown-percent-max=") &&
        absl::SimpleAtoi(argument.substr(22), &options.unknown_percent_max)) {
      continue;
    }
    if (absl::StartsWith(argument, "-")) {
      files.clear();
      break;
    }
    files.emplace_back(argument);
  }
  if (files.empty()) {
    std::fprintf(stderr,
                 "usage: check_history [--unknown-percent-max=N] FILE...\n");
    return 2;
  }
  const absl::StatusOr<History> history = ReadHistories(files);
  if (!history.ok()) {
    std::fprintf(stderr, "%s\n",
                 std::string(history.status().message()).c_str());
    return 2;
  }
  bool kept = true;
  std::printf("%zu events\n", history->size());
  for (const Verdict& verdict : CheckAll(*history, options)) {
    const char* const word = !verdict.violations.empty() ? "BROKEN"
                             : verdict.looked_at == 0    ? "not seen"
                                                         : "kept";
    std::printf("%-4s %-42s %-8s %8llu\n",
                std::string(verdict.guarantee).c_str(),
                std::string(verdict.title).c_str(), word,
                static_cast<unsigned long long>(verdict.looked_at));
    for (const std::string& violation : verdict.violations) {
      std::printf("     %s\n", violation.c_str());
    }
    kept = kept && verdict.violations.empty();
  }
  for (const auto& [what, count] : Summarize(*history)) {
    std::printf("%8d %s\n", count, what.c_str());
  }
  return kept ? 0 : 1;
}

}  // namespace
}  // namespace muster

int main(int argc, char** argv) { return muster::Main(argc, argv); }
