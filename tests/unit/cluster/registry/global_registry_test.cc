#include "cluster/registry/global_registry.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "cluster/store/store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/admin/v1/admin.pb.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/testkit/script_server.h"
#include "tests/testkit/sim_cluster.h"

namespace muster {
namespace {

using testing::ElementsAre;

// Counts what a node asks of its store, heartbeats aside, and can keep the
// changes of names from it.
struct Tap {
  int operations = 0;
  bool deaf = false;
};

class TappedStore final : public Store {
 public:
  TappedStore(Tap* tap, std::unique_ptr<Store> store)
      : tap_(tap), store_(std::move(store)) {}

  void Commit(Txn txn, absl::Duration timeout, Done<TxnResult> done) override {
    if (txn.then.empty() || !absl::StrContains(txn.then[0].key, "/hb/")) {
      ++tap_->operations;
    }
    store_->Commit(std::move(txn), timeout, std::move(done));
  }
  void List(std::string prefix, absl::Duration timeout,
            Done<RangeResult> done) override {
    store_->List(std::move(prefix), timeout, std::move(done));
  }
  std::unique_ptr<Watch> Follow(std::string prefix, int64_t from,
                                WatchHandler handler) override {
    if (absl::StrContains(prefix, "/name/")) {
      handler.on_events = [tap = tap_,
                           on_events = std::move(handler.on_events)](
                              std::vector<WatchEvent> events) mutable {
        if (!tap->deaf) on_events(std::move(events));
      };
    }
    return store_->Follow(std::move(prefix), from, std::move(handler));
  }
  void Compact(int64_t revision, absl::Duration timeout,
               absl::AnyInvocable<void(absl::Status)> done) override {
    store_->Compact(revision, timeout, std::move(done));
  }
  bool embedded() const override { return store_->embedded(); }
  std::string ToString() const override { return store_->ToString(); }

 private:
  Tap* const tap_;
  const std::unique_ptr<Store> store_;
};

class GlobalRegistryTest : public testing::Test {
 protected:
  GlobalRegistryTest() : cluster_(1, 3, Options()) { cluster_.StartAll(); }

  SimClusterOptions Options() {
    SimClusterOptions options;
    options.wrap_store = [this](int node, std::unique_ptr<Store> store) {
      return std::make_unique<TappedStore>(&taps_[node], std::move(store));
    };
    return options;
  }

  GlobalRegistry& registry(int node) { return cluster_.node(node).registry(); }

  static Claim Of(absl::string_view name, uint64_t process,
                  absl::string_view supervisor = "") {
    Claim claim;
    claim.name = std::string(name);
    claim.process = process;
    claim.type = "t";
    claim.supervisor = std::string(supervisor);
    claim.child = std::string(supervisor);
    return claim;
  }
  absl::StatusOr<Claimed> Take(int node, Claim claim) {
    std::optional<absl::StatusOr<Claimed>> result;
    registry(node).Take(std::move(claim), [&](absl::StatusOr<Claimed> r) {
      result.emplace(std::move(r));
    });
    cluster_.RunUntil([&] { return result.has_value(); });
    EXPECT_TRUE(result.has_value());
    return *result;
  }
  absl::StatusOr<NameEntry> Resolve(int node, absl::string_view name,
                                    Epoch above = Epoch()) {
    std::optional<absl::StatusOr<NameEntry>> result;
    registry(node).Resolve(name, above, [&](absl::StatusOr<NameEntry> r) {
      result.emplace(std::move(r));
    });
    cluster_.RunUntil([&] { return result.has_value(); });
    return *result;
  }
  absl::StatusOr<Epoch> Register(int node, absl::string_view name,
                                 const Pid& pid) {
    std::optional<absl::StatusOr<Epoch>> result;
    registry(node).Register(name, pid, [&](absl::StatusOr<Epoch> r) {
      result.emplace(std::move(r));
    });
    cluster_.RunUntil([&] { return result.has_value(); });
    return *result;
  }
  absl::Status Unregister(int node, absl::string_view name) {
    std::optional<absl::Status> result;
    registry(node).Unregister(
        name, [&](absl::Status status) { result = std::move(status); });
    cluster_.RunUntil([&] { return result.has_value(); });
    return *result;
  }
  // A process of the node that answers calls.
  Pid Spawn(int node) {
    std::optional<absl::Status> started;
    const Pid pid = cluster_.node(node).runtime().Spawn(
        ScriptServer::Make(), Payload(), SpawnOptions(),
        [&](absl::Status status) { started = std::move(status); });
    cluster_.RunUntil([&] { return started.has_value(); });
    EXPECT_TRUE(started->ok());
    return pid;
  }
  void Settle() { cluster_.RunFor(absl::Milliseconds(50)); }

