#include "cluster/membership/membership.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/membership/reap.h"
#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "gtest/gtest.h"
#include "muster/store/v1/store.pb.h"
#include "node/base/clock.h"
#include "node/base/scheduler.h"
#include "node/base/strand.h"
#include "node/types/status.h"
#include "tests/testkit/capture_logger.h"
#include "tests/testkit/sim_store.h"
#include "tests/testkit/sim_world.h"

namespace muster {
namespace {

constexpr absl::Duration kLatency = absl::Milliseconds(5);

// A store whose watches of heartbeats can be made deaf, as by guarantees E6.
class DeafStore final : public Store {
 public:
  DeafStore(std::unique_ptr<SimStore> store, const bool* deaf)
      : store_(std::move(store)), deaf_(deaf) {}
  SimStore& client() { return *store_; }

  void Commit(Txn txn, absl::Duration timeout, Done<TxnResult> done) override {
    store_->Commit(std::move(txn), timeout, std::move(done));
  }
  void List(std::string prefix, absl::Duration timeout,
            Done<RangeResult> done) override {
    store_->List(std::move(prefix), timeout, std::move(done));
  }
  std::unique_ptr<Watch> Follow(std::string prefix, int64_t from,
                                WatchHandler handler) override {
    if (absl::StrContains(prefix, "/hb/")) {
      handler.on_events = [deaf = deaf_,
                           on_events = std::move(handler.on_events)](
                              std::vector<WatchEvent> events) mutable {
        if (!*deaf) on_events(std::move(events));
      };
    }
    return store_->Follow(std::move(prefix), from, std::move(handler));
  }
  void Compact(int64_t revision, absl::Duration timeout,
               absl::AnyInvocable<void(absl::Status)> done) override {
    store_->Compact(revision, timeout, std::move(done));
  }
  bool embedded() const override { return false; }
  std::string ToString() const override { return "sim"; }

 private:
  const std::unique_ptr<SimStore> store_;
  const bool* const deaf_;
};

class MembershipTest : public testing::Test {
 protected:
  struct Node {
    std::string name;
    Scheduler* lane = nullptr;
    CaptureLogger log;
    bool deaf = false;
    std::unique_ptr<DeafStore> store;
    std::unique_ptr<Strand> strand;
    std::unique_ptr<Membership> membership;
    std::optional<absl::StatusOr<Joined>> joined;
    std::vector<std::pair<std::string, Epoch>> deaths;
    int changes = 0;
    int reaped = 0;
    std::vector<uint64_t> generations;

    ~Node() {
      strand->Close();
      membership->StopWatching();
      membership.reset();
    }
    BootTime Now() { return lane->clock().Boot(); }
  };

  MembershipTest()
      : service_(world_.AddLane("store"), world_.random(), StoreOptions()) {}

  static SimStoreOptions StoreOptions() {
    SimStoreOptions options;
    options.latency_min = kLatency;
    options.latency_max = kLatency;
    return options;
  }

  std::unique_ptr<Node> Make(
      const std::string& name, Profile profile = Profile(),
      const std::function<void(MembershipOptions&)>& change = nullptr) {
    auto node = std::make_unique<Node>();
    node->name = name;
    node->lane = &world_.AddLane(name);
    node->store = std::make_unique<DeafStore>(service_.NewClient(*node->lane),
                                              &node->deaf);
    node->strand = std::make_unique<Strand>(node->lane);
    MembershipOptions options = base_;
    options.cluster = "c";
    options.node = name;
    options.address = absl::StrCat(name, ":1");
    options.profile = profile;
    if (change) change(options);
    MembershipListener listener;
    Node* const raw = node.get();
    listener.on_change = [raw] { ++raw->changes; };
    listener.on_death = [raw](const std::string& other, Epoch epoch) {
      raw->deaths.emplace_back(other, epoch);
    };
    listener.on_reaped = [raw] { ++raw->reaped; };
    listener.on_generation = [raw](uint64_t generation) {
      raw->generations.push_back(generation);
    };
    node->membership = std::make_unique<Membership>(
        std::move(options), node->store.get(), node->strand.get(),
        &node->lane->clock(), &world_.random(), &node->log,
        std::move(listener));
    return node;
  }
  void StartJoin(Node& node) {
    node.strand->Post([&node] {
      node.membership->Join([&node](absl::StatusOr<Joined> joined) {
        node.joined.emplace(std::move(joined));
      });
    });
  }
  std::unique_ptr<Node> Join(const std::string& name) {
    auto node = Make(name);
    StartJoin(*node);
    world_.RunUntil([&] { return node->joined.has_value(); },
                    absl::Seconds(30));
    EXPECT_TRUE(node->joined.has_value() && node->joined->ok());
    return node;
  }
  // Its OS process dies.
  void Kill(std::unique_ptr<Node> node) {
    world_.KillLane(*node->lane);
    node.reset();
  }

