#include "cluster/cli/yaml.h"

#include <algorithm>
#include <exception>
#include <map>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "node/types/names.h"
#include "node/types/status.h"
#include "node/types/utf8.h"
#include "yaml-cpp/anchor.h"
#include "yaml-cpp/emitterstyle.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/mark.h"
#include "yaml-cpp/parser.h"

namespace muster {
namespace {

constexpr absl::string_view kStrTag = "tag:yaml.org,2002:str";

// The first byte that no manifest has, if any: yaml-cpp would take some control
// bytes for the end of the file.
absl::Status CheckBytes(absl::string_view text, absl::string_view file) {
  if (text.size() > kYamlBytesMax) {
    return YamlError(file, 1, 1,
                     absl::StrCat("the file has ", text.size(),
                                  " bytes; at most 1 MiB is read"));
  }
  if (absl::StartsWith(text, "\xEF\xBB\xBF")) {
    return YamlError(file, 1, 1,
                     "the file begins with a byte order mark; save it as UTF-8 "
                     "without one");
  }
  const bool utf8 = ToValidUtf8(text) == text;
  int line = 1;
  int column = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    if (c == '\n') {
      if (!utf8 && ToValidUtf8(text.substr(0, i)) != text.substr(0, i)) {
        return YamlError(file, line, 1, "this line is not UTF-8");
      }
      ++line;
      column = 1;
      continue;
    }
    if ((absl::ascii_iscntrl(c) && c != '\t')) {
      return YamlError(
          file, line, column,
          absl::StrCat("control character ", LogSafe(text.substr(i, 1)),
                       "; only tabs and line ends are allowed"));
    }
    ++column;
  }
  if (!utf8) return YamlError(file, line, 1, "this line is not UTF-8");
  return absl::OkStatus();
}

}  // namespace

// Receives yaml-cpp's events. Keeps the first error and then ignores the rest:
// throwing through the parser is not ours to do.
class YamlBuilder final : public YAML::EventHandler {
 public:
  YamlBuilder(absl::string_view file, YamlDocument* document)
      : file_(file), document_(document) {}

