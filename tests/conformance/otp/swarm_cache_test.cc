// swarm's replica and sync suites, on the names that a node has copied from the
// store.
//
// A test says what the watch and the list of one node's store bring, whatever
// the store really holds. "Clock" is the revision of an entry: a greater one
// replaces, a smaller one is ignored, and since two always compare, nothing is
// merged. A name's type stands for swarm's metadata.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/registry/global_registry.h"
#include "cluster/store/store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/store/v1/store.pb.h"
#include "node/types/status.h"
#include "tests/conformance/otp/global_fixture.h"
#include "tests/conformance/otp/otp_case.h"

namespace muster {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

const Pid kNobody;

// What node 1 is fed with.
struct Feed {
  // Of each watch of names, in the order they were begun.
  std::vector<std::shared_ptr<WatchHandler>> watches;
  int lists = 0;
  // Once set, this is what lists of names answer.
  std::optional<RangeResult> snapshot;
  // True: answers to lists of names wait in `held`.
  bool hold = false;
  std::vector<std::function<void()>> held;
};

// Its real watches of names bring nothing.
class FedStore final : public Store {
 public:
  FedStore(std::shared_ptr<Feed> feed, std::unique_ptr<Store> store)
      : feed_(std::move(feed)), store_(std::move(store)) {}

