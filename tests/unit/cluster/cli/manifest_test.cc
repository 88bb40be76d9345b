#include "cluster/cli/manifest.h"

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "cluster/cli/yaml.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {
namespace {

using cluster::v1::Manifest;

// The message of the error that `text` is refused with; "" if it is not.
std::string ErrorOf(absl::string_view text) {
  const absl::StatusOr<Manifest> manifest = ParseManifest(text, "tree.yaml");
  if (manifest.ok()) return "";
  EXPECT_EQ(manifest.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(manifest.status()), "BAD_MANIFEST");
  EXPECT_EQ(OutcomeOf(manifest.status()), Outcome::kNotExecuted);
  return std::string(manifest.status().message());
}

// A tree whose only child has these lines below its id and type.
std::string Child(absl::string_view lines) {
  return absl::StrCat(
      "supervisor: s\nchildren:\n  - id: a\n    type: counter\n", lines);
}

void ExpectManifest(absl::string_view text, const std::string& expected) {
  const absl::StatusOr<Manifest> manifest = ParseManifest(text, "tree.yaml");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  Manifest want;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(expected, &want));
  EXPECT_TRUE(
      google::protobuf::util::MessageDifferencer::Equals(*manifest, want))
      << manifest->DebugString();
}

constexpr char kWhole[] = R"(# The whole schema.
supervisor: my_app
strategy: one_for_one
intensity: 3
period: 5s
children:
  - id: counter
    type: counter
    options: {initial: 10, label: "10", ratio: 0.5, on: true, none: ~,
              list: [1, "b", {c: no}]}
  - id: b
    name: shop/b
    type: cache
    restart: transient
    shutdown: 500ms
  - {id: c, type: cache, restart: temporary, shutdown: brutal_kill}
  - {id: d, type: cache, restart: permanent, shutdown: infinity}
)";

constexpr char kWholeProto[] = R"pb(
  supervisor: "my_app"
  strategy: ONE_FOR_ONE
  intensity: 3
  period { seconds: 5 }
  children {
    id: "counter"
    name: "counter"
    type: "counter"
    options {
      fields {
        key: "initial"
        value { number_value: 10 }
      }
      fields {
        key: "label"
        value { string_value: "10" }
      }
      fields {
        key: "ratio"
        value { number_value: 0.5 }
      }
      fields {
        key: "on"
        value { bool_value: true }
      }
      fields {
        key: "none"
        value { null_value: NULL_VALUE }
      }
      fields {
        key: "list"
        value {
          list_value {
            values { number_value: 1 }
            values { string_value: "b" }
            values {
              struct_value {
                fields {
                  key: "c"
                  value { string_value: "no" }
                }
              }
            }
          }
        }
      }
    }
  }
  children {
    id: "b"
    name: "shop/b"
    type: "cache"
    restart: TRANSIENT
    shutdown { timeout { nanos: 500000000 } }
  }
  children {
    id: "c"
    name: "c"
    type: "cache"
    restart: TEMPORARY
    shutdown { brutal_kill: true }
  }
  children {
    id: "d"
    name: "d"
    type: "cache"
    restart: PERMANENT
    shutdown { infinity: true }
  }
)pb";

TEST(ManifestTest, ReadsTheWholeSchema) { ExpectManifest(kWhole, kWholeProto); }

TEST(ManifestTest, LinesMayEndInCrLf) {
  ExpectManifest(absl::StrReplaceAll(kWhole, {{"\n", "\r\n"}}), kWholeProto);
}

TEST(ManifestTest, WhatIsAbsentStaysAbsent) {
  ExpectManifest("supervisor: s\nchildren: []\n", R"pb(supervisor: "s")pb");
  ExpectManifest(Child(""), R"pb(
    supervisor: "s"
    children { id: "a" name: "a" type: "counter" }
  )pb");
}

