// Supervisor: keeps children of one node running (otp section 7).
//
//   SupervisorSpec spec = SupervisorSpec::Of(
//       Strategy::kRestForOne, {ChildSpec::Of<Cache>(options, "cache"),
//                               Supervisor::AsChild(workers, "workers")});
//   absl::StatusOr<Pid> pid =
//       co_await StartLink(self, *Supervisor::Make(spec), Payload());
//
// Managed while it runs through a SupervisorClient
// (node/supervisor/supervisor_client.h).
#ifndef MUSTER_NODE_SUPERVISOR_SUPERVISOR_H_
#define MUSTER_NODE_SUPERVISOR_SUPERVISOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "node/gen_server/gen_server.h"
#include "node/supervisor/child_info.h"
#include "node/supervisor/child_spec.h"
#include "node/supervisor/child_table.h"
#include "node/supervisor/decide.h"
#include "node/supervisor/restart_window.h"
#include "node/supervisor/supervisor_spec.h"

namespace muster {

// Traps exits. Its start returns when all children have started, one after the
// other; if one cannot, those before it are stopped in reverse and the start
// fails. Handles one order at a time: a child that is slow to start or to end
// keeps the others waiting, and one that calls its own supervisor from Init or
// Terminate waits for ever (otp S30).
//
// A child:
//
//   none --start_child, or at init--> runs <----(2)----- restarting
//    ^ ^                              | | \---(1) its      ^  | ^
//    | |----terminate_child-----------| |     start fails--|  |-| (3) again
//    |------ends, not to be restarted---|
//   (1) it ended and is to be restarted (2) a retry succeeds (3) a retry fails
// Retries go through the mailbox, so that other orders get their turn (S21).
// Any restart event may be one too many: the supervisor gives up (S19).
class Supervisor final : public GenServer {
 public:
  // Makes the spec at each start, in the supervisor's own process; no spec:
  // ignore (otp S9). What it throws fails the start (otp H4).
  using InitFunction =
      std::function<absl::StatusOr<std::optional<SupervisorSpec>>()>;

  // What CheckSupervisorSpec says.
  static absl::StatusOr<std::unique_ptr<Supervisor>> Make(SupervisorSpec spec);
  // As a module with an init callback. An error of its own, or a bad spec,
  // fails the start; SupervisorClient::Reload() runs it again.
  static std::unique_ptr<Supervisor> MakeWithInit(InitFunction init);

  // As a child of another supervisor: type supervisor, infinite shutdown,
  // called `id` there and on this node. A bad spec fails the start.
  static ChildSpec AsChild(SupervisorSpec spec, absl::string_view id);

  const ServiceInfo& service_info() const override;
  Next HandleInfo(Info info, Context& self) override;
  Next Terminate(const ExitReason& reason, Context& self) override;

 private:
  friend class SupervisorClient;
  using Key = ChildTable::Key;

  // A failed start is to be tried again.
  struct Retry {
    Retry(absl::string_view i, uint64_t n) : id(i), number(n) {}
    std::string id;
    uint64_t number;
  };
  // The orders of a SupervisorClient that no other type names.
  struct ById {
    explicit ById(absl::string_view i) : id(i) {}
    std::string id;
  };
  struct ReloadOrder {};
  struct Ask {};

  explicit Supervisor(InitFunction init);

  HandlerResult OnInit(Payload& options, Context& self) override;
  HandlerResult OnCall(absl::string_view method, Payload& request,
                       Context& self) override;
  HandlerResult OnCast(absl::string_view method, Payload& request,
                       Context& self) override;

  InitResult Init(Context& self);
  Reply<StartedChild> StartChild(ChildSpec& spec, Context& self);
  Reply<bool> TerminateChild(const std::string& id, Context& self);
  Reply<StartedChild> RestartChild(const std::string& id, Context& self);
  absl::Status DeleteChild(const std::string& id);
  std::vector<ChildInfo> WhichChildren() const;
  ChildCounts CountChildren(const Context& self) const;
  absl::StatusOr<ChildSpec> GetChildSpec(const std::string& id) const;
  absl::StatusOr<ChildSpec> GetChildSpec(const Pid& pid) const;
  absl::Status Reconfigure(SupervisorSpec spec);
  absl::Status Reload();

  // A start went well, or was ignored (an empty pid).
  void SetStarted(Key key, const Pid& pid);
  // It has stopped for good, by order.
  void SetStopped(Key key);
  void ReportStop(const ChildSpec& spec, const ExitReason& reason,
                  Context& self) const;

  InitFunction init_;  // Null once a Make() has used it up.
  // Whether init_ can be run again.
  bool reloads_ = false;
  // All but its children.
  SupervisorSpec flags_;
  RestartWindow window_;
  ChildTable children_;
  uint64_t retries_ = 0;
};

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_SUPERVISOR_H_