  void Commit(Txn txn, absl::Duration timeout, Done<TxnResult> done) override {
    store_->Commit(std::move(txn), timeout, std::move(done));
  }
  void List(std::string prefix, absl::Duration timeout,
            Done<RangeResult> done) override {
    if (!absl::StrContains(prefix, "/name/")) {
      store_->List(std::move(prefix), timeout, std::move(done));
      return;
    }
    ++feed_->lists;
    store_->List(std::move(prefix), timeout,
                 [feed = feed_, done = std::move(done)](
                     absl::StatusOr<RangeResult> result) mutable {
                   if (feed->snapshot.has_value()) result = *feed->snapshot;
                   auto answer =
                       std::make_shared<Done<RangeResult>>(std::move(done));
                   auto deliver = [answer, result] { (*answer)(result); };
                   if (feed->hold) {
                     feed->held.push_back(std::move(deliver));
                   } else {
                     deliver();
                   }
                 });
  }
  std::unique_ptr<Watch> Follow(std::string prefix, int64_t from,
                                WatchHandler handler) override {
    if (absl::StrContains(prefix, "/name/")) {
      feed_->watches.push_back(
          std::make_shared<WatchHandler>(std::move(handler)));
      handler.on_events = [](std::vector<WatchEvent>) {};
      handler.on_end = [](absl::Status) {};
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
  const std::shared_ptr<Feed> feed_;
  const std::unique_ptr<Store> store_;
};

class SwarmCache : public GlobalFixture {
 protected:
  SwarmCache() : SwarmCache(std::make_shared<Feed>()) {}

  // A process of node 0 that need not exist.
  Pid Remote(uint64_t number) {
    Pid pid;
    pid.node = SimCluster::NodeName(0);
    pid.epoch = RuntimeOf(0).epoch();
    pid.number = number;
    return pid;
  }
  KeyValue Item(absl::string_view name, const Pid& pid, absl::string_view type,
                int64_t revision) {
    store::v1::NameRecord record;
    record.set_schema(1);
    record.set_name(std::string(name));
    record.set_owner(pid.node);
    record.set_owner_revision(pid.epoch.revision);
    record.set_instance(absl::StrCat(pid.number, "-", revision));
    record.set_process(pid.number);
    record.set_type(std::string(type));
    KeyValue item;
    item.key = cluster_.keys().Name(name);
    item.value = record.SerializeAsString();
    item.create_revision = revision;
    item.mod_revision = revision;
    return item;
  }
  // The watch `watch` (the latest: -1) tells node 1.
  void Tell(WatchEvent event, int watch = -1) {
    const size_t at =
        watch < 0 ? feed_->watches.size() - 1 : static_cast<size_t>(watch);
    feed_->watches[at]->on_events({std::move(event)});
    cluster_.RunFor(absl::Milliseconds(1));
  }
  void Track(absl::string_view name, const Pid& pid, absl::string_view type,
             int64_t revision, int watch = -1) {
    WatchEvent event;
    event.item = Item(name, pid, type, revision);
    Tell(std::move(event), watch);
  }
  void Untrack(absl::string_view name, int64_t revision) {
    WatchEvent event;
    event.kind = WatchEvent::Kind::kDelete;
    event.item.key = cluster_.keys().Name(name);
    event.item.mod_revision = revision;
    Tell(std::move(event));
  }
  // Node 1's watch breaks, and this is what the list then brings.
  void Sync(std::vector<KeyValue> items, int64_t revision) {
    RangeResult snapshot;
    snapshot.items = std::move(items);
    snapshot.revision = revision;
    feed_->snapshot = std::move(snapshot);
    const int before = feed_->lists;
    feed_->watches.back()->on_end(absl::UnavailableError("broken"));
    EXPECT_TRUE(cluster_.RunUntil([&] { return feed_->lists == before + 1; }));
    cluster_.RunFor(absl::Milliseconds(50));
  }
  // "<pid number> <type> <revision>"; empty: nobody.
  std::string Entry(absl::string_view name) {
    const std::optional<NameEntry> entry = NamesOf(1).WhereIs(name);
    if (!entry.has_value()) return "";
    return absl::StrCat(entry->pid.number, " ", entry->type, " ",
                        entry->epoch.revision);
  }

  // Above everything the store has.
  static constexpr int64_t kNow = 1'000'000;
  const std::shared_ptr<Feed> feed_;

 private:
  explicit SwarmCache(std::shared_ptr<Feed> feed)
      : GlobalFixture(2, 1, Options(feed)), feed_(std::move(feed)) {}
  static SimClusterOptions Options(const std::shared_ptr<Feed>& feed) {
    SimClusterOptions options;
    options.wrap_store =
        [feed](int node,
               std::unique_ptr<Store> store) -> std::unique_ptr<Store> {
      if (node != 1) return store;
      return std::make_unique<FedStore>(feed, std::move(store));
    };
    return options;
  }
};

// -- Events ------------------------------------------------------------------

TEST_F(SwarmCache, SWM13_TrackAddsAnEntryThatAllLookupsFind) {
  OTP_CASE("SWM.13", "SW4");
  EXPECT_EQ(Entry("name"), "");
  Track("name", Remote(9), "t", kNow);
  EXPECT_EQ(Entry("name"), "9 t 1000000");
  EXPECT_EQ(WhereIs(1, "name"), Remote(9));
  ASSERT_THAT(NamesOf(1).List("na"), SizeIs(1));
  EXPECT_EQ(NamesOf(1).List("na")[0].pid, Remote(9));
  EXPECT_EQ(NamesOf(1).Record("name")->record.instance(), "9-1000000");
  std::optional<absl::StatusOr<NameEntry>> resolved;
  NamesOf(1).Resolve("name", Epoch(), [&](absl::StatusOr<NameEntry> entry) {
    resolved.emplace(std::move(entry));
  });
  ASSERT_TRUE(resolved.has_value() && resolved->ok());
  EXPECT_EQ((*resolved)->pid, Remote(9));
}

TEST_F(SwarmCache, SWM14_TrackOfWhatIsThereChangesNothing) {
  OTP_CASE("SWM.14", "SW4");
  Track("name", Remote(9), "t", kNow);
  Track("name", Remote(9), "t", kNow);
  EXPECT_EQ(Entry("name"), "9 t 1000000");
  EXPECT_THAT(NamesOf(1).List("name"), SizeIs(1));
}

TEST_F(SwarmCache, SWM15_NewerMetadataReplaces) {
  OTP_CASE("SWM.15 SWM.21", "SW4");
  Track("name", Remote(9), "old", kNow);
  Track("name", Remote(9), "new", kNow + 1);
  EXPECT_EQ(Entry("name"), "9 new 1000001");
}

TEST_F(SwarmCache, SWM16_OlderMetadataIsIgnored) {
  OTP_CASE("SWM.16 SWM.22", "SW4");
  Track("name", Remote(9), "new", kNow);
  Track("name", Remote(9), "old", kNow - 1);
  EXPECT_EQ(Entry("name"), "9 new 1000000");
}

TEST_F(SwarmCache, SWM17_OlderOwnerIsIgnoredAndTheLocalProcessLives) {
  OTP_CASE("SWM.17", "SW4");
  const Pid pid = Spawn(1);
  const absl::StatusOr<Epoch> epoch = Register(1, "name", pid);
  ASSERT_TRUE(epoch.ok()) << epoch.status();
  Track("name", Remote(9), "t", static_cast<int64_t>(epoch->revision) - 1);
  EXPECT_EQ(WhereIs(1, "name"), pid);
  EXPECT_EQ(NamesOf(1).WhereIs("name")->epoch, *epoch);
  EXPECT_EQ(*Call(1, "name", 7), 7);
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(Alive(1, pid));
}

TEST_F(SwarmCache, SWM18_NewerUntrackRemoves) {
  OTP_CASE("SWM.18", "SW4");
  Track("name", Remote(9), "t", kNow);
  Untrack("name", kNow + 1);
  EXPECT_EQ(Entry("name"), "");
  EXPECT_THAT(NamesOf(1).List("name"), IsEmpty());
  // Nor does what is older bring it back.
  Track("name", Remote(9), "t", kNow);
  EXPECT_EQ(Entry("name"), "");
}

TEST_F(SwarmCache, SWM19_OlderUntrackIsIgnored) {
  OTP_CASE("SWM.19", "SW4");
  Track("name", Remote(9), "t", kNow);
  Untrack("name", kNow - 1);
  EXPECT_EQ(Entry("name"), "9 t 1000000");
}

TEST_F(SwarmCache, SWM20_UntrackForAnotherProcessChangesNothing) {
  OTP_CASE("SWM.20", "SW4");
  Track("name", Remote(9), "t", kNow);
  // By a claim that is not the entry's, of a process of nobody.
  std::optional<absl::Status> released;
  NamesOf(1).Release("name", "4711-1",
                     [&](absl::Status status) { released = status; });
  ASSERT_TRUE(cluster_.RunUntil([&] { return released.has_value(); }));
  EXPECT_TRUE(released->ok());
  EXPECT_EQ(ReasonOf(Unregister(1, "name")), "NOPROC");
  // And of a name that nobody has.
  Untrack("other", kNow + 1);
  EXPECT_EQ(Entry("name"), "9 t 1000000");
}

TEST_F(SwarmCache, SWM23_OfTwoChangesOneIsTheGreaterAndStandsWhole) {
  OTP_CASE("SWM.23", "SW4");
  Track("first", Remote(1), "a", kNow);
  Track("first", Remote(2), "b", kNow + 1);
  Track("second", Remote(2), "b", kNow + 3);
  Track("second", Remote(1), "a", kNow + 2);
  EXPECT_EQ(Entry("first"), "2 b 1000001");
  EXPECT_EQ(Entry("second"), "2 b 1000003");
  EXPECT_EQ(NamesOf(1).Record("second")->record.instance(), "2-1000003");
}

TEST_F(SwarmCache, SYN06_RecordOfANodeThatIsNoMemberIsIgnored) {
  OTP_CASE("SYN.06", "SY6");
  Pid stranger = Remote(9);
  stranger.node = "n9";
  Track("name", stranger, "t", kNow);
  EXPECT_EQ(Entry("name"), "");
  EXPECT_THAT(NamesOf(1).List("name"), IsEmpty());
  // Nor one of an earlier life of a member.
  Pid dead = Remote(9);
  --dead.epoch.revision;
  Track("name", dead, "t", kNow + 1);
  EXPECT_EQ(Entry("name"), "");
  // Somebody else's key is no name of this cluster.
  WatchEvent foreign;
  foreign.item = Item("name", Remote(9), "t", kNow + 2);
  foreign.item.key = "/muster/other/name/name";
  Tell(std::move(foreign));
  EXPECT_EQ(Entry("name"), "");
  Track("name", Remote(9), "t", kNow + 3);
  EXPECT_EQ(Entry("name"), "9 t 1000003");
}

// -- Snapshots ---------------------------------------------------------------

// The partner is the store, for all.
TEST_F(SwarmCache, SWM24_SyncAsksTheStoreOnceAndChangesNoEpoch) {
  OTP_CASE("SWM.24", "SW4");
  Track("name", Remote(9), "t", kNow);
  const Epoch own = RuntimeOf(1).epoch();
  const int lists = feed_->lists;
  const size_t watches = feed_->watches.size();
  Sync({Item("name", Remote(9), "t", kNow)}, kNow);
  EXPECT_EQ(feed_->lists, lists + 1);
  EXPECT_EQ(feed_->watches.size(), watches + 1);
  EXPECT_EQ(RuntimeOf(1).epoch(), own);
  EXPECT_EQ(Entry("name"), "9 t 1000000");
}

TEST_F(SwarmCache, SWM25_NewerSnapshotReplaces) {
  OTP_CASE("SWM.25", "SW4");
  Track("name", Remote(9), "old", kNow);
  Sync({Item("name", Remote(9), "new", kNow + 1)}, kNow + 1);
  EXPECT_EQ(Entry("name"), "9 new 1000001");
}

TEST_F(SwarmCache, SWM26_OlderSnapshotIsIgnored) {
  OTP_CASE("SWM.26", "SW4");
  Track("name", Remote(9), "new", kNow);
  Sync({Item("name", Remote(9), "old", kNow - 1)}, kNow - 1);
  EXPECT_EQ(Entry("name"), "9 new 1000000");
  // Not even that it lacks a name is believed.
  Sync({}, kNow - 1);
  EXPECT_EQ(Entry("name"), "9 new 1000000");
  // Nor an older entry in a newer snapshot.
  Sync({Item("name", Remote(9), "old", kNow - 1)}, kNow + 1);
  EXPECT_EQ(Entry("name"), "9 new 1000000");
}

TEST_F(SwarmCache, SWM27_SnapshotOfTheSameRevisionChangesNothing) {
  OTP_CASE("SWM.27", "SW4");
  Track("name", Remote(9), "ours", kNow);
  Sync({Item("name", Remote(9), "theirs", kNow)}, kNow);
  EXPECT_EQ(Entry("name"), "9 ours 1000000");
}

TEST_F(SwarmCache, SWM28_OfChangesOnBothSidesTheGreaterStandsWhole) {
  OTP_CASE("SWM.28", "SW4");
  Track("first", Remote(1), "a", kNow);
  Track("second", Remote(1), "a", kNow + 3);
  Sync({Item("first", Remote(2), "b", kNow + 1),
        Item("second", Remote(2), "b", kNow + 2)},
       kNow + 3);
  EXPECT_EQ(Entry("first"), "2 b 1000001");
  EXPECT_EQ(Entry("second"), "1 a 1000003");
}

// A snapshot comes while what the old watch still has to say is under way.
TEST_F(SwarmCache, SWM30_OneExchangeAndTheOldWatchSaysNoMore) {
  OTP_CASE("SWM.30", "SW4");
  const int old = static_cast<int>(feed_->watches.size()) - 1;
  const int lists = feed_->lists;
  feed_->hold = true;
  RangeResult snapshot;
  snapshot.items = {Item("name", Remote(9), "listed", kNow)};
  snapshot.revision = kNow;
  feed_->snapshot = snapshot;
  feed_->watches.back()->on_end(absl::UnavailableError("broken"));
  ASSERT_TRUE(cluster_.RunUntil([&] { return feed_->held.size() == 1; }));
  Track("name", Remote(1), "late", kNow + 1, old);
  EXPECT_EQ(Entry("name"), "") << "the old watch is not believed any more";
  feed_->hold = false;
  feed_->held[0]();
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Entry("name"), "9 listed 1000000");
  EXPECT_EQ(feed_->lists, lists + 1) << "no second exchange";
  EXPECT_EQ(feed_->watches.size(), static_cast<size_t>(old) + 2);
  Track("name", Remote(1), "late", kNow + 1, old);
  EXPECT_EQ(Entry("name"), "9 listed 1000000");
  Track("name", Remote(2), "next", kNow + 2);
  EXPECT_EQ(Entry("name"), "2 next 1000002") << "tracking has resumed";
}

// -- Two owners --------------------------------------------------------------

class SwarmOwners : public GlobalFixture {
 protected:
  SwarmOwners() : GlobalFixture(2) {}
};

// Our process has lost its name to a newer owner only if our node was taken
// for dead; all it ran then ends.
TEST_F(SwarmOwners, SWM29_NewerOwnerStandsAndOursEnds) {
  OTP_CASE("SWM.29", "SW4");
  const Pid ours = Spawn(1);
  const absl::StatusOr<Epoch> before = Register(1, "name", ours);
  ASSERT_TRUE(before.ok()) << before.status();
  ASSERT_TRUE(AllSee("name", ours));
  CutOff(1);
  ASSERT_TRUE(See({0}, "name", kNobody));
  const Pid theirs = Spawn(0);
  const absl::StatusOr<Epoch> after = Register(0, "name", theirs);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_GT(*after, *before);
  Heal(1);
  ASSERT_TRUE(cluster_.RunUntil(
      [&] { return cluster_.Reaps(1) == 1 && cluster_.IsJoined(1); }));
  EXPECT_TRUE(AllSee("name", theirs));
  EXPECT_FALSE(Alive(1, ours));
  EXPECT_TRUE(Alive(0, theirs));
}

}  // namespace
}  // namespace muster
