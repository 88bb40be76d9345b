#include "tests/sim/fault_sim.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/membership/reap.h"
#include "cluster/store/event.h"
#include "cluster/store/store_state.h"
#include "examples/counter/counter.pb.h"
#include "node/gen_server/start.h"
#include "node/types/status.h"
#include "tests/sim/sim_recorder.h"
#include "tests/sim/sim_servers.h"
#include "tests/testkit/sim_cluster.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

using counter::v1::CounterValue;
using counter::v1::DecrementRequest;
using counter::v1::GetValueRequest;
using counter::v1::IncrementRequest;
using counter::v1::ResetRequest;

constexpr int kNodes = 3;
constexpr absl::string_view kIncrement = "/counter.v1.Counter/Increment";
constexpr absl::string_view kDecrement = "/counter.v1.Counter/Decrement";
constexpr absl::string_view kGetValue = "/counter.v1.Counter/GetValue";
constexpr absl::string_view kReset = "/counter.v1.Counter/Reset";
constexpr absl::string_view kTree = "s0";
constexpr absl::string_view kLoopTree = "s1";
constexpr absl::Duration kFaultsLast = absl::Seconds(9);
constexpr absl::Duration kConvergence = absl::Seconds(60);
// How soon after an outage everything answers: two seconds are promised.
constexpr absl::Duration kThaw = absl::Seconds(2);
// Messages that a server of this simulation lets wait.
constexpr size_t kMailbox = 64;
// What the system sends has its place beside them: one NodeDown a node and the
// like.
constexpr size_t kReserved = 8;
constexpr const char* kChildren[] = {"a", "b", "c", "d"};

constexpr absl::string_view kScenarioNames[] = {
    "mixed",       "crash",  "host_loss", "pause",   "partition",
    "store",       "clocks", "bury",      "restore", "crash_loop",
    "late_orders", "blind",  "flood",     "outage",  "clocks_control"};

// A tree that was sent to be applied: child -> its initial value.
struct Tree {
  std::map<std::string, int64_t> children;
  bool acknowledged = false;
};

class Simulation {
 public:
  explicit Simulation(const FaultSimOptions& options)
      : options_(options),
        dice_(options.seed * 0x9e3779b97f4a7c15 + 0x1234567),
        recorder_(std::make_shared<SimRecorder>()),
        cluster_(options.seed, kNodes, ClusterOptions()) {
    recorder_->Attach(&cluster_);
  }
  ~Simulation() { recorder_->Close(); }

  FaultSimResult Run() {
    cluster_.StartAll();
    Apply();
    if (options_.scenario == Scenario::kCrashLoop) ApplyLoop();
    RunUntilServed();
    if (options_.scenario == Scenario::kOutage) {
      Outage();
    } else {
      Trouble();
    }
    Heal();
    Converge();
    Finish();

    FaultSimResult result;
    result.history = recorder_->history();
    // What dies with its node dies in no order.
    for (size_t i = 0; i < result.history.size();) {
      size_t end = i;
      const auto dies = [&](const HistoryEvent& event) {
        return event.at_ns == result.history[i].at_ns &&
               (event.kind == EventKind::kExit ||
                event.kind == EventKind::kGone);
      };
      while (end < result.history.size() && dies(result.history[end])) ++end;
      const auto from = result.history.begin();
      std::sort(from + static_cast<ptrdiff_t>(i),
                from + static_cast<ptrdiff_t>(end),
                [](const HistoryEvent& a, const HistoryEvent& b) {
                  return ToJson(a) < ToJson(b);
                });
      i = std::max(end, i + 1);
    }
    CheckOptions check;
    check.monitor_settles = absl::Seconds(3);
    check.down_within = absl::Seconds(6);
    result.verdicts = CheckAll(result.history, check);
    for (const Verdict& verdict : result.verdicts) {
      result.violations.insert(result.violations.end(),
                               verdict.violations.begin(),
                               verdict.violations.end());
    }
    result.trace_hash = cluster_.world().trace_hash();
    result.steps = cluster_.world().steps();
    for (const auto& [what, count] : Summarize(result.history)) {
      result.coverage[what] += count;
    }
    for (const auto& [what, count] : coverage_) result.coverage[what] += count;
    result.failovers = FindFailovers(result.history);
    return result;
  }

 private:
  SimClusterOptions ClusterOptions() {
    SimClusterOptions options;
    ServerTypeInfo type = ServerType<SimCounter>(
        "counter", [recorder = recorder_]() -> std::unique_ptr<GenServer> {
          return std::make_unique<SimCounter>(recorder);
        });
    // Elsewhere nothing is dropped for lack of room.
    if (Is(Scenario::kFlood)) type.mailbox.messages_max = kMailbox;
    options.types = {type};
    options.local.group_scopes = {};
    options.log_to_stderr = options_.log;
    options.on_lost = [recorder = recorder_](const ServerRef&,
                                             const Info& info) {
      NoteLost(*recorder, info);
    };
    options.store.on_txn = [recorder = recorder_](const Txn& txn,
                                                  const TxnResult& result) {
      recorder->Applied(txn, result);
    };
    if (options_.trace != nullptr) {
      options.world.on_trace = [trace =
                                    options_.trace](absl::string_view line) {
        trace->emplace_back(line);
      };
    }
    if (options_.scenario == Scenario::kClocks ||
        options_.scenario == Scenario::kClocksControl) {
      slow_ = static_cast<int>(options_.seed % kNodes);
      const double rate = options_.scenario == Scenario::kClocksControl ? 1.45
                          : options_.seed % 2 == 0                      ? 1.10
                                                                        : 1.24;
      options.clock_rate = [slow = slow_, rate](int node) {
        return node == slow ? 1.0 : rate;
      };
    }
    return options;
  }

  // -- Small things
  // ------------------------------------------------------------
  BootTime Now() { return cluster_.world().clock().Boot(); }
  uint64_t Below(uint64_t bound) { return dice_.Below(bound); }
  bool Chance(int percent) {
    return Below(100) < static_cast<uint64_t>(percent);
  }
  absl::Duration Between(int min_ms, int max_ms) {
    return absl::Milliseconds(
        min_ms +
        static_cast<int>(Below(static_cast<uint64_t>(max_ms - min_ms))));
  }
  bool Is(Scenario scenario) const { return options_.scenario == scenario; }
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
  void Note(absl::string_view what) {
    cluster_.world().Trace(what);
    if (options_.log) {
      std::fprintf(stderr, "%12.6f ** %s\n",
                   static_cast<double>(Now().nanoseconds()) * 1e-9,
                   std::string(what).c_str());
    }
  }
  void Happens(absl::string_view kind, absl::string_view detail = "") {
    recorder_->Fault(kind);
    Note(absl::StrCat(kind, " ", detail));
  }
  static std::string ChildName(absl::string_view tree, absl::string_view id) {
    return absl::StrCat(tree, "_", id);
  }