  std::map<int, Tap> taps_;
  SimCluster cluster_;
};

TEST_F(GlobalRegistryTest, AClaimIsSeenByAll) {
  const auto claimed = Take(0, Of("x", 9));
  ASSERT_TRUE(claimed.ok()) << claimed.status();
  EXPECT_EQ(registry(0).WhereIs("x")->epoch, claimed->epoch);
  Settle();
  for (int node = 0; node < 3; ++node) {
    const auto entry = registry(node).WhereIs("x");
    ASSERT_TRUE(entry.has_value());
    EXPECT_EQ(entry->epoch, claimed->epoch);
    EXPECT_EQ(entry->pid.node, "n0");
    EXPECT_EQ(entry->pid.epoch, cluster_.node(0).runtime().epoch());
    EXPECT_EQ(entry->pid.number, 9u);
    EXPECT_EQ(entry->type, "t");
  }
  const auto owner = cluster_.OwnerOf("x");
  EXPECT_EQ(owner->record.instance(), claimed->instance);
  EXPECT_EQ(owner->epoch, claimed->epoch);
}

TEST_F(GlobalRegistryTest, ATakenNameIsRefusedWithItsHolder) {
  ASSERT_TRUE(Take(0, Of("x", 9)).ok());
  // With and without having seen the other's claim.
  for (int i = 0; i < 2; ++i) {
    const auto second = Take(1, Of("x", 4));
    EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
    EXPECT_EQ(ReasonOf(second.status()), "ALREADY_STARTED");
    EXPECT_EQ(DetailOf(second.status(), "pid"),
              registry(0).WhereIs("x")->pid.ToString());
    EXPECT_EQ(DetailOf(second.status(), "node"), "n0");
    EXPECT_EQ(OutcomeOf(second.status()), Outcome::kNotExecuted);
    Settle();
  }
  const auto same_node = Take(0, Of("x", 10));
  EXPECT_EQ(ReasonOf(same_node.status()), "ALREADY_STARTED");
}

TEST_F(GlobalRegistryTest, OfClaimsAtOnceOneWins) {
  std::vector<absl::StatusOr<Claimed>> results;
  for (int node = 0; node < 3; ++node) {
    registry(node).Take(Of("x", 1), [&](absl::StatusOr<Claimed> r) {
      results.push_back(std::move(r));
    });
  }
  cluster_.RunUntil([&] { return results.size() == 3; });
  ASSERT_EQ(results.size(), 3u);
  int won = 0;
  for (const auto& result : results) won += result.ok();
  EXPECT_EQ(won, 1);
}

TEST_F(GlobalRegistryTest, ARenewalGetsAGreaterEpoch) {
  const auto first = Take(0, Of("x", 1, "s"));
  ASSERT_TRUE(first.ok());
  const auto second = Take(0, Of("x", 2, "s"));
  ASSERT_TRUE(second.ok());
  EXPECT_GT(second->epoch, first->epoch);
  EXPECT_NE(second->instance, first->instance);
  EXPECT_EQ(registry(0).WhereIs("x")->pid.number, 2u);
  // Not under another supervisor.
  EXPECT_EQ(ReasonOf(Take(0, Of("x", 3, "t")).status()), "ALREADY_STARTED");
}

TEST_F(GlobalRegistryTest, ADeadOwnersNameIsFreeOnlyOnceItIsReaped) {
  const auto first = Take(2, Of("x", 1));
  ASSERT_TRUE(first.ok());
  Settle();
  cluster_.KillNode(2);
  EXPECT_EQ(ReasonOf(Take(0, Of("x", 1)).status()), "ALREADY_STARTED");
  cluster_.RunFor(absl::Seconds(3));
  EXPECT_EQ(ReasonOf(Take(0, Of("x", 1)).status()), "ALREADY_STARTED");
  cluster_.RunFor(absl::Seconds(2));
  EXPECT_FALSE(registry(0).WhereIs("x").has_value());
  const auto second = Take(0, Of("x", 1));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_GT(second->epoch, first->epoch);
}

TEST_F(GlobalRegistryTest, ADeadEpochClaimsNothing) {
  cluster_.store().Disconnect(cluster_.store_client(2));
  cluster_.RunFor(absl::Seconds(6));  // It is reaped and does not know.
  std::optional<absl::StatusOr<Claimed>> result;
  cluster_.store().Reconnect(cluster_.store_client(2));
  registry(2).Take(Of("x", 1), [&](absl::StatusOr<Claimed> r) {
    result.emplace(std::move(r));
  });
  cluster_.RunUntil([&] { return result.has_value(); },
                    absl::Milliseconds(500));
  EXPECT_FALSE(cluster_.OwnerOf("x").has_value());
  if (result.has_value()) {
    EXPECT_EQ(ReasonOf(result->status()), "FENCED");
  }
}

TEST_F(GlobalRegistryTest, AnAppliedClaimWhoseAnswerIsLostIsFound) {
  cluster_.store().LoseAnswers(cluster_.store_client(0), 1);
  const auto claimed = Take(0, Of("x", 1));
  ASSERT_TRUE(claimed.ok()) << claimed.status();
  EXPECT_EQ(cluster_.OwnerOf("x")->epoch, claimed->epoch);
  EXPECT_EQ(cluster_.OwnerOf("x")->record.instance(), claimed->instance);
}

TEST_F(GlobalRegistryTest, AClaimThatNeverArrivedIsMadeAgain) {
  cluster_.store().Disconnect(cluster_.store_client(0));
  std::optional<absl::StatusOr<Claimed>> result;
  registry(0).Take(Of("x", 1), [&](absl::StatusOr<Claimed> r) {
    result.emplace(std::move(r));
  });
  cluster_.RunFor(absl::Milliseconds(500));
  cluster_.store().Reconnect(cluster_.store_client(0));
  cluster_.RunUntil([&] { return result.has_value(); });
  ASSERT_TRUE(result.has_value() && result->ok());
  EXPECT_EQ(cluster_.OwnerOf("x")->epoch, (*result)->epoch);
}

TEST_F(GlobalRegistryTest, AClaimWithoutAnyAnswerIsUnknown) {
  cluster_.store().Disconnect(cluster_.store_client(0));
  std::optional<absl::StatusOr<Claimed>> result;
  registry(0).Take(Of("x", 1), [&](absl::StatusOr<Claimed> r) {
    result.emplace(std::move(r));
  });
  cluster_.RunUntil([&] { return result.has_value(); });
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(OutcomeOf(result->status()), Outcome::kUnknown);
}

TEST_F(GlobalRegistryTest, WhereIsAsksNobody) {
  ASSERT_TRUE(Take(0, Of("x", 1)).ok());
  Settle();
  const int before = taps_[1].operations;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(registry(1).WhereIs("x").has_value());
    EXPECT_FALSE(registry(1).WhereIs("y").has_value());
    EXPECT_TRUE(Resolve(1, "x").ok());
  }
  EXPECT_EQ(taps_[1].operations, before);
}

TEST_F(GlobalRegistryTest, ResolveAsksTheStoreForWhatIsNotKnown) {
  taps_[1].deaf = true;
  const auto first = Take(0, Of("x", 1, "s"));
  Settle();
  EXPECT_FALSE(registry(1).WhereIs("x").has_value());
  const int before = taps_[1].operations;
  const auto entry = Resolve(1, "x");
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(entry->epoch, first->epoch);
  EXPECT_EQ(taps_[1].operations, before + 1);
  // And for something newer than what it knows.
  const auto second = Take(0, Of("x", 2, "s"));
  const auto newer = Resolve(1, "x", first->epoch);
  ASSERT_TRUE(newer.ok());
  EXPECT_EQ(newer->epoch, second->epoch);
  EXPECT_EQ(ReasonOf(Resolve(1, "x", second->epoch).status()), "NOPROC");
}

TEST_F(GlobalRegistryTest, ConfirmsWhatStandsInTheStore) {  // guarantees R8
  const Epoch epoch = Take(0, Of("x", 1))->epoch;
  cluster_.RunFor(absl::Seconds(1));
  const Pid owner{SimCluster::NodeName(0), cluster_.node(0).runtime().epoch(),
                  1};
  const auto confirm = [&](const Pid& pid, Epoch which, size_t times = 1) {
    std::vector<absl::Status> answers;
    for (size_t i = 0; i < times; ++i) {
      registry(1).Confirm("x", pid, which,
                          [&](absl::Status s) { answers.push_back(s); });
    }
    cluster_.RunUntil([&] { return answers.size() == times; });
    return answers;
  };
  EXPECT_EQ(confirm(owner, epoch)[0], absl::OkStatus());
  EXPECT_EQ(ReasonOf(confirm(owner, Epoch{1, epoch.revision - 1})[0]),
            "FENCED");
  Pid other = owner;
  --other.epoch.revision;
  EXPECT_EQ(ReasonOf(confirm(other, epoch)[0]), "FENCED");
  // Who asks while the store is being asked shares one answer: its own start
  // lies before it.
  const int before = taps_[1].operations;
  EXPECT_EQ(confirm(owner, epoch, 10),
            std::vector<absl::Status>(10, absl::OkStatus()));
  EXPECT_EQ(taps_[1].operations - before, 2);
  // A dead owner's claim does not stand, though nobody has taken the name.
  taps_[1].deaf = true;
  cluster_.LeaveNode(0);
  EXPECT_EQ(ReasonOf(confirm(owner, epoch)[0]), "FENCED");
}

TEST_F(GlobalRegistryTest, ConfirmsWhoIsAMember) {  // guarantees R8, G8
  ASSERT_TRUE(Take(0, Of("x", 1)).ok());
  cluster_.RunFor(absl::Seconds(1));
  const Pid owner{SimCluster::NodeName(0), cluster_.node(0).runtime().epoch(),
                  1};
  const auto confirm = [&](const Pid& pid) {
    std::optional<absl::Status> answer;
    registry(1).ConfirmMember(pid, [&](absl::Status s) { answer = s; });
    cluster_.RunUntil([&] { return answer.has_value(); });
    return *answer;
  };
  EXPECT_EQ(confirm(owner), absl::OkStatus());
  // An answer that is lost is asked for again.
  cluster_.store().LoseAnswers(cluster_.store_client(1), 1);
  EXPECT_EQ(confirm(owner), absl::OkStatus());
  Pid other = owner;
  --other.epoch.revision;
  EXPECT_EQ(ReasonOf(confirm(other)), "FENCED");
  // This node has not heard of the death: the store has.
  taps_[1].deaf = true;
  cluster_.LeaveNode(0);
  EXPECT_EQ(ReasonOf(confirm(owner)), "FENCED");
}

TEST_F(GlobalRegistryTest, ANameThatIsNotThereIsNoproc) {
  const auto entry = Resolve(1, "x");
  EXPECT_EQ(entry.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(entry.status()), "NOPROC");
  EXPECT_EQ(ReasonOf(Resolve(1, "").status()), "BAD_NAME");
  cluster_.store().Disconnect(cluster_.store_client(1), SimCut::kRefused);
  const auto cut = Resolve(1, "x");
  EXPECT_EQ(cut.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(cut.status()), "STORE_UNREACHABLE");
  EXPECT_EQ(OutcomeOf(cut.status()), Outcome::kNotExecuted);
}

TEST_F(GlobalRegistryTest, NeverGoesBackInTime) {
  ASSERT_TRUE(Take(0, Of("x", 1, "s")).ok());
  Settle();
  // What the watch still has under way is older than what a look-up brought.
  cluster_.store().Disconnect(cluster_.store_client(1));
  const auto second = Take(0, Of("x", 2, "s"));
  const auto third = Take(0, Of("x", 3, "s"));
  cluster_.store().Reconnect(cluster_.store_client(1));
  const auto entry = Resolve(1, "x", second->epoch);
  ASSERT_TRUE(entry.ok());
  Epoch last = third->epoch;
  for (int i = 0; i < 200; ++i) {
    const auto now = registry(1).WhereIs("x");
    ASSERT_TRUE(now.has_value());
    EXPECT_GE(now->epoch, last);
    last = now->epoch;
    cluster_.RunFor(absl::Microseconds(100));
  }
}

TEST_F(GlobalRegistryTest, AnOrdinaryProcessGetsANameAndServesIt) {
  const Pid pid = Spawn(0);
  const auto epoch = Register(0, "x", pid);
  ASSERT_TRUE(epoch.ok()) << epoch.status();
  Settle();
  for (int via = 0; via < 3; ++via) {
    EXPECT_EQ(registry(via).WhereIs("x")->pid, pid);
    const auto answer =
        cluster_.Call<Int64>(via, "x", kScriptCall, MakeInt64(7));
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->value(), 7);
  }
  EXPECT_EQ(ReasonOf(Register(1, "x", Spawn(1)).status()), "ALREADY_STARTED");
  EXPECT_EQ(ReasonOf(Register(0, "y", pid).status()), "HAS_NAME");
  EXPECT_EQ(ReasonOf(Register(0, "bad name", Spawn(0)).status()), "BAD_NAME");
  Pid nobody = pid;
  nobody.number = 4711;
  EXPECT_EQ(ReasonOf(Register(0, "z", nobody).status()), "NOPROC");
  Settle();
  EXPECT_FALSE(cluster_.OwnerOf("y").has_value());
}

