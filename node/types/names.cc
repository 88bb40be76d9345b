#include "node/types/names.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "node/types/status.h"

namespace muster {
namespace {

bool IsNameByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
         c == '_' || c == ':' || c == '@' || c == '/' || c == '-';
}

bool IsNodeNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

absl::Status BadName(absl::string_view what, absl::string_view name,
                     absl::string_view wrong, absl::string_view right) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_NAME",
               absl::StrCat(what, " name ", LogSafe(name), " ", wrong, ": ",
                            right))
      .NotExecuted()
      .status();
}

// Checks length and alphabet, which is all there is to nodes' names.
absl::Status Check(absl::string_view what, absl::string_view name,
                   size_t bytes_max, bool (*allowed)(char),
                   absl::string_view right) {
  if (name.empty()) return BadName(what, name, "is empty", right);
  if (name.size() > bytes_max) {
    return BadName(what, name, absl::StrCat("is ", name.size(), " bytes long"),
                   right);
  }
  for (size_t i = 0; i < name.size(); ++i) {
    if (allowed(name[i])) continue;
    return BadName(
        what, name,
        absl::StrCat("has ", LogSafe(name.substr(i, 1)), " at byte ", i),
        right);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateName(absl::string_view name) {
  constexpr absl::string_view kRight =
      "a name is 1 to 255 bytes of A-Z a-z 0-9 . _ : @ / - without \"..\"";
  absl::Status status =
      Check("process", name, kNameBytesMax, IsNameByte, kRight);
  if (status.ok() && name.find("..") != absl::string_view::npos) {
    return BadName("process", name, "has \"..\"", kRight);
  }
  return status;
}

absl::Status ValidateNodeName(absl::string_view node) {
  return Check("node", node, kNodeNameBytesMax, IsNodeNameByte,
               "a node's name is 1 to 63 bytes of a-z 0-9 -");
}

absl::Status ValidateClusterName(absl::string_view cluster) {
  return Check("cluster", cluster, kNodeNameBytesMax, IsNodeNameByte,
               "a cluster's name is 1 to 63 bytes of a-z 0-9 -");
}

std::string LogSafe(absl::string_view input, size_t bytes_max) {
  if (input.size() <= bytes_max) {
    return absl::StrCat("\"", absl::CHexEscape(input), "\"");
  }
  return absl::StrCat("\"", absl::CHexEscape(input.substr(0, bytes_max)),
                      "...\" (", input.size(), " bytes)");
}

}  // namespace muster