  // -- Workloads
  // ---------------------------------------------------------------
  void SendApply(absl::string_view supervisor, uint32_t intensity,
                 int64_t period_s,
                 const std::map<std::string, int64_t>& children,
                 absl::AnyInvocable<void(bool)> done) {
    const int via = RandomNode(/*joined=*/true);
    if (via < 0) return done(false);
    cluster::v1::Manifest manifest;
    manifest.set_supervisor(std::string(supervisor));
    manifest.set_intensity(intensity);
    manifest.mutable_period()->set_seconds(period_s);
    for (const auto& [id, initial] : children) {
      cluster::v1::ManifestChild& child = *manifest.add_children();
      child.set_id(id);
      child.set_name(ChildName(supervisor, id));
      child.set_type("counter");
      (*child.mutable_options()->mutable_fields())["initial_value"]
          .set_number_value(static_cast<double>(initial));
    }
    cluster_.StartApply(
        via, std::move(manifest),
        [this, done = std::move(done)](
            const absl::StatusOr<admin::v1::ApplyResponse>& answer) mutable {
          Note(absl::StrCat("apply: ", OutcomeName(OutcomeOf(answer.status())),
                            " ", ReasonOf(answer.status())));
          done(answer.ok());
        });
  }

  // Sends another tree. After one whose fate is unknown there is none any
  // more: it might come through late.
  void Apply() {
    if (!trees_.empty() && !trees_.back().acknowledged) return;
    ApplyAnother();
  }
  void ApplyAnother() {
    if (RandomNode(/*joined=*/true) < 0) return;
    Tree tree;
    for (const char* child : kChildren) {
      if (trees_.empty() ? *child == 'd' : Chance(20)) continue;
      tree.children[child] = !trees_.empty() &&
                                     trees_.back().children.contains(child) &&
                                     Chance(70)
                                 ? trees_.back().children[child]
                                 : static_cast<int64_t>(1 + Below(1000));
    }
    trees_.push_back(tree);
    const size_t index = trees_.size() - 1;
    ++coverage_["applies"];
    SendApply(kTree, 10'000, 5, tree.children, [this, index](bool ok) {
      if (ok) ++coverage_["applies acknowledged"];
      trees_[index].acknowledged = ok;
    });
  }

  void ApplyLoop() {
    SendApply(kLoopTree, 4, 30,
              {{"loop", -static_cast<int64_t>(600 + Below(900))}}, [](bool) {});
  }

  // Everything applied answers once: the run begins from there.
  void RunUntilServed() {
    const BootTime end = Now() + absl::Seconds(20);
    while (Now() < end) {
      RunFor(absl::Milliseconds(50));
      if (!trees_.back().acknowledged) continue;
      bool served = true;
      for (const auto& [child, value] : trees_.back().children) {
        served = served && Serves(ChildName(kTree, child)) >= 0;
      }
      if (served) return;
    }
  }
  // The node that runs a process of this name; -1: none.
  int Serves(const std::string& name) {
    for (int i = 0; i < kNodes; ++i) {
      if (cluster_.IsJoined(i) &&
          !cluster_.node(i).runtime().WhereIsGlobal(name).empty()) {
        return i;
      }
    }
    return -1;
  }

  void RunFor(absl::Duration span) {
    StartWatchers();
    cluster_.RunFor(span);
  }

  void StartWatchers() {
    if (Is(Scenario::kFlood) || Is(Scenario::kCrashLoop)) return;
    for (int i = 0; i < kNodes; ++i) {
      if (!cluster_.IsJoined(i) || watchers_[i] == cluster_.Incarnation(i)) {
        continue;
      }
      watchers_[i] = cluster_.Incarnation(i);
      std::vector<std::string> names;
      // Two of the four, so that there is room in the run for more of them.
      for (int n = 0; n < 2; ++n) {
        names.push_back(ChildName(kTree, kChildren[(i + n) % 3]));
      }
      StartOptions start;
      start.label = "watcher";
      Start(cluster_.node(i).runtime(),
            std::make_unique<SimWatcher>(recorder_,
                                         absl::StrCat("w.", Session(i)), names),
            Payload(), start)
          .Detach();
    }
  }

  std::string RandomName() {
    if (Is(Scenario::kCrashLoop) && Chance(20)) {
      return ChildName(kLoopTree, "loop");
    }
    return ChildName(kTree, kChildren[Below(4)]);
  }

  // An operation begins, which counts as pending until Ended().
  HistoryEvent& Begun(const std::string& session, const std::string& call,
                      absl::string_view op, const std::string& name) {
    ++pending_[session];
    HistoryEvent& event = recorder_->Add(EventKind::kInvoke);
    event.session = session;
    event.call = call;
    event.op = std::string(op);
    event.name = name;
    return event;
  }
  HistoryEvent& Ended(const std::string& session, const std::string& call,
                      bool ok) {
    --pending_[session];
    HistoryEvent& event =
        recorder_->Add(ok ? EventKind::kOk : EventKind::kError);
    event.session = session;
    event.call = call;
    return event;
  }

  void Answered(const std::string& call, const std::string& session,
                CallResult result) {
    HistoryEvent& event = Ended(session, call, result.status.ok());
    event.epoch = result.epoch;
    if (result.status.ok()) {
      const auto value = result.reply.Take<CounterValue>();
      event.value = value == nullptr ? 0 : value->value();
    } else {
      event.outcome = std::string(OutcomeName(OutcomeOf(result.status)));
      event.reason = ReasonOf(result.status);
    }
    Note(absl::StrCat("call ", call, ": ", event.outcome, " ", event.reason));
  }

  void CallName(int via, const std::string& name, absl::string_view op,
                absl::Duration timeout, int slow_ms = 0) {
    const std::string call = absl::StrCat(++last_call_);
    const std::string session = Session(via);
    CallOptions options;
    options.timeout = timeout;
    options.metadata.emplace_back(kCallKey, call);
    if (slow_ms > 0) {
      options.metadata.emplace_back(kSlowKey, absl::StrCat(slow_ms));
    }
    Begun(session, call, op, name).value = op == "add" ? 1 : 0;
    Payload request;
    absl::string_view path = kGetValue;
    if (op == "add") {
      IncrementRequest add;
      add.set_by(1);
      request = Payload::Of(std::move(add));
      path = kIncrement;
    } else if (op == "get") {
      request = Payload::Of(GetValueRequest());
    } else {
      request = Payload::Of(DecrementRequest());
      path = kDecrement;
    }
    cluster_.StartCall(via, name, path, std::move(request), options,
                       [this, call, session](CallResult result) {
                         Answered(call, session, std::move(result));
                       });
  }

  void CastName(int via, const std::string& name) {
    CallOptions options;
    options.metadata.emplace_back(kCallKey, absl::StrCat(++last_call_));
    cluster_.StartCast(via, name, kReset, Payload::Of(ResetRequest()), options);
  }

  void Call() {
    const int via = RandomNode(/*joined=*/true);
    if (via < 0) return;
    const std::string name = RandomName();
    const bool figures =
        Is(Scenario::kCrash) || Is(Scenario::kHostLoss) || Is(Scenario::kBlind);
    const absl::Duration timeout =
        Chance(50) ? absl::Seconds(5)
                   : absl::Milliseconds(200 + static_cast<int>(Below(1500)));
    // Nothing ends in an outage of the store alone.
    if (Chance(2) && !Is(Scenario::kOutage)) {
      return CallName(via, name, "call", timeout);
    }
    if (Chance(10)) return CallName(via, name, "get", timeout);
    if (Chance(8)) return CastName(via, name);
    CallName(via, name, "add", timeout,
             Chance(figures ? 0 : 12) ? static_cast<int>(1 + Below(1200)) : 0);
  }

  // A name without a supervisor: whoever is first has it for a while.
  void Register() {
    const int via = RandomNode(/*joined=*/true);
    if (via < 0) return;
    const std::string name = absl::StrCat("r", Below(2));
    const std::string session = Session(via);
    StartOptions start;
    auto started =
        Start(cluster_.node(via).runtime(),
              std::make_unique<SimHolder>(recorder_, name), Payload(), start);
    std::move(started).Then(
        [this, via, name, session](absl::StatusOr<Pid> pid) {
          if (!pid.ok() || !cluster_.IsJoined(via) || Session(via) != session) {
            return;
          }
          const std::string call = absl::StrCat(++last_call_);
          Begun(session, call, "register", name).key = pid->ToString();
          cluster_.node(via).registry().Register(
              name, *pid,
              [this, via, name, session, call,
               pid = *pid](absl::StatusOr<Epoch> epoch) {
                Registered(via, name, session, call, pid, epoch);
              });
        });
  }
  void Registered(int via, const std::string& name, const std::string& session,
                  const std::string& call, const Pid& pid,
                  const absl::StatusOr<Epoch>& epoch) {
    if (!recorder_->open()) return;
    HistoryEvent& event = Ended(session, call, epoch.ok());
    if (epoch.ok()) {
      event.epoch = *epoch;
      ++coverage_["registrations"];
    } else {
      event.outcome = std::string(OutcomeName(OutcomeOf(epoch.status())));
      event.reason = ReasonOf(epoch.status());
      event.key = DetailOf(epoch.status(), "pid");
    }
    Note(absl::StrCat("register ", call, ": ", event.outcome, " ", event.reason,
                      " ", event.key));
    const bool keep = epoch.ok();
    const bool unregister = Chance(50);
    Later(keep ? Between(300, 2500) : absl::Milliseconds(100),
          [this, via, name, session, pid, keep, unregister] {
            if (!cluster_.IsJoined(via) || Session(via) != session) return;
            if (keep && unregister) Unregister(via, name, session, pid);
            cluster_.node(via).runtime().Stop(
                Pid(), pid, absl::Milliseconds(keep && unregister ? 500 : 0),
                [](ExitReason) {});
          });
  }
  void Unregister(int via, const std::string& name, const std::string& session,
                  const Pid& pid) {
    const std::string call = absl::StrCat(++last_call_);
    Begun(session, call, "unregister", name).key = pid.ToString();
    cluster_.node(via).registry().Unregister(
        name, [this, session, call](absl::Status status) {
          if (!recorder_->open()) return;
          HistoryEvent& event = Ended(session, call, status.ok());
          if (!status.ok()) {
            event.outcome = std::string(OutcomeName(OutcomeOf(status)));
            event.reason = status.code() == absl::StatusCode::kNotFound
                               ? "NOPROC"
                               : ReasonOf(status);
          }
        });
  }

  // Nobody's view of a name goes back.
  void Look() {
    for (const int node : Nodes(/*joined=*/true)) {
      for (const NameEntry& entry : cluster_.node(node).registry().List("")) {
        if (looked_[{Session(node), entry.name}] == entry.epoch) continue;
        looked_[{Session(node), entry.name}] = entry.epoch;
        HistoryEvent& event = recorder_->Add(EventKind::kSeen);
        event.session = Session(node);
        event.name = entry.name;
        event.epoch = entry.epoch;
      }
    }
  }

  // -- Faults
  // ------------------------------------------------------------------
  void Later(absl::Duration after, absl::AnyInvocable<void()> work) {
    later_.emplace(Now() + after, std::move(work));
  }
  void RunLater() {
    while (!later_.empty() && later_.begin()->first <= Now()) {
      auto work = std::move(later_.begin()->second);
      later_.erase(later_.begin());
      work();
    }
  }
  // A node whose start failed is started again, as a service manager does.
  void StartDead() {
    for (int i = 0; i < kNodes; ++i) {
      if (!cluster_.IsUp(i) || !cluster_.StartResult(i).has_value() ||
          cluster_.StartResult(i)->ok()) {
        continue;
      }
      ++coverage_[absl::StrCat("start failed: ",
                               ReasonOf(*cluster_.StartResult(i)))];
      Kill(i, /*attested=*/true);
      cluster_.StartNode(i);
    }
  }
  void Kill(int node, bool attested) {
    const Epoch epoch = cluster_.EpochOf(node);
    if (!epoch.empty()) {
      HistoryEvent& event = recorder_->Add(EventKind::kDied);
      event.node = SimCluster::NodeName(node);
      event.node_epoch = epoch;
    }
    recorder_->Add(EventKind::kGone).session = Session(node);
    attested ? cluster_.CrashNode(node) : cluster_.KillNode(node);
  }
  void StartLater(int node, absl::Duration after) {
    Later(after, [this, node] {
      if (!cluster_.IsUp(node)) cluster_.StartNode(node);
    });
  }
  // At least two of three stay up.
  int Victim() {
    const std::vector<int> up = Nodes(/*joined=*/false);
    return static_cast<int>(up.size()) < kNodes ? -1 : up[Below(up.size())];
  }

  void CrashOne(bool attested) {
    const int victim = Victim();
    if (victim < 0) return;
    Happens(attested ? "crash" : "host_loss", SimCluster::NodeName(victim));
    Kill(victim, attested);
    StartLater(victim,
               attested && Chance(40) ? Between(0, 500) : Between(1000, 7000));
  }
  void RestartAtOnce() {
    const int victim = Victim();
    if (victim < 0) return;
    Happens("restart_at_once", SimCluster::NodeName(victim));
    Kill(victim, /*attested=*/false);
    StartLater(victim, absl::ZeroDuration());
  }
  void PauseOne() {
    const int node = RandomNode(/*joined=*/true);
    if (node < 0 || Nodes(/*joined=*/true).size() < 2) return;
    const bool longer = Chance(60);
    Pause(node, longer ? Between(3000, 6500) : Between(100, 2500));
    if (longer && Chance(30) && cluster_.IsUp(node)) {
      // It comes back without the store.
      LoseStore(node, Between(4000, 7000), SimCut::kSilent);
    }
  }
  void Pause(int node, absl::Duration span) {
    if (cluster_.IsPaused(node)) return;
    Happens(span > absl::Seconds(3) ? "pause_long" : "pause_short",
            SimCluster::NodeName(node));
    const int incarnation = cluster_.Incarnation(node);
    cluster_.PauseNode(node);
    Later(span, [this, node, incarnation] {
      if (cluster_.IsUp(node) && cluster_.Incarnation(node) == incarnation) {
        cluster_.ResumeNode(node);
      }
    });
  }
  std::pair<int, int> TwoNodes() {
    const int a = static_cast<int>(Below(kNodes));
    const int b = (a + 1 + static_cast<int>(Below(kNodes - 1))) % kNodes;
    return {a, b};
  }
  void Cut(int a, int b, bool one_way, absl::Duration span) {
    const std::string from = SimCluster::Address(a);
    const std::string to = SimCluster::Address(b);
    one_way ? cluster_.network().CutOneWay(from, to)
            : cluster_.network().Cut(from, to);
    Later(span, [this, from, to] { cluster_.network().Heal(from, to); });
  }
  void CutTwo(bool one_way) {
    const auto [a, b] = TwoNodes();
    Happens(one_way ? "cut_one_way" : "cut", absl::StrCat("n", a, " n", b));
    Cut(a, b, one_way, Between(100, 6000));
  }
  void Isolate() {
    const int node = static_cast<int>(Below(kNodes));
    const bool store = Chance(50);
    Happens(store ? "isolate" : "isolate_from_peers",
            SimCluster::NodeName(node));
    const absl::Duration span = Between(500, 7000);
    for (int i = 0; i < kNodes; ++i) {
      if (i != node) Cut(node, i, false, span);
    }
    if (store && cluster_.IsUp(node)) LoseStore(node, span, SimCut::kSilent);
  }
  void Flap() {
    const auto [a, b] = TwoNodes();
    Happens("flapping", absl::StrCat("n", a, " n", b));
    for (int i = 0; i < 5; ++i) {
      Later(absl::Milliseconds(400) * i,
            [this, a = a, b = b] { Cut(a, b, Chance(30), Between(50, 350)); });
    }
  }
  void ResetStreams() {
    const auto [a, b] = TwoNodes();
    Happens("reset", absl::StrCat("n", a, " n", b));
    cluster_.network().Reset(SimCluster::Address(a), SimCluster::Address(b));
  }
  void RepeatMessages() {
    const auto [a, b] = TwoNodes();
    Happens("repeat", absl::StrCat("n", a, " n", b));
    cluster_.network().Repeat(SimCluster::Address(a), SimCluster::Address(b),
                              static_cast<int>(1 + Below(4)));
  }
  // The store's client of this incarnation, if it still runs.
  void WithClient(int node, int incarnation,
                  absl::FunctionRef<void(SimStore&)> work) {
    if (cluster_.IsUp(node) && cluster_.Incarnation(node) == incarnation) {
      work(cluster_.store_client(node));
    }
  }
  void LoseStore(int node, absl::Duration span, SimCut how) {
    if (!cluster_.IsUp(node)) return;
    const int incarnation = cluster_.Incarnation(node);
    Happens(span > absl::Seconds(3) ? "store_lost_long" : "store_lost_short",
            SimCluster::NodeName(node));
    cluster_.store().Disconnect(cluster_.store_client(node), how);
    cluster_.store().Disconnect(cluster_.sentinel_client(node), how);
    Later(span, [this, node, incarnation] {
      cluster_.store().Reconnect(cluster_.sentinel_client(node));
      WithClient(node, incarnation, [this](SimStore& client) {
        cluster_.store().Reconnect(client);
      });
    });
  }
  void LoseStoreOfOne() {
    const int node = RandomNode(/*joined=*/false);
    if (node < 0) return;
    LoseStore(node, Chance(50) ? Between(3000, 7000) : Between(100, 2500),
              Chance(60) ? SimCut::kSilent : SimCut::kRefused);
  }
  void LoseStoreOfAll() {
    Happens("store_lost_by_all");
    cluster_.store().DisconnectAll(Chance(50) ? SimCut::kSilent
                                              : SimCut::kRefused);
    Later(Between(100, 6000), [this] { cluster_.store().ReconnectAll(); });
  }
  void LoseAnswers() {
    const int node = RandomNode(/*joined=*/false);
    if (node < 0) return;
    Happens("answers_lost", SimCluster::NodeName(node));
    cluster_.store().LoseAnswers(cluster_.store_client(node),
                                 static_cast<int>(1 + Below(3)));
  }
  void DelayRequests() {
    const int node = RandomNode(/*joined=*/false);
    if (node < 0) return;
    Happens("requests_late", SimCluster::NodeName(node));
    const int incarnation = cluster_.Incarnation(node);
    cluster_.store().DelayRequests(cluster_.store_client(node),
                                   Between(500, 6000));
    Later(Between(500, 4000), [this, node, incarnation] {
      WithClient(node, incarnation, [this](SimStore& client) {
        cluster_.store().DelayRequests(client, absl::ZeroDuration());
      });
    });
  }
  void WatchGap() {
    const int node = RandomNode(/*joined=*/false);
    if (node < 0) return;
    Happens("watch_gap", SimCluster::NodeName(node));
    const int incarnation = cluster_.Incarnation(node);
    cluster_.store().StallWatches(cluster_.store_client(node), true);
    Later(Between(200, 3000), [this, node, incarnation] {
      recorder_->Follow();
      static_cast<void>(
          cluster_.store().Compact(cluster_.store().state().revision()));
      WithClient(node, incarnation, [this](SimStore& client) {
        cluster_.store().StallWatches(client, false);
      });
    });
  }
  void StallWatches() {
    const int node = RandomNode(/*joined=*/false);
    if (node < 0) return;
    Happens("watches_stalled", SimCluster::NodeName(node));
    const int incarnation = cluster_.Incarnation(node);
    cluster_.store().StallWatches(cluster_.store_client(node), true);
    // Long enough for a reaper to take the others for dead, its brake included.
    const bool longer = Is(Scenario::kBlind) || Chance(30);
    const absl::Duration span =
        longer ? Between(8000, 9500) : Between(1000, 6000);
    if (longer) Stay(span);
    Later(span, [this, node, incarnation] {
      WithClient(node, incarnation, [this](SimStore& client) {
        cluster_.store().StallWatches(client, false);
      });
    });
  }
  void SlowStore() {
    Happens("store_slow");
    cluster_.store().SetSlowness(20 + static_cast<double>(Below(180)));
    Later(Between(500, 4000), [this] { cluster_.store().SetSlowness(1); });
  }
  // An operator takes a living node for dead.
  void Bury() {
    const int node = RandomNode(/*joined=*/true);
    if (node < 0 || cluster_.EpochOf(node).empty()) return;
    Happens("bury", SimCluster::NodeName(node));
    const Epoch epoch = cluster_.EpochOf(node);
    if (Chance(70)) {
      LoseStore(node, Between(2000, 6000), SimCut::kSilent);
    }
    const std::string name = SimCluster::NodeName(node);
    cluster_.Commit(BuryReap(
        cluster_.keys(), name, static_cast<int64_t>(epoch.revision),
        "it does not answer", "operator",
        PutEvent(cluster_.keys(), "operator",
                 EndOfNode("node.reaped", name, epoch, "buried", {}),
                 cluster_.world().clock().Wall(),
                 absl::StrCat(absl::Hex(Below(1u << 30), absl::kZeroPad8)))));
  }
  void TakeSnapshot() {
    recorder_->Follow();
    snapshot_.emplace(cluster_.store().state());
  }
  void Restore() {
    if (!snapshot_.has_value() || restored_) return;
    restored_ = true;
    Happens("restore");
    recorder_->Follow();
    cluster_.store().Restore(*snapshot_);
    recorder_->Restored();
    // As the manual says: raised before the first node reaches it.
    const std::string meta_key = cluster_.keys().Meta();
    for (const KeyValue& item : cluster_.store().state().List(meta_key).items) {
      if (item.key != meta_key) continue;
      store::v1::Meta raised;
      if (!raised.ParseFromString(item.value)) return;
      raised.set_generation(raised.generation() + 1);
      store::v1::EventRecord event;
      event.set_kind("cluster.generation");
      cluster_.Commit(RaiseGeneration(
          cluster_.keys(), item, raised,
          PutEvent(cluster_.keys(), "operator", event,
                   cluster_.world().clock().Wall(), "00000001")));
    }
    recorder_->Follow();
  }
  // The caller stands still while its callee's host dies: the reply waits for
  // it until others own the name.
  void LoseCallerAndOwner() {
    const std::string name = RandomName();
    const int owner = Serves(name);
    if (owner < 0 || Victim() < 0) return;
    const int supervisor = Serves(absl::StrCat("muster/supervisor/", kTree));
    int caller = -1;
    for (const int node : Nodes(/*joined=*/true)) {
      if (node != owner && node != supervisor) caller = node;
    }
    if (caller < 0) return;
    Happens("caller_paused_owner_lost");
    const size_t before = recorder_->history().size();
    for (int i = 0; i < 3; ++i) {
      CallName(caller, name, "add", absl::Seconds(10));
    }
    const auto replied = [&] {
      const History& history = recorder_->history();
      for (size_t i = before; i < history.size(); ++i) {
        if (history[i].kind == EventKind::kEnd && history[i].name == name) {
          return true;
        }
      }
      return false;
    };
    cluster_.RunUntil(replied, absl::Milliseconds(50));
    if (!cluster_.IsJoined(caller) || !cluster_.IsUp(owner)) return;
    Pause(caller, Between(3850, 4600));
    cluster_.RunFor(absl::Milliseconds(5));
    if (!cluster_.IsUp(owner)) return;
    Kill(owner, /*attested=*/false);
    StartLater(owner, Between(5000, 7000));
    Stay(absl::Seconds(6));
  }
  // The trouble goes on for at least so long.
  void Stay(absl::Duration span) { stay_until_ = Now() + span; }
  // A node of a slow clock loses the store and is called all the time. Every
  // other time it loses the others too: nobody can tell it that it is dead
  // (guarantees R9), and its fence alone keeps it from acting.
  void SlowNodeLosesStore() {
    if (!cluster_.IsJoined(slow_)) return;
    const absl::Duration span = Between(4000, 6000);
    LoseStore(slow_, span, SimCut::kSilent);
    if (Chance(50)) {
      for (int i = 0; i < kNodes; ++i) {
        if (i != slow_) Cut(slow_, i, /*one_way=*/false, span);
      }
    }
    busy_until_ = Now() + absl::Seconds(5);
  }
  void Flood() {
    const int via = RandomNode(/*joined=*/true);
    if (via < 0) return;
    Happens("flood");
    const std::string name = RandomName();
    CallName(via, name, "add", absl::Seconds(5), 1500);
    for (size_t i = 0; i < 2 * kMailbox; ++i) CastName(via, name);
  }
  void Measure() {
    for (const int node : Nodes(/*joined=*/true)) {
      for (const ProcessInfo& process : cluster_.node(node).runtime().List()) {
        if (process.name.empty() || process.mailbox < kMailbox / 2) continue;
        HistoryEvent& event = recorder_->Add(EventKind::kMeasure);
        event.key = absl::StrCat("mailbox of ", process.name);
        event.value = static_cast<int64_t>(process.mailbox);
        event.limit = static_cast<int64_t>(kMailbox + kReserved);
      }
    }
  }
  // A supervisor's writes are slow and its host dies; another takes over and is
  // told something else, which then holds whatever arrives yet.
  void LateOrders() {
    const int node = Serves(absl::StrCat("muster/supervisor/", kTree));
    if (node < 0 || Victim() < 0 || !trees_.back().acknowledged) return;
    Happens("orders_late", SimCluster::NodeName(node));
    cluster_.store().DelayRequests(cluster_.store_client(node),
                                   absl::Seconds(7));
    ApplyAnother();
    RunFor(Between(5, 120));
    if (!cluster_.IsUp(node)) return;
    Kill(node, /*attested=*/Chance(60));
    StartLater(node, Between(6000, 8000));
    const BootTime end = Now() + absl::Seconds(8);
    while (Now() < end &&
           Serves(absl::StrCat("muster/supervisor/", kTree)) < 0) {
      Call();
      RunFor(absl::Milliseconds(100));
    }
    RunFor(Between(0, 1500));
    ApplyAnother();
  }
  // Answers of an owner are held up on the way while it dies and another takes
  // its place; the receiver hears of that only from the new one.
  void OldMessages() {
    const std::string name = RandomName();
    const int owner = Serves(name);
    if (owner < 0 || Victim() < 0) return;
    const int receiver = (owner + 1 + static_cast<int>(Below(2))) % kNodes;
    if (!cluster_.IsJoined(receiver)) return;
    Happens("old_messages");
    const int incarnation = cluster_.Incarnation(receiver);
    cluster_.store().StallWatches(cluster_.store_client(receiver), true);
    Later(absl::Seconds(3), [this, receiver, incarnation] {
      WithClient(receiver, incarnation, [this](SimStore& client) {
        cluster_.store().StallWatches(client, false);
      });
    });
    Cut(owner, receiver, /*one_way=*/true, Between(500, 1400));
    Later(Between(150, 350), [this, owner] {
      if (!cluster_.IsUp(owner)) return;
      Kill(owner, /*attested=*/true);
      StartLater(owner, Between(2000, 4000));
    });
  }
  // Whoever runs the supervisor of the crashing child dies.
  void KillSupervisor() {
    const int node = Serves(absl::StrCat("muster/supervisor/", kLoopTree));
    if (node < 0 || Victim() < 0) return CrashOne(/*attested=*/true);
    Happens("supervisor_killed", SimCluster::NodeName(node));
    Kill(node, /*attested=*/true);
    StartLater(node, Between(500, 2000));
  }

  void Fault() {
    using Fault = void (Simulation::*)();
    const auto pick = [this](std::initializer_list<Fault> faults) {
      (this->*(faults.begin()[Below(faults.size())]))();
    };
    switch (options_.scenario) {
      case Scenario::kCrash:
        return CrashOne(/*attested=*/true);
      case Scenario::kHostLoss:
        return Chance(80) ? CrashOne(/*attested=*/false) : RestartAtOnce();
      case Scenario::kPause:
        return pick({&Simulation::PauseOne, &Simulation::PauseOne,
                     &Simulation::LoseCallerAndOwner});
      case Scenario::kPartition:
        if (Chance(40)) return CutTwo(Chance(40));
        return pick({&Simulation::Isolate, &Simulation::Flap,
                     &Simulation::ResetStreams, &Simulation::RepeatMessages,
                     &Simulation::OldMessages});
      case Scenario::kStore:
        return pick({&Simulation::LoseStoreOfOne, &Simulation::LoseStoreOfAll,
                     &Simulation::LoseAnswers, &Simulation::DelayRequests,
                     &Simulation::WatchGap, &Simulation::StallWatches,
                     &Simulation::SlowStore});
      case Scenario::kClocks:
      case Scenario::kClocksControl:
        return pick({&Simulation::SlowNodeLosesStore,
                     &Simulation::SlowNodeLosesStore, &Simulation::PauseOne});
      case Scenario::kBury:
        return pick({&Simulation::Bury, &Simulation::Bury,
                     &Simulation::LoseStoreOfOne});
      case Scenario::kRestore:
        return pick({&Simulation::Restore, &Simulation::ResetStreams});
      case Scenario::kCrashLoop:
        return KillSupervisor();
      case Scenario::kLateOrders:
        return LateOrders();
      case Scenario::kBlind:
        return StallWatches();
      case Scenario::kFlood:
        return Flood();
      case Scenario::kOutage:
        return;
      case Scenario::kMixed:
        break;
    }
    const uint64_t kind = Below(100);
    if (kind < 25) {
      CrashOne(Chance(60));
    } else if (kind < 40) {
      Chance(80) ? PauseOne() : LoseCallerAndOwner();
    } else if (kind < 55) {
      Chance(50) ? CutTwo(Chance(40)) : Isolate();
    } else if (kind < 65) {
      Chance(50) ? Flap() : ResetStreams();
    } else if (kind < 75) {
      Chance(70) ? LoseStoreOfOne() : LoseStoreOfAll();
    } else if (kind < 95) {
      pick({&Simulation::LoseAnswers, &Simulation::DelayRequests,
            &Simulation::WatchGap, &Simulation::StallWatches,
            &Simulation::SlowStore});
    } else {
      Bury();
    }
  }

  void Trouble() {
    const bool figures = Is(Scenario::kCrash) || Is(Scenario::kHostLoss);
    const bool registers = !Is(Scenario::kRestore) && !figures;
    const bool applies =
        registers && !Is(Scenario::kCrashLoop) && !Is(Scenario::kLateOrders);
    const BootTime end = Now() + kFaultsLast;
    BootTime next_fault = Now() + Between(0, 500);
    BootTime next_apply = Now() + Between(1000, 4000);
    BootTime next_register = Now();
    if (Is(Scenario::kRestore)) {
      TakeSnapshot();
      next_fault = Now() + Between(1500, 3000);
    }
    while (Now() < end || Now() < stay_until_) {
      if (Now() >= next_fault && Now() < end) {
        Fault();
        next_fault =
            Now() + (figures ? Between(3000, 9000) : Between(200, 2500));
        if (Is(Scenario::kBlind)) next_fault = end;
        if (Is(Scenario::kClocks) || Is(Scenario::kClocksControl)) {
          next_fault = Now() + Between(3000, 5000);
        }
      }
      if (applies && Now() >= next_apply) {
        Apply();
        next_apply = Now() + Between(2000, 6000);
      }
      if (registers && Now() >= next_register) {
        Register();
        next_register = Now() + Between(150, 700);
      }
      RunLater();
      StartDead();
      Call();
      if (figures || Is(Scenario::kBlind)) {
        for (int i = 0; i < 3; ++i) Call();
      }
      if (Now() < busy_until_ && cluster_.IsJoined(slow_) &&
          !cluster_.IsPaused(slow_)) {
        for (const char* child : kChildren) {
          CallName(slow_, ChildName(kTree, child), "add", absl::Seconds(1));
        }
      }
      Look();
      if (Is(Scenario::kFlood)) Measure();
      RunFor(Between(20, 90));
    }
  }

  // The store is away for long; nothing else happens.
  void Outage() {
    for (int i = 0; i < 10; ++i) {
      CallAll();
      RunFor(absl::Milliseconds(100));
    }
    States("before");
    // Ten minutes now and then: they are long in steps, too.
    const absl::Duration span =
        options_.seed % 10 == 0 ? absl::Minutes(10) : Between(4000, 40'000);
    Happens(span == absl::Minutes(10) ? "outage_ten_minutes" : "outage");
    recorder_->Add(EventKind::kOutage).op = "begin";
    cluster_.store().DisconnectAll(Chance(50) ? SimCut::kSilent
                                              : SimCut::kRefused);
    const BootTime end = Now() + span;
    while (Now() < end) {
      if (Chance(20)) Call();
      RunFor(std::min(end - Now(), Between(200, 3000)));
    }
    RunFor(absl::Milliseconds(1));
    cluster_.store().ReconnectAll();
    {
      HistoryEvent& event = recorder_->Add(EventKind::kOutage);
      event.op = "end";
      event.limit = absl::ToInt64Nanoseconds(kThaw);
    }
    const BootTime thawed = Now() + kThaw;
    while (Now() < thawed) {
      CallAll();
      RunFor(absl::Milliseconds(100));
    }
    RunFor(absl::Seconds(6));
    States("after");
  }
  void CallAll() {
    for (const auto& [child, value] : trees_.back().children) {
      CallName(static_cast<int>(Below(kNodes)), ChildName(kTree, child), "get",
               absl::Seconds(1));
    }
  }
  // Only adds that came through change a state, and they are in it before and
  // after: what is noted is the state less what was added meanwhile.
  void States(absl::string_view op) {
    std::map<std::string, int64_t> added;
    std::map<std::string, std::string> names;
    for (const HistoryEvent& event : recorder_->history()) {
      if (event.kind == EventKind::kInvoke && event.op == "add") {
        names[event.call] = event.name;
      }
      if (event.kind != EventKind::kEnd) continue;
      const auto at = names.find(event.call);
      if (at != names.end()) ++added[at->second];
    }
    for (const auto& [child, initial] : trees_.back().children) {
      const std::string name = ChildName(kTree, child);
      const auto value = cluster_.Call<CounterValue>(
          static_cast<int>(Below(kNodes)), name, kGetValue, GetValueRequest());
      HistoryEvent& event = recorder_->Add(EventKind::kState);
      event.op = std::string(op);
      event.name = name;
      event.value = value.ok() ? value->value() - added[name] : -1;
    }
  }

  void Heal() {
    Note("heal");
    recorder_->Add(EventKind::kPhase).op = "heal";
    cluster_.network().HealAll();
    for (int a = 0; a < kNodes; ++a) {
      for (int b = 0; b < kNodes; ++b) {
        cluster_.network().Repeat(SimCluster::Address(a),
                                  SimCluster::Address(b), 0);
      }
    }
    cluster_.store().SetSlowness(1);
    cluster_.store().ReconnectAll();
    // Holders of names still stop; what would go wrong does not any more.
    healed_ = true;
    for (int i = 0; i < kNodes; ++i) {
      if (!cluster_.IsUp(i)) cluster_.StartNode(i);
      SimStore& client = cluster_.store_client(i);
      cluster_.store().LoseAnswers(client, 0);
      cluster_.store().DelayRequests(client, absl::ZeroDuration());
      cluster_.store().StallWatches(client, false);
      cluster_.ResumeNode(i);
    }
    later_.clear();
  }

  // -- The end
  // ----------------------------------------------------------------- What must
  // run: name -> the values it may have been started with. A tree of unknown
  // fate may hold or not.
  std::map<std::string, std::set<int64_t>> Wanted() {
    std::map<std::string, std::set<int64_t>> wanted;
    size_t first = trees_.size();
    for (size_t t = 0; t < trees_.size(); ++t) {
      if (trees_[t].acknowledged) first = t;
    }
    if (first == trees_.size()) return wanted;
    for (const auto& [child, value] : trees_[first].children) {
      std::set<int64_t> values = {value};
      bool always = true;
      for (size_t t = first + 1; t < trees_.size(); ++t) {
        const auto at = trees_[t].children.find(child);
        if (at == trees_[t].children.end()) {
          always = false;
        } else {
          values.insert(at->second);
        }
      }
      if (always) wanted[ChildName(kTree, child)] = std::move(values);
    }
    return wanted;
  }
  std::set<std::string> Unwanted() {
    std::set<std::string> unwanted;
    if (trees_.empty() || !trees_.back().acknowledged) return unwanted;
    for (const char* child : kChildren) {
      if (!trees_.back().children.contains(child)) {
        unwanted.insert(ChildName(kTree, child));
      }
    }
    return unwanted;
  }

  // Empty, or what is not yet as it should be.
  std::string NotThere(const std::map<std::string, std::set<int64_t>>& wanted,
                       const std::set<std::string>& unwanted) {
    for (int i = 0; i < kNodes; ++i) {
      if (!cluster_.IsJoined(i)) return absl::StrCat("n", i, " has not joined");
    }
    for (const auto& [name, values] : wanted) {
      int served = 0;
      const int owner = cluster_.LivingOwnerOf(name);
      for (int i = 0; i < kNodes; ++i) {
        if (cluster_.node(i).runtime().WhereIsGlobal(name).empty()) continue;
        ++served;
        if (i != owner) {
          return absl::StrCat("n", i, " serves '", name, "', n", owner,
                              " owns it");
        }
      }
      if (served != 1) {
        return absl::StrCat(served, " processes serve '", name, "'");
      }
    }
    for (const std::string& name : unwanted) {
      if (Serves(name) >= 0) return absl::StrCat("'", name, "' still runs");
    }
    return "";
  }

  void Converge() {
    const auto wanted = Wanted();
    const auto unwanted = Unwanted();
    for (const auto& [name, values] : wanted) {
      bool first = true;
      for (const int64_t value : values) {
        HistoryEvent& event = recorder_->Add(EventKind::kWanted);
        event.key = name;
        event.session = std::string(kTree);
        event.value = value;
        if (!std::exchange(first, false)) event.op = "or";
      }
    }
    for (const std::string& name : unwanted) {
      recorder_->Add(EventKind::kUnwanted).key = name;
    }
    const BootTime began = Now();
    std::string missing = "everything";
    while (Now() < began + kConvergence) {
      StartDead();
      RunFor(absl::Milliseconds(100));
      missing = NotThere(wanted, unwanted);
      if (!missing.empty()) continue;
      // It stays so, and everybody knows.
      RunFor(absl::Seconds(2));
      missing = NotThere(wanted, unwanted);
      if (missing.empty()) break;
      ++coverage_["converged for a moment"];
    }
    if (!missing.empty()) Note(absl::StrCat("not converged: ", missing));
    // What runs, if it answers everybody.
    std::set<std::string> all = unwanted;
    for (const auto& [name, values] : wanted) all.insert(name);
    for (const std::string& name : all) {
      const bool answers = unwanted.contains(name) || Answers(name);
      if (!answers) Note(absl::StrCat("'", name, "' does not answer"));
      for (int i = 0; i < kNodes && answers; ++i) {
        if (!cluster_.IsJoined(i)) continue;
        const Pid pid = cluster_.node(i).runtime().WhereIsGlobal(name);
        if (pid.empty()) continue;
        HistoryEvent& event = recorder_->Add(EventKind::kRunning);
        event.key = name;
        event.node = pid.node;
        event.value = recorder_->options[{pid.node, pid.epoch, pid.number}];
      }
    }
  }
  // Through nodes that are still the same.
  bool HasPending() {
    for (int i = 0; i < kNodes; ++i) {
      const auto at = pending_.find(Session(i));
      if (at != pending_.end() && at->second > 0) return true;
    }
    return false;
  }
  // In bounded time, through every node.
  bool Answers(const std::string& name) {
    const BootTime end = Now() + absl::Seconds(10);
    for (int via = 0; via < kNodes; ++via) {
      for (;;) {
        if (Now() >= end || !cluster_.IsJoined(via)) return false;
        const auto value = cluster_.Call<CounterValue>(via, name, kGetValue,
                                                       GetValueRequest());
        if (value.ok()) break;
        Note(absl::StrCat("'", name, "' through n", via, ": ",
                          OutcomeName(OutcomeOf(value.status())), " ",
                          ReasonOf(value.status())));
        ++coverage_["answered late after the heal"];
        RunFor(absl::Milliseconds(200));
      }
    }
    return true;
  }

  void Finish() {
    // Calls that are under way end, those of registrations included.
    const BootTime end = Now() + absl::Seconds(11);
    RunFor(absl::Seconds(2));
    while (Now() < end && HasPending()) RunFor(absl::Milliseconds(200));
    Look();
    // Sessions through nodes that were reaped ended with those.
    for (int i = 0; i < kNodes; ++i) {
      for (int n = 1; n < cluster_.Incarnation(i); ++n) {
        recorder_->Add(EventKind::kGone).session =
            absl::StrCat(SimCluster::NodeName(i), ".", n);
      }
      coverage_["rejoined after a reap"] += cluster_.Reaps(i);
    }
    coverage_["adopted"] += static_cast<int>(cluster_.CountLog("adopted '"));
    recorder_->Add(EventKind::kPhase).op = "end";
  }

  const FaultSimOptions options_;
  SimRandom dice_;
  int slow_ = 0;
  const std::shared_ptr<SimRecorder> recorder_;
  SimCluster cluster_;
  std::vector<Tree> trees_;  // In the order sent.
  std::multimap<BootTime, absl::AnyInvocable<void()>> later_;
  // Node -> the incarnation that has its watcher.
  int watchers_[kNodes] = {};
  std::map<std::pair<std::string, std::string>, Epoch> looked_;
  std::optional<StoreState> snapshot_;
  bool restored_ = false;
  bool healed_ = false;
  BootTime busy_until_;
  BootTime stay_until_;
  uint64_t last_call_ = 0;
  // Session -> its operations that have not ended.
  std::map<std::string, int> pending_;
  std::map<std::string, int> coverage_;
};

}  // namespace

