// A cluster of five nodes under kills, cuts, pauses and a store that comes and
// goes, with calls under way: 200 seeds, each twice with the same trace.
//
// Phase 1: faults, and what must never happen does not (G1, G2, G3, G5, G6,
// G7). Phase 2: all is healed, and in bounded time every acknowledged child
// runs, once, with the options that were acknowledged (G11).
//
//   bazel run //tests/sim:cluster_sim_test -- --seed=17 [--log]
//
// runs one seed again, with everything the nodes log.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "examples/counter/counter.muster.server.h"
#include "examples/counter/counter.pb.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/gen_server/server_type.h"
#include "node/types/status.h"
#include "tests/sim/cluster_history.h"
#include "tests/testkit/sim_cluster.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

using counter::v1::CounterOptions;
using counter::v1::CounterValue;
using counter::v1::DecrementRequest;
using counter::v1::GetValueRequest;
using counter::v1::IncrementRequest;
using counter::v1::ResetRequest;

constexpr int kNodes = 5;
constexpr int kNodesUpMin = 3;
constexpr int kSupervisors = 3;
constexpr int kSeeds = 200;
constexpr int kSeedsPerTest = 5;
constexpr absl::Duration kFaults = absl::Seconds(25);
constexpr absl::Duration kConvergence = absl::Seconds(60);
constexpr absl::string_view kIncrement = "/counter.v1.Counter/Increment";
constexpr absl::string_view kDecrement = "/counter.v1.Counter/Decrement";
constexpr absl::string_view kGetValue = "/counter.v1.Counter/GetValue";

struct Flags {
  std::optional<uint64_t> seed;
  bool log = false;
};

Flags& TheFlags() {
  static Flags flags;
  return flags;
}

// What a bug is planted into.
enum class Planted {
  kNone,
  // Nodes are reaped after F/2 (guarantees section 11, R5).
  kReapTooSoon,
  // A heartbeat counts as committed whatever the store says (R2).
  kHeartbeatsOptimistic,
};

// A store whose heartbeats all seem to be committed.
class OptimisticStore final : public Store {
 public:
  OptimisticStore(const Keys& keys, std::unique_ptr<Store> store)
      : keys_(keys), store_(std::move(store)) {}

  void Commit(Txn txn, absl::Duration timeout, Done<TxnResult> done) override {
    const std::string key = txn.then.empty() ? "" : txn.then[0].key;
    if (absl::StartsWith(key, keys_.HeartbeatPrefix()) &&
        txn.then[0].kind == StoreOp::Kind::kPut) {
      done = [done = std::move(done)](absl::StatusOr<TxnResult>) mutable {
        TxnResult fine;
        fine.succeeded = true;
        // Above all that there are: revisions never go back.
        fine.revision = INT64_MAX;
        done(std::move(fine));
      };
    }
    store_->Commit(std::move(txn), timeout, std::move(done));
  }
  void List(std::string prefix, absl::Duration timeout,
            Done<RangeResult> done) override {
    store_->List(std::move(prefix), timeout, std::move(done));
  }
  std::unique_ptr<Watch> Follow(std::string prefix, int64_t from_revision,
                                WatchHandler handler) override {
    return store_->Follow(std::move(prefix), from_revision, std::move(handler));
  }
  void Compact(int64_t revision, absl::Duration timeout,
               absl::AnyInvocable<void(absl::Status)> done) override {
    store_->Compact(revision, timeout, std::move(done));
  }
  bool embedded() const override { return store_->embedded(); }
  std::string ToString() const override { return store_->ToString(); }

 private:
  const Keys keys_;
  const std::unique_ptr<Store> store_;
};

// What the servers of one simulation share with its checkers.
struct Probe {
  SimCluster* cluster = nullptr;
  ClusterHistory* history = nullptr;

  BootTime Now() { return cluster->world().clock().Boot(); }
  void Follow() { history->Follow(cluster->store().state()); }
};

// Increment(by: id) answers -id, for some ids after a while; Decrement throws;
// GetValue answers what the server was started with.
class ProbedCounter final : public counter::v1::CounterServer {
 public:
  explicit ProbedCounter(std::shared_ptr<Probe> probe)
      : probe_(std::move(probe)) {}

