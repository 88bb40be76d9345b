// PartitionSupervisor: N copies of one child, among which keys are spread
// (otp D7); for a server that would be a bottleneck alone.
//
//   PartitionSupervisorSpec spec;
//   spec.name = "pools";
//   spec.child = ChildSpec::Of<Pool>(options, "pool");
//   Start(runtime, std::make_unique<PartitionSupervisor>(spec), ...);
//
//   PoolClient pool(self, PartitionRef("pools", user_id));
#ifndef MUSTER_NODE_SUPERVISOR_PARTITION_SUPERVISOR_H_
#define MUSTER_NODE_SUPERVISOR_PARTITION_SUPERVISOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/gen_server/gen_server.h"
#include "node/process/caller.h"
#include "node/process/runtime.h"
#include "node/supervisor/child_info.h"
#include "node/supervisor/child_spec.h"
#include "node/supervisor/restart_window.h"
#include "node/types/payload.h"
#include "node/types/server_ref.h"

namespace muster {

struct PartitionSupervisorSpec {
  PartitionSupervisorSpec() {}

  // Required. Also the name of the registry (node/process/via.h) that knows
  // the partitions by key: ServerRef::Via(name, key).
  std::string name;
  // If set, the supervisor itself is known as `name` in this registry of the
  // node, too.
  std::string via;
  // Required. Partitions have numbers: its id and name do not count.
  std::optional<ChildSpec> child;
  // At least 1; none: one for each worker of the node.
  std::optional<int> partitions;
  // Turns the child's arguments into those of one partition; null: all get the
  // same. Not for a child with a `start` of its own.
  std::function<Payload(Payload arguments, size_t partition)> with_arguments;
  // As those of a supervisor; all partitions together.
  uint32_t intensity = 3;
  absl::Duration period = absl::Seconds(5);
};

// INVALID_ARGUMENT BAD_SUPERVISOR_SPEC or BAD_CHILD_SPEC, in words.
absl::Status CheckPartitionSupervisorSpec(const PartitionSupervisorSpec& spec);

// The partition, of `partitions` > 0, of an integer: its absolute value modulo
// the number of partitions.
size_t PartitionOf(int64_t key, size_t partitions);
// Of text: as the integer if it is one in decimal digits, with a sign or not;
// else 64-bit FNV-1a of its bytes, modulo the number of partitions. The same on
// every node and in every version.
size_t PartitionOf(absl::string_view key, size_t partitions);

// The partition of `key`, to be called: NOT_FOUND NOPROC if there is no such
// supervisor on this node, if it has no partitions now, or if this one is being
// restarted.
ServerRef PartitionRef(absl::string_view supervisor, int64_t key);
ServerRef PartitionRef(absl::string_view supervisor, absl::string_view key);

// One for one; traps exits. Its start returns when all partitions have started;
// if one cannot, those before it are stopped in reverse and the start fails. It
// stops them in reverse order.
//   ALREADY_EXISTS ALREADY_STARTED  a registry has its name
class PartitionSupervisor final : public GenServer {
 public:
  explicit PartitionSupervisor(PartitionSupervisorSpec spec);
  ~PartitionSupervisor() override;

  // As a child of another supervisor, whose id is the partition supervisor's
  // name.
  static ChildSpec AsChild(PartitionSupervisorSpec spec);

  const ServiceInfo& service_info() const override;
  Next HandleInfo(Info info, Context& self) override;
  Next Terminate(const ExitReason& reason, Context& self) override;

 private:
  class Table;
  struct Partition {
    Pid pid;  // Empty: it does not run.
    bool restarting = false;
  };
  struct Retry {
    explicit Retry(size_t p) : partition(p) {}
    size_t partition;
  };

  HandlerResult OnInit(Payload& options, Context& self) override;
  HandlerResult OnCall(absl::string_view method, Payload& request,
                       Context& self) override;
  HandlerResult OnCast(absl::string_view method, Payload& request,
                       Context& self) override;

  InitResult Start(Context& self);
  Reply<size_t> Resize(int64_t partitions, Context& self);
  Next Restart(size_t index, Context& self);
  ChildSpec SpecOf(size_t index) const;
  // Puts it into the table as well.
  void SetPid(size_t index, Pid pid);
  std::vector<ChildInfo> WhichChildren() const;
  ChildCounts CountChildren() const;

  const PartitionSupervisorSpec spec_;
  RestartWindow window_;
  // How keys are routed; shared with whoever asks.
  const std::shared_ptr<Table> table_;
  Runtime* runtime_ = nullptr;  // Set once the table is in its registry.
  std::vector<Partition> partitions_;
  // Those of them, from the first, that have keys.
  size_t size_ = 0;
};

// Over a Context or, from a thread, a RuntimeCaller. `to` is the supervisor
// itself, for example ServerRef::Local("pools"). If it does not exist:
// NOT_FOUND NOPROC.
class PartitionSupervisorClient {
 public:
  // `caller` outlives it.
  PartitionSupervisorClient(Caller& caller, ServerRef to)
      : caller_(&caller), to_(std::move(to)) {}

  // How many have keys.
  Pending<absl::StatusOr<size_t>> Partitions();
  // Stops the partitions from `partitions` on, or starts those up to it again;
  // answers how many there were. From 0 to as many as it was started with;
  // else INVALID_ARGUMENT BAD_PARTITIONS. A partition that cannot start fails
  // it, and all is as before. Keys are spread anew: state that was kept under
  // a key stays in the partition that had it.
  Pending<absl::StatusOr<size_t>> Resize(int64_t partitions);
  // In the order of their numbers, which are their ids.
  Pending<absl::StatusOr<std::vector<ChildInfo>>> WhichChildren();
  Pending<absl::StatusOr<ChildCounts>> CountChildren();

 private:
  Caller* caller_;
  ServerRef to_;
};

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_PARTITION_SUPERVISOR_H_