  const KeyValue* Find(const std::string& key) {
    found_ = service_.state().List(key);
    for (const KeyValue& item : found_.items) {
      if (item.key == key) return &item;
    }
    return nullptr;
  }
  bool IsThere(const std::string& node) {
    return Find(keys_.Node(node)) != nullptr;
  }
  // Kinds of the journal, in the order of their revisions.
  std::vector<store::v1::EventRecord> Journal() {
    std::map<int64_t, store::v1::EventRecord> events;
    for (const KeyValue& item :
         service_.state().List(keys_.EventPrefix()).items) {
      EXPECT_TRUE(events[item.create_revision].ParseFromString(item.value));
    }
    std::vector<store::v1::EventRecord> sorted;
    for (auto& [revision, event] : events) sorted.push_back(std::move(event));
    return sorted;
  }
  std::string Kinds() {
    std::string kinds;
    for (const store::v1::EventRecord& event : Journal()) {
      absl::StrAppend(&kinds, event.kind(), "(", event.node(), ") ");
    }
    return kinds;
  }
  // True: it was committed.
  bool Commit(Txn txn) {
    auto client = service_.NewClient(world_.AddLane("operator"));
    std::optional<bool> succeeded;
    client->Commit(std::move(txn), absl::Seconds(1),
                   [&](absl::StatusOr<TxnResult> r) {
                     succeeded = r.ok() && r->succeeded;
                   });
    world_.RunUntil([&] { return succeeded.has_value(); }, absl::Seconds(1));
    return succeeded.value_or(false);
  }
  bool Bury(const std::string& node, Epoch epoch) {
    return Commit(BuryReap(keys_, node, static_cast<int64_t>(epoch.revision),
                           "a test", "operator",
                           StoreOp::Put(keys_.Event("x"), "")));
  }
  bool Raise(uint64_t generation) {
    const KeyValue record = *Find(keys_.Meta());
    store::v1::Meta meta;
    EXPECT_TRUE(meta.ParseFromString(record.value));
    meta.set_generation(generation);
    return Commit(RaiseGeneration(keys_, record, std::move(meta),
                                  StoreOp::Put(keys_.Event("x"), "")));
  }
  // At this very moment.
  void Raised(uint64_t generation) {
    const KeyValue record = *Find(keys_.Meta());
    store::v1::Meta meta;
    ASSERT_TRUE(meta.ParseFromString(record.value));
    meta.set_generation(generation);
    ASSERT_TRUE(service_
                    .Apply(RaiseGeneration(keys_, record, std::move(meta),
                                           StoreOp::Put(keys_.Event("x"), "")))
                    .succeeded);
  }
  void Write(std::vector<StoreOp> ops) {
    Scheduler& lane = world_.AddLane("operator");
    auto client = service_.NewClient(lane);
    bool done = false;
    Txn txn;
    txn.then = std::move(ops);
    client->Commit(std::move(txn), absl::Seconds(1),
                   [&](absl::StatusOr<TxnResult> r) { done = r.ok(); });
    world_.RunUntil([&] { return done; }, absl::Seconds(1));
    ASSERT_TRUE(done);
  }