  InitResult Init(const CounterOptions& options, Context&) override {
    options_ = options.initial_value();
    return Ok();
  }

  Reply<CounterValue> Increment(const IncrementRequest& request,
                                Context& self) override {
    const int64_t id = request.by();
    const size_t run = Begin(id, self);
    if (id % 5 == 0) {
      static_cast<void>(
          co_await self.Sleep(absl::Milliseconds((id * 37) % 1500)));
      if (const auto token = self.fencing_token(); token.ok()) {
        probe_->Follow();
        probe_->history->Passed(self.name(), *token);
      }
    }
    probe_->history->Ended(run, probe_->Now());
    CounterValue value;
    value.set_value(-id);
    co_return value;
  }
  Reply<CounterValue> Decrement(const DecrementRequest& request,
                                Context& self) override {
    Begin(request.by(), self);
    throw std::runtime_error("asked to");
  }
  Reply<CounterValue> GetValue(const GetValueRequest&, Context&) override {
    CounterValue value;
    value.set_value(options_);
    return value;
  }
  Next Reset(const ResetRequest&, Context&) override { return NoReply(); }

 private:
  size_t Begin(int64_t id, Context& self) {
    probe_->Follow();
    const auto token = self.fencing_token();
    if (!token.ok()) {
      probe_->history->Violate(
          absl::StrCat("G3 fence before takeover: '", self.name(),
                       "' was dispatched behind its fence"));
    }
    return probe_->history->Began(self.name(), token.value_or(Epoch()), id,
                                  probe_->Now());
  }

  const std::shared_ptr<Probe> probe_;
  int64_t options_ = 0;
};

// A tree that was sent to be applied.
struct Tree {
  // Child -> its initial_value.
  std::map<std::string, int64_t> children;
  bool acknowledged = false;
};

struct RunResult {
  std::vector<std::string> violations;
  uint64_t trace_hash = 0;
  uint64_t steps = 0;
  std::map<std::string, int> probes;
};

// One run of one seed.
class Simulation {
 public:
  // `trace`: where its lines go; may be null.
  Simulation(uint64_t seed, Planted planted, std::vector<std::string>* trace)
      : trace_(trace),
        dice_(seed ^ 0x9e3779b97f4a7c15),
        probe_(std::make_shared<Probe>()),
        cluster_(seed, kNodes, Options(planted)),
        history_(cluster_.keys()) {
    probe_->cluster = &cluster_;
    probe_->history = &history_;
    trees_.resize(kSupervisors);
  }

  RunResult Run() {
    cluster_.StartAll();
    for (int i = 0; i < kSupervisors; ++i) Apply(i);
    RunFor(absl::Seconds(8));
    const BootTime end = Now() + kFaults;
    BootTime next_fault = Now();
    BootTime next_apply = Now() + absl::Seconds(3);
    while (Now() < end) {
      if (Now() >= next_fault) {
        Fault();
        next_fault = Now() + absl::Milliseconds(200 + Below(1800));
      }
      if (Now() >= next_apply) {
        Apply(static_cast<int>(Below(kSupervisors)));
        next_apply = Now() + absl::Milliseconds(2000 + Below(6000));
      }
      RunRepairs();
      StartDead();
      Call();
      Look();
      RunFor(absl::Milliseconds(20 + Below(100)));
    }
    Heal();
    Converge();
    RunFor(absl::Seconds(8));  // Calls that are under way end.
    // Sessions through nodes that were reaped ended with those.
    for (int i = 0; i < kNodes; ++i) {
      for (int n = 1; n < cluster_.Incarnation(i); ++n) {
        history_.Abandon(absl::StrCat(SimCluster::NodeName(i), ".", n));
      }
    }
    history_.Check();

    RunResult outcome;
    outcome.violations = history_.violations();
    outcome.trace_hash = cluster_.world().trace_hash();
    outcome.steps = cluster_.world().steps();
    outcome.probes = probes_;
    for (const auto& [what, count] : history_.Outcomes()) {
      outcome.probes["call " + what] += count;
    }
    for (int i = 0; i < kNodes; ++i)
      outcome.probes["reaps"] += cluster_.Reaps(i);
    outcome.probes["adopted"] +=
        static_cast<int>(cluster_.CountLog("adopted '"));
    return outcome;
  }

