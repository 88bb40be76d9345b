// Children of four nodes that move with their state under calls and faults:
// a state is never lost by a move, no call runs twice, and what was
// acknowledged is in the state as long as no owner has died (design D9, G1, G6,
// G7). Every third seed has no faults but slow and lost answers of the store:
// there no call may fail either.
//
//   bazel run //tests/sim:handoff_sim_test -- --seed=17 [--log]
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "cluster/supervisor/env.h"
#include "examples/counter/counter.muster.server.h"
#include "google/protobuf/wrappers.pb.h"
#include "gtest/gtest.h"
#include "muster/cluster/v1/cluster.pb.h"
#include "node/gen_server/server_type.h"
#include "node/types/status.h"
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
using google::protobuf::StringValue;

constexpr int kNodes = 4;
constexpr int kChildren = 4;
constexpr int kSeeds = 100;
constexpr int kSeedsPerTest = 5;
constexpr absl::Duration kFaults = absl::Seconds(20);
constexpr absl::string_view kChange =
    "/muster.cluster.v1.ClusterSupervisor/ChangeChild";
constexpr absl::string_view kDrain = "/muster.cluster.v1.Agent/SetDraining";
constexpr absl::string_view kIncrement = "/counter.v1.Counter/Increment";

struct Flags {
  std::optional<uint64_t> seed;
  bool log = false;
};

Flags& TheFlags() {
  static Flags flags;
  return flags;
}

// What all servers of one run have done. A lineage is a state from its first
// Init on, through all its moves.
struct Probe {
  SimCluster* cluster = nullptr;
  int64_t next_lineage = 1;
  // Lineage -> the calls that it has run, in order.
  std::map<int64_t, std::vector<int64_t>> runs;
  // Call -> how often it ran.
  std::map<int64_t, int> times;
  // Name -> where its state was last, and as which incarnation of that node.
  std::map<std::string, std::pair<std::string, Epoch>> last;
  std::map<std::string, Epoch> epochs;
  std::vector<std::string> violations;
  int restores = 0;
  int fresh = 0;

  void Violate(std::string what) { violations.push_back(std::move(what)); }
  bool Lives(const std::string& node, Epoch epoch) const {
    for (const KeyValue& item :
         cluster->store().state().List(cluster->keys().Node(node)).items) {
      if (item.key == cluster->keys().Node(node)) {
        return item.create_revision == static_cast<int64_t>(epoch.revision);
      }
    }
    return false;
  }
};

// Increment(by: id) notes id and answers its lineage.
class Ledger final : public counter::v1::CounterServer {
 public:
  explicit Ledger(std::shared_ptr<Probe> probe) : probe_(std::move(probe)) {}