absl::string_view ScenarioName(Scenario scenario) {
  return kScenarioNames[static_cast<int>(scenario)];
}

std::optional<Scenario> ScenarioOf(absl::string_view name) {
  for (size_t i = 0; i < std::size(kScenarioNames); ++i) {
    if (kScenarioNames[i] == name) return static_cast<Scenario>(i);
  }
  return std::nullopt;
}

Scenario ScenarioOf(uint64_t seed) {
  return static_cast<Scenario>(seed % kScenarios);
}

bool FaultSimResult::Breaks(absl::string_view guarantee) const {
  for (const Verdict& verdict : verdicts) {
    if (verdict.guarantee == guarantee) return !verdict.violations.empty();
  }
  return false;
}

FaultSimResult RunFaultSim(const FaultSimOptions& options) {
  return Simulation(options).Run();
}

std::vector<Failover> FindFailovers(const History& history) {
  struct Lost {
    int64_t died_ns = 0;
    std::string node;
    Epoch node_epoch;
    Epoch epoch;
  };
  std::map<std::string, const HistoryEvent*> owners;
  std::map<std::string, Lost> lost;
  std::map<std::string, const HistoryEvent*> invokes;
  std::map<std::pair<std::string, Epoch>, bool> attested;
  std::vector<Failover> failovers;
  for (const HistoryEvent& event : history) {
    switch (event.kind) {
      case EventKind::kClaim:
        owners[event.name] = &event;
        break;
      case EventKind::kDied:
        for (const auto& [name, claim] : owners) {
          if (claim->node != event.node ||
              claim->node_epoch != event.node_epoch || claim->session.empty()) {
            continue;
          }
          lost[name] = {event.at_ns, event.node, event.node_epoch,
                        claim->epoch};
        }
        break;
      case EventKind::kReap:
        attested[{event.node, event.node_epoch}] = event.op == "attested";
        break;
      case EventKind::kInvoke:
        invokes[event.call] = &event;
        break;
      case EventKind::kOk: {
        const auto invoke = invokes.find(event.call);
        if (invoke == invokes.end()) break;
        const auto at = lost.find(invoke->second->name);
        if (at == lost.end() || event.epoch <= at->second.epoch) break;
        failovers.push_back(
            {attested[{at->second.node, at->second.node_epoch}],
             static_cast<double>(event.at_ns - at->second.died_ns) * 1e-6});
        lost.erase(at);
        break;
      }
      default:
        break;
    }
  }
  return failovers;
}

}  // namespace muster
