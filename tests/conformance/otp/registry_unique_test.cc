// Elixir's registry/unique_test.exs.
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/registry_fixture.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// The tuple that upstream's pattern cases match on.
struct Tagged {
  std::string tag;
  int number = 0;
  int again = 0;
};

bool All(const SharedValue&) { return true; }
bool AllRows(const RegistryRow&) { return true; }
bool IsOdd(const SharedValue& value) {
  const int* const number = value.As<int>();
  return number != nullptr && *number % 2 == 1;
}

class UniqueRegistry : public RegistryFixture,
                       public ::testing::WithParamInterface<int> {
 protected:
  UniqueRegistry()
      : registry_(StartRegistry(RegistryKind::kUnique, GetParam())),
        self_(Spawn()) {}

  absl::StatusOr<Pid> Register(absl::string_view key,
                               SharedValue value = SharedValue()) {
    return RegistryFixture::Register(registry_, self_, key, std::move(value));
  }
  std::vector<std::string> KeysOf(const std::vector<RegistryRow>& rows) {
    std::vector<std::string> keys;
    for (const RegistryRow& row : rows) keys.push_back(row.key);
    return keys;
  }

  Registry& registry_;
  const Pid self_;
};

INSTANTIATE_TEST_SUITE_P(Partitions, UniqueRegistry, ::testing::Values(1, 8));

TEST_P(UniqueRegistry, ERG06_HasAnOwnerForEachPartition) {
  OTP_CASE("ERG.06", "R1");
  const std::vector<Pid> owners = registry_.Owners();
  EXPECT_THAT(owners, SizeIs(static_cast<size_t>(GetParam())));
  for (const Pid& owner : owners) EXPECT_TRUE(node_.Alive(owner));
}

TEST_P(UniqueRegistry, ERG07_CountsNothingWhenEmpty) {
  OTP_CASE("ERG.07", "R4");
  EXPECT_EQ(registry_.Count(), 0u);
}

TEST_P(UniqueRegistry, ERG08_CountsKeys) {
  OTP_CASE("ERG.08", "R4");
  ASSERT_TRUE(Register("hello", "value").ok());
  ASSERT_TRUE(Register("world", "value").ok());
  EXPECT_EQ(registry_.Count(), 2u);
}

TEST_P(UniqueRegistry, ERG09_RefusedHolderElsewhereLeavesNoLinkAndNoResidue) {
  OTP_CASE("ERG.09 ERG.32", "R2 R12");
  std::vector<Info> inbox;
  const Pid other = Spawn(&inbox);
  Do(other, [](Context& self) { self.TrapExit(true); });
  const auto owner = Register("hello", "value");
  ASSERT_TRUE(owner.ok());
  EXPECT_THAT(registry_.Owners(), ::testing::Contains(*owner));
  const RegistrySize before = registry_.Size();

  const auto refused =
      RegistryFixture::Register(registry_, other, "hello", "value");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(refused.status()), "ALREADY_REGISTERED");
  EXPECT_EQ(DetailOf(refused.status(), "pid"), self_.ToString());
  EXPECT_EQ(registry_.Size(), before);
  EXPECT_THAT(registry_.Keys(other), IsEmpty());
  // Its own second attempt is refused as well, and loses it nothing.
  const auto again = Register("hello", "other");
  EXPECT_EQ(ReasonOf(again.status()), "ALREADY_REGISTERED");
  EXPECT_EQ(DetailOf(again.status(), "pid"), self_.ToString());
  EXPECT_EQ(registry_.Size(), before);
  EXPECT_THAT(registry_.Keys(self_), ElementsAre("hello"));
  ASSERT_THAT(registry_.Lookup("hello"), SizeIs(1));
  EXPECT_TRUE(registry_.Lookup("hello")[0].value.Is("value"));
  // No link: the owners end, and `other` hears nothing.
  for (const Pid& one : registry_.Owners()) {
    node_.runtime().SendExit(Pid(), one, ExitReason::Kill());
  }
  node_.RunReady();
  EXPECT_FALSE(node_.Alive(self_));
  EXPECT_THAT(inbox, IsEmpty());
}