TEST_F(GlobalRegistryTest, AnUnregisteredNameIsFree) {
  const Pid pid = Spawn(0);
  ASSERT_TRUE(Register(0, "x", pid).ok());
  Settle();
  EXPECT_EQ(ReasonOf(Unregister(1, "x")), "NOPROC");
  EXPECT_TRUE(Unregister(0, "x").ok());
  EXPECT_FALSE(registry(0).WhereIs("x").has_value());
  EXPECT_EQ(ReasonOf(Unregister(0, "x")), "NOPROC");
  Settle();
  EXPECT_FALSE(registry(1).WhereIs("x").has_value());
  EXPECT_TRUE(Register(1, "x", Spawn(1)).ok());
  // The process lives on and can have another.
  EXPECT_TRUE(Register(0, "y", pid).ok());
}

TEST_F(GlobalRegistryTest, AnUnregisterWaitsForARegistrationUnderWay) {
  const Pid pid = Spawn(0);
  cluster_.store().LoseAnswers(cluster_.store_client(0), 1);
  std::optional<absl::StatusOr<Epoch>> registered;
  registry(0).Register("x", pid, [&](absl::StatusOr<Epoch> r) {
    registered.emplace(std::move(r));
  });
  // The watch tells of it first.
  ASSERT_TRUE(
      cluster_.RunUntil([&] { return registry(0).WhereIs("x").has_value(); }));
  ASSERT_FALSE(registered.has_value());
  EXPECT_TRUE(Unregister(0, "x").ok());
  ASSERT_TRUE(registered.has_value());
  EXPECT_TRUE(registered->ok()) << registered->status();
  cluster_.RunFor(absl::Seconds(3));
  EXPECT_FALSE(cluster_.OwnerOf("x").has_value());
  EXPECT_TRUE(cluster_.node(0).runtime().WhereIsGlobal("x").empty());
}

