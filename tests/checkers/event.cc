#include "tests/checkers/event.h"

#include <array>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace muster {
namespace {

constexpr auto kKinds = std::to_array<absl::string_view>(
    {"invoke",  "ok",     "error",    "gone",    "seen",     "start",
     "exit",    "begin",  "end",      "pass",    "admit",    "join",
     "reap",    "claim",  "release",  "restore", "check",    "died",
     "monitor", "down",   "message",  "send",    "dispatch", "refused",
     "break",   "wanted", "unwanted", "running", "budget",   "restart",
     "gave_up", "outage", "state",    "measure", "access",   "fault",
     "phase"});
static_assert(kKinds.size() == static_cast<size_t>(EventKind::kPhase) + 1);

struct TextField {
  absl::string_view key;
  std::string HistoryEvent::* field;
};
constexpr TextField kTexts[] = {
    {"node", &HistoryEvent::node},       {"session", &HistoryEvent::session},
    {"name", &HistoryEvent::name},       {"call", &HistoryEvent::call},
    {"op", &HistoryEvent::op},           {"reason", &HistoryEvent::reason},
    {"outcome", &HistoryEvent::outcome}, {"key", &HistoryEvent::key},
};
struct EpochField {
  absl::string_view key;
  Epoch HistoryEvent::* field;
};
constexpr EpochField kEpochs[] = {
    {"node_epoch", &HistoryEvent::node_epoch},
    {"epoch", &HistoryEvent::epoch},
};
struct NumberField {
  absl::string_view key;
  int64_t HistoryEvent::* field;
};
constexpr NumberField kNumbers[] = {
    {"value", &HistoryEvent::value},
    {"limit", &HistoryEvent::limit},
};

void AppendText(std::string* out, absl::string_view key,
                absl::string_view text) {
  absl::StrAppend(out, ",\"", key, "\":\"");
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      constexpr char kHex[] = "0123456789abcdef";
      absl::StrAppend(out, "\\u00");
      out->push_back(kHex[c >> 4]);
      out->push_back(kHex[c & 15]);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

// Reads one flat object.
class Reader {
 public:
  explicit Reader(absl::string_view text) : rest_(text) {}

  bool Take(char c) {
    SkipSpace();
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool AtEnd() {
    SkipSpace();
    return rest_.empty();
  }
  bool Text(std::string* out) {
    out->clear();
    if (!Take('"')) return false;
    while (!rest_.empty()) {
      const char c = rest_[0];
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '\\') {
        out->push_back(c);
        continue;
      }
      if (rest_.empty()) return false;
      const char escaped = rest_[0];
      rest_.remove_prefix(1);
      switch (escaped) {
        case '"':
        case '\\':
        case '/':
          out->push_back(escaped);
          break;
        case 'n':
          out->push_back('\n');
          break;
        case 't':
          out->push_back('\t');
          break;
        case 'r':
          out->push_back('\r');
          break;
        case 'b':
          out->push_back('\b');
          break;
        case 'f':
          out->push_back('\f');
          break;
        case 'u':
          if (!Unicode(out)) return false;
          break;
        default:
          return false;
      }
    }
    return false;
  }
  // An integer, or true and false as 1 and 0.
  template <typename T>
  bool Number(T* out) {
    SkipSpace();
    size_t length = 0;
    while (length < rest_.size() && rest_[length] != ',' &&
           rest_[length] != '}' && rest_[length] != ' ') {
      ++length;
    }
    const absl::string_view token = rest_.substr(0, length);
    rest_.remove_prefix(length);
    if (token == "true" || token == "false") {
      *out = token == "true" ? 1 : 0;
      return true;
    }
    return absl::SimpleAtoi(token, out);
  }

 private:
  void SkipSpace() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t' ||
                              rest_[0] == '\r' || rest_[0] == '\n')) {
      rest_.remove_prefix(1);
    }
  }
  // As UTF-8; halves of pairs are not needed by anything that we record.
  bool Unicode(std::string* out) {
    if (rest_.size() < 4) return false;
    unsigned code = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = rest_[static_cast<size_t>(i)];
      code <<= 4;
      if (c >= '0' && c <= '9') {
        code += static_cast<unsigned>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        code += static_cast<unsigned>(c - 'a' + 10);
      } else if (c >= 'A' && c <= 'F') {
        code += static_cast<unsigned>(c - 'A' + 10);
      } else {
        return false;
      }
    }
    rest_.remove_prefix(4);
    if (code >= 0xd800 && code < 0xe000) return false;
    if (code < 0x80) {
      out->push_back(static_cast<char>(code));
    } else if (code < 0x800) {
      out->push_back(static_cast<char>(0xc0 | (code >> 6)));
      out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
    } else {
      out->push_back(static_cast<char>(0xe0 | (code >> 12)));
      out->push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3f)));
      out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
    }
    return true;
  }

  absl::string_view rest_;
};

