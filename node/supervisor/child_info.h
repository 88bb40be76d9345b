// ChildInfo and ChildCounts: what a supervisor says of its children (otp 7.8).
#ifndef MUSTER_NODE_SUPERVISOR_CHILD_INFO_H_
#define MUSTER_NODE_SUPERVISOR_CHILD_INFO_H_

#include <cstddef>
#include <string>

#include "node/supervisor/child_spec.h"
#include "node/types/pid.h"

namespace muster {

// One line of which_children.
struct ChildInfo {
  ChildInfo() {}

  // Empty where children have none.
  std::string id;
  // Empty: it does not run, or is being restarted.
  Pid pid;
  bool restarting = false;
  ChildType type = ChildType::kWorker;
  // The class that runs; empty if its spec does not say.
  std::string module;
};

// count_children.
struct ChildCounts {
  ChildCounts() {}

  size_t specs = 0;
  // Children that run.
  size_t active = 0;
  // Of all specs, running or not.
  size_t supervisors = 0;
  size_t workers = 0;
};

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_CHILD_INFO_H_