TEST(ManifestTest, EveryStrategyIsRead) {
  ExpectManifest("supervisor: s\nstrategy: one_for_all\nchildren: []\n",
                 R"pb(supervisor: "s" strategy: ONE_FOR_ALL)pb");
  ExpectManifest("supervisor: s\nstrategy: rest_for_one\nchildren: []\n",
                 R"pb(supervisor: "s" strategy: REST_FOR_ONE)pb");
}

TEST(ManifestTest, ZeroIntensityIsNotAbsent) {
  ExpectManifest("supervisor: s\nintensity: 0\nchildren: []\n",
                 R"pb(supervisor: "s" intensity: 0)pb");
}

TEST(ManifestTest, AliasesOfReasonableSizeWork) {
  ExpectManifest(
      "supervisor: s\n"
      "children:\n"
      "  - {id: a, type: t, options: &o {x: 1}}\n"
      "  - {id: b, type: t, options: *o}\n",
      R"pb(
        supervisor: "s"
        children {
          id: "a"
          name: "a"
          type: "t"
          options {
            fields {
              key: "x"
              value { number_value: 1 }
            }
          }
        }
        children {
          id: "b"
          name: "b"
          type: "t"
          options {
            fields {
              key: "x"
              value { number_value: 1 }
            }
          }
        }
      )pb");
}

TEST(ManifestTest, NothingIsExpanded) {
  ExpectManifest(Child("    options: {x: \"${HOME}\", y: $(id)}\n"), R"pb(
    supervisor: "s"
    children {
      id: "a"
      name: "a"
      type: "counter"
      options {
        fields {
          key: "x"
          value { string_value: "${HOME}" }
        }
        fields {
          key: "y"
          value { string_value: "$(id)" }
        }
      }
    }
  )pb");
  EXPECT_EQ(ErrorOf("supervisor: ${NAME}\nchildren: []\n"),
            "tree.yaml:1:13: supervisor: \"${NAME}\" has \"$\" at byte 0; an "
            "id is 1 to 63 bytes of A-Z a-z 0-9 . _ -");
}

TEST(ManifestTest, ScalarsOfOptionsFollowYaml) {
  ExpectManifest(
      Child("    options: {a: 0x10, b: 0o17, c: -3, d: 1e3, e: .5, f: yes,\n"
            "      g: 'true', h: !!str 5, i: TRUE, j: \"\", k: null, l: +7,\n"
            "      m: 1.2.3, n: 9007199254740992}\n"),
      R"pb(
        supervisor: "s"
        children {
          id: "a"
          name: "a"
          type: "counter"
          options {
            fields {
              key: "a"
              value { number_value: 16 }
            }
            fields {
              key: "b"
              value { number_value: 15 }
            }
            fields {
              key: "c"
              value { number_value: -3 }
            }
            fields {
              key: "d"
              value { number_value: 1000 }
            }
            fields {
              key: "e"
              value { number_value: 0.5 }
            }
            fields {
              key: "f"
              value { string_value: "yes" }
            }
            fields {
              key: "g"
              value { string_value: "true" }
            }
            fields {
              key: "h"
              value { string_value: "5" }
            }
            fields {
              key: "i"
              value { bool_value: true }
            }
            fields {
              key: "j"
              value { string_value: "" }
            }
            fields {
              key: "k"
              value { null_value: NULL_VALUE }
            }
            fields {
              key: "l"
              value { number_value: 7 }
            }
            fields {
              key: "m"
              value { string_value: "1.2.3" }
            }
            fields {
              key: "n"
              value { number_value: 9007199254740992 }
            }
          }
        }
      )pb");
}

struct Refusal {
  std::string text;
  std::string message;
};