  const Keys keys_{"c"};
  // What the nodes that are made next begin with.
  MembershipOptions base_;
  SimWorld world_{1};
  SimStoreService service_;
  RangeResult found_;
};

TEST_F(MembershipTest, JoiningWritesTheRecordThatIsTheEpoch) {
  auto a = Join("a");
  const Joined& joined = **a->joined;
  const KeyValue* const record = Find(keys_.Node("a"));
  ASSERT_NE(record, nullptr);
  EXPECT_EQ(joined.epoch,
            (Epoch{1, static_cast<uint64_t>(record->create_revision)}));
  EXPECT_EQ(joined.cluster_id.size(), 32u);
  EXPECT_TRUE(a->membership->fence().Check(a->Now()));
  EXPECT_EQ(a->membership->Find("a")->address, "a:1");
  EXPECT_EQ(a->membership->Find("a")->epoch, joined.epoch);
  EXPECT_TRUE(a->membership->IsCurrent("a", record->create_revision));
  EXPECT_FALSE(a->membership->IsCurrent("a", record->create_revision + 1));
}

TEST_F(MembershipTest, WhoJoinsLaterTakesTheClustersProfileAndId) {
  auto a = Join("a");
  Profile other;
  other.heartbeat = absl::Milliseconds(100);
  auto b = Make("b", other);
  StartJoin(*b);
  world_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(b->joined.has_value() && b->joined->ok());
  EXPECT_EQ((*b->joined)->profile.heartbeat, absl::Milliseconds(500));
  EXPECT_EQ((*b->joined)->cluster_id, (*a->joined)->cluster_id);
  ASSERT_EQ(a->membership->Members().size(), 2u);
  EXPECT_EQ(a->membership->Members()[1].record.node(), "b");
  EXPECT_GT(a->changes, 0);
}

TEST_F(MembershipTest, ASecondNodeOfALivingIdIsRefused) {
  auto a = Join("a");
  auto same = Make("a");
  StartJoin(*same);
  world_.RunUntil([&] { return same->joined.has_value(); }, absl::Seconds(10));
  ASSERT_TRUE(same->joined.has_value());
  EXPECT_EQ(same->joined->status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(same->joined->status()), "NODE_EXISTS");
  EXPECT_EQ(DetailOf(same->joined->status(), "node"), "a");
  EXPECT_EQ(OutcomeOf(same->joined->status()), Outcome::kNotExecuted);
  EXPECT_TRUE(a->membership->fence().Check(a->Now()));
}

TEST_F(MembershipTest, ADeadIdIsReapedAfterItsSilenceAndJoined) {
  auto a = Join("a");
  const Epoch before = (*a->joined)->epoch;
  Kill(std::move(a));
  auto again = Make("a");
  StartJoin(*again);
  world_.RunFor(absl::Milliseconds(3700));
  EXPECT_FALSE(again->joined.has_value());
  world_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(again->joined.has_value() && again->joined->ok());
  EXPECT_GT((*again->joined)->epoch, before);
}

TEST_F(MembershipTest, ALastBeatOnItsWayDoesNotMakeADeadNodeLive) {
  auto a = Join("a");
  Kill(std::move(a));
  auto again = Make("a");
  StartJoin(*again);
  world_.RunFor(absl::Milliseconds(300));
  store::v1::HeartbeatRecord late;
  late.set_schema(1);
  Write({StoreOp::Put(keys_.Heartbeat("a"), late.SerializeAsString())});
  world_.RunUntil([&] { return again->joined.has_value(); }, absl::Seconds(6));
  ASSERT_TRUE(again->joined.has_value());
  EXPECT_TRUE(again->joined->ok()) << again->joined->status();
}

TEST_F(MembershipTest, AHeartbeatMovesTheFenceFromTheTimeBeforeSending) {
  auto a = Join("a");
  for (int i = 0; i < 3; ++i) {
    const BootTime before = a->membership->fence().deadline();
    ASSERT_TRUE(world_.RunUntil(
        [&] { return a->membership->fence().deadline() != before; },
        absl::Seconds(1)));
    EXPECT_EQ(a->membership->fence().deadline(),
              a->Now() - 2 * kLatency + absl::Seconds(3));
  }
}

TEST_F(MembershipTest, NoAnswerLeavesTheFenceAlone) {
  auto a = Join("a");
  const BootTime deadline = a->membership->fence().deadline();
  service_.Disconnect(a->store->client());
  world_.RunFor(deadline - a->Now() - absl::Milliseconds(251));
  EXPECT_EQ(a->membership->fence().deadline(), deadline);
  EXPECT_TRUE(a->membership->fence().Check(a->Now()));
  world_.RunFor(absl::Milliseconds(1));
  EXPECT_FALSE(a->membership->fence().Check(a->Now()));
  // Thaws with the first heartbeat that commits.
  service_.Reconnect(a->store->client());
  world_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(a->membership->fence().Check(a->Now()));
  EXPECT_EQ(a->reaped, 0);
}

TEST_F(MembershipTest, ALostAnswerOfAHeartbeatDoesNotMoveTheFence) {
  auto a = Join("a");
  const BootTime deadline = a->membership->fence().deadline();
  service_.LoseAnswers(a->store->client(), 2);
  world_.RunFor(absl::Milliseconds(1200));
  EXPECT_EQ(a->membership->fence().deadline(), deadline);
  world_.RunFor(absl::Milliseconds(800));
  EXPECT_GT(a->membership->fence().deadline(), deadline);
}

TEST_F(MembershipTest, ASilentNodeIsReapedAfterR) {
  auto a = Join("a");
  auto b = Join("b");
  world_.RunFor(absl::Seconds(2));
  const Epoch epoch = (*b->joined)->epoch;
  Kill(std::move(b));
  world_.RunFor(absl::Milliseconds(3200));
  EXPECT_TRUE(IsThere("b"));
  world_.RunFor(absl::Milliseconds(700));
  EXPECT_FALSE(IsThere("b"));
  world_.RunFor(absl::Milliseconds(100));
  ASSERT_EQ(a->deaths.size(), 1u);
  EXPECT_EQ(a->deaths[0].first, "b");
  EXPECT_EQ(a->deaths[0].second, epoch);
  EXPECT_FALSE(a->membership->Find("b").has_value());
}

TEST_F(MembershipTest, AHeartbeatThatSlippedInRefusesTheReap) {
  auto a = Join("a");
  auto b = Join("b");
  world_.RunFor(absl::Seconds(2));
  a->deaf = true;
  world_.RunFor(absl::Seconds(12));
  EXPECT_GE(a->log.Count(LogLevel::kWarning, "node 'b' was silent for 3.75s"),
            2u);
  EXPECT_TRUE(IsThere("b"));
  EXPECT_EQ(b->reaped, 0);
  EXPECT_TRUE(a->deaths.empty());
}

TEST_F(MembershipTest, ReaperTimersStartAnewAfterAGap) {
  auto a = Join("a");
  auto b = Join("b");
  world_.RunFor(absl::Seconds(2));
  Kill(std::move(b));
  world_.RunFor(absl::Seconds(1));
  service_.Disconnect(a->store->client(), SimCut::kRefused);
  world_.RunFor(absl::Seconds(2));
  service_.Reconnect(a->store->client());
  // 3 s after the death; R begins anew about now.
  world_.RunFor(absl::Milliseconds(3500));
  EXPECT_TRUE(IsThere("b"));
  // Only once the watch is there again, after a backoff of up to 2 s.
  world_.RunFor(absl::Milliseconds(2500));
  EXPECT_FALSE(IsThere("b"));
}

TEST_F(MembershipTest, APausedReaperTimesSilenceAnew) {
  auto a = Join("a");
  auto b = Join("b");
  world_.RunFor(absl::Seconds(2));
  world_.PauseLane(*a->lane);
  world_.PauseLane(*b->lane);
  world_.RunFor(absl::Seconds(20));
  world_.ResumeLane(*a->lane);
  world_.RunFor(absl::Seconds(3));
  EXPECT_TRUE(IsThere("b"));
  world_.RunFor(absl::Seconds(2));
  EXPECT_FALSE(IsThere("b"));
}

TEST_F(MembershipTest, IfTheThreeThatReapDieTogetherAnotherReaps) {
  std::vector<std::unique_ptr<Node>> nodes;
  for (const char* name : {"a", "b", "c", "d"}) nodes.push_back(Join(name));
  world_.RunFor(absl::Seconds(2));
  for (int i = 0; i < 3; ++i) Kill(std::move(nodes[static_cast<size_t>(i)]));
  // R of silence, another R as so many are silent and nobody else beats, and H
  // between two of them.
  world_.RunFor(absl::Seconds(7));
  EXPECT_TRUE(IsThere("a"));
  world_.RunFor(absl::Seconds(3));
  EXPECT_FALSE(IsThere("a"));
  EXPECT_FALSE(IsThere("b"));
  EXPECT_FALSE(IsThere("c"));
  EXPECT_TRUE(IsThere("d"));
}

TEST_F(MembershipTest, ThreeOfFiveThatFallSilentTogetherAreReapedAfterR) {
  std::vector<std::unique_ptr<Node>> nodes;
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    nodes.push_back(Join(name));
  }
  world_.RunFor(absl::Seconds(2));
  // All that would reap.
  for (int i = 0; i < 3; ++i) Kill(std::move(nodes[static_cast<size_t>(i)]));
  world_.RunFor(absl::Milliseconds(3200));
  EXPECT_TRUE(IsThere("a") && IsThere("b") && IsThere("c"));
  world_.RunFor(absl::Milliseconds(1300));
  EXPECT_FALSE(IsThere("a") || IsThere("b") || IsThere("c"));
  EXPECT_TRUE(IsThere("d") && IsThere("e"));
}

TEST_F(MembershipTest, IfAllThatWatchDieTogetherAnotherNoticesInTheEnd) {
  std::vector<std::unique_ptr<Node>> nodes;
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g"}) {
    nodes.push_back(Join(name));
  }
  world_.RunFor(absl::Seconds(2));
  for (int i = 0; i < 6; ++i) Kill(std::move(nodes[static_cast<size_t>(i)]));
  // Two looks, each after R, then R of silence, another R as so many are
  // silent, and H between two of them.
  world_.RunFor(absl::Seconds(20));
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) {
    EXPECT_FALSE(IsThere(name)) << name;
  }
  EXPECT_TRUE(IsThere("g"));
}