TEST_F(GlobalRegistryTest, ARegistrationAfterAnUnregisterIsNotItsVictim) {
  const Pid pid = Spawn(0);
  ASSERT_TRUE(Register(0, "x", pid).ok());
  Settle();
  // It comes while the name is given back, and both are answered late.
  cluster_.store().Disconnect(cluster_.store_client(0));
  std::optional<absl::StatusOr<Epoch>> registered;
  std::optional<absl::Status> unregistered;
  registry(0).Unregister(
      "x", [&](absl::Status status) { unregistered = std::move(status); });
  const Pid second = Spawn(0);
  registry(0).Register("x", second, [&](absl::StatusOr<Epoch> r) {
    registered.emplace(std::move(r));
  });
  cluster_.store().Reconnect(cluster_.store_client(0));
  ASSERT_TRUE(cluster_.RunUntil([&] { return registered.has_value(); }));
  ASSERT_TRUE(registered->ok()) << registered->status();
  EXPECT_TRUE(unregistered.has_value());
  Settle();
  EXPECT_EQ(registry(1).WhereIs("x")->pid, second);
}

TEST_F(GlobalRegistryTest, ARegistrationWaitsForAReleaseUnderWay) {
  ASSERT_TRUE(Register(0, "x", Spawn(0)).ok());
  Settle();
  // Deleted in the store, and nobody here knows.
  cluster_.store().LoseAnswers(cluster_.store_client(0), 1);
  cluster_.store().StallWatches(cluster_.store_client(0), true);
  std::optional<absl::Status> unregistered;
  registry(0).Unregister(
      "x", [&](absl::Status status) { unregistered = std::move(status); });
  ASSERT_TRUE(
      cluster_.RunUntil([&] { return !cluster_.OwnerOf("x").has_value(); }));
  ASSERT_FALSE(unregistered.has_value());
  const Pid other = Spawn(0);
  const absl::StatusOr<Epoch> registered = Register(0, "x", other);
  EXPECT_TRUE(registered.ok()) << registered.status();
  EXPECT_TRUE(unregistered.has_value() && unregistered->ok());
  cluster_.store().StallWatches(cluster_.store_client(0), false);
  Settle();
  EXPECT_EQ(registry(1).WhereIs("x")->pid, other);
}