TEST_P(UniqueRegistry, ERG10_DeadHolderIsReplacedBeforeItsCleanup) {
  OTP_CASE("ERG.10", "R2 R4");
  const Pid heir = Spawn();
  // Observes before the registry does, so that it is told first.
  int looked = 0;
  node_.runtime().ObserveExit(self_, [&](const ExitReason&) {
    ++looked;
    EXPECT_THAT(PidsOf(registry_.Lookup("hello")), ElementsAre(self_));
    EXPECT_TRUE(registry_.WhereIs("hello").empty());
    registry_.Register("hello", heir, [&](const absl::Status& status) {
      EXPECT_TRUE(status.ok()) << status;
      ++looked;
    });
    EXPECT_THAT(PidsOf(registry_.Lookup("hello")), ElementsAre(heir));
  });
  ASSERT_TRUE(Register("hello").ok());
  Kill(self_);
  EXPECT_EQ(looked, 2);
  // The late cleanup does not touch the heir.
  EXPECT_EQ(registry_.WhereIs("hello"), heir);
  EXPECT_THAT(registry_.Keys(self_), IsEmpty());
  EXPECT_THAT(registry_.Keys(heir), ElementsAre("hello"));
  EXPECT_EQ(registry_.Size().processes, 1u);
}

TEST_P(UniqueRegistry, ERG11_MatchesByPredicate) {
  OTP_CASE("ERG.11 ERG.13", "R6");
  ASSERT_TRUE(Register("hello", Tagged{"atom", 1, 1}).ok());
  const auto with = [](std::string tag, int number) {
    return [tag, number](const SharedValue& value) {
      const Tagged* const tagged = value.As<Tagged>();
      return tagged != nullptr && tagged->tag == tag &&
             tagged->number == number;
    };
  };
  const RegistryEntries found = registry_.Match("hello", with("atom", 1));
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].pid, self_);
  EXPECT_EQ(found[0].value.As<Tagged>()->tag, "atom");
  EXPECT_THAT(registry_.Match("hello", with("atom", 2)), IsEmpty());
  EXPECT_THAT(registry_.Match("hello", with("other", 1)), IsEmpty());
  EXPECT_EQ(registry_.CountMatch("hello", with("atom", 1)), 1u);
  EXPECT_EQ(registry_.CountMatch("hello", with("atom", 2)), 0u);
  // A repeated variable is a comparison.
  const auto equal = [](const SharedValue& value) {
    return value.As<Tagged>()->number == value.As<Tagged>()->again;
  };
  EXPECT_EQ(registry_.CountMatch("hello", equal), 1u);
  // A key that looks like a wildcard is a key.
  EXPECT_THAT(registry_.Match("_", All), IsEmpty());
  EXPECT_EQ(registry_.CountMatch("_", All), 0u);
  // Numbers are strict: 1 is not 1.0.
  ASSERT_TRUE(Register("one", 1).ok());
  const auto is_double = [](const SharedValue& v) { return v.Is(1.0); };
  const auto is_int = [](const SharedValue& v) { return v.Is(1); };
  EXPECT_EQ(registry_.CountMatch("one", is_double), 0u);
  EXPECT_EQ(registry_.CountMatch("one", is_int), 1u);
}

TEST_P(UniqueRegistry, ERG12_GuardsAreConditionsOfThePredicate) {
  OTP_CASE("ERG.12 ERG.14", "R6");
  ASSERT_TRUE(Register("hello", Tagged{"atom", 1, 2}).ok());
  const auto above = [](int bound) {
    return [bound](const SharedValue& value) {
      return value.As<Tagged>()->again > bound;
    };
  };
  EXPECT_THAT(PidsOf(registry_.Match("hello", above(1))), ElementsAre(self_));
  EXPECT_THAT(registry_.Match("hello", above(2)), IsEmpty());
  EXPECT_EQ(registry_.CountMatch("hello", above(1)), 1u);
  EXPECT_EQ(registry_.CountMatch("hello", above(2)), 0u);
}