  InitResult Init(const CounterOptions&, Context&) override { return Ok(); }
  Reply<CounterValue> Increment(const IncrementRequest& request,
                                Context& self) override {
    const int64_t id = request.by();
    Begin(self);
    const absl::StatusOr<Epoch> token = self.fencing_token();
    Epoch& newest = probe_->epochs[self.name()];
    if (!token.ok() || *token < newest) {
      probe_->Violate(absl::StrCat("G1 one owner: '", self.name(),
                                   "' ran call ", id, " under an old epoch"));
    } else {
      newest = *token;
    }
    if (++probe_->times[id] > 1) {
      probe_->Violate(absl::StrCat("G6 at most once: call ", id, " ran again"));
    }
    ids_.push_back(id);
    probe_->runs[lineage_].push_back(id);
    probe_->last[self.name()] = {self.node(), self.pid().epoch};
    if (id % 7 == 0) {
      static_cast<void>(
          co_await self.Sleep(absl::Milliseconds((id * 37) % 300)));
    }
    CounterValue value;
    value.set_value(lineage_);
    co_return value;
  }
  Reply<CounterValue> Decrement(const DecrementRequest&, Context&) override {
    return CounterValue();
  }
  Reply<CounterValue> GetValue(const GetValueRequest&, Context&) override {
    return CounterValue();
  }
  Next Reset(const ResetRequest&, Context&) override { return NoReply(); }
  absl::StatusOr<Payload> Snapshot(Context& self) override {
    Begin(self);
    StringValue state;
    state.set_value(absl::StrCat(lineage_, ":", absl::StrJoin(ids_, ",")));
    return Payload::Of(std::move(state));
  }
  absl::Status Restore(Payload payload, Context& self) override {
    const auto* const state = payload.As<StringValue>();
    if (state == nullptr) return absl::InvalidArgumentError("another type");
    const std::vector<std::string> parts = absl::StrSplit(state->value(), ':');
    std::vector<int64_t> ids;
    if (!absl::SimpleAtoi(parts[0], &lineage_)) {
      return absl::InvalidArgumentError("no lineage");
    }
    for (const auto& id : absl::StrSplit(parts[1], ',', absl::SkipEmpty())) {
      ids.emplace_back();
      if (!absl::SimpleAtoi(id, &ids.back())) {
        return absl::InvalidArgumentError("no id");
      }
    }
    ids_ = std::move(ids);
    ++probe_->restores;
    // The old epoch has done nothing since, and nothing is missing.
    if (ids_ != probe_->runs[lineage_]) {
      probe_->Violate(absl::StrCat(
          "hand-off: '", self.name(), "' got the state [",
          absl::StrJoin(ids_, ","), "] where [",
          absl::StrJoin(probe_->runs[lineage_], ","), "] had run"));
    }
    probe_->last[self.name()] = {self.node(), self.pid().epoch};
    return absl::OkStatus();
  }

 private:
  // The first thing that a state does.
  void Begin(Context& self) {
    if (lineage_ != 0) return;
    lineage_ = probe_->next_lineage++;
    ++probe_->fresh;
    const auto at = probe_->last.find(self.name());
    if (at != probe_->last.end() &&
        probe_->Lives(at->second.first, at->second.second)) {
      probe_->Violate(absl::StrCat("hand-off: '", self.name(),
                                   "' began anew although its last owner ",
                                   at->second.first, " lives"));
    }
  }

  const std::shared_ptr<Probe> probe_;
  int64_t lineage_ = 0;
  std::vector<int64_t> ids_;
};

struct RunResult {
  std::vector<std::string> violations;
  uint64_t trace_hash = 0;
  std::map<std::string, int> probes;
};

class Simulation {
 public:
  Simulation(uint64_t seed, bool faults)
      : faults_(faults),
        dice_(seed ^ 0x2545f4914f6cdd1d),
        probe_(std::make_shared<Probe>()),
        cluster_(seed, kNodes, Options()) {
    probe_->cluster = &cluster_;
  }

