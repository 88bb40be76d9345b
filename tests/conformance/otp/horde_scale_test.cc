// Horde's cases of many children.
//
// Upstream has 1000 and 2000 of them; a simulation in one thread has fewer, so
// that it ends soon, and asserts the same.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/conformance/otp/horde_fixture.h"
#include "tests/conformance/otp/otp_case.h"

namespace muster {
namespace {

constexpr int kMany = 200;

TEST_F(HordeFailover, HRD15_AllOfManyRunOnTheOtherNode) {
  OTP_CASE("HRD.15", "HO4 HO5");
  const std::vector<std::string> ids = Ids(kMany);
  MustApply(Tree(ids));
  EXPECT_EQ(Owners(ids), (std::set<int>{0, 1}));
  const int via = 1 - cluster_.LivingOwnerOf("s_c0");
  cluster_.LeaveNode(1 - via);
  ExpectWhole(ids);
  EXPECT_EQ(Owners(ids), std::set<int>{via});
}

class HordeNetsplit : public HordeFailover {
 protected:
  HordeNetsplit() : HordeFailover(4) {}
};

TEST_F(HordeNetsplit, HRD20_ManySurviveASplitOfTwoAndTwo) {
  OTP_CASE("HRD.20", "HO7 HO11");
  const std::vector<std::string> ids = Ids(kMany);
  MustApply(Tree(ids));
  ASSERT_EQ(Owners(ids), (std::set<int>{0, 1, 2, 3}));
  std::map<std::string, Epoch> kept;  // On the side with the store.
  for (const std::string& id : ids) {
    if (cluster_.LivingOwnerOf(NameOf(id)) < 2) kept[id] = EpochOf(NameOf(id));
  }
  for (const int cut : {2, 3}) {
    cluster_.store().Disconnect(cluster_.store_client(cut));
    for (const int other : {0, 1}) CutLink(cut, other);
  }
  cluster_.RunFor(absl::Seconds(10));
  ASSERT_TRUE(
      cluster_.RunUntil([&] { return Owners(ids) == std::set<int>{0, 1}; }));
  ASSERT_TRUE(AwaitCount(0, "running", kMany));
  EXPECT_EQ(Owners(ids), (std::set<int>{0, 1}));
  cluster_.network().HealAll();
  for (const int cut : {2, 3}) {
    cluster_.store().Reconnect(cluster_.store_client(cut));
  }
  ASSERT_TRUE(cluster_.RunUntil([&] {
    return cluster_.Reaps(2) == 1 && cluster_.Reaps(3) == 1 &&
           Joined().size() == 4;
  }));
  ExpectWhole(ids);
  for (const auto& [id, epoch] : kept) {
    EXPECT_EQ(EpochOf(NameOf(id)), epoch) << id << " was not touched";
  }
}

class HordeTasks : public HordeFailover {
 protected:
  HordeTasks() : HordeFailover(3) {}
};

TEST_F(HordeTasks, HRD28_EachOfManyTransientTasksRunsOnce) {
  OTP_CASE("HRD.28", "HO2");
  script_->tasks = true;
  const std::vector<std::string> ids = Ids(kMany);
  cluster::v1::Manifest tree = Tree(ids);
  for (auto& child : *tree.mutable_children()) {
    child.set_restart(store::v1::TRANSIENT);
  }
  ASSERT_TRUE(cluster_.Apply(0, tree).ok());
  ASSERT_TRUE(AwaitCount(0, "ended", kMany));
  cluster_.RunFor(absl::Seconds(5));
  for (const std::string& id : ids) {
    EXPECT_EQ(script_->works[NameOf(id)], 1) << id;
    EXPECT_FALSE(cluster_.OwnerOf(NameOf(id)).has_value()) << id;
  }
  EXPECT_EQ(script_->living, 0);
}

class HordeStress : public HordeFailover {
 protected:
  HordeStress() : HordeFailover(2) {}
};

TEST_F(HordeStress, HRD41_AllOfManyWorkersAreCounted) {
  OTP_CASE("HRD.41", "HO8");
  const std::vector<std::string> ids = Ids(2 * kMany);
  MustApply(Tree(ids));
  for (int via = 0; via < 2; ++via) {
    EXPECT_TRUE(AwaitCount(via, "running", 2 * kMany));
  }
  ExpectWhole(ids);
}

}  // namespace
}  // namespace muster
