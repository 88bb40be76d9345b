// A simulated cluster whose servers do what a test tells them, under cluster
// supervisors.
#ifndef MUSTER_TESTS_UNIT_CLUSTER_SUPERVISOR_SUPERVISOR_FIXTURE_H_
#define MUSTER_TESTS_UNIT_CLUSTER_SUPERVISOR_SUPERVISOR_FIXTURE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/store/event.h"
#include "cluster/store/store.h"
#include "cluster/supervisor/env.h"
#include "examples/counter/counter.muster.server.h"
#include "gtest/gtest.h"
#include "muster/cluster/v1/cluster.pb.h"
#include "muster/store/v1/store.pb.h"
#include "node/gen_server/server_type.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/testkit/sim_cluster.h"

namespace muster {

using counter::v1::CounterOptions;
using counter::v1::CounterValue;
using counter::v1::DecrementRequest;
using counter::v1::GetValueRequest;
using counter::v1::IncrementRequest;
using counter::v1::ResetRequest;

// What the test's servers do and have done, by name.
struct Script {
  std::map<std::string, int> starts;
  std::map<std::string, int> failing_inits;
  // So many times the factory throws.
  int failing_factories = 0;
  // Asked of each transaction of a node before it is sent; may be empty. True:
  // its answer is lost.
  std::function<bool(int node, const Txn& txn)> on_commit;
  // Stops as they happen; for servers that trap exits.
  std::vector<std::string> stopped;
  // Starts that succeeded and stops, as they happen.
  std::vector<std::string> log;
};

// GetValue answers the options; Decrement throws; Reset ends normally.
class Scripted final : public counter::v1::CounterServer {
 public:
  explicit Scripted(std::shared_ptr<Script> script)
      : script_(std::move(script)) {}

  InitResult Init(const CounterOptions& options, Context& self) override {
    self.TrapExit(true);
    ++script_->starts[self.name()];
    int& failing = script_->failing_inits[self.name()];
    if (failing > 0) {
      --failing;
      return absl::InvalidArgumentError("not today");
    }
    value_ = options.initial_value();
    script_->log.push_back(absl::StrCat("start ", self.name()));
    return Ok();
  }
  Reply<CounterValue> Increment(const IncrementRequest&, Context&) override {
    CounterValue value;
    value.set_value(++value_);
    return value;
  }
  Reply<CounterValue> Decrement(const DecrementRequest&, Context&) override {
    throw std::runtime_error("asked to");
  }
  Reply<CounterValue> GetValue(const GetValueRequest&, Context&) override {
    CounterValue value;
    value.set_value(value_);
    return value;
  }
  Next Reset(const ResetRequest&, Context&) override {
    return Stop(ExitReason::Normal());
  }
  Next Terminate(const ExitReason&, Context& self) override {
    script_->stopped.push_back(self.name());
    script_->log.push_back(absl::StrCat("stop ", self.name()));
    return NoReply();
  }

 private:
  const std::shared_ptr<Script> script_;
  int64_t value_ = 0;
};

// Asks the script before each transaction.
class ScriptedStore final : public Store {
 public:
  ScriptedStore(int node, std::unique_ptr<Store> store,
                std::shared_ptr<Script> script)
      : node_(node), store_(std::move(store)), script_(std::move(script)) {}

  void Commit(Txn txn, absl::Duration timeout, Done<TxnResult> done) override {
    if (script_->on_commit && script_->on_commit(node_, txn)) {
      done = [inner =
                  std::move(done)](const absl::StatusOr<TxnResult>&) mutable {
        inner(Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT", "lost")
                  .Unknown()
                  .status());
      };
    }
    store_->Commit(std::move(txn), timeout, std::move(done));
  }
  void List(std::string prefix, absl::Duration timeout,
            Done<RangeResult> done) override {
    store_->List(std::move(prefix), timeout, std::move(done));
  }
  std::unique_ptr<Watch> Follow(std::string prefix, int64_t from,
                                WatchHandler handler) override {
    return store_->Follow(std::move(prefix), from, std::move(handler));
  }
  void Compact(int64_t revision, absl::Duration timeout,
               absl::AnyInvocable<void(absl::Status)> done) override {
    store_->Compact(revision, timeout, std::move(done));
  }
  bool embedded() const override { return false; }
  std::string ToString() const override { return "scripted"; }

 private:
  const int node_;
  const std::unique_ptr<Store> store_;
  const std::shared_ptr<Script> script_;
};

class ClusterSupervisorTest : public testing::Test {
 protected:
  explicit ClusterSupervisorTest(int nodes = 3)
      : script_(std::make_shared<Script>()), cluster_(1, nodes, Options()) {
    cluster_.StartAll();
  }

  SimClusterOptions Options() {
    SimClusterOptions options;
    options.types = {ServerType<Scripted>(
        "scripted", [script = script_]() -> std::unique_ptr<GenServer> {
          if (script->failing_factories > 0) {
            --script->failing_factories;
            throw std::runtime_error("no such model");
          }
          return std::make_unique<Scripted>(script);
        })};
    options.wrap_store = [script = script_](int node,
                                            std::unique_ptr<Store> store) {
      return std::make_unique<ScriptedStore>(node, std::move(store), script);
    };
    return options;
  }