TEST_F(MembershipTest, AReapedNodeLearnsIt) {
  auto a = Join("a");
  Write({StoreOp::Delete(keys_.Node("a")),
         StoreOp::Delete(keys_.Heartbeat("a"))});
  world_.RunFor(absl::Milliseconds(600));
  EXPECT_EQ(a->reaped, 1);
  EXPECT_FALSE(a->membership->fence().Check(a->Now()));
  world_.RunFor(absl::Seconds(5));
  EXPECT_EQ(a->reaped, 1);
  EXPECT_FALSE(IsThere("a"));
}

TEST_F(MembershipTest, ADoubtedNodeFreezesUntilTheStoreSaysThatItLives) {
  auto a = Join("a");
  a->strand->Post([&] { a->membership->Doubted(); });
  world_.RunReady();
  EXPECT_FALSE(a->membership->fence().Check(a->Now()));
  world_.RunFor(absl::Milliseconds(11));
  EXPECT_TRUE(a->membership->fence().Check(a->Now()));
  // One heartbeat goes on, not two.
  const auto sequence = [&] {
    store::v1::HeartbeatRecord beat;
    EXPECT_TRUE(beat.ParseFromString(Find(keys_.Heartbeat("a"))->value));
    return beat.sequence();
  };
  const uint64_t before = sequence();
  world_.RunFor(absl::Seconds(5));
  EXPECT_LE(sequence(), before + 11);
  EXPECT_GE(sequence(), before + 9);
}

// Each closes the fence again; but the answer to a beat that was sent after the
// first is waited for.
TEST_F(MembershipTest, DoubtsThatComeFasterThanAnswersDoNotKeepItFrozen) {
  auto a = Join("a");
  int open = 0;
  for (int i = 0; i < 200; ++i) {
    a->strand->Post([&] { a->membership->Doubted(); });
    world_.RunFor(kLatency / 2);
    open += a->membership->fence().Check(a->Now());
  }
  EXPECT_GE(open, 5);
  EXPECT_EQ(a->reaped, 0);
  // What the last doubt knew is asked, too.
  ASSERT_TRUE(Bury("a", (*a->joined)->epoch));
  a->strand->Post([&] { a->membership->Doubted(); });
  world_.RunFor(absl::Milliseconds(150));
  EXPECT_EQ(a->reaped, 1);
}

