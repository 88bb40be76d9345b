#include "cluster/service/manifest_compiler.h"

#include <map>
#include <memory>
#include <string>

#include "cluster/membership/descriptors.h"
#include "examples/counter/counter.h"
#include "examples/counter/counter.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/time_util.h"
#include "gtest/gtest.h"
#include "muster/cluster/v1/cluster.pb.h"
#include "node/gen_server/server_type.h"
#include "node/types/status.h"

namespace muster {
namespace {

using google::protobuf::util::TimeUtil;
using testing::HasSubstr;
using testing::StartsWith;

class ManifestCompilerTest : public testing::Test {
 protected:
  ManifestCompilerTest() {
    auto descriptors = std::make_shared<google::protobuf::FileDescriptorSet>();
    EXPECT_TRUE(descriptors->ParseFromString(
        SerializeDescriptors(*examples::Counter::ServiceDescriptor())));
    types_["counter"] = KnownType{"counter.v1.CounterOptions", descriptors};
    types_["plain"] = KnownType{"google.protobuf.Empty", descriptors};
  }

  static cluster::v1::Manifest Parse(const std::string& text) {
    cluster::v1::Manifest manifest;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &manifest));
    return manifest;
  }
  cluster::v1::ApplyRequest MustCompile(const std::string& text) {
    const auto request = CompileManifest(Parse(text), types_);
    EXPECT_TRUE(request.ok()) << request.status();
    return request.value_or(cluster::v1::ApplyRequest());
  }
  void ExpectRefused(const std::string& text, const std::string& path,
                     const std::string& message) {
    const auto request = CompileManifest(Parse(text), types_);
    ASSERT_FALSE(request.ok()) << text;
    EXPECT_EQ(request.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ReasonOf(request.status()), "BAD_MANIFEST");
    EXPECT_EQ(OutcomeOf(request.status()), Outcome::kNotExecuted);
    EXPECT_EQ(DetailOf(request.status(), "path"), path);
    EXPECT_EQ(std::string(request.status().message()), path + ": " + message);
  }

  std::map<std::string, KnownType> types_;
};

TEST_F(ManifestCompilerTest, FillsInTheDefaults) {
  const auto request =
      MustCompile("supervisor: 's' children { id: 'a' type: 'counter' }");
  EXPECT_EQ(request.strategy(), store::v1::ONE_FOR_ONE);
  EXPECT_EQ(request.intensity(), 3u);
  EXPECT_EQ(request.period().seconds(), 5);
  ASSERT_EQ(request.children_size(), 1);
  const store::v1::ChildSpec& spec = request.children(0);
  EXPECT_EQ(spec.id(), "a");
  EXPECT_EQ(spec.name(), "a");
  EXPECT_EQ(spec.type(), "counter");
  EXPECT_EQ(spec.restart(), store::v1::PERMANENT);
  EXPECT_EQ(spec.shutdown().timeout().seconds(), 5);
  EXPECT_EQ(spec.options().type(), "counter.v1.CounterOptions");
  EXPECT_EQ(spec.options().value(), "");
}

TEST_F(ManifestCompilerTest, KeepsWhatIsGiven) {
  const auto request = MustCompile(R"(
      supervisor: 's' intensity: 0 period { seconds: 9 }
      children { id: 'a' name: 'the/name' type: 'counter' restart: TRANSIENT
                 shutdown { brutal_kill: true }
                 options { fields { key: 'initial_value'
                                    value { number_value: 42 } } } })");
  EXPECT_EQ(request.intensity(), 0u);
  EXPECT_EQ(request.period().seconds(), 9);
  const store::v1::ChildSpec& spec = request.children(0);
  EXPECT_EQ(spec.name(), "the/name");
  EXPECT_EQ(spec.restart(), store::v1::TRANSIENT);
  EXPECT_TRUE(spec.shutdown().brutal_kill());
  counter::v1::CounterOptions options;
  ASSERT_TRUE(options.ParseFromString(spec.options().value()));
  EXPECT_EQ(options.initial_value(), 42);
}

TEST_F(ManifestCompilerTest, ATypesDefaultsComeBeforeOurs) {
  types_["counter"].hosted.set_restart(store::v1::TRANSIENT);
  types_["counter"].hosted.mutable_shutdown()->set_infinity(true);
  const auto request = MustCompile(
      "supervisor: 's' children { id: 'a' type: 'counter' }"
      "children { id: 'b' type: 'counter' restart: TEMPORARY "
      "           shutdown { brutal_kill: true } }");
  EXPECT_EQ(request.children(0).restart(), store::v1::TRANSIENT);
  EXPECT_TRUE(request.children(0).shutdown().infinity());
  EXPECT_EQ(request.children(1).restart(), store::v1::TEMPORARY);
  EXPECT_TRUE(request.children(1).shutdown().brutal_kill());
}

TEST_F(ManifestCompilerTest, AnEmptyTreeIsATree) {
  EXPECT_EQ(MustCompile("supervisor: 's'").children_size(), 0);
}

TEST_F(ManifestCompilerTest, TheSupervisorNeedsAnId) {
  ExpectRefused("", "supervisor", "is missing");
  ExpectRefused(
      "supervisor: 'a/b'", "supervisor",
      "\"a/b\" is no id: 1 to 63 of letters, digits, '.', '_' and '-'");
  ExpectRefused("supervisor: '" + std::string(64, 'x') + "'", "supervisor",
                "\"" + std::string(64, 'x') +
                    "\" is no id: 1 to 63 of letters, digits, '.', '_' and "
                    "'-'");
}