TEST_F(GlobalRegistryTest, AnUnregisterThatWasNotExecutedChangesNothing) {
  const Pid pid = Spawn(0);
  ASSERT_TRUE(Register(0, "x", pid).ok());
  cluster_.store().Disconnect(cluster_.store_client(0), SimCut::kRefused);
  const absl::Status refused = Unregister(0, "x");
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
  EXPECT_EQ(OutcomeOf(refused), Outcome::kNotExecuted);
  cluster_.store().Reconnect(cluster_.store_client(0));
  cluster_.RunFor(absl::Seconds(2));
  EXPECT_EQ(registry(1).WhereIs("x")->pid, pid);
  EXPECT_EQ(cluster_.node(0).runtime().WhereIsGlobal("x"), pid);
  EXPECT_TRUE(cluster_.Call<Int64>(1, "x", kScriptCall, MakeInt64(7)).ok());
  EXPECT_TRUE(Unregister(0, "x").ok());
}

TEST_F(GlobalRegistryTest, AnUnregisterWithoutAnAnswerFreesTheNameLater) {
  const Pid pid = Spawn(0);
  ASSERT_TRUE(Register(0, "x", pid).ok());
  cluster_.store().Disconnect(cluster_.store_client(0));
  EXPECT_EQ(OutcomeOf(Unregister(0, "x")), Outcome::kUnknown);
  EXPECT_TRUE(cluster_.node(0).runtime().WhereIsGlobal("x").empty());
  cluster_.store().Reconnect(cluster_.store_client(0));
  EXPECT_TRUE(cluster_.RunUntil(
      [&] { return !cluster_.OwnerOf("x").has_value(); }, absl::Seconds(5)));
  EXPECT_TRUE(Register(1, "x", Spawn(1)).ok());
  EXPECT_TRUE(Register(0, "y", pid).ok());
}