TEST_P(UniqueRegistry, ERG15_UnregisterMatchTakesOnlyWhatMatches) {
  OTP_CASE("ERG.15 ERG.16", "R5");
  ASSERT_TRUE(Register("hello", 2).ok());
  Do(self_,
     [&](Context& self) { registry_.UnregisterMatch(self, "hello", IsOdd); });
  EXPECT_THAT(registry_.Keys(self_), ElementsAre("hello"));
  Unregister(registry_, self_, "hello");
  ASSERT_TRUE(Register("hello", 3).ok());
  Do(self_,
     [&](Context& self) { registry_.UnregisterMatch(self, "hello", IsOdd); });
  EXPECT_THAT(registry_.Keys(self_), IsEmpty());
  EXPECT_EQ(registry_.Size(), RegistrySize());
}

TEST_P(UniqueRegistry, ERG17_UpdatesOnlyTheCallersOwnValue) {
  OTP_CASE("ERG.17", "R7");
  int calls = 0;
  const auto add_one = [&calls](const SharedValue& before) -> SharedValue {
    ++calls;
    return *before.As<int>() + 1;
  };
  absl::StatusOr<RegistryUpdate> update = RegistryUpdate();
  const auto change = [&](Context& self) {
    update = registry_.UpdateValue(self, "hello", add_one);
  };
  Do(self_, change);
  EXPECT_EQ(ReasonOf(update.status()), "NOT_REGISTERED");
  const Pid other = Spawn();
  ASSERT_TRUE(RegistryFixture::Register(registry_, other, "hello", 1).ok());
  Do(self_, change);
  EXPECT_EQ(update.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(update.status()), "NOT_REGISTERED");
  EXPECT_EQ(calls, 0);
  Do(other, change);
  ASSERT_TRUE(update.ok()) << update.status();
  EXPECT_TRUE(update->now.Is(2));
  EXPECT_TRUE(update->before.Is(1));
  EXPECT_TRUE(registry_.Lookup("hello")[0].value.Is(2));
}

TEST_P(UniqueRegistry, SY3_UpdateThatThrowsChangesNothing) {
  ASSERT_TRUE(Register("hello", 1).ok());
  bool caught = false;
  Do(self_, [&](Context& self) {
    try {
      registry_
          .UpdateValue(self, "hello",
                       [](const SharedValue&) -> SharedValue {
                         throw std::runtime_error("oops");
                       })
          .IgnoreError();
    } catch (const std::runtime_error&) {
      caught = true;
    }
  });
  EXPECT_TRUE(caught);
  EXPECT_TRUE(registry_.Lookup("hello")[0].value.Is(1));
}

TEST_P(UniqueRegistry, ERG18_DispatchesToTheOneEntryOrNotAtAll) {
  OTP_CASE("ERG.18", "R8");
  std::vector<RegistryEntry> seen;
  int calls = 0;
  const auto send = [&](absl::Span<const RegistryEntry> entries) {
    ++calls;
    seen.insert(seen.end(), entries.begin(), entries.end());
  };
  registry_.Dispatch("hello", send);
  EXPECT_EQ(calls, 0);
  ASSERT_TRUE(Register("hello", "value").ok());
  registry_.Dispatch("hello", send);
  EXPECT_EQ(calls, 1);
  ASSERT_THAT(seen, SizeIs(1));
  EXPECT_EQ(seen[0].pid, self_);
  EXPECT_TRUE(seen[0].value.Is("value"));
}

