// GroupTable: who is in which group of one scope, as this node knows it.
#ifndef MUSTER_CLUSTER_GROUP_GROUP_TABLE_H_
#define MUSTER_CLUSTER_GROUP_GROUP_TABLE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "muster/core/v1/core.pb.h"
#include "node/base/mutex.h"
#include "node/types/pid.h"

namespace muster {

// One process in one group.
struct GroupMembership {
  // Joins that have not been left (otp PG2).
  uint32_t count = 0;
  // What the member says of itself; empty type: nothing.
  core::v1::Payload meta;
};

// The members of one group on one node, in pid order.
using GroupMembers = std::map<Pid, GroupMembership>;
// All groups of one node.
using NodeGroups = std::map<std::string, GroupMembers>;

// A member as readers see it.
struct GroupMember {
  Pid pid;
  core::v1::Payload meta;
};

// Written by the scope's process alone, read by everybody without asking it
// (otp PG4). THREADS: any.
class GroupTable {
 public:
  explicit GroupTable(absl::string_view node) : node_(node) {}
  GroupTable(const GroupTable&) = delete;
  GroupTable& operator=(const GroupTable&) = delete;

  // A pid appears once for each join. Members of this node come first.
  std::vector<Pid> Members(absl::string_view group) const
      ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<Pid> LocalMembers(absl::string_view group) const
      ABSL_LOCKS_EXCLUDED(mu_);
  // Each process once, this node's first.
  std::vector<GroupMember> Described(absl::string_view group) const
      ABSL_LOCKS_EXCLUDED(mu_);
  // Sorted; a group is there as long as it has a member.
  std::vector<std::string> Groups() const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::string> LocalGroups() const ABSL_LOCKS_EXCLUDED(mu_);
  // Everything, pids repeated for each join.
  std::map<std::string, std::vector<Pid>> All() const ABSL_LOCKS_EXCLUDED(mu_);
  bool IsMember(absl::string_view group, const Pid& pid) const
      ABSL_LOCKS_EXCLUDED(mu_);
  // Processes in `group`; with `node` only that node's.
  size_t Count(absl::string_view group, absl::string_view node = "") const
      ABSL_LOCKS_EXCLUDED(mu_);

  // -- For the scope's process ---------------------------------------------
  // Adds `count` joins; `meta`, if given, replaces what was there. False:
  // nothing changed, since the metadata was the same or there is no member to
  // change it of.
  bool Add(absl::string_view node, absl::string_view group, const Pid& pid,
           uint32_t count, const std::optional<core::v1::Payload>& meta)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Takes one join away; false: there was none.
  bool Remove(absl::string_view node, absl::string_view group, const Pid& pid)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Puts `groups` in place of all that was known of `node`, which it returns.
  NodeGroups Replace(absl::string_view node, NodeGroups groups)
      ABSL_LOCKS_EXCLUDED(mu_);
  NodeGroups Of(absl::string_view node) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Calls visit(node, members), this node first.
  template <typename Visit>
  void ForEachLocked(absl::string_view group, Visit visit) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string node_;
  mutable Mutex mu_;
  std::map<std::string, NodeGroups> nodes_ ABSL_GUARDED_BY(mu_);
  // Group -> the nodes with members of it.
  std::map<std::string, std::set<std::string>> groups_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_GROUP_GROUP_TABLE_H_
