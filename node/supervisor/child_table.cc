#include "node/supervisor/child_table.h"

#include <utility>

#include "node/base/check.h"

namespace muster {

ChildTable::Key ChildTable::Add(ChildSpec spec) {
  const Key key = next_key_++;
  const bool added = by_id_.emplace(spec.id, key).second;
  MUSTER_CHECK(added, "ids of children are unique");
  children_[key].spec = std::move(spec);
  return key;
}

void ChildTable::Erase(Key key) {
  const auto at = children_.find(key);
  by_id_.erase(at->second.spec.id);
  if (!at->second.pid.empty()) by_pid_.erase(at->second.pid);
  children_.erase(at);
}

void ChildTable::SetPid(Key key, const Pid& pid) {
  Child& child = children_.at(key);
  if (!child.pid.empty()) by_pid_.erase(child.pid);
  child.pid = pid;
  child.restarting = false;
  child.retry = 0;
  if (!pid.empty()) by_pid_[pid] = key;
}

void ChildTable::SetRestarting(Key key, uint64_t retry) {
  SetPid(key, Pid());
  Child& child = children_.at(key);
  child.restarting = true;
  child.retry = retry;
}

void ChildTable::CopyState(Key key, const Child& other) {
  if (other.restarting) {
    SetRestarting(key, other.retry);
  } else {
    SetPid(key, other.pid);
  }
}

void ChildTable::DropArguments(Key key) {
  ChildSpec& spec = children_.at(key).spec;
  spec.factory = nullptr;
  spec.init = nullptr;
  spec.start = nullptr;
}

const Child* ChildTable::Find(Key key) const {
  const auto at = children_.find(key);
  return at == children_.end() ? nullptr : &at->second;
}

bool ChildTable::FindId(absl::string_view id, Key* key) const {
  const auto at = by_id_.find(id);
  if (at == by_id_.end()) return false;
  *key = at->second;
  return true;
}

bool ChildTable::FindPid(const Pid& pid, Key* key) const {
  const auto at = by_pid_.find(pid);
  if (at == by_pid_.end()) return false;
  *key = at->second;
  return true;
}

}  // namespace muster
