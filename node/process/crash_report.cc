#include "node/process/crash_report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "node/types/names.h"

namespace muster {
namespace {

// Longest list that is written out.
constexpr size_t kListMax = 16;

void AppendText(absl::string_view key, absl::string_view value,
                std::string* line) {
  if (value.empty()) return;
  absl::StrAppend(line, " ", key, "=", LogSafe(value, 256));
}

void AppendPids(absl::string_view key, const std::vector<Pid>& pids,
                std::string* line) {
  if (pids.empty()) return;
  absl::StrAppend(line, " ", key, "=[");
  for (size_t i = 0; i < pids.size() && i < kListMax; ++i) {
    absl::StrAppend(line, i == 0 ? "" : " ", pids[i].ToString());
  }
  if (pids.size() > kListMax) {
    absl::StrAppend(line, " and ", pids.size() - kListMax, " more");
  }
  absl::StrAppend(line, "]");
}

}  // namespace

std::string CrashReport::ToString() const {
  std::string line = absl::StrCat(pid.ToString(), name.empty() ? "" : " ", name,
                                  " crashed: ", reason.ToString(), ";");
  AppendText("label", label, &line);
  AppendText("type", type, &line);
  AppendText("handler", handler, &line);
  if (!parent.empty()) absl::StrAppend(&line, " parent=", parent.ToString());
  AppendPids("ancestors", ancestors, &line);
  AppendPids("links", links, &line);
  absl::StrAppend(&line, " mailbox=", mailbox);
  if (trap_exit) absl::StrAppend(&line, " trap_exit=true");
  if (!details.empty()) absl::StrAppend(&line, "; ", details);
  return line;
}

}  // namespace muster
