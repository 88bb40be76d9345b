// ChildTable: the children of a supervisor as a plain value: in start order,
// found by id and by pid.
#ifndef MUSTER_NODE_SUPERVISOR_CHILD_TABLE_H_
#define MUSTER_NODE_SUPERVISOR_CHILD_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "node/supervisor/child_spec.h"
#include "node/types/pid.h"

namespace muster {

// One child that a supervisor knows.
struct Child {
  ChildSpec spec;
  Pid pid;  // Empty: it does not run.
  // Its start has failed and is to be tried again (otp S21); then no pid.
  bool restarting = false;
  // Which request to try again counts; older ones are stale.
  uint64_t retry = 0;
};

// Look-ups take constant time, changes logarithmic, so that thousands of
// children are no burden. References to a child stay valid until it is erased.
class ChildTable {
 public:
  // A child's place in the start order; later ones are larger. Never reused.
  using Key = uint64_t;

  ChildTable() {}
  ChildTable(ChildTable&& other) = default;
  ChildTable& operator=(ChildTable&& other) = default;

  // Puts it at the end. The id must be new.
  Key Add(ChildSpec spec);
  void Erase(Key key);
  // It runs as `pid`; the empty pid: it does not run. Not restarting any more.
  void SetPid(Key key, const Pid& pid);
  // `retry` is the number of the only request to try again that counts.
  void SetRestarting(Key key, uint64_t retry);
  // It runs, or is restarting, as `other` does.
  void CopyState(Key key, const Child& other);
  // A start has made it drop what only a start needs (otp S10).
  void DropArguments(Key key);

  // Null: there is none.
  const Child* Find(Key key) const;
  // False: there is none.
  bool FindId(absl::string_view id, Key* key) const;
  bool FindPid(const Pid& pid, Key* key) const;
  const Child& at(Key key) const { return children_.at(key); }
  // In start order.
  const std::map<Key, Child>& children() const { return children_; }
  size_t size() const { return children_.size(); }

 private:
  Key next_key_ = 1;
  std::map<Key, Child> children_;
  absl::flat_hash_map<std::string, Key> by_id_;
  absl::flat_hash_map<Pid, Key> by_pid_;
};

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_CHILD_TABLE_H_