TEST_F(GlobalRegistryTest, AProcessThatHadANameBeforeDoesNotFreeItsSuccessors) {
  const Pid pid = Spawn(0);
  ASSERT_TRUE(Register(0, "x", pid).ok());
  ASSERT_TRUE(Unregister(0, "x").ok());
  const Pid other = Spawn(0);
  ASSERT_TRUE(Register(0, "x", other).ok());
  cluster_.node(0).runtime().SendExit(Pid(), pid, ExitReason::Kill());
  Settle();
  EXPECT_EQ(registry(1).WhereIs("x")->pid, other);
}

TEST_F(GlobalRegistryTest, ANameEndsWithItsProcess) {
  const Pid pid = Spawn(0);
  ASSERT_TRUE(Register(0, "x", pid).ok());
  Settle();
  cluster_.node(0).runtime().SendExit(Pid(), pid, ExitReason::Kill());
  Settle();
  EXPECT_FALSE(cluster_.OwnerOf("x").has_value());
  EXPECT_FALSE(registry(2).WhereIs("x").has_value());
  EXPECT_TRUE(Register(2, "x", Spawn(2)).ok());
}

TEST_F(GlobalRegistryTest, ANameEndsWithItsProcessThoughTheStoreWasAway) {
  const Pid pid = Spawn(0);
  ASSERT_TRUE(Register(0, "x", pid).ok());
  Settle();
  cluster_.store().Disconnect(cluster_.store_client(0), SimCut::kRefused);
  cluster_.node(0).runtime().SendExit(Pid(), pid, ExitReason::Kill());
  cluster_.RunFor(absl::Seconds(1));
  cluster_.store().Reconnect(cluster_.store_client(0));
  cluster_.RunFor(absl::Seconds(3));
  EXPECT_FALSE(cluster_.OwnerOf("x").has_value());
}

TEST_F(GlobalRegistryTest, ListsNamesByPrefix) {
  for (const char* name : {"b/2", "a", "b/1", "c"}) {
    ASSERT_TRUE(Register(1, name, Spawn(1)).ok());
  }
  Settle();
  const auto names = [&](absl::string_view prefix) {
    std::vector<std::string> list;
    for (const NameEntry& entry : registry(2).List(prefix)) {
      list.push_back(entry.name);
    }
    return list;
  };
  EXPECT_THAT(names(""), ElementsAre("a", "b/1", "b/2", "c"));
  EXPECT_THAT(names("b/"), ElementsAre("b/1", "b/2"));
  EXPECT_THAT(names("d"), ElementsAre());
}

