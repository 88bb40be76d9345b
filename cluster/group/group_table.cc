#include "cluster/group/group_table.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace muster {
namespace {

void Append(const GroupMembers& members, std::vector<Pid>* pids) {
  for (const auto& [pid, membership] : members) {
    pids->insert(pids->end(), membership.count, pid);
  }
}

}  // namespace

template <typename Visit>
void GroupTable::ForEachLocked(absl::string_view group, Visit visit) const {
  const std::string name(group);
  const auto at = groups_.find(name);
  if (at == groups_.end()) return;
  for (const bool here : {true, false}) {
    for (const std::string& node : at->second) {
      if ((node == node_) == here) visit(node, nodes_.at(node).at(name));
    }
  }
}

std::vector<Pid> GroupTable::Members(absl::string_view group) const {
  std::vector<Pid> pids;
  MutexLock lock(&mu_);
  ForEachLocked(group, [&](const std::string&, const GroupMembers& members) {
    Append(members, &pids);
  });
  return pids;
}

std::vector<Pid> GroupTable::LocalMembers(absl::string_view group) const {
  std::vector<Pid> pids;
  MutexLock lock(&mu_);
  const auto node = nodes_.find(node_);
  if (node == nodes_.end()) return pids;
  const auto at = node->second.find(std::string(group));
  if (at != node->second.end()) Append(at->second, &pids);
  return pids;
}

std::vector<GroupMember> GroupTable::Described(absl::string_view group) const {
  std::vector<GroupMember> described;
  MutexLock lock(&mu_);
  ForEachLocked(group, [&](const std::string&, const GroupMembers& members) {
    for (const auto& [pid, membership] : members) {
      described.push_back(GroupMember{pid, membership.meta});
    }
  });
  return described;
}

std::vector<std::string> GroupTable::Groups() const {
  std::vector<std::string> groups;
  MutexLock lock(&mu_);
  for (const auto& [group, nodes] : groups_) groups.push_back(group);
  return groups;
}

std::vector<std::string> GroupTable::LocalGroups() const {
  std::vector<std::string> groups;
  MutexLock lock(&mu_);
  const auto node = nodes_.find(node_);
  if (node == nodes_.end()) return groups;
  for (const auto& [group, members] : node->second) groups.push_back(group);
  return groups;
}

std::map<std::string, std::vector<Pid>> GroupTable::All() const {
  std::map<std::string, std::vector<Pid>> all;
  MutexLock lock(&mu_);
  for (const auto& [group, nodes] : groups_) {
    ForEachLocked(group, [&](const std::string&, const GroupMembers& members) {
      Append(members, &all[group]);
    });
  }
  return all;
}

size_t GroupTable::Count(absl::string_view group,
                         absl::string_view only) const {
  size_t count = 0;
  MutexLock lock(&mu_);
  ForEachLocked(group,
                [&](const std::string& node, const GroupMembers& members) {
                  if (only.empty() || node == only) count += members.size();
                });
  return count;
}

bool GroupTable::Add(absl::string_view node, absl::string_view group,
                     const Pid& pid, uint32_t count,
                     const std::optional<core::v1::Payload>& meta) {
  MutexLock lock(&mu_);
  if (count == 0) {
    const auto groups = nodes_.find(std::string(node));
    if (groups == nodes_.end() || !meta.has_value()) return false;
    const auto members = groups->second.find(std::string(group));
    if (members == groups->second.end()) return false;
    const auto at = members->second.find(pid);
    if (at == members->second.end()) return false;
    if (at->second.meta.type() == meta->type() &&
        at->second.meta.value() == meta->value()) {
      return false;
    }
    at->second.meta = *meta;
    return true;
  }
  GroupMembership& membership =
      nodes_[std::string(node)][std::string(group)][pid];
  // A peer's numbers must not wrap.
  membership.count +=
      std::min(count, std::numeric_limits<uint32_t>::max() - membership.count);
  if (meta.has_value()) membership.meta = *meta;
  groups_[std::string(group)].insert(std::string(node));
  return true;
}

bool GroupTable::IsMember(absl::string_view group, const Pid& pid) const {
  MutexLock lock(&mu_);
  const auto node = nodes_.find(pid.node);
  if (node == nodes_.end()) return false;
  const auto members = node->second.find(std::string(group));
  return members != node->second.end() && members->second.contains(pid);
}

bool GroupTable::Remove(absl::string_view node, absl::string_view group,
                        const Pid& pid) {
  MutexLock lock(&mu_);
  const auto groups = nodes_.find(std::string(node));
  if (groups == nodes_.end()) return false;
  const auto members = groups->second.find(std::string(group));
  if (members == groups->second.end()) return false;
  const auto at = members->second.find(pid);
  if (at == members->second.end()) return false;
  if (--at->second.count > 0) return true;
  members->second.erase(at);
  if (!members->second.empty()) return true;
  groups->second.erase(members);
  if (groups->second.empty()) nodes_.erase(groups);
  const auto with = groups_.find(std::string(group));
  with->second.erase(std::string(node));
  if (with->second.empty()) groups_.erase(with);
  return true;
}

NodeGroups GroupTable::Replace(absl::string_view node, NodeGroups groups) {
  const std::string name(node);
  MutexLock lock(&mu_);
  NodeGroups old;
  const auto at = nodes_.find(name);
  if (at != nodes_.end()) {
    old = std::move(at->second);
    nodes_.erase(at);
  }
  for (const auto& [group, members] : old) {
    const auto with = groups_.find(group);
    with->second.erase(name);
    if (with->second.empty()) groups_.erase(with);
  }
  for (const auto& [group, members] : groups) groups_[group].insert(name);
  if (!groups.empty()) nodes_[name] = std::move(groups);
  return old;
}

NodeGroups GroupTable::Of(absl::string_view node) const {
  MutexLock lock(&mu_);
  const auto at = nodes_.find(std::string(node));
  return at == nodes_.end() ? NodeGroups() : at->second;
}

}  // namespace muster
