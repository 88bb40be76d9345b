// Horde's registry suite, on a node's Registry: what has values, metadata,
// dispatch and listeners, which the cluster-wide names have not.
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/gen_server/start.h"
#include "node/registry/registry.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/registry_fixture.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class HordeRegistry : public RegistryFixture {
 protected:
  HordeRegistry() : registry_(StartRegistry(RegistryKind::kUnique)) {}

  using RegistryFixture::Register;
  void MustRegister(const Pid& pid, absl::string_view key,
                    SharedValue value = SharedValue()) {
    const auto registered = Register(registry_, pid, key, std::move(value));
    EXPECT_TRUE(registered.ok()) << registered.status();
  }
  std::vector<std::string> KeysOf(Registry::RowPredicate predicate) {
    std::vector<std::string> keys;
    for (const RegistryRow& row : registry_.Select(predicate)) {
      keys.push_back(row.key);
    }
    return keys;
  }
  static int NumberIn(const SharedValue& value) {
    const int* const number = value.As<int>();
    return number == nullptr ? 0 : *number;
  }

  Registry& registry_;
};

// A via name has no place for a value: the server gives it one in Init.
TEST_F(HordeRegistry, HRD58_LookupShowsTheValueOfAViaName) {
  OTP_CASE("HRD.58 SYN.02", "HO9 SY2 R9");
  StartOptions options;
  options.name = ServerName::Via("registry", "name");
  Script script;
  script.init = [this](Context& self) -> InitResult {
    const auto change = [](const SharedValue&) { return SharedValue("value"); };
    const auto update = registry_.UpdateValue(self, "name", change);
    if (!update.ok()) return update.status();
    return Ok();
  };
  const auto pid = node_.Start(ScriptServer::Make(script), Payload(), options);
  ASSERT_TRUE(pid.ok()) << pid.status();
  const RegistryEntries entries = registry_.Lookup("name");
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(entries[0].pid, *pid);
  EXPECT_TRUE(entries[0].value.Is("value"));
  // By its name and by the process found there.
  for (const ServerRef& to :
       {ServerRef::Via("registry", "name"), ServerRef(entries[0].pid)}) {
    const auto answer = node_.Call<Int64>(to, kScriptCall, MakeInt64(7));
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->value(), 7);
  }
}

TEST_F(HordeRegistry, HRD59_ProcessWithoutEntriesHasNoKeys) {
  OTP_CASE("HRD.59", "HO9 R4");
  const Pid pid = Spawn();
  EXPECT_THAT(registry_.Keys(pid), IsEmpty());
  MustRegister(pid, "name");
  EXPECT_THAT(registry_.Keys(pid), ElementsAre("name"));
  EXPECT_THAT(registry_.Keys(Spawn()), IsEmpty());
}

TEST_F(HordeRegistry, HRD62_SelectsByKeyPidAndValue) {
  OTP_CASE("HRD.62 HRD.63", "HO9 R6");
  const Pid a = Spawn();
  const Pid b = Spawn();
  MustRegister(a, "one", 1);
  MustRegister(a, "two", 2);
  MustRegister(b, "three", 3);
  const auto by_pid = [&](const RegistryRow& row) { return row.pid == a; };
  EXPECT_THAT(KeysOf(by_pid), UnorderedElementsAre("one", "two"));
  const auto by_key = [](const RegistryRow& row) { return row.key == "two"; };
  EXPECT_THAT(KeysOf(by_key), ElementsAre("two"));
  const auto by_value = [](const RegistryRow& row) { return row.value.Is(3); };
  EXPECT_THAT(KeysOf(by_value), ElementsAre("three"));
  // Guards.
  const auto large = [](const RegistryRow& row) {
    return NumberIn(row.value) > 1;
  };
  EXPECT_THAT(KeysOf(large), UnorderedElementsAre("two", "three"));
  const auto large_of_a = [&](const RegistryRow& row) {
    return NumberIn(row.value) > 1 && row.pid == a;
  };
  EXPECT_THAT(KeysOf(large_of_a), ElementsAre("two"));
}

TEST_F(HordeRegistry, HRD67_DispatchesToTheKeysEntries) {
  OTP_CASE("HRD.67", "HO9 R8");
  std::vector<Info> inbox;
  const Pid pid = Spawn(&inbox);
  MustRegister(pid, "name", "value");
  MustRegister(Spawn(), "other", "else");
  int calls = 0;
  registry_.Dispatch("name", [&](absl::Span<const RegistryEntry> entries) {
    ++calls;
    for (const RegistryEntry& entry : entries) {
      EXPECT_TRUE(entry.value.Is("value"));
      node_.runtime().Send(entry.pid, Info(std::string("hello")));
    }
  });
  registry_.Dispatch("nobody",
                     [&](absl::Span<const RegistryEntry>) { ++calls; });
  node_.RunReady();
  EXPECT_EQ(calls, 1);
  ASSERT_THAT(inbox, SizeIs(1));
  ASSERT_NE(inbox[0].As<std::string>(), nullptr);
  EXPECT_EQ(*inbox[0].As<std::string>(), "hello");
}

