// DynamicSupervisor: children that are started on demand, known by their pids
// (otp D1 to D6; with a template: simple_one_for_one of otp section 7).
//
//   DynamicSupervisorSpec spec;
//   spec.max_children = 1000;
//   Start(runtime, std::make_unique<DynamicSupervisor>(spec), ...);
//
//   DynamicSupervisorClient pool(self, ServerRef::Local("pool"));
//   absl::StatusOr<StartedChild> child = co_await pool.StartChild(child_spec);
//   absl::Status ended = co_await pool.TerminateChild(child->pid);
#ifndef MUSTER_NODE_SUPERVISOR_DYNAMIC_SUPERVISOR_H_
#define MUSTER_NODE_SUPERVISOR_DYNAMIC_SUPERVISOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/gen_server/gen_server.h"
#include "node/process/caller.h"
#include "node/supervisor/child_arguments.h"
#include "node/supervisor/child_info.h"
#include "node/supervisor/child_spec.h"
#include "node/supervisor/restart_window.h"
#include "node/types/server_ref.h"

namespace muster {

struct DynamicSupervisorSpec {
  DynamicSupervisorSpec() {}

  // Restarts of all children together that are tolerated within `period`; one
  // more ends the supervisor with `shutdown`.
  uint32_t intensity = 3;
  absl::Duration period = absl::Seconds(5);
  // Children that may exist at one time, those being restarted included; none:
  // as many as fit into memory.
  std::optional<size_t> max_children;
  // Put in front of every child's own arguments, also at a restart (InFront).
  // Children whose spec has a `start` of its own cannot have them.
  ChildArguments extra;
  // simple_one_for_one: every child is one of this; StartChild gives the
  // arguments, which come after the template's own.
  std::optional<ChildSpec> child_template;
};

// INVALID_ARGUMENT BAD_SUPERVISOR_SPEC or BAD_CHILD_SPEC, in words.
absl::Status CheckDynamicSupervisorSpec(const DynamicSupervisorSpec& spec);
// As CheckChildSpec, but needs no id, and has no significant children.
absl::Status CheckDynamicChildSpec(const ChildSpec& spec);

// One for one; starts without children; traps exits. Its start fails with what
// CheckDynamicSupervisorSpec says. Handles one order at a time: a child that is
// slow to start or to end keeps the others waiting (otp S30). At its own end
// all children are ended at one time (otp S28).
class DynamicSupervisor final : public GenServer {
 public:
  explicit DynamicSupervisor(
      DynamicSupervisorSpec spec = DynamicSupervisorSpec());

  // As a child of another supervisor: called `name` there and on this node.
  static ChildSpec AsChild(DynamicSupervisorSpec spec, absl::string_view name);

  const ServiceInfo& service_info() const override;
  Next HandleInfo(Info info, Context& self) override;
  Next Terminate(const ExitReason& reason, Context& self) override;

 private:
  struct Child {
    // Null: the template.
    std::shared_ptr<const ChildSpec> spec;
    ChildArguments arguments;
    uint64_t order = 0;  // Of its first start.
    bool restarting = false;
  };
  using Children = absl::flat_hash_map<Pid, Child>;
  // The start of a child, known by the pid that it had, is to be tried again.
  struct Retry {
    explicit Retry(Pid p) : pid(std::move(p)) {}
    Pid pid;
  };

  HandlerResult OnInit(Payload& options, Context& self) override;
  HandlerResult OnCall(absl::string_view method, Payload& request,
                       Context& self) override;
  HandlerResult OnCast(absl::string_view method, Payload& request,
                       Context& self) override;

  Reply<StartedChild> StartChild(Child child, Context& self);
  Reply<bool> TerminateChild(Pid pid, Context& self);
  absl::Status Reconfigure(DynamicSupervisorSpec spec, Context& self);
  std::vector<ChildInfo> WhichChildren() const;
  ChildCounts CountChildren() const;

  const ChildSpec& SpecOf(const Child& child) const;
  // What it is started with: arguments and extra ones in place.
  ChildSpec StartSpecOf(const Child& child) const;
  void Insert(const Pid& pid, Child child);
  // Starts the child that was `pid` again, counting it.
  Next RestartChild(Pid pid, Context& self);
  // Oldest first.
  std::vector<std::pair<Pid, const Child*>> InOrder() const;

  DynamicSupervisorSpec spec_;
  RestartWindow window_;
  uint64_t next_order_ = 1;
  // One that is being restarted stands under the pid that it had (otp D5).
  Children children_;
  size_t restarting_ = 0;
};

// Over a Context or, from a thread, a RuntimeCaller. No call has a time limit.
// On a supervisor that does not exist: NOT_FOUND NOPROC.
class DynamicSupervisorClient {
 public:
  // `caller` outlives it.
  DynamicSupervisorClient(Caller& caller, ServerRef to)
      : caller_(&caller), to_(std::move(to)) {}

  // Its pid; the empty pid: its Init answered Ignore(), and nothing is kept.
  // Else nothing was started:
  //   INVALID_ARGUMENT BAD_CHILD_SPEC    found here, before anybody is asked
  //                                      (otp D2)
  //   RESOURCE_EXHAUSTED MAX_CHILDREN
  //   FAILED_PRECONDITION SIMPLE_ONE_FOR_ONE  it has a template
  //   what StartChildProcess says        the start failed
  Pending<absl::StatusOr<StartedChild>> StartChild(ChildSpec spec);
  // Of a supervisor with a template; FAILED_PRECONDITION NO_TEMPLATE if it has
  // none.
  Pending<absl::StatusOr<StartedChild>> StartChild(ChildArguments arguments);

  // Ends a child for good, as its spec says; the pid of one that is being
  // restarted is the one that it had. NOT_FOUND NO_CHILD: it is none (with a
  // template: OK if it is dead).
  Pending<absl::Status> TerminateChild(const Pid& pid);
  // Children have no ids: NOT_FOUND NO_CHILD, with a template
  // FAILED_PRECONDITION SIMPLE_ONE_FOR_ONE.
  Pending<absl::Status> TerminateChild(absl::string_view id);
  Pending<absl::Status> RestartChild(absl::string_view id);
  Pending<absl::Status> DeleteChild(absl::string_view id);

  // In the order in which they were first started.
  Pending<absl::StatusOr<std::vector<ChildInfo>>> WhichChildren();
  Pending<absl::StatusOr<ChildCounts>> CountChildren();
  // NOT_FOUND NO_CHILD. Without factory and arguments if it is temporary.
  Pending<absl::StatusOr<ChildSpec>> GetChildSpec(const Pid& pid);

  // Other limits, extra arguments or template, for what comes; children go on
  // (otp S34). INVALID_ARGUMENT as for a start, or if a template would appear
  // or disappear; then nothing has changed.
  Pending<absl::Status> Reconfigure(DynamicSupervisorSpec spec);

 private:
  Caller* caller_;
  ServerRef to_;
};

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_DYNAMIC_SUPERVISOR_H_
