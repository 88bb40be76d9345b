#include "tests/conformance/names/names_conformance.h"

#include <optional>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "node/gen_server/start.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/testkit/script_server.h"

namespace muster {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

NamesConformanceTest::NamesConformanceTest() : environment_(GetParam()()) {}

Pid NamesConformanceTest::Spawn() {
  auto started = std::make_shared<std::optional<absl::StatusOr<Pid>>>();
  Start(environment_->runtime(), ScriptServer::Make(), Payload())
      .Then([started](absl::StatusOr<Pid> pid) { started->emplace(pid); });
  EXPECT_TRUE(environment_->WaitUntil([&] { return started->has_value(); }));
  EXPECT_TRUE((*started)->ok()) << (*started)->status();
  return ***started;
}

void NamesConformanceTest::End(const Pid& pid) {
  environment_->runtime().SendExit(Pid(), pid, ExitReason::Kill());
  EXPECT_TRUE(environment_->WaitUntil(
      [&] { return environment_->runtime().Find(pid) == nullptr; }));
}

absl::StatusOr<Epoch> NamesConformanceTest::Register(absl::string_view name,
                                                     const Pid& pid) {
  auto answer = std::make_shared<std::optional<absl::StatusOr<Epoch>>>();
  names().Register(name, pid, [answer](absl::StatusOr<Epoch> epoch) {
    EXPECT_FALSE(answer->has_value()) << "answered twice";
    answer->emplace(std::move(epoch));
  });
  if (!environment_->WaitUntil([&] { return answer->has_value(); })) {
    return absl::UnknownError("no answer");
  }
  return **answer;
}

absl::Status NamesConformanceTest::Unregister(absl::string_view name) {
  auto answer = std::make_shared<std::optional<absl::Status>>();
  names().Unregister(name, [answer](absl::Status status) {
    EXPECT_FALSE(answer->has_value()) << "answered twice";
    answer->emplace(std::move(status));
  });
  if (!environment_->WaitUntil([&] { return answer->has_value(); })) {
    return absl::UnknownError("no answer");
  }
  return **answer;
}

absl::StatusOr<NameEntry> NamesConformanceTest::Resolve(absl::string_view name,
                                                        Epoch above) {
  auto answer = std::make_shared<std::optional<absl::StatusOr<NameEntry>>>();
  names().Resolve(name, above, [answer](absl::StatusOr<NameEntry> entry) {
    EXPECT_FALSE(answer->has_value()) << "answered twice";
    answer->emplace(std::move(entry));
  });
  if (!environment_->WaitUntil([&] { return answer->has_value(); })) {
    return absl::UnknownError("no answer");
  }
  return **answer;
}

bool NamesConformanceTest::BecomesFree(absl::string_view name) {
  return environment_->WaitUntil(
      [&] { return !names().WhereIs(name).has_value(); });
}

namespace {

TEST_P(NamesConformanceTest, FreeNameIsNowhere) {
  EXPECT_EQ(names().WhereIs("free"), std::nullopt);
  const absl::Status status = Resolve("free").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_EQ(ReasonOf(status), "NOPROC");
  EXPECT_THAT(names().List(""),
              ::testing::Not(::testing::Contains(
                  ::testing::Field(&NameEntry::name, "free"))));
}

TEST_P(NamesConformanceTest, RegisteredNameIsFoundAtOnce) {
  const Pid pid = Spawn();
  const absl::StatusOr<Epoch> epoch = Register("a", pid);
  ASSERT_TRUE(epoch.ok()) << epoch.status();
  EXPECT_FALSE(epoch->empty());
  const std::optional<NameEntry> entry = names().WhereIs("a");
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->name, "a");
  EXPECT_EQ(entry->pid, pid);
  EXPECT_EQ(entry->epoch, *epoch);
  EXPECT_EQ(entry->supervisor, "");
  const absl::StatusOr<NameEntry> resolved = Resolve("a");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->pid, pid);
  EXPECT_EQ(environment_->runtime().WhereIsGlobal("a"), pid);
}

TEST_P(NamesConformanceTest, NothingIsNewerThanTheLatestOwner) {
  const absl::StatusOr<Epoch> epoch = Register("a", Spawn());
  ASSERT_TRUE(epoch.ok()) << epoch.status();
  const absl::Status status = Resolve("a", *epoch).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_EQ(ReasonOf(status), "NOPROC");
}

TEST_P(NamesConformanceTest, TakenNameSaysWhoHasIt) {
  const Pid holder = Spawn();
  ASSERT_TRUE(Register("a", holder).ok());
  const Pid other = Spawn();
  for (const Pid& pid : {other, holder}) {
    const absl::Status status = Register("a", pid).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
    EXPECT_EQ(ReasonOf(status), "ALREADY_STARTED");
    EXPECT_EQ(DetailOf(status, "pid"), holder.ToString());
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  }
  EXPECT_EQ(names().WhereIs("a")->pid, holder);
}

