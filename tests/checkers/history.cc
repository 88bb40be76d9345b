#include "tests/checkers/history.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"

namespace muster {

void SortHistory(History* history) {
  std::vector<std::pair<int64_t, size_t>> order;
  order.reserve(history->size());
  for (size_t i = 0; i < history->size(); ++i) {
    order.emplace_back((*history)[i].at_ns, i);
  }
  std::sort(order.begin(), order.end());
  History sorted;
  sorted.reserve(history->size());
  for (const auto& [at, i] : order) sorted.push_back(std::move((*history)[i]));
  *history = std::move(sorted);
}

absl::StatusOr<History> ReadHistories(const std::vector<std::string>& files) {
  History history;
  for (const std::string& file : files) {
    std::ifstream in(file);
    if (!in) {
      return absl::NotFoundError(absl::StrCat(file, ": cannot be read"));
    }
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
      if (line.empty()) continue;
      absl::StatusOr<HistoryEvent> event = ParseEvent(line);
      if (!event.ok()) {
        if (in.eof()) break;
        return absl::InvalidArgumentError(
            absl::StrCat(file, ":", number, ": ", event.status().message()));
      }
      history.push_back(*std::move(event));
    }
  }
  SortHistory(&history);
  return history;
}

absl::Status WriteHistory(const History& history, const std::string& file) {
  std::ofstream out(file, std::ios::trunc);
  for (const HistoryEvent& event : history) out << ToJson(event) << '\n';
  out.close();
  if (!out) return absl::UnavailableError(absl::StrCat(file, ": not written"));
  return absl::OkStatus();
}

}  // namespace muster