 private:
  SimClusterOptions Options(Planted planted) {
    SimClusterOptions options;
    options.types = {ServerType<ProbedCounter>(
        "counter", [probe = probe_]() -> std::unique_ptr<GenServer> {
          return std::make_unique<ProbedCounter>(probe);
        })};
    options.log_to_stderr = TheFlags().log;
    if (trace_ != nullptr) {
      options.world.on_trace = [trace = trace_](absl::string_view line) {
        trace->emplace_back(line);
      };
    }
    if (planted == Planted::kReapTooSoon) {
      options.reap_for_test = options.profile.fence / 2;
    } else if (planted == Planted::kHeartbeatsOptimistic) {
      options.wrap_store = [](int, std::unique_ptr<Store> store) {
        return std::make_unique<OptimisticStore>(Keys("sim"), std::move(store));
      };
    }
    return options;
  }

  BootTime Now() { return cluster_.world().clock().Boot(); }
  uint64_t Below(uint64_t bound) { return dice_.Below(bound); }
  bool Chance(int percent) {
    return Below(100) < static_cast<uint64_t>(percent);
  }
  void Follow() { history_.Follow(cluster_.store().state()); }
  void RunFor(absl::Duration span) {
    cluster_.RunUntil(
        [this] {
          Follow();
          return false;
        },
        span);
  }
  std::string Session(int node) {
    return absl::StrCat(SimCluster::NodeName(node), ".",
                        cluster_.Incarnation(node));
  }
  std::vector<int> Nodes(bool joined) {
    std::vector<int> nodes;
    for (int i = 0; i < kNodes; ++i) {
      if (joined ? cluster_.IsJoined(i) && !cluster_.IsPaused(i)
                 : cluster_.IsUp(i)) {
        nodes.push_back(i);
      }
    }
    return nodes;
  }
  // -1: there is none.
  int RandomNode(bool joined) {
    const std::vector<int> nodes = Nodes(joined);
    return nodes.empty() ? -1 : nodes[Below(nodes.size())];
  }
  void Trace(absl::string_view what) {
    cluster_.world().Trace(what);
    if (TheFlags().log) {
      std::fprintf(stderr, "%12.6f ** %s\n",
                   static_cast<double>(Now().nanoseconds()) * 1e-9,
                   std::string(what).c_str());
    }
  }

  // -- Workload ------------------------------------------------------------
  static std::string SupervisorId(int i) { return absl::StrCat("s", i); }
  static std::string ChildName(int supervisor, const std::string& child) {
    return absl::StrCat(SupervisorId(supervisor), "_", child);
  }