  static cluster::v1::Manifest Tree(const std::vector<std::string>& ids) {
    return MakeManifest("s", "scripted", ids);
  }
  static void SetInitial(cluster::v1::Manifest& tree, int child, int value) {
    (*tree.mutable_children(child)
          ->mutable_options()
          ->mutable_fields())["initial_value"]
        .set_number_value(value);
  }
  // Applies and runs until all of it runs.
  admin::v1::ApplyResponse MustApply(const cluster::v1::Manifest& tree,
                                     int via = 0) {
    const auto applied = cluster_.Apply(via, tree);
    EXPECT_TRUE(applied.ok()) << applied.status();
    if (!applied.ok()) return admin::v1::ApplyResponse();
    for (const auto& child : tree.children()) {
      EXPECT_TRUE(
          cluster_.AwaitChild(via, tree.supervisor(), child.id(), "running"))
          << child.id();
    }
    return *applied;
  }
  Epoch EpochOf(absl::string_view name) {
    const auto owner = cluster_.OwnerOf(name);
    return owner.has_value() ? owner->epoch : Epoch();
  }
  absl::Status Crash(absl::string_view name, int via = 0) {
    return cluster_
        .Call<CounterValue>(via, name, "/counter.v1.Counter/Decrement",
                            DecrementRequest())
        .status();
  }
  absl::StatusOr<int64_t> Value(absl::string_view name, int via = 0) {
    const auto value = cluster_.Call<CounterValue>(
        via, name, "/counter.v1.Counter/GetValue", GetValueRequest());
    if (!value.ok()) return value.status();
    return value->value();
  }
  // Runs until `name` has a living owner with an epoch above `before`.
  bool AwaitNewer(absl::string_view name, Epoch before) {
    return cluster_.RunUntil([&] {
      return cluster_.LivingOwnerOf(name) >= 0 && EpochOf(name) > before;
    });
  }
  void EndNormally(absl::string_view name) {
    bool done = false;
    RuntimeCaller caller(&cluster_.node(0).runtime());
    caller.StartCast(name, "/counter.v1.Counter/Reset",
                     Payload::Of(ResetRequest()), CallOptions(),
                     [&](absl::Status status) { done = status.ok(); });
    ASSERT_TRUE(cluster_.RunUntil([&] { return done; }));
  }
  std::string SupervisorFailure() { return SupervisorFailureVia(0); }
  std::string SupervisorFailureVia(int via) {
    const auto tree = cluster_.GetTree(via);
    return tree.ok() && tree->supervisors_size() > 0
               ? tree->supervisors(0).failed()
               : "";
  }

  // Of what is in the store: kinds of events of one child, in order.
  std::vector<store::v1::EventRecord> Events(absl::string_view kind = "") {
    std::map<int64_t, store::v1::EventRecord> by_revision;
    int64_t tie = 0;
    for (const KeyValue& item :
         cluster_.store().state().List(cluster_.keys().EventPrefix()).items) {
      store::v1::EventRecord event;
      if (!event.ParseFromString(item.value)) continue;
      if (!kind.empty() && event.kind() != kind) continue;
      by_revision[item.create_revision * 1000 + tie++] = std::move(event);
    }
    std::vector<store::v1::EventRecord> events;
    for (auto& [revision, event] : by_revision) {
      events.push_back(std::move(event));
    }
    return events;
  }
  // Writes what only a node itself writes: that it drains.
  void SetDraining(int node, bool draining) {
    const std::string key = cluster_.keys().Node(SimCluster::NodeName(node));
    for (const KeyValue& item : cluster_.store().state().List(key).items) {
      if (item.key != key) continue;
      store::v1::NodeRecord record;
      ASSERT_TRUE(record.ParseFromString(item.value));
      record.set_draining(draining);
      Txn txn;
      txn.then.push_back(StoreOp::Put(key, record.SerializeAsString()));
      bool done = false;
      cluster_.store_client(node).Commit(
          std::move(txn), absl::Seconds(1),
          [&done](const absl::StatusOr<TxnResult>& result) {
            done = result.ok() && result->succeeded;
          });
      ASSERT_TRUE(cluster_.RunUntil([&] { return done; }));
    }
  }
  // The change as an operator asks it of node `via`.
  absl::StatusOr<admin::v1::ChangeChildResponse> Change(
      cluster::v1::ChangeChildRequest::Change change, const std::string& child,
      const std::string& to_node = "", int via = 0) {
    admin::v1::ChangeChildRequest request;
    request.set_supervisor("s");
    request.set_child(child);
    request.set_change(change);
    request.set_to_node(to_node);
    std::optional<absl::StatusOr<admin::v1::ChangeChildResponse>> answer;
    cluster_.node(via).admin()->ChangeChild(
        request, [&answer](absl::StatusOr<admin::v1::ChangeChildResponse> got) {
          answer.emplace(std::move(got));
        });
    cluster_.RunUntil([&] { return answer.has_value(); });
    return answer.has_value() ? *answer : absl::InternalError("no answer");
  }
  absl::StatusOr<admin::v1::StartChildResponse> Add(
      const std::string& id, const std::string& supervisor = "s", int via = 0,
      const std::string& type = "scripted",
      store::v1::Restart restart = store::v1::RESTART_UNSPECIFIED) {
    admin::v1::StartChildRequest request;
    request.set_supervisor(supervisor);
    request.mutable_child()->set_id(id);
    request.mutable_child()->set_name(absl::StrCat(supervisor, "_", id));
    request.mutable_child()->set_type(type);
    request.mutable_child()->set_restart(restart);
    std::optional<absl::StatusOr<admin::v1::StartChildResponse>> answer;
    cluster_.node(via).admin()->StartChild(
        request, [&answer](absl::StatusOr<admin::v1::StartChildResponse> got) {
          answer.emplace(std::move(got));
        });
    cluster_.RunUntil([&] { return answer.has_value(); });
    return answer.has_value() ? *answer : absl::InternalError("no answer");
  }
  int SupervisorNode() { return cluster_.LivingOwnerOf(SupervisorName("s")); }

  const std::shared_ptr<Script> script_;
  SimCluster cluster_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_UNIT_CLUSTER_SUPERVISOR_SUPERVISOR_FIXTURE_H_
