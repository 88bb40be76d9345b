// The distributed part of OTP's application suite, on applied trees: what one
// starts runs once in the cluster, wherever that is.
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/supervisor/env.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/tree_fixture.h"

namespace muster {
namespace {

using ::testing::ElementsAre;

class Application : public TreeFixture {
 protected:
  Application() : TreeFixture(3) {}
};

TEST_F(Application, APP04_NodeThatDiesDuringTheStart) {
  OTP_CASE("APP.04", "DA2");
  script_->init_takes["s_a"] = absl::Seconds(3);
  ASSERT_TRUE(cluster_.Apply(0, Tree({"a"})).ok());
  ASSERT_TRUE(cluster_.RunUntil([&] { return script_->starts["s_a"] == 1; }));
  const int first = cluster_.LivingOwnerOf("s_a");
  ASSERT_GE(first, 0);
  EXPECT_EQ(script_->living, 0) << "still in Init";
  const Epoch before = EpochOf("s_a");
  cluster_.KillNode(first);
  ASSERT_TRUE(AwaitNewer("s_a", before));
  const int second = cluster_.LivingOwnerOf("s_a");
  EXPECT_NE(second, first);
  ASSERT_TRUE(cluster_.AwaitChild(second, "s", "a", "running"));
  EXPECT_EQ(script_->starts["s_a"], 2);
  EXPECT_EQ(script_->living_max, 1);
  EXPECT_TRUE(Value("s_a", second).ok());
}

TEST_F(Application, APP05_ManyStartersStartItOnceAndAllGetAnAnswer) {
  OTP_CASE("APP.05", "AP4");
  script_->init_takes["s_a"] = absl::Milliseconds(200);
  int answers = 0;
  int starters = 0;
  for (int i = 0; i < 30; ++i) {
    cluster_.StartApply(
        i % 3, Tree({"a"}),
        [&](const absl::StatusOr<admin::v1::ApplyResponse>& applied) {
          ++answers;
          ASSERT_TRUE(applied.ok()) << applied.status();
          EXPECT_EQ(applied->started_size() + applied->unchanged_size(), 1);
          starters += applied->started_size();
        });
  }
  ASSERT_TRUE(cluster_.RunUntil([&] { return answers == 30; }));
  EXPECT_EQ(starters, 1);
  ASSERT_TRUE(cluster_.AwaitChild(0, "s", "a", "running"));
  cluster_.RunFor(absl::Seconds(5));
  EXPECT_EQ(script_->starts["s_a"], 1);
  EXPECT_EQ(script_->living_max, 1);
}

TEST_F(Application, APP07_StartingAgainChangesNothingAFailureLeavesNothing) {
  OTP_CASE("APP.07", "AP1 AP4");
  MustApply(Tree({"a"}));
  const Epoch before = EpochOf("s_a");
  for (const int via : {0, 1, 2}) {
    const auto again = cluster_.Apply(via, Tree({"a"}));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_THAT(again->unchanged(), ElementsAre("a"));
  }
  cluster_.RunFor(absl::Seconds(2));
  EXPECT_EQ(EpochOf("s_a"), before);
  EXPECT_EQ(script_->starts["s_a"], 1);
  // Of a tree that cannot be, nothing is started: a type that nobody has, and
  // a name that is taken.
  cluster::v1::Manifest unknown = Tree({"x", "y"}, "t");
  unknown.mutable_children(1)->set_type("nothing");
  EXPECT_EQ(ReasonOf(cluster_.Apply(0, unknown).status()), "BAD_MANIFEST");
  cluster::v1::Manifest taken = Tree({"x", "y"}, "t");
  taken.mutable_children(1)->set_name("s_a");
  EXPECT_EQ(ReasonOf(cluster_.Apply(0, taken).status()), "NAME_TAKEN");
  cluster_.RunFor(absl::Seconds(5));
  EXPECT_EQ(script_->starts["t_x"], 0);
  EXPECT_FALSE(cluster_.OwnerOf("t_x").has_value());
  EXPECT_TRUE(cluster_.store()
                  .state()
                  .List(cluster_.keys().ChildPrefix("t"))
                  .items.empty());
  EXPECT_EQ(EpochOf("s_a"), before) << "nor is anything harmed";
}

// A worker that does not end in time, and one that calls its supervisor, which
// is ending too, and one that waits for another that is ending.
TEST_F(Application, APP08_NodeStopsInTimeThoughItsWorkersHang) {
  OTP_CASE("APP.08", "AP1 DA2");
  MustApply(Tree(Ids(9)));
  const int node = cluster_.LivingOwnerOf(SupervisorName("s"));
  std::vector<std::string> here;
  for (const std::string& id : Ids(9)) {
    if (cluster_.LivingOwnerOf(NameOf(id)) == node) here.push_back(NameOf(id));
  }
  ASSERT_EQ(here.size(), 3u);
  script_->stop_takes[here[0]] = absl::Hours(1);
  script_->calls_at_stop[here[1]] = SupervisorName("s");
  script_->calls_at_stop[here[2]] = here[0];
  const BootTime begin = cluster_.world().clock().Boot();
  cluster_.LeaveNode(node);
  const absl::Duration took = cluster_.world().clock().Boot() - begin;
  EXPECT_GE(took, absl::Seconds(3)) << "the hanging one was given its time";
  EXPECT_LT(took, absl::Seconds(4));
  EXPECT_THAT(script_->stopped, ::testing::UnorderedElementsAreArray(here));
  ASSERT_EQ(script_->answers.size(), 2u);
  for (const absl::Status& answer : script_->answers) {
    EXPECT_FALSE(answer.ok());
  }
  // All run elsewhere.
  const int via = (node + 1) % 3;
  ASSERT_TRUE(AwaitCount(via, "running", 9));
  EXPECT_EQ(script_->living, 9);
  EXPECT_EQ(script_->living_max, 9);
}

}  // namespace
}  // namespace muster