// At each moment of a join; in steps of half of the store's latency.
TEST_F(MembershipTest, WhoLeavesWhileItJoinsLeavesNoRecord) {
  bool was_there = false;
  for (int steps = 0; steps < 12; ++steps) {
    auto a = Make("a");
    StartJoin(*a);
    world_.RunFor(steps * kLatency / 2);
    was_there = was_there || (IsThere("a") && !a->joined.has_value());
    const bool joined = a->joined.has_value();
    bool left = false;
    a->strand->Post([&] { a->membership->Leave([&] { left = true; }); });
    ASSERT_TRUE(world_.RunUntil([&] { return left; }, absl::Seconds(1)));
    world_.RunFor(absl::Seconds(1));
    EXPECT_FALSE(IsThere("a")) << steps;
    EXPECT_EQ(a->joined.has_value(), joined) << steps;
    EXPECT_FALSE(a->membership->fence().Check(a->Now()));
  }
  EXPECT_TRUE(was_there);
}

TEST_F(MembershipTest, LeavingFreesTheIdAtOnce) {
  auto a = Join("a");
  auto b = Join("b");
  bool left = false;
  b->strand->Post([&] { b->membership->Leave([&] { left = true; }); });
  ASSERT_TRUE(world_.RunUntil([&] { return left; }, absl::Seconds(1)));
  EXPECT_FALSE(IsThere("b"));
  EXPECT_FALSE(b->membership->fence().Check(b->Now()));
  auto again = Make("b");
  StartJoin(*again);
  world_.RunFor(absl::Milliseconds(100));
  ASSERT_TRUE(again->joined.has_value());
  EXPECT_TRUE(again->joined->ok());
  EXPECT_EQ(b->reaped, 0);
}

TEST_F(MembershipTest, AnUnreachableStoreIsUnavailable) {
  service_.DisconnectAll(SimCut::kRefused);
  auto a = Make("a");
  StartJoin(*a);
  world_.RunFor(absl::Seconds(9));
  EXPECT_FALSE(a->joined.has_value());
  world_.RunFor(absl::Seconds(2));
  ASSERT_TRUE(a->joined.has_value());
  EXPECT_EQ(a->joined->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(a->joined->status()), "STORE_UNREACHABLE");
}

TEST_F(MembershipTest, ALostAnswerOfTheJoinIsFoundByItsIncarnation) {
  auto a = Make("a");
  service_.LoseAnswers(a->store->client(), 1);
  StartJoin(*a);
  // The meta record's answer is lost; then the node record's.
  world_.RunFor(absl::Milliseconds(1000));
  service_.LoseAnswers(a->store->client(), 1);
  world_.RunFor(absl::Seconds(4));
  ASSERT_TRUE(a->joined.has_value());
  EXPECT_TRUE(a->joined->ok()) << a->joined->status();
}

TEST_F(MembershipTest, AJoinFoundByReadingOpensTheFenceOnlyWithABeat) {
  auto a = Make("a");
  StartJoin(*a);
  world_.RunUntil([&] { return Find(keys_.Meta()) != nullptr; },
                  absl::Seconds(1));
  service_.LoseAnswers(a->store->client(), 1);
  // Its record is found, and then no heartbeat gets through.
  world_.RunUntil([&] { return IsThere("a"); }, absl::Seconds(1));
  world_.RunUntil([&] { return a->membership->own_revision() != 0; },
                  absl::Seconds(5));
  EXPECT_FALSE(a->membership->fence().Check(a->Now()));
  world_.RunFor(absl::Milliseconds(50));
  EXPECT_TRUE(a->membership->fence().Check(a->Now()));
}

// -- Proofs of death, graves, generations ------------------------------------

TEST_F(MembershipTest, AProofOfDeathSparesTheWait) {
  auto a = Join("a");
  const Epoch before = (*a->joined)->epoch;
  store::v1::NodeRecord record;
  ASSERT_TRUE(record.ParseFromString(Find(keys_.Node("a"))->value));
  Kill(std::move(a));
  std::vector<std::pair<std::string, Epoch>> asked;
  auto again = Make("a", Profile(), [&](MembershipOptions& options) {
    options.proof_of_death = [&](const store::v1::NodeRecord& r, Epoch epoch) {
      asked.emplace_back(r.incarnation(), epoch);
      return std::optional<std::string>("holds the lock");
    };
  });
  StartJoin(*again);
  world_.RunFor(absl::Milliseconds(100));
  ASSERT_TRUE(again->joined.has_value() && again->joined->ok());
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].first, record.incarnation());
  EXPECT_EQ(asked[0].second, before);
  EXPECT_EQ(Kinds(), "node.joined(a) node.attested(a) node.joined(a) ");
  EXPECT_EQ(Journal()[1].evidence().at("proof"), "holds the lock");
}

TEST_F(MembershipTest, WithoutAProofTheSilenceIsWaitedFor) {
  auto a = Join("a");
  auto same = Make("a", Profile(), [&](MembershipOptions& options) {
    options.proof_of_death = [](const store::v1::NodeRecord&, Epoch) {
      return std::optional<std::string>();
    };
  });
  StartJoin(*same);
  world_.RunUntil([&] { return same->joined.has_value(); }, absl::Seconds(10));
  ASSERT_TRUE(same->joined.has_value());
  EXPECT_EQ(ReasonOf(same->joined->status()), "NODE_EXISTS");
}