  const absl::Status& status() const { return status_; }
  void Fail(const YAML::Mark& mark, absl::string_view what) {
    Fail(mark.line + 1, mark.column + 1, what);
  }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlNode* const node = Add(YamlNode::Kind::kNull, mark, "", anchor);
    if (node == nullptr) return;
    if (!levels_.empty() && levels_.back().key != nullptr) {
      // The mark of an empty value is that of whatever comes next.
      node->line = levels_.back().key->line;
      node->column = levels_.back().key->column;
    }
    Finish(node);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (!status_.ok()) return;
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end() || !found->second->complete) {
      Fail(mark, "an alias to something that contains it");
      return;
    }
    Attach(found->second, mark);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag,
                YAML::anchor_t anchor, const std::string& value) override {
    const bool quoted = tag == "!" || tag == kStrTag;
    YamlNode* const node =
        Add(YamlNode::Kind::kScalar, mark, quoted ? "" : tag, anchor);
    if (node == nullptr) return;
    node->text = value;
    node->quoted = quoted;
    node->bytes = value.size();
    Finish(node);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(Add(YamlNode::Kind::kList, mark, tag, anchor), mark);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag,
                  YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    Open(Add(YamlNode::Kind::kMap, mark, tag, anchor), mark);
  }
  void OnMapEnd() override { Close(); }

 private:
  // A list or map that is being read.
  struct Level {
    YamlNode* node;
    const YamlNode* key = nullptr;
    std::map<std::string, int> lines;  // Key -> line.
  };

  void Fail(int line, int column, absl::string_view what) {
    if (status_.ok()) status_ = YamlError(file_, line, column, what);
  }

  // nullptr after an error.
  YamlNode* Add(YamlNode::Kind kind, const YAML::Mark& mark,
                const std::string& tag, YAML::anchor_t anchor) {
    if (!status_.ok()) return nullptr;
    if (tag != "" && tag != "?" && tag != "!") {
      Fail(mark,
           absl::StrCat("tag ", LogSafe(tag), " is not supported; remove it"));
      return nullptr;
    }
    YamlNode* const node = &document_->nodes_.emplace_back();
    node->kind = kind;
    node->line = mark.line + 1;
    node->column = mark.column + 1;
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    return node;
  }

  void Open(YamlNode* node, const YAML::Mark& mark) {
    if (node == nullptr) return;
    levels_.push_back({node});
    if (levels_.size() > kYamlNestingMax) {
      Fail(mark,
           absl::StrCat("nested deeper than ", kYamlNestingMax, " levels"));
    }
  }

  void Close() {
    if (!status_.ok()) return;
    YamlNode* const node = levels_.back().node;
    levels_.pop_back();
    Finish(node);
  }

  void Finish(YamlNode* node) {
    node->complete = true;
    Attach(node, YAML::Mark::null_mark());
  }

  // Hangs a complete node into the open list or map. `alias` is where an alias
  // stands that means it.
  void Attach(const YamlNode* node, const YAML::Mark& alias) {
    const int line = alias.is_null() ? node->line : alias.line + 1;
    const int column = alias.is_null() ? node->column : alias.column + 1;
    if (levels_.empty()) {
      document_->root_ = node;
      return;
    }
    Level& level = levels_.back();
    if (!Grow(level.node, *node, line, column)) return;
    if (level.node->kind == YamlNode::Kind::kList) {
      level.node->items.push_back(node);
    } else if (level.key == nullptr) {
      if (CheckKey(&level, *node, line, column)) level.key = node;
    } else {
      level.node->fields.emplace_back(std::exchange(level.key, nullptr), node);
    }
  }

  bool Grow(YamlNode* parent, const YamlNode& child, int line, int column) {
    parent->values += child.values;
    parent->bytes += child.bytes;
    parent->height = std::max(parent->height, child.height + 1);
    if (parent->values > kYamlValuesMax ||
        parent->bytes > kYamlExpandedBytesMax) {
      Fail(line, column,
           "more than 100,000 values or 4 MiB of text, aliases expanded");
    } else if (levels_.size() + child.height > kYamlNestingMax + 1) {
      Fail(line, column,
           absl::StrCat("nested deeper than ", kYamlNestingMax,
                        " levels, aliases expanded"));
    }
    return status_.ok();
  }

  bool CheckKey(Level* level, const YamlNode& key, int line, int column) {
    if (key.kind != YamlNode::Kind::kScalar) {
      Fail(line, column, "a key must be a word or a quoted text");
      return false;
    }
    if (key.text == "<<" && !key.quoted) {
      Fail(line, column,
           "merge keys (<<) are not supported; write the fields out");
      return false;
    }
    const auto [first, inserted] = level->lines.emplace(key.text, line);
    if (!inserted) {
      Fail(line, column,
           absl::StrCat(LogSafe(key.text), ": duplicate key, first on line ",
                        first->second, "; remove one of them"));
    }
    return inserted;
  }

  const std::string file_;
  YamlDocument* const document_;
  absl::Status status_;
  std::map<YAML::anchor_t, YamlNode*> anchors_;
  std::vector<Level> levels_;
};

absl::StatusOr<YamlDocument> YamlDocument::Parse(absl::string_view text,
                                                 absl::string_view file) {
  absl::Status bytes = CheckBytes(text, file);
  if (!bytes.ok()) return bytes;
  YamlDocument document;
  YamlBuilder builder(file, &document);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) {
      return YamlError(file, 1, 1, "the file is empty");
    }
    if (builder.status().ok()) {
      YamlDocument rest;
      YamlBuilder second(file, &rest);
      if (parser.HandleNextDocument(second)) {
        return YamlError(file, rest.root_ ? rest.root_->line : 1, 1,
                         "a second document begins here; use one file for each "
                         "tree");
      }
    }
  } catch (const YAML::Exception& e) {
    builder.Fail(e.mark, absl::StrCat("malformed YAML: ", e.msg));
  } catch (const std::exception& e) {
    builder.Fail(YAML::Mark(), absl::StrCat("malformed YAML: ", e.what()));
  }
  if (!builder.status().ok()) return builder.status();
  if (document.root_ == nullptr) {
    return YamlError(file, 1, 1, "the file is empty");
  }
  return document;
}

absl::Status YamlError(absl::string_view file, int line, int column,
                       absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_MANIFEST",
               absl::StrCat(file, ":", line, ":", column, ": ", what))
      .NotExecuted();
}

}  // namespace muster
