#include "cluster/cli/words.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "node/types/names.h"

namespace muster {
namespace {

struct Unit {
  absl::string_view name;
  absl::Duration length;
};

constexpr Unit kUnits[] = {
    {"ms", absl::Milliseconds(1)},
    {"s", absl::Seconds(1)},
    {"m", absl::Minutes(1)},
    {"h", absl::Hours(1)},
};

// Longer words are not looked at: the distance is quadratic.
constexpr size_t kWordBytesMax = 64;

// Keystrokes between two words; two neighbours swapped count as one.
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> before, above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(above, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({change, above[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  size_t digits = 0;
  while (digits < text.size() && absl::ascii_isdigit(text[digits])) ++digits;
  const absl::string_view unit = text.substr(digits);
  if (digits > 0 && unit.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(LogSafe(text),
                     " has no unit; write a whole number and ms, s, m or h, "
                     "for example ",
                     digits <= 6 ? text : "5", "s"));
  }
  for (const Unit& known : kUnits) {
    if (digits == 0 || unit != known.name) continue;
    int64_t number = 0;
    if (!absl::SimpleAtoi(text.substr(0, digits), &number) ||
        number > kWrittenDurationMax / known.length || number < 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          LogSafe(text), " is out of range; the range is 1ms to 24h"));
    }
    return number * known.length;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      LogSafe(text),
      " is no duration; write a whole number and ms, s, m or h, for example "
      "5s"));
}

std::string DurationText(absl::Duration d) {
  const int64_t ms = absl::ToInt64Milliseconds(d);
  if (ms % 1000 != 0) return absl::StrCat(ms, "ms");
  const int64_t s = ms / 1000;
  if (s == 0 || s % 60 != 0) return absl::StrCat(s, "s");
  if (s % 3600 != 0) return absl::StrCat(s / 60, "m");
  return absl::StrCat(s / 3600, "h");
}

std::string Nearest(absl::string_view word,
                    const std::vector<std::string>& candidates) {
  if (word.empty() || word.size() > kWordBytesMax) return "";
  const std::string lower = absl::AsciiStrToLower(word);
  std::string nearest;
  // A third of the word may be wrong, and one keystroke always.
  size_t best = std::max<size_t>(2, lower.size() / 3 + 1);
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kWordBytesMax) continue;
    const size_t distance = Distance(lower, absl::AsciiStrToLower(candidate));
    if (distance >= best || distance >= candidate.size()) continue;
    best = distance;
    nearest = candidate;
  }
  if (!nearest.empty() || lower.size() < 3) return nearest;
  // The beginning of a longer word.
  for (const std::string& candidate : candidates) {
    if (absl::StartsWithIgnoreCase(candidate, lower)) return candidate;
  }
  return "";
}

std::string DidYouMean(absl::string_view word,
                       const std::vector<std::string>& candidates) {
  const std::string nearest = Nearest(word, candidates);
  return nearest.empty() ? ""
                         : absl::StrCat("; did you mean \"", nearest, "\"?");
}

}  // namespace muster