TEST_F(MembershipTest, TheJournalSaysWhoJoinedLeftAndWasReaped) {
  auto a = Join("a");
  auto b = Join("b");
  auto c = Join("c");
  const Epoch of_c = (*c->joined)->epoch;
  bool left = false;
  b->strand->Post([&] { b->membership->Leave([&] { left = true; }); });
  world_.RunUntil([&] { return left; }, absl::Seconds(1));
  world_.RunFor(absl::Seconds(1));
  Kill(std::move(c));
  world_.RunFor(absl::Seconds(5));
  EXPECT_EQ(Kinds(),
            "node.joined(a) node.joined(b) node.joined(c) node.left(b) "
            "node.reaped(c) ");
  const store::v1::EventRecord reaped = Journal().back();
  EXPECT_EQ(reaped.reporter(), "a");
  EXPECT_EQ(Epoch::FromProto(reaped.old_epoch()), of_c);
  int silence = 0;
  ASSERT_TRUE(absl::SimpleAtoi(reaped.evidence().at("silence_ms"), &silence));
  EXPECT_GE(silence, 3750);
  EXPECT_LE(silence, 3900);
}

TEST_F(MembershipTest, ADeathWithAGraveIsToldOnceItCanActNoMore) {
  auto a = Join("a");
  auto b = Join("b");
  const Epoch epoch = (*b->joined)->epoch;
  service_.Disconnect(b->store->client());
  const int64_t revision = static_cast<int64_t>(epoch.revision);
  EXPECT_EQ(a->membership->MayClaimFrom("b", revision).grave_revision, 0);
  ASSERT_TRUE(Bury("b", epoch));
  const BootTime buried = a->Now();
  world_.RunFor(absl::Milliseconds(100));
  // It is no member, but what it owns is not free.
  EXPECT_FALSE(a->membership->Find("b").has_value());
  EXPECT_TRUE(a->membership->IsCurrent("b", revision));
  EXPECT_TRUE(a->deaths.empty());
  const ClaimGate gate = a->membership->MayClaimFrom("b", revision);
  EXPECT_EQ(gate.grave_revision, Find(keys_.Grave("b"))->mod_revision);
  EXPECT_GE(gate.not_before, buried + absl::Milliseconds(3750));
  EXPECT_LE(gate.not_before, buried + absl::Milliseconds(3800));
  world_.RunFor(gate.not_before - a->Now() - absl::Milliseconds(1));
  EXPECT_TRUE(a->deaths.empty());
  EXPECT_FALSE(b->membership->fence().Check(b->Now()));
  world_.RunFor(absl::Milliseconds(2));
  ASSERT_EQ(a->deaths.size(), 1u);
  EXPECT_EQ(a->deaths[0], std::make_pair(std::string("b"), epoch));
  EXPECT_FALSE(a->membership->IsCurrent("b", revision));
  // The grave goes once it has done its work.
  EXPECT_NE(Find(keys_.Grave("b")), nullptr);
  world_.RunFor(absl::Seconds(4));
  EXPECT_EQ(Find(keys_.Grave("b")), nullptr);
  EXPECT_EQ(a->membership->MayClaimFrom("b", revision).grave_revision, 0);
}

TEST_F(MembershipTest, ANodeBuriedAliveLearnsItAtOnce) {
  auto a = Join("a");
  auto b = Join("b");
  ASSERT_TRUE(Bury("b", (*b->joined)->epoch));
  world_.RunFor(absl::Milliseconds(30));
  EXPECT_EQ(b->reaped, 1);
  EXPECT_FALSE(b->membership->fence().Check(b->Now()));
  auto again = Join("b");
  EXPECT_GT((*again->joined)->epoch, (*b->joined)->epoch);
}

TEST_F(MembershipTest, ANodeSaysOnceWhichGenerationItFound) {
  auto a = Join("a");
  EXPECT_EQ(a->generations, std::vector<uint64_t>{1});
  auto b = Make("b", Profile(),
                [](MembershipOptions& options) { options.min_generation = 1; });
  StartJoin(*b);
  world_.RunFor(absl::Milliseconds(100));
  ASSERT_TRUE(b->joined.has_value() && b->joined->ok());
  EXPECT_TRUE(b->generations.empty());
}

TEST_F(MembershipTest, ASmallerGenerationThanSeenIsRefused) {
  auto a = Join("a");
  auto b = Make("b", Profile(),
                [](MembershipOptions& options) { options.min_generation = 3; });
  StartJoin(*b);
  world_.RunFor(absl::Milliseconds(100));
  ASSERT_TRUE(b->joined.has_value());
  EXPECT_EQ(b->joined->status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(b->joined->status()), "OLD_GENERATION");
  EXPECT_EQ(DetailOf(b->joined->status(), "seen"), "3");
  EXPECT_TRUE(
      absl::StrContains(b->joined->status().message(), "--raise-generation c"));
  EXPECT_FALSE(IsThere("b"));
}

