// Elixir's registry/duplicate_test.exs.
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/registry_fixture.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

bool All(const SharedValue&) { return true; }
bool AllRows(const RegistryRow&) { return true; }
bool IsOdd(const SharedValue& value) {
  const int* const number = value.As<int>();
  return number != nullptr && *number % 2 == 1;
}

class DuplicateRegistry
    : public RegistryFixture,
      public ::testing::WithParamInterface<std::tuple<RegistryKind, int>> {
 protected:
  DuplicateRegistry()
      : registry_(
            StartRegistry(std::get<0>(GetParam()), std::get<1>(GetParam()))),
        self_(Spawn()) {}

  size_t partitions() const {
    return static_cast<size_t>(registry_.options().partitions);
  }
  bool runs_tasks() const {
    return registry_.options().kind == RegistryKind::kDuplicateByPid &&
           partitions() > 1;
  }
  absl::StatusOr<Pid> Register(absl::string_view key,
                               SharedValue value = SharedValue()) {
    return RegistryFixture::Register(registry_, self_, key, std::move(value));
  }
  static std::vector<int> NumbersOf(const RegistryEntries& entries) {
    std::vector<int> numbers;
    for (const RegistryEntry& entry : entries) {
      numbers.push_back(*entry.value.As<int>());
    }
    return numbers;
  }

  Registry& registry_;
  const Pid self_;
};

INSTANTIATE_TEST_SUITE_P(
    All, DuplicateRegistry,
    ::testing::Combine(::testing::Values(RegistryKind::kDuplicateByPid,
                                         RegistryKind::kDuplicateByKey),
                       ::testing::Values(1, 8)));

TEST_P(DuplicateRegistry, ERG33_HasAnOwnerForEachPartition) {
  OTP_CASE("ERG.33", "R1");
  EXPECT_THAT(registry_.Owners(), SizeIs(partitions()));
}

TEST_P(DuplicateRegistry, ERG34_CountsNothingWhenEmpty) {
  OTP_CASE("ERG.34", "R4");
  EXPECT_EQ(registry_.Count(), 0u);
}

TEST_P(DuplicateRegistry, ERG35_CountsTheSameKeyTwice) {
  OTP_CASE("ERG.35", "R3 R4");
  ASSERT_TRUE(Register("hello", 1).ok());
  ASSERT_TRUE(Register("hello", 1).ok());
  EXPECT_EQ(registry_.Count(), 2u);
  EXPECT_EQ(registry_.Size().processes, 1u);
  EXPECT_THAT(registry_.Keys(self_), ElementsAre("hello", "hello"));
  EXPECT_THAT(registry_.Values("hello", self_), SizeIs(2));
}

TEST_P(DuplicateRegistry, ERG36_ProcessesShareAKey) {
  OTP_CASE("ERG.36", "R3 R4");
  const Pid other = Spawn();
  ASSERT_TRUE(Register("hello", 1).ok());
  ASSERT_TRUE(RegistryFixture::Register(registry_, other, "hello", 2).ok());
  EXPECT_THAT(PidsOf(registry_.Lookup("hello")),
              UnorderedElementsAre(self_, other));
  EXPECT_THAT(registry_.Keys(self_), ElementsAre("hello"));
  EXPECT_THAT(registry_.Keys(other), ElementsAre("hello"));
  EXPECT_TRUE(registry_.Values("hello", other).at(0).Is(2));
}

TEST_P(DuplicateRegistry, ERG37_KeysThatOnlyLookAlikeAreApart) {
  OTP_CASE("ERG.37", "R6");
  ASSERT_TRUE(Register("1", 1).ok());
  ASSERT_TRUE(Register("1.0", 2).ok());
  EXPECT_THAT(NumbersOf(registry_.Lookup("1")), ElementsAre(1));
  EXPECT_THAT(NumbersOf(registry_.Lookup("1.0")), ElementsAre(2));
  Unregister(registry_, self_, "1");
  EXPECT_THAT(registry_.Lookup("1"), IsEmpty());
  EXPECT_THAT(NumbersOf(registry_.Lookup("1.0")), ElementsAre(2));
}