TEST_P(UniqueRegistry, ERG19_UnregistersByKey) {
  OTP_CASE("ERG.19", "R5");
  ASSERT_TRUE(Register("hello", "value").ok());
  ASSERT_TRUE(Register("world", "value").ok());
  Unregister(registry_, self_, "hello");
  EXPECT_THAT(registry_.Keys(self_), ElementsAre("world"));
  EXPECT_THAT(registry_.Lookup("hello"), IsEmpty());
}

TEST_P(UniqueRegistry, ERG20_UnregistersWithNoEntries) {
  OTP_CASE("ERG.20", "R5");
  Unregister(registry_, self_, "hello");
  // Nor does it take what is another's.
  const Pid other = Spawn();
  ASSERT_TRUE(RegistryFixture::Register(registry_, other, "hello").ok());
  Unregister(registry_, self_, "hello");
  EXPECT_EQ(registry_.WhereIs("hello"), other);
}

TEST_P(UniqueRegistry, ERG21_LinkedUntilTheLastKeyGoes) {
  OTP_CASE("ERG.21", "R2 R5");
  std::vector<Info> inbox;
  const Pid pid = Spawn(&inbox);
  Do(pid, [](Context& self) { self.TrapExit(true); });
  const auto owner = RegistryFixture::Register(registry_, pid, "hello");
  ASSERT_TRUE(owner.ok());
  ASSERT_TRUE(RegistryFixture::Register(registry_, pid, "world").ok());
  Unregister(registry_, pid, "hello");
  Unregister(registry_, pid, "world");
  Kill(*owner);
  EXPECT_THAT(inbox, IsEmpty()) << "unlinked with the last key";
  const auto next = RegistryFixture::Register(registry_, pid, "hello");
  ASSERT_TRUE(next.ok());
  ASSERT_TRUE(RegistryFixture::Register(registry_, pid, "world").ok());
  Unregister(registry_, pid, "hello");
  Kill(*next);
  ASSERT_THAT(inbox, SizeIs(1)) << "one key left: still linked, and once";
  EXPECT_EQ(inbox[0].As<Exit>()->from, *next);
}

TEST_P(UniqueRegistry, ERG22_UnknownRegistryIsAnError) {
  OTP_CASE("ERG.22", "R1");
  const auto unknown = Registry::Find(node_.runtime(), "unknown");
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(unknown.status()), "UNKNOWN_REGISTRY");
  EXPECT_EQ(*Registry::Find(node_.runtime(), "registry"), &registry_);
  const auto call = node_.Call<Int64>(ServerRef::Via("unknown", "hello"),
                                      kScriptCall, MakeInt64(1));
  EXPECT_EQ(ReasonOf(call.status()), "NOPROC");
}

TEST_P(UniqueRegistry, ViaReachesTheHolder) {
  std::vector<Info> inbox;
  const Pid pid = Spawn(&inbox);
  absl::Status status = absl::UnknownError("never came");
  registry_.Register("hello", pid,
                     [&](absl::Status s) { status = std::move(s); });
  ASSERT_TRUE(status.ok()) << status;
  const ServerRef via = ServerRef::Via("registry", "hello");
  const auto reply = node_.Call<Int64>(via, kScriptCall, MakeInt64(7));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->value(), 7);
  EXPECT_TRUE(node_.Cast(via, kScriptCast, MakeInt64(1)).ok());
  node_.runtime().Send(via, Info(MakeInt64(5)));
  node_.RunReady();
  ASSERT_THAT(inbox, SizeIs(1));
  EXPECT_EQ(inbox[0].As<Int64>()->value(), 5);
  // A monitor resolves it once (otp M4).
  std::vector<Info> downs;
  const Pid watcher = Spawn(&downs);
  Do(watcher, [&](Context& self) { self.Monitor(via); });
  // Taken: who has it is said.
  registry_.Register("hello", watcher,
                     [&](absl::Status s) { status = std::move(s); });
  EXPECT_EQ(ReasonOf(status), "ALREADY_STARTED");
  EXPECT_EQ(DetailOf(status, "pid"), pid.ToString());
  Kill(pid);
  ASSERT_THAT(downs, SizeIs(1));
  EXPECT_EQ(downs[0].As<Down>()->reason, ExitReason::Killed());
  const auto gone = node_.Call<Int64>(via, kScriptCall, MakeInt64(7));
  EXPECT_EQ(ReasonOf(gone.status()), "NOPROC");
  registry_.Register("hello", pid,
                     [&](absl::Status s) { status = std::move(s); });
  EXPECT_EQ(ReasonOf(status), "NOPROC") << "the dead have no names";
  EXPECT_EQ(registry_.Size(), RegistrySize());
}

