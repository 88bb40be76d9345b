// Cluster-wide names while the store loses answers, delivers late and cannot
// be reached: every answer is true, and nothing is left behind.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/registry/global_registry.h"
#include "cluster/store/store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/store/v1/store.pb.h"
#include "node/types/status.h"
#include "tests/testkit/sim_cluster.h"

namespace muster {
namespace {

// Whether `txn` is a group of changes of names.
bool IsGroup(const Txn& txn) {
  return !txn.then.empty() && txn.then[0].kind == StoreOp::Kind::kTxn;
}

// What a node's requests suffer on their way.
struct Way {
  // Groups that are kept on the way and said to be lost.
  int delay = 0;
  std::vector<absl::AnyInvocable<void()>> delayed;
  // Groups after the next so many wait until they are let go.
  std::optional<int> hold_after;
  std::vector<absl::AnyInvocable<void()>> held;
  // Its watch of nodes tells nothing.
  bool deaf = false;
  // Nested transactions of each group.
  std::vector<size_t> groups;
};

class SlowStore final : public Store {
 public:
  SlowStore(Way* way, std::unique_ptr<Store> store)
      : way_(way), store_(std::move(store)) {}

  void Commit(Txn txn, absl::Duration timeout, Done<TxnResult> done) override {
    if (IsGroup(txn)) {
      way_->groups.push_back(txn.then.size());
      if (way_->hold_after.has_value() && --*way_->hold_after < 0) {
        way_->held.push_back([this, txn = std::move(txn), timeout,
                              done = std::move(done)]() mutable {
          store_->Commit(std::move(txn), timeout, std::move(done));
        });
        return;
      }
      if (way_->delay > 0) {
        --way_->delay;
        way_->delayed.push_back([this, txn]() mutable {
          store_->Commit(std::move(txn), absl::Seconds(1),
                         [](absl::StatusOr<TxnResult>) {});
        });
        // The loss is noticed after the way there.
        store_->List(
            "none", timeout,
            [done = std::move(done)](absl::StatusOr<RangeResult>) mutable {
              done(Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                         "no answer")
                       .Unknown());
            });
        return;
      }
    }
    store_->Commit(std::move(txn), timeout, std::move(done));
  }
  void List(std::string prefix, absl::Duration timeout,
            Done<RangeResult> done) override {
    store_->List(std::move(prefix), timeout, std::move(done));
  }
  std::unique_ptr<Watch> Follow(std::string prefix, int64_t from,
                                WatchHandler handler) override {
    if (absl::StrContains(prefix, "/node/")) {
      handler.on_events = [way = way_,
                           on_events = std::move(handler.on_events)](
                              std::vector<WatchEvent> events) mutable {
        if (!way->deaf) on_events(std::move(events));
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
  Way* const way_;
  const std::unique_ptr<Store> store_;
};

class RegistryFaultsTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  RegistryFaultsTest() : cluster_(GetParam(), 3, Options()) {
    cluster_.StartAll();
  }

  SimClusterOptions Options() {
    SimClusterOptions options;
    options.wrap_store = [this](int node, std::unique_ptr<Store> store) {
      return std::make_unique<SlowStore>(&ways_[node], std::move(store));
    };
    return options;
  }
  GlobalRegistry& registry(int node) { return cluster_.node(node).registry(); }

  static Claim Of(absl::string_view name, uint64_t process,
                  absl::string_view supervisor = "") {
    Claim claim;
    claim.name = std::string(name);
    claim.process = process;
    claim.supervisor = std::string(supervisor);
    return claim;
  }
  using Results = std::map<std::string, absl::StatusOr<Claimed>>;
  // Begins a claim whose result goes to `results` under its name.
  void Take(int node, Claim claim, Results* results) {
    const std::string name = claim.name;
    registry(node).Take(std::move(claim),
                        [name, results](absl::StatusOr<Claimed> r) {
                          results->emplace(name, std::move(r));
                        });
  }
  absl::StatusOr<Claimed> Take(int node, Claim claim) {
    Results results;
    Take(node, claim, &results);
    cluster_.RunUntil([&] { return !results.empty(); });
    return results.at(claim.name);
  }
  absl::Status Release(int node, absl::string_view name,
                       absl::string_view instance) {
    std::optional<absl::Status> result;
    registry(node).Release(name, instance,
                           [&](absl::Status r) { result = std::move(r); });
    cluster_.RunUntil([&] { return result.has_value(); });
    return *result;
  }
  void Settle() { cluster_.RunFor(absl::Milliseconds(50)); }

  // What happened to names, in order.
  std::vector<WatchEvent> History() {
    auto slice = cluster_.store().state().Events(cluster_.keys().NamePrefix(),
                                                 1, SIZE_MAX);
    EXPECT_TRUE(slice.ok());
    return std::move(slice->events);
  }
  static store::v1::NameRecord RecordOf(const WatchEvent& event) {
    store::v1::NameRecord record;
    EXPECT_TRUE(record.ParseFromString(event.item.value));
    return record;
  }

  std::map<int, Way> ways_;
  SimCluster cluster_;
};

TEST_P(RegistryFaultsTest, ManyClaimsAtOnceAreFewTransactions) {
  ways_[0].groups.clear();
  Results results;
  for (int i = 0; i < 500; ++i) {
    Take(0, Of(absl::StrCat("n", i), 1), &results);
  }
  ASSERT_TRUE(cluster_.RunUntil([&] { return results.size() == 500; }));
  size_t claims = 0;
  for (const size_t group : ways_[0].groups) claims += group;
  EXPECT_EQ(claims, 500u);
  EXPECT_LE(ways_[0].groups.size(), 8u);
  for (const auto& [name, claimed] : results) {
    ASSERT_TRUE(claimed.ok()) << claimed.status();
    EXPECT_EQ(cluster_.OwnerOf(name)->epoch, claimed->epoch);
    EXPECT_EQ(registry(0).WhereIs(name)->epoch, claimed->epoch);
  }
  Settle();
  EXPECT_EQ(registry(2).List("n").size(), 500u);
}

TEST_P(RegistryFaultsTest, ATakenNameInAGroupFailsAlone) {
  ASSERT_TRUE(Take(1, Of("n7", 1)).ok());
  Results results;
  for (int i = 0; i < 50; ++i) {
    Take(0, Of(absl::StrCat("n", i), 2), &results);
  }
  ASSERT_TRUE(cluster_.RunUntil([&] { return results.size() == 50; }));
  for (const auto& [name, claimed] : results) {
    if (name == "n7") {
      EXPECT_EQ(ReasonOf(claimed.status()), "ALREADY_STARTED");
      EXPECT_EQ(DetailOf(claimed.status(), "node"), "n1");
    } else {
      EXPECT_TRUE(claimed.ok()) << name << claimed.status();
    }
  }
}

TEST_P(RegistryFaultsTest, ALostAnswerOfAGroupIsSettledForEach) {
  cluster_.store().LoseAnswers(cluster_.store_client(0), 4);
  Results results;
  ASSERT_TRUE(Take(1, Of("n7", 1)).ok());
  for (int i = 0; i < 150; ++i) {
    Take(0, Of(absl::StrCat("n", i), 2), &results);
  }
  ASSERT_TRUE(cluster_.RunUntil([&] { return results.size() == 150; }));
  for (const auto& [name, claimed] : results) {
    if (name == "n7") {
      EXPECT_EQ(ReasonOf(claimed.status()), "ALREADY_STARTED");
      continue;
    }
    ASSERT_TRUE(claimed.ok()) << name << claimed.status();
    EXPECT_EQ(cluster_.OwnerOf(name)->epoch, claimed->epoch);
    EXPECT_EQ(cluster_.OwnerOf(name)->record.instance(), claimed->instance);
  }
}

TEST_P(RegistryFaultsTest, ADeathInTheMiddleFencesTheRest) {
  ways_[0].hold_after = 1;
  Results results;
  for (int i = 0; i < 250; ++i) {
    Take(0, Of(absl::StrCat("n", i), 2), &results);
  }
  ASSERT_TRUE(cluster_.RunUntil(
      [&] { return !results.empty() && !ways_[0].held.empty(); }));
  ways_[0].deaf = true;  // It learns of its death by the claims.
  const std::string record = cluster_.keys().Node("n0");
  const auto reaper = cluster_.store().NewClient(cluster_.lane(1));
  reaper->Commit(Txn{.then = {StoreOp::Delete(record)}}, absl::Seconds(1),
                 [](absl::StatusOr<TxnResult>) {});
  ASSERT_TRUE(cluster_.RunUntil(
      [&] { return cluster_.store().state().List(record).items.empty(); }));
  ways_[0].hold_after.reset();
  for (auto& group : ways_[0].held) group();
  ASSERT_TRUE(cluster_.RunUntil(
      [&] { return results.size() == 250 || cluster_.Reaps(0) > 0; }));
  size_t fenced = 0;
  for (const auto& [name, claimed] : results) {
    if (claimed.ok()) continue;
    ++fenced;
    EXPECT_EQ(ReasonOf(claimed.status()), "FENCED") << claimed.status();
    EXPECT_EQ(OutcomeOf(claimed.status()), Outcome::kNotExecuted);
    EXPECT_FALSE(cluster_.OwnerOf(name).has_value());
  }
  EXPECT_GT(fenced, 0u);
}

TEST_P(RegistryFaultsTest, OperationsOfOneNameStayInOrder) {
  std::vector<int> order;
  std::vector<absl::StatusOr<Claimed>> results;
  for (int i = 0; i < 6; ++i) {
    registry(0).Take(Of("x", static_cast<uint64_t>(i), "s"),
                     [&, i](absl::StatusOr<Claimed> r) {
                       order.push_back(i);
                       results.push_back(std::move(r));
                     });
  }
  ASSERT_TRUE(cluster_.RunUntil([&] { return results.size() == 6; }));
  EXPECT_THAT(order, testing::ElementsAre(0, 1, 2, 3, 4, 5));
  Epoch last;
  for (const auto& result : results) {
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_GT(result->epoch, last);
    last = result->epoch;
  }
  EXPECT_EQ(cluster_.OwnerOf("x")->record.process(), 5u);
}

TEST_P(RegistryFaultsTest, AnAbsenceThatWasReadIsSeenFromThenOn) {
  const auto claimed = Take(0, Of("x", 1, "s"));
  ASSERT_TRUE(claimed.ok());
  Settle();
  ASSERT_TRUE(registry(1).WhereIs("x").has_value());
  ASSERT_TRUE(Release(0, "x", claimed->instance).ok());
  EXPECT_FALSE(registry(0).WhereIs("x").has_value());
  std::optional<absl::StatusOr<NameEntry>> entry;
  registry(1).Resolve("x", claimed->epoch, [&](absl::StatusOr<NameEntry> r) {
    entry.emplace(std::move(r));
  });
  ASSERT_TRUE(cluster_.RunUntil([&] { return entry.has_value(); }));
  EXPECT_EQ(ReasonOf(entry->status()), "NOPROC");
  EXPECT_FALSE(registry(1).WhereIs("x").has_value());
}

TEST_P(RegistryFaultsTest, AClaimThatArrivesAfterItsReleaseChangesNothing) {
  ways_[0].delay = 1;
  const auto claimed = Take(0, Of("x", 1));
  ASSERT_TRUE(claimed.ok()) << claimed.status();
  ASSERT_TRUE(Release(0, "x", claimed->instance).ok());
  ASSERT_FALSE(cluster_.OwnerOf("x").has_value());
  ASSERT_EQ(ways_[0].delayed.size(), 1u);
  const size_t before = History().size();
  ways_[0].delayed[0]();
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_EQ(History().size(), before) << "not even for a moment";
  EXPECT_TRUE(Take(1, Of("x", 2)).ok());
}

TEST_P(RegistryFaultsTest, AClaimThatIsRefusedForSureIsNotMadeLater) {
  ways_[0].delay = 1;
  Results results;
  Take(0, Of("x", 1), &results);
  ASSERT_TRUE(Take(1, Of("x", 2)).ok());
  ASSERT_TRUE(cluster_.RunUntil([&] { return !results.empty(); }));
  EXPECT_EQ(ReasonOf(results.at("x").status()), "ALREADY_STARTED");
  EXPECT_EQ(OutcomeOf(results.at("x").status()), Outcome::kNotExecuted);
  ASSERT_TRUE(Release(1, "x", cluster_.OwnerOf("x")->record.instance()).ok());
  ways_[0].delayed[0]();
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(cluster_.OwnerOf("x").has_value());
}

TEST_P(RegistryFaultsTest, ATakingBackThatArrivesLateGivesNoOtherEpoch) {
  ASSERT_TRUE(Take(0, Of("x", 1, "s")).ok());
  ways_[0].delay = 1;
  std::optional<absl::StatusOr<Epoch>> taken;
  registry(0).TakeBack(registry(0).Record("x")->record, "",
                       [&](absl::StatusOr<Epoch> r) { taken.emplace(r); });
  ASSERT_TRUE(cluster_.RunUntil([&] { return taken.has_value(); }));
  ASSERT_TRUE(taken->ok()) << taken->status();
  ASSERT_EQ(ways_[0].delayed.size(), 1u);
  ways_[0].delayed[0]();
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_EQ(cluster_.OwnerOf("x")->epoch, **taken);
}

TEST_P(RegistryFaultsTest, AnUnknownClaimThatArrivesLaterIsFreed) {
  ways_[0].delay = 100;
  const auto claimed = Take(0, Of("x", 1));
  EXPECT_EQ(OutcomeOf(claimed.status()), Outcome::kUnknown);
  ways_[0].delay = 0;
  for (auto& late : ways_[0].delayed) late();
  cluster_.RunFor(absl::Seconds(2));
  EXPECT_FALSE(cluster_.OwnerOf("x").has_value());
  EXPECT_TRUE(Take(1, Of("x", 2)).ok());
}

TEST_P(RegistryFaultsTest, TheJournalTellsOfNamesWithASupervisor) {
  ASSERT_TRUE(Take(0, Of("plain", 1)).ok());
  const auto first = Take(2, Of("x", 1, "s"));
  ASSERT_TRUE(first.ok());
  Settle();
  cluster_.KillNode(2);
  cluster_.RunFor(absl::Seconds(5));
  const auto second = Take(0, Of("x", 1, "s"));
  ASSERT_TRUE(second.ok()) << second.status();
  ASSERT_TRUE(Release(0, "x", second->instance).ok());
  std::vector<store::v1::EventRecord> events;
  std::vector<uint64_t> revisions;
  for (const KeyValue& item :
       cluster_.store().state().List(cluster_.keys().EventPrefix()).items) {
    store::v1::EventRecord event;
    ASSERT_TRUE(event.ParseFromString(item.value));
    if (event.name().empty()) continue;
    EXPECT_EQ(event.name(), "x");
    EXPECT_EQ(event.supervisor(), "s");
    events.push_back(event);
    revisions.push_back(static_cast<uint64_t>(item.create_revision));
  }
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].kind(), "name.claimed");
  EXPECT_EQ(revisions[0], first->epoch.revision) << "in the transaction itself";
  EXPECT_EQ(events[1].kind(), "name.moved");
  EXPECT_EQ(events[1].from_node(), "n2");
  EXPECT_EQ(events[1].to_node(), "n0");
  EXPECT_EQ(events[1].old_epoch().revision(), first->epoch.revision);
  EXPECT_EQ(revisions[1], second->epoch.revision);
  EXPECT_EQ(events[2].kind(), "name.released");
  EXPECT_EQ(events[2].old_epoch().revision(), second->epoch.revision);
}

// Claims and releases of few names on three nodes under faults, and the
// store's history as the truth. The process number says which claim it was.
TEST_P(RegistryFaultsTest, EveryAnswerIsTrueUnderFaults) {
  struct Op {
    int node = 0;
    std::string name;
    std::optional<absl::StatusOr<Claimed>> claimed;
    std::optional<absl::Status> released;
    bool releasing = false;
  };
  std::map<uint64_t, Op> ops;
  auto& random = cluster_.world().random();
  std::map<int, BootTime> cut_until;
  const auto now = [&] { return cluster_.world().clock().Boot(); };
  uint64_t next = 0;
  const auto claim = [&](int node, const std::string& name) {
    const uint64_t id = ++next;
    ops[id].node = node;
    ops[id].name = name;
    registry(node).Take(Of(name, id), [&, id](absl::StatusOr<Claimed> r) {
      Op& op = ops[id];
      op.claimed.emplace(std::move(r));
      if (!op.claimed->ok()) return;
      // Read your writes.
      const auto entry = registry(op.node).WhereIs(op.name);
      ASSERT_TRUE(entry.has_value());
      EXPECT_GE(entry->epoch, (*op.claimed)->epoch);
    });
  };
  const auto release = [&](uint64_t id) {
    Op& op = ops[id];
    op.releasing = true;
    registry(op.node).Release(
        op.name, (*op.claimed)->instance, [&, id](absl::Status r) {
          Op& op = ops[id];
          op.released = r;
          if (!r.ok()) return;
          const auto record = registry(op.node).Record(op.name);
          EXPECT_TRUE(!record.has_value() ||
                      record->record.instance() != (*op.claimed)->instance);
        });
  };
  for (int step = 0; step < 250; ++step) {
    const int node = static_cast<int>(random.Below(3));
    switch (random.Below(10)) {
      case 0:
        cluster_.store().LoseAnswers(cluster_.store_client(node),
                                     1 + static_cast<int>(random.Below(3)));
        break;
      case 1:
        // Shorter than the fence.
        if (cut_until.contains(node)) break;
        cut_until[node] = now() + random.Jitter(absl::Milliseconds(900));
        cluster_.store().Disconnect(
            cluster_.store_client(node),
            random.Below(2) == 0 ? SimCut::kSilent : SimCut::kRefused);
        break;
      case 2:
        for (int i = 0; i < 20; ++i) claim(node, absl::StrCat("many", i));
        break;
      case 3:
      case 4:
      case 5:
        for (auto& [id, op] : ops) {
          if (op.claimed.has_value() && op.claimed->ok() && !op.releasing &&
              random.Below(2) == 0) {
            release(id);
          }
        }
        break;
      default:
        claim(node, absl::StrCat("n", random.Below(4)));
        break;
    }
    cluster_.RunFor(random.Jitter(absl::Milliseconds(60)));
    for (auto at = cut_until.begin(); at != cut_until.end();) {
      if (at->second > now()) {
        ++at;
        continue;
      }
      cluster_.store().Reconnect(cluster_.store_client(at->first));
      at = cut_until.erase(at);
    }
  }
  for (const auto& [node, until] : cut_until) {
    cluster_.store().Reconnect(cluster_.store_client(node));
  }
  for (int node = 0; node < 3; ++node) {
    cluster_.store().LoseAnswers(cluster_.store_client(node), 0);
  }
  cluster_.RunFor(absl::Seconds(40));
  for (int node = 0; node < 3; ++node) ASSERT_EQ(cluster_.Reaps(node), 0);

  // The truth.
  std::map<uint64_t, std::set<uint64_t>> written;  // Claim to revisions.
  std::map<std::string, uint64_t> held;            // Name to claim.
  for (const WatchEvent& event : History()) {
    const auto parsed = cluster_.keys().Parse(event.item.key);
    ASSERT_TRUE(parsed.ok());
    if (event.kind == WatchEvent::Kind::kDelete) {
      held.erase(parsed->id);
      continue;
    }
    const uint64_t id = RecordOf(event).process();
    written[id].insert(static_cast<uint64_t>(event.item.mod_revision));
    const auto holder = held.find(parsed->id);
    EXPECT_TRUE(holder == held.end() || holder->second == id)
        << "claim " << id << " took " << parsed->id << " from the living claim "
        << holder->second;
    held[parsed->id] = id;
  }
  size_t fine = 0;
  size_t refused = 0;
  for (const auto& [id, op] : ops) {
    ASSERT_TRUE(op.claimed.has_value()) << id;
    const auto at = held.find(op.name);
    const bool holds = at != held.end() && at->second == id;
    if (op.claimed->ok()) {
      ++fine;
      EXPECT_TRUE(written[id].contains((*op.claimed)->epoch.revision)) << id;
      if (op.releasing) {
        ASSERT_TRUE(op.released.has_value()) << id;
        if (op.released->ok()) {
          EXPECT_FALSE(holds) << id;
        }
      } else {
        EXPECT_TRUE(holds) << id << " has lost " << op.name;
      }
    } else if (OutcomeOf(op.claimed->status()) == Outcome::kNotExecuted) {
      ++refused;
      EXPECT_TRUE(written[id].empty())
          << id << " was written though: " << op.claimed->status();
    } else {
      EXPECT_FALSE(holds) << id << " is left behind";
    }
  }
  EXPECT_GT(fine, 20u);
  EXPECT_GT(refused, 20u);
  // And all nodes know it.
  for (int node = 0; node < 3; ++node) {
    std::map<std::string, uint64_t> known;
    for (const NameEntry& entry : registry(node).List("")) {
      if (!absl::StartsWith(entry.name, "muster/")) {
        known[entry.name] = entry.pid.number;
      }
    }
    EXPECT_EQ(known, held);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RegistryFaultsTest,
                         ::testing::Range<uint64_t>(1, 21));

}  // namespace
}  // namespace muster