  // Sends another tree. After one whose fate is unknown there is none for this
  // supervisor any more: it might come through late.
  void Apply(int supervisor) {
    std::vector<Tree>& trees = trees_[static_cast<size_t>(supervisor)];
    if (!trees.empty() && !trees.back().acknowledged) return;
    const int via = RandomNode(/*joined=*/true);
    if (via < 0) return;
    Tree tree;
    for (const char* child : {"a", "b", "c", "d", "e"}) {
      if (trees.empty() ? *child == 'e' : Chance(15)) continue;
      tree.children[child] =
          !trees.empty() && trees.back().children.contains(child) && Chance(70)
              ? trees.back().children[child]
              : static_cast<int64_t>(1 + Below(1000));
    }
    cluster::v1::Manifest manifest;
    manifest.set_supervisor(SupervisorId(supervisor));
    manifest.set_intensity(10'000);
    for (const auto& [id, initial] : tree.children) {
      cluster::v1::ManifestChild& child = *manifest.add_children();
      child.set_id(id);
      child.set_name(ChildName(supervisor, id));
      child.set_type("counter");
      (*child.mutable_options()->mutable_fields())["initial_value"]
          .set_number_value(static_cast<double>(initial));
    }
    trees.push_back(std::move(tree));
    ++probes_["applies"];
    const size_t index = trees.size() - 1;
    cluster_.StartApply(
        via, std::move(manifest),
        [this, supervisor,
         index](const absl::StatusOr<admin::v1::ApplyResponse>& answer) {
          Trace(absl::StrCat("apply s", supervisor, " #", index, ": ",
                             DescribeStatus(answer.status())));
          if (!answer.ok()) return;
          ++probes_["applies acknowledged"];
          trees_[static_cast<size_t>(supervisor)][index].acknowledged = true;
        });
  }

  void Call() {
    const int via = RandomNode(/*joined=*/true);
    if (via < 0) return;
    const int64_t id = next_call_++;
    const std::string name =
        ChildName(static_cast<int>(Below(kSupervisors)),
                  std::string(1, static_cast<char>('a' + Below(5))));
    CallOptions options;
    options.timeout = absl::Milliseconds(Chance(50) ? 5000 : 200 + Below(1500));
    const size_t call = history_.Sent(id, name, Session(via));
    const auto done = [this, call](CallResult result) {
      Follow();
      int64_t reply = 0;
      if (result.status.ok()) {
        const auto value = result.reply.Take<CounterValue>();
        reply = value == nullptr ? 0 : value->value();
      }
      history_.Finished(call, result.status, result.epoch, reply);
    };
    if (Chance(3)) {
      DecrementRequest request;
      request.set_by(id);
      cluster_.StartCall(via, name, kDecrement, Payload::Of(request), options,
                         done);
    } else {
      IncrementRequest request;
      request.set_by(id);
      cluster_.StartCall(via, name, kIncrement, Payload::Of(request), options,
                         done);
    }
  }

  // Nobody's view of a name goes back.
  void Look() {
    for (const int node : Nodes(/*joined=*/true)) {
      for (const NameEntry& entry : cluster_.node(node).registry().List("")) {
        history_.Resolved(Session(node), entry.name, entry.epoch);
      }
    }
  }

  // -- Faults --------------------------------------------------------------
  void RepairLater(absl::Duration after, absl::AnyInvocable<void()> repair) {
    repairs_.emplace(Now() + after, std::move(repair));
  }
  void RunRepairs() {
    while (!repairs_.empty() && repairs_.begin()->first <= Now()) {
      auto repair = std::move(repairs_.begin()->second);
      repairs_.erase(repairs_.begin());
      repair();
    }
  }
  // A node whose start failed is started again, as a service manager does.
  void StartDead() {
    for (int i = 0; i < kNodes; ++i) {
      if (!cluster_.IsUp(i) || !cluster_.StartResult(i).has_value() ||
          cluster_.StartResult(i)->ok()) {
        continue;
      }
      ++probes_[absl::StrCat("start failed: ",
                             ReasonOf(*cluster_.StartResult(i)))];
      Kill(i);
      cluster_.StartNode(i);
    }
  }
  void Kill(int node) {
    history_.Abandon(Session(node));
    cluster_.KillNode(node);
  }

  void Fault() {
    const uint64_t kind = Below(100);
    if (kind < 40) {
      const std::vector<int> up = Nodes(/*joined=*/false);
      if (static_cast<int>(up.size()) <= kNodesUpMin) return;
      const int victim = up[Below(up.size())];
      Trace(absl::StrCat("kill n", victim));
      ++probes_["kills"];
      Kill(victim);
      const absl::Duration after =
          absl::Milliseconds(Chance(30) ? 0 : Below(8000));
      RepairLater(after, [this, victim] {
        if (!cluster_.IsUp(victim)) cluster_.StartNode(victim);
      });
    } else if (kind < 55) {
      const int a = static_cast<int>(Below(kNodes));
      const int b = (a + 1 + static_cast<int>(Below(kNodes - 1))) % kNodes;
      Trace(absl::StrCat("cut n", a, " n", b));
      ++probes_["cuts"];
      cluster_.network().Cut(SimCluster::Address(a), SimCluster::Address(b));
      RepairLater(absl::Milliseconds(100 + Below(6000)), [this, a, b] {
        cluster_.network().Heal(SimCluster::Address(a), SimCluster::Address(b));
      });
    } else if (kind < 60) {
      const int a = static_cast<int>(Below(kNodes));
      const int b = (a + 1 + static_cast<int>(Below(kNodes - 1))) % kNodes;
      ++probes_["resets"];
      cluster_.network().Reset(SimCluster::Address(a), SimCluster::Address(b));
    } else if (kind < 77) {
      const int node = RandomNode(/*joined=*/false);
      if (node < 0) return;
      const bool longer = Chance(40);
      const SimCut how = Chance(60) ? SimCut::kSilent : SimCut::kRefused;
      Trace(absl::StrCat("n", node, " loses the store, ",
                         longer ? "longer" : "shorter", " than F"));
      ++probes_[longer ? "store lost longer than F"
                       : "store lost shorter than F"];
      const int incarnation = cluster_.Incarnation(node);
      cluster_.store().Disconnect(cluster_.store_client(node), how);
      RepairLater(
          absl::Milliseconds(longer ? 3000 + Below(6000) : 100 + Below(2500)),
          [this, node, incarnation] {
            if (cluster_.IsUp(node) &&
                cluster_.Incarnation(node) == incarnation) {
              cluster_.store().Reconnect(cluster_.store_client(node));
            }
          });
    } else if (kind < 80) {
      Trace("everybody loses the store");
      ++probes_["store lost by all"];
      cluster_.store().DisconnectAll(Chance(50) ? SimCut::kSilent
                                                : SimCut::kRefused);
      RepairLater(absl::Milliseconds(100 + Below(6000)),
                  [this] { cluster_.store().ReconnectAll(); });
    } else if (kind < 90) {
      const int node = RandomNode(/*joined=*/false);
      if (node < 0) return;
      Trace(absl::StrCat("answers to n", node, " are lost"));
      ++probes_["answers lost"];
      cluster_.store().LoseAnswers(cluster_.store_client(node),
                                   static_cast<int>(1 + Below(3)));
    } else {
      const int node = RandomNode(/*joined=*/true);
      if (node < 0) return;
      Trace(absl::StrCat("pause n", node));
      ++probes_["pauses"];
      const int incarnation = cluster_.Incarnation(node);
      cluster_.PauseNode(node);
      RepairLater(absl::Milliseconds(100 + Below(6000)), [this, node,
                                                          incarnation] {
        if (cluster_.IsUp(node) && cluster_.Incarnation(node) == incarnation) {
          cluster_.ResumeNode(node);
        }
      });
    }
  }

  void Heal() {
    Trace("heal");
    cluster_.network().HealAll();
    cluster_.store().ReconnectAll();
    repairs_.clear();
    for (int i = 0; i < kNodes; ++i) {
      if (!cluster_.IsUp(i)) cluster_.StartNode(i);
      cluster_.store().LoseAnswers(cluster_.store_client(i), 0);
      cluster_.ResumeNode(i);
    }
  }

  // -- Phase 2 -------------------------------------------------------------
  // What must run: name -> the values it may have been started with. A tree of
  // unknown fate may hold or not.
  std::map<std::string, std::set<int64_t>> Wanted() {
    std::map<std::string, std::set<int64_t>> wanted;
    for (int i = 0; i < kSupervisors; ++i) {
      const std::vector<Tree>& trees = trees_[static_cast<size_t>(i)];
      size_t first = trees.size();
      for (size_t t = 0; t < trees.size(); ++t) {
        if (trees[t].acknowledged) first = t;
      }
      if (first == trees.size()) continue;
      for (const auto& [child, value] : trees[first].children) {
        std::set<int64_t> values = {value};
        bool always = true;
        for (size_t t = first + 1; t < trees.size(); ++t) {
          const auto at = trees[t].children.find(child);
          if (at == trees[t].children.end()) {
            always = false;
          } else {
            values.insert(at->second);
          }
        }
        if (always) wanted[ChildName(i, child)] = std::move(values);
      }
    }
    return wanted;
  }
  // What must not run.
  std::set<std::string> Unwanted() {
    std::set<std::string> unwanted;
    for (int i = 0; i < kSupervisors; ++i) {
      const std::vector<Tree>& trees = trees_[static_cast<size_t>(i)];
      if (trees.empty() || !trees.back().acknowledged) continue;
      for (const char* child : {"a", "b", "c", "d", "e"}) {
        if (!trees.back().children.contains(child)) {
          unwanted.insert(ChildName(i, child));
        }
      }
    }
    return unwanted;
  }

  // Empty, or what is not yet as it should be.
  std::string NotThere(const std::map<std::string, std::set<int64_t>>& wanted,
                       const std::set<std::string>& unwanted) {
    for (int i = 0; i < kNodes; ++i) {
      if (!cluster_.IsJoined(i)) {
        return absl::StrCat("n", i, " has not joined");
      }
    }
    for (const auto& [name, values] : wanted) {
      const auto owner = cluster_.OwnerOf(name);
      if (!owner.has_value()) return absl::StrCat("nobody owns '", name, "'");
      if (!owner->alive) return absl::StrCat("a dead node owns '", name, "'");
      int served = 0;
      for (int i = 0; i < kNodes; ++i) {
        const Pid pid = cluster_.node(i).runtime().WhereIsGlobal(name);
        if (pid.empty()) continue;
        ++served;
        if (SimCluster::NodeName(i) != owner->record.owner()) {
          return absl::StrCat("n", i, " serves '", name, "', which ",
                              owner->record.owner(), " owns");
        }
        if (pid.number != owner->record.process()) {
          return absl::StrCat("'", name, "' is served by another process");
        }
      }
      if (served != 1) {
        return absl::StrCat(served, " processes serve '", name, "'");
      }
    }
    for (const std::string& name : unwanted) {
      if (cluster_.LivingOwnerOf(name) >= 0) {
        return absl::StrCat("'", name, "' still has an owner");
      }
    }
    return "";
  }

  void Converge() {
    const auto wanted = Wanted();
    const auto unwanted = Unwanted();
    probes_["children wanted"] += static_cast<int>(wanted.size());
    const BootTime began = Now();
    std::string missing = "everything";
    while (Now() < began + kConvergence) {
      StartDead();
      RunFor(absl::Milliseconds(100));
      missing = NotThere(wanted, unwanted);
      if (missing.empty()) {
        // It stays so, and everybody reaches it.
        RunFor(absl::Seconds(5));
        missing = NotThere(wanted, unwanted);
        if (missing.empty()) break;
        ++probes_["converged for a moment"];
      }
    }
    if (!missing.empty()) {
      history_.Violate(
          absl::StrCat("G11 no acknowledged child lost, none doubled: ",
                       absl::FormatDuration(kConvergence),
                       " after the last fault ", missing));
      return;
    }
    probes_["converged within s"] +=
        static_cast<int>(absl::ToInt64Seconds(Now() - began));
    int via = 0;
    for (const auto& [name, values] : wanted) {
      via = (via + 1) % kNodes;
      const auto value =
          cluster_.Call<CounterValue>(via, name, kGetValue, GetValueRequest());
      if (!value.ok()) {
        history_.Violate(absl::StrCat(
            "G11 no acknowledged child lost, none doubled: '", name,
            "' does not answer n", via, ": ", DescribeStatus(value.status())));
      } else if (!values.contains(value->value())) {
        history_.Violate(
            absl::StrCat("G11 no acknowledged child lost, none doubled: '",
                         name, "' runs with the options ", value->value(),
                         ", applied were ", absl::StrJoin(values, ", ")));
      }
    }
  }

  std::vector<std::string>* const trace_;
  SimRandom dice_;
  const std::shared_ptr<Probe> probe_;
  SimCluster cluster_;
  ClusterHistory history_;
  std::vector<std::vector<Tree>> trees_;  // In the order sent.
  std::multimap<BootTime, absl::AnyInvocable<void()>> repairs_;
  int64_t next_call_ = 1;
  std::map<std::string, int> probes_;
};

RunResult RunSeed(uint64_t seed, Planted planted = Planted::kNone,
                  std::vector<std::string>* trace = nullptr) {
  return Simulation(seed, planted, trace).Run();
}

// Where two runs of a seed part, for whoever has to find out why.
std::string FirstDifference(uint64_t seed) {
  std::vector<std::string> once;
  std::vector<std::string> again;
  RunSeed(seed, Planted::kNone, &once);
  RunSeed(seed, Planted::kNone, &again);
  for (size_t i = 0; i < std::min(once.size(), again.size()); ++i) {
    if (once[i] != again[i]) {
      return absl::StrCat("line ", i, ":\n", once[i], again[i]);
    }
  }
  return "two more runs were alike";
}

class ClusterSimTest : public testing::TestWithParam<int> {};

TEST_P(ClusterSimTest, KeepsItsGuaranteesUnderFaultsAndConverges) {
  const uint64_t first =
      TheFlags().seed.value_or(static_cast<uint64_t>(GetParam()));
  const uint64_t count = TheFlags().seed.has_value() ? 1 : kSeedsPerTest;
  std::map<std::string, int> probes;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(absl::StrCat("--seed=", seed));
    const RunResult once = RunSeed(seed);
    EXPECT_TRUE(once.violations.empty())
        << absl::StrJoin(once.violations, "\n");
    for (const auto& [what, number] : once.probes) probes[what] += number;
    if (TheFlags().log) break;
    const RunResult again = RunSeed(seed);
    EXPECT_EQ(once.trace_hash, again.trace_hash)
        << "the same seed took another way; " << once.steps << " and "
        << again.steps << " steps; " << FirstDifference(seed);
    EXPECT_EQ(once.violations, again.violations);
  }
  std::printf("seeds %d to %d:", static_cast<int>(first),
              static_cast<int>(first + count - 1));
  for (const auto& [what, number] : probes) {
    std::printf(" %s=%d", what.c_str(), number);
  }
  std::printf("\n");
}