TEST_P(NamesConformanceTest, BadNamesAreRefused) {
  const Pid pid = Spawn();
  for (const std::string& name :
       {std::string(), std::string("a~b"), std::string("a\nb"),
        std::string(5000, 'x')}) {
    const absl::Status status = Register(name, pid).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(ReasonOf(status), "BAD_NAME") << status;
  }
  EXPECT_TRUE(Register("good", pid).ok());
}

TEST_P(NamesConformanceTest, DeadProcessGetsNoName) {
  const Pid pid = Spawn();
  End(pid);
  const absl::Status status = Register("a", pid).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_EQ(ReasonOf(status), "NOPROC");
  EXPECT_TRUE(BecomesFree("a"));
}

TEST_P(NamesConformanceTest, SecondNameIsRefusedAndStaysFree) {
  const Pid pid = Spawn();
  ASSERT_TRUE(Register("a", pid).ok());
  const absl::Status status = Register("b", pid).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_EQ(ReasonOf(status), "HAS_NAME");
  EXPECT_TRUE(BecomesFree("b"));
  EXPECT_EQ(names().WhereIs("a")->pid, pid);
  EXPECT_TRUE(Register("b", Spawn()).ok());
}

TEST_P(NamesConformanceTest, EndOfTheProcessFreesItsName) {
  const Pid pid = Spawn();
  const absl::StatusOr<Epoch> first = Register("a", pid);
  ASSERT_TRUE(first.ok());
  End(pid);
  EXPECT_TRUE(BecomesFree("a"));
  EXPECT_TRUE(environment_->runtime().WhereIsGlobal("a").empty());
  const absl::StatusOr<Epoch> second = Register("a", Spawn());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_GT(*second, *first) << "guarantees G2";
}

TEST_P(NamesConformanceTest, UnregisterFreesTheNameAndLeavesTheProcess) {
  const Pid pid = Spawn();
  const absl::StatusOr<Epoch> first = Register("a", pid);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(Unregister("a").ok());
  EXPECT_EQ(names().WhereIs("a"), std::nullopt);
  EXPECT_NE(environment_->runtime().Find(pid), nullptr);
  EXPECT_TRUE(environment_->runtime().WhereIsGlobal("a").empty());
  const absl::Status again = Unregister("a");
  EXPECT_EQ(again.code(), absl::StatusCode::kNotFound) << again;
  EXPECT_EQ(ReasonOf(again), "NOPROC");
  // It may have another, or the same again, under a greater epoch.
  const absl::StatusOr<Epoch> second = Register("a", pid);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_GT(*second, *first);
}

TEST_P(NamesConformanceTest, EndAfterUnregisterHarmsNoSuccessor) {
  const Pid pid = Spawn();
  ASSERT_TRUE(Register("a", pid).ok());
  ASSERT_TRUE(Unregister("a").ok());
  const Pid heir = Spawn();
  ASSERT_TRUE(Register("a", heir).ok());
  End(pid);
  // What the end might wrongly have asked for has been answered by now.
  ASSERT_TRUE(Register("b", Spawn()).ok());
  ASSERT_TRUE(names().WhereIs("a").has_value());
  EXPECT_EQ(names().WhereIs("a")->pid, heir);
  EXPECT_EQ(environment_->runtime().WhereIsGlobal("a"), heir);
}

TEST_P(NamesConformanceTest, ListsByPrefixSorted) {
  for (const char* name : {"list-b", "list-a", "lisp", "list"}) {
    ASSERT_TRUE(Register(name, Spawn()).ok());
  }
  const auto list = [&](absl::string_view prefix) {
    std::vector<std::string> found;
    for (const NameEntry& entry : names().List(prefix)) {
      found.push_back(entry.name);
    }
    return found;
  };
  EXPECT_THAT(list("list"), ElementsAre("list", "list-a", "list-b"));
  EXPECT_THAT(list("list-"), ElementsAre("list-a", "list-b"));
  EXPECT_THAT(list("lisu"), IsEmpty());
}

TEST_P(NamesConformanceTest, OneOfManyAtOnceGetsTheName) {
  struct Race {
    int won = 0;
    std::vector<std::string> holders;
    int answers = 0;
  };
  auto race = std::make_shared<Race>();
  constexpr int kRacers = 5;
  for (int i = 0; i < kRacers; ++i) {
    names().Register("race", Spawn(), [race](absl::StatusOr<Epoch> epoch) {
      ++race->answers;
      if (epoch.ok()) {
        ++race->won;
      } else {
        EXPECT_EQ(ReasonOf(epoch.status()), "ALREADY_STARTED");
        race->holders.push_back(DetailOf(epoch.status(), "pid"));
      }
    });
  }
  ASSERT_TRUE(
      environment_->WaitUntil([&] { return race->answers == kRacers; }));
  EXPECT_EQ(race->won, 1);
  EXPECT_THAT(race->holders,
              ::testing::Each(names().WhereIs("race")->pid.ToString()));
}

}  // namespace

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(NamesConformanceTest);

}  // namespace muster