TEST_P(DuplicateRegistry, ERG38_DispatchesInTheCaller) {
  OTP_CASE("ERG.38", "R8");
  const Pid other = Spawn();
  const Pid caller = Spawn();
  Do(caller, [&](Context&) {
    registry_.Dispatch("hello", [](absl::Span<const RegistryEntry>) {
      FAIL() << "called with no entries";
    });
  });
  ASSERT_TRUE(Register("hello", 1).ok());
  ASSERT_TRUE(RegistryFixture::Register(registry_, other, "hello", 2).ok());
  ASSERT_TRUE(Register("world", 3).ok());
  std::vector<int> seen;
  size_t calls = 0;
  Do(caller, [&](Context&) {
    registry_.Dispatch("hello", [&](absl::Span<const RegistryEntry> entries) {
      ++calls;
      EXPECT_FALSE(entries.empty());
      for (const RegistryEntry& entry : entries) {
        seen.push_back(*entry.value.As<int>());
      }
    });
    // Before Dispatch returns: in this callback.
    EXPECT_THAT(seen, UnorderedElementsAre(1, 2));
  });
  EXPECT_THAT(seen, SizeIs(2));
  // Neighbours are in two partitions of 8 by pid.
  EXPECT_EQ(calls, runs_tasks() ? 2u : 1u);
}

