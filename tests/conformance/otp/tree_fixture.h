// TreeFixture: applied trees on a simulated cluster, of workers that do what a
// test asks and tell what they do.
#ifndef MUSTER_TESTS_CONFORMANCE_OTP_TREE_FIXTURE_H_
#define MUSTER_TESTS_CONFORMANCE_OTP_TREE_FIXTURE_H_

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "examples/counter/counter.muster.client.h"
#include "examples/counter/counter.muster.server.h"
#include "examples/counter/counter.pb.h"
#include "gtest/gtest.h"
#include "muster/cluster/v1/cluster.pb.h"
#include "node/gen_server/server_type.h"
#include "tests/conformance/otp/global_fixture.h"

namespace muster {

// What workers are to do, by their names, and what they have done.
struct TreeScript {
  std::map<std::string, absl::Duration> init_takes;
  std::map<std::string, absl::Duration> stop_takes;
  // How often each still crashes right after its start.
  std::map<std::string, int> crashes;
  std::set<std::string> ignored;
  // These do their work once and end normally.
  bool tasks = false;
  // Whom each calls in Terminate.
  std::map<std::string, std::string> calls_at_stop;

  std::map<std::string, int> starts;
  std::map<std::string, int> works;
  std::vector<std::string> stopped;
  // Answers to calls_at_stop.
  std::vector<absl::Status> answers;
  // Workers between Init and their end, and the most there ever were.
  int living = 0;
  int living_max = 0;
  // Beats of each worker prove that it acts. A beat of an ownership that is
  // older than one that has acted is an overlap.
  std::map<std::string, Epoch> newest;
  int beats = 0;
  int overlaps = 0;
};

// Decrement throws, Reset ends it normally.
class TreeWorker final : public counter::v1::CounterServer {
 public:
  explicit TreeWorker(std::shared_ptr<TreeScript> script)
      : script_(std::move(script)) {}
  ~TreeWorker() override {
    if (lives_) --script_->living;
  }

  InitResult Init(const counter::v1::CounterOptions& options,
                  Context& self) override {
    self.TrapExit(true);
    value_ = options.initial_value();
    ++script_->starts[self.name()];
    if (script_->ignored.contains(self.name())) co_return Ignore();
    const absl::Duration takes = script_->init_takes[self.name()];
    if (takes > absl::ZeroDuration()) {
      static_cast<void>(co_await self.Sleep(takes));
    }
    lives_ = true;
    script_->living_max = std::max(script_->living_max, ++script_->living);
    self.SendAfter(absl::ZeroDuration(), Info(Begin{}));
    co_return Ok();
  }
  Next HandleInfo(Info info, Context& self) override {
    if (info.As<Begin>() != nullptr) {
      ++script_->works[self.name()];
      if (int& left = script_->crashes[self.name()]; left > 0) {
        --left;
        throw std::runtime_error("asked to");
      }
      if (script_->tasks) return Stop(ExitReason::Normal());
      self.SendAfter(kBeat, Info(Beat{}));
    } else if (info.As<Beat>() != nullptr) {
      ++script_->beats;
      const absl::StatusOr<Epoch> token = self.fencing_token();
      Epoch& newest = script_->newest[self.name()];
      if (!token.ok() || *token < newest) {
        ++script_->overlaps;
      } else {
        newest = *token;
      }
      self.SendAfter(kBeat, Info(Beat{}));
    }
    return NoReply();
  }
  Reply<counter::v1::CounterValue> Increment(
      const counter::v1::IncrementRequest& request, Context&) override {
    value_ += request.by();
    counter::v1::CounterValue value;
    value.set_value(value_);
    return value;
  }
  Reply<counter::v1::CounterValue> Decrement(
      const counter::v1::DecrementRequest&, Context&) override {
    throw std::runtime_error("asked to");
  }
  Reply<counter::v1::CounterValue> GetValue(const counter::v1::GetValueRequest&,
                                            Context&) override {
    counter::v1::CounterValue value;
    value.set_value(value_);
    return value;
  }
  Next Reset(const counter::v1::ResetRequest&, Context&) override {
    return Stop(ExitReason::Normal());
  }
  Next Terminate(const ExitReason&, Context& self) override {
    script_->stopped.push_back(self.name());
    const auto call = script_->calls_at_stop.find(self.name());
    if (call != script_->calls_at_stop.end()) {
      CallOptions options;
      options.timeout = absl::Seconds(1);
      counter::v1::CounterClient peer(self, call->second);
      const absl::StatusOr<counter::v1::CounterValue> answer =
          co_await peer.GetValue(counter::v1::GetValueRequest(), options);
      script_->answers.push_back(answer.status());
    }
    const absl::Duration takes = script_->stop_takes[self.name()];
    if (takes > absl::ZeroDuration()) {
      static_cast<void>(co_await self.Sleep(takes));
    }
    co_return NoReply();
  }

 private:
  static constexpr absl::Duration kBeat = absl::Milliseconds(500);
  struct Begin {};
  struct Beat {};

