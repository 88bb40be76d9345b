#include "node/types/utf8.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace muster {
namespace {

// Length of the well-formed sequence that `s` begins with; 0 if none.
size_t SequenceBytes(absl::string_view s) {
  const auto at = [s](size_t i) { return static_cast<uint8_t>(s[i]); };
  const uint8_t lead = at(0);
  if (lead < 0x80) return 1;
  size_t bytes;
  // Bounds of the second byte; they exclude overlong forms, surrogates and
  // what is above U+10FFFF.
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    bytes = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    bytes = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    bytes = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  if (s.size() < bytes || at(1) < low || at(1) > high) return 0;
  for (size_t i = 2; i < bytes; ++i) {
    if (at(i) < 0x80 || at(i) > 0xBF) return 0;
  }
  return bytes;
}

}  // namespace

std::string ToValidUtf8(absl::string_view bytes) {
  constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t sequence = SequenceBytes(bytes);
    if (sequence == 0) {
      text.append(kReplacement.data(), kReplacement.size());
      bytes.remove_prefix(1);
    } else {
      text.append(bytes.data(), sequence);
      bytes.remove_prefix(sequence);
    }
  }
  return text;
}

absl::string_view CutUtf8(absl::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  size_t end = bytes_max;
  // Continuation bytes are 10xxxxxx.
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

std::string CutUtf8WithNote(absl::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return std::string(text);
  const std::string note = absl::StrCat("... (cut, ", text.size(), " bytes)");
  const size_t room = bytes_max > note.size() ? bytes_max - note.size() : 0;
  return absl::StrCat(CutUtf8(text, room), note);
}

}  // namespace muster