TEST_F(MembershipTest, ItIsRaisedAboveWhatWasSeenWhereThatIsWanted) {
  auto a = Join("a");
  auto b = Make("b", Profile(), [](MembershipOptions& options) {
    options.min_generation = 3;
    options.raise_generation = true;
  });
  StartJoin(*b);
  world_.RunFor(absl::Milliseconds(100));
  ASSERT_TRUE(b->joined.has_value() && b->joined->ok());
  EXPECT_EQ((*b->joined)->epoch.generation, 4u);
  EXPECT_EQ(b->generations, std::vector<uint64_t>{4});
  EXPECT_EQ(a->reaped, 1);
  EXPECT_EQ(Kinds(), "node.joined(a) cluster.generation() node.joined(b) ");
  // The store may have forgotten who owns what.
  EXPECT_GT(b->membership->MayClaimFrom("", 0).not_before,
            b->Now() + absl::Milliseconds(3600));
}

TEST_F(MembershipTest, ARaisedGenerationEndsAllEpochsAndStandsForTheirGraves) {
  auto a = Join("a");
  auto b = Join("b");
  const Epoch of_b = (*b->joined)->epoch;
  ASSERT_TRUE(Raise(2));
  world_.RunFor(absl::Milliseconds(30));
  EXPECT_EQ(a->reaped, 1);
  EXPECT_EQ(b->reaped, 1);
  auto again = Make("a", Profile(), [](MembershipOptions& options) {
    options.min_generation = 1;
  });
  StartJoin(*again);
  const BootTime joining = again->Now();
  world_.RunFor(absl::Milliseconds(100));
  ASSERT_TRUE(again->joined.has_value() && again->joined->ok());
  EXPECT_GT((*again->joined)->epoch, of_b);
  EXPECT_EQ((*again->joined)->epoch.generation, 2u);
  EXPECT_GE(
      again->membership->MayClaimFrom("b", static_cast<int64_t>(of_b.revision))
          .not_before,
      joining + absl::Milliseconds(3750));
}

// It is raised between the moments in which a node reads and joins.
TEST_F(MembershipTest, NobodyJoinsUnderAGenerationThatWasRaisedMeanwhile) {
  auto a = Join("a");
  auto b = Make("b");
  StartJoin(*b);
  // Its request to read has arrived, its answer is on its way.
  world_.RunFor(kLatency + absl::Milliseconds(1));
  ASSERT_FALSE(IsThere("b"));
  Raised(2);
  world_.RunFor(absl::Milliseconds(100));
  ASSERT_TRUE(b->joined.has_value() && b->joined->ok());
  EXPECT_EQ((*b->joined)->epoch.generation, 2u);
  EXPECT_EQ(b->generations, (std::vector<uint64_t>{1, 2}));
}

// The raise ends the epoch that the node waited for.
TEST_F(MembershipTest, WhoWaitsForAnotherReadsTheGenerationAgain) {
  Kill(Join("a"));
  auto again = Make("a");
  StartJoin(*again);
  world_.RunFor(absl::Seconds(1));
  ASSERT_FALSE(again->joined.has_value());
  Raised(2);
  world_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(again->joined.has_value() && again->joined->ok());
  EXPECT_EQ((*again->joined)->epoch.generation, 2u);
}

// -- Rejoining together -------------------------------------------------------

TEST_F(MembershipTest, ThoseWhoLostTheirEpochsTogetherRejoinOneByOne) {
  std::vector<std::unique_ptr<Node>> nodes;
  for (int i = 0; i < 12; ++i) nodes.push_back(Join(absl::StrCat("n", i)));
  Raised(2);
  ASSERT_TRUE(world_.RunUntil(
      [&] {
        for (const auto& node : nodes) {
          if (node->reaped == 0) return false;
        }
        return true;
      },
      absl::Seconds(2)));
  std::vector<std::unique_ptr<Node>> again;
  for (const auto& node : nodes) {
    const auto known = node->membership->Companions();
    EXPECT_EQ(known.size(), 12u) << node->name;
    again.push_back(
        Make(node->name, Profile(), [&known](MembershipOptions& options) {
          options.known_before = known;
          options.min_generation = 1;
        }));
    StartJoin(*again.back());
  }
  const auto count = [&] {
    int joined = 0;
    for (const auto& node : again) joined += node->joined.has_value();
    return joined;
  };
  // In no tenth of the spread come more than half of them.
  int before = 0;
  int parts = 0;
  for (int i = 0; i < 11; ++i) {
    world_.RunFor(absl::Milliseconds(200));
    EXPECT_LE(count() - before, 6);
    parts += count() > before;
    before = count();
  }
  EXPECT_EQ(before, 12);
  EXPECT_GE(parts, 4);
}

TEST_F(MembershipTest, ASingleNodeRejoinsAtOnce) {
  std::vector<std::unique_ptr<Node>> nodes;
  for (int i = 0; i < 3; ++i) nodes.push_back(Join(absl::StrCat("n", i)));
  ASSERT_TRUE(Bury("n1", (*nodes[1]->joined)->epoch));
  world_.RunFor(absl::Seconds(1));
  ASSERT_EQ(nodes[1]->reaped, 1);
  auto again = Make("n1", Profile(), [&](MembershipOptions& options) {
    options.known_before = nodes[1]->membership->Companions();
    EXPECT_EQ(options.known_before.size(), 3u);
  });
  StartJoin(*again);
  world_.RunFor(absl::Milliseconds(100));
  EXPECT_TRUE(again->joined.has_value() && again->joined->ok());
}

