// Elixir's registry_test.exs: what all kinds of Registry have in common.
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/supervisor/child_spec.h"
#include "node/supervisor/supervisor.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/registry_fixture.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const RegistrySize kNothing;

// Of every kind, with 1 and 8 partitions.
class RegistryKinds
    : public RegistryFixture,
      public ::testing::WithParamInterface<std::tuple<RegistryKind, int>> {
 protected:
  RegistryKinds()
      : registry_(
            StartRegistry(std::get<0>(GetParam()), std::get<1>(GetParam()))) {}
  bool by_pid() const {
    return registry_.options().kind == RegistryKind::kDuplicateByPid;
  }
  Registry& registry_;
};

INSTANTIATE_TEST_SUITE_P(
    All, RegistryKinds,
    ::testing::Combine(::testing::Values(RegistryKind::kUnique,
                                         RegistryKind::kDuplicateByPid,
                                         RegistryKind::kDuplicateByKey),
                       ::testing::Values(1, 8)));

TEST_P(RegistryKinds, ERG01_KilledProcessesLeaveNothing) {
  OTP_CASE("ERG.01", "R12 P8");
  const Pid one = Spawn();
  const Pid two = Spawn();
  ASSERT_TRUE(Register(registry_, one, "one", 1).ok());
  ASSERT_TRUE(Register(registry_, two, "two", 2).ok());
  ASSERT_EQ(registry_.Size().entries, 2u);
  Kill(one);
  Kill(two);
  EXPECT_EQ(registry_.Size(), kNothing);
  EXPECT_THAT(registry_.Lookup("one"), IsEmpty());
  EXPECT_THAT(registry_.Keys(two), IsEmpty());
}

TEST_P(RegistryKinds, R12_CrashOfAnOwnerTakesItsProcessesWithIt) {
  const Pid mine = Spawn();
  const Pid other = Spawn();
  const Pid far = Spawn();
  const auto owner = Register(registry_, mine, "mine");
  ASSERT_TRUE(owner.ok());
  ASSERT_TRUE(Register(registry_, far, "far").ok());
  const auto mine_ended = ReasonOfEnd(mine);
  const auto far_ended = ReasonOfEnd(far);
  const std::vector<Pid> before = registry_.Owners();
  Kill(*owner);
  EXPECT_EQ(*mine_ended, "killed");
  EXPECT_THAT(registry_.Lookup("mine"), IsEmpty());
  // `far` is the second neighbour of `mine`: with 8 partitions in another.
  const bool same = before.size() == 1;
  if (same) {
    EXPECT_EQ(*far_ended, "killed");
  } else if (by_pid()) {
    EXPECT_EQ(*far_ended, "") << "only the one partition starts anew";
    EXPECT_THAT(registry_.Lookup("far"), SizeIs(1));
  } else {
    EXPECT_EQ(*far_ended, "shutdown");
  }
  // It runs again, with as many owners.
  EXPECT_TRUE(node_.Alive(other)) << "it had no entry";
  EXPECT_THAT(registry_.Owners(), SizeIs(before.size()));
  EXPECT_TRUE(Register(registry_, other, "mine").ok());
  EXPECT_THAT(PidsOf(registry_.Lookup("mine")), ElementsAre(other));
}

TEST_P(RegistryKinds, R12_RefusedAndUndoneRegistrationsLeaveNothing) {
  const Pid pid = Spawn();
  for (int i = 0; i < 100; ++i) {
    Do(pid, [&](Context& self) {
      ASSERT_TRUE(registry_.Register(self, "a", i).ok());
      ASSERT_TRUE(registry_.Register(self, "b", i).ok());
      registry_.Unregister(self, "b");
      registry_.Unregister(self, "a");
    });
  }
  EXPECT_EQ(registry_.Size(), kNothing);
}

TEST_P(RegistryKinds, R2_ProcessThatTrapsSurvivesItsOwner) {
  std::vector<Info> inbox;
  const Pid pid = Spawn(&inbox);
  Do(pid, [](Context& self) { self.TrapExit(true); });
  const auto owner = Register(registry_, pid, "a");
  ASSERT_TRUE(owner.ok());
  Kill(*owner);
  ASSERT_THAT(inbox, SizeIs(1));
  ASSERT_NE(inbox[0].As<Exit>(), nullptr);
  EXPECT_EQ(inbox[0].As<Exit>()->from, *owner);
  EXPECT_EQ(inbox[0].As<Exit>()->reason, ExitReason::Killed());
  EXPECT_EQ(registry_.Size(), kNothing);
  EXPECT_TRUE(Register(registry_, pid, "a").ok());
}

class RegistryTest : public RegistryFixture {};

TEST_F(RegistryTest, R12_OwnersThatCrashTooOftenEndTheRegistry) {
  Registry& registry = StartRegistry(RegistryKind::kUnique);
  const auto ended = ReasonOfEnd(KeeperOf(registry));
  const auto crash = [&](int times) {
    for (int i = 0; i < times; ++i) {
      const std::vector<Pid> owners = registry.Owners();
      ASSERT_THAT(owners, SizeIs(1)) << "crash " << i;
      Kill(owners[0]);
    }
  };
  crash(3);
  EXPECT_EQ(*ended, "");
  node_.RunFor(absl::Seconds(6));
  crash(3);
  EXPECT_EQ(*ended, "") << "the first three are forgotten";
  crash(1);
  EXPECT_EQ(*ended, "shutdown");
  EXPECT_THAT(registry.Owners(), IsEmpty());
}