TEST_P(DuplicateRegistry, ERG39_DispatchesInParallelWherePartitionedByPid) {
  OTP_CASE("ERG.39", "R8");
  std::vector<Info> inbox;
  const Pid caller = Spawn(&inbox);
  Do(caller, [](Context& self) { self.TrapExit(true); });
  const Pid other = Spawn();
  ASSERT_TRUE(Register("hello", 1).ok());
  ASSERT_TRUE(RegistryFixture::Register(registry_, other, "hello", 2).ok());
  const size_t processes = node_.runtime().process_count();
  std::vector<int> seen;
  size_t most_processes = 0;
  absl::Status status = absl::UnknownError("never came");
  DoNext(caller, [&](Context& self) -> Next {
    std::function<void(absl::Span<const RegistryEntry>)> send =
        [&](absl::Span<const RegistryEntry> entries) {
          most_processes =
              std::max(most_processes, node_.runtime().process_count());
          for (const RegistryEntry& entry : entries) {
            seen.push_back(*entry.value.As<int>());
          }
        };
    status = co_await registry_.DispatchInParallel(self, "hello", send);
    EXPECT_THAT(seen, UnorderedElementsAre(1, 2)) << "complete when it says so";
    co_return NoReply();
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(most_processes, processes + (runs_tasks() ? 2 : 0));
  EXPECT_EQ(node_.runtime().process_count(), processes);
  EXPECT_THAT(inbox, IsEmpty()) << "no stray exits";
  // Nobody there: at once, and nothing is called.
  seen.clear();
  DoNext(caller, [&](Context& self) -> Next {
    std::function<void(absl::Span<const RegistryEntry>)> send =
        [&](absl::Span<const RegistryEntry>) { seen.push_back(0); };
    status = co_await registry_.DispatchInParallel(self, "nobody", send);
    co_return NoReply();
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(seen, IsEmpty());
}

TEST_P(DuplicateRegistry, R8_ParallelDispatchThatThrowsIsAnError) {
  if (!runs_tasks()) GTEST_SKIP() << "runs in the caller, as Dispatch";
  const Pid caller = Spawn();
  ASSERT_TRUE(Register("hello", 1).ok());
  absl::Status status;
  DoNext(caller, [&](Context& self) -> Next {
    std::function<void(absl::Span<const RegistryEntry>)> send =
        [](absl::Span<const RegistryEntry>) {
          throw std::runtime_error("oops");
        };
    status = co_await registry_.DispatchInParallel(self, "hello", send);
    co_return NoReply();
  });
  EXPECT_EQ(ReasonOf(status), "CALLEE_EXITED");
  EXPECT_THAT(DetailOf(status, "exit_reason"), ::testing::HasSubstr("oops"));
  EXPECT_TRUE(node_.Alive(caller));
}

TEST_P(DuplicateRegistry, ERG40_UnregistersWithNoEntries) {
  OTP_CASE("ERG.40", "R5");
  Unregister(registry_, self_, "hello");
  const Pid other = Spawn();
  ASSERT_TRUE(RegistryFixture::Register(registry_, other, "hello", 1).ok());
  Unregister(registry_, self_, "hello");
  EXPECT_THAT(PidsOf(registry_.Lookup("hello")), ElementsAre(other));
}

TEST_P(DuplicateRegistry, R5_UnregisterTakesAllEntriesOfTheKey) {
  const Pid other = Spawn();
  ASSERT_TRUE(Register("hello", 1).ok());
  ASSERT_TRUE(Register("hello", 2).ok());
  ASSERT_TRUE(Register("world", 3).ok());
  ASSERT_TRUE(RegistryFixture::Register(registry_, other, "hello", 4).ok());
  Unregister(registry_, self_, "hello");
  EXPECT_THAT(registry_.Keys(self_), ElementsAre("world"));
  EXPECT_THAT(NumbersOf(registry_.Lookup("hello")), ElementsAre(4));
}

TEST_P(DuplicateRegistry, ERG41_MatchesByPredicate) {
  OTP_CASE("ERG.41 ERG.42 ERG.44", "R6");
  ASSERT_TRUE(Register("hello", 1).ok());
  ASSERT_TRUE(Register("hello", 2).ok());
  const auto is_two = [](const SharedValue& value) { return value.Is(2); };
  const auto above = [](int bound) {
    return
        [bound](const SharedValue& value) { return *value.As<int>() > bound; };
  };
  EXPECT_THAT(NumbersOf(registry_.Match("hello", All)),
              UnorderedElementsAre(1, 2));
  EXPECT_THAT(NumbersOf(registry_.Match("hello", is_two)), ElementsAre(2));
  EXPECT_THAT(NumbersOf(registry_.Match("hello", above(1))), ElementsAre(2));
  EXPECT_THAT(registry_.Match("hello", above(2)), IsEmpty());
  EXPECT_EQ(registry_.CountMatch("hello", above(0)), 2u);
  EXPECT_EQ(registry_.CountMatch("hello", above(1)), 1u);
  EXPECT_EQ(registry_.CountMatch("hello", above(2)), 0u);
}

TEST_P(DuplicateRegistry, ERG43_KeysAreExactBytes) {
  OTP_CASE("ERG.43 ERG.58 ERG.59", "R6");
  const std::vector<std::string> keys = {"_",
                                         ":_",
                                         "$1",
                                         "$$",
                                         std::string("\0", 1),
                                         std::string("\0\0", 2),
                                         "{hello, _}",
                                         ""};
  int number = 0;
  for (const std::string& key : keys) {
    ASSERT_TRUE(Register(key, number++).ok());
  }
  number = 0;
  for (const std::string& key : keys) {
    EXPECT_THAT(NumbersOf(registry_.Lookup(key)), ElementsAre(number)) << key;
    EXPECT_THAT(NumbersOf(registry_.Match(key, All)), ElementsAre(number));
    const auto exactly = [&](const RegistryRow& row) { return row.key == key; };
    const std::vector<RegistryRow> rows = registry_.Select(exactly);
    ASSERT_THAT(rows, SizeIs(1)) << key;
    EXPECT_TRUE(rows[0].value.Is(number));
    ++number;
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    Unregister(registry_, self_, keys[i]);
    EXPECT_EQ(registry_.Count(), keys.size() - 1 - i) << "only the exact key";
  }
}

TEST_P(DuplicateRegistry, ERG45_UnregisterMatchTakesOnlyMineThatMatch) {
  OTP_CASE("ERG.45 ERG.46", "R5");
  const Pid other = Spawn();
  ASSERT_TRUE(Register("hello", 1).ok());
  ASSERT_TRUE(Register("hello", 2).ok());
  ASSERT_TRUE(Register("hello", 3).ok());
  ASSERT_TRUE(Register("world", 5).ok());
  ASSERT_TRUE(RegistryFixture::Register(registry_, other, "hello", 7).ok());
  Do(self_,
     [&](Context& self) { registry_.UnregisterMatch(self, "hello", IsOdd); });
  EXPECT_THAT(NumbersOf(registry_.Lookup("hello")), UnorderedElementsAre(2, 7));
  EXPECT_THAT(registry_.Keys(self_), ElementsAre("hello", "world"));
  EXPECT_THAT(NumbersOf(registry_.Lookup("world")), ElementsAre(5));
}

TEST_P(DuplicateRegistry, ERG48_UnknownRegistryIsAnError) {
  OTP_CASE("ERG.48", "R1");
  EXPECT_EQ(ReasonOf(Registry::Find(node_.runtime(), "unknown").status()),
            "UNKNOWN_REGISTRY");
  // One that has ended is unknown too.
  node_.Stop(KeeperOf(registry_));
  EXPECT_EQ(ReasonOf(Registry::Find(node_.runtime(), "registry").status()),
            "UNKNOWN_REGISTRY");
  const auto refused =
      RegistryFixture::Register(registry_, Spawn(), "hello", 1);
  EXPECT_EQ(ReasonOf(refused.status()), "RESTARTING");
}

TEST_P(DuplicateRegistry, ERG49_ViaIsRefused) {
  OTP_CASE("ERG.49", "R3");
  absl::Status status;
  registry_.Register(absl::string_view("hello"), self_,
                     [&](absl::Status s) { status = std::move(s); });
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(status), "NOT_UNIQUE");
  StartOptions options;
  options.name = ServerName::Via("registry", "hello");
  status = node_.Start(ScriptServer::Make(), Payload(), options).status();
  EXPECT_EQ(ReasonOf(status), "NOT_UNIQUE") << status;
  EXPECT_EQ(registry_.Count(), 0u);
  ASSERT_TRUE(Register("hello", 1).ok());
  EXPECT_TRUE(registry_.WhereIs("hello").empty());
}

TEST_P(DuplicateRegistry, ERG50_SelectsNothingWhenEmpty) {
  OTP_CASE("ERG.50", "R6");
  EXPECT_THAT(registry_.Select(AllRows), IsEmpty());
  EXPECT_EQ(registry_.CountSelect(AllRows), 0u);
}

TEST_P(DuplicateRegistry, ERG51_SelectsAll) {
  OTP_CASE("ERG.51", "R6");
  ASSERT_TRUE(Register("hello", 1).ok());
  ASSERT_TRUE(Register("hello", 1).ok());
  ASSERT_TRUE(Register("world", 2).ok());
  const std::vector<RegistryRow> rows = registry_.Select(AllRows);
  ASSERT_THAT(rows, SizeIs(3));
  EXPECT_EQ(rows[0].key, "hello");
  EXPECT_EQ(rows[1].key, "hello");
  EXPECT_EQ(rows[2].key, "world");
  for (const RegistryRow& row : rows) EXPECT_EQ(row.pid, self_);
  EXPECT_TRUE(rows[1].value.Is(1));
  EXPECT_TRUE(rows[2].value.Is(2));
}

TEST_P(DuplicateRegistry, ERG52_SelectsByGuardsAndUnion) {
  OTP_CASE("ERG.52 ERG.53 ERG.54 ERG.55", "R6");
  ASSERT_TRUE(Register("hello", 1).ok());
  ASSERT_TRUE(Register("hello", 2).ok());
  ASSERT_TRUE(Register("world", 3).ok());
  ASSERT_TRUE(Register("other", 4).ok());
  const auto guard = [](const RegistryRow& row) {
    return *row.value.As<int>() > 1 && row.key == "hello";
  };
  ASSERT_THAT(registry_.Select(guard), SizeIs(1));
  EXPECT_TRUE(registry_.Select(guard)[0].value.Is(2));
  EXPECT_EQ(registry_.CountSelect(guard), 1u);
  const auto either = [](const RegistryRow& row) {
    return row.key == "hello" || row.key == "world";
  };
  std::vector<int> numbers;
  for (const RegistryRow& row : registry_.Select(either)) {
    numbers.push_back(*row.value.As<int>());
  }
  EXPECT_THAT(numbers, UnorderedElementsAre(1, 2, 3));
  EXPECT_EQ(registry_.CountSelect(either), 3u);
  const auto key = [](const RegistryRow& row) { return row.key == "hello"; };
  EXPECT_EQ(registry_.CountSelect(key), 2u);
}

TEST_P(DuplicateRegistry, ERG57_UpdateValueIsRefused) {
  OTP_CASE("ERG.57", "R3 R7");
  ASSERT_TRUE(Register("hello", 1).ok());
  absl::StatusOr<RegistryUpdate> update = RegistryUpdate();
  Do(self_, [&](Context& self) {
    update = registry_.UpdateValue(self, "hello",
                                   [](const SharedValue&) -> SharedValue {
                                     ADD_FAILURE() << "called";
                                     return 2;
                                   });
  });
  EXPECT_EQ(update.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(update.status()), "NOT_UNIQUE");
  EXPECT_THAT(NumbersOf(registry_.Lookup("hello")), ElementsAre(1));
}

class DuplicateRegistryTest : public RegistryFixture {};

TEST_F(DuplicateRegistryTest, ERG47_ListenersHearOfEachOperation) {
  OTP_CASE("ERG.47", "R10");
  std::vector<Info> inbox;
  const Pid listener = Spawn(&inbox, "listener");
  RegistryOptions options;
  options.name = "events";
  options.kind = RegistryKind::kDuplicateByPid;
  options.listeners = {"listener"};
  Registry& registry = StartRegistry(std::move(options));
  const Pid pid = Spawn();
  ASSERT_TRUE(Register(registry, pid, "hello", "world").ok());
  ASSERT_THAT(inbox, SizeIs(1));
  const Registered* const registered = inbox[0].As<Registered>();
  ASSERT_NE(registered, nullptr);
  EXPECT_EQ(registered->registry, "events");
  EXPECT_EQ(registered->key, "hello");
  EXPECT_EQ(registered->pid, pid);
  EXPECT_TRUE(registered->value.Is("world"));
  Unregister(registry, pid, "hello");
  ASSERT_THAT(inbox, SizeIs(2));
  const Unregistered* const unregistered = inbox[1].As<Unregistered>();
  ASSERT_NE(unregistered, nullptr);
  EXPECT_EQ(unregistered->registry, "events");
  EXPECT_EQ(unregistered->key, "hello");
  EXPECT_EQ(unregistered->pid, pid);
  // Nothing was there: nothing is told. Nor when a process ends.
  Unregister(registry, pid, "hello");
  EXPECT_THAT(inbox, SizeIs(2));
  ASSERT_TRUE(Register(registry, pid, "hello", "again").ok());
  ASSERT_THAT(inbox, SizeIs(3));
  Kill(pid);
  EXPECT_THAT(inbox, SizeIs(3));
  // A listener that is gone harms nobody.
  Kill(listener);
  EXPECT_TRUE(Register(registry, Spawn(), "hello", "world").ok());
}

TEST_F(DuplicateRegistryTest, ERG56_UnknownKindFailsTheStart) {
  OTP_CASE("ERG.56", "R1");
  RegistryOptions options;
  options.name = "registry";
  options.kind = static_cast<RegistryKind>(17);
  Registry registry(std::move(options));
  const absl::Status status = node_.Start(registry.MakeProcess()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ReasonOf(status), "BAD_REGISTRY");
}

}  // namespace
}  // namespace muster