// -- What a node remembers of earlier runs ------------------------------------

TEST_F(MembershipTest, AnotherClustersIdIsNotServed) {
  auto first = Join("a");
  base_.cluster_id_seen = "0123";
  auto node = Make("b");
  StartJoin(*node);
  world_.RunUntil([&] { return node->joined.has_value(); }, absl::Seconds(5));
  EXPECT_EQ(ReasonOf(node->joined->status()), "OTHER_CLUSTER");
  base_.cluster_id_seen = first->joined->value().cluster_id;
  Join("c");
}

TEST_F(MembershipTest, WhatWasAskedLastOfDrainingStays) {
  auto a = Join("a");
  std::vector<std::string> done;
  const auto ask = [&](bool draining) {
    a->membership->SetDraining(draining, [&, draining](absl::Status status) {
      done.push_back(absl::StrCat(draining, " ", status.ToString()));
    });
  };
  a->strand->Post([&] {
    ask(true);
    ask(false);
    ask(false);
    ask(true);
    ask(false);
  });
  world_.RunUntil([&] { return done.size() == 5; }, absl::Seconds(5));
  EXPECT_EQ(done,
            (std::vector<std::string>{"1 OK", "0 OK", "0 OK", "1 OK", "0 OK"}));
  store::v1::NodeRecord record;
  ASSERT_TRUE(record.ParseFromString(Find(keys_.Node("a"))->value));
  EXPECT_FALSE(record.draining());
  EXPECT_FALSE(a->membership->draining());
  std::string kinds;
  for (const store::v1::EventRecord& event : Journal()) {
    if (absl::EndsWith(event.kind(), "drained") ||
        absl::EndsWith(event.kind(), "draining")) {
      absl::StrAppend(&kinds, event.kind(), " ");
    }
  }
  EXPECT_EQ(kinds,
            "node.draining node.undrained node.draining node.undrained ");
}

TEST_F(MembershipTest, ADrainThatTheStoreDidNotAnswerIsUndone) {
  auto a = Join("a");
  service_.Disconnect(a->store->client());
  std::vector<absl::Status> done;
  const auto ask = [&](bool draining) {
    a->strand->Post([&, draining] {
      a->membership->SetDraining(
          draining, [&](absl::Status status) { done.push_back(status); });
    });
  };
  ask(true);
  world_.RunUntil([&] { return a->membership->draining(); }, absl::Seconds(1));
  EXPECT_TRUE(a->membership->draining());
  world_.RunUntil([&] { return !done.empty(); }, absl::Seconds(3));
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(OutcomeOf(done[0]), Outcome::kUnknown) << done[0];
  EXPECT_FALSE(a->membership->draining());
}

TEST_F(MembershipTest, ADrainThatArrivesLateDoesNotUndoAnUndrain) {
  auto a = Join("a");
  std::optional<absl::Status> done;
  const auto ask = [&](bool draining) {
    done.reset();
    a->strand->Post([&, draining] {
      a->membership->SetDraining(
          draining, [&](absl::Status status) { done = std::move(status); });
    });
    world_.RunUntil([&] { return done.has_value(); }, absl::Seconds(5));
    return done.value_or(absl::InternalError("no answer"));
  };
  // Until one is on its way for longer than anybody waits.
  service_.DelayRequests(a->store->client(), absl::Seconds(4));
  absl::Status drained;
  for (int i = 0; i < 20 && drained.ok(); ++i) {
    drained = ask(true);
    if (drained.ok()) drained = ask(false);
  }
  EXPECT_EQ(OutcomeOf(drained), Outcome::kUnknown) << drained;
  service_.DelayRequests(a->store->client(), absl::ZeroDuration());
  const absl::Status undrained = ask(false);
  EXPECT_TRUE(undrained.ok()) << undrained;
  world_.RunFor(absl::Seconds(5));
  store::v1::NodeRecord record;
  ASSERT_TRUE(record.ParseFromString(Find(keys_.Node("a"))->value));
  EXPECT_FALSE(record.draining());
  EXPECT_FALSE(a->membership->draining());
}

TEST_F(MembershipTest, AfterADrainWhoseAnswerWasLostAnUndrainIsWritten) {
  auto a = Join("a");
  service_.LoseAnswers(a->store->client(), 1);
  std::vector<absl::Status> done;
  for (const bool draining : {true, false}) {
    a->strand->Post([&, draining] {
      a->membership->SetDraining(
          draining, [&](absl::Status status) { done.push_back(status); });
    });
  }
  world_.RunUntil([&] { return done.size() == 2; }, absl::Seconds(5));
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(OutcomeOf(done[0]), Outcome::kUnknown) << done[0];
  EXPECT_TRUE(done[1].ok()) << done[1];
  store::v1::NodeRecord record;
  ASSERT_TRUE(record.ParseFromString(Find(keys_.Node("a"))->value));
  EXPECT_FALSE(record.draining());
}

}  // namespace
}  // namespace muster