TEST_F(GlobalRegistryTest, ANameOfANodeThatWasRemovedWaitsForItsGrave) {
  ASSERT_TRUE(Take(2, Of("n", 7, "s")).ok());
  Settle();
  const std::string node(cluster_.node(2).membership().node());
  const Epoch epoch = cluster_.node(2).runtime().epoch();
  const BootTime begin = cluster_.node(0).runtime().clock().Boot();
  std::optional<absl::StatusOr<admin::v1::RemoveNodeResponse>> removed;
  admin::v1::RemoveNodeRequest request;
  request.set_node(node);
  request.set_confirm(node);
  cluster_.node(0).admin()->RemoveNode(
      request, [&](auto result) { removed.emplace(std::move(result)); });
  cluster_.RunUntil([&] { return removed.has_value(); });
  ASSERT_TRUE(removed.has_value() && removed->ok());
  EXPECT_EQ(Epoch::FromProto((*removed)->epoch()), epoch);
  EXPECT_THAT((*removed)->names(), ElementsAre("n"));
  EXPECT_EQ((*removed)->grave().seconds(), 3);
  // Also a claim that comes before the watch has told of the grave.
  const absl::StatusOr<Claimed> claimed = Take(1, Of("n", 8, "s"));
  ASSERT_TRUE(claimed.ok()) << claimed.status();
  const absl::Duration waited =
      cluster_.node(0).runtime().clock().Boot() - begin;
  EXPECT_GE(waited, absl::Milliseconds(3750));
  EXPECT_LE(waited, absl::Milliseconds(4000));
  EXPECT_EQ(cluster_.node(1).registry().WhereIs("n")->pid.node,
            cluster_.node(1).membership().node());
}

TEST_F(GlobalRegistryTest, ADeadOwnersNameIsFreedUnderTheCompares) {
  const auto taken = Take(2, Of("n", 7, "s"));
  ASSERT_TRUE(taken.ok());
  Settle();
  const auto free = [&](absl::string_view instance,
                        std::vector<Compare> also = {}) {
    std::optional<absl::Status> result;
    registry(0).ReleaseDead("n", instance, std::move(also),
                            [&](absl::Status status) { result = status; });
    cluster_.RunUntil([&] { return result.has_value(); });
    return result.value_or(absl::InternalError("no answer"));
  };
  // A living owner's stays, and so does another claim's.
  EXPECT_TRUE(free(taken->instance).ok());
  EXPECT_TRUE(cluster_.OwnerOf("n").has_value());
  cluster_.KillNode(2);
  cluster_.RunFor(absl::Seconds(5));
  EXPECT_TRUE(free("another").ok());
  EXPECT_TRUE(cluster_.OwnerOf("n").has_value());
  // Whoever wants it gone is not who it was.
  EXPECT_EQ(ReasonOf(free(taken->instance,
                          {Compare::ModRevision(cluster_.keys().Name("nobody"),
                                                Compare::Op::kEqual, 5)})),
            "FENCED");
  EXPECT_TRUE(cluster_.OwnerOf("n").has_value());
  EXPECT_TRUE(free(taken->instance).ok());
  EXPECT_FALSE(cluster_.OwnerOf("n").has_value());
  EXPECT_FALSE(registry(0).WhereIs("n").has_value());
}

TEST_F(GlobalRegistryTest, ANameIsNotFreedBeforeItsGraveHasStoodForR) {
  const auto taken = Take(2, Of("n", 7, "s"));
  ASSERT_TRUE(taken.ok());
  Settle();
  cluster_.PauseNode(2);
  admin::v1::RemoveNodeRequest request;
  request.set_node(SimCluster::NodeName(2));
  request.set_confirm(request.node());
  bool removed = false;
  cluster_.node(0).admin()->RemoveNode(
      request, [&](const auto& result) { removed = result.ok(); });
  ASSERT_TRUE(cluster_.RunUntil([&] { return removed; }));
  const BootTime begin = cluster_.node(0).runtime().clock().Boot();
  // It may act as long as its grave is fresh, so its name is not free.
  ASSERT_TRUE(cluster_.RunUntil([&] {
    std::optional<absl::Status> result;
    registry(0).ReleaseDead("n", taken->instance, {},
                            [&](absl::Status status) { result = status; });
    cluster_.RunUntil([&] { return result.has_value(); });
    return !cluster_.OwnerOf("n").has_value();
  }));
  EXPECT_GE(cluster_.node(0).runtime().clock().Boot() - begin,
            absl::Milliseconds(3700));
}