TEST_F(RegistryTest, RunsUnderASupervisor) {
  Registry registry({.name = "sessions", .partitions = 2});
  {
    ChildSpec child;
    child.id = "sessions";
    child.name = "sessions";
    child.type = ChildType::kSupervisor;
    child.factory = [&] { return registry.MakeProcess(); };
    SupervisorSpec spec;
    spec.children.push_back(std::move(child));
    absl::StatusOr<std::unique_ptr<Supervisor>> supervisor =
        Supervisor::Make(std::move(spec));
    ASSERT_TRUE(supervisor.ok()) << supervisor.status();
    const absl::StatusOr<Pid> top = node_.Start(*std::move(supervisor), "top");
    ASSERT_TRUE(top.ok()) << top.status();
    const Pid pid = Spawn();
    ASSERT_TRUE(Register(registry, pid, "a").ok());
    const auto ended = ReasonOfEnd(pid);
    // Its process dies, and all that registered with it; another takes over.
    Kill(KeeperOf(registry));
    EXPECT_EQ(*ended, "killed");
    EXPECT_EQ(registry.Size(), kNothing);
    EXPECT_THAT(registry.Owners(), SizeIs(2));
    const Pid after = Spawn();
    EXPECT_TRUE(Register(registry, after, "a").ok());
    // A shutdown of the supervisor shuts it down, and what is linked to it.
    const auto last = ReasonOfEnd(after);
    EXPECT_EQ(node_.Stop(*top), ExitReason::Shutdown());
    EXPECT_EQ(*last, "shutdown");
    EXPECT_EQ(registry.Size(), kNothing);
  }
  const Pid late = Spawn();
  const auto refused = Register(registry, late, "a");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(refused.status()), "RESTARTING");
}

TEST_F(RegistryTest, R1_BadOptionsFailTheStart) {
  const auto start = [&](RegistryOptions options) {
    Registry registry(std::move(options));
    return node_.Start(registry.MakeProcess()).status();
  };
  for (const absl::Status& status :
       {start({.name = ""}), start({.name = "r", .partitions = 0}),
        start({.name = "r", .partitions = -1}),
        start({.name = "r", .listeners = {""}})}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(ReasonOf(status), "BAD_REGISTRY") << status;
  }
  EXPECT_EQ(node_.runtime().HoldVia("r"), nullptr);
}

TEST_F(RegistryTest, SecondStartIsRefusedAndHarmsNobody) {
  Registry& registry = StartRegistry(RegistryKind::kUnique);
  const absl::Status again = node_.Start(registry.MakeProcess()).status();
  EXPECT_EQ(again.code(), absl::StatusCode::kAlreadyExists) << again;
  EXPECT_EQ(DetailOf(again, "pid"), KeeperOf(registry).ToString());
  Registry twin({.name = "registry"});
  const absl::Status taken = node_.Start(twin.MakeProcess()).status();
  EXPECT_EQ(ReasonOf(taken), "ALREADY_STARTED") << taken;
  EXPECT_EQ(node_.runtime().HoldVia("registry").get(), &registry);
  EXPECT_TRUE(Register(registry, Spawn(), "a").ok());
}

TEST_F(RegistryTest, R11_MetadataIsSetAtStartPutAndDeleted) {
  Registry& registry = StartRegistry(
      {.name = "registry", .meta = {{"set", std::string("at start")}}});
  EXPECT_TRUE(registry.Meta("set").Is("at start"));
  EXPECT_TRUE(registry.Meta("other").empty());
  registry.PutMeta("other", 7);
  registry.PutMeta("set", 8);
  EXPECT_TRUE(registry.Meta("other").Is(7));
  EXPECT_TRUE(registry.Meta("set").Is(8));
  registry.DeleteMeta("other");
  registry.DeleteMeta("other");
  EXPECT_TRUE(registry.Meta("other").empty());
}

// -- Locks -------------------------------------------------------------------

class RegistryLockTest : public RegistryFixture {
 protected:
  RegistryLockTest() : registry_(StartRegistry(RegistryKind::kUnique)) {}

  // Takes the lock, says so, holds it for `span`, says that too.
  void HoldLater(const Pid& pid, std::string key, absl::Duration span,
                 bool throws = false) {
    Later(pid, [this, key, span, throws](Context& self) -> Next {
      const std::string who = key + "@" + self.name();
      Registry::Lock lock = co_await registry_.Acquire(self, key);
      events_.push_back("+" + who);
      co_await self.Sleep(span);
      events_.push_back("-" + who);
      if (throws) throw std::runtime_error("oops");
      co_return NoReply();
    });
  }

  Registry& registry_;
  std::vector<std::string> events_;
};