absl::Status Bad(absl::string_view what, absl::string_view line) {
  return absl::InvalidArgumentError(absl::StrCat(
      what, " in \"", absl::CHexEscape(line.substr(0, 120)), "\""));
}

// False: no such field. A value of the wrong type is in `status`.
bool ReadField(const std::string& key, Reader& reader, HistoryEvent* event,
               bool* kind_seen, absl::Status* status) {
  const auto wrong = [&] {
    *status = absl::InvalidArgumentError(absl::StrCat("bad \"", key, "\""));
  };
  std::string text;
  if (key == "at") {
    if (!reader.Number(&event->at_ns)) wrong();
    return true;
  }
  if (key == "seq") {
    if (!reader.Number(&event->seq)) wrong();
    return true;
  }
  if (key == "kind") {
    if (!reader.Text(&text)) {
      wrong();
      return true;
    }
    for (size_t i = 0; i < kKinds.size(); ++i) {
      if (kKinds[i] != text) continue;
      event->kind = static_cast<EventKind>(i);
      *kind_seen = true;
      return true;
    }
    wrong();
    return true;
  }
  for (const TextField& field : kTexts) {
    if (field.key != key) continue;
    if (!reader.Text(&(event->*field.field))) wrong();
    return true;
  }
  for (const EpochField& field : kEpochs) {
    if (field.key != key) continue;
    const bool read = reader.Text(&text);
    const absl::StatusOr<Epoch> epoch = Epoch::Parse(text);
    if (!read || !epoch.ok()) {
      wrong();
    } else {
      event->*field.field = *epoch;
    }
    return true;
  }
  for (const NumberField& field : kNumbers) {
    if (field.key != key) continue;
    if (!reader.Number(&(event->*field.field))) wrong();
    return true;
  }
  return false;
}

}  // namespace

absl::string_view KindName(EventKind kind) {
  return kKinds[static_cast<size_t>(kind)];
}

std::string ToJson(const HistoryEvent& event) {
  std::string out = absl::StrCat("{\"at\":", event.at_ns, ",\"kind\":\"",
                                 KindName(event.kind), "\"");
  for (const TextField& field : kTexts) {
    const std::string& text = event.*field.field;
    if (!text.empty()) AppendText(&out, field.key, text);
  }
  for (const EpochField& field : kEpochs) {
    const Epoch& epoch = event.*field.field;
    if (!epoch.empty()) AppendText(&out, field.key, epoch.ToString());
  }
  for (const NumberField& field : kNumbers) {
    const int64_t number = event.*field.field;
    if (number != 0) absl::StrAppend(&out, ",\"", field.key, "\":", number);
  }
  if (event.seq != 0) absl::StrAppend(&out, ",\"seq\":", event.seq);
  out.push_back('}');
  return out;
}

absl::StatusOr<HistoryEvent> ParseEvent(absl::string_view line) {
  HistoryEvent event;
  Reader reader(line);
  if (!reader.Take('{')) return Bad("no object", line);
  bool kind_seen = false;
  bool first = true;
  while (!reader.Take('}')) {
    if (!first && !reader.Take(',')) return Bad("no comma", line);
    first = false;
    std::string key;
    if (!reader.Text(&key) || !reader.Take(':')) return Bad("no key", line);
    absl::Status status;
    if (!ReadField(key, reader, &event, &kind_seen, &status)) {
      return Bad(absl::StrCat("unknown field ", key), line);
    }
    if (!status.ok()) return Bad(status.message(), line);
  }
  if (!reader.AtEnd()) return Bad("more than one object", line);
  if (!kind_seen) return Bad("no kind", line);
  return event;
}

}  // namespace muster