TEST_F(GlobalRegistryTest, ARemovalWantsItsConfirmationAndAnotherNode) {
  const auto remove = [&](const std::string& node, const std::string& confirm) {
    std::optional<absl::StatusOr<admin::v1::RemoveNodeResponse>> result;
    admin::v1::RemoveNodeRequest request;
    request.set_node(node);
    request.set_confirm(confirm);
    cluster_.node(0).admin()->RemoveNode(
        request, [&](auto r) { result.emplace(std::move(r)); });
    cluster_.RunUntil([&] { return result.has_value(); });
    return result->status();
  };
  const std::string own(cluster_.node(0).membership().node());
  const std::string other(cluster_.node(1).membership().node());
  EXPECT_EQ(ReasonOf(remove(other, "")), "NOT_CONFIRMED");
  EXPECT_EQ(ReasonOf(remove(other, own)), "NOT_CONFIRMED");
  EXPECT_EQ(ReasonOf(remove("", "")), "NOT_CONFIRMED");
  EXPECT_EQ(ReasonOf(remove("nobody", "nobody")), "NO_NODE");
  EXPECT_EQ(ReasonOf(remove(own, own)), "OWN_NODE");
  EXPECT_TRUE(cluster_.node(0).membership().Find(other).has_value());
}

TEST_F(GlobalRegistryTest, ARaisedGenerationRaisesTheEpochsOfNames) {
  const absl::StatusOr<Claimed> before = Take(2, Of("n", 7, "s"));
  ASSERT_TRUE(before.ok());
  Settle();
  std::optional<absl::StatusOr<admin::v1::RaiseGenerationResponse>> raised;
  const auto raise = [&](const std::string& confirm) {
    raised.reset();
    admin::v1::RaiseGenerationRequest request;
    request.set_confirm(confirm);
    cluster_.node(0).admin()->RaiseGeneration(
        request, [&](auto result) { raised.emplace(std::move(result)); });
    cluster_.RunUntil([&] { return raised.has_value(); });
  };
  raise("yes");
  EXPECT_EQ(ReasonOf(raised->status()), "NOT_CONFIRMED");
  raise("sim");
  ASSERT_TRUE(raised->ok()) << raised->status();
  EXPECT_EQ((*raised)->generation(), 2u);
  cluster_.RunFor(absl::Seconds(3));
  for (int node = 0; node < 3; ++node) {
    EXPECT_EQ(cluster_.node(node).runtime().epoch().generation, 2u);
  }
  const absl::StatusOr<Claimed> after = Take(1, Of("n", 8, "s"));
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_GT(after->epoch, before->epoch);
}

TEST_F(GlobalRegistryTest, TakesBackFromTheClaimThatFailedAndFromNoLaterOne) {
  ASSERT_TRUE(Take(0, Of("x", 1, "s")).ok());
  const auto take_back = [&](const store::v1::NameRecord& mine,
                             const std::string& failed) {
    std::optional<absl::StatusOr<Epoch>> result;
    registry(0).TakeBack(mine, failed, [&](absl::StatusOr<Epoch> r) {
      result.emplace(std::move(r));
    });
    cluster_.RunUntil([&] { return result.has_value(); });
    return *result;
  };
  const store::v1::NameRecord mine = registry(0).Record("x")->record;
  const auto give = [&] {
    Claim claim = Of("x", 2, "s");
    claim.consent_revision = registry(0).Record("x")->mod_revision;
    return Take(1, std::move(claim));
  };
  // Nothing was claimed: it is its own still.
  ASSERT_TRUE(take_back(mine, "").ok());
  // The claim that failed.
  auto given = give();
  ASSERT_TRUE(given.ok()) << given.status();
  ASSERT_TRUE(take_back(mine, given->instance).ok());
  EXPECT_EQ(cluster_.OwnerOf("x")->record.instance(), mine.instance());
  // Its supervisor has had it started there anew since.
  given = give();
  ASSERT_TRUE(given.ok()) << given.status();
  const auto anew = Take(1, Of("x", 3, "s"));
  ASSERT_TRUE(anew.ok()) << anew.status();
  for (const std::string& failed : {given->instance, std::string()}) {
    const auto refused = take_back(mine, failed);
    EXPECT_EQ(ReasonOf(refused.status()), "MOVED") << refused.status();
    EXPECT_EQ(cluster_.OwnerOf("x")->record.instance(), anew->instance);
    EXPECT_EQ(registry(0).Record("x")->record.instance(), anew->instance);
  }
}

}  // namespace
}  // namespace muster
