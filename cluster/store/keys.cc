#include "cluster/store/keys.h"

#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::string_view kMeta = "meta";
constexpr absl::string_view kNode = "node/";
constexpr absl::string_view kHeartbeat = "hb/";
constexpr absl::string_view kBarrier = "barrier/";
constexpr absl::string_view kName = "name/";
constexpr absl::string_view kSupervisor = "supervisor/";
constexpr absl::string_view kChild = "child/";
constexpr absl::string_view kGrave = "grave/";
constexpr absl::string_view kAttested = "attested/";
constexpr absl::string_view kEvent = "event/";
constexpr absl::string_view kCompaction = "compaction";

constexpr char kDigits[] = "0123456789ABCDEF";

bool IsPlain(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
         c == '_' || c == ':' || c == '@' || c == '-';
}

// -1 unless `c` is an upper-case hex digit.
int DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

absl::Status BadKey(absl::string_view key, absl::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_KEY",
               absl::StrCat("store key ", LogSafe(key), " ", why))
      .NotExecuted()
      .status();
}

}  // namespace

std::string EscapeKeyPart(absl::string_view part) {
  std::string escaped;
  escaped.reserve(part.size());
  for (const char c : part) {
    if (IsPlain(c)) {
      escaped.push_back(c);
      continue;
    }
    const unsigned byte = static_cast<unsigned char>(c);
    escaped.push_back('%');
    escaped.push_back(kDigits[byte >> 4]);
    escaped.push_back(kDigits[byte & 15]);
  }
  return escaped;
}

absl::StatusOr<std::string> UnescapeKeyPart(absl::string_view escaped) {
  if (escaped.empty()) return BadKey(escaped, "has an empty part");
  std::string part;
  part.reserve(escaped.size());
  for (size_t i = 0; i < escaped.size(); ++i) {
    if (IsPlain(escaped[i])) {
      part.push_back(escaped[i]);
      continue;
    }
    if (escaped[i] != '%') return BadKey(escaped, "has a byte to be escaped");
    if (i + 2 >= escaped.size()) return BadKey(escaped, "ends in an escape");
    const int first = DigitValue(escaped[i + 1]);
    const int second = DigitValue(escaped[i + 2]);
    if (first < 0 || second < 0) {
      return BadKey(escaped, "has an escape that is not %XX");
    }
    const char c = static_cast<char>(first * 16 + second);
    if (IsPlain(c)) return BadKey(escaped, "escapes a byte that needs none");
    part.push_back(c);
    i += 2;
  }
  return part;
}

Keys::Keys(absl::string_view cluster)
    : root_(absl::StrCat("/muster/", EscapeKeyPart(cluster), "/")) {}

std::string Keys::Meta() const { return absl::StrCat(root_, kMeta); }

std::string Keys::Node(absl::string_view node) const {
  return absl::StrCat(root_, kNode, EscapeKeyPart(node));
}
std::string Keys::NodePrefix() const { return absl::StrCat(root_, kNode); }

std::string Keys::Heartbeat(absl::string_view node) const {
  return absl::StrCat(root_, kHeartbeat, EscapeKeyPart(node));
}
std::string Keys::HeartbeatPrefix() const {
  return absl::StrCat(root_, kHeartbeat);
}

std::string Keys::Barrier(absl::string_view node) const {
  return absl::StrCat(root_, kBarrier, EscapeKeyPart(node));
}
std::string Keys::BarrierPrefix() const {
  return absl::StrCat(root_, kBarrier);
}

std::string Keys::Name(absl::string_view name) const {
  return absl::StrCat(root_, kName, EscapeKeyPart(name));
}
std::string Keys::NamePrefix() const { return absl::StrCat(root_, kName); }

std::string Keys::Supervisor(absl::string_view supervisor) const {
  return absl::StrCat(root_, kSupervisor, EscapeKeyPart(supervisor));
}
std::string Keys::SupervisorPrefix() const {
  return absl::StrCat(root_, kSupervisor);
}

std::string Keys::Child(absl::string_view supervisor,
                        absl::string_view child) const {
  return absl::StrCat(ChildPrefix(supervisor), EscapeKeyPart(child));
}
std::string Keys::ChildPrefix() const { return absl::StrCat(root_, kChild); }
std::string Keys::ChildPrefix(absl::string_view supervisor) const {
  return absl::StrCat(root_, kChild, EscapeKeyPart(supervisor), "/");
}

std::string Keys::Grave(absl::string_view node) const {
  return absl::StrCat(root_, kGrave, EscapeKeyPart(node));
}
std::string Keys::GravePrefix() const { return absl::StrCat(root_, kGrave); }

std::string Keys::Attested(absl::string_view node) const {
  return absl::StrCat(root_, kAttested, EscapeKeyPart(node));
}

std::string Keys::Event(absl::string_view event) const {
  return absl::StrCat(root_, kEvent, EscapeKeyPart(event));
}
std::string Keys::EventPrefix() const { return absl::StrCat(root_, kEvent); }

std::string Keys::Compaction() const {
  return absl::StrCat(root_, kCompaction);
}

absl::StatusOr<Keys::Parsed> Keys::Parse(absl::string_view key) const {
  absl::string_view rest = key;
  if (!absl::ConsumePrefix(&rest, root_)) {
    return BadKey(key, absl::StrCat("is outside of ", root_));
  }
  if (rest == kMeta) return Parsed{.kind = Kind::kMeta};
  if (rest == kCompaction) return Parsed{.kind = Kind::kCompaction};
  Parsed parsed;
  if (absl::ConsumePrefix(&rest, kNode)) {
    parsed.kind = Kind::kNode;
  } else if (absl::ConsumePrefix(&rest, kHeartbeat)) {
    parsed.kind = Kind::kHeartbeat;
  } else if (absl::ConsumePrefix(&rest, kBarrier)) {
    parsed.kind = Kind::kBarrier;
  } else if (absl::ConsumePrefix(&rest, kName)) {
    parsed.kind = Kind::kName;
  } else if (absl::ConsumePrefix(&rest, kSupervisor)) {
    parsed.kind = Kind::kSupervisor;
  } else if (absl::ConsumePrefix(&rest, kGrave)) {
    parsed.kind = Kind::kGrave;
  } else if (absl::ConsumePrefix(&rest, kAttested)) {
    parsed.kind = Kind::kAttested;
  } else if (absl::ConsumePrefix(&rest, kEvent)) {
    parsed.kind = Kind::kEvent;
  } else if (absl::ConsumePrefix(&rest, kChild)) {
    parsed.kind = Kind::kChild;
    const size_t slash = rest.find('/');
    if (slash == absl::string_view::npos) {
      return BadKey(key, "names no child");
    }
    absl::StatusOr<std::string> supervisor =
        UnescapeKeyPart(rest.substr(0, slash));
    if (!supervisor.ok()) return supervisor.status();
    parsed.supervisor = *std::move(supervisor);
    rest.remove_prefix(slash + 1);
  } else {
    return BadKey(key, "is of no known kind");
  }
  absl::StatusOr<std::string> id = UnescapeKeyPart(rest);
  if (!id.ok()) return id.status();
  parsed.id = *std::move(id);
  return parsed;
}

}  // namespace muster