  RunResult Run() {
    cluster_.StartAll();
    std::vector<std::string> ids;
    for (int i = 0; i < kChildren; ++i) ids.push_back(absl::StrCat("c", i));
    cluster::v1::Manifest manifest = MakeManifest("s", "ledger", ids);
    manifest.set_intensity(10'000);
    if (!cluster_.Apply(0, manifest).ok()) probe_->Violate("apply failed");
    for (const std::string& id : ids) {
      if (!cluster_.AwaitChild(0, "s", id, "running")) {
        probe_->Violate("a child did not start");
      }
    }
    const BootTime end = Now() + kFaults;
    BootTime next_fault = Now() + absl::Seconds(1);
    BootTime next_move = Now();
    while (Now() < end) {
      if (Now() >= next_fault) {
        Fault();
        next_fault = Now() + absl::Milliseconds(300 + Below(2500));
      }
      if (Now() >= next_move) {
        Chance(15) ? Drain() : Move();
        next_move = Now() + absl::Milliseconds(20 + Below(400));
      }
      RunRepairs();
      StartDead();
      Call();
      cluster_.RunFor(absl::Milliseconds(5 + Below(30)));
    }
    Heal();
    Converge();
    cluster_.RunFor(absl::Seconds(8));
    for (const auto& [id, call] : calls_) Judge(id, call);

    RunResult outcome;
    outcome.violations = probe_->violations;
    outcome.trace_hash = cluster_.world().trace_hash();
    outcome.probes = probes_;
    outcome.probes["restores"] += probe_->restores;
    outcome.probes["fresh states"] += probe_->fresh;
    return outcome;
  }

 private:
  struct Sent {
    std::string name;
    bool finished = false;
    absl::Status status;
    int64_t lineage = 0;
    bool abandoned = false;
  };

  SimClusterOptions Options() {
    SimClusterOptions options;
    options.types = {ServerType<Ledger>(
        "ledger", [probe = probe_]() -> std::unique_ptr<GenServer> {
          return std::make_unique<Ledger>(probe);
        })};
    options.log_to_stderr = TheFlags().log;
    return options;
  }

  BootTime Now() { return cluster_.world().clock().Boot(); }
  uint64_t Below(uint64_t bound) { return dice_.Below(bound); }
  bool Chance(int percent) {
    return Below(100) < static_cast<uint64_t>(percent);
  }
  // -1: there is none.
  int RandomNode() {
    std::vector<int> nodes;
    for (int i = 0; i < kNodes; ++i) {
      if (cluster_.IsJoined(i) && !cluster_.IsPaused(i)) nodes.push_back(i);
    }
    return nodes.empty() ? -1 : nodes[Below(nodes.size())];
  }
  void Trace(const std::string& what) {
    cluster_.world().Trace(what);
    if (TheFlags().log) {
      std::fprintf(stderr, "%12.6f ** %s\n",
                   static_cast<double>(Now().nanoseconds()) * 1e-9,
                   what.c_str());
    }
  }

  void Call() {
    const int via = RandomNode();
    if (via < 0) return;
    const int64_t id = next_call_++;
    Sent& call = calls_[id];
    call.name = absl::StrCat("s_c", Below(kChildren));
    CallOptions options;
    options.timeout = absl::Seconds(5);
    IncrementRequest request;
    request.set_by(id);
    // Who asks a node that dies never hears of it again.
    call.abandoned = faults_;
    cluster_.StartCall(via, call.name, kIncrement, Payload::Of(request),
                       options, [this, id](CallResult result) {
                         Sent& call = calls_[id];
                         call.finished = true;
                         call.status = result.status;
                         if (!result.status.ok()) return;
                         call.lineage =
                             result.reply.Take<CounterValue>()->value();
                       });
  }

  void Judge(int64_t id, const Sent& call) {
    const int times = probe_->times.contains(id) ? probe_->times[id] : 0;
    if (!call.finished) {
      ++probes_["calls without an answer"];
      if (!call.abandoned) {
        probe_->Violate(absl::StrCat("call ", id, " never ended"));
      }
      return;
    }
    if (call.status.ok()) {
      ++probes_["calls ok"];
      const std::vector<int64_t>& runs = probe_->runs[call.lineage];
      if (std::find(runs.begin(), runs.end(), id) == runs.end()) {
        probe_->Violate(absl::StrCat("G7 honest outcomes: call ", id,
                                     " was acknowledged and never ran"));
      }
      return;
    }
    ++probes_[absl::StrCat("calls ", ReasonOf(call.status), " ",
                           OutcomeName(OutcomeOf(call.status)))];
    if (!faults_) {
      probe_->Violate(
          absl::StrCat("F38: call ", id, " to '", call.name,
                       "' failed without a fault: ", call.status.ToString()));
    }
    if (OutcomeOf(call.status) == Outcome::kNotExecuted && times > 0) {
      probe_->Violate(absl::StrCat(
          "G7 honest outcomes: call ", id,
          " ran and is said not to have: ", call.status.ToString()));
    }
  }

  // Asks the supervisor for one.
  void Move() {
    const int child = static_cast<int>(Below(kChildren));
    const std::string name = absl::StrCat("s_c", child);
    const int from = cluster_.LivingOwnerOf(name);
    const int to = RandomNode();
    const int via = RandomNode();
    if (from < 0 || to < 0 || via < 0 || from == to) return;
    ++probes_["moves"];
    CallOptions options;
    options.timeout = absl::Seconds(30);
    const auto done = [this](const CallResult& result) {
      ++probes_[result.status.ok()
                    ? std::string("moved")
                    : absl::StrCat("not moved: ", ReasonOf(result.status))];
    };
    cluster::v1::ChangeChildRequest change;
    change.set_child(absl::StrCat("c", child));
    change.set_change(cluster::v1::ChangeChildRequest::MOVE);
    change.set_to_node(SimCluster::NodeName(to));
    cluster_.StartCall(via, SupervisorName("s"), kChange, Payload::Of(change),
                       options, done);
  }

  // A drain and, a little later, its end.
  void Drain() {
    const int node = RandomNode();
    const int via = RandomNode();
    if (node < 0 || via < 0) return;
    ++probes_["drains"];
    SetDraining(via, node, true);
    RepairLater(absl::Milliseconds(200 + Below(2000)), [this, node] {
      const int via = RandomNode();
      if (via >= 0) SetDraining(via, node, false);
    });
  }
  void SetDraining(int via, int node, bool draining) {
    cluster::v1::SetDrainingRequest request;
    request.set_draining(draining);
    CallOptions options;
    options.timeout = absl::Seconds(2);
    cluster_.StartCall(
        via, ServerRef::Local(kAgentName, SimCluster::NodeName(node)), kDrain,
        Payload::Of(request), options, [](const CallResult&) {});
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
  void StartDead() {
    for (int i = 0; i < kNodes; ++i) {
      if (!cluster_.IsUp(i) || !cluster_.StartResult(i).has_value() ||
          cluster_.StartResult(i)->ok()) {
        continue;
      }
      cluster_.KillNode(i);
      cluster_.StartNode(i);
    }
  }

  void Fault() {
    const int node = RandomNode();
    if (node < 0) return;
    const uint64_t kind = faults_ ? Below(100) : 99;
    const int incarnation = cluster_.Incarnation(node);
    const int other = (node + 1 + static_cast<int>(Below(kNodes - 1))) % kNodes;
    if (kind < 25) {
      int up = 0;
      for (int i = 0; i < kNodes; ++i) up += cluster_.IsJoined(i);
      if (up < kNodes - 1) return;
      ++probes_["kills"];
      Trace(absl::StrCat("kill n", node));
      cluster_.KillNode(node);
      RepairLater(absl::Milliseconds(Below(5000)), [this, node] {
        if (!cluster_.IsUp(node)) cluster_.StartNode(node);
      });
    } else if (kind < 45) {
      ++probes_["cuts"];
      Trace(absl::StrCat("cut n", node, " n", other));
      cluster_.network().Cut(SimCluster::Address(node),
                             SimCluster::Address(other));
      RepairLater(absl::Milliseconds(100 + Below(4000)), [this, node, other] {
        cluster_.network().Heal(SimCluster::Address(node),
                                SimCluster::Address(other));
      });
    } else if (kind < 55) {
      ++probes_["resets"];
      cluster_.network().Reset(SimCluster::Address(node),
                               SimCluster::Address(other));
    } else if (kind < 75) {
      ++probes_["store lost"];
      Trace(absl::StrCat("n", node, " loses the store"));
      cluster_.store().Disconnect(
          cluster_.store_client(node),
          Chance(60) ? SimCut::kSilent : SimCut::kRefused);
      RepairLater(absl::Milliseconds(100 + Below(6000)), [this, node,
                                                          incarnation] {
        if (cluster_.IsUp(node) && cluster_.Incarnation(node) == incarnation) {
          cluster_.store().Reconnect(cluster_.store_client(node));
        }
      });
    } else if (kind < 85) {
      ++probes_["pauses"];
      Trace(absl::StrCat("pause n", node));
      cluster_.PauseNode(node);
      RepairLater(absl::Milliseconds(100 + Below(5000)), [this, node,
                                                          incarnation] {
        if (cluster_.IsUp(node) && cluster_.Incarnation(node) == incarnation) {
          cluster_.ResumeNode(node);
        }
      });
    } else {
      ++probes_["answers lost"];
      cluster_.store().LoseAnswers(cluster_.store_client(node),
                                   static_cast<int>(1 + Below(2)));
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

  // Everybody reaches everything, through every node.
  void Converge() {
    const BootTime until = Now() + absl::Seconds(60);
    std::string missing = "everything";
    while (!missing.empty() && Now() < until) {
      StartDead();
      for (int i = 0; i < kNodes; ++i) {
        if (cluster_.IsJoined(i)) SetDraining(i, i, false);
      }
      cluster_.RunFor(absl::Milliseconds(200));
      missing.clear();
      for (int i = 0; i < kNodes && missing.empty(); ++i) {
        if (!cluster_.IsJoined(i)) missing = absl::StrCat("n", i);
      }
      for (int i = 0; i < kChildren && missing.empty(); ++i) {
        const std::string name = absl::StrCat("s_c", i);
        const int owner = cluster_.LivingOwnerOf(name);
        if (owner < 0 ||
            cluster_.node(owner).runtime().WhereIsGlobal(name).empty()) {
          missing = name;
        }
      }
    }
    if (!missing.empty()) {
      probe_->Violate(absl::StrCat(
          "G11 no acknowledged child lost: a minute after the last fault ",
          missing, " is missing"));
      return;
    }
    // Nodes may still drain, and what is under way goes on.
    cluster_.RunFor(absl::Seconds(10));
    for (int i = 0; i < kChildren; ++i) {
      for (int via = 0; via < kNodes; ++via) {
        IncrementRequest request;
        request.set_by(next_call_++);
        const auto value = cluster_.Call<CounterValue>(
            via, absl::StrCat("s_c", i), kIncrement, request);
        if (!value.ok()) {
          probe_->Violate(absl::StrCat("G11: s_c", i, " does not answer n", via,
                                       ": ", value.status().ToString()));
        }
      }
    }
  }

  const bool faults_;
  SimRandom dice_;
  const std::shared_ptr<Probe> probe_;
  SimCluster cluster_;
  std::multimap<BootTime, absl::AnyInvocable<void()>> repairs_;
  std::map<int64_t, Sent> calls_;
  int64_t next_call_ = 1;
  std::map<std::string, int> probes_;
};

RunResult RunSeed(uint64_t seed) {
  return Simulation(seed, /*faults=*/seed % 3 != 0).Run();
}

class HandOffSimTest : public testing::TestWithParam<int> {};

TEST_P(HandOffSimTest, NoMoveLosesAStateAndNoCallRunsTwice) {
  const uint64_t first =
      TheFlags().seed.value_or(static_cast<uint64_t>(GetParam()));
  const uint64_t count = TheFlags().seed.has_value() ? 1 : kSeedsPerTest;
  std::map<std::string, int> probes;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(absl::StrCat("--seed=", seed));
    const RunResult once = RunSeed(seed);
    EXPECT_TRUE(once.violations.empty())
        << absl::StrJoin(once.violations, "\n");
    EXPECT_GT(once.probes.count("moved"), 0u);
    for (const auto& [what, number] : once.probes) probes[what] += number;
    if (seed == first && !TheFlags().log) {
      EXPECT_EQ(RunSeed(seed).trace_hash, once.trace_hash)
          << "the same seed took another way";
    }
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

INSTANTIATE_TEST_SUITE_P(Seeds, HandOffSimTest, testing::ValuesIn(FirstSeeds()),
                         [](const testing::TestParamInfo<int>& info) {
                           return absl::StrCat("From", info.param);
                         });

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
      std::fprintf(stderr, "usage: handoff_sim_test [--seed=N] [--log]\n");
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