TEST_F(HordeRegistry, HRD68_CountsAndMatches) {
  OTP_CASE("HRD.68 HRD.69 HRD.70", "HO9 R4 R6");
  EXPECT_EQ(registry_.Count(), 0u);
  const Pid a = Spawn();
  MustRegister(a, "one", 1);
  MustRegister(Spawn(), "two", 2);
  EXPECT_EQ(registry_.Count(), 2u);
  const auto is = [](int number) {
    return [number](const SharedValue& value) { return value.Is(number); };
  };
  const auto any = [](const SharedValue&) { return true; };
  EXPECT_EQ(registry_.CountMatch("one", any), 1u);
  EXPECT_EQ(registry_.CountMatch("one", is(1)), 1u);
  EXPECT_EQ(registry_.CountMatch("one", is(2)), 0u);
  EXPECT_EQ(registry_.CountMatch("three", any), 0u);
  const RegistryEntries matched = registry_.Match("one", is(1));
  ASSERT_THAT(matched, SizeIs(1));
  EXPECT_EQ(matched[0].pid, a);
  EXPECT_TRUE(matched[0].value.Is(1));
  EXPECT_THAT(registry_.Match("one", is(2)), IsEmpty());
  EXPECT_THAT(registry_.Match("three", any), IsEmpty());
}

TEST_F(HordeRegistry, HRD71_UpdatesOnlyItsOwnValue) {
  OTP_CASE("HRD.71", "HO10 R7");
  const Pid pid = Spawn();
  MustRegister(pid, "name", 1);
  int changed = 0;
  const auto change = [&](const SharedValue& before) {
    ++changed;
    return SharedValue(NumberIn(before) + 10);
  };
  Do(Spawn(), [&](Context& self) {
    EXPECT_EQ(ReasonOf(registry_.UpdateValue(self, "name", change).status()),
              "NOT_REGISTERED");
  });
  EXPECT_EQ(changed, 0);
  EXPECT_TRUE(registry_.Lookup("name")[0].value.Is(1));
  Do(pid, [&](Context& self) {
    EXPECT_TRUE(registry_.UpdateValue(self, "name", change).ok());
  });
  EXPECT_EQ(changed, 1);
  EXPECT_TRUE(registry_.Lookup("name")[0].value.Is(11));
}

TEST_F(HordeRegistry, HRD77_MetadataIsPutAndGot) {
  OTP_CASE("HRD.77 HRD.78", "HO10 R11");
  EXPECT_TRUE(registry_.Meta("custom").empty()) << "there is none";
  registry_.PutMeta("custom", "value");
  EXPECT_TRUE(registry_.Meta("custom").Is("value"));
  registry_.PutMeta("custom", 7);
  EXPECT_TRUE(registry_.Meta("custom").Is(7));
  EXPECT_TRUE(registry_.Meta("other").empty());
}

TEST_F(HordeRegistry, HRD76_MetadataIsSetAtTheStart) {
  OTP_CASE("HRD.76", "HO10 R11");
  RegistryOptions options;
  options.name = "with_meta";
  options.meta = {{"custom", SharedValue("value")}};
  Registry& registry = StartRegistry(std::move(options));
  EXPECT_TRUE(registry.Meta("custom").Is("value"));
  EXPECT_TRUE(registry_.Meta("custom").empty());
}

// A key that moves: the listener hears of the loss, then of the gain.
TEST_F(HordeRegistry, HRD83_ListenersHearUnregisterThenRegisterOnAMove) {
  OTP_CASE("HRD.83", "HO9 R10");
  std::vector<Info> inbox;
  Spawn(&inbox, "listener");
  RegistryOptions options;
  options.name = "events";
  options.listeners = {"listener"};
  Registry& registry = StartRegistry(std::move(options));
  const Pid from = Spawn();
  const Pid to = Spawn();
  ASSERT_TRUE(Register(registry, from, "name").ok());
  // Refused while the other has it: nothing is told.
  EXPECT_EQ(ReasonOf(Register(registry, to, "name").status()),
            "ALREADY_REGISTERED");
  ASSERT_THAT(inbox, SizeIs(1));
  Unregister(registry, from, "name");
  ASSERT_TRUE(Register(registry, to, "name").ok());
  ASSERT_THAT(inbox, SizeIs(3));
  const Unregistered* const lost = inbox[1].As<Unregistered>();
  ASSERT_NE(lost, nullptr);
  EXPECT_EQ(lost->key, "name");
  EXPECT_EQ(lost->pid, from);
  const Registered* const gained = inbox[2].As<Registered>();
  ASSERT_NE(gained, nullptr);
  EXPECT_EQ(gained->key, "name");
  EXPECT_EQ(gained->pid, to);
}

}  // namespace
}  // namespace muster
