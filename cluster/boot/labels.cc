#include "cluster/boot/labels.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr size_t kBytesMax = 63;
constexpr size_t kLabelsMax = 32;

bool Consists(absl::string_view text, absl::string_view also) {
  for (const char c : text) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) &&
        also.find(c) == absl::string_view::npos) {
      return false;
    }
  }
  return true;
}

absl::Status Bad(const std::string& word, absl::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_LABEL",
               absl::StrCat("--label ", LogSafe(word), ": ", why))
      .NotExecuted();
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> ParseLabels(
    const std::vector<std::string>& words) {
  std::map<std::string, std::string> labels;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) {
      return Bad(word, "write key=value, such as zone=a");
    }
    const std::string key = word.substr(0, equals);
    const std::string value = word.substr(equals + 1);
    if (key.empty() || key.size() > kBytesMax || !Consists(key, "._-/") ||
        !absl::ascii_isalnum(static_cast<unsigned char>(key[0]))) {
      return Bad(word,
                 "a key is 1 to 63 bytes of A-Z a-z 0-9 . _ - / and begins "
                 "with a letter or digit");
    }
    if (value.size() > kBytesMax || !Consists(value, "._-")) {
      return Bad(word, "a value is up to 63 bytes of A-Z a-z 0-9 . _ -");
    }
    if (!labels.emplace(key, value).second) {
      return Bad(word, "this key was given twice");
    }
  }
  if (labels.size() > kLabelsMax) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_LABEL",
                 absl::StrCat(labels.size(), " labels; a node has at most ",
                              kLabelsMax))
        .NotExecuted();
  }
  return labels;
}

}  // namespace muster