TEST_P(UniqueRegistry, ERG23_ServersStartUnderViaNames) {
  OTP_CASE("ERG.23", "R9 C1 H3 H5");
  StartOptions options;
  options.name = ServerName::Via("registry", "hello");
  std::vector<int64_t> casts;
  Script script;
  script.info = [&](Info info, Context&) {
    casts.push_back(info.As<Int64>()->value());
    return Next();
  };
  const auto pid = node_.Start(ScriptServer::Make(script), Payload(), options);
  ASSERT_TRUE(pid.ok()) << pid.status();
  const ServerRef via = ServerRef::Via("registry", "hello");
  EXPECT_EQ(node_.Call<Int64>(via, kScriptCall, MakeInt64(7))->value(), 7);
  node_.runtime().Send(via, Info(MakeInt64(5)));
  node_.RunReady();
  EXPECT_THAT(casts, ElementsAre(5));
  EXPECT_EQ(registry_.WhereIs("hello"), *pid);
  EXPECT_THAT(PidsOf(registry_.Lookup("hello")), ElementsAre(*pid));
  // Taken: the second one's Init does not run.
  Script second;
  second.init = [](Context&) -> InitResult {
    ADD_FAILURE() << "Init ran";
    return Ok();
  };
  const absl::Status taken =
      node_.Start(ScriptServer::Make(second), Payload(), options).status();
  EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists) << taken;
  EXPECT_EQ(ReasonOf(taken), "ALREADY_STARTED");
  EXPECT_EQ(DetailOf(taken, "pid"), pid->ToString());
  // An Init that fails leaves nothing.
  const RegistrySize before = registry_.Size();
  Script failing;
  failing.init = [](Context&) -> InitResult {
    return Stop(ExitReason::Custom("oops"));
  };
  options.name = ServerName::Via("registry", "world");
  const absl::Status failed =
      node_.Start(ScriptServer::Make(failing), Payload(), options).status();
  EXPECT_EQ(ReasonOf(failed), "INIT_FAILED") << failed;
  EXPECT_TRUE(registry_.WhereIs("world").empty());
  EXPECT_EQ(registry_.Size(), before);
  // As does the end of one that ran.
  EXPECT_EQ(node_.Stop(*pid), ExitReason::Shutdown());
  EXPECT_EQ(registry_.Size(), RegistrySize());
  EXPECT_EQ(
      ReasonOf(node_.Call<Int64>(via, kScriptCall, MakeInt64(7)).status()),
      "NOPROC");
}

TEST_P(UniqueRegistry, ERG24_ServerGivesItsViaNameAValueInInit) {
  OTP_CASE("ERG.24", "R9");
  StartOptions options;
  options.name = ServerName::Via("registry", "hello");
  Script script;
  script.init = [this](Context& self) -> InitResult {
    // The name was there before Init (otp H2), with no value yet.
    EXPECT_TRUE(registry_.Lookup("hello").at(0).value.empty());
    const auto change = [](const SharedValue&) { return SharedValue("value"); };
    const auto update = registry_.UpdateValue(self, "hello", change);
    if (!update.ok()) return update.status();
    return Ok();
  };
  const auto pid = node_.Start(ScriptServer::Make(script), Payload(), options);
  ASSERT_TRUE(pid.ok()) << pid.status();
  const RegistryEntries entries = registry_.Lookup("hello");
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(entries[0].pid, *pid);
  EXPECT_TRUE(entries[0].value.Is("value"));
}

