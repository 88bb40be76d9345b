// Which nodes this one is connected to, and who wants to know (otp 13).
#include <string>
#include <utility>
#include <vector>

#include "node/process/process.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"

namespace muster {

void Context::MonitorNodes(bool on) { runtime().MonitorNodes(pid(), on); }

std::vector<std::string> Context::Nodes() const { return runtime().Nodes(); }

void Runtime::MonitorNodes(const Pid& watcher, bool on) {
  MutexLock lock(&mu_);
  if (!on) {
    node_watchers_.erase(watcher);
  } else if (IsLocal(watcher) && processes_.contains(watcher.number)) {
    ++node_watchers_[watcher];
  }
}

std::vector<std::string> Runtime::Nodes() const {
  MutexLock lock(&mu_);
  std::vector<std::string> nodes;
  for (const auto& [node, epoch] : nodes_) nodes.push_back(node);
  return nodes;
}

template <typename Event>
void Runtime::TellNodeWatchers(const absl::btree_map<Pid, int>& watchers,
                               const Event& event) {
  for (const auto& [pid, copies] : watchers) {
    const auto process = Find(pid);
    if (process == nullptr) continue;
    for (int i = 0; i < copies; ++i) process->PushSystem(Info(Event(event)));
  }
}

void Runtime::NodeIsUp(absl::string_view node, Epoch epoch) {
  absl::btree_map<Pid, int> watchers;
  {
    MutexLock lock(&mu_);
    nodes_[std::string(node)] = epoch;
    watchers = node_watchers_;
  }
  TellNodeWatchers(watchers, NodeUp(std::string(node)));
  ClearSuspects(node, epoch);
}

void Runtime::NodeIsDown(absl::string_view node, const ExitReason& reason) {
  absl::btree_map<Pid, int> watchers;
  {
    MutexLock lock(&mu_);
    nodes_.erase(std::string(node));
    watchers = node_watchers_;
  }
  TellNodeWatchers(watchers, NodeDown(std::string(node), reason));
}

}  // namespace muster