TEST(ManifestTest, EachErrorSaysWhereWhatAndWhatWouldBeRight) {
  const Refusal kRefusals[] = {
      // The file.
      {"", "tree.yaml:1:1: the file is empty"},
      {"# only a comment\n", "tree.yaml:1:1: the file is empty"},
      {"\xEF\xBB\xBFsupervisor: s\n",
       "tree.yaml:1:1: the file begins with a byte order mark; save it as "
       "UTF-8 without one"},
      {"supervisor: s\nchildren: [\n",
       "tree.yaml:3:1: malformed YAML: end of sequence flow not found"},
      {"supervisor: s\n  children: []\n",
       "tree.yaml:2:11: malformed YAML: illegal map value"},
      {"supervisor: s\n\tchildren: []\n",
       "tree.yaml:2:1: malformed YAML: illegal tab when looking for "
       "indentation"},
      {"supervisor: *nobody\n",
       "tree.yaml:1:13: malformed YAML: the referenced anchor is not defined"},
      {std::string("supervisor: a\0b\n", 16),
       "tree.yaml:1:14: control character \"\\x00\"; only tabs and line ends "
       "are allowed"},
      {"supervisor: s\nchildren: [] # \xff\n",
       "tree.yaml:2:1: this line is not UTF-8"},
      {"supervisor: s\nchildren: []\n---\nsupervisor: t\nchildren: []\n",
       "tree.yaml:4:1: a second document begins here; use one file for each "
       "tree"},
      {"- a\n",
       "tree.yaml:1:1: the file holds a list; a manifest is a map that begins "
       "with `supervisor: <id>`"},
      {"just text\n",
       "tree.yaml:1:1: the file holds text; a manifest is a map that begins "
       "with `supervisor: <id>`"},
      {"---\n",
       "tree.yaml:2:1: the file holds nothing; a manifest is a map that begins "
       "with `supervisor: <id>`"},
      {std::string(kYamlBytesMax + 1, ' '),
       "tree.yaml:1:1: the file has 1048577 bytes; at most 1 MiB is read"},
      // Keys.
      {"supervisor: s\nsupervisor: t\n",
       "tree.yaml:2:1: \"supervisor\": duplicate key, first on line 1; remove "
       "one of them"},
      {"supervisor: s\nstratgy: one_for_one\n",
       "tree.yaml:2:1: stratgy: unknown key; did you mean \"strategy\"?"},
      {"supervisor: s\nzzzzzzzzzzz: 1\n",
       "tree.yaml:2:1: zzzzzzzzzzz: unknown key; known are supervisor, "
       "strategy, intensity, period, children"},
      {Child("    retsart: permanent\n"),
       "tree.yaml:5:5: children[0].retsart: unknown key; did you mean "
       "\"restart\"?"},
      {Child("    \"a b\\0\": 1\n"),
       "tree.yaml:5:5: children[0].\"a b\\x00\": unknown key; known are id, "
       "name, type, options, restart, shutdown, placement"},
      {"[a, b]: c\n", "tree.yaml:1:1: a key must be a word or a quoted text"},
      {"a: &a {x: 1}\nb:\n  <<: *a\n",
       "tree.yaml:3:3: merge keys (<<) are not supported; write the fields "
       "out"},
      {"supervisor: !mine s\n",
       "tree.yaml:1:13: tag \"!mine\" is not supported; remove it"},
      // The supervisor.
      {"children: []\n",
       "tree.yaml:1:1: supervisor: is missing; write `supervisor: <id>`"},
      {"supervisor: s\n",
       "tree.yaml:1:1: children: is missing; write `children: []` for none"},
      {"supervisor:\nchildren: []\n",
       "tree.yaml:1:1: supervisor: has no value; give one or remove the key"},
      {"supervisor: a b\nchildren: []\n",
       "tree.yaml:1:13: supervisor: \"a b\" has \" \" at byte 1; an id is 1 to "
       "63 bytes of A-Z a-z 0-9 . _ -"},
      {absl::StrCat("supervisor: ", std::string(64, 'x'), "\n"),
       absl::StrCat("tree.yaml:1:13: supervisor: \"", std::string(64, 'x'),
                    "\" has 64 bytes; an id is 1 to 63 bytes of A-Z a-z 0-9 . "
                    "_ -")},
      {"supervisor: 5\nchildren: []\n",
       "tree.yaml:1:13: supervisor: is a number; quote it to make it text: "
       "\"5\""},
      {"supervisor: s\nstrategy: one_for_won\n",
       "tree.yaml:2:11: strategy: \"one_for_won\" is not one of one_for_one, "
       "one_for_all, rest_for_one; did you mean \"one_for_one\"?"},
      {"supervisor: s\nintensity: many\n",
       "tree.yaml:2:12: intensity: is text; it must be a whole number from 0 "
       "to 1000"},
      {"supervisor: s\nintensity: \"3\"\n",
       "tree.yaml:2:12: intensity: is text; it must be a whole number from 0 "
       "to 1000"},
      {"supervisor: s\nintensity: 1.5\n",
       "tree.yaml:2:12: intensity: is a number; it must be a whole number from "
       "0 to 1000"},
      {"supervisor: s\nintensity: -1\n",
       "tree.yaml:2:12: intensity: \"-1\" is out of range; the range is 0 to "
       "1000"},
      {"supervisor: s\nintensity: 99999999999999999999999\n",
       "tree.yaml:2:12: intensity: \"99999999999999999999999\" is out of "
       "range; the range is 0 to 1000"},
      {"supervisor: s\nperiod: 5\n",
       "tree.yaml:2:9: period: \"5\" has no unit; write a whole number and ms, "
       "s, m or h, for example 5s"},
      {"supervisor: s\nperiod: 0s\n",
       "tree.yaml:2:9: period: \"0s\" is out of range; the range is 1ms to "
       "24h"},
      {"supervisor: s\nperiod: 25h\n",
       "tree.yaml:2:9: period: \"25h\" is out of range; the range is 1ms to "
       "24h"},
      {"supervisor: s\nperiod: 99999999999999999999s\n",
       "tree.yaml:2:9: period: \"99999999999999999999s\" is out of range; the "
       "range is 1ms to 24h"},
      {"supervisor: s\nperiod: -5s\n",
       "tree.yaml:2:9: period: \"-5s\" is no duration; write a whole number "
       "and ms, s, m or h, for example 5s"},
      {"supervisor: s\nperiod: [5s]\n",
       "tree.yaml:2:9: period: is a list; it must be a duration such as 5s"},
      // Children.
      {"supervisor: s\nchildren: {a: 1}\n",
       "tree.yaml:2:11: children: is a map; it must be a list of maps (`- id: "
       "...`)"},
      {"supervisor: s\nchildren:\n",
       "tree.yaml:2:1: children: is nothing; it must be a list of maps (`- "
       "id: ...`)"},
      {"supervisor: s\nchildren: [a]\n",
       "tree.yaml:2:12: children[0]: is text; a child is a map with at least "
       "id and type"},
      {"supervisor: s\nchildren:\n  - type: counter\n",
       "tree.yaml:3:5: children[0].id: is missing; write `id: <id>`"},
      {"supervisor: s\nchildren:\n  - id: a\n",
       "tree.yaml:3:5: children[0].type: is missing; write `type: <server "
       "type>`, for example `type: counter`"},
      {"supervisor: s\nchildren:\n  - {id: a, type: t}\n  - {id: b, type: t}\n"
       "  - {id: a, type: t}\n",
       "tree.yaml:5:10: children[2].id: duplicate child id \"a\" on line 5, "
       "first on line 3; ids are unique in a tree"},
      {"supervisor: s\nchildren:\n  - {id: \"\", type: t}\n",
       "tree.yaml:3:10: children[0].id: \"\" has 0 bytes; an id is 1 to 63 "
       "bytes of A-Z a-z 0-9 . _ -"},
      {"supervisor: s\nchildren:\n  - {id: a, type: Counter}\n",
       "tree.yaml:3:19: children[0].type: \"Counter\" has \"C\" at byte 0; a "
       "type is 1 to 63 bytes of a-z 0-9 _"},
      {Child("    name: \"a\\0b\"\n"),
       "tree.yaml:5:11: children[0].name: process name \"a\\x00\\x62\" has "
       "\"\\x00\" at byte 1: a name is 1 to 255 bytes of A-Z a-z 0-9 . _ : @ / "
       "- without \"..\""},
      {Child("    restart: always\n"),
       "tree.yaml:5:14: children[0].restart: \"always\" is not one of "
       "permanent, transient, temporary"},
      {Child("    shutdown: 5\n"),
       "tree.yaml:5:15: children[0].shutdown: \"5\" has no unit; write a whole "
       "number and ms, s, m or h, for example 5s, or brutal_kill, or "
       "infinity"},
      {Child("    shutdown: brutal\n"),
       "tree.yaml:5:15: children[0].shutdown: \"brutal\" is no duration; write "
       "a whole number and ms, s, m or h, for example 5s, or brutal_kill, or "
       "infinity"},
      {Child("    options: 5\n"),
       "tree.yaml:5:14: children[0].options: is a number; it must be a map of "
       "the options message's fields"},
      {Child("    options: {x: 9007199254740993}\n"),
       "tree.yaml:5:18: children[0].options.x: \"9007199254740993\" is beyond "
       "2^53, where numbers lose digits; quote it for a 64-bit field"},
      {Child("    options: {x: [0, .inf]}\n"),
       "tree.yaml:5:22: children[0].options.x[1]: \".inf\" has no JSON number; "
       "write \"Infinity\", \"-Infinity\" or \"NaN\" in quotes"},
      {Child("    options: {x: 1e999}\n"),
       "tree.yaml:5:18: children[0].options.x: \"1e999\" is out of range for a "
       "number"},
      // Placement.
      {Child("    placement: hash\n"),
       "tree.yaml:5:16: children[0].placement: is text; it must be a map of "
       "policy, spread_by, require and pin"},
      {Child("    placement: {policy: spred}\n"),
       "tree.yaml:5:25: children[0].placement.policy: \"spred\" is not one of "
       "fewest, spread, hash; did you mean \"spread\"?"},
      {Child("    placement: {policy: spread}\n"),
       "tree.yaml:5:16: children[0].placement.spread_by: is missing; write the "
       "label to spread over, for example `spread_by: zone`"},
      {Child("    placement: {spread_by: zone}\n"),
       "tree.yaml:5:16: children[0].placement.spread_by: is only for `policy: "
       "spread`"},
      {Child("    placement: {require: zone}\n"),
       "tree.yaml:5:26: children[0].placement.require: is text; it must be a "
       "map of labels, for example `{zone: a}`"},
      {Child("    placement: {require: {zone: 1}}\n"),
       "tree.yaml:5:33: children[0].placement.require.zone: is a number; quote "
       "it to make it text: \"1\""},
      {Child("    placement: {polcy: hash}\n"),
       "tree.yaml:5:17: children[0].placement.polcy: unknown key; did you "
       "mean \"policy\"?"},
  };
  for (const Refusal& refusal : kRefusals) {
    EXPECT_EQ(ErrorOf(refusal.text), refusal.message);
  }
}