std::vector<int> FirstSeeds() {
  std::vector<int> seeds;
  for (int seed = 1; seed <= kSeeds; seed += kSeedsPerTest) {
    seeds.push_back(seed);
    if (TheFlags().seed.has_value()) break;
  }
  return seeds;
}

INSTANTIATE_TEST_SUITE_P(Seeds, ClusterSimTest, testing::ValuesIn(FirstSeeds()),
                         [](const testing::TestParamInfo<int>& info) {
                           return absl::StrCat("From", info.param);
                         });

// Whether the seeds show that two own a name (G1), or that one may before the
// other's fence has closed (G3); what else the bug breaks counts for nothing.
bool TwoOwnersSeen(Planted planted) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    for (const std::string& violation : RunSeed(seed, planted).violations) {
      if (!absl::StartsWith(violation, "G1 ") &&
          !absl::StartsWith(violation, "G3 ")) {
        continue;
      }
      std::printf("seed %d: %s\n", static_cast<int>(seed), violation.c_str());
      return true;
    }
  }
  return false;
}

TEST(PlantedBugTest, ReapingTooSoonIsCaught) {
  EXPECT_TRUE(TwoOwnersSeen(Planted::kReapTooSoon));
}

TEST(PlantedBugTest, HeartbeatsThatCountWithoutACommitAreCaught) {
  EXPECT_TRUE(TwoOwnersSeen(Planted::kHeartbeatsOptimistic));
}

}  // namespace

bool ParseFlags(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    uint64_t seed = 0;
    if (argument == "--log") {
      TheFlags().log = true;
    } else if (absl::StartsWith(argument, "--seed=") &&
               absl::SimpleAtoi(argument.substr(7), &seed)) {
      TheFlags().seed = seed;
    } else if (!absl::StartsWith(argument, "--gtest")) {
      std::fprintf(stderr, "usage: cluster_sim_test [--seed=N] [--log]\n");
      return false;
    }
  }
  return true;
}

}  // namespace muster

int main(int argc, char** argv) {
  if (!muster::ParseFlags(argc, argv)) return 2;
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