TEST_F(ManifestCompilerTest, EachStrategyOfOtpIsOne) {
  EXPECT_EQ(MustCompile("supervisor: 's'").strategy(), store::v1::ONE_FOR_ONE);
  EXPECT_EQ(MustCompile("supervisor: 's' strategy: ONE_FOR_ALL").strategy(),
            store::v1::ONE_FOR_ALL);
  EXPECT_EQ(MustCompile("supervisor: 's' strategy: REST_FOR_ONE").strategy(),
            store::v1::REST_FOR_ONE);
}

TEST_F(ManifestCompilerTest, PlacementIsKept) {
  const cluster::v1::ApplyRequest request = MustCompile(
      "supervisor: 's' children { id: 'a' type: 'counter' placement { policy: "
      "SPREAD spread_by: 'zone' require { key: 'disk' value: 'ssd' } } }");
  const store::v1::Placement& placement = request.children(0).placement();
  EXPECT_EQ(placement.policy(), store::v1::Placement::SPREAD);
  EXPECT_EQ(placement.spread_by(), "zone");
  EXPECT_EQ(placement.require().at("disk"), "ssd");
}

TEST_F(ManifestCompilerTest, WhatIsWrongWithAPlacement) {
  const auto refused = [this](const std::string& placement,
                              const std::string& field,
                              const std::string& text) {
    ExpectRefused(
        "supervisor: 's' children { id: 'a' type: 'counter' placement { " +
            placement + " } }",
        "children[0].placement." + field, text);
  };
  refused("policy: SPREAD", "spread_by", "is missing");
  refused("spread_by: 'zone'", "spread_by", "is only for the policy spread");
  refused("policy: HASH spread_by: 'zone'", "spread_by",
          "is only for the policy spread");
  refused("require { key: '' value: 'x' }", "require", "is missing");
  refused("require { key: 'zone' value: '" + std::string(256, 'x') + "' }",
          "require", "the value of zone has 256 bytes; at most 255");
}

TEST_F(ManifestCompilerTest, ThePeriodIsPositive) {
  ExpectRefused("supervisor: 's' period { }", "period",
                "must be positive, for example 5s");
  ExpectRefused("supervisor: 's' period { seconds: -1 }", "period",
                "must be positive, for example 5s");
}

TEST_F(ManifestCompilerTest, AChildNeedsAnIdOfItsOwn) {
  ExpectRefused("supervisor: 's' children { type: 'counter' }",
                "children[0].id", "is missing");
  ExpectRefused(
      "supervisor: 's' children { id: 'a b' type: 'counter' }",
      "children[0].id",
      "\"a b\" is no id: 1 to 63 of letters, digits, '.', '_' and '-'");
  ExpectRefused(
      "supervisor: 's' children { id: 'a' type: 'counter' }"
      "children { id: 'b' type: 'counter' } children { id: 'a' }",
      "children[2].id", "'a' is also the id of children[0]: ids are unique");
}

TEST_F(ManifestCompilerTest, ANameIsValidAndNotTheClustersOwn) {
  const auto request = CompileManifest(
      Parse("supervisor: 's' children { id: 'a' name: 'x y' type: 'counter' }"),
      types_);
  EXPECT_EQ(DetailOf(request.status(), "path"), "children[0].name");
  EXPECT_THAT(std::string(request.status().message()),
              StartsWith("children[0].name: "));
  ExpectRefused(
      "supervisor: 's' children { id: 'a' name: 'muster/x' type: 'counter' }",
      "children[0].name",
      "names that begin with muster/ are the cluster's own");
}

TEST_F(ManifestCompilerTest, ATypeIsOneThatSomeNodeHas) {
  ExpectRefused("supervisor: 's' children { id: 'a' }", "children[0].type",
                "is missing");
  ExpectRefused(
      "supervisor: 's' children { id: 'a' type: 'coutner' }",
      "children[0].type",
      "no node has a server type \"coutner\"; there are: counter, plain");
  types_.clear();
  ExpectRefused("supervisor: 's' children { id: 'a' type: 'counter' }",
                "children[0].type",
                "no node has a server type \"counter\"; there are: none");
}

TEST_F(ManifestCompilerTest, OptionsFitTheTypesMessage) {
  const auto refused = [&](const std::string& options) {
    const auto request = CompileManifest(
        Parse("supervisor: 's' children { id: 'a' type: 'counter' options { " +
              options + " } }"),
        types_);
    EXPECT_EQ(DetailOf(request.status(), "path"), "children[0].options");
    return std::string(request.status().message());
  };
  EXPECT_THAT(
      refused("fields { key: 'inital' value { number_value: 1 } }"),
      testing::AllOf(
          StartsWith("children[0].options: does not fit "
                     "counter.v1.CounterOptions (fields: initial_value): "),
          HasSubstr("inital")));
  EXPECT_THAT(
      refused("fields { key: 'initial_value' value { string_value: 'x' } }"),
      StartsWith("children[0].options: does not fit "));
  EXPECT_THAT(
      refused("fields { key: 'initial_value' value { number_value: 1.5 } }"),
      StartsWith("children[0].options: does not fit "));
}

TEST_F(ManifestCompilerTest, AShutdownIsNotNegative) {
  ExpectRefused(
      "supervisor: 's' children { id: 'a' type: 'counter' "
      "shutdown { timeout { seconds: -1 } } }",
      "children[0].shutdown", "must not be negative");
}

}  // namespace
}  // namespace muster
