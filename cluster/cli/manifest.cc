#include "cluster/cli/manifest.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "cluster/cli/words.h"
#include "cluster/cli/yaml.h"
#include "google/protobuf/struct.pb.h"
#include "node/types/names.h"
#include "node/types/proto_time.h"

namespace muster {
namespace {

using cluster::v1::Manifest;
using cluster::v1::ManifestChild;

constexpr size_t kIdBytesMax = 63;
// Beyond it a supervisor would restart without end before anyone notices.
constexpr int64_t kIntensityMax = 1000;
// Beyond it a JSON number loses digits.
constexpr int64_t kExactIntegerMax = int64_t{1} << 53;

// --- What a plain scalar means (YAML 1.2, core schema) -----------------------

enum class Meaning { kText, kNull, kBool, kInteger, kFloat, kNotANumber };

bool IsDigits(absl::string_view text, bool (*digit)(unsigned char)) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (!digit(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

bool IsOctalDigit(unsigned char c) { return c >= '0' && c <= '7'; }

absl::string_view WithoutSign(absl::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    text.remove_prefix(1);
  }
  return text;
}

bool IsInteger(absl::string_view text) {
  if (text.substr(0, 2) == "0x") {
    return IsDigits(text.substr(2), absl::ascii_isxdigit);
  }
  if (text.substr(0, 2) == "0o") return IsDigits(text.substr(2), IsOctalDigit);
  return IsDigits(WithoutSign(text), absl::ascii_isdigit);
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool IsFloat(absl::string_view text) {
  text = WithoutSign(text);
  const size_t e = text.find_first_of("eE");
  if (e != absl::string_view::npos) {
    if (!IsDigits(WithoutSign(text.substr(e + 1)), absl::ascii_isdigit)) {
      return false;
    }
    text = text.substr(0, e);
  }
  const size_t dot = text.find('.');
  if (dot == absl::string_view::npos) {
    return IsDigits(text, absl::ascii_isdigit);
  }
  const absl::string_view whole = text.substr(0, dot);
  const absl::string_view part = text.substr(dot + 1);
  if (whole.empty()) return IsDigits(part, absl::ascii_isdigit);
  return IsDigits(whole, absl::ascii_isdigit) &&
         (part.empty() || IsDigits(part, absl::ascii_isdigit));
}

Meaning MeaningOf(const YamlNode& node) {
  const std::string& text = node.text;
  if (node.quoted) return Meaning::kText;
  if (text.empty() || text == "~" || text == "null" || text == "Null" ||
      text == "NULL") {
    return Meaning::kNull;
  }
  if (text == "true" || text == "True" || text == "TRUE" || text == "false" ||
      text == "False" || text == "FALSE") {
    return Meaning::kBool;
  }
  if (IsInteger(text)) return Meaning::kInteger;
  if (IsFloat(text)) return Meaning::kFloat;
  const std::string lower = absl::AsciiStrToLower(WithoutSign(text));
  if (lower == ".inf" || lower == ".nan") return Meaning::kNotANumber;
  return Meaning::kText;
}

// nullopt: beyond 64 bits.
std::optional<int64_t> IntegerOf(const std::string& text) {
  int64_t value = 0;
  const absl::string_view digits = text;
  if (digits.substr(0, 2) == "0o") {
    for (const char c : digits.substr(2)) {
      if (value > kExactIntegerMax) return std::nullopt;
      value = value * 8 + (c - '0');
    }
    return value;
  }
  const bool ok = digits.substr(0, 2) == "0x"
                      ? absl::SimpleHexAtoi(digits, &value)
                      : absl::SimpleAtoi(digits, &value);
  return ok ? std::optional<int64_t>(value) : std::nullopt;
}

absl::string_view KindOf(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
    case YamlNode::Kind::kScalar:
      break;
  }
  switch (MeaningOf(node)) {
    case Meaning::kNull:
      return "nothing";
    case Meaning::kBool:
      return "a boolean";
    case Meaning::kInteger:
    case Meaning::kFloat:
    case Meaning::kNotANumber:
      return "a number";
    case Meaning::kText:
      break;
  }
  return "text";
}

bool IsNothing(const YamlNode& node) {
  return node.kind == YamlNode::Kind::kNull ||
         (node.kind == YamlNode::Kind::kScalar &&
          MeaningOf(node) == Meaning::kNull);
}

// --- The manifest ------------------------------------------------------------

template <typename T>
using Words = std::vector<std::pair<std::string, T>>;

const Words<store::v1::Strategy>& Strategies() {
  static const auto* const words = new Words<store::v1::Strategy>{
      {"one_for_one", store::v1::ONE_FOR_ONE},
      {"one_for_all", store::v1::ONE_FOR_ALL},
      {"rest_for_one", store::v1::REST_FOR_ONE},
  };
  return *words;
}

const Words<store::v1::Restart>& Restarts() {
  static const auto* const words = new Words<store::v1::Restart>{
      {"permanent", store::v1::PERMANENT},
      {"transient", store::v1::TRANSIENT},
      {"temporary", store::v1::TEMPORARY},
  };
  return *words;
}

const Words<store::v1::Placement::Policy>& Policies() {
  static const auto* const words = new Words<store::v1::Placement::Policy>{
      {"fewest", store::v1::Placement::FEWEST},
      {"spread", store::v1::Placement::SPREAD},
      {"hash", store::v1::Placement::HASH},
  };
  return *words;
}

class Reader {
 public:
  explicit Reader(absl::string_view file) : file_(file) {}

  absl::StatusOr<Manifest> Read(const YamlNode& root) {
    if (root.kind != YamlNode::Kind::kMap) {
      return At(root, "",
                absl::StrCat("the file holds ", KindOf(root),
                             "; a manifest is a map that begins with "
                             "`supervisor: <id>`"));
    }
    Manifest manifest;
    bool has_children = false;
    for (const auto& [key, value] : root.fields) {
      has_children |= key->text == "children";
      absl::Status status = ReadField(*key, *value, &manifest);
      if (!status.ok()) return status;
    }
    if (manifest.supervisor().empty()) {
      return Missing(root, "supervisor", "write `supervisor: <id>`");
    }
    if (!has_children) {
      return Missing(root, "children", "write `children: []` for none");
    }
    return manifest;
  }

  absl::StatusOr<ManifestChild> ReadOnlyChild(const YamlNode& root) {
    if (root.kind != YamlNode::Kind::kMap) {
      return At(root, "",
                absl::StrCat("the file holds ", KindOf(root),
                             "; a child is a map with at least id and type"));
    }
    ManifestChild child;
    absl::Status status = ReadChild(root, "child", &child);
    if (!status.ok()) return status;
    return child;
  }

 private:
  absl::Status At(const YamlNode& node, absl::string_view field,
                  absl::string_view what) const {
    return YamlError(
        file_, node.line, node.column,
        field.empty() ? std::string(what) : absl::StrCat(field, ": ", what));
  }

  absl::Status Missing(const YamlNode& map, absl::string_view field,
                       absl::string_view cure) const {
    return At(map, field, absl::StrCat("is missing; ", cure));
  }

  absl::Status ReadField(const YamlNode& key, const YamlNode& value,
                         Manifest* manifest) {
    const std::string& field = key.text;
    if (field == "supervisor") {
      return ReadId(value, field, manifest->mutable_supervisor());
    }
    if (field == "strategy") {
      store::v1::Strategy strategy;
      absl::Status status = ReadWord(value, field, Strategies(), &strategy);
      manifest->set_strategy(strategy);
      return status;
    }
    if (field == "intensity") return ReadIntensity(value, field, manifest);
    if (field == "period") {
      return ReadDuration(value, field, "", manifest->mutable_period());
    }
    if (field == "children") return ReadChildren(value, field, manifest);
    return Unknown(
        key, field, field,
        {"supervisor", "strategy", "intensity", "period", "children"});
  }

  absl::Status ReadChildren(const YamlNode& list, const std::string& field,
                            Manifest* manifest) {
    if (list.kind != YamlNode::Kind::kList) {
      return At(list, field,
                absl::StrCat("is ", KindOf(list),
                             "; it must be a list of maps (`- id: ...`)"));
    }
    std::map<std::string, int> lines;  // Child id -> line.
    for (size_t i = 0; i < list.items.size(); ++i) {
      const YamlNode& item = *list.items[i];
      const std::string path = absl::StrCat(field, "[", i, "]");
      ManifestChild* const child = manifest->add_children();
      absl::Status status = ReadChild(item, path, child);
      if (!status.ok()) return status;
      const YamlNode& id = *IdOf(item);
      const auto [first, inserted] = lines.emplace(child->id(), id.line);
      if (!inserted) {
        return At(id, absl::StrCat(path, ".id"),
                  absl::StrCat("duplicate child id ", LogSafe(child->id()),
                               " on line ", id.line, ", first on line ",
                               first->second, "; ids are unique in a tree"));
      }
    }
    return absl::OkStatus();
  }

  static const YamlNode* IdOf(const YamlNode& child) {
    for (const auto& [key, value] : child.fields) {
      if (key->text == "id") return value;
    }
    return nullptr;
  }

  absl::Status ReadChild(const YamlNode& map, const std::string& path,
                         ManifestChild* child) {
    if (map.kind != YamlNode::Kind::kMap) {
      return At(map, path,
                absl::StrCat("is ", KindOf(map),
                             "; a child is a map with at least id and type"));
    }
    for (const auto& [key, value] : map.fields) {
      absl::Status status = ReadChildField(*key, *value, path, child);
      if (!status.ok()) return status;
    }
    if (child->id().empty()) {
      return Missing(map, path + ".id", "write `id: <id>`");
    }
    if (child->type().empty()) {
      return Missing(
          map, path + ".type",
          "write `type: <server type>`, for example `type: counter`");
    }
    if (child->name().empty()) child->set_name(child->id());
    return absl::OkStatus();
  }

  absl::Status ReadChildField(const YamlNode& key, const YamlNode& value,
                              const std::string& path, ManifestChild* child) {
    const std::string& name = key.text;
    const std::string field = absl::StrCat(path, ".", name);
    if (name == "id") return ReadId(value, field, child->mutable_id());
    if (name == "name") return ReadName(value, field, child->mutable_name());
    if (name == "type") return ReadType(value, field, child->mutable_type());
    if (name == "options") {
      if (value.kind != YamlNode::Kind::kMap) {
        return At(value, field,
                  absl::StrCat("is ", KindOf(value),
                               "; it must be a map of the options message's "
                               "fields"));
      }
      return ReadStruct(value, field, child->mutable_options());
    }
    if (name == "restart") {
      store::v1::Restart restart;
      absl::Status status = ReadWord(value, field, Restarts(), &restart);
      child->set_restart(restart);
      return status;
    }
    if (name == "shutdown") return ReadShutdown(value, field, child);
    if (name == "placement") {
      return ReadPlacement(value, field, child->mutable_placement());
    }
    return Unknown(key, absl::StrCat(path, ".", LogName(name)), name,
                   {"id", "name", "type", "options", "restart", "shutdown",
                    "placement"});
  }

  // A key for the field part of a message: as it is if it is a word.
  static std::string LogName(const std::string& key) {
    return ValidateName(key).ok() && key.size() <= 64 ? key : LogSafe(key);
  }

  absl::Status Unknown(const YamlNode& key, const std::string& field,
                       const std::string& word,
                       const std::vector<std::string>& known) const {
    const std::string near = DidYouMean(word, known);
    return At(key, field == word ? LogName(word) : field,
              absl::StrCat(
                  "unknown key",
                  near.empty()
                      ? absl::StrCat("; known are ", absl::StrJoin(known, ", "))
                      : near));
  }

  // Text, or the error that it is not.
  absl::Status ReadText(const YamlNode& node, const std::string& field,
                        std::string* text) const {
    if (IsNothing(node)) {
      return At(node, field, "has no value; give one or remove the key");
    }
    if (node.kind != YamlNode::Kind::kScalar) {
      return At(node, field,
                absl::StrCat("is ", KindOf(node), "; it must be text"));
    }
    if (MeaningOf(node) != Meaning::kText) {
      return At(
          node, field,
          absl::StrCat("is ", KindOf(node),
                       "; quote it to make it text: ", LogSafe(node.text)));
    }
    *text = node.text;
    return absl::OkStatus();
  }

  absl::Status ReadId(const YamlNode& node, const std::string& field,
                      std::string* id) const {
    return ReadBytes(
        node, field,
        [](char c) {
          return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
        },
        "an id is 1 to 63 bytes of A-Z a-z 0-9 . _ -", id);
  }

  absl::Status ReadType(const YamlNode& node, const std::string& field,
                        std::string* type) const {
    return ReadBytes(
        node, field,
        [](char c) {
          return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_';
        },
        "a type is 1 to 63 bytes of a-z 0-9 _", type);
  }

  absl::Status ReadBytes(const YamlNode& node, const std::string& field,
                         bool (*allowed)(char), absl::string_view right,
                         std::string* text) const {
    absl::Status status = ReadText(node, field, text);
    if (!status.ok()) return status;
    if (text->empty() || text->size() > kIdBytesMax) {
      return At(node, field,
                absl::StrCat(LogSafe(*text), " has ", text->size(), " bytes; ",
                             right));
    }
    for (size_t i = 0; i < text->size(); ++i) {
      if (allowed((*text)[i])) continue;
      return At(node, field,
                absl::StrCat(LogSafe(*text), " has ",
                             LogSafe(absl::string_view(*text).substr(i, 1)),
                             " at byte ", i, "; ", right));
    }
    return absl::OkStatus();
  }

  absl::Status ReadName(const YamlNode& node, const std::string& field,
                        std::string* name) const {
    absl::Status status = ReadText(node, field, name);
    if (!status.ok()) return status;
    status = ValidateName(*name);
    if (!status.ok()) {
      return At(node, field, absl::string_view(status.message()));
    }
    return absl::OkStatus();
  }

  template <typename T>
  absl::Status ReadWord(const YamlNode& node, const std::string& field,
                        const Words<T>& words, T* value) const {
    *value = T();
    std::string text;
    absl::Status status = ReadText(node, field, &text);
    if (!status.ok()) return status;
    std::vector<std::string> names;
    for (const auto& [name, meaning] : words) {
      if (name == text) {
        *value = meaning;
        return absl::OkStatus();
      }
      names.push_back(name);
    }
    return At(
        node, field,
        absl::StrCat(LogSafe(text), " is not one of ",
                     absl::StrJoin(names, ", "), DidYouMean(text, names)));
  }

  absl::Status ReadIntensity(const YamlNode& node, const std::string& field,
                             Manifest* manifest) const {
    if (node.kind != YamlNode::Kind::kScalar ||
        MeaningOf(node) != Meaning::kInteger) {
      return At(node, field,
                absl::StrCat("is ", KindOf(node),
                             "; it must be a whole number from 0 to ",
                             kIntensityMax));
    }
    const std::optional<int64_t> value = IntegerOf(node.text);
    if (!value.has_value() || *value < 0 || *value > kIntensityMax) {
      return At(
          node, field,
          absl::StrCat(LogSafe(node.text),
                       " is out of range; the range is 0 to ", kIntensityMax));
    }
    manifest->set_intensity(static_cast<uint32_t>(*value));
    return absl::OkStatus();
  }

  // `also` names what else the field may say.
  absl::Status ReadDuration(const YamlNode& node, const std::string& field,
                            absl::string_view also,
                            google::protobuf::Duration* duration) const {
    if (IsNothing(node)) {
      return At(node, field, "has no value; give one or remove the key");
    }
    if (node.kind != YamlNode::Kind::kScalar) {
      return At(node, field,
                absl::StrCat("is ", KindOf(node),
                             "; it must be a duration such as 5s", also));
    }
    const absl::StatusOr<absl::Duration> parsed = ParseDuration(node.text);
    if (!parsed.ok()) {
      return At(
          node, field,
          absl::StrCat(absl::string_view(parsed.status().message()), also));
    }
    *duration = ToProtoDuration(*parsed);
    return absl::OkStatus();
  }

  absl::Status ReadShutdown(const YamlNode& node, const std::string& field,
                            ManifestChild* child) const {
    if (node.kind == YamlNode::Kind::kScalar && node.text == "brutal_kill") {
      child->mutable_shutdown()->set_brutal_kill(true);
      return absl::OkStatus();
    }
    if (node.kind == YamlNode::Kind::kScalar && node.text == "infinity") {
      child->mutable_shutdown()->set_infinity(true);
      return absl::OkStatus();
    }
    return ReadDuration(node, field, ", or brutal_kill, or infinity",
                        child->mutable_shutdown()->mutable_timeout());
  }

  absl::Status ReadPlacement(const YamlNode& map, const std::string& path,
                             store::v1::Placement* placement) const {
    if (map.kind != YamlNode::Kind::kMap) {
      return At(map, path,
                absl::StrCat("is ", KindOf(map),
                             "; it must be a map of policy, spread_by, require "
                             "and pin"));
    }
    for (const auto& [key, value] : map.fields) {
      const std::string field = absl::StrCat(path, ".", LogName(key->text));
      absl::Status status;
      if (key->text == "policy") {
        store::v1::Placement::Policy policy;
        status = ReadWord(*value, field, Policies(), &policy);
        placement->set_policy(policy);
      } else if (key->text == "spread_by") {
        status = ReadId(*value, field, placement->mutable_spread_by());
      } else if (key->text == "require") {
        status = ReadLabels(*value, field, placement);
      } else if (key->text == "pin") {
        status = ReadText(*value, field, placement->mutable_pin());
        if (status.ok()) {
          const absl::Status valid = ValidateNodeName(placement->pin());
          if (!valid.ok()) {
            status = At(*value, field, absl::string_view(valid.message()));
          }
        }
      } else {
        status = Unknown(*key, field, key->text,
                         {"policy", "spread_by", "require", "pin"});
      }
      if (!status.ok()) return status;
    }
    const bool spreads = placement->policy() == store::v1::Placement::SPREAD;
    if (spreads && placement->spread_by().empty()) {
      return Missing(map, path + ".spread_by",
                     "write the label to spread over, for example "
                     "`spread_by: zone`");
    }
    if (!spreads && !placement->spread_by().empty()) {
      return At(map, path + ".spread_by", "is only for `policy: spread`");
    }
    return absl::OkStatus();
  }

  absl::Status ReadLabels(const YamlNode& map, const std::string& path,
                          store::v1::Placement* placement) const {
    if (map.kind != YamlNode::Kind::kMap) {
      return At(map, path,
                absl::StrCat("is ", KindOf(map),
                             "; it must be a map of labels, for example "
                             "`{zone: a}`"));
    }
    for (const auto& [key, value] : map.fields) {
      const std::string field = absl::StrCat(path, ".", LogName(key->text));
      std::string label;
      absl::Status status = ReadId(*key, field, &label);
      if (!status.ok()) return status;
      status =
          ReadText(*value, field, &(*placement->mutable_require())[label]);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status ReadStruct(const YamlNode& map, const std::string& path,
                          google::protobuf::Struct* out) const {
    for (const auto& [key, value] : map.fields) {
      absl::Status status =
          ReadValue(*value, absl::StrCat(path, ".", LogName(key->text)),
                    &(*out->mutable_fields())[key->text]);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status ReadValue(const YamlNode& node, const std::string& path,
                         google::protobuf::Value* out) const {
    switch (node.kind) {
      case YamlNode::Kind::kNull:
        out->set_null_value(google::protobuf::NULL_VALUE);
        return absl::OkStatus();
      case YamlNode::Kind::kMap:
        return ReadStruct(node, path, out->mutable_struct_value());
      case YamlNode::Kind::kList: {
        google::protobuf::ListValue* const list = out->mutable_list_value();
        for (size_t i = 0; i < node.items.size(); ++i) {
          absl::Status status =
              ReadValue(*node.items[i], absl::StrCat(path, "[", i, "]"),
                        list->add_values());
          if (!status.ok()) return status;
        }
        return absl::OkStatus();
      }
      case YamlNode::Kind::kScalar:
        break;
    }
    return ReadScalar(node, path, out);
  }

  absl::Status ReadScalar(const YamlNode& node, const std::string& path,
                          google::protobuf::Value* out) const {
    switch (MeaningOf(node)) {
      case Meaning::kNull:
        out->set_null_value(google::protobuf::NULL_VALUE);
        return absl::OkStatus();
      case Meaning::kBool:
        out->set_bool_value(absl::ascii_tolower(node.text[0]) == 't');
        return absl::OkStatus();
      case Meaning::kInteger: {
        const std::optional<int64_t> value = IntegerOf(node.text);
        if (!value.has_value() || *value > kExactIntegerMax ||
            *value < -kExactIntegerMax) {
          return At(node, path,
                    absl::StrCat(LogSafe(node.text),
                                 " is beyond 2^53, where numbers lose digits; "
                                 "quote it for a 64-bit field"));
        }
        out->set_number_value(static_cast<double>(*value));
        return absl::OkStatus();
      }
      case Meaning::kFloat: {
        double value = 0;
        if (!absl::SimpleAtod(node.text, &value) || !std::isfinite(value)) {
          return At(node, path,
                    absl::StrCat(LogSafe(node.text),
                                 " is out of range for a number"));
        }
        out->set_number_value(value);
        return absl::OkStatus();
      }
      case Meaning::kNotANumber:
        return At(node, path,
                  absl::StrCat(LogSafe(node.text),
                               " has no JSON number; write \"Infinity\", "
                               "\"-Infinity\" or \"NaN\" in quotes"));
      case Meaning::kText:
        break;
    }
    out->set_string_value(node.text);
    return absl::OkStatus();
  }

  const std::string file_;
};

}  // namespace

absl::StatusOr<Manifest> ParseManifest(absl::string_view text,
                                       absl::string_view file) {
  const absl::StatusOr<YamlDocument> document = YamlDocument::Parse(text, file);
  if (!document.ok()) return document.status();
  return Reader(file).Read(document->root());
}

absl::StatusOr<ManifestChild> ParseManifestChild(absl::string_view text,
                                                 absl::string_view file) {
  const absl::StatusOr<YamlDocument> document = YamlDocument::Parse(text, file);
  if (!document.ok()) return document.status();
  return Reader(file).ReadOnlyChild(document->root());
}

std::string PlaceInManifest(absl::string_view text, absl::string_view file,
                            absl::string_view path) {
  const absl::StatusOr<YamlDocument> document = YamlDocument::Parse(text, file);
  if (!document.ok()) return "";
  const YamlNode* node = &document->root();
  // children[0].type: a key of a map, or an index of a list, at a time.
  while (!path.empty()) {
    const YamlNode* next = nullptr;
    if (absl::ConsumePrefix(&path, "[")) {
      const size_t end = std::min(path.find(']'), path.size());
      size_t index;
      if (absl::SimpleAtoi(path.substr(0, end), &index) &&
          index < node->items.size()) {
        next = node->items[index];
      }
      path.remove_prefix(std::min(end + 1, path.size()));
    } else {
      absl::ConsumePrefix(&path, ".");
      const size_t end = std::min(path.find_first_of(".["), path.size());
      for (const auto& [key, value] : node->fields) {
        if (key->text == path.substr(0, end)) next = value;
      }
      path.remove_prefix(end);
      if (end == 0) break;
    }
    if (next == nullptr) break;
    node = next;
  }
  return absl::StrCat(file, ":", node->line, ":", node->column, ": ");
}

}  // namespace muster
