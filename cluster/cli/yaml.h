// YamlDocument: one YAML document as a tree of bounded size.
//
// For readers of files that people write. Knows lines and columns, refuses
// duplicate keys, and stays small whatever aliases expand to. yaml-cpp does the
// parsing; its exceptions end here.
#ifndef MUSTER_CLUSTER_CLI_YAML_H_
#define MUSTER_CLUSTER_CLI_YAML_H_

#include <cstddef>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace muster {

// Longest file.
inline constexpr size_t kYamlBytesMax = size_t{1} << 20;
// Deepest nesting.
inline constexpr size_t kYamlNestingMax = 32;
// Most values, and most bytes of text, once aliases are expanded.
inline constexpr size_t kYamlValuesMax = 100'000;
inline constexpr size_t kYamlExpandedBytesMax = size_t{4} << 20;

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  // Of its first character, counted from 1.
  int line = 0;
  int column = 0;
  // kScalar: what it says, and whether it is text whatever it looks like
  // (quoted, block or tagged !!str).
  std::string text;
  bool quoted = false;
  // kList. Nodes belong to the document; an aliased one appears repeatedly.
  std::vector<const YamlNode*> items;
  // kMap, in order; keys are scalars without duplicates.
  std::vector<std::pair<const YamlNode*, const YamlNode*>> fields;

  // For the bounds: levels below and including this one, values and bytes of
  // text with aliases expanded.
  size_t height = 1;
  size_t values = 1;
  size_t bytes = 0;
  bool complete = false;
};

class YamlDocument {
 public:
  // INVALID_ARGUMENT BAD_MANIFEST, `file:line:column: ...`, for anything but
  // exactly one well-formed document within the bounds, in UTF-8 without byte
  // order mark and control characters. Lines may end in CRLF.
  static absl::StatusOr<YamlDocument> Parse(absl::string_view text,
                                            absl::string_view file);

  YamlDocument(YamlDocument&&) = default;
  YamlDocument& operator=(YamlDocument&&) = default;

  const YamlNode& root() const { return *root_; }

 private:
  friend class YamlBuilder;
  YamlDocument() = default;

  std::deque<YamlNode> nodes_;
  const YamlNode* root_ = nullptr;
};

// `file:line:column: what` as INVALID_ARGUMENT BAD_MANIFEST, NOT_EXECUTED.
absl::Status YamlError(absl::string_view file, int line, int column,
                       absl::string_view what);

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_YAML_H_