TEST_P(UniqueRegistry, ERG25_SelectsAll) {
  OTP_CASE("ERG.25", "R6");
  EXPECT_THAT(registry_.Select(AllRows), IsEmpty());
  ASSERT_TRUE(Register("world", "v2").ok());
  ASSERT_TRUE(Register("hello", "v1").ok());
  const std::vector<RegistryRow> rows = registry_.Select(AllRows);
  ASSERT_THAT(KeysOf(rows), ElementsAre("hello", "world"));
  EXPECT_EQ(rows[0].pid, self_);
  EXPECT_TRUE(rows[0].value.Is("v1"));
  EXPECT_EQ(rows[1].pid, self_);
  EXPECT_TRUE(rows[1].value.Is("v2"));
}

TEST_P(UniqueRegistry, ERG26_SelectsByKeyPidAndValue) {
  OTP_CASE("ERG.26 ERG.29", "R6");
  const Pid other = Spawn();
  ASSERT_TRUE(Register("hello", "value").ok());
  ASSERT_TRUE(RegistryFixture::Register(registry_, other, "world", 7).ok());
  const auto by_key = [](const RegistryRow& row) { return row.key == "hello"; };
  const auto by_pid = [&](const RegistryRow& row) { return row.pid == other; };
  const auto by_value = [](const RegistryRow& row) { return row.value.Is(7); };
  const auto by_none = [](const RegistryRow& row) { return row.value.Is(8); };
  EXPECT_THAT(KeysOf(registry_.Select(by_key)), ElementsAre("hello"));
  EXPECT_THAT(KeysOf(registry_.Select(by_pid)), ElementsAre("world"));
  EXPECT_THAT(KeysOf(registry_.Select(by_value)), ElementsAre("world"));
  EXPECT_THAT(registry_.Select(by_none), IsEmpty());
  EXPECT_EQ(registry_.CountSelect(by_key), 1u);
  EXPECT_EQ(registry_.CountSelect(by_pid), 1u);
  EXPECT_EQ(registry_.CountSelect(by_value), 1u);
  EXPECT_EQ(registry_.CountSelect(by_none), 0u);
}

TEST_P(UniqueRegistry, ERG27_SelectsByGuards) {
  OTP_CASE("ERG.27 ERG.30", "R6");
  ASSERT_TRUE(Register("hello", Tagged{"atom", 1, 2}).ok());
  const auto above = [](int bound) {
    return [bound](const RegistryRow& row) {
      return row.value.As<Tagged>()->again > bound;
    };
  };
  EXPECT_THAT(KeysOf(registry_.Select(above(1))), ElementsAre("hello"));
  EXPECT_THAT(registry_.Select(above(2)), IsEmpty());
  EXPECT_EQ(registry_.CountSelect(above(1)), 1u);
  EXPECT_EQ(registry_.CountSelect(above(2)), 0u);
}

TEST_P(UniqueRegistry, ERG28_SelectsTheUnionOfSpecs) {
  OTP_CASE("ERG.28 ERG.31", "R6");
  ASSERT_TRUE(Register("hello", "value").ok());
  ASSERT_TRUE(Register("world", "value").ok());
  ASSERT_TRUE(Register("other", "value").ok());
  const auto either = [](const RegistryRow& row) {
    return row.key == "hello" || row.key == "world";
  };
  EXPECT_THAT(KeysOf(registry_.Select(either)), ElementsAre("hello", "world"));
  EXPECT_EQ(registry_.CountSelect(either), 2u);
}

}  // namespace
}  // namespace muster
