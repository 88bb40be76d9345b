#include "tests/conformance/otp/otp_cluster.h"

#include "gtest/gtest.h"
#include "node/base/check.h"
#include "node/types/status.h"

namespace muster {

void MapVia::Register(absl::string_view key, const Pid& pid,
                      absl::AnyInvocable<void(absl::Status)> done) {
  const auto [at, added] = pids_.emplace(std::string(key), pid);
  if (added) {
    done(absl::OkStatus());
    return;
  }
  done(Error(absl::StatusCode::kAlreadyExists, "ALREADY_STARTED", "taken")
           .With("pid", at->second.ToString())
           .NotExecuted());
}

void MapVia::Unregister(absl::string_view key, const Pid& pid) {
  const auto at = pids_.find(std::string(key));
  if (at != pids_.end() && at->second == pid) pids_.erase(at);
}

OtpCluster::OtpCluster(const std::vector<std::string>& nodes) {
  uint64_t revision = 10;
  for (const std::string& name : nodes) {
    auto node = std::make_unique<TestNode>(&world_, &net_, &directory_, name,
                                           Epoch{1, revision});
    revision += 10;
    node->runtime.set_names(&node->names);
    MUSTER_CHECK(node->runtime.AddVia("reg", &via_), "the name is taken");
    nodes_[name] = std::move(node);
  }
}

OtpCluster::~OtpCluster() {
  for (auto& [name, node] : nodes_) node->runtime.RemoveVia("reg");
}

Pid OtpCluster::Start(const std::string& node,
                      std::unique_ptr<ProcessBody> body, Names names) {
  SpawnOptions spawn;
  spawn.local_name = names.local;
  spawn.global_name = names.global;
  if (!names.global.empty()) spawn.global_epoch = Epoch{1, ++next_revision_};
  const Epoch epoch = spawn.global_epoch;
  auto started = std::make_shared<std::optional<absl::Status>>();
  const Pid pid = runtime(node).Spawn(
      std::move(body), Payload(), std::move(spawn),
      [started](absl::Status status) { started->emplace(std::move(status)); });
  if (!names.global.empty()) {
    NameEntry entry;
    entry.name = names.global;
    entry.pid = pid;
    entry.epoch = epoch;
    for (auto& [name, other] : nodes_) other->names.Put(entry);
    globals_[names.global] = pid;
  }
  if (!names.via.empty()) {
    via_.Register(names.via, pid, [](const absl::Status& status) {
      MUSTER_CHECK(status.ok(), "the key is taken");
    });
  }
  auto ended = std::make_shared<Ended>();
  ended_[pid] = ended;
  runtime(node).ObserveExit(pid, [this, ended, names, pid](ExitReason reason) {
    ended->reason = std::move(reason);
    Free(names.global, names.via, pid);
  });
  RunUntil([&] { return started->has_value(); });
  MUSTER_CHECK(started->has_value() && (*started)->ok(),
               "a server of the test did not start");
  return pid;
}

void OtpCluster::Free(const std::string& global, const std::string& via,
                      const Pid& pid) {
  if (!via.empty()) via_.Unregister(via, pid);
  const auto at = globals_.find(global);
  if (at == globals_.end() || at->second != pid) return;
  globals_.erase(at);
  for (auto& [name, node] : nodes_) node->names.Erase(global);
}

void OtpCluster::Do(const Pid& actor, Act act) {
  bool done = false;
  Tell(runtime(actor.node), actor, std::move(act));
  // Handled when the act has ended: a process does one thing at a time.
  Tell(runtime(actor.node), actor, [&done](Context&) {
    done = true;
    return Next();
  });
  RunUntil([&] { return done; });
  EXPECT_TRUE(done) << "the actor did not come to the end of its act";
}

ExitReason OtpCluster::AwaitEnd(const Pid& pid) {
  const std::shared_ptr<Ended> ended = ended_.at(pid);
  RunUntil([&] { return ended->reason.has_value(); });
  if (ended->reason.has_value()) return *ended->reason;
  ADD_FAILURE() << pid.ToString() << " did not end";
  return ExitReason::Timeout();
}

void OtpCluster::KillNode(const std::string& name) {
  runtime(name).RemoveVia("reg");
  nodes_.erase(name);
  net_.unreachable_.insert(name);
  for (const auto& weak : net_.streams_) {
    auto stream = weak.lock();
    if (stream != nullptr && (stream->from_ == name || stream->to_ == name)) {
      stream->End(absl::UnavailableError("the node is gone"));
    }
  }
}

void OtpCluster::FreeNames(const std::string& node) {
  for (auto at = globals_.begin(); at != globals_.end();) {
    if (at->second.node == node) {
      for (auto& [name, other] : nodes_) other->names.Erase(at->first);
      at = globals_.erase(at);
    } else {
      ++at;
    }
  }
}

}  // namespace muster