TEST(ManifestTest, ReadsAPlacement) {
  ExpectManifest(
      Child("    placement:\n      policy: spread\n      spread_by: zone\n"
            "      require: {disk: ssd, rack: \"1\"}\n      pin: node-a\n"),
      "supervisor: 's' children { id: 'a' name: 'a' type: 'counter' "
      "placement { policy: SPREAD spread_by: 'zone' pin: 'node-a' "
      "require { key: 'disk' value: 'ssd' } "
      "require { key: 'rack' value: '1' } } }");
}

TEST(ManifestTest, NamesOf300BytesAreRefused) {
  const std::string message =
      ErrorOf(Child(absl::StrCat("    name: ", std::string(300, 'n'), "\n")));
  EXPECT_EQ(message,
            absl::StrCat("tree.yaml:5:11: children[0].name: process name \"",
                         std::string(64, 'n'),
                         "...\" (300 bytes) is 300 bytes long: a name is 1 to "
                         "255 bytes of A-Z a-z 0-9 . _ : @ / - without "
                         "\"..\""));
}

TEST(ManifestTest, NestingIsBounded) {
  const auto nested = [](int levels) {
    return Child(absl::StrCat("    options: {x: ", std::string(levels, '['),
                              std::string(levels, ']'), "}\n"));
  };
  // The file, the children, a child and its options are four levels.
  EXPECT_EQ(ErrorOf(nested(28)), "");
  EXPECT_EQ(ErrorOf(nested(29)),
            "tree.yaml:5:46: nested deeper than 32 levels");
  EXPECT_EQ(ErrorOf(nested(100'000)),
            "tree.yaml:5:46: nested deeper than 32 levels");
}

TEST(ManifestTest, AliasesThatNestAreBounded) {
  std::string text = "a0: &a0 [1]\n";
  for (int i = 1; i < 40; ++i) {
    absl::StrAppend(&text, "a", i, ": &a", i, " [*a", i - 1, "]\n");
  }
  EXPECT_EQ(ErrorOf(text),
            "tree.yaml:32:12: nested deeper than 32 levels, aliases expanded");
}

TEST(ManifestTest, BillionLaughsAreNotExpanded) {
  std::string text = "a0: &a0 [lol]\n";
  for (int i = 1; i < 12; ++i) {
    absl::StrAppend(&text, "a", i, ": &a", i, " [*a", i - 1);
    for (int j = 0; j < 9; ++j) absl::StrAppend(&text, ", *a", i - 1);
    absl::StrAppend(&text, "]\n");
  }
  const std::string message = ErrorOf(text);
  EXPECT_NE(message.find("more than 100,000 values or 4 MiB of text, aliases "
                         "expanded"),
            std::string::npos)
      << message;
}

TEST(ManifestTest, ALongTextIsNotMultiplied) {
  std::string text =
      absl::StrCat("a: &a ", std::string(500'000, 'x'), "\nb: [*a");
  for (int i = 0; i < 20; ++i) absl::StrAppend(&text, ", *a");
  absl::StrAppend(&text, "]\n");
  EXPECT_EQ(ErrorOf(text),
            "tree.yaml:2:37: more than 100,000 values or 4 MiB of text, "
            "aliases expanded");
}

TEST(ManifestTest, AnAliasToItsOwnParentIsRefused) {
  EXPECT_EQ(ErrorOf("a: &a [*a]\n"),
            "tree.yaml:1:8: an alias to something that contains it");
}

TEST(ManifestTest, LongInputIsNotEchoed) {
  EXPECT_LT(
      ErrorOf(absl::StrCat("supervisor: s\n", std::string(900, 'k'), ": 1\n"))
          .size(),
      300u);
  EXPECT_LT(ErrorOf(absl::StrCat("supervisor: s\nperiod: ",
                                 std::string(100'000, '9'), "\n"))
                .size(),
            300u);
}

TEST(ManifestTest, ThePlaceOfAFieldIsThatOfItsValue) {
  const std::string text =
      "supervisor: s\nchildren:\n  - id: a\n    type: b\n    options: {x: 1}\n";
  const std::map<std::string, std::string> places = {
      {"supervisor", "t.yaml:1:13: "},
      {"children[0]", "t.yaml:3:5: "},
      {"children[0].type", "t.yaml:4:11: "},
      {"children[0].options.x", "t.yaml:5:18: "},
      // The closest that is there.
      {"children[0].name", "t.yaml:3:5: "},
      {"children[1].type", "t.yaml:3:3: "},
      {"children[", "t.yaml:3:3: "},
      {"..", "t.yaml:1:1: "},
      {"", "t.yaml:1:1: "},
  };
  for (const auto& [path, place] : places) {
    EXPECT_EQ(PlaceInManifest(text, "t.yaml", path), place) << path;
  }
  EXPECT_EQ(PlaceInManifest("a: [", "t.yaml", "a"), "");
}

}  // namespace
}  // namespace muster