  const std::shared_ptr<TreeScript> script_;
  int64_t value_ = 0;
  bool lives_ = false;
};

// Names of children are `<supervisor>_<id>`; their type is `worker`.
class TreeFixture : public GlobalFixture {
 protected:
  explicit TreeFixture(int nodes, uint64_t seed = 1)
      : TreeFixture(nodes, seed, std::make_shared<TreeScript>()) {}

  static cluster::v1::Manifest Tree(const std::vector<std::string>& ids,
                                    absl::string_view supervisor = "s") {
    return MakeManifest(supervisor, "worker", ids);
  }
  static std::vector<std::string> Ids(int count) {
    std::vector<std::string> ids;
    for (int i = 0; i < count; ++i) ids.push_back(absl::StrCat("c", i));
    return ids;
  }
  static std::string NameOf(absl::string_view id,
                            absl::string_view supervisor = "s") {
    return absl::StrCat(supervisor, "_", id);
  }
  int AnyJoined() {
    const std::vector<int> joined = Joined();
    return joined.empty() ? -1 : joined[0];
  }
  // How many children of the tree are in this state, as `via` tells it.
  int Count(int via, absl::string_view state,
            absl::string_view supervisor = "s") {
    const absl::StatusOr<admin::v1::GetTreeResponse> tree =
        cluster_.GetTree(via);
    if (!tree.ok()) return -1;
    int count = 0;
    for (const auto& one : tree->supervisors()) {
      if (one.id() != supervisor) continue;
      for (const auto& child : one.children()) count += child.state() == state;
    }
    return count;
  }
  // Looks now and then, for up to a minute.
  bool AwaitCount(int via, absl::string_view state, int count,
                  absl::string_view supervisor = "s") {
    for (int i = 0; i < 240; ++i) {
      if (Count(via, state, supervisor) == count) return true;
      cluster_.RunFor(absl::Milliseconds(250));
    }
    return false;
  }
  // Applies and runs until all of it runs.
  admin::v1::ApplyResponse MustApply(const cluster::v1::Manifest& tree,
                                     int via = 0) {
    const absl::StatusOr<admin::v1::ApplyResponse> applied =
        cluster_.Apply(via, tree);
    EXPECT_TRUE(applied.ok()) << applied.status();
    EXPECT_TRUE(
        AwaitCount(via, "running", tree.children_size(), tree.supervisor()));
    return applied.ok() ? *applied : admin::v1::ApplyResponse();
  }
  Epoch EpochOf(absl::string_view name) {
    const auto owner = cluster_.OwnerOf(name);
    return owner.has_value() ? owner->epoch : Epoch();
  }
  // Runs until `name` has a living owner with an epoch above `before`.
  bool AwaitNewer(absl::string_view name, Epoch before) {
    return cluster_.RunUntil([&] {
      return cluster_.LivingOwnerOf(name) >= 0 && EpochOf(name) > before;
    });
  }
  absl::StatusOr<int64_t> Value(absl::string_view name, int via = 0) {
    const auto value = cluster_.Call<counter::v1::CounterValue>(
        via, name, "/counter.v1.Counter/GetValue",
        counter::v1::GetValueRequest());
    if (!value.ok()) return value.status();
    return value->value();
  }
  absl::Status Crash(absl::string_view name, int via = 0) {
    return cluster_
        .Call<counter::v1::CounterValue>(via, name,
                                         "/counter.v1.Counter/Decrement",
                                         counter::v1::DecrementRequest())
        .status();
  }
  void EndNormally(absl::string_view name, int via = 0) {
    bool sent = false;
    RuntimeCaller caller(&RuntimeOf(via));
    caller.StartCast(name, "/counter.v1.Counter/Reset",
                     Payload::Of(counter::v1::ResetRequest()), CallOptions(),
                     [&](const absl::Status& status) { sent = status.ok(); });
    EXPECT_TRUE(cluster_.RunUntil([&] { return sent; }));
  }
  // Nodes that own one of these children.
  std::set<int> Owners(const std::vector<std::string>& ids) {
    std::set<int> owners;
    for (const std::string& id : ids) {
      owners.insert(cluster_.LivingOwnerOf(NameOf(id)));
    }
    return owners;
  }
  // Processes of these children, as `via` knows them; dead ones are empty.
  std::set<Pid> Pids(int via, const std::vector<std::string>& ids) {
    std::set<Pid> pids;
    for (const std::string& id : ids) pids.insert(WhereIs(via, NameOf(id)));
    return pids;
  }
  std::string Failure(int via = 0) {
    const auto tree = cluster_.GetTree(via);
    return tree.ok() && tree->supervisors_size() > 0
               ? tree->supervisors(0).failed()
               : "";
  }

 private:
  TreeFixture(int nodes, uint64_t seed, std::shared_ptr<TreeScript> script)
      : GlobalFixture(nodes, seed, Options(script)),
        script_(std::move(script)) {}
  static SimClusterOptions Options(const std::shared_ptr<TreeScript>& script) {
    SimClusterOptions options;
    options.types = {ServerType<TreeWorker>(
        "worker", [script]() -> std::unique_ptr<GenServer> {
          return std::make_unique<TreeWorker>(script);
        })};
    return options;
  }

 protected:
  const std::shared_ptr<TreeScript> script_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_OTP_TREE_FIXTURE_H_