TEST_F(RegistryLockTest, ERG02_DifferentKeysRunAtOnce) {
  OTP_CASE("ERG.02", "R11");
  HoldLater(Spawn(nullptr, "a"), "x", absl::Seconds(1));
  HoldLater(Spawn(nullptr, "b"), "y", absl::Seconds(2));
  node_.RunReady();
  EXPECT_THAT(events_, ::testing::UnorderedElementsAre("+x@a", "+y@b"));
  EXPECT_EQ(registry_.Size().locks, 2u);
  node_.RunFor(absl::Seconds(3));
  EXPECT_THAT(events_, SizeIs(4));
  EXPECT_EQ(registry_.Size(), kNothing);
}

TEST_F(RegistryLockTest, ERG03_SameKeyRunsOneAfterTheOther) {
  OTP_CASE("ERG.03", "R11");
  const Pid a = Spawn(nullptr, "a");
  const Pid b = Spawn(nullptr, "b");
  const Pid c = Spawn(nullptr, "c");
  HoldLater(a, "x", absl::Seconds(1));
  node_.RunReady();
  HoldLater(b, "x", absl::Seconds(1));
  node_.RunReady();
  HoldLater(c, "x", absl::Seconds(1));
  node_.RunReady();
  EXPECT_THAT(events_, ElementsAre("+x@a"));
  node_.RunFor(absl::Seconds(5));
  EXPECT_THAT(events_,
              ElementsAre("+x@a", "-x@a", "+x@b", "-x@b", "+x@c", "-x@c"));
  EXPECT_EQ(registry_.Size(), kNothing);
}

TEST_F(RegistryLockTest, ERG04_HolderThatThrowsReleasesAndAloneFails) {
  OTP_CASE("ERG.04", "R11");
  const Pid a = Spawn(nullptr, "a");
  const Pid b = Spawn(nullptr, "b");
  const auto ended = ReasonOfEnd(a);
  HoldLater(a, "x", absl::Seconds(1), /*throws=*/true);
  node_.RunReady();
  HoldLater(b, "x", absl::Seconds(1));
  node_.RunFor(absl::Seconds(3));
  EXPECT_THAT(events_, ElementsAre("+x@a", "-x@a", "+x@b", "-x@b"));
  EXPECT_THAT(*ended, ::testing::HasSubstr("oops"));
  EXPECT_TRUE(node_.Alive(b));
  EXPECT_EQ(registry_.Size(), kNothing);
}

TEST_F(RegistryLockTest, ERG05_KilledWaiterIsSkipped) {
  OTP_CASE("ERG.05", "R11");
  const Pid a = Spawn(nullptr, "a");
  const Pid b = Spawn(nullptr, "b");
  const Pid c = Spawn(nullptr, "c");
  HoldLater(a, "x", absl::Seconds(2));
  node_.RunReady();
  HoldLater(b, "x", absl::Seconds(1));
  node_.RunReady();
  HoldLater(c, "x", absl::Seconds(1));
  node_.RunReady();
  Kill(b);
  node_.RunFor(absl::Seconds(5));
  EXPECT_THAT(events_, ElementsAre("+x@a", "-x@a", "+x@c", "-x@c"));
  EXPECT_EQ(registry_.Size(), kNothing);
}

TEST_F(RegistryLockTest, R11_KilledHolderReleases) {
  const Pid a = Spawn(nullptr, "a");
  const Pid b = Spawn(nullptr, "b");
  HoldLater(a, "x", absl::Hours(1));
  node_.RunReady();
  HoldLater(b, "x", absl::Seconds(1));
  node_.RunReady();
  Kill(a);
  EXPECT_THAT(events_, ElementsAre("+x@a", "+x@b"));
  node_.RunFor(absl::Seconds(2));
  EXPECT_EQ(registry_.Size(), kNothing);
}

TEST_F(RegistryLockTest, R11_WaiterKilledAsItGetsTheLockHandsItOn) {
  const Pid a = Spawn(nullptr, "a");
  const Pid b = Spawn(nullptr, "b");
  const Pid c = Spawn(nullptr, "c");
  HoldLater(a, "x", absl::Seconds(1));
  node_.RunReady();
  HoldLater(b, "x", absl::Seconds(1));
  node_.RunReady();
  HoldLater(c, "x", absl::Seconds(1));
  node_.RunReady();
  // Both before a worker runs either: b is given the lock while it is doomed.
  node_.runtime().SendExit(Pid(), b, ExitReason::Kill());
  node_.runtime().SendExit(Pid(), a, ExitReason::Kill());
  node_.RunReady();
  EXPECT_THAT(events_, ElementsAre("+x@a", "+x@c"));
  node_.RunFor(absl::Seconds(2));
  EXPECT_EQ(registry_.Size(), kNothing);
}

TEST_F(RegistryLockTest, R11_LocksAndEntriesAreApart) {
  const Pid a = Spawn(nullptr, "a");
  ASSERT_TRUE(Register(registry_, Spawn(), "x").ok());
  HoldLater(a, "x", absl::Seconds(1));
  node_.RunReady();
  EXPECT_THAT(events_, ElementsAre("+x@a"));
}

}  // namespace
}  // namespace muster
