#include "node/types/pid.h"

#include <cinttypes>
#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

// As %016x prints it.
bool ParseHex16(absl::string_view text, uint64_t* value) {
  if (text.size() != 16) return false;
  *value = 0;
  for (const char c : text) {
    uint64_t digit;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint64_t>(c - 'a') + 10;
    } else {
      return false;
    }
    *value = *value << 4 | digit;
  }
  return true;
}

bool ParseEpoch(absl::string_view text, Epoch* epoch) {
  return text.size() == 33 && text[16] == '.' &&
         ParseHex16(text.substr(0, 16), &epoch->generation) &&
         ParseHex16(text.substr(17), &epoch->revision);
}

bool ParsePid(absl::string_view text, Pid* pid) {
  const size_t first = text.find('~');
  if (first == absl::string_view::npos) return false;
  const size_t second = text.find('~', first + 1);
  if (second == absl::string_view::npos) return false;
  const absl::string_view node = text.substr(0, first);
  const absl::string_view number = text.substr(second + 1);
  if (!ValidateNodeName(node).ok()) return false;
  if (!ParseEpoch(text.substr(first + 1, second - first - 1), &pid->epoch)) {
    return false;
  }
  // SimpleAtoi also takes signs, spaces and leading zeros.
  if (number.empty() || number[0] < '1' || number[0] > '9' ||
      number.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(number, &pid->number)) {
    return false;
  }
  pid->node = std::string(node);
  return true;
}

}  // namespace

std::string Epoch::ToString() const {
  char text[34];
  std::snprintf(text, sizeof(text), "%016" PRIx64 ".%016" PRIx64, generation,
                revision);
  return text;
}

absl::StatusOr<Epoch> Epoch::Parse(absl::string_view text) {
  Epoch epoch;
  if (ParseEpoch(text, &epoch)) return epoch;
  return Error(absl::StatusCode::kInvalidArgument, "BAD_EPOCH",
               absl::StrCat(LogSafe(text),
                            " is no epoch: it is written as two numbers of 16 "
                            "hex digits joined by a dot"))
      .NotExecuted();
}

core::v1::Epoch Epoch::ToProto() const {
  core::v1::Epoch proto;
  proto.set_generation(generation);
  proto.set_revision(revision);
  return proto;
}

Epoch Epoch::FromProto(const core::v1::Epoch& proto) {
  return Epoch{proto.generation(), proto.revision()};
}

std::string Pid::ToString() const {
  return absl::StrCat(node, "~", epoch.ToString(), "~", number);
}

absl::StatusOr<Pid> Pid::Parse(absl::string_view text) {
  Pid pid;
  if (ParsePid(text, &pid)) return pid;
  return Error(absl::StatusCode::kInvalidArgument, "BAD_PID",
               absl::StrCat(LogSafe(text),
                            " is no pid: it is written as "
                            "<node>~<generation>.<revision>~<number>"))
      .NotExecuted();
}

core::v1::Pid Pid::ToProto() const {
  core::v1::Pid proto;
  proto.set_node(node);
  *proto.mutable_epoch() = epoch.ToProto();
  proto.set_number(number);
  return proto;
}

Pid Pid::FromProto(const core::v1::Pid& proto) {
  return Pid{proto.node(), Epoch::FromProto(proto.epoch()), proto.number()};
}

}  // namespace muster
